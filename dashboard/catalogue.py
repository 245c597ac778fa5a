"""The scans that a server shows: made from its arguments, chosen from by name.

What a visitor can reach is a list, and a name is looked up in it, never made into a path. Which
files and folders the arguments mean is found out once, when the server starts; links that they
themselves are have been followed then. A scan in a folder belongs to the list if it lies in that
folder when all links are followed: one that leads out of it is passed over, unless what it leads
to was named itself. What has become a link since is refused when it is to be opened.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from maxrf_core import Grid, MaxrfError
from maxrf_core.file_names import as_listed
from maxrf_core.import_rpl import other_half
from maxrf_core.location import is_ours, is_url, lies_in
from maxrf_core.schema import (
    COUNTS_BY_SPECTRUM,
    CUBE_SUFFIXES,
    SCAN_SUFFIXES,
    ZIPSTORE_SUFFIX,
)
from maxrf_core.store import StoreReader

from .text import hide_folder, sentence_of

__all__ = ["Catalogue", "CatalogueError", "Entry", "Facts", "catalogue", "facts_of"]

logger = logging.getLogger(__name__)


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
        Its Crono file, or the cube that it comes from, where there is one.
    is_demo : bool
        Whether it is the demo scan, which is simulated when it is not there.
    folder : str
        Name of the folder that it lies in, where that tells it from another scan of its name.
    """

    name: str
    zipstore: Path | str
    source: Path | None
    is_demo: bool = False
    folder: str = ""

    @property
    def is_converted(self) -> bool:
        """Whether the zipstore is there, and not older than its source.

        A URL is taken to be; opening it says otherwise.
        """
        if isinstance(self.zipstore, str):
            return True
        if self.is_demo and not is_ours(self.zipstore):
            return False
        if not (self.zipstore.is_file() or _is_folder_store(self.zipstore)):
            return False
        if self.source is None or not self.source.is_file():
            return True
        changed = max(path.stat().st_mtime_ns for path in _files_of(self.source))
        if self.zipstore.stat().st_mtime_ns >= changed:
            return True
        # What was exported from a zipstore lies beside it and is newer.
        return _source_name(self.zipstore) not in (None, self.source.name)

    @property
    def is_cube(self) -> bool:
        """Whether its source is a cube of another program or scanner."""
        return self.source is not None and self.source.suffix.lower() in CUBE_SUFFIXES

    def check_in_place(self) -> None:
        """See that its files are where they were found; call it before one of them is used.

        Raises
        ------
        CatalogueError
            If one of them is a link to somewhere else, or lies behind one by now.
        """
        files = [path for path in (self.zipstore, self.source) if isinstance(path, Path)]
        halves = [half for path in files for half in _files_of(path)]
        for path in () if self.is_demo else halves:
            if os.path.normcase(path.resolve()) != os.path.normcase(path):
                raise CatalogueError(
                    f"{path.name} is a link, which is not followed. Put the file itself there, or "
                    "name what it leads to when the server is started."
                )


class Catalogue(dict[str, Entry]):
    """Entries by name, in the order of the arguments."""


def catalogue(arguments: Sequence[str], demo: Entry) -> Catalogue:
    """Return the scans that the arguments name.

    Parameters
    ----------
    arguments : sequence of str
        Zipstores (files, folders of their entries, or URLs), Crono files, cubes (``.rpl`` or the
        ``.raw`` beside it, ``.datastack``), or folders of them. Nothing else is ever opened: a
        visitor chooses among their names. Links lead out of no folder; see the module.
    demo : Entry
        What to show when there are none.

    Returns
    -------
    Catalogue
        A scan's file and its zipstore are one entry; of several files under one name, what the
        zipstore was made from. Two scans of one name are told apart by a number, and by the
        folders that they lie in.

    Raises
    ------
    CatalogueError
        If an argument does not exist, is neither, or is a folder without any.
    """
    if not arguments:
        return Catalogue({demo.name: demo})
    alike: dict[Path | str, list[Entry]] = {}
    for argument in arguments:
        for entry in _entries(argument):
            alike.setdefault(entry.zipstore, []).append(entry)
    found = [_one_of(some) for some in alike.values()]
    entries = Catalogue()
    names = [entry.name for entry in found]
    for entry in found:
        name, number = entry.name, 2
        while name in entries:
            name, number = f"{entry.name} ({number})", number + 1
        is_path = names.count(entry.name) > 1 and isinstance(entry.zipstore, Path)
        folder = entry.zipstore.parent.name if is_path else ""
        entries[name] = replace(entry, name=name, folder=folder)
    return entries


