"""The view as text in the URL, and back: each key is checked by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from maxrf_core import Grid
from maxrf_core.interpolation import METHODS
from maxrf_core.windows import BACKGROUNDS

from .data import SharedScan
from .state import MAX_SIGMA, ViewState
from .theme import COLOUR_MAPS

__all__ = ["decode", "encode", "read_query"]

_LONGEST_VALUE = 200
_BEYOND_KEV = 100.0
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.ASCII)
_LONGEST_QUERY = 10_000

_KEYS = {
    "sigma": "sigma",
    "window": "window",
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
}
"""Keys of the URL, and the parameters of `ViewState` that they hold."""


def encode(state: ViewState, scan_name: str) -> str:
    """Return the query string of a view: ``?scan=...&sigma=7&window=6.169~6.612...``."""
    values = {"scan": scan_name}
    for key, parameter in _KEYS.items():
        value = getattr(state, parameter)
        if isinstance(value, tuple):
            values[key] = "~".join(repr(float(number)).removesuffix(".0") for number in value)
        elif isinstance(value, bool):
            values[key] = str(int(value))
        elif isinstance(value, float):
            values[key] = repr(float(value)).removesuffix(".0")
        elif value is not None:
            values[key] = str(value)
    if state.cell is not None:
        del values["spectrum"]
    return "?" + urlencode(values, safe="~")


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
            if len(text) > _LONGEST_VALUE:
                raise _MeaninglessError
            values[parameter] = readers[key](text)
        except ValueError:
            shown = text if len(text) <= 40 else text[:40] + "…"
            notices.append(f"{key}={shown!r} in the address has no meaning here and was ignored.")
    return values, notices


def read_query(search: str) -> dict[str, str]:
    """Return keys and values of a query string; the last of a repeated key counts."""
    return dict(parse_qsl(search.removeprefix("?")[:_LONGEST_QUERY], keep_blank_values=True))


def _readers(shared: SharedScan) -> dict[str, Callable[[str], Any]]:
    scan = shared.scan
    low, high = float(scan.energies[0]), float(scan.energies[-1])
    return {
        "sigma": lambda text: _number(text, 0.0, MAX_SIGMA),
        "window": lambda text: _window(text, low, high),
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
        "spectrum": lambda text: _whole(text, scan.n_spectra),
        "cell": lambda text: _cell(text, scan.grid),
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
