"""Wrong flags, wrong files, unknown keys and services that are not there: for every command a sentence and a code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.support.services import RedisService

from headwater.cli.root import SHORT_HELP, run

NOBODY: Final = "127.0.0.1:1"
"""Nothing listens on port 1."""

FILES: Final = {
    "syntax.toml": "domain = \n",
    "syntax.yaml": "kafka: [1\n",
    "list.yaml": "- domain\n",
    "unknown.toml": "[processor]\nlatenes_ms = 1\n",
    "section.toml": "kafka = 'broker:9092'\n",
    "type.toml": "[processor]\nshards = 'many'\n",
    "age.yaml": "- {dataset: a b, max_age: soon}\n",
    "field.yaml": "- {dataset: a b, ownr: me}\n",
    "none.yaml": "owner: me\n",
    "twice.yaml": "- {dataset: a b}\n- {dataset: a b}\n",
    "text.txt": "\x00\x01",
}

USAGE: Final = {
    "demo": ("demo --workers 0", "demo --workers 9", "demo --duration -1", "demo --speed 2", "demo now"),
    "up": ("up --workers 0", "up --workers many", "up --nope", "up everything"),
    "worker": ("worker --processes 0", "worker --nope", "worker start", "worker resume", "worker resume x"),
    "emit": (
        "emit",
        "emit --job nameonly",
        "emit --job a/b --type DONE",
        "emit --job a/b --rows -1",
        "emit --job a/b --reads onlyone",
        "emit --job a/b --openlineage text.txt",
        "emit --openlineage nowhere.jsonl",
        "emit --openlineage .",
        "emit --nope",
        "emit run",
        "emit run --nope -- true",
        "emit run --reads onlyone -- true",
    ),
    "status": (
        "status --state ROTTEN",
        "status --limit -1",
        "status --limit all",
        "status --nope",
        "status orders",
        "status --watch 0",
        "status --watch --job a",
        "status --sort size",
    ),
    "trace": ("trace", "trace a b", "trace a --depth 0", "trace a --sideways"),
    "tail": ("tail", "tail events", "tail alerts --from noon", "tail alerts --max 0", "tail alerts --nope"),
    "topics": ("topics create --partitions 0", "topics create --replication 0", "topics delete", "topics create all"),
    "policy": (
        "policy test",
        "policy test a --job b/c",
        "policy test a --offline",
        "policy show --kind table",
        "policy apply",
        "policy apply nowhere.yaml",
        "policy validate",
        "policy validate nowhere.yaml",
        "policy validate .",
        "policy validate --nope age.yaml",
        "policy remove age.yaml",
    ),
    "gateway": (
        "gateway --port many",
        "gateway --port 70000",
        "gateway --tokens nowhere.yaml",
        "gateway --tokens none.yaml",
        "gateway --host no.such.host.invalid",
        "gateway --tokens=",
        "gateway --set gateway.jwks_url=",
        "gateway --nope",
        "gateway start",
        "gateway token",
        "gateway token --name a --scope admin",
        "gateway token --name a --expires soon",
    ),
    "bridge": ("bridge --topic=", "bridge --nope", "bridge start"),
    "cdc": (
        "cdc",
        "cdc --topic x --source shop",
        "cdc --connect nonsense --once",
        "cdc --topic x --interval 0",
        "cdc --nope",
        "cdc now",
    ),
    "discover": ("discover --orphans", "discover --interval 0", "discover --nope", "discover now"),
    "connect": (
        "connect",
        "connect flink",
        "connect job --wait soon",
        "connect job --no-wait --wait 5s",
        "connect job --job nameonly --no-wait",
        "connect function --platform mainframe",
        "connect job --nope",
    ),
    "k8s-watch": ("k8s-watch --kubeconfig nowhere.yaml", "k8s-watch --nope", "k8s-watch now"),
    "bench": ("bench --events 5", "bench --workload tall", "bench --rate 0", "bench --nope", "bench now"),
    "config": ("config show --nope", "config show all", "config set a=b"),
    "graph": (
        "graph draw",
        "graph export --format png",
        "graph export --to graph.png",
        "graph export --depth 0",
        "graph export --dataset a --job b",
        "graph diff live live",
        "graph diff one.jsonl",
    ),
    "deadletter": (
        "deadletter list --reason rotten",
        "deadletter list --since yesterday",
        "deadletter list --offsets 9-1",
        "deadletter show",
        "deadletter show here",
        "deadletter replay --partition -1",
        "deadletter forget",
    ),
    "alerts": (
        "alerts list now",
        "alerts show",
        "alerts ack",
        "alerts ack aaaa --for soon",
        "alerts silence s3://lake/*",
        "alerts silence * --kind Watchdog --reason x",
        "alerts unsilence",
    ),
    "doctor": ("doctor --timeout 0", "doctor --nope", "doctor kafka"),
    "init": ("init --nope", "init one two", "init --yes --redis http://r:6379", "init --yes --domain a/b"),
    "top": ("top", "top --nope", "top now", "top --picture ."),
    "completion": ("completion", "completion tcsh", "completion bash zsh"),
}
"""By command, lines that are wrong in themselves: each ends with 2."""

SETTINGS: Final = {
    "--config nowhere.toml": ("nowhere.toml", "No such file"),
    "--config .": ("Is a directory",),
    "--config syntax.toml": ("syntax.toml is not valid", "line 1"),
    "--config syntax.yaml": ("syntax.yaml is not valid", "line 1"),
    "--config list.yaml": ("list.yaml holds no settings", "key: value"),
    "--config unknown.toml": ("processor.latenes_ms (unknown.toml)", "did you mean processor.lateness_ms?"),
    "--config section.toml": ("kafka (section.toml) is a section", "kafka.bootstrap_servers"),
    "--config type.toml": ("processor.shards (type.toml)", "valid integer"),
    "--set processor.shard=4": ("unknown setting processor.shard", "did you mean processor.shards?"),
    "--set processor.shards=many": ("processor.shards", "valid integer"),
    "--set domain": ("no key=value",),
    "--output xml": ("xml", "table"),
    "--kafka=": ("--kafka is empty",),
    "--redis=": ("--redis is empty",),
    "--domain a/b": ("setting domain",),
}
"""What every command refuses before it does anything."""

COMMANDS: Final = {
    "demo": "demo",
    "up": "up",
    "worker": "worker",
    "emit": "emit --job a/b --writes s3://lake x",
    "status": "status",
    "trace": "trace s3://lake/x",
    "tail": "tail alerts",
    "topics": "topics create",
    "policy": "policy apply good.yaml",
    "gateway": "gateway --port 0",
    "bridge": "bridge",
    "cdc": "cdc --topic x --once",
    "discover": "discover --once",
    "connect": "connect job --no-wait",
    "k8s-watch": "k8s-watch --once",
    "bench": "bench",
    "config": "config show",
    "graph": "graph export",
    "deadletter": "deadletter list",
    "alerts": "alerts list",
    "doctor": "doctor",
    "top": "top --picture top.svg",
}
"""By command, a line with which nothing is wrong."""

WITHOUT_SETTINGS: Final = frozenset(("init", "completion"))
"""Commands that ask for no settings."""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with wrong files, and nothing of this machine."""
    for name, text in (FILES | {"good.yaml": "- {dataset: a c, owner: me}\n"}).items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("HEADWATER_"):
            monkeypatch.delenv(name)
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def refused(line: str, code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What the command says when it refuses: one error, no answer, no traceback."""
    found = run(line.split())
    said = capsys.readouterr()
    assert found == code, said.err
    check_sentence(said.err)
    assert said.out == ""
    return said.err


def check_sentence(said: str) -> None:
    """An error is said once, in a sentence."""
    assert said.startswith("error: "), said
    assert said.count("error: ") == 1, said
    assert "Traceback" not in said
    assert "a bug in Headwater" not in said


def test_every_command_is_looked_at() -> None:
    assert set(USAGE) == set(SHORT_HELP)
    assert set(COMMANDS) == set(SHORT_HELP) - WITHOUT_SETTINGS


@pytest.mark.parametrize("line", [line for lines in USAGE.values() for line in lines])
def test_a_wrong_line_ends_with_2_and_says_what_to_try(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(line, 2, capsys)
    assert "\ntry: " in said


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("given", SETTINGS)
def test_wrong_settings_end_every_command_with_2(command: str, given: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(f"{given} {COMMANDS[command]}", 2, capsys)
    assert all(word in said for word in SETTINGS[given]), said


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_variable_ends_every_command_with_2(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWATER_REDIS__ULR", "redis://r:6379/0")
    said = refused(COMMANDS[command], 2, capsys)
    assert "redis.ulr (HEADWATER_REDIS__ULR)" in said
    assert "did you mean redis.url?" in said


@pytest.mark.parametrize("verb", ["validate", "apply"])
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("age.yaml", ("age.yaml, policy 1: max_age: 'soon'", "15m")),
        ("field.yaml", ("field.yaml, policy 1", "'ownr'", "did you mean 'owner'?")),
        ("none.yaml", ("none.yaml holds no list", "- dataset:")),
        ("syntax.yaml", ("syntax.yaml is not valid YAML", "line 1")),
        ("twice.yaml", ("twice.yaml, policy 2", "twice.yaml, policy 1", "subject of its own")),
        ("text.txt", ("text.txt is not valid YAML",)),
    ],
)
def test_a_wrong_policy_ends_with_4(
    verb: str, file: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(f"policy {verb} good.yaml {file}", 4, capsys)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("command", ["worker", "worker resume 0", "status", "trace a", "graph export", "bench"])
@pytest.mark.parametrize("address", ["http://r:6379", "nonsense"])
def test_what_is_no_address_of_a_redis_ends_with_2(
    command: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(f"{command} --redis {address}", 2, capsys)
    assert "redis://host:6379/0" in said


@pytest.mark.parametrize(
    "command", ["worker", "worker --processes 2", "worker resume 0", "status", "trace a", "graph export", "bench"]
)
def test_a_redis_that_is_away_ends_with_3(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--redis", f"redis://{NOBODY}/0"]) == 3
    said = capfd.readouterr()
    assert said.out == ""
    assert f"{NOBODY}" in said.err
    assert "--redis" in said.err
    assert said.err.lower().count("error: ") == 1, said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("variable", "value", "code", "word"),
    [("HEADWATER_REDIS__URL", f"redis://{NOBODY}/0", 3, NOBODY), ("HEADWATER_REDIS__ULR", "x", 2, "redis.url?")],
)
def test_plain_faust_says_what_is_wrong_as_the_worker_does(variable: str, value: str, code: int, word: str) -> None:
    faust = [sys.executable, "-m", "faust", "-A", "headwater_processor.adapters.faust_app", "worker"]
    done = subprocess.run(
        faust, env={**os.environ, variable: value}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    check_sentence(done.stderr)
    assert word in done.stderr


@pytest.mark.parametrize("command", ["up", "demo"])
def test_up_and_demo_without_the_redis_that_they_are_to_use_end_with_3(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--redis", f"redis://{NOBODY}/0"]) == 3
    check_sentence(said := capsys.readouterr().err)
    assert NOBODY in said
    assert "--redis" in said


@pytest.fixture(scope="module")
def without_kafka(
    redis_server: RedisService, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """The commands that start something, all at once, on a Kafka that is away: each gives up after some seconds."""
    found: dict[str, subprocess.CompletedProcess[str]] = {}
    folder = str(tmp_path_factory.mktemp("home"))
    bare = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    environment = bare | {"HOME": folder, "XDG_RUNTIME_DIR": folder, "XDG_CONFIG_HOME": folder}

    def attempt(line: str) -> None:
        redis = [] if line in {"up", "demo"} else ["--redis", redis_server.url]
        command = [sys.executable, "-m", "headwater.cli", *line.split(), "--kafka", NOBODY, *redis]
        found[line] = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )

    lines = ["worker", "up", "demo", "bench --events 1000"]
    threads = [threading.Thread(target=attempt, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found.__getitem__


@pytest.mark.parametrize("line", ["worker", "up", "demo", "bench --events 1000"])
def test_what_starts_something_on_a_kafka_that_is_away_ends_with_3(
    line: str, without_kafka: Callable[[str], subprocess.CompletedProcess[str]]
) -> None:
    done = without_kafka(line)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert f"Kafka at {NOBODY}" in done.stderr
    assert "check bootstrap servers" in done.stderr or "is the address right?" in done.stderr


@pytest.mark.parametrize("command", ["status", "trace a", "graph export"])
def test_a_domain_without_state_ends_with_4(command: str, redis_db: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(f"{command} --redis {redis_db} --domain nowhere", 4, capsys)
    assert "there is no state of domain 'nowhere'" in said
