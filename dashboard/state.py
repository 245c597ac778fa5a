"""What a visitor looks at: one set of parameters behind all views, without widgets."""

from __future__ import annotations

import math
from typing import Any

import param

from maxrf_core import ParameterError
from maxrf_core.interpolation import DEFAULT_METHOD, METHODS
from maxrf_core.region_json import region_from_json, region_to_json
from maxrf_core.regions import Region
from maxrf_core.windows import BACKGROUNDS

from .combine_colours import TRIPLES
from .element_lines import line_name
from .layers import LAYERS
from .theme import COLOUR_MAPS

__all__ = [
    "COMBINATIONS",
    "MAX_ELEMENTS",
    "MAX_PROFILE_WIDTH",
    "MAX_REGIONS",
    "MAX_SIGMA",
    "UNDERLAYS",
    "WINDOW",
    "WORKSPACES",
    "ElementNames",
    "ViewState",
]

WORKSPACES = ("explore", "gallery", "combine")
"""Pages of the page: the three views, the maps of several elements side by side, maps combined."""

COMBINATIONS = ("rgb", "ratio", "scatter", "profile")
"""Ways to combine maps: as colours, one over another, one against another, along a line."""

WINDOW = "window"
"""What stands for the energy window where an element may stand."""

UNDERLAYS = ("none", "photo", "mosaic")
"""What may lie under the map: nothing, a photo of the object, the mosaic of camera frames."""

MAX_PROFILE_WIDTH = 51
"""Cells across a profile, at most."""

MAX_ELEMENTS = 24
"""Maps of a gallery, and elements marked on the spectrum."""

MAX_REGIONS = 12
"""Regions of a view: more mean spectra are not told apart in one plot."""

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


class ElementNames(param.Parameter):
    """A tuple of elements or lines, such as ``("Fe", "Pb La")``, each there once."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if not isinstance(val, tuple) or len(val) > MAX_ELEMENTS or len(set(val)) < len(val):
            msg = f"the elements are {val!r}; expected a tuple of at most {MAX_ELEMENTS} names."
            raise ParameterError(msg)
        for name in val:
            if line_name(name) != name:
                msg = (
                    f"{name!r} is among the elements; expected its short name, {line_name(name)!r}."
                )
                raise ParameterError(msg)


class Regions(param.Parameter):
    """A tuple of regions with different names."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        is_tuple = isinstance(val, tuple) and all(isinstance(one, Region) for one in val)
        if not is_tuple or len(val) > MAX_REGIONS:
            found = f"{len(val)} regions" if is_tuple else repr(val)[:80]
            msg = f"the regions are {found}; expected a tuple of at most {MAX_REGIONS} regions."
            raise ParameterError(msg)
        for one in val:
            region_from_json(region_to_json(one))  # says what is wrong with it
        if len({one.name for one in val}) < len(val):
            msg = "two regions have one name; give each its own."
            raise ParameterError(msg)


class Names(param.Parameter):
    """A tuple of texts."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if not isinstance(val, tuple) or not all(isinstance(one, str) for one in val):
            msg = f"the names are {val!r}; expected a tuple of texts."
            raise ParameterError(msg)


class MapNames(param.Parameter):
    """A tuple of maps: elements or lines, `WINDOW`, or empty for none."""

    COUNT = 2

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if not isinstance(val, tuple) or len(val) != self.COUNT:
            msg = f"the maps are {val!r}; expected a tuple of {self.COUNT} names."
            raise ParameterError(msg)
        for name in val:
            if name not in ("", WINDOW) and line_name(name) != name:
                msg = f"{name!r} is among the maps; expected its short name, {line_name(name)!r}."
                raise ParameterError(msg)


class ThreeMaps(MapNames):
    """A tuple of three maps."""

    COUNT = 3


class ProfileLine(param.Parameter):
    """Ends of a line: x and y of the start, x and y of the end; or None."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if val is None:
            return
        is_four = isinstance(val, tuple) and len(val) == 4
        if not is_four or not all(
            isinstance(one, int | float) and math.isfinite(one) for one in val
        ):
            msg = f"the line is {val!r}; expected None or a tuple of four finite numbers."
            raise ParameterError(msg)


class ColourRanges(param.Parameter):
    """Percentiles of the ends of three colours: low and high of each."""

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        is_six = isinstance(val, tuple) and len(val) == 6
        if not is_six or not all(
            isinstance(low, int | float)
            and isinstance(high, int | float)
            and 0 <= low <= high <= 100
            for low, high in zip(val[::2], val[1::2], strict=True)
        ):
            msg = (
                f"the colour ranges are {val!r}; expected low and high of three colours, "
                "percentiles from 0 to 100, the lower one first."
            )
            raise ParameterError(msg)


