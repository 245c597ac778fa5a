"""One map over another: where the lower one says something."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
import panel_material_ui as pmui
from bokeh.models import BasicTicker, ColorBar, LinearColorMapper, LogColorMapper, LogTicker
from bokeh.plotting import figure

from maxrf_core import ParameterError
from maxrf_core.combinations import LEAST_SIGNIFICANCE, ratio, ratio_error

from .combine_choosers import Offer, PairChoosers
from .combine_maps import combined_map, pair_names, value_text
from .combine_mode import CombineMode
from .combine_plot import Blank, CombinedMap, Paintable
from .data import SharedScan
from .gallery_maps import GalleryMap, cell_values, kept_map
from .layers import Asked
from .scaling import ScaledMap, percentiles, scale_map
from .state import ViewState
from .theme import framed, palette

__all__ = [
    "Quotient",
    "RatioMode",
    "RatioView",
    "cell_ratio",
    "log_scaled",
    "quotient",
]

FloatMap = npt.NDArray[np.float32]

_RULE = (
    "its counts are fewer than {least:g} of their standard errors, or the line is not detected "
    "there (Currie, 5 % false alarms)"
)
_RULE_WITHOUT_SIDES = (
    "its counts are fewer than {least:g} of their standard errors; whether the line is detected "
    "cannot be told, for the window leaves no channels beside it"
)


@dataclass(frozen=True, eq=False)
class Quotient:
    """A ratio of two maps.

    Parameters
    ----------
    numerator, denominator : GalleryMap
        What is divided by what.
    values : (h, w) float32
        The ratio; NaN where the denominator says nothing, and where there is no datum.
    n_masked, n_cells : int
        Cells where the denominator says nothing, of those with a datum.
    rule : str
        When a denominator says nothing.
    """

    numerator: GalleryMap
    denominator: GalleryMap
    values: FloatMap
    n_masked: int
    n_cells: int
    rule: str

    @property
    def sentence(self) -> str:
        """How much is masked, and why."""
        share = self.n_masked / max(self.n_cells, 1)
        return (
            f"{self.n_masked:,} of {self.n_cells:,} cells ({share:.1%}) are masked: "
            f"{self.denominator.label} says nothing where {self.rule}."
        )


def quotient(shared: SharedScan, state: ViewState) -> Quotient:
    """Return the ratio of the state's two maps. It takes a while: call it in a thread."""
    first, second = (combined_map(shared, state, name) for name in pair_names(state))
    above, below = (kept_map(shared, each.asked) for each in (first, second))
    error = kept_map(shared, replace(second.asked, layer="standard error"))
    rule = _RULE
    try:
        found = kept_map(shared, replace(second.asked, layer="detected"))
    except ParameterError:  # no channels beside the window: said in the rule
        found, rule = None, _RULE_WITHOUT_SIDES
    values = ratio(above, below, error, detected=found)
    known = np.isfinite(above) & np.isfinite(below)
    return Quotient(
        first,
        second,
        values,
        int((known & np.isnan(values)).sum()),
        int(known.sum()),
        rule.format(least=LEAST_SIGNIFICANCE),
    )


def log_scaled(values: FloatMap, clip: tuple[float, float]) -> ScaledMap:
    """Spread colours between two percentiles of a map's logarithms.

    Values of 0 and below, which have none, take the lowest colour. A pixel over several cells
    shows their geometric mean.

    Parameters
    ----------
    values : (h, w) float32
        The map.
    clip : (float, float)
        Percentiles of the cells above 0.

    Returns
    -------
    ScaledMap
        Of the decimal logarithms.
    """
    positive = values > 0
    logs = np.full(values.shape, np.nan, dtype=np.float32)
    np.log10(values, out=logs, where=positive)
    low, high = percentiles(logs, clip) or (0.0, 1.0)
    logs[np.isfinite(values) & ~positive] = low
    return ScaledMap(logs, low, high if high > low else low + 1.0)


