"""Motor positions by the million, drawn as pixels that count them."""

from __future__ import annotations

import math

import datashader as ds
import numpy as np
import numpy.typing as npt
import pandas as pd

from maxrf_core.compiled import compiled

from .pixels import Bounds, Picture, View
from .theme import COLOURS

__all__ = ["POSITION_COLOURS", "PositionCloud"]

_KINDS = ("measured", "selected")
"""The vendor's selection lies over what else was measured."""

_FAINTEST, _SHADES = 150, 106
"""Opacity of a pixel with one position, of 255, and steps from there to the most crowded one."""

_LARGEST_RADIUS = 5  # pixels

_SMALLEST_EXTENT = 20  # pixels: a single row has some width, and a single position

_CROWDED = 8
"""A pixel with so many positions, and so many times as many as others, is most opaque."""

POSITION_COLOURS = [
    f"{COLOURS[kind]}{_FAINTEST + shade:02x}" for kind in _KINDS for shade in range(_SHADES)
]
"""What the levels from 1 on stand for: the shades of one kind of positions, then of the other."""


class PositionCloud:
    """Positions of two kinds, ready to be drawn at any zoom: read-only, for all visitors.

    Parameters
    ----------
    positions : (n, 2) float64
        Motor positions x, y.
    is_selected : (n,) bool
        Which spectra the vendor put into its map.

    Attributes
    ----------
    extent : (float, float, float, float)
        Left, bottom, right, top of all positions.

    Notes
    -----
    Each kind is kept in the order of y, as float32 from the lower left corner, which holds
    whole motor steps exactly up to 16 million of them. A zoomed view touches only the
    positions between its lower and upper edge.
    """

    def __init__(
        self, positions: npt.NDArray[np.float64], is_selected: npt.NDArray[np.bool_]
    ) -> None:
        left, bottom = np.floor(positions.min(axis=0)).tolist()
        right, top = positions.max(axis=0).tolist()
        self.extent: Bounds = (left, bottom, right, top)
        moved = (positions - (left, bottom)).astype(np.float32)
        order = np.argsort(moved[:, 1], kind="stable")
        self._frames = {}
        for kind in _KINDS:
            chosen = order[is_selected[order] == (kind == "selected")]
            self._frames[kind] = pd.DataFrame({"x": moved[chosen, 0], "y": moved[chosen, 1]})

    def needed(self, bounds: Bounds, pixel: tuple[float, float]) -> Bounds:
        """Return the edges of the pixels that show what there is within some bounds.

        The plane is cut into the same pixels wherever a view lies: to pan shifts a picture,
        it does not change it, for sizes and shades follow from the whole cloud. A frame of one
        disc's radius is left around the outermost positions.
        """
        edges = []
        for axis, size in enumerate(pixel):
            reach = (_LARGEST_RADIUS + 1) * size
            low = max(bounds[axis], min(self.extent[axis] - reach, bounds[axis + 2]))
            high = min(bounds[axis + 2], max(self.extent[axis + 2] + reach, bounds[axis]))
            first = math.floor(low / size)
            edges.append((first * size, max(first + 1, math.ceil(high / size)) * size))
        (left, right), (bottom, top) = edges
        return left, bottom, right, top

    def seen(self, view: View) -> Picture:
        """Return what a view shows, and a margin: levels index `POSITION_COLOURS`, from 1 on.

        Each pixel counts its positions, so that millions of them show where they crowd; few
        of them are drawn as discs large enough to see.
        """
        return self._draw(self.needed(view.with_margin(), view.pixel), view)

    def _in_a_pixel(self, n: int, pixel: tuple[float, float]) -> float:
        """Return how many of n positions would lie in a pixel if they were spread evenly."""
        left, bottom, right, top = self.extent
        width, height = (right - left) / pixel[0], (top - bottom) / pixel[1]
        return n / (max(width, _SMALLEST_EXTENT) * max(height, _SMALLEST_EXTENT))

    def _draw(self, bounds: Bounds, view: View) -> Picture:
        pixel = view.pixel
        left, bottom, right, top = bounds
        width, height = round((right - left) / pixel[0]), round((top - bottom) / pixel[1])
        x0, y0 = self.extent[:2]
        canvas = ds.Canvas(width, height, (left - x0, right - x0), (bottom - y0, top - y0))
        shades = np.zeros((height, width), dtype=np.uint8)
        levels = np.zeros((height, width), dtype=np.uint8)
        for number, kind in enumerate(_KINDS):
            frame = self._frames[kind]
            first, last = np.searchsorted(frame["y"].to_numpy(), np.float32(canvas.y_range))
            # float32 may round an edge onto a position; one more row costs nothing.
            seen = frame.iloc[max(first - 1, 0) : last + 1]
            counts = canvas.points(seen, "x", "y", ds.count()).to_numpy()
            if not counts.any():
                continue
            in_a_pixel = self._in_a_pixel(len(frame), pixel)
            radius = min(math.floor(0.2 / math.sqrt(in_a_pixel)), _LARGEST_RADIUS)
            if radius:
                counts = spread(counts, radius)
            highest = max(_CROWDED, math.ceil(_CROWDED * in_a_pixel))
            _shade(counts, highest, number * _SHADES + 1, shades, levels)
        return Picture(levels, bounds, pixel)


def spread(counts: npt.NDArray[np.uint32], radius: int) -> npt.NDArray[np.uint32]:
    """Return the highest count within a disc of some pixels around each pixel."""
    offsets = np.arange(-radius, radius + 1)
    rows, columns = np.nonzero(np.hypot(*np.meshgrid(offsets, offsets)) <= radius + 0.3)
    spread_out = np.zeros_like(counts)
    _spread(counts, rows - radius, columns - radius, spread_out)
    return spread_out


@compiled()
def _spread(
    counts: npt.NDArray, rows: npt.NDArray, columns: npt.NDArray, out: npt.NDArray
) -> None:  # pragma: no cover - compiled
    height, width = counts.shape
    for row in range(height):
        for column in range(width):
            count = counts[row, column]
            if count == 0:
                continue
            for k in range(len(rows)):
                i, j = row + rows[k], column + columns[k]
                if 0 <= i < height and 0 <= j < width and out[i, j] < count:
                    out[i, j] = count


@compiled()
def _shade(
    counts: npt.NDArray, highest: int, first_level: int, shades: npt.NDArray, levels: npt.NDArray
) -> None:  # pragma: no cover - compiled
    """Draw the pixels that count something over others, at least as opaque as they were."""
    full = (_SHADES - 1) / np.log1p(highest)
    for i in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            if counts[i, j] > 0:
                shade = np.uint8(full * np.log1p(min(counts[i, j], highest)))
                shade = max(shades[i, j], shade)
                shades[i, j] = shade
                levels[i, j] = first_level + shade
