"""Sparse blocks of counts: sifted once, then sorted by channel and added up.

Nine channels in ten of a spectrum are empty, so a block of spectra is read once and kept as
its non-zero entries. Sorting those into groups of channels is transposing the block; every
step after it touches only memory that fits the processor's cache. Compiled loops that release
the GIL, so that threads work side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .schema import CHANNELS_PER_GROUP

__all__ = [
    "MAX_SIFTED",
    "SparseCounts",
    "add_spectra",
    "add_statistics",
    "add_weighted",
    "band_edges",
    "fill_group",
    "group_entries",
    "sift_counts",
]

MAX_SIFTED = 4096
"""Spectra that are sorted by channel at once: their number takes 12 of an entry's 32 bits."""

_MAX_UINT16 = 2**16
_WORD = 4  # uint16 counts in 64 bits
# An entry is spectrum << 20 | channel within its group << 16 | count.
_SPECTRUM_BIT = np.uint32(20)
_CHANNEL_BIT = np.uint32(16)
_CHANNEL_MASK = np.uint32(CHANNELS_PER_GROUP - 1)
_COUNT_MASK = np.uint32(0xFFFF)


@dataclass(frozen=True)
class SparseCounts:
    """The non-zero counts of some spectra, spectrum by spectrum.

    Parameters
    ----------
    n_channels : int
        Channels of a spectrum, c.
    starts : (k + 1,) int64
        Spectrum i has the entries ``starts[i]`` up to ``starts[i + 1]``.
    channels : (m,) uint16, or uint32 beyond 65536 channels
        Channel of each entry, increasing within a spectrum.
    counts : (m,) of the spectra's dtype
        Count of each entry.
    """

    n_channels: int
    starts: npt.NDArray[np.int64]
    channels: npt.NDArray[np.unsignedinteger]
    counts: npt.NDArray

    def __len__(self) -> int:
        return len(self.starts) - 1


@compiled()
def _sift(counts, words, starts, channels, values):  # noqa: ANN001, ANN202 - numba infers the types
    k, c = counts.shape
    lit = np.empty(words.shape[1] + 1, dtype=np.int32)
    m = 0
    for i in range(k):
        starts[i] = m
        n_lit = 0
        for j in range(words.shape[1]):  # without a branch, which would be mispredicted
            lit[n_lit] = j
            n_lit += words[i, j] != 0
        for s in range(n_lit):
            for j in range(_WORD * lit[s], _WORD * lit[s] + _WORD):
                channels[m] = j
                values[m] = counts[i, j]
                m += counts[i, j] != 0
        for j in range(_WORD * words.shape[1], c):
            channels[m] = j
            values[m] = counts[i, j]
            m += counts[i, j] != 0
    starts[k] = m
    return m


def sift_counts(counts: npt.NDArray) -> SparseCounts:
    """Return the non-zero entries of some spectra.

    Parameters
    ----------
    counts : (k, c) array
        Spectra: counts as uint16, or any other numbers. NaN is not zero.
    """
    k, c = counts.shape
    counts = np.ascontiguousarray(counts)
    # Rows of uint16 in whole 64-bit words are looked through four counts at a time.
    in_words = counts.dtype == np.uint16 and c % _WORD == 0
    words = counts.view(np.uint64) if in_words else np.empty((k, 0), dtype=np.uint64)
    starts = np.empty(k + 1, dtype=np.int64)
    # Memory that is never written costs nothing.
    channels = np.empty(k * c + 1, dtype=np.uint16 if c <= _MAX_UINT16 else np.uint32)
    values = np.empty(k * c + 1, dtype=counts.dtype)
    m = _sift(counts, words, starts, channels, values)
    return SparseCounts(c, starts, channels[:m], values[:m])


@compiled()
def _add_statistics(starts, channels, values, total, highest, per_spectrum):  # noqa: ANN001, ANN202
    for i in range(len(per_spectrum)):
        spectrum_total = np.uint32(0)
        for p in range(starts[i], starts[i + 1]):
            channel, count = channels[p], values[p]
            total[channel] += count
            spectrum_total += count
            if count > highest[channel]:
                highest[channel] = count
        per_spectrum[i] = spectrum_total


def add_statistics(
    sparse: SparseCounts,
    total: npt.NDArray[np.uint64],
    highest: npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint32]:
    """Add spectra to the sum and the maximum of all, and return the total of each.

    Parameters
    ----------
    sparse : SparseCounts
        k spectra.
    total : (c,) uint64
        Sum over spectra; added to.
    highest : (c,) uint16
        Maximum over spectra; raised.

    Returns
    -------
    per_spectrum : (k,) uint32
    """
    per_spectrum = np.empty(len(sparse), dtype=np.uint32)
    _add_statistics(sparse.starts, sparse.channels, sparse.counts, total, highest, per_spectrum)
    return per_spectrum


