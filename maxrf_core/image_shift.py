"""By how much one picture is shifted against another that overlaps it, to a fraction of a pixel.

Phase correlation (Kuglin and Hines 1975) gives a few candidates; a shift is known from it only
up to the size of the picture, so each candidate is tried in its four readings, and the one whose
overlap correlates best is taken (as in Preibisch et al., doi:10.1093/bioinformatics/btp184).
From there the shift that leaves the least squared difference is found by Gauss-Newton steps
(Lucas and Kanade 1981; brightness and contrast of the two may differ).

It misleads where there is nothing but a pattern that repeats, or that moves with the camera; of
pictures without texture it says so by a low correlation. A pair of 143 x 107 pixels takes
some milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

__all__ = ["Shift", "find_shift"]

FloatArray = npt.NDArray[np.float64]

PEAKS = 4
"""Candidates of the phase correlation that are looked at."""
SMALLEST_SHARE = 0.12
"""Overlap along each axis, of the picture's side, below which a candidate is not considered."""
STEPS = 12
CONVERGED = 0.002
"""Pixels."""
LARGEST_STEP = 2.5
"""Pixels that the refinement may go away from the whole-pixel shift; further, it went astray."""


@dataclass(frozen=True)
class Shift:
    """Where the object of the first picture lies in the second.

    Parameters
    ----------
    x, y : float
        Pixels to the right and downwards by which it has moved.
    correlation : float
        Of the two pictures where they overlap, -1 to 1; near 0 where there is no texture but
        noise.
    overlap : float
        Share of the picture that overlaps.
    """

    x: float
    y: float
    correlation: float
    overlap: float


def find_shift(first: FloatArray, second: FloatArray) -> Shift | None:
    """Return the shift between two pictures; None if none can be told.

    Parameters
    ----------
    first, second : (h, w) float64
        Grey levels, finite. Take off first what stays when the camera moves (shading, dust).
    """
    surface = _phase_correlation(first, second)
    best: tuple[float, int, int] | None = None
    for row, column in _peaks(surface):
        for dy in _readings(row, first.shape[0]):
            for dx in _readings(column, first.shape[1]):
                a, b = _overlap(first, second, dx, dy)
                found = _correlation(a, b)
                if best is None or found > best[0]:
                    best = found, dx, dy
    if best is None or best[0] <= 0:
        return None
    return _refined(first, second, best[1], best[2])


def _phase_correlation(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the surface (h, w), with a peak at the shift (modulo the size)."""
    h, w = first.shape
    # A window, or the pictures' edges would be what correlates.
    window = np.sqrt(np.hanning(h + 2)[1:-1][:, None] * np.hanning(w + 2)[1:-1])
    a = fft.rfft2((first - first.mean()) * window)
    b = fft.rfft2((second - second.mean()) * window)
    cross = b * np.conj(a)
    size = np.abs(cross)
    cross /= size + 1e-3 * size.mean() + 1e-300  # where there is no signal, no phase either
    # A camera has no detail finer than some pixels: what is there is noise.
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)
    cross *= np.exp(-(fx**2 + fy**2) / (2 * 0.15**2))
    return fft.irfft2(cross, s=(h, w))


def _peaks(surface: FloatArray) -> list[tuple[int, int]]:
    """Return row and column of the highest local maxima, the highest first."""
    tops = np.flatnonzero(ndimage.maximum_filter(surface, size=5, mode="wrap") == surface)
    highest = tops[np.argsort(surface.ravel()[tops], kind="stable")[::-1][:PEAKS]]
    return [divmod(int(place), surface.shape[1]) for place in highest]


def _readings(place: int, side: int) -> list[int]:
    """Return the shifts that a place in the surface may stand for, with enough overlap."""
    largest = side * (1 - SMALLEST_SHARE)
    return [shift for shift in (place, place - side) if abs(shift) <= largest]


def _overlap(
    first: FloatArray, second: FloatArray, dx: int, dy: int
) -> tuple[FloatArray, FloatArray]:
    """Return the parts of both pictures that show the same, if the shift is true."""
    h, w = first.shape
    a = first[max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
    b = second[max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)]
    return a, b


def _correlation(a: FloatArray, b: FloatArray) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def _refined(first: FloatArray, second: FloatArray, dx: int, dy: int) -> Shift | None:
    """Return the shift with the least squared difference, near a whole-pixel one."""
    a, b = _overlap(first, second, dx, dy)
    if min(a.shape) < 8:
        return None
    a = ndimage.gaussian_filter(a, 0.7)  # alike on both sides; it calms the gradients
    b = ndimage.spline_filter(ndimage.gaussian_filter(b, 0.7), order=3)
    inner = (slice(3, -3), slice(3, -3))
    rows, columns = np.indices(a.shape)[:, 3:-3, 3:-3]
    target = a[inner].ravel()
    target = target - target.mean()
    x = y = 0.0
    correlation = 0.0
    for _ in range(STEPS):
        places = np.stack([rows + y, columns + x])
        moved = ndimage.map_coordinates(b, places, order=3, mode="nearest", prefilter=False)
        gy, gx = np.gradient(moved)
        flat = moved.ravel() - moved.mean()
        design = np.column_stack([gx.ravel(), gy.ravel(), flat, np.ones(flat.size)])
        # target = flat + gx * step_x + gy * step_y, contrast and brightness free
        solved, _, rank, _ = np.linalg.lstsq(design, target, rcond=None)
        if rank < 3 or solved[2] <= 0:
            return None
        step_x, step_y = solved[:2] / solved[2]
        x, y = x + float(step_x), y + float(step_y)
        if max(abs(x), abs(y)) > LARGEST_STEP:
            return None
        correlation = _correlation(target, flat)
        if max(abs(step_x), abs(step_y)) < CONVERGED:
            break
    share = a.size / first.size
    return Shift(dx + x, dy + y, correlation, share)
