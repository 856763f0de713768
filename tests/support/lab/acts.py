"""What a schedule can do to a run: each fault of `schedule.FAULTS` as a function, which says whether it took place."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import redis
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions
from tests.support.lab.schedule import PARTITIONS, SESSION_S, Step
from tests.support.oracle.drive import POLICIES
from tests.support.oracle.records import S, policy_records
from tests.support.oracle.topics import configure_topic, end_offsets, produce
from tests.support.oracle.world import spellings
from tests.support.processes import wait_until
from tests.support.workers import WorkerProcess, fence

if TYPE_CHECKING:
    from tests.support.lab.lab import Lab

STEP_WITHIN_S: Final = 60.0


def _pick(lab: Lab, step: Step) -> WorkerProcess:
    workers = lab.workers() or [lab.start()]
    return workers[step.number % len(workers)]


def _kill(lab: Lab, step: Step) -> bool:
    _pick(lab, step).kill()
    time.sleep(step.seconds * 4 * (step.number % 2))
    lab.start()
    return True


def _tell_to_leave(lab: Lab, step: Step) -> bool:
    worker = _pick(lab, step)
    if step.number % 2:
        lab.start()
    lab.leave(worker)
    if not lab.workers():
        lab.start()
    return True


def _freeze(lab: Lab, step: Step) -> bool:
    worker = _pick(lab, step)
    worker.freeze()
    if step.number % 2:
        lab.start()
    time.sleep(SESSION_S + 1 + 3 * step.seconds)
    worker.thaw()
    return True


def _storm(lab: Lab, step: Step) -> bool:
    for turn in range(3):
        lab.start()
        time.sleep(step.seconds * 2)
        goes = lab.workers()[(step.number + turn) % len(lab.workers())]
        if (step.number >> turn) % 2:
            goes.kill()
        else:
            lab.leave(goes)
    if not lab.workers():
        lab.start()
    return True


def _failpoint(step: Step) -> str:
    action = {"killed-at-a-point": "kill", "frozen-at-a-point": "freeze", "cut-at-a-point": "cut"}[step.fault]
    return f"{step.point}:{step.nth}:{action}"


def _kill_at(lab: Lab, step: Step) -> bool:
    worker = lab.only(FAILPOINT=_failpoint(step))
    if step.point == "releasing":
        worker.tell(signal.SIGTERM)
    reached = lab.away(worker, 10)
    lab.start()
    if worker.running:
        lab.leave(worker)
    return reached


def _freeze_at(lab: Lab, step: Step) -> bool:
    worker = lab.only(FAILPOINT=_failpoint(step))
    if step.point == "releasing":
        worker.tell(signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: worker.said("failpoint "), within_s=10, what="the point")
    reached = worker.said("failpoint ")
    lab.start()
    time.sleep(SESSION_S + 2 * step.seconds)
    worker.thaw()
    if step.point == "releasing" and not lab.away(worker, 30):
        raise AssertionError(f"a worker that was told to leave and slept does not leave:\n{worker.log_tail(30)}")
    if not reached and worker.running:
        lab.send_away(worker)  # its point may come in the middle of another fault, and nobody would thaw it there
    return reached


def _cut_at(lab: Lab, step: Step) -> bool:
    worker = lab.only(FAILPOINT=_failpoint(step))
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: worker.said("failpoint "), within_s=10, what="the point")
    return worker.said("failpoint ")


def _wrong_clock(lab: Lab, step: Step) -> bool:
    lab.only(CLOCK_SHIFT_S=str(86_400 if step.number % 2 else -86_400))
    return True


def _jumping_clock(lab: Lab, step: Step) -> bool:
    lab.only(CLOCK_JUMPS_S=str((5, 600, 86_400)[step.number % 3]))
    return True


def _wrong_producers(lab: Lab, step: Step) -> bool:
    """Their events say another time than the broker's clock at which they come."""
    ahead_s = (86_400, -7 * 86_400)[step.number % 2]
    seed = lab.schedule.seed * 1000 + step.number
    lab.stream.more(list(lab.stream.beside(600, seed, PARTITIONS, ahead_s * S)))
    return True


def _restart_kafka(lab: Lab, _step: Step) -> bool:
    lab.kafka.restart()
    return True


def _kill_kafka(lab: Lab, step: Step) -> bool:
    lab.kafka.kill()
    time.sleep(4 * step.seconds)
    lab.kafka.start()
    return True


def _freeze_kafka(lab: Lab, step: Step) -> bool:
    lab.kafka.freeze()
    time.sleep(3 + 6 * step.seconds)
    lab.kafka.thaw()
    return True


def _refuse_writes(lab: Lab, step: Step) -> bool:
    topic = f"{lab.run.where.prefix}{('deltas', 'alerts', 'late', 'deadletter')[step.number % 4]}"
    # Whatever was stamped before it arrived. (A topic with one replica asks for no second one: Kafka 4 takes the lesser of
    # `min.insync.replicas` and the replicas that there are.)
    configure_topic(lab.run.where.bootstrap, topic, {"message.timestamp.before.max.ms": "0"})
    time.sleep(2 + 6 * step.seconds)
    configure_topic(lab.run.where.bootstrap, topic, {"message.timestamp.before.max.ms": str(2**63 - 1)})
    return True


def _refuse_large(lab: Lab, step: Step) -> bool:
    topic = f"{lab.run.where.prefix}{('deltas', 'alerts', 'late', 'deadletter')[step.number % 4]}"
    configure_topic(lab.run.where.bootstrap, topic, {"max.message.bytes": "150"})
    time.sleep(2 + 6 * step.seconds)
    configure_topic(lab.run.where.bootstrap, topic, {"max.message.bytes": str(2 << 20)})
    return True


