"""What `headwater connect` prints works: the real client and a real job, set up by it and nothing else, are heard on real Kafka.
And where nothing comes, it says why."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from tests.support.doors import Door, run_event
from tests.support.processes import free_port, wait_until
from tests.support.services import KafkaService

from headwater.cli.root import run
from headwater.gateway.access import hashed

pytestmark = pytest.mark.timeout(120)

JOB = "etl/load-orders"
CLIENT = """
from datetime import UTC, datetime
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, Run, RunEvent, RunState
from openlineage.client.uuid import generate_new_uuid

client = OpenLineageClient()
client.emit(RunEvent(
    eventType=RunState.START, eventTime=datetime.now(UTC).isoformat(), run=Run(runId=str(generate_new_uuid())),
    job=Job(namespace="etl", name="load-orders"), producer="https://github.com/acme/jobs/tree/1.4.2/etl",
    inputs=[InputDataset("postgres://db:5432", "shop.public.orders")], outputs=[],
))
client.close()
"""


class Asked:
    """An installation of one test, and `headwater connect` in it."""

    def __init__(self, kafka: KafkaService, folder: Path) -> None:
        self.kafka, self.folder = kafka, folder
        self.prefix = kafka.unique("cn") + "."
        self.where = ["--kafka", kafka.bootstrap_servers, "--set", f"topic_prefix={self.prefix}"]
        self.own = [*self.where, "--set", "metrics.port=0", "--set", f"bridge.group={self.prefix}bridge"]
        for role in ("events", "openlineage", "deadletter"):
            kafka.create_topic(f"{self.prefix}{role}", partitions=2)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "headwater.cli", "--output", "json", *self.own, "connect", *arguments]

    def settings(self, *arguments: str) -> list[dict[str, str]]:
        """What is printed, without waiting."""
        with redirect_stdout(io.StringIO()) as out:
            assert run([*self.own, "--output", "json", "connect", *arguments, "--no-wait"]) == 0
        found: list[dict[str, str]] = json.loads(out.getvalue())["settings"]
        return found

    @contextmanager
    def waiting(self, *arguments: str, wait: str = "30s") -> Iterator[dict[str, Any]]:
        """`headwater connect` in the background, waiting; at the end of the block what it said in the end is there."""
        log = self.folder / f"connect-{uuid.uuid4()}.log"
        said: dict[str, Any] = {}
        with log.open("w") as errors:
            child = subprocess.Popen(
                self.command(*arguments, "--wait", wait), stdout=subprocess.PIPE, stderr=errors, text=True
            )
        try:
            wait_until(lambda: "waiting for" in log.read_text(), within_s=20, what="it waits")
            yield said
            out, _ = child.communicate(timeout=60)
            said |= {"code": child.returncode, "log": log.read_text(), **json.loads(out)}
        finally:
            child.kill()
            child.wait()

    def waited(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """What it says in the end, and its exit code."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, json.loads(done.stdout)

    def produce(self, role: str, value: bytes, headers: Mapping[str, str] | None = None) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
        producer.produce(f"{self.prefix}{role}", value, b"k", headers=dict(headers or {}))
        assert producer.flush(20) == 0


@pytest.fixture
def asked(kafka: KafkaService, tmp_path: Path) -> Asked:
    return Asked(kafka, tmp_path)


