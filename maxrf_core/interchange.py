"""`tree` and `get_array`: any zarr zip by name, as notebooks for `cronomaxrf` expect."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr

from .contents import stored_arrays
from .errors import ZipstoreError
from .foreign import checked_array, checked_whole, members, open_group, told
from .location import is_url
from .plain_text import printable
from .scan import Scan, open_scan
from .schema import ALL_SPECTRA, CUBE, MAX_SPECTRUM, SUM_SPECTRUM
from .store import StoreReader

__all__ = ["format_tree", "get_array", "tree"]


@contextmanager
def _opened(path: Path) -> Iterator[zarr.Group]:
    """Yield the root of another program's store, whose faults become sentences."""
    if not path.exists():
        msg = f"there is no zarr zip {path}. Check the name; maxrf convert SCAN.HDF5 makes one."
        raise ZipstoreError(msg)
    with told(path, ZipstoreError, "is not a whole zarr zip"):
        group = open_group(path)
        try:
            yield group
        finally:
            group.store.close()


def _open_own(location: str | os.PathLike[str]) -> StoreReader | None:
    """Open a zipstore of this program, or return None if a file is another program's.

    Raises
    ------
    ZipstoreError
        If a URL is no zipstore of this program, or cannot be reached.
    """
    try:
        return StoreReader(location)
    except ZipstoreError:
        if is_url(location):
            raise
        return None  # zarr opens it, or says what is wrong


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
    zipstore_filename : path or str
        A zarr zip: ours, `cronomaxrf`'s or another program's; or a folder of its entries, or
        the URL of a zipstore of ours.
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
    own = _open_own(zipstore_filename)
    if own is None:
        return _foreign_array(Path(zipstore_filename), datapath, compute=compute)
    name = datapath.strip("/")
    if name in own:
        if not compute:
            return _lazy_array(own, name)
        with own:
            return own.read_array(name)
    own.close()
    if name in _COMPUTED:
        scan = open_scan(zipstore_filename)
        lazy = _COMPUTED[name](scan)
        if not compute:
            return lazy
        with scan:
            return lazy.compute()
    raise _no_array(zipstore_filename, datapath)


def _foreign_array(path: Path, datapath: str, *, compute: bool) -> npt.NDArray | da.Array:
    """Return an array that another program wrote."""
    with _opened(path) as group:
        try:
            found = group.get(datapath)
        except ValueError:  # no name at all, such as "../x"
            found = None
        if isinstance(found, zarr.Array) and compute:
            return checked_whole(found)[...]
    if not isinstance(found, zarr.Array):
        raise _no_array(path, datapath)
    with told(path, ZipstoreError, "is not a whole zarr zip"):
        again = checked_array(open_group(path)[datapath])
        values = _Told(path, again)
        return da.from_array(values, chunks=again.chunks, inline_array=True, asarray=False)


class _Told:
    """Another program's array as dask reads it, whose faults become sentences."""

    def __init__(self, path: Path, array: zarr.Array) -> None:
        self._path, self._array = path, array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, place: tuple[slice, ...]) -> npt.NDArray:
        with told(self._path, ZipstoreError, "is not a whole zarr zip"):
            return np.asarray(self._array[place])


def _no_array(location: str | os.PathLike[str], datapath: str) -> ZipstoreError:
    title, arrays = _arrays(location)
    names = ", ".join(name for name, _, _ in arrays)
    return ZipstoreError(f"{title} has no array {datapath!r}; it has {names or 'none'}.")


def _lazy_array(reader: StoreReader, name: str) -> da.Array:
    """Return an array that is read chunk by chunk, and closes its file when it is forgotten."""
    layout = reader.layout(name)
    if not np.prod(layout.shape):
        with reader:
            return da.from_array(reader.read_array(name))
    chunks = _Chunks(reader, name)
    weakref.finalize(chunks, reader.close)
    sizes = tuple(
        tuple(min(step, size - start) for start in range(0, size, step))
        for size, step in zip(layout.shape, layout.chunks, strict=True)
    )
    return da.map_blocks(
        _read_chunk,
        chunks,
        name=f"{name}-{uuid4().hex}",
        chunks=sizes,
        dtype=layout.dtype,
        meta=np.empty((0,) * len(layout.shape), dtype=layout.dtype),
    )


class _Chunks:
    """The chunks of one array; what the tasks of a lazy array hold on to."""

    def __init__(self, reader: StoreReader, name: str) -> None:
        self.reader, self.name = reader, name


def _read_chunk(chunks: _Chunks, block_id: tuple[int, ...]) -> npt.NDArray:
    return chunks.reader.read_chunk(chunks.name, block_id)


def _arrays(location: str | os.PathLike[str]) -> tuple[str, list[tuple[str, str, str]]]:
    """Return a store's name, and name, shape with dtype, and details of each of its arrays."""
    own = _open_own(location)
    if own is None:
        title, found = _foreign_arrays(Path(location))
    else:
        with own:
            title, layouts = own.name, {name: own.layout(name) for name in stored_arrays(own)}
        found = [
            (name, f"{layout.shape} {layout.dtype}", _details(layout.chunks, layout.attributes))
            for name, layout in layouts.items()
        ]
        if missing := _COMPUTED.keys() - layouts.keys():
            with open_scan(location) as scan:
                arrays = {name: _COMPUTED[name](scan) for name in missing}
            found += [
                (name, f"{array.shape} {array.dtype}", "computed when read")
                for name, array in arrays.items()
            ]
    return title, sorted(found, key=lambda item: ("/" in item[0], item[0]))


def _foreign_arrays(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    with _opened(path) as group:
        found = [
            (name, f"{member.shape} {member.dtype}", _details(member.chunks, dict(member.attrs)))
            for name, member in members(group).items()
        ]
    return path.name, found


def _details(chunks: tuple[int, ...], attributes: dict[str, Any]) -> str:
    return f"chunks {chunks}, {attributes or 'no attributes'}"


def format_tree(location: str | os.PathLike[str], *, details: bool = False) -> str:
    """Return what `tree` prints.

    Parameters
    ----------
    location : path or str
        A zarr zip or a folder of its entries, or the URL of a zipstore of ours.
    details : bool
        With chunks and attributes.
    """
    nested: dict[str, Any] = {}
    title, arrays = _arrays(location)
    for name, layout, more in arrays:
        *groups, leaf = name.split("/")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[leaf] = f"{layout}, {more}" if details else layout
    return "\n".join([f"{printable(title)}:", "", "/", *_branches(nested, " ")])


def _branches(nested: dict[str, Any], indent: str) -> Iterator[str]:
    for position, (name, value) in enumerate(nested.items(), start=1):
        last = position == len(nested)
        branch = f"{indent}{'└' if last else '├'}── {printable(name)}"
        if isinstance(value, str):
            yield f"{branch} {printable(value)}"
        else:
            yield branch
            yield from _branches(value, f"{indent}{' ' if last else '│'}   ")


def tree(zipstore_filename: str | os.PathLike[str], show_arrays: bool = False) -> None:
    """Print the names, shapes and dtypes of a zipstore's arrays as a tree.

    Parameters
    ----------
    zipstore_filename : path or str
        A zarr zip: ours, `cronomaxrf`'s or another program's; or a folder of its entries, or
        the URL of a zipstore of ours.
    show_arrays : bool
        Print each array's chunks and attributes, too.

    Raises
    ------
    ZipstoreError
        If the file cannot be used.
    """
    print(format_tree(zipstore_filename, details=show_arrays))  # noqa: T201 - its purpose
