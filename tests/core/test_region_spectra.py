"""The mean spectrum of a region, its standard error, and what windows hold of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core import ParameterError, convert_crono, open_scan, smooth_spectra
from maxrf_core.region_spectra import (
    RegionSpectrum,
    region_counts,
    region_spectrum,
    smoothed_region,
    smoothed_variance,
)
from maxrf_core.windows import WindowWeights

WINDOW = (9.0, 15.0)
FLOAT32_ROUNDING = 2.0**-23


@pytest.fixture
def mask(scan):
    """Return a region that is no rectangle: 7 x 5 cells, 12 of them in it."""
    rows, columns = np.indices(scan.grid.shape)
    return (rows >= 1) & (rows + columns < 6) & (columns > 0)


def dense(scan, method=None):
    """Return W as a float64 array, (cells, n)."""
    return scan.operator(method).matrix.toarray().astype(np.float64)


def region_of(scan, mask, **options):
    """Return the region's spectrum in the scan's own interpolation."""
    return region_spectrum(scan._table, scan.operator(), mask, **options)


@pytest.mark.parametrize("method", ["selected", "nearest", "linear", "kriging"])
def test_mean_and_variance_are_the_plain_sums(made, scan, mask, method):
    """Cell by cell with dense matrices; a spectrum that two cells share is one measurement."""
    weights = dense(scan, method)[mask.ravel()].mean(axis=0)
    found = region_spectrum(scan._table, scan.operator(method), mask)
    np.testing.assert_allclose(found.mean, weights @ made.counts, rtol=1e-6)
    np.testing.assert_allclose(found.variance, weights**2 @ made.counts, rtol=1e-6)
    assert found.n_cells == mask.sum()
    assert found.unit == pytest.approx((weights**2).sum(), rel=1e-6)


def test_the_mean_is_the_mean_and_not_the_sum_and_in_counts_per_second_if_asked(made, scan, mask):
    """A region twice as large shows the same counts; factors are each spectrum's own."""
    found = region_of(scan, mask, factors=scan.per_second(np.ones(scan.n_spectra)))
    weights = dense(scan)[mask.ravel()].mean(axis=0)
    rates = made.counts / made.live_times[:, None]
    np.testing.assert_allclose(found.mean, weights @ rates, rtol=1e-6)
    variance = weights**2 @ (rates / made.live_times[:, None])
    np.testing.assert_allclose(found.variance, variance, rtol=1e-6)
    everywhere = region_of(scan, np.ones(scan.grid.shape, dtype=bool))
    assert everywhere.mean.sum() == pytest.approx(made.counts.sum(axis=1).mean(), rel=0.2)


def test_the_error_is_the_spread_of_repeated_scans(scan, mask, made, rng):
    """Many draws of one expectation through the same W: the band holds what it says."""
    weights = dense(scan)[mask.ravel()].mean(axis=0)
    expectation = made.counts + 0.5
    draws, sigma = 4000, 1.3
    index = np.flatnonzero(weights)
    drawn = rng.poisson(expectation[index], (draws, index.size, expectation.shape[1]))
    means = np.einsum("k,dkc->dc", weights[index], drawn)
    for width, spectra in ((0.0, means), (sigma, smooth_spectra(means, sigma))):
        variance = smoothed_variance(weights**2 @ expectation, width)
        # The relative error of a standard deviation from N draws is 1 / sqrt(2 N): 1.1 %.
        np.testing.assert_allclose(np.sqrt(variance), spectra.std(axis=0), rtol=0.06)
        ratio = np.sqrt(variance) / spectra.std(axis=0)
        assert ratio.mean() == pytest.approx(1.0, abs=0.01)


@given(
    channels=st.integers(1, 60),
    sigma=st.one_of(st.floats(0.05, 30.0), st.just(0.0)),
    rising=st.booleans(),
    seed=st.integers(0, 99),
)
def test_the_smoothed_variance_is_that_of_the_dense_matrix(channels, sigma, rising, seed):
    """For one sigma and for one a channel, wider than the spectrum or not, ends included."""
    width = np.linspace(0.3, 1.0, channels) * sigma if rising else sigma
    before = np.random.default_rng(seed).uniform(0.0, 9.0, channels)
    matrix = smooth_spectra(np.eye(channels), width)  # row j: what a count in channel j becomes
    expected = before @ matrix**2
    found = smoothed_variance(before, width)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sigma", [0, 2.5])
def test_the_smoothed_spectrum_is_the_scans_own_with_its_band(scan, mask, sigma):
    """What the page drew before the band came is drawn on."""
    region = region_of(scan, mask)
    spectrum, error = smoothed_region(region, sigma)
    assert spectrum.dtype == error.dtype == np.float32
    np.testing.assert_allclose(spectrum, scan.mean_spectrum(mask, sigma=sigma), rtol=1e-5)
    np.testing.assert_allclose(error**2, smoothed_variance(region.variance, sigma), rtol=1e-5)


