"""Arrays in, HoloViews elements and screen-ready arrays out."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import numpy.typing as npt
from bokeh.models import BasicTicker, BoxZoomTool, CustomJS, NumeralTickFormatter
from bokeh.plotting import figure

from maxrf_core import Grid

__all__ = [
    "comb",
    "counts_range",
    "grid_with_margin",
    "in_motor_steps",
    "keep_aspect",
    "line",
]

_LINES_FROM_KEV = 0.5  # the zero peak below would flatten every other peak


def comb(
    energies: npt.NDArray[np.floating], counts: npt.NDArray[np.number]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the corners of a step line through counts: a channel is a step, not a point.

    Returns
    -------
    x, y : (2 c,) float32
        Channel edges in keV, and counts.
    """
    return _channel_edges(energies), np.repeat(counts.astype(np.float32), 2)


def _channel_edges(energies: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    if len(energies) == 1:
        inner = np.empty(0)
        half = 0.5
        first, last = energies[0] - half, energies[-1] + half
    else:
        inner = (energies[:-1] + energies[1:]) / 2
        first = energies[0] - (inner[0] - energies[0])
        last = energies[-1] + (energies[-1] - inner[-1])
    return np.repeat(np.concatenate([[first], inner, [last]]), 2)[1:-1].astype(np.float32)


def line(
    name: str, x: npt.NDArray, y: npt.NDArray, *, width: float = 1.5, alpha: float = 1.0
) -> hv.Curve:
    """Return one line of the spectrum plot, coloured by its name."""
    return hv.Curve((x, y), "energy", "counts", label=name).opts(
        line_width=width, alpha=alpha, tools=[]
    )


def counts_range(
    energies: npt.NDArray[np.floating], lines: list[npt.NDArray[np.number]], *, log: bool
) -> tuple[float, float]:
    """Return the limits of the counts axis: the tallest line above the zero peak fits."""
    above = energies >= _LINES_FROM_KEV
    if not above.any():
        above[:] = True
    tops = [float(np.nanmax(values[above])) for values in lines if np.isfinite(values).any()]
    top = max(tops, default=1.0)
    if top <= 0:
        top = 1.0
    return (1e-3 * max(top, 1.0), 2.0 * top) if log else (0.0, 1.06 * top)


def grid_with_margin(grid: Grid, margin: float = 0.02) -> tuple[float, float, float, float]:
    """Return the outer edges of a grid, a little wider: left, bottom, right, top."""
    left, bottom, right, top = grid.bounds
    dx, dy = margin * (right - left), margin * (top - bottom)
    return left - dx, bottom - dy, right + dx, top + dy


_FIT = """
const w = fig.inner_width, h = fig.inner_height;
if (!(w > 20 && h > 20)) return;
const scale = Math.max((right - left) / w, (top - bottom) / h);
const x = (left + right) / 2, y = (bottom + top) / 2;
const first = !fig.tags.includes('fitted');
// Nobody zoomed: what a reset shows is seen, and will be in the new frame.
const at_home = [fig.x_range, fig.y_range].every(
  (range) => range.start === range.reset_start && range.end === range.reset_end);
// A plot that is made for less than all of it, as an address asks, begins with that.
const far = (a, b) => Math.abs(a - b) > 1e-6 * Math.max(right - left, top - bottom);
const is_zoomed = far(fig.x_range.start, left) || far(fig.x_range.end, right)
  || far(fig.y_range.start, bottom) || far(fig.y_range.end, top);
const limits = [x - w * scale / 2, x + w * scale / 2, y - h * scale / 2, y + h * scale / 2];
// Told before the ranges move: what shows because a frame changed is nobody's zoom.
const show = (ends) => {
  fig.maxrf_fits = (fig.maxrf_fits ?? 0) + 1;
  const others = fig.tags.filter((tag) => !Array.isArray(tag));
  fig.tags = [...others, ['fit', fig.maxrf_fits, ...ends]];
  fig.x_range.setv({start: ends[0], end: ends[1]});
  fig.y_range.setv({start: ends[2], end: ends[3]});
};
fig.x_range.setv({reset_start: limits[0], reset_end: limits[1]});
fig.y_range.setv({reset_start: limits[2], reset_end: limits[3]});
if (first ? !is_zoomed : at_home) {
  show(limits);
} else {
  // All of what was in view before the frame changed, in the middle. A frame changes often, and
  // one side at a time: what was widened for one shape is not widened once more for the next.
  const now = [fig.x_range.start, fig.x_range.end, fig.y_range.start, fig.y_range.end];
  const kept = fig.maxrf_kept ??= {asked: now, shown: []};
  if (now.some((end, i) => end !== kept.shown[i])) kept.asked = now;
  const [x0, x1, y0, y1] = kept.asked;
  const half = Math.max((x1 - x0) / w, (y1 - y0) / h) / 2, cx = (x0 + x1) / 2, cy = (y0 + y1) / 2;
  const shown = [cx - w * half, cx + w * half, cy - h * half, cy + h * half];
  if (shown.some((end, i) => Math.abs(end - now[i]) > 1e-6 * (x1 - x0 + y1 - y0))) {
    show(shown);
    kept.shown = shown;
  }
}
if (first) fig.tags = [...fig.tags, 'fitted'];
"""


_TICKS = "ticker.desired_num_ticks = Math.min(4, Math.max(1, Math.floor(cb_obj.inner_width / 80)))"


def in_motor_steps(plot: figure) -> None:
    """Write the numbers of both axes out, with few enough ticks to be read, on a phone as well."""
    for axis in plot.axis:
        axis.formatter = NumeralTickFormatter(format="0,0")
        axis.ticker = BasicTicker(desired_num_ticks=4)
    fewer = CustomJS(args={"ticker": plot.xaxis[0].ticker}, code=_TICKS)
    plot.js_on_change("inner_width", fewer)


def keep_aspect(plot: figure, bounds: tuple[float, float, float, float]) -> None:
    """Hold a plot at equal aspect in whatever frame the page gives it.

    Bokeh's own `match_aspect` needs data ranges, which a plot whose data are patched
    cannot have. Wheel zoom, pan and the box zoom tool keep the ratio by themselves.

    Parameters
    ----------
    plot : figure
        The plot; its ranges are set when the page lays it out.
    bounds : (float, float, float, float)
        What a reset shows: left, bottom, right, top.
    """
    left, bottom, right, top = bounds
    fit = CustomJS(
        args={"fig": plot, "left": left, "bottom": bottom, "right": right, "top": top}, code=_FIT
    )
    for tool in plot.select({"type": BoxZoomTool}):
        tool.match_aspect = True
    plot.js_on_change("inner_width", fit)
    plot.js_on_change("inner_height", fit)
