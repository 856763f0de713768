"""`python -m tests.support.fuzz --payloads 1000000 --seed 1`: hostile payloads against the decode path.

Exit codes: 0 everything held, 1 something did not (the payload is printed and kept), 130 interrupted.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Final

from tests.support.fuzz import kept
from tests.support.fuzz.payloads import Payload, sessions
from tests.support.fuzz.reading import TEMPLATES, Failure, Tally, read_session
from tests.support.fuzz.writers import schemas

MEASURED_EVERY: Final = 25
"""In one of so many sessions the memory is watched."""
FAILURES_MAX: Final = 5
PROGRESS_S: Final = 5.0


def main() -> int:
    """Read payloads until there were enough of them; tell what became of them."""
    asked = _arguments()
    if asked.collect:
        return _collect(asked)
    known, tally = schemas(), Tally()
    broken = 0
    started = told = time.monotonic()
    for number, batches in sessions(asked.seed, asked.session):
        some = _at_most(batches, asked.payloads - tally.payloads)
        measured = number % MEASURED_EVERY == 0
        failure = read_session(some, known, tally, TEMPLATES[number % len(TEMPLATES)], measured=measured)
        if failure is not None:
            broken += 1
            _report(asked, number, some, failure)
        if tally.payloads >= asked.payloads or broken >= FAILURES_MAX:
            break
        now = time.monotonic()
        if now - told > PROGRESS_S:
            told = now
            _progress(tally.payloads, asked.payloads, now - started)
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    say(summary(tally, time.monotonic() - started, rss_mib))
    if rss_mib > asked.rss_max_mib:
        say(f"BROKEN: the process took {rss_mib} MiB, at most {asked.rss_max_mib} are allowed")
        broken += 1
    return 1 if broken else 0


def _collect(asked: argparse.Namespace) -> int:
    found = kept.examples(asked.seed)
    for outcome, payloads in found.items():
        ways = ", ".join(way for way, _ in payloads)
        kept.dump([[value for _, value in payloads]], asked.keep / f"{outcome}.hex", f"{outcome}: {ways}")
    say(f"{len(found)} files in {asked.keep}")
    return 0


def _at_most(batches: list[list[Payload]], count: int) -> list[list[Payload]]:
    out = []
    for batch in batches:
        if count > 0:
            out.append(batch[:count])
            count -= len(batch)
    return out


def _report(asked: argparse.Namespace, number: int, batches: list[list[Payload]], failure: Failure) -> None:
    say(f"BROKEN: seed {asked.seed}, session {number}, batch {failure.batch}, record {failure.row}: {failure.what}")
    if failure.row >= 0:
        payload = batches[failure.batch][failure.row]
        value = payload.value or b""
        say(f"  made by {payload.way}, {len(value)} bytes: {value[:4000].hex()}{'…' if len(value) > 4000 else ''}")
    path = asked.keep / f"seed{asked.seed}-session{number}.hex"
    values = [[payload.value for payload in batch] for batch in batches[: failure.batch + 1]]
    kept.dump(kept.smallest(values), path, f"seed {asked.seed}, session {number}: {failure.what.splitlines()[0][:200]}")
    say(f"  kept in {path}; again: make fuzz SEED={asked.seed} ARGS='--session {number}' PAYLOADS=1")


def _progress(done: int, wanted: int, took_s: float) -> None:
    rate = done / took_s
    left = f"{(wanted - done) / rate:,.0f} s left" if done else "rate unknown yet"
    say(f"{done:,} of {wanted:,} payloads, {rate:,.0f} a second, {left}")


def summary(tally: Tally, took_s: float, rss_mib: int) -> str:
    """What became of the payloads, as Markdown."""
    rows = [f"| {name} | {count:,} |" for name, count in tally.outcomes.most_common()]
    made = (
        f"{tally.payloads:,} payloads in {took_s:.0f} s ({tally.payloads / took_s:,.0f} a second), "
        f"{len(tally.ways)} ways, the largest of {tally.largest_bytes:,} bytes"
    )
    took = (
        f"slowest record {tally.slowest_record_us / 1000:.0f} ms (checked reader), "
        f"slowest batch {tally.slowest_batch_us / 1000:.0f} ms (batch decoder), "
        f"memory of one batch at most {tally.most_memory_bytes / (1 << 20):.1f} MiB, process {rss_mib} MiB"
    )
    return "\n".join([made, took, "", "| outcome | payloads |", "|---|---|", *rows])


def say(line: str) -> None:
    """To whoever waits for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.fuzz", description=__doc__)
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--session", type=int, default=0, help="begin with this session")
    parser.add_argument("--rss-max-mib", type=int, default=600)
    parser.add_argument("--collect", action="store_true", help="write some small payloads of each outcome, and end")
    parser.add_argument("--keep", type=Path, default=kept.FOLDER, help="where failing payloads go")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
