"""The energy axis: made from calibration points, and checked against the lines in the counts.

The check compares the scan's total spectrum with what the axis says it should look like. The
spectrum is laid on the energies with many trial offsets and gains, each time the best sum of
element patterns is fitted, and the trial that leaves least unexplained is kept: a pattern of
lines has only one place, where the nearest line to a peak may be a wrong one. Then each strong
line is shifted onto the fitted sum by itself, and a straight line through the shifts is what
the axis is off by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from .errors import ParameterError
from .lines import FWHM_PER_SIGMA, NOISE_FWHM_KEV, detector_fwhm_kev, emission_lines

__all__ = ["CalibrationCheck", "LineMark", "check_calibration", "recalibrated"]

FloatArray = npt.NDArray[np.float64]

K_ELEMENTS = (
    "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca", "Ti", "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "As", "Br", "Sr", "Zr", "Mo", "Rh", "Ag", "Cd", "Sn",
)  # fmt: skip
L_ELEMENTS = ("Rh", "Ag", "Cd", "Sn", "Sb", "Ba", "Au", "Hg", "Pb", "Bi")
"""Whose K and L lines are looked for: what paintings, paper, air and rhodium tubes show."""
LOWEST_KEV, HIGHEST_KEV = 1.2, 26.0
"""Lines outside it are not looked for."""
MARKS = ("Ka", "La", "Lb1")
COMPTON_KEV = (18.2, 18.5, 18.8, 19.1, 19.4, 19.7)
COMPTON_FWHM_KEV = 0.6
"""Compton's peak of rhodium's K-alpha, at any angle: it takes up counts, and marks nothing."""

HIGH_PASS_KEV = 0.25
"""Sigma of the Gaussian whose difference from the spectrum is compared: no continuum passes."""
MODEL_ERROR = 0.1
"""Share of the counts by which patterns may be wrong: absorption, tails, escape."""
TRIAL_GAINS = np.arange(-12, 13) * 0.0025
TRIAL_OFFSETS_KEV = np.arange(-5, 6) * 0.05
TRIAL_STEP_KEV = 0.04
MARGIN = 0.1
"""Share by which a trial must leave less unexplained than the axis as it is, to be preferred."""
WIDEST_CHANNEL_KEV = 0.16
"""Channels wider than a line of iron show no lines apart."""
WEAKEST_MARK = 10.0
"""Standard errors by which a line's counts must exceed 0 to be a mark."""
PUREST_MARK = 0.8
"""Share of the fitted counts at a mark that must be its own: a neighbour's would shift it."""
HALF_WINDOW_FWHM = 1.2
FARTHEST_FWHM = 0.6
"""Shifts of a mark from the straight line that are followed, in widths of the line."""
SYSTEMATIC_KEV = 0.005
"""Standard error of every mark beyond its counts: tables, chemistry, a peak's tail."""
STANDARD_ERRORS, LIMIT_FWHM = 3.0, 1.0 / 6.0
"""The axis is off if a line is off by more than so many standard errors, and by more than
this share of its width and than one channel."""

POINT_KEV = (-5.0, 150.0)
"""Energies that a calibration point may have: a value in eV falls outside."""
AXIS_KEV = (-50.0, 500.0)
"""Energies that a whole axis may have: two points close together and mistyped lead outside."""


