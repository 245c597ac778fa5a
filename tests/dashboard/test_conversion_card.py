"""The card of a scan that is not converted yet, as visitors see it."""

from __future__ import annotations

import asyncio
import html
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import panel as pn
import panel_material_ui as pmui
import pytest
from visitor import Session, served, until

from dashboard import conversion_card
from dashboard.catalogue import Entry
from dashboard.conversion_card import ConversionCard
from dashboard.jobs import Job
from maxrf_core import open_scan
from maxrf_core.progress import Progress


class StandIn:
    """A job that does what a test tells it to."""

    def __init__(self) -> None:
        self.status, self.progress, self.message = "waiting", None, ""
        self.cancels = 0

    is_over = Job.is_over

    def cancel(self) -> None:
        self.cancels += 1
        self.status = "cancelled"


class Office:
    """Hands out stand-ins where the card asks for jobs."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, ...], StandIn] = {}
        self.options: list[list[str]] = []

    def start(self, arguments: list[str], options: Sequence[str] = ()) -> StandIn:
        self.options.append(list(options))
        job = self.jobs.get(tuple(arguments))
        if job is None or job.is_over:
            job = self.jobs[tuple(arguments)] = StandIn()
        return job

    def find(self, arguments: list[str]) -> StandIn | None:
        return self.jobs.get(tuple(arguments))

    @property
    def job(self) -> StandIn:
        (job,) = self.jobs.values()
        return job


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    """Return the office that the cards of this test go to."""
    office = Office()
    monkeypatch.setattr(conversion_card, "start_job", office.start)
    monkeypatch.setattr(conversion_card, "job_for", office.find)
    monkeypatch.setattr(conversion_card, "_POLL_MS", 5)
    return office


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    """Return a scan that is not converted."""
    source = tmp_path / "letter.HDF5"
    source.touch()
    return Entry("letter", tmp_path / "letter.zipstore", source)


class Card:
    """A visitor's card, by its labels."""

    def __init__(self, session: Session, done: list[Entry]) -> None:
        self._session, self._layout, self.done = session, session.shown.__panel__(), done

    def button(self, label: str) -> pmui.Button:
        (button,) = (b for b in self._layout.select(pmui.Button) if b.label == label)
        return button

    @property
    def buttons(self) -> set[str]:
        """Labels of the buttons that can be seen."""
        return {button.label for button in self._layout.select(pmui.Button) if button.visible}

    @property
    def texts(self) -> str:
        """All text of the card."""
        status = [html.unescape(pane.object) for pane in self._layout.select(pn.pane.HTML)]
        return "\n".join([text.object for text in self._layout.select(pmui.Typography)] + status)

    @property
    def energies(self) -> list[pmui.TextInput]:
        """The fields of a cube's energies."""
        return list(self._layout.select(pmui.TextInput))

    @property
    def failure(self) -> str | None:
        """The failure shown."""
        alerts = self._layout.select(pmui.Alert)
        assert len(alerts) <= 1
        return alerts[0].object if alerts else None

    @property
    def bar(self) -> float | None:
        """How far the bar is, where there is one."""
        (bar,) = self._layout.select(pmui.LinearProgress)
        return bar.value if bar.visible else None

    async def press(self, label: str) -> None:
        button = self.button(label)
        await self._session.do(lambda: button.param.trigger("clicks"))


def visit(
    entry: Entry, scenario: Callable[[Card], Awaitable[None]], *, overwrite: bool = False
) -> list[Entry]:
    """Play a scenario of one visitor of a card; return what was reported as done."""
    done: list[Entry] = []

    async def play() -> None:
        build = lambda: ConversionCard(entry, done.append, overwrite=overwrite)  # noqa: E731
        async with served(build) as session:
            await scenario(Card(session, done))

    asyncio.run(play())
    return done


def test_a_conversion_is_not_begun_unasked(office: Office, entry: Entry) -> None:
    """It may take an hour and 20 GB."""

    async def scenario(card: Card) -> None:
        assert card.buttons == {"Convert"}
        assert card.bar is None
        assert card.failure is None
        assert "not converted yet" in card.texts

    assert visit(entry, scenario) == []
    assert office.jobs == {}


def test_a_conversion_is_followed_to_its_end(office: Office, entry: Entry) -> None:
    """The bar and the words follow the job, and at the end the page is told, once."""

    async def scenario(card: Card) -> None:
        await card.press("Convert")
        assert card.buttons == {"Cancel"}
        assert "Waiting for another" in card.texts
        office.job.status = "running"
        await until(lambda: "Starting" in card.texts)
        assert card.bar == 0
        office.job.progress = Progress("spectra", 1500, 6000)
        await until(lambda: card.bar == 25)
        assert "Reading and smoothing spectra · 1,500 of 6,000" in card.texts
        assert card.done == []
        office.job.status = "done"
        await until(lambda: card.done)
        await asyncio.sleep(0.03)  # six polls: none of them may tell it again

    assert visit(entry, scenario) == [entry]
    assert list(office.jobs) == [("convert", str(entry.source))]


