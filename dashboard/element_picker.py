"""Choose elements: a field to type one, and those that were chosen."""

from __future__ import annotations

import logging
from typing import Any

import param
from panel.custom import JSComponent

from maxrf_core import MaxrfError, ParameterError
from maxrf_core.elements import ELEMENTS, element_named, line_groups

from .data import SharedScan
from .element_lines import ElementLine, line_name
from .element_marks import colour_of, line_label
from .faults import reported
from .latest import Latest
from .state import MAX_ELEMENTS, ViewState
from .text import sentence_of
from .theme import text_colour

__all__ = ["ElementChooser", "ElementPicker"]

logger = logging.getLogger(__name__)

_SYMBOLS = frozenset(element.symbol for element in ELEMENTS)
_FAINTEST = 0.01
"""Share of an element's photons; no fainter line is suggested."""


class ElementChooser(param.Parameterized):
    """What happens to the elements of a state when a visitor chooses one, wherever they do.

    An element that is added stands on the spectrum, and its window becomes the state's.

    Parameters
    ----------
    shared : SharedScan
        The scan.
    state : ViewState
        Whose elements and window are set.
    """

    complaint = param.String(doc="What was wrong with the last choice; empty if nothing was.")
    lines = param.Dict(default={}, doc="ElementLine of each element chosen, by name, if it has one")

    def __init__(self, shared: SharedScan, state: ViewState) -> None:
        super().__init__()
        self._shared, self._state = shared, state
        self._wanted: list[str] = []
        self._latest = Latest(self._find, self._show, self._fail)
        state.param.watch(lambda *_: self._latest.request(), "elements")
        self._show(self._find())

    def add(self, text: str) -> None:
        """Add the element or line that a text names, or say why it cannot be."""
        try:
            name = line_name(text)
        except ParameterError as error:
            self.complaint = _sentence(error)
            return
        self._wanted.append(name)
        self._latest.request()

    def add_all(self, symbols: tuple[str, ...]) -> None:
        """Add elements to those that are there, as far as there is room; the window stays."""
        there = {name.partition(" ")[0] for name in self._state.elements}
        new = [symbol for symbol in symbols if symbol not in there]
        room = MAX_ELEMENTS - len(self._state.elements)
        self._state.elements = (*self._state.elements, *new[:room])
        left_out = ", ".join(new[room:])
        self.complaint = (
            f"There is room for {MAX_ELEMENTS} elements; {left_out} had to stay out."
            if left_out
            else ""
        )

    def toggle(self, symbol: str) -> None:
        """Add an element, or remove it and its lines if it is there."""
        there = [name for name in self._state.elements if name.partition(" ")[0] == symbol]
        if not there:
            self.add(symbol)
            return
        self._state.elements = tuple(n for n in self._state.elements if n not in there)
        self.complaint = ""

    def remove(self, name: str) -> None:
        """Remove an element or line."""
        self._state.remove_element(name)
        self.complaint = ""

    def show(self, name: str) -> None:
        """Make the window of an element that was chosen the state's."""
        line = self.lines.get(name)
        if line is not None:
            self._state.window = line.window
            self.complaint = ""

    def _find(self) -> tuple[list[str], dict[str, ElementLine], dict[str, str]]:
        """Return what is to be added, the lines of it and of all chosen, and what has none."""
        wanted, lines, without = list(self._wanted), {}, {}
        for name in (*self._state.elements, *wanted):
            try:
                lines[name] = self._shared.elements.line(name)
            except MaxrfError as error:  # none of its lines lies on the axis
                without[name] = _sentence(error)
        return wanted, lines, without

    def _show(self, found: tuple[list[str], dict[str, ElementLine], dict[str, str]]) -> None:
        wanted, lines, without = found
        del self._wanted[: len(wanted)]
        self.lines = lines
        for name in wanted:
            self.complaint = without.get(name, "")
            if name in lines:
                self._state.add_element(name)
                self._state.window = lines[name].window

    def _fail(self, error: Exception) -> None:
        told = reported(logger, "the lines of the elements could not be found", error)
        self._wanted.clear()
        self.complaint = f"The lines of the elements could not be found: {told}"


