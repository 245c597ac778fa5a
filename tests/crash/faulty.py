"""System calls that fail when they are told to: Python's own, wrapped.

`install` has to run before anything that opens files is imported: it puts wrappers in the
place of `open`, of `io.FileIO`, which buffers and HDF5's file objects stand on, and of the
functions of `os` that change a folder. They pass everything through until `arm` names a
folder; from then on each call on a path in it is counted, and one of them struck. What the
HDF5 library itself does with a file that it opened by name does not come by here.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import io
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["CHANGES", "HALF", "Fault", "arm", "install", "told"]

T = TypeVar("T")

CHANGES = ("open", "write", "fsync", "rename", "truncate", "unlink", "mkdir", "times")
"""Calls that change a folder or a file in it; `open` is for writing."""
HALF = "HALF FILE: "
"""Begins a line of the standard error stream that tells of what no reader may ever meet."""
ASKS = ("look", "read")
"""Calls that do not: of the scan that is read, and of names."""

_open, _stat, _read_all = os.open, os.stat, Path.read_bytes
_flags = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Fault:
    """One call that is struck.

    Parameters
    ----------
    call : str
        One of `CHANGES` or `ASKS`, ``lock``; or ``change``, ``read-source`` and ``any`` for
        all that change something, all reads of the source, all together.
    number : int
        Which one of them, from 1 on.
    mode : str
        The name of an error number, such as ``ENOSPC``; ``kill`` before and ``killed`` after the
        call; ``short`` writes half, ``half`` does so and fails, ``halfkill`` and is killed; and
        ``cut``, ``change``, ``gone`` do that to the source, before the call.
    onwards : bool
        Strike all later ones as well: a disk that is full, a share that is gone.
    """

    call: str
    number: int
    mode: str
    onwards: bool = False

    def concerns(self, call: str, *, of_source: bool) -> bool:
        """Return whether a call is one of those counted."""
        if self.call == "any":
            return call != "lock"
        if self.call == "change":
            return call in CHANGES
        if self.call == "read-source":
            return of_source and call in ("read", "look")
        return self.call == call


@dataclass
class _State:
    """What is watched in this process."""

    folder: str
    source: str | None
    fault: Fault | None
    allowed: dict[str, list[str | None]]  # SHA-256 of what may stand under each final name
    counts: Counter[str] = field(default_factory=Counter)
    struck: int = 0
    seen: dict[str, Any] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def strikes(self, call: str, path: str) -> Fault | None:
        """Count a call; return the fault if it is this call's turn."""
        of_source = self.source is not None and path == self.source
        with self.lock:
            self.counts[call] += 1
            if of_source and call in ("read", "look"):
                self.counts["read-source"] += 1
            if call in CHANGES:
                self.counts["change"] += 1
            if call != "lock":
                self.counts["any"] += 1
            fault = self.fault
            if fault is None or not fault.concerns(call, of_source=of_source):
                return None
            number = self.counts[fault.call]
            hit = number >= fault.number if fault.onwards else number == fault.number
            self.struck += hit
            return fault if hit else None

    def look(self) -> None:
        """Note whatever stands under a final name and is neither the old nor the new."""
        with self.lock:
            for name, allowed in self.allowed.items():
                try:
                    status = _stat(name)
                    mark = status.st_ino, status.st_size, status.st_mtime_ns
                except OSError:
                    mark = None
                if self.seen.get(name, 0) == mark:
                    continue
                self.seen[name] = mark
                found = None if mark is None else _digest(name)
                if found not in allowed:
                    size = "nothing" if mark is None else f"{mark[1]} bytes"
                    # at once: this process may be killed before it can tell
                    _TRUE["write"](2, f"{HALF}{name}: {size}\n".encode())


def _digest(name: str) -> str:
    descriptor = _open(name, os.O_RDONLY)
    try:
        digest = hashlib.sha256()
        while part := _TRUE["read"](descriptor, 2**20):
            digest.update(part)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


