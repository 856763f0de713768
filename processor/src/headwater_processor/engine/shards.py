"""The shards of this worker: one thread that drains, publishes and judges.

Shard s belongs to the owner of events partition s mod P. When partitions come, their shards are taken over under a new
epoch; when they go, the round in hand is finished and the rest is left to the next owner. A step that is refused (another
epoch) ends the ownership of that shard at once; it is taken back only if the group still gives it to us after a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from redis.exceptions import RedisError, ResponseError

from headwater.runtime.metrics import Histogram
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.judge_domain import watchdog
from headwater_processor.core.judge_settings import JudgeSettings
from headwater_processor.core.policies import PolicySet
from headwater_processor.engine.census import Census
from headwater_processor.engine.facts import FactReader
from headwater_processor.engine.growth import GrowthWalk
from headwater_processor.engine.images import Facts
from headwater_processor.engine.judging import Judging, unpack_alert
from headwater_processor.engine.names import NameBook
from headwater_processor.engine.publishing import Drain, Publisher, Shard
from headwater_processor.engine.stats import SECONDS
from headwater_processor.engine.waking import ShardJudge, to_wake
from headwater_schemas.codec import encode_alert

log = logging.getLogger(__name__)

IDLE_S: Final = 0.02
"""How often outboxes are looked at when nobody of this process named anything: another worker may have."""
PAUSE_SHARE: Final = 0.5
PAUSE_MAX_S: Final = 2.0
"""After a round the next one waits half as long as it took, at most two seconds: when much changes, more of it coalesces
into one image. A round is mostly waiting (for Kafka's acknowledgement), so this costs little and keeps a proof of a write at
1,000 events a second at about 20 ms; twice as long a pause cost 32 ms and saved a twentieth of a core."""
BEHIND_PAUSE_S: Final = 10.0
"""Between rounds, and before the first, while a backlog is read: images of the past are overtaken by the next ones, so they
are held back, and as-of stands still anyway. The round after the backlog comes at once."""
BEHIND_FOR_S: Final = 0.5
"""A backlog that was not heard of for so long is read."""
ALERTS_MAX: Final = 500
REARM_STEP: Final = 1000
CENSUS_SWEEPS: Final = 10
"""Sweeps between two counts of what there is: ten seconds, unless a count takes longer."""
OUTBOX_LOW_SHARE: Final = 0.25
"""A crowd is over when the longest outbox has shrunk to this share of what is too long."""


@dataclass(frozen=True, slots=True)
class ShardSettings:
    """How the shards of a domain work. Times in seconds, but for the judge's."""

    shards: int
    domain: str
    topic: str
    interval_s: float
    sweep_interval_s: float
    watchdog_interval_s: float
    retake_s: float
    outbox_max: int
    judge: JudgeSettings
    asleep_s: float = 6.0
    """A thread that stood still for so long may have a successor, in a process that slept."""
    woken_s: float = 7.0
    """How long the group has to tell a process that slept what it owns."""


class Shards:
    """Owns the thread. `on_crowded(bool)` tells the engine to wait while the outboxes are too long."""

    def __init__(
        self,
        store: ShardStore,
        publisher: Publisher,
        settings: ShardSettings,
        *,
        on_crowded: Callable[[bool], None],
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._settings = settings
        self._on_crowded = on_crowded
        names = NameBook(lambda keys: store.many([("HMGET", store.keys("names"), *keys)])[0])
        self._reader = FactReader(store, names, alive=self.pulse)
        self._judging = Judging(
            store, self._reader, shards=settings.shards, domain=settings.domain, topic=settings.topic, settings=settings.judge
        )  # fmt: skip
        self.drain = Drain(
            store,
            names,
            publisher,
            shards=settings.shards,
            interval_s=settings.interval_s,
            run_timeout_us=settings.judge.run_timeout_us,
            wake=self._woken,
        )
        self.census = Census(
            store, self._reader, shards=settings.shards, every_s=CENSUS_SWEEPS * settings.sweep_interval_s
        )
        self.growth = GrowthWalk(store)
        self._judges: dict[int, ShardJudge] = {}
        self._wanted: set[int] = set()
        self._retake: dict[int, float] = {}
        self._commands: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._halt = threading.Event()
        self._policies: PolicySet | None = None
        self._partitions = 0
        self._swept_at = self._watchdog_at = self._domain_at = 0.0
        self._round = (0.0, 0.0)  # when the last round began and ended
        self._crowded = self._uncounted = False
        self._asleep_until = -1e9  # until when the group has time to speak
        self._behind_at = self._behind_since = -1e9  # when a backlog was heard of last, and first
        self._started_us = 0
        self.publish_s = self.judge_s = 0.0
        self.drain_took = Histogram(SECONDS)
        self.judge_took = Histogram(SECONDS)
        self.alerts = 0
        self.outboxes: tuple[tuple[int, int, float], ...] = ()
        """Of each shard that is ours: how long its outbox is, and since when (monotonic) its oldest entry waits; 0: none does."""
        self.moved_at = time.monotonic()
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="headwater-shards", daemon=True)

    # ---- from other threads ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def named(self, behind: bool = False) -> None:
        """Something was named: look at the outboxes now; `behind`: the worker reads a backlog."""
        now = time.monotonic()
        if behind and now - self._behind_at >= BEHIND_FOR_S:
            self._behind_since = now
        self._behind_at = now if behind else -1e9
        self._news.set()

    def assign(self, partitions: set[int], total: int) -> None:
        """These events partitions of `total` are ours: take their shards over, let go of the others."""

        def change() -> None:
            self._partitions = total
            self._wanted = self._shards_of(partitions, total)

        self._tell(change)

    def use_policies(self, policies: PolicySet) -> None:
        """Judge by these from now on; what they touch is looked at again."""

        def change() -> None:
            self._policies = policies

        self._tell(change)

    def release(self, partitions: set[int], deadline_s: float) -> bool:
        """Let go of the shards of these partitions. Returns when nothing of them is on its way any more: who takes one over says
        newer things at once. False if the round in hand was not done at the deadline."""
        done = threading.Event()

        def change() -> None:
            self._wanted -= self._shards_of(partitions, self._partitions)
            if not self._wanted:  # an eager group gives them back in a moment: what was said of them is not forgotten
                self._judges.clear()
            done.set()

        self._tell(change)
        return done.wait(deadline_s)

    def _tell(self, change: Callable[[], None]) -> None:
        with self._lock:
            self._commands.append(change)
        self._news.set()

    def _shards_of(self, partitions: set[int], total: int) -> set[int]:
        return {s for s in range(self._settings.shards) if s % total in partitions} if total else set()

    def pulse(self) -> None:
        """The loop moves, though it waits for the broker. Called by the shards' thread.

        After a long sleep (SIGSTOP, a frozen host) the group may have given our shards away without our knowing, to somebody
        who has not taken them over yet, so that asking Redis is not enough: they count as lost until the group has spoken.
        """
        now = time.monotonic()
        stood_s, self.moved_at = now - self.moved_at, now
        if stood_s > self._settings.asleep_s and self._judges:
            log.warning("stood still for %.1f s: nothing is published until the group says what is ours", stood_s)
            for judge in self._judges.values():
                judge.shard.lost = True
            self._asleep_until = now + self._settings.woken_s

    def owned(self) -> list[int]:
        """The shards that are ours now."""
        return sorted(self._judges)

    def judged(self) -> int:
        """How many looks were taken."""
        return self._judging.judged

    def as_of(self) -> dict[int, int]:
        """As-of of each partition, as it was read last."""
        return dict(self._judging.as_of)

    def close(self, deadline_s: float = 10.0) -> None:
        """End the thread; names that are not published stay for the next owner."""
        self._halt.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    # ---- the loop --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            wait_s = 0.1
            while not self._halt.is_set():
                try:
                    self._turn()
                    wait_s = 0.1
                except (RedisError, OSError) as error:
                    log.warning("shards: %s; trying again in %.1f s", error, wait_s)
                    self._start_over()
                    self._halt.wait(wait_s)
                    wait_s = min(2.0, wait_s * 2)
                    self.moved_at = time.monotonic()
        except BaseException as error:
            self.failed = error
            log.exception("the shards' thread failed; the worker has to end")
            raise

    def _start_over(self) -> None:
        """After an error nothing is known of what was done: read outboxes from their heads, statuses anew."""
        self._judges.clear()

    def _turn(self) -> None:
        self.pulse()
        self._drop_lost()
        self._obey()
        self._own()
        more = False
        if self._judges:
            judges = list(self._judges.values())
            now = time.monotonic()
            if now >= self._next_round():
                more = self._publish(judges)
                self._round = (now, time.monotonic())
                now = self._round[1]
            if now - self._swept_at >= self._settings.sweep_interval_s:
                self._swept_at = now
                started, before = time.thread_time(), self.publish_s
                began = time.perf_counter()
                self._sweep(judges)
                self.judge_took.observe(time.perf_counter() - began)
                self._count()
                self.judge_s += time.thread_time() - started - (self.publish_s - before)
            self._drop_lost()
        elif time.monotonic() - self._swept_at >= self._settings.sweep_interval_s:
            self._swept_at = time.monotonic()
            self._watch_crowd([])
        if not more or time.monotonic() < self._next_round():
            self._news.wait(IDLE_S)
            self._news.clear()

    def _next_round(self) -> float:
        """When the next round may begin (monotonic)."""
        began, ended = self._round
        if time.monotonic() - self._behind_at < BEHIND_FOR_S:
            return max(ended, self._behind_since) + BEHIND_PAUSE_S
        return ended + min(PAUSE_MAX_S, PAUSE_SHARE * (ended - began))

    def _publish(self, judges: list[ShardJudge]) -> bool:
        """A round of publishing; returns whether there may be more to do at once."""
        started, began, rounds = time.thread_time(), time.perf_counter(), self.drain.rounds
        more = self.drain.round([judge.shard for judge in judges], self._go_on)
        self.publish_s += time.thread_time() - started
        if self.drain.rounds != rounds:  # one that found nothing is a look, fifty times a second
            self.drain_took.observe(time.perf_counter() - began)
        return more

    def _go_on(self) -> bool:
        """Whether a long round goes on: not when the group has spoken, or the worker ends."""
        self.pulse()
        return not self._commands and not self._halt.is_set()

    def _obey(self) -> None:
        with self._lock:
            commands, self._commands = self._commands, []
        for command in commands:
            command()

    def _own(self) -> None:
        for number in [s for s in self._judges if s not in self._wanted]:
            del self._judges[number]
            self._judging.sayings.forget(number)
        now = time.monotonic()
        for number in sorted(self._wanted - self._judges.keys()):
            if self._retake.get(number, 0.0) > now:
                continue
            fence = self._store.acquire(number)
            judge = self._judging.load(Shard(fence, fence.version))
            self._judges[number] = judge
        if self._policies is not None and self._policies is not self._judging.policies:
            self._judging.policies = self._policies
            self._rearm(list(self._judges.values()))

    def _drop_lost(self) -> None:
        """A refused step: another owner, or a state that was set back or lost the fence. If the group still gives us the shard
        after a while, it is ours; a zombie learns before that that it is one."""
        now = time.monotonic()
        for number, shard in [(s, judge.shard) for s, judge in self._judges.items() if judge.shard.lost]:
            del self._judges[number]
            if now < self._asleep_until:
                self._retake[number] = self._asleep_until
            elif self._store.ours([shard.fence]):
                log.warning("shard %d was set back to an earlier state; beginning again there", number)
            else:
                log.warning("shard %d has another owner", number)
                self._judging.sayings.forget(number)
                self._retake[number] = now + self._settings.retake_s

    def _woken(self, shard: Shard, names: Sequence[bytes], facts: Facts) -> list[bytes]:
        judge = self._judges.get(shard.number)
        return to_wake(judge, names, facts) if judge is not None else []

    # ---- judging ---------------------------------------------------------------------------------------------------

    def _sweep(self, judges: list[ShardJudge]) -> None:
        self._read_as_of()
        self._judging.behind = False
        while self._judging.sweep(judges) and not self._halt.is_set():
            self.pulse()
            self._publish(judges)
        self._judging.sweep_runs(judges)
        self._publish_alerts(judges)
        first = self._judges.get(0)
        if first is not None:
            self._look_at_domain(first)
        self._watch_crowd(judges)

    def _count(self) -> None:
        """Go on with the count of what there is; not while a backlog is read, which changes it all the time."""
        policies = self._judging.policies
        if policies is None or time.monotonic() - self._behind_at < BEHIND_FOR_S:
            return
        try:
            self.census.step(self._judges, policies, self.drain.as_of_us)
            self._watch_growth()
            self._uncounted = False
        except ResponseError as error:
            # It serves metrics, and a ticket: what Redis refuses here must not keep anything from being published.
            if not self._uncounted:
                log.warning("what there is cannot be counted now: %s", error)
            self._uncounted = True

    def _watch_growth(self) -> None:
        """Names are counted by the owner of shard 0, for the whole domain."""
        first = self._judges.get(0)
        if first is None:
            self.growth.stop()
            return
        tally = self.growth.step(self.drain.as_of_us)
        if tally is not None and not first.shard.lost:
            self._judging.look_at_growth(first, tally)

    def _read_as_of(self) -> None:
        key = self._store.keys
        stored, partitions = self._store.many([("HGETALL", key("asof")), ("HGET", key("meta"), "partitions")])
        total = int(partitions or 0)
        self._judging.as_of = {p: int(stored.get(str(p).encode(), 0)) for p in range(total)}
        known = list(self._judging.as_of.values())
        self.drain.as_of_us = min(known) if known and min(known) > 0 else 0

    def _publish_alerts(self, judges: list[ShardJudge]) -> None:
        key = self._store.keys
        fences = [judge.shard.fence for judge in judges]
        self._publisher.begin(lambda: not any(j.shard.lost for j in judges) and self._store.ours(fences))
        reads = [("LRANGE", key("ao", fence.shard), 0, ALERTS_MAX - 1) for fence in fences]
        epochs, _, found = self._store.snapshot([fence.shard for fence in fences], reads)
        sent: list[tuple[ShardJudge, list[str]]] = []
        for judge, epoch, elements in zip(judges, epochs, found, strict=True):
            if epoch != judge.shard.fence.epoch:
                judge.shard.lost = True
            elif elements and not judge.shard.lost:
                alerts = [unpack_alert(element) for element in elements]
                sent.append((judge, [fingerprint for fingerprint, _ in alerts]))
                self.alerts += len(alerts)
                for fingerprint, alert in alerts:
                    self._publisher.alert(fingerprint, alert)
        if sent and self._publisher.flush(30.0):
            for judge, fingerprints in sent:
                self._judging.sayings.said(judge.shard.number, fingerprints, judge.machines)
                if not self._store.trim_alerts(judge.shard.fence, len(fingerprints)):
                    judge.shard.lost = True

    def _look_at_domain(self, judge: ShardJudge) -> None:
        now = time.monotonic()
        if now - self._watchdog_at >= self._settings.watchdog_interval_s:
            self._watchdog_at = now
            alert = watchdog(self._settings.domain, self._store.now_us())
            self._publisher.begin(lambda: not judge.shard.lost and self._store.ours([judge.shard.fence]))
            self._publisher.alert(alert.fingerprint, encode_alert(alert))
        if self._judging.policies is None or now - self._domain_at < max(1.0, self._settings.sweep_interval_s):
            return
        self._domain_at = now
        key = self._store.keys
        total = max(1, self._partitions)
        stops = self._store.many([("HMGET", key("f", p), "stopped_at", "stopped") for p in range(total)])
        stopped = {p: (int(at), (why or b"").decode()) if at and why else (0, "") for p, (at, why) in enumerate(stops)}
        now_us = self._store.now_us()
        self._started_us = self._started_us or now_us
        critical = self._reader.critical(self._judging.policies)
        self._judging.look_at_domain(judge, stopped, self._started_us, critical, now_us)

    def _rearm(self, judges: list[ShardJudge]) -> None:
        """Policies changed: everything is looked at again, in bounded steps."""
        key = self._store.keys
        for judge in judges:
            at = 0
            while True:
                members = self._store.many([("ZRANGE", key("dl", judge.shard.number), at, at + REARM_STEP - 1)])[0]
                if not members:
                    break
                pairs = [part for member in members for part in (1, member)]
                self._store.many([("ZADD", key("dl", judge.shard.number), "XX", "LT", *pairs)])
                at += REARM_STEP
                self.pulse()

    def _watch_crowd(self, judges: list[ShardJudge]) -> None:
        now = time.monotonic()
        # The engine waits for outboxes of any shard, with more partitions than shards even for none of its own.
        lengths = self._store.many([("LLEN", self._store.keys("o", s)) for s in range(self._settings.shards)])
        self.drain.longest = max((lengths[j.shard.number] for j in judges), default=0)
        self.outboxes = tuple(
            (number, lengths[number], (judge.shard.road.since() or self._round[1] or now) if lengths[number] else 0.0)
            for number, judge in self._judges.items()
        )
        longest = max(lengths)
        if longest > self._settings.outbox_max and not self._crowded:
            self._crowded = True
            self._on_crowded(True)
        elif longest <= OUTBOX_LOW_SHARE * self._settings.outbox_max:
            self._crowded = False
            self._on_crowded(False)
