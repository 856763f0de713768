"""What the state must be after a number of events: SEMANTICS.md, section 3, event by event."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.oracle import about
from tests.support.oracle.elements import (
    NO_KEY,
    Context,
    Dataset,
    Edge,
    Event,
    Job,
    Pair,
    Rules,
    Run,
    entity_key,
    entity_name,
    invert,
)


class State:
    """Everything that is kept for a domain, as plain dicts by binary key."""

    def __init__(self, rules: Rules, canonical: Callable[[str, str], tuple[str, str]]) -> None:
        self.rules = rules
        self._canonical = canonical
        self._keys: dict[tuple[bytes, str, str], bytes] = {}
        self.names: dict[bytes, bytes] = {}
        self.parent_names: set[bytes] = set()
        self.parents: set[bytes] = set()
        self.datasets: dict[bytes, Dataset] = {}
        self.jobs: dict[bytes, Job] = {}
        self.edges: dict[bytes, Edge] = {}
        self.emitters: dict[bytes, int] = {}
        self.emits: set[bytes] = set()
        self.aliases: dict[bytes, int] = {}
        self.runs: dict[bytes, Run] = {}
        self.about: dict[bytes, Pair] = {}
        """Node key + byte of the fact to (c, event id + text)."""

    # --- names ---------------------------------------------------------------------------------------------------

    def key(self, kind: bytes, namespace: str, name: str) -> bytes:
        known = self._keys.get((kind, namespace, name))
        if known is None:
            pair = self._canonical(namespace, name) if kind == b"d" else (namespace, name)
            named = entity_name(kind, *pair)
            known = self._keys[kind, namespace, name] = entity_key(named)
            self.names[known] = named
        return known

    def label(self, key: bytes) -> str:
        """`namespace/name` of a key, as deltas write it in one string."""
        namespace, _, name = self.names[key][1:].partition(b"\0")
        return f"{namespace.decode()}/{name.decode()}"

    def pair(self, key: bytes) -> tuple[str, str]:
        namespace, _, name = self.names[key][1:].partition(b"\0")
        return namespace.decode(), name.decode()

    def dataset(self, key: bytes) -> Dataset:
        found = self.datasets.get(key)
        if found is None:
            found = self.datasets[key] = Dataset()
        return found

    # --- one event -----------------------------------------------------------------------------------------------

    def context(self, event: Event, partition: int, append_us: int, undeduped: bool) -> Context:
        bound = append_us + self.rules.max_future_us
        c = min(event["event_time"], bound)
        job, end = event["job"], event["nominal_end"]
        named = job["namespace"] or job["name"]
        return Context(
            event=event,
            partition=partition,
            c=c,
            bound_us=bound,
            undeduped=undeduped,
            event_id=event["event_id"],
            run_id=event["run_id"],
            job=self.key(b"j", job["namespace"], job["name"]) if named else None,
            emitter=self.key(b"e", "", event["emitter"]) if event["emitter"] else NO_KEY,
            inputs=[self.key(b"d", use["namespace"], use["name"]) for use in event["inputs"]],
            outputs=[self.key(b"d", use["namespace"], use["name"]) for use in event["outputs"]],
            backfill=event["backfill"] or (end > 0 and c - end > self.rules.backfill_age_us),
        )

    def merge(self, event: Event, partition: int, append_us: int, undeduped: bool) -> None:
        """Section 3."""
        x = self.context(event, partition, append_us, undeduped)
        self._datasets(x)
        self._lifecycle(x)
        self._edges(x)
        self._job(x)
        self._emitter(x)
        self._aliases(x)
        self._about(x)
        proven = self._freshness(x)
        if x.run is not None and not undeduped:
            self._run(x, x.run, proven)

    def _touch(self, x: Context, key: bytes, version: str = "") -> Dataset:
        d = self.dataset(key)
        d.asserted = max(d.asserted, x.c)
        d.first_seen = max(d.first_seen, (-x.c, invert(x.event_id) + (x.job or b"")))
        if version:
            d.schema_version = max(d.schema_version, (x.c, x.event_id + version.encode()))
            d.versions.add(version)
        return d

    def _datasets(self, x: Context) -> None:
        for key, use in zip(x.inputs, x.event["inputs"], strict=True):
            d = self._touch(x, key, use["schema_version"])
            d.first_read = max(d.first_read, -x.c)
        for at, key in x.kept_outputs():
            d = self._touch(x, key, x.event["outputs"][at]["schema_version"])
            d.first_written = max(d.first_written, -x.c)
        for source, target in self._direct(x):
            d = self._touch(x, source)
            d.first_read = max(d.first_read, -x.c)
            d = self._touch(x, target)
            d.first_written = max(d.first_written, -x.c)

    def _direct(self, x: Context) -> list[tuple[bytes, bytes]]:
        return [
            (
                self.key(b"d", edge["source_namespace"], edge["source_name"]),
                self.key(b"d", edge["target_namespace"], edge["target_name"]),
            )
            for edge in x.event["edges"]
        ]

    def _retract(self, x: Context, key: bytes) -> Dataset:
        d = self.dataset(key)
        d.retracted = max(d.retracted, x.c)
        d.retractions.add(x.c)
        return d

    def _lifecycle(self, x: Context) -> None:
        for key, use in zip(x.outputs, x.event["outputs"], strict=True):
            what = use["lifecycle"]
            if what == "DROP":
                self._retract(x, key)
            elif what == "TRUNCATE":
                d = self.dataset(key)
                d.truncated = max(d.truncated, x.c)
                d.truncations.add(x.c)
            elif what == "RENAME" and use["previous_name"]:  # reading: a previous *name*, a namespace alone is none
                d = self._retract(x, self.key(b"d", use["previous_namespace"], use["previous_name"]))
                d.renamed_to = max(d.renamed_to, (x.c, x.event_id + key))
                d.renames.add(key)

    def _edges(self, x: Context) -> None:
        keys = [b"d" + source + target for source, target in self._direct(x)]
        if x.job is not None:
            keys += [b"r" + key + x.job for key in x.inputs]
            keys += [b"w" + x.job + key for _, key in x.kept_outputs()]
        first = (-x.c, invert(x.event_id) + x.run_id)
        for key in keys:
            edge = self.edges.get(key)
            if edge is None:
                edge = self.edges[key] = Edge(first)
            edge.first_seen = max(edge.first_seen, first)
            edge.asserted = max(edge.asserted, end_of_minute(x.c))

    def _job(self, x: Context) -> None:
        if x.job is None:
            return
        first = (-x.c, invert(x.event_id) + x.emitter)
        job = self.jobs.get(x.job)
        if job is None:
            job = self.jobs[x.job] = Job(first)
        job.first_seen = max(job.first_seen, first)
        job.asserted = max(job.asserted, end_of_minute(x.c))
        if x.inputs:
            job.first_input = max(job.first_input, -x.c)
        if x.outputs:  # reading: any output counts, dropped ones too
            job.first_output = max(job.first_output, -x.c)
        job.streaming |= x.event["processing"] == "STREAMING"

    def _emitter(self, x: Context) -> None:
        if x.emitter == NO_KEY:
            return
        self.emitters[x.emitter] = max(self.emitters.get(x.emitter, 0), x.c)
        self.emits.update(x.emitter + key for _, key in x.kept_outputs())

    def _aliases(self, x: Context) -> None:
        uses = list(zip(x.inputs + x.outputs, x.event["inputs"] + x.event["outputs"], strict=True))
        for key, use in uses:
            for alias in use["aliases"]:
                other = self.key(b"d", alias["namespace"], alias["name"])
                pair = min(key, other) + max(key, other)
                self.aliases[pair] = max(self.aliases.get(pair, 0), x.c)

    def _about(self, x: Context) -> None:
        used = {*x.inputs, *x.outputs}
        facets = x.event["facets"]
        for field, text in about.said(facets, x.job, used, self._key_unnamed):
            self.about[field] = max(self.about.get(field, (0, b"")), (x.c, x.event_id + text))

    def _key_unnamed(self, namespace: str, name: str) -> bytes:
        """The key of a dataset that facets speak of: that alone makes it none that is known."""
        return entity_key(entity_name(b"d", *self._canonical(namespace, name)))

    def about_image(self, node: bytes) -> dict[str, object] | None:
        """What the image of a node says; None if nobody ever said anything."""
        known = {field[12:]: said[1][16:] for field, said in self.about.items() if field[:12] == node}
        return about.image(known) if known else None

    # --- freshness -----------------------------------------------------------------------------------------------

    def _output_measures(self, x: Context, key: bytes) -> list[dict[str, int]]:
        """M(D): reading: the measures that point at an output entry of D; what was read of D proves no write."""
        ats = {len(x.inputs) + at for at, each in x.kept_outputs() if each == key}
        return [m for m in x.event["measures"] if m["dataset"] in ats]

    def _freshness(self, x: Context) -> bool:
        """Merges freshness of the outputs; whether one of them was proven by measure."""
        any_proven = False
        for key in {key for _, key in x.kept_outputs()}:
            measures = self._output_measures(x, key)
            proven = x.kind in ("RUNNING", "OTHER") and not x.backfill and any(map(_proves, measures))
            any_proven |= proven
            if proven or (x.kind == "COMPLETE" and not x.backfill and x.run is None):
                self._credit(key, x.c, x.who(), {x.partition})
            self._through(x, key, measures)
            if x.kind in ("FAIL", "ABORT") and x.run is None:
                self._fail(key, x.c)
        return any_proven

    def _credit(self, key: bytes, c: int, who: bytes, writers: set[int]) -> None:
        d = self.dataset(key)
        d.last_write = max(d.last_write, (c, who))
        d.credits.add(c)
        d.writers |= writers

    def _fail(self, key: bytes, c: int) -> None:
        d = self.dataset(key)
        d.last_failure = max(d.last_failure, c)
        d.failures.add(c)

    def _through(self, x: Context, key: bytes, measures: list[dict[str, int]]) -> None:
        times = []
        if x.kind not in ("FAIL", "ABORT"):
            times += [m["data_through"] for m in measures if m["data_through"] > 0]
        if x.kind == "COMPLETE" and x.event["nominal_end"] > 0:
            times.append(x.event["nominal_end"])
        for time in times:
            d = self.dataset(key)
            bounded = min(time, x.bound_us)
            d.data_through = max(d.data_through, bounded)
            d.throughs.add(bounded)

    # --- runs ----------------------------------------------------------------------------------------------------

    def _run(self, x: Context, key: bytes, proven: bool) -> None:
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = Run(first=x.c)
        run.first = min(run.first, x.c)
        run.seen = max(run.seen, x.c)
        run.partitions.add(x.partition)
        run.streaming |= x.event["processing"] == "STREAMING"
        run.restartable |= x.event["restartable"]
        run.inputs |= set(x.inputs)
        run.outputs |= {key for _, key in x.kept_outputs()}
        self._run_type(x, run, proven)
        self._run_facts(x, run)
        self._run_offsets(x, run)
        self._settle(run, key)

    def _run_type(self, x: Context, run: Run, proven: bool) -> None:
        if x.kind == "START":
            run.started = min(run.started or x.c, x.c)
        elif x.kind == "RUNNING":
            run.running = max(run.running, x.c)
            read = [m for m in x.event["measures"] if m["dataset"] < len(x.inputs)]
            if read and all(m["lag"] == 0 for m in read) and not proven:
                run.idle = max(run.idle, x.c)
                run.idles.add(x.c)
        elif x.kind == "COMPLETE":
            run.complete = max(run.complete, (x.c, x.event_id))
            if not x.backfill:
                run.credit = max(run.credit, (x.c, x.event_id, x.emitter))
                run.credits.add(x.c)
        elif x.kind in ("FAIL", "ABORT"):
            rank = 2 if x.kind == "FAIL" else 1
            run.failed = max(run.failed, (x.c, rank, x.event_id, (x.event["error"] or "").encode()))
            run.failures.add(x.c)

    def _run_facts(self, x: Context, run: Run) -> None:
        runtime = x.event["runtime"]
        if runtime is not None:
            facts = {name: value for name, value in runtime.items() if value}
            if (x.c, x.event_id) >= run.runtime[:2]:
                run.runtime = (x.c, x.event_id, facts)
        parent_run, parent_job = x.event["parent_run_id"], x.event["parent_job"]
        if parent_run is not None or parent_job is not None:
            parent_key = b""
            if parent_job is not None:
                parent_key = self.parent_key(parent_job["namespace"], parent_job["name"])
            run.parent = max(run.parent, (x.c, x.event_id, parent_run or b"", parent_key))

    def parent_key(self, namespace: str, name: str) -> bytes:
        """A parent job is named in runs; whether its name is kept too is not said, so it is kept apart here."""
        named = entity_name(b"j", namespace, name)
        self.parent_names.add(named)
        self.parents.add(entity_key(named))
        return entity_key(named)

    def _run_offsets(self, x: Context, run: Run) -> None:
        kept = {len(x.inputs) + at for at, _ in x.kept_outputs()}
        for m in x.event["measures"]:
            at = m["dataset"]
            is_input = at < len(x.inputs)
            if not (is_input or at in kept) or m["partition"] < 0 or m["partition"] > 0xFFFF:
                continue
            if not 0 <= m["first_offset"] <= m["last_offset"] < 1 << 53:
                continue
            dataset = (x.inputs + x.outputs)[at]
            key = (b"i" if is_input else b"o") + dataset + m["partition"].to_bytes(2, "big")
            span = run.offsets.setdefault(key, [m["first_offset"], m["last_offset"]])
            span[:] = [min(span[0], m["first_offset"]), max(span[1], m["last_offset"])]

    def _settle(self, run: Run, key: bytes) -> None:
        """Whatever the order of arrival: every joined output has what the run proves.

        Which partition brought it together depends on the order, so it counts as a writer in the comparison only:
        one of the run's partitions must be there.
        """
        for output in run.outputs:
            if run.credit[0]:
                c, event_id, emitter = run.credit
                who = event_id + key[12:] + key[:12] + emitter
                self._credit(output, c, who, set())
                self.datasets[output].credits |= run.credits
            if run.failed[0]:
                self._fail(output, run.failed[0])
                self.datasets[output].failures |= run.failures
            if run.idle:
                d = self.dataset(output)
                d.idle_through = max(d.idle_through, run.idle)
                d.idles |= run.idles


def _proves(m: dict[str, int]) -> bool:
    return m["rows"] > 0 or 0 <= m["first_offset"] <= m["last_offset"]


def end_of_minute(time_us: int) -> int:
    """The last microsecond of a minute."""
    return (time_us // 60_000_000 + 1) * 60_000_000 - 1
