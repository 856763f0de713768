"""Redis against the model, one key family after the other, by the layout of SEMANTICS.md, section 4."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import msgpack
import orjson
import redis
from tests.support.oracle.diff import bounded, diff
from tests.support.oracle.elements import NIL, NO_KEY, Dataset, Run
from tests.support.oracle.model import Model
from tests.support.oracle.state import end_of_minute

MINUTE_US: Final = 60_000_000
SLOT_US: Final = 300_000_000
RING_SLOTS: Final = 4032


@dataclass(frozen=True, slots=True)
class View:
    """Redis and the model side by side."""

    redis: redis.Redis
    domain: str
    model: Model

    def key(self, name: str) -> bytes:
        return f"{{hw:{self.domain}}}:{name}".encode()

    def hash(self, name: str) -> dict[bytes, bytes]:
        found: Any = self.redis.hgetall(self.key(name))
        return dict(found)

    def zset(self, name: str) -> dict[bytes, float]:
        found: Any = self.redis.zrange(self.key(name), 0, -1, withscores=True)
        return {bytes(member): float(score) for member, score in found}

    def list(self, name: str) -> list[bytes]:
        found: Any = self.redis.lrange(self.key(name), 0, -1)
        return list(found)

    def show(self, key: bytes) -> str:
        """A dataset, job or emitter key with its name."""
        named = self.model.state.names.get(key, b"?")
        return f"{named.replace(bytes(1), b' / ').decode(errors='replace')} ({key.hex()})"

    def show_edge(self, key: bytes) -> str:
        return f"{key[:1].decode(errors='replace')}: {self.show(key[1:13])} -> {self.show(key[13:])}"

    def show_pair(self, key: bytes) -> str:
        return f"{self.show(key[:12])} + {self.show(key[12:])}"


def compare_state(view: View) -> list[str]:
    """Everything that differs; empty when Redis holds exactly what the model does."""
    return [
        *_fences(view),
        *_seen(view),
        *_names(view),
        *_datasets(view),
        *_writers(view),
        *_cadence(view),
        *_jobs(view),
        *_edges(view),
        *_emitters(view),
        *_aliases(view),
        *_about(view),
        *_runs(view),
        *_run_lists(view),
        *_boxes(view),
    ]


def _record(value: bytes, doubles: int) -> tuple[tuple[float, ...], bytes]:
    size = 8 * doubles
    if len(value) < size:
        return (), value
    return struct.unpack(f">{doubles}d", value[:size]), value[size:]


# --- partitions --------------------------------------------------------------------------------------------------


def _fences(view: View) -> list[str]:
    lines = []
    for number, expected in sorted(view.model.partitions.items()):
        fence = {name.decode(): value.decode() for name, value in view.hash(f"f:{number}").items()}
        wanted = expected.counters() | {"mx": expected.mx_us, "floor": expected.floor}
        actual = {name: int(float(fence.get(name) or 0)) for name in wanted}
        if not expected.mx_us >= 0:
            actual["mx"] = -1
        actual["floor"] = max(0, actual["floor"])
        lines += diff(f"f:{number}", wanted, actual, str)
        if fence.get("stopped", "0") not in ("", "0"):
            lines.append(f"f:{number}: the partition is stopped: {fence['stopped']}")
        total = actual["bad"] + actual["dup"] + actual["applied"]
        if total != view.model.expected_total(number):
            lines.append(f"f:{number}: bad + dup + applied is {total}, records are {view.model.expected_total(number)}")
    return lines


def _seen(view: View) -> list[str]:
    lines = []
    for number, expected in sorted(view.model.partitions.items()):
        members: Any = view.redis.smembers(view.key(f"sb:{number}"))
        actual = {}
        for bucket in members:
            packed = b"".join(view.list(f"s:{number}:{bucket.decode()}"))
            hashes = {packed[at : at + 8] for at in range(0, len(packed), 8)}
            actual[bucket.decode()] = len(hashes)
            if len(packed) != 8 * len(hashes):
                lines.append(f"s:{number}:{bucket.decode()}: {len(packed)} bytes for {len(hashes)} different ids")
        lines += diff(f"s:{number} (ids a bucket)", expected.buckets_by_name(), actual, str)
    return lines


# --- entities ----------------------------------------------------------------------------------------------------


def _names(view: View) -> list[str]:
    actual = view.hash("names")
    optional = view.model.state.parent_names - set(view.model.state.names.values())
    actual = {key: value for key, value in actual.items() if value not in optional}
    return diff("names", view.model.state.names, actual, view.show)


def _datasets(view: View) -> list[str]:
    datasets = view.model.state.datasets
    versions = {key: d.schema_version for key, d in datasets.items() if d.schema_version[0]}
    renames = {key: d.renamed_to for key, d in datasets.items() if d.renamed_to[0]}
    asserted = {key: d.asserted for key, d in datasets.items() if d.asserted}
    gone = {key: b"%d" % d.retracted for key, d in datasets.items() if d.retracted and d.retracted >= d.asserted}
    fresh = {key: _fresh(d) for key, d in datasets.items() if any(_fresh(d)[0])}
    fr = {key: _record(value, 4) for key, value in view.hash("fr").items()}
    return [
        *diff("ds", {key: _core(d) for key, d in datasets.items()}, _actual_core(view), view.show),
        *diff("dz", asserted, _positive(view.zset("dz")), view.show),
        *diff("gone", gone, view.hash("gone"), view.show),
        *diff("sv", versions, _lww(view.hash("sv")), view.show),
        *diff("mv", renames, _lww(view.hash("mv")), view.show),
        *diff("fr", fresh, {key: _known_who(*each) for key, each in fr.items() if any(each[0])}, view.show),
    ]


def _core(d: Dataset) -> tuple[tuple[float, ...], bytes]:
    return (d.first_seen[0], d.retracted, d.truncated, d.first_read, d.first_written), d.first_seen[1]


def _actual_core(view: View) -> dict[bytes, tuple[tuple[float, ...], bytes]]:
    out = {}
    for key, value in view.hash("ds").items():
        doubles, payload = _record(value, 5)
        known = bool(doubles) and doubles[0] > -(2.0**53)
        out[key] = (doubles, payload if known else b"")
    return out


def _fresh(d: Dataset) -> tuple[tuple[float, ...], bytes]:
    return _known_who((d.last_write[0], d.data_through, d.last_failure, d.idle_through), d.last_write[1])


def _known_who(doubles: tuple[float, ...], who: bytes) -> tuple[tuple[float, ...], bytes]:
    """Who wrote counts only where something was written."""
    return doubles, who if doubles and doubles[0] > 0 else b""


def _lww(records: dict[bytes, bytes]) -> dict[bytes, tuple[float, bytes]]:
    out = {}
    for key, value in records.items():
        doubles, payload = _record(value, 1)
        out[key] = (doubles[0] if doubles else -1.0, payload)
    return out


def _positive(scores: dict[bytes, float]) -> dict[bytes, float]:
    return {key: score for key, score in scores.items() if score > 0}


def _writers(view: View) -> list[str]:
    """Partitions that write a dataset: those proven must be there, and one of every credited run's partitions."""
    state = view.model.state
    actual = {key: _bits(value) for key, value in view.hash("wp").items()}
    may = {key: set(d.writers) for key, d in state.datasets.items()}
    lines = [
        f"wp: {view.show(key)} has {sorted(actual.get(key, set()))}, must have {sorted(d.writers)}"
        for key, d in state.datasets.items()
        if not d.writers <= actual.get(key, set())
    ]
    for run_key, run in state.runs.items():
        for output in run.outputs if run.credit[0] else ():
            may[output] |= run.partitions
            if not run.partitions & actual.get(output, set()):
                lines.append(
                    f"wp: {view.show(output)} has no partition of run {run_key.hex()}: {sorted(run.partitions)}"
                )
    extra = [
        f"wp: {view.show(key)} has {sorted(bits)}, may have {sorted(may.get(key, set()))}"
        for key, bits in actual.items()
        if not bits <= may.get(key, set())
    ]
    return [*bounded(lines), *bounded(extra)]


