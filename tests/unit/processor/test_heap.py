"""Memory goes back to the system where the C library can do that, and nothing happens where it cannot."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from headwater_processor.adapters import heap

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@glibc
def test_a_large_array_goes_back_when_it_is_freed() -> None:
    assert heap.let_large_blocks_go()
    np.ones(32 * 1024 * 1024, np.uint8)  # freed at once: from here on glibc would keep blocks of this size
    before = rss_bytes()
    array = np.ones(16 * 1024 * 1024, np.uint8)
    behind = np.ones(500_000, np.uint8)  # nothing at the top of the heap goes back while this is there
    assert rss_bytes() > before + 12 * 1024 * 1024
    del array
    assert rss_bytes() < before + 4 * 1024 * 1024
    assert behind.all()


@glibc
def test_what_is_free_can_be_given_back() -> None:
    assert heap.give_back()
