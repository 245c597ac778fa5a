"""Scans of other programs and scanners, converted: cubes on a regular grid of cells.

Such a cube is described to the converter as a Crono file: one spectrum for each cell, at
positions on a regular raster. That file is temporary; it takes the room of the counts, 2 bytes
each, beside the zipstore until that is made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import schema
from .conversion import convert_crono
from .errors import ConversionCancelled, CronoFileError, OutputError, ParameterError
from .failsafe_hdf5 import new_hdf5
from .grid import MAX_CELLS, Orientation
from .import_cube import ForeignCube
from .import_datastack import open_datastack
from .import_rpl import open_rpl
from .location import changed_meanwhile, file_stamp
from .progress import Progress, progress_bar
from .scan import open_scan
from .unfinished import HiddenNames, told

__all__ = ["import_scan"]

_OPENERS: dict[str, Callable[[Path], AbstractContextManager[ForeignCube]]] = {
    ".rpl": open_rpl,
    ".raw": open_rpl,
    ".datastack": open_datastack,
}

STEPS_A_CELL = 1000
"""Motor steps between two cells: nothing says how far apart they are."""


def import_scan(
    filename: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    calibration: tuple[float, float] | None = None,
    method: str = "selected",
    sigma: float = 7.0,
    orientation: Orientation = "motor",
    cubes: bool = True,
    overwrite: bool = False,
    progress: bool | Callable[[Progress], None] = True,
    cancel: threading.Event | None = None,
    memory_limit: str | int = "1 GiB",
) -> str:
    """Convert a cube of another program or scanner to a zipstore.

    Parameters
    ----------
    filename : path
        An ``.rpl``, or the ``.raw`` beside it; or a ``.datastack``. Row 0 is taken for the top
        of the picture.
    output, sigma, orientation, cubes, overwrite, progress, cancel, memory_limit
        As in `convert_crono`.
    calibration : (float, float), optional
        Energy of channel 0 and width of a channel in keV, in the place of the file's.
    method : str
        Interpolation method; ``selected`` leaves each cell the counts of its own spectrum.

    Returns
    -------
    zipstore_filename : str
        Path of the zipstore. Its scan has neither live times nor regions of interest, and
        its motor steps are 1000 to a cell.

    Raises
    ------
    CronoFileError
        If the cube cannot be read, its parts do not fit each other, or it has no whole counts.
    ParameterError
        If nothing says which energies the channels have, an option has no meaning, or the
        file's name has another ending.
    OutputError, ConversionCancelled
        As `convert_crono`.
    """
    path = Path(filename)
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise ParameterError(
            f"{path} ends in {path.suffix or 'nothing'!r}; expected "
            f"{', '.join(schema.CUBE_SUFFIXES)}. Crono HDF5 files are for convert_crono."
        )
    line = None if calibration is None else _check_calibration(calibration)
    target = Path(output) if output is not None else path.parent
    with opener(path) as cube, progress_bar(progress, path.name) as report:
        energies = _energies(cube, line)
        final = target / f"{path.stem}{schema.ZIPSTORE_SUFFIX}" if target.is_dir() else target
        before = file_stamp(final)
        with told(target):
            hidden = HiddenNames(final)
        with hidden:
            # the header's name, whichever half was named; the stem is the zipstore's
            described = hidden.name(final, "import") / path.with_suffix(_suffix_of(path)).name
            with told(target):
                described.parent.mkdir()
                _describe(described, cube, energies, report, cancel)
            zipstore = convert_crono(
                described,
                output=target,
                method=method,
                sigma=sigma,
                orientation=orientation,
                lag=0.0,
                cubes=cubes,
                overwrite=overwrite,
                progress=report,
                cancel=cancel,
                memory_limit=memory_limit,
            )
    if file_stamp(final) == before:  # it was there, and was left as it is
        _check_energies(zipstore, energies)
    return zipstore


def _suffix_of(path: Path) -> str:
    return ".rpl" if path.suffix.lower() == ".raw" else path.suffix


def _check_calibration(calibration: tuple[float, float]) -> tuple[float, float]:
    try:
        zero, gain = (float(value) for value in calibration)
    except (TypeError, ValueError):
        zero = gain = float("nan")
    if not (np.isfinite([zero, gain]).all() and gain > 0):
        raise ParameterError(
            f"calibration is {calibration!r}; expected the energy of channel 0 and the width of a "
            "channel in keV, such as (-0.956, 0.010002)."
        )
    return zero, gain


def _energies(cube: ForeignCube, line: tuple[float, float] | None) -> npt.NDArray[np.float32]:
    """Return the energy of each channel in keV: as given, or as in the file."""
    energies = cube.energies
    if line is not None:
        zero, gain = line
        energies = (zero + gain * np.arange(cube.shape[-1])).astype(np.float32)
    if energies is None:
        raise ParameterError(
            f"{cube.path} does not say which energies its {cube.shape[-1]} channels have; name the "
            "energy of channel 0 and the width of a channel in keV with calibration (command "
            "line: --calibration), such as -0.956 0.010002."
        )
    if not (np.isfinite(energies).all() and np.all(np.diff(energies) > 0)):
        raise CronoFileError(
            f"{cube.path} has energies that do not grow with the channels, or are not finite. "
            "Name them with calibration (command line: --calibration), such as -0.956 0.010002."
        )
    return energies


def _describe(
    path: Path,
    cube: ForeignCube,
    energies: npt.NDArray[np.float32],
    report: Callable[[Progress], None],
    cancel: threading.Event | None,
) -> None:
    """Write the Crono file that stands for a cube, with the time of the cube's file.

    Then the same file, converted again, is the same scan.
    """
    before = file_stamp(cube.path)
    height, width, bins = cube.shape
    if height * width > MAX_CELLS:
        raise CronoFileError(
            f"{cube.path} has {height} x {width} cells; at most {MAX_CELLS:,} are possible."
        )
    if height * width == 1:
        raise CronoFileError(f"{cube.path} has a single cell; expected a map of two or more.")
    row, column = np.divmod(np.arange(height * width), width)
    positions = np.zeros((height * width, 3), dtype=np.uint32)
    positions[:, 0] = STEPS_A_CELL * column
    positions[:, 1] = STEPS_A_CELL * (height - 1 - row)  # y grows upwards
    with new_hdf5(path) as (file, written):
        file[schema.ENERGY_VECTOR] = energies
        file[schema.MOTORS_POSITIONS] = positions
        file[schema.SELECTED_INDEX] = np.arange(height * width, dtype=np.uint64).reshape(
            height, width, 1
        )
        counts = file.create_dataset(schema.SPECTRA, (height * width, bins), np.uint16)
        done = 0
        for start, block in cube.blocks():
            if cancel is not None and cancel.is_set():
                raise ConversionCancelled(f"the import of {cube.path} was cancelled.")
            report(Progress("import", done, height * width))
            counts[start : start + len(block)] = block
            written.check()
            done += len(block)
        report(Progress("import", done, height * width))
    times = cube.path.stat()
    if file_stamp(cube.path) != before:
        raise CronoFileError(changed_meanwhile(cube.path))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _check_energies(zipstore: str, energies: npt.NDArray[np.float32]) -> None:
    """Refuse a zipstore of the same counts, made before, whose energies are others."""
    with open_scan(zipstore) as scan:
        same = np.array_equal(scan.file_energies, energies)
    if not same:
        raise OutputError(
            f"{zipstore} exists already and was made with other energies. Pass overwrite=True "
            "(command line: --overwrite) to replace it, or another output."
        )
