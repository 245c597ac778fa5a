"""Colours, colour maps, sizes and frames of the page."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh import palettes

__all__ = [
    "COLOURS",
    "COLOUR_MAPS",
    "ELEMENT_COLOURS",
    "MAP_HEIGHT",
    "PLOT_HEIGHT",
    "SPECTRUM_HEIGHT",
    "framed",
    "palette",
    "text_colour",
]

COLOURS = {
    # Okabe and Ito's palette, told apart with any colour vision (jfly.uni-koeln.de/color)
    "measured": "#56b4e9",
    "selected": "#d55e00",
    "raw": "#8c8c8c",
    "smooth": "#0072b2",
    "sum": "#009e73",
    "max": "#cc79a7",
    "window": "#e69f00",
    "picked": "#d81b60",
    "peak": "#7f7f7f",
}

ELEMENT_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7")
"""Okabe and Ito's, in their order, but for yellow and black: white and black paper hide them."""

COLOUR_MAPS = ("viridis", "cividis", "inferno", "magma", "gray")
"""Perceptually uniform and safe for colour-blind eyes (gray needs no colour vision)."""

_FACTORIES = {
    "viridis": palettes.viridis,
    "cividis": palettes.cividis,
    "inferno": palettes.inferno,
    "magma": palettes.magma,
    "gray": palettes.gray,
}

PLOT_HEIGHT = "max(320px, calc(100vh - 310px))"
MAP_HEIGHT = "max(290px, calc((100vh - 158px) * 0.54))"
SPECTRUM_HEIGHT = "max(290px, calc((100vh - 158px) * 0.46), min(440px, calc(640px - 27vw)))"


def palette(name: str, size: int = 255) -> list[str]:
    """Return the colours of a colour map, dark to bright, as hexadecimal codes."""
    return list(_FACTORIES[name](size))


def text_colour(fill: str) -> str:
    """Return black or white: what stands out more on a colour, by the contrast ratio of WCAG 2.

    Parameters
    ----------
    fill : str
        Such as ``"#0072b2"``.
    """
    levels = [int(fill[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    # Relative luminance of sRGB, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
    luminance = sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return "#000000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#ffffff"


def framed(content: Any, height: str = PLOT_HEIGHT) -> pn.Column:
    """Return a plot in a frame of a height that follows the window's."""
    return pn.Column(
        content,
        sizing_mode="stretch_width",
        margin=0,
        styles={
            "height": height,
            "overflow": "hidden",
            "border": "1px solid var(--mui-palette-divider, #ddd)",
            "border-radius": "6px",
        },
    )
