"""The detector's resolution, fitted to the peaks of a scan's own total spectrum.

``FWHM^2 = noise^2 + 2.355^2 F eps E``: the electronics' noise, and the statistics of the
charge that a photon of energy E sets free, with the Fano factor F and eps per pair of charges
(G. F. Knoll, Radiation Detection and Measurement, 4th ed. (2010), chapters 11 and 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares
from scipy.signal import find_peaks
from scipy.special import ndtr

from .energy_axis import channel_width, checked_axis
from .errors import ParameterError
from .lines import FWHM_PER_SIGMA, SILICON_FANO, SILICON_PAIR_EV
from .smoothing import check_sigma, smooth_spectra

__all__ = ["REFERENCE_KEV", "Resolution", "ResolutionPeak", "fit_resolution"]

FloatArray = npt.NDArray[np.float64]

REFERENCE_KEV = 5.895
"""K-alpha of manganese, where resolutions are quoted (ISO 15632)."""
TYPICAL_FWHM_EV = 145.0
"""Of a silicon drift detector at `REFERENCE_KEV`, between 125 eV at long and 165 eV at short
shaping times: the fallback, and what peaks are looked for with."""
EV2_PER_KEV_FANO = FWHM_PER_SIGMA**2 * SILICON_PAIR_EV * 1000.0
"""Square of FWHM in eV, for each keV and Fano factor 1."""

ZERO_PEAK_KEV = 0.1
"""A peak so near to 0 keV is the electronics' own: its width is the noise."""
FANO_RANGE = (0.08, 0.2)
"""Fitted values outside are no silicon's (0.115, or 0.13 with some charge lost)."""
WIDTH_RANGE = 2.0
"""A peak is between half and twice as wide as is typical."""

_FWHM_TO_AREA = np.sqrt(2.0 * np.pi) / FWHM_PER_SIGMA  # of a Gaussian of height 1
_WINDOW, _SHORTEST = 1.4, 0.8  # of FWHM, to each side of a peak: fitted, and at least
_CLEAR = 1.2  # of FWHM, kept clear around a neighbour
_PROMINENCE = 6.0  # standard deviations of the square root of the smoothed spectrum
_LARGEST_ERROR = 0.15  # of FWHM: peaks known worse are not used
_OTHER_ERRORS = 0.01  # of FWHM: tails, faint neighbours
_CURVATURE_ERROR = 0.02  # of FWHM, where the background is as high as the peak on it
_FAINTEST = 0.3  # height of a peak over its background
_INLIER = 3.0  # standard errors: farther off, a peak is none of a single line
_FEWEST, _NARROWEST_SPAN_KEV = 3, 2.0
_WORST_REFERENCE = 0.05  # relative error of FWHM at the reference


@dataclass(frozen=True, slots=True)
class ResolutionPeak:
    """One peak of the total spectrum.

    Attributes
    ----------
    energy_kev : float
        Its centre as fitted.
    fwhm_ev : float
        Its full width at half maximum, without what K-alpha 1 and 2 lie apart.
    error_ev : float
        Standard error of the width: statistics, 1 % and more over a high background for what
        a straight background and one Gaussian leave out, and half the doublet's part.
    is_used : bool
        Whether the fit of the resolution uses it. Others are wider than the resolution:
        overlapping lines, Compton scatter, L lines.
    """

    energy_kev: float
    fwhm_ev: float
    error_ev: float
    is_used: bool


