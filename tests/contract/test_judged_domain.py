"""What a whole worker judges of events, in virtual time on a Redis in memory: facts are read, classes merged, looks taken."""

from __future__ import annotations

import pytest
from tests.support.days.domain import MINUTE_US, Domain
from tests.support.days.shop import INSIDE, OUTSIDE, door_rules, observed_group

from headwater_processor.core.judge_settings import DAY_US, HOUR_US, JudgeSettings
from headwater_processor.core.policies import compile_policies
from headwater_processor.engine.facts import INPUTS_MAX
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.deltas import FreshnessState
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name, Processing
from headwater_schemas.policies import Criticality, Policy

T0 = 1_780_000_000_000_000 // DAY_US * DAY_US
OLD = JudgeSettings(born_us=T0 - 9 * DAY_US)
KAFKA = f"kafka://{INSIDE}"
LAKE = "s3://lake"


@pytest.fixture
def domain() -> Domain:
    """A domain whose first day is over."""
    return Domain(T0, OLD)


class Speaker:
    """Makes events, each with an id of its own; `reached`: by a door that has reached the cluster and knows its id."""

    def __init__(self) -> None:
        self.said = 0
        self.rules = door_rules()

    def __call__(
        self,
        job: str,
        at_us: int,
        *,
        reads: tuple[Name, ...] = (),
        writes: tuple[Name, ...] = (),
        kind: EventType = EventType.COMPLETE,
        run: int = 0,
        emitter: str = "",
        reached: bool = False,
        streaming: bool = False,
    ) -> LineageEvent:
        self.said += 1
        rows = (Measure(rows=1),) if kind is EventType.RUNNING else ()

        def use(name: Name, measures: tuple[Measure, ...] = ()) -> DatasetUse:
            return DatasetUse(name.namespace, name.name, measures=measures)

        event = LineageEvent(
            event_id=self.said.to_bytes(16, "big"),
            event_time_us=at_us,
            event_type=kind,
            run_id=(run or self.said).to_bytes(16, "big"),
            job=Name("k8s://shop", job) if job else Name("", ""),
            inputs=tuple(use(name) for name in reads),
            outputs=tuple(use(name, rows) for name in writes),
            processing=Processing.STREAMING if streaming else Processing.UNKNOWN,
            emitter=emitter or f"sdk:{job}",
        )
        return self.rules.apply(event) if reached else event


@pytest.fixture
def say() -> Speaker:
    return Speaker()


def kinds(alerts: list[Alert]) -> list[tuple[str, str, AlertState]]:
    return sorted((alert.kind, alert.name, alert.state) for alert in alerts)


def topic(name: str, servers: str = KAFKA) -> Name:
    return Name(servers, name)


def test_a_topic_with_an_observed_group_is_read_and_its_group_is_no_loose_end(domain: Domain, say: Speaker) -> None:
    orders, alone = topic("orders"), topic("alone")
    domain.say([say("shop", T0, reads=(Name("postgres://db:5432", "a.b.c"),), writes=(orders, alone))])
    domain.say([observed_group("billing", ["orders"], T0)])
    said = domain.until(T0 + MINUTE_US) + domain.until(T0 + 2 * DAY_US)
    assert kinds(said) == [("WrittenNeverRead", "alone", AlertState.FIRING)]
    assert (domain.status(orders).unlinked, domain.status(alone).unlinked) == ("", "written-never-read")
    (group,) = [job for job in domain.reader().jobs() if job.name == Name(KAFKA, "group/billing")]
    assert (group.unlinked, group.emitter) == ("", f"discover:{KAFKA}")


def test_an_instrumented_job_beside_the_observed_group_stands_too(domain: Domain, say: Speaker) -> None:
    orders, bills = topic("orders"), topic("bills")
    domain.say([say("shop", T0, reads=(bills,), writes=(orders,)), observed_group("billing", ["orders"], T0)])
    domain.say([say("billing", T0 + 1, reads=(orders,), writes=(bills,))])
    assert domain.until(T0 + MINUTE_US) + domain.until(T0 + 2 * DAY_US) == []
    assert {str(job.name) for job in domain.reader().jobs()} == {
        "k8s://shop/shop", "k8s://shop/billing", f"{KAFKA}/group/billing",
    }  # fmt: skip


