"""The headers before the entries of a zip, held against its directory.

Our own reader goes by the directory; other programs look at both, and refuse an entry when
they differ. What no program needs is not looked at: times, versions, permissions.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__ = ["header_faults", "unreadable_entries"]

_HEADER = struct.Struct("<4s5H3L2H")  # a local file header up to the name (APPNOTE.TXT, 4.3.7)
_IN_DIRECTORY = struct.Struct("<4s24x3H12x")  # the lengths in an entry of the directory (4.3.12)
_SIGNATURE = b"PK\3\4"
_SIZES_FOLLOW, _UTF8 = 0x8, 0x800  # bits of the flags (4.4.4)
_IN_EXTRA = 0xFFFFFFFF  # a size that stands in the extra fields, beyond 4 GB (4.5.3)


def unreadable_entries(archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the entries that are packed as no zarr zip is."""
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for info in archive.infolist():
        if info.compress_type not in known:
            yield (
                f"entry {info.filename!r} is packed with method {info.compress_type}; expected "
                "none or deflate."
            )


def header_faults(path: Path, archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the entries that are there twice, or whose header is not that of the directory.

    Parameters
    ----------
    path : Path
        The zip.
    archive : ZipFile
        The same, opened.
    """
    infos = archive.infolist()
    twice = (name for name, count in Counter(i.filename for i in infos).items() if count > 1)
    yield from (f"entry {name!r} is there more than once." for name in twice)
    with path.open("rb") as file:
        file.seek(archive.start_dir)
        for info in infos:
            lengths = len(_raw_name(info)), len(info.extra), len(info.comment)
            found = _IN_DIRECTORY.unpack(file.read(_IN_DIRECTORY.size).ljust(_IN_DIRECTORY.size))
            file.seek(sum(lengths), os.SEEK_CUR)
            if found != (b"PK\1\2", *lengths):
                yield f"the zip's directory is damaged at entry {info.filename!r}."
                break
        for info in infos:
            file.seek(info.header_offset)
            fixed = file.read(_HEADER.size)
            if len(fixed) < _HEADER.size:
                yield f"the header of entry {info.filename!r} lies behind the end of the file."
                continue
            signature, _, flags, method, _, _, *sizes, name_length, _ = _HEADER.unpack(fixed)
            expected = [info.CRC, info.compress_size, info.file_size]
            # a program that wrote to a pipe leaves them out here
            same_sizes = bool(flags & _SIZES_FOLLOW) or all(
                found in (_IN_EXTRA, wanted) for found, wanted in zip(sizes, expected, strict=True)
            )
            if not (
                same_sizes
                and (signature, flags, method) == (_SIGNATURE, info.flag_bits, info.compress_type)
                and file.read(name_length) == _raw_name(info)
            ):
                yield (
                    f"the header of entry {info.filename!r} is not what the zip's directory says; "
                    "other programs will not read it."
                )


def _raw_name(info: zipfile.ZipInfo) -> bytes:
    return info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
