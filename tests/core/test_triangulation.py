"""Linear weights: the walk from triangle to triangle held equal to scipy's search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import cdist

from maxrf_core import triangulation as triangulation_module
from maxrf_core.triangulation import Triangles, along_line

seeds = st.integers(0, 2**32 - 1)


def scattered(seed, n):
    """Return distinct places, some of them crowded, and targets in and around them."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 8, (n, 2))
    crowd = n // 3
    places[:crowd] = places[-1] + 10.0 ** rng.uniform(-9, -1) * rng.normal(size=(crowd, 2))
    targets = np.concatenate([rng.uniform(-1, 9, (40, 2)), places[::2]])
    return np.unique(places, axis=0), targets


def nearest_place(places, targets):
    return cdist(targets, places).argmin(axis=1)


def value_at(values, corners, weights):
    return (values[corners] * weights).sum(axis=1)


@given(seed=seeds, n=st.integers(4, 40))
def test_the_walk_finds_what_scipy_finds(seed, n):
    """The same place in the same triangulation; without a step all is left to scipy."""
    places, targets = scattered(seed, n)
    triangles, nearest = Triangles(places), nearest_place(places, targets)
    corners, weights = triangles.weights(targets, nearest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triangulation_module, "_MAX_STEPS", 0)
        plain_corners, plain_weights = triangles.weights(targets, nearest)
    # On the hull within rounding either answer is right.
    edges = ConvexHull(places).equations
    clear = np.abs((targets @ edges[:, :2].T + edges[:, 2]).max(axis=1)) > 1e-6
    found = np.isfinite(weights).all(axis=1)
    np.testing.assert_array_equal(found[clear], np.isfinite(plain_weights).all(axis=1)[clear])
    both = found & np.isfinite(plain_weights).all(axis=1)
    # On an edge either triangle is right: so values are compared, not corners. They are
    # those of a piecewise linear function, steep where places crowd.
    values = np.cos(places @ [0.7, 0.4])
    np.testing.assert_allclose(
        value_at(values, corners, weights)[both],
        value_at(values, plain_corners, plain_weights)[both],
        rtol=0,
        atol=1e-6,
    )


@given(seed=seeds, n=st.integers(4, 40))
def test_the_weights_put_the_corners_back_at_the_target(seed, n):
    """That is what barycentric coordinates are."""
    places, targets = scattered(seed, n)
    corners, weights = Triangles(places).weights(targets, nearest_place(places, targets))
    inside = np.isfinite(weights).all(axis=1)
    assert inside.any()
    back = np.einsum("mk,mkd->md", weights[inside], places[corners[inside]])
    np.testing.assert_allclose(back, targets[inside], rtol=0, atol=1e-7)
    assert (weights[inside] >= 0).all()
    np.testing.assert_allclose(weights[inside].sum(axis=1), 1, rtol=1e-12)


def test_a_target_on_a_place_takes_that_place_alone(rng):
    """No rounding is handed to far corners."""
    places = rng.uniform(0, 8, (30, 2))
    corners, weights = Triangles(places).weights(places, np.arange(len(places)))
    assert np.count_nonzero(weights) == len(places)
    np.testing.assert_array_equal(corners[weights > 0], np.arange(len(places)))


def test_the_walk_is_short_also_from_a_place_that_qhull_left_out(monkeypatch, rng):
    """Of places that nearly coincide only one becomes a corner."""
    places = rng.uniform(0, 8, (400, 2))
    places = np.unique(np.concatenate([places, places[:9] + 1e-14]), axis=0)
    triangles = Triangles(places)
    left_out = np.setdiff1d(np.arange(len(places)), triangles._delaunay.simplices)
    assert len(left_out) > 0

    def give_up(*_):
        pytest.fail("the walk did not arrive")

    monkeypatch.setattr(triangulation_module, "_MAX_STEPS", 10)  # from afar it takes more
    monkeypatch.setattr(triangulation_module, "_barycentric", give_up)
    weights = triangles.weights(places[left_out] + [1e-3, 0], left_out)[1]
    assert np.isfinite(weights).all()


def test_a_target_outside_has_no_weights():
    """Nothing is extrapolated."""
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 2.0], [3.0, 2.5]])
    targets = np.array([[-0.1, 1.0], [1.0, -1e-3], [9.0, 9.0]])
    weights = Triangles(places).weights(targets, nearest_place(places, targets))[1]
    assert np.isnan(weights).all()


@pytest.mark.parametrize("places", [[[0.0, 0.0], [1.0, 2.0]], [[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]]])
def test_places_on_a_line_have_no_triangles(places):
    """The caller takes `along_line` then."""
    with pytest.raises(QhullError):
        Triangles(np.array(places))


def test_a_target_on_a_line_scan_lies_between_its_neighbours():
    """And beyond an end takes that end."""
    places = np.array([[0.0, 1.0], [2.0, 1.0], [6.0, 1.0]])
    pair, weights = along_line(places, np.array([[-3.0, 1.0], [1.5, 1.3], [3.0, 0.0], [9.0, 1.0]]))
    along = np.einsum("mk,mk->m", weights, places[pair, 0])
    np.testing.assert_allclose(along, [0.0, 1.5, 3.0, 6.0], rtol=0, atol=1e-12)
