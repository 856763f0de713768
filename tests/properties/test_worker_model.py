"""Fence, merge, runs, shards and alert machine: whatever two workers do in whatever order, the state is the oracle's.

The product's own planner, engine, Lua scripts, drain and judge on a Redis in memory; `make model` runs many more steps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.model.check import differences
from tests.support.model.kept import KEPT
from tests.support.model.process import PARTITIONS, Step
from tests.support.model.steps import attempt, draw
from tests.support.model.world import World, world

WORKER = st.integers(0, 1)
PARTITION = st.integers(0, PARTITIONS - 1)
RECORDS = st.integers(0, 255)
THEN = st.one_of(
    st.just(("die",)),
    st.just(("error",)),
    st.just(("back",)),
    st.tuples(st.just("take"), WORKER, PARTITION),
    st.tuples(st.just("drain"), WORKER),
    st.tuples(st.just("sweep"), WORKER),
    st.tuples(st.just("poll"), WORKER, st.just(8)),
)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What the workers say of what is done to them is not of interest."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class TwoWorkers(RuleBasedStateMachine):
    """Each rule is a step; at the end one worker comes to rest, and everything is compared."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._made: World | None = None
        self._fences: list[int] = [0] * PARTITIONS
        self._rollbacks = 0

    @property
    def made(self) -> World:
        """The world, once there is one."""
        assert self._made is not None
        return self._made

    def _do(self, *step: object) -> None:
        taken: Step = step
        self.made.do(taken)

    @initialize(worker=WORKER, fresh=st.booleans())
    def begin(self, worker: int, fresh: bool) -> None:
        self._made = self._stack.enter_context(world())
        self._last = (worker, fresh)

    @rule(partition=PARTITION, first=RECORDS, count=st.integers(1, 8))
    def say(self, partition: int, first: int, count: int) -> None:
        self._do("say", partition, first, count)

    @rule(worker=WORKER, records=st.sampled_from((1, 3, 8, 40)))
    def poll(self, worker: int, records: int) -> None:
        self._do("poll", worker, records)

    @rule(worker=WORKER)
    def answer(self, worker: int) -> None:
        self._do("answer", worker)

    @rule(worker=WORKER, calls=st.integers(1, 3))
    def arrive(self, worker: int, calls: int) -> None:
        self._do("arrive", worker, calls)

    @rule(worker=WORKER)
    def cut(self, worker: int) -> None:
        self._do("cut", worker)

    @rule(worker=WORKER)
    def prove(self, worker: int) -> None:
        self._do("prove", worker)

    @rule(worker=WORKER)
    def drain(self, worker: int) -> None:
        self._do("drain", worker)

    @rule(worker=WORKER)
    def sweep(self, worker: int) -> None:
        self._do("sweep", worker)

    @rule(worker=WORKER, partition=PARTITION)
    def take(self, worker: int, partition: int) -> None:
        self._do("take", worker, partition)

    @rule(worker=WORKER)
    def told(self, worker: int) -> None:
        self._do("told", worker)

    @rule(worker=WORKER, arrived=st.integers(0, 3))
    def crash(self, worker: int, arrived: int) -> None:
        self._do("crash", worker, arrived)

    @rule(which=st.integers(0, 4), worker=WORKER)
    def change_policies(self, which: int, worker: int) -> None:
        self._do("policy", which)
        self._do("learn", worker)

    @rule(seconds=st.sampled_from((1, 10, 60, 600)))
    def wait(self, seconds: int) -> None:
        self._do("clock", seconds)

    @rule()
    def save(self) -> None:
        self._do("save")

    @precondition(lambda self: self.made.rollbacks < 2)
    @rule()
    def set_back(self) -> None:
        self._do("back")

    @rule()
    def flush_scripts(self) -> None:
        self._do("flush")

    @rule(worker=WORKER)
    def refuse(self, worker: int) -> None:
        self._do("refuse", worker)

    @rule(worker=WORKER, passages=st.integers(1, 60), then=THEN)
    def arm(self, worker: int, passages: int, then: Step) -> None:
        self._do("arm", worker, passages, then)

    @invariant()
    def a_fence_goes_back_only_with_the_whole_state(self) -> None:
        if self._made is None:
            return
        fences = [
            int(self.made.redis.call("HGET", self.made.key(f"f:{partition}"), "next") or 0)
            for partition in range(PARTITIONS)
        ]
        if self.made.rollbacks == self._rollbacks:
            assert all(now >= before for now, before in zip(fences, self._fences, strict=True))
        self._fences, self._rollbacks = fences, self.made.rollbacks

    def teardown(self) -> None:
        try:
            if self._made is not None:
                worker, fresh = self._last
                self.made.settle(worker, fresh=fresh)
                found = differences(self.made)
                assert not found, "\n".join(found)
        finally:
            self._stack.close()


TestTwoWorkers = TwoWorkers.TestCase
TestTwoWorkers.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("kept", KEPT)
def test_what_once_failed_holds(kept: str) -> None:
    assert not attempt(KEPT[kept]).what


def test_many_steps_of_two_workers_end_in_the_state_of_the_oracle() -> None:
    steps = 0
    for seed in range(1, 61):
        found = attempt(draw(seed))
        assert not found.what, f"make model SEED={seed} RUNS=1\n{found.what}"
        steps += found.steps
    assert steps > 4_000