@pytest.mark.usefixtures("office")
def test_a_conversion_can_be_cancelled_and_begun_again(entry: Entry) -> None:
    """The card says that nothing is left, and offers the button."""

    async def scenario(card: Card) -> None:
        await card.press("Convert")
        await card.press("Cancel")
        await until(lambda: card.buttons == {"Convert"})
        assert "nothing was left behind" in card.texts
        assert card.bar is None
        await card.press("Convert")
        assert card.buttons == {"Cancel"}
        assert "nothing was left behind" not in card.texts

    assert visit(entry, scenario) == []


def test_a_failure_is_shown_escaped_and_can_be_tried_again(office: Office, entry: Entry) -> None:
    """The sentence holds names from the file."""

    async def scenario(card: Card) -> None:
        await card.press("Convert")
        office.job.status, office.job.message = "failed", "<b>letter</b> is cut short."
        await until(lambda: card.failure is not None)
        assert "<b>" not in card.failure
        assert "letter" in card.failure
        assert card.buttons == {"Convert"}
        await card.press("Convert")
        assert card.failure is None

    assert visit(entry, scenario) == []


def test_a_second_visitor_sees_the_run_of_the_first(office: Office, entry: Entry) -> None:
    """And is told when it is done."""
    office.start(["convert", str(entry.source)]).status = "running"
    office.job.progress = Progress("cube", 3, 4)

    async def scenario(card: Card) -> None:
        assert card.buttons == {"Cancel"}
        assert card.bar == 75
        office.job.status = "done"
        await until(lambda: card.done)

    assert visit(entry, scenario) == [entry]


def test_a_later_visitor_sees_why_it_failed(office: Office, entry: Entry) -> None:
    """Rather than waste an hour on the same."""
    job = office.start(["convert", str(entry.source)])
    job.status, job.message = "failed", "there is no space left."

    async def scenario(card: Card) -> None:
        assert html.unescape(card.failure) == "there is no space left."
        assert card.buttons == {"Convert"}

    visit(entry, scenario)


def test_a_stale_zipstore_is_replaced(office: Office, entry: Entry) -> None:
    """Without --overwrite the command line would refuse, and the button would never work."""
    entry.zipstore.touch()

    async def scenario(card: Card) -> None:
        assert "older than the scan" in card.texts
        await card.press("Convert")

    visit(entry, scenario)
    assert list(office.jobs) == [("convert", str(entry.source), "--overwrite")]


def test_a_zipstore_that_cannot_be_used_is_replaced(office: Office, entry: Entry) -> None:
    """The page asks for it when opening failed."""

    async def scenario(card: Card) -> None:
        await card.press("Convert")

    visit(entry, scenario, overwrite=True)
    assert list(office.jobs) == [("convert", str(entry.source), "--overwrite")]


def test_the_demo_is_made_unasked(office: Office, tmp_path: Path) -> None:
    """It takes seconds, and without it there is nothing to see."""
    demo = Entry("demo", tmp_path / "maxrf-demo-1.zipstore", None, is_demo=True)

    async def scenario(card: Card) -> None:
        assert card.buttons == {"Cancel"}
        assert "demo" in card.texts
        office.job.status = "done"
        await until(lambda: card.done)

    assert visit(demo, scenario) == [demo]
    assert list(office.jobs) == [("demo", "--prepare")]


def test_the_demo_that_failed_is_not_tried_by_each_visitor(office: Office, tmp_path: Path) -> None:
    """A cache folder that cannot be written to stays so; there is a button."""
    job = office.start(["demo", "--prepare"])
    job.status, job.message = "failed", "the folder cannot be written to."
    demo = Entry("demo", tmp_path / "maxrf-demo-1.zipstore", None, is_demo=True)

    async def scenario(card: Card) -> None:
        assert html.unescape(card.failure) == "the folder cannot be written to."
        assert card.buttons == {"Convert"}

    visit(demo, scenario)
    assert office.job is job


def test_a_zipstore_that_vanished_is_not_called_the_demo(office: Office, tmp_path: Path) -> None:
    """Somebody deleted it while the server ran: nothing is simulated in its place."""
    gone = Entry("letter", tmp_path / "letter.zipstore", None)

    async def scenario(card: Card) -> None:
        assert "demo" not in card.texts
        assert card.buttons == set()

    visit(gone, scenario)
    assert office.jobs == {}


@pytest.mark.usefixtures("office")
def test_the_name_of_a_scan_is_not_html(tmp_path: Path) -> None:
    """Files are named by anybody."""
    entry = Entry("<img src=x onerror=alert(1)>", tmp_path / "x.zipstore", tmp_path / "x.HDF5")

    async def scenario(card: Card) -> None:
        assert "<img" not in card.texts
        assert "&#60;img" in card.texts

    visit(entry, scenario)


