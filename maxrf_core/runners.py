"""Who works on the blocks of a conversion: threads of this process.

`cluster` has the other one: the workers of a dask cluster. Both are given the same blocks and
write the same chunks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from .blocks import BlockPlan, convert_block
from .combine import CubePlan, TileStatistics
from .layout import ChunkSink
from .parallel import in_order
from .schema import CUBE
from .spectra import SpectraReader
from .table import CountsTable
from .writer import ZipstoreWriter

__all__ = ["Report", "Runner", "ThreadRunner"]

Report = Callable[[int], None]
"""Is given how many spectra or cells are done; what it raises ends the work."""


class Runner(Protocol):
    """Does the work of a conversion that comes in blocks."""

    def open_sink(
        self, path: Path, attributes: dict[str, Any]
    ) -> AbstractContextManager[ChunkSink]:
        """Open what will be the zipstore `path` once it is committed."""

    def convert_blocks(
        self, filename: Path, plan: BlockPlan, sink: ChunkSink, todo: Sequence[int], report: Report
    ) -> None:
        """Convert blocks of spectra; those that are not named are there already."""

    def convert_cube(
        self, plan: CubePlan, table: CountsTable, sink: ChunkSink, report: Report
    ) -> Iterator[TileStatistics]:
        """Write the cube and yield the statistics of its tiles in order."""


class ThreadRunner:
    """Work in threads, appending to the zip what they compress in the order of the scan.

    Parameters
    ----------
    workers : int, optional
        Number of threads; one for each processor by default.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or os.cpu_count() or 1

    def open_sink(
        self, path: Path, attributes: dict[str, Any]
    ) -> AbstractContextManager[ChunkSink]:
        """Open the zip itself."""
        return ZipstoreWriter(path, attributes)

    def convert_blocks(
        self, filename: Path, plan: BlockPlan, sink: ChunkSink, todo: Sequence[int], report: Report
    ) -> None:
        """Convert one block after the other, each in all threads."""
        with SpectraReader(filename) as spectra, ThreadPoolExecutor(self.workers) as pool:
            run = partial(in_order, pool, ahead=2 * self.workers)
            for number in todo:
                convert_block(plan, spectra, number, sink, run=run, report=report)

    def convert_cube(
        self, plan: CubePlan, table: CountsTable, sink: ChunkSink, report: Report
    ) -> Iterator[TileStatistics]:
        """Compute tiles in all threads."""
        done = 0
        with ThreadPoolExecutor(self.workers) as pool:
            run = partial(in_order, pool, ahead=2 * self.workers)
            for band in range(plan.bands):
                indices = list(plan.keys(band))
                tiles = run(partial(plan.tile_to_write, table, sink=sink), indices)
                for index, (data, statistics) in zip(indices, tiles, strict=True):
                    if data is not None:
                        sink.append_chunk(CUBE, index, data)
                    yield statistics
                done += plan.cells_in(band)
                report(done)
