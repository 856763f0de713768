"""Lineage that nobody instruments, from Kafka's admin API alone: which consumer group reads which topic, and how far behind.

What is said, and of whom, is decided in pure modules, values in and values out:

| module | from | to |
|---|---|---|
| `choosing` | names of topics and groups, patterns | those that are looked at |
| `observed` | | what one look saw of a cluster: topics, groups, members, offsets |
| `lag` | where a group stands in a partition, look by look | OK, WARN, STALL or STOP |
| `following` | a group, look by look | what is to be said of it, once |
| `statements` | what is to be said of a group | lineage events |
| `orphans` | what one look saw | rows for people: topics that nobody reads, groups that nobody is in |

A thin adapter asks Kafka (`asking`); `service` puts them together for `headwater discover`.
"""
