"""Other stream processors of Python at a simpler job on the same topic, and how many times ours is of theirs.

The job, in stock Faust and stock Quix Streams with the state they keep by default: decode each event (fastavro), drop
repetitions by event id, keep the last proven write of each dataset and the last assertion of each edge. What it does
*not* do: effects in a store that others can read, exactly once, lateness, runs and their joins, watermarks, judging,
images, alerts, dead letters. So the ratio is in their favour; it counts their process alone, not their broker.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from headwater.runtime.errors import RefusedError
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.fill import Filled
from headwater_processor.local.bench.place import Place
from headwater_processor.local.services import start_kept

COMPARED: Final[Mapping[str, tuple[str, ...]]] = {
    "faust": ("faust", "cramjam"),
    "quix": ("quixstreams",),
}
"""Modules that must be there; cramjam reads the compressed batches of the topic for Faust's client."""
DOES: Final = "decode, dedupe by event id, last write by dataset, last assertion by edge"
DOES_NOT: Final = "exactly-once effects, a store others read, lateness, runs, judging, images, alerts, dead letters"
_LIMIT_S: Final = 900.0
_GRACE_S: Final = 10.0


def compare(bench: Bench, here: Place, filled: Filled, ours_per_cpu_second: int | None) -> dict[str, Any]:
    """Every processor that the plan names; those that are not installed are skipped with a note."""
    found: dict[str, Any] = {"does": DOES, "does_not": DOES_NOT}
    for name in bench.plan.compare:
        missing = [module for module in COMPARED[name] if importlib.util.find_spec(module) is None]
        if missing:
            found[name] = {"skipped": f"{' and '.join(missing)} not installed: pip install 'headwater[compare]'"}
            bench.say(f"compare: {name} is skipped: {found[name]['skipped']}")
            continue
        bench.say(f"compare: {name} reads {min(filled.events, bench.plan.compare_events):,} events")
        found[name] = with_ratio(
            _run(bench, here, name, min(filled.events, bench.plan.compare_events)), ours_per_cpu_second
        )
    return found


def with_ratio(theirs: Mapping[str, Any], ours_per_cpu_second: int | None) -> dict[str, Any]:
    """Their figures, with rates and the ratio of ours to theirs."""
    rate = theirs["events"] / theirs["cpu_seconds"] if theirs["cpu_seconds"] > 0 else 0.0
    return {
        **theirs,
        "events_per_cpu_second": round(rate) or None,
        "events_per_second": round(theirs["events"] / theirs["wall_seconds"]) if theirs["wall_seconds"] > 0 else None,
        "ours_to_theirs": round(ours_per_cpu_second / rate, 1) if ours_per_cpu_second and rate else None,
    }


def _run(bench: Bench, here: Place, name: str, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="headwater-compare-") as folder:
        log, result = Path(folder) / "log", Path(folder) / "result.json"
        job = {
            "bootstrap": here.settings.kafka.bootstrap_servers, "topic": here.topic("events"), "count": count,
            "group": f"{here.name}-{name}", "partitions": here.partitions, "folder": folder, "result": str(result),
        }  # fmt: skip
        module = f"headwater_processor.local.bench.compare_{name}"
        with log.open("wb") as output:
            command = [sys.executable, "-m", module, json.dumps(job)]
            kept = start_kept(name, command, grace_s=_GRACE_S, log=output)
        deadline = time.monotonic() + _LIMIT_S
        try:
            while kept.exit_code() is None and time.monotonic() < deadline:
                bench.pause(0.2)
        finally:
            kept.stop(_GRACE_S + 2.0)
        try:
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RefusedError(f"{name} did not do the job; its log ends:\n{end}") from error
        return found
