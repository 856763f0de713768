"""For the tests of jobs that emit: record what they say, and assert on it.

With pytest the fixture `lineage` is there as soon as headwater is installed; without it, `recording()` is the same:

    def test_the_job_says_what_it_writes(lineage):
        load_orders()                                   # decorated with @headwater.job("load-orders", …)
        lineage.assert_writes("load-orders", ("s3://lake", "orders/daily"), rows=90)
        lineage.assert_completed("load-orders")
"""

from __future__ import annotations

from headwater.testing.assertions import (
    assert_completed,
    assert_failed,
    assert_no_lineage_errors,
    assert_reads,
    assert_writes,
)
from headwater.testing.clock import ManualClock
from headwater.testing.recorder import Recorder, recording
from headwater.transports.memory import MemoryTransport

__all__ = [
    "ManualClock",
    "MemoryTransport",
    "Recorder",
    "assert_completed",
    "assert_failed",
    "assert_no_lineage_errors",
    "assert_reads",
    "assert_writes",
    "recording",
]
