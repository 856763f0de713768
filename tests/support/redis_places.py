"""Redis as it stands behind other URLs: with TLS and ACLs, behind Sentinels, in a cluster. Processes of this machine."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import redis
from tests.support.certificates import Authority
from tests.support.processes import ChildServer, Started, free_port, port_answers, wait_until
from tests.support.redis_server import RedisServer, redis_binary

SERVICE: Final = "mymaster"
_DOWN_AFTER_MS: Final = 1_000


class TlsRedis(RedisServer):
    """A server that speaks nothing but TLS. `mutual`: it wants a certificate of the client."""

    def __init__(self, authority: Authority, args: Sequence[str] = (), *, mutual: bool = False) -> None:
        self._authority = authority
        self._client = authority.issue("tester")
        own = authority.issue("redis")
        tls = ["--tls-cert-file", str(own.cert), "--tls-key-file", str(own.key), "--tls-ca-cert-file", str(authority.ca),
               "--tls-auth-clients", "yes" if mutual else "no"]  # fmt: skip
        port = free_port()
        super().__init__(["--port", "0", "--tls-port", str(port), *tls, *args])
        self.port = port

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """As the administrator."""
        files = {"ssl_certfile": str(self._client.cert), "ssl_keyfile": str(self._client.key)}
        return redis.Redis.from_url(self.url, ssl_ca_certs=str(self._authority.ca), **files)


class Sentinels(Started):
    """A master, a replica, and Sentinels that agree within a second that the master is down."""

    def __init__(self, *, sentinels: int = 3, args: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-sentinel-"))
        self.servers = [RedisServer(args), RedisServer(args)]
        self.ports = [free_port() for _ in range(sentinels)]
        self._watching: list[ChildServer] = []

    @property
    def hosts(self) -> str:
        """The Sentinels, as a URL names them."""
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def url(self) -> str:
        return f"redis+sentinel://{self.hosts}/{SERVICE}/0"

    def start(self) -> None:
        """Start all, and wait until the replica follows and the Sentinels know each other."""
        for server in self.servers:
            server.start()
        master, replica = self.servers
        with replica.client() as client:
            client.replicaof("127.0.0.1", str(master.port))
            wait_until(lambda: _info(client, "master_link_status") == "up", within_s=30, what="replication")
        quorum = len(self.ports) // 2 + 1
        for port in self.ports:
            file = self.folder / f"{port}.conf"
            lines = [
                f"port {port}", f"dir {self.folder}", "bind 127.0.0.1",
                f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} {quorum}",
                f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}",
                f"sentinel failover-timeout {SERVICE} 10000",
            ]  # fmt: skip
            file.write_text("\n".join(lines) + "\n")
            sentinel = ChildServer([redis_binary(), str(file), "--sentinel"], file.with_suffix(".log"))
            self._watching.append(sentinel)
            sentinel.start(lambda port=port: port_answers(port), within_s=10)  # type: ignore[misc]  # its default is its type
        wait_until(self._complete, within_s=30, what="Sentinels that know each other and the replica")

    def master_port(self) -> int:
        """Where the first Sentinel sees the master."""
        return int(self._asked(self.ports[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def kill_master(self) -> int:
        """kill -9 of the master; its port."""
        port = self.master_port()
        next(server for server in self.servers if server.port == port).kill()
        return port

    def wait_for_another_master(self, than: int, within_s: float = 30) -> None:
        """Until the Sentinels name another one."""
        wait_until(lambda: self.master_port() != than, within_s=within_s, what="another master")

    def close(self) -> None:
        """Stop all."""
        for sentinel in self._watching:
            sentinel.kill()
        for server in self.servers:
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _complete(self) -> bool:
        for port in self.ports:
            with contextlib.suppress(redis.RedisError):
                if len(self._asked(port, "SENTINEL", "REPLICAS", SERVICE)) != 1:
                    return False
                if len(self._asked(port, "SENTINEL", "SENTINELS", SERVICE)) != len(self.ports) - 1:
                    return False
                continue
            return False
        return True

    def _asked(self, port: int, *command: str) -> Any:
        with redis.Redis(port=port, protocol=2) as client:
            connection = client.connection_pool.get_connection()
            try:
                connection.send_command(*command)
                return connection.read_response()
            finally:
                client.connection_pool.release(connection)


class RedisCluster(Started):
    """Three masters; with `replicas`, each has one."""

    def __init__(self, *, replicas: bool = False, args: Sequence[str] = ()) -> None:
        self.nodes: list[RedisServer] = []
        self._buses: list[int] = []
        for _ in range(6 if replicas else 3):
            bus = free_port()
            self._buses.append(bus)
            own = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1500",
                "--cluster-port",
                str(bus),
                "--databases",
                "1",
            ]
            self.nodes.append(RedisServer([*own, *args]))

    @property
    def url(self) -> str:
        """All of them."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def start(self) -> None:
        """Start all, share the slots out, and wait until every node agrees."""
        for node in self.nodes:
            node.start()
        masters, replicas = self.nodes[:3], self.nodes[3:]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(masters):
            self.told(node, "CLUSTER", "ADDSLOTSRANGE", str(bounds[number]), str(bounds[number + 1] - 1))
            self.told(node, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        first = self.nodes[0]
        for node in self.nodes[1:]:
            self.told(node, "CLUSTER", "MEET", "127.0.0.1", str(first.port), str(self._buses[0]))
        wait_until(self._known_to_all, within_s=30, what="nodes that know each other")
        for master, node in zip(masters, replicas, strict=False):
            self.told(node, "CLUSTER", "REPLICATE", self.told(master, "CLUSTER", "MYID").decode())
        wait_until(self._agreed, within_s=30, what="a cluster that is ok")
        for node in replicas:
            with node.client() as client:
                wait_until(lambda c=client: _info(c, "master_link_status") == "up", within_s=30, what="replication")  # type: ignore[misc]  # its default is its type

    def holder(self, slot: int) -> RedisServer:
        """The node that holds a slot, as the first one that runs sees it."""
        return next(node for node in self.nodes if node.port == self._holders(slot)[0])

    def told(self, node: RedisServer, *command: str) -> Any:
        """The answer of a node, bytes."""
        with node.client() as client:
            connection = client.connection_pool.get_connection()
            try:
                connection.send_command(*command)
                return connection.read_response()
            finally:
                client.connection_pool.release(connection)

    def move(self, slot: int, to: RedisServer, batch: int = 50) -> None:
        """Move a slot with its keys to another node, as `redis-cli --cluster reshard` does."""
        here = self.holder(slot)
        ids = [self.told(node, "CLUSTER", "MYID").decode() for node in (here, to)]
        self.told(to, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[0])
        self.told(here, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[1])
        while keys := self.told(here, "CLUSTER", "GETKEYSINSLOT", str(slot), str(batch)):
            names = [key.decode() for key in keys]
            self.told(here, "MIGRATE", "127.0.0.1", str(to.port), "", "0", "5000", "KEYS", *names)
        for node in (to, *(node for node in self.nodes[:3] if node is not to)):
            self.told(node, "CLUSTER", "SETSLOT", str(slot), "NODE", ids[1])

    def wait_for_another_holder(self, slot: int, than: RedisServer, within_s: float = 30) -> None:
        """Until the others say that the slot has another holder."""
        wait_until(lambda: self._holders(slot)[0] not in (0, than.port), within_s=within_s, what="another holder")

    def close(self) -> None:
        """Stop all."""
        for node in self.nodes:
            node.close()

    def _holders(self, slot: int) -> list[int]:
        asked = next(node for node in self.nodes if node.running)
        for first, last, *holders in self.told(asked, "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return [int(holder[1]) for holder in holders]
        return [0]

    def _known_to_all(self) -> bool:
        known = f"cluster_known_nodes:{len(self.nodes)}"
        return all(
            known in self.told(node, "CLUSTER", "INFO").decode()
            and b"handshake" not in self.told(node, "CLUSTER", "NODES")
            for node in self.nodes
        )

    def _agreed(self) -> bool:
        count = len(self.nodes)
        for node in self.nodes:
            facts = self.told(node, "CLUSTER", "INFO").decode()
            if "cluster_state:ok" not in facts or f"cluster_known_nodes:{count}" not in facts:
                return False
        return all(len(self._holders(slot)) == count // 3 for slot in (0, 8_000, 16_000))


def _info(client: redis.Redis, name: str) -> Any:
    facts: Any = client.info("replication")
    return facts.get(name)
