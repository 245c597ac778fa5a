"""The blocks of a conversion: read, count, transpose, smooth and compress each once.

Blocks of spectra are dask tasks. What they give is appended in the order of the scan while
the next ones are computed, so that equal input makes an equal file. Memory is bounded by the
block, whatever the length of the scan.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import numpy.typing as npt

from .combine import cube_block
from .counts import block_statistics, sum_channels, transpose_counts
from .crono import CronoScan, open_spectra, read_spectra_block
from .errors import ConversionCancelled
from .grid import Grid, VendorGrid
from .interpolation import Operator, Raster, build_operator
from .progress import Progress
from .schema import (
    ALL_SPECTRA,
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    CUBE,
    ENERGIES,
    MAX_COUNTS,
    MAX_SMOOTHED,
    MAX_SPECTRUM,
    OPERATOR_GROUP,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    SPECTRA_TIMESTAMPS,
    SPECTRA_TOTALS,
    SUM_SPECTRUM,
    TOTAL_COUNTS,
)
from .smoothing import smooth_spectra
from .store import FLOAT_CODEC, ZipstoreWriter
from .table import CountsTable, signal_channel

__all__ = ["Pipeline"]

_SPECTRA_PER_CHUNK = 128  # 1 MiB of 4096 channels: a spectrum is read in under a millisecond
_SPECTRA_PER_TASK = 1024
_LONGEST_BLOCK = 262_144
_CELLS_PER_CHUNK = 1024


@dataclass(frozen=True)
class _Plan:
    """How a scan is cut into blocks."""

    n_spectra: int
    n_channels: int
    block: int
    workers: int

    @property
    def groups(self) -> int:
        return -(-self.n_channels // CHANNELS_PER_GROUP)

    @property
    def all_spectra_chunk(self) -> int:
        return min(_SPECTRA_PER_TASK, self.n_spectra)


class Pipeline:
    """One conversion: its blocks, its statistics and its output.

    Parameters
    ----------
    scan : CronoScan
        The scan; its spectra are read once.
    vendor : VendorGrid
        Its own map.
    grid : Grid
        The cells to interpolate to.
    flips : (bool, bool)
        Whether the rows and columns of the exported cube run against y and x.
    attributes : dict
        Root attributes of the zipstore.
    memory_limit : int
        Memory for blocks, in bytes.
    report : callable
        Is given the `Progress`.
    cancel : threading.Event or None
        Stops it at the next block.
    """

    def __init__(
        self,
        scan: CronoScan,
        vendor: VendorGrid,
        grid: Grid,
        flips: tuple[bool, bool],
        attributes: dict[str, Any],
        memory_limit: int,
        report: Callable[[Progress], None],
        cancel: threading.Event | None,
    ) -> None:
        self.scan, self.vendor, self.grid, self.flips = scan, vendor, grid, flips
        self.attributes, self.memory_limit = attributes, memory_limit
        self.report, self.cancel = report, cancel
        self.parameters = attributes["parameters"]
        n, c = scan.n_spectra, scan.n_channels
        fitting = memory_limit // (4 * c) // _SPECTRA_PER_TASK * _SPECTRA_PER_TASK
        block = min(max(fitting, _SPECTRA_PER_TASK), _LONGEST_BLOCK)
        self.plan = _Plan(n, c, min(block, n), os.cpu_count() or 1)
        self.total = np.zeros(c, dtype=np.uint64)
        self.highest = np.zeros(c, dtype=np.uint16)
        self.highest_smoothed = np.zeros(c, dtype=np.float32)
        self.per_spectrum = np.zeros(n, dtype=np.uint32)

    def run(self, path: Path) -> None:
        """Write the zipstore.

        Raises
        ------
        CronoFileError, OutputError, ConversionCancelled
            As `convert_crono`; what stood at `path` stays.
        """
        with ZipstoreWriter(path, self.attributes) as writer, ThreadPoolExecutor(1) as appender:
            self.writer, self.appender = writer, appender
            self._create_arrays()
            with open_spectra(self.scan.filename) as spectra:
                for start in range(0, self.plan.n_spectra, self.plan.block):
                    self._convert_block(spectra, start)
            self._write_small_arrays()
            operator = self._write_operator()
            if self.parameters["cubes"]:
                self._write_cube(operator)
            self._check_cancelled()
            writer.commit()

    # --- the pass over the spectra ----------------------------------------------------

    def _create_arrays(self) -> None:
        plan, writer = self.plan, self.writer
        n, c = plan.n_spectra, plan.n_channels
        per_chunk = min(_SPECTRA_PER_CHUNK, n)
        writer.create_array(
            COUNTS_BY_SPECTRUM, shape=(n, c), dtype=np.uint16, chunks=(per_chunk, c)
        )
        writer.create_array(
            COUNTS_BY_CHANNEL,
            shape=(c, n),
            dtype=np.uint16,
            chunks=(min(CHANNELS_PER_GROUP, c), plan.block),
        )
        writer.create_array(
            COUNTS_CUMULATIVE,
            shape=(plan.groups + 1, n),
            dtype=np.uint32,
            chunks=(1, plan.block),
            attributes={
                "channels_per_row": CHANNELS_PER_GROUP,
                "meaning": "counts of each spectrum below channel row * channels_per_row",
            },
        )
        if self.parameters["cubes"]:
            writer.create_array(
                ALL_SPECTRA,
                shape=(n, c),
                dtype=np.float32,
                chunks=(plan.all_spectra_chunk, c),
                codec=FLOAT_CODEC,
                attributes={"sigma_channels": self.parameters["sigma"]},
            )

    def _convert_block(self, spectra: h5py.Dataset, start: int) -> None:
        """Convert the spectra of one chunk of the by-channel arrays."""
        stop = min(start + self.plan.block, self.plan.n_spectra)
        by_channel = np.zeros((self.plan.n_channels, stop - start), dtype=np.uint16)
        self._run(
            [
                dask.delayed(self._convert_spectra)(
                    spectra, first, min(first + _SPECTRA_PER_TASK, stop), by_channel, start
                )
                for first in range(start, stop, _SPECTRA_PER_TASK)
            ],
            self._finish_spectra,
        )
        index = start // self.plan.block
        below = np.zeros(stop - start, dtype=np.uint32)
        self.writer.write_chunk(COUNTS_CUMULATIVE, (0, index), below[None])
        groups = range(self.plan.groups)
        sums = np.zeros((self.plan.workers * 4, stop - start), dtype=np.uint32)
        for first in range(0, len(groups), len(sums)):
            wave = groups[first : first + len(sums)]
            self._run(
                [
                    dask.delayed(self._encode_channels)(by_channel, g, index, sums[i])
                    for i, g in enumerate(wave)
                ],
                self._append,
            )
            encode = self.writer.layout(COUNTS_CUMULATIVE).encode
            for i in range(len(wave)):
                below = below + sums[i]
                sums[i] = below
            self._run(
                [
                    dask.delayed(_encoded)(
                        encode, COUNTS_CUMULATIVE, (group + 1, index), sums[i][None]
                    )
                    for i, group in enumerate(wave)
                ],
                self._append,
            )

    def _convert_spectra(
        self, spectra: h5py.Dataset, start: int, stop: int, by_channel: npt.NDArray, origin: int
    ) -> tuple[Any, ...]:
        counts = read_spectra_block(spectra, start, stop)
        transpose_counts(counts, by_channel, start - origin)
        total = np.zeros(self.plan.n_channels, dtype=np.uint64)
        highest = np.zeros(self.plan.n_channels, dtype=np.uint16)
        per_spectrum = np.empty(len(counts), dtype=np.uint32)
        block_statistics(counts, total, highest, per_spectrum)
        smoothed = smooth_spectra(counts, self.parameters["sigma"])
        layout = self.writer.layout(COUNTS_BY_SPECTRUM)
        step = layout.chunks[0]
        encoded = [
            _encoded(
                layout.encode, COUNTS_BY_SPECTRUM, ((start + i) // step, 0), counts[i : i + step]
            )
            for i in range(0, len(counts), step)
        ]
        if self.parameters["cubes"]:
            encode = self.writer.layout(ALL_SPECTRA).encode
            index = (start // self.plan.all_spectra_chunk, 0)
            encoded.append(_encoded(encode, ALL_SPECTRA, index, smoothed))
        return start, total, highest, smoothed.max(axis=0), per_spectrum, encoded

    def _finish_spectra(self, result: tuple[Any, ...]) -> None:
        start, total, highest, highest_smoothed, per_spectrum, encoded = result
        self.total += total
        np.maximum(self.highest, highest, out=self.highest)
        np.maximum(self.highest_smoothed, highest_smoothed, out=self.highest_smoothed)
        self.per_spectrum[start : start + len(per_spectrum)] = per_spectrum
        for item in encoded:
            self._append(item)
        self.report(Progress("spectra", start + len(per_spectrum), self.plan.n_spectra))

    def _encode_channels(
        self, by_channel: npt.NDArray, group: int, block: int, sums: npt.NDArray
    ) -> _Encoded:
        channels = by_channel[group * CHANNELS_PER_GROUP : (group + 1) * CHANNELS_PER_GROUP]
        sums[:] = 0
        sum_channels(channels, sums)
        encode = self.writer.layout(COUNTS_BY_CHANNEL).encode
        return _encoded(encode, COUNTS_BY_CHANNEL, (group, block), channels)

    def _append(self, item: _Encoded) -> None:
        name, index, data = item
        self.writer.append_chunk(name, index, data)

    def _check_cancelled(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            msg = f"the conversion of {self.scan.filename.name} was cancelled."
            raise ConversionCancelled(msg)

    def _run(self, tasks: Sequence[Any], finish: Callable[[Any], None]) -> None:
        """Compute tasks in waves; hand on the results of one while the next is computed."""
        handing_on = None
        size = self.plan.workers * 2
        for first in range(0, len(tasks), size):
            self._check_cancelled()
            results = dask.compute(
                *tasks[first : first + size], scheduler="threads", num_workers=self.plan.workers
            )
            if handing_on is not None:
                handing_on.result()
            handing_on = self.appender.submit(_each, finish, results)
        if handing_on is not None:
            handing_on.result()

    # --- what follows from it -----------------------------------------------------------

    def _write_small_arrays(self) -> None:
        scan, writer = self.scan, self.writer
        writer.write_array(ENERGIES, scan.energies, attributes={"units": "keV"})
        writer.write_array(TOTAL_COUNTS, self.total)
        writer.write_array(MAX_COUNTS, self.highest)
        writer.write_array(
            MAX_SMOOTHED,
            self.highest_smoothed,
            attributes={"sigma_channels": self.parameters["sigma"]},
        )
        writer.write_array(POSITIONS, scan.positions, attributes={"units": "motor steps"})
        writer.write_array(SPECTRA_TOTALS, self.per_spectrum)
        for name, times in (
            (SPECTRA_LIVE_TIMES, scan.live_times),
            (SPECTRA_REAL_TIMES, scan.real_times),
            (SPECTRA_TIMESTAMPS, scan.timestamps),
        ):
            if times is not None:
                writer.write_array(name, times, attributes={"units": "s"})
        writer.write_array(SELECTED, self.vendor.selected_index)
        writer.write_array(
            ROI_ENERGIES,
            np.array([[roi.low_kev, roi.high_kev] for roi in scan.rois]).reshape(-1, 2),
            attributes={"units": "keV", "names": [roi.name for roi in scan.rois]},
        )

    def _write_operator(self) -> Operator:
        self.report(Progress("operator", 0, 1))
        vendor = self.vendor.grid
        first = signal_channel(self.scan.energies)
        self.table = CountsTable(self.writer, cache_bytes=self.memory_limit // 4)
        raster = Raster(
            self.scan.positions[:, :2].astype(np.float64),
            self.grid,
            self.vendor.selected_index,
            (vendor.dx, vendor.dy),
            lambda: self.table.band_counts(first),
        )
        operator = build_operator(self.parameters["method"], raster)
        matrix, name = operator.matrix, f"{OPERATOR_GROUP}/{operator.method}"
        self.writer.write_array(
            f"{name}/indptr", matrix.indptr, attributes={"parameters": operator.parameters}
        )
        self.writer.write_array(f"{name}/indices", matrix.indices)
        self.writer.write_array(f"{name}/weights", matrix.data)
        self.report(Progress("operator", 1, 1))
        return operator

    def _write_cube(self, operator: Operator) -> None:
        height, width = operator.shape
        c = self.plan.n_channels
        columns = min(width, _CELLS_PER_CHUNK)
        rows = min(height, max(1, _CELLS_PER_CHUNK // columns))
        self.writer.create_array(
            CUBE,
            shape=(height, width, c),
            dtype=np.float32,
            chunks=(rows, columns, c),
            codec=FLOAT_CODEC,
            attributes={
                "sigma_channels": self.parameters["sigma"],
                "method": operator.method,
                "orientation": self.parameters["orientation"],
            },
        )
        summed, valid = np.zeros(c), 0
        highest = np.full(c, -np.inf, dtype=np.float32)

        def encode_cells(index: tuple[int, int]) -> tuple[Any, ...]:
            wanted = (
                slice(index[0] * rows, min((index[0] + 1) * rows, height)),
                slice(index[1] * columns, min((index[1] + 1) * columns, width)),
            )
            source = tuple(
                slice(size - part.stop, size - part.start) if flip else part
                for part, size, flip in zip(wanted, operator.shape, self.flips, strict=True)
            )
            cells = cube_block(self.table, operator, *source, sigma=self.parameters["sigma"])
            full = cells[~operator.empty[source]]
            top = full.max(axis=0) if len(full) else highest
            item = _encoded(
                self.writer.layout(CUBE).encode,
                CUBE,
                (*index, 0),
                cells[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1],
            )
            return item, full.sum(axis=0, dtype=np.float64), len(full), top, cells.shape[:2]

        done = 0

        def finish(result: tuple[Any, ...]) -> None:
            nonlocal valid, done
            item, part, count, top, shape = result
            self._append(item)
            summed[:] += part
            valid += count
            np.maximum(highest, top, out=highest)
            done += shape[0] * shape[1]
            self.report(Progress("cube", done, height * width))

        chunks = np.ndindex(-(-height // rows), -(-width // columns))
        self._run([dask.delayed(encode_cells)(index) for index in chunks], finish)
        self.table.close()
        note = {"cells": valid, "sigma_channels": self.parameters["sigma"]}
        mean = summed / valid if valid else np.full(c, np.nan)
        self.writer.write_array(
            SUM_SPECTRUM,
            mean.astype(np.float32),
            attributes={**note, "meaning": "mean over the cells of the cube, in spite of its name"},
        )
        self.writer.write_array(
            MAX_SPECTRUM,
            highest if valid else np.full(c, np.nan, dtype=np.float32),
            attributes={**note, "meaning": "maximum over the cells of the cube"},
        )


_Encoded = tuple[str, tuple[int, ...], bytes]


def _encoded(
    encode: Callable[[npt.NDArray], bytes], name: str, index: tuple[int, ...], chunk: npt.NDArray
) -> _Encoded:
    return name, index, encode(chunk)


def _each(function: Callable[[Any], None], items: Sequence[Any]) -> None:
    for item in items:
        function(item)
