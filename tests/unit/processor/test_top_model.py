"""The living view's memory: what it makes of a snapshot and of what was said since."""

from __future__ import annotations

import threading

from headwater_processor.core.judge_settings import when
from headwater_processor.local.top.feed import MOST, Mailbox
from headwater_processor.local.top.model import Figures, Model, News, Note, Reach, Row, Snapshot, Written, key_of
from headwater_processor.local.top.wishes import Wishes
from headwater_processor.state.values import AlertState as Machine
from headwater_processor.state.values import DatasetState
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.deltas import Aspect, DatasetCore, Entity, Freshness, FreshnessState, GraphDelta, Status
from headwater_schemas.events import Name

S = 1_000_000
T = 1_790_000_000 * S
ORDERS = Name("kafka://b", "orders")


def said(last_write_us: int, allowed_us: int) -> str:
    """The reason of a status, as the judge words it."""
    return f"last write {when(last_write_us)}, allowed age x (policy orders (eu)), so due by {when(last_write_us + allowed_us)}"


def fresh(name: Name = ORDERS, *, last_write_us: int = T, allowed_us: int = 60 * S, owner: str = "") -> DatasetState:
    return DatasetState(
        name,
        True,
        state="FRESH",
        reason=said(last_write_us, allowed_us),
        last_write_us=last_write_us,
        deadline_us=last_write_us + allowed_us,
        owner=owner,
    )


def delta(
    aspect: Aspect, version: int, *, present: bool = True, entity: Entity = Entity.DATASET, **parts: object
) -> GraphDelta:
    return GraphDelta(
        "k",
        version,
        entity,
        aspect,
        present,
        T,
        namespace=ORDERS.namespace,
        name=ORDERS.name,
        **parts,  # type: ignore[arg-type]  # one of the aspects
    )


def alert(state: AlertState, alert_id: str = "a1", kind: str = "DatasetStale") -> Alert:
    return Alert(alert_id, "f", "i", kind, state, Severity.PAGE, "dataset", "kafka://b", "orders", since_us=T)


def model_of(*news: News) -> Model:
    model = Model()
    model.take(news)
    return model


def row_of(model: Model) -> Row:
    return model.rows[key_of(ORDERS)]


def test_a_write_moves_the_deadline_though_the_status_is_not_said_again() -> None:
    model = model_of(Snapshot([fresh()]))
    assert row_of(model).deadline_us == T + 60 * S
    model.take([Written(key_of(ORDERS), 5, T + 40 * S, 0)])
    assert row_of(model).deadline_us == T + 100 * S
    assert row_of(model).last_write_us == T + 40 * S


def test_what_a_reader_saw_as_idle_moves_the_deadline_too() -> None:
    model = model_of(Snapshot([fresh()]), Written(key_of(ORDERS), 5, T, T + 30 * S))
    assert row_of(model).deadline_us == T + 90 * S


def test_the_deadline_of_what_is_stale_stands_still() -> None:
    stale = Status(FreshnessState.STALE, said(T, 60 * S), T, T + 60 * S)
    model = model_of(
        Snapshot([fresh()]), delta(Aspect.STATUS, 9, status=stale), Written(key_of(ORDERS), 5, T + 70 * S, 0)
    )
    assert row_of(model).state == "STALE"
    assert row_of(model).deadline_us == T + 60 * S


def test_an_older_image_changes_nothing() -> None:
    model = model_of(
        Snapshot([fresh()]), Written(key_of(ORDERS), 5, T + 9 * S, 0), Written(key_of(ORDERS), 4, T + 1 * S, 0)
    )
    assert row_of(model).last_write_us == T + 9 * S
    new, old = Status(FreshnessState.LATE), Status(FreshnessState.FRESH)
    model.take([delta(Aspect.STATUS, 7, status=new), delta(Aspect.STATUS, 6, status=old)])
    assert row_of(model).state == "LATE"


