"""Lineage of change data capture: Debezium's records, its OpenLineage events, and Kafka Connect's connectors.

What is said, and by whom, is decided in pure modules, values in and values out:

| module | from | to |
|---|---|---|
| `names`, `jdbc` | parts of a connector's settings, topic names | names of datasets and jobs |
| `wire`, `avro` | the bytes of a record | a document and the fingerprint of its row's schema |
| `envelopes` | a document | what it tells: a change, a heartbeat, a schema change … or why it tells nothing |
| `statements`, `windows` | ends of partitions, windows of records | lineage events |
| `connectors`, `sinks` | the answer of Kafka Connect | connectors with their datasets; lineage events |
| `normalising` | OpenLineage documents of Debezium | OpenLineage documents without their oddities |

Thin adapters read Kafka (`probing`, `reading`) and HTTP (`http`); `service` puts them together for `headwater cdc`.
"""
