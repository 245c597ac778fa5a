"""The lag between a spectrum's recorded position and its exposure, told from the scan itself.

The head moves back and forth. If a position is recorded before the middle of its exposure, even
and odd rows are shifted against each other: the zigzag. The lag with which each row agrees best
with its two neighbours, which ran the other way, is the scan's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.stats import t as student

from .compiled import compiled
from .errors import ParameterError
from .parallel import in_parallel

__all__ = [
    "AUTOMATIC",
    "SMALLEST_LAG",
    "Lag",
    "check_lag",
    "corrected_positions",
    "estimate_lag",
]

FloatArray = npt.NDArray[np.float64]

AUTOMATIC = "auto"
"""Asks for the scan's own lag if that is significant, and for none otherwise."""
SMALLEST_LAG = 0.05
"""Periods. A smaller lag shifts even against odd rows by less than a tenth of the spacing."""
BEYOND_THREE_ERRORS = 0.0027
"""Probability that a normal error is larger than three standard errors, either way."""

LARGEST_LAG = 2.4
LAGS = np.linspace(-LARGEST_LAG, LARGEST_LAG, 25)
"""Lags on trial, in periods: 0.2 apart. The criterion changes over 0.4 periods and more."""
FINE_LAGS = np.linspace(-LARGEST_LAG, LARGEST_LAG, 9601)

BANDWIDTHS = (0.6, 1.5, 4.0)
"""Standard deviations of the Gaussians that smooth along a row, in spacings; a wider one is
tried when the last has not told the lag to `SMALLEST_LAG`. Where spectra lie a spacing apart,
sampling adds exp(-2 pi^2 0.6^2) = 0.0008 at most: a row is smoothed alike wherever its spectra
lie between the nodes, so no lag is preferred for its fraction."""
REACH = 3.3
"""Nodes, one a standard deviation, at which the Gaussian, 0.004 there, is cut off."""
CHANGE_WEIGHT = 0.25
"""Share of the change from the row before to the row after that counts as noise of a node. 0.1
to 0.3 gave the smallest errors on 48 simulated scans of 24 to 99 rows; without, they doubled."""
LEAST_NOISE = 0.1
"""Of the mean over a block: a node without counts is not without noise."""

TURN = 1.5
"""Pitches that the head has to go back at a turn."""
FEWEST_SPECTRA = 6
FEWEST_SPACINGS = 3.0
"""What is shorter is no row, but a piece of a turn."""
LARGEST_ROW_GAP = 3.0
"""Pitches from a row's one neighbour to the other; they are 2 in a regular raster."""
GAP = 3.0
"""How many times farther than in the steps around it the head goes where the record has a gap."""

FEWEST_BLOCKS = 5
WANTED_BLOCKS = 24
LARGEST_BLOCK = 8  # rows
MOST_SPECTRA = 80_000
CERTAIN = 0.001
STRUCTURED = 0.01
"""Probabilities at which a scan without any structure passes the two tests of `_minimum`."""


