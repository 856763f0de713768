"""`headwater deadletter`: what could not be read, why, and sending it again once the cause is mended."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import click

from headwater.cli.context import invocation
from headwater.cli.letters import Filters, Letter, hexdump, letter_of, parse_offsets, parse_place, receipt_of
from headwater.cli.output import emit_json, emit_rows, note
from headwater.cli.printing import printable
from headwater.cli.progress import progress
from headwater.cli.reading import reading
from headwater.cli.replaying import LEFT, Choice, Chooser, Outcome, Replay, letters_in, read_receipts
from headwater.cli.when import iso, time_ms
from headwater.errors import BrokerUnavailable, HeadwaterError
from headwater.runtime.errors import EXIT_INTERRUPTED, RefusedError, UsageError
from headwater.runtime.models import Settings
from headwater_schemas.codec import REASONS, Schemas
from headwater_schemas.explain import explain
from headwater_schemas.registry import RegistryStore, RegistryUnavailable, SchemaStore, Sources, registry_client
from headwater_schemas.topics import catalogue

_COLUMNS: Final = ("letter", "time", "reason", "source", "bytes", "replayed", "detail")
_C = TypeVar("_C", bound=Callable[..., Any])

_LIST_EPILOG: Final = """\b
Examples:
  headwater deadletter list
  headwater deadletter list --reason utf8 --since 2h
  headwater deadletter list --partition 0 --offsets 120-180 --output json | jq '.by_reason'

\b
Exit codes: 0 looked, 2 wrong usage or settings, 3 Kafka cannot be reached, 4 the topic does not exist.
"""
_SHOW_EPILOG: Final = """\b
Examples:
  headwater deadletter show 0:120
  headwater deadletter show 0:120 --output json | jq -r .value_hex | xxd -r -p > record.avro

\b
Exit codes: 0 shown, 2 wrong usage or settings, 3 Kafka cannot be reached, 4 there is no such letter.
"""
_REPLAY_EPILOG: Final = """\b
Examples:
  headwater deadletter replay --dry-run                  how many could be read now
  headwater deadletter replay --reason unknown_schema    once its schema is on lineage.schemas
  headwater deadletter replay --since 2h --yes           without asking, as in a script

\b
A letter goes back with its own bytes, key and headers to the partition it came from, with headers headwater.replayed.*
on top. What Kafka has acknowledged is noted on the topic of dead letters; the same command again goes on where it was
interrupted, and sends nothing twice but what a crash kept from being noted (500 at most).

