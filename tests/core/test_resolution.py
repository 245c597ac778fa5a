"""The detector's resolution, from the peaks of a scan's own total spectrum."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core.components import COMPONENTS, STRENGTHS, component_templates
from maxrf_core.errors import ParameterError
from maxrf_core.lines import (
    FWHM_PER_SIGMA,
    SILICON_FANO,
    detector_fwhm_kev,
    emission_lines,
    peak_template,
)
from maxrf_core.resolution import REFERENCE_KEV, fit_resolution
from maxrf_core.smoothing import MAX_SIGMA, smooth_spectra

ENERGIES = np.linspace(-1.17, 47.78, 4096)
FREE_ELEMENTS = ("Si", "Ca", "Mn", "Cu", "Se", "Sr")
"""Their K-alpha lines stand free of each other."""
USED_KEV = np.linspace(2.0, 20.0, 50)
BRUKER = Path(__file__).parents[3] / "shared" / "real" / "bruker-eds-50x50.HDF5"


def simulated_total(energies=ENERGIES):
    """Return the expectation (c,) of a simulated scan's total spectrum, with sum 1."""
    shares = np.array([STRENGTHS.get(name, 150.0) for name in COMPONENTS])
    total = shares @ component_templates(energies)
    return total / total.sum()


def lines_of(noise_ev, fano, *, elements=FREE_ELEMENTS, broad=(), has_zero=True):
    """Return K-alpha doublets as a detector of known noise sees them on a continuum, sum 1.

    The lines of the elements in `broad` are 1.7 times as wide, as overlapping ones are.
    """
    centres, weights, widths = [], [], []
    for element in elements:
        for line in emission_lines(element):
            if line.name in ("Ka1", "Ka2"):
                centres.append(line.energy_kev)
                weights.append(2.0 if line.name == "Ka1" else 1.0)
                widths.append(1.7 if element in broad else 1.0)
    if has_zero:
        centres, weights, widths = [0.0, *centres], [3.0, *weights], [1.0, *widths]
    fwhm = np.array(widths) * fwhm_of(noise_ev, fano, np.array(centres))
    peaks = peak_template(ENERGIES, centres, weights, fwhm_kev=fwhm)
    return 0.7 * peaks + 0.3 / ENERGIES.size


def fwhm_of(noise_ev, fano, energy_kev):
    """Return FWHM in keV: 3.65 eV sets one pair of charges free."""
    return np.sqrt((noise_ev / 1000) ** 2 + FWHM_PER_SIGMA**2 * 3.65e-3 * fano * energy_kev)


@pytest.mark.parametrize("counts", [1e5, 1e6, 1e7, 1e8])
@pytest.mark.parametrize("n_channels", [4096, 2048])
def test_the_simulated_detectors_resolution_is_found_in_its_own_spectrum(counts, n_channels):
    """Overlapping lines, L doublets and Compton's peak must not pass for the resolution."""
    energies = np.linspace(-1.17, 47.78, n_channels)
    rng = np.random.default_rng(int(counts))
    found = fit_resolution(energies, rng.poisson(counts * simulated_total(energies)))
    assert found.is_fitted
    np.testing.assert_allclose(found.fwhm_kev(USED_KEV), detector_fwhm_kev(USED_KEV), rtol=0.05)
    # Five of its own standard errors: an error that is no error would not be worth showing.
    assert abs(found.fano - SILICON_FANO) < 5 * found.fano_error < 0.05
    assert abs(found.noise_ev - 100.0) < 5 * found.noise_error_ev < 25.0


@pytest.mark.parametrize(("noise_ev", "fano"), [(55.0, 0.115), (80.0, 0.13), (110.0, 0.12)])
@pytest.mark.parametrize("has_zero", [True, False])
def test_other_detectors_are_told_apart(noise_ev, fano, has_zero):
    """What comes out is the scan's, not the simulation's nor the fallback's."""
    expectation = 3e6 * lines_of(noise_ev, fano, has_zero=has_zero)
    found = fit_resolution(ENERGIES, np.random.default_rng(5).poisson(expectation))
    assert found.is_fitted
    assert [peak.is_used for peak in found.peaks] == [True] * (len(FREE_ELEMENTS) + has_zero)
    expected = fwhm_of(noise_ev, fano, USED_KEV)
    np.testing.assert_allclose(found.fwhm_kev(USED_KEV), expected, rtol=0.02)
    # The zero peak pins the noise; without it, it is read 1.7 keV away from the first line.
    assert found.noise_ev == pytest.approx(noise_ev, rel=0.02 if has_zero else 0.15)


