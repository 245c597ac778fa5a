"""Cells and mean spectra of regions, computed once for all visitors of a scan."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from maxrf_core.region_spectra import RegionSpectrum
from maxrf_core.regions import Region, Threshold, region_mask

from .data import SharedScan
from .gallery_maps import kept_map
from .region_maps import map_named
from .state import ViewState

__all__ = ["Interpolated", "cells_of", "mask_of", "spectrum_of"]

BoolArray = npt.NDArray[np.bool_]

_KEPT_BYTES = 48 * 2**20
"""Of masks kept for each scan; one of a million cells has a million bytes."""
_KEPT_SPECTRA = 96
"""Mean spectra kept for each scan: 64 kB each."""


@dataclass(frozen=True)
class Interpolated:
    """How spectra become cells.

    Parameters
    ----------
    method : str
        Interpolation.
    lag : float
        Correction of the zigzag, in periods.
    """

    method: str
    lag: float

    @classmethod
    def of(cls, shared: SharedScan, state: ViewState) -> Interpolated:
        """Return that of a state."""
        return cls(state.method, shared.lag_corrected(state.correct_lag))

    @property
    def options(self) -> dict[str, Any]:
        """The same, as `Scan.region_spectrum` takes it."""
        return {"method": self.method, "lag": self.lag}


class _Kept:
    """What was computed lately of a scan, one thing at a time of each kind."""

    def __init__(self, most: int, size_of: Callable[[Any], int] | None = None) -> None:
        self._found: LRUCache = LRUCache(most, getsizeof=size_of)
        self._turn = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        with self._turn:
            if key in self._found:
                return self._found[key]
            value = compute()
            if self._found.maxsize >= self._found.getsizeof(value):
                self._found[key] = value
            return value


class _OfScan:
    def __init__(self) -> None:
        self.masks = _Kept(_KEPT_BYTES, lambda mask: mask.nbytes)
        self.spectra = _Kept(_KEPT_SPECTRA)


_kept: weakref.WeakKeyDictionary[SharedScan, _OfScan] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _of(shared: SharedScan) -> _OfScan:
    with _lock:
        return _kept.setdefault(shared, _OfScan())


def mask_of(shared: SharedScan, region: Region, how: Interpolated) -> BoolArray:
    """Return the cells of a region, (h, w) bool, read-only. Call it in a thread.

    Raises
    ------
    ParameterError
        If the region is a threshold on a map that is not there.
    """
    outline, scan = region.outline, shared.scan
    is_threshold = isinstance(outline, Threshold)

    def compute() -> BoolArray:
        maps = None
        if is_threshold:
            asked = map_named(shared, outline.map_name, **how.options)
            maps = {outline.map_name: kept_map(shared, asked)}
        mask = region_mask(region, scan.grid, maps)
        mask.flags.writeable = False
        return mask

    return _of(shared).masks.get((outline, how if is_threshold else None), compute)


def cells_of(shared: SharedScan, region: Region, how: Interpolated) -> int:
    """Return how many cells of a region have a datum. Call it in a thread."""
    mask = mask_of(shared, region, how)
    return int((mask & ~shared.scan.operator(**how.options).empty).sum())


def spectrum_of(
    shared: SharedScan, region: Region, how: Interpolated, *, per_second: bool = False
) -> RegionSpectrum:
    """Return the mean spectrum of a region with its variance. Call it in a thread.

    Raises
    ------
    ParameterError
        As `mask_of`.
    """
    mask = mask_of(shared, region, how)
    return _of(shared).spectra.get(
        (region.outline, how, per_second),
        lambda: shared.scan.region_spectrum(mask, per_second=per_second, **how.options),
    )
