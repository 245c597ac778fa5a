"""Backgrounds and net windows against formulas, a plain loop, PyMca's numbers and known truth."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from maxrf_core.background import side_window_weights, snip_window_weights
from maxrf_core.components import COMPONENTS
from maxrf_core.errors import ParameterError
from maxrf_core.lines import peak_template
from maxrf_core.simulation_parameters import SimulationParameters
from maxrf_core.snip import snip, snip_width
from maxrf_core.truth import SimulatedScan, scaled_to_counts

AXIS = np.linspace(-1.0, 29.0, 1501)
"""0.02 keV a channel."""

PYMCA_SNIP = [
    30.0, 28.0, 26.0, 26.0, 26.0, 26.0, 26.0, 26.90625, 27.8125, 28.71875, 29.625, 30.4765625,
    31.328125, 32.1796875, 33.0, 33.75, 34.5, 35.203125, 35.703125, 36.15625, 36.609375, 36.9375,
    37.125, 37.3125, 37.5, 37.375, 37.25, 37.125, 37.0, 38.09375, 39.1875, 40.28125, 41.375,
    42.4375, 43.09375, 43.75, 44.671875, 45.59375, 46.125, 47.0234375, 47.921875, 48.1796875,
    48.4375, 48.53125, 48.625, 48.71875, 48.8125, 48.90625, 49.0, 50.0, 51.0, 52.5, 54.0, 55.0,
    56.0, 57.0, 57.75, 58.5, 59.25, 60.0,
]  # fmt: skip
"""What PyMca 5.9.7 gives for `peaks()`: PyMcaMath.fitting.SpecfitFuns.snip1d(peaks(), 7, 0)."""


def peaks() -> np.ndarray:
    """Return two peaks on a slope with something like noise, (60,)."""
    x = np.arange(60.0)
    tall = 200 * np.exp(-0.5 * ((x - 20) / 2.0) ** 2)
    low = 90 * np.exp(-0.5 * ((x - 41) / 2.5) ** 2)
    return np.round(30 + 0.5 * x + tall + low + 7 * np.sin(x * x))


@cache
def simulated(phantom: str) -> tuple[SimulatedScan, np.ndarray]:
    """Return the truth of a scan of 20 x 15 cells and its rates (n, k)."""
    parameters = SimulationParameters((20, 15), 0, phantom, 2048, 600.0, 0.0, False, 250.0)
    truth = scaled_to_counts(SimulatedScan("none", parameters))
    return truth, truth.exposed_rates(np.arange(truth.n_spectra))


# --- side windows -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sides",
    [
        {},
        {"left": (4.0, 5.9)},
        {"right": (8.5, 8.7), "left": (5.5, 6.0)},
        {"right": (20.0, 40.0)},
    ],
)
def test_background_linear_in_energy_is_removed_exactly(sides):
    """Whatever the widths and distances of the sides: the line through their means is laid."""
    weights = side_window_weights(AXIS, 6.01, 7.03, **sides)
    for background in (np.ones(AXIS.size), 80.0 - 2.5 * AXIS):
        assert weights @ background == pytest.approx(0.0, abs=1e-9 * background.sum())


def test_counts_of_the_window_count_whole():
    """A net window is the gross one minus something: a peak inside it loses nothing."""
    weights = side_window_weights(AXIS, 6.01, 7.03)
    inside = (AXIS >= 6.01) & (AXIS < 7.03)
    assert (weights[inside] == 1.0).all()
    assert (weights[~inside] <= 0.0).all()


def test_default_sides_are_half_as_wide_and_directly_beside():
    """So the background is counted in as many channels as the window has."""
    weights = side_window_weights(AXIS, 6.01, 7.01)
    used = np.flatnonzero(weights < 0)
    assert AXIS[used] == pytest.approx(
        np.r_[np.arange(5.52, 6.01, 0.02), np.arange(7.02, 7.51, 0.02)]
    )
    assert weights[used] == pytest.approx(-1.0)


def test_sides_end_with_the_spectrum_and_stay_exact():
    """The zero peak and the tube's lines lie near the ends."""
    line = 50.0 + 3.0 * AXIS
    low = side_window_weights(AXIS, -0.9, 0.5)
    assert low @ line == pytest.approx(0.0, abs=1e-8)
    assert (low[AXIS < -0.9] < 0).all()
    beyond = side_window_weights(AXIS, 28.0, 30.0)
    assert beyond @ np.ones(AXIS.size) == pytest.approx(0.0, abs=1e-9)
    assert (beyond[(AXIS >= 27.0) & (AXIS < 28.0)] < 0).all()


