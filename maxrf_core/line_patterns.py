"""Patterns of lines as a silicon detector counts them: elements with escape peaks, and the tube's.

A pattern is what one amplitude scales: the lines of an element's shell, the anode's lines that
the sample scatters, or Compton's peak at one angle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import cos, radians
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from .line_groups import LineGroup, line_groups
from .lines import FWHM_PER_SIGMA
from .peaks import Spectrum
from .resolution import Resolution

__all__ = [
    "COMPTON_DEGREES",
    "ESCAPE_KEV",
    "Kind",
    "Part",
    "Pattern",
    "compton_energy",
    "element_patterns",
    "escape_share",
    "pile_up_pattern",
    "tube_patterns",
]

FloatArray = npt.NDArray[np.float64]
Kind = Literal["element", "tube", "Compton", "zero", "escape", "sum"]

ELECTRON_REST_KEV = 510.999
COMPTON_DEGREES = (75.0, 90.0, 105.0, 120.0, 135.0, 150.0, 175.0)
"""Scattering angles of the scanners' heads, and what their apertures spread them by: tube and
detector look at the sample from the same side."""
COMPTON_FWHM_KEV = (0.35, 0.62)
"""Width of Compton's peak: the electrons' motion and the spread of angles (the upper one as in
`maxrf_core.components`), and what SNIP leaves of it."""

REACH = 6.0
"""Standard deviations beyond which a Gaussian peak has 2e-9 of its counts."""
ESCAPE_KEV = 1.740
"""Energy of silicon's K-alpha, which an escape peak lies below its line."""
MOST_ESCAPE = 2.0
"""How many times the formula's escape a detector may show."""
SILICON_EDGE_KEV = 1.839
SILICON_YIELD, SILICON_JUMP = 0.043, 10.9
"""Fluorescence yield of silicon's K shell and the edge's jump ratio (xraydb, database 9.2, rounded;
Elam, Ravel and Sieber 2002)."""


@dataclass(frozen=True, slots=True)
class Part:
    """A peak of a pattern.

    Attributes
    ----------
    kind : {"element", "tube", "Compton", "zero", "escape", "sum"}
    name : str
        Such as ``"Fe Ka"``, ``"Rh Ka scattered"`` or ``"Ca Ka escape"``.
    element, line : str
        Chemical symbol and group of lines; empty for zero and sum peaks.
    energy_kev : float
    """

    kind: Kind
    name: str
    element: str
    line: str
    energy_kev: float


@dataclass(frozen=True, eq=False)
class Pattern:
    """What one amplitude scales.

    Attributes
    ----------
    element : str
        The sample's element; empty if it is none of the sample's.
    parts : tuple of Part
    shapes : (p, c) float64
        Counts of each part in each channel, for amplitude 1.
    """

    element: str
    parts: tuple[Part, ...]
    shapes: FloatArray

    @cached_property
    def shape(self) -> FloatArray:
        """Counts in each channel (c,) for amplitude 1."""
        return self.shapes.sum(axis=0)


def compton_energy(energy_kev: float, degrees: float) -> float:
    """Return a photon's energy after Compton scattering: E / (1 + E / 511 keV (1 - cos angle))."""
    return energy_kev / (1.0 + energy_kev / ELECTRON_REST_KEV * (1.0 - cos(radians(degrees))))


@lru_cache(maxsize=2048)
def escape_share(energy_kev: float) -> float:
    """Return the share of a line's counts that its silicon escape peak has.

    ``e / (1 - e)`` with ``e = w / 2 (1 - 1 / r) (1 - m / M ln(1 + M / m))``: yield w and jump
    ratio r of silicon's K shell, absorption M of the photon and m of silicon's own line, for
    photons that enter at a right angle (S. J. B. Reed and N. G. Ware, J. Phys. E 5 (1972) 582,
    https://doi.org/10.1088/0022-3735/5/6/029).
    """
    import xraydb

    if energy_kev <= SILICON_EDGE_KEV:
        return 0.0
    photon, own = xraydb.mu_elam("Si", [1000.0 * energy_kev, 1000.0 * ESCAPE_KEV], kind="photo")
    inside = own / photon * np.log1p(photon / own)
    escaped = 0.5 * SILICON_YIELD * (1.0 - 1.0 / SILICON_JUMP) * (1.0 - inside)
    return float(escaped / (1.0 - escaped))


