"""What is whole in a damaged zip: by its directory, or without one, by the headers of its entries.

The directory of a zip comes last, so a copy that was cut short has none. But each entry that
this program writes begins with a header that holds length and checksum of its data and a
checksum of its name: entries are found again, and nothing is taken for one that is none.
"""

from __future__ import annotations

import mmap
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from isal import isal_zlib

from .entries import is_key
from .errors import ZipstoreError

__all__ = ["SalvagedZip"]

_SIGNATURE = b"PK\3\4"
_AFTER_ENTRY = (_SIGNATURE, b"PK\1\2", b"PK\5\6", b"PK\6\6", b"")
"""What may follow an entry: the next one, the directory or its end (APPNOTE.TXT, 4.3.6)."""
_HEADER = struct.Struct("<4s5H3L2H")  # a local file header up to the name (APPNOTE.TXT, 4.3.7)
_NAME_FIELD = struct.Struct("<2HBL")  # the extra field with a checksum of the name (4.6.9)
_NAME_FIELD_ID = 0x7075


class _Place(NamedTuple):
    """Where the data of an entry may lie, and their checksum."""

    start: int
    size: int
    checksum: int


class SalvagedZip:
    """The whole entries of a zip on this machine, which may be damaged anywhere: `Entries`.

    Parameters
    ----------
    path : Path
        The zip.

    Attributes
    ----------
    name : str
        What messages call it.
    directory_is_whole : bool
        Whether the zip's directory could be read.

    Raises
    ------
    ZipstoreError
        If the file cannot be read, or is empty.
    """

    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path
        self._lock = threading.Lock()
        self._archive: zipfile.ZipFile | None = None
        try:
            with path.open("rb") as file:  # the map holds on to it by itself
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # a ValueError if it is empty
            msg = f"cannot read {path}: {getattr(error, 'strerror', None) or error}."
            raise ZipstoreError(msg) from error
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            self._listed: dict[str, zipfile.ZipInfo] = {}
        else:
            self._listed = {info.filename: info for info in self._archive.infolist()}
        self.directory_is_whole = self._archive is not None

    def close(self) -> None:
        """Close the file."""
        if self._archive is not None:
            self._archive.close()
        self._data.close()

    def keys(self) -> Iterator[str]:
        """Return the keys of all entries, whole or not."""
        return (key for key in {**self._listed, **self._found} if is_key(key))

    def __contains__(self, key: str) -> bool:
        return key in self._listed or key in self._found

    def read(self, key: str) -> bytes:
        """Return an entry whose checksum holds.

        Raises
        ------
        KeyError
            If there is none.
        ZipstoreError
            If it is damaged.
        """
        for place in self._places(key):
            data = self._data[place.start : place.start + place.size]
            if len(data) == place.size and isal_zlib.crc32(data) == place.checksum:
                return data
        info = self._listed.get(key)
        if info is not None and info.compress_type != zipfile.ZIP_STORED:
            try:
                with self._lock:
                    return self._archive.read(info)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError):
                pass  # told below
        if key in self:
            raise ZipstoreError(f"{self.name} is damaged at entry {key!r}. Convert the scan again.")
        raise KeyError(key)

    def _places(self, key: str) -> Iterator[_Place]:
        """Yield where an entry may lie: as the directory says, then as headers do."""
        info = self._listed.get(key)
        if info is not None and info.compress_type == zipfile.ZIP_STORED:
            fixed = self._data[info.header_offset : info.header_offset + _HEADER.size]
            lengths = int.from_bytes(fixed[26:28], "little"), int.from_bytes(fixed[28:30], "little")
            name = len(info.orig_filename.encode())
            # the header's own lengths may be what is damaged: then those this program writes
            for extra in (sum(lengths), 2 * name + _NAME_FIELD.size):
                start = info.header_offset + _HEADER.size + extra
                yield _Place(start, info.file_size, info.CRC)
        yield from self._found.get(key, ())

    @cached_property
    def _found(self) -> dict[str, list[_Place]]:
        """The entries that headers tell of, looked for when the directory does not do."""
        found: dict[str, list[_Place]] = {}
        at = self._data.find(_SIGNATURE)
        while at >= 0:
            entry = self._entry_at(at)
            after = at + len(_SIGNATURE)
            if entry is not None:
                key, place = entry
                found.setdefault(key, []).append(place)
                end = place.start + place.size
                # Where a length is damaged, the next entries lie inside of what it claims.
                if self._data[end : end + 4] in _AFTER_ENTRY:
                    after = end
            at = self._data.find(_SIGNATURE, after)
        return found

    def _entry_at(self, at: int) -> tuple[str, _Place] | None:
        """Return key and place of the entry whose header lies there, if it is one of ours."""
        fixed = self._data[at : at + _HEADER.size]
        if len(fixed) < _HEADER.size:
            return None
        *_, checksum, _, size, name_length, extra_length = _HEADER.unpack(fixed)
        name_at = at + _HEADER.size
        name = self._data[name_at : name_at + name_length]
        start = name_at + name_length + extra_length
        field = _NAME_FIELD.pack(_NAME_FIELD_ID, 5 + len(name), 1, isal_zlib.crc32(name)) + name
        if self._data[start - extra_length : start] != field:
            return None
        return name.decode("utf-8", "replace"), _Place(start, size, checksum)
