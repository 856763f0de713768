"""What is said of consumer groups, look by look."""

from __future__ import annotations

import dataclasses
import zlib

import orjson
from tests.support.discovered import INTERVAL_MS, NAMESPACE, NOW_MS, REPEAT_MS, Cluster, group

from headwater.discover.lag import Status
from headwater.discover.service import Discoverer, Look, groups_of, namespace_of, topics_of
from headwater.runtime.models import DiscoverSettings, Settings
from headwater.validation import check
from headwater_schemas.events import NIL_UUID, Completeness, EventType, LineageEvent, Measure, Name

WINDOW = 4
SLOT_MS = NOW_MS - (NOW_MS + zlib.crc32(b"loader")) % REPEAT_MS
"""When a slot of the group `loader` begins."""


def discoverer(cluster: Cluster, *, repeat_ms: int = REPEAT_MS) -> Discoverer:
    return Discoverer(cluster, namespace=NAMESPACE, interval_ms=INTERVAL_MS, repeat_ms=repeat_ms, window=WINDOW)


def looked(found: Discoverer, now_ms: int) -> Look:
    """A look whose events arrive."""
    look = found.look(now_ms)
    for event in look.events:
        check(event)
    found.confirm(look)
    return look


def facet(event: LineageEvent) -> dict[str, object]:
    told: dict[str, object] = orjson.loads(event.facets or b"{}")["job"]["headwater_observed"]
    return told


def busy() -> Cluster:
    """One group that has read five of ten records of one topic."""
    cluster = Cluster(groups=[group(orders_0=5)])
    cluster.end(orders_0=10)
    return cluster


def test_an_active_group_is_a_job_that_reads_and_proves_no_write_and_opens_no_run() -> None:
    (event,) = looked(discoverer(busy()), NOW_MS + 1_234).events
    assert event.job == Name(NAMESPACE, "group/loader")
    assert (event.event_type, event.run_id, event.outputs) == (EventType.OTHER, NIL_UUID, ())
    assert event.event_time_us == NOW_MS * 1000
    assert (event.emitter, event.completeness) == (f"discover:{NAMESPACE}", Completeness.PARTIAL)
    (use,) = event.inputs
    assert (use.namespace, use.name) == (NAMESPACE, "orders")
    assert use.measures == (Measure(partition=0, last_offset=4, lag=5),)


def test_the_facet_says_that_it_was_observed_and_what() -> None:
    (event,) = looked(discoverer(busy()), NOW_MS).events
    assert facet(event) == {
        "observed": True,
        "cluster_id": "cluster-1",
        "state": "STABLE",
        "protocol": "CLASSIC",
        "members": 1,
        "clients": [{"client_id": "client-0", "host": "10.0.0.0", "partitions": 1}],
        "lag": {
            "records": 5,
            "trend": "steady",
            "status": "OK",
            "judged": False,
            "partitions_behind": 0,
            "behind": [],
        },
    }


