"""What this process has said on the alerts topic: what was said in a time that Redis lost still counts.

A failover that loses writes sets the machines of alerts back, but nobody takes back what was published. If a machine is
loaded that has seen less than the one that goes with our last word, the state was set back to before that word: the machine of
the word takes its place. So an incident that was called resolved is fired again if it has to be, and one that was fired is
resolved. A machine of another owner who came after us has seen no less than ours, and stays.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from headwater_processor.core.alerts import Machine

log = logging.getLogger(__name__)

JUDGED_MAX: Final = 100_000
"""Alerts that were judged and not published yet; past it the oldest is forgotten, as if another process had judged it."""


class Sayings:
    """The machines behind the last words. Used by the shards' thread; all of it is gone with the process."""

    def __init__(self) -> None:
        self._judged: OrderedDict[bytes, tuple[str, Machine]] = OrderedDict()
        self._said: dict[int, dict[str, Machine]] = {}

    def judged(self, element: bytes, fingerprint: str, machine: Machine) -> None:
        """This alert (an element of `ao:<s>`) is to be published; `machine`: after the step that it came from."""
        self._judged[element] = (fingerprint, machine)
        while len(self._judged) > JUDGED_MAX:
            self._judged.popitem(last=False)

    def said(self, shard: int, elements: Iterable[bytes]) -> None:
        """These were acknowledged."""
        for element in elements:
            known = self._judged.pop(element, None)
            if known is not None:
                self._said.setdefault(shard, {})[known[0]] = known[1]

    def corrected(self, shard: int, loaded: Mapping[str, Machine]) -> dict[str, Machine]:
        """The machines of a shard as they go with what was said, of those that have to be others than the loaded ones."""
        found = {}
        for fingerprint, machine in self._said.get(shard, {}).items():
            have = loaded.get(fingerprint)
            if have is None or have.seen_us < machine.seen_us:
                found[fingerprint] = machine
        if found:
            log.warning(
                "shard %d: %d alerts were said in a time that the state has lost; they count", shard, len(found)
            )
        return found

    def forget(self, shard: int) -> None:
        """The group gave the shard to somebody else."""
        self._said.pop(shard, None)
