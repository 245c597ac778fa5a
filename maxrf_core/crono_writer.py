"""A simulated scan in the layout of the Crono instrument's own HDF5 file.

The 32 datasets, their types and attributes are those of the one real file (`CRONO 1.2.4.54`,
structure version 1.6; see `crono`). Blobs that only the vendor's program reads hold a few bytes.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from . import schema
from .failsafe_hdf5 import FailsafeFile, failsafe_hdf5
from .poisson import Block
from .raster import ACCELERATION, PERIOD_US
from .simulated_camera import PIXEL_STEPS, CameraModel, SimulatedCamera
from .simulation_parameters import SIMULATION_ATTRIBUTE
from .truth import SimulatedScan, calibration_points

__all__ = ["camera_of", "write_crono"]

CREATED = datetime(2021, 10, 15, 14, 20, 2)  # noqa: DTZ001 - the file knows no time zone
STAMP = "%m/%d/%Y %H:%M:%S"
SOFTWARE = "CRONO 1.2.4.54"
FIRST_ID = 20518
FIRST_TIMESTAMP_US = 14_880_000
DPP_START = 125903380430
DEAD_TIME_US = 1.1
"""Of a count: the real file's 515 counts go with 59436 us of live time, 578 with 59356."""
NET_BLOB = b"\x00\x01\x00\x00"
"""Stands for the .NET BinaryFormatter's blobs, whose content nothing here reads."""
GZIP_CHUNK_SPECTRA = 16
ROWS_A_BLOCK = 256
"""Rows of the vendor's map that are written at once."""

Roi = tuple[str, float, float]


def write_crono(
    path: Path,
    truth: SimulatedScan,
    blocks: Iterable[Block],
    *,
    rois: Sequence[Roi],
    compression: str | None,
    progress: Callable[[int, int], None] | None,
    camera: CameraModel | None = None,
) -> None:
    """Write a simulated scan.

    Parameters
    ----------
    path : Path
        A file that does not exist.
    truth : SimulatedScan
        The scan.
    blocks : iterable of Block
        Its spectra, all of them in order.
    rois : sequence of (name, low keV, high keV)
        Regions of interest.
    compression : {None, "gzip"}
        Of the spectra, which are contiguous without.
    progress : callable or None
        Called with the spectra done and their total after each block.
    camera : CameraModel or None
        Writes camera frames, too.

    Raises
    ------
    OSError
        If the file cannot be written whole; what there is of it stays.
    """
    _write_skeleton(path, truth, rois, compression, camera)
    _reserve(path)
    with failsafe_hdf5(FailsafeFile(path, "r+"), "r+") as (file, written):
        _write_maps(file, truth)
        for block in blocks:
            _write_block(file, truth, block)
            written.check()
            if progress is not None:
                progress(block.start + len(block.counts), truth.n_spectra)


def _write_skeleton(
    path: Path,
    truth: SimulatedScan,
    rois: Sequence[Roi],
    compression: str | None,
    camera: CameraModel | None,
) -> None:
    """Create the file with everything but the numbers that belong to cells and spectra."""
    with failsafe_hdf5(FailsafeFile(path), "w") as (file, _):
        file.attrs[SIMULATION_ATTRIBUTE] = json.dumps(asdict(truth.parameters))
        _write_session(file, truth)
        _write_images(file, truth, camera)
        _write_calibration(file, truth, rois)
        _create_arrays(file, truth, len(rois), compression)


