"""One look at a cluster, asked of Kafka's admin API. Nothing is consumed, committed or joined, and nothing is changed.

Asked for are, in this order: the topics, the groups, the members of each, its commits, the cluster's id, then the ends of all
partitions, so that an end is never older than a commit. Requests go out in batches. A group or partition that does not answer, or
that we may not see, is counted by reason, named in the log once, and holds up nothing. Where no partition answers, the look fails.

Of a broker that lists no groups, those are looked at whose names are written out (`--group NAME`), by their commits alone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._group import ConsumerGroupDescription, ConsumerGroupListing
from confluent_kafka.admin._listoffsets import OffsetSpec

from headwater.discover.choosing import Chosen
from headwater.discover.observed import UNTOLD, ClusterSeen, GroupSeen, Member, Place
from headwater.errors import BrokerUnavailable
from headwater.runtime.errors import UsageError
from headwater.runtime.kafka import answered, client_config, list_topics, translate
from headwater.runtime.models import KafkaSettings
from headwater.runtime.offsets import list_offsets
from headwater.transports.kafka import FORBIDDEN

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_TIMEOUT_S: Final = 10.0
_GROUPS_AT_ONCE: Final = 200
_PARTITIONS_AT_ONCE: Final = 5_000
_NAMED_MOST: Final = 10_000
"""What was named in the log once is remembered up to here; then the log begins anew."""
_DEAD: Final = ConsumerGroupState.DEAD.name
_EMPTY: Final = ConsumerGroupState.EMPTY.name
_Told = ConsumerGroupListing | ConsumerGroupDescription
_NOT_FOR_US: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED})
_NO_LISTING: Final = frozenset({KafkaError.UNSUPPORTED_VERSION, KafkaError._UNSUPPORTED_FEATURE})


class Asking:
    """Looks at one cluster. Used by one thread.

    Raises:
        UsageError: librdkafka refuses its settings.
    """

    def __init__(self, kafka: KafkaSettings, topics: Chosen, groups: Chosen) -> None:
        self.servers = kafka.bootstrap_servers
        self._topics = topics
        self._groups = groups
        self._config = client_config(kafka, client_id="headwater-discover")
        self._admin = self._client()
        self._stale = False
        self._described = True
        self._named: set[tuple[str, str]] = set()

    def look(self, *, known: Collection[str] = (), whole: bool = False) -> ClusterSeen:
        """One look.

        Args:
            known: groups that were there before. One that is not listed is asked for: a broker that has just begun lists only
                what it has loaded.
            whole: also see where every partition begins, and when each topic was written last.

        Raises:
            DeliveryError: Kafka cannot be reached, or forbids what a look begins with.
            UsageError: it cannot list consumer groups, and no name of one is written out.
        """
        if self._stale:
            # librdkafka (2.16) keeps asking with the leader's epoch that it knew before an election, and is fenced for ever.
            self._admin, self._stale = self._client(), False
        seen = ClusterSeen()
        try:
            self._look_at_topics(seen)
            self._look_at_groups(seen, known)
            self._describe_cluster(seen)
            self._look_at_ends(seen, whole=whole)
        except KafkaException as error:
            self._stale = True
            raise translate(error, self.servers) from error
        return seen

    def _client(self) -> AdminClient:
        try:
            return AdminClient(self._config)
        except KafkaException as error:
            raise translate(error, self.servers) from error

    def _look_at_topics(self, seen: ClusterSeen) -> None:
        found = list_topics(self._admin, self._config, timeout_s=_TIMEOUT_S)
        seen.topics = {
            name: len(topic.partitions)
            for name, topic in sorted(found.topics.items())
            if name in self._topics and not self._forbids(seen, f"topic {name}", topic.error)
        }
        seen.cluster_id = found.cluster_id or ""
        seen.brokers = tuple(sorted(f"{broker.host}:{broker.port}" for broker in found.brokers.values()))

    def _describe_cluster(self, seen: ClusterSeen) -> None:
        """Its id and its brokers. Where it is not described (it waits for a controller), what came with the topics stands."""
        if not self._described:
            return
        try:
            cluster = self._admin.describe_cluster(request_timeout=_TIMEOUT_S).result(_TIMEOUT_S + 5)
        except KafkaException as error:
            self._described = False
            self._refuse(seen, "cluster_not_described", "the cluster", error)
            return
        seen.cluster_id = cluster.cluster_id or seen.cluster_id
        seen.brokers = tuple(sorted(f"{node.host}:{node.port}" for node in cluster.nodes)) or seen.brokers

    def _forbids(self, seen: ClusterSeen, what: str, error: KafkaError | None) -> bool:
        """Whether the topic is not to be looked at. One whose leader is just being chosen is."""
        if error is None:
            return False
        self._refuse(seen, "topic_unreadable", what, KafkaException(error))
        return error.code() in _NOT_FOR_US

    def _look_at_groups(self, seen: ClusterSeen, known: Collection[str]) -> None:
        listings = self._listings(seen)
        if listings is None:
            self._look_at_named(seen, known)
            return
        listed = {one.group_id: one for one in listings if one.group_id in self._groups}
        # Of a group without members there is nothing to describe.
        told: dict[str, _Told] = {name: one for name, one in listed.items() if _state(one) == _EMPTY}
        for some in _batches(sorted({*listed, *known} - told.keys()), _GROUPS_AT_ONCE):
            futures = self._admin.describe_consumer_groups(some, request_timeout=_TIMEOUT_S)
            told |= self._answers(seen, "group_not_described", futures)
        seen.gone |= {name for name, one in told.items() if _state(one) == _DEAD}
        for some in _batches(sorted(told.keys() - seen.gone), _GROUPS_AT_ONCE):
            for name, commits in self._commits(seen, some).items():
                seen.groups.append(self._group(seen, told[name], commits))
        seen.silent = {*listed, *known} - {group.name for group in seen.groups} - seen.gone
        for topic in sorted({topic for group in seen.groups for topic, _ in group.assigned()} - seen.topics.keys()):
            why = "it is read, but not shown to us: allow Describe on it, unless it was just deleted"
            self._pass_over(seen, "topic_unreadable", f"topic {topic}", why)

    def _look_at_named(self, seen: ClusterSeen, known: Collection[str]) -> None:
        """The groups whose names are written out, by their commits. One that has none may be none at all, and is not seen."""
        named = self._groups.written_out
        # Such a broker does not tell all commits of a group either, but those of partitions that it is asked about.
        places = [TopicPartition(*place) for place in seen.places()]
        for some in _batches(named if places else [], _GROUPS_AT_ONCE):
            for name, commits in self._commits(seen, some, places).items():
                committed, elsewhere = self._committed(seen, name, commits)
                if committed:
                    seen.groups.append(GroupSeen(name, UNTOLD, UNTOLD, (), committed, elsewhere))
        seen.silent = {*named, *known} - {group.name for group in seen.groups}

    def _listings(self, seen: ClusterSeen) -> list[ConsumerGroupListing] | None:
        """What the brokers list; None of those that do not, where names of groups are written out."""
        valid: list[ConsumerGroupListing] = []
        try:
            listed = self._admin.list_consumer_groups(request_timeout=_TIMEOUT_S).result(_TIMEOUT_S + 5)
        except KafkaException as error:
            errors = [error]
        else:
            valid = listed.valid or []
            # Its documentation says exceptions, the client (2.16) gives the errors themselves.
            errors = [one if isinstance(one, KafkaException) else KafkaException(one) for one in listed.errors or []]
        if errors and not valid:
            self._check_named(errors[0])
            return None
        for why in errors:
            self._refuse(seen, "groups_not_listed", "what a broker knows of groups", why)
        return valid

    def _check_named(self, error: KafkaException) -> None:
        """What a broker said that lists no groups is no error where they are named."""
        if error.args[0].code() not in _NO_LISTING:
            raise error
        if not self._groups.written_out:
            raise UsageError(
                f"Kafka at {self.servers} cannot list consumer groups: {error.args[0].str()}",
                remedy="name them in full (--group NAME), as for the embedded broker: then their commits are looked at",
            ) from error

    def _commits(
        self, seen: ClusterSeen, names: Sequence[str], places: list[TopicPartition] | None = None
    ) -> dict[str, list[TopicPartition]]:
        """The commits of each group, of these partitions; of all where none are given."""
        # The client takes one group a call; the calls of a batch are under way together.
        futures: dict[str, Future[Any]] = {}
        for name in names:
            asked = [ConsumerGroupTopicPartitions(name, places)]
            futures |= self._admin.list_consumer_group_offsets(asked, request_timeout=_TIMEOUT_S)
        return {
            name: result.topic_partitions or []
            for name, result in self._answers(seen, "commits_not_told", futures).items()
        }

    def _answers(self, seen: ClusterSeen, reason: str, futures: Mapping[str, Future[Any]]) -> dict[str, Any]:
        """What came, by group."""
        found: dict[str, Any] = {}
        for name, future in futures.items():
            try:
                found[name] = future.result(_TIMEOUT_S + 5)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                    seen.gone.add(name)
                else:
                    self._refuse(seen, reason, f"group {name}", error)
            except TimeoutError:
                self._refuse(seen, reason, f"group {name}", KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        return found

    def _group(self, seen: ClusterSeen, told: _Told, commits: Sequence[TopicPartition]) -> GroupSeen:
        committed, elsewhere = self._committed(seen, told.group_id, commits)
        members = []
        for one in told.members if isinstance(told, ConsumerGroupDescription) else ():
            places = [(at.topic, at.partition) for at in one.assignment.topic_partitions] if one.assignment else []
            chosen = tuple(sorted(place for place in places if place[0] in self._topics))
            elsewhere = elsewhere or len(chosen) < len(places)
            members.append(Member(one.client_id or "", (one.host or "").lstrip("/"), chosen))
        protocol = getattr(told, "type", ConsumerGroupType.UNKNOWN).name
        return GroupSeen(told.group_id, _state(told), protocol, tuple(members), committed, elsewhere)

    def _committed(
        self, seen: ClusterSeen, name: str, commits: Sequence[TopicPartition]
    ) -> tuple[dict[Place, int], bool]:
        """The next offset of each partition that is looked at, and whether there are others."""
        committed: dict[Place, int] = {}
        elsewhere = False
        for at in commits:
            if at.error is not None:
                self._refuse(seen, "commit_unreadable", f"group {name}, {at.topic}", KafkaException(at.error))
            elif at.topic not in self._topics:
                elsewhere = True
            elif at.offset >= 0:
                committed[at.topic, at.partition] = at.offset
        return committed, elsewhere

    def _look_at_ends(self, seen: ClusterSeen, *, whole: bool) -> None:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # theirs has no types
        earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # as above
        seen.ends = self._offsets(seen, seen.places(), latest)
        behind = {
            place
            for group in seen.groups
            for place, offset in group.committed.items()
            if offset < seen.ends.get(place, 0)
        }
        wanted = [place for place, end in seen.ends.items() if end > 0] if whole else sorted(behind)
        seen.begins = self._offsets(seen, wanted, earliest)
        if whole:
            self._look_at_newest(seen, wanted)

    def _look_at_newest(self, seen: ClusterSeen, places: Sequence[Place]) -> None:
        """When each topic was written last, where the broker tells: before Kafka 3.0 it does not know the question."""
        newest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]  # as above
        for some in _batches(places, _PARTITIONS_AT_ONCE):
            try:
                found, failed = list_offsets(self._admin, some, newest, timeout_s=_TIMEOUT_S)
            except KafkaException as error:
                self._refuse(seen, "newest_not_told", "the newest records", error)
                return
            for (topic, _), result in found.items():
                seen.newest_ms[topic] = max(result.timestamp, seen.newest_ms.get(topic, 0))
            for place, why in failed.items():
                self._refuse(seen, "newest_not_told", _shown(place), why)

    def _offsets(self, seen: ClusterSeen, places: Iterable[Place], spec: OffsetSpec) -> dict[Place, int]:
        found: dict[Place, int] = {}
        for some in _batches(list(places), _PARTITIONS_AT_ONCE):
            results, failed = list_offsets(self._admin, some, spec, timeout_s=_TIMEOUT_S)
            for place, result in results.items():
                try:
                    found[place] = answered(result.offset, *place)
                except KafkaException as error:
                    failed[place] = error
            lost = [self._refuse(seen, "end_not_told", _shown(place), error) for place, error in failed.items()]
            if lost and all(lost) and not results.keys() - failed.keys() and not found:
                raise next(iter(failed.values()))
        return found

    def _refuse(self, seen: ClusterSeen, reason: str, what: str, error: KafkaException) -> bool:
        """Count what could not be seen, and name it in the log once. Returns whether it is that nobody was reached."""
        translated = translate(error, self.servers)
        self._stale = self._stale or error.args[0].code() not in FORBIDDEN
        self._pass_over(seen, reason, what, translated.message)
        return isinstance(translated, BrokerUnavailable)

    def _pass_over(self, seen: ClusterSeen, reason: str, what: str, why: str) -> None:
        seen.refused[reason] += 1
        if (reason, what) in self._named:
            return
        if len(self._named) >= _NAMED_MOST:
            self._named.clear()
        self._named.add((reason, what))
        log.warning("%s is passed over (%s): %s", what, reason, why)


def _state(told: _Told) -> str:
    """Kafka's word for it; librdkafka leaves it out where an old broker does."""
    state: ConsumerGroupState = getattr(told, "state", ConsumerGroupState.UNKNOWN)
    return state.name


def _batches(all_of: Sequence[_T], size: int) -> Iterator[list[_T]]:
    for first in range(0, len(all_of), size):
        yield list(all_of[first : first + size])


def _shown(place: Place) -> str:
    return f"topic {place[0]}, partition {place[1]}"
