"""Reading the Crono scanner's HDF5 file: one scan, as its spectra were measured.

There is no public specification; the layout was read off one real file (`CRONO 1.2.4.54`,
structure version 1.6). Of its 32 datasets a scan needs four: `XRF/Spectra` (n, c) counts,
`XRF/EnergyVector` (c,) keV, `XRF/MotorsPositions` (n, 3) motor steps, and
`XRF/SpectraSelectedIndex` (h, w, 1), the spectrum that the vendor put in each map cell. Times
are microseconds (LiveTimes and RealTimes of a 60 ms scan are about 60000); texts are zero
padded arrays of single bytes, dates month/day/year; attributes lie in an outer array of
length 1. The rest are regions of interest, .NET blobs and camera frames.

Datasets are found by name. A file is opened read-only, and only `XRF/Spectra` stays unread.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from . import schema
from .crono_datasets import (
    Roi,
    find_spectra,
    optional,
    read_durations,
    read_energies,
    read_positions,
    read_rois,
    read_seconds,
    read_selected_index,
    required,
)
from .crono_metadata import read_metadata
from .errors import CronoFileError
from .hdf5 import HDF5_ERRORS, compression, open_hdf5, plain, reason, remedy
from .plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from types import TracebackType

__all__ = [
    "CronoScan",
    "DatasetList",
    "Roi",
    "open_spectra",
    "read_crono",
    "read_datasets",
    "read_spectra_block",
]

logger = logging.getLogger(__name__)

MAX_COUNT = int(np.iinfo(np.uint16).max)


class DatasetList(list[h5py.Dataset]):
    """All datasets of an open HDF5 file in visit order, as `cronomaxrf` numbers them.

    The file stays open as long as the list lives; `close` it, or use the list in a `with`.
    """

    def __init__(self, file: h5py.File) -> None:
        super().__init__()
        self.file = file
        names: list[bytes] = []
        h5py.h5o.visit(file.id, names.append)  # File.visititems would open items in C's callback
        self.extend(item for name in names if isinstance(item := file[name], h5py.Dataset))

    def close(self) -> None:
        """Close the file; its datasets cannot be read afterwards."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, eq=False)
class CronoScan:
    """Everything of a Crono scan but its spectra.

    Parameters
    ----------
    filename : Path
        The file that was read.
    n_spectra, n_channels : int
        Shape of `XRF/Spectra`.
    energies : (c,) float32
        Energy of each channel in keV, finite and strictly increasing.
    positions : (n, 2) or (n, 3) array, dtype as in the file
        x, y and mostly z in motor steps; x and y finite, not all at one place.
    selected_index : (h, w) int64
        Row in `XRF/Spectra` of the spectrum that the vendor put in each map cell.
    live_times, real_times : (n,) float64 or None
        Seconds, all above zero. None if missing or unusable.
    timestamps : (n,) float64 or None
        Seconds on the scanner's clock. None if missing or unusable.
    rois : tuple of Roi
        The vendor's regions of interest; some may be empty.
    metadata : dict
        What the file says of itself and the instrument, JSON-serialisable.
    spectra_chunks : tuple of int, or None
        Chunk shape of `XRF/Spectra`; None if contiguous.
    spectra_compression : str or None
        Its filters in the order of writing, such as `shuffle+gzip`; None if there are none.
    notes : tuple of str
        What was ignored, a sentence each; also logged as warnings.
    """

    filename: Path
    n_spectra: int
    n_channels: int
    energies: np.ndarray = field(repr=False)
    positions: np.ndarray = field(repr=False)
    selected_index: np.ndarray = field(repr=False)
    live_times: np.ndarray | None = field(repr=False)
    real_times: np.ndarray | None = field(repr=False)
    timestamps: np.ndarray | None = field(repr=False)
    rois: tuple[Roi, ...]
    metadata: dict[str, Any]
    spectra_chunks: tuple[int, ...] | None
    spectra_compression: str | None
    notes: tuple[str, ...] = ()


def read_datasets(filename: str | PathLike[str]) -> DatasetList:
    """Open a Crono file and list its datasets in visit order.

    Parameters
    ----------
    filename : str or PathLike
        Any HDF5 file; nothing is validated, so that a faulty one can be looked into.

    Returns
    -------
    DatasetList
        A list of `h5py.Dataset`: `read_datasets(filename)[26][...]` are the spectra of a
        file of structure version 1.6. Numbers change with the version, names do not.

    Raises
    ------
    CronoFileError
        If the file cannot be opened as HDF5, or its tree is damaged.
    """
    file = open_hdf5(filename)
    try:
        return DatasetList(file)
    except HDF5_ERRORS as error:
        file.close()
        raise CronoFileError(
            f"{printable(filename)}: the tree of datasets is damaged ({reason(error)}); "
            "copy the file again from the scanner."
        ) from error


