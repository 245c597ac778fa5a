"""The operator W: what holds for every method, and what each method promises."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st
from scipy.interpolate import griddata
from scipy.spatial import ConvexHull, Delaunay, QhullError
from scipy.spatial.distance import cdist

from maxrf_core import METHODS, Grid, Operator, ParameterError, build_operator, smooth_spectra
from maxrf_core import interpolation as interpolation_module
from maxrf_core.covariance import fit_covariance
from maxrf_core.grid import make_grid, vendor_grid
from maxrf_core.interpolation import MAX_DISTANCE, Raster
from maxrf_core.kriging import local_nuggets

WEIGHTS_ROUNDING = 2e-6
"""Weights are float32: 25 of them, up to about 1 each, leave 25 x 6e-8 of what they weigh."""

methods = st.sampled_from(list(METHODS))
seeds = st.integers(0, 2**32 - 1)


def wobbly_raster(
    seed=1, *, shape=(7, 5), pitch=(1000, 500), turn=3, wobble=250, fraction=None, offset=(0, 0)
):
    """Return a back-and-forth raster whose rows wobble and crowd at their ends.

    `fraction` asks for cells of another size than the vendor's, in shares of the pitch.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    crowd = 0.3 * np.round(rng.uniform(0, 5, turn)) / 5  # some at the same place
    line = np.concatenate([crowd - 0.6, np.arange(width), width - 0.4 - crowd])
    numbers = np.arange(height * len(line)).reshape(height, len(line))
    numbers[1::2] = numbers[1::2, ::-1]
    x = np.empty(numbers.size)
    for row in numbers:
        x[row] = pitch[0] * line + wobble * rng.uniform(-1, 1)
    y = pitch[1] * np.repeat(np.arange(height), len(line))
    positions = np.column_stack([np.round(x) + offset[0], y + offset[1]])
    selected = numbers[:, turn : turn + width]
    return raster_of(positions, selected, fraction=fraction)


def raster_of(positions, selected, *, fraction=None):
    positions = np.asarray(positions, dtype=np.float64)
    vendor = vendor_grid(positions, selected)
    grid = vendor.grid
    if fraction is not None:
        grid = make_grid(grid, (grid.dx * fraction[0], grid.dy * fraction[1]))
    counts = np.random.default_rng(len(positions)).poisson(30, (len(positions), 3))
    return Raster(
        positions,
        grid,
        vendor.selected_index,
        (vendor.grid.dx, vendor.grid.dy),
        lambda: counts,
    )


def point_raster(positions, targets=((0.0, 0.0),), pitch=(1000.0, 500.0)):
    """Return a raster with one cell at each of a row of targets, all at their first y."""
    targets = np.asarray(targets, dtype=np.float64)
    step = targets[1, 0] - targets[0, 0] if len(targets) > 1 else pitch[0]
    grid = Grid(targets[0, 0], targets[0, 1], step, pitch[1], 1, len(targets))
    positions = np.asarray(positions, dtype=np.float64)
    selected = np.zeros((2, 7), dtype=np.int64)  # of another shape than the grid
    counts = np.full((len(positions), 2), 20.0)
    return Raster(positions, grid, selected, pitch, lambda: counts)


@st.composite
def rasters(draw):
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda s: s != (1, 1)))
    return wobbly_raster(
        draw(seeds),
        shape=shape,
        pitch=draw(st.tuples(st.integers(20, 3000), st.integers(20, 3000))),
        turn=draw(st.integers(0, 4)),
        wobble=draw(st.sampled_from([0, 3, 250])),
        fraction=draw(
            st.one_of(st.none(), st.tuples(st.floats(0.4, 2.5), st.floats(0.4, 2.5)))
            if max(shape) > 1
            else st.none()
        ),
        offset=draw(st.sampled_from([(0, 0), (132252, 111816)])),
    )


def values_for(raster, seed=0):
    return np.random.default_rng(seed).poisson(40, len(raster.positions)).astype(np.float32)


