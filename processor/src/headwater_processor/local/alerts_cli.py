"""`headwater alerts`: what fires, one incident with all that is known of it, and what people decide about them."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Sequence
from typing import Any, Final

import click

from headwater.cli import when
from headwater.cli.context import invocation
from headwater.cli.output import emit_json, emit_rows, note
from headwater.cli.printing import printable
from headwater.errors import HeadwaterError
from headwater.runtime.errors import RefusedError, UsageError
from headwater.runtime.models import Settings
from headwater_processor.local import incidents
from headwater_processor.local.incident_view import as_lines, as_object, facts_of
from headwater_processor.local.incidents import Desk, Incident, worth_showing
from headwater_processor.local.texts import ago, iso
from headwater_schemas.alerts import Alert
from headwater_schemas.decisions import OWN_KINDS, Decision, DecisionKind, ack_key, silence_key, subject_of

_COLUMNS: Final = ("incident", "state", "severity", "kind", "subject", "since", "owner", "decided")
_LONGEST_MS: Final = 30 * 86_400_000
_TEXT_MAX: Final = 2_000
_ID_SHOWN: Final = 12

_LIST: Final = """\b
Examples:
  headwater alerts list                          what fires now, pages first
  headwater alerts list --all                    and what was resolved, as far back as the topic goes
  headwater alerts list --output json | jq -r '.incidents[] | select(.severity == "PAGE") | .summary'

\b
Exit codes: 0 looked, 1 with --fail and something fires that nobody took on or silenced, 2 wrong usage or settings,
3 Kafka cannot be reached, 4 a topic does not exist.
"""
_SHOW: Final = """\b
Examples:
  headwater alerts show 2b1d4c6f

\b
Exit codes: 0 shown, 2 wrong usage or settings, 3 Kafka cannot be reached, 4 there is no such incident.
"""
_DECIDE: Final = """\b
Examples:
  headwater alerts ack 2b1d4c6f --note "the loader is being redeployed"
  headwater alerts silence 'postgres://shop-db:5432/*' --for 2h --reason "upgrade of shop-db"
  headwater alerts silence '*' --kind WrittenNeverRead --for 7d --reason "new platform, nobody reads it yet"
  headwater alerts unsilence 'postgres://shop-db:5432/*'

\b
Decisions stand on lineage.policies and expire by themselves. They change nothing of what is judged and published on
lineage.alerts: whoever notifies honours them, and alerts list shows them. A silence covers alerts about Headwater itself
(HeadwaterBlind, PartitionStopped) only if --kind names them, and never the Watchdog.

