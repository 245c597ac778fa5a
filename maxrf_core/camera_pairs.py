"""Pairs of camera frames that overlap, and by how much the object moved from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from .camera import CameraFrames, FrameReader
from .frame_header import FrameError
from .image_shift import Shift, find_shift
from .motor_track import Place

__all__ = [
    "SHIFT_SHARE",
    "TRIES",
    "FramePairs",
    "PairMeasurer",
    "frame_shading",
    "frames_apart",
    "head_velocities",
    "pairs_across_rows",
    "pairs_along_rows",
    "spread",
    "usual_move",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LONGEST_SIDE = 320
"""Pixels of a frame that are compared; larger ones are averaged down."""
SHADING_FRAMES = 120
PAIRS_ALONG = 100
PAIRS_ACROSS = 160
TRIES = 3
"""Times as many pairs are looked at as are wanted, where some show nothing or are broken."""
GOOD_CORRELATION = 0.6
"""Of two frames where they overlap; what belongs together had 0.9 and more on simulated ones."""
GOOD_OVERLAP = 0.15
SHIFT_SHARE = 0.35
"""Of a frame's width: how far apart the frames of a pair should be."""
MAX_STEPS_APART = 12
HALF_MOMENT = 0.005
"""Seconds before and after, between which a velocity is measured."""


@dataclass(frozen=True, eq=False)
class FramePairs:
    """Pairs of frames, the shifts between them, and the head's ways.

    Parameters
    ----------
    frames : (m, 2) int64
        Numbers of the two frames.
    shifts : (m, 2) float64
        By how many pixels to the right and down the object moved from the first to the second.
    ways : (m, 2) float64
        By how many motor steps in x and y the head moved.
    velocities : (m, 2) float64
        Its velocity at the second less that at the first, in steps a second.
    direction : (2,) float64
        Unit vector along the rows.
    """

    frames: IntArray = field(repr=False)
    shifts: FloatArray = field(repr=False)
    ways: FloatArray = field(repr=False)
    velocities: FloatArray = field(repr=False)
    direction: FloatArray

    def column(self, name: str) -> FloatArray:
        """Return a column (m,) of the regression: x, y, way (along the rows) or speed."""
        values = {"x": self.ways[:, 0], "y": self.ways[:, 1]}
        values |= {"way": self.ways @ self.direction, "speed": self.velocities @ self.direction}
        return values[name]

    def joined(self, other: FramePairs) -> FramePairs:
        """Return these pairs and others."""
        return replace(
            self,
            frames=np.vstack([self.frames, other.frames]),
            shifts=np.vstack([self.shifts, other.shifts]),
            ways=np.vstack([self.ways, other.ways]),
            velocities=np.vstack([self.velocities, other.velocities]),
        )

    def at_delay(self, frames: CameraFrames, delay: float) -> FramePairs:
        """Return the pairs whose places are known with another delay, with their ways then."""
        ways, velocities = _ways(frames, self.frames, delay)
        known = np.isfinite(ways).all(axis=1) & np.isfinite(velocities).all(axis=1)
        return FramePairs(
            self.frames[known], self.shifts[known], ways[known], velocities[known], self.direction
        )


def frame_shading(reader: FrameReader) -> FloatArray:
    """Return what stays in the frames while the camera moves, (h, w), with mean 1.

    It is the median over frames from all of the scan: the lamp's shading, dust, a cross in
    the middle.
    """
    _, places = reader.frames.positions()
    numbers = np.flatnonzero(places == Place.KNOWN)
    chosen = numbers[spread(numbers.size, SHADING_FRAMES)]
    pictures = [grey for number in chosen if (grey := _grey(reader, int(number))) is not None]
    if not pictures:
        width, height = reader.frames.size
        return np.ones((height, width))
    shading = np.median(np.stack(pictures), axis=0).astype(np.float64)
    mean = shading.mean()
    return np.clip(shading / mean, 0.1, 10.0) if mean > 0 else np.ones_like(shading)


def pairs_along_rows(reader: FrameReader, shading: FloatArray, *, delay: float) -> FramePairs:
    """Return pairs of frames soon after one another, from all of the scan, that can be compared.

    Parameters
    ----------
    reader : FrameReader
        The frames.
    shading : (h, w) float64
        What stays in them while the camera moves.
    delay : float
        Of their stamps, in seconds.
    """
    frames = reader.frames
    positions, _ = frames.positions(delay)
    rows = frames.track.rows(frames.seconds - delay)
    usual, direction = usual_move(frames, delay)
    apart = frames_apart(frames, usual)
    numbers = np.arange(frames.seconds.size - apart)
    far = np.hypot(*(positions[numbers + apart] - positions[numbers]).T) > 0.3 * usual * apart
    same = rows[numbers + apart] == rows[numbers]
    numbers = numbers[far & same]  # NaN is not far
    numbers = numbers[spread(numbers.size, TRIES * PAIRS_ALONG)]
    candidates = np.column_stack([numbers, numbers + apart])
    return PairMeasurer(reader, shading).pairs(candidates, direction, delay, PAIRS_ALONG)