# --- the same, plainly ---------------------------------------------------------------------------
def plain_operator(method, raster):
    """Return W as a dense (cells, spectra) array, built without any haste."""
    if method == "selected" and raster.selected_index.shape == raster.grid.shape:
        return np.eye(len(raster.positions))[raster.selected_index.ravel()]
    used = np.arange(len(raster.positions))
    if method == "selected":
        used = np.unique(raster.selected_index)
    places, inverse, multiplicity = np.unique(
        raster.points[used], axis=0, return_inverse=True, return_counts=True
    )
    share = np.zeros((len(places), len(raster.positions)))
    share[inverse.ravel(), used] = 1 / multiplicity[inverse.ravel()]
    targets = raster.targets
    squares = ((targets[:, None] - places) ** 2).sum(axis=2)
    order = np.argsort(squares, axis=1, kind="stable")  # of those at one distance, by x, then y
    distances = np.sqrt(squares)
    weights = np.eye(len(places))[order[:, 0]]
    if method == "linear":
        inside, corners, coordinates = plain_triangles(places, targets)
        weights[inside] = 0.0
        rows = np.flatnonzero(inside)
        for corner in range(3):
            weights[rows, corners[inside, corner]] = coordinates[inside, corner]
    if method == "kriging":
        weights = plain_kriging(raster, places, multiplicity, share @ raster.band_counts())
    weights[distances.min(axis=1) > MAX_DISTANCE] = 0.0
    return weights @ share


def plain_triangles(places, targets):
    """Return which targets lie in a triangle, its corners and barycentric coordinates."""
    triangulation = Delaunay(places)
    simplices = triangulation.find_simplex(targets)
    transform = triangulation.transform[simplices]
    first = np.einsum("mij,mj->mi", transform[:, :2], targets - transform[:, 2])
    coordinates = np.column_stack([first, 1 - first.sum(axis=1)])
    inside = (simplices >= 0) & np.isfinite(coordinates).all(axis=1)
    return inside, triangulation.simplices[simplices], coordinates


def plain_kriging(raster, places, multiplicity, means):
    """Solve the ordinary kriging equations of each cell with their Lagrange multiplier."""
    exposures = multiplicity.astype(np.float64)
    means = means.astype(np.float32)
    levels = exposures @ means / exposures.sum()

    def nearest(points):
        squares = ((points[:, None] - places) ** 2).sum(axis=2)
        return np.argsort(squares, axis=1, kind="stable")[:, :25]

    def nuggets(points):
        return local_nuggets(places, exposures, means, levels, nearest(points), points)

    cells = np.random.default_rng(0).permutation(raster.grid.size)[:2000]
    beside = np.unique(nearest(raster.targets[cells])[:, 0])
    covariance = fit_covariance(places, exposures, means, levels, nearest(places[beside]))
    spreads = nuggets(places) ** (-1 / 3)

    def matern(a, b):
        scale = np.array([1.0, covariance.anisotropy]) * covariance.range_pitches
        d = np.sqrt(3) * cdist(a / scale, b / scale)
        return (1 + d) * np.exp(-d)

    weights = np.zeros((raster.grid.size, len(places)))
    for cell, near in enumerate(nearest(raster.targets)):
        target = raster.targets[[cell]]
        nugget = nuggets(target)[0]
        spread = np.clip(spreads[near] / nugget ** (-1 / 3), 1 / 3, 3)
        system = np.ones((len(near) + 1, len(near) + 1))
        system[:-1, :-1] = np.outer(spread, spread) * matern(places[near], places[near])
        noise = max(nugget * covariance.nugget_factor, 1e-6)
        system[:-1, :-1] += np.diag(noise / exposures[near])
        system[-1, -1] = 0.0
        right = np.append(spread * matern(places[near], target)[:, 0], 1.0)
        weights[cell, near] = np.linalg.solve(system, right)[:-1]
    return weights


@given(raster=rasters(), method=methods)
def test_the_operator_is_the_one_built_plainly(raster, method):
    """Bins, walks, blocks and lanes are shortcuts to the same numbers."""
    try:
        expected = plain_operator(method, raster)
    except QhullError:  # line scans have tests of their own
        reject()
    operator = build_operator(method, raster)
    np.testing.assert_allclose(operator.matrix.toarray(), expected, rtol=0, atol=WEIGHTS_ROUNDING)
    np.testing.assert_array_equal(operator.empty.ravel(), ~expected.any(axis=1))
    operator.matrix.check_format(full_check=True)
    for start, stop in pairwise(operator.matrix.indptr):
        assert (np.diff(operator.matrix.indices[start:stop]) > 0).all()


