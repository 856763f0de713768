"""The gateway as a process before a real Kafka: real clients, a broker that goes away, a spool, a kill in the middle."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, JobEvent, OutputDataset, Run, RunEvent, RunState
from openlineage.client.transport.async_http import AsyncHttpConfig, AsyncHttpTransport
from openlineage.client.transport.http import HttpConfig, HttpTransport
from tests.support.doors import RUN_ID, Door, events_of, flood, records_of, run_event, zstd
from tests.support.openlineage_client import PRODUCER
from tests.support.processes import wait_until
from tests.support.services import KafkaService

from headwater.cli.root import run
from headwater.gateway.access import hashed
from headwater_schemas.events import DatasetUse, EventType

pytestmark = pytest.mark.timeout(120)

TOKEN = "hw_integration"  # noqa: S105 - of a gateway that lives for these tests
BATCH = "/api/v1/lineage/batch"


def events_topic(kafka: KafkaService, prefix: str) -> str:
    return kafka.create_topic(f"{prefix}events", partitions=3)


def gateway(folder: Path, servers: str, prefix: str, *arguments: str) -> Door:
    told = ["--kafka", servers, "--set", f"topic_prefix={prefix}", "--port", "0"]
    return Door(folder, "gateway", *told, *arguments)


@pytest.fixture(scope="module")
def prefix(kafka: KafkaService) -> str:
    return kafka.unique("gw") + "."


@pytest.fixture(scope="module")
def door(kafka: KafkaService, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A gateway with a token, which the tests of this module share."""
    folder = tmp_path_factory.mktemp("gateway")
    tokens = folder / "tokens.yaml"
    tokens.write_text(f"tokens: [{{name: tests, sha256: {hashed(TOKEN)}}}]")
    events_topic(kafka, prefix)
    with gateway(folder, kafka.bootstrap_servers, prefix, "--tokens", str(tokens)) as running:
        yield running


AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


def started_and_completed(job: str) -> list[RunEvent | JobEvent]:
    """What a client says of a run, and of its job."""
    run, named = Run(runId=str(uuid.uuid4())), Job(namespace="shop", name=job)
    read, written = (
        [InputDataset("postgres://u:s3cret@db:5432", "shop.public.orders")],
        [OutputDataset("s3://lake", job)],
    )
    at = datetime.now(UTC).isoformat()
    return [
        RunEvent(
            eventType=RunState.START, eventTime=at, run=run, job=named, producer=PRODUCER, inputs=read, outputs=[]
        ),
        RunEvent(
            eventType=RunState.COMPLETE, eventTime=at, run=run, job=named, producer=PRODUCER, inputs=[], outputs=written
        ),
        JobEvent(eventTime=at, job=named, producer=PRODUCER, inputs=read, outputs=written),
    ]


@pytest.mark.parametrize("kind", ["http", "http gzip", "async_http"])
def test_the_real_client_as_it_is(door: Door, kafka: KafkaService, prefix: str, kind: str) -> None:
    job = f"job-{kind}"
    if kind == "async_http":
        asynchronous = AsyncHttpTransport(
            AsyncHttpConfig.from_dict({"url": door.url, "auth": {"type": "api_key", "apiKey": TOKEN}})
        )
        client = OpenLineageClient(transport=asynchronous)
    else:
        config = {"url": door.url, "auth": {"type": "api_key", "apiKey": TOKEN}}
        config |= {"compression": "gzip"} if kind.endswith("gzip") else {}
        client = OpenLineageClient(transport=HttpTransport(HttpConfig.from_dict(config)))
    for event in started_and_completed(job):
        client.emit(event)
    if kind == "async_http":
        assert asynchronous.wait_for_completion(timeout=20)
        assert asynchronous.get_stats() == {"pending": 0, "success": 3, "failed": 0}
    client.close()
    came = [event for event in events_of(kafka.bootstrap_servers, f"{prefix}events") if event.job.name == job]
    assert sorted(event.event_type.value for event in came) == ["COMPLETE", "OTHER", "START"]
    assert {use.namespace for event in came for use in event.inputs} == {"postgres://db:5432"}


