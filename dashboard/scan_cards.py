"""Cards of scans in the browser: one component for all of them, so that 200 open at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import param
from panel.custom import JSComponent

__all__ = ["ScanCards"]

_CARDS = """
// Filter, order and place stay while a visitor looks at a scan and comes back.
const kept = window.maxrf_catalogue ??= {filter: "", order: "name", top: 0};

const made = (tag, name, text = "") => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;  // never HTML: names and sentences come from files
  return element;
};

export function render({model, el}) {
  const root = made("section", "catalogue");
  root.setAttribute("aria-label", "Scans");
  const bar = made("div", "bar");
  bar.setAttribute("role", "search");
  const filter = made("input", "filter");
  Object.assign(filter, {type: "search", placeholder: "Filter by name", value: kept.filter});
  filter.setAttribute("aria-label", "Filter by name");
  const order = made("select", "order");
  order.setAttribute("aria-label", "Sort scans");
  for (const [value, text] of [["name", "By name"], ["newest", "Newest first"],
                               ["oldest", "Oldest first"]]) {
    const option = made("option", "", text);
    option.value = value;
    order.append(option);
  }
  order.value = kept.order;
  const told = made("span", "told");
  told.setAttribute("role", "status");
  bar.append(filter, order, told);
  const grid = made("ul", "grid");
  root.append(made("h1", "", "Scans"), bar, grid);

  const compare = new Intl.Collator(undefined, {numeric: true}).compare;
  const cards = new Map();
  for (const {name, folder, link} of model.scans) {
    const item = made("li"), card = made("a", "card"), frame = made("span", "frame");
    card.href = link || "?";
    card.dataset.maxrfGo = "";
    const written = made("span", "written"), lines = {};
    const title = made("span", "name", name);
    title.title = name;
    written.append(title);
    if (folder) written.append(made("span", "line", `in ${folder}`));
    for (const line of ["date", "counted", "size", "fault"])
      written.append(lines[line] = made("span", line === "fault" ? "line fault" : "line"));
    lines.date.textContent = "…";
    card.append(frame, written);
    item.append(card);
    cards.set(name, {name, item, card, frame, lines, date: "", done: false});
  }

  const arrange = () => {
    const text = filter.value.trim().toLocaleLowerCase();
    const all = [...cards.values()];
    all.sort((a, b) => {
      if (order.value === "name") return compare(a.name, b.name);
      const later = a.date < b.date ? 1 : a.date > b.date ? -1 : 0;
      return (order.value === "newest" ? later : -later) || compare(a.name, b.name);
    });
    let shown = 0;
    for (const {name, item} of all) {
      item.hidden = !name.toLocaleLowerCase().includes(text);
      if (!item.hidden) shown++;
    }
    const focused = root.getRootNode().activeElement;
    grid.replaceChildren(...all.map(({item}) => item));
    if (focused && focused !== root.getRootNode().activeElement) focused.focus();
    told.textContent = shown === all.length ? `${shown} scans`
      : shown === 0 ? "No scan has this in its name." : `${shown} of ${all.length} scans`;
  };
  filter.addEventListener("input", () => { kept.filter = filter.value; arrange(); });
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const first = grid.querySelector("li:not([hidden]) a");
    if (first) { event.preventDefault(); first.click(); }
  });
  order.addEventListener("change", () => { kept.order = order.value; arrange(); });

  // --- what the server tells --------------------------------------------------------------

  const placeholder = (frame, text) => frame.replaceChildren(made("span", "nothing", text));
  const tell = (card, news) => {
    const {frame, lines} = card;
    if ("date" in news) {
      card.date = news.date;
      lines.date.textContent = !news.date ? "" : news.measured ? news.date : `file of ${news.date}`;
      lines.date.title = news.measured ? "when it was measured" : "when the file was written";
      lines.counted.textContent = news.counted;
      lines.size.textContent = news.size;
      if (!news.converted && !news.fault) {
        placeholder(frame, "Not converted yet");
        card.done = true;
      }
    }
    if (news.fault) {
      lines.fault.textContent = news.fault;
      placeholder(frame, "Cannot be opened");
      card.done = true;
    }
    if (news.picture) {
      const picture = made("img");
      picture.src = news.picture;
      picture.alt = `Map of ${news.line}`;
      picture.title = news.line;
      frame.replaceChildren(picture);
      card.done = true;
    }
  };
  model.on("msg:custom", ({data, cards: told_cards}) => {
    let dated = false;
    for (const news of told_cards ?? data?.cards ?? []) {
      const card = cards.get(news.name);
      if (card) tell(card, news);
      dated ||= "date" in news;
    }
    if (dated && order.value !== "name") arrange();
  });

  // --- what is in view is looked at first -------------------------------------------------

  const in_view = new Set();
  let waiting = null;
  const ask = () => {
    waiting = null;
    const names = [...in_view].filter((card) => !card.done).map(({name}) => name);
    model.send_msg({wanted: names});
  };
  const observer = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries)
      in_view[isIntersecting ? "add" : "delete"](target.card);
    waiting ??= setTimeout(ask, 60);
  }, {rootMargin: "200px"});
  for (const card of cards.values()) {
    card.item.card = card;
    observer.observe(card.item);
  }
  arrange();

  const remember = () => { if (root.isConnected && root.offsetParent) kept.top = window.scrollY; };
  window.addEventListener("scroll", remember, {passive: true});
  const top = kept.top;
  requestAnimationFrame(() => requestAnimationFrame(() => window.scrollTo(0, top)));
  model.on("remove", () => {
    observer.disconnect();
    clearTimeout(waiting);
    window.removeEventListener("scroll", remember);
  });
  return root;
}
"""

_LOOK = """
.catalogue {
  padding: 8px 16px 24px; box-sizing: border-box; width: 100%;
  color: var(--mui-palette-text-primary, #222); font-family: inherit; font-size: 14px;
}
h1 { font-size: 22px; font-weight: 500; margin: 8px 0; }
.bar { display: flex; flex-wrap: wrap; gap: 8px 12px; align-items: center; margin-bottom: 16px; }
.bar input, .bar select {
  font: inherit; color: inherit; height: 40px; padding: 0 12px; border-radius: 4px;
  background: var(--mui-palette-background-paper, #fff); box-sizing: border-box;
  border: 1px solid var(--mui-palette-text-secondary, #666);
}
.bar input { flex: 1 1 220px; max-width: 360px; min-width: 0; }
.bar option { color: inherit; background: var(--mui-palette-background-paper, #fff); }
.told, .line { color: var(--mui-palette-text-secondary, #555); }
.grid {
  list-style: none; margin: 0; padding: 0; display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(220px, 100%), 1fr));
}
li { content-visibility: auto; contain-intrinsic-size: auto 260px; }
.card {
  display: flex; flex-direction: column; height: 100%; box-sizing: border-box; overflow: hidden;
  color: inherit; text-decoration: none; border-radius: 8px;
  border: 1px solid var(--mui-palette-divider, #ddd);
  background: var(--mui-palette-background-paper, #fff);
}
.card:hover { border-color: var(--mui-palette-primary-main, #0072b5); }
.card:focus-visible, .bar :focus-visible {
  outline: 3px solid var(--mui-palette-primary-main, #0072b5); outline-offset: 1px;
}
.frame {
  display: flex; align-items: center; justify-content: center; height: 150px; padding: 8px;
  background: color-mix(in srgb, currentColor 5%, transparent);
}
.frame img { width: 100%; height: 100%; object-fit: contain; image-rendering: pixelated; }
.nothing { color: var(--mui-palette-text-secondary, #555); }
.written { display: flex; flex-direction: column; gap: 2px; padding: 10px 12px 12px; }
.name { font-weight: 600; font-size: 15px; overflow-wrap: anywhere; }
.line:empty { display: none; }
.line { font-size: 13px; }
.fault { color: var(--mui-palette-error-main, #b3261e); overflow-wrap: anywhere; }
@media (max-width: 599px) {
  .catalogue { padding: 8px 8px 24px; }
  .grid { gap: 10px; }
  .card { flex-direction: row; }
  .frame { flex: 0 0 116px; height: auto; min-height: 108px; padding: 6px; text-align: center; }
  .frame img { height: 108px; }
  .written { min-width: 0; padding: 8px 12px; }
  li { contain-intrinsic-size: auto 122px; }
}
"""


class ScanCards(JSComponent):
    """A grid of cards, one a scan, with a filter and an order.

    A card is a link with the mark ``data-maxrf-go``; the page follows it without loading anew.
    """

    scans = param.List(
        doc="A dict for each scan: its `name`, its `folder` if that tells it from another of "
        "its name, and the `link` to it. Plain text, shown as it stands."
    )

    _esm = _CARDS
    _stylesheets: ClassVar[list[str]] = [_LOOK]

    on_asked: Callable[[list[str]], None] | None = None
    """Called with the names of the scans in view that have no picture yet."""

    def tell(self, cards: list[dict[str, Any]]) -> None:
        """Send what is to be shown on some cards, each named by its `name`."""
        self._send_msg({"cards": cards})

    def _handle_msg(self, data: Any) -> None:
        """Take a message of the browser; anything may stand there."""
        names = data.get("wanted") if isinstance(data, dict) else None
        if isinstance(names, list) and self.on_asked is not None:
            self.on_asked([name for name in names if isinstance(name, str)])