\b
Exit codes: 0 done, 2 wrong usage or settings, 3 Kafka cannot be reached, 4 there is no such incident or silence.
"""
_BY = click.option("--by", metavar="WHO", help="Who decides.  [default: the name of your login]")
_FOR = click.option(
    "--for",
    "length",
    metavar="TIME",
    default="1d",
    show_default=True,
    help="How long it holds: 30m, 2h, 7d; 30d at most.",
)


@click.group()
def alerts() -> None:
    """List what fires, take incidents on, silence.

    \b
    Examples:
      headwater alerts list
      headwater alerts show 2b1d4c6f
      headwater alerts ack 2b1d4c6f --note "the loader is being redeployed"
      headwater alerts silence 's3://lake/*' --for 2h --reason "upgrade of the lake"
    """


@alerts.command("list", epilog=_LIST)
@click.option("--all", "everything", is_flag=True, help="Also what was resolved, and the Watchdog.")
@click.option("--fail", is_flag=True, help="Exit with 1 if something fires that nobody took on or silenced.")
@click.pass_context
def list_(context: click.Context, /, everything: bool, fail: bool) -> None:
    """List the incidents that fire, who is on them, and the silences that hold."""
    now_us = incidents.now_us()
    desk = incidents.read(invocation(context).settings(), now_us)
    shown = [one for one in desk.incidents if everything or (one.firing and worth_showing(one))]
    shown.sort(key=lambda one: (not one.firing, _severity(one), one.last.since_us))
    silences = [one for one in desk.decisions if one.kind is DecisionKind.SILENCE]
    if invocation(context).wants_json:
        emit_json(
            {"incidents": [as_object(one) for one in shown], "silences": [decision_object(one) for one in silences]}
        )
    else:
        if shown:
            emit_rows(context, [_row(one, now_us) for one in shown], _COLUMNS)
        for one in silences:
            click.echo(printable(f"silenced: {_silence_words(one, now_us)}"))
        open_ = sum(one.firing and not one.decisions and worth_showing(one) for one in desk.incidents)
        firing = sum(one.firing and worth_showing(one) for one in desk.incidents)
        note(context, f"{firing} firing, {open_} of them taken on or silenced by nobody" if firing else "nothing fires")
    if fail and any(one.firing and worth_showing(one) and not one.decisions for one in desk.incidents):
        context.exit(1)


@alerts.command(epilog=_SHOW)
@click.argument("incident")
@click.pass_context
def show(context: click.Context, /, incident: str) -> None:
    """Show one INCIDENT: what was said, what helps, where its job ran, and commands to paste."""
    settings = invocation(context).settings()
    found = incidents.read(settings, incidents.now_us()).find(incident)
    facts, why_not = _facts(settings, found.last)
    if invocation(context).wants_json:
        emit_json(as_object(found, facts))
        return
    for line in as_lines(found, facts, incidents.now_us()):
        click.echo(printable(line))
    if why_not:
        note(context, f"where its job ran is not known: {why_not}")


@alerts.command(epilog=_DECIDE)
@click.argument("incident")
@_BY
@_FOR
@click.option("--note", "text", default="", help="What you know, or do.")
@click.pass_context
def ack(context: click.Context, /, incident: str, by: str | None, length: str, text: str) -> None:
    """Take an INCIDENT on: others see that somebody is on it."""
    settings, now_us = invocation(context).settings(), incidents.now_us()
    until_us = now_us + _length_us(length)
    desk = incidents.read(settings, now_us)
    found = desk.find(incident)
    if not found.firing:
        raise RefusedError(f"incident {found.last.incident_id} was resolved already", remedy="headwater alerts list")
    if not worth_showing(found):
        raise RefusedError("the Watchdog always fires, and nobody can take that on")
    last = found.last
    decision = Decision(
        ack_key(last.incident_id), DecisionKind.ACK, _who(by), now_us, until_us, _short(text, "--note"),
        incident_id=last.incident_id, fingerprint=last.fingerprint,
    )  # fmt: skip
    _put(context, settings, desk, decision, f"{decision.by} is on {last.kind} of {subject_of(last)} {_until(decision)}")


@alerts.command(epilog=_DECIDE)
@click.argument("pattern")
@_BY
@_FOR
@click.option("--reason", "text", required=True, help="Why nobody wants to hear of it.")
@click.option("--kind", default="", metavar="KIND", help="Only alerts of this kind, such as DatasetStale.")
@click.pass_context
def silence(context: click.Context, /, pattern: str, by: str | None, length: str, text: str, kind: str) -> None:
    """Silence alerts of subjects that match PATTERN: namespace/name, exact or with * and ?."""
    settings, now_us = invocation(context).settings(), incidents.now_us()
    if kind == "Watchdog":
        raise UsageError(
            "the Watchdog cannot be silenced: its silence is what wakes people", remedy="name another --kind, or none"
        )
    decision = Decision(
        silence_key(kind, _short(pattern, "PATTERN")), DecisionKind.SILENCE, _who(by), now_us,
        now_us + _length_us(length), _short(text, "--reason"), alert_kind=_short(kind, "--kind"), subject=pattern,
    )  # fmt: skip
    desk = incidents.read(settings, now_us)
    covered = sum(one.firing and decision.covers(one.last) for one in desk.incidents)
    what = kind or "all alerts"
    said = f"{what} of {pattern} silenced {_until(decision)}; {covered} of what fires now is covered"
    if not kind and any(one.firing and one.last.kind in OWN_KINDS for one in desk.incidents):
        said += " (alerts about Headwater itself are not: --kind names them)"
    _put(context, settings, desk, decision, said)


@alerts.command(epilog=_DECIDE)
@click.argument("pattern")
@click.option("--kind", default="", metavar="KIND", help="As it was given to silence.")
@click.pass_context
def unsilence(context: click.Context, /, pattern: str, kind: str) -> None:
    """Take the silence of PATTERN back."""
    settings = invocation(context).settings()
    desk = incidents.read(settings, incidents.now_us())
    key = silence_key(kind, pattern)
    if all(one.key != key for one in desk.decisions):
        others = [one for one in desk.decisions if one.kind is DecisionKind.SILENCE]
        same = next((one for one in others if one.subject == pattern), None)
        known = "; ".join(_silence_words(one, incidents.now_us()) for one in others[:5]) or "none holds"
        hint = f"headwater alerts unsilence {_shell(pattern)} --kind {_shell(same.alert_kind)}" if same else ""
        raise RefusedError(f"there is no such silence of {pattern!r}: {known}", remedy=hint or "headwater alerts list")
    incidents.take_back(settings, desk, [key])
    if invocation(context).wants_json:
        emit_json({"taken_back": key})
    else:
        click.echo(printable(f"{pattern} is silenced no more"))


def decision_object(one: Decision) -> dict[str, Any]:
    """A decision for programs."""
    return {
        "key": one.key,
        "kind": one.kind.value,
        "by": one.by,
        "made": iso(one.made_us),
        "until": iso(one.until_us),
        "note": one.note,
        "incident_id": one.incident_id,
        "alert_kind": one.alert_kind,
        "subject": one.subject,
    }


def _put(context: click.Context, settings: Settings, desk: Desk, decision: Decision, said: str) -> None:
    incidents.put(settings, desk, decision)
    if invocation(context).wants_json:
        emit_json(decision_object(decision))
    else:
        click.echo(printable(said))


def _facts(settings: Settings, alert: Alert) -> tuple[dict[str, Any], str]:
    """What the state knows of the job behind an alert; why not, where it cannot be asked."""
    from redis import RedisError

    from headwater.runtime.redis import connect, translate
    from headwater_processor.state import StateError, StateReader

    try:
        client = connect(settings.redis, settings.domain, timeout_s=5.0)
        try:
            return facts_of(StateReader(client, settings.domain), alert), ""
        except RedisError as error:
            return {}, translate(error, settings.redis.url).message
        except StateError as error:
            return {}, str(error)
        finally:
            client.close()
    except HeadwaterError as error:
        return {}, error.message


def _row(one: Incident, now_us: int) -> dict[str, object]:
    last = one.last
    return {
        "incident": last.incident_id[:_ID_SHOWN],
        "state": "FIRING" if one.firing else "RESOLVED",
        "severity": last.severity.value,
        "kind": last.kind,
        "subject": subject_of(last) or last.subject_kind,
        "since": ago(last.since_us, now_us) if last.since_us else "-",
        "owner": last.owner,
        "decided": _decided(one.decisions),
    }


def _decided(decisions: Sequence[Decision]) -> str:
    words = {DecisionKind.ACK: "taken on", DecisionKind.SILENCE: "silenced"}
    return "; ".join(f"{words.get(one.kind, '?')} by {one.by}" for one in decisions)


def _silence_words(one: Decision, now_us: int) -> str:
    kind = f"{one.alert_kind} of " if one.alert_kind else ""
    return f"{kind}{one.subject}, by {one.by}, ends {ago(one.until_us, now_us)}: {one.note}"


def _severity(one: Incident) -> int:
    return ("PAGE", "TICKET", "INFO").index(one.last.severity.value)


def _until(decision: Decision) -> str:
    return f"until {when.iso(decision.until_us // 1_000)}"


def _length_us(text: str) -> int:
    found = when.duration_ms(text, "--for")
    if found > _LONGEST_MS:
        raise UsageError(f"--for {text} is longer than 30d", remedy="decide again then, or change the policy")
    return found * 1_000


def _who(by: str | None) -> str:
    if by is not None and by.strip():
        return _short(by.strip(), "--by")
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UsageError(
            "nobody is logged in here, so it is not known who decides", remedy="say it with --by"
        ) from error


def _short(text: str, what: str) -> str:
    if len(text) > _TEXT_MAX or not text.isprintable():
        raise UsageError(
            f"{what} is longer than {_TEXT_MAX} characters, or has some that cannot be printed",
            remedy="write it shorter, in plain text",
        )
    return text


def _shell(text: str) -> str:
    return shlex.quote(text)
