"""The runs of a job as its image shows them: which of them, and what of each."""

from __future__ import annotations

import pytest

from headwater_processor.core.runs import HISTORY, Run, encode_run
from headwater_processor.engine.histories import History, history, worth_showing
from headwater_processor.engine.names import NameBook
from headwater_processor.state.layout import pack_name
from headwater_processor.state.runs import JobHistory, OffsetImage, RunImage, offset_key, run_image, unpack_history
from headwater_schemas.events import Name
from headwater_schemas.ids import dataset_key, job_key

T = 1_740_787_200_000_000
ORDERS, DAILY, FLOW = Name("kafka://b1:9092", "orders"), Name("s3://lake", 'a "daily" one'), Name("jobs", "flow")
IN, OUT, JOB = dataset_key(ORDERS), dataset_key(DAILY), job_key(FLOW)
STORED = {IN: pack_name(b"d", ORDERS), OUT: pack_name(b"d", DAILY), JOB: pack_name(b"j", FLOW)}
STRANGER = b"?" * 12


def book() -> NameBook:
    names = NameBook(lambda keys: [STORED.get(key) for key in keys])
    names.learn(STORED)
    return names


def ident(number: int) -> bytes:
    return number.to_bytes(16, "big")


def run(number: int, state: str = "COMPLETE", *, ended_us: int = 0) -> Run:
    end = ended_us or number + 1
    return {
        "COMPLETE": Run(first=number, started=number, seen=end, complete=(end, ident(number))),
        "FAIL": Run(first=number, started=number, seen=end, failed=(end, 2, ident(number), b"exit code 1")),
        "OPEN": Run(first=number, started=number, seen=end),
    }[state]


def after(old: History | None, *runs: tuple[int, Run]) -> History:
    keyed = {JOB + ident(number): each for number, each in runs}
    return history(old.packed if old else None, keyed, book(), 0, 0)


def shown(made: History) -> JobHistory:
    return unpack_history(made.packed)


def numbers(made: History) -> list[int]:
    return [int(image.run.replace("-", ""), 16) for image in shown(made).runs]


def succeeded(made: History) -> int:
    last_ok = shown(made).last_ok
    return int(last_ok.run.replace("-", ""), 16) if last_ok else 0


def test_a_history_keeps_the_newest_runs_by_start() -> None:
    made = after(None, *((n, run(n)) for n in (3, 1, 20, 7, *range(8, 18))))
    assert numbers(made) == [20, *range(17, 8, -1)]
    assert len(shown(made).runs) == HISTORY


def test_a_run_is_in_a_history_once_as_it_was_said_last() -> None:
    made = after(after(None, (2, run(2, "OPEN")), (1, run(1))), (2, run(2, "FAIL")))
    assert numbers(made) == [2, 1]
    assert [image.state for image in shown(made).runs] == ["FAIL", "COMPLETE"]
    assert (made.runs.open, made.runs.last_state, made.runs.last_ok_at_us) == (0, "FAIL", 2)


def test_the_last_success_outlives_the_history() -> None:
    made = after(None, (1, run(1)))
    for number in range(2, 40):
        made = after(made, (number, run(number, "FAIL")))
    assert succeeded(made) == 1
    assert succeeded(after(made, (50, run(50)))) == 50


def test_the_last_success_is_the_one_that_ended_last() -> None:
    assert succeeded(after(None, (1, run(1, ended_us=100)), (2, run(2)))) == 1


def test_a_success_that_turned_out_to_be_a_failure_is_none() -> None:
    assert succeeded(after(after(None, (1, run(1)), (2, run(2))), (2, run(2, "FAIL")))) == 1


def test_without_a_success_there_is_no_last_one() -> None:
    made = after(None, (1, run(1, "OPEN")), (2, run(2, "FAIL")))
    assert shown(made).last_ok is None
    assert made.runs.last_ok == ""


def test_of_many_runs_only_those_are_made_that_can_be_shown() -> None:
    many = {ident(n): run(n, "FAIL") for n in range(2, 100)} | {ident(1): run(1)}
    stored = {key: bytes(8) + encode_run(each) for key, each in many.items()}
    assert set(worth_showing(stored)) == {ident(1), *map(ident, range(90, 100))}


RICH = Run(
    first=T,
    started=T + 1,
    seen=T + 9,
    failed=(T + 8, 1, ident(7), 'zu früh "beendet"'.encode()),
    flags=1,
    inputs=IN,
    outputs=OUT + STRANGER,
    runtime=(T, ident(3), b'{"pod":"p-1","image":"","restarts":2}'),
    parent=(T, ident(4), ident(9), JOB),
    offsets=[offset_key("out", OUT, 0), 1, 2, offset_key("in", IN, 11), 5, 90, offset_key("in", IN, 2), 7, 7],
)


@pytest.mark.parametrize("timeout_us", [0, 5])
@pytest.mark.parametrize("given", [RICH, Run(), run(5), run(6, "OPEN"), run(7, "FAIL")])
def test_a_run_is_shown_as_the_reader_of_the_state_shows_it(given: Run, timeout_us: int) -> None:
    names = book()
    packed = history(None, {JOB + ident(5): given}, names, T, timeout_us).packed
    texts = {key: names.text(key) for key in STORED}
    expected = run_image(ident(5), given, texts, as_of_us=T, run_timeout_us=timeout_us)
    assert unpack_history(packed).runs == [expected]


def test_the_parts_of_a_rich_run_are_there() -> None:
    (image,) = shown(after(None, (5, RICH))).runs
    assert isinstance(image, RunImage)
    assert (image.state, image.error, image.runtime) == ("ABORT", 'zu früh "beendet"', {"pod": "p-1", "restarts": 2})
    assert (image.inputs, image.outputs) == ((str(ORDERS),), (str(DAILY), STRANGER.hex()))
    assert image.offsets[0] == OffsetImage(direction="in", dataset=str(ORDERS), partition=2, first=7, last=7)
