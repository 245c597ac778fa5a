"""The photo's file: opened with bounds, and drawn onto a grid of motor coordinates.

A JPEG is decoded at a half, quarter or eighth where that is enough (Pillow's draft). A PNG or
TIFF is decoded whole: 3 to 4 bytes a pixel, 0.4 GB at 100 megapixels, then averaged down. What
was decoded lately is kept, within bounds: a plot that is panned asks for it again and again.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache
from PIL import Image, UnidentifiedImageError

from .errors import ParameterError
from .location import file_stamp, open_file
from .photo import PhotoFit

__all__ = ["MAX_PHOTO_PIXELS", "photo_size", "warp_photo"]

FloatArray = npt.NDArray[np.float64]

ORIENTATION = 0x0112
"""EXIF tag: how the photo has to be turned to stand upright."""
FORMATS = ("PNG", "JPEG", "TIFF")
MAX_PHOTO_PIXELS = 150_000_000
"""As many as a camera of 150 megapixels has; 0.6 GB while a PNG or TIFF is decoded."""
MAX_GRID_PIXELS = 40_000_000
"""Of a grid that a photo is drawn onto: 160 MB with its mask."""
BLOCK_PIXELS = 1_000_000
"""Pixels of the grid that are computed at once: some 100 MB of float64."""
KEPT_BYTES = 256_000_000
"""Of decoded photos that are kept: one of 64 megapixels, with what is averaged of it."""
SAMPLES = 1000
"""Places of the grid on which the photo's resolution there is measured."""

