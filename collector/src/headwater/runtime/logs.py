"""Where log lines go: standard error, one a line, for people or as JSON. Secrets are masked on the way out."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final, TextIO

from headwater.masking import mask
from headwater.runtime.models import LogSettings

_PEOPLE: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_QUIET: Final = ("faust", "mode", "aiokafka", "asyncio", "kafka", "urllib3", "httpx")
"""Libraries that say at INFO what is of no use to whoever runs Headwater."""


class _InUtc(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        del datefmt
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


class _ForPeople(_InUtc):
    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


class _AsJson(_InUtc):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": mask(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = mask(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def configure(settings: LogSettings, *, stream: TextIO | None = None) -> None:
    """Set up the root logger of this process. Replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_AsJson() if settings.json_lines else _ForPeople(_PEOPLE))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
