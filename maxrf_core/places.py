"""The places of a scan: where spectra lie, which of them, and which are near a point.

At the turns of a back-and-forth scan positions crowd, and some coincide. A place is a
distinct position; the spectra at one place share its weight, by their live times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .compiled import compiled
from .sparse import Rows

__all__ = ["Places"]

_PLACES_PER_BIN = 2.0
_SLACK = 1e-6  # of a bin's side: more than the rounding of any coordinate


@compiled()
def _insert(points, numbers, start, stop, x, y, index, squares, found):  # noqa: ANN001, ANN202
    """Put the places of a bin, or of several in a row, among the nearest found so far."""
    k = len(index)
    for i in range(start, stop):
        square = (points[i, 0] - x) ** 2 + (points[i, 1] - y) ** 2
        number = numbers[i]
        if found < k:
            at = found
            found += 1
        elif square < squares[k - 1] or (square == squares[k - 1] and number < index[k - 1]):
            at = k - 1
        else:
            continue
        while at > 0 and (
            squares[at - 1] > square or (squares[at - 1] == square and index[at - 1] > number)
        ):
            squares[at], index[at] = squares[at - 1], index[at - 1]
            at -= 1
        squares[at], index[at] = square, number
    return found


@compiled()
def _margin(x, y, corner, side, shape, square):  # noqa: ANN001, ANN202
    """Return a distance from a point within which no place lies outside a square of bins.

    The outermost bins hold what lies beyond them, too: nothing is outside of those.
    """
    height, width = shape
    left, right, bottom, top = square
    margin = np.inf
    if left > 0:
        margin = min(margin, x - corner[0] - left * side)
    if right < width - 1:
        margin = min(margin, corner[0] + (right + 1) * side - x)
    if bottom > 0:
        margin = min(margin, y - corner[1] - bottom * side)
    if top < height - 1:
        margin = min(margin, corner[1] + (top + 1) * side - y)
    return max(margin - _SLACK * side, 0.0)


@compiled(error_model="numpy")
def _search(points, numbers, starts, corner, side, shape, targets, reach, radius, index, squares):  # noqa: ANN001, ANN202
    """Look for the nearest places in a square of bins that grows until no other can be near."""
    height, width = shape
    k = index.shape[1]
    for target in range(len(targets)):
        x, y = targets[target]
        column = int(min(max(np.floor((x - corner[0]) / side), 0.0), width - 1.0))
        row = int(min(max(np.floor((y - corner[1]) / side), 0.0), height - 1.0))
        nearest, squared = index[target], squares[target]
        found, done, r = 0, -1, radius
        while True:
            left, right = max(column - r, 0), min(column + r, width - 1)
            bottom, top = max(row - r, 0), min(row + r, height - 1)
            for line in range(bottom, top + 1):
                # what the smaller square before did not hold: all of the line, or its two ends
                inner, outer = right + 1, right
                if abs(line - row) <= done:
                    inner, outer = max(column - done, left), min(column + done, right)
                start, stop = starts[line * width + left], starts[line * width + inner]
                found = _insert(points, numbers, start, stop, x, y, nearest, squared, found)
                start, stop = starts[line * width + outer + 1], starts[line * width + right + 1]
                found = _insert(points, numbers, start, stop, x, y, nearest, squared, found)
            margin = _margin(x, y, corner, side, shape, (left, right, bottom, top))
            if margin == np.inf or (found == k and squared[k - 1] < margin**2):
                break
            if margin > reach and (found == 0 or squared[0] > reach**2):
                break
            done, r = r, r + 1
        if found < k or np.sqrt(squared[0]) > reach:
            for i in range(k):
                nearest[i], squared[i] = 0, np.inf


@compiled()
def _share(order, first, counts, parts, exposures, places, weights, lengths):  # noqa: ANN001, ANN202
    total = 0
    for target in range(len(lengths)):
        length = 0
        for i in range(places.shape[1]):
            if weights[target, i] != 0:
                length += counts[places[target, i]]
        lengths[target] = length
        total += length
    columns = np.empty(total, dtype=order.dtype)
    shares = np.empty(total, dtype=np.float32)
    start = 0
    for target in range(len(lengths)):
        stop = start
        for i in range(places.shape[1]):
            if weights[target, i] != 0:
                place = places[target, i]
                for j in range(first[place], first[place] + counts[place]):
                    columns[stop] = order[j]
                    shares[stop] = weights[target, i] * parts[order[j]] / exposures[place]
                    stop += 1
        _sort_by_column(columns[start:stop], shares[start:stop])
        start = stop
    return columns, shares


@compiled()
def _sort_by_column(columns, weights):  # noqa: ANN001, ANN202
    """Sort a row in place by Shell's method: most have 25 entries, one may have thousands."""
    n = len(columns)
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            column, weight = columns[i], weights[i]
            at = i
            while at >= gap and columns[at - gap] > column:
                columns[at], weights[at] = columns[at - gap], weights[at - gap]
                at -= gap
            columns[at], weights[at] = column, weight
        gap //= 3


@compiled()
def _mean(order, first, counts, exposures, values, out):  # noqa: ANN001, ANN202
    sums = np.empty(out.shape[1])
    for place in range(len(counts)):
        sums[:] = 0.0
        for j in range(first[place], first[place] + counts[place]):
            for band in range(len(sums)):
                sums[band] += values[order[j], band]
        for band in range(len(sums)):
            out[place, band] = sums[band] / exposures[place]