def test_lines_wider_than_the_resolution_are_left_out():
    """Two unresolved lines look like one wide one."""
    expectation = 1e6 * lines_of(70.0, 0.12, broad=("Mn", "Se"))
    found = fit_resolution(ENERGIES, np.random.default_rng(6).poisson(expectation))
    unused = [peak.energy_kev for peak in found.peaks if not peak.is_used]
    np.testing.assert_allclose(unused, [5.895, 11.21], atol=0.01)
    np.testing.assert_allclose(found.fwhm_kev(USED_KEV), fwhm_of(70.0, 0.12, USED_KEV), rtol=0.02)


def test_the_narrow_half_of_the_lines_decides_against_the_wide_half():
    """A least-squares line through all of them would run between the two."""
    broad = ("Ca", "Cu", "Sr")
    expectation = 1e7 * lines_of(70.0, 0.12, broad=broad)
    found = fit_resolution(ENERGIES, np.random.default_rng(8).poisson(expectation))
    assert [peak.is_used for peak in found.peaks] == [True, True, False, True, False, True, False]
    np.testing.assert_allclose(found.fwhm_kev(USED_KEV), fwhm_of(70.0, 0.12, USED_KEV), rtol=0.02)


def test_the_zero_peak_decides_between_lines_that_disagree():
    """Four wide lines agree on a noise that the zero peak, which is the noise, contradicts."""
    narrow = lines_of(70.0, 0.12, elements=("Si", "Ca"))
    wide = lines_of(120.0, 0.12, elements=("Mn", "Cu", "Se", "Sr"), has_zero=False)
    expectation = 1e7 * (0.5 * narrow + 0.5 * wide)
    found = fit_resolution(ENERGIES, np.random.default_rng(9).poisson(expectation))
    assert found.is_fitted
    assert [peak.is_used for peak in found.peaks[:3]] == [True, True, True]
    assert found.noise_ev == pytest.approx(70.0, rel=0.03)


def test_a_peak_that_its_background_drowns_is_not_used():
    """Where the background bends by more than the peak is high, its width is anybody's guess."""
    lines = lines_of(70.0, 0.12)
    faint = lines_of(70.0, 0.12, elements=("Br",), has_zero=False)
    expectation = 1e8 * (0.97 * lines + 0.0004 * faint)
    found = fit_resolution(ENERGIES, np.random.default_rng(10).poisson(expectation))
    centres = np.array([peak.energy_kev for peak in found.peaks])
    assert centres.size == len(FREE_ELEMENTS) + 1
    assert np.abs(centres - 11.92).min() > 0.5


def test_what_k_alphas_two_lines_lie_apart_is_no_resolution():
    """103 eV for molybdenum: as they are, its K-alpha looks a seventh too wide."""
    expectation = 1e7 * lines_of(70.0, 0.12, elements=("Ca", "Mn", "Mo"))
    found = fit_resolution(ENERGIES, np.random.default_rng(7).poisson(expectation))
    molybdenum = found.peaks[-1]
    assert molybdenum.is_used
    assert molybdenum.energy_kev == pytest.approx(17.44, abs=0.02)
    assert molybdenum.fwhm_ev == pytest.approx(1000 * fwhm_of(70.0, 0.12, 17.44), rel=0.02)


@pytest.mark.parametrize(
    "spectrum",
    [
        np.zeros(ENERGIES.size, dtype=np.uint64),
        np.random.default_rng(7).poisson(30.0, ENERGIES.size),
        np.random.default_rng(8).poisson(
            1e6 * lines_of(70.0, 0.12, elements=("Mn", "Co"), has_zero=False)
        ),
    ],
    ids=["empty", "flat", "two lines"],
)
def test_too_few_peaks_give_a_typical_detector_and_say_so(spectrum):
    """The dashboard can always offer a width that follows the resolution."""
    found = fit_resolution(ENERGIES, spectrum)
    assert not found.is_fitted
    assert not any(peak.is_used for peak in found.peaks)
    assert found.fwhm_kev(REFERENCE_KEV) == pytest.approx(0.145)
    assert np.isinf([found.noise_error_ev, found.fano_error]).all()


