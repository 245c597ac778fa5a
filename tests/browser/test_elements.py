"""Elements in a real browser: typed, picked from the table, proposed by peaks; the address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator

from dashboard.data import SharedScan
from dashboard.scaling import scale_map
from maxrf_core import open_scan

from .driver import Driver
from .server import Server

PHONE = (390, 844)
_DRAWER = re.compile("sidebar|menu|drawer", re.IGNORECASE)
_THEME = re.compile("theme", re.IGNORECASE)

_MARKS = """
() => {
  const plot = probe.plot('spectrum');
  const {label, shown, lift, energy, top} =
    plot.center.find((m) => m.name === 'lines').source.data;
  return {
    label: Array.from(label), shown: Array.from(shown), lift: Array.from(lift),
    energy: Array.from(energy), top: Array.from(top),
    peaks: Array.from(plot.center.find((m) => m.name === 'peaks').source.data.energy),
    id: plot.id,
  };
}
"""
_FOCUSED = """
() => {
  let found = document.activeElement;
  while (found?.shadowRoot?.activeElement) found = found.shadowRoot.activeElement;
  return found?.getAttribute('aria-label') ?? found?.id ?? '';
}
"""


@pytest.fixture(scope="module")
def shared(scan_folder: Path) -> Iterator[SharedScan]:
    """The scan, opened here."""
    with open_scan(scan_folder / "manuscript.zipstore") as scan:
        yield SharedScan(scan)


def marks(page: Driver) -> dict[str, Any]:
    """Return the lines and peaks that stand on the spectrum."""
    return page.page.evaluate(_MARKS)


def shown_labels(page: Driver) -> list[str]:
    """Return the labels that are to be read."""
    found = marks(page)
    return [text for text, shown in zip(found["label"], found["shown"], strict=True) if shown]


def field(page: Driver) -> Locator:
    """Return the field that elements are typed in."""
    return page.page.get_by_label("Add element or line")


def type_in(page: Driver, text: str) -> None:
    """Type an element and press Enter."""
    field(page).fill(text)
    field(page).press("Enter")


def chips(page: Driver) -> list[str]:
    """Return the elements under the field."""
    return page.page.get_by_role("list", name="Elements chosen").locator(".show").all_inner_texts()


def is_mapped(page: Driver, shared: SharedScan, name: str) -> None:
    """Wait until box, title and picture are those of an element."""
    low, high = shared.elements.line(name).window
    page.until(lambda: page.window() == pytest.approx((low, high), abs=1e-6))
    page.until(lambda: page.title("map").startswith(f"{low:.3f}–{high:.3f} keV"))
    expected = scale_map(shared.scan.energy_map(low, high), (0.0, 99.5)).levels.ravel()
    page.until(lambda: np.array_equal(page.levels(), expected))


def open_table(page: Driver) -> Locator:
    """Open the periodic table."""
    page.page.get_by_role("button", name="Periodic table").click()
    dialog = page.page.get_by_role("dialog", name="Periodic table")
    dialog.get_by_role("button", name="uranium, U, 92").wait_for()
    return dialog


def shut(page: Driver, dialog: Locator) -> None:
    """Shut a dialog with the Escape key."""
    page.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def focused(page: Driver) -> str:
    """Return the name of what has the keyboard."""
    return page.page.evaluate(_FOCUSED)


def test_an_element_typed_stands_on_the_spectrum_and_is_mapped(
    page: Driver, shared: SharedScan
) -> None:
    """Enter is all: lines with names, window and map; the field is ready for the next."""
    assert marks(page)["label"] == []
    type_in(page, "iron")
    is_mapped(page, shared, "Fe")
    page.until(lambda: "Fe Kα" in shown_labels(page))
    page.until(lambda: field(page).input_value() == "")
    assert focused(page) == "field"
    page.page.keyboard.type("Pb L-alpha")
    page.page.keyboard.press("Enter")
    is_mapped(page, shared, "Pb La")
    page.until(lambda: chips(page) == ["Fe", "Pb Lα"])
    page.until(lambda: "elements=Fe~Pb+La" in page.page.url)


def test_a_wrong_text_says_so_where_it_was_typed(page: Driver) -> None:
    """It stays in the field, to be mended; nothing else moves."""
    window = page.window()
    type_in(page, "irom")
    told = page.page.get_by_role("alert").filter(has_text="is no element")
    told.wait_for()
    assert "iron" in told.inner_text()
    assert field(page).input_value() == "irom"
    assert field(page).get_attribute("aria-invalid") == "true"
    assert abs(told.bounding_box()["y"] - field(page).bounding_box()["y"]) < 60
    assert page.window() == window
    type_in(page, "Fe")
    told.wait_for(state="hidden")
    page.until(lambda: chips(page) == ["Fe"])


def test_lines_are_suggested_while_an_element_is_typed(page: Driver) -> None:
    """The list under the field knows elements, and the lines of the one that was begun."""

    def suggestions() -> list[str]:
        return page.page.evaluate(
            """() => {
                const find = (root) => {
                  const found = root.querySelector('datalist#names');
                  if (found) return found;
                  for (const child of root.querySelectorAll('*')) {
                    const inner = child.shadowRoot && find(child.shadowRoot);
                    if (inner) return inner;
                  }
                };
                return [...find(document).options].map((option) => option.value);
            }"""
        )

    assert {"Fe", "Pb"} <= set(suggestions())
    assert "Pb La" not in suggestions()
    field(page).press_sequentially("Pb L")
    page.until(lambda: {"Pb La", "Pb Lb", "Fe"} <= set(suggestions()))


def test_chips_show_their_map_again_and_go_with_their_cross(
    page: Driver, shared: SharedScan
) -> None:
    """By mouse and by keyboard; the next cross has the keyboard then."""
    for name in ("Fe", "Ca", "Pb"):
        type_in(page, name)
        page.until(lambda n=name: n in chips(page))
    page.page.get_by_role("button", name="Fe", exact=True).click()
    is_mapped(page, shared, "Fe")
    iron = page.page.get_by_role("button", name="Fe", exact=True)
    page.until(lambda: iron.get_attribute("aria-pressed") == "true")
    page.page.get_by_role("button", name="Remove Fe").focus()
    page.page.keyboard.press("Enter")
    page.until(lambda: chips(page) == ["Ca", "Pb"])
    page.until(lambda: not any(text.startswith("Fe") for text in marks(page)["label"]))
    page.until(lambda: focused(page) == "Remove Ca")


def test_marks_leave_window_hover_and_zoom_alone(page: Driver, shared: SharedScan) -> None:
    """The box is dragged through them, the wheel zooms, and labels make room for each other."""
    for name in ("Fe", "Mn", "Cu", "Pb"):
        type_in(page, name)
        page.until(lambda n=name: n in chips(page))
    plot = marks(page)["id"]
    type_in(page, "Fe")
    is_mapped(page, shared, "Fe")
    low, high = page.window()
    middle = np.mean(page.place("spectrum")["y"])
    start = page.to_page("spectrum", shared.elements.line("Fe").group.energy_kev, middle)
    page.drag(start, (start[0] + 50, start[1]))
    page.until(lambda: page.window()[0] > low + 0.1)
    assert np.ptp(page.window()) == pytest.approx(high - low, abs=1e-6)

    place = page.place("spectrum")
    found = marks(page)
    boxes = [
        (x, top * place["height"] + lift, len(text))
        for text, is_shown, lift, energy, top in zip(
            *(found[key] for key in ("label", "shown", "lift", "energy", "top")), strict=True
        )
        if is_shown
        for x in [(energy - place["x"][0]) / np.ptp(place["x"]) * place["width"]]
    ]
    assert len(boxes) >= 4
    for number, (x, y, letters) in enumerate(boxes):
        for other_x, other_y, other_letters in boxes[:number]:
            apart = 3.4 * (letters + other_letters)
            assert abs(other_x - x) >= apart or abs(other_y - y) >= 16

    before = set(shown_labels(page))
    page.page.mouse.move(*page.to_page("spectrum", 6.3, middle))
    while np.ptp(page.place("spectrum")["x"]) > 5:
        page.page.mouse.wheel(0, -60)
        page.page.wait_for_timeout(50)
    page.until(lambda: {"Fe Kα", "Mn Kα", "Fe Kβ", "Mn Kβ"} <= set(shown_labels(page)))
    assert set(shown_labels(page)) != before
    assert marks(page)["top"] == found["top"]
    assert marks(page)["id"] == plot

    def is_told() -> bool:
        page.page.mouse.move(*page.to_page("spectrum", 6.35, 0.9 * middle))
        page.page.mouse.move(*page.to_page("spectrum", 6.4, middle))
        return page.page.get_by_text(re.compile(r"^6\.\d{3} keV$")).count() > 0

    page.until(is_told)


def test_the_table_adds_and_removes_by_mouse(page: Driver, shared: SharedScan) -> None:
    """Chosen places are filled, proposed ones outlined, each has its full name."""
    dialog = open_table(page)
    copper = dialog.get_by_role("button", name="copper, Cu, 29")
    page.until(lambda: dialog.locator("button.proposed").count() > 2)
    outlined = dialog.locator("button.proposed").evaluate_all(
        "(found) => found.map((b) => b.getAttribute('aria-label').split(', ')[1])"
    )
    assert set(outlined) == set(shared.elements.proposed)
    assert dialog.get_by_role("button", name=re.compile(r"^\w+, [A-Z][a-z]?, \d+$")).count() == 82
    empty = copper.evaluate("(b) => getComputedStyle(b).backgroundColor")
    copper.click()
    page.until(lambda: copper.get_attribute("aria-pressed") == "true")
    page.page.mouse.move(5, 5)
    page.until(lambda: copper.evaluate("(b) => getComputedStyle(b).backgroundColor") != empty)
    copper.click()
    page.until(lambda: copper.get_attribute("aria-pressed") == "false")
    copper.click()
    page.until(lambda: copper.get_attribute("aria-pressed") == "true")
    shut(page, dialog)
    is_mapped(page, shared, "Cu")
    page.until(lambda: "Cu Kα" in shown_labels(page))


def test_everything_works_with_the_keyboard_alone(page: Driver, shared: SharedScan) -> None:
    """Into the dialog, along the table, out again, and on to the peaks."""
    page.page.get_by_role("button", name="Periodic table").focus()
    page.page.keyboard.press("Enter")
    dialog = page.page.get_by_role("dialog", name="Periodic table")
    dialog.get_by_role("button", name="sodium, Na, 11").wait_for()
    for _ in range(8):
        if focused(page) == "sodium, Na, 11":
            break
        page.page.keyboard.press("Tab")
    assert focused(page) == "sodium, Na, 11"
    page.page.keyboard.press("ArrowDown")
    for _ in range(7):
        page.page.keyboard.press("ArrowRight")
    assert focused(page) == "iron, Fe, 26"
    page.page.keyboard.press("ArrowUp")  # nothing is above it
    assert focused(page) == "iron, Fe, 26"
    page.page.keyboard.press("Enter")
    iron = dialog.get_by_role("button", name="iron, Fe, 26")
    page.until(lambda: iron.get_attribute("aria-pressed") == "true")
    shut(page, dialog)
    is_mapped(page, shared, "Fe")
    page.page.get_by_role("button", name="Peaks").focus()
    page.page.keyboard.press("Enter")
    peaks = page.page.get_by_role("dialog", name="Peaks of the scan")
    add = peaks.get_by_role("button", name="Add Ca").first
    add.wait_for()
    add.focus()
    page.page.keyboard.press("Enter")
    peaks.get_by_role("button", name="Remove Ca").first.wait_for()
    shut(page, peaks)
    page.until(lambda: chips(page) == ["Fe", "Ca"])


def test_peaks_are_listed_marked_and_added(page: Driver, shared: SharedScan) -> None:
    """The table is the core's; ticks stand while the switch is on; one button adds all."""
    page.page.get_by_role("button", name="Peaks").click()
    dialog = page.page.get_by_role("dialog", name="Peaks of the scan")
    rows = dialog.get_by_role("row")
    rows.nth(1).wait_for()
    proposals = shared.elements.proposals
    assert rows.count() == len(proposals) + 1
    told = rows.nth(
        1 + next(i for i, p in enumerate(proposals) if p.peak.energy_kev > 6)
    ).inner_text()
    assert told.startswith(
        f"{next(p for p in proposals if p.peak.energy_kev > 6).peak.energy_kev:.3f}"
    )
    dialog.get_by_role("row", name=re.compile("Compton scatter of the tube")).first.wait_for()
    dialog.get_by_label("Mark peaks").check()
    page.until(lambda: len(marks(page)["peaks"]) == len(proposals))
    dialog.get_by_role("button", name="Add all proposed elements").click()
    page.until(lambda: chips(page) == list(shared.elements.proposed))
    dialog.get_by_label("Mark peaks").uncheck()
    page.until(lambda: marks(page)["peaks"] == [])
    shut(page, dialog)
    page.until(lambda: f"elements={'~'.join(shared.elements.proposed)}" in page.page.url)


