"""What `headwater connect` prints is right: it parses, its readers take it, and no secret is in it."""

from __future__ import annotations

import configparser
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from openlineage.client.transport.http import HttpConfig
from openlineage.client.transport.kafka import KafkaConfig

from headwater.cli.root import run
from headwater.config import EmitterConfig
from headwater.connect import security
from headwater.connect.debezium import lacking
from headwater.connect.guides import Guide, Wanted, guide
from headwater.connect.guides.capture import DATASET_SERVERS, connector_settings
from headwater.connect.guides.jobs import pod_template
from headwater.connect.hearing import SUBJECTS
from headwater.connect.places import Installation, installation_of
from headwater.runtime.errors import UsageError
from headwater.runtime.settings import load
from headwater_schemas.events import Name

SECURED = {
    "kafka.bootstrap_servers": "broker:9093",
    "kafka.sasl_mechanism": "SCRAM-SHA-512",
    "kafka.sasl_username": "headwater-admin",
    "kafka.sasl_password": "hunter2",
    "kafka.ca_file": "/etc/headwater/ca.pem",
    "kafka.ssl.key.password": "hunter2",
    "kafka.sasl.oauthbearer.client.secret": "hunter2",
    "kafka.ssl.certificate.location": "/home/me/own.pem",
    "redis.url": "redis://:hunter2@redis:6379/0",
    "gateway.tokens_file": "/etc/hunter2.yaml",
    "cdc.connect": "https://me:hunter2@connect:8083",
    "registry.url": "https://me:hunter2@registry:8081",
}


def place(flags: dict[str, str] | None = None, **options: Any) -> Installation:
    return installation_of(load(flags=flags or {}, environ={}, discover=False).settings, **options)


def texts(told: Guide, form: str) -> list[str]:
    return [snippet.text for snippet in told.snippets if snippet.form == form]


def exported(text: str) -> dict[str, str]:
    """The variables that a shell would have."""
    words = [shlex.split(line) for line in text.splitlines()]
    assert all(word == "export" and len(rest) == 1 for word, *rest in words)
    return dict(rest[0].split("=", 1) for _, *rest in words)


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("flags", [{}, SECURED])
def test_every_guide_parses_in_its_form_and_holds_no_secret(subject: str, flags: dict[str, str]) -> None:
    told = guide(subject, place(flags), Wanted())
    whole = "\n".join([*(f"{one.where}\n{one.text}" for one in told.snippets), *told.remarks, told.speaks, told.title])
    for word in ("hunter2", "headwater-admin", "/home/me"):
        assert word not in whole
    readers: dict[str, Any] = {"yaml": yaml.safe_load, "json": json.loads, "sh": shlex.split, "python": _compiled}
    for snippet in told.snippets:
        readers.get(snippet.form, str)(snippet.text)
        assert snippet.text.endswith("\n")


def _compiled(text: str) -> None:
    compile(text, "snippet", "exec")


def test_the_python_client_takes_what_is_printed_for_it() -> None:
    told = guide("openlineage", place({"gateway.tokens_file": "t.yaml"}), Wanted())
    http, kafka, _java = (yaml.safe_load(text)["transport"] for text in texts(told, "yaml"))
    taken = HttpConfig.from_dict(dict(http))
    assert (taken.url, taken.auth.get_bearer()) == ("http://127.0.0.1:5000", "Bearer <token>")
    assert KafkaConfig.from_dict(dict(kafka)).topic == "lineage.openlineage"
    (variables,) = texts(told, "sh")
    assert exported(variables) == {
        "OPENLINEAGE_URL": "http://127.0.0.1:5000", "OPENLINEAGE_API_KEY": "<token>", "OPENLINEAGE_NAMESPACE": "shop",
    }  # fmt: skip


