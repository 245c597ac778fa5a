"""The private names that the page leans on: each test fails when a version takes one away."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import holoviews as hv
import panel as pn
import panel_material_ui as pmui
import pytest
from bokeh.application import Application
from bokeh.core.types import ID
from bokeh.document.events import DocumentPatchedEvent
from bokeh.plotting import figure
from bokeh.protocol import Protocol
from bokeh.protocol.receiver import Receiver
from bokeh.server.connection import ServerConnection
from bokeh.server.server import Server
from bokeh.server.views.ws import WSHandler
from bokeh.util.token import generate_jwt_token
from panel.io import document as panel_document
from panel.io.state import set_curdoc
from panel.reactive import Syncable
from panel.util.parameters import edit_readonly
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError, WebSocketHandler, websocket_connect
from visitor import Session, served, until

from dashboard.tuning import (
    LIVE_DEBOUNCE_MS,
    before_connecting,
    draw_ahead,
    live,
    quick_zoom,
    spare_modules,
    tune,
    with_early_scripts,
    without_busy_bar,
)

STOCK_DEBOUNCE_MS = 50


def test_panel_still_waits_before_it_takes_a_value() -> None:
    """If the stock delay changes or goes, `live` is to be measured again."""
    assert Syncable._debounce == STOCK_DEBOUNCE_MS


@pytest.mark.parametrize("make", [pmui.FloatSlider, pmui.RangeSlider, pmui.FloatInput])
def test_a_live_widget_hands_its_value_over_after_its_own_delay(make: type) -> None:
    """Panel reads `_debounce` from the widget when the browser sends a value, and nothing else."""

    async def scenario() -> list[int]:
        async with served(lambda: live(make(start=0.0, end=9.0))) as session:
            delays: list[int] = []
            add = session.document.add_timeout_callback

            def remember(callback: Callable[[], object], milliseconds: int) -> object:
                delays.append(milliseconds)
                return add(callback, milliseconds)

            session.document.add_timeout_callback = remember
            sent = [2.0, 3.0] if make is pmui.RangeSlider else 3.0
            await session.do(lambda: session.change(session.root.data, value=sent))
            await until(lambda: session.shown.value in (3.0, (2.0, 3.0)))
            return delays

    assert asyncio.run(scenario()) == [LIVE_DEBOUNCE_MS]
    assert LIVE_DEBOUNCE_MS < STOCK_DEBOUNCE_MS


def test_a_live_widget_merges_the_values_that_arrive_within_its_delay() -> None:
    """The delay is what keeps a drag from building up a backlog: the newest value wins."""

    async def scenario() -> list[float]:
        async with served(lambda: live(pmui.FloatSlider(start=0.0, end=99.0))) as session:
            seen: list[float] = []
            session.shown.param.watch(lambda event: seen.append(event.new), "value")
            for value in range(1, 41):
                await session.do(partial(session.change, session.root.data, value=float(value)))
            await until(lambda: seen)
            return seen

    assert asyncio.run(scenario()) == [40.0]


def test_only_the_live_widget_is_made_live() -> None:
    """The delay is set on the instance; other people's widgets keep theirs."""
    live(pmui.FloatSlider())
    assert pmui.FloatSlider._debounce == STOCK_DEBOUNCE_MS
    assert pmui.FloatSlider()._debounce == STOCK_DEBOUNCE_MS


def test_lines_are_drawn_without_webgl() -> None:
    """HoloViews still has the switch, and a figure that it makes does as it says."""
    assert hv.renderer("bokeh").webgl is False
    plot = hv.renderer("bokeh").get_plot(hv.Curve([1, 3, 2]))
    assert plot.state.output_backend == "canvas"


def test_webgl_is_what_tune_switched_off() -> None:
    """Without `tune` a figure would be drawn with WebGL: the switch still does something."""
    renderer = hv.renderer("bokeh").instance(webgl=True)
    assert renderer.get_plot(hv.Curve([1, 3, 2])).state.output_backend == "webgl"


