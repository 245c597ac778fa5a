"""Local ordinary kriging: its weights and the covariance fitted to a scan."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from maxrf_core.kriging import (
    FALLBACK_RANGE,
    RANGES,
    Covariance,
    _exp_minus,
    fit_covariance,
    kriging_weights,
    leave_one_out_error,
)

seeds = st.integers(0, 2**32 - 1)


def matern(distances, length):
    a = np.sqrt(3) * distances / length
    return (1 + a) * np.exp(-a)


def by_textbook(points, multiplicity, target, covariance):
    """Solve Cressie's (3.2.12) with its Lagrange multiplier, as it stands."""
    k = len(points)
    system = np.ones((k + 1, k + 1))
    system[:k, :k] = matern(cdist(points, points), covariance.range_pitches)
    system[:k, :k] += np.diag(covariance.nugget / multiplicity)
    system[k, k] = 0.0
    right = np.append(matern(cdist(points, [target])[:, 0], covariance.range_pitches), 1.0)
    return np.linalg.solve(system, right)[:k]


def weights_at(target, points, multiplicity, covariance):
    neighbours = np.arange(len(points))[None]
    distances = cdist([target], points)
    return kriging_weights(points, multiplicity, neighbours, distances, covariance)[0]


def nearest_others(points, samples):
    """Return the 21 points nearest to each sample, itself left out."""
    return np.argsort(cdist(points[samples], points), axis=1)[:, 1:22]


def scattered(seed, k):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2.5, 2.5, (k, 2)), rng.integers(1, 5, k), rng.uniform(-1, 1, 2)


@given(
    seed=seeds,
    k=st.integers(1, 21),
    length=st.sampled_from(RANGES),
    nugget=st.floats(0.01, 100),
)
def test_the_weights_solve_the_ordinary_kriging_equations(seed, k, length, nugget):
    """The compiled Cholesky solution is the textbook's linear system."""
    points, multiplicity, target = scattered(seed, k)
    covariance = Covariance(length, nugget)
    weights = weights_at(target, points, multiplicity, covariance)
    # the system's condition is at most about 21 / 0.01 times that of its scaling
    expected = by_textbook(points, multiplicity, target, covariance)
    np.testing.assert_allclose(weights, expected, rtol=1e-8, atol=1e-9)


