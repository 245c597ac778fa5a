"""Blocks of the regular cube: W applied to smoothed spectra."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .interpolation import Operator
from .smoothing import smooth_spectra
from .table import CountsTable

__all__ = ["cube_block"]


@compiled()
def _combine(indptr, columns, weights, spectra, out):  # noqa: ANN001, ANN202
    for cell in range(out.shape[0]):
        if indptr[cell] == indptr[cell + 1]:
            out[cell] = np.nan
            continue
        out[cell] = 0.0
        for k in range(indptr[cell], indptr[cell + 1]):
            weight = weights[k]
            spectrum = spectra[columns[k]]
            for j in range(out.shape[1]):
                out[cell, j] += weight * spectrum[j]


def cube_block(
    table: CountsTable, operator: Operator, rows: slice, columns: slice, *, sigma: float
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
    sigma : float
        Gaussian smoothing in channels; 0 for none.

    Returns
    -------
    cube : (rows, columns, c) float32
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
    smoothed = smooth_spectra(table.spectra(needed), sigma).astype(np.float32, copy=False)
    out = np.empty((len(cells.ravel()), table.n_channels), dtype=np.float32)
    _combine(weights.indptr, local.ravel(), weights.data, smoothed, out)
    return out.reshape(height, breadth, table.n_channels)
