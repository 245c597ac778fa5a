"""What happens to the regions of a state when a visitor draws, names, hides or removes one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, groupby, islice

from maxrf_core import ParameterError
from maxrf_core.outline import simplified
from maxrf_core.regions import (
    MAX_NAME,
    Polygon,
    Rectangle,
    Region,
    Threshold,
    is_name,
    polygon_mask,
)

from .asked import asked_by
from .data import SharedScan
from .region_maps import name_of_map
from .region_text import fits
from .state import MAX_REGIONS, ViewState
from .theme import ELEMENT_COLOURS

__all__ = [
    "add_polygon",
    "add_rectangle",
    "add_threshold",
    "add_visible",
    "colours_of",
    "remove_region",
    "rename_region",
    "toggle_region",
]

_DIGITS = 2
"""Of a cell that drawn numbers have: a hundredth of it is less than a pixel."""


def colours_of(regions: Sequence[Region]) -> list[str]:
    """Return a colour for each region; the seventh has the first one's again."""
    return list(islice(cycle(ELEMENT_COLOURS), len(regions)))


def add_rectangle(
    shared: SharedScan, state: ViewState, x0: float, x1: float, y0: float, y1: float
) -> None:
    """Add the rectangle between two corners, as far as it lies on the grid.

    Raises
    ------
    ParameterError
        If no cell of the grid lies in it, or there is no room for another region.
    """
    grid = shared.scan.grid
    left, bottom, right, top = grid.bounds
    x = sorted(min(max(_rounded(one, grid.dx), left), right) for one in (x0, x1))
    y = sorted(min(max(_rounded(one, grid.dy), bottom), top) for one in (y0, y1))
    has_columns = ((grid.x >= x[0]) & (grid.x <= x[1])).any()
    if not (has_columns and ((grid.y >= y[0]) & (grid.y <= y[1])).any()):
        raise ParameterError("No cell has its centre in that rectangle; draw a larger one.")
    _add(state, Rectangle(float(x[0]), float(y[0]), float(x[1]), float(y[1])))


def add_visible(shared: SharedScan, state: ViewState) -> None:
    """Add the rectangle of cells that the map shows now.

    Raises
    ------
    ParameterError
        As `add_rectangle`.
    """
    left, bottom, right, top = shared.scan.grid.bounds
    add_rectangle(shared, state, *(state.map_range or (left, right, bottom, top)))


def add_polygon(
    shared: SharedScan, state: ViewState, x: Sequence[float], y: Sequence[float]
) -> None:
    """Add a polygon or lasso, simplified to half a cell: see `maxrf_core.outline`.

    Raises
    ------
    ParameterError
        If it encloses nothing, or there is no room for another region.
    """
    grid = shared.scan.grid
    places = ((_rounded(a, grid.dx), _rounded(b, grid.dy)) for a, b in zip(x, y, strict=True))
    vertices = [place for place, _ in groupby(places)]  # a mouse stands still now and then
    if len(vertices) < 3:
        raise ParameterError("An outline needs three corners at least; draw around the cells.")
    corners = simplified(vertices, grid)
    if not polygon_mask(grid, corners).any():
        raise ParameterError("No cell has its centre inside that outline; draw a larger one.")
    _add(state, Polygon(tuple((float(a), float(b)) for a, b in corners)))


def add_threshold(
    shared: SharedScan, state: ViewState, low: float | None, high: float | None
) -> None:
    """Add the cells where the map that is shown lies within two values; None for no limit.

    Raises
    ------
    ParameterError
        If the limits make no sense, or there is no room for another region.
    """
    if low is None and high is None:
        raise ParameterError("A threshold needs a lowest or a highest value of the map.")
    if low is not None and high is not None and low > high:
        raise ParameterError("A threshold needs the lower value first.")
    _add(state, Threshold(name_of_map(asked_by(shared, state)), low, high))


def rename_region(state: ViewState, old: str, new: str) -> None:
    """Give a region another name.

    Raises
    ------
    ParameterError
        If it is no name, or another region has it.
    """
    new = new.strip()
    names = [one.name for one in state.regions]
    if old not in names or new == old:
        return
    if not is_name(new):
        raise ParameterError(f"A region's name has 1 to {MAX_NAME} printable letters.")
    if new in names:
        raise ParameterError(f"Another region is called {new!r}; each needs its own name.")
    state.param.update(
        regions=tuple(
            Region(new, one.outline) if one.name == old else one for one in state.regions
        ),
        hidden_regions=tuple(new if name == old else name for name in state.hidden_regions),
        region=new if state.region == old else state.region,
    )


def remove_region(state: ViewState, name: str) -> None:
    """Remove a region, if it is there."""
    state.param.update(
        regions=tuple(one for one in state.regions if one.name != name),
        hidden_regions=tuple(one for one in state.hidden_regions if one != name),
        region="" if state.region == name else state.region,
    )


def toggle_region(state: ViewState, name: str) -> None:
    """Hide a region's outline and line, or show them again."""
    if name in state.hidden_regions:
        state.hidden_regions = tuple(one for one in state.hidden_regions if one != name)
    elif any(one.name == name for one in state.regions):
        state.hidden_regions = (*state.hidden_regions, name)


def _add(state: ViewState, outline: Rectangle | Polygon | Threshold) -> None:
    if len(state.regions) >= MAX_REGIONS:
        raise ParameterError(f"There is room for {MAX_REGIONS} regions; remove one first.")
    names = {one.name for one in state.regions}
    name = next(n for n in (f"Region {i}" for i in range(1, MAX_REGIONS + 2)) if n not in names)
    regions = (*state.regions, Region(name, outline))
    hidden = tuple(one for one in state.hidden_regions if one != name)
    state.param.update(regions=regions, region=name, hidden_regions=hidden)
    if not fits(regions, name):
        state.notice = (
            f"{name} has too many corners for the address: a link leaves it out. A view that is "
            "saved has it."
        )


def _rounded(value: float, pitch: float) -> float:
    return round(float(value), max(0, math.ceil(_DIGITS - math.log10(pitch))))
