"""Runs a stage in a process of its own, to be killed in.

Arguments: the stage as JSON, the folder of the run, and which checkpoint to
die in the middle of writing, or 0.
"""

import json
import os
import signal
import sys

import numpy as np

from keras_longvideo import training


def main(stage, output, fatal):
    fields = json.loads(stage)
    sources = tuple(training.Source(**source) for source in fields["train"])
    savez, saved = np.savez, []

    def write_half(file, **arrays):
        savez(file, **arrays)
        saved.append(file)
        if len(saved) == fatal:
            file.flush()
            file.truncate(file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    np.savez = write_half
    stage = training.Stage(**{**fields, "train": sources})
    training.pretrain(stage, output, progress=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
