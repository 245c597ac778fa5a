"""Maps for other programs: which windows, and files of one layer after another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from .crono import Roi
from .errors import ParameterError
from .export_cube import Report, method_told
from .plain_text import plain_cell
from .scan import Scan, Sigma

__all__ = [
    "Layer",
    "MapSet",
    "Windows",
    "check_length",
    "check_windows",
    "write_csv",
    "write_dms",
    "write_npy",
]

Windows = Mapping[str, tuple[float, float]] | Sequence[Roi] | None
"""Names with lowest and highest energy in keV; None for the file's own regions of interest."""

_ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Layer:
    """One image of a set.

    Parameters
    ----------
    name : str
        Name of the window, with `` error`` behind it for its standard error.
    unit : str
        ``counts`` or ``counts/s``.
    low_kev, high_kev : float
        The window.
    error : bool
        Whether it is the standard error.
    """

    name: str
    unit: str
    low_kev: float
    high_kev: float
    error: bool

    @property
    def heading(self) -> str:
        """Name, window and unit for the head of a column."""
        return f"{self.name}, {self.low_kev:g} to {self.high_kev:g} keV [{self.unit}]"


@dataclass(frozen=True)
class MapSet:
    """The maps of some energy windows, computed one by one when asked for.

    Parameters
    ----------
    scan : Scan
        The scan.
    windows : tuple of Roi
        The windows.
    method : str
        Interpolation method.
    lag : float
        Lag corrected for, in periods; see `Scan.operator`.
    sigma : float or (c,) float
        Gaussian smoothing in channels.
    background : str
        What is taken away; see `Scan.window_weights`.
    per_second : bool
        Counts per second of live time.
    errors : bool
        With the standard error of each map.
    image : bool
        Row 0 has the largest y, as a picture is stored; else the smallest.
    """

    scan: Scan
    windows: tuple[Roi, ...]
    method: str
    lag: float
    sigma: Sigma = 0
    background: str = "none"
    per_second: bool = False
    errors: bool = False
    image: bool = True

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What the images are, in their order: each map, and its error behind it."""
        unit = "counts/s" if self.per_second else "counts"
        found = []
        for roi in self.windows:
            found.append(Layer(roi.name, unit, roi.low_kev, roi.high_kev, error=False))
            if self.errors:
                name = f"{roi.name} error"
                found.append(Layer(name, unit, roi.low_kev, roi.high_kev, error=True))
        return tuple(found)

    @property
    def made(self) -> str:
        """How the images were computed, in words."""
        smoothed = "smoothed with each channel's own sigma"
        if np.ndim(self.sigma) == 0:
            smoothed = f"sigma {self.sigma:g} channels" if self.sigma else "not smoothed"
        return f"{method_told(self.method, self.lag)}, {smoothed}, background {self.background}"

    def describe(self, layer: Layer) -> str:
        """Return in a sentence or two what an image is."""
        grid = self.scan.grid
        row_order = "largest" if self.image else "smallest"
        return (
            f"{layer.name}: {layer.low_kev:g} to {layer.high_kev:g} keV, {layer.unit}"
            f"{' (standard error)' if layer.error else ''}. Scan {self.scan.name}; {self.made}. "
            f"Cells of {grid.dx:g} x {grid.dy:g} motor steps, cell (0, 0) of the grid at x "
            f"{grid.x0:g}, y {grid.y0:g}; row 0 has the {row_order} y. NaN: no datum."
        )

    def images(self, report: Report) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the image of each of `layers`, (h, w) float32, NaN without a datum."""
        n, total = self.scan.n_spectra, self.scan.n_spectra * len(self.layers)
        report("spectra", 0, total)
        for number, layer in enumerate(self.layers, start=1):
            make = self.scan.energy_map_error if layer.error else self.scan.energy_map
            image = make(
                layer.low_kev,
                layer.high_kev,
                method=self.method,
                lag=self.lag,
                sigma=self.sigma,
                background=self.background,
                per_second=self.per_second,
            )
            yield np.ascontiguousarray(image[::-1] if self.image else image, dtype="<f4")
            report("spectra", n * number, total)


