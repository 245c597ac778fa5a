"""From HDF5's values to plain Python: any HDF5 file opened, its text, numbers and filters.

Whatever a file holds comes out as one printable line or as what JSON can say, and whatever
HDF5 objects to as a sentence.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from .errors import CronoFileError
from .plain_text import printable

if TYPE_CHECKING:
    from os import PathLike

__all__ = [
    "HDF5_ERRORS",
    "compression",
    "decode",
    "open_hdf5",
    "plain",
    "read_attributes",
    "reason",
    "remedy",
]

# What h5py makes of HDF5's own errors when a file is damaged: it maps each error class of the C
# library onto one of these. A TypeError is a type without a numpy equivalent, a MemoryError a
# damaged shape.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)

# Filter numbers that HDF5 and h5py define: H5Zpublic.h and h5py/_hl/filters.py
FILTER_NAMES = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset"}
FILTER_NAMES[32000] = "lzf"


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


def reason(error: BaseException) -> str:
    """Return what an exception of h5py says, on one line."""
    return printable(error.args[0] if isinstance(error, KeyError) else error)


def remedy(dataset: h5py.Dataset) -> str:
    """Return what to do about values that HDF5 cannot read."""
    for code, _name in _filters(dataset):
        if not h5py.h5z.filter_avail(code):
            return (
                f"HDF5 filter {code} is not installed: install the package hdf5plugin, or rewrite "
                "the file with `h5repack -f GZIP=1` where it is"
            )
    return "copy the file again from the scanner"


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
