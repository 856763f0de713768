"""How long `emit` keeps the calling thread: `python -m tests.support.measure_emit [BOOTSTRAP] [--rate N] [--busy]`.

Without an address events go to memory. `--rate` paces the calls (per second, 0: as fast as it goes); `--busy` lets the
calling thread compute between calls instead of sleeping, so that it competes with the emitter's thread all the time.
"""

from __future__ import annotations

import argparse
import sys
import time

from headwater import Emitter
from headwater.testing import MemoryTransport
from headwater.transports.base import Transport
from headwater.transports.kafka import KafkaTransport
from headwater_processor.local.bench.sdk import emit_times_us


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap", nargs="?", default="")
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--count", type=int, default=50_000)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    transport: Transport = KafkaTransport(options.bootstrap) if options.bootstrap else MemoryTransport()
    emitter = Emitter(transport, job="orders", capacity=options.count)
    began_s = time.perf_counter()
    took = emit_times_us(emitter, options.count, rate=options.rate, busy=options.busy)
    left = emitter.flush(60)
    seconds = time.perf_counter() - began_s
    emitter.close()
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    figures = ", ".join(f"{name} {took[int(len(took) * share)]:.1f} us" for name, share in shares.items())
    over = sum(1 for each_us in took if each_us > 1_000)
    sys.stdout.write(f"{figures}, max {took[-1]:.0f} us, over 1 ms: {over} of {len(took)}; ")
    sys.stdout.write(f"{len(took) / seconds:.0f} events/s until confirmed, {left} left; {emitter.stats()}\n")


if __name__ == "__main__":
    main()
