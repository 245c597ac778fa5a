"""Scans of known truth, written in the layout of the Crono instrument's own HDF5 file.

The head moves back and forth over a `phantom`; each spectrum is drawn from the expectation over
its 60 ms stretch of motion, and is exactly Poisson in every channel. What was expected can be
asked of the `SimulatedScan` at any place, and, from the file alone, of `load_truth`.

Sources: the raster's numbers and the layout were read off one real file (85 x 37 cells, 4284
spectra, `CRONO 1.2.4.54`); lines, detector and scatter are those of `lines`.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import h5py
import numba
import numpy as np

from maxrf_core import schema
from maxrf_core.crono import open_spectra
from maxrf_core.errors import CronoFileError, OutputError, ParameterError
from maxrf_core.lines import (
    NOISE_FWHM_KEV,
    compton_template,
    continuum_template,
    element_template,
    peak_template,
    rayleigh_template,
)
from maxrf_core.phantom import COMPONENTS, ELEMENTS, PHANTOMS, Phantom, make_phantom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike

    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]

__all__ = [
    "CRONO_ROIS",
    "DEMO_SHAPE",
    "SimulatedScan",
    "SimulationParameters",
    "load_truth",
    "simulate_crono",
]

DEMO_SHAPE = (168, 96)
"""Rows and columns of a scan in which the drawing reads well: about 18,400 spectra, 156 MB."""

SIMULATION_ATTRIBUTE = "maxrf_simulation"
SIMULATION_VERSION = 1
BLOCK_SPECTRA = 2048
"""Spectra drawn with one random generator; part of the format, as the counts depend on it."""

# --- The instrument, as in the real file --------------------------------------------------
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
FIRST_ID = 20518
FIRST_TIMESTAMP_US = 14_880_000
DPP_START = 125903380430
CREATED = datetime(2021, 10, 15, 14, 20, 2)  # noqa: DTZ001 - the file knows no time zone
CALIBRATION = ((771.0, 8.046), (1952.0, 22.163))
"""Channel of 4096, keV."""
CALIBRATION_BINS = 4096
DEAD_TIME_US = 1.1
COUNTS_A_RESET = 52.0
"""Dead time of a count, and counts between two resets of the preamplifier: the real file's
515 counts go with 59436 us of live time and 9 resets, 578 with 59356 us and 11."""
SOFTWARE = "CRONO 1.2.4.54"

CRONO_ROIS: tuple[tuple[str, float, float], ...] = (
    ("SiKa", 1.639, 1.890), ("SKa", 2.189, 2.392), ("CaKa", 3.516, 3.850),
    ("TiKaBaLa", 4.293, 4.651), ("BaLg", 5.058, 5.309), ("CrKaBaLl", 5.309, 5.619),
    ("MnKa", 5.691, 6.050), ("FeKa", 6.169, 6.612), ("FeKbCoKa", 6.779, 7.245),
    ("CuKa", 7.549, 7.549), ("ZnKa", 8.369, 8.871), ("PbLa", 10.353, 10.819),
    ("PbLb", 12.421, 12.863), ("SrKa", 13.903, 14.453), ("Compton", 18.206, 19.490),
    ("KKa", 3.181, 3.468), ("AsKb", 11.741, 12.098), ("HgLa", 9.800, 10.100),
    ("SeKa", 11.010, 11.465), ("CdKa", 22.856, 23.550), ("New ROI (1)", 16.927, 17.573),
    ("New ROI (2)", 14.585, 14.955), ("RhKa", 19.832, 20.573), ("PKa", 1.866, 2.129),
    ("NiKa", 7.317, 7.652), ("New ROI (3)", 8.966, 9.433), ("SnKa", 24.812, 25.713),
)  # fmt: skip
"""Regions of interest of the real file: name, low and high energy in keV. Its `CuKa` is empty."""

# --- The sample ---------------------------------------------------------------------------
STRENGTHS = {
    "S": 12.0, "Ar": 6.0, "K": 28.0, "Ca": 90.0, "Mn": 30.0, "Fe": 210.0, "Cu": 270.0,
    "Zn": 60.0, "Hg": 300.0, "Pb": 300.0, "Rayleigh": 30.0, "Compton": 90.0, "continuum": 200.0,
}  # fmt: skip
"""Counts at abundance 1, relative to each other: about what ink and paint on paper give."""
ZERO_SHARE = 0.1
"""Share of the counts in the zero peak: 48 of 563 in the real file's first spectrum (inferred
from `OutputCountRates` against `Detected`)."""
BLUR_NODES, BLUR_WEIGHTS = np.polynomial.legendre.leggauss(3)
SCALE_SAMPLE = 8192
"""Spectra, evenly spread over the scan, on which its mean number of counts is settled."""
ROWS_A_BLOCK = 256
MAX_COUNT = int(np.iinfo(np.uint16).max)


@dataclass(frozen=True)
class SimulationParameters:
    """What decides a simulated scan, as its file keeps it.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns of the vendor's map.
    seed : int
        Seed of the raster and of the counts.
    phantom : str
        Name of the painting, a key of `maxrf_core.phantom.PHANTOMS`.
    n_channels : int
        Channels of a spectrum.
    counts_per_spectrum : float
        Expected counts, the mean over the scan's spectra.
    lag : float
        Periods by which the exposure's middle is later than the recorded position.
    motion_blur : bool
        Whether the head moves during the exposure.
    wobble_steps : float
        Height of the slow wobble, in motor steps.
    scale : float
        Counts for each unit of the components' strengths.
    version : int
        Version of this model.
    """

    shape: tuple[int, int]
    seed: int
    phantom: str
    n_channels: int
    counts_per_spectrum: float
    lag: float
    motion_blur: bool
    wobble_steps: float
    scale: float = 1.0
    version: int = SIMULATION_VERSION


# --- The raster ---------------------------------------------------------------------------


class _Raster:
    """Where the head is, and when: rows back and forth with constant acceleration at the ends.

    Only a few numbers a row are kept; what belongs to a spectrum is computed when asked for.
    """

    def __init__(self, shape: tuple[int, int], seed: int, wobble_steps: float) -> None:
        self.rows, self.columns = shape
        self.length = self.columns * COLUMN_PITCH
        self.wobble = wobble_steps
        # A row too short for full speed brakes half way.
        self.speed = min(CRUISE, math.sqrt(ACCELERATION * self.length))
        self.rise = self.speed / ACCELERATION
        self.travel = self.length / self.speed + self.rise
        # Generator.random is the one stream that numpy has never changed.
        draws = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))).random(
            (3, self.rows)
        )
        self.phases = draws[0]
        self.wobble_phases = 2.0 * np.pi * draws[1]
        per_row = np.floor(self.travel + 2.0 * REST - self.phases).astype(np.int64) + 1
        fewest, most = TURN_PERIODS
        turns = fewest + np.floor(draws[2] * (most - fewest + 1)).astype(np.int64)
        self.starts = np.concatenate([[0], np.cumsum(per_row)])
        self.first_periods = np.concatenate([[0], np.cumsum(per_row + turns)[:-1]])
        self.n_spectra = int(self.starts[-1])

    def rows_and_times(
        self, spectra: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.int64]]:
        """Return row, time within it in periods, and period since the start, of spectra."""
        rows = np.searchsorted(self.starts, spectra, side="right") - 1
        place = spectra - self.starts[rows]
        return rows, place + self.phases[rows], self.first_periods[rows] + place

    def x(self, rows: NDArray[np.int64], times: FloatArray) -> FloatArray:
        """Return the head's x in steps at times (periods) within rows; it rests outside them."""
        t = np.clip(times - REST, 0.0, self.travel)
        left = self.travel - t
        way = np.where(
            t < self.rise,
            0.5 * ACCELERATION * t**2,
            np.where(
                left < self.rise,
                self.length - 0.5 * ACCELERATION * left**2,
                self.speed * (t - 0.5 * self.rise),
            ),
        )
        near = np.clip(np.minimum(way, self.length - way) / WOBBLE_FADE, 0.0, 1.0)
        angle = 2.0 * np.pi * way / WOBBLE_PERIOD + self.wobble_phases[rows]
        way = way + self.wobble * near**2 * (3.0 - 2.0 * near) * np.sin(angle)
        return X_START + np.where(rows % 2 == 0, way, self.length - way)

    def recorded(self, start: int, stop: int) -> NDArray[np.uint32]:
        """Return the motor positions (k, 3) that the instrument records."""
        rows, times, _ = self.rows_and_times(np.arange(start, stop))
        positions = np.empty((stop - start, 3), dtype=np.uint32)
        positions[:, 0] = np.rint(self.x(rows, times))
        positions[:, 1] = Y_START + ROW_PITCH * rows
        positions[:, 2] = Z_FIXED
        return positions

    def exposed(self, spectra: NDArray[np.int64], later: float) -> tuple[FloatArray, FloatArray]:
        """Return x and y in steps `later` periods after the recorded position."""
        rows, times, _ = self.rows_and_times(spectra)
        return self.x(rows, times + later), (Y_START + ROW_PITCH * rows).astype(np.float64)

    def selected(self, first_row: int, last_row: int) -> NDArray[np.uint64]:
        """Return the spectrum nearest to each cell's centre, for rows first to last, (k, w, 1)."""
        centres = X_START + COLUMN_PITCH * (np.arange(self.columns) + 0.5)
        chosen = np.empty((last_row - first_row, self.columns, 1), dtype=np.uint64)
        for row in range(first_row, last_row):
            start, stop = int(self.starts[row]), int(self.starts[row + 1])
            x = self.recorded(start, stop)[:, 0].astype(np.float64)
            order = np.arange(x.size) if row % 2 == 0 else np.arange(x.size)[::-1]
            after = np.clip(np.searchsorted(x[order], centres), 1, x.size - 1)
            before = order[after - 1]
            nearer = np.abs(x[before] - centres) <= np.abs(x[order[after]] - centres)
            chosen[row - first_row, :, 0] = start + np.where(nearer, before, order[after])
        return chosen


