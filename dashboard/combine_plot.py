"""What the combined maps have in common: a picture in motor coordinates, and a pointer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import holoviews as hv
import numpy as np
from bokeh.events import MouseMove, Tap
from bokeh.models import ColumnDataSource, CustomJSHover, HoverTool, ImageRGBA
from bokeh.plotting import figure

from maxrf_core import Grid

from .combine_mode import OnDemand
from .data import SharedScan
from .latest import Latest
from .pixels import Bounds, Picture, View, bounds_of, grid_bins
from .plots import grid_with_margin, in_motor_steps, keep_aspect
from .state import ViewState
from .theme import palette
from .view import is_inside
from .zoomable import Screen, ZoomableView

__all__ = ["Blank", "CombinedMap", "Paintable"]

_TOLD = 3
"""Values that a tooltip has room for, besides the cell."""

_TOOLTIP = """
if (format === "cell") return Math.floor((value - start) / pitch).toFixed(0);
if (format === "steps") return value.toLocaleString("en", {maximumFractionDigits: 0});
const {x, y, ...told} = answer.data;
const here = Math.abs(special_vars.x - x[0]) < width && Math.abs(special_vars.y - y[0]) < height;
return here ? told[format][0] : "…";
"""
"""An answer is shown only inside the cell whose centre it names."""


class Paintable(Protocol):
    """What a view of a map can be painted from."""

    def seen(self, grid: Grid, view: View) -> Picture:
        """Return what a view shows, and a margin."""


@dataclass(frozen=True)
class Blank:
    """Nothing, as a picture."""

    is_rgba: bool = False

    def seen(self, grid: Grid, _: View) -> Picture:
        """Return one transparent pixel over the whole grid."""
        left, bottom, right, top = grid.bounds
        kind = np.uint32 if self.is_rgba else np.uint8
        return Picture(np.zeros((1, 1), kind), grid.bounds, (right - left, top - bottom))


class CombinedMap(OnDemand, ZoomableView):
    """A map made of others. A tap shows a cell's spectrum.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.
    watched : sequence of str
        Parameters of the state that it depends on, besides those of all maps.

    Attributes
    ----------
    on_shown : callable
        Called when another map was drawn.
    """

    parameter = "map_range"
    tag: ClassVar[str]
    """Names the plot."""
    is_rgba: ClassVar[bool] = False
    """Whether pictures are colours, not levels of a colour map."""

    def __init__(self, shared: SharedScan, state: ViewState, watched: Sequence[str]) -> None:
        super().__init__(shared, state)
        self._painted: Paintable = Blank(self.is_rgba)
        self._title = "…"  # Bokeh leaves no room for a title that was empty once
        self._pointer: tuple[int, int] | None = None
        self.on_shown: Callable[[], None] = lambda: None
        self._latest = Latest(self._compute, self._show, self._fail, ready=self._until_drawn)
        self._telling = Latest(self._tell, self._show_told, self._fail)
        self._follow(watched)

    # --- what is shown ------------------------------------------------------------------

    @property
    def title(self) -> str:
        """What is shown, in words."""
        return self._title

    def _make(self) -> tuple[Paintable, Any]:
        """Return what is painted, and what else `_take` takes over. Called in a thread."""
        raise NotImplementedError

    def _take(self, details: Any) -> None:
        """Take over what was made."""
        raise NotImplementedError

    def _compute(self) -> tuple[Paintable, Any, list[tuple[Screen, Picture]]]:
        painted, details = self._make()
        return painted, details, self._pictures(painted, self._screens)

    def _cell_told(self, row: int, column: int) -> list[str]:
        """Return what a tooltip tells of a cell, three values at most. Called in a thread."""
        raise NotImplementedError

    def _tooltip_labels(self) -> list[str]:
        """Return the names of these values."""
        raise NotImplementedError

    # --- its pictures -------------------------------------------------------------------

    @property
    def home(self) -> Bounds:
        """What a reset shows: left, bottom, right, top."""
        return grid_with_margin(self.scan.grid)

    def _content(self) -> Paintable:
        return self._painted

    def _needed(self, view: View, bounds: Bounds) -> tuple[Bounds, tuple[float, float]]:
        grid = self.scan.grid
        if isinstance(self._painted, Blank):
            picture = self._painted.seen(grid, view)
            return picture.bounds, picture.pixel
        rows, columns = grid_bins(grid, bounds, view.pixel)
        return bounds_of(grid, rows, columns), (grid.dx * columns.cells, grid.dy * rows.cells)

    def _picture(self, content: Paintable, view: View) -> Picture:
        return content.seen(self.scan.grid, view)

    # --- the plot -----------------------------------------------------------------------

    def _palette(self) -> list[str]:
        return palette(self.state.colour_map)

    def element(self) -> hv.Overlay:
        """Return the picture and the mark of what is picked."""
        image = {
            "cmap": self._palette(),
            "clim": (1, 255),
            "clipping_colors": {"min": "#00000000", "NaN": "#00000000"},
            "hooks": [self._keep("colours", "color_mapper")],
        }
        return self._plane(
            np.zeros((1, 1), dtype=np.uint8),  # what it shows comes when it is equipped
            self._first_picture().bounds,
            image=image,
            title=self.title,
            fontsize={"title": "10pt"},
        )

    def _equip(self, plot: figure) -> None:
        if plot in self._each("figure"):
            return
        self._remember("figure", plot)
        plot.tags = [*plot.tags, self.tag]
        plot.title.text = self.title
        screen = self._watch(plot)
        in_motor_steps(plot)
        keep_aspect(plot, self.home)
        picture = plot.renderers[0]
        if self.is_rgba:
            # HoloViews has glyphs of levels alone that take a picture as it comes.
            picture.glyph = ImageRGBA(image="image", x="x", y="y", dw="dw", dh="dh")
            picture.update(selection_glyph=None, nonselection_glyph=None, muted_glyph=None)
        answer = ColumnDataSource({name: ["…"] for name in ("x", "y", *_places())})
        hover = self._hover(answer, picture)
        plot.add_tools(hover)
        # On the layer above the picture, and invisible: see `dashboard.energymap`.
        plot.scatter("x", "y", source=answer, level="overlay", alpha=0)
        screen.keep(answer=answer, title=plot.title, hover=hover)
        plot.on_event(MouseMove, self._point)
        plot.on_event(Tap, self._tap)

    def _tooltips(self) -> list[tuple[str, str]]:
        told = zip(self._tooltip_labels(), _places(), strict=False)
        return [
            ("cell", "row $y{cell}, column $x{cell}"),
            ("x, y", "$x{steps}, $y{steps}"),
            *((label, f"$x{{{place}}}") for label, place in told),
        ]

    def _hover(self, answer: ColumnDataSource, picture: Any) -> HoverTool:
        grid = self.scan.grid
        left, bottom, _, _ = grid.bounds
        axes = {"x": (left, grid.dx), "y": (bottom, grid.dy)}
        told = {"answer": answer, "width": grid.dx / 2, "height": grid.dy / 2}
        return HoverTool(
            renderers=[picture],
            tooltips=self._tooltips(),
            formatters={
                f"${axis}": CustomJSHover(
                    args={"start": start, "pitch": pitch, **told}, code=_TOOLTIP
                )
                for axis, (start, pitch) in axes.items()
            },
        )

    # --- gestures -----------------------------------------------------------------------

    def _tap(self, event: Tap) -> None:
        cell = self.scan.grid.cell_at(event.x, event.y) if is_inside(event) else None
        if cell is not None:
            self.state.pick_cell(*cell)

    def _point(self, event: MouseMove) -> None:
        cell = self.scan.grid.cell_at(event.x, event.y) if is_inside(event) else None
        if cell is not None and cell != self._pointer:
            self._pointer = cell
            self._ask()

    def _ask(self) -> None:
        if self._pointer is not None and not isinstance(self._painted, Blank):
            self._telling.request()

    def _tell(self) -> tuple[tuple[int, int], list[str]]:
        cell = self._pointer
        return cell, self._cell_told(*cell)

    def _show_told(self, answered: tuple[tuple[int, int], list[str]]) -> None:
        (row, column), values = answered
        grid = self.scan.grid
        told = dict(zip(_places(), [*values, *[""] * _TOLD], strict=False))
        for screen in self._screens:
            screen.tell(x=grid.x[column], y=grid.y[row], **told)
        self._push()

    # --- drawing ------------------------------------------------------------------------

    def _show(self, computed: tuple[Paintable, Any, list[tuple[Screen, Picture]]]) -> None:
        self._succeed()
        tooltips = self._tooltips() if self._screens else []
        self._painted, details, pictures = computed
        self._take(details)
        with self._together():
            for screen, picture in pictures:
                screen.show(picture)
                screen.update("title", text=self.title)
                if self._tooltips() != tooltips:
                    screen.update("hover", tooltips=self._tooltips())
        self.on_shown()
        self._ask()
        self._refresh()  # a view may have moved while the map was computed


def _places() -> list[str]:
    """Return the columns of an answer's values."""
    return [f"value{number}" for number in range(_TOLD)]
