"""A real Apache Kafka (KRaft, one node or some) on a local JVM, from jars that Maven resolves once into a cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

from confluent_kafka import ElectionType, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata, PartitionMetadata
from tests.support.processes import ChildServer, Started, free_port, port_answers, wait_until

_REPO = Path(__file__).resolve().parents[2]
_POM = Path(__file__).parent / "kafka" / "pom.xml"
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

# One node that starts fast and notices a dead member fast; nothing here changes what a client sees.
# The minima of group.consumer.* must be lowered too, or the broker refuses to start.
SERVER_SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "2000",
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "controlled.shutdown.enable": "false",
}


# Every topic on every node and written on two of three, and a dead node is noticed in three seconds instead of nine.
CLUSTER_SETTINGS: Mapping[str, str] = {
    "default.replication.factor": "3",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "share.coordinator.state.topic.replication.factor": "3",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
}


def cache_dir() -> Path:
    """Where downloaded things stay between runs: $HEADWATER_TEST_CACHE, else `.cache` of the repository."""
    return Path(os.environ.get("HEADWATER_TEST_CACHE") or _REPO / ".cache")


def kafka_jars() -> Path:
    """The folder with the jars of `kafka/pom.xml`, resolved at the first call. RuntimeError if that fails."""
    return maven_jars(_POM, "kafka")


def maven_jars(pom: Path, name: str) -> Path:
    """The folder with the jars of a POM, resolved at the first call. RuntimeError, with what `name` is, if that fails."""
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    jars = cache_dir() / f"{name}-jars-{digest}"
    jars.parent.mkdir(parents=True, exist_ok=True)
    with (jars.parent / f"{name}-jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            _resolve(pom, name, jars)
    return jars


def _resolve(pom: Path, name: str, jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise RuntimeError(f"the jars of {name} are not in the cache and mvn is not on PATH")
    unfinished = jars.with_suffix(f".{os.getpid()}")
    command = [
        maven,
        "-q",
        "-B",
        "-f",
        str(pom),
        _COPY_JARS,
        "-DincludeScope=runtime",
        f"-DoutputDirectory={unfinished}",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise RuntimeError(f"mvn could not resolve the jars of {name}: {done.stdout.strip()[-500:]}")
    unfinished.rename(jars)


def class_archive() -> Path:
    """Where the JVM keeps Kafka's classes ready to use; the first `_format` makes it. Of another JVM it is ignored."""
    return kafka_jars().with_suffix(".jsa")