@contextmanager
def open_spectra(filename: str | PathLike[str]) -> Iterator[h5py.Dataset]:
    """Yield the dataset `XRF/Spectra` (n, c) for reading in blocks, and close the file.

    Raises
    ------
    CronoFileError
        If the file cannot be opened, or the dataset is missing, empty or no table of counts.
    """
    with open_hdf5(filename) as file:
        try:
            spectra = find_spectra(file)
        except CronoFileError as error:
            raise CronoFileError(_all_faults(filename, [str(error)])) from error
        yield spectra


def read_spectra_block(dataset: h5py.Dataset, start: int, stop: int) -> np.ndarray:
    """Read the counts of some spectra.

    Parameters
    ----------
    dataset : h5py.Dataset
        `XRF/Spectra`, (n, c) of any integer dtype.
    start, stop : int
        Spectra start to stop - 1; a stop beyond n is cut, as Python's slices do.

    Returns
    -------
    (stop - start, c) uint16
        Counts, native byte order.

    Raises
    ------
    CronoFileError
        If HDF5 cannot read the block (damaged, or its compression is not installed), or if a
        count is negative or above 65535.
    """
    where = f"{printable(dataset.file.filename)}: {schema.SPECTRA}, spectra {start}..{stop - 1}"
    try:
        block = dataset[start:stop]
    except (OSError, RuntimeError) as error:
        raise CronoFileError(
            f"{where} cannot be read ({reason(error)}); {remedy(dataset)}."
        ) from error
    if np.can_cast(block.dtype, np.uint16):
        return block.astype(np.uint16, copy=False)
    wrong = (block < 0) | (block > MAX_COUNT)
    if wrong.any():
        spectrum, channel = np.argwhere(wrong)[0].tolist()
        raise CronoFileError(
            f"{where}: spectrum {start + spectrum} has {block[spectrum, channel]} counts in "
            f"channel {channel}, one of {int(wrong.sum())} values outside 0..{MAX_COUNT}; expected "
            "counts of a detector, unsigned 16-bit."
        )
    return block.astype(np.uint16)


def read_crono(filename: str | PathLike[str]) -> CronoScan:
    """Read and validate a Crono scan, all but its spectra.

    Required: `XRF/Spectra`, `EnergyVector`, `MotorsPositions` and `SpectraSelectedIndex`, of
    agreeing shapes. Everything else is optional: what is there but unusable is ignored,
    logged as a warning and kept in `CronoScan.notes`.

    Raises
    ------
    CronoFileError
        If the file cannot be opened, or a required dataset is missing, unreadable or
        inconsistent. All faults are named in one message, a line each.
    """
    faults: list[str] = []
    notes: list[str] = []
    with open_hdf5(filename) as file:
        spectra = required(faults, find_spectra, file)
        n, c = (None, None) if spectra is None else spectra.shape
        energies = required(faults, read_energies, file, c)
        positions = required(faults, read_positions, file, n)
        selected = required(faults, read_selected_index, file, n)
        if spectra is None or energies is None or positions is None or selected is None:
            raise CronoFileError(_all_faults(filename, faults))
        metadata = read_metadata(file, notes)
        metadata["stage_range"] = {
            axis: plain(np.array([steps.min(), steps.max()]))
            for axis, steps in zip("xyz", positions.T, strict=False)
        }
        live_times = optional(notes, read_durations, file, schema.LIVE_TIMES, n)
        real_times = optional(notes, read_durations, file, schema.REAL_TIMES, n)
        timestamps = optional(notes, read_seconds, file, schema.TIMESTAMPS, n)
        rois = optional(notes, read_rois, file, notes) or ()
        notes = list(dict.fromkeys(notes))  # a dataset and its attributes share their faults
        for note in notes:
            logger.warning("%s: %s", printable(filename), note)
        return CronoScan(
            filename=Path(filename),
            n_spectra=n,
            n_channels=c,
            energies=energies,
            positions=positions,
            selected_index=selected,
            live_times=live_times,
            real_times=real_times,
            timestamps=timestamps,
            rois=rois,
            metadata=metadata,
            spectra_chunks=spectra.chunks,
            spectra_compression=compression(spectra),
            notes=tuple(notes),
        )


def _all_faults(filename: str | PathLike[str], faults: list[str]) -> str:
    """Return one message: the file, then all faults, a line each."""
    if len(faults) == 1:
        return f"{printable(filename)}: {faults[0]}"
    return "\n- ".join(
        [f"{printable(filename)} cannot be used, it has {len(faults)} faults:", *faults]
    )
