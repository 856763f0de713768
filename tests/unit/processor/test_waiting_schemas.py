"""Schemas that are not there yet: how long they are waited for, and what a stop in the middle means."""

from __future__ import annotations

import pytest

from headwater_processor.adapters.schema_sources import WaitingSchemas
from headwater_processor.ports import StoppingError
from headwater_schemas.registry import SchemaStore

UNKNOWN = b"\xc3\x01" + bytes(8) + b"payload"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.alive = 0

    def __call__(self) -> float:
        return self.now

    def tick(self) -> None:
        self.alive += 1
        self.now += 1.0


def waiting(clock: Clock) -> WaitingSchemas:
    return WaitingSchemas(SchemaStore(), None, wait_s=3.0, alive=clock.tick, clock=clock)


def test_a_schema_that_never_comes_is_waited_for_once() -> None:
    clock = Clock()
    schemas = waiting(clock)
    for _ in range(2):
        found = schemas.by_header(UNKNOWN)
        assert getattr(found, "reason", None) == "unknown_schema"
    assert clock.alive == 3


def test_a_stop_in_the_middle_of_the_wait_rejects_nothing() -> None:
    clock = Clock()
    schemas = waiting(clock)
    schemas.closing = True
    with pytest.raises(StoppingError):
        schemas.by_header(UNKNOWN)
    assert clock.alive == 0
