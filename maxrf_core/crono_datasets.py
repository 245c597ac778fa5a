"""The datasets of a Crono file that a scan is made of, each found, read and validated.

A function a dataset, each of which raises what is wrong as one sentence without the file's name;
`required` and `optional` gather these sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import h5py
import numpy as np

from . import schema
from .errors import CronoFileError
from .hdf5 import HDF5_ERRORS, MissingItemError, check_size, open_item, plain, reason, remedy
from .plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MICROSECONDS_PER_SECOND",
    "SMALL",
    "Roi",
    "find_dataset",
    "find_spectra",
    "has_kind",
    "optional",
    "read_durations",
    "read_energies",
    "read_positions",
    "read_rois",
    "read_seconds",
    "read_selected_index",
    "read_values",
    "required",
    "what_is",
]

MICROSECONDS_PER_SECOND = 1e6
SMALL = 4096
"""Elements of a descriptive dataset (date, program, calibration) that are read at most."""

_T = TypeVar("_T")


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


# --- gathering faults ----------------------------------------------------------------------
def required(faults: list[str], read: Callable[..., _T], *arguments: Any) -> _T | None:
    """Return what `read` returns, or add its CronoFileError to `faults` and return None."""
    try:
        return read(*arguments)
    except CronoFileError as error:
        faults.append(str(error))
        return None


def optional(notes: list[str], read: Callable[..., _T], *arguments: Any) -> _T | None:
    """Return what `read` returns; None if the dataset is missing, or unusable (then noted)."""
    try:
        return read(*arguments)
    except MissingItemError:
        return None
    except CronoFileError as error:
        notes.append(str(error))
        return None


# --- any dataset ---------------------------------------------------------------------------
def find_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Return a dataset that holds values of its own, or raise saying why there is none."""
    try:
        found = open_item(file, name)
        if not isinstance(found, h5py.Dataset):
            raise CronoFileError(f"{name} is a {type(found).__name__.lower()}, not a dataset.")
        if found.shape is None or found.dtype.kind == "":  # a TypeError if numpy has no such type
            raise CronoFileError(f"{name} holds no values.")
        if found.is_virtual or found.external:
            raise CronoFileError(
                f"{name} keeps its values in another file, which may be gone or changed; "
                "save the scan as one file."
            )
        check_size(found)
    except HDF5_ERRORS as error:
        raise CronoFileError(f"{name} cannot be opened: {reason(error)}.") from error
    return found


def read_values(dataset: h5py.Dataset) -> np.ndarray:
    """Read a small dataset whole, in native byte order."""
    try:
        values = dataset[...]
    except HDF5_ERRORS as error:
        raise CronoFileError(
            f"{dataset.name[1:]} cannot be read ({reason(error)}); {remedy(dataset)}."
        ) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def has_kind(dataset: h5py.Dataset, kinds: str) -> bool:
    """Return whether the dtype is one of numpy's kinds (i, u: whole numbers, f: floats)."""
    return dataset.dtype.kind in kinds


def what_is(dataset: h5py.Dataset) -> str:
    """Return name, dtype and shape for a message."""
    return f"{dataset.name[1:]} is {printable(dataset.dtype)} of shape {dataset.shape}"


# --- the datasets, one function each -------------------------------------------------------
def find_spectra(file: h5py.File) -> h5py.Dataset:
    """Return the dataset of counts (n, c), unread."""
    spectra = find_dataset(file, schema.SPECTRA)
    if spectra.ndim != 2 or not has_kind(spectra, "iu"):
        raise CronoFileError(
            f"{what_is(spectra)}; expected whole-number counts of shape (spectra, channels)."
        )
    if spectra.size == 0:
        what = "spectra" if spectra.shape[0] == 0 else "channels"
        raise CronoFileError(
            f"{schema.SPECTRA} has no {what}, its shape is {spectra.shape}; expected a scan that "
            "was not broken off."
        )
    return spectra


def read_energies(file: h5py.File, n_channels: int | None) -> np.ndarray:
    """Return the energies (c,) float32 in keV."""
    name = schema.ENERGY_VECTOR
    dataset = find_dataset(file, name)
    expected = (dataset.size if n_channels is None else n_channels,)
    if dataset.shape != expected or dataset.size == 0 or not has_kind(dataset, "iuf"):
        raise CronoFileError(
            f"{what_is(dataset)}; expected shape {expected}, an energy in keV for each channel."
        )
    with np.errstate(over="ignore"):  # becomes inf, which is refused below
        energies = read_values(dataset).astype(np.float32)
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


