"""Where a net map shows more than its background: decisions after Currie.

L. A. Currie, Anal. Chem. 40 (1968) 586, https://doi.org/10.1021/ac60259a007: a net signal is
detected if it is above the critical level ``L_C = k sigma_0``, where ``sigma_0`` is its standard
deviation when there truly is none. Then blank cells are taken for detections with the
probability that belongs to k, 5 % for 1.645.

The net signal of a cell is a weighted sum of Poisson counts, window minus eta times sides. If
there truly is none, the window is expected to hold eta times what the sides hold, B, and
``sigma_0^2 = eta B + eta^2 B = eta (1 + eta) B``; paired, with eta = 1, it is 2 B. That is
linear in the counts of the sides, so a map of it costs one product with `null_variance_weights`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ParameterError

__all__ = [
    "K_95",
    "background_ratio",
    "critical_level",
    "detected",
    "detection_limit",
    "null_variance_weights",
]

FloatArray = npt.NDArray[np.float64]

K_95 = 1.645
"""Quantile of the normal distribution that 5 % of blanks exceed (Currie 1968, eq. 1 and 2)."""
STAPLETON_D = 0.4
"""Added to counts before the square root, for decisions at 5 %: D. J. Strom and J. A. MacLellan,
Health Phys. 81 (2001) 27."""


def null_variance_weights(weights: npt.NDArray[np.floating]) -> FloatArray:
    """Return the vector over channels that gives the variance of a net signal that truly is 0.

    Parameters
    ----------
    weights : (c,) float
        A net window b: positive in the window, negative in the sides, smoothed or not.

    Returns
    -------
    null_weights : (c,) float64
        v, from 0, such that (W * W) S v estimates the variance of the map W (S b) where the
        true net is 0. It reads the sides alone: there v = b^2 + |b| m, with m the mean of b in
        the window, weighted by b (1 if it is not smoothed).

    Raises
    ------
    ParameterError
        If the weights are not finite, or none is negative: a gross window has no background.
    """
    window, sides = _split(weights)
    share = (window**2).sum() / window.sum() if window.any() else 0.0
    return sides**2 + share * sides


def background_ratio(weights: npt.NDArray[np.floating]) -> float:
    """Return eta: what a count in the sides of a net window takes away, on average.

    Parameters
    ----------
    weights : (c,) float
        A net window: positive in the window, negative in the sides.

    Returns
    -------
    eta : float
        The mean of the sides' weights, weighted by themselves: that of one side window with
        the same variance. 1 for paired observation; below it for wider sides.

    Raises
    ------
    ParameterError
        As `null_variance_weights`.
    """
    _, sides = _split(weights)
    return float((sides**2).sum() / sides.sum())


def critical_level(
    null_variance: npt.ArrayLike,
    *,
    k: float = K_95,
    eta: float = 1.0,
    unit: npt.ArrayLike | None = None,
) -> FloatArray:
    """Return the net signal above which a line is detected.

    Without `unit`, ``k sqrt(null_variance)`` (Currie 1968, eq. 1), for large counts: of
    paired blanks 6 % pass at 100 counts of background, 9 % at 10 and 12 % at 3, and where
    no background was counted any count does. With `unit`, Stapleton's approximation: 5 % from
    3 counts on, and fewer below (D. J. Strom and J. A. MacLellan, Health Phys. 81 (2001) 27;
    no more than 5.9 % at 1 count)::

        L_C = d (eta - 1) + k^2 / 4 (1 + eta) + k sqrt(null_variance + d eta (1 + eta))

    in units of one count, with d = 0.4, which was chosen for k = 1.645.

    Parameters
    ----------
    null_variance : array_like of float
        Variance of the net signal where it truly is 0: ``eta (1 + eta) B`` for B counts in the
        sides, or a map of `null_variance_weights`.
    k : float, optional
        Quantile of the normal distribution for the false positives allowed.
    eta : float, optional
        Window over sides, see `background_ratio`. Used with `unit` only.
    unit : array_like of float, optional
        What one count adds to the signal: 1 for a spectrum. For a cell whose spectra have the
        weights w, ``sum(w^2) / sum(w)``: a quarter in the mean of four.

    Returns
    -------
    level : ndarray of float64
        In the unit of the net signal, of the broadcast shape. NaN where an argument is.

    Raises
    ------
    ParameterError
        If k or eta are not positive numbers, or a variance or unit is negative.
    """
    variance = _not_negative(null_variance, "null_variance")
    _check_positive(k, "k")
    _check_positive(eta, "eta")
    if unit is None:
        return k * np.sqrt(variance)
    one = _not_negative(unit, "unit")
    constant = STAPLETON_D * (eta - 1.0) + 0.25 * k * k * (1.0 + eta)
    root = np.sqrt(variance + one * one * (STAPLETON_D * eta * (1.0 + eta)))
    return one * constant + k * root


def detection_limit(
    null_variance: npt.ArrayLike,
    *,
    k: float = K_95,
    eta: float = 1.0,
    unit: npt.ArrayLike = 1.0,
) -> FloatArray:
    """Return the true net signal that would be detected with the probability that belongs to k.

    ``L_D = k^2 + 2 L_C`` in units of one count (Currie 1968, eq. 13), with equal risks of a
    false detection and of a missed one, and `critical_level` with the same arguments.

    Parameters
    ----------
    null_variance, k, eta, unit
        As in `critical_level`.

    Returns
    -------
    limit : ndarray of float64
        In the unit of the net signal. NaN where an argument is.

    Raises
    ------
    ParameterError
        As `critical_level`.
    """
    level = critical_level(null_variance, k=k, eta=eta, unit=unit)
    return k * k * np.asarray(unit, dtype=np.float64) + 2.0 * level


def detected(
    net: npt.ArrayLike,
    null_variance: npt.ArrayLike,
    *,
    k: float = K_95,
    eta: float = 1.0,
    unit: npt.ArrayLike | None = None,
) -> npt.NDArray[np.bool_]:
    """Return where a net signal is above its critical level.

    Parameters
    ----------
    net : array_like of float
        Net signal, as a map W (S b). NaN where there is no datum.
    null_variance, k, eta, unit
        As in `critical_level`.

    Returns
    -------
    mask : ndarray of bool
        Of the broadcast shape. False where there is no datum.

    Raises
    ------
    ParameterError
        As `critical_level`.
    """
    level = critical_level(null_variance, k=k, eta=eta, unit=unit)
    return np.asarray(net) > level  # NaN is above nothing


def _split(weights: npt.NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Return the window's and the sides' weights of a net window, both from 0, (c,) each."""
    values = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(values).all() or not (values < 0).any():
        raise ParameterError(
            "the weights hold no side window (no negative weight) or are not finite; give a net "
            "window, such as side_window_weights makes."
        )
    return np.maximum(values, 0.0), np.maximum(-values, 0.0)


def _not_negative(values: npt.ArrayLike, name: str) -> FloatArray:
    """Return values as float64; NaN may be among them."""
    checked = np.asarray(values, dtype=np.float64)
    if (checked < 0).any():
        raise ParameterError(
            f"{name} holds {np.nanmin(checked):g}; expected numbers from 0, or NaN for no datum."
        )
    return checked


def _check_positive(value: float, name: str) -> None:
    if not (np.isfinite(value) and value > 0):
        raise ParameterError(f"{name} is {value!r}; expected a number above 0.")
