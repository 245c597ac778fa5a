"""The sigma that the counts themselves ask for: the one that predicts held-out counts best.

Each count of a Poisson spectrum is kept or held out by chance; the two parts are independent
Poisson spectra of the same lines (binomial thinning). What is kept is smoothed with every sigma
of a grid, and the sigma whose spectrum predicts the held-out counts with the least Poisson
deviance is suggested: too narrow a Gaussian predicts the noise of the part it saw, too wide a
one lines that are broader than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import numpy.typing as npt

from .errors import ParameterError
from .smoothing import MAX_SIGMA, TRUNCATE, Sigma, check_sigma, smooth_spectra

__all__ = ["FLOOR", "SigmaSuggestion", "default_sigmas", "suggest_sigma", "thin_counts"]

FloatArray = npt.NDArray[np.float64]

FLOOR = 0.02
"""Share of each prediction that is spread evenly over all channels.

A truncated Gaussian predicts nothing beyond four sigmas of the last count, and a count held out
there would cost an infinite deviance and drive sigma up. With 2 per cent spread evenly the best
sigma is within a fifth of that of the Hellinger distance, which needs no floor, at 50, 600 and
5000 counts a spectrum of the simulated manuscript.
"""

NARROWEST, WIDEST = 0.5, 128.0
PER_OCTAVE = 3
"""The default grid, in channels: below a half nothing is smoothed."""

MAX_SPECTRA = 256
"""Spectra used by default: of more a sample is taken, which settles sigma to a per cent or two."""

# Two octaves past the best sigma, and less likely by a factor of exp(50): no wider one is tried.
_FAR_OCTAVES, _FAR_DEVIANCE = 2, 100.0


@dataclass(frozen=True, eq=False)
class SigmaSuggestion:
    """The sigma that predicts held-out counts best, and the curve it was read from.

    Attributes
    ----------
    sigma : float
        The suggestion: channels, or the factor of the shape that was given.
    low, high : float
        Sigmas of the grid, and the suggestion, between which the deviance is within one
        standard error of the smallest: what the counts cannot tell apart.
    sigmas : (m,) float64
        The sigmas (or factors) tried, rising; the default grid ends where the deviance is far
        above the smallest.
    deviance : (m,) float64
        Poisson deviance of the held-out counts from their prediction, a count.
    error : (m,) float64
        Standard error of each deviance's difference from the smallest one.
    n_spectra : int
        Spectra with two counts and more, those that were used.
    n_counts : int
        Their counts.
    is_bracketed : bool
        Whether the deviance rises on both sides; if not, the best sigma may lie off the grid.
    """

    sigma: float
    low: float
    high: float
    sigmas: FloatArray
    deviance: FloatArray
    error: FloatArray
    n_spectra: int
    n_counts: int
    is_bracketed: bool


def default_sigmas(n_channels: int, *, shape: npt.NDArray | None = None) -> FloatArray:
    """Return the sigmas tried by default (m,): three an octave, 0.5 to 128 channels.

    No Gaussian is wider than an eighth of the spectrum. With a shape (c,) they are factors
    that make the widths' mean so.
    """
    widest = max(min(WIDEST, n_channels / 8.0), 4.0 * NARROWEST)
    steps = max(round(PER_OCTAVE * np.log2(widest / NARROWEST)), 4)
    mean = 1.0 if shape is None else float(shape.mean())
    return np.geomspace(NARROWEST, widest, steps + 1) / mean


def thin_counts(
    counts: npt.NDArray[np.integer], folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Split counts at random into parts that are independent of each other.

    When the counts are Poisson, so are the parts, each with the `folds`-th of the expectation
    (J. F. C. Kingman, Poisson Processes (1993), section 5.1; A. Neufeld et al., Biostatistics
    25 (2024) 270, https://doi.org/10.1093/biostatistics/kxac047).

    Parameters
    ----------
    counts : (...) integer
        Counts.
    folds : int
        Number of parts, 2 or more.
    rng : numpy.random.Generator
        What draws them.

    Returns
    -------
    parts : (folds, ...) int64
        They add up to the counts.
    """
    rest = np.asarray(counts).astype(np.int64)
    parts = np.empty((folds, *rest.shape), dtype=np.int64)
    for part in range(folds - 1):
        parts[part] = rng.binomial(rest, 1.0 / (folds - part))
        rest = rest - parts[part]
    parts[-1] = rest
    return parts


