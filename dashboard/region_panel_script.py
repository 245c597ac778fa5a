"""The browser's part of `dashboard.region_panel`: plain HTML, for hands and keys alike."""

from __future__ import annotations

__all__ = ["ESM", "STYLE"]

ESM = """
export function render({model, el}) {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const button = (text, title, act) =>
    make("button", {type: "button", textContent: text, title, onclick: act});
  const hints = {
    rectangle: "Drag a rectangle on the map.",
    lasso: "Drag around the cells on the map.",
    polygon: "Tap the corners on the map; Enter, or a long press on the last one, ends it.",
  };
  const models = () => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()]);
  const draw = (kind) => {
    const name = `${model.tools} ${kind}`, stop = model.drawing === kind;
    for (const plot of models()) {
      const tools = plot.toolbar?.tools ?? [];
      const tool = tools.find((one) => one.name === name);
      if (!tool) continue;
      for (const one of tools)
        if (one !== tool && one.name?.startsWith(model.tools)) one.active = false;
      tool.active = !stop;
      if (stop) tools.find((one) => one.type === "PanTool").active = true;
      else Bokeh.index.find_one(plot)?.el.scrollIntoView({block: "nearest"});
    }
  };
  const drawn = Object.keys(hints).map((kind) => {
    const made = button(kind[0].toUpperCase() + kind.slice(1), hints[kind], () => draw(kind));
    made.dataset.kind = kind;
    return made;
  });
  const visible = button("Visible part", "The rectangle of cells that the map shows now",
    () => model.send_msg("visible"));
  const opener = button("Threshold", "Cells where the map that is shown is within limits", () => {
    form.hidden = !form.hidden;
    opener.setAttribute("aria-expanded", !form.hidden);
    if (!form.hidden) low.focus();
  });
  opener.setAttribute("aria-expanded", false);
  const bar = make("div", {className: "bar"}, ...drawn, visible, opener);
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "New region");

  const field = (text) => make("input", {
    type: "number", step: "any", placeholder: text, ariaLabel: `Cells ${text}`,
  });
  const low = field("from"), high = field("to");
  const form = make("form", {hidden: true, className: "limits"},
    make("span", {textContent: "Map shown"}), low, make("span", {textContent: "–"}), high,
    make("button", {type: "submit", textContent: "Add"}));
  form.onsubmit = (event) => {
    event.preventDefault();
    const [from, to] = [low, high].map(({value}) => value === "" ? null : Number(value));
    model.send_msg({from, to});
  };
  const hint = make("div", {className: "hint"});
  hint.setAttribute("role", "status");
  const complaint = make("div", {className: "complaint"});
  complaint.setAttribute("role", "alert");
  const list = make("ul", {ariaLabel: "Regions"});

  const act = () => {
    hint.textContent = hints[model.drawing] ?? "";
    for (const one of drawn) one.setAttribute("aria-pressed", one.dataset.kind === model.drawing);
  };
  const say = () => { complaint.textContent = model.complaint; };
  const named = (text, label, key, onclick) => {
    const made = button(text, label, onclick);
    made.setAttribute("aria-label", label);
    made.dataset.key = key;
    return made;
  };
  const rename = (row, item, show) => {
    const typed = make("input", {
      type: "text", value: row.name, maxLength: model.longest_name, className: "typed",
      ariaLabel: `New name of ${row.name}`,
    });
    let is_over = false;
    const end = (take) => {
      if (is_over) return;
      is_over = true;
      typed.replaceWith(show);
      if (take && typed.value.trim() !== row.name)
        model.send_msg({rename: row.name, as: typed.value});
      item.querySelector(".rename")?.focus();
    };
    typed.onkeydown = (event) => {
      if (event.key === "Enter" || event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        end(event.key === "Enter");
      }
    };
    typed.onblur = () => end(true);
    show.replaceWith(typed);
    typed.select();
    typed.focus();
  };
  const fill = () => {
    const focused = el.getRootNode().activeElement?.dataset?.key;
    const items = model.rows.map((row) => {
      const item = make("li", {className: row.is_selected ? "selected" : ""});
      const cells = make("span", {className: "cells", textContent: row.cells});
      const show = make("button", {type: "button", className: "show", title: row.tip},
        make("span", {className: "name", textContent: row.name}), cells);
      show.setAttribute("aria-pressed", row.is_selected);
      show.dataset.key = `show ${row.name}`;
      show.onclick = () => model.send_msg({select: row.name});
      const swatch = make("span", {className: row.is_hidden ? "swatch hidden" : "swatch"});
      const edit = named("✎", `Rename ${row.name}`, `edit ${row.name}`,
        () => rename(row, item, show));
      edit.classList.add("rename");
      const hide = named(row.is_hidden ? "Show" : "Hide",
        `${row.is_hidden ? "Show" : "Hide"} ${row.name}`, `hide ${row.name}`,
        () => model.send_msg({hide: row.name}));
      const remove = named("×", `Remove ${row.name}`, `remove ${row.name}`, () => {
        const others = [...list.querySelectorAll(".remove")], here = others.indexOf(remove);
        (others[here + 1] ?? others[here - 1] ?? drawn[0]).focus();
        model.send_msg({remove: row.name});
      });
      remove.classList.add("remove");
      item.style.setProperty("--fill", row.fill);
      item.append(swatch, show, edit, hide, remove);
      return item;
    });
    list.replaceChildren(...items);
    if (focused) [...list.querySelectorAll("button")]
      .find((one) => one.dataset.key === focused)?.focus();
  };
  model.on("rows", fill);
  model.on("drawing", act);
  model.on("complaint", say);
  fill(); act(); say();
  el.append(bar, form, hint, complaint, list);
}
"""

