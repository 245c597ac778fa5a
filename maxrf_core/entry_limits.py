"""What an entry of a store may be: a file of the store's own, and not endless.

Stores come from anywhere. These are looked at before an entry is read, here or by another library.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from .errors import ZipstoreError

__all__ = ["METADATA", "check_entry", "check_zip", "largest_entry", "shown_key"]

METADATA = frozenset({".zarray", ".zattrs", ".zgroup", ".zmetadata"})
"""Last parts of the keys of descriptions."""

LARGEST_DESCRIPTION = 2**24
LARGEST_CHUNK = 2**30
"""Bytes of an entry that are read: 100 times what this program writes, and a Blosc frame."""


def check_entry(folder: Path, key: str) -> None:
    """Refuse what no folder of entries holds.

    Parameters
    ----------
    folder : Path
        The folder, without links in its own path.
    key : str
        The entry. If there is none, nothing is wrong with it.

    Raises
    ------
    ZipstoreError
        If it is a pipe or device, a link that leads out of the folder, or far too large.
    """
    try:
        real = (folder / key).resolve()
    except (RuntimeError, OSError) as error:  # a RuntimeError before Python 3.13
        msg = f"{folder.name}: entry {shown_key(key)} is a link that leads in a circle."
        raise ZipstoreError(msg) from error
    if not real.is_relative_to(folder):
        raise ZipstoreError(
            f"{folder.name}: entry {shown_key(key)} is a link that leads out of the folder. "
            "Copy the folder again, with what the link leads to."
        )
    try:
        status = real.stat()
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ZipstoreError(f"{folder.name}: entry {shown_key(key)} is a device or pipe, no file.")
    if stat.S_ISREG(status.st_mode) and status.st_size > largest_entry(key):
        raise ZipstoreError(
            f"{folder.name}: entry {shown_key(key)} has {status.st_size} bytes, too many."
        )


def check_zip(path: Path) -> None:
    """Refuse a zip for another library with entries that are packed as no store's are.

    Raises
    ------
    ValueError
        If an entry is packed by a method other than deflate, far too large, or larger
        packed than it says that it is.
    """
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            is_known = info.compress_type == zipfile.ZIP_STORED or (
                info.compress_type == zipfile.ZIP_DEFLATED
                # who says less than there is may hide gigabytes: deflate hardly ever grows
                and info.compress_size <= info.file_size + info.file_size // 100 + 100
            )
            if not is_known or info.file_size > largest_entry(info.filename):
                raise ValueError(
                    f"entry {shown_key(info.filename)} of {info.file_size} bytes is packed with "
                    f"method {info.compress_type}"
                )


def shown_key(key: str) -> str:
    """Return a key that stood in a file, short enough for a sentence."""
    text = ascii(key)
    return text if len(text) <= 80 else f"{text[:77]}..."


def largest_entry(key: str) -> int:
    """Return how many bytes of an entry are read at most."""
    is_description = key.rpartition("/")[2] in METADATA
    return LARGEST_DESCRIPTION if is_description else LARGEST_CHUNK
