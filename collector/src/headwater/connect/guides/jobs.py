"""Jobs in Python, Kafka clients, batch commands. Pure."""

from __future__ import annotations

import json
import re
import shlex
from string import Template
from typing import Final

from headwater.connect.guides.parts import (
    HTTP,
    KAFKA,
    Guide,
    Json,
    Snippet,
    Wanted,
    about_events,
    about_gateway,
    as_variables,
    as_yaml,
    sdk_variables,
)
from headwater.connect.places import Installation
from headwater.connect.security import SECRETS_FOLDER
from headwater.kubernetes import NAME_LABEL

_INSTALL: Final = "pip install headwater\n"

_JOB: Final = Template("""\
import headwater


@headwater.job($job, reads=[("postgres://shop-db:5432", "shop.public.orders")], writes=[("s3://lake", "orders/daily")])
def load():
    rows = 90                                                               # your code
    headwater.current_run().writes("s3://lake", "orders/daily", rows=rows)  # where more is known


if __name__ == "__main__":
    load()
""")

_CLIENTS: Final = """\
from headwater.kafka import Consumer, Producer            # was: from confluent_kafka import Consumer, Producer
from headwater.kafka.aiokafka import AIOKafkaConsumer     # was: from aiokafka import AIOKafkaConsumer
import headwater.kafka.faust                              # Faust: headwater.kafka.faust.watch(app), after app = faust.App(…)
"""

_LOOP: Final = Template("""\
import headwater
from headwater.kafka import Consumer

consumer = Consumer({"bootstrap.servers": $servers, "group.id": $job, "auto.offset.reset": "earliest"})
consumer.subscribe(["orders"])
try:
    while batch := consumer.consume(1000, 10.0):
        headwater.current_run().writes("s3://lake", "orders/daily", rows=len(batch))  # what your code does with it
        consumer.commit(asynchronous=False)
finally:
    consumer.close()
""")

_SILENT: Final = (
    "Wrong settings switch lineage off and are logged once as an error; HEADWATER_DISABLED=true and"
    " OPENLINEAGE_DISABLED=true switch it off too. The job runs in any case."
)
_SPOOL: Final = (
    "HEADWATER_SPOOL=/var/lib/headwater/spool keeps on disk what cannot be sent; HEADWATER_TRANSPORT=console shows what"
    " would be."
)


def job(place: Installation, wanted: Wanted) -> Guide:
    """A job with the SDK: the two lines, the variables, the pod."""
    snippets = [
        Snippet("once", "sh", _INSTALL),
        Snippet(
            "two lines of the job: the import, and the one over its function",
            "python",
            _JOB.substitute(job=_quoted(wanted.job.name)),
        ),
        *_environments(place, wanted),
        Snippet("where the job reads or writes Kafka: its imports", "python", _CLIENTS),
    ]
    said = "A job speaks when its function is called, and when it returns."
    return Guide("A job in Python, by the SDK", tuple(snippets), said, (*_way(place, wanted), _SPOOL, _SILENT))


def kafka_client(place: Installation, wanted: Wanted) -> Guide:
    """Consumers and producers that tell of themselves."""
    snippets = [
        Snippet("once", "sh", _INSTALL),
        Snippet("the lines that change", "python", _CLIENTS),
        Snippet(
            "a whole consumer: topic, pod and dataset are one trace",
            "python",
            _LOOP.substitute(job=_quoted(wanted.job.name), servers=_quoted(place.servers)),
        ),
        *_environments(place, wanted),
    ]
    remarks = (
        "Without HEADWATER_JOB the job is the pod's label, else the consumer group.",
        (
            "Topics are called kafka://<bootstrap servers as the client has them>: where clients know one cluster by several"
            " addresses, say Lineage(namespace=…)."
        ),
        *_way(place, wanted),
        _SPOOL,
        _SILENT,
    )
    said = "A client speaks once its statistics are there, up to ten seconds after the first record, and at its end."
    return Guide("Kafka clients in Python", tuple(snippets), said, remarks)


