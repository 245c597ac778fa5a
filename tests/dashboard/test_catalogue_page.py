"""The catalogue of several scans: what it tells of each, and when it looks into their files."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import logging
import os
import shutil
import threading
import weakref
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn
import pytest
from PIL import Image
from visitor import Session, labelled, served, until

from dashboard import thumbnails
from dashboard.catalogue import Catalogue, Entry, catalogue, facts_of
from dashboard.catalogue_page import CataloguePage, bytes_text, link_to
from dashboard.data import SharedScan
from dashboard.page import ScanPage
from dashboard.scan_cards import ScanCards
from dashboard.thumbnails import png_of, thumbnail_of
from maxrf_core import Grid, convert_crono
from maxrf_core.schema import SCHEMA_NAME, SCHEMA_VERSION

DEMO = Entry("demo", Path("demo.zipstore"), None, is_demo=True)


@pytest.fixture
def folder(shared: SharedScan, crono_file: Path, tmp_path: Path) -> Path:
    """Return a folder with two scans, one to convert and one that was cut short."""
    for name in ("one", "other"):
        shutil.copy(shared.scan.filename, tmp_path / f"{name}.zipstore")
    shutil.copy(crono_file, tmp_path / "later.HDF5")
    os.utime(tmp_path / "later.HDF5", (1_700_000_000, 1_700_000_000))
    (tmp_path / "broken.zipstore").write_bytes(b"PK\x03\x04 cut short")
    return tmp_path


@pytest.fixture
def entries(folder: Path) -> Catalogue:
    """Return the catalogue of that folder."""
    return catalogue([str(folder)], DEMO)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """Forget what was computed of the files of another test."""
    yield
    thumbnails._thumbnails._kept.clear()
    thumbnails._facts._kept.clear()


# --- facts ----------------------------------------------------------------------------------


def test_a_scan_tells_when_it_was_measured_and_how_large_it_is(
    entries: Catalogue, shared: SharedScan
) -> None:
    """From the description in the file; no counts are read."""
    facts = facts_of(entries["one"])
    assert (facts.date, facts.is_measured) == ("2021-10-15 14:20", True)
    assert facts.n_bytes == shared.scan.filename.stat().st_size
    assert facts.n_spectra == shared.scan.n_spectra
    assert facts.shape == shared.scan.grid.shape
    assert facts.is_converted
    assert facts.fault == ""


def test_a_scan_to_convert_tells_of_its_file(entries: Catalogue, crono_file: Path) -> None:
    """The server itself opens no HDF5 file: a bad one would end it."""
    facts = facts_of(entries["later"])
    assert facts.date.startswith("2023-11-1")
    assert not facts.is_measured
    assert not facts.is_converted
    assert (facts.n_bytes, facts.n_spectra) == (crono_file.stat().st_size, None)


def test_what_is_wrong_with_a_file_is_told(entries: Catalogue, folder: Path) -> None:
    """A sentence, and what is known of it all the same."""
    facts = facts_of(entries["broken"])
    assert "broken.zipstore is not a whole zipstore" in facts.fault
    assert facts.n_bytes == 14
    (folder / "broken.zipstore").unlink()
    assert facts_of(entries["broken"]).fault == (
        "broken.zipstore cannot be looked at: No such file or directory."
    )


@pytest.mark.parametrize("grid", [None, [], {"height": "many"}])
def test_a_damaged_description_is_told(tmp_path: Path, grid: Any) -> None:
    """Not raised: the other scans are still to be shown."""
    store = tmp_path / "odd.zipstore"
    store.mkdir()
    odd = {"schema": SCHEMA_NAME, "schema_version": SCHEMA_VERSION, "grid": grid, "metadata": {}}
    (store / ".zattrs").write_text(json.dumps(odd))
    layout = store / "counts" / "by_spectrum"
    layout.mkdir(parents=True)
    (layout / ".zarray").write_text("{}")
    assert "odd.zipstore: the description of" in facts_of(Entry("odd", store, None)).fault


@pytest.mark.parametrize("created", ["some day in May", None, 20211015, "", [1]])
def test_a_date_that_is_none_is_the_files(folder: Path, created: Any) -> None:
    """The file's own words stand there if they are no month/day/year."""
    store = folder / "odd.zipstore"
    with zipfile.ZipFile(folder / "one.zipstore") as whole:
        whole.extractall(store)
    attributes = json.loads((store / ".zattrs").read_text())
    assert attributes["metadata"]["created"] == "2021-10-15T14:20:02"
    attributes["metadata"]["created"] = created
    (store / ".zattrs").write_text(json.dumps(attributes))
    os.utime(store, (1_700_000_000, 1_700_000_000))
    facts = facts_of(Entry("odd", store, None))
    assert not facts.is_measured
    assert facts.date.startswith("2023-11-1")
    assert facts.n_spectra == 259
    assert facts.n_bytes > 100_000  # of all files in the folder


