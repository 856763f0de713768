"""What `@headwater.job` costs a call, with lineage off and on. `python -m tests.support.measure_job` prints it."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterator

import headwater
from headwater import Emitter
from headwater.testing import MemoryTransport

STEPS = 1_000


def bare(number: int) -> int:
    """What is decorated."""
    return number


@headwater.job("job", reads=[("s3://lake", "orders")], writes=[("s3://lake", "daily")])
def decorated(number: int) -> int:
    """The same, decorated."""
    return number


def bare_rows() -> Iterator[int]:
    """What is decorated."""
    yield from range(STEPS)


@headwater.job("rows")
def decorated_rows() -> Iterator[int]:
    """The same, decorated."""
    yield from range(STEPS)


def best_ns(work: Callable[[], object], number: int) -> float:
    """The best of seven rounds, for one call."""
    return min(timeit.repeat(work, number=number, repeat=7)) / number * 1e9


def main() -> None:
    """Print a line for each."""
    for name, emitter, number in (
        ("off", Emitter(None), 100_000),
        ("on", Emitter(MemoryTransport(), capacity=1_000_000), 300),
    ):
        headwater.set_default_emitter(emitter)
        call = best_ns(lambda: decorated(1), number) - best_ns(lambda: bare(1), 100_000)
        step = (best_ns(lambda: sum(decorated_rows()), 30) - best_ns(lambda: sum(bare_rows()), 30)) / STEPS
        print(f"lineage {name:3}  a call {call / 1e3:6.2f} µs more   a step of a generator {step:4.0f} ns more")  # noqa: T201
    emitter.close()


if __name__ == "__main__":
    main()
