"""The embedded demo scan: simulated and converted once, kept in the user's cache folder.

Simulating beats shipping: the package stays small, and the truth of the scan is known.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import platformdirs

from .conversion import convert_crono
from .errors import OutputError, ZipstoreError
from .location import is_ours
from .progress import Progress, progress_bar
from .schema import SCHEMA_VERSION, ZIPSTORE_SUFFIX
from .simulation import DEMO_SHAPE, simulate_crono
from .store import StoreReader
from .unfinished import HiddenNames, put_in_place

__all__ = ["CACHE_VARIABLE", "DEMO_VERSION", "DemoPaths", "demo_paths", "demo_scan"]

CACHE_VARIABLE = "MAXRF_CACHE"
"""Environment variable that names another folder than the system's for caches."""

DEMO_VERSION = 2
"""Part of the file names: count it up when the simulation or the conversion changes."""

_SEED = 14200215  # any fixed number

_LAG = 0.4
"""Periods by which exposures are late: a zigzag to be found, and to be seen without correction."""


class DemoPaths(NamedTuple):
    """Where the demo scan lies, or will.

    Attributes
    ----------
    crono : Path
        The simulated scan in the instrument's format.
    zipstore : Path
        What was converted from it.
    """

    crono: Path
    zipstore: Path


def demo_paths(folder: Path | None = None) -> DemoPaths:
    """Return the names of the demo scan's files, without making them.

    Parameters
    ----------
    folder : Path, optional
        Where they lie; by default the folder named by the environment variable
        ``MAXRF_CACHE``, or else the system's cache folder for this program.
    """
    if folder is None:
        named = os.environ.get(CACHE_VARIABLE)
        if named:
            folder = Path(named).expanduser().absolute()
        else:
            folder = platformdirs.user_cache_path("maxrf-dashboard", appauthor=False)
    scan = folder / f"maxrf-demo-{DEMO_VERSION}.HDF5"
    return DemoPaths(scan, scan.with_suffix(ZIPSTORE_SUFFIX))


def demo_scan(
    *, folder: Path | None = None, progress: bool | Callable[[Progress], None] = True
) -> Path:
    """Return the demo scan's zipstore; make it if it is not there, damaged, outdated or not ours.

    Making it takes some seconds and 35 MB. Several processes may do so at the same time:
    each works in a folder of its own, and moves what it made into place when it is whole.

    Parameters
    ----------
    folder : Path, optional
        Where it lies, as in `demo_paths`.
    progress : bool or callable
        A bar on the terminal, or a function that is given `Progress`. What the function
        raises stops the work, and nothing is left behind.

    Returns
    -------
    zipstore : Path
        A lean zipstore of this program's version.

    Raises
    ------
    OutputError
        If it has to be made and the folder cannot be written to.
    """
    paths = demo_paths(folder)
    if _is_current(paths.zipstore):
        return paths.zipstore
    place = paths.zipstore.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (
            HiddenNames(paths.zipstore) as hidden,
            progress_bar(progress, "the demo scan") as report,
        ):
            workshop = hidden.name(paths.zipstore, "making")
            workshop.mkdir()
            made = demo_paths(workshop)
            _make(made, report)
            if not _is_current(paths.zipstore):
                # Should another process come in between the two moves, the scan and the
                # zipstore differ in their times only.
                put_in_place(made.crono, paths.crono)
                put_in_place(made.zipstore, paths.zipstore)
    except (OSError, OutputError) as error:
        if _is_current(paths.zipstore):
            return paths.zipstore  # another process was faster; Windows then refuses to replace
        cause = error.__cause__ or error
        raise OutputError(
            f"the demo scan cannot be made in {place} "
            f"({getattr(cause, 'strerror', None) or cause}). It takes 35 MB; name a folder that "
            f"can be written to in the environment variable {CACHE_VARIABLE}."
        ) from error
    return paths.zipstore


def _make(paths: DemoPaths, report: Callable[[Progress], None]) -> None:
    simulate_crono(
        paths.crono,
        shape=DEMO_SHAPE,
        seed=_SEED,
        lag=_LAG,
        compression="gzip",  # 14 MB instead of 159
        progress=lambda done, total: report(Progress("simulate", done, total)),
    )
    convert_crono(paths.crono, output=paths.zipstore, cubes=False, progress=report)


def _is_current(zipstore: Path) -> bool:
    """Return whether a zipstore is ours, whole and was written by this version of the program."""
    if not is_ours(zipstore):
        return False  # a cache that others write to may hold anything
    try:
        with StoreReader(zipstore) as reader:
            found = reader.attributes.get("program"), reader.attributes["schema_version"]
            return found == (f"maxrf-dashboard {version('maxrf-dashboard')}", SCHEMA_VERSION)
    except ZipstoreError:  # missing, cut short, or of another schema: it is made anew
        return False
