"""The gallery: maps of several elements side by side, with one zoom and one pointer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn

from maxrf_core import MaxrfError

from .asked import MAP_PARAMETERS, asked_by
from .data import SharedScan
from .gallery_grid import MapGrid
from .gallery_maps import GalleryMap, cell_values, kept_map, maps_of
from .gallery_work import Batch
from .latest import Latest
from .layers import Asked
from .pixels import Picture, View, bounds_of, grid_bins
from .scaling import scale_map
from .state import MAX_ELEMENTS, ViewState
from .text import sentence_of
from .theme import palette
from .view import MarkedView

__all__ = ["Gallery", "ShownMap"]

_NOTHING = (
    "The peaks of this scan propose no element. Choose elements or lines, such as Fe, Cu or "
    "Pb L-alpha: each gets a map here."
)
_PROPOSED = "Proposed by the peaks of this scan. Choose elements to see theirs instead."
_LOOKING = "Looking for elements in the peaks of this scan …"


@dataclass(frozen=True)
class Chosen:
    """What a gallery is to show: its maps, and the percentiles of their end colours."""

    maps: tuple[GalleryMap, ...]
    clip: tuple[float, float]
    message: str = ""


@dataclass(frozen=True)
class ShownMap:
    """A map as it was sent to the browser.

    Parameters
    ----------
    asked : Asked
        What it is computed from.
    clip, limits : (float, float)
        Percentiles of the end colours, and their values.
    picture : Picture or None
        Its pixels; None until the browser told how many it has room for.
    """

    asked: Asked
    clip: tuple[float, float]
    limits: tuple[float, float]
    picture: Picture | None


class Gallery(MarkedView):
    """Maps of the state's elements, or of those that the scan's peaks propose.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show. A tap on a map picks its cell; opening one makes its window the state's.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self._chosen = Chosen((), state.clip)
        self._turn = 0
        self._plan: dict[str, Any] = {}
        self._is_stale = True
        self._view: View | None = None
        self._seen: frozenset[str] = frozenset()
        self._sent: dict[str, ShownMap] = {}
        self._failed: dict[str, str] = {}
        self._pointer: tuple[int, int] | None = None
        self._grid = MapGrid(
            self._hear,
            self.scan.grid,
            palette=palette(state.colour_map),
            marker=list(self.marked_at()),
            sizing_mode="stretch_width",
            margin=0,
        )
        self._layout = pn.Column(self._grid, sizing_mode="stretch_width", margin=0)
        self._choosing = Latest(self._choose, self._show_chosen, self._fail)
        self._drawing = Batch(self._draw, self._show_map, self._fail_map)
        self._telling = Latest(self._tell, self._show_told, self._fail)
        state.param.watch(lambda *_: self._change(), [*MAP_PARAMETERS, "elements", "layer", "clip"])
        state.param.watch(lambda *_: self._sigma_changed(), ["sigma", "follow_resolution"])
        state.param.watch(lambda *_: self._show_palette(), "colour_map")
        self._layout.param.watch(lambda *_: self._catch_up(), "visible")
        self._change()

    def __panel__(self) -> pn.Column:
        """Return the maps. While they are hidden, nothing is computed."""
        return self._layout

    # --- what is shown ------------------------------------------------------------------

    @property
    def maps(self) -> tuple[GalleryMap, ...]:
        """The maps, in the order in which they stand."""
        return self._chosen.maps

    @property
    def shown(self) -> dict[str, ShownMap]:
        """What the browser was sent of each map, by name, as far as it is drawn."""
        return {
            each.name: self._sent[each.name]
            for each in self.maps
            if each.name in self._sent and self._is_current(each)
        }

    def values(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the maps by name, (h, w) float32 each, read-only; NaN where there is no datum.

        Those that are not drawn yet are computed now: call it in a thread.
        """
        return {each.name: kept_map(self.shared, each.asked) for each in self.maps}

    # --- which maps ---------------------------------------------------------------------

    def _change(self) -> None:
        """Ask for the maps of the present state, once somebody sees them."""
        self._drawing.drop()
        self._is_stale = True
        self._catch_up()

    def _catch_up(self) -> None:
        if not self._layout.visible:
            self._drawing.drop()
            return
        if self._is_stale:
            self._is_stale = False
            if not self.maps:
                self._send_plan("" if self.state.elements else _LOOKING, working=True)
            self._choosing.request()
        else:
            self._refresh()

    def _sigma_changed(self) -> None:
        if self.state.smooth_map:
            self._change()

    def _choose(self) -> Chosen:
        """Return what the state asks for. Finding peaks may take a while: called in a thread."""
        names, clip = self.state.elements, self.state.clip
        # A layer without windows is the same map whatever the state's window is.
        asked = replace(asked_by(self.shared, self.state), window=(0.0, 0.0))
        is_proposed = not names
        if is_proposed:
            names = self.shared.elements.proposed[:MAX_ELEMENTS]
        maps, complaints = maps_of(self.shared, names, asked)
        if not names and not maps:
            return Chosen((), clip, _NOTHING)
        said = [_PROPOSED] if is_proposed and len(maps) == len(names) else []
        return Chosen(maps, clip, " ".join([*said, *complaints]))

    def _show_chosen(self, chosen: Chosen) -> None:
        self._succeed()
        self._chosen = chosen
        self._failed = {}
        names = {each.name for each in chosen.maps}
        self._sent = {name: sent for name, sent in self._sent.items() if name in names}
        self._send_plan(chosen.message)
        self._refresh()

    def _send_plan(self, message: str, *, working: bool = False) -> None:
        self._turn += 1
        maps = [
            {
                "name": each.name,
                "label": each.label,
                "window": each.window_text,
                "is_drawn": self._is_current(each),
            }
            for each in self.maps
        ]
        self._plan = {"turn": self._turn, "maps": maps, "message": message, "working": working}
        self._grid.show_plan(self._plan)

    # --- their pictures -----------------------------------------------------------------

    def _is_current(self, each: GalleryMap) -> bool:
        sent = self._sent.get(each.name)
        return sent is not None and (sent.asked, sent.clip) == (each.asked, self._chosen.clip)

    def _is_enough(self, each: GalleryMap) -> bool:
        """Return whether the browser has all that it shows of a map, and half of the margin."""
        if each.name in self._failed:
            return True
        view = self._view
        if not self._is_current(each):
            return False
        picture = self._sent[each.name].picture
        if view is None or picture is None:
            return view is None
        grid = self.scan.grid
        rows, columns = grid_bins(grid, view.with_margin(1 / 16), view.pixel)
        pixel = grid.dx * columns.cells, grid.dy * rows.cells
        return picture.covers(bounds_of(grid, rows, columns), pixel)

    def _refresh(self) -> None:
        """Ask for the pictures that are missing, those in view first."""
        missing = [each for each in self.maps if not self._is_enough(each)]
        self._drawing.request(missing)
        self._drawing.prefer([each for each in missing if each.name in self._seen])

    def _draw(self, each: GalleryMap) -> ShownMap:
        clip, view = self._chosen.clip, self._view
        scaled = scale_map(kept_map(self.shared, each.asked), clip)
        picture = None if view is None else scaled.seen(self.scan.grid, view)
        return ShownMap(each.asked, clip, (scaled.low, scaled.high), picture)

    def _show_map(self, each: GalleryMap, drawn: ShownMap) -> None:
        self._sent[each.name] = drawn
        self._send(each.name)

    def _send(self, name: str) -> None:
        sent = self._sent[name]
        if sent.picture is not None:
            self._grid.show_picture(self._turn, name, sent.picture, sent.limits, sent.asked.unit)

    def _fail_map(self, each: GalleryMap, error: Exception) -> None:
        self._fail(error)
        self._sent.pop(each.name, None)
        self._failed[each.name] = (
            sentence_of(error) if isinstance(error, MaxrfError) else self._complaint
        )
        self._grid.show_failure(self._turn, each.name, self._failed[each.name])

    def _show_palette(self) -> None:
        self._grid.palette = palette(self.state.colour_map)

    def _tell_pick(self) -> None:
        self._grid.marker = list(self._marked)

    # --- what the browser tells ---------------------------------------------------------

    def _hear(self, said: dict[str, Any]) -> None:
        """Take a message of the browser's; one without a meaning is passed over."""
        kind = said.get("kind")
        if kind == "ready":
            self._send_all()
        elif kind == "view":
            self._take_view(said)
        elif kind in ("point", "pick"):
            cell = self._cell(said)
            if cell is not None and kind == "pick":
                self.state.pick_cell(*cell)
            elif cell is not None:
                self._pointer = cell
                self._telling.request()
        elif kind == "open":
            self._open(said.get("name"))

    def _send_all(self) -> None:
        """Send a browser that has the component by now what was drawn before."""
        self._grid.show_plan(self._plan)
        for each in self.maps:
            if each.name in self._failed:
                self._grid.show_failure(self._turn, each.name, self._failed[each.name])
            elif self._is_current(each):
                self._send(each.name)

    def _take_view(self, said: dict[str, Any]) -> None:
        numbers = _numbers(said.get("bounds"), 4)
        size = _numbers([said.get("width"), said.get("height")], 2)
        if numbers is None or size is None:
            return
        self._view = View.over(numbers, *size)
        seen = said.get("seen")
        names = seen if isinstance(seen, list) else []
        self._seen = frozenset(name for name in names if isinstance(name, str))
        if self._layout.visible:
            self._refresh()

    def _cell(self, said: dict[str, Any]) -> tuple[int, int] | None:
        cell = _numbers([said.get("row"), said.get("column")], 2)
        if cell is None:
            return None
        row, column = (int(number) for number in cell)
        height, width = self.scan.grid.shape
        return (row, column) if 0 <= row < height and 0 <= column < width else None

    def _open(self, name: Any) -> None:
        """Show a map's window in the explorer."""
        for each in self.maps:
            if each.name == name:
                has_window = bool(each.window_text)
                window = each.asked.window if has_window else self.state.window
                opened = {"window": window, "workspace": "explore"}
                # Until the browser tells that it has the page, Panel drops what changes.
                pn.state.onload(partial(self.state.param.update, **opened))

    def _tell(self) -> tuple[tuple[int, int], dict[str, str]]:
        """Return the cell under the pointer, and what the maps show there."""
        cell = self._pointer
        drawn = [each for each in self.maps if each.name not in self._failed]
        values = cell_values(self.shared, drawn, *cell)
        return cell, {name: _text(*value) for name, value in values.items()}

    def _show_told(self, told: tuple[tuple[int, int], dict[str, str]]) -> None:
        cell, values = told
        self._grid.tell(*cell, values)


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """Return some finite numbers, or None if that is not what the values are."""
    if not isinstance(values, list) or len(values) != count:
        return None
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in values):
        return None
    return tuple(float(each) for each in values)


def _text(value: float, error: float | None) -> str:
    if not math.isfinite(value):
        return "no datum"
    return f"{value:,.2f}" if error is None else f"{value:,.2f} ± {error:,.2f}"
