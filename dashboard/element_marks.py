"""Lines of elements, and peaks, as marks on the spectrum plot.

They are annotations with a vertical range of their own, from 0 at the bottom of the frame to 1 at
its top: whatever the counts are, and wherever the visitor zooms, a mark is as high as its line is
among the element's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from bokeh.models import ColumnDataSource, CustomJS, LabelSet, LinearScale, Range1d, Whisker
from bokeh.plotting import figure

from maxrf_core.elements import LineGroup

from .theme import COLOURS, ELEMENT_COLOURS, text_colour

__all__ = ["add_marks", "colour_of", "line_columns", "line_label", "peak_columns"]

_RANGE = "marks"
_HIGHEST = 0.76
"""Of the frame's height: over it there is room for two or three rows of labels."""
_LOWEST = 0.02
"""So that a faint line is seen at all; on logarithmic counts it lies below what is shown."""
_TICK = 0.06
"""Length of a peak's tick, from the top of the frame: at the bottom the counts hide it."""

_GREEK = {"a": "α", "b": "β", "g": "γ", "n": "η", "l": "ℓ"}
_LINE = re.compile(r"(?<![A-Za-z])([A-Z][a-z]? [KLM])([abgnl])(?![A-Za-z])")
"""An element and its line: not lanthanum, and not magnesium."""

_ARRANGE = """
// Labels of the main lines first, then of the highest: each where it covers no other, or not.
const {energy, top, label, rank, lift, shown} = lines.data;
const width = plot.inner_width, height = plot.inner_height;
if (!(width > 20 && height > 20) || energy.length === 0) return;
const {start, end} = plot.x_range, row = 17, taken = [], found = [];
const order = Array.from(rank, (_, i) => i).sort((a, b) => rank[a] - rank[b]);
for (const i of order) {
  const x = (energy[i] - start) / (end - start) * width, half = 3.4 * label[i].length + 5;
  const foot = top[i] * height, is_faint = foot < 8 && end - start > 5;
  found[i] = [0, 0];
  if (x < 0 || x > width || is_faint) continue;
  for (const up of [0, 1, 2, 3, -1, -2, -3, -4]) {  // above the line, else beside it
    const y = foot + up * row;
    if (y < 0 || y + row > height) continue;
    if (taken.some((t) => Math.abs(t.x - x) < t.half + half && Math.abs(t.y - y) < row)) continue;
    taken.push({x, y, half});
    found[i] = [up * row, 1];
    break;
  }
}
if (found.every(([up, is_shown], i) => lift[i] === up && shown[i] === is_shown)) return;
found.forEach(([up, is_shown], i) => { lift[i] = up; shown[i] = is_shown; });
lines.change.emit();
"""
"""Where the labels stand is the browser's alone: it knows the frame, and follows every zoom."""


def line_label(name: str) -> str:
    """Return a text with the names of lines as they are written: ``"Ka"`` with an alpha."""
    return _LINE.sub(lambda found: f"{found[1]}{_GREEK[found[2]]}", name)


def colour_of(number: int) -> str:
    """Return the colour of the `number`-th element; the seventh has the first one's again."""
    return ELEMENT_COLOURS[number % len(ELEMENT_COLOURS)]


def line_columns(
    elements: Sequence[Sequence[LineGroup]], *, decades: float | None = None
) -> dict[str, list[Any]]:
    """Return what is drawn of the lines of some elements, by column.

    Parameters
    ----------
    elements : sequence of sequence of LineGroup
        Of each element the lines to mark, as `ElementLines.groups` returns them.
    decades : float, optional
        Of the counts' axis if it is logarithmic: there a ratio of heights is a distance.

    Returns
    -------
    dict of str to list
        A line a row: energy in keV, top from 0 to 1, colours, label, its rank among the labels,
        by how many pixels it is lifted, and whether it is shown, 0 or 1. At first those of the
        main lines are.
    """
    rows = []
    for number, groups in enumerate(elements):
        highest = max((group.height for group in groups), default=1.0)
        for group in groups:
            height = group.height / highest
            rows.append((height < 1.0, -height, group.energy_kev, number, group.name))
    ranked = {row: rank for rank, row in enumerate(sorted(rows))}
    fills = [colour_of(number) for *_, number, _ in rows]
    return {
        "energy": [row[2] for row in rows],
        "foot": [0.0 for _ in rows],
        "top": [_top(-row[1], decades) for row in rows],
        "fill": fills,
        "ink": [text_colour(fill) for fill in fills],
        "label": [line_label(row[4]) for row in rows],
        "rank": [ranked[row] for row in rows],
        "lift": [0 for _ in rows],
        "shown": [int(not row[0]) for row in rows],
    }


def _top(height: float, decades: float | None) -> float:
    if decades is None:
        return max(_LOWEST, _HIGHEST * height)
    return max(_LOWEST, _HIGHEST + math.log10(height) / decades)


def peak_columns(energies: Sequence[float]) -> dict[str, list[float]]:
    """Return the ticks of peaks at some energies in keV, by column."""
    return {
        "energy": list(energies),
        "foot": [1.0 - _TICK for _ in energies],
        "top": [1.0 for _ in energies],
    }


def add_marks(
    plot: figure,
    remember: Callable[[str, ColumnDataSource], Any],
    lines: dict[str, list[Any]],
    peaks: dict[str, list[float]],
) -> None:
    """Draw lines and peaks on a spectrum plot.

    Parameters
    ----------
    plot : figure
        The spectrum's.
    remember : callable
        Is given the names ``"lines"`` and ``"peaks"`` and the sources to patch from then on.
    lines, peaks : dict of str to list
        Columns, as `line_columns` and `peak_columns` return them.
    """
    plot.extra_y_ranges = {**plot.extra_y_ranges, _RANGE: Range1d(0, 1)}
    plot.extra_y_scales = {**plot.extra_y_scales, _RANGE: LinearScale()}
    line_source, peak_source = ColumnDataSource(lines), ColumnDataSource(peaks)
    remember("lines", line_source)
    remember("peaks", peak_source)
    uprights = {
        "base": "energy",
        "lower": "foot",
        "upper": "top",
        "lower_head": None,
        "upper_head": None,
        "y_range_name": _RANGE,
    }
    plot.add_layout(
        Whisker(
            name="peaks", source=peak_source, line_color=COLOURS["peak"], line_width=2, **uprights
        )
    )
    plot.add_layout(
        Whisker(name="lines", source=line_source, line_color="fill", line_width=2, **uprights)
    )
    plot.add_layout(
        LabelSet(
            name="line labels",
            source=line_source,
            x="energy",
            y="top",
            text="label",
            y_offset="lift",
            y_range_name=_RANGE,
            text_align="center",
            text_baseline="bottom",
            text_font_size="11px",
            text_color="ink",
            text_alpha="shown",
            background_fill_color="fill",
            background_fill_alpha="shown",
        )
    )
    arrange = CustomJS(args={"lines": line_source, "plot": plot}, code=_ARRANGE)
    for model, changes in (
        (plot, ("inner_width", "inner_height")),
        (plot.x_range, ("start", "end")),
        (line_source, ("data",)),
    ):
        for change in changes:
            model.js_on_change(change, arrange)