@dataclass(frozen=True, eq=False)
class Resolution:
    """The width of a line as a function of its energy.

    Attributes
    ----------
    noise_ev : float
        FWHM of the electronic noise, in eV.
    fano : float
        Fano factor; it takes in whatever else broadens in proportion to sqrt(E).
    noise_error_ev, fano_error : float
        Standard errors; infinite when not fitted.
    peaks : tuple of ResolutionPeak
        The peaks found, by rising energy.
    is_fitted : bool
        Whether these are the scan's own figures. If not, too few peaks agreed, and they are
        those of a typical silicon drift detector, 145 eV at 5.895 keV.
    """

    noise_ev: float
    fano: float
    noise_error_ev: float
    fano_error: float
    peaks: tuple[ResolutionPeak, ...]
    is_fitted: bool

    def fwhm_kev(self, energy_kev: npt.ArrayLike) -> FloatArray:
        """Return the full width at half maximum in keV of lines at energies in keV.

        Below zero the energy counts as zero.
        """
        energy = np.maximum(np.asarray(energy_kev, dtype=np.float64), 0.0)
        return np.sqrt(self.noise_ev**2 + EV2_PER_KEV_FANO * self.fano * energy) / 1000.0

    def sigma_channels(
        self,
        energies: npt.NDArray[np.floating],
        *,
        sigma: float | None = None,
        reference_kev: float = REFERENCE_KEV,
    ) -> FloatArray:
        """Return a sigma for each channel that follows the resolution.

        Parameters
        ----------
        energies : (c,) float
            Energies of the channels' centres in keV, evenly spaced, rising.
        sigma : float, optional
            Sigma in channels at `reference_kev`, which scales all others; by default the
            detector's own. With 1 the array is the shape that `suggest_sigma` takes.
        reference_kev : float, optional
            Where sigma is as given, by default at manganese's K-alpha.

        Returns
        -------
        widths : (c,) float64
            Standard deviations in channels, as `smooth_spectra` and `smooth_window` take them.

        Raises
        ------
        ParameterError
            If the energies are no rising axis, or a width is beyond what can be smoothed with.
        """
        axis = checked_axis(energies)
        step = channel_width(axis)
        widths = self.fwhm_kev(axis)
        if sigma is None:
            widths = widths / (FWHM_PER_SIGMA * step)
        else:
            widths = check_sigma(sigma) * widths / self.fwhm_kev(reference_kev)
        return np.asarray(check_sigma(widths, n_channels=axis.size))


def fit_resolution(energies: npt.NDArray[np.floating], total_spectrum: npt.NDArray) -> Resolution:
    """Fit the detector's resolution to the peaks of a scan's total spectrum.

    Peaks are looked for in the square root of the spectrum, where the noise is even, and those
    that stand free are fitted with a Gaussian on a straight background. What lies near 0 keV
    is the zero peak and gives the noise itself. Then the line FWHM^2 against E is drawn that
    most peaks agree with, where a peak above it costs less than one below: lines that overlap,
    Compton scatter and doublets are wider than the resolution, nothing is narrower. The distance
    of K-alpha 1 and 2, as of the K lines of that energy, is taken off first.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels' centres in keV, evenly spaced, rising.
    total_spectrum : (c,) numbers
        Counts, the sum over the scan's spectra.

    Returns
    -------
    resolution : Resolution
        With ``is_fitted=False``, and typical figures, where fewer than three peaks over 2 keV
        agree.

    Raises
    ------
    ParameterError
        If the energies are no rising axis, or the spectrum is not one of counts along it.

    Notes
    -----
    Energy in silicon: 3.65 eV a pair (Knoll 2010). It takes some 10 to 100 ms.
    """
    axis = checked_axis(energies)
    step = channel_width(axis)
    total = np.asarray(total_spectrum)
    if total.shape != axis.shape or total.dtype.kind not in "uif":
        raise ParameterError(
            f"total_spectrum is an array of {total.dtype} of shape {total.shape}; expected the "
            f"counts of {axis.size} channels."
        )
    total = total.astype(np.float64)
    if not (np.isfinite(total).all() and (total >= 0).all()):
        raise ParameterError("total_spectrum holds values that are no counts; expected 0 or more.")
    found = _fit_peaks(axis, step, total)
    if len(found) >= _FEWEST:
        fitted = _fit_line(np.array(found))
        if fitted is not None:
            return fitted
    return _typical(tuple(ResolutionPeak(*peak, is_used=False) for peak in found))


