"""The services themselves: they are real, and they come back with their data after kill -9."""

from __future__ import annotations

import redis
from confluent_kafka import Consumer, Producer
from tests.support.outages import BACK_SOON
from tests.support.services import KafkaServer, KafkaService, RedisServer


def test_kafka_takes_a_record_and_gives_it_back(kafka: KafkaService) -> None:
    topic = kafka.create_topic(kafka.unique("services"), partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(topic, b"value", partition=1)
    assert producer.flush(20) == 0
    settings = {"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"}
    with Consumer(settings) as consumer:
        consumer.subscribe([topic])
        message = consumer.poll(30)
    assert message is not None
    assert (message.value(), message.partition()) == (b"value", 1)


def test_the_redis_of_a_test_is_empty_and_never_evicts(redis_client: redis.Redis) -> None:
    assert redis_client.dbsize() == 0
    assert redis_client.info("memory")["maxmemory_policy"] == "noeviction"


def test_a_killed_kafka_comes_back_on_the_same_port_with_its_topics() -> None:
    with KafkaServer(BACK_SOON) as server:
        service = KafkaService(server.bootstrap_servers, "own")
        topic = service.create_topic("kept")
        server.kill()
        server.start()
        assert topic in service.admin.list_topics(timeout=30).topics


def test_a_killed_redis_with_appendonly_comes_back_with_its_keys() -> None:
    with RedisServer(appendonly=True) as server:
        with server.client() as client:
            client.set("a", b"1")
        server.kill()
        server.start()
        with server.client() as client:
            assert client.get("a") == b"1"
