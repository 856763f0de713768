"""`headwater graph`: the graph for other tools, and two of it compared."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click

from headwater.cli.files import whole_file
from headwater.cli.output import emit_json, note
from headwater.cli.progress import progress, tracked
from headwater.runtime.errors import EXIT_FINDING
from headwater_processor.local.cli_support import answering_errors, open_reader, wants_json
from headwater_processor.local.completing import complete_dataset, complete_job, complete_namespace
from headwater_processor.local.graph_diff import (
    Graph,
    compare,
    difference_lines,
    difference_object,
    read_export,
)
from headwater_processor.local.graph_formats import FORMATS, MERMAID_EDGES_MAX, Counts, rendered
from headwater_processor.local.graph_values import Edge, Head, Node, Scope, graph_values
from headwater_processor.local.status_cli import find_job
from headwater_processor.local.texts import count, iso
from headwater_processor.state import StateReader
from headwater_processor.state.graph import Selection
from headwater_processor.state.walk import DOWNSTREAM, UPSTREAM

LIVE: Final = "live"

_DIRECTIONS: Final = {"both": (UPSTREAM, DOWNSTREAM), UPSTREAM: (UPSTREAM,), DOWNSTREAM: (DOWNSTREAM,)}

_EXPORT_EPILOG: Final = """\b
Examples:
  headwater graph export > graph.jsonl
  headwater graph export --to graph.graphml            the ending says which format
  headwater graph export --dataset orders --depth 2 --format dot | dot -Tsvg -o orders.svg
  headwater graph export --job k8s://shop/order-enricher --format mermaid
  headwater graph export --namespace s3://lake --namespace kafka://broker:9092 --to lake.jsonl

\b
Formats:
  jsonl     one object a line: a head, datasets, jobs, edges, an end that counts them; graph diff reads it
  dot       Graphviz
  mermaid   a flow chart for Markdown; it draws 500 edges at most
  graphml   Gephi, yEd, networkx and others

\b
Exit codes: 0 exported, 2 wrong usage or settings, or the file cannot be written, 3 Redis cannot be reached,
4 no such dataset or job, or no state, 130 interrupted (a FILE is then as it was before).
"""

_DIFF_EPILOG: Final = """\b
Examples:
  headwater graph diff yesterday.jsonl live
  headwater graph diff before.jsonl after.jsonl --fail
  headwater graph diff before.jsonl live --with-state --output json | jq '.changed[].name'

