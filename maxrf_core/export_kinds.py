"""The kinds of files that a scan can be exported to, and how their names end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import ParameterError

__all__ = ["EXPORT_KINDS", "ExportKind", "export_kind"]

_CUBE = frozenset({"method", "lag", "sigma", "energies", "binning", "orientation"})
_MAPS = frozenset(
    {"method", "lag", "sigma", "windows", "background", "per_second", "errors", "orientation"}
)
_HDF5 = (".h5", ".nxs", ".hdf5")


@dataclass(frozen=True)
class ExportKind:
    """A kind of file.

    Parameters
    ----------
    name : str
        What `export_scan` calls it.
    suffixes : tuple of str
        How its files end; the first is the usual one.
    label : str
        What it is and who opens it, for people.
    options : frozenset of str
        Options of `export_scan` that have a meaning for it.
    """

    name: str
    suffixes: tuple[str, ...]
    label: str
    options: frozenset[str]


EXPORT_KINDS = (
    ExportKind("nexus", _HDF5, "Cube, NeXus HDF5: PyMca, silx", _CUBE),
    ExportKind(
        "nexus-spectra",
        _HDF5,
        "Spectra as measured with positions, NeXus HDF5: PyMca",
        frozenset({"energies", "binning"}),
    ),
    ExportKind(
        "nexus-links",
        _HDF5,
        "Spectra as measured, NeXus HDF5 that points at the Crono file: PyMca",
        frozenset({"crono"}),
    ),
    ExportKind("hspy", (".hspy",), "Cube: HyperSpy, eXSpy", _CUBE | {"beam_kev"}),
    ExportKind("rpl", (".rpl",), "Cube, LISPIX .rpl and .raw: most programs", _CUBE),
    ExportKind("datastack", (".datastack",), "Cube: maxrf4u", _CUBE),
    ExportKind("tiff", (".tif", ".tiff"), "Maps, float32 TIFF", _MAPS | {"mm_per_step"}),
    ExportKind("csv", (".csv",), "Maps, a table: spreadsheets", _MAPS),
    ExportKind("npy", (".npy",), "Maps: NumPy", _MAPS),
    ExportKind(
        "png",
        (".png",),
        "Maps, a figure with colour bar and scale bar",
        (_MAPS - {"orientation"}) | {"mm_per_step", "colour_map", "clip"},
    ),
    ExportKind("dms", (".dms",), "Maps: DataMuncher, XRF-Explorer", _MAPS),
    ExportKind(
        "spectra",
        (".csv",),
        "Spectra, a table with errors",
        frozenset({"method", "lag", "sigma", "regions"}),
    ),
)
"""All kinds. A suffix that several have stands for the first of them."""


def export_kind(path: str | os.PathLike[str], kind: str | None = None) -> ExportKind:
    """Return the kind of file that a name, or the name of a kind, stands for.

    Parameters
    ----------
    path : path
        The file.
    kind : str, optional
        Name of a kind; by default what the path's suffix stands for.

    Raises
    ------
    ParameterError
        If there is no such kind, or the suffix belongs to another.
    """
    suffix = Path(path).suffix.lower()
    if kind is None:
        for candidate in EXPORT_KINDS:
            if suffix in candidate.suffixes:
                return candidate
        known = sorted({suffix for candidate in EXPORT_KINDS for suffix in candidate.suffixes})
        raise ParameterError(
            f"{os.fspath(path)!r} ends in {suffix or 'nothing'!r}, which is no kind of export; "
            f"expected one of {', '.join(known)}."
        )
    for candidate in EXPORT_KINDS:
        if candidate.name == kind:
            if suffix not in candidate.suffixes:
                raise ParameterError(
                    f"{os.fspath(path)!r} is to be of kind {kind!r}; expected a name ending in "
                    f"{' or '.join(candidate.suffixes)}."
                )
            return candidate
    names = ", ".join(candidate.name for candidate in EXPORT_KINDS)
    raise ParameterError(f"kind is {kind!r}; expected one of {names}.")
