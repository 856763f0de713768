"""An oracle for the processor: what the state must be, worked out a second time in plain Python.

`generator` makes raw Kafka records of every kind, good and hostile, from a seed. `model` applies the processor's
SEMANTICS.md to them, one record after the other. `compare` reads Redis and the topics and says where they differ.
Nothing here is shared with the processor: the Avro decoder, the keys and the merge are written again on purpose, so
that an error in one of them shows. Run it by hand with `python -m tests.support.oracle --help`.
"""
