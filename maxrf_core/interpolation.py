"""Interpolation in space: the sparse operator W of the design.

W has a row for each cell and a column for each spectrum. A map is ``W @ counts``, its
variance under Poisson counts is ``(W * W) @ counts``, the regular cube is ``W @ S``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.spatial import Delaunay, QhullError, cKDTree
from threadpoolctl import threadpool_limits

from .errors import ParameterError
from .grid import Grid
from .kriging import NEIGHBOURS, fit_covariance, kriging_weights

__all__ = ["DEFAULT_METHOD", "METHODS", "Operator", "Raster", "build_operator", "check_method"]

DEFAULT_METHOD = "kriging"

MAX_DISTANCE = 1.5
"""A cell whose nearest spectrum is farther away than this many pitches has no datum."""

_BLOCK = 65_536  # cells solved at once: bounds the memory of neighbour tables


@dataclass(frozen=True)
class Raster:
    """What an operator is made from.

    Parameters
    ----------
    positions : (n, 2) float64
        Motor positions x, y of the spectra, in motor steps.
    grid : Grid
        The cells to fill.
    selected_index : (h, w) int64
        The vendor's choice of a spectrum for each cell of the vendor's grid.
    pitch : (float, float)
        The scan's own sampling in x and y, in motor steps: the unit of distances.
    band_counts : callable returning (n, b) counts, optional
        Counts of each spectrum in some energy bands, for fitting the covariance. Only
        `kriging` calls it.
    """

    positions: npt.NDArray[np.float64]
    grid: Grid
    selected_index: npt.NDArray[np.int64]
    pitch: tuple[float, float]
    band_counts: Callable[[], npt.NDArray] | None = None

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """Positions of the spectra in pitches, (n, 2)."""
        return self.positions / self.pitch

    @cached_property
    def targets(self) -> npt.NDArray[np.float64]:
        """Centres of the cells in pitches, (h * w, 2)."""
        return self.grid.centres() / self.pitch


@dataclass(frozen=True)
class Operator:
    """A sparse linear map from spectra to cells.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    shape : (int, int)
        Rows and columns of the grid.
    matrix : (h * w, n) csr_array, float32
        The weights. A row sums to 1, or is empty where a cell has no datum.
    parameters : dict
        What the method fitted or was given, ready for JSON.
    """

    method: str
    shape: tuple[int, int]
    matrix: csr_array
    parameters: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def empty(self) -> npt.NDArray[np.bool_]:
        """Cells without a datum, (h, w)."""
        return (np.diff(self.matrix.indptr) == 0).reshape(self.shape)

    @cached_property
    def squared(self) -> csr_array:
        """The weights squared, element by element."""
        return csr_array(
            (self.matrix.data**2, self.matrix.indices, self.matrix.indptr), self.matrix.shape
        )

    def _blank(self, values: npt.NDArray) -> npt.NDArray[np.float32]:
        image = values.astype(np.float32, copy=False).reshape(*self.shape, *values.shape[1:])
        image[self.empty] = np.nan
        return image

    def apply(self, values: npt.NDArray[np.number]) -> npt.NDArray[np.float32]:
        """Interpolate one value a spectrum to the grid.

        Parameters
        ----------
        values : (n,) or (n, k) number
            One value, or k of them, for each spectrum.

        Returns
        -------
        image : (h, w) or (h, w, k) float32
            NaN where a cell has no datum.
        """
        return self._blank(self.matrix @ values.astype(np.float32, copy=False))

    def variance(self, variances: npt.NDArray[np.number]) -> npt.NDArray[np.float32]:
        """Return the variance of `apply` for independent values of known variance.

        Parameters
        ----------
        variances : (n,) number
            Variance of each spectrum's value; for counts, the counts themselves.

        Returns
        -------
        image : (h, w) float32
            NaN where a cell has no datum.
        """
        return self._blank(self.squared @ variances.astype(np.float32, copy=False))

    def cell_weights(
        self, row: int, column: int
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return which spectra make up a cell, and their weights.

        Returns
        -------
        index : (k,) int32
            Numbers of the spectra; empty for a cell without a datum.
        weights : (k,) float32
            Their weights.

        Raises
        ------
        ParameterError
            If there is no such cell.
        """
        height, width = self.shape
        if not (0 <= row < height and 0 <= column < width):
            msg = (
                f"cell ({row}, {column}) is outside the grid; expected rows 0 to {height - 1} "
                f"and columns 0 to {width - 1}."
            )
            raise ParameterError(msg)
        cell = row * width + column
        part = slice(self.matrix.indptr[cell], self.matrix.indptr[cell + 1])
        return self.matrix.indices[part], self.matrix.data[part]

    def spectrum_weights(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the weight of every spectrum in the mean over the cells of a region.

        Parameters
        ----------
        mask : (h, w) bool
            The region. Cells without a datum do not count.

        Returns
        -------
        weights : (n,) float64
            They sum to 1; NaN everywhere if the region holds no datum.
        """
        inside = (np.asarray(mask, dtype=bool) & ~self.empty).ravel()
        cells = int(inside.sum())
        if cells == 0:
            return np.full(self.matrix.shape[1], np.nan)
        return self.matrix.T @ inside.astype(np.float64) / cells


def check_method(method: str) -> str:
    """Return `method` when there is one of that name.

    Raises
    ------
    ParameterError
        If it is not one of `METHODS`.
    """
    if method not in METHODS:
        names = ", ".join(repr(name) for name in METHODS)
        msg = f"interpolation method is {method!r}; expected one of {names}."
        raise ParameterError(msg)
    return method


def build_operator(method: str, raster: Raster) -> Operator:
    """Build the operator W of a method for a scan.

    Parameters
    ----------
    method : {"selected", "nearest", "linear", "kriging"}
        ``selected`` takes the vendor's one spectrum a cell. ``nearest`` takes the nearest
        (the mean of those at the same place). ``linear`` weighs the corners of the
        Delaunay triangle around the cell's centre. ``kriging`` weighs the nearest 21 by
        the covariance of the object and shot noise.
    raster : Raster
        Positions, grid, selection and band counts of the scan.

    Returns
    -------
    Operator
        Cells farther than `MAX_DISTANCE` pitches from any spectrum have no datum. It
        costs about a second for 100,000 cells, once.

    Raises
    ------
    ParameterError
        If there is no such method.
    """
    rows, columns, weights, parameters = METHODS[check_method(method)](raster)
    shape = (raster.grid.size, len(raster.positions))
    index_type = np.int32 if max(shape) < 2**31 else np.int64
    matrix = csr_array(
        (weights.astype(np.float64), (rows.astype(index_type), columns.astype(index_type))), shape
    )
    matrix.sum_duplicates()
    return Operator(method, raster.grid.shape, matrix.astype(np.float32), parameters)


_Entries = tuple[npt.NDArray, npt.NDArray, npt.NDArray, dict[str, Any]]


def _selected(raster: Raster) -> _Entries:
    if raster.selected_index.shape == raster.grid.shape:
        columns = raster.selected_index.ravel()
        rows = np.arange(len(columns))
        return rows, columns, np.ones(len(columns)), {}
    chosen = np.unique(raster.selected_index)
    rows, columns, weights = _from_nearest(raster.points[chosen], raster.targets)
    return rows, chosen[columns], weights, {"max_distance": MAX_DISTANCE}


class _Places:
    """The distinct positions of a scan, and which spectra lie at each."""

    def __init__(self, points: npt.NDArray[np.float64]) -> None:
        self.points, inverse, self.counts = np.unique(
            points, axis=0, return_inverse=True, return_counts=True
        )
        self._inverse = inverse.ravel()
        self._order = np.argsort(self._inverse, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self.counts)])

    def mean(self, values: npt.NDArray) -> npt.NDArray[np.float64]:
        """Return the mean over the spectra at each position of (n, b) values."""
        sums = np.zeros((len(self.counts), values.shape[1]))
        np.add.at(sums, self._inverse, values)
        return sums / self.counts[:, None]

    def share(
        self, rows: npt.NDArray, places: npt.NDArray, weights: npt.NDArray
    ) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
        """Hand the weight of each place to its spectra in equal parts."""
        repeats = self.counts[places]
        offsets = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        columns = self._order[np.repeat(self._starts[places], repeats) + offsets]
        return np.repeat(rows, repeats), columns, np.repeat(weights / repeats, repeats)


def _nearest(raster: Raster) -> _Entries:
    return *_from_nearest(raster.points, raster.targets), {"max_distance": MAX_DISTANCE}


def _from_nearest(
    points: npt.NDArray[np.float64], targets: npt.NDArray[np.float64]
) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    """Return rows, columns and weights that take each target from the nearest place."""
    places = _Places(points)
    distances, index = cKDTree(places.points).query(targets)
    rows = np.flatnonzero(distances <= MAX_DISTANCE)
    return places.share(rows, index[rows], np.ones(len(rows)))


def _barycentric(
    triangulation: Delaunay, targets: npt.NDArray[np.float64], simplices: npt.NDArray
) -> npt.NDArray[np.float64]:
    """Return the barycentric coordinates of targets in their triangles, (m, 3)."""
    transform = triangulation.transform[simplices]
    first = np.einsum("mij,mj->mi", transform[:, :2], targets - transform[:, 2])
    weights = np.column_stack([first, 1.0 - first.sum(axis=1)])
    # A cell centre on a spectrum or on an edge takes nothing from the far corners.
    weights[np.abs(weights) < 1e-9] = 0.0
    return weights / weights.sum(axis=1, keepdims=True)


def _along_line(places: npt.NDArray, targets: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """Return the two neighbours on a line scan of each target, and their weights."""
    centred = places - places.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    along, wanted = centred @ direction, (targets - places.mean(axis=0)) @ direction
    order = np.argsort(along)
    right = np.clip(np.searchsorted(along[order], wanted), 1, len(along) - 1)
    pair = order[np.column_stack([right - 1, right])]
    span = along[pair[:, 1]] - along[pair[:, 0]]
    fraction = np.clip((wanted - along[pair[:, 0]]) / span, 0.0, 1.0)
    return pair, np.column_stack([1.0 - fraction, fraction])


def _linear(raster: Raster) -> _Entries:
    places = _Places(raster.points)
    distances, nearest = cKDTree(places.points).query(raster.targets)
    near = distances <= MAX_DISTANCE
    try:
        # Each triangle is a 2 x 2 system of its own: threads of BLAS would only wait for
        # each other, for half a minute on a machine that is busy.
        with threadpool_limits(1, "blas"):
            triangulation = Delaunay(places.points)
            simplices = triangulation.find_simplex(raster.targets)
    except QhullError:  # fewer than three places, or all on one line
        if len(places.points) < 2:
            return _nearest(raster)
        corners, weights = _along_line(places.points, raster.targets)
        inside = near
    else:
        # Sliver triangles along a straight border can be degenerate: their transform is NaN.
        weights = _barycentric(triangulation, raster.targets, simplices)
        inside = near & (simplices >= 0) & np.isfinite(weights).all(axis=1)
        corners = triangulation.simplices[simplices]
    width = corners.shape[1]
    rows = np.repeat(np.flatnonzero(inside), width)
    places_used, used_weights = corners[inside].ravel(), weights[inside].ravel()
    border = np.flatnonzero(near & ~inside)  # outside the outermost spectra, yet beside one
    rows = np.concatenate([rows, border])
    places_used = np.concatenate([places_used, nearest[border]])
    used_weights = np.concatenate([used_weights, np.ones(len(border))])
    kept = used_weights != 0
    entries = places.share(rows[kept], places_used[kept], used_weights[kept])
    return *entries, {"max_distance": MAX_DISTANCE}


def _kriging(raster: Raster) -> _Entries:
    if raster.band_counts is None:
        msg = "kriging fits its covariance to the scan's counts; give the raster band_counts."
        raise ParameterError(msg)
    places = _Places(raster.points)
    points, multiplicity = places.points, places.counts
    covariance = fit_covariance(points, multiplicity, places.mean(raster.band_counts()))
    k = min(NEIGHBOURS, len(points))
    tree = cKDTree(points)
    parts = []
    for start in range(0, len(raster.targets), _BLOCK):
        targets = raster.targets[start : start + _BLOCK]
        distances, index = tree.query(targets, k=[*range(1, k + 1)], workers=-1)
        near = np.flatnonzero(distances[:, 0] <= MAX_DISTANCE)
        index, distances = index[near], distances[near]
        weights = kriging_weights(points, multiplicity, index, distances, covariance)
        rows = np.repeat(near + start, k)
        parts.append(places.share(rows, index.ravel(), weights.ravel()))
    rows, columns, shares = (np.concatenate(part) for part in zip(*parts, strict=True))
    parameters = {"neighbours": k, "max_distance": MAX_DISTANCE, **covariance.to_dict()}
    return rows, columns, shares, parameters


METHODS: dict[str, Callable[[Raster], _Entries]] = {
    "selected": _selected,
    "nearest": _nearest,
    "linear": _linear,
    "kriging": _kriging,
}
"""Interpolation methods by name, from the plainest to the best."""