def _add_partitions(lab: Lab, step: Step) -> bool:
    admin = AdminClient({"bootstrap.servers": lab.run.where.bootstrap})
    total = len(end_offsets(lab.run.where.bootstrap, lab.run.where.events)) + 2
    admin.create_partitions([NewPartitions(lab.run.where.events, total)])[lab.run.where.events].result(30)
    wait_until(
        lambda: len(end_offsets(lab.run.where.bootstrap, lab.run.where.events)) == total, within_s=30, what="partitions"
    )
    others = lab.stream.beside(600, lab.schedule.seed * 1000 + step.number, 2)
    lab.stream.more([record._replace(partition=record.partition + total - 2) for record in others])
    return True


def _restart_redis(lab: Lab, _step: Step) -> bool:
    lab.redis.restart()
    return True


def _kill_redis(lab: Lab, step: Step) -> bool:
    lab.redis.kill()
    time.sleep(4 * step.seconds)
    lab.redis.start()
    return True


def _has_state(lab: Lab) -> bool:
    if not lab.workers():  # it found its services away at its start; whoever runs it starts it again
        lab.start()
    return all(fence(lab.run, number) for number in range(PARTITIONS))


def _roll_back(lab: Lab, step: Step) -> bool:
    wait_until(lambda: _has_state(lab), within_s=90, what="state of every partition")
    with lab.redis.client() as client:
        saved_us = time.time_ns() // 1000
        client.save()
    old = lab.redis.folder / "dump.rdb"
    kept = old.with_suffix(".kept")
    shutil.copy(old, kept)
    time.sleep(0.5 + 2 * step.seconds)
    lab.redis.kill()
    lab.ledger.set_back(saved_us, time.time_ns() // 1000)
    shutil.copy(kept, old)
    lab.redis.start()
    lab.rolled_back = True
    return True


def _pause_redis(lab: Lab, step: Step) -> bool:
    with lab.redis.client() as client:
        client.client_pause(1000 + int(3000 * step.seconds), all=True)
    return True


_BUSY_FOR_2_S: Final = """
local began = redis.call('TIME')
repeat
  local now = redis.call('TIME')
until (now[1] - began[1]) * 1000000 + now[2] - began[2] > 2000000
"""


def _busy_redis(lab: Lab, _step: Step) -> bool:
    with lab.redis.client() as client:
        client.config_set("lua-time-limit", 200)  # the name that Redis before 7.0 knows, and all after it
        with contextlib.suppress(redis.ResponseError):
            client.eval(_BUSY_FOR_2_S, 0)
    return True


def _fill_redis(lab: Lab, _step: Step) -> bool:
    with lab.redis.client() as client:
        client.config_set("maxmemory", 1_000_000)
        time.sleep(2.0)
        client.config_set("maxmemory", 0)
    return True


def _flush_scripts(lab: Lab, _step: Step) -> bool:
    return _often(lab, lambda client: client.script_flush())


def _cut_connections(lab: Lab, _step: Step) -> bool:
    return _often(lab, lambda client: client.client_kill_filter(_type="normal", skipme=True))


def _often(lab: Lab, act: Callable[[redis.Redis], Any]) -> bool:
    with lab.redis.client() as client:
        for _ in range(10):
            act(client)
            time.sleep(0.1)
    return True


def _change_policies(lab: Lab, step: Step) -> bool:
    names = [spellings(number)[0] for number in range(POLICIES)]
    topic = f"{lab.run.where.prefix}policies"
    tight = policy_records(names, max_age_ms=1_000)
    loose = policy_records(names, max_age_ms=400 * 86_400_000)
    for records in (tight, loose) if step.number % 2 else (loose, tight):
        produce(lab.run.where.bootstrap, topic, records)
        time.sleep(step.seconds)
    gone = [record._replace(value=None) for record in tight[: POLICIES // 2]]
    produce(lab.run.where.bootstrap, topic, gone)
    return True


def _policies_behind(lab: Lab, _step: Step) -> bool:
    """A worker that comes finds twenty thousand changes of policies, of which the last few count."""
    names = [spellings(number)[0] for number in range(POLICIES)]
    topic = f"{lab.run.where.prefix}policies"
    ages_ms = [1_000 * (1 + turn) for turn in range(1_000)] + [3_600_000]
    produce(lab.run.where.bootstrap, topic, [r for age in ages_ms for r in policy_records(names, max_age_ms=age)])
    lab.start()
    return True


ACTS: Final[Mapping[str, Callable[[Lab, Step], bool]]] = MappingProxyType(
    {
        "worker-killed": _kill,
        "worker-told-to-leave": _tell_to_leave,
        "worker-frozen": _freeze,
        "workers-storm": _storm,
        "killed-at-a-point": _kill_at,
        "frozen-at-a-point": _freeze_at,
        "cut-at-a-point": _cut_at,
        "worker-clock-wrong": _wrong_clock,
        "worker-clock-jumps": _jumping_clock,
        "producers-clocks-wrong": _wrong_producers,
        "kafka-restarted": _restart_kafka,
        "kafka-killed": _kill_kafka,
        "kafka-frozen": _freeze_kafka,
        "writes-refused": _refuse_writes,
        "writes-too-large": _refuse_large,
        "partitions-added": _add_partitions,
        "redis-restarted": _restart_redis,
        "redis-killed": _kill_redis,
        "redis-rolled-back": _roll_back,
        "redis-paused": _pause_redis,
        "redis-busy": _busy_redis,
        "redis-full": _fill_redis,
        "scripts-flushed": _flush_scripts,
        "connections-cut": _cut_connections,
        "policies-changed": _change_policies,
        "policies-behind": _policies_behind,
    }
)
"""Each fault of `schedule.FAULTS`; returns whether it took place."""
