"""The page of `panel serve`: choose a scan, convert it if need be, explore it."""

from __future__ import annotations

import asyncio
import html
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
from bokeh.document import Document
from bokeh.document.locking import without_document_lock
from bokeh.models import CustomJS
from panel.io.state import set_curdoc

from maxrf_core import Grid, MaxrfError, ParameterError
from maxrf_core.demo import demo_paths
from maxrf_core.location import is_url

from .accessibility import ACCESSIBLE
from .address import decode, encode, read_query, shortened
from .address_bar import ON_READY, address_bar
from .catalogue import Catalogue, Entry, catalogue
from .catalogue_page import CataloguePage, link_to
from .cloud import PositionCloud
from .conversion_card import ConversionCard
from .data import KEPT_OPEN, SharedScan, shared_scan
from .explorer import Explorer, default_state, notice_of
from .faults import reported
from .link_button import LinkButton
from .logs import log_event
from .pixels import View
from .routes import close_routes
from .scaling import scale_map
from .settings import settings
from .spare import Look, make_spare, make_spare_soon, take_spare
from .state import ViewState
from .text import as_text, hide_folder, sentence_of
from .tuning import before_connecting, with_early_scripts, without_busy_bar
from .view_tools import ViewTools

__all__ = ["ScanPage", "page_for"]

_SETTLED_MS = 300

_SCRIPTS_S = 0.15
"""How long a browser may fetch its scripts before its page is drawn, which holds up the server."""

_PATIENCE_S = 1.5
"""How long a browser is kept waiting for a page with the scan on it; then it gets one without."""

logger = logging.getLogger(__name__)

_FACTS = """
:host > div { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2;
  overflow: hidden; }
@media (max-width: 600px) { :host > div { font-size: 12px; } }
"""
"""A header of three lines, as on a phone, would lie on what is below."""

_ALL_SCANS = (
    '<a href="?" data-maxrf-go style="color: inherit; text-underline-offset: 3px">All scans</a>'
)

_LOG_OUT = '<a href="./logout" style="color: inherit; text-underline-offset: 3px">Log out</a>'

_LINK_STYLES = {"color": "inherit", "font-size": "14px", "white-space": "nowrap"}

_AT_FIRST = 3
"""Sections of controls that come with the page; the others are below them on most screens."""

_SEARCHED_FROM = 12
"""With more scans than so, the list of them has a field to search in."""


_Looked = tuple[Explorer | Look, dict[str, Any]]
"""The views of a visitor, drawn or not, and the view that they would have without a query."""


def page_for(arguments: Sequence[str], query: Mapping[str, str]) -> pmui.Page:
    """Return the page of one visitor.

    Parameters
    ----------
    arguments : sequence of str
        Zipstores, Crono files, cubes or folders; none for the demo scan.
    query : mapping of str to str
        Keys and values of the URL.

    Returns
    -------
    Page
        With a card that says what is wrong when the arguments name nothing to show.
    """
    close_routes()
    hide_folder(demo_paths().zipstore.parent)
    try:
        entries = catalogue(arguments, Entry("demo", demo_paths().zipstore, None, is_demo=True))
    except MaxrfError as error:
        return failure_page(reported(logger, "the page could not start", error))
    if _is_serving():
        # Of several scans, nobody knows which one will be chosen.
        warm_up(next(iter(entries.values())) if len(entries) == 1 else None)
    else:
        rehearse(list(entries.values()))
    return ScanPage(entries, query).page


def warm_up_drawing() -> None:
    """Compile what draws maps and positions."""
    corners = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    cloud = PositionCloud(corners, np.array([True, False, False]))
    view = View.over((-1, -1, 2, 2), 400, 300)
    cloud.seen(view)
    scaled = scale_map(np.arange(200_000, dtype=np.float32).reshape(400, 500), (0, 99))
    scaled.seen(Grid(0, 0, 0.004, 0.005, 400, 500), view)


def rehearse(entries: Sequence[Entry]) -> None:
    """Make ready before anybody comes, under ``panel serve --warm``.

    That is, the scans on this machine that are kept open, the first look at each of them, and a
    whole page: the first that a process draws takes three times as long as the others.
    """
    opened = _make_ready([entry for entry in entries if not is_url(entry.zipstore)])
    for shared in opened[:1]:
        Explorer(shared).views().get_root(Document())
    with ThreadPoolExecutor(1) as aside:  # the loop of this thread is the server's
        for shared in opened:
            aside.submit(asyncio.run, make_spare(shared)).result()


