"""A Redis as it was a while ago: what a failover to a replica that lags behind does, here without a connection being cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis


def everything(client: redis.Redis) -> dict[bytes, Any]:
    """Every key and its value, as `set_back` takes them."""
    found: dict[bytes, Any] = {}
    for key in client.scan_iter():
        found[key] = client.dump(key)
    return found


def set_back(client: redis.Redis, saved: dict[bytes, Any], then: Callable[[Any], None] = lambda _pipe: None) -> None:
    """Everything as it was; what `then` adds to the pipeline happens in the same moment."""
    with client.pipeline(transaction=True) as pipe:
        for key in client.scan_iter():
            pipe.delete(key)
        for key, value in saved.items():
            pipe.restore(key, 0, value)
        then(pipe)
        pipe.execute()
