"""Local ordinary kriging: weights for the operator W, and the covariance behind them.

A cell's value is the best linear unbiased prediction from its nearest spectra (Cressie,
*Statistics for Spatial Data*, 1993, chapter 3). Distances are counted in pitches, so that
a raster of 1000 x 500 steps is isotropic. Shot noise is a nugget: a prediction averages
it out over as much of the neighbourhood as the correlation of the object allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from .compiled import compiled

__all__ = ["Covariance", "fit_covariance", "kriging_weights", "leave_one_out_error"]

NEIGHBOURS = 21
"""Spectra behind a cell: on a regular raster, all within sqrt(5) pitches of its centre."""

RANGES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
FALLBACK_RANGE = 2.0
_FEWEST_POSITIONS = 4  # to say anything of a range
SMALLEST_NUGGET = 1e-6  # keeps the equations solvable when positions nearly coincide

_LANES = 64  # cells solved side by side: their matrices, 200 KiB, fit the L2 cache


@dataclass(frozen=True)
class Covariance:
    """Covariance of the object's true map, relative to its variance.

    Parameters
    ----------
    range_pitches : float
        Length in pitches of the Matern 3/2 covariance
        (1 + a) exp(-a), a = sqrt(3) distance / range.
    nugget : float
        Shot-noise variance of one spectrum over the variance of the true map.
    """

    range_pitches: float
    nugget: float

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
def _equations(points, nuggets, neighbours, distances, scale, start, x, y, matrix, right, ones):  # noqa: ANN001, ANN202
    """Set up matrix (lower triangle) and right-hand sides of the cells from `start`."""
    m, k = neighbours.shape
    for lane in range(_LANES):
        cell = min(start + lane, m - 1)  # the last one fills up its group
        for i in range(k):
            place = neighbours[cell, i]
            x[i, lane], y[i, lane] = points[place, 0], points[place, 1]
            matrix[i, i, lane] = 1.0 + nuggets[place]
            right[i, lane], ones[i, lane] = scale * distances[cell, i], 1.0
    for i in range(k):
        for lane in range(_LANES):
            a = right[i, lane]
            right[i, lane] = (1.0 + a) * _exp_minus(a)
        for j in range(i):
            for lane in range(_LANES):
                a = scale * np.sqrt((x[i, lane] - x[j, lane]) ** 2 + (y[i, lane] - y[j, lane]) ** 2)
                matrix[i, j, lane] = (1.0 + a) * _exp_minus(a)


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
def _weights(points, nuggets, neighbours, distances, length, out):  # noqa: ANN001, ANN202
    m, k = neighbours.shape
    x, y = np.empty((k, _LANES)), np.empty((k, _LANES))
    matrix, inverse = np.empty((k, k, _LANES)), np.empty((k, _LANES))
    right, ones, total = np.empty((k, _LANES)), np.empty((k, _LANES)), np.empty(_LANES)
    scale = np.sqrt(3.0) / length
    for start in range(0, m, _LANES):
        _equations(points, nuggets, neighbours, distances, scale, start, x, y, matrix, right, ones)
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
    multiplicity: npt.NDArray[np.integer],
    neighbours: npt.NDArray[np.integer],
    distances: npt.NDArray[np.float64],
    covariance: Covariance,
) -> npt.NDArray[np.float64]:
    """Return the ordinary kriging weights of each target's neighbours.

    Parameters
    ----------
    points : (n, 2) float64
        Distinct positions of spectra, in pitches.
    multiplicity : (n,) integer
        How many spectra lie at each: the shot noise of their mean is that much smaller.
    neighbours : (m, k) integer
        The k positions that each target is predicted from.
    distances : (m, k) float64
        Their distances from the target, in pitches.
    covariance : Covariance
        Range and nugget.

    Returns
    -------
    weights : (m, k) float64
        Rows sum to 1; single weights may be negative.
    """
    weights = np.empty(neighbours.shape)
    _weights(
        points,
        max(covariance.nugget, SMALLEST_NUGGET) / multiplicity,
        np.ascontiguousarray(neighbours, dtype=np.int64),
        np.ascontiguousarray(distances),
        covariance.range_pitches,
        weights,
    )
    return weights


def leave_one_out_error(
    points: npt.NDArray[np.float64],
    multiplicity: npt.NDArray[np.integer],
    values: npt.NDArray[np.float64],
    covariance: Covariance,
    *,
    samples: npt.NDArray[np.int64],
    neighbours: npt.NDArray[np.int64],
) -> float:
    """Return the mean squared error of predicting positions from their neighbours.

    Parameters
    ----------
    points : (n, 2) float64
        Distinct positions of spectra, in pitches.
    multiplicity : (n,) integer
        How many spectra lie at each.
    values : (n, b) float64
        Their mean signals, each scaled to unit shot noise.
    covariance : Covariance
        The covariance on trial.
    samples : (m,) int64
        Which positions to leave out, one at a time.
    neighbours : (m, k) int64
        The positions that each is predicted from.
    """
    distances = np.sqrt(((points[neighbours] - points[samples, None]) ** 2).sum(axis=2))
    weights = kriging_weights(points, multiplicity, neighbours, distances, covariance)
    predicted = np.einsum("mk,mkb->mb", weights, values[neighbours])
    return float(np.mean((predicted - values[samples]) ** 2))


@compiled()
def _add_moments(counts, multiplicity, sums):  # noqa: ANN001, ANN202
    """Add up counts of all spectra, counts of places and the shot noise of the latter."""
    for i in range(counts.shape[0]):
        for band in range(counts.shape[1]):
            count = np.float64(counts[i, band])
            sums[0, band] += count * multiplicity[i]
            sums[1, band] += count
            sums[2, band] += count / multiplicity[i]


@compiled()
def _add_squares(counts, centre, sums):  # noqa: ANN001, ANN202
    for i in range(counts.shape[0]):
        for band in range(counts.shape[1]):
            sums[band] += (counts[i, band] - centre[band]) ** 2


def _samples(
    points: npt.NDArray[np.float64], max_samples: int, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose positions to leave out in turn.

    Returns
    -------
    used : (u,) int64
        The samples and their neighbours.
    local : (m, k + 1) int64
        Places in `used` of each sample and of its k neighbours; nothing for fewer than
        four positions.
    """
    if len(points) < _FEWEST_POSITIONS:
        return np.zeros(0, np.int64), np.zeros((0, 1), np.int64)
    samples = np.random.default_rng(seed).permutation(len(points))[:max_samples]
    nearest = [*range(2, min(NEIGHBOURS + 1, len(points)) + 1)]  # the first is the sample
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)  # quick to make
    neighbours = tree.query(points[samples], k=nearest)[1]
    used, local = np.unique(np.column_stack([samples, neighbours]), return_inverse=True)
    return used, local.reshape(len(samples), -1)


