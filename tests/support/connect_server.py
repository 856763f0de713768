"""A real PostgreSQL and a real Kafka Connect with Debezium, as local processes, for tests of change data capture.

PostgreSQL's programs come from the system (`apt-get install postgresql`), the jars by Maven into the tests' cache.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.kafka_server import maven_jars
from tests.support.processes import ChildServer, free_port, port_answers, wait_until

_POMS = Path(__file__).parent / "connect"


def postgres_programs() -> Path:
    """The folder of `postgres` and `initdb`. RuntimeError if there is none."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else []
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in found:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")


class PostgresServer:
    """One server with logical decoding, user and database `postgres`, and a database `store`."""

    def __init__(self) -> None:
        self._programs = postgres_programs()
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-postgres-"))
        self._as = _other_than_root(self.folder)
        settings = {
            "wal_level": "logical",
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_replication_slots": "4",
            "max_wal_senders": "4",
        }
        told = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [*self._as, str(self._programs / "postgres"), "-D", str(self.folder / "data"), *told]
        self._process = ChildServer(command, self.folder / "server.log")

    def start(self) -> None:
        """Make the databases and start. RuntimeError if that fails."""
        make = [str(self._programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres", "--auth=trust", "-N"]
        _checked([*self._as, *make])
        self._process.start(lambda: port_answers(self.port), within_s=30)
        wait_until(lambda: self._answers(), within_s=30, what="PostgreSQL")
        self.sql("CREATE DATABASE store", database="postgres")

    def sql(self, *statements: str, database: str = "store") -> str:
        """Run statements, each in a transaction of its own; what the last one answers. RuntimeError for a wrong one."""
        told = [word for statement in statements for word in ("-c", statement)]
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        return _checked([str(self._programs / "psql"), *where, "-qAt", "-v", "ON_ERROR_STOP=1", *told]).strip()

    def close(self) -> None:
        self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return self.sql("SELECT 1", database="postgres") == "1"
        except RuntimeError:
            return False

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _other_than_root(folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: the words that make it run as `postgres`, and die with us all the same."""
    if os.getuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        raise RuntimeError("PostgreSQL does not run as root, and there is no user postgres") from None
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig", "KILL"]


def _checked(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stdout.strip()[-1000:]}")
    return done.stdout


class ConnectWorker:
    """Kafka Connect, standalone, with Debezium's connector for PostgreSQL, on a port of its own."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="headwater-connect-"))
        java = shutil.which("java")
        if java is None:
            raise RuntimeError("java is not on PATH")
        plugins = self.folder / "plugins"
        plugins.mkdir()
        (plugins / "debezium").symlink_to(maven_jars(_POMS / "debezium.xml", "debezium"))
        properties = {
            "bootstrap.servers": bootstrap_servers,
            "listeners": f"http://127.0.0.1:{self.port}",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.file.filename": str(self.folder / "offsets"),
            "offset.flush.interval.ms": "1000",
            "plugin.path": str(plugins),
            "plugin.discovery": "service_load",
        }
        settings = self.folder / "worker.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        jars = maven_jars(_POMS / "connect.xml", "connect")
        command = [
            java,
            "-Xmx384m",
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            f"{jars}/*",
        ]
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        self._process = ChildServer([*command, main, str(settings)], self.folder / "worker.log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers. RuntimeError if it does not."""
        self._process.start(self._answers, within_s=90)

    def close(self) -> None:
        self._process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Make the connector, or change it."""
        self._ask("PUT", f"/connectors/{name}/config", dict(config))

    def delete(self, name: str) -> None:
        """Remove the connector."""
        self._ask("DELETE", f"/connectors/{name}")

    def names(self) -> list[str]:
        """The connectors that there are."""
        return list(self._ask("GET", "/connectors"))

    def states(self, name: str) -> set[str]:
        """The states of the connector and its tasks; empty while it has none."""
        try:
            found = self._ask("GET", f"/connectors/{name}/status")
        except RuntimeError:
            return set()
        return {found["connector"]["state"], *(task["state"] for task in found["tasks"])} if found["tasks"] else set()

    def log_tail(self) -> str:
        """The last lines of its log."""
        return self._process.log_tail(40)

    def _answers(self) -> bool:
        try:
            return port_answers(self.port) and isinstance(self._ask("GET", "/connectors"), list)
        except (OSError, RuntimeError, ValueError):
            return False

    def _ask(self, method: str, path: str, body: Any = None) -> Any:  # Any: what JSON holds
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read().decode()
        finally:
            connection.close()
        if response.status >= 300:
            raise RuntimeError(f"Connect answers {response.status} to {method} {path}: {said[:1000]}")
        return json.loads(said) if said else None

    def __enter__(self) -> ConnectWorker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