def _typical(peaks: tuple[ResolutionPeak, ...] = ()) -> Resolution:
    """Return the resolution of a typical silicon drift detector."""
    noise = np.sqrt(TYPICAL_FWHM_EV**2 - EV2_PER_KEV_FANO * SILICON_FANO * REFERENCE_KEV)
    return Resolution(float(noise), SILICON_FANO, np.inf, np.inf, peaks, is_fitted=False)


@lru_cache(maxsize=1)
def _doublets() -> tuple[FloatArray, FloatArray]:
    """Return K-alpha's energy in keV and its variance in eV^2, aluminium to neodymium.

    K-alpha 1 and 2 from the tables of Elam, Ravel and Sieber (2002), as xraydb has them.
    """
    import xraydb

    energy, variance = [], []
    for number in range(13, 61):
        lines = xraydb.xray_lines(number)
        first, second = lines["Ka1"], lines["Ka2"]
        share = first.intensity / (first.intensity + second.intensity)
        energy.append((share * first.energy + (1.0 - share) * second.energy) / 1000.0)
        variance.append(share * (1.0 - share) * (first.energy - second.energy) ** 2)
    return np.array(energy), np.array(variance)


def _fit_peaks(axis: FloatArray, step: float, total: FloatArray) -> list[tuple[float, ...]]:
    """Return energy in keV, FWHM and its error in eV of the peaks that stand free."""
    typical = _typical()
    narrow = 0.4 * typical.sigma_channels(axis)
    smooth = smooth_spectra(total, narrow)
    # The square root of a Poisson number has variance 1/4; a Gaussian of sigma channels
    # averages 2 sqrt(pi) sigma of them.
    noise = 0.5 / np.sqrt(np.maximum(2.0 * np.sqrt(np.pi) * narrow, 1.0))
    tops, _ = find_peaks(np.sqrt(smooth) / noise, prominence=_PROMINENCE)
    fwhm = typical.fwhm_kev(axis[tops])
    found = []
    for number, (top, width) in enumerate(zip(tops, fwhm, strict=True)):
        below = axis[tops[number - 1]] if number > 0 else -np.inf
        above = axis[tops[number + 1]] if number + 1 < len(tops) else np.inf
        low = min(_WINDOW, (axis[top] - below) / width - _CLEAR)
        high = min(_WINDOW, (above - axis[top]) / width - _CLEAR)
        ends = axis[top] - low * width, axis[top] + high * width
        if min(low, high) < _SHORTEST or ends[0] < axis[0] or ends[1] > axis[-1]:
            continue
        window = slice(*np.searchsorted(axis, ends))
        peak = _fit_peak(axis[window], step, total[window], smooth[window], axis[top], width)
        if peak is not None:
            found.append(peak)
    return found


def _fit_peak(
    axis: FloatArray, step: float, counts: FloatArray, smooth: FloatArray, top: float, width: float
) -> tuple[float, float, float] | None:
    """Return energy (keV), FWHM and error (eV) of a Gaussian on a straight background."""
    if axis.size <= 5:  # as many channels as parameters
        return None
    place = (axis - top) / width
    edges = np.append(place - 0.5 * step / width, place[-1] + 0.5 * step / width)
    weight = 1.0 / np.sqrt(np.maximum(smooth, 1.0))
    level = min(counts[:3].mean(), counts[-3:].mean())
    start = np.array([max(counts.sum() - level * counts.size, 1.0), 0.0, 1.0, level, 0.0])
    scale = np.array([start[0], 1.0, 1.0, max(level, 1.0), max(level, 1.0)])

    def misfit(values: FloatArray) -> FloatArray:
        area, centre, fwhm, base, slope = values * scale
        shares = np.diff(ndtr((edges - centre) * (FWHM_PER_SIGMA / fwhm)))
        return (area * shares + base + slope * place - counts) * weight

    limits = (
        [0, -0.4, 1 / WIDTH_RANGE, -np.inf, -np.inf],
        [np.inf, 0.4, WIDTH_RANGE] + 2 * [np.inf],
    )
    result = least_squares(misfit, start / scale, bounds=limits)
    if not result.success or result.active_mask.any():
        return None
    information = result.jac.T @ result.jac
    if np.linalg.cond(information) > 1e14:
        return None
    area, centre, fwhm, base, slope = result.x * scale
    height = area * (step / width) / (fwhm * _FWHM_TO_AREA)
    background = max(base + slope * centre, 0.0)
    if height < _FAINTEST * background:
        return None
    spread = max(2.0 * result.cost / (axis.size - start.size), 1.0)
    error = np.sqrt(np.linalg.inv(information)[2, 2] * spread)
    energy = top + centre * width
    is_zero = abs(energy) < ZERO_PEAK_KEV
    apart = 0.0 if is_zero else FWHM_PER_SIGMA**2 * np.interp(energy, *_doublets(), left=0.0)
    squared = (1000.0 * fwhm * width) ** 2 - apart
    if error > _LARGEST_ERROR * fwhm or squared <= 0.0:
        return None
    others = fwhm * np.hypot(_OTHER_ERRORS, _CURVATURE_ERROR * background / height)
    # Half of what was taken off: the line may be no K-alpha, but K-beta or an L line.
    total_error = np.hypot(
        1000.0 * width * np.hypot(error, others), 0.25 * apart / np.sqrt(squared)
    )
    return float(energy), float(np.sqrt(squared)), float(total_error)


