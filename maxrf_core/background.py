"""The background under an energy window, and net windows as vectors over channels.

A net window is a vector b over channels like a gross one: 1 in the window, negative in the side
windows that stand for the background. Its map is W (S b), and under Poisson counts the variance
of that map is (W * W) S (b * b), exactly, as the sides are part of b.

SNIP is not linear. It enters a net window only by one number, the curvature of the background
of the whole scan, so that the map stays linear in the counts of each cell.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from .energy_axis import channel_width, checked_axis, checked_total
from .errors import ParameterError
from .lines import detector_fwhm_kev
from .smoothing import smooth_spectra
from .snip import snip, snip_width

__all__ = ["Side", "side_window_weights", "snip", "snip_width", "snip_window_weights"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Side = tuple[float, float] | Literal[False] | None
"""A side window: low and high keV; None for the default; False for none on this side."""

SMOOTHING_FWHM = 0.25
"""Sigma in widths of a line with which the total spectrum is smoothed before SNIP."""
REACH = 3.0
"""How far peak-free channels are looked for on either side, in widths of the window."""
PEAK_FREE = (0.1, 3.0)
"""A channel is peak-free if it exceeds the background by no more than this share of it, or than
so many standard errors."""


def side_window_weights(
    energies: npt.NDArray[np.floating],
    low_kev: float,
    high_kev: float,
    *,
    left: Side = None,
    right: Side = None,
) -> FloatArray:
    """Return the net window with the background taken from side windows.

    The background in the window is that of the straight line (counts a channel against energy)
    through the means of the two side windows, so a background that is constant or linear in
    energy is removed exactly; with one side only, a constant one. This is peak integration as
    in G. Gilmore, Practical Gamma-ray Spectrometry, 2nd ed. (2008), chapter 5, for side windows
    of any width and place. By default each is half as wide as the window and lies
    directly beside it, so that the background is counted in as many channels as the window
    has: the paired observation of L. A. Currie, Anal. Chem. 40 (1968) 586,
    https://doi.org/10.1021/ac60259a007.

    It misleads where a side window holds another element's line: then it takes away too much
    wherever that element is. Give other side windows, or use `snip_window_weights`.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels' centres in keV, rising.
    low_kev, high_kev : float
        The window: channels with an energy in [low_kev, high_kev).
    left, right : (low, high) or False, optional
        Side windows in keV, [low, high), `left` below and `right` above the window; False
        for none on that side. What lies beyond the spectrum's ends is cut off.

    Returns
    -------
    weights : (c,) float64
        1 in the window, negative in the side windows, 0 elsewhere. All 0 if the window holds no
        channel.

    Raises
    ------
    ParameterError
        If a window is no pair of finite energies, a side window overlaps the window or lies on
        its wrong side, or no side window holds a channel.
    """
    axis = checked_axis(energies)
    window = _channels(axis, "the energy window", (low_kev, high_kev))
    half = (high_kev - low_kev) / 2.0
    below = (low_kev - half, low_kev) if left is None else left
    above = (high_kev, high_kev + half) if right is None else right
    sides = (
        _given_side(axis, "left", below, low_kev),
        _given_side(axis, "right", above, high_kev),
    )
    if not window.any():
        return np.zeros(axis.size)
    return window - _interpolation(axis, window, *sides)


def snip_window_weights(
    energies: npt.NDArray[np.floating],
    total_spectrum: npt.NDArray[np.number],
    low_kev: float,
    high_kev: float,
    *,
    left: Side = None,
    right: Side = None,
    width: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the net window whose side windows follow a curved background.

    As `side_window_weights`, with two differences. What the straight line through the sides
    gives is multiplied by one number: what SNIP finds in the window in the scan's total
    spectrum, over what that line gives when laid through SNIP's background. And the default
    side windows are the nearest channels in which the total spectrum shows no peak above SNIP's
    background, half as many on each side as the window has.

    It assumes that the background has the same shape in every cell; its height and slope may
    differ. It misleads in a cell with a line in the side windows that the total spectrum does
    not show.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels' centres in keV, rising.
    total_spectrum : (c,) number
        Counts of the whole scan.
    low_kev, high_kev : float
        The window: channels with an energy in [low_kev, high_kev).
    left, right : (low, high) or False, optional
        Side windows in keV, as in `side_window_weights`.
    width : float or (c,) array_like, optional
        SNIP's `width` in channels; by default `snip_width`.

    Returns
    -------
    weights : (c,) float64
        1 in the window, negative in the side windows, 0 elsewhere. All 0 if the window holds no
        channel.

    Raises
    ------
    ParameterError
        As `side_window_weights` and `snip`, or if the total spectrum has another length than
        the energies or negative counts.
    """
    axis = checked_axis(energies)
    total = checked_total(total_spectrum, axis)
    window = _channels(axis, "the energy window", (low_kev, high_kev))
    if not window.any():
        return np.zeros(axis.size)
    kev_per_channel = channel_width(axis)
    middle = 0.5 * (low_kev + high_kev)
    sigma = SMOOTHING_FWHM * float(detector_fwhm_kev(middle)) / kev_per_channel
    smoothed = smooth_spectra(total, sigma)
    background = snip(smoothed, snip_width(axis) if width is None else width)
    clean = _peak_free(smoothed, background, sigma)
    sides = []
    for name, given, limit in (("left", left, low_kev), ("right", right, high_kev)):
        if given is None:
            sides.append(_nearest_clean(window, clean, is_left=name == "left"))
        else:
            sides.append(_given_side(axis, name, given, limit))
    if not (sides[0].any() or sides[1].any()):
        if left is not None or right is not None:
            raise _no_sides()
        return side_window_weights(axis, low_kev, high_kev)
    line = _interpolation(axis, window, *sides)
    through_sides = line @ background
    if through_sides > 0.0:
        line *= background[window].sum() / through_sides
    return window - line


