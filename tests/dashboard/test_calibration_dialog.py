"""The dialog of the energy axis: what it reports, and what it keeps beside the scan."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import h5py
import numpy as np
import panel_material_ui as pmui
import pytest
from visitor import labelled

from dashboard import Explorer, ViewState
from dashboard.calibration_dialog import CalibrationDialog
from dashboard.data import SharedScan, shared_scan
from maxrf_core import OutputError, open_scan
from maxrf_core.calibration import CalibrationCheck, LineMark, check_calibration, recalibrated
from maxrf_core.sidecar import sidecar_path, write_sidecar

OpenChanged = Callable[[str, Callable[[h5py.File], None]], SharedScan]

POINTS = [(771.0, 8.046), (1952.0, 22.163)]
"""The calibration points of the scan's own file."""


@pytest.fixture
def zipstore(shared: SharedScan, tmp_path: Path) -> Path:
    """Return a copy of the 12 x 9 scan: what is kept beside it is nobody else's."""
    return Path(shutil.copy(shared.scan.filename, tmp_path / "own.zipstore"))


@pytest.fixture
def own(zipstore: Path) -> Iterator[SharedScan]:
    """Yield the copy, opened."""
    with open_scan(zipstore) as scan:
        yield SharedScan(scan)


class Opened:
    """A dialog that somebody opened.

    Parameters
    ----------
    shared : SharedScan
        Its scan.
    """

    def __init__(self, shared: SharedScan) -> None:
        self.state, self.calibrated = ViewState(), 0
        self.made = CalibrationDialog(shared, self.state)
        self.made.on_calibrated = self._calibrated
        press(self.made.button)

    def _calibrated(self) -> None:
        self.calibrated += 1

    @property
    def dialog(self) -> pmui.Dialog:
        """The dialog itself."""
        (found,) = self.made.__panel__().select(pmui.Dialog)
        return found

    def button(self, label: str) -> pmui.Button:
        """Return one of its buttons."""
        (found,) = labelled(self.dialog, label)
        return found

    def press(self, label: str) -> None:
        """Click a button."""
        press(self.button(label))

    @property
    def points(self) -> list[tuple[float | None, float | None]]:
        """Channels and energies in the fields."""
        channels, energies = (labelled(self.dialog, name) for name in ("channel", "energy (keV)"))
        return [(c.value, e.value) for c, e in zip(channels, energies, strict=True)]

    def type(self, points: list[tuple[float | None, float | None]]) -> None:
        """Fill the fields."""
        channels, energies = (labelled(self.dialog, name) for name in ("channel", "energy (keV)"))
        for channel, energy, (c, e) in zip(channels, energies, points, strict=True):
            channel.value, energy.value = c, e

    @property
    def complaint(self) -> str:
        """What it says is wrong with the points; empty if nothing is."""
        alerts = self.dialog.select(pmui.Alert)
        assert len(alerts) <= 1
        return html.unescape(alerts[0].object) if alerts else ""


def press(button: pmui.Button) -> None:
    """Click a button as the browser does."""
    button.param.trigger("clicks")


# --- what it reports ------------------------------------------------------------------------


def test_an_axis_that_agrees_is_told_by_the_button(shared: SharedScan) -> None:
    """Without a word more: there is nothing to be done."""
    state = ViewState()
    dialog = CalibrationDialog(shared, state)
    assert dialog.button.label == "Energy calibration"
    dialog.look()
    assert dialog.button.label == "Energy calibration: agrees"
    assert state.notice == ""


def test_the_report_lists_the_lines(shared: SharedScan) -> None:
    """Where each is seen and how sure that is; the sentence above them."""
    dialog = CalibrationDialog(shared, ViewState())
    check = shared.calibration
    report = dialog.report(check)
    assert html.escape(check.message) in report
    assert report.count("<tr>") == 1 + len(check.marks) > 3
    for mark in check.marks:
        told = f"{1000 * mark.deviation_kev:+.1f} ± {1000 * mark.standard_error_kev:.1f}"
        assert f"<td>{mark.name}</td><td>{mark.energy_kev:.3f}</td><td>{told}</td>" in report


