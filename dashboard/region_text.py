"""Regions as a short text for the address, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from maxrf_core import ParameterError
from maxrf_core.region_json import region_from_json, region_to_json
from maxrf_core.regions import Region

from .text import short_number

__all__ = ["LONGEST_TEXT", "fits", "names_text", "read_names", "read_regions", "regions_text"]

LONGEST_TEXT = 4000
"""Characters that all regions of an address have at most: servers in between refuse 8 kB."""
MOST_CORNERS = 100
"""Of a polygon in an address; a longer one is left out."""
MOST_REGIONS = 100  # read at most; the state holds fewer

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?", re.ASCII)
_ESCAPES = {"%": "%25", "~": "%7E", "!": "%21"}
_ESCAPED = re.compile("|".join(_ESCAPES.values()))
_PLAIN = {escape: plain for plain, escape in _ESCAPES.items()}


def regions_text(regions: Sequence[Region]) -> str:
    """Return regions as text; those for which there is no room are left out.

    Parameters
    ----------
    regions : sequence of Region

    Returns
    -------
    text : str
        Regions divided by ``~``, their parts by ``!``: name, r, p or t, and numbers.
    """
    texts, room = [], LONGEST_TEXT
    for region in regions:
        text = _text(region)
        size = 0 if text is None else len(quote(text, safe="~! "))
        if text is not None and size < room:
            texts.append(text)
            room -= size + 1
    return "~".join(texts)


def fits(regions: Sequence[Region], name: str) -> bool:
    """Tell whether an address has room for the region of a name, beside the others."""
    kept = read_regions(regions_text(regions))
    return any(region.name == name for region in kept)


def read_regions(text: str) -> tuple[Region, ...]:
    """Return the regions of a text of an address; anything may stand there.

    Raises
    ------
    ParameterError
        If it is not what `regions_text` writes.
    """
    if not text:
        return ()
    parts = text.split("~")
    if len(text) > LONGEST_TEXT or len(parts) > MOST_REGIONS:
        raise ParameterError("the address has more regions than it can hold.")
    return tuple(_region(part) for part in parts)


def names_text(names: Sequence[str]) -> str:
    """Return names as text, divided by ``~``."""
    return "~".join(map(_escaped, names))


def read_names(text: str) -> tuple[str, ...]:
    """Return the names of a text."""
    return tuple(map(_unescaped, text.split("~"))) if text else ()


def _text(region: Region) -> str | None:
    values = region_to_json(region)
    name = _escaped(region.name)
    if values["kind"] == "rectangle":
        return "!".join([name, "r", *map(short_number, values["box"])])
    if values["kind"] == "threshold":
        limits = [
            "" if one is None else short_number(one) for one in (values["low"], values["high"])
        ]
        return "!".join([name, "t", _escaped(values["map"]), *limits])
    corners = values["vertices"]
    if len(corners) > MOST_CORNERS:
        return None
    return "!".join([name, "p", *(short_number(one) for point in corners for one in point)])


def _region(text: str) -> Region:
    name, *rest = text.split("!")
    values: dict[str, Any] = {"name": _unescaped(name)}
    match rest:
        case ["r", *numbers]:
            values |= {"kind": "rectangle", "box": [_number(one) for one in numbers]}
        case ["p", *numbers] if len(numbers) % 2 == 0:
            both = [_number(one) for one in numbers]
            points = [[x, y] for x, y in zip(both[::2], both[1::2], strict=True)]
            values |= {"kind": "polygon", "vertices": points}
        case ["t", of_map, low, high]:
            limits = [None if one == "" else _number(one) for one in (low, high)]
            values |= {"kind": "threshold", "map": _unescaped(of_map)}
            values |= {"low": limits[0], "high": limits[1]}
        case _:
            raise ParameterError("a region of the address is neither r, p nor t.")
    return region_from_json(values)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise ParameterError("a region of the address has a number that is none.")
    return float(text)


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _PLAIN[found[0]], text)
