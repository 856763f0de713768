"""`python -m tests.support.model --runs 1000 --seed 1`: many seeds; the steps of a failing one are printed, as few as fail.

Exit codes: 0 everything held, 1 something did not, 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from typing import Final

from tests.support.model.steps import attempt, draw, smallest, text

FAILURES_MAX: Final = 3
PROGRESS_S: Final = 10.0


def main() -> int:
    """Run the seeds; tell what did not hold."""
    asked = _arguments()
    logging.disable(logging.CRITICAL)
    broken = steps = runs = 0
    began = told = time.perf_counter()
    for seed in range(asked.seed, asked.seed + asked.runs):
        case = draw(seed)
        found = attempt(case)
        steps, runs = steps + found.steps, runs + 1
        if found.what:
            broken += 1
            _report(seed, text(smallest(case)), attempt(smallest(case)).what)
            if broken >= FAILURES_MAX:
                break
        if time.perf_counter() - told > PROGRESS_S:
            told = time.perf_counter()
            say(f"{runs:,} of {asked.runs:,} runs, {steps:,} steps, {steps / (told - began):,.0f} a second")
    took_s = time.perf_counter() - began
    say(f"{runs:,} runs, {steps:,} steps in {took_s:.0f} s ({steps / took_s:,.0f} a second): {broken} broken")
    return 1 if broken else 0


def _report(seed: int, steps: str, what: str) -> None:
    say(f"BROKEN: seed {seed}\n{what[:2000]}\nwith the steps, for tests/support/model/kept.py:\n{steps}")


def say(line: str) -> None:
    """To whoever waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.model", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--runs", type=int, default=1000, help="how many seeds, from the first one up")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
