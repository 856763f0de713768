"""From facts to status, alerts and the next look: what a person on call gets to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from headwater_processor.core import cadence
from headwater_processor.core.alerts import Machine, State
from headwater_processor.core.aliases import Candidates
from headwater_processor.core.desk import CANDIDATES, DOWNSTREAM, Judgement
from headwater_processor.core.freshness import DatasetFacts, merge_class
from headwater_processor.core.judge import (
    LOOK_AT_LOOSE_US,
    LOOK_AT_SOURCES_US,
    EmitterFacts,
    judge_dataset,
    judge_emitter,
    judge_job,
    judge_run_lost,
)
from headwater_processor.core.judge_domain import judge_blind, judge_partition, watchdog
from headwater_processor.core.judge_settings import DAY_US, HOUR_US, MINUTE_US, AsOf, JudgeSettings
from headwater_processor.core.policies import PolicySet, compile_policies
from headwater_processor.core.unlinked import JobFacts, OpenRun
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.deltas import FreshnessState, Status
from headwater_schemas.events import Name
from headwater_schemas.policies import Criticality, Policy

T0 = 1_772_348_400_000_000  # 2026-03-01 07:00:00 UTC
KAFKA = "kafka://b:9092"
ORDERS = Name(KAFKA, "orders")
JOB = Name("k8s", "loader")
FACTS = DatasetFacts(
    ORDERS, first_seen_us=1, first_read_us=1, first_written_us=1, last_write_us=T0, written_by=JOB, touched_by=JOB
)
POLICY = Policy("orders", KAFKA, "orders", owner="shop", criticality=Criticality.HIGH, max_age_ms=3_600_000)
POLICIES = compile_policies([POLICY], 5)
SETTINGS = JudgeSettings()


@dataclass
class Watch:
    """Keeps machines and status between judgements, as the shard does."""

    machines: dict[str, Machine] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    status: Status = field(default_factory=Status)
    next_look_us: int = 0

    def take(self, judgement: Judgement) -> Watch:
        for key, machine in judgement.machines.items():
            if machine is None:
                self.machines.pop(key, None)
            else:
                self.machines[key] = machine
        self.alerts += judgement.alerts
        self.status = judgement.status or self.status
        self.next_look_us = judgement.next_look_us
        return self

    def dataset(
        self,
        facts: DatasetFacts,
        as_of: AsOf,
        policies: PolicySet = POLICIES,
        candidates: Candidates | None = None,
        settings: JudgeSettings = SETTINGS,
    ) -> Watch:
        return self.take(judge_dataset(facts, policies, as_of, self.machines, settings, candidates, self.status))

    def said(self) -> list[tuple[str, AlertState]]:
        return [(alert.kind, alert.state) for alert in self.alerts]


def test_a_fresh_dataset_has_a_status_and_no_machine() -> None:
    watch = Watch().dataset(FACTS, T0 + 1)
    assert (watch.alerts, watch.machines, watch.next_look_us) == ([], {}, T0 + HOUR_US + 1)
    assert watch.status.state is FreshnessState.FRESH
    assert (watch.status.deadline_us, watch.status.owner, watch.status.policy_version) == (T0 + HOUR_US, "shop", 5)


def test_a_stale_dataset_is_told_in_words_for_somebody_who_was_woken() -> None:
    (alert,) = Watch().dataset(FACTS, T0 + 2 * HOUR_US).alerts
    assert (alert.kind, alert.state, alert.severity) == ("DatasetStale", AlertState.FIRING, Severity.PAGE)
    assert (alert.namespace, alert.name, alert.owner, alert.subject_kind) == (KAFKA, "orders", "shop", "dataset")
    assert alert.summary == "orders (kafka://b:9092) is stale: last proven write 2 h ago, allowed 1 h."
    assert alert.remedy == (
        "See who should write it: headwater trace 'kafka://b:9092/orders' --upstream --depth 3. "
        "The last proven write came from job loader (k8s)."
    )
    assert (alert.since_us, alert.deadline_us, alert.as_of_us) == (T0 + HOUR_US, T0 + HOUR_US, T0 + 2 * HOUR_US)
    assert alert.policy_version == 5


def test_late_stale_recovered_fresh_and_one_alert_with_two_ends() -> None:
    policies = compile_policies([replace(POLICY, for_ms=60_000, clear_ms=120_000)], 5)
    watch, states = Watch(), []
    written = replace(FACTS, last_write_us=T0 + 65 * MINUTE_US)
    for facts, minutes in ((FACTS, 60.5), (FACTS, 61), (written, 66), (written, 67), (written, 68)):
        watch.dataset(facts, T0 + int(minutes * MINUTE_US), policies)
        states.append(watch.status.state.value)
    assert states == ["LATE", "STALE", "RECOVERED", "RECOVERED", "FRESH"]
    assert watch.said() == [("DatasetStale", AlertState.FIRING), ("DatasetStale", AlertState.RESOLVED)]
    assert watch.alerts[0].incident_id == watch.alerts[1].incident_id
    assert watch.alerts[1].summary == "orders (kafka://b:9092) is written again at 2026-03-01 08:05:00 UTC."


def test_the_next_look_is_when_time_alone_changes_something() -> None:
    policies = compile_policies([replace(POLICY, for_ms=60_000)], 5)
    watch = Watch().dataset(FACTS, T0 + HOUR_US + 1, policies)
    assert watch.next_look_us == T0 + 61 * MINUTE_US
    assert watch.dataset(FACTS, watch.next_look_us, policies).status.state is FreshnessState.STALE


def test_since_stays_while_the_state_stays() -> None:
    watch = Watch().dataset(FACTS, T0 + 10).dataset(replace(FACTS, last_write_us=T0 + MINUTE_US), T0 + 2 * MINUTE_US)
    assert watch.status.since_us == T0 + 10
    assert watch.dataset(FACTS, T0 + 2 * HOUR_US).status.since_us == T0 + HOUR_US


@pytest.mark.parametrize(
    ("change", "policies"),
    [
        (lambda facts: replace(facts, present=False, retracted_us=T0 + HOUR_US), POLICIES),
        (lambda facts: facts, compile_policies([], 6)),
    ],
    ids=["dropped", "policy taken back"],
)
def test_what_is_not_judged_any_more_resolves(
    change: Callable[[DatasetFacts], DatasetFacts], policies: PolicySet
) -> None:
    watch = Watch().dataset(FACTS, T0 + 2 * HOUR_US).dataset(change(FACTS), T0 + 2 * HOUR_US, policies)
    assert [state for _, state in watch.said()] == [AlertState.FIRING, AlertState.RESOLVED]
    assert "not judged any more" in watch.alerts[1].summary
    assert watch.alerts[1].severity is Severity.PAGE


def test_while_as_of_is_unknown_nothing_fires_and_nothing_resolves() -> None:
    watch = Watch().dataset(FACTS, {0: T0 + 2 * HOUR_US, 1: 0})
    assert (watch.alerts, watch.machines) == ([], {})
    watch.dataset(FACTS, T0 + 2 * HOUR_US)
    watch.dataset(replace(FACTS, last_write_us=T0 + 2 * HOUR_US), {0: 0})
    assert [state for _, state in watch.said()] == [AlertState.FIRING]


def test_of_a_class_of_aliases_one_member_speaks_and_all_show_the_state() -> None:
    other = Name(KAFKA, "orders-alias")
    both = merge_class([FACTS, replace(FACTS, name=other)])
    speaker = Watch().dataset(both, T0 + 2 * HOUR_US)
    silent = Watch().dataset(replace(both, name=other), T0 + 2 * HOUR_US)
    assert speaker.said() == [("DatasetStale", AlertState.FIRING)]
    assert silent.alerts == []
    assert speaker.status.state is silent.status.state is FreshnessState.STALE


def test_an_alert_resolves_when_another_name_begins_to_speak_for_the_class() -> None:
    watch = Watch().dataset(FACTS, T0 + 2 * HOUR_US)
    watch.dataset(replace(FACTS, members=(Name(KAFKA, "a"), ORDERS)), T0 + 2 * HOUR_US + 1)
    assert [state for _, state in watch.said()] == [AlertState.FIRING, AlertState.RESOLVED]
    assert watch.status.state is FreshnessState.STALE


def test_a_silent_emitter_has_one_alert_and_its_datasets_none() -> None:
    facts = [
        replace(FACTS, name=Name(KAFKA, n), emitter="connect", emitter_seen_us=T0, emitter_datasets=2) for n in "ab"
    ]
    policies = compile_policies([replace(POLICY, name="?")], 1)
    as_of_us = T0 + 2 * HOUR_US
    for one in facts:
        assert Watch().dataset(one, as_of_us, policies).status.state is FreshnessState.NO_DATA
        assert Watch().dataset(one, as_of_us, policies).alerts == []
    emitter = EmitterFacts("connect", T0, tuple(facts))
    judgement = judge_emitter(emitter, policies, as_of_us, {}, SETTINGS)
    (alert,) = judgement.alerts
    assert (alert.kind, alert.severity, alert.deadline_us) == ("EmitterSilent", Severity.PAGE, T0 + HOUR_US)
    assert alert.summary == "connect has said nothing for 2 h; 2 datasets are overdue for it."
    again = judge_emitter(replace(emitter, seen_us=as_of_us), policies, as_of_us + 1, dict(_alive(judgement)), SETTINGS)
    assert [alert.state for alert in again.alerts] == [AlertState.RESOLVED]
    assert again.next_look_us == as_of_us + 30 * MINUTE_US + 1


def _alive(judgement: Judgement) -> list[tuple[str, Machine]]:
    return [(key, machine) for key, machine in judgement.machines.items() if machine]


def hourly_ring(last_us: int, count: int = 30) -> bytes:
    ring: bytes | None = None
    for back in range(count):
        ring = cadence.add(ring, cadence.slot_of(last_us) - 12 * back)
    assert ring is not None
    return ring


NO_POLICIES = compile_policies([], 1)


def captured(*names: str, seen_us: int = T0) -> list[DatasetFacts]:
    """Topics of a connector, three hours allowed, as its emitter was heard last."""
    return [
        replace(
            FACTS, name=Name(KAFKA, name), emitter="cdc:shop", emitter_seen_us=seen_us, emitter_datasets=len(names),
            cadence_slots=hourly_ring(T0),
        )
        for name in names
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 20])
def test_a_connector_that_falls_silent_is_one_ticket_however_many_topics_it_has(count: int) -> None:
    topics = captured(*(f"t{chr(97 + n)}" for n in range(count)))
    as_of_us = T0 + 4 * HOUR_US
    for one in topics:
        watch = Watch().dataset(one, as_of_us, NO_POLICIES)
        assert (watch.status.state, watch.alerts) == (FreshnessState.NO_DATA, [])
    facts = EmitterFacts("cdc:shop", T0, tuple(topics))
    first = judge_emitter(facts, NO_POLICIES, as_of_us, {}, SETTINGS)
    assert first.wants == {DOWNSTREAM}
    (alert,) = judge_emitter(facts, NO_POLICIES, as_of_us, {}, SETTINGS, downstream=3).alerts
    assert (alert.kind, alert.severity, alert.name) == ("EmitterSilent", Severity.TICKET, "cdc:shop")
    overdue = "1 dataset is" if count == 1 else "20 datasets are"
    assert alert.summary == f"cdc:shop has said nothing for 4 h; {overdue} overdue for it; 3 more are made of it."
    again = judge_emitter(facts, NO_POLICIES, as_of_us + 1, dict(_alive(first)), SETTINGS)
    assert (again.wants, again.alerts) == (frozenset(), ())
    assert again.next_look_us == as_of_us + 1 + SETTINGS.emitter_silent_us


def test_a_topic_that_was_quiet_when_its_connector_came_back_has_its_age_anew() -> None:
    (silent,) = captured("orders")
    back_us = T0 + 10 * HOUR_US
    watch = Watch().dataset(silent, T0 + 4 * HOUR_US, NO_POLICIES).dataset(silent, back_us, NO_POLICIES)
    (heard,) = captured("orders", seen_us=back_us + MINUTE_US)
    watch.dataset(heard, back_us + 2 * MINUTE_US, NO_POLICIES)
    assert (watch.status.state, watch.alerts) == (FreshnessState.LATE, [])
    written = replace(heard, last_write_us=back_us + HOUR_US, cadence_slots=hourly_ring(back_us + HOUR_US))
    well = Watch(machines=dict(watch.machines)).dataset(written, back_us + 2 * HOUR_US, NO_POLICIES)
    assert (well.status.state, well.machines) == (FreshnessState.FRESH, {})
    (speaks,) = captured("orders", seen_us=back_us + 3 * HOUR_US)
    watch.dataset(speaks, back_us + 3 * HOUR_US, NO_POLICIES)
    assert watch.said() == [("DatasetStale", AlertState.FIRING)]


def test_an_emitter_of_one_dataset_is_not_judged_without_a_policy_of_its_own() -> None:
    emitter = EmitterFacts("sdk", T0, (replace(FACTS, emitter="sdk"),))
    assert judge_emitter(emitter, POLICIES, T0 + DAY_US, {}, SETTINGS) == Judgement(None, (), {}, 0)


def test_a_misspelt_topic_is_told_with_the_name_that_was_meant() -> None:
    misspelt = DatasetFacts(Name(KAFKA, "ordres"), first_seen_us=T0, first_read_us=T0, touched_by=JOB)
    watch = Watch().dataset(misspelt, T0 + 2 * HOUR_US, candidates=Candidates([ORDERS]))
    assert watch.said() == [("ReadNeverWritten", AlertState.FIRING)]
    alert = watch.alerts[0]
    assert alert.severity is Severity.INFO
    assert (
        alert.summary == "ordres (kafka://b:9092) is read, but nobody writes it. Did they mean kafka://b:9092/orders?"
    )
    assert alert.reason == "read since 2026-03-01 07:00:00 UTC, first by k8s/loader, never written"
    assert watch.status.unlinked == "read-never-written"
    assert watch.status.candidates == alert.candidates == ("kafka://b:9092/orders",)
    watch.dataset(replace(misspelt, first_written_us=T0), T0 + 3 * HOUR_US)
    assert watch.said()[1:] == [("ReadNeverWritten", AlertState.RESOLVED)]
    assert watch.status.unlinked == ""
    assert not watch.status.candidates


TABLE = DatasetFacts(
    Name("postgres://db:5432", "shop.public.ordres"), first_seen_us=T0, first_read_us=T0, writer_known=False
)
MEANT = Name("postgres://db:5432", "shop.public.orders")


def test_a_table_that_is_only_read_is_a_source_and_no_alert() -> None:
    unlike = Candidates([Name("postgres://db:5432", "shop.public.customers")])
    watch = Watch().dataset(TABLE, T0 + 2 * HOUR_US, candidates=unlike)
    assert (watch.status.kind, watch.status.unlinked, watch.alerts) == ("source", "", [])
    assert watch.next_look_us == T0 + 2 * HOUR_US + LOOK_AT_SOURCES_US


def test_names_are_looked_for_only_when_the_grace_of_a_source_is_over() -> None:
    early = judge_dataset(TABLE, POLICIES, T0 + 1, {}, SETTINGS)
    assert (early.wants, early.next_look_us) == (frozenset(), T0 + HOUR_US + 1)
    assert judge_dataset(TABLE, POLICIES, T0 + 2 * HOUR_US, {}, SETTINGS).wants == {CANDIDATES}
    declared = compile_policies([Policy("source", "postgres://*", "*", source=True)], 1)
    assert judge_dataset(TABLE, declared, T0 + 2 * HOUR_US, {}, SETTINGS).wants == frozenset()


def test_a_table_whose_name_was_probably_mistyped_is_loose() -> None:
    watch = Watch().dataset(TABLE, T0 + 2 * HOUR_US, candidates=Candidates([MEANT]))
    assert (watch.status.kind, watch.status.unlinked) == ("", "read-never-written")
    assert watch.status.candidates == (str(MEANT),)
    assert watch.said() == [("ReadNeverWritten", AlertState.FIRING)]
    watch.dataset(replace(TABLE, first_written_us=T0, writer_known=True), T0 + 3 * HOUR_US)
    assert (watch.status.kind, watch.status.unlinked) == ("", "")
    assert watch.said()[1:] == [("ReadNeverWritten", AlertState.RESOLVED)]


def test_a_table_of_nearly_this_name_elsewhere_is_a_copy() -> None:
    elsewhere = Candidates([Name("postgres://warehouse:5432", "shop.public.orders")])
    assert Watch().dataset(TABLE, T0 + 2 * HOUR_US, candidates=elsewhere).status.kind == "source"


def test_what_people_query_is_a_leaf_when_it_is_written_and_never_read() -> None:
    mart = replace(FACTS, name=Name("snowflake://acme", "MARTS.CHURN"), first_read_us=0, first_written_us=T0)
    watch = Watch().dataset(mart, T0 + 3 * DAY_US, NO_POLICIES, Candidates([Name("snowflake://acme", "MARTS.CHURNS")]))
    assert (watch.status.kind, watch.status.unlinked, watch.alerts) == ("leaf", "", [])
    topic = replace(mart, name=Name(KAFKA, "churn"))
    assert Watch().dataset(topic, T0 + 3 * DAY_US, NO_POLICIES).said() == [("WrittenNeverRead", AlertState.FIRING)]


def test_candidates_once_found_are_kept_and_missing_ones_are_looked_for_again() -> None:
    misspelt = DatasetFacts(Name(KAFKA, "ordres"), first_seen_us=T0, first_read_us=T0)
    watch = Watch().dataset(misspelt, T0 + 2 * HOUR_US, candidates=Candidates())
    assert watch.next_look_us == T0 + 2 * HOUR_US + LOOK_AT_LOOSE_US
    watch.dataset(misspelt, watch.next_look_us, candidates=Candidates([ORDERS]))
    assert watch.status.candidates == ("kafka://b:9092/orders",)
    watch.dataset(misspelt, T0 + 9 * HOUR_US, candidates=Candidates())
    assert watch.status.candidates == ("kafka://b:9092/orders",)


def test_a_job_changes_from_one_looseness_to_another_with_both_alerts_told() -> None:
    facts = JobFacts(JOB, first_seen_us=T0)
    watch = Watch().take(judge_job(facts, POLICIES, T0 + 2 * HOUR_US, {}, SETTINGS))
    assert watch.status.unlinked == "job-unlinked"
    facts = replace(facts, first_input_us=T0)
    watch.take(judge_job(facts, POLICIES, T0 + 3 * HOUR_US, watch.machines, SETTINGS, watch.status))
    assert set(watch.said()) == {
        ("JobUnlinked", AlertState.FIRING),
        ("JobUnlinked", AlertState.RESOLVED),
        ("JobWithoutOutputs", AlertState.FIRING),
    }
    assert watch.status.unlinked == "job-without-outputs"
    assert "headwater status --job 'k8s/loader'" in watch.alerts[0].remedy


def test_a_job_within_its_grace_is_looked_at_when_the_grace_ends() -> None:
    judgement = judge_job(JobFacts(JOB, first_seen_us=T0), POLICIES, T0 + 1, {}, SETTINGS)
    assert (judgement.alerts, judgement.next_look_us) == ((), T0 + HOUR_US + 1)


def test_lost_runs_of_a_job_are_one_alert_that_a_later_good_run_resolves() -> None:
    facts = JobFacts(JOB, first_seen_us=T0)
    runs = [OpenRun(bytes([n] * 16), T0, T0 + n * MINUTE_US) for n in (1, 2)]
    watch = Watch().take(judge_run_lost(facts, runs, POLICIES, T0 + DAY_US, {}, SETTINGS))
    assert watch.alerts[0].summary.startswith("2 runs of job loader (k8s) never ended: last heard 2026-03-01 07:01:00")
    assert "run 01010101-0101-0101-0101-010101010101 began" in watch.alerts[0].reason
    ended = replace(facts, last_complete_us=T0 + HOUR_US)
    watch.take(judge_run_lost(ended, runs, POLICIES, T0 + DAY_US + 1, watch.machines, SETTINGS))
    assert watch.said() == [("RunNeverEnded", AlertState.FIRING), ("RunNeverEnded", AlertState.RESOLVED)]


def test_standing_still_pages_when_something_critical_goes_unjudged() -> None:
    early = judge_blind("shop", T0, 3, "partition 2 lags", T0 + MINUTE_US, {}, SETTINGS)
    assert (early.alerts, early.next_look_us) == ((), T0 + 5 * MINUTE_US + 1)
    watch = Watch().take(judge_blind("shop", T0, 3, "partition 2 lags", T0 + HOUR_US, {}, SETTINGS))
    (alert,) = watch.alerts
    assert (alert.kind, alert.severity, alert.reason) == ("HeadwaterBlind", Severity.PAGE, "partition 2 lags")
    assert "3 critical datasets may be stale without an alert" in alert.summary
    now_us = T0 + HOUR_US + 1
    watch.take(judge_blind("shop", now_us, 0, "", now_us, watch.machines, SETTINGS))
    assert [state for _, state in watch.said()] == [AlertState.FIRING, AlertState.RESOLVED]
    (ticket,) = judge_blind("shop", T0, 0, "", T0 + HOUR_US, {}, SETTINGS).alerts
    assert ticket.severity is Severity.TICKET


def test_a_stopped_partition_is_told_with_the_command_to_resume() -> None:
    resume = "headwater worker resume 3"
    watch = Watch().take(judge_partition("lineage.events", 3, T0, "too many bad records", resume, T0, {}))
    (alert,) = watch.alerts
    assert (alert.kind, alert.severity, alert.remedy.endswith(resume)) == ("PartitionStopped", Severity.PAGE, True)
    watch.take(judge_partition("lineage.events", 3, 0, "", "", T0 + 1, watch.machines))
    assert [state for _, state in watch.said()] == [AlertState.FIRING, AlertState.RESOLVED]


def test_the_watchdog_always_fires_under_the_same_id() -> None:
    first, second = watchdog("shop", T0), watchdog("shop", T0 + 1)
    assert first.state is AlertState.FIRING
    assert replace(first, as_of_us=0) == replace(second, as_of_us=0)
    assert (first.as_of_us, second.as_of_us) == (T0, T0 + 1)
    assert first.alert_id != watchdog("other", T0).alert_id


def test_a_machine_that_never_fired_is_forgotten_when_it_is_quiet() -> None:
    policies = compile_policies([replace(POLICY, for_ms=60_000)], 5)
    watch = Watch().dataset(FACTS, T0 + HOUR_US + 1, policies)
    assert [machine.state for machine in watch.machines.values()] == [State.PENDING]
    watch.dataset(replace(FACTS, last_write_us=T0 + HOUR_US), T0 + HOUR_US + 2, policies)
    assert watch.machines == {}


def test_what_was_said_of_loose_ends_stands_while_as_of_is_unknown() -> None:
    misspelt = DatasetFacts(Name(KAFKA, "ordres"), first_seen_us=T0, first_read_us=T0)
    watch = Watch().dataset(misspelt, T0 + 2 * HOUR_US, candidates=Candidates([ORDERS]))
    watch.dataset(misspelt, {0: 0})
    assert (watch.status.unlinked, watch.said()) == (
        "read-never-written",
        [("ReadNeverWritten", AlertState.FIRING)],
    )


def test_a_reader_on_a_lagging_partition_may_yet_be_seen() -> None:
    unread = replace(FACTS, first_read_us=0, first_written_us=T0, partitions=(0,))
    as_of = {0: T0 + 2 * DAY_US, 1: T0}
    assert Watch().dataset(unread, as_of).status.unlinked == ""
    assert Watch().dataset(unread, T0 + 2 * DAY_US).status.unlinked == "written-never-read"


# --- owners that producers state -------------------------------------------------------------------------------------


STATED = replace(FACTS, stated_owner="team:stated")
NOBODY_S = compile_policies([replace(POLICY, owner="")], 5)


def test_an_alert_goes_to_the_stated_owner_where_no_policy_names_one() -> None:
    watch = Watch().dataset(STATED, T0 + 3 * HOUR_US, NOBODY_S)
    watch.dataset(STATED, T0 + 4 * HOUR_US, NOBODY_S)
    assert {alert.owner for alert in watch.alerts} == {"team:stated"}


def test_the_owner_of_a_policy_wins() -> None:
    watch = Watch().dataset(STATED, T0 + 3 * HOUR_US).dataset(STATED, T0 + 4 * HOUR_US)
    assert {alert.owner for alert in watch.alerts} == {"shop"}


def test_loose_ends_and_lost_runs_go_to_the_stated_owner_too() -> None:
    job = JobFacts(JOB, first_seen_us=1, first_input_us=1, stated_owner="team:stated")
    loose = judge_job(job, NOBODY_S, T0, {}, SETTINGS)
    lost = judge_run_lost(job, [OpenRun(bytes(16), 1, 1)], NOBODY_S, T0, {}, SETTINGS)
    read = judge_dataset(replace(STATED, first_written_us=0, last_write_us=0), NOBODY_S, T0, {}, SETTINGS)
    alerts = [alert for found in (loose, lost, read) for alert in found.alerts]
    assert {alert.kind for alert in alerts} >= {"JobWithoutOutputs", "RunNeverEnded", "ReadNeverWritten"}
    assert {alert.owner for alert in alerts} == {"team:stated"}


def test_names_of_one_dataset_have_the_owner_of_the_one_that_has_some() -> None:
    other = DatasetFacts(Name(KAFKA, "other"), stated_owner="team:other")
    assert merge_class([FACTS, other]).stated_owner == "team:other"
    assert merge_class([STATED, other]).stated_owner == "team:stated"
