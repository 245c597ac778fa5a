"""The gallery in a real browser: what is drawn is what is computed, and every gesture is linked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Locator, Position

from dashboard.data import SharedScan
from dashboard.layers import Asked
from dashboard.scaling import scale_map
from dashboard.theme import COLOURS, palette
from maxrf_core import convert_crono, open_scan, simulate_crono

from .driver import Driver
from .server import Server

WIDE, PHONE = (1280, 800), (390, 844)
CLIP = (0.0, 99.5)
ELEMENTS = ("Fe", "Cu", "Pb La")
SHAPE = (66, 60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scan of 66 x 60 cells."""
    folder = tmp_path_factory.mktemp("gallery")
    made = folder / "folio.HDF5"
    simulate_crono(made, shape=SHAPE, seed=3)
    convert_crono(made, cubes=False, progress=False)
    made.unlink()
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[SharedScan]:
    """The scan, opened here."""
    with open_scan(folder / "folio.zipstore") as scan:
        yield SharedScan(scan)


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server shows the scan; it must not stumble over anything that a visitor does."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with Server([str(folder)], log) as running:
        yield f"{running.url}?scan=folio"
    assert "Traceback" not in log.read_text()


class GalleryPage:
    """A visitor with the gallery before them."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.page = driver, driver.page

    def open(self, url: str, size: tuple[int, int] = WIDE) -> None:
        """Open an address, and wait until all maps are drawn."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.goto(url)
        self.wait()

    def wait(self) -> None:
        """Wait until all maps are drawn."""
        self.page.locator("[role=list][aria-busy=false] .map").first.wait_for(timeout=30_000)
        self.driver.wait_for_page()

    def map(self, name: str) -> Locator:
        """Return a map with its title."""
        return self.page.locator(f"[data-name='{name}']")

    def frame(self, name: str) -> Locator:
        """Return the picture of a map."""
        return self.map(name).locator(".frame")

    def names(self) -> list[str]:
        """Return the names of the maps, in their order on the page."""
        return [each.get_attribute("data-name") for each in self.page.locator(".map").all()]

    def levels(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the levels that the browser has of a map, row 0 at the bottom."""
        return self.picture(name)[0]

    def picture(self, name: str) -> tuple[npt.NDArray[np.uint8], list[float]]:
        """Return a map's levels and their outer edges: left, bottom, right, top."""
        shape, levels, bounds = self.map(name).evaluate(
            "({map: {picture: p}}) => [p.shape, Array.from(p.levels), p.bounds]"
        )
        return np.array(levels, dtype=np.uint8).reshape(shape), bounds

    def painted(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the pixels that are drawn of a picture, (h, w, 4), row 0 at the top."""
        found = self.map(name).evaluate(
            """({map: {source}}) => [[source.height, source.width, 4], Array.from(
                source.getContext('2d').getImageData(0, 0, source.width, source.height).data)]"""
        )
        return np.array(found[1], dtype=np.uint8).reshape(found[0])

    def screen(self, name: str) -> npt.NDArray[np.uint8]:
        """Return what a map shows on the page, (h, w, 3), row 0 at the top."""
        found = self.map(name).evaluate(
            """({map: {canvas}}) => [[canvas.height, canvas.width, 4], Array.from(
                canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)]"""
        )
        return np.array(found[1], dtype=np.uint8).reshape(found[0])[..., :3]

    def within(self, name: str, share_x: float, share_y: float) -> Position:
        """Return where in a map a share of its width and height is, in pixels."""
        box = self.frame(name).bounding_box()
        return {"x": share_x * box["width"], "y": share_y * box["height"]}

    def point(self, name: str, share_x: float, share_y: float) -> None:
        """Move the mouse over a map, once it stands still and nothing lies over it."""
        self.frame(name).hover(position=self.within(name, share_x, share_y))

    def tap(self, name: str, share_x: float, share_y: float) -> None:
        """Click a place in a map, once it stands still and nothing lies over it."""
        self.frame(name).click(position=self.within(name, share_x, share_y))

    def told(self, name: str) -> str:
        """Return what a map tells of the cell under the pointer."""
        return self.map(name).locator(".told").inner_text()


@pytest.fixture
def gallery(driver: Driver) -> GalleryPage:
    """A new visitor."""
    return GalleryPage(driver)


@pytest.fixture
def opened(gallery: GalleryPage, url: str) -> GalleryPage:
    """A visitor who has three maps before them."""
    gallery.open(f"{url}&view=gallery&elements=Fe~Cu~Pb+La")
    return gallery


def values_of(shared: SharedScan, name: str, **options: Any) -> npt.NDArray[np.float32]:
    """Return the map of an element from the scan itself."""
    method = options.pop("method", shared.scan.method)
    return shared.layer_map(Asked(shared.elements.line(name).window, method, **options))


def is_drawn(page: GalleryPage, name: str, values: npt.NDArray[np.float32]) -> bool:
    """Tell whether a map is drawn as it was computed, cell by cell."""
    return np.array_equal(page.levels(name), scale_map(values, CLIP).levels)


# --- numbers --------------------------------------------------------------------------------


def test_maps_are_drawn_as_they_are_computed(opened: GalleryPage, shared: SharedScan) -> None:
    """Levels cell by cell, colours pixel by pixel; titles tell line, window and colour range."""
    assert opened.names() == ["Fe Ka", "Cu Ka", "Pb La"]
    codes = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in palette("viridis")])
    for name in opened.names():
        line = shared.elements.line(name)
        scaled = scale_map(values_of(shared, name), CLIP)
        np.testing.assert_array_equal(opened.levels(name), scaled.levels)
        assert scaled.levels.shape == SHAPE
        painted = opened.painted(name)
        np.testing.assert_array_equal(painted[::-1, :, :3], codes[scaled.levels.astype(int) - 1])
        assert (painted[..., 3] == 255).all()
        text = opened.map(name).inner_text()
        assert text.startswith(name.replace("a", "α"))
        assert f"{line.low_kev:.3f}–{line.high_kev:.3f} keV" in text
        assert f"{scaled.high:.0f}" in text.replace(",", "") or scaled.high < 100
        assert "counts" in text


def test_controls_hold_for_all_maps(opened: GalleryPage, shared: SharedScan) -> None:
    """Interpolation, layer and colour map of the sidebar are everybody's."""
    opened.driver.choose("Interpolation", "nearest")
    for name in opened.names():
        values = values_of(shared, name, method="nearest")
        opened.driver.until(lambda n=name, v=values: is_drawn(opened, n, v))
    opened.driver.choose("Map of", "standard error")
    for name in opened.names():
        values = values_of(shared, name, method="nearest", layer="standard error")
        opened.driver.until(lambda n=name, v=values: is_drawn(opened, n, v))
    before = opened.painted("Fe Ka")
    opened.driver.choose("Colour map", "gray")

    def is_gray() -> bool:
        painted = opened.painted("Fe Ka")
        return bool((painted[..., 0] == painted[..., 2]).all())

    assert not (before[..., 0] == before[..., 2]).all()
    opened.driver.until(is_gray)


def test_a_zoom_is_everybodys(opened: GalleryPage, shared: SharedScan) -> None:
    """At the pointer, in all maps: each pixel has its cell's colour then; and back."""
    codes = np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in palette("viridis")])
    at = np.array([0.26, 0.74])

    zoom = float(np.exp(5 * 120 / 300))
    # Row 0 at the top, as on the screen.
    cells_of = {
        name: scale_map(values_of(shared, name), CLIP).levels[::-1] for name in opened.names()
    }
    before = {name: opened.screen(name) for name in opened.names()}

    def shows(name: str) -> bool:
        """Tell whether the canvas has the colours of the cells that belong there."""
        screen = opened.screen(name)
        places = np.stack(np.meshgrid(*2 * [np.linspace(0.05, 0.95, 61)]), axis=-1).reshape(-1, 2)
        cells = (at + (places - at) / zoom) * SHAPE[::-1]
        inner = (abs(cells % 1 - 0.5) < 0.15).all(axis=1)  # a mouse stands on whole pixels
        columns, rows = cells[inner].astype(int).T
        x, y = (places[inner] * screen.shape[1::-1]).astype(int).T
        wanted = codes[cells_of[name][rows, columns].astype(int) - 1]
        return len(x) > 50 and bool((screen[y, x] == wanted).all())

    opened.point("Cu Ka", *at)
    opened.page.keyboard.down("Control")
    for _ in range(5):
        opened.page.mouse.wheel(0, -120)
    opened.page.keyboard.up("Control")
    for name in opened.names():
        opened.driver.until(lambda n=name: shows(n))
    opened.page.get_by_role("button", name="Show the whole scan").click()
    for name in opened.names():
        opened.driver.until(lambda n=name: np.array_equal(opened.screen(n), before[n]))


