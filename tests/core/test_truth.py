"""The truth of a simulated scan: its answers agree with each other, with formulas and the file."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core.errors import CronoFileError, ParameterError
from maxrf_core.simulation import SimulatedScan, SimulationParameters, load_truth, simulate_crono
from maxrf_core.truth import calibration_points, scaled_to_counts

REFERENCE = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"
X0, Y0 = 132252, 111816
PITCH = 37918 / 37
IRON = (6.169, 6.612)
EVERYTHING = (-2.0, 60.0)


def make_truth(
    shape, phantom="manuscript", *, seed=0, n_channels=512, lag=0.0, blur=True, wobble=0.0
):
    """Return the truth of a scan that nobody wrote."""
    parameters = SimulationParameters(shape, seed, phantom, n_channels, 600.0, lag, blur, wobble)
    return scaled_to_counts(SimulatedScan("unwritten.HDF5", parameters))


@pytest.fixture(scope="module")
def drawing():
    """Return the truth of a scan of the real file's shape."""
    return make_truth((85, 37), seed=3, wobble=250.0)


@pytest.mark.parametrize("n_channels", [1000, 4096])
def test_energies_cover_the_same_span_for_any_number_of_channels(n_channels):
    """A scan with half the channels has wide channels, not half the energies."""
    truth = make_truth((2, 3), n_channels=n_channels)
    energies = truth.energies.astype(np.float64)
    step = np.diff(energies).mean()
    gain = (22.163 - 8.046) / (1952 - 771)
    assert truth.energies.dtype == np.float32
    assert energies[0] - step / 2 == pytest.approx(8.046 - 771.5 * gain, abs=1e-5)
    assert energies[-1] + step / 2 == pytest.approx(8.046 + (4095.5 - 771) * gain, abs=1e-4)
    (low, low_kev), (high, high_kev) = calibration_points(n_channels)
    line = low_kev + (np.arange(n_channels) - low) * (high_kev - low_kev) / (high - low)
    assert np.allclose(line, energies, rtol=0, atol=4e-6)  # float32 of 48 keV


def test_expected_map_spectrum_and_counts_agree(drawing):
    """Three ways to ask for one number; a window is half open and windows add up."""
    grid_x, grid_y = np.linspace(X0, X0 + 37 * PITCH, 9), np.linspace(Y0, Y0 + 42_000, 5)
    iron = drawing.expected_map(grid_x, grid_y, *IRON)
    assert iron.shape == (5, 9)
    assert iron.dtype == np.float64
    inside = (drawing.energies >= IRON[0]) & (drawing.energies < IRON[1])
    spectra = drawing.expected_spectrum(grid_x[None, :], grid_y[:, None])
    assert spectra.shape == (5, 9, 512)
    assert np.allclose(spectra[:, :, inside].sum(axis=2), iron)
    edge = float(drawing.energies[80])
    below, above = ((3.0, edge), (edge, 9.0))
    halves = drawing.expected_counts(X0, Y0, *below) + drawing.expected_counts(X0, Y0, *above)
    assert halves == pytest.approx(float(drawing.expected_counts(X0, Y0, 3.0, 9.0)))
    assert drawing.expected_counts(X0, Y0, edge, edge) == 0.0


def test_mean_number_of_counts_is_the_one_asked_for(drawing):
    """600 counts a spectrum, a tenth in the zero peak, make a scan as sparse as a real one."""
    assert drawing.expected_counts_per_spectrum(*EVERYTHING).mean() == pytest.approx(600, rel=5e-3)
    assert drawing.expected_counts(X0, Y0, -1.0, 0.3) == pytest.approx(60.0, rel=1e-3)


def test_part_of_the_spectra_is_a_part_of_all(drawing):
    """Blocks are an inner matter: where a part begins must not show."""
    every = drawing.expected_counts_per_spectrum(*IRON)
    assert every.shape == (drawing.n_spectra,)
    part = drawing.expected_counts_per_spectrum(*IRON, start=1999, stop=4200)
    assert np.allclose(part, every[1999:4200], rtol=1e-12)
    assert drawing.expected_counts_per_spectrum(*IRON, start=7, stop=7).shape == (0,)


def test_gradient_truth_is_the_formula():
    """Accuracy of interpolation is measured against it, so it is checked without the code."""
    truth = make_truth((11, 8), "gradient", n_channels=4096)
    share = np.array([0.0, 0.3, 1.0])
    iron = truth.expected_counts(X0 + 8 * PITCH * share, Y0, 6.2, 6.6)
    copper = truth.expected_counts(X0, Y0 - 250 + 11 * 500 * share, 7.9, 8.2)
    for counts in (iron, copper):
        assert counts[2] - counts[1] == pytest.approx(7 / 3 * (counts[1] - counts[0]))
        # From 0.25 to 1.75, but for the continuum and other elements' flanks in the window.
        assert 5.5 < counts[2] / counts[0] < 7.0


