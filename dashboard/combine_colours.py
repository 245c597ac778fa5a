"""Colours of the three maps of a composite, and for whose eyes they are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TRIPLES", "Triple"]


@dataclass(frozen=True)
class Triple:
    """Three colours of light that add up to white.

    Parameters
    ----------
    names : (str, str, str)
        What they are called.
    colours : three of (int, int, int)
        Red, green and blue, 0 to 255.
    note : str
        For whose eyes they are.
    """

    names: tuple[str, str, str]
    colours: tuple[tuple[int, int, int], ...]
    note: str

    @property
    def codes(self) -> tuple[str, ...]:
        """The colours as hexadecimal codes."""
        return tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in self.colours)


# Found by a search over triples that add up to white, for the largest of the smallest CIE 1976
# differences between the eight mixtures (each light on or off), for normal eyes and as red-, green-
# and blue-blind ones see them (G. M. Machado et al., IEEE Trans. Vis. Comput. Graph. 15 (2009)
# 1291, severity 1): 29, where cyan, magenta and yellow have 19, and red, green and blue 8: to
# red-blind eyes green and yellow are nearly one. What adds up to white is never cut off, so that
# mixtures stay true.
TRIPLES = {
    "safe": Triple(
        ("orange", "blue", "pale green"),
        ((140, 51, 0), (0, 51, 140), (115, 153, 115)),
        "Told apart by red-, green- and blue-blind eyes as well.",
    ),
    "cmy": Triple(
        ("cyan", "magenta", "yellow"),
        ((0, 128, 127), (127, 0, 128), (128, 127, 0)),
        "More colourful, and told apart by most eyes.",
    ),
    "rgb": Triple(
        ("red", "green", "blue"),
        ((255, 0, 0), (0, 255, 0), (0, 0, 255)),
        "One man in twelve cannot tell red from green, nor their mixtures: choose other colours "
        "for a figure to be shown.",
    ),
}
"""Triples by name, the default one first."""