@given(raster=rasters(), method=methods, block=st.integers(1, 80), threads=st.integers(1, 3))
def test_neither_blocks_nor_threads_show(raster, method, block, threads):
    """Files are the same to the last bit, whatever machine made them."""
    expected = build_operator(method, raster, threads=1).matrix
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpolation_module, "_BLOCK", block)
        matrix = build_operator(method, raster, threads=threads).matrix
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(matrix, name), getattr(expected, name))


# --- what holds for every method ---------------------------------------------------------------
@given(raster=rasters(), method=methods, seed=seeds)
def test_the_order_of_the_spectra_does_not_matter(raster, method, seed):
    """A map depends on what was measured where, not on when."""
    values = values_for(raster)
    order = np.random.default_rng(seed).permutation(len(values))
    counts = raster.band_counts()
    shuffled = Raster(
        raster.positions[order],
        raster.grid,
        np.argsort(order)[raster.selected_index],
        raster.pitch,
        lambda: counts[order],
    )
    image = build_operator(method, raster).apply(values)
    same = build_operator(method, shuffled).apply(values[order])
    np.testing.assert_allclose(same, image, rtol=0, atol=WEIGHTS_ROUNDING * values.max())


@pytest.mark.parametrize("method", METHODS)
def test_ties_between_spectra_do_not_depend_on_their_order(method, rng):
    """On a regular raster, finer cells lie halfway between two spectra, or amid four."""
    x, y = np.meshgrid(1000 * np.arange(4), 500 * np.arange(5))
    positions, selected = np.column_stack([x.ravel(), y.ravel()]), np.arange(20).reshape(5, 4)
    values = rng.poisson(40, 20).astype(np.float32)
    images = []
    for order in (np.arange(20), np.arange(20)[::-1], rng.permutation(20)):
        raster = raster_of(positions[order], np.argsort(order)[selected])
        raster = replace(
            raster, grid=Grid(0, 0, 500, 250, 9, 7), band_counts=lambda: np.ones((20, 1))
        )
        images.append(build_operator(method, raster).apply(values[order]))
    tolerance = WEIGHTS_ROUNDING * values.max()
    np.testing.assert_allclose(images[1], images[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(images[2], images[0], rtol=0, atol=tolerance)


@given(raster=rasters(), method=methods)
def test_every_cell_is_a_mean_of_spectra_or_empty(raster, method):
    """Rows of W sum to 1: no cell is brighter or darker than what was measured."""
    operator = build_operator(method, raster)
    assert operator.matrix.shape == (raster.grid.size, len(raster.positions))
    assert operator.matrix.dtype == np.float32
    assert np.isfinite(operator.matrix.data).all()
    sums = operator.matrix.sum(axis=1, dtype=np.float64)
    expected = np.where(operator.empty.ravel(), 0.0, 1.0)
    np.testing.assert_allclose(sums, expected, rtol=0, atol=WEIGHTS_ROUNDING)


@given(raster=rasters(), method=methods, level=st.floats(0.1, 1e6))
def test_a_constant_field_maps_to_itself(raster, method, level):
    """A blank sheet has a blank map, also at the crowded ends of the rows."""
    operator = build_operator(method, raster)
    image = operator.apply(np.full(len(raster.positions), level))
    np.testing.assert_allclose(image[~operator.empty], level, rtol=WEIGHTS_ROUNDING)


@given(raster=rasters(), method=methods, seed=seeds)
def test_a_map_is_linear_in_the_counts(raster, method, seed):
    """The map of two windows is the sum of their maps."""
    operator = build_operator(method, raster)
    a, b = np.random.default_rng(seed).poisson(40, (2, len(raster.positions)))
    together = operator.apply(3 * a + b)
    apart = 3 * operator.apply(a) + operator.apply(b)
    np.testing.assert_allclose(together, apart, rtol=0, atol=WEIGHTS_ROUNDING * 4 * a.max())


@given(raster=rasters(), method=methods, sigma=st.floats(0.2, 12))
def test_interpolation_and_smoothing_commute(raster, method, sigma):
    """(W S) G = W (S G): the whole design rests on it."""
    operator = build_operator(method, raster)
    counts = np.random.default_rng(2).poisson(2, (len(raster.positions), 37)).astype(np.float32)
    smoothed_last = smooth_spectra(operator.apply(counts), sigma)
    smoothed_first = operator.apply(smooth_spectra(counts, sigma))
    tolerance = WEIGHTS_ROUNDING * counts.max()
    np.testing.assert_allclose(smoothed_last, smoothed_first, rtol=0, atol=tolerance)


@given(raster=rasters(), method=methods, data=st.data())
def test_the_unit_of_the_motor_steps_does_not_matter(raster, method, data):
    """Distances count in pitches: steps may be coarse in x and fine in y."""
    # powers of two: the same numbers to the last bit, so that no tie is decided otherwise
    factor = 2.0 ** np.array(data.draw(st.tuples(st.integers(-3, 6), st.integers(-3, 6))))
    grid = raster.grid
    scaled = Raster(
        raster.positions * factor,
        Grid(
            grid.x0 * factor[0],
            grid.y0 * factor[1],
            grid.dx * factor[0],
            grid.dy * factor[1],
            *grid.shape,
        ),
        raster.selected_index,
        tuple(raster.pitch * factor),
        raster.band_counts,
    )
    values = values_for(raster)
    expected = build_operator(method, raster).apply(values)
    image = build_operator(method, scaled).apply(values)
    np.testing.assert_allclose(image, expected, rtol=0, atol=WEIGHTS_ROUNDING * values.max())


@pytest.mark.parametrize("method", METHODS)
def test_the_inputs_are_not_changed(method):
    """Positions and counts are shared by all methods and all visitors."""
    raster = wobbly_raster()
    values = values_for(raster)
    copies = raster.positions.copy(), raster.selected_index.copy(), values.copy()
    for array in (raster.positions, raster.selected_index, values):
        array.flags.writeable = False
    operator = build_operator(method, raster)
    assert operator.apply(values).dtype == np.float32
    assert operator.variance(values).dtype == np.float32
    for array, copy in zip((raster.positions, raster.selected_index, values), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_without_a_spectrum_nearby_is_nan(method):
    """Nothing was measured there, and nothing is made up."""
    raster = wobbly_raster(fraction=(0.5, 1.0))
    far = replace(raster.grid, height=raster.grid.height + 4)
    operator = build_operator(method, replace(raster, grid=far))
    image = operator.apply(values_for(raster))
    last = raster.grid.height
    assert np.isfinite(image[: last + 1]).all()  # one pitch above the last row is near enough
    assert np.isnan(image[last + 1 :]).all()
    np.testing.assert_array_equal(operator.empty, np.isnan(image))


@pytest.mark.parametrize("method", ["nearest", "linear", "kriging"])
@pytest.mark.parametrize(("beyond", "is_empty"), [(-1e-6, False), (1e-6, True)])
def test_a_datum_reaches_one_and_a_half_pitches(method, beyond, is_empty):
    """The reach is counted in pitches, on each axis its own."""
    for target in ((1000 * (1.5 + beyond), 0.0), (0.0, 500 * (1.5 + beyond))):
        raster = point_raster([[-500, 0], [0, 0], [-500, -500], [0, -500]], [target])
        operator = build_operator(method, raster)
        assert bool(operator.empty[0, 0]) is is_empty


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "positions",
    [
        [[0, 0]],
        [[0, 0], [0, 0]],
        [[0, 0], [400, 0]],
        [[0, 0], [0, 300]],
        [[0, 0]] * 40 + [[700, 300]],
        [[0, 0]] * 40 + [[1, 0], [0, 1], [1, 1]],
        [[0, 0], [1e-7, 0], [0, 1e-7], [3e-7, 2e-7], [400, 100]],
    ],
    ids=["one", "one place", "two in x", "two in y", "all but one", "crowded", "nearly one place"],
)
def test_few_or_coinciding_spectra_make_a_map(method, positions):
    """At the row ends positions coincide; no method may fail or ring there."""
    raster = point_raster(positions, [[10.0, 10.0]])
    operator = build_operator(method, raster)
    index, weights = operator.cell_weights(0, 0)
    assert len(index) > 0
    assert weights.sum(dtype=np.float64) == pytest.approx(1, abs=WEIGHTS_ROUNDING)
    assert np.abs(weights).max() <= 1.5


@pytest.mark.parametrize("method", ["nearest", "linear", "kriging"])
def test_spectra_at_one_place_share_its_weight(method):
    """Five exposures of one place are five measurements of it, none better than another."""
    positions = [[0, 0]] * 5 + [[1000, 0], [0, 500], [1000, 500]]
    operator = build_operator(method, point_raster(positions, [[200.0, 100.0]]))
    weights = operator.matrix.toarray()[0]
    assert weights[0] > 0
    np.testing.assert_array_equal(weights[:5], weights[0])


# --- on line scans -----------------------------------------------------------------------------
@given(
    seed=seeds,
    n=st.integers(2, 30),
    step=st.tuples(st.integers(-900, 900), st.integers(-900, 900)).filter(any),
    origin=st.tuples(st.integers(0, 200_000), st.integers(0, 200_000)),
    pitch=st.tuples(st.floats(50, 2000), st.floats(50, 2000)),
)
@example(seed=0, n=9, step=(700, 0), origin=(132252, 111816), pitch=(700.0, 700.0))
@example(seed=0, n=9, step=(0, 700), origin=(132252, 111816), pitch=(700.0, 700.0))
@example(seed=0, n=9, step=(600, -300), origin=(132252, 111816), pitch=(671.0, 671.0))
def test_linear_interpolates_between_the_neighbours_on_a_line(seed, n, step, origin, pitch):
    """A scan of one row, one column or an oblique line has no triangles."""
    rng = np.random.default_rng(seed)
    along = np.sort(rng.choice(4 * n, n, replace=False))
    positions = np.array(origin, float) + along[:, None] * np.array(step, float)
    gap = int(rng.integers(n - 1))
    share = rng.uniform(0.1, 0.9)
    target = positions[gap] + share * (positions[gap + 1] - positions[gap])
    operator = build_operator("linear", point_raster(positions, [target], pitch))
    if operator.empty[0, 0]:
        nearest = np.hypot(*((positions - target) / pitch).T).min()
        assert nearest > MAX_DISTANCE * (1 - 1e-12)
        return
    weights = operator.matrix.toarray()[0]
    expected = np.zeros(n)
    expected[gap : gap + 2] = 1 - share, share
    # the target is rounded to 1e-11 steps in gaps of one step and more
    np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 9), (9, 1)])
