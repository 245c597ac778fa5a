"""How sure the numbers are, in a real browser: layers, net windows, zigzag, sigma, calibration."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Locator

from dashboard.data import SharedScan
from dashboard.layers import Asked
from dashboard.scaling import scale_map
from dashboard.theme import COLOURS
from maxrf_core import Scan, convert_crono, open_scan, simulate_crono
from maxrf_core.resolution import fit_resolution
from maxrf_core.smoothing import smooth_spectra
from maxrf_core.thinning import suggest_sigma

from .driver import Driver
from .server import Server

WIDE, PHONE = (1280, 800), (390, 844)
CLIP = (0.0, 99.5)
FE_KA = "6.169–6.612 keV"
"""The strongest line of the scan, as titles name it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan of 48 x 84 cells whose exposures lag, and a copy of it to recalibrate."""
    folder = tmp_path_factory.mktemp("numbers")
    made = folder / "zigzag.HDF5"
    simulate_crono(made, shape=(48, 84), lag=0.4, seed=3)
    convert_crono(made, cubes=False, progress=False)
    made.unlink()
    shutil.copy(folder / "zigzag.zipstore", folder / "copy.zipstore")
    return folder


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[SharedScan]:
    """The scan, opened here."""
    with open_scan(folder / "zigzag.zipstore") as scan:
        yield SharedScan(scan)


@pytest.fixture(scope="module")
def scan(shared: SharedScan) -> Scan:
    """The same, as the core has it."""
    return shared.scan


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a server shows the scan; it must not stumble over anything that a visitor does."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with Server([str(folder)], log) as running:
        yield f"{running.url}?scan=zigzag"
    assert "Traceback" not in log.read_text()


@pytest.fixture
def page(driver: Driver, url: str) -> Driver:
    """A visitor who has the scan before them."""
    driver.open(url)
    return driver


def levels_of(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return a map's cells as they are drawn."""
    return scale_map(values, CLIP).levels.ravel()


def draws(page: Driver, values: npt.NDArray[np.float32]) -> None:
    """Wait until the picture is this map, cell by cell."""
    page.until(lambda: np.array_equal(page.levels(), levels_of(values)))


def point_at(page: Driver, scan: Scan, row: int, column: int) -> None:
    """Move the mouse over a cell, and after it when the frame makes room for other numbers."""
    told = page.page.get_by_text(f"row {row}, column {column}").first

    def is_there() -> bool:
        page.page.mouse.move(*page.to_page("map", scan.grid.x[column], scan.grid.y[row]))
        return told.is_visible()

    page.until(is_there)


def by_keyboard(page: Driver, label: str, option: str) -> None:
    """Open a drop-down list and walk down to an option with the arrows.

    The list opens with a click: panel-material-ui's own does not with a key.
    """
    page.page.get_by_role("combobox", name=label).click()
    wanted = page.page.get_by_role("menuitem", name=option, exact=True)
    wanted.wait_for()
    for _ in range(page.page.get_by_role("menuitem").count()):
        if wanted.evaluate("(item) => item.getRootNode().activeElement === item"):
            break
        page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    wanted.wait_for(state="hidden")


def press(page: Driver, role: Any, name: str) -> Locator:
    """Focus a switch or a box, and turn it with the space bar."""
    switch = page.page.get_by_role(role, name=re.compile(f"^{name}"))
    before = switch.is_checked()
    switch.focus()
    page.page.keyboard.press("Space")
    page.until(lambda: switch.is_checked() is not before)
    return switch


def dialog_of(page: Driver, button: str, title: str) -> Locator:
    """Open a dialog with its button, and return it once it stands still."""
    page.page.get_by_role("button", name=re.compile(button)).click()
    dialog = page.page.get_by_role("dialog", name=title)
    dialog.wait_for()
    at_rest(page, dialog)
    return dialog


def at_rest(page: Driver, moving: Locator) -> dict[str, float]:
    """Wait until something stands still, and return where: x, y, width and height."""
    seen: list[Any] = []

    def is_still() -> bool:
        seen.append(moving.bounding_box())
        return len(seen) > 4 and all(box == seen[-1] for box in seen[-4:])

    page.until(is_still)
    return seen[-1]


