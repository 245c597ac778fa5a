"""Small pictures of scans for the catalogue: made one by one in a thread, kept in memory."""

from __future__ import annotations

import base64
import io
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache
from PIL import Image

from maxrf_core import Grid, MaxrfError, Scan, open_scan
from maxrf_core.sidecar import sidecar_path

from .catalogue import Entry, Facts, facts_of
from .data import SharedScan
from .faults import reported
from .pixels import block_mean, grid_bins, to_levels
from .scaling import percentiles
from .text import sentence_of
from .theme import COLOUR_MAPS, palette

__all__ = ["Thumbnail", "facts_later", "png_of", "thumbnail_later", "thumbnail_of"]

_WIDTH, _TALLEST = 160, 240
"""Pixels of a thumbnail; a tall map is narrower."""

_CLIP = (0.0, 99.5)  # percentiles between which colours are spread, as in the first look at a map

_CACHE_BYTES = 64 * 2**20
"""Decompressed counts kept while a thumbnail is made."""

_MOST_INTERPOLATED = 250_000
"""Cells up to which the scan's own interpolation is worth its time: 2 s for a million.

Larger maps take the vendor's choice of spectra, which is not to be told apart at this size.
"""

_THUMBNAILS_KEPT, _FACTS_KEPT = 500, 5000  # 10 kB and some hundred bytes each

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thumbnail:
    """A picture of a scan, or why there is none.

    Parameters
    ----------
    address : str
        The PNG as a ``data:`` address; empty without a picture.
    line : str
        What the map shows; as the file names it, not escaped.
    fault : str
        Why there is no picture, in a sentence; empty if there is one.
    """

    address: str = ""
    line: str = ""
    fault: str = ""


def thumbnail_of(location: Path) -> Thumbnail:
    """Draw the map of a scan's strongest line. Takes up to seconds; call it in a thread.

    The scan is opened for this alone: the few that are kept open are those of visitors.

    Raises
    ------
    ZipstoreError
        If the file cannot be used.
    """
    with open_scan(location, cache_bytes=_CACHE_BYTES) as scan:
        line = SharedScan(scan).strongest_line
        values = _cheap_map(scan, line.low_kev, line.high_kev)
        png = png_of(values, scan.grid)
    name = f"{line.name} · " if line.name else ""
    return Thumbnail(
        "data:image/png;base64," + base64.b64encode(png).decode("ascii"),
        f"{name}{line.low_kev:.2f}–{line.high_kev:.2f} keV",
    )


def _cheap_map(scan: Scan, low_kev: float, high_kev: float) -> npt.NDArray[np.float32]:
    method = scan.method if scan.grid.size <= _MOST_INTERPOLATED else "selected"
    return scan.energy_map(low_kev, high_kev, method=method)


def png_of(values: npt.NDArray[np.float32], grid: Grid) -> bytes:
    """Return a map as a PNG with 8-bit colours, y upwards, of the object's proportions.

    Parameters
    ----------
    values : (h, w) float32
        The map, row 0 at the smallest y; NaN is transparent.
    grid : Grid
        Its grid.
    """
    low, high = percentiles(values, _CLIP) or (0.0, 1.0)
    if not high > low:
        high = low + 1.0
    left, bottom, right, top = grid.bounds
    pixel = max((right - left) / _WIDTH, (top - bottom) / _TALLEST)
    rows, columns = grid_bins(grid, grid.bounds, (pixel, pixel))
    levels = to_levels(block_mean(values, rows, columns), low, high)
    size = tuple(max(1, round(side / pixel)) for side in (right - left, top - bottom))
    image = Image.fromarray(np.ascontiguousarray(levels[::-1])).resize(
        size, Image.Resampling.NEAREST
    )
    colours = ["#000000", *palette(COLOUR_MAPS[0])]
    image.putpalette(bytes.fromhex("".join(colour.removeprefix("#")[:6] for colour in colours)))
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=0)
    return stream.getvalue()


# --- one by one, for all visitors -----------------------------------------------------------


class _Shelf:
    """What was computed of files, as long as they stay as they are.

    Parameters
    ----------
    compute : callable
        Computes of an entry.
    kept : int
        How many are kept; those least recently asked for go first.
    """

    def __init__(self, compute: Callable[[Entry], T], kept: int) -> None:
        self._compute = compute
        self._kept: LRUCache[tuple[Any, ...], Future[T]] = LRUCache(kept)
        self._lock = threading.Lock()

    def later(self, entry: Entry, stamp: tuple[Any, ...]) -> Future[T]:
        """Return what is or will be computed of an entry whose files have a stamp."""
        with self._lock:
            future = self._kept.get(stamp)
            if future is None or future.cancelled():
                future = _worker(os.getpid()).submit(self._compute, entry)
                self._kept[stamp] = future
        return future


@cache
def _worker(_process: int) -> ThreadPoolExecutor:
    """Return the one thread that looks into files: maps of visitors go before."""
    return ThreadPoolExecutor(1, thread_name_prefix="catalogue")


def _thumbnail(entry: Entry) -> Thumbnail:
    try:
        entry.check_in_place()
        return thumbnail_of(Path(entry.zipstore))
    except MaxrfError as error:
        logger.warning("no thumbnail of %s: %s", entry.name, error)
        return Thumbnail(fault=sentence_of(error))
    except Exception as error:  # noqa: BLE001 - logged, told; the others are still to be shown
        return Thumbnail(fault=reported(logger, f"no thumbnail of {entry.name}", error))


_thumbnails = _Shelf(_thumbnail, _THUMBNAILS_KEPT)
_facts = _Shelf(facts_of, _FACTS_KEPT)


def _stamp(entry: Entry) -> tuple[Any, ...]:
    """Return what tells the files of an entry from their successors."""
    paths = [path for path in (entry.zipstore, entry.source) if isinstance(path, Path)]
    if isinstance(entry.zipstore, Path):
        paths.append(sidecar_path(entry.zipstore))
    stamps: list[Any] = [entry]
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((status.st_mtime_ns, status.st_size))
    return tuple(stamps)


def thumbnail_later(entry: Entry) -> Future[Thumbnail]:
    """Return the thumbnail of a converted scan on this machine, made in its turn."""
    return _thumbnails.later(entry, _stamp(entry))


def facts_later(entry: Entry) -> Future[Facts]:
    """Return what the catalogue tells of a scan, looked up in its turn."""
    return _facts.later(entry, _stamp(entry))
