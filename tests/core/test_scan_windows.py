"""Net maps, their errors, detection, time and lag of a converted scan, against plain formulas."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from maxrf_core import ParameterError, convert_crono, load_truth, open_scan, simulate_crono
from maxrf_core.detection import background_ratio, critical_level, null_variance_weights
from maxrf_core.interpolation import build_operator
from maxrf_core.lag import corrected_positions
from maxrf_core.sidecar import sidecar_path, write_sidecar

WINDOW = (9.0, 15.0)


def dense(scan, method=None, lag=None):
    """Return W as a float64 array, (cells, n)."""
    return scan.operator(method, lag=lag).matrix.toarray().astype(np.float64)


# --- net windows ----------------------------------------------------------------------------


@pytest.mark.parametrize("background", ["none", "sides", "snip"])
@pytest.mark.parametrize("per_second", [False, True])
@pytest.mark.parametrize("sigma", [0, 1.7])
def test_net_maps_and_their_errors_are_the_plain_formulas(
    made, scan, background, per_second, sigma
):
    """W S b and the root of (W * W) S (b * b), with the net and smoothed window b."""
    options = {"background": background, "sigma": sigma}
    net = scan.window_weights(*WINDOW, **options).net
    weights, counts = dense(scan), made.counts.astype(np.float64)
    seconds = made.live_times if per_second else np.ones(len(counts))
    expected = weights @ (counts @ net / seconds)
    errors = np.sqrt(weights**2 @ (counts @ net**2 / seconds**2))
    shape = scan.grid.shape
    options["per_second"] = per_second
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(
        scan.energy_map(*WINDOW, **options), expected.reshape(shape), rtol=2e-5, atol=2e-6 * scale
    )
    np.testing.assert_allclose(
        scan.energy_map_error(*WINDOW, **options), errors.reshape(shape), rtol=2e-5
    )
    for row, column in ((0, 0), (6, 4), (3, 1)):
        value, error = scan.cell_counts(row, column, *WINDOW, **options)
        cell = row * shape[1] + column
        assert value == pytest.approx(expected[cell], rel=1e-5, abs=1e-5 * scale)
        assert error == pytest.approx(errors[cell], rel=1e-5)


def test_a_cell_without_a_datum_has_no_counts(make_scan, tmp_path):
    """NaN, and not 0 with certainty."""
    made = make_scan((4, 20), turn=0, gap=8000)
    with open_scan(convert_crono(made.path, output=tmp_path, cubes=False, progress=False)) as scan:
        row, column = np.argwhere(scan.operator().empty)[0]
        assert np.isnan(scan.cell_counts(row, column, *WINDOW)).all()
        assert np.isnan(scan.detection_map(*WINDOW)[row, column])
        assert np.isnan(scan.dead_time_map()[row, column])


def test_some_spectra_are_those_of_the_file(made, scan):
    """In the order asked for, as they were counted."""
    index = np.array([30, 2, 75])
    spectra = scan.spectra(index)
    np.testing.assert_array_equal(spectra, made.counts[index])
    with pytest.raises(ParameterError):
        scan.spectra(np.array([77]))


# --- detection ------------------------------------------------------------------------------


@pytest.mark.parametrize("background", ["sides", "snip"])
def test_a_cell_is_detected_above_curries_level(made, scan, background):
    """The critical level from the formulas, cell by cell."""
    net = scan.window_weights(*WINDOW, background=background).net
    weights, counts = dense(scan), made.counts.astype(np.float64)
    level = critical_level(
        weights**2 @ (counts @ null_variance_weights(net)),
        eta=background_ratio(net),
        unit=(weights**2).sum(axis=1),
    )
    expected = (weights @ (counts @ net) > level).reshape(scan.grid.shape)
    found = scan.detection_map(*WINDOW, background=background)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_blank_cells_are_seldom_detected_and_full_ones_always(tmp_path):
    """Over continuum alone once in 20; over iron's line on the ink in every cell."""
    path = tmp_path / "scan.HDF5"
    simulate_crono(path, shape=(40, 56), seed=2, phantom="constant", n_channels=1024)
    zipstore = convert_crono(path, method="selected", cubes=False, progress=False)
    with open_scan(zipstore) as scan:
        assert scan.detection_map(6.2, 6.6).mean() > 0.99
        blank = scan.detection_map(16.3, 16.7).mean()  # no line there
        assert 0.02 < blank < 0.09


def test_a_detection_needs_a_background(scan):
    """Counts alone do not say what a blank would have."""
    with pytest.raises(ParameterError, match="'sides' or 'snip'"):
        scan.detection_map(*WINDOW, background="none")


def test_an_empty_window_detects_nothing(scan):
    """0 everywhere, no error."""
    assert not scan.detection_map(9.0, 9.0).any()


# --- time -----------------------------------------------------------------------------------


def test_dead_time_is_what_real_time_has_more_than_live_time(made, scan):
    """Its map is the interpolation of the spectra's fractions."""
    fraction = 1 - made.live_times / 0.06
    np.testing.assert_allclose(scan.dead_time_fraction, fraction, rtol=1e-9)
    np.testing.assert_allclose(
        scan.dead_time_map().ravel(), dense(scan) @ fraction, rtol=1e-5, atol=1e-6
    )


def test_a_file_without_times_has_no_dead_time(make_scan, tmp_path):
    """Nor counts per second; both say so."""
    made = make_scan(bare=True)
    with open_scan(convert_crono(made.path, output=tmp_path, cubes=False, progress=False)) as scan:
        assert scan.dead_time_fraction is None
        with pytest.raises(ParameterError, match="dead time is not known"):
            scan.dead_time_map()
        with pytest.raises(ParameterError, match="maps per second"):
            scan.energy_map(*WINDOW, per_second=True)


