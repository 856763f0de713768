"""The demo's world: a web shop, from its PostgreSQL tables over Kafka and a data lake to marts and dashboards. Pure.

Three things go wrong, each a little after the start: a consumer crashes and comes back in a new pod, the inventory mart
is no longer written, and a consumer reads the topic `ordres`, which nobody writes, where it means `orders`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headwater_processor.local.world import SECOND_US, BatchJob, Job, StreamingJob, Topics
from headwater_schemas.events import LineageEvent, Name, Runtime

CRASH_AFTER_US: Final = 14 * SECOND_US
STALE_AFTER_US: Final = 18 * SECOND_US
"""When the inventory mart is written for the last time; its policy allows 15 s."""

DATABASE: Final = "postgres://shop-db:5432"
KAFKA: Final = "kafka://broker.shop:9092"
LAKE: Final = "s3://shop-lake"
WAREHOUSE: Final = "snowflake://acme-shop"
DASHBOARDS: Final = "looker://acme"

TABLES: Final = ("orders", "order_items", "customers", "payments", "products", "inventory")
STALE_MART: Final = Name(WAREHOUSE, "analytics.marts.inventory_levels")
SALES_MART: Final = Name(WAREHOUSE, "analytics.marts.daily_sales")
REVIEWS_MART: Final = Name(WAREHOUSE, "analytics.marts.reviews")
"""Written by no job of the scenario: its road is real (`demo_doors`)."""
MISSPELT: Final = Name(KAFKA, "ordres")
MEANT: Final = Name(KAFKA, "orders")


def table(name: str) -> Name:
    """A table of the shop's database."""
    return Name(DATABASE, f"shop.public.{name}")


def topic(name: str) -> Name:
    """A topic of the shop's Kafka."""
    return Name(KAFKA, name)


def lake(path: str) -> Name:
    """A folder of the data lake."""
    return Name(LAKE, path)


def mart(name: str) -> Name:
    """A mart in the warehouse."""
    return Name(WAREHOUSE, f"analytics.marts.{name}")


def dashboard(name: str) -> Name:
    """A dashboard."""
    return Name(DASHBOARDS, f"dashboards/{name}")


@dataclass(slots=True)
class Scenario:
    """The world at work: ask it again and again what happened up to now."""

    jobs: list[Job]
    topics: Topics
    rng: random.Random

    def advance(self, now_us: int) -> Iterator[LineageEvent]:
        """The events of everything that is due; a job that is due twice is asked once."""
        for job in self.jobs:
            if job.next_us <= now_us:
                yield from job.step(now_us, self.rng, self.topics)

    def next_us(self) -> int:
        """When something is due next."""
        return min(job.next_us for job in self.jobs)

    def datasets(self) -> set[Name]:
        """Every dataset that some job reads or writes."""
        return {name for job in self.jobs for name in (*job.inputs, *job.outputs)}


def shop(start_us: int, seed: int = 7) -> Scenario:
    """The web shop, starting now. The first two seconds are spread over its jobs."""
    rng = random.Random(seed)  # noqa: S311 - a story, not a secret
    jobs: list[Job] = [*_connectors(), *_consumers(start_us), *_loaders(), *_marts(start_us), *_refreshes()]
    for job in jobs:
        job.next_us = start_us + rng.randrange(2 * SECOND_US)
    return Scenario(jobs, Topics(), rng)


def _connectors() -> Iterator[Job]:
    """Change data capture: two Debezium connectors, from tables to topics."""
    for name, tables in (("shop-orders", TABLES[:2]), ("shop-master-data", TABLES[2:])):
        yield StreamingJob(
            Name("debezium", name),
            f"debezium:{name}",
            tuple(map(table, tables)),
            tuple(map(topic, tables)),
            Runtime(
                pod="connect-{}",
                k8s_namespace="kafka",
                container="connect",
                image="registry.acme/connect:3.2",
                node="node-1",
            ),
            period_us=SECOND_US,
            restartable=True,
        )


