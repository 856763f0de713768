"""What is looked at in Kafka: brokers, topics, rights, the workers' group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name
from confluent_kafka.admin._config import ConfigResource

from headwater.runtime.kafka import Config, answered, client_config, list_topics
from headwater.runtime.models import Settings
from headwater_processor.local.doctor.findings import Check, Finding, Noting
from headwater_processor.local.doctor.topic_settings import Found, compare, production, rights_remedy
from headwater_schemas.registry import SchemaStore
from headwater_schemas.topics import catalogue

_FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }
)
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("READ",),
    "schemas": ("READ",),
    "policies": ("READ",),
    "deltas": ("WRITE",),
    "alerts": ("WRITE",),
    "late": ("WRITE",),
    "deadletter": ("WRITE",),
}
"""What a worker does with each topic."""

_LAG_WARN: Final = 100_000
_AGAIN_S: Final = 0.2
_PASSING: Final = frozenset(
    {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)
_OWN_CERTIFICATE: Final = ("ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location")


@dataclass(frozen=True, slots=True)
class KafkaDoctor:
    """Looks at one Kafka; only reads. `limit_s` bounds each call."""

    settings: Settings
    limit_s: float
    is_production: bool

    def checks(self) -> list[Check]:
        """All checks, the one that the others need first."""
        found = [
            Check("kafka", self._broker),
            Check("topics", self._topics, "kafka"),
            Check("rights", self._rights, "kafka"),
            Check("group", self._group, "kafka"),
            Check("schemas", self._schemas, "kafka"),
        ]
        return [*found, Check("replication", self._production, "kafka")] if self.is_production else found

    @property
    def _servers(self) -> str:
        return self.settings.kafka.bootstrap_servers

    def _config(self) -> Config:
        return client_config(self.settings.kafka, client_id="headwater-doctor")

    def _admin(self) -> AdminClient:
        return AdminClient(self._config())

    def _broker(self) -> Iterator[Finding]:
        say, told = Noting("kafka"), self._config()
        admin = AdminClient(told)
        seen = list_topics(admin, told, timeout_s=self.limit_s)  # says why nobody takes us, where that is it
        brokers = len(seen.brokers)
        if is_embedded(admin, self.limit_s):
            yield say.ok("this is the embedded broker of headwater up or demo: its settings are not looked at")
            return
        words = f"{brokers} broker{'' if brokers == 1 else 's'} of cluster {seen.cluster_id} answer at {self._servers}"
        config = self._toldof(admin, ConfigResource(ConfigResource.Type.BROKER, str(min(seen.brokers))))
        if config is None:
            yield say.ok(words)
            grant = (
                f"kafka-acls.sh --bootstrap-server {self._servers} --add --allow-principal User:NAME "
                "--operation DescribeConfigs --cluster"
            )
            yield say.warn("the broker's settings cannot be read, so its version is not known", grant)
            return
        version = config.get("inter.broker.protocol.version")
        yield say.ok(f"{words}, version {version or '4.0 or later'}")
        if self.is_production:
            yield from self._production_of_brokers(brokers, config)

    def _production_of_brokers(self, brokers: int, config: Mapping[str, str]) -> Iterator[Finding]:
        say = Noting("kafka")
        if brokers < 3:
            yield say.problem(f"the cluster has {brokers} broker{'' if brokers == 1 else 's'}, 3 can lose one")
        if config.get("auto.create.topics.enable") == "true":
            yield say.problem(
                "brokers create topics that somebody misspells (auto.create.topics.enable)",
                "set auto.create.topics.enable=false in each broker's server.properties and restart it",
            )
        ours = self._config()
        protocol = str(ours.get("security.protocol", "plaintext")).lower()
        if "ssl" not in protocol:
            yield say.problem(
                "the way to Kafka is not encrypted (no TLS)",
                "set kafka.security_protocol to SSL or SASL_SSL  # collector/CONNECTING.md",
            )
        if "sasl" not in protocol and not any(ours.get(key) for key in _OWN_CERTIFICATE):
            yield say.problem(
                "we do not say who we are (no SASL, no client certificate)",
                "set kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password_file  # collector/CONNECTING.md",
            )

    def _topics(self) -> Iterator[Finding]:
        admin = self._admin()
        if is_embedded(admin, self.limit_s):
            return
        found = self._found(admin)
        horizon_ms = self.settings.processor.horizon_ms
        for topic in catalogue(self.settings.topic_prefix).values():
            yield from compare(topic, found.get(topic.role), self._servers, horizon_ms)

    def _production(self) -> Iterator[Finding]:
        admin = self._admin()
        if is_embedded(admin, self.limit_s):
            yield Noting("replication").problem(
                "the embedded broker keeps everything in memory", "name your own Kafka: --kafka HOST:PORT"
            )
            return
        say, found, wrong = Noting("replication"), self._found(admin), False
        for role, topic in catalogue(self.settings.topic_prefix).items():
            seen = found.get(role)
            for finding in production(topic, seen, self._servers) if seen is not None and not seen.hidden else ():
                wrong = True
                yield finding
        if found and not wrong:
            yield say.ok("every topic has 3 replicas or more and takes only what 2 have")

    def _found(self, admin: AdminClient) -> dict[str, Found]:
        """What there is of the catalogue, by role."""
        seen = admin.list_topics(timeout=self.limit_s).topics
        found = {}
        for role, topic in catalogue(self.settings.topic_prefix).items():
            if topic.name in seen:
                partitions = seen[topic.name].partitions.values()
                config = self._toldof(admin, ConfigResource(ConfigResource.Type.TOPIC, topic.name))
                found[role] = Found(len(partitions), config, min((len(one.replicas) for one in partitions), default=0))
            elif self._is_hidden(admin, topic.name):
                found[role] = Found(0, None, hidden=True)
        return found

    def _is_hidden(self, admin: AdminClient, topic: str) -> bool:
        """Whether a topic that the broker does not list is kept from us. Asked so that no broker makes it by the way."""
        try:
            admin.describe_topics(TopicCollection([topic]), request_timeout=self.limit_s)[topic].result(self.limit_s)
        except KafkaException as error:
            return error.args[0].code() in _FORBIDDEN
        return False

    def _toldof(self, admin: AdminClient, resource: ConfigResource) -> dict[str, str] | None:
        try:
            (future,) = admin.describe_configs([resource], request_timeout=self.limit_s).values()
            return {key: str(entry.value) for key, entry in future.result(self.limit_s).items()}
        except KafkaException as error:
            if error.args[0].code() not in _FORBIDDEN:
                raise
            return None

    def _rights(self) -> Iterator[Finding]:
        say, admin = Noting("rights"), self._admin()
        if is_embedded(admin, self.limit_s):
            return
        seen = admin.list_topics(timeout=self.limit_s).topics
        topics = catalogue(self.settings.topic_prefix)
        missing = False
        for role, needed in _NEEDED.items():
            name = topics[role].name
            if name not in seen:
                continue  # a finding of its own
            for operation in sorted(set(needed) - self._allowed(admin, name)):
                missing = True
                yield say.problem(
                    f"we may not {operation.lower()} {name}", rights_remedy(self._servers, operation.title(), name)
                )
        group = self.settings.consumer_group
        if "READ" not in self._allowed_group(admin, group):
            missing = True
            yield say.problem(
                f"we may not join the consumer group {group}",
                f"kafka-acls.sh --bootstrap-server {self._servers} --add --allow-principal User:NAME "
                f"--operation Read --group {group}",
            )
        if not missing:
            yield say.ok("we may read and write what a worker needs, and join its group")

    def _allowed(self, admin: AdminClient, topic: str) -> set[str]:
        asked = admin.describe_topics(
            TopicCollection([topic]), include_authorized_operations=True, request_timeout=self.limit_s
        )
        return self._operations(lambda: asked[topic].result(self.limit_s))

    def _allowed_group(self, admin: AdminClient, group: str) -> set[str]:
        return self._operations(lambda: self._described(admin, group))

    def _described(
        self, admin: AdminClient, group: str
    ) -> Any:  # Any: a description; the client does not export its type
        """The group as its coordinator describes it. One that was elected just now, or reads its log, is asked again."""
        give_up_s = time.monotonic() + self.limit_s
        while True:
            asked = admin.describe_consumer_groups(
                [group], include_authorized_operations=True, request_timeout=self.limit_s
            )
            try:
                return asked[group].result(self.limit_s)
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() + _AGAIN_S > give_up_s:
                    raise
            time.sleep(_AGAIN_S)

    def _operations(self, described: Callable[[], Any]) -> set[str]:  # Any: one of two descriptions
        try:
            return {one.name for one in described().authorized_operations or ()}
        except KafkaException as error:
            if error.args[0].code() in _FORBIDDEN:
                return set()
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return {"READ"}  # nobody joined yet, and nobody forbids us to look
            raise

    def _group(self) -> Iterator[Finding]:
        say, admin, group = Noting("group"), self._admin(), self.settings.consumer_group
        if is_embedded(admin, self.limit_s):
            return
        topic = catalogue(self.settings.topic_prefix)["events"].name
        seen = admin.list_topics(timeout=self.limit_s).topics
        if topic not in seen:
            return
        try:
            members = len(self._described(admin, group).members)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            members = 0
        if not members:
            yield say.problem(f"no worker is in the consumer group {group}", "headwater worker")
        lag, worst = self._lag(admin, topic, group, len(seen[topic].partitions))
        words = f"{members} member{'' if members == 1 else 's'} in {group}, {lag:,} records behind"
        if lag > _LAG_WARN:
            yield say.warn(f"{words}, most in partition {worst}", "headwater status  # is a partition stopped?")
        elif members:
            yield say.ok(words)

    def _lag(self, admin: AdminClient, topic: str, group: str, partitions: int) -> tuple[int, int]:
        """Records behind in all, and the partition that is most so."""
        lags = lags_of(admin, topic, group, partitions, self.limit_s)
        behind = {partition: lag for partition, (lag, _) in lags.items()}
        return sum(behind.values()), max(behind, key=behind.__getitem__, default=0)

    def _schemas(self) -> Iterator[Finding]:
        from headwater.cli.reading import reading

        say, store, topic = Noting("schemas"), SchemaStore(), catalogue(self.settings.topic_prefix)["schemas"].name
        with reading(self.settings.kafka, topic) as reader:
            for message in reader.records(reader.bounds()):
                value, refused = message.value(), store.refused
                if value is not None:
                    store.offer(value.decode("utf-8", "replace"))
                if store.refused != refused:
                    key = message.key()
                    name = key.decode(errors="replace") if isinstance(key, bytes) else key or "?"
                    yield say.warn(
                        f"the schema {name[:64]!r} on {topic} was refused: its records go to the dead letters",
                        "headwater deadletter list --reason schema_refused",
                    )
        yield say.ok(f"{len(store)} writer schema{'' if len(store) == 1 else 's'} known, ours among them")


def lags_of(admin: AdminClient, topic: str, group: str, partitions: int, limit_s: float) -> dict[int, tuple[int, bool]]:
    """By partition how many records a group is behind, and whether it ever committed there."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    spec: Any = OffsetSpec  # the client types none of it
    asked = admin.list_offsets(dict.fromkeys(places, spec.latest()), request_timeout=limit_s)
    first = admin.list_offsets(dict.fromkeys(places, spec.earliest()), request_timeout=limit_s)
    request = [ConsumerGroupTopicPartitions(group, places)]
    committed = admin.list_consumer_group_offsets(request, request_timeout=limit_s)[group].result(limit_s)
    at = {one.partition: one.offset for one in committed.topic_partitions if one.offset >= 0}
    lags = {}
    for place in places:
        begin, end = (answered(found[place].result(limit_s).offset, topic, place.partition) for found in (first, asked))
        lags[place.partition] = end - max(begin, at.get(place.partition, begin)), place.partition in at
    return lags


def is_embedded(admin: AdminClient, limit_s: float) -> bool:
    """Whether it is the broker of `headwater up` or `demo`, which knows neither settings nor groups."""
    return str(admin.list_topics(timeout=limit_s).cluster_id).startswith("mockCluster")
