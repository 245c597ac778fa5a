"""What a plot can show of a plane: the visible part, in as many bins as it has pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maxrf_core import Grid
from maxrf_core.compiled import compiled

__all__ = [
    "Bins",
    "Bounds",
    "Picture",
    "View",
    "axis_bins",
    "block_mean",
    "bounds_of",
    "grid_bins",
    "to_levels",
]

Bounds = tuple[float, float, float, float]
"""Left, bottom, right, top."""

_MARGIN = 1 / 8
"""What is drawn beside the visible part, as a share of it on each side: a pan finds it there."""

_SMALLEST_BIN = 4 / 3
"""Fewer cells a pixel than this are not averaged.

Means over 1 cell here and 2 halves there would show stripes in the noise of the counts; the
browser leaves one cell out now and then instead.
"""

_SLIVER = 1e-4
"""Less than so much of a cell in a bin is rounding, and no datum of the bin's."""

_FEWEST, _MOST = 50, 4000  # pixels: a browser may tell anything
_FURTHEST = 2.0**52  # bins: beyond, positions cannot be told apart


@dataclass(frozen=True)
class View:
    """The part of the plane that a plot shows, and with how many pixels.

    Parameters
    ----------
    left, bottom, right, top : float
        Data coordinates.
    width, height : int
        Pixels of the screen.
    """

    left: float
    bottom: float
    right: float
    top: float
    width: int
    height: int

    @classmethod
    def over(cls, bounds: Bounds, width: float, height: float) -> View:
        """Return a view of what a plot tells: of some width at least, and of some pixels."""
        (left, right), (bottom, top) = (
            (low, high) if high > low else (low - 0.5, low + 0.5)
            for low, high in (bounds[0::2], bounds[1::2])
        )
        width, height = (round(min(max(size, _FEWEST), _MOST)) for size in (width, height))
        return cls(left, bottom, right, top, width, height)

    @property
    def pixel(self) -> tuple[float, float]:
        """Width and height of a pixel in data coordinates."""
        return (self.right - self.left) / self.width, (self.top - self.bottom) / self.height

    def with_margin(self, share: float = _MARGIN) -> Bounds:
        """Return the bounds, wider by a share of them on each side."""
        dx, dy = share * (self.right - self.left), share * (self.top - self.bottom)
        return self.left - dx, self.bottom - dy, self.right + dx, self.top + dy


@dataclass(frozen=True)
class Picture:
    """Pixels to be drawn at a place.

    Parameters
    ----------
    levels : (h, w) uint8
        Row 0 at the bottom; 0 is transparent.
    bounds : (float, float, float, float)
        Left, bottom, right, top of its outer edges.
    pixel : (float, float)
        Width and height of a pixel.
    """

    levels: npt.NDArray[np.uint8]
    bounds: Bounds
    pixel: tuple[float, float]

    def covers(self, bounds: Bounds, pixel: tuple[float, float]) -> bool:
        """Return whether it shows all within bounds, with pixels of a size."""
        slack = [1e-6 * size for size in self.pixel]
        alike = all(abs(a - b) <= s for a, b, s in zip(self.pixel, pixel, slack, strict=True))
        (left, bottom, right, top), (dx, dy) = self.bounds, slack
        return (
            alike
            and left <= bounds[0] + dx
            and bottom <= bounds[1] + dy
            and right >= bounds[2] - dx
            and top >= bounds[3] - dy
        )

    @property
    def columns(self) -> dict[str, list]:
        """The columns of an image's data source."""
        left, bottom, right, top = self.bounds
        return {
            "image": [self.levels],
            "x": [left],
            "y": [bottom],
            "dw": [right - left],
            "dh": [top - bottom],
        }


@dataclass(frozen=True)
class Bins:
    """Some neighbouring bins of an axis that is cut into equal ones.

    Parameters
    ----------
    edges : (n + 1,) float64
        Edges of the bins, in cells from the axis's first edge.
    cells : float
        Cells a bin, 1 or more.
    """

    edges: npt.NDArray[np.float64]
    cells: float

    @property
    def is_whole(self) -> bool:
        """Whether each bin is one cell."""
        return self.cells == 1

    @property
    def cell_slice(self) -> slice:
        """The cells that the bins lie over."""
        return slice(math.floor(self.edges[0]), math.ceil(self.edges[-1]))


