"""`headwater bench`: events a CPU second, latency and memory, on a real Kafka and a real Redis."""

from __future__ import annotations

import sys
from typing import Final

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_json, emit_rows, note
from headwater.runtime.errors import EXIT_INTERRUPTED
from headwater_processor.local.bench.bench import Bench, InterruptedBenchError, Plan
from headwater_processor.local.bench.figures import rows
from headwater_processor.local.bench.process import require_proc
from headwater_processor.local.bench.run import run_bench
from headwater_processor.local.running import until_signalled
from headwater_schemas.topics import TOPICS

WORKLOADS: Final = ("narrow", "wide")
_DECIDED: Final = ("domain", "topic_prefix", "processor.group", "metrics.port")
"""Settings of the worker that are the benchmark's own: it works beside whatever else is there."""

_EPILOG: Final = """\b
Examples:
  headwater bench --kafka localhost:9092 --redis redis://localhost:6379/0
  headwater bench --events 1000000 --output json > bench.json
  headwater bench --set processor.batch_records=8000        other settings, to compare
  headwater bench --workload narrow --events 100000 --latency-seconds 0

\b
It fills topics of its own, starts a worker on them as `headwater worker` does, and removes topics and
state afterwards. It needs a real Kafka and a real Redis, and is alone with them at best: the CPU of Redis
is that of the whole server. narrow is about 250 bytes an event, wide about 600 (pod, image, offsets).

\b
Exit codes: 0 measured, 2 wrong usage or settings, 3 Kafka or Redis cannot be reached, 4 the worker did not do its
work or the broker is the embedded one, 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.option("--events", type=click.IntRange(1000), default=1_000_000, show_default=True, help="Events of a workload.")
@click.option(
    "--workload", type=click.Choice([*WORKLOADS, "both"]), default="both", show_default=True, help="Which events."
)
@click.option(
    "--partitions", type=click.IntRange(1, 1024), default=TOPICS["events"].partitions, show_default=True,
    help="Partitions of the events topic.",
)  # fmt: skip
@click.option("--datasets", type=click.IntRange(10), default=5000, show_default=True, help="Datasets, used by Zipf.")
@click.option("--rate", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Events/s for latency.")
@click.option(
    "--latency-seconds", type=click.FloatRange(0), default=20.0, show_default=True,
    help="How long the latency is measured; the first 3 s are left out; 0: not at all.",
)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Of the events: equal seeds, equal events.")
@click.pass_context
def bench(
    context: click.Context,
    events: int,
    workload: str,
    partitions: int,
    datasets: int,
    rate: int,
    latency_seconds: float,
    seed: int,
) -> None:
    """Measure what events cost: CPU of worker and Redis, stages, memory, latency."""
    require_proc()
    told = invocation(context)
    chosen = WORKLOADS if workload == "both" else (workload,)
    worker = (sys.executable, "-m", "headwater.cli", *told.as_arguments(without=_DECIDED), "worker")
    plan = Plan(events, chosen, partitions, datasets, seed, rate, latency_seconds, worker)
    settings = told.settings()
    with until_signalled() as stop:
        try:
            document = run_bench(Bench(plan, settings, lambda text: note(context, text), stop))
        except InterruptedBenchError:
            note(context, "Interrupted; topics, state and worker of the benchmark are gone.")
            context.exit(EXIT_INTERRUPTED)
    if told.wants_json:
        emit_json(document)
    else:
        emit_rows(context, list(rows(document)), ["figure", *document["workloads"]])