def _sentence(error: MaxrfError) -> str:
    text = sentence_of(error)
    return text[:1].upper() + text[1:]


_ESM = """
export function render({model, el}) {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const field = make("input", {
    type: "text", id: "field", maxLength: 64, autocomplete: "off", spellcheck: false,
    placeholder: "Fe, iron, Pb La …",
  });
  field.setAttribute("list", "names");
  field.setAttribute("aria-describedby", "complaint");
  const names = make("datalist", {id: "names"});
  const label = make("label", {htmlFor: "field", textContent: "Add element or line"});
  const complaint = make("div", {id: "complaint", className: "complaint"});
  complaint.setAttribute("role", "alert");
  const chips = make("ul", {className: "chips", ariaLabel: "Elements chosen"});
  const typed = make("form", {}, label, field, names);
  let asked = "", waits = false;

  const offer = () => names.replaceChildren(...[...model.options, ...model.line_options].map(
    ([value, text]) => make("option", {value, label: text})));
  const say = () => {
    complaint.textContent = model.complaint;
    const was_wrong = field.getAttribute("aria-invalid") === "true";
    field.setAttribute("aria-invalid", model.complaint !== "");
    if (model.complaint !== "") waits = false;
    else if (was_wrong) field.value = "";
  };
  const list = () => {
    const focused = el.getRootNode().activeElement?.dataset.key;
    if (waits) field.value = "";
    waits = false;
    chips.replaceChildren(...model.chips.map((chip) => {
      const show = make("button", {
        type: "button", className: "show", textContent: chip.label, title: chip.tip,
      });
      show.setAttribute("aria-pressed", chip.is_shown);
      show.onclick = () => model.send_msg({show: chip.name});
      const remove = make("button", {type: "button", className: "remove", textContent: "×"});
      remove.setAttribute("aria-label", `Remove ${chip.label}`);
      remove.onclick = () => {
        const others = [...chips.querySelectorAll(".remove")];
        (others[others.indexOf(remove) + 1] ?? others[others.indexOf(remove) - 1] ?? field).focus();
        model.send_msg({remove: chip.name});
      };
      show.dataset.key = `show ${chip.name}`;
      remove.dataset.key = `remove ${chip.name}`;
      const item = make("li", {className: chip.is_shown ? "chip shown" : "chip"}, show, remove);
      item.style.setProperty("--fill", chip.fill);
      item.style.setProperty("--ink", chip.ink);
      return item;
    }));
    if (focused) [...chips.querySelectorAll("button")]
      .find((button) => button.dataset.key === focused)?.focus();
  };
  typed.onsubmit = (event) => {
    event.preventDefault();
    if (field.value.trim() === "") return;
    waits = true;  // for the chip: a wrong text stays, to be mended
    model.send_msg({add: field.value});
    field.select();
  };
  field.oninput = () => {
    const words = field.value.trim().toLowerCase();
    const named = model.options.find(([value, text]) =>
      [value.toLowerCase(), text.toLowerCase()].some((one) => words.split(" ")[0] === one));
    if (named && named[0] !== asked) model.send_msg({lines_of: asked = named[0]});
  };
  model.on("options", offer);
  model.on("line_options", offer);
  model.on("complaint", say);
  model.on("chips", list);
  offer(); say(); list();
  el.append(typed, complaint, chips);
}
"""