def test_the_wheel_alone_scrolls_the_page(gallery: GalleryPage, url: str) -> None:
    """Below 24 maps there is more to see."""
    gallery.open(f"{url}&view=gallery&elements=Fe~Cu~Pb~Ca~K~S~Mn~Zn~Hg~Ti~Cr~Ni", (900, 500))
    before = gallery.frame("Fe Ka").bounding_box()["y"]
    gallery.point("Fe Ka", 0.5, 0.5)
    gallery.page.mouse.wheel(0, 200)
    gallery.driver.until(lambda: gallery.frame("Fe Ka").bounding_box()["y"] < before - 100)
    out = gallery.page.get_by_role("button", name="Zoom out")
    assert out.is_disabled()


# --- gestures -------------------------------------------------------------------------------


def test_the_pointer_is_in_all_maps_with_what_they_show_there(
    opened: GalleryPage, shared: SharedScan
) -> None:
    """A crosshair at one place of the object, and each map's counts there with their error."""
    opened.point("Cu Ka", 0.31, 0.4)
    opened.driver.until(lambda: "±" in opened.told("Pb La"))
    column, row = int(0.31 * SHAPE[1]), int((1 - 0.4) * SHAPE[0])
    for name in opened.names():
        asked = Asked(shared.elements.line(name).window, shared.scan.method)
        counts, error = shared.cell_counts(asked, row, column)
        assert opened.told(name) == f"{counts:,.2f} ± {error:,.2f}"
        frame, up, across = (
            opened.map(name).locator(part).bounding_box() for part in (".frame", ".up", ".across")
        )
        assert (up["x"] - frame["x"]) / frame["width"] == pytest.approx(0.31, abs=0.01)
        assert (across["y"] - frame["y"]) / frame["height"] == pytest.approx(0.4, abs=0.01)
    opened.page.mouse.move(5, 5)
    opened.driver.until(lambda: opened.told("Pb La") == "")
    assert not opened.map("Fe Ka").locator(".up").is_visible()


