"""Presets: elements, composites, regions and layout of a view, kept as a small JSON file.

A preset comes from a colleague, from a link, from another version: nothing in it is trusted, and
what is wrong is told with the file's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .elements import find_line
from .errors import OutputError, ParameterError
from .location import open_file
from .region_json import region_from_json, region_to_json
from .regions import MAX_NAME, Region, is_name, is_number, shown
from .schema import UPGRADE
from .sidecar import read_sidecar, refuse_constant, sidecar_path, write_sidecar
from .unfinished import replace_file

__all__ = [
    "MAX_PRESET_BYTES",
    "PRESET_VERSION",
    "Composite",
    "Preset",
    "preset_from_json",
    "preset_to_json",
    "read_preset",
    "read_presets_beside",
    "write_preset",
    "write_presets_beside",
]

PRESET_VERSION = 1
MAX_PRESET_BYTES = 1_000_000
MAX_LINES, MAX_COMPOSITES, MAX_REGIONS, MAX_LAYOUT, MAX_PRESETS = 100, 50, 100, 100, 50
"""More than a person makes by hand; a page draws 24 maps at once."""

T = TypeVar("T")
Scalar = str | float | bool | None


@dataclass(frozen=True, slots=True)
class Composite:
    """Three maps shown as red, green and blue.

    Attributes
    ----------
    name : str
    lines : tuple of 3 str
        Such as ``("Fe Ka", "Cu Ka", "Pb La")``; an empty text leaves a colour out.
    ranges : tuple of 3 (low, high) or None
        What is black and what is full, in the maps' units; None for the map's own range.
    """

    name: str
    lines: tuple[str, str, str]
    ranges: tuple[tuple[float, float] | None, ...] = (None, None, None)


@dataclass(frozen=True, slots=True)
class Preset:
    """What a view shows.

    Attributes
    ----------
    lines : tuple of str
        Elements or lines, such as ``"Fe"`` or ``"Pb La"``, in the order of their maps.
    composites : tuple of Composite
    regions : tuple of Region
        With different names.
    layout : mapping of str to str, number, bool, None or a flat list of them
        The page's own; only its form is checked here.
    """

    lines: tuple[str, ...] = ()
    composites: tuple[Composite, ...] = ()
    regions: tuple[Region, ...] = ()
    layout: Mapping[str, Scalar | list[Scalar]] = field(default_factory=dict)


def preset_to_json(preset: Preset) -> dict[str, Any]:
    """Return a preset as JSON values, as `preset_from_json` reads them."""
    return {
        "version": PRESET_VERSION,
        "elements": list(preset.lines),
        "composites": [
            {
                "name": one.name,
                "lines": list(one.lines),
                "ranges": [None if limits is None else _plain(limits) for limits in one.ranges],
            }
            for one in preset.composites
        ],
        "regions": [region_to_json(region) for region in preset.regions],
        "layout": dict(preset.layout),
    }


def preset_from_json(values: Any) -> Preset:
    """Return the preset that JSON values describe.

    Keys that are not there are empty.

    Raises
    ------
    ParameterError
        If they are not what `preset_to_json` writes: of another version, with unknown keys, a
        value of a wrong type, beyond its limits, or not finite.
    """
    if not isinstance(values, dict):
        raise ParameterError(f"a preset is {shown(values)}; expected a JSON object.")
    version = values.get("version")
    if isinstance(version, int) and version > PRESET_VERSION:
        raise ParameterError(
            f"the preset was written by a newer version of this program (its version is {version}, "
            f"this program reads {PRESET_VERSION}): {UPGRADE}"
        )
    if isinstance(version, bool) or version != PRESET_VERSION:
        raise ParameterError(
            f"the preset's version is {shown(version)}, this program reads {PRESET_VERSION}; save "
            "it again with this one."
        )
    expected = ["elements", "composites", "regions", "layout"]
    unknown = sorted(map(str, set(values) - {"version", *expected}))
    if unknown:
        raise ParameterError(f"the preset has unknown keys {shown(unknown)}; expected {expected}.")
    lines = tuple(_line(one) for one in _list(values, "elements", MAX_LINES))
    composites = tuple(_composite(one) for one in _list(values, "composites", MAX_COMPOSITES))
    regions = tuple(region_from_json(one) for one in _list(values, "regions", MAX_REGIONS))
    for what, named in (("composites", composites), ("regions", regions)):
        if len({one.name for one in named}) < len(named):
            raise ParameterError(f"two of the preset's {what} have one name; give each its own.")
    return Preset(lines, composites, regions, _layout(values.get("layout", {})))


def read_preset(path: str | os.PathLike[str]) -> Preset:
    """Return the preset of a file.

    Raises
    ------
    ParameterError
        If the file cannot be read, is larger than `MAX_PRESET_BYTES`, or holds no preset. The
        message names the file.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            data = file.read(MAX_PRESET_BYTES + 1)
    except OSError as error:
        raise ParameterError(
            f"{path} cannot be read: {error.strerror or error}. Check the name and its permissions."
        ) from error
    if len(data) > MAX_PRESET_BYTES:
        raise ParameterError(f"{path} is no preset: it is larger than {MAX_PRESET_BYTES} bytes.")
    try:
        values = json.loads(data.decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"{path} is no preset: it is not JSON ({error}).") from error
    return _named(path, lambda: preset_from_json(values))


