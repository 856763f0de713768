"""Who speaks is a door and a connector, workload or function: the same after a restart, a new pod, a new version, another day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from headwater.cdc.connectors import connectors_of
from headwater.cdc.names import Server
from headwater.cdc.statements import emitter as cdc_emitter
from headwater.emitter import Emitter
from headwater.k8s.pods import events_of
from headwater.openlineage import Rejected, convert
from headwater.transports.memory import MemoryTransport
from headwater_schemas.events import LineageEvent, Name, Runtime


def said(
    environ: Mapping[str, str] | None = None, *, job: str = "load", runtime: Runtime | None = None
) -> LineageEvent:
    """What an emitter makes of one run's START; `environ`: as its settings come from the environment."""
    given = {"HEADWATER_TRANSPORT": "memory", **(environ or {})}
    options: dict[str, Any] = {} if runtime is None else {"runtime": runtime}
    with Emitter.from_env(given, **options) as emitter:
        with emitter.run(job):
            pass
        emitter.flush()
        transport = emitter._sender.transport if emitter._sender else None
        assert isinstance(transport, MemoryTransport)
        return transport.events[0]


@pytest.mark.parametrize(
    ("environ", "emitter"),
    [
        ({"HEADWATER_JOB": "orders", "HEADWATER_NAMESPACE": "shop"}, "sdk:shop/orders"),
        ({"HEADWATER_NAMESPACE": "shop"}, "sdk:shop/load"),  # the process names no job: each event's own
        ({"POD_NAME": "orders-6d9c7b5f84-n7rgn", "POD_NAMESPACE": "shop"}, "sdk:default/load"),
        ({"AWS_LAMBDA_FUNCTION_NAME": "thumbnails", "AWS_LAMBDA_FUNCTION_VERSION": "7"}, "sdk:function/thumbnails"),
        ({"HEADWATER_JOB": "orders-2026-11-26"}, "sdk:default/orders-{date}"),
        ({"HEADWATER_JOB": "orders", "HEADWATER_DOORS__ENVIRONMENT": "staging"}, "sdk:staging+default/orders"),
    ],
)
def test_a_job_is_the_same_speaker_in_every_pod(environ: dict[str, str], emitter: str) -> None:
    assert said(environ).emitter == emitter


def test_a_host_names_nobody() -> None:
    """In a container the host is named after the pod or at random."""
    first, second = (said(runtime=Runtime(host=host)).emitter for host in ("orders-6d9c7b5f84-n7rgn", "f3a9c1d27b"))
    assert first == second == "sdk:default/load"


def test_a_pod_that_died_is_told_by_the_watcher_of_its_job() -> None:
    pod = {
        "metadata": {"uid": "u", "name": "orders-6d9c7b5f84-n7rgn", "labels": {"app.kubernetes.io/name": "orders"}},
        "status": {
            "containerStatuses": [
                {"name": "main", "restartCount": 0, "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
            ]
        },
    }
    assert {event.emitter for event in events_of(pod, "shop", 1_790_000_000_000_000)} == {"k8s-watch:shop/orders"}


def test_a_connector_is_one_speaker_however_it_is_looked_at() -> None:
    assert cdc_emitter(Server("postgresql", "shop")) == "cdc:shop"
    document = {
        "lake": {
            "info": {"config": {"connector.class": "io.confluent.connect.s3.S3SinkConnector", "topics": "orders"}},
            "status": {"connector": {"state": "RUNNING"}, "tasks": [], "type": "sink"},
        }
    }
    (connector,), _ = connectors_of(document, namespace="kafka-connect://c:8083", cluster="b:9092", topics=["orders"])
    assert connector.emitter == "cdc:lake"


@pytest.mark.parametrize("version", ["1.9.1", "1.40.0", "main"])
def test_openlineages_clients_are_the_same_speaker_in_every_version(version: str) -> None:
    event = convert(
        {
            "eventTime": "2026-11-26T12:00:00Z",
            "producer": f"https://github.com/OpenLineage/OpenLineage/tree/{version}/integration/spark",
            "job": {"namespace": "shop", "name": "load"},
        }
    )
    assert not isinstance(event, Rejected)
    assert event.emitter == "openlineage:github.com/OpenLineage/OpenLineage/integration/spark/shop"
    assert event.job == Name("shop", "load")
