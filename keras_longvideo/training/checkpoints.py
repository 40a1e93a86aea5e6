"""The whole state of a run, saved so that no interruption loses it."""

import os
import pathlib
import re
import warnings
import zipfile

import numpy as np
from keras import ops

_NAME = re.compile(r"step_(\d+)\.npz")
# A torn newest one leaves the one before.
KEPT = 2
# What reading a file raises that is not whole. Not one that cannot be read at
# the moment: a run that began anew would lose it.
_BROKEN = (EOFError, KeyError, ValueError, zipfile.BadZipFile)


class Checkpoints:
    """Checkpoints of a compiled model in a folder.

    Each is one file, `step_00001000.npz`, that is there whole or not at all:
    weights, seeds of random numbers, and the optimizer's state with its moving
    averages. The newest two are kept.

    Args:
        directory: path of the folder; made where it is not there.
        model: `keras.Model`, compiled, with an optimizer that is built.
    """

    def __init__(self, directory, model):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.model = model
        # Of a run that was killed while it wrote one.
        for partial in self.directory.glob("*.partial"):
            partial.unlink()

    def save(self, step, seconds):
        """Saves the state after a step.

        Args:
            step: int. Steps done.
            seconds: float. Time spent on them.

        Returns:
            The path of the file.
        """
        arrays = {
            f"{i:05d}": _to_numpy(v) for i, v in enumerate(self._variables())
        }
        path = self.directory / f"step_{step:08d}.npz"
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            np.savez(file, step=step, seconds=seconds, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(self.directory)
        for old in self._paths()[KEPT:]:
            old.unlink()
        return path

    def restore(self):
        """Loads the newest state that is whole.

        Returns:
            `(step, seconds)` as they were saved; zeros where there is none.

        Raises:
            ValueError: if a checkpoint is of another model.
        """
        for path in self._paths():
            try:
                with np.load(path) as file:
                    arrays = dict(file)
                step, seconds = int(arrays.pop("step")), arrays.pop("seconds")
            except _BROKEN as error:
                self._set_aside(path, error)
            else:
                self._assign(path, [arrays[name] for name in sorted(arrays)])
                return step, float(seconds)
        return 0, 0.0

    @property
    def newest(self):
        """The path of the newest checkpoint, or None."""
        return next(iter(self._paths()), None)

    def _set_aside(self, path, error):
        """Renames a broken file, which would count as the newest one."""
        path.rename(path.with_suffix(".broken"))
        rest = "the one before it is used" if self.newest else "none is left"
        warnings.warn(
            f"The checkpoint {path} is broken, {rest}: {error}", stacklevel=3
        )

    def _paths(self):
        return _list(self.directory)

    def _variables(self):
        return [
            *self.model.trainable_variables,
            # With the seeds of random numbers.
            *self.model.non_trainable_variables,
            *self.model.optimizer.variables,
        ]

    def _assign(self, path, arrays):
        variables = self._variables()
        if [x.shape for x in arrays] != [tuple(v.shape) for v in variables]:
            raise ValueError(
                f"The checkpoint {path} is of another model: its "
                f"{len(arrays)} arrays do not fit {len(variables)} variables."
            )
        for variable, value in zip(variables, arrays, strict=True):
            variable.assign(value)


def is_begun(directory):
    """Whether a folder has a checkpoint, whole or not."""
    directory = pathlib.Path(directory)
    return directory.exists() and bool(_list(directory))


def _list(directory):
    """The paths of checkpoints, the newest first."""
    paths = [p for p in directory.iterdir() if _NAME.fullmatch(p.name)]
    return sorted(paths, reverse=True)


def _to_numpy(variable):
    value = ops.convert_to_numpy(variable)
    # A dtype that numpy's files do not know.
    return value.astype("float32") if str(value.dtype) == "bfloat16" else value


def _sync_folder(directory):
    """Makes a renaming last through a loss of power."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
