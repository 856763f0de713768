"""What a run has read and written so far, and what of it is new since the last event. Pure; not thread-safe."""

from __future__ import annotations

from dataclasses import replace

from headwater.validation import MOST_DATASETS, MOST_MEASURES
from headwater_schemas.events import DatasetUse, Lifecycle, Measure

UNMEASURED = Measure()
"""A dataset was named, and nothing else."""

Side = dict[tuple[str, str], DatasetUse]
Measures = dict[tuple[str, str, int], Measure]
Uses = tuple[DatasetUse, ...]


class Ledger:
    """Inputs and outputs by name, their measures by partition, in total and since the last event.

    Bounded as one event is: what is beyond is not kept, and `incomplete` is True from then on.
    """

    def __init__(self) -> None:
        self._inputs: Side = {}
        self._outputs: Side = {}
        self._total: tuple[Measures, Measures] = ({}, {})
        self._news: tuple[Measures, Measures] = ({}, {})
        self.incomplete = False

    def reads(self, use: DatasetUse, measure: Measure) -> None:
        """Note an input and what was measured of it."""
        self._note(0, use, measure)

    def writes(self, use: DatasetUse, measure: Measure) -> None:
        """Note an output and what was measured of it."""
        self._note(1, use, measure)

    def at_start(self) -> tuple[Uses, Uses]:
        """What is known when the run begins. Lifecycle changes are left out: they have not happened yet."""
        inputs, outputs = self._with(self._news)
        return inputs, _lasting(outputs)

    def names(self) -> tuple[Uses, Uses]:
        """Inputs and outputs without measures and lifecycle changes; what is new stays new."""
        return tuple(self._inputs.values()), _lasting(tuple(self._outputs.values()))

    def since_last(self) -> tuple[Uses, Uses]:
        """Inputs and outputs with what was measured since this or `at_start` was asked last.

        A lifecycle change is told once: told again later, a DROP would drop what somebody made in between.
        """
        told = self._with(self._news)
        for key, use in list(self._outputs.items()):
            if use.lifecycle is Lifecycle.DROP:
                del self._outputs[key]
            elif use.lifecycle is not Lifecycle.NONE:
                self._outputs[key] = replace(use, lifecycle=Lifecycle.NONE, previous=None)
        return told

    def everything(self) -> tuple[Uses, Uses]:
        """Inputs and outputs with all that was measured, and the lifecycle changes not told yet."""
        return self._with(self._total)

    def _with(self, measures: tuple[Measures, Measures]) -> tuple[Uses, Uses]:
        told = _uses(self._inputs, measures[0]), _uses(self._outputs, measures[1])
        self._news[0].clear()
        self._news[1].clear()
        return told

    def _note(self, which: int, use: DatasetUse, measure: Measure) -> None:
        side = (self._inputs, self._outputs)[which]
        key = (use.namespace, use.name)
        known = side.get(key)
        if known is None and len(self._inputs) + len(self._outputs) >= MOST_DATASETS:
            self.incomplete = True
            return
        side[key] = use if known is None else _merged_use(known, use)
        if measure == UNMEASURED:
            return
        total, news = self._total[which], self._news[which]
        place = (*key, measure.partition)
        if place not in total and len(self._total[0]) + len(self._total[1]) >= MOST_MEASURES:
            self.incomplete = True
            return
        total[place] = _merged_measure(total[place], measure) if place in total else measure
        news[place] = _merged_measure(news[place], measure) if place in news else measure


def _lasting(outputs: Uses) -> Uses:
    """The outputs without their lifecycle changes; those that are dropped are left out."""
    lasting = (use for use in outputs if use.lifecycle is not Lifecycle.DROP)
    return tuple(
        use if use.lifecycle is Lifecycle.NONE else replace(use, lifecycle=Lifecycle.NONE, previous=None)
        for use in lasting
    )


def _uses(side: Side, measures: Measures) -> Uses:
    of: dict[tuple[str, str], list[Measure]] = {}
    for (namespace, name, _), measure in measures.items():
        of.setdefault((namespace, name), []).append(measure)
    return tuple(replace(use, measures=tuple(of.get(key, ()))) for key, use in side.items())


def _merged_use(old: DatasetUse, new: DatasetUse) -> DatasetUse:
    changed = new.lifecycle is not Lifecycle.NONE
    return replace(
        old,
        schema_version=new.schema_version or old.schema_version,
        aliases=tuple(dict.fromkeys((*old.aliases, *new.aliases))),
        lifecycle=new.lifecycle if changed else old.lifecycle,
        previous=new.previous if changed else old.previous,
    )


def _merged_measure(old: Measure, new: Measure) -> Measure:
    return Measure(
        partition=new.partition,
        first_offset=min((offset for offset in (old.first_offset, new.first_offset) if offset >= 0), default=-1),
        last_offset=max(old.last_offset, new.last_offset),
        rows=_sum(old.rows, new.rows),
        bytes=_sum(old.bytes, new.bytes),
        lag=new.lag if new.lag >= 0 else old.lag,
        data_through_us=max(old.data_through_us, new.data_through_us),
    )


def _sum(old: int, new: int) -> int:
    return max(old, 0) + max(new, 0) if max(old, new) >= 0 else -1
