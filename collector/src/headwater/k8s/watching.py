"""Follows the pods of labelled jobs through the official client: a list, then what changes, and again where that ends.

Nothing is kept but which ends were told lately: ids are derived, so a list that repeats everything, after a restart or
an expired watch, changes nothing downstream.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import urllib3
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from headwater.emitter import Emitter
from headwater.errors import BrokerUnavailable, ConfigError, HeadwaterError, Unauthorized
from headwater.k8s.pods import events_of
from headwater.masking import error_text

log = logging.getLogger(__name__)

WATCH_S: Final = 240
"""The server ends a watch after this; the next one goes on where it ended."""
_TOLD_MAX: Final = 50_000
_PAUSES_S: Final = (0.2, 1.0, 2.0, 5.0, 15.0, 30.0)
_GONE: Final = 410
_AT_ONCE_S: Final = 1.0
"""A watch that ends so soon, and said nothing, is not begun again without a pause."""
_PAGE: Final = 500


def core_api(kubeconfig: str | None, context: str | None) -> client.CoreV1Api:
    """The API of the cluster that this pod runs in; else, or where one is named, of a kubeconfig.

    Raises:
        ConfigError: there is neither.
    """
    if kubeconfig is None and context is None:
        try:
            config.load_incluster_config()  # type: ignore[no-untyped-call]  # of the client
            return client.CoreV1Api()
        except config.ConfigException:
            pass  # not in a cluster
    try:
        config.load_kube_config(config_file=kubeconfig, context=context)  # type: ignore[no-untyped-call]  # of the client
    except (config.ConfigException, OSError, ValueError) as error:
        raise ConfigError(
            f"there is no way to Kubernetes: {error}",
            remedy="run it in a pod with a service account, or give --kubeconfig",
        ) from error
    return client.CoreV1Api()


class PodWatch:
    """One namespace, or all of them, and one selector.

    Args:
        namespace: of Kubernetes; empty for all, which needs a ClusterRole.
        job_namespace: of the jobs whose pods do not say it.
        pause: waits; for tests.
    """

    def __init__(
        self,
        api: client.CoreV1Api,
        emitter: Emitter,
        *,
        namespace: str,
        selector: str,
        job_namespace: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._emitter = emitter
        self._job_namespace = job_namespace
        self._pause = pause
        self._told: OrderedDict[bytes, None] = OrderedDict()
        self._options: dict[str, Any] = {"label_selector": selector}
        # Any: asked for the response as it is, it answers something else than its type says
        self._list: Any = api.list_pod_for_all_namespaces
        if namespace:
            self._list = api.list_namespaced_pod
            self._options["namespace"] = namespace

    def follow(self, *, once: bool = False) -> None:
        """List and watch until interrupted; `once`: the list alone. An API that is away is tried again, ever more slowly.

        Raises:
            HeadwaterError: it cannot be reached or refuses us at the first call: what is wrong then stays wrong.
        """
        version, failures, began = "", 0, False
        while True:
            asked_s = time.monotonic()
            try:
                if not version:
                    version = self._take_list()
                    began = True
                    if once:
                        return
                before = version
                for pod in self._changes(version):
                    version = str(pod.get("metadata", {}).get("resourceVersion") or version)
                    self._tell(pod)
                if version != before or time.monotonic() - asked_s > _AT_ONCE_S:
                    failures = 0
                    continue
            except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if not began:
                    raise _translated(error) from error
                if isinstance(error, ApiException) and error.status == _GONE:
                    version = ""  # what changed meanwhile is in the next list
                else:
                    log.warning("the watch of pods broke off, and is begun again: %s", error_text(_translated(error)))
            self._pause(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    def _take_list(self) -> str:
        """Tell of every pod that is there; returns the version that the watch begins at."""
        token: str | None = None
        while True:
            more = {"_continue": token} if token else {}
            response = self._list(
                **self._options, limit=_PAGE, **more, _preload_content=False, _request_timeout=(5, 60)
            )
            page = json.loads(response.data)
            for pod in page.get("items") or ():
                self._tell(pod)
            token = page.get("metadata", {}).get("continue")
            if not token:
                return str(page["metadata"]["resourceVersion"])

    def _changes(self, version: str) -> Iterator[dict[str, Any]]:
        following: Any = watch.Watch()  # type: ignore[no-untyped-call]  # of the client
        stream = following.stream(
            self._list,
            **self._options,
            resource_version=version,
            timeout_seconds=WATCH_S,
            allow_watch_bookmarks=True,
            _request_timeout=(5, WATCH_S + 30),
        )
        for event in stream:
            yield event["raw_object"]

    def _tell(self, pod: dict[str, Any]) -> None:
        try:
            self._emit(events_of(pod, self._job_namespace, time.time_ns() // 1000))
        except (TypeError, ValueError, AttributeError) as error:
            name = pod.get("metadata", {}).get("name") if isinstance(pod, dict) else pod
            log.warning("pod %r could not be read: %s", name, error_text(error))

    def _emit(self, events: Iterable[Any]) -> None:
        for event in events:
            if event.event_id in self._told:
                continue
            self._emitter.emit(event)
            self._told[event.event_id] = None
            if len(self._told) > _TOLD_MAX:
                self._told.popitem(last=False)


def _translated(error: Exception) -> HeadwaterError:
    """Errors of the client as ours."""
    if isinstance(error, ApiException):
        if error.status in (401, 403):
            return Unauthorized(
                f"Kubernetes refuses to show pods: {error.status} {error.reason}",
                remedy="bind the role of deploy/k8s-watch.yaml to the service account (list and watch of pods)",
            )
        return BrokerUnavailable(f"Kubernetes answers {error.status} {error.reason}", remedy="look at the API server")
    return BrokerUnavailable(f"the Kubernetes API cannot be reached: {error}", remedy="check address and network")
