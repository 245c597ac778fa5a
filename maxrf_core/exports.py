"""The one door to exports: a scan, a file name, and what to put there for which program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

from .errors import OutputError, ParameterError
from .export_cube import CubePart, Report, cube_part
from .export_datastack import write_datastack
from .export_file import check_target, whole_files
from .export_hspy import write_hspy
from .export_kinds import EXPORT_KINDS, ExportKind, export_kind
from .export_maps import MapSet, Windows, check_windows, write_csv, write_dms, write_npy
from .export_nexus import write_nexus_cube, write_nexus_links, write_nexus_spectra
from .export_png import write_png
from .export_rpl import write_rpl
from .export_spectra import Regions, write_spectra
from .export_tiff import write_tiff
from .grid import Orientation
from .location import lies_in
from .progress import Progress, progress_bar
from .regions import shown
from .scan import Scan, Sigma
from .smoothing import check_sigma

__all__ = ["EXPORT_KINDS", "ExportKind", "export_kind", "export_scan"]


def export_scan(
    scan: Scan,
    path: str | os.PathLike[str],
    *,
    kind: str | None = None,
    method: str | None = None,
    lag: float | None = None,
    sigma: Sigma = 0,
    energies: tuple[float, float] | None = None,
    binning: int = 1,
    orientation: Orientation | None = None,
    windows: Windows = None,
    background: str = "none",
    per_second: bool = False,
    errors: bool = False,
    regions: Regions = None,
    mm_per_step: float | None = None,
    colour_map: str | None = None,
    clip: tuple[float, float] | None = None,
    beam_kev: float | None = None,
    crono: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> str:
    """Write a scan, or maps or spectra of it, as a file for another program.

    Parameters
    ----------
    scan : Scan
        The scan.
    path : path
        The file. A ``.raw`` goes beside an ``.rpl``.
    kind : str, optional
        Name of one of `EXPORT_KINDS`; by default the first that the path's suffix stands for.
    method, lag, sigma : optional
        Interpolation method, the lag that it corrects in periods, as in `Scan.operator`, and
        Gaussian smoothing in channels: cubes, maps, spectra of regions.
    energies : (float, float), optional
        Lowest and highest energy in keV of the channels exported: cubes and spectra.
    binning : int
        Channels summed into one, for programs that hold all in memory, as PyMca does.
    orientation : {"image", "motor"}, optional
        Whether row 0 has the largest y, as the page shows it and a picture is stored, or the
        smallest, as arrays of `Scan` have it. By default ``image``, but ``motor`` for ``.npy``.
    windows : mapping or sequence of Roi, optional
        Maps of which energies, ``{name: (low keV, high keV)}``; by default the file's own
        regions of interest.
    background, per_second : optional
        As in `Scan.energy_map`.
    errors : bool
        With the standard error of each map behind it.
    regions : mapping, optional
        Masks (h, w) by name, whose mean spectra are written; by default the whole scan's.
    mm_per_step : float, optional
        Millimetres a motor step, for the resolution of a TIFF and the scale bar of a PNG.
    colour_map : str, optional
        One of `export_png.COLOUR_MAPS`, for a PNG.
    clip : (float, float), optional
        Percentiles that take the end colours of a PNG, by default 0 and 99.5.
    beam_kev : float, optional
        Voltage of the tube, for eXSpy.
    crono : path, optional
        The scan's Crono file, for ``nexus-links``; by default it lies beside the scan.
    overwrite : bool
        Replace an existing file.
    progress : bool or callable, optional
        A bar on the terminal, or a function that is given `Progress`.
    cancel : threading.Event, optional
        Set it from another thread to stop.

    Returns
    -------
    path : str
        The file written.

    Raises
    ------
    ParameterError
        If an option has no meaning, or none for this kind.
    CronoFileError
        If the Crono file is needed and cannot be read.
    OutputError
        If the file cannot be written, or one is in its place.
    ConversionCancelled
        If `cancel` was set. Then, and after any error, what stood in place still does.
    """
    given = {
        "method": method,
        "lag": lag,
        "sigma": sigma,
        "energies": energies,
        "binning": binning,
        "orientation": orientation,
        "windows": windows,
        "background": background,
        "per_second": per_second,
        "errors": errors,
        "regions": regions,
        "mm_per_step": mm_per_step,
        "colour_map": colour_map,
        "clip": clip,
        "beam_kev": beam_kev,
        "crono": crono,
    }
    found = export_kind(path, kind)
    _check_options(found, given)
    target = Path(path)
    paths = [target.with_suffix(".raw"), target] if found.name == "rpl" else [target]
    for each in paths:
        check_target(each, overwrite=overwrite)
        _protect_source(scan, each)
    with progress_bar(progress or False, target.name) as tell:
        report = Report(target, tell, cancel)
        with whole_files(paths, overwrite=overwrite) as hidden:
            _write(found.name, scan, target, hidden, report, given)
    return str(target)


_DEFAULTS: dict[str, Any] = {
    "sigma": 0,
    "binning": 1,
    "background": "none",
    "per_second": False,
    "errors": False,
}
"""Of the options that are not None by default."""


def _check_options(kind: ExportKind, given: dict[str, Any]) -> None:
    """Refuse options that would change nothing, and those without meaning."""
    check_sigma(given["sigma"])
    strange = [
        name
        for name, value in given.items()
        if name not in kind.options
        and value is not None
        and not (isinstance(value, str | int | float) and value == _DEFAULTS.get(name))
    ]
    if strange:
        raise ParameterError(
            f"{', '.join(strange)} has no meaning for {kind.name!r}; it takes "
            f"{', '.join(sorted(kind.options))}."
        )
    if kind.name == "spectra" and given["regions"] is None:
        for name in ("method", "lag"):
            if given[name] is not None:
                raise ParameterError(
                    f"{name} has no meaning for the spectra of the whole scan, which are not "
                    "interpolated; leave it out, or name regions."
                )
    if given["orientation"] not in (None, "image", "motor"):
        raise ParameterError(
            f"orientation is {given['orientation']!r}; expected 'image' or 'motor'."
        )


def _protect_source(scan: Scan, path: Path) -> None:
    """Refuse the name of the measurement: nothing may ever replace it."""
    if path.name.casefold() == str(scan.source["name"]).casefold():
        raise OutputError(f"{path} has the name of the measured scan; choose another name.")
    if scan.filename is not None and path.exists() and path.samefile(scan.filename):
        raise OutputError(f"{path} is the scan itself; choose another name.")


def _write(
    kind: str,
    scan: Scan,
    target: Path,
    hidden: list[Path],
    report: Report,
    given: dict[str, Any],
) -> None:
    """Write one kind of file under its hidden name."""
    path = hidden[-1]
    if kind == "nexus-spectra":
        span = {name: given[name] for name in ("energies", "binning")}
        write_nexus_spectra(path, scan, report, **span)
    elif kind == "nexus-links":
        write_nexus_links(path, scan, _crono_of(scan, given["crono"]), target, report)
    elif kind == "spectra":
        options = {name: given[name] for name in ("regions", "method", "lag", "sigma")}
        write_spectra(path, scan, report, **options)
    elif kind in _MAP_WRITERS:
        _MAP_WRITERS[kind](path, _maps(scan, kind, given), report)
    elif kind == "tiff":
        write_tiff(path, _maps(scan, kind, given), report, mm_per_step=given["mm_per_step"])
    elif kind == "png":
        look = ("mm_per_step", "colour_map", "clip")
        options = {name: given[name] for name in look if given[name] is not None}
        write_png(path, _maps(scan, kind, given), report, **options)
    elif kind == "rpl":
        write_rpl(path, hidden[0], _cube(scan, given), report)
    elif kind == "hspy":
        write_hspy(path, _cube(scan, given), report, beam_kev=given["beam_kev"])
    else:
        _CUBE_WRITERS[kind](path, _cube(scan, given), report)


_MAP_WRITERS = {"csv": write_csv, "npy": write_npy, "dms": write_dms}
_CUBE_WRITERS = {"nexus": write_nexus_cube, "datastack": write_datastack}


def _cube(scan: Scan, given: dict[str, Any]) -> CubePart:
    options = {name: given[name] for name in ("method", "lag", "sigma", "energies", "binning")}
    return cube_part(scan, **options, image=given["orientation"] != "motor")


def _maps(scan: Scan, kind: str, given: dict[str, Any]) -> MapSet:
    orientation = given["orientation"] or ("motor" if kind == "npy" else "image")
    options = {name: given[name] for name in ("sigma", "background", "per_second", "errors")}
    windows = check_windows(scan, given["windows"])
    method, lag = scan.interpolation(given["method"], given["lag"])
    return MapSet(scan, windows, method, lag, **options, image=orientation == "image")


def _crono_of(scan: Scan, crono: str | os.PathLike[str] | None) -> Path:
    if crono is not None:
        return Path(crono)
    if scan.filename is None:
        raise ParameterError(
            f"{scan.name} was opened by URL; name its Crono file with crono to point at it."
        )
    name = str(scan.source["name"])
    beside = scan.filename.parent / name
    if PureWindowsPath(name).name != name or not lies_in(beside, scan.filename.parent):
        raise ParameterError(
            f"there is no Crono file {shown(name)} beside {scan.name}, which names it as its own; "
            "name it with crono."
        )
    return beside
