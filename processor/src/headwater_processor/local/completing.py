"""Names for the completion of a shell: from Redis, if it answers within a moment. Otherwise there are none, and nothing is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import click
from click.shell_completion import CompletionItem

from headwater.cli.context import invocation
from headwater.runtime.redis import connect
from headwater_processor.state.reader import StateReader
from headwater_schemas.events import Name

_PATIENCE_S: Final = 0.3
"""How long Redis may take to connect and for each answer."""

_NAMES_MAX: Final = 20_000
"""How many names are looked through: a shell waits for the answer."""

_SHOWN_MAX: Final = 200

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_dataset(context: click.Context, _parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Datasets whose name, or namespace and name, begins with the word."""
    return _items(suggestions(_known(context, lambda reader: reader.dataset_names()), word))


def complete_job(context: click.Context, _parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Jobs whose name, or namespace and name, begins with the word."""
    return _items(suggestions(_known(context, lambda reader: reader.job_names()), word))


def complete_namespace(context: click.Context, _parameter: click.Parameter, word: str) -> list[CompletionItem]:
    """Namespaces of datasets."""
    found = {name.namespace for name in _known(context, lambda reader: reader.dataset_names())}
    return _items(sorted(namespace for namespace in found if namespace.startswith(word)))


def suggestions(names: Iterable[Name], word: str) -> list[str]:
    """What may be typed for the names that begin with the word: a name alone where it is the only one of its kind."""
    times: dict[str, int] = {}
    every = set(names)
    for name in every:
        times[name.name] = times.get(name.name, 0) + 1
    short = {name.name for name in every if times[name.name] == 1 and name.name.startswith(word)}
    whole = {str(name) for name in every if str(name).startswith(word) and (word or times[name.name] > 1)}
    return sorted(short | whole)


def _known(context: click.Context, names: Callable[[StateReader], Iterator[Name]]) -> list[Name]:
    try:
        settings = invocation(context).settings()
        where, domain = settings.redis, settings.domain
        with connect(where, domain, timeout_s=_PATIENCE_S, connect_timeout_s=_PATIENCE_S) as client:
            return list(islice(names(StateReader(client, settings.domain)), _NAMES_MAX))
    except Exception:  # noqa: BLE001 - a shell is completing a word: whatever is wrong, it is not the place to say so
        return []


def _items(texts: list[str]) -> list[CompletionItem]:
    return [CompletionItem(text) for text in texts[:_SHOWN_MAX] if "\n" not in text]