def test_the_report_is_text(shared: SharedScan) -> None:
    """It is set as HTML; what stands in a message or a name must not be."""
    sneaky = "<img src=x onerror=alert(1)> & <b>"
    check = CalibrationCheck(True, sneaky, (LineMark(sneaky, 6.4, 0.001, 0.002),))
    report = CalibrationDialog(shared, ViewState()).report(check)
    assert "<img" not in report
    assert "<b>" not in report
    assert report.count(html.escape(sneaky)) == 2


def test_a_report_without_lines_is_its_sentence(hostile: SharedScan) -> None:
    """256 channels are too wide to show lines apart; a table of nothing says nothing."""
    assert hostile.calibration.marks == ()
    opened = Opened(hostile)
    report = opened.made._report.object
    assert report == f"<p>{html.escape(hostile.calibration.message)}</p>"
    assert opened.made.button.label == "Energy calibration"


def off(file: h5py.File) -> None:
    """Shift a file's energies by 150 eV."""
    file["XRF/EnergyVector"][...] = file["XRF/EnergyVector"][:] + np.float32(0.15)


def test_an_axis_that_is_off_is_a_notice_with_points_that_set_it_right(
    open_changed: OpenChanged,
) -> None:
    """The visitor need only press the button."""
    shifted = open_changed("shifted", off)
    opened = Opened(shifted)
    assert opened.made.button.label == "Energy calibration: disagrees"
    assert opened.state.notice == shifted.calibration.message
    assert opened.points == list(shifted.calibration.suggested_points)
    opened.press("Recalibrate")
    assert opened.calibrated == 1
    with open_scan(shifted.scan.filename) as again:
        assert check_calibration(again.energies, again.total_spectrum).agrees
        true = shifted.scan.energies - 0.15
        check = shifted.calibration
        error = check.offset_error_ev / 1000 + check.gain_standard_error * np.abs(true)
        assert (np.abs(again.energies - true) < 3 * error).all()


# --- what it keeps --------------------------------------------------------------------------


def test_the_fields_hold_the_points_in_use(own: SharedScan) -> None:
    """Those of the file, until there are others."""
    assert Opened(own).points == POINTS


def test_recalibrating_keeps_points_beside_the_scan_which_stays(
    own: SharedScan, zipstore: Path
) -> None:
    """NAME.maxrf.json holds them; opened again the scan has their energies, the file its own."""
    before = zipstore.read_bytes()
    opened = Opened(own)
    wanted = [(700.0, 7.5), (2000.0, 23.0)]
    opened.type(wanted)
    opened.press("Recalibrate")
    assert opened.complaint == ""
    assert opened.calibrated == 1
    assert not opened.dialog.open
    beside = zipstore.with_name("own.maxrf.json")
    kept = json.loads(beside.read_text())
    assert kept["calibration"] == {"points": [list(pair) for pair in wanted], "degree": 1}
    assert zipstore.read_bytes() == before
    assert sorted(path.name for path in zipstore.parent.iterdir()) == [beside.name, zipstore.name]
    again = shared_scan(zipstore)
    np.testing.assert_array_equal(again.scan.energies, recalibrated(4096, wanted))
    np.testing.assert_array_equal(again.scan.file_energies, own.scan.energies)
    assert Opened(again).points == wanted


def test_back_to_the_files_axis(own: SharedScan, zipstore: Path) -> None:
    """The points go, whatever else is kept beside the scan stays."""
    write_sidecar(
        zipstore, calibration={"points": [[700, 7.5], [2000, 23.0]], "degree": 1}, regions=["a"]
    )
    opened = Opened(shared_scan(zipstore))
    opened.press("Back to the file's")
    assert opened.calibrated == 1
    assert not opened.dialog.open
    kept = json.loads(sidecar_path(zipstore).read_text())
    assert "calibration" not in kept
    assert kept["regions"] == ["a"]
    again = shared_scan(zipstore)
    np.testing.assert_array_equal(again.scan.energies, own.scan.energies)
    assert Opened(again).points == POINTS


