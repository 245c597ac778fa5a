"""Checks of the small arrays of a zipstore: positions, times, selection, interpolation."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .contents import TIMES, Contents, grids_agree, operator_arrays
from .crono import CronoScan
from .errors import ParameterError
from .faults import try_read
from .grid import vendor_grid
from .schema import (
    ENERGIES,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    SPECTRA_TIMESTAMPS,
)
from .store import StoreReader

__all__ = ["array_faults", "operator_faults", "source_faults", "source_notes"]

_ROW_SUM_TOLERANCE = 1e-5  # some 20 weights of float32, some of kriging below 0


def _first(wrong: npt.NDArray[np.bool_]) -> int:
    return int(np.argmax(wrong))


def array_faults(reader: StoreReader, contents: Contents) -> Iterator[str]:
    """Yield which small arrays cannot be read, or hold what makes no sense."""
    energies, told = try_read(reader, ENERGIES)
    yield from told
    if energies is not None and not np.isfinite(energies).all():
        where = _first(~np.isfinite(energies))
        yield f"{ENERGIES}: channel {where} has {energies[where]} keV; expected finite energies."
    elif energies is not None and (np.diff(energies) <= 0).any():
        where = _first(np.diff(energies) <= 0) + 1
        yield f"{ENERGIES}: channel {where} does not lie above the one before it."
    for name in TIMES:
        times, told = try_read(reader, name) if name in reader else (None, [])
        yield from told
        if times is None:
            continue
        wrong = ~np.isfinite(times)
        if name != SPECTRA_TIMESTAMPS:
            wrong |= times <= 0
        if wrong.any():
            yield f"{name}: spectrum {_first(wrong)} has {times[_first(wrong)]} s; expected a time."
    yield from try_read(reader, ROI_ENERGIES)[1]
    positions, told = try_read(reader, POSITIONS)
    yield from told
    if positions is not None and not np.isfinite(positions[:, :2]).all():
        where = _first(~np.isfinite(positions[:, :2]).all(axis=1))
        yield f"{POSITIONS}: spectrum {where} is at {positions[where].tolist()}; expected steps."
        positions = None
    selected, told = try_read(reader, SELECTED)
    yield from told
    if selected is None:
        return
    wrong = (selected < 0) | (selected >= contents.n_spectra)
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        yield (
            f"{SELECTED}: row {row}, column {column} is {selected[row, column]}; expected 0 to "
            f"{contents.n_spectra - 1}."
        )
    elif positions is not None:
        yield from _grid_faults(contents, positions, selected)


def _grid_faults(
    contents: Contents, positions: npt.NDArray, selected: npt.NDArray[np.int64]
) -> Iterator[str]:
    """Yield whether the vendor's grid is not the one of the positions it was fitted to."""
    rows, columns = contents.vendor_flips
    stored = selected[:: -1 if rows else 1, :: -1 if columns else 1]
    try:
        fitted = vendor_grid(positions, stored)
    except ParameterError as error:
        yield f"{POSITIONS}: {error}"
        return
    flips = fitted.rows_flipped, fitted.columns_flipped
    if not grids_agree(fitted.grid, contents.vendor) or flips != contents.vendor_flips:
        yield (
            f"the attributes name the vendor's grid {contents.vendor}, flipped "
            f"{contents.vendor_flips}; {POSITIONS} and {SELECTED} make {fitted.grid}, {flips}."
        )


