"""Reading maxrf4u's ``.datastack``: a zarr zip, format 3 or 2, with ``maxrf_cube`` at its root."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zarr

from .errors import CronoFileError
from .foreign import checked_whole, open_group, told
from .import_cube import ForeignCube
from .schema import CUBE, ENERGIES

__all__ = ["open_datastack"]

_VALUES_AT_ONCE = 2**24
_ADVICE = (
    "maxrf4u smooths its cubes unless told otherwise; convert the .rpl and .raw that it was made "
    "from, or a stack of counts as they were measured."
)


@contextmanager
def open_datastack(path: Path) -> Iterator[ForeignCube]:
    """Yield the cube of a ``.datastack``, which is open until the context is left.

    Parameters
    ----------
    path : Path
        The file. maxrf4u writes a new version of an array under its name with an underscore
        more; the newest is taken.

    Raises
    ------
    CronoFileError
        If it cannot be read, or holds no cube.
    """
    if not path.is_file():
        raise CronoFileError(f"{path} does not exist; check the folder and the spelling.")
    with told(path, CronoFileError, "cannot be read as a .datastack"):
        if not zipfile.is_zipfile(path):
            raise CronoFileError(f"{path} is no zip, or cut short. Copy it again.")
        root = open_group(path)
    with root.store:
        cube = _newest(path, root, CUBE)
        if cube is None:
            with told(path, CronoFileError, "cannot be read as a .datastack"):
                names = ", ".join(sorted(root)) or "no array"
            raise CronoFileError(
                f"{path} holds no {CUBE!r}, but {names}; expected a .datastack of maxrf4u."
            )
        if cube.ndim != 3 or 0 in cube.shape or cube.dtype.kind not in "uif":
            raise CronoFileError(
                f"{path}: {CUBE} has shape {cube.shape} and dtype {cube.dtype}; expected numbers "
                "by row, column and channel."
            )
        energies = _energies(path, root, cube.shape[-1])
        yield ForeignCube(path, cube.shape, energies, lambda: _read(path, cube), _ADVICE)


def _newest(path: Path, root: zarr.Group, name: str) -> zarr.Array | None:
    """Return the version of an array with most underscores behind its name."""
    with told(path, CronoFileError, "cannot be read as a .datastack"):
        arrays = dict(root.arrays())
        versions = [found for found in arrays if found.rstrip("_") == name]
        return checked_whole(arrays[max(versions, key=len)]) if versions else None


def _energies(path: Path, root: zarr.Group, size: int) -> npt.NDArray[np.float32] | None:
    """Return the energy of each channel in keV; None if there are none."""
    array = _newest(path, root, ENERGIES)
    if array is None:
        return None
    if array.shape != (size,) or array.dtype.kind not in "uif":
        raise CronoFileError(
            f"{path}: {ENERGIES} has shape {array.shape} and dtype {array.dtype}; the cube has "
            f"{size} channels. Write the file anew."
        )
    with told(path, CronoFileError, "cannot be read as a .datastack"), np.errstate(over="ignore"):
        return array[...].astype(np.float32)


def _read(path: Path, cube: zarr.Array) -> Iterator[tuple[int, npt.NDArray]]:
    """Yield the values of the cells of each row of each chunk; a chunk is read once.

    Of chunks that hold more than 16 million values some rows or cells are read at a time.
    """
    height, width, bins = cube.shape
    tall, broad, _ = cube.shards or cube.chunks
    broad = min(broad, max(1, _VALUES_AT_ONCE // bins))
    tall = min(tall, max(1, _VALUES_AT_ONCE // (bins * broad)))
    for top in range(0, height, tall):
        for left in range(0, width, broad):
            place = (slice(top, top + tall), slice(left, left + broad))
            with told(path, CronoFileError, "cannot be read as a .datastack"):
                values = cube[place]
            for number, row in enumerate(values, start=top):
                yield number * width + left, row
