"""Where a run comes from: parent, root and trace, by argument, by context, by environment."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest
from opentelemetry.sdk.trace import TracerProvider

from headwater import Emitter, Name, ParentRun
from headwater import origin as origins
from headwater.eventjson import from_json
from headwater.origin import NO_TRACE, Origin, child_environment, parse_traceparent, read_origin
from headwater.origin import ParentRun as Same
from headwater.testing import Recorder
from headwater_schemas.events import LineageEvent

RUN, ROOT = uuid.UUID(int=7), uuid.UUID(int=8)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE_IDS = bytes.fromhex("0af7651916cd43dd8448eb211c80319c"), bytes.fromhex("b7ad6b7169203331")


@pytest.fixture(autouse=True)
def _nothing_was_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_warned", set())


def test_openlineages_variables_are_read_as_airflow_writes_them() -> None:
    environ = {
        "OPENLINEAGE_PARENT_ID": f"airflow/shop.load_orders/{RUN}",
        "OPENLINEAGE_ROOT_PARENT_ID": f"airflow/shop/{ROOT}",
    }
    parent = ParentRun(RUN, Name("airflow", "shop.load_orders"), ParentRun(ROOT, Name("airflow", "shop")))
    assert read_origin(environ) == Origin(parent, NO_TRACE)


def test_openlineages_variables_are_read_in_three_parts_too() -> None:
    environ = {
        "OPENLINEAGE_PARENT_RUN_ID": str(RUN),
        "OPENLINEAGE_PARENT_JOB_NAMESPACE": "airflow",
        "OPENLINEAGE_PARENT_JOB_NAME": "shop.load",
        "OPENLINEAGE_ROOT_PARENT_RUN_ID": str(ROOT),
        "OPENLINEAGE_ROOT_PARENT_JOB_NAMESPACE": "airflow",
        "OPENLINEAGE_ROOT_PARENT_JOB_NAME": "shop",
    }
    parent = ParentRun(RUN, Name("airflow", "shop.load"), ParentRun(ROOT, Name("airflow", "shop")))
    assert read_origin(environ).parent == parent


def test_a_namespace_with_slashes_is_read() -> None:
    parent = read_origin({"OPENLINEAGE_PARENT_ID": f"http://airflow.acme:8080/prod/shop.load/{RUN}"}).parent
    assert parent == ParentRun(RUN, Name("http://airflow.acme:8080/prod", "shop.load"))


def test_ours_win_over_openlineages() -> None:
    environ = {
        "OPENLINEAGE_PARENT_ID": f"airflow/x/{ROOT}",
        "HEADWATER_PARENT_ID": f"k8s:%2F%2Fshop/a%2Fb 100%25/{RUN}",
    }
    assert read_origin(environ).parent == ParentRun(RUN, Name("k8s://shop", "a/b 100%"))


@pytest.mark.parametrize(
    "broken",
    [
        {"HEADWATER_PARENT_ID": "nonsense"},
        {"HEADWATER_PARENT_ID": f"/job/{RUN}"},
        {"OPENLINEAGE_PARENT_ID": "airflow/x/not-a-uuid"},
        {"OPENLINEAGE_PARENT_ID": "{{ macros.OpenLineageProviderPlugin.lineage_parent_id(task_instance) }}"},
        {
            "OPENLINEAGE_PARENT_RUN_ID": "x",
            "OPENLINEAGE_PARENT_JOB_NAMESPACE": "airflow",
            "OPENLINEAGE_PARENT_JOB_NAME": "shop.load",
        },
        {"TRACEPARENT": "00-1-2-3"},
        {"TRACEPARENT": "00-" + "0" * 32 + "-b7ad6b7169203331-01"},
        {"TRACEPARENT": "ff" + TRACE[2:]},
    ],
)
def test_a_value_that_cannot_be_read_is_warned_about_once_and_ignored(
    broken: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert read_origin(broken) == read_origin(broken) == Origin()
    (record,) = caplog.records
    assert next(iter(broken)) in record.getMessage()


def test_a_broken_value_of_ours_leaves_the_place_to_openlineages() -> None:
    environ = {"HEADWATER_PARENT_ID": "nonsense", "OPENLINEAGE_PARENT_ID": f"airflow/x/{RUN}"}
    assert read_origin(environ).parent == ParentRun(RUN, Name("airflow", "x"))


@pytest.mark.parametrize("job", [Name("shop", "load"), Name("k8s://shop/a", "b/c %2F ü"), Name("a b", "=;")])
def test_what_is_written_for_a_child_is_read_by_it(job: Name) -> None:
    parent = Same(RUN, job, Same(ROOT, Name("airflow", "shop")))
    told = child_environment(parent, TRACE_IDS)
    assert read_origin(told) == Origin(parent, TRACE_IDS)
    # Older versions of dbt-ol fail on a value of more than three parts.
    assert ("OPENLINEAGE_PARENT_ID" in told) == ("/" not in job.namespace + job.name)
    if "OPENLINEAGE_PARENT_ID" in told:
        ours_left_out = {key: value for key, value in told.items() if not key.startswith("HEADWATER_")}
        assert read_origin(ours_left_out) == Origin(parent, TRACE_IDS)


def test_a_child_process_names_the_run_that_started_it_and_the_root(tmp_path: object) -> None:
    file = f"{tmp_path}/lineage.jsonl"
    code = "import headwater\n@headwater.job('child')\ndef child(): pass\nchild()"
    recorder = Recorder()
    with recorder.emitter.run("outer") as outer, recorder.emitter.run("inner", traceparent=TRACE) as inner:
        environ = os.environ | inner.child_environment() | {"HEADWATER_FILE": file}
        subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60)
    with open(file, "rb") as lines:  # noqa: PTH123 - a path is what it is
        events = [from_json(line) for line in lines]
    assert [event.event_type.value for event in events] == ["START", "COMPLETE"]
    for event in events:
        assert (event.parent_run_id, event.parent_job) == (inner.id.bytes, Name("test", "inner"))
        assert (event.root_run_id, event.root_job) == (outer.id.bytes, Name("test", "outer"))
        assert (event.trace_id, event.span_id) == TRACE_IDS


def _event(recorder: Recorder, **options: str) -> LineageEvent:
    with recorder.emitter.run("traced", **options):
        pass
    return recorder.events[-1]


def test_the_trace_is_the_arguments_else_the_active_spans_else_the_environments() -> None:
    recorder = Recorder()
    assert _event(recorder).trace_id is None
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("work") as span:
        context = span.get_span_context()
        event = _event(recorder)
        assert event.trace_id == context.trace_id.to_bytes(16, "big")
        assert event.span_id == context.span_id.to_bytes(8, "big")
        assert _event(recorder, traceparent=TRACE).trace_id == TRACE_IDS[0]
    emitter = Emitter(recorder.transport, origin=read_origin({"TRACEPARENT": TRACE}))
    with emitter, emitter.run("traced"):
        pass
    assert recorder.transport.events[-1].trace_id == TRACE_IDS[0]


def test_later_versions_of_the_trace_context_are_read() -> None:
    assert parse_traceparent("01" + TRACE[2:] + "-more") == TRACE_IDS
