"""What every door does to the names in an event before it is written: `rules` puts it together.

| module | rule |
|---|---|
| `namespaces` | other names for namespaces, and a mark for the environment |
| `folding` | dates, UUIDs, hashes, partition folders in names become what stays |
| `clusters` | two addresses of one Kafka are one cluster |
| `floods` | of equal events of a flood the first, and now and then a heartbeat |
| `rules` | the first three, applied to an event |
| `learning` | asks Kafka, in the background, which cluster it is: the only module that does anything but compute |
"""
