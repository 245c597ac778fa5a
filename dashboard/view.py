"""What the three views have in common: elements whose data are patched, not re-created."""

from __future__ import annotations

import logging
import math
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.events import PointEvent
from bokeh.model import Model
from panel.viewable import Viewer

from maxrf_core import MaxrfError, ParameterError

from .data import SharedScan
from .faults import reported
from .state import ViewState
from .text import sentence_of
from .theme import COLOURS

__all__ = ["SHOWN_AT_ONCE", "LiveView", "MarkedView", "check_picks", "is_inside", "picked_place"]

_HEIGHT_ALONE = 420  # pixels
SHOWN_AT_ONCE = 8
"""A notebook may show one view in several cells; those that it shows last are kept up to date."""

logger = logging.getLogger(__name__)


class LiveView(Viewer):
    """A plot of a scan that follows a state.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show; several views may share one.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self.shared, self.scan, self.state = shared, shared.scan, state
        self._models: dict[str, weakref.WeakSet[Model]] = {}
        self._panes: deque[pn.pane.HoloViews] = deque(maxlen=SHOWN_AT_ONCE)
        self._complaint = ""

    def element(self) -> hv.core.Dimensioned:
        """Return the plot of the present state as a HoloViews element."""
        raise NotImplementedError

    def __panel__(self) -> pn.viewable.Viewable:
        """Return the plot as a pane that fills its container and stays up to date."""
        pane = pn.pane.HoloViews(
            self.element(), sizing_mode="stretch_both", linked_axes=False, min_height=180
        )
        self._panes.append(pane)
        return pane

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Show the view alone, in a notebook, whose cells give it no height."""
        framed = pn.Column(self, height=_HEIGHT_ALONE, sizing_mode="stretch_width")
        return framed._repr_mimebundle_(include, exclude)

    def _remake(self) -> None:
        """Draw the plot anew: for the few changes that a patch cannot make."""
        for pane in self._panes:
            pane.object = self.element()

    def _keep(self, name: str, handle: str = "source") -> Callable[[Any, Any], None]:
        """Return a hook that remembers a Bokeh model of the plot under a name."""

        def keep(view: LiveView, plot: Any) -> None:
            view._remember(name, plot.handles[handle])

        return self._hook(keep)

    def _hook(self, function: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        """Return a plot hook that calls ``function(view, plot)`` while this view lives.

        HoloViews keeps the options of elements, hooks included, in a cache of the process
        (`holoviews.Store`); one that held on to its view would keep every visitor's for ever.
        """
        reference = weakref.ref(self)

        def hook(plot: Any, _element: Any) -> None:
            view = reference()
            if view is not None:
                function(view, plot)

        return hook

    def _remember(self, name: str, model: Model) -> Model:
        self._models.setdefault(name, weakref.WeakSet()).add(model)
        return model

    def _each(self, name: str) -> list[Model]:
        return list(self._models.get(name, ()))

    def _patch(self, name: str, **columns: Any) -> None:
        """Replace columns of the data sources kept under a name."""
        for source in self._each(name):
            if set(columns) == set(source.data) or all(
                len(source.data[key]) == len(values) for key, values in columns.items()
            ):
                for key, values in columns.items():
                    source.data[key] = values
            else:
                source.data = {**source.data, **columns}

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Send what is patched meanwhile in one message, so that it is painted at once."""
        with pn.io.hold():
            yield
        self._push()

    def _push(self) -> None:
        """Send patches to a notebook; a server does so by itself."""
        if pn.state.curdoc is None or pn.state.curdoc.session_context is None:
            pn.io.push_notebook(*self._panes)

    def _fail(self, error: Exception) -> None:
        """Show the sentence of an error, log its traceback, go on."""
        self._complaint = reported(logger, f"{type(self).__name__} failed", error)
        self.state.notice = self._complaint

    def _succeed(self) -> None:
        """Take back what `_fail` said last, if it still stands there."""
        if self._complaint and self.state.notice == self._complaint:
            self.state.notice = ""
        self._complaint = ""


def check_picks(shared: SharedScan, state: ViewState) -> None:
    """Hold a state's picks to what the scan has.

    Raises
    ------
    ParameterError
        If there is no such spectrum or cell.
    """
    if state.spectrum >= shared.scan.n_spectra:
        msg = f"there is no spectrum {state.spectrum}; expected 0 to {shared.scan.n_spectra - 1}."
        raise ParameterError(msg)
    if state.cell is not None:
        # Of the grid, not of an interpolation: to build one may take many seconds.
        height, width = shared.scan.grid.shape
        row, column = state.cell
        if not (0 <= row < height and 0 <= column < width):
            msg = (
                f"cell ({row}, {column}) is outside the grid; expected rows 0 to {height - 1} "
                f"and columns 0 to {width - 1}."
            )
            raise ParameterError(msg)


def picked_place(shared: SharedScan, state: ViewState) -> tuple[float, float]:
    """Return the motor position of the picked cell or spectrum."""
    if state.cell is not None:
        row, column = state.cell
        return float(shared.scan.grid.x[column]), float(shared.scan.grid.y[row])
    x, y = shared.scan.positions[state.spectrum]
    return float(x), float(y)


class MarkedView(LiveView):
    """A view in motor coordinates, with a mark where the picked spectrum or cell lies."""

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self._marked = self.marked_at()
        self._misplaced = ""
        state.param.watch(lambda *_: self._show_marker(), ["spectrum", "cell"])

    def marked_at(self) -> tuple[float, float]:
        """Return the motor position of the picked cell or spectrum."""
        return picked_place(self.shared, self.state)

    def _marker(self) -> hv.Points:
        return hv.Points([self._marked], ["x", "y"]).opts(
            marker="circle",
            size=14,
            line_width=2.5,
            line_color=COLOURS["picked"],
            fill_alpha=0,
            tools=[],
            hooks=[self._hook(MarkedView._keep_marker)],
        )

    def _keep_marker(self, plot: Any) -> None:
        x, y = self._marked  # another may have been picked since the element was made
        source = self._remember("marker", plot.handles["source"])
        source.data = {"x": np.array([x]), "y": np.array([y])}

    def _show_marker(self) -> None:
        try:
            check_picks(self.shared, self.state)
        except MaxrfError as error:  # set from Python, or picked on another scan
            self._misplaced = self.state.notice = sentence_of(error)
            return
        if self._misplaced and self.state.notice == self._misplaced:
            self.state.notice = ""
        self._misplaced = ""
        self._marked = x, y = self.marked_at()
        with self._together():
            self._patch("marker", x=np.array([x]), y=np.array([y]))
            self._tell_pick()

    def _tell_pick(self) -> None:
        """Tell what is picked where else the view does so."""


def is_inside(event: PointEvent) -> bool:
    """Return whether a gesture happened at a place inside the plot's coordinates."""
    return event.x is not None and math.isfinite(event.x) and math.isfinite(event.y)
