"""What a map can show of an energy window: counts, how sure they are, and where there are any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maxrf_core import Scan

__all__ = ["LAYERS", "Asked", "Layer"]

FloatMap = npt.NDArray[np.float32]
Smoothing = float | npt.NDArray[np.floating]


@dataclass(frozen=True)
class Asked:
    """What a map is computed from.

    Parameters
    ----------
    window : (float, float)
        Low and high energy in keV.
    method : str
        Interpolation.
    sigma : float
        Smoothing of the spectra in channels; 0 for raw counts.
    follow_resolution : bool
        Whether sigma grows with the detector's resolution.
    layer : str
        One of `LAYERS`.
    background : str
        What is taken away under the window.
    per_second : bool
        Whether counts are divided by live time.
    lag : float
        Correction of the zigzag, in periods.
    """

    window: tuple[float, float]
    method: str
    sigma: float = 0.0
    follow_resolution: bool = False
    layer: str = "counts"
    background: str = "none"
    per_second: bool = False
    lag: float = 0.0

    @property
    def title(self) -> str:
        """What the map shows, in words."""
        low, high = self.window
        layer = LAYERS[self.layer]
        if not layer.of_window:
            return f"{layer.title} · {self.method}"
        parts = [f"{low:.3f}–{high:.3f} keV", self.method]
        if layer.title:
            parts.insert(0, layer.title)
        if self.background_used != "none":
            parts.append(f"net of {_BACKGROUND_NAMES[self.background_used]}")
        if self.sigma and layer.of_smoothed:
            widening = " at 5.9 keV" if self.follow_resolution else ""
            parts.append(f"spectra smoothed by {self.sigma:g}{widening}")
        return " · ".join(parts)

    @property
    def options(self) -> dict[str, Any]:
        """How counts become a map, as `Scan.energy_map` takes it."""
        return {
            "method": self.method,
            "per_second": self.per_second,
            "background": self.background,
            "lag": self.lag,
        }

    @property
    def background_used(self) -> str:
        """The background that is taken away; a detection is never without."""
        if self.layer == "detected" and self.background == "none":
            return "sides"
        return self.background

    @property
    def unit(self) -> str:
        """Unit of the map's values."""
        return LAYERS[self.layer].unit or ("counts/s" if self.per_second else "counts")


_BACKGROUND_NAMES = {"sides": "side windows", "snip": "SNIP"}


@dataclass(frozen=True)
class Layer:
    """A kind of map.

    Parameters
    ----------
    title : str
        What it shows, where that is not the counts.
    unit : str
        Of its values; empty for that of the counts.
    compute : callable
        Returns the map of a scan, (h, w) float32, given what is asked and sigma in channels.
    of_window, of_smoothed : bool
        Whether it depends on the energy window, and on the smoothing.
    """

    title: str
    unit: str
    compute: Callable[[Scan, Asked, Smoothing], FloatMap]
    of_window: bool = True
    of_smoothed: bool = True


def _counts(scan: Scan, asked: Asked, sigma: Smoothing) -> FloatMap:
    return scan.energy_map(*asked.window, sigma=sigma, **asked.options)


def _error(scan: Scan, asked: Asked, sigma: Smoothing) -> FloatMap:
    return scan.energy_map_error(*asked.window, sigma=sigma, **asked.options)


def _signal_to_noise(scan: Scan, asked: Asked, sigma: Smoothing) -> FloatMap:
    counts, error = _counts(scan, asked, sigma), _error(scan, asked, sigma)
    ratio = np.where(np.isnan(counts), counts, np.float32(0))  # no counts, no signal
    return np.divide(counts, error, out=ratio, where=error > 0)


def _detected(scan: Scan, asked: Asked, _: Smoothing) -> FloatMap:
    return scan.detection_map(
        *asked.window, method=asked.method, background=asked.background_used, lag=asked.lag
    )


def _dead_time(scan: Scan, asked: Asked, _: Smoothing) -> FloatMap:
    return 100 * scan.dead_time_map(method=asked.method, lag=asked.lag)


LAYERS = {
    "counts": Layer("", "", _counts),
    "standard error": Layer("Standard error", "", _error),
    "signal-to-noise": Layer("Signal-to-noise", "counts / error", _signal_to_noise),
    "detected": Layer("Detected", "0 no, 1 yes", _detected, of_smoothed=False),
    "dead time": Layer("Dead time", "%", _dead_time, of_window=False, of_smoothed=False),
}
"""What a map can show, by name."""
