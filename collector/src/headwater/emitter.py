"""The emitter: takes an event from the job, and gets it out of the process without the job noticing.

The job's thread checks, stamps and buffers (microseconds; no network, no disk, no encoding). One background thread
encodes and hands over to a transport. Whatever goes wrong there is counted, never raised into the job.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from headwater import __version__, endings, kubernetes
from headwater.buffer import Buffer, EmitterStats
from headwater.config import (
    DEFAULT_CAPACITY,
    DEFAULT_HEARTBEAT_S,
    DEFAULT_NAMESPACE,
    ON_FULL,
    ON_SIGTERM,
    EmitterConfig,
)
from headwater.errors import BufferFull, ConfigError, EventError
from headwater.masking import mask
from headwater.origin import Origin, read_origin
from headwater.transports.base import Counting, Forkable, Transport
from headwater.validation import check
from headwater_schemas.events import LineageEvent, Name, Runtime

if TYPE_CHECKING:
    from headwater.doors.rules import NameRules
    from headwater.run import Run
    from headwater.sender import Sender

log = logging.getLogger(__name__)

PRODUCER: Final = f"https://github.com/headwater-lineage/headwater/tree/{__version__}/collector"
"""Who made the event, with its version, as OpenLineage's `producer`."""

_LOG_EVERY_S: Final = 60.0

Item = tuple[LineageEvent, int]
"""An event and when it was emitted, in microseconds."""


