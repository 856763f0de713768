"""What `headwater policy show` and `policy test` say, as objects for programs and as lines for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headwater_processor.core.policy_reasons import Explanation, FieldReason, specificity
from headwater_processor.local.policy_topic import Held
from headwater_processor.local.texts import length
from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset
from headwater_schemas.policies import Policy, PolicyKind

_WORDS: Final = {"max_age_ms": "max_age", "for_ms": "for", "clear_ms": "clear"}
_NOTHING: Final = "–"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about, under the name that the state uses."""

    kind: PolicyKind
    name: Name


@dataclass(frozen=True, slots=True)
class Answer:
    """What holds, and why."""

    asked: Asked
    version: int
    values: Mapping[str, object]
    """What the judge goes by, all names of a dataset considered."""
    names: Sequence[Explanation]
    """One for each name that policies declare to be the same dataset."""
    held: Mapping[str, Held]
    changes: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    """Fields that the given files change: before and after."""
    compared: bool = False


def asked_name(kind: PolicyKind, text: str) -> Asked:
    """The name that a person means: "namespace name", or "namespace/name" where the namespace ends behind the host."""
    if kind is PolicyKind.EMITTER:
        return Asked(kind, Name("", text.strip()))
    namespace, name = _split(text.strip())
    return Asked(kind, canonical_dataset(namespace, name) if kind is PolicyKind.DATASET else Name(namespace, name))


def _split(text: str) -> tuple[str, str]:
    namespace, space, name = text.partition(" ")
    if space:
        return namespace, name.strip()
    scheme, sep, rest = text.partition("://")
    if sep:
        host, slash, name = rest.partition("/")
        return (scheme + sep + host, name) if slash else (text, "")
    namespace, slash, name = text.partition("/")
    return (namespace, name) if slash else ("", text)


def policy_row(held: Held) -> dict[str, Any]:
    """One policy as a row of `policy show`."""
    policy = held.policy
    return {
        "subject": policy.subject,
        "version": held.version if held.version >= 0 else "settings",
        "kind": policy.kind.value.lower(),
        "namespace": policy.namespace,
        "name": policy.name,
        "owner": policy.owner,
        "criticality": policy.criticality.value.lower(),
        "max_age": _shown("max_age_ms", policy.max_age_ms) if policy.max_age_ms else "",
        "max_age_ms": policy.max_age_ms,
        "for_ms": policy.for_ms,
        "clear_ms": policy.clear_ms,
        "source": policy.source,
        "sink": policy.sink,
        "alias_namespace": policy.alias_namespace,
        "alias_name": policy.alias_name,
        "tags": list(policy.tags),
        "description": policy.description,
        "origin": held.origin,
        "says": ", ".join(_also(policy)),
    }


def _also(policy: Policy) -> list[str]:
    said = [word for word, given in (("source", policy.source), ("sink", policy.sink)) if given]
    if policy.alias_name or policy.alias_namespace:
        said.append(f"alias of {policy.alias_namespace}/{policy.alias_name}")
    said += [f"{_WORDS[f]} {_shown(f, v)}" for f, v in (("for_ms", policy.for_ms), ("clear_ms", policy.clear_ms)) if v]
    return said + [f"#{tag}" for tag in policy.tags]


# --- policy test ----------------------------------------------------------------------------------------------------


def answer_object(found: Answer) -> dict[str, Any]:
    """For JSON."""
    return {
        "kind": found.asked.kind.value.lower(),
        "namespace": found.asked.name.namespace,
        "name": found.asked.name.name,
        "version": found.version,
        "effective": dict(found.values),
        "names": [_explanation_object(one, found.held) for one in found.names],
        "changes": {key: {"before": a, "after": b} for key, (a, b) in found.changes.items()}
        if found.compared
        else None,
    }


def _explanation_object(one: Explanation, held: Mapping[str, Held]) -> dict[str, Any]:
    return {
        "namespace": one.name.namespace,
        "name": one.name.name,
        "matched": [
            {
                "subject": policy.subject,
                "origin": held[policy.subject].origin,
                "version": held[policy.subject].version,
                "why": specificity(policy),
            }
            for policy in one.matched
        ],
        "fields": {
            reason.field: {
                "value": reason.value,
                "set_by": list(reason.set_by),
                "lost": [{"subject": said.subject, "value": said.value} for said in reason.lost],
            }
            for reason in one.fields
        },
    }


def answer_lines(found: Answer) -> RenderableType:
    """What a person sees."""
    parts: list[RenderableType] = []
    for one in found.names:
        parts += [Text(_title(one), "bold"), *_matched(one, found.held), Text()]
        if one.matched:
            parts += [_field_table(one), Text()]
    if len(found.names) > 1:
        together = ", ".join(f"{_WORDS.get(f, f)} {_shown(f, v)}" for f, v in found.values.items() if v)
        parts.append(Text(f"By policy these are one dataset; the strictest of all holds: {together or 'nothing'}"))
    if found.compared:
        parts += _change_lines(found)
    return Group(*parts) if parts[-1:] != [Text()] else Group(*parts[:-1])


def _title(one: Explanation) -> str:
    where = str(one.name) if one.kind is not PolicyKind.EMITTER else one.name.name
    return f"{one.kind.value.lower()} {where}"


def _matched(one: Explanation, held: Mapping[str, Held]) -> list[RenderableType]:
    if not one.matched:
        return [Text("no policy matches: nothing is declared, and freshness is learned from how often it is written")]
    lines: list[RenderableType] = []
    for at, policy in enumerate(one.matched, 1):
        place = held[policy.subject]
        origin = f"version {place.version}" if place.version >= 0 else f"from a {place.origin.removesuffix('s')}"
        pattern = f"{policy.namespace} {policy.name}".strip()
        lines.append(Text(f"  {at}. {policy.subject}  ({pattern}; {specificity(policy)}; {origin})"))
    return lines


def _field_table(one: Explanation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("FIELD", "HOLDS", "SET BY", "MATCHED TOO, AND LOST"):
        table.add_column(title, overflow="fold", no_wrap=title in ("FIELD", "HOLDS"))
    for reason in one.fields:
        table.add_row(*(Text(cell) for cell in _field_row(reason)))
    return table


def _field_row(reason: FieldReason) -> tuple[str, str, str, str]:
    lost = ", ".join(f"{said.subject} ({_shown(reason.field, said.value)})" for said in reason.lost)
    return (
        _WORDS.get(reason.field, reason.field),
        _shown(reason.field, reason.value),
        ", ".join(reason.set_by) or "nobody",
        lost or _NOTHING,
    )


def _change_lines(found: Answer) -> list[RenderableType]:
    if not found.changes:
        return [Text("Applying the files would change nothing here.", "green")]
    lines: list[RenderableType] = [Text("Applying the files would change:", "yellow")]
    for name, (before, after) in found.changes.items():
        lines.append(Text(f"  {_WORDS.get(name, name)}: {_shown(name, before)} → {_shown(name, after)}"))
    return lines


def _shown(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return length(value * 1_000) if value else _NOTHING
    if isinstance(value, bool):
        return "yes" if value else _NOTHING
    if isinstance(value, tuple):
        return ", ".join(value) or _NOTHING
    return str(value).lower() if name == "criticality" and value else str(value or _NOTHING)
