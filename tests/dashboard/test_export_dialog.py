"""The dialog that makes files: what it offers, that the files are the page's numbers, and go."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h5py
import numpy as np
import pandas as pd
import panel as pn
import panel_material_ui as pmui
import pytest
from PIL import Image
from visitor import Session, served, until

from dashboard import Explorer, downloads, export_task
from dashboard.data import SharedScan
from dashboard.export_choices import CHOICES, export_options
from dashboard.export_dialog import ExportDialog
from maxrf_core import ParameterError
from maxrf_core.demo import CACHE_VARIABLE
from maxrf_core.exports import EXPORT_KINDS
from maxrf_core.regions import Rectangle, Region

REGION = Region("all", Rectangle(-1e9, -1e9, 1e9, 1e9))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of downloads of this test alone."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    downloads._root.cache_clear()
    yield tmp_path / "downloads"
    downloads._root.cache_clear()


class Opened:
    """The dialog as somebody has it before them."""

    def __init__(self, explorer: Explorer, session: Session) -> None:
        self.explorer, self.dialog, self._session = explorer, explorer.export, session

    async def do(self, action: Any) -> Any:
        return await self._session.do(action)

    async def press(self, label: str) -> None:
        (button,) = [
            button
            for button in [self.dialog.button, *self.dialog.dialog.select(pmui.Button)]
            if button.label == label
        ]
        await self.do(lambda: button.param.trigger("clicks"))

    async def choose(self, what: str, kind: str | None = None) -> None:
        def act() -> None:
            self.dialog._what.value = what
            if kind is not None:
                self.dialog._as.value = next(k for k in EXPORT_KINDS if k.name == kind)

        await self.do(act)

    @property
    def buttons(self) -> set[str]:
        return {button.label for button in self.dialog._answer.select(pmui.Button)}

    @property
    def told(self) -> str:
        return html.unescape(self.dialog._told.object)

    @property
    def complaint(self) -> str:
        return "".join(
            html.unescape(alert.object) for alert in self.dialog._answer.select(pmui.Alert)
        )

    @property
    def links(self) -> list[str]:
        panes = self.dialog._answer.select(pn.pane.HTML)
        return [link for pane in panes for link in re.findall(r'href="([^"]+)"', pane.object)]

    def files(self, folder: Path) -> list[Path]:
        """Return what the links lead to, as the server's route would find it."""
        prefix = "static/extensions/maxrf-downloads/"
        assert all(link.startswith(prefix) for link in self.links)
        return [folder / unquote(link.removeprefix(prefix)) for link in self.links]


def play(shared: SharedScan, scenario: Any, **state: Any) -> None:
    """Run a scenario with an opened dialog."""

    async def run() -> None:
        async with served(lambda: Explorer(shared)) as session:
            opened = Opened(session.shown, session)
            await session.do(lambda: session.shown.state.param.update(**state))
            await opened.press("Export")
            await scenario(opened)

    asyncio.run(run())


# --- what is offered ------------------------------------------------------------------------


def test_only_what_is_there_is_offered(shared: SharedScan) -> None:
    """No maps of elements before one is chosen, no cell before one is picked."""

    async def scenario(opened: Opened) -> None:
        offered = set(opened.dialog._what.options.values())
        assert offered == {"map", "rois", "sum", "cube", "measured"}
        await opened.do(
            lambda: opened.explorer.state.param.update(
                elements=("Fe", "Pb La"), cell=(3, 4), regions=(REGION,)
            )
        )
        await opened.press("Export")
        assert set(opened.dialog._what.options.values()) == set(CHOICES)

    play(shared, scenario)


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_has_a_kind_of_file_that_exists(name: str) -> None:
    """A misspelt kind would leave the list empty."""
    known = {kind.name for kind in EXPORT_KINDS}
    choice = CHOICES[name]
    assert choice.formats
    assert set(choice.kinds) <= known


