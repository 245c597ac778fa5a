"""The simulated scans that benchmarks run on: one of about any number of spectra."""

from __future__ import annotations

import inspect
import math
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from maxrf_core import CronoFileError, load_truth, simulate_crono

__all__ = ["Compression", "scan_file", "shape_for", "warm"]

Compression = Literal["gzip"] | None

SHAPES = {15_000: (199, 62), 100_000: (320, 300), 1_030_000: (1015, 1002)}
"""Rows and columns of the sizes that figures are quoted for: 15,002, 100,286 and 1,030,641."""

EXTRA_SPECTRA = 13.4  # a row has so many more spectra than columns (`simulate_crono`)


def shape_for(spectra: int) -> tuple[int, int]:
    """Return rows and columns of a simulated scan of about so many spectra."""
    if spectra in SHAPES:
        return SHAPES[spectra]
    rows = max(1, round(math.sqrt(spectra)))
    return rows, max(1, round(spectra / rows - EXTRA_SPECTRA))


def scan_file(folder: Path, shape: tuple[int, int], compression: Compression) -> Path:
    """Return a simulated scan in a folder: the one that is there, or a new one."""
    for path in sorted(folder.glob("*.HDF5")):
        if _is_standard(path, shape, compression):
            return path
    path = folder / f"s{shape[0]}x{shape[1]}{'-gzip' if compression else ''}.HDF5"
    simulate_crono(path, shape=shape, compression=compression)
    return path


def _is_standard(path: Path, shape: tuple[int, int], compression: Compression) -> bool:
    """Return whether a file is what `simulate_crono` makes of that shape by default."""
    from maxrf_core.crono import open_spectra

    try:
        found = asdict(load_truth(path).parameters)
        with open_spectra(path) as spectra:
            stored = spectra.compression
    except CronoFileError:
        return False
    defaults = inspect.signature(simulate_crono).parameters
    wanted = {name: defaults[name].default for name in found if name in defaults}
    wanted["shape"] = shape
    return stored == compression and all(found[name] == wanted[name] for name in wanted)


def warm(path: Path) -> None:
    """Read a file once, so that it lies in the page cache if there is room for it."""
    with path.open("rb", buffering=0) as file:
        while file.read(2**24):
            pass
