"""A line on a map: its ends are dragged, or tapped one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bokeh.core.property.descriptors import UnsetValueError
from bokeh.events import Tap
from bokeh.models import BoxAnnotation, ColumnDataSource, CustomJS
from bokeh.plotting import figure

from maxrf_core import Grid

from .combine_maps import combined_map, shown_name
from .combine_plot import CombinedMap, Paintable
from .data import SharedScan
from .gallery_maps import GalleryMap, cell_values, kept_map
from .latest import Settled
from .scaling import scale_map
from .state import WINDOW, ViewState
from .theme import COLOURS
from .view import is_inside

__all__ = ["Ends", "LineMap", "middle_line"]

Ends = tuple[float, float, float, float]
"""x and y of the start, x and y of the end, in motor steps."""

_HANDLE = 11  # pixels from the middle of a handle to its edge: fingers find it
_SETTLED_MS = 10

_SIZE = """
// Handles keep their size on the screen, whatever the zoom.
const w = fig.inner_width, h = fig.inner_height;
if (!(w > 20 && h > 20)) return;
const dx = size * (fig.x_range.end - fig.x_range.start) / w;
const dy = size * (fig.y_range.end - fig.y_range.start) / h;
for (const box of boxes) {
  const x = (box.left + box.right) / 2, y = (box.bottom + box.top) / 2;
  box.setv({left: x - dx, right: x + dx, bottom: y - dy, top: y + dy}, {sync: false});
}
"""

_FOLLOW = """
// The line follows the handles before the server knows of it.
const [a, b] = boxes, middle = (low, high) => (low + high) / 2;
line.data = {
  x0: [middle(a.left, a.right)], y0: [middle(a.bottom, a.top)],
  x1: [middle(b.left, b.right)], y1: [middle(b.bottom, b.top)],
};
"""


def middle_line(grid: Grid) -> Ends:
    """Return the line along the middle row of a grid."""
    y = float(grid.y[grid.height // 2])
    return float(grid.x[0]), y, float(grid.x[-1]), y


class LineMap(CombinedMap):
    """The state's line on a map.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose line is drawn.

    Attributes
    ----------
    begun : (float, float) or None
        Where another line begins, while its end is awaited.
    on_begun : callable
        Called when one was begun or ended.
    """

    tag = "line"

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        self._map_name = WINDOW
        self._map: GalleryMap | None = None
        self.begun: tuple[float, float] | None = None
        self.on_begun: Callable[[], None] = lambda: None
        self._placing = False
        super().__init__(shared, state, ["clip"])
        self._dragged = Settled(self._take_handles, _SETTLED_MS)
        state.param.watch(lambda *_: self._show_line(), "profile")
        state.param.watch(lambda *_: self._show_palette(), "colour_map")

    @property
    def choices(self) -> dict[str, str]:
        """Maps that the line can lie on, by what a visitor reads."""
        return {shown_name(name): name for name in (WINDOW, *self.state.elements)}

    @property
    def map_name(self) -> str:
        """The map that the line lies on: an element, a line or the energy window."""
        return self._map_name

    @map_name.setter
    def map_name(self, name: str) -> None:
        self._map_name = name
        self.request()

    @property
    def ends(self) -> Ends:
        """Where the line lies."""
        return self.state.profile or middle_line(self.scan.grid)

    def _make(self) -> tuple[Paintable, GalleryMap]:
        shown = combined_map(self.shared, self.state, self._map_name)
        return scale_map(kept_map(self.shared, shown.asked), self.state.clip), shown

    def _take(self, details: GalleryMap) -> None:
        self._map, self._title = details, details.label

    def _tooltip_labels(self) -> list[str]:
        return [] if self._map is None else [self._map.label]

    def _cell_told(self, row: int, column: int) -> list[str]:
        value, error = cell_values(self.shared, [self._map], row, column)[self._map.name]
        if not math.isfinite(value):
            return ["no datum"]
        return [f"{value:,.2f} ± {error:,.2f} {self._map.asked.unit}"]

    # --- the line -----------------------------------------------------------------------

    def _equip(self, plot: figure) -> None:
        is_new = plot not in self._each("figure")
        super()._equip(plot)
        if not is_new:
            return
        x0, y0, x1, y1 = self.ends
        line = ColumnDataSource({"x0": [x0], "y0": [y0], "x1": [x1], "y1": [y1]})
        self._remember("line", line)
        ends = {"x0": "x0", "y0": "y0", "x1": "x1", "y1": "y1", "source": line}
        plot.segment(**ends, line_color="#000000", line_width=5, line_alpha=0.6)
        plot.segment(**ends, line_color="#ffffff", line_width=2.5)
        handles = [
            BoxAnnotation(
                name=name,
                editable=True,
                movable="both",
                resizable="none",
                border_radius=_HANDLE,
                fill_color=COLOURS["picked"],
                fill_alpha=0.55,
                line_color="#ffffff",
                line_width=2,
                hover_fill_color=COLOURS["picked"],
                hover_fill_alpha=0.9,
                left=x,
                right=x,
                bottom=y,
                top=y,
            )
            for name, x, y in (("start of the line", x0, y0), ("end of the line", x1, y1))
        ]
        size = CustomJS(args={"fig": plot, "boxes": handles, "size": _HANDLE}, code=_SIZE)
        for model, names in (
            (plot, ("inner_width", "inner_height")),
            (plot.x_range, ("start", "end")),
            (plot.y_range, ("start", "end")),
        ):
            for name in names:
                model.js_on_change(name, size)
        follow = CustomJS(args={"boxes": handles, "line": line}, code=_FOLLOW)
        for number, handle in enumerate(handles):
            self._remember(f"handle {number}", handle)
            for side in ("left", "right", "bottom", "top"):
                handle.js_on_change(side, follow)
                handle.on_change(side, self._handle_moved)
            plot.add_layout(handle)
        self._show_line()

    def _show_palette(self) -> None:
        with self._together():
            for mapper in self._each("colours"):
                mapper.palette = self._palette()

    def _show_line(self) -> None:
        x0, y0, x1, y1 = self.ends
        self._placing = True
        try:
            with self._together():
                self._patch("line", x0=[x0], y0=[y0], x1=[x1], y1=[y1])
                for number, (x, y) in enumerate(((x0, y0), (x1, y1))):
                    for handle in self._each(f"handle {number}"):
                        if _middle(handle) != (x, y):
                            dx, dy = self._handle_size()
                            handle.update(left=x - dx, right=x + dx, bottom=y - dy, top=y + dy)
        finally:
            self._placing = False

    def _handle_size(self) -> tuple[float, float]:
        """Return half the width and height of a handle in motor steps."""
        for plot in self._each("figure"):
            try:
                width, height = plot.inner_width, plot.inner_height
            except UnsetValueError:
                continue
            if width and height:
                return (
                    _HANDLE * (plot.x_range.end - plot.x_range.start) / width,
                    _HANDLE * (plot.y_range.end - plot.y_range.start) / height,
                )
        return self.scan.grid.dx, self.scan.grid.dy

    def _handle_moved(self, _name: str, _old: Any, _new: Any) -> None:
        if not self._placing:
            self._dragged.request()

    def _take_handles(self) -> None:
        for start, end in zip(self._each("handle 0"), self._each("handle 1"), strict=True):
            ends = (*_middle(start), *_middle(end))
            if all(map(math.isfinite, ends)) and ends != self.ends:
                self.begun = None
                self.state.profile = tuple(round(one, 1) for one in ends)
                self.on_begun()

    def _tap(self, event: Tap) -> None:
        """Begin a line, or end the one that was begun."""
        if not is_inside(event):
            return
        place = (round(event.x, 1), round(event.y, 1))
        if self.begun is None:
            self.begun = place
        else:
            self.state.profile, self.begun = (*self.begun, *place), None
        self.on_begun()


def _middle(handle: BoxAnnotation) -> tuple[float, float]:
    return (handle.left + handle.right) / 2, (handle.bottom + handle.top) / 2
