"""What the doors' rules for names cost: `python -m tests.support.measure_names [--count 20000]`. Needs nothing.

Microseconds of CPU a document, the best of five rounds: without rules, with those of the defaults and a known Kafka cluster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.support.doors import debezium_event, run_event

from headwater.doors.clusters import Cluster, ClusterBook
from headwater.doors.floods import Floods
from headwater.doors.folding import Folding
from headwater.doors.rules import NameRules
from headwater.openlineage.records import Converter, Record

ROUNDS: Final = 5


def documents(count: int, kind: str) -> list[dict[str, Any]]:
    """`repeated` ones differ in their time, `distinct` ones say something new each; `kafka`: of topics; `dates`: new names each."""
    made = []
    for number in range(count):
        at = f"2026-03-01T12:{number // 60 % 60:02}:{number % 60:02}.{number % 1_000_000:06}Z"
        job = {"namespace": "etl", "name": f"job-{number % 50}"}
        run = {"runId": "0195511c-3c00-7000-8000-000000000001", "facets": {"at": {"offset": number}}}
        if kind == "repeated":
            made.append(run_event(eventTime=at, job=job))
        elif kind == "distinct":
            made.append(run_event(eventTime=at, job=job, run=run))
        elif kind == "kafka":
            inputs = [{"namespace": "kafka://broker:9092", "name": f"topic-{number % 50}"}]
            made.append(run_event(eventTime=at, job=job, run=run, inputs=inputs))
        elif kind == "dates":
            outputs = [{"namespace": "s3://lake", "name": f"orders/{number}/dt=2026-11-26"}]
            made.append(run_event(eventTime=at, job=job, outputs=outputs))
        else:
            made.append(debezium_event(inputs=[("kafka://broker:9092", "orders")], configs=["topics=orders"], at=at))
    return made


def best_us(act: Callable[[], object], count: int) -> float:
    """Microseconds of CPU for each of `count`, the best of a few rounds."""
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        act()
        found.append(time.process_time() - began)
    return min(found) / count * 1e6


def converted(given: Sequence[dict[str, Any]], make: Callable[[], Converter]) -> Callable[[], object]:
    """All documents through a new converter."""

    def act() -> None:
        record = make().record
        for document in given:
            record(document, nulls=False)

    return act


def with_rules() -> Converter:
    """A converter with the default rules and a cluster that is known."""
    book = ClusterBook()
    book.learn(Cluster("x2Xk0p7bSTuNpzlXpAg2Qw", frozenset({"broker:9092"})))
    return Converter(rules=NameRules(book=book))


def held_back(given: Sequence[dict[str, Any]]) -> None:
    """A flood: converted, and all but the first held back."""
    converter, floods = with_rules(), Floods[Record]()
    for document in given:
        found = converter.record(document, nulls=False)
        assert isinstance(found, Record)
        floods.offer(found.flood, found, at_us=found.time_us, size=len(found.value), now_ms=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="documents of a kind; 20000")
    count = parser.parse_args().count
    for kind in ("repeated", "distinct", "kafka", "dates", "debezium"):
        given = documents(count, kind)
        plain, ruled = (best_us(converted(given, make), count) for make in (Converter, with_rules))
        print(f"{kind:10} without rules {plain:6.1f} µs, with them {ruled:6.1f} µs a document")  # noqa: T201 - what it is for
    flood = documents(count, "debezium")
    print(f"debezium, held back {best_us(lambda: held_back(flood), count):6.1f} µs a document")  # noqa: T201 - as above
    names = [f"orders-{number}/2026/11/26/part-00001.parquet" for number in range(count)]
    folding = Folding()
    fold_us = best_us(lambda: [folding.dataset("s3://lake", name) for name in names], count)
    print(f"a new name folds in {fold_us:.1f} µs")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
