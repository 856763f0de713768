"""The engine: polls in, fenced calls out. One thread; it plans a poll while Redis works on the one before.

Order of one poll: take the batches that continue what was taken, decode, plan, hand dead and late letters over, read the
answers of the poll before, wait until the letters are acknowledged, send the calls. So nothing is skipped that is not safe
elsewhere, and nothing is committed that is not applied. A refused call ends the ownership of its partition: the replica is
thrown away and the partition begins again at the fence in Redis.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from headwater_processor.core import stops
from headwater_processor.core.decode import BatchDecoder
from headwater_processor.core.plan import Knowledge, PartitionPlanner, Plan, Rules
from headwater_processor.engine.intake import PartBatch, Poll
from headwater_processor.engine.owned import Owned
from headwater_processor.engine.stats import EngineStats
from headwater_processor.ports import Applied, Call, Fence, Letters, Refusal, StateStore, StoppingError

log = logging.getLogger(__name__)

POLLS_MAX: Final = 2
"""Polls that wait for the engine: one to plan while the next is fetched. More would only add latency."""

BEHIND_RECORDS: Final = 8000
"""A poll of so many records was waiting for us: a backlog is being read."""
BEHIND_STEADY: Final = (2000, 3)
"""So is one when so many polls in a row have so many. One alone is what gathers in a short stall of a busy topic, and images
that were held back for it would make the stall longer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a partition stops, and how long an outbox may grow before the engine waits for its readers."""

    bad_share_max: float = 0.05
    bad_window_us: int = 60_000_000
    bad_min_records: int = 1000
    outbox_max: int = 20_000


@dataclass(slots=True)
class _Pending:
    """Calls that are under way."""

    calls: list[Call]
    owned: list[Owned]
    sent_s: float = 0.0
    """How long the sending kept the engine."""


class Engine:
    """Owns the plan-and-apply loop. `on_reset(owned, why)` is called from the engine's thread when an ownership ends."""

    def __init__(
        self,
        *,
        rules: Rules,
        limits: Limits,
        store: StateStore,
        decoder: BatchDecoder,
        letters: Letters,
        secret: tuple[int, int],
        stats: EngineStats,
        on_reset: Callable[[Owned, str], None],
        on_stopped: Callable[[Owned, str], None],
        on_named: Callable[[bool], None],
        on_applied: Callable[[], None] = lambda: None,
        on_in_state: Callable[[int, int], None] = lambda _shards_touched, _oldest_us: None,
    ) -> None:
        self.rules = rules
        self._limits = limits
        self._store = store
        self._decoder = decoder
        self._letters = letters
        self._secret = secret
        self.stats = stats
        self._on_reset = on_reset
        self._on_stopped = on_stopped
        self._on_named = on_named
        self._on_applied = on_applied
        self._on_in_state = on_in_state
        self._knowledge = Knowledge()
        self._forget = threading.Event()
        self._polls: queue.Queue[Poll | None] = queue.Queue()
        self._owned: dict[int, Owned] = {}
        self._waiting = 0
        self._busy = 0
        self._idle = threading.Condition()
        self._runner = threading.Thread(target=self._run, name="headwater-engine", daemon=True)
        self._outbox_full = False
        self._large_polls = 0
        self._ended = False
        self.failed: BaseException | None = None

    # ---- from other threads ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work."""
        self._runner.start()

    def own(self, fence: Fence, session: int, load: Callable[[PartitionPlanner], None]) -> Owned:
        """Begin an ownership: the planner is filled by `load` and replaces whatever was there."""
        planner = PartitionPlanner(fence.partition, self.rules, self._knowledge, self._secret)
        planner.next, planner.mx_us, planner.floor = fence.next, fence.mx_us, fence.floor
        planner.counters = fence.counters
        load(planner)
        owned = Owned(fence, planner, session)
        before = self._owned.get(fence.partition)
        if before is not None:
            before.dead = True
        self._forget.set()
        self._owned[fence.partition] = owned
        return owned

    def disown(self, partition: int) -> None:
        """End an ownership; what is under way for it is dropped or refused."""
        owned = self._owned.pop(partition, None)
        if owned is not None:
            owned.dead = True

    def owned(self) -> dict[int, Owned]:
        """The current ownerships (a copy)."""
        return dict(self._owned)

    def submit(self, poll: Poll) -> None:
        """Hand a poll over. Look at `room` before."""
        with self._idle:
            self._waiting += 1
        self._polls.put(poll)

    def room(self) -> bool:
        """Whether another poll would be taken soon."""
        return self._waiting < POLLS_MAX and not self._outbox_full

    def idle(self) -> bool:
        """Whether nothing is submitted that is not done."""
        return self._waiting == 0

    def outbox_full(self, full: bool) -> None:
        """Back-pressure from the shards: while it is on, there is no room."""
        self._outbox_full = full

    def wait_idle(self, deadline_s: float) -> bool:
        """Wait until everything submitted is applied or dropped; False if that did not happen in time, or never will."""
        with self._idle:
            self._idle.wait_for(lambda: self._waiting == 0 or self._ended, deadline_s)
            return self._waiting == 0

    def close(self, deadline_s: float = 10.0) -> None:
        """Apply what was submitted and end the thread."""
        self._polls.put(None)
        self._runner.join(deadline_s)

    # ---- the loop --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop()
        except StoppingError as error:
            log.warning("stopped before everything in hand was applied: %s", error)
        except BaseException as error:
            self.failed = error
            log.exception("the engine failed; the worker has to end")
            raise
        finally:
            with self._idle:
                self._ended = True
                self._idle.notify_all()

    def _loop(self) -> None:
        pending: _Pending | None = None
        while True:
            try:
                poll = self._polls.get(block=pending is None, timeout=0.5 if pending is None else None)
            except queue.Empty:
                if pending is not None:
                    self._finish(pending)
                    pending = None
                self.stats.pulse()
                continue
            self.stats.pulse()
            if poll is None:
                if pending is not None:
                    self._finish(pending)
                return
            if self._forget.is_set():
                self._forget.clear()
                self._knowledge.clear()
            plans = self._plan(poll)
            if pending is not None:
                self._finish(pending)
                pending = None
            calls, owned = self._calls(plans)
            if calls:
                started = time.perf_counter()
                safe = self._letters.wait(self.stats.pulse)
                waited = time.perf_counter()
                self.stats.letters_s += waited - started
                self.stats.letters.observe(waited - started)
                if not safe:
                    self._abandon(owned)
                    continue
                sending = time.thread_time()
                self._store.send(calls)
                self.stats.apply_s += time.thread_time() - sending
                pending = _Pending(calls, owned, time.perf_counter() - waited)
            else:
                self._done()

    def _abandon(self, owned: list[Owned]) -> None:
        """Stopping, and a letter is not acknowledged: the records stay where they are for the next owner."""
        for each in owned:
            each.dead = True
        self._done()

    def _done(self) -> None:
        with self._idle:
            self._waiting -= 1
            self._idle.notify_all()
        self._on_applied()

    # ---- planning --------------------------------------------------------------------------------------------------

    def _plan(self, poll: Poll) -> list[tuple[Owned, Plan]]:
        plans = []
        for part in poll.parts:
            owned = self._owned.get(part.partition)
            if owned is None or owned.dead or owned.stopped:
                self.stats.dropped_batches += 1
            elif part.session != owned.epoch_session or part.previous != owned.accepted:
                self.stats.dropped_batches += 1
                if part.session == owned.epoch_session:
                    self._reset(owned, "hole")  # something before it was dropped on the way: read again from the fence
            else:
                plan = self._plan_part(owned, part)
                if plan is not None:
                    plans.append((owned, plan))
        return plans

    def _plan_part(self, owned: Owned, part: PartBatch) -> Plan | None:
        stats = self.stats
        started, began = time.thread_time(), time.perf_counter()
        records = part.records
        values = [record.value() or b"" for record in records]
        append_us = [record.timestamp()[1] * 1000 for record in records]
        columns = self._decoder.decode(values)
        decoded, decoded_at = time.thread_time(), time.perf_counter()
        stats.decode_s += decoded - started
        stats.decode.observe(decoded_at - began)
        # A schema that nobody knows yet is no fault of the record: it counts towards no limit and can be replayed.
        wrong = sum(rejected.reason != "unknown_schema" for _, rejected in columns.bad)
        if self._too_bad(owned, part, append_us, wrong):
            return None
        for row, rejected in columns.bad:
            self._letters.dead(records[row], rejected.reason, rejected.detail)
            stats.rejected(rejected.reason)
        plan = owned.planner.plan(columns, append_us, part.next, secrets.token_bytes(8))
        for row, lateness_us in plan.late:
            self._letters.late(records[row], lateness_us)
        owned.accepted = part.next
        stats.plan_s += time.thread_time() - decoded
        stats.plan.observe(time.perf_counter() - decoded_at)
        stats.batch_records.observe(len(records))
        stats.batches += 1
        stats.records += len(records)
        stats.operations += plan.operations
        return plan

    def _too_bad(self, owned: Owned, part: PartBatch, append_us: list[int], bad: int) -> bool:
        limits = self._limits
        exceeded = owned.bad_window.exceeded(
            max(append_us), len(append_us), bad,
            window_us=limits.bad_window_us, least=limits.bad_min_records, share=limits.bad_share_max,
        )  # fmt: skip
        if not exceeded or part.first < owned.fence.pass_bad_until:
            return False
        reason = stops.bad_records(part.partition, part.next, limits.bad_share_max)
        owned.stopped = reason
        owned.dead = True
        self._on_stopped(owned, reason)
        return True

    # ---- applying --------------------------------------------------------------------------------------------------

    def _calls(self, plans: list[tuple[Owned, Plan]]) -> tuple[list[Call], list[Owned]]:
        calls, owned_of = [], []
        for owned, plan in plans:
            if owned.dead:
                continue
            calls.append(Call(plan, owned.fence, owned.proved_by(plan.next)))
            owned_of.append(owned)
        return calls, owned_of

    def _finish(self, pending: _Pending) -> None:
        started, began = time.thread_time(), time.perf_counter()
        named = longest = 0
        outcomes = self._store.receive()
        self.stats.call.observe(pending.sent_s + time.perf_counter() - began)
        for owned, call, outcome in zip(pending.owned, pending.calls, outcomes, strict=True):
            if isinstance(outcome, Applied):
                self._applied(owned, call, outcome)
                named |= call.plan.shards_touched
                longest = max(longest, outcome.longest_outbox)
            elif not owned.dead:
                self.stats.refused(outcome.value)
                self._reset(owned, outcome.value)
        self.stats.apply_s += time.thread_time() - started
        if longest > self._limits.outbox_max:
            self._outbox_full = True
        records = sum([call.plan.records for call in pending.calls])
        self._large_polls = self._large_polls + 1 if records >= BEHIND_STEADY[0] else 0
        if named:
            self._on_named(records >= BEHIND_RECORDS or self._large_polls >= BEHIND_STEADY[1])
        self._done()

    def _applied(self, owned: Owned, call: Call, outcome: Applied) -> None:
        plan = call.plan
        owned.applied = plan.next
        if call.as_of_us > owned.as_of_us:
            owned.as_of_us = call.as_of_us
        for key, stored in outcome.joined_runs:
            self._knowledge.learn_run(key, stored, plan.token)
        self.stats.applied += 1
        self.stats.in_state(plan.oldest_us, plan.records)
        self._on_in_state(plan.shards_touched, plan.oldest_us)

    def _reset(self, owned: Owned, why: str) -> None:
        if owned.dead:
            return
        owned.dead = True
        self._knowledge.clear()
        log.warning("partition %d: %s; beginning again at the fence", owned.fence.partition, why)
        self._on_reset(owned, why)


def refusal_is_foreign(why: str) -> bool:
    """Whether somebody else took the partition: then the group is asked before it is taken back."""
    return why == Refusal.FENCED.value
