"""Saved views: what is kept beside the scan or in a file, and what a stranger's file can do."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from visitor import Session, served, until

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.region_choices import add_threshold, add_visible, toggle_region
from dashboard.saved_views import (
    delete_view,
    preset_from_text,
    preset_of,
    save_view,
    saved_views,
    text_of,
    view_of,
)
from dashboard.state import ViewState
from maxrf_core import ParameterError, convert_crono, open_scan
from maxrf_core.presets import MAX_PRESET_BYTES, Preset
from maxrf_core.regions import Rectangle, Region, Threshold
from maxrf_core.sidecar import sidecar_path


@pytest.fixture
def own(crono_file: Path, tmp_path: Path) -> Iterator[SharedScan]:
    """Yield a copy of the 12 x 9 scan, to keep things beside it."""
    copy = Path(shutil.copy(crono_file, tmp_path))
    with open_scan(convert_crono(copy, cubes=False, progress=False)) as scan:
        yield SharedScan(scan)


def state_with_all(shared: SharedScan) -> ViewState:
    """Return a view in which much differs from the defaults."""
    state = ViewState(
        sigma=3.25,
        window=(6.125, 6.5),
        elements=("Fe", "Pb La"),
        cell=(3, 4),
        log_counts=True,
        background="snip",
        colour_map="magma",
        clip=(1.0, 98.0),
        energy_range=(1.5, 9.25),
        workspace="combine",
    )
    add_visible(shared, state)
    add_threshold(shared, state, 2.5, None)
    toggle_region(state, "Region 1")
    return state


def view(state: ViewState) -> dict[str, Any]:
    """Return what a saved view holds of a state: all but what is selected and said."""
    values = dict(state.param.values())
    for name in ("name", "notice", "region"):
        del values[name]
    return values


def test_a_view_comes_back_whole_from_a_file_and_from_beside_the_scan(own: SharedScan) -> None:
    """Elements, regions, hidden ones, windows, zoom and settings."""
    before = state_with_all(own)
    save_view(own, " the blue robe ", preset_of(before))
    kept = saved_views(own)
    assert list(kept) == ["the blue robe"]
    for preset in (kept["the blue robe"], preset_from_text(text_of(preset_of(before)))):
        after = ViewState(
            map_range=(0.0, 1.0, 2.0, 3.0), spectrum=5, method="linear", combination="ratio"
        )
        values, notices = view_of(preset, own, after)
        after.param.update(**values)
        assert notices == []
        expected = view(before) | {"spectrum": after.spectrum}
        assert view(after) == expected


def test_a_view_of_a_spectrum_takes_the_picked_cell_away(own: SharedScan) -> None:
    """One of the two is shown; the older pick would win otherwise."""
    preset = preset_of(ViewState(spectrum=17))
    values, _ = view_of(preset, own, ViewState(cell=(3, 4)))
    assert (values["spectrum"], values["cell"]) == (17, None)


def test_elements_alone_leave_the_rest_as_it_is(own: SharedScan) -> None:
    """A colleague's list of elements is no view of this scan."""
    state = ViewState(sigma=2.5, cell=(3, 4), energy_range=(1.5, 9.25))
    values, notices = view_of(Preset(lines=("Cu", "iron")), own, state)
    assert notices == []
    assert values["elements"] == ("Cu", "Fe")
    assert (values["sigma"], values["cell"]) == (2.5, (3, 4))
    assert values["energy_range"] == (1.5, 9.25)


def test_what_this_scan_does_not_have_is_passed_over_in_sentences(own: SharedScan) -> None:
    """Each by itself: a view of another scan is still of use."""
    preset = Preset(
        lines=("H", "Fe"),
        regions=(
            Region("gone", Threshold("moonlight", 1.0, None)),
            Region("there", Rectangle(0.0, 0.0, 1.0, 1.0)),
        ),
        layout={"sigma": "2.5", "spectrum": "99999999", "cell": "<b>", "scan": "../x", "x": 3},
    )
    values, notices = view_of(preset, own, ViewState())
    assert values["elements"] == ("Fe",)
    assert [one.name for one in values["regions"]] == ["there"]
    assert (values["sigma"], values["spectrum"]) == (2.5, 0)
    assert len(notices) == 4
    assert any("moonlight" in one for one in notices)
    assert all("in the address" not in one for one in notices)
    ViewState(**values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"version": NaN}', "not JSON"),
        ("{}", "version is None"),
        ('{"version": 1, "shell": "rm"}', "unknown keys"),
        ('{"version": 1, "regions": [{"name": "a", "kind": "polygon", "vertices": 3}]}', "pairs"),
        ('"' + "x" * (MAX_PRESET_BYTES + 1) + '"', "larger than"),
    ],
)
def test_a_file_that_is_no_view_is_refused_in_a_sentence(text: str, message: str) -> None:
    """A colleague's mail holds all kinds of files."""
    with pytest.raises(ParameterError, match=message):
        preset_from_text(text)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_what_is_no_name_is_refused(own: SharedScan, name: str) -> None:
    """And nothing is written."""
    with pytest.raises(ParameterError, match="view's name"):
        save_view(own, name, Preset())
    assert not sidecar_path(own.scan.filename).exists()


