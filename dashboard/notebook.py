"""What notebooks need beyond Panel's own `extension`: a light page, all of it from this machine.

Measured in JupyterLab 4.6 with Panel 1.9.4 and panel-material-ui 0.16.6:

- Panel repeats panel-material-ui's bundle, 1.4 MB, in each component: the explorer weighed 48 MB.
  Here it is in the page once.
- The font of the icons was missing, so that buttons showed the icons' names.
- What changed after it was shown asked a server on the internet for its style sheets.
- What cells set before the browser had drawn could arrive in another order, the oldest last.
- What a handler of a property changed, such as that of the window dragged on the spectrum, was sent
  to nobody.

The private names that this takes are all here; `tests/browser/test_jupyterlab.py` fails when a new
version takes one of them away.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import panel as pn
import panel_material_ui as pmui
from bokeh.document import Document
from bokeh.document.callbacks import invoke_with_curdoc
from bokeh.model import Model
from bokeh.models.css import ImportedStyleSheet, InlineStyleSheet
from panel.io.notebook import JupyterCommManagerBinary, push
from panel.io.resources import CDN_DIST, DIST_DIR, LOCAL_DIST
from panel.reactive import Syncable
from panel.viewable import Viewable
from panel_material_ui.base import DIST_PATH, MaterialComponent
from pyviz_comms import JupyterComm

from .tuning import tune

__all__ = ["extension"]

_NAME = f"panel-material-ui {pmui.__version__}"

_LOAD = """
(() => {{
  if (window[{name}]) return;
  const script = new Blob([{source}], {{type: "text/javascript"}});
  const style = document.createElement("style");
  style.textContent = {style};
  document.head.append(style);
  window[{name}] = URL.createObjectURL(script);
}})();
"""

_COMPONENT = f"export default (await importShim(window[{json.dumps(_NAME)}])).default;"
"""What each component has instead of the bundle; `importShim` is of Panel's own scripts."""

_ICON_FONT = "material-icons-[!o]*.woff2"  # not the outlined ones
_ICON_CLASS = """
.material-icons {
  font-family: "Material Icons"; font-feature-settings: "liga"; font-style: normal;
  letter-spacing: normal; line-height: 1; text-transform: none; white-space: nowrap;
}
"""
"""Of each component: its shadow is not reached by a style of the page, a font is."""


def extension() -> None:
    """Load what the views need into a notebook, from this machine alone.

    Call it once, before the first view. Panel's own `extension` would fetch its scripts
    from the internet, and a lab's network may be closed.
    """
    tune()
    ipython = sys.modules.get("IPython")  # in a plain script there is no page to load into
    if ipython is not None and ipython.get_ipython() is not None:
        if not issubclass(JupyterCommManagerBinary.server_comm, OrderedComm):
            _patch_panel()
        ipython.display.publish_display_data({"application/javascript": _loading_script()})
    pn.extension(inline=True)


def _patch_panel() -> None:
    """Put what is missing for notebooks into Panel, once."""
    JupyterCommManagerBinary.server_comm = OrderedComm
    for owner, name, with_more in (
        (MaterialComponent, "_get_model", _with_bundle_once),
        (Syncable, "_process_param_change", _with_styles_inline),
        (Viewable, "_on_msg", _with_answers_sent),
    ):
        setattr(owner, name, with_more(getattr(owner, name)))


class OrderedComm(JupyterComm):
    """A way to a view that keeps what is sent before the browser opened it, in order.

    When all cells run at once the browser opens it after them. Panel itself tries each message
    again by a timer of its own (`panel.io.notebook.push`).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._comm = _Waiting()

    def init(self) -> None:
        """Open it, and send what waits."""
        waiting = self._comm
        super().init()
        if isinstance(waiting, _Waiting):
            for message in waiting.messages:
                self._comm.send(**message)


class _Waiting:
    """Stands for a comm that is not open yet."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = ()) -> None:
        self.messages.append({"data": data, "metadata": metadata, "buffers": buffers})

    def close(self) -> None:
        self.messages.clear()


@cache
def _loading_script() -> str:
    """Return what puts the bundle and the icons into a page, once."""
    bundle = (DIST_PATH / "panel-material-ui.bundle.js").read_text(encoding="utf-8")
    (font,) = DIST_PATH.glob(_ICON_FONT)
    source = f"data:font/woff2;base64,{base64.b64encode(font.read_bytes()).decode()}"
    style = f'@font-face {{font-family: "Material Icons"; src: url("{source}")}}'
    return _LOAD.format(name=json.dumps(_NAME), source=json.dumps(bundle), style=json.dumps(style))


def _with_bundle_once(get_model: Callable[..., Model]) -> Callable[..., Model]:
    """Return a `_get_model` whose components refer to the page's bundle, in notebooks."""

    def get_model_with_bundle_once(
        component: MaterialComponent,
        doc: Any,
        root: Any = None,
        parent: Any = None,
        comm: Any = None,
    ) -> Model:
        model = get_model(component, doc, root, parent, comm)
        if isinstance(comm, JupyterComm) and model.bundle not in (None, "url"):
            model.update(esm=_COMPONENT, css_bundle=_ICON_CLASS)
        return model

    return get_model_with_bundle_once


def _with_styles_inline(process: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a `_process_param_change` that puts Panel's style sheets into notebooks whole.

    Panel does so for what is shown first, not for what changes later.
    """

    def process_with_styles_inline(component: Syncable, params: dict[str, Any]) -> dict[str, Any]:
        properties = process(component, params)
        document = pn.state.curdoc
        served = document is not None and document.session_context is not None
        if properties.get("stylesheets") and not served:
            properties["stylesheets"] = [_inline(style) for style in properties["stylesheets"]]
        return properties

    return process_with_styles_inline


def _inline(style: Any) -> Any:
    """Return a style sheet of Panel's as its text; any other as it is."""
    if isinstance(style, ImportedStyleSheet):
        for folder in (CDN_DIST, LOCAL_DIST):
            if style.url.startswith(folder):
                return InlineStyleSheet(css=_text(style.url.removeprefix(folder).split("?")[0]))
    return style


@cache
def _text(name: str) -> str:
    return (DIST_DIR / name).read_text(encoding="utf-8")


def _with_answers_sent(on_msg: Callable[..., None]) -> Callable[..., None]:
    """Return an `_on_msg` that sends what handlers of properties change.

    Panel holds a notebook's document while a message is applied, and Bokeh puts their handlers
    off until it is let go. What they change then goes to nobody: a window dragged on the spectrum
    left the map as it was.
    """

    def on_msg_and_answer(viewable: Viewable, ref: str, manager: Any, msg: Any) -> None:
        *_, document, comm = pn.state._views[ref]  # noqa: SLF001 - no public name; panel 1.9
        document.unhold = lambda: _call_handlers(document, comm.id)
        try:
            on_msg(viewable, ref, manager, msg)
        finally:
            del document.unhold
        push(document, comm)

    return on_msg_and_answer


def _call_handlers(document: Document, sender: str) -> None:
    """Call the handlers of what a browser changed; keep what is to be sent to it."""
    callbacks = document.callbacks
    events = callbacks._held_events  # noqa: SLF001 - no public name; bokeh 3.9
    callbacks._held_events = [  # noqa: SLF001
        event for event in events if event.setter != sender
    ]
    for event in events:
        if event.setter == sender and event.callback_invoker is not None:
            invoke_with_curdoc(document, event.callback_invoker)