class SeenPlane(param.Parameter):
    """Ends of what a map shows: x0, x1, y0, y1, the lower one of each two first; or None."""

    ENDS = 4

    def _validate(self, val: Any) -> None:
        super()._validate(val)
        if val is None:
            return
        is_pairs = isinstance(val, tuple) and len(val) == self.ENDS
        if not is_pairs or not all(isinstance(end, int | float) for end in val):
            msg = f"what is seen is {val!r}; expected None or a tuple of {self.ENDS} numbers."
            raise ParameterError(msg)
        pairs = zip(val[::2], val[1::2], strict=True)
        if not all(-math.inf < low < high < math.inf for low, high in pairs):
            msg = f"what is seen is {val!r}; expected finite ends, the lower one of each two first."
            raise ParameterError(msg)


class SeenEnergies(SeenPlane):
    """Ends of what a spectrum shows in keV, the lower one first; or None."""

    ENDS = 2


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
    elements = ElementNames(
        default=(),
        label="Elements",
        doc="Elements or lines, marked on the spectrum and shown in the gallery.",
    )
    workspace = param.Selector(default=WORKSPACES[0], objects=list(WORKSPACES), label="Workspace")
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

    map_range = SeenPlane(
        default=None,
        label="Visible part of the map",
        doc="x0, x1, y0, y1 in motor steps; None for all of it.",
    )
    positions_range = SeenPlane(
        default=None,
        label="Visible part of the positions",
        doc="x0, x1, y0, y1 in motor steps; None for all of it.",
    )
    energy_range = SeenEnergies(
        default=None,
        label="Visible energies (keV)",
        doc="Lower and upper end in keV; None for those where nearly all counts lie.",
    )

    combination = param.Selector(
        default=COMBINATIONS[0], objects=list(COMBINATIONS), label="Combination of maps"
    )
    composite = ThreeMaps(
        default=("", "", ""),
        label="Maps of the three colours",
        doc="Elements, lines, 'window', or '' to leave a colour out; all '' for the first three "
        "of the elements.",
    )
    composite_clip = ColourRanges(
        default=(0.0, 99.5, 0.0, 99.5, 0.0, 99.5),
        label="Colour ranges (percentiles)",
        doc="Low and high of each colour: dark below the one, bright above the other.",
    )
    composite_colours = param.Selector(
        default=next(iter(TRIPLES)), objects=list(TRIPLES), label="Colours"
    )
    pair = MapNames(
        default=("", ""),
        label="Maps of a ratio or scatter plot",
        doc="Elements, lines or 'window'; '' for the first two of the elements.",
    )
    ratio_log = param.Boolean(default=False, label="Logarithmic ratio")
    profile = ProfileLine(
        default=None,
        label="Line of the profile",
        doc="x and y of start and end in motor steps; None for the middle row.",
    )
    profile_width = param.Integer(
        default=1, bounds=(1, MAX_PROFILE_WIDTH), label="Width of the profile (cells)"
    )

    regions = Regions(
        default=(),
        label="Regions",
        doc="Named parts of the map, whose mean spectra are compared.",
    )
    hidden_regions = Names(
        default=(),
        label="Hidden regions",
        doc="Names of regions without outline and line; names of none are passed over.",
    )
    region = param.String(default="", label="Selected region", doc="Its name; '' for none.")

    underlay = param.Selector(
        default=UNDERLAYS[0],
        objects=list(UNDERLAYS),
        label="Under the map",
        doc="The object in light, in motor coordinates.",
    )
    map_opacity = param.Number(
        default=0.6,
        bounds=(0.0, 1.0),
        step=0.01,
        label="Opacity of the map",
        doc="Over what lies under it: 0 shows the object in light, 1 the map. Without anything "
        "under it the map is opaque.",
    )

    notice = param.String(
        default="",
        label="Notice",
        doc="What went wrong last, in a sentence for the visitor; empty when all is well.",
    )

    def add_element(self, text: str) -> None:
        """Mark an element or line on the spectrum; the oldest gives way when there is no room.

        Parameters
        ----------
        text : str
            What names it: ``"Fe"``, ``"iron"``, ``"Pb L-alpha"``.

        Raises
        ------
        ParameterError
            If it names none.
        """
        name = line_name(text)
        if name not in self.elements:
            self.elements = (*self.elements, name)[-MAX_ELEMENTS:]

    def remove_element(self, name: str) -> None:
        """Take an element or line off the spectrum, if it is there."""
        self.elements = tuple(one for one in self.elements if one != name)

    def pick_spectrum(self, index: int) -> None:
        """Show a measured spectrum."""
        self.param.update(spectrum=index, cell=None)

    def pick_cell(self, row: int, column: int) -> None:
        """Show the interpolated spectrum of a cell."""
        self.cell = (row, column)
