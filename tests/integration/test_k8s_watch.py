"""`headwater k8s-watch` against an API server that replays recorded streams: what a pod cannot say any more is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.kube_api import RECORDED, KubeApi
from tests.support.processes import wait_until
from tests.support.workers import ROOT

from headwater import Emitter
from headwater.errors import Unauthorized
from headwater.eventjson import from_json
from headwater.k8s.pods import events_of
from headwater.k8s.watching import PodWatch, core_api
from headwater.testing import MemoryTransport
from headwater_schemas.events import LineageEvent, Name

DIGEST = "registry.acme/orders:1.14.2@sha256:4f1c2e0d9b7a"
TOLD = [
    ("orders-a1", "FAIL", "container orders: OOMKilled (exit code 137)", DIGEST),
    ("orders-a1", "FAIL", "container orders: Error (exit code 1), after 1 restarts: password=*** refused", DIGEST),
    (
        "orders-b2",
        "FAIL",
        'container orders: ImagePullBackOff: Back-off pulling image "registry.acme/orders:1.15.0"',
        "registry.acme/orders:1.15.0",
    ),
    ("orders-c3", "FAIL", "container *: Evicted: The node was low on resource: memory.", ""),
    ("orders-f6", "ABORT", "container orders: Error (exit code 137)", DIGEST),
]
"""What the recording amounts to: one pod killed for memory and then failing, one that never started, one evicted, one that
ended in order and one that went when told to (which speak for themselves), one that had to be killed."""


class StopError(Exception):
    """The watch has come to its end."""


def watched(api: KubeApi, folder: Path, *, pauses: int = 1, namespace: str = "shop") -> list[LineageEvent]:
    """What a watcher says until it has paused so often; it pauses where the API is away."""
    transport, paused = MemoryTransport(), []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) >= pauses:
            raise StopError

    with Emitter(transport, identity="k8s-watch") as emitter:
        core = core_api(str(api.kubeconfig(folder)), None)
        watch = PodWatch(core, emitter, namespace=namespace, selector="a=b", job_namespace="k8s", pause=pause)
        with pytest.raises(StopError):
            watch.follow()
    return transport.events


def ends(events: list[LineageEvent]) -> list[tuple[str, str, str, str]]:
    told = [(event.runtime, event.event_type.value, event.error) for event in events if event.error]
    return [(runtime.pod, kind, error, runtime.image) for runtime, kind, error in told if runtime and error]


def test_a_recorded_stream_becomes_one_failed_run_for_each_end_that_no_job_could_tell(
    api: KubeApi, tmp_path: Path
) -> None:
    api.streams = [RECORDED, 500]
    events = watched(api, tmp_path)
    assert ends(events) == TOLD
    assert {event.job for event in events} == {Name("k8s", "orders-to-lake")}
    killed = events[1]
    assert killed.runtime is not None
    assert (killed.runtime.node, killed.runtime.pod_uid, killed.runtime.k8s_namespace) == ("node-2", "uid-a", "shop")
    facet = json.loads(killed.facets or b"")["run"]["headwater_kubernetes"]
    assert (facet["exitCode"], facet["owner"]) == (137, "ReplicaSet/orders-to-lake-7c9d8")
    assert killed.event_time_us - events[0].event_time_us == (14 * 60 + 6) * 1_000_000  # as Kubernetes says


def test_a_watch_that_breaks_off_goes_on_where_it_was(api: KubeApi, tmp_path: Path) -> None:
    api.streams = [RECORDED[:3], RECORDED[3:], 500]
    assert ends(watched(api, tmp_path)) == TOLD
    assert [query.get("resourceVersion") for query in api.asked if "watch" in query] == ["100", "103", "120"]
    assert {query["labelSelector"] for query in api.asked} == {"a=b"}
    assert set(api.paths) == {"/api/v1/namespaces/shop/pods"}


def test_a_watch_that_has_expired_is_begun_with_a_new_list(api: KubeApi, tmp_path: Path) -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    api.pods = [RECORDED[6]["object"]]  # where the pod is by now, with its last end alone
    api.streams = [[gone], 410, RECORDED, 500]
    events = watched(api, tmp_path, pauses=3, namespace="")
    assert sorted(ends(events)) == sorted(TOLD)  # what the list told is not told again
    assert sum("watch" not in query for query in api.asked) == 3
    assert set(api.paths) == {"/api/v1/pods"}


def test_another_watcher_says_the_same_events(api: KubeApi, tmp_path: Path) -> None:
    api.streams = [RECORDED, 500]
    first = {event.event_id for event in watched(api, tmp_path)}
    api.streams = [RECORDED, 500]
    assert {event.event_id for event in watched(api, tmp_path)} == first


def test_an_api_that_is_away_is_tried_again(api: KubeApi, tmp_path: Path) -> None:
    api.streams = [500, 503, RECORDED, 500]
    assert ends(watched(api, tmp_path, pauses=3)) == TOLD


def test_a_server_that_ends_every_watch_at_once_is_not_asked_without_a_pause(api: KubeApi, tmp_path: Path) -> None:
    api.streams = [[]] * 3
    watched(api, tmp_path, pauses=3)
    assert len(api.asked) == 4


def test_a_refusal_at_the_beginning_names_the_role(api: KubeApi, tmp_path: Path) -> None:
    api.refuse = 403
    core = core_api(str(api.kubeconfig(tmp_path)), None)
    watch = PodWatch(core, Emitter(None), namespace="shop", selector="a=b", job_namespace="k8s")
    with pytest.raises(Unauthorized, match="list and watch of pods"):
        watch.follow()


BROKEN = {"containerStatuses": [None, 3]}


@pytest.mark.parametrize(
    "pod", [{}, {"metadata": None}, {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}, "status": BROKEN}]
)
def test_a_pod_that_says_nothing_usable_says_nothing(pod: dict[str, Any]) -> None:
    assert list(events_of(pod, "k8s", 1)) == []


def test_the_command_runs_until_it_is_told_to_stop(api: KubeApi, tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    api.streams = [RECORDED]
    environment = os.environ | {"HEADWATER_TRANSPORT": "file", "HEADWATER_FILE": str(events)}
    command = [sys.executable, "-m", "headwater.cli", "k8s-watch", "--kubeconfig", str(api.kubeconfig(tmp_path))]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        wait_until(lambda: events.exists() and events.read_text().count("\n") == 10, within_s=30, what="ten events")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    told = [from_json(line) for line in events.read_bytes().splitlines()]
    assert all(event.emitter == f"k8s-watch:{event.job}" for event in told)


def test_the_role_allows_no_more_than_to_list_and_watch_pods() -> None:
    documents = list(yaml.safe_load_all((ROOT / "deploy/k8s-watch.yaml").read_text()))
    (role,) = [document for document in documents if document["kind"] == "Role"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
