"""Settings of Panel, HoloViews and Bokeh that make a gesture feel instant.

Some are private names. They are all here, and each has a test in
``tests/dashboard/test_tuning.py`` that fails when a new version takes it away.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import holoviews as hv
import panel as pn
import panel_material_ui as pmui
import param
from bokeh.document import Document
from bokeh.document.events import DocumentChangedEvent, DocumentPatchedEvent, MessageSentEvent
from bokeh.plotting import figure
from bokeh.server.views.ws import WSHandler
from panel.io import document as panel_document
from panel.io.state import set_curdoc
from panel.widgets.base import Widget
from tornado.websocket import WebSocketClosedError, WebSocketHandler

__all__ = [
    "LIVE_DEBOUNCE_MS",
    "before_connecting",
    "draw_ahead",
    "live",
    "quick_zoom",
    "spare_modules",
    "tune",
    "with_early_scripts",
    "without_busy_bar",
]

LIVE_DEBOUNCE_MS = 10
"""How long a live widget's values are collected, in ms: the newest one wins.

Panel waits 50 ms (`Syncable._debounce`). With 0 nothing merges the values that arrive while
the server is busy, and a drag builds up a backlog of seconds.
"""

_LOD_TIMEOUT_MS = 50


def tune() -> None:
    """Apply the settings of the whole process; calling it again changes nothing."""
    # A container keeps the sizing it was given, whatever its children want.
    pn.config.respect_explicit_sizing = True
    renderer = hv.renderer("bokeh")
    # Without a GPU, WebGL repaints a line in 110 ms where the canvas takes 4.
    renderer.webgl = False
    if not hasattr(WSHandler.open, "maxrf_no_delay"):
        WSHandler.open = _without_delay(WSHandler.open)
        WSHandler.on_close = _lost_once(WSHandler.on_close)
        WSHandler.on_message = _heard_in_one_turn(WSHandler.on_message)
        WSHandler.write_message = _said_in_one_turn(WSHandler.write_message)
    if not hasattr(panel_document._drain_unconnected_events, "maxrf_sends"):  # noqa: SLF001
        panel_document._drain_unconnected_events = _sending(  # noqa: SLF001 - panel 1.9
            panel_document._drain_unconnected_events  # noqa: SLF001
        )
    logging.getLogger("asyncio").addFilter(_is_no_farewell)  # the same one is added once


def spare_modules() -> None:
    """Keep what was imported out of the collector's rounds, once a process.

    Panel collects garbage on the event loop after visitors have left, and everybody else waits
    meanwhile: 0.15 s of it went over 340,000 objects of modules, which never become garbage.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """Tell whether a message of the event loop's is worth a line in the log.

    Whoever closes a tab while something is under way to it has done nothing wrong; Panel does
    not wait for all it writes, and each such farewell was a traceback.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], WebSocketClosedError))


def _without_delay(open_socket: Any) -> Any:
    """Return a `WSHandler.open` that switches Nagle's algorithm off.

    A Bokeh message is several small frames, and a delayed acknowledgement held each
    change of data back by 40 ms.
    """

    def open_without_delay(handler: WSHandler) -> None:
        handler.set_nodelay(True)
        open_socket(handler)

    open_without_delay.maxrf_no_delay = True
    return open_without_delay


def _lost_once(on_close: Any) -> Any:
    """Return a `WSHandler.on_close` for connections that were found lost before.

    A ping finds a closed connection before the socket tells of it; Bokeh then looks for its
    session, which is parted from it, and fails.
    """

    def on_close_once(handler: WSHandler) -> None:
        connection = handler.connection
        if connection is None or connection._session is not None:  # noqa: SLF001 - bokeh 3.9
            on_close(handler)

    return on_close_once


def _heard_in_one_turn(on_message: Any) -> Any:
    """Return a `WSHandler.on_message` that takes the frames of a message together.

    Each of its three frames waited for two turns of the event loop, the next gesture after them.
    A turn is as long as what fifty visitors want in it, so that twenty gestures a second of one
    of them came too fast for a server that had time for them all.
    """

    def take_at_once(handler: WSHandler, fragment: str | bytes) -> Any:
        receiver = handler.receiver
        # Header and metadata are only put aside until the content comes.
        if receiver is not None and isinstance(fragment, str):
            consume = receiver._current_consumer  # noqa: SLF001 - bokeh 3.9
            if consume in (receiver._HEADER, receiver._METADATA):  # noqa: SLF001 - bokeh 3.9
                consume(fragment)
                return None
        return on_message(handler, fragment)

    return take_at_once


def _said_in_one_turn(write_message: Any) -> Any:
    """Return a `WSHandler.write_message` that waits only while the socket takes no more.

    A map has a dozen frames, and each waited for a turn of the event loop although it was sent.
    """

    async def write_at_once(
        handler: WSHandler,
        message: bytes | str | dict[str, Any],
        binary: bool = False,
        locked: bool = True,
    ) -> None:
        if locked:
            await write_message(handler, message, binary, locked)
            return
        written = WebSocketHandler.write_message(handler, message, binary)
        if handler.ws_connection.stream.writing():
            await written

    return write_at_once


_Drain = Callable[[Document, threading.Lock], list[DocumentChangedEvent]]


def _sending(drain: _Drain) -> _Drain:
    """Return Panel's way with changes that it held back, for a page that gets ready.

    It drops them until the browser tells that the page is ready, as if they came with the page;
    but that may have been sent before, and a plot that told how large it is waited for its
    picture for ever. What is sent before the page is, the browser leaves aside.
    """

    def drain_and_send(document: Document, lock: threading.Lock) -> list[DocumentChangedEvent]:
        session = getattr(document.session_context, "session", None)
        with lock:
            held = list(document.callbacks._held_events)  # noqa: SLF001 - as Panel does
        events = drain(document, lock)
        if session is None or not session.connection_count:
            return events
        if session._pending_writes is None:  # noqa: SLF001 - nothing is sent without the lock
            return events
        return events + [
            event
            for event in held
            if isinstance(event, DocumentPatchedEvent) and not isinstance(event, MessageSentEvent)
        ]

    drain_and_send.maxrf_sends = True
    return drain_and_send


def draw_ahead(pane: pn.pane.HoloViews, document: Document) -> None:
    """Draw a pane's plot before the pane stands on a document's page.

    Panel goes through all models of a page for each plot that it puts there, and for all of them
    at once no longer.
    """
    root = next(iter(document.roots), None)
    pane.object = pane._render(document, None, root)  # noqa: SLF001 - panel 1.9


_EARLY = """
{% extends "base.html" %}
{% block preamble %}{{ super() }}
<link rel="preload" as="fetch" crossorigin="anonymous" href="ADDRESS">{% endblock %}
{% block postamble %}{{ super() }}<script>importShim("ADDRESS")</script>{% endblock %}
"""


def with_early_scripts(page: pmui.Page) -> pmui.Page:
    """Return the page with the script of its components read while the server draws.

    Panel asks for it, and the browser reads 5 MB, when the page has come.
    """
    address = pmui.Page._render_esm(compiled=True, server=True)  # noqa: SLF001 - as its models
    page.template = _EARLY.replace("ADDRESS", address)
    return page


def live(widget: Widget) -> Widget:
    """Let a widget send its values while it is dragged, almost without waiting."""
    widget._debounce = LIVE_DEBOUNCE_MS  # noqa: SLF001 - no public name; panel 1.9
    return widget


def quick_zoom(plot: figure) -> None:
    """Report a wheel zoom 50 ms after the last tick instead of 500 ms."""
    plot.lod_timeout = _LOD_TIMEOUT_MS
    plot.toolbar.logo = None


def without_busy_bar(page: pmui.Page) -> pmui.Page:
    """Return the page with its busy bar cut off from the server's state.

    The bar follows `panel.state.busy`, which flips twice an event, and each flip walks
    all models of the page: 30 ms a time, twice for each value of a dragged slider.
    """
    with param.edit_constant(page):
        page.busy = False  # a plain value ends the reference to the state
    # But not its watcher, through which the state of the process would keep each page for ever.
    watchers = page._param__private.ref_watchers  # noqa: SLF001 - no public name; param 2
    for _, watcher in watchers:
        pn.state.param.unwatch(watcher)
    watchers.clear()
    return page


@contextmanager
def before_connecting(document: Document) -> Iterator[None]:
    """Change a page that no browser has asked for yet, at once.

    Panel puts such changes off, each to a turn of the event loop, and drops those whose turn
    comes between a browser's asking for the page and its telling that it has it. Hold the
    document's lock, so that a browser that asks meanwhile waits for the whole page.
    """
    connected = pn.state._connected  # noqa: SLF001 - no public name; panel 1.9
    with set_curdoc(document):
        connected[document] = True
        try:
            yield
        finally:
            connected.pop(document, None)
