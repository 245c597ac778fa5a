"""The counts of a damaged zipstore, put together from the tables that still have them.

They are stored three times: by spectrum, by channel, and added up in groups of channels. What
one table has lost another one has; where two differ, their sums tell which is right. Counts
are never made up: what no table has is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .blocks import BlockPlan
from .errors import ZipstoreError
from .layout import ArrayLayout
from .schema import (
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
)

__all__ = ["BlockCounts", "RecoveredCounts", "in_ranges"]

_RANGES_TOLD = 4

ChunkReader = Callable[[str, tuple[int, ...]], npt.NDArray]
"""Returns a chunk by name and index; raises ZipstoreError if it is missing or damaged."""


def in_ranges(numbers: npt.NDArray[np.integer]) -> str:
    """Return increasing numbers in words, such as ``3, 8 to 15 and 77``."""
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    runs = [
        f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}"
        for run in np.split(numbers, cuts)
    ]
    if len(runs) > _RANGES_TOLD:
        runs[_RANGES_TOLD:] = [f"{len(runs) - _RANGES_TOLD:,} more ranges"]
    return " and ".join(filter(None, (", ".join(runs[:-1]), runs[-1])))


@dataclass(frozen=True)
class BlockCounts:
    """The counts of one block: a `SpectraSource`.

    Parameters
    ----------
    start : int
        Number of its first spectrum.
    counts : (k, c) uint16
        All of them.
    """

    start: int
    counts: npt.NDArray[np.uint16]

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint16]:
        """Return the counts of spectra start to stop - 1."""
        return self.counts[start - self.start : stop - self.start]


@dataclass
class RecoveredCounts:
    """Put the counts of a store together, block by block.

    Parameters
    ----------
    plan : BlockPlan
        How the store's tables are cut.
    read_chunk : callable
        Reads a chunk of the damaged store.
    by_spectrum : ArrayLayout
        How its counts by spectrum are described.

    Attributes
    ----------
    recovered : list of int
        Spectra whose counts by spectrum were damaged and came from those by channel.
    lost : list of str
        A sentence for all counts that no table has, or on which the tables contradict each
        other.
    """

    plan: BlockPlan
    read_chunk: ChunkReader
    by_spectrum: ArrayLayout
    recovered: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def block(self, number: int) -> BlockCounts:
        """Return the counts of a block; zeros stand for those that are told in `lost`."""
        spectra = self.plan.spectra(number)
        counts = np.zeros((len(spectra), self.plan.n_channels), np.uint16)
        known = self._fill(spectra, counts)
        taken = ~known
        below = self._try_read(COUNTS_CUMULATIVE, (0, number))
        for group in range(self.plan.groups):
            upto = self._try_read(COUNTS_CUMULATIVE, (group + 1, number))
            sums = None if below is None or upto is None else (upto - below)[0]
            below = upto
            first = group * CHANNELS_PER_GROUP
            channels = slice(first, first + CHANNELS_PER_GROUP)
            found = self._try_read(COUNTS_BY_CHANNEL, (group, number))
            ours = counts[:, channels]
            if found is None:
                self._tell("are lost: no table has them whole", spectra, ~known, channels)
                wrong = known if sums is None else known & (ours.sum(axis=1) != sums)
                if sums is not None:
                    self._tell("are not what their sums say", spectra, wrong, channels)
                continue
            taken |= self._settle(spectra, channels, ours, found.T, known, sums)
        self.recovered += (spectra.start + np.flatnonzero(taken)).tolist()
        return BlockCounts(spectra.start, counts)

    def _fill(self, spectra: range, counts: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
        """Fill in what can be read by spectrum, and return for which spectra that is."""
        known = np.zeros(len(spectra), bool)
        step = self.by_spectrum.chunks[0]
        for chunk in range(spectra.start // step, -(-spectra.stop // step)):
            found = self._try_read(COUNTS_BY_SPECTRUM, (chunk, 0))
            if found is not None:
                first, last = (
                    max(chunk * step, spectra.start),
                    min((chunk + 1) * step, spectra.stop),
                )
                here = slice(first - spectra.start, last - spectra.start)
                counts[here] = found[first - chunk * step : last - chunk * step]
                known[here] = True
        return known

    def _settle(
        self,
        spectra: range,
        channels: slice,
        ours: npt.NDArray[np.uint16],
        found: npt.NDArray[np.uint16],
        known: npt.NDArray[np.bool_],
        sums: npt.NDArray[np.uint32] | None,
    ) -> npt.NDArray[np.bool_]:
        """Take the counts by channel where they are the right ones, and return where."""
        differs = (ours != found).any(axis=1)
        disputed = known & differs
        unknown = ~known
        if sums is None:
            self._tell("differ between the tables", spectra, disputed, channels)
            right = unknown
        else:
            ours_agree = known & (ours.sum(axis=1, dtype=np.uint32) == sums)
            found_agree = found.sum(axis=1, dtype=np.uint32) == sums
            self._tell("are not what their sums say", spectra, unknown & ~found_agree, channels)
            open_question = disputed & (ours_agree == found_agree)
            self._tell("differ between the tables", spectra, open_question, channels)
            right = unknown | (disputed & found_agree & ~ours_agree)
        ours[right] = found[right]
        return right

    def _tell(
        self, what: str, spectra: range, where: npt.NDArray[np.bool_], channels: slice
    ) -> None:
        if where.any():
            numbers = in_ranges(spectra.start + np.flatnonzero(where))
            last = min(channels.stop, self.plan.n_channels) - 1
            self.lost.append(
                f"the counts of spectra {numbers} in channels {channels.start} to {last} {what}."
            )

    def _try_read(self, name: str, index: tuple[int, ...]) -> npt.NDArray | None:
        try:
            return self.read_chunk(name, index)
        except ZipstoreError:
            return None
