"""`headwater bench`: what events, ids, datasets and a lost worker cost, on a real Kafka and a real Redis."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_json, emit_rows, note
from headwater.runtime.errors import EXIT_INTERRUPTED
from headwater_processor.local.bench.bench import MODES, WORKLOADS, Bench, InterruptedBenchError, Plan
from headwater_processor.local.bench.compare import COMPARED
from headwater_processor.local.bench.process import require_proc
from headwater_processor.local.bench.report import write_report
from headwater_processor.local.bench.run import run_bench
from headwater_processor.local.bench.sections import sections
from headwater_processor.local.running import until_signalled
from headwater_schemas.topics import TOPICS

_DECIDED: Final = ("domain", "topic_prefix", "processor.group", "metrics.port")
"""Settings of the worker that are the benchmark's own: it works beside whatever else is there."""
_DEFAULT_MODES: Final = ("throughput", "latency")
_DEFAULT_RATE: Final = (1_000,)
_RATES: Final = (1_000, 5_000, 10_000)

_EPILOG: Final = """\b
Modes:
  throughput  a full topic: events a CPU second of worker and Redis, by stage, the raw consume loop beside it
  latency     open loop: from the moment an event was to be sent to its image on the deltas
  rebuild     the state is dropped, the topic is read from its beginning
  memory      bytes of worker and Redis by datasets, edges and remembered ids
  takeover    how long a partition with many ids stands still when its owner leaves or is killed
  sdk         how long emit keeps the calling thread, and what the import takes
  all         all of these
Without a mode: throughput, then the latency at 1,000 events/s, of each workload. With modes the latency is
measured at 1,000, 5,000 and 10,000 events/s and with the first workload only.

\b
Examples:
  headwater bench --kafka localhost:9092 --redis redis://localhost:6379/0
  headwater bench all --report bench-report.md
  headwater bench --events 1000000 --output json > bench.json
  headwater bench throughput --workload cdc --workers 2
  headwater bench throughput --workload narrow --compare faust --compare quix
  headwater bench latency --rate 1000 --during rebalance --during sweep
  headwater bench memory --size 1000000 --ids 10000000
  headwater bench takeover --takeover-ids 10000000
  headwater bench throughput --set processor.batch_records=8000     other settings, to compare

\b
It fills topics of its own, starts workers on them as `headwater worker` does, and removes topics and
state afterwards. It needs a real Kafka and a real Redis, and is alone with them at best: the CPU of Redis
is that of the whole server, and its slow log is used while throughput is measured. narrow is about 250 bytes
an event, wide about 600 (pod, image, offsets), cdc is a busy sink: 100 records for each change of state.

\b
Exit codes: 0 measured, 2 wrong usage or settings, 3 Kafka or Redis cannot be reached, 4 the worker did not do its
work or the broker is the embedded one, 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.argument("modes", metavar="[MODE]...", nargs=-1, type=click.Choice([*MODES, "all"]))
@click.option("--events", type=click.IntRange(1000), default=1_000_000, show_default=True, help="Events of a workload.")
@click.option(
    "--workload",
    "workloads",
    type=click.Choice([*WORKLOADS, "both", "all"]),
    multiple=True,
    help="Which events; may be given several times.  [default: both: narrow and wide; for all: all three]",
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Workers, for throughput.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    default=TOPICS["events"].partitions,
    show_default=True,
    help="Partitions of the events topic.",
)
@click.option("--datasets", type=click.IntRange(10), default=5000, show_default=True, help="Datasets, used by Zipf.")
@click.option(
    "--rate",
    "rates",
    type=click.IntRange(1, 100_000),
    multiple=True,
    help="Events/s for the latency; may be given several times.",
)
@click.option(
    "--latency-seconds",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="How long the latency is measured; the first 3 s are left out; 0: not at all.",
)
@click.option(
    "--during",
    type=click.Choice(["rebalance", "sweep"]),
    multiple=True,
    help="Measure the latency once more while a worker comes and goes, or while many deadlines fall due.",
)
@click.option("--sweep", type=click.IntRange(1), default=100_000, show_default=True, help="Deadlines of the sweep.")
@click.option(
    "--compare",
    type=click.Choice(list(COMPARED)),
    multiple=True,
    help="Have another processor do a simpler job on the first workload's topic.",
)
@click.option(
    "--compare-events", type=click.IntRange(1000), default=50_000, show_default=True, help="Events that it reads."
)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(1),
    multiple=True,
    default=(1_000, 100_000),
    show_default=True,
    help="Datasets, for the memory.",
)
@click.option(
    "--ids",
    type=click.IntRange(1),
    multiple=True,
    default=(1_000_000,),
    show_default=True,
    help="Remembered ids, for the memory.",
)
@click.option(
    "--takeover-ids", type=click.IntRange(1), default=1_000_000, show_default=True, help="Live ids of the partition."
)
@click.option("--emits", type=click.IntRange(100), default=50_000, show_default=True, help="Calls of emit, for sdk.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the events: equal seeds, equal events.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write all of it there: .md, and .json beside it."
)
@click.pass_context
def bench(context: click.Context, /, report: Path | None, **chosen: Any) -> None:
    """Measure what events cost: CPU of worker and Redis, latency, memory, take-over."""
    require_proc()
    told = invocation(context)
    worker = (sys.executable, "-m", "headwater.cli", *told.as_arguments(without=_DECIDED), "worker")
    plan, settings = plan_of(chosen, worker), told.settings()
    with until_signalled() as stop:
        try:
            document = run_bench(Bench(plan, settings, lambda text: note(context, text), stop))
        except InterruptedBenchError:
            note(context, "Interrupted; topics, state and worker of the benchmark are gone.")
            context.exit(EXIT_INTERRUPTED)
    if report is not None:
        written = write_report(document, report)
        note(context, f"The report is in {written[0]} and {written[1]}.")
    if told.wants_json:
        emit_json(document)
    else:
        _show(context, document)


def plan_of(chosen: dict[str, Any], worker: tuple[str, ...]) -> Plan:  # Any: the values of click's options
    """The plan that the options mean. Values that depend on others: modes, workloads, rates."""
    named: tuple[str, ...] = chosen["modes"]
    modes = MODES if "all" in named else tuple(dict.fromkeys(named)) or _DEFAULT_MODES
    return Plan(
        events=chosen["events"],
        workloads=_workloads(chosen["workloads"], everything="all" in named),
        partitions=chosen["partitions"],
        datasets=chosen["datasets"],
        seed=chosen["seed"],
        rates=chosen["rates"] or (_RATES if named else _DEFAULT_RATE),
        latency_s=chosen["latency_seconds"],
        command=worker,
        modes=modes,
        every_latency=not named,
        workers=chosen["workers"],
        during=chosen["during"] or (("rebalance",) if "all" in named else ()),
        sweep=chosen["sweep"],
        compare=chosen["compare"],
        compare_events=chosen["compare_events"],
        sizes=chosen["sizes"],
        ids=chosen["ids"],
        takeover_ids=chosen["takeover_ids"],
        emits=chosen["emits"],
    )


def _workloads(named: tuple[str, ...], *, everything: bool) -> tuple[str, ...]:
    wanted = named or (("all",) if everything else ("both",))
    means = {"both": WORKLOADS[:2], "all": WORKLOADS}
    return tuple(dict.fromkeys(name for each in wanted for name in means.get(each, (each,))))


def _show(context: click.Context, document: dict[str, Any]) -> None:
    found = list(sections(document))
    for number, section in enumerate(found):
        if len(found) > 1:
            click.echo(("\n" if number else "") + section.title)
        emit_rows(context, section.rows, section.columns)
