"""`python -m tests.support.lab --seed 1 --runs 100`: the laboratory, many seeds; a failing one is printed and kept.

Exit codes: 0 everything held, 1 something did not, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from tests.support.kafka_server import KafkaServer
from tests.support.lab.lab import Outcome, run_schedule
from tests.support.lab.schedule import FAULTS, Schedule, draw

EXIT_INTERRUPTED: Final = 130


def main() -> int:
    """Run the seeds, tell how each ended, print the table."""
    asked = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="headwater-lab-"))
    outcomes: list[Outcome] = []
    interrupted = False
    with KafkaServer(long_lived=True) as kafka:
        try:
            for seed in range(asked.seed, asked.seed + asked.runs):
                outcomes.append(_one(draw(seed, asked.events), kafka, folder, asked.redis))
                say(f"  {len(outcomes)} of {asked.runs} runs")
        except KeyboardInterrupt:
            interrupted = True
            say(f"interrupted; what stands below is of the {len(outcomes)} runs that came to their end")
    say(table(outcomes))
    broken = [outcome.schedule.seed for outcome in outcomes if not outcome.good]
    if broken:
        say(f"broken: {len(broken)} of {len(outcomes)}; what they left is in {folder}")
        say("\n".join(f"  make faults SEED={seed} RUNS=1" for seed in broken))
    if asked.report:
        asked.report.write_text(json.dumps({"runs": len(outcomes), "broken": broken}) + "\n")
    return EXIT_INTERRUPTED if interrupted else 1 if broken else 0


def _one(schedule: Schedule, kafka: KafkaServer, folder: Path, binary: str | None) -> Outcome:
    say(str(schedule))
    outcome = run_schedule(schedule, kafka, folder / str(schedule.seed), binary)
    say(
        f"  {'holds' if outcome.good else 'BROKEN'} after {outcome.seconds:.0f} s; ledger: {outcome.ledger}; {outcome.pages}"
    )
    for fault in outcome.faults:
        say("  | " + fault.replace("\n", "\n  | "))
    return outcome


def say(line: str) -> None:
    """To whoever waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def table(outcomes: list[Outcome]) -> str:
    """How often each fault took place, and in how many runs that held, as Markdown."""
    met, held = Counter[str](), Counter[str]()
    for outcome in outcomes:
        for step, reached in outcome.reached.items():
            name = step.split()[1]
            met[name] += reached
            held[name] += reached and outcome.good
    lines = ["| fault | what happens | what must hold | took place | held |", "|---|---|---|---|---|"]
    lines += [f"| {f.name} | {f.what} | {f.expected} | {met[f.name]} | {held[f.name]} |" for f in FAULTS]
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.lab", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=10, help="how many seeds, from the first one up")
    parser.add_argument("--events", type=int, default=12_000, help="events of a run")
    parser.add_argument("--redis", help="path of a redis-server or valkey-server binary; default: that of PATH")
    parser.add_argument("--report", type=Path, help="where to write what was found, as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
