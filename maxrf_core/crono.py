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
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import h5py
import numpy as np

from . import schema
from .errors import CronoFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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

# What h5py makes of HDF5's own errors when a file is damaged: it maps each error class of the C
# library onto one of these. A TypeError is a type without a numpy equivalent, a MemoryError a
# damaged shape.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)

MICROSECONDS_PER_SECOND = 1e6
MAX_COUNT = int(np.iinfo(np.uint16).max)
SMALL = 4096
"""Elements of a descriptive dataset (date, program, calibration) that are read at most."""

# Filter numbers that HDF5 and h5py define: H5Zpublic.h and h5py/_hl/filters.py
FILTER_NAMES = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset"}
FILTER_NAMES[32000] = "lzf"

_T = TypeVar("_T")


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


@dataclass(frozen=True)
class Roi:
    """A region of interest as the file has it: a name and an energy window in keV."""

    name: str
    low_kev: float
    high_kev: float

    @property
    def is_empty(self) -> bool:
        """Whether no energy lies in [low_kev, high_kev)."""
        return not self.low_kev < self.high_kev


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
            spectra = _spectra(file)
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
            f"{where} cannot be read ({reason(error)}); {_remedy(dataset)}."
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
        spectra = _required(faults, _spectra, file)
        n, c = (None, None) if spectra is None else spectra.shape
        energies = _required(faults, _energies, file, c)
        positions = _required(faults, _positions, file, n)
        selected = _required(faults, _selected_index, file, n)
        if spectra is None or energies is None or positions is None or selected is None:
            raise CronoFileError(_all_faults(filename, faults))
        metadata = read_metadata(file, notes)
        metadata["stage_range"] = {
            axis: plain(np.array([steps.min(), steps.max()]))
            for axis, steps in zip("xyz", positions.T, strict=False)
        }
        live_times = _optional(notes, _durations, file, schema.LIVE_TIMES, n)
        real_times = _optional(notes, _durations, file, schema.REAL_TIMES, n)
        timestamps = _optional(notes, _seconds, file, schema.TIMESTAMPS, n)
        rois = _optional(notes, _rois, file, notes) or ()
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


# --- opening, finding, and gathering faults -----------------------------------------------
def open_hdf5(filename: str | PathLike[str]) -> h5py.File:
    """Open any HDF5 file for reading, or raise a CronoFileError that says why not."""
    path = Path(filename)
    name = printable(path)
    try:
        mode = path.stat().st_mode
        first = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                first = stream.read(1)
    except FileNotFoundError as error:
        raise CronoFileError(
            f"{name} does not exist; check the folder and the spelling."
        ) from error
    except PermissionError as error:
        raise CronoFileError(
            f"{name} cannot be read: no permission; ask its owner for the right to read it."
        ) from error
    except (OSError, ValueError) as error:
        raise CronoFileError(f"{name} cannot be read: {reason(error)}.") from error
    if stat.S_ISDIR(mode):
        raise CronoFileError(f"{name} is a folder; name one of the HDF5 files in it.")
    if not stat.S_ISREG(mode):
        raise CronoFileError(f"{name} is a device or pipe; expected an HDF5 file.")
    if not first:
        raise CronoFileError(f"{name} is empty (0 bytes); copy it again from the scanner.")
    try:
        return h5py.File(path, "r")
    except HDF5_ERRORS as error:
        why = reason(error)
        if "truncated file" in why:
            what = "is cut short; copy it again from the scanner, whole"
        elif "signature not found" in why:
            what = "is not an HDF5 file; expected a scan that the Crono program saved"
        elif "unable to lock" in why:
            what = "is in use by another program; try again when the scan is saved"
        else:
            what = "cannot be opened as HDF5; copy it again from the scanner"
        raise CronoFileError(f"{name} {what} ({why}).") from error


class _MissingDatasetError(CronoFileError):
    """A dataset is not in the file, which is no fault if it is optional."""


def _required(faults: list[str], read: Callable[..., _T], *arguments: Any) -> _T | None:
    """Return what `read` returns, or add its CronoFileError to `faults` and return None."""
    try:
        return read(*arguments)
    except CronoFileError as error:
        faults.append(str(error))
        return None


