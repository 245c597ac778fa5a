"""The covariance fitted to a scan: its criterion, and what it chooses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from maxrf_core.covariance import FALLBACK, RANGES, expected_risk, fit_covariance, total_loss
from maxrf_core.kriging import Covariance, kriging_weights


def raster_points(shape=(43, 37), jitter=None):
    x, y = np.meshgrid(np.arange(shape[1]), np.arange(shape[0]))
    points = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    return points if jitter is None else points + jitter.uniform(-0.2, 0.2, points.shape)


def around(points, samples, k=25):
    return np.argsort(cdist(points[samples], points), axis=1, kind="stable")[:, :k]


def fit(points, means, exposures=None):
    exposures = np.ones(len(points)) if exposures is None else exposures
    levels = exposures @ means / exposures.sum()
    return fit_covariance(points, exposures, means, levels, around(points, slice(None)))


def test_the_risk_is_the_true_squared_error_on_average(rng):
    """It is found without the truth; over many draws, each a band, both agree."""
    points = raster_points((12, 15), rng)
    exposures = rng.uniform(0.5, 2, len(points))
    truth = 30 + 12 * np.sin(points[:, :1] / 1.5)
    near, nuggets = around(points, slice(None)), np.full(len(points), 0.6)
    levels, covariance = truth.mean(axis=0), Covariance(2.0, 1.4, 0.8)
    weights = kriging_weights(points, exposures, None, near, points, nuggets, covariance)
    weight = weights[:, :1].copy()
    others = weights / (1 - weight)
    others[:, 0] = 0.0
    found, true = [], []
    for _ in range(10):
        expected = np.repeat(truth * exposures[:, None], 2000, axis=1)
        means = rng.poisson(expected) / exposures[:, None]
        several = np.repeat(levels, 2000)
        risks = expected_risk(points, exposures, means, several, near, nuggets, covariance)
        found.append(risks.mean())
        for each in (weights, others):
            errors = np.einsum("mk,mkb->mb", each, means[near]) - truth
            true.append(np.mean(errors**2) / levels[0])
    # over 180 positions the estimate scatters by 70 % a draw: by 0.5 % in the mean of 20,000
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.02)


def test_leave_one_out_comes_from_the_same_equations(rng):
    """The criterion's shortcut, against predictions with the position left out for real."""
    points, exposures = raster_points((7, 9), rng), rng.uniform(0.5, 2, 63)
    means = rng.poisson(30, (63, 2)).astype(float)
    near, nuggets, levels = around(points, [5, 31]), np.array([0.4, 2.0]), np.array([30.0, 30.0])
    covariance = Covariance(1.4, 0.7, 1.8)
    own = near[:, 0]
    with_own = kriging_weights(points, exposures, None, near, points[own], nuggets, covariance)
    without = kriging_weights(
        points, exposures, None, near[:, 1:], points[own], nuggets, covariance
    )
    noise = means[own] / exposures[own, None]
    kept = np.einsum("mk,mkb->mb", with_own, means[near]) - means[own]
    left_out = np.einsum("mk,mkb->mb", without, means[near[:, 1:]]) - means[own]
    expected = 0.5 * (kept**2 + (2 * with_own[:, :1] - 1) * noise + left_out**2 - noise) / 30
    found = expected_risk(points, exposures, means, levels, near, nuggets, covariance)
    np.testing.assert_allclose(found, expected.mean(axis=0), rtol=1e-9)


def test_no_band_is_made_worse_for_the_sake_of_others():
    """Thin strokes of iron on a blank page: eleven of twelve bands would rather be averaged."""
    averaged, kept = np.array([0.04] * 11 + [1.2]), np.array([0.15] * 11 + [0.8])
    assert averaged.mean() < kept.mean()
    assert total_loss(kept) < total_loss(averaged)


def test_a_band_of_great_risk_does_not_decide_alone():
    """Beyond 1 the loss is linear: twice the risk is twice the loss, or a little more."""
    assert total_loss(np.array([40.0])) == pytest.approx(2 * total_loss(np.array([20.0])), rel=0.02)
    assert total_loss(np.array([1.0])) == pytest.approx(1.0)


def test_a_smoother_object_has_a_longer_range(rng):
    """Broad brush strokes are averaged over a wider neighbourhood than fine lines."""
    points = raster_points()
    ranges = []
    for wavelength in (4.0, 40.0):
        wave = np.sin(2 * np.pi * points / wavelength).sum(axis=1, keepdims=True)
        ranges.append(fit(points, rng.poisson(200 + 80 * wave)).range_pitches)
    assert ranges[0] < ranges[1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_is_not_taken_for_detail(seed):
    """The nugget around a position is found without its own counts, or each would look bright."""
    points = raster_points()
    truth = 20 + 6 * np.sin(points[:, :1] / 3)
    covariance = fit(points, np.random.default_rng(seed).poisson(truth))
    assert covariance.range_pitches >= 2  # with its own counts: 0.7


@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_have_the_longer_range_along_themselves(axis, rng):
    """What varies along x only is averaged along y."""
    points = raster_points()
    wave = np.sin(2 * np.pi * points[:, [axis]] / 7)
    anisotropy = fit(points, rng.poisson(60 + 30 * wave)).anisotropy
    assert anisotropy > 1 if axis == 0 else anisotropy < 1


def test_a_band_without_shot_noise_worth_the_name_is_not_smoothed(rng):
    """100,000 counts a spectrum are known to 0.3 %: a pattern of two pitches stays."""
    points = raster_points((20, 24), rng)
    means = rng.poisson(1e5 * (1 + 0.5 * np.sin(2.5 * points[:, :1]))).astype(float)
    covariance = fit(points, means)
    near = around(points, slice(None))
    weights = kriging_weights(
        points, np.ones(len(points)), None, near, points, np.full(len(points), 1e-4), covariance
    )
    assert np.median(weights[:, 0]) > 0.95


@pytest.mark.parametrize("n", [1, 2, 3])
def test_three_positions_are_too_few(n, rng):
    """A covariance is assumed then; the weights still come out."""
    assert fit(rng.uniform(0, 3, (n, 2)), rng.poisson(50, (n, 2))) == FALLBACK


def test_a_scan_without_counts_has_the_covariance_that_is_assumed():
    """No band has a level to be scaled by."""
    points = raster_points((5, 4))
    nothing = np.zeros((20, 0))
    near = around(points, slice(None))
    assert fit_covariance(points, np.ones(20), nothing, np.zeros(0), near) == FALLBACK


def test_the_fit_is_the_same_every_time(rng):
    """Threads try the covariances side by side; equal input makes equal files."""
    points = raster_points()
    counts = rng.poisson(20 + points[:, :1])
    fits = [fit(points, counts) for _ in range(3)]
    assert fits[0] == fits[1] == fits[2]
    assert fits[0].range_pitches in RANGES