def emit_run(place: Installation, wanted: Wanted) -> Guide:
    """A batch command in any language."""
    given = f"--job {shlex.quote(str(wanted.job))} --writes s3://lake orders/daily"
    snippets = [
        Snippet("before the command", "sh", f"headwater emit run {given} -- ./load.sh\n"),
        Snippet("variables of it", "sh", as_variables(_variables(place, wanted, named=False))),
        Snippet(
            "what it read and wrote it may write itself, into the file that HEADWATER_REPORT names",
            "json",
            '{"inputs": [{"namespace": "postgres://shop-db:5432", "name": "shop.public.orders", "rows": 90}],\n'
            ' "outputs": [{"namespace": "s3://lake", "name": "orders/daily", "rows": 90}]}\n',
        ),
    ]
    remarks = (
        "The exit code is the command's; lineage that does not get out is a line on stderr.",
        "Who has a headwater.toml with [kafka] needs no variables.",
        *_way(place, wanted),
    )
    return Guide(
        "A batch command, by headwater emit run", tuple(snippets), "It speaks when the command starts.", remarks
    )


def _by(wanted: Wanted) -> str:
    """How the events get here: straight to Kafka, unless the reader wants the gateway alone."""
    return HTTP if wanted.ways == (HTTP,) else KAFKA


def _way(place: Installation, wanted: Wanted) -> list[str]:
    if _by(wanted) == HTTP:
        return about_gateway(place)
    return [about_events(place), f"Who cannot reach {place.servers} sends by the gateway: --via http."]


def _environments(place: Installation, wanted: Wanted) -> list[Snippet]:
    """The variables for a shell, and for a pod with what names its runs."""
    return [
        Snippet("variables of the job", "sh", as_variables(_variables(place, wanted))),
        Snippet("or, in Kubernetes, parts of the pod's template", "yaml", as_yaml(pod_template(place, wanted))),
    ]


def _variables(place: Installation, wanted: Wanted, *, named: bool = True) -> dict[str, str]:
    found = sdk_variables(place, wanted.job, _by(wanted))
    return found if named else {key: value for key, value in found.items() if key not in _NAMING}


_NAMING: Final = ("HEADWATER_NAMESPACE", "HEADWATER_JOB")


def pod_template(place: Installation, wanted: Wanted) -> dict[str, Json]:
    """What a pod's template needs: the variables, and the facts of the downward API: a run's pod, node and image."""
    fields = {
        "POD_NAME": "metadata.name",
        "POD_UID": "metadata.uid",
        "POD_NAMESPACE": "metadata.namespace",
        "NODE_NAME": "spec.nodeName",
    }
    name, told = _workload(wanted.job.name), _variables(place, wanted)
    env: list[Json] = [{"name": variable, "value": value} for variable, value in told.items()]
    env += [{"name": fact, "valueFrom": {"fieldRef": {"fieldPath": path}}} for fact, path in fields.items()]
    env += [{"name": "CONTAINER_NAME", "value": name}, {"name": "CONTAINER_IMAGE", "value": "<image>"}]
    container: dict[str, Json] = {"name": name, "image": "<image>", "env": env}
    spec: dict[str, Json] = {"containers": [container]}
    if any(value.startswith(SECRETS_FOLDER) for value in told.values()):
        container["volumeMounts"] = [{"name": _VOLUME, "mountPath": SECRETS_FOLDER, "readOnly": True}]
        spec["volumes"] = [{"name": _VOLUME, "secret": {"secretName": _VOLUME}}]
    labels = {NAME_LABEL: name, "headwater.io/lineage": "true"}
    return {"template": {"metadata": {"labels": labels}, "spec": spec}}


_VOLUME: Final = "headwater-kafka"


def _workload(name: str) -> str:
    """A job's name as Kubernetes takes names (RFC 1123, 63 characters)."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "job"


def _quoted(text: str) -> str:
    """A string of Python: JSON's are."""
    return json.dumps(text, ensure_ascii=False)
