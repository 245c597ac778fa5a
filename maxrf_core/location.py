"""Where a file is: on this machine, by its path, or somewhere else, by its URL.

A path that comes from a folder of somebody else's may be a link, a pipe or a device: what is
opened is a file (`open_file`), and what stands beside a scan lies in its folder (`lies_in`).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "changed_meanwhile",
    "file_stamp",
    "is_ours",
    "is_url",
    "lies_in",
    "open_file",
    "path_or_url",
]

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
"""Opens a pipe without waiting for who writes into it; regular files take no notice."""


def is_url(location: object) -> bool:
    """Return whether a location is a URL and not a path, such as ``C://scans``."""
    return isinstance(location, str) and location.find("://") > 1


def path_or_url(text: str) -> Path | str:
    """Return what a text of the command line names."""
    return text if is_url(text) else Path(text)


def file_stamp(path: Path) -> tuple[str, int, int]:
    """Return what tells a file from another, and from its successor under the same name.

    Its path, when it was changed in nanoseconds, and its bytes; zeros where there is no file.
    """
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0  # reading it says what is wrong
    return str(path.resolve()), status.st_mtime_ns, status.st_size


def changed_meanwhile(path: Path) -> str:
    """Return the sentence for a file that changed, or went away, while it was read."""
    return (
        f"{path} was changed or went away while it was read. Nothing was made of it; wait until it "
        "is saved or copied whole, and start again."
    )


def lies_in(path: Path, folder: Path) -> bool:
    """Return whether a path, links followed, leads to a place in a folder or below it.

    Parameters
    ----------
    path, folder : Path
        Links of the folder's own path are followed, too: only those below it may lead out.

    Returns
    -------
    bool
        False for a path that leads nowhere: a loop of links, or a name that no file can have.
    """
    try:
        return path.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a loop, before Python 3.13
        return False


def is_ours(path: Path) -> bool:
    """Return whether a file or folder, no link, is this user's and nobody else may write to it.

    In a folder that anybody may write to, others can put something under a name that is known
    beforehand. What the administrator put there (uid 0, as in a container) is taken as ours; so
    is anything where the system has no user numbers.
    """
    try:
        status = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(status.st_mode) or (status.st_mode & stat.S_IWOTH and os.name != "nt"):
        return False
    return not hasattr(os, "geteuid") or status.st_uid in (0, os.geteuid())


def open_file(path: Path, *, buffering: int = -1) -> BinaryIO:
    """Open a regular file for reading.

    A pipe would keep the reader waiting for ever, and reading a device may never end or do
    something.

    Parameters
    ----------
    path : Path
        The file; links are followed.
    buffering : int
        As of `open`; 0 for none.

    Raises
    ------
    OSError
        If there is none, it cannot be opened, or is a folder, a pipe, a socket or a device.
    """
    _check_regular(path, path.stat().st_mode)  # before it is opened: a tape would rewind
    file = open(path, "rb", buffering, opener=_open_at_once)  # noqa: SIM115 - it is returned
    try:
        _check_regular(path, os.fstat(file.fileno()).st_mode)  # it may be another one by now
    except OSError:
        file.close()
        raise
    return file


def _open_at_once(name: str, flags: int) -> int:
    return os.open(name, flags | _AT_ONCE)


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and no file", str(path))
