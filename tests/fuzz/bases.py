"""The whole files that cases are made from, written once a run: tiny, and always the same."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from zarr.storage import ZipStore

from maxrf_core import convert_crono
from maxrf_core.schema import SPECTRA

from .. import crono_files

__all__ = ["SECRET", "write_bases", "write_outside"]

SECRET = "SECRET-OF-ANOTHER-FOLDER"  # noqa: S105 - what must not be seen in a result
_MOMENT = 1_634_300_000  # of every file, so that a conversion of it is always the same
_CHUNKS = {"chunks": (5, 20), "compression": "gzip", "shuffle": True}
_FORMS = {
    "plain": ({}, "earliest"),
    "chunked": (_CHUNKS, "earliest"),
    "latest": (_CHUNKS | {"fletcher32": True}, "latest"),
}


def write_bases(folder: Path) -> None:
    """Write all whole files below a folder, a folder for each kind with what it begins with."""
    for form, (storage, version) in _FORMS.items():
        path = folder / "crono" / f"{form}.HDF5"
        path.parent.mkdir(exist_ok=True, parents=True)
        crono_files.write_crono(path, **storage)
        if version == "latest":
            _in_latest_format(path)
        os.utime(path, (_MOMENT, _MOMENT))
    source = folder / "crono" / "plain.HDF5"
    for name, cubes, method in (("lean", False, "kriging"), ("full", True, "selected")):
        target = folder / "zipstore" / f"{name}.zipstore"
        target.parent.mkdir(exist_ok=True)
        convert_crono(source, output=target, cubes=cubes, method=method, progress=False)
        with zipfile.ZipFile(target) as archive:
            archive.extractall(folder / "folder" / f"{name}.zipstore")
    _write_beside(folder)
    _write_cubes(folder)


def write_outside(folder: Path) -> None:
    """Write what no case may reach: a whole scan that says who it is."""
    folder.mkdir(exist_ok=True)
    replaced = {
        "CreatedWithSoftwareVersion": crono_files.characters(SECRET, 50),
        "XRF/ROIs/ROIsNames": crono_files.names(SECRET, "b", "c"),
        "XRF/Spectra": np.full((crono_files.N, crono_files.CHANNELS), 54242, np.uint16),
    }
    crono_files.write_crono(folder / "secret.HDF5", replaced)
    (folder / "secret.bin").write_bytes(SECRET.encode() * 1000)


def _in_latest_format(path: Path) -> None:
    """Copy a file in HDF5's latest format, whose structures are others, with checksums."""
    again = path.with_suffix(".again")
    with h5py.File(path) as old, h5py.File(again, "w", libver="latest") as new:
        for name in old:
            old.copy(name, new)
        spectra = old[SPECTRA]
        del new[SPECTRA]
        new.create_dataset(SPECTRA, data=spectra[...], maxshape=(None, 40), **_CHUNKS)
    again.replace(path)


def _write_beside(folder: Path) -> None:
    """Write a scan with everything that may be kept beside it, and a saved view."""
    beside = folder / "sidecar"
    beside.mkdir()
    shutil.copy(folder / "zipstore" / "lean.zipstore", beside / "scan.zipstore")
    polygon = {
        "name": "b",
        "kind": "polygon",
        "vertices": [[132000, 111800], [134000, 111900], [133000, 113000]],
    }
    view = {
        "version": 1,
        "elements": ["Fe", "Ca Ka"],
        "composites": [
            {"name": "c", "lines": ["Fe Ka", "", "Ca Ka"], "ranges": [None, [0, 5], None]}
        ],
        "regions": [
            {"name": "a", "kind": "rectangle", "box": [131000, 111816, 133000, 113000]},
            polygon,
            {"name": "t", "kind": "threshold", "map": "Fe Ka", "low": 1.0, "high": None},
        ],
        "layout": {"window": "6.1 6.6", "sigma": "2", "method": "nearest", "hidden": ["a"]},
    }  # fmt: skip
    kept = {
        "version": 1,
        "calibration": {"points": [[7, 8.046], [19, 22.163]], "degree": 1},
        "photo": {
            "name": "photo.png", "size": [31, 23], "kind": "affine",
            "points": [[1, 1, 131000, 112000], [30, 2, 133500, 112100], [4, 20, 131200, 113300]],
        },
        "presets": {"mine": view},
    }  # fmt: skip
    (beside / "scan.maxrf.json").write_text(json.dumps(kept, indent=1))
    rng = np.random.default_rng(3)
    picture = Image.fromarray(rng.integers(255, size=(23, 31, 3), dtype=np.uint8))
    picture.save(beside / "photo.png")
    (folder / "view").mkdir()
    (folder / "view" / "view.json").write_text(json.dumps(view, indent=1))
    (folder / "photo").mkdir()
    picture.save(folder / "photo" / "photo.png")


def _write_cubes(folder: Path) -> None:
    """Write cubes of other programs."""
    import zarr

    counts = np.random.default_rng(5).poisson(3.0, (5, 3, 40)).astype(np.uint16)
    header = (
        "key value\nwidth 3\nheight 5\ndepth 40\noffset 0\ndata-Length 2\ndata-type unsigned\n"
        "byte-order little-endian\nrecord-by vector\ndepthscaleorigin -0.956\n"
        "depthscaleincrement 0.52\ndepthscaleunits keV\n"
    )
    (folder / "rpl").mkdir()
    (folder / "rpl" / "cube.rpl").write_text(header)
    counts.tofile(folder / "rpl" / "cube.raw")
    (folder / "datastack").mkdir()
    for form in (2, 3):
        with ZipStore(folder / "datastack" / f"v{form}.datastack", mode="w") as store:
            root = zarr.create_group(store, zarr_format=form)
            root.create_array("maxrf_cube", data=counts.astype(np.float32), chunks=(2, 2, 40))
            root.create_array("maxrf_energies", data=np.linspace(-1, 20, 40, dtype=np.float32))
