"""What a Crono file holds, as text for people: a summary, the tree of the file, its faults.

Large datasets are not loaded; they are described by 64 of their rows. Text from the file is
escaped before it is shown, since a name or attribute could hold commands for the terminal.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from .crono import CronoScan, DatasetList, read_crono
from .crono_metadata import read_metadata
from .errors import CronoFileError
from .hdf5 import (
    HDF5_ERRORS,
    compression,
    decode,
    open_hdf5,
    plain,
    read_attributes,
    reason,
)
from .plain_text import printable

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["report"]

LARGE = 4 * 2**20
"""Bytes of values above which a dataset is sampled instead of loaded."""
SAMPLED_ROWS = 64
READ_BUDGET = 256 * 2**20
"""Bytes that sampling may decompress: a row of a chunked dataset costs a row of chunks."""
SHOWN_VALUES = 8
SHOWN_CHARACTERS = 100
INDENT = "  "


def report(filename: str | PathLike[str]) -> str:
    """Describe a Crono file: size, origin, the scan in a line, its tree, and its faults.

    Parameters
    ----------
    filename : str or PathLike
        Any HDF5 file; the faults of one that is no usable scan are listed at the end.

    Returns
    -------
    str
        Lines of printable text. Datasets are numbered in visit order, as `read_datasets`
        and `cronomaxrf` number them.

    Raises
    ------
    CronoFileError
        If the file cannot be opened as HDF5 at all.
    """
    path = Path(filename)
    notes: list[str] = []
    with open_hdf5(path) as file:
        origin = read_metadata(file, notes)
        tree = _tree_lines(file)
    program = _shown(origin.get("software", "an unknown program"))
    created = _shown(origin.get("created", "at an unknown time"))
    size = f"{path.stat().st_size:,} bytes, written by {program}, created {created}"
    try:
        scan = read_crono(path)
    except CronoFileError as error:
        summary, ending = ["not a usable scan, see the faults at the end"], str(error).splitlines()
    else:
        summary, notes = _scan_lines(scan), list(scan.notes)
        ending = ["No faults found."]
    if notes:
        ending += ["Ignored:", *(f"- {note}" for note in notes)]
    return "\n".join([printable(path.name), size, *summary, "", *tree, "", *ending])


def _scan_lines(scan: CronoScan) -> list[str]:
    """Return a line that sums up the scan, and one that names its regions of interest."""
    rows, columns = scan.selected_index.shape
    low, high = scan.positions[:, :2].min(axis=0), scan.positions[:, :2].max(axis=0)
    live = "no live times"
    if scan.live_times is not None:
        live = f"live time {_number(np.median(scan.live_times) * 1000)} ms (median)"
    empty = sum(roi.is_empty for roi in scan.rois)
    summary = (
        f"{scan.n_spectra:,} spectra of {scan.n_channels} channels, "
        f"{scan.energies[0]:.3f} to {scan.energies[-1]:.3f} keV; "
        f"vendor's map {rows} rows x {columns} columns; "
        f"x {low[0]} to {high[0]}, y {low[1]} to {high[1]} motor steps; {live}; "
        f"{len(scan.rois)} regions of interest{f' ({empty} empty)' if empty else ''}"
    )
    lines = [summary]
    if scan.rois:
        regions = (
            f"{printable(roi.name)} {'(empty) ' if roi.is_empty else ''}"
            f"{roi.low_kev:.3f}-{roi.high_kev:.3f}"
            for roi in scan.rois
        )
        lines.append(f"regions in keV: {', '.join(regions)}")
    return lines


def _tree_lines(file: h5py.File) -> list[str]:
    """Return a line for each group, dataset, link and attribute of the file, in visit order."""
    numbers: dict[str, int] = {}
    names: list[bytes] = []
    damage: list[str] = []
    try:
        # Not File.visititems_links: it fails at a name that is not UTF-8 (h5py 3.16)
        file.id.links.visit(names.append)
        numbers = {dataset.name: number for number, dataset in enumerate(DatasetList(file))}
    except HDF5_ERRORS as error:
        damage.append(f"The tree is damaged, what it has beyond is not shown: {reason(error)}")
    lines = ["/", *_attribute_lines(file, INDENT)]
    for name in names:
        indent = INDENT * (name.count(b"/") + 1)
        label = _shown(decode(name.rsplit(b"/", 1)[-1]))
        try:
            kind = file.id.links.get_info(name).type
            if kind != h5py.h5l.TYPE_HARD:
                target = file.id.links.get_val(name)
                parts = target if isinstance(target, tuple) else (target,)
                lines.append(f"{indent}{label} -> {_shown(':'.join(map(decode, parts)))}")
                continue
            item = file[name]
            if isinstance(item, h5py.Dataset):
                # one with two names is numbered under the name that the visit met first
                number = f"[{numbers[item.name]}] " if item.name in numbers else ""
                label = f"{number}{label} {_layout(item)}: {_value_summary(item)}"
        except HDF5_ERRORS as error:
            lines.append(f"{indent}{label} cannot be opened: {reason(error)}")
            continue
        lines += [f"{indent}{label}", *_attribute_lines(item, indent + INDENT)]
    return lines + damage


def _attribute_lines(owner: h5py.HLObject, indent: str) -> list[str]:
    """Return a line for each attribute of a group or dataset."""
    notes: list[str] = []
    attributes = read_attributes(owner, notes)
    lines = [f"{indent}@{_shown(name)} = {_shown(value)}" for name, value in attributes.items()]
    return [*lines, *(f"{indent}@ {note}" for note in notes)]


def _layout(dataset: h5py.Dataset) -> str:
    """Return shape, dtype, and how the values lie in the file."""
    dtype = dataset.dtype
    element = h5py.check_vlen_dtype(dtype)  # None if not vlen, the class str if a string
    kind = str(dtype) if element is None else f"vlen {getattr(element, 'str', 'text').lstrip('|')}"
    storage = f"chunks {dataset.chunks}" if dataset.chunks else "contiguous"
    filters = compression(dataset)
    return (
        f"{dataset.shape} {_shown(kind.lstrip('|'))}, {storage}{f' {filters}' if filters else ''}"
    )


def _value_summary(dataset: h5py.Dataset) -> str:
    """Return the values of a small dataset, or what sums up those of a large one."""
    kind = dataset.dtype.kind
    if not dataset.size:
        return "empty"
    if dataset.is_virtual or dataset.external:
        return "kept in another file, not read"
    if kind == "O":
        return f"{dataset.size:,} of variable length, not read"
    if kind not in "iufbS":
        return "not read"
    try:
        if dataset.nbytes > LARGE:
            return _sample_summary(dataset) if kind != "S" else "text, not read"
        if math.prod(dataset.chunks or ()) * dataset.dtype.itemsize > READ_BUDGET:
            return f"not read, its chunks are {dataset.chunks}"
        values = dataset[...]
    except HDF5_ERRORS as error:
        return f"cannot be read: {reason(error)}"
    if kind == "S" or values.size <= SHOWN_VALUES:
        return _shown(plain(values))
    return _statistics(values)


def _sample_summary(dataset: h5py.Dataset) -> str:
    """Return the statistics of up to 64 rows spread over a large dataset."""
    n = len(dataset)
    row_bytes = dataset.nbytes // n
    if dataset.chunks:
        blocks = (
            math.ceil(size / chunk)
            for size, chunk in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)
        )
        row_bytes = math.prod(blocks) * math.prod(dataset.chunks) * dataset.dtype.itemsize
    count = min(SAMPLED_ROWS, READ_BUDGET // row_bytes)
    if count == 0:
        return f"not read, a row takes {row_bytes:,} bytes"
    rows = np.unique(np.linspace(0, n - 1, count).round().astype(np.int64))
    values = np.stack([dataset[row] for row in rows.tolist()])
    return f"{_statistics(values)} (of {len(rows)} sampled rows)"


def _statistics(values: np.ndarray) -> str:
    """Return minimum, median and maximum of the finite values, and how many are not.

    The two or three columns of a table (x, y, z; low, high) are no one quantity: each has
    its own.
    """
    if values.ndim == 2 and values.shape[1] in (2, 3):
        return "; ".join(
            f"column {number}: {_statistics(column)}" for number, column in enumerate(values.T)
        )
    finite = values[np.isfinite(values)]
    if finite.dtype.kind in "bf":
        finite = finite.astype(np.float64)
    missing = values.size - finite.size
    if not finite.size:
        return f"all {missing:,} values NaN or infinite"
    with np.errstate(over="ignore"):  # in the median of the largest floats
        low, middle, high = finite.min(), np.median(finite), finite.max()
    text = f"min {_number(low)}, median {_number(middle)}, max {_number(high)}"
    return f"{text}, {missing:,} NaN or infinite" if missing else text


def _number(value: np.number) -> str:
    """Return a whole number in full, any other with six digits."""
    whole = isinstance(value, np.integer) or (abs(value) < 1e15 and value == np.floor(value))
    return str(int(value)) if whole else f"{value:.6g}"


def _shown(value: Any) -> str:
    """Return a value as one printable line of limited length; a blob as its size."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list):
        value = f"[{', '.join(map(_shown, value))}]"
    text = printable(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
