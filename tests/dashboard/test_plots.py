"""Arrays made ready for the screen, against what they should be by construction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dashboard.plots import comb, counts_range, grid_with_margin
from dashboard.theme import COLOUR_MAPS, palette
from maxrf_core import Grid

# --- colours ------------------------------------------------------------------------------


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


# --- ranges ---------------------------------------------------------------------------------


def test_the_margin_of_a_grid_is_a_share_of_each_side() -> None:
    """Left, bottom, right, top around the outer edges of the cells."""
    grid = Grid(x0=10, y0=100, dx=2, dy=5, height=4, width=8)
    assert grid.bounds == (9, 97.5, 25, 117.5)
    assert grid_with_margin(grid, 0.5) == (1, 87.5, 33, 127.5)
