"""As-of: up to when we know that we have seen everything (DESIGN: two clocks).

For each partition of ours: read the state's clock, then ask the broker for the end of the log. Once the fence has passed
that end, everything that was there at that time is in the state. A lag, a replay, an outage of the broker or a jumping clock of
this machine only keep the proof from coming.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name
from redis.exceptions import RedisError

from headwater.runtime.kafka import answered
from headwater_processor.engine.outstanding import Standing
from headwater_processor.engine.owned import Owned
from headwater_processor.ports import Fence, StateStore

log = logging.getLogger(__name__)

_LEADERS_S: Final = 2.0


class Prover:
    """One thread that asks the broker once per interval and proves idle partitions itself."""

    def __init__(
        self,
        config: dict[str, Any],
        topic: str,
        store: StateStore,
        now_us: Callable[[], int],
        owned: Callable[[], dict[int, Owned]],
        interval_s: float,
        why_standing: Callable[[], str] = lambda: "",
        watch: Callable[[], None] = lambda: None,
        on_refused: Callable[[Owned], None] = lambda _owned: None,
    ) -> None:
        self._admin = AdminClient(config)
        self._topic = topic
        self._store = store
        self._now_us = now_us
        self._owned = owned
        self._interval_s = interval_s
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headwater-asof", daemon=True)
        self.ends: dict[int, int] = {}
        self.moved_at = time.monotonic()
        self._complained = False
        self._standing = Standing()
        self._why_standing = why_standing
        self._watch = watch
        self._on_refused = on_refused

    def start(self) -> None:
        """Begin to prove."""
        self._thread.start()

    def close(self, deadline_s: float = 3.0) -> None:
        """Stop."""
        self._halt.set()
        if self._thread.is_alive():
            self._thread.join(deadline_s)

    def _run(self) -> None:
        while not self._halt.wait(self._interval_s):
            self.moved_at = time.monotonic()
            try:
                self._watch()
                self._prove()
                self._complained = False
            except (KafkaException, RedisError, OSError, TimeoutError) as error:
                if not self._complained:
                    log.warning("as-of stands still: %s", error)
                    self._complained = True
                self._look_for_leaders(error)

    def _look_for_leaders(self, error: Exception) -> None:
        """After a change of leaders librdkafka (2.16) asks on with the leader epoch it knows, is refused, and learns the
        new one with its next regular refresh, five minutes later; asking for the topic refreshes it now."""
        if isinstance(error, KafkaException) and not self._halt.is_set():
            with contextlib.suppress(KafkaException):
                self._admin.list_topics(self._topic, _LEADERS_S)

    def _prove(self) -> None:
        live = {p: each for p, each in self._owned().items() if not each.stopped}
        if not live:
            return
        now_us = self._now_us()
        latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client types none of OffsetSpec
        asked: dict[TopicPartition, Future[Any]] = self._admin.list_offsets(
            {TopicPartition(self._topic, p): latest for p in live}, request_timeout=5.0
        )
        proofs: list[tuple[Fence, int, int]] = []
        proven: list[Owned] = []
        progress: dict[int, tuple[int, int]] = {}
        for at, future in asked.items():
            end = answered(future.result(timeout=6.0).offset, at.topic, at.partition)
            each = live[at.partition]
            self.ends[at.partition] = end
            progress[at.partition] = (each.applied, end)
            if each.dead:
                continue  # it is taken over again; until then nothing can be proved
            if each.applied >= end:
                proofs.append((each.fence, end, now_us))
                proven.append(each)
            else:
                each.to_prove(end, now_us)
        self._complain_of_standing(progress)
        for each, held in zip(proven, self._store.prove(proofs), strict=True):
            if held:
                each.as_of_us = max(each.as_of_us, now_us)
                each.proof = None
            elif not each.dead:
                self._on_refused(each)

    def _complain_of_standing(self, progress: dict[int, tuple[int, int]]) -> None:
        for partition, seconds in self._standing.look(time.monotonic(), progress).items():
            applied, end = progress[partition]
            log.warning(
                "partition %d stands at offset %d for %.0f s, and its log goes on to %d: %s",
                partition, applied, seconds, end, self._why_standing(),
            )  # fmt: skip
