"""Drive the dashboard in a real browser as a visitor does, and time what they see.

Plots are canvases: where to tap is asked from Bokeh's own views. A latency starts when a
widget or annotation changes in the browser, and ends when Bokeh has painted the plot whose
data the server sent back.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, Playwright

CHROMIUM_FLAGS = [
    "--no-sandbox",  # containers and CI run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_PROBE = """
() => {
  if (window.probe) return;
  const probe = window.probe = {};
  const models = () => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()]);
  const isShown = (m) => Bokeh.index.find_one(m)?.el.isConnected;
  probe.plot = (name) => {  // a document keeps the plots of what is opened anew for half a minute
    const plots = models().filter((m) => m.type === 'Figure' && m.tags.includes(name));
    return plots.find(isShown) ?? plots[0];
  };
  probe.titles = (name) => models()
    .filter((m) => m.type === 'Figure' && m.tags.includes(name) && isShown(m))
    .map((m) => m.title.text);
  probe.slider = (label) =>
    models().find((m) => m.data && (m.data.label || '').startsWith?.(label)).data;
  probe.box = () => probe.plot('spectrum').center.find((m) => m.name === 'energy window');
  probe.source = (name, column) => {
    const sources = probe.plot(name).renderers.map((r) => r.data_source).filter((s) => s);
    return Array.from(sources.find((s) => column in s.data).data[column][0]);
  };
  probe.lines = (name) =>
    probe.plot(name).renderers.map((r) => Array.from(r.data_source.data.counts));
  probe.energies = () =>
    Array.from(probe.plot('spectrum')?.renderers.at(-1)?.data_source.data.energy ?? []);
  probe.bar = (name) => {
    const {title, color_mapper} = probe.plot(name).right.find((m) => m.type === 'ColorBar');
    return {title, low: color_mapper.low, high: color_mapper.high};
  };
  probe.sides = () => probe.plot('spectrum').center
    .filter((m) => m.name === 'side window' && m.visible)
    .map((m) => [m.left, m.right]).sort((a, b) => a[0] - b[0]);
  probe.popped = () => {
    const isView = (m) => ['spectrum', 'map', 'positions'].some((name) => m.tags.includes(name));
    const plot = models().find((m) => m.type === 'Figure' && !isView(m));
    const view = plot && Bokeh.index.find_one(plot);
    if (!(view?._render_count > 0)) return null;
    const canvas = view.canvas_view.el.getBoundingClientRect(), frame = view.frame.bbox;
    return {
      x: canvas.x + frame.left, y: canvas.y + frame.top,
      width: frame.width, height: frame.height,
    };
  };
  probe.place = (name) => {
    const plot = probe.plot(name), view = Bokeh.index.find_one(plot);
    const canvas = view.canvas_view.el.getBoundingClientRect(), frame = view.frame.bbox;
    return {
      left: canvas.x + frame.left, top: canvas.y + frame.top,
      width: frame.width, height: frame.height,
      x: [plot.x_range.start, plot.x_range.end], y: [plot.y_range.start, plot.y_range.end],
      title: plot.title.text,
    };
  };
  probe.hits = (name, x, y) => {
    const {el} = Bokeh.index.find_one(probe.plot(name));
    let hit = document.elementFromPoint(x, y);
    while (hit?.shadowRoot) {
      const inner = hit.shadowRoot.elementFromPoint(x, y);
      if (!inner || inner === hit) break;
      hit = inner;
    }
    while (hit && hit !== el) hit = hit.parentNode ?? hit.host;
    return hit === el;
  };
  const fingerprint = ({data}) => {
    const values = "image" in data ? data.image[0] : data.counts;
    let sum = (data.x ? data.x[0] : 0) + (data.dw ? data.dw[0] : 0);
    for (let i = 0; i < values.length; i++) sum += values[i] * (1 + i % 97);
    return sum;
  };
  const drawn = (name) => probe.plot(name).renderers
    .filter((r) => ["Image", "Line"].includes(r.glyph?.type));
  probe.picture = (name) => {
    const {image, x, y, dw, dh} = drawn(name)[0].data_source.data;
    return {
      levels: Array.from(image[0]), shape: image[0].shape,
      bounds: [x[0], y[0], x[0] + dw[0], y[0] + dh[0]],
    };
  };
  probe.forget = () => { probe.arrivals = []; probe.paints = []; probe.inputs = []; };
  probe.watch = (name) => {
    const plot = probe.plot(name);
    probe.forget();
    if (plot.probed) return;
    plot.probed = true;
    for (const {data_source: source} of drawn(name)) {
      let last = fingerprint(source);
      source.change.connect(() => {
        const now = performance.now(), found = fingerprint(source);
        // What the server tells again of what the browser drew itself is nothing new.
        if (Math.abs(found - last) > 1e-6 * Math.abs(last)) probe.arrivals.push(now);
        last = found;
      });
    }
    const view = Bokeh.index.find_one(plot);
    const paint = view.paint.bind(view);
    view.paint = () => {
      const start = performance.now();
      paint();
      probe.paints.push([start, performance.now()]);
    };
  };
  for (const gesture of ["wheel", "pointermove"])
    window.addEventListener(gesture, () => probe.inputs.push(performance.now()), true);
  probe.answer = (start, patience = 5000) => new Promise((resolve) => {
    const poll = () => {
      const arrived = probe.arrivals.find((t) => t > start);
      const paint = probe.paints.find(([t]) => arrived ? t >= arrived : t > start);
      const late = performance.now() - start > patience;
      if (late || (arrived && paint)) {
        const frames = (window.wire?.frames ?? []).filter(([t]) => t > start && t <= arrived);
        const received = frames.length ? frames[frames.length - 1][0] : NaN;
        const bytes = frames.reduce((sum, [, size]) => sum + size, 0);
        resolve([received, arrived ?? NaN, ...(paint ?? [NaN, NaN])]
          .map((t) => t - start).concat([bytes]));
      } else setTimeout(poll, 1);
    };
    poll();
  });
  probe.sigma = (value) => {
    const start = performance.now();
    probe.slider('Smoothing').value = value;
    return probe.answer(start);
  };
  probe.window = (left, right) => {
    const start = performance.now();
    probe.box().setv({left, right});
    return probe.answer(start);
  };
  probe.forget();
}
"""

_WIRE = """
(() => {
  const wire = window.wire = {frames: [], painted: null};
  const Plain = window.WebSocket;
  window.WebSocket = class extends Plain {
    constructor(...args) {
      super(...args);
      this.addEventListener("message", ({data}) => {
        wire.frames.push([performance.now(), data.length ?? data.byteLength]);
        if (wire.frames.length > 4000) wire.frames.splice(0, 2000);
      });
    }
  };
  const name = (node) => node.className?.baseVal ?? (node.className || node.id || node.tagName);
  wire.clicks = [];
  for (const kind of ["pointerdown", "pointerup", "click"])
    window.addEventListener(kind, (event) => {
      const hit = event.composedPath().slice(0, 3).map(name).join(" in ");
      wire.clicks.push(`${kind} at ${event.clientX}, ${event.clientY} on ${hit}`);
      wire.clicks.splice(0, wire.clicks.length - 12);
    }, true);
  const poll = setInterval(() => {
    const plots = (window.Bokeh?.documents ?? []).flatMap((doc) => [...doc._all_models.values()])
      .filter((model) => model.type === "Figure");
    if (plots.length === 3 && plots.every((plot) => {
      const view = Bokeh.index.find_one(plot);
      return view?.frame?.bbox.width > 50 && view._render_count > 0
        && (plot.tags.includes("spectrum") || plot.tags.includes("fitted"));
    })) {
      wire.painted = performance.now();
      clearInterval(poll);
    }
  }, 10);
})();
"""
"""Counts what comes over the websocket, notes what the mouse hits and when plots are painted."""


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("MAXRF_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def launch(playwright: Playwright) -> Browser:
    """Start the machine's own Chromium, without a window."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)