def program(folder: Path, text: str, variables: Mapping[str, str]) -> None:
    """Run a program with these variables and nothing else of ours, until it ends well."""
    path = folder / f"program-{uuid.uuid4()}.py"
    path.write_text(text)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEADWATER_", "OPENLINEAGE"))}
    done = subprocess.run(
        [sys.executable, str(path)],
        env={**clean, **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def exported(text: str) -> dict[str, str]:
    """The variables that the printed lines set in a shell."""
    done = subprocess.run(["env", "-i", "bash", "-c", f"{text}\nenv -0"], capture_output=True, text=True, check=True)
    found = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
    return {name: value for name, value in found.items() if name.startswith(("HEADWATER_", "OPENLINEAGE"))}


def test_the_real_client_with_the_printed_variables_and_file_is_heard_by_the_gateway(asked: Asked) -> None:
    with Door(asked.folder, "gateway", *asked.where, "--port", "0") as door:
        given = ["openlineage", "--gateway", door.url, "--via", "http"]
        variables, file = asked.settings(*given)
        with asked.waiting(*given) as said:
            program(asked.folder, CLIENT, exported(variables["text"]))
        assert (said["code"], said["causes"]) == (0, [])
        assert said["heard"]["job"] == JOB
        assert said["heard"]["inputs"] == ["postgres://db:5432/shop.public.orders"]
        assert said["heard"]["emitter"].startswith("openlineage:")
        (asked.folder / "openlineage.yml").write_text(file["text"])  # where the client looks for it by itself
        with asked.waiting(*given, "--job", JOB) as said:
            program(asked.folder, CLIENT, {})
        assert (said["code"], said["heard"]["event_type"]) == (0, "START")


def test_the_real_clients_kafka_transport_as_printed_is_heard_by_the_bridge(asked: Asked) -> None:
    given = ["openlineage", "--via", "kafka"]
    python, _java = asked.settings(*given)
    assert yaml.safe_load(python["text"])["transport"]["topic"] == f"{asked.prefix}openlineage"
    (asked.folder / "openlineage.yml").write_text(python["text"])
    with Door(asked.folder, "bridge", *asked.own), asked.waiting(*given) as said:
        program(asked.folder, CLIENT, {})
    assert (said["code"], said["heard"]["job"]) == (0, JOB)


def test_the_printed_job_is_a_program_that_is_heard_with_its_datasets(asked: Asked) -> None:
    given = ["job", "--job", JOB]
    printed = asked.settings(*given)
    text, variables, pod, *_ = (one["text"] for one in printed if one["form"] != "sh" or "export" in one["text"])
    container = yaml.safe_load(pod)["template"]["spec"]["containers"][0]
    assert {one["name"]: one["value"] for one in container["env"] if "value" in one}.items() >= exported(
        variables
    ).items()
    with asked.waiting(*given) as said:
        program(asked.folder, text, exported(variables))
    assert (said["code"], said["heard"]["job"]) == (0, JOB)
    assert said["heard"]["emitter"] == f"sdk:{JOB}"
    assert said["heard"]["outputs"] == ["s3://lake/orders/daily"]
    # What came before one looked counts too, if one says how long ago it may be.
    done = subprocess.run(
        asked.command(*given, "--since", "5m", "--wait", "20s"), capture_output=True, text=True, check=False
    )
    assert (done.returncode, json.loads(done.stdout)["heard"]["job"]) == (0, JOB)


def test_a_client_without_a_token_and_documents_without_a_bridge_are_why_nothing_comes(asked: Asked) -> None:
    tokens = asked.folder / "tokens.yaml"
    tokens.write_text(f"tokens: [{{name: tests, sha256: {hashed('hw_x')}}}]")
    with Door(asked.folder, "gateway", *asked.where, "--port", "0", "--tokens", str(tokens)) as door:
        with asked.waiting("dbt", "--gateway", door.url, wait="2s") as said:
            assert door.post(run_event()).status == 401
            asked.produce("openlineage", json.dumps(run_event()).encode())
        assert (said["code"], said["heard"]) == (4, None)
        texts = [cause["text"] for cause in said["causes"] if cause["sure"]]
        assert any("refused 1 request meanwhile: 401" in text for text in texts)
        assert any(f"1 document came on {asked.prefix}openlineage, and no bridge" in text for text in texts)


def test_what_goes_to_the_dead_letters_meanwhile_is_said_with_its_reason(asked: Asked) -> None:
    with asked.waiting("spark", "--via", "kafka", wait="2s") as said:
        headers = {
            "__connect.errors.topic": "t",
            "__connect.errors.exception.message": "no JSON",
            "headwater.dlq.reason": "not_json",
        }
        asked.produce("deadletter", b"not json", headers)
    assert (said["code"], said["heard"]) == (4, None)
    assert [cause["text"] for cause in said["causes"]] == ["1 dead letter came meanwhile, not_json: no JSON"]


def test_a_job_that_is_called_otherwise_is_named(asked: Asked) -> None:
    variables = exported(asked.settings("job", "--job", "etl/load_orders")[2]["text"])
    program(asked.folder, "import headwater\nwith headwater.default_emitter().run():\n    pass\n", variables)
    code, said = asked.waited("job", "--job", JOB, "--since", "5m", "--wait", "1s")
    assert (code, said["heard"], said["others"]) == (4, None, 2)
    assert [cause["text"] for cause in said["causes"]] == ["2 events came of other jobs: etl/load_orders"]


POSTGRES = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.password": "hunter2"}
FAILED = {"id": 0, "state": "FAILED", "trace": "java.net.X: no\n\tat y"}
CONNECTORS = {
    "shop": {"info": {"config": POSTGRES}, "status": {"connector": {"state": "RUNNING"}, "tasks": [FAILED]}},
}


@contextmanager
def kafka_connect() -> Iterator[str]:
    """Something that answers as Kafka Connect's REST API does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(CONNECTORS if self.path.startswith("/connectors?") else []).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_what_a_debezium_connector_lacks_is_said_before_the_time_is_over(
    asked: Asked, capsys: pytest.CaptureFixture[str]
) -> None:
    with kafka_connect() as url:
        given = [*asked.own, "connect", "debezium", "--connect", url, "--wait", "1s", "--via", "http"]
        given += ["--gateway", f"http://127.0.0.1:{free_port()}"]
        assert run(given) == 4
    said = capsys.readouterr()
    assert "so far: connector shop lacks openlineage.integration.enabled=true" in said.err
    assert said.err.index("so far") < said.err.index("waiting for")
    assert "* connector shop: task 0 failed: java.net.X: no" in said.out
    assert "* no gateway answers" in said.out
    assert "hunter2" not in said.out + said.err


def test_without_the_topic_nothing_is_waited_for(kafka: KafkaService, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--kafka", kafka.bootstrap_servers, "--set", f"topic_prefix={kafka.unique('none')}."]
    assert run([*where, "connect", "job"]) == 4
    said = capsys.readouterr()
    assert "@headwater.job" in said.out  # the settings are right all the same
    assert "headwater topics create" in said.err
