"""The policies of a worker: those of its settings, and over them those of the topic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from headwater_processor.core.policies import PolicySet, compile_policies
from headwater_schemas.codec import decode_policy, is_decision
from headwater_schemas.decisions import KEY_PREFIX
from headwater_schemas.policies import Policy

_DECISIONS: Final = KEY_PREFIX.encode()


class PolicyTable:
    """Takes the records of the policies topic in, in their order."""

    def __init__(self, own: Iterable[Policy] = ()) -> None:
        self._own = {policy.subject.encode(): policy for policy in own}
        self._told: dict[bytes, Policy] = {}
        self._version = -1

    def take(self, key: bytes, value: bytes | None, offset: int) -> bool:
        """Whether the policies are others now. What people decided about alerts stands on the same topic and changes nothing
        that is judged. Raises Malformed for what is neither."""
        if value is None:
            if key not in self._told and key.startswith(_DECISIONS):
                return False
            self._told.pop(key, None)
        elif is_decision(value):
            return False
        else:
            self._told[key] = decode_policy(value)
        self._version = offset
        return True

    def compiled(self) -> PolicySet:
        """What holds now."""
        return compile_policies({**self._own, **self._told}.values(), self._version)