def test_more_than_two_points_may_be_given(own: SharedScan, zipstore: Path) -> None:
    """Up to eight; a row left empty, or half empty, is none."""
    opened = Opened(own)
    for _ in range(9):
        opened.press("Add a point")
    assert len(opened.points) == 8
    wanted = [(100.0, 0.1), (700.0, 7.4), (2000.0, 22.6), (3000.0, 34.5)]
    opened.type([*wanted, (None, 3.0), (9.0, None), (None, None), (None, None)])
    opened.press("Recalibrate")
    assert opened.complaint == ""
    with open_scan(zipstore) as again:
        np.testing.assert_array_equal(again.energies, recalibrated(4096, wanted))


BAD = {
    "one point": [(771.0, 8.046), (None, None)],
    "none": [(None, None), (None, 8.0)],
    "one channel twice": [(771.0, 8.046), (771.0, 22.163)],
    "no such channel": [(771.0, 8.046), (4096.0, 22.163)],
    "in eV": [(771.0, 8046.0), (1952.0, 22163.0)],
    "falling": [(771.0, 22.163), (1952.0, 8.046)],
    "infinite": [(771.0, 8.046), (1952.0, float("inf"))],
}


@pytest.mark.parametrize("points", BAD.values(), ids=BAD.keys())
def test_points_that_make_no_axis_are_told_and_not_kept(
    own: SharedScan, zipstore: Path, points: list[tuple[float | None, float | None]]
) -> None:
    """The dialog stays open with the sentence; nothing is written, and the next try counts."""
    opened = Opened(own)
    opened.type(points)
    opened.press("Recalibrate")
    assert opened.complaint.startswith("the calibration points ")
    assert opened.dialog.open
    assert opened.calibrated == 0
    assert [path.name for path in zipstore.parent.iterdir()] == [zipstore.name]
    opened.type(POINTS)
    opened.press("Recalibrate")
    assert opened.calibrated == 1
    assert sidecar_path(zipstore).is_file()


def test_a_complaint_is_gone_when_the_dialog_is_opened_again(own: SharedScan) -> None:
    """It was about points that were given up."""
    opened = Opened(own)
    opened.type(BAD["falling"])
    opened.press("Recalibrate")
    assert opened.complaint
    opened.dialog.open = False
    press(opened.made.button)
    assert opened.complaint == ""
    assert opened.points == POINTS


def test_a_folder_that_cannot_be_written_is_told(
    own: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scans lie on shared drives; the sentence says what to do."""

    def refuse(*_args: object, **_options: object) -> None:
        raise OutputError("own.maxrf.json cannot be written: read-only; copy the scan elsewhere.")

    monkeypatch.setattr("dashboard.calibration_dialog.write_sidecar", refuse)
    opened = Opened(own)
    opened.press("Recalibrate")
    assert "copy the scan elsewhere" in opened.complaint
    assert opened.dialog.open
    assert opened.calibrated == 0


def test_in_a_notebook_the_visitor_is_told_to_open_the_scan_again(own: SharedScan) -> None:
    """There is no page that could do it."""
    explorer = Explorer(own)
    press(explorer.calibration.button)
    (button,) = labelled(explorer.calibration.__panel__(), "Recalibrate")
    press(button)
    assert "open the scan again" in explorer.state.notice


def test_a_scan_behind_a_url_cannot_be_recalibrated(zipstore: Path) -> None:
    """There is no place beside it that one may write to; the report is there all the same."""
    url = "memory://calibration/own.zipstore"
    with fsspec.open(url, "wb") as file:
        file.write(zipstore.read_bytes())
    with open_scan(url) as scan:
        assert scan.filename is None
        opened = Opened(SharedScan(scan))
        assert opened.button("Recalibrate").disabled
        assert opened.button("Back to the file's").disabled
        assert "Fe Ka" in opened.made._report.object
        texts = [html.unescape(str(getattr(t, "object", ""))) for t in opened.dialog.select()]
        assert any("only be changed where the scan lies as a file" in text for text in texts)


def test_a_scan_in_a_file_names_the_place_of_its_points(own: SharedScan) -> None:
    """And lets them be stored."""
    opened = Opened(own)
    assert not opened.button("Recalibrate").disabled
    assert not opened.button("Back to the file's").disabled
    texts = [html.unescape(str(getattr(t, "object", ""))) for t in opened.dialog.select()]
    assert any("kept in own.maxrf.json, beside the scan" in text for text in texts)
