"""The browser's part of the gallery: maps as canvases, one zoom and one pointer for all."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
.bar { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: center; min-height: 34px;
  font-size: 12px; position: relative; }
.bar button, .open { font: inherit; color: inherit; background: none; cursor: pointer;
  border: 1px solid var(--mui-palette-divider, #8886); border-radius: 4px; padding: 3px 9px; }
.bar button:disabled { opacity: .45; cursor: default; }
.hint { opacity: .8; }
.bar progress { position: absolute; inset: auto 0 0 0; width: 100%; height: 3px; appearance: none;
  border: 0; background: none; accent-color: var(--mui-palette-primary-main, #0072b2); }
.bar progress::-webkit-progress-bar { background: none; }
.bar progress::-webkit-progress-value { background: var(--mui-palette-primary-main, #0072b2); }
.bar progress::-moz-progress-bar { background: var(--mui-palette-primary-main, #0072b2); }
.maps { display: grid; gap: 8px;
  grid-template-columns: repeat(auto-fill, minmax(clamp(150px, 23%, 300px), 1fr)); }
.map { margin: 0; min-width: 0; display: flex; flex-direction: column; gap: 2px;
  border: 1px solid var(--mui-palette-divider, #8886); border-radius: 6px; padding: 4px 6px; }
.map header, .map footer { display: flex; align-items: center; gap: 6px; font-size: 11px;
  white-space: nowrap; min-width: 0; }
.line { font-size: 13px; font-weight: 600; }
.window { overflow: hidden; text-overflow: ellipsis; flex: 1; min-width: 0; opacity: .85; }
.open { padding: 0 6px; font-size: 11px; line-height: 20px; }
.frame { position: relative; overflow: hidden; cursor: crosshair; border-radius: 2px;
  background: var(--mui-palette-action-hover, #8882); user-select: none; }
.frame:focus-visible, .bar button:focus-visible, .open:focus-visible {
  outline: 3px solid var(--mui-palette-primary-main, #0072b2); outline-offset: 1px; }
canvas { display: block; width: 100%; height: 100%; }
.waiting canvas { opacity: .35; transition: opacity .1s .25s; }
.across, .up, .mark { position: absolute; left: 0; top: 0; pointer-events: none; }
.across { width: 100%; height: 1px; } .up { width: 1px; height: 100%; }
.across, .up { background: #fff; box-shadow: 0 0 0 1px #0009; }
.mark { box-sizing: border-box; width: 14px; height: 14px; margin: -7px; border-radius: 50%;
  border: 2.5px solid; box-shadow: 0 0 0 1px #fffc, inset 0 0 0 1px #fffc; }
.ramp { flex: 1; height: 7px; min-width: 16px; border-radius: 2px; }
.told { font-weight: 600; font-variant-numeric: tabular-nums; overflow: hidden; flex: 1;
  text-overflow: ellipsis; min-width: 0; }
.told:empty, .window:has(+ .told:not(:empty)) { display: none; }
.failed { position: absolute; inset: 0; padding: 8px; font-size: 11px; overflow: auto; }
.message { padding: 2px 0 8px; font-size: 13px; }
[hidden] { display: none !important; }
"""