def test_an_answer_names_the_event_that_is_in_kafka_under_its_jobs_key(
    door: Door, kafka: KafkaService, prefix: str
) -> None:
    event = run_event(job={"namespace": "etl", "name": "answered"})
    packed = [
        (json.dumps(event).encode(), {}),
        (gzip.compress(json.dumps(event).encode()), {"Content-Encoding": "gzip"}),
        (zstd.compress(json.dumps(event, sort_keys=True).encode()), {"Content-Encoding": "zstd"}),
    ]
    replies = [door.post(body, headers=AUTHORIZED | more, path="/api/v1/lineage?run=5") for body, more in packed]
    assert [reply.status for reply in replies] == [200] * 3
    (event_id,) = {reply.headers["headwater-event-id"] for reply in replies}  # a repetition is the same event
    found = [m for m in records_of(kafka.bootstrap_servers, f"{prefix}events") if m.key() == b"etl/answered"]
    assert len(found) == 3
    assert {(m.value() or b"")[10:26] for m in found} == {uuid.UUID(event_id).bytes}


def test_a_batch_is_204_and_with_a_bad_event_the_summary_of_the_specification(
    door: Door, kafka: KafkaService, prefix: str
) -> None:
    jobs = [{"namespace": "batch", "name": f"j{number}"} for number in range(500)]
    events = [run_event(job=job) for job in jobs]
    assert door.post(events, path=BATCH, headers=AUTHORIZED).status == 204
    came = {
        event.job.name
        for event in events_of(kafka.bootstrap_servers, f"{prefix}events")
        if event.job.namespace == "batch"
    }
    assert came == {job["name"] for job in jobs}
    reply = door.post([events[0], {"eventTime": "now"}], path=BATCH, headers=AUTHORIZED)
    assert (reply.status, reply.json()["status"]) == (200, "partial_success")
    assert reply.json()["summary"]["successful"] == 1
    assert reply.json()["failed_events"] == [
        {"index": 1, "reason": "eventTime: is no ISO 8601 time after 1970", "retriable": False}
    ]


def test_a_stranger_is_refused_and_probes_are_not(door: Door) -> None:
    assert door.post(run_event()).status == 401
    wait_until(lambda: door.ask("GET", "/readyz").status == 200, within_s=10, what="a gateway that is ready")
    assert door.ask("GET", "/healthz").status == 200
    assert b"headwater_gateway_events_total" in door.ask("GET", "/metrics").body
    assert door.ask("GET", "/openapi.json").json()["openapi"] == "3.1.0"


