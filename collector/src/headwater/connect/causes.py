"""Why no event has come: facts in, probable causes out, the surest first. Pure.

| fact | cause | looked at for |
|---|---|---|
| the events topic is not there | nothing can come | all |
| records came that are no events | a producer writes another schema | all |
| Kafka's clock and ours differ | times are judged by Kafka's | all |
| events came, of other jobs | the job is called otherwise | with `--job` |
| dead letters came | their reason | all |
| no gateway, one that is not ready, requests that it refused | its answer, by status | OpenLineage, Debezium, functions |
| documents came and no bridge is in its group | they wait | OpenLineage, Debezium |
| Kafka Connect: no answer, no connector, failed tasks, settings that are missing | each | Debezium, Connect |
| none of these | what it most often is | all, as a guess |

A cause is sure where it alone keeps events from coming; the others are worth a look.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from headwater.connect.debezium import Connector
from headwater.connect.gateway import GatewayAnswer
from headwater.connect.places import Installation

OPENLINEAGE: Final = frozenset({"debezium", "openlineage", "airflow", "spark", "dbt"})
CONNECT: Final = frozenset({"debezium", "connect"})
_BY_SDK: Final = frozenset({"job", "kafka-client", "emit-run"})
_CLOCK_OFF_US: Final = 60_000_000
_MOST: Final = 5
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Cause:
    """A sentence, what to do about it, and whether it alone explains the silence."""

    text: str
    remedy: str = ""
    is_sure: bool = False


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters of one reason that came meanwhile; `detail` of one of them."""

    reason: str
    count: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ConnectFacts:
    """What one Kafka Connect says; `why` it does not, else its connectors."""

    url: str
    why: str = ""
    connectors: tuple[Connector, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found while an event was waited for. None: not looked at, or not to be had.

    `emitters` counts the other events that came, by emitter; `jobs` those of the subject's other jobs. `refused` are requests
    that the gateway refused meanwhile. `documents` came on the topic of OpenLineage documents, whose group has `members`.
    """

    missing: tuple[str, ...] = ()
    emitters: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    undecodable: Counter[str] = field(default_factory=Counter)
    clock_ahead_us: int = 0
    letters: tuple[Letters, ...] = ()
    gateway: GatewayAnswer | None = None
    refused: Mapping[tuple[int, str], int] = field(default_factory=dict)
    documents: int = 0
    members: int | None = None
    connects: tuple[ConnectFacts, ...] | None = None


def probable(subject: str, place: Installation, facts: Facts, *, ways: Sequence[str], job: str = "") -> list[Cause]:
    """The probable causes, sure ones first; what it most often is where nothing was found."""
    found = [*_of_events(place, facts, job), *_of_letters(facts)]
    if subject in CONNECT:
        found += _of_connect(subject, place, facts)
    found += _of_gateway(facts, only="kafka" not in ways) if by_gateway(subject, ways) else []
    found += _of_bridge(place, facts) if by_bridge(subject, ways) else []
    found += [] if found else _guesses(subject, place)
    return sorted(found, key=lambda cause: not cause.is_sure)


def by_gateway(subject: str, ways: Sequence[str]) -> bool:
    """Whether a subject's events may come through the gateway. A job's go straight to Kafka, unless the reader wants otherwise."""
    return "http" in ways and (
        subject in OPENLINEAGE or subject == "function" or (subject in _BY_SDK and len(ways) == 1)
    )


def by_bridge(subject: str, ways: Sequence[str]) -> bool:
    """Whether a subject's documents may come through the bridge."""
    return "kafka" in ways and subject in OPENLINEAGE


def _of_events(place: Installation, facts: Facts, job: str) -> Iterator[Cause]:
    events = place.topics["events"]
    for topic in facts.missing:
        yield Cause(f"Kafka at {place.servers} has no topic {topic}", "headwater topics create", topic == events)
    for reason, count in facts.undecodable.most_common(_NAMED):
        yield Cause(
            f"{_count(count, 'record')} came on {events} that cannot be read: {reason}",
            "headwater deadletter list  # a worker puts them there; only Headwater's doors and SDK write to this topic",
        )
    if abs(facts.clock_ahead_us) > _CLOCK_OFF_US:
        seconds, how = abs(facts.clock_ahead_us) // 1_000_000, "ahead of" if facts.clock_ahead_us > 0 else "behind"
        yield Cause(
            f"Kafka's clock is {seconds} s {how} this machine's",
            "chronyc tracking  # on both: is the clock kept right?",
        )
    if job and facts.jobs:
        near = difflib.get_close_matches(job, list(facts.jobs), n=1, cutoff=0.6)
        named = near or [name for name, _ in facts.jobs.most_common(_NAMED)]
        yield Cause(
            f"{_count(sum(facts.jobs.values()), 'event')} came of other jobs: {', '.join(named)}",
            f"is it called {near[0]}?" if near else "--job takes the name as events have it",
            bool(near),
        )


def _of_letters(facts: Facts) -> Iterator[Cause]:
    for letters in facts.letters[:_MOST]:
        said = f": {letters.detail}" if letters.detail else ""
        yield Cause(
            f"{_count(letters.count, 'dead letter')} came meanwhile, {letters.reason}{said}",
            f"headwater deadletter list --reason {letters.reason}",
            True,
        )


def _of_gateway(facts: Facts, *, only: bool) -> Iterator[Cause]:
    """`only`: there is no other way for the documents."""
    gateway = facts.gateway
    if gateway is None:
        return
    if not gateway.is_reached:
        yield Cause(
            f"no gateway answers: {gateway.why}",
            "headwater gateway --host 0.0.0.0  # or name where it is: --gateway https://host",
            only,
        )
    elif not gateway.is_ours:
        yield Cause(
            f"what answers at {gateway.url} is no gateway of Headwater", "name it: --gateway https://host", only
        )
    elif not gateway.is_ready:
        yield Cause(
            f"the gateway is not ready: {gateway.why}", "headwater doctor  # looks at Kafka and the topics", True
        )
    for (status, reason), count in sorted(facts.refused.items(), key=lambda each: -each[1])[:_MOST]:
        what = f"the gateway refused {_count(count, 'request')} meanwhile: {status} {reason}"
        yield Cause(what, _remedy_of(status), True)


def _remedy_of(status: int) -> str:
    if status == 401:
        return "headwater gateway token --name NAME  # the client sends it as its API key"
    if status == 403:
        return "the token may not write to that namespace: look at `namespaces` in the file of tokens"
    if status in {404, 405}:
        return "the client's URL is wrong: it takes the address alone, without /api/v1/lineage"
    if status >= 500:
        return "headwater doctor  # Kafka does not take events; clients send them again"
    return "the client's log has the answer, which names the JSON path at fault"


def _of_bridge(place: Installation, facts: Facts) -> Iterator[Cause]:
    if facts.documents and facts.members == 0:
        yield Cause(
            f"{_count(facts.documents, 'document')} came on {place.documents}, and no bridge is in the group {place.bridge_group}",
            "headwater bridge",
            True,
        )
    elif facts.documents:
        yield Cause(
            f"{_count(facts.documents, 'document')} came on {place.documents}, and what the bridge made of them was not awaited",
            "headwater bridge  # is it behind? its metrics say",
        )


def _of_connect(subject: str, place: Installation, facts: Facts) -> Iterator[Cause]:
    if facts.connects is None:
        yield Cause(
            "Kafka Connect was not asked, for nobody said where it is",
            f"headwater connect {subject} --connect http://CONNECT:8083",
        )
        return
    for told in facts.connects:
        if told.why:
            yield Cause(
                told.why, "check the address; does its worker listen for others (listeners)?", subject == "connect"
            )
            continue
        found = [one for one in told.connectors if one.is_debezium] if subject == "debezium" else list(told.connectors)
        if not found:
            kind = "Debezium connector" if subject == "debezium" else "connector"
            yield Cause(f"Kafka Connect at {told.url} has no {kind}", "create it: PUT /connectors/NAME/config", True)
        for one in found:
            yield from _of_connector(subject, told.url, one)
    if subject == "connect" and any(told.connectors for told in facts.connects):
        urls = " ".join(f"--connect {told.url}" for told in facts.connects if told.connectors)
        yield Cause("Kafka Connect answers: headwater cdc is not running, or looks elsewhere", f"headwater cdc {urls}")


def _of_connector(subject: str, url: str, one: Connector) -> Iterator[Cause]:
    for failure in one.failures[:_NAMED]:
        restart = f"curl -X POST '{url}/connectors/{one.name}/restart?includeTasks=true&onlyFailed=true'"
        yield Cause(f"connector {one.name}: {failure}", f"{restart}  # once its cause is mended", subject == "debezium")
    if subject != "debezium":
        return
    if one.lacks:
        yield Cause(
            f"connector {one.name} lacks {'; '.join(one.lacks)}",
            f"add the settings above: PUT {url}/connectors/{one.name}/config",
            not one.speaks,
        )
    elif one.state == "PAUSED" or one.state == "STOPPED":
        yield Cause(
            f"connector {one.name} is {one.state.lower()}", f"curl -X PUT '{url}/connectors/{one.name}/resume'", True
        )
    elif not one.failures:
        yield Cause(
            f"connector {one.name} is set up to speak, and does so when a task starts",
            f"curl -X POST '{url}/connectors/{one.name}/restart?includeTasks=true'  # are the libraries in its plugin folder?",
        )


def _guesses(subject: str, place: Installation) -> list[Cause]:
    """What it most often is, where all that could be looked at is well."""
    if subject in OPENLINEAGE:
        return [
            Cause(
                "the client was not run meanwhile, or does not read these settings: a file openlineage.yml wins over variables,"
                " and OPENLINEAGE_DISABLED=true silences it",
                f"curl -sS {place.gateway}/readyz  # from where the client runs; its log says where it sends to",
            )
        ]
    if subject == "function":
        return [
            Cause(
                "the function was not called, does not reach Headwater, or its handler is not decorated",
                "call it, and look into its log for a line of headwater",
            )
        ]
    return [
        Cause(
            "the job was not run meanwhile, or the variables are not in its environment: lineage that is switched off says"
            " nothing",
            "run it with HEADWATER_TRANSPORT=console: what it would send goes to stderr; wrong settings are a line of its log",
        )
    ]


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
