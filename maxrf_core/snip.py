"""The background of a spectrum by statistics-sensitive non-linear iterative peak clipping."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import numpy.typing as npt

from .energy_axis import channel_width, checked_axis
from .errors import ParameterError
from .lines import detector_fwhm_kev
from .smoothing import smooth_spectra

__all__ = ["snip", "snip_width"]

FloatArray = npt.NDArray[np.float64]

SNIP_FWHM = 2.0
"""Half width of SNIP's window in widths of a line: a doublet such as K-alpha is stripped whole."""
MAX_PASSES = 10_000


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
    axis = checked_axis(energies)
    kev_per_channel = channel_width(axis)
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
