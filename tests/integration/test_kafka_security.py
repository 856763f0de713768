"""Kafka with TLS, SASL and ACLs, as commands, emitter and worker meet it: one broker for all of these."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
import redis
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.cimpl import NewTopic
from tests.support.certificates import Authority
from tests.support.processes import wait_until
from tests.support.secure_kafka import PASSWORD, Grant, SecureKafka
from tests.support.workers import HEADWATER, QUIET, WorkerProcess

from headwater.emitter import Emitter

SECONDS: Final = 8.0
"""What keeps us away is said within these, start of Python included."""

EMITTER: Final[list[Grant]] = [("emitter", "topic", "lineage.events", ("WRITE",))]
WORKER: Final[list[Grant]] = [
    *(("worker", "topic", f"lineage.{name}", ("READ",)) for name in ("events", "schemas", "policies")),
    *(("worker", "topic", f"lineage.{name}", ("WRITE",)) for name in ("deltas", "alerts", "late", "deadletter")),
    ("worker", "group", "headwater", ("READ",)),
]
READER: Final[list[Grant]] = [("reader", "prefix", "lineage.", ("READ",))]
DISCOVERER: Final[list[Grant]] = [
    ("discoverer", "prefix", "shop.", ("DESCRIBE",)),
    ("discoverer", "group", "*", ("DESCRIBE",)),
    ("discoverer", "topic", "lineage.events", ("WRITE",)),
]
ADMIN: Final[list[Grant]] = [
    ("admin", "prefix", "lineage.", ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS")),
    ("admin", "topic", "lineage.policies", ("WRITE",)),
]
"""Exactly what the table in collector/CONNECTING.md says that each role needs."""


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[SecureKafka]:
    """The broker, with the topics, and what each role may."""
    try:
        kafka = SecureKafka(tmp_path_factory.mktemp("secure"))
        with contextlib.closing(kafka):
            kafka.start()
            kafka.grant(*ADMIN)
            done = headwater(by_scram(kafka, "admin"), "topics", "create", "--partitions", "2")
            assert done.returncode == 0, done.stderr
            kafka.grant(*EMITTER, *WORKER, *READER, *DISCOVERER)
            yield kafka
    except RuntimeError as error:
        if request.config.getoption("--require-services"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


def by_scram(kafka: SecureKafka, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
    """Variables of a user of the SASL listener, the password in a file."""
    file = kafka.authority.ca.parent / "password"
    file.write_text(f"{PASSWORD}\n")
    return {
        "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": kafka.sasl,
        "HEADWATER_KAFKA__CA_FILE": str(kafka.authority.ca),
        "HEADWATER_KAFKA__SASL_MECHANISM": mechanism,
        "HEADWATER_KAFKA__SASL_USERNAME": user,
        "HEADWATER_KAFKA__SASL_PASSWORD_FILE": str(file),
    }


def by_certificate(kafka: SecureKafka, user: str) -> dict[str, str]:
    """Variables of a user of the mTLS listener, whose key has a password."""
    own = kafka.authority.issue(user, password=PASSWORD)
    return {
        "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": kafka.mtls,
        "HEADWATER_KAFKA__CA_FILE": str(kafka.authority.ca),
        "HEADWATER_KAFKA__CERT_FILE": str(own.cert),
        "HEADWATER_KAFKA__KEY_FILE": str(own.key),
        "HEADWATER_KAFKA__KEY_PASSWORD": PASSWORD,
    }


def by_token(kafka: SecureKafka, user: str) -> dict[str, str]:
    """Variables of a user with an unsigned token, which this broker takes."""
    return {
        "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": kafka.sasl,
        "HEADWATER_KAFKA__CA_FILE": str(kafka.authority.ca),
        "HEADWATER_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
        "HEADWATER_KAFKA__ENABLE_SASL_OAUTHBEARER_UNSECURE_JWT": "true",
        "HEADWATER_KAFKA__SASL_OAUTHBEARER_CONFIG": f"principal={user}",
    }


WAYS: Final = {
    "PLAIN": lambda kafka, user: by_scram(kafka, user, "PLAIN"),
    "SCRAM-SHA-256": lambda kafka, user: by_scram(kafka, user, "SCRAM-SHA-256"),
    "SCRAM-SHA-512": by_scram,
    "mTLS": by_certificate,
    "OAUTHBEARER": by_token,
}


def headwater(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command with these variables, and none of ours."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("HEADWATER_")}
    given = {**clean, "XDG_RUNTIME_DIR": "/nonexistent", "COLUMNS": "400", **environ}
    return subprocess.run([HEADWATER, *arguments], env=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("way", WAYS)
def test_an_emitter_delivers_by_each_way_of_saying_who_it_is(secure: SecureKafka, way: str) -> None:
    with Emitter.from_env({**WAYS[way](secure, "emitter"), "HEADWATER_NAMESPACE": "shop"}) as emitter:
        with emitter.run(job=f"load-{way.lower()}") as run:
            run.writes("s3://lake", "orders")
        assert emitter.flush(20) == 0
    assert emitter.stats().delivered == 2


@pytest.mark.parametrize("way", ["mTLS", "OAUTHBEARER"])
def test_commands_read_by_each_way(secure: SecureKafka, way: str) -> None:
    done = headwater(WAYS[way](secure, "reader"), "tail", "deltas", "--from", "beginning", "--no-follow")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("change", "says", "remedy"),
    [
        ({"SASL_PASSWORD": "wrong"}, "refuses us", "check user, password and mechanism"),
        ({"CA_FILE": "other"}, "could not be verified", "CA_FILE"),
        ({"SECURITY_PROTOCOL": "PLAINTEXT", "SASL_MECHANISM": "", "SASL_USERNAME": ""}, "speaks TLS", "SSL"),
        (
            {"BOOTSTRAP": "mtls", "SASL_MECHANISM": "", "SASL_USERNAME": "", "SECURITY_PROTOCOL": "SSL"},
            "wants a certificate", "CERT_FILE",
        ),
        ({"BOOTSTRAP": "plain"}, "PLAINTEXT", "plain text"),
    ],
)  # fmt: skip
def test_what_keeps_us_away_is_said_within_seconds(
    secure: SecureKafka, tmp_path: Path, change: dict[str, str], says: str, remedy: str
) -> None:
    environ = by_scram(secure, "reader", "PLAIN")
    for name, value in change.items():
        if name == "BOOTSTRAP":
            where = secure.mtls if value == "mtls" else secure.server.bootstrap_servers
            environ["HEADWATER_KAFKA_BOOTSTRAP_SERVERS"] = where
        elif name == "CA_FILE":
            environ["HEADWATER_KAFKA__CA_FILE"] = str(Authority(tmp_path, value).ca)
        else:
            environ[f"HEADWATER_KAFKA__{name}"] = value
    if not environ["HEADWATER_KAFKA__SASL_MECHANISM"]:
        del environ["HEADWATER_KAFKA__SASL_PASSWORD_FILE"]
    began = time.monotonic()
    done = headwater(environ, "tail", "deltas", "--from", "beginning", "--no-follow")
    took_s = time.monotonic() - began
    assert done.returncode == 3, done.stderr
    assert says in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
    assert took_s < SECONDS


def test_a_topic_that_is_forbidden_is_named_with_the_command_that_grants_it(secure: SecureKafka) -> None:
    done = headwater(by_scram(secure, "nobody"), "tail", "deltas", "--from", "beginning", "--no-follow")
    assert done.returncode == 3
    assert "forbids Read and Describe on topic lineage.deltas" in done.stderr
    command = f"kafka-acls.sh --bootstrap-server {secure.sasl} --add --allow-principal User:NAME --topic lineage.deltas"
    assert command in done.stderr
    done = headwater(by_scram(secure, "reader"), "emit", "--job", "a/b", "--writes", "s3://lake", "orders")
    assert done.returncode != 0
    assert "Write" in done.stderr
    assert "--topic lineage.events" in done.stderr


def test_an_emitter_that_may_not_write_says_so_and_delivers_once_it_may(secure: SecureKafka) -> None:
    # A producer believes what it heard of a topic until it asks again: a minute, if nobody says otherwise.
    often = {"HEADWATER_KAFKA__TOPIC_METADATA_REFRESH_INTERVAL_MS": "300", "HEADWATER_NAMESPACE": "shop"}
    with Emitter.from_env({**by_scram(secure, "nobody"), **often}) as emitter:
        with emitter.run(job="forbidden") as run:
            run.writes("s3://lake", "orders")
        emitter.flush(10)
        assert emitter.stats().failed == 2
        assert "Write and Describe on topic lineage.events" in emitter.stats().last_error
        secure.grant(("nobody", "topic", "lineage.events", ("WRITE",)))

        def delivers() -> bool:
            with emitter.run(job="allowed") as run:
                run.writes("s3://lake", "orders")
            return emitter.flush(10) == 0 and emitter.stats().delivered > 0

        wait_until(delivers, within_s=20, what="delivery once it is allowed", pause_s=0.3)


def test_a_group_that_is_forbidden_ends_a_worker_with_the_command_that_grants_it(
    secure: SecureKafka, redis_db: str
) -> None:
    environ = {
        **by_scram(secure, "worker"),
        **QUIET,
        "HEADWATER_PROCESSOR__GROUP": "others",
        "HEADWATER_REDIS__URL": redis_db,
    }
    done = headwater(environ, "worker")
    assert done.returncode == 3, done.stderr
    assert "forbids Read on group others" in done.stderr
    assert "--group others --operation Read" in done.stderr


def test_doctor_finds_a_worker_well_and_names_what_others_may_not(secure: SecureKafka, redis_db: str) -> None:
    def findings(user: str) -> list[dict[str, str]]:
        done = headwater({**by_scram(secure, user), "HEADWATER_REDIS__URL": redis_db}, "doctor", "--output", "json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
        return [one for one in found if one["check"] == "rights"]

    assert [one["text"] for one in findings("worker")] == [
        "we may read and write what a worker needs, and join its group"
    ]
    missing = findings("reader")
    assert {one["level"] for one in missing} == {"problem"}
    said = {one["text"]: one["remedy"] for one in missing}
    assert said["we may not write lineage.deltas"].endswith("--operation Write --topic lineage.deltas")
    assert said["we may not join the consumer group headwater"].endswith("--operation Read --group headwater")
    assert "we may not read lineage.events" not in said


def test_no_command_shows_a_secret_whatever_it_says(secure: SecureKafka, tmp_path: Path) -> None:
    key = secure.authority.issue("canary", password=PASSWORD)
    environ = {
        **by_scram(secure, "nobody"),
        "HEADWATER_KAFKA__KEY_PASSWORD": PASSWORD,
        "HEADWATER_KAFKA__CERT_FILE": str(key.cert),
        "HEADWATER_KAFKA__KEY_FILE": str(key.key),
        "HEADWATER_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": PASSWORD,
        "HEADWATER_REDIS__URL": f"redis+sentinel://user:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/mymaster",
        "HEADWATER_REDIS__PASSWORD": PASSWORD,
        "HEADWATER_REDIS__SENTINEL_PASSWORD": PASSWORD,
        "HEADWATER_REGISTRY__URL": f"http://user:{PASSWORD}@127.0.0.1:1",
        **QUIET,
    }
    policy = tmp_path / "policies.yaml"
    policy.write_text("- dataset: s3://lake *\n  owner: team-lake\n")
    emit = ("emit", "--job", "a/b", "--writes", "s3://lake", "orders")
    lines = (
        ("config", "show", "--explain"), ("topics", "create", "--dry-run"), ("policy", "apply", str(policy)), ("status",),
        ("worker", "--check"), ("--set", f"redis.url=redis+wrong://u:{PASSWORD}@h", "status"),
        ("--set", f"kafka.no_key={PASSWORD}", "status"), emit,
    )  # fmt: skip
    with ThreadPoolExecutor(4) as several:
        for arguments, done in zip(
            lines, several.map(lambda line: headwater(environ, "-vv", *line), lines), strict=True
        ):
            assert PASSWORD not in done.stdout + done.stderr, arguments


def test_discovery_needs_no_more_than_to_describe_and_passes_over_what_it_may_not_see(secure: SecureKafka) -> None:
    for future in secure.admin.create_topics([NewTopic("shop.orders", 1), NewTopic("bank.accounts", 1)]).values():
        future.result(30)
    commits = {"loader": "shop.orders", "cashier": "bank.accounts"}
    for group, topic in commits.items():
        asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])]
        for future in secure.admin.alter_consumer_group_offsets(asked).values():
            future.result(30)
    told = {"bootstrap.servers": secure.server.bootstrap_servers, "group.id": "loader", "log_level": 0}
    with contextlib.closing(Consumer(told)) as consumer:
        consumer.subscribe(["shop.orders", "bank.accounts"])
        wait_until(lambda: consumer.poll(0.1) is None and len(consumer.assignment()) == 2, within_s=30, what="a member")
        done = headwater(by_scram(secure, "discoverer"), "discover", "--once", "--output", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {row["group"]: row for row in found["groups"]}
    assert (rows["loader"]["state"], rows["loader"]["members"]) == ("STABLE", 1)
    assert [row["topic"] for row in found["topics"]] == ["shop.orders"]
    assert (found["events"], found["refused"]) == (1, {"topic_unreadable": 1})
    assert "topic bank.accounts is passed over" in done.stderr
    # Without Describe on groups there is none to be seen, and nothing breaks.
    done = headwater(by_scram(secure, "reader"), "discover", "--once", "--dry-run")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_worker_and_an_emitter_do_their_work_with_the_least_permissions(
    secure: SecureKafka, redis_db: str, tmp_path: Path
) -> None:
    environ = {**by_scram(secure, "worker"), **QUIET, "HEADWATER_REDIS__URL": redis_db}
    given = [f"{key}={value}" for key, value in environ.items()]
    worker = WorkerProcess(["/usr/bin/env", *given, HEADWATER, "worker"], tmp_path / "worker.log")
    worker.start(lambda: True, within_s=5)
    try:
        policy = tmp_path / "policies.yaml"
        policy.write_text("- dataset: s3://lake *\n  owner: team-lake\n")
        applied = headwater(by_scram(secure, "admin"), "policy", "apply", str(policy))
        assert applied.returncode == 0, applied.stderr
        with Emitter.from_env({**by_scram(secure, "emitter"), "HEADWATER_NAMESPACE": "shop"}) as emitter:
            with emitter.run(job="load") as run:
                run.reads("kafka://broker:9092", "orders")
                run.writes("s3://lake", "orders")
            assert emitter.flush(20) == 0

        def tells_whose() -> bool:
            done = headwater({"HEADWATER_REDIS__URL": redis_db}, "status", "--output", "json")
            return "team-lake" in done.stdout

        wait_until(tells_whose, within_s=40, what="the dataset with its owner", pause_s=0.5)
        done = headwater(by_scram(secure, "reader"), "tail", "deltas", "--from", "beginning", "--no-follow")
        assert "orders" in done.stdout, done.stderr
        assert worker.leave() == 0
        assert not worker.said("uthoriz")
    finally:
        worker.kill()
    with redis.Redis.from_url(redis_db) as client:
        assert client.exists("{hw:default}:meta")
