"""The settings as values: every key, its type, its default. How they are found is in `headwater.runtime.settings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from headwater.doors.clusters import ClusterBook
from headwater.doors.folding import DEFAULT_RULES
from headwater.doors.namespaces import parsed
from headwater.doors.rules import NameRules, rules_of
from headwater.errors import ConfigError

Text = Annotated[str, StringConstraints(min_length=1)]
Millis = Annotated[int, Field(ge=0)]
PositiveMillis = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Section(BaseModel):
    """A frozen group of settings; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class KafkaSettings(Section):
    """Where Kafka is. `extra` takes every librdkafka setting by its own name and wins over what we choose."""

    bootstrap_servers: Text = "localhost:9092"
    security_protocol: str = ""
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: SecretStr | None = None
    sasl_password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: SecretStr | None = None
    key_password_file: str = ""
    extra: dict[str, str] = Field(default_factory=dict, repr=False)


OWN_NAMES: Final[Mapping[str, str]] = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_username",
    "sasl.password": "sasl_password",
    "sasl.password.file": "sasl_password_file",
    "ssl.ca.location": "ca_file",
    "ca.file": "ca_file",
    "ssl.certificate.location": "cert_file",
    "cert.file": "cert_file",
    "ssl.key.location": "key_file",
    "key.file": "key_file",
    "ssl.key.password": "key_password",
    "key.password": "key_password",
    "ssl.key.password.file": "key_password_file",
    "key.password.file": "key_password_file",
}
"""librdkafka's names that have a setting of their own here."""


class RedisSettings(Section):
    """Where Redis is. A user and a password here win over those in the URL; a password wins over its file."""

    url: Text = Field(default="redis://localhost:6379/0", repr=False)
    username: str = ""
    password: SecretStr | None = None
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    sentinel_username: str = ""
    sentinel_password: SecretStr | None = None
    sentinel_password_file: str = ""


class RegistrySettings(Section):
    """The Schema Registry, if events come in Confluent's wire format."""

    url: str = ""


class CdcSettings(Section):
    """What `headwater cdc` looks at; `runtime.setting_words` says what each key means."""

    connect: tuple[Text, ...] = Field(default=(), repr=False)
    topics: tuple[Text, ...] = ()
    full: tuple[Text, ...] = ()
    sources: tuple[Text, ...] = ()
    bootstrap_servers: str = ""
    kafka_namespace: str = ""
    interval_ms: PositiveMillis = 30_000


class DiscoverSettings(Section):
    """What `headwater discover` looks at; `runtime.setting_words` says what each key means."""

    topics: tuple[Text, ...] = ()
    exclude_topics: tuple[Text, ...] = ()
    groups: tuple[Text, ...] = ()
    exclude_groups: tuple[Text, ...] = ()
    bootstrap_servers: str = ""
    kafka_namespace: str = ""
    interval_ms: PositiveMillis = 30_000
    repeat_ms: PositiveMillis = 300_000
    window: Annotated[int, Field(ge=2, le=1_000)] = 10


class DoorsSettings(Section):
    """What every door does to names; `headwater.doors` says how, `runtime.setting_words` what each key means."""

    environment: str = ""
    namespaces: dict[str, str] = Field(default_factory=dict)
    fold: tuple[str, ...] = DEFAULT_RULES
    fold_off: tuple[str, ...] = ()
    keep: tuple[Text, ...] = ()
    join_clusters: bool = True

    @field_validator("namespaces", mode="before")
    @classmethod
    def _one_text(cls, given: object) -> object:
        """Flags and variables give all rules in one text."""
        try:
            return parsed(given) if isinstance(given, str) else given
        except ConfigError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            self.rules()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def rules(self, book: ClusterBook | None = None) -> NameRules:
        """The rules, with what `book` learns of clusters."""
        return rules_of(
            environment=self.environment,
            namespaces=self.namespaces,
            fold=self.fold,
            fold_off=self.fold_off,
            keep=self.keep,
            book=book if self.join_clusters else None,
        )


