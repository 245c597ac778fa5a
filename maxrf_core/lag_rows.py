"""The rows of a scan, told from its positions: stretches between turns and gaps of the record.

A row whose two neighbours ran the other way tells of a lag. Such rows are taken in blocks, which
serve for the error of an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .compiled import compiled

__all__ = ["Row", "after_gaps", "centres_between", "choose_blocks", "find_rows"]

FloatArray = npt.NDArray[np.float64]

TURN = 1.5
"""Pitches that the head has to go back at a turn."""
FEWEST_SPECTRA = 6
FEWEST_SPACINGS = 3.0
"""What is shorter is no row, but a piece of a turn."""
LARGEST_ROW_GAP = 3.0
"""Pitches from a row's one neighbour to the other; they are 2 in a regular raster."""
GAP = 3.0
"""How many times farther than in the steps around it the head goes where the record has a gap."""

WANTED_BLOCKS = 24
LARGEST_BLOCK = 8  # rows
MOST_SPECTRA = 80_000


def after_gaps(positions: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell before which spectra, (n,) bool, the record has a gap; the first counts as one.

    There the head jumps: along an axis `GAP` times as far as in the step before, in the step
    after and in the root mean square.
    """
    after = np.ones(len(positions), dtype=bool)
    if len(positions) > 1:
        steps = np.abs(np.diff(positions, axis=0))
        usual = np.tile(np.sqrt(np.mean(steps**2, axis=0)), (len(steps), 1))
        np.maximum(usual[1:], steps[:-1], out=usual[1:])
        np.maximum(usual[:-1], steps[1:], out=usual[:-1])
        after[1:] = np.any(steps > GAP * usual, axis=1)
    return after


class Row(NamedTuple):
    """A row: spectra from `start` to before `stop`, moving in direction +1 or -1."""

    start: int
    stop: int
    direction: int
    extent: float
    across: float


@compiled()
def _turns(x, threshold, out):  # noqa: ANN001, ANN202
    """Write where x turns back by more than a threshold; return how often it does."""
    count, low, high, direction = 0, 0, 0, 0
    for i in range(len(x)):
        if x[i] > x[high]:
            high = i
        if x[i] < x[low]:
            low = i
        if direction >= 0 and x[high] - x[i] > threshold:
            if direction > 0:
                out[count] = high
                count += 1
            direction, low = -1, i
        elif direction <= 0 and x[i] - x[low] > threshold:
            if direction < 0:
                out[count] = low
                count += 1
            direction, high = 1, i
    return count


def find_rows(
    along: FloatArray, across: FloatArray, after_gap: npt.NDArray[np.bool_], pitch: float
) -> tuple[list[Row], float]:
    """Return the stretches between turns and gaps that are long enough, as they were acquired.

    Parameters
    ----------
    along, across : (n,) float64
        Positions along and across the rows, in motor steps.
    after_gap : (n,) bool
        Spectra before which the record has a gap.
    pitch : float
        The scan's sampling along the rows, in motor steps.

    Returns
    -------
    rows : list of Row
    spacing : float
        Median way of the moving head from one spectrum to the next, in motor steps; NaN if
        there are no rows.
    """
    turns = np.empty(len(along), dtype=np.int64)
    turns = turns[: _turns(along, TURN * pitch, turns)]
    starts = np.union1d(np.flatnonzero(after_gap), turns + 1)
    stops = np.append(starts[1:], len(along))
    long = stops - starts >= FEWEST_SPECTRA
    rows, steps = [], []
    for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        way = along[start:stop]
        direction = 1 if way[-1] > way[0] else -1
        middle = float(np.median(across[start:stop]))
        rows.append(Row(start, stop, direction, float(np.ptp(way)), middle))
        steps.append(np.abs(np.diff(way)))
    moving = np.concatenate([np.zeros(0), *steps])
    moving = moving[moving > 0]
    if not moving.size:
        return [], math.nan
    spacing = float(np.median(moving))
    return [row for row in rows if row.extent > FEWEST_SPACINGS * spacing], spacing


def centres_between(rows: Sequence[Row], pitch: float) -> list[int]:
    """Return the rows whose two neighbours ran the other way and lie near.

    Parameters
    ----------
    rows : sequence of Row
        In the order of acquisition.
    pitch : float
        The scan's sampling across the rows, in motor steps.
    """
    found = []
    for k in range(1, len(rows) - 1):
        before, own, after = rows[k - 1 : k + 2]
        across = (before.across, own.across, after.across)
        opposite = before.direction == after.direction == -own.direction
        if opposite and max(across) - min(across) <= LARGEST_ROW_GAP * pitch:
            found.append(k)
    return found


def choose_blocks(
    rows: Sequence[Row], centres: Sequence[int], seed: int
) -> tuple[list[Sequence[int]], int]:
    """Return centres in blocks of some rows, and how many rows: even, both directions alike.

    Of a large scan only some blocks, `MOST_SPECTRA` together unless that would be too few.
    """
    size = 2 * int(np.clip(len(centres) // (2 * WANTED_BLOCKS), 1, LARGEST_BLOCK // 2))
    length = float(np.median([row.stop - row.start for row in rows])) if rows else 1.0
    if len(centres) * length > MOST_SPECTRA:
        size = max(2, min(size, int(MOST_SPECTRA / length / WANTED_BLOCKS) // 2 * 2 - 2))
    blocks = [centres[i : i + size] for i in range(0, len(centres) - size + 1, size)]
    most = max(WANTED_BLOCKS // 2, int(MOST_SPECTRA / (length * (size + 2))))
    if len(blocks) > most:
        chosen = np.random.default_rng(seed).permutation(len(blocks))[:most]
        blocks = [blocks[i] for i in np.sort(chosen)]
    return blocks, size
