"""The example notebooks run in a real kernel, from file to figures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import xarray as xr
from nbclient import NotebookClient
from PIL import Image
from scipy.ndimage import maximum_filter

from maxrf_core import Grid, load_truth
from maxrf_core.demo import demo_paths

NOTEBOOKS = Path(__file__).parents[2] / "assets" / "notebooks"

ANSWERS = """
import json
from dashboard.element_lines import ElementLines

fe = energy_window(scan, "Fe")
plain = scan.energy_map(fe.low_kev, fe.high_kev, background="sides")
error_map = scan.energy_map_error(fe.low_kev, fe.high_kev, background="sides")
print("ANSWERS", json.dumps({
    "elements": elements,
    "axis agrees": axis.agrees,
    "lag": scan.lag_corrected,
    "same iron": bool(np.array_equal(iron.counts, plain)),
    "same error": bool(np.array_equal(iron.standard_error, error_map)),
    "window": [fe.low_kev, fe.high_kev],
    "page's window": list(ElementLines(scan, resolution).line("Fe").window),
    "grid": scan.grid.to_dict(),
    "ink": np.argwhere(ink.values).tolist(),
    "detected": float(np.mean(detected["Hg"])),
    "mean": np.allclose(written.counts, scan.mean_spectrum(ink.values, sigma=3), rtol=1e-5),
    "excess": {name: float((excess / error).sel(energy=kev, method="nearest"))
               for name, kev in lines.items()},
    "ratio": [float(value) for value in (ratio.mean(), ratio.std(), ratio_error.mean())],
}))
"""
"""A cell that tells what a notebook's names are worth, appended to that of the analysis."""


