"""A button that copies the address of the present view."""

from __future__ import annotations

from typing import Any, ClassVar

import param
from panel.custom import JSComponent

from .address import encode
from .latest import Settled
from .state import ViewState

__all__ = ["LinkButton"]

_SETTLED_MS = 300

_COPY = """
export function render({model}) {
  const root = document.createElement("div");
  const button = document.createElement("button");
  button.type = "button";
  button.title = "Copy a link to this view: whoever opens it sees the same";
  const icon = `<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path
    fill="currentColor" d="M3.9 12a3.1 3.1 0 0 1 3.1-3.1h4V7H7a5 5 0 0 0 0 10h4v-1.9H7A3.1 3.1 0 0 1
    3.9 12ZM8 13h8v-2H8v2Zm9-6h-4v1.9h4a3.1 3.1 0 0 1 0 6.2h-4V17h4a5 5 0 0 0 0-10Z"/></svg>`;
  button.innerHTML = icon + "<span>Copy link</span>";
  const told = document.createElement("span");
  told.className = "told";
  told.setAttribute("role", "status");
  const field = document.createElement("input");
  field.readOnly = true;
  field.hidden = true;
  field.setAttribute("aria-label", "Link to this view");
  root.append(told, field, button);

  let timer = null;
  const tell = (text) => {
    clearTimeout(timer);
    told.textContent = "";
    // The same words once more are read out again, as they come anew.
    requestAnimationFrame(() => { told.textContent = text; });
    timer = setTimeout(() => { told.textContent = ""; }, 4000);
  };
  const shut = () => { field.hidden = true; };
  field.addEventListener("blur", shut);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { shut(); button.focus(); }
  });

  const address = () => {
    const {origin, pathname} = window.location;
    return origin + pathname + model.query;
  };
  const copied_otherwise = (link) => {
    // Without a secure context (plain http in a lab) there is no navigator.clipboard.
    field.value = link;
    field.hidden = false;
    field.focus();
    field.select();
    try { return document.execCommand("copy"); } catch { return false; }
  };
  button.addEventListener("click", async () => {
    const link = address();
    try {
      await navigator.clipboard.writeText(link);
    } catch {
      if (copied_otherwise(link)) { shut(); button.focus(); }
      else {
        clearTimeout(timer);
        told.textContent = "Press Ctrl+C to copy";
        return;
      }
    }
    tell("Link copied");
  });
  return root;
}
"""

_LOOK = """
div { display: flex; align-items: center; gap: 8px; font-size: 13px; white-space: nowrap; }
button {
  display: inline-flex; align-items: center; gap: 6px; height: 32px; padding: 0 10px;
  font: inherit; font-weight: 500; cursor: pointer; border-radius: 4px; background: transparent;
  color: var(--mui-palette-primary-main, #0072b5);
  border: 1px solid var(--mui-palette-primary-main, #0072b5);
}
button:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
button:focus-visible { outline: 3px solid currentColor; outline-offset: 1px; }
.told { color: var(--mui-palette-text-secondary, #555); }
input {
  font: inherit; height: 32px; box-sizing: border-box; width: min(320px, 40vw); padding: 0 8px;
  color: var(--mui-palette-text-primary, #222);
  background: var(--mui-palette-background-paper, #fff);
  border: 1px solid var(--mui-palette-text-secondary, #666); border-radius: 4px;
}
input[hidden] { display: none; }
"""


class LinkButton(JSComponent):
    """Copies a link to the present view, and says so.

    It is there once it knows what the page calls the scan; a notebook has no address.

    Parameters
    ----------
    state : ViewState
        The view.
    """

    scan_name = param.String(doc="What the address calls the scan; empty if there is no address.")
    query = param.String(doc="Query string of the view, as the browser has it.")

    _esm = _COPY
    _stylesheets: ClassVar[list[str]] = [_LOOK]
    _rename: ClassVar[dict[str, str | None]] = {"scan_name": None}

    def __init__(self, state: ViewState, **params: Any) -> None:
        self._view = state
        super().__init__(**{"visible": False, "margin": 0, **params})
        self._settled = Settled(self._write, _SETTLED_MS)
        self.param.watch(lambda *_: self._write(), "scan_name")
        parts = [name for name in state.param if name not in ("name", "notice")]
        state.param.watch(lambda *_: self._settled.request(), parts)
        self._write()

    def _write(self) -> None:
        """Write the link; its parts may have changed one by one."""
        if self.scan_name:
            self.param.update(query=encode(self._view, self.scan_name), visible=True)
