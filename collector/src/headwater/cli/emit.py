"""`headwater emit`: events into Kafka, from OpenLineage documents or from flags."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from headwater import __version__
from headwater.cli.context import invocation
from headwater.cli.emit_run import run
from headwater.cli.output import emit_json, note
from headwater.cli.producing import Producing
from headwater.doors.clusters import ClusterBook
from headwater.doors.floods import Floods
from headwater.errors import EventError
from headwater.openlineage import Rejected, iter_documents
from headwater.openlineage.records import Converter, Record, record_of
from headwater.runtime.doors import converter_of, told_cluster
from headwater.runtime.errors import EXIT_REFUSED, UsageError
from headwater.validation import check
from headwater_schemas.events import DatasetUse, EventType, LineageEvent, Measure, Name
from headwater_schemas.ids import new_event_id
from headwater_schemas.topics import catalogue

_PROGRESS_S: Final = 2.0
_SHOWN: Final = 20
"""Rejected documents told one by one; more are counted. JSON has all of them, up to `_KEPT`."""
_KEPT: Final = 1_000

_KINDS: Final = click.Choice([kind.value.lower() for kind in EventType], case_sensitive=False)

_EPILOG: Final = """\b
Examples:
  headwater emit --openlineage events.jsonl
  some-tool | headwater emit --openlineage -
  headwater emit run --job shop/load-orders --writes s3://lake daily -- ./load.sh
  headwater emit --job shop/orders --reads kafka://broker:9092 orders --writes s3://lake daily --rows 90

\b
Files of OpenLineage are JSON lines, one document, or an array; a repeated document is the same event and counts once.

\b
Exit codes: 0 all events arrived, 2 wrong usage or settings, 3 Kafka cannot be reached or refuses,
4 some documents are no events (each is named with its line and reason; all others were sent).
"""


@dataclass(slots=True)
class Tally:
    """What became of the documents."""

    documents: int = 0
    rejected: int = 0
    coalesced: int = 0
    """Held back, because an equal one was sent."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Datasets of Debezium's documents, by the reason why they are left out."""
    kept: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, place: str, reason: str) -> None:
        """Count a document that is no event."""
        self.rejected += 1
        if len(self.kept) < _KEPT:
            self.kept.append({"place": place, "reason": reason})


@click.group(epilog=_EPILOG, invoke_without_command=True)
@click.option("--openlineage", "files", multiple=True, metavar="FILE|-", help="OpenLineage documents; - is stdin.")
@click.option("--job", metavar="NAMESPACE/NAME", help="Send one event of this job.")
@click.option("--reads", "--input", "reads", nargs=2, multiple=True, metavar="NAMESPACE NAME", help="What it read.")
@click.option("--writes", nargs=2, multiple=True, metavar="NAMESPACE NAME", help="What it wrote.")
@click.option("--type", "kind", type=_KINDS, default="complete", show_default=True, help="What happened to the run.")
@click.option("--rows", type=click.IntRange(min=0), help="Rows written to each dataset that it wrote.")
@click.pass_context
def emit(
    context: click.Context,
    files: tuple[str, ...],
    job: str | None,
    reads: tuple[tuple[str, str], ...],
    writes: tuple[tuple[str, str], ...],
    kind: str,
    rows: int | None,
) -> None:
    """Send events to Kafka and wait until they have arrived; or `headwater emit run -- COMMAND`, a command as a run."""
    if context.invoked_subcommand is not None:
        if files or job is not None or reads or writes or rows is not None:
            raise UsageError(
                "options before `run` would be of an event", remedy="headwater emit run --job … -- COMMAND"
            )
        return
    by_flags = job is not None or reads or writes or rows is not None
    if bool(files) == bool(by_flags):
        raise UsageError("say what to send", remedy="give --openlineage FILE, or --job with --reads and --writes")
    tally = Tally()
    for file in files:
        _check_readable(file)
    event = None if files else _from_flags(job or "", reads, writes, EventType(kind.upper()), rows)
    producing = _send(context, files, event, tally)
    _report(context, tally, producing)


