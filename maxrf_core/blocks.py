"""One block of a conversion: its spectra are read, counted, transposed, smoothed and compressed.

A block is as many spectra as lie in one chunk of the tables that are read across channels. It
knows nothing of other blocks and is written in a fixed order, so blocks may be converted one
after the other here or side by side on several machines, and come out alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .counts import SparseCounts, add_statistics, fill_group, group_entries, sift_counts
from .layout import COUNTS_CODEC, CUMULATIVE_CODEC, FLOAT_CODEC, ChunkSink
from .schema import (
    ALL_SPECTRA,
    BLOCK_MAX,
    BLOCK_MAX_SMOOTHED,
    BLOCK_TOTALS,
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    SPECTRA_TOTALS,
)
from .smoothing import smooth_sparse

__all__ = ["BlockPlan", "Run", "SpectraSource", "convert_block"]

SPECTRA_PER_CHUNK = 128  # 1 MiB of 4096 channels: a spectrum is read in under two milliseconds
SPECTRA_PER_TASK = 1024
LONGEST_BLOCK = 262_144
BYTES_PER_COUNT = 4  # of a block in memory at most, if no channel of any spectrum were empty

Run = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Applies a function to items and yields the results in order, as `map` does."""

Key = tuple[str, tuple[int, ...]]


class SpectraSource(Protocol):
    """Anything that the counts of a scan are read from, in several threads."""

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint16]:
        """Return the counts of spectra start to stop - 1, (stop - start, c)."""


