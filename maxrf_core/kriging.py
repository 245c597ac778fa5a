"""Local ordinary kriging: weights for the operator W, and the covariance behind them.

A cell's value is the best linear unbiased prediction from its nearest spectra (Cressie,
*Statistics for Spatial Data*, 1993, chapter 3). Distances are counted in pitches, so that
a raster of 1000 x 500 steps is isotropic. Shot noise is a nugget: a prediction averages
it out over as much of the neighbourhood as the correlation of the object allows.
"""

from __future__ import annotations

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
SMALLEST_NUGGET = 1e-6  # keeps the equations solvable when positions nearly coincide


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
def _weights(points, nuggets, neighbours, distances, length, out):  # noqa: ANN001, ANN202
    m, k = neighbours.shape
    scale = np.sqrt(3.0) / length
    chol = np.empty((k, k))
    from_target = np.empty(k)
    from_ones = np.empty(k)
    for cell in range(m):
        for i in range(k):
            p = neighbours[cell, i]
            for j in range(i):
                q = neighbours[cell, j]
                a = scale * np.sqrt(
                    (points[p, 0] - points[q, 0]) ** 2 + (points[p, 1] - points[q, 1]) ** 2
                )
                chol[i, j] = (1.0 + a) * np.exp(-a)
            chol[i, i] = 1.0 + nuggets[p]
            a = scale * distances[cell, i]
            from_target[i] = (1.0 + a) * np.exp(-a)
            from_ones[i] = 1.0
        for i in range(k):  # Cholesky factor in place, lower triangle
            for j in range(i + 1):
                total = chol[i, j]
                for s in range(j):
                    total -= chol[i, s] * chol[j, s]
                chol[i, j] = np.sqrt(total) if i == j else total / chol[j, j]
        for i in range(k):  # forward substitution of both right-hand sides
            for s in range(i):
                from_target[i] -= chol[i, s] * from_target[s]
                from_ones[i] -= chol[i, s] * from_ones[s]
            from_target[i] /= chol[i, i]
            from_ones[i] /= chol[i, i]
        for i in range(k - 1, -1, -1):  # backward substitution
            for s in range(i + 1, k):
                from_target[i] -= chol[s, i] * from_target[s]
                from_ones[i] -= chol[s, i] * from_ones[s]
            from_target[i] /= chol[i, i]
            from_ones[i] /= chol[i, i]
        deficit = (1.0 - from_target.sum()) / from_ones.sum()
        for i in range(k):
            out[cell, i] = from_target[i] + deficit * from_ones[i]


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
        np.ascontiguousarray(neighbours),
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
    tree: cKDTree,
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
    tree : cKDTree
        Tree over `points`.
    """
    nearest = [*range(2, min(NEIGHBOURS + 1, len(points)) + 1)]  # the first is the sample
    distances, index = tree.query(points[samples], k=nearest)
    weights = kriging_weights(points, multiplicity, index, distances, covariance)
    predicted = np.einsum("mk,mkb->mb", weights, values[index])
    return float(np.mean((predicted - values[samples]) ** 2))


def fit_covariance(
    points: npt.NDArray[np.float64],
    multiplicity: npt.NDArray[np.integer],
    counts: npt.NDArray[np.number],
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
    counts : (n, b) float
        Mean counts of the spectra at each position in b energy bands.
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
    bands = np.asarray(counts, dtype=np.float64)
    means = np.average(bands, axis=0, weights=multiplicity)
    shot_noise = np.mean(bands / np.asarray(multiplicity)[:, None], axis=0)
    signal = float(np.clip(bands.var(axis=0) - shot_noise, 0, None).sum())
    noise = float(means.sum())
    nugget = 100.0 if signal <= noise / 100.0 else max(noise / signal, SMALLEST_NUGGET)
    lit = means > 0
    if len(points) < 4 or not lit.any():
        return Covariance(FALLBACK_RANGE, nugget)
    scaled = bands[:, lit] / np.sqrt(means[lit])
    tree = cKDTree(points)
    samples = np.random.default_rng(seed).permutation(len(points))[:max_samples]
    errors = [
        leave_one_out_error(
            points, multiplicity, scaled, Covariance(r, nugget), samples=samples, tree=tree
        )
        for r in RANGES
    ]
    return Covariance(RANGES[int(np.argmin(errors))], nugget)
