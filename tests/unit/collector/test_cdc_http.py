"""Kafka Connect and the Schema Registry over real HTTP: answers, outages, bad answers, secrets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.support import cdc_records as recorded
from tests.support.processes import free_port
from tests.support.schema_registry import registry_server

from headwater.cdc.avro import RowSchema
from headwater.cdc.envelopes import Refused
from headwater.cdc.http import HttpError, RowSchemas, get_json, service_at
from headwater.runtime.errors import UsageError
from headwater.runtime.settings import load


@dataclass(slots=True)
class Answering:
    """A server that gives one answer to everything, and keeps what it was asked with."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    authorizations: list[str] = field(default_factory=list)


@pytest.fixture
def answering() -> Iterator[Answering]:
    state = Answering()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.authorizations.append(self.headers.get("Authorization", ""))
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_credentials_of_the_url_are_sent_and_not_shown(answering: Answering) -> None:
    service = service_at(f"http://reader:s3cret@{answering.url}/", "--connect")
    assert get_json(service, "/connectors") == {}
    assert answering.authorizations == ["Basic cmVhZGVyOnMzY3JldA=="]
    assert service.shown == f"http://{answering.url}"
    answering.status = 401
    with pytest.raises(HttpError) as refused:
        get_json(service, "/connectors")
    assert "s3cret" not in str(refused.value)
    assert not refused.value.retriable


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (200, b"<html>"), (302, b"")])
def test_a_bad_answer_is_an_error_that_names_the_service(answering: Answering, status: int, body: bytes) -> None:
    answering.status, answering.body = status, body
    with pytest.raises(HttpError, match="http://"):
        get_json(service_at(f"http://{answering.url}", "--connect"), "/connectors")


def test_a_service_that_is_away_can_be_asked_again() -> None:
    with pytest.raises(HttpError) as error:
        get_json(service_at(f"http://127.0.0.1:{free_port()}", "--connect"), "/connectors")
    assert error.value.retriable


@pytest.mark.parametrize("url", ["connect:8083", "ftp://connect", "http://", "http://connect:port"])
def test_what_is_no_url_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="is no URL"):
        service_at(url, "--connect")


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("connect:8083", "http://connect:8083"),
        (" gw.shop.example ", "http://gw.shop.example"),
        ("ann:secret@connect", "http://ann:***@connect"),
        ("connect:port", "http://host:port"),
        ("ftp://connect", "http://host:port"),
        ("a b", "http://host:port"),
    ],
)
def test_where_only_the_scheme_is_missing_the_remedy_is_the_url_that_was_meant(url: str, meant: str) -> None:
    with pytest.raises(UsageError) as error:
        service_at(url, "--connect")
    assert error.value.remedy == f"write it as {meant}"


def test_schemas_are_asked_for_once_and_bad_ones_are_refused() -> None:
    with registry_server() as registry:
        registry.schemas = {
            1: {"schema": json.dumps(recorded.avro_schema())},
            2: {"schema": "{}", "schemaType": "PROTOBUF"},
            3: {"schema": '{"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}'},
        }
        schemas = RowSchemas(service_at(registry.url, "registry.url"))
        assert all(isinstance(schemas(1), RowSchema) for _ in range(3))
        reasons = [found.reason if isinstance(found := schemas(at), Refused) else "" for at in (2, 3, 4, 4)]
        assert reasons == ["schema_refused", "schema_refused", "unknown_schema", "unknown_schema"]
        assert registry.asked == [1, 2, 3, 4]
        registry.status = 503
        away = schemas(5)
        assert isinstance(away, Refused)
        assert away.reason == "registry_unavailable"


def test_settings_of_the_environment_are_lists_and_show_no_secret() -> None:
    environ = {"HEADWATER_CDC__CONNECT": "http://u:s3cret@a:8083, http://b:8083", "HEADWATER_CDC__TOPICS": "shop.*"}
    settings = load(environ=environ, discover=False).settings
    assert settings.cdc.connect == ("http://u:s3cret@a:8083", "http://b:8083")
    assert settings.cdc.topics == ("shop.*",)
    assert "s3cret" not in repr(settings)
