"""`headwater emit run -- CMD…`: a batch command as a run, whatever it is written in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from headwater.cli.emitting import emitter_of
from headwater.config import DEFAULT_NAMESPACE, PREFIX
from headwater.emitter import Emitter
from headwater.errors import HeadwaterError
from headwater.masking import mask
from headwater.reports import tell
from headwater.run import Run
from headwater.runtime.errors import UsageError
from headwater_schemas.events import Name

REPORT: Final = f"{PREFIX}REPORT"
"""Tells the command where it may write what it read and wrote."""

EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127
_SIGNALLED: Final = 128
_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

_EPILOG: Final = """\b
Examples:
  headwater emit run --job shop/load-orders --writes s3://lake orders/daily -- ./load.sh 2026-11-26
  headwater emit run --job shop/load --report out.json -- spark-submit load.py
  headwater emit run -- make nightly

\b
The report is JSON that the command writes: {"inputs": [{"namespace": …, "name": …, "rows": …}], "outputs": […]};
without --report its path is in HEADWATER_REPORT. Runs that the command starts itself name this one as their parent.

\b
Exit code: that of the command; 127 if there is no such command, 126 if it cannot be executed, 128 + n if signal n ended it.
Lineage that does not get out is a line on stderr and changes nothing.
"""


@click.command("run", epilog=_EPILOG, context_settings={"allow_interspersed_args": False})
@click.option("--job", metavar="NAMESPACE/NAME", help="The job.  [default: HEADWATER_JOB, else the command's name]")
@click.option("--reads", "--input", "reads", nargs=2, multiple=True, metavar="NAMESPACE NAME", help="What it reads.")
@click.option("--writes", nargs=2, multiple=True, metavar="NAMESPACE NAME", help="What it writes.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE", help="JSON that the command writes.")
@click.option("--backfill", is_flag=True, help="Old data is written again: it proves no freshness.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def run(
    context: click.Context,
    job: str | None,
    reads: tuple[tuple[str, str], ...],
    writes: tuple[tuple[str, str], ...],
    report: Path | None,
    command: tuple[str, ...],
    *,
    backfill: bool,
) -> None:
    """Run COMMAND as a run of a job: START, then COMPLETE, or FAIL with its exit code."""
    for namespace, name in (*reads, *writes):
        if name == "--":  # what ends the options was taken for the name
            raise UsageError(f"{namespace} has no name", remedy="--reads and --writes take two: s3://lake orders/daily")
    with ExitStack() as stack:
        emitter = stack.enter_context(_emitter(context, _name(job, command)))
        if report is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-report-"))
            report = Path(folder) / "report.json"
        elif report.exists():
            raise UsageError(f"the report {report} is there already", remedy="remove it: it may be of another run")
        opened = emitter.run(backfill=backfill)
        for namespace, name in reads:
            opened.reads(namespace, name)
        for namespace, name in writes:
            opened.writes(namespace, name)
        code = _supervise(opened, command, report)
    stats = emitter.stats()
    lost = 0 if emitter.switched_off else stats.failed + stats.pending + sum(stats.dropped.values())
    if lost:
        sys.stderr.write(f"headwater: {lost} lineage events did not get out; the command is not affected\n")
    context.exit(code)


def _supervise(opened: Run, command: tuple[str, ...], report: Path) -> int:
    """Start the command, wait for it, and say how it ended. Returns the exit code that is passed on."""
    environment = os.environ | opened.child_environment() | {REPORT: str(report)}
    opened.start()
    try:
        with _forwarding() as forward:
            process = subprocess.Popen(command, env=environment)  # noqa: S603 - it is what we were asked for
            forward.append(process)
            code = process.wait()
    except FileNotFoundError:
        return _not_started(opened, command, "there is no such command", EXIT_NOT_FOUND)
    except OSError as error:
        return _not_started(opened, command, error.strerror or str(error), EXIT_NOT_EXECUTABLE)
    for wrong in tell(opened, report):
        sys.stderr.write(f"headwater: {mask(wrong)}\n")
    if code == 0:
        opened.complete()
    elif code < 0:
        opened.abort(f"{command[0]} was ended by signal {-code} ({_signal_name(-code)})")
        return _SIGNALLED - code
    else:
        opened.fail(f"{command[0]} ended with exit code {code}")
    return code


def _not_started(opened: Run, command: tuple[str, ...], why: str, code: int) -> int:
    opened.fail(f"{command[0]} was not started: {why}")
    sys.stderr.write(f"error: {command[0]}: {why}\n")
    return code


@contextmanager
def _forwarding() -> Iterator[list[subprocess.Popen[bytes]]]:
    """While the command runs, signals are its business: what we get it gets, and how it ends is the end of the run."""
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, frame: FrameType | None) -> None:
        # A Ctrl-C reaches the whole group of the terminal, the command too.
        if number != signal.SIGINT or not sys.stdin.isatty():
            for child in children:
                if child.poll() is None:
                    child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _emitter(context: click.Context, job: Name) -> Emitter:
    """Settings that are wrong switch lineage off: the command has to run all the same."""
    try:
        return emitter_of(context, job=job, identity=f"emit:{job}")
    except HeadwaterError as error:
        sys.stderr.write(f"headwater: lineage is off: {mask(str(error))}\n")
        return Emitter(None, job=job)


def _name(job: str | None, command: tuple[str, ...]) -> Name:
    if job is None:
        space = os.environ.get(f"{PREFIX}NAMESPACE", "").strip() or DEFAULT_NAMESPACE
        return Name(space, os.environ.get(f"{PREFIX}JOB", "").strip() or Path(command[0]).name)
    namespace, _, name = job.rpartition("/")
    if not (namespace and name):
        raise UsageError(f"--job {job!r} has no namespace", remedy="write it as namespace/name")
    return Name(namespace, name)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
