"""What the ways to combine maps have in common: nothing is computed while nobody looks."""

from __future__ import annotations

from collections.abc import Sequence

import panel as pn
from panel.viewable import Viewable, Viewer

from .asked import MAP_PARAMETERS
from .latest import Latest
from .state import ViewState

__all__ = ["CombineMode", "OnDemand"]


class OnDemand:
    """A view that follows a state while somebody looks at it, and catches up when they do."""

    state: ViewState
    _latest: Latest
    _is_active, _is_stale = False, True

    def _follow(self, watched: Sequence[str]) -> None:
        """Draw anew when the elements, what all maps depend on, or these parameters change."""
        names = [*MAP_PARAMETERS, "window", "elements", *watched]
        self.state.param.watch(lambda *_: self.request(), names)
        self.state.param.watch(lambda *_: self._sigma_changed(), ["sigma", "follow_resolution"])

    @property
    def active(self) -> bool:
        """Whether somebody looks at it; else nothing is computed."""
        return self._is_active

    @active.setter
    def active(self, active: bool) -> None:
        self._is_active = active
        if active and self._is_stale:
            self.request()

    def request(self) -> None:
        """Show the present state, once somebody looks at it."""
        self._is_stale = not self._is_active
        if self._is_active:
            self._latest.request()

    def _sigma_changed(self) -> None:
        if self.state.smooth_map:
            self.request()


class CombineMode(Viewer):
    """Views with their controls, or an offer of elements where there is nothing to combine.

    A subclass sets what is listed, and calls `_show_offer` when it may have changed.

    Attributes
    ----------
    views : sequence of OnDemand
        They compute while the mode is looked at; the first tells whether it is.
    """

    views: Sequence[OnDemand]
    _layout: pn.Column
    _offer: Viewable
    _with_maps: Sequence[Viewable] = ()
    """Shown while there is something to combine."""

    def __panel__(self) -> pn.Column:
        return self._layout

    def _has_any(self) -> bool:
        """Return whether there is something to combine."""
        raise NotImplementedError

    @property
    def active(self) -> bool:
        """Whether somebody looks at it; else nothing is computed."""
        return self.views[0].active

    @active.setter
    def active(self, active: bool) -> None:
        for view in self.views:
            view.active = active
        self._show_offer()

    def _show_offer(self) -> None:
        has_any = self._has_any()
        for part in self._with_maps:
            part.visible = has_any
        self._offer.visible = self.active and not has_any
