"""The table of point pairs: places in photo and map as numbers, for keys as well as hands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

__all__ = ["PairTable"]

_FURTHEST = 1e9

_ESM = """
export function render({model, el}) {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const heads = ["photo x", "photo y", "map x", "map y"];
  const complaint = make("div", {className: "complaint"});
  complaint.setAttribute("role", "alert");
  const body = make("tbody");
  const head = make("tr", {}, ...["", ...heads, "off by", ""].map((text) => {
    const cell = make("th", {textContent: text});
    cell.setAttribute("scope", "col");
    return cell;
  }));
  const table = make("table", {ariaLabel: "Point pairs"}, make("thead", {}, head), body);
  const number = (label, key, value) => {
    const made = make("input", {type: "number", step: "any", ariaLabel: label, value});
    made.dataset.key = key;
    return made;
  };
  const cell = (...children) => make("td", {}, ...children);
  const typed = heads.map((text) => number(`${text} of a new pair`, `new ${text}`, ""));
  const add = make("button", {type: "submit", textContent: "Add", title: "Add the pair"});
  add.setAttribute("form", "new-pair");
  const form = make("form", {id: "new-pair"});
  for (const one of typed) one.setAttribute("form", "new-pair");
  form.onsubmit = (event) => {
    event.preventDefault();
    model.send_msg({add: typed.map(({value}) => value === "" ? null : Number(value))});
  };
  const last = make("tr", {className: "new"}, make("th", {textContent: "+"}),
    ...typed.map((one) => cell(one)), cell(), cell(add));
  const fill = () => {
    const focused = el.getRootNode().activeElement?.dataset?.key;
    const grown = model.rows.length > body.children.length - 1 && body.children.length > 0;
    body.replaceChildren(...model.rows.map((row, k) => {
      const inputs = row.values.map((value, axis) => {
        const made = number(`${heads[axis]} of pair ${k + 1}`, `${row.id} ${axis}`, value);
        made.onchange = () => model.send_msg(
          {set: row.id, axis, to: made.value === "" ? null : Number(made.value)});
        return cell(made);
      });
      const remove = make("button", {type: "button", textContent: "×", className: "remove"});
      remove.setAttribute("aria-label", `Remove pair ${k + 1}`);
      remove.title = `Remove pair ${k + 1}`;
      remove.dataset.key = `remove ${row.id}`;
      remove.onclick = () => {
        const others = [...body.querySelectorAll(".remove")], here = others.indexOf(remove);
        (others[here + 1] ?? others[here - 1] ?? typed[0]).focus();
        model.send_msg({remove: row.id});
      };
      const name = make("th", {textContent: k + 1});
      name.setAttribute("scope", "row");
      return make("tr", {className: row.is_worst ? "worst" : ""}, name, ...inputs,
        make("td", {className: "off", textContent: row.off}), cell(remove));
    }), last);
    if (grown) for (const one of typed) one.value = "";
    if (focused) [...body.querySelectorAll("button, input")]
      .find((one) => one.dataset.key === focused)?.focus();
  };
  const say = () => { complaint.textContent = model.complaint; };
  model.on("rows", fill);
  model.on("complaint", say);
  fill(); say();
  el.append(complaint, form, make("div", {className: "scroll"}, table));
}
"""

_STYLE = """
:host { display: block; font-family: var(--mui-font-family, Roboto, Helvetica, Arial, sans-serif);
  color: var(--mui-palette-text-primary, inherit); }
.complaint { font-size: 14px; line-height: 1.4; margin: 4px 2px;
  color: var(--mui-palette-error-main, #d32f2f); }
.complaint:empty { display: none; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { font-weight: 500; padding: 2px 6px; text-align: right; white-space: nowrap; }
thead th { color: var(--mui-palette-text-secondary, inherit); font-size: 12px; }
td { padding: 2px 4px; white-space: nowrap; }
td.off { text-align: right; padding: 2px 8px; }
.worst .off { font-weight: 700; }
input { box-sizing: border-box; width: 92px; height: 30px; padding: 0 6px; font: inherit;
  color: inherit; background: transparent; border-radius: 4px; text-align: right;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
button { min-height: 28px; min-width: 30px; padding: 0 9px; font: inherit; cursor: pointer;
  color: inherit; background: transparent; border-radius: 14px;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
button:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
button:focus-visible, input:focus-visible {
  outline: 2px solid var(--mui-palette-primary-main, #0072b5); outline-offset: 1px; }
.remove { border: 0; font-size: 17px; }
@media (pointer: coarse) { button { min-height: 38px; min-width: 38px; } input { height: 38px; } }
"""


class PairTable(JSComponent):
    """Point pairs as numbers, with what is wrong with them.

    Parameters
    ----------
    on_set : callable
        Called with a pair's id, which of its four numbers was changed, and the new one.
    on_add : callable
        Called with the four numbers of a new pair.
    on_remove : callable
        Called with the id of a pair that is to go.
    """

    rows = param.List(doc="id, values, off and is_worst of each pair.")
    complaint = param.String(doc="What is wrong; empty if nothing is.")

    _esm = _ESM
    _stylesheets = [_STYLE]  # noqa: RUF012 - as Panel has it

    def __init__(
        self,
        on_set: Callable[[int, int, float], None],
        on_add: Callable[[list[float]], None],
        on_remove: Callable[[int], None],
        **params: Any,
    ) -> None:
        super().__init__(**params)
        self._on_set, self._on_add, self._on_remove = on_set, on_add, on_remove

    def _handle_msg(self, data: Any) -> None:
        """Do what the browser asks for; what no page of ours sends is passed over."""
        match data:
            case {"set": int(pair), "axis": 0 | 1 | 2 | 3 as axis, "to": to}:
                if _is_number(to):
                    self._on_set(pair, axis, float(to))
                else:
                    self.complaint = "A place is a number; the pair stays as it was."
                    self.param.trigger("rows")
            case {"add": [_, _, _, _] as numbers}:
                if all(map(_is_number, numbers)):
                    self._on_add([float(one) for one in numbers])
                else:
                    self.complaint = "A pair is four numbers: x and y in the photo and in the map."
            case {"remove": int(pair)}:
                self._on_remove(pair)


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and abs(value) <= _FURTHEST