def operator_faults(reader: StoreReader, method: str, n_spectra: int, width: int) -> Iterator[str]:
    """Yield what is wrong with the interpolation: rows sum to 1, or a cell has no datum.

    Parameters
    ----------
    reader : StoreReader
        The store.
    method : str
        Of the interpolation.
    n_spectra, width : int
        How many spectra there are, and columns of the grid.
    """
    names = operator_arrays(method)
    read = [try_read(reader, name) for name in names]
    for _, told in read:
        yield from told
    indptr, indices, weights = (values for values, _ in read)
    if indptr is None or indices is None or weights is None:
        return
    bounds, of_spectrum, of_weight = names
    indptr = indptr.astype(np.int64)
    if len(indices) != len(weights):
        yield f"{of_spectrum} has {len(indices)} entries and {of_weight} has {len(weights)}."
        return
    if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        yield f"{bounds} does not cut the {len(indices)} weights into a row for each cell."
        return
    wrong = (indices < 0) | (indices >= n_spectra)
    if wrong.any():
        cell = int(np.searchsorted(indptr, _first(wrong), side="right")) - 1
        yield (
            f"{of_spectrum}: cell {divmod(cell, width)} takes spectrum "
            f"{indices[_first(wrong)]}; expected 0 to {n_spectra - 1}."
        )
    sums = np.zeros(len(indptr) - 1)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        sums[filled] = np.add.reduceat(weights, indptr[filled], dtype=np.float64)
    off = ~(np.abs(sums[filled] - 1.0) <= _ROW_SUM_TOLERANCE)  # also if not a number
    if off.any():
        cell = int(filled[_first(off)])
        yield (
            f"{of_weight}: those of cell {divmod(cell, width)} sum to "
            f"{sums[cell]:g}; expected 1 ({int(off.sum()):,} of {len(off):,} cells are wrong)."
        )


def source_faults(reader: StoreReader, contents: Contents, scan: CronoScan) -> Iterator[str]:
    """Yield which small arrays are not those of the scan."""
    rows, columns = contents.vendor_flips
    selected = scan.selected_index[:: -1 if rows else 1, :: -1 if columns else 1]
    rois = np.array([[roi.low_kev, roi.high_kev] for roi in scan.rois]).reshape(-1, 2)
    for name, right in {
        ENERGIES: scan.energies,
        POSITIONS: scan.positions,
        SPECTRA_LIVE_TIMES: scan.live_times,
        SPECTRA_REAL_TIMES: scan.real_times,
        SPECTRA_TIMESTAMPS: scan.timestamps,
        SELECTED: selected,
        ROI_ENERGIES: rois,
    }.items():
        if right is None or name not in reader:
            if (right is None) != (name not in reader):
                has, lacks = (reader.name, scan.filename.name)[:: 1 if right is None else -1]
                yield f"{has} has {name}, and {lacks} has not."
            continue
        found, _ = try_read(reader, name)  # what cannot be read was told before
        if found is None:
            continue
        if found.shape != right.shape:
            yield f"{name} has shape {found.shape}; in {scan.filename.name} it is {right.shape}."
            continue
        differs = np.atleast_1d(found != right)
        if differs.any():
            index = tuple(int(i) for i in np.argwhere(differs)[0])
            yield (
                f"{name}: number {index if len(index) > 1 else index[0]} is {found[index]}; "
                f"{scan.filename.name} has {right[index]} ({int(differs.sum()):,} values differ)."
            )
    names = reader.layout(ROI_ENERGIES).attributes.get("names")
    if names != [roi.name for roi in scan.rois]:
        yield f"{ROI_ENERGIES} has other names than the regions of {scan.filename.name}."


def source_notes(reader: StoreReader, scan: CronoScan) -> Iterator[str]:
    """Yield how the scan's file is another than the store names, which may be a mere copy."""
    status, named = scan.filename.stat(), reader.attributes["source"]
    found = {
        "name": scan.filename.name,
        "size": status.st_size,
        "modified_ns": status.st_mtime_ns,
    }
    words = {"name": "name", "size": "size in bytes", "modified_ns": "modification time in ns"}
    for key, value in found.items():
        if value != named[key]:
            yield (
                f"{scan.filename.name}: its {words[key]} is {value}; the zipstore was made from "
                f"one with {named[key]}."
            )
    if json.loads(json.dumps(scan.metadata)) != reader.attributes["metadata"]:
        yield f"{scan.filename.name}: what it says of itself is not what the zipstore has."
