from __future__ import annotations

from headwater_schemas.schema import AVRO_DIR
from headwater_schemas.topics import TOPICS, catalogue


def test_every_topic_takes_the_prefix() -> None:
    assert TOPICS["events"].name == "lineage.events"
    assert {topic.name for topic in catalogue("team.a.").values()} == {f"team.a.{role}" for role in TOPICS}


def test_every_schema_of_the_catalogue_is_a_file() -> None:
    named = {topic.schema for topic in TOPICS.values() if topic.schema}
    # Decisions share the topic of policies.
    assert named | {"decision.v1"} == {path.stem for path in AVRO_DIR.glob("*.avsc")}


def test_events_are_stamped_by_the_broker_and_images_are_compacted_only() -> None:
    assert TOPICS["events"].config["message.timestamp.type"] == "LogAppendTime"
    for role in ("deltas", "alerts", "schemas", "policies"):
        assert TOPICS[role].config["cleanup.policy"] == "compact"


def test_a_dead_letter_has_room_for_the_largest_event_and_its_headers() -> None:
    events, dead = (int(TOPICS[role].config["max.message.bytes"]) for role in ("events", "deadletter"))
    assert dead - events >= 64 * 1024
