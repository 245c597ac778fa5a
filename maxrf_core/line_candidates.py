"""Which elements a peak may belong to, and how well each would fit.

A line near the peak makes an element a candidate; whether its other lines are there where they
would be seen, how common it is and how near the line lies decide between candidates.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .line_groups import LineGroup, line_groups
from .peaks import FIRST_KEV, Peak, Spectrum
from .periodic_table import ELEMENTS

__all__ = [
    "BACKGROUND_ERROR",
    "COMMON",
    "LEAST_CONSISTENCY",
    "LEAST_SCORE",
    "UNCONFIRMED",
    "consistency_of",
    "groups_near",
    "score_of",
]

COMMON = frozenset((
    "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "As", "Se", "Br", "Sr", "Ag", "Cd", "Sn", "Sb", "Ba", "Au", "Hg", "Pb", "Bi",
))  # fmt: skip
POSSIBLE = frozenset((
    "Na", "Sc", "V", "Ga", "Ge", "Rb", "Y", "Zr", "Nb", "Mo", "Pd", "In", "Te", "I", "Cs", "La",
    "Ce", "W", "Pt", "U", "Th",
))  # fmt: skip
ABSENT = frozenset(("Kr", "Tc", "Xe", "Pm", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Pa"))
"""Noble gases but argon, of which air holds too little, and elements without a lasting isotope."""
PRIORS = (1.0, 0.4, 0.05)
"""How likely elements are in paintings, paper, metals and air before anything is seen: `COMMON`,
`POSSIBLE`, all others. Our own judgement of the pigments' lists; it decides only between
candidates that fit about alike."""

FARTHEST_FWHM = 0.6
"""Lines within it of a peak are candidates; nearer ones are likelier."""
PLACE_FWHM, PLACE_KEV = 0.2, 0.005
"""Standard deviation of a peak's place: what neighbours shift it by, in widths, and the axis."""
FAINTEST_LINE = 0.05
"""Height within its shell of the faintest line that a candidate is taken for."""
STRONG_LINE = 0.3
"""Intensity over that of its group's strongest, from which a line may make a peak by itself."""
SEEN = 3.0
"""Standard errors at which an expected line should be seen."""
BALANCE_ERROR, SHELL_ERROR = 1.7, 10.0
"""Factors by which heights within a shell, and between shells, may be lower than expected."""
UNCONFIRMED = 0.7
"""Consistency of an element of which no second line would be seen."""
LEAST_CONSISTENCY = 0.25
"""An element of which a line shows less than this share of the least that it should is none."""
LEAST_SCORE = 0.03
"""A candidate with less is none."""
BACKGROUND_ERROR = 0.02
"""Share by which SNIP's background may be wrong."""


def _prior(symbol: str) -> float:
    """Return how likely an element is before anything is seen."""
    return PRIORS[0] if symbol in COMMON else PRIORS[1] if symbol in POSSIBLE else PRIORS[2]


def groups_near(place: float, spectrum: Spectrum, without: set[str]) -> list[LineGroup]:
    """Return the groups of lines that a peak at a place may be."""
    reach = FARTHEST_FWHM * float(np.interp(place, spectrum.axis, spectrum.widths))
    return [
        group
        for group, places in _candidates()
        if group.element not in without and min(abs(one - place) for one in places) <= reach
    ]


@lru_cache(maxsize=1)
def _candidates() -> tuple[tuple[LineGroup, tuple[float, ...]], ...]:
    """Return the groups of lines that a peak may be by itself, and where it may be."""
    return tuple(
        (group, _places(group))
        for element in ELEMENTS
        if element.symbol not in ABSENT
        for group in line_groups(element.symbol)
        if _height_in_shell(group) >= FAINTEST_LINE
    )


def _places(group: LineGroup) -> tuple[float, ...]:
    """Return the energies in keV of a group's middle and of its strong lines."""
    strongest = max(line.intensity for line in group.lines)
    strong = (one.energy_kev for one in group.lines if one.intensity >= STRONG_LINE * strongest)
    return (group.energy_kev, *strong)


def _height_in_shell(group: LineGroup) -> float:
    """Return a group's height, 1 for the highest of its shell."""
    groups = line_groups(group.element)
    return group.height / max(one.height for one in groups if one.line[0] == group.line[0])


def _nearness(group: LineGroup, place: float, peak: Peak, spectrum: Spectrum) -> float:
    """Return 1 for a line at a peak's place, less the farther it is."""
    width = float(np.interp(place, spectrum.axis, spectrum.widths))
    off = min(abs(energy - place) for energy in _places(group))
    sure = max(peak.significance, peak.max_significance, 1.0)
    error = np.hypot(PLACE_FWHM * width + PLACE_KEV, 0.42 * width / sure)
    return float(np.exp(-0.5 * (off / error) ** 2))


def score_of(
    group: LineGroup, place: float, counts: float, peak: Peak, spectrum: Spectrum
) -> tuple[float, float]:
    """Return how likely a peak is a line of an element, and the element's consistency."""
    consistency, _ = consistency_of(group, counts, spectrum)
    nearness = _nearness(group, place, peak, spectrum)
    leading = np.sqrt(_height_in_shell(group))
    return float(_prior(group.element) * nearness * leading * consistency), consistency


def consistency_of(group: LineGroup, counts: float, spectrum: Spectrum) -> tuple[float, str]:
    """Return whether an element's other lines are there, 0 to 1, and the line that misses most.

    `counts` are those within half a width of the group's energy, which are taken to be its own.
    """
    lowest, missing, confirmed = 1.0, "", False
    for other in line_groups(group.element):
        half = 0.5 * float(np.interp(other.energy_kev, spectrum.axis, spectrum.widths))
        first = max(FIRST_KEV, spectrum.axis[0])
        is_seen = first < other.energy_kev - half and other.energy_kev + half < spectrum.axis[-1]
        if other.line == group.line or not is_seen:
            continue
        same_shell = other.line[0] == group.line[0]
        expected = counts * other.height / group.height * _width_ratio(other, group, spectrum)
        expected /= BALANCE_ERROR if same_shell else SHELL_ERROR
        here = spectrum.around(other.energy_kev)
        background = float(spectrum.background[here].sum())
        poisson = float(spectrum.counts[here].sum()) + background + 1.0
        error = np.sqrt(poisson + (BACKGROUND_ERROR * background) ** 2)
        if expected < SEEN * error:
            continue
        share = max(float(spectrum.net[here].sum()) + 2.0 * float(error), 0.0) / expected
        if share < lowest:
            lowest, missing = share, other.name
        confirmed |= share >= 1.0
    if lowest < 1.0:
        return lowest, missing
    return (1.0 if confirmed else UNCONFIRMED), ""


def _width_ratio(one: LineGroup, other: LineGroup, spectrum: Spectrum) -> float:
    """Return the ratio of the widths of two lines: heights times it are counts."""
    widths = np.interp([one.energy_kev, other.energy_kev], spectrum.axis, spectrum.widths)
    return float(widths[0] / widths[1])
