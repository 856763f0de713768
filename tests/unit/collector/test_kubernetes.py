"""Runtime facts: from the environment and from the downward API's files."""

from __future__ import annotations

from pathlib import Path

from headwater import Emitter, Name
from headwater.kubernetes import job_name, pod_annotations, pod_labels, runtime_facts
from headwater_schemas.events import Runtime

_FILES = {
    "/etc/podinfo/name": "orders-7d9f-x2\n",
    "/etc/podinfo/uid": "6f0c",
    "/etc/podinfo/labels": 'app.kubernetes.io/name="orders"\nversion="1 \\"beta\\""\nbroken\n',
    "/etc/podinfo/annotations": 'kubernetes.io/config.seen="2026-01-01T00:00:00Z"\n',
    "/var/run/secrets/kubernetes.io/serviceaccount/namespace": "shop\n",
    "/facts/name": "other",
}


def facts(environ: dict[str, str], podinfo: str = "/etc/podinfo") -> Runtime:
    return runtime_facts(environ, read=_FILES.get, podinfo=podinfo, host=lambda: "host-1")


def test_a_pod_is_known_from_its_environment() -> None:
    environ = {
        "POD_NAME": "p",
        "HEADWATER_POD_UID": "u",
        "POD_UID": "not this one",
        "POD_NAMESPACE": "ns",
        "NODE_NAME": "n",
        "CONTAINER_NAME": "c",
        "CONTAINER_IMAGE": "i:1",
    }
    assert facts(environ) == Runtime("p", "u", "ns", "n", "c", "i:1")


def test_a_pod_is_known_from_its_files() -> None:
    found = facts({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOSTNAME": "orders-7d9f-x2"})
    assert found == Runtime(pod="orders-7d9f-x2", pod_uid="6f0c", k8s_namespace="shop")
    assert facts({}, podinfo="/facts").pod == "other"


def test_a_function_is_known_by_its_platform() -> None:
    aws = facts({"AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_VERSION": "3"}, podinfo="/nowhere")
    assert aws == Runtime(function="f", function_version="3")
    assert facts({"K_SERVICE": "s", "K_REVISION": "s-1"}, podinfo="/nowhere").function_version == "s-1"
    assert facts({"FUNCTION_NAME": "g"}, podinfo="/nowhere").function == "g"


def test_elsewhere_the_host_is_named() -> None:
    assert facts({}, podinfo="/nowhere") == Runtime(host="host-1")


def test_labels_and_annotations_are_read_as_the_downward_api_writes_them() -> None:
    assert pod_labels(read=_FILES.get) == {"app.kubernetes.io/name": "orders", "version": '1 "beta"'}
    assert pod_annotations(read=_FILES.get) == {"kubernetes.io/config.seen": "2026-01-01T00:00:00Z"}
    assert pod_labels(read=lambda _: None) == {}


def test_a_job_is_named_by_setting_label_or_group_and_never_by_its_pod() -> None:
    labels = {"app.kubernetes.io/name": "orders"}
    assert job_name({"HEADWATER_JOB": "set"}, labels, group="g") == "set"
    assert job_name({}, labels, group="g") == "orders"
    assert job_name({"POD_NAME": "orders-1"}, {}, group="g") == "g"
    assert job_name({"POD_NAME": "orders-1", "HOSTNAME": "orders-1"}, {}) == ""


def test_what_is_not_said_otherwise_is_known_from_opentelemetrys_resource_attributes() -> None:
    told = (
        "k8s.pod.name=orders-1,k8s.pod.uid=u,k8s.namespace.name=shop,k8s.node.name=n,k8s.container.name=c%20d,"
        "container.image.name=registry:5000/orders,container.image.tag=1.2,broken"
    )
    expected = Runtime("orders-1", "u", "shop", "n", "c d", "registry:5000/orders:1.2")
    assert facts({"OTEL_RESOURCE_ATTRIBUTES": told}, podinfo="/nowhere") == expected
    assert facts({"OTEL_RESOURCE_ATTRIBUTES": told, "NODE_NAME": "m"}, podinfo="/nowhere").node == "m"


def test_facts_are_bounded_whatever_somebody_put_there() -> None:
    assert len(facts({"POD_NAME": "x" * 100_000, "CONTAINER_IMAGE": "y" * 100_000}).image) == 1_024


def test_an_emitter_reads_the_files_where_the_setting_says_and_falls_back_to_the_consumer_group(tmp_path: Path) -> None:
    environ = {"HEADWATER_TRANSPORT": "memory", "HEADWATER_PODINFO": str(tmp_path), "POD_NAME": "orders-7d9f-x2"}
    with Emitter.from_env(environ, group="orders-group") as emitter:
        assert emitter.job == Name("default", "orders-group")
    (tmp_path / "labels").write_text('app.kubernetes.io/name="orders"\n', encoding="utf-8")
    with Emitter.from_env(environ, group="orders-group") as emitter:
        assert emitter.job == Name("default", "orders")
    with Emitter.from_env(environ | {"HEADWATER_JOB": "set"}, group="orders-group") as emitter:
        assert emitter.job == Name("default", "set")
