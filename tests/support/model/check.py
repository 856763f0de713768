"""What must hold of a world of `world` when it is settled: everything equals the oracle, every image and alert is right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import redis
from tests.support.model.clients import MemoryClient
from tests.support.model.process import DOMAIN, SHARDS
from tests.support.model.world import World
from tests.support.oracle.compare_graph import compare_graph
from tests.support.oracle.compare_letters import ImageDecoder
from tests.support.oracle.compare_state import View, compare_state
from tests.support.oracle.contract import BY_FINGERPRINT
from tests.support.oracle.elements import Rules
from tests.support.oracle.model import Model
from tests.support.oracle.topics import Message
from tests.support.oracle.wire import BadRecordError, WireDecoder

from headwater_processor.core.alerts import State
from headwater_processor.core.alerts import decode as decode_machine


class _Decoder(WireDecoder):
    """The pool is small: each of its values is read once."""

    def __init__(self) -> None:
        super().__init__(BY_FINGERPRINT, None)
        self._known: dict[bytes | None, dict[str, Any] | BadRecordError] = {}

    def decode(self, value: bytes | None) -> dict[str, Any]:
        found = self._known.get(value)
        if found is None:
            try:
                found = super().decode(value)
            except BadRecordError as error:
                found = error
            self._known[value] = found
        if isinstance(found, BadRecordError):
            raise found
        return found


_DECODER = _Decoder()
_ALERTS = ImageDecoder("alert.v1")


def oracle(world: World) -> Model:
    """The log, read a second time in plain Python."""
    model = Model(BY_FINGERPRINT, None, Rules(shards=SHARDS))
    model.decoder = _DECODER
    for partition, records in enumerate(world.log):
        for offset, record in enumerate(records):
            model.feed(partition, offset, record.timestamp()[1], record.value())
            _note_parent(model, record.value())
    return model


def _note_parent(model: Model, value: bytes | None) -> None:
    """The oracle notes the parents of runs; the product also those that an event without a run names."""
    try:
        parent = _DECODER.decode(value)["parent_job"]
    except BadRecordError:
        return
    if parent is not None:
        model.state.parent_key(parent["namespace"], parent["name"])


def differences(world: World) -> list[str]:
    """What is not as it must be; empty when all is well."""
    model = oracle(world)
    client = cast("redis.Redis", MemoryClient(world.redis))
    lines = compare_state(View(client, DOMAIN, model))
    messages = _messages(world.topics["deltas"])
    lines += compare_graph(model, messages, strict_versions=False, rolled_back=world.rollbacks > 0)
    for kind, expected in (("dead", model.bad), ("late", model.late)):
        if world.letters[kind] != expected.keys():
            lines.append(f"letters: {kind} {sorted(world.letters[kind] ^ expected.keys())}")
    return [*lines, *_alerts(world)]


def _messages(records: Iterable[tuple[bytes, bytes]]) -> list[Message]:
    return [Message(0, offset, 0, key, value, {}) for offset, (key, value) in enumerate(records)]


def _alerts(world: World) -> list[str]:
    """Each incident fires once and is resolved at most once, by id; what was said last is what the machines hold."""
    lines: list[str] = []
    paths: dict[str, dict[str, None]] = {}
    subjects: dict[str, str] = {}
    contents: dict[str, bytes] = {}
    for key, value in world.topics["alerts"]:
        alert = _ALERTS.decode(value)
        if key.decode() != alert["fingerprint"]:
            lines.append(f"alerts: the key {key!r} is not the fingerprint {alert['fingerprint']}")
        paths.setdefault(alert["incident_id"], {})[alert["state"]] = None
        subjects[alert["incident_id"]] = alert["fingerprint"]
        if contents.setdefault(alert["alert_id"], value) != value and not world.rollbacks:
            lines.append(f"alerts: {alert['alert_id']} of {alert['fingerprint']} has two contents")
    for incident, path in paths.items():
        if list(path) not in (["FIRING"], ["FIRING", "RESOLVED"]):
            lines.append(f"alerts: incident {incident} of {subjects[incident]} went through {list(path)}")
    if not world.rollbacks:  # a Redis that was set back forgets machines: what they said cannot be taken back
        lines += _open_incidents(world, paths, subjects)
    return lines


def _open_incidents(world: World, paths: dict[str, dict[str, None]], subjects: dict[str, str]) -> list[str]:
    said = sorted(subjects[incident] for incident, path in paths.items() if list(path) == ["FIRING"])
    machines = [
        (fingerprint.decode(), decode_machine(value))
        for shard in range(SHARDS)
        for fingerprint, value in world.redis.data.get(world.key(f"am:{shard}"), {}).items()
    ]
    held = sorted(name for name, machine in machines if machine.state in (State.FIRING, State.CLEARING))
    return [] if said == held else [f"alerts: open in the topic {said}, in the machines {held}"]
