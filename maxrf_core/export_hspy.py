"""The cube as HyperSpy's own HDF5 file, ``.hspy``, which HyperSpy and eXSpy open.

The layout of format version 3.3, as RosettaSciIO 0.15 reads it: one experiment with ``data``,
a group for each axis, and groups of metadata, all described by attributes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .export_chunks import create_cube, write_rows
from .export_cube import CubePart, Report, energy_polynomial
from .failsafe_hdf5 import new_hdf5

__all__ = ["write_hspy"]

_BEAM_ENERGY = "beam_energy"


def write_hspy(
    path: Path, part: CubePart, report: Report, *, beam_kev: float | None = None
) -> None:
    """Write the regular cube with its three axes and what is known of the detector.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    part : CubePart
        The cube, ``data`` (ny, nx, c) float32.
    report : Report
        Who wants to know.
    beam_kev : float, optional
        Voltage of the tube; eXSpy leaves lines above it out. The Crono file does not name it.

    Raises
    ------
    OSError
        If it cannot be written whole.
    """
    with new_hdf5(path) as (file, raw):
        file.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.3"})
        title = _plain_name(part.scan.name)
        experiment = file.create_group(f"Experiments/{title}")
        experiment.attrs.update({"package": "hyperspy", "package_version": "2.0"})
        data = create_cube(experiment, part.shape)
        for number, (name, values) in enumerate((("y", part.y), ("x", part.x))):
            scale = part.scan.grid.dx if name == "x" else part.scan.grid.dy
            scale = scale if len(values) < 2 else float(values[1] - values[0])
            _add_axis(
                experiment,
                number,
                _type="UniformDataAxis",
                name=name,
                units="motor steps",
                scale=scale,
                offset=float(values[0]),
                size=len(values),
                navigate=True,
                is_binned=False,
            )
        _add_energies(experiment, part)
        _add_metadata(experiment, part, title, beam_kev)
        for rows, counts in part.blocks(report):
            write_rows(data, rows.start, counts)
            raw.check()


def _plain_name(text: str) -> str:
    """Return a title that is one name inside an HDF5 file."""
    return text.replace("/", "-").strip(".") or "scan"


def _add_axis(experiment: h5py.Group, number: int, **attributes: Any) -> h5py.Group:
    axis = experiment.create_group(f"axis-{number}")
    for key, value in attributes.items():
        axis.attrs[key] = value
    return axis


def _add_energies(experiment: h5py.Group, part: CubePart) -> None:
    """Add the energy axis: a straight line, or else all of its values."""
    zero, gain, curvature = energy_polynomial(part.energies)
    shared = {"name": "Energy", "units": "keV", "navigate": False, "is_binned": True}
    size = len(part.energies)
    if curvature == 0:
        line = {"scale": gain or 1.0, "offset": zero, "size": size}
        _add_axis(experiment, 2, _type="UniformDataAxis", **line, **shared)
        return
    axis = _add_axis(experiment, 2, _type="DataAxis", size=size, **shared)
    axis["axis"] = part.energies.astype(np.float64)


def _add_metadata(
    experiment: h5py.Group, part: CubePart, title: str, beam_kev: float | None
) -> None:
    general = experiment.create_group("metadata/General")
    general.attrs["title"] = title
    general.attrs["notes"] = part.description()
    date, _, time = str(part.scan.metadata.get("created", "")).partition("T")
    if time:
        general.attrs.update({"date": date, "time": time})
    signal = experiment.create_group("metadata/Signal")
    signal.attrs.update({"signal_type": "EDS_SEM", "quantity": "X-rays (Counts)"})
    tube = experiment.create_group("metadata/Acquisition_instrument/SEM")
    if beam_kev is not None:
        tube.attrs[_BEAM_ENERGY] = float(beam_kev)
    detector = tube.create_group("Detector/EDS")
    if part.scan.live_times is not None:
        detector.attrs["live_time"] = float(part.scan.live_times.mean())
    experiment.create_group("original_metadata")
