"""Regions of a map: which cells they hold, and their way through JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from maxrf_core.errors import ParameterError
from maxrf_core.grid import Grid
from maxrf_core.region_json import region_from_json, region_to_json
from maxrf_core.regions import (
    MAX_VERTICES,
    Polygon,
    Rectangle,
    Region,
    Threshold,
    polygon_mask,
    rectangle_mask,
    region_mask,
    threshold_mask,
)

GRID = Grid(x0=1000.0, y0=-500.0, dx=100.0, dy=50.0, height=7, width=11)
WHOLE = (900.0, -600.0, 2100.0, 0.0)


def inside_by_loop(x, y, vertices):
    """Return whether a point is inside, by the even-odd rule, vertex after vertex."""
    inside = False
    for (x1, y1), (x2, y2) in zip(vertices, [*vertices[1:], vertices[0]], strict=True):
        if (y1 <= y) != (y2 <= y) and x1 + (y - y1) / (y2 - y1) * (x2 - x1) <= x:
            inside = not inside
    return inside


def test_a_rectangle_holds_the_cells_with_centres_in_it_border_included():
    """Rows are y and columns x: a mask the other way round would be of the wrong place."""
    mask = rectangle_mask(GRID, 1150.0, -500.0, 1400.0, -390.0)
    expected = np.zeros(GRID.shape, dtype=bool)
    expected[0:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_what_lies_beyond_the_grid_is_cut_off():
    """A box drawn over the map's edge is no error."""
    assert rectangle_mask(GRID, -1e9, -1e9, 1e9, 1e9).all()
    assert not rectangle_mask(GRID, 5000.0, -600.0, 6000.0, 0.0).any()
    corners = [(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)]
    assert polygon_mask(GRID, corners).all()
    assert not polygon_mask(GRID, [(5000, 0), (6000, 0), (6000, 900)]).any()


@given(
    st.lists(st.tuples(st.integers(850, 2150), st.integers(-600, -100)), min_size=3, max_size=12)
)
def test_a_polygon_holds_what_a_plain_loop_finds(vertices):
    """Crossing, concave and repeated vertices, also through the cells' centres themselves."""
    expected = np.array([[inside_by_loop(x, y, vertices) for x in GRID.x] for y in GRID.y])
    try:
        mask = polygon_mask(GRID, vertices)
    except ParameterError:
        arms = np.array(vertices, dtype=float) - vertices[0]
        assert np.linalg.matrix_rank(arms) < 2
        return
    np.testing.assert_array_equal(mask, expected)


def test_a_simple_polygon_agrees_with_matplotlib(rng):
    """Somebody else's test of the same question, on a lasso with 3000 vertices."""
    angle = np.linspace(0, 2 * np.pi, 3000, endpoint=False)
    radius = 1.0 + 0.4 * np.sin(5 * angle) + 0.001 * rng.uniform(-1, 1, angle.size)
    lasso = np.column_stack(
        [1500 + 380 * radius * np.cos(angle), -350 + 130 * radius * np.sin(angle)]
    )
    fine = Grid(x0=900.0, y0=-600.0, dx=7.3, dy=5.9, height=81, width=163)
    expected = Outline(lasso).contains_points(fine.centres()).reshape(fine.shape)
    mask = polygon_mask(fine, lasso)
    assert 0 < mask.sum() < mask.size
    np.testing.assert_array_equal(mask, expected)


def test_a_cell_on_a_common_edge_belongs_to_one_of_two_polygons():
    """Two regions side by side count no cell twice and lose none."""
    left = polygon_mask(GRID, [(900, -600), (1500, -600), (1500, 0), (900, 0)])
    right = polygon_mask(GRID, [(1500, -600), (2100, -600), (2100, 0), (1500, 0)])
    assert not (left & right).any()
    assert (left | right).all()


def test_where_an_outline_goes_round_twice_is_outside():
    """The even-odd rule, as the page draws it."""
    box = [(1050, -580), (1950, -580), (1950, -120), (1050, -120)]
    inner = [(1250, -480), (1750, -480), (1750, -220), (1250, -220)]
    mask = polygon_mask(GRID, [*box, box[0], *inner, inner[0]])
    assert mask[0, 5]
    assert not mask[3, 5]


