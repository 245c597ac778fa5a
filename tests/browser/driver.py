"""Drive the dashboard in a real browser as a visitor does, and time what they see.

Plots are canvases: where to tap is asked from Bokeh's own views. A latency starts when a
widget or annotation changes in the browser, and ends when Bokeh has painted the plot whose
data the server sent back.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
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
  const probe = window.probe = {arrivals: [], paints: []};
  const models = () => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()]);
  probe.plot = (name) => models().find((m) => m.type === 'Figure' && m.tags.includes(name));
  probe.slider = (label) =>
    models().find((m) => m.data && (m.data.label || '').startsWith?.(label)).data;
  probe.box = () => models().find((m) => m.name === 'energy window');
  probe.source = (name, column) => {
    const sources = probe.plot(name).renderers.map((r) => r.data_source).filter((s) => s);
    return Array.from(sources.find((s) => column in s.data).data[column][0]);
  };
  probe.lines = (name) =>
    probe.plot(name).renderers.map((r) => Array.from(r.data_source.data.counts));
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
  probe.watch = (name) => {
    const plot = probe.plot(name);
    probe.arrivals = []; probe.paints = [];
    if (plot.probed) return;
    plot.probed = true;
    for (const renderer of plot.renderers) {
      const source = renderer.data_source;
      if (!source) continue;
      source.properties.data.change.connect(() => probe.arrivals.push(performance.now()));
      source.patching.connect(() => probe.arrivals.push(performance.now()));
    }
    const view = Bokeh.index.find_one(plot);
    const paint = view.paint.bind(view);
    view.paint = () => { paint(); probe.paints.push(performance.now()); };
  };
  probe.answer = (start) => new Promise((resolve) => {
    const poll = () => {
      const arrived = probe.arrivals.find((t) => t > start);
      const painted = arrived && probe.paints.find((t) => t > arrived);
      if (painted) resolve([arrived - start, painted - start]);
      else if (performance.now() - start > 5000) resolve([NaN, NaN]);
      else setTimeout(poll, 1);
    };
    poll();
  });
  probe.sigma = async (value) => {
    const start = performance.now();
    probe.slider('Smoothing').value = value;
    return probe.answer(start);
  };
  probe.window = async (left, right) => {
    const start = performance.now();
    probe.box().setv({left, right});
    return probe.answer(start);
  };
}
"""


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("MAXRF_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def launch(playwright: Playwright) -> Browser:
    """Start the machine's own Chromium, without a window."""
    return playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)


@dataclass(frozen=True)
class Latency:
    """Milliseconds from gesture to data in the browser, and to the painted page."""

    data: np.ndarray
    paint: np.ndarray

    def summary(self) -> str:
        """Return median and 95th percentile of both in words."""
        (d50, d95), (p50, p95) = (np.percentile(v, (50, 95)) for v in (self.data, self.paint))
        return f"data {d50:.0f} (p95 {d95:.0f}) ms, painted {p50:.0f} (p95 {p95:.0f}) ms"


@dataclass(frozen=True)
class Drag:
    """What a drag with the mouse brought about."""

    updates_per_second: float
    last_update_ms: float


@dataclass
class Driver:
    """A page of the dashboard, and everything it complained of or asked for elsewhere."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
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

    def until(self, what: Callable[[], bool], *, timeout_ms: int = 10_000) -> None:
        """Poll until something holds."""
        for _ in range(timeout_ms // 50):
            if what():
                return
            self.page.wait_for_timeout(50)
        message = f"still not so after {timeout_ms} ms; the page complained of {self.complaints}"
        raise AssertionError(message)

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

    def lines(self) -> list[np.ndarray]:
        """Return the lines of the spectrum plot in the browser: sum, max, raw, smoothed."""
        return [np.array(v) for v in self.page.evaluate("() => window.probe.lines('spectrum')")]

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
        """Click a place in a plot."""
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
        self.page.evaluate("() => window.probe.watch('spectrum')")
        values = 2.0 + 10.0 * np.random.default_rng(1).random(times)
        return self._latency("(v) => window.probe.sigma(v)", [float(value) for value in values])

    def window_latency(self, *, low: float, width: float, times: int = 60) -> Latency:
        """Move the energy window to new places, each awaited."""
        self.page.evaluate("() => window.probe.watch('map')")
        lows = low + 2.0 * np.random.default_rng(2).random(times)
        places = [[float(v), float(v + width)] for v in lows]
        return self._latency("(v) => window.probe.window(...v)", places)

    def _latency(self, code: str, values: list[Any]) -> Latency:
        pairs = np.array([self.page.evaluate(code, value) for value in values], dtype=float)
        return Latency(pairs[:, 0], pairs[:, 1])

    def timed_drag(
        self, plot: str, start: tuple[float, float], reach: float, *, seconds: float = 3.0
    ) -> Drag:
        """Drag to and fro along x for some seconds; count the plot's updates meanwhile."""
        self.page.evaluate("(name) => window.probe.watch(name)", plot)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        begin = self.page.evaluate("() => performance.now()")
        now, step = begin, 0
        while now - begin < seconds * 1000:
            step += 1
            self.page.mouse.move(start[0] + reach * np.sin(step / 12), start[1])
            now = self.page.evaluate("() => performance.now()")
        self.page.wait_for_timeout(600)
        self.page.mouse.up()
        arrivals = np.array(self.page.evaluate("() => window.probe.arrivals"))
        during = arrivals[(arrivals >= begin) & (arrivals <= now)]
        return Drag(len(during) / seconds, float(arrivals.max() - now))
