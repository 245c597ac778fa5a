"""Elements as a user asks for them: the line that a text names, its window, the best line."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from .energy_axis import checked_axis, checked_total
from .errors import ParameterError
from .line_groups import LOWEST_KEV, LineGroup, line_groups
from .lines import FWHM_PER_SIGMA, TUBE_KEV
from .periodic_table import (
    ELEMENT_OF_WORD,
    ELEMENTS,
    LONGEST_TEXT,
    TABLE_SHAPE,
    Element,
    element_named,
    shown_text,
)
from .resolution import Resolution
from .snip import snip, snip_width

__all__ = [
    "ELEMENTS",
    "TABLE_SHAPE",
    "WINDOW_FWHM",
    "Element",
    "LineGroup",
    "best_line",
    "element_named",
    "find_line",
    "line_groups",
    "line_window",
]

WINDOW_FWHM = 0.8
"""How far a window reaches beyond its outermost lines, in widths of a line. Of a single line it
holds 94 %; signal over the root of signal and background is then within 4 % of the best that
any window gives, both for a line without background (all of it) and for one that the
background drowns (0.6 widths, L. A. Currie's optimum for a Gaussian)."""
WINDOW_SHARE = 0.1
"""Lines of a group with less than this share of its strongest do not widen the window."""
FAINTEST_BEST = 0.02
"""Of an element's photons: no fainter group is its best line."""
OTHERS_ERROR = 0.5
"""Share of other elements' counts in a line's window that is taken for an error."""
BALANCE_ERROR, SHELL_ERROR = 1.5, 10.0
"""Factors by which heights within a shell, and between shells, may be off."""


def line_window(element: str, line: str, resolution: Resolution) -> tuple[float, float]:
    """Return the energy window of a line, as wide as the detector's resolution there.

    It reaches `WINDOW_FWHM` widths beyond the group's outermost lines that have a tenth or more
    of its strongest's intensity.

    Parameters
    ----------
    element, line : str
        Such as ``"Pb"`` and ``"La"``.
    resolution : Resolution
        The detector's, as `fit_resolution` finds it.

    Returns
    -------
    low_kev, high_kev : float
        For channels with an energy in [low_kev, high_kev).

    Raises
    ------
    ParameterError
        If there is no such element or line.
    """
    group = _group(element_named(element), line)
    strongest = max(member.intensity for member in group.lines)
    places = np.array(
        [
            member.energy_kev
            for member in group.lines
            if member.intensity >= WINDOW_SHARE * strongest
        ]
    )
    reach = WINDOW_FWHM * resolution.fwhm_kev(places)
    return float((places - reach).min()), float((places + reach).max())


def best_line(
    element: str,
    energies: npt.NDArray[np.floating],
    total_spectrum: npt.NDArray[np.number],
    resolution: Resolution,
) -> LineGroup:
    """Return the line that shows an element best in a scan.

    Each shell's counts are taken to be as many as its least visible line allows, above SNIP's
    background. What a line's window holds beyond its share of them belongs to other elements, and
    half of it is taken for an error beside the counts' noise; the best line has the largest
    signal over both. So arsenic's best line beside lead is K-beta, barium's beside titanium
    L-gamma. For an element that the scan does not show it is a line that no other covers. M
    lines, which a varnish absorbs and which lead, mercury and sulfur share, are taken only where
    no other lies on the axis.

    Parameters
    ----------
    element : str
        Chemical symbol or name.
    energies : (c,) float
        Energies of the channels' centres in keV, rising.
    total_spectrum : (c,) number
        Counts of the whole scan.
    resolution : Resolution
        The detector's.

    Returns
    -------
    LineGroup

    Raises
    ------
    ParameterError
        If there is no such element, the spectrum is none, or no line's window lies on the axis.
    """
    axis = checked_axis(energies)
    total = checked_total(total_spectrum, axis)
    symbol = element_named(element).symbol
    net = total - snip(total, snip_width(axis))
    seen = []
    for group in line_groups(symbol):
        low, high = line_window(symbol, group.line, resolution)
        if group.intensity >= FAINTEST_BEST and axis[0] <= low and high <= axis[-1]:
            channels = slice(*np.searchsorted(axis, (low, high)))
            held = _held(group, low, high, resolution)
            seen.append((group, held, total[channels].sum(), net[channels].sum()))
    seen = [line for line in seen if line[0].line[0] != "M"] or seen
    amounts: dict[str, float] = {}  # most counts that each shell can have
    for group, held, counts, above in seen:
        most = (max(above, 0.0) + np.sqrt(max(counts, 1.0))) / held
        shell = group.line[0]
        amounts[shell] = min(most, amounts.get(shell, np.inf))
    best, largest = None, 0.0
    for group, held, counts, above in seen:
        amount = min(amounts[group.line[0]], SHELL_ERROR * min(amounts.values()))
        signal = amount * held
        others = OTHERS_ERROR * max(above - BALANCE_ERROR * signal, 0.0)
        quality = signal / np.hypot(np.sqrt(max(counts, 1.0)), others)
        if quality > largest:
            best, largest = group, quality
    if best is None:
        raise ParameterError(
            f"no strong line of {symbol} lies on the energy axis, {axis[0]:g} to {axis[-1]:g} keV."
        )
    return best


_LETTERS = (("alpha", "a"), ("beta", "b"), ("gamma", "g"), ("eta", "n"))
_GREEK = str.maketrans(
    dict(
        zip(
            "\N{GREEK SMALL LETTER ALPHA}\N{GREEK SMALL LETTER BETA}"
            "\N{GREEK SMALL LETTER GAMMA}\N{GREEK SMALL LETTER ETA}",
            "abgn",
            strict=True,
        )
    )
)
_LINE = re.compile(r"([klm])(?:[ _-]*([abgln])[0-9,]{0,5})?")


def find_line(text: str) -> tuple[Element, LineGroup | None]:
    """Return the element, and the line if there is one, that a text names.

    Symbols and names in upper or lower case, with or without a space: ``Fe``, ``iron``,
    ``Fe Ka``, ``FeKa1``, ``iron K-alpha``, or with a Greek letter. A shell
    alone stands for its strongest line: ``Pb L`` for L-alpha.

    Parameters
    ----------
    text : str
        What somebody typed.

    Returns
    -------
    element : Element
    line : LineGroup or None
        None if the text names an element alone.

    Raises
    ------
    ParameterError
        If it names no element, or a line that the element does not show; with what there is.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_TEXT:
        raise ParameterError(
            f"{shown_text(text)} names no line; expected an element or a line such as "
            f"'Fe', 'iron' or 'Fe Ka', of at most {LONGEST_TEXT} letters."
        )
    words = " ".join(text.split())
    if words.lower() in ELEMENT_OF_WORD:
        return ELEMENT_OF_WORD[words.lower()], None
    plain = words.lower().translate(_GREEK)
    for name, letter in _LETTERS:
        plain = plain.replace(name, letter)
    for end in range(len(plain) - 1, 0, -1):
        head, tail = plain[:end].strip(" _-"), plain[end:].strip(" _-")
        match = _LINE.fullmatch(tail)
        if head in ELEMENT_OF_WORD and match:
            element = ELEMENT_OF_WORD[head]
            return element, _group(element, match[1].upper() + (match[2] or ""))
    head, _, tail = words.partition(" ")
    element = element_named(head)
    return element, _group(element, tail)


def _group(element: Element, line: str) -> LineGroup:
    """Return a group of lines by its name or its shell's, or raise with those there are."""
    groups = line_groups(element.symbol)
    wanted = "M" if line in ("Ma", "Mb") else line
    for group in groups:
        if group.line == wanted:
            return group
    shell = [group for group in groups if group.line[0] == wanted]
    if shell:
        return max(shell, key=lambda group: group.intensity)
    raise ParameterError(
        f"{element.symbol} shows no line {repr(line)[:LONGEST_TEXT]} above {LOWEST_KEV:g} keV "
        f"under a {TUBE_KEV:g} kV tube; it shows "
        f"{', '.join(group.line for group in groups)}."
    )


def _held(group: LineGroup, low: float, high: float, resolution: Resolution) -> float:
    """Return the share of an element's photons that its window of a group holds of the group."""
    places = np.array([line.energy_kev for line in group.lines])
    scale = FWHM_PER_SIGMA / resolution.fwhm_kev(places)
    inside = ndtr((high - places) * scale) - ndtr((low - places) * scale)
    return float(inside @ [line.intensity for line in group.lines])