@cache
def warm_up(entry: Entry | None) -> threading.Thread:
    """Make ready in a thread, once a process, when the first visitor is there already."""
    entries = [] if entry is None else [entry]
    thread = threading.Thread(target=_make_ready, args=(entries,), name="warm-up", daemon=True)
    thread.start()
    return thread


def _make_ready(entries: Sequence[Entry]) -> list[SharedScan]:
    """Open what can be opened; of the others the page says to each visitor what is wrong."""
    warm_up_drawing()
    opened = []
    for entry in [entry for entry in entries if entry.is_converted][:KEPT_OPEN]:
        try:
            opened.append(_prepared(entry))
        except MaxrfError as error:
            logger.warning("%s: %s", entry.name, error)
    return opened


def _is_serving() -> bool:
    """Return whether the server runs already: under ``--warm`` a page is made before it does."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def failure_page(sentence: str) -> pmui.Page:
    """Return a page that shows why there is no other."""
    address_bar()
    return pmui.Page(title="MA-XRF", main=[_card("This page could not start", sentence)])


def _card(title: str, sentence: str) -> pmui.Alert:
    return pmui.Alert(
        as_text(sentence),
        title=title,
        severity="error",
        sizing_mode="stretch_width",
        margin=20,
    )


class ScanPage:
    """The page of one visitor: it lives as long as their session.

    Parameters
    ----------
    entries : Catalogue
        The scans to choose from.
    query : mapping of str to str
        Keys and values of the URL.
    """

    def __init__(self, entries: Catalogue, query: Mapping[str, str]) -> None:
        self._entries = entries
        self._document = pn.state.curdoc
        address_bar()
        self._query = dict(query)
        self._name: str | None = None
        self._listed: CataloguePage | None = None
        self._state: ViewState | None = None
        self._shared: SharedScan | None = None
        self._applying = False
        self._turn = object()
        self._write_timer: Any = None
        self._facts = pn.pane.HTML(
            "", styles={"color": "inherit", "font-size": "14px"}, stylesheets=[_FACTS]
        )
        self._all_scans = pn.pane.HTML(
            _ALL_SCANS,
            styles=_LINK_STYLES,
            margin=(5, 16, 5, 10),
        )
        self._chooser = pmui.Select(
            label="Scan",
            options=list(entries),
            visible=len(entries) > 1,
            searchable=len(entries) > _SEARCHED_FROM,
            size="small",
            sizing_mode="stretch_width",
            margin=(12, 12, 0, 12),
        )
        self._chooser.param.watch(lambda event: self._choose(event.new), "value")
        self._main = pn.Column(sizing_mode="stretch_width", margin=8)
        log_out = pn.pane.HTML(_LOG_OUT, styles=_LINK_STYLES, margin=(5, 10))
        page = pmui.Page(
            title="MA-XRF",
            header=[
                *([self._all_scans] if len(entries) > 1 else []),
                self._facts,
                *([log_out] if settings().has_login else []),
            ],
            main=[self._main],
            sidebar_width=280,
        )
        self.page = without_busy_bar(with_early_scripts(page))
        self._go()
        self._listen_to_address()

    @property
    def _entry(self) -> Entry | None:
        return None if self._name is None else self._entries[self._name]

    def _wanted_name(self) -> str | None:
        """Return the scan that the address asks for; None for the catalogue."""
        name = self._query.get("scan", "")
        if name in self._entries:
            return name
        return next(iter(self._entries)) if len(self._entries) == 1 else None

    def _unknown(self) -> str:
        """Return a sentence if the address asks for a scan that is not here."""
        asked = self._query.get("scan", "")
        if not asked or asked in self._entries:
            return ""
        here = "this is another one" if len(self._entries) == 1 else "these are those there are"
        return f"there is no scan {shortened(asked)!r} here; {here}."

    def _go(self) -> None:
        """Show what the address asks for."""
        if self._listed is not None:
            self._listed.leave()
            self._listed = None
        self._name = self._wanted_name()
        self._turn = object()
        if self._name is None:
            self._show_catalogue()
        else:
            self._show_scan(self._name)

    # --- all scans ----------------------------------------------------------------------

    def _show_catalogue(self) -> None:
        self._state = self._shared = None
        self.page.sidebar = []
        self._facts.object = ""
        self._all_scans.visible = False
        self._listed = CataloguePage(self._entries, notice=self._unknown())
        self._main[:] = [self._listed]

    # --- one scan -----------------------------------------------------------------------

    def _choose(self, name: str) -> None:
        """Go to another scan, as a link to it would."""
        if name == self._name:
            return
        search, location = link_to(name), pn.state.location
        if location is None or location.search == search:
            self._read_address(search)
        else:
            location.search = search

    def _show_scan(self, name: str) -> None:
        entry = self._entries[name]
        self._state = self._shared = None
        self._turn = object()
        self._chooser.value = name
        self.page.sidebar = [self._chooser]
        self._all_scans.visible = True
        self._facts.object = f"<b>{html.escape(name)}</b>"
        try:
            entry.check_in_place()
        except MaxrfError as error:
            self._main[:] = [_refusal(entry, sentence_of(error))]
            return
        if not entry.is_converted:
            self._main[:] = [ConversionCard(entry, self._converted)]
            return
        self._main[:] = [_waiting(f"Opening {name} …")]
        self._begin(entry)

    def _converted(self, entry: Entry) -> None:
        if self._entry is entry:
            self._show_scan(entry.name)

    def _begin(self, entry: Entry) -> None:
        """Open a scan beside the event loop, then show it.

        At once, not when the page is there: the browser needs most of a second for its
        scripts, and may then get everything with the page.
        """
        query, document = dict(self._query), self._document
        turn = self._turn = object()

        async def look() -> _Looked:
            shared = await asyncio.wrap_future(_opening(entry))
            return await asyncio.to_thread(self._look, shared, query)

        async def begin() -> None:
            """Have the page ready before its browser asks; who holds the lock makes it wait."""
            looking = asyncio.ensure_future(look())
            finish_later = without_document_lock(partial(finish, looking))
            if _is_asked_for(document):
                document.add_next_tick_callback(finish_later)
                return
            await asyncio.sleep(_SCRIPTS_S)
            await asyncio.wait([looking], timeout=_PATIENCE_S - _SCRIPTS_S)
            if looking.done():
                with before_connecting(document):
                    await self._show_or_lament(entry, turn, looking)
            else:
                document.add_next_tick_callback(finish_later)

        async def finish(looking: asyncio.Future[_Looked]) -> None:
            await asyncio.wait([looking])
            if document.session_context is None:
                return  # the page was closed meanwhile

            async def show() -> None:
                with set_curdoc(document):
                    await self._show_or_lament(entry, turn, looking)

            def when_loaded() -> None:
                document.add_next_tick_callback(show)

            with set_curdoc(document):
                pn.state.onload(when_loaded)

        document.add_next_tick_callback(begin)

    def _look(self, shared: SharedScan, query: Mapping[str, str]) -> _Looked:
        """Return the views of a visitor and the view that they would have without a query."""
        state = default_state(shared)
        defaults = _view_of(state)
        values, notices = decode(query, shared, defaults)
        notices = [notice for notice in (self._unknown(), *notices) if notice]
        if values == defaults and not notices and (spare := take_spare(shared)) is not None:
            return spare, defaults
        state.param.update(**values, notice=" ".join(notices))
        try:
            explorer = Explorer(shared, state=state)
        except ParameterError as error:  # each value has a meaning, but not all of them together
            told = (
                f"The address asks for what cannot be shown, and was ignored: {sentence_of(error)}"
            )
            state = ViewState(**defaults, notice=told)
            explorer = Explorer(shared, state=state)
        return explorer, defaults

    def _open_again(self) -> None:
        """Open the scan with what is kept beside it by now, in the same view."""
        if self._state is not None:
            self._query = read_query(encode(self._state, self._name))
        self._show_scan(self._name)

    async def _show_or_lament(
        self, entry: Entry, turn: object, looking: asyncio.Future[_Looked]
    ) -> None:
        """Show a scan that was looked at, or say why it cannot be shown."""
        looking.exception()  # asked for, so that asyncio does not complain of one that is dropped
        if turn is not self._turn:
            return  # another scan was chosen meanwhile, or the same one once more
        try:
            await self._show(entry, *looking.result())
        except Exception as error:  # noqa: BLE001 - logged and shown
            self._lament(entry, error)

    def _lament(self, entry: Entry, error: Exception) -> None:
        told = reported(logger, f"{entry.name} could not be shown", error)
        self._main[:] = [_refusal(entry, told)]
        if entry.source is not None:
            self._main.append(ConversionCard(entry, self._converted, overwrite=True))

    async def _show(self, entry: Entry, views: Explorer | Look, defaults: dict[str, Any]) -> None:
        """Show the views of a scan."""
        is_spare = isinstance(views, Look)
        look = views if is_spare else await Look.drawn(views, self._document)
        explorer, layout, dialogs = look.explorer, look.layout, pn.Column(margin=0)
        log_event("scan shown", scan=entry.name, prepared=is_spare)
        explorer.calibration.on_calibrated = self._open_again
        self._facts.object = f"<b>{html.escape(entry.name)}</b> · {explorer.shared.summary}"
        # Side by side, not in one column: Bokeh lays a column out anew for each part that comes.
        self.page.sidebar = [self._chooser, *look.sections[:_AT_FIRST]]
        await asyncio.sleep(0)
        self._main[:] = [notice_of(explorer.state), layout, dialogs]
        for button in layout.select(LinkButton):
            button.scan_name = entry.name
        for tools in layout.select(ViewTools):
            tools.show()
        self._shared, self._state, self._defaults = explorer.shared, explorer.state, defaults
        self._state.param.watch(lambda *_: self._write_address_soon(), list(defaults))

        def complete() -> None:
            """Add what few see at first, and everybody would wait for."""
            if self._state is not explorer.state:
                return  # another scan was chosen meanwhile
            self.page.sidebar = [self._chooser, *look.sections]
            dialogs[:] = explorer.dialogs
            if is_spare:  # others may have laid something beside the scan since it was made
                explorer.energy_map.underlay.renew()

        pn.state.onload(complete)
        make_spare_soon(explorer.shared)
        pn.state.onload(explorer.shared.prepare_picking)
        pn.state.onload(explorer.calibration.look)

    # --- the address --------------------------------------------------------------------

    def _listen_to_address(self) -> None:
        for code in (ON_READY, ACCESSIBLE):
            pn.state.curdoc.js_on_event("document_ready", CustomJS(code=code))
        if pn.state.location is None:
            return
        pn.state.location.param.watch(lambda event: self._read_address(event.new), "search")

    def _read_address(self, search: str) -> None:
        """Follow back and forward: the address changed in the browser."""
        if self._state is not None and search == encode(self._state, self._name):
            return
        self._query = read_query(search)
        if self._state is None or self._wanted_name() != self._name:
            self._go()
            return
        self._applying = True
        try:
            values, notices = decode(self._query, self._shared, self._defaults)
            self._state.param.update(**values, notice=" ".join(notices))
        finally:
            self._applying = False

    def _write_address_soon(self) -> None:
        """Write the view into the address when it has stood still for a moment."""
        document = pn.state.curdoc
        if self._applying or document is None or pn.state.location is None:
            return
        if self._write_timer is not None:
            document.remove_timeout_callback(self._write_timer)
        self._write_timer = document.add_timeout_callback(self._write_address, _SETTLED_MS)

    def _write_address(self) -> None:
        self._write_timer = None
        if self._state is not None:
            pn.state.location.search = encode(self._state, self._name)


def _is_asked_for(document: Document) -> bool:
    """Return whether a browser has the page of a document, or waits for it."""
    context = document.session_context
    return context is not None and context.session.connection_count > 0


def _view_of(state: ViewState) -> dict[str, Any]:
    """Return the parameters of a state that make up the view."""
    return {name: value for name, value in state.param.values().items() if name not in _NO_VIEW}


_NO_VIEW = ("name", "notice")


@cache
def _openers(_process: int) -> ThreadPoolExecutor:
    """Return the threads that scans are opened in: one that does not answer holds up no maps."""
    return ThreadPoolExecutor(KEPT_OPEN, thread_name_prefix="open-scan")


_opened: dict[Entry, Future[SharedScan]] = {}
_opened_lock = threading.Lock()


def _opening(entry: Entry) -> Future[SharedScan]:
    """Return what all visitors await who ask for a scan while it is being opened."""
    with _opened_lock:
        future = _opened.get(entry)
        if future is None:
            future = _openers(os.getpid()).submit(_prepared, entry)
            _opened[entry] = future
            future.add_done_callback(lambda _: _opened.pop(entry, None))
    return future


def _prepared(entry: Entry) -> SharedScan:
    """Open a scan and compute what the first look needs."""
    entry.check_in_place()
    shared = shared_scan(entry.zipstore)
    shared.prepare()
    return shared


def _refusal(entry: Entry, sentence: str) -> pmui.Alert:
    return _card(f"{entry.name} cannot be shown", sentence)


def _waiting(text: str) -> pn.Row:
    return pn.Row(
        pmui.CircularProgress(value=True, size=32),
        pmui.Typography(as_text(text), margin=(10, 8)),
        margin=20,
    )


def visitor_query() -> dict[str, str]:
    """Return the query of the visitor's URL; bytes that are no text are replaced.

    Read from the request: Panel's own parser fails on some query strings (panel
    issue 5781) and changes the type of others.
    """
    arguments = pn.state.session_args or {}
    return {
        key: values[-1].decode("utf-8", errors="replace")
        for key, values in arguments.items()
        if values
    }
