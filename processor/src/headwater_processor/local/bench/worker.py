"""A worker as users start it: `headwater worker` in a process of its own, and the report it leaves behind."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from headwater.runtime.errors import RefusedError
from headwater_processor.local.bench.bench import Bench
from headwater_processor.local.bench.place import Place
from headwater_processor.local.bench.process import child_of
from headwater_processor.local.services import Kept, start_kept

_GRACE_S: Final = 25.0
_START_S: Final = 60.0
_LAST_WORDS: Final = 15


@dataclass(slots=True)
class BenchWorker:
    """A running worker. `report` is filled when it has stopped."""

    kept: Kept
    log: Path
    reported: Path
    pid: int = 0

    def check(self) -> None:
        """Raises RefusedError with its last words when it ended by itself."""
        code = self.kept.exit_code()
        if code is not None:
            raise RefusedError(f"the worker ended by itself (exit code {code}); its log ends:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]) or "(nothing)"

    def stop(self) -> dict[str, Any]:
        """Stop it and read its report. Raises RefusedError if it left none."""
        self.kept.stop(_GRACE_S + 2.0)
        try:
            report: dict[str, Any] = json.loads(self.reported.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RefusedError(f"the worker left no report; its log ends:\n{self.last_words()}") from error
        return report


@contextmanager
def worker(bench: Bench, here: Place, settings: Mapping[str, str]) -> Iterator[BenchWorker]:
    """Start a worker in a place and wait until it owns every partition; it is stopped when the block ends.

    Raises:
        RefusedError: it ended by itself or did not begin in time.
    """
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as folder:
        log, reported = Path(folder) / "worker.log", Path(folder) / "report.json"
        environment = {**os.environ, **here.environment(), **settings, "HEADWATER_UP_REPORT": str(reported)}
        with log.open("wb") as output:
            kept = start_kept("the worker", bench.plan.command, grace_s=_GRACE_S, log=output, env=environment)
        running = BenchWorker(kept, log, reported)
        try:
            _await_process(bench, running)
            yield running
        finally:
            kept.stop(_GRACE_S + 2.0)


def await_ownership(bench: Bench, here: Place, running: BenchWorker) -> None:
    """Wait until every partition of the events has an owner. Raises RefusedError."""
    deadline = time.monotonic() + _START_S
    while True:
        pipe = here.redis.pipeline(transaction=False)
        for partition in range(here.partitions):
            pipe.hexists(here.key(f"f:{partition}"), "epoch")
        if all(pipe.execute()):
            return
        running.check()
        if time.monotonic() > deadline:
            raise RefusedError(
                f"the worker owns no partitions after {_START_S:.0f} s; its log ends:\n{running.last_words()}"
            )
        bench.pause(0.05)


def _await_process(bench: Bench, running: BenchWorker) -> None:
    """The keeper's child is the worker."""
    deadline = time.monotonic() + _START_S
    while not running.pid:
        running.pid = child_of(running.kept.pid) or 0
        running.check()
        if time.monotonic() > deadline:
            raise RefusedError("the worker's process is not to be found in /proc")
        bench.pause(0.01)
