"""What all dialogs have in common."""

from __future__ import annotations

from typing import Literal

import panel_material_ui as pmui

__all__ = ["dialog", "waiting"]

_CLOSE = {"& [aria-label=close]": {"color": "text.primary"}}
"""Its own grey can hardly be seen on a dark dialog."""


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
