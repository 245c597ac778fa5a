"""Files of every released schema, and what is read from them: made once, never again.

``python tests/schema_files.py`` writes those of the present version to ``tests/data``, from the
scan there, its channels added up by eight. Run it when the version grows, and never for one
that was released: the old files are what shows that they can still be read.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import crono_files
import h5py
import numpy as np
import numpy.typing as npt

from maxrf_core import check_zipstore, convert_crono, get_array, open_scan
from maxrf_core.interchange import format_tree
from maxrf_core.photo_record import kept_photo
from maxrf_core.presets import (
    Preset,
    preset_to_json,
    read_preset,
    read_presets_beside,
    write_preset,
    write_presets_beside,
)
from maxrf_core.schema import INTERCHANGE_ARRAYS, SCHEMA_VERSION
from maxrf_core.sidecar import write_sidecar

DATA = Path(__file__).parent / "data"
CHANNELS_ADDED = 8
IRON = (6.2, 6.6)


def numbers(values: npt.NDArray | None) -> dict[str, Any] | None:
    """Return shape, dtype, sum and some values of an array, ready for JSON."""
    if values is None:
        return None
    values = np.asarray(values)
    flat = values.ravel()
    some = flat[np.linspace(0, flat.size - 1, 12).astype(int)] if flat.size else flat
    return {
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "sum": float(np.nansum(flat, dtype=np.float64)),
        "weighted": float(np.nansum(flat * np.cos(np.arange(flat.size)), dtype=np.float64)),
        "some": [None if np.isnan(value) else float(value) for value in some.astype(np.float64)],
    }


def read_everything(path: Path) -> dict[str, Any]:
    """Return what is read from a zipstore in every way that there is, ready for JSON."""
    with open_scan(path) as scan:
        mask = np.zeros(scan.grid.shape, dtype=bool)
        mask[2:5, 1:7] = True
        read = {
            "metadata": scan.metadata,
            "parameters": scan.parameters,
            "source": scan.source,
            "grid": scan.grid.to_dict(),
            "lag": scan.lag.to_dict(),
            "lag_corrected": scan.lag_corrected,
            "calibration": scan.calibration,
            "rois": [[roi.name, roi.low_kev, roi.high_kev] for roi in scan.rois],
            "energies": numbers(scan.energies),
            "positions": numbers(scan.positions),
            "selected": numbers(scan.selected_index),
            "live times": numbers(scan.live_times),
            "dead time": numbers(scan.dead_time_fraction),
            "total": numbers(scan.total_spectrum),
            "maximum": numbers(scan.max_counts),
            "smoothed maximum": numbers(scan.max_smoothed),
            "spectrum": numbers(scan.spectrum(100)),
            "smoothed spectrum": numbers(scan.spectrum(100, sigma=3.0)),
            "spectrum of a cell": numbers(scan.cell_spectrum(3, 4)),
            "spectrum of a region": numbers(scan.mean_spectrum(mask)),
            "cube": numbers(scan.cube().compute()),
        }
        for method in (None, "selected"):
            for options in ({}, {"per_second": True}, {"sigma": 2.5}):
                name = f"{method} {options}"
                read[f"map {name}"] = numbers(scan.energy_map(*IRON, method=method, **options))
                read[f"error {name}"] = numbers(
                    scan.energy_map_error(*IRON, method=method, **options)
                )
    for name in (*INTERCHANGE_ARRAYS, "counts/by_channel", "spectra/timestamps"):
        read[f"array {name}"] = numbers(get_array(path, name))
        read[f"lazy array {name}"] = numbers(get_array(path, name, compute=False).compute())
    read["tree"] = format_tree(path)
    report = check_zipstore(path, progress=False)
    read["check"] = [report.n_spectra, report.chunks, report.faults, report.notes]
    read["views"] = {name: preset_to_json(p) for name, p in read_presets_beside(path).items()}
    photo = kept_photo(path)
    read["photo"] = None if photo is None else asdict(photo)
    return json.loads(json.dumps(read))


def write_files(folder: Path) -> None:
    """Write the files of the present schema."""
    name = f"schema-{SCHEMA_VERSION}"
    with h5py.File(DATA / "crono-12x9.HDF5") as file:
        counts = file["XRF/Spectra"][...]
        energies = file["XRF/EnergyVector"][...]
        others = {
            f"XRF/{dataset}": file[f"XRF/{dataset}"][...]
            for dataset in (
                "MotorsPositions",
                "SpectraSelectedIndex",
                "LiveTimes",
                "RealTimes",
                "Timestamps",
            )
        }
    added = counts.reshape(len(counts), -1, CHANNELS_ADDED).sum(axis=2, dtype=np.uint16)
    scan = folder / f"{name}.HDF5"
    datasets = {
        "XRF/Spectra": added,
        "XRF/EnergyVector": energies.reshape(-1, CHANNELS_ADDED).mean(axis=1, dtype=np.float32),
        **others,
    }
    crono_files.write_crono(scan, datasets)
    full, lean = folder / f"{name}-full.zipstore", folder / f"{name}-lean.zipstore"
    convert_crono(scan, output=full, sigma=1.5, progress=False)
    convert_crono(scan, output=lean, cubes=False, method="linear", progress=False)
    scan.unlink()
    write_sidecar(
        lean,
        calibration={"points": [[100, 8.1], [240, 21.6]], "degree": 1},
        photo={
            "name": "page 7.png",
            "size": [40, 30],
            "kind": "affine",
            "points": [
                [1.0, 2.0, 133e3, 112e3],
                [30.0, 2.5, 139e3, 112e3],
                [9.0, 28.0, 134e3, 116e3],
            ],
        },
    )
    view = Preset(lines=("Fe", "Pb La"), layout={"low": 6.2, "high": 6.6, "map": "Fe"})
    write_presets_beside(lean, {"iron and lead": view})
    write_preset(folder / f"{name}-view.json", view)
    expected = {path.stem: read_everything(path) for path in (full, lean)}
    expected["view"] = preset_to_json(read_preset(folder / f"{name}-view.json"))
    text = json.dumps(expected, indent=1)
    (folder / f"{name}.expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_files(DATA)