@dataclass(frozen=True)
class Latency:
    """Times after gestures, awaited one by one, in milliseconds.

    Parameters
    ----------
    received : (n,) float
        The last of the answer had come over the websocket; NaN if the browser answered itself.
    data : (n,) float
        The data were in the plot; NaN if the picture there was enough.
    paint_start, painted : (n,) float
        The plot was painted with them, from and to.
    size : (n,) float
        Bytes that came meanwhile.
    """

    received: np.ndarray
    data: np.ndarray
    paint_start: np.ndarray
    painted: np.ndarray
    size: np.ndarray


@dataclass(frozen=True)
class Drag:
    """What a drag with the mouse brought about.

    Parameters
    ----------
    updates_per_second, paints_per_second, moves_per_second : float
        New data painted, paints of the plot, and moves that the browser took from the mouse.
    last_update_ms : float
        From the last move of the mouse to the paint of the last data; NaN without any.
    longest_pause_ms : float
        Between two paints.
    bytes_per_second : float
        What came over the websocket.
    """

    updates_per_second: float
    paints_per_second: float
    moves_per_second: float
    last_update_ms: float
    longest_pause_ms: float
    bytes_per_second: float


_STILL = 8  # looks, 50 ms apart, between which nothing has moved


@dataclass
class Driver:
    """A page of the dashboard, and everything it complained of or asked for elsewhere."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(_WIRE)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            self.strangers.append(request.url)

    def open(self, url: str) -> None:
        """Open a page and wait until the three plots are painted and laid out."""
        self.page.goto(url)
        self.wait_for_plots()

    def wait_for_plots(self) -> None:
        """Wait until the three plots are there and fitted to their frames."""
        self.page.wait_for_function("() => window.Bokeh?.documents?.length > 0")
        self.page.evaluate(_PROBE)
        self.page.wait_for_function(
            """() => ['spectrum', 'map', 'positions'].every((name) => {
                const plot = window.probe.plot(name);
                return plot && Bokeh.index.find_one(plot)?.frame.bbox.width > 50
                    && (name === 'spectrum' || plot.tags.includes('fitted'));
            })""",
            timeout=60_000,
        )
        self.wait_for_page()
        self.wait_until_still()

    def wait_for_page(self) -> None:
        """Wait until the page takes gestures: Panel lays a veil over it while it is built."""
        self.page.locator("#loader").wait_for(state="hidden", timeout=30_000)

    def wait_until_still(self) -> None:
        """Wait until no plot moves any more: a gesture begins where a plot was seen."""
        names = ("spectrum", "map", "positions")
        seen: list[Any] = []

        def is_still() -> bool:
            seen.append([self.place(name) for name in names])
            return len(seen) > _STILL and all(other == seen[-1] for other in seen[-_STILL:])

        self.until(is_still)

    def first_paint(self, url: str) -> float:
        """Open a page; return the seconds until its three plots were painted."""
        self.page.goto(url, wait_until="commit")
        self.page.wait_for_function("() => window.wire.painted", timeout=120_000)
        self.wait_for_plots()
        return self.page.evaluate("() => window.wire.painted") / 1000

    def until(self, what: Callable[[], bool], *, timeout_ms: int = 10_000) -> None:
        """Poll until something holds."""
        for _ in range(timeout_ms // 50):
            if what():
                return
            self.page.wait_for_timeout(50)
        clicks = self.page.evaluate("() => window.wire.clicks")
        message = f"still not so after {timeout_ms} ms at {self.page.url}; clicks: {clicks}; "
        raise AssertionError(message + f"the page complained of {self.complaints}")

    # --- what is shown ------------------------------------------------------------------

    def place(self, plot: str) -> dict[str, Any]:
        """Return where a plot's frame lies on the page, its ranges and its title."""
        return self.page.evaluate("(name) => window.probe.place(name)", plot)

    def title(self, plot: str) -> str:
        """Return the title of a plot."""
        return self.place(plot)["title"]

    def window(self) -> tuple[float, float]:
        """Return the energy window drawn on the spectrum, in keV."""
        return tuple(
            self.page.evaluate("() => { const b = window.probe.box(); return [b.left, b.right]; }")
        )

    def marker(self, plot: str) -> tuple[float, float]:
        """Return the motor position of the mark in a plot."""
        return tuple(
            self.page.evaluate(
                """(name) => {
                    const marks = window.probe.plot(name).renderers.map((r) => r.data_source)
                        .filter((s) => s && s.data.x && s.data.y && !s.data.image);
                    return [marks[0].data.x[0], marks[0].data.y[0]];
                }""",
                plot,
            )
        )

    def levels(self) -> np.ndarray:
        """Return the 8-bit levels of the map in the browser, row by row."""
        return np.array(
            self.page.evaluate("() => window.probe.source('map', 'image')"), dtype=np.uint8
        )

    def picture(self, plot: str) -> tuple[np.ndarray, tuple[float, ...]]:
        """Return the 8-bit picture in a plot, row 0 at the bottom, and its outer edges."""
        found = self.page.evaluate("(name) => window.probe.picture(name)", plot)
        levels = np.array(found["levels"], dtype=np.uint8).reshape(found["shape"])
        return levels, tuple(found["bounds"])

    def lines(self) -> list[np.ndarray]:
        """Return the lines of the spectrum plot in the browser: sum, max, raw, smoothed."""
        return [np.array(v) for v in self.page.evaluate("() => window.probe.lines('spectrum')")]

    def energies(self) -> np.ndarray:
        """Return the energies of the spectrum plot in the browser, in keV; none without a plot."""
        return np.array(self.page.evaluate("() => window.probe.energies()"))

    def colour_bar(self, plot: str) -> tuple[str, float, float]:
        """Return the title of a plot's colour bar, and the values of its end colours."""
        bar = self.page.evaluate("(name) => window.probe.bar(name)", plot)
        return bar["title"], bar["low"], bar["high"]

    def sides(self) -> list[list[float]]:
        """Return the side windows marked on the spectrum, in keV, the lower one first."""
        return self.page.evaluate("() => window.probe.sides()")

    def popped(self) -> dict[str, float] | None:
        """Return where the frame of a dialog's plot lies on the page; None until it is painted."""
        return self.page.evaluate("() => window.probe.popped()")

    def pixels(self, clip: dict[str, float]) -> np.ndarray:
        """Return what is on the screen in a part of the page, (h, w, 3) uint8."""
        shot = Image.open(io.BytesIO(self.page.screenshot(clip=clip)))
        return np.asarray(shot.convert("RGB"))

    def sideways(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        return self.page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    def says(self, text: str | re.Pattern[str], *, timeout_ms: int = 20_000) -> None:
        """Wait until a text is to be read on the page."""
        self.page.get_by_text(text).first.wait_for(state="visible", timeout=timeout_ms)

    # --- gestures -----------------------------------------------------------------------

    def to_page(self, plot: str, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of the page where data coordinates lie."""
        place = self.place(plot)
        (x0, x1), (y0, y1) = place["x"], place["y"]
        return (
            place["left"] + place["width"] * (x - x0) / (x1 - x0),
            place["top"] + place["height"] * (y1 - y) / (y1 - y0),
        )

    def tap(self, plot: str, x: float, y: float) -> None:
        """Click a place in a plot, once nothing lies over it."""

        def hits() -> bool:
            at = self.to_page(plot, x, y)
            return self.page.evaluate("([name, at]) => window.probe.hits(name, ...at)", [plot, at])

        self.until(hits)
        self.page.mouse.click(*self.to_page(plot, x, y))

    def drag(
        self, start: tuple[float, float], end: tuple[float, float], *, steps: int = 20
    ) -> None:
        """Drag from one pixel of the page to another."""
        self.page.mouse.move(*start)
        self.page.mouse.down()
        for step in range(1, steps + 1):
            fraction = step / steps
            self.page.mouse.move(
                start[0] + (end[0] - start[0]) * fraction, start[1] + (end[1] - start[1]) * fraction
            )
            self.page.wait_for_timeout(10)
        self.page.mouse.up()

    def swipe(self, *fingers: tuple[tuple[float, float], tuple[float, float]]) -> None:
        """Move one or two fingers over a touch screen, each from one pixel to another."""
        session = self.page.context.new_cdp_session(self.page)

        def touch(kind: str, points: list[tuple[float, float]]) -> None:
            places = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        touch("touchStart", [start for start, _ in fingers])
        for step in range(1, 11):
            touch(
                "touchMove",
                [
                    (x0 + (x1 - x0) * step / 10, y0 + (y1 - y0) * step / 10)
                    for (x0, y0), (x1, y1) in fingers
                ],
            )
            self.page.wait_for_timeout(20)
        touch("touchEnd", [])
        session.detach()

    def choose(self, label: str, option: str) -> None:
        """Choose an option, by how it begins, from a drop-down list."""
        self.page.get_by_role("combobox", name=label).click()
        self.page.get_by_role("menuitem", name=re.compile(f"^{re.escape(option)}")).click()

    def slider_thumb(self, label: str) -> Any:
        """Return the handle of a slider."""
        slider = self.page.locator(".MuiSlider-root").filter(
            has=self.page.get_by_role("slider", name=label)
        )
        return slider.locator(".MuiSlider-thumb").first

    # --- latency ------------------------------------------------------------------------

    def sigma_latency(self, *, times: int = 60) -> Latency:
        """Move the sigma slider to new values, each awaited."""
        values = 2.0 + 10.0 * np.random.default_rng(1).random(times)
        return self._latency("spectrum", "(v) => probe.sigma(v)", values.tolist())

    def window_latency(self, *, low: float, width: float, times: int = 60) -> Latency:
        """Move the energy window to new places, each awaited."""
        lows = low + 2.0 * np.random.default_rng(2).random(times)
        places = np.column_stack([lows, lows + width]).tolist()
        return self._latency("map", "(v) => probe.window(...v)", places)

    def wheel_latency(self, plot: str, *, times: int = 20) -> Latency:
        """Zoom in and out of a plot, a tick of the wheel at a time, each awaited.

        What is timed begins with the browser's own wheel event.
        """
        place = self.place(plot)
        x, y = place["left"] + 0.6 * place["width"], place["top"] + 0.5 * place["height"]
        self.page.mouse.move(x, y)
        self.page.wait_for_timeout(300)
        self.page.evaluate("(name) => probe.watch(name)", plot)
        rows = []
        for number in range(times):
            self.page.evaluate("() => probe.forget()")
            self.page.mouse.wheel(0, -120 if number < times / 2 else 120)
            self.page.wait_for_function("() => probe.inputs.length > 0")
            rows.append(self.page.evaluate("() => probe.answer(probe.inputs[0], 400)"))
            self.page.wait_for_timeout(100)
        return Latency(*np.array(rows, dtype=float).T)

    def _latency(self, plot: str, code: str, values: list[Any]) -> Latency:
        self.page.evaluate("(name) => probe.watch(name)", plot)
        rows = []
        for value in values:
            rows.append(self.page.evaluate(code, value))
            self.page.wait_for_timeout(20)  # what the answer itself brings about is over
        return Latency(*np.array(rows, dtype=float).T)

    def timed_drag(
        self,
        plot: str,
        start: tuple[float, float],
        reach: tuple[float, float],
        *,
        seconds: float = 3.0,
    ) -> Drag:
        """Drag to and fro for some seconds; count what is painted in a plot meanwhile."""
        self.page.evaluate("(name) => probe.watch(name)", plot)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.evaluate("() => { probe.forget(); window.wire.frames.length = 0; }")
        begin, step = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            step += 1
            x, y = np.sin(step / 12), np.sin(step / 17)
            self.page.mouse.move(start[0] + reach[0] * x, start[1] + reach[1] * y)
        self.page.wait_for_timeout(1000)
        self.page.mouse.up()
        inputs, arrivals, paints, frames = (
            np.array(values, dtype=float)
            for values in self.page.evaluate(
                "() => [probe.inputs, probe.arrivals, probe.paints, window.wire.frames]"
            )
        )
        first, last = inputs[0], inputs[-1]
        paints, frames = paints.reshape(-1, 2), frames.reshape(-1, 2)
        during = paints[(paints[:, 1] >= first) & (paints[:, 0] <= last)]
        # A paint that comes after new data shows them, however many came since the last one.
        new = np.unique(np.searchsorted(paints[:, 0], arrivals[arrivals <= last]))
        shown = np.searchsorted(paints[:, 0], arrivals[-1:])
        span = (last - first) / 1000
        return Drag(
            updates_per_second=len(new) / span,
            paints_per_second=len(during) / span,
            moves_per_second=len(inputs) / span,
            last_update_ms=float(paints[shown[0], 1] - last) if len(shown) else np.nan,
            longest_pause_ms=float(np.diff(during[:, 1]).max(initial=0)),
            bytes_per_second=float(frames[frames[:, 0] <= last, 1].sum() / span),
        )
