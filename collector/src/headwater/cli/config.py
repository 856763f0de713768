"""`headwater config`: what the settings are, and why."""

from __future__ import annotations

from typing import Final

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_rows
from headwater.runtime.settings import describe

_OTHER: Final = "A setting of librdkafka; its CONFIGURATION.md says what it means."


@click.group(
    epilog="""\b
Examples:
  headwater config show --changed
"""
)
def config() -> None:
    """Show the settings and where each comes from."""


@config.command(
    epilog="""\b
Examples:
  headwater config show
  headwater config show --explain                    with what each means
  headwater config show --changed --output json
  HEADWATER_PROCESSOR__LATENESS_MS=60000 headwater config show
"""
)
@click.option("--changed", is_flag=True, help="Only what is not left at its default.")
@click.option("--explain", is_flag=True, help="Say what each setting means as well.")
@click.pass_context
def show(context: click.Context, changed: bool, explain: bool) -> None:
    """Print every setting, its value and its origin; secrets are masked."""
    from headwater.runtime.setting_words import WORDS

    loaded = invocation(context).loaded()
    rows = [
        {"key": key, "value": value, "origin": loaded.origins.get(key, "default")}
        | ({"means": WORDS.get(key, _OTHER)} if explain else {})
        for key, value in describe(loaded.settings).items()
        if not changed or key in loaded.origins
    ]
    emit_rows(context, rows, ["key", "value", "origin", *(["means"] if explain else [])])
