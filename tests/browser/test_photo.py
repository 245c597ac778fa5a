"""A photo laid on the map in a real browser: picked in both plots, kept, blended, shared."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator

from maxrf_core import Grid, open_scan
from maxrf_core.photo_record import forget_photo, keep_photo, kept_photo

from .driver import Driver
from .server import Server

WIDTH, HEIGHT = 900, 700
NEAR = 8
"""Of 255 levels on the screen: interpolated twice, and the formula is smooth."""

_NO_DOUBLE_TAP_MS = 400
"""Nobody goes to the map and back quicker: Bokeh takes the second tap for half of a double one."""

_LAID = """
() => {
  const layer = probe.plot('map').renderers.find((r) => r.glyph?.type === 'ImageRGBA');
  return layer.data_source.data.rgba[0].length > 1;
}
"""


def colours(x: npt.NDArray, y: npt.NDArray, grid: Grid) -> npt.NDArray[np.uint8]:
    """Return the object's colours (..., 3) at motor positions, by a formula."""
    left, bottom, right, top = grid.bounds
    u, v = (x - left) / (right - left), (y - bottom) / (top - bottom)
    levels = np.stack([60 + 120 * u, 60 + 120 * v, 128 + 60 * np.sin(3 * u + 2 * v)], axis=-1)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def to_motor(grid: Grid, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the motor positions (..., 2) of pixels of the photo: it was turned by 3 degrees."""
    left, bottom, right, top = grid.bounds
    step = 1.2 * max((right - left) / WIDTH, (top - bottom) / HEIGHT)
    c, s = step * np.cos(0.05), step * np.sin(0.05)
    turn, middle = np.array([[c, s], [s, -c]]), [(left + right) / 2, (bottom + top) / 2]
    return (np.asarray(points, float) - [WIDTH / 2, HEIGHT / 2]) @ turn.T + middle


@pytest.fixture(scope="module")
def scan_path(scan_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan and a photo of its object, in a folder of their own."""
    folder = tmp_path_factory.mktemp("light")
    path = Path(shutil.copy(scan_folder / "manuscript.zipstore", folder))
    with open_scan(path) as scan:
        pixels = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)
        places = to_motor(scan.grid, pixels)
        seen = colours(places[..., 0], places[..., 1], scan.grid)
    Image.fromarray(seen).save(folder / "folio.png")
    Image.fromarray(seen[::-1]).save(folder / "verso.png")
    return path


@pytest.fixture(scope="module")
def grid(scan_path: Path) -> Grid:
    """The scan's grid."""
    with open_scan(scan_path) as scan:
        return scan.grid


