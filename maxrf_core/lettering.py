"""Text on figures, in a font that has its letters."""

from __future__ import annotations

import unicodedata

from PIL import ImageDraw, ImageFont

__all__ = ["INK", "Pen"]

INK = (26, 26, 26)
_SYSTEM_FONTS = ("DejaVuSans.ttf", "Arial.ttf", "arial.ttf", "LiberationSans-Regular.ttf")
"""For names that Pillow's own font, which has plain Latin only, cannot write."""
_PLAIN = str.maketrans(
    {
        "\N{GREEK SMALL LETTER ALPHA}": "alpha",
        "\N{GREEK SMALL LETTER BETA}": "beta",
        "\N{GREEK SMALL LETTER GAMMA}": "gamma",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
    }
)


class Pen:
    """Text in a font that has its letters.

    Parameters
    ----------
    draw : ImageDraw
        What it draws on.
    """

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self.draw = draw
        self._fonts: dict[tuple[str, int], ImageFont.FreeTypeFont | None] = {}

    def text(
        self,
        place: tuple[float, float],
        text: str,
        size: float,
        *,
        anchor: str = "ls",
        colour: tuple[int, int, int] = INK,
        width: float | None = None,
    ) -> float:
        """Write a line, cut to a width with an ellipsis, and return its length."""
        font, plain = self._font_for(text, round(size))
        shown = plain
        while width is not None and shown and font.getlength(shown) > width:
            plain = plain[:-1]
            shown = plain.rstrip() + "\N{HORIZONTAL ELLIPSIS}" if plain else ""
        self.draw.text(place, shown, font=font, fill=colour, anchor=anchor)
        return font.getlength(shown)

    def _font_for(self, text: str, size: int) -> tuple[ImageFont.FreeTypeFont, str]:
        """Return a font and the text in letters that it has."""
        for name in ("", *_SYSTEM_FONTS):
            font = self._font(name, size)
            if font is not None and all(_draws(font, letter) for letter in set(text)):
                return font, text
        font = self._font("", size)
        marks = unicodedata.normalize("NFKD", text.translate(_PLAIN)).translate(_PLAIN)
        letters = [letter for letter in marks if not unicodedata.combining(letter)]
        return font, "".join(letter if _draws(font, letter) else "?" for letter in letters)

    def _font(self, name: str, size: int) -> ImageFont.FreeTypeFont | None:
        """Return a font of the system, None if it has none of that name; '' is Pillow's own."""
        if (name, size) not in self._fonts:
            try:
                found = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
            except OSError:
                found = None
            self._fonts[name, size] = found
        return self._fonts[name, size]


def _draws(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """Return whether a font has a letter: what it lacks looks like a code that is none."""
    mask, missing = font.getmask(letter), font.getmask("\uffff")
    return mask.size != missing.size or bytes(mask) != bytes(missing)
