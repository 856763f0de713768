"""As much of redis-py as the processor and the oracle use, on a Redis in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from redis.exceptions import ResponseError
from tests.support.model.server import COMMANDS, Command, MemoryRedis, encode


def _pairs(answer: list[Any]) -> dict[Any, Any]:
    return dict(zip(answer[::2], answer[1::2], strict=True))


_CALLBACKS: Final[dict[bytes, Callable[[Any], Any]]] = {
    b"HGETALL": _pairs,
    b"HSCAN": lambda answer: (int(answer[0]), _pairs(answer[1])),
    b"SMEMBERS": set,
    b"ZSCAN": lambda answer: (int(answer[0]), [(member, float(score)) for member, score in _pairs(answer[1]).items()]),
    b"TIME": lambda answer: (int(answer[0]), int(answer[1])),
    b"ZMSCORE": lambda answer: [None if each is None else float(each) for each in answer],
    b"ZSCORE": lambda answer: None if answer is None else float(answer),
}
"""What redis-py makes of raw answers."""


class MemoryClient:
    """As much of `redis.Redis` as the processor and the oracle use. `passage` is called before and after each command."""

    def __init__(self, server: MemoryRedis, passage: Callable[[], None] = lambda: None) -> None:
        self.server = server
        self.passage = passage
        self.connection_pool = self
        self.connections: list[MemoryConnection] = []

    def execute_command(self, *parts: Any) -> Any:
        self.passage()
        answer = self._parsed(parts)
        self.passage()
        return answer

    def _parsed(self, parts: Command) -> Any:
        answer = self.server.call(*parts)
        callback = _CALLBACKS.get(encode(parts[0]))
        return callback(answer) if callback is not None else answer

    def __getattr__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise AttributeError(name)
        return lambda *parts: self.execute_command(name.upper(), *parts)

    def zrange(self, key: Any, first: int, last: int, withscores: bool = False) -> Any:
        if not withscores:
            return self.execute_command("ZRANGE", key, first, last)
        flat = self.execute_command("ZRANGE", key, first, last, "WITHSCORES")
        return [(flat[i], float(flat[i + 1])) for i in range(0, len(flat), 2)]

    def hset(self, key: Any, field: Any = None, value: Any = None, mapping: Any = None) -> Any:
        pairs = [(field, value)] if mapping is None else list(mapping.items())
        return self.execute_command("HSET", key, *(part for pair in pairs for part in pair))

    def script_load(self, text: str) -> str:
        return self.server.load(text)

    def pipeline(self, transaction: bool = True) -> MemoryPipeline:
        return MemoryPipeline(self, transaction)

    def get_connection(self) -> MemoryConnection:
        """Also the pool of its connections."""
        self.connections.append(MemoryConnection(self))
        return self.connections[-1]

    def release(self, connection: MemoryConnection) -> None:
        self.connections.remove(connection)

    def close(self) -> None:
        pass


class MemoryPipeline:
    """Commands in one round trip; others come between them unless it is a transaction."""

    def __init__(self, client: MemoryClient, transaction: bool) -> None:
        self._client = client
        self._transaction = transaction
        self._queued: list[tuple[Any, ...]] = []

    def __enter__(self) -> MemoryPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._queued.clear()

    def execute_command(self, *parts: Any) -> None:
        self._queued.append(parts)

    def __getattr__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise AttributeError(name)
        return lambda *parts: self.execute_command(name.upper(), *parts)

    def execute(self) -> list[Any]:
        queued, self._queued = self._queued, []
        if not self._transaction:
            return [self._client.execute_command(*parts) for parts in queued]
        self._client.passage()
        answers = [self._client._parsed(parts) for parts in queued]
        self._client.passage()
        return answers


class MemoryConnection:
    """A connection on which commands are sent ahead. The server gets them when it is read, or when `arrive` says so."""

    def __init__(self, client: MemoryClient) -> None:
        self._client = client
        self.sent: deque[Command] = deque()
        self._answers: deque[Any] = deque()

    def pack_commands(self, commands: Iterable[Command]) -> list[Command]:
        return list(commands)

    def send_packed_command(self, commands: list[Command]) -> None:
        self._client.passage()
        self.sent.extend(commands)
        self._client.passage()

    def arrive(self, count: int) -> None:
        """The server takes that many of what was sent."""
        for _ in range(min(count, len(self.sent))):
            try:
                self._answers.append(self._client.server.call(*self.sent.popleft()))
            except ResponseError as error:
                self._answers.append(error)

    def read_response(self, *, disable_decoding: bool = False) -> Any:
        assert disable_decoding
        self._client.passage()
        if not self._answers:
            self.arrive(1)
        answer = self._answers.popleft()
        self._client.passage()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def disconnect(self) -> None:
        """What did not arrive is lost; so are answers that were not read."""
        self.sent.clear()
        self._answers.clear()
