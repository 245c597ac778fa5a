"""The cube as LISPIX ``.rpl`` (text) and ``.raw`` (counts), which most programs of the field take.

A header says little: eV a channel, but no zero. Comment lines, which begin with a semicolon,
hold the rest. Each has one tab, so that maxrf4u takes it; no key begins as one of LISPIX's does,
because PyMca takes prefixes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .export_cube import CubePart, Report, energy_polynomial

__all__ = ["ENERGY_COMMENT", "rpl_header", "write_rpl"]

ENERGY_COMMENT = ";energy-polynomial-kev"
"""Comment with a, b, c of energy = a + b channel + c channel**2 in keV."""


def rpl_header(part: CubePart) -> str:
    """Return the text of the ``.rpl``.

    Counts are whole, and uint16, where each cell has those of one spectrum. Averages are
    float32: rounded, most channels of a sparse spectrum would become 0.

    Parameters
    ----------
    part : CubePart
        The cube.
    """
    height, width, bins = part.shape
    dtype = _dtype(part)
    polynomial = energy_polynomial(part.energies)
    rows = {
        "key": "value",
        "width": width,
        "height": height,
        "depth": bins,
        "offset": 0,
        "data-Length": dtype.itemsize,  # maxrf4u wants this spelling
        "data-type": "float" if dtype.kind == "f" else "unsigned",
        "byte-order": "little-endian",
        "record-by": "vector",
        "ev-per-chan": f"{1000 * _kev_per_channel(part):.6g}",
        ENERGY_COMMENT: ",".join(f"{value:.9g}" for value in polynomial),
        ";columns-x0-dx-motor-steps": f"{part.scan.grid.x0:.9g},{part.scan.grid.dx:.9g}",
        ";rows-y0-dy-motor-steps": f"{part.y[0]:.9g},{_row_pitch(part):.9g}",
        ";method-sigma": f"{part.method},{part.sigma if np.ndim(part.sigma) == 0 else 'own'}",
    }
    return "".join(f"{key}\t{value}\n" for key, value in rows.items())


def write_rpl(header: Path, raw: Path, part: CubePart, report: Report) -> None:
    """Write the regular cube, C order (height, width, depth), little-endian.

    Parameters
    ----------
    header, raw : Path
        Files that do not exist: the ``.rpl`` and the ``.raw``.
    part : CubePart
        The cube. Whole counts have 0 in cells without a datum, averages NaN.
    report : Report
        Who wants to know.

    Raises
    ------
    OSError
        If they cannot be written whole.
    """
    dtype = _dtype(part)
    with raw.open("xb") as file:
        for _, counts in part.blocks(report):
            stored = np.nan_to_num(counts) if dtype.kind == "u" else counts
            file.write(np.ascontiguousarray(stored, dtype=dtype).data)
    header.write_text(rpl_header(part), encoding="ascii", newline="\n")


def _dtype(part: CubePart) -> np.dtype:
    if not part.whole:
        return np.dtype("<f4")
    return np.dtype("<u2" if part.shape[-1] == part.channels.stop - part.channels.start else "<u4")


def _kev_per_channel(part: CubePart) -> float:
    energies = part.energies.astype(np.float64)
    return float(energies[-1] - energies[0]) / max(1, len(energies) - 1)


def _row_pitch(part: CubePart) -> float:
    return -part.scan.grid.dy if part.image else part.scan.grid.dy
