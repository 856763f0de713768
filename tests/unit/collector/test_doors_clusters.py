"""Which addresses are one Kafka, and what nobody can know."""

from __future__ import annotations

import time

import pytest

from headwater.doors import learning
from headwater.doors.clusters import Cluster, ClusterBook, Clusters, cluster_of
from headwater.doors.learning import learn_in_background
from headwater.kafka.aiokafka import _librdkafkas
from headwater_processor.local.broker import MockCluster

ID = "x2Xk0p7bSTuNpzlXpAg2Qw"


def test_a_cluster_has_its_bootstrap_servers_and_what_its_brokers_advertise() -> None:
    found = cluster_of(ID, [("Broker-1.acme.com", 9092), ("fd00::7", 9093)], "kafka.acme.com")
    assert found == Cluster(ID, frozenset({"kafka.acme.com:9092", "broker-1.acme.com:9092", "[fd00::7]:9093"}))


def test_localhost_is_somebody_elses_unless_who_says_it_is_on_this_machine() -> None:
    asked = (ID, [("127.0.0.1", 9092), ("::1", 9092)], "localhost:9092")
    assert cluster_of(*asked) is None
    found = cluster_of(*asked, loopback=True)
    assert found is not None
    assert "localhost:9092" in found.addresses


@pytest.mark.parametrize("cluster_id", [None, "", "mockCluster7f0f", "MkU3OEVBNTcwNTJENDM2Qk", "not an id", "x/y/z-1"])
def test_an_id_that_is_anybodys_says_nothing(cluster_id: str | None) -> None:
    assert cluster_of(cluster_id, [("b", 9092)], "b:9092") is None


def test_a_namespace_is_a_clusters_if_one_of_its_servers_is() -> None:
    clusters = Clusters().with_added(Cluster(ID, frozenset({"b1:9092", "b2:9092"})))
    assert clusters.of("kafka://b1:9092") == ID
    assert clusters.of("kafka://b2:9092,b9:9092") == ID
    assert clusters.of("kafka://b9:9092") == ""
    assert clusters.of("postgres://b1:9092") == ""


def test_of_an_address_that_two_clusters_claim_nothing_is_said() -> None:
    one, other = (
        Cluster("one-cluster", frozenset({"broker:9092", "a:9092"})),
        Cluster("other-cluster", frozenset({"broker:9092"})),
    )
    clusters = Clusters().with_added(one).with_added(other)
    assert clusters.of("kafka://broker:9092") == ""
    assert clusters.of("kafka://a:9092") == "one-cluster"
    assert clusters.addresses_of("one-cluster") == {"a:9092"}
    assert clusters.addresses_of("") == frozenset()


def test_a_book_changes_its_version_only_with_something_new() -> None:
    book = ClusterBook()
    assert not book.learn(None)
    assert book.learn(Cluster(ID, frozenset({"b:9092"})))
    assert not book.learn(Cluster(ID, frozenset({"b:9092"})))
    assert book.version == 1


def test_nobody_waits_for_a_cluster_that_is_not_there() -> None:
    book, began_s = ClusterBook(), time.monotonic()
    learn_in_background({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "stats_cb": print}, book)
    learn_in_background({"bootstrap.servers": "127.0.0.1:2", "sasl.mechanism": "OAUTHBEARER"}, book)
    learn_in_background({}, book)
    assert time.monotonic() - began_s < 1
    assert book.version == 0


def test_the_embedded_broker_answers_and_says_nothing() -> None:
    broker, book = MockCluster({"orders": 1}), ClusterBook()
    try:
        learning._ask({"bootstrap.servers": broker.bootstrap, "log_level": 0}, book, "kafka://shop:9092")
    finally:
        broker.close()
    assert book.version == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bootstrap_servers": "b:9092"}, {}),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": "u",
                "sasl_plain_password": "p",
            },
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "u",
                "sasl.password": "p",
            },
        ),
        ({"ssl_context": object()}, None),
        ({"sasl_oauth_token_provider": object()}, None),
    ],
)
def test_aiokafkas_settings_lead_to_the_same_cluster_where_librdkafka_can_be_told_them(
    settings: dict[str, object], told: object
) -> None:
    assert _librdkafkas(settings) == told
