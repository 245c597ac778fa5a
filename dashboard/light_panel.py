"""The object in light in the sidebar: what lies under the map, and how far the map hides it."""

from __future__ import annotations

import html

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewable, Viewer

from .state import UNDERLAYS, ViewState
from .tuning import live
from .underlay import Underlay

__all__ = ["LightPanel"]

_LABELS = dict(zip(UNDERLAYS, ("nothing", "photo", "mosaic of camera frames"), strict=True))
_WHOLE = {"sizing_mode": "stretch_width", "margin": (4, 0)}
_HINT = {"font-size": "12.5px", "line-height": "1.35", "overflow-wrap": "anywhere"}


class LightPanel(Viewer):
    """A chooser of what lies under the map, and the map's opacity.

    Parameters
    ----------
    state : ViewState
        Whose `underlay` and `map_opacity` are chosen.
    underlay : Underlay
        Tells what there is to choose.
    """

    def __init__(self, state: ViewState, underlay: Underlay) -> None:
        super().__init__()
        self._state, self._underlay = state, underlay
        self._hint = pn.pane.HTML("", styles=_HINT, **_WHOLE)
        self._slider = live(
            pmui.FloatSlider.from_param(state.param.map_opacity, size="small", **_WHOLE)
        )
        self._fields = pn.Column(sizing_mode="stretch_width", margin=0)
        self._layout = pn.Column(self._fields, self._hint, sizing_mode="stretch_width", margin=0)
        self._shown: object = None
        underlay.param.watch(lambda *_: self._fill(), ["light", "told"])
        state.param.watch(lambda *_: self._fill(), "underlay")
        self._fill()

    def __panel__(self) -> Viewable:
        return self._layout

    def _fill(self) -> None:
        """Offer what there is; each answer has components of its own (see `Notice`)."""
        light, chosen = self._underlay.light, self._state.underlay
        offered = [name for name in UNDERLAYS if name in ("none", chosen, *light.choices)]
        shown = tuple(offered), chosen != "none"
        if shown != self._shown:
            self._shown = shown
            chooser = pmui.Select.from_param(
                self._state.param.underlay,
                options={_LABELS[name]: name for name in offered},
                size="small",
                **_WHOLE,
            )
            fields = [chooser, self._slider] if chosen != "none" else [chooser]
            self._fields[:] = fields if len(offered) > 1 else [pn.Spacer(height=0, margin=0)]
        if len(offered) > 1:
            sentences = [self._underlay.told]
        else:
            sentences = dict.fromkeys(light.told.values())
        self._hint.object = "<br>".join(html.escape(one, quote=False) for one in sentences if one)
