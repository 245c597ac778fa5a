"""What is sent to a colleague: the catalogue, links to views, and addresses that went wrong."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from .driver import Driver
from .server import Server


def cards(driver: Driver) -> list[str]:
    """Return the names on the cards that are to be seen, in their order."""
    return driver.page.locator("a.card:visible .name").all_text_contents()


def catalogue_of(driver: Driver, url: str) -> None:
    """Open a server's bare address and wait for its catalogue."""
    driver.page.goto(url)
    driver.page.locator("a.card").first.wait_for()


def query(driver: Driver) -> str:
    """Return the address after the question mark, with it."""
    return driver.page.evaluate("() => window.location.search")


def stay(driver: Driver) -> None:
    """Mark the page, so that one that was loaded anew is found out."""
    driver.page.evaluate("() => { window.stayed = true; }")


def has_stayed(driver: Driver) -> bool:
    """Return whether the page is the one that was marked."""
    return driver.page.evaluate("() => window.stayed === true")


def wait_for_other_plots(driver: Driver, before: str) -> None:
    """Wait until the plots of another scan are there, given the identity of the map before."""
    driver.page.wait_for_function(
        "(before) => { const map = probe.plot('map');"
        " return map && map.id !== before && Bokeh.index.find_one(map); }",
        arg=before,
    )
    driver.wait_for_plots()


def map_id(driver: Driver) -> str:
    """Return what tells a map's plot from that of another scan."""
    return driver.page.evaluate("() => probe.plot('map').id")


@pytest.fixture
def clipboard(browser: Browser) -> Iterator[Driver]:
    """A visitor who may read the clipboard; nothing may have failed."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor = Driver(context.new_page())
    yield visitor
    context.close()
    assert visitor.complaints == []
    assert visitor.strangers == []


# --- the catalogue --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(scan_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own: what other tests convert stays as it is here."""
    copied = tmp_path_factory.mktemp("catalogue")
    for name in ("manuscript.zipstore", "broken.zipstore"):
        shutil.copy(scan_folder / name, copied)
    crono = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"
    shutil.copy(crono, copied / "not-yet.HDF5")
    shutil.copy(scan_folder / "manuscript.zipstore", copied / "<b>bold *1*.zipstore")
    os.utime(copied / "not-yet.HDF5", (4e9, 4e9))
    return copied


