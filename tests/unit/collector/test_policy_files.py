"""Policies as people write them: what is taken, and how a mistake is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.runtime.errors import RefusedError, UsageError
from headwater.runtime.policy_files import parse_policies, read_policies
from headwater_schemas.policies import Criticality, Policy, PolicyKind

WHOLE = """
- subject: marts
  dataset: snowflake://acme analytics.marts.*
  owner: team-a
  criticality: high
  max_age: 15m
  for: 90s
  clear: 2h
  sink: true
  tags: [finance, board]
  description: Read on Mondays.
- job: {namespace: k8s://shop, name: "orders *"}
  max_age: 1d
- emitter: sdk:shop/*
- dataset: kafka://a:9092 orders
  alias_of: kafka://b:9092 orders
"""


def test_a_file_with_every_field_becomes_policies() -> None:
    marts, job, emitter, alias = parse_policies(WHOLE, "p.yaml")
    assert marts == Policy(
        subject="marts",
        namespace="snowflake://acme",
        name="analytics.marts.*",
        owner="team-a",
        criticality=Criticality.HIGH,
        max_age_ms=900_000,
        for_ms=90_000,
        clear_ms=7_200_000,
        sink=True,
        tags=("finance", "board"),
        description="Read on Mondays.",
    )
    assert (job.kind, job.namespace, job.name, job.max_age_ms) == (PolicyKind.JOB, "k8s://shop", "orders *", 86_400_000)
    assert (emitter.kind, emitter.namespace, emitter.name) == (PolicyKind.EMITTER, "", "sdk:shop/*")
    assert (alias.alias_namespace, alias.alias_name) == ("kafka://b:9092", "orders")


def test_a_subject_that_is_not_given_is_made_from_the_pattern() -> None:
    _, job, emitter, alias = parse_policies(WHOLE, "p.yaml")
    assert [job.subject, emitter.subject, alias.subject] == [
        "job:k8s://shop/orders *",
        "emitter:sdk:shop/*",
        "dataset:kafka://a:9092/orders",
    ]


def test_the_fields_of_the_wire_are_taken_under_a_head_line() -> None:
    (policy,) = parse_policies(
        "policies:\n- {subject: a, kind: JOB, namespace: n, name: j, max_age_ms: 5, criticality: LOW}", "p.yaml"
    )
    assert policy == Policy("a", "n", "j", kind=PolicyKind.JOB, max_age_ms=5, criticality=Criticality.LOW)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("dataset: a b\n  max_agee: 5m", ("'max_agee'", "'max_age'")),
        ("dataset: a b\n  max_age: 5", ("max_age", "15m")),
        ("dataset: a b\n  max_age: -5m", ("max_age", "15m")),
        ("dataset: a b\n  max_age: 99999d", ("max_age", "duration")),
        ("dataset: a b\n  max_age: 5m\n  max_age_ms: 5", ("not both",)),
        ("dataset: a b\n  criticality: huge", ("criticality", "critical")),
        ("dataset: a b\n  source: maybe", ("source", "true or false")),
        ("dataset: a b\n  tags: finance", ("tags",)),
        ("dataset: a b\n  owner: 5", ("owner", "quotes")),
        ("dataset: onlyname", ("dataset", "`namespace name`")),
        ("dataset: a b\n  job: a b", ("one of dataset, job, emitter",)),
        ("owner: x", ("missing",)),
        ("job: a b\n  source: true", ("for datasets",)),
        ("dataset: a b*\n  alias_of: a c", ("exact dataset",)),
        ("dataset: a b\n  alias_name: c", ("go together",)),
    ],
)
def test_a_mistake_names_file_entry_and_field(entry: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_policies(f"- dataset: fine here\n- {entry}", "p.yaml")
    said = str(caught.value)
    assert "p.yaml, policy 2" in said
    assert all(word in said for word in words), said


@pytest.mark.parametrize("text", ["a: [", "5", "", "other: []", "- just words"])
def test_what_is_no_list_of_policies_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match=r"p\.yaml"):
        parse_policies(text, "p.yaml")


def test_two_policies_of_one_subject_are_refused_across_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("- dataset: a b")
    second.write_text("- dataset: a b")
    with pytest.raises(RefusedError, match=r"b\.yaml, policy 1.*a\.yaml, policy 1"):
        read_policies([first, second])


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_policies([tmp_path / "none.yaml"])