class RatioView(CombinedMap):
    """The ratio of the state's two maps.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    """

    tag = "ratio"

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        self.quotient: Quotient | None = None
        self._scaled: ScaledMap | None = None
        self._is_log = state.ratio_log
        self._made: tuple[tuple[Asked, Asked], Quotient] | None = None
        super().__init__(shared, state, ["pair", "clip", "ratio_log"])
        state.param.watch(lambda *_: self._show_palette(), "colour_map")

    def _make(self) -> tuple[Paintable, Any]:
        state = self.state
        if not any(pair_names(state)):
            return Blank(), None
        asked = tuple(combined_map(self.shared, state, name).asked for name in pair_names(state))
        if self._made is None or self._made[0] != asked:  # else other colours of the same ratio
            self._made = asked, quotient(self.shared, state)
        made = self._made[1]
        scaled = (log_scaled if state.ratio_log else scale_map)(made.values, state.clip)
        return scaled, (made, scaled, state.ratio_log)

    def _take(self, details: tuple[Quotient, ScaledMap, bool] | None) -> None:
        if details is None:
            self.quotient, self._title = None, "…"
            return
        self.quotient, self._scaled, self._is_log = details
        self._title = f"{self.quotient.numerator.label} / {self.quotient.denominator.label}"
        for screen in self._screens:
            for name, properties in self._bars().items():
                screen.update(name, **properties)

    def _bars(self) -> dict[str, dict[str, Any]]:
        """Return what the two colour bars and their mappers are: one for logarithms is shown."""
        is_log = self._is_log
        low, high = (0.0, 1.0) if self._scaled is None else (self._scaled.low, self._scaled.high)
        told = {"low": 10**low, "high": 10**high} if is_log else {"low": low, "high": high}
        return {
            "log mapper" if is_log else "linear mapper": told,
            "log bar": {"visible": is_log},
            "linear bar": {"visible": not is_log},
        }

    def _equip(self, plot: figure) -> None:
        is_new = plot not in self._each("figure")
        super()._equip(plot)
        if not is_new:
            return
        kinds = {
            "linear": (LinearColorMapper, BasicTicker(desired_num_ticks=5), {"low": 0, "high": 1}),
            "log": (LogColorMapper, LogTicker(desired_num_ticks=5), {"low": 1, "high": 10}),
        }
        for name, (kind, ticker, ends) in kinds.items():
            mapper = kind(palette=palette(self.state.colour_map), **ends)
            self._remember("colour bar", mapper)
            bar = ColorBar(color_mapper=mapper, ticker=ticker, title="ratio", width=12, padding=4)
            plot.add_layout(bar, "right")
            self._screens[-1].keep(**{f"{name} mapper": mapper, f"{name} bar": bar})
        for name, properties in self._bars().items():
            self._screens[-1].update(name, **properties)
        self._show_palette()

    def _show_palette(self) -> None:
        with self._together():
            for mapper in self._each("colour bar") + self._each("colours"):
                mapper.palette = self._palette()

    def _tooltip_labels(self) -> list[str]:
        if self.quotient is None:
            return []
        return [self.quotient.numerator.label, self.quotient.denominator.label, "ratio"]

    def _cell_told(self, row: int, column: int) -> list[str]:
        shown = self.quotient
        value, error = cell_ratio(self.shared, shown, row, column)
        told = cell_values(self.shared, [shown.numerator, shown.denominator], row, column)
        counts = [
            value_text(*told[each.name], each.asked.unit)
            for each in (shown.numerator, shown.denominator)
        ]
        if not np.isfinite(shown.values[row, column]):
            return [*counts, "masked" if np.isfinite(value) else "no datum"]
        return [*counts, f"{value:,.4g} ± {error:,.2g}"]


def cell_ratio(shared: SharedScan, shown: Quotient, row: int, column: int) -> tuple[float, float]:
    """Return the ratio in a cell, masked or not, and its standard error, from its own spectra."""
    scan, asked = shared.scan, shown.numerator.asked
    index, weights = scan.operator(asked.method, lag=asked.lag).cell_weights(row, column)
    if len(index) == 0:
        return float("nan"), float("nan")
    shares = weights.astype(np.float64)
    if asked.per_second:
        shares = shares * scan.per_second(np.ones(scan.n_spectra))[index]
    sigma = shared.smoothing(asked.sigma, follow_resolution=asked.follow_resolution)
    windows = (
        scan.window_weights(*each.asked.window, background=asked.background, sigma=sigma).net
        for each in (shown.numerator, shown.denominator)
    )
    return ratio_error(scan.spectra(index), shares, *windows)


class RatioMode(CombineMode):
    """The ratio with its controls.

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
        self.view = RatioView(shared, state)
        log = pmui.Switch.from_param(state.param.ratio_log, margin=(4, 8))
        self.pair = PairChoosers(state, ("Map above", "Map below"), [log])
        self._offer = Offer(shared, state, "to divide one by another")
        self._said = pn.pane.HTML(
            sizing_mode="stretch_width", margin=(2, 8), styles={"font-size": "12px"}
        )
        frame = framed(self.view)
        self.views, self._with_maps = (self.view,), (frame, self._said)
        self._layout = pn.Column(
            self.pair,
            self._offer,
            frame,
            self._said,
            sizing_mode="stretch_width",
            margin=0,
        )
        state.param.watch(lambda *_: self._show_offer(), ["pair", "elements"])
        self.view.on_shown = self._say
        self._show_offer()

    def _has_any(self) -> bool:
        return any(pair_names(self._state))

    def _say(self) -> None:
        shown = self.view.quotient
        self._said.object = "" if shown is None else html.escape(shown.sentence)
