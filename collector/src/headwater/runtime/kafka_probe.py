"""What a port speaks, for the case that librdkafka has no words for: it asks in plain text where TLS is wanted, or shows no
certificate where one is, is hung up on, and tries again until the time is over."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

_TIMEOUT_S: Final = 2.0
_ALERT_S: Final = 0.5
_OWN_CERTIFICATE: Final = ("ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location")


def contradiction(config: Mapping[str, Any], *, time_is_over: bool) -> str:
    """How the settings of a client and the first server that can be reached contradict each other; empty if they do not seem to.

    A server that takes TLS may only be slow to answer: until the time is over nothing is concluded from that. What is sent is
    a TLS greeting and nothing else: no credentials.
    """
    protocol = str(config.get("security.protocol", "PLAINTEXT")).upper()
    for server in str(config.get("bootstrap.servers", "")).split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit():
            continue
        try:
            wants_certificate = _greet(host.strip("[]"), int(port))
        except ssl.SSLError:
            return ""  # it has no TLS, or none that Python has
        except OSError:
            continue  # nobody there; another one may be
        if protocol in {"PLAINTEXT", "SASL_PLAINTEXT"}:
            return f"{server} speaks TLS, and security.protocol is {protocol}"
        if wants_certificate and not any(config.get(key) for key in _OWN_CERTIFICATE):
            return f"{server} wants a certificate of the client, and none is set"
        if protocol == "SSL" and time_is_over:
            return f"{server} takes TLS and then does not answer: it may want SASL"
        return ""
    return ""


def _greet(host: str, port: int) -> bool:
    """Whether the server wants a certificate of ours. Raises SSLError if it does not speak TLS, OSError if nobody is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent that would have to be kept from anybody
    with socket.create_connection((host, port), _TIMEOUT_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as tls:
                tls.settimeout(_ALERT_S)
                with contextlib.suppress(TimeoutError):
                    tls.recv(1)  # in TLS 1.3 the refusal comes after the handshake
        except ssl.SSLError as error:
            if "CERTIFICATE" in str(error).upper() or "HANDSHAKE_FAILURE" in str(error):
                return True
            raise
    return False
