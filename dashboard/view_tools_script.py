"""The browser's part of `dashboard.view_tools`."""

from __future__ import annotations

__all__ = ["ESM", "STYLE"]

ESM = """
const KEYS = [
  ["?", "This list"],
  ["Ctrl + Z", "Undo: energy window, elements, regions"],
  ["Ctrl + Shift + Z", "Redo"],
  ["E, G, C", "Explore, gallery, combine"],
  ["Shift + arrows", "Pick the cell beside the picked one"],
  ["+, −, 0", "Map: closer, farther, all of it"],
  ["L", "Large screen, for a meeting; again, or Escape, ends it"],
  ["Tab, Enter, Space", "To the next control, and use it; arrows move a slider"],
  ["Gallery", "Arrows move the pointer on a map, Space picks, Enter opens, + − 0 zoom"],
  ["Periodic table", "Arrows go from element to element, Enter marks one"],
  ["Polygon", "Enter ends it, Escape drops it"],
];
const WAYS = {ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
const VIEWS = {e: "explore", g: "gallery", c: "combine"};
const TYPING = "input, textarea, select, [contenteditable], dialog, [role=dialog], [role=slider]";
const LARGER = 1.5;

export function render({model}) {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const drawn = (path) => `<svg viewBox="0 0 24 24" width="19" height="19" aria-hidden="true">` +
    `<path fill="currentColor" d="${path}"/></svg>`;
  const button = (name, title, path, act) => {
    const made = make("button", {type: "button", title, innerHTML: drawn(path), onclick: act});
    made.setAttribute("aria-label", name);
    return made;
  };
  const undo = button("Undo", "Undo (Ctrl + Z)",
    "M12.5 8c-2.65 0-5.05.99-6.9 2.6L2 7v9h9l-3.62-3.62A8 8 0 0 1 20.1 16.5l2.4-.8" +
    "A10.5 10.5 0 0 0 12.5 8Z", () => model.send_msg("undo"));
  const redo = button("Redo", "Redo (Ctrl + Shift + Z)", "M18.4 10.6A10.5 10.5 0 0 0 1.5 15.7" +
    "l2.4.8a8 8 0 0 1 12.7-4.1L13 16h9V7l-3.6 3.6Z", () => model.send_msg("redo"));
  const large = button("Large screen", "Larger text and plots, for a meeting (L)",
    "M3 3h7v2H5v5H3V3Zm11 0h7v7h-2V5h-5V3ZM3 14h2v5h5v2H3v-7Zm16 0h2v7h-7v-2h5v-5Z",
    () => enlarge(!is_large));
  const help = button("Keys", "What the keys do (?)", "M11 18h2v-2h-2v2Zm1-16a10 10 0 1 0 0 20 " +
    "10 10 0 0 0 0-20Zm0 18a8 8 0 1 1 0-16 8 8 0 0 1 0 16Zm0-14a4 4 0 0 0-4 4h2a2 2 0 1 1 4 0" +
    "c0 2-3 1.75-3 5h2c0-2.25 3-2.5 3-5a4 4 0 0 0-4-4Z", () => list.showModal());

  // --- the list of keys ---------------------------------------------------------------
  const rows = KEYS.flatMap(([key, what]) =>
    [make("dt", {textContent: key}), make("dd", {textContent: what})]);
  const close = make("button", {type: "button", textContent: "Close", autofocus: true,
    className: "close", onclick: () => list.close()});
  const list = make("dialog", {}, make("h2", {textContent: "Keys", id: "keys"}),
    make("dl", {}, ...rows), close);
  list.setAttribute("aria-labelledby", "keys");
  list.onclick = (event) => { if (event.target === list) list.close(); };

  // --- large screen -------------------------------------------------------------------
  const sizes = new Map();
  let is_large = false, timer = null, was_open = true;
  const pages = () => Bokeh.documents.flatMap((doc) => doc.roots())
    .filter((root) => root.data && "sidebar_open" in root.data.attributes);
  const grow = () => {  // again and again: other plots come with other workspaces
    for (const doc of Bokeh.documents) for (const one of doc._all_models.values())
      for (const [name, value] of Object.entries(one.attributes)) {
        if (!name.endsWith("_font_size")) continue;
        const size = typeof value === "string" ? value : value?.value;  // of a glyph's texts
        if (typeof size !== "string") continue;
        const kept = sizes.get(one) ?? sizes.set(one, {}).get(one);
        if (kept[name]?.large === value) continue;
        const larger = `${LARGER * parseFloat(size)}${size.replace(/[\\d.]+/, "")}`;
        const large = typeof value === "string" ? larger : {...value, value: larger};
        kept[name] = {usual: value, large};
        one.setv({[name]: large}, {sync: false});
      }
  };
  const shrink = () => {
    for (const [one, kept] of sizes)
      for (const [name, {usual, large}] of Object.entries(kept))
        if (one[name] === large) one.setv({[name]: usual}, {sync: false});
    sizes.clear();
  };
  const enlarge = async (on) => {
    if (on === is_large) return;
    is_large = on;
    large.setAttribute("aria-pressed", on);
    clearInterval(timer);
    if (on) {
      was_open = pages().some((page) => page.data.sidebar_open);
      for (const page of pages()) page.data.sidebar_open = false;
      grow();
      timer = setInterval(grow, 700);
      // A frame, a tablet or a setting may forbid it; the rest is large all the same.
      await document.documentElement.requestFullscreen?.().catch(() => {});
    } else {
      shrink();
      for (const page of pages()) page.data.sidebar_open = was_open;
      if (document.fullscreenElement) await document.exitFullscreen();
    }
  };
  large.setAttribute("aria-pressed", false);
  const left = () => { if (!document.fullscreenElement) enlarge(false); };
  document.addEventListener("fullscreenchange", left);

  // --- keys ---------------------------------------------------------------------------
  const act = (event) => {
    const {key, ctrlKey, metaKey, shiftKey, altKey} = event;
    if (!model.on_page || event.defaultPrevented || altKey) return;
    if (event.composedPath().some((node) => node.matches?.(TYPING))) return;
    const small = key.toLowerCase();
    const send = (message) => { model.send_msg(message); event.preventDefault(); };
    if (ctrlKey || metaKey) {
      if (small === "z") send(shiftKey ? "redo" : "undo");
      if (small === "y") send("redo");
    }
    else if (shiftKey && WAYS[key]) send({move: WAYS[key]});
    else if (key === "?") { list.showModal(); event.preventDefault(); }
    else if (VIEWS[small]) send({view: VIEWS[small]});
    else if (small === "l") enlarge(!is_large);
    else if (key === "Escape" && is_large) enlarge(false);
    else if (key === "+" || key === "=") send({zoom: 1});
    else if (key === "-") send({zoom: -1});
    else if (key === "0") send({zoom: 0});
  };
  document.addEventListener("keydown", act);
  const leave = (event) => {  // a dialog that a click beside it leaves open swallows Escape, too
    if (event.key !== "Escape") return;
    const path = event.composedPath().filter((node) => node.matches);
    const uppermost = path.find((node) => node.matches(".MuiDialog-root, .MuiPopover-root"));
    const is_list = path[0].getAttribute("aria-expanded") === "true";
    if (!is_list && uppermost?.matches(".MuiDialog-root"))
      uppermost.querySelector("[aria-label=close]")?.click();
  };
  document.addEventListener("keydown", leave, true);

  const show = () => { undo.disabled = !model.can_undo; redo.disabled = !model.can_redo; };
  model.on(["can_undo", "can_redo"], show);
  model.on("remove", () => {
    clearInterval(timer);
    document.removeEventListener("keydown", act);
    document.removeEventListener("keydown", leave, true);
    document.removeEventListener("fullscreenchange", left);
  });
  show();
  return make("div", {className: "tools"}, undo, redo, large, help, list);
}
"""

