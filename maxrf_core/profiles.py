"""What lies along a line on a map, with its exact standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .errors import ParameterError
from .grid import Grid
from .interpolation import Operator

__all__ = ["LineCells", "line_cells", "profile", "profile_weights"]

FloatArray = npt.NDArray[np.float64]

_MOST_SAMPLES = 100_000  # cells across the largest scan are a hundredth of that


@dataclass(frozen=True, eq=False)
class LineCells:
    """The cells along a line.

    Attributes
    ----------
    distances : (m,) float64
        Of each place from the line's start, in motor steps: from end to end, about a cell apart.
    cells : (m, n) int64
        The cells across the line there, counted row by row; -1 outside the grid.
    """

    distances: FloatArray
    cells: npt.NDArray[np.int64]


def line_cells(
    grid: Grid, start: tuple[float, float], end: tuple[float, float], *, width: int = 1
) -> LineCells:
    """Return the cells along a line that is some cells wide.

    From one place to the next, and from one cell across to the next, there is a step to the
    next column or row, whichever comes first (as a digital differential analyser draws): no
    cell is met twice at a place.

    Parameters
    ----------
    grid : Grid
        The cells.
    start, end : (float, float)
        x and y in motor steps; they may lie outside the grid.
    width : int
        Cells across, 1 or more.

    Raises
    ------
    ParameterError
        If an end is not finite, the width is below 1, or the line is too long for the grid.
    """
    ends = np.array([start, end], dtype=np.float64)
    if ends.shape != (2, 2) or not np.isfinite(ends).all():
        raise ParameterError(f"the line goes from {start!r} to {end!r}; expected finite x and y.")
    if width < 1:
        raise ParameterError(f"the line is {width!r} cells wide; expected 1 or more.")
    pitch = np.array([abs(grid.dx), abs(grid.dy)])
    length = float(np.hypot(*(ends[1] - ends[0])))
    along = (ends[1] - ends[0]) / length if length > 0 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    step, side = (1.0 / np.max(np.abs(each) / pitch) for each in (along, across))
    n_steps = round(length / step) if length / step < _MOST_SAMPLES else _MOST_SAMPLES
    if n_steps * width >= _MOST_SAMPLES:
        raise ParameterError(
            f"the line is {length:g} motor steps long and {width} cells wide; expected fewer than "
            f"{_MOST_SAMPLES:,} cells."
        )
    distances = np.linspace(0.0, length, n_steps + 1)
    offsets = (np.arange(width) - (width - 1) / 2) * side
    places = (
        ends[0] + distances[:, None, None] * along + offsets[None, :, None] * across
    )  # (m, n, 2)
    left, bottom, _, _ = grid.bounds
    # Rounded first: a line along the edge of two cells stays on one side of it.
    columns, rows = (
        np.floor(np.round((places[..., axis] - first) / size, 9)).astype(np.int64)
        for axis, first, size in ((0, left, grid.dx), (1, bottom, grid.dy))
    )
    height, breadth = grid.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < breadth)
    return LineCells(distances, np.where(inside, rows * breadth + columns, -1))


def profile_weights(operator: Operator, line: LineCells) -> csr_array:
    """Return the weight of every spectrum in the mean over the cells at each place of a line.

    Parameters
    ----------
    operator : Operator
        The interpolation W.
    line : LineCells
        The cells.

    Returns
    -------
    weights : (m, n) csr_array, float64
        P W, with P the means over cells with a datum. A row sums to 1, or is empty where no
        cell has one.
    """
    has_datum = np.append(~operator.empty.ravel(), False)
    counts = has_datum[line.cells]
    places, across = np.nonzero(counts)
    used, columns = np.unique(line.cells[places, across], return_inverse=True)
    shares = 1.0 / counts.sum(axis=1)[places]
    shape = (len(line.distances), len(used))
    means = csr_array((shares, (places, columns.ravel())), shape=shape)
    return csr_array(means @ operator.matrix[used].astype(np.float64))


def profile(
    weights: csr_array,
    values: npt.NDArray[np.number],
    variances: npt.NDArray[np.number],
) -> tuple[FloatArray, FloatArray]:
    """Return a quantity along a line, with its standard error.

    Cells side by side are made of the same spectra, so that their errors go together: a mean of
    the cells' own errors would be too small or too large. Weights of spectra, whose counts are
    independent, give it exactly: the variance is the sum of squared weights times variances.

    Parameters
    ----------
    weights : (m, n) csr_array
        As `profile_weights` returns them.
    values, variances : (n,) number
        Of each spectrum, such as `Scan.window_counts` and `Scan.window_variances`.

    Returns
    -------
    means, errors : (m,) float64
        NaN where no cell has a datum.
    """
    nothing = np.diff(weights.indptr) == 0
    means = weights @ np.asarray(values, dtype=np.float64)
    spread = weights.multiply(weights) @ np.asarray(variances, dtype=np.float64)
    means[nothing] = spread[nothing] = np.nan
    return means, np.sqrt(spread)
