"""The writers of zipstores: chunk by chunk into the zip, or into a folder that is packed.

Both take up what a killed program left under the same name from the same attributes, and
both make the same file, byte for byte, from the same entries in the same order.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy.typing as npt

from .array_writer import ArrayWriter
from .chunk_files import ChunkFiles
from .errors import OutputError
from .layout import chunk_key, describe_root
from .partial import PartialZip
from .unfinished import HiddenNames, lock_path, output_error, remove_stale, told

__all__ = ["ChunkDirectory", "ZipstoreWriter", "output_error"]


class ZipstoreWriter(ArrayWriter):
    """Write a zipstore under a hidden name; it appears under its own when whole.

    Parameters
    ----------
    path : Path
        Final name. An existing file is replaced by `commit`, and only then.
    attributes : dict
        Root attributes, ready for JSON.

    Attributes
    ----------
    temporary : Path
        The unfinished file, ``.NAME.partial``.
    resumed : bool
        Whether a killed program left one with the same root attributes, and its whole
        entries are kept. Then `has_chunk` says what is there, and declaring or appending
        it once more does nothing.

    Raises
    ------
    OutputError
        If the file cannot be made.

    Notes
    -----
    Use it as a context manager: leaving it without `commit` removes the unfinished file.
    `write_chunk` may be called from several threads: each compresses its own chunk, and
    one at a time appends. The file is byte-identical to an undisturbed one if the entries
    are appended in the same order; where threads decide the order, `truncate_after` what
    is surely in order.
    """

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        super().__init__(path)
        with told(path):
            self._zip = PartialZip(path, describe_root(attributes))
        self.temporary, self.resumed = self._zip.path, self._zip.resumed

    def __exit__(self, *_: object) -> None:
        self._zip.discard()

    def _declare(self, name: str, entries: dict[str, bytes]) -> None:  # noqa: ARG002 - in the keys
        with told(self.path):
            for key, data in entries.items():
                self._zip.append(key, data)

    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Append a chunk that `ArrayLayout.encode` compressed, perhaps in another thread.

        Raises
        ------
        OutputError
            If the disk is full or the write fails.
        """
        with told(self.path):
            self._zip.append(chunk_key(name, index), data)

    def has_chunk(self, name: str, index: tuple[int, ...]) -> bool:
        """Return whether a chunk of a declared array is there already."""
        return name in self._layouts and chunk_key(name, index) in self._zip

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Read back a chunk that was written before.

        Raises
        ------
        KeyError
            If it was not.
        """
        return self._layouts[name].decode(self._zip.read(chunk_key(name, index)), index)

    def truncate_after(self, name: str | None, index: tuple[int, ...] = ()) -> None:
        """Drop all that was written after a chunk, or everything but the root with None.

        Arrays whose description goes have to be created again.

        Raises
        ------
        KeyError
            If there is no such chunk.
        """
        with told(self.path):
            self._zip.truncate_after(None if name is None else chunk_key(name, index))
        kept = set(self._zip.keys())
        self._layouts = {
            name: layout for name, layout in self._layouts.items() if f"{name}/.zattrs" in kept
        }

    def commit(self) -> None:
        """Finish the zip, bring it to the disk and give it its final name.

        Raises
        ------
        OutputError
            If a chunk is missing or that fails; what stood under the final name stays.
        """
        keys = set(self._zip.keys())
        self._check_whole(keys)
        foreign = {key for key in keys if key.endswith("/.zarray")}
        foreign -= {f"{name}/.zarray" for name in self._layouts}
        if foreign:
            raise OutputError(
                f"the unfinished {self.temporary} holds {min(foreign)!r} of another conversion. It "
                "is removed; start the conversion again."
            )
        with told(self.path):
            self._zip.finish(self.path)
        _remove_chunks(self.path)


class ChunkDirectory(ArrayWriter):
    """Write chunks as files, from several machines, into a folder that is packed in the end.

    Parameters
    ----------
    path : Path
        Final name of the zipstore, on a file system that all machines see by this path.
    attributes : dict
        Root attributes, ready for JSON.

    Attributes
    ----------
    folder : Path
        ``.NAME.chunks`` beside the zipstore, a zarr store of its own; or, if somebody else
        writes there or the file system has no locks, ``.NAME.PID-TOKEN.chunks``.
    resumed : bool
        Whether a killed program left one with the same root attributes, and it is kept.

    Raises
    ------
    OutputError
        If the folder cannot be made.

    Notes
    -----
    One client makes it, hands `handle` to its workers, and notes their chunks in the order
    that the zipstore shall have. Leaving the context removes the folder, with `commit` or
    without. Packing needs the room a second time.
    """

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        super().__init__(path)
        self._order: dict[str, None] = {}
        self._root = describe_root(attributes)
        with told(path):
            remove_stale(path)
            self.folder, self._lock, self._own = _claim_folder(path)
        self._files = ChunkFiles(self.folder.absolute(), self._layouts)
        try:
            with told(path):
                self.resumed = all(self._files.holds(*entry) for entry in self._root.items())
                if not self.resumed:
                    for entry in self.folder.iterdir():
                        if entry.is_dir():
                            shutil.rmtree(entry)
            self._put(self._root)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        _remove_folder(self.path, self.folder, self._lock)
        if self._own is not None:
            self._own.close()

    def _put(self, entries: dict[str, bytes]) -> None:
        for key, data in entries.items():
            if not self._files.holds(key, data):
                self._files.put(key, data)
            self._order[key] = None

    def _declare(self, name: str, entries: dict[str, bytes]) -> None:
        folder = self.folder / name
        with told(folder):
            if not all(self._files.holds(key, data) for key, data in entries.items()):
                shutil.rmtree(folder, ignore_errors=True)  # chunks of another shape
            folder.mkdir(parents=True, exist_ok=True)
        self._put(entries)

    def handle(self) -> ChunkFiles:
        """Return what workers write to: the folder, and the arrays declared until now."""
        return ChunkFiles(self._files.folder, dict(self._layouts))

    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Write a chunk that `ArrayLayout.encode` compressed, and note it.

        Raises
        ------
        OutputError
            If the disk is full or the write fails.
        """
        self._files.append_chunk(name, index, data)
        self.note_chunk(name, index)

    def note_chunk(self, name: str, index: tuple[int, ...]) -> None:
        """Give a chunk that a worker wrote its place: after all that was noted before."""
        self._order[chunk_key(name, index)] = None

    def has_chunk(self, name: str, index: tuple[int, ...]) -> bool:
        """Return whether a chunk of a declared array is there already, noted or not."""
        return name in self._layouts and self._files.has_chunk(name, index)

    def read_chunk(self, name: str, index: tuple[int, ...]) -> npt.NDArray:
        """Read back a chunk that was written before, here or by a worker.

        Raises
        ------
        KeyError
            If it was not.
        """
        return self._files.read_chunk(name, index)

    def commit(self) -> None:
        """Pack the chunks in the order noted, and give the zipstore its final name.

        Raises
        ------
        OutputError
            If a chunk is missing or cut short, or the zip cannot be written; what stood
            under the final name stays.
        """
        with told(self.folder):
            there = {
                f"{name}/{file.name}"
                for name in self._layouts
                for file in (self.folder / name).iterdir()  # a network file system looks anew
            }
        self._check_whole(there & self._order.keys())
        with told(self.path):
            packed = PartialZip(self.path, self._root)
            try:
                packed.truncate_after(None)
                for key in self._order:
                    packed.append(key, self._whole_entry(key))
                packed.finish(self.path)
            finally:
                packed.discard()

    def _whole_entry(self, key: str) -> bytes:
        data = (self.folder / key).read_bytes()
        name, _, entry = key.rpartition("/")
        if entry.startswith(".") or self._layouts[name].may_be_chunk(data[:18], len(data)):
            return data
        msg = f"{self.folder / key} is no whole chunk ({len(data)} bytes); start again."
        raise OutputError(msg)


