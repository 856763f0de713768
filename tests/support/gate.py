"""A transport that a test opens, closes and holds: the way out as an outage has it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Literal

from headwater.errors import BrokerUnavailable, DeliveryError
from headwater.transports.base import Encoded, Settle

State = Literal["open", "refusing", "holding"]


class Gate:
    """`open` delivers, `refusing` raises, `holding` takes events and keeps them until it is opened or they are recalled."""

    def __init__(self, state: State = "open", error: DeliveryError | None = None) -> None:
        self.state: State = state
        self.error = error or BrokerUnavailable("nobody there", remedy="start one")
        self.arrived: list[Encoded] = []
        self.held: list[Encoded] = []
        self._settle: Settle | None = None
        self._lock = threading.Lock()

    @property
    def names(self) -> list[str]:
        """The jobs of what arrived, in order."""
        return [encoded.event.job.name for encoded in self.arrived]

    def send(self, batch: Sequence[Encoded], settle: Settle) -> int:
        self._settle = settle
        if self.state == "refusing":
            raise self.error
        if self.state == "holding":
            self.held += batch
        else:
            self.arrived += batch
            settle(len(batch), None)
        return len(batch)

    def poll(self, timeout_s: float) -> None:
        with self._lock:
            if self.state == "open" and self.held and self._settle is not None:
                held, self.held = self.held, []
                self.arrived += held
                self._settle(len(held), None)

    def flush(self, timeout_s: float) -> int:
        self.poll(0.0)
        return len(self.held)

    def recall(self) -> None:
        held, self.held = self.held, []
        if held and self._settle is not None:
            self._settle(len(held), self.error, held)

    def close(self, timeout_s: float) -> None:
        self.recall()