def is_near(pixels: npt.NDArray[np.uint8], colour: str) -> npt.NDArray[np.bool_]:
    """Tell which pixels (h, w, 3) have a colour, but for what smooths the edges of lines."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels.astype(int) - wanted) < 40).all(axis=-1)


# --- layers -----------------------------------------------------------------------------------


def test_every_layer_is_drawn_as_it_is_computed(page: Driver, shared: SharedScan) -> None:
    """Each kind of map says what it shows, in which unit, and is the one that was asked for."""
    expected = {
        "standard error": (f"Standard error · {FE_KA} · kriging", "counts"),
        "signal-to-noise": (f"Signal-to-noise · {FE_KA} · kriging", "counts / error"),
        "detected": (f"Detected · {FE_KA} · kriging · net of side windows", "0 no, 1 yes"),
        "dead time": ("Dead time · kriging", "%"),
        "counts": (f"{FE_KA} · kriging", "counts"),
    }
    for layer, (title, unit) in expected.items():
        before = page.levels()
        page.choose("Map of", layer)
        page.until(lambda t=title: page.title("map") == t)
        asked = Asked(page.window(), "kriging", layer=layer, lag=shared.zigzag)
        values = shared.layer_map(asked)
        draws(page, values)
        assert not np.array_equal(page.levels(), before)
        scaled = scale_map(values, CLIP)
        assert page.colour_bar("map") == (
            unit,
            pytest.approx(scaled.low),
            pytest.approx(scaled.high),
        )


def test_the_pointer_tells_counts_and_their_error(
    page: Driver, scan: Scan, shared: SharedScan
) -> None:
    """Whatever the map shows: the cell's counts in the window, and how sure they are."""
    by_keyboard(page, "Map of", "signal-to-noise")
    page.until(lambda: page.title("map").startswith("Signal-to-noise"))
    for row, column in ((30, 61), (17, 20)):
        point_at(page, scan, row, column)
        counts, error = scan.cell_counts(
            row, column, *page.window(), method="kriging", lag=shared.zigzag
        )
        assert counts > error > 0
        page.says(re.compile(rf"^{counts:,.2f} ± {error:,.2f}$"))
        page.says(re.compile(rf"^{counts / error:.2f}".rstrip("0").rstrip(".")))


# --- the background under a window ------------------------------------------------------------


def sides_of(scan: Scan, window: tuple[float, float]) -> list[list[float]]:
    """Return the energies that a net window takes its background from, a run on each side."""
    energies = scan.energies.astype(float)
    taken = energies[scan.window_weights(*window, background="sides").background > 0]
    runs = [taken[taken < window[0]], taken[taken >= window[1]]]
    return [[run[0], run[-1] + scan.kev_per_channel] for run in runs]


def test_side_windows_follow_the_window_that_is_dragged(
    page: Driver, scan: Scan, shared: SharedScan
) -> None:
    """They are hatched, stay on both sides while the hand moves, and the map is the net map."""
    assert page.sides() == []
    low, high = page.window()
    (left, right), _ = sides = sides_of(scan, (low, high))
    top, bottom = (page.place("spectrum")["y"][1] * share for share in (0.9, 0.5))
    x0, y0 = page.to_page("spectrum", left, top)
    x1, y1 = page.to_page("spectrum", right, bottom)
    beside = {"x": x0 + 1, "y": y0, "width": x1 - x0 - 2, "height": y1 - y0}
    plain = page.pixels(beside)

    by_keyboard(page, "Background under the window", "side windows")
    page.until(lambda: page.sides() == pytest.approx(np.array(sides), abs=1e-4))
    page.until(lambda: page.title("map") == f"{FE_KA} · kriging · net of side windows")
    draws(page, net_map(scan, shared, (low, high)))
    changed = (page.pixels(beside) != plain).any(axis=-1)
    assert changed.mean() > 0.9  # tinted all over,
    assert len(np.unique(page.pixels(beside)[changed], axis=0)) > 10  # and hatched

    middle = np.mean(page.place("spectrum")["y"])
    x, y = page.to_page("spectrum", (low + high) / 2, middle)
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 90, y, steps=8)

    def follows() -> bool:
        window = page.window()
        return window[0] > low + 1 and page.sides() == pytest.approx(
            np.array(sides_of(scan, window)), abs=1e-4
        )

    page.until(follows)  # the button is still held
    page.page.mouse.up()
    assert page.window()[1] - page.window()[0] == pytest.approx(high - low, abs=1e-6)
    draws(page, net_map(scan, shared, page.window()))


