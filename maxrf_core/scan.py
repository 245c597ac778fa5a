"""A converted scan: maps, spectra and the cube, computed from the counts when asked for."""

from __future__ import annotations

import os
import threading
import weakref
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from .combine import cube_block
from .crono import Roi
from .errors import ParameterError, ZipstoreError
from .grid import Grid, cube_flips
from .interpolation import Operator, Raster, build_operator, check_method
from .operator_arrays import has_operator, read_operator
from .schema import (
    ENERGIES,
    MAX_COUNTS,
    MAX_SMOOTHED,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    TOTAL_COUNTS,
)
from .smoothing import check_sigma, smooth_spectra, smooth_window
from .store import StoreReader
from .table import DEFAULT_CACHE_BYTES, CountsTable, signal_channel

__all__ = ["Scan", "open_scan"]

_CELLS_PER_BLOCK = 1024  # of the lazy cube: 16 MiB of 4096 channels


def open_scan(
    zipstore_filename: str | os.PathLike[str], *, cache_bytes: int = DEFAULT_CACHE_BYTES
) -> Scan:
    """Open a zipstore for maps and spectra.

    Parameters
    ----------
    zipstore_filename : path or str
        What `convert_crono` wrote; a folder of its entries; or the URL of either, which is
        read by parts: http, https, s3 and whatever else fsspec knows.
    cache_bytes : int
        Decompressed counts kept at most, in bytes.

    Returns
    -------
    Scan
        Open it once a process and share it: it may be used from several threads. Close
        it, or use it as a context manager.

    Raises
    ------
    ZipstoreError
        If the file is not there, cut short, of another schema version, or cannot be
        reached.
    """
    return Scan(zipstore_filename, cache_bytes=cache_bytes)


