"""A photograph laid on the map: fitted to picked point pairs, in motor coordinates.

A point of the photo is in its pixels from the upper left corner, x to the right and y downwards
(the middle of the first pixel is 0.5, 0.5), as it stands upright, that is after the turn that
its EXIF data ask for. A point of the scan is in motor steps. The fit takes the one to the other:

- affine, three pairs or more: for a photo taken straight from above, even if turned, mirrored or
  scaled unequally. Linear least squares.
- homography, four pairs or more: for a photo of a flat object taken at a slant. Normalised
  direct linear transformation (Hartley, doi:10.1109/34.601246; Hartley and Zisserman, Multiple
  View Geometry, 2nd edition, algorithm 4.2), then least squares of the distances in steps.

It misleads where the object is not flat, where the lens bends lines, and far outside the points.
With as few pairs as the kind needs all residuals are 0 and say nothing: pick one more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from .errors import ParameterError

__all__ = ["FEWEST_PAIRS", "MAX_PAIRS", "PhotoFit", "PhotoKind", "fit_photo"]

FloatArray = npt.NDArray[np.float64]
PhotoKind = Literal["affine", "homography"]

FEWEST_PAIRS: dict[str, int] = {"affine": 3, "homography": 4}
MAX_PAIRS = 1000
LARGEST = 1e9
"""Pixels or steps of a point at most."""
FLATTEST = 0.01
"""Width of a cloud of points over its length, below which they lie on a line. Picking errors
of a pixel then weigh a hundredfold beside it."""
SINGULAR = 1e-4
"""Of the normalised equations: smallest singular value that counts, over the largest."""


@dataclass(frozen=True, eq=False)
class PhotoFit:
    """How a photo lies on the scan.

    Parameters
    ----------
    kind : {"affine", "homography"}
        Which was fitted.
    matrix : (3, 3) float64
        Takes (x, y, 1) in pixels of the photo to motor steps, up to a common factor.
    residuals : (n, 2) float64
        Where each photo point falls less the scan point picked for it, in motor steps.
    """

    kind: PhotoKind
    matrix: FloatArray
    residuals: FloatArray = field(repr=False)

    @property
    def distances(self) -> FloatArray:
        """Length of each residual in motor steps, (n,)."""
        return np.hypot(*self.residuals.T)

    @property
    def freedom(self) -> int:
        """How many numbers the pairs have beyond those of the fit; 0: residuals say nothing."""
        return self.residuals.size - {"affine": 6, "homography": 8}[self.kind]

    @property
    def standard_error(self) -> float:
        """Error of a picked coordinate in motor steps, by the residuals; NaN without freedom."""
        if self.freedom == 0:
            return float("nan")
        return float(np.sqrt((self.residuals**2).sum() / self.freedom))

    def to_motor(self, points: npt.ArrayLike) -> FloatArray:
        """Return motor x and y (..., 2) of photo points (..., 2); NaN beyond the horizon."""
        return _mapped(self.matrix, np.asarray(points, dtype=np.float64), seen=True)

    def to_photo(self, points: npt.ArrayLike) -> FloatArray:
        """Return photo points (..., 2) of motor positions (..., 2); NaN beyond the horizon."""
        back = np.linalg.inv(self.matrix)
        return _mapped(back, np.asarray(points, dtype=np.float64), seen=True)


def fit_photo(
    photo_points: npt.ArrayLike, motor_points: npt.ArrayLike, *, kind: PhotoKind = "affine"
) -> PhotoFit:
    """Fit a photo to the scan by point pairs.

    Parameters
    ----------
    photo_points : (n, 2) array_like
        x and y in pixels of the upright photo.
    motor_points : (n, 2) array_like
        The same points of the object in motor steps.
    kind : {"affine", "homography"}, optional
        What to fit; see the module.

    Raises
    ------
    ParameterError
        If there are too few pairs or too many, values are not finite, the points of a side
        coincide or lie on a line, or do not belong to one view of a plane.
    """
    if kind not in FEWEST_PAIRS:
        raise ParameterError(f"kind is {kind!r}, expected 'affine' or 'homography'.")
    photo, motor = _points(photo_points, "photo"), _points(motor_points, "scan")
    if len(photo) != len(motor):
        raise ParameterError(
            f"There are {len(photo)} points of the photo and {len(motor)} of the scan; each point "
            "needs its partner."
        )
    if not FEWEST_PAIRS[kind] <= len(photo) <= MAX_PAIRS:
        raise ParameterError(
            f"There are {len(photo)} point pairs; {'an' if kind == 'affine' else 'a'} {kind} takes "
            f"{FEWEST_PAIRS[kind]} to {MAX_PAIRS}. Pick the same place in photo and map "
            "for each."
        )
    from_photo, from_motor = _normalisation(photo, "photo"), _normalisation(motor, "scan")
    a, b = _mapped(from_photo, photo), _mapped(from_motor, motor)
    found = _affine(a, b) if kind == "affine" else _homography(a, b)
    matrix = np.linalg.inv(from_motor) @ found @ from_photo
    matrix /= np.abs(matrix).max()
    heights = photo @ matrix[2, :2] + matrix[2, 2]
    matrix *= np.sign(heights[0])  # points that can be seen have a positive third coordinate
    if (heights * heights[0] <= 0).any():
        raise ParameterError(
            "The point pairs do not fit one view of a flat object: some lie beyond the horizon of "
            "the others. Check that no two pairs are exchanged, or use an affine."
        )
    return PhotoFit(kind, matrix, _mapped(matrix, photo) - motor)


def _points(values: npt.ArrayLike, where: str) -> FloatArray:
    try:
        points = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"The points of the {where} are no pairs of numbers.") from error
    if points.ndim != 2 or points.shape[1] != 2:
        raise ParameterError(
            f"The points of the {where} have shape {points.shape}, expected (n, 2): x and y each."
        )
    if not (np.abs(points) <= LARGEST).all():
        number = int(np.flatnonzero(~(np.abs(points) <= LARGEST).all(axis=1))[0])
        raise ParameterError(
            f"Point {number + 1} of the {where} is {points[number].tolist()}; expected finite "
            f"numbers up to {LARGEST:g}."
        )
    return points


def _normalisation(points: FloatArray, where: str) -> FloatArray:
    """Return the matrix (3, 3) that moves points to mean 0, mean distance sqrt 2; check them."""
    away = points - points.mean(axis=0)
    widths = np.linalg.svd(away, compute_uv=False)
    if widths[0] <= 1e-9 * max(1.0, float(np.abs(points).max())):
        raise ParameterError(f"All points of the {where} are at one place. Spread them out.")
    if widths[1] < FLATTEST * widths[0]:
        raise ParameterError(
            f"The points of the {where} lie on a line, so what is beside it is not known. Add a "
            "pair that is well off it, best near the corners of the scan."
        )
    distances = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(distances, np.inf)
    if distances.min() <= 1e-6 * widths[0]:
        one, other = sorted(int(i) + 1 for i in np.argwhere(distances == distances.min())[0])
        raise ParameterError(
            f"Points {one} and {other} of the {where} are at one place. Remove one of them."
        )
    factor = np.sqrt(2.0) / np.hypot(*away.T).mean()
    x, y = points.mean(axis=0)
    return np.array([[factor, 0, -factor * x], [0, factor, -factor * y], [0, 0, 1.0]])


def _affine(a: FloatArray, b: FloatArray) -> FloatArray:
    design = np.column_stack([a, np.ones(len(a))])
    solved = np.linalg.lstsq(design, b, rcond=None)[0]
    return np.vstack([solved.T, [0, 0, 1]])


def _homography(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the homography of normalised points: the DLT, then least squares from there."""
    ones, zeros = np.ones(len(a)), np.zeros((len(a), 3))
    rows = np.column_stack([a, ones])
    equations = np.vstack(
        [
            np.hstack([rows, zeros, -b[:, :1] * rows]),
            np.hstack([zeros, rows, -b[:, 1:] * rows]),
        ]
    )
    _, values, vectors = np.linalg.svd(equations)
    found = vectors[-1].reshape(3, 3)
    shape = np.linalg.svd(found, compute_uv=False)
    if values[7] < SINGULAR * values[0] or shape[2] < SINGULAR * shape[0]:
        raise ParameterError(
            "Too many of the points lie on a line for a homography: it needs four of which no "
            "three do. Add a pair off the line, or use an affine."
        )
    found = found / np.linalg.norm(found)
    heights = rows @ found[2]
    if len(a) == 4 or (heights * heights[0] <= 0).any():
        return found
    refined = least_squares(
        lambda m: (_mapped(m.reshape(3, 3), a) - b).ravel(), found.ravel(), method="lm"
    )
    return refined.x.reshape(3, 3)


def _mapped(matrix: FloatArray, points: FloatArray, *, seen: bool = False) -> FloatArray:
    """Return points (..., 2) taken through a matrix (3, 3); NaN where they are at no place.

    With `seen` also where the third coordinate is negative: behind the one who looks.
    """
    height = points @ matrix[2, :2] + matrix[2, 2]
    height = np.where((height < 0 if seen else False) | (height == 0), np.nan, height)
    return (points @ matrix[:2, :2].T + matrix[:2, 2]) / height[..., None]
