"""What is disturbed: commands and actions, what they read, and what they shall write."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .forks import Forks, Order

__all__ = ["JOBS", "Job", "make_inputs", "prepare"]

OLD = b"what stood here before, and nobody may lose\n"
OLD_SIDECAR = {"version": 1, "calibration": {"points": [[5, 0.5], [90, 11.0]], "degree": 1}}


@dataclass(frozen=True)
class Job:
    """Something that writes files.

    Parameters
    ----------
    name : str
    command : tuple of str
        As in `Order`.
    inputs : tuple of str
        Files that it needs; the first is the source that it reads.
    targets : tuple of str
        Files that it writes.
    old : tuple of str, optional
        Files among the inputs of `make_inputs` that stand under the targets' names before.
    fresh : bool, optional
        Whether it is also done where nothing stands before.
    together : bool, optional
        Whether the targets belong together: old and new ones may not be mixed.
    """

    name: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    old: tuple[str, ...] = ("old.bin",)
    fresh: bool = True
    together: bool = False


def _export(ending: str, *options: str, name: str | None = None, second: str = "") -> Job:
    targets = tuple(filter(None, (f"out{ending}", second)))
    return Job(
        f"export-{name or ending[1:]}",
        ("export", "scan.zipstore", f"out{ending}", "--overwrite", *options),
        ("scan.zipstore",),
        targets,
        ("old.bin",) * len(targets),
        fresh=name is None,
        together=bool(second),
    )


def _convert(name: str, source: str, *options: str) -> Job:
    return Job(
        name,
        ("convert", source, "--output", "out.zipstore", "--overwrite", *options),
        (source, "cube.raw") if source == "cube.rpl" else (source,),
        ("out.zipstore",),
        ("old.zipstore",),
    )


JOBS = {
    job.name: job
    for job in (
        _convert("convert-lean", "scan.HDF5", "--lean"),
        _convert("convert-full", "scan.HDF5", "--method", "linear"),
        _convert("import-rpl", "cube.rpl", "--lean"),
        _export(".tif"),
        _export(".h5"),
        _export(".hspy"),
        _export(".csv"),
        _export(".png"),
        _export(".rpl", "--method", "selected", second="out.raw"),
        _export(".npy", name="npy"),
        _export(".dms", name="dms"),
        _export(".datastack", name="datastack"),
        _export(".csv", "--kind", "spectra", name="spectra"),
        _export(".nxs", "--kind", "nexus-spectra", name="nexus-spectra"),
        Job(
            "mosaic",
            ("action", "write-mosaic", "out.png"),  # making one takes 4 s, and writes nothing
            (),
            ("out.png",),
        ),
        Job(
            "simulate",
            ("simulate", "out.HDF5", "--shape", "5x3", "--overwrite"),
            (),
            ("out.HDF5",),
        ),
        Job("chunks", ("action", "pack-chunks", "out.zipstore"), (), ("out.zipstore",)),
        Job(
            "calibration",
            ("action", "calibrate", "out.zipstore"),
            (),
            ("out.maxrf.json",),
            ("old.json",),
        ),
        Job(
            "view", ("action", "save-view", "out.zipstore"), (), ("out.maxrf.json",), ("old.json",)
        ),
        Job("preset", ("action", "save-preset", "out.json"), (), ("out.json",)),
        Job(
            "photo",
            ("action", "copy-photo", "out.zipstore", "photos/folio.png"),
            ("photos/folio.png",),
            ("out.maxrf.json", "folio.png"),
            ("old.json", ""),
            fresh=False,
        ),
    )
}


def make_inputs(folder: Path, forks: Forks) -> None:
    """Make the files that jobs read, and those that stand in their places before."""
    folder.mkdir()
    (folder / "photos").mkdir()
    (folder / "old.bin").write_bytes(OLD)
    (folder / "old.json").write_text(json.dumps(OLD_SIDECAR))
    noise = np.random.default_rng(11).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "folio.png")
    for command in (
        ("simulate", "scan.HDF5", "--shape", "9x7", "--seed", "3"),
        ("convert", "scan.HDF5", "--lean"),
        ("convert", "scan.HDF5", "--lean", "--sigma", "3", "--output", "old.zipstore"),
        ("export", "scan.zipstore", "cube.rpl", "--method", "selected"),
    ):
        ended = forks.run(Order(list(command), str(folder)))
        if ended.code:
            raise RuntimeError(f"{command} ended with {ended.code}: {ended.errors}")


def prepare(job: Job, inputs: Path, folder: Path, *, old: bool) -> None:
    """Make the folder of a case: copies of the inputs, and of what stood there before."""
    folder.mkdir()
    for name in job.inputs:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(inputs / name, folder / name)
    if old:
        for name, target in zip(job.old, job.targets, strict=True):
            if name:
                shutil.copy2(inputs / name, folder / target)