def check_windows(scan: Scan, windows: Windows) -> tuple[Roi, ...]:
    """Return the windows to export.

    Parameters
    ----------
    scan : Scan
        The scan.
    windows : mapping, sequence of Roi, or None
        None for the file's own regions of interest, without those that hold no channel.

    Raises
    ------
    ParameterError
        If there is none, a window is no pair of energies, or a name is not one line of text.
    """
    if windows is None:
        found = tuple(roi for roi in scan.rois if _holds_channels(scan, roi))
    elif isinstance(windows, Mapping):
        found = tuple(_window(name, limits) for name, limits in windows.items())
    else:
        found = tuple(windows)
    if not found:
        raise ParameterError(
            "there is no energy window to export; name some with windows, such as "
            '{"Fe K-alpha": (6.2, 6.6)} (command line: --window Fe=6.2-6.6).'
        )
    for roi in found:
        scan.channels_of(roi.low_kev, roi.high_kev)
        if not (isinstance(roi.name, str) and roi.name.strip() and roi.name.isprintable()):
            raise ParameterError(f"the window's name is {roi.name!r}; expected one line of text.")
    return found


def check_length(mm_per_step: float | None) -> None:
    """Refuse a motor step that has no length; None stands for one that is not known.

    Raises
    ------
    ParameterError
        If it is not positive and finite.
    """
    if mm_per_step is not None and not 0 < mm_per_step < float("inf"):
        raise ParameterError(f"mm_per_step is {mm_per_step!r}; expected a positive length in mm.")


def _holds_channels(scan: Scan, roi: Roi) -> bool:
    part = scan.channels_of(roi.low_kev, roi.high_kev)
    return part.stop > part.start


def _window(name: str, limits: tuple[float, float]) -> Roi:
    try:
        low, high = (float(value) for value in limits)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"window {name!r} is {limits!r}; expected its lowest and highest energy in keV."
        ) from error
    return Roi(name, low, high)


def write_npy(path: Path, maps: MapSet, report: Report) -> None:
    """Write the images as NumPy's ``.npy``: (h, w) float32, or (layers, h, w) for several.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    maps : MapSet
        The maps.
    report : Report
        Who wants to know.
    """
    layers = len(maps.layers)
    shape = maps.scan.grid.shape if layers == 1 else (layers, *maps.scan.grid.shape)
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for image in maps.images(report):
            file.write(image.data)


def write_dms(path: Path, maps: MapSet, report: Report) -> None:
    """Write the images as ``.dms``, which DataMuncher and XRF-Explorer take.

    Text ``2``, then ``w h c``, each on a line of its own; float32 (c, h, w), little-endian; a
    name on each further line.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    maps : MapSet
        The maps.
    report : Report
        Who wants to know.
    """
    height, width = maps.scan.grid.shape
    names = "".join(f"{layer.name}\n" for layer in maps.layers)
    with path.open("xb") as file:
        file.write(b"2\n%d %d %d\n" % (width, height, len(maps.layers)))
        for image in maps.images(report):
            file.write(image.data)
        file.write(names.encode())


def write_csv(path: Path, maps: MapSet, report: Report) -> None:
    """Write the images as a table: a line for each cell, with row, column, x and y.

    All images are in memory at once. A cell without a datum has empty fields.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    maps : MapSet
        The maps.
    report : Report
        Who wants to know.
    """
    grid = maps.scan.grid
    images = [image.ravel() for image in maps.images(report)]
    headings = [layer.heading for layer in maps.layers]
    y = grid.y[::-1] if maps.image else grid.y
    with path.open("x", encoding="utf-8", newline="") as file:
        for start in range(0, grid.size, _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, grid.size))
            rows, columns = np.divmod(np.arange(part.start, part.stop), grid.width)
            table = pd.DataFrame(
                np.stack([grid.x[columns], y[rows], *(image[part] for image in images)], axis=1),
                columns=["x [motor steps]", "y [motor steps]", *map(plain_cell, headings)],
            )
            table.insert(0, "row", rows)
            table.insert(1, "column", columns)
            # 9 digits give every float32 back
            table.to_csv(
                file, index=False, header=start == 0, float_format="%.9g", lineterminator="\n"
            )
            report("spectra", maps.scan.n_spectra, maps.scan.n_spectra)