def _optional(notes: list[str], read: Callable[..., _T], *arguments: Any) -> _T | None:
    """Return what `read` returns; None if the dataset is missing, or unusable (then noted)."""
    try:
        return read(*arguments)
    except _MissingDatasetError:
        return None
    except CronoFileError as error:
        notes.append(str(error))
        return None


def _all_faults(filename: str | PathLike[str], faults: list[str]) -> str:
    """Return one message: the file, then all faults, a line each."""
    if len(faults) == 1:
        return f"{printable(filename)}: {faults[0]}"
    return "\n- ".join(
        [f"{printable(filename)} cannot be used, it has {len(faults)} faults:", *faults]
    )


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that holds values of its own, or raise saying why there is none."""
    expected = "expected a whole scan as the Crono program saves it"
    try:
        if name not in file:
            raise _MissingDatasetError(f"{name} is missing; {expected}.")
        if not isinstance(file.get(name, getlink=True), h5py.HardLink) and file.get(name) is None:
            raise _MissingDatasetError(f"{name} is missing, its link leads nowhere; {expected}.")
        found = file[name]
        if not isinstance(found, h5py.Dataset):
            raise CronoFileError(f"{name} is a {type(found).__name__.lower()}, not a dataset.")
        if found.shape is None or found.dtype.kind == "":  # a TypeError if numpy has no such type
            raise CronoFileError(f"{name} holds no values.")
        elsewhere = h5py.h5o.get_info(found.id).fileno != h5py.h5o.get_info(file.id).fileno
        if elsewhere or found.is_virtual or found.external:
            raise CronoFileError(
                f"{name} keeps its values in another file, which may be gone or changed; "
                "save the scan as one file."
            )
    except HDF5_ERRORS as error:
        raise CronoFileError(f"{name} cannot be opened: {reason(error)}.") from error
    return found


def _remedy(dataset: h5py.Dataset) -> str:
    """Return what to do about values that HDF5 cannot read."""
    for code, _name in _filters(dataset):
        if not h5py.h5z.filter_avail(code):
            return (
                f"HDF5 filter {code} is not installed: install the package hdf5plugin, or rewrite "
                "the file with `h5repack -f GZIP=1` where it is"
            )
    return "copy the file again from the scanner"


def _values(dataset: h5py.Dataset) -> np.ndarray:
    """Read a small dataset whole, in native byte order."""
    try:
        values = dataset[...]
    except HDF5_ERRORS as error:
        raise CronoFileError(
            f"{dataset.name[1:]} cannot be read ({reason(error)}); {_remedy(dataset)}."
        ) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _is(dataset: h5py.Dataset, kinds: str) -> bool:
    """Return whether the dtype is one of numpy's kinds (i, u: whole numbers, f: floats)."""
    return dataset.dtype.kind in kinds


def _found(dataset: h5py.Dataset) -> str:
    """Return name, dtype and shape for a message."""
    return f"{dataset.name[1:]} is {printable(dataset.dtype)} of shape {dataset.shape}"


# --- the datasets, one function each -------------------------------------------------------
def _spectra(file: h5py.File) -> h5py.Dataset:
    """Return the dataset of counts (n, c), unread."""
    spectra = _dataset(file, schema.SPECTRA)
    if spectra.ndim != 2 or not _is(spectra, "iu"):
        raise CronoFileError(
            f"{_found(spectra)}; expected whole-number counts of shape (spectra, channels)."
        )
    if spectra.size == 0:
        what = "spectra" if spectra.shape[0] == 0 else "channels"
        raise CronoFileError(
            f"{schema.SPECTRA} has no {what}, its shape is {spectra.shape}; expected a scan that "
            "was not broken off."
        )
    return spectra


