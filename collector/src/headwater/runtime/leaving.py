"""How a consumer leaves its group in bounded time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

log = logging.getLogger(__name__)

LEAVE_S: Final = 8.0
"""What a broker that answers needs is some milliseconds; librdkafka gives up the request to leave after five seconds."""


def leave(consumer: Consumer, last: Sequence[TopicPartition] = (), *, within_s: float = LEAVE_S) -> bool:
    """Commit `last`, and close. Returns whether `last` is known to be committed, and logs why not.

    librdkafka waits without a bound for the answer to a commit, in `commit` and in `close`: as long as a broker is frozen or a
    network swallows what is sent (measured: two hundred seconds and on). So both are done on a thread that does not keep the
    process from ending. Where it is not done in time the consumer must not be used any more; its thread keeps it.
    """
    failed = f"no answer within {within_s:.0f} s"

    def leaving() -> None:
        nonlocal failed
        try:
            if last:
                consumer.commit(offsets=list(last), asynchronous=False)
            failed = ""
        except KafkaException as error:
            failed = error.args[0].str()
        consumer.close()

    thread = threading.Thread(target=leaving, name="hw-leave", daemon=True)
    thread.start()
    thread.join(within_s)
    if failed:
        log.warning("offsets are not committed (%s); what was read since will be read again", failed)
    return not failed
