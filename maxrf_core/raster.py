"""How the instrument's head moves: rows back and forth, as in the one real file.

Numbers were read off that file (85 x 37 cells, 4284 spectra, `CRONO 1.2.4.54`). Positions are
motor steps, times periods of 60 ms, one spectrum each.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = [
    "ACCELERATION",
    "MAX_WOBBLE",
    "PERIOD_US",
    "ROW_PITCH",
    "X_START",
    "Y_START",
    "HeadMotion",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

X_START = 132252
Y_START = 111816
Z_FIXED = 46018
ROW_PITCH = 500
COLUMN_PITCH = 37918 / 37
"""Steps between columns: the real file's 37 columns lie on x from 132252 to 170170."""
PERIOD_US = 60000
CRUISE = COLUMN_PITCH
"""Steps in one period at full speed: one spectrum a column."""
ACCELERATION = 100.0
"""Steps a period squared; with the rest below, it gives the 5 to 8 spectra within 1500 steps of
each end. (That the file's own attribute `Acceleration` is 100 too may be chance.)"""
EXTRA_SPECTRA = 13.4
"""Spectra in a row beyond one a column: 50.4 - 37."""
REST = (EXTRA_SPECTRA - CRUISE / ACCELERATION) / 2
"""Periods for which the head stands still at each end: spectra at the very same place."""
WOBBLE_PERIOD = 12000.0
WOBBLE_FADE = 3000.0
"""Steps: wave length of the wobble, and the way from an end over which it sets in."""
MAX_WOBBLE = 500.0
"""Beyond about 950 steps the head would run backwards."""
TURN_PERIODS = (31, 35)
"""Spectra that are not kept at a turn, fewest and most; 33 on average in the real file."""


class HeadMotion:
    """Where the head is, and when: rows with constant acceleration at both ends.

    Only a few numbers a row are kept; what belongs to a spectrum is computed when asked for.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the vendor's map.
    seed : int
        Of what differs from row to row.
    wobble_steps : float
        Height of the slow wobble along a row.
    """

    def __init__(self, shape: tuple[int, int], seed: int, wobble_steps: float) -> None:
        self.rows, self.columns = shape
        self.length = self.columns * COLUMN_PITCH
        self._wobble = wobble_steps
        # A row too short for full speed brakes half way.
        self._speed = min(CRUISE, math.sqrt(ACCELERATION * self.length))
        self._rise = self._speed / ACCELERATION
        self._travel = self.length / self._speed + self._rise
        # Generator.random is the one stream that numpy has never changed.
        draws = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).random(
            (3, self.rows)
        )
        self._phases = draws[0]
        self._wobble_phases = 2.0 * np.pi * draws[1]
        per_row = np.floor(self._travel + 2.0 * REST - self._phases).astype(np.int64) + 1
        fewest, most = TURN_PERIODS
        turns = fewest + np.floor(draws[2] * (most - fewest + 1)).astype(np.int64)
        self._starts = np.concatenate([[0], np.cumsum(per_row)])
        self._first_periods = np.concatenate([[0], np.cumsum(per_row + turns)[:-1]])
        self.n_spectra = int(self._starts[-1])

    def periods(self, spectra: IntArray) -> IntArray:
        """Return the periods since the scan's start at which spectra (m,) were begun."""
        rows, places = self._rows_and_places(spectra)
        return self._first_periods[rows] + places

    def recorded(self, start: int, stop: int) -> npt.NDArray[np.uint32]:
        """Return the positions (stop - start, 3) that the instrument records for spectra."""
        x, y = self.exposed(np.arange(start, stop), 0.0)
        z = np.full(stop - start, Z_FIXED)
        return np.column_stack([np.rint(x), y, z]).astype(np.uint32)

    def exposed(self, spectra: IntArray, later: float) -> tuple[FloatArray, FloatArray]:
        """Return x and y (m,) at `later` periods after spectra's recorded positions."""
        rows, places = self._rows_and_places(spectra)
        x = self._x(rows, places + self._phases[rows] + later)
        return x, (Y_START + ROW_PITCH * rows).astype(np.float64)

    def at(self, periods: FloatArray) -> FloatArray:
        """Return x and y (m, 2) at any times (m,), in periods since the scan's start.

        At a turn the head rests at the end of the row, then at the beginning of the next; y
        goes from one to the other half way in between. (How it truly does is not known.)
        """
        rows = np.clip(
            np.searchsorted(self._first_periods, periods, side="right") - 1, 0, self.rows - 1
        )
        x = self._x(rows, periods - self._first_periods[rows] + self._phases[rows])
        # the last of the periods in which a row's spectra lie, and the first of the next row's
        done = self._first_periods + np.diff(self._starts) - 1
        begun = np.append(self._first_periods[1:], done[-1] + 1)
        share = (periods - done[rows]) / (begun[rows] - done[rows])
        last = rows == self.rows - 1
        share = np.where(last, 0.0, np.clip(2.0 * share - 0.5, 0.0, 1.0))
        return np.column_stack([x, Y_START + ROW_PITCH * (rows + share)])

    def selected(self, first_row: int, last_row: int) -> npt.NDArray[np.uint64]:
        """Return the spectrum nearest to each cell's centre, (rows, w, 1), as the vendor does.

        Of rows `first_row` to `last_row` - 1; only spectra of the cell's own row count.
        """
        centres = X_START + COLUMN_PITCH * (np.arange(self.columns) + 0.5)
        chosen = np.empty((last_row - first_row, self.columns, 1), dtype=np.uint64)
        for row in range(first_row, last_row):
            start, stop = int(self._starts[row]), int(self._starts[row + 1])
            x = self.recorded(start, stop)[:, 0].astype(np.float64)
            order = np.arange(x.size) if row % 2 == 0 else np.arange(x.size)[::-1]
            after = np.clip(np.searchsorted(x[order], centres), 1, x.size - 1)
            before = order[after - 1]
            nearer = np.abs(x[before] - centres) <= np.abs(x[order[after]] - centres)
            chosen[row - first_row, :, 0] = start + np.where(nearer, before, order[after])
        return chosen

    def _rows_and_places(self, spectra: IntArray) -> tuple[IntArray, IntArray]:
        """Return the rows of spectra, and which spectrum of its row each is."""
        rows = np.searchsorted(self._starts, spectra, side="right") - 1
        return rows, spectra - self._starts[rows]

    def _x(self, rows: IntArray, times: FloatArray) -> FloatArray:
        """Return x at times (periods) within rows; before and after them the head rests."""
        t = np.clip(times - REST, 0.0, self._travel)
        left = self._travel - t
        way = np.where(
            t < self._rise,
            0.5 * ACCELERATION * t**2,
            np.where(
                left < self._rise,
                self.length - 0.5 * ACCELERATION * left**2,
                self._speed * (t - 0.5 * self._rise),
            ),
        )
        near = np.clip(np.minimum(way, self.length - way) / WOBBLE_FADE, 0.0, 1.0)
        angle = 2.0 * np.pi * way / WOBBLE_PERIOD + self._wobble_phases[rows]
        way = way + self._wobble * near**2 * (3.0 - 2.0 * near) * np.sin(angle)
        return X_START + np.where(rows % 2 == 0, way, self.length - way)
