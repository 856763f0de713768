"""Facts in, probable causes out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from headwater.connect.causes import Cause, ConnectFacts, Facts, Letters, probable
from headwater.connect.debezium import Connector
from headwater.connect.gateway import GatewayAnswer
from headwater.connect.hearing import SUBJECTS
from headwater.connect.places import installation_of
from headwater.runtime.models import Settings

PLACE = installation_of(Settings())
BOTH = ("http", "kafka")
WELL = GatewayAnswer("http://g:5000", is_reached=True, is_ready=True, is_ours=True, version="1")
POSTGRES = "io.debezium.connector.postgresql.PostgresConnector"
SPEAKING = Connector("shop", POSTGRES, "3.5.0.Final", "RUNNING", speaks=True)


def causes(subject: str, *, ways: tuple[str, ...] = BOTH, job: str = "", **facts: Any) -> list[Cause]:
    return probable(subject, PLACE, Facts(**facts), ways=ways, job=job)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_there_is_always_something_to_try(subject: str) -> None:
    found = causes(subject)
    assert found
    assert all(cause.remedy for cause in found)
    assert not any(cause.is_sure for cause in found)


@pytest.mark.parametrize(
    ("subject", "facts", "said", "remedy", "sure"),
    [
        ("job", {"missing": ("lineage.events",)}, "no topic lineage.events", "headwater topics create", True),
        ("dbt", {"missing": ("lineage.openlineage",)}, "no topic lineage.openlineage", "headwater topics create", False),
        ("job", {"undecodable": Counter({"unknown_schema": 3})}, "3 records came on lineage.events", "deadletter", False),
        ("job", {"clock_ahead_us": -7_200_000_000}, "7200 s behind this machine's", "chronyc", False),
        ("job", {"letters": (Letters("bad_time", 1, "year 1969"),)}, "1 dead letter came meanwhile, bad_time: year 1969",
         "headwater deadletter list --reason bad_time", True),
        ("airflow", {"gateway": GatewayAnswer("http://g", why="http://g cannot be reached: refused")}, "no gateway answers",
         "headwater gateway", False),
        ("airflow", {"gateway": GatewayAnswer("http://g:80", is_reached=True)}, "is no gateway of Headwater", "--gateway", False),
        ("airflow", {"gateway": GatewayAnswer("http://g", True, False, True, "503: Kafka is away")}, "503: Kafka is away",
         "headwater doctor", True),
        ("spark", {"gateway": WELL, "refused": {(401, "unauthorized"): 4}}, "refused 4 requests meanwhile: 401 unauthorized",
         "headwater gateway token", True),
        ("spark", {"gateway": WELL, "refused": {(403, "forbidden"): 1}}, "refused 1 request", "namespaces", True),
        ("spark", {"gateway": WELL, "refused": {(404, "no_such_path"): 1}}, "404", "URL is wrong", True),
        ("spark", {"gateway": WELL, "refused": {(422, "invalid"): 1}}, "422", "JSON path", True),
        ("spark", {"gateway": WELL, "refused": {(503, "kafka"): 1}}, "503", "headwater doctor", True),
        ("dbt", {"documents": 2, "members": 0}, "2 documents came on lineage.openlineage, and no bridge", "headwater bridge", True),
        ("dbt", {"documents": 2, "members": 1}, "not awaited", "headwater bridge", False),
        ("debezium", {"connects": None}, "Kafka Connect was not asked", "--connect http://CONNECT:8083", False),
        ("connect", {"connects": (ConnectFacts("http://c", "http://c cannot be reached"),)}, "cannot be reached", "address", True),
        ("debezium", {"connects": (ConnectFacts("http://c"),)}, "has no Debezium connector", "create it", True),
        ("debezium", {"connects": (ConnectFacts("http://c", connectors=(Connector("s", POSTGRES, lacks=("a", "b")),)),)},
         "connector s lacks a; b", "PUT http://c/connectors/s/config", True),
        ("debezium", {"connects": (ConnectFacts("http://c", connectors=(SPEAKING,)),)}, "set up to speak",
         "restart?includeTasks=true", False),
        ("debezium",
         {"connects": (ConnectFacts("http://c", connectors=(Connector("s", POSTGRES, state="PAUSED", speaks=True),)),)},
         "is paused", "resume", True),
        ("connect", {"connects": (ConnectFacts("http://c", connectors=(Connector("s", "x.Y", failures=("task 0 failed: no",)),)),)},
         "connector s: task 0 failed: no", "onlyFailed=true", False),
    ],
)  # fmt: skip
def test_each_fact_has_its_cause_and_its_remedy(
    subject: str, facts: dict[str, Any], said: str, remedy: str, sure: bool
) -> None:
    found = [cause for cause in causes(subject, **facts) if said in cause.text]
    assert found, [cause.text for cause in causes(subject, **facts)]
    assert remedy in found[0].remedy
    assert found[0].is_sure is sure


def test_where_http_is_the_only_way_a_missing_gateway_is_the_cause() -> None:
    away = GatewayAnswer("http://g", why="http://g cannot be reached")
    assert causes("dbt", ways=("http",), gateway=away)[0].is_sure
    assert not causes("dbt", ways=("kafka",), gateway=away)[0].text.startswith("no gateway")


@pytest.mark.parametrize(
    ("subject", "ways", "expected"),
    [("job", BOTH, False), ("job", ("http",), True), ("function", BOTH, True), ("connect", ("http",), False)],
)
def test_the_gateway_is_looked_at_for_those_who_use_it(subject: str, ways: tuple[str, ...], expected: bool) -> None:
    away = GatewayAnswer("http://g", why="http://g cannot be reached")
    found = causes(subject, ways=ways, gateway=away)
    assert any(cause.text.startswith("no gateway") for cause in found) is expected


def test_a_job_that_is_called_otherwise_is_named() -> None:
    jobs = Counter({"shop/load_orders": 3, "shop/z": 9})
    (cause,) = causes("job", job="shop/load-orders", jobs=jobs)
    assert cause.text == "12 events came of other jobs: shop/load_orders"
    assert cause.is_sure
    (cause,) = causes("job", job="quite/different-name", jobs=Counter({"shop/z": 9}))
    assert not cause.is_sure


def test_sure_causes_stand_first() -> None:
    found = causes("debezium", letters=(Letters("not_json", 1),), connects=None)
    assert [cause.is_sure for cause in found] == sorted((cause.is_sure for cause in found), reverse=True)
