"""The example notebook runs in a real kernel, from file to figures."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "assets" / "notebooks" / "explore.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook after its run; a cell that fails fails here."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}},
    )
    return client.execute()


def outputs(notebook: nbformat.NotebookNode, containing: str) -> list[nbformat.NotebookNode]:
    """Return the outputs of the cell whose source contains a text."""
    (cell,) = (c for c in notebook.cells if c.cell_type == "code" and containing in c.source)
    return cell.outputs


def text(found: list[nbformat.NotebookNode]) -> str:
    return "".join(output.get("text", "") for output in found)


def test_committed_notebook_has_no_outputs() -> None:
    """Outputs would be megabytes, and soon untrue."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


def test_nothing_is_complained_of(executed: nbformat.NotebookNode) -> None:
    """No cell writes to the standard error stream."""
    for cell in executed.cells:
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
