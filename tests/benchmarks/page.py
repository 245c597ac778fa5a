"""How long a visitor waits: ``python -m tests.benchmarks.page [SCAN.zipstore] [WIDTHxHEIGHT]``.

In Chromium against a real server: first paint of a scan, for its first visitor and for the
next, and every gesture on it, one at a time and while a mouse drags for three seconds. What
the server computes is timed in this process as well, so that each gesture's time can be told
apart: compute, the rest of the server with the websocket, decoding, waiting for the next frame
of the screen, painting. Without an argument, the demo scan.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from dashboard.data import SharedScan
from dashboard.pixels import View
from dashboard.plots import grid_with_margin
from dashboard.scaling import scale_map
from maxrf_core import open_scan
from maxrf_core.demo import demo_scan
from maxrf_core.smoothing import smooth_spectra
from tests.browser.driver import Drag, Driver, Latency, launch
from tests.browser.server import Server

__all__ = ["Gesture", "PageFigures", "measure_page", "table"]

VIEWPORT = (1280, 800)
DEMO = "the-demo"
_BETWEEN_S = 5.0
"""Between two visitors: the server draws the next one's first look meanwhile."""


@dataclass(frozen=True)
class Gesture:
    """What a gesture costs; None where it was not measured.

    Parameters
    ----------
    median_ms, p95_ms : float, optional
        From the gesture to the painted answer, one at a time.
    updates_per_second, moves_per_second : float, optional
        Answers painted while a mouse drags, and the moves that the browser took from it.
    last_ms : float, optional
        From the mouse's last move to the paint of the last answer.
    kilobytes : float
        What the server sent for an answer.
    parts_ms : dict of str to float
        Medians of where the time went.
    """

    median_ms: float | None
    p95_ms: float | None
    updates_per_second: float | None
    moves_per_second: float | None
    last_ms: float | None
    kilobytes: float
    parts_ms: dict[str, float]

    @property
    def bound_by(self) -> str:
        """The part that takes longest."""
        return max(self.parts_ms, key=lambda part: self.parts_ms[part], default="")


@dataclass(frozen=True)
class PageFigures:
    """All that was measured of a scan's page.

    Parameters
    ----------
    scan, viewport, map_pixels : str
        The scan, the browser's window, and the frame of the map in it.
    first_visitor_s, next_visitor_s : float
        Until three plots were painted, in a server that runs: for the first to ask the process
        for this scan, and for those who come after. Medians.
    sigma, window, map_wheel, map_pan, positions_wheel, positions_pan : Gesture
        Sigma to the line, window to the map, and the two views zoomed and dragged.
    complaints : str
        The browser's, on its console.
    """

    scan: str
    viewport: str
    map_pixels: str
    first_visitor_s: float
    next_visitor_s: float
    sigma: Gesture
    window: Gesture
    map_wheel: Gesture
    map_pan: Gesture
    positions_wheel: Gesture
    positions_pan: Gesture
    complaints: str


# --- in this process ------------------------------------------------------------------------


def _median_ms(function: Callable[[float], object], values: np.ndarray) -> float:
    times = []
    for value in values:
        start = time.perf_counter()
        function(float(value))
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times))


def _compute_times(path: Path, frame: tuple[int, int]) -> dict[str, float]:
    """Return medians of what the server computes for each gesture, in milliseconds."""
    rng = np.random.default_rng(0)
    with open_scan(path) as scan:
        shared = SharedScan(scan)
        line, grid = shared.strongest_line, scan.grid
        view = View.over(grid_with_margin(grid), *frame)
        width = line.high_kev - line.low_kev
        clip = (0.0, 99.5)

        def draw(low: float) -> None:
            scale_map(scan.energy_map(low, low + width), clip).seen(grid, view)

        draw(line.low_kev)
        scaled = scale_map(scan.energy_map(line.low_kev, line.high_kev), clip)
        counts = scan.spectrum(shared.brightest_spectrum)
        smooth_spectra(counts, 1.0)
        cloud = shared.cloud

        def aggregate(_: float) -> None:
            cloud.seen(view)

        aggregate(0)
        return {
            "window": _median_ms(draw, line.low_kev + 2.0 * rng.random(60)),
            "map": _median_ms(lambda _: scaled.seen(grid, view), np.zeros(20)),
            "positions": _median_ms(aggregate, np.zeros(20)),
            "sigma": _median_ms(lambda s: smooth_spectra(counts, s), rng.uniform(2, 12, 60)),
        }


