"""The counts of a Crono scan, block by block, from several threads at once.

h5py holds one lock for everything it does, inflating included. Where the counts lie in the
file is all that is asked of it here: a contiguous dataset is read by ranges, and a compressed
chunk is read and inflated in the thread that wants it. What is laid out in another way is left
to HDF5, and so is a chunk that cannot be inflated, for it says best what is damaged. A file
that ends too early is refused here: HDF5 makes zeros of what it lacks.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Literal, Self

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .crono import open_spectra, read_spectra_block
from .errors import CronoFileError
from .plain_text import printable
from .schema import SPECTRA

__all__ = ["SpectraReader"]

_GZIP, _SHUFFLE = 1, 2  # H5Zpublic.h: H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE
_DIRECT_FILTERS = ((_GZIP,), (_SHUFFLE, _GZIP))


class _UnusualChunk(Exception):  # noqa: N818 - no error: HDF5 reads it instead
    """A chunk that is not there, or not what was expected."""


class SpectraReader:
    """Read `XRF/Spectra` of a Crono file; a context manager.

    Parameters
    ----------
    filename : path
        The scan.

    Attributes
    ----------
    n_spectra, n_channels : int
        Shape of the dataset.
    access : {"ranges", "chunks", "hdf5"}
        How its counts are read.

    Raises
    ------
    CronoFileError
        As `open_spectra`.
    """

    def __init__(self, filename: str | PathLike[str]) -> None:
        self.filename = Path(filename)
        self._opened = open_spectra(self.filename)
        self._dataset = self._opened.__enter__()
        self._own = threading.local()
        self.n_spectra, self.n_channels = self._dataset.shape
        self.access = _access(self._dataset)
        self._descriptor = -1
        if self.access != "hdf5":
            self._descriptor = os.open(self.filename, os.O_RDONLY)
            if not self._is_where_expected():
                self.close_descriptor()
                self.access = "hdf5"

    def close_descriptor(self) -> None:
        """Close what ranges are read from."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close_descriptor()
        self._opened.__exit__(None, None, None)

    def read(self, start: int, stop: int) -> npt.NDArray[np.uint16]:
        """Read the counts of some spectra.

        Parameters
        ----------
        start, stop : int
            Spectra start to stop - 1; a stop beyond n is cut.

        Returns
        -------
        counts : (stop - start, c) uint16
            In memory that this thread's next call writes over.

        Raises
        ------
        CronoFileError
            As `read_spectra_block`.
        """
        stop = min(stop, self.n_spectra)
        if self.access == "hdf5":
            return read_spectra_block(self._dataset, start, stop)
        counts = self._memory((stop - start, self.n_channels))
        if self.access == "ranges":
            self._read_range(start, counts)
            return counts
        try:
            self._read_chunks(start, counts)
        except _UnusualChunk:
            return read_spectra_block(self._dataset, start, stop)
        return counts

    @cached_property
    def _places(self) -> npt.NDArray[np.int64]:
        """Offset and length of each chunk in the file; no length if HDF5 has to read it.

        Asked for all at once: HDF5 looks a single chunk up by going through all of them.
        """
        shape, chunks = self._dataset.shape, self._dataset.chunks
        counts = (-(-size // step) for size, step in zip(shape, chunks, strict=True))
        places = np.zeros((*counts, 2), dtype=np.int64)

        def note(info: h5py.h5d.StoreInfo) -> None:
            if info.byte_offset is not None and not info.filter_mask:
                row, column = info.chunk_offset
                places[row // chunks[0], column // chunks[1]] = info.byte_offset, info.size

        self._dataset.id.chunk_iter(note)
        return places

    def _memory(self, shape: tuple[int, int]) -> npt.NDArray[np.uint16]:
        memory = getattr(self._own, "memory", None)
        if memory is None or memory.size < shape[0] * shape[1]:
            memory = self._own.memory = np.empty(shape[0] * shape[1], dtype=np.uint16)
        return memory[: shape[0] * shape[1]].reshape(shape)

    def _is_where_expected(self) -> bool:
        """Return whether the first and the last spectrum are what HDF5 says they are.

        Only a file with something before its own first byte could be read wrongly, but then
        silently.
        """
        ends = ((i, i + 1) for i in (0, self.n_spectra - 1))
        try:
            return all(
                np.array_equal(self.read(*end), read_spectra_block(self._dataset, *end))
                for end in ends
            )
        except CronoFileError:
            return False

    def _read_range(self, start: int, counts: npt.NDArray[np.uint16]) -> None:
        row = counts.itemsize * self.n_channels
        offset = self._dataset.id.get_offset() + start * row
        memory = memoryview(counts).cast("B")
        while memory:
            try:
                count = os.preadv(self._descriptor, [memory], offset)
            except OSError as error:
                raise self._cut_off(start, len(counts), str(error.strerror)) from error
            if count == 0:
                raise self._cut_off(start, len(counts), "the file ends before them")
            memory, offset = memory[count:], offset + count

    def _cut_off(self, start: int, count: int, why: str) -> CronoFileError:
        return CronoFileError(
            f"{printable(self.filename)}: {SPECTRA}, spectra {start}..{start + count - 1} cannot "
            f"be read ({why}); copy the file again from the scanner."
        )

    def _read_chunks(self, start: int, counts: npt.NDArray[np.uint16]) -> None:
        high, wide = self._dataset.chunks
        stop = start + len(counts)
        shuffled = self._dataset.shuffle
        size = high * wide * counts.itemsize
        for row in range(start // high * high, stop, high):
            for column in range(0, self.n_channels, wide):
                offset, length = self._places[row // high, column // wide]
                try:
                    packed = os.pread(self._descriptor, int(length), int(offset))
                    raw = isal_zlib.decompress(packed, bufsize=size)
                except (OSError, isal_zlib.error) as error:
                    raise _UnusualChunk from error
                if len(raw) != size:
                    raise _UnusualChunk
                if shuffled:  # all low bytes, then all high bytes
                    chunk = np.frombuffer(raw, np.uint8).reshape(2, -1).T.copy().view("<u2")
                else:
                    chunk = np.frombuffer(raw, "<u2")
                chunk = chunk.reshape(high, wide)
                first, last = max(row, start), min(row + high, stop)
                columns = slice(column, min(column + wide, self.n_channels))
                counts[first - start : last - start, columns] = chunk[
                    first - row : last - row, : columns.stop - column
                ]


def _access(dataset: h5py.Dataset) -> Literal["ranges", "chunks", "hdf5"]:
    """Return how the counts of a dataset can be read."""
    if dataset.dtype != np.dtype("<u2") or sys.byteorder != "little" or not hasattr(os, "preadv"):
        return "hdf5"
    if dataset.chunks is None:
        return "hdf5" if dataset.id.get_offset() is None else "ranges"
    plist = dataset.id.get_create_plist()
    filters = tuple(plist.get_filter(i)[0] for i in range(plist.get_nfilters()))
    return "chunks" if filters in _DIRECT_FILTERS else "hdf5"
