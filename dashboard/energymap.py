"""The map view: where in the object the counts of the energy window come from."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import numpy as np
import numpy.typing as npt
from bokeh.events import Tap
from bokeh.models import BasicTicker, ColorBar, CustomJSHover, HoverTool, LinearColorMapper

from .data import SharedScan
from .latest import Latest
from .plots import ScaledMap, grid_with_margin, in_motor_steps, keep_aspect, scale_map
from .state import ViewState
from .theme import palette
from .tuning import quick_zoom
from .view import MarkedView, is_inside

__all__ = ["EnergyMapView"]

_HOVER_CELLS = 250_000
"""Maps up to this size carry their values to the browser for the hover: 1 MB."""


_COORDINATE = """
if (format === "cell") return Math.floor((value - start) / pitch).toFixed(0);
return value.toLocaleString("en", {maximumFractionDigits: 0});
"""
"""A motor coordinate in a tooltip: as the number of its row or column, or in steps."""


class EnergyMapView(MarkedView):
    """Map of the energy window, in motor coordinates. A tap shows a cell's spectrum.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self._map = self._compute()
        self._latest = Latest(self._compute, self._show, self._fail)
        state.param.watch(
            lambda *_: self._latest.request(), ["window", "method", "smooth_map", "clip"]
        )
        state.param.watch(lambda *_: self._sigma_changed(), "sigma")
        state.param.watch(lambda *_: self._show_palette(), "colour_map")

    # --- what is shown ------------------------------------------------------------------

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The map shown, (h, w) float32 counts; NaN in cells without a datum."""
        return self._map.values

    @property
    def title(self) -> str:
        """What is shown, in words."""
        low, high = self.state.window
        of = f", spectra smoothed by {self.state.sigma:g}" if self.state.smooth_map else ""
        return f"{low:.3f}–{high:.3f} keV · {self.state.method}{of}"

    def _compute(self) -> ScaledMap:
        state = self.state
        values = self.scan.energy_map(
            *state.window, method=state.method, sigma=state.sigma if state.smooth_map else 0
        )
        return scale_map(values, state.clip)

    def _sigma_changed(self) -> None:
        if self.state.smooth_map:
            self._latest.request()

    # --- the plot -----------------------------------------------------------------------

    def element(self) -> hv.Overlay:
        """Return the map as an 8-bit image, and the mark of what is picked."""
        bounds = self.scan.grid.bounds
        columns = self._columns()
        # HoloViews keeps row 0 of an image at the top, a scan at the bottom.
        arrays = [values[0][::-1].astype(np.float32) for values in columns.values()]
        image = hv.Image(np.dstack(arrays), bounds=bounds, vdims=list(columns))
        image = image.opts(
            cmap=palette(self.state.colour_map),
            clim=(1, 255),
            clipping_colors={"min": "#00000000", "NaN": "#00000000"},
            tools=[self._hover()],
            hooks=[self._keep("map"), self._keep("colours", "color_mapper")],
        )
        return (image * self._marker()).opts(
            xlabel="x (motor steps)",
            ylabel="y (motor steps)",
            title=self.title,
            responsive=True,
            default_tools=["save"],
            tools=["pan", "wheel_zoom", "reset"],
            active_tools=["pan", "wheel_zoom"],
            fontsize={"title": "10pt"},
            hooks=[self._hook(EnergyMapView._equip)],
        )

    def _hover(self) -> HoverTool:
        grid = self.scan.grid
        left, bottom, _, _ = grid.bounds
        axes = {"x": (left, grid.dx), "y": (bottom, grid.dy)}
        return HoverTool(
            tooltips=[
                ("cell", "row $y{cell}, column $x{cell}"),
                ("x, y", "$x{steps}, $y{steps}"),
                ("counts", "@value{0,0.[00]}"),
            ],
            formatters={
                f"${axis}": CustomJSHover(args={"start": start, "pitch": pitch}, code=_COORDINATE)
                for axis, (start, pitch) in axes.items()
            },
        )

    def _columns(self) -> dict[str, list[npt.NDArray]]:
        """Return the columns of the image's source: what is drawn, and what the hover reads."""
        columns: dict[str, list[npt.NDArray]] = {"image": [self._map.levels]}
        if self._map.values.size <= _HOVER_CELLS:
            columns["value"] = [self._map.values]
        return columns

    def _equip(self, plot: Any) -> None:
        figure = self._remember("figure", plot.state)
        figure.tags = [*figure.tags, "map"]
        quick_zoom(figure)
        in_motor_steps(figure)
        keep_aspect(figure, grid_with_margin(self.scan.grid))
        if not figure.select({"type": ColorBar}):
            # The image's own mapper stays at 1 to 255; this one shows the true limits, so that
            # new limits repaint a bar and not the image (bokeh issue 14797).
            mapper = LinearColorMapper(
                palette=palette(self.state.colour_map), low=self._map.low, high=self._map.high
            )
            self._remember("limits", mapper)
            figure.add_layout(
                ColorBar(
                    color_mapper=mapper,
                    ticker=BasicTicker(desired_num_ticks=5),
                    title="counts",
                    width=12,
                    padding=4,
                    title_text_font_size="9pt",
                ),
                "right",
            )
            figure.on_event(Tap, self._tap)

    def _tap(self, event: Tap) -> None:
        cell = self.scan.grid.cell_at(event.x, event.y) if is_inside(event) else None
        if cell is not None:
            self.state.pick_cell(*cell)

    def _show(self, scaled: ScaledMap) -> None:
        self._map = scaled
        self._patch("map", **self._columns())
        for mapper in self._each("limits"):
            mapper.update(low=scaled.low, high=scaled.high)
        for figure in self._each("figure"):
            figure.title.text = self.title
        self._push()

    def _show_palette(self) -> None:
        for mapper in self._each("limits") + self._each("colours"):
            mapper.palette = palette(self.state.colour_map)
        self._push()