@pytest.mark.parametrize("turn", [0, 3])
def test_a_scan_of_one_row_or_column_fills_its_map(method, shape, turn):
    """The smallest test scan that somebody makes is a line."""
    raster = wobbly_raster(shape=shape, turn=turn, wobble=0)
    image = build_operator(method, raster).apply(np.full(len(raster.positions), 7))
    assert image.shape == shape
    np.testing.assert_allclose(image, 7, rtol=WEIGHTS_ROUNDING)


# --- on known fields ---------------------------------------------------------------------------
@given(
    seed=seeds,
    shape=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    slope=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
def test_linear_recovers_a_plane_inside_the_outermost_spectra(seed, shape, slope):
    """A gradient of thickness is reproduced exactly, not in steps."""
    raster = wobbly_raster(seed, shape=shape, fraction=(0.45, 0.55))
    values = 50 + raster.points @ slope
    operator = build_operator("linear", raster)
    image = operator.matrix.astype(np.float64) @ values
    edges = ConvexHull(raster.points).equations  # outward normal and offset of each edge
    inner = (raster.targets @ edges[:, :2].T + edges[:, 2] < -1e-6).all(axis=1)
    assert inner.any()
    plane = 50 + raster.targets @ slope
    np.testing.assert_allclose(
        image[inner], plane[inner], rtol=0, atol=WEIGHTS_ROUNDING * values.max()
    )


@given(seed=seeds, shape=st.tuples(st.integers(2, 9), st.integers(2, 9)))
def test_linear_is_scipys_griddata_inside_the_outermost_spectra(seed, shape):
    """One triangulation and a sparse product give what griddata does for each channel anew."""
    raster = wobbly_raster(seed, shape=shape, fraction=(0.45, 0.55))
    places, inverse, number = np.unique(
        raster.points, axis=0, return_inverse=True, return_counts=True
    )
    values = values_for(raster)
    means = np.bincount(inverse.ravel(), values) / number
    expected = griddata(places, means, raster.targets, method="linear").reshape(raster.grid.shape)
    image = build_operator("linear", raster).apply(values)
    inside = np.isfinite(expected)
    assert inside.any()
    np.testing.assert_allclose(
        image[inside], expected[inside], rtol=0, atol=WEIGHTS_ROUNDING * values.max()
    )


def test_linear_takes_the_nearest_spectrum_outside_the_outermost():
    """The vendor's outer columns lie partly outside the hull; they are not lost."""
    raster = point_raster([[0, 0], [1000, 0], [0, 500], [1000, 500]], [[-300.0, 100.0]])
    np.testing.assert_array_equal(
        build_operator("linear", raster).matrix.toarray()[0], [1, 0, 0, 0]
    )


@pytest.mark.parametrize("method", ["selected", "nearest", "linear"])
@pytest.mark.parametrize("shape", [(7, 5), (2, 6), (1, 8), (8, 1), (40, 31)])
def test_a_regular_raster_is_returned_as_it_is(method, shape):
    """Where every cell has its own spectrum, a map is those counts in their places."""
    raster = wobbly_raster(shape=shape, turn=0, wobble=0, offset=(132252, 111816))
    operator = build_operator(method, raster)
    np.testing.assert_array_equal(operator.matrix.data, 1.0)
    chosen = operator.matrix.indices.reshape(shape)
    np.testing.assert_array_equal(chosen, raster.selected_index)


@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_known_points_are_recovered(method, rng):
    """A cell whose centre is a spectrum's position shows that spectrum."""
    raster = wobbly_raster()
    places = np.unique(raster.positions, axis=0)[::3]
    values = 100 + rng.uniform(size=len(raster.positions))
    for x, y in places:
        one = replace(raster, grid=Grid(x, y, 1000, 500, 1, 1))
        here = (raster.positions == (x, y)).all(axis=1)
        found = build_operator(method, one).apply(values)[0, 0]
        assert found == pytest.approx(values[here].mean(), rel=1e-6)


def test_nearest_takes_the_nearest_in_pitches():
    """600 steps in x are nearer than 400 in y when the pitches are 1000 and 500."""
    operator = build_operator("nearest", point_raster([[600, 0], [0, 400]]))
    np.testing.assert_array_equal(operator.matrix.toarray()[0], [1, 0])


def test_selected_takes_the_vendors_choice_even_if_another_is_nearer():
    """It is what cronomaxrf shows, mistakes included."""
    raster = wobbly_raster()
    raster = replace(raster, selected_index=raster.selected_index[::-1, ::-1])
    values = values_for(raster)
    image = build_operator("selected", raster).apply(values)
    np.testing.assert_array_equal(image, values[raster.selected_index])


def test_selected_on_another_grid_takes_the_nearest_of_the_vendors_choice():
    """Spectra that the vendor left out stay left out."""
    raster = wobbly_raster(fraction=(0.45, 0.7))
    operator = build_operator("selected", raster)
    chosen = np.unique(raster.selected_index)
    distances = cdist(raster.targets, raster.points[chosen])
    np.testing.assert_array_equal(operator.matrix.data, 1.0)
    np.testing.assert_array_equal(operator.matrix.indices, chosen[distances.argmin(axis=1)])


def test_kriging_is_nearest_to_the_truth(rng):
    """On a smooth object with shot noise, averaging over neighbours beats any single spectrum."""
    raster = wobbly_raster(shape=(31, 23))

    def truth(places):
        return 60 + 30 * np.sin(places[:, 0] / 3) * np.cos(places[:, 1] / 4)

    counts = rng.poisson(truth(raster.points)).astype(np.float32)
    raster = replace(raster, band_counts=lambda: counts[:, None])
    wanted = truth(raster.targets).reshape(raster.grid.shape)
    errors = {
        method: np.sqrt(np.mean((build_operator(method, raster).apply(counts) - wanted) ** 2))
        for method in METHODS
    }
    assert errors["kriging"] < errors["linear"] < errors["selected"]


def test_kriging_says_what_it_fitted():
    """The parameters are stored with the operator."""
    parameters = build_operator("kriging", wobbly_raster()).parameters
    assert parameters["neighbours"] == 25
    assert parameters["max_distance"] == MAX_DISTANCE
    assert parameters["range_pitches"] > 0
    assert parameters["anisotropy"] > 0
    assert parameters["nugget_factor"] > 0


# --- live times ---------------------------------------------------------------------------------
@given(raster=rasters(), method=methods, time=st.floats(1e-3, 1e3))
def test_equal_live_times_leave_every_bit_of_the_operator(raster, method, time):
    """A scan without live times and one with equal ones are one scan."""
    timed = replace(raster, live_times=np.full(len(raster.positions), time))
    ours, theirs = (build_operator(method, each).matrix for each in (timed, raster))
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part))