def test_a_link_opens_the_same_elements_and_back_takes_them_away(
    page: Driver, shared: SharedScan
) -> None:
    """An element is an entry of the history; a copied link shows lines, chips and map."""
    type_in(page, "Fe")
    page.until(lambda: "elements=Fe" in page.page.url)
    page.page.wait_for_timeout(900)  # a gesture within 800 ms belongs to the same entry
    type_in(page, "Pb La")
    page.until(lambda: "elements=Fe~Pb+La" in page.page.url)
    link, labels = page.page.url, marks(page)["label"]
    page.page.go_back()
    page.until(lambda: chips(page) == ["Fe"])
    page.until(lambda: not any(text.startswith("Pb") for text in marks(page)["label"]))
    is_mapped(page, shared, "Fe")
    page.page.go_forward()
    page.until(lambda: chips(page) == ["Fe", "Pb Lα"])
    page.open(link)
    page.until(lambda: chips(page) == ["Fe", "Pb Lα"])
    assert marks(page)["label"] == labels
    is_mapped(page, shared, "Pb La")


def test_a_wrong_element_in_the_address_costs_itself_alone(driver: Driver, server: Server) -> None:
    """The page says so, as text, and shows the rest."""
    driver.open(f"{server.url}?scan=manuscript&sigma=3.5&elements=Fe~<img src=x onerror=alert(1)>")
    driver.says("<img src=x")
    assert "smoothing 42 eV" in driver.title("spectrum")
    assert driver.page.locator("img[src='x']").count() == 0


