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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run one browser at a time; skip where there is none, but never in CI."""
    marks = [pytest.mark.xdist_group("browser")]
    if not find_chromium() and not os.environ.get("CI"):
        reason = "no Chromium here: apt-get install chromium, or MAXRF_CHROMIUM"
        marks.append(pytest.mark.skip(reason=reason))
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in marks:
                item.add_marker(mark)


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
