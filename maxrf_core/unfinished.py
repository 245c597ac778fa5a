"""What is not finished yet: its hidden name, who holds it, and what a failed write is told.

A file or folder is written under a hidden name beside its own. Who writes it holds a lock
on it, which ends with the process, however it ends: what lies there unlocked was left by
one that was killed.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

__all__ = ["lock_path", "output_error", "replace_file", "sync_folder", "told", "unique_name"]

_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
"""A lock fails so when it is somebody else's; otherwise the file system has none."""


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


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn the system's errors into `output_error` of a path."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def unique_name(target: Path, kind: str) -> Path:
    """Return a hidden name beside a path that nobody else has."""
    return target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def lock_path(path: Path) -> BinaryIO | None:
    """Open a file, new or old, that nobody else has opened so; it is free again when closed.

    Returns
    -------
    file : binary file or None
        Unbuffered, for reading and writing. None if somebody else has it, or if the file
        system knows no locks.
    """
    while True:
        file = open(path, "r+b", buffering=0, opener=_create)  # noqa: SIM115 - it is returned
        try:
            _lock(file)
        except OSError as error:
            empty = os.fstat(file.fileno()).st_size == 0
            file.close()
            if error.errno not in _TAKEN and empty:
                path.unlink(missing_ok=True)  # no locks: it is of no use
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # who had it before renamed or removed it: this is not that path any more


def _create(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_CREAT, 0o666)


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        file.seek(2**60)  # a byte that nobody reads: there, locked bytes cannot be read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def replace_file(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a small file whole under another name, bring it to the disk, and give it its name.

    Parameters
    ----------
    path : Path
        The file.
    data : bytes
        All that is to be in it.
    mode : int
        Who may read and write it, less what the process denies to others.

    Raises
    ------
    OSError
        If it cannot be written; what was there is as it was.
    """
    unfinished = unique_name(path, "part")
    try:
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # some file systems refuse; the names are there all the same
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
