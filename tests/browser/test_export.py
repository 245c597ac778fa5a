"""Files made on the page and fetched by a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator

from maxrf_core import open_scan

from .driver import Driver
from .server import Server

SIZES = {"wide": (1280, 800), "phone": (390, 844)}


def opened(page: Driver) -> Locator:
    """Open the dialog."""
    page.page.get_by_role("button", name="Export").click()
    dialog = page.page.get_by_role("dialog", name="Export")
    dialog.get_by_role("button", name="Make the file").wait_for()
    return dialog


def choose(page: Driver, label: str, option: str) -> None:
    """Choose from one of the dialog's lists."""
    page.page.get_by_role("combobox", name=label, exact=True).click()
    page.page.get_by_role("menuitem", name=option).click()


def fetched(page: Driver, dialog: Locator, folder: Path) -> Path:
    """Make the file and download it with a click."""
    dialog.get_by_role("button", name="Make the file").click()
    link = dialog.get_by_role("link", name=re.compile("^Download "))
    link.wait_for(timeout=60_000)
    with page.page.expect_download() as waiting:
        link.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_the_map_that_is_seen_is_downloaded(
    driver: Driver, server: Server, scan_folder: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """As a float32 TIFF with the very numbers, named after the scan."""
    page = driver
    page.page.set_viewport_size({"width": size[0], "height": size[1]})
    page.open(f"{server.url}?scan=manuscript")
    window = page.window()
    dialog = opened(page)
    dialog.get_by_text("interpolated by kriging, not smoothed").wait_for()
    assert page.sideways() <= 0
    path = fetched(page, dialog, tmp_path)
    with Image.open(path) as image:
        found = np.array(image)
    with open_scan(scan_folder / "manuscript.zipstore") as scan:
        np.testing.assert_array_equal(found, scan.energy_map(*window)[::-1])
        assert path.name == f"{Path(scan.name).stem}-map.tif"


def test_a_cube_is_made_with_a_bar_and_its_energies(
    page: Driver, scan_folder: Path, tmp_path: Path
) -> None:
    """Chosen with lists and fields; the size is told before."""
    dialog = opened(page)
    choose(page, "What", "The spectral cube")
    choose(page, "As", "Cube, NeXus HDF5")
    whole = dialog.get_by_text(re.compile(r"Up to [\d,]+ MB"))
    whole.wait_for()
    told = whole.text_content()
    for label, value in (("from (keV)", "3"), ("to (keV)", "8")):
        field = dialog.get_by_role("textbox", name=label)
        field.click()
        field.press("Control+a")
        field.press_sequentially(value)
        field.press("Tab")
    page.until(lambda: whole.text_content() != told)
    path = fetched(page, dialog, tmp_path)
    with h5py.File(path) as file, open_scan(scan_folder / "manuscript.zipstore") as scan:
        part = scan.channels_of(3.0, 8.0)
        data = file["entry/instrument/detector/data"]
        assert data.shape == (*scan.grid.shape, part.stop - part.start)
        cell = scan.cell_spectrum(4, 5)[part]
        np.testing.assert_allclose(data[scan.grid.height - 5, 5], cell, rtol=1e-6)
