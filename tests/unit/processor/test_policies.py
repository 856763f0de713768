"""Which policy holds for what."""

from __future__ import annotations

import itertools
import time

import pytest

from headwater_processor.core.policies import Effective, compile_policies
from headwater_schemas.events import Name
from headwater_schemas.policies import Criticality, Policy, PolicyKind

PG = "postgres://db:5432"
ORDERS = Name(PG, "shop.public.orders")


def test_without_policies_nothing_holds_but_the_version_is_told() -> None:
    assert compile_policies([], 7).for_dataset(ORDERS) == Effective(version=7)


def test_an_exact_policy_beats_every_pattern() -> None:
    policies = compile_policies(
        [
            Policy("long pattern", PG, "shop.public.order?", max_age_ms=1_000),
            Policy("exact", PG, "shop.public.orders", max_age_ms=2_000),
        ],
        1,
    )
    assert policies.for_dataset(ORDERS).max_age_us == 2_000_000
    assert policies.for_dataset(ORDERS).subject == "exact"


def test_the_pattern_with_more_literal_characters_wins() -> None:
    broad, narrow = Policy("a", "*", "*", max_age_ms=1), Policy("z", PG, "shop.*", max_age_ms=2)
    for order in itertools.permutations([broad, narrow]):
        assert compile_policies(order, 1).for_dataset(ORDERS).max_age_us == 2_000


def test_fields_are_resolved_one_by_one() -> None:
    policies = compile_policies(
        [
            Policy("all", "*", "*", owner="platform", criticality=Criticality.LOW, for_ms=5, tags=("b",)),
            Policy("shop", PG, "shop.*", owner="shop", tags=("a",)),
            Policy("orders", PG, "shop.public.orders", max_age_ms=60_000, source=True),
        ],
        3,
    )
    assert policies.for_dataset(ORDERS) == Effective(
        owner="shop",
        criticality=Criticality.LOW,
        max_age_us=60_000_000,
        for_us=5_000,
        source=True,
        tags=("a", "b"),
        subject="orders",
        version=3,
    )


def test_equally_specific_policies_are_decided_by_subject_whatever_the_order() -> None:
    pair = [Policy("b", "*", "orders*", owner="second"), Policy("a", "*", "*orders", owner="first")]
    for order in itertools.permutations(pair):
        assert compile_policies(order, 1).for_dataset(Name("x", "orders")).owner == "first"


def test_of_two_policies_with_one_subject_the_later_counts() -> None:
    policies = compile_policies([Policy("p", "n", "d", owner="old"), Policy("p", "n", "d", owner="new")], 1)
    assert policies.for_dataset(Name("n", "d")).owner == "new"


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("orders", "orders", True),
        ("orders", "orders2", False),
        ("order?", "orders", True),
        ("order?", "order", False),
        ("*", "", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "acb", False),
        ("*s", "orders", True),
        ("a.c*", "abc", False),
        ("[ab]*", "a", False),
        ("a*", "a\nb", True),
    ],
)
def test_patterns_know_star_and_question_mark_and_nothing_else(pattern: str, name: str, matches: bool) -> None:
    policies = compile_policies([Policy("p", "*", pattern, owner="o")], 1)
    assert (policies.for_dataset(Name("n", name)).owner == "o") is matches


def test_a_pattern_of_many_stars_is_matched_at_once() -> None:
    policies = compile_policies([Policy("p", "*", "*a" * 30 + "b", owner="o")], 1)
    started = time.process_time()
    assert policies.for_dataset(Name("n", "a" * 5_000)).owner == ""
    assert time.process_time() - started < 1


def test_exact_names_and_schemes_of_patterns_may_be_spelt_in_any_known_way() -> None:
    exact = compile_policies([Policy("p", "postgresql://DB:5432", "shop.public.orders", owner="o")], 1)
    assert exact.for_dataset(ORDERS).owner == "o"
    pattern = compile_policies([Policy("p", "postgresql://*", "*", owner="o")], 1)
    assert pattern.for_dataset(ORDERS).owner == "o"
    named = compile_policies([Policy("p", "postgresql://DB:5432", "shop.*", owner="o")], 1)
    assert named.for_dataset(ORDERS).owner == "o"


def test_policies_of_jobs_and_emitters_do_not_touch_datasets() -> None:
    policies = compile_policies(
        [
            Policy("j", "airflow", "etl*", kind=PolicyKind.JOB, sink=True),
            Policy("e", "*", "connect/*", kind=PolicyKind.EMITTER, max_age_ms=1),
        ],
        1,
    )
    assert policies.for_job(Name("airflow", "etl.load")).sink
    assert policies.for_emitter("connect/orders").max_age_us == 1_000
    assert policies.for_dataset(Name("airflow", "etl.load")) == Effective(version=1)


def test_a_class_of_aliases_has_the_strictest_target_and_the_highest_criticality() -> None:
    policies = compile_policies(
        [
            Policy("slow", "n", "a", max_age_ms=9_000, criticality=Criticality.CRITICAL, owner="slow"),
            Policy("quick", "n", "b", max_age_ms=1_000, owner="quick", sink=True),
        ],
        1,
    )
    effective = policies.for_class((Name("n", "a"), Name("n", "b"), Name("n", "c")))
    assert (effective.max_age_us, effective.criticality, effective.owner) == (1_000_000, Criticality.CRITICAL, "quick")
    assert effective.sink
    assert effective.critical
    assert effective.explicit


def test_aliases_are_canonical_pairs_in_order() -> None:
    policies = compile_policies(
        [
            Policy("a", "s3a://lake", "raw/orders", alias_namespace="hive://m:9083", alias_name="raw.orders"),
            Policy("b", "s3://lake", "x*", alias_namespace="hive://m:9083", alias_name="x"),
            Policy("c", "s3://lake", "same", alias_namespace="s3a://lake", alias_name="same"),
        ],
        1,
    )
    assert policies.aliases() == ((Name("hive://m:9083", "raw.orders"), Name("s3://lake", "raw/orders")),)
