"""Linear interpolation: the corners of the triangle around a point, and their weights."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
from scipy.spatial import Delaunay
from threadpoolctl import threadpool_limits

from .compiled import compiled

__all__ = ["Triangles", "along_line"]

_OUTSIDE = -1
_UNDECIDED = -2

_TOLERANCE = 100 * np.finfo(float).eps
"""How far outside a triangle still counts as inside, in shares: as scipy's find_simplex."""

_DEGENERATE = 1000 * np.finfo(float).eps
"""Triangles so much flatter than long have no coordinates: as scipy's Delaunay.transform."""

_MAX_STEPS = 1000  # from the triangle at the nearest place it takes a handful


@compiled(error_model="numpy")
def _walk(points, simplices, neighbours, targets, starts, steps, found, weights):  # noqa: ANN001, ANN202
    """Walk from triangle to triangle towards each target, and note its barycentric weights."""
    parts = np.empty(3)
    for target in range(len(targets)):
        x, y = targets[target]
        triangle = starts[target]
        found[target] = _UNDECIDED
        for _ in range(steps):
            a, b, c = simplices[triangle]
            # corners as seen from the target: the areas of the three triangles it makes with them
            ax, ay = points[a, 0] - x, points[a, 1] - y
            bx, by = points[b, 0] - x, points[b, 1] - y
            cx, cy = points[c, 0] - x, points[c, 1] - y
            parts[0] = bx * cy - by * cx
            parts[1] = cx * ay - cy * ax
            parts[2] = ax * by - ay * bx
            ux, uy, vx, vy = ax - cx, ay - cy, bx - cx, by - cy
            area = ux * vy - uy * vx
            # one over the condition number of the matrix (u, v) in the 1-norm
            norms = max(abs(ux) + abs(uy), abs(vx) + abs(vy)) * max(
                abs(ux) + abs(vx), abs(uy) + abs(vy)
            )
            if not abs(area) > _DEGENERATE * norms:
                break
            worst = 0
            for i in range(3):
                parts[i] /= area
                if parts[i] < parts[worst]:
                    worst = i
            if parts[worst] >= -_TOLERANCE:
                found[target] = triangle
                for i in range(3):
                    weights[target, i] = parts[i]
                break
            triangle = neighbours[triangle, worst]
            if triangle < 0:
                found[target] = _OUTSIDE
                break


def _barycentric(
    triangulation: Delaunay, targets: npt.NDArray[np.float64], simplices: npt.NDArray
) -> npt.NDArray[np.float64]:
    """Return the barycentric coordinates of targets in their triangles, (m, 3)."""
    transform = triangulation.transform[simplices]
    first = np.einsum("mij,mj->mi", transform[:, :2], targets - transform[:, 2])
    return np.column_stack([first, 1.0 - first.sum(axis=1)])


class Triangles:
    """The Delaunay triangulation of some places.

    Parameters
    ----------
    places : (p, 2) float64
        Distinct positions. Their order decides which diagonal halves a square of them.

    Raises
    ------
    scipy.spatial.QhullError
        If there are fewer than three, or all lie on one line.

    Notes
    -----
    `weights` may be called from several threads.

    Qhull takes 12 s for a million places and one core; the rest is small beside it.
    """

    def __init__(self, places: npt.NDArray[np.float64]) -> None:
        self._delaunay = Delaunay(places)
        beside = self._delaunay.vertex_to_simplex.copy()
        coplanar = self._delaunay.coplanar  # so near to a corner that Qhull left them out
        beside[coplanar[:, 0]] = coplanar[:, 1]
        self._beside = np.maximum(beside, 0)
        self._lock = threading.Lock()

    def weights(
        self, targets: npt.NDArray[np.float64], nearest: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the corners of the triangle around each target, and their weights.

        Parameters
        ----------
        targets : (m, 2) float64
            Points.
        nearest : (m,) int64
            Number of the place nearest to each.

        Returns
        -------
        corners : (m, 3) int64
            Numbers of three places.
        weights : (m, 3) float64
            Barycentric coordinates: they sum to 1. NaN for a target outside all triangles,
            or in one that is degenerate, as slivers along a straight border can be.
        """
        found = np.empty(len(targets), dtype=np.int64)
        weights = np.full((len(targets), 3), np.nan)
        _walk(
            self._delaunay.points, self._delaunay.simplices, self._delaunay.neighbors, targets,
            self._beside[nearest], _MAX_STEPS, found, weights,
        )  # fmt: skip
        undecided = np.flatnonzero(found == _UNDECIDED)
        if len(undecided) > 0:
            # Each triangle is a 2 x 2 system of its own: threads of BLAS would only wait for
            # each other, for half a minute on a machine that is busy.
            with self._lock, threadpool_limits(1, "blas"):
                found[undecided] = self._delaunay.find_simplex(targets[undecided])
            chosen = found[undecided]
            weights[undecided] = _barycentric(self._delaunay, targets[undecided], chosen)
        weights[found < 0] = np.nan
        # A cell centre on a spectrum or on an edge takes nothing from the far corners.
        weights[np.abs(weights) < 1e-9] = 0.0
        corners = self._delaunay.simplices[found].astype(np.int64)
        return corners, weights / weights.sum(axis=1, keepdims=True)


def along_line(
    places: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the two neighbours on a line scan of each target, and their weights.

    Parameters
    ----------
    places : (p, 2) float64
        At least two distinct positions on a line.
    targets : (m, 2) float64
        Points.

    Returns
    -------
    pair : (m, 2) int64
        Numbers of the two places.
    weights : (m, 2) float64
        Beyond an end of the line, that end's place alone.
    """
    centred = places - places.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    along, wanted = centred @ direction, (targets - places.mean(axis=0)) @ direction
    order = np.argsort(along)
    right = np.clip(np.searchsorted(along[order], wanted), 1, len(along) - 1)
    pair = order[np.column_stack([right - 1, right])]
    span = along[pair[:, 1]] - along[pair[:, 0]]
    fraction = np.clip((wanted - along[pair[:, 0]]) / span, 0.0, 1.0)
    return pair, np.column_stack([1.0 - fraction, fraction])
