"""Chunks of an exported HDF5 cube: compressed side by side, and by a faster gzip than HDF5's.

HDF5 itself compresses one chunk after another with zlib, while whoever else uses HDF5 waits.
"""

from __future__ import annotations

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from .parallel import in_parallel

__all__ = ["create_cube", "write_rows"]

_CHUNK_BYTES = 2**20
_LEVEL = 1


def create_cube(group: h5py.Group, shape: tuple[int, int, int]) -> h5py.Dataset:
    """Create ``data``, (h, w, k) float32, in a group.

    Parameters
    ----------
    group : h5py.Group
        Where.
    shape : (h, w, k)
        Rows, columns, channels. A chunk holds all channels of some cells of one row, some
        1 MiB, shuffled and compressed with gzip, which every HDF5 library reads.
    """
    _, width, bins = shape
    return group.create_dataset(
        "data",
        shape,
        np.dtype("<f4"),
        chunks=(1, max(1, min(width, _CHUNK_BYTES // (4 * bins))), bins),
        compression="gzip",
        compression_opts=_LEVEL,
        shuffle=True,
        fillvalue=np.float32(np.nan),
    )


def write_rows(dataset: h5py.Dataset, first: int, counts: npt.NDArray[np.float32]) -> None:
    """Write whole rows of a dataset that `create_cube` made.

    Parameters
    ----------
    dataset : h5py.Dataset
        The cube.
    first : int
        Number of the first row.
    counts : (rows, w, k) float32
        Their counts.
    """
    breadth = dataset.chunks[1]
    height, width, _ = counts.shape
    places = [(row, column) for row in range(height) for column in range(0, width, breadth)]

    def pack(place: tuple[int, int]) -> bytes:
        row, column = place
        return _packed(counts[row, column : column + breadth], breadth)

    for (row, column), data in zip(places, in_parallel(pack, places), strict=True):
        dataset.id.write_direct_chunk((first + row, column, 0), data)


def _packed(counts: npt.NDArray[np.float32], breadth: int) -> bytes:
    """Return a chunk as HDF5 stores it: bytes of the same weight together, then a zlib stream."""
    whole = np.zeros((breadth, counts.shape[1]), dtype="<f4")  # a chunk at the end is whole, too
    whole[: len(counts)] = counts
    shuffled = np.ascontiguousarray(whole.view(np.uint8).reshape(-1, 4).T)
    return isal_zlib.compress(shuffled, _LEVEL)
