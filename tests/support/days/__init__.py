"""Days of a domain in virtual time: the product's own doors, planner, engine, scripts and judge, and a clock that jumps.

No service and no waiting: `domain` is one worker on a Redis in memory (`support/model`), `shop` a Kafka with a Debezium and
consumers that speaks through the real doors. A week takes some seconds.
"""
