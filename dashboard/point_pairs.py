"""Point pairs of photo and map while they are picked, without a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from maxrf_core import Grid, ParameterError
from maxrf_core.photo import FEWEST_PAIRS, PhotoFit, PhotoKind, fit_photo

from .text import sentence_of

__all__ = ["MOST_PICKED", "PointPairs", "off_told"]

MOST_PICKED = 50
"""More are not told apart by their numbers, and a fit of them would hold up others."""

Point = tuple[float, float]


@dataclass
class _Pair:
    id: int
    values: list[float]


def off_told(steps: float, cells: float) -> str:
    """Return a distance in words, no finer than anybody can pick."""
    return f"{steps:,.{0 if steps >= 10 else 1}f} steps · {cells:.2f} cells"


class PointPairs:
    """Places in the photo and the same ones in the map.

    Attributes
    ----------
    kind : {"affine", "homography"}
        What is fitted.
    in_photo, in_map : tuple of float or None
        A point that waits for its partner.
    fit : PhotoFit or None
        What the pairs give, None while there are too few or they do not fit.
    complaint : str
        Why there is no fit, unless there are merely too few pairs.
    """

    def __init__(self) -> None:
        self.kind: PhotoKind = "affine"
        self.in_photo: Point | None = None
        self.in_map: Point | None = None
        self.fit: PhotoFit | None = None
        self.complaint = ""
        self._pairs: list[_Pair] = []
        self._last = 0

    @property
    def points(self) -> list[tuple[float, float, float, float]]:
        """Of each pair x and y in the photo, and x and y in motor steps."""
        return [tuple(pair.values) for pair in self._pairs]

    @property
    def ids(self) -> list[int]:
        """What names each pair, whatever others go."""
        return [pair.id for pair in self._pairs]

    @property
    def lacking(self) -> int:
        """How many more pairs the fit needs at least."""
        return max(0, FEWEST_PAIRS[self.kind] - len(self._pairs))

    def start(self, points: Sequence[Sequence[float]], kind: PhotoKind) -> None:
        """Begin with other pairs."""
        self._pairs, self.kind = [], kind
        self.in_photo = self.in_map = None
        for point in points:
            self._append(list(map(float, point)))
        self._refit()

    def choose(self, kind: PhotoKind) -> None:
        """Fit something else to the same pairs."""
        self.kind = kind
        self._refit()

    def pick(self, *, in_photo: Point | None = None, in_map: Point | None = None) -> None:
        """Take a point; with its partner it becomes a pair.

        Raises
        ------
        ParameterError
            If there are as many pairs as can be picked.
        """
        photo, motor = in_photo or self.in_photo, in_map or self.in_map
        if photo is None or motor is None:
            self.in_photo, self.in_map = photo, motor
            return
        self.add([*photo, *motor])
        self.in_photo = self.in_map = None

    def add(self, values: Sequence[float]) -> None:
        """Add a pair; raises as `pick`."""
        if len(self._pairs) >= MOST_PICKED:
            raise ParameterError(f"There are {len(self._pairs)} pairs; remove one first.")
        self._append(list(values))
        self._refit()

    def change(self, pair_id: int, axis: int, value: float) -> None:
        """Set one of the four numbers of a pair."""
        for pair in self._pairs:
            if pair.id == pair_id:
                pair.values[axis] = value
        self._refit()

    def remove(self, pair_id: int) -> None:
        """Take a pair away."""
        self._pairs = [pair for pair in self._pairs if pair.id != pair_id]
        self._refit()

    def told(self, grid: Grid) -> list[str]:
        """Return how far each pair is off: in motor steps and in cells."""
        if self.fit is None or self.fit.freedom == 0:
            return ["–"] * len(self._pairs)
        return [
            off_told(math.hypot(dx, dy), math.hypot(dx / grid.dx, dy / grid.dy))
            for dx, dy in self.fit.residuals
        ]

    def _append(self, values: list[float]) -> None:
        self._last += 1
        self._pairs.append(_Pair(self._last, values))

    def _refit(self) -> None:
        self.fit, self.complaint = None, ""
        if self.lacking:
            return
        points = self.points
        try:
            self.fit = fit_photo(
                [point[:2] for point in points], [point[2:] for point in points], kind=self.kind
            )
        except ParameterError as error:
            self.complaint = sentence_of(error)
