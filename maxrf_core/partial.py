"""A zip while it is written: entries appended one by one, and found again after a kill.

Each entry is one write of header and data, uncompressed. Its header holds length and
checksum of the data, and a checksum of the name, so that what a killed program or a power
cut left is checked entry by entry, and what is whole is kept. The directory comes last.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from .errors import OutputError
from .unfinished import HiddenNames, lock_path, put_in_place, remove, remove_stale, sync_folder

__all__ = ["PartialZip"]

_DATE = (1980, 1, 1, 0, 0, 0)  # entries carry no clock: equal input makes equal files
_HEADER = struct.Struct("<4s5H3L2H")  # a local file header up to the name (APPNOTE.TXT, 4.3.7)
_UNICODE_PATH = struct.Struct("<2HBL")  # the extra field with a checksum of the name (4.6.9)
_READ_AT_ONCE = 2**22  # bytes


@dataclass(frozen=True)
class _Entry:
    """An entry of the zip: its header begins at `start`, its data at `data`."""

    info: zipfile.ZipInfo
    start: int
    data: int

    @property
    def end(self) -> int:
        return self.data + self.info.file_size


class PartialZip:
    """The unfinished zip beside its final name.

    Parameters
    ----------
    target : Path
        The final name. The unfinished file is ``.NAME.partial`` in the same folder, locked
        by who writes it. If somebody else does, or the file system has no locks, it is
        ``.NAME.PID-TOKEN.partial``, which nobody else ever opens. What was left under such
        names by programs that were killed is removed.
    root : dict of str to bytes
        The first entries. What an earlier program left is kept if it begins with them.

    Attributes
    ----------
    path : Path
        The unfinished file.
    resumed : bool
        Whether entries of an earlier program were kept.

    Raises
    ------
    OSError
        If the file cannot be made. All methods that write raise it.
    """

    def __init__(self, target: Path, root: dict[str, bytes]) -> None:
        self.path = target.with_name(f".{target.name}.partial")
        self._own: HiddenNames | None = None
        remove_stale(target)
        file = lock_path(self.path)
        if file is None:
            self._own = HiddenNames(target)
            self.path = self._own.name(target, "partial")
            try:
                file = self.path.open("x+b", buffering=0)
            except BaseException:
                self._own.close()
                raise
        self._file = file
        self._lock = threading.RLock()
        self._finished = False
        self._root = tuple(root)
        self._entries: dict[str, _Entry] = {}  # in the order of the file
        self._end = 0  # of the last entry
        self._relied = 0  # end of the last entry that this run wrote, or knows to be there
        try:
            for entry in self._whole_entries():
                self._entries[entry.info.filename] = entry
                self._end = entry.end
            self.resumed = tuple(self._entries)[: len(root)] == self._root and all(
                self._read(self._entries[key]) == data for key, data in root.items()
            )
            self._cut(self._end if self.resumed else 0)
            for key, data in root.items():
                self.append(key, data)
        except BaseException:
            self.discard()
            raise

    def __contains__(self, key: str) -> bool:
        return self._rely_on(key) is not None

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all entries, in their order."""
        with self._lock:
            return tuple(self._entries)

    def append(self, key: str, data: bytes) -> None:
        """Append an entry, unless the very same is there already.

        Another entry of that name was left by another conversion: it goes, with all that
        lies behind it.

        Raises
        ------
        OutputError
            If this run relies on something behind it.
        """
        info, header = _entry_header(key, len(data), isal_zlib.crc32(data))
        with self._lock:
            known = self._entries.get(key)
            if known is not None:
                if self._read(known) == data:
                    self._rely_on(key)
                    return
                if known.start < self._relied:
                    raise OutputError(
                        f"the unfinished {self.path} holds another {key!r} amid what this "
                        "conversion wrote. It is removed; start the conversion again."
                    )
                self._cut(known.start)
            self._write(header + data)
            self._entries[key] = _Entry(info, self._end, self._end + len(header))
            self._end = self._relied = self._entries[key].end

    def read(self, key: str) -> bytes:
        """Return an entry.

        Raises
        ------
        KeyError
            If there is none.
        """
        entry = self._rely_on(key)
        if entry is None:
            raise KeyError(key)
        return self._read(entry)

    def truncate_after(self, key: str | None) -> None:
        """Drop all entries behind one; with None, all but the root's.

        Raises
        ------
        KeyError
            If there is no such entry.
        """
        with self._lock:
            self._cut(self._entries[self._root[-1] if key is None else key].end)

    def finish(self, target: Path) -> None:
        """Write the directory, bring the file to the disk and give it its final name."""
        with self._lock:
            directory = _Directory(self._end)
            with zipfile.ZipFile(directory, "w") as archive:
                for entry in self._entries.values():
                    entry.info.header_offset = entry.start
                    archive.filelist.append(entry.info)
            os.ftruncate(self._file.fileno(), self._end)
            self._write(directory.getvalue())
            os.fsync(self._file.fileno())
            if sys.platform == "win32":
                self._file.close()  # an open file cannot be renamed there
            put_in_place(self.path, target)  # elsewhere it stays locked under its old name
            self._finished = True
            self._file.close()
        if self._own is not None:
            self._own.close()
        sync_folder(target.parent)

    def discard(self) -> None:
        """Remove the file, unless it is finished."""
        if self._finished:
            return
        if sys.platform == "win32":
            self._file.close()
        remove(self.path)  # Windows: not if the next one has opened it
        self._file.close()
        if self._own is not None:
            self._own.close()

    def _rely_on(self, key: str) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._relied = max(self._relied, entry.end)
            return entry

    def _cut(self, end: int) -> None:
        os.ftruncate(self._file.fileno(), end)
        self._entries = {key: entry for key, entry in self._entries.items() if entry.end <= end}
        self._end, self._relied = end, min(end, self._relied)

    def _write(self, data: bytes) -> None:
        self._file.seek(self._end)
        rest = memoryview(data)
        while rest:  # a raw write may write less
            rest = rest[self._file.write(rest) :]

    def _read(self, entry: _Entry) -> bytes:
        return self._read_at(entry.data, entry.info.file_size)

    def _read_at(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:  # Windows has no positioned read
            self._file.seek(offset)
            return self._file.read(size)

    def _whole_entries(self) -> Iterator[_Entry]:
        """Yield the entries from the beginning of the file, up to the first damage."""
        start = 0
        while len(fixed := self._read_at(start, _HEADER.size)) == _HEADER.size:
            *_, checksum, _, length, name_length, extra_length = _HEADER.unpack(fixed)
            found = self._read_at(start, _HEADER.size + name_length + extra_length)
            data = start + len(found)
            name = found[_HEADER.size :][:name_length].decode(errors="replace")
            info, header = _entry_header(name, length, checksum)
            if found != header or name in self._entries:
                return
            if self._checksum(data, length) != checksum:  # of less, too, where the file ends
                return
            yield _Entry(info, start, data)
            start = data + length

    def _checksum(self, start: int, length: int) -> int:
        checksum = 0
        for offset in range(start, start + length, _READ_AT_ONCE):
            size = min(_READ_AT_ONCE, start + length - offset)
            checksum = isal_zlib.crc32(self._read_at(offset, size), checksum)
        return checksum


def _entry_header(key: str, size: int, checksum: int) -> tuple[zipfile.ZipInfo, bytes]:
    """Return an uncompressed entry for the directory, and its local header."""
    info = zipfile.ZipInfo(key, _DATE)
    info.create_system = 3  # Unix, as `external_attr` has it, on whatever machine
    info.external_attr = 0o644 << 16
    info.CRC, info.file_size, info.compress_size = checksum, size, size
    name = key.encode()
    extra = _UNICODE_PATH.pack(0x7075, 5 + len(name), 1, isal_zlib.crc32(name)) + name
    info.extra = extra
    header = info.FileHeader()
    info.extra = b""  # the directory is never resumed from
    return info, header


class _Directory(io.BytesIO):
    """A file that begins at an offset: what `zipfile` writes at the end of a zip."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self._offset = offset

    def tell(self) -> int:
        return self._offset + super().tell()

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        return self._offset + super().seek(position - self._offset, whence)