@pytest.mark.parametrize("method", ["nearest", "linear", "kriging"])
def test_a_spectrum_of_no_live_time_weighs_nothing(method, rng):
    """Its rate is 0 / 0; a cell takes what lies around it instead."""
    raster = wobbly_raster(shape=(9, 7))
    dead = rng.uniform(size=len(raster.positions)) < 0.2
    for nothing in (0.0, np.nan):
        live_times = np.where(dead, nothing, 0.06)
        matrix = build_operator(method, replace(raster, live_times=live_times)).matrix
        assert not np.isin(matrix.indices, np.flatnonzero(dead)).any()
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("method", ["nearest", "linear", "kriging"])
def test_live_times_that_nobody_recorded_are_none(method):
    """A file full of zeros says nothing of time; the map need not be empty for it."""
    raster = wobbly_raster()
    timed = replace(raster, live_times=np.zeros(len(raster.positions)))
    ours, theirs = (build_operator(method, each).matrix for each in (timed, raster))
    np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_coinciding_spectra_weigh_by_their_live_times(method):
    """Inverse variance; at the turns several spectra lie at one place."""
    positions = [[0, 0], [0, 0], [2000, 0], [0, 1000], [2000, 1000]]
    raster = point_raster(positions, [(0, 0), (1, 0)])
    raster = replace(raster, live_times=np.array([0.01, 0.03, 0.02, 0.02, 0.02]))
    index, weights = build_operator(method, raster).cell_weights(0, 0)
    assert index.tolist() == [0, 1]
    np.testing.assert_allclose(weights, [0.25, 0.75], rtol=1e-6)


