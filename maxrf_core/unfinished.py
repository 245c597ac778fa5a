"""What is not finished yet: its hidden name, who holds it, and what a failed write is told.

A file or folder is written under a hidden name beside its own. Who writes it holds a lock
on it, which ends with the process, however it ends: what lies there unlocked was left by
one that was killed. What can be gone on with has one name, `.NAME.partial` or `.NAME.chunks`;
all else has a token in its name, `.NAME.PID-TOKEN.KIND`, and the lock is `.NAME.PID-TOKEN.lock`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from .errors import OutputError
from .location import open_file

__all__ = [
    "HiddenNames",
    "Leftover",
    "left_behind",
    "leftovers",
    "lock_path",
    "output_error",
    "put_in_place",
    "remove",
    "remove_stale",
    "replace_file",
    "sync_folder",
    "told",
]

PATIENCE_SECONDS = 5.0

_TOKEN = re.compile(r"(?P<token>[0-9]+-[0-9a-f]{8})\.(?P<kind>[a-z]+)")
"""What follows the name of the file in a hidden name that nobody else has."""

_TAKEN = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})
"""A lock fails so when it is somebody else's; otherwise the file system has none."""
_LINKS = frozenset({errno.ELOOP, errno.EMLINK})
"""How a link is refused, by Linux and macOS, and by FreeBSD."""


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the sentence for a failed write."""
    if isinstance(error, PermissionError) and sys.platform == "win32" and path.is_file():
        return OutputError(
            f"{path} cannot be replaced: another program has it open, such as a page that shows "
            "the scan, or you may not write there. Close it there and try again, or choose "
            "another name with output (command line: --output)."
        )
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


class HiddenNames:
    """Names beside a file that nobody else has; a context manager.

    Entering removes what others left under such names when they were killed, and leaving all
    that stands under these. A lock file says that their owner lives; where the file system has
    no locks there is none, and what a kill leaves is never taken for stale.

    Parameters
    ----------
    target : Path
        The file that is to be written.

    Raises
    ------
    OSError
        If the lock file cannot be made.
    """

    def __init__(self, target: Path) -> None:
        remove_stale(target)
        self._token = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._names: list[Path] = []
        self._kept: set[Path] = set()
        self._lock_name = self._hidden(target, "lock")
        self._lock = lock_path(self._lock_name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def name(self, path: Path, kind: str) -> Path:
        """Return the name for a kind of file beside a path, in lower-case letters."""
        hidden = self._hidden(path, kind)
        self._names.append(hidden)
        return hidden

    def keep(self, names: Iterable[Path]) -> None:
        """Leave what stands under some of the names to the next writer, who may put it back."""
        self._kept.update(names)

    def close(self) -> None:
        """Remove what stands under the names, and then the lock file."""
        # What stays keeps its lock file, by which the next writer finds it.
        staying = [name for name in self._names if name in self._kept or not remove(name)]
        if self._lock is not None:
            _unlock(self._lock_name, self._lock, keep=bool(staying))
            self._lock = None

    def _hidden(self, path: Path, kind: str) -> Path:
        return path.with_name(f".{path.name}.{self._token}.{kind}")


@dataclass(frozen=True)
class Leftover:
    """Something unfinished beside a file.

    Parameters
    ----------
    path : Path
        A hidden file or folder.
    held : bool
        Whether somebody is writing it now.
    """

    path: Path
    held: bool


def leftovers(target: Path) -> list[Leftover]:
    """Return what is unfinished beside a file, by name; nothing if the folder cannot be read."""
    start = f".{target.name}."
    locks = {"partial": "", "lock": "", "chunks": "/.lock"}
    found = []
    for name in _names_beside(target):
        rest = name.removeprefix(start)
        match = _TOKEN.fullmatch(rest)
        if match is not None:
            lock = f"{start}{match['token']}.lock"
        elif rest in locks and rest != name:
            lock = name + locks[rest]
        else:
            continue
        found.append(Leftover(target.with_name(name), _is_held(target.parent / lock)))
    return found


def left_behind(left: Leftover, target: Path) -> str:
    """Return the sentence that tells of something unfinished beside a file."""
    if left.held:
        return f"{left.path.name} lies beside it: somebody is writing {target.name} now."
    return (
        f"{left.path.name} lies beside it, left by a run that was killed: writing {target.name} "
        "again goes on with it or removes it, and it may be deleted."
    )


def remove_stale(target: Path) -> None:
    """Remove what killed programs left beside a file, but for what can be gone on with.

    If one was killed between moving old files aside and giving the new ones their names, the
    old ones are put back. What cannot be removed stays: it harms nobody.
    """
    for name in _names_beside(target):
        match = _TOKEN.fullmatch(name.removeprefix(f".{target.name}."))
        if match is None or match["kind"] != "lock":
            continue
        with suppress(OSError):
            lock_name = target.with_name(name)
            lock = lock_path(lock_name)
            if lock is None:  # its owner lives
                continue
            gone = False
            try:
                gone = _remove_group(target, match["token"])
            finally:
                _unlock(lock_name, lock, keep=not gone)


def _remove_group(target: Path, token: str) -> bool:
    """Remove, or put back, all that one writer left; return whether nothing of it remains."""
    ending = re.compile(rf"\.(?P<name>.+)\.{token}\.(?P<kind>[a-z]+)")
    group = [match for name in _names_beside(target) if (match := ending.fullmatch(name))]
    moved = {match["name"]: match.string for match in group if match["kind"] == "old"}
    if not target.exists():  # the last one, without which nobody takes up the others
        for name in sorted(moved, key=lambda name: name == target.name):
            target.with_name(moved[name]).replace(target.with_name(name))
    names = [match.string for match in group if match["kind"] != "lock"]
    return not [name for name in names if not remove(target.with_name(name))]


def remove(path: Path) -> bool:
    """Remove a hidden file or folder, if it is there; return whether it is gone.

    It may fail, as on a share that went away; whoever wrote or failed to write the file has
    more important things to tell.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return True
    except OSError:  # also of a folder, in various words
        with suppress(OSError):
            shutil.rmtree(path)
            return True
        return False
    return True


