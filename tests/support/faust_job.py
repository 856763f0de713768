"""A Faust app under `headwater.kafka.faust`: `python -m tests.support.faust_job SERVERS SOURCE TARGET`; SIGTERM ends it."""

from __future__ import annotations

import sys
import tempfile
from typing import Any

import faust

import headwater.kafka.faust
from headwater.kafka import Lineage


def main() -> None:
    """See the module's text."""
    servers, source, target = sys.argv[1:]
    app = faust.App(
        f"enrich-{source}",
        broker=f"kafka://{servers}",
        value_serializer="raw",
        topic_disable_leader=True,
        web_enabled=False,
        datadir=tempfile.mkdtemp(),
    )
    headwater.kafka.faust.watch(app, lineage=Lineage(every_s=0.5))
    outputs = app.topic(target, value_type=bytes)

    @app.agent(app.topic(source, value_type=bytes))
    async def enrich(values: Any) -> None:
        async for value in values:
            await outputs.send(value=value)

    faust.Worker(app, loglevel="error").execute_from_commandline()


if __name__ == "__main__":
    main()