def test_two_lists_of_bootstrap_servers_of_one_cluster_name_one_topic(domain: Domain, say: Speaker) -> None:
    inside, outside = topic("orders"), topic("orders", f"kafka://{OUTSIDE}")
    source, mart = Name("postgres://db:5432", "a.b.c"), Name(LAKE, "mart")
    domain.say([say("shop", T0, reads=(source,), writes=(inside,), reached=True)])
    domain.until(T0 + MINUTE_US)
    domain.say([say("billing", T0 + HOUR_US, reads=(outside,), writes=(mart,), reached=True)])
    assert domain.until(T0 + 2 * HOUR_US) + domain.until(T0 + 3 * DAY_US) == []
    assert domain.status(inside).unlinked == domain.status(outside).unlinked == ""


def test_a_loose_topic_is_none_any_more_when_it_is_read_by_its_other_name(domain: Domain, say: Speaker) -> None:
    inside, outside = topic("orders"), topic("orders", f"kafka://{OUTSIDE}")
    domain.say([say("shop", T0, reads=(Name("postgres://db:5432", "a.b.c"),), writes=(inside,), reached=True)])
    domain.until(T0 + MINUTE_US)
    assert kinds(domain.until(T0 + 2 * DAY_US)) == [("WrittenNeverRead", "orders", AlertState.FIRING)]
    read_us = T0 + 2 * DAY_US + MINUTE_US
    domain.say([say("billing", read_us, reads=(outside,), writes=(Name(LAKE, "mart"),), reached=True)])
    said = domain.until(read_us + MINUTE_US) + domain.until(read_us + HOUR_US + MINUTE_US)
    assert kinds(said) == [("WrittenNeverRead", "orders", AlertState.RESOLVED)]
    assert domain.status(inside).unlinked == domain.status(outside).unlinked == ""


@pytest.mark.parametrize("written", [INSIDE, OUTSIDE])
def test_whichever_of_two_names_is_written_the_class_is_stale_once_and_well_again(say: Speaker, written: str) -> None:
    target = Policy("topics", "kafka://*", "orders", max_age_ms=3_600_000, criticality=Criticality.HIGH)
    domain = Domain(T0, OLD, compile_policies([target], 1))
    (read,) = {INSIDE, OUTSIDE} - {written}
    reads, writes = topic("orders", f"kafka://{read}"), topic("orders", f"kafka://{written}")
    domain.say([say("shop", T0, reads=(topic("clicks"),), writes=(writes,), reached=True)])
    domain.say([say("billing", T0, reads=(reads,), writes=(Name(LAKE, "mart"),), reached=True)])
    domain.until(T0 + MINUTE_US)
    (fired,) = [a for a in domain.until(T0 + HOUR_US + MINUTE_US) if a.kind == "DatasetStale"]
    assert (fired.severity, fired.state) == (Severity.PAGE, AlertState.FIRING)
    domain.say([say("shop", T0 + HOUR_US + 5 * MINUTE_US, reads=(topic("clicks"),), writes=(writes,), reached=True)])
    said = domain.until(T0 + HOUR_US + 6 * MINUTE_US) + domain.until(T0 + HOUR_US + 8 * MINUTE_US)
    (resolved,) = [a for a in said if a.kind == "DatasetStale"]
    assert (resolved.state, resolved.incident_id) == (AlertState.RESOLVED, fired.incident_id)
    assert domain.status(reads).state is domain.status(writes).state is FreshnessState.FRESH


