"""HDF5 in NeXus style, as PyMca, silx and ewoksfluo open it: the cube, or every spectrum.

What PyMca 5.9.7 goes by: ``@interpretation="spectrum"`` marks the counts, with the channels
last; beside them, under exactly these names, ``calibration`` (zero, gain, 0 in keV),
``channels`` (numbers: energies would leave it uncalibrated) and ``live_time`` (one value a
spectrum, in seconds). ``energy`` is for other readers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .crono import read_crono
from .errors import ParameterError
from .export_chunks import create_cube, write_rows
from .export_cube import CubePart, Report, channel_bins, energy_polynomial
from .failsafe_hdf5 import new_hdf5
from .scan import Scan
from .schema import SPECTRA

__all__ = ["write_nexus_cube", "write_nexus_links", "write_nexus_spectra"]

_CHUNK_VALUES = 2**18
"""Counts in a chunk of spectra: 64 of 4096 channels, 512 kB of uint16."""
_SPECTRA_AT_ONCE = 4096


def write_nexus_cube(path: Path, part: CubePart, report: Report) -> None:
    """Write the regular cube: ``data`` is (ny, nx, c) float32.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    part : CubePart
        The cube.
    report : Report
        Who wants to know.

    Raises
    ------
    OSError
        If it cannot be written whole.
    """
    y, x = np.meshgrid(part.y, part.x, indexing="ij")
    times = part.live_times
    with new_hdf5(path) as (file, raw):
        detector = _skeleton(
            file,
            part.scan,
            energies=part.energies,
            positions=(x.ravel(), y.ravel()),
            # A cell without a datum was never live; PyMca adds times up, and NaN would spread.
            live_times=None if times is None else np.nan_to_num(times).ravel(),
            title=part.description(),
        )
        data = create_cube(detector, part.shape)
        _link(file, data)
        _add_map(detector, part)
        for rows, counts in part.blocks(report):
            write_rows(data, rows.start, counts)
            raw.check()


def write_nexus_spectra(
    path: Path,
    scan: Scan,
    report: Report,
    *,
    energies: tuple[float, float] | None = None,
    binning: int = 1,
) -> None:
    """Write every spectrum as it was measured: ``data`` is (n, c), whole counts.

    PyMca shows them at their positions in its scatter view. Binned counts are uint32.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    scan : Scan
        The scan.
    report : Report
        Who wants to know.
    energies, binning : optional
        As in `channel_bins`.

    Raises
    ------
    ParameterError
        If an option has no meaning.
    OSError
        If it cannot be written whole.
    """
    channels, kev = channel_bins(scan, energies, binning)
    n, bins = scan.n_spectra, len(kev)
    with new_hdf5(path) as (file, raw):
        detector = _spectra_skeleton(file, scan, kev)
        data = detector.create_dataset(
            "data",
            (n, bins),
            np.uint16 if binning == 1 else np.uint32,
            chunks=(max(1, min(n, _CHUNK_VALUES // bins)), bins),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        _link(file, data)
        report("spectra", 0, n)
        for start in range(0, n, _SPECTRA_AT_ONCE):
            index = np.arange(start, min(start + _SPECTRA_AT_ONCE, n))
            counts = scan.spectra(index)[:, channels]
            if binning != 1:
                counts = counts.reshape(len(index), bins, binning).sum(axis=-1, dtype=np.uint32)
            data[start : start + len(index)] = counts
            raw.check()
            report("spectra", start + len(index), n)


def write_nexus_links(path: Path, scan: Scan, crono: Path, target: Path, report: Report) -> None:
    """Write a small file that shows the counts of the Crono file without copying them.

    ``data`` is a virtual dataset of the Crono file's spectra. The path to it is relative where
    it can be, so that both files may be moved together. (An external link would not do: PyMca
    does not find ``interpretation`` through it.)

    Parameters
    ----------
    path : Path
        A file that does not exist, in the folder where the export will be.
    scan : Scan
        The scan.
    crono : Path
        The Crono file that it was converted from.
    target : Path
        Where the export will be.
    report : Report
        Who wants to know.

    Raises
    ------
    CronoFileError
        If the Crono file is not there or cannot be read.
    ParameterError
        If it holds other spectra than the scan.
    OSError
        If it cannot be written whole.
    """
    report("spectra", 0, scan.n_spectra)
    found = read_crono(crono).filename
    with h5py.File(found, "r") as file:
        counts = file[SPECTRA]
        shape, dtype = counts.shape, counts.dtype
    expected = (scan.n_spectra, scan.n_channels)
    if shape != expected or found.stat().st_size != scan.source["size"]:
        raise ParameterError(
            f"{crono} is not the file that {scan.name} was converted from: it has "
            f"{found.stat().st_size} bytes and spectra {shape}; expected {scan.source['size']} "
            f"bytes and {expected}. Name the right one with crono."
        )
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(_seen_from(target, found), SPECTRA, shape, dtype)
    with new_hdf5(path) as (file, raw):
        detector = _spectra_skeleton(file, scan, scan.energies)
        data = detector.create_virtual_dataset("data", layout)
        _link(file, data)
        raw.check()
    report("spectra", scan.n_spectra, scan.n_spectra)


def _seen_from(target: Path, crono: Path) -> str:
    """Return the path of the Crono file as the export names it."""
    try:
        return Path(os.path.relpath(crono.resolve(), target.resolve().parent)).as_posix()
    except ValueError:  # on another drive
        return str(crono.resolve())


def _spectra_skeleton(file: h5py.File, scan: Scan, energies: npt.NDArray[np.float32]) -> h5py.Group:
    return _skeleton(
        file,
        scan,
        energies=energies,
        positions=(scan.positions[:, 0], scan.positions[:, 1]),
        live_times=scan.live_times,
        title=f"Counts of {scan.name} as measured, one spectrum a row.",
    )


def _skeleton(
    file: h5py.File,
    scan: Scan,
    *,
    energies: npt.NDArray[np.float32],
    positions: tuple[npt.NDArray, npt.NDArray],
    live_times: npt.NDArray | None,
    title: str,
) -> h5py.Group:
    """Write all but the counts, and return the detector's group."""
    file.attrs["default"] = "entry"
    entry = _group(file, "entry", "NXentry", default="measurement")
    entry["title"] = title
    if isinstance(scan.metadata.get("created"), str):
        entry["start_time"] = scan.metadata["created"]
    instrument = _group(entry, "instrument", "NXinstrument")
    detector = _group(instrument, "detector", "NXdetector")
    detector["calibration"] = np.array(energy_polynomial(energies), dtype=np.float64)
    detector["channels"] = np.arange(len(energies), dtype=np.float32)
    detector["energy"] = energies
    detector["energy"].attrs["units"] = "keV"
    if live_times is not None:
        detector["live_time"] = live_times.astype(np.float64)
        detector["live_time"].attrs["units"] = "s"
    positioners = _group(instrument, "positioners", "NXcollection")
    for name, values in zip("xy", positions, strict=True):
        positioners[name] = np.asarray(values, dtype=np.float64)
        positioners[name].attrs["units"] = "motor steps"
    settings = _group(entry, "scan", "NXcollection")
    for name, value in (("source", scan.source), ("metadata", scan.metadata)):
        settings[name] = json.dumps(value)
    return detector


def _link(file: h5py.File, data: h5py.Dataset) -> None:
    """Mark the counts for what they are, and show them where readers look first."""
    data.attrs["interpretation"] = "spectrum"
    data.attrs["units"] = "counts"
    measurement = _group(file["entry"], "measurement", "NXdata", signal="data")
    measurement["data"] = h5py.SoftLink(data.name)


def _add_map(detector: h5py.Group, part: CubePart) -> None:
    """Add the plot of the cube over its axes."""
    axes = ["dim0", "dim1", "dim2"]
    plot = _group(detector, "map", "NXdata", signal="data", axes=axes)
    plot["data"] = h5py.SoftLink(f"{detector.name}/data")
    for name, values in (("dim0", part.y), ("dim1", part.x)):
        plot[name] = values
        plot[name].attrs["units"] = "motor steps"
    plot["dim0"].attrs["long_name"] = "y"
    plot["dim1"].attrs["long_name"] = "x"
    plot["dim2"] = h5py.SoftLink(f"{detector.name}/channels")


def _group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name, track_order=True)
    group.attrs["NX_class"] = nx_class
    for key, value in attributes.items():
        group.attrs[key] = value
    return group
