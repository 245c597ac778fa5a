"""The browser's part of `dashboard.views_dialog`."""

from __future__ import annotations

__all__ = ["ESM", "STYLE"]

ESM = """
export function render({model, el}) {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const field = make("input", {
    type: "text", id: "name", maxLength: model.longest_name, autocomplete: "off",
    placeholder: "such as: the blue robe",
  });
  const form = make("form", {}, make("label", {htmlFor: "name", textContent: "Name"}), field,
    make("button", {type: "submit", textContent: "Save this view"}));
  form.onsubmit = (event) => {
    event.preventDefault();
    if (field.value.trim() === "") { field.focus(); return; }
    model.send_msg({save: field.value});
    field.value = "";
  };
  const told = make("p", {className: "told"});
  const allow = () => {
    told.textContent = model.may_keep
      ? "Elements, regions, windows, zoom and all settings, kept beside the scan for everybody."
      : "Views that an owner of the scan keeps beside it. Your own you can save as a file.";
    form.hidden = !model.may_keep;
    fill();
  };
  const said = make("div", {className: "said"});
  said.setAttribute("role", "status");
  const list = make("ul", {ariaLabel: "Saved views"});
  const chosen = make("input", {type: "file", accept: ".json,application/json", hidden: true});
  chosen.onchange = async () => {
    const [file] = chosen.files;
    if (!file) return;
    if (file.size > model.most_bytes) said.textContent = "That file is too large to be a view.";
    else model.send_msg({open: await file.text()});
    chosen.value = "";
  };
  chosen.setAttribute("aria-label", "File of a view");
  const files = make("div", {className: "files"},
    make("button", {type: "button", textContent: "Save as a file",
      onclick: () => model.send_msg("file")}),
    make("button", {type: "button", textContent: "Open a file …", onclick: () => chosen.click()}),
    chosen);
  const fill = () => {
    const focused = el.getRootNode().activeElement?.dataset?.key;
    list.replaceChildren(...model.names.map((name) => {
      const load = make("button", {type: "button", className: "load", textContent: name,
        title: "Load this view", onclick: () => model.send_msg({load: name})});
      const remove = make("button", {type: "button", textContent: "Delete",
        ariaLabel: `Delete ${name}`});
      let is_sure = false;
      remove.onclick = () => {
        if (is_sure) { model.send_msg({delete: name}); return; }
        is_sure = true;
        remove.textContent = "Really delete?";
      };
      remove.onblur = () => { is_sure = false; remove.textContent = "Delete"; };
      load.dataset.key = name;
      return make("li", {}, load, ...(model.may_keep ? [remove] : []));
    }));
    if (focused) [...list.querySelectorAll(".load")]
      .find((one) => one.dataset.key === focused)?.focus();
  };
  const say = () => { said.textContent = model.said; };
  const give = () => {
    const {name, text} = model.file;
    if (!text) return;
    const url = URL.createObjectURL(new Blob([text], {type: "application/json"}));
    make("a", {href: url, download: name}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  model.on("names", fill);
  model.on("said", say);
  model.on("file", give);
  model.on("may_keep", allow);
  allow(); say();
  el.append(told, form, list, files, said);
}
"""

STYLE = """
:host { display: block; font: 14px Roboto, Helvetica, Arial, sans-serif;
  color: var(--mui-palette-text-primary, inherit); }
.told { margin: 0 0 10px; }
[hidden] { display: none !important; }
form, .files { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 8px 0; }
input[type=text] { flex: 1; min-width: 120px; height: 34px; padding: 0 8px; font: inherit;
  color: inherit; background: transparent; border-radius: 4px;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
button { min-height: 34px; padding: 0 12px; font: inherit; cursor: pointer; color: inherit;
  background: transparent; border-radius: 6px;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
button:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
button:focus-visible, input:focus-visible {
  outline: 2px solid var(--mui-palette-primary-main, #0072b5); outline-offset: 1px; }
ul { list-style: none; margin: 8px 0; padding: 0; }
li { display: flex; gap: 8px; margin: 4px 0; }
.load { flex: 1; min-width: 0; text-align: left; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.said { min-height: 20px; margin: 8px 0; overflow-wrap: anywhere; }
@media (pointer: coarse) { button { min-height: 40px; } }
"""
