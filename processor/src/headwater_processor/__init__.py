"""The processor: Kafka in, state in Redis, graph deltas and alerts out."""
