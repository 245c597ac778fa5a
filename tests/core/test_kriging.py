"""Local ordinary kriging: its weights, and the nugget around each cell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from maxrf_core.kriging import (
    LARGEST_NUGGET,
    Covariance,
    _exp_minus,
    kriging_weights,
    local_nuggets,
)

seeds = st.integers(0, 2**32 - 1)


def matern(a, b, covariance):
    scale = np.array([1.0, covariance.anisotropy]) * covariance.range_pitches
    d = np.sqrt(3) * cdist(a / scale, b / scale)
    return (1 + d) * np.exp(-d)


def by_textbook(points, exposures, target, nugget, covariance, spread=1.0):
    """Solve Cressie's (3.2.12) with its Lagrange multiplier, as it stands."""
    k = len(points)
    spread = np.broadcast_to(spread, k)
    system = np.ones((k + 1, k + 1))
    system[:k, :k] = np.outer(spread, spread) * matern(points, points, covariance)
    system[:k, :k] += np.diag(nugget * covariance.nugget_factor / exposures)
    system[k, k] = 0.0
    right = np.append(spread * matern(points, [target], covariance)[:, 0], 1.0)
    return np.linalg.solve(system, right)[:k]


def weights_at(target, points, exposures, nugget, covariance, place_nuggets=None):
    neighbours = np.arange(len(points))[None]
    exposures = np.asarray(exposures, dtype=np.float64)
    return kriging_weights(
        points, exposures, place_nuggets, neighbours, np.array([target], dtype=np.float64),
        np.array([nugget]), covariance,
    )[0]  # fmt: skip


def scattered(seed, k):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2.5, 2.5, (k, 2)), rng.uniform(0.2, 5, k), rng.uniform(-1, 1, 2)


@given(
    seed=seeds,
    k=st.integers(1, 25),
    length=st.floats(0.7, 8),
    anisotropy=st.floats(0.5, 2),
    nugget=st.floats(0.05, 100),
)
def test_the_weights_solve_the_ordinary_kriging_equations(seed, k, length, anisotropy, nugget):
    """The compiled Cholesky solution is the textbook's linear system."""
    points, exposures, target = scattered(seed, k)
    covariance = Covariance(length, anisotropy, 0.7)
    weights = weights_at(target, points, exposures, nugget, covariance)
    # the system's condition is at most some thousands times that of its scaling
    expected = by_textbook(points, exposures, target, nugget, covariance)
    np.testing.assert_allclose(weights, expected, rtol=1e-7, atol=1e-9)


@given(seed=seeds, k=st.integers(2, 25))
def test_spreads_follow_the_nuggets_of_places(seed, k):
    """A covariance is the Matern function times both spreads, to the power 1/3 and bounded."""
    points, exposures, target = scattered(seed, k)
    nuggets = 10.0 ** np.random.default_rng(seed).uniform(-3, 2, k)
    covariance = Covariance(2.0, 1.4, 0.5)
    weights = weights_at(target, points, exposures, 0.8, covariance, nuggets)
    spread = np.clip((0.8 / nuggets) ** (1 / 3), 1 / 3, 3)
    expected = by_textbook(points, exposures, target, 0.8, covariance, spread)
    np.testing.assert_allclose(weights, expected, rtol=1e-7, atol=1e-9)


