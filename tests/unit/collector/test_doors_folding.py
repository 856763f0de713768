"""Names that change with the day or the run, as they are met in the field, and what they fold to."""

from __future__ import annotations

import pytest

from headwater.doors.folding import DEFAULT_RULES, RULES, Folding

UUID = "5f0f1c0e-6a77-5a39-9f6e-3d0d6b1f7c11"
SNAKE = UUID.replace("-", "_")
MD5 = "9f86d081884c7d659a2feaa0c55ad015"
SHA = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

FOLDED = [
    # partitions of Hive, Spark, Glue, Athena, Delta
    ("orders/dt=2026-11-26", "orders"),
    ("orders/dt=2026-11-26/", "orders"),
    ("/warehouse/shop.db/orders/dt=2026-11-26/hour=05", "/warehouse/shop.db/orders"),
    ("orders/year=2026/month=11/day=26", "orders"),
    ("orders/ds=2026-11-26/country=DE", "orders"),
    ("orders/region=eu", "orders"),
    ("orders/day=__HIVE_DEFAULT_PARTITION__", "orders"),
    ("orders/ts=2026-11-26%2013%3A00%3A00", "orders"),
    ("dt=2026-11-26", "dt={date}"),  # it is all that there is
    ("exports/dt=2026-11-26/customers.csv", "exports/dt={date}/customers.csv"),
    ("in/year=2026/month=11/day=26/customers.csv", "in/year={year}/month={month}/day={day}/customers.csv"),
    # files of one write
    (f"orders/part-00003-{UUID}-c000.snappy.parquet", "orders"),
    ("orders/dt=2026-11-26/part-00000", "orders"),
    ("wordcount/part-r-00012", "wordcount"),
    ("orders/_SUCCESS", "orders"),
    ("orders/_committed_3184938493849384", "orders"),
    ("topics/orders/partition=0/orders+0+0000000042.json", "topics/orders"),
    # folders of dates: Firehose, Airflow, hand-made
    ("orders/2026-11-26", "orders"),
    ("orders/20261126", "orders"),
    ("orders/2026/11/26", "orders"),
    ("firehose/orders/2026/11/26/13/", "firehose/orders"),
    ("orders/2026-11-26/13", "orders"),
    ("orders/2026/11/26/13/59", "orders"),
    ("orders/26.11.2026", "orders"),
    ("orders/2026/11", "orders"),
    ("orders/2026-11", "orders"),
    ("orders/202611", "orders"),
    ("orders/2026-W48", "orders"),
    ("orders/2026-11-26T13:00:00Z", "orders"),
    ("orders/20261126T130000Z", "orders"),
    ("orders/2026-11-26/part-00001.parquet", "orders"),
    ("landing/2026-11-26/customers.csv", "landing/{date}/customers.csv"),
    ("landing/2026/11/26/customers.csv", "landing/{date}/customers.csv"),
    ("landing/2026/11/26/13/customers.csv", "landing/{date}/customers.csv"),
    ("landing/2026/11/customers.csv", "landing/{month}/customers.csv"),
    ("2026/11/26", "{date}"),
    # dates in names of tables, indices, files
    ("analytics_1234.events_20261126", "analytics_1234.events_{date}"),
    ("project.dataset.ga_sessions_20261126", "project.dataset.ga_sessions_{date}"),
    ("logs-2026.11.26", "logs-{date}"),
    ("logs-2026.11", "logs-{month}"),
    ("logstash-2026-W48", "logstash-{week}"),
    ("shop.public.orders_2026_11_26", "shop.public.orders_{date}"),
    ("raw/orders-2026-11-26.csv.gz", "raw/orders-{date}.csv.gz"),
    ("raw/orders_26-11-2026.csv", "raw/orders_{date}.csv"),
    ("raw/orders_20261126_130000.csv", "raw/orders_{time}.csv"),
    ("raw/orders_20261126130000.csv", "raw/orders_{time}.csv"),
    ("raw/orders_2026-11-26T13-00-00.123Z.json", "raw/orders_{time}.json"),
    ("cdn/E2ABC.2026-11-26-13.gz", "cdn/E2ABC.{time}.gz"),
    ("stats-2026-11-20-2026-11-26", "stats-{date}-{date}"),
    # what belongs to one run
    (f"tmp/{UUID}", "tmp/{uuid}"),
    (f"athena-results/{UUID}.csv", "athena-results/{uuid}.csv"),
    (f"raw/orders-{UUID}.json", "raw/orders-{uuid}.json"),
    (f"landing/orders/{UUID}.json", "landing/orders/{uuid}.json"),
    (f"uploads/{UUID}/customers.csv", "uploads/{uuid}/customers.csv"),
    (f"run_{UUID}/customers.csv", "run_{uuid}/customers.csv"),
    (f"shop.public.orders_{SNAKE}", "shop.public.orders_{uuid}"),
    (f"shop.public.tmp_{MD5}", "shop.public.tmp_{hash}"),
    (f"lake/orders-{MD5}", "lake/orders-{hash}"),
    (f"cache/orders_{SHA.upper()}.parquet", "cache/orders_{hash}.parquet"),
    ("export_1764163200000", "export_{time}"),
    ("tmp/backup-1764163200.sql", "tmp/backup-{time}.sql"),
    ("application_1764163200000_0042", "application_{attempt}"),
    ("out/attempt_202611261300_0000_m_000000_0/a", "out/attempt_{attempt}/a"),
]  # fmt: skip

