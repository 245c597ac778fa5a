"""The entries of a store on this machine, by key: a zip, or a folder of files.

An entry of a zip is one positioned read and a comparison with its checksum, so that
threads never wait for each other. A folder has no checksums; what is cut short there,
decompression notices. `remote` has the same behind a URL.
"""

from __future__ import annotations

import errno
import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from isal import isal_zlib

from .entry_limits import METADATA, check_entry, largest_entry, shown_key
from .errors import ZipstoreError
from .location import lies_in, open_file

__all__ = [
    "Entries",
    "FolderEntries",
    "RangeSource",
    "ZipEntries",
    "open_local",
]

_LOCAL_HEADER = 30  # bytes of a zip local file header before the name (APPNOTE.TXT, 4.3.7)
_EXTRA_FIELDS = 256  # bytes that we read on for those after it; longer ones cost a second read
_ENCRYPTED = 0x1  # bit of the flags of an entry (4.4.4)
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, ValueError,
    EOFError, OSError, OverflowError, MemoryError, IndexError,
)  # fmt: skip
"""What `zipfile` raises on damaged or unusual files."""


class Entries(Protocol):
    """The entries of a store, read from several threads.

    Attributes
    ----------
    name : str
        What messages call the store.
    """

    name: str

    def read(self, key: str) -> bytes | memoryview:
        """Return an entry.

        Raises
        ------
        KeyError
            If there is none.
        ZipstoreError
            If it is damaged or cannot be read, or the store was closed.
        """

    def __contains__(self, key: str) -> bool: ...

    def keys(self) -> Iterator[str]:
        """Return the keys of all entries, in no order."""

    def close(self) -> None:
        """Close what is open; nothing can be read any more."""