def net_map(scan: Scan, shared: SharedScan, window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Return the map of a window less its side windows, which differs from the gross one."""
    gross, net = (
        scan.energy_map(*window, method="kriging", background=background, lag=shared.zigzag)
        for background in ("none", "sides")
    )
    assert not np.array_equal(levels_of(gross), levels_of(net))
    return net


# --- the zigzag -------------------------------------------------------------------------------


def test_zigzag_is_corrected_or_not_and_the_address_holds_it(
    page: Driver, scan: Scan, shared: SharedScan
) -> None:
    """One switch shows before and after; whoever opens the link sees the same."""
    zigzag = f"Correct zigzag \\({re.escape(scan.lag.text)}\\)"
    window = page.window()
    corrected, raw = (
        scan.energy_map(*window, method="kriging", lag=lag) for lag in (shared.zigzag, 0.0)
    )
    assert abs(shared.zigzag - 0.4) < 0.1
    draws(page, corrected)
    assert not press(page, "switch", zigzag).is_checked()
    draws(page, raw)
    assert not np.array_equal(levels_of(raw), levels_of(corrected))
    page.until(lambda: "zigzag=0" in page.page.url)
    page.page.reload()
    page.wait_for_plots()
    draws(page, raw)
    assert press(page, "switch", zigzag).is_checked()
    draws(page, corrected)
    page.until(lambda: "zigzag=1" in page.page.url)


# --- sigma ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_sigma_is_suggested_and_taken(
    driver: Driver, url: str, scan: Scan, shared: SharedScan, size: tuple[int, int]
) -> None:
    """A curve is drawn, a sentence says what it means, and one press takes its minimum."""
    page = driver
    page.page.set_viewport_size({"width": size[0], "height": size[1]})
    page.open(url)
    number = shared.brightest_spectrum
    sigma = round(suggest_sigma(scan.spectra(np.array([number]))).sigma, 1)
    assert sigma != 7  # the default

    dialog = dialog_of(page, "Suggest", "Sigma from the counts")
    dialog.get_by_role("button", name=f"Use {sigma}").wait_for()
    page.until(lambda: page.popped() is not None)
    frame = page.popped()
    assert frame["width"] > 200
    assert frame["height"] > 100
    page.until(lambda: is_near(page.pixels(frame), COLOURS["smooth"]).any(0).mean() > 0.4)
    assert is_near(page.pixels(frame), COLOURS["window"]).any(1).mean() > 0.7  # the best sigma
    assert page.sideways() <= 0
    dialog.get_by_text(f"Best sigma {sigma} channels").wait_for()

    page.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert "smoothing 84 eV" in page.title("spectrum")
    dialog = dialog_of(page, "Suggest", "Sigma from the counts")
    use = dialog.get_by_role("button", name=f"Use {sigma}")
    use.press("Enter")
    dialog.wait_for(state="hidden")
    ev = sigma * scan.kev_per_channel * 1000
    page.until(lambda: f"smoothing {ev:.0f} eV · FWHM " in page.title("spectrum"))
    slider = page.page.get_by_role("slider", name="Smoothing sigma")
    page.until(lambda: float(slider.input_value()) == pytest.approx(sigma))
    expected = smooth_spectra(scan.spectrum(number), sigma)
    page.until(lambda: np.allclose(page.lines()[3], expected, rtol=2e-6, atol=1e-6))


def test_sigma_of_the_whole_scan_is_another(page: Driver, scan: Scan) -> None:
    """The dialog tells for what is picked, or for all; the button names the sigma it takes."""
    dialog = dialog_of(page, "Suggest", "Sigma from the counts")
    use = dialog.get_by_role("button", name=re.compile(r"^Use [0-9.]+$"))
    use.wait_for()
    picked = use.text_content()
    dialog.get_by_role("button", name="The whole scan").click()
    chosen = np.unique(np.linspace(0, scan.n_spectra - 1, 256).astype(int))
    sigma = suggest_sigma(scan.spectra(chosen)).sigma
    dialog.get_by_role("button", name=f"Use {sigma:.1f}").wait_for()
    assert use.text_content() != picked
    dialog.get_by_text(f"Best sigma {sigma:.1f} channels").wait_for()
    dialog.get_by_text("256 spectra").wait_for()


def test_the_browsers_smoothing_follows_the_resolution(page: Driver, scan: Scan) -> None:
    """A sigma for each channel, drawn before the server hears of it: the core's to a rounding."""
    resolution = fit_resolution(scan.energies, scan.total_spectrum)
    assert resolution.is_fitted
    raw = scan.spectrum(int(re.search("spectrum=([0-9]+)", encoded(page))[1]))
    constant = page.lines()[3]
    press(page, "checkbox", "Follow resolution")
    page.until(lambda: "smoothing at 5.9 keV 84 eV" in page.title("spectrum"))

    def followed(sigma: float) -> npt.NDArray:
        return smooth_spectra(raw, resolution.sigma_channels(scan.energies, sigma=sigma))

    def is_followed(sigma: float) -> bool:
        return np.allclose(page.lines()[3], followed(sigma), rtol=2e-6, atol=2e-6)

    page.until(lambda: is_followed(7))
    assert not np.allclose(page.lines()[3], constant, rtol=0.05, atol=0.01)
    smoothed = """async (sigma) => {
        probe.slider('Smoothing').value = sigma;
        await new Promise(setTimeout);  // a turn of the event loop: nothing came from the server
        return probe.lines('spectrum')[3];
    }"""
    for sigma in (0.1, 1.0, 3.3, 12.7, 0.0, 30.0):
        line = np.array(page.page.evaluate(smoothed, sigma), dtype=np.float32)
        np.testing.assert_allclose(line, followed(sigma), rtol=2e-6, atol=2e-6)

    slider = page.page.get_by_role("slider", name="Smoothing sigma")
    page.until(lambda: float(slider.input_value()) == 30.0)
    thumb = at_rest(page, page.slider_thumb("Smoothing sigma"))  # it glides to its place
    x, y = thumb["x"] + thumb["width"] / 2, thumb["y"] + thumb["height"] / 2
    page.drag((x, y), (x - 150, y))
    sigma = float(slider.input_value())
    assert 0 < sigma < 25
    page.until(lambda: is_followed(sigma))
    slider.press("ArrowRight")
    page.until(lambda: is_followed(round(sigma + 0.1, 1)))
    page.until(lambda: "follow=1" in page.page.url)


def encoded(page: Driver) -> str:
    """Return the number of the spectrum shown as the address has it."""
    number = re.match(r"Spectrum ([\d,]+)", page.title("spectrum"))[1].replace(",", "")
    return f"spectrum={number}"


# --- energies ---------------------------------------------------------------------------------


def fill_in(dialog: Locator, points: list[tuple[float, float]]) -> None:
    """Type calibration points into a dialog, and stay in the last field."""
    for number, point in enumerate(points):
        for label, value in zip(("channel", "energy (keV)"), point, strict=True):
            field = dialog.get_by_role("textbox", name=label).nth(number)
            field.click()
            field.press("Control+a")
            field.press_sequentially(str(value))


def recalibrate(dialog: Locator) -> None:
    """Press the button as long as a hand does: the field that loses the focus tells its value."""
    dialog.get_by_role("button", name="Recalibrate").click(delay=60)


def calibration_of(page: Driver) -> Locator:
    """Open the dialog of the energy axis."""
    return dialog_of(page, "^Energy calibration: ", "Energy calibration")


def test_energies_are_calibrated_anew_and_back_again(
    driver: Driver, url: str, folder: Path
) -> None:
    """Two points move the axis and are kept beside the scan, which itself stays as it was."""
    page, zipstore, beside = driver, folder / "copy.zipstore", folder / "copy.maxrf.json"
    before = zipstore.read_bytes()
    page.open(url.replace("zigzag", "copy"))
    page.says("Energy calibration: agrees")
    first, window = page.energies(), page.window()

    dialog = calibration_of(page)
    dialog.get_by_text("The energy axis agrees with the lines in the counts").wait_for()
    assert first[[771, 1952]] == pytest.approx([8.046, 22.163], abs=1e-3)
    fields = dialog.get_by_role("textbox", name="energy (keV)")
    assert [field.input_value() for field in fields.all()] == ["8.046", "22.163"]
    fill_in(dialog, [(771, 8.046), (1952, 8.046)])
    recalibrate(dialog)
    wrong = dialog.get_by_role("alert").filter(has_text="does not rise from channel to channel")
    wrong.wait_for()
    assert not beside.exists()

    points = [(771, 8.046), (1952, 22.5)]
    fill_in(dialog, points)
    recalibrate(dialog)
    dialog.wait_for(state="hidden")
    expected = 8.046 + (np.arange(len(first)) - 771) * (22.5 - 8.046) / (1952 - 771)
    page.until(lambda: np.allclose(page.energies(), expected, atol=1e-5), timeout_ms=20_000)
    page.wait_for_plots()
    kept = json.loads(beside.read_text())
    assert kept["calibration"] == {"points": [list(point) for point in points], "degree": 1}
    assert zipstore.read_bytes() == before
    assert page.window() == window
    with open_scan(zipstore) as scan:
        draws(page, scan.energy_map(*window))
    page.says("Energy calibration: disagrees")
    page.says(re.compile("^The energy axis disagrees with the lines in the counts"))

    dialog = calibration_of(page)
    assert [field.input_value() for field in fields.all()] == ["8.046", "22.500"]
    dialog.get_by_role("button", name="Back to the file's").press("Enter")
    dialog.wait_for(state="hidden")
    page.until(lambda: np.array_equal(page.energies(), first), timeout_ms=20_000)
    page.wait_for_plots()
    assert "calibration" not in json.loads(beside.read_text())
    page.says("Energy calibration: agrees")
    disagrees = page.page.get_by_text("The energy axis disagrees")
    page.until(lambda: not any(told.is_visible() for told in disagrees.all()))
    assert zipstore.read_bytes() == before


def test_what_is_wrong_is_not_green(driver: Driver, url: str) -> None:
    """A warning and an error look like one, not like a success with its tick."""
    driver.open(f"{url}&sigma=99")
    notice = driver.page.get_by_role("alert").filter(has_text="sigma='99' in the address")
    notice.wait_for()
    assert "MuiAlert-colorWarning" in notice.get_attribute("class")
    dialog = calibration_of(driver)
    fill_in(dialog, [(771, 8.046), (771, 22.163)])
    recalibrate(dialog)
    wrong = dialog.get_by_role("alert").filter(has_text="two of them have the same channel, 771")
    wrong.wait_for()
    assert "MuiAlert-colorError" in wrong.get_attribute("class")


# --- links and screens ------------------------------------------------------------------------


def test_a_link_opens_the_view_of_all_of_it(driver: Driver, url: str, scan: Scan) -> None:
    """Layer, background, rate, sigma's shape and the zigzag are as the sender had them."""
    page = driver
    page.open(
        f"{url}&layer=standard+error&background=sides&rate=1&follow=1&zigzag=0&spectrum=900"
        "&window=3.516~3.85"
    )
    title = "Standard error · 3.516–3.850 keV · kriging · net of side windows"
    assert page.title("map") == title
    assert page.colour_bar("map")[0] == "counts/s"
    window = (3.516, 3.85)
    draws(
        page,
        scan.energy_map_error(
            *window, method="kriging", per_second=True, background="sides", lag=0.0
        ),
    )
    assert page.sides() == pytest.approx(np.array(sides_of(scan, window)), abs=1e-4)
    shape = fit_resolution(scan.energies, scan.total_spectrum).sigma_channels(
        scan.energies, sigma=7
    )
    np.testing.assert_allclose(
        page.lines()[3], smooth_spectra(scan.spectrum(900), shape), rtol=2e-6, atol=2e-6
    )
    find = page.page.get_by_role
    assert find("combobox", name="Map of").inner_text() == "standard error"
    assert find("combobox", name="Background under").inner_text() == "side windows"
    assert find("switch", name="Per second").is_checked()
    assert find("checkbox", name="Follow resolution").is_checked()
    assert not find("switch", name="Correct zigzag").is_checked()
    assert find("alert").count() == 0  # nothing in it was passed over
    row, column = 20, 33
    point_at(page, scan, row, column)
    counts, error = scan.cell_counts(
        row, column, *window, method="kriging", per_second=True, background="sides", lag=0.0
    )
    page.says(re.compile(rf"^{counts:,.2f} ± {error:,.2f}/s$"))


def test_nothing_is_wider_than_a_phone(driver: Driver, url: str) -> None:
    """No sideways scrolling, and in a dialog everything that can be pressed can be reached."""
    page = driver
    page.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.open(f"{url}&layer=detected&background=sides&rate=1")
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE[0]
    page.page.get_by_role("button", name="Open drawer").click()
    for opened in (calibration_of, suggestion_of):
        dialog = opened(page)
        assert page.page.evaluate("() => document.documentElement.scrollWidth") <= PHONE[0]
        box = dialog.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE[0]
        for role in ("button", "textbox"):
            for control in dialog.get_by_role(role).all():
                place = control.bounding_box()
                told = control.get_attribute("aria-label") or control.text_content() or role
                assert place["x"] >= box["x"], told
                right = place["x"] + place["width"]
                assert right <= box["x"] + box["width"] + 4, told  # an icon's halo may stand out
        page.page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")
        page.page.mouse.click(PHONE[0] - 20, PHONE[1] - 20)  # beside the drawer, to close it
        page.until(lambda: not page.page.get_by_label("Interpolation").is_visible())


def suggestion_of(page: Driver) -> Locator:
    """Open the dialog of sigma, and wait for its curve."""
    dialog = dialog_of(page, "Suggest", "Sigma from the counts")
    page.until(lambda: page.popped() is not None)
    return dialog
