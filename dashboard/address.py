"""The view as text in the URL, and back: each key is checked by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from maxrf_core import Grid
from maxrf_core.interpolation import METHODS
from maxrf_core.regions import Region, Threshold, is_name
from maxrf_core.windows import BACKGROUNDS

from .combine_colours import TRIPLES
from .data import SharedScan
from .region_maps import map_named
from .region_text import LONGEST_TEXT, names_text, read_names, read_regions, regions_text
from .state import (
    COMBINATIONS,
    MAX_ELEMENTS,
    MAX_PROFILE_WIDTH,
    MAX_REGIONS,
    MAX_SIGMA,
    UNDERLAYS,
    WINDOW,
    WORKSPACES,
    ViewState,
)
from .theme import COLOUR_MAPS
from .zoom import Seen, extent_of, is_sensible

__all__ = ["decode", "encode", "left_out", "read_query", "shortened"]

_LONGEST_VALUE, _LONGEST_TOLD = 300, 40
_BEYOND_KEV = 100.0
_FURTHEST = 1e300
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST_QUERY = 20_000
_LONGEST = {"regions": LONGEST_TEXT, "hidden": LONGEST_TEXT}

_KEYS = {
    "sigma": "sigma",
    "window": "window",
    "elements": "elements",
    "view": "workspace",
    "method": "method",
    "layer": "layer",
    "background": "background",
    "rate": "per_second",
    "zigzag": "correct_lag",
    "follow": "follow_resolution",
    "smooth": "smooth_map",
    "colours": "colour_map",
    "clip": "clip",
    "log": "log_counts",
    "sum": "show_sum",
    "max": "show_max",
    "spectrum": "spectrum",
    "cell": "cell",
    "map": "map_range",
    "positions": "positions_range",
    "range": "energy_range",
    "combine": "combination",
    "composite": "composite",
    "ranges": "composite_clip",
    "lights": "composite_colours",
    "pair": "pair",
    "logratio": "ratio_log",
    "line": "profile",
    "across": "profile_width",
    "regions": "regions",
    "hidden": "hidden_regions",
    "under": "underlay",
    "opacity": "map_opacity",
}
"""Keys of the URL, and the parameters of `ViewState` that they hold."""

_FIRST_OF_COMBINED = "combine"
"""From this key on, a parameter that is as at first is left out of the URL."""


def encode(state: ViewState, scan_name: str) -> str:
    """Return the query string of a view: ``?scan=...&sigma=7&window=6.169~6.612...``."""
    values, is_combined = {"scan": scan_name}, False
    for key, parameter in _KEYS.items():
        value = getattr(state, parameter)
        is_combined = is_combined or key == _FIRST_OF_COMBINED
        if is_combined and value == ViewState.param[parameter].default:
            continue
        if parameter in ("elements", "composite", "pair"):
            values[key] = "~".join(value)
        elif parameter == "regions":
            values[key] = regions_text(value)
        elif parameter == "hidden_regions":
            values[key] = names_text(value)
        elif isinstance(value, tuple):
            values[key] = "~".join(repr(float(number)).removesuffix(".0") for number in value)
        elif isinstance(value, bool):
            values[key] = str(int(value))
        elif isinstance(value, float):
            values[key] = repr(float(value)).removesuffix(".0")
        elif value is not None:
            values[key] = str(value)
    if state.cell is not None:
        del values["spectrum"]
    return "?" + urlencode(values, safe="~!")


def left_out() -> dict[str, str]:
    """Return the keys that the address of a first view does without, and their parameters."""
    written = read_query(encode(ViewState(), ""))
    return {key: parameter for key, parameter in _KEYS.items() if key not in written}


def decode(
    query: Mapping[str, str], shared: SharedScan, defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of a view that a query asks for.

    Parameters
    ----------
    query : mapping of str to str
        Keys and values of the URL; anything may stand there.
    shared : SharedScan
        The scan, whose limits hold.
    defaults : mapping
        Parameters of `ViewState` for the keys that are missing or make no sense.

    Returns
    -------
    values : dict
        Parameters of `ViewState`, all of them valid.
    notices : list of str
        A sentence for each key that was passed over. Not escaped.
    """
    values, notices = dict(defaults), []
    readers = _readers(shared)
    for key, parameter in _KEYS.items():
        text = query.get(key)
        if text is None:
            continue
        try:
            if len(text) > _LONGEST.get(key, _LONGEST_VALUE):
                raise _MeaninglessError
            values[parameter] = readers[key](text)
        except ValueError:
            told = f"{key}={shortened(text)!r} in the address has no meaning here and was ignored."
            notices.append(told)
    return values, notices


def shortened(text: str) -> str:
    """Return a text of the address, or its beginning, for a sentence about it."""
    return text if len(text) <= _LONGEST_TOLD else text[:_LONGEST_TOLD] + "…"


def read_query(search: str) -> dict[str, str]:
    """Return keys and values of a query string; the last of a repeated key counts."""
    return dict(parse_qsl(search.removeprefix("?")[:_LONGEST_QUERY], keep_blank_values=True))


