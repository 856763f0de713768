"""Every metric of a worker, declared once: its name, what it says, and what whoever is on call does when it moves.

Cardinality: labels are partitions, shards, and words from fixed lists; no label holds a name that people choose. `METRICS.md`
is generated from here (`headwater_processor.metrics.page`), and a test holds them equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headwater.runtime.metrics import Spec
from headwater_processor.core.unlinked import KINDS
from headwater_processor.engine.census import AGES, EDGE_KINDS, SEVERITIES, STATES, TABLES, TIERS
from headwater_processor.engine.stats import CALLS, DELAYS, RECORDS, SECONDS
from headwater_processor.ports import Refusal
from headwater_schemas.codec import REASONS

OUTCOMES: Final = ("applied", "dup", "late", "future", "undeduped", "bad")
CPU_STAGES: Final = ("consume", "decode", "plan", "apply", "letters", "publish", "judge")
STAGES: Final = ("decode", "plan", "letters", "call", "drain", "judge")
LOOPS: Final = ("engine", "shards", "poll", "as-of", "follow", "agent")
OTHER: Final = "other"
"""What a closed list of reasons does not name."""

_P: Final = "1 a partition"
_SHARDS: Final = "1 a shard"


def _bins(bounds: tuple[float, ...]) -> int:
    return len(bounds) + 3


INGEST: Final[tuple[Spec, ...]] = (
    Spec("headwater_records", "counter", "Records taken from the events topic and planned.",
         "Flat while producers are busy: look at headwater_partition_stopped and headwater_lag_records.", unit="records"),
    Spec("headwater_events", "counter", "Events by outcome, as counted in the state (a replay does not count twice)."
         " applied + dup +"
         " bad are all records; late, future and undeduped are also applied.",
         "dup rising: a producer retries or is deployed twice. late rising: a clock or a backlog. bad: see"
         " headwater_rejected_total."
         " undeduped: events older than the horizon; counters may count them twice.", ("partition", "outcome"), "events",
         f"{len(OUTCOMES)} a partition"),
    Spec("headwater_rejected", "counter", "Records sent to the dead letters by this worker, by reason (the list is closed).",
         "`headwater deadletter list` shows them; the reason names the fault of the producer. unknown_schema: its schema is"
         " not on the schemas topic.", ("reason",), "", f"{len(REASONS) + 1}"),
    Spec("headwater_refused_calls", "counter", "Fenced calls that changed nothing, by why.",
         "FENCED now and then is a rebalance. Steady FENCED: two groups share a domain. NEXT: somebody wrote the state by hand.",
         ("why",), "calls", f"{len(Refusal)}"),
    Spec("headwater_partition_stopped", "gauge", "1 while a partition of this worker is stopped.",
         "Read the alert PartitionStopped: it names the cause and the command to begin with.", ("partition",), "", _P),
    Spec("headwater_partitions_owned", "gauge", "Partitions of the events topic that this worker reads.",
         "The sum over workers must be the topic's number of partitions; less for minutes: partitions are stopped, or a group does"
         " not settle."),
    Spec("headwater_lag_records", "gauge", "Records between what is applied and the end of the log.",
         "Rising: add workers (up to the number of partitions) or look for a stopped partition.", ("partition",), "records", _P),
    Spec("headwater_watermark_seconds", "gauge", "Largest event time seen, less the allowed lateness (unix seconds).",
         "Stands still while records flow: all producers of the partition are behind, or their clocks are.", ("partition",),
         "seconds", _P),
    Spec("headwater_as_of_delay_seconds", "gauge", "How far as-of is behind now: nothing younger is judged.",
         "Over a minute: HeadwaterBlind fires. Lag, a stopped partition, or a broker that does not answer.", ("partition",),
         "seconds", _P),
    Spec("headwater_dedupe_horizon_seconds", "gauge", "How far back ids are remembered, by event time.",
         "Below the longest time a producer retries: raise processor.seen_ids_max.", ("partition",), "seconds", _P),
    Spec("headwater_seen_ids", "gauge", "Ids remembered by this worker (about 8 bytes each, and as many in Redis).",
         "Near headwater_seen_ids_limit the oldest are forgotten early.", ("partition",), "", _P),
    Spec("headwater_seen_ids_limit", "gauge", "The most ids of a partition that are remembered (processor.seen_ids_max).",
         "Only a changed setting moves it."),
)  # fmt: skip

WORK: Final[tuple[Spec, ...]] = (
    Spec("headwater_batch_records", "histogram", "Records of a partition in one poll: what is planned and applied at once.",
         "Small when quiet, thousands when behind. Always 1 at a high rate: the consumer waits for nothing, see"
         " processor.batch_linger_ms.", unit="records", series=f"{_bins(RECORDS)}", buckets=RECORDS),
    Spec("headwater_stage_duration_seconds", "histogram", "How long a stage took, wall time. decode, plan: a batch;"
         " letters, call: a"
         " poll (waiting for the acknowledgements of letters, for Redis); drain: a round that had something to publish; judge: a"
         " sweep.",
         "letters: the dead-letter or late topic is slow. call: Redis is slow or away. drain: the deltas topic is slow, or much"
         " changes. judge: many deadlines fall due. decode, plan longer than usual for the batch size: the CPU is shared or"
         " throttled.", ("stage",), "seconds", f"{_bins(SECONDS)} a stage, {len(STAGES)} stages", SECONDS),
    Spec("headwater_stage_seconds", "counter", "CPU seconds by stage (letters: waiting, wall time). publish and judge are"
         " the shards'"
         " thread, consume the poll thread, the rest the engine's.",
         "Which stage grows tells what to profile.", ("stage",), "seconds", f"{len(CPU_STAGES)}"),
    Spec("headwater_batches", "counter", "Batches of a partition planned.",
         "records / batches is the batch size: small when quiet, thousands when behind.", unit="batches"),
    Spec("headwater_planned_operations", "counter", "Writes planned into calls.",
         "operations / records tells how much the events change; near 0 is heartbeats.", unit="operations"),
    Spec("headwater_tails_decoded", "counter", "Record tails that had to be decoded because they were new.",
         "Near the record rate: producers put something unique into names or facets; see the processor's README."),
    Spec("headwater_records_checked", "counter", "Records that took the checked road (foreign schemas, odd forms).",
         "A high share costs CPU: let the producer write the current schema."),
    Spec("headwater_dropped_batches", "counter", "Batches read again because something before them was dropped.",
         "Some at each rebalance; steady growth is a fault.", unit="batches"),
    Spec("headwater_rebalances", "counter", "Assignments of partitions to this worker.",
         "Steady growth: workers die, or a poll takes longer than max.poll.interval.ms.", unit="rebalances"),
    Spec("headwater_redis_call_seconds", "histogram", "How long calls to Redis took, by kind; a pipeline is one. apply:"
         " from sending a"
         " poll's calls to reading their answers, while the next poll is planned: how long the engine waited for them is"
         " headwater_stage_duration_seconds{stage=\"call\"}.",
         "All kinds slow: Redis or the network (`redis-cli --latency`, SLOWLOG GET). Only apply: batches with many new names or"
         " edges. Only snapshot, settle: much is published. Only load_seen: a take-over.", ("kind",), "seconds",
         f"{_bins(SECONDS)} a kind, {len(CALLS)} kinds", SECONDS),
    Spec("headwater_redis_retries", "counter", "Calls to Redis that failed (away, loading, busy, full) and were made again.",
         "A burst is a failover. Steady: read the worker's log, it says the error.", ("kind",), "", f"{len(CALLS)}"),
    Spec("headwater_loop_age_seconds", "gauge", "Since a loop moved last.",
         "Over 30 s the worker is not healthy and should be restarted; a rebalance or an outage of the broker is not that.",
         ("loop",), "seconds", f"{len(LOOPS)}"),
    Spec("headwater_max_rss_bytes", "gauge", "The most memory that the worker has held at once (resident set; never falls).",
         "Near the limit of its container it will be killed, which loses nothing, and again after each start: raise the limit, or"
         " add workers so that each has fewer partitions, or lower processor.seen_ids_max (see headwater_seen_ids). It steps up"
         " when partitions are taken over and while names are new, then stays; steady growth for days is names with dates in them,"
         " or a fault.", unit="bytes"),
    Spec("headwater_build", "info", "Version of Headwater, and whether the hot path is compiled.",
         "Two versions for long: a roll-out is stuck. compiled=\"no\" costs 1.7 times the CPU.", ("version", "compiled")),
)  # fmt: skip

PUBLISH: Final[tuple[Spec, ...]] = (
    Spec("headwater_event_to_state_seconds", "histogram", "From the broker's time of an event to the answer that it is in"
         " the state."
         " Each record of a batch counts with the delay of the oldest one of its batch: an upper bound.",
         "Rising with lag: a backlog. Without lag: Redis (stage call) or letters (stage letters). Never below zero: where the"
         " broker's clock is ahead of the worker's it is 0.", unit="seconds", series=f"{_bins(DELAYS)}", buckets=DELAYS),
    Spec("headwater_event_to_delta_seconds", "histogram", "From the broker's time of the oldest event of a batch to the"
         " acknowledgement of the last image that it caused in a shard. Counted once a shard and look at its outbox, where the"
         " shard's owner also applied the batch (with one worker: always).",
         "Far above headwater_event_to_state_seconds: the deltas topic is slow (stage drain), or images are held back"
         " (processor.freshness_interval_ms, runs at most once in five of it; a backlog).", unit="seconds",
         series=f"{_bins(DELAYS)}", buckets=DELAYS),
    Spec("headwater_images", "counter", "Images published on the deltas topic.",
         "Follows what changes, not the events. Far more than usual: a removal, or names with dates in them.", unit="images"),
    Spec("headwater_outbox_entries", "gauge", "Longest outbox among the shards of this worker.",
         "Rising: the deltas topic does not take what is published. Over processor.outbox_max the worker waits.", unit="entries"),
    Spec("headwater_shard_outbox_entries", "gauge", "Entries in the outbox of a shard, each what one batch changed there.",
         "The sum is what is not published yet. One shard alone: a dataset with very many edges was removed.", ("shard",),
         "entries", _SHARDS),
    Spec("headwater_shard_outbox_age_seconds", "gauge", "Since when the oldest entry of a shard's outbox waits: since its"
         " owner read"
         " it, or else since the last round. 0: nothing waits. Begins anew with a new owner.",
         "Over ten seconds outside of a backlog: publishing hangs, look at stage drain and the log. A dataset written all the"
         " time holds its entry for up to processor.freshness_interval_ms, a job's runs for five of it.", ("shard",), "seconds",
         _SHARDS),
    Spec("headwater_judged", "counter", "Looks at datasets, jobs and emitters.",
         "Zero while there are datasets: policies are not read to their end, or as-of is unknown."),
    Spec("headwater_alerts_published", "counter", "Transitions sent to the alerts topic (some are repeated after a crash;"
         " the watchdog"
         " is not counted).",
         "A burst: many datasets share a cause; read the alerts of jobs and emitters first."),
    Spec("headwater_alerts_firing", "gauge", "Alerts that fire now, by severity, counted every ten sweeps.",
         "page above 0: `headwater status` and the alerts topic name them.", ("severity",), "", f"{len(SEVERITIES)}"),
    Spec("headwater_shards_owned", "gauge", "Shards this worker publishes and judges.",
         "The sum over workers must be the domain's number (16)."),
)  # fmt: skip

DOMAIN: Final[tuple[Spec, ...]] = (
    Spec("headwater_census_shards", "gauge", "Shards of this worker whose figures are in the metrics of this section.",
         "The sum over workers must be the domain's number (16) before a share of the whole domain means anything."),
    Spec("headwater_census_age_seconds", "gauge", "Since the oldest of these figures was counted.",
         "Ten seconds in a small domain; a walk takes a second for each 200 datasets or 1,000 edges of the worker, and rests as"
         " long. Far more: a backlog is read, policies are not read to their end, or the shards' loop hangs.", unit="seconds"),
    Spec("headwater_inventory_datasets", "gauge", "Datasets that there are. declared: a policy names it exactly. observed: it is"
         " present in the state. Aliases count once (observed).",
         "declared far above observed: datasets of which nobody tells. observed rising for days: names with dates in them.",
         ("inventory", "tier"), "datasets", f"{2 * len(TIERS)}"),
    Spec("headwater_covered_datasets", "gauge", "Of these, those with an edge that is present, under one of their names.",
         "Falling against the inventory: an emitter is missing; `headwater status --unlinked` names datasets.",
         ("inventory", "tier"), "datasets", f"{2 * len(TIERS)}"),
    Spec("headwater_dataset_states", "gauge", "Datasets that are present, by the freshness that was judged.",
         "stale, no_data rising: read the alerts. unknown rising: datasets that are only read, or learn their cadence.",
         ("state",), "", f"{len(STATES)}"),
    Spec("headwater_slo_datasets", "gauge", "Datasets that a policy gives a freshness target, by criticality and judged freshness.",
         "stale and late are breaches; see the SLI below.", ("tier", "state"), "datasets", f"{len(TIERS) * len(STATES)}"),
    Spec("headwater_dataset_age_seconds", "gaugehistogram", "As-of less the last proven write, of datasets that are present"
         " and were"
         " ever written, by criticality.",
         "Moving to the right: writers stand still, for whatever reason; the states say for which it matters.", ("tier",),
         "seconds", f"{_bins(AGES)} a tier, {len(TIERS)} tiers", AGES),
    Spec("headwater_edges", "gauge", "Edges in the state, also of removed datasets, by kind.",
         "Growth follows new jobs and datasets. Steady growth for days: names with dates in them.", ("kind",), "edges",
         f"{len(EDGE_KINDS)}"),
    Spec("headwater_edges_without_run", "gauge", "Of these, those whose first event named no run.",
         "A producer sends events without runs: nobody can say which run began to read or write."),
    Spec("headwater_duplicate_edges", "gauge", "Edges that say what another one says once every name is replaced by the"
         " first of its"
         " aliases; and those from a dataset to an alias of it.",
         "Two emitters name one dataset differently: mend one of them, `headwater trace` shows both names.", unit="edges"),
    Spec("headwater_judged_nodes", "gauge", "Nodes that were judged and are kept in mind.",
         "Grows with the graph.", ("node",), "nodes", "2"),
    Spec("headwater_unlinked_nodes", "gauge", "Of these, those that hang loose, by kind.",
         "Their alerts (information) say which, and the likely name that was meant.", ("node", "kind"), "nodes", "5"),
    Spec("headwater_kind_datasets", "gauge", "Datasets whose other side is rightly not known, by kind: source, leaf.",
         "Sources that fall: somebody names them as output now. `headwater status --kind source` names them.", ("kind",),
         "datasets", f"{len(KINDS)}"),
    Spec("headwater_new_names", "gauge", "Nodes with dates, numbers or hashes in their names that were seen first in the last whole"
         " hour. Only the owner of shard 0 tells.",
         "Hundreds, hour by hour: `NodeGrowth` names the emitter; fold its names where they come in (doors.fold).", ("node",),
         "", "2"),
    Spec("headwater_growth_left_out", "gauge", "Of these and those of the hour before, names that were counted for nobody,"
         " for there were too many forms.",
         "Above 0: more than 10,000 pairs of emitter and form in two hours; what grows is among them."),
    Spec("headwater_state_entries", "gauge", "What the tables of the whole domain hold, removed ones too. Only the owner of shard 0"
         " tells.",
         "Nothing is ever dropped but runs: growth for days at an even rate is names with dates or hashes in them. run: open ones"
         " grow for ever if their ends are never told.", ("kind",), "entries", f"{len(TABLES)}"),
)  # fmt: skip

PROCESS: Final[tuple[Spec, ...]] = (
    Spec("process_virtual_memory_bytes", "gauge", "Virtual memory size.", "Says little; see process_resident_memory_bytes.",
         unit="bytes"),
    Spec("process_resident_memory_bytes", "gauge", "Memory held now.", "See headwater_max_rss_bytes.", unit="bytes"),
    Spec("process_start_time_seconds", "gauge", "When the process started (unix seconds).", "It changes: the worker was restarted.",
         unit="seconds"),
    Spec("process_cpu_seconds", "counter", "CPU of all threads.", "rate near 1: the worker is full; add workers.", unit="seconds"),
    Spec("process_open_fds", "gauge", "Open files and sockets.", "Steady growth is a fault."),
    Spec("process_max_fds", "gauge", "How many may be open.", "Only a changed limit moves it."),
)  # fmt: skip
"""prometheus-client's own; only where there is a /proc."""

