"""What can go wrong, as one tree.

    HeadwaterError
    ├── ConfigError          a setting or a file is wrong; nothing was started
    ├── EventError           an event says nothing usable; it was not sent
    └── DeliveryError        an event was right and did not arrive; `retriable` says whether trying again can help
        ├── BufferFull       the emitter holds as many events as it may
        ├── BrokerUnavailable  Kafka, or another server that we send to, cannot be reached
        ├── Unauthorized     it knows us not, or forbids it
        └── NotSent          it never reached a way out, and how that ended: Spooled, Dropped
            ├── Spooled      it is safe on disk and goes out later; no loss
            └── Dropped      it could be kept nowhere; `reason` says why

Each error names the thing in its message and what to do about it in `remedy`; `str()` gives both.
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """Base of every error that Headwater raises on purpose."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class ConfigError(HeadwaterError):
    """A setting, flag or input file is wrong. Nothing was started."""


class EventError(HeadwaterError):
    """An event says nothing usable. `reason` is the key under which the emitter counts it."""

    def __init__(self, message: str, *, remedy: str = "", reason: str = "invalid") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason


class DeliveryError(HeadwaterError):
    """A valid event did not arrive. `retriable`: the same call may succeed later."""

    reason = "delivery"

    def __init__(self, message: str, *, remedy: str = "", retriable: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.retriable = retriable


class BufferFull(DeliveryError):  # noqa: N818 - named for what happened, as the tree above
    """The emitter's buffer holds `capacity` events already."""

    reason = "buffer_full"

    def __init__(self, message: str, *, remedy: str = "", retriable: bool = True) -> None:
        super().__init__(message, remedy=remedy, retriable=retriable)


class BrokerUnavailable(DeliveryError):  # noqa: N818 - named for what happened, as the tree above
    """No broker, or no server, answers."""

    reason = "broker_unavailable"

    def __init__(self, message: str, *, remedy: str = "", retriable: bool = True) -> None:
        super().__init__(message, remedy=remedy, retriable=retriable)


class Unauthorized(DeliveryError):  # noqa: N818 - named for what happened, as the tree above
    """Authentication failed, or the topic is forbidden to us. Not retriable: the credentials have to change."""

    reason = "unauthorized"


class NotSent(DeliveryError):  # noqa: N818 - named for what happened, as the tree above
    """The event did not get as far as a way out. Its subclasses say what became of it."""

    reason = "unsent"


class Spooled(NotSent):
    """The event is on disk, synced, and will be sent by this process or by the next one."""

    reason = "spooled"


class Dropped(NotSent):
    """The event could be kept nowhere and is lost. `reason` is the key under which the emitter counts it."""

    def __init__(self, message: str, *, remedy: str = "", reason: str) -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason
