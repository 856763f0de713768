"""Lets other commands on this machine find the stack that runs here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater_processor.local.stack import Addresses


@contextmanager
def announced(addresses: Addresses, domain: str) -> Iterator[None]:
    """Announce the stack for as long as the block runs."""
    yield