@dataclass(frozen=True)
class Lag:
    """How much later than at its recorded position a spectrum was exposed.

    Parameters
    ----------
    periods : float
        The lag in periods, the time from one spectrum to the next; positive if the middle of
        the exposure is later. NaN if the scan does not tell.
    standard_error : float
        Of `periods`. NaN if the scan does not tell: too few rows, all of one direction, or too
        few counts or too little structure in them.
    spacing_steps : float
        Median way of the moving head from one spectrum to the next, in motor steps; NaN if
        there are no rows.
    degrees_of_freedom : int
        Of the standard error: blocks of rows less one.
    """

    periods: float
    standard_error: float
    spacing_steps: float
    degrees_of_freedom: int

    @property
    def is_significant(self) -> bool:
        """Whether the lag is more than chance, and large enough to matter.

        It is larger than `SMALLEST_LAG` and than three standard errors; of few degrees of
        freedom, than as many as have the same probability, 0.0027, in Student's t.
        """
        if not math.isfinite(self.standard_error):
            return False
        limit = float(student.isf(BEYOND_THREE_ERRORS / 2.0, self.degrees_of_freedom))
        return abs(self.periods) > max(SMALLEST_LAG, limit * self.standard_error)

    @property
    def text(self) -> str:
        """The lag with its standard error, for a label."""
        if not math.isfinite(self.standard_error):
            return "not known"
        return f"{self.periods:.3f} ± {self.standard_error:.3f} periods"

    @property
    def sentence(self) -> str:
        """What was found, for a log."""
        if not math.isfinite(self.standard_error):
            return "the scan does not tell whether positions and exposures lag."
        shift = abs(2.0 * self.periods * self.spacing_steps)
        finding = (
            f"exposures are {self.text} later than their recorded positions, so even and odd "
            f"rows are {shift:.0f} motor steps apart"
        )
        return f"{finding}." if self.is_significant else f"{finding}; that is not significant."

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the numbers under their names, ready for JSON; it has no NaN, so None."""
        values = asdict(self)
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Lag:
        """Return the lag that `to_dict` described."""
        names = ("periods", "standard_error", "spacing_steps")
        numbers = (math.nan if values[name] is None else float(values[name]) for name in names)
        return cls(*numbers, int(values["degrees_of_freedom"]))


def check_lag(lag: object) -> float:
    """Return a lag in periods.

    Raises
    ------
    ParameterError
        If it is no finite number.
    """
    if not isinstance(lag, Real) or isinstance(lag, bool) or not math.isfinite(lag):
        msg = f"the lag is {lag!r}; expected a finite number of periods, or {AUTOMATIC!r}."
        raise ParameterError(msg)
    return float(lag)


def _check_positions(positions: npt.NDArray[np.number]) -> FloatArray:
    positions = np.asarray(positions, dtype=np.float64)
    if positions.ndim != 2 or positions.shape[1] != 2 or not np.isfinite(positions).all():
        msg = (
            f"the positions, of shape {positions.shape}, are not all finite pairs; expected "
            "(n, 2): x and y of each spectrum in motor steps."
        )
        raise ParameterError(msg)
    return positions


def corrected_positions(positions: npt.NDArray[np.number], lag: float) -> FloatArray:
    """Return where the middle of each exposure was.

    The head's way is a straight line from each recorded position to the next, and is followed
    for `lag` periods: far where the head is fast, and there and back at a turn. Across a gap in
    the record (spectra at the turns are not kept) and beyond its ends the last step goes on.

    Parameters
    ----------
    positions : (n, 2) number
        Recorded x and y in motor steps, in the order of acquisition.
    lag : float
        Periods by which the exposures were later.

    Returns
    -------
    positions : (n, 2) float64
        In motor steps.

    Raises
    ------
    ParameterError
        If the positions are no finite pairs, or the lag is no finite number.
    """
    positions, lags = _check_positions(positions), np.array([check_lag(lag)])
    after_gap = _after_gaps(positions)
    return np.column_stack([_later(axis, after_gap, lags)[0] for axis in positions.T])


def _after_gaps(positions: FloatArray) -> npt.NDArray[np.bool_]:
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


def _later(values: FloatArray, after_gap: npt.NDArray[np.bool_], lags: FloatArray) -> FloatArray:
    """Return a coordinate (s,) some lags (k,) later, (k, s); pieces between gaps by themselves."""
    firsts = np.flatnonzero(after_gap)
    sizes = np.diff(np.append(firsts, len(values)))
    first, size = np.repeat(firsts, sizes), np.repeat(sizes, sizes)
    number = np.arange(len(values))
    whole = np.floor(lags).astype(np.int64)[:, None]
    start = np.clip(number + whole, first, first + np.maximum(size - 2, 0))
    stop = np.minimum(start + 1, first + size - 1)
    return values[start] + (number + lags[:, None] - start) * (values[stop] - values[start])


class _Row(NamedTuple):
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


def _find_rows(
    along: FloatArray, across: FloatArray, after_gap: npt.NDArray[np.bool_], threshold: float
) -> list[_Row]:
    """Return the stretches between turns and gaps that are long enough, as they were acquired.

    Parameters
    ----------
    along, across : (n,) float64
        Positions along and across the rows.
    after_gap : (n,) bool
        Spectra before which the record has a gap.
    threshold : float
        How far the head goes back at a turn, at least.
    """
    turns = np.empty(len(along), dtype=np.int64)
    turns = turns[: _turns(along, threshold, turns)]
    starts = np.union1d(np.flatnonzero(after_gap), turns + 1)
    stops = np.append(starts[1:], len(along))
    long = stops - starts >= FEWEST_SPECTRA
    rows = []
    for start, stop in zip(starts[long].tolist(), stops[long].tolist(), strict=True):
        way = along[start:stop]
        direction = 1 if way[-1] > way[0] else -1
        rows.append(
            _Row(start, stop, direction, float(np.ptp(way)), float(np.median(across[start:stop])))
        )
    return rows


def _centres(rows: Sequence[_Row], reach: float) -> list[int]:
    """Return the rows whose two neighbours ran the other way and lie within reach."""
    found = []
    for k in range(1, len(rows) - 1):
        before, own, after = rows[k - 1 : k + 2]
        across = (before.across, own.across, after.across)
        opposite = before.direction == after.direction == -own.direction
        if opposite and max(across) - min(across) <= reach:
            found.append(k)
    return found


# The loops below are single precision: a criterion over thousands of nodes needs no more, and
# twice as many bands fit into a vector unit.


@compiled(error_model="numpy")
def _smooth_rows(x, pieces, counts, noise, n_nodes):  # noqa: ANN001, ANN202
    """Return rows smoothed onto nodes, (r, g, b), and their variances summed over bands, (r, g).

    x (s,) in nodes; counts (s, b) in units of their shot noise; row i holds spectra
    pieces[i, 0] to before pieces[i, 1]. Nadaraya and Watson's mean, weighted by Gaussians.
    """
    n_rows, bands = len(pieces), counts.shape[1]
    values = np.zeros((n_rows, n_nodes, bands), np.float32)
    variances, norms = np.zeros((2, n_rows, n_nodes), np.float32)
    for row in range(n_rows):
        for i in range(pieces[row, 0], pieces[row, 1]):
            first = max(0, int(np.ceil(x[i] - REACH)))
            last = min(n_nodes - 1, int(np.floor(x[i] + REACH)))
            for node in range(first, last + 1):
                weight = np.float32(np.exp(-0.5 * (node - x[i]) ** 2))
                norms[row, node] += weight
                variances[row, node] += weight * weight * noise[i]
                for band in range(bands):
                    values[row, node, band] += weight * counts[i, band]
        for node in range(n_nodes):
            if norms[row, node] > 0:
                scale = np.float32(1.0) / norms[row, node]
                variances[row, node] *= scale * scale
                for band in range(bands):
                    values[row, node, band] *= scale
    return values, variances


@compiled(error_model="numpy")
def _node_weights(values, variances, centres, spans):  # noqa: ANN001, ANN202
    """Return the weight of each node, (k, g), one over the variance to be expected there.

    That is shot noise and, where a stroke begins or ends, the object's own change from row to
    row. The two neighbours ran the same way, so the change does not depend on the lag.
    """
    weights = np.zeros((len(centres), values.shape[1]), np.float32)
    change = np.zeros(weights.shape, np.float32)
    total, nodes = 0.0, 0
    for k in range(len(centres)):
        own = centres[k]
        for node in range(spans[k, 0], spans[k, 1] + 1):
            for band in range(values.shape[2]):
                difference = values[own - 1, node, band] - values[own + 1, node, band]
                change[k, node] += difference * difference
            around = variances[own - 1, node] + variances[own + 1, node]
            weights[k, node] = variances[own, node] + np.float32(0.25) * around
            total += weights[k, node]
            nodes += 1
    if total > 0:
        least = LEAST_NOISE * total / nodes
        for k in range(len(centres)):
            for node in range(spans[k, 0], spans[k, 1] + 1):
                noise = max(weights[k, node], least)
                weights[k, node] = 1.0 / (noise + CHANGE_WEIGHT * change[k, node])
    return weights


@compiled()
def _disagreement(values, variances, centres, shares, spans, weights):  # noqa: ANN001, ANN202
    """Return the weighted squared differences of rows from their neighbours, less shot noise."""
    total = 0.0
    for k in range(len(centres)):
        own, before, after = centres[k], centres[k] - 1, centres[k] + 1
        b, c = np.float32(shares[k, 0]), np.float32(shares[k, 1])
        for node in range(spans[k, 0], spans[k, 1] + 1):
            square = -variances[own, node]
            square -= b * b * variances[before, node] + c * c * variances[after, node]
            for band in range(values.shape[2]):
                difference = values[own, node, band] - (
                    b * values[before, node, band] + c * values[after, node, band]
                )
                square += difference * difference
            total += weights[k, node] * square
    return total


def _share_after(before: float, own: float, after: float) -> float:
    """Return the weight of the row after in a row's interpolation between its neighbours."""
    if before == after:
        return 0.5
    share = (own - before) / (after - before)
    return share if 0.0 < share < 1.0 else 0.5