def test_a_short_spectrum_weighs_less_in_kriging():
    """All else equal, its shot noise is larger, and its neighbours take over."""
    raster = wobbly_raster(shape=(29, 23), turn=0, wobble=0)
    rng = np.random.default_rng(8)
    truth = 30 + 20 * np.sin(raster.points.sum(axis=1) / 4)
    live_times, middle = np.full(len(truth), 0.06), int(raster.selected_index[14, 11])
    before, after = (
        build_operator(
            "kriging",
            replace(
                raster,
                live_times=times,
                band_counts=lambda times=times: rng.poisson(truth * times / 0.06)[:, None],
            ),
        )
        for times in (live_times, np.where(np.arange(len(truth)) == middle, 0.003, live_times))
    )
    cell = 14 * raster.grid.width + 11
    assert 0 < after.matrix[cell, middle] < 0.3 * before.matrix[cell, middle]


def test_kriging_without_counts_is_refused():
    """Its covariance comes from them; the message says what is missing."""
    with pytest.raises(ParameterError, match="give the raster band_counts"):
        build_operator("kriging", replace(wobbly_raster(), band_counts=None))


def test_an_unknown_method_is_refused():
    """All methods stand in the message."""
    with pytest.raises(
        ParameterError, match="is 'cubic'; expected one of 'selected', 'nearest', 'linear', 'krig"
    ):
        build_operator("cubic", wobbly_raster())


