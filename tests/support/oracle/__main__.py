"""`python -m tests.support.oracle`: produce generated events, or check what a processor made of them, by hand."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from tests.support.oracle.compare import Where, compare, feed
from tests.support.oracle.drive import Run, new_model
from tests.support.oracle.generator import Generator
from tests.support.oracle.records import Options
from tests.support.oracle.topics import partitions_of

log = logging.getLogger("oracle")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.oracle", description=__doc__)
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT")
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--domain", default="oracle")
    parser.add_argument("--prefix", default="oracle.", help="of all topic names (default: oracle.)")
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--datasets", type=int, default=400)
    parser.add_argument("--confluent", type=float, default=0.0, help="share in Confluent framing (needs a registry)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--produce-only", action="store_true", help="create the topics, produce, and leave")
    what.add_argument("--check-only", action="store_true", help="compare what is there with the events in Kafka")
    return parser.parse_args()


def main() -> int:
    """Without --produce-only or --check-only it does both, with a worker of its own between. 1: differences."""
    given = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    where = Where(given.kafka, given.redis, given.domain, given.prefix)
    run = Run(where, Path.cwd())
    if not given.check_only:
        if not partitions_of(given.kafka, where.events):
            run.create_topics(given.partitions)
        options = Options(
            events=given.events,
            seed=given.seed,
            partitions=given.partitions,
            datasets=given.datasets,
            confluent=given.confluent,
        )
        log.info("produced %s", run.produce(Generator(options).records()))
    if given.produce_only:
        return 0
    if not given.check_only:
        _work(run)
    model = new_model(with_registry=given.confluent > 0)
    feed(model, where)
    log.info("the model saw %d records", sum(p.next for p in model.partitions.values()))
    lines = compare(model, where)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "no difference\n")
    return 1 if lines else 0


def _work(run: Run) -> None:
    worker = run.start_worker()
    try:
        run.wait_until_quiet(worker)
    finally:
        run.stop_workers()


if __name__ == "__main__":
    sys.exit(main())