def read_positions(file: h5py.File, n_spectra: int | None) -> np.ndarray:
    """Return the motor positions (n, 2 or 3) in steps, dtype as in the file."""
    name = schema.MOTORS_POSITIONS
    dataset = find_dataset(file, name)
    n = n_spectra or (dataset.shape or (0,))[0]
    if dataset.shape not in ((n, 2), (n, 3)) or n == 0 or not has_kind(dataset, "iuf"):
        raise CronoFileError(
            f"{what_is(dataset)}; expected shape ({n}, 3), x, y and z in steps for each spectrum."
        )
    positions = read_values(dataset)
    if (wrong := np.flatnonzero(~np.isfinite(positions[:, :2]).all(axis=1))).size:
        raise CronoFileError(
            f"{name} is {positions[wrong[0]].tolist()} at spectrum {wrong[0]}, one of {wrong.size} "
            "that are not finite; expected motor steps."
        )
    far = np.abs(positions[:, :2].astype(np.float64)) > schema.MAX_STEPS
    if (wrong := np.flatnonzero(far.any(axis=1))).size:
        raise CronoFileError(
            f"{name} is {positions[wrong[0]].tolist()} at spectrum {wrong[0]}, one of {wrong.size} "
            f"beyond {schema.MAX_STEPS:g} steps, where no motor goes."
        )
    if (positions[:, :2] == positions[0, :2]).all():
        raise CronoFileError(
            f"{name} is {positions[0].tolist()} for all {n} spectra; a map cannot be made of a "
            "single place."
        )
    return positions


def read_selected_index(file: h5py.File, n_spectra: int | None) -> np.ndarray:
    """Return the vendor's spectrum of each map cell, (h, w) int64."""
    name = schema.SELECTED_INDEX
    dataset = find_dataset(file, name)
    shape = dataset.shape[:2]
    if (
        len(shape) != 2
        or dataset.shape not in (shape, (*shape, 1))
        or dataset.size == 0
        or not has_kind(dataset, "iu")
    ):
        raise CronoFileError(
            f"{what_is(dataset)}; expected shape (rows, columns, 1), the number of a spectrum for "
            "each cell of the map."
        )
    selected = read_values(dataset).reshape(shape)
    last = np.iinfo(np.int64).max if n_spectra is None else n_spectra - 1
    wrong = (selected < 0) | (selected > last)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise CronoFileError(
            f"{name} is {selected[row, column]} at row {row}, column {column}, one of "
            f"{int(wrong.sum())} outside 0..{last}; expected numbers of spectra."
        )
    return selected.astype(np.int64)


def read_seconds(file: h5py.File, name: str, n_spectra: int) -> np.ndarray:
    """Return a time for each spectrum, (n,) float64 in seconds."""
    dataset = find_dataset(file, name)
    if dataset.shape != (n_spectra,) or not has_kind(dataset, "iuf"):
        raise CronoFileError(
            f"{what_is(dataset)}, and is ignored; expected microseconds of shape ({n_spectra},)."
        )
    seconds = read_values(dataset).astype(np.float64) / MICROSECONDS_PER_SECOND
    if not np.isfinite(seconds).all():
        raise CronoFileError(f"{name} has values that are not finite, and is ignored.")
    return seconds


def read_durations(file: h5py.File, name: str, n_spectra: int) -> np.ndarray:
    """Return a duration for each spectrum, (n,) float64 in seconds, above zero."""
    seconds = read_seconds(file, name, n_spectra)
    if (wrong := np.flatnonzero(seconds <= 0)).size:
        raise CronoFileError(
            f"{name} is {seconds[wrong[0]]:g} s at spectrum {wrong[0]}, one of {wrong.size} not "
            "above zero, and is ignored as a whole."
        )
    return seconds


def read_rois(file: h5py.File, notes: list[str]) -> tuple[Roi, ...]:
    """Return the regions of interest that have a name and two energies, in file order."""
    dataset = find_dataset(file, schema.ROIS_ENERGIES)
    if dataset.shape[1:] != (2,) or dataset.size > SMALL or not has_kind(dataset, "iuf"):
        raise CronoFileError(
            f"{what_is(dataset)}, and is ignored; expected low and high keV of each region."
        )
    windows = read_values(dataset).astype(np.float64).tolist()
    names = optional(notes, _roi_names, file) or []
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
    values is damaged, the HDF5 library may hang or crash (HDFGroup/hdf5 issue 1707, seen
    with HDF5 2.0).
    """
    dataset = find_dataset(file, schema.ROIS_NAMES)
    is_text = h5py.check_string_dtype(dataset.dtype) or (
        h5py.check_vlen_dtype(dataset.dtype) == np.dtype("S1")
    )
    if dataset.ndim not in (1, 2) or dataset.size > SMALL or not is_text:
        raise CronoFileError(f"{what_is(dataset)}, and is ignored; expected the regions' names.")
    return [str(plain(name)) for name in read_values(dataset)]
