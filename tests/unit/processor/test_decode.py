"""The batch decoder: the fast road says what the checked reader says, and one record never touches another."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.support.checked import KnownSchemas, read_checked, readings
from tests.support.oracle import hostile
from tests.support.oracle.contract import Draft, Measure, encode_datum, encode_tail, frame, varint

from headwater_processor.core.decode import COMPLETE, RUNNING, BatchDecoder, Columns

T = 1_740_787_200_000_000
YEAR_US = 31_557_600_000_000
RUN = bytes(range(100, 116))
TAIL = encode_tail(
    job={"namespace": "jobs", "name": "flow"},
    emitter="tests",
    inputs=[{"namespace": "kafka://b1:9092", "name": "orders"}],
    outputs=[{"namespace": "s3://lake", "name": "daily"}],
)
MEASURE: Measure = (0, 3, 10, 19, 10, 900, 0, T)


def event(number: int = 1, *, tail: bytes = TAIL, time_us: int = T, kind: str = "RUNNING", **more: object) -> bytes:
    """A datum."""
    return encode_datum(Draft(number.to_bytes(16, "big"), time_us, kind, tail, run_id=RUN, **more))  # type: ignore[arg-type]  # passed through


def tail_of(number: int) -> bytes:
    return encode_tail(job={"namespace": "jobs", "name": f"flow.{number}"})


def warmed(schemas: KnownSchemas | None = None, templates_max: int = 100_000) -> BatchDecoder:
    """A decoder that knows the header of our schema and the tail of `event`."""
    decoder = BatchDecoder(schemas or KnownSchemas(), templates_max)
    decoder.decode([frame(event()), frame(event())])
    return decoder


def same_as_checked(decoder: BatchDecoder, values: list[bytes]) -> Columns:
    schemas = KnownSchemas()
    columns = decoder.decode(values)
    assert readings(columns, len(values)) == [read_checked(value, schemas) for value in values]
    return columns


# --- roads --------------------------------------------------------------------------------------------------------


def test_a_batch_of_nothing_has_no_columns() -> None:
    columns = warmed().decode([])
    assert (columns.rows, columns.bad, len(columns.times)) == ([], [], 0)


def test_a_batch_of_bad_records_alone_has_no_columns() -> None:
    columns = same_as_checked(warmed(), [b"", b"\0", b"garbage", frame(b"")])
    assert columns.rows == []
    assert [row for row, _ in columns.bad] == [0, 1, 2, 3]


def test_only_the_first_record_of_a_schema_is_read_by_the_checked_reader() -> None:
    schemas = KnownSchemas()
    decoder = BatchDecoder(schemas)
    same_as_checked(decoder, [frame(event(n)) for n in range(100)])
    assert decoder.records_checked == 1
    assert decoder.tails_decoded == 1
    assert schemas.asked == 1


def test_a_tail_that_was_seen_is_the_same_template_again() -> None:
    columns = same_as_checked(
        warmed(), [frame(event(n, tail=tail)) for n in range(4) for tail in (TAIL, tail_of(n % 2))]
    )
    assert len(set(map(id, columns.templates))) == 3


def test_both_framings_and_every_writer_are_read() -> None:
    values = []
    for number, writer in enumerate(["ours", "extra", "slow"] * 3):
        draft = Draft(number.to_bytes(16, "big"), T + number, "COMPLETE", TAIL, run_id=RUN, measures=[MEASURE])
        values += [frame(encode_datum(draft, writer), writer, confluent) for confluent in (False, True)]
    decoder = BatchDecoder(KnownSchemas())
    columns = same_as_checked(decoder, values)
    assert len(columns.rows) == len(values)
    same_as_checked(decoder, values)


def test_the_measures_links_and_nominal_times_of_the_fast_road_are_the_checked_readers() -> None:
    decoder = warmed()
    measures = [MEASURE, (1, -1, -1, -1, -1, -1, -1, 0), (0, 2**27 - 1, 0, 2**62 - 1, 2**61, -(2**62), 5, -5)]
    values = [
        frame(event(1, measures=measures)),
        frame(event(2, parent_run_id=RUN, nominal_start_us=T, nominal_end_us=T + 5)),
        frame(event(3, trace_id=RUN, nominal_end_us=-1)),
        frame(event(4, parent_run_id=bytes(16), measures=[MEASURE] * 8)),
        frame(event(5, nominal_start_us=T)),
    ]
    before = decoder.records_checked
    same_as_checked(decoder, values)
    assert decoder.records_checked == before


# --- forms that the fast road does not know ---------------------------------------------------------------------------


def block(measures: list[Measure]) -> bytes:
    return b"".join(varint(number) for measure in measures for number in measure)


def with_measures(array: bytes, number: int = 1) -> bytes:
    """An event whose array of measures is these bytes."""
    plain = event(number)
    at = hostile._measures_at(plain)
    assert plain[at] == 0
    return frame(plain[:at] + array + plain[at + 1 :])


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(varint(1) + block([MEASURE]) + varint(2) + block([MEASURE] * 2) + b"\0", id="two-blocks"),
        pytest.param(varint(-2) + varint(len(block([MEASURE] * 2))) + block([MEASURE] * 2) + b"\0", id="sized-block"),
        pytest.param(varint(-1) + varint(3) + block([MEASURE]) + b"\0", id="sized-block-of-a-wrong-size"),
        pytest.param(varint(-1) + varint(len(block([MEASURE]))) + block([MEASURE]) + varint(1) + block([MEASURE]) + b"\0",
                     id="sized-and-plain-blocks"),
        pytest.param(varint(8) + block([MEASURE] * 8) + b"\0", id="8"),
        pytest.param(varint(9) + block([MEASURE] * 9) + b"\0", id="9"),
        pytest.param(varint(63) + block([MEASURE] * 63) + b"\0", id="63"),
        pytest.param(varint(64) + block([MEASURE] * 64) + b"\0", id="64"),
        pytest.param(varint(300) + block([MEASURE] * 300) + b"\0", id="300"),
        pytest.param(b"\x82\x00" + block([MEASURE]) + b"\0", id="count-of-two-bytes"),
        pytest.param(varint(1) + block([MEASURE]) + b"\x80\x00", id="end-of-two-bytes"),
        pytest.param(b"\x80\x00", id="empty-in-two-bytes"),
        pytest.param(varint(1) + block([MEASURE]), id="no-end"),
    ],
)  # fmt: skip
def test_arrays_in_any_form_are_read_as_the_checked_reader_does(array: bytes) -> None:
    same_as_checked(warmed(), [frame(event(1)), with_measures(array, 2), frame(event(3))])


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize(
    "number",
    [
        b"\x80\x00", b"\x80\x80\x80\x00", b"\x80\x80\x80\x80\x00", b"\xfe\xff\xff\xff\x0f", b"\xff\xff\xff\xff\x0f",
        b"\x80\x80\x80\x80\x10", b"\x80\x80\x80\x80\x80\x00", b"\x80" * 8 + b"\x00", b"\x80" * 9 + b"\x00",
        b"\xff" * 9 + b"\x01", b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x00", b"\xff" * 8 + b"\x7f",
    ],
    ids=lambda number: number.hex(),
)  # fmt: skip
def test_numbers_longer_than_they_need_or_may_be_are_judged_as_the_checked_reader_does(
    place: int, number: bytes
) -> None:
    numbers = [varint(each) for each in MEASURE]
    numbers[place] = number
    same_as_checked(warmed(), [with_measures(varint(1) + b"".join(numbers) + b"\0"), frame(event(2))])


@pytest.mark.parametrize("number", [b"\x80\x00", b"\x80" * 9 + b"\x00", b"\xff" * 9 + b"\x01", b"\xff" * 10 + b"\x01"])
@pytest.mark.parametrize("place", [0, 1])
def test_nominal_times_of_any_length_are_judged_as_the_checked_reader_does(place: int, number: bytes) -> None:
    times = [varint(T), varint(T + 1)]
    times[place] = number
    plain = event(1)
    at = hostile._measures_at(plain) + 1
    same_as_checked(warmed(), [frame(plain[:at] + b"".join(times) + plain[at + 2 :]), frame(event(2))])


@pytest.mark.parametrize("index", [-1, 2, 3, 1 << 30])
def test_a_measure_of_a_dataset_that_the_event_does_not_name_is_refused_alone(index: int) -> None:
    values = [frame(event(1)), frame(event(2, measures=[MEASURE, (index, *MEASURE[1:])])), frame(event(3))]
    columns = same_as_checked(warmed(), values)
    assert [(row, rejected.reason) for row, rejected in columns.bad] == [(1, "measure_index")]


@pytest.mark.parametrize("flag", [b"\x01", b"\x03", b"\x04", b"\x80\x00", b"\x82\x00", b"\xff"])
@pytest.mark.parametrize("link", range(4))
def test_links_of_any_branch_are_judged_as_the_checked_reader_does(link: int, flag: bytes) -> None:
    plain = event(1)
    at = hostile._measures_at(plain) - 4 + link
    value = frame(plain[:at] + flag + (bytes(16) if flag == b"\x82\x00" else b"") + plain[at + 1 :])
    same_as_checked(warmed(), [value, frame(event(2))])


# --- heads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "time_us",
    [1, 63, 64, 2**41, 2**48 - 1, 2**48, 2**55 - 1, 2**55, 8 * YEAR_US, 1200 * YEAR_US, 2**62, 2**63 - 1],
)
def test_times_of_any_width_are_read(time_us: int) -> None:
    columns = same_as_checked(warmed(), [frame(event(1)), frame(event(2, time_us=time_us)), frame(event(3))])
    assert columns.times.tolist() == [T, time_us, T]


@pytest.mark.parametrize("time_us", [0, -1, -(2**48), -(2**54), -(2**55), -(2**63)])
def test_times_that_are_not_after_1970_are_refused_alone(time_us: int) -> None:
    columns = same_as_checked(warmed(), [frame(event(1)), frame(event(2, time_us=time_us)), frame(event(3))])
    assert [(row, rejected.reason) for row, rejected in columns.bad] == [(1, "event_time")]
    assert columns.rows == [0, 2]


def retimed(number: int, raw_time: bytes, raw_type: bytes = b"\x02") -> bytes:
    """An event whose time and type are these bytes; everything behind them is as ever."""
    plain = event(number)
    behind = hostile._type_at(plain) + 1
    return frame(plain[:16] + raw_time + raw_type + plain[behind:])


@pytest.mark.parametrize(
    "raw",
    [b"\x82" + b"\x80" * 6 + b"\0", b"\x80" * 7 + b"\0", b"\x82\x00", b"\x80" * 8 + b"\x02", b"\xff" * 9 + b"\x01",
     b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\0", b"\xff" * 7 + b"\x7f"],
    ids=lambda raw: raw.hex(),
)  # fmt: skip
def test_times_longer_than_they_need_or_may_be_are_judged_as_the_checked_reader_does(raw: bytes) -> None:
    same_as_checked(warmed(), [frame(event(1)), retimed(2, raw), frame(event(3))])


@pytest.mark.parametrize("raw", [b"\x01", b"\x03", b"\x0c", b"\x7e", b"\x7f", b"\x82\x00", b"\x8c\x00", b"\xff\x01"])
def test_types_that_do_not_exist_are_refused_and_long_ones_read(raw: bytes) -> None:
    same_as_checked(warmed(), [frame(event(1)), retimed(2, varint(T), raw), frame(event(3))])


@pytest.mark.parametrize("last", [0, 2])
def test_an_odd_head_before_a_known_tail_does_not_shift_what_is_read(last: int) -> None:
    """A time of nine bytes moves everything by one: the last byte of the run id then stands where a link's flag was."""
    run_id = bytes(15) + bytes([last])
    odd = [
        encode_datum(Draft(n.to_bytes(16, "big"), time_us, "COMPLETE", tail, run_id=run_id))
        for n, (time_us, tail) in enumerate([(2**55, TAIL), (2**47, TAIL), (2**55, b"\0" + TAIL), (2**47, TAIL[1:])])
    ]
    decoder = warmed()
    same_as_checked(decoder, [frame(event(9)), *map(frame, odd), frame(event(10))])
    same_as_checked(decoder, [frame(event(9)), *map(frame, odd), frame(event(10))])