STYLE = """
:host { display: block; font-family: var(--mui-font-family, Roboto, Helvetica, Arial, sans-serif);
  color: var(--mui-palette-text-primary, inherit); }
.bar { display: flex; flex-wrap: wrap; gap: 5px; margin: 4px 0; }
button { min-height: 28px; padding: 0 9px; font: inherit; font-size: 13px; cursor: pointer;
  color: inherit; background: transparent; border-radius: 14px;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
button:hover { background: color-mix(in srgb, currentColor 8%, transparent); }
button:focus-visible, input:focus-visible {
  outline: 2px solid var(--mui-palette-primary-main, #0072b5); outline-offset: 1px; }
.bar button[aria-pressed=true], .bar button[aria-expanded=true] {
  background: color-mix(in srgb, currentColor 20%, transparent); }
.limits { display: flex; align-items: center; gap: 5px; font-size: 13px; margin: 4px 0; }
.limits[hidden] { display: none; }
.limits span:first-child { white-space: nowrap; }
input { box-sizing: border-box; width: 100%; min-width: 0; height: 30px; padding: 0 6px;
  font: inherit; font-size: 14px; color: inherit; background: transparent; border-radius: 4px;
  border: 1px solid color-mix(in srgb, currentColor 45%, transparent); }
.hint { font-size: 12.5px; line-height: 1.35; margin: 4px 2px; }
.complaint { font-size: 12.5px; line-height: 1.35; margin: 4px 2px;
  color: var(--mui-palette-error-main, #d32f2f); }
.hint:empty, .complaint:empty { display: none; }
ul { list-style: none; margin: 4px 0; padding: 0; }
li { display: flex; align-items: center; gap: 2px; border-radius: 6px; padding: 1px 2px 1px 6px; }
li.selected { background: color-mix(in srgb, currentColor 12%, transparent); }
li button { border: 0; padding: 0 6px; border-radius: 6px; }
.swatch { flex: none; width: 12px; height: 12px; border-radius: 3px; background: var(--fill);
  border: 2px solid var(--fill); }
.swatch.hidden { background: transparent; }
.show { flex: 1; min-width: 0; text-align: left; padding: 3px 6px; line-height: 1.2; }
.name, .cells { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.selected .name { font-weight: 600; }
.cells { font-size: 11.5px; color: var(--mui-palette-text-secondary, inherit);
  font-variant-numeric: tabular-nums; }
.typed { flex: 1; }
.remove { font-size: 17px; }
@media (pointer: coarse) { button { min-height: 38px; } .bar button { padding: 0 13px; } }
"""
