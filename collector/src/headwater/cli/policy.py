"""`headwater policy`: policies from YAML files, checked, and put on the policies topic."""

from __future__ import annotations

from typing import Final

import click

from headwater.cli.context import invocation
from headwater.cli.groups import OpenGroup
from headwater.cli.output import emit_rows, note
from headwater.cli.progress import progress, tracked
from headwater.runtime.policy_files import read_policies
from headwater_schemas.policies import Policy

_COLUMNS: Final = ["subject", "kind", "namespace", "name", "owner", "criticality", "max_age_ms"]
_FORM: Final = """\b
Examples:
  headwater policy {command} policies/*.yaml

\b
A file is a list of policies:
  - dataset: snowflake://acme analytics.marts.*    or job: namespace name, or emitter: name; * and ? match
    owner: team-analytics
    criticality: high                              none, low, medium, high, critical
    max_age: 15m                                   stale after so long without a write; for, clear: of its alert
  - dataset: postgres://shop-db:5432 *
    source: true                                   nobody we know writes it, and that is right; likewise sink
  - dataset: kafka://a:9092 orders
    alias_of: kafka://b:9092 orders                the same dataset under another name
Further: subject (a unique name), tags, description.

\b
Exit codes: 0 all are right, 2 a file cannot be read, 3 Kafka cannot be reached,
4 a policy is wrong (nothing is applied).
"""

_FILES = click.argument("files", nargs=-1, required=True, metavar="FILE…")


JOINED_BY: Final = "headwater.policy_commands"
"""The entry-point group of commands that need the processor's rules: `show`, `test`."""


@click.group(
    cls=OpenGroup,
    joined_by=JOINED_BY,
    epilog="""\b
Examples:
  headwater policy validate policies/*.yaml
  headwater policy test s3://lake/orders/daily --file policies.yaml
  headwater policy apply policies.yaml
  headwater policy show
""",
)
def policy() -> None:
    """Check policies, put them in force, and see which holds for what and why."""


@policy.command(epilog=_FORM.format(command="validate"))
@_FILES
@click.pass_context
def validate(context: click.Context, files: tuple[str, ...]) -> None:
    """Check policy files, without Kafka."""
    found = read_policies(files)
    emit_rows(context, [_row(one) for one in found], _COLUMNS)
    note(context, f"{len(found)} {_plural(found)} right.")


@policy.command(epilog=_FORM.format(command="apply"))
@_FILES
@click.pass_context
def apply(context: click.Context, files: tuple[str, ...]) -> None:
    """Put the policies of some files in force. One with the same subject is replaced; others stay."""
    from headwater.cli.producing import Producing
    from headwater_schemas.codec import encode_policy
    from headwater_schemas.topics import catalogue

    found = read_policies(files)
    settings = invocation(context).settings()
    topic = catalogue(settings.topic_prefix)["policies"].name
    with (
        progress(context, "applying policies", len(found), unit="policies") as bar,
        Producing(settings.kafka, topic) as producing,
    ):
        for one in tracked(bar, found):
            producing.send(one.subject.encode(), encode_policy(one), one.subject)
    producing.raise_first_failure()
    emit_rows(context, [_row(one) for one in found], _COLUMNS)
    note(context, f"{len(found)} {_plural(found)} in force.")


def _plural(found: list[Policy]) -> str:
    return "policy is" if len(found) == 1 else "policies are"


def _row(one: Policy) -> dict[str, object]:
    return {
        "subject": one.subject,
        "kind": one.kind.value,
        "namespace": one.namespace,
        "name": one.name,
        "owner": one.owner,
        "criticality": one.criticality.value,
        "max_age_ms": one.max_age_ms,
        "for_ms": one.for_ms,
        "clear_ms": one.clear_ms,
        "source": one.source,
        "sink": one.sink,
        "alias_namespace": one.alias_namespace,
        "alias_name": one.alias_name,
        "tags": list(one.tags),
        "description": one.description,
    }
