"""The operator G: Gaussian smoothing along channels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter1d

from maxrf_core import ParameterError, gaussian_kernel, smooth_spectra
from maxrf_core.counts import sift_counts
from maxrf_core.smoothing import (
    MAX_SIGMA,
    check_sigma,
    sigma_to_fwhm,
    smooth_sparse,
    smooth_window,
)

COUNT_DTYPES = ("u1", "u2", "u4", "u8", "i2", "i4", "i8")
FLOAT32_ROUNDING = 2.0**-23
FLOAT64_ROUNDING = 1e-12  # some hundred additions of 1e-16 each

channel_counts = st.integers(1, 300)
# Off the end where the kernel is one channel, around the first that is three, usual, and wider
# than any spectrum here.
sigmas = st.one_of(
    st.floats(0.001, 0.2), st.floats(0.12, 0.13), st.floats(0.2, 20), st.floats(20, MAX_SIGMA)
)


def by_scipy(spectra, sigma):
    return gaussian_filter1d(
        np.asarray(spectra, np.float64), sigma, axis=-1, mode="reflect", truncate=4.0
    )


def sparse_counts(seed, shape, dtype):
    """Return nearly empty spectra, with a tall peak here and there."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.2, shape)
    counts[rng.uniform(size=shape) < 0.02] = 120
    return counts.astype(dtype)


def by_dense_matrix(sigma):
    """Return G (c, c) for a sigma of each channel: row j is scipy's response to a count in j."""
    c = len(sigma)
    rows = np.eye(c)
    for j in range(c):
        if sigma[j] >= 1e-3:  # scipy divides by its square
            rows[j] = by_scipy(rows[j], sigma[j])
    return rows


