"""What stands on a dead letter, whoever writes it: the headers of the record as received, then what is wrong with it.

Kafka Connect's error headers come first (KIP-298; strings, numbers too), so that existing dead-letter tools read them, then
ours with the reason code. Key and value of the letter are those of the record, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from headwater.runtime.producing import Headers

_TEXT_MAX: Final = 1000


class Received(Protocol):
    """A consumed record, as confluent-kafka's Message gives it."""

    def headers(self) -> Mapping[str, str | bytes | None] | Sequence[tuple[str, str | bytes | None]] | None: ...
    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def timestamp(self) -> tuple[int, int]: ...


def dead_letter_headers(record: Received, reason: str, detail: str, *, group: str, stage_class: str) -> Headers:
    """Headers of the letter about a record.

    Args:
        reason: a short code from a fixed list; people filter by it.
        detail: for people; cut after 1,000 characters. It must hold no secrets.
        group: the consumer group that could not use the record.
        stage_class: the code that refused it.
    """
    given = record.headers() or []
    return [
        *(given.items() if isinstance(given, Mapping) else given),
        ("__connect.errors.topic", record.topic() or ""),
        ("__connect.errors.partition", str(record.partition())),
        ("__connect.errors.offset", str(record.offset())),
        ("__connect.errors.connector.name", group),
        ("__connect.errors.task.id", str(record.partition())),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
        ("__connect.errors.class.name", stage_class),
        ("__connect.errors.exception.class.name", f"headwater.{reason}"),
        ("__connect.errors.exception.message", detail[:_TEXT_MAX]),
        ("headwater.dlq.reason", reason),
        ("headwater.dlq.timestamp", str(record.timestamp()[1])),
    ]
