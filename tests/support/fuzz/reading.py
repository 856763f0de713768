"""Both readings of a session's batches, side by side: the batch decoder against the checked reader of each record."""

from __future__ import annotations

import time
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from tests.support.checked import KnownSchemas, Reading, read_checked, readings
from tests.support.fuzz.payloads import Payload
from tests.support.fuzz.writers import schemas

from headwater_processor.core.decode import BatchDecoder
from headwater_schemas.codec import REASONS

Values = Sequence[bytes | None]

BASE_US: Final = 250_000
US_PER_BYTE: Final = 8
"""CPU time that a batch may take: a record of a megabyte with 65,000 datasets needs 0.7 µs per byte."""
BASE_BYTES: Final = 4 << 20
BYTES_PER_BYTE: Final = 250
"""Memory that a batch may take while it is read: an item of four bytes becomes a dict of 232 and more."""
TEMPLATES: Final = (2, 40, 100_000)


@dataclass(frozen=True, slots=True)
class Failure:
    """What did not hold, of which record of which batch (-1: the batch as a whole)."""

    batch: int
    row: int
    what: str


@dataclass(slots=True)
class Tally:
    """Counted over a run. Times are CPU time."""

    payloads: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    slowest_batch_us: int = 0
    slowest_record_us: int = 0
    largest_bytes: int = 0
    most_memory_bytes: int = 0

    def add(self, batch: Sequence[Payload], expected: Sequence[Reading | str]) -> None:
        """A batch on which both agreed."""
        self.payloads += len(batch)
        self.ways.update(each.way for each in batch)
        self.outcomes.update(each if isinstance(each, str) else "decoded" for each in expected)
        self.largest_bytes = max(self.largest_bytes, *(len(each.value or b"") for each in batch))


def read_session(
    batches: Sequence[Sequence[Payload]],
    known: KnownSchemas,
    tally: Tally,
    templates_max: int,
    *,
    measured: bool = False,
) -> Failure | None:
    """Read the batches in order with one decoder; the first thing that did not hold, if any.

    `measured` watches the memory too, which takes a few times longer.
    """
    decoder = BatchDecoder(known, templates_max)
    for number, batch in enumerate(batches):
        values = [each.value or b"" for each in batch]  # as the engine does for tombstones
        expected: list[Reading | str] = []
        for row, value in enumerate(values):
            started = time.thread_time_ns()
            try:
                expected.append(read_checked(value, known))
            except Exception:  # noqa: BLE001 - any exception at all is what is looked for
                return Failure(number, row, "the checked reader raised:\n" + traceback.format_exc())
            tally.slowest_record_us = max(tally.slowest_record_us, (time.thread_time_ns() - started) // 1000)
        again = partial(_decoder_after, batches[:number], known, templates_max)
        failure = _read_batch(decoder, number, values, expected, tally, measured, again)
        if failure is not None:
            return failure
        tally.add(batch, expected)
    return None


def _read_batch(
    decoder: BatchDecoder,
    number: int,
    values: list[bytes],
    expected: list[Reading | str],
    tally: Tally,
    measured: bool,
    again: Callable[[], BatchDecoder],
) -> Failure | None:
    size = sum(map(len, values))
    if measured:
        tracemalloc.start()
    started = time.thread_time_ns()
    try:
        columns = decoder.decode(values)
        took_us = (time.thread_time_ns() - started) // 1000
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        found = readings(columns, len(values))
    except Exception:  # noqa: BLE001 - any exception at all is what is looked for
        return Failure(number, -1, "the batch decoder raised:\n" + traceback.format_exc())
    finally:
        tracemalloc.stop()
    tally.slowest_batch_us = max(tally.slowest_batch_us, 0 if measured else took_us)
    tally.most_memory_bytes = max(tally.most_memory_bytes, peak)
    for row, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        if mine != theirs:
            return Failure(number, row, f"the batch decoder: {mine}\nthe checked reader: {theirs}")
        if isinstance(mine, str) and (mine not in REASONS or mine == "unreadable"):
            return Failure(number, row, f"rejected as {mine}, which nothing may be")
    most_us = BASE_US + US_PER_BYTE * size
    if not measured and took_us > most_us and _least_us(values, again) > most_us:
        return Failure(number, -1, f"{took_us} µs for {len(values)} records of {size} bytes together")
    if peak > BASE_BYTES + BYTES_PER_BYTE * size:
        return Failure(number, -1, f"{peak} bytes of memory for {len(values)} records of {size} bytes together")
    return None


def _decoder_after(batches: Sequence[Sequence[Payload]], known: KnownSchemas, templates_max: int) -> BatchDecoder:
    """Another decoder that has read these batches."""
    decoder = BatchDecoder(known, templates_max)
    for batch in batches:
        decoder.decode([each.value or b"" for each in batch])
    return decoder


def _least_us(values: list[bytes], again: Callable[[], BatchDecoder]) -> int:
    """The best of two further readings: page faults of the machine count as ours, but do not come three times in a row."""
    took_us = []
    for decoder in (again(), again()):
        started = time.thread_time_ns()
        decoder.decode(values)
        took_us.append((time.thread_time_ns() - started) // 1000)
    return min(took_us)


def fails(batches: Sequence[Values]) -> str:
    """What does not hold when these batches are read, in order, with and without room for tails; empty if all holds."""
    known = schemas()
    made = [[Payload(value, "kept") for value in batch] for batch in batches]
    for templates_max in TEMPLATES:
        for order in (made, made + made, made + [batch[::-1] for batch in made]):
            failure = read_session(order, known, Tally(), templates_max)
            if failure is not None:
                return f"batch {failure.batch}, record {failure.row}, room for {templates_max} tails: {failure.what}"
    return ""