class RangeSource(Protocol):
    """A file that is read in ranges, from several threads.

    Attributes
    ----------
    size : int
        In bytes.
    """

    size: int

    def read_range(self, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to `stop`; fewer where the file ends."""

    def close(self) -> None:
        """Close the file."""


def open_local(path: Path) -> Entries:
    """Open the zip or the folder at a path.

    Raises
    ------
    ZipstoreError
        If there is neither.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:  # such as of a share that went away
        raise ZipstoreError(_unreadable(path, error)) from error
    if is_folder:
        folder = FolderEntries(path)
        if ".zattrs" not in folder:
            raise ZipstoreError(
                f"{path.name or path} is not a whole zipstore (a folder without .zattrs): name a "
                "zipstore in it; maxrf convert SCAN.HDF5 makes one."
            )
        return folder
    try:
        file = _LocalFile(path)
    except FileNotFoundError as error:
        msg = f"there is no file {path}. Check the name; maxrf convert SCAN.HDF5 makes a zipstore."
        raise ZipstoreError(msg) from error
    except OSError as error:
        raise ZipstoreError(_unreadable(path, error)) from error
    return ZipEntries(file, path.name)


class ZipEntries:
    """The entries of a zip.

    Parameters
    ----------
    source : RangeSource
        The file; it is closed with this.
    name : str
        What messages call it.

    Raises
    ------
    ZipstoreError
        If it is no whole zip.
    """

    def __init__(self, source: RangeSource, name: str) -> None:
        self.name, self._source = name, source
        self._lock = threading.Lock()
        try:
            self._archive = zipfile.ZipFile(_Ranges(source))
        except _ZIP_ERRORS as error:
            source.close()
            raise ZipstoreError(
                f"{name} is not a whole zipstore ({error}): it was cut short, or is another "
                "kind of file. Convert the scan again, or copy the file once more."
            ) from error
        except ZipstoreError:
            source.close()
            raise
        self._infos = {info.filename: info for info in self._archive.infolist()}

    def __contains__(self, key: str) -> bool:
        return key in self._infos

    def keys(self) -> Iterator[str]:
        """Return the keys of all entries."""
        return iter(self._infos)

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def read(self, key: str) -> bytes | memoryview:
        """Return an entry whose checksum holds."""
        info = self._infos[key]
        if info.compress_type != zipfile.ZIP_STORED:  # another program packed it
            return self._unpack(info, key)
        if info.flag_bits & _ENCRYPTED:
            raise ZipstoreError(self._damage(key, " (it is encrypted)"))
        begin, size = info.header_offset, info.file_size
        raw = self._range(begin, _LOCAL_HEADER + len(info.orig_filename) + _EXTRA_FIELDS + size)
        data_at = (
            _LOCAL_HEADER
            + int.from_bytes(raw[26:28], "little")  # length of the name
            + int.from_bytes(raw[28:30], "little")  # length of the extra fields
        )
        data = raw[data_at : data_at + size]
        if len(data) < size:
            data = self._range(begin + data_at, size)
        if len(data) != size or isal_zlib.crc32(data) != info.CRC:
            raise ZipstoreError(self._damage(key))
        return data

    def _range(self, start: int, size: int) -> memoryview:
        stop = min(start + size, self._source.size)  # a damaged directory may ask for any size
        return memoryview(self._source.read_range(start, max(start, stop)))

    def _unpack(self, info: zipfile.ZipInfo, key: str) -> bytes:
        """Return an entry that another program packed, if it is as large as it says at most."""
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise ZipstoreError(self._damage(key, f" (packed with method {info.compress_type})"))
        if info.file_size > largest_entry(key):
            raise ZipstoreError(self._damage(key, f" (it would have {info.file_size} bytes)"))
        try:
            with self._lock, self._archive.open(info) as file:
                return file.read(info.file_size)  # without a size, all that comes is unpacked
        except _ZIP_ERRORS as error:
            raise ZipstoreError(self._damage(key, f" ({error})")) from error

    def _damage(self, key: str, cause: str = "") -> str:
        return f"{self.name} is damaged at entry {shown_key(key)}{cause}. Convert the scan again."


class FolderEntries:
    """The entries of a folder: a file each.

    A link among them that leads out of the folder is no entry: who made the folder would read
    what only the reader of the scan may.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name or str(path)
        self._path, self._real = path, path.resolve()
        self._closed = False

    def __contains__(self, key: str) -> bool:
        return is_key(key) and _is_entry(self._path / key, self._path)

    def keys(self) -> Iterator[str]:
        """Return the keys of all entries."""
        for path in self._path.rglob("*"):
            is_hidden = path.name.startswith(".") and path.name not in METADATA
            key = path.relative_to(self._path).as_posix()
            if not is_hidden and is_key(key) and _is_entry(path, self._path):
                yield key

    def close(self) -> None:
        """Read no more."""
        self._closed = True

    def read(self, key: str) -> bytes:
        """Return an entry."""
        if self._closed:
            raise ZipstoreError(closed(self.name))
        if not is_key(key):
            raise KeyError(key)
        path = self._path / key
        try:
            check_entry(self._real, key)
            with open_file(path) as file:
                return file.read(largest_entry(key) + 1)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise KeyError(key) from error
        except (OSError, ValueError) as error:
            raise ZipstoreError(_unreadable(path, error)) from error


def _is_entry(path: Path, folder: Path) -> bool:
    return path.is_file() and lies_in(path, folder)


def is_key(key: str) -> bool:
    """Return whether a key names an entry of the store, and nothing outside of it."""
    return not any(part in {"", ".", ".."} or {*part} & {*"\\:\0"} for part in key.split("/"))


def closed(name: str) -> str:
    """Return the sentence for a store that was closed."""
    return f"{name} was closed; open it again."


def _unreadable(path: Path, error: Exception) -> str:
    return f"cannot read {path}: {getattr(error, 'strerror', None) or error}."


class _LocalFile:
    """A file of this machine: a `RangeSource`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file = open_file(path, buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    def read_range(self, start: int, stop: int) -> bytes:
        if self._file.closed:
            raise ZipstoreError(closed(self._path.name))
        try:
            data = self._read(start, stop - start)
            while len(data) < stop - start:  # the system may read less at a time
                more = self._read(start + len(data), stop - start - len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise ZipstoreError(_unreadable(self._path, error)) from error
        return data

    def _read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:  # Windows has no positioned read
            self._file.seek(offset)
            return self._file.read(size)


class _Ranges(io.RawIOBase):
    """A `RangeSource` as a file with a position, for `zipfile`."""

    def __init__(self, source: RangeSource) -> None:
        self._source, self._position = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}
        if base[whence] + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._position = base[whence] + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._source.size - self._position)
        size = left if size < 0 else min(size, left)
        data = self._source.read_range(self._position, self._position + size)
        self._position += len(data)
        return data
