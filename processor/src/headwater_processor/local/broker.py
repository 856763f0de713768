"""The embedded Kafka broker, a process of its own: `python -m headwater_processor.local.broker TOPIC:PARTITIONS …`.

It is the mock cluster inside librdkafka, which comes in the confluent-kafka wheel: real TCP, consumer groups and
idempotent producers, in memory only. What it lacks: topics cannot be created over the wire (they are named here),
nothing is kept past about 5 MiB a partition, and nothing survives its end. For trying things out; never for production.

It prints one line of JSON, `{"bootstrap": "127.0.0.1:<port>"}`, and ends when its standard input does.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from headwater_processor.local.keeper import wait_for_parent

_PRODUCER = 0
_REBALANCE_DELAY_MS = 200


def library_path() -> str:
    """Where librdkafka is: in the confluent-kafka wheel (Linux and macOS keep it in different places) or in the system.

    Raises:
        FileNotFoundError: nowhere.
    """
    import confluent_kafka

    package = Path(confluent_kafka.__file__).parent
    for folder in (package.parent / "confluent_kafka.libs", package / ".dylibs", package / ".libs"):
        for file in sorted(folder.glob("librdkafka*")):
            return str(file)
    system = ctypes.util.find_library("rdkafka")
    if system is None:
        raise FileNotFoundError("librdkafka was not found in the confluent-kafka package: install its binary wheel")
    return system


def _functions(library: Any) -> Any:
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", number, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [number, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, number]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_topic_create", number, [pointer, text, number, number]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_destroy", None, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class MockCluster:
    """One broker in this process, with these topics (name to partitions)."""

    def __init__(self, topics: dict[str, int]) -> None:
        self._library = _functions(ctypes.CDLL(library_path()))
        error = ctypes.create_string_buffer(512)
        conf = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(conf, b"log_level", b"3", error, len(error))
        self._client = self._library.rd_kafka_new(_PRODUCER, conf, error, len(error))
        if not self._client:
            raise RuntimeError(f"librdkafka refused to start: {error.value.decode()}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, _REBALANCE_DELAY_MS)
        for name, partitions in topics.items():
            code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
            if code:
                raise RuntimeError(f"the embedded broker refused to create topic {name!r} (error {code})")

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def close(self) -> None:
        """Stop listening."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


def parse_topics(arguments: list[str]) -> dict[str, int]:
    """`name:partitions` as a person or `local.services` writes them."""
    pairs = (argument.rpartition(":") for argument in arguments)
    return {name: int(partitions) for name, _, partitions in pairs}


def main(arguments: list[str]) -> int:
    """Serve until standard input ends or SIGTERM comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    done = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        done.set()

    signal.signal(signal.SIGTERM, on_signal)
    wait_for_parent(done.set)
    cluster = MockCluster(parse_topics(arguments))
    sys.stdout.write(json.dumps({"bootstrap": cluster.bootstrap}) + "\n")
    sys.stdout.flush()
    done.wait()
    cluster.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