def test_options_are_those_that_the_kind_has_a_use_for(shared: SharedScan) -> None:
    """Channels for a cube, errors for maps; the sentence tells what the numbers are."""

    async def scenario(opened: Opened) -> None:
        dialog = opened.dialog
        shown = (dialog._span, dialog._binning, dialog._errors)
        assert [one.visible for one in shown] == [False, False, True]
        assert opened.told == (
            "As the page shows it now: interpolated by linear, smoothed by 4 channels, "
            "net of the background, per second."
        )
        await opened.choose("cube")
        assert [one.visible for one in shown] == [True, True, False]
        height, width = shared.scan.grid.shape
        megabytes = height * width * shared.scan.n_channels * 4 / 1e6
        assert opened.told.endswith(f"smoothed by 4 channels. Up to {megabytes:,.0f} MB.")
        await opened.choose("sum")
        assert [one.visible for one in shown] == [False, False, False]

    play(
        shared, scenario, method="linear", smooth_map=True, sigma=4.0, background="sides",
        per_second=True,
    )  # fmt: skip


# --- what the files hold --------------------------------------------------------------------


def test_a_map_is_the_one_that_is_shown(shared: SharedScan, folder: Path) -> None:
    """Its file has the page's window, interpolation, smoothing and background, and is offered."""
    asked = {"method": "linear", "smooth_map": True, "sigma": 4.0, "background": "sides"}

    async def scenario(opened: Opened) -> None:
        await opened.choose("map", "tiff")
        await opened.press("Make the file")
        await until(lambda: opened.links)
        (path,) = opened.files(folder)
        with Image.open(path) as image:
            found = np.array(image)
        expected = shared.scan.energy_map(6.1, 6.7, method="linear", sigma=4.0, background="sides")
        np.testing.assert_array_equal(found, expected[::-1])  # the top row first
        assert "download=" in opened.dialog._answer.select(pn.pane.HTML)[0].object
        assert path.name == f"{shared.name}-map.tif"
        assert opened.buttons == {"Make another"}

    play(shared, scenario, window=(6.1, 6.7), **asked)


def test_maps_of_elements_have_their_windows_and_errors(shared: SharedScan, folder: Path) -> None:
    """As the gallery shows them, each with its standard error if asked for."""

    async def scenario(opened: Opened) -> None:
        await opened.choose("elements", "csv")
        await opened.do(lambda: setattr(opened.dialog._errors, "value", True))
        await opened.press("Make the file")
        await until(lambda: opened.links)
        table = pd.read_csv(opened.files(folder)[0], comment="#")
        line = shared.elements.line("Fe")
        (column,) = [name for name in table if name.startswith("Fe Ka,")]
        expected = shared.scan.energy_map(*line.window, method="selected")
        np.testing.assert_allclose(np.sort(table[column]), np.sort(expected.ravel()), rtol=1e-5)
        assert any(name.startswith("Fe Ka error") for name in table)

    play(shared, scenario, elements=("Fe", "Pb La"), method="selected")


