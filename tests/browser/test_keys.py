"""Keys, undo and the large screen, in a real browser."""

from __future__ import annotations

import re

import pytest

from .driver import Driver
from .server import Server


def query(page: Driver) -> str:
    """Return the address after the question mark, with it."""
    return page.page.evaluate("() => window.location.search")


def pressed(page: Driver, name: str) -> bool:
    """Tell whether a button is down."""
    button = page.page.get_by_role("button", name=name, exact=True)
    return button.get_attribute("aria-pressed") == "true"


def test_an_element_and_a_region_are_undone_and_done_again(driver: Driver, server: Server) -> None:
    """By keys and by buttons, which are grey where there is nothing to do."""
    page = driver
    page.open(f"{server.url}?scan=manuscript&elements=Fe")
    undo = page.page.get_by_role("button", name="Undo", exact=True)
    redo = page.page.get_by_role("button", name="Redo", exact=True)
    assert undo.is_disabled()
    page.page.get_by_role("button", name="Visible part", exact=True).click()
    page.until(lambda: "regions=" in query(page))
    page.page.keyboard.press("Control+z")
    page.until(lambda: "regions=" not in query(page))
    page.until(undo.is_disabled)
    redo.click()
    page.until(lambda: "regions=" in query(page))
    page.until(redo.is_disabled)
    undo.click()
    page.until(lambda: "regions=" not in query(page))
    page.page.keyboard.press("Control+Shift+Z")
    page.until(lambda: "regions=" in query(page))
    assert "elements=Fe" in query(page)


def test_a_dragged_window_is_one_step(page: Driver) -> None:
    """However many windows it passed through."""
    before = page.window()
    start = page.to_page("spectrum", sum(before) / 2, page.place("spectrum")["y"][1] / 2)
    page.drag(start, (start[0] - 60, start[1]))
    page.until(lambda: page.window()[0] < before[0] - 0.1)
    page.page.get_by_role("button", name="Undo", exact=True).click()
    page.until(lambda: page.window() == pytest.approx(before, abs=1e-3))


def test_keys_go_everywhere_but_not_where_somebody_types(driver: Driver, server: Server) -> None:
    """Workspaces, the picked cell, the zoom of the map; the list of keys tells of them."""
    page = driver
    page.open(f"{server.url}?scan=manuscript&cell=20~10")
    keys = page.page.keyboard
    keys.press("Shift+ArrowUp")
    page.until(lambda: "cell=21~10" in query(page))
    keys.press("Shift+ArrowRight")
    page.until(lambda: "cell=21~11" in query(page))
    keys.press("+")
    page.until(lambda: "map=" in query(page))
    keys.press("0")
    page.until(lambda: "map=" not in query(page))
    keys.press("?")
    listed = page.page.get_by_role("dialog", name="Keys")
    listed.wait_for()
    assert "Undo" in listed.inner_text()
    keys.press("g")
    keys.press("Escape")
    listed.wait_for(state="hidden")
    assert "view=explore" in query(page)
    field = page.page.get_by_placeholder(re.compile("Fe, iron"))
    field.press("g")
    assert field.input_value() == "g"
    field.fill("")
    field.evaluate("(field) => field.blur()")
    for key, view in (("c", "combine"), ("g", "gallery"), ("e", "explore")):
        keys.press(key)
        page.until(lambda v=view: f"view={v}" in query(page))


def test_a_large_screen_has_larger_text_and_no_sidebar(driver: Driver, server: Server) -> None:
    """In a plot that comes later, too; afterwards all is as it was."""
    page = driver
    page.open(f"{server.url}?scan=manuscript")
    title = "() => probe.plot('map').title.text_font_size"
    usual = page.page.evaluate(title)
    window = page.page.get_by_label("from (keV)", exact=True)
    assert window.is_visible()
    page.page.keyboard.press("l")
    page.until(lambda: pressed(page, "Large screen"))
    page.until(lambda: not window.is_visible())
    assert float(page.page.evaluate(title)[:-2]) == pytest.approx(1.5 * float(usual[:-2]))
    page.page.keyboard.press("c")
    page.page.get_by_role("button", name="Colours", exact=True).wait_for()
    page.page.get_by_role("button", name="Large screen", exact=True).click()
    page.until(lambda: not pressed(page, "Large screen"))
    page.until(window.is_visible)
    assert page.page.evaluate(title) == usual


@pytest.mark.parametrize("key", ["Enter", "Space", "ArrowDown"])
def test_a_list_is_opened_left_and_chosen_from_with_keys(page: Driver, key: str) -> None:
    """As any other control: nobody needs a mouse for an interpolation."""
    keys, field = page.page.keyboard, page.page.get_by_role("combobox", name="Interpolation")
    items = page.page.get_by_role("menuitem")
    before = field.inner_text()
    field.focus()
    keys.press(key)
    items.first.wait_for()
    keys.press("Escape")
    items.first.wait_for(state="hidden")
    page.until(lambda: field.evaluate("(el) => el.getRootNode().activeElement === el"))
    keys.press(key)
    items.first.wait_for()
    wanted = next(text for text in items.all_inner_texts() if text != before)
    while items.locator(":focus").count() and items.locator(":focus").inner_text() != wanted:
        keys.press("ArrowDown")
    keys.press("Space" if key == "Space" else "Enter")
    items.first.wait_for(state="hidden")
    page.until(lambda: field.inner_text() == wanted)
    page.until(lambda: f"method={wanted.split()[0].lower()}" in query(page))
