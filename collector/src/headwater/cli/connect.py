"""`headwater connect`: what to set where, for this installation, and then whether it speaks."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_json, note
from headwater.cli.printing import printable
from headwater.cli.progress import progress
from headwater.cli.when import duration_ms
from headwater.connect.causes import CONNECT, Cause, probable
from headwater.connect.guides import Guide, Wanted, guide
from headwater.connect.guides.functions import PLATFORMS
from headwater.connect.guides.parts import EXAMPLE_JOB, WAYS
from headwater.connect.hearing import SUBJECTS, Received, as_document
from headwater.connect.listening import Heard, Listener, listening
from headwater.connect.looking import Looker
from headwater.connect.places import Installation, installation_of
from headwater.errors import HeadwaterError
from headwater.runtime.errors import EXIT_REFUSED, UsageError
from headwater.runtime.models import Settings
from headwater_schemas.events import Name

Json = Any  # what JSON can hold

_DEFAULT_WAIT: Final = "300s"
_SAY_EVERY_S: Final = 30.0
"""Where no bar is drawn, a line so often says that it still waits."""

_EPILOG: Final = """\b
Examples:
  headwater connect debezium --connect http://connect:8083
  headwater connect openlineage --via http --gateway https://lineage.acme
  headwater connect job --job shop/load-orders --wait 60s
  headwater connect function --platform aws --no-wait
  headwater connect airflow --no-wait --output json | jq -r '.settings[].text'

\b
debezium      Debezium's own OpenLineage output, and the way without it
connect       Kafka Connect and its connectors, by headwater cdc
openlineage   any client of OpenLineage; airflow, spark, dbt: with settings of their own
job           a job in Python, by the SDK; kafka-client: consumers and producers
emit-run      any batch command
function      AWS Lambda, Google Cloud, Azure, Knative

\b
First it prints all settings, without secrets: <what stands in brackets> is yours to fill in. Then it waits for the first event
and says what it saw, or what is probably wrong. It only reads, and joins no consumer group.

\b
Exit codes: 0 an event came (or --no-wait), 2 wrong usage or settings, 3 Kafka cannot be reached, 4 no event came in time,
or there is no topic for one, 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.argument("subject", type=click.Choice(SUBJECTS))
@click.option("--job", metavar="NAMESPACE/NAME", help="The job: for the settings, and only its events count.")
@click.option("--via", type=click.Choice(WAYS), help="How documents or events get here.  [default: shows both]")
@click.option("--gateway", metavar="URL", default="", help="What others call the gateway by.  [default: gateway.url]")
@click.option("--connect", "connects", multiple=True, metavar="URL", help="Kafka Connect's REST API, to look at.")
@click.option("--platform", type=click.Choice(PLATFORMS), help="Of functions.  [default: all]")
@click.option("--wait", "wait", metavar="DURATION", help=f"How long to wait.  [default: {_DEFAULT_WAIT}]")
@click.option("--no-wait", is_flag=True, help="Print the settings, and end.")
@click.option("--since", metavar="DURATION", help="Events that came so long ago count too, as 10m.")
@click.pass_context
def connect(
    context: click.Context,
    subject: str,
    job: str | None,
    via: str | None,
    gateway: str,
    connects: tuple[str, ...],
    platform: str | None,
    wait: str | None,
    since: str | None,
    *,
    no_wait: bool,
) -> None:
    """Print the settings that let SUBJECT speak to this installation, then wait for its first event."""
    if no_wait and (wait or since):
        raise UsageError("--no-wait and --wait contradict each other", remedy="leave one of them out")
    wait_ms = duration_ms(wait or _DEFAULT_WAIT, "--wait")
    since_ms = time.time_ns() // 1_000_000 - duration_ms(since, "--since") if since else None
    named, settings = _name(job), invocation(context).settings()
    asked = connects or settings.cdc.connect
    place = installation_of(settings, gateway=gateway, connects=asked)
    ways = (via,) if via else WAYS
    told = guide(subject, place, Wanted(job=named or EXAMPLE_JOB, ways=ways, platform=platform or ""))
    call = _Call(context, settings, subject, named, place, told, ways, asked)
    if not call.wants_json:
        _print_guide(told)
    if not no_wait:
        call.listen(wait_ms / 1_000, since_ms)
    if call.wants_json:
        emit_json(call.document())
    if call.silent:
        context.exit(EXIT_REFUSED)