def test_views_are_deleted_one_by_one_and_the_calibration_stays(own: SharedScan) -> None:
    """They share a file with what else is kept beside the scan."""
    path = sidecar_path(own.scan.filename)
    path.write_text(json.dumps({"version": 1, "pixel_size_mm": [0.5, 0.5]}))
    before = json.loads(path.read_text())
    for name in ("a", "b"):
        save_view(own, name, preset_of(ViewState()))
    delete_view(own, "a")
    delete_view(own, "nobody")
    assert list(saved_views(own)) == ["b"]
    delete_view(own, "b")
    assert json.loads(path.read_text()) == before


# --- the dialog -----------------------------------------------------------------------------


def in_session(shared: SharedScan, scenario: Any) -> None:
    """Let somebody use the dialog on a server."""

    async def run() -> None:
        made: list[Explorer] = []

        def build() -> Any:
            made.append(Explorer(shared))
            return made[0].views()

        async with served(build) as session:
            await scenario(made[0], session)

    asyncio.run(run())


def test_views_are_saved_loaded_and_deleted_in_the_dialog(own: SharedScan) -> None:
    """Quick clicks are not lost: each is done, in turn."""

    async def scenario(explorer: Explorer, session: Session) -> None:
        panel, state = explorer.saved.panel, explorer.state
        await session.do(lambda: explorer.saved.button.param.trigger("clicks"))
        await session.do(lambda: state.param.update(sigma=2.5, elements=("Fe",)))

        def quickly() -> None:
            panel._handle_msg({"save": "first"})
            state.sigma = 4.5
            panel._handle_msg({"save": "second"})

        await session.do(quickly)
        await until(lambda: panel.names == ["first", "second"])
        assert panel.said == "Saved as second."
        await session.do(lambda: panel._handle_msg({"load": "first"}))
        await until(lambda: state.sigma == 2.5)
        await session.do(lambda: panel._handle_msg({"delete": "first"}))
        await until(lambda: panel.names == ["second"])
        await session.do(lambda: panel._handle_msg({"load": "first"}))
        await until(lambda: "no view first" in panel.said)
        await session.do(lambda: panel._handle_msg({"open": "<b>no</b>"}))
        await until(lambda: "no saved view" in panel.said)

    in_session(own, scenario)


def test_a_file_goes_out_and_comes_in(own: SharedScan) -> None:
    """By mail to a colleague, whose page shows the same."""

    async def scenario(explorer: Explorer, session: Session) -> None:
        panel, state = explorer.saved.panel, explorer.state
        await session.do(lambda: state.param.update(sigma=2.5, elements=("Fe",)))
        await session.do(lambda: panel._handle_msg("file"))
        await until(lambda: panel.file)
        assert panel.file["name"] == f"{own.name}-view.json"
        text = panel.file["text"]
        await session.do(lambda: state.param.update(sigma=9.0, elements=()))
        await session.do(lambda: panel._handle_msg({"open": text}))
        await until(lambda: state.elements == ("Fe",))
        assert state.sigma == 2.5

    in_session(own, scenario)


def test_a_folder_that_cannot_be_written_is_told(
    own: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan on the lab's read-only share: a sentence, and the page goes on."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ParameterError("the folder says no.")

    monkeypatch.setattr("dashboard.saved_views.write_presets_beside", refuse)

    async def scenario(explorer: Explorer, session: Session) -> None:
        await session.do(lambda: explorer.saved.panel._handle_msg({"save": "first"}))
        await until(lambda: explorer.saved.panel.said == "The folder says no.")
        assert np.isfinite(explorer.energy_map.values).any()

    in_session(own, scenario)