def _readers(shared: SharedScan) -> dict[str, Callable[[str], Any]]:
    scan = shared.scan
    low, high = float(scan.energies[0]), float(scan.energies[-1])
    return {
        "sigma": lambda text: _number(text, 0.0, MAX_SIGMA),
        "window": lambda text: _window(text, low, high),
        "elements": lambda text: _elements(text, shared),
        "view": lambda text: _choice(text, WORKSPACES),
        "method": lambda text: _choice(text, tuple(METHODS)),
        "layer": lambda text: _choice(text, shared.layers),
        "background": lambda text: _choice(text, BACKGROUNDS),
        "rate": _switch if scan.live_times is not None else _off,
        "zigzag": _switch,
        "follow": _switch,
        "smooth": _switch,
        "colours": lambda text: _choice(text, COLOUR_MAPS),
        "clip": lambda text: _pair(text, 0.0, 100.0),
        "log": _switch,
        "sum": _switch,
        "max": _switch,
        "combine": lambda text: _choice(text, COMBINATIONS),
        "composite": lambda text: _maps(text, shared, 3),
        "pair": lambda text: _maps(text, shared, 2),
        "ranges": _ranges,
        "lights": lambda text: _choice(text, tuple(TRIPLES)),
        "logratio": _switch,
        "line": lambda text: _line(text, scan.grid),
        "across": _across,
        "spectrum": lambda text: _whole(text, scan.n_spectra),
        "cell": lambda text: _cell(text, scan.grid),
        "map": lambda text: _seen(text, extent_of(scan, "map_range")),
        "positions": lambda text: _seen(text, extent_of(scan, "positions_range")),
        "range": lambda text: _seen(text, extent_of(scan, "energy_range")),
        "regions": lambda text: _regions(text, shared),
        "hidden": _hidden,
        "under": lambda text: _choice(text, UNDERLAYS),
        "opacity": lambda text: _number(text, 0.0, 1.0),
    }


class _MeaninglessError(ValueError):
    """A value of the address that means nothing here."""


def _number(text: str, low: float, high: float) -> float:
    if not _NUMBER.fullmatch(text) or not low <= float(text) <= high:
        raise _MeaninglessError
    return float(text)


def _pair(text: str, low: float, high: float) -> tuple[float, float]:
    first, second = (_number(part, low, high) for part in text.split("~"))
    if first > second:
        raise _MeaninglessError
    return first, second


def _window(text: str, low: float, high: float) -> tuple[float, float]:
    # The box on the spectrum can be dragged past either end of the energies.
    first, second = _pair(text, low - _BEYOND_KEV, high + _BEYOND_KEV)
    if second < low or first > high:
        raise _MeaninglessError
    return first, second


def _seen(text: str, extent: Seen) -> Seen:
    seen = tuple(_number(part, -_FURTHEST, _FURTHEST) for part in text.split("~"))
    if not is_sensible(seen, extent):
        raise _MeaninglessError
    return seen


def _elements(text: str, shared: SharedScan) -> tuple[str, ...]:
    names = text.split("~") if text else []
    if len(names) > MAX_ELEMENTS:
        raise _MeaninglessError
    found = [shared.elements.line(name).name for name in names]  # a ParameterError is one, too
    return tuple(dict.fromkeys(found))  # named twice, as iron and Fe, it is there once


def _maps(text: str, shared: SharedScan, count: int) -> tuple[str, ...]:
    names = text.split("~")
    if len(names) != count:
        raise _MeaninglessError
    return tuple(
        name if name in ("", WINDOW) else shared.elements.line(name).name for name in names
    )


def _ranges(text: str) -> tuple[float, ...]:
    ends = text.split("~")
    if len(ends) != 6:
        raise _MeaninglessError
    return tuple(end for k in (0, 2, 4) for end in _pair("~".join(ends[k : k + 2]), 0.0, 100.0))


def _line(text: str, grid: Grid) -> tuple[float, ...]:
    """Return the ends of a profile; they may lie as far beside the map as it is wide."""
    left, bottom, right, top = grid.bounds
    width, height = right - left, top - bottom
    limits = ((left - width, right + width), (bottom - height, top + height))
    ends = text.split("~")
    if len(ends) != 4:
        raise _MeaninglessError
    return tuple(_number(end, *limits[k % 2]) for k, end in enumerate(ends))


def _across(text: str) -> int:
    width = _whole(text, MAX_PROFILE_WIDTH + 1)
    if width == 0:
        raise _MeaninglessError
    return width


def _regions(text: str, shared: SharedScan) -> tuple[Region, ...]:
    regions = read_regions(text)
    if len(regions) > MAX_REGIONS or len({one.name for one in regions}) < len(regions):
        raise _MeaninglessError
    for outline in (one.outline for one in regions):
        if isinstance(outline, Threshold):  # a ParameterError is one, too
            map_named(shared, outline.map_name, method=shared.scan.method, lag=0.0)
    return regions


def _hidden(text: str) -> tuple[str, ...]:
    names = read_names(text)
    if len(names) > MAX_REGIONS or not all(map(is_name, names)):
        raise _MeaninglessError
    return names


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise _MeaninglessError
    return text


def _switch(text: str) -> bool:
    return _choice(text, ("0", "1")) == "1"


def _off(text: str) -> bool:
    return _choice(text, ("0",)) == "1"


def _whole(text: str, below: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) < below):
        raise _MeaninglessError
    return int(text)


def _cell(text: str, grid: Grid) -> tuple[int, int]:
    row, column = text.split("~")
    return _whole(row, grid.height), _whole(column, grid.width)
