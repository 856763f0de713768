"""The demo's world says what the demo promises."""

from __future__ import annotations

from headwater_processor.local.scenario import MEANT, MISSPELT, SALES_MART, STALE_AFTER_US, STALE_MART, shop
from headwater_schemas.events import EventType, LineageEvent, Name

START = 1_700_000_000_000_000
SECOND = 1_000_000


def events(seconds: int) -> list[LineageEvent]:
    world = shop(START)
    return [event for tick in range(seconds * 10) for event in world.advance(START + tick * SECOND // 10)]


def written(name: Name, said: list[LineageEvent]) -> list[int]:
    return [
        event.event_time_us
        for event in said
        for use in event.outputs
        if Name(use.namespace, use.name) == name and any(m.rows > 0 for m in use.measures)
    ]


def test_the_world_has_at_least_25_datasets_and_5_kinds_of_job() -> None:
    world = shop(START)
    assert len(world.datasets()) >= 25
    assert len({job.name.namespace for job in world.jobs}) >= 5


def test_every_event_id_is_used_once_and_every_job_speaks() -> None:
    said = events(20)
    assert len({event.event_id for event in said}) == len(said)
    assert {event.job for event in said} == {job.name for job in shop(START).jobs}


def test_one_table_stops_being_written_while_the_others_go_on() -> None:
    said = events(60)
    assert START + STALE_AFTER_US - 8 * SECOND < written(STALE_MART, said)[-1] <= START + STALE_AFTER_US
    assert written(SALES_MART, said)[-1] > START + 50 * SECOND


def test_a_job_crashes_and_goes_on_in_another_pod_where_it_stopped() -> None:
    said = [event for event in events(40) if event.job.name == "order-enricher"]
    crash = next(i for i, event in enumerate(said) if event.event_type is EventType.FAIL)
    before, after = said[crash - 1], said[crash + 2]
    assert said[crash].error
    assert said[crash + 1].event_type is EventType.START
    assert before.runtime
    assert after.runtime
    assert before.runtime.pod != after.runtime.pod
    assert before.run_id != after.run_id
    assert before.inputs[0].measures[0].last_offset + 1 == after.inputs[0].measures[0].first_offset


def test_the_misspelt_topic_is_read_and_never_written() -> None:
    said = events(20)
    assert any(Name(use.namespace, use.name) == MISSPELT for event in said for use in event.inputs)
    assert not written(MISSPELT, said)
    assert written(MEANT, said)