@given(seed=seeds, k=st.integers(1, 25), nugget=st.floats(1e-9, 1e6), close=st.floats(0, 1))
def test_the_weights_sum_to_one_however_close_the_positions(seed, k, nugget, close):
    """At the turns positions crowd until they nearly coincide; nothing may blow up there."""
    points, exposures, target = scattered(seed, k)
    points[k // 2 :] = points[0] + close**9 * (points[k // 2 :] - points[0])
    weights = weights_at(target, points, exposures, nugget, Covariance(8.0, 1.0, 1.0))
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    assert np.isfinite(weights).all()


@given(seed=seeds, m=st.integers(1, 200), k=st.integers(1, 25), split=st.integers(0, 200))
def test_a_cell_has_the_same_weights_in_any_company(seed, m, k, split):
    """Cells are solved side by side; who stands where must not show in a single bit."""
    rng = np.random.default_rng(seed)
    points, exposures = rng.uniform(0, 6, (40, 2)), rng.uniform(0.5, 4, 40)
    targets, nuggets = rng.uniform(0, 6, (m, 2)), rng.uniform(0.1, 9, m)
    neighbours = np.argsort(cdist(targets, points), axis=1)[:, :k]
    covariance, places = Covariance(2.0, 1.4, 0.1), (points, exposures, rng.uniform(0.1, 9, 40))
    together = kriging_weights(*places, neighbours, targets, nuggets, covariance)
    for part in (slice(0, split), slice(split, m)):
        near = neighbours[part].astype(np.int32)
        alone = kriging_weights(*places, near, targets[part], nuggets[part], covariance)
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
    points, exposures, _ = scattered(3, 12)
    weights = weights_at(points[4], points, exposures, 1e-9, Covariance(2.0, 1.0, 1.0))
    # SMALLEST_NUGGET takes a millionth
    np.testing.assert_allclose(weights, np.eye(12)[4], atol=1e-4)


def test_with_much_noise_every_spectrum_counts_by_its_live_time():
    """Shot noise alone is averaged out best by a mean over all counts."""
    points, exposures, target = scattered(4, 12)
    weights = weights_at(target, points, exposures, 1e9, Covariance(2.0, 1.0, 1.0))
    np.testing.assert_allclose(weights, exposures / exposures.sum(), rtol=1e-6)


def test_neighbours_at_equal_distances_weigh_the_same():
    """No direction is preferred."""
    points = np.array([[0.5, 0.5], [-0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]])
    weights = weights_at([0, 0], points, np.ones(4), 0.3, Covariance(1.4, 1.0, 1.0))
    np.testing.assert_allclose(weights, 0.25, rtol=1e-12)


def test_a_nearer_spectrum_weighs_more():
    """A sign error in the covariance would turn this round."""
    points = np.array([[0.2, 0.0], [1.1, 0.0]])
    near, far = weights_at([0, 0], points, np.ones(2), 0.3, Covariance(1.4, 1.0, 1.0))
    assert near > far > 0


def test_the_inputs_are_not_changed():
    """Positions are shared by all methods."""
    points, exposures, target = scattered(5, 9)
    before = points.copy(), exposures.copy()
    weights_at(target, points, exposures, 0.5, Covariance(2.0, 1.4, 1.0))
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(exposures, before[1])


def test_a_longer_range_along_y_gives_more_weight_along_y():
    """Rows are often half as far apart as columns, and strokes have directions."""
    points = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    weights = weights_at([0, 0], points, np.ones(4), 0.3, Covariance(1.4, 2.0, 1.0))
    assert weights[2] == pytest.approx(weights[3], rel=1e-12)
    assert weights[2] > 1.5 * weights[0]


# --- the nugget around each cell ----------------------------------------------------------------
def disc(rng, n=25):
    return rng.uniform(-2, 2, (n, 2))


def test_a_nugget_is_shot_noise_over_the_objects_variance(rng):
    """Neighbours differ by 7 counts around 100: the nugget is 100 / 7^2, whatever was counted."""
    k, bands = 25, 20_000
    exposures = rng.uniform(0.3, 3, k)
    truth = 100 + 7 * rng.standard_normal((k, bands))
    means = rng.poisson(truth * exposures[:, None]) / exposures[:, None]
    nuggets = local_nuggets(
        disc(rng, k), exposures, means, np.full(bands, 100.0), np.arange(k)[None], np.zeros((1, 2))
    )
    # each band's variance is known to about once the object's: 20,000 of them to 1 %
    assert 1 / nuggets[0] == pytest.approx(7**2 / 100, rel=0.05)


def test_a_plain_place_has_the_largest_nugget():
    """No variance beyond shot noise: average; and never divide by nothing."""
    nuggets = local_nuggets(
        np.zeros((9, 2)), np.ones(9), np.full((9, 2), 7.0), np.array([7.0, 7.0]),
        np.arange(9)[None], np.zeros((1, 2)),
    )  # fmt: skip
    assert nuggets.tolist() == [LARGEST_NUGGET]


def test_without_its_first_neighbour_a_nugget_says_nothing_of_it(rng):
    """The fit asks how a position is predicted from others: it must not know the answer."""
    points, means = disc(rng), rng.poisson(50, (25, 3)).astype(float)
    order = rng.permutation(25)[None]
    changed = means.copy()
    changed[order[0, 0]] += 1000
    ours, theirs = (
        local_nuggets(points, np.ones(25), each, np.full(3, 50.0), order, np.zeros((1, 2)),
                      without_first=True)
        for each in (means, changed)
    )  # fmt: skip
    assert ours == theirs


@pytest.mark.parametrize("k", [1, 2])
def test_one_neighbour_has_no_variance(k):
    """A scan of one or two spectra still has an operator."""
    nuggets = local_nuggets(
        np.zeros((2, 2)), np.ones(2), np.ones((2, 1)), np.ones(1), np.zeros((3, k), int),
        np.zeros((3, 2)), without_first=k == 2,
    )  # fmt: skip
    assert nuggets.tolist() == [1.0, 1.0, 1.0]