_TRUE: dict[str, Callable[..., Any]] = {}
_paths: dict[int, str] = {}  # of descriptors
_armed: _State | None = None


def arm(
    folder: Path, source: Path | None, fault: Fault | None, allowed: dict[str, list[str | None]]
) -> None:
    """Count, watch and strike in a folder from now on."""
    global _armed  # noqa: PLW0603 - a process has one set of system calls
    _armed = _State(str(folder), None if source is None else str(source), fault, allowed)
    _armed.look()


def told() -> str:
    """Return as JSON what was counted, and how often the fault struck."""
    if _armed is None:
        return json.dumps({})
    _armed.look()
    return json.dumps({"counts": _armed.counts, "struck": _armed.struck})


def _pass(call: str, path: Any, do: Callable[[], T], half: Callable[[], T] | None = None) -> T:
    """Make a call, or what the fault makes of it."""
    state = _armed
    name = _path_of(path)
    if state is None or not name.startswith(state.folder):
        return do()
    fault = state.strikes(call, name)
    if fault is None:
        result = do()
        if call in CHANGES:
            state.look()
        return result
    return _strike(state, fault, name, do, half or do)


def _strike(
    state: _State, fault: Fault, name: str, do: Callable[[], T], half: Callable[[], T]
) -> T:
    mode = fault.mode
    if mode in ("cut", "change", "gone"):
        _disturb(Path(str(state.source)), mode)
        return do()
    if mode == "kill":
        _die(state)
    if mode in ("halfkill", "half", "short"):
        result = half()
        state.look()
        if mode == "short":
            return result
        if mode == "half":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        _die(state)
    if mode == "killed":
        do()
        _die(state)
    number = getattr(errno, mode)
    raise OSError(number, os.strerror(number), name)


def _die(state: _State) -> None:
    state.look()
    os.kill(os.getpid(), signal.SIGKILL)


