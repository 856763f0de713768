"""METRICS.md holds what the code declares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headwater_processor.metrics import known, page, sli_page
from headwater_processor.metrics_catalogue import CATALOGUE, SLIS

METRICS = Path(__file__).parents[3] / "processor" / "METRICS.md"


@pytest.mark.parametrize(("name", "made"), [("metrics", page()), ("slis", sli_page())])
def test_the_page_holds_what_the_code_generates(name: str, made: str) -> None:
    text = METRICS.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    assert text.count(begin) == 1
    held = text.split(begin)[1].split(end)[0]
    assert held.strip() == made.strip(), (
        f"processor/METRICS.md differs: put headwater_processor.metrics.{'page' if name == 'metrics' else 'sli_page'}()"
        f" between the markers of {name}"
    )


def test_every_query_of_an_sli_asks_for_metrics_that_there_are() -> None:
    for sli in SLIS:
        for query in sli.promql:
            names = re.findall(r"\bheadwater_\w+", query)
            assert names
            assert [name for name in names if known(name) is None] == []


def test_a_share_of_nothing_is_no_data() -> None:
    for sli in SLIS:
        for query in sli.promql:
            assert "/" not in query or "> 0)" in query, query


def test_what_the_page_tells_to_look_at_exists() -> None:
    told = {name for spec in CATALOGUE for name in re.findall(r"\bheadwater_\w+", spec.help + spec.when_it_moves)}
    assert {name for name in told if known(name) is None} == set()