def widths_like_a_detectors(channels, seed, widest):
    """Return a sigma for each channel: rising, with noise on it, some off and some equal."""
    rng = np.random.default_rng(seed)
    sigma = widest * np.sqrt(np.linspace(0.05, 1.0, channels)) * rng.uniform(0.8, 1.2, channels)
    sigma[rng.uniform(size=channels) < 0.1] = 0.0
    sigma[channels // 2 : channels // 2 + 3] = widest / 2
    return sigma


# Not multiples of each other nor of what a processor adds at once.
uneven_channels = st.sampled_from([1, 17, 64, 100])
widest_sigmas = st.one_of(st.floats(0.05, 3.0), st.floats(3.0, 60.0))


@given(
    channels=channel_counts,
    rows=st.integers(1, 4),
    sigma=sigmas,
    dtype=st.sampled_from([*COUNT_DTYPES, "f4", "f8"]),
    seed=st.integers(0, 2**32 - 1),
)
@example(channels=1, rows=1, sigma=MAX_SIGMA, dtype="u2", seed=1)
@example(channels=2, rows=3, sigma=0.125, dtype="u2", seed=1)
@example(channels=300, rows=1, sigma=37.5, dtype="f4", seed=1)
def test_smoothing_is_scipys_gaussian_filter(channels, rows, sigma, dtype, seed):
    """Old notebooks hold scipy's numbers; skipping empty channels must not change them."""
    spectra = sparse_counts(seed, (rows, channels), dtype)
    smoothed = smooth_spectra(spectra, sigma)
    tolerance = FLOAT64_ROUNDING if dtype == "f8" else FLOAT32_ROUNDING
    # nothing cancels among counts, so the rounding is relative
    np.testing.assert_allclose(smoothed, by_scipy(spectra, sigma), rtol=tolerance, atol=1e-300)


@given(channels=channel_counts, sigma=sigmas, seed=st.integers(0, 2**32 - 1))
def test_smoothing_takes_values_of_either_sign(channels, sigma, seed):
    """Differences of spectra are smoothed, too, and there sums do cancel."""
    values = np.random.default_rng(seed).normal(size=(2, channels))
    error = np.abs(smooth_spectra(values, sigma) - by_scipy(values, sigma))
    assert (error <= FLOAT64_ROUNDING * by_scipy(np.abs(values), sigma)).all()


@given(
    channels=channel_counts,
    sigma=sigmas,
    dtype=st.sampled_from(COUNT_DTYPES),
    seed=st.integers(0, 2**32 - 1),
)
def test_smoothing_preserves_the_total_counts(channels, sigma, dtype, seed):
    """What falls off one end is folded back: a map of all energies does not depend on sigma."""
    counts = sparse_counts(seed, (3, channels), dtype)
    smoothed = smooth_spectra(counts, sigma).sum(axis=-1, dtype=np.float64)
    np.testing.assert_allclose(smoothed, counts.sum(axis=-1), rtol=FLOAT32_ROUNDING)


@given(channels=channel_counts, sigma=sigmas, level=st.floats(0.5, 1e6))
def test_a_flat_spectrum_stays_flat_up_to_its_ends(channels, sigma, level):
    """The reflected boundary neither darkens nor lifts the first and last channels."""
    smoothed = smooth_spectra(np.full(channels, level), sigma)
    np.testing.assert_allclose(smoothed, level, rtol=FLOAT64_ROUNDING)


@pytest.mark.parametrize("dtype", [*COUNT_DTYPES, "f4", "f8"])
def test_sigma_zero_returns_the_counts_untouched(dtype):
    """Off means off: the same values in the same dtype, in an array of the caller's own."""
    counts = sparse_counts(3, (2, 31), dtype)
    before = counts.copy()
    untouched = smooth_spectra(counts, 0)
    assert untouched.dtype == counts.dtype
    np.testing.assert_array_equal(untouched, counts)
    untouched += 1
    np.testing.assert_array_equal(counts, before)


@pytest.mark.parametrize("dtype", [*COUNT_DTYPES, "f4", "f8"])
@pytest.mark.parametrize("sigma", [0.05, 0.1249, 0.125, 7.0])
def test_smoothed_spectra_are_float32_unless_they_were_float64(dtype, sigma):
    """The dtype depends on the input, never on how wide the smoothing is."""
    smoothed = smooth_spectra(sparse_counts(4, (2, 31), dtype), sigma)
    assert smoothed.dtype == (np.float64 if dtype == "f8" else np.float32)


def test_the_input_is_neither_changed_nor_asked_to_be_writable():
    """Spectra come from a shared cache, read-only."""
    counts = sparse_counts(5, (3, 41), "u2")
    before = counts.copy()
    counts.flags.writeable = False
    smooth_spectra(counts, 3.0)
    np.testing.assert_array_equal(counts, before)


def test_a_spectrum_of_nan_stays_nan_and_spoils_no_other():
    """Cells without a datum are NaN and must stay so."""
    spectra = sparse_counts(6, (5, 60), "f4")
    spectra[[1, 4]] = np.nan
    smoothed = smooth_spectra(spectra, 2.5)
    assert np.isnan(smoothed[[1, 4]]).all()
    kept = [0, 2, 3]
    np.testing.assert_array_equal(smoothed[kept], smooth_spectra(spectra[kept], 2.5))


@pytest.mark.parametrize("shape", [(53,), (0, 53), (2, 3, 53), (2, 1, 3, 53)])
def test_channels_are_the_last_axis_of_any_number_of_axes(shape):
    """One spectrum, a list of them and a cube are smoothed alike."""
    counts = sparse_counts(7, shape, "u2")
    smoothed = smooth_spectra(counts, 4.0)
    assert smoothed.shape == shape
    np.testing.assert_allclose(smoothed, by_scipy(counts, 4.0), rtol=FLOAT32_ROUNDING)


def test_the_memory_layout_does_not_matter():
    """Slices and transposes are spectra like others."""
    table = sparse_counts(8, (44, 6), "u2")
    expected = by_scipy(table.T[::2, ::-3], 2.0)
    np.testing.assert_allclose(
        smooth_spectra(table.T[::2, ::-3], 2.0), expected, rtol=FLOAT32_ROUNDING
    )


@pytest.mark.parametrize("dtype", [">u2", ">u4", ">f4", ">f8"])
def test_the_byte_order_does_not_matter(dtype):
    """An HDF5 file may hold big-endian counts, and h5py hands them out so."""
    counts = sparse_counts(9, (2, 44), dtype)
    np.testing.assert_allclose(
        smooth_spectra(counts, 2.0), by_scipy(counts, 2.0), rtol=FLOAT32_ROUNDING
    )


@given(channels=channel_counts, sigma=sigmas, seed=st.integers(0, 2**32 - 1))
def test_smoothing_is_symmetric(channels, sigma, seed):
    """(G a) b = a (G b): one smoothed window replaces n smoothed spectra."""
    a, b = np.random.default_rng(seed).uniform(size=(2, channels))
    left, right = smooth_spectra(a, sigma) @ b, a @ smooth_spectra(b, sigma)
    assert left == pytest.approx(right, rel=FLOAT64_ROUNDING)


@given(
    channels=channel_counts,
    sigma=st.one_of(st.just(0.0), sigmas),
    ends=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_smoothed_window_sums_what_the_window_sums_after_smoothing(channels, sigma, ends, seed):
    """The identity (S G) b = S (G b) behind every smoothed map."""
    window = np.zeros(channels)
    window[min(ends) : max(ends)] = 1.0
    counts = sparse_counts(seed, (3, channels), "u2").astype(np.float64)
    expected = smooth_spectra(counts, sigma) @ window
    np.testing.assert_allclose(counts @ smooth_window(window, sigma), expected, rtol=1e-10)


def test_a_smoothed_window_is_one_and_zero_away_from_its_ends():
    """Only so is its middle read from the cumulative counts, and its outside not at all."""
    window = np.zeros(400)
    window[100:300] = 1.0
    weights = smooth_window(window, 5.0)
    np.testing.assert_array_equal(weights[120:280], 1.0)
    np.testing.assert_array_equal(weights[[*range(80), *range(320, 400)]], 0.0)
    np.testing.assert_array_equal(window, np.repeat([0.0, 1.0, 0.0], [100, 200, 100]))


@pytest.mark.parametrize(("sigma", "radius"), [(0, 0), (0.1249, 0), (0.125, 1), (7, 28), (0.4, 2)])
def test_the_kernel_is_scipys_response_to_one_count(sigma, radius):
    """Half width int(4 sigma + 0.5), symmetric, and no count is lost."""
    kernel = gaussian_kernel(sigma)
    assert len(kernel) == 2 * radius + 1
    np.testing.assert_array_equal(kernel, kernel[::-1])
    assert kernel.sum() == pytest.approx(1.0, abs=1e-15)
    one = np.zeros(201)
    one[100] = 1.0
    expected = by_scipy(one, sigma) if sigma else one
    np.testing.assert_allclose(kernel, expected[100 - radius : 101 + radius], rtol=1e-13)


def test_a_width_of_sigma_one_is_two_point_three_five_five():
    """The definition: half the height lies at sqrt(2 ln 2) sigma on each side."""
    half = sigma_to_fwhm(3.0) / 2
    assert np.exp(-0.5 * (half / 3.0) ** 2) == pytest.approx(0.5)


@pytest.mark.parametrize("sigma", [-0.1, MAX_SIGMA + 1, np.nan, np.inf, "wide", None, [1.0]])
def test_a_width_that_means_nothing_is_refused(sigma):
    """The value, what was expected and its unit stand in the message."""
    with pytest.raises(ParameterError, match=r"sigma is .*; expected a number of channels from 0"):
        smooth_spectra(np.ones(5), sigma)


@given(
    channels=uneven_channels,
    widest=widest_sigmas,
    dtype=st.sampled_from([*COUNT_DTYPES, "f4", "f8"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_each_count_is_scattered_with_the_gaussian_of_its_own_channel(
    channels, widest, dtype, seed
):
    """Smoothing that follows the detector's resolution is a banded G like any other."""
    spectra = sparse_counts(seed, (3, channels), dtype)
    sigma = widths_like_a_detectors(channels, seed, widest)
    expected = spectra.astype(np.float64) @ by_dense_matrix(sigma)
    smoothed = smooth_spectra(spectra, sigma)
    tolerance = FLOAT64_ROUNDING if dtype == "f8" else FLOAT32_ROUNDING
    np.testing.assert_allclose(smoothed, expected, rtol=tolerance, atol=1e-300)
    np.testing.assert_allclose(
        smoothed.sum(axis=1, dtype=np.float64), spectra.sum(axis=1), rtol=FLOAT32_ROUNDING
    )


@given(channels=uneven_channels, widest=widest_sigmas, seed=st.integers(0, 2**32 - 1))
def test_a_window_gathers_with_the_kernel_of_the_channel_counts_lie_in(channels, widest, seed):
    """G is not symmetric any more: a map of smoothed spectra needs G b, not the smoothed b."""
    rng = np.random.default_rng(seed)
    sigma = widths_like_a_detectors(channels, seed, widest)
    window = rng.uniform(size=channels)
    weights = smooth_window(window, sigma)
    np.testing.assert_allclose(weights, by_dense_matrix(sigma) @ window, rtol=1e-10)
    counts = sparse_counts(seed, (3, channels), "u2").astype(np.float64)
    np.testing.assert_allclose(counts @ weights, smooth_spectra(counts, sigma) @ window, rtol=1e-10)


@given(
    channels=uneven_channels,
    sigma=st.one_of(st.just(0.0), sigmas),
    dtype=st.sampled_from(["u2", "f4", "f8"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_equal_sigmas_are_one_sigma(channels, sigma, dtype, seed):
    """The two paths differ in speed alone."""
    spectra = sparse_counts(seed, (2, channels), dtype)
    one, each = smooth_spectra(spectra, sigma), smooth_spectra(spectra, np.full(channels, sigma))
    assert one.dtype == each.dtype
    # what differs by one rounding in float64 may round to neighbours in float32
    tolerance = FLOAT64_ROUNDING if dtype == "f8" else FLOAT32_ROUNDING
    np.testing.assert_allclose(each, one, rtol=tolerance, atol=1e-300)
    window = np.zeros(channels)
    window[channels // 3 : channels // 2] = 1.0
    np.testing.assert_allclose(
        smooth_window(window, np.full(channels, sigma)),
        smooth_window(window, sigma),
        rtol=FLOAT64_ROUNDING,
        atol=1e-300,
    )


def test_sparse_spectra_raise_their_maximum_with_a_sigma_for_each_channel():
    """The conversion takes its maximum spectrum from here, kept or not."""
    counts = sparse_counts(11, (5, 77), "u2")
    sigma = widths_like_a_detectors(77, 11, 4.0)
    highest = np.full(77, 0.5, dtype=np.float32)
    nothing = smooth_sparse(sift_counts(counts), sigma, highest, keep=False)
    expected = smooth_spectra(counts, sigma)
    assert nothing.shape == (0, 77)
    np.testing.assert_array_equal(highest, np.maximum(expected.max(axis=0), 0.5))
    kept = smooth_sparse(sift_counts(counts), sigma, highest)
    np.testing.assert_array_equal(kept, expected)


def test_a_sigma_changed_in_place_is_not_served_from_the_tables_kept():
    """Kernels are remembered by what the array holds, not by which array it is."""
    counts = sparse_counts(12, (60,), "u2")
    sigma = np.full(60, 2.0)
    smooth_spectra(counts, sigma)
    sigma[:] = 5.0
    np.testing.assert_allclose(
        smooth_spectra(counts, sigma), by_scipy(counts, 5.0), rtol=FLOAT32_ROUNDING
    )


def test_a_window_stays_one_and_zero_away_from_its_ends_with_a_sigma_for_each_channel():
    """Only so is its middle read from the cumulative counts, and its outside not at all."""
    window = np.zeros(400)
    window[100:300] = 1.0
    weights = smooth_window(window, np.linspace(3.0, 5.0, 400))
    np.testing.assert_array_equal(weights[120:280], 1.0)
    np.testing.assert_array_equal(weights[[*range(80), *range(320, 400)]], 0.0)


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (np.ones(4), r"shape \(4,\); expected .* one for each of the 5 channels"),
        (np.ones((1, 5)), r"shape \(1, 5\); expected .* the 5 channels"),
        (np.array([1, 2, -0.5, 4, np.nan]), r"-0\.5 at channel 2 \(2 of 5 are wrong\)"),
        (np.array([1, 2, 3, 4, MAX_SIGMA + 1]), r"1001 at channel 4 .* from 0 \(off\) to 1000"),
        (np.array(["a"] * 5), r"an array of <U1; expected a number"),
    ],
)
def test_widths_that_mean_nothing_are_refused(sigma, message):
    """The first wrong channel and the shape that was expected stand in the message."""
    with pytest.raises(ParameterError, match=message):
        smooth_spectra(np.ones(5), sigma)
    with pytest.raises(ParameterError, match=message):
        smooth_window(np.ones(5), sigma)


def test_a_checked_sigma_is_a_float_or_float64_widths():
    """What is stored and compared has one type, whatever was given."""
    assert check_sigma(np.float32(2.5)) == 2.5
    assert type(check_sigma(np.int64(3))) is float
    assert type(check_sigma(np.array(3.0))) is float
    widths = check_sigma(np.arange(6, dtype=np.uint8), n_channels=6)
    assert widths.dtype == np.float64
    np.testing.assert_array_equal(widths, [0, 1, 2, 3, 4, 5])


def test_one_kernel_is_of_one_width():
    """An array has as many kernels as channels."""
    with pytest.raises(ParameterError, match=r"shape \(3,\); one kernel needs one number"):
        gaussian_kernel(np.ones(3))
