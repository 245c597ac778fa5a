"""The explorer on a tablet: all that a mouse does, with fingers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser

from .driver import Driver
from .server import Server

TABLETS = [(1024, 768), (768, 1024)]


@pytest.fixture(params=TABLETS, ids=["lying", "standing"])
def tablet(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Driver]:
    """A visitor whose screen takes ten fingers and no mouse."""
    width, height = request.param
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    visitor = Driver(context.new_page())
    visitor.open(f"{server.url}?scan=manuscript")
    yield visitor
    context.close()
    assert visitor.complaints == []
    assert visitor.strangers == []


def scroll_to(page: Driver, plot: str) -> None:
    """Bring a plot onto the screen."""
    page.page.evaluate(
        "(name) => Bokeh.index.find_one(probe.plot(name)).el.scrollIntoView({block: 'center'})",
        plot,
    )
    page.wait_until_still()


def middle(page: Driver, plot: str) -> tuple[float, float]:
    """Return the pixel in the middle of a plot."""
    place = page.place(plot)
    return place["left"] + place["width"] / 2, place["top"] + place["height"] / 2


def test_a_map_is_tapped_moved_and_pinched(tablet: Driver) -> None:
    """A tap picks a cell, one finger pans, two zoom about their middle."""
    page = tablet
    assert page.sideways() == 0
    scroll_to(page, "map")
    x, y = middle(page, "map")
    page.page.touchscreen.tap(x, y)
    page.until(lambda: "cell=" in page.page.url)
    before = page.place("map")
    page.swipe(((x, y), (x + 50, y)))
    moved = -50 * np.ptp(before["x"]) / before["width"]
    page.until(lambda: page.place("map")["x"][0] - before["x"][0] == pytest.approx(moved, rel=0.2))
    before = page.place("map")
    page.swipe(((x - 30, y), (x - 90, y)), ((x + 30, y), (x + 90, y)))
    page.until(lambda: 0.25 < np.ptp(page.place("map")["x"]) / np.ptp(before["x"]) < 0.5)
    assert np.mean(page.place("map")["x"]) == pytest.approx(
        np.mean(before["x"]), abs=0.1 * np.ptp(before["x"])
    )


def test_the_energy_window_follows_a_finger(tablet: Driver) -> None:
    """And the spectrum is high enough to be read under its controls."""
    page = tablet
    scroll_to(page, "spectrum")
    place = page.place("spectrum")
    assert place["height"] > 130
    low, high = page.window()
    start = page.to_page("spectrum", (low + high) / 2, np.mean(place["y"]))
    page.swipe((start, (start[0] + 60, start[1])))
    moved = 60 * np.ptp(place["x"]) / place["width"]
    page.until(lambda: page.window() == pytest.approx((low + moved, high + moved), rel=0.05))
    wide = page.place("spectrum")["x"]
    x, y = place["left"] + 0.2 * place["width"], place["top"] + 0.3 * place["height"]
    page.swipe(((x - 15, y), (x - 50, y)), ((x + 15, y), (x + 50, y)))
    page.until(lambda: np.ptp(page.place("spectrum")["x"]) < 0.6 * np.ptp(wide))
