"""Where writer schemas come from: the topic `lineage.schemas` by fingerprint, a Schema Registry by id.

Both caches are bounded, and everything in them was linted. A schema that is not known is no error of the record: it is
`unknown_schema`, and the record can be replayed when the schema is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from headwater_schemas.codec import Rejected, own_schema
from headwater_schemas.fingerprint import crc64_avro
from headwater_schemas.lint import DEFAULT_LIMITS, Limits, SchemaRefused, canonical_form, parse
from headwater_schemas.schema import WriterSchema

MAX_SCHEMAS: Final = 256
NEGATIVE_TTL_MS: Final = 60_000
_MAX_ABSENT: Final = 4096
_LOOKUP_WINDOW_MS: Final = 60_000


class SchemaStore:
    """Writer schemas by fingerprint: ours, and those offered from `lineage.schemas`. Nothing is evicted.

    Counters: `refused` (offers that the lint refused) and `beyond` (offers after the store was full).
    """

    def __init__(self, max_schemas: int = MAX_SCHEMAS, limits: Limits = DEFAULT_LIMITS) -> None:
        self._max_schemas = max_schemas
        self._limits = limits
        ours = own_schema()
        self._known: dict[bytes, WriterSchema] = {ours.fingerprint: ours}
        self._refused: dict[bytes, Rejected] = {}
        self.refused = 0
        self.beyond = 0

    def __len__(self) -> int:
        return len(self._known)

    def offer(self, json_text: str) -> WriterSchema | Rejected:
        """Lint a schema and keep it. Rejected as `schema_refused` if the lint refuses it or the store is full."""
        fingerprint = b""
        try:
            fingerprint = crc64_avro(canonical_form(parse(json_text, self._limits)).encode())
            known = self._known.get(fingerprint)
            return known or self._add(WriterSchema.parse(json_text, self._limits))
        except SchemaRefused as error:
            self.refused += 1
            rejected = Rejected("schema_refused", str(error))
            if fingerprint and len(self._refused) < self._max_schemas:
                self._refused[fingerprint] = rejected
            return rejected

    def _add(self, schema: WriterSchema) -> WriterSchema | Rejected:
        if len(self._known) >= self._max_schemas:
            self.beyond += 1
            return Rejected("schema_refused", f"{self._max_schemas} schemas are known already, which is the limit")
        self._known[schema.fingerprint] = schema
        self._refused.pop(schema.fingerprint, None)
        return schema

    def get(self, fingerprint: bytes) -> WriterSchema | None:
        """The schema of an 8-byte fingerprint, if it is known."""
        return self._known.get(fingerprint)

    def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        """The schema of a fingerprint; ids of a registry are `unknown_schema` here."""
        if isinstance(ref, int):
            return Rejected("unknown_schema", f"schema id {ref}, but no Schema Registry is configured")
        known = self._known.get(ref) or self._refused.get(ref)
        return known or Rejected("unknown_schema", f"no schema has the fingerprint {ref.hex()}")


class RegistryUnavailable(OSError):  # noqa: N818 - a state of somebody else's service
    """The Schema Registry did not answer, or not to us. Nothing is known of the record; try again later."""


class RegistryClient(Protocol):
    """What is used of `confluent_kafka.schema_registry.SchemaRegistryClient`."""

    def get_schema(self, schema_id: int) -> Any:
        """A schema with `schema_str`, `schema_type` and `references`."""


def registry_client(config: Mapping[str, Any]) -> RegistryClient:
    """Confluent's own client, with the settings of its documentation (`url`, `basic.auth.user.info` …).

    Raises ModuleNotFoundError, naming the extra to install, without the registry's dependencies.
    """
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient
    except ImportError as error:
        raise ModuleNotFoundError(
            "a Schema Registry needs more than the base installation: pip install 'headwater[registry]'"
        ) from error
    client: RegistryClient = SchemaRegistryClient(dict(config))
    return client


class RegistryStore:
    """Writer schemas by the id of a Schema Registry, with a cache of what is there and of what is not.

    A known id is asked for once. An unknown one is asked for again after `negative_ttl_ms`. Of ids never seen before at
    most `max_lookups` are asked for in a minute, so that a flood of invented ids is no flood of requests.
    Counters: `lookups` (requests made), `refused`, `beyond` (known to the registry, but over our limit).
    """

    def __init__(
        self,
        client: RegistryClient,
        *,
        max_schemas: int = MAX_SCHEMAS,
        negative_ttl_ms: int = NEGATIVE_TTL_MS,
        max_lookups: int = 120,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._client = client
        self._max_schemas = max_schemas
        self._negative_ttl_ms = negative_ttl_ms
        self._max_lookups = max_lookups
        self._limits = limits
        self._known: dict[int, WriterSchema | Rejected] = {}
        self._absent_until_ms: dict[int, int] = {}
        self._window_ms = 0
        self._in_window = 0
        self.lookups = 0
        self.refused = 0
        self.beyond = 0

    def get(self, schema_id: int, now_ms: int) -> WriterSchema | Rejected:
        """The schema of an id. `now_ms` is any clock that goes forward.

        Rejected as `unknown_schema` or `schema_refused`. Raises RegistryUnavailable when the registry cannot say.
        """
        known = self._known.get(schema_id)
        if known is not None:
            return known
        if schema_id >= 1 << 31 or self._absent_until_ms.get(schema_id, now_ms) > now_ms:
            return _absent(schema_id)
        if not self._may_ask(now_ms):
            return Rejected("unknown_schema", f"schema id {schema_id} was not asked for: too many new ids this minute")
        return self._ask(schema_id, now_ms)

    def _may_ask(self, now_ms: int) -> bool:
        if now_ms - self._window_ms >= _LOOKUP_WINDOW_MS:
            self._window_ms, self._in_window = now_ms, 0
        self._in_window += 1
        return self._in_window <= self._max_lookups

    def _ask(self, schema_id: int, now_ms: int) -> WriterSchema | Rejected:
        self.lookups += 1
        schema = self._fetch(schema_id)
        if schema is None:
            if len(self._absent_until_ms) >= _MAX_ABSENT:
                self._absent_until_ms.pop(next(iter(self._absent_until_ms)))
            self._absent_until_ms[schema_id] = now_ms + self._negative_ttl_ms
            return _absent(schema_id)
        self._absent_until_ms.pop(schema_id, None)
        if len(self._known) >= self._max_schemas:
            self.beyond += 1
            return Rejected("schema_refused", f"{self._max_schemas} schemas are known already, which is the limit")
        self._known[schema_id] = found = self._lint(schema)
        return found

    def _fetch(self, schema_id: int) -> Any:
        """The registry's answer, None if it has no such schema."""
        try:
            return self._client.get_schema(schema_id)
        except Exception as error:  # the client passes on the errors of two HTTP libraries
            if getattr(error, "http_status_code", None) == 404:
                return None
            raise RegistryUnavailable(
                f"schema id {schema_id} could not be asked for: {type(error).__name__}"
            ) from error

    def _lint(self, schema: Any) -> WriterSchema | Rejected:
        try:
            if schema.schema_type != "AVRO" or schema.references:
                raise SchemaRefused("only Avro schemas without references are read")
            return WriterSchema.parse(schema.schema_str, self._limits)
        except SchemaRefused as error:
            self.refused += 1
            return Rejected("schema_refused", str(error))


def _absent(schema_id: int) -> Rejected:
    return Rejected("unknown_schema", f"the Schema Registry has no schema id {schema_id}")


class Sources:
    """Both kinds of reference in one place, as `codec.decode` asks for them."""

    def __init__(self, store: SchemaStore, registry: RegistryStore | None, clock_ms: Callable[[], int]) -> None:
        """Without a `registry`, ids of one are unknown. `clock_ms` is any clock that goes forward."""
        self._store = store
        self._registry = registry
        self._clock_ms = clock_ms

    def resolve(self, ref: bytes | int) -> WriterSchema | Rejected:
        """The schema of a fingerprint or an id. Raises RegistryUnavailable."""
        if isinstance(ref, int) and self._registry is not None:
            return self._registry.get(ref, self._clock_ms())
        return self._store.resolve(ref)
