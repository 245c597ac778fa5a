"""The browser's part, played without a browser.

A `Visitor` holds a Bokeh document with something in it and sends the messages that BokehJS
would send; `served` gives a document a real server session without a socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.application.handlers.document_lifecycle import DocumentLifecycleHandler
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.model import Model
from bokeh.models import BoxAnnotation, ColorBar, ColumnDataSource
from bokeh.plotting import figure
from bokeh.server.contexts import ApplicationContext
from bokeh.server.session import ServerSession
from panel.io.application import build_applications
from panel.io.state import set_curdoc
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.ioloop import IOLoop

Result = TypeVar("Result")

SUM, MAX, RAW, SMOOTH = range(4)
"""The lines of the spectrum plot, in the order in which they are drawn."""


class Visitor:
    """Somebody who has a document before them.

    Parameters
    ----------
    document : Document
        What BokehJS would draw.
    """

    def __init__(self, document: Document) -> None:
        self.document = document

    @property
    def root(self) -> Model:
        """The first root of the document."""
        return self.document.roots[0]

    # --- what they see ------------------------------------------------------------------

    def figures(self) -> list[str]:
        """Return the names of the plots, as tagged."""
        return sorted(plot.tags[0] for plot in self.document.select({"type": figure}))

    def figure(self, name: str) -> figure:
        """Return the plot of a name: positions, map or spectrum."""
        (found,) = (plot for plot in self.document.select({"type": figure}) if name in plot.tags)
        return found

    def source(self, name: str, glyph: str, number: int = 0) -> ColumnDataSource:
        """Return the data of a plot's glyph: the `number`-th of a type."""
        glyphs = [
            renderer.data_source
            for renderer in self.figure(name).renderers
            if type(renderer.glyph).__name__ == glyph
        ]
        return glyphs[number]

    def image(self) -> npt.NDArray:
        """Return the map's levels as they are sent, row 0 at the bottom."""
        return np.asarray(self.source("map", "Image").data["image"][0])

    def picture(self, name: str) -> tuple[npt.NDArray, tuple[float, ...]]:
        """Return the levels of a plot's picture, row 0 at the bottom, and its outer edges."""
        data = self.source(name, "Image").data
        x, y, width, height = (data[column][0] for column in ("x", "y", "dw", "dh"))
        return np.asarray(data["image"][0]), (x, y, x + width, y + height)

    def answer(self) -> dict[str, Any]:
        """Return what the server last told of the place under the pointer on the map."""
        return {name: values[0] for name, values in self.source("map", "Scatter", 1).data.items()}

    def line(self, number: int) -> tuple[npt.NDArray, npt.NDArray]:
        """Return energies and counts of a line of the spectrum plot."""
        data = self.source("spectrum", "Line", number).data
        return np.asarray(data["energy"]), np.asarray(data["counts"])

    def mark(self, name: str) -> tuple[float, float]:
        """Return where the mark of the picked spectrum lies in a plot."""
        data = self.source(name, "Scatter").data
        (x,), (y,) = data["x"], data["y"]
        return float(x), float(y)

    def title(self, name: str) -> str:
        """Return the title of a plot."""
        return self.figure(name).title.text

    def box(self) -> BoxAnnotation:
        """Return the energy window on the spectrum plot."""
        (found,) = self.document.select({"type": BoxAnnotation, "name": "energy window"})
        return found

    def sides(self) -> list[tuple[float, float]]:
        """Return the side windows that are marked on the spectrum plot, the lower one first."""
        boxes = self.document.select({"type": BoxAnnotation, "name": "side window"})
        return sorted((box.left, box.right) for box in boxes if box.visible)

    def colour_bar(self) -> ColorBar:
        """Return the colour bar of the map."""
        (found,) = self.figure("map").select({"type": ColorBar})
        return found

    def limits(self) -> tuple[float, float]:
        """Return the ends of the counts axis."""
        axis = self.figure("spectrum").y_range
        return axis.start, axis.end

    # --- what they do -------------------------------------------------------------------

    def gesture(self, name: str, event: str, x: float | None, y: float | None) -> None:
        """Send a pointer event of a plot, such as ``tap`` or ``mousemove``."""
        values = {
            "model": {"id": self.figure(name).id},
            "sx": 10,
            "sy": 10,
            "x": _sent(x),
            "y": _sent(y),
            "modifiers": {"type": "map", "entries": [["shift", False]]},
        }
        self._send(_event(event, **values))

    def tap(self, name: str, x: float | None, y: float | None) -> None:
        """Tap on a plot at a place in its coordinates."""
        self.gesture(name, "tap", x, y)

    def zoom(self, name: str, *, x0: float, x1: float, y0: float, y1: float) -> None:
        """Tell the ranges of a plot after a zoom."""
        plot = self.figure(name)
        self.change(plot.x_range, start=x0, end=x1)
        self.change(plot.y_range, start=y0, end=y1)
        ranges = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
        self._send(_event("rangesupdate", model={"id": plot.id}, **ranges))

    def lay_out(self, name: str, width: int, height: int) -> None:
        """Tell how many pixels the frame of a plot has."""
        self.change(self.figure(name), inner_width=width, inner_height=height)

    def point(self, name: str, x: float | None, y: float | None) -> None:
        """Move the pointer to a place of a plot."""
        self.gesture(name, "mousemove", x, y)

    def change(self, model: Model, **properties: Any) -> None:
        """Change properties of a model in one message, one after the other."""
        self._send(
            *(
                {"kind": "ModelChanged", "model": {"id": model.id}, "attr": name, "new": value}
                for name, value in properties.items()
            )
        )

    def _send(self, *events: dict[str, Any]) -> None:
        self.document.apply_json_patch({"events": list(events)})


