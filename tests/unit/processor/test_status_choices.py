"""Which datasets `headwater status` shows, in which order, what helps an UNKNOWN one, and when a watch says something."""

from __future__ import annotations

import io
from threading import Event
from typing import Any

import pytest
import redis
from rich.console import Console
from rich.text import Text

from headwater_processor.core.cadence import SLOT_US, add
from headwater_processor.core.freshness import DatasetFacts, judge_freshness
from headwater_processor.core.judge_settings import AsOf, JudgeSettings
from headwater_processor.core.policies import Effective
from headwater_processor.local import status_view, status_watch
from headwater_processor.local.status_filters import ORDERS, Filters, in_order
from headwater_processor.local.status_hints import Hint, unknown_hint
from headwater_processor.local.status_view import StatusReport, as_lines, as_object, dataset_object, why
from headwater_processor.local.status_watch import Watch, watch
from headwater_processor.state.about import About
from headwater_processor.state.loading import _NOT_JUDGED
from headwater_processor.state.values import DatasetState, Summary
from headwater_schemas.events import Name

NOW = 1_700_000_000_000_000
S = 1_000_000
LOADER = Name("k8s", "loader")


def dataset(name: str = "orders", state: str = "FRESH", namespace: str = "s3://lake", **facts: Any) -> DatasetState:
    return DatasetState(Name(namespace, name), True, state=state, **facts)


# --- reasons --------------------------------------------------------------------------------------------------------


def ring(slots: int, end_us: int = NOW) -> bytes:
    found: bytes | None = None
    for back in range(slots):
        found = add(found, end_us // SLOT_US - back)
    assert found is not None
    return found


def judged(as_of: AsOf = NOW, **facts: Any) -> DatasetState:
    """What the judge itself says of a dataset that it cannot judge."""
    verdict = judge_freshness(
        DatasetFacts(Name("s3://lake", "orders"), **facts),
        Effective(),
        as_of,
        JudgeSettings(),
    )
    assert verdict.state.value == "UNKNOWN"
    return dataset(state="UNKNOWN", reason=verdict.reason, first_touched_by="k8s/loader")


OLD = NOW - 30 * 86_400 * S
CASES = {
    "learning 3/8": judged(last_write_us=NOW, cadence_slots=ring(3)),
    "too few writes to learn from: 2 of 8": judged(last_write_us=OLD, cadence_slots=ring(2, OLD)),
    "no write proof: it was only read": judged(first_read_us=NOW),
    "no write proof: runs named it as output, the last one failed": judged(first_written_us=1, last_failure_us=NOW),
    "no write proof: named as output, but no run has completed": judged(first_written_us=1, touched_by=LOADER),
    "as-of unknown: partition 1 not read": judged({0: NOW, 1: 0}, last_write_us=NOW, cadence_slots=ring(8)),
    "dropped at": judged(present=False, retracted_us=NOW),
    "not there any more": judged(present=False),
    "not judged yet": dataset(state="UNKNOWN", reason=_NOT_JUDGED.reason),
}


@pytest.mark.parametrize("because", CASES)
def test_each_reason_that_the_judge_gives_has_a_next_step_of_its_own(because: str) -> None:
    hint = unknown_hint(CASES[because])
    assert hint is not None
    assert hint.because.startswith(because)
    assert hint.next_step
    assert not hint.next_step.startswith(
        "headwater trace 's3://lake/orders'"
    )  # what is said where nothing better is known
    assert f"→ {hint.next_step}" in why(CASES[because]).plain
    assert dataset_object(CASES[because])["next_step"] == hint.next_step


def test_a_name_cannot_steer_the_terminal_of_who_looks() -> None:
    odd = dataset("a\x1b[2J\n", "UNKNOWN", reason="no \x1b reason")
    console = Console(width=200)
    with console.capture() as captured:
        console.print(as_lines(report(odd), NOW, 0))
    assert "a\\x1b[2J\\x0a" in captured.get()
    assert "\x1b" not in captured.get()


def test_a_reason_of_another_version_is_shown_as_it_is() -> None:
    assert unknown_hint(dataset(state="UNKNOWN", reason="the moon is full")) == Hint(
        "the moon is full", "headwater trace 's3://lake/orders'"
    )
    assert unknown_hint(dataset(state="STALE", reason="no write")) is None


def test_a_name_that_was_probably_meant_is_the_next_step() -> None:
    hint = unknown_hint(
        dataset(state="UNKNOWN", reason="no proof of write yet: it was only read", candidates=("s3://lake/orders2",))
    )
    assert hint is not None
    assert "s3://lake/orders2" in hint.next_step


def test_what_is_only_read_needs_a_writer_or_a_word_unless_it_has_one() -> None:
    only_read = "no proof of write yet: it was only read"
    loose = unknown_hint(dataset(state="UNKNOWN", reason=only_read, unlinked="read-never-written"))
    declared = unknown_hint(dataset(state="UNKNOWN", reason=only_read))
    assert loose is not None
    assert declared is not None
    assert loose.next_step.startswith("let its writer emit")
    assert declared.next_step.startswith("nothing if a policy says source: true")
    source = unknown_hint(dataset(state="UNKNOWN", reason=only_read, kind="source"))
    assert source is not None
    assert source.next_step.startswith("nothing: a source")


@pytest.mark.parametrize("kind", ["source", "leaf"])
def test_what_a_dataset_is_is_said_where_nothing_hangs_loose(kind: str) -> None:
    found = dataset(kind=kind)
    assert status_view.why(found).plain == f"a {kind}: nobody known {'writes' if kind == 'source' else 'reads'} it"
    assert status_view.dataset_object(found)["kind"] == kind


# --- filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        (Filters(), True),
        (Filters(states=("STALE", "FRESH")), True),
        (Filters(states=("STALE",)), False),
        (Filters(owners=("me", "you")), True),
        (Filters(namespaces=("kafka://b:9092",)), False),
        (Filters(names=("ord*",)), True),
        (Filters(names=("rders",)), True),
        (Filters(names=("s3://lake/*",)), True),
        (Filters(names=("orders?",)), False),
        (Filters(names=("[o]rders*",)), False),
        (Filters(tags=("finance", "hr")), True),
        (Filters(tags=("hr",)), False),
        (Filters(unlinked=True), False),
        (Filters(kinds=("leaf", "source")), True),
        (Filters(kinds=("source",)), False),
        (Filters(written=frozenset()), False),
    ],
)
def test_a_dataset_passes_if_every_filter_has_a_value_for_it(filters: Filters, passes: bool) -> None:
    assert filters.pass_(dataset(owner="me", kind="leaf"), lambda _name: ("finance",)) is passes


