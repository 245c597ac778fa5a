"""An energy axis and the spectrum along it, as arguments: checked, and as float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ParameterError

__all__ = ["channel_width", "checked_axis", "checked_total"]

FloatArray = npt.NDArray[np.float64]


def checked_axis(energies: npt.NDArray[np.floating]) -> FloatArray:
    """Return the energies of the channels' centres, (c,), in keV.

    Raises
    ------
    ParameterError
        If they are not those of two or more channels, rising.
    """
    axis = np.asarray(energies, dtype=np.float64)
    if axis.ndim != 1 or axis.size < 2 or not (np.diff(axis) > 0).all():
        raise ParameterError(
            f"the energies have shape {axis.shape}; expected those of two or more channels, rising."
        )
    return axis


def checked_total(total_spectrum: npt.NDArray[np.number], axis: FloatArray) -> FloatArray:
    """Return the counts of a whole scan in each channel of an axis, (c,).

    Raises
    ------
    ParameterError
        If they are not one number for each channel, finite and from 0.
    """
    counts = np.asarray(total_spectrum, dtype=np.float64)
    if counts.shape != axis.shape or not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ParameterError(
            f"the total spectrum has shape {counts.shape}; expected finite counts from 0 for each "
            f"of the {axis.size} channels."
        )
    return counts


def channel_width(axis: FloatArray) -> float:
    """Return the width of a channel in keV, the mean over an axis."""
    return float(axis[-1] - axis[0]) / (axis.size - 1)
