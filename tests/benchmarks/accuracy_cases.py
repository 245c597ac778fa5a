"""Simulated scans of known truth without files: what the accuracy of a map is measured on.

The counts of an energy window are the sum of independent Poisson counts of its channels, so
they are Poisson themselves: they are drawn straight from `SimulatedScan.exposed_rates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from maxrf_core.counts import CHANNELS_PER_GROUP, band_edges
from maxrf_core.grid import vendor_grid
from maxrf_core.interpolation import Raster
from maxrf_core.simulation_parameters import SimulationParameters
from maxrf_core.table import signal_channel
from maxrf_core.truth import SimulatedScan, scaled_to_counts

__all__ = ["COUNTS", "PHANTOMS", "SHAPES", "WINDOWS", "Case"]

FloatArray = npt.NDArray[np.float64]

PHANTOMS = ("strokes", "washes", "periodic", "hotspots", "manuscript")
COUNTS = (50, 600, 5000)
"""Expected counts of a spectrum; the real file has 563."""
SHAPES = ((30, 44), (60, 88), (120, 176))
"""Rows and columns: three samplings of one picture, three times as wide as high."""
WINDOWS = {
    "Ca": (3.55, 3.85),
    "Fe": (6.2, 6.6),
    "Cu": (7.85, 8.25),
    "Pb": (10.35, 10.75),
    "scatter": (18.0, 21.0),
}
"""keV: K-alpha of three elements, L-alpha of lead, and the tube's lines as scattered."""
CHANNELS = 4096
BANDS = 12  # as `CountsTable.band_counts` makes


@dataclass(frozen=True)
class Case:
    """One scan: a phantom, a sampling and a level of counts.

    Attributes
    ----------
    phantom : str
        Name of the painting.
    shape : (int, int)
        Rows and columns of the vendor's map.
    counts : float
        Expected counts of a spectrum.
    seed : int
        Of the raster's irregularities and of the counts.
    """

    phantom: str
    shape: tuple[int, int]
    counts: float
    seed: int = 0

    @cached_property
    def truth(self) -> SimulatedScan:
        """The scan: wobble, crowded turns and motion blur as `simulate_crono` has them."""
        return scaled_to_counts(
            SimulatedScan(
                "",
                SimulationParameters(
                    shape=self.shape,
                    seed=self.seed,
                    phantom=self.phantom,
                    n_channels=CHANNELS,
                    counts_per_spectrum=self.counts,
                    lag=0.0,
                    motion_blur=True,
                    wobble_steps=250.0,
                ),
            )
        )

    @cached_property
    def rates(self) -> FloatArray:
        """Expected counts of each component in each spectrum, (n, k)."""
        return self.truth.exposed_rates(np.arange(self.truth.n_spectra))

    @cached_property
    def window_shares(self) -> FloatArray:
        """Share of each component in each of `WINDOWS`, (k, windows)."""
        shares = [self.truth.templates[:, low:high].sum(axis=1) for low, high in self._windows]
        return np.stack(shares, axis=1)

    @cached_property
    def _windows(self) -> list[tuple[int, int]]:
        """First channel of each window, and the one after its last."""
        energies = self.truth.energies.astype(np.float64)
        return [tuple(np.searchsorted(energies, limits).tolist()) for limits in WINDOWS.values()]

    @cached_property
    def _bands(self) -> npt.NDArray[np.int64]:
        """Channels at the edges of the bands that kriging is fitted to, (bands + 1,)."""
        total = self.rates.sum(axis=0) @ self.truth.templates
        starts = range(0, CHANNELS, CHANNELS_PER_GROUP)
        first = signal_channel(self.truth.energies) // CHANNELS_PER_GROUP
        return band_edges(np.add.reduceat(total, starts), first, BANDS) * CHANNELS_PER_GROUP

    @cached_property
    def expected(self) -> FloatArray:
        """Expected counts of each spectrum in each of `WINDOWS`, (n, windows)."""
        return self.rates @ self.window_shares

    @cached_property
    def raster(self) -> Raster:
        """What the operators are made from, as a conversion makes it from the first draw."""
        return self.raster_of(self.draw()[1])

    def raster_of(self, bands: npt.NDArray[np.int64]) -> Raster:
        """Return what the operators are made from, for (n, b) counts in the bands."""
        motion = self.truth.motion
        positions = self.truth.positions[:, :2].astype(np.float64)
        vendor = vendor_grid(positions, motion.selected(0, motion.rows)[:, :, 0].astype(np.int64))
        return Raster(
            positions,
            vendor.grid,
            vendor.selected_index,
            (vendor.grid.dx, vendor.grid.dy),
            lambda: bands,
        )

    @cached_property
    def true_maps(self) -> FloatArray:
        """Expected counts of a spectrum standing still on each cell's centre, (h, w, windows)."""
        x, y = self.raster.grid.centres().T
        maps = self.truth.rates(x, y) @ self.window_shares
        return maps.reshape(*self.raster.grid.shape, len(WINDOWS))

    def draw(self, number: int = 0) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Draw the scan's counts.

        Windows and bands overlap: both are sums over the stretches between all their edges,
        and share what they have in common, as in a file.

        Returns
        -------
        windows : (n, windows) int64
            Poisson counts of each spectrum in each of `WINDOWS`.
        bands : (n, b) int64
            In the bands that kriging is fitted to.
        """
        edges = np.unique(np.concatenate([np.ravel(self._windows), self._bands]))
        shares = np.add.reduceat(self.truth.templates, edges[:-1], axis=1)
        # the last stretch runs to the end of the axis: beyond the last edge is nobody's
        shares[:, -1] = self.truth.templates[:, edges[-2] : edges[-1]].sum(axis=1)
        rng = np.random.default_rng([self.seed, 2, number])
        counts = rng.poisson(self.rates @ shares)
        running = np.concatenate([np.zeros((len(counts), 1), int), counts.cumsum(axis=1)], axis=1)

        def between(low: int, high: int) -> npt.NDArray[np.int64]:
            first, last = np.searchsorted(edges, (low, high))
            return running[:, last] - running[:, first]

        windows = [between(*limits) for limits in self._windows]
        bands = [between(*limits) for limits in pairwise(self._bands.tolist())]
        return np.stack(windows, axis=1), np.stack(bands, axis=1)
