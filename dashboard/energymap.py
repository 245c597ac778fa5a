"""The map view: where in the object the counts of the energy window come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import holoviews as hv
import numpy as np
import numpy.typing as npt
from bokeh.events import MouseMove, Tap
from bokeh.models import (
    BasicTicker,
    ColorBar,
    ColumnDataSource,
    CustomJSHover,
    GlyphRenderer,
    HoverTool,
    LinearColorMapper,
)
from bokeh.plotting import figure

from .asked import MAP_PARAMETERS, asked_by
from .data import SharedScan
from .latest import Latest
from .layers import Asked
from .pixels import Bounds, Picture, View, bounds_of, grid_bins
from .plots import grid_with_margin, in_motor_steps, keep_aspect
from .region_drawing import RegionDrawing
from .region_marks import RegionMarks
from .scaling import ScaledMap, scale_map
from .state import ViewState
from .theme import palette
from .underlay import Underlay
from .view import is_inside
from .zoomable import Drawn, Screen, ZoomableView

__all__ = ["EnergyMapView"]

_WHOLE_CELLS = 65_536
"""Maps up to this size are sent whole, with their values for the hover: 0.3 MB.

Of a larger one the browser gets what it can show, and asks for the value under the pointer.
"""

_ANSWER = ("x", "y", "shown", "drawn", "counts")
"""Columns of what the server tells of the cell under the pointer."""

_TOOLTIP = """
if (format === "cell") return Math.floor((value - start) / pitch).toFixed(0);
if (format === "steps") return value.toLocaleString("en", {maximumFractionDigits: 0});
const {x, y, drawn, ...told} = answer.data;
if (format === "drawn") return drawn[0];
const here = Math.abs(special_vars.x - x[0]) < width && Math.abs(special_vars.y - y[0]) < height;
return here ? told[format][0] : "…";
"""
"""What a tooltip tells: the number of a row or column, motor steps, and what the server answered.

