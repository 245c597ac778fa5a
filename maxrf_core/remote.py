"""The entries of a store behind a URL, through fsspec: http, https, s3 and what else it knows.

A zip is read in ranges: its directory once when it is opened, then one request an entry.
fsspec and the package of a protocol are imported when a URL is opened, and not before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .entries import Entries, ZipEntries, closed, is_key
from .errors import ZipstoreError
from .schema import ZIPSTORE_SUFFIX

__all__ = ["open_remote"]

_EXTRA = 'pip install "maxrf-dashboard[remote]"'
_TAIL = 2**18  # bytes read at once from the end: the directory of 2500 entries
_SMALL = 4096  # bytes: such entries are descriptions, and others lie beside them
_AHEAD = 2**16  # bytes read for a small entry


def open_remote(url: str) -> Entries:
    """Open the store at a URL.

    Parameters
    ----------
    url : str
        If its path ends in ``.zipstore`` or ``.zip``, of a zip; else of a folder with the
        same entries as files.

    Raises
    ------
    ZipstoreError
        If there is none, it cannot be reached, or the server sends no parts of files.
    """
    name = _without_secrets(url)
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url)
    except ImportError as error:
        msg = f"{name} needs another package: {error}. For http and s3: {_EXTRA}"
        raise ZipstoreError(msg) from error
    except ValueError as error:  # an unknown protocol
        raise ZipstoreError(f"{name} cannot be opened: {error}.") from error
    if PurePosixPath(urlsplit(url).path).suffix in {ZIPSTORE_SUFFIX, ".zip"} and url[-1] != "/":
        return ZipEntries(_RemoteFile(files, path, name), name)
    folder = _RemoteFolder(files, path, name)
    try:
        folder.read(".zattrs")
    except KeyError as error:
        raise ZipstoreError(
            f"there is no file {name}/.zattrs, so no zipstore. Check the URL; that of a zip ends "
            f"in {ZIPSTORE_SUFFIX}."
        ) from error
    return folder


class _RemoteFile:
    """A file behind a URL: a `RangeSource`."""

    def __init__(self, files: Any, path: str, name: str) -> None:
        self._files, self._path, self._name = files, path, name
        self._closed = False
        with _told(name):
            try:
                # Unlike cat_file, an open file of HTTP asks the server for a part and refuses
                # one that would send the whole (fsspec 2026.9, implementations/http.py).
                with files.open(path, "rb") as file:
                    self.size = file.seek(0, 2)
                    self._tail_at = file.seek(max(0, self.size - _TAIL))
                    self._tail = file.read()
            except ValueError as error:
                raise ZipstoreError(_no_ranges(name)) from error
        self._ahead = (0, b"")

    def close(self) -> None:
        self._closed = True

    def read_range(self, start: int, stop: int) -> bytes:
        if self._closed:
            raise ZipstoreError(closed(self._name))
        for at, data in ((self._tail_at, self._tail), self._ahead):
            if at <= start and stop <= at + len(data):
                return data[start - at : stop - at]
        if stop - start > _SMALL:
            return self._fetch(start, stop)
        data = self._fetch(start, min(start + _AHEAD, self.size))
        self._ahead = start, data
        return data[: stop - start]

    def _fetch(self, start: int, stop: int) -> bytes:
        with _told(self._name):
            data = self._files.cat_file(self._path, start=start, end=stop)
        if len(data) > stop - start:
            raise ZipstoreError(_no_ranges(self._name))
        return data


class _RemoteFolder:
    """The entries of a folder behind a URL: `Entries`."""

    def __init__(self, files: Any, path: str, name: str) -> None:
        self._files, self._root, self.name = files, path.rstrip("/"), name
        self._closed = False

    def __contains__(self, key: str) -> bool:
        with _told(self.name):
            return is_key(key) and bool(self._files.exists(f"{self._root}/{key}"))

    def keys(self) -> Iterator[str]:
        with _told(self.name):
            found = self._files.find(self._root)
        return (path.removeprefix(self._root).lstrip("/") for path in found)

    def close(self) -> None:
        self._closed = True

    def read(self, key: str) -> bytes:
        if self._closed:
            raise ZipstoreError(closed(self.name))
        if not is_key(key):
            raise KeyError(key)
        with _told(self.name):
            try:
                return self._files.cat_file(f"{self._root}/{key}")
            except FileNotFoundError as error:
                raise KeyError(key) from error


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn the errors of a protocol into a sentence."""
    try:
        yield
    except _errors() as error:
        # fsspec's HTTP says that a file is not found whatever happened; the cause tells.
        cause = error.__cause__ or error
        status = getattr(cause, "status", None)
        if isinstance(error, FileNotFoundError) and (cause is error or status == 404):
            raise ZipstoreError(f"there is no file {name}. Check the URL.") from error
        # str() of an answer would show the URL with its signature
        reason = f"{status} {cause.message}" if status else str(cause) or type(cause).__name__
        raise ZipstoreError(f"cannot read {name}: {reason}. Check URL and network.") from error


def _errors() -> tuple[type[Exception], ...]:
    """Return what the loaded protocols raise; not all of it is an OSError."""
    found: list[type[Exception]] = [OSError]
    if "aiohttp" in sys.modules:
        found.append(sys.modules["aiohttp"].ClientError)
    if "botocore" in sys.modules:
        found.append(sys.modules["botocore.exceptions"].BotoCoreError)
    return tuple(found)


def _no_ranges(name: str) -> str:
    return (
        f"the server of {name} sends whole files only, and a zipstore is read in parts. Copy the "
        "file to this machine, or use a server that knows range requests."
    )


def _without_secrets(url: str) -> str:
    """Return a URL without password and signature."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
