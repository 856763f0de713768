"""Two addresses of one Kafka, from the doors' rules through a worker's calls into a real Redis, to who reads and judges it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis
from tests.support.driving import Said, Worker
from tests.support.flow import DOMAIN, SHARDS, T, said

from headwater.doors.clusters import Cluster, ClusterBook
from headwater.doors.rules import NameRules
from headwater_processor.adapters.shard_store import ShardStore
from headwater_processor.core.policies import compile_policies
from headwater_processor.engine.facts import FactReader
from headwater_processor.engine.names import NameBook
from headwater_processor.state import AmbiguousNameError, StateReader, UnknownDatasetError
from headwater_processor.state.graph import SAME_AS
from headwater_processor.state.values import DatasetState, EdgeState
from headwater_schemas.events import DatasetUse, Name
from headwater_schemas.ids import dataset_key
from headwater_schemas.naming import kafka_cluster_topic

ID = "x2Xk0p7bSTuNpzlXpAg2Qw"
HUB = kafka_cluster_topic(ID, "orders")
INSIDE, OUTSIDE = Name("kafka://broker.kafka.svc:9092", "orders"), Name("kafka://kafka.acme.com:9094", "orders")
TABLE, MART = Name("postgres://db.acme.com:5432", "shop.public.orders"), Name("s3://lake", "orders/daily")
CDC, LOADER = Name("cdc", "shop.0"), Name("jobs", "loader")


def use(name: Name) -> tuple[DatasetUse, ...]:
    return (DatasetUse(name.namespace, name.name),)


def through(address: str, given: Said) -> Said:
    """As a door sends it on that reaches the cluster by this address."""
    book = ClusterBook()
    book.learn(Cluster(ID, frozenset({address})))
    return replace(given, event=NameRules(book=book).apply(given.event))


@pytest.fixture
def joined(worker: Worker) -> StateReader:
    """A connector writes the topic under the name inside of the cluster, a job reads it under the other one."""
    connector = replace(said(1, job=CDC, run=1).event, inputs=use(TABLE), outputs=use(INSIDE))
    loader = replace(said(2, job=LOADER, run=2).event, inputs=use(OUTSIDE), outputs=use(MART))
    worker.apply(0, [through("broker.kafka.svc:9092", Said(connector, T))])
    worker.apply(1, [through("kafka.acme.com:9094", Said(loader, T))])
    return StateReader(worker.client, DOMAIN)


def test_a_trace_goes_through_both_addresses(joined: StateReader) -> None:
    trace = joined.upstream(MART)
    assert {job.name for job in trace.jobs} == {CDC, LOADER}
    assert {dataset.name for dataset in trace.datasets} == {MART, OUTSIDE, INSIDE, TABLE}
    assert [set(group) for group in trace.same_as] == [{INSIDE, OUTSIDE}]
    assert {dataset.name for dataset in joined.downstream(TABLE).datasets} == {TABLE, INSIDE, OUTSIDE, MART}


def test_the_name_of_the_cluster_is_no_dataset_that_hangs_loose(joined: StateReader) -> None:
    assert HUB not in {dataset.name for dataset in joined.datasets(present_only=False)}
    assert HUB not in set(joined.dataset_names())
    items = list(joined.graph(joined.everything()))
    assert HUB not in {item.name for item in items if isinstance(item, DatasetState)}
    same = [item for item in items if isinstance(item, EdgeState) and item.kind == SAME_AS]
    assert [{edge.source, edge.target} for edge in same] == [{INSIDE, OUTSIDE}]


def test_who_asks_for_the_topic_is_asked_for_no_address(joined: StateReader, worker: Worker) -> None:
    assert joined.resolve("orders") == INSIDE
    worker.apply(0, [Said(replace(said(9, run=9).event, inputs=(), outputs=use(Name("s3://lake", "orders"))), T)])
    with pytest.raises(AmbiguousNameError) as several:
        joined.resolve("orders")
    assert several.value.matches == (str(INSIDE), "s3://lake/orders")
    with pytest.raises(UnknownDatasetError) as caught:
        joined.resolve("ordres")
    assert not any(str(HUB) in near for near in caught.value.near)
    assert joined.trace(HUB, "upstream", 3).root == HUB  # who asks for it by its name gets an answer


def test_the_judge_knows_the_topic_under_both_addresses_and_nothing_of_the_hub(joined: StateReader, url: str) -> None:
    store = ShardStore(redis.Redis.from_url(url), DOMAIN, SHARDS)
    book = NameBook(lambda keys: store.many([("HMGET", store.keys("names"), *keys)])[0])
    facts = FactReader(store, book)
    keys = {name: dataset_key(name) for name in (HUB, INSIDE, OUTSIDE)}
    found = facts.datasets(list(keys.values()), compile_policies([], 0))
    assert set(found) == {keys[INSIDE], keys[OUTSIDE]}
    for key in found:
        assert found[key].members == (INSIDE, OUTSIDE)
        assert found[key].first_read_us  # so neither is "written and never read"
        assert found[key].first_written_us
    assert HUB not in {name for name, _ in facts.candidates().suggest(Name("kafka://x:9092", "order"))}


def test_an_address_that_no_door_reached_is_joined_with_nothing(worker: Worker) -> None:
    strange = replace(
        said(3, job=LOADER, run=3).event, inputs=use(Name("kafka://elsewhere:9092", "orders")), outputs=use(MART)
    )
    worker.apply(0, [through("broker.kafka.svc:9092", Said(strange, T))])
    assert StateReader(worker.client, DOMAIN).upstream(MART).same_as == ()
