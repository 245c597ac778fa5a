"""Mean spectra of regions on the spectrum plot: lines with their error bands, and a legend."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, CustomJS, GlyphRenderer, LegendItem
from bokeh.plotting import figure

from maxrf_core import MaxrfError
from maxrf_core.region_spectra import smoothed_region
from maxrf_core.regions import Region

from .data import SharedScan
from .latest import Latest
from .region_choices import colours_of, toggle_region
from .region_counts import Interpolated, spectrum_of
from .state import ViewState
from .text import sentence_of

__all__ = ["RegionLine", "RegionLines"]

_LINE, _BAND, _ITEM = "region line", "region band", "region item"
_WIDTH, _SELECTED_WIDTH = 2.0, 3.5
_SOLID, _DASHED = "solid", "dashed"
_IN_COLUMN = 4  # of the legend: more are cut off where the plot is low
_AT_ONCE_S = 0.4
"""How long lines are computed until those that are ready are shown; the others come after."""
_FIRST_COLOURS = 6
"""Regions before the colours begin anew; the others' lines are dashed."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RegionLine:
    """The mean spectrum of a region, smoothed.

    Parameters
    ----------
    region : Region
        Whose it is.
    n_cells : int
        Cells with a datum.
    spectrum, error : (c,) float32
        Counts a cell, and their standard error; NaN if no cell has a datum.
    """

    region: Region
    n_cells: int
    spectrum: FloatArray
    error: FloatArray

    @property
    def name(self) -> str:
        """The region's."""
        return self.region.name

    @property
    def label(self) -> str:
        """What the legend says."""
        return f"{self.name} · {self.n_cells:,} {'cell' if self.n_cells == 1 else 'cells'}"


_Found = tuple[list[RegionLine], str, bool]
"""Lines, a sentence about those regions that have none, and whether there are more to come."""


