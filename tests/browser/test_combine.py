"""Maps combined, in a real browser: colours, ratio, lasso and line, by mouse and keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.combine import Combine
from dashboard.data import SharedScan
from dashboard.explorer import default_state
from dashboard.tuning import tune
from maxrf_core import open_scan

from .driver import Driver
from .server import Server

_PIXELS = """(name) => {
  const {image} = window.probe.plot(name).renderers[0].data_source.data;
  return Array.from(new Uint8Array(image[0].buffer ?? Uint32Array.from(image[0]).buffer));
}"""


@pytest.fixture(scope="module")
def shared(scan_folder: Path) -> Iterator[SharedScan]:
    """The scan that the page shows, opened here."""
    tune()  # HoloViews makes plots here, too
    with open_scan(scan_folder / "manuscript.zipstore") as scan:
        yield SharedScan(scan)


def expected(shared: SharedScan, mode: str, **values: Any) -> Any:
    """Return what a mode is to show in a view."""
    state = default_state(shared)
    state.param.update(workspace="combine", combination=mode, **values)
    return Combine(shared, state).modes[mode]


def combine(page: Driver, mode: str, plot: str) -> None:
    """Choose two elements, and open a mode."""
    for symbol in ("Fe", "Ca"):
        field = page.page.get_by_label("Add element or line")
        field.fill(symbol)
        field.press("Enter")
        page.page.get_by_role("listitem").filter(has_text=symbol).first.wait_for()
    page.page.get_by_role("button", name="Combine").click()
    page.page.get_by_role("button", name=mode, exact=True).click()
    page.until(
        lambda: page.page.evaluate(
            "(name) => !!window.probe.plot(name)?.tags.includes('fitted')", plot
        )
    )
    seen: list[Any] = []

    def is_still() -> bool:
        seen.append(page.place(plot))
        return len(seen) > 10 and all(other == seen[-1] for other in seen[-10:])

    page.until(is_still)  # a gesture begins where a plot was seen


def pixels(page: Driver, plot: str) -> np.ndarray:
    """Return the bytes of a plot's picture."""
    return np.array(page.page.evaluate(_PIXELS, plot), dtype=np.uint8)


def test_a_composite_is_painted_and_follows_a_typed_element_and_a_key(
    page: Driver, shared: SharedScan
) -> None:
    """Byte by byte what the core makes of it; a slider moves with the arrow keys."""
    combine(page, "Colours", "composite")
    first = expected(shared, "rgb", elements=("Fe", "Ca")).view.rgb
    page.until(lambda: np.array_equal(pixels(page, "composite"), first.ravel()))
    page.says(re.compile("Fe Kα .orange. .* counts"))
    field = page.page.get_by_role("combobox", name="Colour 3")
    field.fill("copper")
    field.press("Enter")
    named = {"elements": ("Fe", "Ca"), "composite": ("Fe", "Ca", "Cu")}
    second = expected(shared, "rgb", **named).view.rgb
    page.until(lambda: np.array_equal(pixels(page, "composite"), second.ravel()))
    assert field.input_value() == "Cu"
    thumb = page.page.get_by_role("slider", name=re.compile("Range 1")).last
    thumb.focus()
    for _ in range(9):
        page.page.keyboard.press("ArrowLeft")
    clip = (0.0, 95.0, 0.0, 99.5, 0.0, 99.5)
    third = expected(shared, "rgb", composite_clip=clip, **named).view.rgb
    page.until(lambda: np.array_equal(pixels(page, "composite"), third.ravel()))
    x, y = shared.scan.grid.x[7], shared.scan.grid.y[11]
    page.page.mouse.move(*page.to_page("composite", x, y))
    page.says("row 11, column 7")
    page.says(re.compile(r"^Cu Kα \(pale green\):?$"))


def test_a_ratio_is_painted_and_told(page: Driver, shared: SharedScan) -> None:
    """The masked share is said; the button exchanges the maps."""
    combine(page, "Ratio", "ratio")
    view = expected(shared, "ratio", elements=("Fe", "Ca"))
    page.says(view.view.quotient.sentence)
    page.page.get_by_role("button", name="Exchange the two maps").click()
    other = expected(shared, "ratio", elements=("Fe", "Ca"), pair=("Ca", "Fe"))
    page.says(other.view.quotient.sentence)
    levels = other.view._scaled.levels
    page.until(lambda: np.array_equal(pixels(page, "ratio"), levels.ravel()))


def test_a_lasso_shows_its_cells(page: Driver, shared: SharedScan) -> None:
    """Drawn with the mouse over half of the plot; the map beside it marks them, until cleared."""
    combine(page, "Scatter", "selected")
    page.says(expected(shared, "scatter", elements=("Fe", "Ca")).view.pair.sentence[:40])
    place = page.place("scatter")
    left, top = place["left"] + 3, place["top"] + 3
    right, bottom = place["left"] + 0.5 * place["width"], place["top"] + place["height"] - 3
    page.page.mouse.move(left, top)
    page.page.mouse.down()
    for corner in ((left, bottom), (right, bottom), (right, top), (left + 5, top)):
        page.page.mouse.move(*corner, steps=6)
    page.page.mouse.up()
    page.says(re.compile(r"cells are selected of 1,380"))
    told = page.page.get_by_text(re.compile("cells are selected")).first.inner_text()
    n = int(re.search(r"([\d,]+) cells are selected", told)[1].replace(",", ""))
    assert 0 < n < 1380
    page.until(lambda: int((pixels(page, "selected") == 255).sum()) == n)
    page.page.get_by_role("button", name="Clear selection").click()
    page.until(lambda: not (pixels(page, "selected") == 255).any())


def test_the_end_of_a_line_is_dragged(page: Driver, shared: SharedScan) -> None:
    """The line follows the mouse, and the profile the line."""
    combine(page, "Profile", "line")
    grid = shared.scan.grid
    start = page.to_page("line", grid.x[-1], grid.y[23])
    end = page.to_page("line", grid.x[15], grid.y[40])
    page.drag(start, end)

    def drawn() -> list[float]:
        return page.page.evaluate(
            """() => {
                const {x1, y1} = window.probe.plot('line').renderers
                    .find((r) => r.glyph.type === 'Segment').data_source.data;
                return [x1[0], y1[0]];
            }"""
        )

    pitch = max(grid.dx, grid.dy)
    page.until(lambda: np.abs(np.subtract(drawn(), (grid.x[15], grid.y[40]))).max() < pitch)
    x1, y1 = drawn()
    line = (float(grid.x[0]), float(grid.y[23]), x1, y1)
    values = expected(shared, "profile", elements=("Fe", "Ca"), profile=line).view.profiles[1]

    def shown() -> list[float]:
        return page.page.evaluate(
            """() => Array.from(window.probe.plot('profile').renderers
                .find((r) => r.glyph.type === 'MultiLine').data_source.data.ys[1] ?? [])"""
        )

    def follows() -> bool:
        profile = shown()
        return len(profile) == len(values.values) and np.allclose(profile, values.values, rtol=1e-6)

    page.until(follows)  # the last of the drag may still be under way


def test_combining_fits_a_phone(driver: Driver, server: Server) -> None:
    """No mode is wider than the screen."""
    page = driver
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.page.goto(f"{server.url}?scan=manuscript&view=combine&elements=Fe~Ca")
    page.page.get_by_role("button", name="Colours", exact=True).wait_for()
    for mode in ("Ratio", "Scatter", "Profile", "Colours"):
        page.page.get_by_role("button", name=mode, exact=True).click()
        page.page.wait_for_timeout(300)
        assert page.sideways() == 0
