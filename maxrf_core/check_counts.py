"""Checks of the counts of a zipstore: four tables of them, which have to agree.

Block by block, as they were written: the counts by spectrum are sifted and transposed once
more and held against all others, so memory is bounded by a block of the conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .blocks import Run
from .contents import BLOCK_ARRAYS, Contents
from .counts import add_statistics, fill_group, group_entries, sift_counts
from .faults import difference, try_read
from .schema import (
    ALL_SPECTRA,
    BLOCK_TOTALS,
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    MAX_COUNTS,
    MAX_SMOOTHED,
    SPECTRA_TOTALS,
    TOTAL_COUNTS,
)
from .smoothing import smooth_sparse
from .spectra import SpectraReader
from .store import StoreReader

__all__ = ["CountsCheck"]


@dataclass(frozen=True)
class _Portion:
    """What the spectra of one task come to."""

    spectra: range
    known: npt.NDArray[np.bool_]
    group_starts: npt.NDArray[np.int64]
    entries: npt.NDArray[np.uint32]
    cumulative: npt.NDArray[np.uint32]
    per_spectrum: npt.NDArray[np.uint32]
    total: npt.NDArray[np.uint64]
    highest: npt.NDArray[np.uint16]
    highest_smoothed: npt.NDArray[np.float32]
    faults: list[str]


@dataclass
class _Statistics:
    """Sum and maxima over spectra."""

    total: npt.NDArray[np.uint64]
    highest: npt.NDArray[np.uint16]
    smoothed: npt.NDArray[np.float32]

    @classmethod
    def empty(cls, n_channels: int) -> _Statistics:
        return cls(
            np.zeros(n_channels, np.uint64),
            np.zeros(n_channels, np.uint16),
            np.zeros(n_channels, np.float32),
        )

    def add(
        self,
        total: npt.NDArray[np.uint64],
        highest: npt.NDArray[np.uint16],
        smoothed: npt.NDArray[np.float32],
    ) -> None:
        self.total += total
        np.maximum(self.highest, highest, out=self.highest)
        np.maximum(self.smoothed, smoothed, out=self.smoothed)

    def faults(
        self, names: tuple[str, str, str], found: list[npt.NDArray], place: str
    ) -> Iterator[str]:
        expected = (self.total, self.highest, self.smoothed)
        for name, values, right in zip(names, found, expected, strict=True):
            yield from difference(
                name,
                values.reshape(right.shape),
                right,
                lambda i: f"{place}channel {i[0]}",
                where="the counts by spectrum make it",
            )


@dataclass
class CountsCheck:
    """Hold the tables of counts against each other, and against the scan.

    Parameters
    ----------
    reader : StoreReader
        The store.
    contents : Contents
        What it holds; its layouts were found to be right.
    source : SpectraReader or None
        The scan that it was made from.
    run : callable
        Works on tasks in several threads, as `map` does in one.
    report : callable
        Is given how many more chunks have been read.
    """

    reader: StoreReader
    contents: Contents
    source: SpectraReader | None
    run: Run
    report: Callable[[int], None]

    def faults(self) -> Iterator[str]:
        """Yield what does not agree."""
        contents = self.contents
        everything = _Statistics.empty(contents.n_channels)
        per_spectrum = np.zeros(contents.n_spectra, np.uint32)
        known = np.ones(contents.n_spectra, bool)
        for number in range(contents.blocks):
            yield from self._block_faults(number, everything, per_spectrum, known)
        totals, told = try_read(self.reader, SPECTRA_TOTALS)
        yield from told
        if totals is not None:
            yield from difference(
                SPECTRA_TOTALS,
                np.where(known, totals, per_spectrum),
                per_spectrum,
                lambda i: f"the total of spectrum {i[0]}",
                where="its counts by spectrum sum to",
            )
        names = (TOTAL_COUNTS, MAX_COUNTS, MAX_SMOOTHED)
        yield from self._statistics_faults(everything, names, None, known, "")

    def _statistics_faults(
        self,
        statistics: _Statistics,
        names: tuple[str, str, str],
        index: tuple[int, ...] | None,
        known: npt.NDArray[np.bool_],
        place: str,
    ) -> Iterator[str]:
        found = []
        for name in names:
            values, told = try_read(self.reader, name, index)
            yield from told
            found.append(values)
        if known.all() and all(values is not None for values in found):
            yield from statistics.faults(names, found, place)

    def _block_faults(
        self,
        number: int,
        everything: _Statistics,
        per_spectrum: npt.NDArray[np.uint32],
        known: npt.NDArray[np.bool_],
    ) -> Iterator[str]:
        contents = self.contents
        start = number * contents.block
        stop = min(start + contents.block, contents.n_spectra)
        cumulative = np.zeros((contents.groups + 1, stop - start), np.uint32)
        statistics = _Statistics.empty(contents.n_channels)
        sorted_counts = []
        step = contents.portion
        tasks = [range(i, min(i + step, stop)) for i in range(start, stop, step)]
        for portion in self.run(self._sift, tasks):
            yield from portion.faults
            spectra = slice(portion.spectra.start, portion.spectra.stop)
            known[spectra], per_spectrum[spectra] = portion.known, portion.per_spectrum
            first = portion.spectra.start - start
            cumulative[:, first : first + len(portion.spectra)] = portion.cumulative
            statistics.add(portion.total, portion.highest, portion.highest_smoothed)
            sorted_counts.append((first, portion.group_starts, portion.entries))
            self.report(-(-len(portion.spectra) // contents.chunk))
        everything.add(statistics.total, statistics.highest, statistics.smoothed)
        of_block = known[start:stop]

        def compare(group: int) -> list[str]:
            return [
                *self._cumulative_faults(group, number, cumulative[group], of_block),
                *self._group_faults(group, number, sorted_counts, of_block),
            ]

        for found in self.run(compare, range(contents.groups + 1)):
            yield from found
            self.report(2)
        if BLOCK_TOTALS in self.reader:
            place = f"block {number}, "
            yield from self._statistics_faults(
                statistics, BLOCK_ARRAYS, (number, 0), of_block, place
            )

    def _sift(self, task: range) -> _Portion:
        contents = self.contents
        n_channels = contents.n_channels
        counts = np.zeros((len(task), n_channels), np.uint16)
        known = np.ones(len(task), bool)
        faults = []
        for first in range(task.start, task.stop, contents.chunk):
            index = (first // contents.chunk, 0)
            chunk, told = try_read(self.reader, COUNTS_BY_SPECTRUM, index)
            rows = slice(first - task.start, first - task.start + contents.chunk)
            faults += told
            if chunk is None:
                known[rows] = False
            else:
                counts[rows] = chunk
        sparse = sift_counts(counts)
        statistics = _Statistics.empty(n_channels)
        per_spectrum = add_statistics(sparse, statistics.total, statistics.highest)
        keep = contents.cubes
        smoothed = smooth_sparse(sparse, contents.sigma, statistics.smoothed, keep=keep)
        cumulative = np.empty((contents.groups + 1, len(task)), np.uint32)
        group_starts, entries = group_entries(sparse, cumulative)
        if keep:
            faults += self._smoothed_faults(task, smoothed, known)
        if self.source is not None:
            right = self.source.read(task.start, task.stop)
            faults += difference(
                COUNTS_BY_SPECTRUM,
                counts if known.all() else np.where(known[:, None], counts, right),
                right,
                lambda i: f"spectrum {task.start + i[0]}, channel {i[1]}",
                where=f"{self.source.filename.name} has",
            )
        return _Portion(
            task,
            known,
            group_starts,
            entries,
            cumulative,
            per_spectrum,
            statistics.total,
            statistics.highest,
            statistics.smoothed,
            faults,
        )

    def _smoothed_faults(
        self, task: range, smoothed: npt.NDArray[np.float32], known: npt.NDArray[np.bool_]
    ) -> list[str]:
        index = (task.start // self.contents.portion, 0)
        found, told = try_read(self.reader, ALL_SPECTRA, index)
        if found is None:
            return told
        return list(
            difference(
                ALL_SPECTRA,
                found if known.all() else np.where(known[:, None], found, smoothed),
                smoothed,
                lambda i: f"spectrum {task.start + i[0]}, channel {i[1]}",
                where="the smoothed counts are",
            )
        )

    def _cumulative_faults(
        self,
        row: int,
        number: int,
        expected: npt.NDArray[np.uint32],
        known: npt.NDArray[np.bool_],
    ) -> Iterator[str]:
        found, told = try_read(self.reader, COUNTS_CUMULATIVE, (row, number))
        yield from told
        if found is not None:
            yield from difference(
                COUNTS_CUMULATIVE,
                found[0] if known.all() else np.where(known, found[0], expected),
                expected,
                lambda i: f"row {row} of spectrum {number * self.contents.block + i[0]}",
                where=f"its counts below channel {row * CHANNELS_PER_GROUP} sum to",
            )

    def _group_faults(
        self,
        group: int,
        number: int,
        sorted_counts: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.uint32]]],
        known: npt.NDArray[np.bool_],
    ) -> Iterator[str]:
        if group == self.contents.groups:  # there is one row more of cumulative counts
            return
        found, told = try_read(self.reader, COUNTS_BY_CHANNEL, (group, number))
        yield from told
        if found is None:
            return
        counts = np.zeros((CHANNELS_PER_GROUP, len(known)), np.uint16)
        for first, starts, entries in sorted_counts:
            fill_group(entries[starts[group] : starts[group + 1]], first, counts)
        counts = counts[: len(found)]
        yield from difference(
            COUNTS_BY_CHANNEL,
            found if known.all() else np.where(known, found, counts),
            counts,
            lambda i: (
                f"channel {group * CHANNELS_PER_GROUP + i[0]} of spectrum "
                f"{number * self.contents.block + i[1]}"
            ),
            where=f"{COUNTS_BY_SPECTRUM} has",
        )
