"""How a process ends with an emitter in it: forked, terminated, or just over. Each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headwater.eventjson import from_json

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")

_HEAD = """
import atexit, multiprocessing, os, signal, sys, threading, time
from pathlib import Path
from headwater import Emitter, EventType, LineageEvent, Name
from headwater.transports.file import FileTransport
from tests.support.gate import Gate

out = Path(sys.argv[1])

def work():  # in short steps: Python sees a signal that comes right before a sleep only after it
    for _ in range(600): time.sleep(0.05)

def emit(emitter, name):
    assert emitter.emit(LineageEvent(bytes(16), 0, EventType.RUNNING, job=Name("shop", name)))

class Slow(FileTransport):
    def send(self, batch, settle):
        time.sleep(0.1)
        return super().send(batch, settle)
"""


def _run(tmp_path: Path, code: str, *, kill: bool = False) -> tuple[subprocess.Popen[str], list[str]]:
    """The process, ended, and the jobs of the events that got out; `kill`: SIGTERM as soon as it says `ready`."""
    out = tmp_path / "events.jsonl"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _HEAD + code, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if kill:
                assert process.stdout.readline().strip() == "ready"
                process.send_signal(signal.SIGTERM)
            said, complained = process.communicate(timeout=30)
        finally:
            process.kill()
    assert "Traceback" not in complained, complained
    process.said = said  # type: ignore[attr-defined]  # read by the tests below
    lines = out.read_bytes().splitlines() if out.exists() else []
    return process, [from_json(line).job.name for line in lines]


def test_an_emitter_that_nobody_closes_delivers_at_exit(tmp_path: Path) -> None:
    process, names = _run(tmp_path, "emitter = Emitter(Slow(out)); emit(emitter, 'last')")
    assert (process.returncode, names) == (0, ["last"])


def test_sigterm_that_nobody_handles_delivers_first_and_then_ends_the_process(tmp_path: Path) -> None:
    code = """
emitter = Emitter(Slow(out))
for at in range(100): emit(emitter, str(at))
print("ready", flush=True)
work()
"""
    process, names = _run(tmp_path, code, kill=True)
    assert process.returncode == -signal.SIGTERM
    assert names == [str(at) for at in range(100)]


def test_runs_that_sigterm_ends_say_so(tmp_path: Path) -> None:
    code = """
emitter = Emitter(Slow(out), job="stream")
with emitter.run() as run:
    print("ready", flush=True)
    work()
"""
    process, names = _run(tmp_path, code, kill=True)
    assert (process.returncode, names) == (-signal.SIGTERM, ["stream", "stream"])
    last = from_json((tmp_path / "events.jsonl").read_bytes().splitlines()[-1])
    assert (last.event_type.value, last.error) == ("ABORT", "the process was ended by SIGTERM")


def test_sigterm_with_nowhere_to_go_ends_within_the_bound(tmp_path: Path) -> None:
    code = """
from headwater import endings
endings.END_S = 1.0
emitter = Emitter(Gate("refusing"))
emit(emitter, "lost")
print("ready", flush=True)
work()
"""
    began_s = time.monotonic()
    process, _ = _run(tmp_path, code, kill=True)
    assert process.returncode == -signal.SIGTERM
    assert 0.5 < time.monotonic() - began_s < 8  # it tried, and it ended


def test_the_handler_of_the_job_is_called_after_delivery_and_decides(tmp_path: Path) -> None:
    code = """
def handler(number, frame):
    print("handled", out.read_text().count("\\n"), flush=True)
    os._exit(7)
signal.signal(signal.SIGTERM, handler)
emitter = Emitter(Slow(out))
for at in range(100): emit(emitter, str(at))
print("ready", flush=True)
work()
"""
    process, names = _run(tmp_path, code, kill=True)
    assert process.returncode == 7
    assert process.said.strip() == "handled 100"  # type: ignore[attr-defined]  # set by _run
    assert len(names) == 100


def test_the_handler_of_the_job_may_go_on_emitting(tmp_path: Path) -> None:
    code = """
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
emitter = Emitter(FileTransport(out))
print("ready", flush=True)
while not stop.wait(0.05): pass
emit(emitter, "goodbye")
"""
    process, names = _run(tmp_path, code, kill=True)
    assert (process.returncode, names) == (0, ["goodbye"])


@pytest.mark.parametrize(
    ("before", "option"), [("signal.SIG_DFL", "on_sigterm='off'"), ("signal.SIG_IGN", "on_sigterm='flush'")]
)
def test_sigterm_is_left_alone_when_switched_off_or_ignored(tmp_path: Path, before: str, option: str) -> None:
    code = f"""