def test_tags_are_only_looked_up_where_they_are_asked_for() -> None:
    assert Filters().pass_(dataset(), lambda _name: pytest.fail("asked"))


def test_the_orders_put_first_what_they_say() -> None:
    some = [
        dataset("b", "FRESH", last_write_us=5, deadline_us=0),
        dataset("a", "UNKNOWN", last_write_us=0, deadline_us=0),
        dataset("c", "STALE", last_write_us=9, deadline_us=20),
        dataset("d", "LATE", last_write_us=1, deadline_us=30),
    ]
    orders = {order: "".join(found.name.name for found in in_order(some, order)) for order in ORDERS}
    assert orders == {"worst": "cdba", "age": "dbca", "name": "abcd", "state": "cdba", "deadline": "cdab"}


# --- watching -------------------------------------------------------------------------------------------------------


def report(*datasets: DatasetState, applied: int = 0) -> StatusReport:
    return StatusReport(Summary("d", 1, 1, 1, NOW, len(datasets), 0, 0, applied, 0), (), (), datasets)


class Stopping(Event):
    """Never waits; is set once there is nothing more to see."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def watched(
    *seen: StatusReport | Exception, monkeypatch: pytest.MonkeyPatch, console: Console, as_json: bool = False
) -> StatusReport:
    stop = Stopping()
    left = list(seen[1:])

    def look() -> StatusReport:
        found = left.pop(0)
        if not left:
            stop.set()
        if isinstance(found, Exception):
            raise found
        return found

    class Signals:
        def __enter__(self) -> Event:
            return stop

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(status_watch, "until_signalled", Signals)
    lines = lambda what: Text(", ".join(d.state for d in what.datasets))  # noqa: E731 - short
    told = Watch(look, lines, as_object, lambda what: print(what), lambda: NOW, 0.0, as_json)  # noqa: T201 - what is tested
    first = seen[0]
    assert isinstance(first, StatusReport)
    return watch(told, first, console)


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO())


def test_in_a_pipe_a_new_block_is_printed_per_change_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pipe: Console
) -> None:
    fresh, later, stale = report(dataset()), report(dataset(), applied=9), report(dataset(state="STALE"))
    last = watched(fresh, later, stale, stale, monkeypatch=monkeypatch, console=pipe)
    blocks = capsys.readouterr().out.split("\n\n")
    assert [block.splitlines()[1] for block in blocks] == ["FRESH", "STALE"]
    assert all(block.startswith("--- 2023-11-14T") for block in blocks)
    assert last is stale


def test_in_json_each_change_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pipe: Console
) -> None:
    watched(report(dataset()), report(dataset(state="LATE")), monkeypatch=monkeypatch, console=pipe, as_json=True)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_redis_that_goes_away_is_said_once_and_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pipe: Console
) -> None:
    away = redis.ConnectionError("connection refused")
    last = watched(report(dataset()), away, away, report(dataset(state="LATE")), monkeypatch=monkeypatch, console=pipe)
    said = capsys.readouterr()
    assert said.err == "cannot look: connection refused; trying again\n"
    assert "LATE" in said.out
    assert last.datasets[0].state == "LATE"


def test_a_terminal_is_redrawn_on_its_other_screen_and_keeps_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = io.StringIO()
    console = Console(file=drawn, force_terminal=True, width=80, height=20)
    watched(report(dataset()), report(dataset(state="STALE")), monkeypatch=monkeypatch, console=console)
    other_screen, _, after = drawn.getvalue().rpartition("\x1b[?1049l")
    assert "FRESH" in other_screen
    assert "\x1b[2J" not in other_screen.partition("FRESH")[2]  # nothing is wiped between two looks: that would flicker
    assert after.split()[-1].endswith("STALE")


# --- what producers say -----------------------------------------------------------------------------------------------


def test_filters_find_owners_and_tags_by_policy_and_as_producers_state_them() -> None:
    said = dataset(owner="shop", about=About(owners=("team:a", "team:b"), tags=("pii",)))
    for owner, wanted in (("shop", True), ("team:b", True), ("team:a, team:b", False), ("team", False)):
        assert Filters(owners=(owner,)).pass_(said, lambda _: ()) is wanted
    for tag, wanted in (("pii", True), ("gold", True), ("raw", False)):
        assert Filters(tags=(tag,)).pass_(said, lambda _: ("gold",)) is wanted


def test_a_dataset_s_document_has_what_is_said_of_it_and_nothing_of_what_is_not() -> None:
    assert dataset_object(dataset(about=About(tags=("pii",), version="7")))["about"] == {
        "tags": ["pii"],
        "version": "7",
    }
    assert dataset_object(dataset())["about"] == {}