_STYLE = """
:host { display: block; font-family: var(--mui-font-family, Roboto, Helvetica, Arial, sans-serif); }
form { position: relative; margin: 8px 0 0; }
label {
  position: absolute; left: 9px; top: -7px; padding: 0 4px; font-size: 11px;
  color: var(--mui-palette-text-secondary, inherit);
  background: var(--mui-palette-background-paper, Canvas);
}
input {
  box-sizing: border-box; width: 100%; height: 38px; padding: 0 12px;
  font: inherit; font-size: 15px;
  color: var(--mui-palette-text-primary, inherit); background: transparent;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); border-radius: 4px;
}
input::placeholder { color: var(--mui-palette-text-secondary, inherit); opacity: 1; }
input:focus, button:focus-visible {
  outline: 2px solid var(--mui-palette-primary-main, #0072b5); outline-offset: -1px;
}
input[aria-invalid=true] { border-color: var(--mui-palette-error-main, #d32f2f); }
.complaint { font-size: 12.5px; line-height: 1.35; margin: 4px 2px 0;
  color: var(--mui-palette-error-main, #d32f2f); }
.complaint:empty { display: none; }
.chips { display: flex; flex-wrap: wrap; gap: 5px; margin: 8px 0 4px; padding: 0;
  list-style: none; }
.chip { display: flex; border-radius: 14px; background: var(--fill); color: var(--ink); }
.chip.shown { box-shadow: 0 0 0 2px var(--mui-palette-background-paper, Canvas),
  0 0 0 4px var(--mui-palette-text-primary, CanvasText); }
button {
  min-height: 28px; border: 0; background: transparent; color: inherit; font: inherit;
  font-size: 13px; cursor: pointer; border-radius: 14px;
}
.show { padding: 0 2px 0 11px; font-weight: 500; }
.remove { padding: 0 9px 0 5px; font-size: 17px; line-height: 1; }
@media (pointer: coarse) { button { min-height: 38px; } .remove { padding: 0 14px 0 9px; } }
"""


class ElementPicker(JSComponent):
    """A field in which an element or a line is typed, and the chosen ones below it.

    A click on one makes its window the map's, its cross removes it.

    Parameters
    ----------
    chooser : ElementChooser
        What it tells of, and asks.
    state : ViewState
        Whose elements and window it shows.

    Notes
    -----
    Plain HTML in one component: panel-material-ui's AutocompleteInput sends what was typed and
    what was picked one after the other, so that "ir", iron picked from the list, adds iridium.
    """

    options = param.List(doc="Value and words of each suggestion.")
    line_options = param.List(doc="The same, of the lines of the element being typed.")
    complaint = param.String()
    chips = param.List()

    _esm = _ESM
    _stylesheets = [_STYLE]  # noqa: RUF012 - as Panel has it

    def __init__(self, chooser: ElementChooser, state: ViewState, **params: Any) -> None:
        super().__init__(options=[[e.symbol, e.name] for e in ELEMENTS], **params)
        self._chooser, self._state = chooser, state
        chooser.param.watch(lambda *_: self._say(), "complaint")
        chooser.param.watch(lambda *_: self._list(), "lines")
        state.param.watch(lambda *_: self._list(), ["elements", "window"])
        self._say()
        self._list()

    def _say(self) -> None:
        self.complaint = self._chooser.complaint

    def _list(self) -> None:
        self.chips = [self._chip(number, name) for number, name in enumerate(self._state.elements)]

    def _chip(self, number: int, name: str) -> dict[str, Any]:
        line, fill = self._chooser.lines.get(name), colour_of(number)
        tip = ""
        if line is not None:
            low, high = line.window
            tip = f"Map of {line_label(line.group.name)}, {low:.3f}–{high:.3f} keV"
        return {
            "name": name,
            "label": line_label(name),
            "tip": tip,
            "fill": fill,
            "ink": text_colour(fill),
            "is_shown": line is not None and line.window == self._state.window,
        }

    def _handle_msg(self, data: Any) -> None:
        """Do what the browser asks for; what no page of ours sends is passed over."""
        match data:
            case {"add": str(text)}:
                self._chooser.add(text)
            case {"show": str(name)}:
                self._chooser.show(name)
            case {"remove": str(name)}:
                self._chooser.remove(name)
            case {"lines_of": str(symbol)} if symbol in _SYMBOLS:
                self.line_options = _lines_of(symbol)


def _lines_of(symbol: str) -> list[list[str]]:
    """Return the suggestions of an element's lines."""
    return [
        [group.name, f"{line_label(group.name)} of {name}, {group.energy_kev:.2f} keV"]
        for name in [element_named(symbol).name]
        for group in line_groups(symbol)
        if group.intensity > _FAINTEST
    ]