@compiled()
def _group_entries(starts, channels, values, group_starts, entries, cumulative):  # noqa: ANN001, ANN202
    groups = len(group_starts) - 1
    place = np.zeros(groups + 1, dtype=np.int64)
    for p in range(len(entries)):
        place[channels[p] // CHANNELS_PER_GROUP + 1] += 1
    for group in range(groups):
        place[group + 1] += place[group]
    group_starts[:] = place
    for i in range(len(starts) - 1):
        for p in range(starts[i], starts[i + 1]):
            group = channels[p] // CHANNELS_PER_GROUP
            entries[place[group]] = (
                (np.uint32(i) << _SPECTRUM_BIT)
                | ((np.uint32(channels[p]) & _CHANNEL_MASK) << _CHANNEL_BIT)
                | np.uint32(values[p])
            )
            place[group] += 1
    cumulative[0] = 0
    for group in range(groups):
        for i in range(cumulative.shape[1]):
            cumulative[group + 1, i] = cumulative[group, i]
        for p in range(group_starts[group], group_starts[group + 1]):
            cumulative[group + 1, entries[p] >> _SPECTRUM_BIT] += entries[p] & _COUNT_MASK


def group_entries(
    sparse: SparseCounts, cumulative: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Sort entries into groups of 16 channels, and add the groups up.

    Parameters
    ----------
    sparse : SparseCounts
        k spectra, at most `MAX_SIFTED`.
    cumulative : (g + 1, k) uint32
        Counts of each spectrum below channel 16 times the row; written.

    Returns
    -------
    group_starts : (g + 1,) int64
        Group j has the entries ``group_starts[j]`` up to ``group_starts[j + 1]``.
    entries : (m,) uint32
        Spectrum, channel within the group and count, packed for `fill_group`.
    """
    group_starts = np.empty(len(cumulative), dtype=np.int64)
    entries = np.empty(len(sparse.counts), dtype=np.uint32)
    _group_entries(sparse.starts, sparse.channels, sparse.counts, group_starts, entries, cumulative)
    return group_starts, entries


@compiled()
def _fill_group(entries, first, by_channel):  # noqa: ANN001, ANN202
    for entry in entries:
        by_channel[
            (entry >> _CHANNEL_BIT) & _CHANNEL_MASK, first + np.int64(entry >> _SPECTRUM_BIT)
        ] = entry & _COUNT_MASK


def fill_group(
    entries: npt.NDArray[np.uint32], first: int, by_channel: npt.NDArray[np.uint16]
) -> None:
    """Write the entries of a group of channels into their by-channel array of zeros.

    Parameters
    ----------
    entries : (m,) uint32
        As `group_entries` packs them.
    first : int
        Column of the first of their spectra.
    by_channel : (16, n) uint16
        Zeros; written.
    """
    _fill_group(entries, first, by_channel)


@compiled()
def add_spectra(counts, weights, out):  # noqa: ANN001, ANN201
    """Add weighted spectra to a running sum.

    Parameters
    ----------
    counts : (k, c) uint16
        Spectra.
    weights : (k,) float64
        Their weights.
    out : (c,) float64
        Running sum; added to.
    """
    for i in range(counts.shape[0]):
        weight = weights[i]
        if weight != 0:
            for j in range(counts.shape[1]):
                out[j] += weight * counts[i, j]


@compiled()
def add_weighted(by_channel, weights, out):  # noqa: ANN001, ANN201
    """Add the weighted counts of some channels to a running sum.

    Parameters
    ----------
    by_channel : (m, n) uint16
        Counts of m channels.
    weights : (m,) uint32 or float32
        Weight of each channel.
    out : (n,) of the same dtype
        Running sum of each spectrum; added to.
    """
    for j in range(by_channel.shape[0]):
        weight = weights[j]
        if weight != 0:
            for i in range(by_channel.shape[1]):
                out[i] += weight * by_channel[j, i]


def band_edges(total: npt.NDArray[np.integer], first: int, bands: int) -> npt.NDArray[np.int64]:
    """Return channel-group edges of energy bands that hold about equal counts.

    Parameters
    ----------
    total : (g,) integer
        Counts of the whole scan in each group of channels.
    first : int
        First group to use: those below hold the zero peak.
    bands : int
        How many bands are wanted.

    Returns
    -------
    edges : (<= bands + 1,) int64
        Increasing groups; band b holds groups ``edges[b]`` up to ``edges[b + 1]``.
    """
    running = np.concatenate([[0], np.cumsum(total[first:], dtype=np.float64)])
    wanted = np.linspace(0, running[-1], bands + 1)
    edges = np.unique(np.searchsorted(running, wanted, side="left"))
    return first + np.clip(edges, 0, len(total) - first)
