"""TLS, SASL, files with secrets and addresses of Redis, as settings: what they mean, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from headwater.config import EmitterConfig
from headwater.errors import ConfigError
from headwater.kafka_security import client_security
from headwater.runtime.errors import UsageError
from headwater.runtime.kafka import client_config
from headwater.runtime.models import KafkaSettings, RedisSettings
from headwater.runtime.redis import connect
from headwater.runtime.redis_cluster import slot_of
from headwater.runtime.redis_url import parse_redis_url


def security(**given: str) -> dict[str, str]:
    return client_security({key.replace("__", "."): value for key, value in given.items()}, lambda key: key)


@pytest.fixture
def pem(tmp_path: Path) -> str:
    file = tmp_path / "ca.pem"
    file.write_text("a certificate")
    return str(file)


def test_a_password_goes_over_tls_unless_somebody_says_otherwise() -> None:
    user = {"sasl__mechanism": "PLAIN", "sasl__username": "me", "sasl__password": "hush"}
    assert security(**user)["security.protocol"] == "SASL_SSL"
    assert security(**user, security__protocol="sasl_plaintext")["security.protocol"] == "SASL_PLAINTEXT"


def test_a_certificate_alone_means_tls_and_nothing_means_what_librdkafka_chooses(pem: str) -> None:
    assert security(ca__file=pem) == {"ssl.ca.location": pem, "security.protocol": "SSL"}
    assert security(client__id="x") == {"client.id": "x"}


def test_every_secret_may_stand_in_a_file_and_its_last_line_end_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hush hush\n")
    found = security(**{"ssl.keystore.password.file": str(file), "key.password.file": str(file)})
    assert (found["ssl.keystore.password"], found["ssl.key.password"]) == ("hush hush", "hush hush")
    assert not any(key.endswith(".file") for key in found)


def test_a_secret_that_is_given_wins_over_its_file_that_need_not_exist() -> None:
    found = security(sasl__password="said", **{"sasl.password.file": "/nowhere"})  # noqa: S106 - none
    assert found["sasl.password"] == "said"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sasl.password.file": "/nowhere"}, "cannot read /nowhere, which sasl.password.file names"),
        ({"sasl.username": "me"}, "no mechanism"),
        ({"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "me"}, "SCRAM-SHA-512 needs sasl.password"),
        ({"sasl.mechanism": "OAUTHBEARER", "security.protocol": "SSL"}, "has no effect with security.protocol SSL"),
        ({"ca.file": "/nowhere"}, "ssl.ca.location names /nowhere, which does not exist"),
    ],
)
def test_what_librdkafka_would_pass_over_or_say_late_is_refused_at_once(given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        security(**given)
    assert says in str(caught.value)
    assert caught.value.remedy


def test_an_emitter_reads_its_password_from_a_file_and_names_its_own_variable(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hush\n")
    environ = {
        "HEADWATER_KAFKA_BOOTSTRAP_SERVERS": "b:1",
        "HEADWATER_KAFKA__SASL_MECHANISM": "PLAIN",
        "HEADWATER_KAFKA__SASL_USERNAME": "me",
        "HEADWATER_KAFKA__SASL_PASSWORD_FILE": str(file),
    }
    config = EmitterConfig.from_env(environ)
    assert config.kafka["sasl.password"] == "hush"
    assert "hush" not in repr(config)
    assert "hush" not in str(config.masked_kafka())
    file.unlink()
    with pytest.raises(ConfigError, match="HEADWATER_KAFKA__SASL_PASSWORD_FILE"):
        EmitterConfig.from_env(environ)


def test_a_variable_that_is_empty_is_not_set() -> None:
    assert security(**{"ca.file": "", "sasl.username": "", "sasl.password.file": "", "client.id": ""}) == {
        "client.id": ""
    }


def test_kafkas_own_settings_become_librdkafkas_and_an_error_names_ours(pem: str) -> None:
    kafka = KafkaSettings(
        sasl_mechanism="PLAIN",
        sasl_username="me",
        sasl_password=SecretStr("hush"),
        ca_file=pem,
        extra={"client.rack": "a"},
    )
    config = client_config(kafka)
    assert config["security.protocol"] == "SASL_SSL"
    assert (config["sasl.password"], config["ssl.ca.location"], config["client.rack"]) == ("hush", pem, "a")
    with pytest.raises(ConfigError, match=r"PLAIN needs kafka\.sasl_password"):
        client_config(kafka.model_copy(update={"sasl_password": None}))


@pytest.mark.parametrize(
    ("url", "kind", "tls", "nodes", "service", "database"),
    [
        ("redis://h:1/2", "single", False, (), "", 0),
        ("rediss://h", "single", True, (), "", 0),
        ("unix:///run/redis.sock", "single", False, (), "", 0),
        ("redis+sentinel://a,b:2/mymaster/3", "sentinel", False, (("a", 26379), ("b", 2)), "mymaster", 3),
        ("rediss+sentinel://[::1]:5/m", "sentinel", True, (("::1", 5),), "m", 0),
        ("redis+cluster://a,b:7", "cluster", False, (("a", 6379), ("b", 7)), "", 0),
        ("rediss+cluster://a/0", "cluster", True, (("a", 6379),), "", 0),
    ],
)
def test_an_address_says_what_stands_behind_it(
    url: str, kind: str, tls: bool, nodes: tuple[tuple[str, int], ...], service: str, database: int
) -> None:
    place = parse_redis_url(url)
    assert (place.kind, place.tls, place.nodes, place.service, place.database) == (kind, tls, nodes, service, database)


def test_user_and_password_in_an_address_are_unquoted_and_not_shown() -> None:
    place = parse_redis_url("redis+cluster://me:a%40b%2Fc@h")
    assert (place.username, place.password) == ("me", "a@b/c")
    assert "a@b" not in repr(place)


@pytest.mark.parametrize(
    "url",
    [
        "http://hush@h", "redis+sentinel://:hush@h", "redis+sentinel://:hush@/m", "redis+cluster://:hush@h/1",
        "redis+cluster://:hush@h:x", "redis+wrong://:hush@h", "unix+cluster://:hush@h", "redis+sentinel://:hush@h/m/x",
        "redis+cluster://:hush@h/0?ssl=1", "",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_redis_url(url)
    assert "hush" not in str(caught.value)
    assert "redis+cluster://" in caught.value.remedy


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "redis://h", "ca_file": "/ca.pem"}, "redis.ca_file has no effect"),
        ({"url": "rediss://h", "ca_file": "/nowhere"}, "redis.ca_file names /nowhere"),
        ({"url": "redis://h", "password_file": "/nowhere"}, "which redis.password_file names"),
    ],
)
def test_what_redis_would_only_say_when_it_is_reached_is_refused_before(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        connect(RedisSettings(**settings))


def test_settings_win_over_what_the_address_says(tmp_path: Path) -> None:
    given = RedisSettings(url="redis://old:old@h:1/2", username="new", password=SecretStr("new"))
    options = connect(given).connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("new", "new", 2)
    file = tmp_path / "password"
    file.write_text("filed\n")
    by_file = RedisSettings(url="redis://old:old@h:1/2", password_file=str(file))
    options = connect(by_file).connection_pool.connection_kwargs
    assert options["credential_provider"].get_credentials() == ("old", "filed")
    assert "password" not in options


def test_every_key_of_a_domain_is_in_the_slot_of_its_tag() -> None:
    from redis.crc import key_slot

    assert slot_of("shop") == key_slot(b"{hw:shop}:meta") == key_slot(b"{hw:shop}:s:3:1700000")
