"""Schemas of others, read with suspicion: JSON text in, a small tree of types out, or a refusal with its reason.

A writer schema decides what a decoder does with hostile bytes, so nothing is decoded with a schema that was not linted.
Measured with fastavro 1.13: a recursive schema and 5 KB of data end the process; an array of nulls turns 6 bytes into
minutes. Therefore: no recursion, no items of zero bytes, and limits on text, depth and size.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_COMPLEX: Final = frozenset({"record", "error", "enum", "fixed", "array", "map", "union"})
_LEAST_BYTES: Final = {"null": 0, "float": 4, "double": 8}


class SchemaRefused(ValueError):  # noqa: N818 - it says what happened to the schema
    """A schema that we will not decode with. The message says why, and where in the schema."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a writer schema may be. `nodes` counts every type, as if each named type were written out in full.

    `idle` is how many values of zero bytes an item of an array may hold: they cost time, and no byte of the sender's.
    """

    text_bytes: int = 256 * 1024
    depth: int = 32
    nodes: int = 2000
    fixed_bytes: int = 64 * 1024
    idle: int = 8


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record. `default` is JSON; `has_default` tells a null default from none."""

    name: str
    node: Node
    has_default: bool
    default: object


@dataclass(frozen=True, slots=True)
class Node:
    """One type. Only what its kind has is set; named types are shared, never recursive.

    `least` is the smallest number of bytes of a value, `depth` and `weight` the height and number of the types,
    `idle` the largest number of values without bytes outside arrays and maps.
    """

    kind: str
    name: str = ""
    logical: str = ""
    fields: tuple[Field, ...] = ()
    symbols: tuple[str, ...] = ()
    default_symbol: str | None = None
    size: int = 0
    inner: Node | None = None
    branches: tuple[Node, ...] = ()
    least: int = 1
    depth: int = 1
    weight: int = 1
    idle: int = 0


DEFAULT_LIMITS: Final = Limits()


def parse(text: str, limits: Limits = DEFAULT_LIMITS) -> Node:
    """Read a schema. Raises SchemaRefused for what is no schema and for what the limits and rules above forbid."""
    size_bytes = len(text.encode("utf-8", "replace"))
    if size_bytes > limits.text_bytes:
        raise SchemaRefused(f"the schema has {size_bytes} bytes, at most {limits.text_bytes} are read")
    try:
        tree = orjson.loads(text)
    except ValueError as error:
        raise SchemaRefused(f"the schema is no JSON: {error}") from error
    return _Reader(limits).node(tree, "", "schema", 1)


