"""A cube of another program: cells on a regular grid, with whole counts to convert."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import CronoFileError

__all__ = ["ForeignCube"]

_MAX_COUNT = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class ForeignCube:
    """What an import reads.

    Parameters
    ----------
    path : Path
        The file of the counts, as messages name it.
    shape : (h, w, c)
        Rows, row 0 at the top of the picture; columns; channels.
    energies : (c,) float32 or None
        Energy of each channel in keV; None if the file does not tell.
    read : callable
        Gives pairs: number of a cell, counted row by row, and the values of it and the cells
        after it in its row or the next ones, (k, c).
    advice : str
        What to do when they are no counts.
    """

    path: Path
    shape: tuple[int, int, int]
    energies: npt.NDArray[np.float32] | None
    read: Callable[[], Iterator[tuple[int, npt.NDArray]]]
    advice: str

    def blocks(self) -> Iterator[tuple[int, npt.NDArray[np.uint16]]]:
        """Yield counts, (k, c), and the number of the first cell.

        Raises
        ------
        CronoFileError
            If a value is no whole number from 0 to 65535.
        """
        for start, values in self.read():
            self._check(start, values)
            yield start, values.astype(np.uint16)

    def _check(self, start: int, values: npt.NDArray) -> None:
        """Refuse values that are no counts, with the place of the first."""
        if np.can_cast(values.dtype, np.uint16):
            return
        # a comparison with NaN is false: it is no count either
        whole = (values >= 0) & (values <= _MAX_COUNT)
        if values.dtype.kind == "f":
            whole &= values == np.floor(values)
        if whole.all():
            return
        cell, channel = np.argwhere(~whole)[0].tolist()
        row, column = divmod(start + cell, self.shape[1])
        raise CronoFileError(
            f"{self.path} has {values[cell, channel]} in row {row}, column {column}, channel "
            f"{channel}; expected whole counts from 0 to 65535. Averaged or smoothed cubes cannot "
            f"be converted: {self.advice}"
        )