\b
Exit codes: 0 compared, 1 with --fail and they differ, 2 wrong usage or settings, or a file cannot be read,
3 Redis cannot be reached, 4 a file is no whole export, or what it is around does not exist any more.
"""


@click.group()
def graph() -> None:
    """Export the graph for other tools, and compare two of it.

    \b
    Examples:
      headwater graph export --to today.jsonl
      headwater graph diff yesterday.jsonl today.jsonl
    """


@graph.command(epilog=_EXPORT_EPILOG)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    help="How to write it.  [default: as the ending of --to says, else jsonl]",
)
@click.option(
    "--to",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this file, whole or not at all; one that is there is replaced.  [default: standard output]",
)
@click.option(
    "--dataset",
    default="",
    metavar="NAME",
    shell_complete=complete_dataset,
    help="Only what is around this dataset (namespace/name, or a unique name).",
)
@click.option(
    "--job",
    default="",
    metavar="NAME",
    shell_complete=complete_job,
    help="Only what is around this job (namespace/name, or a unique name).",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="How many jobs far from --dataset or --job.",
)
@click.option(
    "--direction",
    type=click.Choice(list(_DIRECTIONS)),
    default="both",
    show_default=True,
    help="Where to go from there: what it is made from, what is made from it, or both.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_namespace,
    help="Only nodes of this namespace and what they are connected with; may be given several times.",
)
@click.pass_context
@answering_errors
def export(
    context: click.Context,
    form: str | None,
    file: Path | None,
    dataset: str,
    job: str,
    depth: int,
    direction: str,
    namespaces: tuple[str, ...],
) -> None:
    """Write the graph: datasets, jobs, and what reads, writes and derives what.

    All of it, or what is around a dataset or a job. The order is the same every time, so exports can be kept in Git and
    compared line by line. Names may hold any characters: each format escapes them by its own rules.
    """
    if dataset and job:
        raise click.UsageError("give --dataset or --job, not both")
    around = bool(dataset or job)
    scope = Scope(dataset, job, depth if around else 0, _DIRECTIONS[direction] if around else (), namespaces)
    kind = form or _format_of(file)
    counts = Counts()
    with open_reader(context) as reader:
        head, items = _live(context, reader, scope)
        pieces = rendered(FORMATS[kind].form(), head, items, counts)
        _write(pieces, file)
    if kind == "mermaid" and counts.edges > MERMAID_EDGES_MAX:
        note(context, f"Mermaid draws {MERMAID_EDGES_MAX} edges unless its maxEdges is raised; here are {counts.edges}")
    if file is None:
        return
    if wants_json(context):
        emit_json({"file": str(file), "format": kind, **counts.as_object()})
    else:
        nodes = f"{count(counts.datasets, 'dataset')}, {count(counts.jobs, 'job')}, {count(counts.edges, 'edge')}"
        note(context, f"{file}: {nodes}, as {kind}")


@graph.command(epilog=_DIFF_EPILOG)
@click.argument("before", metavar="A", shell_complete=lambda _c, _p, word: _files_and_live(word))
@click.argument("after", metavar="B", shell_complete=lambda _c, _p, word: _files_and_live(word))
@click.option("--with-state", is_flag=True, help="How fresh a dataset is counts too.")
@click.option("--fail", is_flag=True, help="Exit with 1 if they differ.")
@click.option(
    "--limit", type=click.IntRange(0), default=200, show_default=True, help="Lines to print; 0: all. JSON has all."
)
@click.pass_context
@answering_errors
def diff(context: click.Context, before: str, after: str, with_state: bool, fail: bool, limit: int) -> None:
    """Say what changed from A to B: files that graph export wrote as jsonl, or `live` for the graph as it is now.

    Nodes and edges that were added or removed, and nodes of which owner, emitter, schema version, new name or looseness
    changed. If a file holds a part of the graph (--dataset, --namespace …), `live` is cut to the same part.
    """
    if before == after == LIVE:
        raise click.UsageError("live is compared with a file: name one that headwater graph export wrote")
    old, new = _both(context, before, after)
    _same_scope(context, old.head, new.head)
    found = compare(old, new, with_state=with_state)
    if wants_json(context):
        emit_json({"a": old.head.as_object(), "b": new.head.as_object(), **difference_object(found)})
    else:
        lines = difference_lines(found)
        shown = lines[: limit or None]
        sys.stdout.write("".join(f"{line}\n" for line in shown))
        if len(lines) > len(shown):
            note(context, f"… and {count(len(lines) - len(shown), 'more difference')}: --limit 0 shows all")
        if not lines:
            note(context, "no difference")
    if fail and found:
        context.exit(EXIT_FINDING)


def _both(context: click.Context, before: str, after: str) -> tuple[Graph, Graph]:
    """Files first: what is wrong with them is known without Redis, and they say which part of the live graph is meant."""
    read = {name: _exported(context, Path(name)) for name in (before, after) if name != LIVE}
    if LIVE in (before, after):
        scope = next(iter(read.values())).head.scope
        with open_reader(context) as reader:
            head, items = _live(context, reader, scope)
            now = Graph(head)
            for item in items:
                now.add(item)
        read[LIVE] = now
    return read[before], read[after]


def _exported(context: click.Context, path: Path) -> Graph:
    with progress(context, f"reading {path.name}", unit="lines") as bar:
        return read_export(path, bar.advance)


def _same_scope(context: click.Context, old: Head, new: Head) -> None:
    if old.scope != new.scope:
        note(context, "A and B are not the same part of the graph: they were exported with other options")


def _live(context: click.Context, reader: StateReader, scope: Scope) -> tuple[Head, Iterator[Node | Edge]]:
    selection, scope = _selected(reader, scope)
    as_of = iso(reader.summary().as_of_us) or ""

    def items() -> Iterator[Node | Edge]:
        with progress(context, "reading the graph", len(selection), unit="nodes and edges") as bar:
            yield from tracked(bar, graph_values(reader.graph(selection, scope.namespaces)))

    return Head(reader.domain, as_of, scope), items()


def _selected(reader: StateReader, scope: Scope) -> tuple[Selection, Scope]:
    """The keys, and the scope with whole names: a short name may mean something else tomorrow."""
    if scope.dataset:
        name = reader.resolve(scope.dataset)
        selection = reader.around(name, scope.depth, scope.directions)
        return selection, Scope(str(name), "", scope.depth, scope.directions, scope.namespaces)
    if scope.job:
        found = find_job(reader, scope.job).name
        selection = reader.around_job(found, scope.depth, scope.directions)
        return selection, Scope("", str(found), scope.depth, scope.directions, scope.namespaces)
    return reader.everything(), scope


def _format_of(file: Path | None) -> str:
    if file is None:
        return "jsonl"
    ending = file.suffix.lower()
    found = next((name for name, kind in FORMATS.items() if ending in kind.endings), None)
    if found is None:
        raise click.UsageError(f"{file}: its ending says no format; say --format {'|'.join(FORMATS)}")
    return found


def _write(pieces: Iterable[str], file: Path | None) -> None:
    if file is not None:
        with whole_file(file) as out:
            for piece in pieces:
                out.write(piece.encode(errors="replace"))
        return
    out = click.get_binary_stream("stdout")
    for piece in pieces:
        out.write(piece.encode(errors="replace"))
    out.flush()


def _files_and_live(word: str) -> list[click.shell_completion.CompletionItem]:
    from click.shell_completion import CompletionItem

    live = [CompletionItem(LIVE, help="the graph as it is now")] if LIVE.startswith(word) else []
    return [*live, CompletionItem(word, type="file")]
