"""Pictures in light, drawn in motor coordinates: as much of them as a plot shows.

The plane is cut into squares at some scales, each half as coarse as the next one, so that visitors
who look at the same place are sent the same picture, which is drawn once.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from maxrf_core.location import file_stamp
from maxrf_core.mosaic_file import read_mosaic
from maxrf_core.photo import PhotoFit
from maxrf_core.photo_file import photo_size, warp_photo

from .pixels import Bounds, Picture, View

__all__ = ["BLANK", "mosaic_picture", "needed", "photo_picture", "whole_photo"]

_MOST_PIXELS = 1_500_000
"""Of a picture that is sent: 6 MB."""
_WHOLE_PIXELS = 1_000_000
"""Of the coarsest picture of a map, and of a photo in the dialog."""
_SQUARE = 128  # pixels
_MARGIN = 1 / 8
"""Of a view that is drawn beside it on each side, at most."""
_FINEST = 10  # times twice as sharp as the coarsest
_KEPT_BYTES = 64_000_000

BLANK = Picture(np.zeros((1, 1), np.uint32), (0.0, 0.0, 1.0, 1.0), (1.0, 1.0))
"""Nothing, as a picture."""

_kept: OrderedDict[Hashable, Picture] = OrderedDict()
_lock = threading.Lock()
_one_at_a_time = threading.Lock()
"""A large photo is decoded whole, in some 0.5 GB: two visitors do not do so at once."""


def needed(home: Bounds, view: View, share: float) -> tuple[Bounds, tuple[float, float]] | None:
    """Return edges and pixels of a picture for a view.

    Parameters
    ----------
    home : (float, float, float, float)
        Edges of the map; a picture shows what is beside it as well, as far again.
    view : View
        What a plot shows.
    share : float
        Of the view that is wanted beside it on each side, an eighth at most.

    Returns
    -------
    (bounds, pixel) or None
        None if the view lies beside all there is to show.
    """
    width, height = home[2] - home[0], home[3] - home[1]
    coarsest = math.sqrt(width * height / _WHOLE_PIXELS)
    area = (home[0] - width, home[1] - height, home[2] + width, home[3] + height)
    wanted = view.with_margin(share)
    low = [max(edge, least) for edge, least in zip(wanted[:2], area[:2], strict=True)]
    high = [min(edge, most) for edge, most in zip(wanted[2:], area[2:], strict=True)]
    if low[0] >= high[0] or low[1] >= high[1]:
        return None
    # By sizes alone, so that squares stay as they are while a plot is panned
    sizes = [
        min((1 + 2 * _MARGIN) * seen, 3 * size)
        for seen, size in (
            (view.right - view.left, width),
            (view.top - view.bottom, height),
        )
    ]
    level = min(max(round(math.log2(coarsest / max(view.pixel))), -3), _FINEST)
    square = _SQUARE * coarsest / 2.0**level
    while math.prod(math.ceil(size / square) + 1 for size in sizes) * _SQUARE**2 > _MOST_PIXELS:
        square *= 2
    first = [math.floor((a - h) / square) for a, h in zip(low, home[:2], strict=True)]
    last = [math.ceil((b - h) / square) for b, h in zip(high, home[:2], strict=True)]
    left, bottom, right, top = (
        home[axis] + number * square
        for number, axis in zip((*first, *last), (0, 1, 0, 1), strict=True)
    )
    return (left, bottom, right, top), (square / _SQUARE, square / _SQUARE)


def photo_picture(path: Path, fit: PhotoFit, bounds: Bounds, pixel: tuple[float, float]) -> Picture:
    """Return a photo within bounds; transparent beside it. Call it in a thread.

    Raises
    ------
    ParameterError
        If the photo cannot be read.
    """

    def draw() -> Picture:
        colours, covered = warp_photo(path, fit, extent=bounds, shape=_shape(bounds, pixel))
        return Picture(_packed(colours, covered), bounds, pixel)

    return _drawn_once((file_stamp(path), fit.matrix.tobytes(), bounds, pixel), draw)


def whole_photo(path: Path) -> tuple[Picture, tuple[int, int]]:
    """Return a photo in its own pixels, row 0 at its lower edge, and its width and height.

    It has a megapixel at most. Call it in a thread.

    Raises
    ------
    ParameterError
        If the photo cannot be read.
    """
    width, height = photo_size(path)
    pixel = max(1.0, math.sqrt(width * height / _WHOLE_PIXELS))
    shape = max(1, int(height / pixel)), max(1, int(width / pixel))
    bounds = 0.0, 0.0, float(width), float(height)

    def draw() -> Picture:
        upright = PhotoFit("affine", np.array([[1.0, 0, 0], [0, -1, height], [0, 0, 1]]), _NONE)
        colours, covered = warp_photo(path, upright, extent=bounds, shape=shape)
        return Picture(_packed(colours, covered), bounds, (width / shape[1], height / shape[0]))

    return _drawn_once((file_stamp(path), "whole"), draw), (width, height)


_NONE = np.zeros((0, 2))


def mosaic_picture(path: Path, bounds: Bounds, pixel: tuple[float, float]) -> Picture:
    """Return what a mosaic shows within bounds; transparent beside it. Call it in a thread.

    Raises
    ------
    ParameterError
        If the mosaic cannot be read.
    """

    def draw() -> Picture:
        mosaic = read_mosaic(path)
        drawn = np.zeros((*_shape(bounds, pixel), 4), dtype=np.uint8)
        # The pixels whose middle is in the mosaic, and what of it lies under them
        columns = _middles(bounds[0], pixel[0], drawn.shape[1], mosaic.bounds[0::2])
        rows = _middles(bounds[1], pixel[1], drawn.shape[0], mosaic.bounds[1::2])
        if columns.start < columns.stop and rows.start < rows.stop:
            h, w = mosaic.covered.shape
            box = (
                max(0.0, (bounds[0] + columns.start * pixel[0] - mosaic.left) / mosaic.step),
                max(0.0, (bounds[1] + rows.start * pixel[1] - mosaic.bottom) / mosaic.step),
                min(float(w), (bounds[0] + columns.stop * pixel[0] - mosaic.left) / mosaic.step),
                min(float(h), (bounds[1] + rows.stop * pixel[1] - mosaic.bottom) / mosaic.step),
            )
            stored = np.dstack([mosaic.picture, np.where(mosaic.covered, 255, 0).astype(np.uint8)])
            size = columns.stop - columns.start, rows.stop - rows.start
            scaled = Image.fromarray(stored).resize(size, Image.Resampling.BILINEAR, box=box)
            drawn[rows, columns] = np.asarray(scaled)
        return Picture(drawn.view(np.uint32)[..., 0], bounds, pixel)

    return _drawn_once((file_stamp(path), bounds, pixel), draw)


def _middles(start: float, pixel: float, count: int, within: tuple[float, ...]) -> slice:
    """Return the pixels of an axis whose middle lies within two ends."""
    first, last = (math.ceil((end - start) / pixel - 0.5) for end in within)
    return slice(min(max(first, 0), count), min(max(last, 0), count))


def _shape(bounds: Bounds, pixel: tuple[float, float]) -> tuple[int, int]:
    left, bottom, right, top = bounds
    return max(1, round((top - bottom) / pixel[1])), max(1, round((right - left) / pixel[0]))


def _packed(
    colours: npt.NDArray[np.uint8], covered: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint32]:
    """Return colours (h, w, 3) as Bokeh takes them, (h, w): red, green, blue, alpha in memory."""
    alpha = np.where(covered, 255, 0).astype(np.uint8)
    return np.ascontiguousarray(np.dstack([colours, alpha])).view(np.uint32)[..., 0]


def _drawn_once(key: Hashable, draw: Callable[[], Picture]) -> Picture:
    """Return a picture that is kept, or draw it and keep it while there is room."""
    kept = _recall(key)
    if kept is not None:
        return kept
    with _one_at_a_time:
        kept = _recall(key)  # drawn for another visitor meanwhile
        if kept is None:
            kept = draw()
            kept.levels.flags.writeable = False
            with _lock:
                _kept[key] = kept
                while sum(one.levels.nbytes for one in _kept.values()) > _KEPT_BYTES:
                    _kept.popitem(last=False)
    return kept


def _recall(key: Hashable) -> Picture | None:
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
        return _kept.get(key)