def _reserve(path: Path) -> None:
    """Take the room on the disk that the file's datasets will fill, or raise OSError now.

    A scan that the disk has no room for is refused before its hours of work, not after them.
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


def _write_session(file: h5py.File, truth: SimulatedScan) -> None:
    """Write when and with what the scan was made."""
    last = truth.motion.periods(np.array([truth.n_spectra - 1]))[0]
    microseconds = FIRST_TIMESTAMP_US + PERIOD_US * int(last)
    started = CREATED + timedelta(seconds=4)
    ended = started + timedelta(seconds=7 + microseconds // 1_000_000)
    for name, moment in (("Initial", started), ("Final", ended)):
        status = _write_blobs(file, f"Configuration/{name}SystemStatus", [NET_BLOB], "V1")
        _set_attribute(status, "DateTime", moment.strftime(STAMP))
        _set_attribute(status, "TubeTemperature", 57.33)
    settings = _write_blobs(file, schema.SETTINGS, [NET_BLOB], "V1")
    _set_attribute(settings, "Acceleration", ACCELERATION)
    _set_attribute(settings, "Collimator", "0,5 mm")
    file[schema.CREATED_DATETIME] = _bytes_of(CREATED.strftime(STAMP).ljust(50, "\0"))
    file[schema.CREATED_WITH] = _bytes_of(SOFTWARE.ljust(50, "\0"))
    file[schema.FILE_STRUCTURE_VERSION] = np.array([1, 6], dtype=np.int32)


def camera_of(truth: SimulatedScan, model: CameraModel) -> SimulatedCamera:
    """Return the camera of a simulated scan, on the clock that its file has."""
    return SimulatedCamera(truth, model, first_timestamp_us=FIRST_TIMESTAMP_US, dpp_start=DPP_START)


def _write_images(file: h5py.File, truth: SimulatedScan, model: CameraModel | None) -> None:
    """Write the images: the camera's frames, if there is one, and the others empty."""
    for name in ("Documentation", "StitchedImage", "VideoStreams"):
        _write_blobs(file, f"Images/{name}", [b""], "V1")
    frames: Iterable[bytes] = [b""] * 3
    length, pixel_steps = 3, PIXEL_STEPS
    if model is not None:
        camera = camera_of(truth, model)
        frames, length, pixel_steps = camera.elements(), camera.n_frames + 1, model.pixel_steps
    static = file.create_dataset("Images/Static", (length,), h5py.vlen_dtype(np.dtype("V1")))
    for number, frame in enumerate(frames):
        static[number] = np.frombuffer(frame, dtype="V1")
    ratio = np.full((1, 2), pixel_steps, np.float32)
    file["Images/ImageAdjusting/ImagePixelSizeRatio"] = ratio


def _write_calibration(file: h5py.File, truth: SimulatedScan, rois: Sequence[Roi]) -> None:
    """Write the energies of the channels and the regions of interest."""
    n_channels = truth.parameters.n_channels
    file[schema.ENERGY_VECTOR] = truth.energies
    file[schema.CALIBRATION_POINTS] = calibration_points(n_channels).astype(np.float32)
    calibration = file[schema.CALIBRATION_POINTS]
    _set_attribute(calibration, "CalibrationBins", n_channels)
    _set_attribute(calibration, "CalibrationEquation", 0)
    windows = np.array([(low, high) for _, low, high in rois], dtype=np.float64)
    file[schema.ROIS_ENERGIES] = windows.reshape(len(rois), 2)
    _write_blobs(file, schema.ROIS_NAMES, [name.encode("ascii") for name, _, _ in rois], "S1")
    _write_blobs(file, "XRF/ROIs/ROIsObjects", [NET_BLOB] * len(rois), "V1")


def _create_arrays(
    file: h5py.File, truth: SimulatedScan, n_rois: int, compression: str | None
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
    if compression is None:
        file.create_dataset(schema.SPECTRA, (n, c), np.uint16, dcpl=room.copy())
    else:
        chunks = (min(GZIP_CHUNK_SPECTRA, n), c)
        file.create_dataset(
            schema.SPECTRA, (n, c), np.uint16, chunks=chunks, compression=compression
        )


def _write_maps(file: h5py.File, truth: SimulatedScan) -> None:
    """Write the vendor's choice of spectra, and its maps, which are all NaN in the real file."""
    motion = truth.motion
    names = ("Maps/ComputedMaps", "XComputedMapsCoordinate", "YComputedMapsCoordinate")
    maps = [file[f"XRF/{name}"] for name in names]
    for first in range(0, motion.rows, ROWS_A_BLOCK):
        last = min(first + ROWS_A_BLOCK, motion.rows)
        file[schema.SELECTED_INDEX][first:last] = motion.selected(first, last)
        for dataset in maps:
            dataset[first:last] = np.full((last - first, *dataset.shape[1:]), np.nan)


def _write_block(file: h5py.File, truth: SimulatedScan, block: Block) -> None:
    """Write one block of spectra with their records."""
    n = len(block.counts)
    stop = block.start + n
    periods = truth.motion.periods(np.arange(block.start, stop))
    detected = block.counts.sum(axis=1, dtype=np.uint64)
    # Whole arrays throughout: h5py writes a broadcast number spectrum by spectrum.
    records = {
        "Spectra": block.counts,
        "DPPStartTimestamp": np.full(n, DPP_START, dtype=np.uint64),
        "Detected": detected,
        "LiveTimes": np.maximum(np.rint(PERIOD_US - DEAD_TIME_US * detected), 1.0),
        "MotorsPositions": truth.motion.recorded(block.start, stop),
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


def _bytes_of(text: str) -> npt.NDArray[np.bytes_]:
    """Return text as an array of single bytes."""
    return np.frombuffer(text.encode("ascii"), dtype="S1")


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
