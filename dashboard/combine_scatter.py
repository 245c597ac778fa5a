"""One map against another: how often which pair of values occurs, and where."""

from __future__ import annotations

import html
import math
from typing import Any

import datashader as ds
import holoviews as hv
import numpy as np
import numpy.typing as npt
import pandas as pd
import panel as pn
import panel_material_ui as pmui
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import SelectionGeometry
from bokeh.models import (
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    LassoSelectTool,
    LogColorMapper,
    LogTicker,
)
from bokeh.plotting import figure

from maxrf_core.combinations import inside_polygon, pearson, spearman

from .combine_choosers import Offer, PairChoosers
from .combine_maps import combined_map, pair_names
from .combine_mode import CombineMode, OnDemand
from .combine_selection import Pair, SelectedMap
from .data import SharedScan
from .gallery_maps import kept_map
from .latest import Latest
from .pixels import Picture, View, to_levels
from .state import ViewState
from .theme import COLOURS, framed, palette
from .tuning import quick_zoom
from .view import LiveView

__all__ = ["ScatterMode", "ScatterView", "density"]

_WIDTH, _HEIGHT = 400, 300  # pixels, until the browser has told its own
_FEWEST_BINS = 50


def density(points: pd.DataFrame, view: View) -> npt.NDArray[np.uint32]:
    """Return how many points lie in each bin of a view, (rows, columns), row 0 at the bottom.

    There are as many bins as pixels, or fewer where points are few: about one for each point
    if they were spread evenly.
    """
    most = max(_FEWEST_BINS, round(1.2 * math.sqrt(len(points))))
    columns, rows = min(view.width, most), min(view.height, most)
    canvas = ds.Canvas(columns, rows, (view.left, view.right), (view.bottom, view.top))
    return canvas.points(points, "x", "y", ds.count()).to_numpy().astype(np.uint32)


