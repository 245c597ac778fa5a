"""Simplified outlines: fewer corners, and never farther away than was said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core import Grid, ParameterError
from maxrf_core.outline import TOLERANCE_CELLS, simplified
from maxrf_core.regions import polygon_mask

GRID = Grid(100.0, -40.0, 20.0, 5.0, 60, 90)
"""Flat cells, so that steps along x and y are not alike."""


def lasso(n, *, wobble=0.0, seed=1):
    """Return an ellipse (n, 2) drawn with an unsteady hand; `wobble` in cells."""
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    unsteady = wobble * np.random.default_rng(seed).uniform(-1, 1, (n, 2))
    cells = np.column_stack([45 + 30 * np.cos(angle), 30 + 18 * np.sin(angle)]) + unsteady
    return np.array([GRID.x[0], GRID.y[0]]) + cells * np.array([GRID.dx, GRID.dy])


def distance_in_cells(point, outline):
    """Return how far a point lies from a closed outline, segment by segment."""
    size = np.array([GRID.dx, GRID.dy])
    point, corners = point / size, outline / size
    found = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        share = np.clip((point - start) @ (end - start) / ((end - start) @ (end - start)), 0, 1)
        found.append(np.linalg.norm(point - start - share * (end - start)))
    return min(found)


@given(n=st.integers(4, 300), wobble=st.floats(0, 3), seed=st.integers(0, 9))
def test_no_vertex_strays_farther_than_half_a_cell(n, wobble, seed):
    """That is what the page promises of a lasso, whatever the hand did."""
    drawn = lasso(n, wobble=wobble, seed=seed)
    found = simplified(drawn, GRID)
    assert max(distance_in_cells(one, found) for one in drawn) <= TOLERANCE_CELLS + 1e-9
    rows = [np.flatnonzero((drawn == one).all(axis=1))[0] for one in found]
    assert rows == sorted(rows), "the vertices that stay keep their order"


def test_a_lasso_gets_short_and_keeps_its_cells_but_for_the_rim():
    """Two thousand points of a mouse are some forty corners; no cell inside changes."""
    drawn = lasso(2000, wobble=0.2)
    found = simplified(drawn, GRID)
    assert len(found) < 60
    before, after = polygon_mask(GRID, drawn), polygon_mask(GRID, found)
    changed = np.argwhere(before != after)
    centres = np.column_stack([GRID.x[changed[:, 1]], GRID.y[changed[:, 0]]])
    assert 0 < len(changed) < 0.05 * before.sum()
    assert max(distance_in_cells(one, drawn) for one in centres) <= TOLERANCE_CELLS


def test_corners_of_a_polygon_stay():
    """Clicked one by one, each was meant."""
    corners = np.array([[120.0, -30.0], [900.0, -20.0], [1000.0, 200.0], [110.0, 150.0]])
    np.testing.assert_array_equal(simplified(corners, GRID), corners)
    np.testing.assert_array_equal(simplified(corners[:3], GRID), corners[:3])


def test_a_sliver_is_left_as_it_is():
    """Without its middle it would be a line, and hold no cell."""
    sliver = np.array([[100.0, 0.0], [500.0, 0.6], [900.0, 0.0], [500.0, -0.6]])
    np.testing.assert_array_equal(simplified(sliver, GRID), sliver)


def test_what_is_no_polygon_is_refused():
    """Two points and a way back hold nothing."""
    with pytest.raises(ParameterError, match="vertices"):
        simplified([[0.0, 0.0], [1.0, 1.0]], GRID)
