"""`headwater policy show` and `policy test`: they need the processor's rules, so they join the group from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import click

from headwater.cli.context import invocation
from headwater.cli.output import emit_rows, note
from headwater.cli.progress import progress
from headwater.runtime.errors import EXIT_FINDING, UsageError
from headwater.runtime.policy_files import read_policies
from headwater_processor.core.policies import compile_policies
from headwater_processor.core.policy_reasons import effective, effective_values, explain
from headwater_processor.local.cli_support import answer
from headwater_processor.local.completing import complete_dataset, complete_job
from headwater_processor.local.policy_topic import Held, InForce, in_force
from headwater_processor.local.policy_view import Answer, Asked, answer_lines, answer_object, asked_name, policy_row
from headwater_schemas.policies import PolicyKind

_COLUMNS: Final = ["subject", "version", "kind", "namespace", "name", "owner", "criticality", "max_age", "says"]

_SHOW_EPILOG: Final = """\b
Examples:
  headwater policy show
  headwater policy show --kind job
  headwater policy show --output json | jq '.[] | select(.owner == "")'

\b
Exit codes: 0 shown, 2 wrong usage or settings, 3 Kafka cannot be reached, 4 the topic does not exist.
"""

_TEST_EPILOG: Final = """\b
Examples:
  headwater policy test 's3://lake orders/daily'             namespace, a space, name: as in a policy
  headwater policy test s3://lake/orders/daily               or with a slash
  headwater policy test --job k8s://shop/order-enricher
  headwater policy test --emitter debezium-orders
  headwater policy test s3://lake/orders/daily --file policies.yaml          before it is applied
  headwater policy test s3://lake/orders/daily --file policies.yaml --fail   1 if it would change anything
  headwater policy test s3://lake/orders/daily --file policies.yaml --offline

\b
Of the policies that match, the most specific is asked first, field by field, and the first that says something wins:
an exact name before a pattern, then the pattern with more literal characters. Tags add up.

\b
Exit codes: 0 answered, 1 with --fail and the files change what holds, 2 wrong usage or settings, or a file cannot
be read, 3 Kafka cannot be reached, 4 a policy is wrong, or the topic does not exist.
"""


@click.command(epilog=_SHOW_EPILOG)
@click.option(
    "--kind",
    type=click.Choice([kind.value.lower() for kind in PolicyKind]),
    help="Only policies for these.",
)
@click.pass_context
def show(context: click.Context, kind: str | None) -> None:
    """Show all policies in force, by subject, with their version: the offset in the topic of policies.

    Those that a worker takes from its settings are here too, unless the topic has one of the same subject.
    """
    found = _read(context)
    wanted = [
        found.held[subject]
        for subject in sorted(found.held)
        if kind is None or found.held[subject].policy.kind.value.lower() == kind
    ]
    emit_rows(context, [policy_row(held) for held in wanted], _COLUMNS)
    if not found.held:
        note(context, "no policy is in force: headwater policy apply FILE puts some there")


@click.command(epilog=_TEST_EPILOG)
@click.argument("dataset", required=False, shell_complete=complete_dataset)
@click.option("--job", metavar="NAME", shell_complete=complete_job, help="What holds for this job.")
@click.option("--emitter", metavar="NAME", help="What holds for this emitter.")
@click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    metavar="FILE",
    help="As if these policies were applied too, and what they would change; may be given several times.",
)
@click.option("--offline", is_flag=True, help="Only what the files of --file say: Kafka is not asked.")
@click.option("--fail", is_flag=True, help="Exit with 1 if the files would change what holds.")
@click.pass_context
def test(
    context: click.Context,
    dataset: str | None,
    job: str | None,
    emitter: str | None,
    files: tuple[str, ...],
    offline: bool,
    fail: bool,
) -> None:
    """Say what holds for DATASET and why, field by field: which policy set it, and which others matched and lost.

    DATASET need not exist. Give "namespace name" or "namespace/name"; with a slash the namespace ends behind the host.
    """
    asked = _asked(dataset, job, emitter)
    if offline and not files:
        raise UsageError("--offline has nothing to look at", remedy="name policies with --file")
    given = {policy.subject: Held(policy, "file") for policy in read_policies(files)}
    now = InForce() if offline else _read(context)
    then = replace(now, held={**now.held, **given})
    found = _answer(asked, then, _values(asked, now) if files and not offline else None)
    answer(context, lambda: answer_object(found), lambda: answer_lines(found))
    if fail and found.changes:
        context.exit(EXIT_FINDING)


def _read(context: click.Context) -> InForce:
    settings = invocation(context).settings()
    with progress(context, "reading policies", unit="records") as bar:
        found = in_force(settings, bar.advance)
    for line in found.unreadable:
        note(context, line)
    return found


def _asked(dataset: str | None, job: str | None, emitter: str | None) -> Asked:
    given = [
        (kind, text)
        for kind, text in ((PolicyKind.DATASET, dataset), (PolicyKind.JOB, job), (PolicyKind.EMITTER, emitter))
        if text
    ]
    if len(given) != 1:
        raise UsageError("say one thing to test", remedy="a DATASET, --job NAME or --emitter NAME")
    return asked_name(*given[0])


def _answer(asked: Asked, policies: InForce, before: Mapping[str, object] | None) -> Answer:
    compiled = compile_policies(policies.policies(), policies.version)
    names = compiled.same_as(asked.name) if asked.kind is PolicyKind.DATASET else (asked.name,)
    values = effective_values(effective(compiled, asked.kind, asked.name))
    changes = {} if before is None else {k: (before[k], v) for k, v in values.items() if before[k] != v}
    return Answer(
        asked=asked,
        version=policies.version,
        values=values,
        names=tuple(explain(compiled, asked.kind, name) for name in names),
        held=policies.held,
        changes=changes,
        compared=before is not None,
    )


def _values(asked: Asked, policies: InForce) -> Mapping[str, object]:
    compiled = compile_policies(policies.policies(), policies.version)
    return effective_values(effective(compiled, asked.kind, asked.name))