@pytest.mark.parametrize(("excluded", "kept"), [("left", "right"), ("right", "left")])
def test_one_side_removes_a_constant(excluded, kept):
    """A neighbouring line spoils one side; the other still gives the height."""
    weights = side_window_weights(AXIS, 6.01, 7.03, **{excluded: False})
    assert weights @ np.ones(AXIS.size) == pytest.approx(0.0, abs=1e-9)
    used = AXIS[weights < 0]
    assert (used < 6.01).all() if kept == "left" else (used >= 7.03).all()


def test_window_without_channels_has_no_weights():
    """As an empty region of interest gives an empty gross map, it gives an empty net one."""
    total = np.ones(AXIS.size)
    assert not side_window_weights(AXIS, 7.549, 7.549).any()
    assert not snip_window_weights(AXIS, total, 7.549, 7.549).any()
    assert not side_window_weights(AXIS, 40.0, 41.0, left=(5.0, 6.0)).any()


@pytest.mark.parametrize(
    ("limits", "sides", "message"),
    [
        ((7.0, 6.0), {}, "energy window is"),
        ((6.0, np.nan), {}, "energy window is"),
        ((6.0, 7.0), {"left": (5.0, 6.5)}, "left side window is 5 to 6.5 keV; expected it below"),
        ((6.0, 7.0), {"right": (6.5, 8.0)}, "right side window .* above the window"),
        ((6.0, 7.0), {"right": (9.0, 8.0)}, "right side window is"),
        ((6.0, 7.0), {"left": 5.0}, "left side window is 5.0; expected two"),
        ((6.0, 7.0), {"left": False, "right": False}, "neither side window"),
        ((6.0, 7.0), {"left": (-9.0, -8.0), "right": (7.0, 7.0)}, "neither side window"),
    ],
)
def test_windows_without_meaning_are_refused(limits, sides, message):
    """A side window over the peak would take the peak away from itself."""
    with pytest.raises(ParameterError, match=message):
        side_window_weights(AXIS, *limits, **sides)
    with pytest.raises(ParameterError, match=message):
        snip_window_weights(AXIS, np.ones(AXIS.size), *limits, **sides)


# --- SNIP ---------------------------------------------------------------------------------


def plain_snip(spectrum, width):
    """Return SNIP of one spectrum, channel by channel, as Morhac (1997) writes it down."""
    values = [np.log(np.log(np.sqrt(y + 1) + 1) + 1) for y in spectrum]
    for p in range(width, 0, -1):
        before = list(values)
        for i in range(p, len(values) - p):
            values[i] = min(before[i], (before[i - p] + before[i + p]) / 2)
    return [(np.exp(np.exp(v) - 1) - 1) ** 2 - 1 for v in values]


def test_snip_without_lls_gives_pymcas_numbers():
    """Users compare with what they know."""
    assert snip(peaks(), 7, lls=False) == pytest.approx(PYMCA_SNIP, abs=1e-12)


def test_snip_with_lls_is_the_papers_loop():
    """The logarithms are undone, and the passes run from the widest to the narrowest."""
    assert snip(peaks(), 9) == pytest.approx(plain_snip(peaks(), 9), rel=1e-9)


