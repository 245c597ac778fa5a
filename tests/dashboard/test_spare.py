"""The first look at a scan, drawn before its visitor comes: theirs alone, and as any other."""

from __future__ import annotations

import asyncio
import shutil
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from bokeh.models import Model
from visitor import Session, served, until

from dashboard import spare
from dashboard.catalogue import Entry
from dashboard.data import SharedScan, kept_open, shared_scan
from dashboard.explorer import Explorer
from dashboard.page import ScanPage
from maxrf_core import ZipstoreError
from maxrf_core.mosaic_file import mosaic_path


@pytest.fixture
def entry(shared: SharedScan, tmp_path: Path) -> Entry:
    """Return a scan of its own folder."""
    return Entry("one", Path(shutil.copy(shared.scan.filename, tmp_path / "one.zipstore")), None)


Scenario = Callable[[Session, ScanPage], Awaitable[None]]


async def visited(entry: Entry, scenario: Scenario, query: dict[str, str] | None = None) -> None:
    """Play a scenario of a visitor of a scan's page, when its plots are there."""
    made: list[ScanPage] = []

    def build() -> Any:
        made.append(ScanPage({"one": entry}, query or {}))
        return made[0].page

    async with served(build) as session:
        await until(lambda: session.figures() == ["map", "positions", "spectrum"])
        await until(lambda: len(session.shown.sidebar) > 4)
        await scenario(session, made[0])


async def explorer_of_spare(entry: Entry) -> Explorer:
    """Return the views of a spare that was just made."""
    await spare.make_spare(shared_scan(entry.zipstore))
    return spare_of(entry).explorer


def spare_of(entry: Entry) -> spare.Look | None:
    return spare._spares.get(shared_scan(entry.zipstore))


def figures(session: Session) -> dict[str, tuple[str, int]]:
    """Return title and number of models of each plot."""
    return {
        name: (session.title(name), len(session.figure(name).references()))
        for name in session.figures()
    }


