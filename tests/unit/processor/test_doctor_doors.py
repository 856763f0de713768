"""What the doctor says of the doors: of what is used, of what is not, and of what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from headwater.connect.causes import ConnectFacts
from headwater.connect.debezium import Connector
from headwater.connect.gateway import GatewayAnswer
from headwater.runtime.models import Settings
from headwater_processor.local.doctor.findings import Finding
from headwater_processor.local.doctor.of_doors import (
    DoorsDoctor,
    of_bridge,
    of_cdc,
    of_discover,
    of_gateway,
    of_speakers,
    of_watcher,
)

NOW_US = 1_790_000_000_000_000
MINUTE_US = 60_000_000
SILENT_US = 5 * MINUTE_US
AWAY = GatewayAnswer("http://127.0.0.1:5000", why="http://127.0.0.1:5000 cannot be reached: refused")
READY = GatewayAnswer(
    "https://lineage.acme", True, True, True, version="1.2", refused=Counter(), events=Counter(acknowledged=1200)
)
POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"


def said(found: Iterator[Finding]) -> list[str]:
    return [f"{one.check} {one.level.value}: {one.text}" + (f" → {one.remedy}" if one.remedy else "") for one in found]


def test_what_is_not_used_is_one_line_of_each_and_never_a_warning() -> None:
    nothing: dict[str, int] = {}
    made = [
        *of_speakers(nothing, [], NOW_US),
        *of_discover(nothing, NOW_US, SILENT_US),
        *of_watcher(nothing, NOW_US),
        *of_gateway(AWAY, "", nothing, NOW_US),
        *of_bridge("lineage.openlineage", "headwater-bridge", 0, 0, was_there=False),
        *of_cdc([], nothing, NOW_US, SILENT_US),
    ]
    assert {one.level.value for one in made} == {"ok"}
    assert len(made) == 6
    assert all("not used" in one.text for one in made)


def test_the_checks_name_what_they_need() -> None:
    assert {check.name: check.needs for check in DoorsDoctor(Settings(), 1).checks()} == {
        "emitters": "redis", "gateway": "", "bridge": "kafka", "cdc": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "used", "words"),
    [
        (READY, "", "gateway ok: the gateway at https://lineage.acme is ready, version 1.2, 1,200 events taken"),
        (AWAY, "named", "gateway problem: the gateway does not answer"),
        (AWAY, "set", "gateway warn: gateway settings are here, and none answers"),
        (replace(READY, is_ours=False), "set", "gateway problem: what answers at https://lineage.acme is no gateway"),
        (replace(READY, is_ours=False), "", "gateway ok: not used"),
        (replace(READY, is_ready=False, why="503: Kafka is away"), "", "is not ready: 503: Kafka is away"),
        (replace(READY, refused=None), "", "gateway ok: its metrics cannot be read"),
        (replace(READY, refused=Counter({(401, "unauthorized"): 3})), "", "warn: it refused 3 requests since it began: 401"),
        (replace(READY, refused=Counter({(503, "kafka"): 1})), "", "→ Kafka did not take them"),
    ],
)  # fmt: skip
def test_a_gateway_is_as_it_answers(answer: GatewayAnswer, used: str, words: str) -> None:
    assert any(words in line for line in said(of_gateway(answer, used, {}, NOW_US)))


def test_a_gateway_elsewhere_is_no_warning() -> None:
    (line,) = said(of_gateway(AWAY, "", {"openlineage:x/shop": NOW_US - MINUTE_US}, NOW_US))
    assert line.startswith("gateway ok: none at http://127.0.0.1:5000")
    assert "1 OpenLineage emitter heard, last 1 min ago" in line
    (line,) = said(of_gateway(AWAY, "", None, NOW_US))
    assert line == "gateway ok: not used: none answers at http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("members", "lag", "was_there", "words"),
    [
        (2, 5, True, "bridge ok: 2 bridges in the group g, 5 documents of t behind"),
        (1, 200_000, True, "bridge warn: 1 bridge in the group g, 200,000 documents of t behind → run more"),
        (0, 7, False, "bridge problem: 7 documents unread on t, and no bridge is in the group g → headwater bridge"),
        (0, 0, True, "bridge warn: no bridge is in the group g; it had read all of t → headwater bridge"),
        (None, 3, True, "bridge ok: the group g, 3 documents of t behind"),
    ],
)
def test_a_bridge_is_as_its_group(members: int | None, lag: int, was_there: bool, words: str) -> None:
    (line,) = said(of_bridge("t", "g", members, lag, was_there=was_there))
    assert line.startswith(words)


def test_connectors_that_fail_or_lack_something_are_named() -> None:
    failing = Connector("shop", POSTGRES, failures=("task 0 failed: no route",))
    lacking = Connector("loud", POSTGRES, speaks=True, lacks=("a transform",))
    silent = Connector("mute", POSTGRES, lacks=("openlineage.integration.enabled=true",))
    answers = [
        ConnectFacts("http://c:8083", connectors=(failing, lacking, silent)),
        ConnectFacts("http://d", "http://d is away"),
    ]
    made = said(of_cdc(answers, {"cdc:shop": NOW_US}, NOW_US, SILENT_US))
    assert made[0] == "cdc ok: Kafka Connect at http://c:8083 has 3 connectors, 3 of Debezium"
    assert made[1].startswith("cdc problem: connector shop: task 0 failed: no route → curl -X POST")
    assert made[2].startswith("cdc warn: connector loud is to tell its lineage and lacks a transform")
    assert made[3].startswith("cdc problem: Kafka Connect does not answer: http://d is away")
    assert made[4].startswith("cdc ok: last heard: cdc:shop 0.0 s ago")
    assert len(made) == 5  # a connector that is not told to speak is read by the probe


def test_change_data_capture_that_fell_silent_is_a_warning() -> None:
    old = {"cdc:shop": NOW_US - 60 * MINUTE_US}
    asked = [ConnectFacts("http://c:8083", connectors=(Connector("shop", POSTGRES),))]
    _, line = said(of_cdc(asked, old, NOW_US, SILENT_US))
    assert line.startswith("cdc warn: headwater cdc is silent; last heard: cdc:shop 1 h ago")
    (line,) = said(of_cdc([], old, NOW_US, SILENT_US))
    assert line == "cdc ok: last heard: cdc:shop 1 h ago"  # its topics may be quiet
    (line,) = said(of_cdc([], {**old, "cdc:eu": NOW_US}, NOW_US, SILENT_US))
    assert line == "cdc ok: last heard: cdc:eu 0.0 s ago, cdc:shop 1 h ago"
    many = {f"cdc:{number}": NOW_US - number for number in range(8)}
    assert said(of_cdc([], many, NOW_US, SILENT_US))[0].endswith("cdc:4 0.0 s ago, and 3 before them")
    answers = [ConnectFacts("http://c:8083")]
    assert "was never heard → headwater cdc" in said(of_cdc(answers, {}, NOW_US, SILENT_US))[-1]
    assert len(said(of_cdc(answers, None, NOW_US, SILENT_US))) == 1


def test_discovery_that_fell_silent_is_a_warning_and_a_watcher_is_not() -> None:
    heard = {
        "discover:kafka://b:9092": NOW_US - MINUTE_US,
        "discover:kafka://c:9092": NOW_US - 60 * MINUTE_US,
        "k8s-watch": 1,
    }
    made = said(of_discover(heard, NOW_US, SILENT_US))
    assert made[0].startswith("discover warn: kafka://c:9092 was looked at 1 h ago")
    assert made[1] == "discover ok: kafka://b:9092 was looked at 1 min ago"
    assert said(of_watcher(heard, NOW_US))[0].startswith("k8s-watch ok")


def test_speakers_are_counted_by_door_and_the_silent_ones_are_those_of_the_alert() -> None:
    heard = {
        "sdk:shop/load": NOW_US - MINUTE_US, "sdk:shop/old": NOW_US - 60 * MINUTE_US, "sdk:function/f": NOW_US,
        "openlineage:github.com/x/shop": NOW_US, "cli": NOW_US, "debezium": NOW_US,
    }  # fmt: skip
    made = said(of_speakers(heard, ["sdk:shop/old", "somebody else"], NOW_US))
    assert made == [
        "sdk ok: jobs and Kafka clients with the SDK: 2 emitters, last heard 1 min ago",
        (
            "sdk warn: sdk:shop/old fell silent: last heard 1 h ago"
            " → headwater status --emitter sdk:shop/old  # what it wrote; does it run?"
        ),
        "function ok: functions: 1 emitter, last heard 0.0 s ago",
        "openlineage ok: OpenLineage clients: 1 emitter, last heard 0.0 s ago",
        "cli ok: headwater emit: 1 emitter, last heard 0.0 s ago",
        "other ok: others: 1 emitter, last heard 0.0 s ago",
    ]
