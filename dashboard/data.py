"""The only door to `maxrf_core`: open scans, shared by all visitors of a process."""

from __future__ import annotations

import json
import threading
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import find_peaks, peak_widths
from scipy.spatial import cKDTree

from maxrf_core import ParameterError, Roi, Scan, open_scan
from maxrf_core.calibration import CalibrationCheck, check_calibration
from maxrf_core.location import file_stamp, is_url
from maxrf_core.resolution import REFERENCE_KEV, Resolution, fit_resolution
from maxrf_core.schema import CHANNELS_PER_GROUP
from maxrf_core.sidecar import read_sidecar
from maxrf_core.smoothing import sigma_to_fwhm, smooth_spectra
from maxrf_core.thinning import MAX_SPECTRA, SigmaSuggestion, suggest_sigma

from .cloud import PositionCloud
from .element_lines import ElementLines
from .layers import LAYERS, Asked
from .once import Once

__all__ = [
    "KEPT_OPEN",
    "Line",
    "SharedScan",
    "cached_bytes",
    "kept_open",
    "open_scans",
    "shared_scan",
]

KEPT_OPEN = 4
"""Scans that stay open when nobody looks at them."""

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
        self._first: tuple[Asked, npt.NDArray[np.float32]] | None = None

    @property
    def name(self) -> str:
        """File name without its ending."""
        return Path(self.scan.name).stem

    @property
    def summary(self) -> str:
        """The scan in one line: how many spectra, channels and cells."""
        height, width = self.scan.grid.shape
        return (
            f"{self.scan.n_spectra:,} spectra × {self.scan.n_channels:,} channels · "
            f"{height} × {width} cells"
        )

    @Once
    def is_selected(self) -> npt.NDArray[np.bool_]:
        """Which spectra the vendor put into its map, (n,)."""
        chosen = np.zeros(self.scan.n_spectra, dtype=bool)
        chosen[self.scan.selected_index] = True
        return chosen

    @Once
    def rois(self) -> tuple[Roi, ...]:
        """Regions of the file that can be shown: inside the energies, not empty."""
        energies = self.scan.energies
        return tuple(
            roi
            for roi in self.scan.rois
            if not roi.is_empty and roi.high_kev > energies[0] and roi.low_kev < energies[-1]
        )

    @Once
    def cloud(self) -> PositionCloud:
        """All positions, ready to be drawn at any zoom."""
        return PositionCloud(self.scan.positions, self.is_selected)

    @Once
    def _tree(self) -> cKDTree:
        return cKDTree(self.scan.positions / self.scan.pitch)

    def nearest_spectrum(self, x: float, y: float) -> int:
        """Return the spectrum measured nearest to a point, in motor steps."""
        return int(self._tree.query(np.array([x, y]) / self.scan.pitch)[1])

    def prepare_picking(self) -> None:
        """Make ready in a thread what the first tap and the first pointer would wait for."""
        threading.Thread(target=lambda: self._tree, name="picking", daemon=True).start()

    @Once
    def strongest_line(self) -> Line:
        """Line whose counts vary most over the object, beyond shot noise.

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
        return max(lines, key=self._variance_beyond_noise)

    def _variance_beyond_noise(self, line: Line) -> float:
        """Return by how much a line's counts vary more than shot noise, whose variance is its mean.

        Taken over the line's groups of channels, whose ends are cumulative counts already: a
        quarter of the reading, and a little more of the background, which varies no more than
        its noise.
        """
        scan = self.scan
        inside = scan.channels_of(line.low_kev, line.high_kev)
        first = inside.start // CHANNELS_PER_GROUP * CHANNELS_PER_GROUP
        last = -(-inside.stop // CHANNELS_PER_GROUP) * CHANNELS_PER_GROUP
        energies = scan.energies.astype(np.float64)
        end = energies[last] if last < len(energies) else np.nextafter(energies[-1], np.inf)
        counts = scan.window_counts(energies[first], end).astype(np.float64)
        mean = counts.mean()
        return float(counts @ counts / len(counts) - mean**2 - mean)

    def _named(self, first: int, last: int) -> Line:
        """Return a window over channels, or the file's own ROI around its middle."""
        low, high = float(self.scan.energies[first]), float(self.scan.energies[last])
        middle = (low + high) / 2
        for roi in self.rois:
            if roi.low_kev <= middle < roi.high_kev:
                return Line(roi.name, roi.low_kev, roi.high_kev)
        return Line("", round(low, 3), round(high, 3))

    @Once
    def brightest_spectrum(self) -> int:
        """Spectrum with the most counts in the strongest line."""
        line = self.strongest_line
        return int(np.argmax(self.scan.window_counts(line.low_kev, line.high_kev)))

    # --- maps ---------------------------------------------------------------------------

    @property
    def layers(self) -> tuple[str, ...]:
        """What a map can show of this scan."""
        known = self.scan.dead_time_fraction is not None
        return tuple(name for name in LAYERS if known or name != "dead time")

    def layer_map(self, asked: Asked) -> npt.NDArray[np.float32]:
        """Return a map. That of the first look, which every visitor asks for, is kept."""
        if self._first is not None and self._first[0] == asked:
            return self._first[1]
        sigma = self.smoothing(asked.sigma, follow_resolution=asked.follow_resolution)
        return LAYERS[asked.layer].compute(self.scan, asked, sigma)

    def cell_counts(self, asked: Asked, row: int, column: int) -> tuple[float, float]:
        """Return counts of a cell in the window, and their standard error."""
        return self.scan.cell_counts(
            row,
            column,
            *asked.window,
            sigma=self.smoothing(asked.sigma, follow_resolution=asked.follow_resolution),
            **asked.options,
        )

    def lag_corrected(self, correct: bool) -> float:
        """Return the correction of the zigzag in periods: the scan's own, or none."""
        return self.zigzag if correct else 0.0

    @Once
    def zigzag(self) -> float:
        """Correction of the zigzag that a visitor may choose: the conversion's, or what is seen."""
        scan = self.scan
        if scan.lag_corrected or not scan.lag.is_significant:
            return scan.lag_corrected
        return scan.lag.periods

    # --- the detector -------------------------------------------------------------------

    @Once
    def resolution(self) -> Resolution:
        """Width of the detector's lines, from the scan's own."""
        return fit_resolution(self.scan.energies, self.scan.total_spectrum)

    @Once
    def elements(self) -> ElementLines:
        """Lines of the elements as this scan's detector shows them."""
        return ElementLines(self.scan, self.resolution)

    @Once
    def sigma_shape(self) -> npt.NDArray[np.float64]:
        """How sigma grows with the detector's resolution, (c,): 1 at 5.895 keV."""
        return self.resolution.sigma_channels(self.scan.energies, sigma=1.0)

    @Once
    def calibration(self) -> CalibrationCheck:
        """Whether the energy axis agrees with its points and the lines in the counts."""
        scan = self.scan
        points = None if scan.calibration is not None else scan.metadata.get("calibration_points")
        return check_calibration(scan.energies, scan.total_spectrum, points)

    @property
    def calibration_points(self) -> tuple[tuple[float, float], ...]:
        """Channel and keV of the points in use, or else of those that the lines suggest."""
        scan = self.scan
        if scan.calibration is not None:
            return tuple((channel, kev) for channel, kev in scan.calibration["points"])
        if self.calibration.agrees is False and self.calibration.suggested_points:
            return self.calibration.suggested_points
        return tuple(
            (channel, kev) for channel, kev in scan.metadata.get("calibration_points") or ()
        )

    @property
    def detector_sigma(self) -> float:
        """Sigma of the detector's own lines at 5.895 keV, in channels."""
        width = float(self.resolution.fwhm_kev(REFERENCE_KEV)) / self.scan.kev_per_channel
        return width / sigma_to_fwhm(1.0)

    def suggest_sigma(
        self,
        spectrum: int | None,
        cell: tuple[int, int] | None,
        *,
        method: str,
        lag: float,
        follow_resolution: bool,
        mask: npt.NDArray[np.bool_] | None = None,
    ) -> SigmaSuggestion:
        """Return the sigma that the counts themselves ask for.

        Parameters
        ----------
        spectrum, cell
            Of one spectrum, or of those behind a cell; with neither, of a sample of the scan.
        method : str
            Interpolation of the cell.
        lag : float
            Correction of the zigzag, in periods, which moves other spectra behind the cell.
        follow_resolution : bool
            Whether sigma is to grow with the detector's resolution.
        mask : (h, w) bool, optional
            Of those behind the cells of a region, or a sample of them.
        """
        scan = self.scan
        if cell is not None:
            chosen = np.sort(scan.operator(method, lag=lag).cell_weights(*cell)[0])
        elif spectrum is not None:
            chosen = np.array([spectrum])
        elif mask is not None:
            weights = scan.operator(method, lag=lag).spectrum_weights(mask)
            inside = np.flatnonzero(np.nan_to_num(weights))
            if len(inside) == 0:
                raise ParameterError("the region holds no datum.")
            sample = np.linspace(0, len(inside) - 1, min(len(inside), MAX_SPECTRA))
            chosen = inside[sample.astype(np.int64)]
        else:
            chosen = np.unique(np.linspace(0, scan.n_spectra - 1, MAX_SPECTRA).astype(np.int64))
        shape = self.sigma_shape if follow_resolution else None
        return suggest_sigma(scan.spectra(chosen), shape=shape)

    def smoothing(
        self, sigma: float, *, follow_resolution: bool
    ) -> float | npt.NDArray[np.float64]:
        """Return sigma in channels: the same in all, or one for each."""
        return sigma * self.sigma_shape if follow_resolution and sigma > 0 else sigma

    def prepare(self) -> None:
        """Compute what every first look needs, side by side. Call it in a thread."""
        with ThreadPoolExecutor(2, thread_name_prefix="first-look") as beside:
            waited_for = [beside.submit(self.scan.operator), beside.submit(lambda: self.cloud)]
            _ = self.brightest_spectrum, self.energy_limits, self.zigzag
            for other in waited_for:
                other.result()
        line = self.strongest_line
        look = Asked((line.low_kev, line.high_kev), self.scan.method, lag=self.scan.lag_corrected)
        self._first = look, self.layer_map(look)

    @Once
    def energy_limits(self) -> tuple[float, float]:
        """Energies in keV between which nearly all counts above 0 keV lie."""
        energies, total = self.scan.energies, self.scan.total_spectrum
        running = np.cumsum(np.where(energies > 0, total, 0))
        if running[-1] == 0:
            return float(energies[0]), float(energies[-1])
        last = int(np.searchsorted(running, 0.998 * running[-1]))
        return max(0.0, float(energies[0])), float(energies[min(last, len(energies) - 1)])