def test_a_tap_picks_its_cell_and_all_maps_mark_it(opened: GalleryPage) -> None:
    """The address holds it, the mark stands in each map, the spectrum is the cell's."""
    opened.tap("Pb La", 0.62, 0.3)
    column, row = int(0.62 * SHAPE[1]), int((1 - 0.3) * SHAPE[0])
    opened.driver.until(lambda: f"cell={row}~{column}" in opened.page.url)
    for name in opened.names():
        frame, mark = (
            opened.map(name).locator(part).bounding_box() for part in (".frame", ".mark")
        )
        across = (mark["x"] + mark["width"] / 2 - frame["x"]) / frame["width"]
        down = (mark["y"] + mark["height"] / 2 - frame["y"]) / frame["height"]
        assert across == pytest.approx((column + 0.5) / SHAPE[1], abs=0.01)
        assert down == pytest.approx(1 - (row + 0.5) / SHAPE[0], abs=0.01)
    colour = opened.map("Fe Ka").locator(".mark").evaluate("(m) => getComputedStyle(m).borderColor")
    picked = [int(COLOURS["picked"][i : i + 2], 16) for i in (1, 3, 5)]
    assert [int(part) for part in re.findall(r"\d+", colour)] == picked
    opened.map("Fe Ka").locator(".open").click()
    opened.driver.wait_for_plots()
    opened.driver.until(
        lambda: opened.driver.title("spectrum").startswith(f"Cell row {row}, column {column}")
    )


@pytest.mark.parametrize("way", ["double click", "button", "Enter"])
def test_a_map_is_opened_in_the_explorer(opened: GalleryPage, shared: SharedScan, way: str) -> None:
    """Its window is the window then; back in the gallery nothing is lost."""
    if way == "double click":
        opened.frame("Pb La").dblclick()
    elif way == "button":
        opened.page.get_by_role("button", name="Open Pb Lα in the explorer").click()
    else:
        frame = opened.page.get_by_role("button", name=re.compile("^Map of Pb Lα, 10.*counts"))
        frame.focus()
        frame.press("Enter")
    opened.driver.wait_for_plots()
    assert opened.driver.window() == pytest.approx(shared.elements.line("Pb La").window)
    opened.driver.until(lambda: not opened.frame("Fe Ka").is_visible())
    opened.page.get_by_role("button", name="Gallery").click()
    opened.wait()
    opened.driver.until(lambda: is_drawn(opened, "Cu Ka", values_of(shared, "Cu")))
    assert opened.frame("Fe Ka").is_visible()