def suggest_sigma(
    counts: npt.NDArray,
    *,
    shape: npt.NDArray[np.floating] | None = None,
    sigmas: npt.NDArray[np.floating] | None = None,
    folds: int | None = None,
    max_spectra: int = MAX_SPECTRA,
    seed: int = 0,
) -> SigmaSuggestion:
    """Suggest the sigma that smooths spectra best, from their counts alone.

    By default every count is held out once, alone, and predicted from all others. That is
    thinning into as many parts as there are counts, its limit in closed form: nothing is drawn,
    and the sigma is that for the counts there are. With two `folds` one half predicts the other
    as in plain binomial thinning. A half asks for a wider Gaussian than the whole does: by
    2 to the power 1/5 on lines much wider than sigma (B. W. Silverman, Density Estimation
    (1986), section 3.4), and by 1.4 to 2 on spectra of 600 and 50 counts. No correction for it
    is applied.

    Parameters
    ----------
    counts : (c,) or (k, c) whole numbers
        One spectrum, the spectra of a region, or a sample of a scan's. The sigma suggested is
        that for spectra taken one by one; for the sum of a region give the sum.
    shape : (c,) float, optional
        How sigma depends on the channel, as `Resolution.sigma_channels` gives it: the
        suggestion is a factor of it.
    sigmas : (m,) float, optional
        Sigmas in channels (factors, with a shape) to try: 3 or more, positive, rising.
    folds : int, optional
        Parts to split the counts into; each is predicted from the others. Memory grows with
        their number.
    max_spectra : int, optional
        Of more spectra a random sample of so many is used.
    seed : int, optional
        Of the sample and the splits; without either nothing is random.

    Returns
    -------
    suggestion : SigmaSuggestion

    Raises
    ------
    ParameterError
        If the counts are no whole numbers from 0, hold no spectrum with two counts, fall into
        one part only, or the shape, the sigmas, the folds or the number of spectra have no meaning.

    Notes
    -----
    Assumes Poisson counts: not spectra that were interpolated, smoothed or divided by live
    time. The deviance is ``2 sum(y log(y / p))``, as smoothing keeps totals, where p is the
    prediction with `FLOOR` of it spread evenly. Leaving out single counts is the likelihood
    cross-validation of Habbema and of Duin (IEEE Trans. Computers C-25 (1976) 1175). A single
    spectrum of few counts leaves sigma uncertain: look at `low` and `high`. The smaller the
    counts, the flatter the curve, and the less it matters.
    """
    for name, value, least in (("folds", folds, 2), ("max_spectra", max_spectra, 1)):
        if value is not None and (not isinstance(value, Integral) or value < least):
            raise ParameterError(f"{name} is {value!r}; expected a whole number from {least}.")
    rng = np.random.default_rng(seed)
    spectra = _check_counts(counts)
    if len(spectra) > max_spectra:
        spectra = spectra[np.sort(rng.choice(len(spectra), max_spectra, replace=False))]
    spectra = spectra.astype(np.int64)
    tried, widths = _check_grid(sigmas, shape, spectra.shape[1])
    parts = [None] if folds is None else list(thin_counts(spectra, folds, rng))
    test = np.concatenate([_tested(spectra, held) for held in parts])
    if not test.size:
        raise ParameterError(
            f"All counts fell into one of {folds} parts, which leaves none to predict them from; "
            "use spectra with more counts, or leave out folds."
        )
    deviance: list[float] = []
    logs = []
    for width in widths:
        ratios = np.concatenate([_log_ratios(spectra, held, width) for held in parts])
        deviance.append(2.0 * float(test @ ratios))
        logs.append(ratios.astype(np.float32))
        past = len(deviance) - 1 - int(np.argmin(deviance))
        is_far = deviance[-1] - min(deviance) > _FAR_DEVIANCE
        if sigmas is None and is_far and past >= _FAR_OCTAVES * PER_OCTAVE:
            break
    tried, curve = tried[: len(deviance)], np.array(deviance) / test.sum()
    best = int(curve.argmin())
    # The error of a mean over counts: each adds the difference of two predictions' logarithms.
    differences = [2.0 * (log.astype(np.float64) - logs[best]) for log in logs]
    squares = np.array([test @ each**2 for each in differences]) / test.sum()
    error = np.sqrt(np.maximum(squares - (curve - curve[best]) ** 2, 0.0) / test.sum())
    alike = np.flatnonzero(curve - curve[best] <= error)
    sigma = _lowest(tried, curve)
    return SigmaSuggestion(
        sigma=sigma,
        low=min(sigma, float(tried[alike[0]])),
        high=max(sigma, float(tried[alike[-1]])),
        sigmas=tried,
        deviance=curve,
        error=error,
        n_spectra=len(spectra),
        n_counts=int(spectra.sum()),
        is_bracketed=0 < best < len(tried) - 1,
    )


def _check_counts(counts: npt.NDArray) -> npt.NDArray:
    """Return the spectra (k, c) that hold two counts and more."""
    spectra = np.asarray(counts)
    if spectra.ndim not in (1, 2) or spectra.shape[-1] < 2 or spectra.dtype.kind not in "uif":
        raise ParameterError(
            f"counts is an array of {spectra.dtype} of shape {spectra.shape}; expected one "
            "spectrum (c,) or several (k, c)."
        )
    spectra = np.atleast_2d(spectra)
    if spectra.dtype.kind != "u":
        good = np.isfinite(spectra) & (spectra >= 0) & (spectra == np.rint(spectra))
        if not good.all():
            raise ParameterError(
                f"counts holds {spectra[~good][0]:g}; expected whole numbers from 0. Interpolated "
                "or smoothed spectra are no Poisson counts: give the measured ones."
            )
    used = spectra[spectra.sum(axis=1, dtype=np.float64) >= 2.0]
    if not len(used):
        raise ParameterError(
            "No spectrum holds two counts, and one cannot predict another; choose a place or a "
            "region with more counts, or the sum of its spectra."
        )
    return used


