"""What a door makes of the names in an event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from headwater.doors.clusters import Cluster, ClusterBook
from headwater.doors.folding import Folding
from headwater.doors.namespaces import Namespaces
from headwater.doors.rules import MOST_TOLD, NameRules, rules_of
from headwater.errors import ConfigError
from headwater.openlineage import convert, to_openlineage
from headwater.openlineage.values import Rejected
from headwater_schemas.events import DatasetUse, DirectEdge, EventType, Lifecycle, LineageEvent, Measure, Name

ID = "x2Xk0p7bSTuNpzlXpAg2Qw"
LAKE = "s3://lake"
DAY = "orders/dt=2026-11-26"


def event(**members: Any) -> LineageEvent:
    told = {"job": Name("shop", "load"), "event_type": EventType.COMPLETE, "run_id": b"r" * 16, **members}
    return LineageEvent(event_id=b"i" * 16, event_time_us=1_790_000_000_000_000, **told)


def reached(*addresses: str) -> ClusterBook:
    book = ClusterBook()
    book.learn(Cluster(ID, frozenset(addresses)))
    return book


def told(changed: LineageEvent, role: str = "run") -> Any:
    return orjson.loads(changed.facets or b"{}")[role]["headwater_names"]


def test_an_event_that_no_rule_changes_is_given_back_as_it_is() -> None:
    given = event(
        inputs=(DatasetUse("postgresql://DB:5432", "shop.public.orders"),),
        outputs=(DatasetUse(LAKE, "orders/daily", measures=(Measure(rows=3),)),),
        parent_job=Name("shop", "nightly"),
        facets=b"not even JSON",
    )
    assert NameRules().apply(given) is given
    assert NameRules().apply(replace(given, job=Name("shop", "load"))) == given


def test_what_was_said_stays_in_a_facet() -> None:
    given = event(
        job=Name("shop", "load-2026-11-26"),
        outputs=(DatasetUse(LAKE, DAY),),
        facets=orjson.dumps(
            {"run": {"a": {"b": 1}}, "outputs": [{"namespace": LAKE, "name": DAY, "facets": {"x": {}}}]}
        ),
    )
    changed = NameRules().apply(given)
    assert changed.job == Name("shop", "load-{date}")
    assert changed.outputs == (DatasetUse(LAKE, "orders"),)
    assert told(changed) == {
        "job": {"namespace": "shop", "name": "load-2026-11-26"},
        "datasets": [{"namespace": LAKE, "name": "orders", "said": {"namespace": LAKE, "name": DAY}}],
    }
    kept = orjson.loads(changed.facets or b"")
    assert kept["run"]["a"] == {"b": 1}
    assert kept["outputs"] == [{"namespace": LAKE, "name": "orders", "facets": {"x": {}}}]


def test_the_facet_is_bounded() -> None:
    parts = tuple(DatasetUse(LAKE, f"{'x' * 400}/day={day}") for day in range(100))
    changed = NameRules().apply(event(inputs=parts))
    assert len(changed.inputs) == 1
    assert len(told(changed)["datasets"]) == MOST_TOLD
    assert told(changed)["more"] == 100 - MOST_TOLD
    assert len(changed.facets or b"") < 30_000


def test_parts_of_one_dataset_are_one_use_with_all_that_was_measured() -> None:
    one = DatasetUse(
        LAKE, "orders/dt=2026-11-25", measures=(Measure(rows=1),), aliases=(Name("hive://h", "shop.orders"),)
    )
    other = DatasetUse(LAKE, DAY, measures=(Measure(rows=2),), schema_version="v1")
    (use,) = NameRules().apply(event(outputs=(one, other))).outputs
    assert use == DatasetUse(
        LAKE, "orders", "v1", (Name("hive://h", "shop.orders"),), measures=(Measure(rows=1), Measure(rows=2))
    )


def test_edges_aliases_and_parents_have_the_same_names() -> None:
    given = event(
        inputs=(DatasetUse(LAKE, "raw/2026-11-26", aliases=(Name(LAKE, "raw"), Name(LAKE, "old/2026-11-26"))),),
        outputs=(DatasetUse(LAKE, DAY),),
        edges=(
            DirectEdge(Name(LAKE, "raw/2026-11-26"), Name(LAKE, DAY)),
            DirectEdge(Name(LAKE, "orders/dt=2026-11-25"), Name(LAKE, DAY)),
            DirectEdge(Name(LAKE, "loop"), Name(LAKE, "loop")),
        ),
        parent_job=Name("shop", "nightly_20261126"),
        root_job=Name("shop", "all"),
    )
    changed = NameRules().apply(given)
    assert changed.inputs[0].aliases == (Name(LAKE, "old"),)
    assert changed.edges == (
        DirectEdge(Name(LAKE, "raw"), Name(LAKE, "orders")),
        DirectEdge(Name(LAKE, "loop"), Name(LAKE, "loop")),  # what was no edge between parts stays
    )
    assert (changed.parent_job, changed.root_job) == (Name("shop", "nightly_{date}"), Name("shop", "all"))


@pytest.mark.parametrize(
    ("lifecycle", "becomes"),
    [(Lifecycle.CREATE, Lifecycle.NONE), (Lifecycle.OVERWRITE, Lifecycle.NONE), (Lifecycle.TRUNCATE, Lifecycle.NONE),
     (Lifecycle.ALTER, Lifecycle.ALTER)],
)  # fmt: skip
def test_what_is_done_to_a_part_is_not_done_to_the_dataset(lifecycle: Lifecycle, becomes: Lifecycle) -> None:
    (use,) = NameRules().apply(event(outputs=(DatasetUse(LAKE, DAY, lifecycle=lifecycle),))).outputs
    assert (use.name, use.lifecycle) == ("orders", becomes)
    whole = event(outputs=(DatasetUse(LAKE, "orders", lifecycle=lifecycle),))
    assert NameRules().apply(whole) is whole


def test_a_part_that_is_dropped_drops_nothing_and_writes_nothing() -> None:
    dropped = DatasetUse(LAKE, DAY, lifecycle=Lifecycle.DROP)
    kept = DatasetUse(LAKE, "log", measures=(Measure(rows=1),))
    assert NameRules().apply(event(outputs=(dropped, kept))).outputs == (kept,)
    alone = NameRules().apply(event(job=Name("", ""), run_id=bytes(16), outputs=(dropped,)))
    assert alone.outputs == (DatasetUse(LAKE, "orders", lifecycle=Lifecycle.ALTER),)
    assert orjson.loads(alone.facets or b"")["dataset"][0]["facets"]["headwater_names"]["datasets"]


def test_a_folder_that_is_renamed_into_its_place_is_a_write() -> None:
    moved = DatasetUse(LAKE, "orders", lifecycle=Lifecycle.RENAME, previous=Name(LAKE, "tmp/run_20261126"))
    (use,) = NameRules().apply(event(outputs=(moved,))).outputs
    assert (use.lifecycle, use.previous) == (Lifecycle.NONE, None)
    table = DatasetUse(LAKE, "orders", lifecycle=Lifecycle.RENAME, previous=Name(LAKE, "ordres"))
    (use,) = NameRules().apply(event(outputs=(table,))).outputs
    assert (use.lifecycle, use.previous) == (Lifecycle.RENAME, Name(LAKE, "ordres"))


def test_topics_of_a_known_cluster_are_joined_by_its_id_and_others_are_not() -> None:
    given = event(
        inputs=(DatasetUse("kafka://B1:9092,b2", "orders"), DatasetUse("kafka://elsewhere:9092", "orders")),
        outputs=(DatasetUse("postgres://b1:9092", "orders"),),
    )
    changed = NameRules(book=reached("b1:9092")).apply(given)
    assert changed.inputs[0].aliases == (Name(f"kafka-cluster://{ID}", "orders"),)
    assert (changed.inputs[1], changed.outputs) == (given.inputs[1], given.outputs)
    assert changed.facets is None  # nothing was renamed


def test_a_cluster_that_is_learned_later_counts_from_then_on() -> None:
    book = ClusterBook()
    rules = NameRules(book=book)
    given = event(inputs=(DatasetUse("kafka://b1:9092", "orders"),))
    assert rules.apply(given) is given
    before = rules.version
    book.learn(Cluster(ID, frozenset({"b1:9092"})))
    assert rules.version != before
    assert rules.apply(given).inputs[0].aliases


def test_a_door_in_an_environment_marks_all_that_is_its_own() -> None:
    rules = NameRules(namespaces=Namespaces(environment="staging"), book=reached("b1:9092"))
    given = event(
        inputs=(DatasetUse("kafka://b1:9092", "orders"),),
        outputs=(DatasetUse(LAKE, "orders"), DatasetUse("postgres://db:5432", "shop.public.orders")),
        parent_job=Name("shop", "nightly"),
        emitter="openlineage:github.com/acme/etl/shop",
    )
    changed = rules.apply(given)
    assert changed.job == Name("staging+shop", "load")
    assert changed.parent_job == Name("staging+shop", "nightly")
    assert changed.inputs == (
        DatasetUse("kafka://staging+b1:9092", "orders", aliases=(Name(f"kafka-cluster://{ID}", "orders"),)),
    )
    assert [use.namespace for use in changed.outputs] == [LAKE, "postgres://staging+db:5432"]
    assert changed.emitter == "openlineage:github.com/acme/etl/staging+shop"
    assert rules.apply(changed) == changed


def test_who_speaks_is_named_by_the_names_that_are_kept() -> None:
    given = event(job=Name("shop", "load-2026-11-26"), emitter="sdk:shop/load-2026-11-26")
    assert NameRules().apply(given).emitter == "sdk:shop/load-{date}"


def test_what_is_to_be_kept_is_kept() -> None:
    rules = rules_of(keep=["s3://lake/census_*", "shop/load-*"], fold_off=["uuid"])
    given = event(job=Name("shop", "load-2026-11-26"), outputs=(DatasetUse(LAKE, "census_20200401"),))
    assert rules.apply(given) is given
    assert "uuid" not in rules.folding.rules


def test_a_rule_that_there_is_not_is_told_with_its_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        rules_of(fold=["dates"])
    assert caught.value.remedy == "did you mean date?"


def test_a_folded_event_becomes_a_document_with_its_facets_again() -> None:
    document = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-26T12:00:00Z",
        "producer": "https://acme.com/etl",
        "run": {"runId": "0195511c-3c00-7000-8000-000000000001"},
        "job": {"namespace": "shop", "name": "load"},
        "inputs": [],
        "outputs": [{"namespace": LAKE, "name": DAY, "facets": {"ownership": {"owners": [{"name": "ann"}]}}}],
    }
    given = convert(document)
    assert not isinstance(given, Rejected)
    again = to_openlineage(NameRules().apply(given))
    (output,) = again["outputs"]
    assert output["name"] == "orders"
    assert output["facets"]["ownership"] == {"owners": [{"name": "ann"}]}
    assert again["run"]["facets"]["headwater_names"]["datasets"][0]["said"]["name"] == DAY


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.doors.rules.MOST_REMEMBERED", 10)
    rules = NameRules(folding=Folding())
    for number in range(50):
        rules.apply(event(job=Name("shop", f"j{number}"), outputs=(DatasetUse(LAKE, f"d{number}"),)))
    assert len(rules._view.datasets) <= 10
    assert len(rules._jobs) <= 10
