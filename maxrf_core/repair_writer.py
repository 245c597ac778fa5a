"""The writer of a repaired zipstore: what was whole stays as it was, byte for byte."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .damaged import DamagedStore
from .faults import TOLERANCE
from .layout import ArrayLayout, chunk_key
from .writer import ZipstoreWriter

__all__ = ["RepairWriter"]


class RepairWriter(ZipstoreWriter):
    """Write a zipstore anew, and keep the chunks of a damaged one that are right.

    Parameters
    ----------
    path : Path
        Final name.
    attributes : dict
        Root attributes, ready for JSON.
    damaged : DamagedStore
        The store that is repaired.

    Attributes
    ----------
    renewed : Counter
        How many chunks of each array were not there, damaged, or others.
    declared : list of str
        All arrays.
    described : list of str
        Arrays whose description was not there, damaged, or another.
    """

    def __init__(self, path: Path, attributes: dict[str, Any], damaged: DamagedStore) -> None:
        super().__init__(path, attributes)
        self._damaged = damaged
        self.renewed: Counter[str] = Counter()
        self.declared: list[str] = []
        self.described: list[str] = []

    def _declare(self, name: str, entries: dict[str, bytes]) -> None:
        self.declared.append(name)
        found = {key: self._damaged.entry(key) for key in entries}
        if not all(_is_same_json(found[key], data) for key, data in entries.items()):
            self.described.append(name)
        super()._declare(name, entries)

    def append_chunk(self, name: str, index: tuple[int, ...], data: bytes) -> None:
        """Append a chunk: the damaged store's own, if that is whole and says the same.

        Raises
        ------
        OutputError
            If the disk is full or the write fails.
        """
        found = self._damaged.entry(chunk_key(name, index))
        if found != data:
            if found is not None and self._is_right(name, index, found, data):
                data = found
            else:
                self.renewed[name] += 1
        super().append_chunk(name, index, data)

    def _is_right(self, name: str, index: tuple[int, ...], found: bytes, data: bytes) -> bool:
        """Return whether two chunks hold the same; floats may have been summed otherwise."""
        layout, before = self.layout(name), self._damaged.layout(name)
        if before is not None and not _is_cut_alike(before, layout):
            return False
        try:
            values = layout.decode(found, index)
        except (ValueError, RuntimeError):
            return False
        return _is_close(values, layout.decode(data, index))


def _is_cut_alike(one: ArrayLayout, other: ArrayLayout) -> bool:
    return (one.shape, one.dtype, one.chunks, one.codec) == (
        other.shape,
        other.dtype,
        other.chunks,
        other.codec,
    )


def _is_close(found: npt.NDArray, right: npt.NDArray) -> bool:
    if right.dtype.kind != "f":
        return np.array_equal(found, right)
    finite = np.abs(right[np.isfinite(right)])
    return np.allclose(
        found, right, rtol=TOLERANCE, atol=TOLERANCE * finite.max(initial=0.0), equal_nan=True
    )


def _is_same_json(found: bytes | None, data: bytes) -> bool:
    try:
        return found is not None and json.loads(found) == json.loads(data)
    except ValueError:
        return False
