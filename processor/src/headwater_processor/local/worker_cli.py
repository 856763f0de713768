"""`headwater worker`: one process, one core; `--processes N` for more. And `headwater worker resume PARTITION`."""

from __future__ import annotations

import atexit
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click

from headwater.cli.context import Invocation, invocation
from headwater.cli.output import emit_json
from headwater.errors import DeliveryError, HeadwaterError
from headwater.runtime.kafka import client_config, consumer_config, producer_config, translate
from headwater.runtime.models import Settings
from headwater.runtime.redis import check_policy, connect
from headwater.runtime.redis import translate as translate_redis
from headwater.runtime.settings import load
from headwater.transports.kafka import to_read

if TYPE_CHECKING:
    from headwater.runtime.http import HealthServer
    from headwater_processor.adapters.faust_app import App
    from headwater_processor.worker import Worker, WorkerConfig

log = logging.getLogger(__name__)

_MS: Final = 1000
_CHILD_STOP_S: Final = 15.0


def worker_config(settings: Settings) -> WorkerConfig:
    """What a worker is told, out of the settings."""
    from headwater.runtime.policy_files import read_policies
    from headwater_processor.core.judge_settings import JudgeSettings
    from headwater_processor.core.plan import Rules
    from headwater_processor.engine.engine import Limits
    from headwater_processor.worker import WorkerConfig

    p = settings.processor
    client_id, group = f"headwater-{os.getpid()}", settings.consumer_group
    consumer = consumer_config(
        settings.kafka, group=group, protocol=p.group_protocol, session_timeout_ms=p.session_timeout_ms, client_id=client_id
    )  # fmt: skip
    fetching = {"queued.min.messages": 30_000, "queued.max.messages.kbytes": 32_768, "fetch.queue.backoff.ms": 5,
                "max.poll.interval.ms": 60_000}  # fmt: skip
    grace_us = p.unlinked_grace_ms * _MS
    policies = tuple(read_policies(settings.policies))
    return WorkerConfig(
        consumer={**fetching, **consumer},
        producer={**producer_config(settings.kafka, client_id=client_id), "linger.ms": 1},
        client=client_config(settings.kafka, client_id=client_id),
        redis_client=lambda: connect(settings.redis, settings.domain),
        bootstrap_servers=settings.kafka.bootstrap_servers,
        group=group,
        domain=settings.domain,
        topic_prefix=settings.topic_prefix,
        registry={"url": settings.registry.url} if settings.registry.url else None,
        rules=Rules(
            lateness_us=p.lateness_ms * _MS, max_future_us=p.max_future_ms * _MS, horizon_us=p.horizon_ms * _MS,
            bucket_us=p.bucket_ms * _MS, backfill_age_us=p.backfill_age_ms * _MS, seen_ids_max=p.seen_ids_max,
            closed_runs_max=p.closed_runs_max, shards=p.shards,
        ),
        limits=Limits(p.bad_share_max, p.bad_window_ms * _MS, p.bad_min_records, p.outbox_max),
        judge=JudgeSettings(
            domain_grace_us=p.domain_grace_ms * _MS, read_grace_us=grace_us, written_grace_us=grace_us,
            job_grace_us=grace_us, emitter_silent_us=p.emitter_silent_ms * _MS, run_timeout_us=p.run_timeout_ms * _MS,
            blind_after_us=p.blind_after_ms * _MS,
        ),
        policies=policies,
        batch_records=p.batch_records,
        batch_linger_s=p.batch_linger_ms / _MS,
        schema_wait_s=p.schema_wait_ms / _MS,
        freshness_interval_s=p.freshness_interval_ms / _MS,
        sweep_interval_s=p.sweep_interval_ms / _MS,
        watchdog_interval_s=p.watchdog_interval_ms / _MS,
        asof_interval_s=p.asof_interval_ms / _MS,
        session_timeout_s=p.session_timeout_ms / _MS,
        on_empty_state=p.on_empty_state,
    )  # fmt: skip


