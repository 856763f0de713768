"""`headwater tail`: what is on the topics that Headwater writes, for people or as JSON lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Final

import click
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from headwater.cli.context import invocation
from headwater.cli.output import emit_json_line, note
from headwater.cli.printing import printable
from headwater.cli.records import ROLES, as_document, as_line
from headwater.errors import BrokerUnavailable
from headwater.runtime.errors import RefusedError, UsageError
from headwater.runtime.kafka import client_config, list_topics, translate
from headwater.runtime.models import KafkaSettings
from headwater.transports.kafka import to_read
from headwater_schemas.topics import catalogue

_TIMEOUT_S: Final = 10.0
_SILENT_S: Final = 20.0
"""Without --follow: how long a broker may say nothing before the end of the topic is reached."""

_PAUSE_S: Final = 0.1
_NO_GROUP: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
"""librdkafka asks for the coordinator of the group that it must be given, though nothing joins it: readers need no right to it."""
_PASSING: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
"""What a broker says of a topic that is being created, or while another one takes over."""

_EPILOG: Final = """\b
Examples:
  headwater tail alerts                               new ones, as they come
  headwater tail alerts --from beginning              and those that are there
  headwater tail deltas --from beginning --no-follow --output json | jq -r .namespace
  headwater tail deadletter --from -10 --no-follow
  headwater tail late --max 1

\b
Exit codes: 0 done, 2 wrong usage or settings, 3 Kafka cannot be reached, 4 the topic does not exist, 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.argument("topic", type=click.Choice(ROLES))
@click.option("--from", "start", default="end", show_default=True, metavar="beginning|end|-N", help="Where to begin.")
@click.option("--max", "most", type=click.IntRange(1), help="Stop after so many records.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for more, or stop at the end.")
@click.pass_context
def tail(context: click.Context, topic: str, start: str, most: int | None, follow: bool) -> None:
    """Print the records of a topic: one a line, or one JSON document a line with --output json."""
    last = _last_of(start)
    settings = invocation(context).settings()
    name = catalogue(settings.topic_prefix)[topic].name
    wants_json = invocation(context).wants_json
    printed = 0
    if follow and start == "end":
        note(context, f"waiting for new records of {name}; --from beginning shows what is there, Ctrl-C ends it")
    try:
        for message in _records(settings.kafka, name, start, last, follow):
            if wants_json:
                emit_json_line(as_document(topic, message))
            else:
                sys.stdout.write(f"{printable(as_line(topic, message))}\n")
                sys.stdout.flush()
            printed += 1
            if printed == most:
                return
        if not printed:
            note(context, f"{name} holds no records" if start != "end" else f"{name}: the end is reached at once")
    except KafkaException as error:
        raise translate(error, settings.kafka.bootstrap_servers, to_read(name)) from error


def _last_of(start: str) -> int:
    """How many of the last records are wanted; 0 where it is not by number."""
    if start in {"beginning", "end"}:
        return 0
    if start.startswith("-") and start[1:].isascii() and start[1:].isdigit() and int(start[1:]):
        return int(start[1:])
    raise UsageError(f"--from {start!r} is no place to begin", remedy="use beginning, end, or -10 for the last ten")


def _records(kafka: KafkaSettings, name: str, start: str, last: int, follow: bool) -> Iterator[Message]:
    config = _config(kafka)
    consumer = Consumer(config)
    try:
        partitions = _partitions(consumer, config, kafka, name)
        if last:
            begin = [_before_end(consumer, name, partition, last) for partition in partitions]
        else:
            offset = OFFSET_BEGINNING if start == "beginning" else OFFSET_END
            begin = [TopicPartition(name, partition, offset) for partition in partitions]
        consumer.assign(begin)
        records = _followed(consumer) if follow and not last else _until_end(consumer, kafka, len(partitions))
        yield from _newest(records, last) if last else records
        if follow and last:
            yield from _followed(consumer)
    finally:
        consumer.close()


def _config(kafka: KafkaSettings) -> dict[str, object]:
    # A group must be named, though nothing joins it or commits to it.
    reading = {"group.id": "headwater-tail", "enable.auto.commit": False, "enable.partition.eof": True}
    return {**client_config(kafka), **reading, "auto.offset.reset": "earliest"}


def _partitions(consumer: Consumer, config: dict[str, object], kafka: KafkaSettings, name: str) -> list[int]:
    found = list_topics(consumer, config, name, timeout_s=_TIMEOUT_S).topics[name]
    if found.error is not None:
        if found.error.code() in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
            raise RefusedError(
                f"Kafka at {kafka.bootstrap_servers} has no topic {name}", remedy="headwater topics create"
            )
        raise translate(found.error, kafka.bootstrap_servers, to_read(name))
    return sorted(found.partitions)


def _before_end(consumer: Consumer, name: str, partition: int, last: int) -> TopicPartition:
    give_up_s = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=_TIMEOUT_S)
            return TopicPartition(name, partition, max(low, high - last))
        except KafkaException as error:
            if error.args[0].code() not in _PASSING or time.monotonic() > give_up_s:
                raise
            time.sleep(_PAUSE_S)


def _newest(records: Iterator[Message], last: int) -> list[Message]:
    return sorted(records, key=lambda message: message.timestamp()[1])[-last:]


def _followed(consumer: Consumer) -> Iterator[Message]:
    while True:
        message = consumer.poll(1.0)
        if message is not None and _good(message):
            yield message


def _until_end(consumer: Consumer, kafka: KafkaSettings, partitions: int) -> Iterator[Message]:
    ended: set[int | None] = set()
    heard_s = time.monotonic()
    while len(ended) < partitions:
        message = consumer.poll(0.5)
        if message is None:
            if time.monotonic() - heard_s > _SILENT_S:
                raise BrokerUnavailable(
                    f"Kafka at {kafka.bootstrap_servers} says nothing", remedy="look at its brokers"
                )
            continue
        heard_s = time.monotonic()
        if _good(message):
            yield message
        elif _at_end(message):
            ended.add(message.partition())


def _good(message: Message) -> bool:
    """Whether it is a record; False at the end of a partition and for what passes by itself."""
    error = message.error()
    if error is None:
        return True
    if _at_end(message) or error.retriable() or error.code() in _PASSING or error.code() == _NO_GROUP:
        return False
    raise KafkaException(error)


def _at_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF
