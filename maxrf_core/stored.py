"""What a zipstore holds of a scan: its small arrays, and the operators made from its positions."""

from __future__ import annotations

import os
import threading
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .calibration import recalibrated
from .crono import Roi
from .errors import MaxrfError, ZipstoreError
from .grid import Grid, cube_flips
from .interpolation import Operator, Raster, build_operator, check_method
from .lag import Lag, check_lag, corrected_positions, estimate_lag
from .operator_arrays import has_operator, read_operator
from .schema import (
    ENERGIES,
    MAX_COUNTS,
    MAX_SMOOTHED,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    TOTAL_COUNTS,
)
from .sidecar import read_sidecar
from .store import StoreReader
from .table import DEFAULT_CACHE_BYTES, CountsTable, signal_channel

__all__ = ["StoredScan"]

_OPERATORS_KEPT = 4


class StoredScan:
    """A scan in a zipstore, without what is computed from its counts; see `Scan`."""

    def __init__(
        self, location: str | os.PathLike[str], *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._reader = StoreReader(location)
        self.location, self.name = self._reader.location, self._reader.name
        self.filename: Path | None = self._reader.path
        try:
            self._load(cache_bytes)
        except MaxrfError:
            self._reader.close()
            raise
        except (KeyError, TypeError, ValueError) as error:
            self._reader.close()
            msg = f"{self.name}: the description of the scan is damaged ({error!r})."
            raise ZipstoreError(msg) from error

    def _load(self, cache_bytes: int) -> None:
        reader = self._reader
        attributes = reader.attributes
        self.metadata: dict[str, Any] = attributes["metadata"]
        self.parameters: dict[str, Any] = attributes["parameters"]
        self.source: dict[str, Any] = attributes["source"]
        self.grid = Grid.from_dict(attributes["grid"])
        vendor = Grid.from_dict(attributes["vendor_grid"])
        self.pitch = (vendor.dx, vendor.dy)
        self.cube_flips = cube_flips(
            self.parameters["orientation"],
            rows_flipped=attributes["vendor_grid"]["rows_flipped"],
            columns_flipped=attributes["vendor_grid"]["columns_flipped"],
        )
        self.method = check_method(self.parameters["method"])
        self.conversion_sigma = float(self.parameters["sigma"])
        self.file_energies = _read_only(reader.read_array(ENERGIES))
        self.calibration = self._read_calibration()
        self.energies = self.file_energies
        if self.calibration is not None:
            self.energies = _read_only(recalibrated(len(self.energies), **self.calibration))
        self.lag_corrected = float(reader.layout(POSITIONS).attributes.get("lag_corrected", 0.0))
        self.positions = _read_only(reader.read_array(POSITIONS)[:, :2].astype(np.float64))
        self.selected_index = _read_only(reader.read_array(SELECTED))
        self.total_spectrum = _read_only(reader.read_array(TOTAL_COUNTS))
        self.max_counts = _read_only(reader.read_array(MAX_COUNTS))
        self.max_smoothed = _read_only(reader.read_array(MAX_SMOOTHED))
        self.live_times = None
        if SPECTRA_LIVE_TIMES in reader:
            self.live_times = _read_only(reader.read_array(SPECTRA_LIVE_TIMES))
        names = reader.layout(ROI_ENERGIES).attributes["names"]
        self.rois = tuple(
            Roi(str(name), float(low), float(high))
            for name, (low, high) in zip(names, reader.read_array(ROI_ENERGIES), strict=True)
        )
        self._table = CountsTable(reader, cache_bytes=cache_bytes)
        self.n_spectra, self.n_channels = self._table.n_spectra, self._table.n_channels
        # Closes the file even when everybody only forgets the scan instead of closing it.
        # The table holds on to no scan, but lazy arrays hold on to the table.
        self._finalizer = weakref.finalize(self._table, reader.close)
        self._operators: dict[tuple[str, float], Operator] = {}
        self._operator_lock = threading.Lock()

    def _read_calibration(self) -> dict[str, Any] | None:
        """Return points and degree of a calibration kept beside the scan, if there is one."""
        return None if self.filename is None else read_sidecar(self.filename).get("calibration")

    def close(self) -> None:
        """Close the file; the scan cannot be used any more."""
        self._table.close()
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.grid.shape
        return (
            f"<Scan {self.name!r}: {self.n_spectra:,} spectra of {self.n_channels} "
            f"channels, grid of {height} x {width} cells>"
        )

    @property
    def cache_info(self) -> dict[str, int]:
        """Decompressed chunks of counts held, their bytes, and the bytes allowed."""
        return self._table.cache_info

    # --- operators ----------------------------------------------------------------------

    def operator(self, method: str | None = None, *, lag: float | None = None) -> Operator:
        """Return the interpolation W of a method.

        Parameters
        ----------
        method : {"selected", "nearest", "linear", "kriging"}, optional
            By default the one that the scan was converted with, which is stored; the
            others are built when first asked for, and kept.
        lag : float, optional
            By how many spectra the exposures are later than the positions recorded with them,
            which shifts even and odd rows against each other; by default `lag_corrected`,
            what the conversion corrected. ``selected`` is the vendor's choice, which knows of
            no lag.

        Raises
        ------
        ParameterError
            If there is no such method, or the lag is not finite.
        """
        method, lag = self.interpolation(method, lag)
        key = (method, 0.0 if method == "selected" else lag)
        operator = self._operators.get(key)
        if operator is None:
            with self._operator_lock:
                operator = self._operators.get(key)
                if operator is None:
                    operator = self._load_operator(method, lag)
                    self._operators[key] = operator
                    while len(self._operators) > _OPERATORS_KEPT:
                        del self._operators[next(iter(self._operators))]
        return operator

    def interpolation(
        self, method: str | None = None, lag: float | None = None
    ) -> tuple[str, float]:
        """Return method and lag as `operator` takes them: what is left out is the conversion's.

        Raises
        ------
        ParameterError
            If there is no such method, or the lag is not finite.
        """
        method = check_method(self.method if method is None else method)
        return method, self.lag_corrected if lag is None else check_lag(lag)

    def _load_operator(self, method: str, lag: float) -> Operator:
        if lag == self.lag_corrected and has_operator(self._reader, method):
            return read_operator(self._reader, method, self.grid.shape, self.n_spectra)
        return build_operator(method, self._raster(lag))

    def _raster(self, lag: float) -> Raster:
        return Raster(
            corrected_positions(self.positions, lag),
            self.grid,
            self.selected_index,
            self.pitch,
            self._band_counts,
            self.live_times,
        )

    def _band_counts(self) -> npt.NDArray[np.uint32]:
        return self._table.band_counts(signal_channel(self.file_energies))

    @cached_property
    def lag(self) -> Lag:
        """The lag between positions and exposures as the scan itself shows it.

        Found by the conversion; for an older zipstore, when first asked for.
        """
        kept = self._reader.layout(POSITIONS).attributes.get("lag")
        if kept is not None:
            return Lag.from_dict(kept)
        return estimate_lag(self.positions, self.pitch, self._band_counts())

    # --- energies -----------------------------------------------------------------------

    @property
    def kev_per_channel(self) -> float:
        """Mean width of a channel in keV."""
        if self.n_channels == 1:
            return 0.0
        return float(self.energies[-1] - self.energies[0]) / (self.n_channels - 1)

    # --- time ---------------------------------------------------------------------------

    @cached_property
    def dead_time_fraction(self) -> npt.NDArray[np.float64] | None:
        """Share of each spectrum's real time in which the detector was busy, (n,), 0 to 1.

        1 - live time / real time (Knoll, *Radiation Detection and Measurement*, 2010, ch. 4);
        None where the file has not both.
        """
        if self.live_times is None or SPECTRA_REAL_TIMES not in self._reader:
            return None
        real = self._reader.read_array(SPECTRA_REAL_TIMES)
        live = np.divide(self.live_times, real, out=np.ones(self.n_spectra), where=real > 0)
        return _read_only(np.clip(1.0 - live, 0.0, 1.0))


def _read_only(values: npt.NDArray) -> npt.NDArray:
    values.flags.writeable = False
    return values
