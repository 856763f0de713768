"""The contract of Headwater: events, names, topics and their bytes."""
