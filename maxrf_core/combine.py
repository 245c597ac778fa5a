"""The regular cube, tile by tile: W applied to smoothed spectra.

Tiles are square, so that the spectra around a tile are few beyond those inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .interpolation import Operator
from .kernels import Sigma, kernel_radius
from .layout import FLOAT_CODEC, ChunkSink
from .schema import CUBE
from .smoothing import smooth_spectra
from .table import CountsTable

__all__ = ["CUBE_TILE", "CubePlan", "TileStatistics", "cube_block"]

CUBE_TILE = 32
"""Rows and columns of a tile: 16 MiB of 4096 channels."""

_CHANNELS_AT_ONCE = 256  # of 1,300 spectra around a tile: 1.3 MB, which a processor's cache holds


@compiled(fastmath={"contract"})
def _add_four(target, weights, columns, k, spectra, first):  # noqa: ANN001, ANN202
    """Add four weighted spectra at once: the target is read and written once for them."""
    a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    last = first + len(target)
    one, two = spectra[columns[k], first:last], spectra[columns[k + 1], first:last]
    three, four = spectra[columns[k + 2], first:last], spectra[columns[k + 3], first:last]
    for j in range(len(target)):
        target[j] += (a * one[j] + b * two[j]) + (c * three[j] + d * four[j])


@compiled(fastmath={"contract"})
def _add_one(target, weight, values):  # noqa: ANN001, ANN202
    for j in range(len(target)):
        target[j] += weight * values[j]


@compiled()
def _combine(indptr, columns, weights, spectra, out):  # noqa: ANN001, ANN202
    n_channels = out.shape[1]
    for first in range(0, n_channels, _CHANNELS_AT_ONCE):
        last = min(first + _CHANNELS_AT_ONCE, n_channels)
        for cell in range(out.shape[0]):
            target = out[cell, first:last]
            target[:] = 0.0
            k, stop = indptr[cell], indptr[cell + 1]
            if k == stop:
                target[:] = np.nan
            while k + 4 <= stop:
                _add_four(target, weights, columns, k, spectra, first)
                k += 4
            while k < stop:
                _add_one(target, weights[k], spectra[columns[k], first:last])
                k += 1


def cube_block(
    table: CountsTable,
    operator: Operator,
    rows: slice,
    columns: slice,
    *,
    sigma: Sigma,
    channels: slice = slice(None),
) -> npt.NDArray[np.float32]:
    """Return some cells of the regular cube.

    Parameters
    ----------
    table : CountsTable
        The counts of the scan.
    operator : Operator
        The interpolation.
    rows, columns : slice
        Which cells, with plain start and stop.
    sigma : float or (c,) float
        Gaussian smoothing in channels; 0 for none.
    channels : slice
        Channels next to each other, by default all.

    Returns
    -------
    cube : (rows, columns, channels) float32
        NaN in cells without a datum. Each spectrum is smoothed once in a block, before
        the cells it belongs to are put together.
    """
    width = operator.shape[1]
    height, breadth = rows.stop - rows.start, columns.stop - columns.start
    cells = np.arange(rows.start, rows.stop)[:, None] * width + np.arange(
        columns.start, columns.stop
    )
    weights = operator.matrix[cells.ravel()]
    needed, local = np.unique(weights.indices, return_inverse=True)
    smoothed = _smoothed(table, needed, sigma, channels)
    out = np.empty((len(cells.ravel()), smoothed.shape[1]), dtype=np.float32)
    _combine(weights.indptr, local.ravel(), weights.data, smoothed, out)
    return out.reshape(height, breadth, smoothed.shape[1])


def _smoothed(
    table: CountsTable, index: npt.NDArray[np.integer], sigma: Sigma, channels: slice
) -> npt.NDArray[np.float32]:
    """Return some channels of some spectra, smoothed with what lies beside them."""
    first, last, _ = channels.indices(table.n_channels)
    reach = kernel_radius(sigma)
    low, high = max(first - reach, 0), min(last + reach, table.n_channels)
    own = sigma[low:high] if np.ndim(sigma) else sigma
    smoothed = smooth_spectra(table.spectra(index, slice(low, high)), own)
    return smoothed[:, first - low : last - low].astype(np.float32, copy=False)


@dataclass(frozen=True)
class TileStatistics:
    """What a tile adds to the statistics of the cube.

    Parameters
    ----------
    cells : int
        Cells with a datum.
    total : (c,) float64
        Their sum.
    highest : (c,) float32
        Their maximum; minus infinity when there is none.
    """

    cells: int
    total: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float32]


@dataclass(frozen=True)
class CubePlan:
    """How the cube is cut into tiles and written.

    Parameters
    ----------
    operator : Operator
        The interpolation.
    sigma : float
        Gaussian smoothing in channels.
    flips : (bool, bool)
        Whether its rows and columns run against y and x.
    orientation : str
        Name of that, for the array's attributes.
    tile : (int, int)
        Rows and columns of a tile.
    """

    operator: Operator
    sigma: float
    flips: tuple[bool, bool]
    orientation: str
    tile: tuple[int, int]

    def declare(self, sink: ChunkSink, n_channels: int) -> None:
        """Create the array."""
        sink.create_array(
            CUBE,
            shape=(*self.operator.shape, n_channels),
            dtype=np.float32,
            chunks=(*self.tile, n_channels),
            codec=FLOAT_CODEC,
            attributes={
                "sigma_channels": self.sigma,
                "method": self.operator.method,
                "orientation": self.orientation,
            },
        )

    @property
    def bands(self) -> int:
        """Number of rows of tiles."""
        return -(-self.operator.shape[0] // self.tile[0])

    def keys(self, band: int) -> Iterator[tuple[int, int, int]]:
        """Yield the index of each tile of a row of tiles."""
        for column in range(-(-self.operator.shape[1] // self.tile[1])):
            yield band, column, 0

    def cells_in(self, band: int) -> int:
        """Return the number of cells in a row of tiles."""
        height, width = self.operator.shape
        return (min((band + 1) * self.tile[0], height) - band * self.tile[0]) * width

    def compute(self, table: CountsTable, index: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """Return a tile, (rows, columns, c), as it is stored."""
        source = []
        for i, step, size, flip in zip(
            index, self.tile, self.operator.shape, self.flips, strict=False
        ):
            first, last = i * step, min((i + 1) * step, size)
            source.append(slice(size - last, size - first) if flip else slice(first, last))
        cells = cube_block(table, self.operator, *source, sigma=self.sigma)
        return cells[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]

    def tile_to_write(
        self, table: CountsTable, index: tuple[int, int, int], sink: ChunkSink
    ) -> tuple[bytes | None, TileStatistics]:
        """Return a compressed tile, or None if it is written already, and its statistics."""
        if sink.has_chunk(CUBE, index):
            return None, _statistics(sink.read_chunk(CUBE, index))
        tile = self.compute(table, index)
        return sink.layout(CUBE).encode(tile), _statistics(tile)


@compiled()
def _add_cells(cells, total, highest):  # noqa: ANN001, ANN202
    valid = 0
    for cell in range(len(cells)):
        if not np.isnan(cells[cell, 0]):
            valid += 1
            _add_cell(cells[cell], total, highest)
    return valid


@compiled()
def _add_cell(cell, total, highest):  # noqa: ANN001, ANN202 - a function of its own is vectorised
    for j in range(len(cell)):
        total[j] += cell[j]
        highest[j] = max(highest[j], cell[j])


def _statistics(tile: npt.NDArray[np.float32]) -> TileStatistics:
    n_channels = tile.shape[-1]
    total = np.zeros(n_channels)
    highest = np.full(n_channels, -np.inf, dtype=np.float32)
    valid = _add_cells(tile.reshape(-1, n_channels), total, highest)
    return TileStatistics(valid, total, highest)