def test_the_measured_scans_resolution_is_a_silicon_detectors():
    """Bruker specifies such detectors to 123-150 eV at manganese's K-alpha."""
    if not BRUKER.is_file():
        pytest.skip(f"{BRUKER} is not there")
    with h5py.File(BRUKER) as file:
        energies = file["XRF/EnergyVector"][:]
        total = file["XRF/Spectra"][:].sum(axis=0, dtype=np.uint64)
    found = fit_resolution(energies, total)
    assert found.is_fitted
    assert 0.12 < found.fwhm_kev(REFERENCE_KEV) < 0.15
    assert found.noise_error_ev < 2.0


def test_the_own_sigma_is_the_width_of_a_line_in_channels():
    """FWHM in keV over 2.355 and over a channel's width."""
    found = fit_resolution(ENERGIES, np.zeros(ENERGIES.size))
    widths = found.sigma_channels(ENERGIES)
    step = (ENERGIES[-1] - ENERGIES[0]) / (ENERGIES.size - 1)
    np.testing.assert_allclose(widths * step * FWHM_PER_SIGMA, found.fwhm_kev(ENERGIES))
    below = ENERGIES < 0
    np.testing.assert_allclose(widths[below], found.noise_ev / 1000 / FWHM_PER_SIGMA / step)


def test_a_given_sigma_holds_at_manganese_and_follows_the_resolution_elsewhere():
    """One slider sets all widths."""
    found = fit_resolution(ENERGIES, np.zeros(ENERGIES.size))
    widths = found.sigma_channels(ENERGIES, sigma=7.0)
    assert np.interp(REFERENCE_KEV, ENERGIES, widths) == pytest.approx(7.0, rel=1e-5)
    np.testing.assert_allclose(widths / widths[0], found.fwhm_kev(ENERGIES) / found.fwhm_kev(0.0))
    at_ten = found.sigma_channels(ENERGIES, sigma=7.0, reference_kev=10.0)
    assert np.interp(10.0, ENERGIES, at_ten) == pytest.approx(7.0, rel=1e-5)
    one_count = np.zeros(ENERGIES.size)
    one_count[600] = 1.0
    peak = smooth_spectra(one_count, widths)
    channels = np.arange(ENERGIES.size) - 600
    # truncation at four sigmas takes a thousandth off the variance
    assert np.sqrt(peak @ channels**2) == pytest.approx(widths[600], rel=2e-3)


def test_the_spectrum_is_not_changed_and_may_be_read_only():
    """The scan's total spectrum is shared by all visitors."""
    total = np.random.default_rng(9).poisson(1e6 * simulated_total()).astype(np.uint64)
    before = total.copy()
    total.flags.writeable = False
    fit_resolution(ENERGIES.astype(np.float32), total)
    np.testing.assert_array_equal(total, before)


@pytest.mark.parametrize(
    ("energies", "total", "message"),
    [
        (ENERGIES[::-1], np.zeros(4096), r"energies have shape \(4096,\); .* rising"),
        (ENERGIES, np.zeros(4095), r"shape \(4095,\); expected the counts of 4096 channels"),
        (ENERGIES, np.full(4096, -1.0), "values that are no counts"),
        (ENERGIES, np.full(4096, np.nan), "values that are no counts"),
    ],
)
def test_what_is_no_spectrum_is_refused(energies, total, message):
    """The message says what was expected."""
    with pytest.raises(ParameterError, match=message):
        fit_resolution(energies, total)


def test_a_width_beyond_what_can_be_smoothed_with_is_refused():
    """The limit is that of any sigma."""
    found = fit_resolution(ENERGIES, np.zeros(ENERGIES.size))
    with pytest.raises(ParameterError, match=r"are wrong\); expected a number of channels from 0"):
        found.sigma_channels(ENERGIES, sigma=MAX_SIGMA)