@dataclass(frozen=True, slots=True)
class LineMark:
    """A line of known energy that the total spectrum plainly shows.

    Attributes
    ----------
    name : str
        Such as ``"Fe Ka"``, or ``"zero peak"``.
    energy_kev : float
        Where it belongs; the mean of a doublet, weighted by intensity.
    deviation_kev : float
        Where the axis shows it, minus where it belongs.
    standard_error_kev : float
        Of the deviation.
    """

    name: str
    energy_kev: float
    deviation_kev: float
    standard_error_kev: float


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
    axis, counts = _checked_spectrum(energies, total_spectrum)
    deviation, sentence = _points_deviation(axis, points, degree)
    if (axis[-1] - axis[0]) / (axis.size - 1) > WIDEST_CHANNEL_KEV:
        said = (
            f"The channels are wider than {WIDEST_CHANNEL_KEV:g} keV and show no lines apart, so "
            "the energy axis was not checked against them."
        )
        marks: tuple[LineMark, ...] = ()
    else:
        marks = _find_marks(axis, counts)
        said = (
            "No known line stands out in the total spectrum, so the energy axis was not checked "
            "against lines."
        )
    if not marks:
        agrees = False if sentence else None
        message = f"{sentence} {said}".strip()
        return CalibrationCheck(agrees, message, points_deviation_kev=deviation)
    fit, covariance = _straight_line(marks)
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


def _checked_spectrum(
    energies: npt.NDArray[np.floating], total_spectrum: npt.NDArray[np.number]
) -> tuple[FloatArray, FloatArray]:
    """Return energies and counts as float64, (c,) each."""
    axis = np.asarray(energies, dtype=np.float64)
    counts = np.asarray(total_spectrum, dtype=np.float64)
    if axis.ndim != 1 or axis.size < 2 or not (np.diff(axis) > 0).all():
        raise ParameterError(
            f"the energies have shape {axis.shape}; expected those of two or more channels, rising."
        )
    if counts.shape != axis.shape or not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ParameterError(
            f"the total spectrum has shape {counts.shape}; expected finite counts from 0 for each "
            f"of the {axis.size} channels."
        )
    return axis, counts


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
    width = (axis[-1] - axis[0]) / (axis.size - 1)
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
    width = (axis[-1] - axis[0]) / (axis.size - 1)
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


def _straight_line(marks: tuple[LineMark, ...]) -> tuple[FloatArray, FloatArray]:
    """Return offset (keV) and gain error through the marks' deviations, and their covariance.

    Least squares with Huber's weights (P. J. Huber, Ann. Math. Statist. 35 (1964) 73,
    https://doi.org/10.1214/aoms/1177703732); a single mark gives the offset alone. The
    covariance grows with the scatter where that exceeds the standard errors.
    """
    at, deviation, error = np.array(
        [(mark.energy_kev, mark.deviation_kev, mark.standard_error_kev) for mark in marks]
    ).T
    unknowns = min(len(marks), 2)
    basis = np.stack([np.ones_like(at), at], axis=1)[:, :unknowns] / error[:, None]
    weights = np.ones_like(at)
    scale = 1.0
    for _ in range(20):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(basis * root[:, None], deviation / error * root, rcond=None)[0]
        residuals = np.abs(deviation / error - basis @ found)
        if len(marks) > unknowns:
            scale = max(1.0, 1.4826 * float(np.median(residuals)))
        weights = np.minimum(1.0, 1.345 * scale / np.maximum(residuals, 1e-12))
    fit, covariance = np.zeros(2), np.zeros((2, 2))
    fit[:unknowns] = found
    covariance[:unknowns, :unknowns] = scale**2 * np.linalg.inv((basis.T * weights) @ basis)
    return fit, covariance


# --- matching the lines -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Pattern:
    """Peaks of one kind: energies and widths in keV, shares that sum to 1, and names."""

    name: str
    lines: tuple[str, ...]
    centres: FloatArray
    shares: FloatArray
    widths: FloatArray

    def counts(self, edges: FloatArray, *, chosen: npt.ArrayLike = True) -> FloatArray:
        """Return the share of the counts between neighbouring edges, of the chosen lines."""
        places = (edges[:, None] - self.centres) * (FWHM_PER_SIGMA / self.widths)
        return np.diff(ndtr(places), axis=0) @ (self.shares * np.asarray(chosen))


