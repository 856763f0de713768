"""Run a command that never outlives the process which asked for it: `python -m headwater_processor.local.keeper …`.

The parent holds the other end of the keeper's standard input. When the parent ends, however it ends, the kernel closes
that pipe, and the keeper stops the command: SIGTERM first, SIGKILL when the grace is over. This works on every Unix; on
Linux the command also dies with the keeper itself. The keeper ignores SIGINT, so that Ctrl-C in a terminal reaches
only the parent, which then stops its services in the right order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import FrameType

_PR_SET_PDEATHSIG = 1


def wait_for_parent(then: Callable[[], None]) -> None:
    """Call `then` in a thread of its own when standard input ends, which is when the parent has closed it or died."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        then()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def keep(command: list[str], grace_s: float) -> int:
    """Run the command until it ends or the parent does; returns its exit code (128 + signal, as shells do)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)  # noqa: S603 - the command line is our caller's, who runs as the same user

    def stop() -> None:
        child.terminate()
        killer = threading.Timer(grace_s, child.kill)
        killer.daemon = True
        killer.start()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    wait_for_parent(stop)
    code = child.wait()
    return 128 - code if code < 0 else code


def _die_with_parent() -> None:
    """In the child, before the command starts. Restores Ctrl-C, and on Linux asks to be killed with the keeper."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main(arguments: list[str]) -> int:
    """`GRACE_SECONDS COMMAND …`"""
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m headwater_processor.local.keeper GRACE_SECONDS COMMAND...\n")
        return 2
    return keep(arguments[1:], float(arguments[0]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