def _energies(file: h5py.File, n_channels: int | None) -> np.ndarray:
    """Return the energies (c,) float32 in keV."""
    name = schema.ENERGY_VECTOR
    dataset = _dataset(file, name)
    expected = (dataset.size if n_channels is None else n_channels,)
    if dataset.shape != expected or dataset.size == 0 or not _is(dataset, "iuf"):
        raise CronoFileError(
            f"{_found(dataset)}; expected shape {expected}, an energy in keV for each channel."
        )
    with np.errstate(over="ignore"):  # becomes inf, which is refused below
        energies = _values(dataset).astype(np.float32)
    if (wrong := np.flatnonzero(~np.isfinite(energies))).size:
        raise CronoFileError(
            f"{name} is {energies[wrong[0]]} at channel {wrong[0]}, one of {wrong.size} that are "
            "not finite; expected an energy in keV; calibrate and save the scan again."
        )
    if (wrong := np.flatnonzero(np.diff(energies) <= 0) + 1).size:
        raise CronoFileError(
            f"{name} does not increase at channel {wrong[0]}: {energies[wrong[0]]:g} keV after "
            f"{energies[wrong[0] - 1]:g} keV; calibrate and save the scan again."
        )
    return energies


def _positions(file: h5py.File, n_spectra: int | None) -> np.ndarray:
    """Return the motor positions (n, 2 or 3) in steps, dtype as in the file."""
    name = schema.MOTORS_POSITIONS
    dataset = _dataset(file, name)
    n = n_spectra or (dataset.shape or (0,))[0]
    if dataset.shape not in ((n, 2), (n, 3)) or n == 0 or not _is(dataset, "iuf"):
        raise CronoFileError(
            f"{_found(dataset)}; expected shape ({n}, 3), x, y and z in steps for each spectrum."
        )
    positions = _values(dataset)
    if (wrong := np.flatnonzero(~np.isfinite(positions[:, :2]).all(axis=1))).size:
        raise CronoFileError(
            f"{name} is {positions[wrong[0]].tolist()} at spectrum {wrong[0]}, one of {wrong.size} "
            "that are not finite; expected motor steps."
        )
    if (positions[:, :2] == positions[0, :2]).all():
        raise CronoFileError(
            f"{name} is {positions[0].tolist()} for all {n} spectra; a map cannot be made of a "
            "single place."
        )
    return positions


def _selected_index(file: h5py.File, n_spectra: int | None) -> np.ndarray:
    """Return the vendor's spectrum of each map cell, (h, w) int64."""
    name = schema.SELECTED_INDEX
    dataset = _dataset(file, name)
    shape = dataset.shape[:2]
    if (
        len(shape) != 2
        or dataset.shape not in (shape, (*shape, 1))
        or dataset.size == 0
        or not _is(dataset, "iu")
    ):
        raise CronoFileError(
            f"{_found(dataset)}; expected shape (rows, columns, 1), the number of a spectrum for "
            "each cell of the map."
        )
    selected = _values(dataset).reshape(shape)
    last = np.iinfo(np.int64).max if n_spectra is None else n_spectra - 1
    wrong = (selected < 0) | (selected > last)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise CronoFileError(
            f"{name} is {selected[row, column]} at row {row}, column {column}, one of "
            f"{int(wrong.sum())} outside 0..{last}; expected numbers of spectra."
        )
    return selected.astype(np.int64)


def _seconds(file: h5py.File, name: str, n_spectra: int) -> np.ndarray:
    """Return a time for each spectrum, (n,) float64 in seconds."""
    dataset = _dataset(file, name)
    if dataset.shape != (n_spectra,) or not _is(dataset, "iuf"):
        raise CronoFileError(
            f"{_found(dataset)}, and is ignored; expected microseconds of shape ({n_spectra},)."
        )
    seconds = _values(dataset).astype(np.float64) / MICROSECONDS_PER_SECOND
    if not np.isfinite(seconds).all():
        raise CronoFileError(f"{name} has values that are not finite, and is ignored.")
    return seconds


