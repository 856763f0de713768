"""The two lines that a job adds: `import headwater`, and `@headwater.job(…)` over its function.

    import headwater

    @headwater.job("load-orders", reads=[("postgres://shop-db:5432", "public.orders")], writes=[("s3://lake", "orders")])
    def load() -> None:
        ...
        headwater.current_run().writes("s3://lake", "orders", rows=90)

A call is a run. Of a coroutine function the run lasts until it returns, of a generator (also an asynchronous one) from
the first step to the last; between its steps the run is not the current one of the code that iterates. A generator
that is closed before its end has not done its job: its run is aborted, unless it says `current_run().complete()` itself
on its way out. Exceptions, results, `send` and `throw` go through unchanged.

Events go to the process's emitter (`default_emitter()`), made from the environment at the first call. Settings that are
wrong switch lineage off and are logged once: they never make the job fail.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from headwater import current
from headwater.errors import ConfigError, HeadwaterError
from headwater.masking import error_text
from headwater_schemas.events import Name, Processing

if TYPE_CHECKING:
    from headwater.emitter import Emitter
    from headwater.run import Run

log = logging.getLogger(__name__)

Dataset = Name | tuple[str, str]
"""A dataset: namespace and name."""

F = TypeVar("F", bound=Callable[..., Any])  # Any: whatever the job takes and gives

_default: Emitter | None = None
_default_lock = threading.RLock()
_told_outside = False


def default_emitter() -> Emitter:
    """The process's emitter: that of `set_default_emitter`, else one made from the environment when first asked for.

    Raises nothing: settings that are wrong are logged as an error, and lineage is off.
    """
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = _from_env()
    return _default


def set_default_emitter(emitter: Emitter | None) -> Emitter | None:
    """Let `@headwater.job` use this emitter from now on; None: make one when asked. Returns the one before."""
    global _default
    with _default_lock:
        before, _default = _default, emitter
    return before


def current_run() -> Run:
    """The run that the code is in: of this thread and asyncio task, by `contextvars`.

    A thread that the job starts is in no run, unless it is given the context (`contextvars.copy_context().run`, as
    `asyncio.to_thread` does) or the run itself. Outside of a run there is a silent one, and a warning, once.
    """
    run = current.innermost()
    if run is not None:
        return run

    global _told_outside
    if not _told_outside and default_emitter().enabled:
        _told_outside = True
        log.warning("headwater.current_run() was called outside of a run: what it is told there goes nowhere")
    return _silent()


@overload
def job(name: F) -> F: ...


@overload
def job(
    name: str | Name = "",
    *,
    namespace: str = "",
    reads: Iterable[Dataset] = (),
    writes: Iterable[Dataset] = (),
    emitter: Emitter | None = None,
    processing: Processing = Processing.BATCH,
    backfill: bool = False,
    heartbeat_s: float | None = None,
) -> Callable[[F], F]: ...


def job(
    name: str | Name | Callable[..., Any] = "",
    *,
    namespace: str = "",
    reads: Iterable[Dataset] = (),
    writes: Iterable[Dataset] = (),
    emitter: Emitter | None = None,
    processing: Processing = Processing.BATCH,
    backfill: bool = False,
    heartbeat_s: float | None = None,
) -> Any:  # Any: the function itself, or the decorator
    """Make each call of the function a run. `@headwater.job` alone, or with:

    Args:
        name: the job; if not given, the emitter's (`HEADWATER_JOB` …), else the function's own name.
        namespace: the job's namespace; if not given, the emitter's.
        reads, writes: datasets known beforehand; what is measured is said in the function, by `current_run()`.
        emitter: who sends; if not given, the process's.
        processing, backfill, heartbeat_s: as for `headwater.Run`.

    Raises:
        ConfigError: what is decorated is no function, or a dataset is no pair of texts. Said when the module is loaded.
    """
    sides = datasets("reads", reads), datasets("writes", writes)
    options = {"processing": processing, "backfill": backfill, "heartbeat_s": heartbeat_s}

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if not callable(function) or isinstance(function, type | staticmethod | classmethod):
            raise ConfigError(
                f"@headwater.job over {function!r:.80}",
                remedy="put it directly over a function, below @staticmethod, @classmethod and @property",
            )
        given = "" if callable(name) else name
        fallback = getattr(function, "__qualname__", type(function).__qualname__).replace(".<locals>", "")
        return _wrapped(function, functools.partial(_opened, given, namespace, fallback, sides, emitter, options))

    return decorate(name) if callable(name) else decorate


def _opened(
    given: str | Name,
    namespace: str,
    fallback: str,
    sides: tuple[tuple[Name, ...], tuple[Name, ...]],
    emitter: Emitter | None,
    options: dict[str, Any],
) -> Run | None:
    """The run of one call; None where lineage is switched off and the function is as good as bare."""
    if emitter is None:
        emitter = default_emitter()
        if emitter.switched_off and current.innermost() is None:
            return None
    try:
        run = emitter.run(given or emitter.job or fallback, namespace=namespace, **options)
        for dataset in sides[0]:
            run.reads(dataset.namespace, dataset.name)
        for dataset in sides[1]:
            run.writes(dataset.namespace, dataset.name)
    except Exception as error:
        if emitter.strict:
            raise
        log.warning("a run of %s goes without lineage: %s", given or fallback, error_text(error))
        return _silent()
    return run


def _wrapped(function: Callable[..., Any], opened: Callable[[], Run | None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        return _coroutine(function, opened)
    if inspect.isasyncgenfunction(function):
        return _async_generator(function, opened)
    if inspect.isgeneratorfunction(function):
        return _generator(function, opened)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        run = opened()
        if run is None:
            return function(*args, **kwargs)
        with run:
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Awaitable[Any]], opened: Callable[[], Run | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        run = opened()
        if run is None:
            return await function(*args, **kwargs)
        with run:
            return await function(*args, **kwargs)

    return call


def _generator(
    function: Callable[..., Generator[Any, Any, Any]], opened: Callable[[], Run | None]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner, run = function(*args, **kwargs), opened()
        if run is None:
            return (yield from inner)
        with _Lasting(run):
            step: Callable[[], Any] = functools.partial(next, inner)
            while True:
                try:
                    with _Within(run):
                        value = step()
                except StopIteration as end:
                    return end.value
                try:
                    step = functools.partial(inner.send, (yield value))
                except GeneratorExit:
                    with _Within(run):
                        inner.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is the inner one's to handle
                    step = functools.partial(inner.throw, thrown)

    return steps


def _async_generator(
    function: Callable[..., AsyncGenerator[Any, Any]], opened: Callable[[], Run | None]
) -> Callable[..., Any]:
    @functools.wraps(function)
    async def steps(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner, run = function(*args, **kwargs), opened() or _silent()
        with _Lasting(run):
            step: Callable[[], Awaitable[Any]] = inner.__anext__
            while True:
                try:
                    with _Within(run):
                        value = await step()
                except StopAsyncIteration:
                    return
                try:
                    step = functools.partial(inner.asend, (yield value))
                except GeneratorExit:
                    with _Within(run):
                        await inner.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001 - it is the inner one's to handle
                    step = functools.partial(inner.athrow, thrown)

    return steps


def _silent() -> Run:
    from headwater.run import SilentRun

    return SilentRun()


class _Lasting:
    """From START to the end that fits, without making the run the current one."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._run.start()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._run.end(error)


class _Within:
    """The run is the current one. A class, because it is paid at each step of a generator."""

    __slots__ = ("_run", "_token")

    def __init__(self, run: Run) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._token = current.CURRENT.set(self._run)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        current.leave(self._token)


def datasets(role: str, given: Iterable[Dataset]) -> tuple[Name, ...]:
    """Datasets as a decorator is given them. Raises ConfigError for one that is no pair of texts."""
    return tuple(_dataset(role, dataset) for dataset in ([given] if isinstance(given, str | Name) else given))


def _dataset(role: str, given: object) -> Name:
    if isinstance(given, Name):
        return given
    match given:
        case (str(namespace), str(name)):
            return Name(namespace, name)
    raise ConfigError(f"{role} holds {given!r:.80}", remedy='give pairs: ("s3://lake", "orders/daily")')


def _from_env() -> Emitter:
    from headwater.emitter import Emitter

    try:
        return Emitter.from_env()
    except HeadwaterError as error:
        log.error("lineage is switched off in this process: %s", error)
    return Emitter(None)


def _in_child() -> None:
    """The lock may be held by a thread that a forked child does not have."""
    global _default_lock
    _default_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
