"""What a tail says, resolved: names, keys, edges and flags."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.checked import content

from headwater_processor.core.template import ERROR_MAX_BYTES, RESTARTABLE, STREAMING, Template
from headwater_schemas.codec import to_record
from headwater_schemas.events import (
    DatasetUse,
    DirectEdge,
    EventType,
    Lifecycle,
    LineageEvent,
    Name,
    Processing,
    Runtime,
)
from headwater_schemas.ids import dataset_key, edge_key, emitter_key, job_key

ORDERS, USERS, DAILY = (Name("kafka://b1:9092", name) for name in ("orders", "users", "daily"))
A, U, D = map(dataset_key, (ORDERS, USERS, DAILY))
JOB = Name("jobs", "flow")
J = job_key(JOB)
EVENT = LineageEvent(bytes(16), 1, EventType.RUNNING, job=JOB)


def use(name: Name, **more: Any) -> DatasetUse:
    return DatasetUse(name.namespace, name.name, **more)


def template(**fields: Any) -> Template:
    return Template(to_record(replace(EVENT, **fields)))


def labels(of: Template) -> dict[bytes, bytes]:
    return {entity.key: entity.label for entity in of.names}


def test_a_job_reads_its_inputs_and_writes_its_outputs() -> None:
    found = template(inputs=(use(ORDERS), use(USERS)), outputs=(use(DAILY),))
    assert found.edges == (edge_key(b"r", A, J), edge_key(b"r", U, J), edge_key(b"w", J, D))
    assert found.asserted == (A, U, D)
    assert (found.read, found.written) == ((A, U), (D,))
    assert labels(found)[J] == b"jjobs\0flow"
    assert labels(found)[D] == b"dkafka://b1:9092\0daily"


def test_without_a_job_nobody_reads_or_writes_and_the_datasets_are_known() -> None:
    found = template(job=Name("", ""), inputs=(use(ORDERS),), outputs=(use(DAILY),))
    assert (found.job, found.job_key, found.edges) == (None, b"", ())
    assert found.asserted == (A, D)


@pytest.mark.parametrize("job", [Name("jobs", ""), Name("", "flow")])
def test_a_job_with_half_a_name_is_a_job(job: Name) -> None:
    assert template(job=job).job_key == job_key(job)


def test_names_of_one_dataset_in_two_spellings_are_one_dataset() -> None:
    found = template(inputs=(use(ORDERS), use(Name("kafka://B1:9092", "orders"))))
    assert found.inputs == (A,)
    assert found.use_keys == [A, A]  # measures count uses, not datasets
    assert found.edges == (edge_key(b"r", A, J),)


def test_direct_edges_are_stated_read_and_written_whoever_says_so() -> None:
    found = template(job=Name("", ""), edges=(DirectEdge(ORDERS, DAILY), DirectEdge(ORDERS, DAILY)))
    assert found.edges == (edge_key(b"d", A, D),)
    assert (found.read, found.written, found.inputs, found.outputs) == ((A,), (D,), (), ())


def test_a_dropped_output_is_named_and_not_asserted() -> None:
    found = template(outputs=(use(ORDERS, lifecycle=Lifecycle.DROP), use(DAILY)), emitter="ddl")
    assert found.dropped == (A,)
    assert (found.outputs, found.asserted, found.written) == ((D,), (D,), (D,))
    assert found.edges == (edge_key(b"w", J, D),)
    assert found.emits == (emitter_key("ddl") + D,)
    assert A in labels(found)
    assert found.lifecycle


def test_a_rename_retracts_the_previous_name_and_asserts_the_new_one() -> None:
    found = template(outputs=(use(DAILY, lifecycle=Lifecycle.RENAME, previous=ORDERS),))
    assert found.renamed == ((A, D),)
    assert found.outputs == (D,)
    assert A in labels(found)


def test_a_rename_without_a_previous_name_is_a_write() -> None:
    found = template(outputs=(use(DAILY, lifecycle=Lifecycle.RENAME),))
    assert (found.renamed, found.outputs, found.lifecycle) == ((), (D,), False)


def test_a_truncated_output_is_written() -> None:
    found = template(outputs=(use(DAILY, lifecycle=Lifecycle.TRUNCATE),))
    assert (found.truncated, found.outputs, found.lifecycle) == ((D,), (D,), True)


@pytest.mark.parametrize("lifecycle", [Lifecycle.NONE, Lifecycle.CREATE, Lifecycle.ALTER, Lifecycle.OVERWRITE])
def test_other_changes_are_plain_writes(lifecycle: Lifecycle) -> None:
    assert not template(outputs=(use(DAILY, lifecycle=lifecycle),)).lifecycle


def test_aliases_are_pairs_with_the_smaller_key_first_and_never_of_one_dataset() -> None:
    found = template(inputs=(use(ORDERS, aliases=(DAILY, ORDERS)),), outputs=(use(DAILY, aliases=(ORDERS,)),))
    assert found.aliases == (min(A, D) + max(A, D),) * 2
    assert found.asserted == (A, D)


def test_an_alias_alone_is_known_by_name_and_not_asserted() -> None:
    found = template(inputs=(use(ORDERS, aliases=(USERS,)),))
    assert U in labels(found)
    assert found.asserted == (A,)


def test_sets_of_keys_are_sorted_and_concatenated() -> None:
    found = template(inputs=(use(USERS), use(ORDERS), use(USERS)), outputs=(use(DAILY), use(ORDERS)))
    assert found.inputs_blob == b"".join(sorted({A, U}))
    assert found.outputs_blob == b"".join(sorted({A, D}))


def test_flags_say_streaming_restartable_and_backfill() -> None:
    found = template(processing=Processing.STREAMING, restartable=True, backfill=True)
    assert (found.run_flags, found.streaming, found.backfill) == (STREAMING | RESTARTABLE, True, True)
    plain = template(processing=Processing.BATCH)
    assert (plain.run_flags, plain.streaming, plain.backfill) == (0, False, False)


def test_a_parent_job_is_known_by_name_and_an_empty_one_is_none() -> None:
    parent = Name("jobs", "dag")
    assert labels(template(parent_job=parent))[job_key(parent)] == b"jjobs\0dag"
    assert template(parent_job=parent).parent_job_key == job_key(parent)
    assert template(parent_job=Name("", "")).parent_job_key == b""


def test_runtime_facts_are_sorted_json_without_what_is_unknown() -> None:
    assert template(runtime=Runtime(node="n", container="c")).runtime == b'{"container":"c","node":"n"}'
    assert template(runtime=Runtime()).runtime == template(runtime=None).runtime == b""


def test_an_error_is_kept_up_to_its_bound() -> None:
    assert template(error="lost connection").error == b"lost connection"
    assert len(template(error="é" * ERROR_MAX_BYTES).error) == ERROR_MAX_BYTES
    assert template(error=None).error == b""


def test_offset_keys_name_direction_dataset_and_partition() -> None:
    found = template(inputs=(use(ORDERS),), outputs=(use(ORDERS), use(DAILY)))
    assert found.offset_key(0, 1) == b"i" + A + b"\x00\x01"
    assert found.offset_key(1, 256) == b"o" + A + b"\x01\x00"
    assert found.offset_key(2, 65_535) == b"o" + D + b"\xff\xff"


def test_equal_tails_say_the_same() -> None:
    fields = {"inputs": (use(ORDERS),), "outputs": (use(DAILY),), "emitter": "sdk"}
    assert content(template(**fields)) == content(template(**fields))


def test_a_record_that_names_thousands_looks_them_up_in_a_set() -> None:
    many = tuple(use(Name("s3://lake", f"t{number}")) for number in range(3_000))
    found = template(inputs=many, outputs=many)
    assert isinstance(found.read, frozenset)
    assert isinstance(found.written, frozenset)
    assert len(found.read) == len(found.written) == 3_000


# --- what is said about them ------------------------------------------------------------------------------------------


def owned(name: Name, owner: str) -> dict[str, Any]:
    return {"namespace": name.namespace, "name": name.name, "facets": {"ownership": {"owners": [{"name": owner}]}}}


def with_facets(document: Any, **fields: Any) -> dict[bytes, bytes]:
    found = template(facets=json.dumps(document).encode(), **fields)
    return dict(found.about)


def test_an_event_without_facets_says_nothing_about_anybody() -> None:
    assert template(inputs=(use(ORDERS),)).about == ()
    assert with_facets({"run": {"spark_properties": {"a": "b"}}}) == {}


def test_facts_are_of_the_job_and_of_the_datasets_that_the_event_uses() -> None:
    document = {
        "job": {"sql": {"query": "select 1"}},
        "inputs": [owned(ORDERS, "team:a")],
        "outputs": [owned(DAILY, "team:b"), owned(USERS, "team:c")],
    }
    found = with_facets(document, inputs=(use(ORDERS),), outputs=(use(DAILY),))
    assert found == {J + b"q": b"select 1", A + b"O": b"team:a", D + b"O": b"team:b"}


def test_without_a_job_nobody_owns_the_statement() -> None:
    assert with_facets({"job": {"sql": {"query": "select 1"}}}, job=Name("", "")) == {}


def test_facts_find_their_dataset_by_any_spelling() -> None:
    outputs = (use(Name("s3a://lake", "/x")),)
    found = with_facets({"outputs": [owned(Name("s3://lake", "x"), "team:a")]}, outputs=outputs)
    assert found == {dataset_key(Name("s3://lake", "x")) + b"O": b"team:a"}


def test_of_a_dataset_that_is_told_twice_in_an_event_the_larger_text_is_kept() -> None:
    both = {"inputs": [owned(ORDERS, "team:b")], "outputs": [owned(ORDERS, "team:a")]}
    assert with_facets(both, inputs=(use(ORDERS),), outputs=(use(ORDERS),)) == {A + b"O": b"team:b"}
