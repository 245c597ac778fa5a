"""Colours, colour maps and sizes of the page."""

from __future__ import annotations

from bokeh import palettes

__all__ = ["COLOURS", "COLOUR_MAPS", "MAP_HEIGHT", "SPECTRUM_HEIGHT", "palette"]

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
}

COLOUR_MAPS = ("viridis", "cividis", "inferno", "magma", "gray")
"""Perceptually uniform and safe for colour-blind eyes (gray needs no colour vision)."""

_FACTORIES = {
    "viridis": palettes.viridis,
    "cividis": palettes.cividis,
    "inferno": palettes.inferno,
    "magma": palettes.magma,
    "gray": palettes.gray,
}

MAP_HEIGHT = "max(300px, calc((100vh - 118px) * 0.54))"
SPECTRUM_HEIGHT = "max(300px, calc((100vh - 118px) * 0.46))"


def palette(name: str, size: int = 255) -> list[str]:
    """Return the colours of a colour map, dark to bright, as hexadecimal codes."""
    return list(_FACTORIES[name](size))
