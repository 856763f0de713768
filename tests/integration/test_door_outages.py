"""Gateway and bridge while their broker is away: answers come in time, little is held, nothing acknowledged is lost."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from tests.support.descriptors import STANDARD, at_most_files
from tests.support.doors import RUN_ID, Door, Reply, events_of, run_event
from tests.support.oracle.topics import configure_topic
from tests.support.outages import server_of
from tests.support.processes import wait_until
from tests.support.services import KafkaServer, KafkaService

from headwater.bridge import bridging
from headwater.bridge.bridging import Bridge
from headwater.bridge.serving import bridge_of
from headwater.gateway.application import BATCH
from headwater.runtime.models import BridgeSettings, KafkaSettings, Settings

pytestmark = pytest.mark.timeout(120)


def gateway(folder: Path, server: KafkaServer, prefix: str, *arguments: str) -> Door:
    told = ["--kafka", server.bootstrap_servers, "--set", f"topic_prefix={prefix}", "--port", "0"]
    return Door(folder, "gateway", *told, *arguments)


def post_many(door: Door, jobs: list[str]) -> list[tuple[Reply, float]]:
    """Replies and how long each took, of as many posts at once."""

    def one(job: str) -> tuple[Reply, float]:
        began = time.monotonic()
        reply = door.post(run_event(job={"namespace": "out", "name": job}))
        return reply, time.monotonic() - began

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(one, jobs))


@pytest.fixture
def own_kafka(own: KafkaService) -> KafkaServer:
    """A broker that may be frozen."""
    return server_of(own)


def with_topic(server: KafkaServer, prefix: str) -> str:
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
    admin.create_topics([NewTopic(f"{prefix}events", 3, 1)])[f"{prefix}events"].result(30)
    return f"{prefix}events"


def jobs_on(server: KafkaServer, topic: str) -> set[str]:
    """Whose events are on a topic; none while that cannot be told: a broker that was frozen for long is taken for dead, and its
    partitions have no leader for a while."""
    try:
        return {event.job.name for event in events_of(server.bootstrap_servers, topic)}
    except KafkaException:
        return set()


def test_while_the_broker_is_away_clients_get_503_soon_and_nothing_acknowledged_is_lost(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    topic = with_topic(own_kafka, "away.")
    with gateway(tmp_path, own_kafka, "away.", "--set", "gateway.answer_ms=1500") as door:
        wait_until(lambda: door.post(run_event()).status == 200, within_s=20, what="answers before the outage")
        acknowledged = [f"before-{number}" for number in range(50)]
        assert {reply.status for reply, _ in post_many(door, acknowledged)} == {200}
        own_kafka.freeze()
        refused = post_many(door, [f"during-{number}" for number in range(32)])
        assert {reply.status for reply, _ in refused} == {503}
        assert {reply.headers["retry-after"] for reply, _ in refused} == {"2"}
        assert max(seconds for _, seconds in refused) < 4.5  # clients give up after 5 s
        assert door.ask("GET", "/readyz").status == 503
        pending = door.ask("GET", "/metrics").body.decode()
        assert "headwater_gateway_pending_records 0.0" in pending  # nothing waits for an answer that nobody hears
        own_kafka.thaw()
        wait_until(lambda: door.post(run_event()).status == 200, within_s=20, what="answers after the outage")
        again = [f"during-{number}" for number in range(32)]
        assert {reply.status for reply, _ in post_many(door, again)} == {200}
        acknowledged += again
    came = events_of(own_kafka.bootstrap_servers, topic)
    assert {event.job.name for event in came} >= set(acknowledged)
    assert len({event.event_id for event in came}) == len(set(acknowledged)) + 1  # retries are duplicates, not events


def test_with_a_spool_an_outage_is_answered_200_and_a_killed_gateway_loses_nothing(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    topic = with_topic(own_kafka, "spool.")
    arguments = ["--set", "gateway.answer_ms=1000", "--spool", str(tmp_path / "spool")]
    jobs = [f"spooled-{number}" for number in range(64)]
    door = gateway(tmp_path, own_kafka, "spool.", *arguments)
    with door:
        assert door.post(run_event()).status == 200
        own_kafka.freeze()
        assert {reply.status for reply, _ in post_many(door, jobs)} == {200}
        batch = [run_event(job={"namespace": "out", "name": f"spooled-batch-{number}"}) for number in range(20)]
        assert door.post(batch, path=BATCH).status == 204
        assert door.ask("GET", "/readyz").status == 200
        door.kill()
        own_kafka.thaw()
        door.begin()
        wanted = {*jobs, *(f"spooled-batch-{number}" for number in range(20))}
        wait_until(
            lambda: jobs_on(own_kafka, topic) >= wanted, within_s=20, what="what was spooled in Kafka", pause_s=0.3
        )


def test_a_gateway_that_can_open_no_file_says_so_and_sends_what_it_promised_when_it_can(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    topic = with_topic(own_kafka, "files.")
    arguments = ["--set", "gateway.answer_ms=1000", "--spool", str(tmp_path / "spool")]
    jobs = [f"spooled-{number}" for number in range(64)]

    with gateway(tmp_path, own_kafka, "files.", *arguments) as door:
        assert door.post(run_event()).status == 200
        own_kafka.freeze()
        assert {reply.status for reply, _ in post_many(door, jobs)} == {200}
        with at_most_files(door.pid, STANDARD):
            own_kafka.thaw()
            told = "cannot be read now: Too many open files"
            wait_until(lambda: told in door.log.read_text(), within_s=40, what="a word about what is wrong")
        wait_until(
            lambda: jobs_on(own_kafka, topic) >= set(jobs), within_s=40, what="what was promised in Kafka", pause_s=0.3
        )
        assert door.post(run_event()).status == 200


def test_an_event_that_is_too_large_for_the_topic_holds_up_nothing_and_goes_when_the_topic_takes_it(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    topic = with_topic(own_kafka, "large.")
    jobs = {f"small-{number}" for number in range(20)}

    def large(job: str) -> dict[str, Any]:
        noise = secrets.token_hex(100_000)  # compresses to half of it
        facets = {
            "noise": {"_producer": "https://acme.example", "_schemaURL": "https://acme.example/n", "noise": noise}
        }
        return run_event(job={"namespace": "out", "name": job}, run={"runId": RUN_ID, "facets": facets})

    def most_bytes(most: int) -> None:
        configure_topic(own_kafka.bootstrap_servers, topic, {"max.message.bytes": str(most)})

    most_bytes(50_000)
    with gateway(tmp_path, own_kafka, "large.", "--spool", str(tmp_path / "spool")) as door:

        def counted(what: str) -> int:
            found = re.search(rf"{what}\"}} (\d+)", door.ask("GET", "/metrics").body.decode())
            return int(found[1]) if found else 0

        def warm() -> bool:
            return door.post(run_event()).status == 200 and counted("acknowledged") > 0

        wait_until(warm, within_s=20, what="something that Kafka took")
        assert door.post(large("asked")).status == 413
        reply = door.post([large("batch"), run_event(job={"namespace": "out", "name": "beside"})], path=BATCH)
        assert (reply.status, json.loads(reply.body)["summary"]) == (
            200, {"received": 2, "successful": 1, "failed": 1, "retriable": 0, "non_retriable": 1},
        )  # fmt: skip
        own_kafka.freeze()
        assert door.post(large("promised")).status == 200
        assert {reply.status for reply, _ in post_many(door, sorted(jobs))} == {200}
        own_kafka.thaw()
        wait_until(lambda: counted("too_large") > 0, within_s=30, what="the large one behind the others")
        wait_until(lambda: counted("sent") == counted("kept") - 1, within_s=30, what="all but the large one")
        assert "raise max.message.bytes of large.events" in door.log.read_text()
        most_bytes(1_000_000)
        wait_until(lambda: counted("sent") == counted("kept"), within_s=40, what="the large one too", pause_s=0.3)
    wanted = {*jobs, "orders", "beside", "promised"}
    wait_until(lambda: jobs_on(own_kafka, topic) == wanted, within_s=20, what="all that was promised in Kafka")


def documents(count: int) -> list[bytes]:
    return [json.dumps(run_event(run={"runId": str(uuid.UUID(int=n + 1))})).encode() for n in range(count)]


def settings(server: KafkaServer) -> Settings:
    # What is under way is given up after 1 s, as it would be after two minutes.
    kafka = KafkaSettings(
        bootstrap_servers=server.bootstrap_servers, extra={"message.timeout.ms": "1000", "socket.timeout.ms": "1000"}
    )
    return Settings(kafka=kafka, bridge=BridgeSettings(batch_records=200))


def test_a_broker_that_is_away_makes_it_wait_and_then_everything_arrives(
    own_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridging, "MOST_UNDER_WAY", 500)
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap_servers})
    topics = [NewTopic(f"lineage.{role}", 1, 1) for role in ("openlineage", "events", "deadletter")]
    for made in admin.create_topics(topics).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": own_kafka.bootstrap_servers})
    for value in documents(3_000):
        producer.produce("lineage.openlineage", value)
    assert producer.flush(30) == 0
    bridge: Bridge = bridge_of(settings(own_kafka))
    bridge.begin()

    def stepped_until(condition: Callable[[], bool], what: str) -> None:
        def stepped() -> bool:
            bridge.step()
            return condition()

        wait_until(stepped, within_s=40, what=what, pause_s=0)

    def a_delivery_fails() -> bool:
        # Perhaps all was answered, and a frozen broker gives nothing more to send.
        if not bridge.under_way and not bridge.last_error:
            own_kafka.thaw()
            bridge.step()
            own_kafka.freeze()
        return bridge.last_error != ""

    try:
        stepped_until(lambda: bridge.outcomes["acknowledged"] > 0, "the first events")
        own_kafka.freeze()
        stepped_until(a_delivery_fails, "a delivery that failed")
        for _ in range(100):
            bridge.step()
        assert 0 < bridge.under_way <= 500 + 200
        own_kafka.thaw()
        stepped_until(lambda: bridge.outcomes["converted"] == 3_000 and not bridge.under_way, "the rest")
        assert bridge.last_error == ""
    finally:
        own_kafka.thaw()
        bridge.end()
    assert len({event.event_id for event in events_of(own_kafka.bootstrap_servers, "lineage.events")}) == 3_000
