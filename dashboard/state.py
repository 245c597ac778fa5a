"""What a visitor looks at: one set of parameters behind all views, without widgets."""

from __future__ import annotations

import math
from typing import Any

import param

from maxrf_core.interpolation import DEFAULT_METHOD, METHODS
from maxrf_core.windows import BACKGROUNDS

from .layers import LAYERS
from .theme import COLOUR_MAPS

__all__ = ["MAX_SIGMA", "ViewState"]

BACKGROUND_LABELS = ("left in", "side windows", "side windows, SNIP")

MAX_SIGMA = 30.0
"""Upper end of the sigma slider, in channels."""


class EnergyWindow(param.Range):
    """A pair of finite energies in keV, the lower one first."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        low, high = val
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            msg = f"the energy window is {low!r} to {high!r} keV; expected the lower energy first."
            raise ValueError(msg)


class ViewState(param.Parameterized):
    """The view of one visitor of one scan.

    Every view reads it and watches it; every gesture and widget writes it; the URL is
    its text. Set its parameters from Python to steer the views of a notebook.
    """

    sigma = param.Number(
        default=7.0,
        bounds=(0.0, MAX_SIGMA),
        step=0.1,
        label="Smoothing sigma (channels)",
        doc="Standard deviation of the Gaussian over channels; 0 shows the counts as they are.",
    )
    window = EnergyWindow(
        default=(6.2, 6.6),
        label="Energy window (keV)",
        doc="Low and high energy in keV; the map sums channels in [low, high).",
    )
    follow_resolution = param.Boolean(
        default=False,
        label="Sigma follows the resolution",
        doc="Sigma holds at 5.895 keV (Mn K-alpha) and grows with the width of the detector's "
        "lines; else it is the same in all channels.",
    )
    background = param.Selector(
        default=BACKGROUNDS[0],
        objects=dict(zip(BACKGROUND_LABELS, BACKGROUNDS, strict=True)),
        label="Background under the window",
        doc="Take it away for net counts: estimated from the channels on both sides, or bent "
        "between them as SNIP finds it in the scan's total spectrum.",
    )
    layer = param.Selector(
        default="counts",
        objects=list(LAYERS),
        label="Map of",
        doc="Counts; their standard error under Poisson statistics; counts divided by it; where "
        "net counts stand out from the background (Currie, 5 % false alarms); dead time.",
    )
    per_second = param.Boolean(
        default=False,
        label="Per second",
        doc="Divide the counts of each spectrum by its live time.",
    )
    correct_lag = param.Boolean(
        default=True,
        label="Correct zigzag",
        doc="Exposures are later than the positions recorded with them, which shifts even and "
        "odd rows against each other.",
    )
    method = param.Selector(
        default=DEFAULT_METHOD,
        objects=list(METHODS),
        label="Interpolation",
        doc="How spectra at wobbly positions become cells of a regular grid.",
    )
    smooth_map = param.Boolean(
        default=False,
        label="Map from smoothed spectra",
        doc="Sum the smoothed spectra instead of the raw counts.",
    )
    colour_map = param.Selector(
        default=COLOUR_MAPS[0], objects=list(COLOUR_MAPS), label="Colour map"
    )
    clip = param.Range(
        default=(0.0, 99.5),
        bounds=(0.0, 100.0),
        label="Colour range (percentiles)",
        doc="Cells below and above these percentiles take the end colours.",
    )
    log_counts = param.Boolean(default=False, label="Logarithmic counts")
    show_sum = param.Boolean(
        default=True, label="Sum", doc="Sum of all spectra, divided by their number."
    )
    show_max = param.Boolean(
        default=False, label="Max", doc="Highest smoothed value of any spectrum, by channel."
    )
    spectrum = param.Integer(
        default=0,
        bounds=(0, None),
        label="Spectrum",
        doc="Number of the spectrum shown, unless a cell is picked.",
    )
    cell = param.NumericTuple(
        default=None,
        length=2,
        allow_None=True,
        label="Cell",
        doc="Row and column of the cell whose interpolated spectrum is shown instead.",
    )

    notice = param.String(
        default="",
        label="Notice",
        doc="What went wrong last, in a sentence for the visitor; empty when all is well.",
    )

    def pick_spectrum(self, index: int) -> None:
        """Show a measured spectrum."""
        self.param.update(spectrum=index, cell=None)

    def pick_cell(self, row: int, column: int) -> None:
        """Show the interpolated spectrum of a cell."""
        self.cell = (row, column)
