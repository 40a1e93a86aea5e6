"""The log of a run that was interrupted is that of one which was not."""

import pytest
import tensorflow as tf

from keras_longvideo.training.run_log import RunLog
from keras_longvideo.training.run_log import read_log

pytestmark = pytest.mark.backend_free

COLUMNS = ["step", "seconds", "loss", "set/recall@1"]


def row(step, **more):
    return {"step": step, "seconds": step / 2, "loss": 1 / step, **more}


def events(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    found = {}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            found[event.step, value.tag] = value.simple_value
    return found


def test_rows_after_the_checkpoint_are_written_anew(tmp_path):
    log = RunLog(tmp_path, COLUMNS, step=0)
    rows = [row(1), row(2, **{"set/recall@1": 0.5}), row(3), row(4)]
    for each in rows:
        log.write(each)
    log.close()
    assert read_log(tmp_path / "log.csv") == rows
    # Killed in the middle of a row, after a checkpoint of step 2.
    with open(tmp_path / "log.csv", "a") as file:
        file.write("5,2.5,0.")
    assert read_log(tmp_path / "log.csv") == rows
    log = RunLog(tmp_path, COLUMNS, step=2)
    assert read_log(tmp_path / "log.csv") == rows[:2]
    again = [{**row(3), "loss": 7.0}]
    log.write(again[0])
    log.close()
    assert read_log(tmp_path / "log.csv") == rows[:2] + again
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        "step,seconds,loss,set/recall@1",
        "1,0.5,1.0,",
        "2,1.0,0.5,0.5",
        "3,1.5,7.0,",
    ]
    assert events(tmp_path) == {
        (1, "seconds"): 0.5,
        (1, "loss"): 1.0,
        (2, "seconds"): 1.0,
        (2, "loss"): 0.5,
        (2, "set/recall@1"): 0.5,
        (3, "seconds"): 1.5,
        (3, "loss"): 7.0,
    }