def _send(context: click.Context, files: tuple[str, ...], event: LineageEvent | None, tally: Tally) -> Producing:
    settings = invocation(context).settings()
    topic = catalogue(settings.topic_prefix)["events"].name
    book = ClusterBook()
    next_word_s = time.monotonic() + _PROGRESS_S
    with Producing(settings.kafka, topic) as producing:
        # Files may come from anywhere: localhost in them need not be ours.
        book.learn(told_cluster(producing.cluster, settings.kafka.bootstrap_servers, loopback=event is not None))
        if event is not None:
            tally.documents = 1
            records = iter([("the event", record_of(event, settings.doors.rules(book)))])
        else:
            records = _records(files, tally, converter_of(settings, book))
        for place, record in records:
            producing.send(record.key, record.value, place)
            if time.monotonic() > next_word_s:
                next_word_s += _PROGRESS_S
                note(context, f"{tally.documents} documents read, {producing.delivered} events arrived …")
    return producing


def _report(context: click.Context, tally: Tally, producing: Producing) -> None:
    summary: dict[str, Any] = {"documents": tally.documents, "sent": producing.delivered, "rejected": tally.rejected}
    if tally.coalesced or tally.left_out:
        summary |= {"coalesced": tally.coalesced, "datasets_left_out": dict(tally.left_out)}
    if invocation(context).wants_json:
        failed = [{"place": place, "reason": error.message} for place, error in producing.failed[:_KEPT]]
        emit_json({**summary, "failed": len(producing.failed), "rejections": tally.kept, "failures": failed})
    for refused in tally.kept[:_SHOWN]:
        sys.stderr.write(f"rejected: {refused['place']}: {refused['reason']}\n")
    if tally.rejected > _SHOWN:
        sys.stderr.write(f"rejected: {tally.rejected - _SHOWN} more\n")
    coalesced = f", {tally.coalesced} equal ones held back" if tally.coalesced else ""
    note(context, f"{tally.documents} read, {producing.delivered} arrived, {tally.rejected} rejected{coalesced}.")
    producing.raise_first_failure()
    if tally.rejected:
        context.exit(EXIT_REFUSED)


def _records(files: tuple[str, ...], tally: Tally, converter: Converter) -> Iterator[tuple[str, Record]]:
    """What the files' documents come to; of a flood of equal ones the first, and at the end the newest."""
    floods = Floods[Record]()
    tally.left_out = converter.left_out
    for file in files:
        for place, record in _from_file(file, tally, converter):
            chosen: Record | None = record
            if record.flood:
                now_ms = time.monotonic_ns() // 1_000_000
                chosen = floods.offer(record.flood, record, at_us=record.time_us, size=len(record.value), now_ms=now_ms)
                tally.coalesced += chosen is None
            if chosen is not None:
                yield place, chosen
    for heartbeat in floods.drain():
        yield "the last of equal events", heartbeat


def _from_file(file: str, tally: Tally, converter: Converter) -> Iterator[tuple[str, Record]]:
    with _as_path(file) as path:
        for line, document in iter_documents(path):
            tally.documents += 1
            place = f"{'standard input' if file == '-' else file}, line {line}"
            record = document if isinstance(document, Rejected) else converter.record(document)
            if isinstance(record, Rejected):
                tally.reject(place, str(record))
            else:
                yield place, record


def _check_readable(file: str) -> None:
    """A file that cannot be read is said before Kafka is looked for. A pipe is not opened: that works only once."""
    if file == "-" or Path(file).is_fifo():
        return
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", remedy="name a readable file") from error


@contextmanager
def _as_path(file: str) -> Iterator[str]:
    """The file's path; standard input and pipes go through a temporary file, for the form is found by a first look."""
    if file != "-" and not Path(file).is_fifo():
        yield file
        return
    with (
        tempfile.NamedTemporaryFile(prefix="headwater-emit-") as copy,
        nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as source,
    ):
        shutil.copyfileobj(source, copy)
        copy.flush()
        yield copy.name


def _from_flags(
    job: str,
    reads: tuple[tuple[str, str], ...],
    writes: tuple[tuple[str, str], ...],
    kind: EventType,
    rows: int | None,
) -> LineageEvent:
    namespace, slash, name = job.rpartition("/")
    if job and not (slash and namespace and name):
        raise UsageError(f"--job {job!r} has no namespace", remedy="write it as namespace/name")
    measures = () if rows is None else (Measure(rows=rows),)
    event = LineageEvent(
        event_id=new_event_id(),
        event_time_us=time.time_ns() // 1000,
        event_type=kind,
        job=Name(namespace, name),
        inputs=tuple(DatasetUse(*names) for names in reads),
        outputs=tuple(DatasetUse(*names, measures=measures) for names in writes),
        emitter=f"emit:{job}" if job else "emit",
        producer=f"headwater emit {__version__}",
    )
    try:
        check(event)
    except EventError as error:
        raise UsageError(error.message, remedy=error.remedy) from error
    return event


emit.add_command(run)
