"""Visitors with a real browser: each drags with the mouse, and the page notes what it sees."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

import numpy as np
from playwright.sync_api import sync_playwright

from tests.browser.driver import Driver, launch

from .gestures import Gesture, Kind, Pace, line_width_of, window_of
from .visitor import ANSWERED_S, Shown

__all__ = ["BrowserVisitor", "Browsers"]

_PIXELS = {"window": 3.0, "sigma": 4.0}  # of the page, from one event to the next

_TRIES = 3

_NOTES = """
() => {
  const notes = window.notes = {box: [], sigma: [], maps: [], lines: [], local: []};
  const now = () => performance.now() / 1000;
  const box = probe.box(), slider = probe.slider("Smoothing");
  const [map, spectrum] = ["map", "spectrum"].map(probe.plot);
  const picture = map.renderers.find((r) => r.glyph?.type === "Image").data_source;
  const line = spectrum.renderers.map((r) => r.data_source).find((s) => "raw" in s.data);
  // The title comes in the same message, after the data.
  const told = (list, plot) => {
    const time = now();
    queueMicrotask(() => list.push([time, plot.title.text]));
  };
  for (const end of ["left", "right"])
    box.properties[end].change.connect(() => notes.box.push([now(), box.left, box.right]));
  slider.properties.value.change.connect(() => notes.sigma.push([now(), slider.value]));
  picture.properties.data.change.connect(() => told(notes.maps, map));
  line.properties.data.change.connect(() => told(notes.lines, spectrum));
  line.change.connect(() => notes.local.push(now()));
  notes.take = () => {
    const taken = {};
    for (const name of ["box", "sigma", "maps", "lines", "local"])
      taken[name] = notes[name].splice(0);
    return taken;
  };
}
"""
"""Note when box and slider moved, and when data came: the server's, or the browser's own line."""


class BrowserVisitor:
    """Somebody with a scan before them in a browser.

    Parameters
    ----------
    driver : Driver
        Their page, open.
    scan : str
        The name of the scan.
    ev_per_channel : float
        Of the scan.
    chance : Generator
        Decides what is dragged when.
    """

    def __init__(
        self, driver: Driver, scan: str, ev_per_channel: float, chance: np.random.Generator
    ) -> None:
        self.driver, self.scan, self._ev, self._chance = driver, scan, ev_per_channel, chance
        self.gestures: list[Gesture] = []
        self.complaints: list[str] = []
        self.missed = 0
        self._direction = dict.fromkeys(_PIXELS, 1)
        driver.page.evaluate(_NOTES)

    def live(self, pace: Pace, start: float, end: float) -> Iterator[float]:
        """Drag and rest by turns until the end; yield the time of each next move.

        Times are those of `time.perf_counter`.
        """
        due = start + self._chance.uniform(0, pace.pause_s)
        while due < end:
            yield due
            kind: Kind = "window" if self._chance.random() < 0.5 else "sigma"
            yield from self._drag(kind, pace)
            due = time.perf_counter() + pace.rest(self._chance)

    def _drag(self, kind: Kind, pace: Pace) -> Iterator[float]:
        """Drag; who finds that nothing moved, as when the plot was just laid out, tries again."""
        gesture = Gesture(kind)
        for _ in range(_TRIES):
            yield from self._pull(gesture, pace)
            if gesture.sent:
                break
            self.missed += 1
        self.gestures.append(gesture)
        deadline = time.perf_counter() + ANSWERED_S
        while gesture.sent and not gesture.is_answered and time.perf_counter() < deadline:
            yield time.perf_counter() + 0.25
            self._note(gesture)
        if not gesture.is_answered:
            last = gesture.sent[-1][1:] if gesture.sent else "could not be dragged: it"
            self.complaints.append(f"{kind} {last} was not answered in a browser")

    def _pull(self, gesture: Gesture, pace: Pace) -> Iterator[float]:
        """Press the mouse, move it, and let go."""
        page, kind = self.driver.page, gesture.kind
        direction = self._direction[kind]
        x, y = self._handle(kind)
        page.evaluate("() => notes.take()")
        page.mouse.move(x, y)
        page.mouse.down()
        begin = time.perf_counter()
        for number in range(1, pace.events + 1):
            yield begin + number / pace.events_per_second
            page.mouse.move(x + direction * _PIXELS[kind] * number, y)
        page.mouse.up()
        self._direction[kind] = -direction
        yield time.perf_counter() + 0.25
        self._note(gesture)

    def _handle(self, kind: Kind) -> tuple[float, float]:
        """Return the pixel of the page where the drag begins."""
        if kind == "window":
            low, high = self.driver.window()
            place = self.driver.place("spectrum")
            x, _ = self.driver.to_page("spectrum", (low + high) / 2, place["y"][0])
            return x, place["top"] + 0.5 * place["height"]
        box = self.driver.slider_thumb("Smoothing").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def _note(self, gesture: Gesture) -> None:
        """Add to a gesture what the page has noted since."""
        notes = self.driver.page.evaluate("() => notes.take()")
        gesture.local += notes["local"]
        if gesture.kind == "window":
            for time_s, *ends in notes["box"]:
                low, high = sorted(ends)
                if not gesture.sent or gesture.sent[-1][1:] != [low, high]:
                    gesture.sent.append([time_s, low, high])
            told = [(time_s, window_of(title)) for time_s, title in notes["maps"]]
        else:
            gesture.sent += [[time_s, value * self._ev] for time_s, value in notes["sigma"]]
            # The page's own title is ahead of the server's: only the last answer is sure.
            told = [(time_s, line_width_of(title)) for time_s, title in notes["lines"]][-1:]
            gesture.answers = gesture.answers if not told else []
        gesture.answers += [[time_s, *says] for time_s, says in told if says is not None]

    def shown(self) -> Shown:
        """Return what the page shows, and what it should."""
        sigma = self.driver.page.evaluate("() => probe.slider('Smoothing').value")
        _, low, high = self.driver.colour_bar("map")
        title = self.driver.title("spectrum")
        return Shown(
            self.scan,
            [round(end, 4) for end in self.driver.window()],
            sigma,
            [low, high],
            int(title.split(" · ")[0].removeprefix("Spectrum ").replace(",", "")),
            self.driver.lines()[-1].tolist(),
        )


class Browsers:
    """Pages in Chromium, one context each, as if of different people.

    Parameters
    ----------
    port : int
        Where the server listens.
    scans : dict of str to float
        Names of the scans and their eV a channel.
    count : int
        How many pages.
    seed : int
        Of what is dragged when.
    """

    def __init__(self, port: int, scans: dict[str, float], count: int, seed: int) -> None:
        self._port, self._scans, self._count = port, list(scans.items()), count
        self._chances = np.random.default_rng(seed).spawn(count)
        self._stack = ExitStack()
        self.visitors: list[BrowserVisitor] = []

    def __enter__(self) -> Self:
        with self._stack:
            chromium = launch(self._stack.enter_context(sync_playwright()))
            self._stack.callback(chromium.close)
            for number, chance in enumerate(self._chances):
                context = chromium.new_context(viewport={"width": 1280, "height": 800})
                driver = Driver(context.new_page())
                scan, ev = self._scans[number % len(self._scans)]
                driver.open(f"http://127.0.0.1:{self._port}/dashboard?scan={scan}")
                self.visitors.append(BrowserVisitor(driver, scan, ev, chance))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def explore(self, pace: Pace, seconds: float) -> None:
        """Have all of them explore side by side for a time."""
        start = time.perf_counter()
        lives = [visitor.live(pace, start, start + seconds) for visitor in self.visitors]
        due: list[tuple[float, int]] = [(start, number) for number in range(len(lives))]
        while due:
            at, number = heapq.heappop(due)
            time.sleep(max(0.0, at - time.perf_counter()))
            following = next(lives[number], None)
            if following is not None:
                heapq.heappush(due, (following, number))

    @property
    def complaints(self) -> list[str]:
        """What pages and visitors complained of."""
        return [
            each
            for visitor in self.visitors
            for each in (*visitor.complaints, *visitor.driver.complaints, *visitor.driver.strangers)
        ]