# --- what an operator does ----------------------------------------------------------------------
@pytest.fixture
def operator() -> Operator:
    """Return an operator with an empty row of cells on top."""
    raster = wobbly_raster()
    grid = replace(raster.grid, height=raster.grid.height + 2)
    return build_operator("kriging", replace(raster, grid=grid))


def test_the_variance_takes_the_weights_squared(operator, rng):
    """Independent Poisson counts: Var(sum w s) = sum w^2 Var(s)."""
    counts = rng.poisson(40, operator.matrix.shape[1])
    dense = operator.matrix.toarray().astype(np.float64)
    expected = (dense**2 @ counts).reshape(operator.shape)
    expected[operator.empty] = np.nan
    np.testing.assert_allclose(operator.variance(counts), expected, rtol=WEIGHTS_ROUNDING)


def test_several_values_a_spectrum_are_mapped_at_once(operator, rng):
    """(n, k) gives (h, w, k), each as on its own."""
    counts = rng.poisson(40, (operator.matrix.shape[1], 3))
    together = operator.apply(counts)
    assert together.shape == (*operator.shape, 3)
    for k in range(3):
        np.testing.assert_array_equal(together[..., k], operator.apply(counts[:, k]))


def test_the_weights_of_a_cell_are_its_row(operator):
    """A tap on a map reads these spectra."""
    dense = operator.matrix.toarray().reshape(*operator.shape, -1)
    for row, column in ((0, 0), (3, 4), (6, 2)):
        index, weights = operator.cell_weights(row, column)
        np.testing.assert_array_equal(dense[row, column, index], weights)
        assert np.count_nonzero(dense[row, column]) == np.count_nonzero(weights)