def _entries(argument: str) -> list[Entry]:
    if is_url(argument):
        return [Entry(_name_in(argument), argument, None)]
    place = _place_of(os.path.abspath(argument))  # noqa: PTH100 - which leaves links as they are
    folder = place if place.is_dir() and not _is_folder_store(place) else place.parent
    for known in (folder, Path(argument).parent, Path(argument)):
        hide_folder(known)
    return [_entry(path, folder) for path in _files(place, argument)]


@cache
def _place_of(absolute: str) -> Path:
    """Return where an argument leads: found once a process, whatever becomes of its links."""
    return Path(absolute).resolve()


def _one_of(entries: Sequence[Entry]) -> Entry:
    """Return the entry, of those that have or would get the same zipstore, that it stands for."""
    with_source = {entry.source: entry for entry in entries if entry.source is not None}
    if len(with_source) < 2:
        return next(iter(with_source.values()), entries[0])
    made_from = _source_name(Path(entries[0].zipstore))
    return min(with_source.values(), key=lambda one: (one.source.name != made_from, one.is_cube))


def _source_name(zipstore: Path) -> str | None:
    """Return the name of the file that a zipstore was made from; None if it does not tell."""
    if zipstore.is_symlink():
        return None  # out of the folder: what it leads to is not looked into
    try:
        with StoreReader(zipstore) as reader:
            return str(reader.attributes["source"]["name"])
    except (MaxrfError, KeyError, TypeError):
        return None  # none yet, or opening it says what is wrong


def _files_of(source: Path) -> list[Path]:
    """Return the files of a scan that is not converted: an ``.rpl`` has its counts beside it."""
    if source.suffix.lower() != ".rpl":
        return [source]
    raw = other_half(source)
    return [source] if raw is None else [source, raw]


def _name_in(url: str) -> str:
    """Return the last part of a URL's path without its ending, or else the host."""
    parts = urlsplit(url)
    last = PurePosixPath(unquote(parts.path)).name
    return last.removesuffix(ZIPSTORE_SUFFIX) or parts.hostname or "scan"


def _files(path: Path, argument: str) -> list[Path]:
    """Return the scans that an argument means, which leads to a path."""
    if _is_folder_store(path):
        return [path]
    if path.is_dir():
        # A .raw by itself may be a photo; one of counts has its .rpl.
        found = sorted(
            file for file in path.iterdir() if _is_scan(file) and file.suffix.lower() != ".raw"
        )
        files = [file for file in found if _lies_whole_in(file, path)]
        if not files:
            msg = (
                f"the folder {argument} has no zipstore, no Crono file and no cube (*.zipstore, "
                "*.HDF5, *.rpl, *.datastack); name another, or none for the demo scan."
            )
            raise CatalogueError(msg)
        return files
    if not path.exists():
        msg = f"there is no file or folder {argument}; check the names after --args."
        raise CatalogueError(msg)
    if not _is_scan(path):
        msg = (
            f"{argument} is neither a zipstore nor a Crono file nor a cube (*.zipstore, *.HDF5, "
            "*.rpl, *.datastack)."
        )
        raise CatalogueError(msg)
    return [path]


