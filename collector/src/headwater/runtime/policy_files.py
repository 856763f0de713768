"""Policies as people write them: YAML into `headwater_schemas.policies.Policy`.

    - subject: marts                       # optional: made from the pattern if it is not given
      dataset: snowflake://acme analytics.marts.*        # or job: …, or emitter: …; or {namespace: …, name: …}
      owner: team-analytics
      criticality: high                    # none, low, medium, high, critical
      max_age: 15m                         # stale when nothing was written for so long; ms, s, m, h, d
      for: 1m                              # how long it must be so before an alert fires
      clear: 5m                            # how long it must be well before it resolves
      source: true                         # nobody we know writes it, and that is right
      alias_of: kafka://broker:9092 orders # the same dataset under another name; or {namespace: …, name: …}
      tags: [finance]
      description: Read by the board on Mondays.

The list may stand alone or under `policies:`. `namespace`, `name`, `kind` and `…_ms`, as on the wire, are taken too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from headwater.errors import HeadwaterError
from headwater.runtime.errors import RefusedError, UsageError
from headwater_schemas.policies import Criticality, Policy, PolicyKind

_KINDS: Final = {"dataset": PolicyKind.DATASET, "job": PolicyKind.JOB, "emitter": PolicyKind.EMITTER}
_DURATIONS: Final = {"max_age": "max_age_ms", "for": "for_ms", "clear": "clear_ms"}
_ON_THE_WIRE: Final = ("kind", "namespace", "name", "max_age_ms", "for_ms", "clear_ms", "alias_namespace", "alias_name")
_TEXTS: Final = ("subject", "owner", "description")
_KNOWN: Final = (
    *_KINDS, *_DURATIONS, *_TEXTS, *_ON_THE_WIRE, "criticality", "source", "sink", "alias_of", "tags",
)  # fmt: skip
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"(\d{1,12})\s*(ms|s|m|h|d)")
_LONGEST_MS: Final = 3650 * _UNIT_MS["d"]
_MOST_TEXT: Final = 2_000

Entry = Mapping[str, Any]  # Any: what YAML holds


class _Wrong(Exception):  # noqa: N818 - never leaves this module: it becomes a RefusedError with its place
    """A field of an entry, and what is wrong with it."""


def read_policies(paths: Iterable[str | Path]) -> list[Policy]:
    """The policies of some files, in order.

    Raises:
        UsageError: a file cannot be read.
        RefusedError: a file is no list of policies, an entry is wrong, or two policies have one subject; the message
            names file, entry (counted from 1) and field.
    """
    found: dict[str, str] = {}
    policies = []
    for path in paths:
        for at, policy in enumerate(_of_file(Path(path)), 1):
            place = f"{path}, policy {at}"
            if policy.subject in found:
                raise RefusedError(
                    f"{place}: subject {policy.subject!r} is that of {found[policy.subject]} too",
                    remedy="give each policy a subject of its own",
                )
            found[policy.subject] = place
            policies.append(policy)
    return policies


def parse_policies(text: str, origin: str) -> list[Policy]:
    """The policies in YAML text; `origin` names it in errors, which are those of `read_policies`."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RefusedError(f"{origin} is not valid YAML: {' '.join(str(error).split())}") from error
    if isinstance(document, dict) and set(document) == {"policies"}:
        document = document["policies"]
    if not isinstance(document, list):
        raise RefusedError(f"{origin} holds no list of policies", remedy="begin each with `- dataset: …`")
    return [_policy(entry, f"{origin}, policy {at}") for at, entry in enumerate(document, 1)]


def _of_file(path: Path) -> list[Policy]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the policies in {path}: {said}", remedy="name a readable file") from error
    return parse_policies(text, str(path))


def _policy(entry: object, place: str) -> Policy:
    try:
        if not isinstance(entry, dict):
            raise _Wrong("is not a set of fields")
        _refuse_unknown(entry)
        return _built(entry)
    except _Wrong as error:
        raise _refused(f"{place}: {error}") from error


def _refused(message: str) -> HeadwaterError:
    return RefusedError(message, remedy="headwater policy validate --help  # shows the form")


def _built(entry: Entry) -> Policy:
    kind, namespace, name = _subject_of(entry)
    alias_namespace, alias_name = _alias(entry)
    source, sink = _flag(entry, "source"), _flag(entry, "sink")
    if kind is not PolicyKind.DATASET and (source or sink or alias_name):
        raise _Wrong("source, sink and alias_of are for datasets")
    if alias_name and any(letter in namespace + name for letter in "*?"):
        raise _Wrong("alias_of needs an exact dataset, without * and ?")
    texts = {field: _text(entry, field) for field in _TEXTS}
    return Policy(
        subject=texts["subject"] or _default_subject(kind, namespace, name),
        namespace=namespace,
        name=name,
        kind=kind,
        owner=texts["owner"],
        criticality=_symbol(entry, "criticality", Criticality, Criticality.NONE),
        max_age_ms=_duration(entry, "max_age"),
        for_ms=_duration(entry, "for"),
        clear_ms=_duration(entry, "clear"),
        source=source,
        sink=sink,
        alias_namespace=alias_namespace,
        alias_name=alias_name,
        tags=_tags(entry),
        description=texts["description"],
    )