def test_sources_and_leaves_have_a_kind_and_no_alert_and_a_mistyped_table_is_told(domain: Domain, say: Speaker) -> None:
    source, mart = Name("postgres://db:5432", "shop.public.orders"), Name(LAKE, "marts/orders_daily")
    mistyped = Name(LAKE, "marts/orders_dayly")
    domain.say([say("load", T0, reads=(source,), writes=(mart,)), say("report", T0, reads=(mistyped,))])
    domain.until(T0 + MINUTE_US)
    said = [alert for alert in domain.until(T0 + 2 * DAY_US) if alert.subject_kind == "dataset"]
    assert kinds(said) == [("ReadNeverWritten", mistyped.name, AlertState.FIRING)]
    assert said[0].candidates == (str(mart),)
    assert [(domain.status(name).kind, domain.status(name).unlinked) for name in (source, mart, mistyped)] == [
        ("source", ""), ("leaf", ""), ("", "read-never-written"),
    ]  # fmt: skip
    found = domain.reader().dataset(source)
    assert (found.kind, found.unlinked) == ("source", "")


def test_a_source_that_gets_a_writer_is_none_any_more(domain: Domain, say: Speaker) -> None:
    table = Name("postgres://db:5432", "shop.public.orders")
    domain.say([say("load", T0, reads=(table,), writes=(Name(LAKE, "mart"),))])
    domain.until(T0 + 2 * HOUR_US)
    assert domain.status(table).kind == "source"
    domain.say([say("shop", T0 + 3 * HOUR_US, reads=(topic("clicks"),), writes=(table,), kind=EventType.START)])
    domain.until(T0 + 3 * HOUR_US + MINUTE_US)
    assert domain.status(table).kind == ""


# --- what comes after what is silent ----------------------------------------------------------------------------------


def pipeline(domain: Domain, say: Speaker, until_us: int, *, dead: frozenset[str] = frozenset()) -> list[Alert]:
    """A topic, made into a mart, made into a report, every ten minutes; jobs that are dead say nothing."""
    steps = (
        ("produce", (), topic("clicks")),
        ("build", (topic("clicks"),), Name(LAKE, "mart")),
        ("report", (Name(LAKE, "mart"),), Name("snowflake://acme", "REPORT")),
    )
    said: list[Alert] = []
    now_us = domain.redis.now_us // (10 * MINUTE_US) * 10 * MINUTE_US
    while now_us < until_us:
        now_us += 10 * MINUTE_US
        for run, (job, reads, writes) in enumerate(steps, 1):
            if job not in dead:
                domain.say(
                    [say(job, now_us, reads=reads, writes=(writes,), kind=EventType.RUNNING, run=run, streaming=True)]
                )
        said += domain.until(now_us + MINUTE_US)
    return [alert for alert in said if alert.kind not in ("JobWithoutInputs", "RunNeverEnded")]


def quiet(domain: Domain, say: Speaker) -> Domain:
    """Two days on which all goes well."""
    assert pipeline(domain, say, T0 + 2 * DAY_US) == []
    return domain


def test_what_comes_after_a_silence_is_idle_and_only_its_beginning_is_told(domain: Domain, say: Speaker) -> None:
    quiet(domain, say)
    # All three are silent from now on: the jobs after the first have nothing to do, and do not say so.
    said = pipeline(domain, say, T0 + 3 * DAY_US, dead=frozenset({"produce", "build", "report"}))
    assert kinds(said) == [("DatasetStale", "clicks", AlertState.FIRING)]
    mart = domain.status(Name(LAKE, "mart"))
    assert mart.state is FreshnessState.IDLE
    assert mart.reason == f"nothing was there to be made of: clicks ({KAFKA}) was not written since"
    assert domain.status(Name("snowflake://acme", "REPORT")).state is FreshnessState.IDLE
    back = pipeline(domain, say, T0 + 3 * DAY_US + HOUR_US)
    assert kinds(back) == [("DatasetStale", "clicks", AlertState.RESOLVED)]


def test_a_job_that_dies_while_there_is_work_is_told_and_what_comes_after_it_is_not(
    domain: Domain, say: Speaker
) -> None:
    quiet(domain, say)
    said = pipeline(domain, say, T0 + 3 * DAY_US, dead=frozenset({"build", "report"}))
    assert kinds(said) == [("DatasetStale", "mart", AlertState.FIRING)]
    assert domain.status(Name("snowflake://acme", "REPORT")).state is FreshnessState.IDLE


