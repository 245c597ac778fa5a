"""The counts of a scan: windows, spectra and bands, read by chunks through a bounded cache."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxrf_core import ParameterError
from maxrf_core.counts import band_edges
from maxrf_core.layout import ArrayLayout
from maxrf_core.schema import (
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    TOTAL_COUNTS,
)
from maxrf_core.table import CountsTable, signal_channel

FLOAT32_ROUNDING = 2.0**-23


class MemorySource:
    """The arrays of counts in memory, in chunks of any size; counts what is read."""

    def __init__(self, counts, *, block, spectra_per_chunk=8):
        n, c = counts.shape
        groups = -(-c // CHANNELS_PER_GROUP)
        cumulative = np.zeros((groups + 1, n), np.uint32)
        for group in range(groups):
            channels = counts[:, group * CHANNELS_PER_GROUP : (group + 1) * CHANNELS_PER_GROUP]
            cumulative[group + 1] = cumulative[group] + channels.sum(axis=1, dtype=np.uint32)
        per_group = min(CHANNELS_PER_GROUP, c)
        self.arrays = {
            COUNTS_BY_SPECTRUM: (counts, (min(spectra_per_chunk, n), c)),
            COUNTS_BY_CHANNEL: (np.ascontiguousarray(counts.T), (per_group, min(block, n))),
            COUNTS_CUMULATIVE: (cumulative, (1, min(block, n))),
            TOTAL_COUNTS: (counts.sum(axis=0, dtype=np.uint64), (c,)),
        }
        self.reads = Counter()
        self._lock = threading.Lock()

    def layout(self, name):
        values, chunks = self.arrays[name]
        return ArrayLayout(values.shape, values.dtype, chunks, None, {})

    def read_chunk(self, name, index):
        with self._lock:
            self.reads[name, index] += 1
        values, chunks = self.arrays[name]
        part = tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, chunks, strict=True))
        chunk = values[part].copy()
        chunk.flags.writeable = False
        return chunk


def poisson_counts(seed, n, channels):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(0.8, (n, channels)).astype(np.uint16)
    counts[rng.integers(n), rng.integers(channels)] = 65535  # a tall zero peak fills a uint16
    return counts


@pytest.fixture
def table_of():
    """Return a function that makes a table of counts, and closes it in the end."""
    tables = []

    def make(counts, *, block=40, cache_bytes=2**20, **keywords):
        tables.append(
            CountsTable(MemorySource(counts, block=block, **keywords), cache_bytes=cache_bytes)
        )
        return tables[-1]

    yield make
    for table in tables:
        table.close()


# --- windows -----------------------------------------------------------------------------------
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.one_of(st.sampled_from([1, 15, 16, 17, 32]), st.integers(1, 150)),
    n=st.integers(1, 90),
    block=st.integers(1, 100),
    ends=st.tuples(st.integers(0, 150), st.integers(0, 150)),
)
def test_a_window_is_the_plain_sum_over_its_channels(seed, channels, n, block, ends):
    """Two cumulative rows and two ends, for any window, cut into any blocks, exactly."""
    counts = poisson_counts(seed, n, channels)
    weights = np.zeros(channels)
    weights[min(ends) : max(ends)] = 1.0
    table = CountsTable(MemorySource(counts, block=block))
    found = table.window(weights)
    table.close()
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, counts[:, min(ends) : max(ends)].sum(axis=1, dtype=int))


@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 150),
    n=st.integers(1, 90),
    block=st.integers(1, 100),
    data=st.data(),
)
def test_a_window_of_any_weights_is_the_product_with_them(seed, channels, n, block, data):
    """A smoothed window has slopes; steps and isolated channels are windows, too."""
    counts = poisson_counts(seed, n, channels)
    levels = st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.5, -2.0, 0.3333])
    steps = data.draw(st.lists(levels, min_size=1, max_size=8))
    weights = np.repeat(steps, -(-channels // len(steps)))[:channels]
    table = CountsTable(MemorySource(counts, block=block))
    found = table.window(weights)
    table.close()
    assert found.dtype == (np.uint32 if np.isin(weights, (0, 1)).all() else np.float32)
    # float32 is rounded at each of at most 150 / 16 + 2 x 16 additions
    scale = counts.astype(float) @ np.abs(weights)
    assert (np.abs(found - counts @ weights) <= 45 * FLOAT32_ROUNDING * scale).all()


@pytest.mark.parametrize("channels", [4096, 2048, 1000, 17, 1])
def test_a_window_reads_its_ends_and_no_more(channels, table_of):
    """The cost is that of the ends, however wide the window: the cube is never needed."""
    table = table_of(poisson_counts(1, 50, channels), block=50)
    weights = np.zeros(channels)
    weights[channels // 3 : channels - channels // 5] = 1.0
    table.window(weights)
    reads = Counter(name for name, _ in table._source.reads)
    assert reads[COUNTS_BY_SPECTRUM] == 0
    assert reads[COUNTS_BY_CHANNEL] <= 2
    assert reads[COUNTS_CUMULATIVE] <= 2


def test_an_empty_window_reads_nothing_and_is_zero(table_of):
    """Zero counts were measured in no channel; that is known without reading."""
    table = table_of(poisson_counts(1, 50, 100))
    np.testing.assert_array_equal(table.window(np.zeros(100)), np.zeros(50, np.uint32))
    assert not table._source.reads


def test_the_counts_of_a_bright_spectrum_do_not_overflow(table_of):
    """4096 full channels are 268 million counts: beyond float32's whole numbers, not uint32's."""
    table = table_of(np.full((3, 4096), 65535, np.uint16))
    np.testing.assert_array_equal(table.window(np.ones(4096)), 65535 * 4096)
    np.testing.assert_array_equal(table.window(np.eye(4096)[7]), 65535)


@pytest.mark.parametrize("block", [1, 7, 33, 64, 1000])
def test_the_size_of_the_blocks_does_not_show(block, table_of):
    """Memory decides it at conversion; the numbers must not."""
    counts = poisson_counts(2, 101, 100)
    weights = np.interp(np.arange(100), [20, 35, 60, 75], [0, 1, 1, 0])
    expected = table_of(counts, block=101).window(weights)
    np.testing.assert_array_equal(table_of(counts, block=block).window(weights), expected)


def test_the_weights_are_not_changed(table_of):
    """The caller draws the same window again."""
    weights = np.linspace(0, 1, 100)
    copy = weights.copy()
    weights.flags.writeable = False
    table_of(poisson_counts(2, 10, 100)).window(weights)
    np.testing.assert_array_equal(weights, copy)


# --- spectra -----------------------------------------------------------------------------------
@given(
    seed=st.integers(0, 2**32 - 1),
    per_chunk=st.integers(1, 40),
    index=st.lists(st.integers(0, 36), max_size=60),
)
def test_spectra_come_in_the_order_asked_for(seed, per_chunk, index):
    """From any chunks, also repeated and backwards."""
    counts = poisson_counts(seed, 37, 23)
    table = CountsTable(MemorySource(counts, block=37, spectra_per_chunk=per_chunk))
    found = table.spectra(np.array(index, dtype=np.int64))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, counts[np.array(index, dtype=np.int64)])


@pytest.mark.parametrize("wrong", [-1, 37, 2**40])
def test_a_spectrum_that_is_not_there_is_refused(wrong, table_of):
    """-1 would be the last one, and nobody would notice."""
    table = table_of(poisson_counts(1, 37, 23))
    with pytest.raises(ParameterError, match=rf"no spectrum {wrong}; expected 0 to 36"):
        table.spectra(np.array([0, wrong, 3]))


def test_a_weighted_spectrum_is_the_weighted_sum(table_of, rng, monkeypatch):
    """Summed in parts, so that a region of any size fits into memory."""
    counts = poisson_counts(3, 101, 23)
    index, weights = rng.permutation(101)[:70], rng.normal(size=70)
    expected = weights @ counts[index].astype(float)
    table = table_of(counts)
    np.testing.assert_allclose(table.weighted_spectrum(index, weights), expected, rtol=1e-9)
    monkeypatch.setattr("maxrf_core.table._CHUNKS_AT_ONCE", 2)
    np.testing.assert_allclose(table.weighted_spectrum(index, weights), expected, rtol=1e-9)


@pytest.mark.parametrize("at_once", [2, 100])
def test_weighted_sums_of_the_same_spectra_read_them_once(table_of, rng, monkeypatch, at_once):
    """As a mean and its variance do, of regions as large as a scan."""
    monkeypatch.setattr("maxrf_core.table._CHUNKS_AT_ONCE", at_once)
    counts = poisson_counts(5, 101, 23)
    index, weights = rng.permutation(101)[:70], rng.normal(size=(3, 70))
    table = table_of(counts)
    found = table.weighted_spectra(index, weights)
    np.testing.assert_allclose(found, weights @ counts[index].astype(float), rtol=1e-9)
    assert set(table._source.reads.values()) == {1}


# --- cache and threads -------------------------------------------------------------------------
@pytest.mark.parametrize("cache_bytes", [0, 700, 5000, 2**20])
def test_the_cache_stays_within_its_bounds(cache_bytes, table_of, rng):
    """A server runs for weeks; and what does not fit is read all the same."""
    counts = poisson_counts(4, 101, 100)
    table = table_of(counts, cache_bytes=cache_bytes, block=13)
    for _ in range(40):
        low, high = np.sort(rng.integers(0, 101, 2))
        weights = np.zeros(100)
        weights[low:high] = 1
        np.testing.assert_array_equal(
            table.window(weights), counts[:, low:high].sum(axis=1, dtype=int)
        )
        chosen = rng.integers(0, 101, 3)
        np.testing.assert_array_equal(table.spectra(chosen), counts[chosen])
        held = [chunk.nbytes for chunk in table._cache.values()]
        assert sum(held) <= cache_bytes
        assert table.cache_info == {
            "chunks": len(held),
            "bytes": sum(held),
            "max_bytes": cache_bytes,
        }


def test_what_is_in_the_cache_is_not_read_again(table_of):
    """A window dragged a little needs no more than its new ends."""
    table = table_of(poisson_counts(4, 50, 100))
    weights = np.repeat([0.0, 1.0, 0.0], [21, 50, 29])
    table.window(weights)
    before = sum(table._source.reads.values())
    table.window(weights)
    assert before > 0
    assert sum(table._source.reads.values()) == before


def test_closing_empties_the_cache(table_of):
    """The memory goes back when a scan is closed."""
    table = table_of(poisson_counts(4, 50, 100))
    table.window(np.ones(100))
    assert table.cache_info["bytes"] > 0
    table.close()
    assert table.cache_info["bytes"] == table.cache_info["chunks"] == 0


def test_threads_get_what_one_reader_gets(table_of, rng):
    """Visitors share one table; a cache much too small makes them evict each other's chunks."""
    counts = poisson_counts(5, 101, 100)
    table = table_of(counts, block=13, cache_bytes=4000)
    jobs = [tuple(np.sort(rng.integers(0, 101, 2))) for _ in range(60)]

    def window(ends):
        weights = np.zeros(100)
        weights[slice(*ends)] = 1
        return table.window(weights), table.spectra(np.array([ends[0] % 101, 50]))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(window, jobs))
    for ends, (sums, spectra) in zip(jobs, results, strict=True):
        np.testing.assert_array_equal(sums, counts[:, slice(*ends)].sum(axis=1, dtype=int))
        np.testing.assert_array_equal(spectra, counts[[ends[0] % 101, 50]])
    assert table.cache_info["bytes"] <= 4000