def _fit_line(peaks: FloatArray) -> Resolution | None:
    """Return the resolution that most of the peaks (p, 3) agree with, if enough do."""
    energy = np.where(np.abs(peaks[:, 0]) < ZERO_PEAK_KEV, 0.0, peaks[:, 0])
    is_zero = energy == 0.0  # measures the noise itself: the line must pass there
    squared, error = peaks[:, 1] ** 2, 2.0 * peaks[:, 1] * peaks[:, 2]
    least, most = EV2_PER_KEV_FANO * np.array(FANO_RANGE)

    best, used = np.inf, np.zeros(len(peaks), dtype=bool)
    for i, j in combinations(range(len(peaks)), 2):
        if abs(energy[j] - energy[i]) < 0.5 or (is_zero.any() and not is_zero[[i, j]].any()):
            continue
        slope = (squared[j] - squared[i]) / (energy[j] - energy[i])
        if not (least <= slope <= most and squared[i] - slope * energy[i] >= 0.0):
            continue
        off = (squared - squared[i] - slope * (energy - energy[i])) / error
        cost = np.minimum(off**2, _INLIER**2).sum()
        if cost < best:
            best, used = cost, (np.abs(off) < _INLIER) | is_zero
    for _ in range(10):
        if used.sum() < _FEWEST or np.ptp(energy[used]) < _NARROWEST_SPAN_KEV:
            return None
        design = np.column_stack([np.ones(used.sum()), energy[used]]) / error[used, None]
        covariance = np.linalg.inv(design.T @ design)
        noise2, slope = covariance @ design.T @ (squared[used] / error[used])
        off = (squared - noise2 - slope * energy) / error
        before, used = used, (np.abs(off) < _INLIER) | is_zero
        if (used == before).all():
            break
    covariance *= max((off[before] ** 2).sum() / max(before.sum() - 2, 1), 1.0)
    at_reference = np.array([1.0, REFERENCE_KEV])
    fwhm2 = noise2 + slope * REFERENCE_KEV
    worst = _WORST_REFERENCE * 2.0 * fwhm2
    if not (least <= slope <= most and noise2 > 0.0):
        return None
    if np.sqrt(at_reference @ covariance @ at_reference) > worst:
        return None
    noise = float(np.sqrt(noise2))
    return Resolution(
        noise_ev=noise,
        fano=float(slope / EV2_PER_KEV_FANO),
        noise_error_ev=float(np.sqrt(covariance[0, 0]) / (2.0 * noise)),
        fano_error=float(np.sqrt(covariance[1, 1]) / EV2_PER_KEV_FANO),
        peaks=tuple(
            ResolutionPeak(*map(float, peak), is_used=bool(good))
            for peak, good in zip(peaks, before, strict=True)
        ),
        is_fitted=True,
    )
