"""What all writers of a store do alike: declare arrays, cut them into chunks, count those."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .errors import OutputError
from .layout import COUNTS_CODEC, CUMULATIVE_CODEC, ArrayLayout, chunk_key, describe_array

__all__ = ["ArrayWriter"]

_LARGEST_CHUNK = 2**28  # bytes; Blosc takes less than 2 GiB at a time


class ArrayWriter(ABC):
    """What all writers of a store do alike.

    Parameters
    ----------
    path : Path
        Final name of the store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._layouts: dict[str, ArrayLayout] = {}

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @abstractmethod
    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Write a chunk that `ArrayLayout.encode` compressed, perhaps in another thread."""

    @abstractmethod
    def _declare(self, name: str, entries: dict[str, bytes]) -> None:
        """Write the entries that describe an array."""

    def create_array(
        self,
        name: str,
        *,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        chunks: tuple[int, ...] | None = None,
        codec: Any = COUNTS_CODEC,
        attributes: dict[str, Any] | None = None,
    ) -> None:
        """Declare an array; its chunks are written afterwards.

        If it is there already, with the same description, its chunks are kept; with
        another, they go.

        Parameters
        ----------
        name : str
            Path from the root, such as ``counts/by_channel``.
        shape : tuple of int
            Shape of the array.
        dtype : dtype
            Stored little-endian.
        chunks : tuple of int, optional
            Shape of a chunk; one chunk when left out.
        codec : numcodecs codec or None
            Compressor.
        attributes : dict, optional
            Attributes of the array, ready for JSON.

        Raises
        ------
        OutputError
            If the write fails.
        """
        dtype = np.dtype(dtype).newbyteorder("<")
        chunks = tuple(max(1, size) for size in (chunks or shape))
        layout = ArrayLayout(tuple(shape), dtype, chunks, codec, attributes or {})
        self._declare(name, describe_array(name, layout))
        self._layouts[name] = layout

    def write_chunk(self, name: str, index: tuple[int, ...], chunk: npt.NDArray) -> None:
        """Compress and write one chunk.

        Raises
        ------
        OutputError
            If the disk is full or the write fails.
        """
        self.append_chunk(name, index, self._layouts[name].encode(chunk))

    def write_array(
        self,
        name: str,
        values: npt.NDArray,
        *,
        attributes: dict[str, Any] | None = None,
        codec: Any = CUMULATIVE_CODEC,
    ) -> None:
        """Declare and write an array that is in memory, in chunks along its first axis.

        Raises
        ------
        OutputError
            If the write fails.
        """
        rows = len(values)
        if values.nbytes > _LARGEST_CHUNK:
            rows = max(1, _LARGEST_CHUNK * rows // values.nbytes)
        self.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(rows, *values.shape[1:]),
            codec=codec,
            attributes=attributes,
        )
        if values.size:
            for number, start in enumerate(range(0, len(values), rows)):
                index = (number, *(0,) * (values.ndim - 1))
                self.write_chunk(name, index, values[start : start + rows])

    def layout(self, name: str) -> ArrayLayout:
        """Return the layout of a declared array."""
        return self._layouts[name]

    def _check_whole(self, keys: set[str]) -> None:
        """Raise if a chunk of a declared array is not among the keys."""
        for name, layout in self._layouts.items():
            for index in np.ndindex(*layout.chunk_counts):
                if chunk_key(name, index) not in keys:
                    msg = f"{self.path} was not finished: chunk {index} of {name!r} is missing."
                    raise OutputError(msg)