def test_a_page_of_a_spare_is_as_any_other(entry: Entry) -> None:
    """The same plots, data and controls, in the visitor's own document."""
    seen: list[Any] = []

    async def look(session: Session, page: ScanPage) -> None:
        assert page._state is not None
        controls = [len(list(one.select())) for one in session.shown.sidebar]
        seen.append((figures(session), controls, session.limits(), session.box().left))
        seen.append([session.image(), session.picture("positions")[0], *session.line(-1)])
        assert all(model.document is session.document for model in session.document.models)
        assert session.shown.main[0].objects[2].objects  # the dialogs

    async def play() -> None:
        await visited(entry, look)
        await spare.make_spare(shared_scan(entry.zipstore))
        explorer = weakref.ref(spare_of(entry).explorer)
        await visited(entry, look)
        assert spare_of(entry) is None
        assert explorer() is None or explorer().state is not None

    asyncio.run(play())
    plain, plain_data, of_spare, of_spare_data = seen
    assert plain == of_spare
    for one, other in zip(plain_data, of_spare_data, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_spare_answers_gestures(entry: Entry) -> None:
    """Drawn without a document, its plots follow that of the visitor."""

    async def play() -> None:
        explorer = await explorer_of_spare(entry)

        async def drag(session: Session, page: ScanPage) -> None:
            assert page._state is explorer.state
            await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
            await until(lambda: "3.500–3.900" in session.title("map"))
            await session.do(lambda: session.lay_out("map", 300, 250))
            await session.do(lambda: setattr(pn.state.browser_info, "device_pixel_ratio", 2.0))
            assert [screen.ratio for screen in explorer.energy_map._screens] == [2.0]
            await session.do(lambda: session.tap("map", *explorer.shared.scan.positions[3]))
            await until(lambda: page._state.cell is not None)

        await visited(entry, drag)

    asyncio.run(play())


def test_two_visitors_never_share_a_spare(entry: Entry) -> None:
    """What one does must not be seen by the other."""

    async def first(session: Session, page: ScanPage) -> None:
        async def second(other: Session, other_page: ScanPage) -> None:
            assert other_page._state is not page._state
            await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
            await until(lambda: "3.500–3.900" in session.title("map"))
            assert "3.500–3.900" not in other.title("map")
            shared_models = set(session.document.models) & set(other.document.models)
            assert shared_models == set()

        await visited(entry, second)

    async def play() -> None:
        await spare.make_spare(shared_scan(entry.zipstore))
        await visited(entry, first)

    asyncio.run(play())


def test_who_asks_for_a_view_gets_that(entry: Entry) -> None:
    """The spare stays for somebody who asks for none."""

    async def look(session: Session, _page: ScanPage) -> None:
        assert session.title("map").startswith("3.500–3.900 keV")

    async def unknown(_session: Session, page: ScanPage) -> None:
        assert "there is no scan" in page._state.notice

    async def play() -> None:
        await spare.make_spare(shared_scan(entry.zipstore))
        await visited(entry, look, {"window": "3.5~3.9"})
        await visited(entry, unknown, {"scan": "gone"})
        assert spare_of(entry) is not None

    asyncio.run(play())


def test_a_spare_is_made_after_each_visit(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, however many visitors came; and nothing of theirs is in it."""
    monkeypatch.setattr(spare, "_SOON_S", 0.02)
    made: list[SharedScan] = []
    make = spare.make_spare

    async def counted(shared: SharedScan) -> None:
        await make(shared)
        made.append(shared)

    monkeypatch.setattr(spare, "make_spare", counted)

    async def change(session: Session, page: ScanPage) -> None:
        await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
        await until(lambda: made)
        look = spare_of(entry)
        assert look.explorer.state is not page._state
        assert look.explorer.state.window != (3.5, 3.9)

    async def look(_session: Session, page: ScanPage) -> None:
        kept = spare_of(entry)
        await until(lambda: len(made) == 2)
        assert kept is None
        assert spare_of(entry).explorer.state is not page._state

    async def play() -> None:
        await visited(entry, change)
        await visited(entry, look)

    asyncio.run(play())


def test_what_was_laid_beside_the_scan_since_is_found(entry: Entry) -> None:
    """A spare may wait for days."""

    async def play() -> None:
        explorer = await explorer_of_spare(entry)

        async def look(_session: Session, page: ScanPage) -> None:
            assert page._state is explorer.state
            await until(lambda: "mosaic" in explorer.energy_map.underlay.light.choices)

        assert explorer.energy_map.underlay.light.choices == ()
        mosaic_path(entry.zipstore).touch()
        await visited(entry, look)

    asyncio.run(play())


def test_a_visitor_who_calibrates_a_spare_sees_the_scan_anew(entry: Entry) -> None:
    """The page is told, as that of any other visitor."""

    async def play() -> None:
        explorer = await explorer_of_spare(entry)

        async def look(_session: Session, page: ScanPage) -> None:
            assert explorer.calibration.on_calibrated == page._open_again

        await visited(entry, look)

    asyncio.run(play())


def test_spares_keep_no_scan_open(entry: Entry, tmp_path: Path) -> None:
    """Of many scans of a folder, those looked at last."""

    async def play() -> None:
        for number in range(6):
            path = Path(shutil.copy(entry.zipstore, tmp_path / f"{number}.zipstore"))
            await spare.make_spare(shared_scan(path))
            assert set(spare._spares) <= set(kept_open())
        assert len(spare._spares) == len(kept_open())

    asyncio.run(play())


def test_a_scan_has_one_spare(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Visitors who come together leave one behind, not each its own."""

    async def play() -> None:
        shared = shared_scan(entry.zipstore)
        await asyncio.gather(spare.make_spare(shared), spare.make_spare(shared))
        first = spare_of(entry)
        await spare.make_spare(shared)
        assert spare_of(entry) is first

    drawn: list[Explorer] = []
    draw = spare.Look.drawn

    async def counted(explorer: Explorer, document: Document) -> spare.Look:
        drawn.append(explorer)
        return await draw(explorer, document)

    monkeypatch.setattr(spare.Look, "drawn", counted)
    asyncio.run(play())
    assert len(drawn) == 1


def test_a_first_look_that_cannot_be_drawn_is_logged(
    entry: Entry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its visitors are told by their page; a server starts without it."""

    def fail(_shared: SharedScan) -> Explorer:
        raise ZipstoreError("one.zipstore is damaged.")

    with monkeypatch.context() as patch:
        patch.setattr(spare, "Explorer", fail)
        asyncio.run(spare.make_spare(shared_scan(entry.zipstore)))
    assert spare_of(entry) is None
    assert caplog.messages[-1] == "one: one.zipstore is damaged."
    asyncio.run(spare.make_spare(shared_scan(entry.zipstore)))
    assert spare_of(entry) is not None


def test_no_model_of_a_spare_belongs_to_a_document(entry: Entry) -> None:
    """Else the visitor's document would refuse it."""
    asyncio.run(spare.make_spare(shared_scan(entry.zipstore)))
    plots = [pane.object.state for pane in spare_of(entry).layout.select(pn.pane.HoloViews)]
    models: set[Model] = set().union(*(plot.references() for plot in plots))
    assert len(plots) == 3
    assert {model.document for model in models} == {None}
