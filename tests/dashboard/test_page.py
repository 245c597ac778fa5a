"""The page of one visitor, on a server without a browser: opened beside the event loop."""

from __future__ import annotations

import asyncio
import gc
import html
import json
import shutil
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import panel_material_ui as pmui
import pytest
from panel.models.location import Location as LocationModel
from visitor import Session, labelled, served, show, until

from dashboard import Explorer, data, page
from dashboard.catalogue import Entry
from dashboard.data import SharedScan
from dashboard.page import ScanPage
from maxrf_core import open_scan
from maxrf_core.calibration import recalibrated
from maxrf_core.sidecar import sidecar_path

Entries = dict[str, Entry]


@pytest.fixture
def entries(shared: SharedScan, tmp_path: Path) -> Entries:
    """Return two scans that this process has not opened, and one that cannot be."""
    made = {}
    for name in ("one", "other"):
        path = Path(shutil.copy(shared.scan.filename, tmp_path / f"{name}.zipstore"))
        made[name] = Entry(name, path, None)
    broken = tmp_path / "broken.zipstore"
    broken.write_bytes(b"PK\x03\x04 cut short")
    made["broken"] = Entry("broken", broken, None)
    return made


def texts(session: Session) -> str:
    """Return all texts of a page's models."""
    found = []
    for model in session.document.models:
        for holder in (model, getattr(model, "data", None)):
            found += [str(getattr(holder, name, "")) for name in ("text", "object", "title")]
    return " ".join(found)


def visit(
    entries: Entries,
    scenario: Callable[[Session], Awaitable[None]],
    query: dict[str, str] | None = None,
    while_loading: Callable[[Session], Awaitable[None]] | None = None,
) -> None:
    """Play a scenario of somebody before a page of some scans."""

    async def play() -> None:
        made = partial(ScanPage, entries, {"scan": "one"} if query is None else query)
        async with served(lambda: made().page, while_loading=while_loading) as session:
            await scenario(session)

    asyncio.run(play())


def header(session: Session) -> str:
    """Return what the header of a page says of its scan, as HTML."""
    return session.shown.header[-1].object


async def choose(session: Session, name: str) -> None:
    """Choose another scan in the sidebar."""
    (chooser,) = (found for found in labelled(session.shown, "Scan") if hasattr(found, "options"))
    await asyncio.wait_for(session.do(lambda: setattr(chooser, "value", name)), 5)


async def has_plots(session: Session) -> None:
    """Wait until the three views are on the page."""
    await until(lambda: session.figures() == ["map", "positions", "spectrum"])


def test_a_page_shows_its_scan(entries: Entries) -> None:
    """Three views, what the scan is, and controls, when the scan is open."""

    async def scenario(session: Session) -> None:
        await has_plots(session)
        await until(lambda: "259 spectra × 4,096 channels" in texts(session))
        assert session.title("map").startswith("6.169–6.612 keV")
        assert "Opening" not in texts(session)

    visit(entries, scenario)


def test_a_page_shows_what_its_address_asks_for(entries: Entries) -> None:
    """The first map computed is that of the address."""

    async def scenario(session: Session) -> None:
        await has_plots(session)
        assert session.title("map").startswith("3.500–3.900 keV")

    visit(entries, scenario, {"scan": "other", "window": "3.5~3.9"})


def test_a_scan_that_cannot_be_opened_says_so(
    entries: Entries, caplog: pytest.LogCaptureFixture
) -> None:
    """A card with the sentence, the traceback in the log."""

    async def scenario(session: Session) -> None:
        await until(lambda: "cannot be shown" in texts(session))
        assert "is not a whole zipstore" in texts(session)
        assert session.figures() == []

    visit(entries, scenario, {"scan": "broken"})
    assert "broken could not be shown" in caplog.text


