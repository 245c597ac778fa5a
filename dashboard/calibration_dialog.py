"""The dialog of the energy axis: does it agree with the lines, and from which points to make it."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import panel as pn
import panel_material_ui as pmui

from maxrf_core import MaxrfError
from maxrf_core.calibration import CalibrationCheck, recalibrated
from maxrf_core.sidecar import sidecar_path, write_sidecar

from .data import SharedScan
from .dialogs import WithDialog, dialog
from .latest import Latest
from .notice import Notice
from .rights import check_may_change, may_change, why_not
from .state import ViewState
from .text import as_text, sentence_of

__all__ = ["CalibrationDialog"]

_MOST_POINTS = 8
_FEWEST_POINTS = 2


class CalibrationDialog(WithDialog):
    """A button that says whether the energy axis agrees with the lines, and its dialog.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Is told when the axis disagrees.

    Attributes
    ----------
    on_calibrated : callable or None
        Called when other calibration points were stored beside the scan; it opens it anew.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self.shared, self.state = shared, state
        self.on_calibrated: Callable[[], None] | None = None
        self.check: CalibrationCheck | None = None
        self._report = pn.pane.HTML("", sizing_mode="stretch_width")
        self._wrong = Notice("error", margin=(4, 0))
        self._points: list[tuple[pmui.FloatInput, pmui.FloatInput]] = []
        self._rows = pn.Column(sizing_mode="stretch_width", margin=0)
        self.dialog = dialog("Energy calibration", "md")
        self.button = pmui.Button(
            label="Energy calibration",
            icon="straighten",
            variant="text",
            size="small",
            margin=(4, 0),
            on_click=self._open,
        )
        self._latest = Latest(lambda: self.shared.calibration, self._show, self._fail)

    def look(self) -> None:
        """Check the axis, in a thread; the button and the notice tell what came out."""
        self._latest.request()

    # --- what came out ------------------------------------------------------------------

    def _show(self, check: CalibrationCheck) -> None:
        self.check = check
        self._report.object = self.report(check)
        if check.agrees is False:
            self.button.param.update(label="Energy calibration: disagrees", color="error")
            self.state.notice = check.message
        elif check.agrees:
            self.button.label = "Energy calibration: agrees"
        if self.dialog.objects:
            self._set_points(self.shared.calibration_points)

    def report(self, check: CalibrationCheck) -> str:
        """Return what was found as HTML: a sentence, and a table of the lines."""
        told = [f"<p>{html.escape(check.message)}</p>"]
        if check.marks:
            rows = "".join(
                f"<tr><td>{html.escape(mark.name)}</td><td>{mark.energy_kev:.3f}</td>"
                f"<td>{1000 * mark.deviation_kev:+.1f} ± {1000 * mark.standard_error_kev:.1f}</td>"
                "</tr>"
                for mark in check.marks
            )
            told.append(
                '<table style="border-spacing: 16px 2px; text-align: right"><thead><tr>'
                '<th style="text-align: left">line</th><th>energy (keV)</th>'
                f"<th>shown too high by (eV)</th></tr></thead><tbody>{rows}</tbody></table>"
            )
        return "".join(told)

    # --- other points -------------------------------------------------------------------

    def _open(self, _: object) -> None:
        if not self.dialog.objects:
            self.dialog[:] = [self._contents()]
            self._set_points(self.shared.calibration_points)
        self._wrong.text = ""
        self.dialog.open = True
        self.look()

    def _contents(self) -> pn.Column:
        path = self.shared.scan.filename
        may = path is not None and may_change()
        if may:
            kept = (
                f"Two or more. They are kept in {sidecar_path(path).name}, beside the scan; the "
                "scan itself stays."
            )
        elif path is None:
            kept = "They can only be changed where the scan lies as a file."
        else:
            kept = why_not()
        buttons = pn.FlexBox(  # in two lines on a phone
            pmui.Button(label="Add a point", variant="text", on_click=self._add_point),
            pmui.Button(label="Recalibrate", on_click=self._store, disabled=not may),
            pmui.Button(
                label="Back to the file's",
                variant="outlined",
                on_click=self._forget,
                disabled=not may,
            ),
            margin=(8, 0),
            sizing_mode="stretch_width",
        )
        return pn.Column(
            self._report,
            pmui.Typography("Calibration points", variant="subtitle2"),
            pmui.Typography(as_text(kept), variant="body2"),
            self._wrong,
            self._rows,
            buttons,
            sizing_mode="stretch_width",
        )

    def _set_points(self, points: Sequence[tuple[float, float]]) -> None:
        self._points = [self._fields(channel, kev) for channel, kev in points]
        while len(self._points) < _FEWEST_POINTS:
            self._points.append(self._fields(None, None))
        self._rows[:] = [_row(fields) for fields in self._points]

    def _fields(
        self, channel: float | None, kev: float | None
    ) -> tuple[pmui.FloatInput, pmui.FloatInput]:
        style = {"size": "small", "sizing_mode": "stretch_width", "margin": (6, 8, 6, 0)}
        return (
            pmui.FloatInput(label="channel", value=channel, step=1.0, **style),
            pmui.FloatInput(label="energy (keV)", value=kev, step=0.001, format="0.000", **style),
        )

    def _add_point(self, _: object) -> None:
        if len(self._points) < _MOST_POINTS:
            self._points.append(self._fields(None, None))
            self._rows.append(_row(self._points[-1]))

    def _store(self, _: object) -> None:
        values = [(channel.value, kev.value) for channel, kev in self._points]
        given = [list(pair) for pair in values if None not in pair]
        self._write({"points": given, "degree": 1})

    def _forget(self, _: object) -> None:
        self._write(None)

    def _write(self, calibration: dict[str, object] | None) -> None:
        scan = self.shared.scan
        try:
            check_may_change()
            if calibration is not None:
                recalibrated(scan.n_channels, **calibration)
            write_sidecar(scan.filename, calibration=calibration)
        except MaxrfError as error:
            self._wrong.text = sentence_of(error)
            return
        self.dialog.open = False
        if self.on_calibrated is not None:
            self.on_calibrated()
        else:
            self.state.notice = "The calibration is stored; open the scan again to see it."

    def _fail(self, error: Exception) -> None:
        self._report.object = f"<p>{html.escape(sentence_of(error))}</p>"


def _row(fields: tuple[pmui.FloatInput, pmui.FloatInput]) -> pn.Row:
    return pn.Row(*fields, sizing_mode="stretch_width", max_width=380, margin=0)