def _check_grid(
    sigmas: npt.NDArray[np.floating] | None, shape: npt.NDArray | None, n_channels: int
) -> tuple[FloatArray, list[Sigma]]:
    """Return the sigmas or factors to try (m,), and the width or widths that each means."""
    if shape is not None:
        shape = np.atleast_1d(np.asarray(shape))
        check_sigma(shape, n_channels=n_channels)
        if not shape.any():
            raise ParameterError("shape is zero everywhere; expected how sigma varies.")
    tried = default_sigmas(n_channels, shape=shape) if sigmas is None else np.asarray(sigmas, float)
    is_line = tried.ndim == 1 and tried.size >= 3
    if not (is_line and np.isfinite(tried).all() and tried[0] > 0 and (np.diff(tried) > 0).all()):
        raise ParameterError(
            f"sigmas is {tried.tolist()}; expected 3 or more positive numbers, rising, up to "
            f"{MAX_SIGMA:g}."
        )
    widths = [check_sigma(float(sigma) if shape is None else sigma * shape) for sigma in tried]
    return tried, widths


def _tested(spectra: npt.NDArray[np.int64], held: npt.NDArray[np.int64] | None) -> FloatArray:
    """Return the counts that are held out (e,), of the channels that hold any."""
    counts = spectra if held is None else held
    return counts[_is_tested(spectra, held)].astype(np.float64)


def _is_tested(
    spectra: npt.NDArray[np.int64], held: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.bool_]:
    """Tell where counts are held out that others can predict, (k, c)."""
    if held is None:
        return spectra > 0
    return (held > 0) & (spectra > held).any(axis=1, keepdims=True)


def _log_ratios(
    spectra: npt.NDArray[np.int64], held: npt.NDArray[np.int64] | None, width: Sigma
) -> FloatArray:
    """Return log(held-out counts / their prediction), (e,), for one sigma.

    Where every count is held out alone (`held` is None), it is taken off the smoothed spectrum
    that predicts it.
    """
    rows, channels = np.nonzero(_is_tested(spectra, held))
    counts = spectra if held is None else held
    kept = (spectra if held is None else spectra - held).astype(np.float64)
    n_channels = spectra.shape[1]
    predicted = smooth_spectra(kept, width)[rows, channels]
    seen = kept.sum(axis=1)
    if held is None:
        seen -= 1.0
        # Off by a rounding where nothing else reaches: never below nothing.
        predicted = np.maximum(predicted - _self_weights(width, n_channels)[channels], 0.0)
    predicted = (1.0 - FLOOR) * predicted + (FLOOR / n_channels) * seen[rows]
    return np.log(counts[rows, channels] / (predicted * (counts.sum(axis=1)[rows] / seen[rows])))


def _self_weights(width: Sigma, n_channels: int) -> FloatArray:
    """Return the share of a count that smoothing leaves in its own channel: G's diagonal (c,).

    Near an end it gets back what is reflected onto it.
    """
    widths = np.broadcast_to(np.asarray(width, dtype=np.float64), (n_channels,))
    radii = (TRUNCATE * widths + 0.5).astype(np.int64)
    with np.errstate(divide="ignore"):
        falloff = np.where(radii > 0, -0.5 / widths**2, 0.0)
    widest = int(radii.max())
    total, own = np.ones(n_channels), np.ones(n_channels)
    if radii.min() == widest:
        total[:] += 2.0 * np.exp(falloff[0] * np.arange(1, widest + 1) ** 2).sum()
    else:
        for k in range(1, widest + 1):
            total += np.where(k <= radii, 2.0 * np.exp(falloff * k**2), 0.0)
    channel = np.arange(n_channels)
    # The mirror images of channel j lie 2 j + 1 below it, and every 2 c from there and from it.
    for turn in range(-(widest // (2 * n_channels)) - 1, widest // (2 * n_channels) + 2):
        for distance in (2 * n_channels * turn, 2 * n_channels * turn + 2 * channel + 1):
            reached = (np.abs(distance) <= radii) & (np.asarray(distance) != 0)
            own += np.where(reached, np.exp(falloff * np.square(distance, dtype=np.float64)), 0.0)
    return own / total


def _lowest(sigmas: FloatArray, deviance: FloatArray) -> float:
    """Return where the parabola through the five lowest neighbours has its foot.

    In the logarithm of sigma, and within the five: the curve itself is noisy from point to point.
    """
    best = int(deviance.argmin())
    middle = int(np.clip(best, 2, max(len(sigmas) - 3, 2)))
    near = slice(middle - 2, middle + 3)
    place = np.log(sigmas[near] / sigmas[best])
    square, slope, _ = np.polyfit(place, deviance[near], 2)
    if square <= 0.0:
        return float(sigmas[best])
    foot = np.clip(-0.5 * slope / square, place[0], place[-1])
    return float(sigmas[best] * np.exp(foot))
