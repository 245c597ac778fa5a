"""Make the README's picture from the real page: ``python -m tests.browser.picture``."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from maxrf_core.demo import demo_scan

from .driver import Driver, launch
from .server import Server

PICTURE = Path(__file__).parents[2] / "assets" / "dashboard.png"


def main() -> None:
    """Open the demo scan, choose iron, and save what a visitor sees."""
    scan = demo_scan(progress=False)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = launch(playwright)
        with Server([str(scan)], Path(folder) / "log") as server:
            driver = Driver(browser.new_page(viewport={"width": 1280, "height": 800}))
            driver.open(f"{server.url}?window=6.169~6.612&cell=120~20&elements=Ca~Fe~Cu")
            driver.page.wait_for_timeout(1500)
            driver.page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
