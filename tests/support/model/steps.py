"""Steps at random, and the fewest of them that still fail."""

from __future__ import annotations

import random
import traceback
from collections.abc import Sequence
from typing import Final, NamedTuple

from tests.support.model.check import differences
from tests.support.model.process import Step
from tests.support.model.world import run

INTERRUPTED: Final = 0.2
SET_BACK: Final = 0.22


class Case(NamedTuple):
    """What is done, and who does the rest: that worker, begun anew or as it is."""

    steps: tuple[Step, ...]
    worker: int
    fresh: bool


class Found(NamedTuple):
    """What did not hold (empty: all did), and how many steps it took, those of coming to rest included."""

    what: str
    steps: int


def draw(seed: int) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    count = rng.choice((20, 60, 150))
    steps: list[Step] = []
    while len(steps) < count:
        chance = rng.random()
        steps += _interrupted(rng) if chance < INTERRUPTED else _set_back(rng) if chance < SET_BACK else [_step(rng)]
    return Case(tuple(steps), rng.randrange(2), rng.random() < 0.5)


def _interrupted(rng: random.Random) -> list[Step]:
    """Something that comes in the middle of what a worker does; often the other worker takes over just then."""
    worker, other = rng.choice(((0, 1), (1, 0)))
    partition = rng.randrange(2)
    then: Step = rng.choice(
        (
            ("die",),
            ("error",),
            ("error",),
            ("poll", worker, 8),
            ("several", ("take", other, partition), ("poll", other, 8), ("drain", other)),
            ("several", ("take", other, partition), ("poll", other, 8), ("prove", other), ("sweep", other)),
            ("several", ("take", other, partition), ("told", worker), ("drain", other)),
            _step(rng),
        )
    )
    act: Step = rng.choice(
        (("drain", worker), ("drain", worker), ("sweep", worker), ("poll", worker, rng.choice((3, 40))))
    )
    return [("arm", worker, rng.randint(1, rng.choice((6, 14, 40))), then), act]


def _set_back(rng: random.Random) -> list[Step]:
    """A failover that lost writes, between two steps of workers who are not told: what they remember is of the time before."""

    def work() -> list[Step]:
        worker = rng.randrange(2)
        steps: list[Step] = [
            ("say", rng.randrange(2), rng.randrange(256), rng.randint(1, 8)),
            ("poll", worker, 8),
            ("answer", worker),
            rng.choice((("drain", worker), ("sweep", worker), ("clock", 1))),
            ("drain", rng.randrange(2)),
        ]
        return steps[: rng.randint(2, 5)]

    before, lost, after = ([step for _ in range(rng.randint(0, 3)) for step in work()] for _ in range(3))
    return [*before, ("save",), *lost, ("back",), *after]


def _step(rng: random.Random) -> Step:
    chance, worker, partition = rng.random(), rng.randrange(2), rng.randrange(2)
    for share, made in (
        (0.20, ("say", partition, rng.randrange(256), rng.randint(1, 8))),
        (0.33, ("poll", worker, rng.choice((1, 3, 8, 40)))),
        (0.38, ("answer", worker)),
        (0.42, ("arrive", worker, rng.randint(1, 3))),
        (0.44, ("cut", worker)),
        (0.50, ("prove", worker)),
        (0.60, ("drain", worker)),
        (0.68, ("sweep", worker)),
        (0.72, ("take", worker, partition)),
        (0.74, ("told", worker)),
        (0.76, ("crash", worker, rng.randint(0, 3))),
        (0.78, ("policy", rng.randrange(5))),
        (0.80, ("learn", worker)),
        (0.83, ("clock", rng.choice((1, 10, 60, 600)))),
        (0.835, ("save",)),
        (0.84, ("back",)),
        (0.845, ("flush",)),
        (0.875, ("refuse", worker)),
    ):
        if chance < share:
            return made
    then: Step = rng.choice((("die",), ("error",), ("arm",)))
    while then[0] == "arm":
        then = _step(rng)
    return ("arm", worker, rng.randint(1, rng.choice((4, 12, 60))), then)


def attempt(case: Case) -> Found:
    """Take the steps, come to rest, compare."""
    try:
        world = run(case.steps, worker=case.worker, fresh=case.fresh)
    except Exception:  # noqa: BLE001 - any exception at all is what is looked for
        return Found(traceback.format_exc(), len(case.steps))
    return Found("\n".join(differences(world)), world.steps)


def smallest(case: Case) -> Case:
    """As few of the steps as still fail in the same way."""
    kind = _kind(attempt(case).what)
    chunk = max(1, len(case.steps) // 2)
    while True:
        at, shorter = 0, False
        while at < len(case.steps):
            fewer = case._replace(steps=case.steps[:at] + case.steps[at + chunk :])
            if _kind(attempt(fewer).what) == kind:
                case, shorter = fewer, True
            else:
                at += chunk
        if chunk == 1 and not shorter:
            return case
        chunk = max(1, chunk // 2)


def _kind(what: str) -> str:
    return what[:12]


def text(case: Case) -> str:
    """As it stands in `kept`."""
    lines: Sequence[str] = [f"        {step!r}," for step in case.steps]
    return "\n".join(["    Case(", "      (", *lines, f"      ), worker={case.worker}, fresh={case.fresh}),"])
