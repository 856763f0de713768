"""What `up` and `demo` were told reaches their workers and their own clients."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from headwater.cli.context import Invocation
from headwater.cli.root import root, run
from headwater.runtime.http import OFFSET
from headwater.runtime.settings import load
from headwater_processor.local.cli_support import OwnStack, own_stack
from headwater_processor.local.demo_cli import DEMO_SETTINGS, patience
from headwater_processor.local.launch import worker_launcher
from headwater_processor.local.stack import Addresses

EMBEDDED = Addresses("127.0.0.1:41000", "redis://127.0.0.1:42000/0")


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def told(**flags: str) -> OwnStack:
    """What a command is told that was started with these flags (`__` for dots)."""
    given = Invocation({key.replace("__", "."): value for key, value in flags.items()})
    return own_stack(click.Context(root, obj=given))


def test_a_worker_gets_the_options_of_the_command_that_starts_it() -> None:
    stack = told(processor__lateness_ms="7000", kafka__compression__type="zstd")
    command, _ = worker_launcher("shop", stack.arguments, {})(EMBEDDED, 0)
    assert command[-1] == "worker"
    assert "--set processor.lateness_ms=7000 --set kafka.compression.type=zstd" in " ".join(command)


def test_a_worker_finds_the_services_of_the_stack_and_serves_its_metrics_on_a_port_of_its_own() -> None:
    _, environment = worker_launcher("shop", (), {"processor.run_timeout_ms": "60000"})(EMBEDDED, 2)
    settings = load(environ=environment).settings
    assert (settings.kafka.bootstrap_servers, settings.redis.url) == (EMBEDDED.kafka, EMBEDDED.redis_url)
    assert (settings.domain, settings.processor.run_timeout_ms) == ("shop", 60_000)
    assert environment[OFFSET] == "2"


def test_services_are_embedded_unless_somebody_names_them() -> None:
    assert (told().kafka, told().redis_url) == ("", "")
    named = told(kafka__bootstrap_servers="b:1", redis__url="redis://r:1/0")
    assert (named.kafka, named.redis_url) == ("b:1", "redis://r:1/0")


def test_our_own_clients_keep_every_setting_of_kafka_but_its_address() -> None:
    given = {
        "kafka.bootstrap_servers": "b:1",
        "kafka.sasl_password": "hush",
        "kafka.security.protocol": "SSL",
        "kafka.client.rack": "a",
    }
    kafka = told(**given).kafka_at("b:2")
    assert kafka.bootstrap_servers == "b:2"
    assert kafka.sasl_password is not None
    assert kafka.security_protocol == "SSL"
    assert kafka.extra == {"client.rack": "a"}


def test_the_demo_is_only_as_impatient_as_nobody_says_otherwise(tmp_path: Path) -> None:
    assert patience(told()) == DEMO_SETTINGS
    (tmp_path / "headwater.toml").write_text("[processor]\nrun_timeout_ms = 5000\n")
    assert patience(told(processor__domain_grace_ms="1")) == {"processor.unlinked_grace_ms": "10000"}


@pytest.mark.parametrize("command", ["up", "demo"])
@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("kafka.sasl_password=hush", "--kafka HOST:PORT"),
        ("kafka.sasl.mechanism=PLAIN", "--kafka HOST:PORT"),
        ("kafka.security.protocol=SSL", "--kafka HOST:PORT"),
        ("redis.password=hush", "--redis URL"),
    ],
)
def test_credentials_for_nobody_are_refused_before_anything_starts(
    command: str, given: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--set", given]) == 2
    said = capsys.readouterr().err
    assert "none is named" in said
    assert remedy in said
    assert "hush" not in said


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_policy_that_no_worker_could_read_is_refused_before_anything_starts(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, "--set", "policies=nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["file", "variable"])
def test_the_demo_invents_events_in_a_kafka_of_yours_only_if_its_line_says_so(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if where == "file":
        (tmp_path / "headwater.toml").write_text('[kafka]\nbootstrap_servers = "production:9092"\n')
    else:
        monkeypatch.setenv("HEADWATER_KAFKA__BOOTSTRAP_SERVERS", "production:9092")
    assert run(["demo"]) == 2
    said = capsys.readouterr().err
    assert ("headwater.toml" if where == "file" else "HEADWATER_KAFKA__BOOTSTRAP_SERVERS") in said
    assert "--kafka" in said
