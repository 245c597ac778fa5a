"""Everything that grows with a scan, measured at one size.

The rows of the table are in `measures`.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maxrf_core import open_scan

from .apart import ApartError, apart
from .conversion import (
    FULL,
    LEAN,
    LIMIT,
    PEER_SPECTRA,
    SELECTED,
    Contender,
    Result,
    measure_all,
    peer_contender,
)
from .measures import PAGE, Found
from .reading import read_all
from .scans import scan_file, shape_for, warm

__all__ = [
    "Machine",
    "Options",
    "measure_size",
    "say",
    "this_machine",
]

READ = "tests.benchmarks.reading"


@dataclass(frozen=True)
class Options:
    """What to measure.

    Parameters
    ----------
    repeats : int
        Runs of each conversion.
    count : int
        Windows and places of each kind.
    cube_cells : int
        Cells of the float cube that dask sums, at most, unless a full conversion has it whole.
    full : bool
        Full conversions at all sizes, not only at the first.
    peer : bool
        Measure cronomaxrf where it survives.
    page : bool
        Measure the page in Chromium.
    environment : Path or None
        Where cronomaxrf is, or is installed; by default in the folder of the scans.
    """

    repeats: int = 3
    count: int = 200
    cube_cells: int = 100_000
    full: bool = False
    peer: bool = True
    page: bool = True
    environment: Path | None = None


@dataclass(frozen=True)
class Machine:
    """Where it was measured; `load` is the average of the minute before."""

    processor: str
    processors: int
    memory_gb: float | None
    system: str
    python: str
    load: float | None

    def __str__(self) -> str:
        memory = "" if self.memory_gb is None else f", {self.memory_gb:.0f} GB of memory"
        load = "" if self.load is None else f", load average before {self.load:.2f}"
        return (
            f"{self.processors} processors ({self.processor}){memory}, {self.system}, "
            f"Python {self.python}{load}"
        )


def say(text: str) -> None:
    """Tell on stderr how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def this_machine() -> Machine:
    """Return what this machine is, and how busy."""
    processor = platform.processor() or platform.machine()
    account = Path("/proc/cpuinfo")
    if account.exists():
        models = [
            line.split(":", 1)[1].strip()
            for line in account.read_text(encoding="utf-8", errors="replace").splitlines()
            if line.startswith("model name")
        ]
        processor = models[0] if models else processor
    memory = None
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return Machine(
        processor,
        os.cpu_count() or 1,
        memory,
        platform.system(),
        platform.python_version(),
        os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def measure_size(
    spectra: int, scans: Path, results: Path, options: Options, *, first: bool
) -> Found:
    """Measure all at one size.

    Parameters
    ----------
    spectra : int
        About so many.
    scans : Path
        Folder of simulated scans: what is there is used, what is made stays.
    results : Path
        Folder on the same disk for what is written; each is removed after its use, but for
        the lean and the full zipstore.
    options : Options
        What to measure.
    first : bool
        Whether it is the first size: with full conversions, and the peer.

    Returns
    -------
    dict of str to float
        By the keys of `MEASURES`, without ratios.
    """
    shape = shape_for(spectra)
    say(f"{shape[0]} x {shape[1]} cells: the scans")
    plain, packed = scan_file(scans, shape, None), scan_file(scans, shape, "gzip")
    lean = results / f"lean-{shape[0]}x{shape[1]}.zipstore"
    full = results / f"full-{shape[0]}x{shape[1]}.zipstore"

    say("lean conversion")
    found = _named(
        measure_all([LIMIT, LEAN], plain, options.repeats, keep={LEAN.name: lean}),
        {LIMIT.name: "limit", LEAN.name: "lean"},
    )
    say("lean conversion, gzip source")
    found |= _named(
        measure_all([LIMIT, LEAN], packed, options.repeats),
        {LIMIT.name: "gzip_limit", LEAN.name: "gzip"},
    )
    with open_scan(lean) as scan:
        found["spectra"], found["cells"] = float(scan.n_spectra), float(scan.grid.size)
        found["counts_mb"] = 2e-6 * scan.n_spectra * scan.n_channels
    if first or options.full:
        found |= _full_conversions(plain, full, scans, options, int(found["spectra"]))
    say("reads")
    warm(lean)
    found |= read_all(lean, options.count)
    found |= _dask(lean, full, results, options)
    if options.page:
        found |= _page(lean)
    return found


def _full_conversions(scan: Path, full: Path, scans: Path, options: Options, spectra: int) -> Found:
    say("full conversion")
    contenders: list[Contender] = [FULL, SELECTED]
    names = {FULL.name: "full", SELECTED.name: "selected"}
    if options.peer and spectra < PEER_SPECTRA:
        try:
            peer = peer_contender(options.environment or scans / "cronomaxrf")
            contenders.append(peer)
            names[peer.name] = "peer"
        except subprocess.CalledProcessError as error:
            say(f"cronomaxrf cannot be installed and is left out: {error.stderr.strip()}")
    return _named(measure_all(contenders, scan, options.repeats, keep={FULL.name: full}), names)


def _named(results: Mapping[str, Result], keys: Mapping[str, str]) -> Found:
    found = {}
    for name, result in results.items():
        key = keys[name]
        found |= {f"{key}_s": result.median, f"{key}_peak_mb": result.peak / 1e6}
        if result.size:
            found[f"{key}_mb"] = result.size / 1e6
    return found


def _dask(lean: Path, full: Path, results: Path, options: Options) -> Found:
    """Sum windows from a float cube: the whole one where there is one, else a part made here."""
    say("windows from a float cube, with dask")
    cube, whole = full, full.exists()
    with open_scan(lean) as scan:
        cells = scan.grid.size
    if not whole:
        cube = results / "part.zipstore"
        cells = apart(f"{READ}:write_part", str(lean), str(cube), options.cube_cells).value
    warm(cube)
    seconds = apart(f"{READ}:dask_windows", str(cube), str(lean), 3).value
    if not whole:
        cube.unlink()
    return {"dask_s": sorted(seconds)[1], "dask_cells": float(cells)}


def _page(lean: Path) -> Found:
    """Measure the page; what goes wrong in a browser must not cost all the rest."""
    say("the page")
    try:
        figures = apart("tests.benchmarks.painting:page_figures", str(lean)).value
    except ApartError as error:
        say(f"the page is left out: {error}")
        return {}
    return {PAGE + name: value for name, value in figures.items()}
