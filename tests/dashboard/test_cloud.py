"""Motor positions as pixels: where they are, in their colours, at any zoom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from dashboard.cloud import POSITION_COLOURS, PositionCloud, spread
from dashboard.pixels import Picture, View
from dashboard.theme import COLOURS

Range = tuple[float, float]


def drawn_picture(
    positions: npt.NDArray[np.float64],
    is_selected: npt.NDArray[np.bool_],
    x_range: Range,
    y_range: Range,
    shape: tuple[int, int],
) -> Picture:
    """Return the picture of a view, height and width in pixels."""
    bounds = (x_range[0], y_range[0], x_range[1], y_range[1])
    return PositionCloud(positions, is_selected).seen(View.over(bounds, shape[1], shape[0]))


def pixels_of(picture: Picture) -> npt.NDArray[np.uint8]:
    """Return (h, w, 4) pixels as the browser colours them, bottom row first."""
    codes = ["#00000000", *POSITION_COLOURS]
    palette = [[int(code[i : i + 2], 16) for i in (1, 3, 5, 7)] for code in codes]
    return np.array(palette, dtype=np.uint8)[picture.levels]


def at(picture: Picture, x: float, y: float) -> npt.NDArray[np.uint8]:
    """Return the pixel of a place."""
    column = int((x - picture.bounds[0]) / picture.pixel[0])
    row = int((y - picture.bounds[1]) / picture.pixel[1])
    return pixels_of(picture)[row, column]


def colour_of(name: str) -> list[int]:
    """Return a colour as red, green and blue."""
    return [int(COLOURS[name][i : i + 2], 16) for i in (1, 3, 5)]


def drawn(pixels: npt.NDArray[np.uint8], name: str) -> npt.NDArray[np.bool_]:
    """Return which pixels have a colour and can be seen, (h, w)."""
    return (pixels[..., :3] == colour_of(name)).all(axis=-1) & (pixels[..., 3] > 0)


# --- what is drawn --------------------------------------------------------------------------


def test_positions_are_drawn_where_they_are_in_their_colours() -> None:
    """Selected and left-out positions, in a picture wider than high, y upwards."""
    positions = np.array([[100.0, 10.0], [700.0, 10.0], [100.0, 90.0]])
    chosen = np.array([True, False, True])
    picture = drawn_picture(positions, chosen, (0, 800), (0, 100), (60, 240))
    assert drawn(at(picture, 100, 10), "selected")
    assert drawn(at(picture, 100, 90), "selected")
    assert drawn(at(picture, 700, 10), "measured")
    assert at(picture, 400, 50)[3] == 0
    assert set(np.unique(pixels_of(picture)[..., 3])) - {0} <= set(range(150, 256))


def test_a_selected_position_lies_over_left_out_ones() -> None:
    """At the row ends many coincide; the one that the map uses must be seen."""
    positions = np.full((9, 2), 50.0)
    chosen = np.zeros(9, dtype=bool)
    chosen[3] = True
    pixels = pixels_of(drawn_picture(positions, chosen, (0, 100), (0, 100), (50, 70)))
    assert drawn(pixels, "selected").any()
    assert not drawn(pixels, "measured").any()
    assert (pixels[..., 3].max()) == 255  # as opaque as the crowd beneath it


def test_no_position_is_lost() -> None:
    """Drawn so large that each has a pixel of its own, there are as many pixels as positions."""
    rng = np.random.default_rng(3)
    places = rng.permutation(200 * 300)[:20_000]
    positions = np.column_stack([places % 300 + 0.5, places // 300 + 0.5])
    chosen = rng.random(len(positions)) < 0.5
    pixels = pixels_of(drawn_picture(positions, chosen, (0, 300), (0, 200), (200, 300)))
    assert drawn(pixels, "selected").sum() == chosen.sum()
    assert drawn(pixels, "measured").sum() == (~chosen).sum()


@given(
    place=st.tuples(st.integers(-20, 270), st.integers(-20, 170)),
    size=st.tuples(st.integers(50, 200), st.integers(50, 150)),
)
def test_a_part_has_the_positions_that_lie_in_it(
    place: tuple[int, int], size: tuple[int, int]
) -> None:
    """Counted without sorting: those of the whole that lie between the picture's edges."""
    rng = np.random.default_rng(17)
    places = rng.permutation(300 * 200)[:40_000]  # too many for discs, also on half a view
    positions = np.column_stack([places % 300 + 0.25, places // 300 + 0.75])
    chosen = rng.random(len(positions)) < 0.4
    x_range, y_range = (place[0], place[0] + size[0]), (place[1], place[1] + size[1])
    picture = drawn_picture(positions, chosen, x_range, y_range, size[::-1])
    left, bottom, right, top = picture.bounds
    inside = ((positions > (left, bottom)) & (positions < (right, top))).all(axis=1)
    pixels = pixels_of(picture)
    assert drawn(pixels, "selected").sum() == (inside & chosen).sum()
    assert drawn(pixels, "measured").sum() == (inside & ~chosen).sum()


def test_crowded_pixels_are_more_opaque() -> None:
    """The turns of the head are to be seen as such."""
    crowd = np.repeat([[10.5, 10.5]], 400, axis=0)
    rng = np.random.default_rng(5)
    rest = rng.integers(20, 299, (30_000, 2)) + 0.5
    positions = np.concatenate([crowd, rest])
    chosen = np.zeros(len(positions), dtype=bool)
    picture = drawn_picture(positions, chosen, (0, 400), (0, 300), (300, 400))
    assert at(picture, 10.5, 10.5)[3] == 255
    pixels = pixels_of(picture)
    assert 150 <= np.median(pixels[..., 3][drawn(pixels, "measured")]) < 200


def test_few_positions_are_large_enough_to_see() -> None:
    """One pixel on a large plot is none; zoomed out to many they shrink to one again."""
    one = np.array([[50.0, 50.0]])
    picture = drawn_picture(one, np.array([True]), (0, 100), (0, 100), (300, 400))
    assert 40 < drawn(pixels_of(picture), "selected").sum() < 200


def test_a_view_without_positions_is_empty() -> None:
    """Pan away from the object, and there is nothing."""
    some = np.array([[1.0, 1.0], [2.0, 2.0]])
    picture = drawn_picture(some, np.array([True, False]), (50, 60), (50, 60), (50, 70))
    assert not picture.levels.any()


# --- where it is drawn ----------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [True, False])
def test_one_position_can_be_drawn(chosen: bool) -> None:
    """A range without a width is widened."""
    one = np.array([[132252.0, 111816.0]])
    ends = (132252, 132252), (111816, 111816)
    picture = drawn_picture(one, np.array([chosen]), *ends, (50, 70))
    left, bottom, right, top = picture.bounds
    assert left < 132252 < right
    assert bottom < 111816 < top
    assert drawn(pixels_of(picture), "selected" if chosen else "measured").any()


@pytest.mark.parametrize(
    ("x_range", "y_range"),
    [
        ((132252.0, 132252.001), (111816.0, 111816.001)),
        ((132252.0, 132252.0), (0.0, 1e12)),
        ((-1e12, 1e12), (-1e12, 1e12)),
    ],
    ids=["very near", "a line", "very far"],
)
def test_extreme_zooms_can_be_drawn(x_range: Range, y_range: Range) -> None:
    """The wheel has no end; the picture does."""
    some = np.array([[132252.0, 111816.0], [170170.0, 153816.0]])
    picture = drawn_picture(some, np.array([True, False]), x_range, y_range, (60, 80))
    assert 1 <= picture.levels.size <= 1.6 * 60 * 80
    assert picture.levels.any()


def test_a_picture_is_no_larger_than_what_there_is_to_see() -> None:
    """Nothing is sent of the empty surroundings but the rim of the outermost discs."""
    rng = np.random.default_rng(2)
    positions = rng.uniform(0, 100, (5000, 2))
    chosen = np.ones(5000, dtype=bool)
    picture = drawn_picture(positions, chosen, (-1000, 1000), (-500, 500), (500, 1000))
    left, bottom, right, top = picture.bounds
    assert -20 < left < 0 < 100 < right < 120
    assert -20 < bottom < 0 < 100 < top < 120


def test_a_pan_shifts_a_picture_and_does_not_change_it() -> None:
    """Pixels lie on one lattice at each zoom, else positions would tremble under the hand."""
    rng = np.random.default_rng(6)
    positions = rng.uniform(0, 100, (40_000, 2))
    cloud = PositionCloud(positions, np.ones(40_000, dtype=bool))
    first = cloud.seen(View(20, 30, 57, 67, 100, 100))
    moved = cloud.seen(View(31.3, 30, 68.3, 67, 100, 100))
    shift = round((moved.bounds[0] - first.bounds[0]) / 0.37)
    assert shift == pytest.approx((moved.bounds[0] - first.bounds[0]) / 0.37)
    both = min(first.levels.shape[1] - shift, moved.levels.shape[1])
    np.testing.assert_array_equal(
        first.levels[:, shift : shift + both] > 0, moved.levels[:, :both] > 0
    )


@pytest.mark.parametrize("number", [12, 300, 3000, 40_000], ids=lambda n: f"{n} positions")
def test_what_was_drawn_stays_as_it_was_in_a_pan(number: int) -> None:
    """Same shades, same discs, also where what comes into view is crowded or empty.

    Were sizes and shades taken from what is seen, positions would swell when a crowd leaves.
    """
    rng = np.random.default_rng(8)
    spread_out = rng.uniform(0, 100, (number, 2))
    crowd = rng.normal((60, 48), 2.5, (number, 2))
    positions = np.concatenate([spread_out, crowd])
    cloud = PositionCloud(positions, rng.random(len(positions)) < 0.4)
    first = cloud.seen(View(20, 30, 57, 67, 100, 100))
    for x, y in ((11.3, 0.0), (-20.2, 5.9), (30.1, -14.7), (0.0, 28.0)):
        moved = cloud.seen(View(20 + x, 30 + y, 57 + x, 67 + y, 100, 100))
        places = []
        for picture in (first, moved):
            left, bottom, right, top = np.rint(np.array(picture.bounds) / 0.37).astype(int)
            places.append((left, bottom, right, top))
        # Discs of positions beyond a picture's edge are cut off there, outside of the view.
        low = np.max(np.array(places)[:, :2], axis=0) + 6
        high = np.min(np.array(places)[:, 2:], axis=0) - 6
        assert (high - low > 5).all()
        parts = [
            picture.levels[
                low[1] - place[1] : high[1] - place[1], low[0] - place[0] : high[0] - place[0]
            ]
            for picture, place in zip((first, moved), places, strict=True)
        ]
        assert parts[0].any()
        np.testing.assert_array_equal(*parts)


def test_motor_steps_far_from_zero_are_told_apart() -> None:
    """Float32 has no single steps at 1.6e9; positions are kept from their own corner."""
    corner = 1.6e9
    positions = corner + np.column_stack([np.arange(200.0), np.zeros(200)])
    ends = (corner - 0.5, corner + 99.5), (corner - 25, corner + 25)
    picture = drawn_picture(positions, np.ones(200, dtype=bool), *ends, (1500, 3000))
    columns = np.flatnonzero((picture.levels > 0).any(axis=0))
    assert (np.diff(columns) > 1).sum() >= 99  # discs with gaps between them


# --- discs ----------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 30), st.integers(1, 40)),
    radius=st.integers(1, 5),
)
def test_spread_counts_are_the_highest_within_a_disc(
    seed: int, shape: tuple[int, int], radius: int
) -> None:
    """As scipy's maximum filter has it."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.1, shape).astype(np.uint32)
    offsets = np.arange(-radius, radius + 1)
    disc = np.hypot(*np.meshgrid(offsets, offsets)) <= radius + 0.3
    expected = maximum_filter(counts, footprint=disc, mode="constant")
    np.testing.assert_array_equal(spread(counts, radius), expected)