@pytest.fixture(scope="module")
def light_server(scan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that scan."""
    with Server([str(scan_path)], tmp_path_factory.mktemp("log") / "light.log") as running:
        yield running


@pytest.fixture
def nothing_kept(scan_path: Path) -> Iterator[None]:
    """Begin and end without a photo that is kept."""
    forget_photo(scan_path)
    yield
    forget_photo(scan_path)


PICKED = np.array([[150, 120], [760, 140], [720, 560], [180, 590]], float)


def open_dialog(page: Driver, name: str = "folio.png") -> None:
    """Open the dialog and choose a photo."""
    page.page.get_by_role("button", name="Photo", exact=True).click()
    page.choose("Picture", name)
    page.page.wait_for_function(
        """() => ['pick photo', 'pick map'].every((name) => {
            const plot = probe.plot(name);
            return plot?.tags.includes('fitted') && Bokeh.index.find_one(plot)?._render_count > 0;
        })"""
    )
    seen: list[dict] = []

    def is_still() -> bool:
        seen.append([page.place(one) for one in ("pick photo", "pick map")])
        return len(seen) > 6 and all(one == seen[-1] for one in seen[-6:])

    page.until(is_still)


def pick(page: Driver, grid: Grid, points: npt.NDArray[np.float64]) -> None:
    """Click places in the photo, and the same ones in the map."""
    for number, (point, place) in enumerate(zip(points, to_motor(grid, points), strict=True), 1):
        page.tap("pick photo", point[0], HEIGHT - point[1])
        page.says(f"Point {number}: click the same place in the map.")
        page.tap("pick map", *place)
        page.until(lambda n=number: rows(page).count() == n + 1)
        page.page.wait_for_timeout(_NO_DOUBLE_TAP_MS)


def rows(page: Driver) -> Locator:
    """Return the rows of the table; the last one is that of a new pair."""
    return page.page.get_by_role("table", name="Point pairs").locator("tbody tr")


def patch(page: Driver, grid: Grid, u: float, v: float) -> npt.NDArray[np.float64]:
    """Return the mean colour of a few pixels of the map on the screen, at a share of the scan."""
    left, bottom, right, top = grid.bounds
    x, y = page.to_page("map", left + u * (right - left), bottom + v * (top - bottom))
    return page.pixels({"x": x - 2, "y": y - 2, "width": 4, "height": 4}).mean(axis=(0, 1))


def truth(grid: Grid, u: float, v: float) -> npt.NDArray[np.float64]:
    """Return the object's colour at a share of the scan."""
    left, bottom, right, top = grid.bounds
    x, y = np.array(left + u * (right - left)), np.array(bottom + v * (top - bottom))
    return colours(x, y, grid).astype(float)


PLACES = ((0.3, 0.3), (0.75, 0.6), (0.5, 0.85))


@pytest.mark.usefixtures("nothing_kept")
def test_a_photo_is_picked_kept_blended_and_shared(
    driver: Driver, light_server: Server, scan_path: Path, grid: Grid, browser: Browser
) -> None:
    """What a conservator does: four places in photo and map, then the slider, then the link."""
    driver.open(light_server.url)
    open_dialog(driver)
    pick(driver, grid, PICKED)
    driver.says(re.compile(r"Standard error [\d.]+ steps · [\d.]+ cells by 4 point pairs"))
    assert re.search(r"steps · [\d.]+ cells", rows(driver).nth(3).inner_text())
    driver.page.get_by_role("button", name="Keep beside the scan").click()
    driver.page.wait_for_function(_LAID)
    record = kept_photo(scan_path)
    assert record.name == "folio.png"
    pixel = abs(to_motor(grid, [[1, 0]]) - to_motor(grid, [[0, 0]])).max()
    np.testing.assert_allclose(np.array(record.points)[:, :2], PICKED, atol=3)
    np.testing.assert_allclose(
        np.array(record.points)[:, 2:], to_motor(grid, PICKED), atol=6 * pixel
    )
    driver.says(re.compile("folio.png: standard error"))
    slider = driver.page.get_by_role("slider", name="Opacity of the map")
    slider.focus()
    slider.press("Home")
    driver.until(lambda: "opacity=0" in driver.page.url)
    for place in PLACES:
        assert abs(patch(driver, grid, *place) - truth(grid, *place)).max() < NEAR
    bare = patch(driver, grid, *PLACES[0])
    slider.press("End")
    driver.until(lambda: abs(patch(driver, grid, *PLACES[0]) - bare).max() > 25)
    driver.until(lambda: "opacity=1" in driver.page.url)
    opaque = patch(driver, grid, *PLACES[0])
    for _ in range(20):
        slider.press("ArrowLeft")
        driver.page.wait_for_timeout(20)
    driver.until(lambda: re.search(r"opacity=0\.[7-9]", driver.page.url))
    driver.page.wait_for_timeout(600)  # longer than the address waits for the view to stand still
    half = patch(driver, grid, *PLACES[0])
    share = float(re.search(r"opacity=([\d.]+)", driver.page.url)[1])
    np.testing.assert_allclose(half, share * opaque + (1 - share) * bare, atol=3)
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    colleague = Driver(context.new_page())
    colleague.open(driver.page.url)
    colleague.page.wait_for_function(_LAID)
    colleague.until(lambda: abs(patch(colleague, grid, *PLACES[0]) - half).max() < 3)
    assert colleague.complaints == []
    context.close()


@pytest.mark.usefixtures("nothing_kept")
def test_pairs_are_typed_changed_and_removed_with_the_keyboard(
    driver: Driver, light_server: Server, grid: Grid
) -> None:
    """No hand for a mouse is needed: a pair is four numbers."""
    driver.open(light_server.url)
    open_dialog(driver, "verso.png")
    heads = ("photo x", "photo y", "map x", "map y")
    exact = np.hstack([PICKED, to_motor(grid, PICKED)])
    exact = np.vstack([exact, exact.mean(axis=0)])
    for number, values in enumerate(exact, 1):
        for head, value in zip(heads, values, strict=True):
            driver.page.get_by_label(f"{head} of a new pair").fill(f"{value:.3f}")
        driver.page.keyboard.press("Enter")
        driver.until(lambda n=number: rows(driver).count() == n + 1)
        driver.until(lambda: driver.page.get_by_label("photo x of a new pair").input_value() == "")
    driver.says(re.compile(r"Standard error .* by 5 point pairs"))
    wrong = driver.page.get_by_label("map x of pair 5", exact=True)
    wrong.fill(str(exact[4, 2] + 3 * grid.dx))
    wrong.press("Tab")
    driver.until(lambda: "worst" in rows(driver).nth(4).get_attribute("class"))
    driver.page.get_by_role("button", name="Remove pair 5").press("Enter")
    driver.until(lambda: rows(driver).count() == 5)
    driver.says(re.compile(r"Standard error .* by 4 point pairs"))
    assert "0.0 steps · 0.00 cells" in rows(driver).nth(0).inner_text()
    # Escape closes what is uppermost: the list of pictures, then the dialog.
    driver.page.get_by_role("combobox", name="Picture").press("Enter")
    driver.page.get_by_role("menuitem", name="folio.png").wait_for()
    driver.page.keyboard.press("Escape")
    driver.page.get_by_role("menuitem", name="folio.png").wait_for(state="hidden")
    dialog = driver.page.get_by_role("dialog", name="Photo on the map")
    assert dialog.is_visible()
    driver.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


@pytest.mark.usefixtures("nothing_kept")
def test_the_dialog_holds_on_a_phone(
    browser: Browser, light_server: Server, scan_path: Path, grid: Grid
) -> None:
    """390 pixels: nothing sticks out, and a kept photo is there to be seen."""
    exact = np.hstack([PICKED, to_motor(grid, PICKED)])
    keep_photo(scan_path, scan_path.with_name("folio.png"), exact)
    context = browser.new_context(viewport={"width": 390, "height": 844})
    phone = Driver(context.new_page())
    phone.open(f"{light_server.url}?under=photo&opacity=0")
    phone.page.wait_for_function(_LAID)
    assert abs(patch(phone, grid, *PLACES[0]) - truth(grid, *PLACES[0])).max() < NEAR
    phone.page.locator("button").first.click()
    phone.page.get_by_role("button", name="Photo", exact=True).click()
    phone.says(re.compile(r"by 4 point pairs"))
    phone.until(lambda: rows(phone).count() == 5)
    phone.until(lambda: phone.place("pick photo")["width"] > 200)
    box = phone.page.get_by_role("dialog", name="Photo on the map").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert phone.sideways() == 0
    assert phone.complaints == []
    assert phone.strangers == []
    context.close()
