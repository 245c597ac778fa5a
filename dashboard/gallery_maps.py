"""What a gallery shows of a scan: which maps, kept once they are computed, and one cell of each."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from maxrf_core import ParameterError

from .data import SharedScan
from .element_marks import line_label
from .layers import LAYERS, Asked
from .state import MAX_ELEMENTS
from .text import sentence_of

__all__ = ["GalleryMap", "cell_values", "kept_map", "maps_of"]

_KEPT_BYTES = 128 * 2**20
"""Of maps kept for each scan that is open, at least; and never fewer than one gallery has."""


@dataclass(frozen=True)
class GalleryMap:
    """One map of a gallery.

    Parameters
    ----------
    name : str
        Its line, such as ``"Fe Ka"``, or its layer where that has no window.
    asked : Asked
        What it is computed from.
    """

    name: str
    asked: Asked

    @property
    def label(self) -> str:
        """Its name as it is written, with Greek letters."""
        return line_label(self.name) if LAYERS[self.asked.layer].of_window else self.name

    @property
    def window_text(self) -> str:
        """Its window in keV; nothing for a layer that has none."""
        low, high = self.asked.window
        return f"{low:.3f}–{high:.3f} keV" if LAYERS[self.asked.layer].of_window else ""


def maps_of(
    shared: SharedScan, names: Sequence[str], asked: Asked
) -> tuple[tuple[GalleryMap, ...], tuple[str, ...]]:
    """Return the maps of some elements or lines.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    names : sequence of str
        Elements or lines, such as ``"Fe"`` and ``"Pb La"``.
    asked : Asked
        What all maps have in common; of its window nothing is used.

    Returns
    -------
    maps : tuple of GalleryMap
        Each line once. A layer that has no window is one map.
    complaints : tuple of str
        A sentence for each name that has no line in this scan.
    """
    layer = LAYERS[asked.layer]
    if not layer.of_window:
        return (GalleryMap(layer.title, asked),), ()
    maps: dict[str, GalleryMap] = {}
    complaints = []
    for name in names:
        try:
            line = shared.elements.line(name)
        except ParameterError as error:
            complaints.append(sentence_of(error))
            continue
        found = GalleryMap(line.group.name, replace(asked, window=line.window))
        maps.setdefault(found.name, found)
    return tuple(maps.values()), tuple(complaints)


class _KeptMaps:
    """Maps of a scan computed lately, and those that some thread computes now."""

    def __init__(self, grid_size: int) -> None:
        most = max(_KEPT_BYTES, MAX_ELEMENTS * 4 * grid_size)
        self.maps: LRUCache = LRUCache(most, getsizeof=lambda values: values.nbytes)
        self.turns: dict[Asked, threading.Lock] = {}


_kept: weakref.WeakKeyDictionary[SharedScan, _KeptMaps] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def kept_map(shared: SharedScan, asked: Asked) -> npt.NDArray[np.float32]:
    """Return a map, (h, w) float32, read-only; those asked for lately are kept for all visitors.

    Who asks for one that is being computed waits for it.
    """
    with _lock:
        kept = _kept.get(shared)
        if kept is None:
            kept = _kept[shared] = _KeptMaps(shared.scan.grid.size)
        turn = kept.turns.setdefault(asked, threading.Lock())
    with turn:
        with _lock:
            values = kept.maps.get(asked)
        try:
            if values is None:
                values = shared.layer_map(asked).view()
                values.flags.writeable = False
                with _lock:
                    kept.maps[asked] = values
        finally:
            with _lock:
                kept.turns.pop(asked, None)
    return values


def cell_values(
    shared: SharedScan, maps: Sequence[GalleryMap], row: int, column: int
) -> Mapping[str, tuple[float, float | None]]:
    """Return what maps show in a cell: each value, and the standard error of counts.

    The cell's spectra are read once for all windows: 24 of them take as long as one.

    Returns
    -------
    values : mapping of str to (float, float or None)
        By the maps' names; NaN where the cell has no datum, None for other layers than counts.
    """
    if not maps:
        return {}
    first = maps[0].asked
    if first.layer != "counts":
        return {
            each.name: (float(kept_map(shared, each.asked)[row, column]), None) for each in maps
        }
    scan = shared.scan
    index, weights = scan.operator(first.method, lag=first.lag).cell_weights(row, column)
    if len(index) == 0:
        return {each.name: (float("nan"), float("nan")) for each in maps}
    shares = weights.astype(np.float64)
    if first.per_second:
        shares = shares * scan.per_second(np.ones(scan.n_spectra))[index]
    sigma = shared.smoothing(first.sigma, follow_resolution=first.follow_resolution)
    nets = np.column_stack(
        [
            scan.window_weights(*each.asked.window, background=first.background, sigma=sigma).net
            for each in maps
        ]
    )
    spectra = scan.spectra(index)
    # As `Scan.cell_counts`: W S b, and the root of (W * W) S (b * b).
    counts = shares @ (spectra @ nets)
    errors = np.sqrt(shares**2 @ (spectra @ nets**2))
    return {
        each.name: (float(counted), float(error))
        for each, counted, error in zip(maps, counts, errors, strict=True)
    }