def new_cluster_id() -> str:
    """An id for the storage of a cluster. One that begins with a dash would be taken for an option."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


class KafkaServer:
    """One broker on fixed ports and one data folder, so that it can be stopped, killed and started again.

    `settings` are added to server.properties. `keep=True` leaves the folder (data and log) after `close`.
    `controller_port` and `cluster_id` are chosen by who starts several, `port` by who adds listeners. One that is not
    `long_lived` starts in half the processor time and serves a heavy load slower: nothing is compiled for speed.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        heap_mib: int = 512,
        controller_port: int | None = None,
        cluster_id: str | None = None,
        port: int | None = None,
        long_lived: bool = False,
    ) -> None:
        self.port = port or free_port()
        self._controller_port = controller_port or free_port()
        self._cluster_id = cluster_id or new_cluster_id()
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-kafka-"))
        self.keep = False
        self._properties = self.folder / "server.properties"
        self._write_properties(settings or {})
        self._java = self._java_command(heap_mib, long_lived=long_lived)
        command = [*self._java, f"-XX:SharedArchiveFile={class_archive()}", "kafka.Kafka", str(self._properties)]
        self._process = ChildServer(command, self.folder / "server.log")
        self._formatted = False

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def start(self) -> None:
        """Start, or start again with the same port and data, and wait until it answers. RuntimeError if it does not."""
        self._start(self._ready)

    def launch(self) -> None:
        """Start, and do not wait until it answers: one of several does only when there are enough of them."""
        self._start(lambda: True)

    def _start(self, ready: Callable[[], bool]) -> None:
        if not self._formatted:
            self._format()
        self._process.start(ready, within_s=90)

    def stop(self) -> None:
        """Orderly end; the data stay."""
        self._process.stop()

    def kill(self) -> None:
        """kill -9; the data stay as they are."""
        self._process.kill()

    def freeze(self) -> None:
        self._process.freeze()

    def thaw(self) -> None:
        self._process.thaw()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop and remove the folder, unless `keep` is set."""
        if self.keep:
            self._process.stop()
        else:
            self._process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> KafkaServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_properties(self, settings: Mapping[str, str]) -> None:
        controller = self._controller_port
        own = {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(self.folder / "data"),
        }
        merged = {**SERVER_SETTINGS, **own, **settings}
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in merged.items()))

    def _java_command(self, heap_mib: int, *, long_lived: bool) -> list[str]:
        java = shutil.which("java")
        if java is None:
            raise RuntimeError("java is not on PATH")
        heap = [f"-Xmx{heap_mib}m", f"-Xms{min(heap_mib, 256)}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        compiler = [] if long_lived else ["-XX:TieredStopAtLevel=1"]
        return [java, *heap, *compiler, "-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-cp", f"{kafka_jars()}/*"]

    def _format(self) -> None:
        archive = class_archive()
        unfinished = archive.with_suffix(f".{os.getpid()}")
        first = not archive.exists()
        classes = f"-XX:ArchiveClassesAtExit={unfinished}" if first else f"-XX:SharedArchiveFile={archive}"
        tool = [*self._java, classes, "kafka.tools.StorageTool", "format"]
        command = [*tool, "-t", self._cluster_id, "-c", str(self._properties)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"Kafka could not format its storage: {done.stdout.strip()[-1000:]}")
        if first and unfinished.exists():
            unfinished.rename(archive)
        self._formatted = True

    def _ready(self) -> bool:
        if not port_answers(self.port):
            return False
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=5).brokers)
        except Exception:  # noqa: BLE001 - not ready yet, whatever the client says
            return False


class KafkaCluster(Started):
    """Three nodes, each broker and controller; any one of them may be hurt. Every topic is on all of them."""

    def __init__(self, *, heap_mib: int = 256) -> None:
        controllers = {node: free_port() for node in (1, 2, 3)}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in controllers.items())
        cluster_id = new_cluster_id()
        self.nodes: dict[int, KafkaServer] = {}
        for node, port in controllers.items():
            own = {**CLUSTER_SETTINGS, "node.id": str(node), "controller.quorum.voters": voters}
            self.nodes[node] = KafkaServer(own, heap_mib=heap_mib, controller_port=port, cluster_id=cluster_id)

    @property
    def bootstrap_servers(self) -> str:
        """All nodes."""
        return ",".join(node.bootstrap_servers for node in self.nodes.values())

    def start(self) -> None:
        """Start all, and wait until each knows of all. RuntimeError or TimeoutError if that does not happen."""
        for node in self.nodes.values():
            node.launch()
        wait_until(lambda: self._brokers() == len(self.nodes), within_s=120, what="a cluster of all nodes", pause_s=0.5)

    def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition; -1 for none, or while nobody tells."""
        found = self._partitions(topic).get(partition)
        return found.leader if found is not None else -1

    def in_sync(self, topic: str) -> bool:
        """Whether every partition is on every node."""
        partitions = self._partitions(topic).values()
        return bool(partitions) and all(len(found.isrs) == len(self.nodes) for found in partitions)

    def prefer(self, topic: str) -> None:
        """Give every partition back to the node that leads it by preference; harmless where that is so already."""
        asked = [TopicPartition(topic, partition) for partition in self._partitions(topic)]
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        admin.elect_leaders(ElectionType.PREFERRED, asked).result(30)

    def close(self) -> None:
        """Stop all and remove their folders."""
        for node in self.nodes.values():
            node.close()

    def _partitions(self, topic: str) -> dict[int, PartitionMetadata]:
        metadata = self._metadata()
        return metadata.topics[topic].partitions if metadata is not None else {}

    def _brokers(self) -> int:
        metadata = self._metadata()
        return len(metadata.brokers) if metadata is not None else 0

    def _metadata(self) -> ClusterMetadata | None:
        """As a node that answers knows it; None if the one that was asked does not."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        with contextlib.suppress(KafkaException):
            found: ClusterMetadata = admin.list_topics(timeout=5)
            return found
        return None