# --- in the browser -------------------------------------------------------------------------


def _gesture(latency: Latency | None, drag: Drag | None, compute: float) -> Gesture:
    """Put together what was measured of a gesture, one at a time and while dragging."""
    parts: dict[str, float] = {}
    median = p95 = None
    size = 0.0
    if latency is not None:
        median, p95 = (float(value) for value in np.percentile(latency.painted, (50, 95)))
        size = float(np.median(latency.size))
        parts = _parts(latency, compute)
    elif drag is not None and drag.updates_per_second > 0:
        size = drag.bytes_per_second / drag.updates_per_second
    return Gesture(
        median,
        p95,
        drag and drag.updates_per_second,
        drag and drag.moves_per_second,
        drag and drag.last_update_ms,
        size / 1000,
        parts,
    )


def _parts(latency: Latency, compute: float) -> dict[str, float]:
    """Return where the time went, in medians."""
    answered = np.isfinite(latency.data)
    begun = np.where(answered, latency.data, 0.0)
    parts = {
        "next frame": float(np.median(latency.paint_start - begun)),
        "painting": float(np.median(latency.painted - latency.paint_start)),
    }
    if np.isfinite(latency.received).any():
        received = float(np.nanmedian(latency.received))
        parts = {
            "compute": min(compute, received),
            "server and websocket": max(received - compute, 0.0),
            "decoding": float(np.nanmedian(latency.data - latency.received)),
        } | parts
    elif answered.any():
        parts = {"compute in the browser": float(np.median(begun))} | parts
    return parts


def _drag_sigma(driver: Driver) -> Drag:
    thumb = driver.slider_thumb("Smoothing sigma").bounding_box()
    middle = (thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2)
    return driver.timed_drag("spectrum", middle, (60, 0))


def _drag_window(driver: Driver) -> Drag:
    place, (low, high) = driver.place("spectrum"), driver.window()
    start = driver.to_page("spectrum", (low + high) / 2, float(np.mean(place["y"])))
    return driver.timed_drag("map", start, (60, 0))


def _pan(driver: Driver, plot: str) -> Drag:
    """Zoom in, drag the plot about, and go back."""
    place = driver.place(plot)
    middle = (place["left"] + 0.6 * place["width"], place["top"] + 0.5 * place["height"])
    driver.page.mouse.move(*middle)
    for _ in range(8):
        driver.page.mouse.wheel(0, -120)
        driver.page.wait_for_timeout(60)
    driver.page.wait_for_timeout(500)
    drag = driver.timed_drag(plot, middle, (80, 60))
    driver.page.evaluate("(name) => Bokeh.index.find_one(probe.plot(name)).reset_range()", plot)
    driver.page.wait_for_timeout(500)
    return drag


def _gestures(driver: Driver, compute: dict[str, float]) -> dict[str, Gesture]:
    sigma = driver.sigma_latency()
    found = {"sigma": _gesture(sigma, _drag_sigma(driver), compute["sigma"])}
    low, high = driver.window()
    window = driver.window_latency(low=low, width=high - low)
    found["window"] = _gesture(window, _drag_window(driver), compute["window"])
    for plot in ("map", "positions"):
        found[f"{plot}_wheel"] = _gesture(driver.wheel_latency(plot), None, compute[plot])
        found[f"{plot}_pan"] = _gesture(None, _pan(driver, plot), compute[plot])
    return found


@contextmanager
def _visitor(browser: Browser, viewport: tuple[int, int]) -> Iterator[Driver]:
    """Yield somebody with an empty cache."""
    context = browser.new_context(viewport={"width": viewport[0], "height": viewport[1]})
    yield Driver(context.new_page())
    context.close()


