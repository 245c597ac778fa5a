"""The periodic table, to choose elements from."""

from __future__ import annotations

import logging
from typing import Any

import panel as pn
import panel_material_ui as pmui
import param
from panel.custom import JSComponent

from maxrf_core.elements import ELEMENTS, TABLE_SHAPE

from .data import SharedScan
from .dialogs import WithDialog, dialog
from .element_marks import colour_of
from .element_picker import ElementChooser
from .faults import reported
from .latest import Latest
from .notice import Notice
from .state import ViewState
from .theme import text_colour

__all__ = ["PeriodicTable", "PeriodicTableDialog"]

logger = logging.getLogger(__name__)

_EXPLAINED = (
    "Choose an element: its lines stand on the spectrum, and its map is shown. Choose it again "
    "to remove it. With the arrows you go from one to the next."
)
_LOOKING = "Looking for peaks …"
_FOUND = "Outlined: elements that the peaks of the scan propose."
_NONE_FOUND = "The peaks of the scan propose no element."

_ESM = """
export function render({model, el}) {
  const table = document.createElement("div"), at = new Map(), buttons = new Map();
  table.className = "table";
  table.setAttribute("role", "group");
  table.setAttribute("aria-label", "Periodic table");
  const rest = (button) => {  // one stop for the Tab key; from there the arrows go on
    for (const other of buttons.values()) other.tabIndex = other === button ? 0 : -1;
  };
  for (const [symbol, name, number, row, column] of model.elements) {
    const button = document.createElement("button"), small = document.createElement("small");
    button.type = "button";
    small.textContent = number;
    button.append(small, symbol);
    button.setAttribute("aria-label", `${name}, ${symbol}, ${number}`);
    button.style.setProperty("--row", row);
    button.style.setProperty("--column", column);
    button.onclick = () => model.send_msg({toggle: symbol});
    button.onfocus = () => rest(button);
    button.onkeydown = (event) => {
      const to = {
        ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const flows = getComputedStyle(table).getPropertyValue("--flows").trim() === "1";
      if (flows) return walk(symbol, to);
      const [rows, columns] = model.shape;
      for (let r = row, c = column; ;) {
        r += to[0]; c += to[1];
        if (r < 1 || c < 1 || r > rows || c > columns) return;
        const next = at.get(`${r} ${c}`);
        if (next) return next.focus();
      }
    };
    at.set(`${row} ${column}`, button);
    buttons.set(symbol, button);
    table.append(button);
  }
  const walk = (symbol, [down, right]) => {  // in rows as they fill the width of a phone
    const all = [...buttons.values()], here = buttons.get(symbol).getBoundingClientRect();
    if (right) return all[all.indexOf(buttons.get(symbol)) + right]?.focus();
    const beyond = all.map((button) => [button, button.getBoundingClientRect()])
      .filter(([, box]) => Math.abs(box.x - here.x) < 4 && (box.y - here.y) * down > 4);
    beyond.sort(([, a], [, b]) => Math.abs(a.y - here.y) - Math.abs(b.y - here.y));
    beyond[0]?.[0].focus();
  };
  const mark = () => {
    for (const [symbol, button] of buttons) {
      const chosen = model.chosen[symbol], proposed = model.proposed.includes(symbol);
      button.setAttribute("aria-pressed", chosen !== undefined);
      button.classList.toggle("proposed", proposed);
      button.title = proposed ? "proposed by the peaks" : "";
      button.style.setProperty("--fill", chosen?.[0] ?? "transparent");
      button.style.setProperty("--ink", chosen?.[1] ?? "inherit");
    }
  };
  rest(buttons.values().next().value);
  model.on("chosen", mark);
  model.on("proposed", mark);
  mark();
  el.append(table);
}
"""

_STYLE = """
:host { display: block; }
.table {
  --flows: 0;
  display: grid; grid-template-columns: repeat(18, minmax(0, 1fr)); gap: 3px; padding: 3px;
  font-family: Roboto, Helvetica, Arial, sans-serif;
  color: var(--mui-palette-text-primary, inherit);
}
button {
  grid-row: var(--row); grid-column: var(--column); min-width: 0; height: 42px; padding: 0;
  display: flex; flex-direction: column; align-items: center; justify-content: center;
  border: 1px solid color-mix(in srgb, currentColor 30%, transparent); border-radius: 4px;
  background: var(--fill); color: var(--ink); font: inherit; font-size: 15px; font-weight: 500;
  line-height: 1.1; cursor: pointer;
}
small { font-size: 10px; font-weight: 400; }
button:hover { background: color-mix(in srgb, currentColor 12%, var(--fill)); }
button.proposed {
  border: 2px solid var(--mui-palette-text-primary, currentColor);
}
button:focus-visible {
  outline: 3px solid var(--mui-palette-primary-main, #0072b5); outline-offset: 1px;
}
@media (max-width: 720px) {
  .table { --flows: 1; grid-template-columns: repeat(auto-fill, minmax(40px, 1fr)); gap: 5px; }
  button { grid-row: auto; grid-column: auto; height: 44px; }
}
"""


