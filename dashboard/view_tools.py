"""Undo and redo, keys for the whole page with a list of them, and a mode for a large screen."""

from __future__ import annotations

from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from .data import SharedScan
from .state import WORKSPACES, ViewState
from .undo import Undo
from .view import picked_place
from .view_tools_script import ESM, STYLE
from .zoom import extent_of, is_sensible, rounded

__all__ = ["ViewTools", "move_pick", "zoom_map"]

_STEP = 1.5
"""How much closer one press of a key is."""

_ALL = 0.99
"""Of the map that is seen, from which on all of it is shown: what is kept is rounded."""

_LONGEST_MOVE = 10  # cells


def move_pick(shared: SharedScan, state: ViewState, rows: int, columns: int) -> None:
    """Pick the cell that lies some rows and columns beside the one that is picked.

    Of a picked spectrum it is the cell where that one was measured that counts.
    """
    grid = shared.scan.grid
    height, width = grid.shape
    row, column = grid.cell_at(*picked_place(shared, state)) or (height // 2, width // 2)
    state.pick_cell(min(max(row + rows, 0), height - 1), min(max(column + columns, 0), width - 1))


def zoom_map(shared: SharedScan, state: ViewState, factor: float) -> None:
    """Show the map closer by a factor, around what is picked if that is in view."""
    extent = extent_of(shared.scan, "map_range")
    x0, x1, y0, y1 = state.map_range or extent
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    picked = picked_place(shared, state)
    if x0 <= picked[0] <= x1 and y0 <= picked[1] <= y1:
        x, y = picked
    half = (x1 - x0) / 2 / factor, (y1 - y0) / 2 / factor
    seen = (x - half[0], x + half[0], y - half[1], y + half[1])
    all_of_it = _ALL * (extent[1] - extent[0]) / 2, _ALL * (extent[3] - extent[2]) / 2
    if half[0] >= all_of_it[0] and half[1] >= all_of_it[1]:
        state.map_range = None
    elif is_sensible(seen, extent):
        state.map_range = rounded(seen)


class ViewTools(JSComponent):
    """Buttons at the end of the bar, and what keys do on the page.

    They are there once `on_page` is set: a notebook has keys of its own.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        The view.
    """

    can_undo = param.Boolean(False)
    can_redo = param.Boolean(False)
    on_page = param.Boolean(False)

    _esm = ESM
    _stylesheets: ClassVar[list[str]] = [STYLE]

    def __init__(self, shared: SharedScan, state: ViewState, **params: Any) -> None:
        super().__init__(**{"visible": False, "margin": 0, **params})
        self._shared, self._view = shared, state
        self.undo = Undo(state)
        self.undo.param.watch(lambda *_: self._show_steps(), ["can_undo", "can_redo"])

    def show(self) -> None:
        """Show the buttons, and listen to keys."""
        self.param.update(on_page=True, visible=True)

    def _show_steps(self) -> None:
        self.param.update(can_undo=self.undo.can_undo, can_redo=self.undo.can_redo)

    def _handle_msg(self, data: Any) -> None:
        """Do what the browser asks for; what no page of ours sends is passed over."""
        match data:
            case "undo":
                self.undo.undo()
            case "redo":
                self.undo.redo()
            case {"view": str(name)} if name in WORKSPACES:
                self._view.workspace = name
            case {"move": [int(rows), int(columns)]} if (
                max(abs(rows), abs(columns)) <= _LONGEST_MOVE
            ):
                move_pick(self._shared, self._view, rows, columns)
            case {"zoom": 1 | -1 as way}:
                zoom_map(self._shared, self._view, _STEP**way)
            case {"zoom": 0}:
                self._view.map_range = None
