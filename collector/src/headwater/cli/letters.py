"""Dead letters as values: where each came from, what was found wrong, and which were sent again. Pure.

A letter keeps key, value and headers as they were received; the worker adds its own headers behind them (Kafka Connect's
`__connect.errors.*` and `headwater.dlq.*`). What was sent again is noted on the same partition by a *receipt*: a record
without a value whose header `headwater.replay.offsets` names the letters. It stands behind them, so that retention takes
the letters first, and everybody who replays sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import Message

from headwater.cli.printing import printable
from headwater.runtime.errors import UsageError

Headers = list[tuple[str, bytes | str | None]]
Place = tuple[str, int, int]
"""Topic, partition, offset."""

RECEIPT_HEADER: Final = "headwater.replay.offsets"
RECEIPT_KEY: Final = b"headwater.replay"
REPLAYED_PREFIX: Final = "headwater.replayed."
_FIRST_OF_OURS: Final = "__connect.errors.topic"


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. `headers` are those that came with the record, without the worker's. -1: the letter does not say."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    detail: str
    source_topic: str
    source_partition: int
    source_offset: int
    group: str
    returned: bool
    """Whether the record had been sent again before, and was refused again."""

    @property
    def place(self) -> str:
        """As the commands take it."""
        return f"{self.partition}:{self.offset}"

    @property
    def source(self) -> Place:
        """The letter's identity: it may be there twice."""
        return self.source_topic, self.source_partition, self.source_offset


@dataclass(frozen=True, slots=True)
class Filters:
    """Which letters are wanted. None and empty let everything pass; offsets are inclusive."""

    reasons: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None
    source_partition: int | None = None

    def take(self, letter: Letter) -> bool:
        """Whether the letter is wanted."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
            and (self.partition is None or letter.partition == self.partition)
            and (self.offsets is None or self.offsets[0] <= letter.offset <= self.offsets[1])
            and (self.source_partition is None or letter.source_partition == self.source_partition)
        )


@dataclass(slots=True)
class Receipts:
    """The letters that were sent again, as ranges of offsets of each partition."""

    ranges: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def add(self, partition: int, text: str) -> None:
        """Take a receipt in. What is no range is passed over: the letter then counts as not sent."""
        self.ranges.setdefault(partition, []).extend(_parsed_ranges(text))

    def settle(self) -> None:
        """Join what touches, so that questions are quick."""
        for partition, ranges in self.ranges.items():
            joined: list[tuple[int, int]] = []
            for first, last in sorted(ranges):
                if joined and first <= joined[-1][1] + 1:
                    joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
                else:
                    joined.append((first, last))
            self.ranges[partition] = joined

    def holds(self, letter: Letter) -> bool:
        """Whether this letter was sent again."""
        return any(first <= letter.offset <= last for first, last in self.ranges.get(letter.partition, ()))


def receipt_of(message: Message) -> str | None:
    """The ranges of a receipt; None if the record is none. A letter with such a header of its producer's is none."""
    names = dict(_headers(message))
    if RECEIPT_HEADER not in names or _FIRST_OF_OURS in names:
        return None
    return printable(_text(names[RECEIPT_HEADER]))


def letter_of(message: Message) -> Letter:
    """The letter that a record is. What others put on the topic has the reason `?` and no source."""
    headers = _headers(message)
    # The worker's headers come last: a producer's of the same name stand before them and are not believed.
    begins = max((at for at, (name, _) in enumerate(headers) if name == _FIRST_OF_OURS), default=len(headers))
    said = {name: printable(_text(value)) for name, value in headers[begins:]}
    received = headers[:begins]
    return Letter(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        timestamp_ms=message.timestamp()[1],
        key=_bytes(message.key()),
        value=_bytes(message.value()),
        headers=received,
        reason=said.get("headwater.dlq.reason") or "?",
        detail=said.get("__connect.errors.exception.message", ""),
        source_topic=said.get(_FIRST_OF_OURS, ""),
        source_partition=_number(said.get("__connect.errors.partition", "")),
        source_offset=_number(said.get("__connect.errors.offset", "")),
        group=said.get("__connect.errors.connector.name", ""),
        returned=any(name.startswith(REPLAYED_PREFIX) for name, _ in received),
    )


def headers_to_send(letter: Letter, dead_topic: str, now_ms: int) -> Headers:
    """The headers of the record that is sent again: those that it came with, and from which letter it is."""
    kept = [(name, value) for name, value in letter.headers if not name.startswith(REPLAYED_PREFIX)]
    return [
        *kept,
        (f"{REPLAYED_PREFIX}letter", f"{dead_topic}/{letter.partition}/{letter.offset}"),
        (f"{REPLAYED_PREFIX}source", f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}"),
        (f"{REPLAYED_PREFIX}at", str(now_ms)),
    ]


def ranges_text(offsets: Iterable[int]) -> str:
    """`12-40,45`: offsets as a receipt names them."""
    ranges: list[list[int]] = []
    for offset in sorted(offsets):
        if ranges and offset == ranges[-1][1] + 1:
            ranges[-1][1] = offset
        elif not ranges or offset > ranges[-1][1]:
            ranges.append([offset, offset])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse_offsets(text: str) -> tuple[int, int]:
    """`FROM-TO`, or one offset. Raises UsageError."""
    found = _parsed_ranges(text)
    if len(found) != 1 or "," in text:
        raise UsageError(f"--offsets {text!r} is no range", remedy="write it as 120-180 (both are meant), or 120")
    return found[0]


def parse_place(text: str) -> tuple[int, int]:
    """`PARTITION:OFFSET`, also with `@` as `headwater tail` prints it. Raises UsageError."""
    partition, _, offset = text.replace("@", ":").partition(":")
    if not (_is_number(partition) and _is_number(offset)):
        raise UsageError(f"{text!r} is no place of a letter", remedy="write it as 0:120 (partition, offset)")
    return int(partition), int(offset)


def hexdump(value: bytes, most: int) -> list[str]:
    """Lines of sixteen bytes: where, hexadecimal, and as ASCII where it can be printed. At most `most` bytes."""
    lines = []
    for at in range(0, min(len(value), most), 16):
        piece = value[at : min(at + 16, most)]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
        lines.append(f"{at:08x}  {piece[:8].hex(' '):23}  {piece[8:].hex(' '):23}  |{plain}|")
    return lines


def _parsed_ranges(text: str) -> list[tuple[int, int]]:
    found = []
    for piece in text.split(","):
        first, dash, last = piece.strip().partition("-")
        last = last if dash else first
        if _is_number(first) and _is_number(last) and int(first) <= int(last):
            found.append((int(first), int(last)))
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _number(text: str) -> int:
    return int(text) if _is_number(text) else -1


def _headers(message: Message) -> Headers:
    headers = message.headers() or []
    return list(headers.items() if isinstance(headers, dict) else headers)


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value or ""


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