# --- lag ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def zigzag(tmp_path_factory):
    """Return a simulated scan whose exposures are 0.4 periods late: 48 x 84 cells."""
    path = tmp_path_factory.mktemp("zigzag") / "scan.HDF5"
    simulate_crono(path, shape=(48, 84), seed=3, lag=0.4, n_channels=512)
    return path


@pytest.mark.parametrize("choice", ["auto", 0.0, -0.25])
def test_the_conversion_corrects_the_lag_that_is_asked_for(zigzag, tmp_path, choice):
    """By default that of the scan itself; what was found is kept whatever is corrected."""
    zipstore = convert_crono(zigzag, output=tmp_path, lag=choice, cubes=False, progress=False)
    with open_scan(zipstore) as scan:
        assert scan.lag.periods == pytest.approx(0.4, abs=0.1)
        assert scan.lag.is_significant
        corrected = scan.lag.periods if choice == "auto" else choice
        assert scan.lag_corrected == corrected
        raster = scan._raster(corrected)
        np.testing.assert_array_equal(
            raster.positions, corrected_positions(scan.positions, corrected)
        )
        plain = build_operator("kriging", raster).matrix.toarray()
        np.testing.assert_array_equal(scan.operator().matrix.toarray(), plain)


def test_a_map_with_the_lag_corrected_is_closer_to_the_truth(zigzag, tmp_path):
    """That is what the correction is for."""
    truth = load_truth(zigzag)
    with open_scan(convert_crono(zigzag, output=tmp_path, cubes=False, progress=False)) as scan:
        expected = truth.expected_map(scan.grid.x, scan.grid.y, 6.2, 6.6)
        errors = {
            lag: np.sqrt(np.mean((scan.energy_map(6.2, 6.6, lag=lag) - expected) ** 2))
            for lag in (0.0, scan.lag_corrected)
        }
        assert errors[scan.lag_corrected] < 0.95 * errors[0.0]
        np.testing.assert_array_equal(
            scan.energy_map(6.2, 6.6), scan.energy_map(6.2, 6.6, lag=scan.lag_corrected)
        )


def test_the_vendors_choice_knows_of_no_lag(zigzag, tmp_path):
    """It is what other programs show."""
    with open_scan(convert_crono(zigzag, output=tmp_path, cubes=False, progress=False)) as scan:
        assert scan.operator("selected", lag=0.0) is scan.operator("selected", lag=0.4)


def test_an_older_zipstore_estimates_its_lag_when_asked(zigzag, tmp_path, monkeypatch):
    """One that was written before there was a lag in it."""
    zipstore = convert_crono(zigzag, output=tmp_path, lag=0.0, cubes=False, progress=False)
    with open_scan(zipstore) as scan:
        known = scan.lag
        reader = type(scan._reader)
        layout = reader.layout
        monkeypatch.setattr(
            reader,
            "layout",
            lambda self, name: (
                replace(layout(self, name), attributes={})
                if name == "spectra/positions"
                else layout(self, name)
            ),
        )
        del scan.__dict__["lag"]
        assert scan.lag == known


@pytest.mark.parametrize("lag", [np.nan, np.inf, "late"])
def test_a_lag_without_a_meaning_is_refused(made, scan, tmp_path, lag):
    """Before anything is read."""
    with pytest.raises(ParameterError, match="lag"):
        scan.energy_map(*WINDOW, lag=lag)
    with pytest.raises(ParameterError, match="lag"):
        convert_crono(made.path, output=tmp_path, lag=lag)


def test_a_width_for_each_channel_is_no_sigma_of_a_conversion(made, tmp_path):
    """The interchange arrays have one."""
    with pytest.raises(ParameterError, match="sigma is an array"):
        convert_crono(made.path, output=tmp_path, sigma=np.full(50, 2.0))


# --- calibration ----------------------------------------------------------------------------


def test_a_calibration_beside_the_scan_is_its_energy_axis(lean_zipstore, tmp_path):
    """Windows and spectra follow it; the file's own axis stays known."""
    path = shutil.copy(lean_zipstore, tmp_path / "scan.zipstore")
    with open_scan(path) as scan:
        before = scan.energies
        assert scan.calibration is None
    write_sidecar(path, calibration={"points": [[0, 1.0], [49, 25.5]], "degree": 1})
    with open_scan(path) as scan:
        np.testing.assert_allclose(scan.energies, np.linspace(1.0, 25.5, 50), rtol=1e-6)
        np.testing.assert_array_equal(scan.file_energies, before)
        inside = scan.channels_of(*WINDOW)
        assert (scan.energies[inside.start], scan.energies[inside.stop]) >= WINDOW
        np.testing.assert_array_equal(
            scan.window_counts(*WINDOW), scan.spectra(np.arange(77))[:, inside].sum(axis=1)
        )
    write_sidecar(path, calibration=None)
    with open_scan(path) as scan:
        np.testing.assert_array_equal(scan.energies, before)


@pytest.mark.parametrize(
    "content",
    ["{", json.dumps({"version": 1, "calibration": {"points": [[0, 1.0], [49, 0.5]]}})],
    ids=["no JSON", "a falling axis"],
)
def test_a_calibration_that_makes_no_sense_is_named(lean_zipstore, tmp_path, content):
    """The sentence says which file or points, and the scan's file is closed."""
    path = shutil.copy(lean_zipstore, tmp_path / "scan.zipstore")
    sidecar_path(path).write_text(content)
    with pytest.raises(ParameterError, match=r"scan\.maxrf\.json|calibration points"):
        open_scan(path)
