"""A store that is read by chunks: a zipstore, or a folder of its entries, here or by URL.

Chunks lie in the zip uncompressed (each is a Blosc frame of its own), so a reader needs
one positioned read and one decompression a chunk, from any thread, without a lock. zarr's
own `ZipStore` reads the same file, as does any other zarr.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .entries import Entries, open_local
from .errors import ZipstoreError
from .layout import ArrayLayout, chunk_key, read_layout, read_object, shortened
from .location import is_url
from .remote import open_remote
from .schema import INTERCHANGE_ARRAYS, SCHEMA_NAME, SCHEMA_VERSION, UPGRADE

__all__ = ["StoreReader"]


class StoreReader:
    """Read the chunks of a store from several threads at once.

    Parameters
    ----------
    location : path or str
        A zipstore; a folder that holds its entries as files; or the URL of either, which
        is one of a zipstore if it ends in ``.zipstore`` or ``.zip``.
    entries : Entries, optional
        What is read in the place of the location, which then only names it.

    Attributes
    ----------
    path : Path or None
        The zipstore or folder; None for a URL.
    location : str
        The path or URL as given.
    name : str
        What messages call the store: the file's name, or the URL without secrets.
    attributes : dict
        Root attributes.

    Raises
    ------
    ZipstoreError
        If it is not there, not whole, not a zipstore of this program, of a newer schema
        version, or cannot be reached.

    Notes
    -----
    It can be pickled: what comes out opens the same location again.
    """

    def __init__(self, location: str | os.PathLike[str], *, entries: Entries | None = None) -> None:
        self.location = os.fspath(location)
        self.path = None if is_url(self.location) else Path(location)
        if entries is None:
            entries = open_remote(self.location) if self.path is None else open_local(self.path)
        self._entries = entries
        self.name = self._entries.name
        self._layouts: dict[str, ArrayLayout] = {}
        try:
            self.attributes = self._read_attributes()
        except ZipstoreError:
            self.close()
            raise

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self.location if self.path is None else str(self.path.absolute()),)

    def close(self) -> None:
        """Close the file."""
        self._entries.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_attributes(self) -> dict[str, Any]:
        target = self.location if self.path is not None else "SCAN.zipstore"
        advice = f"Convert the scan again: maxrf convert SCAN.HDF5 --output {target} --overwrite"
        try:
            attributes = read_object(self._entries.read(".zattrs"))
            name, version = attributes["schema"], attributes["schema_version"]
            if type(version) is not int:
                raise TypeError(f"the version is {shortened(version)}")  # noqa: TRY301
        except (KeyError, ValueError, TypeError) as error:
            if self._is_of_cronomaxrf():
                raise ZipstoreError(
                    f"{self.name} was written by cronomaxrf: it has smoothed spectra, but neither "
                    "the counts nor the positions that maps are made of. Convert its scan to "
                    "another file: maxrf convert SCAN.HDF5 --output NAME.zipstore. What it has, "
                    "maxrf tree lists and get_array reads."
                ) from error
            msg = (
                f"{self.name} can be opened, but is not a zipstore of this program: its root "
                f"attributes name no schema. {advice}"
            )
            raise ZipstoreError(msg) from error
        if name == SCHEMA_NAME and version > SCHEMA_VERSION:
            raise ZipstoreError(
                f"{self.name} was written by a newer version of this program (schema {version}); "
                f"this one reads up to {SCHEMA_VERSION}: {UPGRADE}"
            )
        if name != SCHEMA_NAME or version < 1:
            msg = (
                f"{self.name} has schema {shortened(name)} version {shortened(version)}; this "
                f"program reads {SCHEMA_NAME!r} version 1 to {SCHEMA_VERSION}. {advice}"
            )
            raise ZipstoreError(msg)
        return attributes

    def _is_of_cronomaxrf(self) -> bool:
        return all(f"{name}/.zarray" in self._entries for name in INTERCHANGE_ARRAYS)

    def __contains__(self, name: str) -> bool:
        return f"{name}/.zarray" in self._entries

    def array_names(self) -> list[str]:
        """Return the names of all arrays, sorted.

        Raises
        ------
        ZipstoreError
            If the server of a folder does not list it.
        """
        found = (key.rpartition("/") for key in self._entries.keys())  # noqa: SIM118 - no dict
        return sorted(name for name, _, entry in found if entry == ".zarray")

    def layout(self, name: str) -> ArrayLayout:
        """Return shape, dtype, chunks and attributes of an array.

        Raises
        ------
        ZipstoreError
            If there is no such array, or its description makes no sense.
        """
        if name not in self._layouts:
            array = self._read(f"{name}/.zarray")
            try:
                attributes = self._entries.read(f"{name}/.zattrs")
            except KeyError:
                attributes = None
            try:
                self._layouts[name] = read_layout(array, attributes)
            except ValueError as error:
                msg = f"{self.name}: the description of array {name!r} is damaged ({error})."
                raise ZipstoreError(msg) from error
        return self._layouts[name]

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Return one chunk, read-only.

        Raises
        ------
        ZipstoreError
            If the chunk is missing or damaged.
        """
        try:
            return self.layout(name).decode(self._read(chunk_key(name, index)), index)
        except ValueError as error:
            msg = f"{self.name}: chunk {index} of {name!r} is damaged ({error})."
            raise ZipstoreError(msg) from error

    def read_array(self, name: str) -> npt.NDArray:
        """Return a whole array; for the small ones.

        Raises
        ------
        ZipstoreError
            If a chunk is missing or damaged.
        """
        layout = self.layout(name)
        if math.prod(layout.shape) == 0:
            return np.zeros(layout.shape, dtype=layout.dtype)
        last = tuple(count - 1 for count in layout.chunk_counts)
        if any(last) and chunk_key(name, last) not in self._entries:
            raise ZipstoreError(self._missing(chunk_key(name, last)))  # before it takes memory
        try:
            values = np.zeros(layout.shape, dtype=layout.dtype)
        except MemoryError as error:
            msg = f"{self.name}: array {name!r} of shape {layout.shape} does not fit into memory."
            raise ZipstoreError(msg) from error
        for index in np.ndindex(*layout.chunk_counts):
            place = tuple(
                slice(i * step, (i + 1) * step)
                for i, step in zip(index, layout.chunks, strict=True)
            )
            values[place] = self.read_chunk(name, index)
        return values

    def _read(self, key: str) -> bytes | memoryview:
        try:
            return self._entries.read(key)
        except KeyError as error:
            raise ZipstoreError(self._missing(key)) from error

    def _missing(self, key: str) -> str:
        return f"{self.name} has no entry {key!r}; it is incomplete. Convert the scan again."
