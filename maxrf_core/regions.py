"""Regions of a map: rectangles, polygons, and cells where a map has a value within limits.

A region is kept by its definition in motor steps, never by its cells, so it holds on every grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ParameterError
from .grid import Grid

__all__ = [
    "MAX_NAME",
    "MAX_VERTICES",
    "Polygon",
    "Rectangle",
    "Region",
    "Threshold",
    "polygon_mask",
    "rectangle_mask",
    "region_mask",
    "threshold_mask",
]

BoolArray = npt.NDArray[np.bool_]

MAX_VERTICES = 10_000
"""A lasso drawn for a minute has some 3000."""
MAX_NAME = 200
LARGEST = 1e12
"""No motor has more steps; differences of coordinates stay far from what float64 cannot hold."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """The cells whose centres lie in [left, right] x [bottom, top], in motor steps."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True, slots=True)
class Polygon:
    """The cells whose centres lie inside a closed polygon or lasso.

    Attributes
    ----------
    vertices : tuple of (float, float)
        x and y in motor steps, 3 to `MAX_VERTICES`; the last is joined to the first. Where
        the outline crosses itself, what it goes round an even number of times is outside.
    """

    vertices: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The cells where a map is within [low, high].

    Attributes
    ----------
    map_name : str
        Which map, such as ``"Fe Ka"``: the caller knows it.
    low, high : float or None
        In the map's units; None for no limit.
    """

    map_name: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Region:
    """A named region.

    Attributes
    ----------
    name : str
        1 to `MAX_NAME` letters.
    outline : Rectangle, Polygon or Threshold
    """

    name: str
    outline: Rectangle | Polygon | Threshold


def rectangle_mask(grid: Grid, left: float, bottom: float, right: float, top: float) -> BoolArray:
    """Return which cells have their centres in a rectangle, its border included.

    Parameters
    ----------
    grid : Grid
    left, bottom, right, top : float
        Motor steps. What lies beyond the grid is cut off.

    Returns
    -------
    mask : (h, w) bool

    Raises
    ------
    ParameterError
        If a number is not finite, or the rectangle has no area.
    """
    outline = Rectangle(left, bottom, right, top)
    raise_faults(rectangle_faults(outline))
    rows = (grid.y >= bottom) & (grid.y <= top)
    columns = (grid.x >= left) & (grid.x <= right)
    return rows[:, None] & columns


def polygon_mask(grid: Grid, vertices: npt.ArrayLike) -> BoolArray:
    """Return which cells have their centres inside a polygon, by the even-odd rule.

    A ray from each centre towards smaller x crosses the outline an odd number of times (M. Shimrat,
    Algorithm 112, Commun. ACM 5 (1962) 434, https://doi.org/10.1145/368637.368653). A centre on
    the outline belongs to it on the left and the bottom only, so that of two polygons with
    a common edge it lies in one. The cost grows with rows times vertices, and cells.

    Parameters
    ----------
    grid : Grid
    vertices : (v, 2) array_like of float
        x and y in motor steps, 3 to `MAX_VERTICES`; the last is joined to the first. What
        lies beyond the grid is cut off.

    Returns
    -------
    mask : (h, w) bool

    Raises
    ------
    ParameterError
        If the vertices are no such array, not finite, too many, or enclose no area.
    """
    points = checked_vertices(vertices)
    x, y = points.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    toggles = np.zeros((grid.height, grid.width + 1), dtype=np.int64)
    columns = grid.x
    for row, level in enumerate(grid.y):
        crossed = (y <= level) != (next_y <= level)
        if not crossed.any():
            continue
        x1, y1, x2, y2 = x[crossed], y[crossed], next_x[crossed], next_y[crossed]
        at = x1 + (level - y1) / (y2 - y1) * (x2 - x1)
        # Every column from there on has one more crossing to its left.
        np.add.at(toggles[row], np.searchsorted(columns, at), 1)
    return (np.cumsum(toggles, axis=1)[:, :-1] % 2).astype(bool)


def threshold_mask(
    values: npt.NDArray[np.floating], low: float | None = None, high: float | None = None
) -> BoolArray:
    """Return which cells of a map lie within [low, high].

    Parameters
    ----------
    values : (h, w) float
        A map; NaN, no datum, is in no region.
    low, high : float, optional
        Limits in the map's units; one of them at least.

    Returns
    -------
    mask : (h, w) bool

    Raises
    ------
    ParameterError
        If the map has not two axes, or the limits are none.
    """
    raise_faults(threshold_faults(Threshold("map", low, high)))
    if np.ndim(values) != 2:
        raise ParameterError(
            f"the map has shape {np.shape(values)}; expected (rows, columns) of cells."
        )
    mask = np.isfinite(values)
    if low is not None:
        mask &= values >= low
    if high is not None:
        mask &= values <= high
    return mask


def region_mask(
    region: Region, grid: Grid, maps: Mapping[str, npt.NDArray[np.floating]] | None = None
) -> BoolArray:
    """Return the cells (h, w) of a region.

    Parameters
    ----------
    region : Region
    grid : Grid
    maps : mapping of str to (h, w) float, optional
        The maps that thresholds refer to, by name.

    Raises
    ------
    ParameterError
        If the outline is wrong, or its map is not there or of another shape than the grid.
    """
    outline = region.outline
    if isinstance(outline, Rectangle):
        return rectangle_mask(grid, outline.left, outline.bottom, outline.right, outline.top)
    if isinstance(outline, Polygon):
        return polygon_mask(grid, outline.vertices)
    values = (maps or {}).get(outline.map_name)
    if values is None:
        raise ParameterError(
            f"region {region.name!r} is a threshold on the map {outline.map_name!r}, which is not "
            f"there; expected one of {sorted(maps or {})}."
        )
    if np.shape(values) != grid.shape:
        raise ParameterError(
            f"the map {outline.map_name!r} has shape {np.shape(values)}, the grid {grid.shape}; "
            "compute it on this grid."
        )
    return threshold_mask(values, outline.low, outline.high)


def is_name(value: object) -> bool:
    """Tell whether a value is a name to show: 1 to `MAX_NAME` printable letters."""
    return (
        isinstance(value, str)
        and 0 < len(value.strip()) <= len(value) <= MAX_NAME
        and value.isprintable()
    )


def is_number(value: object) -> bool:
    """Tell whether a value is a finite real number of a motor's or a map's size, and no bool."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return abs(value) <= LARGEST  # False for NaN


def checked_vertices(vertices: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the vertices (v, 2) of a polygon with an area."""
    try:
        points = np.asarray(vertices, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(vertices_expected("no array of numbers")) from error
    if points.ndim != 2 or points.shape[1] != 2 or not 3 <= len(points) <= MAX_VERTICES:
        raise ParameterError(vertices_expected(f"an array of shape {points.shape}"))
    if not (np.abs(points) <= LARGEST).all():  # False for NaN, too
        raise ParameterError(vertices_expected("not finite, or beyond all motors"))
    distinct = np.unique(points, axis=0)
    arms = distinct - distinct[0]
    longest = arms[np.abs(arms).sum(axis=1).argmax()]
    if len(distinct) < 3 or not np.any(arms[:, 0] * longest[1] != arms[:, 1] * longest[0]):
        raise ParameterError(
            f"the polygon's {len(points)} vertices lie on one line and enclose no area; draw "
            "around the cells."
        )
    return points


def vertices_expected(found: str) -> str:
    return (
        f"a polygon's vertices are {found}; expected 3 to {MAX_VERTICES} pairs of finite x and y "
        "in motor steps."
    )


def rectangle_faults(outline: Rectangle) -> str:
    """Return what is wrong with a rectangle, or nothing."""
    box = (outline.left, outline.bottom, outline.right, outline.top)
    if all(map(is_number, box)) and outline.left < outline.right and outline.bottom < outline.top:
        return ""
    return f"the rectangle is {shown(box)}; expected left < right and bottom < top in motor steps."


def threshold_faults(outline: Threshold) -> str:
    """Return what is wrong with a threshold, or nothing."""
    limits = [one for one in (outline.low, outline.high) if one is not None]
    if limits and all(map(is_number, limits)) and limits[0] <= limits[-1]:
        return ""
    return (
        f"the threshold is {shown((outline.low, outline.high))}; expected a lowest and a highest "
        "value, finite, the lower first; one of them may be None."
    )


def raise_faults(sentence: str) -> None:
    if sentence:
        raise ParameterError(sentence)


def shown(value: Sequence[Any] | Any) -> str:
    """Return a value for a message, cut where it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 80 else f"{text[:77]}..."
