"""The emitter's settings, read from `HEADWATER_…` variables.

| variable | meaning |
|---|---|
| `HEADWATER_TRANSPORT` | `kafka`, `file`, `memory`, `none`; unset: the first for which servers or a file are given |
| `HEADWATER_KAFKA_BOOTSTRAP_SERVERS` | `host:port,host:port` |
| `HEADWATER_KAFKA__<KEY>` | a librdkafka setting, dots as underscores: `HEADWATER_KAFKA__SASL_PASSWORD` |
| `HEADWATER_KAFKA__CA_FILE`, `…CERT_FILE`, `…KEY_FILE` | PEM files: who signed the broker, who we are |
| `HEADWATER_KAFKA__SASL_PASSWORD_FILE` | a file that holds the password; so for every secret (`headwater.kafka_security`) |
| `HEADWATER_TOPIC_PREFIX` | what topic names begin with; `lineage.` if unset |
| `HEADWATER_FILE` | where `file` appends |
| `HEADWATER_NAMESPACE`, `HEADWATER_JOB` | the job's namespace (`default` if unset) and name |
| `HEADWATER_CAPACITY` | events held while the broker is slow or away; 10000 if unset |
| `HEADWATER_ON_FULL` | `drop_newest` (if unset) or `drop_oldest` |
| `HEADWATER_DISABLED` | `true` switches lineage off, whatever else is set |

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
TRANSPORTS: Final = ("kafka", "file", "memory", "none")
ON_FULL: Final = ("drop_newest", "drop_oldest")
DEFAULT_CAPACITY: Final = 10_000
DEFAULT_NAMESPACE: Final = "default"

KNOWN: Final = frozenset(
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
        "DISABLED",
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
_UNDERSCORED: Final = {"log.level": "log_level"}


@dataclass(frozen=True, slots=True)
class EmitterConfig:
    """The emitter's settings. `kafka` holds librdkafka settings and may hold secrets: the repr masks them."""

    transport: str = "none"
    bootstrap_servers: str = ""
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)
    topic_prefix: str = "lineage."
    file: str = ""
    namespace: str = DEFAULT_NAMESPACE
    job: str = ""
    capacity: int = DEFAULT_CAPACITY
    on_full: str = "drop_newest"

    def masked_kafka(self) -> dict[str, str]:
        """The librdkafka settings as they may be shown."""
        return {key: MASK if is_secret_name(key) else value for key, value in self.kafka.items()}

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> EmitterConfig:
        """Read and check the variables in the table above.

        Raises:
            ConfigError: a variable is unknown or its value is not allowed; it names the variable and the remedy.
        """
        _refuse_unknown(environ)

        def given(name: str, default: str = "") -> str:
            return environ.get(f"{PREFIX}{name}", "").strip() or default

        servers, file = given("KAFKA_BOOTSTRAP_SERVERS"), given("FILE")
        transport = _one_of("TRANSPORT", given("TRANSPORT", _default_transport(servers, file)), TRANSPORTS)
        if _flag(given("DISABLED"), "DISABLED"):
            transport = "none"
        kafka = {
            _librdkafka_key(key.removeprefix(KAFKA_PREFIX)): value
            for key, value in environ.items()
            if key.startswith(KAFKA_PREFIX)
        }
        servers = servers or kafka.get("bootstrap.servers", "")
        if transport == "kafka":
            kafka = client_security(kafka, _variable)
        _need(transport, "kafka", servers, "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")
        _need(transport, "file", file, "FILE", "/var/log/lineage.jsonl")
        return cls(
            transport=transport,
            bootstrap_servers=servers,
            kafka=kafka,
            topic_prefix=given("TOPIC_PREFIX", "lineage."),
            file=file,
            namespace=given("NAMESPACE", DEFAULT_NAMESPACE),
            job=given("JOB"),
            capacity=_positive(given("CAPACITY", str(DEFAULT_CAPACITY)), "CAPACITY"),
            on_full=_one_of("ON_FULL", given("ON_FULL", "drop_newest"), ON_FULL),
        )


def _variable(key: str) -> str:
    return f"{KAFKA_PREFIX}{key.upper().replace('.', '_')}"


def _librdkafka_key(name: str) -> str:
    dotted = name.lower().replace("_", ".")
    return _UNDERSCORED.get(dotted, dotted)


def _default_transport(servers: str, file: str) -> str:
    if servers:
        return "kafka"
    return "file" if file else "none"


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for key in sorted(environ):
        if not key.startswith(PREFIX) or key in KNOWN or key in FACTS or key.startswith((KAFKA_PREFIX, *OTHERS)):
            continue
        near = difflib.get_close_matches(key, KNOWN | FACTS, n=1, cutoff=0.6)
        remedy = f"did you mean {near[0]}?" if near else f"unset it; known are {', '.join(sorted(KNOWN))}"
        raise ConfigError(f"unknown setting {key}", remedy=remedy)


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


def _positive(value: str, name: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) <= 10_000_000:
        raise ConfigError(f"{PREFIX}{name} is {value!r}", remedy="use a whole number from 1 to 10000000")
    return int(value)


def _need(transport: str, which: str, value: str, name: str, example: str) -> None:
    if transport == which and not value:
        raise ConfigError(
            f"HEADWATER_TRANSPORT={which} needs {PREFIX}{name}", remedy=f"set it, for example {PREFIX}{name}={example}"
        )