class Places:
    """The distinct positions of a scan, and which spectra lie at each.

    Parameters
    ----------
    points : (n, 2) float64
        Positions of the spectra, finite.
    bounds : (float, float, float, float)
        Left, bottom, right and top of the area that is searched. What lies outside is
        found as well, more slowly.
    live_times : (n,) float64, optional
        Live time of each spectrum, positive and finite. Equal ones make no difference.

    Attributes
    ----------
    points : (p, 2) float64
        The distinct positions, by x, then y, whatever the order of the spectra.
    counts : (p,) int64
        How many spectra lie at each.
    exposures : (p,) float64
        Live time at each, in mean live times of a spectrum: without live times, the counts.
    """

    def __init__(
        self,
        points: npt.NDArray[np.float64],
        bounds: tuple[float, float, float, float],
        live_times: npt.NDArray[np.float64] | None = None,
    ) -> None:
        order = np.lexsort((points[:, 1], points[:, 0]))
        ordered = points[order]
        differs = (ordered[1:] != ordered[:-1]).any(axis=1)
        self._first = np.flatnonzero(np.concatenate([[True], differs]))
        self._order = order.astype(np.int32 if len(points) < 2**31 else np.int64)
        self.counts = np.diff(self._first, append=len(points))
        self.points = ordered[self._first]
        self._parts = np.ones(len(points))
        self.exposures = self.counts.astype(np.float64)
        if live_times is not None and (live_times != live_times[0]).any():
            self._parts = live_times / live_times.mean()
            self.exposures = np.add.reduceat(self._parts[order], self._first)
        self._fill_bins(bounds)

    def _fill_bins(self, bounds: tuple[float, float, float, float]) -> None:
        """Sort the places into square bins: neighbours in space become neighbours in memory."""
        corner, opposite = np.array(bounds[:2]), np.array(bounds[2:])
        inside = int(((self.points >= corner) & (self.points <= opposite)).all(axis=1).sum())
        wanted = max(inside, len(self.points) / 8) / _PLACES_PER_BIN  # some even if all lie beside
        width, height = (opposite - corner).tolist()
        # at most three times as many bins as wanted, even if all places lie on a line
        self._side = max(np.sqrt(width * height / wanted), max(width, height) / wanted)
        self._corner = tuple(corner.tolist())
        self._shape = rows, columns = int(height / self._side) + 1, int(width / self._side) + 1
        steps = np.floor((self.points - corner) / self._side)
        column, row = np.clip(steps, 0, [columns - 1, rows - 1]).astype(np.int64).T
        bins = row * columns + column
        self._numbers = np.argsort(row, kind="stable")  # by x, so by bin, in each row already
        self._binned = self.points[self._numbers]
        sizes = np.bincount(bins, minlength=rows * columns)
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def nearest(
        self, targets: npt.NDArray[np.float64], k: int, *, reach: float = np.inf
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the nearest places of some points.

        Of two at the same distance the one with the lower number comes first.

        Parameters
        ----------
        targets : (m, 2) float64
            The points.
        k : int
            How many places for each, at most as many as there are.
        reach : float
            A point without a place at this distance or nearer gets none.

        Returns
        -------
        index : (m, k) int64
            Numbers of the places, the nearest first; 0 for a point that gets none.
        distances : (m, k) float64
            Their distances; infinite for a point that gets none.
        """
        index = np.empty((len(targets), k), dtype=np.int64)
        squares = np.empty((len(targets), k))
        # the first square of bins tried, (2 radius + 1)^2 of them, should hold k places
        radius = int(np.ceil((np.sqrt(k / _PLACES_PER_BIN) - 1) / 2))
        _search(
            self._binned, self._numbers, self._starts, self._corner, self._side, self._shape,
            targets, float(reach), radius, index, squares,
        )  # fmt: skip
        return index, np.sqrt(squares, out=squares)

    def mean(self, values: npt.NDArray[np.number]) -> npt.NDArray[np.float32]:
        """Return the mean counts at each place.

        Parameters
        ----------
        values : (n, b) number
            Counts of each spectrum in b energy bands.

        Returns
        -------
        means : (p, b) float32
            Counts in the mean live time of a spectrum: the sum over the spectra at a place,
            over their live time. Its variance is the true mean over `exposures`.
        """
        out = np.empty((len(self.counts), values.shape[1]), dtype=np.float32)
        _mean(self._order, self._first, self.counts, self.exposures, values, out)
        return out

    def share(self, places: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]) -> Rows:
        """Hand the weight of each place to its spectra by their live times.

        Parameters
        ----------
        places : (m, k) int64
            Numbers of the places that make up each of m rows.
        weights : (m, k) float64
            Their weights. A place of weight 0 is left out.

        Returns
        -------
        Rows
            Columns are the numbers of the spectra.
        """
        lengths = np.empty(len(places), dtype=np.int64)
        columns, shares = _share(
            self._order, self._first, self.counts, self._parts, self.exposures,
            places, weights, lengths,
        )  # fmt: skip
        return Rows(lengths, columns, shares)