def test_offsets_that_move_are_no_news_and_are_told_with_the_next_repeat() -> None:
    cluster = busy()
    found = discoverer(cluster)
    said = looked(found, NOW_MS).events
    for at in range(1, 2 * REPEAT_MS // INTERVAL_MS):
        cluster.groups = [group(orders_0=5 + at)]
        cluster.end(orders_0=10 + at)
        said += looked(found, NOW_MS + at * INTERVAL_MS).events
    assert len(said) in (2, 3)  # the first, and one at the beginning of each slot
    first, second = said[:2]
    measure = second.inputs[0].measures[0]
    assert (measure.first_offset, measure.last_offset) == (5, second.inputs[0].measures[0].last_offset)
    assert measure.last_offset > first.inputs[0].measures[0].last_offset
    assert len({event.event_id for event in said}) == len(said)


def test_a_group_that_reads_nothing_new_has_no_first_offset() -> None:
    found = discoverer(busy())
    looked(found, NOW_MS)
    (event,) = looked(found, NOW_MS + REPEAT_MS).events
    assert event.inputs[0].measures == (Measure(partition=0, last_offset=4, lag=5),)


def test_what_changed_is_said_at_once() -> None:
    cluster = busy()
    found = discoverer(cluster)
    looked(found, NOW_MS)
    assert looked(found, NOW_MS + 1).events == []
    cluster.topics["users"] = 1
    cluster.groups = [group(members=2, reads=[("orders", 0), ("users", 0)], orders_0=5)]
    (event,) = looked(found, NOW_MS + 2).events
    assert [use.name for use in event.inputs] == ["orders", "users"]
    assert facet(event)["members"] == 2


def test_two_who_look_and_one_who_begins_anew_say_the_same_event() -> None:
    cluster = busy()
    first, second = discoverer(cluster), discoverer(cluster)
    ids = {event.event_id for found in (first, second) for event in looked(found, SLOT_MS).events}
    cluster.groups = [group(orders_0=7)]
    again = looked(discoverer(cluster), SLOT_MS + 2 * INTERVAL_MS).events
    assert ids == {event.event_id for event in again}


def test_what_did_not_arrive_is_said_again_under_the_same_id() -> None:
    cluster = busy()
    found = discoverer(cluster)
    lost = found.look(SLOT_MS).events
    cluster.groups = [group(orders_0=8)]
    told = looked(found, SLOT_MS + INTERVAL_MS).events
    assert [event.event_id for event in lost] == [event.event_id for event in told]
    assert told[0].inputs[0].measures[0].first_offset == -1  # nothing was told before


def test_a_group_that_comes_back_to_what_was_said_is_another_event() -> None:
    cluster = busy()
    found = discoverer(cluster)
    said = looked(found, SLOT_MS).events
    cluster.groups = [group(members=2, orders_0=5)]
    said += looked(found, SLOT_MS + INTERVAL_MS).events
    cluster.groups = [group(orders_0=5)]
    said += looked(found, SLOT_MS + 2 * INTERVAL_MS).events
    assert len({event.event_id for event in said}) == 3


def test_a_group_that_ends_is_said_once_and_without_topics() -> None:
    cluster = busy()
    found = discoverer(cluster)
    looked(found, NOW_MS)
    cluster.groups = [group(members=0, orders_0=5)]
    (event,) = looked(found, NOW_MS + INTERVAL_MS).events
    assert (event.inputs, facet(event)["state"]) == ((), "EMPTY")
    assert looked(found, NOW_MS + 10 * REPEAT_MS).events == []


def test_a_group_that_stopped_on_a_busy_topic_is_said_to_have() -> None:
    cluster = busy()
    found = discoverer(cluster)
    looked(found, NOW_MS)
    cluster.groups = [group(members=0, orders_0=5)]
    said = []
    for at in range(1, 3 * WINDOW):
        cluster.end(orders_0=10 + at)
        look = looked(found, NOW_MS + at * INTERVAL_MS)
        said += look.sayings
    assert [(one.before, one.observation.status) for one in said] == [
        (Status.OK, Status.OK),
        (Status.OK, Status.STOP),
    ]
    (event,) = said[-1].events
    assert event.inputs == ()
    lag = facet(event)["lag"]
    assert isinstance(lag, dict)
    assert (lag["status"], lag["trend"], lag["judged"]) == ("STOP", "growing", True)
    assert [(one["topic"], one["partition"], one["status"]) for one in lag["behind"]] == [("orders", 0, "STOP")]
    assert look.statuses == {"STOP": 1}


def test_a_group_that_was_never_active_is_not_spoken_of_and_has_its_row() -> None:
    cluster = Cluster(groups=[group(members=0, orders_0=5)])
    cluster.end(orders_0=10)
    found = discoverer(cluster)
    for at in range(2 * WINDOW):
        look = looked(found, NOW_MS + at * INTERVAL_MS)
        assert look.events == []
    assert [(row.group, row.lag, row.orphan) for row in found.groups(look)] == [("loader", 5, ("empty",))]


def test_a_reader_without_membership_is_active_while_its_commits_move() -> None:
    cluster = Cluster(groups=[group(members=0, orders_0=5)])
    cluster.end(orders_0=10)
    found = discoverer(cluster)
    assert looked(found, NOW_MS).events == []
    cluster.groups = [group(members=0, orders_0=6)]
    (event,) = looked(found, NOW_MS + INTERVAL_MS).events
    assert [use.name for use in event.inputs] == ["orders"]
    ended = [event for at in range(2, 9) for event in looked(found, NOW_MS + at * INTERVAL_MS).events]
    assert ended[-1].inputs == ()


def test_a_rebalance_takes_no_topic_from_a_group() -> None:
    cluster = busy()
    found = discoverer(cluster)
    looked(found, NOW_MS)
    cluster.groups = [group(reads=(), state="PREPARING_REBALANCING", orders_0=5)]
    (event,) = looked(found, NOW_MS + INTERVAL_MS).events
    assert [use.name for use in event.inputs] == ["orders"]
    cluster.groups = [group(reads=(), state="COMPLETING_REBALANCING", orders_0=5)]
    assert looked(found, NOW_MS + INTERVAL_MS + 1).events == []


def test_a_topic_that_members_read_no_more_is_neither_told_nor_judged() -> None:
    cluster = Cluster({"orders": 1, "old": 1}, [group(orders_0=5, old_0=1)])
    cluster.end(orders_0=10, old_0=10)
    found = discoverer(cluster)
    for at in range(3 * WINDOW):
        cluster.groups = [group(orders_0=10 + at, old_0=1)]
        cluster.end(orders_0=10 + at, old_0=10 + at)
        look = looked(found, NOW_MS + at * INTERVAL_MS)
        assert {use.name for event in look.events for use in event.inputs} <= {"orders"}
    assert look.statuses == {"OK": 1}


def test_a_group_is_gone_only_when_its_coordinator_says_so() -> None:
    cluster = busy()
    found = discoverer(cluster)
    looked(found, SLOT_MS)
    cluster.groups, cluster.silent = [], {"loader"}  # a broker that has just begun lists only what it has loaded
    assert looked(found, SLOT_MS + 1).events == []
    assert cluster.known == ["loader"]
    cluster.silent, cluster.gone = set(), {"loader"}
    (event,) = looked(found, SLOT_MS + 3).events
    assert (facet(event)["state"], event.inputs) == ("DEAD", ())
    cluster.gone = set()
    assert looked(found, SLOT_MS + 4).events == []
    assert cluster.known == []
    cluster.groups = [group(orders_0=5)]
    (back,) = looked(found, SLOT_MS + 5).events
    assert [use.name for use in back.inputs] == ["orders"]


def test_groups_that_are_gone_are_forgotten() -> None:
    cluster = busy()
    cluster.groups.append(group("empty", members=0))
    found = discoverer(cluster)
    looked(found, NOW_MS)
    cluster.groups, cluster.gone = [], {"loader", "empty"}
    for at in range(1, 4):
        looked(found, NOW_MS + at * REPEAT_MS)
    assert found._groups == {}


def test_an_end_that_was_not_told_is_no_look() -> None:
    cluster = busy()
    found = discoverer(cluster)
    for at in range(3 * WINDOW):
        cluster.end(orders_0=10 + at)
        if at % 2:
            del cluster.ends["orders", 0]
        look = looked(found, NOW_MS + at * INTERVAL_MS)
    assert look.lags == {"loader": 10 + 3 * WINDOW - 2 - 5}


def test_a_topic_that_is_deleted_ends_its_windows() -> None:
    cluster = busy()
    found = discoverer(cluster)
    for at in range(2 * WINDOW):
        cluster.end(orders_0=10 + at)
        look = looked(found, NOW_MS + at * INTERVAL_MS)
    assert look.statuses == {"STALL": 1}
    cluster.topics, cluster.ends = {}, {}
    assert looked(found, NOW_MS + 3 * WINDOW * INTERVAL_MS).statuses == {"OK": 1}


def test_a_group_of_very_many_topics_is_several_events() -> None:
    names = [f"t{at}" for at in range(1_000)]
    cluster = Cluster(dict.fromkeys(names, 1), [group(reads=[(name, 0) for name in names])])
    events = looked(discoverer(cluster), NOW_MS).events
    assert [len(event.inputs) for event in events] == [900, 100]
    assert len({event.event_id for event in events}) == 2


def test_groups_do_not_all_speak_in_the_same_second() -> None:
    cluster = Cluster(groups=[group(f"group-{at}", orders_0=5) for at in range(100)])
    cluster.end(orders_0=10)
    found = discoverer(cluster)
    looked(found, NOW_MS)
    later = [len(looked(found, NOW_MS + at * INTERVAL_MS).events) for at in range(1, 11)]
    assert sum(later) == 100
    assert max(later) < 40


def test_secrets_in_the_names_of_clients_stay() -> None:
    cluster = busy()
    (member,) = cluster.groups[0].members
    named = dataclasses.replace(member, client_id="app password=hunter2 " + "x" * 1_000)
    cluster.groups = [dataclasses.replace(cluster.groups[0], members=(named,))]
    (event,) = looked(discoverer(cluster), NOW_MS).events
    assert b"hunter2" not in (event.facets or b"")
    assert len(event.facets or b"") < 1_000


def test_what_is_kafkas_or_headwaters_own_is_left_out_unless_it_is_named() -> None:
    settings = Settings(domain="shop", topic_prefix="lineage.")
    topics, groups = topics_of(settings), groups_of(settings)
    assert [name for name in ("orders", "__consumer_offsets", "lineage.events") if name in topics] == ["orders"]
    own = ("headwater", "headwater-shop", "headwater-shop-cdc", "headwater-bridge")
    assert not [name for name in own if name in groups]
    assert "headwaters" in groups
    named = Settings(discover=DiscoverSettings(topics=("lineage.events",), groups=("headwater-bridge",)))
    assert "lineage.events" in topics_of(named)
    assert "headwater-bridge" in groups_of(named)
    assert "orders" not in topics_of(named)


def test_patterns_choose_and_leave_out() -> None:
    told = DiscoverSettings(topics=("shop.*", "bank.?"), exclude_topics=("*.tmp",))
    topics = topics_of(Settings(discover=told))
    asked = ("shop.orders", "shop.x.tmp", "bank.a", "bank.ab", "lineage.events")
    assert [name for name in asked if name in topics] == ["shop.orders", "bank.a"]
    assert topics_of(Settings(discover=DiscoverSettings(topics=("b", "shop.*", "a")))).written_out == ["a", "b"]


def test_a_cluster_has_its_canonical_name() -> None:
    assert namespace_of("B:9092,a", "") == "kafka://a:9092,b:9092"
    assert namespace_of("b:9092", "kafka://Prod:9092") == namespace_of("x", "prod")
