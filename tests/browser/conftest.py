"""A real server and a real browser for the tests of the page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

import dashboard
from maxrf_core import convert_crono, simulate_crono

from .driver import Driver, find_chromium, launch

DATA = Path(__file__).parents[1] / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none, but never in CI."""
    if find_chromium() or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="no Chromium here: apt-get install chromium, or MAXRF_CHROMIUM")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)


class Server:
    """`panel serve dashboard` in a process of its own."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = log
        folder = str(Path(dashboard.__file__).parent)
        command = [sys.executable, "-m", "panel", "serve", folder, "--port", str(self.port)]
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [*command, *(["--args", *arguments] if arguments else [])],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
            )
        self._wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dashboard"

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/favicon.ico", timeout=5)
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


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
    running = Server([str(scan_folder)], tmp_path_factory.mktemp("log") / "server.log", {})
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The machine's Chromium."""
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