def test_a_wheel_zoom_is_reported_early() -> None:
    """Bokeh's figure still has `lod_timeout`, and its default is what makes it worth setting."""
    plot = figure()
    assert plot.lod_timeout == 500
    quick_zoom(plot)
    assert plot.lod_timeout == 50
    assert plot.toolbar.logo is None


def test_a_visitors_websocket_has_nagles_delay_switched_off() -> None:
    """The socket that Bokeh's server really talks through has TCP_NODELAY set."""

    async def scenario() -> int:
        server = Server(Application(), io_loop=IOLoop.current(), port=0, address="127.0.0.1")
        server.start()
        token = generate_jwt_token(ID("visitor"))
        url = f"ws://127.0.0.1:{server.port}/ws"
        browser = await websocket_connect(url, subprotocols=["bokeh", token])
        await browser.read_message()  # the server answers when it has opened the session
        (connection,) = server._tornado._clients
        stream = connection._socket.ws_connection.stream
        option = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        browser.close()
        while await browser.read_message() is not None:
            pass  # until the socket is closed: else it would be found open in some later test
        await until(lambda: not server._tornado._clients)
        server.stop()
        server._http.stop()
        await server._http.close_all_connections()
        return option

    assert asyncio.run(scenario()) == 1


def test_tornado_still_has_the_switch() -> None:
    """`set_nodelay` is tornado's, public, and takes one value."""
    assert WSHandler.set_nodelay is WebSocketHandler.set_nodelay
    assert "set_nodelay" in vars(WebSocketHandler)


def test_tuning_twice_wraps_once() -> None:
    """`panel serve` runs main.py for each visitor: `open` must not grow with them."""
    opened, heard, said = WSHandler.open, WSHandler.on_message, WSHandler.write_message
    tune()
    assert WSHandler.open is opened
    assert WSHandler.on_message is heard
    assert WSHandler.write_message is said
    assert opened.maxrf_no_delay is True


def test_containers_keep_the_sizing_they_were_given() -> None:
    """Panel would stretch a column because a child stretches, and log a warning each time."""
    assert pn.config.respect_explicit_sizing is True
    column = pn.Column(pn.Column(sizing_mode="stretch_both"), sizing_mode="stretch_width")
    assert column.get_root().sizing_mode == "stretch_width"


def test_panel_puts_changes_off_before_a_browser_connects() -> None:
    """If it does so no more, `before_connecting` can go."""

    async def scenario() -> bool:
        async with served(lambda: pn.Column(pn.pane.HTML("first"))) as session:
            pn.state._connected.pop(session.document, None)  # as before its browser connects

            def change() -> bool:
                session.shown[:] = [pn.pane.HTML("a later thing")]
                return "a later thing" in str(session.document.to_json(deferred=False))

            at_once = await session.do(change)
            await until(lambda: "a later thing" in str(session.document.to_json(deferred=False)))
            return at_once

    assert asyncio.run(scenario()) is False


def test_changes_before_a_browser_connects_are_made_at_once() -> None:
    """What a browser is given when it asks then is the whole page."""

    async def scenario() -> bool:
        async with served(lambda: pn.Column(pn.pane.HTML("first"))) as session:
            connected = pn.state._connected
            connected.pop(session.document, None)

            def change() -> bool:
                with before_connecting(session.document):
                    session.shown[:] = [pn.pane.HTML("a later thing")]
                    return "a later thing" in str(session.document.to_json(deferred=False))

            at_once = await session.do(change)
            assert session.document not in connected
            return at_once

    assert asyncio.run(scenario()) is True


def test_the_early_script_is_that_of_the_components() -> None:
    """Another address would be read besides, and slow the page down."""

    async def scenario() -> tuple[set[str], str]:
        page = partial(pmui.Page, main=[pmui.Button(label="a"), pmui.Switch(label="b")])
        async with served(lambda: with_early_scripts(page())) as session:
            models = session.document.models
            return {m.esm for m in models if getattr(m, "bundle", None)}, session.shown.template

    addresses, template = asyncio.run(scenario())
    (address,) = addresses
    assert f'importShim("{address}")' in template
    assert f'href="{address}"' in template