def test_what_feeds_itself_explains_nothing(domain: Domain, say: Speaker) -> None:
    domain.say([say("feedback", T0, reads=(Name("snowflake://acme", "REPORT"),), writes=(topic("clicks"),))])
    quiet(domain, say)
    said = pipeline(domain, say, T0 + 3 * DAY_US, dead=frozenset({"produce", "build", "report"}))
    assert {alert.name for alert in said if alert.state is AlertState.FIRING} == {"clicks", "mart", "REPORT"}


@pytest.mark.parametrize(("inputs", "told"), [(INPUTS_MAX, {"clicks"}), (INPUTS_MAX + 1, {"clicks", "mart", "REPORT"})])
def test_more_inputs_than_are_looked_at_explain_nothing(
    domain: Domain, say: Speaker, inputs: int, told: set[str]
) -> None:
    more = tuple(Name(LAKE, f"more/{chr(97 + n // 26)}{chr(97 + n % 26)}") for n in range(inputs - 1))
    domain.say([say("fill", T0, reads=(topic("clicks"),), writes=more)])
    domain.say([say("build", T0, reads=(topic("clicks"), *more), writes=(Name(LAKE, "mart"),))])
    quiet(domain, say)
    said = pipeline(domain, say, T0 + 3 * DAY_US, dead=frozenset({"produce", "build", "report"}))
    assert {alert.name for alert in said} == told


def test_a_pod_that_was_killed_is_told_until_its_successor_begins(domain: Domain, say: Speaker) -> None:
    reads, writes = (topic("clicks"),), (Name(LAKE, "mart"),)
    domain.say([say("build", T0, reads=reads, writes=writes, kind=EventType.START, run=1, streaming=True)])
    domain.until(T0 + MINUTE_US)
    assert ("RunNeverEnded", "build", AlertState.FIRING) in kinds(domain.until(T0 + 8 * HOUR_US))
    again_us = T0 + 9 * HOUR_US
    domain.say([say("build", again_us, reads=reads, writes=writes, kind=EventType.START, run=2, streaming=True)])
    said = domain.until(again_us + MINUTE_US) + domain.until(again_us + 2 * MINUTE_US)
    assert ("RunNeverEnded", "build", AlertState.RESOLVED) in kinds(said)


# --- names without end ------------------------------------------------------------------------------------------------


def dated(domain: Domain, say: Speaker, hours: range, per_hour: int) -> list[Alert]:
    said: list[Alert] = []
    for hour in hours:
        for part in range(6):
            at_us = T0 + hour * HOUR_US + part * 10 * MINUTE_US
            names = [Name(LAKE, f"exports/{at_us + n}/part") for n in range(per_hour // 6)]
            domain.say(
                [say("export", at_us, reads=(topic("clicks"),), writes=tuple(names), emitter="openlineage:spark/etl")]
            )
            said += domain.until(at_us + MINUTE_US)
    return [alert for alert in said if alert.kind == "NodeGrowth"]


def test_an_emitter_whose_names_have_times_in_them_is_one_ticket_until_it_ends(domain: Domain, say: Speaker) -> None:
    (fired,) = dated(domain, say, range(4), 120)
    assert (fired.state, fired.name, fired.subject_kind) == (AlertState.FIRING, "openlineage:spark/etl", "emitter")
    assert "120 new names in an hour, and such in the hour before: exports/*/part." in fired.summary
    assert "exports/17" in fired.reason
    (resolved,) = dated(domain, say, range(4, 8), 12)
    assert (resolved.state, resolved.incident_id) == (AlertState.RESOLVED, fired.incident_id)


def test_many_tables_on_the_first_look_are_no_growth(domain: Domain, say: Speaker) -> None:
    tables = tuple(Name("postgres://db:5432", f"shop.public.customer_{n:04}") for n in range(600))
    for first in range(0, 600, 100):
        domain.say([say("copy", T0, reads=tables[first : first + 100], writes=(Name(LAKE, "all"),))])
    said = [alert for hour in range(6) for alert in domain.until(T0 + hour * HOUR_US + MINUTE_US)]
    assert [alert.kind for alert in said if alert.kind == "NodeGrowth"] == []
