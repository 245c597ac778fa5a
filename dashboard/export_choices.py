"""What a visitor can export, as which kinds of files, and what the view says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maxrf_core import ParameterError
from maxrf_core.exports import EXPORT_KINDS, ExportKind

from .data import SharedScan
from .region_counts import Interpolated, mask_of
from .state import ViewState

__all__ = ["CHOICES", "Choice", "export_options"]


@dataclass(frozen=True)
class Choice:
    """A thing to export.

    Parameters
    ----------
    label : str
        For people.
    kinds : tuple of str
        Names of `EXPORT_KINDS` that hold it.
    name : str
        What the file's name says of it.
    options : callable
        Returns options of `export_scan` that name it, given scan and state.
    is_there : callable
        Tells whether there is any.
    """

    label: str
    kinds: tuple[str, ...]
    name: str
    options: Callable[[SharedScan, ViewState], dict[str, Any]]
    is_there: Callable[[SharedScan, ViewState], bool] = lambda _shared, _state: True

    @property
    def formats(self) -> tuple[ExportKind, ...]:
        """The kinds of files."""
        by_name = {kind.name: kind for kind in EXPORT_KINDS}
        return tuple(by_name[name] for name in self.kinds if name in by_name)


_MAPS = ("tiff", "png", "csv", "npy", "dms")
_CUBES = ("nexus", "hspy", "rpl", "datastack")


def _this_map(_: SharedScan, state: ViewState) -> dict[str, Any]:
    low, high = state.window
    return {"windows": {f"{low:.3f}-{high:.3f} keV": state.window}}


def _of_elements(shared: SharedScan, state: ViewState) -> dict[str, Any]:
    lines = [shared.elements.line(name) for name in state.elements]
    return {"windows": {line.group.name: line.window for line in lines}}


def _of_cell(shared: SharedScan, state: ViewState) -> dict[str, Any]:
    mask = np.zeros(shared.scan.grid.shape, dtype=bool)
    mask[state.cell] = True
    row, column = state.cell
    return {"regions": {f"row {row}, column {column}": mask}}


def _of_regions(shared: SharedScan, state: ViewState) -> dict[str, Any]:
    how = Interpolated.of(shared, state)
    return {"regions": {one.name: mask_of(shared, one, how) for one in state.regions}}


CHOICES = {
    "map": Choice("The map of the energy window", _MAPS, "map", _this_map),
    "elements": Choice(
        "The maps of the elements chosen",
        _MAPS,
        "elements",
        _of_elements,
        lambda _shared, state: bool(state.elements),
    ),
    "rois": Choice(
        "The maps of the file's regions of interest",
        _MAPS,
        "rois",
        lambda shared, _: {"windows": shared.rois},
        lambda shared, _: bool(shared.rois),
    ),
    "sum": Choice("The sum spectrum", ("spectra",), "spectrum", lambda *_: {}),
    "cell": Choice(
        "The spectrum of the picked cell",
        ("spectra",),
        "cell",
        _of_cell,
        lambda _shared, state: state.cell is not None,
    ),
    "regions": Choice(
        "The mean spectra of the regions",
        ("spectra",),
        "regions",
        _of_regions,
        lambda _shared, state: bool(state.regions),
    ),
    "cube": Choice("The spectral cube", _CUBES, "cube", lambda *_: {}),
    "measured": Choice(
        "The spectra as measured, with positions", ("nexus-spectra",), "spectra", lambda *_: {}
    ),
}
"""What can be exported, by name."""


def export_options(
    choice: Choice,
    kind: ExportKind,
    shared: SharedScan,
    state: ViewState,
    *,
    energies: tuple[float, float] | None = None,
    binning: int = 1,
    errors: bool = False,
) -> dict[str, Any]:
    """Return the options of `export_scan` for what a visitor sees.

    Parameters
    ----------
    choice, kind
        What, and as which kind of file.
    shared, state
        The scan and the view.
    energies, binning, errors
        As in `export_scan`; left out where the kind has no use for them.

    Returns
    -------
    options : dict

    Raises
    ------
    ParameterError
        If there is none of it any more.
    """
    if not choice.is_there(shared, state):
        raise ParameterError(f"There is nothing to export for {choice.label.lower()!r} any more.")
    sigma = state.sigma if state.smooth_map else 0.0
    seen = {
        "method": state.method,
        "lag": shared.lag_corrected(state.correct_lag),
        "sigma": shared.smoothing(sigma, follow_resolution=state.follow_resolution),
        "background": state.background,
        "per_second": state.per_second,
        "energies": energies,
        "binning": binning,
        "errors": errors,
        **choice.options(shared, state),
    }
    if choice.name == "spectrum":
        del seen["method"], seen["lag"]  # the whole scan's is not interpolated
    return {"kind": kind.name} | {key: seen[key] for key in seen if key in kind.options}
