"""Records on their way from the gateway to Kafka."""

from __future__ import annotations

import asyncio
import gc
import weakref

from confluent_kafka import KafkaError
from tests.support.processes import free_port

from headwater.gateway.durable import Durable, gateway_producer
from headwater.openlineage.records import Record


def test_what_a_record_needed_on_its_way_is_freed_with_its_report() -> None:
    """Cycles would leave each record's memory, and half as much work again, to the garbage collector."""

    async def left_behind() -> object:
        kafka = {"bootstrap.servers": f"127.0.0.1:{free_port()}", "log_level": 0}
        durable = Durable(gateway_producer(kafka, answer_ms=50, pending_bytes=1000), "events", pending_bytes=1000)
        waiting: asyncio.Future[KafkaError | None] = asyncio.get_running_loop().create_future()

        def done(error: KafkaError | None) -> None:
            waiting.set_result(error)

        durable.send(Record(b"key", b"value", ""), done)
        kept = weakref.ref(done)
        del done
        assert await asyncio.wait_for(waiting, 20) is not None, "nobody listens at this address"
        await durable.close(0)
        return kept()

    gc.disable()
    try:
        assert asyncio.run(left_behind()) is None
    finally:
        gc.enable()
