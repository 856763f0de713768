"""What to set where, so that a producer speaks to this installation. Pure: an installation in, texts out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from headwater.connect.guides import capture, functions, jobs, openlineage
from headwater.connect.guides.parts import Guide, Snippet, Wanted
from headwater.connect.places import Installation

_GUIDES: Final[Mapping[str, Callable[[Installation, Wanted], Guide]]] = {
    "debezium": capture.debezium,
    "connect": capture.connect,
    "openlineage": openlineage.any_client,
    "airflow": openlineage.airflow,
    "spark": openlineage.spark,
    "dbt": openlineage.dbt,
    "job": jobs.job,
    "kafka-client": jobs.kafka_client,
    "emit-run": jobs.emit_run,
    "function": functions.function,
}


def guide(subject: str, place: Installation, wanted: Wanted) -> Guide:
    """All settings for a subject of `headwater.connect.hearing.SUBJECTS`."""
    return _GUIDES[subject](place, wanted)


__all__ = ["Guide", "Snippet", "Wanted", "guide"]
