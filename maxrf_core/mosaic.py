"""The camera frames of a scan stitched into one picture, registered with its map.

Each frame is laid where the head was when it was taken, by the geometry of `camera_geometry`,
and what overlaps is averaged, the middle of a frame weighing more than its edge. So the
mosaic has motor coordinates as the map has, up to one constant shift, which nothing in the
file tells: by how much the camera looks beside the X-ray spot. It is 0 unless given (`shift`);
read it off one place that is seen in both.

Of the video only as many frames are taken as cover the scan with some overlap. Memory is that of
the finished picture and of one band of it; time is some milliseconds a frame. Positions
that are wrong by a pixel or two blur it as much. Not tried on a real file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil, sqrt
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .camera import CameraFrames, FrameReader, open_frames, read_camera
from .camera_geometry import CameraGeometry, estimate_geometry
from .camera_pairs import frame_shading
from .errors import CronoFileError, ParameterError
from .frame_header import FrameError
from .motor_track import Place
from .plain_text import printable
from .progress import Progress

__all__ = ["MAX_MOSAIC_PIXELS", "Mosaic", "make_mosaic"]

FloatArray = npt.NDArray[np.float64]
Report = Callable[[Progress], None]

MAX_MOSAIC_PIXELS = 40_000_000
"""160 MB with its mask."""
FINEST = 0.25
"""Of a camera pixel: a finer mosaic shows nothing more."""
SPACING = 0.4
"""Of a frame's width and height: how far apart the frames are that are taken."""
BAND_BYTES = 64_000_000
BYTES_A_PIXEL = 16
"""Of a band: weighted red, green, blue and the weights in float32."""
LARGEST_SHIFT = 1e7


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A picture in motor coordinates.

    Parameters
    ----------
    picture : (h, w, 3) uint8
        Red, green and blue; row 0 has the smallest y, as in a map. Black where nothing was seen.
    covered : (h, w) bool
        Where something was seen.
    left, bottom : float
        Motor x and y of the outer edges of column 0 and row 0, in steps.
    step : float
        Motor steps of a pixel, along x as along y.
    about : mapping
        How it was made, JSON-serialisable: see `make_mosaic`.
    """

    picture: npt.NDArray[np.uint8] = field(repr=False)
    covered: npt.NDArray[np.bool_] = field(repr=False)
    left: float
    bottom: float
    step: float
    about: Mapping[str, Any]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top edge in motor steps, as holoviews has them."""
        h, w = self.covered.shape
        return self.left, self.bottom, self.left + w * self.step, self.bottom + h * self.step


def make_mosaic(
    filename: str | PathLike[str],
    *,
    step: float | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
    progress: Report | None = None,
) -> Mosaic:
    """Stitch the camera frames of a Crono file.

    Parameters
    ----------
    filename : str or PathLike
        The Crono HDF5 file.
    step : float, optional
        Motor steps of a pixel of the mosaic; by default those of the camera, or as many
        as keep it below `MAX_MOSAIC_PIXELS`.
    shift : tuple of float, optional
        Motor steps in x and y by which the camera looks beside the X-ray spot.
    progress : callable, optional
        Called with a `Progress`. What it raises stops the work.

    Returns
    -------
    Mosaic
        Its `about` has the source's name, the numbers of frames (`frames`, those `used`, those
        `skipped` by reason, those without a `position`), and the camera: `matrix`, `delay`,
        `pixel_steps`, `quarter_turns`, `mirrored`, `angle_degrees`, their errors (None if
        not measured), `measured` (overlap, rows or hint) and `notes`.

    Raises
    ------
    CronoFileError
        If the file cannot be read, has no usable frames, or too little in them and no hint.
    ParameterError
        If `step` or `shift` make no sense.
    """
    if not (len(shift) == 2 and all(abs(value) <= LARGEST_SHIFT for value in shift)):
        raise ParameterError(
            f"shift is {shift!r}, expected two numbers of motor steps up to {LARGEST_SHIFT:g}."
        )
    if step is not None and not 0 < step < LARGEST_SHIFT:
        raise ParameterError(f"step is {step!r}, expected motor steps a pixel, above 0.")
    tell = _teller(progress)
    frames = read_camera(filename, progress=tell("frames"))
    with open_frames(frames) as reader:
        shading = frame_shading(reader)
        geometry = estimate_geometry(reader, shading, progress=tell("camera"))
        plan = _plan(frames, geometry, step, shift)
        picture, covered, used = _stitched(reader, shading, plan, tell("mosaic"))
    if not covered.any():
        raise CronoFileError(
            f"{printable(filename)}: none of {plan.numbers.size} camera frames can be decoded. "
            "Copy the file again from the scanner, or lay a photo on the map instead."
        )
    return Mosaic(
        picture=picture,
        covered=covered,
        left=plan.left,
        bottom=plan.bottom,
        step=plan.step,
        about=_about(frames, geometry, shift, used),
    )


