"""How others get to Kafka as safely as we do: our security settings by name, for librdkafka, Java and the SDK. Pure.

What says who somebody is (user, password, certificate, key) is not ours to give: it becomes a hole, `<password>`, that the
reader fills. No secret and no name of a file with one is ever in what is returned here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headwater.config import KAFKA_PREFIX
from headwater.kafka_security import SECRETS, SHORT, protocol
from headwater.masking import is_secret_name
from headwater.runtime.models import OWN_NAMES, KafkaSettings

Settings = dict[str, str]

SECRETS_FOLDER: Final = "/etc/headwater/secrets"
"""Where the examples have a pod's secrets mounted."""

_OF_SECURITY: Final = ("sasl.", "ssl.", "security.", "enable.ssl.")
_IDENTITY: Final[Mapping[str, str]] = {
    "sasl.username": "<user>",
    "sasl.password": "<password>",
    "sasl.oauthbearer.client.id": "<client id>",
    "sasl.oauthbearer.client.secret": "<client secret>",
    "ssl.certificate.location": "<certificate.pem>",
    "ssl.certificate.pem": "<certificate, PEM>",
    "ssl.key.location": "<key.pem>",
    "ssl.key.pem": "<key, PEM>",
    "ssl.key.password": "<password of the key>",
    "ssl.keystore.location": "<keystore.p12>",
    "ssl.keystore.password": "<password of the keystore>",
}
_NAMES: Final = {field: key for key, field in reversed(list(OWN_NAMES.items()))}
"""Settings of ours to the first of librdkafka's names that mean each."""

_MODULES: Final = "org.apache.kafka.common.security."
_PROVISIONED: Final = ("sasl.username", "sasl.password", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret")
_PROTOCOL: Final = "security.protocol"
_SAME_IN_JAVA: Final = frozenset(
    {_PROTOCOL, "ssl.endpoint.identification.algorithm", "sasl.oauthbearer.token.endpoint.url", "ssl.key.password"}
)
_ONLY_LIBRDKAFKA: Final = frozenset({"sasl.oauthbearer.method", "sasl.mechanism", "sasl.mechanisms", *_PROVISIONED})
"""Said to Java in another way."""


def librdkafka(kafka: KafkaSettings) -> Settings:
    """librdkafka's settings, for confluent-kafka and with it OpenLineage's Python client; empty without TLS and SASL."""
    given = {key: str(value) for field, key in _NAMES.items() if (value := getattr(kafka, field))}
    given |= {key: value for key, value in kafka.extra.items() if value and key.startswith((*_OF_SECURITY, *SHORT))}
    found: Settings = {}
    for key, value in given.items():
        name = key.removesuffix(".file") if key.removesuffix(".file") in SECRETS else key
        name = SHORT.get(name, "sasl.mechanism" if name == "sasl.mechanisms" else name)
        found[name] = _IDENTITY.get(name, f"<{name}>" if is_secret_name(name) else value)
    told = protocol(found)
    return {"security.protocol": told, **{key: found[key] for key in sorted(found) if key != _PROTOCOL}} if told else {}


def java(settings: Settings) -> tuple[Settings, list[str]]:
    """The same for Java's clients, and librdkafka's names that have no counterpart there, for the reader to look up."""
    found: Settings = {key: value for key, value in settings.items() if key in _SAME_IN_JAVA}
    if found.get("ssl.endpoint.identification.algorithm") == "none":
        found["ssl.endpoint.identification.algorithm"] = ""  # librdkafka's word for what Java writes as nothing
    mechanism = settings.get("sasl.mechanism", "")
    if mechanism:
        found["sasl.mechanism"] = mechanism
        found |= _jaas(mechanism.upper())
    authority = settings.get("ssl.ca.location", "")
    if authority and authority != "probe":
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": authority}
    if "ssl.certificate.location" in settings or "ssl.key.location" in settings:
        found |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": "<certificate and key.pem>"}
    elif "ssl.keystore.location" in settings:
        found |= {key: _IDENTITY[key] for key in ("ssl.keystore.location", "ssl.keystore.password")}
    said = {*_ONLY_LIBRDKAFKA, *_SAME_IN_JAVA, *_IDENTITY, "ssl.ca.location"}
    return found, sorted(set(settings) - said)


def _jaas(mechanism: str) -> Settings:
    if mechanism == "PLAIN" or mechanism.startswith("SCRAM"):
        module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
        return {"sasl.jaas.config": f'{_MODULES}{module} required username="<user>" password="<password>";'}
    if mechanism == "OAUTHBEARER":
        module = f"{_MODULES}oauthbearer.OAuthBearerLoginModule"
        return {
            "sasl.jaas.config": f'{module} required clientId="<client id>" clientSecret="<client secret>";',
            "sasl.login.callback.handler.class": f"{_MODULES}oauthbearer.OAuthBearerLoginCallbackHandler",
        }
    return {}


def variables(settings: Settings, *, in_files: bool = True) -> Settings:
    """The same as variables of the SDK. With `in_files` secrets are named by their files, which is where a pod has them."""
    found: Settings = {}
    for key, value in settings.items():
        word = _OUR_WORDS.get(key, key)
        name = f"{KAFKA_PREFIX}{word.upper().replace('.', '_')}"
        if key in SECRETS and in_files:
            found[f"{name}_FILE"] = f"{SECRETS_FOLDER}/{word.replace('.', '-')}"
        else:
            found[name] = value
    return found


_OUR_WORDS: Final = {own: short for short, own in SHORT.items()}
