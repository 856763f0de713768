"""Asks Kafka which cluster it is, once a process and in the background: no job and no answer waits for it.

A client of our own asks, made of the same settings, and is gone when it knows: the job's client is closed when the job likes, also
while somebody asks it something.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from headwater.doors.clusters import ClusterBook, cluster_of
from headwater.masking import error_text

log = logging.getLogger(__name__)

PROCESS: Final = ClusterBook()
"""What this process has learned from its own Kafka clients."""

_ASK_S: Final = 10.0
_PAUSES_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0)
_PASSED_ON: Final = ("bootstrap.servers", "broker.", "client.dns.lookup", "sasl.", "security.", "socket.", "ssl.")
_asked: set[str] = set()
_lock = threading.Lock()


def learn_in_background(settings: Mapping[str, Any], book: ClusterBook = PROCESS) -> None:  # Any: librdkafka's settings
    """Find out which cluster the settings lead to; each bootstrap string is asked once a process. Raises nothing.

    What needs a callback of the application's to log in (OAUTHBEARER) is not asked.
    """
    servers = str(settings.get("bootstrap.servers") or settings.get("metadata.broker.list") or "")
    told = {
        key: value
        for key, value in settings.items()
        if isinstance(value, str | int | float | bool) and key.startswith(_PASSED_ON)
    }
    mechanism = str(told.get("sasl.mechanisms") or told.get("sasl.mechanism") or "").upper()
    with _lock:
        if not servers or mechanism == "OAUTHBEARER" or servers in _asked:
            return
        _asked.add(servers)
    config = {**told, "bootstrap.servers": servers, "client.id": "headwater-names", "log_level": 0}
    try:
        threading.Thread(target=_ask, args=(config, book), name="headwater-names", daemon=True).start()
    except RuntimeError:  # the interpreter is ending
        return


def _ask(config: dict[str, Any], book: ClusterBook) -> None:
    from confluent_kafka.admin import AdminClient

    for pause_s in _PAUSES_S:
        try:
            found = AdminClient(config).describe_cluster(request_timeout=_ASK_S).result(_ASK_S + 1)
            brokers = [(node.host, node.port) for node in found.nodes]
            book.learn(cluster_of(found.cluster_id, brokers, config["bootstrap.servers"], loopback=True))
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the job goes on without this
            log.debug("which cluster %s is cannot be learned now: %s", config["bootstrap.servers"], error_text(error))
        time.sleep(pause_s)
