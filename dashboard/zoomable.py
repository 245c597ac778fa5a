"""Views whose picture follows zoom and pan: what the screen shows, and no more."""

from __future__ import annotations

import asyncio
import math
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.core.property.descriptors import UnsetValueError
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import ColumnDataSource, CustomJS, GlyphRenderer
from bokeh.plotting import figure

from .data import SharedScan
from .latest import Latest
from .pixels import Bounds, Picture, View
from .state import ViewState
from .tuning import quick_zoom
from .view import SHOWN_AT_ONCE, MarkedView
from .zoom import Zoom, extent_of

__all__ = ["Screen", "ZoomableView"]

_WIDTH, _HEIGHT = 400, 300  # pixels, until the browser has told its own
_SHARPEST = 2.0
"""Pixels of the screen drawn for each of the page's, at most: beyond, eyes see no cells."""

_MOST_SHARP, _MOST = 600_000, 4_000_000
"""Pixels drawn at most: more than the page has, and in any case."""


_PATIENCE_S = 2.0
"""How long the next picture waits for a browser that does not say whether it drew the last one."""

_DRAWN = """
const told = () => { cb_obj.tags = [cb_obj.tags[0] + 1]; };
if (document.hidden) told();  // no frame would come
else requestAnimationFrame(() => setTimeout(told));
"""
"""Tell the server, after the frame in which a picture is painted, that it was."""


def _is_connected(document: Document | None) -> bool:
    """Return whether a browser shows a document now."""
    context = document and document.session_context
    return bool(context and context.session and context.session.connection_count > 0)


class Screen:
    """A plot on somebody's screen.

    Parameters
    ----------
    plot : figure
        The plot.
    source : ColumnDataSource
        The source of its picture.
    picture : Picture
        What is in the source.
    """

    def __init__(self, plot: figure, source: ColumnDataSource, picture: Picture) -> None:
        self._plot, self._source = weakref.ref(plot), weakref.ref(source)
        self._parts: weakref.WeakValueDictionary[str, Model] = weakref.WeakValueDictionary()
        self._drawn = asyncio.Event()
        self._drawn.set()
        self.picture = picture
        self.ratio = 1.0
        source.tags = [0]
        source.js_on_change("data", CustomJS(code=_DRAWN))
        source.on_change("tags", self._was_drawn)

    def _was_drawn(self, _name: str, _old: Any, _new: Any) -> None:
        self._drawn.set()

    async def until_drawn(self) -> None:
        """Wait until the browser has painted the last picture, or seems to be gone."""
        try:
            await asyncio.wait_for(self._drawn.wait(), _PATIENCE_S)
        except TimeoutError:
            self._drawn.set()

    def view(self) -> View | None:
        """Return what it shows, or None if it shows nothing or was closed."""
        plot = self._plot()
        if plot is None:
            return None
        ends = [plot.x_range.start, plot.y_range.start, plot.x_range.end, plot.y_range.end]
        if not np.isfinite(np.array(ends, dtype=float)).all():
            return None
        try:
            width, height = plot.inner_width or _WIDTH, plot.inner_height or _HEIGHT
        except UnsetValueError:  # the browser has not laid it out yet
            width, height = _WIDTH, _HEIGHT
        sharp, most = (math.sqrt(pixels / (width * height)) for pixels in (_MOST_SHARP, _MOST))
        ratio = min(max(self.ratio, 1.0), _SHARPEST, max(1.0, sharp), most)
        return View.over(tuple(map(float, ends)), ratio * width, ratio * height)

    def show(self, picture: Picture, **columns: Any) -> None:
        """Replace the picture and further columns of its source, all at once."""
        source = self._source()
        if source is not None:
            self.picture = picture
            if _is_connected(source.document):
                self._drawn.clear()
            source.data = {**picture.columns, **columns}

    def keep(self, **parts: Model) -> None:
        """Remember models of the plot that go with its picture."""
        self._parts.update(parts)

    def update(self, part: str, **properties: Any) -> None:
        """Change a model that was kept."""
        if part in self._parts:
            self._parts[part].update(**properties)

    def tell(self, **answer: Any) -> None:
        """Answer, in columns of one row, what was asked of the plot; the others stay."""
        answers = self._parts.get("answer")
        if answers is not None:
            answers.data = {**answers.data, **{name: [value] for name, value in answer.items()}}


Drawn = tuple[Any, list[tuple[Screen, Picture]]]
"""What pictures were made of, and the pictures."""


