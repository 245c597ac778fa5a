"""What a page should show, computed in this process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dashboard.asked import asked_by
from dashboard.data import SharedScan
from dashboard.explorer import default_state
from dashboard.scaling import scale_map
from maxrf_core import open_scan
from maxrf_core.smoothing import smooth_spectra

from .visitor import Shown

__all__ = ["Truth"]

_RELATIVE = 1e-5
"""The browser and the server round sums of single precision each in their own order."""


@dataclass(frozen=True)
class Truth:
    """The scans of a run.

    Parameters
    ----------
    scans : dict of str to SharedScan
        Open, by their names.
    """

    scans: dict[str, SharedScan]

    @classmethod
    def of(cls, paths: Iterable[Path]) -> Truth:
        """Open zipstores."""
        opened = [SharedScan(open_scan(path)) for path in paths]
        return cls({shared.name: shared for shared in opened})

    @property
    def ev_per_channel(self) -> dict[str, float]:
        """What a smoothing of one channel is called on the page of each scan."""
        return {name: 1000 * shared.scan.kev_per_channel for name, shared in self.scans.items()}

    def faults(self, shown: Shown) -> list[str]:
        """Return in what a page differs from what its visitor asked for."""
        shared = self.scans[shown.scan]
        state = default_state(shared)
        state.param.update(window=tuple(shown.window), sigma=shown.sigma)
        scaled = scale_map(shared.layer_map(asked_by(shared, state)), state.clip)
        limits = [scaled.low, scaled.high]
        line = smooth_spectra(shared.scan.spectrum(shown.spectrum), shown.sigma)
        found = []
        if not np.allclose(shown.limits, limits, rtol=_RELATIVE):
            found.append(f"the map of {shown.window} has the limits {shown.limits}, not {limits}")
        away = float(np.abs(np.array(shown.line) - line).max())
        if away > _RELATIVE * float(line.max()):
            found.append(f"the line of sigma {shown.sigma} is off by {away:g} counts")
        return [f"{shown.scan}: {fault}" for fault in found]
