"""The places of a scan: which there are, which are near, and which spectra share them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core.places import Places

seeds = st.integers(0, 2**32 - 1)


def crowded_points(rng, n):
    """Return points on a coarse lattice, so that some coincide, with a crowd and outliers."""
    points = rng.integers(0, 9, (n, 2)) * [1.0, 0.5]
    crowd = rng.uniform(size=n) < 0.3
    points[crowd] = [2.0, 1.5] + 1e-3 * rng.integers(-2, 3, (crowd.sum(), 2))
    far = rng.uniform(size=n) < 0.1
    points[far] = rng.uniform(-1, 1, (far.sum(), 2)) * 10.0 ** rng.uniform(1, 7, (far.sum(), 1))
    return points


@st.composite
def scenes(draw):
    """Points, and bounds that hold all, some or none of them."""
    rng = np.random.default_rng(draw(seeds))
    points = crowded_points(rng, draw(st.integers(1, 120)))
    corner = rng.uniform(-4, 6, 2)
    extent = 10.0 ** rng.uniform(-2, 2, 2)
    return points, (*corner, *(corner + extent)), rng


def by_brute_force(points, targets, k, reach):
    """Look at all places; a stable sort keeps those at one distance in their order."""
    squares = ((points[None] - targets[:, None]) ** 2).sum(axis=2)
    index = np.argsort(squares, axis=1, kind="stable")[:, :k]
    distances = np.sqrt(np.take_along_axis(squares, index, axis=1))
    none = distances[:, 0] > reach
    index[none], distances[none] = 0, np.inf
    return index, distances


@given(scene=scenes(), k=st.integers(1, 25), reach=st.sampled_from([0.3, 1.5, np.inf]))
def test_the_nearest_places_are_those_of_a_search_through_all(scene, k, reach):
    """To the last bit, ties included: also for points beyond the bounds, and on the lattice."""
    points, bounds, rng = scene
    places = Places(points, bounds)
    k = min(k, len(places.points))
    targets = np.concatenate(
        [
            rng.uniform(-6, 16, (20, 2)),
            rng.integers(0, 18, (20, 2)) * [0.5, 0.25],
            points[:20],
            np.array(bounds).reshape(2, 2),
        ]
    )
    index, distances = places.nearest(targets, k, reach=reach)
    expected, expected_distances = by_brute_force(places.points, targets, k, reach)
    np.testing.assert_array_equal(distances, expected_distances)
    np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize(("beyond", "found"), [(0.0, True), (1e-12, False)])
def test_the_reach_is_kept_to_rounding(beyond, found):
    """A place at just this distance counts."""
    places = Places(np.array([[1.5 + beyond, 0.0], [4.0, 0.0], [9.0, 3.0]]), (-1, -1, 9, 3))
    index, distances = places.nearest(np.zeros((1, 2)), 2, reach=1.5)
    expected = [1.5, 4.0] if found else [np.inf, np.inf]
    np.testing.assert_array_equal(distances[0], expected)
    np.testing.assert_array_equal(index[0], [0, 1] if found else [0, 0])


@given(scene=scenes())
def test_places_are_the_distinct_positions_in_order(scene):
    """By x, then y: nothing depends on the order in which spectra were taken."""
    points, bounds, rng = scene
    places = Places(points[rng.permutation(len(points))], bounds)
    expected, counts = np.unique(points, axis=0, return_counts=True)
    np.testing.assert_array_equal(places.points, expected)
    np.testing.assert_array_equal(places.counts, counts)


@given(scene=scenes())
def test_the_mean_at_a_place_is_over_its_spectra(scene):
    """What the covariance is fitted to."""
    points, bounds, rng = scene
    values = rng.poisson(30, (len(points), 3)).astype(np.uint32)
    places = Places(points, bounds)
    expected = [
        values[(points == place).all(axis=1)].mean(axis=0, dtype=np.float64)
        for place in places.points
    ]
    # whole numbers below 2^53: sums are exact, and one division rounds alike
    np.testing.assert_array_equal(places.mean(values), np.asarray(expected, np.float32))


@given(scene=scenes())
def test_the_mean_at_a_place_is_counts_over_live_time(scene):
    """A spectrum that was counted for longer says more: counts add up, and so do live times."""
    points, bounds, rng = scene
    values = rng.poisson(30, (len(points), 3)).astype(np.uint32)
    live_times = rng.uniform(0.01, 0.06, len(points))
    places = Places(points, bounds, live_times)
    relative = live_times / live_times.mean()
    here = (points[:, None] == places.points).all(axis=2)
    np.testing.assert_allclose(places.exposures, relative @ here, rtol=1e-12)
    expected = (here.T @ values) / (relative @ here)[:, None]
    np.testing.assert_allclose(places.mean(values), expected, rtol=1e-6)  # float32


@given(scene=scenes(), time=st.floats(1e-3, 1e3))
def test_equal_live_times_change_nothing(scene, time):
    """Not a single bit: the same scan makes the same file, with live times and without."""
    points, bounds, rng = scene
    values = rng.poisson(30, (len(points), 2))
    plain, timed = (Places(points, bounds, t) for t in (None, np.full(len(points), time)))
    np.testing.assert_array_equal(timed.exposures, plain.counts)
    np.testing.assert_array_equal(timed.mean(values), plain.mean(values))
    every, weights = np.arange(len(plain.points))[None], rng.normal(size=(1, len(plain.points)))
    for ours, theirs in zip(timed.share(every, weights), plain.share(every, weights), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_spectra_at_a_place_share_its_weight_by_live_time():
    """Inverse variance: the variance of a rate goes with one over the live time."""
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    places = Places(points, (0, 0, 1, 1), np.array([0.01, 0.05, 0.03, 0.06]))
    rows = places.share(np.array([[0, 1]]), np.array([[0.7, 0.3]]))
    np.testing.assert_allclose(rows.weights, [0.07, 0.3, 0.21, 0.42], rtol=1e-6)  # float32


@given(scene=scenes(), k=st.integers(1, 6))
def test_the_spectra_at_a_place_share_its_weight(scene, k):
    """Column by column in order; a place of weight 0 is left out."""
    points, bounds, rng = scene
    places = Places(points, bounds)
    k = min(k, len(places.points))
    chosen = np.array([rng.choice(len(places.points), k, replace=False) for _ in range(11)])
    weights = rng.normal(size=(11, k)) * (rng.uniform(size=(11, k)) < 0.7)
    rows = places.share(chosen, weights)
    start = 0
    for row in range(11):
        expected = {}
        for place, weight in zip(chosen[row], weights[row], strict=True):
            here = np.flatnonzero((points == places.points[place]).all(axis=1))
            if weight != 0:
                expected |= dict.fromkeys(here.tolist(), np.float32(weight / len(here)))
        part = slice(start, start + rows.lengths[row])
        assert rows.columns[part].tolist() == sorted(expected)
        assert rows.weights[part].tolist() == [expected[i] for i in sorted(expected)]
        start += rows.lengths[row]
    assert len(rows.columns) == len(rows.weights) == start


def test_a_row_of_thousands_of_spectra_is_in_order(rng):
    """A head that is parked takes spectra at a few places for hours."""
    points = rng.integers(0, 3, (5000, 2)).astype(np.float64)
    places = Places(points, (0, 0, 2, 2))
    assert len(places.points) == 9
    rows = places.share(np.arange(9)[None], np.full((1, 9), 1 / 9))
    np.testing.assert_array_equal(rows.columns, np.arange(5000))
    lying_together = (points[:, None] == places.points).all(axis=2).argmax(axis=1)
    expected = (1 / 9) / places.counts[lying_together]
    np.testing.assert_array_equal(rows.weights, expected.astype(np.float32))
