"""Pages of the page: each is made when it is first looked at, and stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import panel as pn
import panel_material_ui as pmui
from panel.viewable import Viewable, Viewer

from .state import ViewState

__all__ = ["Workspaces"]

_BAR = """
:host { flex-wrap: wrap; justify-content: space-between; align-items: center; gap: 4px;
  min-height: 40px; }
@media (max-width: 424px) { :host { min-height: 84px; } }
"""
"""Two lines on a phone. What stands below must not move when the buttons come, after it."""


class Workspaces(Viewer):
    """A bar to choose from, and what was chosen below it.

    Parameters
    ----------
    state : ViewState
        Whose `workspace` is shown.
    makers : mapping of str to callable
        Makes each of them.
    tools : list of Viewable
        Stand at the right end of the bar.
    """

    def __init__(
        self,
        state: ViewState,
        makers: Mapping[str, Callable[[], Viewable]],
        tools: list[Viewable],
    ) -> None:
        super().__init__()
        self._state, self._makers = state, makers
        self._made: dict[str, Viewable] = {}
        chooser = pmui.RadioButtonGroup.from_param(
            state.param.workspace,
            options={name.capitalize(): name for name in makers},
            label="",
            size="small",
            color="primary",
            margin=0,
        )
        bar = pn.Row(
            chooser,
            pn.Row(
                *tools, align="center", margin=0, styles={"gap": "4px", "align-items": "center"}
            ),
            sizing_mode="stretch_width",
            margin=0,
            stylesheets=[_BAR],
        )
        self._layout = pn.Column(bar, sizing_mode="stretch_width", margin=0)
        self._switch()
        state.param.watch(lambda *_: self._show(), "workspace")

    def __panel__(self) -> pn.Column:
        return self._layout

    def _show(self) -> None:
        """Show what is wanted, now or when the page is there.

        Until the browser tells that it has the page, Panel drops changes of a layout; what is
        patched next in the models that they brought would stop the page.
        """
        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self._switch()
        else:
            pn.state.onload(lambda: document.add_next_tick_callback(self._switch))

    def _switch(self) -> None:
        wanted = self._state.workspace
        for name, made in self._made.items():
            made.visible = name == wanted
        if wanted not in self._made:
            self._made[wanted] = self._makers[wanted]()
            self._layout.append(self._made[wanted])
