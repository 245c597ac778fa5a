"""Limits of colours and levels of maps, against what they should be by construction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashboard.pixels import View
from dashboard.scaling import percentiles, scale_map
from maxrf_core import Grid

ALL = (0.0, 100.0)

# --- limits and levels ----------------------------------------------------------------------


def test_levels_run_from_1_to_255_in_proportion() -> None:
    """The ends of the range are the end colours, the middle lies in the middle."""
    values = np.array([[0, 1, 2], [127, 253, 254]], np.float32)
    scaled = scale_map(values, ALL)
    assert scaled.levels.dtype == np.uint8
    np.testing.assert_array_equal(scaled.levels, [[1, 2, 3], [128, 254, 255]])
    assert (scaled.low, scaled.high) == (0.0, 254.0)
    assert scaled.values is values


def test_a_cell_without_a_datum_is_level_0_and_nothing_else_is() -> None:
    """Level 0 is transparent: an empty cell must not look like a low one, nor the reverse."""
    values = np.array([[np.nan, 5, 1], [9, np.nan, -3]], np.float32)
    levels = scale_map(values, ALL).levels
    np.testing.assert_array_equal(levels == 0, np.isnan(values))


def test_percentiles_are_those_of_the_cells_that_have_a_datum() -> None:
    """Cells outside the two percentiles take the end colours; NaN does not count."""
    values = np.arange(101, dtype=np.float32)
    values = np.append(values, [np.nan] * 43).reshape(9, 16)
    scaled = scale_map(values, (10.0, 90.0))
    assert (scaled.low, scaled.high) == (10.0, 90.0)
    flat = scaled.levels.ravel()
    assert (flat[:11] == 1).all()
    assert (flat[90:101] == 255).all()
    assert (np.diff(flat[10:91].astype(int)) > 0).all()


@pytest.mark.parametrize("value", [0.0, 7.5, -2.0, 1e9])
def test_a_constant_map_is_one_colour(value: float) -> None:
    """No division by zero; the colour bar still has two different ends."""
    scaled = scale_map(np.full((3, 5), value, np.float32), (0.0, 99.5))
    assert len(np.unique(scaled.levels)) == 1
    assert scaled.levels[0, 0] >= 1
    assert scaled.high > scaled.low


def test_equal_percentiles_leave_a_colour_bar() -> None:
    """The slider of the colour range can be closed to a point."""
    scaled = scale_map(np.arange(15, dtype=np.float32).reshape(3, 5), (50.0, 50.0))
    assert scaled.high > scaled.low == 7.0
    np.testing.assert_array_equal(np.unique(scaled.levels), [1, 255])


def test_a_map_without_any_datum_is_empty() -> None:
    """And warns of nothing."""
    scaled = scale_map(np.full((4, 3), np.nan, np.float32), (0.0, 99.5))
    assert not scaled.levels.any()
    assert (scaled.low, scaled.high) == (0.0, 1.0)


@given(
    values=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.floats(-1e6, 1e9, width=32) | st.just(np.nan),
    ),
    clip=st.tuples(*[st.floats(0, 100)] * 2).map(sorted).map(tuple),
)
def test_any_map_can_be_scaled(values: npt.NDArray[np.float32], clip: tuple[float, float]) -> None:
    """Levels keep the order of the values, and only cells without a datum are 0."""
    before = values.copy()
    levels = scale_map(values, clip).levels
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(levels == 0, np.isnan(values))
    order = np.argsort(values[~np.isnan(values)])
    assert (np.diff(levels[~np.isnan(values)][order].astype(int)) >= 0).all()


# --- percentiles ----------------------------------------------------------------------------

PERCENTS = st.lists(st.floats(0, 100), min_size=1, max_size=4)


@given(
    values=hnp.arrays(np.float32, st.integers(0, 300), elements=st.floats(width=32)),
    percents=PERCENTS,
)
def test_percentiles_are_numpys(values: npt.NDArray[np.float32], percents: list[float]) -> None:
    """Of the finite values, of either sign and any size, however many of them are alike."""
    finite = values[np.isfinite(values)].astype(np.float64)
    found = percentiles(values, percents)
    if len(finite) == 0:
        assert found == []
    else:
        np.testing.assert_allclose(found, np.percentile(finite, percents), rtol=1e-12, atol=0)


@given(seed=st.integers(0, 2**31), percents=PERCENTS, kind=st.sampled_from(["counts", "smooth"]))
def test_percentiles_of_a_map_are_numpys(seed: int, percents: list[float], kind: str) -> None:
    """Many values share their upper bits, or are equal, as the counts of a map are."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(rng.gamma(2, 20, (37, 53))).astype(np.float32)
    if kind == "smooth":
        values *= rng.uniform(0.9, 1.1, values.shape).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    expected = np.percentile(values[~np.isnan(values)].astype(np.float64), percents)
    np.testing.assert_allclose(percentiles(values, percents), expected, rtol=1e-12)