def _channels(axis: FloatArray, what: str, limits: tuple[float, float]) -> BoolArray:
    """Return which channels lie in [low, high)."""
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not (np.isfinite([low, high]).all() and low <= high):
        raise ParameterError(
            f"{what} is {limits!r}; expected two finite energies in keV, the lower first."
        )
    return (axis >= low) & (axis < high)


def _given_side(axis: FloatArray, name: str, side: Side, limit: float) -> BoolArray:
    """Return the channels of a side window, which ends or starts at the window's limit."""
    if side is False:
        return np.zeros(axis.size, dtype=bool)
    channels = _channels(axis, f"the {name} side window", side)
    beyond = side[1] > limit if name == "left" else side[0] < limit
    if beyond:
        raise ParameterError(
            f"the {name} side window is {side[0]:g} to {side[1]:g} keV; expected it "
            f"{'below' if name == 'left' else 'above'} the window, which "
            f"{'starts' if name == 'left' else 'ends'} at {limit:g} keV."
        )
    return channels


def _interpolation(
    axis: FloatArray, window: BoolArray, left: BoolArray, right: BoolArray
) -> FloatArray:
    """Return the weights (c,), from 0, with which the sides give the background in the window."""
    n, centre = window.sum(), axis[window].mean()
    if left.any() and right.any():
        low, high = axis[left].mean(), axis[right].mean()
        above = (centre - low) / (high - low)
        return n * ((1.0 - above) * left / left.sum() + above * right / right.sum())
    side = left if left.any() else right
    if not side.any():
        raise _no_sides()
    return n * side / side.sum()


def _no_sides() -> ParameterError:
    return ParameterError(
        "neither side window holds a channel of the spectrum, so there is no background to take "
        "away; give side windows within the spectrum."
    )


def _peak_free(smoothed: FloatArray, background: FloatArray, sigma: float) -> BoolArray:
    """Return which channels of a smoothed total spectrum show no peak above its background."""
    share, errors = PEAK_FREE
    # A Gaussian of sigma averages over 2 sqrt(pi) sigma channels.
    averaged = max(1.0, 2.0 * np.sqrt(np.pi) * sigma)
    noise = np.sqrt(np.maximum(smoothed, 1.0 / averaged) / averaged)
    return smoothed - background <= np.maximum(share * background, errors * noise)


def _nearest_clean(window: BoolArray, clean: BoolArray, *, is_left: bool) -> BoolArray:
    """Return the peak-free channels nearest to the window on one side, half as many as it has.

    None where there are fewer than half of those within reach.
    """
    inside = np.flatnonzero(window)
    reach, wanted = int(REACH * inside.size), (inside.size + 1) // 2
    if is_left:
        near = np.arange(max(inside[0] - reach, 0), inside[0])[::-1]
    else:
        near = np.arange(inside[-1] + 1, min(inside[-1] + 1 + reach, window.size))
    chosen = near[clean[near]][:wanted]
    side = np.zeros(window.size, dtype=bool)
    if 2 * chosen.size >= wanted:
        side[chosen] = True
    return side
