"""What `headwater.testing` gives to the tests of others: used as they use it, by a pytest of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

import headwater
from headwater import EventType, Name
from headwater.testing import (
    MemoryTransport,
    Recorder,
    assert_completed,
    assert_failed,
    assert_no_lineage_errors,
    assert_reads,
    assert_writes,
    recording,
)

pytest_plugins = ["pytester"]


@headwater.job("load-orders", reads=[("postgresql://db:5432", "orders")])
def load(rows: int = 3) -> None:
    headwater.current_run().writes("s3://lake", "orders/daily", rows=rows)


@headwater.job("bad")
def bad() -> None:
    raise ValueError("no such column")


def test_a_test_suite_finds_the_fixture_and_its_messages_help(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import headwater

        @headwater.job("load-orders")
        def load():
            headwater.current_run().writes("s3://lake", "orders/daily", rows=3)

        def test_right(lineage):
            load()
            lineage.assert_writes("load-orders", ("s3://lake", "orders/daily"), rows=3)
            lineage.assert_completed("load-orders", runs=1)
            lineage.assert_no_lineage_errors()

        def test_each_test_begins_with_nothing(lineage):
            assert lineage.events == []

        def test_wrong(lineage):
            load()
            lineage.assert_writes("load-orders", ("s3://lake", "orders/dayly"))
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    message = "job load-orders writes no dataset s3://lake/orders/dayly. Did you mean s3://lake/orders/daily?"
    result.stdout.fnmatch_lines(
        ['>       lineage.assert_writes("load-orders", ("s3://lake", "orders/dayly"))', f"*{message}*"]
    )
    result.stdout.no_fnmatch_line("*assertions.py:*")


def test_pytest_loads_no_sdk_until_the_fixture_is_asked_for() -> None:
    code = "import sys, headwater.pytest_plugin; print('headwater.emitter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_assertions_need_no_pytest() -> None:
    code = "import sys, headwater.testing; print('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_assertions_take_a_recorder_a_transport_or_events_and_names_in_every_form() -> None:
    with recording() as lineage:
        load()
    transport: MemoryTransport = lineage.transport
    for events in (lineage, transport, transport.events, iter(transport.events)):
        assert_reads(events, "load-orders", ("postgres://DB:5432", "orders"))
    assert_reads(lineage, "test/load-orders", Name("postgres://db:5432", "orders"))
    assert_reads(lineage, Name("test", "load-orders"), "postgres://db:5432/orders")
    assert_no_lineage_errors(transport)


def test_rows_are_summed_over_the_runs() -> None:
    with recording() as lineage:
        load(3)
        load(4)
    assert_writes(lineage, "load-orders", ("s3://lake", "orders/daily"), rows=7)
    assert_completed(lineage, "load-orders", runs=2)
    with pytest.raises(AssertionError, match="writes 7 rows of s3://lake/orders/daily, not 8"):
        assert_writes(lineage, "load-orders", ("s3://lake", "orders/daily"), rows=8)
    with pytest.raises(AssertionError, match="has 2 runs, not 1"):
        assert_completed(lineage, "load-orders", runs=1)
    with pytest.raises(AssertionError, match="reads an unknown number of rows"):
        assert_reads(lineage, "load-orders", ("postgres://db:5432", "orders"), rows=8)


def test_a_message_says_what_was_there_and_which_was_meant() -> None:
    with recording() as lineage:
        load()
    with pytest.raises(AssertionError, match=r"no run of job load-order said anything\. Did you mean test/load-orders"):
        assert_reads(lineage, "load-order", ("a", "b"))
    with pytest.raises(AssertionError, match=r"reads no dataset a/b\. It reads\n  postgres://db:5432/orders"):
        assert_reads(lineage, "load-orders", ("a", "b"))
    with pytest.raises(AssertionError, match="reads no dataset s3://lake/orders/daily, it writes it"):
        assert_reads(lineage, "load-orders", ("s3://lake", "orders/daily"))
    with pytest.raises(AssertionError, match="There are events of no job"):
        assert_reads([], "load-orders", ("a", "b"))


def test_failures_are_asserted_by_their_error() -> None:
    with recording() as lineage:
        load()
        with pytest.raises(ValueError, match="column"):
            bad()
    assert_failed(lineage, "bad", match="no such c.lumn")
    with pytest.raises(AssertionError, match="failed otherwise than 'timeout'"):
        assert_failed(lineage, "bad", match="timeout")
    with pytest.raises(AssertionError, match="no run of job load-orders failed; its events are START, COMPLETE"):
        assert_failed(lineage, "load-orders")
    with pytest.raises(AssertionError, match=r"did not complete: its last event is FAIL\n  ValueError: no such column"):
        assert_completed(lineage, "bad")
    assert_no_lineage_errors(lineage)  # a job that fails and says so is no error of its lineage


def test_events_that_were_lost_runs_that_are_open_or_partial_are_errors() -> None:
    lineage = Recorder()
    run = lineage.emitter.run("open")
    run.start()
    with pytest.raises(AssertionError, match=r"did not end:\n  test/open \(1\)"):
        lineage.assert_no_lineage_errors()
    for at in range(1_001):
        run.reads("s3://lake", f"part-{at}")
    run.complete()
    with pytest.raises(AssertionError, match=r"more than could be kept.*\n  test/open"):
        lineage.assert_no_lineage_errors()
    with recording() as other:
        other.emitter.run("open").start()
        with pytest.raises(AssertionError, match="did not complete: its last event is START"):
            other.assert_completed("open")
    lineage.emitter.close()
    run = lineage.emitter.run("late")
    run.start()
    assert lineage.stats.dropped == {"closed": 1}
    with pytest.raises(AssertionError, match=r"events were lost: {'closed': 1}"):
        lineage.assert_no_lineage_errors()


def test_recording_gives_the_process_its_emitter_back() -> None:
    before = headwater.set_default_emitter(None)
    headwater.set_default_emitter(before)
    with recording() as outer, recording() as inner:
        load()
    assert outer.events == []
    assert [event.event_type for event in inner.events] == [EventType.START, EventType.COMPLETE]
    assert headwater.set_default_emitter(before) is before
