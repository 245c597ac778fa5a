"""Where the head was at any time of a scan, from the positions and times of its spectra."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

__all__ = ["MotorTrack", "Place"]

FloatArray = npt.NDArray[np.float64]

TURN_PERIODS = 2.5
"""Between two spectra further apart in time than this many medians, the head turned round, on a
way that is not known."""


class Place(IntEnum):
    """What is known of where the head was when a frame was taken."""

    KNOWN = 0
    BEFORE = 1  # the first spectrum
    AFTER = 2  # the last spectrum
    TURN = 3  # between two rows: no position was kept


@dataclass(frozen=True, eq=False)
class MotorTrack:
    """Where the head was, by the detector's clock.

    Parameters
    ----------
    seconds : (n,) float64
        Times of the positions since the detector's start, strictly increasing.
    positions : (n, 2) float64
        Motor x and y in steps.
    """

    seconds: FloatArray = field(repr=False)
    positions: FloatArray = field(repr=False)

    def at(self, seconds: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.int8]]:
        """Return the positions (m, 2) at times (m,), and what is known of each, a `Place`.

        Along a row positions are interpolated with monotone cubics (Fritsch and Butland,
        doi:10.1137/0905021), which do not swing over where the head rests. Where the place is
        not KNOWN they are NaN.
        """
        times = np.asarray(seconds, dtype=np.float64)
        found = np.full((times.size, 2), np.nan)
        places = np.full(times.size, Place.TURN, dtype=np.int8)
        places[times < self.seconds[0]] = Place.BEFORE
        places[times > self.seconds[-1]] = Place.AFTER
        order = np.argsort(times, kind="stable")
        for first, last in self._rows:
            begun, ended = self.seconds[first], self.seconds[last - 1]
            within = order[
                slice(
                    np.searchsorted(times, begun, sorter=order),
                    np.searchsorted(times, ended, side="right", sorter=order),
                )
            ]
            if within.size:
                places[within] = Place.KNOWN
                found[within] = self._interpolated(first, last, times[within])
        return found, places

    def rows(self, seconds: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the number of the row (m,) that is scanned at times (m,), or was just before."""
        starts = self.seconds[[first for first, _ in self._rows]]
        found = np.searchsorted(starts, np.asarray(seconds, dtype=np.float64), side="right") - 1
        return np.maximum(found, 0)

    @cached_property
    def _rows(self) -> list[tuple[int, int]]:
        """First position of each row, and the one after its last."""
        gaps = np.diff(self.seconds)
        cuts = np.flatnonzero(gaps > TURN_PERIODS * np.median(gaps)) + 1
        ends = [0, *cuts.tolist(), self.seconds.size]
        return list(pairwise(ends))

    def _interpolated(self, first: int, last: int, times: FloatArray) -> FloatArray:
        """Return the positions (m, 2) at times within a row."""
        if last - first == 1:
            return np.broadcast_to(self.positions[first], (times.size, 2))
        if first not in self._curves:
            row = slice(first, last)
            self._curves[first] = PchipInterpolator(self.seconds[row], self.positions[row])
        return self._curves[first](times)

    @cached_property
    def _curves(self) -> dict[int, PchipInterpolator]:
        """Curve through each row, by its first position, as far as it was asked for."""
        return {}