def _event(name: str, **values: Any) -> dict[str, Any]:
    """Return a Bokeh event as it is sent."""
    entries = {"type": "map", "entries": [list(item) for item in values.items()]}
    data = {"type": "event", "name": name, "values": entries}
    return {"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": data}


def _sent(number: float | None) -> Any:
    """Return a number as BokehJS sends it: JSON has no NaN."""
    if number is not None and np.isnan(number):
        return {"type": "number", "value": "nan"}
    return number


def show(viewable: Any) -> Visitor:
    """Show something without a server, as a notebook or a script does."""
    document = Document()
    shown = pn.panel(viewable)
    document.add_root(shown.get_root(document))
    visitor = Visitor(document)
    visitor.shown = shown  # as a notebook's cell holds on to what it shows
    return visitor


def labelled(layout: pn.viewable.Viewable, label: str) -> list[Any]:
    """Return the widgets of a layout whose label begins so."""
    return list(
        layout.select(lambda item: str(getattr(item, "label", None) or "").startswith(label))
    )


class Session(Visitor):
    """A visitor with a session on a server, without the socket.

    Parameters
    ----------
    server : ServerSession
        Their session.
    context : ApplicationContext
        The application that it belongs to.
    shown : object
        What the application built for them.
    """

    def __init__(self, server: ServerSession, context: ApplicationContext, shown: Any) -> None:
        super().__init__(server.document)
        self.server, self.shown, self._context = server, shown, context

    async def do(self, action: Callable[[], Result]) -> Result:
        """Let something happen as the server handles a message: with the document's lock."""

        def locked() -> Result:
            with set_curdoc(self.document):
                return action()

        return await self.server.with_document_locked(locked)

    def has_received(self) -> None:
        """Take what the server has sent: until then Bokeh keeps it, even if it was replaced."""
        self.document.models.flush_synced()

    async def leave(self) -> None:
        """Close the page, and let the server forget its session."""
        self.server.request_expiration()
        deadline = time.monotonic() + 20
        while not self.server.destroyed:
            assert time.monotonic() < deadline, "the session did not end"
            await self._context._cleanup_sessions(0)
            await asyncio.sleep(0)


@asynccontextmanager
async def served(
    build: Callable[[], Any],
    query: str = "",
    *,
    while_loading: Callable[[Session], Awaitable[None]] | None = None,
    remote_ip: str = "127.0.0.1",
) -> AsyncIterator[Session]:
    """Yield a visitor of an application on this event loop; they leave at the end.

    Panel makes the application and Bokeh the session, as for a visitor from outside.

    Parameters
    ----------
    build : callable
        Returns what the visitor gets to see; called as main.py is, with the document current.
    query : str
        The address after the question mark.
    while_loading : callable, optional
        What happens before the browser tells that it has the page.
    remote_ip : str
        Where they sit; by default before the server's own computer.
    """
    built: list[Any] = []

    def application() -> Any:
        built.append(build())
        return built[0]

    made = build_applications({"/": application})["/"]
    made.add(DocumentLifecycleHandler())  # as Bokeh's server does
    context = ApplicationContext(made, io_loop=IOLoop.current(), url="/")
    line = RequestStartLine("GET", f"/?{query}", "HTTP/1.1")
    request = HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "localhost"}))
    request.remote_ip = remote_ip
    server = await context.create_session_if_needed(ID("visitor"), request)
    session = Session(server, context, built[0])
    if while_loading is not None:
        await while_loading(session)
    await session.do(lambda: session._send(_event("document_ready")))
    try:
        yield session
    finally:
        await session.leave()


async def until(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Let the event loop run until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        await asyncio.sleep(0.002)