class ScatterView(OnDemand, LiveView):
    """The cells of the state's two maps by their values. A lasso or a box selects some.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    where : SelectedMap
        Shows the cells that were selected.
    """

    def __init__(self, shared: SharedScan, state: ViewState, where: SelectedMap) -> None:
        super().__init__(shared, state)
        self.pair: Pair | None = None
        self._points = pd.DataFrame({"x": np.empty(0, "f4"), "y": np.empty(0, "f4")})
        self._where = where
        self._outline: tuple[list[float], list[float]] = ([], [])
        self._latest = Latest(self._compute, self._show, self._fail)
        self._drawing = Latest(self._draw, self._show_drawn, self._fail)
        self._selecting = Latest(self._inside, self._show_selected, self._fail)
        self._follow(["pair"])
        state.param.watch(lambda *_: self._show_palette(), "colour_map")

    # --- what is shown ------------------------------------------------------------------

    def _compute(self) -> tuple[Pair | None, pd.DataFrame]:
        names = pair_names(self.state)
        if not any(names):
            return None, self._points
        x, y = (combined_map(self.shared, self.state, name) for name in names)
        if self.pair is not None and (x.asked, y.asked) == (self.pair.x.asked, self.pair.y.asked):
            return self.pair, self._points
        x_values, y_values = (kept_map(self.shared, each.asked) for each in (x, y))
        linear, ranked = pearson(x_values, y_values), spearman(x_values, y_values)
        pair = Pair(x, y, x_values, y_values, linear, ranked)
        return pair, pair.points

    def _show(self, computed: tuple[Pair | None, pd.DataFrame]) -> None:
        self._succeed()
        pair, points = computed
        if pair is None or pair is self.pair:
            return
        self.pair, self._points = pair, points
        self.clear()
        with self._together():
            for plot in self._each("figure"):
                self._set_axes(plot)
        self._drawing.request()
        self._where.pair = pair
        self.on_shown()

    def on_shown(self) -> None:
        """Tell that other maps are shown."""

    # --- the plot -----------------------------------------------------------------------

    def element(self) -> hv.Image:
        """Return the plot of the present maps."""

        def equip(view: ScatterView, plot: Any) -> None:
            view._equip(plot.state)

        left, bottom, right, top = (0.0, 0.0, 1.0, 1.0) if self.pair is None else self.pair.home
        image = hv.Image(
            np.zeros((1, 1), np.uint8), bounds=(left, bottom, right, top), vdims=["image"]
        )
        return image.opts(
            cmap=palette(self.state.colour_map),
            clim=(1, 255),
            clipping_colors={"min": "#00000000", "NaN": "#00000000"},
            xlim=(left, right),
            ylim=(bottom, top),
            responsive=True,
            default_tools=["save"],
            tools=["pan", "wheel_zoom", "reset"],
            active_tools=["wheel_zoom"],
            hooks=[
                self._keep("colours", "color_mapper"),
                self._keep("image"),
                self._hook(equip),
            ],
        )

    def _equip(self, plot: figure) -> None:
        if plot in self._each("figure"):
            return
        self._remember("figure", plot)
        plot.tags = [*plot.tags, "scatter"]
        quick_zoom(plot)
        # With renderers of their own they would look for glyphs inside: a picture has none.
        lasso = LassoSelectTool(renderers=[], continuous=False)
        plot.add_tools(lasso, BoxSelectTool(renderers=[], continuous=False))
        plot.toolbar.active_drag = lasso
        outline = ColumnDataSource({"x": self._outline[0], "y": self._outline[1]})
        self._remember("outline", outline)
        plot.patch(
            "x",
            "y",
            source=outline,
            fill_color=COLOURS["picked"],
            fill_alpha=0.08,
            line_color=COLOURS["picked"],
            line_width=2,
        )
        mapper = LogColorMapper(palette=palette(self.state.colour_map), low=1, high=10)
        self._remember("colour bar", mapper)
        plot.add_layout(
            ColorBar(
                color_mapper=mapper,
                ticker=LogTicker(desired_num_ticks=4),
                title="cells",
                width=12,
                padding=4,
            ),
            "right",
        )
        plot.on_event(SelectionGeometry, self._select)
        for shown_range in (plot.x_range, plot.y_range):
            for end in ("start", "end"):
                shown_range.on_change(end, self._moved)
        for size in ("inner_width", "inner_height"):
            plot.on_change(size, self._moved)
        self._set_axes(plot)
        self._show_palette()
        self._drawing.request()

    def _set_axes(self, plot: figure) -> None:
        if self.pair is None:
            return
        left, bottom, right, top = self.pair.home
        for shown, start, end in ((plot.x_range, left, right), (plot.y_range, bottom, top)):
            shown.update(start=start, end=end, reset_start=start, reset_end=end)
        for axis, each in ((plot.xaxis, self.pair.x), (plot.yaxis, self.pair.y)):
            axis[0].axis_label = f"{each.label} ({each.asked.unit})"

    def _moved(self, _name: str, _old: Any, _new: Any) -> None:
        self._drawing.request()

    def _draw(self) -> list[tuple[figure, View, npt.NDArray[np.uint8], int]]:
        """Return for each plot the levels of what it shows, and the most cells in a bin."""
        drawn = []
        for plot in self._each("figure"):
            view = _view_of(plot)
            if view is None:
                continue
            counts = density(self._points, view)
            highest = max(int(counts.max(initial=0)), 2)
            logs = np.full(counts.shape, np.nan, np.float32)
            np.log(counts, out=logs, where=counts > 0)
            drawn.append((plot, view, to_levels(logs, 0.0, math.log(highest)), highest))
        return drawn

    def _show_drawn(self, drawn: list[tuple[figure, View, npt.NDArray[np.uint8], int]]) -> None:
        with self._together():
            for plot, view, levels, highest in drawn:
                bounds = (view.left, view.bottom, view.right, view.top)
                plot.renderers[0].data_source.data = Picture(levels, bounds, view.pixel).columns
                (bar,) = plot.select({"type": ColorBar})
                bar.color_mapper.high = highest

    def _show_palette(self) -> None:
        with self._together():
            for mapper in self._each("colour bar") + self._each("colours"):
                mapper.palette = palette(self.state.colour_map)

    # --- the selection ------------------------------------------------------------------

    def _select(self, event: SelectionGeometry) -> None:
        outline = _outline_of(event.geometry)
        if event.final and outline is not None:
            self.select(*outline)

    def select(self, x: list[float], y: list[float]) -> None:
        """Select the cells whose values lie inside a polygon.

        Parameters
        ----------
        x, y : list of float
            Its corners, in the units of the maps.
        """
        self._outline = (x, y)
        with self._together():
            for source in self._each("outline"):
                source.data = {"x": x, "y": y}
        self._selecting.request()

    def clear(self) -> None:
        """Select nothing."""
        self.select([], [])

    def _inside(self) -> npt.NDArray[np.bool_] | None:
        x, y = self._outline
        if self.pair is None or len(x) < 3:
            return None
        return inside_polygon(self.pair.x_values, self.pair.y_values, np.column_stack([x, y]))

    def _show_selected(self, selected: npt.NDArray[np.bool_] | None) -> None:
        self._where.selected = selected


