"""Spectra as a table: energy, counts and their standard error."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .errors import ParameterError
from .export_cube import Report
from .plain_text import plain_cell
from .region_spectra import smoothed_region, smoothed_variance
from .scan import Scan, Sigma
from .smoothing import smooth_spectra

__all__ = ["Regions", "write_spectra"]

Regions = Mapping[str, npt.NDArray[np.bool_]] | None
"""Names with masks (h, w) of the grid, row 0 with the smallest y; None for the whole scan."""


def write_spectra(
    path: Path,
    scan: Scan,
    report: Report,
    *,
    regions: Regions = None,
    method: str | None = None,
    lag: float | None = None,
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
    method, lag, sigma : optional
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
        for number, (name, mask) in enumerate(regions.items()):
            report("spectra", number, len(regions))
            region = scan.region_spectrum(mask, method=method, lag=lag)
            mean, error = smoothed_region(region, sigma)
            heading = plain_cell(name)
            columns[f"{heading}, mean of {np.count_nonzero(mask)} cells [counts]"] = mean
            columns[f"{heading}, error of mean [counts]"] = error
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
