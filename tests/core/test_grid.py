"""The regular grid: where its cells lie, and how it follows from the vendor's selection."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core import Grid, ParameterError
from maxrf_core.grid import MAX_CELLS, cube_flips, make_grid, vendor_grid

VENDOR = Grid(x0=132252.0, y0=111816.0, dx=1000.0, dy=500.0, height=7, width=4)

pitches = st.floats(0.5, 5000)
origins = st.floats(-1e6, 1e6)
grids = st.builds(
    Grid, origins, origins, pitches, pitches, height=st.integers(1, 40), width=st.integers(1, 40)
)


def raster(shape, pitch, *, rows_down=False, columns_left=False):
    """Return positions and selection of a regular raster, scanned back and forth."""
    height, width = shape
    selected = np.arange(height * width).reshape(shape)
    selected[1::2] = selected[1::2, ::-1]
    x, y = np.meshgrid(pitch[0] * np.arange(width), pitch[1] * np.arange(height))
    positions = np.empty((height * width, 3))
    positions[:, 2] = 46018
    positions[selected.ravel(), 0] = 132252 + (x[:, ::-1] if columns_left else x).ravel()
    positions[selected.ravel(), 1] = 111816 + (y[::-1] if rows_down else y).ravel()
    return positions, selected


def test_rows_grow_with_y_and_columns_with_x():
    """Row 0 of every map is the smallest y: swapping the axes would turn the drawing."""
    np.testing.assert_array_equal(VENDOR.x, 132252 + 1000 * np.arange(4))
    np.testing.assert_array_equal(VENDOR.y, 111816 + 500 * np.arange(7))
    assert (VENDOR.shape, VENDOR.size) == ((7, 4), 28)
    centres = VENDOR.centres().reshape(7, 4, 2)
    np.testing.assert_array_equal(centres[3, 2], [134252, 113316])


def test_the_bounds_are_the_outer_edges_of_the_outer_cells():
    """Half a pitch beyond the outer centres: plots draw cells, not points."""
    assert VENDOR.bounds == (131752.0, 111566.0, 135752.0, 115066.0)


@given(grid=grids, data=st.data())
def test_every_place_of_a_cell_leads_back_to_it(grid, data):
    """A tap anywhere on a cell shows that cell's spectrum."""
    row = data.draw(st.integers(0, grid.height - 1))
    column = data.draw(st.integers(0, grid.width - 1))
    # 1e-6 of a pitch from the edge: rounding of an origin of 1e6 takes 1e-10
    shift = st.floats(-0.499999, 0.499999)
    x = grid.x[column] + grid.dx * data.draw(shift)
    y = grid.y[row] + grid.dy * data.draw(shift)
    assert grid.cell_at(x, y) == (row, column)


def test_the_edge_between_two_cells_belongs_to_the_upper_one():
    """Half-open cells: no place is in two cells, or in none."""
    assert VENDOR.cell_at(132752.0, 111816.0) == (0, 1)
    assert VENDOR.cell_at(132252.0, 112066.0) == (1, 0)
    assert VENDOR.cell_at(131752.0, 111566.0) == (0, 0)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (131751.0, 111816.0),
        (135752.0, 111816.0),
        (132252.0, 111565.0),
        (132252.0, 115066.0),
        (np.inf, 111816.0),
        (132252.0, -np.inf),
        (np.nan, 111816.0),
        (1e300, 111816.0),
    ],
)
def test_no_cell_lies_outside_the_grid(x, y):
    """A tap beside the map, or one without coordinates, is no error and no cell."""
    assert VENDOR.cell_at(x, y) is None


@given(grid=grids)
def test_a_grid_survives_json(grid):
    """It is stored in the zipstore's attributes."""
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


# --- the vendor's grid ---------------------------------------------------------------------
@pytest.mark.parametrize("rows_down", [False, True])
@pytest.mark.parametrize("columns_left", [False, True])
@pytest.mark.parametrize("shape", [(7, 4), (2, 5), (6, 2), (450, 3)])
def test_a_regular_raster_gives_its_exact_grid_whatever_way_it_runs(shape, rows_down, columns_left):
    """Pitches are exact, and x and y grow with column and row, also where the index does not."""
    positions, selected = raster(
        shape, (1000.0, 500.0), rows_down=rows_down, columns_left=columns_left
    )
    vendor = vendor_grid(positions, selected)
    assert vendor.grid == Grid(132252.0, 111816.0, 1000.0, 500.0, *shape)
    assert (vendor.rows_flipped, vendor.columns_flipped) == (rows_down, columns_left)
    found = positions[vendor.selected_index.ravel(), :2]
    np.testing.assert_array_equal(found, vendor.grid.centres())


def test_a_few_wild_rows_do_not_tilt_the_grid(rng):
    """The head wobbles by some hundred steps, a row differently from the next."""
    positions, selected = raster((31, 17), (1000.0, 500.0))
    for row in selected:
        positions[row, 0] += rng.uniform(-250, 250)
    for wild in selected[[3, 20]]:
        positions[wild, 0] += 900
        positions[wild, 1] += 180
    grid = vendor_grid(positions, selected).grid
    assert (grid.dx, grid.dy) == pytest.approx((1000, 500), rel=1e-12)
    assert grid.y0 == pytest.approx(111816, rel=1e-12)
    # the median of 31 rows that wobble by +-250 has a standard deviation of 45
    assert grid.x0 == pytest.approx(132252, abs=150)