def test_a_dataset_that_is_new_appears_and_one_that_was_dropped_goes() -> None:
    model = model_of(Snapshot(), delta(Aspect.CORE, 1, dataset=DatasetCore()))
    assert [row.name for row in Wishes().of(model.rows.values())] == [str(ORDERS)]
    model.take([delta(Aspect.CORE, 2, present=False, dataset=DatasetCore())])
    assert Wishes().of(model.rows.values()) == []
    assert [row.present for row in Wishes().filtered("orders").of(model.rows.values())] == [False]


def test_a_freshness_image_that_was_decoded_whole_says_the_same_as_its_times() -> None:
    whole = model_of(Snapshot([fresh()]), delta(Aspect.FRESHNESS, 5, freshness=Freshness(T + S, 0, 0, T + 2 * S)))
    times = model_of(Snapshot([fresh()]), Written(key_of(ORDERS), 5, T + S, T + 2 * S))
    assert row_of(whole) == row_of(times)


def test_worst_first_is_overdue_then_by_time_to_breach_then_what_cannot_be_judged() -> None:
    def named(name: str, state: str, deadline_us: int) -> DatasetState:
        return DatasetState(Name("n", name), True, state=state, deadline_us=deadline_us)

    states = [
        named("unknown", "UNKNOWN", 0),
        named("later", "FRESH", T + 90 * S),
        named("sooner", "FRESH", T + 30 * S),
        named("late", "LATE", T - 9 * S),
        named("stale-long", "STALE", T - 99 * S),
        named("stale", "STALE", T - 5 * S),
        named("silent", "NO_DATA", T - 9 * S),
    ]
    rows = Wishes().of(model_of(Snapshot(states)).rows.values())
    assert [row.name[2:] for row in rows] == ["stale-long", "stale", "silent", "late", "sooner", "later", "unknown"]


def test_all_words_of_a_filter_must_fit_whatever_the_case() -> None:
    model = model_of(Snapshot([fresh(owner="Team-Shop"), fresh(Name("s3://l", "orders"))]))
    assert [row.name for row in Wishes().filtered("ORDERS shop").of(model.rows.values())] == [str(ORDERS)]
    assert len(Wishes().filtered("fresh").of(model.rows.values())) == 2


def test_orders_follow_each_other_in_a_circle() -> None:
    wishes, seen = Wishes(), list[str]()
    for _ in range(5):
        seen.append(wishes.sort)
        wishes = wishes.sorted_next()
    assert seen == ["worst first", "last write", "name", "owner", "worst first"]


def test_loose_ends_come_with_what_was_meant_first_and_jobs_among_them() -> None:
    loose = DatasetState(Name("n", "b"), True, unlinked="read-never-written")
    meant = DatasetState(Name("n", "z"), True, unlinked="read-never-written", candidates=("n/zz",))
    model = model_of(Snapshot([loose, meant, fresh()], {"k8s/job": "job-unlinked"}))
    assert [one.name for one in model.loose()] == ["n/z", "n/b", "k8s/job"]
    linked = Status(unlinked="")
    model.take([GraphDelta("k", 1, Entity.JOB, Aspect.STATUS, True, T, namespace="k8s", name="job", status=linked)])
    assert [one.name for one in model.loose()] == ["n/z", "n/b"]


def test_a_source_is_no_loose_end_and_is_found_by_what_it_is() -> None:
    model = model_of(Snapshot([DatasetState(Name("n", "b"), True, kind="source"), fresh()]))
    assert model.loose() == []
    assert [row.name for row in Wishes().filtered("source").of(model.rows.values())] == ["n/b"]
    now = Status(kind="leaf")
    model.take([GraphDelta("k", 9, Entity.DATASET, Aspect.STATUS, True, T, namespace="n", name="b", status=now)])
    assert Wishes().filtered("source").of(model.rows.values()) == []


