"""Names, roles and contrast of everything on the page, by axe-core (https://github.com/dequelabs)."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

from .driver import Driver
from .server import Server

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
QUERY = "elements=Fe~Ca&regions=Robe!t!Fe!1!"
PAPER = ("light", "dark")
DIALOGS = (
    "Periodic table",
    "Peaks",
    "Suggest",
    "Export",
    "Compare",
    "Saved views",
    "Energy calibration",
    "Photo",
)


def complaints(page: Driver) -> list[str]:
    """Return what axe finds against the web's rules for all, level AA; names come a bit later."""
    page.page.wait_for_timeout(700)
    found = Axe().run(page.page, options=RULES).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['html'][:200]}"
        for one in found
        for node in one["nodes"]
    ]


def open_on(page: Driver, server: Server, paper: str, view: str) -> None:
    """Open a workspace on light or dark paper."""
    page.page.goto(f"{server.url}?scan=manuscript&{QUERY}&view={view}")
    page.page.get_by_role("button", name="Copy link").wait_for()
    page.wait_for_page()
    if paper == "dark":
        page.page.get_by_role("button", name=re.compile("theme", re.IGNORECASE)).click()
        page.page.locator(".mui-dark").first.wait_for()


@pytest.mark.parametrize("paper", PAPER)
@pytest.mark.parametrize("view", ["explore", "gallery", "combine"])
def test_every_workspace_can_be_read_and_named(
    driver: Driver, server: Server, view: str, paper: str
) -> None:
    """Contrast AA, names of all controls, roles: nothing is complained of."""
    open_on(driver, server, paper, view)
    assert complaints(driver) == []


@pytest.mark.parametrize("paper", PAPER)
def test_every_dialog_can_be_read_and_named(driver: Driver, server: Server, paper: str) -> None:
    """With what it shows when it has its answer."""
    open_on(driver, server, paper, "explore")
    page = driver.page
    # The lower sections come after the others, and lay the sidebar out anew.
    page.get_by_role("button", name=re.compile("^Energy calibration")).wait_for()
    for name in DIALOGS:
        page.get_by_role("button", name=re.compile(f"^{name}")).first.click()
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        dialog.get_by_role("progressbar").wait_for(state="detached")
        assert (name, complaints(driver)) == (name, [])
        dialog.get_by_role("button", name="close", exact=True).click()
        dialog.wait_for(state="detached")


def test_the_catalogue_can_be_read_and_named(driver: Driver, server: Server) -> None:
    """And the card of a scan that was not converted."""
    driver.page.goto(server.url)
    driver.page.locator("a.card").first.wait_for()
    driver.wait_for_page()
    assert complaints(driver) == []
    driver.page.goto(f"{server.url}?scan=to-convert")
    driver.page.get_by_role("button", name="Convert").first.wait_for()
    assert complaints(driver) == []
