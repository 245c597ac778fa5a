"""Tools that draw regions on a map: a rectangle, a lasso, a polygon corner by corner."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import param
from bokeh.events import SelectionGeometry
from bokeh.models import BoxSelectTool, CustomJS, LassoSelectTool, PanTool, PolySelectTool
from bokeh.plotting import figure

from maxrf_core import ParameterError

from .data import SharedScan
from .region_choices import add_polygon, add_rectangle
from .state import ViewState
from .text import sentence_of

__all__ = ["DRAWINGS", "RegionDrawing"]

logger = logging.getLogger(__name__)

DRAWINGS = ("rectangle", "lasso", "polygon")
"""What is drawn by hand."""

_TOOLS: dict[str, Callable[..., Any]] = {
    "rectangle": BoxSelectTool,
    "lasso": LassoSelectTool,
    "polygon": PolySelectTool,
}
_DESCRIPTIONS = {
    "rectangle": "Region: drag a rectangle",
    "lasso": "Region: drag around the cells",
    "polygon": "Region: tap the corners; Enter or a long press ends it",
}
_MOST_POINTS = 20_000
"""Of a lasso, as a browser of ours sends it."""

_FINISHED = """
// One region for each press of a button; then the map is moved again, as before.
if (!cb_obj.final) return;
for (const tool of tools) if (tool.active) { tool.active = false; pan.active = true; }
"""
_ACTIVE = "if (cb_obj.tags[0] !== cb_obj.active) cb_obj.tags = [cb_obj.active];"
"""Tell the server: which tool is active is otherwise the browser's own."""


class RegionDrawing(param.Parameterized):
    """Draw regions on the plots of a map.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Gets the regions.

    Attributes
    ----------
    active : str
        What the visitor is drawing: one of `DRAWINGS`, or nothing.
    key : str
        Begins the names of the tools, so that a button finds them in the browser.
    """

    active = param.String("")

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self._shared, self._state = shared, state
        self._complaint = ""
        self.key = f"draw {uuid4()}"

    def add_to(self, plot: figure) -> None:
        """Add the tools to a plot."""
        tools = []
        for kind in DRAWINGS:
            tool = _TOOLS[kind](
                renderers=[],
                continuous=False,
                name=f"{self.key} {kind}",
                description=_DESCRIPTIONS[kind],
                tags=[False],
            )
            tool.js_on_change("change:active", CustomJS(code=_ACTIVE))
            tool.on_change("tags", partial(self._told, kind))
            tools.append(tool)
        plot.add_tools(*tools)
        # "auto" would begin with the polygon, which is the only tool for taps.
        plot.toolbar.active_tap = None
        (pan,) = plot.select({"type": PanTool})
        plot.js_on_event(
            SelectionGeometry, CustomJS(args={"tools": tools, "pan": pan}, code=_FINISHED)
        )
        plot.on_event(SelectionGeometry, self._drawn)

    def _told(self, kind: str, _name: str, _old: Any, new: Any) -> None:
        if new == [True]:
            self.active = kind
        elif self.active == kind:
            self.active = ""

    def _drawn(self, event: SelectionGeometry) -> None:
        if event.final:
            self.draw(event.geometry)

    def draw(self, geometry: Any) -> None:
        """Add the region of a gesture; if it is none, say why.

        Parameters
        ----------
        geometry : dict
            As Bokeh's selection tools send it: ``type``, and ``x0`` to ``y1``, or ``x`` and ``y``.
        """
        try:
            match geometry:
                case {"type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1}:
                    if all(map(_is_number, (x0, x1, y0, y1))):
                        add_rectangle(self._shared, self._state, x0, x1, y0, y1)
                case {"type": "poly", "x": x, "y": y}:
                    x, y = _numbers(x), _numbers(y)
                    if len(x) == len(y) <= _MOST_POINTS:
                        add_polygon(self._shared, self._state, x, y)
        except ParameterError as error:
            logger.info("no region was drawn: %s", error)
            self._complaint = self._state.notice = sentence_of(error)
            return
        if self._complaint and self._state.notice == self._complaint:
            self._state.notice = ""
        self._complaint = ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _numbers(values: Any) -> list[float]:
    """Return the numbers of a list or array; nothing if something else is among them."""
    found = list(values) if hasattr(values, "__len__") and not isinstance(values, str) else []
    return [float(one) for one in found] if all(map(_is_number, found)) else []
