"""`tree` and `get_array`: any zarr zip by name, as notebooks for `cronomaxrf` expect."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import ZipStore

from .errors import ZipstoreError
from .scan import Scan, open_scan
from .schema import ALL_SPECTRA, CUBE, MAX_SPECTRUM, SCHEMA_NAME, SUM_SPECTRUM

__all__ = ["format_tree", "get_array", "tree"]


def _open_group(path: Path) -> zarr.Group:
    if not path.exists():
        msg = f"there is no zarr zip {path}. Check the name; maxrf convert SCAN.HDF5 makes one."
        raise ZipstoreError(msg)
    try:
        store = ZipStore(path, mode="r", read_only=True)
        return zarr.open_group(store, mode="r")
    except (zipfile.BadZipFile, OSError, ValueError, KeyError) as error:
        msg = f"{path} is not a whole zarr zip ({error}). Convert the scan again."
        raise ZipstoreError(msg) from error


def _cube(scan: Scan) -> da.Array:
    cube = scan.cube(sigma=scan.conversion_sigma)
    flips = scan.cube_flips
    return cube[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1]


_COMPUTED: dict[str, Callable[[Scan], da.Array]] = {
    ALL_SPECTRA: lambda scan: scan.all_spectra(sigma=scan.conversion_sigma),
    CUBE: _cube,
    SUM_SPECTRUM: lambda scan: da.nanmean(
        scan.cube(sigma=scan.conversion_sigma), axis=(0, 1), dtype=np.float64
    ).astype(np.float32),
    MAX_SPECTRUM: lambda scan: da.nanmax(scan.cube(sigma=scan.conversion_sigma), axis=(0, 1)),
}
"""Interchange arrays that a lean zipstore leaves out, and how they are made."""


def get_array(
    zipstore_filename: str | os.PathLike[str], datapath: str, compute: bool = True
) -> npt.NDArray | da.Array:
    """Return an array of a zipstore.

    Parameters
    ----------
    zipstore_filename : path
        A zarr zip: ours, `cronomaxrf`'s or another program's.
    datapath : str
        Name of the array, as `tree` prints it, such as ``"maxrf_cube"``.
    compute : bool
        With False, a dask array that is read when computed: for arrays that do not fit
        into memory.

    Returns
    -------
    array : numpy or dask array
        A lean zipstore gives ``maxrf_all_spectra``, ``maxrf_cube``, ``maxrf_max_spectrum``
        and ``maxrf_sum_spectrum`` all the same, computed from the counts.

    Raises
    ------
    ZipstoreError
        If the file cannot be used, or has no such array.
    """
    path = Path(zipstore_filename)
    group = _open_group(path)
    try:
        found = group.get(datapath)
    except ValueError:  # no name at all, such as "../x"
        found = None
    if isinstance(found, zarr.Array):
        if compute:
            values = found[...]
            group.store.close()
            return values
        return da.from_array(found, chunks=found.chunks, inline_array=True)
    lean = group.attrs.get("schema") == SCHEMA_NAME
    group.store.close()
    if lean and datapath in _COMPUTED:
        scan = open_scan(path)
        lazy = _COMPUTED[datapath](scan)
        if not compute:
            return lazy
        with scan:
            return lazy.compute()
    names = ", ".join(name for name, _, _ in _arrays(path))
    msg = f"{path.name} has no array {datapath!r}; it has {names or 'none'}."
    raise ZipstoreError(msg)


def _arrays(path: Path) -> list[tuple[str, str, str]]:
    """Return name, shape with dtype, and further details of all arrays of a zarr zip."""
    group = _open_group(path)
    found = [
        (
            name,
            f"{member.shape} {member.dtype}",
            f"chunks {member.chunks}, {dict(member.attrs) or 'no attributes'}",
        )
        for name, member in group.members(max_depth=None)
        if isinstance(member, zarr.Array)
    ]
    lean = group.attrs.get("schema") == SCHEMA_NAME
    group.store.close()
    missing = set(_COMPUTED) - {name for name, _, _ in found}
    if lean and missing:
        with open_scan(path) as scan:
            for name in missing:
                array = _COMPUTED[name](scan)
                found.append((name, f"{array.shape} {array.dtype}", "computed when read"))
    return sorted(found, key=lambda item: ("/" in item[0], item[0]))


def format_tree(path: Path, *, details: bool = False) -> str:
    """Return what `tree` prints.

    Parameters
    ----------
    path : Path
        A zarr zip.
    details : bool
        With chunks and attributes.
    """
    nested: dict[str, Any] = {}
    for name, layout, more in _arrays(path):
        *groups, leaf = name.split("/")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = f"{layout}, {more}" if details else layout
    return "\n".join([f"{path.name}:", "", "/", *_branches(nested, " ")])


def _branches(nested: dict[str, Any], indent: str) -> Iterator[str]:
    for position, (name, value) in enumerate(nested.items(), start=1):
        last = position == len(nested)
        branch = f"{indent}{'└' if last else '├'}── {name}"
        if isinstance(value, str):
            yield f"{branch} {value}"
        else:
            yield branch
            yield from _branches(value, f"{indent}{' ' if last else '│'}   ")


def tree(zipstore_filename: str | os.PathLike[str], show_arrays: bool = False) -> None:
    """Print the names, shapes and dtypes of a zipstore's arrays as a tree.

    Parameters
    ----------
    zipstore_filename : path
        A zarr zip: ours, `cronomaxrf`'s or another program's.
    show_arrays : bool
        Print each array's chunks and attributes, too.

    Raises
    ------
    ZipstoreError
        If the file cannot be used.
    """
    print(format_tree(Path(zipstore_filename), details=show_arrays))  # noqa: T201 - its purpose
