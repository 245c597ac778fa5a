"""Gaussian kernels over channels: how wide they may be, and what a channel's weights are.

A kernel is cut off at four sigmas and sums to 1, as that of `scipy.ndimage.gaussian_filter1d`.
One sigma makes one kernel; a sigma for each channel makes a table of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import RLock
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache, cached

from .compiled import compiled
from .errors import ParameterError

__all__ = [
    "MAX_SIGMA",
    "TRUNCATE",
    "Kernels",
    "Sigma",
    "check_sigma",
    "gaussian_kernel",
    "kernel_radius",
    "kernels_of",
    "sigma_to_fwhm",
]

Sigma: TypeAlias = float | npt.NDArray[np.floating]
"""Standard deviation in channels: of all channels, or (c,) of each channel that counts lie in."""

TRUNCATE = 4.0
"""Half width of the kernel in sigmas: the default of `scipy.ndimage.gaussian_filter1d`."""

MAX_SIGMA = 1000.0
"""Widest smoothing accepted, in channels: beyond it nothing of a spectrum is left."""

_EXPECTED = f"a number of channels from 0 (off) to {MAX_SIGMA:g}"
_TABLES_BYTES = 2**26  # of kernel tables kept: one is some 2 MB for 4096 channels

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def sigma_to_fwhm(sigma: float) -> float:
    """Return the full width at half maximum of a Gaussian, in the unit of `sigma`.

    FWHM = 2 sqrt(2 ln 2) sigma, about 2.355 sigma.
    """
    return float(_FWHM_PER_SIGMA * sigma)


def check_sigma(sigma: Sigma, *, n_channels: int | None = None) -> Sigma:
    """Return `sigma` when it is a width, or one for each channel, that can be smoothed with.

    Parameters
    ----------
    sigma : float or (c,) array
        Standard deviation in channels. Only a numpy array counts as one for each channel.
    n_channels : int, optional
        Channels that an array must have.

    Returns
    -------
    sigma : float or (c,) float64
        The same widths; an array of the caller's own is not copied when it is float64.

    Raises
    ------
    ParameterError
        If `sigma` is neither a number between 0 and `MAX_SIGMA` nor an array of such numbers,
        one for each channel.
    """
    if isinstance(sigma, np.ndarray) and sigma.ndim > 0:
        return _check_widths(sigma, n_channels)
    try:
        value = float(sigma)
    except (TypeError, ValueError):
        value = np.nan
    if not 0.0 <= value <= MAX_SIGMA:
        msg = f"sigma is {sigma!r}; expected {_EXPECTED}, or an array of one for each channel."
        raise ParameterError(msg)
    return value


def kernel_radius(sigma: Sigma) -> int:
    """Return how many channels beyond its own a count reaches at most."""
    return int(TRUNCATE * float(np.max(sigma)) + 0.5)


def _check_widths(sigma: npt.NDArray, n_channels: int | None) -> npt.NDArray[np.float64]:
    """Return an array of widths, one a channel, as float64."""
    size = "the channels" if n_channels is None else f"the {n_channels} channels"
    if sigma.ndim != 1 or sigma.size == 0 or n_channels not in (None, sigma.size):
        msg = (
            f"sigma is an array of shape {sigma.shape}; expected {_EXPECTED}, or one for each of "
            f"{size}."
        )
        raise ParameterError(msg)
    if sigma.dtype.kind not in "fiu":
        msg = f"sigma is an array of {sigma.dtype}; expected {_EXPECTED}, one for each channel."
        raise ParameterError(msg)
    widths = sigma.astype(np.float64, copy=False)
    wrong = ~((widths >= 0.0) & (widths <= MAX_SIGMA))  # also where it is NaN
    if wrong.any():
        channel = int(wrong.argmax())
        msg = (
            f"sigma is {widths[channel]:g} at channel {channel} ({int(wrong.sum())} of "
            f"{widths.size} are wrong); expected {_EXPECTED} at each of {size}."
        )
        raise ParameterError(msg)
    return widths


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
        If `sigma` is not a number between 0 and `MAX_SIGMA`.
    """
    if isinstance(sigma, np.ndarray) and sigma.ndim > 0:
        msg = f"sigma is an array of shape {sigma.shape}; one kernel needs one number."
        raise ParameterError(msg)
    sigma = check_sigma(sigma)
    radius = kernel_radius(sigma)
    if radius == 0:
        return np.ones(1)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * offsets**2)
    return weights / weights.sum()


@dataclass(frozen=True, eq=False)
class Kernels:
    """The Gaussian of each channel: `gaussian_kernel` for widths that differ.

    Parameters
    ----------
    starts : (c,) int64
        Channel j has the weights from ``starts[j]`` on.
    radii : (c,) int64
        It has ``2 * radii[j] + 1`` of them.
    weights : (m,) float64
        Symmetric weights, summing to 1 for each channel.
    widest : int
        The largest radius.
    """

    starts: npt.NDArray[np.int64]
    radii: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    widest: int


@compiled()
def _fill_kernels(widths, starts, radii, weights):  # noqa: ANN001, ANN202
    for i in range(len(widths)):
        radius, start = radii[i], starts[i]
        weights[start + radius] = 1.0
        if radius == 0:
            continue
        total = 1.0
        for k in range(1, radius + 1):
            weight = np.exp(-0.5 / (widths[i] * widths[i]) * (k * k))
            weights[start + radius - k] = weight
            weights[start + radius + k] = weight
            total += 2.0 * weight
        for k in range(start, start + 2 * radius + 1):
            weights[k] /= total


@cached(
    LRUCache(maxsize=_TABLES_BYTES, getsizeof=lambda kernels: kernels.weights.nbytes),
    key=lambda sigma: sigma.tobytes(),
    lock=RLock(),
)
def kernels_of(sigma: npt.NDArray[np.float64]) -> Kernels:
    """Return the kernels of all channels; equal widths share one, tables used last are kept."""
    widths, kind = np.unique(sigma, return_inverse=True)
    radii = (TRUNCATE * widths + 0.5).astype(np.int64)
    ends = np.cumsum(2 * radii + 1)
    starts = ends - (2 * radii + 1)
    weights = np.empty(ends[-1])
    _fill_kernels(widths, starts, radii, weights)
    return Kernels(starts[kind], radii[kind], weights, int(radii[-1]))
