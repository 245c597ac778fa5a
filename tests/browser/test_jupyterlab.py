"""The example notebook in a real JupyterLab: views that render, answer, and ask nobody outside."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from .driver import Driver
from .jupyter import Kernel, Lab

NOTEBOOK = Path(__file__).parents[2] / "assets" / "notebooks" / "explore.ipynb"
LEVELS = (
    "__import__('dashboard.scaling').scaling"
    ".scale_map(explorer.energy_map.values, explorer.state.clip).levels.ravel().tolist()"
)
"""The map that the kernel has, as 8-bit levels."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab on a copy of the notebook."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(NOTEBOOK, folder)
    with Lab(folder, tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(browser: Browser, lab: Lab) -> Iterator[Driver]:
    """The notebook after a run of all its cells; nothing may have failed or left the machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.route(re.compile("^(?!http://127.0.0.1:)"), lambda route: route.abort())
    driver = Driver(context.new_page())
    page = driver.page
    page.goto(lab.url(NOTEBOOK.name))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(
        """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')];
            return prompts.length && prompts.every((prompt) => /\\d/.test(prompt.textContent));
        }""",
        timeout=180_000,
    )
    driver.wait_for_plots()
    yield driver
    context.close()
    assert driver.complaints == []
    assert driver.strangers == []
    assert "Traceback" not in lab.log.read_text()


@pytest.fixture
def kernel(notebook: Driver, lab: Lab) -> Iterator[Kernel]:
    """The kernel behind it; each test begins with the same state."""
    kernel = lab.kernel()
    kernel.run(
        "explorer.state.param.update(window=(6.169, 6.612), sigma=5.0)\n"
        "explorer.state.pick_cell(20, 11)"
    )
    shows_kernels_map(notebook, kernel)
    yield kernel
    kernel.close()


def bring(notebook: Driver, plot: str) -> None:
    """Scroll a plot into the middle of the window."""
    notebook.page.evaluate(
        "(name) => Bokeh.index.find_one(probe.plot(name)).el.scrollIntoView({block: 'center'})",
        plot,
    )
    notebook.wait_until_still()


def shows_kernels_map(notebook: Driver, kernel: Kernel) -> None:
    """Wait until the map in the browser is the kernel's, cell by cell."""
    notebook.until(lambda: notebook.levels().tolist() == kernel.value(LEVELS))


def test_cells_show_no_error(notebook: Driver) -> None:
    """Every cell of the example runs in JupyterLab as it does in the other tests."""
    assert notebook.page.locator(".jp-RenderedText[data-mime-type*=stderr]").count() == 0


def test_sigma_slider_moves_the_line_and_the_state(notebook: Driver, kernel: Kernel) -> None:
    """The slider's value gets to the kernel; the line drawn is what the kernel has."""
    bring(notebook, "spectrum")
    before = notebook.lines()[-1]
    thumb = notebook.page.get_by_label(re.compile("^Smoothing sigma")).locator("visible=true")
    thumb.first.focus()
    for _ in range(3):
        notebook.page.keyboard.press("ArrowRight")
    notebook.until(lambda: kernel.value("explorer.state.sigma") > 5.0)
    notebook.until(lambda: not np.array_equal(notebook.lines()[-1], before))
    smoothed = np.array(kernel.value("explorer.spectrum.smoothed.tolist()"))
    assert notebook.lines()[-1] == pytest.approx(smoothed, abs=1e-4)


def test_dragged_window_makes_another_map(notebook: Driver, kernel: Kernel) -> None:
    """The orange window on the spectrum is the map's, here and in the kernel."""
    bring(notebook, "spectrum")
    before = notebook.levels()
    low, high = notebook.window()
    frame = notebook.place("spectrum")
    x, y = notebook.to_page("spectrum", (low + high) / 2, np.mean(frame["y"]))
    notebook.page.mouse.move(x, y)
    notebook.page.mouse.down()
    notebook.page.mouse.move(x - 20, y, steps=4)
    notebook.page.mouse.move(x - 40, y, steps=4)
    notebook.page.mouse.up()
    notebook.until(lambda: notebook.window()[1] < 6.169)
    notebook.until(
        lambda: kernel.value("explorer.state.window") == pytest.approx(notebook.window(), abs=1e-3)
    )
    shows_kernels_map(notebook, kernel)
    assert not np.array_equal(notebook.levels(), before)
    fields = [f"{energy:.3f}" for energy in notebook.window()]
    for label, value in zip(("from (keV)", "to (keV)"), fields, strict=True):
        expect(notebook.page.get_by_label(label)).to_have_value(value)


def test_tapped_cell_is_picked_and_its_spectrum_shown(notebook: Driver, kernel: Kernel) -> None:
    """A tap on the map picks a cell in the kernel, which sends its spectrum."""
    bring(notebook, "map")
    x, y = kernel.value("[explorer.energy_map.scan.grid.x[5], explorer.energy_map.scan.grid.y[30]]")
    notebook.page.mouse.click(*notebook.to_page("map", x, y))
    notebook.until(lambda: kernel.value("explorer.state.cell") == [30, 5])
    notebook.until(lambda: "row 30, column 5" in notebook.title("spectrum"))
    counts = np.array(kernel.value("explorer.spectrum.smoothed.tolist()"))
    assert notebook.lines()[-1] == pytest.approx(counts, abs=1e-4)


def test_python_steers_what_is_shown(notebook: Driver, kernel: Kernel) -> None:
    """What a cell sets, every view shows: those of the explorer, and the map that stands alone."""
    kernel.run("explorer.state.window = (3.5, 3.9)")
    shows_kernels_map(notebook, kernel)
    titles = "() => probe.titles('map')"
    notebook.until(
        lambda: [t.startswith("3.500") for t in notebook.page.evaluate(titles)] == [True] * 2
    )


def test_icons_are_drawn(notebook: Driver) -> None:
    """The font of the icons is in the page; without it buttons show the icons' names."""
    fonts = "[...document.fonts].filter((font) => font.status === 'loaded').map((f) => f.family)"
    assert any("Material Icons" in family for family in notebook.page.evaluate(fonts))
