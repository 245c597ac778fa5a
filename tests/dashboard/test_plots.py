"""Arrays made ready for the screen, against what they should be by construction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashboard.plots import (
    comb,
    counts_range,
    grid_with_margin,
    positions_image,
    scale_map,
    widen_to_shape,
)
from dashboard.theme import COLOUR_MAPS, COLOURS, palette
from maxrf_core import Grid

ALL = (0.0, 100.0)

# --- maps -----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_a_palette_has_a_colour_for_each_level(name: str) -> None:
    """255 colours, dark to bright; a few neighbours are alike in 8 bits."""
    colours = palette(name)
    assert len(colours) == 255
    assert len(set(colours)) >= 245
    brightness = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in colours]
    assert brightness[0] < brightness[127] < brightness[-1]


# --- spectra --------------------------------------------------------------------------------


def test_a_comb_steps_at_the_edges_of_the_channels() -> None:
    """Each channel is a flat step between the middles to its neighbours."""
    energies = np.array([1.0, 2.0, 4.0], np.float32)
    x, y = comb(energies, np.array([5, 0, 7], np.uint16))
    np.testing.assert_allclose(x, [0.5, 1.5, 1.5, 3.0, 3.0, 5.0])
    np.testing.assert_array_equal(y, [5, 5, 0, 0, 7, 7])
    assert x.dtype == y.dtype == np.float32


def test_a_comb_of_one_channel_is_a_step_too() -> None:
    """There is no neighbour to measure its width by."""
    x, y = comb(np.array([3.0], np.float32), np.array([2], np.uint16))
    np.testing.assert_array_equal(x, [2.5, 3.5])
    np.testing.assert_array_equal(y, [2, 2])


def test_a_comb_of_a_real_axis_holds_each_channel_inside_its_step() -> None:
    """In float32, at 4096 channels, no step is empty or turned round."""
    energies = np.linspace(-1.1700948, 47.7792, 4096).astype(np.float32)
    x, _ = comb(energies, np.zeros(4096, np.uint16))
    assert x.shape == (8192,)
    assert (x[::2] < energies).all()
    assert (energies < x[1::2]).all()


def test_the_counts_axis_fits_the_tallest_line_above_the_zero_peak() -> None:
    """The zero peak is ten times as high as anything worth seeing."""
    energies = np.array([-0.5, 0.0, 0.4, 0.5, 6.0], np.float32)
    low, high = counts_range(
        energies, [np.array([0, 9000, 0, 3, 10]), np.array([0, 0, 0, 1, 20])], log=False
    )
    assert low == 0
    assert 20 < high < 25


def test_a_logarithmic_axis_starts_above_zero() -> None:
    """Whatever is shown, and it still fits."""
    energies = np.linspace(0, 10, 7, dtype=np.float32)
    for top in (1e-3, 1.0, 5000.0):
        low, high = counts_range(energies, [np.linspace(0, top, 7)], log=True)
        assert 0 < low < high
        assert high > top


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "lines",
    [[], [np.zeros(4)], [np.full(4, np.nan)], [np.full(4, np.nan), np.zeros(4)]],
    ids=["no line", "no counts", "no datum", "neither"],
)
def test_a_counts_axis_has_a_length_when_there_is_nothing_to_show(
    lines: list[npt.NDArray], log: bool
) -> None:
    """Bokeh draws nothing at all between two equal limits."""
    low, high = counts_range(np.arange(4, dtype=np.float32), lines, log=log)
    assert np.isfinite([low, high]).all()
    assert low < high


def test_an_axis_that_ends_below_the_zero_peaks_limit_is_shown_whole() -> None:
    """Rather than not at all."""
    _, high = counts_range(np.array([-0.2, 0.1, 0.3]), [np.array([1, 8, 2])], log=False)
    assert high > 8


def test_numeric_functions_leave_their_input_alone() -> None:
    """Scans are shared by all visitors."""
    energies, counts = np.array([0.1, 0.2, 0.3], np.float32), np.array([4, 5, 6], np.uint16)
    for array in (energies, counts):
        array.flags.writeable = False
    counts_range(energies, [counts], log=True)
    comb(energies, counts)


# --- positions ------------------------------------------------------------------------------


def colour_of(name: str) -> list[int]:
    """Return a colour as red, green and blue."""
    return [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]


def pixels_of(image: object) -> npt.NDArray[np.uint8]:
    """Return (h, w, 4) pixels, bottom row first."""
    return np.dstack([image.dimension_values(i, flat=False) for i in range(2, 6)]).astype(np.uint8)


def drawn(pixels: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.bool_]:
    """Return which pixels have a colour and can be seen, (h, w)."""
    return (pixels[..., :3] == colour_of(name)).all(axis=2) & (pixels[..., 3] > 0)


def test_positions_are_drawn_where_they_are_in_their_colours() -> None:
    """Selected and left-out positions, in a picture wider than high, y upwards."""
    positions = np.array([[100.0, 10.0], [700.0, 10.0], [100.0, 90.0]])
    image = positions_image(positions, np.array([True, False, True]), (0, 800), (0, 100), (60, 240))
    assert image.bounds.lbrt() == (0, 0, 800, 100)
    pixels = pixels_of(image)
    assert pixels.shape == (60, 240, 4)
    assert drawn(pixels, "selected")[6, 30]
    assert drawn(pixels, "selected")[54, 30]
    assert drawn(pixels, "measured")[6, 210]
    assert pixels[30, 120, 3] == 0
    assert set(np.unique(pixels[..., 3])) - {0} <= set(range(150, 256))


def test_a_selected_position_lies_over_left_out_ones() -> None:
    """At the row ends many coincide; the one that the map uses must be seen."""
    positions = np.full((9, 2), 50.0)
    chosen = np.zeros(9, dtype=bool)
    chosen[3] = True
    pixels = pixels_of(positions_image(positions, chosen, (0, 100), (0, 100), (50, 70)))
    assert drawn(pixels, "selected").any()
    assert not drawn(pixels, "measured").any()


def test_no_position_is_lost() -> None:
    """Drawn so large that each has a pixel of its own, there are as many pixels as positions."""
    rng = np.random.default_rng(3)
    places = rng.permutation(200 * 300)[:20_000]
    positions = np.column_stack([places % 300 + 0.5, places // 300 + 0.5])
    chosen = rng.random(len(positions)) < 0.5
    pixels = pixels_of(positions_image(positions, chosen, (0, 300), (0, 200), (200, 300)))
    assert drawn(pixels, "selected").sum() == chosen.sum()
    assert drawn(pixels, "measured").sum() == (~chosen).sum()


def test_crowded_pixels_are_more_opaque() -> None:
    """The turns of the head are to be seen as such."""
    crowd = np.repeat([[10.5, 10.5]], 400, axis=0)
    rng = np.random.default_rng(5)
    rest = rng.integers(20, 299, (30_000, 2)) + 0.5
    positions = np.concatenate([crowd, rest])
    chosen = np.zeros(len(positions), dtype=bool)
    pixels = pixels_of(positions_image(positions, chosen, (0, 400), (0, 300), (300, 400)))
    assert pixels[10, 10, 3] == 255
    once = pixels[..., 3][drawn(pixels, "measured")]
    assert 150 <= np.median(once) < 200


def test_few_positions_are_large_enough_to_see() -> None:
    """One pixel on a large plot is none; zoomed out to many they shrink to one again."""
    one = np.array([[50.0, 50.0]])
    pixels = pixels_of(positions_image(one, np.array([True]), (0, 100), (0, 100), (300, 400)))
    assert 40 < drawn(pixels, "selected").sum() < 200


@pytest.mark.parametrize("chosen", [True, False])
def test_one_position_can_be_drawn(chosen: bool) -> None:
    """A range without a width is widened."""
    one = np.array([[132252.0, 111816.0]])
    image = positions_image(one, np.array([chosen]), (132252, 132252), (111816, 111816), (50, 70))
    left, bottom, right, top = image.bounds.lbrt()
    assert left < 132252 < right
    assert bottom < 111816 < top
    assert drawn(pixels_of(image), "selected" if chosen else "measured").any()


def test_a_view_without_positions_is_empty() -> None:
    """Pan away from the object, and there is nothing."""
    some = np.array([[1.0, 1.0], [2.0, 2.0]])
    pixels = pixels_of(positions_image(some, np.array([True, False]), (50, 60), (50, 60), (50, 70)))
    assert not pixels.any()


@pytest.mark.parametrize(
    ("x_range", "y_range"),
    [
        ((132252.0, 132252.001), (111816.0, 111816.001)),
        ((132252.0, 132252.0), (0.0, 1e12)),
        ((-1e12, 1e12), (-1e12, 1e12)),
    ],
    ids=["very near", "a line", "very far"],
)
def test_extreme_zooms_can_be_drawn(
    x_range: tuple[float, float], y_range: tuple[float, float]
) -> None:
    """The wheel has no end."""
    some = np.array([[132252.0, 111816.0], [170170.0, 153816.0]])
    image = positions_image(some, np.array([True, False]), x_range, y_range, (60, 80))
    assert pixels_of(image).shape == (60, 80, 4)


@pytest.mark.parametrize(("shape", "expected"), [((3, 4), (50, 50)), ((9000, 60), (4000, 60))])
def test_pictures_are_neither_tiny_nor_huge(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The browser tells its size, and may tell anything."""
    some = np.array([[1.0, 1.0], [2.0, 2.0]])
    image = positions_image(some, np.array([True, False]), (0, 3), (0, 3), shape)
    assert pixels_of(image).shape[:2] == expected