@pytest.fixture(scope="module")
def lab(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that folder."""
    with Server([str(folder)], tmp_path_factory.mktemp("log") / "server.log") as running:
        yield running


def test_a_visitor_of_several_scans_sees_their_catalogue(driver: Driver, lab: Server) -> None:
    """What each is, and a picture; a broken one says so on its card and stops no other."""
    catalogue_of(driver, lab.url)
    assert cards(driver) == ["<b>bold *1*", "broken", "manuscript", "not-yet"]
    driver.says("4 scans")
    card = driver.page.locator("a.card", has_text="manuscript")
    driver.until(lambda: "46 × 30 cells" in card.inner_text())
    assert re.search(
        r"2021-10-15 14:20\n1,\d\d\d spectra · 46 × 30 cells\n[\d.]+ MB", card.inner_text()
    )
    card.locator("img").wait_for()
    broken = driver.page.locator("a.card", has_text="broken")
    driver.until(lambda: "broken.zipstore is not a whole zipstore" in broken.inner_text())
    later = driver.page.locator("a.card", has_text="not-yet")
    assert "Not converted yet" in later.inner_text()
    assert "file of 2096-10-02" in later.inner_text()
    assert driver.page.locator("main b").count() == 0


def test_a_thumbnail_is_a_map(driver: Driver, lab: Server) -> None:
    """Of the object's proportions, about 160 pixels wide, and not of one colour."""
    catalogue_of(driver, lab.url)
    card = driver.page.locator("a.card", has_text="manuscript")
    card.locator("img").wait_for()
    width, height, colours = card.locator("img").evaluate(
        """(img) => {
            const canvas = document.createElement("canvas"), drawn = canvas.getContext("2d");
            [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
            drawn.drawImage(img, 0, 0);
            const {data} = drawn.getImageData(0, 0, canvas.width, canvas.height);
            return [canvas.width, canvas.height, new Set(new Uint32Array(data.buffer)).size];
        }"""
    )
    assert max(width / 160, height / 240) == pytest.approx(1, abs=0.01)
    assert colours > 20


def test_cards_are_sorted_and_filtered(driver: Driver, lab: Server) -> None:
    """By name or by date; a status tells how many are left, for those who do not see them."""
    catalogue_of(driver, lab.url)
    driver.until(lambda: driver.page.locator("a.card img").count() == 2)
    driver.page.get_by_label("Sort scans").select_option("Newest first")
    assert cards(driver)[0] == "not-yet"
    driver.page.get_by_label("Sort scans").select_option("Oldest first")
    assert cards(driver)[-1] == "not-yet"
    driver.page.get_by_label("Filter by name").fill("MANU")
    assert cards(driver) == ["manuscript"]
    assert driver.page.get_by_role("status").first.inner_text() == "1 of 4 scans"
    driver.page.get_by_label("Filter by name").fill("<img src=x>")
    assert driver.page.get_by_role("status").first.inner_text().startswith("No scan")


def test_a_card_opens_its_scan_on_the_page_and_back_returns(driver: Driver, lab: Server) -> None:
    """The address names the scan; forward opens it again; nothing is loaded anew."""
    catalogue_of(driver, lab.url)
    stay(driver)
    driver.page.locator("a.card", has_text="manuscript").click()
    driver.wait_for_plots()
    assert query(driver) == "?scan=manuscript"
    driver.page.go_back()
    driver.page.locator("a.card").first.wait_for()
    assert query(driver) == ""
    assert driver.page.get_by_role("combobox", name="Interpolation").count() == 0
    driver.page.go_forward()
    driver.wait_for_plots()
    driver.page.get_by_role("link", name="All scans").click()
    driver.page.locator("a.card").first.wait_for()
    assert query(driver) == ""
    assert has_stayed(driver)


def test_the_catalogue_is_used_with_the_keyboard(driver: Driver, lab: Server) -> None:
    """Enter in the filter opens the first that it leaves; Enter on a card opens that."""
    catalogue_of(driver, lab.url)
    driver.page.get_by_label("Filter by name").fill("not")
    driver.page.keyboard.press("Enter")
    driver.page.get_by_role("button", name="Convert").wait_for()
    assert query(driver) == "?scan=not-yet"
    driver.page.go_back()
    filtered = driver.page.get_by_label("Filter by name")
    filtered.wait_for()
    assert filtered.input_value() == "not"  # as the visitor left it
    filtered.fill("")
    driver.page.get_by_label("Sort scans").focus()
    for _ in range(3):
        driver.page.keyboard.press("Tab")
    driver.page.keyboard.press("Enter")
    driver.wait_for_plots()
    assert query(driver) == "?scan=manuscript"


def test_a_name_of_html_is_text_everywhere(driver: Driver, lab: Server) -> None:
    """On its card, in the header, and in its link."""
    catalogue_of(driver, lab.url)
    driver.page.locator("a.card", has_text="<b>bold *1*").click()
    driver.wait_for_plots()
    assert query(driver) == "?scan=%3Cb%3Ebold+%2A1%2A"
    assert driver.page.get_by_text("<b>bold *1*").count() > 0


def test_a_scan_that_is_not_there_leads_to_the_catalogue(driver: Driver, lab: Server) -> None:
    """With a notice; its name is text."""
    driver.page.goto(f"{lab.url}?scan=<img src=x onerror=alert(1)>&window=6~7")
    driver.says("there is no scan '<img src=x onerror=alert(1)>' here")
    assert len(cards(driver)) == 4
    assert driver.page.locator("img[src='x']").count() == 0


def test_another_scan_chosen_in_the_list_is_in_the_address(driver: Driver, lab: Server) -> None:
    """Else a copied link would lead to the one before; back leads to it."""
    driver.open(f"{lab.url}?scan=manuscript&sigma=3")
    first = map_id(driver)
    driver.page.get_by_role("combobox", name="Scan", exact=True).click()
    driver.page.get_by_role("menuitem", name="<b>bold").click()
    driver.until(lambda: query(driver) == "?scan=%3Cb%3Ebold+%2A1%2A")
    wait_for_other_plots(driver, first)
    assert "smoothing 84 eV" in driver.title("spectrum")
    second = map_id(driver)
    driver.page.go_back()
    driver.until(lambda: query(driver) == "?scan=manuscript&sigma=3")
    wait_for_other_plots(driver, second)
    driver.until(lambda: "smoothing 36 eV" in driver.title("spectrum"))


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_catalogue_fits_every_screen(
    driver: Driver, lab: Server, size: tuple[int, int]
) -> None:
    """No sideways scrolling, and several scans before the eyes at once."""
    driver.page.set_viewport_size({"width": size[0], "height": size[1]})
    catalogue_of(driver, lab.url)
    driver.page.locator("a.card img").first.wait_for()
    assert driver.sideways() == 0
    boxes = [card.bounding_box() for card in driver.page.locator("a.card").all()]
    assert sum(box["y"] + box["height"] <= size[1] for box in boxes) >= 3
    driver.page.locator("a.card", has_text="manuscript").click()
    driver.wait_for_plots()
    shown = driver.page.get_by_label("Interpolation")
    driver.until(lambda: shown.is_visible() == (size[0] > 700))


def test_two_hundred_scans_are_all_there(driver: Driver, folder: Path, tmp_path: Path) -> None:
    """In one component; pictures are made of those in view alone."""
    many = tmp_path / "many"
    many.mkdir()
    for number in range(200):
        os.link(folder / "manuscript.zipstore", many / f"scan-{number}.zipstore")
    with Server([str(many)], tmp_path / "server.log") as crowded:
        catalogue_of(driver, crowded.url)
        driver.says("200 scans")
        assert cards(driver)[:3] == ["scan-0", "scan-1", "scan-2"]
        driver.until(lambda: driver.page.get_by_text("46 × 30 cells").count() == 200)
        driver.until(lambda: driver.page.locator("a.card img").count() > 5)
        driver.page.wait_for_timeout(500)
        assert driver.page.locator("a.card img").count() < 100
        driver.page.locator("a.card").last.scroll_into_view_if_needed()
        driver.page.locator("a.card").last.locator("img").wait_for()
        driver.page.close()


# --- links ----------------------------------------------------------------------------------


def seen(driver: Driver) -> dict[str, Any]:
    """Return what a visitor sees of a scan: all that a link is to hold."""
    places = {name: driver.place(name) for name in ("map", "positions", "spectrum")}
    parts = {f"{name} {axis}": place[axis] for name, place in places.items() for axis in "xy"}
    del parts["spectrum y"]  # counts: as high as what is shown
    return {
        "levels": driver.levels(),
        "window": driver.window(),
        "spectrum": driver.lines()[3],
        "titles": [place["title"] for place in places.values()],
        **parts,
    }


def zoom(driver: Driver, plot: str, ticks: int) -> None:
    """Turn the wheel over a place of a plot that is not its middle, and wait until it stands."""
    before = driver.place(plot)
    (x0, x1), (y0, y1) = before["x"], before["y"]
    driver.page.mouse.move(*driver.to_page(plot, 0.7 * x0 + 0.3 * x1, 0.4 * y0 + 0.6 * y1))
    for _ in range(ticks):
        driver.page.mouse.wheel(0, -120)
        driver.page.wait_for_timeout(60)
    driver.until(lambda: np.ptp(driver.place(plot)["x"]) < 0.9 * np.ptp(before["x"]))


def copied(driver: Driver) -> str:
    """Copy the link to the view and return what is in the clipboard."""
    driver.page.get_by_role("button", name="Copy link").click()
    driver.says("Link copied")
    return driver.page.evaluate("() => navigator.clipboard.readText()")


def test_a_copied_link_opens_the_same_view_elsewhere(
    clipboard: Driver, browser: Browser, server: Server
) -> None:
    """In a new browser: the same map, window, spectrum, smoothing, and the same part of each."""
    clipboard.open(f"{server.url}?scan=manuscript&method=linear&elements=Fe~Ca")
    clipboard.tap("map", *(0.6 * a + 0.4 * b for a, b in (clipboard.place("map")[k] for k in "xy")))
    clipboard.until(lambda: clipboard.title("spectrum").startswith("Cell row"))
    clipboard.choose("ROI of the file", "CaKa")
    clipboard.until(lambda: clipboard.window() == pytest.approx((3.516, 3.85)))
    for plot, ticks in (("map", 6), ("positions", 3), ("spectrum", 4)):
        zoom(clipboard, plot, ticks)
    clipboard.until(lambda: all(key in query(clipboard) for key in ("map=", "range=")))
    clipboard.page.wait_for_timeout(500)
    link = copied(clipboard)
    assert link == clipboard.page.url
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    colleague = Driver(context.new_page())
    colleague.open(link)
    here, there = seen(clipboard), seen(colleague)
    assert there["titles"] == here["titles"]
    for name, value in here.items():
        if name == "titles":
            continue
        slack = 1e-3 * np.ptp(value) if name[-2:] in (" x", " y") else 1e-6
        np.testing.assert_allclose(there[name], value, atol=slack, err_msg=name)
    colleague.page.wait_for_timeout(800)
    assert colleague.page.url == link  # to look at it changes nothing
    context.close()
    assert colleague.complaints == []


def test_a_link_shows_all_of_a_part_on_a_smaller_screen(driver: Driver, server: Server) -> None:
    """What the sender saw is in view, at equal aspect; and the address stays as it was sent."""
    driver.page.set_viewport_size({"width": 390, "height": 844})
    sent = (150_000, 170_000, 118_000, 123_000)
    address = "map=" + "~".join(map(str, sent))
    driver.open(f"{server.url}?scan=manuscript&{address}")
    place = driver.place("map")
    across, up = (np.ptp(place[axis]) for axis in "xy")
    assert across / place["width"] == pytest.approx(up / place["height"], rel=1e-3)
    assert place["x"][0] <= sent[0] + 1
    assert place["x"][1] >= sent[1] - 1
    assert min(across - 20_000, up - 5_000) < 1  # and as little more as the frame allows
    driver.page.wait_for_timeout(800)
    assert driver.page.url.endswith(address)


def test_back_and_forward_follow_a_zoom(driver: Driver, server: Server) -> None:
    """A zoom is an entry of the history; reset takes it out of the address."""
    driver.open(f"{server.url}?scan=manuscript")
    home = driver.place("map")
    zoom(driver, "map", 5)
    driver.until(lambda: "map=" in query(driver))
    zoomed = driver.place("map")
    driver.page.wait_for_timeout(900)
    driver.page.go_back()
    driver.until(lambda: driver.place("map")["x"] == pytest.approx(home["x"]))
    driver.page.go_forward()
    driver.until(lambda: driver.place("map")["x"] == pytest.approx(zoomed["x"], rel=1e-4))
    driver.page.wait_for_timeout(900)
    assert "map=" in query(driver)
    driver.page.evaluate("() => Bokeh.index.find_one(probe.plot('map')).reset()")
    driver.until(lambda: "map=" not in query(driver))


def test_back_and_forward_follow_elements_and_workspaces(driver: Driver, server: Server) -> None:
    """Each is in the address, and the page follows it."""
    driver.open(f"{server.url}?scan=manuscript&elements=Fe")
    driver.page.get_by_role("button", name="Gallery", exact=True).click()
    driver.until(lambda: "view=gallery" in query(driver))
    driver.page.go_back()
    explore = driver.page.get_by_role("button", name="Explore", exact=True)
    driver.until(lambda: explore.get_attribute("aria-pressed") == "true")
    driver.until(lambda: driver.page.get_by_role("combobox", name="Interpolation").count() == 1)
    driver.page.go_forward()
    driver.until(lambda: explore.get_attribute("aria-pressed") == "false")


@pytest.mark.parametrize("copies", [True, False])
def test_a_link_can_be_copied_without_a_secure_context(
    clipboard: Driver, server: Server, copies: bool
) -> None:
    """A lab's server speaks plain http, where browsers have no clipboard for pages."""
    clipboard.page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
        + ("" if copies else "document.execCommand = () => false;")
    )
    clipboard.open(f"{server.url}?scan=manuscript&sigma=3")
    clipboard.page.get_by_role("button", name="Copy link").click()
    field = clipboard.page.get_by_label("Link to this view")
    if copies:
        clipboard.says("Link copied")
        assert not field.is_visible()
        filled = clipboard.page.get_by_label("from (keV)", exact=True)
        filled.fill("")
        filled.focus()
        # Numbers alone can be pasted there: the name of a text field serves as well.
        clipboard.page.evaluate(
            "() => { const a = document.createElement('textarea'); a.id = 'paste';"
            " document.body.append(a); a.focus(); }"
        )
        clipboard.page.keyboard.press("Control+V")
        pasted = clipboard.page.locator("#paste").input_value()
        assert pasted.startswith(f"{server.url}?scan=manuscript&sigma=3&window=")
    else:
        clipboard.says("Press Ctrl+C to copy")
        assert field.is_visible()
        selected = field.evaluate("(f) => f.value.slice(f.selectionStart, f.selectionEnd)")
        assert selected.startswith(f"{server.url}?scan=manuscript&sigma=3&window=")
        clipboard.page.keyboard.press("Escape")
        assert not field.is_visible()


HOSTILE = [
    "view=<script>alert(1)</script>&elements=Xx~Fe~Fe",
    "sigma=1e999&window=NaN~NaN&map=0~1e999~nan~inf&range=-inf~inf&positions=0~0~0~0",
    "sigma=%ff%fe&window=%c3%28&colours=%00",
    "sigma=1&sigma=2&sigma=3&scan=other",
    "elements=" + "Fe~" * 3_000,
    "x" * 10_000,
    "sigma=" + "9" * 10_000,
    "a=1?b=2&sigma=??&=&&&",
    "%&sigma=%zz&%u0041=1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_address_fails_the_page(driver: Driver, server: Server, text: str) -> None:
    """Whatever stands there, the scan is shown as far as the rest makes sense."""
    address = f"{server.url}?{text}&scan=manuscript"
    driver.open(address)
    assert driver.page.get_by_text("Something unforeseen").count() == 0
    assert np.ptp(driver.levels()) > 0
