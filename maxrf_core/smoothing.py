"""Gaussian smoothing of spectra along channels: the operator G of the design.

MA-XRF spectra are nearly empty: some 450 of 4096 channels hold a count. Scattering only
those counts into the Gaussian costs a fraction of a full convolution and gives the same
numbers as `scipy.ndimage.gaussian_filter1d`. Sigma may differ from channel to channel, as the
detector's resolution does: then each count is scattered with the Gaussian of its own channel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .counts import SparseCounts, sift_counts
from .kernels import (
    MAX_SIGMA,
    TRUNCATE,
    Sigma,
    check_sigma,
    gaussian_kernel,
    kernels_of,
    sigma_to_fwhm,
)

__all__ = [
    "MAX_SIGMA",
    "TRUNCATE",
    "Sigma",
    "check_sigma",
    "gaussian_kernel",
    "sigma_to_fwhm",
    "smooth_sparse",
    "smooth_spectra",
    "smooth_window",
]

_AT_ONCE = 1024  # spectra smoothed at once: bounds what is sifted of them
_FASTMATH = {"contract", "reassoc", "nsz"}  # NaN and infinity keep their meaning


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


@compiled(fastmath=_FASTMATH)
def _add_own_peak(padded, j, count, weights, start, size):  # noqa: ANN001, ANN202
    for k in range(size):
        padded[j + k] += count * weights[start + k]


@compiled()
def _smooth_each(starts, channels, counts, own, radii, weights, widest, out, highest):  # noqa: ANN001, ANN202
    """Smooth as `_smooth` does, each count with the kernel of its own channel."""
    c = len(highest)
    padded = np.zeros(c + 2 * widest)
    smoothed = padded[widest : widest + c]
    for i in range(len(starts) - 1):
        for p in range(starts[i], starts[i + 1]):
            j = np.int64(channels[p])
            radius = radii[j]
            first = widest + j - radius
            count = np.float64(counts[p])
            _add_own_peak(padded, first, count, weights, own[j], 2 * radius + 1)
        _fold(padded, widest, c)
        _raise(highest, smoothed)
        if len(out) > 0:
            _round(smoothed, out[i])
        padded[:] = 0.0


@compiled(fastmath=_FASTMATH)
def _gather(padded, kernel_starts, radii, weights, widest, out):  # noqa: ANN001, ANN202
    """Sum what each channel's kernel sees: the adjoint of scattering."""
    for j in range(len(out)):
        first, start = widest + j - radii[j], kernel_starts[j]
        total = 0.0
        for k in range(2 * radii[j] + 1):
            total += weights[start + k] * padded[first + k]
        out[j] = total


def _smooth_any(
    sparse: SparseCounts, sigma: Sigma, out: npt.NDArray, highest: npt.NDArray[np.float32]
) -> None:
    """Smooth sparse spectra with a checked sigma into `out`, and raise `highest`."""
    entries = sparse.starts, sparse.channels, sparse.counts
    if isinstance(sigma, np.ndarray):
        own = kernels_of(sigma)
        _smooth_each(*entries, own.starts, own.radii, own.weights, own.widest, out, highest)
    else:
        _smooth(*entries, gaussian_kernel(sigma), out, highest)


def smooth_sparse(
    sparse: SparseCounts, sigma: Sigma, highest: npt.NDArray[np.float32], *, keep: bool = True
) -> npt.NDArray[np.float32]:
    """Smooth sparse spectra as `smooth_spectra` does, and raise their maximum.

    Parameters
    ----------
    sparse : SparseCounts
        k spectra of c channels.
    sigma : float or (c,) float
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
    sigma = check_sigma(sigma, n_channels=sparse.n_channels)
    out = np.empty((len(sparse) if keep else 0, sparse.n_channels), dtype=np.float32)
    _smooth_any(sparse, sigma, out, highest)
    return out


def smooth_spectra(spectra: npt.NDArray, sigma: Sigma) -> npt.NDArray[np.floating]:
    """Smooth spectra with a Gaussian along channels.

    With one sigma equal, within float32 rounding, to
    ``scipy.ndimage.gaussian_filter1d(spectra, sigma, axis=-1, mode="reflect", truncate=4)``
    and faster by the share of empty channels. With a sigma for each channel, each count is
    scattered with the Gaussian of the channel it lies in: S G with a banded G whose row j is
    the kernel of channel j. Counts are summed in float64 and rounded once.

    Parameters
    ----------
    spectra : (..., c) array of counts, or float32 or float64
        Spectra with the channels last. A spectrum that is NaN stays NaN.
    sigma : float or (c,) float
        Standard deviation of the Gaussian in channels: one, or that of each channel. With 0,
        or nothing but zeros, the spectra come back untouched, in their own dtype.

    Returns
    -------
    smoothed : (..., c) float32 (float64 for float64 input)
        The smoothed spectra: the same total counts as before.

    Raises
    ------
    ParameterError
        If `sigma` is not between 0 and `MAX_SIGMA`, or not one number or c of them.
    """
    spectra = np.asarray(spectra)
    sigma = check_sigma(sigma, n_channels=spectra.shape[-1])
    if not np.any(sigma):
        return spectra.copy()
    native = spectra.dtype.newbyteorder("=")
    dtype = np.float64 if native == np.float64 else np.float32
    flat = spectra.astype(native, copy=False).reshape(-1, spectra.shape[-1])
    smoothed = np.empty(flat.shape, dtype=dtype)
    highest = np.zeros(flat.shape[1], dtype=np.float32)
    for start in range(0, len(flat), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        _smooth_any(sift_counts(flat[part]), sigma, smoothed[part], highest)
    return smoothed.reshape(spectra.shape)


def smooth_window(window: npt.NDArray[np.floating], sigma: Sigma) -> npt.NDArray[np.float64]:
    """Return the window that, laid over raw counts, sums what `window` sums after smoothing.

    (S G) b = S (G b): a map from smoothed spectra needs one smoothed window instead of n
    smoothed spectra. With one sigma G is symmetric under the ``reflect`` boundary, and G b is
    the smoothed window. With a sigma for each channel it is not: then the weight of channel j
    is the sum of `window` under the kernel of channel j.

    Parameters
    ----------
    window : (c,) float
        Weight of each channel.
    sigma : float or (c,) float
        Standard deviation of the Gaussian in channels: one, or that of each channel.

    Returns
    -------
    weights : (c,) float64

    Raises
    ------
    ParameterError
        If `sigma` is not between 0 and `MAX_SIGMA`, or not one number or c of them.
    """
    window = np.asarray(window, dtype=np.float64)
    sigma = check_sigma(sigma, n_channels=window.shape[-1])
    if isinstance(sigma, np.ndarray):
        own = kernels_of(sigma)
        weights = np.empty(len(window))
        padded = np.pad(window, own.widest, mode="symmetric")
        _gather(padded, own.starts, own.radii, own.weights, own.widest, weights)
    else:
        weights = smooth_spectra(window, sigma)
    # Away from the ends of an energy window the weight is 1 but for rounding, and a run of
    # ones is read from the cumulative counts.
    weights[np.abs(weights - 1.0) < 1e-12] = 1.0
    return weights
