"""The real page in a real browser: every gesture of the three views."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dashboard.scaling import scale_map
from maxrf_core import Scan, open_scan

from .driver import Driver
from .server import Server


@pytest.fixture(scope="module")
def scan(scan_folder: Path) -> Iterator[Scan]:
    with open_scan(scan_folder / "manuscript.zipstore") as opened:
        yield opened


def test_first_screen_is_useful(page: Driver, scan: Scan) -> None:
    """A visitor sees which scan it is, a map that varies, and a spectrum with counts."""
    page.says("manuscript")
    page.says(f"{scan.n_spectra:,} spectra × 4,096 channels · 46 × 30 cells")
    assert len(np.unique(page.levels())) > 20
    assert max(line.max() for line in page.lines()) > 3


_BUNDLES = """
() => performance.getEntriesByType('resource').filter((e) => /ui\\.bundle\\.js/.test(e.name))
  .map((e) => e.initiatorType)
"""


def test_the_script_of_the_components_is_read_once_and_early(page: Driver) -> None:
    """The head of the page asks for it; asked for later it holds the first picture up."""
    assert page.page.evaluate(_BUNDLES) == ["link"]


def test_map_in_the_browser_is_the_scans(page: Driver, scan: Scan) -> None:
    """The picture is the map of the window shown, row 0 at the bottom, not something like it."""
    values = scan.energy_map(*page.window())
    np.testing.assert_array_equal(page.levels(), scale_map(values, (0.0, 99.5)).levels.ravel())


def test_equal_aspect_holds_through_zoom(page: Driver) -> None:
    """A motor step is as long in x as in y, before and after a wheel zoom."""

    def ratio(plot: str) -> float:
        place = page.place(plot)
        across = (place["x"][1] - place["x"][0]) / place["width"]
        return across / ((place["y"][1] - place["y"][0]) / place["height"])

    for plot in ("map", "positions"):
        assert ratio(plot) == pytest.approx(1, rel=1e-3)
        before = page.place(plot)
        page.page.mouse.move(*page.to_page(plot, np.mean(before["x"]), np.mean(before["y"])))
        page.page.mouse.wheel(0, -300)
        page.until(lambda p=plot, b=before: page.place(p)["x"] != b["x"])
        assert ratio(plot) == pytest.approx(1, rel=1e-3)


def test_a_frame_of_another_shape_shows_what_was_in_view(page: Driver) -> None:
    """All of it where nobody zoomed, and the same middle where somebody did."""
    home = page.place("map")
    page.page.set_viewport_size({"width": 1700, "height": 760})
    page.until(lambda: page.place("map")["width"] > 1.2 * home["width"])

    def fits() -> bool:
        place = page.place("map")
        spans = [
            np.ptp(place[axis]) / place[side] for axis, side in (("x", "width"), ("y", "height"))
        ]
        reset = page.page.evaluate("() => probe.plot('map').x_range.reset_start")
        return abs(spans[0] / spans[1] - 1) < 1e-3 and place["x"][0] == pytest.approx(reset)

    page.until(fits)
    page.page.mouse.move(*page.to_page("map", *(np.mean(page.place("map")[axis]) for axis in "xy")))
    page.page.mouse.wheel(0, -400)
    page.until(lambda: np.ptp(page.place("map")["x"]) < 0.8 * np.ptp(home["x"]))
    zoomed = page.place("map")
    page.page.set_viewport_size({"width": 1280, "height": 800})
    page.until(lambda: page.place("map")["width"] == home["width"])
    page.page.wait_for_timeout(300)
    for axis in "xy":
        seen = page.place("map")[axis]
        assert np.mean(seen) == pytest.approx(np.mean(zoomed[axis]), rel=1e-6)
        assert np.ptp(seen) < 2.2 * np.ptp(zoomed[axis])


def test_tap_on_a_position_shows_the_nearest_spectrum(page: Driver, scan: Scan) -> None:
    """The spectrum, its counts and both marks follow a tap on the motor positions."""
    wanted = 777
    x, y = scan.positions[wanted]
    before = page.title("spectrum"), page.marker("map")
    page.tap("positions", x, y)
    page.until(lambda: page.title("spectrum") != before[0] and page.marker("map") != before[1])
    page.until(lambda: page.marker("map") == page.marker("positions"))
    shown = int(re.match(r"Spectrum ([\d,]+)", page.title("spectrum"))[1].replace(",", ""))
    nearest = np.hypot(*((scan.positions - (x, y)) / scan.pitch).T)
    place = page.place("positions")
    pixel = (place["x"][1] - place["x"][0]) / place["width"] / min(scan.pitch)
    assert nearest[shown] <= 2 * pixel  # the mouse moves in whole pixels
    assert page.marker("map") == pytest.approx(tuple(scan.positions[shown]))
    page.until(lambda: page.lines()[2].sum() == 2 * scan.spectrum(shown).sum())


def test_tap_on_the_map_shows_the_cells_spectrum(page: Driver, scan: Scan) -> None:
    """The interpolated spectrum of the tapped cell is drawn, and the cell marked."""
    row, column = 17, 9
    page.tap("map", scan.grid.x[column], scan.grid.y[row])
    page.until(lambda: f"row {row}, column {column}" in page.title("spectrum"))
    expected = scan.cell_spectrum(row, column, sigma=7)
    page.until(lambda: np.allclose(page.lines()[3], expected, atol=1e-5))
    assert page.marker("positions") == pytest.approx((scan.grid.x[column], scan.grid.y[row]))


def test_hover_names_cell_place_and_value(page: Driver, scan: Scan) -> None:
    """The tooltip reads the map that the core computed, at the cell under the pointer."""
    row, column = 30, 21
    page.page.mouse.move(*page.to_page("map", scan.grid.x[column], scan.grid.y[row]))
    page.says(f"row {row}, column {column}")
    value = scan.energy_map(*page.window())[row, column]
    page.says(re.compile(rf"^{value:.2f}".rstrip("0").rstrip(".")))


def test_pointer_over_positions_reads_the_nearest_spectrum(page: Driver, scan: Scan) -> None:
    """Number and position stand above the plot, before anything is tapped."""
    x, y = scan.positions[600]
    page.page.mouse.move(*page.to_page("positions", x, y))
    page.says(re.compile(r"^nearest ● [\d,]+ · x [\d,]+ · y [\d,]+$"))


def test_sigma_follows_the_hand_while_dragging(page: Driver) -> None:
    """The smoothed line changes before the mouse button is released."""
    before = page.lines()[3]
    thumb = page.slider_thumb("Smoothing sigma").bounding_box()
    x, y = thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 60, y, steps=5)
    page.until(lambda: not np.array_equal(page.lines()[3], before))
    assert page.lines()[3].max() < before.max()  # wider is flatter
    page.page.mouse.up()
    page.until(lambda: "sigma=" in page.page.url)


def test_window_is_dragged_on_the_spectrum(page: Driver, scan: Scan) -> None:
    """Moving the box moves the window; its edge resizes it; the map follows the hand."""
    low, high = page.window()
    middle = np.mean(page.place("spectrum")["y"])
    start = page.to_page("spectrum", (low + high) / 2, middle)
    page.drag(start, (start[0] - 60, start[1]))
    moved = page.window()
    assert moved[1] - moved[0] == pytest.approx(high - low, abs=1e-6)
    assert moved[0] < low
    expected = scale_map(scan.energy_map(*moved), (0.0, 99.5)).levels.ravel()
    page.until(lambda: np.array_equal(page.levels(), expected))
    edge = page.to_page("spectrum", moved[1], middle)
    page.drag(edge, (edge[0] + 40, edge[1]))
    assert page.window()[1] > moved[1]
    assert page.window()[0] == pytest.approx(moved[0], abs=1e-6)


def test_number_fields_and_rois_set_the_window(page: Driver) -> None:
    """Typing an energy or choosing one of the file's ROIs moves the box and the map."""
    page.page.get_by_label("from (keV)", exact=True).fill("6.1")
    page.page.get_by_label("from (keV)", exact=True).press("Enter")
    page.until(lambda: page.window()[0] == pytest.approx(6.1))
    page.choose("ROI of the file", "FeKa")
    page.until(lambda: page.window() == pytest.approx((6.169, 6.612)))
    page.until(lambda: page.title("map").startswith("6.169–6.612 keV"))