def test_on_a_phone_table_and_peaks_fit_the_screen(driver: Driver, server: Server) -> None:
    """Nothing reaches beyond its edge, and a finger finds each element."""
    driver.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    driver.open(f"{server.url}?scan=manuscript")
    driver.page.get_by_role("button", name=_DRAWER).first.click()
    dialog = open_table(driver)
    boxes = dialog.locator(".table button").evaluate_all(
        "(all) => all.map((b) => { const r = b.getBoundingClientRect();"
        " return [r.left, r.right, r.width, r.height]; })"
    )
    assert len(boxes) == 82
    assert all(left >= 0 and right <= PHONE[0] for left, right, *_ in boxes)
    assert min(min(width, height) for *_, width, height in boxes) >= 36
    lead = dialog.get_by_role("button", name="lead, Pb, 82")
    lead.scroll_into_view_if_needed()
    lead.click()
    driver.until(lambda: lead.get_attribute("aria-pressed") == "true")
    first = dialog.get_by_role("button", name="sodium, Na, 11")
    first.focus()
    driver.page.keyboard.press("ArrowDown")
    below = focused(driver)
    assert below not in ("sodium, Na, 11", "potassium, K, 19")  # what stands below it here
    shut(driver, dialog)
    driver.page.get_by_role("button", name="Peaks").click()
    peaks = driver.page.get_by_role("dialog", name="Peaks of the scan")
    peaks.get_by_role("button", name="Remove Pb").first.wait_for()
    wide = peaks.get_by_role("table").evaluate(
        "(t) => [t.scrollWidth, t.getBoundingClientRect().right]"
    )
    assert wide[1] <= PHONE[0]
    shut(driver, peaks)
    assert driver.sideways() <= 0
    driver.until(lambda: chips(driver) == ["Pb"])


