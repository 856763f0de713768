"""The Faust app of a worker: `headwater worker` starts it, and so does `faust -A headwater_processor.adapters.faust_app worker`.

One agent gives each poll to the engine and returns. It catches nothing because nothing can go wrong in it: whatever happens
to a poll afterwards is decided by the engine, never by Faust's acknowledgement of a failed event.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faust
from faust.app.base import BootStrategy

from headwater_processor.adapters.faust_transport import PollSchema
from headwater_processor.worker import Worker


class _Boot(BootStrategy):
    """No producer of Faust's: ours are idempotent and belong to the engine."""

    enable_kafka_producer = False
    enable_web = False


class App(faust.App):
    """A Faust app that carries its worker."""

    BootStrategy = _Boot
    headwater: Worker


def make_app(worker: Worker, datadir: Path) -> App:
    """The app around a worker. It is not started."""
    app = App(
        worker.group,
        broker=f"headwater://{worker.bootstrap_servers.split(',')[0]}",
        topic_disable_leader=True,
        store="memory://",
        datadir=str(datadir),
        web_enabled=False,
        broker_session_timeout=worker.session_timeout_s,
        stream_wait_empty=False,
    )
    app.headwater = worker
    topic = app.topic(worker.topic, schema=PollSchema())

    @app.agent(topic, name="headwater")
    async def lineage(stream: Any) -> None:
        async for poll in stream:
            worker.submit(poll)

    return app


def __getattr__(name: str) -> Any:
    """`faust -A` looks for `app`: it is made from the same settings as `headwater worker` uses."""
    if name != "app":
        raise AttributeError(name)
    from headwater_processor.local.worker_cli import app_from_environment

    made = globals()["app"] = app_from_environment()
    return made
