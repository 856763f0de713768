"""Whatever bytes a record holds, they are decoded as the checked reader decodes them, or rejected with its reason."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.support.checked import KnownSchemas, read_checked
from tests.support.fuzz import kept
from tests.support.fuzz.payloads import WAYS, sessions
from tests.support.fuzz.reading import TEMPLATES, Tally, fails, read_session
from tests.support.fuzz.writers import schemas

from headwater_processor.core.decode import BatchDecoder
from headwater_processor.local.workload import Workload
from headwater_schemas.codec import REASONS

PAYLOADS = 20_000
SEED = 20_251
KEPT = sorted(kept.FOLDER.glob("*.hex"))
NEVER_MADE = {"unreadable", "schema_refused"}
"""What nothing may be rejected as, and what the schema decides, whatever the payload."""


def test_hostile_payloads_are_read_as_the_checked_reader_reads_them() -> None:
    known, tally = schemas(), Tally()
    for number, batches in sessions(SEED):
        failure = read_session(batches, known, tally, TEMPLATES[number % len(TEMPLATES)], measured=number % 25 == 0)
        assert failure is None, f"session {number}, batch {failure.batch}, record {failure.row}: {failure.what}"
        if tally.payloads >= PAYLOADS:
            break
    assert {way.__name__ for way in WAYS} <= tally.ways.keys()
    assert tally.outcomes.keys() >= set(REASONS) - NEVER_MADE - {"too_large"}
    assert tally.outcomes["decoded"] > PAYLOADS / 5


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_what_was_kept_is_read_as_the_checked_reader_reads_it(path: Path) -> None:
    batches = kept.load(path)
    assert not fails(batches)
    if path.stem in {"decoded", *REASONS}:
        known = schemas()
        found = [read_checked(value or b"", known) for batch in batches for value in batch]
        assert {each if isinstance(each, str) else "decoded" for each in found} == {path.stem}


def test_every_reason_has_kept_payloads() -> None:
    assert {path.stem for path in KEPT} >= ({"decoded"} | set(REASONS)) - NEVER_MADE


def test_a_kept_file_says_what_it_was_given(tmp_path: Path) -> None:
    batches: list[list[bytes | None]] = [[b"a\0" + bytes(500) + b"b", None, b""], [bytes(100), b"\n" * 300]]
    kept.dump(batches, tmp_path / "some.hex", "two batches")
    assert kept.load(tmp_path / "some.hex") == batches


# ---- what one bad record costs ----------------------------------------------------------------------------------------


def good_values(count: int) -> list[bytes]:
    """Events as a busy topic has them."""
    return [record.value for record in Workload(datasets=300).records(count)]


def cpu_s(decoder: BatchDecoder, batches: list[list[bytes]]) -> float:
    started = time.process_time()
    for batch in batches:
        decoder.decode(batch)
    return time.process_time() - started


@pytest.mark.parametrize("size", [500, 4000])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[: len(value) // 2],
        lambda value: value + b"\0",
        lambda value: b"\0\0\0\0\7" + value,
        lambda value: value[:58] + b"\xff" * 12 + value[70:],
        lambda value: b"",
    ],
    ids=["cut", "trailing", "unknown schema", "a number without end", "empty"],
)
def test_one_bad_record_in_each_batch_costs_less_than_twice_the_clean_run(size: int, spoil: object) -> None:
    assert callable(spoil)
    values = good_values(12_000)
    clean = [values[at : at + size] for at in range(0, len(values) - size + 1, size)]
    rng = random.Random(1)
    spoilt = [list(batch) for batch in clean]
    for batch in spoilt:
        at = rng.randrange(len(batch))
        batch[at] = spoil(batch[at])
    decoder = BatchDecoder(KnownSchemas())
    cpu_s(decoder, clean)
    rejected = sum(len(decoder.decode(batch).bad) for batch in spoilt)
    assert rejected == len(spoilt)
    ratios = [cpu_s(decoder, spoilt) / cpu_s(decoder, clean) for _ in range(7)]
    assert min(ratios) < 2.0, ratios