def _curve(
    ways: FloatArray,
    counts: npt.NDArray[np.float32],
    noise: npt.NDArray[np.float32],
    rows: Sequence[_Row],
    centres: Sequence[int],
) -> FloatArray:
    """Return the criterion of a block of rows for every lag on trial.

    Parameters
    ----------
    ways : (k, s) float64
        Positions along the rows of the block's spectra at each of `LAGS`, in nodes.
    counts : (s, b) float32
        Counts scaled so that bands have equal shot noise.
    noise : (s,) float32
        Variances of these, summed over the bands.
    rows : sequence of _Row
        The block's rows; spectra are counted from the first one's.
    centres : sequence of int
        Rows to compare with the one before and the one after.

    Returns
    -------
    criterion : (k,) float64
        Its expectation is 0 for an object without structure, whatever the lag.
    """
    first = rows[0].start
    pieces = np.array([(row.start - first, row.stop - first) for row in rows])
    outermost = ways[[0, -1]]
    low = [outermost[:, start:stop].min(axis=1).max() for start, stop in pieces]
    high = [outermost[:, start:stop].max(axis=1).min() for start, stop in pieces]
    spans = np.array(
        [
            (math.ceil(max(low[k - 1 : k + 2])), math.floor(min(high[k - 1 : k + 2])))
            for k in centres
        ]
    )
    overlaps = spans[:, 1] >= spans[:, 0]
    if not overlaps.any():
        return np.zeros(len(ways))
    spans, own = spans[overlaps], np.array(centres)[overlaps]
    origin = spans[:, 0].min()
    spans = spans - origin
    n_nodes = int(spans.max()) + 1
    after = [_share_after(*(row.across for row in rows[k - 1 : k + 2])) for k in own]
    shares = np.column_stack([np.subtract(1.0, after), after])
    recorded = _smooth_rows(ways[len(ways) // 2] - origin, pieces, counts, noise, n_nodes)
    weights = _node_weights(*recorded, own, spans)
    return np.array(
        [
            _disagreement(
                *_smooth_rows(way - origin, pieces, counts, noise, n_nodes),
                own,
                shares,
                spans,
                weights,
            )
            for way in ways
        ]
    )


def _minimum(curves: FloatArray, block_rows: int) -> tuple[float, float]:
    """Return the lag at the minimum of a criterion, and its standard error.

    The error is the block jackknife's (Kuensch, Annals of Statistics 17, 1217-1241, 1989): with
    B blocks, sqrt((B - 1) / B sum (lag without block b - their mean)^2). Blocks of m rows have
    one row in common with either neighbour. Shot noise counts 1 for a row and 1/2 for each
    neighbour, so m rows have 4 m - 3 times a variance where their share of the scan has 4 m;
    the jackknife's variance is enlarged by that ratio.

    Two tests guard against the minimum of mere noise, with Student's t over the blocks: the
    criterion's mean over all lags, 0 without structure, is positive; and the criterion of each
    block falls below that mean where the others, not its neighbours, have their minimum.

    Parameters
    ----------
    curves : (k, B) float64
        Criterion of each block at `LAGS`.
    block_rows : int
        Rows of a block, m.

    Returns
    -------
    lag, standard_error : float
        In periods; both NaN if there is no such minimum inside `LAGS`.
    """
    n = curves.shape[1]
    total = curves.sum(axis=1, keepdims=True)
    beside = curves.copy()
    beside[:, 1:] += curves[:, :-1]
    beside[:, :-1] += curves[:, 1:]
    elsewhere = np.argmin(total - beside, axis=0)
    means = curves.mean(axis=0)
    falls = means - curves[elsewhere, np.arange(n)]
    if not (_exceeds_zero(means, STRUCTURED) and _exceeds_zero(falls, CERTAIN)):
        return math.nan, math.nan
    fine = CubicSpline(LAGS, np.column_stack([total, total - curves]))(FINE_LAGS)
    lag, *without = FINE_LAGS[np.argmin(fine, axis=0)].tolist()
    if abs(lag) >= LARGEST_LAG:
        return math.nan, math.nan
    ratio = 4 * block_rows / (4 * block_rows - 3)
    return lag, math.sqrt((n - 1) * ratio * float(np.var(without)))


def _exceeds_zero(values: FloatArray, probability: float) -> bool:
    """Tell whether the mean of values (B,) is above 0 beyond chance, by Student's t."""
    limit = student.isf(probability, len(values) - 1)
    return bool(values.mean() > limit * values.std(ddof=1) / math.sqrt(len(values)))


def _choose_blocks(
    rows: Sequence[_Row], centres: Sequence[int], seed: int
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


def estimate_lag(
    positions: npt.NDArray[np.number],
    pitch: tuple[float, float],
    counts: npt.NDArray[np.number],
    *,
    seed: int = 0,
) -> Lag:
    """Estimate how much later than at its recorded position a spectrum was exposed.

    For each lag on trial every row is smoothed onto common nodes, from positions so corrected,
    and compared with the interpolation of the rows before and after, which ran the other way.
    The criterion is the squared difference over bands and nodes, less its own shot noise
    (sum of squared weights times counts: exact for Poisson counts) and over its variance. The
    lag at its minimum is the estimate. All three rows are smoothed alike, so no fraction of a
    period is preferred, and shot noise, being subtracted, prefers no lag either.

    Parameters
    ----------
    positions : (n, 2) number
        Recorded x and y in motor steps, in the order of acquisition.
    pitch : (float, float)
        The scan's sampling in x and y, in motor steps.
    counts : (n, b) number
        Counts of the spectra in some energy bands; about a dozen with equal counts are best.
    seed : int
        Of the choice of rows in a scan of more than `MOST_SPECTRA` spectra.

    Returns
    -------
    Lag
        NaN if the scan does not tell: fewer than 12 rows, all of one direction, or too few
        counts or too little structure along the rows.

    Raises
    ------
    ParameterError
        If positions, pitch and counts do not fit together.

    Notes
    -----
    It misleads where the object itself alternates from row to row, and where its pattern
    repeats within twice the largest lag on trial, 2.4 periods. Smooth objects tell little: the
    standard error says how little. About 0.1 s for 18,000 spectra; memory for one block of rows.
    """
    positions, counts = _check_positions(positions), np.asarray(counts)
    if counts.ndim != 2 or len(counts) != len(positions) or not min(pitch) > 0:
        msg = (
            f"counts have shape {counts.shape} and the pitch is {pitch!r}; expected counts of "
            f"{len(positions)} spectra in some bands, and two positive numbers of motor steps."
        )
        raise ParameterError(msg)
    after_gap = _after_gaps(positions)
    fast = int(np.argmax(np.abs(np.diff(positions, axis=0)).sum(axis=0) / pitch))
    along, slow = positions[:, fast], 1 - fast
    rows = _find_rows(along, positions[:, slow], after_gap, TURN * pitch[fast])
    steps = [np.abs(np.diff(along[row.start : row.stop])) for row in rows]
    moving = np.concatenate([np.zeros(0), *steps])
    moving = moving[moving > 0]
    if not moving.size:
        return Lag(math.nan, math.nan, math.nan, 0)
    spacing = float(np.median(moving))
    rows = [row for row in rows if row.extent > FEWEST_SPACINGS * spacing]
    blocks, size = _choose_blocks(rows, _centres(rows, LARGEST_ROW_GAP * pitch[slow]), seed)
    total = sum(
        counts[rows[k].start : rows[k].stop].sum(axis=0, dtype=np.float64)
        for block in blocks
        for k in block
    )
    if len(blocks) < FEWEST_BLOCKS or not np.any(total > 0):
        return Lag(math.nan, math.nan, spacing, 0)
    unit = np.zeros(len(total), dtype=np.float32)
    np.divide(np.sqrt(total.sum()), np.sqrt(total), out=unit, where=total > 0)

    def curve(block: Sequence[int], *, bandwidth: float) -> FloatArray:
        mine = rows[block[0] - 1 : block[-1] + 2]
        here = slice(mine[0].start, mine[-1].stop)
        gaps = after_gap[here].copy()
        gaps[0] = True
        ways = _later((along[here] - along[here.start]) / (spacing * bandwidth), gaps, LAGS)
        scaled = counts[here].astype(np.float32) * unit
        return _curve(ways, scaled, scaled @ unit, mine, [k - block[0] + 1 for k in block])

    best = (math.nan, math.nan)
    for bandwidth in BANDWIDTHS:
        curves = in_parallel(partial(curve, bandwidth=bandwidth), blocks)
        found = _minimum(np.column_stack(curves), size)
        if math.isnan(best[1]) or found[1] < best[1]:
            best = found
        if best[1] < SMALLEST_LAG:
            break
    return Lag(*best, spacing, len(blocks) - 1)