def test_an_incident_opens_and_ends_and_each_copy_is_told_once() -> None:
    model = model_of(alert(AlertState.FIRING), alert(AlertState.FIRING))
    assert [one.kind for one in model.alerts_firing()] == ["DatasetStale"]
    model.take([alert(AlertState.RESOLVED, "a2")])
    assert model.alerts_firing() == []
    assert len(model.log) == 2


def test_the_watchdog_is_no_news() -> None:
    assert not model_of(alert(AlertState.FIRING, kind="Watchdog")).log


def test_what_was_said_of_an_incident_outlives_a_snapshot_that_knows_only_its_machine() -> None:
    machine = Machine("f", "DatasetStale", "FIRING", "dataset", ORDERS, T, T, "i")
    model = model_of(alert(AlertState.FIRING), Snapshot(alerts=[machine]))
    assert [one.alert for one in model.alerts_firing()] == [alert(AlertState.FIRING)]


def test_an_incident_that_ended_while_the_snapshot_was_read_is_over() -> None:
    machine = Machine("f", "DatasetStale", "FIRING", "dataset", ORDERS, T, T, "i")
    over = alert(AlertState.RESOLVED, "a2")
    assert model_of(over, Snapshot(alerts=[machine]), over).alerts_firing() == []


def test_a_snapshot_replaces_what_was_known() -> None:
    model = model_of(Snapshot([fresh()], {"j": "job-unlinked"}), Snapshot())
    assert not model.rows
    assert not model.loose()


def test_the_rate_is_of_the_last_two_looks_and_unknown_when_counters_went_back() -> None:
    model = model_of(Figures(T, events=100), Figures(T + 2 * S, events=300))
    assert model.rate == 100.0
    model = model_of(Figures(T, events=100), Figures(T + 2 * S, events=300), Figures(T + 3 * S, events=10))
    assert model.rate is None
    model.take([Figures(T + 4 * S, events=15)])
    assert list(model.rates) == [100.0, 5.0]


def test_a_service_is_away_until_it_answers() -> None:
    model = model_of(Reach("Kafka", T, "connection refused"))
    assert model.away["Kafka"].since_us == T
    model.take([Reach("Kafka")])
    assert not model.away


def test_what_came_while_a_snapshot_was_read_counts_as_newer() -> None:
    mailbox = Mailbox(threading.Event())
    mailbox.begin_snapshot()
    mailbox.put([Written(key_of(ORDERS), 5, T + 9 * S, 0)])
    mailbox.end_snapshot(Snapshot([fresh()]))
    assert row_of(model_of(*mailbox.empty())).last_write_us == T + 9 * S
    assert mailbox.empty() == []


def test_a_view_that_takes_nothing_costs_no_more_memory_and_gets_a_snapshot_instead() -> None:
    wanted = threading.Event()
    mailbox = Mailbox(wanted)
    mailbox.put([Note(T, "kept")])
    mailbox.put([Written(key_of(ORDERS), at, T, 0) for at in range(MOST)])
    assert wanted.is_set()
    assert mailbox.empty() == [Note(T, "kept")]


def test_the_owner_that_producers_state_is_shown_until_a_policy_names_one() -> None:
    model = model_of(Snapshot([fresh()]), delta(Aspect.ABOUT, 3, about='{"owners":["team:a"]}'))
    assert row_of(model).owner == "team:a"
    model.take([delta(Aspect.STATUS, 4, status=Status(FreshnessState.FRESH))])
    assert row_of(model).owner == "team:a"
    model.take([delta(Aspect.STATUS, 5, status=Status(FreshnessState.FRESH, owner="shop"))])
    model.take([delta(Aspect.ABOUT, 6, about='{"owners":["team:b"]}'), delta(Aspect.ABOUT, 2, about="{}")])
    assert row_of(model).owner == "shop"
    model.take([delta(Aspect.STATUS, 7, status=Status(FreshnessState.FRESH))])
    assert row_of(model).owner == "team:b"
