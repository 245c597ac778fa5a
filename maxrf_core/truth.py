"""What the counts of a simulated scan were drawn from, at any place and for any spectrum."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from . import schema
from .components import COMPONENTS, STRENGTHS, ZERO_SHARE, component_templates
from .crono import open_spectra
from .errors import CronoFileError, ParameterError
from .phantom import Phantom, make_phantom
from .raster import ROW_PITCH, X_START, Y_START, HeadMotion
from .simulation_parameters import (
    BLOCK_SPECTRA,
    SIMULATION_ATTRIBUTE,
    SimulationParameters,
    parameters_from_json,
)

__all__ = ["SimulatedScan", "calibration_points", "load_truth", "scaled_to_counts"]

FloatArray = npt.NDArray[np.float64]

CALIBRATION = ((771.0, 8.046), (1952.0, 22.163))
"""Channel of 4096, keV: the real file's `CalibrationPoints`."""
CALIBRATION_BINS = 4096
BLUR_NODES, BLUR_WEIGHTS = np.polynomial.legendre.leggauss(3)
SCALE_SAMPLE = 8192
"""Spectra, evenly spread over the scan, on which its mean number of counts is settled."""


def calibration_points(n_channels: int) -> FloatArray:
    """Return channel and keV of two points, (2, 2): all numbers of channels have one span."""
    ratio = CALIBRATION_BINS / n_channels
    return np.array([((channel + 0.5) / ratio - 0.5, kev) for channel, kev in CALIBRATION])


