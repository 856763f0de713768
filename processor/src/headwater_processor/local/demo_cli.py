"""`headwater demo`: a web shop's data platform on this machine, living and going wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Event
from typing import Final

import click
from rich.console import Console
from rich.text import Text

from headwater import Emitter
from headwater.masking import mask
from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings, Settings
from headwater.transports.kafka import KafkaTransport
from headwater_processor.local.cli_support import OwnStack, answering_errors, own_stack
from headwater_processor.local.demo_doors import PARTITIONS, TOPIC, Doors
from headwater_processor.local.discovery import announced
from headwater_processor.local.launch import check_redis, create_topics, local_topics, publish_policies, worker_launcher
from headwater_processor.local.narrator import Narrator, opening, stamped
from headwater_processor.local.running import until_signalled, watch
from headwater_processor.local.scenario import shop
from headwater_processor.local.stack import Addresses, Stack
from headwater_processor.local.terminal import can_draw, is_terminal
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
  headwater demo --plain            tells line by line, as it also does where output is no terminal
  headwater demo --kafka broker:9092 --domain demo --set topic_prefix=demo.

\b
Exit codes: 0 stopped, 2 wrong usage or settings, 3 something did not start or died.
"""


@click.command(epilog=_EPILOG)
@click.option("--workers", type=click.IntRange(1, 8), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--duration", type=click.IntRange(0), default=0, metavar="SECONDS", help="Stop after this long; 0: never."
)
@click.option("--plain", is_flag=True, help="Tell it in lines instead of showing headwater top.")
@click.pass_context
@answering_errors
def demo(context: click.Context, workers: int, duration: int, plain: bool) -> None:
    """Run Headwater with a living example: a web shop whose data goes wrong in three ways within a minute.

    On a terminal it shows what headwater top shows, and q ends it. Everything runs on this machine, in memory, and needs
    nothing else. Look at it with other headwater commands from
    another terminal; they find the demo by themselves. A Kafka or Redis that --kafka, --redis or --config names is used
    instead of its own: then the shop's events go there. One that only headwater.toml or a variable names is refused.
    """
    told = own_stack(context, on_the_line=True)
    settings, domain, prefix = told.settings, told.settings.domain, told.settings.topic_prefix
    launcher = worker_launcher(domain, told.arguments, patience(told))
    topics = {**local_topics(prefix), TOPIC: PARTITIONS}
    stack = Stack(topics, launcher, workers=workers, kafka=told.kafka, redis_url=told.redis_url)
    console = Console(highlight=False, soft_wrap=True)
    with until_signalled() as stop:
        try:
            console.print(_beginning(told))
            if told.redis_url:
                check_redis(settings.redis, settings.domain)
            if told.kafka:
                create_topics(settings.kafka, prefix, {TOPIC: PARTITIONS})
            addresses = stack.start_services()
            kafka = told.kafka_at(addresses.kafka)
            with announced(addresses, domain, prefix, "demo"):
                publish_policies(kafka, POLICIES, prefix)
                stack.start_workers()
                doors = Doors(kafka, prefix, stack.folder, embedded=not told.kafka, arguments=told.arguments)
                world = World(kafka, prefix, stop, duration, doors)
                if plain or not is_terminal() or not can_draw():
                    _tell(world, stack, addresses, console)
                else:
                    _show(world, stack, _settings_at(settings, kafka, addresses))
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


def _settings_at(settings: Settings, kafka: KafkaSettings, addresses: Addresses) -> Settings:
    """The settings as other commands have them that find the demo by themselves."""
    redis = settings.redis.model_copy(update={"url": addresses.redis_url})
    return settings.model_copy(update={"kafka": kafka, "redis": redis})


def _tell(world: World, stack: Stack, addresses: Addresses, console: Console) -> None:
    """Let the world live, and tell it line by line."""

    def say(lines: Iterable[Text]) -> None:
        for line in lines:
            console.print(stamped(line, _now_us() - world.start_us))

    for line in opening(world.shop, addresses):
        console.print(line)
    watcher = Watcher(world.kafka, world.topics["alerts"].name, world.topics["deltas"].name)
    try:

        def after(happened: Iterator[Text]) -> None:
            say(happened)
            say(world.narrator.headwater(watcher.arrived(0.0)))

        world.live(stack, lambda line: say([Text(line, "yellow")]), after)
    finally:
        watcher.close()


def _show(world: World, stack: Stack, settings: Settings) -> None:
    """Let the world live in a thread of its own, and show what Headwater makes of it on the whole screen.

    Raises:
        ServiceError: as `running.watch`; the screen is gone by then.
    """
    from headwater_processor.local.top.model import Note
    from headwater_processor.local.top_cli import viewing

    failed: list[Exception] = []
    with viewing(settings) as (view, mailbox):

        def say(text: str) -> None:
            mailbox.put([Note(_now_us(), text)])

        def after(happened: Iterator[Text]) -> None:
            for line in happened:
                say(line.plain.removeprefix("world").strip())

        def live() -> None:
            try:
                world.live(stack, say, after)
            except Exception as error:  # noqa: BLE001 - raised again below, when the screen is gone
                failed.append(error)
            finally:
                world.stop.set()

        say("a web shop is at work; within a minute three things go wrong")
        thread = threading.Thread(target=live, name="hw-demo-world")
        thread.start()
        try:
            view.show(world.stop)
        finally:
            world.stop.set()
            thread.join()
    if failed:
        raise failed[0]


class World:
    """The web shop at work on a Kafka, until `stop` is set or its time is over, and the real doors beside it."""

    def __init__(self, kafka: KafkaSettings, prefix: str, stop: Event, duration_s: int, doors: Doors) -> None:
        self.kafka = kafka
        self._doors = doors
        self.topics = catalogue(prefix)
        self.stop = stop
        self.start_us = _now_us()
        self.shop = shop(self.start_us)
        self.narrator = Narrator(self.start_us)
        self._prefix = prefix
        self._end_us = self.start_us + duration_s * 1_000_000 if duration_s else 0

    def live(self, stack: Stack, say: Callable[[str], None], after: Callable[[Iterator[Text]], object]) -> None:
        """Send what is due ten times a second; `after` is told what happened, `say` what became of the stack.

        Raises:
            ServiceError: as `running.watch`.
        """
        transport = KafkaTransport(
            self.kafka.bootstrap_servers, config=client_config(self.kafka), topic_prefix=self._prefix
        )
        with Emitter(transport, job="demo") as emitter:

            def tick() -> None:
                now_us = _now_us()
                events = list(self.shop.advance(now_us))
                for event in events:
                    emitter.emit(event)
                after(self.narrator.world(events, now_us))
                for line in self._doors.look():
                    say(line)
                if self._end_us and now_us > self._end_us:
                    self.stop.set()

            self._doors.start()
            try:
                watch(stack, self.stop, say, tick)
            finally:
                self._doors.stop()
            emitter.close(timeout_s=1.0)


def _now_us() -> int:
    return time.time_ns() // 1000
