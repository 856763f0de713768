"""Secrets taken out of text: of error messages and facets, before they leave the job or are kept.

Dataset namespaces lose their credentials in `naming.canonical_dataset`; this is for free text.

Pure. It knows three shapes: credentials in URLs (`scheme://user:password@host`), `key=value` or `"key": "value"`
where the key is named like a secret, and the same in SQL (`PASSWORD '…'`, `IDENTIFIED BY '…'`). It is a net with
holes, not a guarantee: do not put secrets into messages.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"

# Every repetition is bounded, so that a text of one endless word costs no more than its length.
_SENSITIVE: Final = (
    r"[\w.-]{0,64}(?:passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
    r"|sasl\.jaas\.config)[\w.-]{0,64}"
)
# A password may hold a raw slash; digits before a slash are a port.
_URL_USERINFO: Final = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}:/{1,3})"
    r"(?:(?P<user>[^\s:/@?#'\"<>]{0,256}):(?:[^\s/'\"<>]{0,512}|(?!\d{1,5}[/?#])[^\s'\"<>]{0,512})"
    r"|[^\s:/@?#'\"<>]{16,512})@"
)
_ASSIGNMENT: Final = re.compile(
    rf"(?P<key>(?<![\w.-]){_SENSITIVE})(?P<between>[\"']?\s{{0,3}}[=:]\s{{0,3}})"
    r"(?P<value>\"[^\"]{0,4096}\"|'[^']{0,4096}'|[^\s,;&\"'}\])]+)",
    re.IGNORECASE,
)
# CREATE USER … IDENTIFIED BY '…', WITH PASSWORD '…', SECRET_ACCESS_KEY '…'
_SQL_SECRET: Final = re.compile(
    rf"(?P<key>(?<![\w.-])(?:{_SENSITIVE}|identified\s{{1,3}}by))(?P<between>\s{{1,3}})'[^']{{0,4096}}'", re.IGNORECASE
)
_BEARER: Final = re.compile(r"\b(?P<kind>Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}")
# A part of every sensitive key, and of IDENTIFIED BY: searching for these is a hundredth of the work of the expressions. Case is
# folded, for the expressions too take the Kelvin sign for a k and the long s for an s; they also take ı for an i, so there is none.
_SIGNS: Final = ("passw", "pwd", "secret", "token", "key", "credent", "jaas")
_SQL_SIGN: Final = "dent"
_SECRET_KEY: Final = re.compile(_SENSITIVE, re.IGNORECASE)


def mask(text: str) -> str:
    """The text with passwords in URLs and values of secret-looking keys replaced by `***`."""
    if "@" in text:
        text = _URL_USERINFO.sub(_masked_userinfo, text)
    if "=" in text or ":" in text:
        text = mask_assignments(text)
    if "'" in text and (_is_suspicious(text) or _SQL_SIGN in text.casefold()):
        text = _SQL_SECRET.sub(rf"\g<key>\g<between>'{MASK}'", text)
    if "Bearer" in text or "Basic" in text:
        text = _BEARER.sub(rf"\g<kind> {MASK}", text)
    return text


def mask_assignments(text: str) -> str:
    """The text with values of secret-looking keys replaced, and nothing else: for names, where an `@` may be no user's."""
    return _ASSIGNMENT.sub(rf"\g<key>\g<between>{MASK}", text) if _is_suspicious(text) else text


def _is_suspicious(text: str) -> bool:
    """Whether a sensitive key may stand in the text."""
    folded = text.casefold()
    return any(sign in folded for sign in _SIGNS)


def is_secret_name(key: str) -> bool:
    """Whether a setting of this name is likely to hold a secret (`sasl.password`, `AWS_SECRET_ACCESS_KEY`)."""
    return _SECRET_KEY.fullmatch(key) is not None


def bounded(text: str, limit_chars: int) -> str:
    """At most `limit_chars` characters; what was cut is said."""
    if len(text) <= limit_chars:
        return text
    mark = f" … [{len(text) - limit_chars} more characters]"
    return text[: max(0, limit_chars - len(mark))] + mark


def error_text(error: BaseException | str, limit_chars: int = 2_000) -> str:
    """Type and message of an exception, or a text; masked and bounded; also of exceptions that cannot say theirs."""
    kind = "" if isinstance(error, str) else type(error).__qualname__
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__ must not break the job that is already failing
        message = "<no message: its __str__ raised>"
    # Bounded before it is masked as well: a regular expression over megabytes is not for the job's own thread.
    message = mask(bounded(message, 4 * limit_chars)).encode("utf-8", "replace").decode()
    return bounded(f"{kind}: {message}" if kind and message else kind or message, limit_chars)


def _masked_userinfo(match: re.Match[str]) -> str:
    user = match["user"]
    return f"{match['scheme']}{MASK}@" if user is None else f"{match['scheme']}{user}:{MASK}@"
