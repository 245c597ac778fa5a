"""Maps put together: three as colours, one over another, one against another.

All of it is arithmetic of maps on one grid. NaN means that a cell has no datum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from .compiled import compiled
from .errors import ParameterError

__all__ = [
    "LEAST_SIGNIFICANCE",
    "composite",
    "inside_polygon",
    "pearson",
    "ratio",
    "ratio_error",
    "ratio_variance",
    "spearman",
]

FloatArray = npt.NDArray[np.float64]
FloatMap = npt.NDArray[np.float32]

LEAST_SIGNIFICANCE = 3.0
"""Standard errors that a denominator must be above 0.

Below, it is 0 or negative in one of a thousand repetitions or more, and a ratio has no standard
error worth the name (R. C. Geary, J. R. Stat. Soc. 93 (1930) 442, asks for as much).
"""


# --- three maps as colours --------------------------------------------------------------------


@compiled()
def _mix(values, lows, factors, colours, out):  # noqa: ANN001, ANN202  # pragma: no cover
    n = values.shape[0]
    for i in range(values.shape[1]):
        for j in range(values.shape[2]):
            red = green = blue = np.float32(0.5)
            is_datum = True
            for k in range(n):
                value = values[k, i, j]
                is_datum = is_datum and abs(value) < np.inf
                share = (value - lows[k]) * factors[k]
                share = min(max(share, np.float32(0)), np.float32(1))
                red += share * colours[k, 0]
                green += share * colours[k, 1]
                blue += share * colours[k, 2]
            if is_datum:
                out[i, j, 0] = np.uint8(min(red, np.float32(255)))
                out[i, j, 1] = np.uint8(min(green, np.float32(255)))
                out[i, j, 2] = np.uint8(min(blue, np.float32(255)))
                out[i, j, 3] = 255


def composite(
    values: Sequence[npt.NDArray[np.floating]],
    limits: Sequence[tuple[float, float]],
    colours: Sequence[tuple[int, int, int]],
) -> npt.NDArray[np.uint8]:
    """Return maps as lights of different colours that add up.

    Each map shines from 0 at its low limit to its whole colour at the high one; what they add up
    to is cut off at 255. Colours whose sum is white at most are never cut off.

    Parameters
    ----------
    values : sequence of (h, w) float
        The maps.
    limits : sequence of (float, float)
        Of each map the values of darkness and of its whole colour.
    colours : sequence of (int, int, int)
        Red, green and blue of each map, 0 to 255.

    Returns
    -------
    picture : (h, w, 4) uint8
        Red, green, blue and opacity: 255, or 0 where a map has no datum.

    Raises
    ------
    ParameterError
        If there is no map, there are not as many limits and colours as maps, or their shapes
        differ.
    """
    if not values or len({np.shape(each) for each in values}) > 1:
        shapes = ", ".join(str(np.shape(each)) for each in values)
        raise ParameterError(f"the maps have the shapes [{shapes}]; expected some of one shape.")
    if not len(values) == len(limits) == len(colours):
        raise ParameterError(
            f"there are {len(values)} maps, {len(limits)} limits and {len(colours)} colours; "
            "expected as many of each."
        )
    maps = np.stack([np.asarray(each, dtype=np.float32) for each in values])
    picture = np.zeros((*maps.shape[1:], 4), dtype=np.uint8)
    spans = [high - low if high > low else 1.0 for low, high in limits]
    _mix(
        maps,
        np.array([low for low, _ in limits], dtype=np.float32),
        np.array([1.0 / span for span in spans], dtype=np.float32),
        np.array(colours, dtype=np.float32),
        picture,
    )
    return picture


# --- one map over another ---------------------------------------------------------------------


def ratio(
    numerator: FloatMap,
    denominator: FloatMap,
    denominator_error: FloatMap,
    *,
    detected: FloatMap | None = None,
    least: float = LEAST_SIGNIFICANCE,
) -> FloatMap:
    """Return the ratio of two maps where the denominator says something.

    Parameters
    ----------
    numerator, denominator : (h, w) float32
        The maps.
    denominator_error : (h, w) float32
        Standard error of the denominator.
    detected : (h, w) float32, optional
        1 where the denominator's line is detected, as `Scan.detection_map` tells.
    least : float, optional
        Standard errors that the denominator must be above 0.

    Returns
    -------
    ratio : (h, w) float32
        NaN where the denominator says nothing: fewer than `least` standard errors above 0, or
        not detected; and where a map has no datum.

    Raises
    ------
    ParameterError
        If the shapes differ.
    """
    shapes = {np.shape(each) for each in (numerator, denominator, denominator_error)}
    if detected is not None:
        shapes.add(np.shape(detected))
    if len(shapes) > 1:
        raise ParameterError(f"the maps have the shapes {sorted(shapes)}; expected one shape.")
    says = (denominator > 0) & (denominator >= least * denominator_error)
    if detected is not None:
        says &= detected > 0
    values = np.full(np.shape(numerator), np.nan, dtype=np.float32)
    return np.divide(numerator, denominator, out=values, where=says)


def ratio_variance(
    numerator: float,
    denominator: float,
    numerator_variance: float,
    denominator_variance: float,
    covariance: float = 0.0,
) -> float:
    """Return the variance of a ratio, to first order.

    ``(var a - 2 r cov + r^2 var b) / b^2``: the law of propagation of uncertainty (JCGM
    100:2008, eq. 13). It misleads where the denominator is within some standard errors of 0.

    Parameters
    ----------
    numerator, denominator : float
        a and b; r is a / b.
    numerator_variance, denominator_variance : float
        Their variances.
    covariance : float, optional
        Of both; windows that share channels have one.
    """
    if denominator == 0:
        return float("nan")
    quotient = numerator / denominator
    spread = numerator_variance - 2.0 * quotient * covariance + quotient**2 * denominator_variance
    return max(spread, 0.0) / denominator**2


def ratio_error(
    spectra: npt.NDArray[np.number],
    weights: npt.NDArray[np.floating],
    numerator: npt.NDArray[np.floating],
    denominator: npt.NDArray[np.floating],
) -> tuple[float, float]:
    """Return the ratio of two windows in a weighted mean of spectra, and its standard error.

    Parameters
    ----------
    spectra : (k, c) number
        Counts.
    weights : (k,) float
        Of each spectrum.
    numerator, denominator : (c,) float
        Windows, as weights over channels; they may share some.

    Returns
    -------
    ratio, error : float
        NaN where the denominator is 0, or there is no spectrum.
    """
    shares = np.asarray(weights, dtype=np.float64)
    mean, variance = shares @ spectra, shares**2 @ spectra
    a, b = float(mean @ numerator), float(mean @ denominator)
    if b == 0 or len(shares) == 0:
        return float("nan"), float("nan")
    var_a, var_b, both = (
        float(variance @ (one * other))
        for one, other in (
            (numerator, numerator),
            (denominator, denominator),
            (numerator, denominator),
        )
    )
    return a / b, float(np.sqrt(ratio_variance(a, b, var_a, var_b, both)))


# --- one map against another ------------------------------------------------------------------


def pearson(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Return the linear correlation of two maps, -1 to 1.

    Over the cells where both have a datum; NaN when a map is the same in all of them. Shot
    noise in the maps lowers it.
    """
    return _correlation(*_in_common(one, other))


