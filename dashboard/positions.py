"""The motor view: where the head really was for each spectrum."""

from __future__ import annotations

from typing import Any

import holoviews as hv
import panel as pn
from bokeh.events import MouseMove, Tap
from bokeh.plotting import figure

from .cloud import POSITION_COLOURS, PositionCloud
from .data import SharedScan
from .latest import Latest
from .pixels import Bounds, Picture, View
from .plots import grid_with_margin, in_motor_steps, keep_aspect
from .region_marks import RegionMarks
from .state import ViewState
from .theme import COLOURS
from .view import is_inside
from .zoomable import ZoomableView

__all__ = ["MotorPositionsView"]


class MotorPositionsView(ZoomableView):
    """Motor positions of all spectra, datashaded. A tap picks the nearest spectrum.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    parameter = "positions_range"

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        self._pointer: tuple[float, float] | None = None
        self.readout = pn.pane.HTML(
            self._picked(),
            margin=(2, 10),
            sizing_mode="stretch_width",
            styles={"font-size": "11px", "white-space": "nowrap"},
        )
        self._latest = Latest(self._under_pointer, self._show_readout, self._fail)
        self._tapped: tuple[float, float] = (0.0, 0.0)
        self._picks = 0  # of all views: the newest pick counts
        self._picking = Latest(self._under_tap, self._pick, self._fail)
        state.param.watch(self._count_pick, ["spectrum", "cell"])
        self._regions = RegionMarks(
            shared,
            state,
            remember=self._remember,
            each=self._each,
            together=self._together,
            fail=self._fail,
        )

    @property
    def key(self) -> str:
        """What the colours mean, as HTML."""
        used = int(self.shared.is_selected.sum())
        left_out = self.scan.n_spectra - used
        dot = '<span style="color: {}">●</span>'
        return (
            f"{dot.format(COLOURS['selected'])} {used:,} in vendor's map &nbsp; "
            f"{dot.format(COLOURS['measured'])} {left_out:,} left out"
        )

    @property
    def home(self) -> Bounds:
        """What a reset shows: all positions and the whole grid; left, bottom, right, top."""
        grid, cloud = grid_with_margin(self.scan.grid), self.shared.cloud.extent
        lower = (min(sides) for sides in zip(grid[:2], cloud[:2], strict=True))
        upper = (max(sides) for sides in zip(grid[2:], cloud[2:], strict=True))
        return (*lower, *upper)

    # --- its pictures -------------------------------------------------------------------

    def _content(self) -> PositionCloud:
        return self.shared.cloud

    def _needed(self, view: View, bounds: Bounds) -> tuple[Bounds, tuple[float, float]]:
        return self.shared.cloud.needed(bounds, view.pixel), view.pixel

    def _picture(self, content: PositionCloud, view: View) -> Picture:
        return content.seen(view)

    # --- the plot -----------------------------------------------------------------------

    def element(self) -> hv.Overlay:
        """Return the positions as an 8-bit image, and the mark of what is picked."""
        picture = self._first_picture()
        image = {
            "cmap": POSITION_COLOURS,
            "clim": (0.5, len(POSITION_COLOURS) + 0.5),
            "clipping_colors": {"min": "#00000000"},
        }
        return self._plane(picture.levels, picture.bounds, image=image)

    def _equip(self, plot: figure) -> None:
        if plot in self._each("figure"):
            return
        self._remember("figure", plot)
        plot.tags = [*plot.tags, "positions"]
        self._watch(plot)
        in_motor_steps(plot)
        keep_aspect(plot, self.home)
        plot.on_event(Tap, self._tap)
        plot.on_event(MouseMove, self._move)
        self._regions.add_to(plot)

    # --- gestures -----------------------------------------------------------------------

    def _tap(self, event: Tap) -> None:
        if is_inside(event):
            self._tapped = (event.x, event.y)
            self._picking.request()

    def _count_pick(self, *_: Any) -> None:
        self._picks += 1

    def _under_tap(self) -> tuple[int, int]:
        """Return the spectrum under the tap, and how often anything was picked before."""
        picks = self._picks
        return self.shared.nearest_spectrum(*self._tapped), picks

    def _pick(self, answer: tuple[int, int]) -> None:
        spectrum, picks = answer
        if picks == self._picks:  # else a newer tap on another view was answered meanwhile
            self.state.pick_spectrum(spectrum)

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

    def _tell_pick(self) -> None:
        self.readout.object = self._picked()