def test_snip_by_factors_takes_the_passes_of_ryan():
    """Some at the full width, then ever narrower by a factor: each pass is done by hand."""
    by_hand = peaks()
    for p in (6, 6, 6, 3, 2, 1):  # twice before it falls, then 6, 3, 1.5 and 0.75
        before = by_hand.copy()
        for i in range(p, len(before) - p):
            by_hand[i] = min(before[i], (before[i - p] + before[i + p]) / 2)
    found = snip(peaks(), 6, iter_num=2, decrease_factor=2.0, lls=False)
    assert found == pytest.approx(by_hand)


def test_snip_of_many_spectra_is_that_of_each():
    """A region's spectra are cut at once, in their own dtype."""
    spectra = np.random.default_rng(30).poisson(25.0, (3, 2, 70)).astype(np.uint16)
    widths = np.linspace(2.0, 11.0, 70)
    found = snip(spectra, widths, smoothing=1.5)
    assert found.dtype == np.float32
    assert found.shape == spectra.shape
    assert found[2, 1] == pytest.approx(snip(spectra[2, 1], widths, smoothing=1.5))
    assert snip(spectra.astype(np.float64), 3).dtype == np.float64


def test_snip_lies_nowhere_above_and_changes_nothing():
    """Negative values happen where a kriging weight is negative."""
    spectrum = peaks() - 35.0
    before = spectrum.copy()
    for lls in (True, False):
        assert (snip(spectrum, 8, lls=lls) <= spectrum).all()
    assert (spectrum == before).all()


def test_snip_of_no_datum_is_none():
    """NaN means no datum; its neighbour in the cube keeps its background."""
    spectra = np.stack([np.full(60, np.nan), peaks()])
    found = snip(spectra, 7)
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx(snip(peaks(), 7))


def test_snip_with_a_width_that_follows_the_resolution_strips_narrow_and_wide_peaks():
    """Lines at 20 keV are twice as wide as at 2 keV."""
    smooth = 200.0 * np.exp(-(((AXIS - 12.0) / 9.0) ** 2))
    spectrum = smooth + 4e4 * peak_template(AXIS, [3.0, 3.3, 9.0, 20.2], [2.0, 1.0, 5.0, 5.0])
    inside = (AXIS > 1.0) & (AXIS < 26.0)
    background = snip(spectrum, snip_width(AXIS))
    assert background[inside] == pytest.approx(smooth[inside], rel=0.08)
    narrow = snip(spectrum, snip_width(AXIS, n_fwhm=0.3))
    assert narrow[inside].sum() > 1.1 * smooth[inside].sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": -1.0}, "width is -1"),
        ({"width": np.nan}, "width is nan"),
        ({"width": [1.0, 2.0]}, r"width has shape \(2,\)"),
        ({"width": 5, "iter_num": -1}, "iter_num is -1"),
        ({"width": 5, "iter_num": 1.5}, "iter_num is 1.5"),
        ({"width": 5, "decrease_factor": 1.0}, "decrease_factor is 1.0"),
        ({"width": 5, "decrease_factor": 1.00001}, "more than 10000 passes"),
        ({"width": 5, "width_threshold": 0.0}, "width_threshold is 0.0"),
        ({"width": 5, "smoothing": -1.0}, "sigma is -1"),
    ],
)
def test_passes_without_meaning_are_refused(arguments, message):
    """A factor of 1 would never end."""
    with pytest.raises(ParameterError, match=message):
        snip(peaks(), **arguments)


# --- net windows that follow a curved background ------------------------------------------


