"""From record values to columns: the fixed-width heads at once, the tails by looking them up.

A record of the contract is `head (41 bytes) | links | measures | nominal times | tail`. The head has the same width in every
record (event ids, an 8-byte varint of the time, a one-byte enum, the run id), so the heads of a batch are one matrix. Links
and measures are absent in most records, which then shows as seven zero bytes. What is left is the tail, which repeats:
equal bytes decode equally, so it is looked up (`Template`) and only decoded, by the checked reader, the first time.

Whatever does not look exactly like that (another writer schema, blocks of arrays, a time before 1978) goes, alone, through
the checked reader of the whole record; what that refuses is a `Rejected` with a reason. So one bad record costs one
checked read and nothing else, and no payload can shift its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from headwater_processor.core.template import Template
from headwater_schemas.codec import Rejected
from headwater_schemas.schema import Malformed, WriterSchema

I64 = npt.NDArray[np.int64]

HEAD: Final = 41
_LINKS: Final = 41  # four union indexes
_MEASURES: Final = 45
_TAIL: Final = 48  # with no links, no measures and no nominal times
_PLAIN: Final = bytes(7)
_TYPES: Final = {0: 0, 2: 1, 4: 2, 6: 3, 8: 4, 10: 5}  # zigzag of the enum index
_LINK_WIDTHS: Final = (16, 16, 16, 8)
_SHORTEST: Final = 10 + _TAIL
_HEADERS_MAX: Final = 64
"""Writer schemas whose tails are kept; others take the checked road."""
_MAX_RECORD_BYTES: Final = 65_000
"""Of a record on the fast road: so it can neither hold more items than a datum may, nor fill the memory with tails."""

START, RUNNING, COMPLETE, FAIL, ABORT, OTHER = range(6)
TYPE_CODES: Final = {"START": 0, "RUNNING": 1, "COMPLETE": 2, "FAIL": 3, "ABORT": 4, "OTHER": 5}
NIL: Final = bytes(16)

MeasureRow = tuple[int, int, int, int, int, int, int, int]
"""dataset, partition, first_offset, last_offset, rows, bytes, lag, data_through: the order of the contract."""


class Extras:
    """What only some records carry between head and tail."""

    __slots__ = ("measures", "nominal_end", "parent_run_id")

    def __init__(self, measures: Sequence[MeasureRow], nominal_end: int, parent_run_id: bytes) -> None:
        self.measures = measures
        self.nominal_end = nominal_end
        self.parent_run_id = parent_run_id


class Schemas(Protocol):
    """Where writer schemas come from: ours, the schema topic, a registry."""

    def by_header(self, value: bytes) -> tuple[WriterSchema, int] | Rejected:
        """The writer schema of a framed value and where its payload begins."""


class Columns:
    """The good records of a batch, in order, as parallel columns; and the bad ones, with their reasons."""

    __slots__ = ("bad", "extras", "ids", "rows", "run_ids", "templates", "times", "types")

    def __init__(self) -> None:
        self.rows: list[int] = []
        """Index of each good record in the batch."""
        self.ids: list[bytes] = []
        self.run_ids: list[bytes] = []
        self.types: list[int] = []
        self.templates: list[Template] = []
        self.extras: list[Extras | None] = []
        self.times: I64 = np.zeros(0, np.int64)
        self.bad: list[tuple[int, Rejected]] = []


_REFUSED: Final = bytes(HEAD)


FEW: Final = 12
"""Records of a batch up to which heads are read one by one: arrays of a few cost more than they save."""
_NO_LINKS: Final = bytes(4)
_SHORT_REGION: Final = 18
_KNOWN_MAX: Final = 50_000
_MEASURES_MAX: Final = 8
"""Measures of a record that are read here; records with more take the checked road."""
_INT_MORE: Final = 3
"""Bytes before the last one of an int: of more, an int may be none, and the checked reader knows."""
_LONG_MORE: Final = 8


class _NotPlainError(Exception):
    """This record needs the checked reader."""


class BatchDecoder:
    """Decodes batches; keeps the tails it has seen, `templates_max` of them at most (two generations of half).

    One per worker, used by one thread.
    """

    def __init__(self, schemas: Schemas, templates_max: int = 100_000) -> None:
        self._schemas = schemas
        self._half = max(1, templates_max // 2)
        self._young: dict[bytes, dict[bytes, Template]] = {}
        self._old: dict[bytes, dict[bytes, Template]] = {}
        self._fast: dict[bytes, WriterSchema] = {}
        self._count = 0
        self._extras: dict[bytes, Extras] = {}
        self.tails_decoded = 0
        self.records_checked = 0

    def decode(self, values: Sequence[bytes]) -> Columns:
        """Columns of the good records, reasons for the others. Never raises for what a record holds."""
        out = Columns()
        times_at: list[tuple[int, int]] = []
        heads: list[bytes] = []
        for row, value in enumerate(values):
            try:
                head, template, extras, time_us = self._record(value)
            except Malformed as error:
                out.bad.append((row, Rejected(error.reason, error.detail)))
                continue
            if time_us is not None:
                times_at.append((len(heads), time_us))
            heads.append(head)
            out.rows.append(row)
            out.templates.append(template)
            out.extras.append(extras)
        odd = _odd_heads(heads, times_at)
        for at in odd:
            self._again(values[out.rows[at]], at, out, heads, times_at)
        _fill_heads(out, heads, times_at)
        return out

    def _again(self, value: bytes, at: int, out: Columns, heads: list[bytes], times_at: list[tuple[int, int]]) -> None:
        """A record whose tail was known but whose head is none of ours: the checked reader decides."""
        try:
            heads[at], out.templates[at], out.extras[at], time_us = self._checked(value)
        except Malformed as error:
            out.bad.append((out.rows[at], Rejected(error.reason, error.detail)))
            out.bad.sort(key=lambda entry: entry[0])
            heads[at], time_us = _REFUSED, -1
        times_at.append((at, 0 if time_us is None else time_us))

    def _record(self, value: bytes) -> tuple[bytes, Template, Extras | None, int | None]:
        size = len(value)
        if size < _SHORTEST or size > _MAX_RECORD_BYTES:
            return self._checked(value)
        begin = 10 if value[0] == 0xC3 else 5
        header = value[:begin]
        tails = self._young.get(header)
        if tails is None:
            return self._checked(value)
        at = begin + _TAIL
        extras = None
        if value[begin + _LINKS : at] != _PLAIN:
            try:
                extras, at = _read_extras(value, begin + _LINKS, self._extras)
            except (_NotPlainError, IndexError):
                return self._checked(value)
        head = value[begin : begin + HEAD]
        template = tails.get(value[at:])
        if template is None:
            if not _is_plain(head):
                return self._checked(value)
            try:
                template = self._new_tail(header, value, at)
            except Malformed:
                return self._checked(value)  # of two faults it names the one that comes first
        if extras is not None and not _measures_fit(extras, template):
            return self._checked(value)  # if the head is odd, these are no measures
        return head, template, extras, None

    def _new_tail(self, header: bytes, value: bytes, at: int) -> Template:
        tail = value[at:]
        old = self._old.get(header)
        template = old.get(tail) if old is not None else None
        if template is None:
            self.tails_decoded += 1
            template = Template(self._fast[header].read_tail(value, at))
        if self._count >= self._half:
            self._old, self._count = self._young, 0
            self._young = {known: {} for known in self._young}
        self._young[header][tail] = template
        self._count += 1
        return template

    def _checked(self, value: bytes) -> tuple[bytes, Template, Extras | None, int | None]:
        self.records_checked += 1
        found = self._schemas.by_header(value)
        if isinstance(found, Rejected):
            raise Malformed(found.reason, found.detail)
        schema, at = found
        record = schema.read(value, at)
        header = value[:at]
        if schema.fast and header not in self._young and len(self._fast) < _HEADERS_MAX:
            self._fast[header] = schema
            self._young[header] = {}
        return _from_record(record)


def _is_plain(head: bytes) -> bool:
    """Whether the fixed-width reading holds: a time of exactly 8 varint bytes, a type of one."""
    if head[23] >= 128 or head[24] not in _TYPES:
        return False
    for at in range(16, 23):  # noqa: SIM110 - a generator costs more than the loop, and this is done for each record
        if head[at] < 128:
            return False
    return True


def _time_us(head: bytes) -> int:
    """The time of a plain head; 0 for one before 1970."""
    number = 0
    for at in range(23, 15, -1):
        number = number << 7 | (head[at] & 0x7F)
    return 0 if number & 1 else number >> 1


def _odd_heads(heads: list[bytes], times_at: list[tuple[int, int]]) -> list[int]:
    """Which heads are not plain, but for those that the checked reader made."""
    if len(heads) <= FEW:
        return [at for at, head in enumerate(heads) if not _is_plain(head) and at not in dict(times_at)]
    matrix = np.frombuffer(b"".join(heads), np.uint8).reshape(-1, HEAD)
    kinds = matrix[:, 24]
    plain = (matrix[:, 16:23] >= 128).all(axis=1) & (matrix[:, 23] < 128) & (kinds <= 10) & (kinds % 2 == 0)
    if bool(plain.all()):
        return []
    made = {at for at, _ in times_at}
    return [at for at in np.flatnonzero(~plain).tolist() if at not in made]


def _fill_heads(out: Columns, heads: list[bytes], times_at: list[tuple[int, int]]) -> None:
    out.ids = [head[:16] for head in heads]
    out.run_ids = [head[25:] for head in heads]
    if len(heads) <= FEW:
        made = dict(times_at)
        out.times = np.array([made.get(at, _time_us(head)) for at, head in enumerate(heads)], np.int64)
        out.types = [head[24] >> 1 for head in heads]
    else:
        _fill_columns(out, heads, times_at)
    if len(heads) and int(out.times.min()) < 1:
        _drop_bad_times(out)


def _fill_columns(out: Columns, heads: list[bytes], times_at: list[tuple[int, int]]) -> None:
    matrix = np.frombuffer(b"".join(heads), np.uint8).reshape(-1, HEAD)
    groups = (matrix[:, 16:24] & 0x7F).astype(np.int64)
    times = groups[:, 0]
    for i in range(1, 8):
        times = times | (groups[:, i] << (7 * i))
    times = times >> 1  # zigzag of a positive number; negative ones took the checked road or are odd
    times[(matrix[:, 16] & 1) == 1] = 0
    for at, time_us in times_at:
        times[at] = time_us
    out.times = times
    out.types = (matrix[:, 24] >> 1).tolist()


def _drop_bad_times(out: Columns) -> None:
    keep = [i for i, time_us in enumerate(out.times.tolist()) if time_us >= 1]
    kept = set(keep)
    refused = {row for row, _ in out.bad}
    out.bad += [
        (out.rows[i], Rejected("event_time", "the event time is not after 1970"))
        for i in range(len(out.rows))
        if i not in kept and out.rows[i] not in refused
    ]
    out.bad.sort(key=lambda entry: entry[0])
    out.rows = [out.rows[i] for i in keep]
    out.ids = [out.ids[i] for i in keep]
    out.run_ids = [out.run_ids[i] for i in keep]
    out.types = [out.types[i] for i in keep]
    out.templates = [out.templates[i] for i in keep]
    out.extras = [out.extras[i] for i in keep]
    out.times = out.times[keep]


def _read_extras(value: bytes, at: int, known: dict[bytes, Extras]) -> tuple[Extras, int]:
    """Links, measures and nominal times from `at` on, if they are in the plain form every encoder writes, and their end.

    Without links the whole is varints up to the tail; short ones (no offsets) repeat, and are looked up.
    Raises _NotPlainError, IndexError.
    """
    parent = b""
    if value[at : at + 4] == _NO_LINKS:
        at += 4
    else:
        parent, at = _read_links(value, at)
    end = _end_of_measures(value, at)
    region = value[at:end]
    if parent or len(region) > _SHORT_REGION:
        return _extras(region, parent), end
    extras = known.get(region)
    if extras is None:
        extras = _extras(region, b"")
        if len(known) >= _KNOWN_MAX:
            known.clear()
        known[region] = extras
    return extras, end


def _read_links(value: bytes, at: int) -> tuple[bytes, int]:
    """The parent run, and where the measures begin."""
    parent = b""
    for link, width in enumerate(_LINK_WIDTHS):
        flag = value[at]
        at += 1
        if flag == 2:
            if link == 0:
                parent = value[at : at + width]
            at += width
        elif flag:
            raise _NotPlainError
    return parent, at


def _end_of_measures(value: bytes, at: int) -> int:
    """The byte behind the measures in one block, the end of the array, and two nominal times.

    Raises _NotPlainError; IndexError where the record ends before.
    """
    count = value[at]
    at += 1
    if count:
        if count & 1 or count > 2 * _MEASURES_MAX:
            raise _NotPlainError
        for _ in range(count >> 1):
            at = _end_of_varint(value, at, _INT_MORE)
            at = _end_of_varint(value, at, _INT_MORE)
            for _ in range(6):
                at = _end_of_varint(value, at, _LONG_MORE)
        if value[at]:
            raise _NotPlainError
        at += 1
    at = _end_of_varint(value, at, _LONG_MORE)
    return _end_of_varint(value, at, _LONG_MORE)


def _end_of_varint(value: bytes, at: int, more: int) -> int:
    if value[at] < 0x80:
        return at + 1
    last = at + more
    at += 1
    while value[at] > 0x7F:
        at += 1
        if at > last:
            raise _NotPlainError
    return at + 1


def _extras(region: bytes, parent: bytes) -> Extras:
    numbers = _varints(region)
    measures: list[MeasureRow] = []
    if len(numbers) > 3:  # count, eight each, the end of the array, two nominal times
        measures = [tuple(numbers[i : i + 8]) for i in range(1, len(numbers) - 3, 8)]  # type: ignore[misc]  # 8 each
    return Extras(measures, numbers[-1], parent)


def _varints(region: bytes) -> list[int]:
    """Zig-zag varints one after another, none of more than 9 bytes."""
    numbers: list[int] = []
    number = shift = 0
    for at in range(len(region)):
        byte = region[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            numbers.append((number >> 1) ^ -(number & 1))
            number = shift = 0
        else:
            shift += 7
    return numbers


def _measures_fit(extras: Extras, template: Template) -> bool:
    """Whether every measure names a dataset of the event."""
    uses = len(template.use_keys)
    return all(0 <= measure[0] < uses for measure in extras.measures)


def _from_record(record: Mapping[str, Any]) -> tuple[bytes, Template, Extras | None, int | None]:
    """The same for a record that came through the checked reader."""
    time_us = record["event_time"]
    if time_us < 1:
        raise Malformed("event_time", f"the event time {time_us} is not after 1970")
    template = Template(record)
    measures = [
        (m["dataset"], m["partition"], m["first_offset"], m["last_offset"], m["rows"], m["bytes"], m["lag"],
         m["data_through"]) for m in record["measures"]
    ]  # fmt: skip
    parent = record["parent_run_id"] or b""
    extras = Extras(measures, record["nominal_end"], parent)
    if not _measures_fit(extras, template):
        uses = len(template.use_keys)
        raise Malformed("measure_index", f"a measure names a dataset that is none of the event's {uses}")
    code = TYPE_CODES[record["event_type"]]
    head = record["event_id"] + bytes(8) + bytes((code * 2,)) + record["run_id"]
    plain = not measures and not parent and not extras.nominal_end
    return head, template, None if plain else extras, time_us
