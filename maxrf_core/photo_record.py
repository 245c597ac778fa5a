"""What is remembered of a photo beside a scan: its name, its size and the point pairs.

It is the key `photo` of ``NAME.maxrf.json`` (see `sidecar`). A photo that does not lie beside the
scan is copied there only when asked for; a name read from the file is never a path.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from .errors import ParameterError
from .export_file import whole_files
from .location import changed_meanwhile, file_stamp
from .photo import FEWEST_PAIRS, MAX_PAIRS, PhotoFit, PhotoKind, fit_photo
from .photo_file import photo_size
from .sidecar import read_sidecar, write_sidecar
from .unfinished import output_error, remove_stale

__all__ = ["PhotoRecord", "find_photo", "forget_photo", "keep_photo", "kept_photo"]


@dataclass(frozen=True)
class PhotoRecord:
    """What is kept of a photo beside a scan.

    Parameters
    ----------
    name : str
        The photo's file, without folder.
    size : tuple of int
        Width and height upright, in pixels.
    kind : {"affine", "homography"}
        What is fitted to the pairs.
    points : tuple of tuple of float
        x and y in the photo, x and y in motor steps, for each pair; may still be too few.
    """

    name: str
    size: tuple[int, int]
    kind: PhotoKind
    points: tuple[tuple[float, float, float, float], ...]

    def fit(self) -> PhotoFit:
        """Return the fit to the pairs; raises as `fit_photo`."""
        pairs = np.array(self.points, dtype=np.float64).reshape(-1, 4)
        return fit_photo(pairs[:, :2], pairs[:, 2:], kind=self.kind)


def keep_photo(
    path_of_scan: str | PathLike[str],
    photo: str | PathLike[str],
    points: Sequence[Sequence[float]],
    *,
    kind: PhotoKind = "affine",
    copy: bool = False,
) -> PhotoRecord:
    """Remember a photo's name and point pairs beside a scan.

    Parameters
    ----------
    path_of_scan : str or PathLike
        The zipstore.
    photo : str or PathLike
        The photo's file.
    points : sequence of four numbers each
        x and y in the photo, x and y in motor steps. Fewer than a fit needs may be kept.
    kind : {"affine", "homography"}, optional
        What is fitted to them.
    copy : bool, optional
        Copy the photo into the scan's folder, unless it lies there.

    Raises
    ------
    ParameterError
        If the photo cannot be read, or the points are no finite numbers.
    OutputError
        If it cannot be written, or another file of the photo's name lies there.
    """
    source = Path(photo)
    stamp = file_stamp(source)
    record = _record(
        {
            "name": source.name,
            "size": list(photo_size(source)),
            "kind": kind,
            "points": [[float(value) for value in point] for point in points],
        }
    )
    if record is None:
        raise ParameterError(
            f"The photo {source.name!r} with {len(points)} point pairs cannot be kept: expected "
            f"four finite numbers a pair, at most {MAX_PAIRS} pairs, kind 'affine' or 'homography'."
        )
    target = Path(path_of_scan).parent / source.name
    if copy:
        _copy_beside(source, target, stamp)
    write_sidecar(
        path_of_scan,
        photo={
            "name": record.name,
            "size": list(record.size),
            "kind": record.kind,
            "points": [list(point) for point in record.points],
        },
    )
    return record


def _copy_beside(source: Path, target: Path, stamp: tuple[str, int, int]) -> None:
    """Copy a photo, unless it or its equal, which an interrupted try left, lies there."""
    try:
        if target.exists() and (target.samefile(source) or filecmp.cmp(source, target, False)):
            remove_stale(target)
            return
        with whole_files([target], overwrite=False) as (hidden,):
            shutil.copyfile(source, hidden)
            if file_stamp(source) != stamp:
                raise ParameterError(changed_meanwhile(source))
    except OSError as error:
        raise output_error(target, error) from error


def kept_photo(path_of_scan: str | PathLike[str]) -> PhotoRecord | None:
    """Return what is kept of a photo beside a scan; None if nothing.

    Raises
    ------
    ParameterError
        If the file beside the scan cannot be read, or does not hold what is expected.
    """
    value = read_sidecar(path_of_scan).get("photo")
    if value is None:
        return None
    record = _record(value)
    if record is None:
        raise ParameterError(
            f"What is kept of a photo beside {path_of_scan} is not as expected: a name without "
            "folder, its size, kind, and four finite numbers for each point pair. Choose the "
            "photo anew."
        )
    return record


def forget_photo(path_of_scan: str | PathLike[str]) -> None:
    """Remove what is kept of a photo beside a scan; the photo itself stays."""
    write_sidecar(path_of_scan, photo=None)


def find_photo(path_of_scan: str | PathLike[str], record: PhotoRecord) -> Path | None:
    """Return the photo if it lies beside the scan; None if not."""
    path = Path(path_of_scan).parent / record.name
    return path if path.is_file() else None


def _record(value: Any) -> PhotoRecord | None:
    """Return the record that a JSON value holds, or None if it holds none."""
    if not isinstance(value, Mapping):
        return None
    name, size, points = value.get("name"), value.get("size"), value.get("points")
    if not (isinstance(name, str) and 0 < len(name) <= 255 and _is_plain_name(name)):
        return None
    if not (_is_numbers(size, 2) and all(isinstance(v, int) and v > 0 for v in size)):
        return None
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in FEWEST_PAIRS or not isinstance(points, list):
        return None
    if len(points) > MAX_PAIRS or not all(_is_numbers(point, 4) for point in points):
        return None
    pairs = tuple(tuple(float(v) for v in point) for point in points)
    return PhotoRecord(name, (size[0], size[1]), kind, pairs)


def _is_plain_name(name: str) -> bool:
    """Tell whether a name is a file's, on any system, and leads to no other folder."""
    return (
        name.isprintable()
        and name not in (".", "..")
        and PureWindowsPath(name).name == name  # which knows / and \\ and drives
    )


def _is_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(abs(v) <= 1e9 for v in value)  # False for NaN
    )