@dataclass(frozen=True)
class BlockPlan:
    """How a scan is cut into blocks, and what is written of each.

    Parameters
    ----------
    n_spectra, n_channels : int
        Size of the scan.
    block : int
        Spectra of a block.
    portion : int
        Spectra that are worked on at once.
    chunk : int
        Spectra of a chunk that is read along channels.
    sigma : float
        Gaussian smoothing in channels.
    smoothed : bool
        Whether the smoothed spectra are written, and not only their maximum.
    """

    n_spectra: int
    n_channels: int
    block: int
    portion: int
    chunk: int
    sigma: float
    smoothed: bool

    @classmethod
    def within(
        cls, n_spectra: int, n_channels: int, memory: int, *, sigma: float, smoothed: bool
    ) -> BlockPlan:
        """Return the plan with the longest blocks that `memory`, in bytes, allows."""
        fitting = memory // (BYTES_PER_COUNT * n_channels) // SPECTRA_PER_TASK * SPECTRA_PER_TASK
        block = min(max(fitting, SPECTRA_PER_TASK), LONGEST_BLOCK, n_spectra)
        portion, chunk = min(SPECTRA_PER_TASK, n_spectra), min(SPECTRA_PER_CHUNK, n_spectra)
        return cls(n_spectra, n_channels, block, portion, chunk, sigma, smoothed)

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n_spectra // self.block)

    @property
    def groups(self) -> int:
        """Number of groups of channels."""
        return -(-self.n_channels // CHANNELS_PER_GROUP)

    def spectra(self, number: int) -> range:
        """Return the spectra of a block."""
        start = number * self.block
        return range(start, min(start + self.block, self.n_spectra))

    def tasks(self, number: int) -> list[range]:
        """Return the spectra of a block in the portions that are worked on at once."""
        spectra = self.spectra(number)
        return [spectra[i : i + self.portion] for i in range(0, len(spectra), self.portion)]

    def declare(self, sink: ChunkSink) -> None:
        """Create the arrays that blocks are written to."""
        n, c, b = self.n_spectra, self.n_channels, self.blocks
        sink.create_array(
            COUNTS_BY_SPECTRUM,
            shape=(n, c),
            dtype=np.uint16,
            chunks=(self.chunk, c),
            codec=COUNTS_CODEC,
        )
        sink.create_array(
            COUNTS_BY_CHANNEL,
            shape=(c, n),
            dtype=np.uint16,
            chunks=(min(CHANNELS_PER_GROUP, c), self.block),
            codec=COUNTS_CODEC,
        )
        sink.create_array(
            COUNTS_CUMULATIVE,
            shape=(self.groups + 1, n),
            dtype=np.uint32,
            chunks=(1, self.block),
            codec=CUMULATIVE_CODEC,
            attributes={
                "channels_per_row": CHANNELS_PER_GROUP,
                "meaning": "counts of each spectrum below channel row * channels_per_row",
            },
        )
        if self.smoothed:
            sink.create_array(
                ALL_SPECTRA,
                shape=(n, c),
                dtype=np.float32,
                chunks=(self.portion, c),
                codec=FLOAT_CODEC,
                attributes={"sigma_channels": self.sigma},
            )
        sink.create_array(
            SPECTRA_TOTALS,
            shape=(n,),
            dtype=np.uint32,
            chunks=(self.block,),
            codec=CUMULATIVE_CODEC,
        )
        for name, dtype, attributes in (
            (BLOCK_TOTALS, np.uint64, {}),
            (BLOCK_MAX, np.uint16, {}),
            (BLOCK_MAX_SMOOTHED, np.float32, {"sigma_channels": self.sigma}),
        ):
            sink.create_array(
                name,
                shape=(b, c),
                dtype=dtype,
                chunks=(1, c),
                codec=CUMULATIVE_CODEC,
                attributes=attributes,
            )

    def keys(self, number: int) -> Iterator[Key]:
        """Yield name and index of each chunk of a block in the order of writing."""
        for task in self.tasks(number):
            for first in range(task.start, task.stop, self.chunk):
                yield COUNTS_BY_SPECTRUM, (first // self.chunk, 0)
            if self.smoothed:
                yield ALL_SPECTRA, (task.start // self.portion, 0)
        yield COUNTS_CUMULATIVE, (0, number)
        for group in range(self.groups):
            yield COUNTS_BY_CHANNEL, (group, number)
            yield COUNTS_CUMULATIVE, (group + 1, number)
        yield SPECTRA_TOTALS, (number,)
        yield BLOCK_TOTALS, (number, 0)
        yield BLOCK_MAX, (number, 0)
        yield self.last_key(number)

    def last_key(self, number: int) -> Key:
        """Return the chunk that says, when it is there, that a block is whole."""
        return BLOCK_MAX_SMOOTHED, (number, 0)


@dataclass(frozen=True)
class _Portion:
    """What comes out of the spectra of one task."""

    spectra: range
    encoded: list[bytes]
    group_starts: npt.NDArray[np.int64]
    entries: npt.NDArray[np.uint32]
    cumulative: npt.NDArray[np.uint32]
    per_spectrum: npt.NDArray[np.uint32]
    total: npt.NDArray[np.uint64]
    highest: npt.NDArray[np.uint16]
    highest_smoothed: npt.NDArray[np.float32]


def convert_block(
    plan: BlockPlan,
    spectra: SpectraSource,
    number: int,
    sink: ChunkSink,
    *,
    run: Run = map,
    report: Callable[[int], None] | None = None,
) -> None:
    """Convert one block and write its chunks in the order of `BlockPlan.keys`.

    Parameters
    ----------
    plan : BlockPlan
        The plan.
    spectra : SpectraSource
        The scan's counts: a `SpectraReader`, or what stands for it.
    number : int
        Which block.
    sink : ChunkSink
        Where the arrays of `BlockPlan.declare` are written.
    run : callable
        Works on tasks in turn, or in several threads.
    report : callable, optional
        Is given the spectra that have been read after each task; what it raises stops
        the block.

    Raises
    ------
    CronoFileError
        If the scan cannot be read.
    OutputError
        If the chunks cannot be written.
    """
    keys = plan.keys(number)
    block = plan.spectra(number)
    sorted_counts: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.uint32]]] = []
    cumulative = np.empty((plan.groups + 1, len(block)), dtype=np.uint32)
    per_spectrum = np.empty(len(block), dtype=np.uint32)
    total = np.zeros(plan.n_channels, dtype=np.uint64)
    highest = np.zeros(plan.n_channels, dtype=np.uint16)
    highest_smoothed = np.zeros(plan.n_channels, dtype=np.float32)

    def sift(task: range) -> _Portion:
        return _sift_task(plan, spectra, task, sink)

    for portion in run(sift, plan.tasks(number)):
        for data in portion.encoded:
            sink.append_chunk(*next(keys), data)
        here = slice(portion.spectra.start - block.start, portion.spectra.stop - block.start)
        cumulative[:, here] = portion.cumulative
        per_spectrum[here] = portion.per_spectrum
        total += portion.total
        np.maximum(highest, portion.highest, out=highest)
        np.maximum(highest_smoothed, portion.highest_smoothed, out=highest_smoothed)
        sorted_counts.append((here.start, portion.group_starts, portion.entries))
        if report is not None:
            report(portion.spectra.stop)

    by_channel, rows = sink.layout(COUNTS_BY_CHANNEL), sink.layout(COUNTS_CUMULATIVE)
    channels = by_channel.chunks[0]
    sink.append_chunk(*next(keys), rows.encode(cumulative[:1]))

    def transpose(group: int) -> tuple[bytes, bytes]:
        counts = np.zeros((channels, len(block)), dtype=np.uint16)
        for first, starts, entries in sorted_counts:
            fill_group(entries[starts[group] : starts[group + 1]], first, counts)
        inside = counts[: plan.n_channels - group * channels]
        return by_channel.encode(inside), rows.encode(cumulative[group + 1 : group + 2])

    for pair in run(transpose, range(plan.groups)):
        for data in pair:
            sink.append_chunk(*next(keys), data)
    for values in (per_spectrum, total[None], highest[None], highest_smoothed[None]):
        name, index = next(keys)
        sink.append_chunk(name, index, sink.layout(name).encode(values))


def _sift_task(plan: BlockPlan, reader: SpectraSource, task: range, sink: ChunkSink) -> _Portion:
    counts = reader.read(task.start, task.stop)
    sparse: SparseCounts = sift_counts(counts)
    layout = sink.layout(COUNTS_BY_SPECTRUM)
    step = layout.chunks[0]
    encoded = [layout.encode(counts[i : i + step]) for i in range(0, len(counts), step)]
    total = np.zeros(plan.n_channels, dtype=np.uint64)
    highest = np.zeros(plan.n_channels, dtype=np.uint16)
    highest_smoothed = np.zeros(plan.n_channels, dtype=np.float32)
    per_spectrum = add_statistics(sparse, total, highest)
    smoothed = smooth_sparse(sparse, plan.sigma, highest_smoothed, keep=plan.smoothed)
    if plan.smoothed:
        encoded.append(sink.layout(ALL_SPECTRA).encode(smoothed))
    cumulative = np.empty((plan.groups + 1, len(counts)), dtype=np.uint32)
    group_starts, entries = group_entries(sparse, cumulative)
    return _Portion(
        task,
        encoded,
        group_starts,
        entries,
        cumulative,
        per_spectrum,
        total,
        highest,
        highest_smoothed,
    )