# --- What each component looks like -------------------------------------------------------


def _energy_axis(n_channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the channels' energies (c,) and calibration points (2, 2): the same span for all c."""
    ratio = CALIBRATION_BINS / n_channels
    (low_channel, low_kev), (high_channel, high_kev) = (
        ((channel + 0.5) / ratio - 0.5, kev) for channel, kev in CALIBRATION
    )
    gain = (high_kev - low_kev) / (high_channel - low_channel)
    energies = low_kev + gain * (np.arange(n_channels) - low_channel)
    points = np.array([[low_channel, low_kev], [high_channel, high_kev]], dtype=np.float32)
    return energies.astype(np.float32), points


def _templates(energies: NDArray[np.float32]) -> FloatArray:
    """Return the shape (k, c) of every component in `COMPONENTS`, each summing to 1."""
    axis = energies.astype(np.float64)
    others = {
        "Rayleigh": rayleigh_template(axis),
        "Compton": compton_template(axis),
        "continuum": continuum_template(axis),
        "zero": peak_template(axis, [0.0], [1.0], fwhm_kev=[NOISE_FWHM_KEV]),
    }
    return np.stack(
        [element_template(name, axis) if name in ELEMENTS else others[name] for name in COMPONENTS]
    )


def _alias_tables(templates: FloatArray) -> tuple[FloatArray, NDArray[np.int32]]:
    """Return Walker's alias tables, thresholds and aliases of shape (k, c).

    A. J. Walker, ACM Trans. Math. Software 3 (1977) 253, https://doi.org/10.1145/355744.355749,
    built as by M. D. Vose, IEEE Trans. Software Eng. 17 (1991) 972.
    """
    thresholds = np.ones_like(templates)
    aliases = np.tile(np.arange(templates.shape[1], dtype=np.int32), (len(templates), 1))
    for template, threshold, alias in zip(templates, thresholds, aliases, strict=True):
        share = (template * (template.size / template.sum())).tolist()
        small = [channel for channel, value in enumerate(share) if value < 1.0]
        large = [channel for channel, value in enumerate(share) if value >= 1.0]
        while small and large:
            poor, rich = small.pop(), large[-1]
            threshold[poor], alias[poor] = share[poor], rich
            share[rich] -= 1.0 - share[poor]
            if share[rich] < 1.0:
                small.append(large.pop())
        # What is left over is 1 but for rounding; a channel that gets nothing must stay empty.
        for channel in small:
            if template[channel] == 0.0:
                threshold[channel], alias[channel] = 0.0, int(template.argmax())
    return thresholds, aliases


@numba.njit(cache=True, nogil=True)
def _scatter_counts(generator, numbers, thresholds, aliases, counts):  # noqa: ANN001, ANN202
    """Throw `numbers` (m, k) of each component's counts into `counts` (m, c), clipped to uint16."""
    n_channels = thresholds.shape[1]
    for spectrum in range(numbers.shape[0]):
        for component in range(numbers.shape[1]):
            for _ in range(numbers[spectrum, component]):
                throw = generator.random() * n_channels
                channel = int(throw)
                if throw - channel >= thresholds[component, channel]:
                    channel = aliases[component, channel]
                if counts[spectrum, channel] < MAX_COUNT:
                    counts[spectrum, channel] += 1


# --- The truth ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A simulated scan and the expectation that its counts were drawn from.

    Attributes
    ----------
    filename : str
        The Crono HDF5 file.
    parameters : SimulationParameters
        What decided the scan.
    energies : ndarray of float32, shape (c,)
        Energies of the channels' centres in keV.
    """

    filename: str
    parameters: SimulationParameters
    energies: NDArray[np.float32]

    @property
    def n_spectra(self) -> int:
        """Number of spectra, n."""
        return self._raster.n_spectra

    @cached_property
    def _raster(self) -> _Raster:
        parameters = self.parameters
        return _Raster(parameters.shape, parameters.seed, parameters.wobble_steps)

    @cached_property
    def _phantom(self) -> Phantom:
        rows, _ = self.parameters.shape
        aspect = self._raster.length / (ROW_PITCH * rows)
        return make_phantom(self.parameters.phantom, aspect=aspect)

    @cached_property
    def _templates(self) -> FloatArray:
        return _templates(self.energies)

    @property
    def positions(self) -> NDArray[np.uint32]:
        """The recorded motor positions in steps, (n, 3), as in the file."""
        return self._raster.recorded(0, self.n_spectra)

    @property
    def exposure_positions(self) -> FloatArray:
        """Where the middle of each exposure truly was: x and y in steps, (n, 2)."""
        x, y = self._raster.exposed(np.arange(self.n_spectra), self.parameters.lag)
        return np.column_stack([x, y])

    def rates(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return the expected counts of every component at motor positions.

        Parameters
        ----------
        x, y : array_like of float
            Motor positions in steps.

        Returns
        -------
        ndarray of float64, shape (..., k)
            Expected counts of one spectrum, in the order of `maxrf_core.phantom.COMPONENTS`.
        """
        u, v = self._to_unit(x, y)
        abundances = self._phantom.abundances(u, v)
        return np.stack(
            [abundances[name] * self._strength(name) for name in COMPONENTS],
            axis=-1,
        )

    def _to_unit(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return motor positions as shares of the scan's extent, whose rows are cells high."""
        height = ROW_PITCH * self.parameters.shape[0]
        u = (np.asarray(x, dtype=np.float64) - X_START) / self._raster.length
        v = (np.asarray(y, dtype=np.float64) - (Y_START - ROW_PITCH / 2)) / height
        return u, v

    def _strength(self, component: str) -> float:
        """Return the expected counts of a component at abundance 1."""
        if component == "zero":
            return self.parameters.counts_per_spectrum * ZERO_SHARE
        return self.parameters.scale * STRENGTHS[component]

    def expected_counts(
        self, x: ArrayLike, y: ArrayLike, low_kev: float, high_kev: float
    ) -> FloatArray:
        """Return the expected counts in an energy window at motor positions.

        The value is that of a spectrum taken standing still; for what the file's own spectra
        were drawn from, see `expected_counts_per_spectrum`. Clipping at 65535 is left out.

        Parameters
        ----------
        x, y : array_like of float
            Motor positions in steps.
        low_kev, high_kev : float
            The window holds the channels whose energy lies in [low, high).

        Returns
        -------
        ndarray of float64
            Counts, of the broadcast shape of `x` and `y`.

        Raises
        ------
        ParameterError
            If the window's ends are not finite or the wrong way round.
        """
        shares = self._window_shares(low_kev, high_kev)
        u, v = self._to_unit(x, y)
        abundances = self._phantom.abundances(u, v)
        total = np.zeros(np.broadcast_shapes(u.shape, v.shape))
        for name, share in zip(COMPONENTS, shares, strict=True):
            if share > 0.0:
                total = total + share * self._strength(name) * abundances[name]
        return total

    def _window_shares(self, low_kev: float, high_kev: float) -> FloatArray:
        """Return the share of each component (k,) that falls into the window."""
        if not (math.isfinite(low_kev) and math.isfinite(high_kev) and low_kev <= high_kev):
            raise ParameterError(
                f"The energy window is {low_kev!r} to {high_kev!r} keV; two finite energies were "
                "expected, the lower first."
            )
        energies = self.energies.astype(np.float64)
        return self._templates[:, (energies >= low_kev) & (energies < high_kev)].sum(axis=1)

    def expected_map(
        self, grid_x: ArrayLike, grid_y: ArrayLike, low_kev: float, high_kev: float
    ) -> FloatArray:
        """Return the expected counts in an energy window on a grid.

        Parameters
        ----------
        grid_x : array_like of float, shape (w,)
            Motor x of the columns, in steps.
        grid_y : array_like of float, shape (h,)
            Motor y of the rows, in steps.
        low_kev, high_kev : float
            The window, [low, high).

        Returns
        -------
        ndarray of float64, shape (h, w)
            Counts of one spectrum taken standing still on each point.
        """
        columns = np.asarray(grid_x, dtype=np.float64)
        return np.stack(
            [self.expected_counts(columns, y, low_kev, high_kev) for y in np.asarray(grid_y)]
        )

    def expected_spectrum(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """Return the expected counts in every channel at motor positions.

        Parameters
        ----------
        x, y : array_like of float
            Motor positions in steps.

        Returns
        -------
        ndarray of float64, shape (..., c)
            Counts of a spectrum taken standing still.
        """
        return self.rates(x, y) @ self._templates

    def exposed_rates(self, spectra: ArrayLike) -> FloatArray:
        """Return the expected counts of every component in spectra of the file.

        With motion blur they are averaged over the way of the head during the exposure, by
        Gauss-Legendre quadrature with three nodes.

        Parameters
        ----------
        spectra : array_like of int, shape (m,)
            Numbers of spectra.

        Returns
        -------
        ndarray of float64, shape (m, k)
            Expected counts, in the order of `maxrf_core.phantom.COMPONENTS`.
        """
        numbers = np.asarray(spectra, dtype=np.int64)
        lag = self.parameters.lag
        if not self.parameters.motion_blur:
            return self.rates(*self._raster.exposed(numbers, lag))
        total = np.zeros((numbers.size, len(COMPONENTS)))
        for node, weight in zip(BLUR_NODES, BLUR_WEIGHTS, strict=True):
            places = self._raster.exposed(numbers, lag + 0.5 * float(node))
            total += 0.5 * float(weight) * self.rates(*places)
        return total

    def expected_counts_per_spectrum(
        self, low_kev: float, high_kev: float, *, start: int = 0, stop: int | None = None
    ) -> FloatArray:
        """Return the expectation that the file's own counts in an energy window were drawn from.

        Parameters
        ----------
        low_kev, high_kev : float
            The window, [low, high).
        start, stop : int, optional
            First spectrum, and the one after the last; by default all.

        Returns
        -------
        ndarray of float64, shape (stop - start,)
            Counts, with lag and motion blur.
        """
        shares = self._window_shares(low_kev, high_kev)
        last = self.n_spectra if stop is None else stop
        blocks = [
            self.exposed_rates(np.arange(first, min(first + BLOCK_SPECTRA, last))) @ shares
            for first in range(start, last, BLOCK_SPECTRA)
        ]
        return np.concatenate(blocks) if blocks else np.zeros(0)


def load_truth(filename: str | PathLike[str]) -> SimulatedScan:
    """Return the truth of a simulated scan, from its file alone.

    Parameters
    ----------
    filename : str or path
        A file that `simulate_crono` wrote.

    Returns
    -------
    SimulatedScan
        As `simulate_crono` returned it.

    Raises
    ------
    CronoFileError
        If the file cannot be read, is no simulation, comes from another version of the
        simulation, or does not hold what its parameters say.
    """
    name = os.fspath(filename)
    with open_spectra(name) as spectra:
        file = spectra.file
        n_spectra = int(spectra.shape[0])
        stored = file.attrs.get(SIMULATION_ATTRIBUTE)
        if stored is None:
            raise CronoFileError(
                f"{name} is no simulated scan (it has no root attribute {SIMULATION_ATTRIBUTE}); "
                "its truth is not known. Make one with simulate_crono or `maxrf demo`."
            )
        parameters = _parameters_from_json(name, stored)
        energies, _ = _energy_axis(parameters.n_channels)
        truth = SimulatedScan(name, parameters, energies)
        last = min(BLOCK_SPECTRA, truth.n_spectra)
        recorded = file[schema.MOTORS_POSITIONS][:last]
        if n_spectra != truth.n_spectra or not np.array_equal(
            recorded,
            truth._raster.recorded(0, last),  # noqa: SLF001 - same module
        ):
            raise CronoFileError(
                f"{name}: its spectra or motor positions are not those that its attribute "
                f"{SIMULATION_ATTRIBUTE} describes, so the file was changed; simulate it again."
            )
        return truth


def _parameters_from_json(name: str, stored: Any) -> SimulationParameters:
    """Return the parameters that a file's attribute holds."""
    again = "simulate the scan again with this version."
    try:
        values = json.loads(stored)
        version = values["version"]
    except (TypeError, ValueError, KeyError) as error:
        raise CronoFileError(
            f"{name}: the root attribute {SIMULATION_ATTRIBUTE} is not the JSON text that was "
            f"expected; {again}"
        ) from error
    if version != SIMULATION_VERSION:
        raise CronoFileError(
            f"{name} was simulated by version {version!r} of the model, this is version "
            f"{SIMULATION_VERSION}, which draws other scans; {again}"
        )
    try:
        parameters = SimulationParameters(**{**values, "shape": tuple(values["shape"])})
        faults = _parameter_faults(parameters)
    except (TypeError, KeyError) as error:
        raise CronoFileError(
            f"{name}: the parameters in {SIMULATION_ATTRIBUTE} are incomplete ({error}); {again}"
        ) from error
    if faults:
        raise CronoFileError(
            f"{name}: the parameters in {SIMULATION_ATTRIBUTE} are wrong: {'; '.join(faults)}."
        )
    return parameters


# --- Checks -------------------------------------------------------------------------------


def _is_count(value: object, low: int, high: int) -> bool:
    """Tell whether a value is a whole number from low to high."""
    return (
        isinstance(value, (int, np.integer))
        and not isinstance(value, bool)
        and low <= int(value) <= high
    )


def _is_number(value: object, low: float, high: float) -> bool:
    """Tell whether a value is a real number from low to high."""
    return (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and low <= float(value) <= high
    )


def _parameter_faults(parameters: SimulationParameters) -> list[str]:
    """Return what is wrong with the parameters, one clause each."""
    shape = parameters.shape
    rules = (
        (
            "shape",
            isinstance(shape, tuple)
            and len(shape) == 2
            and all(_is_count(size, 1, 1_000_000) for size in shape),
            "(rows, columns), each 1 to 1000000",
        ),
        ("seed", _is_count(parameters.seed, 0, 2**128 - 1), "a whole number from 0"),
        ("phantom", parameters.phantom in PHANTOMS, f"one of {sorted(PHANTOMS)}"),
        ("n_channels", _is_count(parameters.n_channels, 64, 16384), "64 to 16384"),
        (
            "counts_per_spectrum",
            _is_number(parameters.counts_per_spectrum, 1e-3, 1e7),
            "0.001 to 10000000",
        ),
        ("lag", _is_number(parameters.lag, -2.0, 2.0), "-2 to 2 periods"),
        ("motion_blur", isinstance(parameters.motion_blur, bool), "True or False"),
        (
            "wobble_steps",
            _is_number(parameters.wobble_steps, 0.0, MAX_WOBBLE),
            f"0 to {MAX_WOBBLE:g} motor steps",
        ),
        ("scale", _is_number(parameters.scale, 0.0, 1e9), "a number from 0"),
    )
    return [
        f"{name} is {getattr(parameters, name)!r}, expected {rule}"
        for name, good, rule in rules
        if not good
    ]


def _roi_faults(rois: Sequence[tuple[str, float, float]]) -> list[str]:
    """Return what is wrong with the regions of interest, one clause each."""
    faults = []
    for number, roi in enumerate(rois):
        try:
            name, low, high = roi
            good = bool(name) and name.isascii() and _is_number(low, -1e3, 1e3)
            good = good and _is_number(high, low, 1e3)
        except (TypeError, ValueError, AttributeError):
            good = False
        if not good:
            faults.append(
                f"rois[{number}] is {roi!r}, expected (name in ASCII, low keV, high keV), low "
                "not above high"
            )
    return faults


def _option_faults(
    compression: str | None, chunks: tuple[int, int] | None, threads: int
) -> list[str]:
    """Return what is wrong with the way of writing, one clause each."""
    faults = []
    if compression not in (None, "gzip"):
        faults.append(f"compression is {compression!r}, expected None or 'gzip'")
    if chunks is not None and not (
        isinstance(chunks, tuple)
        and len(chunks) == 2
        and all(_is_count(size, 1, 1_000_000) for size in chunks)
    ):
        faults.append(f"chunks is {chunks!r}, expected None or (spectra, channels), each 1 or more")
    if not _is_count(threads, 1, 64):
        faults.append(f"threads is {threads!r}, expected 1 to 64")
    return faults


# --- Writing ------------------------------------------------------------------------------


class _Block(NamedTuple):
    """The counts (m, c) of spectra start to start + m, and the random parts of their records."""

    start: int
    counts: NDArray[np.uint16]
    resets: NDArray[np.uint32]
    motor_times: NDArray[np.uint64]


def _draw_block(
    truth: SimulatedScan, tables: tuple[FloatArray, NDArray[np.int32]], number: int
) -> _Block:
    """Draw one block of spectra; it depends on the seed and the block's number alone."""
    start = number * BLOCK_SPECTRA
    stop = min(start + BLOCK_SPECTRA, truth.n_spectra)
    # The key makes the children that SeedSequence.spawn would, without those before them.
    seeds = np.random.SeedSequence(truth.parameters.seed, spawn_key=(1, number))
    generator = np.random.Generator(np.random.PCG64(seeds))
    numbers = generator.poisson(truth.exposed_rates(np.arange(start, stop)))
    counts = np.zeros((stop - start, truth.parameters.n_channels), dtype=np.uint16)
    _scatter_counts(generator, numbers, *tables, counts)
    resets = np.floor(counts.sum(axis=1) / COUNTS_A_RESET + generator.random(stop - start))
    # The unit of the real file's 8479, 11082, 13794 is unknown; nothing reads them.
    motor_times = 8400 + generator.integers(0, 200, (stop - start, 1)) + np.zeros((1, 3))
    return _Block(start, counts, resets.astype(np.uint32), motor_times.astype(np.uint64))


def _blocks(truth: SimulatedScan, threads: int) -> Iterator[_Block]:
    """Yield the blocks in order; at most `threads` + 1 wait in memory."""
    tables = _alias_tables(truth._templates)  # noqa: SLF001 - same module
    numbers = iter(range(math.ceil(truth.n_spectra / BLOCK_SPECTRA)))
    with ThreadPoolExecutor(threads, thread_name_prefix="simulate") as pool:
        waiting = deque(
            pool.submit(_draw_block, truth, tables, number)
            for number in islice(numbers, threads + 1)
        )
        try:
            while waiting:
                yield waiting.popleft().result()
                for number in islice(numbers, 1):
                    waiting.append(pool.submit(_draw_block, truth, tables, number))
        finally:
            for future in waiting:
                future.cancel()


def _bytes_of(text: str, length: int | None = None) -> NDArray[np.bytes_]:
    """Return text as an array of single bytes, zero padded to a length."""
    data = text.encode("ascii")
    return np.frombuffer(data.ljust(length or len(data), b"\0"), dtype="S1")


def _set_attribute(dataset: h5py.Dataset, name: str, value: str | float) -> None:
    """Set an attribute as the instrument does: in an outer array of length 1."""
    wrapped = _bytes_of(value)[None] if isinstance(value, str) else np.array([value])
    dataset.attrs.create(name, wrapped)


def _write_blobs(file: h5py.File, name: str, contents: Sequence[bytes], kind: str) -> h5py.Dataset:
    """Write a dataset of byte arrays of any length: `kind` V1 (opaque) or S1 (text)."""
    dataset = file.create_dataset(
        name, shape=(len(contents),), dtype=h5py.vlen_dtype(np.dtype(kind))
    )
    for index, content in enumerate(contents):
        dataset[index] = np.frombuffer(content, dtype=kind)
    return dataset


NET_BLOB = b"\x00\x01\x00\x00"
"""Stands for the .NET BinaryFormatter's blobs, whose content nothing here reads."""


def _write_frame(
    file: h5py.File, truth: SimulatedScan, rois: Sequence[tuple[str, float, float]]
) -> None:
    """Write everything that does not belong to a single spectrum."""
    raster = truth._raster  # noqa: SLF001 - same module
    stamp = "%m/%d/%Y %H:%M:%S"
    started = CREATED + timedelta(seconds=4)
    last = raster.rows_and_times(np.array([raster.n_spectra - 1]))[2][0]
    microseconds = FIRST_TIMESTAMP_US + PERIOD_US * int(last)
    ended = started + timedelta(seconds=7 + microseconds // 1_000_000)
    for name, moment in (("Initial", started), ("Final", ended)):
        status = _write_blobs(file, f"Configuration/{name}SystemStatus", [NET_BLOB], "V1")
        _set_attribute(status, "DateTime", moment.strftime(stamp))
        _set_attribute(status, "TubeTemperature", 57.33)
    settings = _write_blobs(file, schema.SETTINGS, [NET_BLOB], "V1")
    _set_attribute(settings, "Acceleration", ACCELERATION)
    _set_attribute(settings, "Collimator", "0,5 mm")
    file[schema.CREATED_DATETIME] = _bytes_of(CREATED.strftime(stamp), 50)
    file[schema.CREATED_WITH] = _bytes_of(SOFTWARE, 50)
    file[schema.FILE_STRUCTURE_VERSION] = np.array([1, 6], dtype=np.int32)
    for name, length in (
        ("Documentation", 1),
        ("Static", 3),
        ("StitchedImage", 1),
        ("VideoStreams", 1),
    ):
        _write_blobs(file, f"Images/{name}", [b""] * length, "V1")
    file["Images/ImageAdjusting/ImagePixelSizeRatio"] = np.full((1, 2), 11.085714, np.float32)

    energies, points = _energy_axis(truth.parameters.n_channels)
    file[schema.ENERGY_VECTOR] = energies
    file[schema.CALIBRATION_POINTS] = points
    calibration = file[schema.CALIBRATION_POINTS]
    _set_attribute(calibration, "CalibrationBins", truth.parameters.n_channels)
    _set_attribute(calibration, "CalibrationEquation", 0)
    file[schema.ROIS_ENERGIES] = np.array(
        [(low, high) for _, low, high in rois], dtype=np.float64
    ).reshape(len(rois), 2)
    _write_blobs(file, schema.ROIS_NAMES, [name.encode("ascii") for name, _, _ in rois], "S1")
    _write_blobs(file, "XRF/ROIs/ROIsObjects", [NET_BLOB] * len(rois), "V1")


def _create_arrays(
    file: h5py.File,
    truth: SimulatedScan,
    n_rois: int,
    compression: str | None,
    chunks: tuple[int, int] | None,
) -> None:
    """Create the datasets that have an entry for each cell or spectrum, and give them room."""
    h, w = truth.parameters.shape
    n, c = truth.n_spectra, truth.parameters.n_channels
    room = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    room.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    room.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    for name, shape, dtype in (
        ("Maps/ComputedMaps", (h, w, n_rois), np.float64),
        ("XComputedMapsCoordinate", (h, w, 1), np.float64),
        ("YComputedMapsCoordinate", (h, w, 1), np.float64),
        ("SpectraSelectedIndex", (h, w, 1), np.uint64),
        ("DPPStartTimestamp", (n,), np.uint64),
        ("Detected", (n,), np.uint32),
        ("LiveTimes", (n,), np.uint64),
        ("MotorsPositions", (n, 3), np.uint32),
        ("MotorsPositionsStats", (n,), np.uint8),
        ("MotorsTimestamps", (n, 3), np.uint64),
        ("OutputCountRates", (n,), np.float64),
        ("RealTimes", (n,), np.uint64),
        ("ResetCounterValue", (n,), np.uint32),
        ("SpectraIDs", (n,), np.uint16),
        ("Timestamps", (n,), np.uint64),
    ):
        file.create_dataset(f"XRF/{name}", shape, dtype, dcpl=room.copy())
    if compression is None and chunks is None:
        file.create_dataset(schema.SPECTRA, (n, c), np.uint16, dcpl=room.copy())
        return
    spectra, channels = chunks or (16, c)
    file.create_dataset(
        schema.SPECTRA,
        (n, c),
        np.uint16,
        chunks=(min(spectra, n), min(channels, c)),
        compression=compression,
    )


def _write_skeleton(
    path: Path,
    truth: SimulatedScan,
    rois: Sequence[tuple[str, float, float]],
    compression: str | None,
    chunks: tuple[int, int] | None,
) -> None:
    """Create the file with everything but the numbers that belong to cells and spectra."""
    try:
        with h5py.File(path, "x") as file:
            file.attrs[SIMULATION_ATTRIBUTE] = json.dumps(asdict(truth.parameters))
            _write_frame(file, truth, rois)
            _create_arrays(file, truth, len(rois), compression, chunks)
    except RuntimeError as error:  # what h5py makes of a failure on closing
        raise OSError(str(error)) from error


def _reserve(path: Path) -> None:
    """Take the room on the disk that the file's datasets will fill, or raise OSError now.

    HDF5 1.14 does not survive a disk that fills up: it fails again on closing, and has then
    crashed the process. So whether there is room is settled while the file is closed.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            # A file system without reservations is written to as it is.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise


def _write_maps(file: h5py.File, truth: SimulatedScan) -> None:
    """Write the vendor's choice of spectra, and its maps, which are all NaN in the real file."""
    raster = truth._raster  # noqa: SLF001 - same module
    maps = [
        file["XRF/Maps/ComputedMaps"],
        file["XRF/XComputedMapsCoordinate"],
        file["XRF/YComputedMapsCoordinate"],
    ]
    for first in range(0, raster.rows, ROWS_A_BLOCK):
        last = min(first + ROWS_A_BLOCK, raster.rows)
        file[schema.SELECTED_INDEX][first:last] = raster.selected(first, last)
        for dataset in maps:
            dataset[first:last] = np.full((last - first, *dataset.shape[1:]), np.nan)


def _write_block(file: h5py.File, truth: SimulatedScan, block: _Block) -> int:
    """Write one block of spectra with their records; return how many spectra are done."""
    raster = truth._raster  # noqa: SLF001 - same module
    n = len(block.counts)
    stop = block.start + n
    _, _, periods = raster.rows_and_times(np.arange(block.start, stop))
    detected = block.counts.sum(axis=1, dtype=np.uint64)
    live = np.maximum(np.rint(PERIOD_US - DEAD_TIME_US * detected), 1.0)
    # Whole arrays throughout: h5py writes a broadcast number spectrum by spectrum.
    records = {
        "Spectra": block.counts,
        "DPPStartTimestamp": np.full(n, DPP_START, dtype=np.uint64),
        "Detected": detected,
        "LiveTimes": live,
        "MotorsPositions": raster.recorded(block.start, stop),
        "MotorsPositionsStats": np.ones(n, dtype=np.uint8),
        "MotorsTimestamps": block.motor_times,
        "OutputCountRates": detected / (PERIOD_US / 1000.0),
        "RealTimes": np.full(n, PERIOD_US, dtype=np.uint64),
        "ResetCounterValue": block.resets,
        # The instrument's counter has 16 bits: in a big scan the numbers start again.
        "SpectraIDs": ((FIRST_ID + periods) % 2**16).astype(np.uint16),
        "Timestamps": FIRST_TIMESTAMP_US + PERIOD_US * periods,
    }
    for name, values in records.items():
        file[f"XRF/{name}"][block.start : stop] = values
    return stop


def simulate_crono(
    filename: str | PathLike[str],
    *,
    shape: tuple[int, int] = (85, 37),
    seed: int = 0,
    phantom: str = "manuscript",
    n_channels: int = 4096,
    counts_per_spectrum: float = 600.0,
    lag: float = 0.0,
    motion_blur: bool = True,
    wobble_steps: float = 250.0,
    rois: Sequence[tuple[str, float, float]] | None = CRONO_ROIS,
    compression: Literal["gzip"] | None = None,
    chunks: tuple[int, int] | None = None,
    threads: int = 2,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedScan:
    """Simulate a scan of known truth and write it as the Crono instrument would.

    The file holds the instrument's 32 datasets in its layout and dtypes, and besides them one
    root attribute, `maxrf_simulation`, which says that it is a simulation and of what. Memory
    does not grow with the scan; the result depends on the arguments alone, not on `threads`.
    A row has about 13.4 more spectra than columns, as near its ends they crowd.

    Parameters
    ----------
    filename : str or path
        File to write; it appears when it is whole.
    shape : tuple of int, optional
        Rows and columns of the vendor's map.
    seed : int, optional
        Seed of the raster's irregularities and of the counts. The phantom is always the same.
    phantom : {"manuscript", "constant", "gradient"}, optional
        What lies under the head, a key of `maxrf_core.phantom.PHANTOMS`.
    n_channels : int, optional
        Channels of a spectrum; they cover -1.17 to 47.78 keV whatever their number.
    counts_per_spectrum : float, optional
        Expected counts of a spectrum, a tenth of them in the zero peak; the mean over the scan,
        within half a per cent.
    lag : float, optional
        Periods (60 ms) by which the middle of an exposure is later than the recorded position.
        Not 0, it shifts even against odd rows by about 2 x 1025 steps a period: the zigzag.
    motion_blur : bool, optional
        Whether the head moves on during the exposure.
    wobble_steps : float, optional
        Height of the slow wobble along the rows, 0 to 500 motor steps.
    rois : sequence of (name, low keV, high keV) or None, optional
        Regions of interest, by default the real file's 27; None for a file without.
    compression : {None, "gzip"}, optional
        Of the spectra; the instrument uses none.
    chunks : tuple of int, optional
        Chunks of the spectra; by default contiguous, as the instrument writes them, or, with
        compression, 16 whole spectra.
    threads : int, optional
        Blocks of spectra drawn side by side.
    overwrite : bool, optional
        Replace a file of that name.
    progress : callable, optional
        Called with the spectra done and their total after each block. What it raises stops the
        simulation and leaves nothing behind.

    Returns
    -------
    SimulatedScan
        The truth: expected counts anywhere, and where each exposure really was.

    Raises
    ------
    ParameterError
        If arguments are wrong; all faults are named at once.
    OutputError
        If the file exists already or cannot be written.
    """
    path = Path(filename)
    wanted = tuple(shape) if isinstance(shape, list) else shape
    regions = () if rois is None else tuple(rois)
    parameters = SimulationParameters(
        wanted, seed, phantom, n_channels, counts_per_spectrum, lag, motion_blur, wobble_steps
    )
    faults = [
        *_parameter_faults(parameters),
        *_roi_faults(regions),
        *_option_faults(compression, chunks, threads),
    ]
    if faults:
        raise ParameterError(f"The scan cannot be simulated: {'; '.join(faults)}.")
    _check_target(path, overwrite=overwrite)
    energies, _ = _energy_axis(n_channels)
    truth = SimulatedScan(str(path), _plain(parameters), energies)
    _check_space(path.parent, truth, len(regions), compression)
    truth = _scaled(truth)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        _write_skeleton(unfinished, truth, regions, compression, chunks)
        _reserve(unfinished)
        with h5py.File(unfinished, "r+") as file:
            _write_maps(file, truth)
            with closing(_blocks(truth, threads)) as blocks:
                for block in blocks:
                    done = _write_block(file, truth, block)
                    if progress is not None:
                        progress(done, truth.n_spectra)
        _check_target(path, overwrite=overwrite)
        unfinished.replace(path)
    except OSError as error:
        # HDF5 puts the rest of its story, down to buffer addresses, in brackets.
        why = (error.strerror or str(error)).split(" (", 1)[0]
        raise OutputError(
            f"{path} cannot be written: {why}. Check the folder's permissions and the free space."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return truth


def _check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is not there, and a file that is."""
    if not path.parent.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {path.parent}.")
    if path.is_dir():
        raise OutputError(f"{path} is a folder; give the name of a file to write.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already; choose another name, or overwrite=True.")


def _check_space(folder: Path, truth: SimulatedScan, n_rois: int, compression: str | None) -> None:
    """Refuse a scan that the disk has no room for."""
    counts = 2 * truth.parameters.n_channels
    if compression is not None:
        counts = min(counts, 2048)  # 600 counts and where they are take about 700 bytes
    needed = 2**20 + truth.n_spectra * (counts + 80 + 8 * (n_rois + 3))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"The scan needs about {needed / 1e9:.3g} GB, and {folder} has {free / 1e9:.3g} GB "
            "free; make room or write elsewhere."
        )


def _plain(parameters: SimulationParameters) -> SimulationParameters:
    """Return the parameters as Python's own numbers, as JSON keeps them."""
    h, w = parameters.shape
    return replace(
        parameters,
        shape=(int(h), int(w)),
        seed=int(parameters.seed),
        n_channels=int(parameters.n_channels),
        counts_per_spectrum=float(parameters.counts_per_spectrum),
        lag=float(parameters.lag),
        wobble_steps=float(parameters.wobble_steps),
    )


def _scaled(truth: SimulatedScan) -> SimulatedScan:
    """Return the truth with the scale that gives the mean number of counts asked for."""
    n = truth.n_spectra
    sample = np.unique(np.linspace(0, n - 1, min(n, SCALE_SAMPLE)).astype(np.int64))
    counts = truth.exposed_rates(sample)[:, : COMPONENTS.index("zero")].sum(axis=1).mean()
    wanted = truth.parameters.counts_per_spectrum * (1.0 - ZERO_SHARE)
    scale = truth.parameters.scale * float(wanted / counts)
    return replace(truth, parameters=replace(truth.parameters, scale=scale))
