"""How arrays lie in chunks: shapes, codecs, keys, and what zarr's format 2 says of them.

Here are no files: `entries` and `store` read them, `writer` writes them, and `table`,
`combine` and `pipeline` ask for no more than the protocols at the end.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numcodecs import Blosc, blosc

from .decoding import decompress, may_be_frame, safe_codec

__all__ = [
    "COUNTS_CODEC",
    "CUMULATIVE_CODEC",
    "FLOAT_CODEC",
    "MAX_CHUNK_BYTES",
    "ArrayLayout",
    "ChunkSink",
    "ChunkSource",
    "chunk_key",
    "describe_array",
    "describe_root",
    "read_layout",
    "read_object",
    "shortened",
]

# Measured on scans of 4096 channels, one thread.
COUNTS_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.BITSHUFFLE, blocksize=2**20)
"""Of uint16 counts: 26 % smaller than with the byte shuffle, and 10 % faster both ways."""

CUMULATIVE_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.SHUFFLE)
"""Of all other integers: cumulative counts are 5 % smaller than with the bit shuffle."""

FLOAT_CODEC = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
"""Of smoothed spectra: 0.358 of their size at 2.1 GB/s (level 1: 0.374 at the same pace;
zstd level 1: 0.354 at 0.6 GB/s; lz4 with the bit shuffle: 0.436 at 1.4 GB/s)."""

MAX_CHUNK_BYTES = 2**29
"""Of a chunk decompressed; the largest that this program writes have half of it."""

_KINDS = "biuf"  # of dtypes: numbers
_MAX_AXES = 8
_MAX_LENGTH = 2**40  # of an axis, and of an array in values


def chunk_key(name: str, index: tuple[int, ...]) -> str:
    """Return the key of a chunk in a store of zarr's format 2."""
    return f"{name}/{'.'.join(map(str, index)) if index else '0'}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let Blosc compress with one thread, as it does in every thread but the main one.

    With several it joins the blocks of a frame in the order in which they get ready, so
    that equal chunks make unequal files (c-blosc 1.21, blosc.c: t_blosc). zarr forbids it
    when it is imported, which a worker does not do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, blosc.use_threads = blosc.use_threads, False
    try:
        yield
    finally:
        blosc.use_threads = before


@dataclass(frozen=True)
class ArrayLayout:
    """Shape, dtype, chunks and codec of one array of a store.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        As stored.
    chunks : tuple of int
        Shape of a chunk, at least 1 along each axis.
    codec : numcodecs codec or None
        Compressor of each chunk.
    attributes : dict
        Attributes of the array, ready for JSON.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    codec: Any
    attributes: dict[str, Any]

    @property
    def chunk_counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk, decompressed."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def chunk_size(self, index: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of what the chunk at `index` holds of the array."""
        return tuple(
            min(size - i * step, step)
            for i, size, step in zip(index, self.shape, self.chunks, strict=True)
        )

    def encode(self, chunk: npt.NDArray) -> bytes:
        """Compress one chunk, padded with zeros at the array's far edges as zarr asks.

        Equal chunks give equal bytes, in whatever thread.
        """
        if chunk.shape != self.chunks:
            whole = np.zeros(self.chunks, dtype=self.dtype)
            whole[tuple(slice(0, size) for size in chunk.shape)] = chunk
            chunk = whole
        data = np.ascontiguousarray(chunk, dtype=self.dtype)
        if self.codec is None:
            return data.tobytes()
        with _one_thread():
            return bytes(self.codec.encode(data))

    def decode(self, data: bytes | memoryview, index: tuple[int, ...]) -> npt.NDArray:
        """Decompress the chunk at `index` and cut the padding off. It is read-only.

        Raises
        ------
        ValueError
            If the bytes are no such chunk.
        """
        raw = decompress(self.codec, data, self.chunk_bytes)
        chunk = np.frombuffer(raw, dtype=self.dtype).reshape(self.chunks)
        inside = chunk[tuple(slice(0, size) for size in self.chunk_size(index))]
        inside.flags.writeable = False
        return inside

    def may_be_chunk(self, start: bytes, size: int) -> bool:
        """Return whether `size` bytes with this beginning can be a whole chunk.

        Parameters
        ----------
        start : bytes
            At least the first 18 bytes, or all there are.
        size : int
            Length in bytes. After a power loss it may be too short, or all be zeros.
        """
        return may_be_frame(self.codec, start, size, self.chunk_bytes)


