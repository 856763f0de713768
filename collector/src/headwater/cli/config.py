"""`headwater config`: what the settings are, and why."""

from __future__ import annotations

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_rows
from headwater.runtime.settings import describe


@click.group()
def config() -> None:
    """Show the settings and where each comes from."""


@config.command(
    epilog="""\b
Examples:
  headwater config show
  headwater config show --changed --output json
  HEADWATER_PROCESSOR__LATENESS_MS=60000 headwater config show
"""
)
@click.option("--changed", is_flag=True, help="Only what is not left at its default.")
@click.pass_context
def show(context: click.Context, changed: bool) -> None:
    """Print every setting, its value and its origin; secrets are masked."""
    loaded = invocation(context).loaded()
    rows = [
        {"key": key, "value": value, "origin": loaded.origins.get(key, "default")}
        for key, value in describe(loaded.settings).items()
    ]
    emit_rows(context, [row for row in rows if not changed or row["origin"] != "default"], ["key", "value", "origin"])
