"""The fault laboratory: seeded schedules of what goes wrong, against real Kafka and Redis, compared with the oracle."""
