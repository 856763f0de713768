"""What the doors do to names: the rules in force, by the settings alone."""

from __future__ import annotations

from collections.abc import Iterator

from headwater.doors.folding import DEFAULT_RULES
from headwater.runtime.models import DoorsSettings
from headwater_processor.local.doctor.findings import Check, Finding, Noting


def names_check(settings: DoorsSettings) -> Check:
    """The check; it asks nobody."""
    return Check("doors", lambda: of_names(settings))


def of_names(settings: DoorsSettings) -> Iterator[Finding]:
    """Which rules there are, and which of the usual ones are not. Pure."""
    say, rules = Noting("doors"), settings.rules()
    on = rules.folding.rules
    off = [rule for rule in DEFAULT_RULES if rule not in on]
    if on:
        kept = f"; never of {', '.join(settings.keep)}" if settings.keep else ""
        yield say.ok(f"in names fold {', '.join(on)}{kept}; what was said stays in the facet headwater_names")
    if off:
        yield say.warn(
            f"in names do not fold {', '.join(off)}: each day or run that is named so is a dataset or a job of its own",
            "leave doors.fold and doors.fold_off out, and name exceptions in doors.keep",
        )
    for known, target in sorted(settings.namespaces.items()):
        yield say.ok(f"namespace {known} is {target}")
    if settings.environment:
        yield say.ok(f"namespaces that mean something else elsewhere are marked {settings.environment}+")
    else:
        yield say.ok("no environment is named: hosts and jobs of the same name in staging and production would be one")
    if settings.join_clusters:
        yield say.ok("topics are joined by the id of their cluster, whatever address it is named by")
    else:
        yield say.warn("addresses of one Kafka are not joined", "leave doors.join_clusters out")