def spearman(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Return the correlation of the ranks of two maps, -1 to 1.

    As `pearson`, of ranks: 1 where one map always grows with the other, along whatever curve.
    Equal values share the mean of their ranks.
    """
    return _correlation(*(rankdata(each) for each in _in_common(one, other)))


def _in_common(
    one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]
) -> tuple[FloatArray, FloatArray]:
    if np.shape(one) != np.shape(other):
        raise ParameterError(
            f"the maps have the shapes {np.shape(one)} and {np.shape(other)}; expected one shape."
        )
    both = np.isfinite(one) & np.isfinite(other)
    return one[both].astype(np.float64), other[both].astype(np.float64)


def _correlation(one: FloatArray, other: FloatArray) -> float:
    if len(one) < 2:
        return float("nan")
    one, other = one - one.mean(), other - other.mean()
    spread = float(np.sqrt((one @ one) * (other @ other)))
    return float("nan") if spread == 0 else float(np.clip(one @ other / spread, -1.0, 1.0))


@compiled()
def _inside(x, y, corners_x, corners_y, found):  # noqa: ANN001, ANN202  # pragma: no cover
    left, right = corners_x.min(), corners_x.max()
    bottom, top = corners_y.min(), corners_y.max()
    n = len(corners_x)
    for i in range(len(x)):
        # NaN is inside of nothing.
        if not (left <= x[i] <= right and bottom <= y[i] <= top):
            continue
        k = n - 1
        for j in range(n):
            if (corners_y[j] <= y[i]) != (corners_y[k] <= y[i]):
                share = (y[i] - corners_y[j]) / (corners_y[k] - corners_y[j])
                if corners_x[j] + share * (corners_x[k] - corners_x[j]) > x[i]:
                    found[i] = not found[i]
            k = j


def inside_polygon(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], vertices: npt.ArrayLike
) -> npt.NDArray[np.bool_]:
    """Return which points lie inside a polygon, by the even-odd rule.

    A ray from each point crosses the outline an odd number of times (M. Shimrat, Algorithm 112,
    Commun. ACM 5 (1962) 434). For points anywhere; `regions.polygon_mask` is for a grid's cells.

    Parameters
    ----------
    x, y : float, of one shape
        The points, such as two maps; NaN lies in no polygon.
    vertices : (v, 2) array_like of float
        Corners; the last is joined to the first.

    Returns
    -------
    inside : bool, of the shape of x

    Raises
    ------
    ParameterError
        If there are fewer than three corners, or they are not finite.
    """
    corners = np.asarray(vertices, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
        raise ParameterError(
            f"the polygon's corners have shape {corners.shape}; expected three (x, y) or more."
        )
    if not np.isfinite(corners).all():
        raise ParameterError("a corner of the polygon is not finite; draw around the points.")
    inside = np.zeros(np.shape(x), dtype=bool)
    _inside(
        np.ascontiguousarray(x).ravel(),
        np.ascontiguousarray(y).ravel(),
        np.ascontiguousarray(corners[:, 0]),
        np.ascontiguousarray(corners[:, 1]),
        inside.reshape(-1),
    )
    return inside
