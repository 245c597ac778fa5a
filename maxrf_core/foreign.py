"""Zarr stores of other programs, opened by zarr within bounds, and its complaints as sentences.

zarr trusts a store: it takes any codec of numcodecs, one of which runs what it reads, and unpacks
whatever it is given. Here a codec has to be one that only decompresses, and no entry or chunk may
become larger than a limit.
"""

from __future__ import annotations

import lzma
import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zarr
from zarr.storage import LocalStore, ZipStore

from .decoding import SAFE_CODECS, unpacked_size
from .entry_limits import check_entry, check_zip, largest_entry
from .errors import MaxrfError
from .layout import MAX_CHUNK_BYTES
from .plain_text import printable

__all__ = ["checked_array", "checked_whole", "members", "open_group", "told"]

_CODECS = SAFE_CODECS - {"lz4"}
"""Frames of LZ4 do not begin in a way that tells how large they become."""
_ALWAYS_READ = 2**26  # bytes
_MAX_RATIO = 10_000  # of values to their bytes in the file
_MAX_DEPTH = 32  # groups in groups
_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    OSError, RuntimeError, TypeError, ValueError, AssertionError, zipfile.BadZipFile, zlib.error,
    lzma.LZMAError, struct.error,
)  # fmt: skip
"""What zarr, numcodecs and `zipfile` were seen to raise on stores that are damaged."""


@contextmanager
def told(path: Path, kind: type[MaxrfError], what: str) -> Iterator[None]:
    """Turn what zarr raises on a damaged store into an error of ours.

    Parameters
    ----------
    path : Path
        The store.
    kind : type
        The error.
    what : str
        What is wrong with it, such as "is not a whole zarr zip".
    """
    try:
        yield
    except MaxrfError:
        raise
    except _ERRORS as error:
        why = printable(error)[:300] or type(error).__name__
        raise kind(f"{printable(path)} {what} ({why}). Copy it again, or write it anew.") from error


def open_group(path: Path) -> zarr.Group:
    """Open the root of a zarr zip, or of a folder of its entries.

    Raises
    ------
    Exception
        Whatever zarr raises; see `told`.
    """
    if path.is_dir():
        return zarr.open_group(_BoundedFolder(path, read_only=True), mode="r")
    check_zip(path)
    return zarr.open_group(_BoundedZip(path, mode="r", read_only=True), mode="r")


def members(group: zarr.Group) -> dict[str, zarr.Array]:
    """Return all arrays below a group by their path, each checked.

    Raises
    ------
    ValueError
        See `checked_array`.
    """
    found: dict[str, zarr.Array] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)  # of what is no array
        for name, member in group.members(max_depth=_MAX_DEPTH):
            if isinstance(member, zarr.Array):
                found[name] = checked_array(member)
    return found


def checked_array(array: zarr.Array) -> zarr.Array:
    """Return an array whose chunks only have to be decompressed, and fit into memory.

    Raises
    ------
    ValueError
        If a codec may do more, or a chunk is larger than `MAX_CHUNK_BYTES`.
    """
    for codec in _codec_names(array):
        if codec not in _CODECS:
            raise ValueError(f"array {array.name} is packed by {codec!r}, which is not trusted")
    whole = array.shards or array.chunks
    size = math.prod(whole) * array.dtype.itemsize
    if array.dtype.kind not in "biufc" or size > MAX_CHUNK_BYTES:
        raise ValueError(f"array {array.name} has chunks {whole} of {array.dtype}")
    return array


def checked_whole(array: zarr.Array) -> zarr.Array:
    """Return an array that is checked, and may be read whole.

    Raises
    ------
    ValueError
        As `checked_array`; also if it declares far more than there is of it, since zarr makes
        up what is not there.
    """
    checked_array(array)
    if array.nbytes > _ALWAYS_READ and array.nbytes > _MAX_RATIO * (stored := _size(array)):
        raise ValueError(
            f"array {array.name} declares {array.nbytes:,} bytes, of which the file holds "
            f"{stored:,}"
        )
    return array


def _size(array: zarr.Array) -> int:
    """Return the bytes of the store that an array lies in."""
    if isinstance(array.store, ZipStore):
        return Path(array.store.path).stat().st_size
    return sum(file.stat().st_size for file in array.store.root.rglob("*") if file.is_file())


def _codec_names(array: zarr.Array) -> Iterator[str]:
    """Yield the codecs of an array but those of zarr itself that only order bytes."""
    for codec in (*array.filters, *array.compressors):
        config = codec.get_config() if hasattr(codec, "get_config") else codec.to_dict()
        yield str(config.get("id") or config.get("name"))


class _BoundedZip(ZipStore):
    """A zip whose entries do not become gigabytes."""

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        return _bounded(key, await super().get(key, *args, **options))


class _BoundedFolder(LocalStore):
    """A folder whose files are files of its own, and do not become gigabytes."""

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        check_entry(self.root, key)
        return _bounded(key, await super().get(key, *args, **options))


def _bounded(key: str, data: Any) -> Any:
    """Return an entry, unless it begins as a frame that becomes more than a chunk may be."""
    if data is not None:
        raw = memoryview(data.as_numpy_array()).cast("B")
        if len(raw) > largest_entry(key) or unpacked_size(raw, MAX_CHUNK_BYTES) > MAX_CHUNK_BYTES:
            raise ValueError(f"entry {key!r} becomes more than {MAX_CHUNK_BYTES} bytes")
    return data
