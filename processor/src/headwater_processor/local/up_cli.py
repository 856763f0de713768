"""`headwater up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import click

from headwater.masking import mask
from headwater_processor.local.cli_support import answering_errors, own_stack
from headwater_processor.local.discovery import announced
from headwater_processor.local.launch import check_redis, create_topics, local_topics, worker_launcher
from headwater_processor.local.running import until_signalled, watch
from headwater_processor.local.stack import Addresses, Stack

_EPILOG = """\b
Examples:
  headwater up                                      broker and Redis of its own, one worker
  headwater up --workers 2
  headwater up --kafka broker:9092 --redis redis://localhost:6379/0

\b
Exit codes: 0 stopped by Ctrl-C or SIGTERM, 2 wrong usage or settings, 3 something did not start or died.
"""


@click.command(epilog=_EPILOG)
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="Worker processes.")
@click.pass_context
@answering_errors
def up(context: click.Context, workers: int) -> None:
    """Run Headwater on this machine: Kafka, Redis, workers.

    The embedded broker and Redis keep everything in memory and forget it when they stop; --kafka and --redis use others.
    Other headwater commands on this machine find what runs here by themselves.
    """
    told = own_stack(context)
    settings, domain, prefix = told.settings, told.settings.domain, told.settings.topic_prefix
    launcher = worker_launcher(domain, told.arguments, {})
    stack = Stack(local_topics(prefix), launcher, workers=workers, kafka=told.kafka, redis_url=told.redis_url)
    with until_signalled() as stop:
        try:
            if told.redis_url:
                check_redis(settings.redis, settings.domain)
            if told.kafka:
                create_topics(settings.kafka, prefix)
            addresses = stack.start_services()
            with announced(addresses, domain, prefix, "up"):
                stack.start_workers()
                click.echo(_welcome(addresses, domain, prefix, workers))
                watch(stack, stop, click.echo, lambda: None)
            click.echo("Stopping …")
        finally:
            stack.stop()
    click.echo("Everything is stopped.")


def _welcome(addresses: Addresses, domain: str, prefix: str, workers: int) -> str:
    where = f"HEADWATER_KAFKA_BOOTSTRAP_SERVERS={addresses.kafka}"
    if prefix != "lineage.":
        where += f" HEADWATER_TOPIC_PREFIX={prefix}"
    return f"""Headwater is running: domain {domain}, {workers} worker{"s" if workers > 1 else ""}.
  Kafka  {addresses.kafka}
  Redis  {mask(addresses.redis_url)}

Send events from Python
  {where} python your_job.py
or from files that openlineage-python wrote
  headwater emit --openlineage FILE
and look
  headwater status

Ctrl-C stops everything.
"""