def test_a_shifted_reading_that_ends_at_a_known_tail_refuses_no_good_record() -> None:
    """The worst case of the shift: what looks like a measure lies in the ids, and its dataset does not exist."""
    trace_id = bytes(13) + b"\0\0\0"
    run_id = RUN[:15] + b"\x02"  # where the flag of the parent run would be
    datum = b"".join(
        (
            bytes(16), varint(2**55), b"\x02", run_id,
            b"\0", b"\0", b"\x02" + trace_id, b"\x02" + b"\x40" * 8, b"\0", b"\0\0", TAIL,
        )
    )  # fmt: skip
    columns = same_as_checked(warmed(), [frame(event(1)), frame(datum)])
    assert columns.bad == []


def test_types_and_run_ids_stand_beside_their_own_events() -> None:
    values = [frame(event(1)), frame(event(2, kind="COMPLETE", time_us=5)), frame(event(3, kind="COMPLETE"))]
    columns = same_as_checked(warmed(), values)
    assert columns.types == [RUNNING, COMPLETE, COMPLETE]
    assert [int.from_bytes(each, "big") for each in columns.ids] == [1, 2, 3]


# --- hostile bytes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_bad_records_of_every_way_leave_their_neighbours_as_they_are(seed: int) -> None:
    rng = random.Random(seed)
    good = [frame(event(n, time_us=T + n, tail=rng.choice([TAIL, tail_of(n % 5)]))) for n in range(400)]
    values, kept = list(good), set(range(len(good)))
    for at in rng.sample(range(len(good)), 120):
        kept.discard(at)
        values[at] = rng.choice(hostile.WAYS)(rng, good[at]) or b""
    decoder = BatchDecoder(KnownSchemas())
    columns = same_as_checked(decoder, values)
    assert kept <= set(columns.rows)
    same_as_checked(decoder, values)  # once more, with every tail known


