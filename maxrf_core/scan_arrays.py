"""The arrays of a scan as a store describes and holds them: what is used is checked first.

A store may come from anywhere, and compiled loops trust the numbers that they are given. Shapes,
dtypes and chunks have to agree before a chunk is read, and numbers of spectra to lie inside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .crono_datasets import Roi
from .errors import ZipstoreError
from .layout import ArrayLayout, ChunkSource, shortened
from .schema import (
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    ENERGIES,
    MAX_STEPS,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
)
from .store import StoreReader

__all__ = [
    "check_tables",
    "read_energies",
    "read_numbers",
    "read_positions",
    "read_rois",
    "read_selected",
    "require_layout",
    "usable_metadata",
]

_MAX_POINTS = 1000


def require_layout(
    source: ChunkSource,
    name: str,
    shape: tuple[int | None, ...],
    kinds: str,
    chunks: tuple[int | None, ...] | None = None,
) -> ArrayLayout:
    """Return the layout of an array that is described as expected.

    Parameters
    ----------
    source : ChunkSource
        The store.
    name : str
        The array.
    shape, chunks : tuple of int or None
        None for a length that is free; chunks may be left out.
    kinds : str
        A dtype, such as ``uint16``, or kinds of them, such as ``iu``.

    Raises
    ------
    ZipstoreError
        If it is missing, or described otherwise.
    """
    layout = source.layout(name)
    fits = layout.dtype.name == kinds or (len(kinds) <= 3 and layout.dtype.kind in kinds)
    for found, wanted in ((layout.shape, shape), (layout.chunks, chunks or shape[:0])):
        if wanted and len(found) != len(wanted):
            fits = False
        elif wanted:
            fits &= all(b in (None, a) for a, b in zip(found, wanted, strict=True))
    if not fits:
        raise ZipstoreError(
            f"array {name!r} has shape {layout.shape}, dtype {layout.dtype} and chunks "
            f"{layout.chunks}, which do not fit the rest of the scan; expected shape "
            f"{_words(shape)}. Convert the scan again."
        )
    return layout


def _words(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def check_tables(reader: StoreReader) -> tuple[int, int]:
    """Return the numbers of spectra and channels of the three tables of counts, which agree.

    Raises
    ------
    ZipstoreError
        If a table is missing, they do not agree, or they hold nothing.
    """
    layout = require_layout(reader, COUNTS_BY_SPECTRUM, (None, None), "uint16")
    n, c = layout.shape
    if n == 0 or c == 0:
        raise ZipstoreError(f"array {COUNTS_BY_SPECTRUM!r} has no counts; expected a scan.")
    require_layout(reader, COUNTS_BY_SPECTRUM, (n, c), "uint16", (None, c))
    groups = -(-c // CHANNELS_PER_GROUP)
    cumulative = require_layout(reader, COUNTS_CUMULATIVE, (groups + 1, n), "uint32", (1, None))
    across = (min(CHANNELS_PER_GROUP, c), cumulative.chunks[1])
    require_layout(reader, COUNTS_BY_CHANNEL, (c, n), "uint16", across)
    return n, c


def read_numbers(
    reader: StoreReader, name: str, shape: tuple[int | None, ...], kinds: str
) -> npt.NDArray:
    """Return a whole array that is described as expected; see `require_layout`."""
    require_layout(reader, name, shape, kinds)
    return reader.read_array(name)


def read_energies(reader: StoreReader, n_channels: int) -> npt.NDArray[np.floating]:
    """Return the energies (c,) in keV, finite and rising.

    Raises
    ------
    ZipstoreError
        If they are not.
    """
    energies = read_numbers(reader, ENERGIES, (n_channels,), "f")
    if not (np.isfinite(energies).all() and (np.diff(energies) > 0).all()):
        raise ZipstoreError(f"array {ENERGIES!r} does not rise from channel to channel.")
    return energies


def read_positions(reader: StoreReader, n_spectra: int) -> npt.NDArray[np.float64]:
    """Return motor positions (n, 2) in steps, finite.

    Raises
    ------
    ZipstoreError
        If they are not.
    """
    positions = read_numbers(reader, POSITIONS, (n_spectra, None), "iuf")[:, :2]
    positions = positions.astype(np.float64)
    if positions.shape[1] != 2 or not (np.abs(positions) <= MAX_STEPS).all():
        raise ZipstoreError(f"array {POSITIONS!r} has places that are no motor steps.")
    return positions


def read_selected(
    reader: StoreReader, shape: tuple[int, int], n_spectra: int
) -> npt.NDArray[np.int64]:
    """Return the vendor's spectrum of each cell of its map, (h, w).

    Raises
    ------
    ZipstoreError
        If a cell has a spectrum that the scan has not.
    """
    selected = read_numbers(reader, SELECTED, shape, "int64")
    if selected.size and (selected.min() < 0 or selected.max() >= n_spectra):
        raise ZipstoreError(
            f"array {SELECTED!r} has numbers outside 0 to {n_spectra - 1}, those of the spectra."
        )
    return selected


def read_rois(reader: StoreReader) -> tuple[Roi, ...]:
    """Return the vendor's regions of interest.

    Raises
    ------
    ZipstoreError
        If names and energies do not belong together.
    """
    energies = read_numbers(reader, ROI_ENERGIES, (None, 2), "f")
    names = reader.layout(ROI_ENERGIES).attributes.get("names")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_list or len(names) != len(energies) or not np.isfinite(energies).all():
        raise ZipstoreError(
            f"array {ROI_ENERGIES!r} has {len(energies)} regions, and the names "
            f"{shortened(names)}; expected a text and finite energies for each."
        )
    return tuple(
        Roi(name, float(low), float(high))
        for name, (low, high) in zip(names, energies, strict=True)
    )


def usable_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what a store says of the instrument, without calibration points that are none.

    A Crono file may hold anything there, and older versions of this program kept it.
    """
    points = np.asarray([np.nan])
    kept = metadata.get("calibration_points")
    if isinstance(kept, list) and len(kept) <= _MAX_POINTS:
        try:
            points = np.asarray(kept, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            points = np.asarray([np.nan])
    if points.ndim == 2 and points.shape[1] == 2 and np.isfinite(points).all():
        return metadata
    return {key: value for key, value in metadata.items() if key != "calibration_points"}