SCRIPT = """
const CLICK_PX = 5, SETTLED_MS = 60, PATIENCE_MS = 1000, SHARPEST = 2;
const FEWEST_CELLS = 6;

const make = (tag, name, parent) => {
  const el = document.createElement(tag);
  if (name) el.className = name;
  parent?.append(el);
  return el;
};
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const number = (value, range) => {
  const digits = clamp(2 - Math.floor(Math.log10(Math.max(range, 1e-9))), 0, 8);
  const text = value.toLocaleString("en", {maximumFractionDigits: digits});
  return text === "-0" ? "0" : text.replace("-", "−");
};

export function render({model, el}) {
  const {left, bottom, dx, dy, rows, columns} = model.grid;
  const width = dx * columns, height = dy * rows;
  const aspect = clamp(width / height, 0.5, 2.5);
  const home = Math.max(width, height * aspect);  // what a map shows across
  const closest = Math.max(1, home / (FEWEST_CELLS * Math.max(dx, dy)));
  const middle = {x: left + width / 2, y: bottom + height / 2};
  const shown = {...middle, zoom: 1};
  const maps = new Map();
  let plan = {turn: 0, maps: [], message: "", working: true};
  let cursor = null, asking = 0, wanted = null, drawing = 0, settling = 0, colours, size = [0, 0];

  // --- what stands on the page --------------------------------------------------------
  const root = make("div", "gallery", el);
  const bar = make("div", "bar", root);
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Zoom of all maps");
  const button = (text, name, act) => {
    const made = make("button", "", bar);
    made.type = "button";
    made.textContent = text;
    made.setAttribute("aria-label", name);
    made.title = name;
    made.addEventListener("click", act);
    return made;
  };
  button("+", "Zoom in, all maps", () => zoom(1.5));
  const out = button("−", "Zoom out, all maps", () => zoom(1 / 1.5));
  const reset = button("Whole scan", "Show the whole scan in all maps", go_home);
  const hint = make("span", "hint", bar);
  hint.textContent = matchMedia("(pointer: coarse)").matches
    ? "Two fingers zoom, a tap picks a cell."
    : "Ctrl + wheel zooms, drag moves, click picks a cell, double click opens the map.";
  const progress = make("progress", "", bar);
  progress.setAttribute("aria-label", "Maps drawn");
  progress.hidden = true;
  const message = make("div", "message", root);
  message.setAttribute("role", "status");
  const list = make("div", "maps", root);
  list.setAttribute("role", "list");
  list.setAttribute("aria-label", "Maps of elements");

  const make_map = (name) => {
    const figure = make("figure", "map");
    const map = {name, figure, picture: null, source: document.createElement("canvas")};
    figure.setAttribute("role", "listitem");
    figure.dataset.name = name;
    figure.map = map;
    const header = make("header", "", figure);
    map.line = make("span", "line", header);
    map.window = make("span", "window", header);
    map.told = make("span", "told", header);
    map.open = make("button", "open", header);
    map.open.type = "button";
    map.open.textContent = "Open";
    map.open.addEventListener("click", () => model.send_msg({kind: "open", name}));
    map.frame = make("div", "frame", figure);
    map.frame.tabIndex = 0;
    map.frame.setAttribute("role", "button");
    map.frame.style.aspectRatio = aspect;
    map.canvas = make("canvas", "", map.frame);
    map.canvas.setAttribute("aria-hidden", "true");
    map.mark = make("div", "mark", map.frame);
    map.mark.style.borderColor = model.mark_colour;
    for (const line of ["across", "up"]) map[line] = make("div", line, map.frame);
    map.failed = make("div", "failed", map.frame);
    const footer = make("footer", "", figure);
    map.low = make("span", "", footer);
    map.ramp = make("div", "ramp", footer);
    map.high = make("span", "", footer);
    listen(map);
    sizes.observe(map.frame);
    seen.observe(figure);
    return map;
  };

  // --- the part of the object that is shown -------------------------------------------
  const span = () => [home / shown.zoom, home / shown.zoom / aspect];
  const bounds = () => {
    const [w, h] = span();
    return [shown.x - w / 2, shown.y - h / 2, shown.x + w / 2, shown.y + h / 2];
  };
  const at = (map, event) => {
    const box = map.frame.getBoundingClientRect(), [w, h] = span(), [x0, , , y1] = bounds();
    return {
      x: x0 + (event.clientX - box.left) / box.width * w,
      y: y1 - (event.clientY - box.top) / box.height * h,
    };
  };
  const cell_at = ({x, y}) => {
    const row = Math.floor((y - bottom) / dy), column = Math.floor((x - left) / dx);
    return row >= 0 && row < rows && column >= 0 && column < columns ? {row, column} : null;
  };
  const move = (x, y, factor) => {
    shown.zoom = clamp(factor, 1, closest);
    const [w, h] = span();
    const reach = (size, part) => Math.max(0, (size - part) / 2);
    shown.x = middle.x + clamp(x - middle.x, -reach(width, w), reach(width, w));
    shown.y = middle.y + clamp(y - middle.y, -reach(height, h), reach(height, h));
    redraw();
    settle();
  };
  function zoom(factor, about = shown) {
    const next = clamp(shown.zoom * factor, 1, closest), kept = shown.zoom / next;
    move(about.x + (shown.x - about.x) * kept, about.y + (shown.y - about.y) * kept, next);
  }
  function go_home() { move(middle.x, middle.y, 1); }
  const settle = () => {
    clearTimeout(settling);
    settling = setTimeout(tell_view, SETTLED_MS);
  };
  const tell_view = () => {
    if (!(size[0] > 1)) return;  // the page shows something else
    const ratio = clamp(window.devicePixelRatio || 1, 1, SHARPEST);
    const [w, h] = size.map((side) => Math.round(side * ratio));
    const names = [...maps.values()].filter((map) => map.is_seen).map((map) => map.name);
    model.send_msg({kind: "view", bounds: bounds(), width: w, height: h, seen: names});
  };
  const sizes = new ResizeObserver(([{contentRect}]) => {
    if (Math.abs(contentRect.width - size[0]) + Math.abs(contentRect.height - size[1]) < 0.5)
      return;
    const first = !(size[0] > 1);
    size = [contentRect.width, contentRect.height];
    redraw();
    first ? tell_view() : settle();
  });
  const seen = new IntersectionObserver((entries) => {
    for (const {target, isIntersecting} of entries) target.map.is_seen = isIntersecting;
    if (list.getAttribute("aria-busy") === "true") settle();
  });

  // --- drawing ------------------------------------------------------------------------
  const redraw = () => { drawing ||= requestAnimationFrame(draw); };
  const draw = () => {
    drawing = 0;
    out.disabled = reset.disabled = shown.zoom <= 1;
    const ratio = clamp(window.devicePixelRatio || 1, 1, SHARPEST);
    const [x0, y0, , y1] = bounds(), [w, h] = span();
    for (const map of maps.values()) {
      const {canvas} = map, pixels = size.map((side) => Math.round(side * ratio));
      if (canvas.width !== pixels[0]) canvas.width = pixels[0];
      if (canvas.height !== pixels[1]) canvas.height = pixels[1];
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, ...pixels);
      map.frame.style.touchAction = shown.zoom > 1 ? "none" : "pan-y";
      if (map.picture && pixels[0] > 1) {
        const b = map.picture.bounds;
        const fx = pixels[0] / w, fy = pixels[1] / h;
        pen.imageSmoothingEnabled = false;
        pen.drawImage(map.source, (b[0] - x0) * fx, (y1 - b[3]) * fy,
          (b[2] - b[0]) * fx, (b[3] - b[1]) * fy);
        if (map.picture.turn === plan.turn) map.figure.classList.remove("waiting");
      }
      place(map.mark, ...model.marker);
      map.across.hidden = map.up.hidden = cursor === null;
      if (cursor) {
        map.across.style.transform = `translateY(${(y1 - cursor.y) / h * size[1]}px)`;
        map.up.style.transform = `translateX(${(cursor.x - x0) / w * size[0]}px)`;
      }
    }
    tell_progress();
    function place(mark, x, y) {
      const across = (x - x0) / w, down = (y1 - y) / h;
      mark.hidden = !(across >= 0 && across <= 1 && down >= 0 && down <= 1);
      mark.style.transform = `translate(${across * size[0]}px, ${down * size[1]}px)`;
    }
  };
  const colour = (map) => {
    if (!map.picture) return;
    const {levels, shape: [h, w]} = map.picture, {source} = map;
    source.width = w;
    source.height = h;
    const image = new ImageData(w, h), pixels = new Uint32Array(image.data.buffer);
    for (let row = 0; row < h; row++) {  // row 0 is the lowest
      const from = (h - 1 - row) * w;
      for (let i = 0; i < w; i++) pixels[row * w + i] = colours[levels[from + i]];
    }
    source.getContext("2d").putImageData(image, 0, 0);
  };
  const take_palette = () => {
    const bytes = new Uint8ClampedArray(4 * 256);
    model.palette.forEach((code, i) => {
      for (let k = 0; k < 3; k++) bytes[4 * (i + 1) + k] = parseInt(code.substr(1 + 2 * k, 2), 16);
      bytes[4 * (i + 1) + 3] = 255;
    });
    colours = new Uint32Array(bytes.buffer);  // level 0 is no datum, and transparent
    const stops = model.palette.filter((_, i) => i % 32 === 0).concat(model.palette.at(-1));
    list.style.setProperty("--ramp", `linear-gradient(to right, ${stops.join(", ")})`);
    for (const map of maps.values()) colour(map);
    redraw();
  };
  const tell_progress = () => {
    const all = [...maps.values()], {turn, working} = plan;
    const done = all.filter((m) => m.failed.textContent || m.picture?.turn === turn).length;
    const busy = Boolean(working) || done < all.length;
    list.setAttribute("aria-busy", String(busy));
    progress.hidden = !busy;
    if (working) progress.removeAttribute("value");
    else Object.assign(progress, {max: Math.max(all.length, 1), value: done});
  };

  // --- what the server says -----------------------------------------------------------
  const take_plan = (told) => {
    plan = told;
    const names = plan.maps.map((one) => one.name);
    for (const [name, map] of maps) {
      if (names.includes(name)) continue;
      sizes.unobserve(map.frame);
      seen.unobserve(map.figure);
      map.figure.remove();
      maps.delete(name);
    }
    for (const {name, label, window, is_drawn} of plan.maps) {
      if (!maps.has(name)) maps.set(name, make_map(name));
      const map = maps.get(name);
      map.line.textContent = label;
      map.window.textContent = map.window.title = window;
      map.open.setAttribute("aria-label", `Open ${label} in the explorer`);
      if (is_drawn && map.picture) map.picture.turn = plan.turn;
      else map.figure.classList.add("waiting");
      map.failed.textContent = "";
      map.told.textContent = cursor ? "…" : "";
      name_frame(map);
    }
    const order = names.map((name) => maps.get(name).figure);
    if (order.some((figure, i) => list.children[i] !== figure)) list.replaceChildren(...order);
    message.textContent = plan.message;
    message.hidden = !plan.message;
    hint.hidden = !names.length;
    if (cursor) ask(cursor);
    redraw();
  };
  const name_frame = (map) => {
    const range = map.picture ? `, ${map.low.textContent} to ${map.high.textContent}` : "";
    const about = [map.line.textContent, map.window.textContent].filter(Boolean).join(", ");
    map.frame.setAttribute("aria-label", `Map of ${about}${range}. Enter opens it.`);
    map.frame.setAttribute("aria-keyshortcuts", "Enter Space + - 0");
  };
  const answers = {
    plan: take_plan,
    picture: ({turn, name, levels, bounds, low, high, unit}) => {
      const map = maps.get(name);
      if (!map || turn !== plan.turn) return;
      map.picture = {turn, levels, bounds, shape: levels.shape};
      map.low.textContent = number(low, high - low);
      map.high.textContent = `${number(high, high - low)} ${unit}`;
      map.ramp.style.background = "var(--ramp)";
      map.failed.textContent = "";
      name_frame(map);
      colour(map);
      redraw();
    },
    failed: ({turn, name, sentence}) => {
      const map = maps.get(name);
      if (!map || turn !== plan.turn) return;
      map.picture = null;
      map.low.textContent = map.high.textContent = "";
      map.ramp.style.background = "none";
      map.failed.textContent = sentence;
      name_frame(map);
      redraw();
    },
    told: ({row, column, values}) => {
      clearTimeout(asking);
      asking = 0;
      if (cursor && cursor.row === row && cursor.column === column)
        for (const [name, text] of Object.entries(values)) {
          const map = maps.get(name);
          if (map) map.told.textContent = text;
        }
      if (wanted) ask(wanted);
    },
  };

  // --- gestures -----------------------------------------------------------------------
  const ask = (cell) => {
    wanted = asking ? cell : null;
    if (asking) return;  // one question at a time: the newest one follows its answer
    asking = setTimeout(() => { asking = 0; if (wanted) ask(wanted); }, PATIENCE_MS);
    model.send_msg({kind: "point", row: cell.row, column: cell.column});
  };
  const point = (place) => {
    const cell = place && cell_at(place);
    const same = cell && cursor && cell.row === cursor.row && cell.column === cursor.column;
    cursor = cell ? {...place, ...cell} : null;
    if (!same) for (const map of maps.values()) map.told.textContent = cell ? "…" : "";
    if (cell && !same) ask(cell);
    if (!cell) wanted = null;
    redraw();
  };
  const step = (across, up) => {
    const [x0, y0, x1, y1] = bounds(), [mark_x, mark_y] = model.marker;
    const start = cursor ?? cell_at({x: mark_x, y: mark_y}) ?? {row: 0, column: 0};
    const column = clamp(start.column + across, 0, columns - 1);
    const row = clamp(start.row + up, 0, rows - 1);
    const x = left + (column + 0.5) * dx, y = bottom + (row + 0.5) * dy;
    if (x < x0 || x > x1 || y < y0 || y > y1) move(x, y, shown.zoom);
    point({x, y});
  };
  const pick = (cell) => cell && model.send_msg({kind: "pick", row: cell.row, column: cell.column});
  const listen = (map) => {
    const {frame, name} = map, fingers = new Map();
    let start = null, far = false, apart = 0;
    const reach = () => {
      const [a, b] = [...fingers.values()];
      return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    };
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      fingers.set(event.pointerId, event);
      if (fingers.size === 1) { start = {...at(map, event), event}; far = false; }
      if (fingers.size === 2) { far = true; apart = reach(); }
      frame.setPointerCapture(event.pointerId);
    });
    frame.addEventListener("pointermove", (event) => {
      const place = at(map, event);
      if (!fingers.has(event.pointerId)) return point(place);
      fingers.set(event.pointerId, event);
      if (fingers.size === 2) {
        const now = reach(), [a, b] = [...fingers.values()].map((finger) => at(map, finger));
        if (apart > 0) zoom(now / apart, {x: (a.x + b.x) / 2, y: (a.y + b.y) / 2});
        apart = now;
        return;
      }
      const moved = [event.clientX - start.event.clientX, event.clientY - start.event.clientY];
      far ||= Math.hypot(...moved) > CLICK_PX;
      if (far && fingers.size === 1 && shown.zoom > 1)
        move(shown.x + start.x - place.x, shown.y + start.y - place.y, shown.zoom);
    });
    const lift = (event) => {
      const held = fingers.delete(event.pointerId);
      if (held && !far && event.type === "pointerup") {
        point(at(map, event));
        pick(cell_at(at(map, event)));
      }
    };
    frame.addEventListener("pointerup", lift);
    frame.addEventListener("pointercancel", lift);
    frame.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") point(null);
    });
    frame.addEventListener("dblclick", () => model.send_msg({kind: "open", name}));
    frame.addEventListener("wheel", (event) => {
      if (!(event.ctrlKey || event.metaKey)) return;  // the page scrolls
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      zoom(Math.exp(-clamp(event.deltaY * lines, -240, 240) / 300), at(map, event));
    }, {passive: false});
    frame.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const far = event.shiftKey ? 10 : 1;
      const act = {
        Enter: () => model.send_msg({kind: "open", name}),
        " ": () => pick(cursor),
        "+": () => zoom(1.5, cursor ?? shown), "=": () => zoom(1.5, cursor ?? shown),
        "-": () => zoom(1 / 1.5, cursor ?? shown), "0": go_home,
        ArrowLeft: () => step(-far, 0), ArrowRight: () => step(far, 0),
        ArrowUp: () => step(0, far), ArrowDown: () => step(0, -far),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    frame.addEventListener("blur", () => point(null));
  };

  model.on("palette", take_palette);
  model.on("marker", redraw);
  model.on("msg:custom", (event) => {
    const {kind, ...told} = event.data ?? event;
    answers[kind]?.(told);
  });
  model.on("remove", () => {
    sizes.disconnect();
    seen.disconnect();
    clearTimeout(settling);
    clearTimeout(asking);
    cancelAnimationFrame(drawing);
  });
  take_palette();
  redraw();
  model.send_msg({kind: "ready"});
}
"""
