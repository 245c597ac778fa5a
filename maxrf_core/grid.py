"""The regular grid that spectra are interpolated to, in motor coordinates.

Row 0 is the smallest y and column 0 the smallest x, whatever way the scanner moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import theilslopes

from .errors import ParameterError
from .schema import MAX_STEPS

__all__ = [
    "MAX_CELLS",
    "ORIENTATIONS",
    "Grid",
    "Orientation",
    "Spacing",
    "VendorGrid",
    "cube_flips",
    "make_grid",
    "vendor_grid",
]

Spacing = Literal["vendor", "square"] | float | tuple[float, float]

Orientation = Literal["motor", "vendor", "image"]
ORIENTATIONS: tuple[Orientation, ...] = ("motor", "vendor", "image")

MAX_CELLS = 50_000_000
"""More cells than this are refused: 18 times the largest scan published so far."""


@dataclass(frozen=True)
class Grid:
    """A regular grid of rectangular cells.

    Parameters
    ----------
    x0, y0 : float
        Centre of cell (0, 0), in motor steps.
    dx, dy : float
        Pitch of columns and rows, in motor steps; positive.
    height, width : int
        Numbers of rows and columns.
    """

    x0: float
    y0: float
    dx: float
    dy: float
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.height * self.width

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """Centres of the columns, (width,) in motor steps."""
        return self.x0 + self.dx * np.arange(self.width)

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """Centres of the rows, (height,) in motor steps."""
        return self.y0 + self.dy * np.arange(self.height)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Outer edges of the cells: left, bottom, right, top in motor steps."""
        left, bottom = self.x0 - self.dx / 2, self.y0 - self.dy / 2
        return left, bottom, left + self.dx * self.width, bottom + self.dy * self.height

    def centres(self) -> npt.NDArray[np.float64]:
        """Return the centres of all cells, (height * width, 2), x then y, row by row."""
        x, y = np.meshgrid(self.x, self.y)
        return np.column_stack([x.ravel(), y.ravel()])

    def cell_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return (row, column) of the cell that holds a point, or None outside the grid."""
        if not (np.isfinite(x) and np.isfinite(y)):
            return None
        column = int(np.floor((x - self.x0) / self.dx + 0.5))
        row = int(np.floor((y - self.y0) / self.dy + 0.5))
        if 0 <= row < self.height and 0 <= column < self.width:
            return row, column
        return None

    def to_dict(self) -> dict[str, float | int]:
        """Return the six numbers under their names, ready for JSON."""
        return {
            "x0": self.x0,
            "y0": self.y0,
            "dx": self.dx,
            "dy": self.dy,
            "height": self.height,
            "width": self.width,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Grid:
        """Return the grid that `to_dict` described.

        Raises
        ------
        ValueError
            If it is no grid: numbers are missing or not finite, a pitch is not above 0, or
            there are no cells or more than `MAX_CELLS`.
        """
        names = ("x0", "y0", "dx", "dy", "height", "width")
        numbers = [values.get(name) for name in names] if isinstance(values, dict) else [None]
        is_grid = all(type(one) in (int, float) and abs(one) <= MAX_STEPS for one in numbers)
        if not (
            is_grid
            and min(numbers[2:]) > 0
            and all(one == int(one) for one in numbers[4:])
            and numbers[4] * numbers[5] <= MAX_CELLS
        ):
            raise ValueError("it describes no grid")  # numbers of any length are not repeated
        return cls(*map(float, numbers[:4]), *map(int, numbers[4:]))


@dataclass(frozen=True)
class VendorGrid:
    """The vendor's own map, turned so that x and y grow with column and row.

    Parameters
    ----------
    grid : Grid
        Regular grid through the positions of the spectra that the vendor selected.
    selected_index : (height, width) int64
        Which spectrum the vendor put in each cell of `grid`.
    rows_flipped, columns_flipped : bool
        Whether the file's own rows or columns run the other way.
    """

    grid: Grid
    selected_index: npt.NDArray[np.int64]
    rows_flipped: bool
    columns_flipped: bool


def _axis(coordinates: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return origin and slope of the straight line through `coordinates` against their index.

    The Theil-Sen estimator: a median of slopes, so that a few rows with a strong wobble
    do not tilt the grid, and an exactly regular raster gives its exact pitch.
    """
    if len(coordinates) == 1:
        return float(coordinates[0]), 0.0
    step = max(1, len(coordinates) // 400)  # bounds the pairs of a very long axis to 80,000
    index = np.arange(0, len(coordinates), step)
    fit = theilslopes(coordinates[index], index)
    return float(fit.intercept), float(fit.slope)


def vendor_grid(positions: npt.NDArray, selected_index: npt.NDArray[np.integer]) -> VendorGrid:
    """Return the regular grid behind the vendor's selection of spectra.

    Parameters
    ----------
    positions : (n, >=2) array
        Motor positions, x and y first, in motor steps.
    selected_index : (h, w) integer
        The spectrum of each cell of the vendor's map, in the file's order.

    Returns
    -------
    VendorGrid
        Column centres follow the median x of each column, row centres the median y of
        each row. An axis of one cell, or without extent, takes the other's pitch.

    Raises
    ------
    ParameterError
        If all selected spectra lie at one place.
    """
    selected = np.asarray(selected_index, dtype=np.int64)
    x, y = (np.asarray(positions[:, axis], dtype=np.float64)[selected] for axis in (0, 1))
    x0, dx = _axis(np.median(x, axis=0))
    y0, dy = _axis(np.median(y, axis=1))
    if dx == 0 and dy == 0:
        msg = (
            f"the {selected.size} selected spectra have no pitch in x or y (all at about "
            f"x = {x0:g}, y = {y0:g}); expected a raster. Check MotorsPositions."
        )
        raise ParameterError(msg)
    height, width = selected.shape
    if dx < 0:
        x0, dx, selected = x0 + dx * (width - 1), -dx, selected[:, ::-1]
        columns_flipped = True
    else:
        columns_flipped = False
    if dy < 0:
        y0, dy, selected = y0 + dy * (height - 1), -dy, selected[::-1]
        rows_flipped = True
    else:
        rows_flipped = False
    grid = Grid(x0, y0, dx or dy, dy or dx, height, width)
    return VendorGrid(grid, np.ascontiguousarray(selected), rows_flipped, columns_flipped)


def _pitches(spacing: object) -> tuple[float, float]:
    """Return the pitches in x and y that a spacing names.

    Raises
    ------
    ParameterError
        If it is no positive number, nor a pair of them.
    """
    try:
        pitches = np.asarray(spacing, dtype=np.float64)
    except (TypeError, ValueError):
        pitches = np.empty(0)
    if pitches.shape not in ((), (2,)) or not np.all(np.isfinite(pitches) & (pitches > 0)):
        shown = " ".join(repr(spacing).split())
        msg = (
            f"grid spacing is {shown}; expected 'vendor', 'square', a pitch in motor steps, "
            "or a pair of them (x, y)."
        )
        raise ParameterError(msg)
    dx, dy = np.broadcast_to(pitches, 2).tolist()
    return dx, dy


def make_grid(vendor: Grid, spacing: Spacing) -> Grid:
    """Return a grid over the vendor's area with the spacing asked for.

    Parameters
    ----------
    vendor : Grid
        The vendor's grid, whose area is covered.
    spacing : "vendor", "square", float or (float, float)
        The vendor's own cells; square cells with the finer of its two pitches; or a
        pitch in motor steps, one for both axes or (x, y).

    Raises
    ------
    ParameterError
        If `spacing` is none of these, or would make more than `MAX_CELLS` cells.
    """
    if isinstance(spacing, str) and spacing == "vendor":
        return vendor
    if isinstance(spacing, str) and spacing == "square":
        dx = dy = min(vendor.dx, vendor.dy)
    else:
        dx, dy = _pitches(spacing)
    left, bottom, right, top = vendor.bounds
    across, up = (right - left) / dx, (top - bottom) / dy
    if max(across, 1.0) * max(up, 1.0) > MAX_CELLS:
        msg = (
            f"a spacing of {dx:g} x {dy:g} motor steps makes {up:.3g} x {across:.3g} cells; at "
            f"most {MAX_CELLS:,} are possible. Choose a wider spacing (the vendor's is "
            f"{vendor.dx:g} x {vendor.dy:g})."
        )
        raise ParameterError(msg)
    width, height = (max(1, int(np.floor(cells + 1e-9))) for cells in (across, up))
    x0 = (left + right) / 2 - dx * (width - 1) / 2
    y0 = (bottom + top) / 2 - dy * (height - 1) / 2
    return Grid(x0, y0, dx, dy, height, width)


def cube_flips(orientation: str, *, rows_flipped: bool, columns_flipped: bool) -> tuple[bool, bool]:
    """Return whether the rows and columns of an exported cube run against y and x.

    Parameters
    ----------
    orientation : {"motor", "vendor", "image"}
        Rows and columns growing with y and x; as in the vendor's selection; or with the
        largest y first, as a picture is stored.
    rows_flipped, columns_flipped : bool
        Which way the vendor's selection runs: see `VendorGrid`.

    Raises
    ------
    ParameterError
        If `orientation` is none of these.
    """
    if orientation not in ORIENTATIONS:
        msg = f"orientation is {orientation!r:.80}; expected 'motor', 'vendor' or 'image'."
        raise ParameterError(msg)
    if orientation == "vendor":
        return rows_flipped, columns_flipped
    return orientation == "image", False