def _consumers(start_us: int) -> Iterator[Job]:
    """Kubernetes deployments that read topics: they write topics, or the lake; and a function of the cloud."""
    for name, inputs, outputs in (
        ("order-enricher", (topic("orders"), topic("order_items"), topic("products")), (topic("orders-enriched"),)),
        ("fraud-scorer", (topic("payments"), topic("orders-enriched")), (topic("fraud-scores"),)),
        ("orders-sink", (topic("orders-enriched"),), (lake("raw/orders"),)),
        ("customers-sink", (topic("customers"),), (lake("raw/customers"),)),
        ("payments-sink", (topic("payments"), topic("fraud-scores")), (lake("raw/payments"),)),
        ("inventory-sink", (topic("inventory"),), (lake("raw/inventory"),)),
        ("refund-notifier", (MISSPELT, topic("payments")), (lake("raw/refund-mails"),)),
    ):
        crashes = name == "order-enricher"
        yield StreamingJob(
            Name("k8s://shop", name),
            f"sdk:k8s://shop/{name}",
            inputs,
            outputs,
            Runtime(
                pod=f"{name}-6d9c7b5f84-{{}}",
                k8s_namespace="shop",
                container=name,
                image=f"registry.acme/{name}:1.14.2",
                node=f"node-{2 + len(name) % 3}",
            ),
            period_us=SECOND_US,
            crash_us=start_us + CRASH_AFTER_US if crashes else 0,
            crash_error="OutOfMemoryError: product cache grew to 512 MiB; container killed (exit code 137)",
        )
    yield StreamingJob(
        Name("aws-lambda", "shop-audit"),
        "sdk:function/shop-audit",
        (topic("orders"), topic("payments")),
        (lake("audit/events"),),
        Runtime(function="shop-audit", function_version="41"),
        period_us=2 * SECOND_US,
    )


def _loaders() -> Iterator[Job]:
    """Spark jobs: from raw to curated in the lake."""
    for name, inputs, output in (
        ("curate-orders", ("raw/orders", "raw/customers"), "curated/orders"),
        ("curate-customers", ("raw/customers",), "curated/customers"),
        ("curate-payments", ("raw/payments", "raw/refund-mails"), "curated/payments"),
        ("curate-inventory", ("raw/inventory",), "curated/inventory"),
        ("curate-audit", ("audit/events",), "curated/audit"),
    ):
        yield BatchJob(
            Name("spark", name),
            f"sdk:spark/{name}",
            tuple(map(lake, inputs)),
            (lake(output),),
            Runtime(pod=f"{name}-{{}}-driver", k8s_namespace="spark", image="registry.acme/spark:4.0.1", node="node-5"),
            period_us=5 * SECOND_US,
            duration_us=2 * SECOND_US,
        )


def _marts(start_us: int) -> Iterator[Job]:
    """dbt models: from curated files to marts. That of the inventory stops after a while, and nobody is told."""
    for name, inputs in (
        ("daily_sales", ("curated/orders",)),
        ("customer_360", ("curated/customers", "curated/orders")),
        ("payments_reconciled", ("curated/payments", "curated/orders")),
        ("inventory_levels", ("curated/inventory",)),
        ("access_report", ("curated/audit",)),
    ):
        yield BatchJob(
            Name("dbt", f"marts.{name}"),
            f"openlineage:dbt/{name}",
            tuple(map(lake, inputs)),
            (mart(name),),
            Runtime(pod=f"dbt-{name.replace('_', '-')}-{{}}", k8s_namespace="dbt", image="registry.acme/dbt:1.10"),
            period_us=5 * SECOND_US,
            duration_us=SECOND_US,
            last_us=start_us + STALE_AFTER_US - SECOND_US if name == STALE_MART.name.rpartition(".")[2] else 0,
        )


def _refreshes() -> Iterator[Job]:
    """Looker's refreshes: from marts to dashboards."""
    for name, inputs in (
        ("sales", ("daily_sales",)),
        ("customers", ("customer_360", "daily_sales")),
        ("operations", ("inventory_levels", "payments_reconciled")),
        ("compliance", ("access_report",)),
    ):
        yield BatchJob(
            Name("looker", f"refresh.{name}"),
            f"openlineage:looker/{name}",
            tuple(map(mart, inputs)),
            (dashboard(name),),
            Runtime(host="looker-1.acme"),
            period_us=6 * SECOND_US,
        )
