"""The ways out that the environment describes, and what is done to names on them. Each kind is imported only where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headwater.config import EmitterConfig, NameSettings
from headwater.transports.base import Transport

if TYPE_CHECKING:
    from headwater.doors.rules import NameRules


def build(config: EmitterConfig) -> Transport:
    """The transport of these settings, with a spool behind it if a folder is given.

    A composite has a spool for each of its ways, in a folder of its own: one that is away must not keep the others'
    events on disk. A fallback has one behind all of them.

    Raises:
        ConfigError: it cannot be made of these settings.
    """
    if config.transport == "composite":
        from headwater.transports.composite import CompositeTransport

        return CompositeTransport([(name, _spooled(_single(name, config), config, name)) for name in config.parts])
    if config.transport == "fallback":
        from headwater.transports.fallback import FallbackTransport

        return _spooled(FallbackTransport([(name, _single(name, config)) for name in config.parts]), config)
    return _spooled(_single(config.transport, config), config)


def name_rules(names: NameSettings) -> NameRules:
    """The rules of these settings, with what this process learns of Kafka clusters. Raises ConfigError."""
    from headwater.doors.folding import DEFAULT_RULES
    from headwater.doors.learning import PROCESS
    from headwater.doors.namespaces import parsed
    from headwater.doors.rules import rules_of

    return rules_of(
        environment=names.environment,
        namespaces=parsed(names.namespaces),
        fold=DEFAULT_RULES if names.fold is None else names.fold,
        fold_off=names.fold_off,
        keep=names.keep,
        book=PROCESS if names.join_clusters else None,
    )


def _spooled(transport: Transport, config: EmitterConfig, part: str = "") -> Transport:
    if not config.spool:
        return transport
    from headwater.transports.spool import SpoolTransport

    # The bound is of the folder as a whole, whoever shares it.
    share = config.spool_bytes // len(config.parts) if part else config.spool_bytes
    return SpoolTransport(transport, Path(config.spool, part), max_bytes=share)


def _single(name: str, config: EmitterConfig) -> Transport:
    if name == "kafka":
        from headwater.transports.kafka import KafkaTransport

        return KafkaTransport(config.bootstrap_servers, config=config.kafka, topic_prefix=config.topic_prefix)
    if name == "http":
        from headwater.transports.http import HttpTransport

        return HttpTransport(
            config.http_url,
            token=config.http_token,
            compress=config.http_gzip,
            timeout_s=config.http_timeout_ms / 1_000,
        )
    if name == "file":
        from headwater.transports.file import FileTransport

        return FileTransport(config.file)
    if name == "console":
        from headwater.transports.console import ConsoleTransport

        return ConsoleTransport(config.console)
    from headwater.transports.memory import MemoryTransport

    return MemoryTransport()