def _durations(file: h5py.File, name: str, n_spectra: int) -> np.ndarray:
    """Return a duration for each spectrum, (n,) float64 in seconds, above zero."""
    seconds = _seconds(file, name, n_spectra)
    if (wrong := np.flatnonzero(seconds <= 0)).size:
        raise CronoFileError(
            f"{name} is {seconds[wrong[0]]:g} s at spectrum {wrong[0]}, one of {wrong.size} not "
            "above zero, and is ignored as a whole."
        )
    return seconds


def _rois(file: h5py.File, notes: list[str]) -> tuple[Roi, ...]:
    """Return the regions of interest that have a name and two energies, in file order."""
    dataset = _dataset(file, schema.ROIS_ENERGIES)
    if dataset.shape[1:] != (2,) or dataset.size > SMALL or not _is(dataset, "iuf"):
        raise CronoFileError(
            f"{_found(dataset)}, and is ignored; expected low and high keV of each region."
        )
    windows = _values(dataset).astype(np.float64).tolist()
    names = _optional(notes, _roi_names, file) or []
    if len(names) != len(windows):
        notes.append(
            f"{schema.ROIS_NAMES} has {len(names)} names for {len(windows)} energy windows; those "
            "without a partner are ignored."
        )
    rois = []
    for name, (low, high) in zip(names, windows, strict=False):
        if np.isfinite([low, high]).all():
            rois.append(Roi(name, low, high))
        else:
            notes.append(f"The region of interest {name!r} has no finite energies.")
    return tuple(rois)


def _roi_names(file: h5py.File) -> list[str]:
    """Return the regions' names: a vlen S1 array each, or a string each.

    They are the only dataset of variable-length values that is read: if a file's heap of such
    values is damaged, the HDF5 library may never return (HDFGroup/hdf5 issue 1707, seen with
    HDF5 2.0).
    """
    dataset = _dataset(file, schema.ROIS_NAMES)
    is_text = h5py.check_string_dtype(dataset.dtype) or (
        h5py.check_vlen_dtype(dataset.dtype) == np.dtype("S1")
    )
    if dataset.ndim not in (1, 2) or dataset.size > SMALL or not is_text:
        raise CronoFileError(f"{_found(dataset)}, and is ignored; expected the regions' names.")
    return [str(plain(name)) for name in _values(dataset)]


def read_metadata(file: h5py.File, notes: list[str]) -> dict[str, Any]:
    """Return what the file says of itself and the instrument, JSON-serialisable.

    Keys, each only if the file has it: `created` (ISO without time zone; the file's own text
    if that is no month/day/year), `software`, `file_structure_version` (list of int),
    `calibration_points` (channel, keV), `image_pixel_size_ratio`; and attributes by name in
    `calibration`, `settings`, `initial_status`, `final_status`, without .NET blobs. What
    cannot be read is added to `notes`.
    """
    metadata: dict[str, Any] = {}
    for key, name in (
        ("created", schema.CREATED_DATETIME),
        ("software", schema.CREATED_WITH),
        ("file_structure_version", schema.FILE_STRUCTURE_VERSION),
        ("calibration_points", schema.CALIBRATION_POINTS),
        ("image_pixel_size_ratio", "Images/ImageAdjusting/ImagePixelSizeRatio"),
    ):
        metadata[key] = _optional(notes, _small_value, file, name)
    metadata["created"] = _iso_datetime(metadata["created"])
    for key, name in (
        ("calibration", schema.CALIBRATION_POINTS),
        ("settings", schema.SETTINGS),
        ("initial_status", "Configuration/InitialSystemStatus"),
        ("final_status", "Configuration/FinalSystemStatus"),
    ):
        owner = _optional(notes, _dataset, file, name)
        attributes = {} if owner is None else read_attributes(owner, notes)
        metadata[key] = {k: v for k, v in attributes.items() if not _has_blob(v)}
        if "DateTime" in metadata[key]:
            metadata[key]["DateTime"] = _iso_datetime(metadata[key]["DateTime"])
    return {key: value for key, value in metadata.items() if value not in (None, {})}


def _small_value(file: h5py.File, name: str) -> Any:
    """Return a small dataset as text, number or list."""
    dataset = _dataset(file, name)
    if dataset.size > SMALL or not _is(dataset, "iufS"):
        raise CronoFileError(f"{_found(dataset)}, and is ignored; expected a text or few numbers.")
    return plain(_values(dataset))


