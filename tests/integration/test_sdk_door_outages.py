"""The doors that send by the SDK's emitter while real Kafka is away: `headwater emit run`, `headwater k8s-watch`, a function.

The emitter itself in outages is in `test_sdk_outages.py`; here is what each door makes of it: the command's exit code, the
watcher's end, the freeze of a function's process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.doors import events_of
from tests.support.kube_api import RECORDED, KubeApi
from tests.support.outages import new_topic, server_of, wait_until_empty
from tests.support.processes import freeze, wait_until
from tests.support.services import KafkaService
from tests.support.workers import ROOT

from headwater_schemas.events import EventType, LineageEvent

pytestmark = pytest.mark.timeout(180)

ENDS = 5
"""Of pods, in the recording; each is told by a START and an end."""


class SdkDoor:
    """A door's process with the SDK's variables, and the topic that it sends to."""

    def __init__(self, kafka: KafkaService, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.kafka = kafka
        self.prefix, self.topic = new_topic(kafka)
        self.spool = folder / "spool"
        self.folder = folder

    def environment(self, *, spool: bool) -> Mapping[str, str]:
        told = {
            "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "HEADWATER_TOPIC_PREFIX": self.prefix,
            "HEADWATER_NAMESPACE": "shop",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        if spool:
            told["HEADWATER_SPOOL"] = str(self.spool)
        return {**os.environ, **told}

    @contextmanager
    def started(self, *command: str, spool: bool) -> Iterator[subprocess.Popen[str]]:
        with (
            (self.folder / "log").open("w") as log,
            subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment(spool=spool), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, cwd=self.folder,
            ) as process,
        ):  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def said(self) -> str:
        return (self.folder / "log").read_text()

    def events(self) -> list[LineageEvent]:
        return events_of(self.kafka.bootstrap_servers, self.topic)

    def wait_for(self, count: int) -> list[LineageEvent]:
        """The events in the topic once there are so many."""
        wait_until(lambda: len(self.events()) >= count, within_s=60, what=f"{count} events", pause_s=0.2)
        return self.events()


def spooled(door: SdkDoor) -> list[Path]:
    return list(door.spool.glob("*/*.spool"))


def until_there(path: Path, code: int) -> list[str]:
    """A command that lasts until there is such a file."""
    return ["sh", "-c", f"until [ -e '{path}' ]; do sleep 0.05; done; exit {code}"]


def test_a_command_ends_as_it_ends_though_kafka_went_away_and_its_end_waits_on_disk(
    own: KafkaService, tmp_path: Path
) -> None:
    go_on, over = tmp_path / "go-on", tmp_path / "over"
    nightly = ["headwater.cli", "emit", "run", "--job", "shop/nightly", "--writes", "s3://lake", "orders/daily", "--"]
    door, bare = SdkDoor(own, tmp_path / "spooling"), SdkDoor(own, tmp_path / "bare")
    with (
        door.started(*nightly, *until_there(go_on, 3), spool=True) as process,
        bare.started(*nightly, *until_there(go_on, 4), spool=False) as without,
    ):
        for each in (door, bare):
            each.wait_for(1)  # its START has arrived
        server_of(own).kill()
        go_on.touch()
        assert (process.wait(60), without.wait(60)) == (3, 4)
    assert spooled(door)
    assert "1 lineage events did not get out; the command is not affected" in bare.said()
    server_of(own).start()
    following = ["headwater.cli", "emit", "run", "--job", "shop/next", "--", *until_there(over, 0)]
    with door.started(*following, spool=True) as process:
        wait_until_empty(door.spool)  # who comes next takes along what is there
        over.touch()
        assert process.wait(60) == 0
    events = door.wait_for(4)
    assert len(events) == 4
    assert {(event.job.name, event.event_type) for event in events} == {
        ("nightly", EventType.START),
        ("nightly", EventType.FAIL),
        ("next", EventType.START),
        ("next", EventType.COMPLETE),
    }


def test_a_watcher_says_what_it_saw_in_an_outage_when_kafka_is_back(
    own: KafkaService, api: KubeApi, tmp_path: Path
) -> None:
    door, later = SdkDoor(own, tmp_path), threading.Event()
    half = len(RECORDED) // 2
    api.streams = [[*RECORDED[:half], later, *RECORDED[half:]]]
    config = str(api.kubeconfig(tmp_path))
    with door.started("headwater.cli", "k8s-watch", "--kubeconfig", config, spool=False) as process:
        door.wait_for(2)
        server_of(own).kill()
        asked = len(api.asked)
        later.set()
        wait_until(lambda: len(api.asked) > asked, within_s=30, what="the watch that follows")
        server_of(own).start()
        told = door.wait_for(2 * ENDS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len({event.event_id for event in told}) == len(told) == 2 * ENDS


def test_a_watcher_that_ends_in_an_outage_leaves_what_it_saw_on_disk(
    own: KafkaService, api: KubeApi, tmp_path: Path
) -> None:
    door = SdkDoor(own, tmp_path)
    config = str(api.kubeconfig(tmp_path))
    server_of(own).kill()
    api.streams = [RECORDED]
    with door.started("headwater.cli", "k8s-watch", "--kubeconfig", config, spool=True) as process:
        wait_until(lambda: len(api.asked) >= 3, within_s=60, what="the watch that follows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert spooled(door)
    server_of(own).start()
    with door.started("headwater.cli", "k8s-watch", "--kubeconfig", config, spool=True) as process:
        told = door.wait_for(2 * ENDS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len({event.event_id for event in told}) == len(told) == 2 * ENDS


def test_a_function_that_is_frozen_over_an_outage_answers_in_time_and_says_it_with_its_next_call(
    own: KafkaService, tmp_path: Path
) -> None:
    door = SdkDoor(own, tmp_path)
    with door.started("tests.support.lambda_call", "3", spool=False) as process:

        def call(request: str) -> float:
            """Seconds that the call took; before it the platform thaws the process, after it freezes it."""
            assert process.stdin is not None
            assert process.stdout is not None
            process.send_signal(signal.SIGCONT)
            process.stdin.write(f"{request} orders/{request}.csv\n")
            process.stdin.flush()
            rows, took_s = process.stdout.readline().split()
            freeze(process.pid)
            assert rows == "90"
            return float(took_s)

        call("before")
        assert len(door.events()) == 2  # both were delivered before the answer
        server_of(own).kill()
        assert call("during") < 3 + 2  # what the handler may wait, and a slow machine
        server_of(own).start()
        call("after")
        process.send_signal(signal.SIGCONT)
        told = door.wait_for(6)
    runs: dict[bytes, set[EventType]] = {}
    for event in told:
        runs.setdefault(event.run_id, set()).add(event.event_type)
    assert list(runs.values()) == [{EventType.START, EventType.COMPLETE}] * 3
    assert len({event.event_id for event in told}) == 6
