"""The spectrum view: the raw comb, the smoothed line over it, and the energy window."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import holoviews as hv
import numpy as np
import numpy.typing as npt
import panel as pn
import panel_material_ui as pmui
from bokeh.models import BoxAnnotation, HoverTool

from maxrf_core import ParameterError
from maxrf_core.elements import LineGroup
from maxrf_core.smoothing import TRUNCATE, sigma_to_fwhm, smooth_spectra

from .data import SharedScan
from .element_marks import add_marks, line_columns, peak_columns
from .latest import Latest, Paced, Settled
from .layers import Asked
from .plots import comb, counts_range, line
from .region_lines import RegionLines
from .state import ViewState
from .theme import COLOURS
from .tuning import quick_zoom
from .view import LiveView
from .zoom import Zoom, extent_of

__all__ = ["SpectrumView"]

_SETTLED_MS = 150
"""How long sigma must stand still until the server tells what the browser has drawn already."""

_TOOLS = ("xpan", "xwheel_zoom", "xbox_zoom", "reset", "save")
"""Along the energies: the axis of the counts fits what is shown."""

_SMALLEST_ON_LOG = 1e-4
_KEV_DECIMALS = 4  # a tenth of an eV: far below a channel, and short in the address

_SMOOTH = r"""
// As maxrf_core.smoothing.smooth_spectra, in float64 and rounded once.
const slider = cb_obj.value;
const kernel_of = (sigma) => {
  const radius = Math.floor(truncate * sigma + 0.5), kernel = new Float64Array(2 * radius + 1);
  let total = 0;
  for (let k = 0; k < kernel.length; k++)
    total += kernel[k] = radius === 0 ? 1 : Math.exp(-0.5 * ((k - radius) / sigma) ** 2);
  return kernel.map((weight) => weight / total);
};
const smooth = (raw, shape) => {
  const c = raw.length, same = shape.every((factor) => factor === 1);
  const widest = Math.floor(truncate * slider * shape.reduce((a, b) => Math.max(a, b)) + 0.5);
  const sums = new Float64Array(c + 2 * widest);
  let kernel = kernel_of(slider);
  for (let j = 0; j < c; j++) {
    const count = raw[j];
    if (count === 0) continue;
    if (!same) kernel = kernel_of(slider * shape[j]);
    const first = j + widest - (kernel.length - 1) / 2;
    for (let k = 0; k < kernel.length; k++) sums[first + k] += count * kernel[k];
  }
  for (let j = 0; j < widest; j++) {  // d c b a | a b c d | d c b a
    let left = (widest - 1 - j) % (2 * c), right = (c + j) % (2 * c);
    if (left >= c) left = 2 * c - 1 - left;
    if (right >= c) right = 2 * c - 1 - right;
    sums[widest + left] += sums[j];
    sums[widest + right] += sums[widest + c + j];
  }
  return sums.subarray(widest, widest + c);
};
const ev = slider * ev_per_channel;
const widths = `${ev.toFixed(0)} eV · FWHM ${(ev * fwhm).toFixed(0)} eV`;
for (const doc of Bokeh.documents) for (const model of doc._all_models.values()) {
  if (model.name !== name) continue;
  if (model.type === "ColumnDataSource") {
    const {raw, shape, counts} = model.data, [floor] = model.tags;
    smooth(raw, shape).forEach((value, j) => counts[j] = Math.max(value, floor));
    model.change.emit();
  } else {
    const told = ev === 0 ? "off" : widths;
    const text = model.text.replace(/(smoothing( at [0-9.]+ keV)?) .*$/, `$1 ${told}`);
    model.setv({text}, {sync: false});
  }
}
"""
"""Draw the smoothed line for a slider of sigma, before the server knows of it."""


_Read = tuple[int | tuple[int, int], npt.NDArray]
"""A spectrum's number or a cell's row and column, and its counts, (c,)."""


class SpectrumView(LiveView):
    """Raw and smoothed spectrum of the picked position or cell, with the energy window.

    Drag the window or its edges, or zoom with the wheel along the energies.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        extent = extent_of(self.scan, "energy_range")
        self._zoom = Zoom(state, "energy_range", extent, self._together)
        self._energies = self.scan.energies.astype(np.float32)
        self._mean = self.scan.total_spectrum / np.float64(self.scan.n_spectra)
        self._shown, self._counts = self._read_counts()
        self._moving = False
        self._dragged = Paced(self._take_window)
        self._name = f"smoothed {uuid4()}"
        self._sliders: weakref.WeakSet[pmui.FloatSlider] = weakref.WeakSet()
        self._settled = Settled(self._show_smooth, _SETTLED_MS)
        self._reader = Latest(self._read_counts, self._show_counts, self._fail)
        self._lines = self._find_lines()
        self._peaks: tuple[float, ...] = ()
        self._marker = Latest(self._find_lines, self._show_lines, self._fail)
        self.regions = RegionLines(
            shared,
            state,
            figures=lambda: self._each("figure"),
            together=self._together,
            fail=self._fail,
            changed=self._set_limits,
        )
        state.param.watch(lambda *_: self._marker.request(), "elements")
        state.param.watch(lambda *_: self._sigma_changed(), "sigma")
        state.param.watch(
            lambda *_: self._reader.request(), ["spectrum", "cell", "method", "correct_lag"]
        )
        state.param.watch(lambda *_: self._show_shape(), "follow_resolution")
        state.param.watch(lambda *_: self._show_window(), "window")
        state.param.watch(lambda *_: self._show_sides(), ["window", "background", "layer"])
        state.param.watch(lambda *_: self._show_visible(), ["show_sum", "show_max"])
        state.param.watch(lambda *_: self._remake(), "log_counts")

    # --- what is shown ------------------------------------------------------------------

    @property
    def counts(self) -> npt.NDArray:
        """Counts of the spectrum shown, (c,): uint16 if measured, float32 if interpolated."""
        return self._counts

    @property
    def smoothed(self) -> npt.NDArray:
        """The same smoothed with the state's sigma, (c,) float32."""
        sigma = self.shared.smoothing(
            self.state.sigma, follow_resolution=self.state.follow_resolution
        )
        return smooth_spectra(self._counts, sigma).astype(np.float32, copy=False)

    @property
    def _shape(self) -> npt.NDArray[np.float32]:
        """Sigma in each channel over that of the slider, (c,)."""
        if self.state.follow_resolution:
            return self.shared.sigma_shape.astype(np.float32)
        return np.ones(self.scan.n_channels, dtype=np.float32)

    @property
    def title(self) -> str:
        """What is shown, in words."""
        total = float(np.sum(self._counts))
        if isinstance(self._shown, int):
            what = f"Spectrum {self._shown:,} · {total:,.0f} counts"
        else:
            row, column = self._shown
            counted = "no datum" if np.isnan(total) else f"{total:,.1f} counts, interpolated"
            what = f"Cell row {row}, column {column} · {counted}"
        where = " at 5.9 keV" if self.state.follow_resolution else ""
        return f"{what} · smoothing{where} {self.sigma_text}"

    @property
    def sigma_text(self) -> str:
        """The smoothing as widths in eV."""
        ev = self.state.sigma * self.scan.kev_per_channel * 1000
        if ev == 0:
            return "off"
        return f"{ev:.0f} eV · FWHM {sigma_to_fwhm(ev):.0f} eV"

    def _read_counts(self) -> _Read:
        """Return what is picked, a spectrum or a cell, and its counts."""
        spectrum, cell = self.state.spectrum, self.state.cell  # another may be picked meanwhile
        if cell is None:
            return spectrum, self.scan.spectrum(spectrum)
        lag = self.shared.lag_corrected(self.state.correct_lag)
        return cell, self.scan.cell_spectrum(*cell, method=self.state.method, lag=lag)

    @property
    def _floor(self) -> float:
        return _SMALLEST_ON_LOG if self.state.log_counts else -np.inf

    def _on_axis(self, values: npt.NDArray) -> npt.NDArray[np.float32]:
        return np.maximum(values.astype(np.float32, copy=False), np.float32(self._floor))

    def _limits(self) -> tuple[float, float]:
        lines = [self._counts, self.smoothed]
        lines += [self._mean] if self.state.show_sum else []
        lines += [self.scan.max_smoothed] if self.state.show_max else []
        lines += self.regions.shown
        return counts_range(self.scan.energies, lines, log=self.state.log_counts)

    def _visible_energies(self) -> tuple[float, float]:
        """Return what a plot drawn anew shows: what the one before it did."""
        for figure in self._each("figure"):
            ends = figure.x_range.start, figure.x_range.end
            is_shown = figure.document is not None  # plots that were replaced linger for a while
            if is_shown and all(isinstance(end, int | float) and np.isfinite(end) for end in ends):
                return ends
        return self._zoom.seen or self.shared.energy_limits

    # --- the plot -----------------------------------------------------------------------

    def element(self) -> hv.Overlay:
        """Return the spectrum plot: an overlay of four lines and the window."""
        energies = self._energies
        x, y = comb(energies, self._counts)
        lines = {
            "sum": line(
                f"Sum ÷ {self.scan.n_spectra:,} spectra", energies, self._on_axis(self._mean)
            ),
            "max": line("Max, smoothed", energies, self._on_axis(self.scan.max_smoothed)),
            "raw": line("Raw counts", x, self._on_axis(y), width=1, alpha=0.75),
            "smooth": line("Smoothed", energies, self._on_axis(self.smoothed), width=2.5),
        }
        curves = [
            curve.opts(
                color=COLOURS[name],
                default_tools=list(_TOOLS),  # an overlay takes its lines', not its own
                hooks=[self._keep(name), self._keep(f"{name} line", "glyph_renderer")],
            )
            for name, curve in lines.items()
        ]
        return hv.Overlay(curves).opts(
            xlabel="Energy (keV)",
            ylabel="Counts",
            xlim=self._visible_energies(),
            ylim=self._limits(),
            logy=self.state.log_counts,
            title=self.title,
            responsive=True,
            show_grid=True,
            legend_position="top_right",
            legend_opts={
                "click_policy": "hide",
                "background_fill_alpha": 0.7,
                "inactive_fill_color": "#808080",  # a veil that is none on dark paper, nor light
                "inactive_fill_alpha": 0.3,
                "padding": 4,
                "spacing": 0,
            },
            active_tools=["xpan", "xwheel_zoom"],
            fontsize={"title": "10pt", "legend": "9pt"},
            hooks=[self._hook(SpectrumView._equip)],
        )

    def _equip(self, plot: Any) -> None:
        figure = self._remember("figure", plot.state)
        figure.tags = [*figure.tags, "spectrum"]
        quick_zoom(figure)
        figure.title.name = self._name
        for source in self._each("smooth"):
            if "raw" not in source.data:
                source.update(name=self._name, tags=[self._floor])
                source.data["raw"] = self._counts.astype(np.float32)
                source.data["shape"] = self._shape
        figure.x_range.update(
            bounds=(float(self.scan.energies[0]), float(self.scan.energies[-1])),
            reset_start=self.shared.energy_limits[0],
            reset_end=self.shared.energy_limits[1],
        )
        if figure.select_one({"name": "energy window"}) is None:
            self._zoom.follow(figure, self.shared.energy_limits)
            low, high = self.state.window
            box = BoxAnnotation(
                name="energy window",
                left=low,
                right=high,
                editable=True,
                movable="x",
                resizable="x",
                fill_color=COLOURS["window"],
                fill_alpha=0.25,
                line_color=COLOURS["window"],
                line_alpha=0.9,
                line_width=2,
                hover_fill_color=COLOURS["window"],
                hover_fill_alpha=0.4,
            )
            box.on_change("left", self._drag)
            box.on_change("right", self._drag)
            figure.add_layout(box)
            self._remember("window", box)
            for side in range(2):
                figure.add_layout(self._remember(f"side {side}", self._side_box()))
            self._show_sides()
            figure.add_tools(
                HoverTool(
                    tooltips=[("energy", "$x{0.000} keV"), ("counts", "@counts{0.[00]}")],
                    renderers=[
                        plot.subplots[key].handles["glyph_renderer"] for key in plot.subplots
                    ][-1:],
                    mode="vline",
                )
            )
            add_marks(figure, self._remember, self._line_columns, peak_columns(self._peaks))
            self.regions.add_to(figure)
        self._show_visible()
        self._draw_counts()  # the state may have changed since the element was made

    # --- lines of elements, and peaks -----------------------------------------------------

    def _find_lines(self) -> list[tuple[LineGroup, ...]]:
        """Return the lines to mark of each element that was chosen."""
        return [self.shared.elements.groups(name) for name in self.state.elements]

    def _show_lines(self, lines: list[tuple[LineGroup, ...]]) -> None:
        self._lines = lines
        with self._together():
            self._patch_lines()

    @property
    def _line_columns(self) -> dict[str, list[Any]]:
        low, high = self._limits()
        decades = math.log10(high / low) if self.state.log_counts else None
        return line_columns(self._lines, decades=decades)

    def _patch_lines(self) -> None:
        columns = self._line_columns
        for source in self._each("lines"):
            # Where the labels stand is the browser's; else each new limit would move them twice.
            if any(list(source.data[key]) != columns[key] for key in ("energy", "top", "fill")):
                source.data = columns

    def mark_peaks(self, energies_kev: Sequence[float]) -> None:
        """Mark peaks on the axis of energies, or none.

        Parameters
        ----------
        energies_kev : sequence of float
            Where they are.
        """
        self._peaks = tuple(energies_kev)
        with self._together():
            for source in self._each("peaks"):
                source.data = peak_columns(self._peaks)

    # --- the energy window ----------------------------------------------------------------

    def _side_box(self) -> BoxAnnotation:
        """Return the mark of channels that the background under the window is taken from."""
        return BoxAnnotation(
            name="side window",
            visible=False,
            fill_color=COLOURS["window"],
            fill_alpha=0.12,
            line_color=None,
            hatch_pattern="right_diagonal_line",
            hatch_color=COLOURS["window"],
            hatch_alpha=0.35,
            level="underlay",
        )

    def _side_windows(self) -> list[tuple[float, float]]:
        """Return the energies that the background is taken from, at most one run on each side."""
        state = self.state
        asked = Asked(state.window, state.method, layer=state.layer, background=state.background)
        try:
            weights = self.scan.window_weights(*state.window, background=asked.background_used)
        except ParameterError:
            return []  # the window leaves no channel beside it; the map says so
        under = weights.background
        inside = self.scan.channels_of(*state.window)
        sides = []
        for first, channels in ((0, under[: inside.start]), (inside.stop, under[inside.stop :])):
            found = np.flatnonzero(channels)
            if len(found):
                ends = self._energies[[first + found[0], first + found[-1]]].astype(float)
                sides.append((float(ends[0]), float(ends[1]) + self.scan.kev_per_channel))
        return sides

    def _show_sides(self) -> None:
        sides = self._side_windows()
        with self._together():
            for side in range(2):
                for box in self._each(f"side {side}"):
                    if side < len(sides):
                        box.update(left=sides[side][0], right=sides[side][1], visible=True)
                    else:
                        box.visible = False

    def _drag(self, _name: str, _old: Any, _new: Any) -> None:
        """Take the window that a visitor drags: its edges come one after the other."""
        if not self._moving:
            self._dragged.request()

    def _take_window(self) -> None:
        for box in self._each("window"):
            edges = (box.left, box.right)
            if all(isinstance(edge, int | float) for edge in edges):
                low, high = sorted(round(float(edge), _KEV_DECIMALS) for edge in edges)
                if (low, high) != self.state.window:
                    self.state.window = (low, high)

    def _show_window(self) -> None:
        low, high = self.state.window
        self._moving = True  # the edges are set one by one; between them the window is neither
        with self._together():
            for box in self._each("window"):
                edges = sorted((box.left, box.right))
                if max(abs(edges[0] - low), abs(edges[1] - high)) > 10**-_KEV_DECIMALS:
                    box.update(left=low, right=high)
        self._moving = False

    def follow(self, slider: pmui.FloatSlider) -> pmui.FloatSlider:
        """Let the browser itself draw the smoothed line while a slider of sigma is dragged.

        Elsewhere, and once sigma stands still, the line is the server's.

        Parameters
        ----------
        slider : FloatSlider
            Bound to the state's sigma.

        Returns
        -------
        FloatSlider
            The same.
        """
        slider.jscallback(
            args={
                "name": self._name,
                "truncate": TRUNCATE,
                "ev_per_channel": self.scan.kev_per_channel * 1000,
                "fwhm": sigma_to_fwhm(1.0),
            },
            value=_SMOOTH,
        )
        self._sliders.add(slider)
        return slider

    def _sigma_changed(self) -> None:
        document = pn.state.curdoc
        drawn = document is not None and any(
            model.document is document
            for slider in self._sliders
            for model, _ in slider._models.values()  # noqa: SLF001 - no public name; panel 1.9
        )
        if drawn:
            self._settled.request()
        else:
            self._show_smooth()

    def _show_smooth(self) -> None:
        with self._together():
            self._patch("smooth", counts=self._on_axis(self.smoothed))
            self._show_title()

    def _show_shape(self) -> None:
        with self._together():
            self._patch("smooth", shape=self._shape)
            self._show_smooth()

    def _show_title(self) -> None:
        for figure in self._each("figure"):
            figure.title.text = self.title

    def _show_counts(self, read: _Read) -> None:
        self._succeed()
        self._shown, self._counts = read
        self._draw_counts()

    def _draw_counts(self) -> None:
        counts = self._counts
        x, y = comb(self._energies, counts)
        with self._together():
            self._patch("raw", energy=x, counts=self._on_axis(y))
            smoothed = self._on_axis(self.smoothed)
            self._patch("smooth", counts=smoothed, raw=counts.astype(np.float32))
            self._show_title()
            self._set_limits()

    def _set_limits(self) -> None:
        low, high = self._limits()
        for figure in self._each("figure"):
            figure.y_range.update(start=low, end=high, reset_start=low, reset_end=high)
        if self.state.log_counts:
            self._patch_lines()  # there a ratio of heights is a distance

    def _show_visible(self) -> None:
        with self._together():
            for name, shown in (("sum", self.state.show_sum), ("max", self.state.show_max)):
                for renderer in self._each(f"{name} line"):
                    renderer.visible = shown
            self._set_limits()