@dataclass(slots=True)
class _Call:
    """One invocation: what was asked, and what came of it."""

    context: click.Context
    settings: Settings
    subject: str
    job: Name | None
    place: Installation
    guide: Guide
    ways: tuple[str, ...]
    connects: Sequence[str]
    heard: Heard | None = None
    waited_s: float = 0.0
    causes: list[Cause] = field(default_factory=list)

    @property
    def wants_json(self) -> bool:
        return invocation(self.context).wants_json

    @property
    def silent(self) -> bool:
        """Whether nothing came that was waited for."""
        return self.heard is not None and self.heard.awaited is None

    def listen(self, wait_s: float, since_ms: int | None) -> None:
        """Wait, say meanwhile what is wrong for sure, and in the end what was seen or what is probable."""
        began_s = time.monotonic()
        events = self.place.topics["events"]
        try:
            with listening(self.settings.kafka, events, self.subject, self.job, since_ms=since_ms) as listener:
                looker = self._looker()
                self._say_early(looker, listener)
                self.heard = listener.heard
                self._wait(listener, began_s + wait_s)
        except HeadwaterError:
            if self.wants_json:  # what was found out is worth more than the outage
                emit_json(self.document())
            raise
        self.waited_s = time.monotonic() - began_s
        if self.silent:
            note(self.context, "No event came; looking for the reason …")
            self.causes = self._probable(looker, listener)
        if not self.wants_json:
            self._tell()

    def _looker(self) -> Looker:
        return Looker(self.subject, self.settings.kafka, self.place, ways=self.ways, connects=self.connects)

    def _probable(self, looker: Looker, listener: Listener) -> list[Cause]:
        facts = looker.facts(listener.heard.as_facts())
        return probable(self.subject, self.place, facts, ways=self.ways, job=str(self.job or ""))

    def _say_early(self, looker: Looker, listener: Listener) -> None:
        """What keeps events from coming is known before the time is over."""
        for cause in self._probable(looker, listener):
            if cause.is_sure or (self.subject in CONNECT and cause.remedy.startswith("add the settings")):
                note(self.context, f"so far: {printable(cause.text)}")

    def _wait(self, listener: Listener, until_s: float) -> None:
        left_s = max(0, round(until_s - time.monotonic()))
        what = f"waiting for the first event of {self.job or self.subject}"
        note(self.context, f"{self.guide.speaks}\n{what} on {self.place.topics['events']}, {left_s} s; Ctrl-C ends it")
        began_s = said_s = time.monotonic()
        with progress(self.context, what, left_s, unit="s") as bar:

            def each() -> None:
                nonlocal said_s
                now_s = time.monotonic()
                bar.advance(int(now_s - began_s) - bar.done)
                if now_s - said_s >= _SAY_EVERY_S and not sys.stderr.isatty():
                    said_s = now_s
                    note(self.context, f"{what}: {now_s - began_s:.0f} s, {listener.heard.others} other events came")

            listener.wait(until_s, each)

    def _tell(self) -> None:
        """What came, for people."""
        if self.heard is None:
            return
        if self.heard.awaited is not None:
            _print_heard(self.heard.awaited, self.waited_s)
            return
        others = f", {self.heard.others} other events did" if self.heard.others else ""
        lines = [f"No event of {self.job or self.subject} came within {self.waited_s:.0f} s{others}."]
        lines.append("That is why:" if any(cause.is_sure for cause in self.causes) else "Probably:")
        for cause in self.causes:
            lines.append(f"* {printable(cause.text)}")
            lines += [f"  → {printable(cause.remedy)}"] if cause.remedy else []
        sys.stdout.write("\n".join(lines) + "\n")

    def document(self) -> dict[str, Json]:
        """Everything, for programs."""
        told, heard = self.guide, self.heard
        awaited = heard.awaited if heard is not None else None
        return {
            "subject": self.subject,
            "title": told.title,
            "settings": [{"where": one.where, "form": one.form, "text": one.text} for one in told.snippets],
            "speaks": told.speaks,
            "remarks": list(told.remarks),
            "waited_s": round(self.waited_s, 3),
            "heard": as_document(awaited, time.time_ns() // 1_000) if awaited is not None else None,
            "others": heard.others if heard is not None else 0,
            "causes": [{"text": one.text, "remedy": one.remedy, "sure": one.is_sure} for one in self.causes],
        }


def _name(job: str | None) -> Name | None:
    if job is None:
        return None
    namespace, _, name = job.rpartition("/")
    if not (namespace and name):
        raise UsageError(f"--job {job!r} has no namespace", remedy="write it as namespace/name")
    return Name(namespace, name)


def _print_guide(told: Guide) -> None:
    lines = [told.title, ""]
    for number, snippet in enumerate(told.snippets, 1):
        lines += [f"--- {number}. {snippet.where}", snippet.text]
    lines.append("--- worth knowing")
    lines += [f"* {remark}" for remark in told.remarks]
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def _print_heard(heard: Received, waited_s: float) -> None:
    said = as_document(heard, time.time_ns() // 1_000)
    rows = [
        ("job", said["job"] or "none"),
        ("run", said["run_id"] or "none"),
        ("reads", ", ".join(said["inputs"]) or "nothing yet"),
        ("writes", ", ".join(said["outputs"]) or "nothing yet"),
        ("emitter", said["emitter"]),
        ("where", said["where"]),
        ("told", f"{said['event_age_ms'] / 1_000:.1f} s ago, partition {heard.partition} offset {heard.offset}"),
    ]
    lines = [f"It speaks: {said['event_type']} after {waited_s:.0f} s."]
    lines += [f"  {name:8} {printable(str(value))}" for name, value in rows if value]
    lines += [f"  but      {printable(remark)}" for remark in said["remarks"]]
    if said["job"]:
        lines.append(f"next: headwater status --job {printable(shlex.quote(said['job']))}  # once a worker has read it")
    sys.stdout.write("\n".join(lines) + "\n")
