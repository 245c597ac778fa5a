"""The two plots in which point pairs are picked: the photo, and the map beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from .pixels import Bounds, Picture
from .plots import keep_aspect
from .theme import palette
from .tuning import quick_zoom
from .view import is_inside

__all__ = ["PickPlot", "map_plot", "photo_plot"]

Point = tuple[float, float]

_LINE = "#e69f00"
"""Orange of Okabe and Ito, on black: seen on any photo and with any colour vision."""


class PickPlot:
    """A picture on which points are picked and numbered.

    Parameters
    ----------
    name : str
        Tag and accessible name of the plot.
    bounds : (float, float, float, float)
        Left, bottom, right, top of what is shown first.
    on_tap : callable
        Called with x and y of a tap.
    """

    def __init__(self, name: str, bounds: Bounds, on_tap: Callable[[float, float], None]) -> None:
        left, bottom, right, top = bounds
        self.figure = plot = figure(
            tools="pan,wheel_zoom,reset",
            active_drag="pan",
            active_scroll="wheel_zoom",
            toolbar_location="above",
            x_range=Range1d(left, right),
            y_range=Range1d(bottom, top),
            sizing_mode="stretch_both",
            title=name,
            tags=[f"pick {name.lower()}"],
        )
        plot.title.text_font_size = "10pt"
        plot.axis.visible = False
        plot.grid.visible = False
        plot.min_border = 4
        quick_zoom(plot)
        keep_aspect(plot, bounds)
        plot.on_event(Tap, lambda event: on_tap(event.x, event.y) if is_inside(event) else None)
        self._marks = ColumnDataSource({"x": [], "y": [], "number": []})
        self._misses = ColumnDataSource({"x": [], "y": [], "x1": [], "y1": []})

    def add_marks(self) -> None:
        """Draw the marks, above what was drawn so far."""
        plot = self.figure
        for width, colour in ((4, "#000000"), (2, _LINE)):
            plot.segment(
                "x", "y", "x1", "y1", source=self._misses, line_color=colour, line_width=width
            )
        for width, colour in ((5, "#000000"), (2, _LINE)):
            plot.scatter(
                "x", "y", source=self._marks, marker="cross", size=20,
                line_color=colour, line_width=width,
            )  # fmt: skip
        plot.text(
            "x", "y", text="number", source=self._marks, x_offset=9, y_offset=-9,
            text_font_size="12px", text_font_style="bold", text_color="#000000",
            background_fill_color=_LINE, padding=2, border_radius=3,
        )  # fmt: skip

    def show(
        self,
        points: Sequence[Point],
        waiting: Point | None,
        misses: Sequence[tuple[float, float, float, float]] = (),
    ) -> None:
        """Mark the points of all pairs, and one that waits for its partner.

        Parameters
        ----------
        misses : sequence of four numbers
            From where a point was picked to where the fit has it.
        """
        shown = [*points, *([] if waiting is None else [waiting])]
        self._marks.data = {
            "x": [x for x, _ in shown],
            "y": [y for _, y in shown],
            "number": [str(k + 1) for k in range(len(shown))],
        }
        self._misses.data = {
            name: [one[axis] for one in misses] for axis, name in enumerate(("x", "y", "x1", "y1"))
        }


def photo_plot(
    picture: Picture, size: tuple[int, int], on_tap: Callable[[float, float], None]
) -> PickPlot:
    """Return the plot of a photo.

    Its coordinates are pixels from the lower left corner, as Bokeh draws upwards; see
    `in_photo` for those of the photo.
    """
    width, height = size
    made = PickPlot("Photo", (0.0, 0.0, float(width), float(height)), on_tap)
    made.figure.image_rgba([picture.levels], x=0, y=0, dw=width, dh=height)
    made.add_marks()
    return made


def map_plot(
    picture: Picture,
    bounds: Bounds,
    colours: str,
    title: str,
    on_tap: Callable[[float, float], None],
) -> PickPlot:
    """Return the plot of a map, in motor steps.

    Parameters
    ----------
    picture : Picture
        Its levels.
    bounds : (float, float, float, float)
        What is shown first.
    colours : str
        Name of a colour map.
    title : str
        What the map shows.
    on_tap : callable
        Called with x and y of a tap.
    """
    left, bottom, right, top = picture.bounds
    made = PickPlot("Map", bounds, on_tap)
    made.figure.title.text = f"Map: {title}"
    shades = np.array([[0, 0, 0, 0], *(_rgba(colour) for colour in palette(colours))], np.uint8)
    painted = np.ascontiguousarray(shades[picture.levels]).view(np.uint32)[..., 0]
    made.figure.image_rgba([painted], x=left, y=bottom, dw=right - left, dh=top - bottom)
    made.add_marks()
    return made


def _rgba(colour: str) -> tuple[int, int, int, int]:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return red, green, blue, 255
