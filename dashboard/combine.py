"""The workspace in which maps are combined: as colours, as a ratio, as a plot, along a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from .combine_composite import CompositeMode
from .combine_profile import ProfileMode
from .combine_ratio import RatioMode
from .combine_scatter import ScatterMode
from .data import SharedScan
from .state import COMBINATIONS, ViewState

__all__ = ["Combine"]

_LABELS = dict(zip(("Colours", "Ratio", "Scatter", "Profile"), COMBINATIONS, strict=True))


class Mode(Protocol):
    """One way to combine maps."""

    active: bool
    """Whether somebody looks at it; else nothing is computed."""


class Combine(Viewer):
    """A bar to choose a combination from, and the one that was chosen below it.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What to show.

    Attributes
    ----------
    modes : dict of str to Viewer
        What was looked at so far, by the state's `combination`.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self._shared, self._state = shared, state
        self.modes: dict[str, Viewer] = {}
        bar = pmui.RadioButtonGroup.from_param(
            state.param.combination,
            options=_LABELS,
            label="",
            size="small",
            color="primary",
            margin=(4, 0),
        )
        self._layout = pn.Column(bar, sizing_mode="stretch_width", margin=0)
        state.param.watch(lambda *_: self._show(), ["combination", "workspace"])
        self._show()

    def __panel__(self) -> pn.Column:
        return self._layout

    def _makers(self) -> dict[str, Callable[[SharedScan, ViewState], Viewer]]:
        return {
            "rgb": CompositeMode,
            "ratio": RatioMode,
            "scatter": ScatterMode,
            "profile": ProfileMode,
        }

    def _show(self) -> None:
        state = self._state
        wanted = state.combination
        if wanted not in self.modes:
            self.modes[wanted] = self._makers()[wanted](self._shared, state)
            self._layout.append(
                pn.Column(self.modes[wanted], sizing_mode="stretch_width", margin=0)
            )
        for (name, mode), shown in zip(self.modes.items(), self._layout[1:], strict=True):
            shown.visible = name == wanted
            mode.active = name == wanted and state.workspace == "combine"