def _names_beside(target: Path) -> list[str]:
    with suppress(OSError):
        return sorted(path.name for path in target.parent.iterdir() if path.name.startswith("."))
    return []


def _unlock(name: Path, lock: BinaryIO, *, keep: bool) -> None:
    """Remove a lock file, unless it is to be kept, and free it."""
    if sys.platform == "win32":
        lock.close()  # an open file cannot be removed there
    if not keep:
        with suppress(OSError):  # it is found by the next writer
            name.unlink()
    lock.close()


def _is_held(lock: Path) -> bool:
    """Return whether somebody holds a lock. Nothing is made or changed."""
    try:
        with open_file(lock, buffering=0) as file:
            _lock(file)
    except OSError as error:
        return error.errno in _TAKEN and lock.exists()
    return False


def lock_path(path: Path) -> BinaryIO | None:
    """Open a file, new or old, that nobody else has opened so; it is free again when closed.

    Returns
    -------
    file : binary file or None
        Unbuffered, for reading and writing. None if somebody else has it, or if the file
        system knows no locks; and if the path is a link or no regular file. Others may know
        such a name beforehand: led elsewhere by it, we would write over a file of our own.
    """
    while True:
        try:
            file = open(path, "r+b", buffering=0, opener=_create)  # noqa: SIM115 - it is returned
        except OSError as error:
            if error.errno in _LINKS:
                return None
            raise
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            return None
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
    return os.open(name, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)


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
    with HiddenNames(path) as hidden:
        unfinished = hidden.name(path, "part")
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(unfinished, path)
    sync_folder(path.parent)


def put_in_place(unfinished: Path, path: Path) -> None:
    """Give a whole file its final name.

    Windows replaces no file that is open, as by a virus scanner that looks at it for a moment,
    or by another process that reads it: so there it is tried for `PATIENCE_SECONDS`.

    Raises
    ------
    OSError
        If that cannot be done; both files are as they were.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            unfinished.replace(path)
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


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