def app_from_environment() -> App:
    """The app for plain `faust -A headwater_processor.adapters.faust_app worker`: settings from file and environment.

    Does what `headwater worker` does before its start, and ends the process with the same sentence and exit code where
    something is wrong: Faust would print a traceback.
    """
    from headwater.cli.root import tell
    from headwater.runtime import logs

    try:
        settings = load(environ=os.environ).settings
        logs.configure(settings.log)
        app = ready_app(settings)
        serve_metrics(app.headwater, settings)
    except HeadwaterError as error:
        sys.exit(tell(error))
    return app


def ready_app(settings: Settings) -> App:
    """The Faust app of a worker that has found everything as it must be: settings, policies, Redis, Kafka, topics, layout.

    What is wrong before the start is a sentence, not a crash inside Faust.

    Raises:
        HeadwaterError: what is wrong, and what to do.
    """
    from confluent_kafka import KafkaException
    from redis import RedisError

    from headwater_processor.adapters.faust_app import make_app
    from headwater_processor.worker import Worker

    try:
        check_policy(connect(settings.redis, settings.domain), settings.redis.url)
        worker = Worker(worker_config(settings))
        worker.prepare()
    except KafkaException as error:
        topic = f"{settings.topic_prefix}events"
        raise translate(error, settings.kafka.bootstrap_servers, to_read(topic)) from error
    except RedisError as error:
        raise translate_redis(error, settings.redis.url) from error
    folder = Path(tempfile.mkdtemp(prefix="headwater-worker-"))  # Faust wants one; nothing of ours is in it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return make_app(worker, folder)


def serve_metrics(worker: Worker, settings: Settings) -> HealthServer | None:
    """`/metrics`, `/healthz` and `/readyz` of a worker, as the settings say; None if they say no."""
    from headwater.runtime.http import serve
    from headwater_processor.metrics import WorkerCollector

    return serve(settings.metrics, [WorkerCollector(worker)], healthy=worker.healthy, ready=worker.ready)


def run_one(settings: Settings, report: Path | None = None) -> int:
    """Run a worker in this process until it is told to stop; returns the exit code."""
    import faust

    from headwater.runtime.errors import EXIT_BUG

    app = ready_app(settings)
    worker = app.headwater
    server = serve_metrics(worker, settings)
    started = time.monotonic()
    code = 0
    program = faust.Worker(
        app, loglevel="WARNING", quiet=True, redirect_stdouts=False, override_logging=False, logfile=None
    )
    program.spinner = None  # it writes to terminals and into log files alike
    try:
        program.execute_from_commandline()
    except SystemExit as ended:  # how Faust's worker always ends
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        worker.stop()
        if server is not None:
            server.close()
        if report is not None:
            report.write_text(json.dumps(_report(worker, time.monotonic() - started)), encoding="utf-8")
    failed = worker.failed()
    if isinstance(failed, DeliveryError):
        raise failed  # Kafka refuses us: a sentence, and no fault of ours
    return EXIT_BUG if failed is not None else code


def _report(worker: Worker, wall_s: float) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    stats = worker.stats
    return {
        "wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime, "max_rss_bytes": used.ru_maxrss * 1024,
        "records": stats.records, "batches": stats.batches, "operations": stats.operations,
        "images": worker.shards.drain.images if worker.started else 0,
        "stages_s": {
            "consume": worker.source.consume_s, "decode": stats.decode_s, "plan": stats.plan_s, "apply": stats.apply_s,
            "publish": worker.shards.publish_s, "judge": worker.shards.judge_s, "letters_wait": stats.letters_s,
        } if worker.started else {},
        "began": worker.source.began if worker.started else None,
    }  # fmt: skip


def run_many(processes: int, arguments: list[str]) -> int:
    """Run this many workers as children; when one ends by itself all end, with its code.

    What would stop all of them is found, and said, once before.
    """
    command = [sys.executable, "-m", "headwater.cli", *arguments, "worker"]
    checked = subprocess.run([*command, "--check"], stdout=subprocess.DEVNULL, check=False)  # noqa: S603 - ourselves
    if checked.returncode:
        return checked.returncode
    children = [subprocess.Popen(command, env=_child_env(n)) for n in range(processes)]  # noqa: S603 - ourselves
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    code = 0
    while not stopping:
        ended = next((child for child in children if child.poll() is not None), None)
        if ended is not None:
            log.error(
                "worker process %d ended by itself with code %s; stopping the others", ended.pid, ended.returncode
            )
            code = ended.returncode or 1
            break
        time.sleep(0.2)
    _stop_all(children)
    return code


