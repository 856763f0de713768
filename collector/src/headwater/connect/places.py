"""This installation as others have to reach it: addresses, topics, what protects them. Pure: settings in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from headwater.cdc.http import service_at
from headwater.connect import security
from headwater.runtime.errors import UsageError
from headwater.runtime.models import GatewaySettings, Settings
from headwater_schemas.topics import catalogue

DEFAULT_PREFIX: Final = "lineage."
_EVERYWHERE: Final = {"0.0.0.0": "localhost", "::": "localhost", "": "localhost"}  # noqa: S104 - to be replaced
_HERE: Final = ("127.", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Installation:
    """What a producer has to know. Nothing in it is secret.

    `security` is by librdkafka's names, with holes for what says who somebody is. `connects` are Kafka Connect's URLs without
    credentials, `connect_has_secret` whether one had some. `connector_servers` are the brokers that connectors write to.
    """

    servers: str
    topic_prefix: str
    topics: Mapping[str, str]
    documents: str
    bridge_group: str
    gateway: str
    gateway_is_here: bool
    gateway_wants_token: bool
    security: Mapping[str, str]
    connects: tuple[str, ...]
    connect_has_secret: bool
    connector_servers: str
    registry: str
    cdc_group: str


def installation_of(settings: Settings, *, gateway: str = "", connects: Sequence[str] = ()) -> Installation:
    """The installation that the settings describe. `gateway` and `connects` win over them.

    Raises:
        UsageError: a URL is none.
    """
    topics = {role: topic.name for role, topic in catalogue(settings.topic_prefix).items()}
    url = gateway_url(settings.gateway, gateway)
    services = [service_at(each, "--connect") for each in (connects or settings.cdc.connect)]
    return Installation(
        servers=settings.kafka.bootstrap_servers,
        topic_prefix=settings.topic_prefix,
        topics=topics,
        documents=settings.bridge.topic or topics["openlineage"],
        bridge_group=settings.bridge.group,
        gateway=url,
        gateway_is_here=(urlsplit(url).hostname or "").startswith(_HERE),
        gateway_wants_token=bool(settings.gateway.tokens_file or settings.gateway.jwks_url),
        security=security.librdkafka(settings.kafka),
        connects=tuple(service.shown for service in services),
        connect_has_secret=any(service.authorization for service in services),
        connector_servers=settings.cdc.bootstrap_servers or settings.kafka.bootstrap_servers,
        registry=service_at(settings.registry.url, "registry.url").shown if settings.registry.url else "",
        cdc_group=f"{settings.consumer_group}-cdc",
    )


def gateway_url(settings: GatewaySettings, given: str = "") -> str:
    """What clients call the gateway by: as given, else `gateway.url`, else where it listens.

    Raises:
        UsageError: what is given is no URL of a server.
    """
    url = given or settings.url
    if url:
        return _checked(url, "--gateway" if given else "gateway.url")
    host = _EVERYWHERE.get(settings.host, settings.host)
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.cert_file else 'http'}://{host}:{settings.port}"


def _checked(url: str, what: str) -> str:
    service = service_at(url, what)
    if service.authorization:
        raise UsageError(f"{what} has a user in it", remedy="clients send a token: headwater gateway token")
    return url.strip().rstrip("/").removesuffix("/api/v1/lineage")