@pytest.mark.parametrize(
    ("shape", "pitch", "expected"),
    [((1, 9), (1000.0, 500.0), (1000.0, 1000.0)), ((9, 1), (1000.0, 500.0), (500.0, 500.0))],
)
def test_a_line_scan_has_square_cells(shape, pitch, expected):
    """One row or one column has no pitch across; it takes the one along."""
    grid = vendor_grid(*raster(shape, pitch)).grid
    assert (grid.dx, grid.dy) == expected
    assert grid.shape == shape


def test_unsigned_positions_do_not_wrap_round():
    """The file stores uint32, and a row that runs left would have a pitch of 4 billion."""
    positions, selected = raster((3, 4), (1000.0, 500.0), rows_down=True, columns_left=True)
    vendor = vendor_grid(positions.astype(np.uint32), selected.astype(np.uint64))
    assert vendor.grid == Grid(132252.0, 111816.0, 1000.0, 500.0, 3, 4)


def test_selected_spectra_at_one_place_are_no_raster():
    """Without a pitch there is no grid; the message says where everything lies."""
    positions = np.array([[7.0, 9.0, 0.0]] * 6 + [[800.0, 9.0, 0.0]])
    with pytest.raises(ParameterError, match=r"the 6 selected spectra have no pitch .* x = 7, y"):
        vendor_grid(positions, np.arange(6).reshape(2, 3))


# --- other grids over the same area ----------------------------------------------------------
def test_the_vendors_spacing_is_the_vendors_grid():
    """Nothing is recomputed, so nothing is rounded."""
    assert make_grid(VENDOR, "vendor") is VENDOR


def test_square_cells_take_the_finer_pitch():
    """No detail that was measured gets lost, and the drawing keeps its shape."""
    assert make_grid(VENDOR, "square") == Grid(132002.0, 111816.0, 500.0, 500.0, 7, 8)


@pytest.mark.parametrize(
    ("spacing", "pitch", "shape"),
    [
        (250, (250, 250), (14, 16)),
        (250.0, (250, 250), (14, 16)),
        (np.float32(250), (250, 250), (14, 16)),
        ((2000, 500), (2000, 500), (7, 2)),
        ([300.0, 700.0], (300, 700), (5, 13)),
        (1e9, (1e9, 1e9), (1, 1)),
    ],
)
def test_a_pitch_in_motor_steps_covers_the_vendors_area_from_its_middle(spacing, pitch, shape):
    """As many whole cells as fit, centred."""
    grid = make_grid(VENDOR, spacing)
    assert ((grid.dx, grid.dy), grid.shape) == (pitch, shape)
    middle = (VENDOR.bounds[0] + VENDOR.bounds[2]) / 2, (VENDOR.bounds[1] + VENDOR.bounds[3]) / 2
    found = (grid.bounds[0] + grid.bounds[2]) / 2, (grid.bounds[1] + grid.bounds[3]) / 2
    assert found == pytest.approx(middle)


@given(grid=grids, fraction=st.tuples(st.floats(0.02, 30), st.floats(0.02, 30)))
def test_a_grid_of_any_pitch_stays_inside_and_leaves_less_than_a_cell(grid, fraction):
    """Never a cell beyond the scanned area, unless one cell is larger than all of it."""
    dx, dy = grid.dx * fraction[0], grid.dy * fraction[1]
    made = make_grid(grid, (dx, dy))
    for size, wanted, pitch in (
        (made.width, grid.dx * grid.width, dx),
        (made.height, grid.dy * grid.height, dy),
    ):
        assert size == 1 or size * pitch <= wanted * (1 + 1e-8)
        assert (size + 1) * pitch > wanted * (1 - 1e-8)


@pytest.mark.parametrize(
    "spacing",
    [0, -5, np.nan, np.inf, (500, 0), (1, 2, 3), (), "fine", "", None, ("a", 2), np.ones((2, 2))],
)
def test_a_spacing_that_means_nothing_is_refused(spacing):
    """The command line hands on what somebody typed."""
    with pytest.raises(ParameterError, match=r"(?s)grid spacing is .*; expected"):
        make_grid(VENDOR, spacing)


@pytest.mark.parametrize("spacing", [0.4, 1e-9, 1e-310])
def test_a_grid_that_no_memory_holds_is_refused(spacing):
    """A pitch in millimetres instead of steps must not take the machine down."""
    with pytest.raises(ParameterError, match=f"at most {MAX_CELLS:,} are possible"):
        make_grid(VENDOR, spacing)


# --- which way an exported cube runs ---------------------------------------------------------
@pytest.mark.parametrize(
    ("orientation", "rows_flipped", "columns_flipped", "expected"),
    [
        ("motor", True, True, (False, False)),
        ("vendor", True, False, (True, False)),
        ("vendor", False, True, (False, True)),
        ("image", False, False, (True, False)),
        ("image", True, True, (True, False)),
    ],
)
def test_the_orientation_says_which_axes_run_backwards(
    orientation, rows_flipped, columns_flipped, expected
):
    """Motor: with y and x; vendor: as the file; image: the largest y first."""
    found = cube_flips(orientation, rows_flipped=rows_flipped, columns_flipped=columns_flipped)
    assert found == expected


def test_an_unknown_orientation_is_refused():
    """All three names stand in the message."""
    with pytest.raises(ParameterError, match="'up'; expected 'motor', 'vendor' or 'image'"):
        cube_flips("up", rows_flipped=False, columns_flipped=False)