def arguments_for_children(told: Invocation) -> list[str]:
    """The global options again. A running stack that was found is named, so that not each child looks for it and says so."""
    arguments = told.as_arguments()
    if told.loaded().running is None:
        return arguments
    found = told.settings()
    where = ["--kafka", found.kafka.bootstrap_servers, "--redis", found.redis.url, "--domain", found.domain]
    return [*arguments, *where, "--set", f"topic_prefix={found.topic_prefix}"]


def _child_env(number: int) -> dict[str, str]:
    """Each child serves its metrics on a port of its own, counted from the configured one."""
    environ = dict(os.environ)
    environ["HEADWATER_UP_METRICS_OFFSET"] = str(number)
    return environ


def _stop_all(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _CHILD_STOP_S
    for child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()


_EPILOG: Final = """\b
Examples:
  headwater worker
  headwater worker --check                  before a deployment, or as an init container
  headwater --kafka broker:9092 --redis redis://redis:6379/0 worker --processes 4
  headwater worker resume 3

\b
A worker reads its share of the events topic. Start as many as there are partitions, at most; Kafka's consumer group
shares them out. SIGTERM finishes what is in hand, commits and leaves; kill -9 loses nothing, the next owner begins at
the fence in Redis.

\b
Exit codes: 0 told to stop, 2 wrong usage or settings, 3 Kafka or Redis cannot be reached, 4 a topic is missing,
the state is another version's or Redis may evict keys, 70 a bug.
"""


@click.group(invoke_without_command=True, epilog=_EPILOG)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Workers on this machine.")
@click.option("--check", is_flag=True, help="Only see that settings, Kafka, topics and Redis are as they must be.")
@click.pass_context
def worker(ctx: click.Context, processes: int, check: bool) -> None:
    """Run a worker: consume events, keep the state, publish deltas and alerts."""
    if ctx.invoked_subcommand is not None:
        return
    settings: Settings = invocation(ctx).settings()
    if check:
        ready_app(settings)
        click.echo("Settings, Kafka, topics and Redis are as they must be.")
        return
    if processes > 1:
        ctx.exit(run_many(processes, arguments_for_children(invocation(ctx))))
    report = os.environ.get("HEADWATER_UP_REPORT")
    ctx.exit(run_one(settings, Path(report) if report else None))


_RESUME_EPILOG: Final = """\b
Examples:
  headwater status                          names the stopped partitions, why, and what helps
  headwater worker resume 3                 the bad records were looked at (headwater deadletter list)
  headwater worker resume 3 --skip-lost     what is gone from Kafka or Redis is gone

\b
Exit codes: 0 it goes on (its worker looks every two seconds), 2 wrong usage or settings,
3 Kafka or Redis cannot be reached, 4 the partition is not stopped, or would stop again at once.
"""


@worker.command(epilog=_RESUME_EPILOG)
@click.argument("partition", type=click.IntRange(0))
@click.option(
    "--skip-lost", is_flag=True, help="Go on with the oldest record left: accepts that records, or the state, are lost."
)
@click.pass_context
def resume(ctx: click.Context, partition: int, skip_lost: bool) -> None:
    """Let a stopped PARTITION go on.

    Bad records that are in the topic now go to the dead letters and do not stop the partition again.
    """
    from headwater_processor.core import stops
    from headwater_processor.local.resume import resume_partition

    done = resume_partition(invocation(ctx).settings(), partition, skip_lost=skip_lost)
    if invocation(ctx).wants_json:
        emit_json(asdict(done))
        return
    click.echo(f"partition {partition} goes on at offset {done.goes_on_at}; it was stopped: {done.was_stopped}")
    if stops.of_bad_records(done.was_stopped):
        click.echo(f"bad records before offset {done.bad_pass_until} go to the dead letters and do not stop it again")
