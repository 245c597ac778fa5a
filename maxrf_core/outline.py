"""A drawn outline with fewer corners: as good for cells, and short enough to be sent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ParameterError
from .grid import Grid
from .regions import checked_vertices

__all__ = ["TOLERANCE_CELLS", "simplified"]

TOLERANCE_CELLS = 0.5
"""How far a simplified outline may stray: a cell whose centre it passes by half a cell stays."""

_FEWEST = 4  # that a polygon can lose one of


def simplified(
    vertices: npt.ArrayLike, grid: Grid, *, tolerance: float = TOLERANCE_CELLS
) -> npt.NDArray[np.float64]:
    """Return a polygon with as few vertices as its outline needs.

    D. H. Douglas and T. K. Peucker, Cartographica 10 (1973) 112,
    https://doi.org/10.3138/FM57-6770-U75U-7727, on both halves of the closed outline, cut at its
    first vertex and the one farthest from it. Distances are in cells, so that flat cells count
    as square ones do.

    Parameters
    ----------
    vertices : (v, 2) array_like of float
        x and y in motor steps; the last is joined to the first.
    grid : Grid
        Whose cells count.
    tolerance : float, optional
        Farthest that a vertex which is left out may lie from the new outline, in cells.

    Returns
    -------
    vertices : (k, 2) float64
        Some of those given, in their order; all of them where fewer would enclose nothing.

    Raises
    ------
    ParameterError
        If the vertices are no polygon with an area; see `maxrf_core.regions`.
    """
    points = checked_vertices(vertices)
    if len(points) < _FEWEST:
        return points
    in_cells = points / np.array([grid.dx, grid.dy])
    closed = np.vstack([in_cells, in_cells[:1]])
    far = int(np.hypot(*(in_cells - in_cells[0]).T).argmax())
    is_kept = np.zeros(len(closed), dtype=bool)
    is_kept[[0, far]] = True
    parts = [(0, far), (far, len(closed) - 1)]
    while parts:
        first, last = parts.pop()
        if last - first < 2:
            continue
        away = _distances(closed[first + 1 : last], closed[first], closed[last])
        farthest = int(away.argmax())
        if away[farthest] > tolerance:
            middle = first + 1 + farthest
            is_kept[middle] = True
            parts += [(first, middle), (middle, last)]
    fewer = points[is_kept[:-1]]
    try:
        return checked_vertices(fewer)
    except ParameterError:  # a sliver, thinner than the tolerance
        return points


def _distances(
    points: npt.NDArray[np.float64], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return how far points (k, 2) lie from the segment between two others, (k,)."""
    along, length = end - start, float((end - start) @ (end - start))
    shares = np.zeros(len(points))
    if length > 0.0:
        shares = np.clip((points - start) @ along / length, 0.0, 1.0)
    return np.hypot(*(points - start - shares[:, None] * along).T)
