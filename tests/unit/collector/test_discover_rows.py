"""Rows for people: orphans among groups and topics."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.support.discovered import INTERVAL_MS, NAMESPACE, NOW_MS, Cluster, group

from headwater.discover import metrics
from headwater.discover.observed import UNTOLD
from headwater.discover.orphans import Stillness
from headwater.discover.service import Discoverer, Look

README = Path(__file__).resolve().parents[3] / "collector" / "README.md"


def looked(cluster: Cluster, *, looks: int = 1, window: int = 3) -> tuple[Discoverer, Look]:
    found = Discoverer(cluster, namespace=NAMESPACE, interval_ms=INTERVAL_MS, window=window)
    for at in range(looks):
        look = found.look(NOW_MS + at * INTERVAL_MS, whole=True)
    return found, look


def test_groups_that_nobody_is_in_are_orphans_and_say_why() -> None:
    cluster = Cluster(
        groups=[
            group("alive", orders_0=5),
            group("left", members=0, orders_0=5),
            group("never", members=0),
            group("astray", members=0, gone_0=3),
            dataclasses.replace(group("elsewhere", members=0, reads=()), elsewhere=True),
            group("untold", members=0, state=UNTOLD, orders_0=5),
        ]
    )
    cluster.end(orders_0=10)
    found, look = looked(cluster)
    assert {row.group: row.orphan for row in found.groups(look)} == {
        "alive": (),
        "left": ("empty",),
        "untold": (),
        "never": ("no offsets",),
        "astray": ("empty", "topic gone"),
    }
    assert look.orphans == {"group empty": 2, "group no offsets": 1, "group topic gone": 1}


def test_topics_that_nobody_reads_or_writes_are_orphans_and_say_why() -> None:
    cluster = Cluster(dict.fromkeys(("orders", "nobody", "blank"), 1), [group(orders_0=5)])
    cluster.end(orders_0=10, nobody_0=7, blank_0=0)
    found, look = looked(cluster)
    rows = {row.topic: row for row in found.topics(look)}
    assert {topic: row.orphan for topic, row in rows.items()} == {
        "orders": (),
        "nobody": ("unread",),
        "blank": ("unread", "empty"),
    }
    assert (rows["orders"].groups, rows["orders"].records, rows["orders"].written_by) == (("loader",), 10, "unknown")
    assert rows["blank"].written_by == ""


def test_a_topic_is_still_after_a_window_of_looks() -> None:
    cluster = Cluster()
    cluster.end(orders_0=10)
    found, look = looked(cluster, looks=2)
    assert found.topics(look)[0].orphan == ("unread",)
    found, look = looked(cluster, looks=3)
    assert found.topics(look)[0].orphan == ("unread", "still")


def test_stillness_forgets_topics_that_are_gone() -> None:
    stillness = Stillness()
    stillness.look({("a", 0): 1}, ["a"])
    stillness.look({}, [])
    stillness.look({("a", 0): 1}, ["a"])
    assert stillness.still(2) == set()
    assert stillness.still(1) == {"a"}


def test_one_look_shows_lag_and_no_status() -> None:
    cluster = Cluster(groups=[group(orders_0=4)])
    cluster.end(orders_0=10)
    found, look = looked(cluster)
    (row,) = found.groups(look)
    assert (row.lag, row.status, row.trend) == (6, "", "")
    found, look = looked(cluster, looks=3)
    (row,) = found.groups(look)
    assert (row.lag, row.status, row.trend) == (6, "OK", "steady")


def test_the_readme_has_the_metrics() -> None:
    assert metrics.page() in README.read_text(encoding="utf-8")


def test_metrics_count_looks_statuses_and_the_groups_that_are_furthest_behind() -> None:
    cluster = Cluster(groups=[group("near", orders_0=9), group("far", orders_0=1)])
    cluster.end(orders_0=10)
    _, look = looked(cluster)
    counts = metrics.Counts()
    counts.done(look, 0.2)
    counts.failed("away")
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in metrics.DiscoverCollector(counts).collect()
        for sample in family.samples
    }
    assert told["headwater_discover_looks_total", "done"] == 1
    assert told["headwater_discover_looks_total", "failed"] == 1
    assert told["headwater_discover_group_lag_records", "far"] == 9
    assert told["headwater_discover_groups", "OK"] == 2
    assert told["headwater_discover_events_total",] == 2