def fit_covariance(
    points: npt.NDArray[np.float64],
    multiplicity: npt.NDArray[np.integer],
    bands: Iterable[npt.NDArray[np.number]],
    *,
    max_samples: int = 3000,
    seed: int = 0,
) -> Covariance:
    """Fit range and nugget to the scan's own counts.

    The nugget follows from Poisson statistics: in an energy band with mean counts m and
    variance v, shot noise is m and the object's own variance is v - m; over the bands the
    nugget is sum(m) / sum(v - m). The range is the one of `RANGES` with the smallest
    leave-one-out error over a sample of positions, all bands scaled to unit shot noise.

    Parameters
    ----------
    points : (n, 2) float64
        Distinct positions of spectra, in pitches.
    multiplicity : (n,) integer
        How many spectra lie at each.
    bands : iterable of (n,) number
        Mean counts of the spectra at each position, band after band: only one of them has
        to be in memory.
    max_samples : int
        How many positions to leave out in turn at most.
    seed : int
        Seed of that choice.

    Returns
    -------
    Covariance
        For a scan without any variance beyond shot noise the nugget is large (100) and
        kriging becomes a local average.
    """
    used, local = _samples(points, max_samples, seed)
    signal = noise = 0.0
    scaled = []
    for band in bands:
        counts = np.ascontiguousarray(band)[:, None]
        sums, squares = np.zeros((3, 1)), np.zeros(1)
        _add_moments(counts, multiplicity, sums)
        mean, (centre, shot_noise) = sums[0] / multiplicity.sum(), sums[1:] / len(points)
        _add_squares(counts, centre, squares)
        signal += max(float((squares / len(points) - shot_noise)[0]), 0.0)
        noise += float(mean[0])
        if mean > 0:
            scaled.append(counts[used, 0] / np.sqrt(mean))
    nugget = 100.0 if signal <= noise / 100.0 else max(noise / signal, SMALLEST_NUGGET)
    if not len(used) or not scaled:
        return Covariance(FALLBACK_RANGE, nugget)
    points, multiplicity = points[used], multiplicity[used]
    values = np.column_stack(scaled)
    errors = [
        leave_one_out_error(
            points,
            multiplicity,
            values,
            Covariance(length, nugget),
            samples=local[:, 0],
            neighbours=local[:, 1:],
        )
        for length in RANGES
    ]
    return Covariance(RANGES[int(np.argmin(errors))], nugget)
