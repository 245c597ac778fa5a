"""The background under an energy window, and net windows as vectors over channels.

A net window is a vector b over channels like a gross one: 1 in the window, negative in the side
windows that stand for the background. Its map is W (S b), and under Poisson counts the variance
of that map is (W * W) S (b * b), exactly, as the sides are part of b.

SNIP is not linear. It enters a net window only by one number, the curvature of the background
of the whole scan, so that the map stays linear in the counts of each cell.
"""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import ParameterError
from .lines import detector_fwhm_kev
from .smoothing import smooth_spectra

__all__ = ["Side", "side_window_weights", "snip", "snip_width", "snip_window_weights"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

Side = tuple[float, float] | Literal[False] | None
"""A side window: low and high keV; None for the default; False for none on this side."""

SNIP_FWHM = 2.0
"""Half width of SNIP's window in widths of a line: a doublet such as K-alpha is stripped whole."""
SMOOTHING_FWHM = 0.25
"""Sigma in widths of a line with which the total spectrum is smoothed before SNIP."""
REACH = 3.0
"""How far peak-free channels are looked for on either side, in widths of the window."""
PEAK_FREE = (0.1, 3.0)
"""A channel is peak-free if it exceeds the background by no more than this share of it, or than
so many standard errors."""
MAX_PASSES = 10_000


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
    axis = _checked_axis(energies)
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
    axis = _checked_axis(energies)
    total = np.asarray(total_spectrum, dtype=np.float64)
    if total.shape != axis.shape or not (np.isfinite(total).all() and (total >= 0).all()):
        raise ParameterError(
            f"the total spectrum has shape {total.shape}; expected finite counts from 0 for each "
            f"of the {axis.size} channels."
        )
    window = _channels(axis, "the energy window", (low_kev, high_kev))
    if not window.any():
        return np.zeros(axis.size)
    kev_per_channel = (axis[-1] - axis[0]) / (axis.size - 1)
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


def snip_width(energies: npt.NDArray[np.floating], *, n_fwhm: float = SNIP_FWHM) -> FloatArray:
    """Return a `width` for `snip` that follows a silicon detector's resolution.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels' centres in keV, rising.
    n_fwhm : float, optional
        Width in units of a line's full width at half maximum.

    Returns
    -------
    width : (c,) float64
        In channels, 1 or more.
    """
    axis = _checked_axis(energies)
    kev_per_channel = (axis[-1] - axis[0]) / (axis.size - 1)
    return np.maximum(n_fwhm * detector_fwhm_kev(axis) / kev_per_channel, 1.0)


def snip(
    spectrum: npt.NDArray,
    width: npt.ArrayLike,
    *,
    iter_num: int = 0,
    decrease_factor: float | None = None,
    width_threshold: float = 0.5,
    lls: bool = True,
    smoothing: float = 0.0,
) -> npt.NDArray[np.floating]:
    """Return the background of spectra by statistics-sensitive peak clipping.

    Pass by pass, a channel that is higher than the mean of the two channels a distance p below
    and above is lowered to it: C. G. Ryan et al., Nucl. Instrum. Methods B 34 (1988) 396,
    https://doi.org/10.1016/0168-583X(88)90063-8. The distance falls from `width`: by one channel
    a pass (M. Morhac et al., Nucl. Instrum. Methods A 401 (1997) 113,
    https://doi.org/10.1016/S0168-9002(97)01023-1; PyMca's ``snip``), or, after `iter_num`
    passes with the full width, by `decrease_factor` a pass (Ryan; scikit-beam's ``snip_method``,
    whose defaults are 16 and the root of 2). A channel nearer to an end than p is left out
    of that pass.

    The background follows the lower edge of the noise, so it is too low by about one standard
    deviation of a channel where counts are few: smooth before, or use it on sums of many
    spectra. Structures wider than twice the width are taken for background, narrower ones for
    peaks.

    Parameters
    ----------
    spectrum : (..., c) array of counts, or float32 or float64
        Spectra with the channels last. A spectrum that is NaN stays NaN.
    width : float or (c,) array_like
        Largest distance p in channels; an array follows the resolution, see `snip_width`.
    iter_num : int, optional
        Passes with the full width before it falls.
    decrease_factor : float, optional
        The width's divisor from pass to pass; by default it falls by one channel (the largest
        of an array, and the others in proportion).
    width_threshold : float, optional
        The width, in channels, below which there are no more passes.
    lls : bool, optional
        Clip ``log(log(sqrt(y + 1) + 1) + 1)`` of the counts y instead of the counts (Morhac):
        small peaks beside large ones are treated alike. Negative values count as 0.
    smoothing : float, optional
        Sigma in channels of a Gaussian with which the spectra are smoothed before.

    Returns
    -------
    background : (..., c) float32 (float64 for float64 input)
        Nowhere above the (smoothed) spectrum.

    Raises
    ------
    ParameterError
        If `width` is negative, not finite or of another length, or the other numbers make no
        series of passes.
    """
    spectrum = np.asarray(spectrum)
    dtype = np.float64 if spectrum.dtype == np.float64 else np.float32
    values = smooth_spectra(spectrum.astype(np.float64), smoothing)
    widths = _checked_width(width, spectrum.shape[-1])
    if lls:
        clipped = np.log(np.log(np.sqrt(np.maximum(values, 0.0) + 1.0) + 1.0) + 1.0)
    else:
        clipped = values.copy()
    for factor in _factors(widths.max(), iter_num, decrease_factor, width_threshold):
        _clip(clipped, np.rint(widths * factor).astype(np.int64))
    if lls:
        clipped = np.expm1(np.expm1(clipped)) ** 2 - 1.0
    return np.minimum(clipped, values).astype(dtype)


def _clip(values: FloatArray, distances: npt.NDArray[np.int64]) -> None:
    """Lower, in place, each channel to the mean of those a distance below and above."""
    channels = np.arange(values.shape[-1])
    below, above = channels - distances, channels + distances
    inside = np.flatnonzero((distances > 0) & (below >= 0) & (above < len(channels)))
    mean = 0.5 * (values[..., below[inside]] + values[..., above[inside]])
    values[..., inside] = np.minimum(values[..., inside], mean)


def _factors(
    largest: float, iter_num: int, decrease_factor: float | None, width_threshold: float
) -> FloatArray:
    """Return the share of the width that each pass uses."""
    if isinstance(iter_num, bool) or not isinstance(iter_num, Integral) or iter_num < 0:
        raise ParameterError(f"iter_num is {iter_num!r}; expected a whole number of passes from 0.")
    if not (np.isfinite(width_threshold) and width_threshold > 0):
        raise ParameterError(
            f"width_threshold is {width_threshold!r}; expected a number of channels above 0."
        )
    if largest < width_threshold:
        return np.ones(iter_num)
    if decrease_factor is None:
        widths = largest - np.arange(np.floor(largest - width_threshold) + 1)
    elif np.isfinite(decrease_factor) and decrease_factor > 1:
        steps = np.floor(np.log(largest / width_threshold) / np.log(decrease_factor) + 1e-9)
        if steps + iter_num > MAX_PASSES:
            raise ParameterError(
                f"decrease_factor is {decrease_factor!r}, which makes more than {MAX_PASSES} "
                "passes; choose a larger one, such as the root of 2."
            )
        widths = largest / decrease_factor ** np.arange(steps + 1)
    else:
        raise ParameterError(f"decrease_factor is {decrease_factor!r}; expected a number above 1.")
    return np.concatenate([np.ones(iter_num), widths / largest])


def _checked_width(width: npt.ArrayLike, n_channels: int) -> FloatArray:
    """Return the width of every channel, (c,)."""
    widths = np.asarray(width, dtype=np.float64)
    if widths.ndim > 1 or (widths.ndim == 1 and widths.shape != (n_channels,)):
        raise ParameterError(
            f"width has shape {widths.shape}; expected a number of channels, or one for each of "
            f"the {n_channels}."
        )
    if not (np.isfinite(widths).all() and (widths >= 0).all() and (widths <= MAX_PASSES).all()):
        raise ParameterError(
            f"width is {widths.min():g} to {widths.max():g}; expected channels from 0 to "
            f"{MAX_PASSES}."
        )
    return np.broadcast_to(widths, n_channels)


def _checked_axis(energies: npt.NDArray[np.floating]) -> FloatArray:
    """Return the energy axis as float64."""
    axis = np.asarray(energies, dtype=np.float64)
    if axis.ndim != 1 or axis.size < 2 or not (np.diff(axis) > 0).all():
        raise ParameterError(
            f"the energies have shape {axis.shape}; expected those of two or more channels, rising."
        )
    return axis


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
