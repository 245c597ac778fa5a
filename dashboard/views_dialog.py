"""The dialog of saved views: beside the scan under a name, or as a file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import panel_material_ui as pmui
import param
from panel.custom import JSComponent

from maxrf_core import MaxrfError
from maxrf_core.presets import MAX_PRESET_BYTES
from maxrf_core.regions import MAX_NAME

from .data import SharedScan
from .dialogs import WithDialog, dialog
from .faults import reported
from .latest import Latest
from .rights import may_change, why_not
from .saved_views import (
    delete_view,
    preset_from_text,
    preset_of,
    save_view,
    saved_views,
    text_of,
    view_of,
)
from .state import ViewState
from .text import sentence_of
from .views_script import ESM, STYLE

__all__ = ["ViewsDialog", "ViewsPanel"]

logger = logging.getLogger(__name__)

_Outcome = tuple[dict[str, Any] | None, str, dict[str, str] | None, list[str]]
"""Parameters to set, what to say, a file for the visitor, and names of the views kept."""


class ViewsPanel(JSComponent):
    """A field for a name, the views that are kept, and buttons for files.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What is saved, and set when a view is loaded.
    """

    names = param.List(doc="Of the views kept beside the scan.")
    said = param.String(doc="What came of the last action.")
    file = param.Dict(default={}, doc="Name and text of a file for the visitor.")
    may_keep = param.Boolean(True, doc="Whether the visitor may save and delete.")
    most_bytes = param.Integer(MAX_PRESET_BYTES)
    longest_name = param.Integer(MAX_NAME)

    _esm = ESM
    _stylesheets = [STYLE]  # noqa: RUF012 - as Panel has it

    def __init__(self, shared: SharedScan, state: ViewState, **params: Any) -> None:
        super().__init__(**params)
        self._shared, self._state = shared, state
        self._wanted: list[Callable[[], _Outcome]] = []
        self._latest = Latest(self._work, self._show, self._fail)

    def look(self) -> None:
        """Ask which views are kept."""
        self._do(lambda: (None, "", None))

    def _do(self, action: Callable[[], tuple[Any, str, Any]]) -> None:
        """Do something in a thread; nothing is left out, however fast the visitor is."""

        def done() -> _Outcome:
            try:
                values, said, file = action()
            except MaxrfError as error:
                logger.info("a view was not saved or loaded: %s", error)
                text = sentence_of(error)
                values, said, file = None, text[:1].upper() + text[1:], None
            try:
                names = list(saved_views(self._shared))
            except MaxrfError as error:
                names, said = [], said or sentence_of(error)
            return values, said, file, names

        self._wanted.append(done)
        self._latest.request()

    def _work(self) -> list[_Outcome]:
        outcomes = []
        while self._wanted:
            outcomes.append(self._wanted.pop(0)())
        return outcomes

    def _show(self, outcomes: list[_Outcome]) -> None:
        for values, said, file, names in outcomes:
            self.param.update(names=names, said=said)
            if file is not None:
                self.file = file
            if values is not None:
                self._state.param.update(**values)

    def _fail(self, error: Exception) -> None:
        self.said = reported(logger, "a view could not be saved or loaded", error)

    def _handle_msg(self, data: Any) -> None:
        """Do what the browser asks for; what no page of ours sends is passed over."""
        shared, state = self._shared, self._state
        match data:
            case {"save": str()} | {"delete": str()} if not may_change():
                self.said = why_not()
            case {"save": str(name)}:
                preset = preset_of(state)

                def save() -> tuple[None, str, None]:
                    save_view(shared, name, preset)
                    return None, f"Saved as {name.strip()}.", None

                self._do(save)
            case {"load": str(name)}:
                self._do(lambda: self._loaded(name))
            case {"delete": str(name)}:

                def delete() -> tuple[None, str, None]:
                    delete_view(shared, name)
                    return None, f"Deleted {name}.", None

                self._do(delete)
            case {"open": str(text)}:
                self._do(lambda: self._asked(preset_from_text(text), "The file is loaded."))
            case "file":
                preset = preset_of(state)
                file_name = f"{shared.name}-view.json"
                self._do(lambda: (None, "", {"name": file_name, "text": text_of(preset)}))

    def _loaded(self, name: str) -> tuple[dict[str, Any] | None, str, None]:
        kept = saved_views(self._shared)
        if name not in kept:
            return None, f"There is no view {name} any more.", None
        return self._asked(kept[name], f"Loaded {name}.")

    def _asked(self, preset: Any, said: str) -> tuple[dict[str, Any], str, None]:
        values, notices = view_of(preset, self._shared, self._state)
        return values, " ".join([said, *notices]), None


class ViewsDialog(WithDialog):
    """A button, and the dialog that it opens.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        What is saved, and set when a view is loaded.
    """

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self.panel = ViewsPanel(shared, state, sizing_mode="stretch_width", margin=4)
        self.dialog = dialog("Saved views", "sm")
        self.button = pmui.Button(
            label="Saved views",
            icon="bookmarks",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 0),
            on_click=self._open,
        )

    def _open(self, _: object) -> None:
        if not self.dialog.objects:
            self.dialog[:] = [self.panel]
        self.panel.may_keep = may_change()
        self.dialog.open = True
        self.panel.look()
