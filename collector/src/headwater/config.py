"""The emitter's settings, read from `HEADWATER_…` variables.

| variable | meaning |
|---|---|
| `HEADWATER_TRANSPORT` | `kafka`, `http`, `file`, `console`, `memory`, `noop` (or `none`), `fallback:kafka,file` (the
first that works), `composite:kafka,http` (all of them); unset: the first of Kafka, HTTP, file whose setting is given |
| `HEADWATER_KAFKA_BOOTSTRAP_SERVERS` | `host:port,host:port` |
| `HEADWATER_KAFKA__<KEY>` | a librdkafka setting, dots as underscores: `HEADWATER_KAFKA__SASL_PASSWORD` |
| `HEADWATER_KAFKA__CA_FILE`, `…CERT_FILE`, `…KEY_FILE` | PEM files: who signed the broker, who we are |
| `HEADWATER_KAFKA__SASL_PASSWORD_FILE` | a file that holds the password; so for every secret (`headwater.kafka_security`) |
| `HEADWATER_TOPIC_PREFIX` | what topic names begin with; `lineage.` if unset |
| `HEADWATER_FILE` | where `file` appends |
| `HEADWATER_HTTP_URL` | where `http` posts OpenLineage documents; without a path `/api/v1/lineage` is added |
| `HEADWATER_HTTP_TOKEN` | sent as `Authorization: Bearer …` |
| `HEADWATER_HTTP_GZIP` | `true` compresses bodies of a kilobyte and more |
| `HEADWATER_HTTP_TIMEOUT_MS` | for connecting and for an answer; 5000 if unset |
| `HEADWATER_CONSOLE` | where `console` writes: `stderr` (if unset) or `stdout` |
| `HEADWATER_SPOOL` | folder for events that cannot be sent now; unset: they wait in memory alone |
| `HEADWATER_SPOOL_BYTES` | how large that folder may grow; 134217728 (128 MiB) if unset |
| `HEADWATER_HEARTBEAT_S` | a run that says nothing for so many seconds sends a heartbeat; 60 if unset, 0: never |
| `HEADWATER_ON_SIGTERM` | `flush` (if unset): deliver or spool before SIGTERM ends the process; `off` |
| `HEADWATER_NAMESPACE`, `HEADWATER_JOB` | the job's namespace (`default` if unset) and name |
| `HEADWATER_CAPACITY` | events held while the broker is slow or away; 10000 if unset |
| `HEADWATER_ON_FULL` | `drop_newest` (if unset) or `drop_oldest` |
| `HEADWATER_DISABLED` | `true` switches lineage off, whatever else is set; so does `OPENLINEAGE_DISABLED=true` |
| `HEADWATER_PARENT_ID`, `HEADWATER_ROOT_PARENT_ID` | the run that started this process: see `headwater.origin` |
| `HEADWATER_PODINFO` | where the downward API's files are; `/etc/podinfo` if unset |
| `HEADWATER_DOORS__ENVIRONMENT`, `…NAMESPACES`, `…FOLD`, `…FOLD_OFF`, `…KEEP`, `…JOIN_CLUSTERS` | what is done to names, as
every door does it: see `headwater.doors` and `headwater config show --explain` |
| `HEADWATER_REPORT` | where a command under `headwater emit run` may write what it read and wrote |

An unknown `HEADWATER_` variable is an error that names its nearest relation; those of the worker and the command line
(`OTHERS`) are left alone.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headwater.errors import ConfigError
from headwater.kafka_security import client_security
from headwater.masking import MASK, is_secret_name

PREFIX: Final = "HEADWATER_"
KAFKA_PREFIX: Final = "HEADWATER_KAFKA__"
SINGLE: Final = ("kafka", "http", "file", "console", "memory")
"""Ways out that can be named alone, and in a `fallback:` or `composite:`."""
GROUPS: Final = ("fallback", "composite")
NONE: Final = ("noop", "none")
ON_FULL: Final = ("drop_newest", "drop_oldest")
ON_SIGTERM: Final = ("flush", "off")
CONSOLES: Final = ("stderr", "stdout")
DEFAULT_SPOOL_BYTES: Final = 128 * 1024 * 1024
DEFAULT_HTTP_TIMEOUT_MS: Final = 5_000
DEFAULT_CAPACITY: Final = 10_000
DEFAULT_HEARTBEAT_S: Final = 60.0
"""Most batch runs are over before the first."""
DEFAULT_NAMESPACE: Final = "default"

DOORS: Final = frozenset(
    f"{PREFIX}DOORS__{name}" for name in ("ENVIRONMENT", "NAMESPACES", "FOLD", "FOLD_OFF", "KEEP", "JOIN_CLUSTERS")
)
"""What the SDK and the commands read alike."""

KNOWN: Final = DOORS | frozenset(
    f"{PREFIX}{name}"
    for name in (
        "TRANSPORT",
        "KAFKA_BOOTSTRAP_SERVERS",
        "TOPIC_PREFIX",
        "FILE",
        "NAMESPACE",
        "JOB",
        "CAPACITY",
        "ON_FULL",
        "ON_SIGTERM",
        "HEARTBEAT_S",
        "DISABLED",
        "PARENT_ID",
        "ROOT_PARENT_ID",
        "PODINFO",
        "REPORT",
        "HTTP_URL",
        "HTTP_TOKEN",
        "HTTP_GZIP",
        "HTTP_TIMEOUT_MS",
        "CONSOLE",
        "SPOOL",
        "SPOOL_BYTES",
    )
)
FACTS: Final = frozenset(
    f"{PREFIX}{name}"
    for name in ("POD_NAME", "POD_UID", "POD_NAMESPACE", "NODE_NAME", "CONTAINER_NAME", "CONTAINER_IMAGE")
)
"""Read by `headwater.kubernetes`."""

OTHERS: Final = tuple(
    f"{PREFIX}{name}"
    for name in (
        "CONFIG",
        "DOMAIN",
        "LOG",
        "METRICS",
        "OUTPUT",
        "POLICIES",
        "PROCESSOR",
        "REDIS",
        "REGISTRY",
        "TEST",
        "TOPIC",
        "UP",
    )
)
"""What variables of the worker and the command line begin with."""

# The one librdkafka setting that can be given as text and holds an underscore.
_MOST_SECONDS: Final = 86_400
_UNDERSCORED: Final = {"log.level": "log_level"}


@dataclass(frozen=True, slots=True)
class NameSettings:
    """What is done to names, as text: `doors.*` of the commands. `fold` None: the default rules."""

    environment: str = ""
    namespaces: str = ""
    fold: tuple[str, ...] | None = None
    fold_off: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    join_clusters: bool = True

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> NameSettings:
        """Read the variables. Raises ConfigError."""

        def given(name: str) -> str:
            return environ.get(f"{PREFIX}DOORS__{name}", "").strip()

        fold = given("FOLD")
        return cls(
            environment=given("ENVIRONMENT"),
            namespaces=given("NAMESPACES"),
            fold=_items(fold) if fold else None,
            fold_off=_items(given("FOLD_OFF")),
            keep=_items(given("KEEP")),
            join_clusters=_flag(given("JOIN_CLUSTERS") or "true", "DOORS__JOIN_CLUSTERS"),
        )


@dataclass(frozen=True, slots=True)
class EmitterConfig:
    """The emitter's settings. `kafka` holds librdkafka settings and may hold secrets, as `http_token` does: the repr
    shows neither. `transport` is the kind (one of `SINGLE`, `GROUPS`, or `none`), `parts` what a group is made of.
    """

    transport: str = "none"
    parts: tuple[str, ...] = ()
    bootstrap_servers: str = ""
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    topic_prefix: str = "lineage."
    file: str = ""
    namespace: str = DEFAULT_NAMESPACE
    job: str = ""
    capacity: int = DEFAULT_CAPACITY
    on_full: str = "drop_newest"
    on_sigterm: str = "flush"
    heartbeat_s: float = DEFAULT_HEARTBEAT_S
    http_url: str = ""
    http_token: str = field(default="", repr=False)
    http_gzip: bool = False
    http_timeout_ms: int = DEFAULT_HTTP_TIMEOUT_MS
    console: str = "stderr"
    spool: str = ""
    spool_bytes: int = DEFAULT_SPOOL_BYTES
    names: NameSettings = field(default_factory=NameSettings)

    def masked_kafka(self) -> dict[str, str]:
        """The librdkafka settings as they may be shown."""
        return {key: MASK if is_secret_name(key) else value for key, value in self.kafka.items()}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> EmitterConfig:
        """Read and check the variables in the table above.

        Raises:
            ConfigError: a variable is unknown or its value is not allowed; it names the variable and the remedy.
        """
        if switched_off(environ):
            return cls()
        _refuse_unknown(environ)

        def given(name: str, default: str = "") -> str:
            return environ.get(f"{PREFIX}{name}", "").strip() or default

        servers, file, http_url = given("KAFKA_BOOTSTRAP_SERVERS"), given("FILE"), given("HTTP_URL")
        transport, parts = _transport(given("TRANSPORT", _default_transport(servers, http_url, file)))
        kafka = {
            _librdkafka_key(key.removeprefix(KAFKA_PREFIX)): value
            for key, value in environ.items()
            if key.startswith(KAFKA_PREFIX)
        }
        servers = servers or kafka.get("bootstrap.servers", "")
        named = parts or (transport,)
        if "kafka" in named:
            kafka = client_security(kafka, _variable)
        _need(named, "kafka", servers, "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
        _need(named, "http", http_url, "HTTP_URL", "https://lineage.example.com")
        _need(named, "file", file, "FILE", "/var/log/lineage.jsonl")
        return cls(
            transport=transport,
            parts=parts,
            bootstrap_servers=servers,
            kafka=kafka,
            topic_prefix=given("TOPIC_PREFIX", "lineage."),
            file=file,
            namespace=given("NAMESPACE", DEFAULT_NAMESPACE),
            job=given("JOB"),
            capacity=_positive(given("CAPACITY", str(DEFAULT_CAPACITY)), "CAPACITY"),
            on_full=_one_of("ON_FULL", given("ON_FULL", "drop_newest"), ON_FULL),
            on_sigterm=_one_of("ON_SIGTERM", given("ON_SIGTERM", "flush"), ON_SIGTERM),
            heartbeat_s=_seconds(given("HEARTBEAT_S", str(DEFAULT_HEARTBEAT_S)), "HEARTBEAT_S"),
            http_url=http_url,
            http_token=given("HTTP_TOKEN"),
            http_gzip=_flag(given("HTTP_GZIP"), "HTTP_GZIP"),
            http_timeout_ms=_positive(given("HTTP_TIMEOUT_MS", str(DEFAULT_HTTP_TIMEOUT_MS)), "HTTP_TIMEOUT_MS"),
            console=_one_of("CONSOLE", given("CONSOLE", "stderr"), CONSOLES),
            spool=given("SPOOL"),
            spool_bytes=_positive(
                given("SPOOL_BYTES", str(DEFAULT_SPOOL_BYTES)), "SPOOL_BYTES", least=64 * 1024, most=2**40
            ),
            names=NameSettings.from_env(environ),
        )


def _variable(key: str) -> str:
    return f"{KAFKA_PREFIX}{key.upper().replace('.', '_')}"


def switched_off(environ: Mapping[str, str]) -> bool:
    """Whether lineage is switched off, by our variable or by OpenLineage's; then no other setting is looked at.

    Raises:
        ConfigError: `HEADWATER_DISABLED` is neither true nor false.
    """
    ours = _flag(environ.get(f"{PREFIX}DISABLED", "").strip(), "DISABLED")
    return ours or environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true"


def _librdkafka_key(name: str) -> str:
    dotted = name.lower().replace("_", ".")
    return _UNDERSCORED.get(dotted, dotted)


def _default_transport(servers: str, http_url: str, file: str) -> str:
    if servers:
        return "kafka"
    if http_url:
        return "http"
    return "file" if file else "none"


def _transport(value: str) -> tuple[str, tuple[str, ...]]:
    """The kind, and of a group its parts: `fallback:kafka,file` is `fallback` of Kafka and a file."""
    kind, colon, rest = value.lower().partition(":")
    if kind in NONE and not colon:
        return "none", ()
    if kind not in GROUPS:
        known = f"use one of {', '.join((*SINGLE, *NONE))}, or fallback:… or composite:… with several of them"
        if value.lower() not in SINGLE:
            raise ConfigError(f"{PREFIX}TRANSPORT is {value!r}", remedy=known)
        return kind, ()
    parts = tuple(part.strip() for part in rest.split(",") if part.strip())
    wrong = [part for part in parts if part not in SINGLE]
    if wrong or len(parts) < 2 or len(set(parts)) < len(parts):
        why = f"knows no {wrong[0]!r}" if wrong else "needs at least two, each once"
        raise ConfigError(
            f"{PREFIX}TRANSPORT is {value!r}: a {kind} {why}",
            remedy=f"name some of {', '.join(SINGLE)}: {kind}:kafka,file",
        )
    return kind, parts


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for key in sorted(environ):
        if not key.startswith(PREFIX) or key in KNOWN or key in FACTS or key.startswith((KAFKA_PREFIX, *OTHERS)):
            continue
        near = difflib.get_close_matches(key, KNOWN | FACTS, n=1, cutoff=0.6)
        remedy = f"did you mean {near[0]}?" if near else f"unset it; known are {', '.join(sorted(KNOWN))}"
        raise ConfigError(f"unknown setting {key}", remedy=remedy)


def _items(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value.lower() not in allowed:
        raise ConfigError(f"{PREFIX}{name} is {value!r}", remedy=f"use one of {', '.join(allowed)}")
    return value.lower()


def _flag(value: str, name: str) -> bool:
    if value.lower() in {"", "0", "false", "no", "off"}:
        return False
    if value.lower() in {"1", "true", "yes", "on"}:
        return True
    raise ConfigError(f"{PREFIX}{name} is {value!r}", remedy="use true or false")


def _positive(value: str, name: str, *, least: int = 1, most: int = 10_000_000) -> int:
    if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
        raise ConfigError(f"{PREFIX}{name} is {value!r}", remedy=f"use a whole number from {least} to {most}")
    return int(value)


def _seconds(value: str, name: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_SECONDS:  # what is no number (nan) is not within them either
        raise ConfigError(f"{PREFIX}{name} is {value!r}", remedy=f"use seconds from 0 to {_MOST_SECONDS}")
    return seconds


def _need(named: tuple[str, ...], which: str, value: str, name: str, example: str) -> None:
    if which in named and not value:
        raise ConfigError(
            f"HEADWATER_TRANSPORT={which} needs {PREFIX}{name}", remedy=f"set it, for example {PREFIX}{name}={example}"
        )
