"""A sentence that stands out: something was wrong, or passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

from .text import as_text

__all__ = ["Notice"]


class Notice(Viewer):
    """Room for one alert, which is there while there is something to say.

    Parameters
    ----------
    severity : {"warning", "error"}
        How bad it is.
    margin : int or (int, int)
        Around it.
    on_closed : callable, optional
        Lets the visitor close it, and is called when they did.

    Notes
    -----
    Each sentence is a component of its own. Given to one that stands already, a value that
    comes less than a frame after another gets lost: React's effect for the older one, which
    comes late, sets it again (panel 1.9.3, `useState` in ``react_component.ts``).
    """

    def __init__(
        self,
        severity: str = "warning",
        *,
        margin: int | tuple[int, int] = 10,
        on_closed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._severity, self._margin, self._on_closed = severity, margin, on_closed
        self._nothing = pn.Spacer(height=0, margin=0)  # Bokeh warns of an empty layout
        self._layout = pn.Column(self._nothing, sizing_mode="stretch_width", margin=0)
        self._text = ""

    def __panel__(self) -> pn.Column:
        return self._layout

    @property
    def text(self) -> str:
        """What it says, nothing if it is not there."""
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        if text == self._text:
            return
        self._text = text
        self._layout[:] = [self._alert(text) if text else self._nothing]

    def _alert(self, text: str) -> pmui.Alert:
        alert = pmui.Alert(
            object=as_text(text),
            severity=self._severity,
            closeable=self._on_closed is not None,
            margin=self._margin,
            sizing_mode="stretch_width",
        )
        alert.param.watch(self._closed, "closed")
        return alert

    def _closed(self, event: Any) -> None:
        if event.new:
            self.text = ""
            if self._on_closed is not None:
                self._on_closed()
