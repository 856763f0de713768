"""TLS, SASL and secrets in files, as people write them, into librdkafka's settings. For the emitter and for everything else.

Short names beside librdkafka's own (in variables dots are underscores):

| short | librdkafka's |
|---|---|
| `ca.file` | `ssl.ca.location` |
| `cert.file` | `ssl.certificate.location` |
| `key.file` | `ssl.key.location` |
| `key.password` | `ssl.key.password` |

Each of `SECRETS` may be given as `<name>.file`: the path of a file that holds it. It is read when a client is made.

What librdkafka would pass over in silence is decided here: without `security.protocol`, a SASL setting means `SASL_SSL` and a
certificate means `SSL`. A password is never sent over plain TCP unless `SASL_PLAINTEXT` is written out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from headwater.errors import ConfigError

SHORT: Final[Mapping[str, str]] = {
    "ca.file": "ssl.ca.location",
    "cert.file": "ssl.certificate.location",
    "key.file": "ssl.key.location",
    "key.password": "ssl.key.password",
}
SECRETS: Final = (
    "key.password",
    "sasl.oauthbearer.client.secret",
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
)
_MECHANISM: Final = ("sasl.mechanism", "sasl.mechanisms")  # librdkafka takes both
_FILES: Final = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location")
_OURS: Final = ("ca.", "cert.", "key.", "sasl.", "security.", "ssl.")
_SYSTEM_STORE: Final = "probe"
_BY_PASSWORD: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def client_security(given: Mapping[str, str], name_of: Callable[[str], str]) -> dict[str, str]:
    """librdkafka's settings out of the given ones.

    Args:
        given: by librdkafka's names, the short ones above, or one of `SECRETS` with `.file`.
        name_of: what a key is called where it was set, for messages.

    Raises:
        ConfigError: a file cannot be read, two keys contradict each other, or one is missing.
    """
    # A variable that a template left empty is not set.
    found = {key: value for key, value in given.items() if value or not key.startswith(_OURS)}
    for secret in SECRETS:
        path = found.pop(f"{secret}.file", None)
        if path is not None and secret not in found:
            found[secret] = read_secret(path, name_of(f"{secret}.file"))
    for short, own in SHORT.items():
        if short in found:
            found.setdefault(own, found[short])
            del found[short]
    _check(found, name_of)
    told = protocol(found)
    return {**found, "security.protocol": told} if told else found


def read_secret(path: str, name: str) -> str:
    """The secret in a file; an end of line after it is not part of it.

    Raises:
        ConfigError: the file cannot be read or is empty; the message names it and the setting `name`.
    """
    try:
        secret = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read {path}, which {name} names: {said}", remedy="is it mounted, and may this user read it?"
        ) from error
    if not secret:
        raise ConfigError(f"{path}, which {name} names, is empty", remedy="write the secret into it")
    return secret


def mechanism(found: Mapping[str, str]) -> str:
    """The SASL mechanism that is set; empty if none is."""
    return next((found[key].upper() for key in _MECHANISM if found.get(key)), "")


def protocol(found: Mapping[str, str]) -> str:
    """The security protocol that these settings, by librdkafka's names, ask for; empty for plain text."""
    said = found.get("security.protocol", "")
    if said:
        return said.upper().replace("-", "_")
    if any(key.startswith("sasl.") for key in found):
        return "SASL_SSL"
    return "SSL" if any(key in found for key in _FILES) else ""


def _check(found: Mapping[str, str], name_of: Callable[[str], str]) -> None:
    told, how = protocol(found), mechanism(found)
    if found.get("sasl.username") and not how:
        raise ConfigError(
            f"{name_of('sasl.username')} is set, and no mechanism",
            remedy=f"set {name_of('sasl.mechanism')} to {', '.join(_BY_PASSWORD[:-1])} or {_BY_PASSWORD[-1]}",
        )
    if how in _BY_PASSWORD:
        for key in ("sasl.username", "sasl.password"):
            if not found.get(key):
                raise ConfigError(f"{how} needs {name_of(key)}", remedy=_give(key, name_of))
    if how and not told.startswith("SASL"):
        raise ConfigError(
            f"{name_of('sasl.mechanism')} has no effect with {name_of('security.protocol')} {told}",
            remedy="set it to SASL_SSL (or SASL_PLAINTEXT), or leave it out",
        )
    for key in _FILES:
        path = found.get(key)
        if path and path != _SYSTEM_STORE and not Path(path).exists():
            raise ConfigError(f"{name_of(key)} names {path}, which does not exist", remedy="is it mounted?")


def _give(key: str, name_of: Callable[[str], str]) -> str:
    return f"set it, or name a file with {name_of(f'{key}.file')}" if key in SECRETS else "set it"