signal.signal(signal.SIGTERM, {before})
emitter = Emitter(FileTransport(out), {option})
assert signal.getsignal(signal.SIGTERM) is {before}
"""
    process, _ = _run(tmp_path, code)
    assert process.returncode == 0


def test_the_old_handler_is_back_when_the_last_emitter_is_closed(tmp_path: Path) -> None:
    code = """
mine = lambda number, frame: None
signal.signal(signal.SIGTERM, mine)
one, two = Emitter(FileTransport(out)), Emitter(FileTransport(out))
one.close()
assert signal.getsignal(signal.SIGTERM) is not mine
two.close()
assert signal.getsignal(signal.SIGTERM) is mine
threading.Thread(target=lambda: Emitter(FileTransport(out)).close()).start()  # another thread installs nothing
"""
    process, _ = _run(tmp_path, code)
    assert process.returncode == 0


def test_a_forked_child_sends_its_own_events_and_none_of_the_parents(tmp_path: Path) -> None:
    code = """
emitter = Emitter(Slow(out))
for at in range(10): emit(emitter, f"parent-{at}")
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        for at in range(10): emit(emitter, f"child-{child}-{at}")
        sys.exit(0)  # the whole end of an interpreter
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
emit(emitter, "parent-after")
"""
    process, names = _run(tmp_path, code)
    assert process.returncode == 0
    wanted = [f"parent-{at}" for at in range(10)] + ["parent-after"]
    wanted += [f"child-{child}-{at}" for child in range(3) for at in range(10)]
    assert sorted(names) == sorted(wanted)


def test_a_child_of_multiprocessing_delivers_though_it_ends_without_atexit(tmp_path: Path) -> None:
    code = """
emitter = Emitter(Slow(out))
children = [multiprocessing.get_context("fork").Process(target=emit, args=(emitter, f"child-{at}")) for at in range(3)]
for child in children: child.start()
for child in children: child.join()
emit(emitter, "parent")
"""
    process, names = _run(tmp_path, code)
    assert process.returncode == 0
    assert sorted(names) == ["child-0", "child-1", "child-2", "parent"]


def test_a_child_of_a_child_and_a_child_that_says_nothing(tmp_path: Path) -> None:
    code = """
emitter = Emitter(Slow(out))
emit(emitter, "parent")
if os.fork() == 0:
    emit(emitter, "child")
    if os.fork() == 0:
        emit(emitter, "grandchild")
        sys.exit(0)
    os.wait()
    sys.exit(0)
if os.fork() == 0:
    sys.exit(0)
assert [os.wait()[1] for _ in range(2)] == [0, 0]
"""
    process, names = _run(tmp_path, code)
    assert process.returncode == 0
    assert sorted(names) == ["child", "grandchild", "parent"]


def test_forking_while_threads_emit_hangs_nobody(tmp_path: Path) -> None:
    code = """
emitter = Emitter(FileTransport(out), capacity=100_000)
stop = threading.Event()
def busy():
    while not stop.is_set():
        emit(emitter, "parent")
        time.sleep(0.0001)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        emit(emitter, "child")
        emitter.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
"""
    process, names = _run(tmp_path, code)
    assert process.returncode == 0
    assert names.count("child") == 20


def test_a_transport_that_cannot_live_in_a_child_is_counted_there(tmp_path: Path) -> None:
    code = """
emitter = Emitter(Gate())
if os.fork() == 0:
    assert not emitter.emit(LineageEvent(bytes(16), 0, EventType.RUNNING, job=Name("shop", "x")))
    os._exit(0 if dict(emitter.stats().dropped) == {"forked": 1} else 1)
assert os.wait()[1] == 0
"""
    process, _ = _run(tmp_path, code)
    assert process.returncode == 0


def test_a_child_has_a_room_of_its_own_in_the_spool(tmp_path: Path) -> None:
    code = """
from headwater.transports.kafka import KafkaTransport
from headwater.transports.spool import SpoolTransport
spool = out.parent / "spool"
emitter = Emitter(SpoolTransport(KafkaTransport("127.0.0.1:1"), spool, patience_s=0.2))
emit(emitter, "parent")
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        emit(emitter, "child")
        emitter.close(2.0)
        sys.exit(0 if emitter.stats().spooled == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0
emitter.close(2.0)
assert emitter.stats().spooled == 1, emitter.stats()
assert len(list(spool.glob("*/*.spool"))) == 4, list(spool.rglob("*"))
"""
    process, _ = _run(tmp_path, code)
    assert process.returncode == 0
