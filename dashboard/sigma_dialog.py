"""The dialog that finds the smoothing which the counts themselves ask for."""

from __future__ import annotations

import logging

import holoviews as hv
import numpy as np
import numpy.typing as npt
import panel as pn
import panel_material_ui as pmui

from maxrf_core import ParameterError
from maxrf_core.resolution import REFERENCE_KEV
from maxrf_core.smoothing import sigma_to_fwhm
from maxrf_core.thinning import SigmaSuggestion

from .data import SharedScan
from .dialogs import WithDialog, dialog, waiting
from .faults import reported
from .latest import Latest
from .region_counts import Interpolated, mask_of
from .state import MAX_SIGMA, ViewState
from .text import as_text
from .theme import COLOURS

__all__ = ["SigmaDialog"]

logger = logging.getLogger(__name__)

_PLOT_HEIGHT, _BELOW_PLOT = 260, 100  # pixels; no jumps from answer to answer
_PICKED, _REGION, _SCAN = "what is picked", "the selected region", "the whole scan"
_EXPLAINED = (
    "Each count in turn is left out, and predicted from all others, smoothed: where the "
    "deviance is smallest, sigma fits the counts. Too little smoothing follows shot noise, too "
    "much blurs the lines."
)


class SigmaDialog(WithDialog):
    """A button, and the dialog that it opens: deviance against sigma, and the best one.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose sigma is set when the visitor takes the suggestion.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self.shared, self.state = shared, state
        self.suggestion: SigmaSuggestion | None = None
        self._whose = pmui.RadioButtonGroup(
            options=[_PICKED, _SCAN],
            value=_PICKED,
            size="small",
            color="primary",
            sizing_mode="stretch_width",
            max_width=440,
            margin=4,
        )
        # Each answer has components of its own: values that change quickly get lost (`Notice`).
        # Not inside a FlexBox: Bokeh lays out no plot in what Panel renders as HTML.
        self._answer = pn.Column(
            waiting(), sizing_mode="stretch_width", min_height=_PLOT_HEIGHT + _BELOW_PLOT, margin=0
        )
        self.dialog = dialog("Sigma from the counts", "md")
        self.button = pmui.Button(
            label="Suggest",
            icon="auto_fix_high",
            variant="text",
            size="small",
            margin=(4, 0),
            on_click=self._open,
        )
        self._latest = Latest(self._suggest, self._show, self._fail)
        self._whose.param.watch(lambda *_: self._ask(), "value")
        state.param.watch(
            lambda *_: self._ask(), ["spectrum", "cell", "follow_resolution", "region", "regions"]
        )

    def _open(self, _: object) -> None:
        if not self.dialog.objects:
            self.dialog[:] = [
                pn.Column(
                    pmui.Typography(_EXPLAINED, variant="body2", margin=4),
                    self._whose,
                    self._answer,
                    sizing_mode="stretch_width",
                    margin=0,
                )
            ]
        self._offer()
        self.dialog.open = True
        self._ask()

    def _offer(self) -> None:
        """Offer the selected region while there is one."""
        there = any(one.name == self.state.region for one in self.state.regions)
        options = [_PICKED, _REGION, _SCAN] if there else [_PICKED, _SCAN]
        if options != self._whose.options:
            value = self._whose.value if self._whose.value in options else _PICKED
            self._whose.param.update(options=options, value=value)

    def _ask(self) -> None:
        if self.dialog.open:
            self._answer[:] = [waiting()]
            self._latest.request()

    def _suggest(self) -> SigmaSuggestion:
        return self.shared.suggest_sigma(
            self.state.spectrum if self._whose.value == _PICKED else None,
            self.state.cell if self._whose.value == _PICKED else None,
            mask=self._mask() if self._whose.value == _REGION else None,
            method=self.state.method,
            lag=self.shared.lag_corrected(self.state.correct_lag),
            follow_resolution=self.state.follow_resolution,
        )

    def _mask(self) -> npt.NDArray[np.bool_]:
        """Return the cells of the selected region.

        Raises
        ------
        ParameterError
            If none is selected.
        """
        for region in self.state.regions:
            if region.name == self.state.region:
                return mask_of(self.shared, region, Interpolated.of(self.shared, self.state))
        raise ParameterError("no region is selected; click one in the list of regions.")

    def _show(self, suggestion: SigmaSuggestion) -> None:
        self.suggestion = suggestion
        sentence = pmui.Typography(
            as_text(self.sentence(suggestion)),
            variant="body2",
            sizing_mode="stretch_width",
            margin=4,
        )
        plot = pn.pane.HoloViews(
            self.element(suggestion),
            sizing_mode="stretch_width",
            height=_PLOT_HEIGHT,
            linked_axes=False,
        )
        take = pmui.Button(label=f"Use {suggestion.sigma:.1f}", on_click=self._use)
        self._answer[:] = [plot, sentence, take]

    def sentence(self, suggestion: SigmaSuggestion) -> str:
        """Return what was found, in words."""
        scan, resolution = self.shared.scan, self.shared.resolution
        ev = suggestion.sigma * scan.kev_per_channel * 1000
        width = 1000 * float(resolution.fwhm_kev(REFERENCE_KEV))
        one = suggestion.n_spectra == 1
        spectra = "1 spectrum" if one else f"{suggestion.n_spectra:,} spectra"
        measured = "as fitted to the scan's peaks" if resolution.is_fitted else "typical"
        return (
            f"Best sigma {suggestion.sigma:.1f} channels: {ev:.0f} eV, FWHM "
            f"{sigma_to_fwhm(ev):.0f} eV. The counts cannot tell {suggestion.low:.1f} from "
            f"{suggestion.high:.1f}. From {suggestion.n_counts:,} counts in "
            f"{spectra}. The detector's own FWHM is {width:.0f} eV at "
            f"5.9 keV ({measured})."
        )

    def element(self, suggestion: SigmaSuggestion) -> hv.Overlay:
        """Return the plot of the deviance against sigma."""
        excess = suggestion.deviance - np.nanmin(suggestion.deviance)
        error = suggestion.error
        detector = float(self.shared.detector_sigma)
        near = excess[(suggestion.sigmas > 0.3 * suggestion.sigma)]
        top = 1.1 * float(max(near[0], near[-1], 2 * error[excess.argmin() - 1])) or 1.0
        parts = [
            hv.Area(
                (suggestion.sigmas, np.maximum(excess - error, 0), excess + error),
                "sigma",
                ["low", "high"],
                label="± standard error",
            ).opts(color=COLOURS["smooth"], alpha=0.2, line_alpha=0),
            hv.Curve((suggestion.sigmas, excess), "sigma", "low", label="Deviance").opts(
                color=COLOURS["smooth"], line_width=2
            ),
            hv.Curve(([suggestion.sigma] * 2, [0, top]), "sigma", "low", label="Best").opts(
                color=COLOURS["window"], line_width=2
            ),
            hv.Curve(([detector] * 2, [0, top]), "sigma", "low", label="Detector at 5.9 keV").opts(
                color=COLOURS["raw"], line_dash="dashed"
            ),
        ]
        return hv.Overlay(parts).opts(
            xlabel="Sigma (channels)",
            ylabel="Excess deviance a count",
            xlim=(0.0, min(MAX_SIGMA, 3.0 * suggestion.sigma)),
            ylim=(0.0, top),
            responsive=True,
            toolbar=None,
            fontsize={"legend": "9pt"},
            legend_opts={"background_fill_alpha": 0.7, "padding": 4, "spacing": 0},
            legend_position="top_right",
            default_tools=["save"],
            tools=[],
        )

    def _use(self, _: object) -> None:
        if self.suggestion is not None:
            self.state.sigma = round(min(float(self.suggestion.sigma), MAX_SIGMA), 1)
        self.dialog.open = False

    def _fail(self, error: Exception) -> None:
        told = reported(logger, "no sigma could be suggested", error)
        self.state.notice = f"No sigma could be suggested: {told}"
        self.dialog.open = False
