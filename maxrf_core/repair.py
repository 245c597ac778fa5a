"""`repair_zipstore`: a damaged zipstore made whole again from the counts that it still has.

A repair is a conversion whose scan is the store itself: what is derived is derived once more,
chunks that turn out as they were stay as they were, and the new file takes the old one's place
when a check has found it whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .blocks import BYTES_PER_COUNT, BlockPlan, convert_block
from .check import check_zipstore
from .contents import TIMES
from .damaged import DamagedStore
from .errors import OutputError, ZipstoreError
from .interpolation import Raster
from .lag import Lag
from .layout import ChunkSink, chunk_key
from .location import file_stamp, is_url
from .parallel import in_order
from .pipeline import Pipeline
from .progress import Progress, progress_bar
from .recovered_counts import RecoveredCounts, in_ranges
from .repair_writer import RepairWriter
from .runners import Report, ThreadRunner
from .schema import COUNTS_BY_CHANNEL, COUNTS_BY_SPECTRUM, POSITIONS
from .unfinished import HiddenNames, put_in_place, told

__all__ = ["RepairReport", "repair_zipstore"]

_NOT_LESS_THAN = 2**26  # bytes for the cache of a conversion


@dataclass(frozen=True)
class RepairReport:
    """What a repair did.

    Parameters
    ----------
    repaired : tuple of str
        What was made anew, a sentence each.
    lost : tuple of str
        What is lost and was left out, a sentence each.
    """

    repaired: tuple[str, ...]
    lost: tuple[str, ...]


def repair_zipstore(
    path: str | os.PathLike[str], *, progress: bool | Callable[[Progress], None] = True
) -> RepairReport:
    """Make a damaged zipstore whole again, in its place.

    Parameters
    ----------
    path : path
        The zipstore, a file on this machine.
    progress : bool or callable
        A bar on the terminal, or a function that is given `Progress`; what that raises ends
        the repair.

    Returns
    -------
    RepairReport

    Raises
    ------
    ZipstoreError
        If what cannot be derived is lost: the sentence says what.
    OutputError
        If the new file cannot be written, or the old one was changed meanwhile.

    Notes
    -----
    After any error the old file is as it was. The folder needs room for a second one.

    Derived anew are the counts by channel from those by spectrum and the other way round,
    cumulative counts, totals and maxima, the interpolation, and the float arrays. Energies,
    positions and the vendor's selection stand nowhere else; without times and regions a scan
    can do. Memory is that of the conversion, and the counts of one of its blocks.
    """
    location = os.fspath(path)
    path = Path(path)
    if is_url(location) or path.is_dir():
        raise ZipstoreError(
            f"{path.name} is no file on this machine, and only such is repaired. Copy it here "
            "first, as one zipstore."
        )
    stamp = file_stamp(path)
    with told(path):
        names = HiddenNames(path)
    with names:
        unfinished = names.name(path, "repaired")
        with closing(DamagedStore(path)) as damaged, progress_bar(progress, path.name) as report:
            job = _Repair(damaged, report)
            job.run(unfinished)
            found = check_zipstore(unfinished, progress=report)
        if not found.is_whole:
            raise ZipstoreError(
                f"{path.name} cannot be repaired, and is as it was: {found.faults[0]} Convert the "
                "scan again."
            )
        if file_stamp(path) != stamp:
            raise OutputError(f"{path} was changed during its repair, and is left so. Check again.")
        with told(path):
            put_in_place(unfinished, path)
    return job.result()


class _RepairRunner(ThreadRunner):
    """Work in threads on the counts that a damaged store still has."""

    def __init__(self, damaged: DamagedStore) -> None:
        super().__init__()
        self.damaged = damaged
        self.writer: RepairWriter | None = None
        self.recovered: list[int] = []

    def open_sink(self, path: Path, attributes: dict[str, Any]) -> RepairWriter:
        """Open the zip itself."""
        self.writer = RepairWriter(path, attributes, self.damaged)
        return self.writer

    def convert_blocks(
        self, filename: Path, plan: BlockPlan, sink: ChunkSink, todo: Sequence[int], report: Report
    ) -> None:
        """Convert one block after the other, each in all threads."""

        def read_chunk(name: str, index: tuple[int, ...]) -> npt.NDArray:
            return self.damaged.read_chunk(name, index, sink.layout(name))

        by_spectrum = self.damaged.layout(COUNTS_BY_SPECTRUM) or sink.layout(COUNTS_BY_SPECTRUM)
        counts = RecoveredCounts(plan, read_chunk, by_spectrum)
        with ThreadPoolExecutor(self.workers) as pool:
            run = partial(in_order, pool, ahead=2 * self.workers)
            for number in todo:
                block = counts.block(number)
                if not counts.lost:  # afterwards the rest is only looked at, to be told
                    convert_block(plan, block, number, sink, run=run, report=report)
        if counts.lost:
            more = f" (and {len(counts.lost) - 1:,} more)" if len(counts.lost) > 1 else ""
            raise ZipstoreError(
                f"{filename.name} cannot be repaired, and is as it was: {counts.lost[0]}{more} "
                "Convert the scan again."
            )
        self.recovered = counts.recovered


class _Repair(Pipeline):
    """A conversion of what a damaged store says that its scan was."""

    def __init__(self, damaged: DamagedStore, report: Callable[[Progress], None]) -> None:
        plan = damaged.plan()
        memory = max(BYTES_PER_COUNT * plan.n_channels * plan.block, _NOT_LESS_THAN)
        self.damaged, self.of_repair = damaged, _RepairRunner(damaged)
        super().__init__(
            damaged.scan,
            damaged.vendor,
            damaged.grid,
            damaged.flips,
            damaged.attributes,
            memory,
            self.of_repair,
            report,
            None,
        )
        self.plan = plan

    def result(self) -> RepairReport:
        """Return what was made anew, and what was left out."""
        writer = self.of_repair.writer
        repaired = [
            f"{name}: {count:,} of {np.prod(writer.layout(name).chunk_counts):,} chunks were made "
            "anew."
            for name, count in writer.renewed.items()
        ]
        repaired += [
            f"{name}: its description was made anew."
            for name in writer.described
            if name not in writer.renewed
        ]
        if self.of_repair.recovered:
            numbers = in_ranges(np.unique(self.of_repair.recovered))
            repaired.insert(
                0, f"the counts of spectra {numbers} were taken from {COUNTS_BY_CHANNEL}."
            )
        if not self.damaged.directory_is_whole:
            repaired.insert(0, "the zip's directory was made anew from the entries' own headers.")
        known = {f"{name}/" for name in (*writer.declared, *TIMES)}
        foreign = [
            key
            for key in sorted(self.damaged.keys())
            if not key.rpartition("/")[2].startswith(".")
            and not any(key.startswith(name) for name in known)
        ]
        lost = list(self.damaged.left_out)
        if foreign:
            lost.append(f"what no zipstore needs was left out: {', '.join(foreign[:3])}.")
        return RepairReport(tuple(repaired or ["headers and order of its entries."]), tuple(lost))

    def _check_source(self) -> None:
        """Let the damaged file be other than the scan: it is looked at before it is replaced."""

    def _find_lag(
        self,
        positions: npt.NDArray[np.float64],
        pitch: tuple[float, float],
        band_counts: Callable[[], npt.NDArray[np.uint32]],
    ) -> tuple[Lag, float]:
        """Return what the conversion found: a later version may find another."""
        kept = self.damaged.array_attributes(POSITIONS)
        try:
            return Lag.from_dict(kept["lag"]), float(kept["lag_corrected"])
        except (KeyError, TypeError, ValueError):
            return super()._find_lag(positions, pitch, band_counts)

    def _write_operator(self, sink: ChunkSink, raster: Raster, path: Path) -> None:
        """Make the interpolation anew; a whole one that would come out otherwise is kept."""
        kept = self.damaged.operator_layouts()
        ours = f"maxrf-dashboard {version('maxrf-dashboard')}"
        repeatable = self.attributes.get("program") == ours and not self.damaged.times_are_lost
        if kept is None or repeatable:
            super()._write_operator(sink, raster, path)
            return
        for name, layout in kept.items():
            sink.create_array(
                name,
                shape=layout.shape,
                dtype=layout.dtype,
                chunks=layout.chunks,
                codec=layout.codec,
                attributes=layout.attributes,
            )
            for index in np.ndindex(*layout.chunk_counts):
                sink.append_chunk(name, index, self.damaged.entry(chunk_key(name, index)))
