"""The real doors of the demo: beside the shop, whose jobs are told by events, one of its roads is no story.

| part of the road | how it is told |
|---|---|
| table `reviews` → topic `headwater-demo.public.reviews` | records as Debezium writes them, looked at by `headwater cdc` |
| the topic → `raw/reviews` in the lake | a real consumer with `headwater.kafka`, two lines of its own |
| `raw/reviews` → mart `analytics.marts.reviews` | a run sent as OpenLineage by HTTP to `headwater gateway` |
| the topic → a search index, by a consumer that tells nothing | `headwater discover`, from the commits of its group |

An embedded broker cannot list groups: discovery is told the names of both. Of a real one it finds them by itself.

The doors are the commands that anybody runs, as processes that die with this one.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
from confluent_kafka import Consumer as PlainConsumer
from confluent_kafka import Producer

from headwater import Emitter
from headwater.kafka import Consumer, Lineage
from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings
from headwater.transports.http import HttpTransport
from headwater.transports.kafka import KafkaTransport
from headwater_processor.local.launch import variable
from headwater_processor.local.scenario import DASHBOARDS, DATABASE, KAFKA, LAKE, REVIEWS_MART, WAREHOUSE
from headwater_processor.local.services import Kept, start_kept

if TYPE_CHECKING:
    from confluent_kafka import Message

log = logging.getLogger(__name__)

SERVER: Final = "headwater-demo"
"""The connector's topic prefix: no real one's, for the demo may run on somebody's Kafka."""
TOPIC: Final = f"{SERVER}.public.reviews"
GROUP: Final = "reviews-sink"
SILENT_GROUP: Final = "reviews-search"
"""Of a consumer without a line of ours."""
RAW: Final = "raw/reviews"
PARTITIONS: Final = 2

_LOOK_EVERY_S: Final = "2"
_WRITE_EVERY_S: Final = 1.0
_LOAD_EVERY_S: Final = 5
_GRACE_S: Final = 3.0
_SAY_EVERY_S: Final = 2.0
_POLL_S: Final = 0.2


