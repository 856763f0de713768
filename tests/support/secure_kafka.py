"""A Kafka with TLS, every SASL mechanism and ACLs: one broker, whose plain listener belongs to its administrator."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from tests.support.certificates import Authority
from tests.support.kafka_server import KafkaServer
from tests.support.processes import free_port, wait_until

PASSWORD: Final = "canary-5e1f"  # noqa: S105 - every user's of a server that lives for a test
USERS: Final = ("emitter", "worker", "reader", "discoverer", "admin", "nobody")
_SCRAM: Final = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
_JAAS: Final = "org.apache.kafka.common.security"

Grant = tuple[str, str, str, Sequence[str]]
"""A user, `topic`, `prefix` (of topics) or `group`, its name, operations."""


class SecureKafka:
    """Start it, `grant` what a user may, and connect to `sasl` (SASL_SSL) or `mtls` (SSL; the certificate's CN is the user)."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "certificates")
        own = self.authority.issue("broker")
        ports = {"SASL": free_port(), "MTLS": free_port()}
        self.sasl, self.mtls = (f"127.0.0.1:{port}" for port in ports.values())
        plain, controller = free_port(), free_port()
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in {"PLAINTEXT": plain, **ports}.items())
        users = " ".join(f'user_{name}="{PASSWORD}"' for name in USERS)
        self.server = KafkaServer(
            {
                "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": listeners,
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MTLS:SSL",
                "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                "super.users": "User:ANONYMOUS",  # who comes by the plain listener
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(own.both),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(self.authority.ca),
                "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/",
                "listener.name.mtls.ssl.client.auth": "required",
                "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
                "listener.name.sasl.plain.sasl.jaas.config": f"{_JAAS}.plain.PlainLoginModule required {users};",
                "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{_JAAS}.scram.ScramLoginModule required;",
                "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{_JAAS}.scram.ScramLoginModule required;",
                "listener.name.sasl.oauthbearer.sasl.jaas.config": f"{_JAAS}.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";',
            },
            controller_port=controller,
            port=plain,
        )

    @functools.cached_property
    def admin(self) -> AdminClient:
        """A client that may do everything."""
        return AdminClient({"bootstrap.servers": self.server.bootstrap_servers, "log_level": 0})

    def start(self) -> None:
        """Start, with the users of SCRAM. RuntimeError if it does not."""
        self.server.start()
        for mechanism in _SCRAM:  # a user may be changed once a request
            changes: list[Any] = [
                UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), PASSWORD.encode())
                for user in USERS
            ]
            for future in self.admin.alter_user_scram_credentials(changes).values():
                future.result(30)
        wait_until(lambda: len(self._known()) == len(USERS), within_s=30, what="users of SCRAM")

    def _known(self) -> dict[str, Any]:
        described: Any = self.admin.describe_user_scram_credentials()
        found: dict[str, Any] = described.result(30)
        return found

    def grant(self, *grants: Grant) -> None:
        """Allow a user operations."""
        rules = [_rule(user, kind, name, each) for user, kind, name, operations in grants for each in operations]
        for future in self.admin.create_acls(rules).values():
            future.result(30)
        wait_until(lambda: set(rules) <= set(self._rules()), within_s=30, what="the ACLs")

    def _rules(self) -> list[AclBinding]:
        anything: Any = self.admin.describe_acls(_anything())
        found: list[AclBinding] = anything.result(30)
        return found

    def close(self) -> None:
        """Stop and remove everything."""
        self.server.close()


def _rule(user: str, kind: str, name: str, operation: str) -> AclBinding:
    what = ResourceType.GROUP if kind == "group" else ResourceType.TOPIC
    pattern = ResourcePatternType.PREFIXED if kind == "prefix" else ResourcePatternType.LITERAL
    allowed = AclOperation[operation]
    return AclBinding(what, name, pattern, f"User:{user}", "*", allowed, AclPermissionType.ALLOW)


def _anything() -> AclBindingFilter:
    every: Any = None  # the client's types forbid the None that it documents
    return AclBindingFilter(
        ResourceType.ANY, every, ResourcePatternType.ANY, every, every, AclOperation.ANY, AclPermissionType.ANY
    )
