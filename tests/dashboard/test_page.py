"""The page of one visitor, on a server without a browser: opened beside the event loop."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import pytest
from visitor import Session, served, until

from dashboard import data, page
from dashboard.catalogue import Entry
from dashboard.data import SharedScan
from dashboard.page import ScanPage
from maxrf_core import open_scan

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
        made = partial(ScanPage, entries, query or {})
        async with served(lambda: made().page, while_loading=while_loading) as session:
            await scenario(session)

    asyncio.run(play())


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
        (chooser,) = session.shown.select(
            lambda item: getattr(item, "label", None) == "Scan" and hasattr(item, "options")
        )
        await session.do(lambda: setattr(chooser, "value", "other"))
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

    monkeypatch.setattr(ScanPage, "_show", remember)
    visit(entries, scenario)


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
