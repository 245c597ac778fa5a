"""A map of more cells than its plot has pixels, in a real browser: sent as it is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser

from dashboard.data import SharedScan
from dashboard.pixels import View, block_mean, bounds_of, grid_bins, to_levels
from dashboard.scaling import scale_map
from maxrf_core import convert_crono, open_scan, simulate_crono

from .driver import Driver
from .server import Server

CLIP = (0.0, 99.5)


@pytest.fixture(scope="module")
def zipstore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan of 310 x 250 cells: 77,500, and 81,660 spectra."""
    made = tmp_path_factory.mktemp("large") / "large.HDF5"
    simulate_crono(made, shape=(310, 250), n_channels=256, seed=4)
    converted = Path(convert_crono(made, cubes=False, progress=False, method="nearest"))
    made.unlink()
    return converted


@pytest.fixture(scope="module")
def shared(zipstore: Path) -> Iterator[SharedScan]:
    """The same scan, opened here."""
    with open_scan(zipstore) as scan:
        yield SharedScan(scan)


@pytest.fixture(scope="module")
def large_server(zipstore: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that scan."""
    with Server([str(zipstore)], tmp_path_factory.mktemp("log") / "server.log") as running:
        yield running


@pytest.fixture
def large(driver: Driver, large_server: Server) -> Driver:
    """A visitor who has the large scan before them."""
    driver.open(large_server.url)
    return driver


def wheel(driver: Driver, plot: str, ticks: int) -> None:
    """Turn the wheel over a plot, towards it when positive."""
    place = driver.place(plot)
    driver.page.mouse.move(
        place["left"] + 0.6 * place["width"], place["top"] + 0.4 * place["height"]
    )
    for _ in range(abs(ticks)):
        driver.page.mouse.wheel(0, -120 if ticks > 0 else 120)
        driver.page.wait_for_timeout(30)


def view_of(driver: Driver, plot: str) -> View:
    """Return what a plot shows now."""
    place = driver.place(plot)
    (x0, x1), (y0, y1) = place["x"], place["y"]
    return View.over((x0, y0, x1, y1), place["width"], place["height"])


def is_map(driver: Driver, shared: SharedScan, values: npt.NDArray[np.float32]) -> bool:
    """Return whether the picture is the part of a map that is seen, in the bins that it should be.

    The picture must cover the view, and lie where the cells lie.
    """
    view, grid = view_of(driver, "map"), shared.scan.grid
    rows, columns = grid_bins(grid, (view.left, view.bottom, view.right, view.top), view.pixel)
    scaled = scale_map(values, CLIP)
    wanted = to_levels(block_mean(values, rows, columns), scaled.low, scaled.high)
    left, bottom, _, _ = bounds_of(grid, rows, columns)
    levels, edges = driver.picture("map")
    width, height = grid.dx * columns.cells, grid.dy * rows.cells
    size = (edges[2] - edges[0]) / width, (edges[3] - edges[1]) / height
    if not np.allclose(size, levels.shape[::-1], rtol=1e-6):
        return False
    i, j = (bottom - edges[1]) / height, (left - edges[0]) / width
    if abs(i - round(i)) > 1e-6 or abs(j - round(j)) > 1e-6 or min(round(i), round(j)) < 0:
        return False
    part = levels[round(i) : round(i) + wanted.shape[0], round(j) : round(j) + wanted.shape[1]]
    return np.array_equal(part, wanted)


def test_the_whole_map_is_as_many_means_as_there_are_pixels(
    large: Driver, shared: SharedScan
) -> None:
    """Fewer than cells, and the outer edges of the picture are those of the grid, to the digit."""
    values = shared.scan.energy_map(*large.window())
    large.until(lambda: is_map(large, shared, values))
    levels, edges = large.picture("map")
    place = large.place("map")
    assert edges == pytest.approx(shared.scan.grid.bounds, rel=1e-12)
    assert levels.size < shared.scan.grid.size
    assert levels.shape[1] <= place["width"] + 1
    assert levels.shape[0] <= place["height"] + 1


def test_a_zoom_shows_cells_and_is_kept_when_the_window_moves(
    large: Driver, shared: SharedScan
) -> None:
    """Wheel, then drag the window on the spectrum: the same part, of the new map."""
    values = shared.scan.energy_map(*large.window())
    wheel(large, "map", 12)
    large.until(lambda: is_map(large, shared, values))
    assert view_of(large, "map").pixel[0] < shared.scan.grid.dx
    before = large.place("map")
    low, high = large.window()
    middle = float(np.mean(large.place("spectrum")["y"]))
    start = large.to_page("spectrum", (low + high) / 2, middle)
    large.drag(start, (start[0] - 70, start[1]))
    moved = shared.scan.energy_map(*large.window())
    assert not np.array_equal(moved, values)
    large.until(lambda: is_map(large, shared, moved))
    after = large.place("map")
    assert (before["x"], before["y"]) == (after["x"], after["y"])
    assert large.picture("map")[0].size < 0.2 * shared.scan.grid.size  # no more than is seen


def test_a_pan_brings_what_it_uncovers(large: Driver, shared: SharedScan) -> None:
    """While the hand moves, and when it rests the picture is that of the new place."""
    wheel(large, "map", 12)
    large.page.evaluate("() => probe.box().setv({left: 6.2})")
    large.until(lambda: large.title("map").startswith("6.200"))
    values = shared.scan.energy_map(*large.window())
    large.until(lambda: is_map(large, shared, values))
    levels, first = large.picture("map")
    assert levels.size < 0.2 * shared.scan.grid.size
    place = large.place("map")
    middle = place["left"] + place["width"] / 2, place["top"] + place["height"] / 2
    large.drag(middle, (middle[0] + 110, middle[1] - 60), steps=15)
    large.until(lambda: is_map(large, shared, values) and large.picture("map")[1] != first)


def test_a_reset_shows_all_of_the_map_again(large: Driver, shared: SharedScan) -> None:
    """In means, as at first."""
    values = shared.scan.energy_map(*large.window())
    home = large.place("map")["x"]
    wheel(large, "map", 8)
    large.until(lambda: large.place("map")["x"] != home)
    large.page.evaluate("() => Bokeh.index.find_one(probe.plot('map')).reset_range()")
    large.until(lambda: large.place("map")["x"] == pytest.approx(home))
    large.until(lambda: is_map(large, shared, values))
    assert large.picture("map")[1] == pytest.approx(shared.scan.grid.bounds)


@pytest.mark.parametrize("ticks", [0, 14], ids=["means", "cells"])
def test_the_tooltip_tells_the_very_cell(large: Driver, shared: SharedScan, ticks: int) -> None:
    """Its value is the map's own at that cell, whatever the colour under the pointer stands for."""
    wheel(large, "map", ticks)
    large.page.wait_for_timeout(300)
    values, grid = shared.scan.energy_map(*large.window()), shared.scan.grid
    place = large.place("map")
    x, y = (low + 0.52 * (high - low) for low, high in (place["x"], place["y"]))
    large.page.mouse.move(*large.to_page("map", x, y))
    large.says(re.compile(r"^row \d+, column \d+$"))
    told = large.page.get_by_text(re.compile(r"^row \d+, column \d+$")).first.text_content()
    row, column = map(int, re.findall(r"\d+", told))
    step = view_of(large, "map").pixel
    assert abs(grid.x[column] - x) < grid.dx / 2 + 2 * step[0]
    assert abs(grid.y[row] - y) < grid.dy / 2 + 2 * step[1]
    large.says(re.compile("^mean of .* cells$" if ticks == 0 else "^of the cell$"))
    value = f"{values[row, column]:,.2f}".rstrip("0").rstrip(".")
    large.says(re.compile(f"^{re.escape(value)}$"))


def test_positions_are_drawn_for_the_zoom(large: Driver, shared: SharedScan) -> None:
    """Each pixel of the picture is a pixel of the screen, and counts the positions in it."""
    wheel(large, "positions", 9)

    def drawn() -> bool:
        levels, edges = large.picture("positions")
        wanted = shared.cloud.seen(view_of(large, "positions"))
        return np.allclose(edges, wanted.bounds, rtol=1e-9) and np.array_equal(
            levels, wanted.levels
        )

    large.until(drawn)
    assert large.picture("positions")[0].any()


def test_a_sharp_screen_gets_its_own_pixels(
    browser: Browser, large_server: Server, shared: SharedScan
) -> None:
    """Two for one of the page's: a phone sees more cells than the page has pixels."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True
    )
    driver = Driver(context.new_page())
    driver.open(large_server.url)
    width = driver.place("map")["width"]
    driver.until(lambda: driver.picture("map")[0].shape[1] > 1.2 * width)
    levels, edges = driver.picture("map")
    assert levels.shape[1] <= shared.scan.grid.width
    assert edges == pytest.approx(shared.scan.grid.bounds, rel=1e-12)
    assert driver.complaints == []
    context.close()


# --- the line that the browser smooths itself -----------------------------------------------


@pytest.mark.parametrize("log", [False, True], ids=["linear", "log"])
@pytest.mark.parametrize("query", ["spectrum=40000", "cell=120~77"])
def test_the_browsers_smoothing_is_the_cores(
    driver: Driver, large_server: Server, shared: SharedScan, query: str, log: bool
) -> None:
    """Before the server has heard of the new sigma: the same to a rounding of float32."""
    driver.open(f"{large_server.url}?{query}{'&log=1' if log else ''}")
    scan = shared.scan
    raw = scan.spectrum(40_000) if "spectrum" in query else scan.cell_spectrum(120, 77)
    assert raw.max() > 3
    before = driver.lines()[3]
    smoothed = """async (sigma) => {
        probe.slider('Smoothing').value = sigma;
        await new Promise(setTimeout);  // a turn of the event loop: nothing came from the server
        return probe.lines('spectrum')[3];
    }"""
    for sigma in (0.1, 1.0, 3.3, 12.7, 0.0, 30.0):
        line = np.array(driver.page.evaluate(smoothed, sigma), dtype=np.float32)
        expected = scan.spectrum(40_000, sigma=sigma) if "spectrum" in query else None
        if expected is None:
            expected = scan.cell_spectrum(120, 77, sigma=sigma)
        if log:
            expected = np.maximum(expected, np.float32(1e-4))
        np.testing.assert_allclose(line, expected, rtol=2e-6, atol=1e-6)
        assert not np.array_equal(line, before)
        before = line
    title = driver.title("spectrum")
    driver.until(lambda: "sigma=30" in driver.page.url)
    driver.page.wait_for_timeout(300)  # the server has told its own by now
    assert driver.title("spectrum") == title
    np.testing.assert_allclose(driver.lines()[3], before, rtol=2e-6, atol=1e-6)
