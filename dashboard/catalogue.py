"""The scans that a server shows: made from its arguments once, chosen from by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from maxrf_core import MaxrfError
from maxrf_core.location import is_url
from maxrf_core.schema import CRONO_SUFFIXES, ZIPSTORE_SUFFIX

__all__ = ["Catalogue", "CatalogueError", "Entry", "catalogue"]


class CatalogueError(MaxrfError):
    """The arguments of the server name nothing that can be shown."""


@dataclass(frozen=True)
class Entry:
    """One scan of the catalogue.

    Parameters
    ----------
    name : str
        What the visitor and the URL call it; never a path.
    zipstore : Path or str
        Its zipstore, converted or to be, as a file or a folder; or the URL of one.
    source : Path or None
        Its Crono file, where there is one.
    is_demo : bool
        Whether it is the demo scan, which is simulated when it is not there.
    """

    name: str
    zipstore: Path | str
    source: Path | None
    is_demo: bool = False

    @property
    def is_converted(self) -> bool:
        """Whether the zipstore is there, and not older than its source.

        A URL is taken to be; opening it says otherwise.
        """
        if isinstance(self.zipstore, str):
            return True
        if not (self.zipstore.is_file() or _is_folder_store(self.zipstore)):
            return False
        if self.source is None or not self.source.is_file():
            return True
        return self.zipstore.stat().st_mtime_ns >= self.source.stat().st_mtime_ns


class Catalogue(dict[str, Entry]):
    """Entries by name, in the order of the arguments."""


def catalogue(arguments: Sequence[str], demo: Entry) -> Catalogue:
    """Return the scans that the arguments name.

    Parameters
    ----------
    arguments : sequence of str
        Zipstores (files, folders of their entries, or URLs), Crono files, or folders of
        them. Nothing else is ever opened: a visitor chooses among their names.
    demo : Entry
        What to show when there are none.

    Returns
    -------
    Catalogue
        A Crono file and its zipstore are one entry. Two scans of one name are told
        apart by a number.

    Raises
    ------
    CatalogueError
        If an argument does not exist, is neither, or is a folder without any.
    """
    if not arguments:
        return Catalogue({demo.name: demo})
    found: dict[Path | str, Entry] = {}
    for argument in arguments:
        for entry in _entries(argument):
            known = found.get(entry.zipstore)
            if known is None or known.source is None:
                found[entry.zipstore] = entry
    entries = Catalogue()
    for entry in found.values():
        name, number = entry.name, 2
        while name in entries:
            name, number = f"{entry.name} ({number})", number + 1
        entries[name] = Entry(name, entry.zipstore, entry.source)
    return entries


def _entries(argument: str) -> list[Entry]:
    if is_url(argument):
        return [Entry(_name_in(argument), argument, None)]
    return [_entry(path) for path in _files(Path(argument))]


def _name_in(url: str) -> str:
    """Return the last part of a URL's path without its ending, or else the host."""
    parts = urlsplit(url)
    last = PurePosixPath(unquote(parts.path)).name
    return last.removesuffix(ZIPSTORE_SUFFIX) or parts.hostname or "scan"


def _files(path: Path) -> list[Path]:
    if _is_folder_store(path):
        return [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if _is_scan(file))
        if not files:
            msg = (
                f"the folder {path} has no zipstore and no Crono file (*.zipstore, *.HDF5); "
                "name another, or none for the demo scan."
            )
            raise CatalogueError(msg)
        return files
    if not path.exists():
        msg = f"there is no file or folder {path}; check the names after --args."
        raise CatalogueError(msg)
    if not _is_scan(path):
        msg = f"{path} is neither a zipstore nor a Crono file (*.zipstore, *.HDF5)."
        raise CatalogueError(msg)
    return [path]


def _is_scan(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    suffix = path.suffix.lower()
    if _is_folder_store(path):
        return suffix == ZIPSTORE_SUFFIX
    return path.is_file() and suffix in (ZIPSTORE_SUFFIX, *CRONO_SUFFIXES)


def _is_folder_store(path: Path) -> bool:
    """Return whether a folder holds the entries of a zipstore."""
    return (path / ".zattrs").is_file()


def _entry(path: Path) -> Entry:
    path = path.resolve()
    if path.suffix.lower() == ZIPSTORE_SUFFIX:
        return Entry(path.stem, path, None)
    if path.is_dir():
        return Entry(path.name, path, None)
    return Entry(path.stem, path.with_name(path.stem + ZIPSTORE_SUFFIX), path)
