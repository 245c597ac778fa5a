"""Gaussian smoothing of spectra along channels: the operator G of the design.

MA-XRF spectra are nearly empty: some 450 of 4096 channels hold a count. Scattering only
those counts into the Gaussian costs a fraction of a full convolution and gives the same
numbers as `scipy.ndimage.gaussian_filter1d`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .counts import SparseCounts, sift_counts
from .errors import ParameterError

__all__ = [
    "TRUNCATE",
    "gaussian_kernel",
    "sigma_to_fwhm",
    "smooth_sparse",
    "smooth_spectra",
    "smooth_window",
]

TRUNCATE = 4.0
"""Half width of the kernel in sigmas: the default of `scipy.ndimage.gaussian_filter1d`."""

MAX_SIGMA = 1000.0
"""Widest smoothing accepted, in channels: beyond it nothing of a spectrum is left."""

_AT_ONCE = 1024  # spectra smoothed at once: bounds what is sifted of them
_FASTMATH = {"contract", "reassoc", "nsz"}  # NaN and infinity keep their meaning

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def sigma_to_fwhm(sigma: float) -> float:
    """Return the full width at half maximum of a Gaussian, in the unit of `sigma`.

    FWHM = 2 sqrt(2 ln 2) sigma, about 2.355 sigma.
    """
    return float(_FWHM_PER_SIGMA * sigma)


def check_sigma(sigma: float) -> float:
    """Return `sigma` as a float when it is a width that can be smoothed with.

    Raises
    ------
    ParameterError
        If `sigma` is not a number between 0 and `MAX_SIGMA`.
    """
    try:
        value = float(sigma)
    except (TypeError, ValueError):
        value = np.nan
    if not 0.0 <= value <= MAX_SIGMA:
        msg = f"sigma is {sigma!r}; expected a number of channels from 0 (off) to {MAX_SIGMA:g}."
        raise ParameterError(msg)
    return value


def gaussian_kernel(sigma: float) -> npt.NDArray[np.float64]:
    """Return the normalised Gaussian that `scipy.ndimage.gaussian_filter1d` uses.

    Parameters
    ----------
    sigma : float
        Standard deviation in channels; 0 gives the identity, ``[1.0]``.

    Returns
    -------
    kernel : (2 * int(4 * sigma + 0.5) + 1,) float64
        Symmetric weights, summing to 1.

    Raises
    ------
    ParameterError
        If `sigma` is not between 0 and `MAX_SIGMA`.
    """
    sigma = check_sigma(sigma)
    radius = int(TRUNCATE * sigma + 0.5)
    if radius == 0:
        return np.ones(1)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    return weights / weights.sum()


@compiled(fastmath=_FASTMATH)
def _add_peak(padded, j, count, kernel):  # noqa: ANN001, ANN202 - numba infers the types
    for k in range(len(kernel)):
        padded[j + k] += count * kernel[k]


@compiled()
def _fold(padded, radius, c):  # noqa: ANN001, ANN202
    """Add what fell off the ends back in ("reflect": d c b a | a b c d | d c b a)."""
    for j in range(radius):
        left = (radius - 1 - j) % (2 * c)
        if left >= c:
            left = 2 * c - 1 - left
        padded[radius + left] += padded[j]
        right = (c + j) % (2 * c)
        if right >= c:
            right = 2 * c - 1 - right
        padded[radius + right] += padded[radius + c + j]


@compiled()
def _raise(highest, values):  # noqa: ANN001, ANN202 - a function of its own is vectorised
    for j in range(len(highest)):
        value = np.float32(values[j])
        highest[j] = max(highest[j], value)


@compiled()
def _round(values, out):  # noqa: ANN001, ANN202
    for j in range(len(out)):
        out[j] = values[j]


@compiled()
def _smooth(starts, channels, counts, kernel, out, highest):  # noqa: ANN001, ANN202
    c = len(highest)
    radius = len(kernel) // 2
    padded = np.zeros(c + 2 * radius)
    smoothed = padded[radius : radius + c]
    for i in range(len(starts) - 1):
        # A processor stalls when it reads what it is still writing, and peaks of neighbouring
        # channels overlap: so one of the lower half of entries, then one of the upper.
        first, last = starts[i], starts[i + 1]
        half = (last - first) // 2
        for p in range(first, first + half):
            _add_peak(padded, channels[p], np.float64(counts[p]), kernel)
            _add_peak(padded, channels[p + half], np.float64(counts[p + half]), kernel)
        if first + 2 * half < last:
            _add_peak(padded, channels[last - 1], np.float64(counts[last - 1]), kernel)
        _fold(padded, radius, c)
        _raise(highest, smoothed)
        if len(out) > 0:
            _round(smoothed, out[i])
        padded[:] = 0.0


def smooth_sparse(
    sparse: SparseCounts, sigma: float, highest: npt.NDArray[np.float32], *, keep: bool = True
) -> npt.NDArray[np.float32]:
    """Smooth sparse spectra as `smooth_spectra` does, and raise their maximum.

    Parameters
    ----------
    sparse : SparseCounts
        k spectra of c channels.
    sigma : float
        Standard deviation of the Gaussian in channels.
    highest : (c,) float32
        Maximum over smoothed spectra; raised.
    keep : bool
        Whether the smoothed spectra are wanted, or only their maximum: without them each
        stays in the processor's cache.

    Returns
    -------
    smoothed : (k, c) float32, or (0, c) when not kept
    """
    out = np.empty((len(sparse) if keep else 0, sparse.n_channels), dtype=np.float32)
    kernel = gaussian_kernel(sigma)
    _smooth(sparse.starts, sparse.channels, sparse.counts, kernel, out, highest)
    return out


def smooth_spectra(spectra: npt.NDArray, sigma: float) -> npt.NDArray[np.floating]:
    """Smooth spectra with a Gaussian along channels.

    Equal, within float32 rounding, to ``scipy.ndimage.gaussian_filter1d(spectra, sigma,
    axis=-1, mode="reflect", truncate=4)`` and faster by the share of empty channels.
    Counts are summed in float64 and rounded once.

    Parameters
    ----------
    spectra : (..., c) array of counts, or float32 or float64
        Spectra with the channels last. A spectrum that is NaN stays NaN.
    sigma : float
        Standard deviation of the Gaussian in channels. With 0 the spectra come back
        untouched, in their own dtype.

    Returns
    -------
    smoothed : (..., c) float32 (float64 for float64 input)
        The smoothed spectra: the same total counts as before.

    Raises
    ------
    ParameterError
        If `sigma` is not between 0 and `MAX_SIGMA`.
    """
    spectra = np.asarray(spectra)
    kernel = gaussian_kernel(sigma)
    if sigma == 0:
        return spectra.copy()
    native = spectra.dtype.newbyteorder("=")
    dtype = np.float64 if native == np.float64 else np.float32
    flat = spectra.astype(native, copy=False).reshape(-1, spectra.shape[-1])
    smoothed = np.empty(flat.shape, dtype=dtype)
    highest = np.zeros(flat.shape[1], dtype=np.float32)
    for start in range(0, len(flat), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        sparse = sift_counts(flat[part])
        _smooth(sparse.starts, sparse.channels, sparse.counts, kernel, smoothed[part], highest)
    return smoothed.reshape(spectra.shape)


def smooth_window(window: npt.NDArray[np.floating], sigma: float) -> npt.NDArray[np.float64]:
    """Return the window that, laid over raw counts, sums what `window` sums after smoothing.

    G is symmetric under the ``reflect`` boundary, so (S G) b = S (G b): a map from smoothed
    spectra needs one smoothed window instead of n smoothed spectra.

    Parameters
    ----------
    window : (c,) float
        Weight of each channel.
    sigma : float
        Standard deviation of the Gaussian in channels.

    Returns
    -------
    weights : (c,) float64
    """
    weights = smooth_spectra(np.asarray(window, dtype=np.float64), sigma)
    # Away from the ends of an energy window the weight is 1 but for rounding, and a run of
    # ones is read from the cumulative counts.
    weights[np.abs(weights - 1.0) < 1e-12] = 1.0
    return weights
