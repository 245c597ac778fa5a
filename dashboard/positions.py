"""The motor view: where the head really was for each spectrum."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import panel as pn
from bokeh.events import MouseMove, Tap
from holoviews.streams import PlotSize, RangeXY

from .data import SharedScan
from .latest import Latest
from .plots import grid_with_margin, in_motor_steps, keep_aspect, positions_image, widen_to_shape
from .state import ViewState
from .theme import COLOURS
from .tuning import quick_zoom
from .view import MarkedView, is_inside

__all__ = ["MotorPositionsView"]


class MotorPositionsView(MarkedView):
    """Motor positions of all spectra, datashaded. A tap picks the nearest spectrum.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self._pointer: tuple[float, float] | None = None
        self.readout = pn.pane.HTML(
            self._picked(),
            margin=(2, 10),
            sizing_mode="stretch_width",
            styles={"font-size": "12px", "white-space": "nowrap"},
        )
        self._latest = Latest(self._under_pointer, self._show_readout, self._fail)

    @property
    def key(self) -> str:
        """What the colours mean, as HTML."""
        used = int(self.shared.is_selected.sum())
        left_out = self.scan.n_spectra - used
        dot = '<span style="color: {}">●</span>'
        return (
            f"{dot.format(COLOURS['selected'])} {used:,} in the vendor's map &nbsp; "
            f"{dot.format(COLOURS['measured'])} {left_out:,} left out"
        )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """What a reset shows: all positions and the whole grid; left, bottom, right, top."""
        left, bottom, right, top = grid_with_margin(self.scan.grid)
        x, y = self.scan.positions.T
        return (
            min(left, float(x.min())),
            min(bottom, float(y.min())),
            max(right, float(x.max())),
            max(top, float(y.max())),
        )

    # --- the plot -----------------------------------------------------------------------

    def element(self) -> hv.DynamicMap:
        """Return the positions, drawn anew for each zoom, and the mark of what is picked."""
        left, bottom, right, top = self.bounds

        def draw(
            x_range: tuple[float, float] | None,
            y_range: tuple[float, float] | None,
            width: int | None,
            height: int | None,
            scale: float,  # noqa: ARG001 - the stream's parameter: pixels are enough
        ) -> hv.RGB:
            shape = (height or 300, width or 400)
            seen = widen_to_shape(x_range or (left, right), y_range or (bottom, top), shape)
            return positions_image(self.scan.positions, self.shared.is_selected, *seen, shape)

        image = hv.DynamicMap(
            draw, streams=[RangeXY(x_range=(left, right), y_range=(bottom, top)), PlotSize()]
        )
        return (image * self._marker()).opts(
            xlabel="x (motor steps)",
            ylabel="y (motor steps)",
            xlim=(left, right),
            ylim=(bottom, top),
            responsive=True,
            default_tools=["save"],
            tools=["pan", "wheel_zoom", "reset"],
            active_tools=["pan", "wheel_zoom"],
            hooks=[self._hook(MotorPositionsView._equip)],
        )

    def _equip(self, plot: Any) -> None:
        figure = plot.state
        if figure in self._each("figure"):
            return
        self._remember("figure", figure)
        figure.tags = [*figure.tags, "positions"]
        quick_zoom(figure)
        in_motor_steps(figure)
        keep_aspect(figure, self.bounds)
        figure.on_event(Tap, self._tap)
        figure.on_event(MouseMove, self._move)

    # --- gestures -----------------------------------------------------------------------

    def _tap(self, event: Tap) -> None:
        if is_inside(event):
            self.state.pick_spectrum(self.shared.nearest_spectrum(event.x, event.y))

    def _move(self, event: MouseMove) -> None:
        if is_inside(event):
            self._pointer = (event.x, event.y)
            self._latest.request()

    def _under_pointer(self) -> str:
        if self._pointer is None:
            return self._picked()
        return self._describe(self.shared.nearest_spectrum(*self._pointer), "nearest")

    def _picked(self) -> str:
        if self.state.cell is None:
            return self._describe(self.state.spectrum, "picked")
        row, column = self.state.cell
        return f"picked cell: row <b>{row}</b>, column <b>{column}</b>"

    def _describe(self, index: int, how: str) -> str:
        x, y = self.scan.positions[index]
        kind = "selected" if self.shared.is_selected[index] else "measured"
        dot = f'<span style="color: {COLOURS[kind]}">●</span>'
        return f"{how} {dot} <b>{index:,}</b> · x {x:,.0f} · y {y:,.0f}"

    def _show_readout(self, text: str) -> None:
        self.readout.object = text

    def _show_marker(self) -> None:
        self.readout.object = self._picked()
        super()._show_marker()
