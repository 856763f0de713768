"""`headwater demo`: a web shop's data platform on this machine, living and going wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from headwater import Emitter
from headwater.masking import mask
from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings
from headwater.transports.kafka import KafkaTransport
from headwater_processor.local.cli_support import OwnStack, answering_errors, own_stack
from headwater_processor.local.discovery import announced
from headwater_processor.local.launch import check_redis, create_topics, local_topics, publish_policies, worker_launcher
from headwater_processor.local.narrator import Narrator, opening, stamped
from headwater_processor.local.running import until_signalled, watch
from headwater_processor.local.scenario import Scenario, shop
from headwater_processor.local.stack import Addresses, Stack
from headwater_processor.local.watch import Watcher
from headwater_schemas.topics import catalogue

POLICIES: Final = Path(__file__).parent / "demo_policies.yaml"

DEMO_SETTINGS: Final = {
    "processor.unlinked_grace_ms": "10000",
    "processor.domain_grace_ms": "0",
    "processor.run_timeout_ms": "60000",
}
"""The patience of a demo: seconds where a real domain has hours. What somebody sets wins."""

_EPILOG = """\b
Examples:
  headwater demo                    until Ctrl-C
  headwater demo --duration 90      stops by itself
  headwater demo --kafka broker:9092 --domain demo --set topic_prefix=demo.

\b
Exit codes: 0 stopped, 2 wrong usage or settings, 3 something did not start or died.
"""


@click.command(epilog=_EPILOG)
@click.option("--workers", type=click.IntRange(1, 8), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--duration", type=click.IntRange(0), default=0, metavar="SECONDS", help="Stop after this long; 0: never."
)
@click.pass_context
@answering_errors
def demo(context: click.Context, workers: int, duration: int) -> None:
    """Run Headwater with a living example: a web shop whose data goes wrong in three ways within a minute.

    Everything runs on this machine, in memory, and needs nothing else. Look at it with other headwater commands from
    another terminal; they find the demo by themselves. A Kafka or Redis that --kafka, --redis or --config names is used
    instead of its own: then the shop's events go there. One that only headwater.toml or a variable names is refused.
    """
    told = own_stack(context, on_the_line=True)
    settings, domain, prefix = told.settings, told.settings.domain, told.settings.topic_prefix
    launcher = worker_launcher(domain, told.arguments, patience(told))
    stack = Stack(local_topics(prefix), launcher, workers=workers, kafka=told.kafka, redis_url=told.redis_url)
    console = Console(highlight=False, soft_wrap=True)
    with until_signalled() as stop:
        try:
            console.print(_beginning(told))
            if told.redis_url:
                check_redis(settings.redis, settings.domain)
            if told.kafka:
                create_topics(settings.kafka, prefix)
            addresses = stack.start_services()
            kafka = told.kafka_at(addresses.kafka)
            with announced(addresses, domain, prefix, "demo"):
                publish_policies(kafka, POLICIES, prefix)
                stack.start_workers()
                _live(stack, addresses, kafka, prefix, console, stop, duration)
            console.print("\nStopping …")
        finally:
            stack.stop()
    console.print("Everything is stopped.")


def patience(told: OwnStack) -> dict[str, str]:
    """`DEMO_SETTINGS`, but for what somebody has set."""
    return {key: value for key, value in DEMO_SETTINGS.items() if key not in told.chosen}


def _beginning(told: OwnStack) -> str:
    """What is started; what somebody named is used, and is named: events of a demo in it may be a surprise."""
    own = [name for name, given in (("Kafka", told.kafka), ("Redis", told.redis_url)) if not given]
    used = [f"{name} at {mask(given)}" for name, given in (("Kafka", told.kafka), ("Redis", told.redis_url)) if given]
    started = ", ".join(own) + " and Headwater" if own else "Headwater"
    with_ = f", with your {' and '.join(used)}" if used else ""
    return f"Starting {started} on this machine{with_} …"


def _live(
    stack: Stack,
    addresses: Addresses,
    kafka: KafkaSettings,
    prefix: str,
    console: Console,
    stop: Event,
    duration_s: int,
) -> None:
    """Let the world live until somebody stops it, or its time is over."""
    topics = catalogue(prefix)
    start_us = _now_us()
    show = Show(shop(start_us), console, start_us)
    for line in opening(show.world, addresses):
        console.print(line)
    watcher = Watcher(kafka, topics["alerts"].name, topics["deltas"].name)
    transport = KafkaTransport(kafka.bootstrap_servers, config=client_config(kafka), topic_prefix=prefix)
    try:
        with Emitter(transport, job="demo") as emitter:

            def tick() -> None:
                show.tick(emitter, watcher)
                if duration_s and _now_us() - start_us > duration_s * 1_000_000:
                    stop.set()

            watch(stack, stop, lambda line: show.say([Text(line, "yellow")]), tick)
            emitter.close(timeout_s=1.0)
    finally:
        watcher.close()


class Show:
    """The world, and what is told of it on the terminal."""

    def __init__(self, world: Scenario, console: Console, start_us: int) -> None:
        self.world = world
        self._console = console
        self._start_us = start_us
        self._narrator = Narrator(start_us)

    def tick(self, emitter: Emitter, watcher: Watcher) -> None:
        """Send what is due, tell what came back."""
        now_us = _now_us()
        events = list(self.world.advance(now_us))
        for event in events:
            emitter.emit(event)
        self.say(self._narrator.world(events, now_us))
        self.say(self._narrator.headwater(watcher.arrived(0.0)))

    def say(self, lines: Iterable[Text]) -> None:
        """Print the lines with the time in front."""
        for line in lines:
            self._console.print(stamped(line, _now_us() - self._start_us))


def _now_us() -> int:
    return time.time_ns() // 1000