def test_keys_move_the_pointer_pick_and_zoom(opened: GalleryPage) -> None:
    """All that a mouse can do, from the mark on."""
    opened.tap("Fe Ka", 0.5, 0.5)
    opened.page.mouse.move(5, 5)
    opened.driver.until(lambda: "cell=33~30" in opened.page.url)
    frame = opened.frame("Fe Ka")
    frame.focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp", "Shift+ArrowRight"):
        frame.press(key)
    opened.driver.until(lambda: "±" in opened.told("Cu Ka"))
    frame.press("Space")
    opened.driver.until(lambda: "cell=35~39" in opened.page.url)
    whole = opened.screen("Cu Ka")
    for _ in range(4):
        frame.press("+")
    opened.driver.until(lambda: not np.array_equal(opened.screen("Cu Ka"), whole))
    frame.press("0")
    opened.driver.until(lambda: np.array_equal(opened.screen("Cu Ka"), whole))


# --- the page -------------------------------------------------------------------------------


def columns_of(page: GalleryPage) -> int:
    """Return how many maps stand side by side."""
    tops = [each.bounding_box()["y"] for each in page.page.locator(".map").all()]
    return sum(abs(top - tops[0]) < 1 for top in tops)


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_maps_stand_still_from_the_first_moment(
    gallery: GalleryPage, url: str, size: tuple[int, int]
) -> None:
    """Who aims at a map must not hit another, because a button came late."""
    gallery.page.add_init_script(
        """window.tops = new Set();
        const look = (root) => {
          for (const each of root.querySelectorAll("*")) {
            if (each.classList.contains("map")) window.tops.add(each.getBoundingClientRect().y);
            if (each.shadowRoot) look(each.shadowRoot);
          }
        };
        const watch = () => { look(document); requestAnimationFrame(watch); };
        watch();"""
    )
    gallery.open(f"{url}&view=gallery&elements=Fe~Cu", size)
    gallery.page.get_by_role("button", name="Copy link").wait_for()
    gallery.page.wait_for_timeout(500)
    assert len(gallery.page.evaluate("[...window.tops]")) == 1


@pytest.mark.parametrize(
    ("size", "columns"), [(WIDE, 4), (PHONE, 2), ((1920, 1080), 5)], ids=["wide", "phone", "large"]
)
def test_as_many_columns_as_fit(
    gallery: GalleryPage, url: str, size: tuple[int, int], columns: int
) -> None:
    """And nothing lies beside the window."""
    gallery.open(f"{url}&view=gallery&elements=Fe~Cu~Pb~Ca~K~S~Mn~Zn", size)
    assert columns_of(gallery) == columns
    assert gallery.driver.sideways() <= 0
    widths = [each.bounding_box()["width"] for each in gallery.page.locator(".frame").all()]
    assert min(widths) > 140


def test_without_elements_the_peaks_propose(
    gallery: GalleryPage, url: str, shared: SharedScan
) -> None:
    """Whoever opens the gallery first sees the object's elements, and reads why these."""
    gallery.open(f"{url}&view=gallery")
    expected = [shared.elements.line(name).group.name for name in shared.elements.proposed]
    assert gallery.names() == expected
    gallery.driver.says("Proposed by the peaks of this scan")


def test_it_can_be_read_in_the_dark(opened: GalleryPage) -> None:
    """Titles keep their contrast when the theme is switched, and maps their colours."""
    before = opened.painted("Fe Ka")
    opened.page.get_by_role("button", name=re.compile("theme|dark", re.IGNORECASE)).click()

    def light(part: str) -> float:
        colour = opened.map("Fe Ka").locator(part).evaluate("(el) => getComputedStyle(el).color")
        return float(np.mean([int(value) for value in re.findall(r"\d+", colour)[:3]]))

    opened.driver.until(lambda: light(".line") > 200)
    assert light(".window") > 200
    box = opened.map("Fe Ka").bounding_box()
    corner = {"x": box["x"] + 2, "y": box["y"] + box["height"] - 4, "width": 4, "height": 3}
    assert opened.driver.pixels(corner).mean() < 60
    np.testing.assert_array_equal(opened.painted("Fe Ka"), before)


def test_maps_and_buttons_have_names(opened: GalleryPage) -> None:
    """For a screen reader: what each map shows, from which count to which."""
    maps = opened.page.get_by_role("list", name="Maps of elements")
    assert maps.get_by_role("listitem").count() == 3
    for label in ("Fe Kα", "Cu Kα", "Pb Lα"):
        frame = opened.page.get_by_role("button", name=re.compile(rf"^Map of {label}, .* keV, "))
        assert re.search(
            r"keV, \S+ to \S+ counts\. Enter opens it", frame.get_attribute("aria-label")
        )
    for name in ("Zoom in, all maps", "Zoom out, all maps", "Show the whole scan in all maps"):
        opened.page.get_by_role("button", name=name).wait_for()