class PeriodicTable(JSComponent):
    """The table as one component: eighty of panel-material-ui's buttons come too slowly.

    In its place each element has the symbol's button, filled with its colour if it is chosen, with
    an outline if it is proposed. On a phone they follow each other by atomic number.

    Parameters
    ----------
    chooser : ElementChooser
        Is told what is chosen.
    state : ViewState
        Whose elements are filled.
    """

    elements = param.List(doc="Symbol, name, number, row and column of each.")
    shape = param.List(doc="Rows and columns.")
    chosen = param.Dict(default={}, doc="Colours of the field and of the text of those chosen.")
    proposed = param.List(doc="Symbols of those proposed.")

    _esm = _ESM
    _stylesheets = [_STYLE]  # noqa: RUF012 - as Panel has it

    def __init__(self, chooser: ElementChooser, state: ViewState, **params: Any) -> None:
        super().__init__(
            elements=[[e.symbol, e.name, e.number, e.row, e.column] for e in ELEMENTS],
            shape=list(TABLE_SHAPE),
            sizing_mode="stretch_width",
            **params,
        )
        self._chooser, self._state = chooser, state
        state.param.watch(lambda *_: self._fill(), "elements")
        self._fill()

    def _fill(self) -> None:
        filled: dict[str, tuple[str, str]] = {}
        for number, name in enumerate(self._state.elements):
            fill = colour_of(number)
            filled.setdefault(name.partition(" ")[0], (fill, text_colour(fill)))
        self.chosen = filled

    def _handle_msg(self, data: Any) -> None:
        match data:
            case {"toggle": str(symbol)}:
                self._chooser.toggle(symbol)


class PeriodicTableDialog(WithDialog):
    """A button, and the dialog with the periodic table.

    Parameters
    ----------
    shared : SharedScan
        The scan, whose peaks propose elements.
    state : ViewState
        Whose elements are chosen.
    chooser : ElementChooser
        Is told which.
    """

    def __init__(self, shared: SharedScan, state: ViewState, chooser: ElementChooser) -> None:
        super().__init__()
        self._shared, self._state, self._chooser = shared, state, chooser
        self.table: PeriodicTable | None = None
        self._told = pn.Column(_told(_LOOKING), sizing_mode="stretch_width", margin=0)
        self._complaint = Notice(margin=4)
        self.dialog = dialog("Periodic table", "md")
        self.button = pmui.Button(
            label="Periodic table",
            icon="apps",
            variant="outlined",
            size="small",
            sizing_mode="stretch_width",
            margin=(4, 4, 4, 0),
            on_click=self._open,
        )
        self._latest = Latest(lambda: shared.elements.proposed, self._show, self._fail)
        chooser.param.watch(lambda event: self._complain(event.new), "complaint")

    def _open(self, _: object) -> None:
        if self.table is None:
            self.table = PeriodicTable(self._chooser, self._state, margin=0)
            self.dialog[:] = [
                pn.Column(
                    pmui.Typography(_EXPLAINED, variant="body2", margin=4),
                    self._told,
                    self._complaint,
                    self.table,
                    sizing_mode="stretch_width",
                    margin=0,
                )
            ]
            self._latest.request()
        self._chooser.complaint = ""
        self.dialog.open = True

    def _complain(self, sentence: str) -> None:
        self._complaint.text = sentence

    def _show(self, proposed: tuple[str, ...]) -> None:
        self.table.proposed = list(proposed)
        self._told[:] = [_told(_FOUND if proposed else _NONE_FOUND)]

    def _fail(self, error: Exception) -> None:
        told = reported(logger, "no elements could be proposed", error)
        self._told[:] = [_told(f"Peaks could not be looked for: {told}")]


def _told(text: str) -> pmui.Typography:
    return pmui.Typography(text, variant="body2", margin=4)
