"""Results as xarray objects: maps, spectra and cubes with coordinates and units.

Rows grow with y and columns with x, as in the grid, so that ``sel`` and ``plot`` speak of motor
positions. NaN means that a cell has no datum. All attributes are texts and numbers: netCDF and
zarr keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .crono import Roi
from .elements import best_line, find_line, line_window
from .errors import ParameterError
from .region_spectra import smoothed_region, smoothed_variance
from .resolution import fit_resolution
from .scan import Scan, Sigma
from .smoothing import check_sigma, smooth_spectra

__all__ = [
    "cube_array",
    "energy_window",
    "map_array",
    "map_dataset",
    "positions_dataset",
    "spectrum_dataset",
]

Window = str | Roi | Sequence[float]
"""An element or a line of it (``"Fe"``, ``"Pb La"``), a ROI of the file, or low and high keV."""

_STEPS = "motor steps"


def energy_window(scan: Scan, window: Window) -> Roi:
    """Return the energy window that an element, a line, a ROI or two energies name in a scan.

    Parameters
    ----------
    scan : Scan
        The scan: its resolution gives the width, its spectrum the best line of an element.
    window : str, Roi or (float, float)
        ``"Fe"``, ``"iron"``, ``"Pb La"``; one of `Scan.rois`; or low and high energy in keV.

    Returns
    -------
    Roi
        Name, low and high energy in keV; of a line as on the page, to 1 eV.

    Raises
    ------
    ParameterError
        If it names no line that lies on the energy axis, or no two energies, the lower first.

    Examples
    --------
    >>> energy_window(scan, "Fe")  # doctest: +SKIP
    Roi(name='Fe Ka', low_kev=6.282, high_kev=6.519)
    """
    if isinstance(window, Roi):
        return window
    if isinstance(window, str):
        element, group = find_line(window)
        resolution = fit_resolution(scan.energies, scan.total_spectrum)
        if group is None:
            group = best_line(element.symbol, scan.energies, scan.total_spectrum, resolution)
        low, high = line_window(element.symbol, group.line, resolution)
        return Roi(group.name, round(low, 3), round(high, 3))
    try:
        low, high = (float(limit) for limit in window)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"the window is {window!r}; expected an element such as 'Fe', a line such as "
            "'Pb La', a ROI of the file, or low and high energy in keV."
        ) from error
    scan.channels_of(low, high)  # says what is wrong with the energies
    return Roi(f"{low:g} to {high:g} keV", low, high)


def map_dataset(
    scan: Scan,
    window: Window,
    *,
    method: str | None = None,
    sigma: Sigma = 0,
    per_second: bool = False,
    background: str = "none",
    lag: float | None = None,
) -> xr.Dataset:
    """Return the map of an energy window with its standard error.

    Parameters
    ----------
    scan : Scan
        The scan.
    window : str, Roi or (float, float)
        Element, line, ROI of the file or two energies in keV; see `energy_window`.
    method, sigma, per_second, background, lag : optional
        As in `Scan.energy_map`.

    Returns
    -------
    maps : Dataset
        ``counts`` and ``standard_error``, dimensions (y, x), float32; NaN in cells without a
        datum. Counts of a spectrum, or counts per second if `per_second`, as ``units`` says.

    Raises
    ------
    ParameterError
        If the window, the method or another choice has no meaning.

    Examples
    --------
    >>> iron = map_dataset(scan, "Fe", background="sides")  # doctest: +SKIP
    >>> iron.counts.sel(y=150_000, method="nearest").plot()  # doctest: +SKIP
    """
    options = {
        "method": method,
        "sigma": sigma,
        "per_second": per_second,
        "background": background,
        "lag": lag,
    }
    found = energy_window(scan, window)
    counts = map_array(scan, found, **options)
    error = scan.energy_map_error(found.low_kev, found.high_kev, **options)
    attributes = counts.attrs | {"long_name": f"standard error of {found.name}"}
    counts.attrs["ancillary_variables"] = "standard_error"  # as the CF conventions have it
    return xr.Dataset(
        {"counts": counts, "standard_error": (counts.dims, error, attributes)},
        attrs=_origin(scan),
    )


def map_array(
    scan: Scan,
    window: Window,
    *,
    method: str | None = None,
    sigma: Sigma = 0,
    per_second: bool = False,
    background: str = "none",
    lag: float | None = None,
) -> xr.DataArray:
    """Return the map of an energy window.

    Parameters
    ----------
    scan, window, method, sigma, per_second, background, lag
        As in `map_dataset`.

    Returns
    -------
    counts : DataArray
        Dimensions (y, x), float32: what `Scan.energy_map` returns.

    Raises
    ------
    ParameterError
        As `map_dataset`.
    """
    found = energy_window(scan, window)
    values = scan.energy_map(
        found.low_kev,
        found.high_kev,
        method=method,
        sigma=sigma,
        per_second=per_second,
        background=background,
        lag=lag,
    )
    attributes = {
        "long_name": found.name,
        "units": "counts/s" if per_second else "counts",
        "window_kev": [found.low_kev, found.high_kev],
        "background": background,
        **_how(scan, method, sigma, lag),
    }
    return xr.DataArray(
        values, _cells(scan), ("y", "x"), "counts", attrs=attributes | _origin(scan)
    )


def spectrum_dataset(
    scan: Scan,
    *,
    index: int | None = None,
    cell: tuple[int, int] | None = None,
    mask: npt.ArrayLike | xr.DataArray | None = None,
    sigma: Sigma = 0,
    method: str | None = None,
) -> xr.Dataset:
    """Return a spectrum with its standard error: measured, of a cell, or the mean of a region.

    Parameters
    ----------
    scan : Scan
        The scan.
    index : int, optional
        Number of a measured spectrum.
    cell : (int, int), optional
        Row and column of a cell.
    mask : (h, w) bool, optional
        The cells of a region; a map compared with a number makes one. Without any of the three,
        the mean of all measured spectra.
    sigma : float or (c,) float
        Gaussian smoothing in channels.
    method : str, optional
        Interpolation method, for cells and regions.

    Returns
    -------
    spectrum : Dataset
        ``counts`` and ``standard_error`` under Poisson counts, dimension (energy), float32; NaN
        if no cell of the region has a datum. Errors of smoothed channels go together.

    Raises
    ------
    ParameterError
        If more than one place is given, there is no such place, or another choice has no
        meaning.
    """
    given = [
        name for name, it in (("index", index), ("cell", cell), ("mask", mask)) if it is not None
    ]
    if len(given) > 1:
        raise ParameterError(f"{' and '.join(given)} are given; a spectrum has one place only.")
    attributes: dict[str, Any] = {"units": "counts"}
    if mask is not None or cell is not None:
        chosen = _mask(scan, cell if mask is None else mask, is_cell=mask is None)
        counts, error = smoothed_region(scan.region_spectrum(chosen, method=method), sigma)
        attributes |= _how(scan, method, sigma, None)
        if mask is None:
            attributes["long_name"] = f"cell row {cell[0]}, column {cell[1]}"
        else:
            attributes["long_name"] = f"mean of {int(chosen.sum())} cells"
    else:
        n = scan.n_spectra if index is None else 1
        raw = scan.total_spectrum if index is None else scan.spectrum(index)
        counts = smooth_spectra(raw / np.float64(n), sigma)
        error = np.sqrt(smoothed_variance(raw / np.float64(n) ** 2, sigma))
        attributes["long_name"] = f"mean of {n} spectra" if index is None else f"spectrum {index}"
        attributes["sigma_channels"] = _plain(sigma)
    both = {
        "counts": (counts, attributes | {"ancillary_variables": "standard_error"}),
        "standard_error": (error, attributes | {"long_name": "standard error of the counts"}),
    }
    return xr.Dataset(
        {
            name: ("energy", values.astype(np.float32), said)
            for name, (values, said) in both.items()
        },
        {"energy": _energies(scan)},
        _origin(scan),
    )


def cube_array(
    scan: Scan,
    window: Window | None = None,
    *,
    method: str | None = None,
    sigma: Sigma = 0,
) -> xr.DataArray:
    """Return the regular cube in an energy window, to be computed when read.

    Parameters
    ----------
    scan : Scan
        The scan; it has to stay open.
    window : str, Roi or (float, float), optional
        See `energy_window`; by default all channels.
    method, sigma : optional
        As in `Scan.cube`.

    Returns
    -------
    cube : DataArray
        Dimensions (y, x, energy), float32, a dask array in blocks of some rows; NaN in cells
        without a datum. Its sum over the energy is the window's map.

    Raises
    ------
    ParameterError
        If a choice has no meaning.
    """
    channels, attributes = slice(None), {"long_name": "counts"}
    if window is not None:
        found = energy_window(scan, window)
        channels = scan.channels_of(found.low_kev, found.high_kev)
        attributes = {"long_name": found.name, "window_kev": [found.low_kev, found.high_kev]}
    name, values, said = _energies(scan)
    return xr.DataArray(
        scan.cube(method=method, sigma=sigma, channels=channels),
        _cells(scan) | {"energy": (name, values[channels], said)},
        ("y", "x", "energy"),
        "counts",
        attrs={**attributes, "units": "counts", **_how(scan, method, sigma, None), **_origin(scan)},
    )


def positions_dataset(scan: Scan, window: Window | None = None) -> xr.Dataset:
    """Return where every spectrum was measured, and what it counted in an energy window.

    Parameters
    ----------
    scan : Scan
        The scan.
    window : str, Roi or (float, float), optional
        See `energy_window`.

    Returns
    -------
    positions : Dataset
        Dimension (spectrum): ``x`` and ``y`` in motor steps as recorded, ``selected`` for those
        that the vendor's map shows, ``live_time`` in s where the file has it, and ``counts``
        of the window.

    Raises
    ------
    ParameterError
        If the window has no meaning.
    """
    selected = np.zeros(scan.n_spectra, dtype=bool)
    selected[scan.selected_index.ravel()] = True
    variables: dict[str, Any] = {
        "x": ("spectrum", scan.positions[:, 0], {"long_name": "x", "units": _STEPS}),
        "y": ("spectrum", scan.positions[:, 1], {"long_name": "y", "units": _STEPS}),
        "selected": ("spectrum", selected, {"long_name": "in the vendor's map"}),
    }
    if scan.live_times is not None:
        said = {"long_name": "live time", "units": "s"}
        variables["live_time"] = ("spectrum", scan.live_times, said)
    if window is not None:
        found = energy_window(scan, window)
        low, high = found.low_kev, found.high_kev
        said = {"long_name": found.name, "units": "counts", "window_kev": [low, high]}
        variables["counts"] = ("spectrum", scan.window_counts(low, high), said)
    numbers = {"spectrum": np.arange(scan.n_spectra)}
    return xr.Dataset(variables, numbers, _origin(scan))


def _cells(scan: Scan) -> dict[str, tuple[str, npt.NDArray[np.float64], dict[str, str]]]:
    """Return the centres of rows and columns as coordinates."""
    grid = scan.grid
    return {
        name: (name, values, {"long_name": name, "units": _STEPS})
        for name, values in (("y", grid.y), ("x", grid.x))
    }


def _energies(scan: Scan) -> tuple[str, npt.NDArray[np.float64], dict[str, str]]:
    said = {"long_name": "energy", "units": "keV"}
    return "energy", scan.energies.astype(np.float64), said


def _how(scan: Scan, method: str | None, sigma: Sigma, lag: float | None) -> dict[str, Any]:
    """Return how cells were made of spectra."""
    method, lag = scan.interpolation(method, lag)
    return {"method": method, "sigma_channels": _plain(sigma), "lag_periods": float(lag)}


def _origin(scan: Scan) -> dict[str, str]:
    return {"scan": scan.name, "source": str(scan.source["name"])}


def _plain(sigma: Sigma) -> float | list[float]:
    """Return a sigma as a number, or one for each channel."""
    checked = np.asarray(check_sigma(sigma), dtype=np.float64)
    return checked.tolist()


def _mask(scan: Scan, place: Any, *, is_cell: bool) -> npt.NDArray[np.bool_]:
    """Return a region, or a cell, as an array of the grid's shape."""
    if not is_cell:
        return np.asarray(place)
    mask = np.zeros(scan.grid.shape, dtype=bool)
    row, column = place
    scan.operator().cell_weights(row, column)  # says so if there is no such cell
    mask[row, column] = True
    return mask
