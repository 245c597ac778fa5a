"""Spectra of regions: the mean of the cells with its standard error, and what windows hold of it.

The mean over the cells of a region is a weighted sum of spectra, with the sum of their rows of W
as weights w. Counts are Poisson, so its variance in each channel is the sum of w^2 times the
counts: spectra that several cells share are counted once, as they were measured. Windows are
weights over channels, so net counts and their errors follow from mean and variance alone.

The errors are those of counting. How much the cells of a region differ from each other is not in
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .detection import K_95, background_ratio, detected, null_variance_weights
from .errors import ParameterError
from .interpolation import Operator
from .kernels import gaussian_kernel, kernels_of
from .smoothing import Sigma, check_sigma, smooth_spectra
from .table import CountsTable
from .windows import WindowWeights

__all__ = [
    "RegionSpectrum",
    "WindowCounts",
    "region_counts",
    "region_spectrum",
    "smoothed_region",
    "smoothed_variance",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RegionSpectrum:
    """The mean spectrum of the cells of a region, as counted.

    Attributes
    ----------
    mean : (c,) float64
        Counts a spectrum, or per second; NaN where the region holds no datum.
    variance : (c,) float64
        Of each channel's mean, under Poisson counts. Channels are independent.
    n_cells : int
        Cells of the region that have a datum.
    unit : float
        What one count adds to the mean, sum(w^2) / sum(w): of N spectra alike, 1 / N.
    """

    mean: FloatArray
    variance: FloatArray
    n_cells: int
    unit: float


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What an energy window holds of a region's mean spectrum, in counts a spectrum.

    Attributes
    ----------
    gross, background, net : float
        Counts, the background's estimate under them, and the difference. NaN where the region
        holds no datum.
    error : float
        Standard error of `net` under Poisson counts, that of the background in it.
    is_detected : bool
        Whether `net` stands out from the background, at a risk of 5 % that there is nothing.
        Without an estimate of the background: whether there are counts.
    """

    gross: float
    background: float
    net: float
    error: float
    is_detected: bool


def region_spectrum(
    table: CountsTable,
    operator: Operator,
    mask: npt.NDArray[np.bool_],
    *,
    factors: npt.NDArray[np.floating] | None = None,
) -> RegionSpectrum:
    """Return the mean spectrum of the cells of a region with its variance.

    Parameters
    ----------
    table : CountsTable
        The scan's counts.
    operator : Operator
        The interpolation W.
    mask : (h, w) bool
        The region. Cells without a datum do not count.
    factors : (n,) float, optional
        What each spectrum's counts are multiplied with, such as one over its live time.

    Returns
    -------
    RegionSpectrum

    Raises
    ------
    ParameterError
        If the mask has another shape than the grid, or there is not one factor a spectrum.

    Notes
    -----
    A quarter of a million cells take 3 s on two cores.
    """
    weights = operator.spectrum_weights(mask)
    if factors is not None:
        if np.shape(factors) != weights.shape:
            raise ParameterError(
                f"the factors have shape {np.shape(factors)}; expected {weights.shape}, one a "
                "spectrum."
            )
        weights = weights * np.asarray(factors, dtype=np.float64)
    if np.isnan(weights).any():
        nothing = np.full(table.n_channels, np.nan)
        return RegionSpectrum(nothing, nothing.copy(), 0, np.nan)
    index = np.flatnonzero(weights)
    weights = weights[index]
    total = float(weights.sum())
    mean, variance = table.weighted_spectra(index, np.stack([weights, weights**2]))
    return RegionSpectrum(
        mean,
        variance,
        int((np.asarray(mask, dtype=bool) & ~operator.empty).sum()),
        float(weights @ weights / total) if total > 0.0 else np.nan,
    )


def smoothed_region(
    region: RegionSpectrum, sigma: Sigma
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return a region's mean spectrum, smoothed, with its standard error.

    Parameters
    ----------
    region : RegionSpectrum
    sigma : float or (c,) float
        Gaussian smoothing in channels; 0 for none.

    Returns
    -------
    spectrum, error : (c,) float32
        In the unit of the mean; NaN where the region holds no datum. Errors of channels within
        some sigma of each other go together.

    Raises
    ------
    ParameterError
        If `sigma` has no meaning.
    """
    spectrum = smooth_spectra(region.mean, sigma)
    error = np.sqrt(smoothed_variance(region.variance, sigma))
    return spectrum.astype(np.float32), error.astype(np.float32)


def smoothed_variance(variance: npt.NDArray[np.floating], sigma: Sigma) -> FloatArray:
    """Return the variance of a smoothed spectrum of independent channels: v (G * G).

    Combs of ones, so far apart that their Gaussians do not touch, are smoothed instead of the
    spectrum: they show G as `smooth_spectra` applies it, its ends included.

    Parameters
    ----------
    variance : (c,) float
        Of each channel before smoothing.
    sigma : float or (c,) float
        Gaussian smoothing in channels.

    Returns
    -------
    variance : (c,) float64

    Raises
    ------
    ParameterError
        If `sigma` has no meaning.
    """
    before = np.asarray(variance, dtype=np.float64)
    sigma = check_sigma(sigma, n_channels=before.size)
    if not np.any(sigma):
        return before.copy()
    is_array = isinstance(sigma, np.ndarray)
    reach = kernels_of(sigma).widest if is_array else len(gaussian_kernel(sigma)) // 2
    period = min(2 * reach + 1, before.size)
    channels = np.arange(before.size)
    after = np.zeros(before.size)
    for first in range(period):
        comb = np.zeros(before.size)
        comb[first::period] = 1.0
        seen = smooth_spectra(comb, sigma)
        # Of the comb's teeth only the one within reach has a part in a channel.
        teeth = channels + (first - channels + reach) % period - reach
        if period == before.size:
            teeth[:] = first
        inside = (teeth >= 0) & (teeth < before.size)
        after[inside] += seen[inside] ** 2 * before[teeth[inside]]
    return after


def region_counts(
    region: RegionSpectrum, window: WindowWeights, *, k: float = K_95
) -> WindowCounts:
    """Return what an energy window holds of a region's mean spectrum.

    The net counts are the mean over the region of the window's net map; the error is exact, which
    a mean of the cells' errors is not.

    Parameters
    ----------
    region : RegionSpectrum
    window : WindowWeights
        The window and the background under it, as `Scan.window_weights` makes them.
    k : float, optional
        Quantile of the normal distribution for a detection; see `maxrf_core.detection`.

    Returns
    -------
    WindowCounts

    Raises
    ------
    ParameterError
        If the window has another number of channels than the spectrum.
    """
    net = window.net
    if net.shape != region.mean.shape:
        raise ParameterError(
            f"the window has {net.size} channels, the region's spectrum {region.mean.size}; make "
            "it for this scan."
        )
    value, error = float(net @ region.mean), float(np.sqrt(net**2 @ region.variance))
    is_detected = value > 0.0
    if (net < 0.0).any():
        null = float(null_variance_weights(net) @ region.variance)
        unit = region.unit
        is_detected = bool(detected(value, null, k=k, eta=background_ratio(net), unit=unit))
    gross, background = window.gross @ region.mean, window.background @ region.mean
    return WindowCounts(float(gross), float(background), value, error, is_detected)
