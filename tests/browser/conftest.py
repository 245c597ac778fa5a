"""A real server and a real browser for the tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from maxrf_core import convert_crono, simulate_crono

from .driver import Driver, find_chromium, launch
from .server import Server

DATA = Path(__file__).parents[1] / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none, but never in CI."""
    if find_chromium() or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="no Chromium here: apt-get install chromium, or MAXRF_CHROMIUM")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def scan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a lab has it: a converted scan, one to convert, a broken one."""
    folder = tmp_path_factory.mktemp("scans")
    made = folder / "manuscript.HDF5"
    simulate_crono(made, shape=(46, 30), seed=3)
    convert_crono(made, cubes=False, progress=False)
    made.unlink()
    shutil.copy(DATA / "crono-12x9.HDF5", folder / "to-convert.HDF5")
    whole = (folder / "manuscript.zipstore").read_bytes()
    (folder / "broken.zipstore").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="session")
def server(scan_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the folder."""
    running = Server([str(scan_folder)], tmp_path_factory.mktemp("log") / "server.log")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's Chromium; Playwright's event loop must end before other tests begin."""
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture
def driver(browser: Browser) -> Iterator[Driver]:
    """A new visitor; afterwards nothing may have failed or left the machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    visitor = Driver(context.new_page())
    yield visitor
    context.close()
    assert visitor.complaints == []
    assert visitor.strangers == []


@pytest.fixture
def page(driver: Driver, server: Server) -> Driver:
    """A visitor who has the converted scan before them."""
    driver.open(f"{server.url}?scan=manuscript")
    return driver
