"""Policies as they go to `lineage.policies`: plain values, as in `avro/policy.v1.avsc`. The wire is in `codec`."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class PolicyKind(enum.Enum):
    """What the pattern of a policy names."""

    DATASET = "DATASET"
    JOB = "JOB"
    EMITTER = "EMITTER"


class Criticality(enum.Enum):
    """How much it hurts when the data is late."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


@dataclass(frozen=True, slots=True)
class Policy:
    """What people decided about what the pattern `namespace`, `name` (exact, or with * and ?) names.

    `max_age_ms` is the freshness target (0: none), `for_ms` how long a breach lasts before it fires, `clear_ms` how
    long it must be well before it resolves. `source` and `sink` declare loose ends that are right.
    `alias_namespace` and `alias_name` say that the subject is the same dataset as another.
    """

    subject: str
    namespace: str
    name: str
    kind: PolicyKind = PolicyKind.DATASET
    owner: str = ""
    criticality: Criticality = Criticality.NONE
    max_age_ms: int = 0
    for_ms: int = 0
    clear_ms: int = 0
    source: bool = False
    sink: bool = False
    alias_namespace: str = ""
    alias_name: str = ""
    tags: tuple[str, ...] = ()
    description: str = ""
