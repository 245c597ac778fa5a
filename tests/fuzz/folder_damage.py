"""Damage to the folder form of a store: entries, and what else may lie under a name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from .cases import pick
from .store_damage import Store, damaged_store

__all__ = ["damage_folder"]


def damage_folder(path: Path, rng: np.random.Generator) -> None:
    """Spoil a store that lies in a folder."""
    if rng.random() < 0.7:
        store = {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
        spoilt = damaged_store(store, rng)
        shutil.rmtree(path)
        path.mkdir()
        _write(path, spoilt)
        return
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    file = path / ".zattrs" if rng.random() < 0.3 else pick(rng, files)
    pick(rng, _REPLACED)(path, file)


def _write(folder: Path, store: Store) -> None:
    """Write the entries that can be files below a folder."""
    for key, data in store.items():
        target = Path(os.path.normpath(folder / key)) if "\0" not in key else folder
        if folder not in target.parents:
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError:  # too long a name, or a folder of that name
            continue


def _fifo(folder: Path, file: Path) -> None:
    del folder
    file.unlink()
    os.mkfifo(file)


def _link(target: str) -> object:
    def link(folder: Path, file: Path) -> None:
        del folder
        file.unlink()
        file.symlink_to(target)

    return link


def _outside(folder: Path, file: Path) -> None:
    """Let a link lead to the same entry, which now lies beside the folder."""
    away = folder.with_name("outside")
    file.rename(away)
    file.symlink_to(away)


def _as_folder(folder: Path, file: Path) -> None:
    del folder
    file.unlink()
    file.mkdir()


def _sparse(folder: Path, file: Path) -> None:
    """Make a file of 8 GB that takes no room on the disk."""
    del folder
    os.truncate(file, 2**33)


def _unreadable(folder: Path, file: Path) -> None:
    del folder
    file.chmod(0)


def _cycle(folder: Path, file: Path) -> None:
    """Let a folder hold itself."""
    del file
    (folder / "counts" / "again").symlink_to(folder)


_REPLACED = (
    _fifo, _link("/dev/zero"), _link("/dev/full"), _link("/etc/passwd"), _link("nowhere"),
    _link(".zattrs"), _link("."), _link("/proc/self/mem"), _outside, _as_folder, _sparse,
    _unreadable, _cycle,
)  # fmt: skip
