"""The stages of a conversion, from the blocks of spectra to the finished zipstore.

Memory is bounded by the block, whatever the length of the scan. Every chunk follows from the
scan and the parameters alone and is written in a fixed order: a conversion that was killed is
repeated up to where it came, which costs nothing for the chunks that are there, and then goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .blocks import BlockPlan
from .combine import CUBE_TILE, CubePlan
from .crono import CronoScan
from .errors import ConversionCancelled, CronoFileError
from .grid import Grid, VendorGrid
from .interpolation import Raster, operator_recipe
from .lag import AUTOMATIC, Lag, corrected_positions, estimate_lag
from .layout import ChunkSink
from .location import changed_meanwhile, file_stamp
from .operator_arrays import read_operator, write_operator
from .progress import Progress
from .runners import Report, Runner
from .schema import (
    BLOCK_MAX,
    BLOCK_MAX_SMOOTHED,
    BLOCK_TOTALS,
    ENERGIES,
    MAX_COUNTS,
    MAX_SMOOTHED,
    MAX_SPECTRUM,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    SPECTRA_TIMESTAMPS,
    SUM_SPECTRUM,
    TOTAL_COUNTS,
)
from .table import CountsTable, signal_channel

__all__ = ["Pipeline"]

logger = logging.getLogger(__name__)


class Pipeline:
    """One conversion.

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
        Memory for a block, in bytes.
    runner : Runner
        Who works on it.
    report : callable
        Is given the `Progress`.
    cancel : threading.Event or None
        Stops it at the next portion of work.
    """

    def __init__(
        self,
        scan: CronoScan,
        vendor: VendorGrid,
        grid: Grid,
        flips: tuple[bool, bool],
        attributes: dict[str, Any],
        memory_limit: int,
        runner: Runner,
        report: Callable[[Progress], None],
        cancel: threading.Event | None,
    ) -> None:
        self.scan, self.vendor, self.grid, self.flips = scan, vendor, grid, flips
        self.attributes, self.memory_limit, self.runner = attributes, memory_limit, runner
        self.report, self.cancel = report, cancel
        self.parameters = attributes["parameters"]
        self.plan = BlockPlan.within(
            scan.n_spectra,
            scan.n_channels,
            memory_limit,
            sigma=self.parameters["sigma"],
            smoothed=self.parameters["cubes"],
        )

    def run(self, path: Path) -> None:
        """Write the zipstore.

        Raises
        ------
        CronoFileError, OutputError, ConversionCancelled
            As `convert_crono`; what stood at `path` stays.
        """
        with self.runner.open_sink(path, self.attributes) as sink:
            self.plan.declare(sink)
            self._convert_blocks(sink)
            self._write_small_arrays(sink)
            table = CountsTable(sink, cache_bytes=self.memory_limit // 4)
            raster = self._write_positions(sink, table)
            self._write_operator(sink, raster, path)
            if self.parameters["cubes"]:
                self._write_cube(sink, table)
            table.close()
            self._check_cancelled()
            self._check_source()
            sink.commit()

    def _progress(self, stage: str, total: int) -> Report:
        """Return what a stage reports to, which is also where a conversion is cancelled."""

        def report(done: int) -> None:
            self.report(Progress(stage, done, total))
            self._check_cancelled()

        return report

    def _check_cancelled(self) -> None:
        if self.cancel is not None and self.cancel.is_set():
            msg = f"{self.scan.filename.name}: stopped; nothing was left behind."
            raise ConversionCancelled(msg)

    def _check_source(self) -> None:
        """Refuse a scan that changed since its size and time were noted: it is a mixture."""
        noted = self.attributes["source"]
        _, modified_ns, size = file_stamp(self.scan.filename)
        if (modified_ns, size) != (noted["modified_ns"], noted["size"]):
            raise CronoFileError(changed_meanwhile(self.scan.filename))

    def _convert_blocks(self, sink: ChunkSink) -> None:
        plan = self.plan
        report = self._progress("spectra", plan.n_spectra)
        blocks = range(plan.blocks)
        todo = [number for number in blocks if not sink.has_chunk(*plan.last_key(number))]
        if len(todo) < len(blocks):
            logger.info(
                "%s: %d of %d blocks were converted before; going on",
                self.scan.filename.name,
                len(blocks) - len(todo),
                len(blocks),
            )
        report(plan.n_spectra - sum(len(plan.spectra(number)) for number in todo))
        self.runner.convert_blocks(self.scan.filename, plan, sink, todo, report)

    def _write_small_arrays(self, sink: ChunkSink) -> None:
        scan, blocks = self.scan, range(self.plan.blocks)
        of_blocks = {
            name: np.concatenate([sink.read_chunk(name, (number, 0)) for number in blocks])
            for name in (BLOCK_TOTALS, BLOCK_MAX, BLOCK_MAX_SMOOTHED)
        }
        sink.write_array(ENERGIES, scan.energies, attributes={"units": "keV"})
        sink.write_array(TOTAL_COUNTS, of_blocks[BLOCK_TOTALS].sum(axis=0, dtype=np.uint64))
        sink.write_array(MAX_COUNTS, of_blocks[BLOCK_MAX].max(axis=0))
        sink.write_array(
            MAX_SMOOTHED,
            of_blocks[BLOCK_MAX_SMOOTHED].max(axis=0),
            attributes={"sigma_channels": self.parameters["sigma"]},
        )
        for name, times in (
            (SPECTRA_LIVE_TIMES, scan.live_times),
            (SPECTRA_REAL_TIMES, scan.real_times),
            (SPECTRA_TIMESTAMPS, scan.timestamps),
        ):
            if times is not None:
                sink.write_array(name, times, attributes={"units": "s"})
        sink.write_array(SELECTED, self.vendor.selected_index)
        sink.write_array(
            ROI_ENERGIES,
            np.array([[roi.low_kev, roi.high_kev] for roi in scan.rois]).reshape(-1, 2),
            attributes={"units": "keV", "names": [roi.name for roi in scan.rois]},
        )

    def _write_positions(self, sink: ChunkSink, table: CountsTable) -> Raster:
        """Write the positions and by how much they lag; return them as W is made from them."""
        scan, pitch = self.scan, (self.vendor.grid.dx, self.vendor.grid.dy)
        first = signal_channel(scan.energies)
        positions = scan.positions[:, :2].astype(np.float64)
        lag, corrected = self._find_lag(positions, pitch, lambda: table.band_counts(first))
        if lag.is_significant:
            logger.info("%s: %s", scan.filename.name, lag.sentence)
        sink.write_array(
            POSITIONS,
            scan.positions,
            attributes={"units": "motor steps", "lag": lag.to_dict(), "lag_corrected": corrected},
        )
        return Raster(
            corrected_positions(positions, corrected),
            self.grid,
            self.vendor.selected_index,
            pitch,
            lambda: table.band_counts(first),
            scan.live_times,
        )

    def _find_lag(
        self,
        positions: npt.NDArray[np.float64],
        pitch: tuple[float, float],
        band_counts: Callable[[], npt.NDArray[np.uint32]],
    ) -> tuple[Lag, float]:
        """Return the lag that the scan shows, and the one to correct."""
        lag, corrected = estimate_lag(positions, pitch, band_counts()), self.parameters["lag"]
        if corrected == AUTOMATIC:
            corrected = lag.periods if lag.is_significant else 0.0
        return lag, corrected

    def _write_operator(self, sink: ChunkSink, raster: Raster, path: Path) -> None:
        method = self.parameters["method"]
        report = self._progress("operator", self.grid.size)
        report(0)
        recipe = operator_recipe(method, raster)
        write_operator(sink, method, recipe, self.scan.n_spectra, path, report)

    def _write_cube(self, sink: ChunkSink, table: CountsTable) -> None:
        method, sigma = self.parameters["method"], self.parameters["sigma"]
        operator = read_operator(sink, method, self.grid.shape, self.scan.n_spectra)
        tile = tuple(min(CUBE_TILE, size) for size in operator.shape)
        plan = CubePlan(operator, sigma, self.flips, self.parameters["orientation"], tile)
        plan.declare(sink, self.plan.n_channels)
        total, cells = np.zeros(self.plan.n_channels), 0
        highest = np.full(self.plan.n_channels, -np.inf, dtype=np.float32)
        report = self._progress("cube", operator.shape[0] * operator.shape[1])
        for tile in self.runner.convert_cube(plan, table, sink, report):
            total += tile.total
            cells += tile.cells
            np.maximum(highest, tile.highest, out=highest)
        if not cells:
            total[:], highest[:] = np.nan, np.nan
        note = {"cells": cells, "sigma_channels": sigma}
        sink.write_array(
            SUM_SPECTRUM,
            (total / max(cells, 1)).astype(np.float32),
            attributes={**note, "meaning": "mean over the cells of the cube, in spite of its name"},
        )
        sink.write_array(
            MAX_SPECTRUM,
            highest,
            attributes={**note, "meaning": "maximum over the cells of the cube"},
        )
