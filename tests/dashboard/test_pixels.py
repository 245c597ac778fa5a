"""What a plot shows of a map: bins against a plain mean, and pictures where the cells lie."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashboard.pixels import (
    Bins,
    Picture,
    View,
    axis_bins,
    block_mean,
    bounds_of,
    grid_bins,
    to_levels,
)
from maxrf_core import Grid

# --- a plain reference ----------------------------------------------------------------------


def overlaps(bins: Bins, n_cells: int) -> npt.NDArray[np.float64]:
    """Return how much of each cell lies in each bin, (bins, cells)."""
    cells = np.arange(n_cells)
    low = np.maximum(bins.edges[:-1, None], cells)
    high = np.minimum(bins.edges[1:, None], cells + 1)
    return np.clip(high - low, 0, None)


def plain_mean(values: npt.NDArray, rows: Bins, columns: Bins) -> npt.NDArray[np.float64]:
    """Return the mean of the cells with a datum, weighted by how much of them lies in a bin."""
    up, across = overlaps(rows, values.shape[0]), overlaps(columns, values.shape[1])
    has_datum = np.isfinite(values)
    sums = up @ np.where(has_datum, values, 0).astype(np.float64) @ across.T
    weights = up @ has_datum.astype(np.float64) @ across.T
    with np.errstate(invalid="ignore"):
        return np.where(weights > 1e-4, sums / weights, np.nan)  # less is rounding


MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=40),
    elements=st.floats(0, 1e4, width=32) | st.just(np.nan),
)
FINENESS = st.floats(0.05, 60)
PLACES = st.floats(-0.5, 1.5)


@st.composite
def views(draw: st.DrawFn) -> tuple[npt.NDArray[np.float32], Bins, Bins]:
    """Return a map, and the bins of a part of it, coarse or fine, on it or beside it."""
    values = draw(MAPS)
    bins = []
    for n_cells in values.shape:
        start, pitch = draw(st.floats(-1e5, 1e5)), draw(st.floats(1, 1000))
        low, high = sorted(start + n_cells * pitch * draw(PLACES) for _ in range(2))
        bins.append(axis_bins(n_cells, start, pitch, low, high, pitch * draw(FINENESS)))
    return values, *bins


# --- bins of an axis ------------------------------------------------------------------------


@given(
    n_cells=st.integers(1, 2000),
    start=st.floats(-1e6, 1e6),
    pitch=st.floats(0.1, 1e4),
    ends=st.tuples(PLACES, PLACES).map(sorted),
    fineness=FINENESS,
)
@example(n_cells=7, start=0.0, pitch=1.0, ends=(2.0, 3.0), fineness=1.0).via("beside the axis")
def test_bins_are_equal_parts_of_the_axis_that_cover_what_is_seen(
    n_cells: int, start: float, pitch: float, ends: list[float], fineness: float
) -> None:
    """All of the same width, about a pixel and never less than a cell, within the axis."""
    low, high = (start + n_cells * pitch * end for end in ends)
    bins = axis_bins(n_cells, start, pitch, low, high, pitch * fineness)
    assert bins.cells >= 1
    assert len(bins.edges) >= 2
    np.testing.assert_allclose(np.diff(bins.edges), bins.cells, rtol=1e-6)
    assert bins.edges[0] >= 0
    assert bins.edges[-1] <= n_cells
    inside = np.clip([ends[0] * n_cells, ends[1] * n_cells], 0, n_cells)
    assert bins.edges[0] <= inside[0] + 1e-6 * n_cells
    assert bins.edges[-1] >= inside[1] - 1e-6 * n_cells
    assert bins.edges[0] >= inside[0] - bins.cells - 1e-6 * n_cells
    assert bins.edges[-1] <= inside[1] + bins.cells + 1e-6 * n_cells
    if fineness <= 4 / 3:
        assert bins.is_whole
    elif fineness < n_cells:
        assert 0.5 * fineness < bins.cells <= fineness * (1 + 1e-6)


@given(n_cells=st.integers(1, 500), fineness=st.floats(1.4, 20), shift=st.floats(0, 0.5))
def test_a_pan_shifts_bins_and_does_not_change_them(
    n_cells: int, fineness: float, shift: float
) -> None:
    """Else a picture would shimmer under the hand."""
    everything = axis_bins(n_cells, 0, 1, 0, n_cells, fineness)
    part = axis_bins(n_cells, 0, 1, shift * n_cells, (shift + 0.3) * n_cells, fineness)
    first = int(np.argmin(abs(everything.edges - part.edges[0])))
    np.testing.assert_array_equal(part.edges, everything.edges[first : first + len(part.edges)])


def test_a_picture_ends_where_the_map_ends() -> None:
    """No bin reaches past the outermost cells: 1002 cells in 275 bins are not 276."""
    bins = axis_bins(1002, 132276.8, 1024.81, 0, 2e6, 1024.81 * 3.65)
    assert bins.edges[0] == 0
    assert bins.edges[-1] == 1002
    assert len(bins.edges) - 1 == math.ceil(1002 / 3.65)


# --- means ----------------------------------------------------------------------------------


@given(views())
def test_a_binned_map_is_the_plain_mean_of_its_cells(
    seen: tuple[npt.NDArray[np.float32], Bins, Bins],
) -> None:
    """Of those with a datum; NaN where there is none; whatever part is seen, and how coarsely."""
    values, rows, columns = seen
    before = values.copy()
    means = block_mean(values, rows, columns)
    np.testing.assert_array_equal(values, before)
    assert means.dtype == np.float32
    assert means.shape == (len(rows.edges) - 1, len(columns.edges) - 1)
    # Sums are float32: a share of 1e-3 of a cell is known to a part in 10,000.
    np.testing.assert_allclose(means, plain_mean(values, rows, columns), rtol=1e-3, atol=1e-2)


@given(values=MAPS, block=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_whole_blocks_are_numpys_mean(
    values: npt.NDArray[np.float32], block: tuple[int, int]
) -> None:
    """Where a bin is a block of whole cells there is no doubt about what it should be."""
    up, across = block
    height, width = (size // k * k for size, k in zip(values.shape, block, strict=True))
    assume(height and width)
    part = np.ascontiguousarray(values[:height, :width])
    rows, columns = (
        Bins(np.arange(0, size + 1, k, dtype=float), float(k))
        for size, k in ((height, up), (width, across))
    )
    blocks = part.reshape(height // up, up, width // across, across).astype(np.float64)
    empty = np.isnan(blocks).all(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        expected = np.nansum(blocks, axis=(1, 3)) / (~np.isnan(blocks)).sum(axis=(1, 3))
    means = block_mean(part, rows, columns)
    np.testing.assert_array_equal(np.isnan(means), empty)
    np.testing.assert_allclose(means, expected, rtol=1e-5, atol=1e-4)


def test_cells_larger_than_pixels_are_themselves() -> None:
    """Zoomed in, nothing is averaged: value for value the cells of the part that is seen."""
    values = np.arange(35, dtype=np.float32).reshape(5, 7)
    rows, columns = axis_bins(5, 0, 1, 1.2, 3.9, 0.1), axis_bins(7, 0, 1, 2.0, 6.5, 0.1)
    np.testing.assert_array_equal(block_mean(values, rows, columns), values[1:4, 2:7])


def test_a_cell_that_is_not_finite_has_no_datum() -> None:
    """It neither spoils its bin nor counts as zero."""
    values = np.array([[1, np.nan, 5], [3, np.inf, -np.inf]], np.float32)
    rows, columns = Bins(np.array([0.0, 2.0]), 2.0), Bins(np.array([0.0, 1.5, 3.0]), 1.5)
    np.testing.assert_allclose(block_mean(values, rows, columns), [[2.0, 5.0]])


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=32)),
    st.floats(-100, 100, width=32),
    st.floats(0.5, 1e4, width=32),
)
def test_levels_are_the_plain_formula(
    values: npt.NDArray[np.float32], low: float, span: float
) -> None:
    """1 to 255 between the ends, 0 for what is not finite."""
    high = low + span
    with np.errstate(invalid="ignore"):
        scaled = (np.clip(values, low, high) - np.float32(low)) * np.float32(254 / (high - low))
    levels = np.where(np.isfinite(values), scaled + np.float32(1.5), 0).astype(np.uint8)
    np.testing.assert_array_equal(to_levels(values, low, high), levels)


# --- views and pictures ---------------------------------------------------------------------

GRID = Grid(x0=1000.0, y0=-300.0, dx=20.0, dy=10.0, height=60, width=45)


@given(
    place=st.tuples(PLACES, PLACES, st.floats(0.01, 2), st.floats(0.01, 2)),
    pixels=st.tuples(st.integers(50, 900), st.integers(50, 900)),
)
def test_bins_of_a_grid_lie_where_its_cells_lie(
    place: tuple[float, float, float, float], pixels: tuple[int, int]
) -> None:
    """The edges of a picture are edges of cells, or equal parts of the grid's whole width."""
    left, bottom, right, top = GRID.bounds
    x, y = left + place[0] * (right - left), bottom + place[1] * (top - bottom)
    view = View.over((x, y, x + place[2] * (right - left), y + place[3] * (top - bottom)), *pixels)
    rows, columns = grid_bins(GRID, view.with_margin(), view.pixel)
    found = bounds_of(GRID, rows, columns)
    assert found[0] == left + columns.edges[0] * GRID.dx
    assert found[3] == bottom + rows.edges[-1] * GRID.dy
    assert left <= found[0] < found[2] <= right
    assert bottom <= found[1] < found[3] <= top
    for low, high, seen, end, start in (
        (found[0], found[2], (view.left, view.right), right, left),
        (found[1], found[3], (view.bottom, view.top), top, bottom),
    ):
        assert low <= max(min(seen[0], end), start) + 1e-6
        assert high >= min(max(seen[1], start), end) - 1e-6


