"""What a process used, read from /proc: no word of the process itself is needed. Linux only."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from headwater.runtime.errors import RefusedError

_PROC: Final = Path("/proc")
_TICK_S: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_PPID, _UTIME, _STIME = 1, 11, 12
"""Places in /proc/<pid>/stat behind the command's closing bracket; see proc_pid_stat(5)."""


def require_proc() -> None:
    """Raises RefusedError where there is no /proc."""
    if sys.platform != "linux" or not (_PROC / "self" / "stat").exists():
        raise RefusedError(
            "the benchmark reads the CPU time of its worker from /proc, which this system does not have",
            remedy="run it on Linux or in a container",
        )


def cpu_s(pid: int) -> float:
    """User and system time of all threads so far, in seconds. Raises OSError when the process is gone."""
    return _used(_fields(_PROC / str(pid) / "stat"))


def threads_s(pid: int) -> dict[str, float]:
    """CPU seconds by thread name; what librdkafka runs counts as one, and so do threads of equal name."""
    used: dict[str, float] = defaultdict(float)
    for task in (_PROC / str(pid) / "task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            used["librdkafka" if name.startswith("rdk:") else name] += _used(_fields(task / "stat"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return dict(used)


def peak_rss_bytes(pid: int) -> int:
    """The most memory that was resident at a time."""
    return _status_bytes(pid, "VmHWM:")


def rss_bytes(pid: int) -> int:
    """Memory that is resident now."""
    return _status_bytes(pid, "VmRSS:")


def child_of(pid: int) -> int | None:
    """The child of a process that has one."""
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                if int(_fields(entry / "stat")[_PPID]) == pid:
                    return int(entry.name)
            except (OSError, IndexError):
                continue
    return None


def _status_bytes(pid: int, name: str) -> int:
    for line in (_PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def _fields(stat: Path) -> list[str]:
    return stat.read_text().rpartition(")")[2].split()


def _used(fields: list[str]) -> float:
    return (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_S
