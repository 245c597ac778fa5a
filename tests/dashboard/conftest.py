"""What the tests of the dashboard share: converted scans, plain and odd."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import panel as pn
import pytest
from bokeh.io.doc import _PATCHED_CURDOCS

from dashboard import Explorer, spare
from dashboard.data import SharedScan
from dashboard.tuning import tune
from maxrf_core import convert_crono, open_scan, simulate_crono

CRONO = Path(__file__).parents[1] / "data" / "crono-12x9.HDF5"
"""A simulated scan of 12 x 9 cells, 259 spectra of 4096 channels, with the real file's ROIs."""

REAL = Path(__file__).parents[3] / "shared" / "real" / "bruker-eds-50x50.HDF5"
"""Really measured: 2500 spectra of 2048 channels, all of them selected, no ROIs."""

OpenChanged = Callable[[str, Callable[[h5py.File], None]], SharedScan]

tune()  # as main.py and extension() do


@pytest.fixture(autouse=True)
def _no_current_document_left() -> Iterator[None]:
    """Forget the documents that failing callbacks left current.

    Bokeh's `patch_curdoc` does not end when a callback raises; Panel's tests do the same.
    """
    yield
    _PATCHED_CURDOCS.clear()


@pytest.fixture(autouse=True, scope="module")
def _no_session_left() -> Iterator[None]:
    """Forget what the tests of a module left in Panel's global state."""
    yield
    pn.state.reset()


def _opened(crono: Path) -> SharedScan:
    return SharedScan(open_scan(convert_crono(crono, cubes=False, progress=False)))


@pytest.fixture(scope="session")
def crono_file() -> Path:
    """Return the Crono file of `shared`: copy it, and write beside the copy."""
    return CRONO


@pytest.fixture(autouse=True)
def _no_spares() -> Iterator[None]:
    """Have each test draw its own page: what another one left over is not what it made."""
    with pytest.MonkeyPatch.context() as patch:  # the tests' own is undone in its own time
        patch.setattr(spare, "_spares", {})
        patch.setattr(spare, "_SOON_S", 1e6)
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScan]:
    """Yield the 12 x 9 scan, lean."""
    copy = shutil.copy(CRONO, tmp_path_factory.mktemp("shared"))
    opened = _opened(Path(copy))
    yield opened
    opened.scan.close()


@pytest.fixture
def explorer(shared: SharedScan) -> Explorer:
    """Return a new explorer of the 12 x 9 scan."""
    return Explorer(shared)


@pytest.fixture
def open_changed(tmp_path: Path) -> Iterator[OpenChanged]:
    """Yield a function that converts a changed copy of the 12 x 9 scan."""
    opened: list[SharedScan] = []

    def make(name: str, change: Callable[[h5py.File], None]) -> SharedScan:
        path = tmp_path / f"{name}.HDF5"
        shutil.copy(CRONO, path)
        with h5py.File(path, "r+") as file:
            change(file)
        opened.append(_opened(path))
        return opened[-1]

    yield make
    for shared in opened:
        shared.scan.close()


@pytest.fixture(scope="session")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScan]:
    """Yield the 12 x 9 scan with spectra missing in the middle: some cells have no datum."""
    path = tmp_path_factory.mktemp("holed") / "holed.HDF5"
    shutil.copy(CRONO, path)
    with h5py.File(path, "r+") as file:
        positions = file["XRF/MotorsPositions"][:]
        x, y = positions[:, 0].astype(float), positions[:, 1].astype(float)
        middle_x, middle_y = (x.min() + x.max()) / 2, (y.min() + y.max()) / 2
        hole = (abs(x - middle_x) < 2600) & (abs(y - middle_y) < 900)
        positions[hole, 0] = x.min()
        file["XRF/MotorsPositions"][...] = positions
    opened = _opened(path)
    yield opened
    opened.scan.close()


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScan]:
    """Yield a scan of 256 channels whose names, its own and its ROIs', are HTML and Markdown."""
    path = tmp_path_factory.mktemp("hostile") / "<b>scan *1* ![x](y).HDF5"
    names = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](http:x)"]
    rois = [(name, 3.0 + number, 3.5 + number) for number, name in enumerate(names)]
    simulate_crono(path, shape=(8, 6), n_channels=256, rois=rois, seed=2)
    opened = _opened(path)
    yield opened
    opened.scan.close()


@pytest.fixture(scope="session")
def without_rois(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScan]:
    """Yield a scan of 13 x 8 cells, 4096 channels, without ROIs: its lines have no names."""
    path = tmp_path_factory.mktemp("without") / "without-rois.HDF5"
    simulate_crono(path, shape=(13, 8), rois=None, seed=2)
    opened = _opened(path)
    yield opened
    opened.scan.close()


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScan]:
    """Yield the really measured scan of 2048 channels, where it is at hand."""
    if not REAL.is_file():
        pytest.skip(f"the measured scan is not at {REAL}")
    opened = _opened(Path(shutil.copy(REAL, tmp_path_factory.mktemp("measured"))))
    yield opened
    opened.scan.close()
