"""How a process ends, and what the emitters in it do about it: fork, SIGTERM, the end of a child.

An ordinary end runs `atexit`, which closes emitters. SIGTERM does not: by default it ends the process at once. So the
first emitter made in the main thread puts a handler in front of the one that is there:

    nobody handles SIGTERM    abort the open runs, deliver or spool within `END_S`, then end by SIGTERM as if nobody had handled it
    the job has a handler     deliver or spool within `OWN_HANDLER_S` (it may be about to call `os._exit`), then call it
    SIGTERM is ignored        left alone

A handler that the job installs later replaces ours, which is its right: what it does not deliver, `atexit` does, if it
ends the process in order. When the last emitter is closed, the old handler is put back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from headwater.transports.base import Disowning

if TYPE_CHECKING:
    from headwater.emitter import Emitter

END_S: Final = 5.0
OWN_HANDLER_S: Final = 1.0

_emitters: weakref.WeakSet[Emitter] = weakref.WeakSet()
_on_sigterm: weakref.WeakSet[Emitter] = weakref.WeakSet()


class _Installed:
    """The handler that was there before ours, while ours is there."""

    before: Any = None  # a callable, SIG_DFL, or None: ours is not installed


def watch(emitter: Emitter, *, sigterm: bool) -> None:
    """Look after this emitter when the process forks, and when it is told to end."""
    _emitters.add(emitter)
    if sigterm:
        _on_sigterm.add(emitter)
        _install()


def forget(emitter: Emitter) -> None:
    """It is closed."""
    _emitters.discard(emitter)
    _on_sigterm.discard(emitter)
    if not _on_sigterm:
        _uninstall()


def disown(transport: object) -> None:
    """In a forked child: let the parent's transport go without ever freeing it.

    To free a Kafka producer is to wait for its threads, and they are not here: the child would never end. One reference
    too many keeps it from that, also at the end of the interpreter.
    """
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(transport))
    if isinstance(transport, Disowning):
        transport.disown()


def at_end_of_child(close: Callable[[], None]) -> None:
    """Children of multiprocessing end with `os._exit` after their own list of things to do: `atexit` is not on it."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, close, exitpriority=0)


def _install() -> None:
    if threading.current_thread() is not threading.main_thread() or _Installed.before is not None:
        return
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_IGN or before is None:  # None: installed by something that is not Python
        return
    signal.signal(signal.SIGTERM, _terminated)
    _Installed.before = before


def _uninstall() -> None:
    if threading.current_thread() is not threading.main_thread() or _Installed.before is None:
        return
    if signal.getsignal(signal.SIGTERM) is _terminated:
        signal.signal(signal.SIGTERM, _Installed.before)
    _Installed.before = None


def _terminated(number: int, frame: FrameType | None) -> None:
    before = _Installed.before
    if callable(before):
        _share(OWN_HANDLER_S, lambda emitter, left_s: emitter.rescue(left_s))
        before(number, frame)
        return
    _share(END_S, _end)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _share(within_s: float, do: Callable[[Emitter, float], object]) -> None:
    """Let every emitter do it, all of them within this time."""
    deadline_s = time.monotonic() + within_s
    for emitter in list(_on_sigterm):
        do(emitter, max(0.1, deadline_s - time.monotonic()))


def _end(emitter: Emitter, left_s: float) -> None:
    """Its runs are over by this: they say so, in place of staying open until they are thought lost."""
    run = sys.modules.get("headwater.run")
    if run is not None:
        run.abort_open_runs(emitter, "the process was ended by SIGTERM")
    emitter.end(left_s)


def _forked() -> None:
    for emitter in list(_emitters):
        emitter._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