def element_patterns(
    element: str, spectrum: Spectrum, resolution: Resolution
) -> tuple[Pattern, ...]:
    """Return an element's patterns, two for each shell: without and with escape peaks.

    The second has `MOST_ESCAPE` times the formula's: sums of both have any share between.
    """
    shells: dict[str, list[LineGroup]] = {}
    for group in line_groups(element):
        if spectrum.axis[0] < group.energy_kev < spectrum.axis[-1]:
            shells.setdefault(group.line[0], []).append(group)
    patterns = []
    for groups in shells.values():
        total = sum(group.intensity for group in groups)
        parts, shapes, escape_parts, escape_shapes = [], [], [], []
        for group in groups:
            places = np.array([line.energy_kev for line in group.lines])
            shares = np.array([line.intensity for line in group.lines]) / total
            parts.append(Part("element", group.name, element, group.line, group.energy_kev))
            shapes.append(_peaks(spectrum, places, shares, resolution.fwhm_kev(places)))
            escaped = escape_share(group.energy_kev)
            if escaped > 0.0:
                name, lower = f"{group.name} escape", places - ESCAPE_KEV
                at = group.energy_kev - ESCAPE_KEV
                escape_parts.append(Part("escape", name, element, group.line, at))
                widths = resolution.fwhm_kev(lower)
                most = MOST_ESCAPE * escaped * shares
                escape_shapes.append(_peaks(spectrum, lower, most, widths))
        patterns.append(Pattern(element, tuple(parts), np.array(shapes)))
        if escape_parts:
            both = tuple(parts + escape_parts)
            patterns.append(Pattern(element, both, np.array(shapes + escape_shapes)))
    return tuple(patterns)


def tube_patterns(anode: str, spectrum: Spectrum, resolution: Resolution) -> tuple[Pattern, ...]:
    """Return the patterns of the tube's scattered lines: Rayleigh's of each shell, and Compton's.

    Of Compton's peak those of the shell with the highest energies, for each angle and width, also
    where the lines themselves lie beyond the axis. Of rhodium's L lines it is none that shows.
    """
    patterns = []
    for pattern in element_patterns(anode, spectrum, resolution):
        kept = [n for n, part in enumerate(pattern.parts) if part.kind == "element"]
        if len(kept) < len(pattern.parts):
            continue
        parts = tuple(
            Part("tube", f"{pattern.parts[n].name} scattered", anode, pattern.parts[n].line,
                 pattern.parts[n].energy_kev)
            for n in kept
        )  # fmt: skip
        patterns.append(Pattern("", parts, pattern.shapes[kept]))
    groups = line_groups(anode)
    shell = groups[-1].line[0] if groups else ""
    hardest = [group for group in groups if group.line[0] == shell]
    for degrees in COMPTON_DEGREES:
        parts = tuple(
            Part("Compton", f"{anode} {group.line} Compton", anode, group.line,
                 compton_energy(group.energy_kev, degrees))
            for group in hardest
        )  # fmt: skip
        for width in COMPTON_FWHM_KEV:
            shapes = [
                _peaks(
                    spectrum,
                    np.array([part.energy_kev]),
                    np.array([group.intensity]),
                    np.array([width]),
                )
                for part, group in zip(parts, hardest, strict=True)
            ]
            if np.any(shapes):
                patterns.append(Pattern("", parts, np.array(shapes)))
    return tuple(patterns)


def pile_up_pattern(
    lines: Sequence[tuple[Part, float]], spectrum: Spectrum, resolution: Resolution
) -> Pattern:
    """Return the pattern of the pulses that two photons at a time make: sum peaks.

    Pairs come as often as the product of their lines' counts says (twice that for two different
    lines), whatever the rate: one amplitude for all.

    Parameters
    ----------
    lines : sequence of (Part, float)
        Lines and their counts; one or more.
    spectrum : Spectrum
    resolution : Resolution

    Returns
    -------
    Pattern
        Its amplitude times a line's counts is the share of them that the line's sum peak with
        itself has.
    """
    parts, shapes = [], []
    for number, (one, first) in enumerate(lines):
        for other, second in lines[number:]:
            energy = one.energy_kev + other.energy_kev
            parts.append(Part("sum", f"{one.name} + {other.name}", "", "", energy))
            pairs = first * second * (1.0 if one is other else 2.0)
            place = np.array([energy])
            share = np.array([pairs])
            shapes.append(_peaks(spectrum, place, share, resolution.fwhm_kev(place)))
    return Pattern("", tuple(parts), np.array(shapes))


def _peaks(
    spectrum: Spectrum, places: FloatArray, shares: FloatArray, widths: FloatArray
) -> FloatArray:
    """Return the counts (c,) of Gaussian peaks in each channel, within `REACH` sigma of each."""
    counts = np.zeros(spectrum.axis.size)
    for place, share, sigma in zip(places, shares, widths / FWHM_PER_SIGMA, strict=True):
        near = spectrum.within(place - REACH * sigma, place + REACH * sigma)
        borders = spectrum.edges[near.start : near.stop + 1]
        counts[near] += share * np.diff(ndtr((borders - place) / sigma))
    return counts
