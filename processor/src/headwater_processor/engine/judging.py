"""Judging: what is due is read, judged by the pure core, and written in one fenced step.

What has to be looked at, and when, stands in `dl:<s>` in as-of time. The drain wakes what news may change (score 1), time
brings the rest; a look reads the facts, judges, and sets the next look. Alerts and status names go into the same step, so
a crash repeats a judgement and changes nothing. Nothing is judged before the policies are known, nor while as-of is not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from headwater_processor.adapters.shard_store import ShardStore, Writes
from headwater_processor.core import alerts as machines_codec
from headwater_processor.core import stops
from headwater_processor.core.alerts import Machine
from headwater_processor.core.desk import CANDIDATES, INPUTS, Judgement
from headwater_processor.core.growth import Tally, judge_growth
from headwater_processor.core.judge import EmitterFacts, judge_dataset, judge_emitter, judge_job, judge_run_lost
from headwater_processor.core.judge_domain import judge_blind, judge_partition
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import PolicySet
from headwater_processor.core.runs import decode_run, is_closed
from headwater_processor.core.template import RESTARTABLE
from headwater_processor.core.unlinked import JobFacts, OpenRun
from headwater_processor.engine.facts import ALIASES_EVERY_S, ALIASES_OF_NEW_S, FactReader
from headwater_processor.engine.images import judged
from headwater_processor.engine.publishing import Shard
from headwater_processor.engine.saying import Sayings
from headwater_processor.engine.waking import ShardJudge
from headwater_schemas.codec import encode_alert
from headwater_schemas.deltas import FreshnessState, Status
from headwater_schemas.ids import KEY_BYTES, dataset_key, emitter_key, shard_of

log = logging.getLogger(__name__)

DUE_MAX: Final = 200
"""Looks of a shard in one sweep: bounds the reads and the step that writes."""
LOST_MAX: Final = 500
LOST_LOOK_US: Final = 30_000_000
EMITTERS_EVERY_S: Final = 5.0
"""How often emitters with new or silent datasets are looked at: a look reads all datasets of the emitter."""
NEVER: Final = (1 << 53) - 1
"""A look that only news or a changed policy brings forward."""


class Judging:
    """Sweeps. Used by the shards' thread."""

    def __init__(
        self, store: ShardStore, reader: FactReader, *, shards: int, domain: str, topic: str, settings: JudgeSettings
    ) -> None:
        self._store = store
        self._reader = reader
        self._shards = shards
        self._domain = domain
        self._topic = topic
        self.settings = settings
        self.policies: PolicySet | None = None
        self.as_of: dict[int, int] = {}
        self.judged = 0
        self._emitters: set[bytes] = set()
        self._emitters_at = 0.0
        self.behind = False
        self.sayings = Sayings()

    def load(self, shard: Shard) -> ShardJudge:
        """What was judged of a shard that is taken over."""
        key, s = self._store.keys, shard.number
        statuses, machines = self._store.many([("HGETALL", key("st", s)), ("HGETALL", key("am", s))])
        judge = ShardJudge(shard, statuses, machines)
        judge.machines.update(self.sayings.corrected(s, judge.machines))
        return judge

    def sweep(self, judges: Sequence[ShardJudge]) -> bool:
        """Look at what is due; returns whether more is."""
        if self.policies is None or not self.as_of or min(self.as_of.values()) <= 0:
            return False
        self._name_emitters()
        newest = max(self.as_of.values())
        due = self._store.many(
            [
                ("ZRANGEBYSCORE", self._store.keys("dl", j.shard.number), "-inf", newest, "LIMIT", 0, DUE_MAX)
                for j in judges
            ]
        )
        more = False
        for judge, members in zip(judges, due, strict=True):
            if members and not judge.shard.lost:
                self._look(judge, members, newest)
                more = more or len(members) == DUE_MAX
        return more

    def _name_emitters(self) -> None:
        """Have the owners of their shards look at emitters. A name too many is harmless, so no fence is needed; one that a
        crash forgets is named again by the next dataset of the emitter, or by its silence."""
        now = time.monotonic()
        if not self._emitters or now - self._emitters_at < EMITTERS_EVERY_S:
            return
        self._emitters_at = now
        key = self._store.keys
        self._store.many([("RPUSH", key("o", shard_of(e, self._shards)), b"m" + e) for e in sorted(self._emitters)])
        self._emitters.clear()

    def sweep_runs(self, judges: Sequence[ShardJudge]) -> None:
        """Runs that have been silent for too long."""
        if self.policies is None or not self.as_of or min(self.as_of.values()) <= 0:
            return
        silent = min(self.as_of.values()) - self.settings.run_timeout_us
        found = self._store.many(
            [
                ("ZRANGEBYSCORE", self._store.keys("ro", j.shard.number), "-inf", silent, "LIMIT", 0, LOST_MAX)
                for j in judges
            ]
        )
        for judge, members in zip(judges, found, strict=True):
            by_job: dict[bytes, set[bytes]] = {}
            for member in members:
                by_job.setdefault(member[:KEY_BYTES], set()).add(member)
            changed = [job for job, runs in by_job.items() if judge.lost.get(job) != frozenset(runs)]
            changed += [job for job in judge.lost if job not in by_job]
            if changed and not judge.shard.lost:
                self._look_at_runs(judge, changed, by_job)

    # ---- one look --------------------------------------------------------------------------------------------------

    def _look(self, judge: ShardJudge, members: list[bytes], newest: int) -> None:
        by_kind: dict[bytes, list[bytes]] = {}
        for member in members:
            by_kind.setdefault(member[:1], []).append(member[1:])
        writes = Writes()
        updates: dict[bytes, Status] = {}
        machines: dict[str, Machine | None] = {}
        self._look_at_datasets(judge, by_kind.get(b"d", []), newest, writes, updates, machines)
        self._look_at_jobs(judge, by_kind.get(b"j", []), newest, writes, updates, machines)
        self._look_at_emitters(judge, by_kind.get(b"e", []), newest, writes, machines)
        for job in by_kind.get(b"r", []):
            judge.lost[job] = frozenset()  # the sweep of runs looks again, whether it has lost runs or had some
            writes.members_gone.append(b"r" + job)
        self._write(judge, writes, updates, machines)

    def _look_at_datasets(
        self,
        judge: ShardJudge,
        keys: list[bytes],
        newest: int,
        writes: Writes,
        updates: dict[bytes, Status],
        machines: dict[str, Machine | None],
    ) -> None:
        policies = self.policies
        assert policies is not None  # noqa: S101 - `sweep` looked
        new = any(b"d" + key not in judge.statuses for key in keys)
        found = self._reader.datasets(keys, policies, aliases_s=ALIASES_OF_NEW_S if new else ALIASES_EVERY_S)
        for key, facts in found.items():
            member = b"d" + key
            previous = judge.statuses.get(member)
            result = judge_dataset(facts, policies, self.as_of, judge.machines, self.settings, previous=previous)
            if result.wants:
                # Looked for only now: few datasets hang loose or are late, and what is said of them must be right at once.
                result = judge_dataset(
                    facts, policies, self.as_of, judge.machines, self.settings,
                    self._reader.candidates() if CANDIDATES in result.wants else None, previous,
                    inputs=self._reader.inputs_of(key, policies) if INPUTS in result.wants else None,
                )  # fmt: skip
            self._gather(member, result, newest, writes, machines)
            if result.status is not None:
                self._status(judge, member, previous, result.status, writes, updates, result.max_age_us)
                silent = FreshnessState.NO_DATA
                if facts.emitter and (previous is None or silent in (previous.state, result.status.state)):
                    self._emitters.add(emitter_key(facts.emitter))
        for key in keys:
            if key not in found:  # nothing is known of it yet but its name
                writes.looks += (_score(NEVER), b"d" + key)

    def _look_at_jobs(
        self,
        judge: ShardJudge,
        keys: list[bytes],
        newest: int,
        writes: Writes,
        updates: dict[bytes, Status],
        machines: dict[str, Machine | None],
    ) -> None:
        policies = self.policies
        assert policies is not None  # noqa: S101 - `sweep` looked
        found = self._reader.jobs(keys)
        for key in keys:
            facts = found.get(key)
            if facts is None:
                writes.looks += (_score(NEVER), b"j" + key)
                continue
            member = b"j" + key
            previous = judge.statuses.get(member)
            result = judge_job(facts, policies, self.as_of, judge.machines, self.settings, previous=previous)
            self._gather(member, result, newest, writes, machines)
            if result.status is not None:
                self._status(judge, member, previous, result.status, writes, updates)

    def _look_at_emitters(
        self,
        judge: ShardJudge,
        keys: list[bytes],
        newest: int,
        writes: Writes,
        machines: dict[str, Machine | None],
    ) -> None:
        policies = self.policies
        assert policies is not None  # noqa: S101 - `sweep` looked
        for key in keys:
            facts: EmitterFacts | None = self._reader.emitter(key, policies)
            if facts is None:
                writes.members_gone.append(b"e" + key)
                continue
            result = judge_emitter(facts, policies, self.as_of, judge.machines, self.settings)
            if result.wants:
                after = self._reader.made_of([dataset_key(one.name) for one in facts.datasets])
                result = judge_emitter(facts, policies, self.as_of, judge.machines, self.settings, downstream=after)
            self._gather(b"e" + key, result, newest, writes, machines)

    def _look_at_runs(self, judge: ShardJudge, jobs: Iterable[bytes], by_job: Mapping[bytes, set[bytes]]) -> None:
        policies = self.policies
        assert policies is not None  # noqa: S101 - `sweep_runs` looked
        key = self._store.keys
        writes = Writes()
        machines: dict[str, Machine | None] = {}
        jobs = list(jobs)
        facts_of = self._reader.jobs(jobs)
        members = [member for job in jobs for member in by_job.get(job, ())]
        values = self._store.many([("HGET", key("run"), member) for member in members])
        stored = dict(zip(members, values, strict=True))
        for job in jobs:
            runs = []
            for member in sorted(by_job.get(job, ())):
                value = stored[member]
                run = decode_run(value[8:]) if value is not None else None
                if run is None or is_closed(run):
                    writes.runs_lost.append(member)  # its record says that it ended, or is gone
                    continue
                runs.append(
                    OpenRun(member[KEY_BYTES:], run.started or run.first, run.seen, bool(run.flags & RESTARTABLE))
                )
                if member not in judge.named_lost:
                    judge.named_lost.add(member)
                    writes.names += (judge.shard.number, b"r" + member)
            facts = facts_of.get(job) or JobFacts(self._reader.name(job))
            result = judge_run_lost(facts, runs, policies, self.as_of, judge.machines, self.settings)
            machines.update(result.machines)
            writes.alerts += [_packed(alert.fingerprint, encode_alert(alert)) for alert in result.alerts]
            if runs:  # looked at now and then: whoever takes the shard over does not know which jobs had lost runs
                writes.looks += (_score(max(self.as_of.values()) + LOST_LOOK_US), b"r" + job)
        if self._write(judge, writes, {}, machines):
            judge.lost.update((job, frozenset(by_job[job])) for job in jobs if job in by_job)
            for job in jobs:
                if job not in by_job:
                    judge.lost.pop(job, None)

    # ---- the domain itself -----------------------------------------------------------------------------------------

    def look_at_domain(
        self,
        judge: ShardJudge,
        stopped: Mapping[int, tuple[int, str]],
        born_us: int,
        unjudged_critical: int,
        now_us: int,
    ) -> None:
        """Headwater's own alerts: partitions that were stopped, and whether anything can be judged at all."""
        known = [self.as_of.get(p, 0) for p in stopped]
        as_of_us = min(known) if known else 0
        slowest = min(stopped, key=lambda p: self.as_of.get(p, 0), default=0)
        why = f"partition {slowest} of {self._topic} is not proven to be read to its end"
        results = [
            judge_blind(
                self._domain, as_of_us or born_us, unjudged_critical, why, now_us, judge.machines, self.settings
            )
        ]
        for partition, (since_us, reason) in stopped.items():
            resume = stops.resume_command(partition)
            results.append(judge_partition(self._topic, partition, since_us, reason, resume, now_us, judge.machines))
        self._say(judge, results)

    def look_at_growth(self, judge: ShardJudge, tally: Tally) -> None:
        """Who brings names without end, as a walk over all of them has counted."""
        policies = self.policies
        assert policies is not None  # noqa: S101 - nobody counts before they are known
        as_of_us = min(self.as_of.values(), default=0)
        self._say(judge, judge_growth(tally, policies, as_of_us, judge.machines, self.settings))

    def _say(self, judge: ShardJudge, results: Iterable[Judgement]) -> None:
        """Write what follows for subjects that have neither a status nor a look of their own."""
        writes = Writes()
        machines: dict[str, Machine | None] = {}
        for result in results:
            machines.update(result.machines)
            writes.alerts += [_packed(alert.fingerprint, encode_alert(alert)) for alert in result.alerts]
        changed = {f: m for f, m in machines.items() if _matters(judge.machines.get(f), m)}
        if writes.alerts or changed:
            self._write(judge, writes, {}, changed)

    # ---- gathering and writing -------------------------------------------------------------------------------------

    def _gather(
        self, member: bytes, result: Judgement, newest: int, writes: Writes, machines: dict[str, Machine | None]
    ) -> None:
        self.judged += 1
        machines.update(result.machines)
        writes.alerts += [_packed(alert.fingerprint, encode_alert(alert)) for alert in result.alerts]
        # A look that is due already and could not be decided (as-of of its own partitions is behind) waits a moment.
        look = max(result.next_look_us, newest + 1) if result.next_look_us else NEVER
        writes.looks += (_score(look), member)

    @staticmethod
    def _status(
        judge: ShardJudge,
        member: bytes,
        previous: Status | None,
        status: Status,
        writes: Writes,
        updates: dict[bytes, Status],
        max_age_us: int = 0,
    ) -> None:
        if previous is not None and _same(previous, status):
            return
        updates[member] = status
        if previous is None and member[:1] == b"j" and not status.unlinked:
            return  # a job that hangs on both sides: nothing to say until that changes
        writes.statuses += (member, judged(status, max_age_us).pack())
        writes.names += (judge.shard.number, b"s" + member)

    def _write(
        self, judge: ShardJudge, writes: Writes, updates: dict[bytes, Status], machines: Mapping[str, Machine | None]
    ) -> bool:
        for fingerprint, machine in machines.items():
            if machine is None:
                writes.machines_gone.append(fingerprint.encode())
            else:
                writes.machines += (fingerprint.encode(), machines_codec.encode(machine))
        policies = self.policies
        assert policies is not None  # noqa: S101 - nothing is judged without
        answer = self._store.judge(judge.shard.fence, policies.version, writes)
        if answer == 0:
            judge.shard.lost = True
        elif answer < 0:
            self.behind = True  # another worker knows newer policies; ours are on their way
        else:
            judge.statuses.update(updates)
            for fingerprint, machine in machines.items():
                if machine is None:
                    judge.machines.pop(fingerprint, None)
                else:
                    judge.machines[fingerprint] = machine
        return answer > 0


def unpack_alert(element: bytes) -> tuple[str, bytes]:
    """The Kafka key and the alert of an element of `ao:<s>`."""
    key, value = msgspec.msgpack.decode(element, type=tuple[str, bytes])
    return key, value


def _packed(fingerprint: str, value: bytes) -> bytes:
    return msgspec.msgpack.encode((fingerprint, value))


def _score(at_us: int) -> bytes:
    return str(at_us).encode()


def _same(a: Status, b: Status) -> bool:
    """Whether two statuses say the same; the deadline alone moves with every write and is not news."""
    return (a.state, a.reason, a.unlinked, a.kind, a.candidates, a.owner, a.policy_version) == (
        b.state, b.reason, b.unlinked, b.kind, b.candidates, b.owner, b.policy_version
    ) and (a.deadline_us == b.deadline_us or a.state is FreshnessState.FRESH)  # fmt: skip


def _matters(before: Machine | None, after: Machine | None) -> bool:
    if before is None or after is None:
        return before is not after
    return before.state is not after.state or before.deadline_us != after.deadline_us