@pytest.mark.parametrize("background", ["none", "sides", "snip"])
def test_counts_of_a_window_are_the_regions_mean_of_the_map(made, scan, mask, background):
    """The table and the map tell one story; gross less background is net."""
    window = scan.window_weights(*WINDOW, background=background)
    found = region_counts(region_of(scan, mask), window)
    image = scan.energy_map(*WINDOW, background=background)
    gross = scan.energy_map(*WINDOW)
    rounding = 40 * FLOAT32_ROUNDING * float(gross[mask].max())
    assert found.net == pytest.approx(float(image[mask].mean()), abs=rounding)
    assert found.gross == pytest.approx(float(gross[mask].mean()), abs=rounding)
    assert found.gross - found.background == pytest.approx(found.net, abs=rounding)
    weights = dense(scan)[mask.ravel()].mean(axis=0)
    assert found.error == pytest.approx(np.sqrt(weights**2 @ (made.counts @ window.net**2)))


def test_of_one_cell_the_counts_and_errors_are_the_cells(scan):
    """A region of one cell is the cell, detection included."""
    mask = np.zeros(scan.grid.shape, dtype=bool)
    mask[4, 2] = True
    window = scan.window_weights(*WINDOW, background="sides")
    found = region_counts(region_of(scan, mask), window)
    value, error = scan.cell_counts(4, 2, *WINDOW, background="sides")
    assert (found.net, found.error) == pytest.approx((value, error))
    assert found.is_detected == scan.detection_map(*WINDOW)[4, 2]


def test_blank_regions_are_seldom_detected_and_full_ones_always(rng):
    """Once in 20 over a flat background, for regions of many cells as for one."""
    window = np.zeros(90)
    window[40:50], window[35:40], window[50:55] = 1.0, -1.0, -1.0
    weights = WindowWeights(np.maximum(window, 0.0), np.maximum(-window, 0.0))
    # Of 0.6 counts under the line any would do, were it not for Stapleton's correction.
    for spectra, mean, least in ((3, 0.02, 0.0), (3, 2.0, 0.03), (40, 2.0, 0.03)):
        blank = rng.poisson(mean, (1500, spectra, 90)).sum(axis=1)
        full = blank.copy()
        full[:, 44] += rng.poisson(20.0 * spectra, 1500)
        for counts, low, high in ((blank, least, 0.075), (full, 0.99, 1.0)):
            found = [
                region_counts(
                    RegionSpectrum(one / spectra, one / spectra**2, spectra, 1.0 / spectra),
                    weights,
                ).is_detected
                for one in counts
            ]
            assert low <= np.mean(found) <= high


def test_cells_without_a_datum_do_not_count_and_alone_give_nothing(make_scan, tmp_path):
    """NaN, and no 0 with certainty; beside others they change nothing."""
    made = make_scan((4, 20), turn=0, gap=8000)
    with open_scan(convert_crono(made.path, output=tmp_path, cubes=False, progress=False)) as scan:
        empty = scan.operator().empty
        assert empty.any()
        nothing = region_of(scan, empty)
        assert nothing.n_cells == 0
        assert np.isnan(nothing.mean).all()
        spectrum, error = smoothed_region(nothing, 2.0)
        assert np.isnan(spectrum).all()
        assert np.isnan(error).all()
        counts = region_counts(nothing, scan.window_weights(*WINDOW, background="sides"))
        assert np.isnan([counts.net, counts.error, counts.gross, counts.background]).all()
        assert not counts.is_detected
        some = ~empty
        some[:, 7:] = False
        with_empty = region_of(scan, some | empty)
        assert with_empty.n_cells == some.sum()
        np.testing.assert_array_equal(with_empty.mean, region_of(scan, some).mean)


def test_what_does_not_belong_to_the_scan_is_refused(scan, mask):
    """A mask of another grid, factors of another scan, a window of another detector."""
    with pytest.raises(ParameterError, match=r"mask has shape \(5, 7\)"):
        region_of(scan, mask.T)
    with pytest.raises(ParameterError, match=r"factors have shape \(3,\)"):
        region_of(scan, mask, factors=np.ones(3))
    region = region_of(scan, mask)
    short = RegionSpectrum(region.mean[:9], region.variance[:9], 12, 0.1)
    with pytest.raises(ParameterError, match="window has 50 channels, the region's spectrum 9"):
        region_counts(short, scan.window_weights(*WINDOW))
    with pytest.raises(ParameterError, match="sigma"):
        smoothed_region(region, -1.0)


def test_spectra_that_were_never_live_have_no_part(scan, mask):
    """All factors 0: counts of nothing, and no division by it."""
    found = region_of(scan, mask, factors=np.zeros(scan.n_spectra))
    assert not found.mean.any()
    assert np.isnan(found.unit)


@pytest.mark.parametrize("method", ["selected", "linear"])
def test_a_scan_returns_the_spectrum_of_a_region_per_second_as_well(made, scan, mask, method):
    """Against dense matrices: `Scan.region_spectrum` is what the page and the exports use."""
    weights = dense(scan, method)[mask.ravel()].mean(axis=0)
    found = scan.region_spectrum(mask, method=method)
    np.testing.assert_allclose(found.mean, weights @ made.counts, rtol=1e-6)
    rates = scan.region_spectrum(mask, method=method, per_second=True)
    live = made.live_times[:, None]
    np.testing.assert_allclose(rates.mean, weights @ (made.counts / live), rtol=1e-6)
    np.testing.assert_allclose(rates.variance, weights**2 @ (made.counts / live**2), rtol=1e-6)


def test_a_mask_of_another_grid_has_no_spectrum_in_a_scan(scan):
    """It would pick other cells."""
    with pytest.raises(ParameterError, match=r"mask has shape \(3, 4\)"):
        scan.region_spectrum(np.ones((3, 4), dtype=bool))
