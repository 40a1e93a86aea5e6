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


def sinusoid_positions(num_positions, dim):
    """Fixed positions: sines and cosines of the number of a token.

    Entry `2 i` of position `p` is `sin(p / 10000^(2 i / dim))`, entry
    `2 i + 1` the cosine of the same ("Attention is all you need"; VideoMAE's).

    Args:
        num_positions: int. How many.
        dim: int. Length of a token.

    Returns:
        A float32 numpy array of shape `(num_positions, dim)`.

    Example:

    ```python
    from keras_longvideo.ops import sinusoid_positions

    sinusoid_positions(2, 2)  # [[0., 1.], [0.8415, 0.5403]]
    ```
    """
    entries = np.arange(dim)
    angles = np.arange(num_positions)[:, None] / np.power(
        10_000.0, 2 * (entries // 2) / dim
    )
    table = np.where(entries % 2, np.cos(angles), np.sin(angles))
    return table.astype("float32")


def interpolate_positions(table, size):
    """Resamples a table of learned positions to another grid.

    Args:
        table: tensor of shape `(*grid, dim)`, one vector per grid point; the
            grid has an axis of time, those of rows and columns, or all three.
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
