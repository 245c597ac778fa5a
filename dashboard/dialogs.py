"""What all dialogs have in common."""

from __future__ import annotations

from typing import Literal

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewer

__all__ = ["WithDialog", "dialog", "waiting"]

_CLOSE = {"& [aria-label=close]": {"color": "text.primary"}}
"""Its own grey can hardly be seen on a dark dialog."""


class WithDialog(Viewer):
    """A button, and the dialog that it opens.

    Attributes
    ----------
    button : Button
        Stands wherever the layout has it.
    dialog : Dialog
        Stands anywhere on the page: it is over all of it when it is open.
    """

    button: pmui.Button
    dialog: pmui.Dialog

    def __panel__(self) -> pn.Column:
        """Return button and dialog."""
        return pn.Column(self.button, self.dialog, margin=0)


def dialog(
    title: str, width: Literal["sm", "md", "lg", "xl"], *, close_on_click: bool = True
) -> pmui.Dialog:
    """Return an empty dialog that a cross, Escape and a click beside it close."""
    return pmui.Dialog(
        title=title,
        close_on_click=close_on_click,
        show_close_button=True,
        width_option=width,
        sx=_CLOSE,
    )


def waiting() -> pmui.LinearProgress:
    """Return a bar for work that does not tell how far it is."""
    return pmui.LinearProgress(sizing_mode="stretch_width")
