"""Lines of known energy that a total spectrum plainly shows, and how far the axis is off there.

The spectrum is laid on the energies with many trial offsets and gains, each time the best sum of
element patterns is fitted, and the trial that leaves least unexplained is kept: a pattern of
lines has only one place, where the nearest line to a peak may be a wrong one. Then each strong
line is shifted onto the fitted sum by itself, and a straight line through the shifts is what
the axis is off by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr

from .lines import FWHM_PER_SIGMA, NOISE_FWHM_KEV, detector_fwhm_kev, emission_lines

__all__ = ["LineMark", "find_marks", "straight_line"]

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
WEAKEST_MARK = 10.0
"""Standard errors by which a line's counts must exceed 0 to be a mark."""
PUREST_MARK = 0.8
"""Share of the fitted counts at a mark that must be its own: a neighbour's would shift it."""
HALF_WINDOW_FWHM = 1.2
FARTHEST_FWHM = 0.6
"""Shifts of a mark from the straight line that are followed, in widths of the line."""
HUBER_K = 1.345
"""Standard deviations from where on a mark counts less: where all errors are normal, the line is
as sure as from 95 % of the marks (Holland and Welsch 1977)."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal error whose median absolute value is 1."""
SYSTEMATIC_KEV = 0.005
"""Standard error of every mark beyond its counts: tables, chemistry, a peak's tail."""


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


def straight_line(marks: tuple[LineMark, ...]) -> tuple[FloatArray, FloatArray]:
    """Return offset (keV) and gain error through the marks' deviations, and their covariance.

    Least squares with Huber's weights (P. J. Huber, Ann. Math. Statist. 35 (1964) 73,
    https://doi.org/10.1214/aoms/1177703732), found by iteration (P. W. Holland and R. E. Welsch,
    Commun. Statist. A 6 (1977) 813, https://doi.org/10.1080/03610927708827533); a single mark
    gives the offset alone. The covariance grows with the scatter where that exceeds the standard
    errors.
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
            scale = max(1.0, MAD_TO_SIGMA * float(np.median(residuals)))
        weights = np.minimum(1.0, HUBER_K * scale / np.maximum(residuals, 1e-12))
    fit, covariance = np.zeros(2), np.zeros((2, 2))
    fit[:unknowns] = found
    covariance[:unknowns, :unknowns] = scale**2 * np.linalg.inv((basis.T * weights) @ basis)
    return fit, covariance


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


def find_marks(axis: FloatArray, counts: FloatArray) -> tuple[LineMark, ...]:
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
        (offset, gain), _ = straight_line(marks)
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
