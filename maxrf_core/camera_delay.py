"""By how much the stamps of a camera's frames are late against the head's positions.

Two ways, neither of which needs to know how the camera lies: the object stands still in the
frames when the head does and moves when it moves; and frames of two neighbouring rows show the
same when the head was at the same place, which it passed in opposite directions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .camera import CameraFrames, FrameReader
from .camera_pairs import (
    SHIFT_SHARE,
    TRIES,
    FramePairs,
    PairMeasurer,
    frames_apart,
    head_velocities,
    spread,
    usual_move,
)

__all__ = ["delay_along_rows", "find_delay", "pairs_at_moments"]

FloatArray = npt.NDArray[np.float64]

PAIRS_AT_MOMENTS = 200
FEWEST_KNOWN = 20
"""Of the pairs, whose places have to be known at a delay."""
MAX_DELAY = 1.0
"""Seconds that are searched for the delay, either way."""
ANCHORS = 8
DELAY_STEP = 1 / 60
"""Seconds; half the time between two frames."""


def pairs_at_moments(reader: FrameReader, shading: FloatArray) -> FramePairs:
    """Return pairs of frames soon after one another from all of the scan, moving or not."""
    frames = reader.frames
    seconds = frames.track.seconds
    within = (frames.seconds > seconds[0] - MAX_DELAY) & (frames.seconds < seconds[-1] + MAX_DELAY)
    usual, direction = usual_move(frames, 0.0)
    apart = frames_apart(frames, usual)
    numbers = np.flatnonzero(within[:-apart])
    numbers = numbers[spread(numbers.size, TRIES * PAIRS_AT_MOMENTS)]
    candidates = np.column_stack([numbers, numbers + apart])
    return PairMeasurer(reader, shading).pairs(candidates, direction, None, PAIRS_AT_MOMENTS)


def delay_along_rows(frames: CameraFrames, moments: FramePairs) -> float:
    """Return the delay in seconds at which the shifts fit the head's ways best.

    It shows where the head speeds up and brakes, to about a frame's time. 0 if it does not show.

    Parameters
    ----------
    frames : CameraFrames
        The frames.
    moments : FramePairs
        Pairs from all of the scan, as `pairs_at_moments` returns them.
    """
    delays = np.arange(-MAX_DELAY, MAX_DELAY, DELAY_STEP)
    delays = delays[np.argsort(np.abs(delays), kind="stable")]
    tried = [_misfit(moments.at_delay(frames, delay)) for delay in delays]
    misfits, lengths = np.array(tried).T
    # Where the head rests at both ends of all pairs, anything fits.
    relative = np.where(lengths > 0.3 * lengths.max(), misfits / np.maximum(lengths, 0.1), np.nan)
    if not np.isfinite(relative).any():
        return 0.0
    return float(delays[np.nanargmin(relative)])


def _misfit(pairs: FramePairs) -> tuple[float, float]:
    """Return by how much shifts are off proportion to the ways, and their mean length (pixels).

    Ways are robustly fitted to shifts; each misfit counts as twice the mean length at most.
    """
    way = pairs.column("way")
    if way.size < FEWEST_KNOWN or not way.any():
        return np.nan, 0.0
    weights = np.ones(way.size)
    for _ in range(8):
        scale = (weights * way) @ pairs.shifts / (weights @ way**2)
        away = np.hypot(*(pairs.shifts - way[:, None] * scale).T)
        weights = 1.0 / np.maximum(away, 0.1)
    length = float(np.hypot(*pairs.shifts.T).mean())
    return float(np.minimum(away, 2 * length).mean()), length


def find_delay(
    reader: FrameReader,
    shading: FloatArray,
    along: FramePairs,
    pixels_a_step: FloatArray,
    *,
    start: float,
) -> float | None:
    """Return the delay of the stamps in seconds, to some milliseconds; None if none shows.

    Frames of one row are held against those of the next that show the same if the delay is
    `start`, then if it is a little more or less, until most find a partner that agrees.

    Parameters
    ----------
    reader, shading
        As in `pairs_along_rows`.
    along : FramePairs
        Pairs along the rows.
    pixels_a_step : (2,) float64
        How many pixels to the right and down a step of the head along the rows is.
    start : float
        Where to begin, in seconds.
    """
    frames = reader.frames
    moments = frames.seconds - start
    positions, _ = frames.positions(start)
    velocities = head_velocities(frames, moments)
    way, speed = positions @ along.direction, velocities @ along.direction
    rows = frames.track.rows(moments)
    if not np.isfinite(speed).any():
        return None
    fast = np.flatnonzero(np.abs(speed) > 0.7 * np.nanquantile(np.abs(speed), 0.9))
    fast = fast[rows[fast] < rows[-1]] if fast.size else fast
    anchors = fast[spread(fast.size, ANCHORS)]
    if not anchors.size:
        return None
    measurer = PairMeasurer(reader, shading)
    width = 1.0 / np.hypot(*pixels_a_step) * max(frames.size)
    closing = 2 * float(np.nanmedian(np.abs(speed[fast])))
    step = SHIFT_SHARE * width / closing
    found: list[float] = []
    tried: set[tuple[int, int]] = set()
    for number in range(int(MAX_DELAY / step) + 1):
        for sign in (1, -1) if number else (1,):
            for anchor in anchors:
                others = fast[rows[fast] == rows[anchor] + 1]
                if not others.size:
                    continue
                # at a delay, the way between them would be 0
                ways = way[others] - way[anchor]
                speeds = speed[others] - speed[anchor]
                away = np.abs(ways - speeds * (sign * number * step))
                place = int(np.argmin(away))
                other = int(others[place])
                if away[place] > width / 2 or (int(anchor), other) in tried:
                    continue
                tried.add((int(anchor), other))
                shift = measurer.shift(int(anchor), other)
                if shift is not None and abs(speeds[place]) > 0.5 * closing:
                    moved = -(shift.x * pixels_a_step[0] + shift.y * pixels_a_step[1])
                    moved /= float(pixels_a_step @ pixels_a_step)
                    found.append(float((ways[place] - moved) / speeds[place]))
            agreed = _agreed(found, tolerance=0.25 * step)
            if agreed is not None:
                return start + agreed
    return None


def _agreed(values: list[float], *, tolerance: float) -> float | None:
    """Return the median of the values around which half the anchors' worth agree."""
    array = np.array(values)
    if array.size < ANCHORS // 2:
        return None
    near = np.abs(array[:, None] - array) <= tolerance
    best = near[np.argmax(near.sum(axis=1))]
    return float(np.median(array[best])) if best.sum() >= ANCHORS // 2 else None
