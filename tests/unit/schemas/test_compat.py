from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import pytest

from headwater_schemas.compat import problems
from headwater_schemas.schema import AVRO_DIR, reader

FILES = sorted(AVRO_DIR.glob("*.avsc"))
SAME_EVENT = [(a, b) for a, b in permutations(FILES, 2) if a.name.split(".")[0] == b.name.split(".")[0]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_schema_reads_itself(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    assert problems(text, text) == []


def test_all_versions_of_an_event_read_each_other() -> None:
    # Every pair of files; with one version of each event there is none yet.
    for old, new in SAME_EVENT:
        assert problems(old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8")) == [], (old, new)


def test_records_of_different_events_do_not_read_each_other() -> None:
    for old, new in permutations(FILES, 2):
        if (old, new) not in SAME_EVENT:
            assert problems(old.read_text(encoding="utf-8"), new.read_text(encoding="utf-8"))


def _record(**fields: Any) -> str:
    return json.dumps({"type": "record", "name": "R", "fields": [{"name": n, **f} for n, f in fields.items()]})


E1 = {"type": "enum", "name": "E", "symbols": ["A"]}
E2 = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
F4 = {"type": {"type": "fixed", "name": "F", "size": 4}}
F8 = {"type": {"type": "fixed", "name": "F", "size": 8}}
G4 = {"type": {"type": "fixed", "name": "G", "size": 4}}
INTS = {"type": {"type": "array", "items": "int"}}
STRINGS = {"type": {"type": "array", "items": "string"}}
NULLABLE = {"type": ["null", "string"]}
E1_OR_A = {"type": {**E1, "default": "A"}}
NO_B = "old readers, new data: R.a: the reader knows no symbol B"
MILLIS, MICROS = ({"type": {"type": "long", "logicalType": f"timestamp-{unit}"}} for unit in ("millis", "micros"))
LONG, INT, STRING = {"type": "long"}, {"type": "int"}, {"type": "string"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (_record(a=LONG), _record(a=LONG, b={**LONG, "default": 0}), []),
        (_record(a=LONG), _record(a=LONG, b=LONG), ["new readers, old data: R.b: missing, and it has no default"]),
        (_record(a=LONG, b=LONG), _record(a=LONG), ["old readers, new data: R.b: missing, and it has no default"]),
        (_record(a=INT), _record(a=LONG), ["old readers, new data: R.a: long is not int"]),
        (_record(a=STRING), _record(a={"type": "bytes"}), 2),
        (_record(a=LONG), _record(a={"type": "double"}), 2),
        (_record(a={"type": E1}), _record(a={"type": E2}), [NO_B]),
        (_record(a=E1_OR_A), _record(a={"type": E2}), []),
        (_record(a=STRING), _record(a=NULLABLE), ["old readers, new data: R.a: null is not string"]),
        (_record(a=INTS), _record(a=STRINGS), 2),
        (_record(a=F4), _record(a=F8), 2),
        (_record(a=F4), _record(a=G4), 2),
        (_record(a=MILLIS), _record(a=MICROS), 2),
    ],
)
def test_a_change_is_safe_or_says_who_cannot_read_what(old: str, new: str, expected: list[str] | int) -> None:
    found = problems(old, new)
    assert (len(found) if isinstance(expected, int) else found) == expected


def test_an_optional_field_may_be_added_to_our_event() -> None:
    tree = json.loads(reader("lineage_event.v1").text)
    tree["fields"].append({"name": "colour", "type": ["null", "string"], "default": None})
    assert problems(reader("lineage_event.v1").text, json.dumps(tree)) == []