def _outline_of(geometry: Any) -> tuple[list[float], list[float]] | None:
    """Return the corners of what was drawn, or None if the browser told something else."""
    if not isinstance(geometry, dict):
        return None
    if geometry.get("type") == "rect":
        ends = [geometry.get(name) for name in ("x0", "x1", "y0", "y1")]
        x, y = [ends[0], ends[1], ends[1], ends[0]], [ends[2], ends[2], ends[3], ends[3]]
    elif geometry.get("type") == "poly":
        # They come as arrays.
        x, y = (list(geometry.get(name, ())) for name in ("x", "y"))
    else:
        return None
    is_finite = all(isinstance(one, int | float) and math.isfinite(one) for one in (*x, *y))
    if not is_finite or not len(x) == len(y) >= 3:
        return None
    return [float(one) for one in x], [float(one) for one in y]


def _view_of(plot: figure) -> View | None:
    ends = [plot.x_range.start, plot.y_range.start, plot.x_range.end, plot.y_range.end]
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
        return None
    try:
        width, height = plot.inner_width or _WIDTH, plot.inner_height or _HEIGHT
    except UnsetValueError:  # the browser has not laid it out yet
        width, height = _WIDTH, _HEIGHT
    return View.over(tuple(map(float, ends)), width, height)


class ScatterMode(CombineMode):
    """The scatter plot with its controls, and the map of what is selected beside it.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self.where = SelectedMap(shared, state)
        self.view = ScatterView(shared, state, self.where)
        self.clear = pmui.Button(
            label="Clear selection",
            variant="text",
            size="small",
            margin=(4, 8),
            on_click=lambda _: self.view.clear(),
        )
        self.pair = PairChoosers(state, ("Across", "Upwards"), [self.clear])
        self._offer = Offer(shared, state, "to plot one against another")
        self._said = pn.pane.HTML(
            sizing_mode="stretch_width", margin=(2, 8), styles={"font-size": "12px"}
        )
        frame = pn.Column(
            framed(self.view),
            framed(self.where),
            sizing_mode="stretch_width",
            margin=0,
            styles={
                "display": "grid",
                "grid-template-columns": "repeat(auto-fit, minmax(min(340px, 100%), 1fr))",
                "gap": "8px",
            },
        )
        self.views, self._with_maps = (self.view, self.where), (frame, self._said)
        self._layout = pn.Column(
            self.pair,
            self._offer,
            frame,
            self._said,
            sizing_mode="stretch_width",
            margin=0,
        )
        state.param.watch(lambda *_: self._show_offer(), ["pair", "elements"])
        self.view.on_shown = self.where.on_shown = self._say
        self._show_offer()

    def _has_any(self) -> bool:
        return any(pair_names(self._state))

    def _say(self) -> None:
        pair = self.view.pair
        told = [] if pair is None else [pair.sentence, self.where.sentence]
        self._said.object = html.escape(" ".join(told))
