"""What is read and written is worked out from librdkafka's statistics as they are, gaps and rewinds included."""

from __future__ import annotations

from typing import Any

from headwater.kafka.reading import Reading
from headwater.kafka.writing import Writing
from headwater_schemas.events import Measure

ORDERS = ("orders", 0)


def consumed(app: int, *, fetched: int, fetched_bytes: int = 0, end: int = 1_000, upto: int = 0) -> dict[str, Any]:
    facts = {
        "app_offset": app,
        "rxmsgs": fetched,
        "rxbytes": fetched_bytes,
        "ls_offset": end,
        "hi_offset": end,
        "next_offset": upto,
        "fetch_state": "active",
    }
    return {"orders": {"partitions": {"0": facts, "-1": facts | {"rxmsgs": 0}}}}


def produced(messages: int, *, acked: int, waiting: int = 0, sent: int = 0, sent_bytes: int = 0) -> dict[str, Any]:
    facts = {
        "msgs": messages,
        "msgq_cnt": waiting,
        "xmit_msgq_cnt": 0,
        "msgs_inflight": 0,
        "acked_msgid": acked,
        "txmsgs": sent,
        "txbytes": sent_bytes,
    }
    return {"orders": {"partitions": {"0": facts}}}


def begun(first: int = 100) -> Reading:
    reading = Reading()
    reading.begin([ORDERS])
    reading.saw("orders", 0, first)
    return reading


def test_what_was_fetched_ahead_is_not_read_yet() -> None:
    reading = begun()
    reading.observe(consumed(150, fetched=500, fetched_bytes=50_000))
    assert list(reading.news()) == [("orders", Measure(0, 100, 149, 50, 5_000, 850))]


def test_each_record_is_told_once() -> None:
    reading = begun()
    reading.observe(consumed(150, fetched=50, fetched_bytes=500))
    list(reading.news())
    reading.observe(consumed(170, fetched=70, fetched_bytes=700))
    assert list(reading.news()) == [("orders", Measure(0, 150, 169, 20, 200, 830))]


def test_offsets_without_records_are_not_counted() -> None:
    reading = begun(0)
    reading.observe(consumed(900, fetched=30, fetched_bytes=300, end=900))
    assert list(reading.news()) == [("orders", Measure(0, 0, 899, 30, 300, 0))]


def test_a_quiet_partition_says_its_lag_and_no_records() -> None:
    reading = Reading()
    reading.begin([ORDERS])
    reading.observe(consumed(-1001, fetched=0, end=40, upto=40))
    assert reading.unseen == set()
    assert list(reading.news()) == [("orders", Measure(0, lag=0))]
    reading.observe(consumed(42, fetched=2, fetched_bytes=20, end=42))
    assert list(reading.news()) == [("orders", Measure(0, 40, 41, 2, 20, 0))]


def test_what_was_fetched_before_the_first_record_was_handed_out_does_not_move_the_beginning() -> None:
    reading = Reading()
    reading.begin([ORDERS])
    reading.observe(consumed(-1001, fetched=500, upto=600))
    assert reading.unseen == {ORDERS}
    assert list(reading.news()) == []


def test_a_partition_that_comes_back_begins_anew() -> None:
    reading = begun()
    reading.observe(consumed(150, fetched=50))
    reading.moved(ORDERS, 160, 1_000)
    reading.end([ORDERS])
    assert [(m.first_offset, m.last_offset, m.rows) for _, m in reading.news()] == [(100, 159, 60)]
    reading.begin([ORDERS])
    reading.saw("orders", 0, 155)
    reading.observe(consumed(165, fetched=60))
    assert [(m.first_offset, m.last_offset, m.rows) for _, m in reading.news()] == [(155, 164, 10)]


def test_acknowledged_records_count_once_however_often_they_were_sent() -> None:
    writing = Writing(idempotent=True)
    writing.observe(produced(100, acked=80, waiting=20, sent=160, sent_bytes=16_000))
    writing.acknowledged("orders", 0, 500)
    writing.acknowledged("orders", 0, 561)
    assert list(writing.news()) == [("orders", Measure(0, 500, 561, 80, 8_000))]
    assert writing.counted() == 80
    assert not writing.progress


def test_without_idempotence_what_waits_is_not_written_and_what_was_never_sent_neither() -> None:
    writing = Writing(idempotent=False)
    writing.observe(produced(100, acked=0, waiting=20, sent=70, sent_bytes=700))
    assert list(writing.news()) == [("orders", Measure(0, rows=70, bytes=700))]
