"""What a command says of its own run: a JSON file that it writes, read when it has ended. Pure but for the reading.

    {"inputs":  [{"namespace": "postgres://db:5432", "name": "shop.public.orders", "rows": 90}],
     "outputs": [{"namespace": "s3://lake", "name": "orders/daily", "rows": 90, "bytes": 5120}],
     "file_ids": ["s3://in/orders.csv#v7"], "transaction_ids": []}

All members are optional but `namespace` and `name`; `partition`, `first_offset`, `last_offset`, `rows`, `bytes`, `lag`,
`data_through_us` are whole numbers, `schema_version` a text. A file of JSON lines is such documents one after the
other. What cannot be used is named, and the rest counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headwater.run import Run

MOST_BYTES: Final = 10 * 1024 * 1024
_NUMBERS: Final = ("partition", "first_offset", "last_offset", "rows", "bytes", "data_through_us")
_MEMBERS: Final = {"inputs", "outputs", "file_ids", "transaction_ids"}


def tell(run: Run, path: Path) -> list[str]:
    """Tell the run what the file says; returns what of it could not be used, in sentences. No file is no mistake."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"the report {path} cannot be read: {error.strerror}"]
    if len(raw) > MOST_BYTES:
        return [f"the report {path} is larger than {MOST_BYTES // 2**20} MiB"]
    wrong: list[str] = []
    for document in _documents(raw, wrong):
        if isinstance(document, dict):
            wrong += _tell_one(run, document)
        else:
            wrong.append(f"the report holds {document!r:.60}, which is no object")
    return wrong


def _documents(raw: bytes, wrong: list[str]) -> Iterator[Any]:
    if not raw.strip():
        return
    try:
        yield json.loads(raw)
        return
    except ValueError as error:
        whole = error
    lines = raw.splitlines()
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                yield json.loads(line)
        except ValueError as error:
            if number == 1:  # no JSON lines either
                wrong.append(f"the report is no JSON: {whole}")
                return
            wrong.append(f"line {number} of the report is no JSON: {error}")


def _tell_one(run: Run, document: dict[str, Any]) -> list[str]:
    wrong = [f"the report has a member {name!r} that nobody knows" for name in sorted(set(document) - _MEMBERS)]
    for role in ("inputs", "outputs"):
        for at, use in enumerate(_list(document.get(role))):
            refused = _tell_use(run, role, use)
            if refused:
                wrong.append(f"{role}[{at}] of the report {refused}")
    for text in _list(document.get("file_ids")):
        run.correlate(file_id=str(text))
    for text in _list(document.get("transaction_ids")):
        run.correlate(transaction_id=str(text))
    return wrong


def _tell_use(run: Run, role: str, use: object) -> str:
    """Empty when it could be told, else why not."""
    if not isinstance(use, dict):
        return f"is {use!r:.60}, which is no object"
    namespace, name = use.get("namespace"), use.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace.strip() and name.strip()):
        return "has no namespace and name"
    numbers = {key: use[key] for key in _NUMBERS if key in use}
    bad = next((key for key, value in numbers.items() if type(value) is not int or not -1 <= value < 2**63), "")
    if bad:
        return f"has {bad} {numbers[bad]!r:.40}, which is no whole number"
    version = use.get("schema_version", "")
    if role == "inputs":
        lag = use.get("lag", -1)
        run.reads(namespace, name, **numbers, lag=lag if type(lag) is int else -1, schema_version=str(version))
    else:
        run.writes(namespace, name, **numbers, schema_version=str(version))
    return ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