def _is_scan(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    suffix = path.suffix.lower()
    if _is_folder_store(path):
        return suffix == ZIPSTORE_SUFFIX
    return path.is_file() and suffix in SCAN_SUFFIXES


def _is_folder_store(path: Path) -> bool:
    """Return whether a folder holds the entries of a zipstore."""
    return (path / ".zattrs").is_file()


def _lies_whole_in(path: Path, folder: Path) -> bool:
    """Return whether no link leads from a scan's files out of a folder."""
    is_whole = all(lies_in(file, folder) for file in _files_of(path))
    if not is_whole:
        _note_left_out(path, folder)
    return is_whole


@cache
def _note_left_out(path: Path, folder: Path) -> None:
    """Tell the log of a link, once and not for each visitor."""
    logger.warning("%s leads out of the folder %s and is not shown", path, folder)


def _entry(path: Path, folder: Path) -> Entry:
    """Return the entry of a file or folder that lies in a folder named."""
    path = path.resolve()
    if path.suffix.lower() == ZIPSTORE_SUFFIX:
        return Entry(path.stem, path, None)
    if path.is_dir():
        return Entry(path.name, path, None)
    if path.suffix.lower() == ".raw":
        path = other_half(path) or path
    zipstore = as_listed(path.with_name(path.stem + ZIPSTORE_SUFFIX))
    if lies_in(zipstore, folder):
        zipstore = zipstore.resolve()
    return Entry(path.stem, zipstore, path)


# --- what there is to tell of a scan --------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What a catalogue tells of a scan without looking at its counts.

    Parameters
    ----------
    date : str
        Date and time as ``2021-10-15 14:20``; empty if nothing is known of it.
    is_measured : bool
        Whether that is the date of the measurement, which the file tells; else of the file.
    n_bytes : int or None
        Size on disk: of the zipstore, or of the scan's own files if there is none yet.
    n_spectra : int or None
        Spectra of a converted scan.
    shape : (int, int) or None
        Rows and columns of its grid.
    is_converted : bool
        Whether it can be looked at.
    fault : str
        Why it cannot be opened, in a sentence; empty if nothing is wrong.
    """

    date: str = ""
    is_measured: bool = False
    n_bytes: int | None = None
    n_spectra: int | None = None
    shape: tuple[int, int] | None = None
    is_converted: bool = False
    fault: str = ""


def facts_of(entry: Entry) -> Facts:
    """Return what a catalogue tells of a scan; what is wrong with a file is told, not raised.

    Reads some kilobytes. Of what lies behind a URL nothing is asked.
    """
    if isinstance(entry.zipstore, str):
        return Facts(is_converted=True)
    try:
        entry.check_in_place()
    except CatalogueError as error:
        return Facts(fault=sentence_of(error))
    is_converted = entry.is_converted
    path = entry.zipstore if is_converted or entry.source is None else entry.source
    try:
        size = sum(map(_size, _files_of(path)))
        facts = Facts(_moment(path.stat().st_mtime), n_bytes=size, is_converted=is_converted)
    except OSError as error:
        return Facts(fault=f"{path.name} cannot be looked at: {error.strerror or error}.")
    if not is_converted:
        return facts
    try:
        with StoreReader(path) as reader:
            return replace(facts, **_described(reader))
    except MaxrfError as error:
        return replace(facts, fault=sentence_of(error))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        logger.warning("%s is damaged", path, exc_info=error)
        return replace(facts, fault=f"{path.name}: the description of the scan is damaged.")


def _described(reader: StoreReader) -> dict[str, Any]:
    """Return the fields of `Facts` that a store itself tells."""
    told: dict[str, Any] = {
        "n_spectra": int(reader.layout(COUNTS_BY_SPECTRUM).shape[0]),
        "shape": tuple(map(int, Grid.from_dict(reader.attributes["grid"]).shape)),
    }
    created = reader.attributes["metadata"].get("created")
    try:
        told["date"] = datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M")
    except (TypeError, ValueError):
        return told  # none, or the file's own words
    return told | {"is_measured": True}


def _moment(seconds: float) -> str:
    """Return a time of the file system as the server's clock shows it."""
    try:
        return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")  # noqa: DTZ006 - its zone
    except (OSError, OverflowError, ValueError):  # before 1970 on Windows; or beyond the year 9999
        return ""


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