@lru_cache(maxsize=1)
def _patterns() -> tuple[_Pattern, ...]:
    """Return everything that is looked for, the zero peak first."""
    found = [_Pattern("zero peak", ("",), *np.array([[0.0], [1.0], [NOISE_FWHM_KEV]]))]
    for shell, elements in (("K", K_ELEMENTS), ("L", L_ELEMENTS)):
        for element in elements:
            lines = [
                line
                for line in emission_lines(element)
                if line.name.startswith(shell) and LOWEST_KEV < line.energy_kev < HIGHEST_KEV
            ]
            centres = np.array([line.energy_kev for line in lines])
            shares = np.array([line.intensity for line in lines])
            names = tuple(line.name for line in lines)
            found.append(
                _Pattern(element, names, centres, shares / shares.sum(), detector_fwhm_kev(centres))
            )
    compton = [np.array([[kev], [1.0], [COMPTON_FWHM_KEV]]) for kev in COMPTON_KEV]
    return (*found, *(_Pattern("Compton", ("",), *peak) for peak in compton))


def _find_marks(axis: FloatArray, counts: FloatArray) -> tuple[LineMark, ...]:
    """Return the lines that stand out in a spectrum, by energy."""
    middles = 0.5 * (axis[1:] + axis[:-1])
    edges = np.concatenate([[2 * axis[0] - middles[0]], middles, [2 * axis[-1] - middles[-1]]])
    explained = _comparison(edges, counts)
    trial = _best_trial(explained)
    for _ in range(2):  # again from the straight line: what is left to shift is smaller then
        _, amplitudes = explained(*trial)
        marks = _marks(edges, counts, amplitudes, trial)
        if len(marks) < 2:
            break
        (offset, gain), _ = _straight_line(marks)
        trial = (float(offset), float(gain))
    return marks


def _comparison(
    edges: FloatArray, counts: FloatArray
) -> Callable[[float, float], tuple[float, FloatArray]]:
    """Return the function that fits the patterns to a spectrum for an error of its axis.

    It takes an offset (keV) and a gain error, and returns the share of the spectrum's squares
    that no sum of the patterns explains, and each pattern's counts in the best sum.
    """
    from scipy.optimize import nnls

    width = (edges[-1] - edges[0]) / counts.size
    step = max(TRIAL_STEP_KEV, width)
    stop = min(HIGHEST_KEV, edges[-1] / (1.0 + TRIAL_GAINS[-1]) - TRIAL_OFFSETS_KEV[-1])
    grid = np.arange(-0.3, max(stop, 1.0), step)
    patterns = np.stack([pattern.counts(grid) for pattern in _patterns()], axis=1)
    patterns = np.where(patterns.sum(axis=0) > 0.5, patterns, 0.0)  # the others are off the axis
    sigma = HIGH_PASS_KEV / step
    shapes = patterns - gaussian_filter1d(patterns, sigma, axis=0)
    middle = 0.5 * (grid[1:] + grid[:-1])
    used = (middle < 0.3) | (middle > LOWEST_KEV)
    cumulative = np.concatenate([[0.0], np.cumsum(counts)])

    def explained(offset: float, gain: float) -> tuple[float, FloatArray]:
        found = np.diff(np.interp(grid * (1.0 + gain) + offset, edges, cumulative))
        wide = gaussian_filter1d(found, sigma)
        local = gaussian_filter1d(found, NOISE_FWHM_KEV / step)
        weights = used / np.sqrt(local + (MODEL_ERROR * (local + wide)) ** 2 + 1.0)
        target = weights * (found - wide)
        amplitudes, rest = nnls(shapes * weights[:, None], target)
        return rest**2 / max(target @ target, 1e-300), amplitudes

    return explained


def _best_trial(
    explained: Callable[[float, float], tuple[float, FloatArray]],
) -> tuple[float, float]:
    """Return the offset (keV) and gain error with which the patterns explain most.

    The axis as it is, (0, 0), is kept unless another trial is better by `MARGIN`.
    """
    trials = {
        (float(offset), float(gain)): explained(offset, gain)[0]
        for gain in TRIAL_GAINS
        for offset in TRIAL_OFFSETS_KEV
    }
    best = min(trials, key=lambda trial: trials[trial])
    return best if trials[best] < (1.0 - MARGIN) * explained(0.0, 0.0)[0] else (0.0, 0.0)


