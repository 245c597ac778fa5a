"""`check_zipstore`: whether a store is whole, and says the same in all its tables."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from math import prod
from pathlib import Path
from urllib.parse import urlsplit

from .blocks import Run
from .check_arrays import array_faults, operator_faults, source_faults, source_notes
from .check_counts import CountsCheck
from .check_cubes import cube_faults, sampled_tiles
from .check_layout import layout_faults
from .check_report import CheckReport
from .contents import BLOCK_ARRAYS, Contents, metadata_keys, read_contents
from .crono import CronoScan, read_crono
from .entries import Entries, open_local
from .errors import ZipstoreError
from .faults import Faults
from .location import is_url
from .parallel import thread_count
from .progress import Progress, progress_bar
from .remote import open_remote
from .runners import in_order
from .scan import open_scan
from .schema import COUNTS_BY_CHANNEL, COUNTS_BY_SPECTRUM, COUNTS_CUMULATIVE, CUBE
from .sidecar import sidecar_path
from .sidecar_check import sidecar_faults
from .spectra import SpectraReader
from .store import StoreReader
from .unfinished import left_behind, leftovers
from .zip_headers import header_faults, unreadable_entries

__all__ = ["CheckReport", "check_zipstore"]

_ROOT_KEYS = (".zgroup", ".zattrs")
_DIGITS = 20  # more than any number of a chunk has


def check_zipstore(
    location: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[Progress], None] = True,
) -> CheckReport:
    """Check that a zipstore is whole and that all its tables agree.

    Parameters
    ----------
    location : path or URL
        What `convert_crono` wrote, or a folder of its entries.
    source : path, optional
        The Crono file that it was made from: every count, position, energy and time is held
        against it.
    progress : bool or callable
        A bar on the terminal, or a function that is given `Progress`; what that raises ends
        the check.

    Returns
    -------
    CheckReport
        Faults, and no exception: also if the store cannot be opened at all.

    Raises
    ------
    CronoFileError
        If the source cannot be read.

    Notes
    -----
    Every entry of a zip has a checksum, and all are read. Then the counts by spectrum are
    sorted and added up once more, block by block, and held against those by channel, the
    cumulative ones and all totals and maxima. The smoothed spectra, if there are any, are
    computed anew, and so are `TILES_COMPUTED` tiles of the cube; the others are read, and
    have to give its stored mean and maximum. Memory is bounded by a block of the conversion.
    """
    scan = None if source is None else read_crono(source)
    with progress_bar(progress, short_name(location)) as report:
        check = _Check(location, scan, report)
        check.run()
    return check.result()


def short_name(location: str | os.PathLike[str]) -> str:
    """Return the last part of a path or URL, which holds no secrets."""
    path = urlsplit(os.fspath(location)).path if is_url(location) else location
    return Path(path).name or str(path)


class _Check:
    """One check: what is found, and how far it is."""

    def __init__(
        self,
        location: str | os.PathLike[str],
        scan: CronoScan | None,
        report: Callable[[Progress], None],
    ) -> None:
        self.location, self.scan, self._report = location, scan, report
        self.faults = Faults()
        self.notes: list[str] = []
        self.name = short_name(location)
        self.n_spectra = self.chunks = 0
        self.size: int | None = None
        self._done = self._total = 0

    def result(self) -> CheckReport:
        """Return what was found."""
        faults = self.faults
        source = None if self.scan is None else self.scan.filename.name
        return CheckReport(
            self.name,
            self.n_spectra,
            self.chunks,
            self.size,
            tuple(faults.first),
            faults.count,
            tuple(self.notes),
            source,
        )

    def run(self) -> None:
        """Look at everything that can be looked at."""
        if not is_url(self.location):
            self._check_beside(Path(self.location))
        try:
            before = self.faults.count
            self._check_headers()
            if self.faults.count > before:
                return
            with StoreReader(self.location) as reader:
                self.name = reader.name
                entries = open_remote(reader.location) if reader.path is None else open_local(
                    reader.path
                )  # fmt: skip
                try:
                    self._check_store(reader, entries)
                finally:
                    entries.close()
        except ZipstoreError as error:
            self.faults.extend([str(error)])

    def _check_beside(self, store: Path) -> None:
        """Look at what is kept beside a store, and at what killed runs left there."""
        self.faults.extend(sidecar_faults(store))
        for target in (store, sidecar_path(store)):
            self.notes.extend(left_behind(left, target) for left in leftovers(target))

    def _check_headers(self) -> None:
        """Look at how the entries of a zip are packed; what is no zip, opening it tells."""
        if is_url(self.location) or not Path(self.location).is_file():
            return
        try:
            archive = zipfile.ZipFile(self.location)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            return
        with archive:
            self.faults.extend(unreadable_entries(archive))

    def _check_store(self, reader: StoreReader, entries: Entries) -> None:
        if reader.path is not None and reader.path.is_file():
            with zipfile.ZipFile(reader.path) as archive:
                self.faults.extend(header_faults(reader.path, archive))
        keys = self._list_entries(entries)
        try:
            contents = read_contents(reader)
            described = list(layout_faults(reader, contents, keys))
        except ZipstoreError as error:
            contents, described = None, [str(error)]
        self.faults.extend(described)
        if contents is None or described:
            self.notes.append("its tables were not compared, as their description is wrong.")
            self._total = len(keys or ())
            self._read_entries(entries, sorted(keys or ()))
            return
        self._check_contents(reader, contents, entries, keys)

    def _list_entries(self, entries: Entries) -> set[str] | None:
        """Return all keys, or None if the server of a folder does not list it."""
        try:
            keys = set(entries.keys())
        except ZipstoreError:
            keys = set()
        if ".zattrs" not in keys:
            self.notes.append("the server does not list the folder: only what is needed was read.")
            return None
        return keys

    def _read_entries(self, entries: Entries, keys: list[str]) -> None:
        """Read entries for their checksums."""
        for key in keys:
            try:
                entries.read(key)
            except ZipstoreError as error:
                self.faults.extend([str(error)])
            self._progress(1)

    def _check_contents(
        self, reader: StoreReader, contents: Contents, entries: Entries, keys: set[str] | None
    ) -> None:
        names = [name for name in contents.rules if name in reader]
        chunks = {name: prod(reader.layout(name).chunk_counts) for name in names}
        self.n_spectra, self.chunks = contents.n_spectra, sum(chunks.values())
        if reader.path is not None:
            self.size = _bytes_at(reader.path)
        if BLOCK_ARRAYS[0] not in reader:
            self.notes.append("it was written by an earlier version, without totals of blocks.")
        others = self._other_entries(keys, names, reader)
        tables = (COUNTS_BY_SPECTRUM, COUNTS_BY_CHANNEL, COUNTS_CUMULATIVE, CUBE)
        self._total = sum(chunks.get(name, 0) for name in tables) + len(others)
        self._read_entries(entries, others)
        if self.scan is not None and not self._is_of_source(contents):
            return
        self._progress(0)
        self.faults.extend(array_faults(reader, contents))
        of_operator = list(
            operator_faults(reader, contents.method, contents.n_spectra, contents.grid.width)
        )
        self.faults.extend(of_operator)
        workers = thread_count()
        with ThreadPoolExecutor(workers) as pool, self._open_source(reader, contents) as spectra:
            run: Run = partial(in_order, pool, ahead=2 * workers)
            counts = CountsCheck(reader, contents, spectra, run, self._progress)
            self.faults.extend(counts.faults())
            if contents.cubes:
                self.faults.extend(self._cube_faults(reader, contents, run, not of_operator))
        self._report(Progress("check", self._total, self._total))

    def _progress(self, chunks: int) -> None:
        self._done += chunks
        self._report(Progress("check", min(self._done, self._total), self._total))

    def _other_entries(
        self, keys: set[str] | None, names: list[str], reader: StoreReader
    ) -> list[str]:
        """Return the keys that are no chunks: descriptions, and what has no place here."""
        if keys is None:
            return []
        described = {key for name in names for key in metadata_keys(name)}.union(_ROOT_KEYS)
        self.faults.extend(f"there is no entry {key}." for key in _ROOT_KEYS if key not in keys)
        counts = {name: reader.layout(name).chunk_counts for name in names}
        foreign = [
            key
            for key in keys - described
            if not _is_chunk(key.rpartition("/")[2], counts.get(key.rpartition("/")[0]))
        ]
        if foreign:
            more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
            self.notes.append(f"it holds what no zipstore needs: {min(foreign)!r}{more}.")
        return sorted({*foreign, *(described & keys)})

    def _is_of_source(self, contents: Contents) -> bool:
        scan = self.scan
        found, right = (contents.n_spectra, contents.n_channels), (scan.n_spectra, scan.n_channels)
        if found == right:
            return True
        sentence = (
            f"it holds {found[0]:,} spectra of {found[1]} channels; {scan.filename.name} has "
            f"{right[0]:,} of {right[1]}: it was made from another scan."
        )
        self.faults.extend([sentence])
        return False

    def _open_source(self, reader: StoreReader, contents: Contents) -> SpectraReader | nullcontext:
        if self.scan is None:
            return nullcontext()
        self.notes.extend(source_notes(reader, self.scan))
        self.faults.extend(source_faults(reader, contents, self.scan))
        return SpectraReader(self.scan.filename)

    def _cube_faults(
        self, reader: StoreReader, contents: Contents, run: Run, operator_is_right: bool
    ) -> Iterator[str]:
        tiles, chosen = sampled_tiles(reader)
        with open_scan(self.location) if operator_is_right else nullcontext() as scan:
            operator = None if scan is None else scan.operator()
            yield from cube_faults(reader, contents, operator, run, self._progress)
        if len(chosen) < len(tiles):
            self.notes.append(
                f"{len(chosen)} of the {len(tiles):,} tiles of {CUBE} were computed anew, evenly "
                f"spread from {min(chosen)[:2]} to {max(chosen)[:2]}; all were read."
            )


def _is_chunk(index: str, counts: tuple[int, ...] | None) -> bool:
    """Return whether the last part of a key names a chunk of an array of so many chunks."""
    numbers = index.split(".")
    if counts is None or len(numbers) != len(counts):
        return False
    return all(
        len(number) < _DIGITS
        and number.isdecimal()
        and str(int(number)) == number
        and int(number) < count
        for number, count in zip(numbers, counts, strict=True)
    )


def _bytes_at(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