STYLE = """
.tools { display: flex; gap: 2px; }
.tools > button { display: inline-grid; place-items: center; width: 32px; height: 32px; padding: 0;
  border: 0; border-radius: 4px; background: transparent; cursor: pointer;
  color: var(--mui-palette-primary-main, #0072b5); }
button:hover:not(:disabled) { background: color-mix(in srgb, currentColor 10%, transparent); }
button:disabled { cursor: default; color: var(--mui-palette-text-secondary, #666); opacity: .45; }
button:focus-visible { outline: 3px solid currentColor; outline-offset: 1px; }
[aria-pressed=true] { background: color-mix(in srgb, currentColor 18%, transparent); }
dialog { max-width: min(560px, 92vw); padding: 16px 22px; border: 0; border-radius: 8px;
  font: 15px Roboto, Helvetica, Arial, sans-serif;
  color: var(--mui-palette-text-primary, #222);
  background: var(--mui-palette-background-paper, #fff); }
dialog::backdrop { background: #0008; }
h2 { margin: 0 0 10px; font-size: 20px; font-weight: 500; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 7px 18px; margin: 0 0 14px; }
dt { font-weight: 600; } dd { margin: 0; }
.close { min-height: 34px; padding: 0 14px; font: inherit; cursor: pointer; border-radius: 4px;
  color: var(--mui-palette-primary-main, #0072b5); background: transparent;
  border: 1px solid currentColor; }
@media (pointer: coarse) { .tools > button { width: 42px; height: 42px; } }
"""
