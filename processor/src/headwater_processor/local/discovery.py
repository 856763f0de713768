"""Lets other commands on this machine find the stack that runs here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from headwater.runtime import discovery
from headwater_processor.local.stack import Addresses


@contextmanager
def announced(addresses: Addresses, domain: str, topic_prefix: str, command: str) -> Iterator[None]:
    """Announce the stack for as long as the block runs."""
    running = discovery.Running(os.getpid(), addresses.kafka, addresses.redis_url, domain, command, topic_prefix)
    with discovery.announced(running):
        yield