@pytest.mark.parametrize(
    ("vertices", "message"),
    [
        ([], "array of shape"),
        ([(0, 0), (1, 1)], "array of shape"),
        ([(0, 0, 0), (1, 1, 0), (2, 0, 0)], "array of shape"),
        ([(0, 0), (1, np.nan), (2, 0)], "not finite"),
        ([(0, 0), (1, np.inf), (2, 0)], "not finite"),
        ([(0, 0), (1, "a"), (2, 0)], "no array of numbers"),
        ([(0, 0), (1, 1)] * 5, "enclose no area"),
        ([(0, 0), (1, 1), (2, 2), (7, 7)], "enclose no area"),
        ([(3, 4)] * 4, "enclose no area"),
        (np.zeros((MAX_VERTICES + 1, 2)), r"shape \(10001, 2\); expected 3 to 10000"),
    ],
)
def test_a_polygon_without_an_area_is_refused(vertices, message):
    """A click that was meant for a lasso selects nothing, and says so."""
    with pytest.raises(ParameterError, match=message):
        polygon_mask(GRID, vertices)


@pytest.mark.parametrize(
    "box", [(1, 1, 1, 2), (2, 1, 1, 2), (1, 2, 2, 2), (1, np.nan, 2, 3), (1, 2, np.inf, 3)]
)
def test_a_rectangle_without_an_area_is_refused(box):
    """The same of a box drawn with one click."""
    with pytest.raises(ParameterError, match="left < right and bottom < top"):
        rectangle_mask(GRID, *box)


def test_a_threshold_holds_the_values_within_its_limits_and_no_missing_ones():
    """Cells without a datum are in no region, whichever limit is left out."""
    values = np.array([[1.0, 2.0, np.nan], [3.0, 4.0, np.inf]], dtype=np.float32)
    np.testing.assert_array_equal(
        threshold_mask(values, 2.0, 3.0), [[False, True, False], [True, False, False]]
    )
    np.testing.assert_array_equal(
        threshold_mask(values, low=3.0), [[False, False, False], [True, True, False]]
    )
    np.testing.assert_array_equal(
        threshold_mask(values, high=1.5), [[True, False, False], [False, False, False]]
    )


@pytest.mark.parametrize("limits", [(None, None), (3.0, 2.0), (np.nan, 2.0), (1.0, np.inf)])
def test_limits_that_hold_nothing_are_refused(limits):
    """An empty region would show an empty spectrum, and no reason."""
    with pytest.raises(ParameterError, match="the threshold is"):
        threshold_mask(np.ones((2, 3)), *limits)


def test_a_region_is_its_outlines_cells():
    """One door for the page, whatever the kind; thresholds name the map they stand on."""
    box = Region("a", Rectangle(*WHOLE))
    assert region_mask(box, GRID).sum() == GRID.size
    triangle = [(900, -600), (2100, -600), (900, 0)]
    lasso = Region("b", Polygon(tuple(triangle)))
    np.testing.assert_array_equal(region_mask(lasso, GRID), polygon_mask(GRID, triangle))
    values = np.arange(GRID.size, dtype=float).reshape(GRID.shape)
    high = Region("c", Threshold("Fe Ka", 70.0, None))
    assert region_mask(high, GRID, {"Fe Ka": values}).sum() == 7
    with pytest.raises(ParameterError, match="'Fe Ka', which is not there"):
        region_mask(high, GRID)
    with pytest.raises(ParameterError, match=r"shape \(11, 7\), the grid \(7, 11\)"):
        region_mask(high, GRID, {"Fe Ka": values.T})


@pytest.mark.parametrize(
    "outline",
    [
        Rectangle(1.0, 2.0, 3.5, 4.25),
        Polygon(((0.1, 0.2), (1e6, 0.3), (5.0, 7.0))),
        Threshold("Fe Ka", 1.5, None),
        Threshold("Pb La / Cu Ka", None, 0.1),
    ],
)
def test_a_region_comes_back_from_json_as_it_was(outline):
    """Exactly: a region that moves by a rounding would hold other cells."""
    region = Region("blue cloak", outline)
    text = json.dumps(region_to_json(region), allow_nan=False)
    assert region_from_json(json.loads(text)) == region


