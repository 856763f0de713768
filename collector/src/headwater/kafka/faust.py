"""A Faust app that says what it reads and writes: `watch(app)` after it is made.

    import faust
    import headwater.kafka.faust

    app = faust.App("orders-enricher", broker="kafka://broker:9092")
    headwater.kafka.faust.watch(app)

Faust's monitor keeps the offsets that were read and the ends of partitions anyway; they are asked for once a second.
Messages are looked at only until the first of each assigned partition has come. Records read are the offsets
moved by. Of what is sent the monitor keeps the number by topic, and no offsets.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from faust.types import TP

from headwater.kafka.reading import Place, Reading
from headwater.kafka.session import Lineage, Teller, teller_of
from headwater_schemas.events import Measure

LOOK_EVERY_S: Final = 1.0
_OWN: Final = ("-__assignor-__leader", "-changelog")
"""Faust's own topics end so: its state, not data that a job reads or writes."""

_watches: Final[weakref.WeakKeyDictionary[Any, Watch]] = weakref.WeakKeyDictionary()


def watch(app: Any, *, lineage: Lineage | None = None) -> Any:  # Any: a faust.App, whose type needs its parameters
    """Have the app say what it reads and writes; returns it. Called twice, it is watched once. Raises nothing."""
    if app not in _watches:
        _watches[app] = Watch(app, lineage)
    return app


class Watch:
    """What is known of one app, and its hooks in it."""

    def __init__(self, app: Any, lineage: Lineage | None) -> None:
        self._monitor = app.monitor
        self._reading = Reading()
        self._told: Counter[str] = Counter()
        servers = (
            ",".join(f"{url.host}:{url.port or 9092}" for url in app.conf.broker) if app.conf.broker else "unknown"
        )
        told: dict[str, Any] = {
            "servers": servers,
            "job": app.conf.id,
            "last": weakref.WeakMethod(self._last),
            "settings": None if app.conf.broker_credentials else {},
        }
        self._teller = teller_of(lineage, news=self._reading.news, reads=True, **told)
        if self._teller is None:
            return
        self._outputs = teller_of(lineage, news=self._sent, reads=False, **told)
        app.timer(LOOK_EVERY_S)(self._tick)
        app.on_partitions_assigned.connect(self._assigned, weak=False)
        app.on_partitions_revoked.connect(self._revoked, weak=False)
        app.on_before_shutdown.connect(self._shutdown, weak=False)

    async def _tick(self) -> None:
        if self._teller is not None:
            self._teller.quietly(self._look)
        for teller in self._tellers():
            progress = self._reading.progress if teller is self._teller else any(self._new())
            if teller.due(progress=progress):
                teller.quietly(teller.tell)

    async def _assigned(self, _app: Any, assigned: Iterable[TP], **_: Any) -> None:
        known = self._reading.places()
        places = [place for place in _places(assigned) if place not in known]
        if self._teller is not None and places:
            self._teller.quietly(lambda: self._begin(places))

    async def _revoked(self, _app: Any, revoked: Iterable[TP], **_: Any) -> None:
        known = self._reading.places()
        gone = [place for place in _places(revoked) if place in known]
        if self._teller is not None and gone:
            self._teller.quietly(lambda: self._end(gone))

    async def _shutdown(self, _app: Any, **_: Any) -> None:
        for teller in self._tellers():
            teller.quietly(self._look)
            teller.quietly(teller.note)
        for teller in self._tellers():
            teller.quietly(teller.leave)

    def _begin(self, places: list[Place]) -> None:
        self._reading.begin(places)
        self._monitor.__dict__["on_message_in"] = self._message_in
        if self._teller is not None:
            self._teller.name(dict.fromkeys(topic for topic, _ in places))
            self._teller.tell(now=True)

    def _end(self, places: list[Place]) -> None:
        self._look()
        self._reading.end(places)
        if self._teller is not None:
            self._teller.tell(now=True)

    def _message_in(self, tp: TP, offset: int, message: Any) -> None:
        """In place of the monitor's, until the first message of each partition has come."""
        type(self._monitor).on_message_in(self._monitor, tp, offset, message)
        self._reading.saw(tp.topic, tp.partition, offset)
        if not self._reading.unseen:
            self._monitor.__dict__.pop("on_message_in", None)

    def _look(self) -> None:
        for place in self._reading.places():
            last = self._monitor.tp_read_offsets.get(TP(*place))
            end = self._monitor.tp_end_offsets.get(TP(*place))
            if last is not None:
                self._reading.moved(place, last + 1, -1 if end is None else end)

    def _last(self) -> None:
        self._look()
        for teller in self._tellers():
            teller.note()

    def _tellers(self) -> list[Teller]:
        return [teller for teller in (self._teller, self._outputs) if teller is not None]

    def _new(self) -> Iterator[tuple[str, int]]:
        for topic, count in list(self._monitor.messages_sent_by_topic.items()):
            if count > self._told[topic] and not topic.endswith(_OWN):
                yield topic, count

    def _sent(self) -> Iterator[tuple[str, Measure]]:
        for topic, count in self._new():
            rows = count - self._told[topic]
            self._told[topic] = count
            yield topic, Measure(rows=rows)


def _places(partitions: Iterable[TP]) -> list[Place]:
    return [(tp.topic, tp.partition) for tp in partitions if not tp.topic.endswith(_OWN)]