class MetricsSettings(Section):
    """Where `/metrics`, `/healthz` and `/readyz` answer. Port 0 takes a free one."""

    host: Text = "127.0.0.1"
    port: Port = 9464
    enabled: bool = True


class LogSettings(Section):
    """What goes to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    json_lines: bool = Field(default=False, alias="json")


class ProcessorSettings(Section):
    """How events are judged and batched; `runtime.setting_words` says what each key means. Times are milliseconds."""

    group: str = ""
    group_protocol: Literal["eager", "cooperative", "consumer"] = "cooperative"
    session_timeout_ms: PositiveMillis = 6_000
    shards: Annotated[int, Field(ge=1, le=256)] = 16
    on_empty_state: Literal["stop", "earliest"] = "stop"

    lateness_ms: Millis = 300_000
    max_future_ms: Millis = 300_000
    horizon_ms: PositiveMillis = 86_400_000
    bucket_ms: PositiveMillis = 3_600_000
    seen_ids_max: Annotated[int, Field(ge=1)] = 20_000_000
    backfill_age_ms: PositiveMillis = 86_400_000
    run_timeout_ms: PositiveMillis = 21_600_000
    closed_runs_max: Annotated[int, Field(ge=1_000, le=10_000_000)] = 200_000

    freshness_interval_ms: Millis = 1_000
    sweep_interval_ms: PositiveMillis = 1_000
    asof_interval_ms: PositiveMillis = 1_000
    unlinked_grace_ms: Millis = 900_000
    domain_grace_ms: Millis = 86_400_000
    blind_after_ms: PositiveMillis = 60_000
    watchdog_interval_ms: PositiveMillis = 30_000
    emitter_silent_ms: PositiveMillis = 300_000

    bad_share_max: Annotated[float, Field(gt=0, le=1)] = 0.05
    bad_window_ms: PositiveMillis = 60_000
    bad_min_records: Annotated[int, Field(ge=1)] = 1_000
    outbox_max: Annotated[int, Field(ge=1_000, le=1_000_000)] = 20_000

    schema_wait_ms: Millis = 5_000
    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 16_000
    batch_linger_ms: Millis = 2


class GatewaySettings(Section):
    """Where the OpenLineage gateway listens, whom it lets in, and how much it holds."""

    url: str = ""
    host: Text = "127.0.0.1"
    port: Port = 5000
    cert_file: str = ""
    key_file: str = ""
    tokens_file: str = ""
    jwks_url: str = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    protect_metrics: bool = False
    body_bytes: Annotated[int, Field(ge=1_024, le=256 * 1024 * 1024)] = 16 * 1024 * 1024
    batch_events: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    pending_bytes: Annotated[int, Field(ge=1024 * 1024, le=1024**3)] = 128 * 1024 * 1024
    connections: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    answer_ms: Annotated[int, Field(ge=100, le=60_000)] = 3_000
    spool: str = ""
    spool_bytes: Annotated[int, Field(ge=1024 * 1024)] = 1024**3


class BridgeSettings(Section):
    """From which topic of OpenLineage documents the bridge reads, and as which consumer group."""

    topic: str = ""
    group: str = "headwater-bridge"
    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 2_000


class Settings(Section):
    """Everything a process of Headwater may be told."""

    domain: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "default"
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,100}$")] = "lineage."
    policies: tuple[Text, ...] = ()
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    registry: RegistrySettings = Field(default_factory=RegistrySettings)
    cdc: CdcSettings = Field(default_factory=CdcSettings)
    discover: DiscoverSettings = Field(default_factory=DiscoverSettings)
    doors: DoorsSettings = Field(default_factory=DoorsSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    processor: ProcessorSettings = Field(default_factory=ProcessorSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    bridge: BridgeSettings = Field(default_factory=BridgeSettings)

    @property
    def consumer_group(self) -> str:
        """The Kafka consumer group of the workers. Workers of one group share the partitions among them, so each domain has
        one of its own."""
        return self.processor.group or ("headwater" if self.domain == "default" else f"headwater-{self.domain}")
