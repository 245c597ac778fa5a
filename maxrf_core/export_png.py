"""Maps as a figure: PNG with title, energy window, colour bar and scale bar.

Drawn with Pillow, which Bokeh brings anyway; matplotlib would be a dependency of its own. No cell
is smaller than a pixel, none is blurred, and all have their shape on the object as near as whole
pixels allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log, log10, sqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from .errors import ParameterError
from .export_colours import COLOUR_MAPS, colour_table
from .export_cube import Report
from .export_maps import Layer, MapSet, check_length
from .lettering import INK, Pen

__all__ = ["COLOUR_MAPS", "DEFAULT_CLIP", "write_png"]

DEFAULT_CLIP = (0.0, 99.5)
"""Percentiles of the end colours, as on the page: single hot cells do not darken the rest."""

_PALE_INK = (85, 85, 85)
_NO_DATUM = (203, 219, 232)
"""A colour of none of the maps."""

_LONG_SIDE, _SHORTEST_SIDE = 1000, 360
"""Pixels of the longer side of a map, alone and among many; more where it has more cells."""
_MOST_PIXELS = 89_000_000
"""With more, Pillow and others take the file for an attack on their memory."""
_PIXELS_AN_INCH = 300
_SHEET_RATIO = 1.4
_MOST_TICKS = 6


def write_png(
    path: Path,
    maps: MapSet,
    report: Report,
    *,
    mm_per_step: float | None = None,
    colour_map: str = COLOUR_MAPS[0],
    clip: tuple[float, float] = DEFAULT_CLIP,
) -> None:
    """Draw the maps, several side by side, y upwards as on the page.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    maps : MapSet
        The maps, in the order of a picture.
    report : Report
        Who wants to know.
    mm_per_step : float, optional
        Millimetres a motor step, for the scale bar; without it the bar is in motor steps.
    colour_map : str
        One of `COLOUR_MAPS`.
    clip : (float, float)
        Percentiles of the cells with a datum that take the end colours. The colour bar is
        pointed where cells lie beyond.

    Raises
    ------
    ParameterError
        If an option has no meaning, or the picture would be too large.
    OSError
        If it cannot be written whole.
    """
    check_length(mm_per_step)
    colours = colour_table(colour_map)
    percents = _check_clip(clip)
    sheet = _Sheet.of(maps)
    picture = Image.new("RGB", sheet.size, "white")
    pen = Pen(ImageDraw.Draw(picture))
    holed = False
    for number, (layer, values) in enumerate(zip(maps.layers, maps.images(report), strict=True)):
        corner = sheet.corner(number)
        ends = _ends(values, percents)
        _draw_titles(pen, sheet, corner, layer)
        picture.paste(_coloured(values, colours, ends, sheet), corner)
        _outline(pen, corner, sheet.map_size)
        _draw_bar(picture, pen, sheet, corner, colours, ends, values)
        _draw_scale(pen, sheet, corner, maps, mm_per_step)
        holed |= bool(np.isnan(values).any())
    _draw_foot(pen, sheet, maps, holed=holed)
    with path.open("xb") as file:
        picture.save(file, "PNG", pnginfo=_texts(maps), dpi=(_PIXELS_AN_INCH,) * 2)


def _check_clip(clip: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(value) for value in clip)
    except (TypeError, ValueError):
        low = high = -1.0
    if not 0 <= low < high <= 100:
        raise ParameterError(
            f"clip is {clip!r}; expected two percentiles, the lower first, such as (0, 99.5)."
        )
    return low, high


# --- where things are ---------------------------------------------------------------------------
@dataclass(frozen=True)
class _Sheet:
    """Sizes in pixels, and places of the panels: map, titles, colour bar and scale bar each.

    Parameters
    ----------
    columns, rows : int
        Of panels.
    map_size : (int, int)
        Width and height of a map.
    font : int
        Height of the text; all distances are multiples of it.
    """

    columns: int
    rows: int
    map_size: tuple[int, int]
    font: int

    @classmethod
    def of(cls, maps: MapSet) -> _Sheet:
        """Return the sheet on which all maps find a place."""
        number = len(maps.layers)
        grid = maps.scan.grid
        ratio = grid.dx / grid.dy
        wide, high = max(1.0, ratio), max(1.0, 1 / ratio)  # pixels of a cell, at least
        target = max(_SHORTEST_SIDE, _LONG_SIDE / sqrt(number))
        times = max(1, round(target / max(grid.width * wide, grid.height * high)))
        size = (round(grid.width * wide * times), round(grid.height * high * times))
        font = int(np.clip(round(max(size) / 30), 16, 56))
        choices = [cls(n, ceil(number / n), size, font) for n in range(1, number + 1)]
        found = min(choices, key=lambda sheet: abs(log(sheet.ratio / _SHEET_RATIO)))
        if found.size[0] * found.size[1] > _MOST_PIXELS:
            raise ParameterError(
                f"{number} maps of {grid.height} x {grid.width} cells are a picture of "
                f"{found.size[0]} x {found.size[1]} pixels, more than {_MOST_PIXELS // 10**6} "
                "million. Export fewer windows at once, or to .tif."
            )
        return found

    @property
    def map_room(self) -> int:
        """Width kept for a map; a very narrow one leaves room for its title."""
        return max(self.map_size[0], 11 * self.font)

    @property
    def panel(self) -> tuple[int, int]:
        """Width and height of a panel with the distance to the next."""
        height = max(self.map_size[1], self.bar_height - 2 * self.font)
        return self.map_room + 8 * self.font, height + 7 * self.font

    @property
    def bar_height(self) -> int:
        """Height of a colour bar: a map's, and enough for its numbers."""
        return max(self.map_size[1], 6 * self.font)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        width, height = self.panel
        return self.columns * width + self.font, self.rows * height + 2 * self.font

    @property
    def ratio(self) -> float:
        """Width over height."""
        return self.size[0] / self.size[1]

    def corner(self, number: int) -> tuple[int, int]:
        """Return the upper left corner of a map."""
        row, column = divmod(number, self.columns)
        width, height = self.panel
        return column * width + round(1.5 * self.font), row * height + 4 * self.font


