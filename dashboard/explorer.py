"""The explorer: three views of one scan, tied together by one state, and their controls."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from maxrf_core import Scan

from .calibration_dialog import CalibrationDialog
from .combine import Combine
from .data import SharedScan, shared_scan
from .element_picker import ElementChooser, ElementPicker
from .energymap import EnergyMapView
from .export_dialog import ExportDialog
from .gallery import Gallery
from .latest import Settled
from .light_panel import LightPanel
from .link_button import LinkButton
from .notice import Notice
from .peaks_dialog import PeaksDialog
from .periodic_table import PeriodicTableDialog
from .photo_dialog import PhotoDialog
from .positions import MotorPositionsView
from .region_panel import RegionPanel
from .regions_dialog import RegionsDialog
from .sigma_dialog import SigmaDialog
from .spectrum import SpectrumView
from .state import ViewState
from .theme import MAP_HEIGHT, SPECTRUM_HEIGHT, framed
from .tuning import live
from .view import check_picks
from .view_tools import ViewTools
from .views_dialog import ViewsDialog
from .workspaces import Workspaces

__all__ = ["Explorer"]

_TWO_OR_ONE_COLUMN = "repeat(auto-fit, minmax(max(min(380px, 100%), 40%), 1fr))"
_WHOLE = {"sizing_mode": "stretch_width", "margin": (4, 0)}

_SETTLED_MS = 150
"""How long the window must stand still until the fields tell it; while it is dragged, the map's
title does. Two fields cost the server as much as the map itself."""


class Explorer(Viewer):
    """Motor positions, energy map and spectrum of a scan, linked.

    Parameters
    ----------
    scan : Scan, SharedScan, or path or URL of a zipstore
        What to explore.
    state : ViewState, optional
        What to look at first; by default the strongest line and the spectrum with the
        most counts in it.

    Attributes
    ----------
    state : ViewState
        Set its parameters to steer the views, read them to learn what was picked.
    positions, energy_map, spectrum : LiveView
        The views; each can be shown alone.

    Examples
    --------
    >>> explorer = Explorer("scan.zipstore")  # doctest: +SKIP
    >>> explorer.state.window = (6.2, 6.6)    # doctest: +SKIP
    >>> explorer.energy_map.values            # doctest: +SKIP
    """

    def __init__(
        self,
        scan: Scan | SharedScan | str | Path,
        *,
        state: ViewState | None = None,
    ) -> None:
        super().__init__()
        self.shared = _shared(scan)
        self.state = default_state(self.shared) if state is None else state
        check_picks(self.shared, self.state)
        self.positions = MotorPositionsView(self.shared, self.state)
        self.energy_map = EnergyMapView(self.shared, self.state)
        self.spectrum = SpectrumView(self.shared, self.state)
        self.suggestion = SigmaDialog(self.shared, self.state)
        self.calibration = CalibrationDialog(self.shared, self.state)
        self.elements = ElementChooser(self.shared, self.state)
        self.periodic_table = PeriodicTableDialog(self.shared, self.state, self.elements)
        self.peaks = PeaksDialog(self.shared, self.state, self.elements)
        self.peaks.param.watch(lambda event: self.spectrum.mark_peaks(event.new), "marked")
        self.export = ExportDialog(self.shared, self.state)
        self.regions = RegionPanel(
            self.shared, self.state, self.energy_map.drawing, sizing_mode="stretch_width"
        )
        self.compare = RegionsDialog(self.shared, self.state)
        self.saved = ViewsDialog(self.shared, self.state)
        self.photo = PhotoDialog(self.shared, self.state, self.energy_map)

    # --- controls -----------------------------------------------------------------------

    def controls(self) -> pn.Column:
        """Return the controls of elements, window and map."""
        return pn.Column(*self.sections(), sizing_mode="stretch_width", margin=0)

    def sections(self) -> list[pn.Column]:
        """Return the controls, those of one thing under its heading."""
        parameters = self.state.param
        layers = list(self.shared.layers)
        parts = {
            "Elements": [
                ElementPicker(self.elements, self.state, **_WHOLE),
                _row(self.periodic_table.button, self.peaks.button),
            ],
            "Energy window": [
                *self._window_controls(),
                pmui.Select.from_param(parameters.background, size="small", **_WHOLE),
            ],
            "Map": [
                pmui.Select.from_param(parameters.layer, options=layers, size="small", **_WHOLE),
                pmui.Select.from_param(parameters.method, size="small", **_WHOLE),
                *self._switches(),
                pmui.Select.from_param(parameters.colour_map, size="small", **_WHOLE),
                live(pmui.RangeSlider.from_param(parameters.clip, step=0.5, **_WHOLE)),
            ],
            "Object in light": [
                LightPanel(self.state, self.energy_map.underlay),
                self.photo.button,
            ],
            "Regions": [self.regions, _row(self.compare.button, self.saved.button)],
            "Detector": [*self._detector_facts(), self.calibration.button],
        }
        return [
            pn.Column(
                pmui.Typography(title, variant="subtitle2", margin=(8, 0, 0, 0)),
                *controls,
                sizing_mode="stretch_width",
                margin=(0, 12),
            )
            for title, controls in parts.items()
        ]

    def _detector_facts(self) -> list[pn.viewable.Viewable]:
        """Return what the scan says of the detector's dead time."""
        dead = self.shared.scan.dead_time_fraction
        if dead is None:
            return []
        text = f"Dead time {100 * dead.mean():.1f} % (at most {100 * dead.max():.1f} %)"
        return [pmui.Typography(text, variant="body2", margin=(4, 0))]

    def _switches(self) -> list[pn.viewable.Viewable]:
        """Return the switches of the map that this scan has a use for."""
        parameters, scan = self.state.param, self.shared.scan
        switches = [pmui.Switch.from_param(parameters.smooth_map, **_WHOLE)]
        if scan.live_times is not None:
            switches.append(pmui.Switch.from_param(parameters.per_second, **_WHOLE))
        if self.shared.zigzag:
            label = f"Correct zigzag ({scan.lag.text})"
            switches.append(pmui.Switch.from_param(parameters.correct_lag, label=label, **_WHOLE))
        return switches

    def _window_controls(self) -> list[pn.viewable.Viewable]:
        """Return a chooser of the file's ROIs and two fields, kept equal to the window."""
        energies = self.shared.scan.energies
        rois = {
            f"{roi.name} · {roi.low_kev:.3f}–{roi.high_kev:.3f}": (roi.low_kev, roi.high_kev)
            for roi in self.shared.rois
        }
        own = "own window"
        chooser = pmui.Select(
            label="ROI of the file" if rois else "ROI (the file has none)",
            options=[own, *rois],
            disabled=not rois,
            size="small",
            **_WHOLE,
        )
        limits = {"start": float(energies[0]), "end": float(energies[-1]), "step": 0.01}
        low, high = (
            pmui.FloatInput(label=label, format="0.000", size="small", **limits, **_WHOLE)
            for label in ("from (keV)", "to (keV)")
        )

        showing = False  # the fields are set one by one; between them the window is neither

        def show_window(*_: Any) -> None:
            nonlocal showing
            showing = True
            low.value, high.value = self.state.window
            chooser.value = next(
                (label for label, window in rois.items() if window == self.state.window), own
            )
            showing = False

        def take_fields(*_: Any) -> None:
            if showing:
                return
            if low.value is not None and high.value is not None and low.value <= high.value:
                self.state.param.update(window=(low.value, high.value), notice="")
            else:
                self.state.notice = (
                    "The energy window needs two energies, the lower one first; it stays as it was."
                )
                show_window()

        def take_roi(event: Any) -> None:
            if not showing and event.new in rois:
                self.state.window = rois[event.new]

        show_window()
        settled = Settled(show_window, _SETTLED_MS)
        self.state.param.watch(lambda *_: settled.request(), "window")
        low.param.watch(take_fields, "value")
        high.param.watch(take_fields, "value")
        chooser.param.watch(take_roi, "value")
        return [chooser, _row(low, high)]

    def spectrum_controls(self) -> pn.FlexBox:
        """Return the sigma slider and the switches of the spectrum plot."""
        state = self.state
        slider = pmui.FloatSlider.from_param(
            state.param.sigma, show_value=True, size="small", min_width=180, margin=(0, 16)
        )
        slider = self.spectrum.follow(live(slider))
        switches = [
            pmui.Checkbox.from_param(parameter, label=label, margin=(0, 4), size="small")
            for parameter, label in (
                (state.param.follow_resolution, "Follow resolution"),
                (state.param.log_counts, "Log"),
                (state.param.show_sum, "Sum"),
                (state.param.show_max, "Max"),
            )
        ]
        return pn.FlexBox(
            slider,
            self.suggestion.button,
            *switches,
            align_items="center",
            sizing_mode="stretch_width",
        )

    # --- layout -------------------------------------------------------------------------

    def views(self) -> pn.Column:
        """Return the workspaces under their bar, and the dialogs."""
        return pn.Column(self.workspaces(), *self.dialogs, sizing_mode="stretch_width", margin=0)

    @property
    def dialogs(self) -> list[pmui.Dialog]:
        """What buttons open. They have to stand somewhere on the page, too."""
        owners = (
            self.suggestion,
            self.periodic_table,
            self.peaks,
            self.export,
            self.compare,
            self.saved,
            self.photo,
            self.calibration,
        )
        return [owner.dialog for owner in owners]

    def workspaces(self) -> Workspaces:
        """Return the workspaces under their bar."""
        makers = {
            "explore": self._explore,
            "gallery": lambda: pn.panel(Gallery(self.shared, self.state)),
            "combine": lambda: pn.panel(Combine(self.shared, self.state)),
        }
        tools = [
            ViewTools(self.shared, self.state),
            LinkButton(self.state),
            self.export.button,
        ]
        return Workspaces(self.state, makers, tools)

    def _explore(self) -> pn.Column:
        """Return the three views, two columns wide where there is room."""
        maps = pn.Column(
            framed(_stacked(self._positions_bar(), self.positions), MAP_HEIGHT),
            framed(self.energy_map, MAP_HEIGHT),
            sizing_mode="stretch_width",
            styles={
                "display": "grid",
                "grid-template-columns": _TWO_OR_ONE_COLUMN,
                "gap": "8px",
            },
            margin=0,
        )
        below = framed(_stacked(self.spectrum_controls(), self.spectrum), SPECTRUM_HEIGHT)
        return pn.Column(
            maps,
            below,
            sizing_mode="stretch_width",
            margin=0,
            styles={"gap": "8px"},
        )

    def _positions_bar(self) -> pn.Row:
        key = pn.pane.HTML(
            self.positions.key,
            margin=(2, 10),
            styles={"font-size": "11px", "white-space": "nowrap"},
        )
        return pn.Row(key, self.positions.readout, sizing_mode="stretch_width", margin=0)

    def __panel__(self) -> pn.viewable.Viewable:
        """Return views and controls side by side, for a notebook."""
        self.export.button.visible = False  # its links lead to a server; use `export_scan`
        facts = f"<b>{html.escape(self.shared.name)}</b> · {html.escape(self.shared.summary)}"
        return pn.Column(
            pn.pane.HTML(facts),
            notice_of(self.state),
            pn.Row(
                pn.Column(self.controls(), width=260), self.views(), sizing_mode="stretch_width"
            ),
            sizing_mode="stretch_width",
        )


def notice_of(state: ViewState) -> Notice:
    """Return what shows a state's notice while there is one."""

    def forget() -> None:
        state.notice = ""  # so that it is shown again when it happens again

    def show(*_: object) -> None:
        notice.text = state.notice

    notice = Notice(on_closed=forget)
    state.param.watch(show, "notice")
    show()
    return notice


def default_state(shared: SharedScan) -> ViewState:
    """Return the first look at a scan: its strongest line and that line's best spectrum."""
    line = shared.strongest_line
    return ViewState(
        window=(line.low_kev, line.high_kev),
        spectrum=shared.brightest_spectrum,
        method=shared.scan.method,
        correct_lag=bool(shared.scan.lag_corrected),
    )


def _shared(scan: Scan | SharedScan | str | Path) -> SharedScan:
    if isinstance(scan, SharedScan):
        return scan
    return SharedScan(scan) if isinstance(scan, Scan) else shared_scan(scan)


def _row(*controls: pn.viewable.Viewable) -> pn.Row:
    return pn.Row(*controls, sizing_mode="stretch_width", margin=0)


def _stacked(bar: pn.viewable.Viewable, view: Viewer) -> pn.Column:
    return pn.Column(bar, view, sizing_mode="stretch_both", margin=0)
