"""The embedded broker as one that refuses: what is asked of it is answered with errors that a real one gives seldom."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

from headwater_processor.local.broker import MockCluster

_POINTER: Final = ctypes.c_void_p
_FUNCTIONS: Final = MappingProxyType(
    {
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [_POINTER, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
        ),
        "rd_kafka_mock_clear_request_errors": (None, [_POINTER, ctypes.c_int16]),
        "rd_kafka_mock_start_request_tracking": (None, [_POINTER]),
        "rd_kafka_mock_get_requests": (ctypes.POINTER(_POINTER), [_POINTER, ctypes.POINTER(ctypes.c_size_t)]),
        "rd_kafka_mock_request_api_key": (ctypes.c_int16, [_POINTER]),
        "rd_kafka_mock_request_destroy_array": (None, [ctypes.POINTER(_POINTER), ctypes.c_size_t]),
    }
)


class Request(IntEnum):
    """Requests by their numbers in Kafka's protocol."""

    OFFSET_COMMIT = 8


class RefusingCluster(MockCluster):
    """A broker in this process that counts requests and refuses the next ones of a kind."""

    def __init__(self, topics: dict[str, int]) -> None:
        super().__init__(topics)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._library.rd_kafka_mock_start_request_tracking(self._cluster)

    def refuse(self, request: Request, *codes: int) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, request, len(codes), (ctypes.c_int * len(codes))(*codes)
        )

    def relent(self, request: Request) -> None:
        """Refuse no more of them."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, request)

    def asked(self, request: Request) -> int:
        """How many requests of this kind have come."""
        count = ctypes.c_size_t()
        found: Any = self._library.rd_kafka_mock_get_requests(self._cluster, ctypes.byref(count))
        kinds = [self._library.rd_kafka_mock_request_api_key(found[at]) for at in range(count.value)]
        self._library.rd_kafka_mock_request_destroy_array(found, count)
        return kinds.count(request)

    def __enter__(self) -> RefusingCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
