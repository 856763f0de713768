"""`headwater trace`: what a dataset comes from and what depends on it, down to pods and Kafka offsets."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from rich.console import Group

from headwater.cli.context import invocation
from headwater_processor.local import trace_view
from headwater_processor.local.cli_support import answer, answering_errors, domain_of, open_reader
from headwater_processor.local.completing import complete_dataset
from headwater_processor.state.values import JobState
from headwater_processor.state.walk import DOWNSTREAM, UPSTREAM

if TYPE_CHECKING:
    from headwater_processor.local.lag import Lags

_EPILOG = """\b
Examples:
  headwater trace 'snowflake://acme-shop/analytics.marts.daily_sales'
  headwater trace orders --downstream --depth 2      a name that is unique needs no namespace
  headwater trace s3://lake/orders/daily --lag       asks Kafka how far the readers are behind
  headwater trace 's3://lake/raw/orders' --output json | jq '.jobs[].last_ok.offsets'

\b
Exit codes: 0 found, 2 wrong usage or settings, 3 Redis (with --lag: Kafka) cannot be reached,
4 no such dataset (the nearest names are said).
"""


@click.command(epilog=_EPILOG)
@click.argument("dataset", shell_complete=complete_dataset)
@click.option("--upstream", "direction", flag_value=UPSTREAM, default=True, help="What it is made from (default).")
@click.option("--downstream", "direction", flag_value=DOWNSTREAM, help="What is made from it.")
@click.option(
    "--depth", type=click.IntRange(1, 100), default=5, show_default=True, help="How many jobs far the walk goes."
)
@click.option("--lag", is_flag=True, help="Ask Kafka how far each job is behind the topics that it reads.")
@click.pass_context
@answering_errors
def trace(context: click.Context, dataset: str, direction: str, depth: int, *, lag: bool) -> None:
    """Walk from DATASET to where it comes from, or to what is made from it.

    Each job is shown with its last run, its last success, the pod, image and node it ran on, and the Kafka offsets it
    read and wrote. DATASET is "namespace/name", or a name alone if it is unique.
    """
    with open_reader(context) as reader:
        found = reader.trace(dataset, direction, depth)
    lags = _lags(context, found.jobs) if lag else None
    now_us = time.time_ns() // 1000
    answer(
        context,
        lambda: trace_view.as_object(found, domain_of(context), lags),
        lambda: Group(trace_view.as_tree(found, now_us, lags)),
    )


def _lags(context: click.Context, jobs: Iterable[JobState]) -> Lags:
    from headwater_processor.local.lag import lags_of  # with it comes Kafka's client

    return lags_of(jobs, invocation(context).settings().kafka)
