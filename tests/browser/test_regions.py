"""Regions in a real browser: drawn with the mouse, by touch and by keys; their spectra."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator

from dashboard.data import SharedScan
from maxrf_core import open_scan
from maxrf_core.smoothing import smooth_spectra

from .driver import Driver
from .server import Server

FLOAT32 = 1e-4

_LINES = """
() => probe.plot('spectrum').renderers.filter((r) => r.name === 'region line').map((r) => ({
  counts: Array.from(r.data_source.data.counts), upper: Array.from(r.data_source.data.upper),
  lower: Array.from(r.data_source.data.lower), colour: r.glyph.line_color.value,
  visible: r.visible,
}))
"""
_BANDS = """
() => probe.plot('spectrum').renderers.filter((r) => r.name === 'region band')
  .map((r) => r.visible)
"""
_LEGEND = """
() => probe.plot('spectrum').center.find((m) => m.type === 'Legend')
  .items.map((item) => item.label.value)
"""
_ACTIVE = "() => probe.plot('map').toolbar.tools.filter((t) => t.active).map((t) => t.type)"


@pytest.fixture(scope="module")
def shared(scan_folder: Path) -> Iterator[SharedScan]:
    """The scan, opened here."""
    with open_scan(scan_folder / "manuscript.zipstore") as scan:
        yield SharedScan(scan)


def lines(page: Driver) -> list[dict[str, Any]]:
    """Return the lines of regions in the browser."""
    return page.page.evaluate(_LINES)


def legend(page: Driver) -> list[str]:
    """Return what the legend says of regions."""
    return page.page.evaluate(_LEGEND)[4:]


def items(page: Driver) -> Locator:
    """Return the regions in the list."""
    return page.page.get_by_role("list", name="Regions").get_by_role("listitem")


def press(page: Driver, name: str) -> None:
    """Press a button of the sidebar."""
    page.page.get_by_role("button", name=name, exact=True).click()


def corner(shared: SharedScan, row: float, column: float) -> tuple[float, float]:
    """Return motor steps of a place counted in cells from the centre of the first."""
    grid = shared.scan.grid
    return float(grid.x[0] + column * grid.dx), float(grid.y[0] + row * grid.dy)


def draw_box(page: Driver, shared: SharedScan, rows: slice, columns: slice) -> None:
    """Draw a rectangle around some cells with the mouse."""
    page.page.get_by_role("button", name="Rectangle", exact=True).click()
    page.until(lambda: "BoxSelectTool" in page.page.evaluate(_ACTIVE))
    start = page.to_page("map", *corner(shared, rows.start - 0.5, columns.start - 0.5))
    end = page.to_page("map", *corner(shared, rows.stop - 0.5, columns.stop - 0.5))
    page.drag(start, end)


def mean_of(shared: SharedScan, mask: np.ndarray, sigma: float = 7.0) -> np.ndarray:
    """Return the smoothed mean spectrum of a region, by a dense matrix."""
    scan = shared.scan
    weights = scan.operator(lag=scan.lag_corrected).matrix.toarray()[mask.ravel()].mean(axis=0)
    counts = scan.spectra(np.arange(scan.n_spectra)).astype(np.float64)
    return smooth_spectra(weights.astype(np.float64) @ counts, sigma)


def block(shared: SharedScan, rows: slice, columns: slice) -> np.ndarray:
    """Return the cells of a rectangle."""
    mask = np.zeros(shared.scan.grid.shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def test_a_rectangle_drawn_with_the_mouse_shows_its_mean_spectrum(
    page: Driver, shared: SharedScan
) -> None:
    """Line, band, legend and list; then the map is moved with the mouse again."""
    rows, columns = slice(10, 30), slice(5, 20)
    draw_box(page, shared, rows, columns)
    page.until(lambda: len(lines(page)) == 1)
    page.until(lambda: page.page.evaluate(_ACTIVE).count("PanTool") == 1)
    assert "BoxSelectTool" not in page.page.evaluate(_ACTIVE)
    page.until(lambda: items(page).count() == 1)
    page.says(re.compile(r"^\d+ cells$"))
    told = re.search(r"(\d+) cells", items(page).first.inner_text())
    # A pixel of the screen may be more than half a cell: the box is what was read back.
    (region,) = region_boxes(page)
    grid = shared.scan.grid
    mask = (
        ((grid.y >= region[1]) & (grid.y <= region[3]))[:, None]
        & (grid.x >= region[0])
        & (grid.x <= region[2])
    )
    assert abs(int(mask.sum()) - 300) < 60
    assert int(told[1]) == mask.sum()
    (line,) = lines(page)
    expected = mean_of(shared, mask)
    np.testing.assert_allclose(line["counts"], expected, rtol=FLOAT32, atol=1e-5)
    assert (np.array(line["upper"]) >= np.array(line["counts"])).all()
    assert legend(page) == [f"Region 1 · {mask.sum()} cells"]
    assert [len(one) for one in page.lines()[:4]] == [len(expected)] * 2 + [
        2 * len(expected),
        len(expected),
    ]


def region_boxes(page: Driver) -> list[list[float]]:
    """Return left, bottom, right and top of the outlines on the map, in motor steps."""
    return page.page.evaluate(
        """() => {
          const {xs, ys} = probe.plot('map').renderers
            .find((r) => r.name === 'region line').data_source.data;
          return Array.from(xs, (x, i) => [
            Math.min(...x), Math.min(...ys[i]), Math.max(...x), Math.max(...ys[i])]);
        }"""
    )


def test_a_lasso_and_a_polygon_are_drawn_and_pick_no_cell(page: Driver) -> None:
    """The lasso is simplified and in the address; taps are corners, and Enter ends it."""
    place = page.place("map")
    middle = (place["left"] + place["width"] / 2, place["top"] + place["height"] / 2)
    title = page.title("spectrum")
    press(page, "Lasso")
    page.until(lambda: "LassoSelectTool" in page.page.evaluate(_ACTIVE))
    page.page.mouse.move(middle[0] + 40, middle[1])
    page.page.mouse.down()
    for step in range(1, 50):
        angle = step / 50 * 2 * math.pi
        x, y = middle[0] + 40 * math.cos(angle), middle[1] + 50 * math.sin(angle)
        page.page.mouse.move(x, y)
    page.page.mouse.up()
    page.until(lambda: items(page).count() == 1)
    press(page, "Polygon")
    page.until(lambda: "PolySelectTool" in page.page.evaluate(_ACTIVE))
    page.says(re.compile("Tap the corners on the map"))
    for dx, dy in ((-30, -40), (30, -40), (0, 50)):
        page.page.mouse.click(middle[0] + dx, middle[1] + dy)
        page.page.wait_for_timeout(400)  # two quick clicks are a double click
    page.page.keyboard.press("Enter")
    page.until(lambda: items(page).count() == 2)
    page.until(lambda: len(lines(page)) == 2)
    assert page.title("spectrum") == title
    page.until(lambda: page.page.url.count("!p!") == 2)
    corners = page.page.url.split("Region+2!p!")[1].split("&")[0].split("!")
    assert len(corners) == 6


def test_regions_are_made_named_hidden_and_removed_with_keys_alone(
    page: Driver, shared: SharedScan
) -> None:
    """From the visible part of the map, and by threshold; the focus stays where it was."""
    keyboard = page.page.keyboard
    page.page.get_by_role("button", name="Visible part").focus()
    keyboard.press("Enter")
    page.until(lambda: items(page).count() == 1)
    grid = shared.scan.grid
    page.says(f"{grid.size:,} cells")
    page.page.get_by_role("button", name="Threshold").focus()
    keyboard.press("Enter")
    keyboard.type("20")
    keyboard.press("Enter")
    page.until(lambda: items(page).count() == 2)
    low, high = page.window()
    values = shared.scan.energy_map(low, high, lag=shared.scan.lag_corrected)
    inside = values >= 20
    page.says(f"{inside.sum():,} cells")
    page.until(lambda: len(lines(page)) == 2)
    expected = mean_of(shared, inside)
    np.testing.assert_allclose(lines(page)[1]["counts"], expected, rtol=FLOAT32, atol=1e-5)
    page.page.get_by_role("button", name="Rename Region 2").focus()
    keyboard.press("Enter")
    keyboard.type("ink <b>")
    keyboard.press("Enter")
    page.page.get_by_role("button", name="Hide ink <b>").focus()
    keyboard.press("Enter")
    page.page.get_by_role("button", name="Show ink <b>").wait_for()
    page.until(lambda: [one["visible"] for one in lines(page)] == [True, False])
    assert page.page.evaluate(_BANDS) == [True, False]
    page.page.get_by_role("button", name="Remove Region 1").focus()
    keyboard.press("Enter")
    page.until(lambda: items(page).count() == 1)
    page.until(lambda: legend(page) == [f"ink <b> · {inside.sum():,} cells"])


def test_a_link_shows_regions_in_another_browser_and_back_takes_one_away(
    page: Driver, browser: Browser, shared: SharedScan
) -> None:
    """Outlines, lines and hidden ones; back is an undo."""
    draw_box(page, shared, slice(3, 9), slice(4, 12))
    page.until(lambda: len(lines(page)) == 1)
    page.until(lambda: "Region+1!r!" in page.page.url)
    page.page.wait_for_timeout(1000)  # changes of one moment are one step of the history
    press(page, "Visible part")
    page.until(lambda: len(lines(page)) == 2)
    page.until(lambda: "Region+2!r!" in page.page.url)
    page.page.wait_for_timeout(1000)
    page.page.get_by_role("button", name="Hide Region 1").click()
    page.until(lambda: "hidden=Region+1" in page.page.url)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    other = Driver(context.new_page())
    other.open(page.page.url)
    other.until(lambda: len(lines(other)) == 2)
    assert [one["visible"] for one in lines(other)] == [False, True]
    assert [one["counts"] for one in lines(other)] == [one["counts"] for one in lines(page)]
    context.close()
    assert (other.complaints, other.strangers) == ([], [])
    page.page.go_back()
    page.until(lambda: [one["visible"] for one in lines(page)] == [True, True])
    page.page.go_back()
    page.until(lambda: items(page).count() == 1)
    page.until(lambda: len(lines(page)) == 1)


def test_regions_are_compared_in_a_table_that_is_downloaded(
    page: Driver, server: Server, shared: SharedScan
) -> None:
    """The numbers of the table are those of the file."""
    page.open(f"{server.url}?scan=manuscript&elements=Fe~Ca")
    press(page, "Visible part")
    page.until(lambda: items(page).count() == 1)
    press(page, "Compare")
    page.page.get_by_role("columnheader", name=re.compile("Fe Kα")).wait_for()
    row = page.page.get_by_role("row", name=re.compile("Region 1")).inner_text()
    with page.page.expect_download() as waiting:
        page.page.get_by_role("link", name="Download as CSV").click()
    text = Path(waiting.value.path()).read_text(encoding="utf-8")
    _, iron, _ = text.splitlines()
    net = float(iron.split(",")[5])
    assert f"{net:,.2f}"[:4] in row
    window = shared.elements.line("Fe").window
    mask = block(shared, slice(0, 46), slice(0, 30))
    weights = shared.scan.window_weights(*window, background="sides").net
    assert net == pytest.approx(weights @ mean_of(shared, mask, 0.0), rel=1e-4)


def test_a_view_is_saved_loaded_and_sent_as_a_file(page: Driver, tmp_path: Path) -> None:
    """Under a name beside the scan, and as a file for a colleague."""
    press(page, "Visible part")
    page.until(lambda: items(page).count() == 1)
    press(page, "Saved views")
    page.page.get_by_role("textbox", name="Name", exact=True).fill("the blue robe")
    page.page.keyboard.press("Enter")
    kept = page.page.get_by_role("button", name="the blue robe", exact=True)
    kept.wait_for()
    with page.page.expect_download() as waiting:
        press(page, "Save as a file")
    path = tmp_path / "view.json"
    waiting.value.save_as(path)
    assert json.loads(path.read_text())["regions"][0]["name"] == "Region 1"
    page.page.keyboard.press("Escape")
    page.page.get_by_role("button", name="Remove Region 1").click()
    page.until(lambda: len(lines(page)) == 0)
    press(page, "Saved views")
    kept.click()
    page.until(lambda: len(lines(page)) == 1)
    path.write_text(path.read_text().replace("Region 1", "robe"))
    with page.page.expect_file_chooser() as choosing:
        press(page, "Open a file …")
    choosing.value.set_files(path)
    page.until(lambda: legend(page)[:1] == ["robe · 1,380 cells"])
    path.write_text("{}")
    with page.page.expect_file_chooser() as choosing:
        press(page, "Open a file …")
    choosing.value.set_files(path)
    page.says(re.compile("The preset's version is None"))
    press(page, "Delete the blue robe")
    page.page.get_by_text("Really delete?").click()
    kept.wait_for(state="detached")


def test_on_a_phone_a_rectangle_is_drawn_with_a_finger(
    browser: Browser, server: Server, shared: SharedScan
) -> None:
    """With the tool on the map; nothing is wider than the screen."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = Driver(context.new_page())
    page.open(f"{server.url}?scan=manuscript")
    assert page.sideways() == 0
    page.page.evaluate(
        "() => Bokeh.index.find_one(probe.plot('map')).el.scrollIntoView({block: 'center'})"
    )
    page.page.wait_for_timeout(500)
    page.page.evaluate(
        """() => probe.plot('map').toolbar.tools
             .find((t) => t.type === 'BoxSelectTool').active = true"""
    )
    start = page.to_page("map", *corner(shared, 10, 5))
    end = page.to_page("map", *corner(shared, 30, 20))
    page.swipe((start, end))
    page.until(lambda: len(lines(page)) == 1)
    context.close()
    assert (page.complaints, page.strangers) == ([], [])
