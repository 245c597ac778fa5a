"""Sifted counts: every one is found, sorted by channel and added up, whatever the shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core.counts import (
    MAX_SIFTED,
    add_spectra,
    add_statistics,
    add_weighted,
    fill_group,
    group_entries,
    sift_counts,
)
from maxrf_core.schema import CHANNELS_PER_GROUP

shapes = {
    "seed": st.integers(0, 2**32 - 1),
    "k": st.integers(1, 70),
    "c": st.sampled_from([1, 16, 17, 100, 1000, 2048, 4096]) | st.integers(1, 90),
    "filled": st.sampled_from([0.0, 0.02, 0.5, 1.0]),
}


def counts_of(seed, k, c, filled):
    """Draw counts of which a share is not zero, up to the largest uint16."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 2**16, (k, c), dtype=np.uint16)
    counts[rng.random((k, c)) >= filled] = 0
    return counts


@given(**shapes)
def test_sifting_finds_every_count_and_no_zero(seed, k, c, filled):
    """Four counts are looked at at once where c allows it; the rest one by one."""
    counts = counts_of(seed, k, c, filled)
    sparse = sift_counts(counts)
    spectra, channels = np.nonzero(counts)
    assert len(sparse) == k
    np.testing.assert_array_equal(sparse.channels, channels)
    np.testing.assert_array_equal(sparse.counts, counts[spectra, channels])
    np.testing.assert_array_equal(np.diff(sparse.starts), (counts != 0).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
def test_sifting_takes_any_numbers_and_any_stride(rng, dtype):
    """Smoothing is used on weights and means as well; NaN is a value, not an empty channel."""
    values = np.where(rng.random((9, 34)) < 0.3, rng.integers(1, 99, (9, 34)), 0).astype(dtype)
    if dtype != np.uint16:
        values[2, 4] = np.nan
    view = values[::2, ::-2]
    sparse = sift_counts(view)
    assert sparse.counts.dtype == dtype
    np.testing.assert_array_equal(sparse.counts, view[view != 0])


def test_channels_beyond_sixteen_bits_keep_their_numbers():
    """No instrument has as many, but a wrong number would be silent."""
    counts = np.zeros((2, 70_000), np.uint16)
    counts[1, 69_999] = 3
    assert sift_counts(counts).channels.tolist() == [69_999]


@given(**shapes)
def test_statistics_are_what_numpy_says(seed, k, c, filled):
    """They are added to those of the blocks before."""
    counts = counts_of(seed, k, c, filled)
    total, highest = np.full(c, 7, np.uint64), np.full(c, 100, np.uint16)
    per_spectrum = add_statistics(sift_counts(counts), total, highest)
    np.testing.assert_array_equal(total, 7 + counts.sum(axis=0, dtype=np.uint64))
    np.testing.assert_array_equal(highest, np.maximum(counts.max(axis=0), 100))
    np.testing.assert_array_equal(per_spectrum, counts.sum(axis=1, dtype=np.uint32))


@given(**shapes, first=st.integers(0, 5))
def test_sorting_by_channel_is_transposing(seed, k, c, filled, first):
    """Groups of 16 channels, the last of which may be narrower, between other spectra."""
    counts = counts_of(seed, k, c, filled)
    groups = -(-c // CHANNELS_PER_GROUP)
    cumulative = np.full((groups + 1, k), 9, np.uint32)
    starts, entries = group_entries(sift_counts(counts), cumulative)
    padded = np.zeros((k, groups * CHANNELS_PER_GROUP), np.uint16)
    padded[:, :c] = counts
    in_groups = padded.reshape(k, groups, CHANNELS_PER_GROUP)
    for group in range(groups):
        by_channel = np.zeros((CHANNELS_PER_GROUP, k + 7), np.uint16)
        fill_group(entries[starts[group] : starts[group + 1]], first, by_channel)
        np.testing.assert_array_equal(by_channel[:, first : first + k], in_groups[:, group].T)
        assert by_channel.sum(dtype=int) == in_groups[:, group].sum(dtype=int)
    below = np.cumsum(in_groups.sum(axis=2, dtype=np.uint32), axis=1, dtype=np.uint32)
    np.testing.assert_array_equal(cumulative[1:], below.T)
    np.testing.assert_array_equal(cumulative[0], 0)


def test_as_many_spectra_as_an_entry_can_number_are_sorted():
    """Their number takes twelve bits: the last of them must not fall into the channel's."""
    counts = np.zeros((MAX_SIFTED, 20), np.uint16)
    counts[-1, 19] = 65535
    starts, entries = group_entries(sift_counts(counts), np.empty((3, MAX_SIFTED), np.uint32))
    by_channel = np.zeros((CHANNELS_PER_GROUP, MAX_SIFTED), np.uint16)
    fill_group(entries[starts[1] : starts[2]], 0, by_channel)
    assert by_channel[3, -1] == 65535
    assert np.count_nonzero(by_channel) == 1


@given(**shapes)
def test_weighted_sums_are_matrix_products(seed, k, c, filled):
    """Along channels in float64, across them in the dtype of the weights."""
    counts = counts_of(seed, k, c, filled)
    weights = np.random.default_rng(seed).choice([0.0, 0.25, 1.0], k)
    spectrum = np.full(c, 3.0)
    add_spectra(counts, weights, spectrum)
    np.testing.assert_allclose(spectrum, 3 + weights @ counts.astype(float), rtol=1e-13)
    sums = np.full(k, 5, np.uint32)
    add_weighted(np.ascontiguousarray(counts.T), (np.arange(c) % 2).astype(np.uint32), sums)
    np.testing.assert_array_equal(sums, 5 + counts[:, 1::2].sum(axis=1, dtype=np.uint32))
