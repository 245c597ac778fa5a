"""Counts along a line, with an error band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
import panel_material_ui as pmui
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, NumeralTickFormatter, Range1d
from bokeh.plotting import figure

from maxrf_core.profiles import LineCells, line_cells, profile, profile_weights

from .combine_choosers import Offer
from .combine_line import Ends, LineMap, middle_line
from .combine_maps import combined_map, kept_counts
from .combine_mode import CombineMode, OnDemand
from .data import SharedScan
from .element_marks import colour_of
from .gallery_maps import GalleryMap
from .latest import Latest
from .state import WINDOW, ViewState
from .theme import COLOURS, framed
from .view import LiveView

__all__ = ["Profile", "ProfileMode", "ProfileView"]

_MOST = 8
"""Elements drawn at once: more lines cannot be told apart."""

_MARGIN = 0.05

_NAME = "return source.data.name[source.data.number.indexOf(value)] ?? '';"


@dataclass(frozen=True, eq=False)
class Profile:
    """A map along a line.

    Parameters
    ----------
    map : GalleryMap
        What it shows.
    colour : str
        In which it is drawn.
    distances : (m,) float64
        From the start of the line, in motor steps.
    values, errors : (m,) float64
        Mean over the cells across, and its standard error; NaN where none has a datum.
    """

    map: GalleryMap
    colour: str
    distances: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]


class ProfileView(OnDemand, LiveView):
    """The state's elements and energy window along its line.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self.profiles: tuple[Profile, ...] = ()
        self._latest = Latest(self._compute, self._show, self._fail)
        self._follow(["profile", "profile_width"])
        self.plot = self._figure()

    def __panel__(self) -> pn.pane.Bokeh:
        """Return the plot."""
        return pn.pane.Bokeh(self.plot, sizing_mode="stretch_both", min_height=180)

    # --- what is shown ------------------------------------------------------------------

    @property
    def ends(self) -> Ends:
        """X and y of start and end in motor steps."""
        return self.state.profile or middle_line(self.scan.grid)

    def _compute(self) -> tuple[Profile, ...]:
        state = self.state
        x0, y0, x1, y1 = self.ends
        line = line_cells(self.scan.grid, (x0, y0), (x1, y1), width=state.profile_width)
        named = [(name, colour_of(n)) for n, name in enumerate(state.elements[:_MOST])]
        maps = [
            (combined_map(self.shared, state, name), colour)
            for name, colour in [*named, (WINDOW, COLOURS["raw"])]
        ]
        return self._along(line, maps)

    def _along(
        self, line: LineCells, maps: Sequence[tuple[GalleryMap, str]]
    ) -> tuple[Profile, ...]:
        asked = maps[0][0].asked
        weights = profile_weights(self.scan.operator(asked.method, lag=asked.lag), line)
        return tuple(
            Profile(
                each,
                colour,
                line.distances,
                *profile(weights, *kept_counts(self.shared, each.asked)),
            )
            for each, colour in maps
        )

    # --- the plot -----------------------------------------------------------------------

    def _figure(self) -> figure:
        plot = figure(
            sizing_mode="stretch_both",
            tools="pan,wheel_zoom,box_zoom,reset,save",
            active_scroll="wheel_zoom",
            x_axis_label="distance (motor steps)",
            y_axis_label="counts",
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            tags=["profile"],
        )
        plot.toolbar.logo = None
        self._lines = ColumnDataSource({"xs": [], "ys": [], "colour": [], "label": []})
        self._bands = ColumnDataSource({"xs": [], "ys": [], "colour": []})
        self._points = ColumnDataSource({"x": [], "y": [], "error": [], "number": []})
        self._names = ColumnDataSource({"number": [], "name": []})
        plot.patches(
            "xs", "ys", source=self._bands, fill_color="colour", fill_alpha=0.25, line_color=None
        )
        plot.multi_line(
            "xs", "ys", source=self._lines, line_color="colour", line_width=2, legend_field="label"
        )
        points = plot.scatter("x", "y", source=self._points, alpha=0)
        plot.add_tools(
            HoverTool(
                renderers=[points],
                mode="vline",
                tooltips=[
                    ("", "@number{name}"),
                    ("distance", "@x{0,0}"),
                    ("value", "@y{0,0.00} ± @error{0,0.00}"),
                ],
                formatters={"@number": CustomJSHover(args={"source": self._names}, code=_NAME)},
            )
        )
        plot.xaxis[0].formatter = NumeralTickFormatter(format="0,0")
        (legend,) = plot.legend
        legend.update(orientation="horizontal", padding=2, border_line_alpha=0)
        legend.update(label_text_font_size="9pt", background_fill_alpha=0)
        plot.add_layout(legend, "above")  # over the plot it would hide a line
        return plot

    def _show(self, profiles: tuple[Profile, ...]) -> None:
        self._succeed()
        self.profiles = profiles
        with self._together():
            self._lines.data = {
                "xs": [each.distances for each in profiles],
                "ys": [each.values for each in profiles],
                "colour": [each.colour for each in profiles],
                "label": [each.map.label for each in profiles],
            }
            self._bands.data = _bands(profiles)
            numbers = range(len(profiles))
            self._names.data = {
                "number": list(numbers),
                "name": [each.map.label for each in profiles],
            }
            self._points.data = {
                "x": np.concatenate([each.distances for each in profiles]).astype(np.float32),
                "y": np.concatenate([each.values for each in profiles]).astype(np.float32),
                "error": np.concatenate([each.errors for each in profiles]).astype(np.float32),
                "number": np.repeat(
                    np.arange(len(profiles), dtype=np.int32), len(profiles[0].distances)
                ),
            }
            self._set_axes()
        self.on_shown()

    def _set_axes(self) -> None:
        """Show all of the line, and the counts from 0 on."""
        profiles, plot = self.profiles, self.plot
        ends = [
            end
            for each in profiles
            for end in (*(each.values + each.errors), *(each.values - each.errors))
            if math.isfinite(end)
        ]
        low, high = min([0.0, *ends]), max([0.0, *ends]) or 1.0
        length = float(profiles[0].distances[-1]) or 1.0
        margin = _MARGIN * (high - low)
        for shown, start, end in (
            (plot.x_range, 0.0, length),
            (plot.y_range, low - (margin if low < 0 else 0.0), high + margin),
        ):
            shown.update(start=start, end=end, reset_start=start, reset_end=end)
        plot.yaxis[0].axis_label = profiles[0].map.asked.unit

    def on_shown(self) -> None:
        """Tell that another line is shown."""


