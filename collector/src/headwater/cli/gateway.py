"""`headwater gateway`: OpenLineage by HTTP. And `headwater gateway token`: a new token, and the line for the file of tokens."""

from __future__ import annotations

import secrets
import sys

import click

from headwater.cli.context import invocation
from headwater.cli.extras import needing_extra, note_flags
from headwater.cli.output import emit_json, note
from headwater.runtime.errors import UsageError

_EPILOG = """\b
Examples:
  headwater gateway --kafka broker:9092
  headwater gateway --host 0.0.0.0 --tokens tokens.yaml --spool /var/lib/headwater/spool
  headwater gateway token --name airflow --namespace 'shop-*'
  OPENLINEAGE_URL=http://localhost:5000 airflow …        # a client; nothing else to set

\b
POST /api/v1/lineage and /api/v1/lineage/batch answer 2xx when Kafka (or the spool) has the events, 4xx with the JSON path of what
is wrong, 503 when they are to be sent again. GET /healthz, /readyz, /metrics, /openapi.json.

\b
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 2 wrong usage or settings.
"""

_EXAMPLES = """\b
Examples:
  headwater gateway token --name airflow
  headwater gateway token --name dbt --namespace 'shop-*' --expires 2027-12-31
"""


@click.group(invoke_without_command=True, epilog=_EPILOG)
@click.option("--host", metavar="ADDRESS", help="Where to listen.  [default: 127.0.0.1]")
@click.option("--port", metavar="PORT", help="And on which port; 0 takes a free one.  [default: 5000]")
@click.option("--tokens", metavar="FILE", help="YAML file of hashed tokens; without it anybody may write.")
@click.option("--spool", metavar="FOLDER", help="Keep on disk what Kafka does not take now.")
@click.pass_context
def gateway(context: click.Context, host: str | None, port: str | None, tokens: str | None, spool: str | None) -> None:
    """Take OpenLineage events by HTTP."""
    if context.invoked_subcommand is not None:
        return
    called = invocation(context)
    note_flags(
        called,
        {
            "--host": ("gateway.host", host),
            "--port": ("gateway.port", port),
            "--tokens": ("gateway.tokens_file", tokens),
            "--spool": ("gateway.spool", spool),
        },
    )
    settings = called.settings()
    with needing_extra("gateway"):
        from headwater.gateway.serving import run

    def listening(url: str) -> None:
        if called.wants_json:
            emit_json({"url": url, "lineage": f"{url}/api/v1/lineage", "kafka": settings.kafka.bootstrap_servers})
            sys.stdout.flush()
        note(context, f"OpenLineage events are taken at {url}/api/v1/lineage; Ctrl-C stops.")

    run(settings, listening=listening)


@gateway.command(epilog=_EXAMPLES)
@click.option("--name", required=True, metavar="NAME", help="Whose token it is; for logs and answers.")
@click.option(
    "--namespace", "namespaces", multiple=True, metavar="PATTERN", help="Namespaces of jobs; several.  [default: *]"
)
@click.option("--scope", "scopes", multiple=True, help="lineage:write, metrics:read.  [default: lineage:write]")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Until when, as 2027-12-31.")
@click.pass_context
def token(
    context: click.Context,
    name: str,
    namespaces: tuple[str, ...],
    scopes: tuple[str, ...],
    expires: click.DateTime | None,
) -> None:
    """Make a token. It is shown once; the file holds its hash."""
    from headwater.gateway.access import SCOPES, WRITE, hashed

    wrong = sorted(set(scopes) - SCOPES)
    if wrong:
        raise UsageError(f"there is no scope {wrong[0]!r}", remedy=f"known are {', '.join(sorted(SCOPES))}")
    made = f"hw_{secrets.token_urlsafe(32)}"
    entry: dict[str, object] = {
        "name": name,
        "sha256": hashed(made),
        "scopes": list(scopes) or [WRITE],
        "namespaces": list(namespaces) or ["*"],
    }
    if expires is not None:
        entry["expires"] = str(expires)[:10]
    if invocation(context).wants_json:
        emit_json({"token": made, "entry": entry})
        return
    import yaml

    sys.stdout.write(f"{made}\n")
    note(context, "The client sends it as Authorization: Bearer. Put this under `tokens:` in the file of tokens:")
    note(context, yaml.safe_dump([entry], sort_keys=False, default_flow_style=False).rstrip())
