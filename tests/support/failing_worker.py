"""`headwater`, but for one thing that goes wrong inside: it dies, freezes or is cut off at a named point, or its clock is wrong.

Run as `python -m tests.support.failing_worker worker`, with in the environment
`HEADWATER_FAILPOINT=point:nth:action` (the nth passage of the point; see `POINTS` and `ACTIONS`) and
`HEADWATER_CLOCK_SHIFT_S=seconds` or `HEADWATER_CLOCK_JUMPS_S=seconds`. The points lie around the calls by which a
worker reaches the world outside, and between the steps of the engine: whatever it does, it does between two of them.
Nothing of this is in the product.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from headwater.cli import main
from headwater_processor.adapters.kafka_source import KafkaSource
from headwater_processor.adapters.letters import KafkaLetters
from headwater_processor.adapters.publisher import KafkaPublisher
from headwater_processor.adapters.redis_store import RedisStore
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.hosting import Hosting
from headwater_processor.worker import Worker

FAILPOINT: Final = "HEADWATER_FAILPOINT"
CLOCK_SHIFT: Final = "HEADWATER_CLOCK_SHIFT_S"
CLOCK_JUMPS: Final = "HEADWATER_CLOCK_JUMPS_S"
JUMP_EVERY_S: Final = 2.0
SLEPT_S: Final = 0.2
"""Between two looks at the clock: then it was stopped."""
STOPS_WITHIN_S: Final = 5.0

POINTS: Final[Mapping[str, tuple[type, str, str]]] = MappingProxyType(
    {
        "poll-in-hand": (Worker, "submit", "before"),
        "letter-begun": (KafkaLetters, "dead", "before"),
        "planned": (KafkaLetters, "wait", "before"),
        "letters-safe": (KafkaLetters, "wait", "after"),
        "call-begun": (RedisStore, "send", "before"),
        "call-sent": (RedisStore, "send", "after"),
        "call-answered": (RedisStore, "receive", "after"),
        "drained": (KafkaPublisher, "delta", "before"),
        "produced": (KafkaPublisher, "flush", "before"),
        "acknowledged": (KafkaPublisher, "flush", "after"),
        "settled": (ShardStore, "settle", "after"),
        "judging": (ShardStore, "judge", "before"),
        "judged": (ShardStore, "judge", "after"),
        "alert-sent": (ShardStore, "trim_alerts", "before"),
        "committing": (KafkaSource, "_commit", "before"),
        "partition-taken": (RedisStore, "acquire", "after"),
        "seen-loading": (RedisStore, "load_seen", "before"),
        "shard-taken": (ShardStore, "acquire", "after"),
        "releasing": (Hosting, "release", "before"),
    }
)
"""Point to class, method, and on which side of it."""


def _kill(_owner: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _freeze(_owner: Any) -> None:
    """Asleep between the two steps, not a little later: the kernel stops a process by one of its other threads, and the one
    that asked for it runs on for up to some milliseconds meanwhile (measured: 4), in which the next step would be taken."""
    asked = before = time.monotonic()
    os.kill(os.getpid(), signal.SIGSTOP)
    while (now := time.monotonic()) - before < SLEPT_S and now - asked < STOPS_WITHIN_S:
        before = now


def _cut(owner: Any) -> None:
    """The connection over which the call went is gone; the server has the call, we get no answer."""
    connection = getattr(owner, "_connection", None)
    if connection is not None:
        connection.disconnect()


ACTIONS: Final[Mapping[str, Callable[[Any], None]]] = MappingProxyType({"kill": _kill, "freeze": _freeze, "cut": _cut})


def install(point: str, nth: int, action: str) -> None:
    """Have the nth passage of a point do the action."""
    owner, name, side = POINTS[point]
    method, act, left = getattr(owner, name), ACTIONS[action], [nth]

    def passed(instance: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            sys.stderr.write(f"failpoint {point}: {action}\n")
            sys.stderr.flush()
            act(instance)

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **named: Any) -> Any:
        if side == "before":
            passed(self)
        result = method(self, *args, **named)
        if side == "after":
            passed(self)
        return result

    setattr(owner, name, wrapped)


def shift_clock(seconds: Callable[[], float]) -> None:
    """This process believes that it is earlier or later than it is."""
    clock, clock_ns = time.time, time.time_ns
    time.time = lambda: clock() + seconds()
    time.time_ns = lambda: clock_ns() + int(seconds() * 1e9)


def jumping(by_s: float) -> float:
    """Right, too late, right, too early, and so on."""
    return by_s * (0, 1, 0, -1)[int(time.monotonic() / JUMP_EVERY_S) % 4]


if __name__ == "__main__":
    failpoint = os.environ.pop(FAILPOINT, "")
    if failpoint:
        which, count, what = failpoint.split(":")
        install(which, int(count), what)
    shift_s, jumps_s = float(os.environ.pop(CLOCK_SHIFT, "0")), float(os.environ.pop(CLOCK_JUMPS, "0"))
    shift_clock(lambda: shift_s + (jumping(jumps_s) if jumps_s else 0.0))
    sys.exit(main())
