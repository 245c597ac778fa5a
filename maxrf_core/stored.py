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
from .errors import MaxrfError, ZipstoreError
from .grid import Grid, cube_flips
from .interpolation import Operator, Raster, build_operator, check_method
from .lag import Lag, check_lag, corrected_positions, estimate_lag
from .layout import shortened
from .operator_arrays import has_operator, read_operator
from .scan_arrays import (
    check_tables,
    read_energies,
    read_numbers,
    read_positions,
    read_rois,
    read_selected,
    require_layout,
    usable_metadata,
)
from .schema import (
    MAX_COUNTS,
    MAX_SMOOTHED,
    OPERATOR_GROUP,
    POSITIONS,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    TOTAL_COUNTS,
)
from .sidecar import read_sidecar
from .smoothing import check_sigma
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
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            self._reader.close()
            msg = f"{self.name}: the description of the scan is damaged ({shortened(error)})."
            raise ZipstoreError(msg) from error

    def _load(self, cache_bytes: int) -> None:
        reader = self._reader
        self._describe(reader.attributes)
        self.n_spectra, self.n_channels = n, c = check_tables(reader)
        self.file_energies = _read_only(read_energies(reader, c))
        self.calibration = self._read_calibration()
        self.energies = self.file_energies
        if self.calibration is not None:
            self.energies = _read_only(recalibrated(len(self.energies), **self.calibration))
        self.positions = _read_only(read_positions(reader, n))
        self._read_lags(reader.layout(POSITIONS).attributes)
        self.selected_index = _read_only(read_selected(reader, self._vendor.shape, n))
        self.total_spectrum = _read_only(read_numbers(reader, TOTAL_COUNTS, (c,), "iu"))
        self.max_counts = _read_only(read_numbers(reader, MAX_COUNTS, (c,), "iu"))
        self.max_smoothed = _read_only(read_numbers(reader, MAX_SMOOTHED, (c,), "f"))
        self.live_times = None
        if SPECTRA_LIVE_TIMES in reader:
            self.live_times = _read_only(read_numbers(reader, SPECTRA_LIVE_TIMES, (n,), "f"))
        self.rois = read_rois(reader)
        if has_operator(reader, self.method):  # whose grid is then as large as it says
            require_layout(
                reader, f"{OPERATOR_GROUP}/{self.method}/indptr", (self.grid.size + 1,), "iu"
            )
        self._table = CountsTable(reader, cache_bytes=cache_bytes)
        # Closes the file even when everybody only forgets the scan instead of closing it.
        # The table holds on to no scan, but lazy arrays hold on to the table.
        self._finalizer = weakref.finalize(self._table, reader.close)
        self._operators: dict[tuple[str, float], Operator] = {}
        self._operator_lock = threading.Lock()

    def _describe(self, attributes: dict[str, Any]) -> None:
        """Take what the root attributes say of the scan."""
        parts = [attributes[name] for name in ("metadata", "parameters", "source")]
        if not all(isinstance(part, dict) for part in parts):
            raise TypeError("metadata, parameters and source have to be objects")
        metadata, self.parameters, self.source = parts
        self.metadata = usable_metadata(metadata)
        if not isinstance(self.source["name"], str):
            raise TypeError("the source's name is no text")
        self.grid = Grid.from_dict(attributes["grid"])
        self._vendor = vendor = Grid.from_dict(attributes["vendor_grid"])
        self.pitch = (vendor.dx, vendor.dy)
        self.cube_flips = cube_flips(
            self.parameters["orientation"],
            rows_flipped=bool(attributes["vendor_grid"]["rows_flipped"]),
            columns_flipped=bool(attributes["vendor_grid"]["columns_flipped"]),
        )
        self.method = check_method(self.parameters["method"])
        self.conversion_sigma = check_sigma(self.parameters["sigma"])
        if not isinstance(self.conversion_sigma, float):
            raise TypeError("sigma is an array; expected a number")

    def _read_lags(self, attributes: dict[str, Any]) -> None:
        """Take the lag that was corrected, and the one that the conversion found."""
        self.lag_corrected = check_lag(attributes.get("lag_corrected", 0.0))
        kept = attributes.get("lag")
        self._kept_lag = None if kept is None else Lag.from_dict(kept)

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
        if self._kept_lag is not None:
            return self._kept_lag
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
        real = read_numbers(self._reader, SPECTRA_REAL_TIMES, (self.n_spectra,), "f")
        live = np.divide(self.live_times, real, out=np.ones(self.n_spectra), where=real > 0)
        return _read_only(np.clip(1.0 - live, 0.0, 1.0))


def _read_only(values: npt.NDArray) -> npt.NDArray:
    values.flags.writeable = False
    return values
