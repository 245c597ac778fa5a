"""Maps as float32 TIFF: one page for each, with its window, unit and resolution.

Written by hand after the TIFF 6.0 specification (Adobe, 1992): classic, little-endian, not
compressed, which every program reads; float samples are its section 19.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

from .errors import ParameterError
from .export_cube import Report
from .export_maps import Layer, MapSet, check_length

__all__ = ["write_tiff"]

_LONG_MAX = 2**32 - 1
_ASCII, _SHORT, _LONG, _RATIONAL = 2, 3, 4, 5
_NO_UNIT, _CENTIMETRE = 1, 3
_SIZES = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8}

Tag = tuple[int, int, bytes]


def write_tiff(
    path: Path, maps: MapSet, report: Report, *, mm_per_step: float | None = None
) -> None:
    """Write the images, one page each.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    maps : MapSet
        The maps.
    report : Report
        Who wants to know.
    mm_per_step : float, optional
        Millimetres a motor step, for a resolution in cells per centimetre. Without it the
        resolution says only how long cells are against their height: the Crono file does not
        tell the length of a step.

    Raises
    ------
    ParameterError
        If the file would be longer than TIFF can be, or `mm_per_step` is not positive.
    OSError
        If it cannot be written whole.
    """
    height, width = maps.scan.grid.shape
    layers = maps.layers
    if (height * width * 4 + 4096) * len(layers) > _LONG_MAX:
        raise ParameterError(
            f"{len(layers)} maps of {height} x {width} cells are more than the 4 GB that a TIFF "
            "holds. Export fewer windows at once, or to .npy."
        )
    resolution = _resolution(maps, mm_per_step)
    with path.open("xb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 8))
        for number, (layer, image) in enumerate(
            zip(layers, maps.images(report), strict=True), start=1
        ):
            start = file.tell()
            tags = _tags(maps, layer, number, resolution)
            head = _directory(tags, start, image.nbytes, last=number == len(layers))
            file.write(head)
            file.write(image.data)


def _resolution(maps: MapSet, mm_per_step: float | None) -> list[Tag]:
    """Return the tags of the resolution: cells per centimetre, or per 1000 motor steps."""
    check_length(mm_per_step)
    length = 1000.0 if mm_per_step is None else 10.0 / mm_per_step
    unit = _NO_UNIT if mm_per_step is None else _CENTIMETRE
    return [
        (282, _RATIONAL, _rational(length / maps.scan.grid.dx)),
        (283, _RATIONAL, _rational(length / maps.scan.grid.dy)),
        (296, _SHORT, struct.pack("<H", unit)),
    ]


def _rational(value: float) -> bytes:
    """Return a fraction of two 32-bit numbers, right to a millionth of the value or better."""
    fraction = Fraction(value).limit_denominator(1000)
    if value < 1000:
        fraction = 1 / Fraction(1 / value).limit_denominator(1_000_000)
    if max(fraction.numerator, fraction.denominator) > _LONG_MAX:
        raise ParameterError(f"a resolution of {value:g} cells does not fit into a TIFF.")
    return struct.pack("<II", fraction.numerator, fraction.denominator)


def _tags(maps: MapSet, layer: Layer, number: int, resolution: list[Tag]) -> list[Tag]:
    """Return the tags of a page but for where its samples lie, in no order."""
    height, width = maps.scan.grid.shape
    pages = len(maps.layers)
    return [
        (254, _LONG, struct.pack("<I", 0 if pages == 1 else 2)),  # a page of several
        (256, _LONG, struct.pack("<I", width)),
        (257, _LONG, struct.pack("<I", height)),
        (258, _SHORT, struct.pack("<H", 32)),  # bits a sample
        (259, _SHORT, struct.pack("<H", 1)),  # not compressed
        (262, _SHORT, struct.pack("<H", 1)),  # 0 is black
        (270, _ASCII, _text(maps.describe(layer))),
        (277, _SHORT, struct.pack("<H", 1)),  # samples a pixel
        (278, _LONG, struct.pack("<I", height)),  # one strip
        (285, _ASCII, _text(layer.name)),
        (297, _SHORT, struct.pack("<HH", number - 1, pages)),
        (305, _ASCII, _text("maxrf-dashboard")),
        (339, _SHORT, struct.pack("<H", 3)),  # IEEE float
        *resolution,
    ]


def _text(text: str) -> bytes:
    return text.encode("ascii", "replace") + b"\0"


def _directory(tags: list[Tag], start: int, size: int, *, last: bool) -> bytes:
    """Return a page's directory and the values beside it; its samples follow at once."""
    placed = [*tags, (273, _LONG, b"\0" * 4), (279, _LONG, struct.pack("<I", size))]
    placed.sort()
    beside = start + 2 + 12 * len(placed) + 4
    length = sum(len(value) + len(value) % 2 for _, _, value in placed if len(value) > 4)
    samples = beside + length + (-(beside + length)) % 4
    entries, values = [], b""
    for tag, kind, raw in placed:
        value = struct.pack("<I", samples) if tag == 273 else raw
        head = struct.pack("<HHI", tag, kind, len(value) // _SIZES[kind])
        if len(value) > 4:
            entries.append(head + struct.pack("<I", beside + len(values)))
            values += value + b"\0" * (len(value) % 2)
        else:
            entries.append(head + value.ljust(4, b"\0"))
    following = 0 if last else samples + size
    directory = struct.pack("<H", len(placed)) + b"".join(entries) + struct.pack("<I", following)
    return directory + values + b"\0" * (samples - beside - length)