def _bits(bitmap: bytes) -> set[int]:
    return {bit for bit in range(8 * len(bitmap)) if bitmap[bit // 8] >> (bit % 8) & 1}


def _cadence(view: View) -> list[str]:
    """Every slot in the ring is one of a proven write, and the newest is that of the last write."""
    lines = []
    actual = view.hash("cad")
    for key, d in view.model.state.datasets.items():
        if not d.last_write[0]:
            continue
        value = actual.pop(key, b"")
        newest = d.last_write[0] // SLOT_US
        slots = {c // SLOT_US % RING_SLOTS for c in d.credits if c // SLOT_US > newest - RING_SLOTS}
        bits = _bits(value[4:])
        if int.from_bytes(value[:4], "big") != newest or newest % RING_SLOTS not in bits or not bits <= slots:
            lines.append(
                f"cad: {view.show(key)} has {value[:4].hex()} {sorted(bits)}, expected {newest} of {sorted(slots)}"
            )
    lines += [f"cad: {view.show(key)} has a cadence and was never written" for key in actual]
    return bounded(lines)


def _jobs(view: View) -> list[str]:
    jobs = view.model.state.jobs
    expected = {
        key: ((job.first_seen[0], job.first_input, job.first_output, float(job.streaming)), job.first_seen[1])
        for key, job in jobs.items()
    }
    actual = {key: _record(value, 4) for key, value in view.hash("job").items()}
    asserted = {key: job.asserted for key, job in jobs.items()}
    return [*diff("job", expected, actual, view.show), *diff("jz", asserted, view.zset("jz"), view.show)]


def _edges(view: View) -> list[str]:
    edges = view.model.state.edges
    asserted = {key: edge.asserted for key, edge in edges.items()}
    ends = {end + key: 0.0 for key in edges for end in (key[1:13], key[13:])}
    return [
        *diff("edge", {key: edge.first_seen for key, edge in edges.items()}, _lww(view.hash("edge")), view.show_edge),
        *diff("ez", asserted, view.zset("ez"), view.show_edge),
        *diff("ax", ends, view.zset("ax"), lambda key: view.show_edge(key[12:])),
    ]


def _emitters(view: View) -> list[str]:
    state = view.model.state
    pairs = dict.fromkeys(state.emits | {NO_KEY + parent for parent in state.parents}, 0.0)
    return [
        *diff("mz", state.emitters, view.zset("mz"), view.show),
        *diff("ex", pairs, view.zset("ex"), view.show_pair),
    ]


def _aliases(view: View) -> list[str]:
    expected = {key: (float(asserted), 0.0) for key, asserted in view.model.state.aliases.items()}
    actual = {key: _record(value, 2)[0] for key, value in view.hash("al").items()}
    return diff("al", expected, actual, view.show_pair)


def _about(view: View) -> list[str]:
    actual = _lww(view.hash("about"))
    return diff(
        "about", view.model.state.about, actual, lambda field: f"{field[12:].decode()} of {view.show(field[:12])}"
    )


# --- runs --------------------------------------------------------------------------------------------------------


def _runs(view: View) -> list[str]:
    model = view.model
    # A closed run leaves by the watermark of the partition that closed it, whichever that was.
    oldest = max((p.mx_us for p in model.partitions.values()), default=0) - model.rules.horizon_us
    expected = {key: expected_run(run) for key, run in model.state.runs.items()}
    actual = {key: actual_run(value[8:]) for key, value in view.hash("run").items()}

    def evicted(key: bytes) -> bool:
        run = model.state.runs[key]
        return not run.is_open and run.closed_us < oldest

    shared = {key: value for key, value in expected.items() if key in actual or not evicted(key)}
    lines = diff("run", dict.fromkeys(shared, "a run"), dict.fromkeys(actual, "a run"), bytes.hex)
    for key in shared.keys() & actual.keys():
        if shared[key] != actual[key]:
            lines += diff(f"run {key.hex()}", shared[key], caught_up(actual[key], shared[key]), str)
        if len(lines) > 60:
            return [*lines, "run: … and more"]
    return lines


def expected_run(run: Run) -> dict[str, Any]:
    """A run of the model by field names."""
    credit, failed, parent = run.credit, run.failed, run.parent
    return {
        "times": [run.first, run.started, run.seen, run.running],
        "complete": list(run.complete) if run.complete[0] else None,
        "credit": list(credit) if credit[0] else None,
        "failed": list(failed) if failed[0] else None,
        "flags": int(run.streaming) + 2 * int(run.restartable),
        "idle": run.idle,
        "inputs": b"".join(sorted(run.inputs)),
        "outputs": b"".join(sorted(run.outputs)),
        "runtime": list(run.runtime) if run.runtime[0] else None,
        "parent": [parent[0], parent[1], parent[2] or NIL, parent[3] or NO_KEY] if parent[0] else None,
        "offsets": run.offsets,
    }


def actual_run(value: bytes) -> dict[str, Any]:
    """The same of the msgpack in Redis; what is absent in any of its forms (0, empty, nil) is None."""
    f = msgpack.unpackb(value, raw=True, strict_map_key=False)
    return {
        "times": [int(each or 0) for each in f[:4]],
        "complete": _element(f[4], 1),
        "credit": _element(f[5], 1, key_last=True),
        "failed": _element(f[6], 2),
        "flags": f[7],
        "idle": int(f[8] or 0),
        "inputs": f[9] or b"",
        "outputs": f[10] or b"",
        "runtime": _runtime(f[11]),
        "parent": [int(f[12][0]), f[12][1], f[12][2] or NIL, f[12][3] or NO_KEY] if _element(f[12], 1) else None,
        "offsets": {_bytes(f[13][i]): [int(f[13][i + 1]), int(f[13][i + 2])] for i in range(0, len(f[13]), 3)},
    }


def caught_up(actual: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """The actual run with the heartbeats that a record need not show: those of a minute that it shows already."""
    shown = dict(actual)
    times, wanted = list(actual["times"]), expected["times"]
    for at in (2, 3):
        if _lags(times[at], wanted[at]):
            times[at] = wanted[at]
    shown["times"] = times
    for name in ("runtime", "parent"):
        is_, must = actual[name], expected[name]
        if is_ and must and is_[2:] == must[2:] and _lags(is_[0], must[0]):
            shown[name] = must
    return shown


def _lags(actual_us: int, expected_us: int) -> bool:
    return actual_us <= expected_us and actual_us // MINUTE_US == expected_us // MINUTE_US


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def _element(field: Any, numbers: int, key_last: bool = False) -> list[Any] | None:
    if not field or not field[0]:
        return None
    out = [int(each) for each in field[:numbers]] + [_bytes(each) for each in field[numbers:]]
    if key_last and not out[-1]:
        out[-1] = NO_KEY
    return out


def _runtime(field: Any) -> list[Any] | None:
    element = _element(field, 1)
    if element is None:
        return None
    facts = orjson.loads(element[2])
    return [element[0], element[1], {name: each for name, each in facts.items() if each}]


def _run_lists(view: View) -> list[str]:
    model, shards = view.model, view.model.rules.shards
    lines = []
    expected: dict[int, dict[bytes, int]] = {shard: {} for shard in range(shards)}
    for key, seen in model.open_runs().items():
        expected[key[0] % shards][key] = end_of_minute(seen)
    for shard in range(shards):
        actual = view.zset(f"ro:{shard}")
        missing = expected[shard].keys() - actual.keys()
        doubtful = {key for key in missing if _failed_by_its_record(view, key)}
        wanted = {key: end for key, end in expected[shard].items() if key not in doubtful}
        lines += diff(f"ro:{shard}", wanted, actual, bytes.hex)
    listed = {member[8:] for number in model.partitions for member in view.list(f"rc:{number}")}
    lines += bounded(_unlisted(view, listed))
    return lines


def _failed_by_its_record(view: View, key: bytes) -> bool:
    """A restartable run whose failure was told after a RUNNING of the same minute that the record need not show: whoever took
    it over in between cannot know that it went on."""
    value: Any = view.redis.hget(view.key("run"), key)
    run = view.model.state.runs[key]
    if value is None or not run.restartable or not run.failed[0]:
        return False
    running = actual_run(value[8:])["times"][3]
    return running <= run.failed[0] < run.running and _lags(running, run.running)


def _unlisted(view: View, listed: set[bytes]) -> list[str]:
    """Closed runs that no list names would stay for ever."""
    kept: Any = view.redis.hkeys(view.key("run"))
    runs = view.model.state.runs
    return [
        f"rc: closed run {key.hex()} is kept and in no list"
        for key in kept
        if key in runs and not runs[key].is_open and key not in listed
    ]


def _boxes(view: View) -> list[str]:
    lines = []
    for shard in range(view.model.rules.shards):
        for name in (f"o:{shard}", f"ao:{shard}"):
            size: Any = view.redis.llen(view.key(name))
            if size:
                lines.append(f"{name}: {size} entries are left")
    if view.hash("meta").get(b"layout") != b"1":
        lines.append(f"meta: layout is {view.hash('meta').get(b'layout')!r}, expected 1")
    return lines