def test_percentiles_of_a_part_of_an_array_are_those_of_the_part() -> None:
    """A slice is not contiguous; its neighbours in memory are not its values."""
    values = np.arange(60, dtype=np.float32).reshape(6, 10)
    assert percentiles(values[1:3, 2:5], ALL) == [12.0, 24.0]


# --- what a view shows ----------------------------------------------------------------------

GRID = Grid(x0=500.0, y0=40.0, dx=7.0, dy=3.0, height=90, width=70)


@pytest.fixture
def values() -> npt.NDArray[np.float32]:
    """Return a map with cells that have no datum."""
    rng = np.random.default_rng(4)
    values = rng.gamma(2, 30, GRID.shape).astype(np.float32)
    values[20:40, 11:19] = np.nan
    return values


def test_all_of_a_map_seen_small_lies_where_the_map_lies(values: npt.NDArray[np.float32]) -> None:
    """Its limits are the map's own, not those of the means."""
    scaled = scale_map(values, (1.0, 99.0))
    left, bottom, right, top = GRID.bounds
    seen = scaled.seen(GRID, View(left - 50, bottom - 50, right + 50, top + 50, 60, 50))
    assert seen.bounds == GRID.bounds
    height, width = seen.levels.shape
    assert height < 45
    assert width < 60
    assert seen.pixel == pytest.approx(((right - left) / width, (top - bottom) / height))
    assert (scaled.low, scaled.high) == pytest.approx(np.nanpercentile(values, (1, 99)))


def test_a_part_of_a_map_seen_large_is_its_cells(values: npt.NDArray[np.float32]) -> None:
    """Level for level, with its outer edges on the edges of cells."""
    scaled = scale_map(values, (0.0, 100.0))
    seen = scaled.seen(GRID, View(600.0, 100.0, 700.0, 180.0, 400, 320))
    left, bottom, right, top = seen.bounds
    columns = slice(*(round((x - GRID.bounds[0]) / GRID.dx) for x in (left, right)))
    rows = slice(*(round((y - GRID.bounds[1]) / GRID.dy) for y in (bottom, top)))
    assert left == pytest.approx(GRID.bounds[0] + columns.start * GRID.dx, abs=1e-9)
    assert top == pytest.approx(GRID.bounds[1] + rows.stop * GRID.dy, abs=1e-9)
    np.testing.assert_array_equal(seen.levels, scaled.levels[rows, columns])
    assert left <= 600
    assert bottom <= 100
    assert right >= 700
    assert top >= 180


def test_a_hole_is_transparent_however_small_it_is_seen(values: npt.NDArray[np.float32]) -> None:
    """Means of nothing are not drawn; means of some cells are."""
    scaled = scale_map(values, (0.0, 100.0))
    left, bottom, right, top = GRID.bounds
    levels = scaled.seen(GRID, View(left, bottom, right, top, 50, 60)).levels
    height, width = levels.shape
    middle = levels[int(30 / 90 * height), int(15 / 70 * width)]
    assert middle == 0
    assert (levels[: int(18 / 90 * height)] > 0).all()


def test_the_whole_map_is_all_of_its_cells(values: npt.NDArray[np.float32]) -> None:
    """For maps that are small enough to be sent so."""
    scaled = scale_map(values, (0.0, 100.0))
    whole = scaled.whole(GRID)
    assert whole.levels is scaled.levels
    assert (whole.bounds, whole.pixel) == (GRID.bounds, (GRID.dx, GRID.dy))