def read_layout(array: bytes | memoryview, attributes: bytes | memoryview | None) -> ArrayLayout:
    """Return the layout that a store's ``.zarray`` and ``.zattrs`` describe.

    Parameters
    ----------
    array, attributes : bytes
        The JSON texts; there may be no attributes.

    Raises
    ------
    ValueError
        If they make no sense, or ask for what this program does not read: filters,
        columns first, folders of chunks, values that are no numbers, chunks larger than
        `MAX_CHUNK_BYTES`, or a codec that does more than decompress.
    """
    meta = read_object(array)
    found = read_object(attributes) if attributes is not None else {}
    if missing := sorted({"shape", "chunks", "dtype", "compressor"} - meta.keys()):
        raise ValueError(f"it names no {', '.join(missing)}")
    unusual = (meta.get("filters"), meta.get("order", "C"), meta.get("dimension_separator", "."))
    if unusual not in ((None, "C", "."), ([], "C", ".")):
        msg = f"filters, order and separator are {unusual}; expected none, 'C' and '.'"
        raise ValueError(msg)
    shape, chunks = _lengths(meta, "shape", least=0), _lengths(meta, "chunks", least=1)
    dtype = _dtype(meta["dtype"])
    if len(chunks) != len(shape):
        raise ValueError(f"shape {shape} and chunks {chunks}; expected as many axes")
    layout = ArrayLayout(shape, dtype, chunks, safe_codec(meta["compressor"]), found)
    if layout.chunk_bytes > MAX_CHUNK_BYTES:
        msg = f"chunks {chunks} of {layout.chunk_bytes} bytes; at most {MAX_CHUNK_BYTES} are read"
        raise ValueError(msg)
    return layout


def read_object(data: bytes | memoryview) -> dict[str, Any]:
    """Return the JSON object of a description.

    Raises
    ------
    ValueError
        If it is no JSON, nested too deeply, or no object.
    """
    try:
        found = json.loads(bytes(data))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is a JSON {type(found).__name__}, no object")  # noqa: TRY004 - of a text
    return found


def _lengths(meta: dict[str, Any], key: str, *, least: int) -> tuple[int, ...]:
    """Return lengths along axes that a machine can count."""
    found = meta[key]
    if not (
        isinstance(found, list)
        and len(found) <= _MAX_AXES
        and all(type(one) is int and least <= one <= _MAX_LENGTH for one in found)
        and math.prod(found) <= _MAX_LENGTH
    ):
        raise ValueError(f"{key} {shortened(found)}; expected up to {_MAX_AXES} whole numbers")
    return tuple(found)


def _dtype(name: Any) -> np.dtype:
    """Return the dtype of numbers that a text names."""
    try:
        dtype = np.dtype(name) if isinstance(name, str) else None
    except (TypeError, ValueError, SyntaxError, OverflowError):
        dtype = None
    if dtype is None or dtype.kind not in _KINDS or dtype.itemsize > 8:
        raise ValueError(f"dtype {shortened(name)}; expected numbers such as '<u2'")
    return dtype


def shortened(value: Any) -> str:
    """Return a value that stood in a file, short enough for a sentence."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def describe_root(attributes: dict[str, Any]) -> dict[str, bytes]:
    """Return the entries that describe the root group, as zarr writes them."""
    return _described(lambda _: None, attributes)


def describe_array(name: str, layout: ArrayLayout) -> dict[str, bytes]:
    """Return the entries that describe an array and the groups around it, by key.

    Parameters
    ----------
    name : str
        Path from the root, such as ``counts/by_channel``.
    layout : ArrayLayout
        Its layout.
    """
    entries = _described(
        lambda root: root.create_array(
            name,
            shape=layout.shape,
            dtype=layout.dtype,
            chunks=layout.chunks,
            compressors=layout.codec,
            fill_value=0,
            attributes=layout.attributes,
        ),
        {},
    )
    return {key: data for key, data in entries.items() if "/" in key}


def _described(create: Callable[[Any], object], attributes: dict[str, Any]) -> dict[str, bytes]:
    import zarr
    from zarr.storage import MemoryStore

    stored: dict[str, Any] = {}
    create(zarr.open_group(MemoryStore(stored), mode="w", zarr_format=2, attributes=attributes))
    return {key: stored[key].to_bytes() for key in sorted(stored)}


class ChunkSource(Protocol):
    """Anything whose arrays are read chunk by chunk: a store, whole or being written."""

    def layout(self, name: str) -> ArrayLayout:
        """Return the layout of an array."""

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Return one chunk, read-only."""


class ChunkSink(ChunkSource, Protocol):
    """Anything that arrays are written to: a zipstore, or a directory to be packed."""

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
        """Declare an array; its chunks are written afterwards."""

    def write_array(
        self,
        name: str,
        values: npt.NDArray,
        *,
        attributes: dict[str, Any] | None = None,
        codec: Any = CUMULATIVE_CODEC,
    ) -> None:
        """Declare and write an array that is in memory."""

    def write_chunk(self, name: str, index: tuple[int, ...], chunk: npt.NDArray) -> None:
        """Compress and write one chunk."""

    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Write a chunk that `ArrayLayout.encode` compressed."""

    def has_chunk(self, name: str, index: tuple[int, ...]) -> bool:
        """Return whether a chunk is there already."""
