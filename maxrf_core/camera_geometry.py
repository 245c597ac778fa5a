"""Pixel size, orientation and delay of a scan's camera, from the overlap of its own frames.

A point of the object that is seen in two frames has moved by d pixels while the head moved by p
motor steps: d = -A p, where A (2, 2) holds size, turn and mirroring of the pixels. If the frames'
stamps are late by a constant delay, the head was elsewhere: p = p(stamps) - v delay, v being the
difference of the head's velocities. Within a row v is about 0, and A is seen along the row alone.
From row to row, run through there and back, v is large, so that the pairs of frames that
overlap across rows tell the rest of A, and the delay. All together are fitted by robust least
squares (Tukey's biweight; Holland and Welsch, doi:10.1080/03610927708827533).

The delay is looked for first where the head speeds up and brakes, which needs no second row.

Standard errors are those of the fit. Pairs that share frames, and positions that are wrong alike,
are not independent: on simulated scans the true errors were up to four times as large. The
fit misleads where the object shines or is far from flat. Where there is too little texture, the
file's own hint of the pixel size is taken, and the notes say so. Tried on simulated frames
only, not on a real file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from .camera import CameraFrames, FrameReader
from .camera_axes import CameraAxes, axes_matrix, axes_of
from .camera_delay import delay_along_rows, find_delay, pairs_at_moments
from .camera_pairs import FramePairs, pairs_across_rows, pairs_along_rows
from .errors import CronoFileError
from .plain_text import printable

__all__ = ["CameraGeometry", "estimate_geometry"]

FloatArray = npt.NDArray[np.float64]

FEWEST_PAIRS = 10
"""Pairs of frames that have to agree before the fit is believed."""
FEWEST_AGREEING = 0.5
"""Share of the measured pairs that have to."""
TUKEY = 4.685
"""Biweight's constant for 95 % efficiency on normal errors; Holland and Welsch, table 1."""
MAD_TO_SIGMA = 1.4826
SMALLEST_SIGMA = 0.02
"""Pixels: a shift is not found better."""
MOST_SIGMA = 3.0
"""Pixels: pairs that scatter more do not agree."""
ROUNDS = 20
STAGES = 4
UNLIKE_HINT = 0.2
"""By which share a measured pixel size differs from the file's hint before a note says so."""
_ONE_AXIS = (
    "Frames of neighbouring rows do not overlap, or show too little to be compared: the camera is "
    "taken to have square pixels and not to be mirrored."
)
_NO_TEXTURE = (
    "The camera frames cannot be compared (too little texture, or too few that overlap): the size "
    "of a pixel is the one that the file hints at, and the orientation is assumed, not measured."
)


@dataclass(frozen=True, eq=False)
class CameraGeometry:
    """How a camera's pixels lie in motor coordinates.

    Parameters
    ----------
    matrix : (2, 2) float64
        Motor steps (x, y) of a pixel to the right and of one downwards, in columns.
    delay : float
        Seconds by which the frames' stamps are later than the pictures.
    delay_error : float
        Its standard error; NaN if the delay was not measured.
    axes : CameraAxes
        Pixel size and orientation, read off the matrix.
    pixel_steps_error : tuple of float
        Standard errors of the two pixel sizes in motor steps; NaN for what was not measured.
    angle_error : float
        Standard error of the angle in degrees; NaN if it was not measured.
    source : {"overlap", "rows", "hint"}
        Whether all was measured, only what is seen along the rows, or nothing.
    n_pairs : int
        Pairs of frames that the fit is made of.
    residual : float
        Standard deviation of a pair's shift about the fit, in pixels; NaN without a fit.
    notes : tuple of str
        What was assumed, a sentence each.
    """

    matrix: FloatArray
    delay: float
    delay_error: float
    axes: CameraAxes
    pixel_steps_error: tuple[float, float]
    angle_error: float
    source: Literal["overlap", "rows", "hint"]
    n_pairs: int
    residual: float
    notes: tuple[str, ...] = field(default=())


