"""What `up` and `demo` share: start the stack, wait until somebody says stop, stop it; signals as an event."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from headwater_processor.local.stack import Stack

_TICK_S = 0.1


@contextmanager
def until_signalled() -> Iterator[threading.Event]:
    """An event that SIGINT (Ctrl-C), SIGTERM or SIGHUP set; the handlers before are put back. A second Ctrl-C does not
    interrupt the stopping: it takes under ten seconds anyway, and half of it would leave processes behind."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch(stack: Stack, stop: threading.Event, say: Callable[[str], None], each_tick: Callable[[], None]) -> None:
    """Look after the stack until `stop` is set; `each_tick` is called ten times a second.

    Raises:
        ServiceError: a service died, or the workers cannot be kept alive.
    """
    while not stop.wait(_TICK_S):
        for line in stack.look():
            say(line)
        each_tick()
