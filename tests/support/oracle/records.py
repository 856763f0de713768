"""Raw Kafka records as the generator makes them, and how many of what it makes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import fastavro
import orjson
from tests.support.oracle.contract import FINGERPRINTS, WRITERS
from tests.support.oracle.wire import SINGLE_OBJECT, fingerprint, load_schema

S: Final = 1_000_000


class Record(NamedTuple):
    """One Kafka record. `kind` is the ground truth, for people and for tests of the generator."""

    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes]]
    kind: str


@dataclass(frozen=True, slots=True)
class Options:
    """How much of what. Shares are of all records."""

    events: int
    seed: int = 1
    partitions: int = 4
    datasets: int = 400
    start_us: int = 1_740_787_200 * S  # 2025-03-01
    step_us: int = 200_000
    duplicates: float = 0.10
    late: float = 0.01
    ancient: float = 0.0005
    future: float = 0.001
    hostile: float = 0.005
    unknown_fingerprint: float = 0.0001
    extra_writer: float = 0.15
    slow_writer: float = 0.03
    confluent: float = 0.0
    """Share in Confluent framing: needs a registry that knows `contract.CONFLUENT_IDS`."""
    only_good: bool = False
    """Leave out what is hostile or of unknown fingerprint."""


def schema_records() -> list[tuple[str, Record]]:
    """What goes to the schemas topic so that every writer can be read: (writer, record)."""
    return [
        (name, Record(0, FINGERPRINTS[name].hex().encode(), orjson.dumps(schema), 0, [], "schema"))
        for name, schema in WRITERS.items()
    ]


def policy_records(names: list[tuple[str, str]], max_age_ms: int = 3_600_000) -> list[Record]:
    """A freshness target for each of these datasets, as the policies topic holds it."""
    schema = load_schema("policy.v1")
    parsed: Any = fastavro.parse_schema(schema)
    prefix = SINGLE_OBJECT + fingerprint(schema)
    records = []
    for number, (namespace, name) in enumerate(names):
        subject = f"oracle-{number}"
        policy = {"subject": subject, "namespace": namespace, "name": name, "max_age_ms": max_age_ms, "owner": "team"}
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, parsed, policy | {"criticality": "HIGH" if number % 2 else "LOW"})
        records.append(Record(0, subject.encode(), prefix + buffer.getvalue(), 0, [], "policy"))
    return records
