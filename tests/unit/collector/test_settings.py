"""Settings: where they come from, which wins, and what a wrong one is answered."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from headwater.runtime import discovery
from headwater.runtime.errors import UsageError
from headwater.runtime.models import Settings
from headwater.runtime.setting_words import WORDS
from headwater.runtime.settings import Loaded, describe, load


def loaded(tmp_path: Path, environ: dict[str, str] | None = None, **flags: str) -> Loaded:
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    return load(flags=dotted, environ={"XDG_RUNTIME_DIR": str(tmp_path), **(environ or {})}, cwd=tmp_path)


def refused(tmp_path: Path, environ: dict[str, str] | None = None, **flags: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, environ, **flags)
    return caught.value


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text(
        'domain = "file"\n[redis]\nurl = "redis://file"\n[processor]\nshards = 4\n'
    )
    found = loaded(
        tmp_path, {"HEADWATER_DOMAIN": "environment", "HEADWATER_REDIS__URL": "redis://environment"}, domain="flag"
    )
    assert found.settings.domain == "flag"
    assert found.settings.redis.url == "redis://environment"
    assert found.settings.processor.shards == 4
    assert found.origins["domain"] == "--set domain"
    assert found.origins["redis.url"] == "HEADWATER_REDIS__URL"
    assert found.origins["processor.shards"].endswith("headwater.toml")


def test_a_yaml_file_named_by_the_environment_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("domain: shop\npolicies: [a.yaml]\nlog: {json: true}\n")
    found = loaded(tmp_path, {"HEADWATER_CONFIG": str(tmp_path / "s.yaml")}).settings
    assert (found.domain, found.policies, found.log.json_lines) == ("shop", ("a.yaml",), True)


def test_every_librdkafka_key_passes_through_from_all_sources(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text('[kafka.extra]\n"fetch.min.bytes" = 7\n[kafka]\n"client.rack" = "a"\n')
    found = loaded(tmp_path, {"HEADWATER_KAFKA__SASL_MECHANISM": "PLAIN"}, kafka__ssl__ca__location="/ca.pem").settings
    assert found.kafka.extra == {
        "fetch.min.bytes": "7",
        "client.rack": "a",
    }
    assert (found.kafka.sasl_mechanism, found.kafka.ca_file) == ("PLAIN", "/ca.pem")


def test_a_later_source_wins_whichever_of_its_names_a_credential_has(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text('[kafka.extra]\n"sasl.username" = "file"\n"sasl.password" = 1\n')
    found = loaded(tmp_path, {"HEADWATER_KAFKA__SASL_USERNAME": "variable"}, **{"kafka.sasl.password": "flag"}).settings
    assert found.kafka.sasl_username == "variable"
    assert found.kafka.sasl_password is not None
    assert found.kafka.sasl_password.get_secret_value() == "flag"


def test_the_name_that_the_sdk_uses_for_the_servers_works_here_too(tmp_path: Path) -> None:
    environ = {"HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "a:1", "HEADWATER_JOB": "orders", "HEADWATER_TRANSPORT": "kafka"}
    assert loaded(tmp_path, environ).settings.kafka.bootstrap_servers == "a:1"


@pytest.mark.parametrize(
    ("environ", "flags", "words"),
    [
        ({}, {"processor__latenes_ms": "1"}, ("processor.latenes_ms", "did you mean processor.lateness_ms?")),
        (
            {"HEADWATER_PROCESOR__LATENESS_MS": "1"},
            {},
            ("HEADWATER_PROCESOR__LATENESS_MS", "processor.lateness_ms"),
        ),
        ({"HEADWATER_DOMAINE": "a"}, {}, ("HEADWATER_DOMAINE", "did you mean domain?")),
        ({"HEADWATER_REDIS": "redis://a"}, {}, ("HEADWATER_REDIS", "redis.url")),
        ({}, {"kafka__bootstrap": "a:1"}, ("kafka.bootstrap", "kafka.bootstrap_servers")),
        ({}, {"processor__lateness_ms": "soon"}, ("processor.lateness_ms", "valid integer")),
        ({}, {"processor__lateness_ms": "-1"}, ("processor.lateness_ms", "greater than or equal to 0")),
        ({}, {"domain": "a b"}, ("domain",)),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_the_nearest_key(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, str], words: tuple[str, ...]
) -> None:
    said = str(refused(tmp_path, environ, **flags))
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("a.toml", "domain = ", "not valid toml"),
        ("a.yaml", "a: [", "not valid yaml"),
        ("a.yaml", "- a", "no settings"),
        ("a.toml", "[redis]\nurll = 'x'", "redis.url"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path: Path, name: str, text: str, word: str) -> None:
    (tmp_path / name).write_text(text)
    said = str(refused(tmp_path, {"HEADWATER_CONFIG": str(tmp_path / name)}))
    assert name in said
    assert word in said


def test_a_file_that_is_named_and_missing_is_an_error(tmp_path: Path) -> None:
    assert "No such file" in str(refused(tmp_path, {"HEADWATER_CONFIG": str(tmp_path / "none.toml")}))


def test_no_secret_is_shown(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {"HEADWATER_KAFKA__SASL_PASSWORD": "hush", "HEADWATER_REDIS__URL": "redis://me:hush@h:1/0"},
        **{"kafka.ssl.key.password": "hush", "redis__password": "hush"},
    ).settings
    assert "hush" not in str(describe(found))
    assert "hush" not in repr(found)
    assert found.kafka.sasl_password is not None
    assert found.kafka.sasl_password.get_secret_value() == "hush"


def test_a_wrong_value_is_not_repeated_in_the_error_for_it_may_be_a_secret(tmp_path: Path) -> None:
    assert "hush" not in str(refused(tmp_path, {"HEADWATER_REDIS": "redis://:hush@h"}))


def running(pid: int) -> discovery.Running:
    return discovery.Running(pid, "127.0.0.1:9", "redis://127.0.0.1:8/0", "demo", "demo")


def test_a_running_stack_is_used_where_nothing_else_names_an_address(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with discovery.announced(running(os.getpid()), environ):
        found = loaded(tmp_path)
        assert found.running == running(os.getpid())
        assert (found.settings.kafka.bootstrap_servers, found.settings.domain) == ("127.0.0.1:9", "demo")
        assert loaded(tmp_path, domain="mine").settings.domain == "mine"
        assert loaded(tmp_path, {"HEADWATER_REDIS__URL": "redis://other"}).running is None
    assert loaded(tmp_path).running is None


def test_a_running_stack_says_what_its_topics_begin_with(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with discovery.announced(dataclasses.replace(running(os.getpid()), topic_prefix="shop."), environ):
        assert loaded(tmp_path).settings.topic_prefix == "shop."
        assert loaded(tmp_path, topic_prefix="mine.").settings.topic_prefix == "mine."


def test_a_stack_whose_process_is_gone_is_not_found(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with discovery.announced(running(2**22 + 1), environ) as path:
        assert path.exists()
        assert discovery.find(environ) is None


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with discovery.announced(running(os.getpid()), environ) as path:
        assert discovery.find(environ) is not None
        path.chmod(0o666)
        assert discovery.find(environ) is None
        path.chmod(0o600)
        path.write_text("[1, 2")
        assert discovery.find(environ) is None


def test_a_stack_that_ends_leaves_the_announcement_of_a_later_one(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    later = running(os.getppid())
    with discovery.announced(running(os.getpid()), environ), discovery.announced(later, environ):
        pass
    with discovery.announced(later, environ) as path:
        with discovery.announced(running(os.getpid()), environ):
            path.write_text(path.read_text().replace(str(os.getpid()), str(os.getppid())))
        assert discovery.find(environ) == later


def test_every_setting_is_explained() -> None:
    assert list(WORDS) == list(describe(Settings()))


def test_what_is_out_of_bounds_is_refused(tmp_path: Path) -> None:
    for key, value in (("outbox_max", "999"), ("outbox_max", "1000001"), ("closed_runs_max", "999")):
        assert f"processor.{key}" in str(refused(tmp_path, {f"HEADWATER_PROCESSOR__{key.upper()}": value}))


def test_rules_for_names_come_from_files_variables_and_flags(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text(
        '[doors]\nfold_off = ["uuid"]\nkeep = ["s3://lake/census_*"]\n'
        '[doors.namespaces]\n"kafka://b.kafka.svc:9092" = "kafka://shop"\n"airflow-*" = "airflow"\n'
    )
    found = loaded(tmp_path, {"HEADWATER_DOORS__ENVIRONMENT": "staging"})
    doors = found.settings.doors
    assert doors.namespaces == {"kafka://b.kafka.svc:9092": "kafka://shop", "airflow-*": "airflow"}
    assert (doors.environment, doors.fold_off, doors.keep) == ("staging", ("uuid",), ("s3://lake/census_*",))
    assert "uuid" not in doors.rules().folding.rules
    shown = describe(found.settings)
    assert shown["doors.namespaces"] == "kafka://b.kafka.svc:9092=kafka://shop airflow-*=airflow"
    assert found.origins["doors.namespaces"].endswith("headwater.toml")
    flags = loaded(tmp_path, doors__namespaces="a://b=c://d", doors__fold="date, time").settings.doors
    assert (flags.namespaces, flags.fold) == ({"a://b": "c://d"}, ("date", "time"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"doors__fold": "dates"}, "did you mean date?"),
        ({"doors__environment": "Staging"}, "use lower-case letters"),
        ({"doors__namespaces": "nonsense"}, "write FROM=TO"),
        ({"doors__namespaces": "a://b=c://d c://*=e://f"}, "let both give e://f"),
    ],
)
def test_rules_for_names_that_cannot_be_are_refused_with_their_remedy(
    tmp_path: Path, flags: dict[str, str], said: str
) -> None:
    assert said in str(refused(tmp_path, None, **flags))