def test_the_others_go_on_while_a_scan_is_opened(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening takes as long as it takes; the event loop answers all the while."""
    gate, began = threading.Event(), threading.Event()

    def slow(location: Path) -> object:
        began.set()
        assert gate.wait(20)
        return open_scan(location)

    async def scenario(session: Session) -> None:
        await until(began.is_set)
        assert "Opening one" in texts(session)
        pauses, last = [], time.perf_counter()
        for _ in range(50):
            await asyncio.sleep(0.002)
            pauses.append(time.perf_counter() - last)
            last = time.perf_counter()
        assert np.median(pauses) < 0.1  # the loop runs; how fast is not the matter
        assert session.figures() == []
        gate.set()
        await has_plots(session)

    monkeypatch.setattr(data, "open_scan", slow)
    visit(entries, scenario)


def test_one_scan_does_not_wait_for_another(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is derived from a scan once is computed under a lock of that scan's own."""
    gate, began = threading.Event(), threading.Event()
    slow_one = str(entries["one"].zipstore)
    window_counts = SharedScan._variance_beyond_noise

    def slow(shared: SharedScan, line: Any) -> float:
        if str(shared.scan.filename) == slow_one:
            began.set()
            assert gate.wait(20)
        return window_counts(shared, line)

    async def play() -> None:
        async with (
            served(lambda: ScanPage(entries, {"scan": "one"}).page) as waiting,
            served(lambda: ScanPage(entries, {"scan": "other"}).page) as other,
        ):
            await until(began.is_set)
            await has_plots(other)
            assert waiting.figures() == []
            gate.set()
            await has_plots(waiting)

    monkeypatch.setattr(SharedScan, "_variance_beyond_noise", slow)
    asyncio.run(play())


def test_a_scan_chosen_later_replaces_the_one_before(entries: Entries) -> None:
    """The page is there already: its browser has told so."""

    async def scenario(session: Session) -> None:
        await has_plots(session)
        first = session.figure("map")
        await choose(session, "other")
        await until(lambda: session.figures() and session.figure("map") is not first)
        await has_plots(session)

    visit(entries, scenario)


# --- before and after a browser connects ----------------------------------------------------


def test_a_page_is_whole_when_its_browser_asks_for_it(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Panel drops what changes between a browser's asking and its having the page.

    So the lock is held until all three views are there, and who asks meanwhile waits for it.
    """
    began: list[ScanPage] = []
    show = ScanPage._show

    async def remember(shown: ScanPage, *arguments: Any) -> None:
        began.append(shown)
        await show(shown, *arguments)

    async def scenario(session: Session) -> None:
        pn.state._connected.pop(session.document, None)  # as before its browser connects
        await until(lambda: began)
        asked = await session.do(session.figures)  # a browser asks with the lock, too
        assert asked == ["map", "positions", "spectrum"]

    monkeypatch.setattr(page, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(ScanPage, "_show", remember)
    visit(entries, scenario)


def test_dialogs_come_when_the_page_is_there(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sees them at first; the first picture does not wait for them."""
    seen: list[int] = []

    def count(session: Session) -> int:
        return len(session.shown.select(pmui.Dialog))

    async def connecting(session: Session) -> None:
        await until(lambda: session.figures() == ["map", "positions", "spectrum"])
        seen.append(count(session))

    async def scenario(session: Session) -> None:
        await until(lambda: count(session) == 8)

    monkeypatch.setattr(page, "_PATIENCE_S", 60.0)
    visit(entries, scenario, while_loading=connecting)
    assert seen == [0]


def test_a_browser_that_asks_early_waits_for_the_scan(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came in pieces would be laid out twice."""
    began = threading.Event()
    opened = ScanPage._look

    def slower(shown: ScanPage, *arguments: Any) -> Any:
        began.set()
        time.sleep(2 * page._SCRIPTS_S)
        return opened(shown, *arguments)

    async def connecting(session: Session) -> None:
        await until(began.is_set)
        assert session.figures() == []
        assert await session.do(session.figures) == ["map", "positions", "spectrum"]

    monkeypatch.setattr(page, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(ScanPage, "_look", slower)
    visit(entries, has_plots, while_loading=connecting)


def test_a_page_that_was_asked_for_is_changed_when_its_browser_has_it(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that takes too long: what changes before the browser is ready is never seen."""
    gate, began = threading.Event(), threading.Event()
    opened, show = ScanPage._look, ScanPage._show
    shown: list[bool] = []

    def slow(page: ScanPage, *arguments: Any) -> Any:
        began.set()
        assert gate.wait(20)
        return opened(page, *arguments)

    async def remember(page: ScanPage, *arguments: Any) -> None:
        shown.append(bool(pn.state._connected.get(page._document)))
        await show(page, *arguments)

    async def connecting(session: Session) -> None:
        await until(began.is_set)
        assert await session.do(session.figures) == []  # it gets a page that says "Opening"
        assert "Opening one" in texts(session)
        gate.set()
        for _ in range(100):
            await asyncio.sleep(0.002)
        assert shown == []

    async def scenario(session: Session) -> None:
        await has_plots(session)
        assert shown == [True]

    monkeypatch.setattr(page, "_PATIENCE_S", page._SCRIPTS_S)
    monkeypatch.setattr(ScanPage, "_look", slow)
    monkeypatch.setattr(ScanPage, "_show", remember)
    visit(entries, scenario, while_loading=connecting)


def test_a_visitor_who_left_while_a_scan_was_opened_is_shown_nothing(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing fails for it."""
    gate, began = threading.Event(), threading.Event()

    def slow(location: Path) -> object:
        began.set()
        assert gate.wait(20)
        return open_scan(location)

    async def scenario(session: Session) -> None:
        await until(began.is_set)
        others = asyncio.all_tasks()
        await session.leave()
        gate.set()
        await until(lambda: asyncio.all_tasks() <= others)

    monkeypatch.setattr(data, "open_scan", slow)
    visit(entries, scenario)


# --- one scan after the other ---------------------------------------------------------------


def held_up(
    entries: Entries, name: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Event, threading.Event]:
    """Let the opening of a scan wait; return what tells that it began, and what lets it go on."""
    began, gate = threading.Event(), threading.Event()

    def slow(location: Path) -> object:
        if location == entries[name].zipstore:
            began.set()
            assert gate.wait(20)
        return open_scan(location)

    monkeypatch.setattr(data, "open_scan", slow)
    return began, gate


@pytest.mark.parametrize("has_browser", [True, False])
def test_another_scan_can_be_chosen_while_one_is_opened(
    entries: Entries, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    """A scan that does not answer: the visitor is not held up by waiting for it."""
    began, gate = held_up(entries, "one", monkeypatch)

    async def scenario(session: Session) -> None:
        await until(began.is_set)
        await choose(session, "other")
        await has_plots(session)
        assert not gate.is_set()
        gate.set()
        for _ in range(100):
            await asyncio.sleep(0.002)
        assert session.figures() == ["map", "positions", "spectrum"]
        assert header(session).startswith("<b>other</b> · 259")

    monkeypatch.setattr(page, "_PATIENCE_S", page._SCRIPTS_S)
    monkeypatch.setattr(page, "_is_asked_for", lambda _document: has_browser)
    visit(entries, scenario)


def test_an_overtaken_opening_does_not_replace_the_page(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One, other, one again: what the first look at it makes late is nobody's any more."""
    gate, began = threading.Event(), threading.Event()
    looks: list[str] = []
    look = ScanPage._look

    def first_is_slow(shown: ScanPage, shared: SharedScan, query: dict[str, str]) -> Any:
        looks.append(shared.name)
        if len(looks) == 1:
            began.set()
            assert gate.wait(20)
        return look(shown, shared, query)

    async def scenario(session: Session) -> None:
        await until(began.is_set)
        await choose(session, "other")
        await until(lambda: header(session).startswith("<b>other</b> · 259"))
        await has_plots(session)
        await choose(session, "one")
        await until(lambda: header(session).startswith("<b>one</b> · 259"))
        await has_plots(session)
        plot = session.figure("map")
        await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
        await until(lambda: "3.500–3.900" in session.title("map"))
        gate.set()
        for _ in range(150):
            await asyncio.sleep(0.002)
        assert looks == ["one", "other", "one"]
        assert session.figure("map") is plot
        assert "3.500–3.900" in session.title("map")

    monkeypatch.setattr(page, "_is_asked_for", lambda _document: True)
    monkeypatch.setattr(ScanPage, "_look", first_is_slow)
    visit(entries, scenario, {"scan": "one"})


def test_many_visitors_of_a_scan_that_does_not_answer_stop_no_map(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps are computed in the event loop's few threads; who waits for a scan takes none."""
    began, gate = held_up(entries, "one", monkeypatch)

    async def play() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        async with (
            served(lambda: ScanPage(entries, {"scan": "one"}).page) as first,
            served(lambda: ScanPage(entries, {"scan": "one"}).page),
            served(lambda: ScanPage(entries, {"scan": "one"}).page),
            served(lambda: ScanPage(entries, {"scan": "other"}).page) as other,
        ):
            await until(began.is_set)
            await has_plots(other)
            await other.do(lambda: other.change(other.box(), left=3.5, right=3.9))
            await until(lambda: "3.500–3.900" in other.title("map"))
            assert first.figures() == []
            gate.set()
            await has_plots(first)

    monkeypatch.setattr(page, "_is_asked_for", lambda _document: True)
    try:
        asyncio.run(play())
    finally:
        gate.set()


def test_visitors_who_wait_for_a_scan_wait_for_one_opening(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else four of them would fill the threads in which scans are opened."""
    began, gate = held_up(entries, "one", monkeypatch)

    async def play() -> None:
        looks = [page._opening(entries["one"]) for _ in range(3 * page.KEPT_OPEN)]
        await until(began.is_set)
        other = await asyncio.wait_for(asyncio.wrap_future(page._opening(entries["other"])), 20)
        assert other.name == "other"
        assert len(set(map(id, looks))) == 1
        gate.set()
        assert (await asyncio.wrap_future(looks[0])).name == "one"
        await until(lambda: entries["one"] not in page._opened)

    try:
        asyncio.run(play())
    finally:
        gate.set()


# --- what is left of a page -----------------------------------------------------------------


def collect(shared: SharedScan) -> None:
    """Free what nobody holds."""
    show(Explorer(shared).views())  # HoloViews keeps the options of the last plots it looked up
    for _ in range(4):  # what is freed frees more
        gc.collect()


def test_every_page_is_freed_after_its_session(entries: Entries, shared: SharedScan) -> None:
    """A server runs for months: a page holds maps, pictures and a hundred models."""
    pages: list[weakref.ref] = []

    def build() -> Any:
        made = ScanPage(entries, {"scan": "one"})
        pages.append(weakref.ref(made))
        return made.page

    async def play() -> None:
        for _ in range(3):
            async with served(build) as session:
                await has_plots(session)
                await session.do(lambda s=session: s.change(s.box(), left=3.5, right=3.9))
                await until(lambda s=session: "3.500–3.900" in s.title("map"))
                session.shown = None

    asyncio.run(play())
    collect(shared)
    assert [made() for made in pages] == [None] * 3


def test_the_views_of_a_scan_are_freed_when_another_is_chosen(
    entries: Entries, shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visitor leafs through a folder: what was drawn of each scan must not pile up."""
    screens: list[weakref.ref] = []
    explorers: list[weakref.ref] = []
    checks: list[weakref.ref] = []
    show_page = ScanPage._show

    async def remember(shown: ScanPage, entry: Entry, explorer: Explorer, *rest: Any) -> None:
        await show_page(shown, entry, explorer, *rest)
        views = explorer.energy_map, explorer.positions
        explorers.append(weakref.ref(explorer))
        checks.append(weakref.ref(explorer.calibration))
        screens.extend(weakref.ref(screen) for view in views for screen in view._screens)

    async def scenario(session: Session) -> None:
        await has_plots(session)
        await until(lambda: len(screens) == 2)
        await until(lambda: checks[0]().check is not None)  # its thread is done
        await choose(session, "other")
        await until(lambda: len(screens) == 4)
        await has_plots(session)
        session.has_received()
        collect(shared)
        assert [screen() is None for screen in screens] == [True, True, False, False]
        assert [explorer() is None for explorer in explorers] == [True, False]

    monkeypatch.setattr(page, "_is_asked_for", lambda _document: True)
    monkeypatch.setattr(ScanPage, "_show", remember)
    visit(entries, scenario)


# --- calibration ----------------------------------------------------------------------------


async def calibrate(session: Session, button: str, points: list[tuple[float, float]]) -> None:
    """Open the dialog of the energy axis, fill the fields, and press one of its buttons."""
    (opener,) = labelled(session.shown, "Energy calibration")
    await session.do(lambda: opener.param.trigger("clicks"))

    def fill_and_press() -> None:
        for number, pair in enumerate(points):
            for label, value in zip(("channel", "energy (keV)"), pair, strict=True):
                labelled(session.shown, label)[number].value = value
        (pressed,) = labelled(session.shown, button)
        pressed.param.trigger("clicks")

    await until(lambda: labelled(session.shown, "channel"))
    await session.do(fill_and_press)


def test_a_page_opens_its_scan_anew_when_it_was_recalibrated(
    entries: Entries, shared: SharedScan
) -> None:
    """With the new energies, in the same view; and with the file's own when wanted back."""
    points = [(700.0, 7.5), (2000.0, 23.0)]
    beside = sidecar_path(entries["one"].zipstore)

    async def scenario(session: Session) -> None:
        await has_plots(session)
        await session.do(lambda: session.tap("positions", *shared.scan.positions[9]))
        await session.do(lambda: session.change(session.box(), left=6.0, right=6.5))
        await until(lambda: "6.000–6.500" in session.title("map"))
        await until(lambda: session.title("spectrum").startswith("Spectrum 9 ·"))
        first = session.figure("spectrum")
        await calibrate(session, "Recalibrate", points)
        assert json.loads(beside.read_text())["calibration"]["points"] == [[700, 7.5], [2000, 23]]
        await until(lambda: first.document is None)
        await has_plots(session)
        np.testing.assert_array_equal(session.line(3)[0], recalibrated(4096, points))
        assert "6.000–6.500" in session.title("map")
        assert session.title("spectrum").startswith("Spectrum 9 ·")
        second = session.figure("spectrum")
        await calibrate(session, "Back to the file's", [])
        assert "calibration" not in json.loads(beside.read_text())
        await until(lambda: second.document is None)
        await has_plots(session)
        np.testing.assert_array_equal(session.line(3)[0], shared.scan.energies)
        assert "6.000–6.500" in session.title("map")

    visit(entries, scenario, {"scan": "one"})


@pytest.mark.parametrize(
    "broken", ["no JSON", '{"version": 1, "calibration": {"points": [[1, 2]]}}']
)
def test_a_broken_file_beside_a_scan_is_a_card_with_its_sentence(
    entries: Entries, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """Not an empty page: it names the file that is to be corrected or moved away."""
    beside = sidecar_path(entries["one"].zipstore)
    beside.write_text(broken)

    async def scenario(session: Session) -> None:
        await until(lambda: "one cannot be shown" in texts(session))
        said = html.unescape(texts(session))
        assert f"{beside.name} cannot be used: " in said
        assert str(beside.parent) not in said
        assert "move it away to use the scan without it" in said
        assert session.figures() == []
        beside.unlink()
        await choose(session, "other")
        await has_plots(session)
        await choose(session, "one")
        await until(lambda: header(session).startswith("<b>one</b> · 259"))
        await has_plots(session)

    visit(entries, scenario, {"scan": "one"})
    assert str(beside) in caplog.text, "what the page leaves out of its name"


# --- addresses ------------------------------------------------------------------------------


def test_a_page_shows_the_layer_that_its_address_asks_for(entries: Entries) -> None:
    """The first map computed is that one, net and per second."""
    query = {"scan": "one", "layer": "standard error", "background": "sides", "rate": "1"}

    async def scenario(session: Session) -> None:
        await has_plots(session)
        assert session.title("map").startswith("Standard error · 6.169–6.612 keV")
        assert session.title("map").endswith("net of side windows")
        assert session.colour_bar().title == "counts/s"
        assert len(session.sides()) == 2
        with open_scan(entries["one"].zipstore) as scan:
            expected = scan.energy_map_error(6.169, 6.612, background="sides", per_second=True)
        np.testing.assert_array_equal(session.source("map", "Image").data["value"][0], expected)

    visit(entries, scenario, query)


def test_an_address_whose_parts_do_not_go_together_shows_the_first_look(entries: Entries) -> None:
    """All channels leave none for the background: the page itself writes such an address."""
    query = {"scan": "one", "window": "-5~99", "background": "sides", "sigma": "3"}

    async def scenario(session: Session) -> None:
        await has_plots(session)
        assert session.title("map").startswith("6.169–6.612 keV")
        said = html.unescape(texts(session))
        assert "The address asks for what cannot be shown" in said
        assert "no background to take away" in said

    visit(entries, scenario, query)


@pytest.mark.parametrize(
    "query",
    ["a=1?b=2&sigma=3", "sigma=3&window=" + "9" * 10_000, "sigma=3&%ff=%fe&a=%00&=&&", "sigma=3??"],
)
def test_no_address_stops_the_page(entries: Entries, query: str) -> None:
    """Panel's own reading of it fails on two question marks, and on 10,000 digits."""
    single = {"one": entries["one"]}

    async def play() -> None:
        async with served(lambda: page.ScanPage(single, page.visitor_query()).page, query) as found:
            await has_plots(found)
            asked = "" if query.endswith("??") else "36 eV"
            assert asked in found.title("spectrum")
            (bar,) = found.document.select({"type": LocationModel})
            assert bar.search == f"?{query}"
            await found.do(lambda: found.change(bar, search="?sigma=4"))  # as its browser tells it
            await until(lambda: "48 eV" in found.title("spectrum"))
            await found.do(lambda: found.change(bar, search="?x=1?y=" + "9" * 10_000))
            await until(lambda: "84 eV" in found.title("spectrum"))

    asyncio.run(play())


def test_a_page_that_could_not_start_shows_so_under_any_address(tmp_path: Path) -> None:
    """Both may be wrong."""

    async def play() -> None:
        made = partial(page.page_for, [str(tmp_path)], {})
        async with served(made, "a=1?b=2") as session:
            assert "has no zipstore, no Crono file and no cube" in html.unescape(texts(session))

    asyncio.run(play())


def test_a_visitor_follows_elements_and_workspaces_of_an_address(entries: Entries) -> None:
    """Back and forward, over what is not on the first page."""

    async def go(session: Session, search: str) -> None:
        await session.do(lambda: setattr(pn.state.location, "search", search))

    pages: list[ScanPage] = []

    def build() -> Any:
        pages.append(ScanPage(entries, {"scan": "one", "elements": "Fe", "view": "gallery"}))
        return pages[0].page

    async def play() -> None:
        async with served(build, "scan=one&elements=Fe&view=gallery") as session:
            await until(lambda: pages[0]._state is not None)
            state = pages[0]._state
            assert (state.elements, state.workspace) == (("Fe",), "gallery")
            await go(session, "?scan=one&elements=Ca~Fe&view=explore")
            assert (state.elements, state.workspace) == (("Ca", "Fe"), "explore")
            await go(session, "?scan=one&view=<script>&elements=Xx")
            assert (state.elements, state.workspace) == ((), "explore")
            assert "view='<script>'" in state.notice
            assert "elements='Xx'" in state.notice
            await go(session, "?scan=one&elements=Fe")
            assert state.elements == ("Fe",)
            assert state.notice == ""
            assert pages[0]._state is state  # the same page all the while

    asyncio.run(play())