def test_airflow_reads_its_section() -> None:
    told = guide("airflow", place(), Wanted(job=Name("etl", "x")))
    for text in texts(told, "ini"):
        section = configparser.ConfigParser(interpolation=None)
        section.read_string(text)
        transport = json.loads(section["openlineage"]["transport"])
        assert transport["type"] in {"http", "kafka"}
        assert section["openlineage"]["namespace"] == "etl"
    by_http = exported(texts(told, "sh")[1])
    assert json.loads(by_http["AIRFLOW__OPENLINEAGE__TRANSPORT"]) == {"type": "http", "url": "http://127.0.0.1:5000"}


def test_spark_has_the_same_transport_flat() -> None:
    by_kafka = texts(guide("spark", place(), Wanted(ways=("kafka",))), "properties")[0]
    told = dict(line.split("=", 1) for line in by_kafka.splitlines())
    assert told["spark.extraListeners"] == "io.openlineage.spark.agent.OpenLineageSparkListener"
    assert told["spark.openlineage.transport.topicName"] == "lineage.openlineage"
    assert told["spark.openlineage.transport.properties.bootstrap.servers"] == "localhost:9092"


@pytest.mark.parametrize("way", ["http", "kafka"])
def test_the_sdk_takes_its_variables(way: str) -> None:
    where = place(
        {"kafka.bootstrap_servers": "broker:9092", "topic_prefix": "eu.", "gateway.url": "https://lineage.acme"}
    )
    told = guide("job", where, Wanted(job=Name("shop", "load"), ways=(way,)))
    config = EmitterConfig.from_env(exported(texts(told, "sh")[1]))
    assert (config.transport, config.namespace, config.job) == (way, "shop", "load")
    if way == "http":
        assert config.http_url == "https://lineage.acme"
    else:
        assert (config.bootstrap_servers, config.topic_prefix) == ("broker:9092", "eu.")


def test_what_is_printed_for_a_secured_kafka_is_taken_once_its_holes_are_filled(tmp_path: Path) -> None:
    authority, password = tmp_path / "ca.pem", tmp_path / "password"
    authority.write_text("")
    password.write_text("s3cret")
    where = place({**SECURED, "kafka.ca_file": str(authority)})
    given = exported(texts(guide("job", where, Wanted()), "sh")[1])
    filled = {
        name: str(password) if name.endswith("_FILE") and "CA" not in name else value for name, value in given.items()
    }
    for name in ("CERT", "KEY"):
        filled.pop(f"HEADWATER_KAFKA__{name}_FILE", None)
    config = EmitterConfig.from_env(filled)
    assert config.kafka["security.protocol"] == "SASL_SSL"
    assert config.kafka["sasl.mechanism"] == "SCRAM-SHA-512"
    assert config.kafka["sasl.password"] == "s3cret"


def test_librdkafka_takes_the_security_settings_under_these_names() -> None:
    told = place(
        {"kafka.security_protocol": "SASL_PLAINTEXT", "kafka.sasl_mechanism": "PLAIN", "kafka.sasl_username": "u"}
    )
    assert told.security == {
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "<user>",
    }  # fmt: skip
    Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0, **told.security, "sasl.password": "<password>"})


@pytest.mark.parametrize(
    ("given", "expected", "unknown"),
    [
        ({}, {}, []),
        (
            {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "<user>", "ssl.ca.location": "/ca"},
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "PLAIN",
                "sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule required"
                ' username="<user>" password="<password>";',
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": "/ca",
            },
            [],
        ),
        (
            {"security.protocol": "SSL", "ssl.certificate.location": "<certificate.pem>", "ssl.key.location": "<key.pem>"},
            {
                "security.protocol": "SSL",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": "<certificate and key.pem>",
            },
            [],
        ),
        (
            {
                "security.protocol": "SSL",
                "ssl.endpoint.identification.algorithm": "none",
                "enable.ssl.certificate.verification": "false",
            },
            {"security.protocol": "SSL", "ssl.endpoint.identification.algorithm": ""},
            ["enable.ssl.certificate.verification"],
        ),
    ],
)  # fmt: skip
def test_java_has_other_names_for_the_same(given: dict[str, str], expected: dict[str, str], unknown: list[str]) -> None:
    assert security.java(given) == (expected, unknown)