def test_the_frames_of_a_message_are_taken_without_a_turn_of_the_loop_in_between() -> None:
    """What a call returns, Tornado waits for; nothing has to be awaited before the content."""
    tune()
    receiver, handled = Receiver(Protocol()), []
    handler = SimpleNamespace(receiver=receiver)

    async def receive(fragment: str) -> None:
        handled.append(await receiver.consume(fragment))

    handler._receive = receive
    header = '{"msgid": "1", "msgtype": "PULL-DOC-REQ"}'
    assert WSHandler.on_message(handler, header) is None
    assert WSHandler.on_message(handler, "{}") is None
    asyncio.run(WSHandler.on_message(handler, "{}"))
    assert [message.msgtype for message in handled] == ["PULL-DOC-REQ"]


def test_what_is_no_message_is_left_to_bokeh() -> None:
    """It closes connections that send binary frames first, or anything before they are open."""
    tune()
    for handler, fragment in (
        (SimpleNamespace(receiver=Receiver(Protocol())), b"{}"),
        (SimpleNamespace(receiver=None), "{}"),
    ):
        heard = WSHandler.on_message(handler, fragment)
        assert asyncio.iscoroutine(heard)
        heard.close()


@pytest.mark.parametrize("is_full", [False, True])
def test_who_says_something_waits_only_while_the_socket_is_full(is_full: bool) -> None:
    """A map of a dozen frames took as many turns of the loop; a slow line still holds it up."""
    tune()

    async def scenario() -> bool:
        flushed = asyncio.get_running_loop().create_future()
        handler = object.__new__(WSHandler)
        handler.ws_connection = SimpleNamespace(
            is_closing=lambda: False,
            write_message=lambda _message, *, binary: flushed,  # noqa: ARG005 - as Tornado's
            stream=SimpleNamespace(writing=lambda: is_full),
        )
        saying = asyncio.ensure_future(handler.write_message("a frame", locked=False))
        await asyncio.sleep(0)
        waits = not saying.done()
        flushed.set_result(None)
        await asyncio.wait_for(saying, 20)
        return waits

    assert asyncio.run(scenario()) is is_full


@pytest.mark.parametrize("is_found_lost", [False, True])
def test_a_connection_that_a_ping_found_closed_is_closed_in_silence(is_found_lost: bool) -> None:
    """Bokeh's own handler looks for a session that is parted from it, and fails."""
    lost: list[object] = []

    async def scenario() -> None:
        async with served(lambda: pn.pane.HTML("first")) as session:
            connection = ServerConnection(None, None, None, session.server)
            handler = object.__new__(WSHandler)
            handler.close_code = handler.close_reason = None
            handler.connection = connection
            handler.application = SimpleNamespace(client_lost=lost.append)
            if is_found_lost:
                connection.detach_session()
            handler.on_close()
            connection.detach_session()

    asyncio.run(scenario())
    assert len(lost) == (0 if is_found_lost else 1)


class Wire:
    """A connection to a browser that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send_patch_document(self, event: DocumentPatchedEvent) -> None:
        self.sent.append(getattr(event, "new", None))


def sent_before_ready(
    *, is_connected: bool, change: Callable[[Any], None], is_locked: bool = True
) -> list[Any]:
    """Return what is sent of held changes to a page whose browser has not told that it is ready."""
    wire = Wire()

    async def before(session: Session) -> None:
        def hold() -> None:
            with pn.io.hold():
                change(session.root)

        if is_connected:
            session.server.subscribe(wire)
        if is_locked:
            await session.do(hold)
        else:
            with set_curdoc(session.document):
                hold()
        session.server.unsubscribe(wire)

    async def scenario() -> None:
        async with served(lambda: pn.pane.HTML("first"), while_loading=before):
            pass

    asyncio.run(scenario())
    return wire.sent


def test_panel_drops_what_it_holds_while_a_page_gets_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it does so no more, `tuning._sending` can go."""
    stock = panel_document._drain_unconnected_events.__closure__[0].cell_contents
    monkeypatch.setattr(panel_document, "_drain_unconnected_events", stock)
    assert (
        sent_before_ready(is_connected=True, change=lambda model: model.update(text="later")) == []
    )


