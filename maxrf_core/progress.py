"""How far a long job is: one small message, and a bar for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

from .plain_text import printable

__all__ = ["Progress", "progress_bar"]

_LABELS = {
    "simulate": "Simulating spectra",
    "import": "Reading the cube",
    "spectra": "Reading and smoothing spectra",
    "operator": "Building the interpolation",
    "cube": "Computing the spectral cube",
    "check": "Checking chunks",
    "frames": "Reading camera frames",
    "camera": "Comparing frames",
    "mosaic": "Stitching",
}


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Parameters
    ----------
    stage : str
        ``simulate``, ``import``, ``spectra``, ``operator``, ``cube``, ``check``, ``frames``,
        ``camera`` or ``mosaic``.
    done, total : int
        Spectra, cells, chunks or frames done, and of how many.
    """

    stage: str
    done: int
    total: int

    @property
    def label(self) -> str:
        """The stage in words."""
        return _LABELS[self.stage]

    @property
    def fraction(self) -> float:
        """Share of this stage that is done, 0 to 1."""
        return self.done / self.total if self.total else 1.0


@contextmanager
def progress_bar(
    progress: bool | Callable[[Progress], None], title: str
) -> Iterator[Callable[[Progress], None]]:
    """Yield the function that a job reports to.

    Parameters
    ----------
    progress : bool or callable
        True draws a bar for each stage on the standard error stream, False draws none,
        a function is used as it is.
    title : str
        What the job works on.
    """
    if callable(progress):
        yield progress
        return
    bar: tqdm | None = None
    stage = ""

    def report(message: Progress) -> None:
        nonlocal bar, stage
        if stage != message.stage:
            stage = message.stage
            if bar is not None:
                bar.close()
            bar = tqdm(
                desc=message.label,
                total=message.total,
                file=sys.stderr,
                disable=not progress,
                unit_scale=True,
            )
        bar.update(message.done - bar.n)

    if progress:
        print(f"{printable(title)}:", file=sys.stderr)  # noqa: T201 - heads the bars
    try:
        yield report
    finally:
        if bar is not None:
            bar.close()