def _disturb(source: Path, mode: str) -> None:
    """Cut the source, change its last bytes, or take it away."""
    if not source.exists():
        return
    if mode == "gone":
        _TRUE["unlink"](source)
        return
    descriptor = _open(source, os.O_RDWR)
    size = _stat(source).st_size
    if mode == "cut":
        _TRUE["ftruncate"](descriptor, size // 3)
    else:
        os.lseek(descriptor, size // 2, os.SEEK_SET)
        _TRUE["write"](descriptor, b"\x01\x02" * 40)
    os.close(descriptor)


def _path_of(path: Any) -> str:
    if isinstance(path, int):
        return _paths.get(path, "")
    name = os.fspath(path)
    name = os.fsdecode(name)
    return name if name.startswith("/") else os.path.join(os.getcwd(), name)  # noqa: PTH109, PTH118


class _FaultyFile(io.FileIO):
    """A file whose calls are counted."""

    def __init__(self, file: Any, mode: str = "r", *arguments: Any, **options: Any) -> None:
        call = "look" if mode.replace("b", "") == "r" else "open"
        opened: Callable[[], None] = lambda: super(_FaultyFile, self).__init__(  # noqa: E731
            file, mode, *arguments, **options
        )
        if isinstance(file, int):
            opened()
            self._where = _paths.get(file, "")
        else:
            self._where = _path_of(file)
            _pass(call, self._where, opened)
            _paths[self.fileno()] = self._where

    def close(self) -> None:
        if not self.closed:
            _paths.pop(self.fileno(), None)
        super().close()

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        write = super().write
        return _pass(
            "write", self._where, lambda: write(view), lambda: write(view[: (len(view) + 1) // 2])
        )

    def truncate(self, size: int | None = None) -> int:
        length = self.tell() if size is None else size
        cut = super().truncate
        return _pass("truncate", self._where, lambda: cut(length))

    def readinto(self, buffer: Any) -> int:
        read = super().readinto
        return _pass("read", self._where, lambda: read(buffer))

    def read(self, size: int = -1) -> Any:
        if size is None or size < 0:
            return self.readall()
        read = super().read
        return _pass("read", self._where, lambda: read(size))

    def readall(self) -> Any:
        read = super().readall
        return _pass("read", self._where, read)


def _faulty_open(
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """Open a file as `io.open` does, on a `_FaultyFile`."""
    text, updating = "b" not in mode, "+" in mode
    kind = next((letter for letter in "xwa" if letter in mode), "r")
    raw = io.FileIO(file, kind + "+" * updating, closefd=closefd, opener=opener)
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
    if updating:
        buffered: Any = io.BufferedRandom(raw, size)
    elif kind == "r":
        buffered = io.BufferedReader(raw, size)
    else:
        buffered = io.BufferedWriter(raw, size)
    if not text:
        return buffered
    wrapped = io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)
    wrapped.mode = mode
    return wrapped


def _os_open(path: Any, flags: int, *arguments: Any, dir_fd: int | None = None) -> int:
    where = _joined(path, dir_fd)
    call = "open" if flags & _flags else "look"
    descriptor = _pass(call, where, lambda: _open(path, flags, *arguments, dir_fd=dir_fd))
    _paths[descriptor] = where
    return descriptor


def _joined(path: Any, folder: int | None) -> str:
    if folder is None:
        return _path_of(path)
    return os.path.join(_paths.get(folder, ""), os.fsdecode(os.fspath(path)))  # noqa: PTH118


def _wrap(call: str, name: str) -> None:
    """Wrap a function of `os` whose first argument is a path or a descriptor."""
    true = _TRUE[name] = getattr(os, name)

    def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
        where = path if isinstance(path, int) else _joined(path, options.get("dir_fd"))
        return _pass(call, where, lambda: true(path, *arguments, **options))

    _replace(name, wrapped)


def _wrap_write(name: str) -> None:
    true = _TRUE[name] = getattr(os, name)

    def wrapped(descriptor: int, data: Any, *arguments: Any) -> int:
        view = memoryview(data).cast("B")
        return _pass(
            "write",
            descriptor,
            lambda: true(descriptor, view, *arguments),
            lambda: true(descriptor, view[: (len(view) + 1) // 2], *arguments),
        )

    _replace(name, wrapped)


def _wrap_copy() -> None:
    """Wrap what `shutil` copies with, on Linux."""
    true = _TRUE["sendfile"] = os.sendfile

    def wrapped(out: int, source: int, offset: Any, count: int) -> int:
        return _pass(
            "write",
            out,
            lambda: true(out, source, offset, count),
            lambda: true(out, source, offset, (min(count, os.fstat(source).st_size) + 1) // 2),
        )

    _replace("sendfile", wrapped)


def _replace(name: str, wrapped: Callable[..., Any]) -> None:
    """Put a wrapper in the place of a function, which stays able to do what the true one is."""
    true = getattr(os, name)
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if true in able:
            able.add(wrapped)
    setattr(os, name, wrapped)


def install() -> None:
    """Put the wrappers in place."""
    import fcntl

    io.FileIO = _FaultyFile
    builtins.open = io.open = _faulty_open
    _replace("open", _os_open)
    for call, names in {
        "rename": ("rename", "replace", "link"),
        "fsync": ("fsync", "fdatasync"),
        "truncate": ("ftruncate", "truncate", "posix_fallocate"),
        "unlink": ("unlink", "remove", "rmdir"),
        "mkdir": ("mkdir",),
        "times": ("utime",),
        "look": ("stat", "lstat", "scandir", "listdir"),
        "read": ("read", "pread", "preadv"),
    }.items():
        for name in names:
            if hasattr(os, name):
                _wrap(call, name)
    for name in ("write", "pwrite"):
        if hasattr(os, name):
            _wrap_write(name)
    if hasattr(os, "sendfile"):
        _wrap_copy()
    flock = fcntl.flock
    fcntl.flock = lambda file, how: _pass(
        "lock", file if isinstance(file, int) else file.fileno(), lambda: flock(file, how)
    )
