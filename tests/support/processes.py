"""Child processes of the tests: a free port, a process that dies with us, a wait with a deadline."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_PORTS = list(range(10_000, 32_000))
random.SystemRandom().shuffle(_PORTS)  # several suites run side by side, whatever seed their tests set


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at this moment, and that is not given here again.

    It lies below those that the kernel gives to clients (from 32,768 on): one of them was taken by somebody's connection
    between the question and the start of the server, with two suites and their thousands of connections side by side.
    """
    while True:
        port = _PORTS.pop()
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def port_answers(port: int) -> bool:
    """True if something accepts a connection on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: Callable[[], bool], *, within_s: float, what: str, pause_s: float = 0.05) -> None:
    """Return as soon as `condition()` is true; raise TimeoutError naming `what` when the time is over."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(pause_s)


def _die_with_parent() -> None:
    # A test run that is killed runs no fixture teardown; without this a JVM of half a gigabyte would stay behind.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Started(ABC):
    """Several processes that are one server, as a context: started whole, or closed again."""

    @abstractmethod
    def start(self) -> None:
        """Start all of them; returns once they are ready."""

    @abstractmethod
    def close(self) -> None:
        """Stop what runs."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # Ctrl-C too leaves no process behind
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def freeze(pid: int) -> None:
    """SIGSTOP: alive for the network, dead for everybody who waits for an answer. Returns when each thread stands still."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: _stands_still(pid), within_s=20, what=f"process {pid} stands still", pause_s=0.002)


def _stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped; where nothing tells, that is taken for granted."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            if stat.read_text().rpartition(")")[2].split()[0] not in "TZX":
                return False
    return True


class ChildServer:
    """One server process: start, stop, kill -9, freeze; its output goes to a file."""

    def __init__(self, command: Sequence[str], log: Path, *, grace_s: float = 20.0) -> None:
        self.command = list(command)
        self.log = log
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; RuntimeError when it does not run."""
        if self._process is None:
            raise RuntimeError(f"{self.command[0]} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, ready: Callable[[], bool], *, within_s: float) -> None:
        """Start and wait until `ready()`; RuntimeError with the end of the log when it dies or takes too long."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        try:
            wait_until(lambda: not self.running or ready(), within_s=within_s, what=f"start of {self.command[0]}")
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"{error}; the log ends:\n{self.log_tail()}") from error
        if not self.running:
            raise RuntimeError(f"{self.command[0]} ended at its start; the log ends:\n{self.log_tail()}")

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when it does not listen. Harmless when it does not run."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """kill -9: it gets no chance to write anything. Harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """See `freeze` above."""
        freeze(self.pid)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its output."""
        if not self.log.exists():
            return "(no output)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
