"""Spectra as a table: energy, counts and their standard error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import ParameterError
from .export_cube import Report
from .scan import Scan, Sigma
from .smoothing import check_sigma, smooth_spectra

__all__ = ["Regions", "region_spectrum", "smoothed_variance", "write_spectra"]

Regions = Mapping[str, npt.NDArray[np.bool_]] | None
"""Names with masks (h, w) of the grid, row 0 with the smallest y; None for the whole scan."""

_AT_ONCE = 1024


def smoothed_variance(variances: npt.NDArray[np.floating], sigma: Sigma) -> npt.NDArray[np.float64]:
    """Return the variance of a smoothed spectrum, from that of each channel before.

    Smoothing is linear: counts of variance v become G v with the squares of the weights.

    Parameters
    ----------
    variances : (c,) float
        Variance of each channel, independent of its neighbours'.
    sigma : float or (c,) float
        Gaussian smoothing in channels.

    Returns
    -------
    variances : (c,) float64
    """
    variances = np.asarray(variances, dtype=np.float64)
    if not np.any(check_sigma(sigma)):
        return variances.copy()
    size = len(variances)
    total = np.zeros(size)
    for start in range(0, size, 256):  # bounds the rows of G in memory
        rows = np.arange(start, min(start + 256, size))
        ones = np.zeros((len(rows), size))
        ones[np.arange(len(rows)), rows] = 1.0
        total += variances[rows] @ smooth_spectra(ones, sigma) ** 2
    return total


def region_spectrum(
    scan: Scan,
    mask: npt.NDArray[np.bool_],
    report: Report,
    *,
    method: str | None = None,
    sigma: Sigma = 0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Return the mean spectrum of a region and its standard error under Poisson counts.

    The mean is w S with weights w, one a spectrum; its variance is (w * w) S, element by element.

    Parameters
    ----------
    scan : Scan
        The scan.
    mask : (h, w) bool
        The region.
    report : Report
        Who wants to know.
    method, sigma : optional
        As in `Scan.mean_spectrum`.

    Returns
    -------
    mean : (c,) float32
        Counts; NaN when no cell of the region has a datum.
    error : (c,) float64

    Raises
    ------
    ParameterError
        If the mask has another shape than the grid.
    """
    mean = scan.mean_spectrum(mask, method=method, sigma=sigma)
    weights = scan.operator(method).spectrum_weights(mask)
    if np.isnan(weights).any():
        return mean, np.full(scan.n_channels, np.nan)
    index = np.flatnonzero(weights)
    variances = np.zeros(scan.n_channels)
    for start in range(0, len(index), _AT_ONCE):
        part = index[start : start + _AT_ONCE]
        variances += weights[part] ** 2 @ scan.spectra(part)
        report("spectra", min(start + _AT_ONCE, len(index)), len(index))
    return mean, np.sqrt(smoothed_variance(variances, sigma))


def write_spectra(
    path: Path,
    scan: Scan,
    report: Report,
    *,
    regions: Regions = None,
    method: str | None = None,
    sigma: Sigma = 0,
) -> None:
    """Write the mean spectrum of each region, or sum, mean and maximum of all spectra.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    scan : Scan
        The scan.
    report : Report
        Who wants to know.
    regions : mapping, optional
        Masks by name.
    method, sigma : optional
        As in `Scan.mean_spectrum`. The maximum is left out when smoothing: it is not kept for
        every sigma.

    Raises
    ------
    ParameterError
        If a mask has another shape than the grid, there is none, or `sigma` has no meaning.
    OSError
        If it cannot be written whole.
    """
    columns: dict[str, npt.NDArray] = {
        "channel": np.arange(scan.n_channels),
        "energy [keV]": scan.energies,
    }
    report("spectra", 0, scan.n_spectra)
    if regions is None:
        columns |= _whole_scan(scan, sigma)
    elif not regions:
        raise ParameterError("regions names none; expected masks by name, or None for the scan.")
    else:
        for name, mask in regions.items():
            mean, error = region_spectrum(scan, mask, report, method=method, sigma=sigma)
            columns[f"{name}, mean of {np.count_nonzero(mask)} cells [counts]"] = mean
            columns[f"{name}, error of mean [counts]"] = error
    with path.open("x", encoding="utf-8", newline="") as file:
        table = pd.DataFrame(columns)
        table.to_csv(file, index=False, float_format="%.9g", lineterminator="\n")
    report("spectra", scan.n_spectra, scan.n_spectra)


def _whole_scan(scan: Scan, sigma: Sigma) -> dict[str, npt.NDArray]:
    """Return sum, mean and maximum of all spectra, each spectrum counted once."""
    counts = scan.total_spectrum.astype(np.float64)
    total = smooth_spectra(counts, sigma)
    error = np.sqrt(smoothed_variance(counts, sigma))
    n = scan.n_spectra
    columns = {
        f"sum of {n} spectra [counts]": total,
        "error of sum [counts]": error,
        "mean [counts]": total / n,
        "error of mean [counts]": error / n,
    }
    if not np.any(sigma):
        columns["maximum [counts]"] = scan.max_counts
    return columns
