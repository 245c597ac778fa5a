"""Maps put together: colours, ratios, correlations, lines; against the formula of each."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from maxrf_core.combinations import (
    composite,
    inside_polygon,
    pearson,
    ratio,
    ratio_error,
    ratio_variance,
    spearman,
)
from maxrf_core.errors import ParameterError
from maxrf_core.grid import Grid
from maxrf_core.interpolation import Raster, build_operator
from maxrf_core.profiles import line_cells, profile, profile_weights

RNG_SEED = 5
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(RNG_SEED)


@pytest.fixture
def grid() -> Grid:
    """Seven rows of eleven columns, wider than high."""
    return Grid(x0=100.0, y0=-40.0, dx=20.0, dy=10.0, width=11, height=7)


# --- colours --------------------------------------------------------------------------------


def test_a_composite_adds_lights_between_the_limits():
    """Dark at the low limit, half of the colour half-way, whole above the high one."""
    first = np.array([[10.0, 15.0, 99.0]], dtype=np.float32)
    second = np.array([[0.0, 4.0, 2.0]], dtype=np.float32)
    picture = composite([first, second], [(10.0, 20.0), (0.0, 4.0)], [(200, 100, 0), (0, 0, 80)])
    assert picture.tolist() == [[[0, 0, 0, 255], [100, 50, 80, 255], [200, 100, 40, 255]]]


def test_a_composite_is_transparent_where_any_map_has_no_datum():
    """A colour without a datum would pass for a count of 0."""
    first = np.array([[1.0, np.nan, np.inf]], dtype=np.float32)
    picture = composite([first, np.ones_like(first)], [(0, 1), (0, 1)], [RED, BLUE])
    assert picture[0, :, 3].tolist() == [255, 0, 0]
    assert picture[0, 0].tolist() == [255, 0, 255, 255]


def test_lights_beyond_white_are_cut_off():
    """A byte that ran over would be dark."""
    one = np.ones((1, 2), dtype=np.float32)
    assert composite([one, one], [(0, 1), (0, 1)], [RED, (200, 9, 0)])[0, 0].tolist()[:2] == [
        255,
        9,
    ]


def test_a_map_that_is_the_same_everywhere_is_dark():
    """Limits that coincide leave no range to divide by."""
    one = np.full((2, 3), 7.0, dtype=np.float32)
    assert not composite([one], [(7.0, 7.0)], [GREEN])[..., :3].any()


@pytest.mark.parametrize(
    ("values", "limits", "match"),
    [
        ([], [], "some of one shape"),
        ([np.ones((2, 3)), np.ones((3, 2))], [(0, 1)] * 2, "one shape"),
        ([np.ones((2, 3))], [(0, 1)] * 2, "as many of each"),
    ],
)
def test_a_composite_of_what_does_not_fit_is_refused(values, limits, match):
    """Silently dropping a map would show two colours for three."""
    with pytest.raises(ParameterError, match=match):
        composite(values, limits, [RED] * len(values))


# --- ratios ---------------------------------------------------------------------------------


def test_a_ratio_is_masked_below_three_standard_errors():
    """3 standard errors say something, 2.9 do not."""
    a = np.full((1, 4), 6.0, dtype=np.float32)
    b = np.array([[3.0, 2.9, 0.0, -5.0]], dtype=np.float32)
    found = ratio(a, b, np.ones_like(b))
    assert found[0, 0] == 2.0
    assert np.isnan(found[0, 1:]).all()


def test_a_ratio_is_masked_where_the_denominator_is_not_detected():
    """Many counts of background are no element."""
    one = np.ones((2, 3), dtype=np.float32)
    seen = np.array([[1, 0, 1], [0, 0, np.nan]], dtype=np.float32)
    found = ratio(one, one, 0.1 * one, detected=seen)
    assert np.isnan(found).tolist() == [[False, True, False], [True, True, True]]


def test_a_ratio_of_nothing_is_nothing():
    """No datum above or below, none in the ratio; and float32 stays float32."""
    a = np.array([[np.nan, 1.0, 1.0]], dtype=np.float32)
    b = np.array([[1.0, np.nan, 2.0]], dtype=np.float32)
    found = ratio(a, b, 0 * b)
    assert np.isnan(found).tolist() == [[True, True, False]]
    assert found.dtype == np.float32


def test_the_error_of_a_ratio_is_what_repetitions_spread(rng):
    """Two windows that share channels, a weighted mean of three spectra, 40,000 repetitions."""
    expected = rng.uniform(5.0, 60.0, size=(3, 8))
    weights = np.array([0.5, 0.3, 0.2])
    numerator = np.array([1, 1, 1, 1, 0, 0, 0, 0.0])
    denominator = np.array([0, 0, 1, 1, 1, 1, 1, 1.0])
    counts = rng.poisson(expected, size=(40_000, 3, 8))
    means = np.einsum("k,rkc->rc", weights, counts)
    seen = (means @ numerator) / (means @ denominator)
    value, error = ratio_error(expected, weights, numerator, denominator)
    # 40,000 repetitions know a spread to 0.4 %, the first order leaves out about as much.
    assert seen.std() == pytest.approx(error, rel=0.02)
    assert seen.mean() == pytest.approx(value, rel=0.005)
    # Without the channels that both share it would be some other number.
    a, b = weights @ expected @ numerator, weights @ expected @ denominator
    var_a, var_b = weights**2 @ expected @ numerator, weights**2 @ expected @ denominator
    assert np.sqrt(ratio_variance(a, b, var_a, var_b)) > 1.1 * error


def test_the_ratio_of_a_window_to_itself_has_no_error(rng):
    """All that is above is below."""
    counts = rng.poisson(9.0, size=(2, 5))
    window = np.array([0, 1, 1, 1, 0.0])
    value, error = ratio_error(counts, np.array([0.5, 0.5]), window, window)
    assert (value, error) == (1.0, pytest.approx(0.0, abs=1e-7))


def test_a_ratio_without_a_denominator_has_no_number():
    """Nor has one without a spectrum."""
    nothing = np.zeros((0, 3))
    assert np.isnan(ratio_error(nothing, np.zeros(0), np.ones(3), np.ones(3))).all()
    assert np.isnan(ratio_variance(1.0, 0.0, 1.0, 1.0))


# --- correlations ---------------------------------------------------------------------------


def test_correlations_are_those_of_the_cells_in_common(rng):
    """As scipy has them, ties and cells without a datum included."""
    one = rng.poisson(4.0, size=(13, 9)).astype(np.float32)
    other = (one + rng.poisson(6.0, size=one.shape)).astype(np.float32)
    one[2, 3] = other[5, 1] = np.nan
    both = np.isfinite(one) & np.isfinite(other)
    assert pearson(one, other) == pytest.approx(stats.pearsonr(one[both], other[both])[0])
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one[both], other[both])[0])


def test_ranks_see_a_curve_as_a_line(rng):
    """Spearman's is 1 where Pearson's is not."""
    one = rng.uniform(0.0, 9.0, size=(4, 7))
    assert spearman(one, np.exp(one)) == pytest.approx(1.0)
    assert pearson(one, np.exp(one)) < 0.95


def test_a_constant_map_correlates_with_nothing():
    """Nor do maps without a cell in common."""
    one = np.arange(6.0).reshape(2, 3)
    assert np.isnan(pearson(one, np.ones((2, 3))))
    assert np.isnan(spearman(one, np.full((2, 3), np.nan)))
    with pytest.raises(ParameterError, match="one shape"):
        pearson(one, one.T)


def test_points_inside_a_lasso_are_found():
    """A U: what lies between its arms is outside, and no datum is nowhere."""
    corners = [(0, 0), (5, 0), (5, 5), (4, 5), (4, 1), (1, 1), (1, 5), (0, 5)]
    x = np.array([[0.5, 3.0, 2.5], [4.5, np.nan, 9.0]], dtype=np.float32)
    y = np.array([[0.5, 0.5, 3.0], [4.5, 0.5, 0.5]], dtype=np.float32)
    assert inside_polygon(x, y, corners).tolist() == [[True, True, False], [True, False, False]]


@pytest.mark.parametrize(
    "corners", [[(0, 0), (1, 1)], [(0, 0, 0)] * 3, [(0, 0), (1, 0), (0, np.nan)]]
)
def test_a_polygon_that_is_none_is_refused(corners):
    """With a sentence, not with an empty selection."""
    with pytest.raises(ParameterError, match="corner"):
        inside_polygon(np.ones(2), np.ones(2), corners)


# --- along a line ---------------------------------------------------------------------------


def test_a_line_along_a_row_meets_its_cells_one_by_one(grid):
    """Cell for cell, a pitch apart, with the rows beside it where it is three wide."""
    y = grid.y[2]
    line = line_cells(grid, (grid.x[1], y), (grid.x[5], y), width=3)
    assert line.distances.tolist() == [0.0, 20.0, 40.0, 60.0, 80.0]
    rows, columns = np.divmod(line.cells, 11)
    assert (columns == np.arange(1, 6)[:, None]).all()
    assert (np.sort(rows, axis=1) == [1, 2, 3]).all()


def test_a_slanted_line_meets_no_cell_twice_at_a_place(grid):
    """Each step across is one to another column or row, whatever the pitches."""
    line = line_cells(grid, (110.0, -35.0), (290.0, 20.0), width=4)
    for cells in line.cells:
        inside = cells[cells >= 0]
        assert len(np.unique(inside)) == len(inside)
    assert line.distances[-1] == pytest.approx(np.hypot(180.0, 55.0))
    assert np.abs(np.diff(line.cells[:, 1])).min() > 0


def test_a_line_outside_the_grid_has_no_cells(grid):
    """What lies beside the object is no datum; a point is a line of one place."""
    assert (line_cells(grid, (-900.0, 0.0), (-500.0, 0.0)).cells == -1).all()
    assert line_cells(grid, (grid.x[4], grid.y[1]), (grid.x[4], grid.y[1])).cells.tolist() == [[15]]


@pytest.mark.parametrize(
    ("end", "width", "match"),
    [((np.nan, 0.0), 1, "finite"), ((200.0, 0.0), 0, "1 or more"), ((1e12, 0.0), 1, "fewer than")],
)
def test_a_line_that_makes_no_sense_is_refused(grid, end, width, match):
    """An address may hold anything; no server runs out of memory for it."""
    with pytest.raises(ParameterError, match=match):
        line_cells(grid, (100.0, 0.0), end, width=width)


@pytest.fixture
def operator(grid, rng):
    """W by linear interpolation of spectra that wobble, with a corner that has none."""
    x, y = np.meshgrid(grid.x, grid.y)
    positions = np.column_stack([x.ravel(), y.ravel()]) + rng.normal(0, [4.0, 2.0], (77, 2))
    positions = positions[~((positions[:, 0] > 260) & (positions[:, 1] > 0))]
    selected = np.zeros(grid.shape, dtype=np.int64)
    return build_operator("linear", Raster(positions, grid, selected, (20.0, 10.0)))


def test_a_profile_is_the_mean_of_the_maps_cells(grid, operator, rng):
    """P W S b: of the cells across that have a datum, at each place."""
    counts = rng.poisson(30.0, operator.matrix.shape[1])
    image = operator.apply(counts).ravel()
    assert np.isnan(image).any()
    line = line_cells(grid, (grid.x[0], grid.y[0]), (grid.x[-1], grid.y[-1]), width=3)
    assert (line.cells[0] == -1).any()
    values, errors = profile(profile_weights(operator, line), counts, counts)
    for cells, value, error in zip(line.cells, values, errors, strict=True):
        seen = image[cells[cells >= 0]]
        seen = seen[np.isfinite(seen)]
        if len(seen) == 0:
            assert np.isnan([value, error]).all()
        else:
            assert value == pytest.approx(seen.mean(), rel=1e-6)  # maps are float32
    assert np.isnan(values).any()
    assert np.isfinite(values).any()


def test_the_band_of_a_profile_is_what_repetitions_spread(grid, operator, rng):
    """Cells that share spectra err together: errors of cells, added as if not, are too small."""
    expected = rng.uniform(10.0, 50.0, operator.matrix.shape[1])
    line = line_cells(grid, (grid.x[1], grid.y[2]), (grid.x[6], grid.y[2]), width=3)
    weights = profile_weights(operator, line)
    repeated = weights @ rng.poisson(expected, size=(20_000, len(expected))).T
    _, errors = profile(weights, expected, expected)
    # 20,000 repetitions know a spread to 0.5 %; the worst of six places to 1.5 %.
    np.testing.assert_allclose(repeated.std(axis=1), errors, rtol=0.02)
    alone = operator.variance(expected).ravel()
    apart = np.sqrt([alone[cells].sum() / 9 for cells in line.cells])
    assert (np.abs(errors / apart - 1.0) > 0.05).any()
