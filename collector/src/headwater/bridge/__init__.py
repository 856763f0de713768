"""The bridge: OpenLineage documents on a Kafka topic into events on ours; `bridging` is the loop, `metrics` what it tells."""