def _has_blob(value: Any) -> bool:
    """Return whether a value of `plain` is or holds the bytes of a blob."""
    return isinstance(value, bytes) or (isinstance(value, list) and any(map(_has_blob, value)))


def _iso_datetime(text: Any) -> Any:
    """Return month/day/year text in ISO form, anything else as it is."""
    for pattern in ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"):
        try:
            # the scanner's clock has no time zone
            return datetime.strptime(text, pattern).isoformat()  # noqa: DTZ007
        except (TypeError, ValueError):
            continue
    return text


# --- from HDF5's values to plain Python ----------------------------------------------------
def read_attributes(owner: h5py.HLObject, notes: list[str]) -> dict[str, Any]:
    """Return attributes by name: text, number or list of them; a blob as bytes.

    What cannot be read is left out and added to `notes`.
    """
    attributes: dict[str, Any] = {}
    names: list[str] = []
    try:
        names.extend(owner.attrs)
    except HDF5_ERRORS as error:
        notes.append(f"Attributes of {printable(owner.name)} cannot be listed: {reason(error)}.")
    for name in names:
        try:
            attributes[decode(name)] = plain(owner.attrs[name])
        except HDF5_ERRORS as error:
            notes.append(
                f"Attribute {name!r} of {printable(owner.name)} cannot be read: {reason(error)}."
            )
    return attributes


def plain(values: Any) -> Any:
    """Return what h5py read as plain Python: text, number, list of them, or bytes of a blob.

    An outer array of length 1 is taken off; NaN and inf, which JSON lacks, become None; a
    float32 becomes the shortest decimal that stands for it, as 8.046.
    """
    if isinstance(values, h5py.Empty):
        return None
    array = np.asarray(values)
    kind = array.dtype.kind
    if kind == "V":
        return array.tobytes()
    if array.size == 0:
        return "" if kind in "SU" else []
    if kind == "S" and array.dtype.itemsize == 1 and array.ndim:
        items = [decode(row.tobytes()) for row in array.reshape(-1, array.shape[-1])]
    elif kind in "SU":
        items = [decode(item) for item in array.ravel().tolist()]
    elif kind == "O":
        items = [
            plain(item) if isinstance(item, str | bytes | np.ndarray) else printable(item)
            for item in array.ravel()
        ]
    elif kind in "fiub":
        return _numbers(array)
    else:
        items = [printable(item) for item in array.ravel().tolist()]
    return items[0] if len(items) == 1 else items


def _numbers(array: np.ndarray) -> Any:
    """Return numbers as nested lists without outer lists of length 1."""
    if array.ndim and len(array) == 1:
        return _numbers(array[0])
    if array.ndim:
        return [_numbers(item) for item in array]
    if array.dtype.kind != "f":
        return array.item()
    return float(str(array[()])) if np.isfinite(array) else None


def decode(text: str | bytes) -> str:
    """Return text up to its first zero byte, as UTF-8 or else Latin-1."""
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    raw = raw.split(b"\0", 1)[0].strip()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def printable(text: object) -> str:
    """Return text with control characters escaped, so that no file can command a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def reason(error: BaseException) -> str:
    """Return what an exception of h5py says, on one line."""
    return printable(error.args[0] if isinstance(error, KeyError) else error)


def _filters(dataset: h5py.Dataset) -> list[tuple[int, str]]:
    """Return number and name of each filter that a dataset was written with, in order."""
    plist = dataset.id.get_create_plist()
    filters = (plist.get_filter(i) for i in range(plist.get_nfilters()))
    return [(code, printable(decode(name))) for code, _flags, _options, name in filters]


def compression(dataset: h5py.Dataset) -> str | None:
    """Return a dataset's filters as text, such as `shuffle+gzip`; None if there are none."""
    names = [
        FILTER_NAMES.get(code, f"{name or 'filter'} ({code})") for code, name in _filters(dataset)
    ]
    return "+".join(names) or None
