"""The kinds of files that are spoilt: what they begin as, what is done to them, how often."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .cases import Case, Mutation, pick
from .folder_damage import damage_folder
from .hdf5_damage import damage_hdf5
from .small_damage import damage_datastack, damage_photo, damage_rpl, damage_text
from .zip_damage import damage_zip

__all__ = ["KINDS", "Kind", "cases_of_a_run", "write_case"]


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Parameters
    ----------
    names : tuple of str
        Whole files of `bases` to begin with, one of which is spoilt.
    damage : callable
        Spoils it.
    share : int
        Of 100 cases of a run.
    beside : tuple of str
        What has to lie in its folder.
    """

    names: tuple[str, ...]
    damage: Mutation
    share: int
    beside: tuple[str, ...] = ()


KINDS = {
    "crono": Kind(("crono/plain.HDF5", "crono/chunked.HDF5", "crono/latest.HDF5"), damage_hdf5, 32),
    "zipstore": Kind(("zipstore/lean.zipstore", "zipstore/full.zipstore"), damage_zip, 30),
    "folder": Kind(("folder/lean.zipstore", "folder/full.zipstore"), damage_folder, 12),
    "rpl": Kind(("rpl/cube.rpl",), damage_rpl, 6, ("rpl/cube.raw",)),
    "datastack": Kind(("datastack/v2.datastack", "datastack/v3.datastack"), damage_datastack, 8),
    "sidecar": Kind(
        ("sidecar/scan.maxrf.json",), damage_text, 4, ("sidecar/scan.zipstore", "sidecar/photo.png")
    ),
    "view": Kind(("view/view.json",), damage_text, 4, ("zipstore/lean.zipstore",)),
    "photo": Kind(("photo/photo.png",), damage_photo, 4),
}


def cases_of_a_run(count: int, seed: int, kinds: Sequence[str]) -> list[Case]:
    """Return the cases of a run, the kinds mixed by their shares."""
    order = [kind for kind in kinds for _ in range(KINDS[kind].share)]
    rng = np.random.default_rng(seed)
    rng.shuffle(order)
    return [Case(order[number % len(order)], seed, number) for number in range(count)]


def write_case(case: Case, bases: Path, folder: Path) -> tuple[Path, np.random.Generator]:
    """Write a spoilt file and return its path, and the generator for what is done with it.

    Parameters
    ----------
    case : Case
        Which.
    bases : Path
        What `write_bases` wrote.
    folder : Path
        An empty folder.
    """
    kind, rng = KINDS[case.kind], case.generator()
    is_whole = case.number < 0
    name = kind.names[-case.number - 1] if is_whole else pick(rng, kind.names)
    for each in (name, *kind.beside):
        _copy(bases / each, folder / Path(each).name)
    if case.kind == "crono":
        shutil.copy2(bases / "crono" / "plain.HDF5", folder / "other.HDF5")
        os.mkfifo(folder / "fifo")
    path = folder / Path(name).name
    if not is_whole:
        kind.damage(path, rng)
    return path, rng


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
