"""Asks Kafka which cluster it is, once a process and in the background: no job and no answer waits for it.

A client of our own asks, made of the same settings, and is gone when it knows: the job's client is closed when the job likes, also
while somebody asks it something.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from headwater.doors.clusters import KAFKA, ClusterBook, cluster_of
from headwater.masking import error_text

log = logging.getLogger(__name__)

PROCESS: Final = ClusterBook()
"""What this process has learned from its own Kafka clients."""

_ASK_S: Final = 5.0
_PAUSES_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
_PASSED_ON: Final = ("bootstrap.servers", "broker.", "client.dns.lookup", "sasl.", "security.", "socket.", "ssl.")
_MORE_THAN_SETTINGS: Final = frozenset({"OAUTHBEARER", "GSSAPI"})
_asked: set[tuple[str, str]] = set()
_lock = threading.Lock()


def learn_in_background(
    settings: Mapping[str, Any], book: ClusterBook = PROCESS, *, also: str = ""
) -> None:  # Any: librdkafka's settings
    """Find out which cluster the settings lead to; each bootstrap string is asked once a process. Raises nothing.

    `also`: another namespace (`kafka://shop`) that the cluster is called by on purpose. Where it takes more than settings to log
    in (a token by a callback, a ticket), nobody is asked.
    """
    servers = str(settings.get("bootstrap.servers") or settings.get("metadata.broker.list") or "")
    told = {
        key: value
        for key, value in settings.items()
        if isinstance(value, str | int | float | bool) and key.startswith(_PASSED_ON)
    }
    mechanism = str(told.get("sasl.mechanisms") or told.get("sasl.mechanism") or "").upper()
    with _lock:
        if not servers or mechanism in _MORE_THAN_SETTINGS or (servers, also) in _asked:
            return
        _asked.add((servers, also))
    config = {**told, "bootstrap.servers": servers, "client.id": "headwater-names", "log_level": 0}
    try:
        threading.Thread(target=_ask, args=(config, book, also), name="headwater-names", daemon=True).start()
    except RuntimeError:  # the interpreter is ending
        return


def _ask(config: dict[str, Any], book: ClusterBook, also: str) -> None:
    servers = config["bootstrap.servers"]
    named = f"{servers},{also[len(KAFKA) :]}" if also.startswith(KAFKA) else servers
    for pause_s in _PAUSES_S:
        try:
            cluster_id, brokers = _told(config)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job goes on without this
            log.debug("which cluster %s is cannot be learned now: %s", servers, error_text(error))
            time.sleep(pause_s)
        else:
            book.learn(cluster_of(cluster_id, brokers, named, loopback=True))
            return


def _told(config: dict[str, Any]) -> tuple[str | None, list[tuple[str, int]]]:
    """Id and brokers of a cluster; where it has no controller to ask, from the metadata of all topics."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(config)
    try:
        found = admin.describe_cluster(request_timeout=_ASK_S).result(_ASK_S + 1)
        return found.cluster_id, [(str(node.host), node.port) for node in found.nodes]
    except KafkaException:
        told = admin.list_topics(timeout=_ASK_S)
        return told.cluster_id, [(str(broker.host), broker.port) for broker in told.brokers.values()]


def _in_child() -> None:
    """What was learned stays; who was about to learn is not there, and locks may be held by nobody."""
    global _lock
    _lock = threading.Lock()
    _asked.clear()
    PROCESS.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
