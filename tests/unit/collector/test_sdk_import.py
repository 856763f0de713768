"""Importing the SDK costs a job next to nothing."""

from __future__ import annotations

import subprocess
import sys

import headwater


def _in_fresh_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_importing_headwater_loads_neither_kafka_nor_avro_nor_json() -> None:
    heavy = {"confluent_kafka", "fastavro", "orjson", "openlineage", "headwater.emitter", "headwater_schemas"}
    loaded = _in_fresh_process("import sys, headwater; print(*sys.modules)").split()
    assert heavy & set(loaded) == set()


def test_importing_headwater_costs_less_than_importing_the_json_and_http_of_the_standard_library() -> None:
    """A ratio, not a time: the figure in milliseconds is in the collector's README."""
    code = "import time; began = time.process_time(); import {}; print(time.process_time() - began)"
    ours = min(float(_in_fresh_process(code.format("headwater"))) for _ in range(5))
    theirs = min(float(_in_fresh_process(code.format("json, http.client"))) for _ in range(5))
    assert ours < theirs


def test_an_emitter_that_is_switched_off_loads_neither_kafka_nor_avro() -> None:
    code = "import sys; from headwater import Emitter; Emitter(None).close(); print(*sys.modules)"
    assert {"confluent_kafka", "fastavro"} & set(_in_fresh_process(code).split()) == set()


def test_importing_the_kafka_package_loads_no_client() -> None:
    loaded = set(_in_fresh_process("import sys, headwater.kafka; print(*sys.modules)").split())
    assert {"confluent_kafka", "aiokafka", "faust", "headwater.kafka.confluent"} & loaded == set()
    loaded = set(_in_fresh_process("import sys; from headwater.kafka import Consumer; print(*sys.modules)").split())
    assert {"aiokafka", "faust"} & loaded == set()


def test_every_public_name_exists_and_they_are_sorted() -> None:
    assert headwater.__all__ == sorted(headwater.__all__)
    assert all(getattr(headwater, name) is not None for name in headwater.__all__)
    assert set(headwater.__all__) <= set(dir(headwater))
