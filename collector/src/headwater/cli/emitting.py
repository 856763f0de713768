"""The SDK's emitter for commands: where its events go, by the SDK's variables or by the command line's settings."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from headwater.cli.context import invocation
from headwater.config import PREFIX, switched_off
from headwater.doors.learning import PROCESS
from headwater.emitter import Emitter
from headwater.runtime.kafka import client_config
from headwater.transports.kafka import KafkaTransport

_WAYS_OUT: Final = tuple(f"{PREFIX}{name}" for name in ("TRANSPORT", "HTTP_URL", "FILE", "KAFKA_BOOTSTRAP_SERVERS"))


def emitter_of(context: click.Context, **options: Any) -> Emitter:  # Any: as for Emitter(...)
    """As the SDK's variables say, if they name a way out, else to the Kafka of the command line's settings.

    Raises:
        ConfigError: settings are wrong.
    """
    options = {"on_sigterm": "off", **options}
    if switched_off(os.environ) or any(os.environ.get(name, "").strip() for name in _WAYS_OUT):
        return Emitter.from_env(**options)
    settings = invocation(context).settings()
    transport = KafkaTransport(
        settings.kafka.bootstrap_servers, config=client_config(settings.kafka), topic_prefix=settings.topic_prefix
    )
    return Emitter(transport, **{"rules": settings.doors.rules(PROCESS), **options})
