"""A written hand: the letters as strokes of a pen, and lines of words set in them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from .strokes import Stroke, draw

__all__ = ["GLYPHS", "LINE_PITCH", "write_lines"]

GLYPHS: dict[str, tuple[float, tuple[tuple[tuple[float, float], ...], ...]]] = {
    "a": (
        1.05,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.55), (0.25, 0.05), (0.55, 0.12), (0.74, 0.45)),
            ((0.74, 1.0), (0.74, 0.3), (0.84, 0.04), (1.0, 0.14)),
        ),
    ),
    "b": (
        1.0,
        (
            ((0.12, 1.95), (0.12, 1.0), (0.12, 0.1)),
            ((0.12, 0.7), (0.45, 1.0), (0.8, 0.6), (0.62, 0.06), (0.3, 0.0), (0.12, 0.15)),
        ),
    ),
    "c": (0.85, (((0.72, 0.84), (0.45, 1.0), (0.12, 0.55), (0.32, 0.03), (0.74, 0.17)),)),
    "d": (
        1.05,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.55), (0.25, 0.05), (0.55, 0.12), (0.74, 0.45)),
            ((0.74, 1.95), (0.74, 1.0), (0.74, 0.3), (0.84, 0.04), (1.0, 0.14)),
        ),
    ),
    "e": (
        0.88,
        (
            (
                (0.14, 0.5),
                (0.72, 0.66),
                (0.6, 0.95),
                (0.36, 0.98),
                (0.12, 0.55),
                (0.32, 0.03),
                (0.76, 0.18),
            ),
        ),
    ),
    "f": (
        0.7,
        (
            ((0.75, 1.75), (0.45, 1.95), (0.24, 1.6), (0.22, 0.8), (0.2, -0.3)),
            ((0.0, 0.98), (0.3, 0.98), (0.6, 1.02)),
        ),
    ),
    "g": (
        1.0,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.6), (0.3, 0.15), (0.6, 0.25), (0.74, 0.55)),
            ((0.74, 1.0), (0.74, 0.2), (0.66, -0.55), (0.3, -0.72), (0.08, -0.45)),
        ),
    ),
    "h": (
        1.0,
        (
            ((0.12, 1.95), (0.12, 1.0), (0.12, 0.02)),
            ((0.12, 0.7), (0.45, 1.0), (0.7, 0.75), (0.7, 0.22), (0.8, 0.03), (0.95, 0.13)),
        ),
    ),
    "i": (0.5, (((0.15, 1.0), (0.15, 0.28), (0.27, 0.03), (0.44, 0.14)),)),
    "l": (0.5, (((0.15, 1.95), (0.15, 1.0), (0.15, 0.28), (0.27, 0.03), (0.44, 0.14)),)),
    "m": (
        1.5,
        (
            ((0.12, 1.0), (0.12, 0.5), (0.12, 0.02)),
            ((0.12, 0.7), (0.4, 1.0), (0.62, 0.78), (0.62, 0.02)),
            ((0.62, 0.7), (0.9, 1.0), (1.14, 0.78), (1.14, 0.24), (1.25, 0.03), (1.42, 0.14)),
        ),
    ),
    "n": (
        1.02,
        (
            ((0.12, 1.0), (0.12, 0.5), (0.12, 0.02)),
            ((0.12, 0.7), (0.43, 1.0), (0.68, 0.78), (0.68, 0.24), (0.79, 0.03), (0.95, 0.14)),
        ),
    ),
    "o": (
        0.95,
        (((0.45, 1.0), (0.12, 0.6), (0.26, 0.06), (0.62, 0.06), (0.8, 0.55), (0.45, 1.0)),),
    ),
    "p": (
        1.0,
        (
            ((0.14, 1.0), (0.12, 0.2), (0.1, -0.85)),
            ((0.13, 0.75), (0.45, 1.0), (0.8, 0.6), (0.62, 0.06), (0.3, 0.0), (0.12, 0.12)),
        ),
    ),
    "q": (
        1.0,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.55), (0.25, 0.05), (0.55, 0.12), (0.74, 0.45)),
            ((0.76, 1.0), (0.75, 0.2), (0.74, -0.85)),
        ),
    ),
    "r": (
        0.72,
        (
            ((0.12, 1.0), (0.12, 0.5), (0.12, 0.02)),
            ((0.12, 0.66), (0.34, 0.98), (0.66, 0.88)),
        ),
    ),
    "s": (
        0.8,
        (((0.66, 0.86), (0.38, 1.0), (0.16, 0.74), (0.58, 0.36), (0.44, 0.02), (0.1, 0.12)),),
    ),
    "t": (
        0.68,
        (
            ((0.22, 1.35), (0.2, 0.8), (0.22, 0.2), (0.38, 0.03), (0.62, 0.16)),
            ((0.0, 0.96), (0.28, 0.98), (0.58, 1.02)),
        ),
    ),
    "u": (
        1.05,
        (
            ((0.12, 1.0), (0.12, 0.3), (0.32, 0.02), (0.58, 0.14), (0.7, 0.45)),
            ((0.7, 1.0), (0.7, 0.28), (0.82, 0.03), (1.0, 0.14)),
        ),
    ),
}
"""A minuscule hand, letter by letter: the advance, then the strokes, each the points that the
pen goes through, in units of the x-height (0 is the baseline, 1 the height of an x)."""

SCRIPT = (
    "ater noster qui es in celis sanctificetur nomen tuum adueniat regnum tuum fiat uoluntas "
    "tua sicut in celo et in terra panem nostrum quotidianum da nobis hodie et dimitte nobis "
    "debita nostra sicut et nos dimittimus debitoribus nostris"
)
"""What follows the initial P."""

X_HEIGHT = 0.06
PEN = 0.0102
"""Half the width of the pen. Both, and the pitch, are in units of the page's height."""
LINE_PITCH = 0.127
NIB = np.deg2rad(38.0)
SLANT = 0.14


def write_lines(
    lines: Sequence[tuple[float, float, float]], rng: np.random.Generator
) -> list[list[Stroke]]:
    """Write the script on lines.

    The pen is dipped every dozen letters or so and runs paler in between.

    Parameters
    ----------
    lines : sequence of (left, right, baseline)
        Where the lines begin and end, and at what height, in units of the page's height.
    rng : Generator
        How the hand shakes; its state advances.

    Returns
    -------
    list of list of Stroke
        Each line's strokes.
    """
    words = cycle(SCRIPT.split())
    written = []
    dip = 1.0
    for left, right, baseline in lines:
        strokes: list[Stroke] = []
        x = left
        # A word that crosses the right end is written all the same: the page is torn there.
        while x < right:
            for letter in next(words):
                advance, paths = GLYPHS[letter]
                size = X_HEIGHT * (1.0 + 0.05 * rng.standard_normal())
                shift = 0.003 * rng.standard_normal()
                for path in paths:
                    points = [
                        (x + size * (px + SLANT * py), baseline + shift + size * py)
                        for px, py in path
                    ]
                    load = dip * (1 + 0.04 * rng.standard_normal())
                    strokes.append(draw(points, PEN, load=load, nib=NIB))
                x += advance * size * 1.08
                dip -= 0.035
                if dip < 0.6:
                    dip = 1.0
            x += 0.55 * X_HEIGHT
        written.append(strokes)
    return written
