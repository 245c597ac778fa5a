"""Scans of known truth, written in the layout of the Crono instrument's own HDF5 file.

The head moves back and forth (`raster`) over a painting of known composition (`phantom`); each
spectrum is drawn (`poisson`) from the expectation over its 60 ms stretch of motion (`truth`),
and written as the instrument would (`crono_writer`). What was expected can be asked of the
`SimulatedScan` at any place, and, from the file alone, of `load_truth`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Literal

from .crono_writer import write_crono
from .errors import OutputError, ParameterError
from .poisson import draw_blocks
from .simulated_camera import CameraModel
from .simulation_parameters import SimulationParameters, in_range
from .truth import SimulatedScan, load_truth, scaled_to_counts
from .unfinished import HiddenNames, put_in_place

__all__ = [
    "CRONO_ROIS",
    "DEMO_SHAPE",
    "CameraModel",
    "SimulatedScan",
    "SimulationParameters",
    "load_truth",
    "simulate_crono",
]

DEMO_SHAPE = (168, 96)
"""Rows and columns of a scan in which the drawing reads well: about 18,400 spectra, 156 MB."""

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
    camera: CameraModel | bool = False,
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
    phantom : {"manuscript", "constant", "gradient", "strokes", "washes", "periodic", "hotspots"}
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
        Of the spectra, in chunks of 16; by default they are contiguous, as the instrument
        writes them.
    camera : CameraModel or bool, optional
        Writes camera frames (`Images/Static`): True with the real file's size, rate and
        orientation unknown, which is then that of the plots. They take about 6 kB each.
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
    regions = () if rois is None else tuple(rois)
    parameters = SimulationParameters(
        tuple(shape) if isinstance(shape, list) else shape,
        seed,
        phantom,
        n_channels,
        counts_per_spectrum,
        lag,
        motion_blur,
        wobble_steps,
    )
    faults = parameters.faults() + _roi_faults(regions)
    if compression not in (None, "gzip"):
        faults.append(f"compression is {compression!r}, expected None or 'gzip'")
    if not in_range(threads, 1, 64, Integral):
        faults.append(f"threads is {threads!r}, expected 1 to 64")
    model = CameraModel() if camera is True else (camera or None)
    if model is not None:
        faults += model.faults()
    if faults:
        raise ParameterError(f"The scan cannot be simulated: {'; '.join(faults)}.")
    _check_target(path, overwrite=overwrite)
    truth = SimulatedScan(str(path), parameters.plain())
    _check_space(path.parent, truth, len(regions), compression)
    truth = scaled_to_counts(truth)
    try:
        with HiddenNames(path) as hidden, closing(draw_blocks(truth, threads)) as blocks:
            unfinished = hidden.name(path, "part")
            write_crono(
                unfinished,
                truth,
                blocks,
                rois=regions,
                compression=compression,
                progress=progress,
                camera=model,
            )
            # A file of that name may have come in the meantime.
            _check_target(path, overwrite=overwrite)
            put_in_place(unfinished, path)
    except OSError as error:
        # HDF5 puts the rest of its story, down to buffer addresses, in brackets.
        why = (error.strerror or str(error)).split(" (", 1)[0]
        raise OutputError(
            f"{path} cannot be written: {why}. Check the folder's permissions and the free space."
        ) from error
    return truth


def _roi_faults(rois: Sequence[tuple[str, float, float]]) -> list[str]:
    """Return what is wrong with the regions of interest, one clause each."""
    faults = []
    for number, roi in enumerate(rois):
        try:
            name, low, high = roi
            good = bool(name) and name.isascii()
            good = good and in_range(low, -1e3, 1e3) and in_range(high, low, 1e3)
        except (TypeError, ValueError, AttributeError):
            good = False
        if not good:
            faults.append(
                f"rois[{number}] is {roi!r}, expected (name in ASCII, low keV, high keV), low "
                "not above high"
            )
    return faults


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
