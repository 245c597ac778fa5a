"""What the page writes, and no command does: done in a fork, by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maxrf_core import convert_crono, open_scan, simulate_crono
from maxrf_core.exports import export_scan
from maxrf_core.mosaic import Mosaic
from maxrf_core.mosaic_file import write_mosaic
from maxrf_core.photo_record import keep_photo
from maxrf_core.presets import Preset, write_preset, write_presets_beside
from maxrf_core.regions import Rectangle, Region
from maxrf_core.sidecar import write_sidecar
from maxrf_core.writer import ChunkDirectory
from tests.small_stores import ATTRIBUTES, fill

__all__ = ["ACTIONS", "warm_up"]

CALIBRATION = {"points": [[10, 1.0], [100, 12.5]], "degree": 1}
REGIONS = tuple(Region(f"place {i}", Rectangle(i, 0.5, i + 2.0, 4.0)) for i in range(40))
PRESET = Preset(lines=("Fe Ka", "Pb La"), regions=REGIONS, layout={"map": "Fe Ka"})
POINTS = [[3.0, 4.0, 1000.0, 2000.0], [9.0, 5.5, 5000.0, 2100.0], [4.0, 9.0, 1100.0, 7000.0]]


def warm_up(folder: Path) -> None:
    """Import what commands import when they run, and load compiled loops: forks need not."""
    from maxrf_core import check, exports, imports, xarrays  # noqa: F401

    scan, zipstore = folder / "warm.HDF5", folder / "warm.zipstore"
    simulate_crono(scan, shape=(5, 3), n_channels=64)
    convert_crono(scan, output=zipstore, progress=False)
    with open_scan(zipstore) as opened:
        export_scan(opened, folder / "warm.tif")
    write_preset(folder / "warm.json", PRESET)


def calibrate(zipstore: Path) -> None:
    """Keep a calibration beside a scan."""
    write_sidecar(zipstore, calibration=CALIBRATION)


def save_view(zipstore: Path) -> None:
    """Keep a view with regions beside a scan, as the page's dialog does."""
    write_presets_beside(zipstore, {"first": PRESET})


def save_preset(path: Path) -> None:
    """Write a view to a file of its own."""
    write_preset(path, PRESET)


def copy_photo(zipstore: Path, photo: Path) -> None:
    """Copy a photo beside a scan, and keep its point pairs."""
    keep_photo(zipstore, photo, POINTS, copy=True)


def pack_chunks(zipstore: Path) -> None:
    """Write a store as a conversion on a cluster does: chunks in a folder, packed in the end."""
    with ChunkDirectory(zipstore, ATTRIBUTES) as directory:
        fill(directory)
        directory.commit()


def keep_mosaic(path: Path) -> None:
    """Write a mosaic."""
    picture = np.random.default_rng(7).integers(0, 256, (47, 31, 3), dtype=np.uint8)
    covered = np.ones((47, 31), dtype=bool)
    write_mosaic(Mosaic(picture, covered, 1000.0, 2000.0, 50.0, {}), path, overwrite=True)


ACTIONS = {
    "calibrate": calibrate,
    "save-view": save_view,
    "save-preset": save_preset,
    "copy-photo": copy_photo,
    "pack-chunks": pack_chunks,
    "write-mosaic": keep_mosaic,
}