def _marks(
    edges: FloatArray, counts: FloatArray, amplitudes: FloatArray, trial: tuple[float, float]
) -> tuple[LineMark, ...]:
    """Return the marks, each shifted onto the fitted sum of patterns by itself."""
    offset, gain = trial
    true_edges = (edges - offset) / (1.0 + gain)
    model = sum(
        amplitude * pattern.counts(true_edges)
        for amplitude, pattern in zip(amplitudes, _patterns(), strict=True)
    )
    found = []
    for amplitude, pattern in zip(amplitudes, _patterns(), strict=True):
        for kind in ("", *MARKS):
            chosen = np.array([_is_kind(name, kind) for name in pattern.lines])
            if amplitude == 0.0 or not chosen.any() or pattern.name == "Compton":
                continue
            shares = pattern.shares * chosen
            at = float(pattern.centres @ shares / shares.sum())
            line = amplitude * pattern.counts(true_edges, chosen=chosen)
            shift = _shift(true_edges, counts, model, line, at)
            if shift is not None:
                deviation = offset + gain * at + shift[0] * (1.0 + gain)
                name = f"{pattern.name} {kind}".strip()
                found.append(LineMark(name, at, deviation, shift[1]))
    return tuple(sorted(found, key=lambda mark: mark.energy_kev))


def _is_kind(name: str, kind: str) -> bool:
    """Tell whether a line, such as Ka1, is of a kind, such as Ka."""
    return name.startswith(kind) if kind else not name


def _shift(
    edges: FloatArray, counts: FloatArray, model: FloatArray, line: FloatArray, at: float
) -> tuple[float, float] | None:
    """Return by how much (keV) a line lies above where the model has it, and the standard error.

    In a window about the line the counts are fitted by the model, its derivative, and a
    straight line for the background: a model shifted by d is, to first order, the model minus d
    times its derivative. None if the line does not stand out, or not apart.
    """
    fwhm = float(detector_fwhm_kev(at))
    middles = 0.5 * (edges[1:] + edges[:-1])
    width = (edges[-1] - edges[0]) / counts.size
    near = np.abs(middles - at) <= max(HALF_WINDOW_FWHM * fwhm, 3.0 * width)
    core = np.abs(middles - at) <= max(0.5 * fwhm, 0.5 * width)
    if near.sum() < 6 or not core.any() or edges[0] > at - fwhm or edges[-1] < at + fwhm:
        return None
    if line[core].sum() < PUREST_MARK * model[core].sum():
        return None
    if line[core].sum() < WEAKEST_MARK * np.sqrt(max(counts[core].sum(), 1.0)):
        return None
    place = (middles[near] - at) / fwhm
    shape, slope = model[near], fwhm * np.gradient(model, middles)[near]
    top = shape.max()  # brings the four unknowns to one size
    basis = np.stack([shape, slope, np.full_like(place, top), top * place], axis=1)
    root = 1.0 / np.sqrt(np.maximum(gaussian_filter1d(counts, 1.0)[near], 1.0))
    weighted = basis * root[:, None]
    fit, _, rank, _ = np.linalg.lstsq(weighted, counts[near] * root, rcond=None)
    if rank < basis.shape[1]:
        return None
    height, moved = float(fit[0]), float(fit[1])
    if not 0.3 < height < 3.0 or abs(moved) > FARTHEST_FWHM * height:
        return None
    residuals = (counts[near] - basis @ fit) * root
    spread = max(1.0, float(residuals @ residuals) / (near.sum() - basis.shape[1]))
    variance = spread * np.linalg.inv(weighted.T @ weighted)[1, 1]
    error = fwhm * np.sqrt(variance) / height
    return -moved / height * fwhm, float(np.hypot(error, SYSTEMATIC_KEV))
