"""The counts of a scan, read in the two ways that the design asks for.

Along channels (one spectrum, or the spectra of a region) and across them (an energy
window of every spectrum), from whatever holds the chunks: an open zipstore, or one that
is still being written.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from .counts import add_spectra, add_weighted, band_edges
from .errors import ParameterError
from .layout import ChunkSource
from .schema import (
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    TOTAL_COUNTS,
)

__all__ = ["CountsTable", "signal_channel"]

DEFAULT_CACHE_BYTES = 256 * 2**20
SIGNAL_FROM_KEV = 0.5
"""Counts below belong to the zero peak and say nothing of the object."""

_ALL = slice(None)
_FEW = 8
"""Times fewer channels than there are, and only their groups are read: across the spectra."""
_BANDS = 12
_CHUNKS_AT_ONCE = 16  # chunks of spectra that a thread adds up at once: 2048 spectra


def signal_channel(energies: npt.NDArray[np.floating]) -> int:
    """Return the first channel above the zero peak, for energies in keV."""
    return int(np.searchsorted(energies, SIGNAL_FROM_KEV))


class CountsTable:
    """Counts of n spectra in c channels, read by chunks through a bounded cache.

    Parameters
    ----------
    source : ChunkSource
        Holds the three arrays of counts, and their sum over spectra.
    cache_bytes : int
        Decompressed chunks kept at most, in bytes; the least recently used go first.

    Notes
    -----
    Every method may be called from several threads. Chunks are read-only.
    """

    def __init__(self, source: ChunkSource, *, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        self._source = source
        self._cache_bytes = cache_bytes
        self._cache: LRUCache = LRUCache(cache_bytes, getsizeof=lambda chunk: chunk.nbytes)
        self._lock = threading.Lock()
        layout = source.layout(COUNTS_BY_SPECTRUM)
        self.n_spectra, self.n_channels = layout.shape
        self._spectra_per_chunk = layout.chunks[0]
        self._block = source.layout(COUNTS_CUMULATIVE).chunks[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(CountsTable, cache_bytes=self._cache_bytes), (self._source,)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="counts")

    def close(self) -> None:
        """Stop the reading threads and empty the cache."""
        if "_pool" in self.__dict__:
            self._pool.shutdown()
        with self._lock:
            self._cache.clear()

    @property
    def cache_info(self) -> dict[str, int]:
        """Chunks and bytes held, and the bytes allowed."""
        with self._lock:
            return {
                "chunks": len(self._cache),
                "bytes": int(self._cache.currsize),
                "max_bytes": int(self._cache.maxsize),
            }

    def _chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        key = (name, index)
        with self._lock:
            chunk = self._cache.get(key)
        if chunk is None:
            chunk = self._source.read_chunk(name, index)
            with self._lock:
                if chunk.nbytes <= self._cache.maxsize:
                    self._cache[key] = chunk
        return chunk

    # --- along channels ---------------------------------------------------------------

    def spectra(
        self, index: npt.NDArray[np.integer], channels: slice = _ALL
    ) -> npt.NDArray[np.uint16]:
        """Return some spectra, or some channels of them.

        Parameters
        ----------
        index : (k,) integer
            Numbers of the spectra, each from 0 to n - 1.
        channels : slice
            Channels next to each other, by default all. Of few, no others are read.

        Returns
        -------
        counts : (k, channels) uint16

        Raises
        ------
        ParameterError
            If there is no such spectrum.
        """
        index = np.asarray(index)
        if index.dtype.kind not in "iu":
            msg = (
                f"{index.tolist()!r} names no spectrum by its number; expected 0 to "
                f"{self.n_spectra - 1}."
            )
            raise ParameterError(msg)
        if index.size and (index.min() < 0 or index.max() >= self.n_spectra):
            wrong = int(index[(index < 0) | (index >= self.n_spectra)][0])
            msg = f"there is no spectrum {wrong}; expected 0 to {self.n_spectra - 1}."
            raise ParameterError(msg)
        first, last, _ = channels.indices(self.n_channels)
        counts = np.empty((len(index), max(last - first, 0)), dtype=np.uint16)
        if _FEW * counts.shape[1] <= self.n_channels:
            self._take_across(index, first, counts)
        else:
            for chunk, here, rows in _parts(index, self._spectra_per_chunk):
                counts[here] = self._chunk(COUNTS_BY_SPECTRUM, (chunk, 0))[rows, first:last]
        return counts

    def _take_across(
        self, index: npt.NDArray[np.integer], first: int, counts: npt.NDArray[np.uint16]
    ) -> None:
        """Fill in some spectra's channels from `first` on, from the chunks across spectra."""
        last = first + counts.shape[1]
        for block, here, rows in _parts(index, self._block):
            for start in range(first - first % CHANNELS_PER_GROUP, last, CHANNELS_PER_GROUP):
                group = self._chunk(COUNTS_BY_CHANNEL, (start // CHANNELS_PER_GROUP, block))
                low, high = max(first, start), min(last, start + CHANNELS_PER_GROUP)
                counts[here, low - first : high - first] = group[low - start : high - start, rows].T

    def weighted_spectrum(
        self, index: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float64]:
        """Return the weighted sum of some spectra.

        Parameters
        ----------
        index : (k,) integer
            Numbers of the spectra.
        weights : (k,) float
            Their weights.

        Returns
        -------
        spectrum : (c,) float64
        """
        return self.weighted_spectra(index, np.asarray(weights)[np.newaxis])[0]

    def weighted_spectra(
        self, index: npt.NDArray[np.integer], weights: npt.NDArray[np.floating]
    ) -> npt.NDArray[np.float64]:
        """Return several weighted sums of the same spectra, which are read once.

        Parameters
        ----------
        index : (k,) integer
            Numbers of the spectra.
        weights : (m, k) float
            Their weights in each sum.

        Returns
        -------
        spectra : (m, c) float64
        """
        order = np.argsort(index, kind="stable")
        index, weights = np.asarray(index)[order], np.asarray(weights, dtype=np.float64)[:, order]
        numbers, starts = np.unique(index // self._spectra_per_chunk, return_index=True)
        stops = np.append(starts[1:], len(index))
        # What a region needs would push everything else out of the cache.
        few = len(numbers) <= _CHUNKS_AT_ONCE
        read = self._chunk if few else self._source.read_chunk

        def add_up(part: slice) -> npt.NDArray[np.float64]:
            total = np.zeros((len(weights), self.n_channels))
            for number, start, stop in zip(numbers[part], starts[part], stops[part], strict=True):
                spectra = read(COUNTS_BY_SPECTRUM, (int(number), 0))
                rows = index[start:stop] - number * self._spectra_per_chunk
                for one, added in zip(weights, total, strict=True):
                    add_spectra(spectra, np.bincount(rows, one[start:stop], len(spectra)), added)
            return total

        parts = [slice(i, i + _CHUNKS_AT_ONCE) for i in range(0, len(numbers), _CHUNKS_AT_ONCE)]
        totals = map(add_up, parts) if few else self._pool.map(add_up, parts)
        return sum(totals, np.zeros((len(weights), self.n_channels)))

    # --- across channels --------------------------------------------------------------

    def window(self, weights: npt.NDArray[np.floating]) -> npt.NDArray:
        """Return every spectrum's counts, weighted by channel: the product S b.

        Groups of channels whose weights are all 0 are skipped and runs of groups of
        equal weight are one difference of cumulative counts, so the cost is that of the
        window's ends, however wide it is.

        Parameters
        ----------
        weights : (c,) float
            Weight of each channel: 1 inside an energy window, 0 outside.

        Returns
        -------
        values : (n,) uint32, or float32 when a weight is neither 0 nor 1
        """
        weights = np.asarray(weights)
        whole = bool(np.all((weights == 0) | (weights == 1)))
        runs, mixed = _split(weights)
        out = np.zeros(self.n_spectra, dtype=np.uint32 if whole else np.float32)
        starts = range(0, self.n_spectra, self._block)

        def add_block(start: int) -> None:
            self._add_window(out[start : start + self._block], start, runs, mixed, weights)

        if len(starts) == 1:
            add_block(0)
        else:
            list(self._pool.map(add_block, starts))
        return out

    def _add_window(
        self,
        out: npt.NDArray,
        start: int,
        runs: list[tuple[int, int, float]],
        mixed: list[int],
        weights: npt.NDArray[np.floating],
    ) -> None:
        block = start // self._block
        for first, last, weight in runs:
            counts = self._chunk(COUNTS_CUMULATIVE, (last, block))[0]
            if first:
                counts = counts - self._chunk(COUNTS_CUMULATIVE, (first, block))[0]
            if weight == 1:
                out += counts.astype(out.dtype, copy=False)
            else:
                out += np.float32(weight) * counts
        for group in mixed:
            channels = slice(group * CHANNELS_PER_GROUP, (group + 1) * CHANNELS_PER_GROUP)
            by_channel = self._chunk(COUNTS_BY_CHANNEL, (group, block))
            add_weighted(by_channel, weights[channels].astype(out.dtype), out)

    def band_counts(self, first_channel: int) -> npt.NDArray[np.uint32]:
        """Return each spectrum's counts in some bands that hold about equal counts.

        Parameters
        ----------
        first_channel : int
            Channel to begin at; those below hold the zero peak.

        Returns
        -------
        counts : (n, <= 12) uint32
        """
        total = self._source.read_chunk(TOTAL_COUNTS, (0,))
        in_groups = np.add.reduceat(total, range(0, self.n_channels, CHANNELS_PER_GROUP))
        first = min(first_channel // CHANNELS_PER_GROUP, len(in_groups) - 1)
        edges = band_edges(in_groups, first, _BANDS)
        bands = np.zeros((self.n_spectra, max(len(edges) - 1, 1)), dtype=np.uint32)
        below = self._cumulative(int(edges[0]))
        for band, edge in enumerate(edges[1:].tolist()):
            up_to = self._cumulative(edge)
            np.subtract(up_to, below, out=bands[:, band])
            below = up_to
        return bands

    def _cumulative(self, group: int) -> npt.NDArray[np.uint32]:
        """Return a row of cumulative counts, past the cache: it is needed once a conversion."""
        row = np.empty(self.n_spectra, dtype=np.uint32)
        for block, start in enumerate(range(0, self.n_spectra, self._block)):
            chunk = self._source.read_chunk(COUNTS_CUMULATIVE, (group, block))
            row[start : start + self._block] = chunk[0]
        return row


def _parts(
    index: npt.NDArray[np.integer], size: int
) -> Iterator[tuple[int, npt.NDArray[np.intp], npt.NDArray[np.integer]]]:
    """Yield the chunks of a size that an index needs, where it does, and which of their rows."""
    number = index // size
    for chunk in np.unique(number).tolist():
        here = np.flatnonzero(number == chunk)
        yield chunk, here, index[here] - chunk * size


def _split(
    weights: npt.NDArray[np.floating],
) -> tuple[list[tuple[int, int, float]], list[int]]:
    """Split channel weights into runs of groups of one weight, and mixed groups.

    Returns
    -------
    runs : list of (first group, last group + 1, weight)
        Only those with a weight other than 0.
    mixed : list of int
        Groups whose channels differ in weight.
    """
    starts = np.arange(0, len(weights), CHANNELS_PER_GROUP)
    low, high = np.minimum.reduceat(weights, starts), np.maximum.reduceat(weights, starts)
    uniform = high == low
    mixed = np.flatnonzero(~uniform).tolist()
    runs: list[tuple[int, int, float]] = []
    for group in np.flatnonzero(uniform & (low != 0)).tolist():
        if runs and runs[-1][1] == group and runs[-1][2] == low[group]:
            runs[-1] = (runs[-1][0], group + 1, runs[-1][2])
        else:
            runs.append((group, group + 1, float(low[group])))
    return runs, mixed
