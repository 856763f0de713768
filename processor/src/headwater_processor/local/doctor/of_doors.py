"""What is looked at in the doors: gateway, bridge, change data capture, discovery, watcher, and who was heard through which.

| door | is used if | well | not well |
|---|---|---|---|
| gateway | `gateway.*` is set, or one answers | ready; its version | away, not ready, something else, requests that it refused |
| bridge | its group was ever there, or documents came | members, lag | no member, far behind |
| cdc | `cdc.connect` is set, or one was heard | connectors, last heard | Connect away, failed tasks, settings missing, silent |
| discover | one was heard | last heard | silent |
| k8s-watch | one was heard | last heard; it speaks only when a pod dies | – |
| SDK, functions, OpenLineage clients | one was heard | how many, last heard | those of whom `EmitterSilent` fires |

What is not used is one line, and never a warning.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka.admin import AdminClient

from headwater.connect.causes import ConnectFacts
from headwater.connect.doors import CDC, CLI, DISCOVER, FUNCTION, K8S_WATCH, OPENLINEAGE, OTHER, SDK, door_of
from headwater.connect.gateway import GatewayAnswer, ask_gateway
from headwater.connect.looking import connect_facts, group_members
from headwater.connect.places import gateway_url
from headwater.runtime.kafka import client_config
from headwater.runtime.models import Settings
from headwater.runtime.redis import connect
from headwater_processor.local.doctor.findings import Check, Finding, Noting
from headwater_processor.local.doctor.of_kafka import is_embedded, lags_of
from headwater_processor.local.texts import ago, count
from headwater_processor.state import NoStateError, StateError, StateReader
from headwater_schemas.topics import catalogue

Heard = Mapping[str, int]
"""When each emitter was last heard, in microseconds."""

_LAG_WARN: Final = 100_000
_NAMED: Final = 5
_LOOKS: Final = 3
"""A door that looks every so often is silent when it missed so many looks."""

_SPEAKERS: Final = (
    (SDK, "jobs and Kafka clients with the SDK", "headwater connect job"),
    (FUNCTION, "functions", "headwater connect function"),
    (OPENLINEAGE, "OpenLineage clients", "headwater connect openlineage"),
    (CLI, "headwater emit", ""),
    (OTHER, "others", ""),
)


@dataclass(slots=True)
class DoorsDoctor:
    """Looks at the doors of one installation; only reads."""

    settings: Settings
    limit_s: float
    _heard: tuple[Heard, Sequence[str]] | None = field(default=None)

    def checks(self) -> list[Check]:
        """All checks. Emitters come first: what was heard tells what is used."""
        return [
            Check("emitters", self._emitters, "redis"),
            Check("gateway", self._gateway),
            Check("bridge", self._bridge, "kafka"),
            Check("cdc", self._cdc),
        ]

    def _emitters(self) -> Iterator[Finding]:
        settings, limit_s = self.settings, self.limit_s
        with connect(settings.redis, settings.domain, timeout_s=limit_s, connect_timeout_s=limit_s) as client:
            reader = StateReader(client, settings.domain)
            try:
                alerts = [one for one in reader.alerts() if one.kind == "EmitterSilent" and one.state == "FIRING"]
                self._heard = reader.emitters(), [one.subject.name for one in alerts]
            except NoStateError:
                self._heard = {}, []
            except StateError:
                return  # a finding of its own
        heard, silent = self._heard
        yield from of_speakers(heard, silent, _now_us())
        yield from of_discover(heard, _now_us(), self._unrepeated_us())
        yield from of_watcher(heard, _now_us())

    def _through(self, door: str) -> Heard | None:
        """Who was heard through a door; None while that is not known, for Redis is away."""
        return None if self._heard is None else _of_door(self._heard[0], door)

    def _silent_us(self) -> int:
        return self.settings.processor.emitter_silent_ms * 1_000

    def _unrepeated_us(self) -> int:
        """Discovery that has no news says the same again so often; twice missed, it is silent."""
        discover = self.settings.discover
        return max(self._silent_us(), (2 * discover.repeat_ms + discover.interval_ms) * 1_000)

    def _gateway(self) -> Iterator[Finding]:
        own = self.settings.gateway
        answer = ask_gateway(gateway_url(own), self.limit_s / 4)
        used = "named" if own.url else "set" if own.model_fields_set else ""
        yield from of_gateway(answer, used, self._through(OPENLINEAGE), _now_us())

    def _bridge(self) -> Iterator[Finding]:
        topic = self.settings.bridge.topic or catalogue(self.settings.topic_prefix)["openlineage"].name
        group = self.settings.bridge.group
        admin = AdminClient(client_config(self.settings.kafka, client_id="headwater-doctor"))
        if is_embedded(admin, self.limit_s):
            return
        seen = admin.list_topics(timeout=self.limit_s).topics
        if topic not in seen:
            yield Noting("bridge").ok(f"not used: {topic} does not exist")
            return
        lags = lags_of(admin, topic, group, len(seen[topic].partitions), self.limit_s)
        lag, was_there = sum(behind for behind, _ in lags.values()), any(known for _, known in lags.values())
        yield from of_bridge(topic, group, group_members(admin, group, self.limit_s), lag, was_there=was_there)

    def _cdc(self) -> Iterator[Finding]:
        cdc = self.settings.cdc
        answers = [connect_facts(url) for url in cdc.connect]
        silent_us = max(self._silent_us(), _LOOKS * cdc.interval_ms * 1_000)
        yield from of_cdc(answers, self._through(CDC), _now_us(), silent_us)


def of_speakers(heard: Heard, silent: Sequence[str], now_us: int) -> Iterator[Finding]:
    """Those who speak for themselves, by door: how many, when last, and of whom the alert says that they fell silent. Pure."""
    unused = []
    for door, words, how in _SPEAKERS:
        own = _of_door(heard, door)
        if not own:
            unused += [f"{words} ({how})"] if how else []
            continue
        say = Noting(door)
        yield say.ok(f"{words}: {count(len(own), 'emitter')}, last heard {ago(max(own.values()), now_us)}")
        for name in sorted((name for name in silent if name in own), key=own.__getitem__)[:_NAMED]:
            yield say.warn(
                f"{name} fell silent: last heard {ago(own[name], now_us)}",
                f"headwater status --emitter {shlex.quote(name)}  # what it wrote; does it run?",
            )
    if unused:
        yield Noting("emitters").ok(f"not used: {', '.join(unused)}")


def of_discover(heard: Heard, now_us: int, silent_us: int) -> Iterator[Finding]:
    """Discovery from Kafka alone, one emitter a cluster. Pure."""
    say = Noting(DISCOVER)
    own = sorted((seen_us, name) for name, seen_us in _of_door(heard, DISCOVER).items())
    if not own:
        yield say.ok("not used: headwater discover was never heard")
    for seen_us, name in own:
        words = f"{name.partition(':')[2]} was looked at {ago(seen_us, now_us)}"
        yield (
            say.ok(words)
            if now_us - seen_us <= silent_us
            else say.warn(
                f"{words}: what nobody instruments is not seen any more", "headwater discover  # does it run?"
            )
        )


def of_watcher(heard: Heard, now_us: int) -> Iterator[Finding]:
    """The watcher of pods; that it is silent is good news. Pure."""
    seen_us = max(_of_door(heard, K8S_WATCH).values(), default=0)
    if seen_us:
        yield Noting(K8S_WATCH).ok(f"a pod's end was last told {ago(seen_us, now_us)}; it speaks only when one dies")
    else:
        yield Noting(K8S_WATCH).ok("not used, or no pod has died: headwater k8s-watch was never heard")


def of_gateway(answer: GatewayAnswer, used: str, heard: Heard | None, now_us: int) -> Iterator[Finding]:
    """The gateway, as it answers. `used`: `named` (`gateway.url`), `set` (another setting of it), or empty. `heard`: through
    OpenLineage, None where that is not known. Pure."""
    say = Noting("gateway")
    if answer.is_reached and answer.is_ours:
        yield from _of_ours(answer)
    elif answer.is_reached and used:
        yield say.problem(
            f"what answers at {answer.url} is no gateway of Headwater", "set gateway.url, or gateway.port"
        )
    elif used == "named":
        yield say.problem(
            f"the gateway does not answer: {answer.why}", "headwater gateway  # does it run, and listen there?"
        )
    elif used:
        yield say.warn(
            f"gateway settings are here, and none answers: {answer.why}",
            "headwater gateway  # or set gateway.url, if it runs elsewhere",
        )
    elif heard:
        last = ago(max(heard.values()), now_us)
        yield say.ok(
            f"none at {answer.url}, where one would listen by default; {count(len(heard), 'OpenLineage emitter')} heard, last"
            f" {last}, so there is one elsewhere, or a bridge: set gateway.url to have it looked at"
        )
    else:
        yield say.ok(
            f"not used: none answers at {answer.url}" + (", and no OpenLineage was heard" if heard == {} else "")
        )


def _of_ours(answer: GatewayAnswer) -> Iterator[Finding]:
    say = Noting("gateway")
    events = f", {answer.events['acknowledged']:,} events taken" if answer.events is not None else ""
    if answer.is_ready:
        yield say.ok(f"the gateway at {answer.url} is ready, version {answer.version}{events}")
    else:
        yield say.problem(
            f"the gateway at {answer.url} is not ready: {answer.why}", "look at its log, at Kafka and the topics"
        )
    if answer.refused is None:
        yield say.ok("its metrics cannot be read from here (gateway.protect_metrics?), so what it refused is not known")
        return
    for (status, reason), number in answer.refused.most_common(_NAMED):
        yield say.warn(
            f"it refused {count(number, 'request')} since it began: {status} {reason}",
            "its log names who sent what"
            if status < 500
            else "Kafka did not take them; clients send them again  # look at the brokers",
        )


def of_bridge(topic: str, group: str, members: int | None, lag: int, *, was_there: bool) -> Iterator[Finding]:
    """The bridge, by its consumer group. `members` is None where Kafka does not say. Pure."""
    say = Noting("bridge")
    if not members and not was_there and not lag:
        yield say.ok(f"not used: no document on {topic}, and no bridge in the group {group}")
    elif members == 0 and lag:
        yield say.problem(
            f"{count(lag, 'document')} unread on {topic}, and no bridge is in the group {group}", "headwater bridge"
        )
    elif members == 0:
        yield say.warn(f"no bridge is in the group {group}; it had read all of {topic}", "headwater bridge")
    else:
        who = f"{count(members, 'bridge')} in the group {group}" if members is not None else f"the group {group}"
        words = f"{who}, {count(lag, 'document')} of {topic} behind"
        yield say.warn(words, "run more of them, up to the topic's partitions") if lag > _LAG_WARN else say.ok(words)


def of_cdc(answers: Sequence[ConnectFacts], heard: Heard | None, now_us: int, silent_us: int) -> Iterator[Finding]:
    """Kafka Connect as it answers, and when its emitters were heard (None: not known). Pure."""
    say = Noting(CDC)
    for told in answers:
        yield from _of_connect(told)
    if heard:
        newest = sorted(heard.items(), key=lambda each: -each[1])
        named = ", ".join(f"{name} {ago(seen_us, now_us)}" for name, seen_us in newest[:_NAMED])
        words = f"last heard: {named}" + (f", and {len(newest) - _NAMED} before them" if len(newest) > _NAMED else "")
        # Without Kafka Connect it speaks when a topic moves, and nobody knows how often that is.
        if now_us - newest[0][1] > silent_us and any(told.connectors for told in answers):
            yield say.warn(f"headwater cdc is silent; {words}", "headwater cdc  # does it run?")
        else:
            yield say.ok(words)
    elif answers and heard is not None:
        yield say.warn("cdc.connect is set, and headwater cdc was never heard", "headwater cdc")
    elif not answers:
        yield say.ok("not used: cdc.connect is not set, and headwater cdc was never heard")


def _of_connect(told: ConnectFacts) -> Iterator[Finding]:
    say = Noting(CDC)
    if told.why:
        yield say.problem(f"Kafka Connect does not answer: {told.why}", "check cdc.connect")
        return
    debezium = [one for one in told.connectors if one.is_debezium]
    yield say.ok(
        f"Kafka Connect at {told.url} has {count(len(told.connectors), 'connector')}, {len(debezium)} of Debezium"
    )
    for one in told.connectors:
        for failure in one.failures:
            restart = f"{told.url}/connectors/{one.name}/restart?includeTasks=true&onlyFailed=true"
            yield say.problem(
                f"connector {one.name}: {failure}", f"curl -X POST '{restart}'  # once its cause is mended"
            )
        if one.speaks and one.lacks:
            yield say.warn(
                f"connector {one.name} is to tell its lineage and lacks {'; '.join(one.lacks)}",
                "headwater connect debezium",
            )


def _of_door(heard: Heard, door: str) -> dict[str, int]:
    return {name: seen_us for name, seen_us in heard.items() if door_of(name) == door}


def _now_us() -> int:
    return time.time_ns() // 1_000
