"""Chunks as files in a folder that several machines see: what a worker gets to write to."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import numpy.typing as npt

from .layout import ArrayLayout, chunk_key
from .unfinished import put_in_place, told

__all__ = ["ChunkFiles"]

_ENOUGH_TO_CHECK = 18  # bytes from the beginning of a chunk


@dataclass(frozen=True)
class ChunkFiles:
    """The folder of a `ChunkDirectory`, for workers: small, and can be pickled.

    Parameters
    ----------
    folder : Path
        The folder, by the same path on all machines.
    layouts : dict of str to ArrayLayout
        The arrays that are declared.

    Notes
    -----
    Every entry is written under another name and then renamed: nobody sees half of one,
    and writing one twice, as a repeated task does, changes nothing.
    """

    folder: Path
    layouts: dict[str, ArrayLayout] = field(default_factory=dict)

    def layout(self, name: str) -> ArrayLayout:
        """Return the layout of an array."""
        return self.layouts[name]

    def put(self, key: str, data: bytes) -> None:
        """Write an entry.

        Raises
        ------
        OutputError
            If the disk is full, or the folder is gone.
        """
        path = self.folder / key
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with told(path):
            try:
                temporary.write_bytes(data)
                put_in_place(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def holds(self, key: str, data: bytes) -> bool:
        """Return whether an entry is there and is the same."""
        path = self.folder / key
        with told(path):
            try:
                return path.read_bytes() == data
            except FileNotFoundError:
                return False

    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Write a chunk that `ArrayLayout.encode` compressed.

        Raises
        ------
        OutputError
            If that fails.
        """
        self.put(chunk_key(name, index), data)

    def write_chunk(self, name: str, index: tuple[int, ...], chunk: npt.NDArray) -> None:
        """Compress and write a chunk.

        Raises
        ------
        OutputError
            If that fails.
        """
        self.append_chunk(name, index, self.layouts[name].encode(chunk))

    def has_chunk(self, name: str, index: tuple[int, ...]) -> bool:
        """Return whether a chunk is there, as long as it says that it is."""
        path = self.folder / chunk_key(name, index)
        with told(path):
            try:
                with path.open("rb") as file:
                    start, size = file.read(_ENOUGH_TO_CHECK), file.seek(0, os.SEEK_END)
            except FileNotFoundError:
                return False
        return self.layouts[name].may_be_chunk(start, size)

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Return a chunk, read-only.

        Raises
        ------
        KeyError
            If there is none.
        """
        key = chunk_key(name, index)
        path = self.folder / key
        with told(path):
            try:
                data = path.read_bytes()
            except FileNotFoundError as error:
                raise KeyError(key) from error
        return self.layouts[name].decode(data, index)
