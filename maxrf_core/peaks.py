"""Peaks of a scan's sum and maximum spectra, looked for with the detector's resolution.

The sum shows what is everywhere, the maximum over the spectra what is in a few places only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from .energy_axis import channel_width, checked_axis, checked_total
from .errors import ParameterError
from .lines import FWHM_PER_SIGMA
from .resolution import Resolution
from .smoothing import smooth_spectra
from .snip import SNIP_FWHM, snip

__all__ = ["SIGNIFICANT", "Peak", "Spectrum", "find_peaks_in"]

FloatArray = npt.NDArray[np.float64]

SIGNIFICANT = 5.0
"""Standard errors by which a peak of the sum exceeds the background, and curves downwards. A
spectrum has some 700 independent places: by chance one in 5000 spectra shows one peak more."""
SIGNIFICANT_MAX = 7.0
"""The same for the maximum, whose noise is not Poisson's but read off the spectrum itself."""
LEAST_SHARE, LEAST_SHARE_MAX = 0.02, 0.2
"""A peak is at least so high over SNIP's background: bends of the continuum are no peaks."""
FIRST_KEV = 0.95
"""Between the zero peak and here lie the detector's threshold and no line that comes through."""
ZERO_KEV = 0.2
"""The zero peak lies within it."""
SMOOTHING = 0.5
"""Sigma with which spectra are smoothed before SNIP, in the detector's own."""
REACH = 4.0
CURVATURE_TO_COUNTS = 0.761 * 2.0 * 2.0**0.5
"""Counts within half a width of a Gaussian line, over what `_curvature` gives at its top."""
MAD_TO_SIGMA = 1.4826
LOCAL_KEV = 4.0
"""Width over which the maximum spectrum's noise is read."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak of the sum spectrum, the maximum spectrum, or both.

    Attributes
    ----------
    energy_kev : float
        Where its top is.
    net_counts : float
        Counts above the background within half a width to either side, in the sum spectrum.
    significance : float
        `net_counts` over their standard error.
    max_significance : float
        The same in the maximum spectrum; 0 without one.
    in_sum, in_max : bool
        In which spectra it was found. In the maximum alone, it is in few places of the scan.
    """

    energy_kev: float
    net_counts: float
    significance: float
    max_significance: float
    in_sum: bool
    in_max: bool


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A spectrum above its background, with what both are worth.

    Attributes
    ----------
    axis, edges : (c,), (c + 1,) float64
        Energies of the channels' centres and borders in keV.
    counts, background, net : (c,) float64
        Counts, SNIP's background, and the difference.
    widths : (c,) float64
        FWHM of a line in keV at each channel.
    """

    axis: FloatArray
    edges: FloatArray
    counts: FloatArray
    background: FloatArray
    net: FloatArray
    widths: FloatArray

    @classmethod
    def above_background(
        cls, energies: npt.NDArray[np.floating], counts: npt.NDArray, resolution: Resolution
    ) -> Spectrum:
        """Return a spectrum with SNIP's background taken off.

        Raises
        ------
        ParameterError
            If the energies are no rising axis, or the counts are not finite, from 0, and one
            for each.
        """
        axis = checked_axis(energies)
        values = checked_total(counts, axis)
        step = channel_width(axis)
        edges = np.append(axis - 0.5 * step, axis[-1] + 0.5 * step)
        widths = resolution.fwhm_kev(axis)
        sigma = SMOOTHING * resolution.sigma_channels(axis)
        reach = np.maximum(SNIP_FWHM * widths / step, 1.0)
        background = snip(smooth_spectra(values, sigma), reach)
        seen = axis >= FIRST_KEV
        if seen.any():
            # SNIP wears down the step at the detector's threshold for a keV above it.
            mirrored = np.pad(values[seen], (int((~seen).sum()), 0), mode="symmetric")
            background = np.where(seen, snip(smooth_spectra(mirrored, sigma), reach), background)
        return cls(axis, edges, values, background, values - background, widths)

    def within(self, low: float, high: float) -> slice:
        """Return the channels with an energy in [low, high)."""
        return slice(*np.searchsorted(self.axis, (low, high)).tolist())

    def around(self, energy: float) -> slice:
        """Return the channels within half a width of an energy; one at least."""
        half = 0.5 * float(np.interp(energy, self.axis, self.widths))
        found = self.within(energy - half, energy + half)
        if found.stop > found.start:
            return found
        nearest = int(np.abs(self.axis - energy).argmin())
        return slice(nearest, nearest + 1)


def find_peaks_in(
    energies: npt.NDArray[np.floating],
    total_spectrum: npt.NDArray,
    max_spectrum: npt.NDArray | None,
    resolution: Resolution,
) -> tuple[Peak, ...]:
    """Return the peaks of a scan's sum and maximum spectra.

    A place is a peak if the spectrum curves downwards there, as the second derivative of a line
    of the detector's own width sees it (M. A. Mariscotti, Nucl. Instrum. Methods 50 (1967) 309,
    https://doi.org/10.1016/0029-554X(67)90058-4), and the counts stand above SNIP's background:
    both by `SIGNIFICANT` standard errors. Two lines of like height are told apart from about one
    width; nearer ones are one peak. For the maximum spectrum the noise is its own scatter.

    Parameters
    ----------
    energies : (c,) float
        Energies of the channels' centres in keV, evenly spaced, rising.
    total_spectrum : (c,) number
        Counts, the sum over the scan's spectra.
    max_spectrum : (c,) number or None
        The largest value of each channel over the scan's spectra, smoothed or not.
    resolution : Resolution
        The detector's, as `fit_resolution` finds it.

    Returns
    -------
    tuple of Peak
        By rising energy, from `FIRST_KEV`, and the zero peak.

    Raises
    ------
    ParameterError
        If the energies are no rising axis, or a spectrum is not one of counts along it.
    """
    total = Spectrum.above_background(energies, total_spectrum, resolution)
    curved, error = _curvature(total)
    tops = _tops(total, curved, curved / error, SIGNIFICANT)
    found = {place: _significance(total, place) for place in tops}
    sums = [
        place
        for place, (net, sure) in found.items()
        if sure >= SIGNIFICANT
        and min(net, float(np.interp(place, total.axis, curved)) * CURVATURE_TO_COUNTS)
        >= LEAST_SHARE * total.background[total.around(place)].sum()
    ]
    maxima: dict[float, float] = {}
    if max_spectrum is not None:
        maxima = _max_peaks(energies, max_spectrum, resolution)
    peaks = []
    for place in sums:
        half = 0.5 * float(np.interp(place, total.axis, total.widths))
        same = [at for at in maxima if abs(at - place) <= half]
        sure = max((maxima.pop(at) for at in same), default=0.0)
        peaks.append(Peak(place, *found[place], sure, in_sum=True, in_max=bool(same)))
    for place, sure in maxima.items():
        peaks.append(Peak(place, *_significance(total, place), sure, in_sum=False, in_max=True))
    return tuple(sorted(peaks, key=lambda peak: peak.energy_kev))


def _max_peaks(
    energies: npt.NDArray[np.floating], max_spectrum: npt.NDArray, resolution: Resolution
) -> dict[float, float]:
    """Return energy and significance of the peaks of a maximum spectrum."""
    values = np.asarray(max_spectrum, dtype=np.float64)
    if values.shape != np.shape(energies) or not (np.isfinite(values).all() and values.min() >= 0):
        raise ParameterError(
            f"the maximum spectrum has shape {values.shape}; expected finite counts from 0 for "
            f"each of the {len(energies)} channels."
        )
    spectrum = Spectrum.above_background(energies, values, resolution)
    # Poisson's scatter, of extremes as well, is even in the square root.
    rooted = Spectrum.above_background(energies, np.sqrt(values), resolution)
    curved, _ = _curvature(rooted)
    seen = rooted.axis > FIRST_KEV
    noise = _scatter(curved, seen, max(int(LOCAL_KEV / channel_width(rooted.axis)), 16))
    tops = _tops(rooted, curved, curved / noise, SIGNIFICANT_MAX)
    found = {}
    for place in tops:
        here = spectrum.around(place)
        if spectrum.net[here].sum() >= LEAST_SHARE_MAX * spectrum.background[here].sum():
            found[place] = float(np.interp(place, rooted.axis, curved / noise))
    return found


def _scatter(values: FloatArray, seen: npt.NDArray[np.bool_], reach: int) -> FloatArray:
    """Return the standard deviation (c,) of values as their median distance from 0 gives it.

    The larger of the whole spectrum's and that of the channels around.
    """
    if not seen.any():
        return np.full(values.size, np.inf)
    sizes = np.abs(values)
    whole = np.median(sizes[seen])
    padded = np.pad(sizes, reach, mode="reflect") if reach < sizes.size else sizes
    middles = np.arange(0, values.size, max(reach // 4, 1))
    local = [np.median(padded[middle : middle + 2 * reach + 1]) for middle in middles]
    noise = np.maximum(np.interp(np.arange(values.size), middles, local), whole)
    return MAD_TO_SIGMA * np.maximum(noise, 1e-12)


def _curvature(spectrum: Spectrum) -> tuple[FloatArray, FloatArray]:
    """Return how much the counts curve downwards at each channel, and Poisson's error of it.

    The counts under the negative second derivative of a Gaussian of the detector's width, which
    sums to 0: a constant or sloping background has no part in it.
    """
    step = channel_width(spectrum.axis)
    sigma = np.maximum(spectrum.widths / (FWHM_PER_SIGMA * step), 1.0)
    reach = int(np.ceil(REACH * sigma.max()))
    places = np.arange(-reach, reach + 1) / sigma[:, None]
    inside = np.abs(places) <= REACH
    bell = np.where(inside, np.exp(-0.5 * places**2), 0.0)
    weights = (1.0 - places**2) * bell
    weights -= bell * (weights.sum(axis=1) / bell.sum(axis=1))[:, None]
    windows = sliding_window_view(np.pad(spectrum.counts, reach, mode="edge"), 2 * reach + 1)
    curved = np.einsum("jk,jk->j", weights, windows)
    variance = np.einsum("jk,jk->j", weights**2, windows)
    least = (weights**2).sum(axis=1) / (2 * reach + 1)  # one count in the window
    return curved, np.sqrt(np.maximum(variance, least))


def _tops(
    spectrum: Spectrum, curved: FloatArray, significance: FloatArray, least: float
) -> list[float]:
    """Return the energies where the curvature has its significant tops."""
    middle = curved[1:-1]
    is_top = (middle > curved[:-2]) & (middle >= curved[2:]) & (significance[1:-1] >= least)
    step = channel_width(spectrum.axis)
    found = []
    for top in np.flatnonzero(is_top) + 1:
        left, here, right = curved[top - 1 : top + 2]
        place = float(spectrum.axis[top] + 0.5 * step * (left - right) / (left - 2 * here + right))
        if place > FIRST_KEV or abs(place) < ZERO_KEV:
            found.append(place)
    return found


def _significance(spectrum: Spectrum, place: float) -> tuple[float, float]:
    """Return the net counts within half a width of a place, and those over their error."""
    here = spectrum.around(place)
    net = float(spectrum.net[here].sum())
    error = np.sqrt(max(spectrum.counts[here].sum() + spectrum.background[here].sum(), 1.0))
    return net, float(net / error)
