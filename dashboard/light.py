"""What shows a scan's object in light: a photo or a mosaic that lie beside the scan.

A name that comes from a browser or a file is only ever looked up among the files of the scan's own
folder; a symbolic link that leads out of it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from maxrf_core import MaxrfError, ParameterError
from maxrf_core.location import is_url
from maxrf_core.mosaic_file import mosaic_path
from maxrf_core.photo import FEWEST_PAIRS, PhotoFit
from maxrf_core.photo_record import PhotoRecord, find_photo, kept_photo

from .data import SharedScan
from .point_pairs import off_told
from .text import sentence_of

__all__ = ["InLight", "fit_told", "folder_path", "look_beside", "picture_path", "pictures_beside"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_MOSAIC_SUFFIX = ".mosaic.png"

_MOST_LISTED = 500
_NO_PHOTO = (
    "No photo yet. Put one (PNG, JPEG or TIFF) into the folder of the scan, then press Photo and "
    "show where it lies."
)
_NO_MOSAIC = "No mosaic yet. `maxrf mosaic SCAN.HDF5` makes one from the camera frames of a scan."


@dataclass(frozen=True)
class InLight:
    """What there is of an object in light.

    Parameters
    ----------
    photo : Path or None
        A photo that can be laid on the map.
    fit : PhotoFit or None
        How it lies.
    mosaic : Path or None
        A mosaic of camera frames.
    told : dict of str to str
        A sentence on each, ``"photo"`` and ``"mosaic"``: what it is, or why there is none.
    """

    photo: Path | None = None
    fit: PhotoFit | None = field(default=None, compare=False)
    mosaic: Path | None = None
    told: dict[str, str] = field(default_factory=dict)

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be laid under the map."""
        there = {"photo": self.photo, "mosaic": self.mosaic}
        return tuple(name for name, path in there.items() if path is not None)


def folder_path(shared: SharedScan) -> Path | None:
    """Return the scan's file, beside which things may lie; None for a scan behind a URL."""
    name = shared.scan.filename
    return None if name is None or is_url(name) else Path(name)


def pictures_beside(path_of_scan: str | PathLike[str]) -> tuple[str, ...]:
    """Return the names of the pictures in a scan's folder that may be laid on its map.

    Raises
    ------
    ParameterError
        If the folder cannot be read.
    """
    folder = Path(path_of_scan).parent
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise ParameterError(
            f"The folder of the scan cannot be read ({error.strerror}). Check its permissions."
        ) from error
    found = [name for name in names if _is_photo(name) and _inside(folder, name) is not None]
    return tuple(found[:_MOST_LISTED])


def picture_path(path_of_scan: str | PathLike[str], name: str) -> Path:
    """Return the picture of a name in a scan's folder.

    Raises
    ------
    ParameterError
        If there is none of this name, or it leads out of the folder.
    """
    folder = Path(path_of_scan).parent
    path = _inside(folder, name) if _is_photo(name) and Path(name).name == name else None
    if path is None:
        raise ParameterError(
            f"There is no picture {name[:80]!r} in the folder of the scan. Put it there as PNG, "
            "JPEG or TIFF."
        )
    return path


def look_beside(shared: SharedScan) -> InLight:
    """Return what lies beside a scan: reads a small file, opens no picture."""
    scan = folder_path(shared)
    if scan is None:
        told = "This scan was opened by its URL: no picture can lie beside it."
        return InLight(told={"photo": told, "mosaic": told})
    photo, fit, told_photo = _photo(shared, scan)
    mosaic = mosaic_path(scan)
    inside = _inside(mosaic.parent, mosaic.name)
    told_mosaic = _NO_MOSAIC if inside is None else "Mosaic of the camera frames."
    return InLight(photo, fit, inside, {"photo": told_photo, "mosaic": told_mosaic})


def _photo(shared: SharedScan, scan: Path) -> tuple[Path | None, PhotoFit | None, str]:
    """Return the photo that is kept, how it lies, and a sentence."""
    try:
        record = kept_photo(scan)
        if record is None:
            return None, None, _NO_PHOTO
        path = find_photo(scan, record)
        if path is None or _inside(path.parent, path.name) is None:
            return None, None, f"{record.name} does not lie beside the scan any more. Put it back."
        if len(record.points) < FEWEST_PAIRS[record.kind]:
            return None, None, _few(record)
        fit = record.fit()
    except MaxrfError as error:
        return None, None, sentence_of(error)
    return path, fit, f"{record.name}: {fit_told(shared, fit)}"


def _few(record: PhotoRecord) -> str:
    needed = FEWEST_PAIRS[record.kind]
    return (
        f"{record.name} has {len(record.points)} of {needed} point pairs. Press Photo to pick "
        "the others."
    )


def fit_told(shared: SharedScan, fit: PhotoFit) -> str:
    """Return how sure a fit is, in words."""
    pairs = len(fit.residuals)
    if fit.freedom == 0:
        return f"{pairs} point pairs; with one more its error would be known."
    grid = shared.scan.grid
    cells = fit.standard_error / (grid.dx * grid.dy) ** 0.5
    return f"standard error {off_told(fit.standard_error, cells)} by {pairs} point pairs."


def _is_photo(name: str) -> bool:
    low = name.lower()
    return low.endswith(_SUFFIXES) and not low.endswith(_MOSAIC_SUFFIX) and name[0] != "."


def _inside(folder: Path, name: str) -> Path | None:
    """Return a file of a folder; None if there is none, or its link leads out of it."""
    path = folder / name
    try:
        is_here = path.is_file() and path.resolve().parent == folder.resolve()
    except (OSError, ValueError):  # a loop of links; a name with a null character
        return None
    return path if is_here else None