KEPT = [
    # years, versions, numbers, ids
    "census_2020", "census/2020", "sales2024", "sales/2024/summary", "orders_v2", "orders-v2.1", "shard-12", "orders_00017",
    "events_v20", "s3-inventory-3", "analytics_123456789", "google_ads.account_1234567890", "act_1764163200000",
    "customer_1764163200", "eu-1/orders", "kafka_3.9.1", "iso_8601", "form_1099", "port_9092", "windows_2019",
    # years of accounts, and what is no day of any calendar
    "budget_2010_11", "school-census-2011-12", "range_2010_2020", "orders_20261332", "orders_20260231", "orders_2026-13-01",
    "abc20261126", "20261126abc", "orders_202611260000000000",
    # UUIDs and hashes that tell things apart
    UUID, f"{UUID}/Tables/orders", f"tenant_{SNAKE}.public.orders", f"tenants/{UUID}/orders", f"customers/{UUID}",
    f"__unitystorage/catalogs/{UUID}/tables/{UUID}", f"workspaces/{UUID}/datasets/{UUID}", f"connections/{UUID}",
    f"dashboard-{UUID}", f"lakehouse-{UUID}/orders", f"shop_{SNAKE}.public.orders", f"users/{UUID}.json", f"orders/{UUID}",
    "commit-3f2a91c", "deadbeef", "facade", "a1b2c3d4e5",
    # folders that are no partitions
    "lake/tenant=acme/orders", "shop.public.orders", "orders/daily", "orders", "a=b=c/x=1=2",
]  # fmt: skip

JOBS = [
    ("orders-consumer-6d9c7b5f84-n7rgn", "orders-consumer"),
    ("nightly-29403360-x7k2p", "nightly"),
    ("load_orders.manual__2026-11-26T13:00:00+00:00", "load_orders.manual__{time}"),
    ("load-orders-2026-11-26", "load-orders-{date}"),
    ("spark_app.execute_insert_into.lake_orders_dt_2026_11_26", "spark_app.execute_insert_into.lake_orders_dt_{date}"),
    (f"enrich-{UUID}", "enrich-{uuid}"),
    ("import/2026-11-26", "import"),
]
KEPT_JOBS = ["shop.0", "consumer-0", "orders-2", "nightly-29403360", "dag.task_1", "word-transform", "postgres-hack-rhythms",
             f"sync-connection-{UUID}", UUID]  # fmt: skip


@pytest.mark.parametrize(("name", "folded"), FOLDED)
def test_what_changes_with_the_day_or_run_folds(name: str, folded: str) -> None:
    folding = Folding()
    assert folding.dataset("s3://lake", name) == folded
    assert folding.dataset("s3://lake", folded) == folded


@pytest.mark.parametrize("name", KEPT)
def test_what_tells_things_apart_stays(name: str) -> None:
    assert Folding().dataset("s3://lake", name) == name


@pytest.mark.parametrize(("name", "folded"), JOBS)
def test_a_job_has_one_name(name: str, folded: str) -> None:
    assert Folding().job(name) == folded
    assert Folding().job(folded) == folded


@pytest.mark.parametrize("name", KEPT_JOBS)
def test_what_tells_jobs_apart_stays(name: str) -> None:
    assert Folding().job(name) == name


def test_two_names_in_one_day_differ_if_they_differ_on_the_next() -> None:
    """Nothing but the day is taken from a name."""
    names = [
        "orders/{}/a.csv",
        "orders/{}/b.csv",
        "orders-{}",
        "order-{}",
        "{}/orders",
        "in/{}/orders",
        "orders_{}.csv",
    ]
    days = ("2026-11-26", "2026-11-27", "20261126", "20261127")
    folding = Folding()
    folded = {folding.dataset("s3://lake", name.format(day)) for name in names for day in days}
    assert len(folded) == len(names)


def test_a_decorator_of_bigquery_is_a_partition_and_elsewhere_it_is_not() -> None:
    assert Folding().dataset("bigquery", "shop.raw.orders$20261126") == "shop.raw.orders"
    assert Folding().dataset("oracle://db:1521", "sid.app.t$20261126") == "sid.app.t${date}"


@pytest.mark.parametrize("rule", DEFAULT_RULES)
def test_each_rule_can_be_switched_off(rule: str) -> None:
    without, by_itself = Folding([each for each in DEFAULT_RULES if each != rule]), Folding([rule])
    names = [name for name, _ in FOLDED]
    if rule == "pod":
        assert without.job("a-6d9c7b5f84-n7rgn") != by_itself.job("a-6d9c7b5f84-n7rgn") == "a"
        return
    assert any(without.dataset("s3://lake", name) != Folding().dataset("s3://lake", name) for name in names)
    assert any(by_itself.dataset("s3://lake", name) != name for name in names)


def test_without_rules_nothing_folds() -> None:
    nothing = Folding([])
    assert [nothing.dataset("s3://lake", name) for name, _ in FOLDED] == [name for name, _ in FOLDED]


def test_rules_that_are_off_by_default_can_be_switched_on() -> None:
    everything = Folding(RULES)
    assert everything.job("nightly-29403360") == "nightly"
    assert everything.dataset("s3://lake", f"tenants/{UUID}/orders") == "tenants/{uuid}/orders"


def test_a_very_long_name_is_left_alone() -> None:
    name = "a/" * 600 + "2026-11-26"
    assert Folding().dataset("s3://lake", name) == name
