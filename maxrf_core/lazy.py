"""The two float arrays as dask arrays: computed from the counts, block by block, when read."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from .combine import cube_block
from .interpolation import Operator
from .kernels import Sigma
from .smoothing import smooth_spectra
from .table import CountsTable

__all__ = ["lazy_cube", "lazy_spectra"]

_SPECTRA_PER_BLOCK = 1024  # 16 MiB of 4096 channels


def lazy_cube(
    table: CountsTable, operator: Operator, sigma: Sigma, channels: slice = slice(None)
) -> da.Array:
    """Return the regular cube W S G, or some of its channels.

    Parameters
    ----------
    table : CountsTable
        The counts S.
    operator : Operator
        The interpolation W.
    sigma : float or (c,) float64
        Gaussian smoothing G in channels.
    channels : slice
        Channels next to each other.

    Returns
    -------
    cube : (h, w, channels) float32 dask array
        In blocks of some rows; NaN in cells without a datum.
    """
    height, width = operator.shape
    first, last, _ = channels.indices(table.n_channels)
    depth = max(last - first, 0)
    step = max(1, _SPECTRA_PER_BLOCK * table.n_channels // (width * max(depth, 1)))
    everything = slice(0, width)
    blocks = []
    for start in range(0, height, step):
        rows = slice(start, min(start + step, height))
        block = dask.delayed(cube_block)(
            table, operator, rows, everything, sigma=sigma, channels=slice(first, first + depth)
        )
        shape = (rows.stop - start, width, depth)
        blocks.append(da.from_delayed(block, shape, dtype=np.float32))
    return da.concatenate(blocks)


def lazy_spectra(table: CountsTable, sigma: Sigma) -> da.Array:
    """Return every spectrum smoothed, S G.

    Parameters
    ----------
    table : CountsTable
        The counts S.
    sigma : float or (c,) float64
        Gaussian smoothing G in channels.

    Returns
    -------
    spectra : (n, c) float32 dask array
    """
    blocks = []
    for start in range(0, table.n_spectra, _SPECTRA_PER_BLOCK):
        index = np.arange(start, min(start + _SPECTRA_PER_BLOCK, table.n_spectra))
        block = dask.delayed(_smoothed)(table, index, sigma)
        shape = (len(index), table.n_channels)
        blocks.append(da.from_delayed(block, shape, dtype=np.float32))
    return da.concatenate(blocks)


def _smoothed(table: CountsTable, index: npt.NDArray, sigma: Sigma) -> npt.NDArray[np.float32]:
    return smooth_spectra(table.spectra(index), sigma).astype(np.float32, copy=False)