# --- bands of about equal counts ----------------------------------------------------------------
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 400),
    first=st.integers(0, 400),
    block=st.integers(1, 60),
)
def test_the_bands_hold_all_counts_above_the_zero_peak(seed, channels, first, block):
    """Kriging's covariance is fitted to them: no count is lost, none is taken twice."""
    counts = poisson_counts(seed, 41, channels)
    table = CountsTable(MemorySource(counts, block=block))
    bands = table.band_counts(first)
    assert bands.shape[0] == 41
    assert 1 <= bands.shape[1] <= 12
    last_group = (channels - 1) // CHANNELS_PER_GROUP
    from_channel = min(first // CHANNELS_PER_GROUP, last_group) * CHANNELS_PER_GROUP
    expected = counts[:, from_channel:].sum(axis=1, dtype=int)
    np.testing.assert_array_equal(bands.sum(axis=1), expected)


def test_the_bands_hold_about_equal_counts(table_of, rng):
    """Each says as much about the object as another."""
    counts = rng.poisson(np.linspace(0.1, 4, 1600), (30, 1600)).astype(np.uint16)
    bands = table_of(counts).band_counts(0).sum(axis=0)
    assert len(bands) == 12
    # edges lie on groups of 16 channels; the widest group is a fifth of a band
    np.testing.assert_allclose(bands, bands.mean(), rtol=0.25)


def test_a_scan_without_counts_has_one_dark_band(table_of):
    """Kriging then averages; it must not divide by nothing."""
    bands = table_of(np.zeros((9, 100), np.uint16)).band_counts(3)
    np.testing.assert_array_equal(bands, np.zeros((9, 1)))


def test_the_band_edges_increase_from_the_first_group():
    """One bright group makes fewer bands, not empty ones."""
    np.testing.assert_array_equal(band_edges(np.array([9, 1, 1, 100, 1, 1]), 1, 4), [1, 4, 6])
    np.testing.assert_array_equal(band_edges(np.array([5, 5, 5, 5]), 0, 4), [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("energies", "channel"), [([-1.0, 0.4, 0.5, 0.6], 2), ([0.7, 0.9], 0), ([-2.0, -1.0], 2)]
)
def test_the_signal_begins_at_half_a_kev(energies, channel):
    """Below lies the zero peak, wherever the axis starts."""
    assert signal_channel(np.array(energies, np.float32)) == channel
