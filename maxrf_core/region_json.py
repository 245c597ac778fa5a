"""Regions as JSON: written as they are, read with trust in nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ParameterError
from .regions import (
    MAX_NAME,
    MAX_VERTICES,
    Polygon,
    Rectangle,
    Region,
    Threshold,
    checked_vertices,
    is_name,
    is_number,
    raise_faults,
    rectangle_faults,
    shown,
    threshold_faults,
    vertices_expected,
)

__all__ = ["region_from_json", "region_to_json"]


def region_to_json(region: Region) -> dict[str, Any]:
    """Return a region as JSON values, as `region_from_json` reads them."""
    outline = region.outline
    if isinstance(outline, Rectangle):
        box = [outline.left, outline.bottom, outline.right, outline.top]
        return {"name": region.name, "kind": "rectangle", "box": [float(one) for one in box]}
    if isinstance(outline, Polygon):
        points = [[float(x), float(y)] for x, y in outline.vertices]
        return {"name": region.name, "kind": "polygon", "vertices": points}
    low, high = (None if one is None else float(one) for one in (outline.low, outline.high))
    return {
        "name": region.name, "kind": "threshold", "map": outline.map_name, "low": low, "high": high,
    }  # fmt: skip


def region_from_json(values: Any) -> Region:
    """Return the region that JSON values describe. Nothing in them is trusted.

    Raises
    ------
    ParameterError
        If they are not what `region_to_json` writes.
    """
    if not isinstance(values, dict):
        raise ParameterError(f"a region is {shown(values)}; expected an object with a name.")
    name = values.get("name")
    if not is_name(name):
        raise ParameterError(
            f"a region's name is {shown(name)}; expected 1 to {MAX_NAME} printable letters."
        )
    readers = {"rectangle": _rectangle, "polygon": _polygon, "threshold": _threshold}
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in readers:
        raise ParameterError(
            f"region {name!r} is of kind {shown(kind)}; expected one of {sorted(readers)}."
        )
    try:
        return Region(name, readers[kind](values))
    except ParameterError as error:
        raise ParameterError(f"region {name!r}: {error}") from error


def _rectangle(values: dict[str, Any]) -> Rectangle:
    box = _known(values, "box").get("box")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise ParameterError(f"its box is {shown(box)}; expected [left, bottom, right, top].")
    outline = Rectangle(*map(float, box))
    raise_faults(rectangle_faults(outline))
    return outline


def _polygon(values: dict[str, Any]) -> Polygon:
    vertices = _known(values, "vertices").get("vertices")
    if not isinstance(vertices, list) or len(vertices) > MAX_VERTICES:
        raise ParameterError(vertices_expected(shown(vertices)))
    if not all(
        isinstance(point, list) and len(point) == 2 and all(map(is_number, point))
        for point in vertices
    ):
        raise ParameterError(vertices_expected("no list of [x, y]"))
    checked_vertices(np.array(vertices, dtype=np.float64).reshape(-1, 2))
    return Polygon(tuple((float(x), float(y)) for x, y in vertices))


def _threshold(values: dict[str, Any]) -> Threshold:
    _known(values, "map", "low", "high")
    map_name, low, high = values.get("map"), values.get("low"), values.get("high")
    if not is_name(map_name):
        raise ParameterError(f"its map is {shown(map_name)}; expected a map's name.")
    outline = Threshold(map_name, low, high)
    raise_faults(threshold_faults(outline))
    return Threshold(
        map_name, None if low is None else float(low), None if high is None else float(high)
    )


def _known(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return the values; refuse keys that this kind does not have."""
    unknown = sorted(map(str, set(values) - {"name", "kind", *keys}))
    if unknown:
        raise ParameterError(f"it has unknown keys {shown(unknown)}; expected {list(keys)}.")
    return values
