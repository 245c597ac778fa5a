"""A converted scan: maps, spectra and the cube, computed from the counts when asked for."""

from __future__ import annotations

import os

import dask.array as da
import numpy as np
import numpy.typing as npt

from .detection import K_95, background_ratio, detected, null_variance_weights
from .errors import ParameterError
from .lazy import lazy_cube, lazy_spectra
from .region_spectra import RegionSpectrum, region_spectrum
from .smoothing import check_sigma, smooth_spectra
from .stored import StoredScan
from .table import DEFAULT_CACHE_BYTES
from .windows import WindowWeights, channels_between, window_weights

__all__ = ["Scan", "open_scan"]

Sigma = float | npt.NDArray[np.floating]
"""Smoothing in channels: one width, or one for each channel."""


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
    ParameterError
        If the calibration kept beside it, in ``NAME.maxrf.json``, makes no sense.
    """
    return Scan(zipstore_filename, cache_bytes=cache_bytes)


class Scan(StoredScan):
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
        Energy of each channel in keV: of the file, or as calibrated anew since.
    calibration : dict or None
        ``points`` (channel, keV) and ``degree`` of a calibration kept beside the scan.
    file_energies : (c,) float32
        Energy of each channel in keV as the Crono file has it.
    lag_corrected : float
        Lag between positions and exposures that the stored operator corrects, in periods.
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

    # --- energies -----------------------------------------------------------------------

    def channels_of(self, low_kev: float, high_kev: float) -> slice:
        """Return the channels whose energy lies in [low_kev, high_kev).

        Raises
        ------
        ParameterError
            If an energy is not finite, or `low_kev` is above `high_kev`.
        """
        return channels_between(self.energies, low_kev, high_kev)

    def window_weights(
        self, low_kev: float, high_kev: float, *, background: str = "none", sigma: Sigma = 0
    ) -> WindowWeights:
        """Return what an energy window sums, as weights over channels.

        Parameters
        ----------
        low_kev, high_kev : float
            The window: channels with an energy in [low_kev, high_kev).
        background : {"none", "sides", "snip"}
            What is taken away for the background under the window.
        sigma : float or (c,) float
            Gaussian smoothing of the spectra in channels.

        Raises
        ------
        ParameterError
            If one of them has no meaning.
        """
        return window_weights(
            self.energies,
            low_kev,
            high_kev,
            total_spectrum=self.total_spectrum,
            background=background,
            sigma=sigma,
        )

    # --- spectra ------------------------------------------------------------------------

    def spectrum(self, index: int, *, sigma: Sigma = 0) -> npt.NDArray:
        """Return one spectrum.

        Parameters
        ----------
        index : int
            Number of the spectrum, 0 to n - 1.
        sigma : float or (c,) float
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

    def spectra(self, index: npt.NDArray[np.integer]) -> npt.NDArray[np.uint16]:
        """Return some spectra as they were measured.

        Parameters
        ----------
        index : (k,) integer
            Numbers of the spectra, 0 to n - 1. They are read together: those of a chunk once.

        Returns
        -------
        spectra : (k, c) uint16
            Counts.

        Raises
        ------
        ParameterError
            If one of them is not there.
        """
        return self._table.spectra(np.asarray(index))

    def cell_spectrum(
        self,
        row: int,
        column: int,
        *,
        sigma: Sigma = 0,
        method: str | None = None,
        lag: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the interpolated spectrum of a cell: a row of W S.

        Parameters
        ----------
        row, column : int
            The cell; row 0 has the smallest y.
        sigma : float or (c,) float
            Gaussian smoothing in channels.
        method, lag : optional
            Interpolation method, and the lag that it corrects; see `operator`.

        Returns
        -------
        spectrum : (c,) float32
            Counts; NaN for a cell without a datum.

        Raises
        ------
        ParameterError
            If there is no such cell or method, or `sigma` has no meaning.
        """
        index, weights = self.operator(method, lag=lag).cell_weights(row, column)
        if len(index) == 0:
            check_sigma(sigma)
            return np.full(self.n_channels, np.nan, dtype=np.float32)
        spectrum = self._table.weighted_spectrum(index, weights)
        return smooth_spectra(spectrum.astype(np.float32), sigma)

    def mean_spectrum(
        self,
        mask: npt.NDArray[np.bool_],
        *,
        sigma: Sigma = 0,
        method: str | None = None,
        lag: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the mean spectrum of the cells of a region.

        Parameters
        ----------
        mask : (h, w) bool
            The region.
        sigma : float or (c,) float
            Gaussian smoothing in channels.
        method, lag : optional
            Interpolation method, and the lag that it corrects; see `operator`.

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
        weights = self.operator(method, lag=lag).spectrum_weights(mask)
        if np.isnan(weights).any():
            check_sigma(sigma)
            return np.full(self.n_channels, np.nan, dtype=np.float32)
        index = np.flatnonzero(weights)
        spectrum = self._table.weighted_spectrum(index, weights[index])
        return smooth_spectra(spectrum.astype(np.float32), sigma)

    def region_spectrum(
        self,
        mask: npt.NDArray[np.bool_],
        *,
        method: str | None = None,
        lag: float | None = None,
        per_second: bool = False,
    ) -> RegionSpectrum:
        """Return the mean spectrum of the cells of a region, with its variance.

        Parameters
        ----------
        mask : (h, w) bool
            The region.
        method, lag : optional
            Interpolation method, and the lag that it corrects; see `operator`.
        per_second : bool
            Divide each spectrum's counts by its live time.

        Returns
        -------
        RegionSpectrum
            Not smoothed: `maxrf_core.region_spectra.smoothed_region` does that, and
            `region_counts` tells what an energy window holds of it.

        Raises
        ------
        ParameterError
            If the mask has another shape than the grid, or there are no live times.
        """
        if np.shape(mask) != self.grid.shape:
            msg = f"the mask has shape {np.shape(mask)}; expected the grid's, {self.grid.shape}."
            raise ParameterError(msg)
        factors = self.per_second(np.ones(self.n_spectra)) if per_second else None
        operator = self.operator(method, lag=lag)
        return region_spectrum(self._table, operator, mask, factors=factors)

    # --- maps ---------------------------------------------------------------------------

    def window_counts(
        self, low_kev: float, high_kev: float, *, sigma: Sigma = 0, background: str = "none"
    ) -> npt.NDArray[np.number]:
        """Return the counts of every spectrum in an energy window.

        Parameters
        ----------
        low_kev, high_kev : float
            The window: channels with an energy in [low_kev, high_kev).
        sigma : float or (c,) float
            Gaussian smoothing in channels.
        background : {"none", "sides", "snip"}
            What is taken away for the background under the window; see `window_weights`.

        Returns
        -------
        counts : (n,) uint32, or float32 when smoothed or net
        """
        window = self.window_weights(low_kev, high_kev, background=background, sigma=sigma)
        return self._table.window(window.net)

    def window_variances(
        self, low_kev: float, high_kev: float, *, sigma: Sigma = 0, background: str = "none"
    ) -> npt.NDArray[np.number]:
        """Return the variance of `window_counts` under Poisson counts: S (b * b).

        Parameters
        ----------
        low_kev, high_kev, sigma, background
            As in `window_counts`.

        Returns
        -------
        variances : (n,) uint32, or float32 when smoothed or net
        """
        window = self.window_weights(low_kev, high_kev, background=background, sigma=sigma)
        return self._table.window(window.net**2)

    def energy_map(
        self,
        low_kev: float,
        high_kev: float,
        *,
        method: str | None = None,
        sigma: Sigma = 0,
        per_second: bool = False,
        background: str = "none",
        lag: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the map of an energy window.

        Parameters
        ----------
        low_kev, high_kev : float
            The window: channels with an energy in [low_kev, high_kev).
        method : str, optional
            Interpolation method; by default the one of the conversion.
        sigma : float or (c,) float
            Gaussian smoothing of the spectra in channels; 0 sums raw counts.
        per_second : bool
            Divide each spectrum's counts by its live time.
        background : {"none", "sides", "snip"}
            What is taken away for the background under the window; see `window_weights`.
        lag : float, optional
            Lag corrected for, in periods; see `operator`.

        Returns
        -------
        image : (h, w) float32
            Counts, or counts per second, of a spectrum in each cell; NaN where a cell
            has no datum. Without a background taken away, equal to the sum of `cube` over
            the window's channels.

        Raises
        ------
        ParameterError
            If the window, the method or another choice has no meaning, or there are no
            live times.
        """
        operator = self.operator(method, lag=lag)
        values = self.window_counts(low_kev, high_kev, sigma=sigma, background=background)
        return operator.apply(self.per_second(values) if per_second else values)

    def energy_map_error(
        self,
        low_kev: float,
        high_kev: float,
        *,
        method: str | None = None,
        sigma: Sigma = 0,
        per_second: bool = False,
        background: str = "none",
        lag: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the standard error of `energy_map` under Poisson counts.

        A map is linear in the counts, whose variance is their mean, so its variance is
        (W * W) S (b * b), element by element, with the smoothed net window b. What the raster
        does not sample is not in it: that is the interpolation's error.

        Parameters
        ----------
        low_kev, high_kev, method, sigma, per_second, background, lag
            As in `energy_map`.

        Returns
        -------
        error : (h, w) float32
            In the unit of the map; NaN where a cell has no datum.
        """
        operator = self.operator(method, lag=lag)
        variances = self.window_variances(low_kev, high_kev, sigma=sigma, background=background)
        if per_second:
            variances = self.per_second(self.per_second(variances))
        return np.sqrt(operator.variance(variances))

    def cell_counts(
        self,
        row: int,
        column: int,
        low_kev: float,
        high_kev: float,
        *,
        method: str | None = None,
        sigma: Sigma = 0,
        per_second: bool = False,
        background: str = "none",
        lag: float | None = None,
    ) -> tuple[float, float]:
        """Return one cell of `energy_map`, and of `energy_map_error`, from its own spectra.

        Parameters
        ----------
        row, column : int
            The cell; row 0 has the smallest y.
        low_kev, high_kev, method, sigma, per_second, background, lag
            As in `energy_map`.

        Returns
        -------
        counts, error : float
            NaN for a cell without a datum.

        Raises
        ------
        ParameterError
            As `energy_map`; also if there is no such cell.
        """
        index, weights = self.operator(method, lag=lag).cell_weights(row, column)
        window = self.window_weights(low_kev, high_kev, background=background, sigma=sigma).net
        if len(index) == 0:
            return float("nan"), float("nan")
        shares = weights.astype(np.float64)
        if per_second:
            shares = shares * self.per_second(np.ones(self.n_spectra))[index]
        counts = self._table.spectra(index) @ np.column_stack([window, window**2])
        return float(shares @ counts[:, 0]), float(np.sqrt(shares**2 @ counts[:, 1]))

    def detection_map(
        self,
        low_kev: float,
        high_kev: float,
        *,
        method: str | None = None,
        background: str = "sides",
        k: float = K_95,
        lag: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return where the net counts of an energy window stand out from the background.

        Net counts are detected above Currie's critical level: k times the spread that they
        would have if there were nothing but background, with Stapleton's correction for few
        counts. It is taken from the raw counts.

        Parameters
        ----------
        low_kev, high_kev, method, lag
            As in `energy_map`.
        background : {"sides", "snip"}
            How the background under the window is estimated.
        k : float
            Quantile of the normal distribution: with 1.645 a blank cell is taken for a
            detection once in 20.

        Returns
        -------
        detected : (h, w) float32
            1 where detected, 0 elsewhere; NaN where a cell has no datum.

        Raises
        ------
        ParameterError
            As `energy_map`; also if there is no background to compare with.
        """
        if background == "none":
            msg = "background is 'none'; a detection needs one of 'sides' or 'snip'."
            raise ParameterError(msg)
        operator = self.operator(method, lag=lag)
        window = self.window_weights(low_kev, high_kev, background=background).net
        net = operator.apply(self._table.window(window))
        if not window.any():
            return net  # no channel, no counts: nothing is detected
        found = detected(
            net,
            operator.variance(self._table.window(null_variance_weights(window))),
            k=k,
            eta=background_ratio(window),
            unit=operator.variance(np.ones(self.n_spectra)),
        )
        return np.where(np.isnan(net), net, found.astype(np.float32))

    # --- time ---------------------------------------------------------------------------

    def per_second(self, values: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
        """Divide a value of each spectrum by its live time.

        Parameters
        ----------
        values : (n,) number
            Counts; a variance is divided twice.

        Returns
        -------
        rates : (n,) float64
            Per second; 0 for a spectrum that was never live, which has no weight in any cell
            that another spectrum belongs to.

        Raises
        ------
        ParameterError
            If there are no live times.
        """
        if self.live_times is None:
            msg = f"{self.source['name']} has no live times; maps per second cannot be made."
            raise ParameterError(msg)
        rates = np.zeros(self.n_spectra)
        return np.divide(values, self.live_times, out=rates, where=self.live_times > 0)

    def dead_time_map(
        self, *, method: str | None = None, lag: float | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the map of the dead-time fraction.

        Parameters
        ----------
        method, lag
            As in `energy_map`.

        Returns
        -------
        fraction : (h, w) float32
            0 to 1; NaN where a cell has no datum.

        Raises
        ------
        ParameterError
            If the file has no live or no real times.
        """
        if self.dead_time_fraction is None:
            msg = f"{self.source['name']} has no live and real times; dead time is not known."
            raise ParameterError(msg)
        return self.operator(method, lag=lag).apply(self.dead_time_fraction)

    # --- the cube -----------------------------------------------------------------------

    def cube(
        self,
        *,
        method: str | None = None,
        sigma: Sigma = 0,
        lag: float | None = None,
        channels: slice = slice(None),
    ) -> da.Array:
        """Return the regular cube W S G, or some of its channels, to be computed when read.

        Parameters
        ----------
        method : str, optional
            Interpolation method.
        sigma : float or (c,) float
            Gaussian smoothing in channels.
        lag : float, optional
            Lag corrected for, in periods; see `operator`.
        channels : slice
            Channels next to each other, as `channels_of` names them. Of few, no others are
            read: to take them of the whole cube costs all.

        Returns
        -------
        cube : (h, w, channels) float32 dask array
            In blocks of some rows; NaN in cells without a datum.
        """
        operator = self.operator(method, lag=lag)
        widths = check_sigma(sigma, n_channels=self.n_channels)
        return lazy_cube(self._table, operator, widths, channels)

    def all_spectra(self, *, sigma: Sigma = 0) -> da.Array:
        """Return every spectrum smoothed, S G, to be computed when read.

        Parameters
        ----------
        sigma : float or (c,) float
            Gaussian smoothing in channels.

        Returns
        -------
        spectra : (n, c) float32 dask array
        """
        return lazy_spectra(self._table, check_sigma(sigma))
