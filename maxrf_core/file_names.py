"""Names of files that hold on every system: Windows refuses some, and tells no case apart."""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["as_listed", "ignores_case", "plain_name"]

MAX_NAME_BYTES = 150
"""Of 255 that file systems take; hidden names of unfinished files add to it."""
_REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def plain_name(text: str) -> str:
    r"""Return a name for a file that Windows, macOS and Linux take, as near to a text as may be.

    Parameters
    ----------
    text : str
        Such as the name of a scan and an ending. What Windows refuses becomes an underscore:
        ``<>:"/\|?*``, control characters, points and blanks at the end, names of devices. (A
        colon would even be taken there, and hide the file behind another.) What is too long
        is cut before the ending.
    """
    name = _REFUSED.sub("_", text.encode("utf-8", "replace").decode("utf-8"))
    stem, point, ending = name.rpartition(".")
    if not stem or len(ending) > 12:
        stem, point, ending = name, "", ""
    ending = (point + ending).rstrip(". ")
    room = MAX_NAME_BYTES - len(ending.encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore")
    if not ending:
        stem = stem.rstrip(". ")
    if not stem.strip(". ") or _DEVICES.fullmatch(stem.partition(".")[0].rstrip()):
        stem = f"_{stem}"
    return stem + ending


def ignores_case(folder: Path) -> bool:
    """Return whether a folder takes ``Scan`` and ``scan`` for one name, as on Windows and macOS.

    Asked of the folder's own name where that has letters: both systems know file systems of
    both kinds.
    """
    folder = folder.resolve()
    other = folder.with_name(folder.name.swapcase()) if folder.name else folder
    if other == folder or other.name == folder.name:
        return sys.platform in ("win32", "darwin")
    try:
        return other.samefile(folder)
    except OSError:
        return False


def as_listed(path: Path) -> Path:
    """Return a path as its folder lists it, where that tells no case apart; else as it is."""
    try:
        names = [found.name for found in path.parent.iterdir()] if path.exists() else []
    except OSError:
        return path
    if path.name in names:
        return path
    alike = (name for name in names if name.casefold() == path.name.casefold())
    return path.with_name(next(alike, path.name))