class ZoomableView(MarkedView):
    """A view in motor coordinates that is drawn anew for each zoom.

    A view that asks for a picture keeps the old one until the new one is there.
    """

    parameter: ClassVar[str]
    """Parameter of the state that holds what is seen."""

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__(shared, state)
        extent = extent_of(shared.scan, self.parameter)
        self._zoom = Zoom(state, self.parameter, extent, self._together)
        self._screens: deque[Screen] = deque(maxlen=SHOWN_AT_ONCE)
        self._of_browser: weakref.WeakSet[Screen] = weakref.WeakSet()
        self._drawing = Latest(self._draw, self._show_drawn, self._fail, ready=self._until_drawn)

    # --- what is drawn ------------------------------------------------------------------

    def _content(self) -> Any:
        """Return what pictures are made of now; another object when it changes."""
        raise NotImplementedError

    def _needed(self, view: View, bounds: Bounds) -> tuple[Bounds, tuple[float, float]]:
        """Return the edges and the pixels of a picture that shows what is within bounds."""
        raise NotImplementedError

    def _picture(self, content: Any, view: View) -> Picture:
        """Return the picture of what a view shows, and a margin. May be called in a thread."""
        raise NotImplementedError

    def _columns(self, content: Any, picture: Picture) -> dict[str, Any]:  # noqa: ARG002
        """Return columns that go with a picture."""
        return {}

    def _first_picture(self) -> Picture:
        """Return the picture of a plot that no browser has laid out yet."""
        return self._picture(self._content(), View.over(self.seen, _WIDTH, _HEIGHT))

    @property
    def home(self) -> Bounds:
        """What a reset shows: left, bottom, right, top."""
        raise NotImplementedError

    @property
    def seen(self) -> Bounds:
        """What the state asks for, not fitted to any frame: left, bottom, right, top."""
        seen = self._zoom.seen
        return self.home if seen is None else (seen[0], seen[2], seen[1], seen[3])

    def _equip(self, plot: figure) -> None:
        """Add tools and marks to a plot when it is made."""
        raise NotImplementedError

    def _plane(
        self,
        levels: npt.NDArray[np.uint8],
        bounds: Bounds,
        *,
        image: dict[str, Any],
        **options: Any,
    ) -> hv.Overlay:
        """Return an 8-bit picture in motor coordinates, and the mark of what is picked.

        Parameters
        ----------
        levels : (h, w) uint8
            The picture, row 0 at the bottom.
        bounds : tuple of float
            Its left, bottom, right and top edges in motor steps.
        image, **options
            Further options of the picture, and of the plot.
        """

        def equip(view: ZoomableView, plot: Any) -> None:
            view._equip(plot.state)

        left, bottom, right, top = self.seen
        # HoloViews keeps row 0 of an image at the top.
        picture = hv.Image(levels[::-1], bounds=tuple(bounds), vdims=["image"])
        return (picture.opts(tools=[], **image) * self._marker()).opts(
            xlabel="x (motor steps)",
            ylabel="y (motor steps)",
            xlim=(left, right),
            ylim=(bottom, top),
            responsive=True,
            default_tools=["save"],
            tools=["pan", "wheel_zoom", "reset"],
            active_tools=["pan", "wheel_zoom"],
            hooks=[self._hook(equip)],
            **options,
        )

    # --- screens ------------------------------------------------------------------------

    def _watch(self, plot: figure) -> Screen:
        """Keep a new plot's picture up to date with what is seen of it."""
        quick_zoom(plot)
        (source,) = (
            renderer.data_source
            for renderer in plot.select({"type": GlyphRenderer})
            if type(renderer.glyph).__name__ == "Image"
        )
        picture = self._first_picture()  # the state may have changed since the element was made
        screen = Screen(plot, source, picture)
        self._screens.append(screen)
        screen.show(picture, **self._columns(self._content(), picture))
        for shown_range in (plot.x_range, plot.y_range):
            for name in ("start", "end"):
                shown_range.on_change(name, self._moved)
        for name in ("inner_width", "inner_height"):
            plot.on_change(name, self._moved)
        left, bottom, right, top = self.home
        self._zoom.follow(plot, (left, right, bottom, top))
        return screen

    def _watch_ratio(self, screen: Screen) -> None:
        """Follow how many pixels of the screen one of the page's is, on a server."""
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            return  # elsewhere Panel has one object for all, and it would keep the view for ever
        info = pn.state.browser_info
        if info is None:
            return
        self._of_browser.add(screen)
        screen.ratio = info.device_pixel_ratio or 1.0
        of_view, of_screen = weakref.WeakMethod(self._refresh), weakref.ref(screen)

        def told(event: Any) -> None:
            refresh, screen = of_view(), of_screen()
            if refresh is not None and screen is not None:
                screen.ratio = event.new or 1.0
                refresh()

        info.param.watch(told, "device_pixel_ratio")

    def _moved(self, _name: str, _old: Any, _new: Any) -> None:
        # Not before a browser shows it: it may be drawn before anybody is there.
        for screen in self._screens:
            if screen not in self._of_browser:
                self._watch_ratio(screen)
        self._refresh()

    async def _until_drawn(self, document: Document) -> None:
        """Wait until the pictures that were sent are painted."""
        if _is_connected(document):
            await asyncio.gather(*(screen.until_drawn() for screen in self._screens))

    def _refresh(self) -> None:
        """Ask for new pictures where the old ones do not show what is seen by now."""
        if not all(self._is_enough(screen) for screen in self._screens):
            self._drawing.request()

    def _is_enough(self, screen: Screen) -> bool:
        """Return whether a picture shows what is seen, and half of the margin."""
        view = screen.view()
        return view is None or screen.picture.covers(*self._needed(view, view.with_margin(1 / 16)))

    def _draw(self) -> Drawn:
        """Draw for the screens that show something else by now."""
        content = self._content()
        return content, self._pictures(
            content, [s for s in self._screens if not self._is_enough(s)]
        )

    def _pictures(self, content: Any, screens: Iterable[Screen]) -> list[tuple[Screen, Picture]]:
        views = [(screen, screen.view()) for screen in screens]
        return [(screen, self._picture(content, view)) for screen, view in views if view]

    def _show_drawn(self, drawn: Drawn) -> None:
        content, pictures = drawn
        if content is not self._content():
            return  # a newer one was shown meanwhile, with pictures of its own
        with self._together():
            for screen, picture in pictures:
                screen.show(picture, **self._columns(content, picture))
