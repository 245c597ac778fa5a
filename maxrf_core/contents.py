"""What a zipstore has to hold: its arrays, their shapes and chunks, and the root's attributes.

They follow from a few numbers: spectra, channels, length of a block, cells, method. Here these
are read off a store, and what does not fit them is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .errors import ZipstoreError
from .grid import Grid, cube_flips, make_grid
from .interpolation import METHODS, check_method
from .schema import (
    ALL_SPECTRA,
    BLOCK_MAX,
    BLOCK_MAX_SMOOTHED,
    BLOCK_TOTALS,
    CHANNELS_PER_GROUP,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    CUBE,
    ENERGIES,
    MAX_COUNTS,
    MAX_SMOOTHED,
    MAX_SPECTRUM,
    OPERATOR_GROUP,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_REAL_TIMES,
    SPECTRA_TIMESTAMPS,
    SPECTRA_TOTALS,
    SUM_SPECTRUM,
    TOTAL_COUNTS,
)
from .smoothing import check_sigma
from .store import StoreReader

__all__ = [
    "BLOCK_ARRAYS",
    "CUBE_ARRAYS",
    "NUMBERS",
    "TIMES",
    "Contents",
    "grids_agree",
    "metadata_keys",
    "operator_arrays",
    "read_contents",
    "stored_arrays",
]

BLOCK_ARRAYS = (BLOCK_TOTALS, BLOCK_MAX, BLOCK_MAX_SMOOTHED)
CUBE_ARRAYS = (ALL_SPECTRA, CUBE, SUM_SPECTRUM, MAX_SPECTRUM)
TIMES = (SPECTRA_LIVE_TIMES, SPECTRA_REAL_TIMES, SPECTRA_TIMESTAMPS)

_MOST_SPECTRA_AT_ONCE = 1024
NUMBERS = "iuf"  # kinds of dtype

Rule = tuple[tuple[int | None, ...], str]
"""Shape, with None for a length that is free, and a dtype, or kinds of them."""


@dataclass(frozen=True)
class Contents:
    """The numbers that all else in a zipstore follows from.

    Parameters
    ----------
    n_spectra, n_channels : int
        Size of the scan.
    chunk : int
        Spectra of a chunk of the counts by spectrum.
    portion : int
        Spectra to check at once: whole chunks.
    block : int
        Spectra of a chunk that is read across channels.
    grid, vendor : Grid
        The regular grid, and the vendor's own.
    vendor_flips : (bool, bool)
        Whether rows and columns of the vendor's selection run against y and x.
    flips : (bool, bool)
        The same of the exported cube.
    method, orientation : str
        Of the conversion.
    sigma : float
        Its smoothing, in channels.
    cubes : bool
        Whether it wrote the float arrays.
    """

    n_spectra: int
    n_channels: int
    chunk: int
    portion: int
    block: int
    grid: Grid
    vendor: Grid
    vendor_flips: tuple[bool, bool]
    flips: tuple[bool, bool]
    method: str
    orientation: str
    sigma: float
    cubes: bool

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n_spectra // self.block)

    @property
    def groups(self) -> int:
        """Number of groups of channels."""
        return -(-self.n_channels // CHANNELS_PER_GROUP)

    @property
    def rules(self) -> dict[str, Rule]:
        """Shape and dtype of each array that may be there."""
        n, c = self.n_spectra, self.n_channels
        indptr, indices, weights = operator_arrays(self.method)
        return {
            COUNTS_BY_SPECTRUM: ((n, c), "uint16"),
            COUNTS_BY_CHANNEL: ((c, n), "uint16"),
            COUNTS_CUMULATIVE: ((self.groups + 1, n), "uint32"),
            SPECTRA_TOTALS: ((n,), "uint32"),
            BLOCK_TOTALS: ((self.blocks, c), "uint64"),
            BLOCK_MAX: ((self.blocks, c), "uint16"),
            BLOCK_MAX_SMOOTHED: ((self.blocks, c), "float32"),
            ENERGIES: ((c,), "float32"),
            TOTAL_COUNTS: ((c,), "uint64"),
            MAX_COUNTS: ((c,), "uint16"),
            MAX_SMOOTHED: ((c,), "float32"),
            POSITIONS: ((n, None), NUMBERS),
            **dict.fromkeys(TIMES, ((n,), "float64")),
            SELECTED: (self.vendor.shape, "int64"),
            ROI_ENERGIES: ((None, 2), "float64"),
            indptr: ((self.grid.size + 1,), "i"),
            indices: ((None,), "i"),
            weights: ((None,), "float32"),
            ALL_SPECTRA: ((n, c), "float32"),
            CUBE: ((*self.grid.shape, c), "float32"),
            SUM_SPECTRUM: ((c,), "float32"),
            MAX_SPECTRUM: ((c,), "float32"),
        }

    def optional(self, name: str) -> bool:
        """Return whether an array may be missing."""
        return name in TIMES or name in BLOCK_ARRAYS or (name in CUBE_ARRAYS and not self.cubes)


def operator_arrays(method: str) -> tuple[str, str, str]:
    """Return the names of the three arrays of an interpolation, in the order of scipy's CSR."""
    group = f"{OPERATOR_GROUP}/{method}"
    return f"{group}/indptr", f"{group}/indices", f"{group}/weights"