def _bands(profiles: Sequence[Profile]) -> dict[str, list[Any]]:
    """Return the error bands as outlines, one for each stretch without a gap."""
    columns: dict[str, list[Any]] = {"xs": [], "ys": [], "colour": []}
    for each in profiles:
        known = np.flatnonzero(np.isfinite(each.values))
        for run in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
            if len(run) == 0:
                continue
            x, low = each.distances[run], (each.values - each.errors)[run]
            high = (each.values + each.errors)[run]
            columns["xs"].append(np.concatenate([x, x[::-1]]))
            columns["ys"].append(np.concatenate([low, high[::-1]]))
            columns["colour"].append(each.colour)
    return columns


class ProfileMode(CombineMode):
    """The line on a map, what lies along it, and the controls.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self._state, self._shared = state, shared
        self.view = ProfileView(shared, state)
        self.line = LineMap(shared, state)
        self.views = (self.view, self.line)
        self._offer = Offer(shared, state, "to see them along the line beside the energy window")
        self._map = pmui.Select(
            label="Map below the line",
            options=self.line.choices,
            value=WINDOW,
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 4),
        )
        self._map.param.watch(self._choose_map, "value")
        width = pmui.IntInput.from_param(
            state.param.profile_width,
            label="Width (cells)",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 4),
        )
        self._fields = [
            pmui.FloatInput(
                label=label,
                format="0",
                size="small",
                sizing_mode="stretch_width",
                step=1.0,
                margin=(4, 4),
            )
            for label in ("from x", "from y", "to x", "to y")
        ]
        self._showing = False
        for field in self._fields:
            field.param.watch(self._take_fields, "value")
        whole = pmui.Button(
            label="Middle row",
            variant="text",
            size="small",
            margin=(4, 4),
            on_click=lambda _: self._middle(),
        )
        self._said = pn.pane.HTML(
            sizing_mode="stretch_width", margin=(2, 8), styles={"font-size": "12px"}
        )
        half = "max(240px, calc((100vh - 300px) / 2))"
        self._layout = pn.Column(
            pn.Column(
                self._map,
                width,
                *self._fields,
                whole,
                sizing_mode="stretch_width",
                margin=0,
                styles={
                    "display": "grid",
                    "grid-template-columns": "repeat(auto-fill, minmax(130px, 1fr))",
                    "align-items": "center",
                },
            ),
            self._said,
            framed(self.line, half),
            self._offer,
            framed(self.view, half),
            sizing_mode="stretch_width",
            margin=0,
            styles={"gap": "6px"},
        )
        state.param.watch(lambda *_: self._show_ends(), "profile")
        state.param.watch(lambda *_: self._elements_changed(), "elements")
        self.line.on_begun = self._say
        self._show_ends()

    def _has_any(self) -> bool:
        return bool(self._state.elements)

    def _choose_map(self, event: Any) -> None:
        self.line.map_name = event.new

    def _elements_changed(self) -> None:
        self._map.options = self.line.choices
        if self._map.value not in self.line.choices.values():
            self._map.value = WINDOW
        self._show_offer()

    def _middle(self) -> None:
        self._state.profile = None

    def _show_ends(self) -> None:
        self._showing = True
        for field, value in zip(self._fields, self.view.ends, strict=True):
            field.value = round(value)
        self._showing = False
        self._say()

    def _take_fields(self, _: Any) -> None:
        values = [field.value for field in self._fields]
        if not self._showing and all(value is not None for value in values):
            self._state.profile = tuple(float(value) for value in values)

    def _say(self) -> None:
        if self.line.begun is not None:
            self._said.object = "Now tap where the line ends."
            return
        self._said.object = (
            "Drag an end of the line, or tap where another one begins, then where it ends. The "
            "band is one standard error under Poisson statistics."
        )
