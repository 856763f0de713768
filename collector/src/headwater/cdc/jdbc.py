"""JDBC URLs as dataset namespaces: the server, the database and the schema that a connector writes to. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from headwater_schemas.events import Name
from headwater_schemas.naming import canonical_dataset

_URL: Final = re.compile(r"jdbc:(?P<kind>[A-Za-z0-9]+):(?P<rest>.{0,4000})", re.DOTALL)
_ORACLE: Final = re.compile(
    r"(?:thin:)?[^@]{0,300}@(?://)?(?P<host>[^:/()]+)(?::(?P<port>\d+))?[:/](?P<service>[\w.$-]+)"
)
_SCHEMES: Final = {"postgresql": "postgres", "sqlserver": "mssql", "jtds": "mssql"}
_PORTS: Final = {
    "postgres": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433, "oracle": 1521, "db2": 50000, "redshift": 5439,
}  # fmt: skip
_SCHEMA_OF: Final = {"postgres": "public", "mssql": "dbo", "redshift": "public"}
_NO_SCHEMAS: Final = frozenset({"mysql", "mariadb", "clickhouse"})


@dataclass(frozen=True, slots=True)
class Database:
    """A database behind a JDBC URL. `schema` is where a table without one goes; "" where that is not known."""

    namespace: str
    database: str
    schema: str = ""
    has_schemas: bool = True

    def table(self, name: str) -> Name | None:
        """A table as a connector names it: `orders`, `sales.orders` or the whole; None where a part is not known."""
        parts = [part.strip('"`[]') for part in name.split(".")]
        if self.has_schemas and len(parts) == 1:
            parts = [self.schema, *parts]
        if len(parts) == (2 if self.has_schemas else 1):
            parts = [self.database, *parts]
        return canonical_dataset(self.namespace, ".".join(parts)) if all(parts) and len(parts) <= 3 else None


def database_of(url: str, user: str = "") -> Database | None:
    """The database of a JDBC URL; None for a URL that is none of ours, or whose host is masked."""
    match = _URL.fullmatch(url.strip())
    if match is None or "${" in url or "***" in url:
        return None
    scheme = _SCHEMES.get(match["kind"].lower(), match["kind"].lower())
    if scheme == "oracle":
        return _oracle(match["rest"], user)
    rest = match["rest"].partition("//")[2]
    if scheme == "mssql":
        authority, *settings = rest.split(";")
        options = {key.strip().lower(): value for key, _, value in (setting.partition("=") for setting in settings)}
        authority, _, path = authority.partition("/")
        database = options.get("databasename") or options.get("database") or path
        authority = authority.partition("\\")[0]
    else:
        whole, _, query = rest.rpartition("@")[2].partition("?")
        authority, _, path = whole.partition("/")
        options = {key.lower(): value for key, value in parse_qsl(query)}
        database = path.partition(";")[0].strip("/")
    hosts = _hosts(authority, scheme)
    if not hosts:
        return None
    schema = options.get("currentschema") or _SCHEMA_OF.get(scheme, "")
    namespace = canonical_dataset(f"{scheme}://{hosts}", "-").namespace
    return Database(namespace, database, schema.partition(",")[0], scheme not in _NO_SCHEMAS)


def _oracle(rest: str, user: str) -> Database | None:
    match = _ORACLE.match(rest)
    if match is None:
        return None
    namespace = f"oracle://{match['host'].lower()}:{match['port'] or _PORTS['oracle']}"
    return Database(namespace, match["service"], user.upper())


def _hosts(authority: str, scheme: str) -> str:
    port = _PORTS.get(scheme)
    hosts = [host.strip().lower() for host in authority.rpartition("@")[2].split(",") if host.strip()]
    return ",".join(host if ":" in host or port is None else f"{host}:{port}" for host in hosts)
