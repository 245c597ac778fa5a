"""The energy axis: made from calibration points, and checked against the lines in the counts.

The check compares the scan's total spectrum with what the axis says it should look like, see
`line_marks`, and says in sentences what it found.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import numpy.typing as npt

from .energy_axis import channel_width, checked_axis, checked_total
from .errors import ParameterError
from .line_marks import LineMark, find_marks, straight_line
from .lines import detector_fwhm_kev

__all__ = ["CalibrationCheck", "LineMark", "check_calibration", "recalibrated"]

FloatArray = npt.NDArray[np.float64]

WIDEST_CHANNEL_KEV = 0.16
"""Channels wider than a line of iron show no lines apart."""
STANDARD_ERRORS, LIMIT_FWHM = 3.0, 1.0 / 6.0
"""The axis is off if a line is off by more than so many standard errors, and by more than
this share of its width and than one channel."""

POINT_KEV = (-5.0, 150.0)
"""Energies that a calibration point may have: a value in eV falls outside."""
AXIS_KEV = (-50.0, 500.0)
"""Energies that a whole axis may have: two points close together and mistyped lead outside."""


@dataclass(frozen=True, slots=True)
class CalibrationCheck:
    """What the lines in a total spectrum say about its energy axis.

    Attributes
    ----------
    agrees : bool or None
        Whether the axis agrees with the lines and with the calibration points. None if the
        spectrum shows no line to judge by, and the points do not disagree.
    message : str
        The same in sentences, with the figures.
    marks : tuple of LineMark
        Lines found, by energy.
    offset_ev, offset_error_ev : float
        What the axis reads too much at 0 keV, in eV, and its standard error; NaN without marks.
    gain_error, gain_standard_error : float
        What it reads too much for each keV, relative (0.01 is 1 %), and its standard error;
        NaN with fewer than two marks.
    points_deviation_kev : float or None
        Largest difference between the axis and the calibration points' line; None
        without usable points.
    suggested_points : tuple of (float, float)
        Channel and keV of two points for `recalibrated` that would set the axis right; empty
        with fewer than two marks.
    """

    agrees: bool | None
    message: str
    marks: tuple[LineMark, ...] = ()
    offset_ev: float = np.nan
    offset_error_ev: float = np.nan
    gain_error: float = np.nan
    gain_standard_error: float = np.nan
    points_deviation_kev: float | None = None
    suggested_points: tuple[tuple[float, float], ...] = ()


def recalibrated(
    n_channels: int, points: npt.ArrayLike, *, degree: int = 1
) -> npt.NDArray[np.float32]:
    """Return the energy axis through calibration points.

    Two points give the straight line through them, more the line (or, if asked for, the
    parabola) of least squares.

    Parameters
    ----------
    n_channels : int
        Channels of a spectrum, c.
    points : array_like of float, shape (k, 2)
        Channel (counted from 0, may have a fraction) and energy in keV of each point; k is 2
        or more, in any order.
    degree : {1, 2}, optional
        Of the polynomial. A parabola needs three points, and follows the error of each.

    Returns
    -------
    energies : (c,) float32
        Energies of the channels' centres in keV, rising.

    Raises
    ------
    ParameterError
        If the points are fewer than two (three for a parabola), not finite, outside the
        spectrum, of one channel, of energies that no spectrum has, or do not make an axis
        that rises from channel to channel.
    """
    if not isinstance(n_channels, Integral) or n_channels < 2:
        raise ParameterError(f"n_channels is {n_channels!r}; expected a whole number from 2.")
    if isinstance(degree, bool) or degree not in (1, 2):
        raise ParameterError(f"degree is {degree!r}; expected 1 (straight line) or 2 (parabola).")
    channels, kev = _checked_points(int(n_channels), points, degree).T
    # About the middle and in units of the span, so that no power grows large.
    middle, span = channels.mean(), np.ptp(channels)
    fit = np.polynomial.polynomial.polyfit((channels - middle) / span, kev, degree)
    axis = (np.arange(n_channels) - middle) / span
    energies = np.polynomial.polynomial.polyval(axis, fit).astype(np.float32)
    if not (np.diff(energies) > 0).all():
        raise ParameterError(
            f"the calibration points {_listed(channels, kev)} give an axis that does not rise "
            "from channel to channel; check that each energy belongs to its channel."
        )
    if energies[0] < AXIS_KEV[0] or energies[-1] > AXIS_KEV[1]:
        raise ParameterError(
            f"the calibration points {_listed(channels, kev)} give an axis from {energies[0]:g} "
            f"to {energies[-1]:g} keV; expected within {AXIS_KEV[0]:g} to {AXIS_KEV[1]:g} keV. "
            "Check the points, or choose some that lie further apart."
        )
    return energies


def _checked_points(n_channels: int, points: npt.ArrayLike, degree: int) -> npt.NDArray[np.float64]:
    """Return calibration points (k, 2) by rising channel, or raise all that is wrong with them."""
    try:
        table = np.array(points, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all():
        raise ParameterError(
            f"the calibration points are {points!r}; expected pairs of channel and keV, finite."
        )
    table = table[np.argsort(table[:, 0], kind="stable")]
    channels, kev = table.T
    needed = degree + 1
    distinct = len(np.unique(channels))
    low, high = POINT_KEV
    faults = [
        *([f"they have {distinct} distinct channels, expected {needed} or more"]
          if distinct < needed else []),
        *([f"two of them have the same channel, {channels[:-1][np.diff(channels) == 0][0]:g}"]
          if distinct < len(channels) else []),
        *(f"channel {channel:g} is not in the spectrum, expected 0 to {n_channels - 1}"
          for channel in channels if not 0 <= channel <= n_channels - 1),
        *(f"{value:g} keV is no energy of a spectrum, expected {low:g} to {high:g} keV"
          for value in kev if not low <= value <= high),
    ]  # fmt: skip
    if faults:
        raise ParameterError(
            f"the calibration points {_listed(channels, kev)} cannot be used: {'; '.join(faults)}."
        )
    return table


def _listed(channels: npt.NDArray[np.float64], kev: npt.NDArray[np.float64]) -> str:
    """Return points as text, the first few of many."""
    pairs = [f"({c:g}, {e:g} keV)" for c, e in zip(channels[:5], kev[:5], strict=True)]
    return ", ".join(pairs + (["..."] if len(channels) > 5 else []))


def check_calibration(
    energies: npt.NDArray[np.floating],
    total_spectrum: npt.NDArray[np.number],
    points: npt.ArrayLike | None = None,
    *,
    degree: int = 1,
) -> CalibrationCheck:
    """Check an energy axis against its calibration points and the lines in the counts.

    Errors of the axis up to 3 % and 0.25 keV are recognised. The marks are the zero peak and
    K-alpha, L-alpha and L-beta of `K_ELEMENTS` and `L_ELEMENTS` where they stand out by 10
    standard errors and apart from others; rhodium's K-alpha, scattered by the sample, is one of
    them, its Compton peak is not. The axis is said to disagree where the straight line through
    the deviations (Huber's weights) is off at a mark by more than 3 standard errors, a sixth
    of the line's width, and one channel. Costs about half a second.

    It misleads where most strong peaks belong to elements that are not looked for. A bend of the
    axis shows in the marks' deviations, not in the verdict.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels' centres in keV, rising.
    total_spectrum : (c,) number
        Counts of the whole scan.
    points : array_like of float, shape (k, 2), optional
        The file's calibration points, channel and keV.
    degree : {1, 2}, optional
        Of the polynomial that the points stand for.

    Returns
    -------
    CalibrationCheck

    Raises
    ------
    ParameterError
        If the energies do not rise, or the counts are not one for each channel, finite and
        not negative.
    """
    axis = checked_axis(energies)
    counts = checked_total(total_spectrum, axis)
    deviation, sentence = _points_deviation(axis, points, degree)
    if channel_width(axis) > WIDEST_CHANNEL_KEV:
        said = (
            f"The channels are wider than {WIDEST_CHANNEL_KEV:g} keV and show no lines apart, so "
            "the energy axis was not checked against them."
        )
        marks: tuple[LineMark, ...] = ()
    else:
        marks = find_marks(axis, counts)
        said = (
            "No known line stands out in the total spectrum, so the energy axis was not checked "
            "against lines."
        )
    if not marks:
        agrees = False if sentence else None
        message = f"{sentence} {said}".strip()
        return CalibrationCheck(agrees, message, points_deviation_kev=deviation)
    fit, covariance = straight_line(marks)
    agrees, said = _judged(axis, marks, fit, covariance)
    errors = np.sqrt(np.diag(covariance))
    suggested: tuple[tuple[float, float], ...] = ()
    if len(marks) > 1:
        ends = np.array([marks[0].energy_kev, marks[-1].energy_kev])
        channels = np.interp(ends + fit[0] + fit[1] * ends, axis, np.arange(axis.size))
        suggested = tuple(
            (round(float(channel), 3), round(float(kev), 4))
            for channel, kev in zip(channels, ends, strict=True)
        )
    if not agrees and suggested:
        (first, low), (last, high) = suggested
        said += (
            f" Recalibrate with, for example, channel {first:.1f} at {low:.3f} keV and channel "
            f"{last:.1f} at {high:.3f} keV."
        )
    return CalibrationCheck(
        agrees and not sentence,
        f"{sentence} {said}".strip(),
        marks,
        offset_ev=float(1000.0 * fit[0]),
        offset_error_ev=float(1000.0 * errors[0]),
        gain_error=float(fit[1]) if len(marks) > 1 else np.nan,
        gain_standard_error=float(errors[1]) if len(marks) > 1 else np.nan,
        points_deviation_kev=deviation,
        suggested_points=suggested,
    )


def _points_deviation(
    axis: FloatArray, points: npt.ArrayLike | None, degree: int
) -> tuple[float | None, str]:
    """Return how far the axis is from its calibration points' line, and what is wrong with it."""
    if points is None:
        return None, ""
    try:
        line = recalibrated(axis.size, points, degree=degree)
    except ParameterError as error:
        return None, f"The energy axis does not follow from its calibration points: {error}"
    apart = np.abs(axis - line)
    width = channel_width(axis)
    deviation = float(apart.max())
    if deviation <= 0.5 * width:
        return deviation, ""
    return deviation, (
        f"The energy axis is not the line through its calibration points: they are apart by up "
        f"to {1000 * deviation:.0f} eV, at channel {apart.argmax()}, and half a channel is "
        f"{500 * width:.0f} eV."
    )


def _judged(
    axis: FloatArray, marks: tuple[LineMark, ...], fit: FloatArray, covariance: FloatArray
) -> tuple[bool, str]:
    """Return whether the straight line through the deviations is within limits, and a sentence."""
    at = np.array([mark.energy_kev for mark in marks])
    basis = np.stack([np.ones_like(at), at])
    off = fit @ basis
    errors = np.sqrt(np.einsum("im,ij,jm->m", basis, covariance, basis))
    width = channel_width(axis)
    limits = np.maximum(width, LIMIT_FWHM * detector_fwhm_kev(at))
    wrong = (np.abs(off) > STANDARD_ERRORS * errors) & (np.abs(off) > limits)
    names = ", ".join(mark.name for mark in marks)
    figures = f"offset {1000 * fit[0]:+.1f} ± {1000 * covariance[0, 0] ** 0.5:.1f} eV"
    if len(marks) > 1:
        figures += f", gain {100 * fit[1]:+.3f} ± {100 * covariance[1, 1] ** 0.5:.3f} %"
    if not wrong.any():
        return True, f"The energy axis agrees with the lines in the counts ({names}): {figures}."
    worst = int(np.argmax(np.where(wrong, np.abs(off) / limits, 0.0)))
    return False, (
        f"The energy axis disagrees with the lines in the counts ({names}): {figures}; "
        f"{marks[worst].name} at {at[worst]:.3f} keV is shown {1000 * abs(off[worst]):.0f} eV too "
        f"{'high' if off[worst] > 0 else 'low'}, and {1000 * limits[worst]:.0f} eV is the limit."
    )
