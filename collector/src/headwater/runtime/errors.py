"""The errors of commands and workers, beside those of the SDK, and the exit code that each ends with.

HeadwaterError                 (headwater.errors)
├── ConfigError
│   └── UsageError             a flag, variable or file of settings is wrong                      2
├── DeliveryError …            Kafka is away or refuses                                           3
├── RedisUnavailable           Redis is away or refuses                                           3
└── RefusedError               what was given was read and is not acceptable                      4
"""

from __future__ import annotations

from typing import Final

from headwater.errors import ConfigError, DeliveryError, EventError, HeadwaterError

EXIT_OK: Final = 0
EXIT_FINDING: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_REFUSED: Final = 4
EXIT_BUG: Final = 70
EXIT_INTERRUPTED: Final = 130


class UsageError(ConfigError):
    """A flag, an environment variable or a file of settings is wrong. Nothing was started."""


class RefusedError(HeadwaterError):
    """The input was understood and is not acceptable: some events, a policy, a topic that differs."""


class RedisUnavailable(HeadwaterError):  # noqa: N818 - named for what happened, as in headwater.errors
    """Redis does not answer, or not us. `retriable`: the same call may succeed later, with no reset in between."""

    def __init__(self, message: str, *, remedy: str = "", retriable: bool = True) -> None:
        super().__init__(message, remedy=remedy)
        self.retriable = retriable


_CODES: Final[tuple[tuple[type[HeadwaterError], int], ...]] = (
    (ConfigError, EXIT_USAGE),
    (DeliveryError, EXIT_UNREACHABLE),
    (RedisUnavailable, EXIT_UNREACHABLE),
    (EventError, EXIT_REFUSED),
    (RefusedError, EXIT_REFUSED),
)


def exit_code(error: HeadwaterError) -> int:
    """The exit code of a command that ends with this error; a class of its own may say it as `exit_code`."""
    said = getattr(error, "exit_code", None)
    if isinstance(said, int):
        return said
    return next((code for kind, code in _CODES if isinstance(error, kind)), EXIT_REFUSED)
