"""A picture of the living view: the web shop of the demo at one invented moment, always the same."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from headwater_processor.core.judge_settings import when
from headwater_processor.local.scenario import MEANT, MISSPELT, STALE_MART, shop
from headwater_processor.local.top.app import Top
from headwater_processor.local.top.model import POINTS, Figures, News, Note, Snapshot
from headwater_processor.state.values import DatasetState
from headwater_schemas.alerts import Alert, AlertState, Severity
from headwater_schemas.events import Name

NOW_US: Final = 1_790_000_000_000_000
_S: Final = 1_000_000
_LOG: Final = (
    (95, "WrittenNeverRead", "fraud-scores (kafka://broker.shop:9092) is written, but nobody reads it.", Severity.INFO, False),
    (71, "WrittenNeverRead", "fraud-scores (kafka://broker.shop:9092) has a reader now.", Severity.INFO, True),
    (44, "ReadNeverWritten", f"ordres (kafka://broker.shop:9092) is read, but nobody writes it. Did they mean {MEANT}?",
     Severity.INFO, False),
    (13, "DatasetStale",
     "analytics.marts.inventory_levels (snowflake://acme-shop) is stale, 28 s old, allowed 15 s.", Severity.PAGE, False),
)  # fmt: skip


def picture(width: int = 100, height: int = 30) -> str:
    """The view as SVG."""
    return asyncio.run(_drawn(width, height))


async def _drawn(width: int, height: int) -> str:
    app = scene_view()
    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause()
        app.look()
        await pilot.pause()
        return app.export_screenshot(title="headwater top")


def scene_view() -> Top:
    """The view over the scene, standing still."""
    news = list(scene())

    def once() -> list[News]:
        found, news[:] = list(news), []
        return found

    return Top("shop", once, lambda name, _now_us: _road(name), lambda: NOW_US)


def scene() -> Iterator[News]:
    """Everything that came until this moment."""
    yield Snapshot(datasets=[_dataset(at, name) for at, name in enumerate(sorted(shop(NOW_US).datasets(), key=str))])
    yield from (_figures(point) for point in range(POINTS))
    for at, (ago_s, kind, said, severity, resolved) in enumerate(_LOG):
        if kind == "ReadNeverWritten":
            yield Note(
                NOW_US - 46 * _S,
                "pod order-enricher-6d9c7b5f84-n7rgn of k8s://shop/order-enricher crashed: OutOfMemoryError",
            )
        yield Alert(
            f"a{at}", kind, f"i{kind}", kind, AlertState.RESOLVED if resolved else AlertState.FIRING, severity, "dataset",
            STALE_MART.namespace, STALE_MART.name, "team-shop", said, since_us=NOW_US - ago_s * _S, as_of_us=NOW_US - ago_s * _S,
        )  # fmt: skip


def _dataset(at: int, name: Name) -> DatasetState:
    if name == MISSPELT:
        return DatasetState(
            name, True, state="UNKNOWN", reason="it was only read", unlinked="read-never-written", candidates=(str(MEANT),),
            owner="team-shop",
        )  # fmt: skip
    stale = name == STALE_MART
    written_us = NOW_US - (28 * _S if stale else (at * 37 % 47 + 2) * _S // 10)
    allowed_us = (15 if stale else 30 if at % 3 else 60) * _S
    reason = f"last write {when(written_us)}, allowed age 30 s (policy shop), so due by {when(written_us + allowed_us)}"
    return DatasetState(
        name, True, NOW_US, NOW_US, last_write_us=written_us, state="STALE" if stale else "FRESH", reason=reason,
        deadline_us=written_us + allowed_us, owner="team-warehouse" if "snowflake" in name.namespace else "team-shop",
    )  # fmt: skip


def _figures(point: int) -> Figures:
    left = POINTS - 1 - point
    grown = 1 - min(24, max(0, left - 6)) / 30
    busy = sum(38 + 9 * math.sin(at / 7) + 6 * math.sin(at / 2.3) for at in range(point + 1))
    return Figures(
        NOW_US - left * _S,
        round(35 * grown),
        round(24 * grown),
        round(71 * grown * grown),
        round(busy),
        NOW_US - 4 * _S // 10,
        round(abs(22 * math.sin(point / 9)) + 3),
    )


def _road(name: str) -> RenderableType:
    return Text(f"the road of {name}")