def test_an_empty_cell_has_no_weights(operator):
    """And is not its neighbour."""
    index, weights = operator.cell_weights(operator.shape[0] - 1, 0)
    assert operator.empty[-1, 0]
    assert (len(index), len(weights)) == (0, 0)


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (0, -1), (9, 0), (0, 5)])
def test_a_cell_outside_the_grid_is_refused(operator, row, column):
    """A negative index would wrap round to the other side of the map."""
    with pytest.raises(ParameterError, match=r"expected rows 0 to 8 and columns 0 to 4"):
        operator.cell_weights(row, column)


def test_the_mean_over_a_region_weighs_its_cells_alike(operator, rng):
    """The mean spectrum of a lasso is the mean of the cells it shows; empty ones do not count."""
    mask = rng.uniform(size=operator.shape) < 0.4
    mask[-1] = True
    counts = rng.poisson(40, operator.matrix.shape[1])
    weights = operator.spectrum_weights(mask)
    assert weights.sum() == pytest.approx(1, abs=WEIGHTS_ROUNDING)
    expected = np.nanmean(operator.apply(counts)[mask])
    assert weights @ counts == pytest.approx(expected, rel=1e-5)


def test_a_region_without_a_datum_has_no_mean(operator):
    """Neither zero nor an error: nothing was measured there."""
    mask = np.zeros(operator.shape, dtype=bool)
    mask[-1] = True
    assert np.isnan(operator.spectrum_weights(mask)).all()


@pytest.mark.parametrize("size", [0, 1, -1])
def test_values_for_another_scan_are_refused(operator, size):
    """One value too many or too few would shift the map or read beyond the end."""
    n = operator.matrix.shape[1]
    values = np.ones(n + size if size else 0)
    for product in (operator.apply, operator.variance):
        with pytest.raises(ParameterError, match=rf"expected \({n},\) or \({n}, k\)"):
            product(values)


@pytest.mark.parametrize("shape", [(5, 9), (45,), (9, 1), (9, 5, 1)])
def test_a_mask_of_another_shape_is_refused(operator, shape):
    """A transposed mask is a mistake, not a region."""
    with pytest.raises(ParameterError, match=r"expected the grid's, \(9, 5\)"):
        operator.spectrum_weights(np.ones(shape, dtype=bool))


@given(raster=rasters(), method=methods, seed=seeds)
def test_the_weights_of_a_region_are_those_of_the_transposed_operator(raster, method, seed):
    """W^T m / |m|, taken from the rows of the region alone."""
    operator = build_operator(method, raster)
    mask = np.random.default_rng(seed).uniform(size=operator.shape) < 0.3
    inside = (mask & ~operator.empty).ravel()
    assume(inside.any())
    expected = operator.matrix.astype(np.float64).T @ inside.astype(np.float64) / inside.sum()
    # a mean of numbers of about 1, in float64
    np.testing.assert_allclose(operator.spectrum_weights(mask), expected, rtol=0, atol=1e-14)
