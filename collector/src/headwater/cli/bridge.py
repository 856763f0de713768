"""`headwater bridge`: OpenLineage documents from a Kafka topic into events."""

from __future__ import annotations

import click

from headwater.cli.context import invocation
from headwater.cli.extras import needing_extra, note_flags
from headwater.cli.output import emit_json_line, note

_EPILOG = """\b
Examples:
  headwater bridge --kafka broker:9092
  headwater bridge --topic openlineage.events --group headwater-bridge-old
  headwater bridge --output json                   # one line at the start, one at the end

\b
Reads what OpenLineage's Kafka transports write, as JSON, and writes events under the key of each event's own job. At least once;
an event that is read twice has the same id. What is no event goes to the dead letters as it came, with the reason.
Run as many as the topic has partitions: they share them.

\b
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 2 wrong usage or settings, 3 Kafka cannot be reached, lacks a topic or forbids it.
"""


@click.command(epilog=_EPILOG)
@click.option("--topic", metavar="NAME", help="Where the documents are.  [default: lineage.openlineage]")
@click.option("--group", metavar="NAME", help="Kafka consumer group.  [default: headwater-bridge]")
@click.pass_context
def bridge(context: click.Context, topic: str | None, group: str | None) -> None:
    """Read OpenLineage documents from Kafka, write events."""
    called = invocation(context)
    note_flags(called, {"--topic": ("bridge.topic", topic), "--group": ("bridge.group", group)})
    settings = called.settings()
    with needing_extra("gateway"):
        from headwater.bridge.bridging import Bridge
        from headwater.bridge.serving import run, source_of

    source = source_of(settings)

    def started(_bridge: Bridge) -> None:
        if called.wants_json:
            emit_json_line({"topic": source, "group": settings.bridge.group, "kafka": settings.kafka.bootstrap_servers})
        note(context, f"OpenLineage documents are read from {source}; Ctrl-C stops.")

    ended = run(settings, started=started)
    if called.wants_json:
        emit_json_line(dict(ended.outcomes))
    else:
        dead = sum(ended.outcomes[reason] for reason in ("empty", "not_json", "not_openlineage"))
        note(context, f"{ended.outcomes['converted']} converted, {dead} to the dead letters.")