def test_all_of_a_grid_is_its_bounds() -> None:
    """To the last digit: nothing is shifted by half a cell."""
    rows, columns = grid_bins(GRID, (-1e9, -1e9, 1e9, 1e9), (70.0, 30.0))
    assert not rows.is_whole
    assert not columns.is_whole
    assert bounds_of(GRID, rows, columns) == GRID.bounds


@pytest.mark.parametrize(
    ("told", "expected"), [((3, 4), (50, 50)), ((9000.4, 61.5), (4000, 62)), ((400, 300), None)]
)
def test_a_view_has_neither_too_few_pixels_nor_too_many(
    told: tuple[float, float], expected: tuple[int, int] | None
) -> None:
    """The browser tells its size, and may tell anything."""
    view = View.over((0, 0, 1, 1), *told)
    assert (view.width, view.height) == (expected or told)


def test_a_view_without_width_is_widened() -> None:
    """A scan of one row."""
    view = View.over((7.0, 0.0, 7.0, 10.0), 100, 50)
    assert (view.left, view.right) == (6.5, 7.5)
    assert view.pixel == (0.01, 0.2)


def test_a_margin_is_a_share_of_each_side() -> None:
    """On all four sides."""
    assert View(10, 100, 20, 140, 5, 5).with_margin(0.5) == (5, 80, 25, 160)


def test_a_picture_covers_what_lies_within_it_at_its_own_zoom() -> None:
    """Neither a part beside it nor the same part with other pixels."""
    picture = Picture(np.zeros((4, 5), np.uint8), (0.0, 10.0, 50.0, 50.0), (10.0, 10.0))
    assert picture.covers((0.0, 10.0, 50.0, 50.0), (10.0, 10.0))
    assert picture.covers((12.0, 20.0, 30.0, 40.0), (10.0, 10.0))
    assert not picture.covers((-5.0, 20.0, 30.0, 40.0), (10.0, 10.0))
    assert not picture.covers((12.0, 20.0, 30.0, 55.0), (10.0, 10.0))
    assert not picture.covers((12.0, 20.0, 30.0, 40.0), (5.0, 10.0))


def test_a_picture_is_the_columns_of_an_image() -> None:
    """The lower left corner, and width and height."""
    levels = np.zeros((4, 5), np.uint8)
    columns = Picture(levels, (1.0, 10.0, 51.0, 50.0), (10.0, 10.0)).columns
    assert columns.pop("image")[0] is levels
    assert columns == {"x": [1.0], "y": [10.0], "dw": [50.0], "dh": [40.0]}
