"""Maps side by side as one component of the page: 24 Bokeh figures would cost seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from maxrf_core import Grid

from .gallery_script import SCRIPT, STYLE
from .pixels import Picture
from .theme import COLOURS

__all__ = ["MapGrid"]


class MapGrid(JSComponent):
    """Maps of one grid of cells, with one zoom, one pointer and one mark for all.

    Parameters
    ----------
    heard : callable
        Is given what the browser tells: a dict with a ``kind`` of ``ready``, ``view``,
        ``point``, ``pick`` or ``open``. It may hold anything: it comes from outside.
    grid : Grid
        Of the maps' cells.
    **params
        As follows, and those of any component.
    """

    grid = param.Dict(default={}, doc="Edges, pitches and numbers of the cells.")
    palette = param.List(default=[], doc="Colours of levels 1 to 255.")
    marker = param.List(default=[0.0, 0.0], doc="Motor position of what is picked: x, y.")
    mark_colour = param.String(default=COLOURS["picked"])

    _esm = SCRIPT
    _stylesheets: ClassVar[list[str]] = [STYLE]

    def __init__(self, heard: Callable[[dict[str, Any]], None], grid: Grid, **params: Any) -> None:
        left, bottom, _, _ = grid.bounds
        cells = {
            "left": float(left),
            "bottom": float(bottom),
            "dx": float(grid.dx),
            "dy": float(grid.dy),
            "rows": grid.height,
            "columns": grid.width,
        }
        super().__init__(grid=cells, **params)
        self._heard = heard

    def _handle_msg(self, data: Any) -> None:
        if isinstance(data, dict):
            self._heard(data)

    def show_plan(self, plan: dict[str, Any]) -> None:
        """Send what maps there are to be, for pictures that follow under the same turn.

        Parameters
        ----------
        plan : dict
            ``turn``; ``maps``, a list of their ``name``, ``label``, ``window`` and whether it
            ``is_drawn`` already; a ``message``; whether the server is ``working`` on another one.
        """
        self._send_msg({"kind": "plan", **plan})

    def show_picture(
        self, turn: int, name: str, picture: Picture, limits: tuple[float, float], unit: str
    ) -> None:
        """Send a map's pixels, the values of its end colours, and their unit."""
        low, high = limits
        self._send_msg(
            {
                "kind": "picture",
                "turn": turn,
                "name": name,
                "levels": picture.levels,
                "bounds": [float(edge) for edge in picture.bounds],
                "low": float(low),
                "high": float(high),
                "unit": unit,
            }
        )

    def show_failure(self, turn: int, name: str, sentence: str) -> None:
        """Say in a map's place why there is none."""
        self._send_msg({"kind": "failed", "turn": turn, "name": name, "sentence": sentence})

    def tell(self, row: int, column: int, values: dict[str, str]) -> None:
        """Answer what the maps show in a cell, by name."""
        self._send_msg({"kind": "told", "row": row, "column": column, "values": values})
