"""How long a gallery takes: ``python -m tests.benchmarks.gallery SCAN.zipstore [WIDTHxHEIGHT]``.

In Chromium against a real server: from the click on Gallery to the frame in which the last of 24
maps is painted, for the first visitor of a process, whose windows nobody has read yet, and for
the next. What the server computes is timed in this process as well.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from playwright.sync_api import sync_playwright

from dashboard.data import SharedScan
from dashboard.gallery_maps import kept_map, maps_of
from dashboard.layers import Asked
from dashboard.pixels import View
from dashboard.scaling import scale_map
from maxrf_core import open_scan
from tests.browser.driver import Driver, launch
from tests.browser.server import Server

__all__ = ["GalleryFigures", "measure_gallery"]

ELEMENTS = (
    *("S", "Cl", "K", "Ca", "Ti", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As", "Se"),
    *("Br", "Sr", "Cd", "Sn", "Sb", "Ba", "Au", "Hg", "Pb", "Pb Lb"),
)

_WATCH = """
() => {
  const models = () => Bokeh.documents.flatMap((doc) => [...doc._all_models.values()]);
  window.gallery = {};
  const list = () => {
    const model = models().find((m) => m.class_name === "MapGrid");
    return model && Bokeh.index.find_one(model)?.shadow_el.querySelector(".maps");
  };
  const is_drawn = () => list()?.getAttribute("aria-busy") === "false"
    && list().querySelectorAll("canvas").length > 0 && list().offsetParent !== null;
  gallery.from = (start) => {
    const times = gallery.times = {};
    const look = () => {
      const drawn = [...(list()?.querySelectorAll(".map") ?? [])]
        .filter((figure) => !figure.classList.contains("waiting")).length;
      if (drawn) times.first ??= performance.now() - start;
      if (is_drawn()) setTimeout(() => { times.last = performance.now() - start; });
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  };
  window.addEventListener("click", () => gallery.from(performance.now()), true);
  gallery.pixels = () => [...list().querySelectorAll(".map")]
    .map((figure) => figure.map.picture.levels.length);
}
"""


@dataclass(frozen=True)
class GalleryFigures:
    """What was measured, in milliseconds but for the last.

    Parameters
    ----------
    first_click, next_click : float
        From the click to the last of the maps painted: for the first visitor of a process, and
        for another one after them.
    first_map, next_first_map : float
        The same to the first map.
    server_first, server_next : float
        The maps alone, in one thread: read for the first time, and kept.
    first_cpu, next_cpu : float
        Processor time of the server from the click on, all its threads together: on a machine
        that does other things as well, it says what a quiet one would take. NaN but on Linux.
    kilobytes : float
        Pixels sent for all maps.
    """

    first_click: float
    next_click: float
    first_map: float
    next_first_map: float
    server_first: float
    server_next: float
    first_cpu: float
    next_cpu: float
    kilobytes: float


def _cpu_ms(process: int) -> float:
    """Return the processor time of a process so far, in milliseconds."""
    try:
        fields = (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        )
    except OSError:
        return float("nan")
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _server_times(path: Path) -> tuple[float, float]:
    """Return how long the maps take, for the first time and again, in milliseconds."""
    times = []
    with open_scan(path) as scan:
        shared = SharedScan(scan)
        maps, _ = maps_of(shared, ELEMENTS, Asked((0.0, 0.0), scan.method))
        scan.energy_map(*maps[0].asked.window)
        left, bottom, right, top = scan.grid.bounds
        view = View.over((left, bottom, right, top), 240, 240)
        scale_map(np.arange(600, dtype=np.float32).reshape(20, 30), (0, 99)).seen(scan.grid, view)
        for _ in range(2):
            start = time.perf_counter()
            for each in maps:
                scale_map(kept_map(shared, each.asked), (0, 99.5)).seen(scan.grid, view)
            times.append(1000 * (time.perf_counter() - start))
    return times[0], times[1]


def measure_gallery(path: Path, viewport: tuple[int, int] = (1280, 800)) -> GalleryFigures:
    """Measure the gallery of a scan in Chromium."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        clicks, cpu = [], []
        with Server([str(path)], Path(folder) / "log", warm=True) as server:
            query = f"scan={quote(path.stem)}&elements={quote('~'.join(ELEMENTS), safe='~')}"
            for _ in range(2):
                context = browser.new_context(
                    viewport={"width": viewport[0], "height": viewport[1]}
                )
                driver = Driver(context.new_page())
                driver.open(f"{server.url}?{query}")
                driver.page.evaluate(_WATCH)
                before = _cpu_ms(server._process.pid)
                driver.page.get_by_role("button", name="Gallery").click()
                driver.page.wait_for_function("() => gallery.times?.last", timeout=120_000)
                cpu.append(_cpu_ms(server._process.pid) - before)
                clicks.append(driver.page.evaluate("() => gallery.times"))
                pixels = driver.page.evaluate("() => gallery.pixels()")
                assert len(pixels) == len(ELEMENTS)
                assert driver.complaints == []
                context.close()
        browser.close()
    first, later = clicks
    return GalleryFigures(
        first["last"], later["last"], first["first"], later["first"], *_server_times(path), *cpu,
        sum(pixels) / 1000,
    )  # fmt: skip


def main() -> None:
    """Print the figures."""
    path = Path(sys.argv[1])
    size = sys.argv[2] if len(sys.argv) > 2 else "1280x800"
    width, height = (int(side) for side in size.split("x"))
    found = measure_gallery(path, (width, height))
    print(f"{path.name}, {len(ELEMENTS)} maps, window of {width} x {height}")
    for name, value in vars(found).items():
        unit = "kB" if name == "kilobytes" else "ms"
        print(f"{name.replace('_', ' '):16s} {value:8.0f} {unit}")


if __name__ == "__main__":
    main()
