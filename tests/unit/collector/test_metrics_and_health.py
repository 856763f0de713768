"""Metrics and health as a probe sees them."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headwater.runtime.errors import UsageError
from headwater.runtime.http import HealthServer, serve
from headwater.runtime.metrics import Spec, as_table
from headwater.runtime.models import MetricsSettings


class Lag(Collector):
    """A collector that is asked when the metrics are."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("headwater_lag_records", "Records behind.", value=7)


class Broken(Collector):
    """A collector that fails."""

    def collect(self) -> Iterator[Metric]:
        raise RuntimeError("no")


def started(collector: Collector, settings: MetricsSettings | None = None) -> HealthServer:
    server = serve(
        settings or MetricsSettings(port=0),
        [collector],
        healthy=lambda: (False, "engine for 31 s"),
        ready=lambda: (True, "ok"),
    )
    assert server is not None
    return server


@pytest.fixture
def server() -> Iterator[HealthServer]:
    server = started(Lag())
    yield server
    server.close()


def get(server: HealthServer, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_collected_when_they_are_asked_for(server: HealthServer) -> None:
    status, text = get(server, "/metrics")
    assert status == 200
    assert "headwater_lag_records 7.0" in text


def test_a_process_whose_loops_stand_still_says_which(server: HealthServer) -> None:
    assert get(server, "/healthz") == (503, "engine for 31 s\n")


def test_a_process_that_can_work_is_ready(server: HealthServer) -> None:
    assert get(server, "/readyz?verbose") == (200, "ok\n")


def test_an_unknown_path_is_told_the_known_ones(server: HealthServer) -> None:
    status, text = get(server, "/")
    assert (status, "/healthz" in text) == (404, True)


def test_a_collector_that_fails_is_an_answer_and_the_server_goes_on() -> None:
    server = started(Broken())
    try:
        assert get(server, "/metrics") == (500, "see the log\n")
        assert get(server, "/readyz")[0] == 200
    finally:
        server.close()


def test_a_port_that_was_chosen_and_is_taken_is_a_sentence(server: HealthServer) -> None:
    with pytest.raises(UsageError, match=r"metrics\.port"):
        started(Lag(), MetricsSettings(port=server.port))


def test_where_the_default_port_is_taken_another_one_will_do(server: HealthServer) -> None:
    taken = MetricsSettings.model_construct(_fields_set=set(), host="127.0.0.1", port=server.port, enabled=True)
    second = started(Lag(), taken)
    try:
        assert second.port != server.port
        assert get(second, "/readyz")[0] == 200
    finally:
        second.close()


def test_several_workers_of_one_command_count_their_ports_up(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_UP_METRICS_OFFSET", "1")
    with pytest.raises(UsageError, match=f":{server.port}:"):
        started(Lag(), MetricsSettings(port=server.port - 1))


def test_it_can_be_switched_off() -> None:
    off = MetricsSettings(enabled=False)
    assert serve(off, [], healthy=lambda: (True, ""), ready=lambda: (True, "")) is None


def test_a_catalogue_can_be_printed_for_a_readme() -> None:
    table = as_table([Spec("headwater_events", "counter", "Events.", "Look at the producers.", ("partition",))])
    assert "| `headwater_events_total` | counter | partition | Events. | Look at the producers. |" in table
