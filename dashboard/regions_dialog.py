"""The dialog that compares regions: what each element's window holds of their mean spectra."""

from __future__ import annotations

import csv
import html
import logging
import math
from dataclasses import dataclass
from typing import Any

import panel as pn
import panel_material_ui as pmui

from maxrf_core import MaxrfError
from maxrf_core.plain_text import plain_cell
from maxrf_core.region_spectra import WindowCounts, region_counts

from .data import SharedScan
from .dialogs import WithDialog, dialog, waiting
from .downloads import Download
from .element_marks import line_label
from .faults import reported
from .latest import Latest
from .region_choices import colours_of
from .region_counts import Interpolated, spectrum_of
from .state import ViewState
from .text import sentence_of

__all__ = ["Comparison", "RegionsDialog", "compared", "table_html", "write_table"]

logger = logging.getLogger(__name__)

_NAMES = {"sides": "side windows", "snip": "side windows, SNIP"}


@dataclass(frozen=True)
class Comparison:
    """Regions and windows, and what the windows hold of each region's mean spectrum.

    Parameters
    ----------
    windows : tuple of (str, (float, float))
        Names, and low and high energy in keV.
    regions : tuple of (str, str, int)
        Names, colours and cells with a datum.
    counts : tuple of tuple of WindowCounts
        A region a row, a window a column: net counts a cell.
    background : str
        What is taken away under the windows.
    per_second : bool
        Whether they are per second.
    complaints : tuple of str
        Sentences about regions and elements that are left out.
    """

    windows: tuple[tuple[str, tuple[float, float]], ...]
    regions: tuple[tuple[str, str, int], ...]
    counts: tuple[tuple[WindowCounts, ...], ...]
    background: str
    per_second: bool
    complaints: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Of the counts."""
        return "counts per second" if self.per_second else "counts"


def compared(shared: SharedScan, state: ViewState) -> Comparison:
    """Return what the elements of a state hold of its regions. Call it in a thread.

    Without elements the energy window stands for them. The background under a window is always
    taken away: the state's, or that of the side windows.
    """
    scan, how = shared.scan, Interpolated.of(shared, state)
    background = "sides" if state.background == "none" else state.background
    windows, weights, regions, rows, complaints = [], [], [], [], []
    for name in state.elements or ("",):
        try:
            line = shared.elements.line(name) if name else None
            label = line.group.name if line else "Energy window"
            window = line.window if line else state.window
            weights.append(scan.window_weights(*window, background=background))
        except MaxrfError as error:
            complaints.append(sentence_of(error))
            continue
        windows.append((label, window))
    for region, colour in zip(state.regions, colours_of(state.regions), strict=True):
        try:
            found = spectrum_of(shared, region, how, per_second=state.per_second)
        except MaxrfError as error:
            complaints.append(sentence_of(error))
            continue
        regions.append((region.name, colour, found.n_cells))
        rows.append(tuple(region_counts(found, each) for each in weights))
    return Comparison(
        tuple(windows),
        tuple(regions),
        tuple(rows),
        background,
        state.per_second,
        tuple(complaints),
    )


def table_html(comparison: Comparison) -> str:
    """Return a comparison as a table of HTML; names are escaped."""
    heads = "".join(
        f"<th scope='col'>{html.escape(line_label(name))}"
        f"<small>{low:.3f}–{high:.3f} keV</small></th>"
        for name, (low, high) in comparison.windows
    )
    rows = "".join(
        f"<tr><th scope='row'><i style='background:{colour}'></i>{html.escape(name)}</th>"
        f"<td>{n_cells:,}</td>{''.join(map(_cell, counts))}</tr>"
        for (name, colour, n_cells), counts in zip(
            comparison.regions, comparison.counts, strict=True
        )
    )
    return (
        "<table><thead><tr><th scope='col'>Region</th><th scope='col'>Cells</th>"
        f"{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cell(counts: WindowCounts) -> str:
    if math.isnan(counts.net):
        return "<td>no datum</td>"
    found = "" if counts.is_detected else "<small>not detected</small>"
    decimals = _decimals(counts.error)
    return f"<td>{counts.net:,.{decimals}f} ± {counts.error:,.{decimals}f}{found}</td>"


def _decimals(error: float) -> int:
    """Return how many decimals show two digits of an error."""
    if not error > 0.0:
        return 2
    return min(max(0, 1 - math.floor(math.log10(error))), 8)


def write_table(comparison: Comparison, download: Download) -> None:
    """Write a comparison as CSV: a line for each region and window."""
    background = _NAMES.get(comparison.background, comparison.background)
    with download.path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "region",
                "cells",
                "line",
                "from [keV]",
                "to [keV]",
                f"net [{comparison.unit} a cell]",
                "standard error",
                "detected",
                "gross",
                "background",
                "background from",
            ]
        )
        for (name, _, n_cells), row in zip(comparison.regions, comparison.counts, strict=True):
            for (line, window), counts in zip(comparison.windows, row, strict=True):
                numbers = [counts.net, counts.error]
                others = [int(counts.is_detected), counts.gross, counts.background, background]
                writer.writerow([plain_cell(name), n_cells, line, *window, *numbers, *others])


_STYLE = """
:host { overflow-x: auto; }
table { border-collapse: collapse; font: 14px Roboto, Helvetica, Arial, sans-serif;
  color: var(--mui-palette-text-primary, inherit); }