@dataclass(frozen=True, eq=False)
class SimulatedScan:
    """A simulated scan and the expectation that its counts were drawn from.

    Attributes
    ----------
    filename : str
        The Crono HDF5 file.
    parameters : SimulationParameters
        What decided the scan.
    """

    filename: str
    parameters: SimulationParameters

    @cached_property
    def energies(self) -> npt.NDArray[np.float32]:
        """Energies of the channels' centres in keV, (c,)."""
        n_channels = self.parameters.n_channels
        (low_channel, low_kev), (high_channel, high_kev) = calibration_points(n_channels)
        gain = (high_kev - low_kev) / (high_channel - low_channel)
        return (low_kev + gain * (np.arange(n_channels) - low_channel)).astype(np.float32)

    @cached_property
    def templates(self) -> FloatArray:
        """Share of each component's counts in each channel, (k, c)."""
        return component_templates(self.energies)

    @cached_property
    def motion(self) -> HeadMotion:
        """How the head moved."""
        parameters = self.parameters
        return HeadMotion(parameters.shape, parameters.seed, parameters.wobble_steps)

    @cached_property
    def _phantom(self) -> Phantom:
        aspect = self.motion.length / (ROW_PITCH * self.motion.rows)
        return make_phantom(self.parameters.phantom, aspect=aspect)

    @property
    def n_spectra(self) -> int:
        """Number of spectra, n."""
        return self.motion.n_spectra

    @property
    def positions(self) -> npt.NDArray[np.uint32]:
        """The recorded motor positions in steps, (n, 3), as in the file."""
        return self.motion.recorded(0, self.n_spectra)

    @property
    def exposure_positions(self) -> FloatArray:
        """Where the middle of each exposure truly was: x and y in steps, (n, 2)."""
        return np.column_stack(self.motion.exposed(np.arange(self.n_spectra), self.parameters.lag))

    def rates(self, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Return the expected counts of every component at motor positions.

        Parameters
        ----------
        x, y : array_like of float
            Motor positions in steps.

        Returns
        -------
        ndarray of float64, shape (..., k)
            Expected counts of one spectrum, in the order of `maxrf_core.components.COMPONENTS`.
        """
        # Rows are cells high: the page begins half a pitch below the first.
        bottom, height = Y_START - ROW_PITCH / 2, ROW_PITCH * self.motion.rows
        u = (np.asarray(x, dtype=np.float64) - X_START) / self.motion.length
        v = (np.asarray(y, dtype=np.float64) - bottom) / height
        abundances = self._phantom.abundances(u, v)
        return np.stack([abundances[name] * self._strength(name) for name in COMPONENTS], axis=-1)

    def _strength(self, component: str) -> float:
        """Return the expected counts of a component at abundance 1."""
        if component == "zero":
            return self.parameters.counts_per_spectrum * ZERO_SHARE
        return self.parameters.scale * STRENGTHS[component]

    def expected_counts(
        self, x: npt.ArrayLike, y: npt.ArrayLike, low_kev: float, high_kev: float
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
        return self.rates(x, y) @ shares

    def _window_shares(self, low_kev: float, high_kev: float) -> FloatArray:
        """Return the share of each component (k,) that falls into the window."""
        if not (math.isfinite(low_kev) and math.isfinite(high_kev) and low_kev <= high_kev):
            raise ParameterError(
                f"The energy window is {low_kev!r} to {high_kev!r} keV; two finite energies were "
                "expected, the lower first."
            )
        energies = self.energies.astype(np.float64)
        return self.templates[:, (energies >= low_kev) & (energies < high_kev)].sum(axis=1)

    def expected_map(
        self, grid_x: npt.ArrayLike, grid_y: npt.ArrayLike, low_kev: float, high_kev: float
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

    def expected_spectrum(self, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
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
        return self.rates(x, y) @ self.templates

    def exposed_rates(self, spectra: npt.ArrayLike) -> FloatArray:
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
            Expected counts, in the order of `maxrf_core.components.COMPONENTS`.
        """
        numbers = np.asarray(spectra, dtype=np.int64)
        lag = self.parameters.lag
        if not self.parameters.motion_blur:
            return self.rates(*self.motion.exposed(numbers, lag))
        total = np.zeros((numbers.size, len(COMPONENTS)))
        for node, weight in zip(BLUR_NODES, BLUR_WEIGHTS, strict=True):
            places = self.motion.exposed(numbers, lag + 0.5 * float(node))
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
        expected = np.empty(max(last - start, 0))
        for first in range(start, last, BLOCK_SPECTRA):
            spectra = np.arange(first, min(first + BLOCK_SPECTRA, last))
            expected[spectra - start] = self.exposed_rates(spectra) @ shares
        return expected


def scaled_to_counts(truth: SimulatedScan) -> SimulatedScan:
    """Return the truth with the scale that gives the mean number of counts asked for."""
    n = truth.n_spectra
    sample = np.unique(np.linspace(0, n - 1, min(n, SCALE_SAMPLE)).astype(np.int64))
    counts = truth.exposed_rates(sample)[:, : COMPONENTS.index("zero")].sum(axis=1).mean()
    wanted = truth.parameters.counts_per_spectrum * (1.0 - ZERO_SHARE)
    scale = truth.parameters.scale * float(wanted / counts)
    return replace(truth, parameters=replace(truth.parameters, scale=scale))


def load_truth(filename: str | os.PathLike[str]) -> SimulatedScan:
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
        stored = spectra.file.attrs.get(SIMULATION_ATTRIBUTE)
        if stored is None:
            raise CronoFileError(
                f"{name} is no simulated scan (it has no root attribute {SIMULATION_ATTRIBUTE}); "
                "its truth is not known. Make one with simulate_crono or `maxrf demo`."
            )
        truth = SimulatedScan(name, parameters_from_json(stored, name))
        last = min(BLOCK_SPECTRA, truth.n_spectra)
        recorded = spectra.file[schema.MOTORS_POSITIONS][:last]
        if spectra.shape[0] != truth.n_spectra or not np.array_equal(
            recorded, truth.motion.recorded(0, last)
        ):
            raise CronoFileError(
                f"{name}: its spectra or motor positions are not those that its attribute "
                f"{SIMULATION_ATTRIBUTE} describes, so the file was changed; simulate it again."
            )
        return truth
