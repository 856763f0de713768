"""Two addresses of one Kafka are one cluster: which addresses belong to which. Pure, but for the lock of a `ClusterBook`.

A topic is named by bootstrap servers, and each client has its own. Kafka tells its clients the cluster's id and the
addresses of its brokers, so whoever reaches a cluster knows which names are names of it. Topics under such a name get one alias
more, `kafka-cluster://<cluster id>`; the processor takes names with a common alias for one dataset. Of a cluster that nobody here
has reached nothing is said, and nothing of an address that two clusters claim.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from headwater_schemas.naming import canonical_dataset

# The id of the embedded broker is an address in memory. The others stand in examples of documentation and images, from where
# they are copied into clusters that have nothing to do with each other.
_OF_ANYBODY: Final = frozenset(
    {"4L6g3nShT-eMCtK--X86sw", "5L6g3nShT-eMCtK--X86sw", "MkU3OEVBNTcwNTJENDM2Qg", "MkU3OEVBNTcwNTJENDM2Qk"}
    | {"LelM2dIFQkiUFvXCEcqRWA", "abcdefghijklmnopqrstuv", "ciWo7IWazngRchmPES6q5A", "q1Sh-9_ISia_zwGINzRvyQ"}
)
_ID: Final = re.compile(r"(?!mockCluster)[A-Za-z0-9._-]{4,100}")
_LOOPBACK: Final = re.compile(r"(?:localhost|127(?:\.\d+){3}|\[?::1\]?|0\.0\.0\.0)(?::\d+)?")
KAFKA: Final = "kafka://"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that was reached: its id, and addresses of it (`host:port`)."""

    id: str
    addresses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Clusters:
    """What is known of clusters. `claims`: address to the ids of those who claim it."""

    claims: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, namespace: str) -> str:
        """The id of the cluster that a canonical namespace names; "" where that is not known, or not one."""
        if not namespace.startswith(KAFKA):
            return ""
        found = {id_ for server in namespace[len(KAFKA) :].split(",") for id_ in self.claims.get(server, ())}
        return found.pop() if len(found) == 1 else ""

    def addresses_of(self, cluster_id: str) -> frozenset[str]:
        """The addresses that this cluster alone claims."""
        return frozenset(address for address, ids in self.claims.items() if cluster_id and ids == {cluster_id})

    def with_added(self, cluster: Cluster) -> Clusters:
        """These and one more, or more addresses of it."""
        added = {address: self.claims.get(address, frozenset()) | {cluster.id} for address in cluster.addresses}
        return Clusters({**self.claims, **added})


def cluster_of(
    cluster_id: str | None, brokers: Iterable[tuple[str, int]], bootstrap_servers: str, *, loopback: bool = False
) -> Cluster | None:
    """The cluster that Kafka said it is; None for an id that says nothing.

    Args:
        brokers: host and port, as the brokers advertise them.
        bootstrap_servers: as we were told them.
        loopback: whether addresses such as `localhost` count: only where those who name them are on this machine.
    """
    if not cluster_id or not _ID.fullmatch(cluster_id) or cluster_id in _OF_ANYBODY:
        return None
    told = ",".join([bootstrap_servers, *(f"{_bracketed(host)}:{port}" for host, port in brokers)])
    addresses = canonical_dataset(f"{KAFKA}{told}", "-").namespace[len(KAFKA) :].split(",")
    kept = frozenset(each for each in addresses if each and (loopback or not _LOOPBACK.fullmatch(each)))
    return Cluster(cluster_id, kept) if kept else None


class ClusterBook:
    """What a process has learned of clusters so far; `version` changes with it. Thread-safe."""

    def __init__(self) -> None:
        self.clusters = Clusters()
        self.version = 0
        self._lock = threading.Lock()

    def learn(self, cluster: Cluster | None) -> bool:
        """Add what was found out; whether it was new."""
        if cluster is None:
            return False
        with self._lock:
            added = self.clusters.with_added(cluster)
            if added == self.clusters:
                return False
            self.clusters = added
            self.version += 1
            return True

    def in_child(self) -> None:
        """In a forked child: the lock may be held by a thread that is not there any more."""
        self._lock = threading.Lock()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
