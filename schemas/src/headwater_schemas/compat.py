"""May one schema read what another wrote? Avro's rules of schema resolution, made stricter where a surprise would hurt.

Stricter than the specification: every branch of a writer's union and every symbol of its enums must have a place in the
reader's schema (not only those that happen to occur), strings and bytes are not taken for each other, integers never
become floats, and a time must have the same unit on both sides.
"""

from __future__ import annotations

from headwater_schemas.lint import Field, Node, parse

_PROMOTIONS = frozenset({("int", "long"), ("float", "double")})


def problems(old: str, new: str) -> list[str]:
    """What breaks when `old` and `new` (schema JSON) live side by side; empty when both ways are safe.

    New readers must read old data, and old readers new data. Raises `lint.SchemaRefused` if either is no schema.
    """
    old_node, new_node = parse(old), parse(new)
    backward = [f"new readers, old data: {text}" for text in resolution_problems(old_node, new_node)]
    forward = [f"old readers, new data: {text}" for text in resolution_problems(new_node, old_node)]
    return backward + forward


def resolution_problems(writer: Node, reader: Node, where: str = "") -> list[str]:
    """Why data of `writer` cannot be read as `reader`, one sentence for each place; empty if it can."""
    where = where or reader.name or "schema"
    if writer.kind == "union":
        found = [resolution_problems(branch, reader, where) for branch in writer.branches]
        return [text for texts in found for text in texts]
    if reader.kind == "union":
        if any(not resolution_problems(writer, branch, where) for branch in reader.branches):
            return []
        return [f"{where}: {_say(writer)} is none of the reader's {[_say(branch) for branch in reader.branches]}"]
    if writer.kind != reader.kind:
        return [] if (writer.kind, reader.kind) in _PROMOTIONS else [_differ(where, writer, reader)]
    return _same_kind(writer, reader, where)


def _same_kind(writer: Node, reader: Node, where: str) -> list[str]:
    found = _logical_problem(writer, reader, where)
    if writer.name.rpartition(".")[2] != reader.name.rpartition(".")[2] or writer.size != reader.size:
        found.append(_differ(where, writer, reader))
    if writer.inner is not None and reader.inner is not None:
        found += resolution_problems(writer.inner, reader.inner, f"{where}[]")
    if reader.kind == "enum" and reader.default_symbol is None:
        unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        found += [f"{where}: the reader knows no symbol {', '.join(unknown)}"] if unknown else []
    if reader.kind == "record":
        wrote = {field.name: field for field in writer.fields}
        for field in reader.fields:
            found += _field_problems(wrote.get(field.name), field, f"{where}.{field.name}")
    return found


def _logical_problem(writer: Node, reader: Node, where: str) -> list[str]:
    # A plain number counts as our unit; another unit would be wrong by a factor of a thousand.
    if writer.logical and reader.logical and writer.logical != reader.logical:
        return [f"{where}: {writer.logical} is not {reader.logical}"]
    return []


def _field_problems(writer: Field | None, reader: Field, where: str) -> list[str]:
    if writer is not None:
        return resolution_problems(writer.node, reader.node, where)
    return [] if reader.has_default else [f"{where}: missing, and it has no default"]


def _differ(where: str, writer: Node, reader: Node) -> str:
    return f"{where}: {_say(writer)} is not {_say(reader)}"


def _say(node: Node) -> str:
    size = f"({node.size})" if node.kind == "fixed" else ""
    return f"{node.kind}{size} {node.name}".rstrip()