# --- what is drawn ------------------------------------------------------------------------------
def _ends(values: npt.NDArray[np.float32], percents: tuple[float, float]) -> tuple[float, float]:
    """Return the values of the end colours."""
    finite = values[np.isfinite(values)]
    low, high = np.percentile(finite, percents).tolist() if finite.size else (0.0, 1.0)
    return (low, high) if high > low else (low, low + 1.0)


def _coloured(
    values: npt.NDArray[np.float32],
    colours: npt.NDArray[np.uint8],
    ends: tuple[float, float],
    sheet: _Sheet,
) -> Image.Image:
    """Return a map in its colours and size."""
    low, high = ends
    share = (values.astype(np.float64) - low) / (high - low)
    levels = np.round(255 * np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
    pixels = colours[levels]
    pixels[np.isnan(values)] = _NO_DATUM
    (height, width), size = values.shape, sheet.map_size
    rows = (np.arange(size[1]) + 0.5) * height // size[1]
    columns = (np.arange(size[0]) + 0.5) * width // size[0]
    return Image.fromarray(pixels[rows.astype(np.intp)[:, None], columns.astype(np.intp)])


def _outline(pen: Pen, corner: tuple[int, int], size: tuple[int, int]) -> None:
    left, top = corner
    pen.draw.rectangle((left - 1, top - 1, left + size[0], top + size[1]), outline=_PALE_INK)


def _draw_titles(pen: Pen, sheet: _Sheet, corner: tuple[int, int], layer: Layer) -> None:
    """Write name and window above a map, and the unit above its colour bar."""
    left, top = corner
    font = sheet.font
    width = sheet.panel[0] - 2 * font
    pen.text((left, top - 2.1 * font), layer.name, 1.35 * font, width=width)
    window = f"{layer.low_kev:g} to {layer.high_kev:g} keV"
    pen.text((left, top - 0.6 * font), window, font, colour=_PALE_INK, width=sheet.map_room)
    pen.text((left + sheet.map_room + font, top - 0.6 * font), layer.unit, 0.9 * font)


def _draw_bar(
    picture: Image.Image,
    pen: Pen,
    sheet: _Sheet,
    corner: tuple[int, int],
    colours: npt.NDArray[np.uint8],
    ends: tuple[float, float],
    values: npt.NDArray[np.float32],
) -> None:
    """Draw the colour bar, pointed at the ends that cells lie beyond, and its ticks."""
    font = sheet.font
    left, right = corner[0] + sheet.map_room + font, corner[0] + sheet.map_room + 2 * font
    low, high = ends
    top, bottom = corner[1], corner[1] + sheet.bar_height - 1
    middle, point = (left + right) // 2, font
    if np.any(values > high):
        tip, top = top, top + point
        pen.draw.polygon([(left, top), (right, top), (middle, tip)], tuple(colours[-1].tolist()))
        pen.draw.line([(left, top), (middle, tip), (right, top)], _PALE_INK)
    if np.any(values < low):
        tip, bottom = bottom, bottom - point
        pen.draw.polygon(
            [(left, bottom), (right, bottom), (middle, tip)], tuple(colours[0].tolist())
        )
        pen.draw.line([(left, bottom), (middle, tip), (right, bottom)], _PALE_INK)
    levels = np.linspace(255, 0, bottom - top + 1).round().astype(np.intp)
    ramp = np.repeat(colours[levels][:, None], right - left + 1, axis=1)
    picture.paste(Image.fromarray(ramp), (left, top))
    pen.draw.line([(left, top), (left, bottom)], _PALE_INK)
    pen.draw.line([(right, top), (right, bottom)], _PALE_INK)
    most = int(np.clip((bottom - top) / (1.7 * font), 2, _MOST_TICKS))  # or they would overlap
    for value, label in _ticks(low, high, most):
        y = bottom - (value - low) / (high - low) * (bottom - top)
        pen.draw.line([(right, y), (right + 0.3 * font, y)], _PALE_INK)
        pen.text((right + 0.5 * font, y), label, 0.85 * font, anchor="lm")


def _ticks(low: float, high: float, most: int = _MOST_TICKS) -> list[tuple[float, str]]:
    """Return round values from low to high, two or more, and how they are written."""
    share = (high - low) / most
    finer = _round_numbers(share, above=False)
    for step in (min(_round_numbers(share, above=True)), *reversed(finer)):
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if last > first:
            break
    decimals = max(0, -floor(log10(step) + 1e-9))
    return [(step * n, _number(step * n, decimals)) for n in range(first, last + 1)]


def _number(value: float, decimals: int = 0) -> str:
    if abs(value) >= 1e7 or decimals > 6:
        return f"{value:.3g}"
    return f"{value:,.{decimals}f}".replace(",", " ")


def _round_numbers(value: float, *, above: bool) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that are not below a value, or not above it."""
    power = floor(log10(value))
    numbers = [factor * 10.0**p for p in (power, power + 1) for factor in (1, 2, 5)]
    return [n for n in numbers if (n >= value * (1 - 1e-9) if above else n <= value * (1 + 1e-9))]


def _draw_scale(
    pen: Pen, sheet: _Sheet, corner: tuple[int, int], maps: MapSet, mm_per_step: float | None
) -> None:
    """Draw a bar of a round length under a map."""
    unit = "motor steps" if mm_per_step is None else "mm"
    whole = maps.scan.grid.dx * maps.scan.grid.width * (mm_per_step or 1.0)
    length = max(_round_numbers(whole / 3, above=False))
    pixels = length / whole * sheet.map_size[0]
    font, left = sheet.font, corner[0]
    y = corner[1] + sheet.map_size[1] + 1.2 * font
    pen.draw.rectangle((left, y - 0.12 * font, left + pixels - 1, y + 0.12 * font), fill=INK)
    text = _number(length, max(0, -floor(log10(length) + 1e-9)))
    pen.text((left + pixels + 0.5 * font, y), f"{text} {unit}", 0.9 * font, anchor="lm")


def _draw_foot(pen: Pen, sheet: _Sheet, maps: MapSet, *, holed: bool) -> None:
    """Write how the maps were made, and what the colour of empty cells means."""
    font, width = sheet.font, sheet.size[0]
    size, left, y = 0.8 * font, 1.5 * font, sheet.size[1] - 1.1 * font
    if holed:
        box = (left, y - 0.7 * size, left + size, y)
        pen.draw.rectangle(box, fill=_NO_DATUM, outline=_PALE_INK)
        start = left + 1.5 * size
        left = start + pen.text((start, y), "no datum", size, colour=_PALE_INK) + 1.5 * size
    text = f"{maps.scan.name}: {maps.made}"
    pen.text((left, y), text, size, colour=_PALE_INK, width=width - left - font)


def _texts(maps: MapSet) -> PngInfo:
    """Return what the file says of itself, for programs that show it."""
    texts = PngInfo()
    layers = maps.layers
    texts.add_itxt("Title", ", ".join(layer.name for layer in layers))
    texts.add_itxt("Description", "\n".join(maps.describe(layer) for layer in layers))
    texts.add_itxt("Software", "maxrf-dashboard")
    return texts
