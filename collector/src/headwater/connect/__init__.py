"""`headwater connect`: the settings that let a producer speak to this installation, and what is wrong while it stays silent.

`places` is the installation as others have to reach it, `guides` the settings for each door, `hearing` which event is the
awaited one, `causes` what follows from the facts when none comes: all pure. `listening` and `looking` ask Kafka and the rest.
"""
