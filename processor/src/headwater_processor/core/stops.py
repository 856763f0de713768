"""Why a partition stops, in words, and the commands that help against each: they are not the same.

The words are kept in the state (`stopped` of the fence), so that every later owner, `headwater status` and the alert can
say them; `remedy` finds by them what to do.
"""

from __future__ import annotations

from typing import Final

_CANNOT_BE_READ: Final = "cannot be read"
_NO_STATE: Final = "Redis has no state"
_OTHER_LOG: Final = "recreated or truncated"
_LOST: Final = "left the log before they were read"
_NO_OFFSET: Final = "no longer holds the offset"


def empty_state(partition: int, committed: int) -> str:
    """Kafka knows that somebody was here before; Redis does not."""
    return f"{_NO_STATE} of partition {partition}, but Kafka has a committed offset of its group ({committed})"


def state_ahead(at: int, end: int) -> str:
    """The state has seen more than there is."""
    return f"the state is at offset {at}, the log ends at {end}: the topic was {_OTHER_LOG}"


def other_topic(stored: str) -> str:
    """The topic has another id than the one that the state was made from."""
    return f"the state is that of another topic ({stored}): it was {_OTHER_LOG}"


def lost_records(first: int, low: int) -> str:
    """Retention was faster than we."""
    return f"records {first} to {low - 1} {_LOST}"


def offset_gone(said: str) -> str:
    """The broker has no such offset any more; `said` are its words."""
    return f"the log {_NO_OFFSET} to read next ({said})"


def bad_records(partition: int, before: int, share_max: float) -> str:
    """Too many records before offset `before` are no events."""
    return f"more than {share_max:.0%} of the records of partition {partition} before offset {before} {_CANNOT_BE_READ}"


def of_bad_records(reason: str) -> bool:
    """Whether a partition stopped for the records' sake."""
    return _CANNOT_BE_READ in reason


def resume_command(partition: int) -> str:
    """What lets a partition go on."""
    return f"headwater worker resume {partition}"


def remedy(reason: str, resume: str) -> str:
    """What to do about a stop, for whoever was woken by it. `resume` is the command of `resume_command`."""
    if of_bad_records(reason):
        return (
            "Find and stop the producer of the bad records (headwater deadletter list; show names the field), "
            f"then let the rest of them pass: {resume}"
        )
    if _NO_STATE in reason:
        return (
            "Is it the right Redis (--redis) and --domain? If you have a copy: stop the workers, restore it, start them. "
            f"Else begin anew with what the topic still holds: {resume} --skip-lost (all partitions at once: stop the "
            "workers, then headwater worker --set processor.on_empty_state=earliest)"
        )
    if _OTHER_LOG in reason:
        return (
            "The state cannot go on with this log. Is it the right Kafka (--kafka)? Else stop the workers and begin anew: "
            "in another --domain, or in this one without its keys ({hw:DOMAIN}:*), "
            "with headwater worker --set processor.on_empty_state=earliest"
        )
    if _LOST in reason or _NO_OFFSET in reason:
        return (
            "They are gone from Kafka: the workers were away or behind for longer than the topic's retention. "
            f"Accept the loss and go on with the oldest record left: {resume} --skip-lost"
        )
    return f"Mend what the reason says, then: {resume}"