th, td { text-align: right; padding: 5px 10px; white-space: nowrap; vertical-align: top;
  font-variant-numeric: tabular-nums;
  border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
th:first-child { text-align: left; max-width: 220px; overflow: hidden; text-overflow: ellipsis; }
thead th { border-bottom-width: 2px; }
small { display: block; font-weight: 400; font-size: 11.5px;
  color: var(--mui-palette-text-secondary, inherit); }
i { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px; }
"""


class RegionsDialog(WithDialog):
    """A button, and the dialog that it opens: the table of regions and elements.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose regions and elements.

    Attributes
    ----------
    comparison : Comparison or None
        What the table shows.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self.shared, self.state = shared, state
        self.comparison: Comparison | None = None
        self._made: list[Download] = []
        # Each answer has components of its own: values that change quickly get lost (`Notice`).
        self._answer = pn.Column(waiting(), sizing_mode="stretch_width", margin=0)
        self.dialog = dialog("Regions compared", "lg")
        self.button = pmui.Button(
            label="Compare",
            icon="table_chart",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
            on_click=self._open,
        )
        self._latest = Latest(self._compare, self._show, self._fail)
        state.param.watch(
            lambda *_: self._ask(),
            ["regions", "elements", "window", "background", "per_second", "method", "correct_lag"],
        )

    def _open(self, _: object) -> None:
        if not self.dialog.objects:
            self.dialog[:] = [self._answer]
        self.dialog.open = True
        self._ask()

    def _ask(self) -> None:
        if self.dialog.open:
            self._answer[:] = [waiting()]
            self._latest.request()

    def _compare(self) -> tuple[Comparison, Download | None]:
        comparison = compared(self.shared, self.state)
        if not comparison.regions or not comparison.windows:
            return comparison, None
        download = Download.new(f"{self.shared.name}-regions.csv")
        write_table(comparison, download)
        return comparison, download

    def _show(self, found: tuple[Comparison, Download | None]) -> None:
        self.comparison, download = found
        parts = [_told(sentence) for sentence in self.comparison.complaints]
        if download is None:
            parts.insert(0, _told("Draw a region on the map first; its elements are told here."))
        else:
            self._keep(download)
            parts = [
                _told(self._explained()),
                pn.pane.HTML(
                    table_html(self.comparison),
                    stylesheets=[_STYLE],
                    sizing_mode="stretch_width",
                    margin=4,
                ),
                *parts,
                pn.pane.HTML(
                    f'<a href="{html.escape(download.address)}" '
                    f'download="{html.escape(download.path.name)}">Download as CSV</a>',
                    styles={"font-size": "15px"},
                    stylesheets=["a {color: inherit}"],
                    margin=4,
                ),
            ]
        self._answer[:] = parts

    def _explained(self) -> str:
        background = _NAMES.get(self.comparison.background, self.comparison.background)
        return (
            f"Net {self.comparison.unit} a cell, with their standard error: the mean of each "
            f"region, without the background as the {background} have it. The error is that of "
            "counting; how much cells differ is not in it."
        )

    def _keep(self, download: Download) -> None:
        """Offer one file at a time; the last one is removed when the visitor leaves."""
        if not self._made and pn.state.curdoc is not None:
            pn.state.curdoc.on_session_destroyed(self._left)
        for older in self._made:
            older.withdraw()
        self._made = [download]

    def _left(self, _: Any) -> None:
        for download in self._made:
            download.withdraw()

    def _fail(self, error: Exception) -> None:
        told = reported(logger, "regions could not be compared", error)
        self._answer[:] = [_told(f"The regions could not be compared: {told}")]


def _told(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(
        html.escape(text), styles={"font-size": "14px"}, sizing_mode="stretch_width", margin=4
    )
