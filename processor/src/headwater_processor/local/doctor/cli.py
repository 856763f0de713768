"""`headwater doctor`: every check, worst last, and an exit code for scripts."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Final

import click
from confluent_kafka import KafkaException
from redis import RedisError

from headwater.cli.context import invocation
from headwater.cli.output import emit_json, note
from headwater.cli.printing import printable
from headwater.runtime.errors import EXIT_FINDING, EXIT_UNREACHABLE
from headwater.runtime.kafka import translate as kafka_error
from headwater.runtime.models import Settings
from headwater.runtime.redis import translate as redis_error
from headwater_processor.local.doctor.findings import Finding, Level, findings
from headwater_processor.local.doctor.of_doors import DoorsDoctor
from headwater_processor.local.doctor.of_kafka import KafkaDoctor
from headwater_processor.local.doctor.of_names import names_check
from headwater_processor.local.doctor.of_redis import RedisDoctor
from headwater_processor.local.doctor.of_state import StateDoctor

_COLOURS: Final = {Level.OK: "green", Level.WARN: "yellow", Level.PROBLEM: "red"}
_EPILOG: Final = """\b
Examples:
  headwater doctor
  headwater doctor --production --fail           before you rely on it
  headwater doctor --output json | jq -r '.findings[] | select(.level == "problem") | .remedy'

\b
It only reads. Kafka's version is what its settings say; they do not say more than "4.0 or later" from then on.

\b
Exit codes: 0 looked, 1 with --fail and there is a problem, 2 wrong usage or settings,
3 Kafka, Redis or the Schema Registry cannot be reached (the rest is reported all the same).
"""


@click.command(epilog=_EPILOG)
@click.option("--production", is_flag=True, help="Also what an installation needs that must not lose anything.")
@click.option("--fail", is_flag=True, help="Exit with 1 if there is a problem.")
@click.option(
    "--timeout", type=click.FloatRange(0.5, 120), default=10.0, show_default=True, help="Seconds for each check."
)
@click.pass_context
def doctor(context: click.Context, /, production: bool, fail: bool, timeout: float) -> None:
    """Look at Kafka, Redis and Headwater's own state: what is wrong, and how to mend it."""
    told = invocation(context)
    settings = told.settings()
    kafka = KafkaDoctor(settings, timeout / 2, production)
    redis = RedisDoctor(settings, timeout / 2, production)
    checks = [*kafka.checks(), *redis.checks(), *StateDoctor(settings, timeout / 2).checks()]
    checks += DoorsDoctor(settings, timeout / 2).checks()
    made = []
    checks.append(names_check(settings.doors))
    for finding in findings(checks, timeout, lambda error: _translated(error, settings)):
        made.append(finding)
        if not told.wants_json:
            _print(finding)
    counts = Counter(one.level for one in made)
    if told.wants_json:
        rows = [{"check": one.check, "level": one.level.value, "text": one.text, "remedy": one.remedy} for one in made]
        emit_json({"findings": rows, "counts": {level.value: counts[level] for level in Level}})
    else:
        note(context, f"{counts[Level.PROBLEM]} problems, {counts[Level.WARN]} warnings, {counts[Level.OK]} well")
    if any(one.unreachable for one in made):
        context.exit(EXIT_UNREACHABLE)
    if fail and counts[Level.PROBLEM]:
        context.exit(EXIT_FINDING)


def _print(finding: Finding) -> None:
    from rich.console import Console
    from rich.text import Text

    said = printable(f"{finding.check}: {finding.text}")
    remedy = f"         → {printable(finding.remedy)}" if finding.remedy else ""
    if not sys.stdout.isatty():
        sys.stdout.write(f"{finding.level.value:8} {said}\n" + (f"{remedy}\n" if remedy else ""))
        sys.stdout.flush()
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"{finding.level.value:8} ", _COLOURS[finding.level]), said))
    if remedy:
        console.print(Text(remedy))


def _translated(error: Exception, settings: Settings) -> Exception:
    if isinstance(error, KafkaException):
        return kafka_error(error, settings.kafka.bootstrap_servers)
    return redis_error(error, settings.redis.url) if isinstance(error, RedisError) else error