@given(seed=seeds, k=st.integers(1, 21), nugget=st.floats(0, 1e6), close=st.floats(0, 1))
def test_the_weights_sum_to_one_however_close_the_positions(seed, k, nugget, close):
    """At the turns positions crowd until they nearly coincide; nothing may blow up there."""
    points, multiplicity, target = scattered(seed, k)
    points[k // 2 :] = points[0] + close**9 * (points[k // 2 :] - points[0])
    weights = weights_at(target, points, multiplicity, Covariance(8.0, nugget))
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert np.isfinite(weights).all()


@given(seed=seeds, m=st.integers(1, 200), k=st.integers(1, 21), split=st.integers(0, 200))
def test_a_cell_has_the_same_weights_in_any_company(seed, m, k, split):
    """Cells are solved side by side; who stands where must not show in a single bit."""
    rng = np.random.default_rng(seed)
    points, multiplicity = rng.uniform(0, 6, (40, 2)), rng.integers(1, 4, 40)
    targets = rng.uniform(0, 6, (m, 2))
    distances = cdist(targets, points)
    neighbours = np.argsort(distances, axis=1)[:, :k]
    distances = np.take_along_axis(distances, neighbours, axis=1)
    covariance = Covariance(2.0, 0.1)
    together = kriging_weights(points, multiplicity, neighbours, distances, covariance)
    for part in (slice(0, split), slice(split, m)):
        alone = kriging_weights(
            points, multiplicity, neighbours[part].astype(np.int32), distances[part], covariance
        )
        np.testing.assert_array_equal(alone, together[part])


@given(x=st.floats(0, 700) | st.floats(0, 1e-6))
def test_the_exponential_is_exact_to_rounding(x):
    """It is our own, so that compilers can do several at once."""
    # 2^-52 of its value is the spacing of numbers: two neighbours at most
    assert _exp_minus(x) == pytest.approx(np.exp(-x), rel=2.0**-52, abs=0)


def test_the_exponential_of_a_great_distance_is_next_to_nothing():
    """Beyond 700 it no longer falls; the true value is below 1e-304 as well."""
    assert 0 < _exp_minus(1e9) < 1e-303


def test_without_noise_a_position_keeps_its_own_value():
    """Kriging interpolates: it goes through data that are certain."""
    points, multiplicity, _ = scattered(3, 12)
    weights = weights_at(points[4], points, multiplicity, Covariance(2.0, 0.0))
    # SMALLEST_NUGGET takes a millionth
    np.testing.assert_allclose(weights, np.eye(12)[4], atol=1e-4)


def test_with_much_noise_every_spectrum_counts_alike():
    """Shot noise alone is averaged out best by a plain mean over spectra."""
    points, multiplicity, target = scattered(4, 12)
    weights = weights_at(target, points, multiplicity, Covariance(2.0, 1e9))
    np.testing.assert_allclose(weights, multiplicity / multiplicity.sum(), rtol=1e-6)


def test_neighbours_at_equal_distances_weigh_the_same():
    """No direction is preferred."""
    points = np.array([[0.5, 0.5], [-0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
    weights = weights_at([0, 0], points, np.ones(4, int), Covariance(1.4, 0.3))
    np.testing.assert_allclose(weights, 0.25, rtol=1e-12)


def test_a_nearer_spectrum_weighs_more():
    """A sign error in the covariance would turn this round."""
    points = np.array([[0.2, 0.0], [1.1, 0.0]])
    near, far = weights_at([0, 0], points, np.ones(2, int), Covariance(1.4, 0.3))
    assert near > far > 0


def test_the_inputs_are_not_changed():
    """Positions are shared by all methods."""
    points, multiplicity, target = scattered(5, 9)
    before = points.copy(), multiplicity.copy()
    weights_at(target, points, multiplicity, Covariance(2.0, 0.5))
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(multiplicity, before[1])


def test_the_leave_one_out_error_predicts_each_position_from_the_others(rng):
    """Found by leaving positions out for real, one at a time."""
    points = rng.uniform(0, 5, (23, 2))
    multiplicity = rng.integers(1, 3, 23)
    values = rng.normal(size=(23, 2))
    covariance = Covariance(1.4, 0.5)
    samples = np.array([0, 7, 22])
    squares = []
    for sample in samples:
        others = np.delete(np.arange(23), sample)
        near = others[np.argsort(cdist([points[sample]], points[others])[0])[:21]]
        weights = by_textbook(points[near], multiplicity[near], points[sample], covariance)
        squares.append((weights @ values[near] - values[sample]) ** 2)
    neighbours = nearest_others(points, samples)
    found = leave_one_out_error(
        points, multiplicity, values, covariance, samples=samples, neighbours=neighbours
    )
    assert found == pytest.approx(np.mean(squares), rel=1e-9)


# --- the fitted covariance -------------------------------------------------------------------
def raster_points():
    x, y = np.meshgrid(np.arange(37.0), np.arange(43.0))
    return np.column_stack([x.ravel(), y.ravel()])


def test_the_nugget_is_shot_noise_over_the_objects_variance(rng):
    """Half the positions have 60 and half 140 counts: noise 100, object 40 squared."""
    points = raster_points()
    truth = np.where(points[:, 0] % 8 < 4, 60.0, 140.0)
    share = truth.var() / truth.mean()
    covariance = fit_covariance(points, np.ones(len(points), int), [rng.poisson(truth)])
    # 1591 positions: the variance is known to about 5 %
    assert covariance.nugget == pytest.approx(1 / share, rel=0.15)


def test_the_mean_of_several_spectra_at_one_position_has_less_noise(rng):
    """Multiplicity m divides shot noise by m; the nugget is that of one spectrum all the same."""
    points = raster_points()
    truth = np.where(points[:, 0] % 8 < 4, 60.0, 76.0)  # noise about 68, object 8 squared
    multiplicity = rng.integers(1, 9, len(points))
    means = rng.poisson(truth * multiplicity) / multiplicity
    covariance = fit_covariance(points, multiplicity, [means])
    # the variance of 1591 means, about 87, is known to 3, the object's share of it to 5 %
    assert covariance.nugget == pytest.approx(truth.mean() / truth.var(), rel=0.15)


def test_a_smoother_object_has_a_longer_range(rng):
    """Broad brush strokes are averaged over a wider neighbourhood than fine lines."""
    points = raster_points()
    ones = np.ones(len(points), int)
    ranges = []
    for wavelength in (4.0, 40.0):
        wave = np.sin(2 * np.pi * points / wavelength).sum(axis=1)
        counts = rng.poisson(50 + 20 * wave)
        ranges.append(fit_covariance(points, ones, [counts]).range_pitches)
    assert ranges[0] < ranges[1]


def test_the_chosen_range_has_the_smallest_leave_one_out_error(rng):
    """The fit does what its docstring says, over all ranges."""
    points = raster_points()[:400] + rng.uniform(-0.1, 0.1, (400, 2))  # no neighbours tie
    ones = np.ones(len(points), int)
    counts = rng.poisson(40 + 15 * np.sin(points[:, :1] / 2), (400, 1)).astype(float)
    fitted = fit_covariance(points, ones, counts.T)
    errors = [
        leave_one_out_error(
            points,
            ones,
            counts,
            Covariance(length, fitted.nugget),
            samples=np.arange(400),
            neighbours=nearest_others(points, np.arange(400)),
        )
        for length in RANGES
    ]
    assert fitted.range_pitches == RANGES[int(np.argmin(errors))]


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_a_blank_object_is_averaged(level):
    """No variance, or none beyond shot noise: the nugget is large and finite."""
    points = raster_points()
    counts = np.full((len(points), 3), level)
    covariance = fit_covariance(points, np.ones(len(points), int), counts.T)
    assert covariance.nugget == 100.0
    assert covariance.range_pitches in RANGES


@pytest.mark.parametrize("n", [1, 2, 3])
def test_three_positions_are_too_few_for_a_range(n, rng):
    """A range is assumed then; the weights still come out."""
    points = rng.uniform(0, 3, (n, 2))
    covariance = fit_covariance(points, np.ones(n, int), rng.poisson(50, (2, n)))
    assert covariance.range_pitches == FALLBACK_RANGE
    assert covariance.nugget > 0


def test_the_fit_is_the_same_every_time(rng):
    """The sample of positions is seeded: equal input makes equal files."""
    points = raster_points()
    counts = rng.poisson(20 + points[:, :1])
    ones = np.ones(len(points), int)
    fits = [fit_covariance(points, ones, counts.T, max_samples=50) for _ in range(3)]
    assert fits[0] == fits[1] == fits[2]