def test_picture_does_not_depend_on_the_seed():
    """Scans of one shape show one page; noise and raster alone differ."""
    x, y = X0 + np.linspace(0, 9000, 23), Y0 + np.linspace(0, 7000, 29)[:, None]
    first, second = (
        scan.expected_counts(x, y, *IRON) / scan.parameters.scale
        for scan in (make_truth((14, 9), seed=1), make_truth((14, 9), seed=2))
    )
    assert first.max() > 50
    assert np.allclose(first, second)


def test_lag_moves_the_exposure_not_the_record():
    """A rising picture is seen too bright in even rows and too dark in odd ones: the zigzag."""
    lagging = make_truth((6, 30), "gradient", n_channels=128, lag=0.4, blur=False)
    assert np.array_equal(lagging.positions, make_truth((6, 30), n_channels=128).positions)
    x, y = lagging.positions[:, 0].astype(np.float64), lagging.positions[:, 1].astype(np.float64)
    odd = ((y - Y0) // 500) % 2 == 1
    cruise = np.abs(x - X0 - 15 * PITCH) < 8000
    there = lagging.expected_counts_per_spectrum(*IRON)
    recorded = lagging.expected_counts(x, y, *IRON)
    assert (there > recorded)[cruise & ~odd].all()
    assert (there < recorded)[cruise & odd].all()
    true_x, true_y = lagging.exposure_positions.T
    assert np.allclose(there, lagging.expected_counts(true_x, true_y, *IRON))


def test_motion_blur_averages_over_the_way_of_the_head():
    """A linear picture is not changed by it; a drawing with edges is, within its range."""
    blurred, still = (
        make_truth((21, 13), seed=2, blur=blur, wobble=250.0) for blur in (True, False)
    )
    scale = still.parameters.scale / blurred.parameters.scale
    iron = blurred.expected_counts_per_spectrum(*IRON) * scale
    sharp = still.expected_counts_per_spectrum(*IRON)
    assert np.abs(iron - sharp).max() > 0.1 * np.ptp(sharp)
    assert iron.max() <= sharp.max() * 1.1
    linear = make_truth((4, 30), "gradient")
    x, y = linear.exposure_positions.T
    cruise = np.abs(x - X0 - 15 * PITCH) < 8000
    assert np.allclose(
        linear.expected_counts_per_spectrum(*IRON)[cruise],
        linear.expected_counts(x, y, *IRON)[cruise],
        rtol=1e-9,
    )


@pytest.mark.parametrize("window", [(5.0, 4.0), (float("nan"), 4.0), (1.0, float("inf"))])
def test_window_the_wrong_way_round_is_refused(drawing, window):
    """An empty answer would pass for a picture without the element."""
    with pytest.raises(ParameterError, match="energy window"):
        drawing.expected_counts(X0, Y0, *window)


def test_truth_is_reloaded_from_the_file_alone(tmp_path):
    """A scan that was moved to another machine still knows what is under it."""
    truth = simulate_crono(
        tmp_path / "scan.HDF5",
        shape=[9, 7],
        seed=np.int64(5),
        n_channels=256,
        lag=np.float32(0.25),
        wobble_steps=100,
    )
    moved = Path(truth.filename).rename(tmp_path / "moved.HDF5")
    again = load_truth(moved)
    assert again.filename == str(moved)
    assert again.parameters == truth.parameters
    assert np.array_equal(again.energies, truth.energies)
    assert np.array_equal(again.positions, truth.positions)
    assert np.array_equal(again.exposure_positions, truth.exposure_positions)
    grid = X0 + np.linspace(0, 9000, 11), np.linspace(Y0, Y0 + 4000, 7)
    assert np.array_equal(again.expected_map(*grid, *IRON), truth.expected_map(*grid, *IRON))


def test_file_that_is_no_simulation_has_no_truth():
    """A real scan must not be scored against a drawing."""
    with pytest.raises(CronoFileError, match="no simulated scan"):
        load_truth(REFERENCE)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("}", "", "not the JSON text"),
        ('"version": 1', '"version": 99', "version 99"),
        ('"lag": 0.0, ', "", "incomplete"),
        ('"seed": 0', '"seed": -4', "seed is -4"),
        ('"seed": 0', '"seed": 4', "the file was changed"),
    ],
    ids=["cut", "version", "incomplete", "value", "seed"],
)
def test_file_with_other_parameters_is_refused(tmp_path, old, new, message):
    """A truth that belongs to other counts is worse than none."""
    truth = simulate_crono(tmp_path / "scan.HDF5", shape=(3, 2), n_channels=64)
    with h5py.File(truth.filename, "r+") as file:
        text = file.attrs["maxrf_simulation"]
        assert old in text
        file.attrs.modify("maxrf_simulation", text.replace(old, new))
    with pytest.raises(CronoFileError, match=message):
        load_truth(truth.filename)


def test_file_with_other_positions_is_refused(tmp_path):
    """Somebody's corrected positions are not where the counts were drawn."""
    truth = simulate_crono(tmp_path / "scan.HDF5", shape=(3, 2), n_channels=64)
    with h5py.File(truth.filename, "r+") as file:
        file["XRF/MotorsPositions"][7, 0] = 140_000
    with pytest.raises(CronoFileError, match="was changed"):
        load_truth(truth.filename)
