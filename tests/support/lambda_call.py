"""One call of a Lambda function: `python -m tests.support.lambda_call REQUEST KEY`. Prints what the handler returns.

Ends without any clean-up, as a process does that the platform freezes and throws away.
"""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import Any

import headwater


@headwater.function(files="object", flush_s=10)
def handler(event: Any, context: Any) -> int:
    """Loads a file into a table."""
    rows = 90
    headwater.current_run().writes("snowflake://acme", "shop.raw.orders", rows=rows)
    return rows


def main() -> None:
    """See the module's text."""
    request, key = sys.argv[1:]
    found = {"bucket": {"name": "landing"}, "object": {"key": key, "size": 512, "versionId": "v7"}}
    context = SimpleNamespace(aws_request_id=request, get_remaining_time_in_millis=lambda: 20_000)
    answer = handler({"Records": [{"eventSource": "aws:s3", "s3": found}]}, context)
    print(answer, flush=True)  # noqa: T201 - the answer of the function
    os._exit(0)


if __name__ == "__main__":
    main()