def _claim_folder(target: Path) -> tuple[Path, BinaryIO | None, HiddenNames | None]:
    """Return the folder for the chunks of a zipstore, the lock on it, or its own name."""
    folder = _chunk_folder(target)
    while not folder.is_symlink():  # what lies where it leads is not ours to remove
        folder.mkdir(exist_ok=True)
        try:
            lock = lock_path(folder / ".lock")
        except FileNotFoundError:  # who had it removed it just now
            continue
        if lock is not None:
            return folder, lock, None
        with suppress(OSError):  # not empty: somebody else's
            folder.rmdir()
        break
    own = HiddenNames(target)
    folder = own.name(target, "chunks")
    try:
        folder.mkdir()
    except BaseException:
        own.close()
        raise
    return folder, None, own


def _chunk_folder(target: Path) -> Path:
    return target.with_name(f".{target.name}.chunks")


def _remove_folder(target: Path, folder: Path, lock: BinaryIO | None) -> None:
    """Remove a folder of chunks, as far as that can be done, and then free its lock."""
    if lock is not None and sys.platform == "win32":
        lock.close()  # there, a folder with an open file cannot be renamed
    # Renamed first: who comes now makes a new one, and finds no half of this. What is left
    # after a kill amid removing has a name that the next writer removes.
    with suppress(OSError), HiddenNames(target) as leaving:
        folder.rename(leaving.name(target, "chunks"))
    if lock is not None:
        lock.close()


def _remove_chunks(target: Path) -> None:
    """Remove the chunks that a killed conversion on a cluster left: the zipstore is whole."""
    folder = _chunk_folder(target)
    with suppress(OSError):
        if folder.is_dir() and not folder.is_symlink():
            lock = lock_path(folder / ".lock")
            if lock is not None:
                _remove_folder(target, folder, lock)