def write_preset(path: str | os.PathLike[str], preset: Preset) -> Path:
    """Write a preset to a file, whole or not at all.

    It is written under a hidden name in the same folder, brought to the disk and renamed, so that
    a reader meets the old one or the new one.

    Parameters
    ----------
    path : path or str
        An existing file is replaced.
    preset : Preset

    Returns
    -------
    path : Path

    Raises
    ------
    ParameterError
        If it is a preset that `read_preset` would refuse; nothing is written.
    OutputError
        If the file cannot be written; the old one stays.
    """
    path = Path(path)
    data = _named(path, lambda: json.dumps(_checked(preset), indent=1, allow_nan=False)).encode()
    if len(data) > MAX_PRESET_BYTES:
        raise ParameterError(
            f"{path} is not written: it would have {len(data)} bytes, {MAX_PRESET_BYTES} are "
            "allowed. Keep fewer or simpler regions."
        )
    try:
        replace_file(path, data)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}. What was there is as it was; "
            "check the folder's permissions and free space, or choose another folder."
        ) from error
    return path


def read_presets_beside(path_of_scan: str | os.PathLike[str]) -> dict[str, Preset]:
    """Return the presets kept beside a scan, by name (see `maxrf_core.sidecar`).

    Raises
    ------
    ParameterError
        If the file beside the scan cannot be used, or a preset in it; the message names the file.
    """
    path = sidecar_path(path_of_scan)
    kept = read_sidecar(path_of_scan).get("presets", {})
    if not isinstance(kept, dict) or len(kept) > MAX_PRESETS or not all(map(is_name, kept)):
        raise ParameterError(
            f"{path}: its presets are {shown(kept)}; expected an object of at most {MAX_PRESETS} "
            f"presets with names of 1 to {MAX_NAME} letters."
        )
    return {
        name: _named(path, lambda values=values: preset_from_json(values))
        for name, values in kept.items()
    }


def write_presets_beside(
    path_of_scan: str | os.PathLike[str], presets: Mapping[str, Preset]
) -> Path:
    """Keep presets beside a scan; they replace those kept there.

    Parameters
    ----------
    path_of_scan : path or str
        The zipstore.
    presets : mapping of str to Preset
        By name; empty removes them all.

    Returns
    -------
    path : Path
        The file beside the scan.

    Raises
    ------
    ParameterError
        If a name or preset would be refused when read, or the file cannot be used as it is.
    OutputError
        If the file cannot be written; the old one stays.
    """
    path = sidecar_path(path_of_scan)
    if len(presets) > MAX_PRESETS or not all(map(is_name, presets)):
        raise ParameterError(
            f"{path} is not written: the presets are {shown(list(presets))}; expected at most "
            f"{MAX_PRESETS} with names of 1 to {MAX_NAME} letters."
        )
    values = {
        name: _named(path, lambda preset=preset: _checked(preset))
        for name, preset in presets.items()
    }
    return write_sidecar(path_of_scan, presets=values or None)


def _checked(preset: Preset) -> dict[str, Any]:
    """Return a preset's JSON values, which a reader will take."""
    values = preset_to_json(preset)
    preset_from_json(values)
    return values


def _named(path: Path, action: Callable[[], T]) -> T:
    """Return what an action returns; its errors get the file's name."""
    try:
        return action()
    except ParameterError as error:
        raise ParameterError(f"{path}: {error}") from error


def _list(values: dict[str, Any], key: str, most: int) -> list[Any]:
    """Return a list of at most so many values."""
    found = values.get(key, [])
    if not isinstance(found, list) or len(found) > most:
        what = f"{len(found)} values" if isinstance(found, list) else shown(found)
        raise ParameterError(f"the preset's {key} are {what}; expected a list of at most {most}.")
    return found


def _line(text: Any) -> str:
    """Return the text of an element or a line."""
    find_line(text)
    return text


def _composite(values: Any) -> Composite:
    """Return a composite."""
    if not isinstance(values, dict) or set(values) - {"name", "lines", "ranges"}:
        raise ParameterError(
            f"a composite is {shown(values)}; expected an object of name, lines and ranges."
        )
    name, lines = values.get("name"), values.get("lines")
    ranges = values.get("ranges", [None, None, None])
    if not is_name(name):
        raise ParameterError(
            f"a composite's name is {shown(name)}; expected 1 to {MAX_NAME} letters."
        )
    if not isinstance(lines, list) or len(lines) != 3:
        raise ParameterError(f"composite {name!r} has lines {shown(lines)}; expected three.")
    if not isinstance(ranges, list) or len(ranges) != 3 or not all(map(_is_range, ranges)):
        raise ParameterError(
            f"composite {name!r} has ranges {shown(ranges)}; expected three, each null or "
            "[low, high] with low < high."
        )
    red, green, blue = (_line(line) if line != "" else "" for line in lines)
    limits = tuple(None if one is None else (float(one[0]), float(one[1])) for one in ranges)
    return Composite(name, (red, green, blue), limits)


def _plain(limits: tuple[Any, ...]) -> list[Any]:
    """Return numbers of any kind as JSON's; the reader judges the rest."""
    return [float(limit) if is_number(limit) else limit for limit in limits]


def _is_range(value: Any) -> bool:
    if value is None:
        return True
    is_pair = isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
    return is_pair and value[0] < value[1]


def _layout(values: Any) -> dict[str, Any]:
    """Return a flat object of short texts, numbers and lists of them."""
    if not isinstance(values, dict) or len(values) > MAX_LAYOUT or not all(map(is_name, values)):
        raise ParameterError(
            f"the preset's layout is {shown(values)}; expected an object of at most {MAX_LAYOUT} "
            "values."
        )
    for key, value in values.items():
        several = value if isinstance(value, list) else [value]
        if len(several) > MAX_LAYOUT or not all(map(_is_scalar, several)):
            raise ParameterError(
                f"the preset's layout has {key!r} = {shown(value)}; expected a text of at most "
                f"{MAX_NAME} letters, a finite number, true, false, null, or a list of such."
            )
    return dict(values)


def _is_scalar(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return len(value) <= MAX_NAME and value.isprintable()
    return isinstance(value, int | float) and is_number(value)
