"""How a consumer leaves its group in bounded time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

LEAVE_S: Final = 8.0
"""What a broker that answers needs is some milliseconds; librdkafka gives up the request to leave after five seconds."""


def leave(consumer: Consumer, last: Sequence[TopicPartition] = (), *, within_s: float = LEAVE_S) -> str:
    """Commit `last`, and close.

    librdkafka waits without a bound for the answer to a commit, in `commit` and in `close`: as long as a broker is frozen or a
    network swallows what is sent (measured: two hundred seconds and on). So both are done on a thread that does not keep the
    process from ending. Where it is not done in time the consumer must not be used any more; its thread keeps it.

    Returns:
        Why `last` is not known to be committed; empty: it is.
    """
    failed = [f"no answer within {within_s:.0f} s"]

    def leaving() -> None:
        try:
            if last:
                consumer.commit(offsets=list(last), asynchronous=False)
            failed[0] = ""
        except KafkaException as error:
            failed[0] = error.args[0].str()
        consumer.close()

    thread = threading.Thread(target=leaving, name="hw-leave", daemon=True)
    thread.start()
    thread.join(within_s)
    return failed[0]
