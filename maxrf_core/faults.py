"""Faults that a check finds, each a sentence: all are counted, and the first few kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .errors import ZipstoreError
from .store import StoreReader

__all__ = ["KEPT", "TOLERANCE", "Faults", "difference", "try_read"]

KEPT = 20
"""Sentences kept; a store that is wrong throughout would have thousands."""


TOLERANCE = 1e-5
"""Of float32 that another machine or version summed in another order, relative."""

Place = Callable[[tuple[int, ...]], str]


@dataclass
class Faults:
    """Sentences, one a fault.

    Attributes
    ----------
    first : list of str
        The first `KEPT`, each once.
    count : int
        How many there were.
    """

    first: list[str] = field(default_factory=list)
    count: int = 0

    def extend(self, sentences: Iterable[str]) -> None:
        """Count sentences as they are found, and keep the first."""
        for sentence in sentences:
            if sentence in self.first:  # one chunk may be read by several checks
                continue
            self.count += 1
            if len(self.first) < KEPT:
                self.first.append(sentence)


def difference(
    name: str,
    found: npt.NDArray,
    expected: npt.NDArray,
    place: Place,
    *,
    where: str,
    scale: float | npt.NDArray = 0.0,
) -> Iterator[str]:
    """Yield one sentence if two arrays differ.

    Parameters
    ----------
    name : str
        The array.
    found, expected : array
        Of one shape; NaN is equal to NaN. Floats may differ by `TOLERANCE`.
    place : callable
        Puts an index into words.
    where : str
        What says otherwise.
    scale : float or array
        What the rounding of floats is relative to, beside the values themselves.
    """
    if found.dtype.kind == "f":
        bound = TOLERANCE * np.maximum(np.abs(expected), scale)
        close = np.abs(found.astype(np.float64) - expected) <= bound
        differs = ~(close | (np.isnan(found) & np.isnan(expected)))
    else:
        differs = found != expected
    count = int(np.count_nonzero(differs))
    if count:
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), differs.shape))
        others = f" ({count:,} values there differ)" if count > 1 else ""
        yield f"{name}: {place(index)} is {found[index]}; {where} {expected[index]}{others}."


def try_read(
    reader: StoreReader, name: str, index: tuple[int, ...] | None = None
) -> tuple[npt.NDArray | None, list[str]]:
    """Return a chunk, or a whole array, or None and the sentence that says why not."""
    try:
        if index is None:
            return reader.read_array(name), []
        return reader.read_chunk(name, index), []
    except ZipstoreError as error:
        return None, [str(error)]
