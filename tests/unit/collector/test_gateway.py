"""The gateway as an application: what it answers to what it is asked, with no Kafka there."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate
from tests.support.descriptors import no_file_can_be_opened
from tests.support.doors import Reply, call, run_event, zstd
from tests.support.processes import free_port

from headwater.bridge import metrics as bridge_metrics
from headwater.gateway import metrics
from headwater.gateway.access import Access, TokenFile
from headwater.gateway.application import BATCH, LINEAGE, Gateway, Limits
from headwater.gateway.durable import Durable, gateway_producer
from headwater.gateway.http_limits import BoundedHttp
from headwater.runtime.errors import UsageError
from headwater.runtime.kafka import producer_config
from headwater.runtime.models import KafkaSettings

ANSWER_MS = 300


def nowhere() -> Durable:
    """The way to a Kafka that is not there."""
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
    config = gateway_producer(producer_config(kafka), answer_ms=ANSWER_MS, pending_bytes=1 << 20)
    return Durable(config, "events", pending_bytes=1 << 20)


def asked(ask: Callable[[Gateway], Awaitable[Any]], *, waiting: bool = False, **settings: Any) -> Any:
    """Run something with a gateway; unless `waiting`, it knows already that there is no Kafka."""

    async def main() -> Any:
        durable = nowhere()
        if not waiting:
            durable.pending, durable._moved_at = 1, durable._moved_at - 60
        try:
            return await ask(Gateway(durable, **{"access": Access(), **settings}))
        finally:
            await durable.close(0)

    return asyncio.run(main())


def answered(body: Any = b"", *, limits: Limits | None = None, access: Access | None = None, **request: Any) -> Reply:
    """The answer to one request: bytes as they are, a tuple of them in parts, everything else as JSON."""
    data = body if isinstance(body, bytes | tuple) else json.dumps(body).encode()
    reply: Reply = asked(lambda gateway: call(gateway, data, **request), limits=limits, access=access or Access())
    return reply


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, "eventTime"),
        (run_event(eventTime="yesterday"), "eventTime"),
        (run_event(run={}), "run.runId"),
        (run_event(job={"namespace": "etl"}), "job.name"),
        (run_event(job=None), "job"),
        (run_event(inputs={}), "inputs"),
        (run_event(inputs=[{"namespace": "n", "name": "a"}, {"namespace": "n"}]), "inputs[1].name"),
        (run_event(outputs=[{"namespace": "n", "name": "d"}] * 1_001), "outputs"),
        ({"eventTime": "2026-01-01T00:00:00Z", "dataset": {"name": "d"}}, "dataset.namespace"),
    ],
)
def test_what_is_no_event_is_told_where(document: dict[str, Any], path: str) -> None:
    reply = answered(document)
    assert (reply.status, reply.json()["path"], reply.json()["reason"]) == (422, path, "event")
    assert reply.headers["content-type"] == "application/problem+json"


def test_what_is_nested_too_deeply_is_refused_and_not_a_fault() -> None:
    deep = run_event(run={"runId": "x", "facets": {"a": json.loads('{"a":' * 150 + "1" + "}" * 150)}})
    assert answered(deep).status == 422
    assert answered(b"[" * 100_000).status == 400


@pytest.mark.parametrize(
    ("body", "path", "status", "reason"),
    [
        (b"", LINEAGE, 400, "json"),
        (b"{", LINEAGE, 400, "json"),
        (b'{"eventTime": "\xff"}', LINEAGE, 400, "json"),
        (b"[]", LINEAGE, 400, "array"),
        (b"{}", BATCH, 400, "array"),
        (b'"text"', LINEAGE, 422, "event"),
        (b"{}", "/api/v2/lineage", 404, "path"),
    ],
)
def test_what_is_asked_wrongly_is_told_so(body: bytes, path: str, status: int, reason: str) -> None:
    reply = answered(body, path=path)
    assert (reply.status, reply.json()["reason"]) == (status, reason)


def test_another_method_is_told_the_right_one() -> None:
    reply = answered(method="GET")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_a_body_is_bounded_before_and_after_it_is_unpacked() -> None:
    small = Limits(body_bytes=2_000)
    large = json.dumps(run_event(producer="p" * 3_000)).encode()
    for body, headers in (
        (large, {}),
        ((large[:1_500], large[1_500:]), {}),
        (gzip.compress(large), {"content-encoding": "gzip"}),
        (zstd.compress(large), {"content-encoding": "zstd"}),
        (b"{}", {"content-length": "5000"}),
    ):
        reply = answered(body, limits=small, headers=headers)
        assert (reply.status, reply.headers["connection"]) == (413, "close")


def test_a_body_that_is_not_what_its_encoding_says_is_refused() -> None:
    packed, compressed = gzip.compress(b"{}"), zstd.compress(b"{}")
    for body, encoding, status in (
        (b"{}", "gzip", 400),
        (packed[:-4], "gzip", 400),
        (packed + b"rest", "gzip", 400),
        (b"{}", "zstd", 400),
        (compressed[:-2], "zstd", 400),
        (b"{}", "br", 415),
    ):
        assert answered(body, headers={"content-encoding": encoding}).status == status
    assert answered(gzip.compress(b"{}") * 2, headers={"content-encoding": "gzip"}).status == 400  # unpacked: {}{}


def test_bodies_are_held_up_to_a_bound_and_given_back() -> None:
    async def ask(gateway: Gateway) -> tuple[Reply, int]:
        gateway.held.bytes = gateway.held.most
        refused = await call(gateway, json.dumps(run_event()).encode())
        gateway.held.bytes = 0
        await call(gateway, (b'{"eventTime":', b" 5}"))
        return refused, gateway.held.bytes

    refused, held = asked(ask)
    assert (refused.status, refused.headers["retry-after"], refused.json()["reason"]) == (503, "2", "busy")
    assert held == 0


def test_without_kafka_the_answer_is_503_in_time_and_at_once_when_that_is_known() -> None:
    async def ask(gateway: Gateway) -> list[Reply]:
        event = json.dumps(run_event()).encode()
        replies = [await call(gateway, event), await call(gateway, b"[%b]" % event, path=BATCH)]
        gateway.durable.pending, gateway.durable._moved_at = 1, gateway.durable._moved_at - 60
        replies.append(await asyncio.wait_for(call(gateway, event), 0.1))
        ready = await call(gateway, path="/readyz", method="GET")
        return [*replies, ready]

    one, batch, at_once, ready = asked(ask, waiting=True)
    for reply, reason in ((one, "kafka"), (batch, "kafka"), (at_once, "stalled")):
        assert (reply.status, reply.json()["reason"], reply.headers["retry-after"]) == (503, reason, "2")
    assert (ready.status, ready.body) == (503, b"Kafka: stalled\n")


def test_a_batch_says_which_events_are_none_and_that_the_others_may_be_sent_again() -> None:
    given = json.dumps([run_event(), {}, run_event(run={"runId": ""})]).encode()
    reply = asked(lambda gateway: call(gateway, given, path=BATCH), waiting=True)
    assert reply.status == 200
    said = reply.json()
    assert said["summary"] == {"received": 3, "successful": 0, "failed": 3, "retriable": 1, "non_retriable": 2}
    assert [(each["index"], each["retriable"]) for each in said["failed_events"]] == [(0, True), (1, False), (2, False)]
    assert said["failed_events"][2]["reason"] == "run.runId: is missing or empty"
    assert asked(lambda gateway: call(gateway, b"[]", path=BATCH), waiting=True).status == 204
    assert answered([run_event()] * 3, path=BATCH, limits=Limits(batch_events=2)).status == 413


# ---- who may -------------------------------------------------------------------------------------------------------


def token_file(folder: Path, *entries: str) -> TokenFile:
    path = folder / "tokens.yaml"
    path.write_text("tokens:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries))
    return TokenFile(str(path))


def entry(token: str, rest: str = "") -> str:
    return f"name: {token}, sha256: {hashlib.sha256(token.encode()).hexdigest()}{rest}"


def status_with(access: Access, authorization: str | None, document: Any = None, **request: Any) -> int:
    headers = {} if authorization is None else {"authorization": authorization}
    return answered(document or {"job": 5}, access=access, headers=headers, **request).status


def test_a_token_is_asked_for_known_and_in_time(tmp_path: Path) -> None:
    access = Access(token_file(tmp_path, entry("airflow"), entry("old", ", expires: 2020-01-01")))
    for authorization in (None, "Bearer wrong", "Bearer", "Basic airflow", "Bearer old", "Bearer " + "x" * 9_000):
        assert status_with(access, authorization) == 401
    assert status_with(access, "Bearer airflow") == 422
    assert status_with(access, "bearer  airflow") == 422


def test_a_token_writes_only_to_its_namespaces(tmp_path: Path) -> None:
    access = Access(token_file(tmp_path, entry("dbt", ", namespaces: ['shop-*', raw]")))

    def ask(namespace: str) -> Reply:
        event = run_event(job={"namespace": namespace, "name": "j"})
        return answered(event, access=access, headers={"authorization": "Bearer dbt"})

    refused = ask("other")
    assert (refused.status, refused.json()["path"]) == (403, "job.namespace")
    assert "'other'" in refused.json()["detail"]
    for namespace in ("shop-1", "raw"):
        assert ask(namespace).status == 503


def test_a_batch_says_of_each_event_that_it_is_forbidden(tmp_path: Path) -> None:
    access = Access(token_file(tmp_path, entry("dbt", ", namespaces: [raw]")))
    body = json.dumps([run_event()]).encode()
    headers = {"authorization": "Bearer dbt"}
    reply = asked(lambda gateway: call(gateway, body, path=BATCH, headers=headers), waiting=True, access=access)
    (failed,) = reply.json()["failed_events"]
    assert failed["reason"].startswith("job.namespace: the token of dbt may not write")
    assert not failed["retriable"]


def test_a_dataset_event_is_judged_by_the_namespace_of_its_dataset(tmp_path: Path) -> None:
    access = Access(token_file(tmp_path, entry("dbt", ", namespaces: ['s3://lake']")))
    for namespace, status in (("s3://lake", 503), ("s3://other", 403)):
        event = {"eventTime": "2026-01-01T00:00:00Z", "dataset": {"namespace": namespace, "name": "d"}}
        assert status_with(access, "Bearer dbt", event) == status


def test_scopes_are_asked_for(tmp_path: Path) -> None:
    access = Access(token_file(tmp_path, entry("watcher", ", scopes: ['metrics:read']"), entry("writer")))
    assert status_with(access, "Bearer watcher") == 403

    async def ask(gateway: Gateway) -> list[int]:
        headers = [{}, {"authorization": "Bearer writer"}, {"authorization": "Bearer watcher"}]
        return [(await call(gateway, path="/metrics", method="GET", headers=each)).status for each in headers]

    assert asked(ask, access=access, protect_metrics=True) == [401, 403, 200]
    assert asked(ask, access=access) == [200, 200, 200]


def test_a_changed_file_of_tokens_is_taken_and_a_faulty_one_is_not(tmp_path: Path) -> None:
    file = token_file(tmp_path, entry("first"))
    assert not file.refresh()
    token_file(tmp_path, entry("second-token"))
    assert file.refresh()
    assert file.find(hashlib.sha256(b"first").digest()) is None
    (tmp_path / "tokens.yaml").write_text("tokens: 5")
    assert not file.refresh()
    assert file.find(hashlib.sha256(b"second-token").digest()) is not None


def test_a_changed_file_of_tokens_that_cannot_be_opened_just_then_is_taken_when_it_can(tmp_path: Path) -> None:
    file = token_file(tmp_path, entry("revoked"))
    token_file(tmp_path, entry("next"))
    with no_file_can_be_opened():
        assert not file.refresh()
    assert file.refresh()
    assert file.find(hashlib.sha256(b"revoked").digest()) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("name: a, sha256: abc", "no sha256"),
        (entry("a", ", scopes: [admin]"), "unknown scope 'admin'"),
        (entry("a", ", namespace: [x]"), "unknown key 'namespace'"),
        (entry("a", ", namespaces: x"), "not a list of texts"),
        (entry("a", ", expires: soon"), "expires is no date"),
    ],
)
def test_a_faulty_token_names_itself(tmp_path: Path, given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        token_file(tmp_path, given)


# ---- what is told about itself -------------------------------------------------------------------------------------


def test_the_openapi_document_is_one_and_the_answers_are_as_it_says() -> None:
    document = answered(path="/openapi.json", method="GET").json()
    validate(document)
    assert document["openapi"].startswith("3.1")

    def conforms(path: str, body: bytes) -> None:
        reply: Reply = asked(lambda gateway: call(gateway, body, path=path), waiting=True)
        said = document["paths"][path]["post"]["responses"][str(reply.status)]
        content = said.get("content")
        if content is None:
            assert reply.body == b""
            return
        schema = content[reply.headers["content-type"]]["schema"]
        jsonschema.validate(reply.json(), {**schema, "components": document["components"]})

    event = json.dumps(run_event()).encode()
    for path, body in (
        (LINEAGE, b"{"),
        (LINEAGE, b"{}"),
        (LINEAGE, event),
        (BATCH, b"[%b, {}]" % event),
        (BATCH, b"[]"),
    ):
        conforms(path, body)


def test_every_metric_of_the_catalogue_is_served_after_everything_was_asked() -> None:
    async def ask(gateway: Gateway) -> str:
        await call(gateway, b"{}")
        return (await call(gateway, path="/metrics", method="GET")).body.decode()

    text = asked(ask)
    for spec in metrics.CATALOGUE:
        assert f"# TYPE {spec.name}" in text
    assert 'headwater_gateway_events_total{outcome="rejected"} 1.0' in text
    assert 'headwater_gateway_requests_total{path="/api/v1/lineage",reason="event",status="422"} 1.0' in text


def test_uvicorns_protocol_still_has_what_ours_builds_on() -> None:
    for name in ("connection_made", "data_received", "on_message_begin", "on_url", "on_header", "on_message_complete"):
        assert getattr(BoundedHttp, name) is not getattr(BoundedHttp.__mro__[1], name)


def test_the_readme_holds_the_catalogues_of_metrics() -> None:
    readme = (Path(__file__).parents[3] / "collector" / "README.md").read_text()
    assert metrics.page() in readme
    assert bridge_metrics.page() in readme
