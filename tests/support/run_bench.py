"""`python -m tests.support.run_bench [ARGUMENTS]`: `headwater bench` on a real Kafka and a real Redis, which are started
(or found, as for the tests) and stopped, unless the arguments name others."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.support.services import ServiceMissingError, find_kafka, find_redis


def named(option: str, arguments: Sequence[str]) -> bool:
    """Whether the arguments name this service themselves, or only ask for help."""
    return any(word == option or word.startswith(f"{option}=") or word in ("-h", "--help") for word in arguments)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code of the benchmark; 3 when a service cannot be had."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    address: list[str] = []
    with ExitStack() as stack:
        try:
            if not named("--kafka", arguments):
                kafka = find_kafka()
                stack.callback(kafka.close)
                address += ["--kafka", kafka.bootstrap_servers]
                sys.stderr.write(f"Kafka: {kafka.origin}\n")
            if not named("--redis", arguments):
                found = find_redis()
                stack.callback(found.close)
                address += ["--redis", found.url]
                sys.stderr.write(f"Redis: {found.origin}\n")
        except ServiceMissingError as error:
            sys.stderr.write(f"error: {error}\n")
            return 3
        with subprocess.Popen([sys.executable, "-m", "headwater.cli", "bench", *arguments, *address]) as running:
            while True:
                try:
                    return running.wait()
                except KeyboardInterrupt:
                    # A terminal has sent it to the benchmark too; it cleans up, and we wait for that.
                    running.send_signal(signal.SIGINT)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
