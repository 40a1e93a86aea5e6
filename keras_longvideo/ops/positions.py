"""Learned positions on grids other than the one that they were learned on."""

import numpy as np
from keras import ops


def interpolation_matrix(source, target):
    """Weights that resample a line of `source` points to `target` points.

    Points are the centres of equal cells, and a target point between two
    source points mixes them linearly; beyond the outermost centre it takes
    that centre's value. This is the "linear" resize without antialiasing of
    image libraries (half-pixel centres), so growing a grid keeps every learned
    position in its place.

    Args:
        source: int. Number of points to read.
        target: int. Number of points to write.

    Returns:
        A float32 numpy array of shape `(target, source)` whose rows sum to 1.

    Example:

    ```python
    from keras_longvideo.ops import interpolation_matrix

    interpolation_matrix(2, 4)
    # [[1., 0.], [0.75, 0.25], [0.25, 0.75], [0., 1.]]
    ```
    """
    centres = (np.arange(target) + 0.5) * source / target - 0.5
    centres = np.clip(centres, 0, source - 1)
    below = np.floor(centres).astype(int)
    above = np.minimum(below + 1, source - 1)
    weight = centres - below
    matrix = np.zeros((target, source), "float32")
    rows = np.arange(target)
    matrix[rows, below] += 1 - weight
    matrix[rows, above] += weight
    return matrix


def interpolate_positions(table, size):
    """Resamples a table of learned positions to another grid.

    Args:
        table: tensor of shape `(*grid, dim)`, one vector per grid point; the
            grid has one axis (time) or two (rows and columns).
        size: tuple of ints. The wanted grid, as long as `grid`.

    Returns:
        A tensor of shape `(*size, dim)`. The table itself where the grid is
        already of that size.

    Example:

    ```python
    import numpy as np
    from keras_longvideo.ops import interpolate_positions

    table = np.random.normal(size=(4, 4, 8)).astype("float32")
    interpolate_positions(table, (7, 7)).shape  # (7, 7, 8)
    ```
    """
    grid = tuple(table.shape[:-1])
    if len(grid) != len(size):
        raise ValueError(
            f"`size` must have {len(grid)} entries, as the grid of `table` "
            f"has axes {grid}. Received: size={size}"
        )
    for axis, (source, target) in enumerate(zip(grid, size, strict=True)):
        if source == target:
            continue
        matrix = ops.cast(interpolation_matrix(source, target), table.dtype)
        table = ops.moveaxis(
            ops.tensordot(matrix, table, axes=[[1], [axis]]), 0, axis
        )
    return table