def stored_arrays(reader: StoreReader) -> list[str]:
    """Return the names of all arrays of a zipstore, sorted.

    A web server lists no folder, or not the names that begin with a dot; then those arrays
    are asked for that this program writes.
    """
    try:
        found = reader.array_names()
    except ZipstoreError:
        found = []
    if ENERGIES in found:
        return found
    everything = read_contents(reader).rules
    operators = (name for method in METHODS for name in operator_arrays(method))
    return sorted(name for name in {*everything, *operators} if name in reader)


def metadata_keys(name: str) -> Iterator[str]:
    """Yield the entries that describe an array and the groups around it."""
    yield f"{name}/.zarray"
    yield f"{name}/.zattrs"
    group = name
    while "/" in group:
        group = group.rpartition("/")[0]
        yield f"{group}/.zgroup"
        yield f"{group}/.zattrs"


def read_contents(reader: StoreReader) -> Contents:
    """Return what a zipstore says that it holds.

    Raises
    ------
    ZipstoreError
        If its root attributes or the tables of counts make no sense.
    """
    attributes = reader.attributes
    by_spectrum, cumulative = reader.layout(COUNTS_BY_SPECTRUM), reader.layout(COUNTS_CUMULATIVE)
    try:
        parameters, vendor = attributes["parameters"], attributes["vendor_grid"]
        runs_back = bool(vendor["rows_flipped"]), bool(vendor["columns_flipped"])
        n, c = by_spectrum.shape
        chunk, block = by_spectrum.chunks[0], cumulative.chunks[1]
        portion = max(chunk, _MOST_SPECTRA_AT_ONCE // chunk * chunk)
        if parameters["cubes"]:
            portion = reader.layout(ALL_SPECTRA).chunks[0]
        contents = Contents(
            n,
            c,
            chunk,
            min(portion, n),
            min(block, n),
            Grid.from_dict(attributes["grid"]),
            Grid.from_dict(vendor),
            runs_back,
            cube_flips(
                parameters["orientation"],
                rows_flipped=runs_back[0],
                columns_flipped=runs_back[1],
            ),
            check_method(parameters["method"]),
            parameters["orientation"],
            check_sigma(parameters["sigma"]),
            bool(parameters["cubes"]),
        )
        spacing = parameters["spacing"]
        cells = make_grid(contents.vendor, spacing if isinstance(spacing, str) else tuple(spacing)
                          if isinstance(spacing, list) else float(spacing))  # fmt: skip
        _ = attributes["metadata"].items(), attributes["program"]
        _ = (
            str(attributes["source"]["name"]),
            [int(attributes["source"][key]) for key in ("size", "modified_ns")],
        )
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        ArithmeticError,
    ) as error:
        msg = f"{reader.name}: the description of the scan is damaged ({error!r:.200})."
        raise ZipstoreError(msg) from error
    if not grids_agree(cells, contents.grid):
        msg = (
            f"{reader.name}: the attributes name the grid {contents.grid}; spacing {spacing!r:.80} "
            f"of the vendor's grid makes {cells}."
        )
        raise ZipstoreError(msg)
    return contents


def grids_agree(first: Grid, second: Grid) -> bool:
    """Return whether two grids are the same within a millionth of a cell."""
    one, other = (
        np.array(list(grid.to_dict().values()), dtype=np.float64) for grid in (first, second)
    )
    return first.shape == second.shape and np.allclose(
        one, other, rtol=0, atol=1e-6 * min(first.dx, first.dy)
    )
