"""What is said of a group is what it is, whatever it does and whichever looks come to nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.support.discovered import INTERVAL_MS, NAMESPACE, NOW_MS, REPEAT_MS, Cluster, group

from headwater.discover.service import Discoverer
from headwater_schemas.events import LineageEvent

TOPICS = ("orders", "users")
STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sets(st.sampled_from(TOPICS)), st.booleans(), st.booleans()),
    min_size=1,
    max_size=30,
)
"""Members, what they hold, whether the look's events arrive, whether the discoverer begins anew after it."""


def discoverer(cluster: Cluster) -> Discoverer:
    return Discoverer(cluster, namespace=NAMESPACE, interval_ms=INTERVAL_MS, repeat_ms=REPEAT_MS, window=50)


def reads_of(event: LineageEvent) -> set[str]:
    return {use.name for use in event.inputs}


@given(STEPS)
def test_the_last_word_that_arrived_is_the_truth(steps: list[tuple[int, set[str], bool, bool]]) -> None:
    cluster = Cluster(dict.fromkeys(TOPICS, 1))
    found = discoverer(cluster)
    arrived: dict[bytes, LineageEvent] = {}
    newest: LineageEvent | None = None
    for at, (members, held, arrives, begins_anew) in enumerate(steps):
        cluster.groups = [group(members=members, reads=[(topic, 0) for topic in sorted(held)])]
        look = found.look(NOW_MS + at * INTERVAL_MS)
        if arrives:
            found.confirm(look)
            for event in look.events:
                # The same id is the same statement: who drops a repetition loses nothing.
                assert reads_of(arrived.setdefault(event.event_id, event)) == reads_of(event)
                newest = event
            reads = held if members else set()
            if reads:
                assert newest is not None
                assert reads_of(newest) == reads
        if begins_anew:
            found = discoverer(cluster)


@given(st.integers(1, 40), st.sets(st.sampled_from(TOPICS), min_size=1))
def test_a_group_of_which_nothing_changes_is_said_once_in_a_slot(looks: int, held: set[str]) -> None:
    cluster = Cluster(dict.fromkeys(TOPICS, 1), [group(reads=[(topic, 0) for topic in sorted(held)])])
    found, said = discoverer(cluster), []
    for at in range(looks):
        look = found.look(NOW_MS + at * INTERVAL_MS)
        found.confirm(look)
        said += look.events
    assert len({event.event_id for event in said}) == len(said)
    slots = -(-looks * INTERVAL_MS // REPEAT_MS)
    assert slots - 1 <= len(said) <= slots + 1
