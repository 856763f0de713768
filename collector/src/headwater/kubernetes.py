"""Where a run lives: pod, function or host, read from what Kubernetes and function platforms put into the process.

Pure: an environment and a reader of files in, values out. Nothing is asked of the Kubernetes API; a pod's manifest
hands the facts over (the downward API), for example

    env:
      - {name: POD_NAME,      valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      - {name: POD_UID,       valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
      - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
      - {name: NODE_NAME,     valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
      - {name: CONTAINER_NAME,  value: orders}                         # the downward API knows neither of these two
      - {name: CONTAINER_IMAGE, value: "registry.acme/orders:1.14.2"}
    volumeMounts:
      - {name: podinfo, mountPath: /etc/podinfo}                       # elsewhere: HEADWATER_PODINFO
    volumes:
      - name: podinfo
        downwardAPI:
          items:
            - {path: labels, fieldRef: {fieldPath: metadata.labels}}   # app.kubernetes.io/name names the job
            - {path: name,   fieldRef: {fieldPath: metadata.name}}     # name, uid, namespace: instead of the variables

What neither says is taken from `OTEL_RESOURCE_ATTRIBUTES`, which OpenTelemetry's operator puts into the pods it looks after.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from headwater_schemas.events import Runtime

PODINFO: Final = "/etc/podinfo"
"""Where the downward API's files are looked for, unless said otherwise."""

NAME_LABEL: Final = "app.kubernetes.io/name"
"""The label that names the workload (kubernetes.io, "Recommended Labels")."""

_LONGEST_FILE_BYTES: Final = 256 * 1024
_LONGEST_FACT_CHARS: Final = 1_024
"""Names in Kubernetes have at most 253 characters; images and functions may be longer."""
_SERVICE_ACCOUNT_NAMESPACE: Final = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

Reader = Callable[[str], str | None]
"""Gives the text of a file, or None where there is none."""


def read_file(path: str) -> str | None:
    """The reader for real life: a small UTF-8 file, or None."""
    try:
        with Path(path).open("rb") as file:
            return file.read(_LONGEST_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def runtime_facts(
    environ: Mapping[str, str],
    *,
    read: Reader = read_file,
    podinfo: str = PODINFO,
    host: Callable[[], str] = socket.gethostname,
) -> Runtime:
    """What is known about where this process runs; empty strings where nothing is.

    A pod is believed from the environment first (`HEADWATER_POD_NAME`, then `POD_NAME`, …), then from files in
    `podinfo`, then from OpenTelemetry's resource attributes; a function from AWS Lambda's, Knative's (Cloud Run) and
    Google's variables. The host name is given only where neither is known: in a pod it repeats the pod's name.
    """

    attributes = _resource_attributes(environ)

    def fact(variable: str, attribute: str, file: str = "") -> str:
        value = environ.get(f"HEADWATER_{variable}", "").strip() or environ.get(variable, "").strip()
        if not value and file:
            value = (read(f"{podinfo}/{file}") or "").strip()
        return (value or attributes.get(attribute, ""))[:_LONGEST_FACT_CHARS]

    function, version = _function(environ)
    pod = fact("POD_NAME", "k8s.pod.name", "name")
    namespace = fact("POD_NAMESPACE", "k8s.namespace.name", "namespace")
    if "KUBERNETES_SERVICE_HOST" in environ:
        namespace = namespace or (read(_SERVICE_ACCOUNT_NAMESPACE) or "").strip()[:_LONGEST_FACT_CHARS]
        pod = pod or environ.get("HOSTNAME", "").strip()  # the kubelet sets a pod's host name to the pod's name
    return Runtime(
        pod=pod,
        pod_uid=fact("POD_UID", "k8s.pod.uid", "uid"),
        k8s_namespace=namespace,
        node=fact("NODE_NAME", "k8s.node.name"),
        container=fact("CONTAINER_NAME", "k8s.container.name"),
        image=fact("CONTAINER_IMAGE", "container.image.name"),
        function=function[:_LONGEST_FACT_CHARS],
        function_version=version[:_LONGEST_FACT_CHARS],
        host="" if pod or function else host(),
    )


def pod_labels(*, read: Reader = read_file, podinfo: str = PODINFO) -> dict[str, str]:
    """The pod's labels from the downward API's file: `key="value"` a line, the value quoted as in Go."""
    return _pairs(read(f"{podinfo}/labels") or "")


def pod_annotations(*, read: Reader = read_file, podinfo: str = PODINFO) -> dict[str, str]:
    """The pod's annotations, in the same form as its labels."""
    return _pairs(read(f"{podinfo}/annotations") or "")


def job_name(environ: Mapping[str, str], labels: Mapping[str, str], *, group: str = "") -> str:
    """The job this process is: `HEADWATER_JOB`, else the workload's label, else the consumer group, else empty.

    Never the pod's name: each new pod would be a new job and the old one would seem to have fallen silent.
    """
    return environ.get("HEADWATER_JOB", "").strip() or labels.get(NAME_LABEL, "").strip() or group.strip()


def _function(environ: Mapping[str, str]) -> tuple[str, str]:
    for name, version in (
        ("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION"),
        ("K_SERVICE", "K_REVISION"),
        ("FUNCTION_NAME", "X_GOOGLE_FUNCTION_VERSION"),
        ("WEBSITE_SITE_NAME", "WEBSITE_DEPLOYMENT_ID"),  # Azure Functions
    ):
        if environ.get(name, "").strip():
            return environ[name].strip(), environ.get(version, "").strip()
    return "", ""


def _resource_attributes(environ: Mapping[str, str]) -> dict[str, str]:
    """`OTEL_RESOURCE_ATTRIBUTES`: key=value,key=value, the values percent-encoded."""
    pairs = (pair.partition("=") for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","))
    found = {key.strip(): unquote(value.strip()) for key, _, value in pairs if key.strip()}
    if tag := found.get("container.image.tag", found.get("container.image.tags", "")):
        image = found.get("container.image.name", "")
        found["container.image.name"] = image if not image or ":" in image.rpartition("/")[2] else f"{image}:{tag}"
    return found


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            continue
        try:
            unquoted = json.loads(value)
        except ValueError:
            unquoted = value.strip().strip('"')
        pairs[key.strip()] = unquoted if isinstance(unquoted, str) else value.strip()
    return pairs
