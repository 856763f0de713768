"""A flood of equal events at the gateway: what is answered, when, and what of it goes to Kafka."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from confluent_kafka import KafkaError
from tests.support.doors import Reply, call
from tests.support.doors import debezium_event as document
from tests.support.processes import free_port

from headwater.doors.floods import Floods
from headwater.gateway.access import Access
from headwater.gateway.application import BATCH, Gateway
from headwater.gateway.durable import Done, Durable, gateway_producer
from headwater.gateway.flooding import FloodGate
from headwater.openlineage.records import Record
from headwater.runtime.kafka import producer_config
from headwater.runtime.models import KafkaSettings

AWAY = KafkaError(KafkaError._MSG_TIMED_OUT)


class Held(Durable):
    """A way to Kafka that is opened and closed by the test."""

    def __init__(self) -> None:
        kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}")
        super().__init__(
            gateway_producer(producer_config(kafka), answer_ms=300, pending_bytes=1 << 20),
            "events",
            pending_bytes=1 << 20,
        )
        self.sent: list[Record] = []
        self.waiting: list[Done] = []

    def send(self, record: Record, done: Done) -> None:
        self.sent.append(record)
        self.waiting.append(done)

    def release(self, error: KafkaError | None = None) -> None:
        """Tell what became of everything that was sent."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(error)


def asked(ask: Callable[[Gateway, Held], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        durable = Held()
        return await ask(Gateway(durable, access=Access()), durable)

    return asyncio.run(main())


def equal(second: int) -> bytes:
    return json.dumps(document(inputs=[("kafka://b:9092", "orders")], at=f"2026-03-01T12:00:{second:02}Z")).encode()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_nobody_is_answered_before_the_first_of_them_is_durable() -> None:
    async def ask(gateway: Gateway, durable: Held) -> None:
        posts = [asyncio.ensure_future(call(gateway, equal(second))) for second in range(10)]
        await turns()
        assert len(durable.sent) == 1
        assert not any(post.done() for post in posts)
        durable.release()
        replies: list[Reply] = await asyncio.gather(*posts)
        assert {reply.status for reply in replies} == {200}
        # Each answer names the event that is in Kafka.
        assert len({reply.headers["headwater-event-id"] for reply in replies}) == 1
        assert gateway.stats.events == {"acknowledged": 1, "coalesced": 9}

    asked(ask)


def test_when_the_first_does_not_arrive_the_next_is_tried() -> None:
    async def ask(gateway: Gateway, durable: Held) -> None:
        posts = [asyncio.ensure_future(call(gateway, equal(second))) for second in range(3)]
        await turns()
        durable.release(AWAY)
        await turns()
        assert len(durable.sent) == 2
        durable.release()
        replies = await asyncio.gather(*posts)
        assert sorted(reply.status for reply in replies) == [200, 200, 503]

    asked(ask)


def test_a_batch_is_one_event_and_what_is_not_durable_is_named() -> None:
    async def ask(gateway: Gateway, durable: Held) -> None:
        body = b"[" + b",".join(equal(second) for second in range(50)) + b"]"
        post = asyncio.ensure_future(call(gateway, body, path=BATCH))
        await turns()
        assert len(durable.sent) == 1
        durable.release(AWAY)
        assert (await post).status == 503  # all of it, later
        assert gateway.stats.events["failed"] == 50
        again = asyncio.ensure_future(call(gateway, body, path=BATCH))
        await turns()
        durable.release()
        assert (await again).status == 204
        assert gateway.stats.events["coalesced"] == 49

    asked(ask)


def test_a_batch_waits_for_the_first_that_another_request_brought() -> None:
    async def ask(gateway: Gateway, durable: Held) -> None:
        single = asyncio.ensure_future(call(gateway, equal(0)))
        await turns()
        batch = asyncio.ensure_future(call(gateway, b"[" + equal(1) + b"," + equal(2) + b"]", path=BATCH))
        await turns()
        assert not batch.done()
        durable.release(AWAY)
        replies = await asyncio.gather(single, batch)
        assert [reply.status for reply in replies] == [503, 503]
        assert len(durable.sent) == 1

    asked(ask)


def test_a_heartbeat_goes_out_when_it_is_due_and_again_until_it_arrives() -> None:
    now_s = 0.0

    async def ask(gateway: Gateway, durable: Held) -> None:
        nonlocal now_s
        gateway.flood = FloodGate(Floods[Record](), lambda: now_s)
        first = asyncio.ensure_future(call(gateway, equal(0)))
        await turns()
        durable.release()
        await first
        assert (await call(gateway, equal(7))).status == 200
        await gateway.beat()
        assert len(durable.sent) == 1
        now_s = 61.0
        for error in (AWAY, None):
            beat = asyncio.ensure_future(gateway.beat())
            await turns()
            durable.release(error)
            await beat
        assert [record.time_us % 60_000_000 for record in durable.sent] == [0, 7_000_000, 7_000_000]
        assert gateway.stats.events["heartbeat"] == 1
        await gateway.beat(last=True)
        assert len(durable.sent) == 3

    asked(ask)


def test_the_end_pays_what_is_owed() -> None:
    async def ask(gateway: Gateway, durable: Held) -> None:
        first = asyncio.ensure_future(call(gateway, equal(0)))
        await turns()
        durable.release()
        await first
        await call(gateway, equal(3))
        beat = asyncio.ensure_future(gateway.beat(last=True))
        await turns()
        durable.release()
        await beat
        assert [record.time_us % 60_000_000 for record in durable.sent] == [0, 3_000_000]

    asked(ask)