def test_what_is_held_while_a_page_gets_ready_is_sent() -> None:
    """The last of each property, and only where somebody has the page."""

    def change(model: Any) -> None:
        model.text = "soon"
        model.height = 20
        model.text = "later"

    assert sent_before_ready(is_connected=True, change=change) == ["later", 20]
    assert sent_before_ready(is_connected=False, change=change) == []
    assert sent_before_ready(is_connected=True, is_locked=False, change=change) == []  # nor raises


@pytest.fixture
def flip_busy() -> Iterator[Callable[[bool], None]]:
    """Return a function that sets Panel's busy flag as an event of the server does."""

    def flip(busy: bool) -> None:
        with edit_readonly(pn.state):
            pn.state.busy = busy

    yield flip
    flip(False)


def test_a_stock_page_follows_the_busy_state(flip_busy: Callable[[bool], None]) -> None:
    """If it does so no more, `without_busy_bar` can go."""
    page = pmui.Page()
    flip_busy(True)
    assert page.busy is True


def test_our_page_is_cut_off_from_the_busy_state(flip_busy: Callable[[bool], None]) -> None:
    """Each flip would walk all models of the page, twice for each value of a dragged slider."""
    page = without_busy_bar(pmui.Page())
    changes: list[object] = []
    page.param.watch(changes.append, "busy")
    flip_busy(True)
    assert page.busy is False
    assert changes == []


def test_a_stock_page_is_watched_by_the_state_of_the_process() -> None:
    """If it is so no more, `without_busy_bar` need not end it."""
    before = len(busy_watchers())
    page = pmui.Page()
    assert len(busy_watchers()) == before + 1
    without_busy_bar(page)


def test_our_page_is_not_kept_by_the_state_of_the_process() -> None:
    """Each visitor's page, with all that is on it, would stay for ever."""
    before = busy_watchers()
    page = weakref.ref(without_busy_bar(pmui.Page(main=[pn.Column()])))
    assert busy_watchers() == before
    gc.collect()
    assert page() is None


def busy_watchers() -> list[object]:
    """Return who watches Panel's busy flag."""
    return list(pn.state.param.watchers.get("busy", {}).get("value", []))


@pytest.mark.parametrize(("error", "is_told"), [(WebSocketClosedError, False), (ValueError, True)])
def test_a_closed_tab_is_no_error_in_the_log(
    caplog: pytest.LogCaptureFixture, error: type[Exception], is_told: bool
) -> None:
    """What was under way to it is lost, as it should be; everything else is told."""
    tune()

    async def forgotten() -> None:
        raise error

    async def scenario() -> None:
        task = asyncio.ensure_future(forgotten())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    asyncio.run(scenario())
    told = [record for record in caplog.records if "never retrieved" in record.message]
    assert bool(told) is is_told


def test_modules_are_set_aside_once_and_what_visitors_leave_is_not() -> None:
    """A later visitor's objects are collected, and another call does not spare them."""

    class Visit:
        def __init__(self) -> None:
            self.itself = self

    try:
        spare_modules()
        spared = gc.get_freeze_count()
        assert spared > 100_000
        left = weakref.ref(Visit())
        spare_modules()
        gc.collect()
        assert left() is None
        assert gc.get_freeze_count() <= spared
    finally:
        gc.unfreeze()


def test_a_plot_drawn_ahead_is_the_one_on_the_page() -> None:
    """Panel takes it as it is, and draws none of its own."""
    drawn: list[figure] = []
    element = hv.Curve([1, 3, 2]).opts(hooks=[lambda plot, _: drawn.append(plot.state)])

    async def scenario() -> None:
        column = pn.Column()
        async with served(lambda: column) as session:
            pane = pn.pane.HoloViews(element)
            draw_ahead(pane, session.document)
            assert list(session.document.select({"type": figure})) == []
            await session.do(lambda: column.append(pane))
            assert list(session.document.select({"type": figure})) == drawn
            assert len(drawn) == 1

    asyncio.run(scenario())