class _Reader:
    """One pass over one schema; keeps the named types seen so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._named: dict[str, Node] = {}
        self._open: set[str] = set()

    def node(self, tree: object, namespace: str, where: str, depth: int) -> Node:
        if depth > self._limits.depth:
            raise SchemaRefused(f"{where}: nested deeper than {self._limits.depth}")
        node = self._any(tree, namespace, where, depth)
        if depth + node.depth - 1 > self._limits.depth:
            raise SchemaRefused(f"{where}: nested deeper than {self._limits.depth}")
        if node.weight > self._limits.nodes:
            raise SchemaRefused(f"{where}: more than {self._limits.nodes} types, written out in full")
        return node

    def _any(self, tree: object, namespace: str, where: str, depth: int) -> Node:
        if isinstance(tree, str):
            return self._reference(tree, namespace, where)
        if isinstance(tree, list):
            return self._union(tree, namespace, where, depth)
        if not isinstance(tree, dict):
            raise SchemaRefused(f"{where}: a type is a name, a list or an object")
        kind = tree.get("type")
        if kind in ("record", "error"):
            return self._record(tree, namespace, where, depth)
        if kind == "enum":
            return self._enum(tree, namespace, where)
        if kind == "fixed":
            return self._fixed(tree, namespace, where)
        if kind in ("array", "map"):
            return self._collection(kind, tree, namespace, where, depth)
        if isinstance(kind, str) and kind in PRIMITIVES:
            return _primitive(kind, _logical(tree))
        return self.node(kind, namespace, where, depth + 1)

    def _reference(self, name: str, namespace: str, where: str) -> Node:
        if name in PRIMITIVES:
            return _primitive(name, "")
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        for known in (full, name):
            if known in self._open:
                raise SchemaRefused(f"{where}: {known} contains itself; recursive schemas are not read")
            if known in self._named:
                return self._named[known]
        raise SchemaRefused(f"{where}: unknown type {name[:200]!r}")

    def _union(self, tree: list[object], namespace: str, where: str, depth: int) -> Node:
        if not tree:
            raise SchemaRefused(f"{where}: a union of nothing")
        branches = tuple(self.node(branch, namespace, f"{where}[{i}]", depth + 1) for i, branch in enumerate(tree))
        seen = [branch.name or branch.kind for branch in branches]
        if "union" in seen or len(set(seen)) < len(seen):
            raise SchemaRefused(f"{where}: a union within a union, or the same type twice")
        # The byte of the index pays for one value without bytes.
        idle = max(0, max(branch.idle for branch in branches) - 1)
        least = 1 + min(branch.least for branch in branches)
        return _above("union", branches, branches=branches, least=least, idle=idle)

    def _collection(self, kind: str, tree: dict[str, Any], namespace: str, where: str, depth: int) -> Node:
        part = "items" if kind == "array" else "values"
        inner = self.node(tree.get(part), namespace, f"{where}.{part}", depth + 1)
        if inner.least == 0:
            raise SchemaRefused(f"{where}: {part} of zero bytes; a few bytes could stand for millions of them")
        if inner.idle > self._limits.idle:
            raise SchemaRefused(f"{where}: {part} with more than {self._limits.idle} values of zero bytes in each")
        return _above(kind, (inner,), inner=inner)

    def _record(self, tree: dict[str, Any], namespace: str, where: str, depth: int) -> Node:
        name = self._name(tree, namespace, where)
        fields_tree = tree.get("fields")
        if not isinstance(fields_tree, list):
            raise SchemaRefused(f"{where}: record {name} has no list of fields")
        self._open.add(name)
        fields = tuple(self._field(field, name, depth) for field in fields_tree)
        self._open.remove(name)
        if len({field.name for field in fields}) < len(fields):
            raise SchemaRefused(f"{where}: record {name} has two fields of one name")
        below = tuple(field.node for field in fields)
        least, idle = sum(node.least for node in below), sum(node.idle for node in below)
        return self._keep(_above("record", below, name=name, fields=fields, least=least, idle=idle + (least == 0)))

    def _field(self, tree: object, record: str, depth: int) -> Field:
        if not isinstance(tree, dict) or not isinstance(name := tree.get("name"), str) or not _simple(name):
            raise SchemaRefused(f"record {record}: a field without a valid name")
        node = self.node(tree.get("type"), record.rpartition(".")[0], f"{record}.{name}", depth + 1)
        return Field(name, node, "default" in tree, tree.get("default"))

    def _enum(self, tree: dict[str, Any], namespace: str, where: str) -> Node:
        name = self._name(tree, namespace, where)
        symbols = tree.get("symbols")
        if not isinstance(symbols, list) or not symbols or not all(isinstance(s, str) and _simple(s) for s in symbols):
            raise SchemaRefused(f"{where}: enum {name} has no valid symbols")
        if len(set(symbols)) < len(symbols):
            raise SchemaRefused(f"{where}: enum {name} has a symbol twice")
        if len(symbols) > self._limits.nodes:
            raise SchemaRefused(f"{where}: enum {name} has more than {self._limits.nodes} symbols")
        default = tree.get("default")
        if default is not None and default not in symbols:
            raise SchemaRefused(f"{where}: the default of enum {name} is none of its symbols")
        return self._keep(Node("enum", name=name, symbols=tuple(symbols), default_symbol=default))

    def _fixed(self, tree: dict[str, Any], namespace: str, where: str) -> Node:
        name = self._name(tree, namespace, where)
        size = tree.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= self._limits.fixed_bytes:
            raise SchemaRefused(f"{where}: fixed {name} needs a size from 0 to {self._limits.fixed_bytes}")
        return self._keep(Node("fixed", name=name, size=size, logical=_logical(tree), least=size, idle=int(size == 0)))

    def _name(self, tree: dict[str, Any], namespace: str, where: str) -> str:
        name, own = tree.get("name"), tree.get("namespace", namespace)
        if not isinstance(name, str) or not isinstance(own, str):
            raise SchemaRefused(f"{where}: a named type without a name")
        full = name if "." in name or not own else f"{own}.{name}"
        if len(full) > 500 or _NAME.fullmatch(full) is None or full in PRIMITIVES | _COMPLEX:
            raise SchemaRefused(f"{where}: {full[:200]!r} is no valid name")
        if full in self._named or full in self._open:
            raise SchemaRefused(f"{where}: {full} is defined twice")
        return full

    def _keep(self, node: Node) -> Node:
        self._named[node.name] = node
        return node


def _simple(name: str) -> bool:
    return "." not in name and len(name) <= 500 and _NAME.fullmatch(name) is not None


def _logical(tree: dict[str, Any]) -> str:
    logical = tree.get("logicalType", "")
    return logical if isinstance(logical, str) else ""


def _primitive(kind: str, logical: str) -> Node:
    return Node(kind, logical=logical, least=_LEAST_BYTES.get(kind, 1), idle=int(kind == "null"))


def _above(kind: str, below: tuple[Node, ...], **own: Any) -> Node:
    depth = 1 + max((node.depth for node in below), default=0)
    return Node(kind, depth=depth, weight=1 + sum(node.weight for node in below), **own)


def bare(node: Node, seen: set[str]) -> Any:
    """The schema as JSON values with nothing but structure, in the key order of the Parsing Canonical Form.

    Docs, defaults, aliases and logical types are gone, so that a decoder takes times as plain numbers.
    `seen` holds the named types that were written out before, and grows.
    """
    if node.kind == "union":
        return [bare(branch, seen) for branch in node.branches]
    if node.inner is not None:
        return {"type": node.kind, "items" if node.kind == "array" else "values": bare(node.inner, seen)}
    if not node.name:
        return node.kind
    if node.name in seen:
        return node.name
    seen.add(node.name)
    if node.kind == "enum":
        return {"name": node.name, "type": "enum", "symbols": list(node.symbols)}
    if node.kind == "fixed":
        return {"name": node.name, "type": "fixed", "size": node.size}
    fields = [{"name": field.name, "type": bare(field.node, seen)} for field in node.fields]
    return {"name": node.name, "type": "record", "fields": fields}


def canonical_form(node: Node) -> str:
    """The Parsing Canonical Form (Avro specification, "Transforming into Parsing Canonical Form")."""
    return json.dumps(bare(node, set()), separators=(",", ":"))
