"""From HDF5's values to plain Python: any HDF5 file opened, its text, numbers and filters.

Whatever a file holds comes out as one printable line or as what JSON can say, and whatever
HDF5 objects to as a sentence.
"""

from __future__ import annotations

import math
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
    "MissingItemError",
    "check_size",
    "compression",
    "decode",
    "open_hdf5",
    "open_item",
    "plain",
    "read_attributes",
    "reason",
    "remedy",
]

# What h5py makes of HDF5's own errors when a file is damaged: it maps each error class of the C
# library onto one of these. A TypeError is a type without a numpy equivalent, a MemoryError a
# damaged shape.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)

MAX_CHUNK_BYTES = 2**29
"""Of a chunk that is read, which HDF5 unpacks whole."""
_ALWAYS_READ = 2**26  # bytes
_MAX_RATIO = 10_000  # of values to their bytes in the file; deflate does not reach 1033
_MAX_LINKS = 16  # one after the other, as HDF5 follows them

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


class MissingItemError(CronoFileError):
    """A name is not in a file, which is no fault where it is optional."""


def open_item(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset | h5py.Datatype:
    """Return what a name stands for in the file itself, link by link.

    A file from elsewhere may hold links to any file of this machine, which HDF5 would open, or to
    themselves: those to other files are never followed.

    Raises
    ------
    MissingItemError
        If there is no such name.
    CronoFileError
        If a link leads to another file.
    OSError, RuntimeError, ValueError, TypeError, KeyError
        What HDF5 objects to.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    owner, links_left = file.id, _MAX_LINKS
    while parts:
        part = parts.pop(0).encode("utf-8", "surrogateescape")
        is_group = isinstance(owner, h5py.h5g.GroupID | h5py.h5f.FileID)
        if not is_group or not owner.links.exists(part):
            break
        kind = owner.links.get_info(part).type
        if kind == h5py.h5l.TYPE_HARD:
            owner = h5py.h5o.open(owner, part)
        elif kind == h5py.h5l.TYPE_SOFT and links_left:
            links_left -= 1
            target = owner.links.get_val(part).decode("utf-8", "surrogateescape")
            if target.startswith("/"):
                owner = file.id
            parts = [each for each in target.split("/") if each not in ("", ".")] + parts
        elif kind == h5py.h5l.TYPE_SOFT:
            break  # links in a circle
        else:
            raise CronoFileError(
                f"{name} keeps its values in another file, which is not opened; save the scan as "
                "one file."
            )
    else:
        kinds = {h5py.h5i.DATASET: h5py.Dataset, h5py.h5i.DATATYPE: h5py.Datatype}
        return kinds.get(h5py.h5i.get_type(owner), h5py.Group)(owner)
    why = "" if links_left == _MAX_LINKS else ", its link leads nowhere"
    raise MissingItemError(
        f"{name} is missing{why}; expected a whole scan as the Crono program saves it."
    )


def check_size(dataset: h5py.Dataset) -> None:
    """Refuse a dataset that declares far more than the file holds of it.

    Raises
    ------
    CronoFileError
        If its values, or a chunk of them, would fill the memory with what is not there.
    """
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_ALWAYS_READ, _MAX_RATIO * stored):
        raise CronoFileError(
            f"{printable(dataset.name)[1:]} declares {dataset.nbytes:,} bytes of shape "
            f"{dataset.shape}, of which the file holds {stored:,}; copy the file again from the "
            "scanner."
        )
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > MAX_CHUNK_BYTES:
        raise CronoFileError(
            f"{printable(dataset.name)[1:]} has chunks {dataset.chunks} of {chunk:,} bytes; at "
            f"most {MAX_CHUNK_BYTES:,} are read. Rewrite it in smaller ones with h5repack."
        )


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
