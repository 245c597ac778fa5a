"""The object in light under the map: a photo or a mosaic, through which the map fades."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import panel as pn
import param
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from maxrf_core import MaxrfError

from .data import SharedScan
from .latest import Latest
from .light import InLight, look_beside
from .light_pictures import BLANK, mosaic_picture, needed, photo_picture
from .pixels import Bounds, Picture, View
from .state import ViewState
from .text import sentence_of
from .zoomable import Screen

__all__ = ["Underlay"]

_MARGIN, _LEFT_OF_IT = 1 / 8, 1 / 16
"""Beside what is seen: drawn on each side, and left of it before it is drawn anew."""


@dataclass(frozen=True)
class _Laid:
    """What lies beside the scan, what was asked for, and what screens show of it."""

    light: InLight
    kind: str
    number: int
    complaint: str
    pictures: list[tuple[Screen, Picture]]


class Underlay(param.Parameterized):
    """A layer below the map's picture, drawn anew for each zoom.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What lies under the map, and how much of it is to be seen.
    screens : callable
        Returns the plots of the map that are shown.
    together : callable
        Returns the context in which changes go to the browser in one message.
    fail : callable
        Is given what nobody foresaw.

    Attributes
    ----------
    light : InLight
        What there is to lay under the map.
    told : str
        A sentence on what lies there, or why nothing does; empty if nothing is asked for.
    """

    light = param.ClassSelector(class_=InLight)
    told = param.String("")

    def __init__(
        self,
        shared: SharedScan,
        state: ViewState,
        *,
        screens: Callable[[], Iterable[Screen]],
        together: Callable[[], AbstractContextManager],
        fail: Callable[[Exception], None],
    ) -> None:
        super().__init__(light=look_beside(shared))
        self._shared, self._state = shared, state
        self._screens, self._together = screens, together
        self._shown: weakref.WeakKeyDictionary[Screen, Picture] = weakref.WeakKeyDictionary()
        self._laid, self._complaint = "none", ""
        self._drawn = self._wanted = 0
        self._is_ready = False
        self._latest = Latest(self._compute, self._show, fail)
        state.param.watch(lambda *_: self.renew(), "underlay")
        state.param.watch(lambda *_: self._fade(), "map_opacity")
        self.told = self._told_now()

    def add_to(self, plot: figure, screen: Screen) -> None:
        """Add the layer to a plot, whose first renderer is the map's picture."""
        image = plot.renderers[0]
        # Columns of other names than the map's: who looks for its picture finds that one.
        source = ColumnDataSource(_columns(BLANK))
        layer = plot.image_rgba(
            "rgba", x="left", y="bottom", dw="width", dh="height", source=source, level=image.level
        )
        plot.renderers = [layer, *(one for one in plot.renderers if one is not layer)]
        screen.keep(underlay=source, faded=image.glyph)
        self._shown[screen] = BLANK
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._begin()
        else:  # what changes while the browser fetches the page would not reach it
            pn.state.onload(lambda: document.add_next_tick_callback(self._begin))

    def _begin(self) -> None:
        self._is_ready = True
        self.refresh()

    def renew(self) -> None:
        """Look again what lies beside the scan, and draw it."""
        self._wanted += 1
        self.refresh()

    def refresh(self) -> None:
        """Draw what is seen by now, where that is something else, once the browser has the page."""
        if not self._is_ready:
            return
        is_new = self._drawn != self._wanted or self._laid != self._state.underlay
        if is_new or not all(self._is_enough(screen) for screen in self._screens()):
            self._latest.request()

    # --- what is drawn ------------------------------------------------------------------

    @property
    def _home(self) -> Bounds:
        return self._shared.scan.grid.bounds

    def _is_enough(self, screen: Screen) -> bool:
        view, shown = screen.view(), self._shown.get(screen, BLANK)
        if self._complaint or self._laid not in self.light.choices or view is None:
            return True  # there is nothing to draw, or nobody to see it
        wanted = needed(self._home, view, _LEFT_OF_IT)
        return wanted is None or shown.covers(*wanted)

    def _compute(self) -> _Laid:
        kind, number, complaint, pictures = self._state.underlay, self._wanted, "", []
        light = look_beside(self._shared)
        try:
            for screen in list(self._screens()):
                view = screen.view()
                pictures.append((screen, BLANK if view is None else self._draw(light, kind, view)))
        except MaxrfError as error:  # the picture is gone or broken: the map goes on without
            complaint = sentence_of(error)
            pictures = [(screen, BLANK) for screen in self._screens()]
        return _Laid(light, kind, number, complaint, pictures)

    def _draw(self, light: InLight, kind: str, view: View) -> Picture:
        wanted = needed(self._home, view, _MARGIN)
        if wanted is None or kind not in light.choices:
            return BLANK
        if kind == "mosaic":
            return mosaic_picture(light.mosaic, *wanted)
        return photo_picture(light.photo, light.fit, *wanted)

    def _show(self, laid: _Laid) -> None:
        self._laid, self._drawn = laid.kind, laid.number
        self._complaint = laid.complaint
        with self._together():
            for screen, picture in laid.pictures:
                if self._shown.get(screen) is not picture:
                    self._shown[screen] = picture
                    screen.update("underlay", data=_columns(picture))
            self._fade()
        self.light = laid.light
        self.told = self._told_now()
        self.refresh()  # a view may have moved meanwhile

    def _told_now(self) -> str:
        return self._complaint or self.light.told.get(self._state.underlay, "")

    def _fade(self) -> None:
        """Let what lies under the map be seen through it, while something does."""
        for screen in self._screens():
            is_laid = self._shown.get(screen, BLANK) is not BLANK
            screen.update("faded", global_alpha=self._state.map_opacity if is_laid else 1.0)


def _columns(picture: Picture) -> dict[str, list]:
    left, bottom, right, top = picture.bounds
    return {
        "rgba": [picture.levels],
        "left": [left],
        "bottom": [bottom],
        "width": [right - left],
        "height": [top - bottom],
    }
