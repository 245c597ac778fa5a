"""Regions on a map: outlines with names, and the rims of thresholds as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.models import ColumnDataSource, LabelSet
from bokeh.plotting import figure

from maxrf_core import Grid
from maxrf_core.regions import Polygon, Rectangle, Region, Threshold

from .data import SharedScan
from .latest import Latest
from .region_choices import colours_of
from .region_counts import Interpolated, mask_of
from .state import ViewState
from .theme import text_colour

__all__ = ["RegionMarks", "outline_columns", "rim_columns"]

_LINE, _SELECTED_LINE, _HALO = 2.0, 3.5, 2.5  # pixels; the halo stands out on both sides together
_HALO_COLOUR = "#000000"
_MOST_ROWS = 500
"""Rows and columns of the picture of rims, at most: 1 MB, whatever the scan has."""

BoolArray = npt.NDArray[np.bool_]


def outline_columns(
    regions: Sequence[Region], *, hidden: Sequence[str] = (), selected: str = ""
) -> dict[str, list[Any]]:
    """Return what is drawn of rectangles and polygons, by column.

    Parameters
    ----------
    regions : sequence of Region
        All of them: a colour is that of a place among them.
    hidden : sequence of str
        Names of those that are not drawn.
    selected : str
        Name of the one that is drawn wider.

    Returns
    -------
    dict of str to list
        A region a row: closed outline in motor steps, colours, widths, name and its place.
    """
    columns: dict[str, list[Any]] = {
        key: [] for key in ("xs", "ys", "colour", "ink", "width", "halo", "name", "x", "y")
    }
    for region, colour in zip(regions, colours_of(regions), strict=True):
        if region.name in hidden or isinstance(region.outline, Threshold):
            continue
        corners = np.array(_corners(region.outline))
        closed = np.vstack([corners, corners[:1]])
        highest = corners[np.lexsort((corners[:, 0], -corners[:, 1]))[0]]
        width = _SELECTED_LINE if region.name == selected else _LINE
        row = {
            "xs": closed[:, 0].tolist(),
            "ys": closed[:, 1].tolist(),
            "colour": colour,
            "ink": text_colour(colour),
            "width": width,
            "halo": width + _HALO,
            "name": region.name,
            "x": float(highest[0]),
            "y": float(highest[1]),
        }
        for key, value in row.items():
            columns[key].append(value)
    return columns


def rim_columns(masks: Sequence[tuple[BoolArray, str]], grid: Grid) -> dict[str, list[Any]]:
    """Return a picture of the cells at the rims of masks, by column; without masks, none.

    Parameters
    ----------
    masks : sequence of ((h, w) bool, str)
        With their colours; the last lies on top.
    grid : Grid
        Where they are. Of a large one some cells are one pixel.

    Returns
    -------
    dict of str to list
        One RGBA picture, row 0 at the bottom, with its place.
    """
    if not masks:
        return {key: [] for key in ("image", "x", "y", "dw", "dh")}
    size = max(1, -(-max(grid.shape) // _MOST_ROWS))
    coarse = [(_coarse(mask, size), colour) for mask, colour in masks]
    picture = np.zeros((*coarse[0][0].shape, 4), dtype=np.uint8)
    for mask, colour in coarse:
        picture[_rim(mask)] = [*bytes.fromhex(colour.removeprefix("#")), 255]
    left, bottom, _, _ = grid.bounds
    height, width = picture.shape[:2]
    return {
        "image": [picture.view(np.uint32).reshape(height, width)],
        "x": [left],
        "y": [bottom],
        "dw": [width * size * grid.dx],
        "dh": [height * size * grid.dy],
    }


class RegionMarks:
    """Outlines of a state's regions on the plots of a view in motor steps.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose regions.
    remember, each, together, fail : callable
        The view's: keep a model under a name, return those kept, change several at once, tell
        of an error.
    """

    def __init__(
        self,
        shared: SharedScan,
        state: ViewState,
        *,
        remember: Callable[[str, Any], Any],
        each: Callable[[str], list[Any]],
        together: Callable[[], AbstractContextManager[None]],
        fail: Callable[[Exception], None],
    ) -> None:
        self._shared, self._state = shared, state
        self._remember, self._each, self._together = remember, each, together
        self._rims = rim_columns([], shared.scan.grid)
        self._latest = Latest(self._find_rims, self._show_rims, fail)
        state.param.watch(lambda *_: self._show_outlines(), ["regions", "hidden_regions", "region"])
        state.param.watch(
            lambda *_: self._ask(), ["regions", "hidden_regions", "method", "correct_lag"]
        )

    def add_to(self, plot: figure) -> None:
        """Draw regions on a plot, and keep them up to date."""
        outlines = self._remember("region outlines", ColumnDataSource(self._outlines()))
        rims = self._remember("region rims", ColumnDataSource(self._rims))
        plot.image_rgba("image", "x", "y", "dw", "dh", source=rims, name="region rims")
        for name, colour, width in (("halo", _HALO_COLOUR, "halo"), ("line", "colour", "width")):
            plot.multi_line(
                "xs",
                "ys",
                source=outlines,
                name=f"region {name}",
                line_color=colour,
                line_width=width,
                line_alpha=0.45 if name == "halo" else 1.0,
                line_join="round",
            )
        plot.add_layout(
            LabelSet(
                name="region names",
                source=outlines,
                x="x",
                y="y",
                text="name",
                text_font_size="11px",
                text_color="ink",
                background_fill_color="colour",
                x_offset=0,
                y_offset=2,
            )
        )
        # Until a browser has its page, what is drawn on it meanwhile gets lost (panel 1.9).
        pn.state.onload(self._ask)

    def _outlines(self) -> dict[str, list[Any]]:
        state = self._state
        return outline_columns(state.regions, hidden=state.hidden_regions, selected=state.region)

    def _show_outlines(self) -> None:
        columns = self._outlines()
        with self._together():
            for source in self._each("region outlines"):
                source.data = columns

    def _thresholds(self) -> list[tuple[Region, str]]:
        """Return the thresholds to draw, and their colours."""
        state = self._state
        return [
            (region, colour)
            for region, colour in zip(state.regions, colours_of(state.regions), strict=True)
            if isinstance(region.outline, Threshold) and region.name not in state.hidden_regions
        ]

    def _ask(self) -> None:
        if self._thresholds() or self._rims["image"]:
            self._latest.request()

    def _find_rims(self) -> dict[str, list[Any]]:
        how = Interpolated.of(self._shared, self._state)
        masks = [(mask_of(self._shared, one, how), colour) for one, colour in self._thresholds()]
        return rim_columns(masks, self._shared.scan.grid)

    def _show_rims(self, rims: dict[str, list[Any]]) -> None:
        self._rims = rims
        with self._together():
            for source in self._each("region rims"):
                source.data = rims


def _corners(outline: Rectangle | Polygon) -> list[tuple[float, float]]:
    if isinstance(outline, Polygon):
        return list(outline.vertices)
    left, bottom, right, top = outline.left, outline.bottom, outline.right, outline.top
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _coarse(mask: BoolArray, size: int) -> BoolArray:
    """Return which blocks of cells hold one of a mask; the last block of a side may stick out."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % size), (0, -width % size)))
    rows, columns = padded.shape[0] // size, padded.shape[1] // size
    return padded.reshape(rows, size, columns, size).any(axis=(1, 3))


def _rim(mask: BoolArray) -> BoolArray:
    """Return the cells of a mask that have one of their four neighbours outside it."""
    around = np.pad(mask, 1)
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return mask & ~inside
