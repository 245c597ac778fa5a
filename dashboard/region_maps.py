"""Maps that thresholds refer to: their names, which a link or a file can hold, and back."""

from __future__ import annotations

import re

from maxrf_core import ParameterError
from maxrf_core.regions import shown
from maxrf_core.windows import BACKGROUNDS

from .data import SharedScan
from .layers import LAYERS, Asked
from .state import MAX_SIGMA
from .text import short_number

__all__ = ["map_named", "name_of_map"]

_NUMBER = r"-?[0-9]{1,12}(?:\.[0-9]{1,20})?(?:e-[0-9]{1,2})?"
_WINDOW = re.compile(rf"({_NUMBER}) to ({_NUMBER}) keV", re.ASCII)
_SIGMA = re.compile(rf"sigma ({_NUMBER})( at 5.9 keV)?", re.ASCII)
_FURTHEST_KEV = 1000.0


def name_of_map(asked: Asked) -> str:
    """Return a map's name, such as ``"6.2 to 6.6 keV, net of sides"``.

    The interpolation is not in it: a region is the same on each, as far as the map is.
    """
    low, high = asked.window
    parts = [f"{short_number(low)} to {short_number(high)} keV"]
    if asked.layer != "counts":
        parts.append(asked.layer)
    if asked.background != "none":
        parts.append(f"net of {asked.background}")
    if asked.per_second:
        parts.append("per second")
    if asked.sigma:
        parts.append(
            f"sigma {short_number(asked.sigma)}{' at 5.9 keV' if asked.follow_resolution else ''}"
        )
    return ", ".join(parts)


def map_named(shared: SharedScan, name: str, *, method: str, lag: float) -> Asked:
    """Return what a map is computed from, by its name.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    name : str
        As `name_of_map` returns it, or an element or line, such as ``"Fe"``, whose counts it has.
        It may come from a link: nothing in it is trusted.
    method, lag
        Interpolation, and correction of the zigzag in periods.

    Raises
    ------
    ParameterError
        If it names no map of this scan.
    """
    first, *parts = name.split(", ")
    found = _WINDOW.fullmatch(first)
    if found is None:
        try:
            window = shared.elements.line(name).window
        except ParameterError as error:
            raise ParameterError(
                f"there is no map {shown(name)}; expected an energy window, such as "
                "'6.2 to 6.6 keV', or an element."
            ) from error
        return Asked(window, method, lag=lag)
    low, high = float(found[1]), float(found[2])
    if not -_FURTHEST_KEV <= low <= high <= _FURTHEST_KEV:
        raise ParameterError(f"the map {shown(name)} has no energy window that makes sense.")
    values: dict[str, object] = {}
    for part in parts:
        values |= _meaning(shared, part, name)
    return Asked((low, high), method, lag=lag, **values)


def _meaning(shared: SharedScan, part: str, name: str) -> dict[str, object]:
    """Return what one part of a map's name says."""
    sigma = _SIGMA.fullmatch(part)
    if sigma is not None and 0.0 < float(sigma[1]) <= MAX_SIGMA:
        return {"sigma": float(sigma[1]), "follow_resolution": sigma[2] is not None}
    if part == "per second" and shared.scan.live_times is not None:
        return {"per_second": True}
    if part in LAYERS and part in shared.layers:
        return {"layer": part}
    background = part.removeprefix("net of ")
    if background != part and background in BACKGROUNDS:
        return {"background": background}
    raise ParameterError(f"the map {shown(name)} says {shown(part)}, which no map of this scan is.")