def test_a_connector_with_the_printed_settings_lacks_nothing() -> None:
    for name, is_source in (("postgresql.PostgresConnector", True), ("jdbc.JdbcSinkConnector", False)):
        settings = {
            "connector.class": f"io.debezium.connector.{name}",
            **connector_settings(place(), is_source=is_source),
        }
        assert lacking(settings, "3.5.0.Final") == []
        assert len(lacking({"connector.class": settings["connector.class"]})) >= 3


def test_connectors_are_told_their_own_kafka_and_documents_go_to_headwaters() -> None:
    where = place({"kafka.bootstrap_servers": "ours:9092", "cdc.bootstrap_servers": "theirs:9092"})
    assert connector_settings(where)[DATASET_SERVERS] == "theirs:9092"
    told = guide("debezium", where, Wanted(ways=("kafka",)))
    (transport,) = (yaml.safe_load(text)["transport"] for text in texts(told, "yaml"))
    assert transport["properties"]["bootstrap.servers"] == "ours:9092"


def test_a_pod_says_where_it_is_and_has_its_secrets_mounted() -> None:
    template = pod_template(place(SECURED), Wanted(job=Name("shop", "Load_Orders")))["template"]
    (container,) = template["spec"]["containers"]
    env = {entry["name"]: entry for entry in container["env"]}
    assert container["name"] == template["metadata"]["labels"]["app.kubernetes.io/name"] == "load-orders"
    assert env["NODE_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert env["HEADWATER_JOB"]["value"] == "Load_Orders"
    folder = env["HEADWATER_KAFKA__SASL_PASSWORD_FILE"]["value"].rpartition("/")[0]
    assert container["volumeMounts"][0]["mountPath"] == folder
    assert "volumes" not in pod_template(place(), Wanted())["template"]["spec"]


@pytest.mark.parametrize(
    ("flags", "given", "url"),
    [
        ({}, "", "http://127.0.0.1:5000"),
        ({"gateway.host": "0.0.0.0", "gateway.port": "80"}, "", "http://localhost:80"),  # noqa: S104 - nothing binds
        ({"gateway.host": "::1", "gateway.cert_file": "c.pem"}, "", "https://[::1]:5000"),
        ({"gateway.url": "https://lineage.acme/"}, "", "https://lineage.acme"),
        ({"gateway.url": "https://lineage.acme"}, "http://other:5000/api/v1/lineage", "http://other:5000"),
    ],
)
def test_the_gateway_is_called_as_others_have_to_call_it(flags: dict[str, str], given: str, url: str) -> None:
    assert place(flags, gateway=given).gateway == url


@pytest.mark.parametrize("url", ["lineage.acme", "ftp://lineage.acme", "https://u:p@lineage.acme"])
def test_a_gateway_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--gateway"):
        place(gateway=url)


def test_without_waiting_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--kafka", "127.0.0.1:1", "connect", "emit-run", "--no-wait", "--job", "shop/load it"]) == 0
    assert "headwater emit run --job 'shop/load it'" in capsys.readouterr().out
    assert run(["--kafka", "127.0.0.1:1", "--output", "json", "connect", "dbt", "--no-wait", "--via", "http"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["heard"] is None
    assert [one["form"] for one in told["settings"]] == ["sh", "sh", "sh"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["debezum"], "'debezum' is not one of"),
        (["job", "--job", "load"], "has no namespace"),
        (["job", "--wait", "soon"], "--wait 'soon' is no duration"),
        (["job", "--no-wait", "--since", "5m"], "contradict"),
        (["debezium", "--connect", "connect:8083"], "is no URL"),
    ],
)
def test_wrong_usage_is_a_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--kafka", "127.0.0.1:1", "connect", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out
