"""JWTs at the gateway: real keys, a real key set on a server of this process."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from headwater.gateway.access import WRITE, Access, Principal
from headwater.gateway.answers import Problem
from headwater.gateway.jwts import Jwks
from headwater.runtime.errors import UsageError

EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = ec.generate_private_key(ec.SECP256R1())


class KeyServer:
    """Serves a key set and counts who asks for it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.keys: list[dict[str, Any]] = [
            {**json.loads(ECAlgorithm.to_jwk(EC_KEY.public_key())), "kid": "ec", "alg": "ES256"},
            {**json.loads(RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "rsa"},
            {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "shared", "alg": "HS256"},
        ]
        self.redirect = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.asked.append(self.path)
                if owner.redirect:
                    self.send_response(302)
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    return
                body = json.dumps({"keys": owner.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own signature
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/keys"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


def token(
    key: Any = EC_KEY, algorithm: str = "ES256", kid: str = "ec", *, header: dict[str, str] | None = None, **claims: Any
) -> str:
    said = {
        "sub": "airflow", "aud": "headwater", "iss": "https://id.example.com", "exp": time.time() + 60, "scope": WRITE,
        "headwater_namespaces": ["shop-*"], **claims,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid, **(header or {})})


def judged(keys: KeyServer, *tokens: str) -> list[Principal | int]:
    """Whose the tokens are, or with which status each is refused."""

    async def main() -> list[Principal | int]:
        access = Access(jwts=Jwks(keys.url, audience="headwater", issuer="https://id.example.com"))
        found: list[Principal | int] = []
        for each in tokens:
            try:
                found.append(await access.principal([(b"authorization", f"Bearer {each}".encode())], WRITE))
            except Problem as problem:
                found.append(problem.status)
        return found

    return asyncio.run(main())


def test_a_token_of_the_provider_is_taken_with_its_scopes_and_namespaces(keys: KeyServer) -> None:
    by_ec, by_rsa, again = judged(keys, first := token(), token(RSA_KEY, "RS256", "rsa"), first)
    assert isinstance(by_ec, Principal)
    assert isinstance(by_rsa, Principal)
    assert (by_ec.name, by_ec.may_write_to("shop-1"), by_ec.may_write_to("raw")) == ("airflow", True, False)
    assert again is by_ec  # remembered: a signature is not judged for every request
    assert keys.asked == ["/keys"]


def test_what_is_not_of_the_provider_or_not_for_us_is_refused(keys: KeyServer) -> None:
    bad = [
        token(STRANGER),
        token(exp=time.time() - 60),
        token(exp=None),
        token(aud="another"),
        token(aud=None),
        token(iss="https://evil.example.com"),
        token(kid="unknown"),
        token(keys.keys[0]["x"], "HS256"),  # a public key, taken for a shared secret
        token("secretsecretsecretsecretsecretsecret", "HS256", "shared"),
        token(RSA_KEY, "RS256", "ec"),
        "a.b.c",
        token()[:-4] + "AAAA",
    ]
    assert judged(keys, *bad) == [401] * len(bad)
    assert judged(keys, token(scope="other"), token(scope=None)) == [403, 403]


def test_a_token_cannot_say_where_its_key_is(keys: KeyServer) -> None:
    elsewhere = KeyServer()
    elsewhere.keys = [{**json.loads(ECAlgorithm.to_jwk(STRANGER.public_key())), "kid": "theirs"}]
    try:
        assert judged(keys, token(STRANGER, kid="theirs", header={"jku": elsewhere.url, "x5u": elsewhere.url})) == [401]
        assert elsewhere.asked == []
    finally:
        elsewhere.close()


def test_a_key_set_that_is_somewhere_else_now_is_not_followed(keys: KeyServer) -> None:
    keys.redirect = True
    assert judged(keys, token()) == [503]
    assert keys.asked == ["/keys"]


def test_many_tokens_with_unknown_keys_ask_the_provider_once(keys: KeyServer) -> None:
    assert judged(keys, *(token(kid=f"made-up-{number}") for number in range(50))) == [401] * 50
    assert keys.asked == ["/keys"]


@pytest.mark.parametrize(
    ("url", "audience", "said"),
    [
        ("http://id.example.com/keys", "a", "is no https URL"),
        ("file:///etc/keys", "a", "is no https URL"),
        ("https://id.example.com/keys", "", "jwt_audience is not"),
    ],
)
def test_a_key_set_that_could_be_anybodys_is_refused_at_the_start(url: str, audience: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Jwks(url, audience=audience)
