"""Two maps, one against the other, and where the cells lie that were selected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from maxrf_core import Grid

from .combine_maps import value_text
from .combine_plot import Blank, CombinedMap, Paintable
from .data import SharedScan
from .gallery_maps import GalleryMap, cell_values
from .pixels import Bounds, Picture, View, block_mean, bounds_of, grid_bins, to_levels
from .scaling import ScaledMap, scale_map
from .state import ViewState
from .theme import COLOURS, palette

__all__ = ["Pair", "SelectedMap"]

_MARGIN = 0.03

_SELECTED_LEVELS = (1, 200)
"""Levels of cells in greys; the last of all levels is for those that are selected."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two maps, one for each axis.

    Parameters
    ----------
    x, y : GalleryMap
        What they show.
    x_values, y_values : (h, w) float32
        The maps.
    pearson, spearman : float
        How they go together.
    """

    x: GalleryMap
    y: GalleryMap
    x_values: npt.NDArray[np.float32]
    y_values: npt.NDArray[np.float32]
    pearson: float
    spearman: float

    @property
    def points(self) -> pd.DataFrame:
        """The cells with a datum, in columns x and y."""
        both = np.isfinite(self.x_values) & np.isfinite(self.y_values)
        return pd.DataFrame({"x": self.x_values[both], "y": self.y_values[both]}, copy=False)

    @property
    def home(self) -> Bounds:
        """What a plot of all cells shows: left, bottom, right, top."""
        ends = []
        for values in (self.x_values, self.y_values):
            finite = values[np.isfinite(values)]
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
            low = min(low, 0.0)
            margin = _MARGIN * (high - low or 1.0)
            ends.append((low - margin, high + margin))
        (left, right), (bottom, top) = ends
        return left, bottom, right, top

    @property
    def sentence(self) -> str:
        """How the maps go together, in words."""
        n = int((np.isfinite(self.x_values) & np.isfinite(self.y_values)).sum())
        if math.isnan(self.pearson):
            return f"{n:,} cells; no correlation, for a map is the same in all of them."
        return (
            f"{n:,} cells. Correlation: {self.pearson:.3f} (Pearson, along a line), "
            f"{self.spearman:.3f} (Spearman, of ranks). Shot noise lowers both."
        )


@dataclass(frozen=True, eq=False)
class Highlighted:
    """A map in greys, with some cells in another colour."""

    scaled: ScaledMap
    selected: npt.NDArray[np.float32] | None

    def seen(self, grid: Grid, view: View) -> Picture:
        """Return what a view shows; a pixel that any selected cell lies in is highlighted."""
        rows, columns = grid_bins(grid, view.with_margin(), view.pixel)
        low, high = self.scaled.low, self.scaled.high
        first, last = _SELECTED_LEVELS
        means = block_mean(self.scaled.values, rows, columns)
        levels = to_levels(means, low, low + (high - low) * 254 / (last - first))
        levels = np.where(levels > 0, np.minimum(levels, last), 0).astype(np.uint8)
        if self.selected is not None:
            levels[block_mean(self.selected, rows, columns) > 0] = 255
        pixel = (grid.dx * columns.cells, grid.dy * rows.cells)
        return Picture(levels, bounds_of(grid, rows, columns), pixel)


class SelectedMap(CombinedMap):
    """Where the selected cells lie, on the first of the two maps in greys."""

    tag = "selected"

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        self._pair: Pair | None = None
        self._selected: npt.NDArray[np.bool_] | None = None
        super().__init__(shared, state, ["clip"])

    def request(self) -> None:
        """Draw what was selected of the present pair."""
        if self._pair is not None:
            super().request()

    @property
    def pair(self) -> Pair | None:
        """The maps; set with another selection."""
        return self._pair

    @pair.setter
    def pair(self, pair: Pair) -> None:
        self._pair = pair
        self.request()

    @property
    def selected(self) -> npt.NDArray[np.bool_] | None:
        """Which cells are selected, (h, w); None for no selection."""
        return self._selected

    @selected.setter
    def selected(self, selected: npt.NDArray[np.bool_] | None) -> None:
        self._selected = selected
        self.request()

    @property
    def sentence(self) -> str:
        """How many cells are selected, in words."""
        if self._selected is None:
            return "Draw a lasso or a box around points: their cells are shown on the map."
        known = np.isfinite(self._pair.x_values) & np.isfinite(self._pair.y_values)
        n, total = int(self._selected.sum()), int(known.sum())
        cells = "cell is" if n == 1 else "cells are"
        return f"{n:,} {cells} selected of {total:,} ({n / max(total, 1):.2%})."

    def _palette(self) -> list[str]:
        greys = palette("gray", _SELECTED_LEVELS[1])
        return [*greys, *[COLOURS["selected"]] * (255 - len(greys))]

    def _make(self) -> tuple[Paintable, Any]:
        if self._pair is None:
            return Blank(), None
        selected = self._selected
        shares = None if selected is None else selected.astype(np.float32)
        return Highlighted(scale_map(self._pair.x_values, self.state.clip), shares), self._pair

    def _take(self, details: Pair | None) -> None:
        self._title = "…" if details is None else f"Selected cells on {details.x.label}"

    def _tooltip_labels(self) -> list[str]:
        return [] if self._pair is None else [self._pair.x.label, self._pair.y.label]

    def _cell_told(self, row: int, column: int) -> list[str]:
        maps = [self._pair.x, self._pair.y]
        told = cell_values(self.shared, maps, row, column)
        return [value_text(*told[each.name], each.asked.unit) for each in maps]