def test_a_cube_of_some_energies_in_coarse_channels(shared: SharedScan, folder: Path) -> None:
    """What the fields say is what the file has."""

    async def scenario(opened: Opened) -> None:
        await opened.choose("cube", "nexus")
        low, high = opened.dialog._energies

        def narrow() -> None:
            low.value, high.value = 3.0, 8.0
            opened.dialog._binning.value = 4

        await opened.do(narrow)
        await opened.press("Make the file")
        await until(lambda: opened.links)
        with h5py.File(opened.files(folder)[0]) as file:
            data = file["entry/instrument/detector/data"]
            part = shared.scan.channels_of(3.0, 8.0)
            assert data.shape == (*shared.scan.grid.shape, (part.stop - part.start) // 4)

    play(shared, scenario, method="selected")


def test_the_picked_cells_spectrum_is_a_table(shared: SharedScan, folder: Path) -> None:
    """Energy, counts and error of the cell on the page."""

    async def scenario(opened: Opened) -> None:
        await opened.choose("cell")
        await opened.press("Make the file")
        await until(lambda: opened.links)
        table = pd.read_csv(opened.files(folder)[0], comment="#")
        expected = shared.scan.cell_spectrum(3, 4, method="linear")
        assert any(
            np.allclose(table[name], expected, rtol=1e-5, atol=1e-6) for name in table.columns[1:]
        )

    play(shared, scenario, cell=(3, 4), method="linear")


# --- what may go wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("energies", [(8.0, 3.0), (5.0, 5.0), (None, 4.0)])
def test_energies_that_make_no_span_are_told(
    shared: SharedScan, folder: Path, energies: tuple[float | None, float]
) -> None:
    """In the dialog, where they were typed; nothing is begun, and the next try counts."""

    async def scenario(opened: Opened) -> None:
        await opened.choose("cube")

        def mistype() -> None:
            for field, value in zip(opened.dialog._energies, energies, strict=True):
                field.value = value

        await opened.do(mistype)
        await opened.press("Make the file")
        assert "the lower one first" in opened.complaint
        assert not folder.exists() or not list(folder.iterdir())
        await opened.choose("map")
        await opened.press("Make the file")  # fields that are not shown do not count
        await until(lambda: opened.links)

    play(shared, scenario)


def test_what_cannot_be_exported_is_told(
    shared: SharedScan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence of the error, not its traceback; what was begun is removed."""

    def full(*_args: object, **_options: object) -> None:
        raise ParameterError("the disk is full of <b>other</b> things.")

    monkeypatch.setattr(export_task, "export_scan", full)

    async def scenario(opened: Opened) -> None:
        await opened.press("Make the file")
        await until(lambda: opened.complaint)
        assert opened.complaint == "the disk is full of <b>other</b> things."
        assert list(folder.iterdir()) == []
        assert opened.buttons == {"Make the file"}

    play(shared, scenario)


def test_an_export_can_be_cancelled_and_leaves_nothing(
    shared: SharedScan, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real export, stopped at the first look at the flag."""
    begun, go = threading.Event(), threading.Event()
    export = export_task.export_scan

    def slow(*args: object, **options: object) -> None:
        begun.set()
        assert go.wait(20)
        export(*args, **options)

    monkeypatch.setattr(export_task, "export_scan", slow)

    async def scenario(opened: Opened) -> None:
        await opened.choose("cube", "nexus")
        await opened.press("Make the file")
        await until(begun.is_set)
        await opened.press("Cancel")
        go.set()
        await until(lambda: opened.buttons == {"Make the file"})
        assert opened.dialog._task.status == "cancelled"
        assert list(folder.iterdir()) == []

    play(shared, scenario)


def test_a_choice_while_a_file_is_made_does_not_begin_another(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar stays until it is over."""
    go = threading.Event()
    export = export_task.export_scan

    def slow(*args: object, **options: object) -> None:
        assert go.wait(20)
        export(*args, **options)

    monkeypatch.setattr(export_task, "export_scan", slow)

    async def scenario(opened: Opened) -> None:
        await opened.press("Make the file")
        await opened.choose("cube")
        assert opened.buttons == {"Cancel"}
        go.set()
        await until(lambda: opened.links)

    play(shared, scenario)


def test_files_go_when_the_visitor_goes(shared: SharedScan, folder: Path) -> None:
    """They would fill the disk; a link that was mailed is a view, not a file."""
    kept: list[Path] = []

    async def scenario(opened: Opened) -> None:
        await opened.press("Make the file")
        await until(lambda: opened.links)
        kept.extend(opened.files(folder))
        assert kept[0].exists()

    play(shared, scenario)
    assert kept
    assert not kept[0].exists()
    assert list(folder.iterdir()) == []


def test_a_cell_that_is_no_longer_picked_is_told(shared: SharedScan) -> None:
    """The dialog may stand open while the pick changes."""
    state = Explorer(shared).state
    kind = next(kind for kind in EXPORT_KINDS if kind.name == "spectra")
    with pytest.raises(ParameterError, match="picked cell"):
        export_options(CHOICES["cell"], kind, shared, state)


@pytest.mark.parametrize("correct", [True, False])
def test_maps_are_exported_with_the_zigzag_as_it_is_shown(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch, correct: bool
) -> None:
    """The file is the map on the page; a sum of all spectra knows of no rows."""
    monkeypatch.setattr(shared, "zigzag", 0.31)
    state = Explorer(shared).state
    state.correct_lag = correct
    kinds = {kind.name: kind for kind in EXPORT_KINDS}
    for choice, kind in (("map", "tiff"), ("cube", "nexus")):
        options = export_options(CHOICES[choice], kinds[kind], shared, state)
        assert options["lag"] == (0.31 if correct else 0.0)
    assert "lag" not in export_options(CHOICES["sum"], kinds["spectra"], shared, state)


def test_the_dialog_stands_on_the_page(shared: SharedScan) -> None:
    """A dialog that is nowhere on the page would never open."""
    explorer = Explorer(shared)
    views = explorer.views()
    assert explorer.export.dialog in views.select(pmui.Dialog)
    assert explorer.export.button in views.select(pmui.Button)
    assert isinstance(explorer.export, ExportDialog)