COORDINATES = st.floats(-1e12, 1e12)


@given(
    st.one_of(
        st.tuples(COORDINATES, COORDINATES, COORDINATES, COORDINATES).map(lambda b: Rectangle(*b)),
        st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9).map(
            lambda points: Polygon(tuple(points))
        ),
        st.tuples(COORDINATES, st.one_of(st.none(), COORDINATES)).map(
            lambda limits: Threshold("Fe Ka", *limits)
        ),
    ),
    st.text(min_size=1, max_size=20),
)
def test_what_json_takes_back_is_what_a_mask_is_made_of(outline, name):
    """Any region either comes back exactly and has a mask, or is refused both ways."""
    region = Region(name, outline)
    maps = {"Fe Ka": np.zeros(GRID.shape)}
    try:
        again = region_from_json(json.loads(json.dumps(region_to_json(region))))
    except ParameterError:
        if name.strip() and name.isprintable():
            with pytest.raises(ParameterError):
                region_mask(region, GRID, maps)
        return
    assert again == region
    mask = region_mask(again, GRID, maps)
    assert (mask.shape, mask.dtype) == (GRID.shape, bool)


SQUARE = [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "a region is None"),
        ([1], "expected an object"),
        ({"kind": "rectangle", "box": [0, 0, 1, 1]}, "name is None"),
        ({"name": " ", "kind": "rectangle"}, "name is ' '"),
        ({"name": "x" * 201, "kind": "rectangle"}, "1 to 200 printable letters"),
        ({"name": "a\nb", "kind": "rectangle"}, "printable"),
        ({"name": "a"}, "kind None"),
        ({"name": "a", "kind": ["polygon"]}, "expected one of"),
        ({"name": "a", "kind": "circle"}, "'circle'; expected one of"),
        ({"name": "a", "kind": "rectangle", "box": [0, 0, 1]}, "region 'a': its box"),
        ({"name": "a", "kind": "rectangle", "box": [0, 0, True, 1]}, "its box"),
        ({"name": "a", "kind": "rectangle", "box": [0, 0, 10**400, 1]}, "its box"),
        ({"name": "a", "kind": "rectangle", "box": [0, 0, 0, 1]}, "left < right"),
        ({"name": "a", "kind": "rectangle", "box": [0, 0, 1, 1], "z": 1}, r"unknown keys \['z'\]"),
        ({"name": "a", "kind": "polygon", "vertices": "abc"}, "vertices are 'abc'"),
        ({"name": "a", "kind": "polygon", "vertices": [[0, 0], [1], [2, 2]]}, "no list of"),
        ({"name": "a", "kind": "polygon", "vertices": [[0, 0], [1, "1"], [2, 2]]}, "no list of"),
        ({"name": "a", "kind": "polygon", "vertices": [[0, 0], [1, 1], [2, 2]]}, "no area"),
        ({"name": "a", "kind": "polygon", "vertices": []}, "expected 3 to 10000"),
        ({"name": "a", "kind": "polygon", "vertices": SQUARE * 4000}, "expected 3 to 10000"),
        ({"name": "a", "kind": "threshold", "map": 3, "low": 1}, "its map is 3"),
        ({"name": "a", "kind": "threshold", "map": "Fe"}, "the threshold is"),
        ({"name": "a", "kind": "threshold", "map": "Fe", "low": "1"}, "the threshold is"),
        ({"name": "a", "kind": "threshold", "map": "Fe", "low": float("nan")}, "the threshold is"),
    ],
)
def test_json_of_somebody_elses_making_is_refused_with_a_short_sentence(values, message):
    """It comes by link and by mail; the sentence goes on the page."""
    with pytest.raises(ParameterError, match=message) as caught:
        region_from_json(values)
    assert len(str(caught.value)) < 400
