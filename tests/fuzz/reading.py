"""What is read of a case: all that the program does first with such a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dask.array as da
import numpy as np

from dashboard.catalogue import Entry, facts_of
from dashboard.data import SharedScan
from dashboard.saved_views import preset_from_text, view_of
from dashboard.state import ViewState
from maxrf_core import (
    Scan,
    check_zipstore,
    convert_crono,
    get_array,
    open_scan,
    read_crono,
    read_datasets,
)
from maxrf_core.imports import import_scan
from maxrf_core.interchange import format_tree
from maxrf_core.photo import fit_photo
from maxrf_core.photo_file import photo_size, warp_photo
from maxrf_core.photo_record import find_photo, keep_photo, kept_photo
from maxrf_core.presets import read_preset, read_presets_beside
from maxrf_core.report import report
from maxrf_core.sidecar import read_sidecar, write_sidecar

__all__ = ["Step", "steps_of"]

Step = tuple[str, Callable[[], object]]
"""A name, and what to do; what it returns is looked at for what must not be seen."""


def steps_of(kind: str, path: Path, generator: np.random.Generator) -> Iterator[Step]:
    """Yield what to do with a file, step by step; each may fail."""
    return _STEPS[kind](path, generator)


def _crono(path: Path, rng: np.random.Generator) -> Iterator[Step]:
    def list_datasets() -> list[str]:
        with read_datasets(path) as datasets:
            return [repr((each.name, each.shape, each.dtype)) for each in datasets]

    output = path.with_name("made.zipstore")

    def convert() -> object:
        return convert_crono(
            path,
            output=output,
            method=("selected", "nearest", "linear", "kriging")[int(rng.integers(4))],
            cubes=bool(rng.random() < 0.3),
            progress=False,
        )

    yield "read_datasets", list_datasets
    yield "read_crono", lambda: read_crono(path)
    yield "report", lambda: report(path)
    yield "convert", convert
    if output.exists():
        yield from _scan(output)


def _scan(path: Path) -> Iterator[Step]:
    """Yield what the page does with a scan before anybody touched it, and soon after."""
    opened: list[Scan] = []
    yield "open_scan", lambda: opened.append(open_scan(path))
    if not opened:
        return
    scan = opened[0]
    shared = SharedScan(scan)
    yield "first look", shared.prepare
    yield "what it says", lambda: (
        repr(scan), shared.summary, shared.rois, scan.metadata, scan.grid.bounds, scan.lag,
        shared.layers, shared.calibration_points, scan.max_counts.max(),
    )  # fmt: skip
    yield "resolution", lambda: (shared.detector_sigma, shared.sigma_shape)
    yield "calibration", lambda: (shared.calibration, scan.calibration)
    yield "elements", lambda: shared.elements.line("Fe")
    yield "spectra", lambda: (
        scan.spectrum(0, sigma=2.5), scan.spectrum(scan.n_spectra - 1), scan.cell_spectrum(0, 0),
        shared.nearest_spectrum(132000.0, 112000.0),
    )  # fmt: skip
    yield "maps", lambda: (
        scan.energy_map(4.0, 9.0), scan.energy_map(8.0, 14.0, sigma=3.0, background="sides"),
        scan.energy_map_error(4.0, 9.0), scan.energy_map(4.0, 9.0, method="nearest", lag=0.3),
        scan.detection_map(8.0, 14.0),
    )  # fmt: skip
    if scan.live_times is not None:
        yield "live times", lambda: scan.energy_map(4.0, 9.0, per_second=True)
    yield "dead time", lambda: scan.dead_time_fraction is None or scan.dead_time_map()
    whole = np.ones(scan.grid.shape, bool)
    yield "region", lambda: scan.region_spectrum(whole)
    yield "close", scan.close


def _zipstore(path: Path, rng: np.random.Generator) -> Iterator[Step]:
    del rng
    yield "catalogue", lambda: facts_of(Entry(path.stem, path, None))
    yield from _scan(path)
    yield "check", lambda: check_zipstore(path, progress=False)
    yield "tree", lambda: format_tree(path, details=True)
    for name in ("maxrf_cube", "maxrf_energies", "counts/by_spectrum", "maxrf_sum_spectrum"):
        yield f"get_array {name}", lambda name=name: get_array(path, name)
    yield "get_array lazy", lambda: _corner(get_array(path, "maxrf_cube", compute=False))


def _corner(lazy: da.Array) -> np.ndarray:
    """Compute the first value along each axis."""
    return lazy[(slice(0, 1),) * lazy.ndim].compute()


def _cube(path: Path, rng: np.random.Generator) -> Iterator[Step]:
    target = path.with_name("made.zipstore")
    options = {"calibration": (-1.0, 0.5)} if rng.random() < 0.3 else {}
    yield "import", lambda: import_scan(path, output=target, progress=False, **options)
    if target.exists():
        yield from _scan(target)
    if path.suffix == ".datastack":
        yield "tree", lambda: format_tree(path, details=True)
        yield "get_array", lambda: get_array(path, "maxrf_cube")


def _sidecar(path: Path, rng: np.random.Generator) -> Iterator[Step]:
    del rng
    scan = path.with_name("scan.zipstore")
    yield "read", lambda: read_sidecar(scan)
    yield "presets", lambda: read_presets_beside(scan)

    def photo() -> object:
        record = kept_photo(scan)
        if record is None or (found := find_photo(scan, record)) is None:
            return None
        extent = (130000.0, 111000.0, 135000.0, 114000.0)
        return found, warp_photo(found, record.fit(), extent=extent, shape=(13, 17))

    yield "photo", photo
    yield from _scan(scan)
    yield "write", lambda: write_sidecar(scan, note="x")


def _view(path: Path, rng: np.random.Generator) -> Iterator[Step]:
    del rng
    yield "read", lambda: read_preset(path)
    text = path.read_bytes().decode("utf-8", "replace")
    presets: list = []
    yield "upload", lambda: presets.append(preset_from_text(text))
    if presets:
        with open_scan(path.with_name("lean.zipstore")) as scan:
            yield "show", lambda: view_of(presets[0], SharedScan(scan), ViewState())


def _photo(path: Path, rng: np.random.Generator) -> Iterator[Step]:
    del rng
    fit = fit_photo([[0, 0], [31, 0], [0, 23]], [[0, 0], [1000, 0], [0, 800]])
    yield "size", lambda: photo_size(path)
    yield "warp", lambda: warp_photo(path, fit, extent=(0, 0, 900, 700), shape=(13, 17))
    small = fit_photo([[0, 0], [9000, 0], [0, 9000]], [[0, 0], [1000, 0], [0, 800]])
    yield "warp small", lambda: warp_photo(path, small, extent=(0, 0, 900, 700), shape=(13, 17))
    yield "keep", lambda: keep_photo(path.with_name("scan.zipstore"), path, [])


_STEPS = {
    "crono": _crono,
    "zipstore": _zipstore,
    "folder": _zipstore,
    "rpl": _cube,
    "datastack": _cube,
    "sidecar": _sidecar,
    "view": _view,
    "photo": _photo,
}
