"""Energy axes from points, and axes that are right or wrong against simulated and real lines."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core.calibration import check_calibration, recalibrated
from maxrf_core.errors import ParameterError
from maxrf_core.line_marks import LineMark, straight_line
from maxrf_core.lines import element_template, peak_template
from maxrf_core.simulation_parameters import SimulationParameters
from maxrf_core.truth import SimulatedScan, calibration_points, scaled_to_counts

FILE_POINTS = [[771, 8.046], [1952, 22.163]]
"""The real Crono file's; its energies run from -1.1700948 to 47.7792 keV."""

REAL = Path(__file__).parents[3] / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no measured spectra in {REAL}")


@cache
def expected_scan(phantom: str, n_channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return energies and the expected total spectrum of a scan of 20 x 15 cells."""
    parameters = SimulationParameters((20, 15), 0, phantom, n_channels, 600.0, 0.0, False, 250.0)
    truth = scaled_to_counts(SimulatedScan("none", parameters))
    rates = truth.exposed_rates(np.arange(truth.n_spectra)).sum(axis=0)
    return truth.energies, rates @ truth.templates


def drawn(phantom: str, n_channels: int, seed: int, share: float = 1.0):
    """Return energies and a total spectrum drawn from its expectation."""
    energies, expected = expected_scan(phantom, n_channels)
    return energies, np.random.default_rng(seed).poisson(share * expected)


def test_two_points_give_the_axis_of_the_real_file():
    """The instrument's own EnergyVector is the straight line through its two points."""
    energies = recalibrated(4096, FILE_POINTS)
    assert energies.dtype == np.float32
    assert energies.shape == (4096,)
    assert energies[[0, 1, -1]] == pytest.approx([-1.1700948, -1.1581414, 47.7792], abs=1e-4)


def test_more_points_are_fitted_by_least_squares_in_any_order():
    """No point is preferred, and the order in which a user clicked does not matter."""
    points = np.array([[300, 2.61], [90, 0.02], [1500, 17.05], [700, 7.33]])
    slope, start = np.polyfit(points[:, 0], points[:, 1], 1)
    energies = recalibrated(2000, points)
    assert energies == pytest.approx(start + slope * np.arange(2000), abs=1e-5)
    assert recalibrated(2000, points[::-1]) == pytest.approx(energies, abs=1e-6)


def test_parabola_is_recovered_when_asked_for():
    """Some detectors are not linear; three points are the fewest that show it."""
    channels = np.array([10.5, 600.0, 1700.0])
    curve = -0.4 + 0.011 * np.arange(1800) + 4e-7 * np.arange(1800) ** 2
    points = np.column_stack([channels, -0.4 + 0.011 * channels + 4e-7 * channels**2])
    assert recalibrated(1800, points, degree=2) == pytest.approx(curve, abs=1e-5)
    assert abs(recalibrated(1800, points) - curve).max() > 0.02


@pytest.mark.parametrize(
    ("points", "degree", "message"),
    [
        ([[10, 1.0]], 1, "1 distinct channels, expected 2"),
        ([[10, 1.0], [90, 9.0]], 2, "2 distinct channels, expected 3"),
        ([[10, 1.0], [10, 9.0], [50, 4.0]], 1, "same channel, 10"),
        ([[10, 1.0], [100, 9.0]], 1, "channel 100 is not in the spectrum, expected 0 to 99"),
        ([[-1, 1.0], [90, 9.0]], 1, "channel -1 is not"),
        ([[10, 1000.0], [90, 9000.0]], 1, "1000 keV is no energy"),
        ([[10, np.nan], [90, 9.0]], 1, "finite"),
        ([[10, 1.0, 2.0]], 1, "pairs of channel and keV"),
        ("points", 1, "pairs of channel and keV"),
        ([[10, 9.0], [90, 1.0]], 1, "does not rise"),
        ([[10, 5.0], [90, 5.0]], 1, "does not rise"),
        ([[0, 1.0], [50, 20.0], [99, 21.0]], 2, "does not rise"),
        ([[10, 1.0], [11, 60.0]], 1, "to 5252 keV; expected within"),
        ([[10, 1.0], [90, 9.0]], 3, "degree is 3"),
    ],
)
def test_points_that_make_no_axis_are_refused(points, degree, message):
    """A mistyped point must not turn every map of a scan into another element's."""
    with pytest.raises(ParameterError, match=message):
        recalibrated(100, points, degree=degree)


def test_all_faults_of_the_points_are_told_at_once():
    """Who mistyped two of them corrects both."""
    with pytest.raises(ParameterError, match=r"channel 200 .*; 8046 keV"):
        recalibrated(100, [[10, 8046.0], [200, 9.0]])


@pytest.mark.parametrize("phantom", ["manuscript", "gradient"])
@pytest.mark.parametrize(("n_channels", "seed"), [(512, 0), (1024, 1), (2048, 2), (4096, 3)])
def test_right_axis_is_not_doubted(phantom, n_channels, seed):
    """A false alarm sends a user to recalibrate what was right."""
    energies, total = drawn(phantom, n_channels, seed)
    check = check_calibration(energies, total, calibration_points(n_channels))
    assert check.agrees is True
    assert len(check.marks) >= 8
    assert abs(check.offset_ev) < 3.5 * check.offset_error_ev
    assert abs(check.gain_error) < 3.5 * check.gain_standard_error
    assert check.points_deviation_kev < 1e-4
    assert "agrees" in check.message
    assert "zero peak" in check.message


@pytest.mark.parametrize("seed", range(6))
def test_few_counts_give_no_false_alarm(seed):
    """Thirteen spectra hold some thousand counts: marks are fewer and less sure, not wrong."""
    energies, total = drawn("manuscript", 4096, seed, share=0.02)
    assert total.sum() < 8000
    check = check_calibration(energies, total)
    assert check.agrees is True
    assert check.offset_error_ev > 2.0


@pytest.mark.parametrize(
    ("channels", "gain"),
    [(3.0, 0.0), (-3.0, 0.0), (0.0, 0.01), (0.0, -0.01), (0.0, 0.02), (0.0, -0.02), (9.0, -0.02)],
)
@pytest.mark.parametrize("n_channels", [1024, 4096])
def test_wrong_axis_is_told_with_its_error_and_how_to_mend_it(n_channels, channels, gain):
    """A gain off by 2 % brings one element's line onto another's: the nearest would be wrong."""
    energies, total = drawn("manuscript", n_channels, seed=11)
    true = energies.astype(np.float64)
    channels *= n_channels / 4096 if channels == 9.0 else 1.0
    offset = channels * (true[1] - true[0])
    check = check_calibration(true * (1.0 + gain) + offset, total)
    assert check.agrees is False
    assert "disagrees" in check.message
    assert check.offset_ev == pytest.approx(1000 * offset, abs=4 * check.offset_error_ev)
    assert check.gain_error == pytest.approx(gain, abs=4 * check.gain_standard_error)
    mended = recalibrated(n_channels, check.suggested_points)
    below_25 = true < 25.0
    assert abs(mended - true)[below_25].max() < 0.02
    assert check_calibration(mended, total).agrees is True


def test_parabolic_axis_is_checked_edge_by_edge():
    """The channels of a recalibrated axis may differ in width."""
    energies, total = drawn("gradient", 2048, seed=4)
    true = energies.astype(np.float64)
    bent = true + 0.0004 * (true - 8.0) * true
    check = check_calibration(bent, total)
    deviations = {mark.name: mark.deviation_kev for mark in check.marks}
    assert deviations["Fe Ka"] == pytest.approx(0.0004 * -1.6 * 6.4, abs=0.005)
    assert deviations["Rh Ka"] == pytest.approx(0.0004 * 12.17 * 20.17, abs=0.02)


@pytest.mark.parametrize("n_channels", [64, 256])
def test_channels_too_wide_for_lines_are_not_judged(n_channels):
    """No answer is better than one from peaks that are not resolved."""
    energies, total = drawn("manuscript", n_channels, seed=5)
    check = check_calibration(energies, total)
    assert check.agrees is None
    assert check.marks == ()
    assert "wider than 0.16 keV" in check.message


def test_spectrum_without_lines_is_not_judged():
    """An empty scan, or pure continuum, says nothing of its axis."""
    energies, _ = expected_scan("constant", 1024)
    flat = np.random.default_rng(6).poisson(30.0, 1024)
    for total in (np.zeros(1024), flat):
        check = check_calibration(energies, total)
        assert check.agrees is None
        assert np.isnan(check.offset_ev)
        assert "No known line" in check.message


def test_axis_that_is_not_its_points_line_is_told():
    """The file says twice how channels become keV; a difference is the file's own contradiction."""
    energies, total = drawn("gradient", 1024, seed=7)
    points = calibration_points(1024)
    points[1, 0] += 5.0
    check = check_calibration(energies, total, points)
    assert check.agrees is False
    assert check.points_deviation_kev > 0.2
    assert "not the line through its calibration points" in check.message
    assert "agrees with the lines" in check.message


def test_points_of_no_use_are_told_not_raised():
    """A file with zeros for points is still a scan that can be looked at."""
    energies, total = drawn("gradient", 1024, seed=8)
    check = check_calibration(energies, total, [[0, 0], [0, 0]])
    assert check.agrees is False
    assert check.points_deviation_kev is None
    assert "does not follow from its calibration points" in check.message


def test_lines_on_top_of_each_other_are_no_marks():
    """Arsenic's K-alpha lies 8 eV from lead's L-alpha: either would be shifted by the other."""
    energies = expected_scan("constant", 2048)[0].astype(np.float64)
    shapes = {name: element_template(name, energies) for name in ("As", "Pb", "Fe")}
    zero = peak_template(energies, [0.0], [1.0], fwhm_kev=[0.1])
    alone = 3e4 * (zero + shapes["Fe"] + shapes["Pb"])
    both = alone + 2e4 * shapes["As"]
    names = [
        {mark.name for mark in check_calibration(energies, total).marks} for total in (alone, both)
    ]
    assert {"zero peak", "Fe Ka", "Pb La"} <= names[0]
    assert {"zero peak", "Fe Ka"} <= names[1]
    assert not names[1] & {"Pb La", "As Ka"}


def test_one_strange_line_does_not_tilt_the_axis():
    """A mark that is truly another element's line is outvoted."""
    at = np.array([0.0, 3.7, 6.4, 8.0, 10.5, 12.6, 20.2])
    deviations = 0.004 + 0.001 * at
    deviations[3] += 0.2
    marks = tuple(LineMark("", kev, off, 0.005) for kev, off in zip(at, deviations, strict=True))
    fit, covariance = straight_line(marks)
    assert fit == pytest.approx([0.004, 0.001], abs=0.002)
    assert np.sqrt(covariance[1, 1]) < 0.001


def test_single_mark_gives_the_offset_alone():
    """One line cannot tell an offset from a gain."""
    fit, covariance = straight_line((LineMark("zero peak", 0.0, 0.03, 0.004),))
    assert fit == pytest.approx([0.03, 0.0])
    assert covariance == pytest.approx(np.diag([0.004**2, 0.0]))


@pytest.mark.parametrize(
    ("energies", "total", "message"),
    [
        (np.arange(9.0), np.zeros(8), "each of the 9 channels"),
        (np.arange(9.0)[::-1], np.zeros(9), "rising"),
        (np.arange(9.0), np.full(9, np.nan), "finite"),
        (np.arange(9.0), np.full(9, -1), "from 0"),
    ],
)
def test_spectrum_that_does_not_fit_the_axis_is_refused(energies, total, message):
    """Otherwise numpy's own error would name neither of the two."""
    with pytest.raises(ParameterError, match=message):
        check_calibration(energies, total)


@needs_real
def test_spectrum_of_a_real_ma_xrf_scanner_agrees_and_a_shifted_one_does_not():
    """Tails, escape and matrix effects are not in the patterns, and must not matter."""
    energies, counts = np.loadtxt(
        REAL / "m6-jetstream-spectrum.csv", delimiter=",", skiprows=2, unpack=True
    )
    assert check_calibration(energies, counts).agrees is True
    for gain, offset in ((0.01, 0.0), (-0.02, 0.0), (0.0, 0.036), (0.02, -0.1)):
        check = check_calibration(energies * (1 + gain) + offset, counts)
        assert check.agrees is False
        assert check.gain_error == pytest.approx(gain, abs=0.002)
        assert check.offset_ev == pytest.approx(1000 * offset, abs=10)


@needs_real
def test_real_scan_of_another_instrument_agrees_with_its_points():
    """An electron microscope's spectrum ends at 20 keV and has no tube's lines."""
    with h5py.File(REAL / "bruker-eds-50x50.HDF5") as file:
        energies = file["XRF/EnergyVector"][:]
        total = file["XRF/Spectra"][:].sum(axis=0, dtype=np.uint64)
        points = file["XRF/CalibrationPoints"][:]
    check = check_calibration(energies, total, points)
    assert check.agrees is True
    assert {"zero peak", "Al Ka", "Cu Ka"} <= {mark.name for mark in check.marks}