\b
Exit codes: 0 done, 2 wrong usage or settings, 3 Kafka or the Schema Registry cannot be reached, 4 a topic does not
exist, 130 interrupted: start it again to go on.
"""


def _filters(command: _C) -> _C:
    options = (
        click.option(
            "--reason", "reasons", multiple=True, type=click.Choice(sorted(REASONS)), help="Only this reason."
        ),
        click.option("--since", metavar="WHEN", help="Refused since then: 2h (so long ago), or an ISO date and time."),
        click.option("--until", metavar="WHEN", help="Refused before then."),
        click.option("--partition", type=click.IntRange(0), help="Only this partition of the dead letters."),
        click.option("--offsets", metavar="FROM-TO", help="Only these offsets of the dead letters, both included."),
        click.option("--source-partition", type=click.IntRange(0), help="Only what came from this partition."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def deadletter() -> None:
    """List, show and replay what could not be read.

    \b
    Examples:
      headwater deadletter list
      headwater deadletter show 0:120
      headwater deadletter replay --dry-run
    """


@deadletter.command("list", epilog=_LIST_EPILOG)
@_filters
@click.option(
    "--limit", type=click.IntRange(0), default=50, show_default=True, help="Rows: the newest; 0: counts only."
)
@click.pass_context
def list_(context: click.Context, /, limit: int, **given: Any) -> None:
    """Count the dead letters by reason, and list the newest."""
    settings, filters = invocation(context).settings(), _read_filters(given)
    counts, done, newest = Counter[str](), 0, deque[tuple[Letter, bool]](maxlen=limit)
    with reading(settings.kafka, _topic(settings)) as reader:
        bounds = reader.bounds()
        total = sum(end - begin for begin, end in bounds.values())
        with progress(context, "reading dead letters", 2 * total, unit="records") as bar:
            receipts = read_receipts(reader, bounds, bar.advance)
            for letter in letters_in(reader, bounds, filters, bar.advance):
                replayed = receipts.holds(letter)
                counts[letter.reason] += 1
                done += replayed
                newest.append((letter, replayed))
    rows = sorted((_row(letter, replayed) for letter, replayed in newest), key=lambda row: str(row["time"]))
    if invocation(context).wants_json:
        emit_json(
            {"letters": counts.total(), "replayed": done, "by_reason": dict(counts.most_common()), "newest": rows}
        )
        return
    if not counts:
        note(context, f"{_topic(settings)} holds no letters{'' if filters == Filters() else ' that pass the filters'}")
        return
    by_reason = [{"reason": name, "letters": n, "means": REASONS.get(name, "?")} for name, n in counts.most_common()]
    emit_rows(context, by_reason, ("reason", "letters", "means"))
    if rows:
        sys.stdout.write("\n")
        emit_rows(context, rows, _COLUMNS)
    hidden = counts.total() - len(rows)
    more = f"; {hidden} older ones are not shown (--limit)" if hidden else ""
    note(context, f"{_letters(counts.total())}, {done} of them replayed{more}")


@deadletter.command(epilog=_SHOW_EPILOG)
@click.argument("place", metavar="PARTITION:OFFSET")
@click.option("--bytes", "most", type=click.IntRange(0), default=512, show_default=True, help="Bytes shown.")
@click.pass_context
def show(context: click.Context, place: str, most: int) -> None:
    """Show one letter: where it came from, what is wrong with it and in which field, its headers and bytes."""
    settings, (partition, offset) = invocation(context).settings(), parse_place(place)
    letter = _one(settings, partition, offset)
    found = _asking_registry(settings, lambda schemas: explain(letter.value or b"", schemas))
    document = {
        **_row(letter, None),
        "group": letter.group,
        "returned": letter.returned,
        "key": _shown(letter.key),
        "headers": [[name, _shown(value)] for name, value in letter.headers],
        "now": {
            "readable": not found.reason,
            "reason": found.reason,
            "detail": found.detail,
            "framing": found.framing,
            "schema": found.schema,
            "field": found.field,
            "at_byte": found.at,
            "read": {name: _plain(value) for name, value in found.read.items()},
        },
        "value_hex": (letter.value or b"").hex(),
    }
    if invocation(context).wants_json:
        emit_json(document)
    else:
        sys.stdout.write("\n".join(_lines(letter, document, most)) + "\n")


@deadletter.command(epilog=_REPLAY_EPILOG)
@_filters
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--again", is_flag=True, help="Send what was replayed before as well.")
@click.option("--unreadable", is_flag=True, help="Send what still cannot be read as well: it will be refused again.")
@click.option("--source-topic", metavar="NAME", help="Letters of this topic.  [default: the events topic]")
@click.pass_context
def replay(
    context: click.Context,
    /,
    dry_run: bool,
    yes: bool,
    again: bool,
    unreadable: bool,
    source_topic: str | None,
    **given: Any,
) -> None:
    """Send dead letters to the topic they came from again, those that can be read now."""
    settings = invocation(context).settings()
    source = source_topic or catalogue(settings.topic_prefix)["events"].name
    choice = Choice(_read_filters(given), source, again, unreadable)
    planned = _replay(context, settings, choice, send=False)
    if dry_run or not planned.sent:
        _report(context, planned, source, dry=True)
        return
    if not yes:
        _ask(planned.sent, source)
    _report(context, _replay(context, settings, choice, send=True), source, dry=False)


def _replay(context: click.Context, settings: Settings, choice: Choice, *, send: bool) -> Outcome:
    dead = _topic(settings)
    with reading(settings.kafka, choice.source_topic) as source:
        partitions = len(source.bounds())
    with reading(settings.kafka, dead) as reader:
        bounds = reader.bounds()
        total = sum(end - begin for begin, end in bounds.values())
        replaying = Replay(settings.kafka, dead, choice.source_topic, partitions)
        receipts = read_receipts(reader, bounds)

        def through(schemas: Schemas) -> None:
            chooser = Chooser(choice, receipts, schemas)
            with progress(context, "replaying" if send else "reading dead letters", total, unit="letters") as bar:
                for letter in letters_in(reader, bounds, choice.filters, bar.advance):
                    why = chooser.why_left(letter)
                    if why:
                        replaying.pass_over(letter, why)
                    elif send:
                        replaying.send(letter)
                    else:
                        replaying.outcome.sent += 1
                        replaying.outcome.by_reason[letter.reason] += 1

        try:
            _asking_registry(settings, through)
        except KeyboardInterrupt:
            if send:
                replaying.finish()
                _report(context, replaying.outcome, choice.source_topic, dry=False)
                note(context, "interrupted; the same command again goes on with the rest")
            context.exit(EXIT_INTERRUPTED)
        except HeadwaterError:
            with suppress(HeadwaterError):  # what arrived is noted all the same, where that still goes
                replaying.finish()
            if send:
                _report(context, replaying.outcome, choice.source_topic, dry=False)
            raise
        if send:
            replaying.finish()
    return replaying.outcome


def _ask(number: int, source: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{_letters(number)} would be sent to {source}, and nobody can be asked", remedy="add --yes")
    click.confirm(f"Send {_letters(number)} to {source} again?", abort=True, err=True)


def _report(context: click.Context, outcome: Outcome, source: str, *, dry: bool) -> None:
    if invocation(context).wants_json:
        emit_json(
            {
                "dry_run": dry,
                "sent": 0 if dry else outcome.sent,
                "would_be_sent": outcome.sent if dry else 0,
                "topic": source,
                "by_reason": dict(outcome.by_reason.most_common()),
                "left": {why: outcome.left.get(why, 0) for why in LEFT},
                "next_offsets": {str(partition): at for partition, at in sorted(outcome.next_offsets.items())},
            }
        )
        return
    verb = "would be sent" if dry else "sent and acknowledged"
    sys.stdout.write(f"{_letters(outcome.sent)} {verb} to {source}\n")
    for reason, number in outcome.by_reason.most_common():
        sys.stdout.write(f"  {number}  refused as {reason}\n")
    for why, number in outcome.left.most_common():
        sys.stdout.write(f"{number} left: each {LEFT[why]}\n")
    for partition, at in sorted(outcome.next_offsets.items()):
        sys.stdout.write(f"partition {partition}: noted up to offset {at - 1}, next {at}\n")


def _one(settings: Settings, partition: int, offset: int) -> Letter:
    topic = _topic(settings)
    with reading(settings.kafka, topic) as reader:
        bounds = reader.bounds()
        low, high = bounds.get(partition, (0, 0))
        if not low <= offset < high:
            has = f"it holds offsets {low} to {high - 1}" if high > low else "that partition holds nothing"
            raise RefusedError(
                f"{topic} has no letter {partition}:{offset}: {has}", remedy="headwater deadletter list  # names them"
            )
        for message in reader.records({partition: (offset, offset + 1)}):
            ranges = receipt_of(message)
            if ranges is not None:
                raise RefusedError(f"{partition}:{offset} is no letter: it notes that {ranges} were replayed")
            return letter_of(message)
    raise RefusedError(f"{topic} has no letter {partition}:{offset} any more")


def _asking_registry(settings: Settings, act: Callable[[Schemas], Any]) -> Any:
    """What `act` returns, given all schemas that are known. A registry that is away is an error of ours."""
    url = settings.registry.url
    store = SchemaStore()
    with reading(settings.kafka, catalogue(settings.topic_prefix)["schemas"].name) as reader:
        for message in reader.records(reader.bounds()):
            value = message.value()
            if value is not None:
                store.offer(value.decode("utf-8", "replace"))
    registry = RegistryStore(registry_client({"url": url})) if url else None
    try:
        return act(Sources(store, registry, lambda: int(time.monotonic() * 1000)))
    except RegistryUnavailable as error:
        raise BrokerUnavailable(f"the Schema Registry at {url}: {error}", remedy="check registry.url") from error


def _read_filters(given: Mapping[str, Any]) -> Filters:
    now_ms = time.time_ns() // 1_000_000
    since, until, offsets = given["since"], given["until"], given["offsets"]
    return Filters(
        reasons=tuple(given["reasons"]),
        since_ms=None if since is None else time_ms(since, "--since", now_ms),
        until_ms=None if until is None else time_ms(until, "--until", now_ms),
        partition=given["partition"],
        offsets=None if offsets is None else parse_offsets(offsets),
        source_partition=given["source_partition"],
    )


def _topic(settings: Settings) -> str:
    return catalogue(settings.topic_prefix)["deadletter"].name


def _row(letter: Letter, replayed: bool | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "letter": letter.place,
        "time": iso(letter.timestamp_ms),
        "reason": letter.reason,
        "source": f"{letter.source_topic}/{letter.source_partition}:{letter.source_offset}"
        if letter.source_topic
        else "?",
        "bytes": len(letter.value or b""),
        "detail": letter.detail,
    }
    return row if replayed is None else {**row, "replayed": replayed}


def _lines(letter: Letter, document: dict[str, Any], most: int) -> Iterator[str]:
    now, value = document["now"], letter.value or b""
    yield f"letter    {letter.place}, {document['time']}" + (
        ", replayed before and refused again" if letter.returned else ""
    )
    yield f"from      {document['source']}, refused by {letter.group or '?'}"
    yield f"reason    {letter.reason}: {REASONS.get(letter.reason, 'not one of ours')}"
    yield f"detail    {letter.detail or '-'}"
    if now["readable"]:
        yield f"now       can be read: headwater deadletter replay --partition {letter.partition} --offsets {letter.offset}"
    else:
        where = f", field {now['field']}, which begins at byte {now['at_byte']}" if now["field"] else ""
        yield f"now       {now['reason']}: {now['detail']}{where}"
    yield f"schema    {now['framing'] or 'no framing'} {now['schema']}".rstrip()
    yield f"key       {document['key'] if letter.key is not None else '-'}"
    for name, text in document["headers"]:
        yield f"header    {name}: {text}"
    for name, read in now["read"].items():
        yield f"read      {name}: {read}"
    yield f"bytes     {len(value)}" + (f", the first {most} of them" if len(value) > most else "")
    yield from hexdump(value, most)


def _letters(number: int) -> str:
    return f"{number:,} letter{'' if number == 1 else 's'}"


def _shown(value: bytes | str | None) -> str | None:
    if value is None:
        return None
    return printable(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value)


def _plain(value: Any) -> Any:  # Any: what Avro holds, and what JSON can
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str):
        return _shown(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {str(key): _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
