"""A mosaic kept beside its scan: ``NAME.mosaic.png``, a picture that any program shows.

It stands as the plots show the object: the largest motor y on top. What was not seen is
transparent. The text chunk `maxrf-mosaic` holds JSON: `version`, `left`, `bottom` and `step` (motor
steps), `rows`, `columns`, and `about`, how it was made. Nothing is written into the scan itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from .errors import ParameterError
from .export_file import whole_files
from .mosaic import MAX_MOSAIC_PIXELS, Mosaic
from .schema import CRONO_SUFFIXES, ZIPSTORE_SUFFIX

__all__ = ["MOSAIC_VERSION", "mosaic_path", "read_mosaic", "write_mosaic"]

MOSAIC_VERSION = 1
CHUNK = "maxrf-mosaic"
MAX_CHUNK = 100_000
"""Characters of the JSON."""

_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    MemoryError, struct.error, RecursionError, Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow and json have been seen to raise on broken files."""


def mosaic_path(path_of_scan: str | PathLike[str]) -> Path:
    """Return where a scan's mosaic lies: ``scan.mosaic.png`` for ``scan.zipstore`` or its HDF5."""
    scan = Path(path_of_scan)
    ending = scan.suffix.lower()
    name = scan.stem if ending in (ZIPSTORE_SUFFIX, *CRONO_SUFFIXES) else scan.name
    return scan.with_name(f"{name}.mosaic.png")


def write_mosaic(mosaic: Mosaic, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a mosaic as PNG; the file appears when it is whole.

    Raises
    ------
    OutputError
        If it cannot be written, or is there already and not to be replaced.
    """
    path = Path(path)
    rows, columns = mosaic.covered.shape
    pixels = np.empty((rows, columns, 4), dtype=np.uint8)
    pixels[..., :3] = mosaic.picture[::-1]
    pixels[..., 3] = np.where(mosaic.covered[::-1], 255, 0)
    document = {
        "version": MOSAIC_VERSION,
        "left": mosaic.left,
        "bottom": mosaic.bottom,
        "step": mosaic.step,
        "rows": rows,
        "columns": columns,
        "about": dict(mosaic.about),
    }
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", f"Camera mosaic of {mosaic.about.get('source', 'a scan')}")
    texts.add_itxt(CHUNK, json.dumps(document, allow_nan=False))
    with whole_files([path], overwrite=overwrite) as (hidden,):
        Image.fromarray(pixels).save(hidden, "PNG", pnginfo=texts, compress_level=3)
    return path


def read_mosaic(path: str | PathLike[str]) -> Mosaic:
    """Read a mosaic that `write_mosaic` wrote.

    Raises
    ------
    ParameterError
        If there is none, it cannot be read, is too large, or does not say where it lies.
    """
    path = Path(path)
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.size[0] * image.size[1] > MAX_MOSAIC_PIXELS or image.mode != "RGBA":
                raise _refused(path, f"it has {image.size} pixels of mode {image.mode}")
            image.load()
            text = image.info.get(CHUNK)
            if not isinstance(text, str) or len(text) > MAX_CHUNK:
                raise _refused(path, "it does not say where it lies")
            place = _placed(json.loads(text), image.size)
            pixels = np.asarray(image)[::-1]
    except ParameterError:
        raise
    except FileNotFoundError as error:
        raise ParameterError(
            f"There is no mosaic {path}. Make one with `maxrf mosaic` from the Crono file."
        ) from error
    except _BROKEN as error:
        raise _refused(path, str(error)) from error
    if place is None:
        raise _refused(path, "its coordinates are not as expected")
    left, bottom, step, about = place
    return Mosaic(
        picture=np.ascontiguousarray(pixels[..., :3]),
        covered=pixels[..., 3] > 0,
        left=left,
        bottom=bottom,
        step=step,
        about=about,
    )


def _placed(
    document: Any, size: tuple[int, int]
) -> tuple[float, float, float, Mapping[str, Any]] | None:
    """Return left, bottom, step and the rest of the JSON; None if it is not as expected."""
    if not isinstance(document, dict) or document.get("version") != MOSAIC_VERSION:
        return None
    numbers = [document.get(key) for key in ("left", "bottom", "step")]
    about = document.get("about")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
        return None
    if not all(abs(v) <= 1e12 for v in numbers) or not numbers[2] > 0:
        return None
    if (document.get("columns"), document.get("rows")) != size or not isinstance(about, dict):
        return None
    left, bottom, step = map(float, numbers)
    return left, bottom, step, about


def _refused(path: Path, why: str) -> ParameterError:
    return ParameterError(
        f"{path} is no mosaic of this program ({why}). Make it anew with `maxrf mosaic`."
    )