_PHOTO_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    ZeroDivisionError, MemoryError, struct.error, Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow has been seen to raise on broken pictures."""


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Yield a photo, not decoded yet, whose size is allowed; tell what is wrong with it."""
    try:
        with open_file(path) as file, Image.open(file, formats=FORMATS) as photo:
            _check_pixels(path, photo.size)
            yield photo
    except ParameterError:
        raise
    except FileNotFoundError as error:
        raise ParameterError(
            f"There is no photo {path}. Put it beside the scan, or choose another."
        ) from error
    except UnidentifiedImageError as error:
        raise ParameterError(
            f"{path} is no picture that can be read. Expected PNG, JPEG or TIFF with 8 or 16 bits "
            "of grey, or 8 bits a colour; save it so."
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ParameterError(_too_large(path, str(error))) from error
    except _PHOTO_ERRORS as error:
        raise ParameterError(
            f"{path} cannot be read ({error}). Copy it again, or save it anew as PNG, JPEG or TIFF."
        ) from error


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PHOTO_PIXELS:
        raise ParameterError(_too_large(path, f"it has {size[0]} x {size[1]} pixels"))


def _too_large(path: Path, why: str) -> str:
    return (
        f"{path} is too large ({why}); {MAX_PHOTO_PIXELS // 1_000_000} megapixels are allowed. "
        "Scale it down first: more pixels than the page can show are not needed."
    )


def photo_size(path: str | PathLike[str]) -> tuple[int, int]:
    """Return width and height of a photo upright, in pixels, without decoding it.

    Raises
    ------
    ParameterError
        If it cannot be read or is too large.
    """
    with _pillow_limit(), _opened(Path(path)) as photo:
        return _upright_size(photo)


def _upright_size(photo: Image.Image) -> tuple[int, int]:
    width, height = photo.size
    turned = photo.getexif().get(ORIENTATION) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


@contextmanager
def _pillow_limit() -> Iterator[None]:
    """Let Pillow open as large a photo as we allow, without a warning from half of it on.

    Its limit is the process's; a thread that opens another picture meanwhile has this one's.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max(before or 0, MAX_PHOTO_PIXELS)
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


_Levels = tuple[npt.NDArray[np.uint8], FloatArray]
_kept: LRUCache[tuple[str, int, int, int], _Levels] = LRUCache(
    KEPT_BYTES, getsizeof=lambda levels: levels[0].nbytes
)
_kept_lock = threading.Lock()


def _levels(path: Path, reduce: int) -> _Levels:
    """Return what `_decoded` does, decoded now or lately."""
    key = (*file_stamp(path), reduce)
    with _kept_lock:
        levels = _kept.get(key)
    if levels is None:
        levels = _decoded(path, reduce)
        with _kept_lock:
            if levels[0].nbytes <= KEPT_BYTES:
                _kept[key] = levels
    return levels


def _decoded(path: Path, reduce: int) -> _Levels:
    """Return the photo as it is stored (h, w, 3), `reduce` times smaller, and the way there.

    That is a matrix (3, 3) from pixels of the upright photo to those of the array.
    """
    with _pillow_limit(), _opened(path) as photo:
        matrix = _turned_back(photo.getexif().get(ORIENTATION, 1), photo.size)
        width, height = photo.size
        photo.draft("RGB", (max(1, width // reduce), max(1, height // reduce)))
        drafted = round(width / photo.size[0])
        left = max(1, reduce // drafted)
        picture = _eight_bits(path, photo)
        if left > 1:
            picture = picture.reduce(left)
        # the last pixel may stand for fewer than the others, so sizes do not tell the scale
        scale = 1.0 / (drafted * left)
        levels = np.asarray(picture.convert("RGB"))
        levels.flags.writeable = False
        return levels, np.diag([scale, scale, 1.0]) @ matrix


def _eight_bits(path: Path, photo: Image.Image) -> Image.Image:
    """Return a photo whose pixels can be averaged."""
    if photo.mode.startswith("I;16") or (photo.mode == "I" and photo.format == "PNG"):
        # of 16 bits of grey the upper eight (Pillow before 11 gives PNGs of them as I)
        return Image.fromarray((np.asarray(photo) >> 8).astype(np.uint8))
    if photo.mode in ("I", "F"):
        raise ParameterError(
            f"{path} has 32 bits of grey, whose black and white are not known. Save it with 8 "
            "or 16 bits."
        )
    return photo.convert("RGB") if photo.mode in ("P", "PA", "1") else photo


def _turned_back(orientation: object, size: tuple[int, int]) -> FloatArray:
    """Return the matrix (3, 3) from the upright photo's pixels to the stored one's.

    Orientations are those of EXIF 2.32, 4.6.4.A: 2 to 8 mirror or turn.
    """
    w, h = size
    rows = {
        2: ((-1, 0, w), (0, 1, 0)),
        3: ((-1, 0, w), (0, -1, h)),
        4: ((1, 0, 0), (0, -1, h)),
        5: ((0, 1, 0), (1, 0, 0)),
        6: ((0, 1, 0), (-1, 0, h)),
        7: ((0, -1, w), (-1, 0, h)),
        8: ((0, -1, w), (1, 0, 0)),
    }.get(orientation if isinstance(orientation, int) else 1, ((1, 0, 0), (0, 1, 0)))
    return np.array([*rows, (0, 0, 1)], dtype=np.float64)


# --- drawn onto a grid ---------------------------------------------------------------------
def warp_photo(
    path: str | PathLike[str],
    fit: PhotoFit,
    *,
    extent: tuple[float, float, float, float],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Draw a photo onto a grid of motor coordinates.

    Parameters
    ----------
    path : str or PathLike
        The photo.
    fit : PhotoFit
        How it lies.
    extent : tuple of float
        Left, bottom, right and top edge of the grid in motor steps, as `bounds` of holoviews.
    shape : tuple of int
        Rows and columns of the grid.

    Returns
    -------
    picture : (h, w, 3) uint8
        Red, green and blue, interpolated bilinearly; black where the photo is not. Row 0 has
        the smallest y, as in a map.
    covered : (h, w) bool
        Where the photo is.

    Raises
    ------
    ParameterError
        If the photo cannot be read, or extent or shape make no grid.
    """
    x, y = _grid(extent, shape)
    reduce = _reduction(fit, x, y)
    levels, stored = _levels(Path(path), reduce)
    size = photo_size(path)
    picture = np.zeros((*shape, 3), dtype=np.uint8)
    covered = np.zeros(shape, dtype=np.bool_)
    rows_at_once = max(1, BLOCK_PIXELS // shape[1])
    for first in range(0, shape[0], rows_at_once):
        block = slice(first, first + rows_at_once)
        places = fit.to_photo(np.stack(np.meshgrid(x, y[block]), axis=-1))
        inside = ((places >= 0) & (places <= size)).all(axis=-1)
        at = places[inside] @ stored[:2, :2].T + stored[:2, 2]
        picture[block][inside] = _bilinear(levels, at)
        covered[block] = inside
    return picture, covered


def _grid(
    extent: tuple[float, float, float, float], shape: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    """Return motor x of the columns' and y of the rows' centres."""
    left, bottom, right, top = (float(edge) for edge in extent)
    rows, columns = shape
    if not (np.isfinite([left, bottom, right, top]).all() and left < right and bottom < top):
        raise ParameterError(
            f"The extent is {extent}, expected left, bottom, right and top in motor steps, the "
            "smaller ones first."
        )
    if not (rows >= 1 and columns >= 1 and rows * columns <= MAX_GRID_PIXELS):
        raise ParameterError(
            f"The grid has {rows} x {columns} pixels, expected 1 to {MAX_GRID_PIXELS} in all."
        )
    x = left + (np.arange(columns) + 0.5) * ((right - left) / columns)
    y = bottom + (np.arange(rows) + 0.5) * ((top - bottom) / rows)
    return x, y


def _reduction(fit: PhotoFit, x: FloatArray, y: FloatArray) -> int:
    """Return how many photo pixels a side may be averaged for this grid: it stays as sharp."""
    side = int(SAMPLES**0.5)
    at_x = x[np.linspace(0, x.size - 1, min(side, x.size)).astype(np.intp)]
    at_y = y[np.linspace(0, y.size - 1, min(side, y.size)).astype(np.intp)]
    here = np.stack(np.meshgrid(at_x, at_y), axis=-1)
    dx = (x[-1] - x[0]) / (x.size - 1) if x.size > 1 else 0.0
    dy = (y[-1] - y[0]) / (y.size - 1) if y.size > 1 else 0.0
    steps = [
        np.hypot(*np.moveaxis(fit.to_photo(here + move) - fit.to_photo(here), -1, 0))
        for move in ((dx or dy, 0.0), (0.0, dy or dx))
    ]
    known = np.stack(steps)[:, np.isfinite(steps[0]) & np.isfinite(steps[1])]
    if known.size == 0:
        return 1
    return int(np.clip(known.max(axis=0).min(), 1, 64))


def _bilinear(levels: npt.NDArray[np.uint8], places: FloatArray) -> npt.NDArray[np.uint8]:
    """Return the levels (m, 3) at places (m, 2), x and y from the corner of the first pixel."""
    h, w = levels.shape[:2]
    x, y = np.clip(places[:, 0] - 0.5, 0, w - 1), np.clip(places[:, 1] - 0.5, 0, h - 1)
    column, row = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(column + 1, w - 1), np.minimum(row + 1, h - 1)
    a, b = (x - column)[:, None], (y - row)[:, None]
    mixed = (1 - b) * ((1 - a) * levels[row, column] + a * levels[row, right])
    mixed += b * ((1 - a) * levels[below, column] + a * levels[below, right])
    return (mixed + 0.5).astype(np.uint8)
