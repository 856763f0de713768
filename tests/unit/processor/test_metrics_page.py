"""The page of metrics in the processor's README is the catalogue of the code."""

from __future__ import annotations

from pathlib import Path

from headwater_processor.metrics import page

README = Path(__file__).parents[3] / "processor" / "README.md"
BEGIN, END = "<!-- metrics -->\n", "<!-- /metrics -->"


def test_the_readme_holds_the_page_of_metrics_that_the_code_generates() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count(BEGIN) == 1
    held = text.split(BEGIN)[1].split(END)[0]
    assert held.strip() == page().strip(), (
        "processor/README.md differs: put headwater_processor.metrics.page() between the markers"
    )