class Scan:
    """A scan in a zipstore. Made by `open_scan`.

    Attributes
    ----------
    location : str
        The zipstore or folder, by path or URL.
    name : str
        What messages call it: the file's name, or the URL without secrets.
    filename : Path or None
        The zipstore or folder; None for a URL.
    energies : (c,) float32
        Energy of each channel in keV.
    positions : (n, 2) float64
        Motor positions x, y in motor steps.
    selected_index : (h, w) int64
        The vendor's choice of a spectrum for each cell of the vendor's grid.
    live_times : (n,) float64 or None
        Live time of each spectrum in seconds.
    grid : Grid
        The regular grid of all maps and of the cube.
    rois : tuple of Roi
        The file's own energy windows.
    metadata : dict
        Instrument settings and dates as the Crono file has them.
    total_spectrum : (c,) uint64
        Counts of all spectra together.
    max_counts : (c,) uint16
        Highest count of any spectrum.
    max_smoothed : (c,) float32
        Highest value of any spectrum, smoothed with `conversion_sigma`.
    """

    def __init__(
        self, location: str | os.PathLike[str], *, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> None:
        self._reader = StoreReader(location)
        self.location, self.name = self._reader.location, self._reader.name
        self.filename: Path | None = self._reader.path
        try:
            self._load(cache_bytes)
        except (KeyError, TypeError, ValueError) as error:
            self._reader.close()
            msg = f"{self.name}: the description of the scan is damaged ({error!r})."
            raise ZipstoreError(msg) from error
        except ZipstoreError:
            self._reader.close()
            raise

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
        self.energies = _read_only(reader.read_array(ENERGIES))
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
        self._operators: dict[str, Operator] = {}
        self._operator_lock = threading.Lock()

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

    def operator(self, method: str | None = None) -> Operator:
        """Return the interpolation W of a method.

        Parameters
        ----------
        method : {"selected", "nearest", "linear", "kriging"}, optional
            By default the one that the scan was converted with, which is stored; the
            others are built when first asked for, and kept.

        Raises
        ------
        ParameterError
            If there is no such method.
        """
        method = check_method(self.method if method is None else method)
        operator = self._operators.get(method)
        if operator is None:
            with self._operator_lock:
                operator = self._operators.get(method)
                if operator is None:
                    operator = self._load_operator(method)
                    self._operators[method] = operator
        return operator

    def _load_operator(self, method: str) -> Operator:
        if not has_operator(self._reader, method):
            return build_operator(method, self._raster)
        return read_operator(self._reader, method, self.grid.shape, self.n_spectra)

    @cached_property
    def _raster(self) -> Raster:
        first = signal_channel(self.energies)
        return Raster(
            self.positions,
            self.grid,
            self.selected_index,
            self.pitch,
            lambda: self._table.band_counts(first),
        )

    # --- energies -----------------------------------------------------------------------

    @property
    def kev_per_channel(self) -> float:
        """Mean width of a channel in keV."""
        if self.n_channels == 1:
            return 0.0
        return float(self.energies[-1] - self.energies[0]) / (self.n_channels - 1)

    def channels_of(self, low_kev: float, high_kev: float) -> slice:
        """Return the channels whose energy lies in [low_kev, high_kev).

        Raises
        ------
        ParameterError
            If an energy is not finite, or `low_kev` is above `high_kev`.
        """
        try:
            limits = np.array([low_kev, high_kev], dtype=np.float64)
        except (TypeError, ValueError):
            limits = np.full(2, np.nan)
        if not (np.isfinite(limits).all() and limits[0] <= limits[1]):
            msg = (
                f"the energy window is {low_kev!r} to {high_kev!r} keV; expected two finite "
                "energies, the lower first."
            )
            raise ParameterError(msg)
        # Compared as float64: a float32 energy is never rounded onto a limit.
        first, last = np.searchsorted(self.energies.astype(np.float64), limits)
        return slice(int(first), int(last))

    def _window(self, low_kev: float, high_kev: float, sigma: float) -> npt.NDArray[np.float64]:
        window = np.zeros(self.n_channels)
        window[self.channels_of(low_kev, high_kev)] = 1.0
        return smooth_window(window, sigma)

    # --- spectra ------------------------------------------------------------------------

    def spectrum(self, index: int, *, sigma: float = 0) -> npt.NDArray:
        """Return one spectrum.

        Parameters
        ----------
        index : int
            Number of the spectrum, 0 to n - 1.
        sigma : float
            Gaussian smoothing in channels.

        Returns
        -------
        spectrum : (c,) uint16, or float32 when smoothed
            Counts.

        Raises
        ------
        ParameterError
            If there is no such spectrum, or `sigma` has no meaning.
        """
        return smooth_spectra(self._table.spectra(np.array([index]))[0], sigma)

    def cell_spectrum(
        self, row: int, column: int, *, sigma: float = 0, method: str | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the interpolated spectrum of a cell: a row of W S.

        Parameters
        ----------
        row, column : int
            The cell; row 0 has the smallest y.
        sigma : float
            Gaussian smoothing in channels.
        method : str, optional
            Interpolation method.

        Returns
        -------
        spectrum : (c,) float32
            Counts; NaN for a cell without a datum.

        Raises
        ------
        ParameterError
            If there is no such cell or method, or `sigma` has no meaning.
        """
        index, weights = self.operator(method).cell_weights(row, column)
        if len(index) == 0:
            check_sigma(sigma)
            return np.full(self.n_channels, np.nan, dtype=np.float32)
        spectrum = self._table.weighted_spectrum(index, weights)
        return smooth_spectra(spectrum.astype(np.float32), sigma)

    def mean_spectrum(
        self, mask: npt.NDArray[np.bool_], *, sigma: float = 0, method: str | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the mean spectrum of the cells of a region.

        Parameters
        ----------
        mask : (h, w) bool
            The region.
        sigma : float
            Gaussian smoothing in channels.
        method : str, optional
            Interpolation method.

        Returns
        -------
        spectrum : (c,) float32
            Counts; NaN when no cell of the region has a datum.

        Raises
        ------
        ParameterError
            If the mask has another shape than the grid.
        """
        if np.shape(mask) != self.grid.shape:
            msg = f"the mask has shape {np.shape(mask)}; expected the grid's, {self.grid.shape}."
            raise ParameterError(msg)
        weights = self.operator(method).spectrum_weights(mask)
        if np.isnan(weights).any():
            check_sigma(sigma)
            return np.full(self.n_channels, np.nan, dtype=np.float32)
        index = np.flatnonzero(weights)
        spectrum = self._table.weighted_spectrum(index, weights[index])
        return smooth_spectra(spectrum.astype(np.float32), sigma)

    # --- maps ---------------------------------------------------------------------------

    def window_counts(
        self, low_kev: float, high_kev: float, *, sigma: float = 0
    ) -> npt.NDArray[np.number]:
        """Return the counts of every spectrum in an energy window.

        Parameters
        ----------
        low_kev, high_kev : float
            The window: channels with an energy in [low_kev, high_kev).
        sigma : float
            Gaussian smoothing in channels.

        Returns
        -------
        counts : (n,) uint32, or float32 when smoothed
        """
        return self._table.window(self._window(low_kev, high_kev, sigma))

    def energy_map(
        self,
        low_kev: float,
        high_kev: float,
        *,
        method: str | None = None,
        sigma: float = 0,
        per_second: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Return the map of an energy window.

        Parameters
        ----------
        low_kev, high_kev : float
            The window: channels with an energy in [low_kev, high_kev).
        method : str, optional
            Interpolation method; by default the one of the conversion.
        sigma : float
            Gaussian smoothing of the spectra in channels; 0 sums raw counts.
        per_second : bool
            Divide each spectrum's counts by its live time.

        Returns
        -------
        image : (h, w) float32
            Counts, or counts per second, of a spectrum in each cell; NaN where a cell
            has no datum. Equal to the sum of `cube` over the window's channels.

        Raises
        ------
        ParameterError
            If the window or the method has no meaning, or there are no live times.
        """
        operator = self.operator(method)
        values = self.window_counts(low_kev, high_kev, sigma=sigma)
        if per_second:
            values = values / self._live_times()
        return operator.apply(values)

    def energy_map_error(
        self,
        low_kev: float,
        high_kev: float,
        *,
        method: str | None = None,
        sigma: float = 0,
        per_second: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Return the standard error of `energy_map` under Poisson counts.

        A map is linear in the counts, whose variance is their mean, so its variance is
        (W * W) S (b * b), element by element, with the smoothed window b.

        Parameters
        ----------
        low_kev, high_kev, method, sigma, per_second
            As in `energy_map`.

        Returns
        -------
        error : (h, w) float32
            In the unit of the map; NaN where a cell has no datum.
        """
        operator = self.operator(method)
        variances = self._table.window(self._window(low_kev, high_kev, sigma) ** 2)
        if per_second:
            variances = variances / self._live_times() ** 2
        return np.sqrt(operator.variance(variances))

    def _live_times(self) -> npt.NDArray[np.float64]:
        if self.live_times is None:
            msg = f"{self.source['name']} has no live times; maps per second cannot be made."
            raise ParameterError(msg)
        return self.live_times

    # --- the cube -----------------------------------------------------------------------

    def cube(self, *, method: str | None = None, sigma: float = 0) -> da.Array:
        """Return the regular cube W S G, to be computed when read.

        Parameters
        ----------
        method : str, optional
            Interpolation method.
        sigma : float
            Gaussian smoothing in channels.

        Returns
        -------
        cube : (h, w, c) float32 dask array
            In blocks of some rows; NaN in cells without a datum.
        """
        operator, sigma = self.operator(method), check_sigma(sigma)
        height, width = self.grid.shape
        step = max(1, _CELLS_PER_BLOCK // width)
        everything = slice(0, width)
        blocks = []
        for start in range(0, height, step):
            rows = slice(start, min(start + step, height))
            block = dask.delayed(cube_block)(self._table, operator, rows, everything, sigma=sigma)
            shape = (rows.stop - start, width, self.n_channels)
            blocks.append(da.from_delayed(block, shape, dtype=np.float32))
        return da.concatenate(blocks)

    def all_spectra(self, *, sigma: float = 0) -> da.Array:
        """Return every spectrum smoothed, S G, to be computed when read.

        Parameters
        ----------
        sigma : float
            Gaussian smoothing in channels.

        Returns
        -------
        spectra : (n, c) float32 dask array
        """
        sigma = check_sigma(sigma)
        blocks = []
        for start in range(0, self.n_spectra, _CELLS_PER_BLOCK):
            index = np.arange(start, min(start + _CELLS_PER_BLOCK, self.n_spectra))
            block = dask.delayed(_smoothed)(self._table, index, sigma)
            shape = (len(index), self.n_channels)
            blocks.append(da.from_delayed(block, shape, dtype=np.float32))
        return da.concatenate(blocks)


def _smoothed(table: CountsTable, index: npt.NDArray, sigma: float) -> npt.NDArray[np.float32]:
    return smooth_spectra(table.spectra(index), sigma).astype(np.float32, copy=False)


def _read_only(values: npt.NDArray) -> npt.NDArray:
    values.flags.writeable = False
    return values