def test_a_record_cut_anywhere_is_judged_as_the_checked_reader_does() -> None:
    value = frame(event(1, measures=[MEASURE], parent_run_id=RUN))
    same_as_checked(warmed(), [value[:size] for size in range(len(value) + 1)])


def test_every_byte_of_a_record_can_change_and_the_roads_agree() -> None:
    value = frame(event(1, measures=[MEASURE], nominal_end_us=T))
    damaged = [
        value[:at] + bytes([byte]) + value[at + 1 :] for at in range(len(value)) for byte in (0, 1, 2, 0x7F, 0x80, 0xFF)
    ]
    decoder = warmed()
    same_as_checked(decoder, damaged)
    same_as_checked(decoder, damaged)


def test_a_record_with_more_items_than_a_datum_may_have_is_refused_on_both_roads() -> None:
    tail = encode_tail(job={"namespace": "jobs", "name": "flow"}, inputs=[{"namespace": "a", "name": "b"}],
                       file_ids=[""] * 65_534)  # fmt: skip
    decoder = warmed()
    columns = same_as_checked(decoder, [frame(event(1, tail=tail)), frame(event(2, tail=tail, measures=[MEASURE] * 2))])
    assert [rejected.reason for _, rejected in columns.bad] == ["items"]


def test_a_record_of_more_than_a_mebibyte_is_refused() -> None:
    tail = encode_tail(job={"namespace": "jobs", "name": "flow"}, facets=bytes(1 << 20))
    columns = same_as_checked(warmed(), [frame(event(1, tail=tail)), frame(event(2))])
    assert [(row, rejected.reason) for row, rejected in columns.bad] == [(0, "too_large")]


