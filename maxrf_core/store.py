"""The zipstore: a zarr format 2 zip, written whole and read by ranges.

Chunks lie in the zip uncompressed (each is a Blosc frame of its own), so a reader needs
one positioned read and one decompression a chunk, from any thread, without a lock. zarr's
own `ZipStore` reads the same file, as does any other zarr.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import threading
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import Blosc, get_codec
from zarr.storage import MemoryStore

from .errors import OutputError, ZipstoreError
from .schema import SCHEMA_NAME, SCHEMA_VERSION

__all__ = ["COUNTS_CODEC", "FLOAT_CODEC", "ChunkSource", "ZipstoreReader", "ZipstoreWriter"]

COUNTS_CODEC = Blosc(cname="zstd", clevel=1, shuffle=Blosc.SHUFFLE)
FLOAT_CODEC = Blosc(cname="lz4", clevel=1, shuffle=Blosc.SHUFFLE)

_LARGEST_CHUNK = 2**28  # bytes; Blosc takes less than 2 GiB at a time
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # entries carry no clock: equal input makes equal files
_LOCAL_HEADER = 30  # bytes of a zip local file header before the name (APPNOTE.TXT, 4.3.7)


@dataclass(frozen=True)
class ArrayLayout:
    """Shape, dtype, chunks and codec of one array of the zipstore."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]
    codec: Any
    attributes: dict[str, Any]

    @property
    def chunk_counts(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    def encode(self, chunk: npt.NDArray) -> bytes:
        """Compress one chunk, padded with zeros at the array's far edges as zarr asks."""
        if chunk.shape != self.chunks:
            whole = np.zeros(self.chunks, dtype=self.dtype)
            whole[tuple(slice(0, size) for size in chunk.shape)] = chunk
            chunk = whole
        data = np.ascontiguousarray(chunk, dtype=self.dtype)
        return data.tobytes() if self.codec is None else bytes(self.codec.encode(data))

    def decode(self, data: bytes, index: tuple[int, ...]) -> npt.NDArray:
        """Decompress the chunk at `index` and cut the padding off."""
        raw = data if self.codec is None else self.codec.decode(data)
        chunk = np.frombuffer(raw, dtype=self.dtype).reshape(self.chunks)
        inside = tuple(
            slice(0, min(size - i * step, step))
            for i, size, step in zip(index, self.shape, self.chunks, strict=True)
        )
        return chunk[inside]


class ChunkSource(Protocol):
    """Anything whose arrays are read chunk by chunk: a zipstore, whole or being written."""

    def layout(self, name: str) -> ArrayLayout:
        """Return the layout of an array."""

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Return one chunk."""


def _chunk_key(name: str, index: tuple[int, ...]) -> str:
    return f"{name}/{'.'.join(map(str, index)) if index else '0'}"


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a failed write."""
    if error.errno == errno.ENOSPC:
        return OutputError(
            f"no space is left to write {path}. Free some space, choose another folder with "
            "output, or leave the float cubes out (cubes=False, --lean)."
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return OutputError(
            f"no permission to write {path}. Choose a folder of your own with output "
            "(command line: --output)."
        )
    return OutputError(f"cannot write {path}: {error.strerror or error}.")


class ZipstoreWriter:
    """Write a zipstore under a temporary name; it appears under its own when whole.

    Parameters
    ----------
    path : Path
        Final name. An existing file is replaced by `commit`, and only then.
    attributes : dict
        Root attributes, ready for JSON.

    Notes
    -----
    Use it as a context manager: leaving it without `commit` removes the temporary file.
    `write_chunk` may be called from several threads: each compresses its own chunk, and
    one at a time appends.
    """

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        self.path = path
        token = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.temporary = path.with_name(f".{path.name}.{token}.partial")
        self._lock = threading.Lock()
        self._layouts: dict[str, ArrayLayout] = {}
        self._entries: dict[str, tuple[int, int]] = {}
        self._metadata: dict[str, Any] = {}
        self._root = zarr.open_group(
            MemoryStore(self._metadata), mode="w", zarr_format=2, attributes=attributes
        )
        try:
            self._file = self.temporary.open("w+b")
        except OSError as error:
            raise output_error(path, error) from error
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED, allowZip64=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:
            self._zip.fp = None  # else it would try to finish the zip, on a full disk, say
            with suppress(OSError):
                self._file.close()
        self.temporary.unlink(missing_ok=True)

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
        """
        dtype = np.dtype(dtype).newbyteorder("<")
        chunks = tuple(max(1, size) for size in (chunks or shape))
        self._root.create_array(
            name,
            shape=shape,
            dtype=dtype,
            chunks=chunks,
            compressors=codec,
            fill_value=0,
            attributes=attributes or {},
        )
        self._layouts[name] = ArrayLayout(shape, dtype, chunks, codec, attributes or {})

    def write_chunk(self, name: str, index: tuple[int, ...], chunk: npt.NDArray) -> None:
        """Compress one chunk and append it. Each chunk is written once.

        Raises
        ------
        OutputError
            If the disk is full or the write fails.
        """
        self.append_chunk(name, index, self._layouts[name].encode(chunk))

    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Append a chunk that `ArrayLayout.encode` compressed, perhaps in another thread."""
        self._append(_chunk_key(name, index), data)

    def write_array(
        self,
        name: str,
        values: npt.NDArray,
        *,
        attributes: dict[str, Any] | None = None,
        codec: Any = COUNTS_CODEC,
    ) -> None:
        """Declare and write an array that is in memory, in chunks along its first axis."""
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

    def _append(self, key: str, data: bytes) -> None:
        info = zipfile.ZipInfo(key, _ZIP_DATE)
        info.external_attr = 0o644 << 16
        try:
            with self._lock:
                self._zip.writestr(info, data)
                end = self._file.tell()
                self._file.flush()
        except OSError as error:
            raise output_error(self.path, error) from error
        self._entries[key] = (end - len(data), len(data))

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Read back a chunk that was written before."""
        offset, size = self._entries[_chunk_key(name, index)]
        data = _read_at(self._file, self._lock, size, offset)
        return self._layouts[name].decode(data, index)

    def layout(self, name: str) -> ArrayLayout:
        """Return the layout of a declared array."""
        return self._layouts[name]

    def commit(self) -> None:
        """Finish the zip, bring it to the disk and give it its final name.

        Raises
        ------
        OutputError
            If that fails; what stood under the final name stays.
        """
        for key in sorted(self._metadata):
            self._append(key, self._metadata[key].to_bytes())
        try:
            self._zip.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self.temporary.replace(self.path)
        except OSError as error:
            raise output_error(self.path, error) from error


class ZipstoreReader:
    """Read the chunks of a zipstore from several threads at once.

    Parameters
    ----------
    path : Path
        The zipstore.

    Raises
    ------
    ZipstoreError
        If it is not there, not a whole zip, or not a zipstore of this schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._layouts: dict[str, ArrayLayout] = {}
        self._lock = threading.Lock()
        with _open_zip(path) as archive:
            self._infos = {info.filename: info for info in archive.infolist()}
            self.attributes = self._read_attributes(archive)
        self._file = path.open("rb")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_attributes(self, archive: zipfile.ZipFile) -> dict[str, Any]:
        advice = f"Convert the scan again: maxrf convert SCAN.HDF5 --output {self.path} --overwrite"
        try:
            attributes = json.loads(_checked(archive, ".zattrs"))
            name, version = attributes["schema"], int(attributes["schema_version"])
        except (KeyError, ValueError, TypeError) as error:
            msg = (
                f"{self.path.name} is a zip, but not a zipstore of this program: its root "
                f"attributes name no schema (cronomaxrf's own files have none). {advice}"
            )
            raise ZipstoreError(msg) from error
        if name != SCHEMA_NAME or version != SCHEMA_VERSION:
            msg = (
                f"{self.path.name} has schema {name!r} version {version}; this program reads "
                f"{SCHEMA_NAME!r} version {SCHEMA_VERSION}. {advice}"
            )
            raise ZipstoreError(msg)
        return attributes

    def __contains__(self, name: str) -> bool:
        return f"{name}/.zarray" in self._infos

    def layout(self, name: str) -> ArrayLayout:
        """Return shape, dtype, chunks and attributes of an array.

        Raises
        ------
        ZipstoreError
            If there is no such array, or its description makes no sense.
        """
        if name not in self._layouts:
            try:
                meta = json.loads(self._read(f"{name}/.zarray"))
                attributes = {}
                if f"{name}/.zattrs" in self._infos:
                    attributes = json.loads(self._read(f"{name}/.zattrs"))
                codec = meta["compressor"] and get_codec(meta["compressor"])
                self._layouts[name] = ArrayLayout(
                    tuple(meta["shape"]),
                    np.dtype(meta["dtype"]),
                    tuple(meta["chunks"]),
                    codec,
                    attributes,
                )
            except (ValueError, KeyError, TypeError) as error:
                msg = f"{self.path.name}: the description of array {name!r} is damaged ({error})."
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
            return self.layout(name).decode(self._read(_chunk_key(name, index)), index)
        except (ValueError, RuntimeError) as error:
            msg = f"{self.path.name}: chunk {index} of {name!r} is damaged ({error})."
            raise ZipstoreError(msg) from error

    def read_array(self, name: str) -> npt.NDArray:
        """Return a whole array; for the small ones.

        Raises
        ------
        ZipstoreError
            If a chunk is missing or damaged.
        """
        layout = self.layout(name)
        values = np.zeros(layout.shape, dtype=layout.dtype)
        for index in np.ndindex(*(layout.chunk_counts if values.size else (0,))):
            place = tuple(
                slice(i * step, (i + 1) * step)
                for i, step in zip(index, layout.chunks, strict=True)
            )
            values[place] = self.read_chunk(name, index)
        return values

    def _read(self, key: str) -> bytes:
        info = self._infos.get(key)
        if info is None:
            msg = (
                f"{self.path.name} has no entry {key!r}; the file is incomplete. Convert the "
                "scan again."
            )
            raise ZipstoreError(msg)
        if self._file.closed:
            msg = f"{self.path.name} was closed; open it again."
            raise ZipstoreError(msg)
        if info.compress_type != zipfile.ZIP_STORED:
            with _open_zip(self.path) as archive:
                return _checked(archive, key)
        header = _read_at(self._file, self._lock, _LOCAL_HEADER, info.header_offset)
        name_and_extra = int.from_bytes(header[26:28], "little") + int.from_bytes(
            header[28:30], "little"
        )
        start = info.header_offset + _LOCAL_HEADER + name_and_extra
        data = _read_at(self._file, self._lock, info.file_size, start)
        if zlib.crc32(data) != info.CRC:
            msg = f"{self.path.name} is damaged at entry {key!r}. Convert the scan again."
            raise ZipstoreError(msg)
        return data


def _read_at(file: BinaryIO, lock: threading.Lock, size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    with lock:  # Windows has no positioned read
        file.seek(offset)
        return file.read(size)


def _checked(archive: zipfile.ZipFile, key: str) -> bytes:
    """Return an entry of a zip whose checksum holds."""
    try:
        return archive.read(key)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError) as error:
        msg = f"{archive.filename} is damaged at entry {key!r} ({error}). Convert the scan again."
        raise ZipstoreError(msg) from error


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        msg = f"there is no file {path}. Check the name; maxrf convert SCAN.HDF5 makes a zipstore."
        raise ZipstoreError(msg) from error
    except (zipfile.BadZipFile, IsADirectoryError, NotImplementedError, ValueError) as error:
        msg = (
            f"{path.name} is not a whole zipstore ({error}): it was cut short, or is another "
            "kind of file. Convert the scan again, or copy the file once more."
        )
        raise ZipstoreError(msg) from error
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}."
        raise ZipstoreError(msg) from error
