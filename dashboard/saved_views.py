"""A view as a preset, to be kept beside the scan or sent to a colleague, and back."""

from __future__ import annotations

import json
import threading
from typing import Any

from maxrf_core import MaxrfError, ParameterError
from maxrf_core.presets import (
    MAX_PRESET_BYTES,
    Preset,
    preset_from_json,
    preset_to_json,
    read_presets_beside,
    write_presets_beside,
)
from maxrf_core.regions import MAX_NAME, Region, Threshold, is_name, shown
from maxrf_core.sidecar import refuse_constant

from .address import decode, encode, left_out, read_query
from .data import SharedScan
from .region_maps import map_named
from .state import MAX_ELEMENTS, MAX_REGIONS, ViewState
from .text import sentence_of

__all__ = [
    "delete_view",
    "preset_from_text",
    "preset_of",
    "save_view",
    "saved_views",
    "text_of",
    "view_of",
]

_NO_LAYOUT = ("scan", "elements", "regions", "hidden")
"""Keys of the address that a preset holds elsewhere."""

_turn = threading.Lock()  # two visitors who save at once both find their view kept


def preset_of(state: ViewState) -> Preset:
    """Return a view as a preset: its elements, its regions, and all else by the address's keys."""
    layout: dict[str, Any] = {
        key: text
        for key, text in read_query(encode(state, "")).items()
        if key not in _NO_LAYOUT and len(text) <= MAX_NAME
    }
    names = {one.name for one in state.regions}
    layout["hidden"] = [name for name in state.hidden_regions if name in names]
    return Preset(lines=state.elements, regions=state.regions, layout=layout)


def view_of(
    preset: Preset, shared: SharedScan, state: ViewState
) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of a state that a preset asks for. Call it in a thread.

    Parameters
    ----------
    preset : Preset
        Perhaps of another scan, or another program: what is not in it stays as it is.
    shared : SharedScan
        The scan, whose limits hold.
    state : ViewState
        The present view.

    Returns
    -------
    values : dict
        Parameters of `ViewState`, all of them valid.
    notices : list of str
        A sentence for each thing that was passed over.
    """
    defaults = dict(state.param.values())
    for name in ("name", "notice"):
        del defaults[name]
    layout = dict(preset.layout)
    hidden = layout.pop("hidden", [])
    if layout:
        at_first = ViewState.param
        defaults |= {
            name: at_first[name].default for key, name in left_out().items() if key not in layout
        }
    texts = {
        key: value
        for key, value in layout.items()
        if isinstance(value, str) and key not in _NO_LAYOUT
    }
    values, notices = decode(texts, shared, defaults)
    notices = [one.replace(" in the address ", " in the saved view ") for one in notices]
    if "spectrum" in texts and "cell" not in texts:
        values["cell"] = None
    elements, regions = [], []
    for name in preset.lines:
        try:
            elements.append(shared.elements.line(name).name)
        except MaxrfError as error:
            notices.append(sentence_of(error))
    for region in preset.regions:
        try:
            regions.append(_checked(region, shared))
        except MaxrfError as error:
            notices.append(f"Region {region.name!r} was left out: {sentence_of(error)}")
    for what, found, most in (
        ("elements", elements, MAX_ELEMENTS),
        ("regions", regions, MAX_REGIONS),
    ):
        if len(found) > most:
            notices.append(f"There is room for {most} {what}; the view's last ones were left out.")
    values["elements"] = tuple(dict.fromkeys(elements))[:MAX_ELEMENTS]
    values["regions"] = tuple(regions[:MAX_REGIONS])
    names = {one.name for one in values["regions"]}
    values["hidden_regions"] = tuple(
        name for name in (hidden if isinstance(hidden, list) else []) if name in names
    )
    values["region"] = ""
    return values, notices


def _checked(region: Region, shared: SharedScan) -> Region:
    if isinstance(region.outline, Threshold):
        map_named(shared, region.outline.map_name, method=shared.scan.method, lag=0.0)
    return region


def text_of(preset: Preset) -> str:
    """Return a preset as the text of a file.

    Raises
    ------
    ParameterError
        If it holds what a reader would refuse.
    """
    values = preset_to_json(preset)
    preset_from_json(values)
    return json.dumps(values, indent=1, allow_nan=False)


def preset_from_text(text: str) -> Preset:
    """Return the preset of a file's text; anything may stand there.

    Raises
    ------
    ParameterError
        If it is none.
    """
    if len(text.encode(errors="replace")) > MAX_PRESET_BYTES:
        raise ParameterError(f"The file is no saved view: it is larger than {MAX_PRESET_BYTES} B.")
    try:
        values = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"The file is no saved view: it is not JSON ({error}).") from error
    return preset_from_json(values)


def saved_views(shared: SharedScan) -> dict[str, Preset]:
    """Return the views kept beside a scan, by name; none for a scan behind a URL.

    Raises
    ------
    ParameterError
        If the file beside the scan cannot be used.
    """
    return {} if shared.scan.filename is None else read_presets_beside(shared.scan.filename)


def save_view(shared: SharedScan, name: str, preset: Preset) -> None:
    """Keep a view beside the scan; one of the same name is replaced.

    Raises
    ------
    ParameterError
        If it is no name, there are too many, or the scan is not on this machine.
    OutputError
        If the file beside the scan cannot be written.
    """
    name = name.strip()
    if not is_name(name):
        raise ParameterError(
            f"A view's name is {shown(name)}; expected 1 to {MAX_NAME} printable letters."
        )
    with _turn:
        write_presets_beside(_file_of(shared), saved_views(shared) | {name: preset})


def delete_view(shared: SharedScan, name: str) -> None:
    """Remove a view kept beside the scan, if it is there.

    Raises
    ------
    ParameterError, OutputError
        As `save_view`.
    """
    with _turn:
        kept = saved_views(shared)
        if kept.pop(name, None) is not None:
            write_presets_beside(_file_of(shared), kept)


def _file_of(shared: SharedScan) -> Any:
    if shared.scan.filename is None:
        raise ParameterError(
            "This scan was opened by URL, so nothing can be kept beside it; save a file instead."
        )
    return shared.scan.filename