# --- bounds -------------------------------------------------------------------------------------------------------


def tails_kept(decoder: BatchDecoder) -> int:
    return sum(len(tails) for known in (decoder._young, decoder._old) for tails in known.values())


def test_two_generations_of_tails_keep_their_bound() -> None:
    decoder = warmed(templates_max=20)
    for begin in range(0, 300, 7):
        same_as_checked(decoder, [frame(event(n, tail=tail_of(n))) for n in range(begin, begin + 7)])
        assert tails_kept(decoder) <= 20


def test_the_bound_holds_over_several_headers() -> None:
    decoder = BatchDecoder(KnownSchemas(), 20)
    for n in range(200):
        confluent, writer = bool(n % 2), ("ours", "extra")[n % 3 == 0]
        datum = encode_datum(Draft(n.to_bytes(16, "big"), T, "START", tail_of(n)), writer)
        decoder.decode([frame(datum, writer, confluent)])
        assert tails_kept(decoder) <= 20


def test_a_tail_in_use_survives_the_change_of_generations() -> None:
    decoder = warmed(templates_max=20)
    template = decoder.decode([frame(event(0))]).templates[0]
    for n in range(200):
        columns = decoder.decode([frame(event(1)), frame(event(2, tail=tail_of(n)))])
        assert columns.templates[0] is template


def test_a_tail_that_was_forgotten_is_decoded_again() -> None:
    decoder = warmed(templates_max=4)
    for n in range(20):
        decoder.decode([frame(event(n, tail=tail_of(n)))])
    before = decoder.tails_decoded
    same_as_checked(decoder, [frame(event(1))])
    assert decoder.tails_decoded == before + 1


def test_headers_beyond_the_bound_are_read_and_not_kept() -> None:
    schemas = KnownSchemas()
    found = schemas.by_header(frame(event()))
    assert isinstance(found, tuple)
    schemas.any_id = found[0]
    decoder = BatchDecoder(schemas)
    values = [b"\0" + n.to_bytes(4, "big") + event(n) for n in range(1000, 1200)]
    for _ in range(2):
        columns = decoder.decode(values)
        assert columns.bad == []
        assert columns.rows == list(range(200))
    assert len(decoder._fast) == len(decoder._young) == 64


def test_times_are_whole_numbers_of_64_bits() -> None:
    assert warmed().decode([frame(event())]).times.dtype == np.int64