def test_nothing_is_asked_of_a_url() -> None:
    """Its server may not answer; the scan is opened when somebody wants to see it."""
    facts = facts_of(Entry("far", "http://127.0.0.1:1/far.zipstore", None))
    assert (facts.fault, facts.n_bytes, facts.is_converted) == ("", None, True)


def test_scans_of_one_name_tell_their_folders(shared: SharedScan, tmp_path: Path) -> None:
    """Else nobody knows which is which; others have no folder on their card."""
    for name in ("monday/scan", "tuesday/scan", "tuesday/letter"):
        path = tmp_path / f"{name}.zipstore"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(shared.scan.filename, path)
    found = catalogue([str(tmp_path / "monday"), str(tmp_path / "tuesday")], DEMO)
    assert {name: entry.folder for name, entry in found.items()} == {
        "scan": "monday",
        "letter": "",
        "scan (2)": "tuesday",
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (15_388_394, "15.4 MB"),
        (882_080_622, "882 MB"),
        (999_600_000, "1.0 GB"),
        (2_300_000_000_000, "2.3 TB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_are_written_as_files_are_listed(size: int, text: str) -> None:
    """With the unit that gives the shortest number."""
    assert bytes_text(size) == text


# --- thumbnails -----------------------------------------------------------------------------


def opened(png: bytes) -> Image.Image:
    """Return a PNG as a picture."""
    return Image.open(io.BytesIO(png))


def test_a_thumbnail_is_the_map_of_the_strongest_line(entries: Catalogue) -> None:
    """In 8 bits, named by its line; the scan is closed again and not kept open."""
    found = thumbnail_of(entries["one"].zipstore)
    kind, _, data = found.address.partition(",")
    assert kind == "data:image/png;base64"
    picture = opened(base64.b64decode(data))
    assert (picture.format, picture.mode) == ("PNG", "P")
    assert len(np.unique(np.asarray(picture))) > 10
    assert found.line == "FeKa · 6.17–6.61 keV"


def test_a_thumbnail_has_the_objects_proportions_and_y_upwards() -> None:
    """160 pixels wide, or 240 tall; a cell without a datum is transparent."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    values[0, 0] = np.nan
    wide = opened(png_of(values, Grid(0, 0, 100.0, 50.0, 3, 4)))
    assert wide.size == (160, 60)
    alpha = np.asarray(wide.convert("RGBA"))[..., 3]
    assert alpha[-1, 0] == 0
    assert alpha[0, 0] == alpha[-1, -1] == 255
    brightness = np.asarray(wide.convert("RGB")).sum(axis=2)
    assert brightness[0, -1] > brightness[-1, -1]  # the last row of the map is on top
    tall = opened(png_of(values, Grid(0, 0, 10.0, 100.0, 3, 4)))
    assert tall.size == (32, 240)


@pytest.mark.parametrize("value", [np.nan, 5.0])
def test_a_map_without_differences_is_a_thumbnail(value: float) -> None:
    """Nothing measured yet, or the same everywhere."""
    values = np.full((3, 4), value, dtype=np.float32)
    assert opened(png_of(values, Grid(0, 0, 1.0, 1.0, 3, 4))).size == (160, 120)


def test_a_large_map_is_averaged() -> None:
    """A cell in ten would be noise."""
    values = np.zeros((200, 3200), dtype=np.float32)
    values[:, ::2] = 2.0
    values[:, :1600] = 0.0
    small = np.asarray(opened(png_of(values, Grid(0, 0, 1.0, 1.0, 200, 3200))))
    assert small.shape == (10, 160)
    assert len(np.unique(small)) == 2


# --- the page -------------------------------------------------------------------------------


def visit(entries: Catalogue, scenario: Callable[[Session], Awaitable[None]], **query: str) -> None:
    """Play a scenario of somebody before a page of some scans."""

    async def play() -> None:
        async with served(lambda: ScanPage(entries, query).page) as session:
            await scenario(session)

    asyncio.run(play())


def shown_cards(session: Session) -> ScanCards:
    """Return the cards on a page."""
    (found,) = session.shown.select(ScanCards)
    return found


class Browser:
    """What a browser shows on the cards of a session."""

    def __init__(self, session: Session) -> None:
        self.session, self.cards = session, shown_cards(session)
        self.told: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.cards._send_msg = self._hear

    def _hear(self, message: dict[str, Any]) -> None:
        for card in message["cards"]:
            self.told.setdefault(card["name"], {}).update(card)
            self.order += [card["name"]] * ("picture" in card)

    async def wants(self, *names: Any) -> None:
        """Tell which cards are in view."""
        await self.session.do(lambda: self.cards._handle_msg({"wanted": list(names)}))


def test_several_scans_begin_with_their_catalogue(entries: Catalogue) -> None:
    """All names at once, each a link; no scan is opened, and there is nothing beside them."""

    async def scenario(session: Session) -> None:
        cards = shown_cards(session)
        assert [card["name"] for card in cards.scans] == ["broken", "later", "one", "other"]
        assert [card["link"] for card in cards.scans][:1] == ["?scan=broken"]
        assert list(session.shown.sidebar) == []
        assert session.figures() == []

    visit(entries, scenario)


def test_one_scan_has_no_catalogue(entries: Catalogue) -> None:
    """A lab that serves one painting sees the painting."""
    single = Catalogue({"one": entries["one"]})

    async def scenario(session: Session) -> None:
        await until(lambda: session.figures() == ["map", "positions", "spectrum"])
        assert not session.shown.select(ScanCards)
        assert len(session.shown.header) == 1

    visit(single, scenario)


def test_cards_are_told_what_there_is_when_the_browser_has_them(entries: Catalogue) -> None:
    """Facts of all scans, pictures of those in view; a broken one stops no other."""

    async def scenario(session: Session) -> None:
        browser = Browser(session)
        await asyncio.sleep(0.2)
        assert browser.told == {}
        await browser.wants("other", "broken")
        await until(lambda: browser.told.get("other", {}).get("picture"))
        assert browser.order == ["other"]
        assert "not a whole zipstore" in browser.told["broken"]["fault"]
        assert browser.told["one"]["counted"] == "259 spectra · 12 × 9 cells"
        assert browser.told["one"]["date"] == "2021-10-15 14:20"
        assert not browser.told["later"]["converted"]
        await browser.wants("one", "other")
        await until(lambda: browser.order == ["other", "one"])

    visit(entries, scenario)


def test_a_scan_that_cannot_be_drawn_says_so_on_its_card(
    entries: Catalogue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it; the traceback is in the log."""
    draw = thumbnails.thumbnail_of

    def fail(location: Path) -> Any:
        if location.stem == "one":
            raise ZeroDivisionError
        return draw(location)

    async def scenario(session: Session) -> None:
        browser = Browser(session)
        await browser.wants("one", "other")
        await until(lambda: browser.order == ["one", "other"])
        assert browser.told["one"]["fault"].startswith(
            "Something unforeseen happened (ZeroDivisionError)"
        )
        assert not browser.told["one"]["picture"]
        assert browser.told["other"]["picture"]

    monkeypatch.setattr(thumbnails, "thumbnail_of", fail)
    with caplog.at_level(logging.ERROR):
        visit(entries, scenario)
    assert "no thumbnail of one" in caplog.text


def test_a_picture_is_made_once_for_all_visitors_until_the_file_changes(
    entries: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one thread, whoever asks; a conversion that came since is drawn anew."""
    drawn: list[str] = []
    draw = thumbnails.thumbnail_of

    def count(location: Path) -> Any:
        drawn.append(f"{location.stem} {threading.current_thread().name}")
        return draw(location)

    async def play() -> None:
        for times in (1, 1, 2):
            async with (
                served(lambda: ScanPage(entries, {}).page) as first,
                served(lambda: ScanPage(entries, {}).page) as second,
            ):
                browsers = [Browser(first), Browser(second)]
                for browser in browsers:
                    await browser.wants("one")
                for browser in browsers:
                    await until(lambda b=browser: b.told.get("one", {}).get("picture"))
            assert drawn == ["one catalogue_0"] * times
            if drawn and times == 1 and seen:
                os.utime(entries["one"].zipstore, (1_800_000_000, 1_800_000_000))
            seen.append(times)

    seen: list[int] = []
    monkeypatch.setattr(thumbnails, "thumbnail_of", count)
    asyncio.run(play())


def test_nobody_waits_for_the_pictures_of_a_catalogue_that_was_left(
    entries: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opens a scan, or leaves, has no more files looked into."""
    gate, began = threading.Event(), threading.Event()
    drawn: list[str] = []

    def slow(location: Path) -> Any:
        drawn.append(location.stem)
        began.set()
        assert gate.wait(20)
        return thumbnails.Thumbnail("data:,", "line")

    async def scenario(session: Session) -> None:
        browser = Browser(session)
        await browser.wants("one", "other")
        await until(began.is_set)
        await session.do(lambda: setattr(pn.state.location, "search", "?scan=other"))
        gate.set()
        await until(lambda: session.figures() == ["map", "positions", "spectrum"])
        assert drawn == ["one"]
        assert browser.order == []

    monkeypatch.setattr(thumbnails, "thumbnail_of", slow)
    try:
        visit(entries, scenario)
    finally:
        gate.set()


@pytest.mark.parametrize(
    "message", [None, 7, "one", [], {}, {"wanted": None}, {"wanted": [None, 3, {}, "nobody"]}]
)
def test_a_message_without_meaning_changes_nothing(entries: Catalogue, message: Any) -> None:
    """Anybody can write to a websocket."""

    async def scenario(session: Session) -> None:
        browser = Browser(session)
        await session.do(lambda: browser.cards._handle_msg(message))
        await browser.wants("one")
        await until(lambda: browser.told.get("one", {}).get("picture"))

    visit(entries, scenario)


def test_the_address_leads_to_scans_and_back(entries: Catalogue) -> None:
    """As back and forward, a card and the header's link do; what was before is gone."""

    async def go(session: Session, search: str) -> None:
        await session.do(lambda: setattr(pn.state.location, "search", search))

    async def scenario(session: Session) -> None:
        await go(session, "?scan=one&window=3.5~3.9")
        await until(lambda: session.figures() == ["map", "positions", "spectrum"])
        assert session.title("map").startswith("3.500–3.900 keV")
        assert not session.shown.select(ScanCards)
        assert labelled(session.shown, "Interpolation")
        await go(session, "")
        assert shown_cards(session).scans
        await until(lambda: session.figures() == [])
        assert not labelled(session.shown, "Interpolation")
        await go(session, "?scan=later")
        assert labelled(session.shown, "Convert")
        await go(session, "?scan=nobody")
        assert shown_cards(session).scans
        await go(session, "?scan=broken")
        await until(lambda: labelled(session.shown, "Scan"))

    visit(entries, scenario)


def test_a_conversion_that_ends_does_not_call_back_who_went_on(
    entries: Catalogue, folder: Path
) -> None:
    """They look at the catalogue again, or at another scan."""
    pages: list[ScanPage] = []

    def build() -> Any:
        pages.append(ScanPage(entries, {"scan": "later"}))
        return pages[0].page

    async def play() -> None:
        async with served(build, "scan=later") as session:
            await session.do(lambda: setattr(pn.state.location, "search", ""))
            convert_crono(folder / "later.HDF5", cubes=False, progress=False)
            await session.do(lambda: pages[0]._converted(entries["later"]))
            assert shown_cards(session).scans

    asyncio.run(play())


def test_a_catalogue_is_freed_after_its_session(entries: Catalogue) -> None:
    """A server runs for months."""
    made: list[weakref.ref] = []

    def build() -> Any:
        page = CataloguePage(entries)
        made.append(weakref.ref(page))
        return page

    async def play() -> None:
        async with served(build) as session:
            (cards,) = made[0]().__panel__().select(ScanCards)
            cards._handle_msg({"wanted": ["one"]})
            await asyncio.sleep(0.3)
            session.shown = None
            del cards

    asyncio.run(play())
    for _ in range(4):
        gc.collect()
    assert made[0]() is None


@pytest.mark.parametrize("name", ["a scan & its <name>?=#~+%20", "ünï 漢", '"><script>'])
def test_the_link_to_any_name_is_harmless(name: str) -> None:
    """It stands in the page and in the address."""
    assert set(link_to(name)).isdisjoint("<>\"' #")
    assert link_to(None) == ""
