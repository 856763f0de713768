"""What the SDK's heartbeat means to the processor: the run lives, and nothing was written."""

from __future__ import annotations

from tests.support.gathering import Gathered, T, fresh, measure

from headwater.testing import Recorder
from headwater_processor.core.template import Template
from headwater_schemas.codec import to_record
from headwater_schemas.ids import dataset_key


def test_a_heartbeat_keeps_its_run_alive_and_no_dataset_fresh() -> None:
    lineage = Recorder()
    with lineage.emitter.run("stream") as run:
        run.reads("kafka://b1:9092", "orders", rows=5, lag=0)
        run.writes("kafka://b1:9092", "daily", rows=5)
        run.heartbeat()
        run.running()
    beat, running = lineage.events[1:3]
    daily = dataset_key(beat.outputs[0])

    gathered = Gathered().add("RUNNING", Template(to_record(beat)), run_id=beat.run_id)
    assert fresh(gathered.call(), daily) == (0, 0, 0, 0)
    told = Gathered().add("RUNNING", Template(to_record(beat)), run_id=beat.run_id).run()
    assert (told.running, told.idle) == (T, 0)

    # The same run's own report is a proof, so that the test above can fail.
    (output,) = running.outputs
    rows = (measure(1, partition=-1, rows=output.measures[0].rows),)
    proven = Gathered().add("RUNNING", Template(to_record(running)), run_id=running.run_id, measures=rows)
    assert fresh(proven.call(), daily)[0] == T
