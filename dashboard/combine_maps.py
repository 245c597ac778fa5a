"""Which maps are combined, and what each is computed from."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from maxrf_core import ParameterError

from .asked import asked_by
from .data import SharedScan
from .element_lines import line_name
from .element_marks import line_label
from .gallery_maps import GalleryMap
from .layers import Asked
from .state import WINDOW, ViewState

__all__ = [
    "WINDOW_LABEL",
    "combined_map",
    "composite_names",
    "kept_counts",
    "name_of",
    "pair_names",
    "shown_name",
    "value_text",
]

WINDOW_LABEL = "Energy window"

_KEPT_BYTES = 128 * 2**20
"""Of counts by spectrum, kept for each scan that is open: eight windows of a million spectra."""


def shown_name(name: str) -> str:
    """Return a map's name as a visitor reads it, with Greek letters."""
    return WINDOW_LABEL if name == WINDOW else line_label(name)


def name_of(text: str, known: tuple[str, ...] = ()) -> str:
    """Return the name of the map that a visitor's text means; nothing for nothing.

    Parameters
    ----------
    text : str
        What was chosen or typed: as `shown_name` has it, or any text that names a line.
    known : tuple of str
        Names that were there to choose from.

    Raises
    ------
    ParameterError
        If it names none.
    """
    text = text.strip()
    for name in (*known, WINDOW):
        if text in (shown_name(name), name):
            return name
    return line_name(text) if text else ""


def composite_names(state: ViewState) -> tuple[str, ...]:
    """Return the maps of the three colours: as chosen, or the first elements."""
    if any(state.composite):
        return state.composite
    return (*state.elements, "", "", "")[:3]


def pair_names(state: ViewState) -> tuple[str, ...]:
    """Return the two maps of a ratio or scatter plot: as chosen, or the first elements.

    Where one is missing, the energy window takes its place; with no element at all, both are.
    """
    first, second = state.pair
    if not (first or second or state.elements):
        return "", ""
    others = [name for name in (*state.elements, WINDOW) if name not in state.pair]
    first = first or others.pop(0)
    return first, second or next((name for name in others if name != first), WINDOW)


def combined_map(shared: SharedScan, state: ViewState, name: str) -> GalleryMap:
    """Return what a map is computed from: counts, with all that the state says of them.

    Raises
    ------
    ParameterError
        If no line of that name lies on the energy axis.
    """
    asked = replace(asked_by(shared, state), layer="counts")
    if name == WINDOW:
        low, high = state.window
        return GalleryMap(f"{low:.3f}–{high:.3f} keV", asked)
    if not name:
        msg = "no map was chosen; expected an element, a line or the energy window."
        raise ParameterError(msg)
    line = shared.elements.line(name)
    return GalleryMap(line.group.name, replace(asked, window=line.window))


_kept: weakref.WeakKeyDictionary[SharedScan, LRUCache] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def kept_counts(
    shared: SharedScan, asked: Asked
) -> tuple[npt.NDArray[np.number], npt.NDArray[np.number]]:
    """Return what every spectrum holds of a map's window, and its variance, (n,) each.

    Counts, or counts per second. Those asked for lately are kept for all visitors.
    """
    key = (asked.window, asked.sigma, asked.follow_resolution, asked.background, asked.per_second)
    with _lock:
        counts = _kept.setdefault(
            shared, LRUCache(_KEPT_BYTES, getsizeof=lambda pair: sum(one.nbytes for one in pair))
        )
        found = counts.get(key)
    if found is not None:
        return found
    scan = shared.scan
    options = {
        "sigma": shared.smoothing(asked.sigma, follow_resolution=asked.follow_resolution),
        "background": asked.background,
    }
    values = scan.window_counts(*asked.window, **options)
    # Of a gross window of raw counts the variance is the counts.
    is_plain = asked.background == "none" and not asked.sigma
    variances = values if is_plain else scan.window_variances(*asked.window, **options)
    if asked.per_second:
        values, variances = scan.per_second(values), scan.per_second(scan.per_second(variances))
    found = values, variances
    if sum(one.nbytes for one in found) <= _KEPT_BYTES:
        with _lock:
            counts[key] = found
    return found


def value_text(value: float, error: float | None, unit: str) -> str:
    """Return a value and its standard error as text."""
    if not np.isfinite(value):
        return "no datum"
    told = f"{value:,.2f}" if error is None else f"{value:,.2f} ± {error:,.2f}"
    return f"{told} {unit}"
