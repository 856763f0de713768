"""What the records of one batch add up to: per dataset, job, edge and run, only what changes state.

Records are first gathered by their template (what repeats), so the work grows with what a batch names, not with its
events. `Knowledge` then leaves out what this worker knows to be in Redis. Leaving something out is safe because the state
only grows: what an earlier plan carries is applied, or replayed, before anybody relies on it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from headwater_processor.core.decode import ABORT, COMPLETE, FAIL, NIL, OTHER, RUNNING, START, Extras
from headwater_processor.core.knowledge import MINUTE_US, Knowledge, minute_end
from headwater_processor.core.lattice import ALIAS, DS, FR, JOB, NO_MIN, ONE, invert, merge
from headwater_processor.core.pieces import blobs
from headwater_processor.core.plan_values import Rules
from headwater_processor.core.runs import HISTORY, OFFSETS_MAX, Run, encode_run, is_closed, join, keys_of, status, union
from headwater_processor.core.template import Entity, Template
from headwater_schemas.ids import edge_shard_key

PARTITION_MAX: Final = 65_535
"""The largest partition that an offset key can name."""
OFFSET_MAX: Final = 2**53 - 1
"""The largest offset that is kept: the call joins runs in Lua, whose numbers are doubles."""
SLOT_US: Final = 300_000_000
"""Width of a slot of the learned cadence: 5 minutes."""

_ZEROS12: Final = bytes(12)
_NO_ONE: Final = (b"", b"", b"", None)


class _Touch:
    """A template within one batch."""

    __slots__ = ("event_id", "first", "last", "newest", "open", "open_id", "run_id")

    def __init__(self, first: int, event_id: bytes, run_id: bytes) -> None:
        self.first = self.last = first
        self.event_id = event_id
        self.run_id = run_id
        self.newest: tuple[int, bytes] = (0, b"")
        """Time and id of the last event, if its template says facts."""
        self.open: _Open | None = None
        """The run it spoke of last, `open_id`: a streaming job speaks of one all the time."""
        self.open_id = b""


class _Open:
    """What a batch says of one run, while it is gathered."""

    __slots__ = ("offsets", "run", "template")

    def __init__(self, first: int) -> None:
        self.run = Run(first=first)
        self.template: Template | None = None
        self.offsets: dict[bytes, tuple[int, int]] = {}


class Batch:
    """Gathers the applied records of one batch (`add`), then says what has to be written (`blobs`)."""

    def __init__(self, partition: int, rules: Rules, knowledge: Knowledge, token: bytes) -> None:
        self._partition = partition
        self._rules = rules
        self._know = knowledge
        self._token = token
        self._touched: dict[Template, _Touch] = {}
        self._runs: dict[bytes, _Open] = {}
        self._fresh: dict[bytes, list[Any]] = {}  # [last write, payload, data through, failure, idle]
        self._proofs: set[tuple[bytes, int]] = set()  # (dataset, slot)
        self._lifecycle: list[tuple[Template, int, bytes]] = []
        self._versions: dict[bytes, tuple[int, bytes, bytes]] = {}
        self._names: dict[int, dict[bytes, None]] = {}
        self._dz: dict[bytes, int] = {}
        self._jz: dict[bytes, int] = {}
        self._ez: dict[bytes, int] = {}
        self._mz: dict[bytes, int] = {}
        self.buckets: list[str] = []
        self.packed_ids: list[bytes] = []
        self.operations = 0
        self.shards_touched = 0

    # ---- gathering: once a record ------------------------------------------------------------------------------

    def seen(self, bucket: str, hashes: list[int]) -> None:
        """The ids that this batch adds to a bucket of the log."""
        if hashes:
            self.buckets.append(bucket)
            self.packed_ids.append(b"".join([value.to_bytes(8, "little") for value in hashes]))

    def seen_packed(self, bucket: str, hashes: npt.NDArray[np.uint64]) -> None:
        """The same for an array."""
        if len(hashes):
            self.buckets.append(bucket)
            self.packed_ids.append(hashes.astype("<u8", copy=False).tobytes())

    def add(
        self,
        c: int,
        kind: int,
        event_id: bytes,
        run_id: bytes,
        template: Template,
        extras: Extras | None,
        append_us: int,
        undeduped: bool,
    ) -> None:
        """One applied record: credit time, type, ids, tail, extras."""
        touch = self._touched.get(template)
        if touch is None:
            touch = self._touched[template] = _Touch(c, event_id, run_id)
        elif c > touch.last:
            touch.last = c
        elif c < touch.first or (c == touch.first and event_id < touch.event_id):
            touch.first, touch.event_id, touch.run_id = c, event_id, run_id
        if template.about and (c, event_id) > touch.newest:
            touch.newest = (c, event_id)
        if template.lifecycle:
            self._lifecycle.append((template, c, event_id))
        if template.schema_versions:
            for key, version in template.schema_versions:
                said = (c, event_id, version)
                if said > self._versions.get(key, (0, b"", b"")):
                    self._versions[key] = said
        joined = run_id != NIL and template.job_key != b""
        nominal_end = 0 if extras is None else extras.nominal_end
        backfill = template.backfill or (nominal_end > 0 and c - nominal_end > self._rules.backfill_age_us)
        proven = False
        if extras is not None:
            proven = self._measured(c, kind, event_id, run_id, template, extras, append_us, backfill)
        if joined:
            if not undeduped:
                self._join(c, kind, event_id, run_id, template, extras, backfill, proven, touch)
        elif kind == COMPLETE:
            if not backfill:
                for key in template.outputs:
                    self._credit(key, c, event_id, run_id, template)
        elif kind in (FAIL, ABORT):
            for key in template.outputs:
                fresh = self._fresh_of(key)
                fresh[3] = max(fresh[3], c)

    def _fresh_of(self, key: bytes) -> list[Any]:
        fresh = self._fresh.get(key)
        if fresh is None:
            fresh = self._fresh[key] = [0, _NO_ONE, 0, 0, 0]
        return fresh

    def _credit(self, key: bytes, c: int, event_id: bytes, run_id: bytes, template: Template) -> None:
        """A proven write of dataset `key` at `c`. Who proved it is put together at the end: most are overtaken."""
        fresh = self._fresh.get(key)
        if fresh is None:
            fresh = self._fresh[key] = [0, _NO_ONE, 0, 0, 0]
        if c > fresh[0] or (c == fresh[0] and event_id > fresh[1][0]):
            fresh[0], fresh[1] = c, (event_id, run_id, template.job_key, template.emitter)
        self._proofs.add((key, c // SLOT_US))

    def _measured(
        self,
        c: int,
        kind: int,
        event_id: bytes,
        run_id: bytes,
        template: Template,
        extras: Extras,
        append_us: int,
        backfill: bool,
    ) -> bool:
        """What measures and nominal times say of the outputs; returns whether a write was proven by them."""
        proving = (kind in (RUNNING, OTHER)) and not backfill
        limit = append_us + self._rules.max_future_us
        proven = False
        dropped = template.dropped
        for dataset, _partition, first, last, rows, _bytes, _lag, through in extras.measures:
            if dataset < template.input_uses:
                continue
            key = template.use_keys[dataset]
            if dropped and key in dropped and key not in template.outputs:
                continue
            if proving and (rows > 0 or 0 <= first <= last):
                self._credit(key, c, event_id, run_id, template)
                proven = True
            if through > 0 and kind != FAIL and kind != ABORT:
                fresh = self._fresh_of(key)
                fresh[2] = max(fresh[2], min(through, limit))
        if kind == COMPLETE and extras.nominal_end > 0:
            for key in template.outputs:
                fresh = self._fresh_of(key)
                fresh[2] = max(fresh[2], min(extras.nominal_end, limit))
        return proven

    def _join(
        self,
        c: int,
        kind: int,
        event_id: bytes,
        run_id: bytes,
        template: Template,
        extras: Extras | None,
        backfill: bool,
        proven: bool,
        touch: _Touch,
    ) -> None:
        gathered = touch.open
        if gathered is None or touch.open_id != run_id:
            key = template.job_key + run_id
            gathered = self._runs.get(key)
            if gathered is None:
                gathered = self._runs[key] = _Open(c)
            touch.open, touch.open_id = gathered, run_id
        run = gathered.run
        if c < run.first:
            run.first = c
        if c > run.seen:
            run.seen = c
        if kind == RUNNING:
            if c > run.running:
                run.running = c
        elif kind == START:
            if not run.started or c < run.started:
                run.started = c
        elif kind == COMPLETE:
            run.complete = max(run.complete, (c, event_id))
            if not backfill:
                run.credit = max(run.credit, (c, event_id, template.emitter.key if template.emitter else b""))
        elif kind in (FAIL, ABORT):
            run.failed = max(run.failed, (c, 2 if kind == FAIL else 1, event_id, template.error))
        if gathered.template is not template:
            gathered.template = template
            run.inputs = union(run.inputs, template.inputs_blob)
            run.outputs = union(run.outputs, template.outputs_blob)
            run.flags |= template.run_flags
        if template.runtime and (c, event_id) > run.runtime[:2]:
            run.runtime = (c, event_id, template.runtime)
        if extras is not None:
            if extras.parent_run_id:
                run.parent = max(run.parent, (c, event_id, extras.parent_run_id, template.parent_job_key))
            if extras.measures:
                self._positions(c, kind, template, extras, gathered, proven)
        if not (extras is not None and extras.parent_run_id) and template.parent_job_key:
            run.parent = max(run.parent, (c, event_id, b"", template.parent_job_key))

    @staticmethod
    def _positions(c: int, kind: int, template: Template, extras: Extras, gathered: _Open, proven: bool) -> None:
        offsets = gathered.offsets
        read = caught_up = 0
        for dataset, partition, first, last, _rows, _bytes, lag, _through in extras.measures:
            if dataset < template.input_uses:
                read += 1
                caught_up += lag == 0
            if 0 <= partition <= PARTITION_MAX and 0 <= first <= last <= OFFSET_MAX:
                at = template.offset_key(dataset, partition)
                known = offsets.get(at)
                if known is not None:
                    offsets[at] = (min(first, known[0]), max(last, known[1]))
                elif len(offsets) < OFFSETS_MAX:
                    offsets[at] = (first, last)
        if kind == RUNNING and read and caught_up == read and not proven and c > gathered.run.idle:
            gathered.run.idle = c

    # ---- settling: once a name -----------------------------------------------------------------------------------

    def blobs(self) -> list[bytes]:
        """Everything the call writes, as msgpack arrays (`pieces`)."""
        out = _Writes()
        for template, touch in self._touched.items():
            self._settle(template, touch, out)
            if template.about:
                self._settle_about(template.about, touch.newest, out)
        for template, c, event_id in self._lifecycle:
            self._removals(template, c, event_id, out)
        for key, (c, event_id, version) in self._versions.items():
            out.sv += (key, ONE.pack(c) + event_id + version)  # the call sees whether it is another one, and names it
        self._settle_runs(out)
        for key, fresh in self._fresh.items():
            out.fr += (key, FR.pack(fresh[0], fresh[2], fresh[3], fresh[4]) + (_who(*fresh[1]) if fresh[0] else b""))
            self._name(key, b"f" + key)
            if fresh[0]:
                self._writer(key, out)
        for key, slot in self._proofs:
            if self._know.slots.get(key) != slot:
                self._know.slots[key] = slot
                out.cad += (key, slot)
        return self._pack(out)

    def _pack(self, out: _Writes) -> list[bytes]:
        names = []
        for shard, said in self._names.items():
            names += [shard, b"".join(said)]
            self.shards_touched |= 1 << shard
        zsets = [_scored(z) for z in (self._dz, self._jz, self._ez, self._mz)]
        parts = [
            out.names, _flat(out.ds), zsets[0], out.sv, _flat(out.mv), out.fr, _flat(out.job), zsets[1], _flat(out.edge),
            zsets[2], out.ax, zsets[3], out.ex, _flat(out.al), out.wp, out.cad, out.runs, out.ro_add, out.ro_rem, out.closed, names,
            _flat(out.gone), _flat(out.about),
        ]  # fmt: skip
        self.operations = sum(map(len, parts)) // 2
        self._know.trim()
        return blobs(parts)

    def _name(self, key: bytes, name: bytes) -> None:
        """Say in the outbox of the shard of `key` that `name` changed."""
        shard = key[0] % self._rules.shards
        said = self._names.get(shard)
        if said is None:
            said = self._names[shard] = {}
        said[name] = None

    def _settle(self, template: Template, touch: _Touch, out: _Writes) -> None:
        first, last = touch.first, touch.last
        minute = last // MINUTE_US
        dz = self._dz
        for key in template.asserted:
            if last > dz.get(key, 0):
                dz[key] = last
        if template.emitter is not None and last > self._mz.get(template.emitter.key, 0):
            self._mz[template.emitter.key] = last
        if template.aliases:
            self._settle_aliases(template.aliases, last, minute, out)
        generation = self._know.generation
        if template.warm_generation == generation and first > template.warm_first and minute <= template.warm_minute:
            return
        self._settle_cold(template, touch, minute, out)
        if template.warm_generation != generation:
            template.warm_generation, template.warm_first, template.warm_minute = generation, first, minute
        else:
            template.warm_first = min(first, template.warm_first)
            template.warm_minute = max(minute, template.warm_minute)

    def _settle_cold(self, template: Template, touch: _Touch, minute: int, out: _Writes) -> None:
        know = self._know
        for entity in template.names:
            if entity.key not in know.names:
                know.names.add(entity.key)
                out.names += (entity.key, entity.label)
        for key in template.asserted:
            self._settle_dataset(key, template, touch, minute, out)
        for key in template.edges:
            self._settle_edge(key, touch, minute, out)
        if template.job is not None:
            self._settle_job(template, touch, minute, out)
        for pair in template.emits:
            if pair not in know.pairs:
                know.pairs.add(pair)
                out.ex += (b"0", pair)
        if template.parent_job_key:
            pair = _ZEROS12 + template.parent_job_key  # a job that contains others needs no inputs of its own
            if pair not in know.pairs:
                know.pairs.add(pair)
                out.ex += (b"0", pair)

    def _settle_aliases(self, pairs: tuple[bytes, ...], last: int, minute: int, out: _Writes) -> None:
        """An alias is asserted as often as a dataset, and named once a minute."""
        aliases = self._know.aliases
        for pair in pairs:
            asserted, named = aliases.get(pair, (0, -1))
            if last > asserted:
                _put(out.al, pair, ALIAS, ALIAS.pack(last, 0.0))
            if minute > named:
                self._name(pair, b"a" + pair)
            aliases[pair] = (max(last, asserted), max(minute, named))

    @staticmethod
    def _settle_about(facts: tuple[tuple[bytes, bytes], ...], newest: tuple[int, bytes], out: _Writes) -> None:
        """The last writer of each fact; the call sees whether it says another thing than before, and names it."""
        said = ONE.pack(newest[0]) + newest[1]
        for at, text in facts:
            _put(out.about, at, ONE, said + text)

    def _settle_dataset(self, key: bytes, template: Template, touch: _Touch, minute: int, out: _Writes) -> None:
        first, said = touch.first, (touch.first, touch.event_id)
        known = self._know.datasets.get(key)
        if known is None:
            known = self._know.datasets[key] = [(1 << 62, b""), 1 << 62, 1 << 62, -1]
        read, written = key in template.read, key in template.written
        if said < known[0] or (read and first < known[1]) or (written and first < known[2]):
            record = DS.pack(-first, 0.0, 0.0, -first if read else NO_MIN, -first if written else NO_MIN)
            _put(out.ds, key, DS, record + invert(touch.event_id) + template.job_key)
            known[0] = min(known[0], said)
            if read:
                known[1] = min(known[1], first)
            if written:
                known[2] = min(known[2], first)
            known[3] = max(known[3], minute)
            self._name(key, b"d" + key)
        elif minute > known[3]:
            known[3] = minute
            self._name(key, b"d" + key)

    def _settle_edge(self, key: bytes, touch: _Touch, minute: int, out: _Writes) -> None:
        said = (touch.first, touch.event_id)
        known = self._know.edges.get(key)
        if known is None or said < known[0]:
            _put(out.edge, key, ONE, ONE.pack(-touch.first) + invert(touch.event_id) + touch.run_id)
            if known is None:
                out.ax += (b"0", key[1:13] + key, b"0", key[13:] + key)
            if known is None or minute > known[1]:
                self._assert_at(self._ez, key, touch.last)
            self._know.edges[key] = [said, minute if known is None else max(minute, known[1])]
        elif minute > known[1]:
            known[1] = minute
            self._assert_at(self._ez, key, touch.last)
        else:
            return
        self._name(edge_shard_key(key), b"e" + key)

    @staticmethod
    def _assert_at(scores: dict[bytes, int], key: bytes, c: int) -> None:
        end = minute_end(c)
        if end > scores.get(key, 0):
            scores[key] = end

    def _settle_job(self, template: Template, touch: _Touch, minute: int, out: _Writes) -> None:
        key, first, said = template.job_key, touch.first, (touch.first, touch.event_id)
        known = self._know.jobs.get(key)
        if known is None:
            known = self._know.jobs[key] = [(1 << 62, b""), 1 << 62, 1 << 62, False, -1]
        reads, writes = bool(template.inputs), len(template.use_keys) > template.input_uses
        news = (
            said < known[0]
            or (reads and first < known[1])
            or (writes and first < known[2])
            or (template.streaming and not known[3])
        )
        if news:
            record = JOB.pack(
                -first, -first if reads else NO_MIN, -first if writes else NO_MIN, 1.0 if template.streaming else 0.0
            )
            emitter = template.emitter.key if template.emitter else _ZEROS12
            _put(out.job, key, JOB, record + invert(touch.event_id) + emitter)
            known[0] = min(known[0], said)
            if reads:
                known[1] = min(known[1], first)
            if writes:
                known[2] = min(known[2], first)
            known[3] = known[3] or template.streaming
        elif minute <= known[4]:
            return
        if minute > known[4]:
            known[4] = minute
            self._assert_at(self._jz, key, touch.last)
        self._name(key, b"j" + key)

    def _removals(self, template: Template, c: int, event_id: bytes, out: _Writes) -> None:
        for key in template.truncated:
            _put(out.ds, key, DS, DS.pack(NO_MIN, 0.0, c, NO_MIN, NO_MIN))
            self._name(key, b"d" + key)
        for key in template.dropped:
            self._retract(key, c, out)
        for previous, now in template.renamed:
            self._retract(previous, c, out)
            _put(out.mv, previous, ONE, ONE.pack(c) + event_id + now)

    def _retract(self, key: bytes, c: int, out: _Writes) -> None:
        _put(out.ds, key, DS, DS.pack(NO_MIN, c, 0.0, NO_MIN, NO_MIN))
        out.gone[key] = max(c, out.gone.get(key, 0))
        self._name(key, b"d" + key)
        self._name(key, b"bd" + key)
        for shard in range(self._rules.shards):  # its edges may live anywhere
            self._names.setdefault(shard, {})[b"n" + key] = None

    def _writer(self, key: bytes, out: _Writes) -> None:
        pair = key + self._partition.to_bytes(4, "big")
        if pair not in self._know.writers:
            self._know.writers.add(pair)
            out.wp += (key, self._partition)

    # ---- runs ----------------------------------------------------------------------------------------------------

    def _settle_runs(self, out: _Writes) -> None:
        spoken: dict[bytes, list[tuple[int, bytes, Run]]] = {}
        ro_add: dict[int, list[bytes]] = {}
        ro_rem: dict[int, list[bytes]] = {}
        for key, gathered in self._runs.items():
            said = gathered.run
            if gathered.offsets:
                said.offsets = [part for at in sorted(gathered.offsets) for part in (at, *gathered.offsets[at])]
            shard = key[0] % self._rules.shards
            known, token = self._know.runs.get(key, (None, b""))
            if known is not None and _only_alive(known, said):
                # A heartbeat within a minute that is written. The record is this worker's own, so it may be changed.
                known.seen = max(known.seen, said.seen)
                known.running = max(known.running, said.running)
                continue
            run = said if known is None else join(known, said)
            closed = is_closed(run)
            if known is None or _news(known, run):
                out.runs += (key, token, self._token + encode_run(run), 1 if closed else 0, shard)
                self._know.runs[key] = (run, self._token)
                self._credits(key, known, run)
                of_job = spoken.get(key[:12])
                if of_job is None:
                    of_job = spoken[key[:12]] = []
                of_job.append((run.started or run.first, key, run))
                if closed and (known is None or not is_closed(known)):
                    self._know.closed.append(key)
                    out.closed.append(ONE.pack(run.seen) + key)
                    if known is not None:
                        ro_rem.setdefault(shard, []).append(key)
                if not closed:
                    ro_add.setdefault(shard, []).extend((str(minute_end(run.seen)).encode(), key))
            else:
                self._know.runs[key] = (run, token)
        for runs in spoken.values():
            for _, key, _run in runs if len(runs) <= HISTORY else _can_be_shown(runs):
                self._name(key, b"r" + key)
        out.ro_add = [part for item in ro_add.items() for part in item]
        out.ro_rem = [part for item in ro_rem.items() for part in item]

    def _credits(self, key: bytes, known: Run | None, run: Run) -> None:
        """What the joined run proves of its outputs, as far as this worker had not said so before."""
        grown = known is None or known.outputs != run.outputs
        credit = run.credit[0] > 0 and (grown or known is None or known.credit != run.credit)
        failure = run.failed[0] > 0 and (grown or known is None or known.failed[0] != run.failed[0])
        idle = run.idle > 0 and (grown or known is None or known.idle != run.idle)
        if not (credit or failure or idle):
            return
        c, event_id, emitter = run.credit
        for dataset in keys_of(run.outputs):
            if credit:
                fresh = self._fresh_of(dataset)
                if c > fresh[0] or (c == fresh[0] and event_id > fresh[1][0]):
                    fresh[0], fresh[1] = c, (event_id, key[12:], key[:12], emitter)
                self._proofs.add((dataset, c // SLOT_US))
            if failure or idle:
                fresh = self._fresh_of(dataset)
                fresh[3] = max(fresh[3], run.failed[0])
                fresh[4] = max(fresh[4], run.idle)


class _Writes:
    """The parts of a call, each a flat list as apply.lua reads it."""

    def __init__(self) -> None:
        self.names: list[Any] = []
        self.ds: dict[bytes, bytes] = {}
        self.sv: list[Any] = []
        self.mv: dict[bytes, bytes] = {}
        self.fr: list[Any] = []
        self.job: dict[bytes, bytes] = {}
        self.edge: dict[bytes, bytes] = {}
        self.ax: list[Any] = []
        self.ex: list[Any] = []
        self.al: dict[bytes, bytes] = {}
        self.wp: list[Any] = []
        self.cad: list[Any] = []
        self.runs: list[Any] = []
        self.ro_add: list[Any] = []
        self.ro_rem: list[Any] = []
        self.closed: list[bytes] = []
        self.gone: dict[bytes, int] = {}
        self.about: dict[bytes, bytes] = {}


def _put(records: dict[bytes, bytes], key: bytes, shape: struct.Struct, record: bytes) -> None:
    """Each record once in a call: the call merges with what is stored, not with what stands beside it."""
    known = records.get(key)
    records[key] = record if known is None else merge(shape, known, record)


def _flat(records: Mapping[bytes, Any]) -> list[Any]:
    return [part for item in records.items() for part in item]


def _scored(scores: dict[bytes, int]) -> list[bytes]:
    return [part for key, score in scores.items() for part in (str(score).encode(), key)]


def _who(event_id: bytes, run_id: bytes, job_key: bytes, emitter: Entity | bytes | None) -> bytes:
    """The payload of a freshness record."""
    key = emitter if isinstance(emitter, bytes) else emitter.key if emitter is not None else _ZEROS12
    return event_id + run_id + (job_key or _ZEROS12) + (key or _ZEROS12)


def _can_be_shown(runs: list[tuple[int, bytes, Run]]) -> list[tuple[int, bytes, Run]]:
    """Of many runs of a job (start, key, record) those that its history can show: no other needs to be looked at."""
    runs.sort(key=_by_start, reverse=True)
    shown = runs[:HISTORY]
    good = [(run.complete[0], key, at) for at, (_, key, run) in enumerate(runs) if status(run) == "complete"]
    if good:
        best = max(good)[2]
        if best >= HISTORY:
            shown.append(runs[best])
    return shown


def _by_start(said: tuple[int, bytes, Run]) -> tuple[int, bytes]:
    return said[0], said[1]


def _only_alive(known: Run, said: Run) -> bool:
    """Whether a batch says nothing of an open run but that it runs, within the minute that was written."""
    return (
        said.seen // MINUTE_US <= known.seen // MINUTE_US
        and said.running // MINUTE_US <= known.running // MINUTE_US
        and said.runtime[0] // MINUTE_US <= known.runtime[0] // MINUTE_US
        and not said.offsets
        and not said.idle
        and not said.complete[0]
        and not said.failed[0]
        and not known.complete[0]
        and not known.failed[0]
        and not said.started
        and said.first >= known.first
        and said.flags == known.flags
        and said.inputs == known.inputs
        and said.outputs == known.outputs
        and said.runtime[2] == known.runtime[2]
        and not said.parent[0]
    )


def _minutes(run: Run) -> tuple[int, int, int, int]:
    """The times that are written to the minute. Each by itself: out of order one can move while the others stand."""
    return (
        run.seen // MINUTE_US,
        run.running // MINUTE_US,
        run.runtime[0] // MINUTE_US,
        run.parent[0] // MINUTE_US,
    )


def _news(known: Run, run: Run) -> bool:
    """Whether the record has to be written: anything but times that move within the same minute."""
    if run.flags & 2 and run.failed[0] and known.running != run.running:
        return True
    if _minutes(run) != _minutes(known):
        return True
    return not (
        known.offsets == run.offsets
        and known.complete == run.complete
        and known.credit == run.credit
        and known.failed == run.failed
        and known.first == run.first
        and known.started == run.started
        and known.inputs == run.inputs
        and known.outputs == run.outputs
        and known.idle == run.idle
        and known.flags == run.flags
        and known.runtime[2] == run.runtime[2]
        and known.parent[2:] == run.parent[2:]
    )
