"""A process that may open no file, as one that has too many open."""

from __future__ import annotations

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

STANDARD = 3
"""Input, output and errors are open in every process, and stay so. (Less would be too little for `poll` of two sockets.)"""


@contextmanager
def no_file_can_be_opened(*, but: int = 0) -> Iterator[None]:
    """Each `open` of ours fails with EMFILE, but for so many at a time. What is open stays so."""
    with at_most_files(os.getpid(), _lowest_free() + but if but else STANDARD):
        yield


def _lowest_free() -> int:
    gc.collect()  # nobody closes a lower one meanwhile
    found = os.open(os.devnull, os.O_RDONLY)
    os.close(found)
    return found


@contextmanager
def at_most_files(pid: int, most: int) -> Iterator[None]:
    """A running process may open a file only if its descriptor is below `most`."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
