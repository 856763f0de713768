"""`headwater policy test` as values: what holds, who set it, who lost; and it is what the judge goes by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from headwater_processor.core.policies import compile_policies
from headwater_processor.core.policy_reasons import SAYS, Said, effective, effective_values, explain
from headwater_processor.local.policy_topic import Held
from headwater_processor.local.policy_view import Answer, Asked, answer_lines, answer_object, asked_name
from headwater_schemas.events import Name
from headwater_schemas.policies import Criticality, Policy, PolicyKind

LAKE = "s3://lake"
ORDERS = Name(LAKE, "orders/daily")
BROAD = Policy("lake", LAKE, "*", owner="team-lake", criticality=Criticality.HIGH, max_age_ms=3_600_000, tags=("a",))
NARROW = Policy("orders", LAKE, "orders/*", owner="team-orders", tags=("b",))
EXACT = Policy("daily", LAKE, "orders/daily", max_age_ms=60_000, source=True)


def answer(*policies: Policy, **changes: tuple[object, object]) -> Answer:
    compiled = compile_policies(policies, 7)
    asked = Asked(PolicyKind.DATASET, ORDERS)
    return Answer(
        asked,
        7,
        effective_values(effective(compiled, asked.kind, asked.name)),
        [explain(compiled, asked.kind, name) for name in compiled.same_as(ORDERS)],
        {policy.subject: Held(policy, "lineage.policies", at) for at, policy in enumerate(policies)},
        changes,
        compared=bool(changes),
    )


def text_of(found: Answer) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(answer_lines(found))
    return captured.get()


def test_each_field_says_who_set_it_and_who_lost() -> None:
    fields = {reason.field: reason for reason in answer(BROAD, NARROW, EXACT).names[0].fields}
    assert (fields["owner"].value, fields["owner"].set_by) == ("team-orders", ("orders",))
    assert fields["owner"].lost == (Said("lake", "team-lake"),)
    assert (fields["max_age_ms"].value, fields["max_age_ms"].set_by) == (60_000, ("daily",))
    assert fields["tags"].value == ("a", "b")
    assert fields["tags"].set_by == ("orders", "lake")
    assert (fields["sink"].value, fields["sink"].set_by) == (False, ())


def test_a_person_sees_the_order_in_which_policies_were_asked() -> None:
    said = text_of(answer(BROAD, NARROW, EXACT))
    assert said.index("1. daily") < said.index("2. orders") < said.index("3. lake")
    assert "exact" in said
    assert "lake (team-lake)" in said
    assert "version 2" in said


def test_names_that_are_one_dataset_by_policy_are_explained_together() -> None:
    alias = Policy("alias", LAKE, "orders/daily", alias_namespace="kafka://b:9092", alias_name="orders")
    strict = Policy("strict", "kafka://b:9092", "orders", max_age_ms=1_000)
    found = answer(EXACT, alias, strict)
    assert len(found.names) == 2
    assert found.values["max_age_ms"] == 1_000
    assert "one dataset" in text_of(found)


def test_without_a_match_it_is_said_that_nothing_is_declared() -> None:
    assert "no policy matches" in text_of(answer())


def test_what_files_would_change_is_shown() -> None:
    found = answer(EXACT, max_age_ms=(3_600_000, 60_000))
    assert "max_age: 1 h → 1 min" in text_of(found)
    assert answer_object(found)["changes"] == {"max_age_ms": {"before": 3_600_000, "after": 60_000}}


@pytest.mark.parametrize(
    ("kind", "text", "name"),
    [
        (PolicyKind.DATASET, "s3://lake orders/daily", ORDERS),
        (PolicyKind.DATASET, "s3a://lake/orders/daily", ORDERS),
        (PolicyKind.DATASET, "bigquery/project.set.table", Name("bigquery", "project.set.table")),
        (PolicyKind.DATASET, "orders", Name("", "orders")),
        (PolicyKind.JOB, "k8s://shop/order-enricher", Name("k8s://shop", "order-enricher")),
        (PolicyKind.JOB, "airflow load orders", Name("airflow", "load orders")),
        (PolicyKind.EMITTER, "debezium/orders", Name("", "debezium/orders")),
    ],
)
def test_names_are_taken_as_people_write_them(kind: PolicyKind, text: str, name: Name) -> None:
    assert asked_name(kind, text).name == name


_POLICIES = st.lists(
    st.builds(
        Policy,
        subject=st.sampled_from("abcdefg"),
        namespace=st.sampled_from([LAKE, "*", "s3://*", "kafka://b:9092"]),
        name=st.sampled_from(["orders/daily", "orders/*", "*", "o?ders/*", "orders"]),
        owner=st.sampled_from(["", "me", "you"]),
        criticality=st.sampled_from(Criticality),
        max_age_ms=st.integers(0, 2),
        for_ms=st.integers(0, 2),
        clear_ms=st.integers(0, 2),
        source=st.booleans(),
        sink=st.booleans(),
        tags=st.lists(st.sampled_from("xyz"), max_size=2).map(tuple),
    ),
    max_size=7,
)


@given(_POLICIES)
def test_what_is_explained_is_what_the_judge_goes_by(policies: list[Policy]) -> None:
    compiled = compile_policies(policies, 1)
    found = explain(compiled, PolicyKind.DATASET, ORDERS)
    assert {field: found.value(field) for field in SAYS} == effective_values(compiled.for_dataset(ORDERS))
    for reason in found.fields:
        assert bool(reason.value) == bool(reason.set_by)
