"""The covariance of kriging, fitted to the counts of the scan itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .kriging import Covariance, kriging_weights, local_nuggets
from .parallel import in_parallel

__all__ = [
    "ANISOTROPIES",
    "FALLBACK",
    "NUGGET_FACTORS",
    "RANGES",
    "expected_risk",
    "fit_covariance",
    "total_loss",
]

RANGES = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
ANISOTROPIES = (0.5, 0.7, 1.0, 1.4, 2.0)
NUGGET_FACTORS = (0.05, 0.1, 0.18, 0.3, 0.56, 1.0, 1.8, 3.0)
"""Values on trial, about evenly spaced in their logarithms."""

FALLBACK = Covariance(2.0, 1.0, 0.3)
"""For scans too small to say anything: about the middle of what the benchmark's scans give."""
_FEWEST_POSITIONS = 4

_FIRST_TRIALS = [Covariance(a, 1.0, b) for a in (1.0, 2.0, 4.0, 8.0) for b in (0.1, 0.3, 1.0, 3.0)]
_ROUNDS = 3


def expected_risk(
    points: npt.NDArray[np.float64],
    exposures: npt.NDArray[np.float64],
    means: npt.NDArray[np.floating],
    levels: npt.NDArray[np.float64],
    neighbours: npt.NDArray[np.integer],
    nuggets: npt.NDArray[np.float64],
    covariance: Covariance,
) -> npt.NDArray[np.float64]:
    """Return the expected squared error of kriging with a covariance, from counts alone.

    Let y be a position's mean counts, v = y / exposure their Poisson variance, p its prediction
    and w its own weight in it. Then ``(p - y)^2 + (2 w - 1) v`` is on average the squared error
    of p against the truth (Stein's unbiased estimate for a linear predictor: Stein 1981, *Annals
    of Statistics* 9, 1135, whose proof asks of a linear one no more than the variance), and
    ``((p - y) / (1 - w))^2 - v`` that of a prediction without the position's own counts: leave
    one out, from the same equations (Wahba 1990, *Spline Models for Observational Data*, lemma
    4.2.1). Cells lie between their spectra: neither on one nor where one is missing. So the
    mean of both is taken.

    Parameters
    ----------
    points : (n, 2) float64
        Distinct positions of spectra, in pitches.
    exposures : (n,) float64
        Live time at each, in mean live times of a spectrum.
    means : (n, b) float
        Mean counts at each in b bands.
    levels : (b,) float64
        Mean counts of each band over the scan; positive.
    neighbours : (m, k) integer
        Some positions, each followed by its nearest others.
    nuggets : (m,) float64
        Local nugget around each of those, found without its own counts.
    covariance : Covariance
        The covariance on trial.

    Returns
    -------
    risks : (b,) float64
        Mean over positions, in units of the shot noise of one spectrum: 1 is the error of
        spectra taken as they are. An estimate: a small one may come out below 0.
    """
    own = neighbours[:, 0]
    weights = kriging_weights(points, exposures, None, neighbours, points[own], nuggets, covariance)
    predicted = np.einsum("mk,mkb->mb", weights, means[neighbours], optimize=False)
    noise = means[own] / exposures[own, None]
    weight = weights[:, :1]
    error = predicted - means[own]
    kept = error**2 + (2.0 * weight - 1.0) * noise
    left_out = (error / np.maximum(1.0 - weight, 1e-9)) ** 2 - noise
    return np.mean(0.5 * (kept + left_out), axis=0) / levels


def total_loss(risks: npt.NDArray[np.float64]) -> float:
    """Return what the bands' risks r amount to: the mean of r^1.5, beyond 1 of its tangent.

    One W serves all bands. Plain ones gain by averaging, sharp ones by leaving it; a power above
    1 keeps gains of the many from being paid for by the few, and the tangent keeps bands of
    great risk, of strong lines at many counts, from deciding alone.
    """
    risks = np.maximum(risks, 0.0)
    return float(np.mean(np.where(risks < 1.0, risks**1.5, 1.5 * risks - 0.5)))


def fit_covariance(
    points: npt.NDArray[np.float64],
    exposures: npt.NDArray[np.float64],
    means: npt.NDArray[np.floating],
    levels: npt.NDArray[np.float64],
    neighbours: npt.NDArray[np.integer],
) -> Covariance:
    """Fit range, anisotropy and nugget factor to the scan's own counts.

    They minimise the `total_loss` of `expected_risk` over the bands: first on a coarse mesh of
    ranges and factors, then each of the three in turn among all its values until nothing changes.

    Parameters
    ----------
    points, exposures, means, levels
        As of `expected_risk`.
    neighbours : (m, k) integer
        Positions that stand for the cells of the map, each followed by its nearest others.

    Returns
    -------
    Covariance
        `FALLBACK` for fewer than four positions or without any counts.

    Notes
    -----
    The criterion was chosen on the scans of `tests.benchmarks.accuracy`: its choice comes within
    2 % of the best that knowing the truth allows. Leave-one-out alone, Stein's estimate alone,
    and means of logarithms, roots or squares over the bands did worse. The object's spread is
    taken as the same around all places here: with spreads from the counts on trial the estimate
    is no longer unbiased, and chose badly.
    """
    if len(points) < _FEWEST_POSITIONS or len(levels) == 0:
        return FALLBACK
    own = points[neighbours[:, 0]]
    nuggets = local_nuggets(points, exposures, means, levels, neighbours, own, without_first=True)
    losses: dict[Covariance, float] = {}

    def best_of(trials: Iterable[Covariance]) -> Covariance:
        tried = list(trials)
        new = [trial for trial in tried if trial not in losses]
        found = in_parallel(
            lambda trial: total_loss(
                expected_risk(points, exposures, means, levels, neighbours, nuggets, trial)
            ),
            new,
        )
        losses.update(zip(new, found, strict=True))
        return min(tried, key=losses.__getitem__)

    best = best_of(_FIRST_TRIALS)
    for _ in range(_ROUNDS):
        before = best
        best = best_of(replace(best, anisotropy=value) for value in ANISOTROPIES)
        best = best_of(replace(best, nugget_factor=value) for value in NUGGET_FACTORS)
        best = best_of(replace(best, range_pitches=value) for value in RANGES)
        if best == before:
            break
    return best
