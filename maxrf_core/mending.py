"""`mend`: all that a check can put right, of a zipstore and of what lies beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .check_report import CheckReport
from .errors import ParameterError
from .location import is_url
from .progress import Progress
from .repair import repair_zipstore
from .sidecar import sidecar_path
from .sidecar_check import repair_sidecar, sidecar_faults
from .unfinished import leftovers, remove

__all__ = ["mend"]

IDLE_SECONDS = 86_400.0
"""Where a file system knows no locks, nobody can tell that a writer has ended: this long without
a change is taken for it."""


def mend(
    location: Path | str, found: CheckReport, *, progress: bool | Callable[[Progress], None] = True
) -> list[str]:
    """Put right what a check found, and return what was done, a sentence each.

    Parameters
    ----------
    location : path
        The zipstore.
    found : CheckReport
        Of `check_zipstore`.
    progress : bool or callable
        As `repair_zipstore`.

    Raises
    ------
    ZipstoreError
        If the zipstore cannot be repaired; it is as it was, and so is all beside it.
    OutputError
        If something cannot be written.
    ParameterError
        If it lies behind a URL.
    """
    if is_url(location):
        raise ParameterError(
            "what lies behind a URL is only read; copy it to this machine to repair it."
        )
    path = Path(location)
    done: list[str] = []
    if found.fault_count > len(sidecar_faults(path)):
        report = repair_zipstore(path, progress=progress)
        done += [*report.repaired, *report.lost]
    done += repair_sidecar(path)
    done += _remove_leftovers(path)
    return done


def _remove_leftovers(store: Path) -> Iterator[str]:
    """Remove what killed runs left beside a store, and tell of each."""
    for target in (store, sidecar_path(store)):
        for left in leftovers(target):
            if not left.held and _is_idle(left.path) and remove(left.path):
                yield f"{left.path.name}, left by a run that was killed, was removed."


def _is_idle(path: Path) -> bool:
    try:
        changed = max(part.lstat().st_mtime for part in (path, *path.glob("*")))
    except OSError:
        return False
    return time.time() - changed > IDLE_SECONDS
