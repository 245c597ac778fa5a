"""Whether what is kept beside a scan can be used, and what to keep of it if it cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import MaxrfError, OutputError, ParameterError
from .photo_record import kept_photo
from .presets import MAX_PRESETS, PRESET_VERSION, preset_from_json, read_presets_beside
from .regions import is_name
from .sidecar import (
    MAX_SIDECAR_BYTES,
    SIDECAR_VERSION,
    alone,
    read_sidecar,
    refuse_constant,
    sidecar_path,
    write_sidecar,
)
from .unfinished import told

__all__ = ["repair_sidecar", "sidecar_faults"]


def sidecar_faults(path_of_scan: str | os.PathLike[str]) -> list[str]:
    """Return what is wrong with the file beside a scan, a sentence each."""
    faults: dict[str, None] = {}
    for read in (read_sidecar, read_presets_beside, kept_photo):
        try:
            read(path_of_scan)
        except MaxrfError as error:
            faults[str(error)] = None
    return list(faults)


def repair_sidecar(path_of_scan: str | os.PathLike[str]) -> list[str]:
    """Set a damaged file beside a scan aside, and keep what of it can be used.

    It is renamed to ``NAME.maxrf.json.damaged``, or, if that is taken, with a number behind;
    a new one holds the keys and saved views that are right. That of a newer version is no
    damage, and is left alone.

    Parameters
    ----------
    path_of_scan : path or str
        The zipstore; it need not be there.

    Returns
    -------
    sentences : list of str
        What was done; none if there was nothing to do.

    Raises
    ------
    OutputError
        If the files cannot be written.
    """
    if not sidecar_faults(path_of_scan):
        return []
    path = sidecar_path(path_of_scan)
    with told(path), alone(path):
        content = _content(path)
        version = content.pop("version", None)
        if _is_newer(version, SIDECAR_VERSION) or _has_newer_views(content):
            return []
        aside = _free_name(path)
        path.rename(aside)
    content = {} if version != SIDECAR_VERSION or isinstance(version, bool) else content
    kept, gone = _usable(path_of_scan, content)
    if kept:
        names = ", ".join(sorted(kept))
        lost = f"; without {', '.join(gone)}" if gone else ""
        return [f"{path} was damaged: it is now {aside.name}, and {names} were kept{lost}."]
    return [f"{path} was damaged: it is now {aside.name}, and nothing of it could be kept."]


def _content(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, or an empty one if it holds none."""
    with path.open("rb") as file:
        data = file.read(MAX_SIDECAR_BYTES + 1)
    if len(data) > MAX_SIDECAR_BYTES:
        return {}
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_newer(version: Any, known: int) -> bool:
    return isinstance(version, int) and version > known


def _has_newer_views(content: dict[str, Any]) -> bool:
    views = content.get("presets")
    return isinstance(views, dict) and any(
        _is_newer(view.get("version"), PRESET_VERSION)
        for view in views.values()
        if isinstance(view, dict)
    )


def _free_name(path: Path) -> Path:
    name, number = path.with_name(f"{path.name}.damaged"), 1
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}.damaged-{number}")
    return name


def _usable(
    path_of_scan: str | os.PathLike[str], content: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Write key by key what readers take, and return it, and the names of what they do not."""
    kept, gone = {}, []
    for key, value in content.items():
        usable = value
        if key == "presets" and isinstance(value, dict):
            usable = {name: one for name, one in value.items() if _is_preset(name, one)}
            gone += [f"the saved view {name!r}" for name in value if name not in usable]
            usable = dict(list(usable.items())[:MAX_PRESETS]) or None
        try:
            write_sidecar(path_of_scan, **{key: usable})
        except (ParameterError, OutputError):
            gone.append(key)
            continue
        if sidecar_faults(path_of_scan):
            write_sidecar(path_of_scan, **{key: None})
            gone.append(key)
        elif usable is not None:
            kept[key] = usable
    return kept, gone


def _is_preset(name: str, values: Any) -> bool:
    try:
        preset_from_json(values)
    except MaxrfError:
        return False
    return is_name(name)
