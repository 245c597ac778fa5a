"""Nothing that a file or an address says runs in the page, in a real browser; it is shown.

The names and attributes of these scans are those of `injections`. Everything that shows one of
them is visited; afterwards none has run, asked for anything, or become an element.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import h5py
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from maxrf_core import convert_crono, open_scan, simulate_crono
from maxrf_core.file_names import plain_name
from maxrf_core.photo_record import keep_photo
from maxrf_core.plain_text import printable
from maxrf_core.presets import Preset, write_presets_beside
from maxrf_core.regions import Polygon, Rectangle, Region
from maxrf_core.sidecar import sidecar_path

from .driver import Driver
from .injections import FOUND, NAMES, TEXTS, TRAP
from .server import Server

SHAPE = (12, 7)
HOSTILE = NAMES[0]
"""The name of the scan that is looked at from all sides."""
FOLDER = "lab's <img src=x onerror=ran(90)>"


def write_scan(path: Path) -> None:
    """Write a scan whose regions of interest and attributes are texts that would run."""
    rois = [
        (text, 1 + 0.2 * k, 1.15 + 0.2 * k) for k, text in enumerate(filter(str.isascii, TEXTS))
    ]
    rois.append(("L" * 100_000 + "<img src=x onerror=ran(91)>", 12.0, 12.5))
    simulate_crono(path, shape=SHAPE, rois=rois, seed=3)
    with h5py.File(path, "r+") as file:
        settings = file["Configuration/Settings"]
        for number, text in enumerate(TEXTS):
            settings.attrs[f"{number} {text[:40]}"] = text
        for name in ("CreatedWithSoftwareVersion", "CreatedDateTime"):
            del file[name]
            file[name] = np.frombuffer(NAMES[0].ljust(50).encode()[:50], "S1")


def write_beside(zipstore: Path) -> None:
    """Keep views, regions and a photo beside a scan whose names are texts that would run."""
    with open_scan(zipstore) as scan:
        left, bottom, right, top = scan.grid.bounds
    names = [name for name in NAMES if name.isprintable()]
    wide, high = right - left, top - bottom
    regions = [
        Region(name, Rectangle(left, bottom, left + wide * (0.4 + 0.05 * k), top - 0.3 * high))
        for k, name in enumerate(names[:6])
    ]
    presets = {name: Preset(regions=tuple(regions)) for name in names[:20]}
    write_presets_beside(zipstore, presets)
    photo = zipstore.with_name("<img src=x onerror=ran(92)>.png")
    picture = np.add.outer(np.arange(60), np.arange(90)).astype(np.uint8)
    Image.fromarray(picture).save(photo)
    pairs = [[0, 0, left, top], [90, 0, right, top], [0, 60, left, bottom], [90, 60, right, bottom]]
    keep_photo(zipstore, photo, pairs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose scans have such names: whole ones, one to convert, broken ones."""
    folder = tmp_path_factory.mktemp("injected") / FOLDER
    folder.mkdir()
    crono = folder / f"{HOSTILE}.HDF5"
    write_scan(crono)
    zipstore = Path(convert_crono(crono, cubes=False, progress=False))
    crono.unlink()
    write_beside(zipstore)
    whole = zipstore.read_bytes()
    for name in NAMES[1:5]:
        (folder / f"{name}.zipstore").write_bytes(whole)
        sidecar_path(folder / f"{name}.zipstore").write_text(json.dumps({"version": name}))
    for name in NAMES[5:20]:
        (folder / f"{name}.zipstore").write_bytes(whole[: len(whole) // 2])
    for name in NAMES[20:]:
        (folder / f"{name}.HDF5").write_bytes(b"no scan")
    return folder


@pytest.fixture(scope="module")
def injected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of that folder, and of another with a scan of the same name."""
    other = tmp_path_factory.mktemp("other") / NAMES[3]
    other.mkdir()
    shutil.copy(folder / f"{HOSTILE}.zipstore", other)
    log = tmp_path_factory.mktemp("log") / "server.log"
    # Panel's own server: the policy of ours would hide what runs.
    with Server([str(folder), str(other)], log, program=("panel", "serve")) as running:
        yield running


@dataclass
class Visit:
    """A visitor whose page notes what runs, and everything that it asked for."""

    driver: Driver
    asked: list[str]
    dialogs: list[str]

    def nothing_ran(self, *shown: str) -> None:
        """See that no text ran or became an element, and that some are to be read."""
        found = self.driver.page.evaluate(FOUND)
        assert found["runs"] == []
        assert found["wrong"] == []
        assert self.dialogs == []
        for url in self.asked:
            path = url.split("?", 1)[0]
            assert not path.endswith(("/x", "/x/")), url
            assert "ran(" not in path.replace("%28", "("), url
        for text in shown:
            assert text in found["text"], f"{text!r} is nowhere to be read"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A visitor with a trap."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    context.add_init_script(TRAP)
    made = Visit(Driver(context.new_page()), [], [])
    page = made.driver.page
    page.on("request", lambda request: made.asked.append(request.url))
    page.on("framenavigated", lambda frame: made.asked.append(frame.url))

    def note(dialog: object) -> None:
        made.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    yield made
    context.close()
    assert made.driver.complaints == []
    assert made.driver.strangers == []


def address(server: Server, **values: str) -> str:
    """Return the address of a view."""
    return f"{server.url}?{urlencode(values)}"


PLANTED = {
    "handler": "<p onclick=ran(95)>x</p>",
    "picture": "<img src=x>",
    "link": "<a href='javascript:ran(95)'>x</a>",
    "frame": "<iframe srcdoc=x></iframe>",
    "object": "<object></object>",
}


def test_what_is_looked_for_would_be_found(visit: Visit, injected: Server) -> None:
    """In a shadow root as in the page, and in what Bokeh draws: else the others prove nothing."""
    page = visit.driver.page
    visit.driver.open(address(injected, scan=HOSTILE))
    visit.nothing_ran(HOSTILE)
    plant = """(markup) => {
      window.planted?.remove();
      window.planted = document.body.appendChild(document.createElement("div"));
      window.planted.attachShadow({mode: "open"}).innerHTML = markup;
    }"""
    for markup in PLANTED.values():
        page.evaluate(plant, markup)
        assert page.evaluate(FOUND)["wrong"] != [], markup
    page.evaluate("() => window.planted.remove()")
    for math in ("$$ran(95)$$", "\\(ran(95)\\)", "\\[ran(95)\\]"):
        page.evaluate("(text) => probe.plot('map').title.setv({text}, {silent: true})", math)
        assert page.evaluate(FOUND)["wrong"] == [f"math {math}"]
    page.evaluate("() => probe.plot('map').title.setv({text: ''}, {silent: true})")
    page.evaluate("() => { const img = new Image(); img.onerror = () => ran(95); img.src = ':'; }")
    visit.driver.until(lambda: page.evaluate(FOUND)["runs"] == [95])
    visit.driver.complaints.clear()  # of what was planted


def test_the_catalogue_shows_names_and_faults_as_text(visit: Visit, injected: Server) -> None:
    """Each name of the corpus is one of a scan here, and most of them have a fault."""
    page = visit.driver.page
    page.goto(injected.url)
    page.locator("a.card").first.wait_for()
    names = page.locator("a.card .name").all_text_contents()
    assert sorted(names) == sorted([*NAMES, f"{HOSTILE} (2)"])
    visit.driver.until(
        lambda: page.locator("a.card .fault:not(:empty)").count() >= 10, timeout_ms=60_000
    )
    for card in page.locator("a.card:visible").all()[:12]:
        card.hover()
    visit.nothing_ran(*NAMES[:5], f"in {FOLDER}", "not a whole zipstore")
    field = page.get_by_role("searchbox", name="Filter by name")
    field.fill(HOSTILE)
    visit.driver.until(lambda: page.locator("a.card img").count() >= 1, timeout_ms=60_000)
    visit.nothing_ran(HOSTILE)
    field.fill("<img src=x onerror=ran(93)>")
    visit.driver.says("No scan has this in its name.")
    visit.nothing_ran()


@pytest.mark.parametrize("number", [1, 2, 5, 9, 18, 20, 24, 35])
def test_a_scan_that_cannot_be_shown_says_so_in_text(
    visit: Visit, injected: Server, number: int
) -> None:
    """An error's sentence holds names; so does the card that converts, and what came of it."""
    name = NAMES[number]
    visit.driver.page.goto(address(injected, scan=name))
    visit.driver.wait_for_page()
    if number >= 20:
        button = visit.driver.page.get_by_role("button", name="Convert")
        button.wait_for()
        visit.nothing_ran(name)
        button.click()
        visit.driver.says(re.compile("is not an HDF5 file"), timeout_ms=60_000)
    elif number >= 5:
        visit.driver.says(re.compile("is not a whole zipstore"), timeout_ms=60_000)
    else:
        visit.driver.says(re.compile("its version is"), timeout_ms=60_000)
        visit.nothing_ran(f"its version is {name!r}")
    ending = "HDF5" if number >= 20 else "zipstore" if number >= 5 else "maxrf.json"
    visit.nothing_ran(f"{printable(name)}.{ending}")
    if number < 20:
        visit.nothing_ran(f"{name} cannot be shown")


@pytest.mark.parametrize("first", range(0, len(TEXTS), 8))
def test_values_of_the_address_are_told_as_text(visit: Visit, injected: Server, first: int) -> None:
    """A link comes from anybody; what it asks for and cannot have is named in a notice."""
    keys = ("window", "elements", "method", "layer", "colours", "regions", "hidden", "under")
    values = dict(zip(keys, TEXTS[first : first + 8], strict=False))
    visit.driver.page.goto(address(injected, scan=HOSTILE, **values, **{TEXTS[first]: "1"}))
    visit.driver.wait_for_plots()
    visit.driver.says(re.compile("has no meaning here and was ignored"))
    visit.nothing_ran("window=")
    for text in TEXTS[first : first + 8]:
        visit.driver.page.goto(address(injected, scan=text + " "))
        visit.driver.page.locator("a.card").first.wait_for()
        visit.driver.says(re.compile("there is no scan"))
        visit.nothing_ran("there is no scan")


def regions_of(folder: Path) -> tuple[str, list[str]]:
    """Return regions for an address, one for each of some names, and the names."""
    from dashboard.region_text import regions_text

    with open_scan(folder / f"{HOSTILE}.zipstore") as scan:
        left, bottom, right, top = scan.grid.bounds
    names = [name for name in NAMES if name.isprintable()][:8]
    names.append(next(name for name in NAMES if name.startswith("$$")))
    corners = ((left, bottom), (right, bottom), ((left + right) / 2, top))
    regions = [Region(name, Polygon(corners)) for name in names]
    return regions_text(regions), names


def test_regions_views_and_dialogs_show_names_as_text(
    visit: Visit, injected: Server, folder: Path
) -> None:
    """Legends, labels on the map, tables, lists: a region's name comes from whoever sent a link."""
    regions, names = regions_of(folder)
    asked = {"regions": regions, "under": "photo", "elements": "Fe~Cu"}
    visit.driver.open(address(injected, scan=HOSTILE, **asked))
    page = visit.driver.page
    legend = f"{names[-1]} · "
    visit.driver.until(lambda: legend in page.evaluate(FOUND)["text"], timeout_ms=30_000)
    visit.nothing_ran(*names, legend)
    for plot in ("map", "positions", "spectrum"):
        place = visit.driver.place(plot)
        for share in (0.3, 0.5, 0.7):
            page.mouse.move(
                place["left"] + share * place["width"], place["top"] + 0.6 * place["height"]
            )
            page.wait_for_timeout(150)
    visit.nothing_ran(*names)
    labels = ("Compare", "Saved views", "Peaks", "Periodic table", "Suggest", "Export", "Photo")
    for label in (*labels, "Energy calibration"):
        page.get_by_role("button", name=re.compile(f"^{label}")).first.click()
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        dialog.get_by_role("progressbar").wait_for(state="detached", timeout=60_000)
        visit.nothing_ran(*names[:3])
        if label == "Compare":
            dialog.get_by_role("table").wait_for(timeout=60_000)
            assert dialog.get_by_role("row").count() == len(names) + 1
            visit.nothing_ran(*names)
        elif label == "Saved views":
            dialog.get_by_text(names[3], exact=True).first.wait_for()
            visit.nothing_ran(*names[:6])
        elif label == "Photo":
            visit.driver.choose("Picture", "<img")
            visit.driver.says(re.compile(r"onerror=ran\(92\)"))
            visit.nothing_ran("<img src=x onerror=ran(92)>.png")
        elif label == "Export":
            dialog.get_by_role("button", name="Make the file").click()
            link = dialog.get_by_role("link", name=re.compile("^Download "))
            link.wait_for(timeout=60_000)
            with page.expect_download(timeout=60_000) as got:
                link.click()
            assert got.value.failure() is None
            visit.nothing_ran(f"Download {plain_name(HOSTILE)}-")
        dialog.get_by_role("button", name="close", exact=True).click()
        dialog.wait_for(state="hidden")
    visit.nothing_ran(*names)


def test_a_files_own_regions_of_interest_are_chosen_by_text(visit: Visit, injected: Server) -> None:
    """One of them is 100 kB long; each can be chosen."""
    visit.driver.open(address(injected, scan=HOSTILE))
    page = visit.driver.page
    page.get_by_role("combobox", name=re.compile("^ROI")).click()
    page.get_by_role("menuitem").first.wait_for()
    listed = page.get_by_role("menuitem").all_text_contents()
    assert len(listed) >= len([text for text in TEXTS if text.isascii()])
    visit.nothing_ran(*[text for text in NAMES[:12] if text.isprintable()])
    page.get_by_role("menuitem").nth(4).click()
    visit.driver.wait_until_still()
    visit.nothing_ran()


@pytest.mark.parametrize("workspace", ["gallery", "combine"])
def test_other_pages_of_the_page_show_text(
    visit: Visit, injected: Server, folder: Path, workspace: str
) -> None:
    """They have pictures, sentences and hovers of their own."""
    regions, _ = regions_of(folder)
    page = visit.driver.page
    page.goto(address(injected, scan=HOSTILE, view=workspace, elements="Fe~Cu", regions=regions))
    shown = "Zoom in, all maps" if workspace == "gallery" else "Colours"
    page.get_by_role("button", name=shown).first.wait_for(timeout=60_000)
    visit.driver.wait_for_page()
    if workspace == "combine":
        for mode in ("Colours", "Ratio", "Scatter", "Profile"):
            page.get_by_role("button", name=mode, exact=True).click()
            page.wait_for_timeout(300)
            visit.nothing_ran(HOSTILE)
    page.mouse.move(700, 500)
    visit.nothing_ran(HOSTILE)
