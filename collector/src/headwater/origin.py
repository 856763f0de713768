"""Where a run comes from: the run that started this process, the root of the chain, and the trace, as the environment says.

| variable | meaning |
|---|---|
| `HEADWATER_PARENT_ID` | the run that started this process: `<namespace>/<job>/<run id>` |
| `HEADWATER_ROOT_PARENT_ID` | the run where the whole chain began, in the same form |
| `OPENLINEAGE_PARENT_ID`, `OPENLINEAGE_ROOT_PARENT_ID` | the same from OpenLineage (Airflow's macros, dbt-ol); ours win |
| `OPENLINEAGE_PARENT_RUN_ID`, `…_JOB_NAMESPACE`, `…_JOB_NAME` | the same in three; also `OPENLINEAGE_ROOT_PARENT_RUN_ID`, … |
| `TRACEPARENT` | W3C trace context, where no OpenTelemetry span is active |

In our variables `/` and `%` of a namespace or a name are written `%2F` and `%25`; OpenLineage writes them as they are,
so there the last part is the run id, the one before it the name, and all the rest the namespace.

The environment never makes a job fail: a value that cannot be read is warned about once and ignored.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from headwater.errors import ConfigError
from headwater.masking import bounded, mask
from headwater_schemas.events import Name

log = logging.getLogger(__name__)

PARENT_ID: Final = "PARENT_ID"
ROOT_PARENT_ID: Final = "ROOT_PARENT_ID"
OURS: Final = "HEADWATER_"
OPENLINEAGE: Final = "OPENLINEAGE_"
TRACEPARENT: Final = "TRACEPARENT"

Trace = tuple[bytes | None, bytes | None]
"""Trace id (16 bytes) and span id (8 bytes); both or neither."""

NO_TRACE: Final[Trace] = (None, None)

# https://www.w3.org/TR/trace-context/#traceparent-header: version ff is forbidden; later versions may add fields.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
)
_PARTS: Final = 3
_warned: set[str] = set()
_warned_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ParentRun:
    """A run in another process that started this one; `root` is where the whole chain began, if known."""

    id: uuid.UUID
    job: Name
    root: ParentRun | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a process was told about where it comes from."""

    parent: ParentRun | None = None
    trace: Trace = NO_TRACE


def read_origin(environ: Mapping[str, str]) -> Origin:
    """Parent, root and trace from the variables above. Raises nothing."""
    parent = _parent(environ, PARENT_ID)
    if parent is not None:
        parent = ParentRun(parent.id, parent.job, _parent(environ, ROOT_PARENT_ID))
    trace = NO_TRACE
    if given := environ.get(TRACEPARENT, "").strip():
        try:
            trace = parse_traceparent(given)
        except ConfigError as error:
            _warn(TRACEPARENT, given, error.remedy)
    return Origin(parent, trace)


def child_environment(parent: ParentRun, trace: Trace) -> dict[str, str]:
    """The variables above for a process that `parent` starts.

    OpenLineage's are left out for a job with a slash in its name or namespace: older versions of dbt-ol fail on them.
    """
    told = {PARENT_ID: parent, ROOT_PARENT_ID: parent.root or parent}
    environ = {f"{OURS}{name}": "/".join((*map(_quoted, _names(run)), str(run.id))) for name, run in told.items()}
    if not any("/" in part for run in told.values() for part in _names(run)):
        environ |= {f"{OPENLINEAGE}{name}": "/".join((*_names(run), str(run.id))) for name, run in told.items()}
    if trace[0] and trace[1]:
        environ[TRACEPARENT] = f"00-{trace[0].hex()}-{trace[1].hex()}-01"
    return environ


def parse_traceparent(text: str) -> Trace:
    """Trace id and span id of a W3C trace context.

    Raises:
        ConfigError: it is none.
    """
    match = _TRACEPARENT.fullmatch(text.strip().lower())
    if match is None:
        raise ConfigError(
            f"traceparent {text[:80]!r} is no W3C trace context",
            remedy="give 00-<32 hex>-<16 hex>-<2 hex>, not all zero",
        )
    return bytes.fromhex(match[1]), bytes.fromhex(match[2])


def active_trace() -> Trace:
    """The OpenTelemetry span that is active here and now, if there is one.

    OpenTelemetry is looked for among the modules that are loaded: where nobody has loaded it, no span can be active.
    """
    opentelemetry = sys.modules.get("opentelemetry.trace")
    if opentelemetry is None:
        return NO_TRACE
    try:
        span = opentelemetry.get_current_span().get_span_context()
        return (span.trace_id.to_bytes(16, "big"), span.span_id.to_bytes(8, "big")) if span.is_valid else NO_TRACE
    except Exception:
        log.debug("the active OpenTelemetry span cannot be read", exc_info=True)
        return NO_TRACE


def _parent(environ: Mapping[str, str], name: str) -> ParentRun | None:
    """The first of the three ways to name a run that is there and can be read."""
    for prefix in (OURS, OPENLINEAGE):
        if given := environ.get(f"{prefix}{name}", "").strip():
            run = _parsed(given, quoted=prefix == OURS)
            if run is not None:
                return run
            _warn(f"{prefix}{name}", given, "give <namespace>/<job>/<run id>, the run id being a UUID")
    stem = f"{OPENLINEAGE}{name.removesuffix('_ID')}"
    namespace, job, run_id = (
        environ.get(f"{stem}_{part}", "").strip() for part in ("JOB_NAMESPACE", "JOB_NAME", "RUN_ID")
    )
    if not (namespace and job and run_id):
        return None
    run = _made(namespace, job, run_id)
    if run is None:
        _warn(f"{stem}_RUN_ID", run_id, "give a UUID")
    return run


def _parsed(text: str, *, quoted: bool) -> ParentRun | None:
    parts = text.rsplit("/", _PARTS - 1)
    if len(parts) != _PARTS:
        return None
    return _made(*(unquote(part) if quoted else part for part in parts))


def _made(namespace: str, job: str, run_id: str) -> ParentRun | None:
    try:
        return ParentRun(uuid.UUID(run_id), Name(namespace, job)) if namespace and job else None
    except ValueError:
        return None


def _names(run: ParentRun) -> tuple[str, str]:
    return run.job.namespace, run.job.name


def _quoted(part: str) -> str:
    return quote(part, safe=" !#$&'()*+,:;=?@[]~", errors="replace")


def _warn(variable: str, value: str, remedy: str) -> None:
    with _warned_lock:
        if variable in _warned:
            return
        _warned.add(variable)
    log.warning("%s=%r is ignored: %s", variable, bounded(mask(value), 120), remedy)