class Emitter:
    """Sends lineage events in the background.

    Args:
        transport: the way out; None switches lineage off (events are checked, counted as `disabled` and forgotten).
        job: the job's name, or namespace and name; the default of `run()`.
        namespace: the job's namespace where `job` is a plain name.
        capacity: events held while the transport is slow; beyond it `on_full` decides: `drop_newest`, `drop_oldest`.
        runtime: where the job lives; found out from the environment if not given.
        origin: parent run and trace of the runs; found out from the environment if not given.
        identity: who speaks, stable over restarts and versions; if not given `sdk:<namespace>/<job>`, of the job given here, or of
            each event.
        strict: raise `EventError` and `BufferFull` instead of only counting. For tests.
        clock_us: the time stamped on events that bring none.
        on_sigterm: `flush` delivers (or spools) before SIGTERM ends the process or reaches the job's own handler, see
            `headwater.endings`; `off` leaves SIGTERM alone.
        heartbeat_s: a run that says nothing for so long sends a heartbeat, if it has no interval of its own; 0: never.
        rules: what is done to names (`headwater.doors.rules`); None: they go out as they are said.

    A forked child inherits the emitter: at its first `emit` there it begins anew, with an empty buffer, a thread and a
    transport of its own. What the parent had not sent yet is the parent's.

    `switched_off` says that there is no transport: no event of this emitter will ever get out.

    Raises:
        ConfigError: capacity or on_full is not allowed.
    """

    def __init__(
        self,
        transport: Transport | None,
        *,
        job: str | Name | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        capacity: int = DEFAULT_CAPACITY,
        on_full: str = "drop_newest",
        runtime: Runtime | None = None,
        origin: Origin | None = None,
        identity: str = "",
        strict: bool = False,
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        on_sigterm: str = "flush",
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        rules: NameRules | None = None,
    ) -> None:
        if on_sigterm not in ON_SIGTERM:
            raise ConfigError(f"on_sigterm={on_sigterm!r}", remedy=f"use one of {', '.join(ON_SIGTERM)}")
        if on_full not in ON_FULL or capacity < 1:
            raise ConfigError(
                f"capacity={capacity}, on_full={on_full!r}", remedy=f"use at least 1 and one of {', '.join(ON_FULL)}"
            )
        self.namespace = namespace
        self.job = _name(job, namespace)
        if transport is None:  # nothing is looked for where nothing is sent
            runtime, origin = runtime or Runtime(), origin or Origin()
        self._runtime = kubernetes.runtime_facts(os.environ) if runtime is None else runtime
        self.origin = read_origin(os.environ) if origin is None else origin
        kept = self.job if self.job is None or rules is None else rules.job(self.job)
        self._identity = identity or _identity(kept, self._runtime)
        self._strict = strict
        self.switched_off = transport is None
        self.clock_us = clock_us
        self.heartbeat_s = heartbeat_s
        self.rules = rules
        self._new_buffer = functools.partial(Buffer[Item], capacity, drop_oldest=on_full == "drop_oldest")
        self._buffer = self._new_buffer()
        self._next_log_s = 0.0
        self._on_sigterm = on_sigterm
        self._transport = transport
        self._sender: Sender | None = None
        self._thread: threading.Thread | None = None
        self._forked = False
        self._start_lock = threading.RLock()
        self._close_by_s = float("inf")
        if transport is None:
            self._buffer.close("disabled")
        else:
            self._start()

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        group: str = "",
        **options: Any,  # Any: as for Emitter(...)
    ) -> Self:
        """The emitter that the environment describes (see `headwater.config`); keyword arguments win.

        The job's name is `HEADWATER_JOB`, else the pod's label `app.kubernetes.io/name`, else the consumer `group`.

        Raises:
            ConfigError: a variable is unknown or wrong, or the transport cannot be built from it.
        """
        environ = os.environ if environ is None else environ
        config = EmitterConfig.from_env(environ)
        if config.transport == "none":
            log.warning("lineage is switched off: HEADWATER_TRANSPORT is none or unset, or HEADWATER_DISABLED is set")
            return cls(None, **({"job": config.job or None, "namespace": config.namespace} | options))
        podinfo = environ.get("HEADWATER_PODINFO", "").strip() or kubernetes.PODINFO
        settings: dict[str, Any] = {  # Any: as above
            "job": kubernetes.job_name(environ, kubernetes.pod_labels(podinfo=podinfo), group=group) or None,
            "namespace": config.namespace,
            "capacity": config.capacity,
            "on_full": config.on_full,
            "on_sigterm": config.on_sigterm,
            "heartbeat_s": config.heartbeat_s,
            "runtime": kubernetes.runtime_facts(environ, podinfo=podinfo),
            "origin": read_origin(environ),
        }
        from headwater.transports.building import build, name_rules

        settings["rules"] = name_rules(config.names)
        return cls(build(config), **(settings | options))

    def emit(self, event: LineageEvent) -> bool:
        """Check the event, stamp it, and put it on its way. Returns whether it was accepted; raises nothing.

        What is unset is filled in: `event_id` (all zero), `event_time_us` (0), `emitter`, `producer`, `runtime`.

        Raises:
            EventError, BufferFull: only with `strict=True`.
        """
        try:
            check(event)
        except Exception as error:  # the promise: whatever is handed in, the job goes on
            reason = error.reason if isinstance(error, EventError) else "invalid"
            self._buffer.refuse(reason)
            self._complain(reason, mask(str(error)))
            if self._strict:
                raise
            return False
        if self._forked:
            self._begin_in_child()
        refused = self._buffer.put((event, event.event_time_us or self.clock_us()))
        if refused:
            self._complain(refused, "")
            if self._strict and refused == "buffer_full":
                raise BufferFull("the emitter's buffer is full", remedy="raise capacity, or look at the broker")
        return not refused

    def run(self, job: str | Name | None = None, *, namespace: str = "", **options: Any) -> Run:  # Any: as for Run(...)
        """A run of a job, to be used in a `with` statement; see `headwater.run.Run` for the options.

        Where lineage is switched off it is one that does nothing.

        Raises:
            ConfigError: neither here nor at the emitter was a job named.
        """
        from headwater.run import Run, SilentRun

        if self.switched_off and job is None:
            return SilentRun(self.job)
        name = _name(job, namespace or self.namespace) or self.job
        if self.switched_off:
            return SilentRun(name)
        if name is None:
            raise ConfigError("the run has no job", remedy="give job=…, or set HEADWATER_JOB")
        return Run(self, name, **options)

    @property
    def runtime(self) -> Runtime:
        """Where the job lives, as it is stamped on events."""
        return self._runtime

    @property
    def strict(self) -> bool:
        """Whether it raises what it would else only count."""
        return self._strict

    @property
    def enabled(self) -> bool:
        """Whether events may still get out: lineage is not switched off and the emitter not closed."""
        return not self.switched_off and self._close_by_s == float("inf")

    def stats(self) -> EmitterStats:
        """How many events met which end so far."""
        stats = self._buffer.stats()
        if self._sender is None or not isinstance(self._sender.transport, Counting):
            return stats
        return dataclasses.replace(stats, transport=MappingProxyType(dict(self._sender.transport.counts())))

    def flush(self, timeout_s: float = 5.0) -> int:
        """Wait until every event accepted so far is delivered, spooled, failed or dropped; returns how many are not."""
        return self._buffer.wait_settled(timeout_s)

    def rescue(self, timeout_s: float) -> int:
        """`flush`, and what does not arrive in half the time is spooled, if there is a spool. The emitter stays open."""
        if not self._buffer.wait_settled(timeout_s / 2) or self._sender is None:
            return 0
        self._sender.save()
        return self._buffer.wait_settled(timeout_s / 2)

    def close(self, timeout_s: float = 5.0) -> None:
        """Deliver what there is within `timeout_s`, give up and count the rest. A second call does nothing."""
        self._close_by_s = min(self._close_by_s, time.monotonic() + timeout_s)
        if not self._buffer.close("closed"):
            return
        atexit.unregister(self.close)
        endings.forget(self)
        if self._thread is not None:
            self._thread.join(timeout_s)
        stats = self._buffer.stats()
        lost = stats.pending + stats.failed + sum(stats.dropped.values())
        if lost:
            log.warning("%d of %d lineage events were not delivered: %s", lost, stats.offered, stats)

    def end(self, timeout_s: float) -> None:
        """`close`, and if another call of it is under way, wait for that one."""
        deadline_s = time.monotonic() + timeout_s
        self.close(timeout_s)
        if self._thread is not None:
            self._thread.join(max(0.0, deadline_s - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        from headwater.sender import Sender  # with it comes Avro

        assert self._transport is not None  # noqa: S101 - for the type checker: the callers know
        self._sender = Sender(
            self._buffer,
            self._transport,
            stamp=(self._identity, PRODUCER, self._runtime),
            rules=self.rules,
            close_by_s=lambda: self._close_by_s,
            complain=self._complain,
            forked=self._forked,
        )
        self._thread = threading.Thread(target=self._sender.work, name="headwater-emitter", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        endings.watch(self, sigterm=self._on_sigterm == "flush")

    def _complain(self, reason: str, why: str) -> None:
        """One line of log a minute, whatever happens."""
        now_s = time.monotonic()
        if now_s < self._next_log_s or reason == "disabled":
            return
        self._next_log_s = now_s + _LOG_EVERY_S
        log.warning(
            "lineage events are not getting out (%s%s); so far %s", reason, f": {why}" if why else "", self.stats()
        )

    def _after_fork(self) -> None:
        """In a forked child there is neither our thread nor a usable lock or socket: begin anew at the first `emit`."""
        transport = self._sender.transport if self._sender is not None else self._transport
        closed = self._buffer.closed
        if transport is not None:
            endings.disown(transport)
            if not closed and not isinstance(transport, Forkable):
                closed = "forked"
        self._transport = transport
        self._buffer = self._new_buffer()
        self._close_by_s = float("inf")
        self._start_lock = threading.RLock()
        self._thread = self._sender = None
        self._next_log_s = 0.0
        atexit.unregister(self.close)
        if closed:
            self._buffer.close(closed)
        self._forked = not closed

    def _begin_in_child(self) -> None:
        with self._start_lock:
            if not self._forked:
                return
            try:
                self._start()
            except RuntimeError as error:  # no thread can be started any more: the interpreter is ending
                self._buffer.close("closed")
                self._complain("closed", mask(str(error)))
            self._forked = False
            endings.at_end_of_child(self.close)


def _name(job: str | Name | None, namespace: str) -> Name | None:
    if isinstance(job, Name):
        return job
    return Name(namespace, job) if job else None


def _identity(job: Name | None, runtime: Runtime) -> str:
    """Who speaks; "" where only each event says it. No host: those of pods and containers change with every start."""
    if job is not None:
        return f"sdk:{job}"
    return f"sdk:function/{runtime.function}" if runtime.function else ""