class Doors:
    """The road of the reviews, and the doors that tell it.

    Args:
        kafka: of the demo.
        prefix: of Headwater's topics.
        folder: for the logs of the doors.
        embedded: whether the broker is the embedded one.
        arguments: the global options that the demo was given: the doors are told the same.
    """

    def __init__(
        self, kafka: KafkaSettings, prefix: str, folder: Path, *, embedded: bool, arguments: Sequence[str] = ()
    ) -> None:
        self._kafka = kafka
        self._prefix = prefix
        self._folder = folder
        self._embedded = embedded
        self._command = [sys.executable, "-m", "headwater.cli", *arguments]
        self._doors: dict[str, Kept] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the doors and the road; nothing is waited for."""
        self._open("cdc", "cdc", "--topic", TOPIC, "--source", f"{SERVER}={DATABASE}/shop", "--interval", _LOOK_EVERY_S)
        if importlib.util.find_spec("uvicorn") is not None:
            self._open("gateway", "--output", "json", "gateway", "--port", "0")
        named = ("--group", GROUP, "--group", SILENT_GROUP) if self._embedded else ()
        self._open("discover", "discover", "--topic", TOPIC, *named, "--interval", _LOOK_EVERY_S)
        for part in (self._write, self._consume, self._index, self._load):
            # Daemons: a consumer's close waits for a broker that is dead or frozen, 45 s or without a bound, and nothing is lost.
            thread = threading.Thread(
                target=self._kept_quiet, args=(part,), name=f"hw-demo{part.__name__}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def look(self) -> Iterator[str]:
        """Say which door has ended since the last look; the shop goes on without it."""
        for name, process in list(self._doors.items()):
            if (code := process.exit_code()) is not None:
                del self._doors[name]
                yield f"headwater {name} ended (exit code {code}): {_last_line(self._log(name))}"

    def stop(self) -> None:
        """End the road and the doors."""
        self._stop.set()
        for process in self._doors.values():
            process.ask_to_stop()
        for thread in self._threads:
            thread.join(_GRACE_S)
        for process in self._doors.values():
            process.stop(_GRACE_S)

    def _open(self, name: str, *arguments: str) -> None:
        settings = {
            "kafka.bootstrap_servers": self._kafka.bootstrap_servers,
            "topic_prefix": self._prefix,
            "cdc.kafka_namespace": KAFKA,
            "discover.kafka_namespace": KAFKA,
            "metrics.port": "0",
        }
        environment: Mapping[str, str] = os.environ | {variable(key): value for key, value in settings.items()}
        with self._log(name).open("wb") as output:
            self._doors[name] = start_kept(
                f"headwater {name}", [*self._command, *arguments], grace_s=_GRACE_S, log=output, env=environment
            )

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _kept_quiet(self, part: Callable[[], None]) -> None:
        """A demo whose side road breaks goes on; what broke is in the log."""
        try:
            part()
        except Exception:  # whatever it is, the shop goes on
            log.exception("the demo's reviews come no further")

    # ---- the road ------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """What a Debezium connector would write: a review a second and partition."""
        producer = Producer({**client_config(self._kafka), "linger.ms": 50})
        number = 0
        while not self._stop.wait(_WRITE_EVERY_S):
            for partition in range(PARTITIONS):
                number += 1
                producer.produce(TOPIC, envelope(number, time.time_ns() // 1_000_000), b"%d" % number, partition)
            producer.poll(0)
        producer.flush(_GRACE_S)

    def _consume(self) -> None:
        """A job with a consumer: the two lines are `headwater.kafka` and what it writes."""
        settings = {**client_config(self._kafka), "group.id": GROUP, "auto.offset.reset": "earliest"}
        transport = KafkaTransport(
            self._kafka.bootstrap_servers, config=client_config(self._kafka), topic_prefix=self._prefix
        )
        with Emitter(transport, namespace="k8s://shop", job=GROUP) as emitter, emitter.run() as run:
            lineage = Lineage(run=run, emitter=emitter, namespace=KAFKA, every_s=_SAY_EVERY_S)
            consumer = Consumer(settings, lineage=lineage)
            consumer.subscribe([TOPIC])
            while not self._stop.is_set():
                messages = _good(consumer.consume(500, _POLL_S))
                if messages:
                    run.writes(LAKE, RAW, rows=len(messages))
            consumer.close()

    def _index(self) -> None:
        """A consumer that nobody instruments."""
        settings = {**client_config(self._kafka), "group.id": SILENT_GROUP, "auto.commit.interval.ms": 1_000}
        consumer = PlainConsumer(settings)
        consumer.subscribe([TOPIC])
        while not self._stop.is_set():
            consumer.consume(500, _POLL_S)
        consumer.close()

    def _load(self) -> None:
        """A batch job that speaks OpenLineage over HTTP, as Airflow or dbt do."""
        url = self._gateway_url()
        if not url:
            return
        with Emitter(HttpTransport(url), namespace="dbt", job="marts.reviews") as emitter:
            while not self._stop.wait(_LOAD_EVERY_S):
                with emitter.run() as run:
                    run.reads(LAKE, RAW)
                    run.writes(WAREHOUSE, REVIEWS_MART.name, rows=_LOAD_EVERY_S * PARTITIONS)
                with emitter.run("refresh.reviews", namespace="looker") as run:
                    run.reads(WAREHOUSE, REVIEWS_MART.name)
                    run.writes(DASHBOARDS, "dashboards/reviews")

    def _gateway_url(self) -> str:
        """What the gateway says first, once it takes requests; "" if the demo ends before."""
        while "gateway" in self._doors and not self._stop.wait(_POLL_S):
            said = self._log("gateway").read_text(errors="replace")
            with contextlib.suppress(ValueError):  # not said yet, or half of it
                return str(json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["url"])
        return ""


def envelope(number: int, now_ms: int) -> bytes:
    """A new review as Debezium's PostgreSQL connector writes it, without its schema."""
    source = {
        "version": "3.2.0.Final", "connector": "postgresql", "name": SERVER, "ts_ms": now_ms, "snapshot": "false",
        "db": "shop", "schema": "public", "table": "reviews", "txId": number, "lsn": 24_000_000 + 56 * number,
    }  # fmt: skip
    after = {"id": number, "product": number % 97, "stars": 1 + number % 5}
    return orjson.dumps({"before": None, "after": after, "source": source, "op": "c", "ts_ms": now_ms})


def _good(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message.error() is None]


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