def test_a_scan_is_really_converted_from_the_card(crono_file: Path, tmp_path: Path) -> None:
    """With the command line and a process, from the button to the zipstore."""
    source = Path(shutil.copy(crono_file, tmp_path))
    entry = Entry("crono-12x9", source.with_suffix(".zipstore"), source)

    async def scenario(card: Card) -> None:
        await card.press("Convert")
        await until(lambda: card.done, seconds=60)

    assert visit(entry, scenario) == [entry]
    assert entry.is_converted


@pytest.fixture
def cube(tmp_path: Path) -> Entry:
    """Return a cube of 7 x 5 cells and 64 channels whose header names no energies."""
    counts = np.random.default_rng(3).poisson(2.0, (7, 5, 64)).astype("<u2")
    (tmp_path / "m6.raw").write_bytes(counts.tobytes())
    header = tmp_path / "m6.rpl"
    header.write_text(
        "key value\nwidth 5\nheight 7\ndepth 64\noffset 0\ndata-length 2\n"
        "data-type unsigned\nbyte-order little-endian\nrecord-by vector\n"
    )
    return Entry("m6", tmp_path / "m6.zipstore", header)


@pytest.mark.usefixtures("office")
def test_only_a_cube_is_asked_for_its_energies(entry: Entry, cube: Entry) -> None:
    """A Crono file names them always."""

    async def of_scan(card: Card) -> None:
        assert card.energies == []

    async def of_cube(card: Card) -> None:
        assert [field.label for field in card.energies] == [
            "Energy of channel 0 (keV)",
            "Width of a channel (keV)",
        ]
        assert "This cube is not converted yet" in card.texts

    visit(entry, of_scan)
    visit(cube, of_cube)


@pytest.mark.parametrize(
    ("filled", "options"),
    [
        (("", " "), []),
        (("-0.956", " 0.010002 "), ["--calibration", "-0.956", "0.010002"]),
        (("-0,956", "0,010002"), ["--calibration", "-0.956", "0.010002"]),
        (("-1e-5", "1e-6"), ["--calibration", "-0.00001", "0.000001"]),
    ],
)
def test_energies_that_are_filled_in_are_used(
    office: Office, cube: Entry, filled: tuple[str, str], options: list[str]
) -> None:
    """And cannot be changed while they are."""

    async def scenario(card: Card) -> None:
        for field, value in zip(card.energies, filled, strict=True):
            field.value_input = value
        await card.press("Convert")
        assert office.options == [options]
        assert all(field.disabled for field in card.energies)
        office.job.status = "failed"
        await until(lambda: not any(field.disabled for field in card.energies))

    visit(cube, scenario)


@pytest.mark.parametrize(
    ("filled", "said"),
    [
        (("-0.956", ""), "Fill in both energies, or neither."),
        ((" ", "0.01"), "Fill in both energies, or neither."),
        (("0", "0"), "The energies have to be numbers in keV, the width"),
        (("0", "-0.01"), "The energies have to be numbers in keV, the width"),
        (("0", "inf"), "The energies have to be numbers in keV, the width"),
        (("nan", "0.01"), "The energies have to be numbers in keV, the width"),
        (("--overwrite", "0.01"), "The energies have to be numbers in keV, the width"),
    ],
)
def test_energies_without_a_meaning_are_named(
    office: Office, cube: Entry, filled: tuple[str, str], said: str
) -> None:
    """Before a process is started; then they can be put right."""

    async def scenario(card: Card) -> None:
        for field, value in zip(card.energies, filled, strict=True):
            field.value_input = value
        await card.press("Convert")
        assert html.unescape(card.failure).startswith(said)
        assert office.jobs == {}
        for field in card.energies:
            field.value_input = "0.01"
        await card.press("Convert")
        assert card.failure is None
        assert office.options == [["--calibration", "0.01", "0.01"]]

    visit(cube, scenario)


def test_a_cube_without_energies_is_really_converted_with_those_filled_in(cube: Entry) -> None:
    """What is missing is said first, in the words of the fields."""

    async def scenario(card: Card) -> None:
        await card.press("Convert")
        await until(lambda: card.failure is not None, seconds=60)
        assert "energy of channel 0 and the width of a channel" in card.failure
        for field, value in zip(card.energies, ("-0.05", "0.25"), strict=True):
            field.value_input = value
        await card.press("Convert")
        await until(lambda: card.done, seconds=60)

    assert visit(cube, scenario) == [cube]
    assert cube.is_converted
    with open_scan(cube.zipstore) as scan:
        np.testing.assert_allclose(scan.energies, -0.05 + 0.25 * np.arange(64), rtol=1e-6)


def test_a_card_of_a_closed_page_stops_asking(office: Office, entry: Entry) -> None:
    """Its job goes on for the others; its polling ends with its session."""

    async def play() -> None:
        others = asyncio.all_tasks()
        async with served(lambda: ConversionCard(entry, lambda _: None)) as session:
            card = Card(session, [])
            await card.press("Convert")
            office.job.status = "running"
            await until(lambda: "Starting" in card.texts)
        await until(lambda: asyncio.all_tasks() <= others)

    asyncio.run(play())
    assert office.job.cancels == 0
    assert pn.state.curdoc is None