def estimate_geometry(
    reader: FrameReader,
    shading: FloatArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> CameraGeometry:
    """Estimate how a camera's pixels lie in motor coordinates.

    Parameters
    ----------
    reader : FrameReader
        The frames.
    shading : (h, w) float64
        What stays when the camera moves; frames are divided by it.
    progress : callable, optional
        Called with the steps done and their total.

    Raises
    ------
    CronoFileError
        If neither the frames nor a hint in the file tell the size of a pixel.
    """
    tell = progress or (lambda _done, _total: None)
    geometry = _estimated(reader, shading, lambda done: tell(done, STAGES))
    tell(STAGES, STAGES)
    return geometry


def _estimated(
    reader: FrameReader, shading: FloatArray, tell: Callable[[int], None]
) -> CameraGeometry:
    """Estimate in stages, as far as what is seen allows."""
    frames = reader.frames
    tell(0)
    start = delay_along_rows(frames, pairs_at_moments(reader, shading))
    along = pairs_along_rows(reader, shading, delay=start)
    first = _fitted(along, ("way",))
    tell(1)
    if first is None:
        return _from_hint(frames)
    delay = find_delay(reader, shading, along, -first.solved[0], start=start)
    tell(2)
    if delay is None:
        return _from_rows(frames, along, first, start)
    along = pairs_along_rows(reader, shading, delay=delay)
    tell(3)
    across = pairs_across_rows(reader, shading, along, delay=delay)
    if (_fitted(across, ("x", "y", "speed"))) is None:
        return _from_rows(frames, along, first, start)
    return _from_all(frames, along.joined(across), delay)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Robust least squares: solved (k, 2) takes the columns to shifts; covariance (k, k)."""

    solved: FloatArray
    covariance: FloatArray
    sigma: float
    n: int


def _fitted(pairs: FramePairs, columns: tuple[str, ...]) -> _Fit | None:
    """Fit the shifts to the pairs' columns; None if too few pairs agree."""
    design = np.column_stack([pairs.column(name) for name in columns])
    if len(design) < FEWEST_PAIRS or np.linalg.matrix_rank(_scaled(design), tol=1e-3) < len(
        columns
    ):
        return None
    weights = np.ones(len(design))
    sigma = np.inf
    for turn in range(2 * ROUNDS):
        root = np.sqrt(weights)[:, None]
        solved = np.linalg.lstsq(design * root, pairs.shifts * root, rcond=None)[0]
        away = np.hypot(*(pairs.shifts - design @ solved).T)
        # of a length in two dimensions the median is 1.1774 sigma
        sigma = max(float(np.median(away)) / 1.1774, SMALLEST_SIGMA)
        if turn < ROUNDS:  # least absolute distances first, which outliers do not move
            weights = 1.0 / np.maximum(away, 0.1 * sigma)
        else:
            weights = np.clip(1.0 - (away / (TUKEY * sigma)) ** 2, 0.0, None) ** 2
    agreeing = int((weights > 0).sum())
    if np.average((pairs.shifts**2).sum(axis=1), weights=weights) < 1.0:
        return None  # pixels squared: the frames agree that nothing moved
    if agreeing < max(FEWEST_PAIRS, FEWEST_AGREEING * len(design)) or sigma > MOST_SIGMA:
        return None
    try:
        inverse = np.linalg.inv(design.T @ (design * weights[:, None]))
    except np.linalg.LinAlgError:
        return None
    residual = pairs.shifts - design @ solved
    spread = float(np.sqrt((weights[:, None] * residual**2).sum() / (2 * weights.sum())))
    spread = max(spread, SMALLEST_SIGMA)
    return _Fit(solved, inverse * spread**2, spread, agreeing)


def _scaled(design: FloatArray) -> FloatArray:
    size = np.sqrt((design**2).mean(axis=0))
    return design / np.where(size > 0, size, 1.0) / np.sqrt(len(design))


def _from_all(frames: CameraFrames, pairs: FramePairs, delay: float) -> CameraGeometry:
    """Fit matrix and delay to all pairs, at places that the delay moves."""
    for _ in range(4):
        fit = _fitted(pairs, ("x", "y", "speed"))
        if fit is None:
            return _from_hint(frames)
        inverse = -fit.solved[:2].T  # pixels a step
        along = inverse @ pairs.direction
        change = float(fit.solved[2] @ along / (along @ along))
        delay += change
        pairs = pairs.at_delay(frames, delay)
    matrix = np.linalg.inv(inverse)
    sizes, angle = _axes_errors(inverse, fit.covariance[:2, :2])
    geometry = CameraGeometry(
        matrix=matrix,
        delay=delay,
        delay_error=float(np.sqrt(fit.covariance[2, 2]) / np.hypot(*along)),
        axes=axes_of(matrix),
        pixel_steps_error=sizes,
        angle_error=angle,
        source="overlap",
        n_pairs=fit.n,
        residual=fit.sigma,
    )
    return _held_against_hint(geometry, frames)


def _axes_errors(inverse: FloatArray, covariance: FloatArray) -> tuple[tuple[float, float], float]:
    """Return standard errors of the pixel sizes and the angle, to first order.

    Each row of `inverse` (pixels a step) has the covariance (2, 2).
    """
    base = axes_of(np.linalg.inv(inverse))
    variances = np.zeros(3)
    nudge = 1e-6 * float(np.abs(inverse).max())
    for row in range(2):
        slopes = np.empty((3, 2))
        for column in range(2):
            moved = inverse.copy()
            moved[row, column] += nudge
            axes = axes_of(np.linalg.inv(moved))
            slopes[:2, column] = np.subtract(axes.pixel_steps, base.pixel_steps) / nudge
            slopes[2, column] = (axes.angle_degrees - base.angle_degrees) / nudge
        variances += np.einsum("ij,jk,ik->i", slopes, covariance, slopes)
    x, y, angle = np.sqrt(variances).tolist()
    return (x, y), angle


def _from_rows(frames: CameraFrames, pairs: FramePairs, fit: _Fit, delay: float) -> CameraGeometry:
    """Return a geometry whose second axis is assumed: square pixels, not mirrored.

    The delay shows where the head speeds up and brakes.
    """
    delay_error = float("nan")
    for _ in range(4):
        pairs = pairs.at_delay(frames, delay)
        both = _fitted(pairs, ("way", "speed"))
        if both is None:
            break
        fit = both
        delay -= float(fit.solved[1] @ fit.solved[0] / (fit.solved[0] @ fit.solved[0]))
        delay_error = float(np.sqrt(fit.covariance[1, 1]) / np.hypot(*fit.solved[0]))
    along = -fit.solved[0]  # pixels that a step of the head along the rows is
    step = complex(*along) / abs(complex(*along)) ** 2  # steps a pixel, in the picture's axes
    # The picture's direction `along` is the rows' direction; a picture is not mirrored if image
    # y runs against motor y, so the axes turn the other way round in it.
    direction = complex(*pairs.direction)
    right = direction * step  # conjugate of conjugate: motor steps of one pixel to the right
    matrix = np.array([[right.real, right.imag], [right.imag, -right.real]])
    axes = axes_of(matrix)
    error = float(np.sqrt(fit.covariance[0, 0])) * abs(step)
    size_error = error * axes.pixel_steps[0]
    geometry = CameraGeometry(
        matrix=matrix,
        delay=delay,
        delay_error=delay_error,
        axes=axes,
        pixel_steps_error=(size_error, float("nan")),
        angle_error=float(np.degrees(error)),
        source="rows",
        n_pairs=fit.n,
        residual=fit.sigma,
        notes=(_ONE_AXIS,),
    )
    return _held_against_hint(geometry, frames)


def _from_hint(frames: CameraFrames) -> CameraGeometry:
    """Return what the file hints at: a pixel size, seen as the plots show the object."""
    if frames.pixel_size_hint is None:
        raise CronoFileError(
            f"{printable(frames.filename)}: the camera frames cannot be compared (too little "
            "texture, or too few that overlap), and the file does not hint at the size of a pixel. "
            "Lay a photo on the map instead."
        )
    nan = float("nan")
    matrix = axes_matrix(frames.pixel_size_hint)
    return CameraGeometry(
        matrix=matrix,
        delay=0.0,
        delay_error=nan,
        axes=axes_of(matrix),
        pixel_steps_error=(nan, nan),
        angle_error=nan,
        source="hint",
        n_pairs=0,
        residual=nan,
        notes=(_NO_TEXTURE,),
    )


def _held_against_hint(geometry: CameraGeometry, frames: CameraFrames) -> CameraGeometry:
    """Add a note if the file hints at another pixel size."""
    hint = frames.pixel_size_hint
    measured = geometry.axes.pixel_steps
    if (
        hint is None
        or max(abs(m / h - 1) for m, h in zip(measured, hint, strict=True)) <= UNLIKE_HINT
    ):
        return geometry
    note = (
        f"A pixel is {measured[0]:.4g} x {measured[1]:.4g} motor steps by the frames' overlap; the "
        f"file hints at {hint[0]:.4g} x {hint[1]:.4g}, which is left aside."
    )
    return replace(geometry, notes=(*geometry.notes, note))
