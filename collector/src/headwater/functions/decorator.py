"""`@headwater.function(…)`: each call of a function on a platform is a run.

* **Which run.** The platform's id of the call makes the run's: a call that is tried again is the same run, and its events have
  the same ids, so that what is told twice counts once, and a retry that succeeds makes good a failed run.
* **What was read.** What triggered the call (`headwater.functions.triggers`), with the file's id and version.
* **When it is sent.** Before the handler returns: the platform freezes the process after it. At most `flush_s`, and never
  more than the time that the platform leaves, less a tenth of a second. What does not get out is spooled where a
  spool is set, else it waits for the next call.
* The function's version is in the run's runtime facts; cold start, retries and the platform's id are in its facet
  `headwater_function`.

A handler behaves as it did: arguments, result, exceptions. An `async def` handler may be decorated too.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from headwater.errors import ConfigError
from headwater.functions.platforms import Call, call_of
from headwater.functions.triggers import Input, inputs_of
from headwater.jobs import Dataset, datasets, default_emitter
from headwater.masking import error_text
from headwater.origin import parse_traceparent
from headwater.run import Run, SilentRun
from headwater_schemas.events import Name

if TYPE_CHECKING:
    from headwater.emitter import Emitter

log = logging.getLogger(__name__)

FLUSH_S: Final = 2.0
_MARGIN_S: Final = 0.1
"""Left for the platform to take the answer."""
FILES: Final = ("folder", "object")

F = TypeVar("F", bound=Callable[..., Any])  # Any: whatever the platform gives and takes


class _Process:
    """What a process remembers from call to call."""

    cold = True


@overload
def function(name: F) -> F: ...


@overload
def function(
    name: str | Name = "",
    *,
    namespace: str = "",
    reads: Iterable[Dataset] = (),
    writes: Iterable[Dataset] = (),
    emitter: Emitter | None = None,
    files: str = "folder",
    input_schema: str = "",
    flush_s: float = FLUSH_S,
) -> Callable[[F], F]: ...


def function(
    name: str | Name | Callable[..., Any] = "",
    *,
    namespace: str = "",
    reads: Iterable[Dataset] = (),
    writes: Iterable[Dataset] = (),
    emitter: Emitter | None = None,
    files: str = "folder",
    input_schema: str = "",
    flush_s: float = FLUSH_S,
) -> Any:  # Any: the function itself, or the decorator
    """Make each call of a platform's function a run. `@headwater.function` alone, or with:

    Args:
        name: the job; if not given, the emitter's (`HEADWATER_JOB`), else the platform's name of the function, else its own.
        namespace: the job's namespace; if not given, the emitter's.
        reads, writes: datasets known beforehand, besides what triggers the call; `headwater.current_run()` says more.
        emitter: who sends; if not given, the process's.
        files: `folder`: objects of one folder are one dataset; `object`: each is its own. The file id names the object in any case.
        input_schema: version of the schema of what triggers it, where the trigger does not say.
        flush_s: how long the end of a call may wait for delivery.

    Raises:
        ConfigError: what is decorated is no function, or a setting is wrong. Said when the module is loaded.
    """
    if files not in FILES:
        raise ConfigError(f"files={files!r}", remedy=f"use one of {', '.join(FILES)}")
    known = datasets("reads", reads), datasets("writes", writes)

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(handler) or isinstance(handler, type | staticmethod | classmethod):
            raise ConfigError(f"@headwater.function over {handler!r:.80}", remedy="put it directly over the handler")
        given = "" if callable(name) else name
        own = getattr(handler, "__qualname__", type(handler).__qualname__).replace(".<locals>", "")

        def opened(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> tuple[Run, Emitter, float]:
            sender = default_emitter() if emitter is None else emitter
            cold, _Process.cold = _Process.cold, False
            if sender.switched_off:
                return SilentRun(), sender, 0.0
            call = call_of(arguments, keywords, os.environ)
            try:
                run = _run(sender, given, namespace, own, call)
                _say(run, call, known, arguments, keywords, files=files, input_schema=input_schema, cold=cold)
            except Exception as error:  # noqa: BLE001 - the promise: the function is called
                log.warning("a call of %s goes without lineage: %s", own, error_text(error))
                return SilentRun(), sender, 0.0
            return run, sender, min(flush_s, call.left_s)

        return _wrapped(handler, opened)

    return decorate(name) if callable(name) else decorate


def _run(emitter: Emitter, given: str | Name, namespace: str, own: str, call: Call) -> Run:
    name = given or emitter.job or call.function or emitter.runtime.function or own
    return emitter.run(
        name,
        namespace=namespace,
        run_id=call.run_id(str(name)),
        traceparent=_valid(call.traceparent),
        repeatable=bool(call.id),
        heartbeat_s=0,  # a frozen process beats late, and for the wrong call
    )


def _say(
    run: Run,
    call: Call,
    known: tuple[tuple[Name, ...], tuple[Name, ...]],
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    *,
    files: str,
    input_schema: str,
    cold: bool,
) -> None:
    triggers = inputs_of(next(iter((*arguments, *keywords.values())), None))
    for trigger in triggers:
        _read(run, trigger, input_schema, whole=files == "object")
    for dataset in known[0]:
        run.reads(dataset.namespace, dataset.name)
    for dataset in known[1]:
        run.writes(dataset.namespace, dataset.name)
    schemas = sorted({trigger.schema or input_schema for trigger in triggers} - {""})
    facts = {
        "platform": call.platform,
        "call": call.id,
        "coldStart": cold,
        "retries": call.retries,
        "inputSchemas": schemas,
    }
    run.facet("headwater_function", facts)


def _read(run: Run, trigger: Input, input_schema: str, *, whole: bool) -> None:
    name = trigger.name
    if trigger.file_id:
        run.correlate(file_id=trigger.file_id)
        name = name if whole else name.rpartition("/")[0] or "/"
    run.reads(
        trigger.namespace,
        name,
        partition=trigger.partition,
        first_offset=trigger.first_offset,
        last_offset=trigger.last_offset,
        rows=trigger.rows,
        bytes=trigger.bytes,
        schema_version=trigger.schema or input_schema,
    )


def _wrapped(handler: Callable[..., Any], opened: Callable[..., tuple[Run, Emitter, float]]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(handler):

        @functools.wraps(handler)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            run, emitter, left_s = opened(args, kwargs)
            try:
                with run:
                    return await handler(*args, **kwargs)
            finally:
                _flush(emitter, left_s, args, kwargs)

        return awaited

    @functools.wraps(handler)
    def called(*args: Any, **kwargs: Any) -> Any:
        run, emitter, left_s = opened(args, kwargs)
        try:
            with run:
                return handler(*args, **kwargs)
        finally:
            _flush(emitter, left_s, args, kwargs)

    return called


def _flush(emitter: Emitter, longest_s: float, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
    """Get it out before the process is frozen; what cannot be waited for goes with the next call."""
    if longest_s <= 0:
        return
    left_s = min(longest_s, call_of(arguments, keywords, os.environ).left_s - _MARGIN_S)
    if left_s > 0 and (waiting := emitter.rescue(left_s)):
        log.warning("%d lineage events wait for the next call: they were not delivered in %.1f s", waiting, left_s)


def _valid(traceparent: str) -> str:
    """A caller's header may hold anything."""
    try:
        parse_traceparent(traceparent)
    except ConfigError:
        return ""
    return traceparent
