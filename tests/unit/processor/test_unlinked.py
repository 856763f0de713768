"""Which nodes hang loose, since when, and when that is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headwater_processor.core.freshness import DatasetFacts, merge_class
from headwater_processor.core.judge_settings import DAY_US, HOUR_US, JudgeSettings
from headwater_processor.core.policies import Effective
from headwater_processor.core.unlinked import (
    DATASET_KINDS,
    JOB_KINDS,
    JobFacts,
    Loose,
    OpenRun,
    kind_of,
    loose_dataset,
    loose_job,
    lost_runs,
)
from headwater_schemas.events import Name
from headwater_schemas.naming import Store, store_of

T0 = 1_772_348_400_000_000
SETTINGS = JudgeSettings(born_us=T0 - 10 * DAY_US)
READ = DatasetFacts(Name("n", "d"), first_seen_us=T0, first_read_us=T0, touched_by=Name("k8s", "reader"))
WRITTEN = DatasetFacts(Name("n", "d"), first_seen_us=T0, first_written_us=T0)
JOB = JobFacts(Name("k8s", "job"), first_seen_us=T0, first_input_us=T0, first_output_us=T0, emitter="sdk")


def of_dataset(
    facts: DatasetFacts, as_of_us: int, policy: Effective | None = None, settings: JudgeSettings = SETTINGS
) -> list[Loose]:
    found = (loose_dataset(row, facts, policy or Effective(), as_of_us, settings) for row in DATASET_KINDS)
    return [loose for loose in found if loose]


def of_job(facts: JobFacts, as_of_us: int, policy: Effective | None = None) -> list[Loose]:
    found = (loose_job(row, facts, policy or Effective(), as_of_us, SETTINGS) for row in JOB_KINDS)
    return [loose for loose in found if loose]


def test_read_and_never_written_is_raised_after_its_grace() -> None:
    (waiting,) = of_dataset(READ, T0 + HOUR_US)
    assert (waiting.kind, waiting.raised, waiting.next_look_us) == ("read-never-written", False, T0 + HOUR_US + 1)
    (raised,) = of_dataset(READ, T0 + HOUR_US + 1)
    assert (raised.raised, raised.age_us, raised.next_look_us) == (True, HOUR_US + 1, 0)
    assert raised.touched_by == "k8s/reader"


def test_written_and_never_read_has_a_longer_grace() -> None:
    (waiting,) = of_dataset(WRITTEN, T0 + HOUR_US + 1)
    assert (waiting.kind, waiting.raised) == ("written-never-read", False)
    assert of_dataset(WRITTEN, T0 + DAY_US + 1)[0].raised


def test_what_is_read_and_written_is_linked() -> None:
    assert of_dataset(replace(READ, first_written_us=T0 + 1), T0 + DAY_US) == []


def test_declarations_make_loose_ends_right() -> None:
    assert of_dataset(READ, T0 + DAY_US, Effective(source=True)) == []
    assert of_dataset(WRITTEN, T0 + 2 * DAY_US, Effective(sink=True)) == []
    assert of_dataset(READ, T0 + DAY_US, Effective(sink=True)) != []


def test_what_was_dropped_is_not_loose() -> None:
    assert of_dataset(replace(READ, present=False), T0 + DAY_US) == []


def test_an_alias_that_is_written_links_the_one_that_is_read() -> None:
    assert of_dataset(merge_class([READ, replace(WRITTEN, name=Name("n", "alias"))]), T0 + DAY_US) == []


def test_a_new_domain_raises_nothing_on_its_first_day() -> None:
    young = JudgeSettings(born_us=T0)
    (waiting,) = of_dataset(READ, T0 + DAY_US, settings=young)
    assert (waiting.raised, waiting.next_look_us) == (False, T0 + DAY_US + 1)
    assert of_dataset(READ, T0 + DAY_US + 1, settings=young)[0].raised


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        (JOB, []),
        (replace(JOB, first_input_us=0), ["job-without-inputs"]),
        (replace(JOB, first_output_us=0), ["job-without-outputs"]),
        (replace(JOB, first_input_us=0, first_output_us=0), ["job-unlinked"]),
        (replace(JOB, first_input_us=0, first_output_us=0, parent_of_runs=True), []),
    ],
)
def test_a_job_is_loose_in_one_way_at_most(facts: JobFacts, kinds: list[str]) -> None:
    assert [loose.kind for loose in of_job(facts, T0 + 2 * HOUR_US)] == kinds


def test_declarations_of_a_job_excuse_one_end_each() -> None:
    neither = replace(JOB, first_input_us=0, first_output_us=0)
    assert [x.kind for x in of_job(neither, T0 + DAY_US, Effective(source=True))] == ["job-without-outputs"]
    assert [x.kind for x in of_job(neither, T0 + DAY_US, Effective(sink=True))] == ["job-without-inputs"]
    assert of_job(neither, T0 + DAY_US, Effective(source=True, sink=True)) == []


def stored(namespace: str, facts: DatasetFacts) -> DatasetFacts:
    return replace(facts, name=Name(namespace, "d"), writer_known=facts.first_written_us > 0)


@pytest.mark.parametrize(
    ("namespace", "read", "written"),
    [
        ("postgres://db:5432", "source", "leaf"),
        ("mongodb://db:27017", "source", "leaf"),
        ("bigquery", "source", "leaf"),
        ("snowflake://acme-eu1", "source", "leaf"),
        ("s3://lake", "source", "leaf"),
        ("file", "source", "leaf"),
        ("arn:aws:glue:eu-west-1:1", "source", "leaf"),
        ("elasticsearch://es:9200", "", "leaf"),
        ("kafka://b:9092", "", ""),
        ("pulsar://p:6650", "", ""),
        ("n", "", ""),
        ("https://api.example.com", "", ""),
    ],
)
def test_what_a_missing_half_means_depends_on_the_store(namespace: str, read: str, written: str) -> None:
    assert kind_of(stored(namespace, READ), Effective()) == read
    assert kind_of(stored(namespace, WRITTEN), Effective()) == written
    (of_read,) = of_dataset(stored(namespace, READ), T0 + 2 * DAY_US)
    (of_written,) = of_dataset(stored(namespace, WRITTEN), T0 + 2 * DAY_US)
    assert (of_read.right, of_written.right) == (bool(read), bool(written))


def test_a_table_whose_writes_were_seen_but_no_writer_is_a_source() -> None:
    captured = replace(READ, name=Name("postgres://db:5432", "shop.public.orders"), first_written_us=T0)
    assert kind_of(replace(captured, writer_known=False), Effective()) == "source"
    assert kind_of(captured, Effective()) == ""


def test_a_declaration_makes_a_source_or_a_leaf_of_any_store() -> None:
    assert kind_of(replace(READ, writer_known=False), Effective(source=True)) == "source"
    assert kind_of(WRITTEN, Effective(sink=True)) == "leaf"
    assert kind_of(replace(WRITTEN, present=False), Effective(sink=True)) == ""


def test_of_a_class_one_name_in_the_lake_is_enough() -> None:
    both = replace(WRITTEN, members=(Name("kafka://b:9092", "d"), Name("s3://lake", "d")))
    assert kind_of(both, Effective()) == "leaf"


def test_every_scheme_of_the_naming_rules_has_a_store() -> None:
    known = (
        "postgres",
        "mysql",
        "mssql",
        "oracle",
        "hive",
        "trino",
        "snowflake",
        "redshift",
        "s3",
        "gs",
        "abfss",
        "hdfs",
    )
    assert Store.OTHER not in {store_of(f"{scheme}://x") for scheme in known}
    assert (store_of("kafka://b:9092"), store_of("bigquery"), store_of("")) == (Store.LOG, Store.WAREHOUSE, Store.OTHER)
    assert store_of("arn:aws:unheard:x") is store_of("arn:") is Store.OTHER


def test_a_job_that_was_only_observed_need_not_say_what_it_writes() -> None:
    observed = replace(JOB, first_output_us=0, emitter="discover:kafka://b:9092")
    assert of_job(observed, T0 + DAY_US) == []
    assert of_job(replace(observed, first_input_us=0), T0 + DAY_US) == []


def test_a_job_has_its_grace_and_names_who_told_of_it() -> None:
    (waiting,) = of_job(replace(JOB, first_input_us=0), T0 + HOUR_US)
    assert (waiting.raised, waiting.touched_by, waiting.next_look_us) == (False, "sdk", T0 + HOUR_US + 1)


def test_a_run_is_lost_when_it_was_silent_for_too_long() -> None:
    early, late = OpenRun(b"a" * 16, T0, T0 + HOUR_US), OpenRun(b"b" * 16, T0, T0 + 2 * HOUR_US)
    assert lost_runs([late, early], 0, T0 + 7 * HOUR_US, SETTINGS) == ([], T0 + 7 * HOUR_US + 1)
    assert lost_runs([late, early], 0, T0 + 7 * HOUR_US + 1, SETTINGS) == ([early], T0 + 8 * HOUR_US + 1)
    assert lost_runs([late, early], 0, T0 + DAY_US, SETTINGS) == ([early, late], 0)


def test_a_run_that_can_be_restarted_is_never_lost() -> None:
    connector = OpenRun(b"a" * 16, T0, T0 + HOUR_US, restartable=True)
    assert lost_runs([connector], 0, T0 + 9 * DAY_US, SETTINGS) == ([], 0)


def test_the_successor_of_a_killed_pod_makes_its_run_history() -> None:
    job = replace(JOB, last_complete_us=T0, last_started_us=T0 + 2 * HOUR_US)
    killed = OpenRun(b"a" * 16, T0, T0 + HOUR_US)
    assert lost_runs([killed], replace(job, streaming=True).alive_us, T0 + DAY_US, SETTINGS) == ([], 0)
    assert lost_runs([killed], job.alive_us, T0 + DAY_US, SETTINGS) == ([killed], 0)
    not_replaced = replace(job, streaming=True, last_started_us=T0 + HOUR_US)
    assert lost_runs([killed], not_replaced.alive_us, T0 + DAY_US, SETTINGS) == ([killed], 0)


def test_a_later_run_that_ended_well_makes_a_lost_one_history() -> None:
    lost = OpenRun(b"a" * 16, T0, T0 + HOUR_US)
    assert lost_runs([lost], T0 + 2 * HOUR_US, T0 + DAY_US, SETTINGS) == ([], 0)
