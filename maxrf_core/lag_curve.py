"""How well rows agree with their neighbours, which ran the other way, at each lag on trial.

The criterion of a block of rows is the weighted squared difference of each row from the
interpolation between its neighbours, all smoothed onto common nodes, less shot noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.stats import t as student

from .compiled import compiled
from .lag_rows import Row

__all__ = ["LAGS", "disagreement_curve", "minimum_of"]

FloatArray = npt.NDArray[np.float64]

LARGEST_LAG = 2.4
LAGS = np.linspace(-LARGEST_LAG, LARGEST_LAG, 25)
"""Lags on trial, in periods: 0.2 apart. The criterion changes over 0.4 periods and more."""
FINE_LAGS = np.linspace(-LARGEST_LAG, LARGEST_LAG, 9601)

REACH = 3.3
"""Nodes, one a standard deviation, at which the Gaussian, 0.004 there, is cut off."""
CHANGE_WEIGHT = 0.25
"""Share of the change from the row before to the row after that counts as noise of a node. It
matters little: on 48 simulated scans of 24 to 99 rows and 50 to 600 counts a spectrum, shares from
0 to 1 gave root-mean-square errors of 0.065 to 0.070 periods."""
LEAST_NOISE = 0.1
"""Of the mean over a block: a node without counts is not without noise."""

CERTAIN = 0.001
STRUCTURED = 0.01
"""Probabilities at which a scan without any structure passes the two tests of `minimum_of`."""


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


def disagreement_curve(
    ways: FloatArray,
    counts: npt.NDArray[np.float32],
    noise: npt.NDArray[np.float32],
    rows: Sequence[Row],
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
    rows : sequence of Row
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


def minimum_of(curves: FloatArray, block_rows: int) -> tuple[float, float]:
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
