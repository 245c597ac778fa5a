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
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from .errors import ParameterError
from .lag_curve import LAGS, disagreement_curve, minimum_of
from .lag_rows import after_gaps, centres_between, choose_blocks, find_rows
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

BANDWIDTHS = (0.6, 1.5, 4.0)
"""Standard deviations of the Gaussians that smooth along a row, in spacings; a wider one is
tried when the last has not told the lag to `SMALLEST_LAG`. Where spectra lie a spacing apart,
sampling adds exp(-2 pi^2 0.6^2) = 0.0008 at most: a row is smoothed alike wherever its spectra
lie between the nodes, so no lag is preferred for its fraction."""
FEWEST_BLOCKS = 5


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
    after_gap = after_gaps(positions)
    return np.column_stack([_later(axis, after_gap, lags)[0] for axis in positions.T])


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
    after_gap = after_gaps(positions)
    fast = int(np.argmax(np.abs(np.diff(positions, axis=0)).sum(axis=0) / pitch))
    along, slow = positions[:, fast], 1 - fast
    rows, spacing = find_rows(along, positions[:, slow], after_gap, pitch[fast])
    blocks, size = choose_blocks(rows, centres_between(rows, pitch[slow]), seed)
    if len(blocks) < FEWEST_BLOCKS:
        return Lag(math.nan, math.nan, spacing, 0)
    total = sum(
        counts[rows[k].start : rows[k].stop].sum(axis=0, dtype=np.float64)
        for block in blocks
        for k in block
    )
    unit = np.zeros(len(total), dtype=np.float32)
    np.divide(np.sqrt(total.sum()), np.sqrt(total), out=unit, where=total > 0)

    def curve(block: Sequence[int], *, bandwidth: float) -> FloatArray:
        mine = rows[block[0] - 1 : block[-1] + 2]
        here = slice(mine[0].start, mine[-1].stop)
        gaps = after_gap[here].copy()
        gaps[0] = True
        ways = _later((along[here] - along[here.start]) / (spacing * bandwidth), gaps, LAGS)
        scaled = counts[here].astype(np.float32) * unit
        return disagreement_curve(
            ways, scaled, scaled @ unit, mine, [k - block[0] + 1 for k in block]
        )

    best = (math.nan, math.nan)
    for bandwidth in BANDWIDTHS:
        curves = in_parallel(partial(curve, bandwidth=bandwidth), blocks)
        found = minimum_of(np.column_stack(curves), size)
        if math.isnan(best[1]) or found[1] < best[1]:
            best = found
        if best[1] < SMALLEST_LAG:
            break
    return Lag(*best, spacing, len(blocks) - 1)