def axis_bins(
    n_cells: int, start: float, pitch: float, low: float, high: float, pixel: float
) -> Bins:
    """Return the bins of the visible part of an axis of cells.

    The whole axis is cut into equal bins of about a pixel, or into its cells where they are
    not smaller. So the outer edges of a map are bin edges, and the bins are the same wherever
    the view lies: to pan shifts a picture, it does not change it.

    Parameters
    ----------
    n_cells : int
        Cells of the axis.
    start, pitch : float
        The first cell's lower edge, and the width of a cell.
    low, high : float
        What is to be covered; at least one bin is returned.
    pixel : float
        Width of a pixel.
    """
    per_pixel = pixel / pitch
    n_bins = n_cells
    if per_pixel > _SMALLEST_BIN:
        # Rounded first, for a pan changes the last digits of a pixel's width.
        n_bins = max(1, math.ceil(round(n_cells / per_pixel, 6)))
    width = pitch * n_cells / n_bins
    first, last = (
        min(max((limit - start) / width, -_FURTHEST), _FURTHEST) for limit in (low, high)
    )
    first = min(max(math.floor(first), 0), n_bins - 1)
    last = min(max(math.ceil(last), first + 1), n_bins)
    # Multiplied first, so that the axis's own end is met exactly.
    return Bins(np.arange(first, last + 1) * n_cells / n_bins, n_cells / n_bins)


def grid_bins(grid: Grid, bounds: Bounds, pixel: tuple[float, float]) -> tuple[Bins, Bins]:
    """Return the bins of a grid's rows and columns that cover some bounds."""
    left, bottom, _, _ = grid.bounds
    rows = axis_bins(grid.height, bottom, grid.dy, bounds[1], bounds[3], pixel[1])
    return rows, axis_bins(grid.width, left, grid.dx, bounds[0], bounds[2], pixel[0])


def bounds_of(grid: Grid, rows: Bins, columns: Bins) -> Bounds:
    """Return the outer edges of some bins of a grid."""
    left, bottom, _, _ = grid.bounds
    (x0, x1), (y0, y1) = ((bins.edges[0], bins.edges[-1]) for bins in (columns, rows))
    x0, x1 = (float(left + grid.dx * edge) for edge in (x0, x1))
    y0, y1 = (float(bottom + grid.dy * edge) for edge in (y0, y1))
    return x0, y0, x1, y1


@compiled()
def _means(
    values: npt.NDArray, rows: npt.NDArray, columns: npt.NDArray, means: npt.NDArray
) -> None:  # pragma: no cover - compiled
    """Write the mean of the finite values in each bin of rows and columns into `means`."""
    n_rows, n_columns = values.shape
    first, last = int(columns[0]), min(int(np.ceil(columns[-1])), n_columns)
    sums = np.empty(last - first, np.float32)
    weights = np.empty(last - first, np.float32)
    for i in range(len(rows) - 1):
        sums[:] = 0
        weights[:] = 0
        for row in range(int(rows[i]), min(int(np.ceil(rows[i + 1])), n_rows)):
            share = np.float32(min(rows[i + 1], row + 1.0) - max(rows[i], float(row)))
            cells = values[row, first:last]
            for k in range(len(cells)):  # from 0 on: the compiler can take 8 at a time
                finite = abs(cells[k]) < np.inf
                sums[k] += share * cells[k] if finite else np.float32(0)
                weights[k] += share if finite else np.float32(0)
        for j in range(len(columns) - 1):
            low, high = columns[j], columns[j + 1]
            total = np.float32(0)
            weight = np.float32(0)
            for column in range(int(low), min(int(np.ceil(high)), n_columns)):
                share = np.float32(min(high, column + 1.0) - max(low, float(column)))
                total += share * sums[column - first]
                weight += share * weights[column - first]
            means[i, j] = total / weight if weight > _SLIVER else np.float32(np.nan)


def block_mean(
    values: npt.NDArray[np.float32], rows: Bins, columns: Bins
) -> npt.NDArray[np.float32]:
    """Return the mean of the cells in each bin, weighted by how much of them lies in it.

    Parameters
    ----------
    values : (h, w) float32
        A map; cells that are not finite have no datum.
    rows, columns : Bins
        The bins.

    Returns
    -------
    means : (rows, columns) float32
        Means of the cells with a datum; NaN where a bin has none. The cells themselves where
        a bin is a cell.
    """
    values = np.ascontiguousarray(values, dtype=np.float32)
    if rows.is_whole and columns.is_whole:
        return np.ascontiguousarray(values[rows.cell_slice, columns.cell_slice])
    means = np.empty((len(rows.edges) - 1, len(columns.edges) - 1), dtype=np.float32)
    _means(values, rows.edges, columns.edges, means)
    return means


@compiled()
def _levels(
    values: npt.NDArray, low: np.float32, high: np.float32, factor: np.float32, levels: npt.NDArray
) -> None:  # pragma: no cover - compiled
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            clipped = min(max(value, low), high)
            level = np.uint8((clipped - low) * factor + np.float32(1.5))
            levels[i, j] = level if abs(value) < np.inf else np.uint8(0)


def to_levels(values: npt.NDArray[np.float32], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Scale values to 8 bits.

    Returns
    -------
    levels : uint8, of the shape of `values`
        1 to 255 between `low` and `high`; 0 where a value is not finite.
    """
    levels = np.empty(values.shape, dtype=np.uint8)
    factor = np.float32(254.0 / (high - low))
    _levels(values, np.float32(low), np.float32(high), factor, levels)
    return levels