def run(name: str, folder: Path, *more: str) -> nbformat.NotebookNode:
    """Return a notebook after its run, with more cells at a place; a cell that fails raises."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    last = len(notebook.cells) - 1
    notebook.cells[last:last] = [nbformat.v4.new_code_cell(source) for source in more]
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The first notebook after its run."""
    return run("explore.ipynb", tmp_path_factory.mktemp("notebook"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the analysis writes its files."""
    return tmp_path_factory.mktemp("analysis")


@pytest.fixture(scope="module")
def analysis(folder: Path) -> nbformat.NotebookNode:
    """The analysis after its run; before it closes the scan, it tells its answers."""
    return run("pigments.ipynb", folder, ANSWERS)


@pytest.fixture(scope="module")
def answers(analysis: nbformat.NotebookNode) -> dict[str, Any]:
    """What the analysis found."""
    said = text(outputs(analysis, 'print("ANSWERS"'))
    return json.loads(said.removeprefix("ANSWERS "))


def outputs(notebook: nbformat.NotebookNode, containing: str) -> list[nbformat.NotebookNode]:
    """Return the outputs of the cell whose source contains a text."""
    (cell,) = (c for c in notebook.cells if c.cell_type == "code" and containing in c.source)
    return cell.outputs


def text(found: list[nbformat.NotebookNode]) -> str:
    return "".join(output.get("text", "") for output in found)


@pytest.mark.parametrize("name", ["explore.ipynb", "pigments.ipynb"])
def test_committed_notebook_has_no_outputs(name: str) -> None:
    """Outputs would be megabytes, and soon untrue."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_nothing_is_complained_of(
    executed: nbformat.NotebookNode, analysis: nbformat.NotebookNode
) -> None:
    """No cell writes to the standard error stream."""
    for cell in [*executed.cells, *analysis.cells]:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", output["text"]


def test_steps_of_the_reference_give_what_they_gave(executed: nbformat.NotebookNode) -> None:
    """Datasets are numbered and arrays named as in the notebooks for cronomaxrf."""
    listed = text(outputs(executed, "for i, d in enumerate(datasets)"))
    assert "[26] /XRF/Spectra" in listed
    assert "[28] /XRF/SpectraSelectedIndex (40, 24, 1)" in listed
    arrays = text(outputs(executed, "tree(zipstore_filename)"))
    assert "maxrf_cube (40, 24, 4096) float32" in arrays


def test_views_are_shown_and_read_back(executed: nbformat.NotebookNode) -> None:
    """The views are live objects; what Python sets, Python reads."""
    shown = [
        cell.outputs
        for cell in executed.cells
        if cell.source.split("\n")[-1] in ("explorer", "explorer.energy_map")
    ]
    assert len(shown) == 2
    for found in shown:
        assert any("text/html" in output.get("data", {}) for output in found)
    said = text(outputs(executed, "explorer.state.pick_cell(20, 11)"))
    assert "Cell row 20, column 11" in said
    assert "iron map (40, 24)" in said


def test_no_script_comes_from_the_internet(executed: nbformat.NotebookNode) -> None:
    """A lab's network may be closed: what a view loads is in the output itself."""
    lists = []
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            for data in output.get("data", {}).values():
                if isinstance(data, str):
                    assert not re.search(r"<script[^>]+src=.?https?:", data)
                    lists += re.findall(r"(?:js|css)_urls = \[(.*?)\]", data)
    assert lists
    assert not any("http" in urls for urls in lists)


def test_views_share_one_bundle_and_inline_styles(executed: nbformat.NotebookNode) -> None:
    """Each component once carried 1.4 MB of scripts: the explorer weighed 48 MB."""
    (cell,) = (cell for cell in executed.cells if cell.source.endswith("\nexplorer"))
    pages = [output["data"].get("text/html", "") for output in cell.outputs if "data" in output]
    assert 0 < sum(map(len, pages)) < 3e6
    scripts = [output["data"].get("application/javascript", "") for output in cell.outputs]
    assert sum("@license MUI" in script or "@mui/material" in script for script in scripts) == 1
    assert not re.search(r"https?://cdn[^\"\\]*\.css", "".join(pages))


def test_analysis_finds_what_the_scan_was_made_of(answers: dict[str, Any]) -> None:
    """The truth is known: these elements, and exposures that lag by 0.4 of a period."""
    assert {"S", "K", "Ca", "Mn", "Fe", "Cu", "Zn", "Hg", "Pb"} <= set(answers["elements"])
    assert answers["axis agrees"] is True
    assert answers["lag"] == pytest.approx(0.4, abs=0.01)


def test_analysis_shows_the_scans_own_maps(answers: dict[str, Any]) -> None:
    """Xarray's iron is `Scan.energy_map`'s, its window that of the page."""
    assert answers["same iron"]
    assert answers["same error"]
    assert answers["mean"]
    assert answers["window"] == answers["page's window"]


def test_ink_is_where_ink_was_put(answers: dict[str, Any]) -> None:
    """Cells called ink have been written on; what shows in them is the ink's."""
    grid, window = Grid.from_dict(answers["grid"]), answers["window"]
    truth = load_truth(demo_paths().crono).expected_map(grid.x, grid.y, *window)
    rows, columns = np.array(answers["ink"]).T
    assert len(rows) > 1000
    near = maximum_filter(truth, size=3)  # a stroke is as wide as a cell, and a beam wider
    assert np.mean(near[rows, columns] > 0.3 * np.quantile(truth, 0.99)) > 0.99
    assert np.mean(truth[rows, columns]) > 4 * np.median(truth)
    assert all(answers["excess"][name] > 10 for name in ("S", "K", "Mn", "Fe", "Zn"))
    assert 0.05 < answers["detected"] < 0.2


def test_one_ink_scatters_as_counts_do(answers: dict[str, Any]) -> None:
    """The ink was made with one ratio of zinc to iron."""
    mean, scatter, expected = answers["ratio"]
    assert 0.1 < mean < 0.25
    assert scatter == pytest.approx(expected, rel=0.25)


@pytest.mark.usefixtures("analysis")
def test_figure_and_numbers_are_saved(folder: Path) -> None:
    """A picture fit for print, and maps with their errors and units."""
    with Image.open(folder / "pigments.png") as picture:
        assert picture.width > picture.height > 600
    with xr.open_dataset(folder / "pigments.nc", engine="scipy") as maps:
        assert maps.counts.dims == ("element", "y", "x")
        assert maps.counts.attrs["units"] == "counts"
        assert (maps.standard_error > 0).all()