def pairs_across_rows(
    reader: FrameReader, shading: FloatArray, along: FramePairs, *, delay: float
) -> FramePairs:
    """Return pairs of frames from neighbouring rows that can be compared.

    Parameters
    ----------
    reader, shading, delay
        As in `pairs_along_rows`.
    along : FramePairs
        Pairs along the rows, whose shifts tell how far apart frames may be.
    """
    frames = reader.frames
    positions, places = frames.positions(delay)
    rows = frames.track.rows(frames.seconds - delay)
    numbers = np.flatnonzero(places == Place.KNOWN)
    way = positions @ along.direction
    # aims spread over a share of a frame, so that not all pairs tell the same
    reach = SHIFT_SHARE * _frame_way(frames, along)
    firsts = numbers[spread(numbers.size, TRIES * PAIRS_ACROSS)]
    aims = reach * np.resize([-1.0, 0.0, 1.0, -0.5, 0.5], firsts.size)
    candidates = []
    for first, aim in zip(firsts, aims, strict=True):
        others = numbers[rows[numbers] == rows[first] + 1]
        if others.size:
            second = others[np.argmin(np.abs(way[others] - way[first] - aim))]
            if abs(way[second] - way[first]) < 2 * reach:
                candidates.append((first, second))
    pairs = np.array(candidates, dtype=np.int64).reshape(-1, 2)
    return PairMeasurer(reader, shading).pairs(pairs, along.direction, delay, PAIRS_ACROSS)


class PairMeasurer:
    """Measures shifts between frames; keeps the last few pictures."""

    def __init__(self, reader: FrameReader, shading: FloatArray) -> None:
        self._reader = reader
        self._reduce = -(-max(reader.frames.size) // LONGEST_SIDE)
        self._shading = shading

    def shift(self, first: int, second: int) -> Shift | None:
        """Return the shift in pixels of the frames, if it can be relied on."""
        a, b = self._picture(first), self._picture(second)
        if a is None or b is None:
            return None
        found = find_shift(a, b)
        if found is None or found.correlation < GOOD_CORRELATION or found.overlap < GOOD_OVERLAP:
            return None
        return replace(found, x=found.x * self._reduce, y=found.y * self._reduce)

    def pairs(
        self, candidates: IntArray, direction: FloatArray, delay: float | None, most: int
    ) -> FramePairs:
        """Return up to `most` of the candidates (m, 2), those whose shift can be relied on.

        With a delay only those whose ways are known then; without, all, and no ways.
        """
        kept, shifts = [], []
        # in an order in which any beginning is from all of the scan
        order = np.random.default_rng(0).permutation(len(candidates))
        for first, second in candidates[order].tolist():
            if len(kept) == most:
                break
            if (found := self.shift(first, second)) is not None:
                kept.append((first, second))
                shifts.append((found.x, found.y))
        frames = np.array(kept, dtype=np.int64).reshape(-1, 2)
        shift = np.array(shifts, dtype=np.float64).reshape(-1, 2)
        unknown = np.full_like(shift, np.nan)
        pairs = FramePairs(frames, shift, unknown, unknown, direction)
        return pairs if delay is None else pairs.at_delay(self._reader.frames, delay)

    def _picture(self, number: int) -> FloatArray | None:
        grey = _grey(self._reader, number)
        if grey is None:
            return None
        flat = grey / self._shading
        k = self._reduce
        if k == 1:
            return flat
        h, w = (side // k for side in flat.shape)
        return flat[: h * k, : w * k].reshape(h, k, w, k).mean(axis=(1, 3))


def _grey(reader: FrameReader, number: int) -> FloatArray | None:
    """Return the grey levels of a frame; None if it cannot be decoded."""
    try:
        return reader.image(number).mean(axis=2, dtype=np.float64)
    except FrameError:
        return None


def _ways(frames: CameraFrames, pairs: IntArray, delay: float) -> tuple[FloatArray, FloatArray]:
    """Return by how much position and velocity change from the first to the second frames."""
    moments = frames.seconds[pairs] - delay
    first, second = (frames.track.at(moments[:, side])[0] for side in (0, 1))
    velocities = [head_velocities(frames, moments[:, side]) for side in (0, 1)]
    return second - first, velocities[1] - velocities[0]


def head_velocities(frames: CameraFrames, moments: FloatArray) -> FloatArray:
    """Return the head's velocity (m, 2) in steps a second; NaN at the ends of a row."""
    before, _ = frames.track.at(moments - HALF_MOMENT)
    after, _ = frames.track.at(moments + HALF_MOMENT)
    return (after - before) / (2 * HALF_MOMENT)


def _frame_way(frames: CameraFrames, along: FramePairs) -> float:
    """Return the motor steps that a frame is wide, by pairs along the rows."""
    steps = np.hypot(*along.ways.T) / np.maximum(np.hypot(*along.shifts.T), 1e-3)
    return float(np.median(steps)) * max(frames.size)


def usual_move(frames: CameraFrames, delay: float) -> tuple[float, FloatArray]:
    """Return the steps between two frames where the head is fast, and the rows' direction (2,)."""
    positions, _ = frames.positions(delay)
    rows = frames.track.rows(frames.seconds - delay)
    moves = np.diff(positions, axis=0)
    moves = moves[np.isfinite(moves).all(axis=1) & (rows[1:] == rows[:-1])]
    if not len(moves):
        return 0.0, np.array([1.0, 0.0])
    direction = np.linalg.svd(moves, full_matrices=False)[2][0]
    return float(np.quantile(np.hypot(*moves.T), 0.9)), direction


def frames_apart(frames: CameraFrames, usual: float) -> int:
    """Return how many frames apart two should be; 1 if the file does not hint at their size."""
    if frames.pixel_size_hint is None or usual <= 0:
        return 1
    wanted = SHIFT_SHARE * max(frames.size) * max(frames.pixel_size_hint)
    return int(np.clip(round(wanted / usual), 1, MAX_STEPS_APART))


def spread(n: int, most: int) -> IntArray:
    """Return up to `most` of the numbers below n, evenly spread."""
    return (
        np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
        if n
        else np.zeros(0, dtype=np.int64)
    )