def test_dark_paper_leaves_everything_readable(page: Driver) -> None:
    """Letters of field, chips and table stand out from what is behind them: 4.5 and more."""
    type_in(page, "Fe")
    page.until(lambda: chips(page) == ["Fe"])
    page.page.get_by_role("button", name=_THEME).first.click()
    dialog = open_table(page)
    page.until(
        lambda: (
            page.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
            != "rgb(255, 255, 255)"
        )
    )
    page.page.wait_for_timeout(600)  # the colours fade over
    for locator in (
        dialog.get_by_role("button", name="uranium, U, 92"),
        dialog.get_by_role("button", name="iron, Fe, 26"),
        field(page),
        page.page.locator(".chip .show"),
    ):
        assert _contrast(locator) >= 4.5


def _contrast(element: Locator) -> float:
    """Return the contrast of an element's text and what is painted behind it."""
    return element.evaluate(
        """(element) => {
            const rgba = (text) => {
              const n = text.match(/[0-9.]+/g).map(Number);
              const scale = text.startsWith('color(srgb') ? 255 : 1;
              return [...n.slice(0, 3).map((v) => v * scale), n[3] ?? 1];
            };
            const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3]));
            const layers = [];
            for (let e = element; e; e = e.assignedSlot ?? e.parentElement ?? e.getRootNode().host)
              layers.push(rgba(getComputedStyle(e).backgroundColor));
            const paper = layers.reverse()
              .reduce((below, layer) => over(layer, below), [255, 255, 255]);
            const ink = over(rgba(getComputedStyle(element).color), paper);
            const light = (c) => c.map((v) => v / 255)
              .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
              .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const [high, low] = [light(ink), light(paper)].sort((a, b) => b - a);
            return (high + 0.05) / (low + 0.05);
        }"""
    )
