"""How long a visitor waits: ``python -m tests.benchmarks.page [SCAN.zipstore]``.

Times in this process first (window to map, sigma to line), then in Chromium against a real
server: from its start to the first useful paint, from a gesture to the painted plot, one at
a time, and while a mouse drags for three seconds. Without an argument, the demo scan.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from maxrf_core import open_scan
from maxrf_core.demo import demo_scan
from maxrf_core.smoothing import smooth_spectra
from tests.browser.driver import Driver, launch
from tests.browser.server import Server


def _milliseconds(function: Callable[[float], object], values: np.ndarray) -> str:
    times = []
    for value in values:
        start = time.perf_counter()
        function(float(value))
        times.append((time.perf_counter() - start) * 1000)
    return f"{np.median(times):.2f} (p95 {np.percentile(times, 95):.2f}) ms"


def _in_process(path: Path) -> None:
    rng = np.random.default_rng(0)
    with open_scan(path) as scan:
        print(f"{scan!r}, in this process:")
        scan.energy_map(5.0, 6.0)
        counts = scan.spectrum(scan.n_spectra // 2)
        lows = rng.uniform(1.0, 15.0, 200)
        sigmas = rng.uniform(1.0, 12.0, 200)
        smooth_spectra(counts, 1.0)
        rows = [
            ("window to map", lambda low: scan.energy_map(low, low + 0.4), lows),
            ("window to map, smoothed", lambda low: scan.energy_map(low, low + 0.4, sigma=7), lows),
            ("window to error map", lambda low: scan.energy_map_error(low, low + 0.4), lows),
            ("sigma to smoothed line", lambda sigma: smooth_spectra(counts, sigma), sigmas),
        ]
        for name, function, values in rows:
            print(f"  {name:28s} {_milliseconds(function, values)}")


def _in_browser(path: Path) -> None:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = launch(playwright)
        start = time.perf_counter()
        with Server([str(path)], Path(folder) / "log") as server:
            driver = Driver(browser.new_page(viewport={"width": 1280, "height": 800}))
            driver.open(server.url)
            print("in Chromium, 1280 x 800:")
            print(
                f"  start of panel serve to first useful paint {time.perf_counter() - start:.1f} s"
            )
            second = Driver(browser.new_page(viewport={"width": 1280, "height": 800}))
            start = time.perf_counter()
            second.open(server.url)
            print(
                f"  the next visitor's first useful paint      {time.perf_counter() - start:.1f} s"
            )
            second.page.close()
            print(f"  sigma, one at a time:  {driver.sigma_latency().summary()}")
            low, high = driver.window()
            window = driver.window_latency(low=low, width=high - low)
            print(f"  window, one at a time: {window.summary()}")
            thumb = driver.slider_thumb("Smoothing sigma").bounding_box()
            middle = (thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2)
            drag = driver.timed_drag("spectrum", middle, 60)
            print(
                f"  sigma drag:  {drag.updates_per_second:.0f} updates/s, "
                f"the last {drag.last_update_ms:.0f} ms after the hand"
            )
            place = driver.place("spectrum")
            low, high = driver.window()
            start_at = driver.to_page("spectrum", (low + high) / 2, float(np.mean(place["y"])))
            drag = driver.timed_drag("map", start_at, 60)
            print(
                f"  window drag: {drag.updates_per_second:.0f} updates/s, "
                f"the last {drag.last_update_ms:.0f} ms after the hand"
            )
            print(f"  complaints of the browser: {driver.complaints or 'none'}")
        browser.close()


def main() -> None:
    """Run and print all of it."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_scan(progress=False)
    _in_process(path)
    _in_browser(path)


if __name__ == "__main__":
    main()