def test_every_method_draws_its_map(page: Driver, scan: Scan) -> None:
    """Each interpolation can be chosen and gives the map that the core computes."""
    for method in ("selected", "nearest", "linear", "kriging"):
        page.choose("Interpolation", method)
        page.until(lambda m=method: page.title("map").endswith(m))
        expected = scale_map(scan.energy_map(*page.window(), method=method), (0.0, 99.5))
        page.until(lambda e=expected: np.array_equal(page.levels(), e.levels.ravel()))


def test_view_is_in_the_address_and_back_restores_it(page: Driver) -> None:
    """A gesture is one entry of the history; back and a copied link give the view again."""
    first = page.title("map")
    page.choose("ROI of the file", "CaKa")
    page.until(lambda: "window=3.516~3.85" in page.page.url)
    page.page.wait_for_timeout(900)  # a gesture within 800 ms belongs to the same entry
    page.choose("ROI of the file", "FeKa")
    page.until(lambda: "window=6.169~6.612" in page.page.url)
    link = page.page.url
    page.page.go_back()
    page.until(lambda: page.title("map").startswith("3.516–3.850"))
    page.page.go_back()
    page.until(lambda: page.title("map") == first)
    page.page.go_forward()
    page.until(lambda: page.title("map").startswith("3.516–3.850"))
    page.open(link)
    assert page.title("map").startswith("6.169–6.612")
    assert page.window() == pytest.approx((6.169, 6.612))


