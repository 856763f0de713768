"""Rules for names: applied twice they are applied once, and what they do to an event does not depend on who did it before."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.doors.clusters import Cluster, ClusterBook
from headwater.doors.folding import RULES, Folding
from headwater.doors.namespaces import Namespaces
from headwater.doors.rules import NameRules
from headwater.validation import check
from headwater_schemas.codec import encode_single_object
from headwater_schemas.events import DatasetUse, DirectEdge, EventType, Lifecycle, LineageEvent, Measure, Name

UUID = "5f0f1c0e-6a77-5a39-9f6e-3d0d6b1f7c11"
PIECES = st.sampled_from(
    [
        *("2026", "11", "26", "2026-11-26", "20261126", "2026/11/26", "13", "T130000Z", "2026-11", "202611", "W48"),
        *("_", "-", ".", "+", "/", "//", "=", "{", "}", "$", "dt=", "year=2026", "{date}", ".csv"),
        *("orders", "tmp", "tenant", "part-00001", "_SUCCESS", "1764163200000", "application_1764163200000_0042"),
        *(UUID, UUID.replace("-", "_"), UUID.replace("-", ""), "6d9c7b5f84-n7rgn"),
    ]
)
NAMES = st.lists(PIECES, min_size=1, max_size=9).map("".join) | st.text(min_size=1, max_size=20)
NAMESPACES = st.sampled_from(
    [
        *("s3://lake", "kafka://b1:9092", "kafka://B2,b1:9092", "postgresql://db:5432", "bigquery", "file", "shop"),
        *("k8s://shop", "postgres://staging+db:5432", "staging+shop", "https://api.acme.com/x", "a://b"),
    ]
)
FOLDINGS = st.lists(st.sampled_from(RULES), unique=True).map(Folding)


def names() -> st.SearchStrategy[Name]:
    return st.builds(Name, NAMESPACES, NAMES)


def uses() -> st.SearchStrategy[tuple[DatasetUse, ...]]:
    lifecycles = st.sampled_from(Lifecycle)
    one: Any = st.builds(
        lambda name, aliases, lifecycle, previous, rows: DatasetUse(
            name.namespace, name.name, "", tuple(aliases), lifecycle,
            previous if lifecycle is Lifecycle.RENAME else None, (Measure(rows=rows),),
        ),
        names(), st.lists(names(), max_size=2), lifecycles, names(), st.integers(0, 9),
    )  # fmt: skip
    return st.lists(one, max_size=4).map(tuple)


@st.composite
def events(draw: st.DrawFn) -> LineageEvent:
    return LineageEvent(
        event_id=b"i" * 16,
        event_time_us=1_790_000_000_000_000,
        event_type=EventType.COMPLETE,
        run_id=b"r" * 16,
        job=draw(names()),
        inputs=draw(uses()),
        outputs=draw(uses()),
        edges=tuple(draw(st.lists(st.builds(DirectEdge, names(), names()), max_size=2))),
        parent_job=draw(st.none() | names()),
        emitter=draw(st.sampled_from(["", "cdc:shop", "openlineage:x/shop"])),
        facets=draw(st.sampled_from([None, b"{}", b"[]", b"\xff", b'{"run": 5, "inputs": [7, {"name": 3}]}'])),
    )


def rules(environment: str = "", folding: Folding | None = None) -> NameRules:
    book = ClusterBook()
    book.learn(Cluster("x2Xk0p7bSTuNpzlXpAg2Qw", frozenset({"b1:9092"})))
    given = {"a://*": "s3://a", "file": "file://staging"}
    return NameRules(namespaces=Namespaces(given, environment), folding=folding, book=book)


@settings(max_examples=400, deadline=None)
@given(NAMES, FOLDINGS)
@example("$2026", Folding())
@example("a$2026$2026", Folding())
@example("a$2026/dt=1", Folding())
def test_folding_what_was_folded_changes_nothing_and_leaves_a_name(name: str, folding: Folding) -> None:
    for fold in (
        lambda text: folding.dataset("bigquery", text),
        lambda text: folding.dataset("s3://x", text),
        folding.job,
    ):
        folded = fold(name)
        assert fold(folded) == folded
        assert folded.strip("/") or not name.strip("/")


@settings(max_examples=300, deadline=None)
@given(events(), st.sampled_from(["", "staging"]), FOLDINGS)
def test_a_second_door_with_the_same_rules_changes_nothing(
    event: LineageEvent, environment: str, folding: Folding
) -> None:
    first = rules(environment, folding).apply(event)
    again = rules(environment, folding)
    assert again.apply(first) == first
    assert again.apply(again.apply(event)) == first  # nor does what is remembered


@settings(max_examples=200, deadline=None)
@given(events())
def test_an_event_that_may_travel_may_travel_under_its_new_names(event: LineageEvent) -> None:
    check(event)
    changed = rules("staging").apply(event)
    check(changed)
    encode_single_object(changed)
    assert sum(len(use.measures) for use in (*changed.inputs, *changed.outputs)) <= sum(
        len(use.measures) for use in (*event.inputs, *event.outputs)
    )
    assert (changed.event_id, changed.event_time_us, changed.run_id) == (
        event.event_id,
        event.event_time_us,
        event.run_id,
    )