def _teller(progress: Report | None) -> Callable[[str], Callable[[int, int], None]]:
    """Return the function that makes, for a stage, the function to tell its steps."""

    def of(stage: str) -> Callable[[int, int], None]:
        def tell(done: int, total: int) -> None:
            if progress is not None:
                progress(Progress(stage, done, total))

        return tell

    return of


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which frames go where: their numbers and middles (m, 2), and the grid."""

    numbers: npt.NDArray[np.int64]
    middles: FloatArray
    matrix: FloatArray
    half: FloatArray  # of a frame along motor x and y, in steps
    left: float
    bottom: float
    step: float
    shape: tuple[int, int]


def _plan(
    frames: CameraFrames,
    geometry: CameraGeometry,
    step: float | None,
    shift: tuple[float, float],
) -> _Plan:
    """Choose frames and grid."""
    positions, places = frames.positions(geometry.delay)
    known = np.flatnonzero(places == Place.KNOWN)
    if not known.size:
        raise CronoFileError(
            f"{printable(frames.filename)}: none of its {len(places)} camera frames was taken "
            "while spectra were, so their places are not known. Lay a photo on the map instead."
        )
    middles = positions[known] + np.array(shift)
    half = np.abs(geometry.matrix) @ np.array(frames.size) / 2
    chosen = _spaced(middles, 2 * SPACING * half)
    numbers, middles = known[chosen], middles[chosen]
    low, high = middles.min(axis=0) - half, middles.max(axis=0) + half
    pixel = min(geometry.axes.pixel_steps)
    coarsest = sqrt(float(np.prod(high - low)) / MAX_MOSAIC_PIXELS)
    size = max(float(np.mean(geometry.axes.pixel_steps)), coarsest) if step is None else step
    if size < max(FINEST * pixel, coarsest):
        raise ParameterError(
            f"A mosaic of {size:g} motor steps a pixel is finer than makes sense: a pixel of the "
            f"camera has {pixel:.4g}, and {MAX_MOSAIC_PIXELS} pixels are allowed in all. Choose "
            f"{max(FINEST * pixel, coarsest):.4g} or more."
        )
    columns, rows = (max(1, ceil(side)) for side in (high - low) / size)
    return _Plan(
        numbers, middles, geometry.matrix, half, float(low[0]), float(low[1]), size, (rows, columns)
    )


def _spaced(middles: FloatArray, spacing: FloatArray) -> npt.NDArray[np.int64]:
    """Return the frames nearest to the middles of cells of this size, one for each cell."""
    cells = np.floor((middles - middles.min(axis=0)) / spacing)
    away = np.hypot(*((middles - middles.min(axis=0)) / spacing - cells - 0.5).T)
    order = np.lexsort((away, cells[:, 0], cells[:, 1]))
    first = np.r_[True, (np.diff(cells[order], axis=0) != 0).any(axis=1)]
    return order[first]


def _stitched(
    reader: FrameReader,
    shading: FloatArray,
    plan: _Plan,
    tell: Callable[[int, int], None],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], int]:
    """Return the picture, where it is covered, and the number of frames in it."""
    rows, columns = plan.shape
    reduce = int(np.clip(plan.step / np.hypot(*plan.matrix).min(), 1, min(shading.shape) // 8 or 1))
    lens = _Lens(shading, plan.matrix, reduce)
    picture = np.zeros((rows, columns, 3), dtype=np.uint8)
    covered = np.zeros((rows, columns), dtype=np.bool_)
    band = max(1, BAND_BYTES // (BYTES_A_PIXEL * columns))
    spans = _spans(plan)
    used: set[int] = set()
    visits = [
        (first, np.flatnonzero((spans[:, 0] < first + band) & (spans[:, 1] > first)))
        for first in range(0, rows, band)
    ]
    total, done = sum(len(inside) for _, inside in visits), 0
    for first, inside in visits:
        last = min(first + band, rows)
        sums = np.zeros((last - first, columns, 4), dtype=np.float32)
        for index in inside:
            number = int(plan.numbers[index])
            try:
                levels = reader.image(number, reduce=reduce)
            except FrameError:  # the JPEG is broken behind its header; others overlap it
                levels = None
            if levels is not None:
                used.add(number)
                _add(
                    sums, lens, levels, plan, plan.middles[index], (first, last, *spans[index, 2:])
                )
            done += 1
            tell(done, total)
        weights = sums[..., 3]
        covered[first:last] = weights > 0
        np.divide(
            sums[..., :3], weights[..., None], out=sums[..., :3], where=weights[..., None] > 0
        )
        picture[first:last] = np.clip(np.rint(sums[..., :3]), 0, 255).astype(np.uint8)
    return picture, covered, len(used)


def _spans(plan: _Plan) -> npt.NDArray[np.int64]:
    """Return first and last row, first and last column of each frame on the grid, (m, 4)."""
    corner = np.array([plan.left, plan.bottom])
    low = np.floor((plan.middles - plan.half - corner) / plan.step).astype(np.int64)
    high = np.ceil((plan.middles + plan.half - corner) / plan.step).astype(np.int64)
    rows, columns = plan.shape
    low, high = np.maximum(low, 0), np.minimum(high, [columns, rows])
    return np.column_stack([low[:, 1], high[:, 1], low[:, 0], high[:, 0]])


class _Lens:
    """What all frames have in common: shading, weights, and the way from steps to pixels."""

    def __init__(self, shading: FloatArray, matrix: FloatArray, reduce: int) -> None:
        height, width = shading.shape
        h, w = height // reduce, width // reduce
        blocks = shading[: h * reduce, : w * reduce].reshape(h, reduce, w, reduce)
        self.shading = blocks.mean(axis=(1, 3)).astype(np.float32)[..., None]
        self.inverse = np.linalg.inv(matrix * reduce)
        self.middle = np.array([width, height]) / 2 / reduce - 0.5
        self.size = w, h
        across, down = (1 - np.abs(np.arange(n) + 0.5 - n / 2) / (n / 2) for n in (w, h))
        self.weights = (down[:, None] * across).astype(np.float32) ** 2


def _add(
    sums: npt.NDArray[np.float32],
    lens: _Lens,
    levels: npt.NDArray[np.uint8],
    plan: _Plan,
    middle: FloatArray,
    span: tuple[int, ...],
) -> None:
    """Add a frame's weighted levels and weights to a band: rows and columns of `span`."""
    first, last, left, right = span
    low = max(first, int((middle[1] - plan.half[1] - plan.bottom) // plan.step))
    high = min(last, ceil((middle[1] + plan.half[1] - plan.bottom) / plan.step))
    x = plan.left + (np.arange(left, right) + 0.5) * plan.step - middle[0]
    y = plan.bottom + (np.arange(low, high) + 0.5) * plan.step - middle[1]
    across = lens.inverse[0, 0] * x + lens.inverse[0, 1] * y[:, None] + lens.middle[0]
    down = lens.inverse[1, 0] * x + lens.inverse[1, 1] * y[:, None] + lens.middle[1]
    w, h = lens.size
    inside = (across >= 0) & (across <= w - 1) & (down >= 0) & (down <= h - 1)
    places = np.stack([down[inside], across[inside]])
    weights = ndimage.map_coordinates(lens.weights, places, order=1)
    flat = levels / lens.shading
    target = sums[low - first : high - first, left:right]
    for channel in range(3):
        found = ndimage.map_coordinates(flat[..., channel], places, order=1)
        target[..., channel][inside] += weights * found
    target[..., 3][inside] += weights


def _about(
    frames: CameraFrames, geometry: CameraGeometry, shift: tuple[float, float], used: int
) -> dict[str, Any]:
    """Return how a mosaic was made, as JSON can hold it."""
    _, places = frames.positions(geometry.delay)
    axes = geometry.axes
    return {
        "source": frames.filename.name,
        "frames": int(frames.elements.size),
        "used": used,
        "without_position": int((places != Place.KNOWN).sum()),
        "skipped": dict(frames.skipped),
        "shift": [float(value) for value in shift],
        "measured": geometry.source,
        "matrix": geometry.matrix.tolist(),
        "delay": geometry.delay,
        "delay_error": _number(geometry.delay_error),
        "pixel_steps": list(axes.pixel_steps),
        "pixel_steps_error": [_number(value) for value in geometry.pixel_steps_error],
        "quarter_turns": axes.quarter_turns,
        "mirrored": axes.mirrored,
        "angle_degrees": axes.angle_degrees,
        "angle_error": _number(geometry.angle_error),
        "skew_degrees": axes.skew_degrees,
        "pairs": geometry.n_pairs,
        "residual_pixels": _number(geometry.residual),
        "notes": list(geometry.notes),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