def test_bad_address_falls_back_key_by_key(driver: Driver, server: Server) -> None:
    """One wrong value costs itself alone, and the page says so, as text."""
    driver.open(
        f"{server.url}?scan=manuscript&sigma=3.5&window=9~1&method=<img src=x onerror=alert(1)>"
        "&spectrum=99999999"
    )
    assert "smoothing 42 eV" in driver.title("spectrum")  # 3.5 channels of 11.95 eV
    for told in ("window='9~1' in the", "method='<img src=x", "spectrum='99999999' in the"):
        driver.says(told)
    assert driver.page.locator("img[src='x']").count() == 0


def test_scan_is_converted_from_the_page(driver: Driver, server: Server, scan_folder: Path) -> None:
    """An unconverted Crono file offers a button; afterwards its views are there."""
    driver.page.goto(f"{server.url}?scan=to-convert")
    driver.page.get_by_role("button", name="Convert").click()
    driver.wait_for_plots()
    assert (scan_folder / "to-convert.zipstore").is_file()
    assert not list(scan_folder.glob(".*"))
    driver.says("259 spectra × 4,096 channels · 12 × 9 cells")


def test_broken_scan_says_what_is_wrong(driver: Driver, server: Server) -> None:
    """A zipstore that was cut short gives a sentence, and the other scans still open."""
    driver.page.goto(f"{server.url}?scan=broken")
    driver.says("broken.zipstore is not a whole zipstore")
    driver.choose("Scan", "manuscript")
    driver.wait_for_plots()


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (390, 844)])
def test_layout_holds_on_every_screen(
    driver: Driver, server: Server, size: tuple[int, int]
) -> None:
    """No sideways scrolling; on a phone the views are stacked, the drawer shut."""
    driver.page.set_viewport_size({"width": size[0], "height": size[1]})
    driver.open(f"{server.url}?scan=manuscript")
    wide = driver.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= size[0]
    positions, energy_map, spectrum = map(driver.place, ("positions", "map", "spectrum"))
    assert spectrum["top"] > energy_map["top"]
    if size[0] < 700:
        assert energy_map["top"] > positions["top"] + positions["height"]
        driver.until(lambda: not driver.page.get_by_label("Interpolation").is_visible())
    else:
        assert abs(energy_map["top"] - positions["top"]) < 40
        assert spectrum["top"] + spectrum["height"] < size[1]


def test_server_without_its_scans_says_so(driver: Driver, tmp_path: Path) -> None:
    """Panel would show a blank page with status 200."""
    with Server([str(tmp_path / "gone.zipstore")], tmp_path / "server.log") as lost:
        driver.page.goto(lost.url)
        driver.says("This page could not start")
        driver.says(re.compile("there is no file or folder .*gone.zipstore"))
        driver.page.close()  # else it would look for its server, and complain
