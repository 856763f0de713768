"""A Lambda function: `python -m tests.support.lambda_call REQUEST KEY` is one call of it. Prints what the handler returns.

With `FLUSH_S` alone it is a warm process: each line of stdin is a call, with the seconds that it took in the answer.
Ends without any clean-up, as a process does that the platform freezes and throws away.
"""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace
from typing import Any

import headwater

FLUSH_S = float(sys.argv[1]) if len(sys.argv) == 2 else 10.0


@headwater.function(files="object", flush_s=FLUSH_S)
def handler(event: Any, context: Any) -> int:
    """Loads a file into a table."""
    rows = 90
    headwater.current_run().writes("snowflake://acme", "shop.raw.orders", rows=rows)
    return rows


def main() -> None:
    """See the module's text."""
    if len(sys.argv) > 2:
        print(answer(*sys.argv[1:]), flush=True)  # noqa: T201 - the answer of the function
        os._exit(0)
    for line in sys.stdin:
        began_s = time.monotonic()
        print(answer(*line.split()), time.monotonic() - began_s, flush=True)  # noqa: T201 - as above
    os._exit(0)


def answer(request: str, key: str) -> int:
    """One call."""
    found = {"bucket": {"name": "landing"}, "object": {"key": key, "size": 512, "versionId": "v7"}}
    context = SimpleNamespace(aws_request_id=request, get_remaining_time_in_millis=lambda: 20_000)
    return int(handler({"Records": [{"eventSource": "aws:s3", "s3": found}]}, context))


if __name__ == "__main__":
    main()
