"""The emitter's environment: what it accepts, and how it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater import ConfigError, Emitter, Name
from headwater.config import EmitterConfig
from headwater.eventjson import from_json
from headwater.transports.building import name_rules


@pytest.mark.parametrize(
    ("environ", "transport"),
    [
        ({}, "none"),
        ({"HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "b:9092"}, "kafka"),
        ({"HEADWATER_FILE": "/tmp/x"}, "file"),  # noqa: S108 - nothing is written
        ({"HEADWATER_HTTP_URL": "http://l:5000"}, "http"),
        ({"HEADWATER_HTTP_URL": "http://l:5000", "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "b:9092"}, "kafka"),
        ({"HEADWATER_TRANSPORT": "console"}, "console"),
        ({"HEADWATER_TRANSPORT": "noop"}, "none"),
        ({"HEADWATER_TRANSPORT": "Memory"}, "memory"),
        ({"HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "b:9092", "HEADWATER_DISABLED": "true"}, "none"),
        ({"HEADWATER_KAFKA__BOOTSTRAP_SERVERS": "b:9092", "HEADWATER_TRANSPORT": "kafka"}, "kafka"),
    ],
)
def test_the_transport_follows_from_what_is_set(environ: dict[str, str], transport: str) -> None:
    assert EmitterConfig.from_env(environ).transport == transport


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"HEADWATER_TRANSPROT": "kafka"}, "did you mean HEADWATER_TRANSPORT"),
        ({"HEADWATER_KAFKA_BOOTSTRAP": "b"}, "did you mean HEADWATER_KAFKA_BOOTSTRAP_SERVERS"),
        ({"HEADWATER_ZZZ": "1"}, "unknown setting HEADWATER_ZZZ"),
        ({"HEADWATER_TRANSPORT": "carrier-pigeon"}, "use one of kafka, http, file, console, memory, noop, none"),
        ({"HEADWATER_TRANSPORT": "kafka"}, "needs HEADWATER_KAFKA_BOOTSTRAP_SERVERS"),
        ({"HEADWATER_TRANSPORT": "file"}, "needs HEADWATER_FILE"),
        ({"HEADWATER_TRANSPORT": "http"}, "needs HEADWATER_HTTP_URL"),
        ({"HEADWATER_TRANSPORT": "fallback:kafka,file", "HEADWATER_FILE": "x"}, "KAFKA_BOOTSTRAP_SERVERS"),
        ({"HEADWATER_TRANSPORT": "fallback:kafka"}, "needs at least two"),
        ({"HEADWATER_TRANSPORT": "composite:memory,memory"}, "each once"),
        ({"HEADWATER_TRANSPORT": "composite:memory,noop"}, "knows no 'noop'"),
        ({"HEADWATER_TRANSPORT": "fallback"}, "needs at least two"),
        ({"HEADWATER_CONSOLE": "stdin"}, "stderr, stdout"),
        ({"HEADWATER_SPOOL_BYTES": "12"}, "whole number from 65536"),
        ({"HEADWATER_ON_SIGTERM": "die"}, "flush, off"),
        ({"HEADWATER_HEARTBEAT_S": "soon"}, "seconds from 0"),
        ({"HEADWATER_HEARTBEAT_S": "-1"}, "seconds from 0"),
        ({"HEADWATER_HEARTBEAT_S": "nan"}, "seconds from 0"),
        ({"HEADWATER_HTTP_GZIP": "maybe"}, "true or false"),
        ({"HEADWATER_CAPACITY": "many"}, "whole number"),
        ({"HEADWATER_DISABLED": "maybe"}, "true or false"),
        ({"HEADWATER_ON_FULL": "explode"}, "drop_newest"),
    ],
)
def test_a_wrong_variable_is_named_with_its_remedy(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EmitterConfig.from_env(environ)
    assert complaint in str(caught.value)
    assert caught.value.remedy


def test_variables_of_the_worker_and_of_others_are_left_alone() -> None:
    EmitterConfig.from_env(
        {
            "HEADWATER_REDIS_URL": "x",
            "HEADWATER_LOG_LEVEL": "x",
            "HEADWATER_POD_NAME": "p",
            "PATH": "/bin",
            "HEADW": "1",
        }
    )


def test_librdkafka_settings_pass_through_and_secrets_are_masked_when_shown() -> None:
    config = EmitterConfig.from_env(
        {
            "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "b:9092",
            "HEADWATER_KAFKA__SASL_PASSWORD": "s3cret",
            "HEADWATER_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "HEADWATER_KAFKA__LOG_LEVEL": "7",
        }
    )
    assert config.kafka == {"sasl.password": "s3cret", "security.protocol": "SASL_SSL", "log_level": "7"}
    assert config.masked_kafka()["sasl.password"] == "***"
    assert "s3cret" not in repr(config)


def test_a_setting_that_librdkafka_does_not_know_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"no\.such\.key"):
        Emitter.from_env({"HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "b:9092", "HEADWATER_KAFKA__NO_SUCH_KEY": "1"})


def test_the_file_transport_writes_events_that_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "lineage.jsonl"
    environ = {"HEADWATER_FILE": str(file), "HEADWATER_JOB": "orders", "POD_NAME": "orders-1", "POD_UID": "u"}
    with Emitter.from_env(environ) as emitter, emitter.run() as run:
        run.reads("kafka://b:9092", "orders", partition=0, first_offset=0, last_offset=4)
    events = [from_json(line) for line in file.read_bytes().splitlines()]
    assert [event.event_type.value for event in events] == ["START", "COMPLETE"]
    assert events[1].job == Name("default", "orders")
    assert events[1].runtime is not None
    assert events[1].runtime.pod == "orders-1"
    assert events[1].inputs[0].measures[0].last_offset == 4


def test_a_file_that_cannot_be_written_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-folder"):
        Emitter.from_env({"HEADWATER_FILE": str(tmp_path / "no-such-folder" / "x")})


def test_lineage_that_is_switched_off_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    Emitter.from_env({"HEADWATER_DISABLED": "1"}).close()
    assert "switched off" in caplog.text


def test_a_group_with_a_spool_is_built_as_it_says(tmp_path: Path) -> None:
    environ = {"HEADWATER_SPOOL": str(tmp_path / "spool"), "HEADWATER_FILE": str(tmp_path / "x"), "HEADWATER_JOB": "j"}
    with Emitter.from_env(environ | {"HEADWATER_TRANSPORT": "composite:memory,file"}) as emitter, emitter.run():
        assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["file", "memory"]
    assert len((tmp_path / "x").read_bytes().splitlines()) == 2
    with Emitter.from_env(environ | {"HEADWATER_TRANSPORT": "fallback:memory,file"}) as emitter, emitter.run():
        assert emitter.flush() == 0
        assert emitter.stats().transport == {"by_memory": 1}  # START


def test_secrets_are_in_no_representation() -> None:
    config = EmitterConfig.from_env({"HEADWATER_HTTP_URL": "http://l:5000", "HEADWATER_HTTP_TOKEN": "s3cret"})
    assert config.http_token == "s3cret"  # noqa: S105 - made up
    assert "s3cret" not in repr(config)


@pytest.mark.parametrize("url", ["lineage.example.com", "ftp://x", "http://", "http://user:pw@host", "http://h:99999"])
def test_an_address_that_is_none_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="lineage events") as caught:
        Emitter.from_env({"HEADWATER_HTTP_URL": url})
    assert "pw" not in str(caught.value)


def test_rules_for_names_are_read_as_the_commands_read_them() -> None:
    names = EmitterConfig.from_env(
        {
            "HEADWATER_DOORS__ENVIRONMENT": "staging",
            "HEADWATER_DOORS__NAMESPACES": "a://b=c://d",
            "HEADWATER_DOORS__FOLD": "date, time",
            "HEADWATER_DOORS__KEEP": "s3://lake/census_*",
            "HEADWATER_DOORS__JOIN_CLUSTERS": "false",
        }
    ).names
    rules = name_rules(names)
    assert rules.dataset(Name("a://b", "x_20261126")) == Name("c://d", "x_{date}")
    assert rules.dataset(Name("s3://lake", "census_20200401")) == Name("s3://lake", "census_20200401")
    assert rules.job(Name("shop", "load")) == Name("staging+shop", "load")
    assert rules.book is None


@pytest.mark.parametrize(("variable", "value"), [("FOLD", "dates"), ("NAMESPACES", "x"), ("ENVIRONMENT", "A!")])
def test_rules_for_names_that_cannot_be_are_errors_of_the_settings(variable: str, value: str) -> None:
    with pytest.raises(ConfigError):
        name_rules(EmitterConfig.from_env({f"HEADWATER_DOORS__{variable}": value}).names)
