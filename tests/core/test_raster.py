"""The head's motion against what is known of the one real scan, of 85 x 37 cells."""

from __future__ import annotations

import numpy as np
import pytest

from maxrf_core.raster import HeadMotion

X0, Y0 = 132252, 111816
X_END = X0 + 37918
PITCH = 37918 / 37


@pytest.fixture(scope="module")
def motion():
    """Return the motion of a scan of the real file's shape."""
    return HeadMotion((85, 37), seed=3, wobble_steps=250.0)


def rows_of(motion):
    """Return the (n, 3) positions of each row, as integers that can be subtracted."""
    positions = motion.recorded(0, motion.n_spectra).astype(np.int64)
    return [positions[positions[:, 1] == y] for y in np.unique(positions[:, 1])]


def test_scan_of_the_real_shape_has_the_real_extent_and_number_of_spectra(motion):
    """The format page gives the corners, 85 rows 500 steps apart, and 50.4 spectra a row."""
    rows = rows_of(motion)
    assert [int(row[0, 1]) for row in rows] == [Y0 + 500 * number for number in range(85)]
    positions = np.concatenate(rows)
    assert (positions[:, 0].min(), positions[:, 0].max()) == (X0, X_END)
    assert set(positions[:, 2]) == {46018}
    # Each row has 50 or 51: the mean of 85 is within 3 standard errors, 0.16.
    assert motion.n_spectra / 85 == pytest.approx(50.4, abs=0.16)
    assert {len(row) for row in rows} == {50, 51}


@pytest.mark.parametrize("shape", [(85, 37), (6, 2)], ids=["real", "too short for full speed"])
def test_rows_run_back_and_forth(shape):
    """Even rows run left to right, odd rows right to left; the head never runs backwards."""
    for number, row in enumerate(rows_of(HeadMotion(shape, seed=3, wobble_steps=500.0))):
        steps = np.diff(row[:, 0])
        assert (steps <= 0).all() if number % 2 else (steps >= 0).all(), number
        assert np.ptp(row[:, 0]) == pytest.approx(shape[1] * PITCH, abs=1), number


def test_spectra_crowd_and_coincide_at_the_ends(motion):
    """Interpolation must survive it: 5 to 8 spectra within 1500 steps, some at one place."""
    coincide = 0
    for row in rows_of(motion):
        x = row[:, 0]
        assert 5 <= np.count_nonzero(x < X0 + 1500) <= 8
        assert 5 <= np.count_nonzero(x > X_END - 1500) <= 8
        coincide += np.count_nonzero(np.diff(x) == 0)
        inner = np.abs(np.diff(x[(x > X0 + 6000) & (x < X_END - 6000)]))
        assert inner.mean() == pytest.approx(1025, rel=0.1)
    assert coincide > 85


def test_rows_wobble_with_phases_of_their_own(motion):
    """Columns of a real scan do not line up; without wobble only the rows' phases differ."""
    wobbly = rows_of(motion)[0][:, 0]
    steady = rows_of(HeadMotion((85, 37), seed=3, wobble_steps=0.0))[0][:, 0]
    assert 100 < np.abs(wobbly - steady).max() <= 251
    cruise = steady[(steady > X0 + 6000) & (steady < X_END - 6000)]
    assert np.ptp(np.diff(cruise)) <= 1  # rounding to whole steps
    phases = [row[20, 0] for row in rows_of(motion)[::2]]
    assert np.ptp(phases) > 700


def test_spectra_taken_at_turns_are_missing(motion):
    """Within a row one spectrum follows the other; 31 to 35 are not kept between two rows."""
    periods = np.diff(motion.periods(np.arange(motion.n_spectra)))
    turn = np.diff(motion.recorded(0, motion.n_spectra)[:, 1].astype(np.int64)) != 0
    assert (periods[~turn] == 1).all()
    assert set(periods[turn] - 1) == set(range(31, 36))


def test_selected_index_is_the_nearest_spectrum_of_its_row(motion):
    """The vendor's map takes one spectrum a cell: this is what `selected` must reproduce."""
    selected = motion.selected(0, 85)
    assert selected.shape == (85, 37, 1)
    assert selected.dtype == np.uint64
    assert np.array_equal(motion.selected(40, 43), selected[40:43])
    positions = motion.recorded(0, motion.n_spectra).astype(np.float64)
    centres = X0 + (np.arange(37) + 0.5) * PITCH
    for row in range(85):
        mine = np.flatnonzero(positions[:, 1] == Y0 + 500 * row)
        apart = np.abs(positions[mine, 0][:, None] - centres)
        chosen = selected[row, :, 0].astype(np.int64)
        assert np.isin(chosen, mine).all()
        assert np.array_equal(np.abs(positions[chosen, 0] - centres), apart.min(axis=0))


def test_later_is_forwards():
    """The zigzag: at cruising speed a lag shifts even rows rightwards and odd rows leftwards."""
    lag = 0.4
    steady = HeadMotion((6, 30), seed=1, wobble_steps=0.0)
    spectra = np.arange(steady.n_spectra)
    x, y, _ = steady.recorded(0, steady.n_spectra).T.astype(np.float64)
    later_x, later_y = steady.exposed(spectra, lag)
    odd = ((y - Y0) // 500) % 2 == 1
    cruise = np.abs(x - X0 - 15 * PITCH) < 8000
    # The recorded position is rounded to whole steps.
    assert (later_x - x)[cruise & ~odd] == pytest.approx(lag * PITCH, abs=0.51)
    assert (later_x - x)[cruise & odd] == pytest.approx(-lag * PITCH, abs=0.51)
    assert np.array_equal(later_y, y)