def test_curved_background_is_followed_where_straight_sides_fail():
    """Between Compton's peak and the lines the continuum is a hump."""
    hump = 1e5 * np.exp(-0.5 * ((AXIS - 8.0) / 1.5) ** 2)
    total = hump + 1e6 * peak_template(AXIS, [8.0], [1.0])
    window = (AXIS >= 7.7) & (AXIS < 8.3)
    straight = side_window_weights(AXIS, 7.7, 8.3)
    curved = snip_window_weights(AXIS, total, 7.7, 8.3, left=(7.4, 7.7), right=(8.3, 8.6))
    gross = hump[window].sum()
    assert straight @ hump > 0.03 * gross
    assert abs(curved @ hump) < 0.02 * gross


def test_default_sides_keep_off_the_neighbours_line():
    """A line beside the window must not be taken away where its element is."""
    total = 500.0 + 2e5 * peak_template(AXIS, [8.0, 8.3, 7.5], [1.0, 1.0, 0.5])
    neighbours = 2e5 * peak_template(AXIS, [8.3, 7.5], [1.0, 0.5])
    window = (AXIS >= 7.85) & (AXIS < 8.15)
    inside = neighbours[window].sum()
    assert side_window_weights(AXIS, 7.85, 8.15) @ neighbours < -0.1 * neighbours.sum()
    weights = snip_window_weights(AXIS, total, 7.85, 8.15)
    assert weights @ neighbours == pytest.approx(inside, abs=0.01 * neighbours.sum())


def test_sides_without_counts_take_nothing_away():
    """An empty total spectrum has no curvature to follow."""
    weights = snip_window_weights(AXIS, np.zeros(AXIS.size), 6.0, 7.0)
    assert weights @ np.ones(AXIS.size) == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("total", [np.ones(7), np.full(AXIS.size, np.nan), np.full(AXIS.size, -1)])
def test_total_spectrum_that_does_not_fit_is_refused(total):
    """A cube's spectrum with NaN, or another scan's, gives no ratio."""
    with pytest.raises(ParameterError, match="total spectrum"):
        snip_window_weights(AXIS, total, 6.0, 7.0)


LINES = {
    "Fe": (6.2, 6.6), "Cu": (7.85, 8.25), "Pb": (10.35, 10.75), "Mn": (5.75, 6.04),
}  # fmt: skip


@pytest.mark.parametrize("phantom", ["manuscript", "gradient"])
@pytest.mark.parametrize("element", LINES)
def test_net_counts_are_the_lines_own_within_their_error(phantom, element):
    """Truth is the element's own share of the window; the gross map has up to twice as much."""
    truth, rates = simulated(phantom)
    low, high = LINES[element]
    energies, k = truth.energies.astype(np.float64), COMPONENTS.index(element)
    window = (energies >= low) & (energies < high)
    true = rates[:, k] * truth.templates[k, window].sum()
    counts = np.random.default_rng(31).poisson(rates @ truth.templates)
    weights = snip_window_weights(truth.energies, counts.sum(axis=0), low, high)
    net = counts @ weights
    expected_variance = (rates @ truth.templates) @ weights**2
    pulls = (net - true) / np.sqrt(expected_variance)
    assert abs(pulls.mean()) < 0.25
    assert 0.9 < pulls.std() < 1.1
    gross_bias = (counts[:, window].sum(axis=1) - true).mean()
    assert abs((net - true).mean()) < max(0.6 * gross_bias, 0.05 * true.mean())
    # The error map's own estimate, from the same counts, is that variance.
    assert (counts @ weights**2).mean() == pytest.approx(expected_variance.mean(), rel=0.05)


def test_side_windows_beside_free_lines_leave_little():
    """Iron and copper of the manuscript: where no neighbour lies, straight sides are enough."""
    truth, rates = simulated("manuscript")
    for element in ("Fe", "Cu"):
        low, high = LINES[element]
        energies, k = truth.energies.astype(np.float64), COMPONENTS.index(element)
        window = (energies >= low) & (energies < high)
        true = (rates[:, k] * truth.templates[k, window].sum()).mean()
        net = (rates.mean(axis=0) @ truth.templates) @ side_window_weights(energies, low, high)
        assert net == pytest.approx(true, rel=0.02)
