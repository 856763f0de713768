"""`python -m tests.support.run_bench [ARGUMENTS]`: a real Kafka and a real Redis are started (or found, as for the
tests), `headwater bench` measures on them, both are stopped. Its JSON goes to standard output."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from tests.support.services import ServiceMissingError, find_kafka, find_redis


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code of the benchmark; 3 when a service cannot be had."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        try:
            kafka = find_kafka()
            stack.callback(kafka.close)
            found = find_redis()
            stack.callback(found.close)
        except ServiceMissingError as error:
            sys.stderr.write(f"error: {error}\n")
            return 3
        sys.stderr.write(f"Kafka: {kafka.origin}; Redis: {found.origin}\n")
        address = ["--kafka", kafka.bootstrap_servers, "--redis", found.url]
        command = [sys.executable, "-m", "headwater.cli", "bench", *address, "--output", "json", *arguments]
        with subprocess.Popen(command) as running:
            while True:
                try:
                    return running.wait()
                except KeyboardInterrupt:
                    # A terminal has sent it to the benchmark too; it cleans up, and we wait for that.
                    running.send_signal(signal.SIGINT)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
