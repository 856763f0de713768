"""Which names a shell offers for the beginning of one."""

from __future__ import annotations

from headwater_processor.local.completing import suggestions
from headwater_schemas.events import Name

ORDERS, OTHER = Name("kafka://a:9092", "orders"), Name("kafka://b:9092", "orders")
MART = Name("s3://lake", "marts/orders")


def test_a_name_alone_is_offered_where_it_is_the_only_one() -> None:
    assert suggestions([MART, ORDERS], "mar") == ["marts/orders"]
    assert suggestions([MART, ORDERS], "or") == ["orders"]
    assert suggestions([MART, ORDERS], "") == ["marts/orders", "orders"]


def test_names_that_exist_twice_are_offered_with_their_namespaces() -> None:
    assert suggestions([ORDERS, OTHER], "or") == []
    assert suggestions([ORDERS, OTHER, ORDERS], "kafka:") == ["kafka://a:9092/orders", "kafka://b:9092/orders"]
    assert suggestions([ORDERS, OTHER], "") == ["kafka://a:9092/orders", "kafka://b:9092/orders"]
