"""What this process has said on the alerts topic: what was said in a time that Redis lost still counts.

A failover that loses writes sets the machines of alerts back, but nobody takes back what was published. If a machine is
loaded that has seen less than the one that goes with our last word, the state was set back to before that word: the machine of
the word takes its place. So an incident that was called resolved is fired again if it has to be, and one that was fired is
resolved. A machine of another owner who came after us has seen no less than ours, and stays.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from headwater_processor.core.alerts import Machine

log = logging.getLogger(__name__)


class Sayings:
    """The machines behind the last words, by shard. Used by the shards' thread; gone with the process."""

    def __init__(self) -> None:
        self._said: dict[int, dict[str, Machine]] = {}

    def said(self, shard: int, fingerprints: Iterable[str], machines: Mapping[str, Machine]) -> None:
        """Alerts with these fingerprints were acknowledged; `machines`: those of the shard, as they were published."""
        self._said.setdefault(shard, {}).update((each, machines[each]) for each in fingerprints if each in machines)

    def corrected(self, shard: int, loaded: Mapping[str, Machine]) -> dict[str, Machine]:
        """The machines of a shard as they go with what was said, of those that have to be others than the loaded ones."""
        said = self._said.get(shard, {})
        found = {each: said[each] for each in said if each not in loaded or loaded[each].seen_us < said[each].seen_us}
        if found:
            log.warning(
                "shard %d: %d alerts were said in a time that the state has lost; they count", shard, len(found)
            )
        return found

    def forget(self, shard: int) -> None:
        """The group gave the shard to somebody else."""
        self._said.pop(shard, None)