class RegionLines:
    """Lines of a state's regions on the plots of a spectrum view.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose regions, smoothed as the picked spectrum is.
    figures : callable
        Returns the plots.
    together, fail : callable
        The view's: change several things at once, tell of an error.
    changed : callable
        Is called when other lines are shown, so that the counts' axis fits them.
    """

    def __init__(
        self,
        shared: SharedScan,
        state: ViewState,
        *,
        figures: Callable[[], list[figure]],
        together: Callable[[], AbstractContextManager[None]],
        fail: Callable[[Exception], None],
        changed: Callable[[], None],
    ) -> None:
        self._shared, self._state = shared, state
        self._figures, self._together, self._changed = figures, together, changed
        self._lines: list[RegionLine] = []
        self._made: dict[Hashable, RegionLine] = {}
        self._energies = shared.scan.energies.astype(np.float32)
        self._latest = Latest(self._find, self._show, fail)
        state.param.watch(lambda *_: self._ask(), ["regions", "method", "correct_lag"])
        state.param.watch(lambda *_: self._ask(), ["sigma", "follow_resolution"])
        state.param.watch(lambda *_: self._show_hidden(), ["hidden_regions", "region"])

    @property
    def lines(self) -> list[RegionLine]:
        """Lines as they are drawn, hidden ones included."""
        return list(self._lines)

    @property
    def shown(self) -> list[FloatArray]:
        """Spectra that are seen, (c,) each."""
        hidden = self._state.hidden_regions
        return [one.spectrum for one in self._lines if one.name not in hidden]

    def add_to(self, plot: figure) -> None:
        """Draw the lines on a new plot."""
        self._draw(plot)
        if [one.name for one in self._lines] != [one.name for one in self._state.regions]:
            # Until a browser has its page, what is drawn on it meanwhile gets lost (panel 1.9).
            pn.state.onload(self._ask)

    # --- computing ----------------------------------------------------------------------

    def _ask(self) -> None:
        if self._state.regions or self._lines:
            self._latest.request()

    def _find(self) -> _Found:
        state, shared = self._state, self._shared
        sigma = shared.smoothing(state.sigma, follow_resolution=state.follow_resolution)
        how, wrong, made = Interpolated.of(shared, state), [], {}
        of_sigma, begun = (state.sigma, state.follow_resolution), time.monotonic()
        is_new = False
        for region in state.regions:
            key = region, how, of_sigma
            if key in self._made:
                made[key] = self._made[key]
                continue
            if is_new and time.monotonic() - begun > _AT_ONCE_S:
                break
            try:
                found = spectrum_of(shared, region, how)
            except MaxrfError as error:  # of one; the others are compared
                wrong.append(sentence_of(error))
                continue
            is_new = True
            made[key] = RegionLine(region, found.n_cells, *smoothed_region(found, sigma))
        else:
            self._made = made
            return list(made.values()), " ".join(wrong), False
        self._made = made
        return list(made.values()), "", True

    def _show(self, found: _Found) -> None:
        lines, wrong, is_more = found
        newest = {one.region: one for one in (*self._lines, *lines)}
        self._lines = [newest[one] for one in self._state.regions if one in newest]
        if wrong:
            self._state.notice = wrong
        with self._together():
            for plot in self._figures():
                self._draw(plot)
            self._changed()
        if is_more:
            self._latest.request()

    # --- drawing ------------------------------------------------------------------------

    def _draw(self, plot: figure) -> None:
        """Make a plot's lines those there are: what it has already is changed, not made anew."""
        drawn, bands = _drawn(plot)
        is_log = type(plot.y_scale).__name__ == "LogScale"
        columns = [self._columns(one, is_log=is_log) for one in self._lines]
        for number, data in enumerate(columns):
            if number < len(drawn):
                drawn[number].data_source.data = data
            else:
                line, band = self._new(plot, data)
                drawn.append(line)
                bands.append(band)
        count = len(columns)
        if len(drawn) > count:
            gone = [*drawn[count:], *bands[count:]]
            plot.renderers = [one for one in plot.renderers if one not in gone]
        drawn, bands = drawn[:count], bands[:count]
        self._style(drawn, bands)
        self._list(plot, drawn)

    def _columns(self, line: RegionLine, *, is_log: bool) -> dict[str, FloatArray]:
        floor = np.float32(1e-4 if is_log else -np.inf)
        values = {
            "counts": line.spectrum,
            "lower": line.spectrum - line.error,
            "upper": line.spectrum + line.error,
        }
        return {"energy": self._energies} | {
            name: np.maximum(column, floor) for name, column in values.items()
        }

    def _new(
        self, plot: figure, data: dict[str, FloatArray]
    ) -> tuple[GlyphRenderer, GlyphRenderer]:
        """Return line and band of a region, drawn on a plot.

        The band is a glyph: bokeh 3.9 complains of a `Band` that is patched while another comes.
        """
        source = ColumnDataSource(data)
        line = plot.line("energy", "counts", source=source, name=_LINE)
        band = plot.varea(
            "energy", "lower", "upper", source=source, name=_BAND, level="underlay", fill_alpha=0.3
        )
        line.js_on_change("visible", CustomJS(args={"band": band}, code=_WITH_LINE))
        line.on_change("visible", partial(self._clicked, line))
        return line, band

    def _style(self, drawn: list[GlyphRenderer], bands: list[GlyphRenderer]) -> None:
        """Give lines and bands colours, widths, and hide those that are to be hidden."""
        state = self._state
        names = [one.name for one in state.regions]
        colours = dict(zip(names, colours_of(state.regions), strict=True))
        for found, line, band in zip(self._lines, drawn, bands, strict=True):
            name = found.name
            is_selected, is_seen = name == state.region, name not in state.hidden_regions
            line.tags = [name]
            line.glyph.update(
                line_color=colours[name],
                line_width=_SELECTED_WIDTH if is_selected else _WIDTH,
                line_dash=_SOLID if names.index(name) < _FIRST_COLOURS else _DASHED,
            )
            band.glyph.fill_color = colours[name]
            band.visible = line.visible = is_seen

    def _list(self, plot: figure, drawn: list[GlyphRenderer]) -> None:
        """Name the lines in the plot's legend, behind the others."""
        for legend in plot.legend:
            own = [one for one in legend.items if one.name == _ITEM]
            others = [one for one in legend.items if one.name != _ITEM]
            while len(own) < len(drawn):
                own.append(LegendItem(name=_ITEM))
            for item, found, line in zip(own, self._lines, drawn, strict=False):
                item.update(label=value(found.label), renderers=[line])
            wanted = [*others, *own[: len(drawn)]]
            if wanted != legend.items:
                legend.update(items=wanted, ncols=-(-len(wanted) // _IN_COLUMN))

    def _show_hidden(self) -> None:
        if not self._lines:
            return
        known = {one.name for one in self._state.regions}
        if any(one.name not in known for one in self._lines):
            return  # renamed or removed: the lines come anew
        with self._together():
            for plot in self._figures():
                drawn, bands = _drawn(plot)
                if len(drawn) == len(self._lines):
                    self._style(drawn, bands)
            self._changed()

    def _clicked(self, line: GlyphRenderer, _name: str, _old: Any, new: Any) -> None:
        """Hide or show a region whose line was clicked away in the legend, everywhere."""
        name = line.tags[0] if line.tags else ""
        if (name in self._state.hidden_regions) == bool(new):
            toggle_region(self._state, name)


def _drawn(plot: figure) -> tuple[list[GlyphRenderer], list[GlyphRenderer]]:
    """Return the lines of regions on a plot, and their bands."""
    lines, bands = ([one for one in plot.renderers if one.name == name] for name in (_LINE, _BAND))
    return lines, bands


_WITH_LINE = "band.visible = cb_obj.visible;"
"""A click in the legend takes the band with the line at once."""