SECTIONS: Final = (
    ("What comes in", INGEST),
    ("How the worker works", WORK),
    ("What goes out", PUBLISH),
    ("What there is: figures of the domain", DOMAIN),
    ("The process", PROCESS),
)

CATALOGUE: Final[tuple[Spec, ...]] = tuple(spec for _, specs in SECTIONS for spec in specs)
BY_NAME: Final = {spec.name: spec for spec in CATALOGUE}


@dataclass(frozen=True, slots=True)
class Sli:
    """A service level indicator: what it says exactly, and how Prometheus is asked. `objective` is where to begin."""

    name: str
    definition: str
    promql: tuple[str, ...]
    objective: str


SLIS: Final[tuple[Sli, ...]] = (
    Sli("Coverage",
        "Datasets with an edge that is present ÷ datasets of the inventory. Two inventories: *declared* (a dataset policy names it"
        " exactly, whether or not anybody ever told of it) and *observed* (present in the state). Without an inventory there is no"
        " answer, never 100 %.",
        ('sum(headwater_covered_datasets{inventory="declared"}) / (sum(headwater_inventory_datasets{inventory="declared"}) > 0)',
         ('sum by (tier) (headwater_covered_datasets{inventory="observed"}) / (sum by (tier)'
         ' (headwater_inventory_datasets{inventory="observed"}) > 0)')),
        "90 %; 95 % of `high` and `critical`"),
    Sli("Dataset freshness",
        "Age of the data: as-of less the last *proven* write, over datasets that are present and were ever written. The share that"
        " is younger than a bound, by tier. (Whether that is good enough is the next SLI.)",
        (('sum by (tier) (headwater_dataset_age_seconds_bucket{le="3600.0"}) / (sum by (tier)'
         ' (headwater_dataset_age_seconds_bucket{le="+Inf"}) > 0)'),),
        "follows from the policies"),
    Sli("SLO compliance by tier",
        "Datasets with a freshness target of a policy that meet it ÷ those of which it is known. `fresh`, `idle` (the writer was"
        " caught up and had nothing to write) and `recovered` meet it; `late`, `stale` and `no_data` do not; `unknown` is known of"
        " neither and is left out. Learned cadences are no targets.",
        (('sum by (tier) (headwater_slo_datasets{state=~"fresh|idle|recovered"}) / (sum by (tier)'
         ' (headwater_slo_datasets{state!="unknown"}) > 0)'),
         'sum by (tier) (headwater_slo_datasets{state="unknown"})'),
        "95 % of `critical`"),
    Sli("Lineage freshness: event to state",
        "From the broker's time of an event to the answer that it is in the state; the share of events within a bound. What happens"
        " before the broker has the event is the producer's.",
        (('sum(rate(headwater_event_to_state_seconds_bucket{le="1.0"}[5m])) / (sum(rate('
         'headwater_event_to_state_seconds_count[5m])) > 0)'),),
        "99 % within 1 s"),
    Sli("Lineage freshness: event to delta",
        "From the broker's time of the oldest event of a batch to the acknowledgement of the images that it caused; the share"
        " within a bound. It includes the time for which images are held back so that they coalesce.",
        (('sum(rate(headwater_event_to_delta_seconds_bucket{le="10.0"}[5m])) / (sum(rate('
         'headwater_event_to_delta_seconds_count[5m])) > 0)'),
         "max(headwater_as_of_delay_seconds)"),
        "99 % within 10 s; as-of never 5 min behind"),
    Sli("Ingest error rate",
        "Records that went to the dead letters ÷ all records (applied, dup, bad), as the state counts them: a replay does not count"
        " twice.",
        (('sum(rate(headwater_events_total{outcome="bad"}[5m])) / (sum(rate(headwater_events_total{outcome=~"applied|dup|bad"}'
         '[5m])) > 0)'),),
        "below 0.1 %"),
    Sli("Unlinked rate",
        "Nodes (datasets and jobs) that hang loose after their grace and that nobody declared a source or sink ÷ nodes judged.",
        ("sum by (node) (headwater_unlinked_nodes) / (sum by (node) (headwater_judged_nodes) > 0)",
         "sum(headwater_unlinked_nodes)"),
        "below 5 %, or five nodes"),
    Sli("Missing provenance",
        "Edges whose first event named no run (nil run id) ÷ edges in the state: nobody can say which run began to read, write or"
        " derive. An edge to or from a job always has its job. Later events with a run do not mend it.",
        ("sum(headwater_edges_without_run) / (sum(headwater_edges) > 0)",),
        "0 for what reports need"),
    Sli("Duplicate edges",
        "Edges that say what another edge of the same kind says once every dataset is replaced by the first of its aliases,"
        " and edges"
        " between two aliases of one dataset ÷ edges in the state. Repeated events make none: they are dropped by their id.",
        ("sum(headwater_duplicate_edges) / (sum(headwater_edges) > 0)",),
        "below 1 %"),
)  # fmt: skip