def test_one_connection_carries_many_requests(door: Door) -> None:
    parts = urlsplit(door.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    connection.connect()
    own = connection.sock.getsockname()
    for number in range(20):
        body = json.dumps(run_event(job={"namespace": "etl", "name": f"kept-{number % 2}"}))
        connection.request("POST", "/api/v1/lineage", body, AUTHORIZED)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert connection.sock.getsockname() == own
    connection.close()


def test_whatever_comes_is_answered_with_a_4xx_and_the_gateway_goes_on(door: Door) -> None:
    chance = random.Random(7)
    good = json.dumps(run_event()).encode()
    bodies = [bytes(chance.randrange(256) for _ in range(chance.randrange(60))) for _ in range(40)]
    for _ in range(80):
        cut = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            cut[chance.randrange(len(cut))] = chance.randrange(256)
        bodies.append(bytes(cut[: chance.randrange(len(cut))] if chance.random() < 0.3 else cut))
    odds: list[Any] = [5, [], {}, "", None, [[]]]
    bodies += [json.dumps(run_event(**{member: odd})).encode() for member in run_event() for odd in odds]
    path = ["/api/v1/lineage", BATCH]
    statuses = {door.post(body, path=path[at % 2], headers=AUTHORIZED).status for at, body in enumerate(bodies)}
    assert statuses <= {200, 204, 400, 413, 422}
    assert 422 in statuses
    assert door.post(good, headers=AUTHORIZED).status == 200


def test_heads_without_end_are_cut_off(door: Door) -> None:
    parts = urlsplit(door.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.sendall(b"POST /api/v1/lineage HTTP/1.1\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            connection.sendall((b"x-head: " + b"a" * 1_000 + b"\r\n") * 20_000)
    assert door.ask("GET", "/healthz").status == 200


def test_a_gateway_that_is_told_to_stop_answers_what_it_has_begun(kafka: KafkaService, tmp_path: Path) -> None:
    prefix = kafka.unique("stop") + "."
    topic = events_topic(kafka, prefix)
    with gateway(tmp_path, kafka.bootstrap_servers, prefix) as door:
        answered: list[int] = []
        stop = threading.Event()

        def post() -> None:
            while not stop.is_set():
                try:
                    answered.append(door.post(run_event(run={"runId": str(uuid.uuid4())})).status)
                except OSError:
                    return

        threads = [threading.Thread(target=post) for _ in range(8)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answered) > 50, within_s=20, what="answers")
        door.stop()
        stop.set()
        for thread in threads:
            thread.join(20)
    assert set(answered) == {200}
    assert len(records_of(kafka.bootstrap_servers, topic)) >= len(answered)
    assert events_of(kafka.bootstrap_servers, topic)[0].event_type is EventType.COMPLETE


def test_what_is_wrong_at_the_start_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["--tokens", str(tmp_path / "none.yaml")], "cannot read the tokens"),
        (["--set", "gateway.cert_file=/nowhere.pem"], "gateway.cert_file /nowhere.pem"),
        (["--set", "gateway.jwks_url=https://id.example.com"], "jwt_audience is not"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
        (["--set", "kafka.no.such=1"], "refuses its settings"),
    ):
        assert run(["--kafka", "127.0.0.1:1", "gateway", "--port", "0", *arguments]) == 2
        told = capsys.readouterr().err
        assert said in told
        assert "Traceback" not in told


def test_a_token_is_made_that_the_gateway_takes(
    kafka: KafkaService, prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--output", "json", "gateway", "token", "--name", "dbt", "--namespace", "etl"]) == 0
    made = json.loads(capsys.readouterr().out)
    tokens = tmp_path / "tokens.json"  # JSON is YAML
    tokens.write_text(json.dumps({"tokens": [made["entry"]]}))
    with gateway(tmp_path, kafka.bootstrap_servers, prefix, "--tokens", str(tokens)) as door:
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert door.post(run_event(run={"runId": RUN_ID}), headers=headers).status == 200
        assert door.post(run_event(job={"namespace": "else", "name": "j"}), headers=headers).status == 403


def test_debeziums_flood_is_one_event_and_a_heartbeat_and_its_names_are_ours(
    kafka: KafkaService, tmp_path: Path
) -> None:
    prefix = kafka.unique("flood") + "."
    topic = events_topic(kafka, prefix)
    documents = flood(100_000)
    with gateway(tmp_path, kafka.bootstrap_servers, prefix) as door:
        wait_until(lambda: door.ask("GET", "/readyz").status == 200, within_s=10, what="a gateway that is ready")
        for at in range(0, len(documents), 10_000):
            assert door.post(documents[at : at + 10_000], path=BATCH).status == 204
        assert b'headwater_gateway_events_total{outcome="coalesced"} 99999.0' in door.ask("GET", "/metrics").body
    first, heartbeat = sorted(events_of(kafka.bootstrap_servers, topic), key=lambda event: event.event_time_us)
    (use,) = first.inputs
    assert (use.namespace, use.name) == (f"kafka://{kafka.bootstrap_servers}", "orders")
    assert [alias.namespace.partition("://")[0] for alias in use.aliases] == ["kafka-cluster"]
    assert heartbeat.inputs == first.inputs
    times = [datetime.fromisoformat(each["eventTime"]) for each in documents]
    assert heartbeat.event_time_us == max(times).timestamp() * 1_000_000


def test_names_fold_and_what_was_said_is_kept(kafka: KafkaService, tmp_path: Path) -> None:
    prefix = kafka.unique("fold") + "."
    topic = events_topic(kafka, prefix)
    with gateway(tmp_path, kafka.bootstrap_servers, prefix, "--set", "doors.environment=staging") as door:
        for day in ("2026-11-25", "2026-11-26"):
            job = {"namespace": "etl", "name": f"load-{day}"}
            outputs = [{"namespace": "s3://lake", "name": f"orders/dt={day}"}]
            assert door.post(run_event(job=job, outputs=outputs)).status == 200
    events = events_of(kafka.bootstrap_servers, topic)
    assert {str(event.job) for event in events} == {"staging+etl/load-{date}"}
    assert {str(use) for event in events for use in event.outputs} == {
        str(DatasetUse("s3://lake", "orders", schema_version=events[0].outputs[0].schema_version))
    }
    assert {use.namespace for event in events for use in event.inputs} == {"postgres://staging+db:5432"}
    said = {json.loads(event.facets or b"")["run"]["headwater_names"]["job"]["name"] for event in events}
    assert said == {"load-2026-11-25", "load-2026-11-26"}
