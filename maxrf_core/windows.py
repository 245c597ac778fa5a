"""Energy windows as weights over channels: the vector b of a map W (S b).

A window sums the counts of its channels. A net window takes the background under it away, which
it estimates from channels beside it: as long as that is a weighted sum of counts, a net map costs
what a gross one does, and its error under Poisson counts is as exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .background import side_window_weights, snip_window_weights
from .errors import ParameterError
from .smoothing import smooth_window

__all__ = ["BACKGROUNDS", "WindowWeights", "channels_between", "window_weights"]

BACKGROUNDS = ("none", "sides", "snip")
"""Ways to estimate the background under an energy window.

``none`` leaves it in; ``sides`` takes the mean of the channels on both sides; ``snip`` takes the
same channels, and how the background bends between them from the scan's total spectrum.
"""


@dataclass(frozen=True)
class WindowWeights:
    """What an energy window sums.

    Attributes
    ----------
    gross : (c,) float64
        Weight of each channel in the window's counts.
    background : (c,) float64
        Weight of each channel in the background's estimate under it; 0 for none.
    """

    gross: npt.NDArray[np.float64]
    background: npt.NDArray[np.float64]

    @property
    def net(self) -> npt.NDArray[np.float64]:
        """Weight of each channel in the net counts."""
        return self.gross - self.background


def channels_between(energies: npt.NDArray[np.floating], low_kev: float, high_kev: float) -> slice:
    """Return the channels whose energy lies in [low_kev, high_kev).

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels in keV, increasing.
    low_kev, high_kev : float
        The window.

    Raises
    ------
    ParameterError
        If an energy is not finite, or `low_kev` is above `high_kev`.
    """
    try:
        limits = np.array([low_kev, high_kev], dtype=np.float64)
    except (TypeError, ValueError):
        limits = np.full(2, np.nan)
    if not (np.isfinite(limits).all() and limits[0] <= limits[1]):
        msg = (
            f"the energy window is {low_kev!r} to {high_kev!r} keV; expected two finite "
            "energies, the lower first."
        )
        raise ParameterError(msg)
    # Compared as float64: a float32 energy is never rounded onto a limit.
    first, last = np.searchsorted(energies.astype(np.float64), limits)
    return slice(int(first), int(last))


def window_weights(
    energies: npt.NDArray[np.floating],
    low_kev: float,
    high_kev: float,
    *,
    total_spectrum: npt.NDArray[np.number],
    background: str = "none",
    sigma: float | npt.NDArray[np.floating] = 0,
) -> WindowWeights:
    """Return what an energy window sums.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels in keV, increasing.
    low_kev, high_kev : float
        The window: channels with an energy in [low_kev, high_kev).
    total_spectrum : (c,) number
        Counts of all spectra together, which `snip` looks at.
    background : {"none", "sides", "snip"}
        What is taken away; see `BACKGROUNDS`.
    sigma : float or (c,) float
        Gaussian smoothing of the spectra in channels.

    Raises
    ------
    ParameterError
        If the window, the background or sigma has no meaning.
    """
    gross = np.zeros(len(energies))
    gross[channels_between(energies, low_kev, high_kev)] = 1.0
    if background not in BACKGROUNDS:
        names = ", ".join(map(repr, BACKGROUNDS))
        msg = f"background is {background!r}; expected one of {names}."
        raise ParameterError(msg)
    if background == "none" or not gross.any():
        return WindowWeights(smooth_window(gross, sigma), np.zeros(len(energies)))
    if background == "sides":
        net = side_window_weights(energies, low_kev, high_kev)
    else:
        net = snip_window_weights(energies, total_spectrum, low_kev, high_kev)
    return WindowWeights(smooth_window(gross, sigma), smooth_window(gross - net, sigma))