_open: weakref.WeakValueDictionary[tuple[str | int, ...], SharedScan] = (
    weakref.WeakValueDictionary()
)
_recent: deque[SharedScan] = deque(maxlen=KEPT_OPEN)
_lock = threading.Lock()
_opening: dict[str, threading.Lock] = {}


def shared_scan(location: Path | str) -> SharedScan:
    """Open a zipstore, or return the one that is open already.

    Parameters
    ----------
    location : Path or str
        The zipstore, or its URL. A file that was replaced since is opened anew; what lies
        behind a URL is taken to stay as it is.

    Returns
    -------
    SharedScan
        Open as long as anybody holds it; the last four asked for are kept open.

    Raises
    ------
    ZipstoreError
        If the file cannot be used.
    """
    key = _identity(location)
    with _lock:
        opening = _opening.setdefault(key[0], threading.Lock())
    with opening:  # a server that does not answer holds up nobody but who asks for its scan
        with _lock:
            shared = _open.get(key)
        if shared is None:
            shared = SharedScan(open_scan(location))
        with _lock:
            _open[key] = shared
            if shared in _recent:
                _recent.remove(shared)
            _recent.append(shared)
            return shared


def kept_open() -> tuple[SharedScan, ...]:
    """Return the scans that are kept open although nobody may look at them."""
    with _lock:
        return tuple(_recent)


def open_scans() -> tuple[SharedScan, ...]:
    """Return all scans that are open: those kept, and those that somebody looks at."""
    with _lock:
        return tuple(set(_open.values()))


def cached_bytes() -> int:
    """Return how much memory the cached counts of all open scans take."""
    return sum(shared.scan.cache_info["bytes"] for shared in open_scans())


def _identity(location: Path | str) -> tuple[str | int, ...]:
    """Return what tells a file, and what is kept beside it, from another and from its successor."""
    if is_url(location):
        return (str(location),)
    path = Path(location)
    return *file_stamp(path), _calibration_of(path)


def _calibration_of(path: Path) -> str:
    """Return the calibration beside a file: all that is opened with it, of what is kept there."""
    try:
        return json.dumps(read_sidecar(path).get("calibration"))
    except ParameterError as error:
        return str(error)  # opening the scan says so
