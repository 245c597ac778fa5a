"""Local ordinary kriging: weights for the operator W.

A cell's value is the best linear unbiased prediction from its nearest spectra (Cressie,
*Statistics for Spatial Data*, 1993, chapter 3). Distances are counted in pitches, with a range
of its own along y. Shot noise is a nugget: a prediction averages it out over as much of the
neighbourhood as the object allows. What it allows differs from place to place, so the nugget
is each cell's own: shot noise over the variance that its neighbours' counts show beyond it.
Where the object is plain a cell averages, at an edge it keeps to the nearest spectra.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from .compiled import compiled

__all__ = ["LARGEST_NUGGET", "NEIGHBOURS", "Covariance", "kriging_weights", "local_nuggets"]

NEIGHBOURS = 25
"""Places behind a cell: on a regular raster, the square of 5 x 5 around its centre."""

LARGEST_NUGGET = 100.0
"""Of a place without any variance beyond shot noise: a plain average, and never infinite."""
SMALLEST_NUGGET = 1e-6  # keeps the equations solvable when positions nearly coincide

_SPREAD_POWER = 1.0 / 3.0
_LARGEST_RATIO = 3.0  # of spreads
_AROUND = 1.5  # pitches: width of the Gaussian within which the object's variance is estimated
_LANES = 64  # cells solved side by side: their matrices, 200 KiB, fit the L2 cache


@dataclass(frozen=True)
class Covariance:
    """Covariance of the object's true map, relative to its variance around a cell.

    Parameters
    ----------
    range_pitches : float
        Length along x, in pitches, of the Matern 3/2 covariance
        (1 + a) exp(-a), a = sqrt(3) distance / range.
    anisotropy : float
        Length along y, in pitches, over the length along x.
    nugget_factor : float
        What multiplies `local_nuggets`: the variance among neighbours is not all of what the
        covariance describes.
    """

    range_pitches: float
    anisotropy: float
    nugget_factor: float

    def to_dict(self) -> dict[str, float]:
        """Return the parameters under their names, ready for JSON."""
        return asdict(self)


@compiled()
def _exp_minus(x):  # noqa: ANN001, ANN202
    """Return exp(-x) for x >= 0 to 2e-16 of its value, in steps that a vector unit can do.

    exp(-x) = 2^-n exp(r) with |r| <= ln 2 / 2: the Taylor series to the 13th power leaves
    2e-18. ln 2 in two parts, and n read off the last bits of a sum, are as in Cody and Waite,
    *Software Manual for the Elementary Functions* (1980).
    """
    x = min(x, 700.0)
    shifted = x * 1.4426950408889634 + 6755399441055744.0  # 1.5 * 2^52: rounds to integers
    n = shifted - 6755399441055744.0
    r = (n * 6.93147180369123816490e-01 - x) + n * 1.90821492927058770002e-10
    total = 1.0 / 6227020800.0
    total = total * r + 1.0 / 479001600.0
    total = total * r + 1.0 / 39916800.0
    total = total * r + 1.0 / 3628800.0
    total = total * r + 1.0 / 362880.0
    total = total * r + 1.0 / 40320.0
    total = total * r + 1.0 / 5040.0
    total = total * r + 1.0 / 720.0
    total = total * r + 1.0 / 120.0
    total = total * r + 1.0 / 24.0
    total = total * r + 1.0 / 6.0
    total = total * r + 0.5
    total = total * r + 1.0
    total = total * r + 1.0
    exponent = np.float64(shifted).view(np.int64) << np.int64(52)
    return np.int64(np.float64(total).view(np.int64) - exponent).view(np.float64)


# The loops below solve the equations of `_LANES` cells side by side, the cells innermost, so
# that vector units do several at once: five times as fast as a cell after the other. Each cell
# goes through the same operations in the same order, wherever it stands.


@compiled(error_model="numpy")
def _equations(places, neighbours, cells, start, x, y, spread, matrix, right, ones):  # noqa: ANN001, ANN202
    """Set up matrix (lower triangle) and right-hand sides of the cells from `start`.

    Lengths are in ranges / sqrt(3), spreads in that of the cell.
    """
    points, exposures, spreads = places
    targets, nuggets, target_spreads = cells
    m, k = neighbours.shape
    for lane in range(_LANES):
        cell = min(start + lane, m - 1)  # the last one fills up its group
        for i in range(k):
            place = neighbours[cell, i]
            x[i, lane] = points[place, 0] - targets[cell, 0]
            y[i, lane] = points[place, 1] - targets[cell, 1]
            ratio = spreads[place] / target_spreads[cell]
            spread[i, lane] = min(max(ratio, 1.0 / _LARGEST_RATIO), _LARGEST_RATIO)
            matrix[i, i, lane] = spread[i, lane] ** 2 + nuggets[cell] / exposures[place]
            ones[i, lane] = 1.0
    for i in range(k):
        for lane in range(_LANES):
            a = np.sqrt(x[i, lane] ** 2 + y[i, lane] ** 2)
            right[i, lane] = spread[i, lane] * (1.0 + a) * _exp_minus(a)
        for j in range(i):
            for lane in range(_LANES):
                a = np.sqrt((x[i, lane] - x[j, lane]) ** 2 + (y[i, lane] - y[j, lane]) ** 2)
                both = spread[i, lane] * spread[j, lane]
                matrix[i, j, lane] = both * (1.0 + a) * _exp_minus(a)


@compiled()
def _subtract_products(total, a, b, terms):  # noqa: ANN001, ANN202
    """Subtract from a total the first products of two rows, four at a time."""
    s = 0
    while s + 4 <= terms:
        for lane in range(_LANES):
            total[lane] -= (a[s, lane] * b[s, lane] + a[s + 1, lane] * b[s + 1, lane]) + (
                a[s + 2, lane] * b[s + 2, lane] + a[s + 3, lane] * b[s + 3, lane]
            )
        s += 4
    while s < terms:
        for lane in range(_LANES):
            total[lane] -= a[s, lane] * b[s, lane]
        s += 1


@compiled(error_model="numpy")
def _factorise(matrix, inverse, total):  # noqa: ANN001, ANN202
    """Replace the lower triangle by its Cholesky factor, the diagonal apart and inverted."""
    for i in range(len(matrix)):
        row = matrix[i]
        for j in range(i):
            for lane in range(_LANES):
                total[lane] = row[j, lane]
            _subtract_products(total, row, matrix[j], j)
            for lane in range(_LANES):
                row[j, lane] = total[lane] * inverse[j, lane]
        for lane in range(_LANES):
            total[lane] = row[i, lane]
        _subtract_products(total, row, row, i)
        for lane in range(_LANES):
            inverse[i, lane] = 1.0 / np.sqrt(total[lane])


@compiled()
def _solve(factor, inverse, right, ones):  # noqa: ANN001, ANN202
    """Solve for both right-hand sides in place: forward, then backward substitution."""
    k = len(factor)
    for i in range(k):
        for j in range(i):
            for lane in range(_LANES):
                right[i, lane] -= factor[i, j, lane] * right[j, lane]
                ones[i, lane] -= factor[i, j, lane] * ones[j, lane]
        for lane in range(_LANES):
            right[i, lane] *= inverse[i, lane]
            ones[i, lane] *= inverse[i, lane]
    for i in range(k - 1, -1, -1):
        for lane in range(_LANES):
            right[i, lane] *= inverse[i, lane]
            ones[i, lane] *= inverse[i, lane]
        for j in range(i):
            for lane in range(_LANES):
                right[j, lane] -= factor[i, j, lane] * right[i, lane]
                ones[j, lane] -= factor[i, j, lane] * ones[i, lane]


@compiled(error_model="numpy")
def _weights(places, neighbours, cells, out):  # noqa: ANN001, ANN202
    m, k = neighbours.shape
    x, y, spread = np.empty((k, _LANES)), np.empty((k, _LANES)), np.empty((k, _LANES))
    matrix, inverse = np.empty((k, k, _LANES)), np.empty((k, _LANES))
    right, ones, total = np.empty((k, _LANES)), np.empty((k, _LANES)), np.empty(_LANES)
    for start in range(0, m, _LANES):
        _equations(places, neighbours, cells, start, x, y, spread, matrix, right, ones)
        _factorise(matrix, inverse, total)
        _solve(matrix, inverse, right, ones)
        for lane in range(min(_LANES, m - start)):
            sum_right, sum_ones = 0.0, 0.0
            for i in range(k):
                sum_right += right[i, lane]
                sum_ones += ones[i, lane]
            deficit = (1.0 - sum_right) / sum_ones
            for i in range(k):
                out[start + lane, i] = right[i, lane] + deficit * ones[i, lane]


def kriging_weights(
    points: npt.NDArray[np.float64],
    exposures: npt.NDArray[np.float64],
    place_nuggets: npt.NDArray[np.float64] | None,
    neighbours: npt.NDArray[np.integer],
    targets: npt.NDArray[np.float64],
    nuggets: npt.NDArray[np.float64],
    covariance: Covariance,
) -> npt.NDArray[np.float64]:
    """Return the ordinary kriging weights of each target's neighbours.

    Parameters
    ----------
    points : (n, 2) float64
        Distinct positions of spectra, in pitches.
    exposures : (n,) float64
        Live time at each, in mean live times of a spectrum: the shot noise of the mean of
        its counts is that much smaller.
    place_nuggets : (n,) float64 or None
        Nugget of a single spectrum around each position, as of `local_nuggets`; without them
        the object's spread is the same everywhere.
    neighbours : (m, k) integer
        The k positions that each target is predicted from.
    targets : (m, 2) float64
        What is predicted, in pitches.
    nuggets : (m,) float64
        The same around each target.
    covariance : Covariance
        Range, anisotropy and what the nuggets are multiplied by.

    Returns
    -------
    weights : (m, k) float64
        Rows sum to 1; single weights may be negative.

    Notes
    -----
    The object's spread at a place, relative to the target's, is (its nugget / the target's) to
    the power -1/3, within 1/3 and 3; covariances are products of two spreads and the Matern
    function. So a bright spot weighs little in the plain cells around it, where it would be
    counted twice: totals are kept. The power is the benchmark's choice (spreads proper would
    have 1/2; 0 leaves totals of thin strokes 1 to 2 % too high).
    """
    weights = np.empty(neighbours.shape)
    length = covariance.range_pitches / np.sqrt(3.0)
    lengths = np.array([length, length * covariance.anisotropy])
    spreads, target_spreads = np.ones(len(points)), np.ones(len(targets))
    if place_nuggets is not None:
        spreads, target_spreads = place_nuggets**-_SPREAD_POWER, nuggets**-_SPREAD_POWER
    scaled = np.maximum(nuggets * covariance.nugget_factor, SMALLEST_NUGGET)
    _weights(
        (points / lengths, exposures, spreads),
        np.ascontiguousarray(neighbours, dtype=np.int64),
        (targets / lengths, scaled, target_spreads),
        weights,
    )
    return weights


@compiled(error_model="numpy")
def _signal_over_noise(points, means, exposures, levels, neighbours, targets, first, out):  # noqa: ANN001, ANN202
    m, k = neighbours.shape
    bands = means.shape[1]
    weights = np.empty(k)
    centre, squares, noise = np.empty(bands), np.empty(bands), np.empty(bands)
    for target in range(m):
        centre[:], squares[:], noise[:] = 0.0, 0.0, 0.0
        total, total_squares = 0.0, 0.0
        for i in range(first, k):
            place = neighbours[target, i]
            x, y = points[place, 0] - targets[target, 0], points[place, 1] - targets[target, 1]
            weight = min(exposures[place], 1.0) * _exp_minus((x**2 + y**2) / (2.0 * _AROUND**2))
            weights[i] = weight
            total += weight
            total_squares += weight**2
            for band in range(bands):
                centre[band] += weight * means[place, band]
        for band in range(bands):
            centre[band] /= total
        for i in range(first, k):
            place, weight = neighbours[target, i], weights[i]
            of_noise = (weight - weight**2 / total) / exposures[place]
            for band in range(bands):
                squares[band] += weight * (means[place, band] - centre[band]) ** 2
                noise[band] += of_noise * means[place, band]
        signal = 0.0
        for band in range(bands):
            signal += (squares[band] - noise[band]) / levels[band]
        out[target] = signal / (bands * (total - total_squares / total))


def local_nuggets(
    points: npt.NDArray[np.float64],
    exposures: npt.NDArray[np.float64],
    means: npt.NDArray[np.floating],
    levels: npt.NDArray[np.float64],
    neighbours: npt.NDArray[np.integer],
    targets: npt.NDArray[np.float64],
    *,
    without_first: bool = False,
) -> npt.NDArray[np.float64]:
    """Return shot noise over the object's own variance around each target.

    Counts x_i at places with exposures E_i vary by the object's variance S and by shot noise
    x_i / E_i. With weights w_i, the smaller of E_i and 1 times a Gaussian of the distance, and
    W their sum, the sum of w_i (x_i - mean)^2 is on average
    ``S (W - sum(w^2) / W) + sum((w - w^2 / W) x / E)``, which gives S without bias. The bands'
    S, each in units of its band's shot noise over the whole scan, are averaged.

    Parameters
    ----------
    points : (n, 2) float64
        Distinct positions of spectra, in pitches.
    exposures : (n,) float64
        Live time at each, in mean live times of a spectrum; positive.
    means : (n, b) float
        Mean counts at each in b >= 1 bands.
    levels : (b,) float64
        Mean counts of each band over the scan; positive.
    neighbours : (m, k) integer
        Positions around each target.
    targets : (m, 2) float64
        Points, in pitches.
    without_first : bool
        Leave each target's first neighbour out.

    Returns
    -------
    nuggets : (m,) float64
        1 / S, positive, at most `LARGEST_NUGGET`; 1 where there are fewer than two neighbours.
    """
    first = int(without_first)
    if neighbours.shape[1] - first < 2 or means.shape[1] == 0:
        return np.ones(len(neighbours))
    signal = np.empty(len(neighbours))
    _signal_over_noise(points, means, exposures, levels, neighbours, targets, first, signal)
    return 1.0 / np.fmax(signal, 1.0 / LARGEST_NUGGET)