# --- ranges ---------------------------------------------------------------------------------

RANGE = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-2, 1e6)).map(lambda r: (r[0], r[0] + r[1]))


@given(x_range=RANGE, y_range=RANGE, shape=st.tuples(*[st.integers(50, 4000)] * 2))
def test_a_widened_range_has_equal_aspect_and_keeps_all_in_view(
    x_range: tuple[float, float], y_range: tuple[float, float], shape: tuple[int, int]
) -> None:
    """About the same centre, and one of the two is as it was."""
    x, y = widen_to_shape(x_range, y_range, shape)
    spans = np.ptp(x), np.ptp(y)
    # Coordinates up to 1e6 leave a span of 0.01 eight digits.
    assert spans[0] / shape[1] == pytest.approx(spans[1] / shape[0], rel=1e-6)
    for wide, given_ in ((x, x_range), (y, y_range)):
        slack = 1e-9 * max(abs(np.array(given_)).max(), 1)
        assert wide[0] <= given_[0] + slack
        assert wide[1] >= given_[1] - slack
        assert np.mean(wide) == pytest.approx(np.mean(given_), rel=1e-9, abs=1e-6)
    grown = [np.ptp(x) / np.ptp(x_range), np.ptp(y) / np.ptp(y_range)]
    assert min(grown) == pytest.approx(1, rel=1e-6)


def test_a_range_without_width_is_widened_too() -> None:
    """A scan of one row."""
    x, y = widen_to_shape((0, 100), (7, 7), (50, 100))
    assert x == (0, 100)
    assert y == (-18, 32)


def test_the_margin_of_a_grid_is_a_share_of_each_side() -> None:
    """Left, bottom, right, top around the outer edges of the cells."""
    grid = Grid(x0=10, y0=100, dx=2, dy=5, height=4, width=8)
    assert grid.bounds == (9, 97.5, 25, 117.5)
    assert grid_with_margin(grid, 0.5) == (1, 87.5, 33, 127.5)
