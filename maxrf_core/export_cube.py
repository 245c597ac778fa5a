"""The regular cube as other programs take it: a part of the channels, binned, block by block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import ConversionCancelled, ParameterError
from .interpolation import Operator
from .progress import Progress
from .scan import Scan, Sigma

__all__ = ["CubePart", "Report", "channel_bins", "cube_part", "energy_polynomial", "method_told"]

_CHANNEL_TOLERANCE = 0.01
"""Channels by which a polynomial may miss the energies; float32 energies round to 0.0003."""


@dataclass(frozen=True)
class Report:
    """Who wants to know how far an export is, and may stop it.

    Parameters
    ----------
    path : Path
        The file, as messages name it.
    progress : callable or None
        Is given `Progress`.
    cancel : threading.Event or None
        Set to stop.
    """

    path: Path
    progress: Callable[[Progress], None] | None = None
    cancel: threading.Event | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell how far it is.

        Raises
        ------
        ConversionCancelled
            If it shall stop.
        """
        if self.cancel is not None and self.cancel.is_set():
            raise ConversionCancelled(f"the export to {self.path} was cancelled.")
        if self.progress is not None:
            self.progress(Progress(stage, done, total))


def energy_polynomial(energies: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    """Return a, b, c of energy = a + b channel + c channel**2.

    Parameters
    ----------
    energies : (c,) float
        Energy of each channel in keV.

    Returns
    -------
    a, b, c : float
        c is 0 where a straight line meets all energies within a hundredth of a channel. An axis
        of a higher degree is not met: c is then the best fit.
    """
    values = np.asarray(energies, dtype=np.float64)
    if len(values) == 1:
        return float(values[0]), 0.0, 0.0
    channels = np.arange(len(values))
    line = np.polynomial.Polynomial.fit(channels, values, 1)
    width = abs(values[-1] - values[0]) / (len(values) - 1)
    if np.abs(line(channels) - values).max() > _CHANNEL_TOLERANCE * width and len(values) > 2:
        line = np.polynomial.Polynomial.fit(channels, values, 2)
    a, b, c = np.pad(line.convert().coef, (0, 2))[:3]
    return float(a), float(b), float(c)


def channel_bins(
    scan: Scan, energies: tuple[float, float] | None, binning: int
) -> tuple[slice, npt.NDArray[np.float32]]:
    """Return which channels are exported, and the energy of each bin.

    Parameters
    ----------
    scan : Scan
        The scan.
    energies : (float, float) or None
        Lowest and highest energy in keV; None for all channels.
    binning : int
        Channels summed into one. Those left over at the upper end are left out.

    Returns
    -------
    channels : slice
        A multiple of `binning`.
    energies : (k,) float32
        Mean energy of the channels of each bin, in keV.

    Raises
    ------
    ParameterError
        If no channel is left, or `binning` is not a positive whole number.
    """
    if isinstance(binning, bool) or not isinstance(binning, int | np.integer) or binning < 1:
        raise ParameterError(f"binning is {binning!r}; expected a whole number from 1.")
    part = slice(0, scan.n_channels)
    if energies is not None:
        part = scan.channels_of(*energies)
    bins = (part.stop - part.start) // binning
    if bins < 1:
        raise ParameterError(
            f"energies {energies} keV with binning {binning} leave no channel; the scan has "
            f"{scan.n_channels} from {scan.energies[0]:.3f} to {scan.energies[-1]:.3f} keV."
        )
    part = slice(part.start, part.start + bins * binning)
    means = scan.energies[part].astype(np.float64).reshape(bins, binning).mean(axis=1)
    return part, means.astype(np.float32)


def method_told(method: str, lag: float) -> str:
    """Return in words how a grid was interpolated."""
    # The vendor's choice of spectra stays as it is.
    corrected = f", lag of {lag:g} periods corrected" if lag and method != "selected" else ""
    return f"method {method}{corrected}"


@dataclass(frozen=True)
class CubePart:
    """The cube, or some channels of it, in the order in which it is stored.

    Parameters
    ----------
    scan : Scan
        The scan.
    method : str
        Interpolation method.
    lag : float
        Lag corrected for, in periods; see `Scan.operator`.
    sigma : float or (c,) float
        Gaussian smoothing in channels.
    channels : slice
        Which channels.
    energies : (k,) float32
        Energy of each bin of them in keV.
    image : bool
        Row 0 has the largest y, as a picture is stored; else the smallest.
    """

    scan: Scan
    method: str
    lag: float
    sigma: Sigma
    channels: slice
    energies: npt.NDArray[np.float32]
    image: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns, bins of channels."""
        return (*self.scan.grid.shape, len(self.energies))

    @property
    def y(self) -> npt.NDArray[np.float64]:
        """Centres of the rows in motor steps, (h,), in the order of the rows."""
        return self.turned(self.scan.grid.y)

    @property
    def x(self) -> npt.NDArray[np.float64]:
        """Centres of the columns in motor steps, (w,)."""
        return self.scan.grid.x

    @cached_property
    def live_times(self) -> npt.NDArray[np.float32] | None:
        """Live time of each cell in seconds, (h, w), NaN without a datum; None if not known."""
        if self.scan.live_times is None:
            return None
        return self.turned(self._operator.apply(self.scan.live_times))

    @cached_property
    def whole(self) -> bool:
        """Whether each cell holds whole counts: those of one spectrum, not smoothed."""
        matrix = self._operator.matrix
        alone = bool(np.all(np.diff(matrix.indptr) <= 1) and np.all(matrix.data == 1))
        return alone and not np.any(self.sigma)

    @property
    def _operator(self) -> Operator:
        return self.scan.operator(self.method, lag=self.lag)

    def turned(self, values: npt.NDArray) -> npt.NDArray:
        """Return rows of the grid in the order in which they are stored."""
        return values[::-1] if self.image else values

    def description(self) -> str:
        """Return in a sentence what the numbers are."""
        sigma = self.sigma if np.ndim(self.sigma) == 0 else "of each channel's own"
        order = "largest" if self.image else "smallest"
        return (
            f"Counts of {self.scan.name} interpolated to a regular grid, "
            f"{method_told(self.method, self.lag)}, smoothed with sigma {sigma} channels; "
            f"row 0 has the {order} y; NaN: no datum."
        )

    def blocks(self, report: Report) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
        """Yield the rows of each block and its counts, from row 0 on.

        Yields
        ------
        rows : slice
            Rows as stored.
        counts : (rows, w, k) float32
            Counts; NaN in cells without a datum.
        """
        cube = self.scan.cube(
            method=self.method, sigma=self.sigma, lag=self.lag, channels=self.channels
        )
        height, width, bins = self.shape
        numbers = range(cube.numblocks[0])
        done = 0
        report("cube", 0, height * width)
        for number in reversed(numbers) if self.image else numbers:
            block = cube.blocks[number].compute(scheduler="synchronous")
            counts = self.turned(block)
            if counts.shape[-1] != bins:
                shape = (*counts.shape[:2], bins, -1)
                counts = counts.reshape(shape).sum(axis=-1, dtype=np.float64).astype(np.float32)
            yield slice(done, done + len(counts)), counts
            done += len(counts)
            report("cube", done * width, height * width)


def cube_part(
    scan: Scan,
    *,
    method: str | None = None,
    lag: float | None = None,
    sigma: Sigma = 0,
    energies: tuple[float, float] | None = None,
    binning: int = 1,
    image: bool = True,
) -> CubePart:
    """Return the cube of a scan, or a part of its channels, ready to be written.

    Parameters
    ----------
    scan : Scan
        The scan.
    method, lag, sigma : optional
        As in `Scan.cube`.
    energies, binning : optional
        As in `channel_bins`.
    image : bool
        Row 0 has the largest y.

    Raises
    ------
    ParameterError
        If an option has no meaning.
    """
    channels, kev = channel_bins(scan, energies, binning)
    return CubePart(scan, *scan.interpolation(method, lag), sigma, channels, kev, image)
