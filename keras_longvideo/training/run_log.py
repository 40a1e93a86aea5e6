"""The log of a run: a CSV file, and the same numbers for TensorBoard."""

import csv
import os
import pathlib
import time


class RunLog:
    """Writes rows of numbers, each of one step.

    A run that goes on from an earlier step writes over what came after it, so
    that the log is that of one run without interruption.

    Args:
        directory: path of the folder for `log.csv` and TensorBoard's events.
        columns: list of strings; `"step"` and `"seconds"`, since the first
            step, are among them.
        step: int. Rows of later steps are dropped.
    """

    def __init__(self, directory, columns, step):
        directory = pathlib.Path(directory)
        self.path = directory / "log.csv"
        self.columns = columns
        kept = [row for row in read_log(self.path) if row["step"] <= step]
        # Anew, and not in place: the last row may have been torn.
        partial = self.path.with_suffix(".partial")
        with open(partial, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(self._cells(row) for row in kept)
        os.replace(partial, self.path)
        self.board = _Board(directory, kept)

    def write(self, row):
        """Adds a row.

        Args:
            row: dict of numbers, by column. Columns may be missing.
        """
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(self._cells(row))
            # A checkpoint that outlives a loss of power comes next.
            file.flush()
            os.fsync(file.fileno())
        self.board.write(row)

    def close(self):
        self.board.close()

    def _cells(self, row):
        return [row.get(name, "") for name in self.columns]


def read_log(path):
    """The rows of a `log.csv`, without one that was torn.

    Args:
        path: path of the file.

    Returns:
        A list of dicts of numbers, by column; what a row lacks is left out.
        Empty where there is no file.
    """
    path = pathlib.Path(path)
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        # A line is whole where it ends.
        lines = [line for line in file if line.endswith("\n")]
    rows = []
    for cells in csv.DictReader(lines):
        row = {name: float(x) for name, x in cells.items() if x}
        rows.append({**row, "step": int(row["step"])})
    return rows


class _Board:
    """TensorBoard's file of events.

    `tf.summary.scalar` is TensorBoard's own, and needs it installed; its files
    need not.
    """

    def __init__(self, directory, rows):
        import tensorflow as tf

        # They begin again with the rows that are kept.
        for old in directory.glob("events.out.tfevents.*"):
            old.unlink()
        now = time.time()
        seconds = rows[-1]["seconds"] if rows else 0.0
        self.began = now - seconds
        self.writer = tf.io.TFRecordWriter(
            str(directory / f"events.out.tfevents.{int(now)}.{os.getpid()}")
        )
        self._add(wall_time=self.began, file_version="brain.Event:2")
        for row in rows:
            self.write(row)

    def write(self, row):
        import tensorflow as tf

        values = [
            tf.compat.v1.Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name != "step"
        ]
        self._add(
            wall_time=self.began + row["seconds"],
            step=row["step"],
            summary=tf.compat.v1.Summary(value=values),
        )

    def close(self):
        self.writer.close()

    def _add(self, **fields):
        import tensorflow as tf

        event = tf.compat.v1.Event(**fields)
        self.writer.write(event.SerializeToString())
        self.writer.flush()
