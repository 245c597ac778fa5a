"""The only door to `maxrf_core`: open scans, shared by all visitors of a process."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks, peak_widths
from scipy.spatial import cKDTree

from maxrf_core import Roi, Scan, open_scan
from maxrf_core.smoothing import smooth_spectra

__all__ = ["Line", "SharedScan", "shared_scan"]

_KEPT_OPEN = 4
_PEAKS_TRIED = 12
_LINES_FROM_KEV = 1.0  # below lie the zero peak and lines that air absorbs


@dataclass(frozen=True)
class Line:
    """An energy window around a line, with a name where the file gives one."""

    name: str
    low_kev: float
    high_kev: float


class SharedScan:
    """An open scan and what the views derive from it once: read-only, for all visitors.

    Parameters
    ----------
    scan : Scan
        The open scan.
    """

    def __init__(self, scan: Scan) -> None:
        self.scan = scan

    @property
    def name(self) -> str:
        """File name without its ending."""
        return self.scan.filename.stem

    @property
    def summary(self) -> str:
        """The scan in one line: how many spectra, channels and cells."""
        height, width = self.scan.grid.shape
        return (
            f"{self.scan.n_spectra:,} spectra × {self.scan.n_channels:,} channels · "
            f"{height} × {width} cells"
        )

    @cached_property
    def is_selected(self) -> npt.NDArray[np.bool_]:
        """Which spectra the vendor put into its map, (n,)."""
        chosen = np.zeros(self.scan.n_spectra, dtype=bool)
        chosen[self.scan.selected_index] = True
        return chosen

    @cached_property
    def rois(self) -> tuple[Roi, ...]:
        """The file's energy windows that can be shown: inside the energies, not empty."""
        energies = self.scan.energies
        return tuple(
            roi
            for roi in self.scan.rois
            if not roi.is_empty and roi.high_kev > energies[0] and roi.low_kev < energies[-1]
        )

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.scan.positions / self.scan.pitch)

    def nearest_spectrum(self, x: float, y: float) -> int:
        """Return the spectrum measured nearest to a point, in motor steps."""
        return int(self._tree.query(np.array([x, y]) / self.scan.pitch)[1])

    @cached_property
    def strongest_line(self) -> Line:
        """The line whose counts vary most over the object, beyond shot noise.

        Tube scatter is often higher, but it is everywhere alike; a line that varies makes
        a map worth a first look.
        """
        scan = self.scan
        total = smooth_spectra(scan.total_spectrum.astype(np.float64), 3.0)
        total[: int(np.searchsorted(scan.energies, _LINES_FROM_KEV))] = 0.0
        peaks, properties = find_peaks(total, prominence=max(total.max() * 1e-3, 1e-12))
        if len(peaks) == 0:
            middle = len(total) // 2
            return self._named(max(middle - 8, 0), min(middle + 8, len(total) - 1))
        best = np.argsort(properties["prominences"])[::-1][:_PEAKS_TRIED]
        widths = peak_widths(total, peaks[best], rel_height=0.5)[0]
        lines = []
        for peak, width in zip(peaks[best], widths, strict=True):
            half = int(np.ceil(1.2 * width))
            lines.append(self._named(max(peak - half, 0), min(peak + half, len(total) - 1)))
        variances = []
        for line in lines:
            counts = scan.window_counts(line.low_kev, line.high_kev).astype(np.float64)
            variances.append(counts.var() - counts.mean())
        return lines[int(np.argmax(variances))]

    def _named(self, first: int, last: int) -> Line:
        """Return a window over channels, or the file's own ROI around its middle."""
        low, high = float(self.scan.energies[first]), float(self.scan.energies[last])
        middle = (low + high) / 2
        for roi in self.rois:
            if roi.low_kev <= middle < roi.high_kev:
                return Line(roi.name, roi.low_kev, roi.high_kev)
        return Line("", round(low, 3), round(high, 3))

    @cached_property
    def brightest_spectrum(self) -> int:
        """The spectrum with the most counts in the strongest line."""
        line = self.strongest_line
        return int(np.argmax(self.scan.window_counts(line.low_kev, line.high_kev)))

    @cached_property
    def energy_limits(self) -> tuple[float, float]:
        """Energies in keV between which nearly all counts above 0 keV lie."""
        energies, total = self.scan.energies, self.scan.total_spectrum
        running = np.cumsum(np.where(energies > 0, total, 0))
        if running[-1] == 0:
            return float(energies[0]), float(energies[-1])
        last = int(np.searchsorted(running, 0.998 * running[-1]))
        return max(0.0, float(energies[0])), float(energies[min(last, len(energies) - 1)])


_open: weakref.WeakValueDictionary[tuple[str, int, int], SharedScan] = weakref.WeakValueDictionary()
_recent: deque[SharedScan] = deque(maxlen=_KEPT_OPEN)
_lock = threading.Lock()


def shared_scan(path: Path) -> SharedScan:
    """Open a zipstore, or return the one that is open already.

    Parameters
    ----------
    path : Path
        The zipstore. A file that was replaced since is opened anew.

    Returns
    -------
    SharedScan
        Open as long as anybody holds it; the last four asked for are kept open.

    Raises
    ------
    ZipstoreError
        If the file cannot be used.
    """
    with _lock:
        try:
            status = path.stat()
            key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
        except OSError:
            key = (str(path), 0, 0)  # opening it says what is wrong
        shared = _open.get(key)
        if shared is None:
            shared = SharedScan(open_scan(path))
            _open[key] = shared
        if shared in _recent:
            _recent.remove(shared)
        _recent.append(shared)
        return shared