def measure_page(
    path: Path, *, viewport: tuple[int, int] = VIEWPORT, first_visits: int = 3, next_visits: int = 7
) -> PageFigures:
    """Measure the page of a scan.

    Parameters
    ----------
    path : Path
        A zipstore of any size.
    viewport : (int, int)
        Width and height of the browser's window.
    first_visits : int
        Servers started, each for one first visitor.
    next_visits : int
        Visitors after the first, who come some seconds after one another.
    """
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = launch(playwright)
        demo = Path(folder) / f"{DEMO}.zipstore"
        shutil.copy(demo_scan(progress=False), demo)
        log, name = Path(folder) / "log", Path(path).stem
        first, later = [], []
        for number in range(first_visits):
            # The demo scan is what the server made itself ready with; ours it has not opened.
            with Server([str(demo), str(path)], log, warm=True) as server:
                with _visitor(browser, viewport) as driver:
                    driver.first_paint(f"{server.url}?scan={DEMO}")
                time.sleep(1)
                address = f"{server.url}?scan={name}"
                with _visitor(browser, viewport) as driver:
                    first.append(driver.first_paint(address))
                    time.sleep(1)
                if number < first_visits - 1:
                    continue
                for _ in range(next_visits):
                    time.sleep(_BETWEEN_S)
                    with _visitor(browser, viewport) as driver:
                        later.append(driver.first_paint(address))
                with _visitor(browser, viewport) as driver:
                    driver.first_paint(address)
                    driver.page.wait_for_timeout(1500)
                    frame = driver.place("map")
                    pixels = (round(frame["width"]), round(frame["height"]))
                    gestures = _gestures(driver, _compute_times(path, pixels))
        browser.close()
    with open_scan(path) as scan:
        return PageFigures(
            repr(scan),
            "{} x {}".format(*viewport),
            "{} x {}".format(*pixels),
            float(np.median(first)),
            float(np.median(later)),
            **gestures,
            complaints="; ".join(driver.complaints),
        )


_NAMES = {
    "sigma": "sigma to the line",
    "window": "window to the map",
    "map_wheel": "wheel zoom of the map",
    "map_pan": "pan of the map",
    "positions_wheel": "wheel zoom of the positions",
    "positions_pan": "pan of the positions",
}


def table(figures: PageFigures) -> str:
    """Return all of it as text."""
    columns = ("median", "p95", "updates/s", "of moves/s", "last", "kB")
    heads = "".join(f"{column:>11s}" for column in columns)
    first, later = figures.first_visitor_s, figures.next_visitor_s
    lines = [
        f"{figures.scan}; Chromium {figures.viewport}, the map in {figures.map_pixels} pixels",
        f"first paint in a running server: {first:.2f} s, for the next visitor {later:.2f} s",
        f"{'':28s}{heads}  medians of the parts, ms",
    ]
    for key, name in _NAMES.items():
        gesture: Gesture = getattr(figures, key)
        numbers = (
            (gesture.median_ms, " ms"),
            (gesture.p95_ms, " ms"),
            (gesture.updates_per_second, ""),
            (gesture.moves_per_second, ""),
            (gesture.last_ms, " ms"),
            (gesture.kilobytes, ""),
        )
        cells = "".join(
            f"{'-' if value is None else f'{value:.0f}{unit}':>11s}" for value, unit in numbers
        )
        parts = ", ".join(f"{part} {ms:.0f}" for part, ms in gesture.parts_ms.items())
        bound = f"; bound by {gesture.bound_by}" if gesture.bound_by else ""
        lines.append(f"{name:28s}{cells}  {parts}{bound}")
    lines.append(f"complaints of the browser: {figures.complaints or 'none'}")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_scan(progress=False)
    viewport = tuple(map(int, sys.argv[2].split("x"))) if len(sys.argv) > 2 else VIEWPORT
    print(table(measure_page(path, viewport=viewport)))


if __name__ == "__main__":
    main()