def _default_subject(kind: PolicyKind, namespace: str, name: str) -> str:
    return f"{kind.value.lower()}:{namespace}/{name}" if namespace else f"{kind.value.lower()}:{name}"


def _refuse_unknown(entry: Entry) -> None:
    for key in entry:
        if key not in _KNOWN:
            near = difflib.get_close_matches(str(key), _KNOWN, n=1)
            hint = f", did you mean {near[0]!r}?" if near else f"; known are {', '.join(_KNOWN)}"
            raise _Wrong(f"unknown field {key!r}{hint}")


def _subject_of(entry: Entry) -> tuple[PolicyKind, str, str]:
    named = [key for key in _KINDS if key in entry]
    if len(named) > 1 or (named and ("namespace" in entry or "name" in entry or "kind" in entry)):
        raise _Wrong("give one of dataset, job, emitter, or kind with namespace and name")
    if named:
        kind = _KINDS[named[0]]
        if kind is PolicyKind.EMITTER:
            return kind, "", _text(entry, "emitter") or _missing("emitter")
        return kind, *_pair(entry, named[0])
    kind = _symbol(entry, "kind", PolicyKind, PolicyKind.DATASET)
    name = _text(entry, "name") or _missing("dataset, job or emitter")
    namespace = _text(entry, "namespace")
    if not namespace and kind is not PolicyKind.EMITTER:
        raise _Wrong("namespace is missing")
    return kind, namespace, name


def _alias(entry: Entry) -> tuple[str, str]:
    if "alias_of" in entry:
        return _pair(entry, "alias_of")
    namespace, name = _text(entry, "alias_namespace"), _text(entry, "alias_name")
    if bool(namespace) != bool(name):
        raise _Wrong("alias_namespace and alias_name go together")
    return namespace, name


def _pair(entry: Entry, field: str) -> tuple[str, str]:
    """Namespace and name: `ns name` in one string (the first white space parts them), or as two fields."""
    value = entry[field]
    if isinstance(value, dict) and set(value) == {"namespace", "name"}:
        namespace, name = _text(value, "namespace"), _text(value, "name")
    elif isinstance(value, str):
        namespace, _, name = value.strip().partition(" ")
    else:
        raise _Wrong(f"{field}: write it as `namespace name`, or {{namespace: …, name: …}}")
    if not namespace or not name.strip():
        raise _Wrong(f"{field}: namespace or name is missing; write it as `namespace name`")
    return namespace, name.strip()


def _duration(entry: Entry, field: str) -> int:
    if field in entry and _DURATIONS[field] in entry:
        raise _Wrong(f"give {field} or {_DURATIONS[field]}, not both")
    value = entry.get(field, entry.get(_DURATIONS[field], 0))
    if field not in entry:
        found_ms = value if isinstance(value, int) and not isinstance(value, bool) else -1
    else:
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        found_ms = int(match[1]) * _UNIT_MS[match[2]] if match else (0 if value == 0 else -1)
    if not 0 <= found_ms <= _LONGEST_MS:
        raise _Wrong(f"{field}: {value!r} is no duration; write 30s, 15m, 2h or 1d")
    return found_ms


def _flag(entry: Entry, field: str) -> bool:
    value = entry.get(field, False)
    if not isinstance(value, bool):
        raise _Wrong(f"{field}: {value!r} is not true or false")
    return value


def _symbol(entry: Entry, field: str, kind: Any, default: Any) -> Any:  # Any: one of two enums
    value = entry.get(field, default.value)
    if not isinstance(value, str) or value.upper() not in kind.__members__:
        raise _Wrong(f"{field}: {value!r} is none of {', '.join(name.lower() for name in kind.__members__)}")
    return kind[value.upper()]


def _tags(entry: Entry) -> tuple[str, ...]:
    value = entry.get("tags", [])
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise _Wrong("tags: is not a list of words")
    return tuple(value)


def _text(entry: Entry, field: str) -> str:
    value = entry.get(field, "")
    if not isinstance(value, str):
        raise _Wrong(f"{field}: {value!r} is not text; put it in quotes")
    if len(value) > _MOST_TEXT:
        raise _Wrong(f"{field}: is longer than {_MOST_TEXT} characters")
    return value.strip()


def _missing(field: str) -> str:
    raise _Wrong(f"{field} is missing")
