"""What the peaks of a scan may be: elements, the tube's lines, escape, pile-up and zero peaks.

An element has to show its other lines where they would be seen; how the spectrum is explained
as a whole is in `maxrf_core.explanation`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .explanation import Explanation
from .line_candidates import LEAST_SCORE, consistency_of, groups_near, score_of
from .line_groups import line_groups
from .line_patterns import ESCAPE_KEV, Kind, Part
from .peaks import FIRST_KEV, ZERO_KEV, Peak, Spectrum
from .periodic_table import element_named
from .resolution import Resolution

__all__ = ["OVERLAPS", "Candidate", "Proposal", "propose", "proposed_elements"]

OVERLAPS = (
    ("Pb La", "As Ka"), ("Ti Ka", "Ba La"), ("Ti Kb", "Ba Lb"), ("S Ka", "Pb M"),
    ("S Ka", "Hg M"), ("Pb M", "Hg M"), ("Mn Ka", "Cr Kb"), ("Fe Ka", "Mn Kb"),
    ("Co Ka", "Fe Kb"), ("Ni Ka", "Co Kb"), ("Cr Ka", "Ba Lg"), ("Zn Kb", "Au La"),
    ("Hg La", "Ge Ka"), ("Cl Ka", "Rh La"), ("Ar Ka", "Ag La"), ("K Ka", "Cd Lb"),
    ("Ca Ka", "Sn Lb"), ("Ca Ka", "Sb La"), ("K Ka", "In La"), ("Al Ka", "Br La"),
    ("Pb Lb", "Se Kb"), ("Hg Lb", "Br Ka"),
    ("Mo Ka", "Zr Kb"), ("P Ka", "Zr La"), ("V Ka", "Ti Kb"), ("Cr Ka", "V Kb"),
)  # fmt: skip
"""Pairs of lines within 1.3 widths of each other that paintings show: those that the vendor's
own list of regions joins (TiKaBaLa, FeKbCoKa), and the usual ones of the literature (M. Alfeld et
al., J. Anal. At. Spectrom. 28 (2013) 760, https://doi.org/10.1039/c3ja30341a)."""

LEAST_SHARE = 0.05
"""Of a peak's counts; parts with less of it are not named."""
ALTERNATIVE = 0.3
"""Factor on the score of a candidate that the fit does without."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a peak may be.

    Attributes
    ----------
    kind : {"element", "tube", "Compton", "zero", "escape", "sum"}
    name : str
        Such as ``"Fe Ka"``, ``"Rh Ka Compton"``, ``"Ca Ka escape"`` or ``"Ca Ka + Ca Ka"``.
    element, line : str
        Chemical symbol and group of lines; empty for zero and sum peaks.
    energy_kev : float
        Where the line belongs.
    score : float
        0 to 1. Of what the fit uses, its share of the peak's counts times its consistency; of
        alternatives, how well they would fit, times 0.3.
    is_used : bool
        Whether the fit of the whole spectrum uses it.
    consistency : float
        0 to 1: whether the element's other lines are there where they would be seen; 0.7 where
        none would.
    reason : str
        A sentence for the reader.
    """

    kind: Kind
    name: str
    element: str
    line: str
    energy_kev: float
    score: float
    is_used: bool
    consistency: float
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """The candidates for a peak.

    Attributes
    ----------
    peak : Peak
    candidates : tuple of Candidate
        The best first; empty if nothing fits.
    overlaps : tuple of str
        Known overlaps that it may be, such as ``"Pb La / As Ka"``.
    """

    peak: Peak
    candidates: tuple[Candidate, ...]
    overlaps: tuple[str, ...]


def propose(
    peaks: Iterable[Peak],
    energies: npt.NDArray[np.floating],
    total_spectrum: npt.NDArray,
    resolution: Resolution,
    *,
    max_spectrum: npt.NDArray | None = None,
    anode: str | None = "Rh",
) -> tuple[Proposal, ...]:
    """Return ranked candidates for each peak.

    Parameters
    ----------
    peaks : iterable of Peak
        As `find_peaks_in` found them.
    energies : (c,) float
        Energies of the channels' centres in keV, evenly spaced, rising.
    total_spectrum : (c,) number
        Counts, the sum over the scan's spectra.
    resolution : Resolution
        The detector's.
    max_spectrum : (c,) number, optional
        The largest value of each channel over the spectra: for peaks seen only there.
    anode : str or None, optional
        The tube's anode, whose lines the sample scatters; it is not proposed as an element of
        the sample. None where there is no tube.

    Returns
    -------
    tuple of Proposal
        In the order of the peaks.

    Raises
    ------
    ParameterError
        If a spectrum or the energies are none, or there is no such anode.

    Notes
    -----
    Counts above SNIP's background are fitted with non-negative sums of patterns. It misleads
    where the energy axis is off by more than 10 eV or so: calibrate first. Elements of which only
    one line is seen (sulfur, phosphorus) rest on the peak's place alone.
    """
    anode = element_named(anode).symbol if anode is not None else ""
    peaks = tuple(peaks)
    spectrum = Spectrum.above_background(energies, total_spectrum, resolution)
    fit = Explanation(spectrum, resolution, anode)
    fit.explain([peak for peak in peaks if peak.in_sum and peak.energy_kev > FIRST_KEV])
    highest = None
    if max_spectrum is not None:
        highest = Spectrum.above_background(energies, max_spectrum, resolution)
    return tuple(_proposal(peak, fit, highest) for peak in peaks)


def proposed_elements(proposals: Iterable[Proposal]) -> tuple[str, ...]:
    """Return the symbols of the elements proposed, the surest first.

    Those that the fit uses, and those that are the best candidate for a peak of the maximum
    spectrum alone.
    """
    best: dict[str, float] = {}
    for proposal in proposals:
        for rank, candidate in enumerate(proposal.candidates):
            alone = rank == 0 and not proposal.peak.in_sum
            if candidate.kind == "element" and (candidate.is_used or alone):
                symbol = candidate.element
                best[symbol] = max(best.get(symbol, 0.0), candidate.score)
    return tuple(sorted(best, key=lambda symbol: -best[symbol]))


def _proposal(peak: Peak, fit: Explanation, highest: Spectrum | None) -> Proposal:
    """Return the candidates for a peak."""
    place = peak.energy_kev
    if abs(place) < ZERO_KEV:
        reason = "the electronics' own peak at 0 keV"
        zero = Candidate("zero", "zero peak", "", "", 0.0, 1.0, True, 1.0, reason)
        return Proposal(peak, (zero,), ())
    found: dict[str, Candidate] = {}
    if peak.in_sum:
        found = {one.name: one for one in _used(peak, fit)}
        spectrum, counts = fit.spectrum, peak.net_counts
    else:
        spectrum = fit.spectrum if highest is None else highest
        counts = float(spectrum.net[spectrum.around(place)].sum())
    for group in groups_near(place, spectrum, {fit.anode}):
        if group.name not in found:
            score, consistency = score_of(group, place, counts, peak, spectrum)
            factor = ALTERNATIVE if peak.in_sum else 1.0
            if score >= LEAST_SCORE:
                _, missing = consistency_of(group, counts, spectrum)
                reason = f"{missing} is too low for it" if missing else "fits, but is not needed"
                if not peak.in_sum:
                    reason = "seen in few places only" + (f"; {missing} is too low" * bool(missing))
                found[group.name] = Candidate(
                    "element", group.name, group.element, group.line, group.energy_kev,
                    factor * score, False, consistency, reason,
                )  # fmt: skip
    ranked = tuple(sorted(found.values(), key=lambda one: -one.score))
    return Proposal(peak, ranked, _overlaps(place, spectrum))


def _used(peak: Peak, fit: Explanation) -> list[Candidate]:
    """Return the parts of the fit that a peak consists of."""
    here = fit.spectrum.around(peak.energy_kev)
    total = max(float(fit.spectrum.net[here].sum()), 1.0)
    together: dict[str, tuple[Part, float]] = {}
    for part, counts in fit.counts_in(here):
        before = together.get(part.name, (part, 0.0))[1]
        together[part.name] = (part, before + counts)
    whole = max(total, sum(counts for _, counts in together.values()))
    found = []
    for part, counts in together.values():
        share = counts / whole
        if share < LEAST_SHARE:
            continue
        consistency, reason = 1.0, f"{share:.0%} of the peak's counts"
        if part.kind == "element":
            group = next(g for g in line_groups(part.element) if g.line == part.line)
            consistency, missing = consistency_of(group, counts, fit.spectrum)
            reason += f"; {missing} is lower than it should be" if missing else ""
        elif part.kind == "escape":
            reason += f", {ESCAPE_KEV:g} keV below the line"
        found.append(
            Candidate(
                part.kind, part.name, part.element, part.line, part.energy_kev,
                min(share * consistency, 1.0), True, consistency, reason,
            )
        )  # fmt: skip
    return found


def _overlaps(place: float, spectrum: Spectrum) -> tuple[str, ...]:
    """Return the known overlaps at a place, both of whose lines lie within a width of it."""
    width = float(np.interp(place, spectrum.axis, spectrum.widths))
    found = []
    for names in OVERLAPS:
        lines = [name.split() for name in names]
        places = [
            group.energy_kev
            for symbol, line in lines
            for group in line_groups(symbol)
            if group.line == line
        ]
        if all(abs(energy - place) <= width for energy in places):
            found.append(" / ".join(names))
    return tuple(found)