An answer is shown only inside the cell whose centre it names.
"""


@dataclass(frozen=True)
class Computed:
    """A map, what it was computed from, and what each screen shows of it."""

    asked: Asked
    scaled: ScaledMap
    pictures: list[tuple[Screen, Picture]]


class EnergyMapView(ZoomableView):
    """Map of the energy window, in motor coordinates. A tap shows a cell's spectrum.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    parameter = "map_range"

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self._pointer: tuple[int, int] | None = None
        self._is_small = self.scan.grid.size <= _WHOLE_CELLS
        self._asked = asked_by(shared, state)
        self._map = self._compute_map(self._asked)
        self._latest = Latest(self._compute, self._show, self._fail, ready=self._until_drawn)
        self._errors = Latest(self._compute_error, self._show_error, self._fail)
        self.drawing = RegionDrawing(shared, state)
        self._regions = RegionMarks(
            shared,
            state,
            remember=self._remember,
            each=self._each,
            together=self._together,
            fail=self._fail,
        )
        self.underlay = Underlay(
            shared,
            state,
            screens=lambda: self._screens,
            together=self._together,
            fail=self._fail,
        )
        state.param.watch(
            lambda *_: self._latest.request(), [*MAP_PARAMETERS, "window", "layer", "clip"]
        )
        state.param.watch(lambda *_: self._sigma_changed(), ["sigma", "follow_resolution"])
        state.param.watch(lambda *_: self._show_palette(), "colour_map")

    # --- what is shown ------------------------------------------------------------------

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The map shown, (h, w) float32 counts, read-only; NaN in cells without a datum."""
        values = self._map.values.view()
        values.flags.writeable = False  # visitors may share it
        return values

    @property
    def title(self) -> str:
        """What is shown, in words."""
        return self._asked.title

    @property
    def picture(self) -> ScaledMap:
        """The map shown, with the values of its end colours."""
        return self._map

    def _compute_map(self, asked: Asked) -> ScaledMap:
        return scale_map(self.shared.layer_map(asked), self.state.clip)

    def _compute(self) -> Computed:
        asked = asked_by(self.shared, self.state)
        if asked == self._asked:  # other colours of the same map
            scaled = scale_map(self._map.values, self.state.clip)
        else:
            scaled = self._compute_map(asked)
        return Computed(asked, scaled, self._pictures(scaled, self._screens))

    def _sigma_changed(self) -> None:
        if self.state.smooth_map:
            self._latest.request()

    # --- its pictures -------------------------------------------------------------------

    @property
    def home(self) -> Bounds:
        """What a reset shows: left, bottom, right, top."""
        return grid_with_margin(self.scan.grid)

    def _content(self) -> ScaledMap:
        return self._map

    def _needed(self, view: View, bounds: Bounds) -> tuple[Bounds, tuple[float, float]]:
        grid = self.scan.grid
        if self._is_small:
            return grid.bounds, (grid.dx, grid.dy)
        rows, columns = grid_bins(grid, bounds, view.pixel)
        return bounds_of(grid, rows, columns), (grid.dx * columns.cells, grid.dy * rows.cells)

    def _picture(self, content: ScaledMap, view: View) -> Picture:
        grid = self.scan.grid
        return content.whole(grid) if self._is_small else content.seen(grid, view)

    def _columns(self, content: ScaledMap, _picture: Picture) -> dict[str, Any]:
        return {"value": [content.values]} if self._is_small else {}

    def _moved(self, name: str, old: Any, new: Any) -> None:
        super()._moved(name, old, new)
        self.underlay.refresh()

    # --- the plot -----------------------------------------------------------------------

    def element(self) -> hv.Overlay:
        """Return the map as an 8-bit image, and the mark of what is picked."""
        picture = self._first_picture()
        image = {
            "cmap": palette(self.state.colour_map),
            "clim": (1, 255),
            "clipping_colors": {"min": "#00000000", "NaN": "#00000000"},
            "hooks": [self._keep("colours", "color_mapper")],
        }
        return self._plane(
            picture.levels,
            picture.bounds,
            image=image,
            title=self.title,
            fontsize={"title": "10pt"},
        )

    def _hover(self, answer: ColumnDataSource, renderers: list[GlyphRenderer]) -> HoverTool:
        """Return the tooltip of a cell: what the map shows, counts and their error."""
        grid = self.scan.grid
        left, bottom, _, _ = grid.bounds
        axes = {"x": (left, grid.dx), "y": (bottom, grid.dy)}
        shown = [("map", "@value{0,0.[00]}" if self._is_small else "$x{shown}")]
        if not self._is_small:
            shown.append(("colour", "$x{drawn}"))
        told = {"answer": answer, "width": grid.dx / 2, "height": grid.dy / 2}
        return HoverTool(
            renderers=renderers,
            tooltips=[
                ("cell", "row $y{cell}, column $x{cell}"),
                ("x, y", "$x{steps}, $y{steps}"),
                *shown,
                ("counts", "$x{counts}"),
            ],
            formatters={
                f"${axis}": CustomJSHover(
                    args={"start": start, "pitch": pitch, **told}, code=_TOOLTIP
                )
                for axis, (start, pitch) in axes.items()
            },
        )

    def _equip(self, plot: figure) -> None:
        if plot in self._each("figure"):
            return
        self._remember("figure", plot)
        plot.tags = [*plot.tags, "map"]
        plot.title.text = self.title
        screen = self._watch(plot)
        in_motor_steps(plot)
        keep_aspect(plot, self.home)
        # The image's own mapper stays at 1 to 255; this one shows the true limits, so that
        # new limits repaint a bar and not the image (bokeh issue 14797).
        mapper = LinearColorMapper(
            palette=palette(self.state.colour_map), low=self._map.low, high=self._map.high
        )
        self._remember("colour bar", mapper)
        bar = ColorBar(
            color_mapper=mapper,
            ticker=BasicTicker(desired_num_ticks=5),
            title=self._asked.unit,
            width=12,
            padding=4,
            title_text_font_size="9pt",
        )
        plot.add_layout(bar, "right")
        plot.on_event(Tap, self._tap)
        answer = ColumnDataSource({name: ["…"] for name in _ANSWER})
        plot.add_tools(self._hover(answer, plot.renderers[:1]))
        # Painted on the layer above the picture, and invisible: the answer repaints that
        # layer alone, and the hover tool writes its tooltip anew after each repaint.
        plot.scatter("x", "y", source=answer, level="overlay", alpha=0)
        screen.keep(answer=answer, limits=mapper, bar=bar, title=plot.title)
        plot.on_event(MouseMove, self._point)
        self._regions.add_to(plot)
        self.drawing.add_to(plot)
        self.underlay.add_to(plot, screen)
        self._show_palette()  # of the picture, which may have been made for another one

    # --- gestures -----------------------------------------------------------------------

    def _tap(self, event: Tap) -> None:
        if self.drawing.active == "polygon":
            return  # it is a corner
        cell = self.scan.grid.cell_at(event.x, event.y) if is_inside(event) else None
        if cell is not None:
            self.state.pick_cell(*cell)

    def _point(self, event: MouseMove) -> None:
        """Tell the values of the cell under the pointer."""
        cell = self.scan.grid.cell_at(event.x, event.y) if is_inside(event) else None
        if cell is not None and cell != self._pointer:
            self._pointer = cell
            self._answer()
            self._push()

    def _answer(self) -> None:
        """Tell the value of the cell under the pointer, and what its colour stands for."""
        if self._pointer is None:
            return
        row, column = self._pointer
        grid = self.scan.grid
        shown = _number(float(self.values[row, column]))
        for screen in self._screens:
            across, up = (
                size / pitch
                for size, pitch in zip(screen.picture.pixel, (grid.dx, grid.dy), strict=True)
            )
            one = across * up < 1 + 1e-6
            drawn = "of the cell" if one else f"mean of {across:.1f} × {up:.1f} cells"
            screen.tell(x=grid.x[column], y=grid.y[row], shown=shown, drawn=drawn, counts="…")
        self._errors.request()

    def _compute_error(self) -> tuple[tuple[int, int], str]:
        """Return the cell under the pointer, and its counts with their standard error."""
        row, column = self._pointer
        counts, error = self.shared.cell_counts(self._asked, row, column)
        unit = "/s" if self._asked.per_second else ""
        told = _number(counts) if math.isnan(counts) else f"{counts:,.2f} ± {error:,.2f}{unit}"
        return (row, column), told

    def _show_error(self, answered: tuple[tuple[int, int], str]) -> None:
        cell, counts = answered
        if cell == self._pointer:
            for screen in self._screens:
                screen.tell(counts=counts)
            self._push()

    def _show(self, computed: Computed) -> None:
        self._succeed()
        self._asked, self._map = computed.asked, computed.scaled
        with self._together():
            for screen, picture in computed.pictures:
                screen.show(picture, **self._columns(self._map, picture))
            for screen in self._screens:
                screen.update("limits", low=self._map.low, high=self._map.high)
                screen.update("title", text=self.title)
                screen.update("bar", title=self._asked.unit)
            self._answer()
        self._refresh()  # a view may have moved while the map was computed

    def _show_drawn(self, drawn: Drawn) -> None:
        super()._show_drawn(drawn)
        self._answer()

    def _show_palette(self) -> None:
        with self._together():
            for mapper in self._each("colour bar") + self._each("colours"):
                mapper.palette = palette(self.state.colour_map)


def _number(value: float) -> str:
    """Return a value of a cell as text."""
    if not math.isfinite(value):
        return "no datum"
    return f"{value:,.2f}".rstrip("0").rstrip(".")
