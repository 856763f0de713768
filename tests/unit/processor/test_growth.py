"""Names that grow without end: their skeletons, who brings them, and when that is said."""

from __future__ import annotations

import pytest

from headwater_processor.core.alerts import Machine
from headwater_processor.core.growth import EXAMPLES, GROUPS_MAX, Offender, Tally, judge_growth, skeleton
from headwater_processor.core.judge_settings import HOUR_US, JudgeSettings
from headwater_processor.core.policies import NO_POLICIES
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.events import Name

T0 = 1_772_348_400_000_000 // HOUR_US * HOUR_US
SPARK = Offender("emitter", Name("", "openlineage:spark/etl"))
SETTINGS = JudgeSettings(growth_names=5)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("orders", ""),
        ("shop.public.order_items", ""),
        ("orders_2024", "orders_*"),
        ("orders_v1", "orders_v*"),
        ("dt=2026-11-26/hour=05/part-00001.parquet", "dt=*-*-*/hour=*/part-*.parquet"),
        ("export_20261126T0900", "export_*"),
        ("tmp_3f2a9b1c4d5e", "tmp_*"),
        ("run-0195511c-3c00-7000-8000-0000000000aa", "run-*"),
        ("enricher-7c9f4b5d8-x2x9z", "enricher-*-*"),
        ("s3", "s*"),
        ("\u0394\u03b5\u03b4\u03bf\u03bc\u03ad\u03bd\u03b1", ""),
    ],
)
def test_a_skeleton_is_what_dates_hashes_and_numbers_leave(name: str, bare: str) -> None:
    assert skeleton(name) == bare


def test_a_long_name_is_compared_by_its_beginning() -> None:
    assert skeleton("a" * 300 + "7") == ""
    assert skeleton("7" + "a" * 300) == skeleton("8" + "a" * 400)


def tally(per_hour: dict[int, int], offender: Offender = SPARK, as_of_us: int = T0 + 10 * HOUR_US) -> Tally:
    """So many new names in these hours after T0."""
    made = Tally(as_of_us)
    for hour, count in per_hour.items():
        for number in range(count):
            first_us = T0 + hour * HOUR_US + number
            if made.counts(first_us):
                made.add("dataset", Name("s3://lake", f"tmp_{hour}{number}"), "tmp_*", first_us, offender)
    return made


def judged(made: Tally, machines: dict[str, Machine], as_of_us: int = T0 + 10 * HOUR_US) -> list[Alert]:
    said: list[Alert] = []
    for judgement in judge_growth(made, NO_POLICIES, as_of_us, machines, SETTINGS):
        said += judgement.alerts
        machines.update({key: machine for key, machine in judgement.machines.items() if machine})
    return said


def test_two_hours_in_a_row_are_growth_and_one_ticket_names_who_and_what() -> None:
    (alert,) = judged(tally({8: 5, 9: 7}), {})
    assert (alert.kind, alert.severity, alert.state) == ("NodeGrowth", Severity.TICKET, AlertState.FIRING)
    assert (alert.subject_kind, alert.name) == ("emitter", "openlineage:spark/etl")
    assert alert.summary == (
        "openlineage:spark/etl brought 7 new names in an hour, and such in the hour before: tmp_*."
    )
    assert alert.reason == "for example tmp_80, tmp_81, tmp_82"
    assert "doors.fold" in alert.remedy
    assert alert.deadline_us == T0 + 10 * HOUR_US


@pytest.mark.parametrize(
    "per_hour",
    [{9: 500}, {8: 500, 9: 4}, {7: 500, 9: 500}, {10: 500, 9: 500}, {}],
    ids=["a burst", "it ends", "two bursts", "an hour that is not over", "nothing"],
)
def test_what_does_not_last_is_no_growth(per_hour: dict[int, int]) -> None:
    assert judged(tally(per_hour), {}) == []


def test_many_skeletons_of_one_offender_are_one_finding_the_most_first() -> None:
    made = tally({8: 5, 9: 5})
    for bare in ("a_*", "b_*", "c_*", "d_*"):
        for hour in (8, 9):
            for number in range(6 if bare == "d_*" else 5):
                name = Name("s3://lake", bare.replace("*", str(number)))
                made.add("job", name, bare, T0 + hour * HOUR_US, SPARK)
    (alert,) = judged(made, {})
    assert alert.summary.endswith("brought 26 new names in an hour, and such in the hour before: d_*, a_*, b_*, ….")


def test_one_form_from_two_emitters_is_counted_for_each() -> None:
    made = tally({8: 4, 9: 4})
    for number in range(8):
        other = Offender("namespace", Name("s3://lake", ""))
        made.add("dataset", Name("s3://lake", "x"), "tmp_*", T0 + (8 + number % 2) * HOUR_US, other)
    assert judged(made, {}) == []


def test_it_resolves_when_an_hour_brought_fewer_and_says_nothing_twice() -> None:
    machines: dict[str, Machine] = {}
    (fired,) = judged(tally({8: 5, 9: 5}), machines)
    assert judged(tally({8: 5, 9: 5}), machines, T0 + 10 * HOUR_US + 300_000_000) == []
    later = tally({9: 5, 10: 9}, as_of_us=T0 + 11 * HOUR_US)
    assert judged(later, machines, T0 + 11 * HOUR_US) == []
    (resolved,) = judged(tally({}, as_of_us=T0 + 12 * HOUR_US), machines, T0 + 12 * HOUR_US)
    assert (resolved.state, resolved.incident_id) == (AlertState.RESOLVED, fired.incident_id)


def test_who_is_known_only_by_an_odd_namespace_is_found_again() -> None:
    machines: dict[str, Machine] = {}
    odd = Offender("namespace", Name("s3://a|b%7C", ""))
    assert [alert.namespace for alert in judged(tally({8: 5, 9: 5}, odd), machines)] == ["s3://a|b%7C"]
    assert [alert.state for alert in judged(tally({}), machines, T0 + 11 * HOUR_US)] == [AlertState.RESOLVED]


def test_what_is_counted_is_bounded_and_what_is_left_out_is_counted() -> None:
    made = Tally(T0 + 10 * HOUR_US)
    for number in range(GROUPS_MAX + 3):
        made.add("job", Name("n", "x7"), f"{number}*", T0 + 9 * HOUR_US, SPARK)
    assert (made.left_out, made.new["job"]) == (3, GROUPS_MAX + 3)
    assert EXAMPLES == 3
