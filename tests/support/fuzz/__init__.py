"""The fuzzer of the decode path: hostile payloads, made from a seed, read by the batch decoder and by the checked reader."""
