"""Functions of serverless platforms as runs: the same call tried again is the same run, and the handler behaves as it did."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headwater
from headwater import Emitter, LineageEvent, Name
from headwater.errors import ConfigError
from headwater.functions.platforms import call_of
from headwater.functions.triggers import Input, deliveries, inputs_of
from headwater.testing import MemoryTransport
from headwater_schemas.events import Runtime

S3_RECORD = {
    "eventSource": "aws:s3",
    "s3": {
        "bucket": {"name": "in"},
        "object": {"key": "orders/2026+11/a%3D1.csv", "size": 512, "versionId": "v7", "eTag": "e1"},
    },
}
S3 = {"Records": [S3_RECORD]}
S3_INPUT = Input("s3://in", "orders/2026 11/a=1.csv", "s3://in/orders/2026 11/a=1.csv#v7", bytes=512)
ENVIRON = {"AWS_LAMBDA_FUNCTION_NAME": "load-orders", "AWS_LAMBDA_FUNCTION_VERSION": "41"}
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def sqs(body: object, received: int = 1) -> dict[str, Any]:
    record = {
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123:orders",
        "attributes": {"ApproximateReceiveCount": str(received)},
        "body": json.dumps(body),
    }
    return {"Records": [record]}


def aws_context(request: str = "req-1", left_ms: int = 30_000) -> SimpleNamespace:
    return SimpleNamespace(aws_request_id=request, get_remaining_time_in_millis=lambda: left_ms)


class Heard:
    def __init__(self) -> None:
        self.transport = MemoryTransport()
        runtime = Runtime(function="load-orders", function_version="41")
        self.emitter = Emitter(self.transport, runtime=runtime)

    def events(self) -> list[LineageEvent]:
        return self.transport.events  # not flushed here: the decorator has to have done it


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    heard = Heard()
    yield heard
    heard.emitter.close()


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (S3, [S3_INPUT]),
        (sqs(S3), [S3_INPUT]),
        (sqs({"Type": "Notification", "Message": json.dumps(S3)}), [S3_INPUT]),
        ({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(S3)}}]}, [S3_INPUT]),
        (
            {
                "detail-type": "Object Created",
                "source": "aws.s3",
                "detail": {"bucket": {"name": "in"}, "object": {"key": "a b", "etag": "e"}},
            },
            [Input("s3://in", "a b", "s3://in/a b#e")],
        ),
        (sqs({"order": 7}), [Input("arn:aws:sqs:eu-west-1:123", "orders")]),
        (
            {
                "Records": [
                    {"eventSource": "aws:kinesis", "eventSourceARN": "arn:aws:kinesis:eu-west-1:123:stream/clicks"}
                ]
            },
            [Input("arn:aws:kinesis:eu-west-1:123", "clicks")],
        ),
        (
            {
                "eventSource": "aws:kafka",
                "bootstrapServers": "b:9092",
                "records": {
                    "t-1": [{"topic": "t", "partition": 1, "offset": 7}, {"topic": "t", "partition": 1, "offset": 9}]
                },
            },
            [Input("kafka://b:9092", "t", bytes=0, rows=2, partition=1, first_offset=7, last_offset=9)],
        ),
        (
            {
                "specversion": "1.0",
                "id": "1",
                "type": "google.cloud.storage.object.v1.finalized",
                "source": "//storage",
                "dataschema": "s/3",
                "data": {"bucket": "in", "name": "a/b", "generation": "12", "size": "90"},
            },
            [Input("gs://in", "a/b", "gs://in/a/b#12", "s/3", 90)],
        ),
        ({"bucket": "in", "name": "a/b", "etag": "e"}, [Input("gs://in", "a/b", "gs://in/a/b#e")]),
        (
            SimpleNamespace(
                uri="https://acme.blob.core.windows.net/in/a/b.csv?sig=secret",
                name="in/a/b.csv",
                length=5,
                blob_properties={"ETag": '"0x8D"'},
            ),
            [
                Input(
                    "abfss://in@acme.dfs.core.windows.net",
                    "a/b.csv",
                    "https://acme.blob.core.windows.net/in/a/b.csv#0x8D",
                    bytes=5,
                )
            ],
        ),
        (
            [
                {
                    "eventType": "Microsoft.Storage.BlobCreated",
                    "data": {"url": "https://acme.blob.core.windows.net/in/a.csv", "eTag": "0x1", "contentLength": 9},
                }
            ],
            [
                Input(
                    "abfss://in@acme.dfs.core.windows.net",
                    "a.csv",
                    "https://acme.blob.core.windows.net/in/a.csv#0x1",
                    bytes=9,
                )
            ],
        ),
        (
            {"specversion": "1.0", "id": "1", "type": "com.acme.order", "source": "/shop/orders"},
            [Input("/shop/orders", "com.acme.order")],
        ),
        ({"httpMethod": "GET"}, []),
        (None, []),
    ],
)
def test_the_trigger_names_what_is_read(event: Any, found: list[Input]) -> None:
    assert inputs_of(event) == found


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Records",
                    "eventSource",
                    "s3",
                    "bucket",
                    "object",
                    "key",
                    "body",
                    "records",
                    "specversion",
                    "id",
                    "data",
                    "type",
                    "source",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(_JSON)
def test_whatever_a_function_is_called_with_raises_nothing(event: Any) -> None:
    assert isinstance(inputs_of(event), list)
    assert deliveries(event) >= 0
    call_of((event, object()), {}, {})


def test_a_call_is_a_run_with_file_version_trace_and_what_was_found_out(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", TRACE)

    @headwater.function(emitter=heard.emitter, writes=[("snowflake://acme", "raw.orders")])
    def handler(event: Any, context: Any) -> str:
        headwater.current_run().writes("snowflake://acme", "raw.orders", rows=90)
        return "done"

    assert handler(sqs(S3, received=3), aws_context()) == "done"
    start, complete = heard.events()  # both are out before the platform freezes the process
    assert [start.event_type.value, complete.event_type.value] == ["START", "COMPLETE"]
    assert complete.job == Name("default", "load-orders")
    assert [(use.namespace, use.name) for use in complete.inputs] == [("s3://in", "orders/2026 11")]
    assert complete.file_ids == ("s3://in/orders/2026 11/a=1.csv#v7",)
    assert complete.outputs[0].measures[0].rows == 90
    assert complete.trace_id == bytes.fromhex("5759e988bd862e3fe1be46a994272793")
    assert complete.span_id == bytes.fromhex("53995c3f42cd8ad8")
    facts = json.loads(complete.facets or b"")["run"]["headwater_function"]
    assert (facts["platform"], facts["call"], facts["retries"]) == ("aws", "req-1", 2)


def test_only_the_first_call_of_a_process_is_a_cold_start(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.functions.decorator._Process.cold", True)

    @headwater.function(emitter=heard.emitter)
    def handler(event: Any, context: Any) -> None: ...

    handler(S3, aws_context("a"))
    handler(S3, aws_context("b"))
    cold = [json.loads(event.facets or b"")["run"]["headwater_function"]["coldStart"] for event in heard.events()]
    assert cold == [True, True, False, False]


def test_a_call_that_is_tried_again_is_the_same_run_and_says_the_same_events(heard: Heard) -> None:
    fails = True

    @headwater.function(emitter=heard.emitter)
    def handler(event: Any, context: Any) -> None:
        if fails:
            raise OSError("no such bucket")

    with pytest.raises(OSError, match="no such bucket"):
        handler(S3, aws_context())
    fails = False
    handler(S3, aws_context())
    handler(S3, aws_context())
    handler(S3, aws_context("another"))
    first = [event for event in heard.events() if event.run_id == heard.events()[0].run_id]
    assert [event.event_type.value for event in first] == ["START", "FAIL", "START", "COMPLETE", "START", "COMPLETE"]
    assert len({event.event_id for event in first}) == 3  # START, FAIL and COMPLETE count once each
    assert len(heard.events()) == 8


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (({}, aws_context()), ("aws", "req-1", 0)),
        (
            (SimpleNamespace(invocation_id="i-1", function_name="load", retry_context=SimpleNamespace(retry_count=2)),),
            ("azure", "i-1", 2),
        ),
        (({"specversion": "1.0", "id": "7", "source": "/s", "type": "t"},), ("aws", "/s 7", 0)),
        (({}, SimpleNamespace(event_id="e-1")), ("gcp", "e-1", 0)),
        (
            (SimpleNamespace(headers={"X-CloudTasks-TaskName": "t-1", "X-CloudTasks-TaskRetryCount": "4"}),),
            ("aws", "t-1", 4),
        ),
        (("text",), ("aws", "", 0)),
    ],
)
def test_the_platforms_id_and_retries_are_found(arguments: tuple[Any, ...], call: tuple[str, str, int]) -> None:
    found = call_of(arguments, {}, ENVIRON)
    assert (found.platform, found.id, found.retries) == call


def test_a_trace_header_that_is_none_is_ignored(heard: Heard) -> None:
    @headwater.function(emitter=heard.emitter)
    def handler(event: Any) -> None: ...

    handler({"specversion": "1.0", "id": "7", "source": "/s", "type": "t", "traceparent": "hello"})
    assert heard.events()[-1].trace_id is None


def test_an_async_handler_is_awaited(heard: Heard) -> None:
    @headwater.function(emitter=heard.emitter, files="object")
    async def handler(event: Any) -> int:
        await asyncio.sleep(0)
        return 7

    assert asyncio.run(handler(S3)) == 7
    assert [use.name for use in heard.events()[-1].inputs] == ["orders/2026 11/a=1.csv"]


def test_the_end_of_a_call_waits_for_no_longer_than_the_platform_leaves() -> None:
    class Stuck(MemoryTransport):
        def send(self, batch: Any, settle: Any) -> int:
            return 0  # takes nothing, as a broker that is away

    emitter = Emitter(Stuck(), runtime=Runtime(function="f"))
    waited: list[float] = []

    def rescue(timeout_s: float) -> int:
        waited.append(timeout_s)
        return 2

    emitter.rescue = rescue  # type: ignore[method-assign]  # what it is asked is what matters here

    @headwater.function(emitter=emitter, flush_s=5)
    def handler(event: Any, context: Any) -> None: ...

    handler(S3, aws_context(left_ms=1_100))
    handler(S3, aws_context(left_ms=50))
    assert waited == [pytest.approx(1.0)]
    emitter.close(timeout_s=0.1)


def test_where_lineage_is_off_the_handler_is_called_and_that_is_all() -> None:
    @headwater.function(emitter=Emitter(None))
    def handler(event: Any) -> str:
        headwater.current_run().writes("s3://lake", "x")
        return "done"

    assert handler(S3) == "done"


def test_what_is_wrong_is_said_when_the_module_is_loaded() -> None:
    with pytest.raises(ConfigError, match="files='each'"):
        headwater.function(files="each")
    with pytest.raises(ConfigError, match="writes holds"):
        headwater.function(writes=["s3://lake"])  # type: ignore[list-item]  # the mistake
