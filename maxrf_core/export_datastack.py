"""The cube as maxrf4u's ``.datastack``: a zarr format 3 zip of five arrays, without groups.

maxrf4u adds arrays to the file later; in a format 2 zip they would hide the older ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import ZipStore

from .export_cube import CubePart, Report

__all__ = ["write_datastack"]

_CHUNK_CELLS = 256
"""Cells of a chunk at most: 4 MiB of 4096 channels."""
_BAND_BYTES = 2**26
"""Of a row of chunks, which is held in memory, unless one row of the cube is more."""


def write_datastack(path: Path, part: CubePart, report: Report) -> None:
    """Write the cube, its mean and its maximum spectrum, and the energies.

    One thread writes each chunk once: several tasks that write into one zip have spoilt it
    without a word (xarray issue 10840).

    Parameters
    ----------
    path : Path
        A file that does not exist.
    part : CubePart
        The cube. maxrf4u's own cubes are smoothed with sigma 7.
    report : Report
        Who wants to know.

    Raises
    ------
    OSError
        If it cannot be written whole.
    """
    _, width, bins = part.shape
    tile = _tile(part.shape)
    total, cells = np.zeros(bins), 0
    highest = np.full(bins, -np.inf, dtype=np.float32)
    path.open("xb").close()  # says what is wrong with the place; ZipStore hides it
    with ZipStore(path, mode="w") as store:
        root = zarr.create_group(store, zarr_format=3, attributes={"source": part.scan.name})
        cube = root.create_array(
            "maxrf_cube",
            shape=part.shape,
            chunks=(*tile, bins),
            dtype=np.float32,
            fill_value=float("nan"),
            attributes={"description": part.description()},
        )
        for rows, band in _bands(part, report, tile[0]):
            for start in range(0, width, tile[1]):
                columns = slice(start, min(start + tile[1], width))
                cube[rows, columns] = band[:, columns]
            valid = band[~np.isnan(band[..., 0])]
            total += valid.sum(axis=0, dtype=np.float64)
            highest = np.maximum(highest, valid.max(axis=0, initial=-np.inf))
            cells += len(valid)
        mean = total / cells if cells else np.full(bins, np.nan)
        highest = highest if cells else np.full(bins, np.nan)
        for name, values, meaning in (
            ("maxrf_maxspectrum", highest, "Highest value of any cell with a datum, counts."),
            ("maxrf_sumspectrum", mean, "Mean, not sum, over the cells with a datum, counts."),
            ("maxrf_energies", part.energies, "Energy of each channel in keV."),
        ):
            root.create_array(
                name, data=values.astype(np.float32), attributes={"description": meaning}
            )


def _tile(shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return rows and columns of a chunk, so that a row of chunks fits into memory."""
    height, width, bins = shape
    rows = int(np.clip(_BAND_BYTES // (width * bins * 4), 1, min(16, height)))
    return rows, max(1, min(_CHUNK_CELLS // rows, width))


def _bands(
    part: CubePart, report: Report, step: int
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield `step` rows at a time, fewer at the end, from the cube's own blocks."""
    waiting: list[npt.NDArray[np.float32]] = []
    start = held = 0
    for rows, counts in part.blocks(report):
        waiting.append(counts)
        held += len(counts)
        if held < step and rows.stop < part.shape[0]:
            continue
        band = np.concatenate(waiting)
        whole = held if rows.stop == part.shape[0] else held - held % step
        for first in range(0, whole, step):
            taken = band[first : min(first + step, whole)]
            yield slice(start, start + len(taken)), taken
            start += len(taken)
        waiting, held = [band[whole:]], held - whole
