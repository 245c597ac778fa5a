"""The camera frames of a Crono file: when each was taken, where the head was, and its picture.

`Images/Static` holds video, some 30 frames a second, each stamped in the detector's clock
(microseconds, the clock of `XRF/DPPStartTimestamp` + `XRF/Timestamps`; see `frame_header`). So
a frame's place is the motor position interpolated to its time. This was inferred from the one
frame of a real file that was printed, and tried on simulated files only: not on a real one.

What a stamp cannot tell: by how much the stamps are late against the motor positions (a constant,
which `camera_geometry` estimates from the frames' overlap), and where the camera looks
beside the X-ray spot (a constant shift, which nothing in the file tells).

A frame that cannot be used is left out, and its reason counted. Frames are read a few at a
time and decoded one by one; of all others only time and number are kept. HDF5 itself may crash
on a file whose heap of variable-length values is damaged (HDFGroup/hdf5 issue 1707).
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from PIL import Image

from . import schema
from .crono_datasets import (
    MICROSECONDS_PER_SECOND,
    find_dataset,
    find_spectra,
    has_kind,
    read_positions,
    read_seconds,
    read_values,
    what_is,
)
from .errors import CronoFileError
from .frame_header import FrameError, FrameHeader, read_header, without_metadata
from .hdf5 import HDF5_ERRORS, open_hdf5
from .motor_track import MotorTrack
from .plain_text import printable

__all__ = ["CameraFrames", "FrameReader", "open_frames", "read_camera"]

FloatArray = npt.NDArray[np.float64]

STATIC = "Images/Static"
PIXEL_SIZE_RATIO = "Images/ImageAdjusting/ImagePixelSizeRatio"
DPP_START = "XRF/DPPStartTimestamp"

READ_AT_ONCE = 64
"""Frames; of about a kilobyte each in the file that is known, of 4 MB at most."""
MAX_ELEMENTS = 20_000_000
"""A week of video. More is no scan."""
MAX_AWAY_SECONDS = 3600.0
"""A stamp further than this from the scan's spectra is of another clock."""
HINT_LIMITS = 1e-2, 1e4
"""Motor steps a pixel between which a hint can be one; 11 in the file that is known."""
UNREADABLE = "HDF5 cannot read it"
DECODE_ERRORS = (
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    MemoryError, struct.error, Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow has been seen to raise on broken pictures."""


@dataclass(frozen=True, eq=False)
class CameraFrames:
    """The usable frames of a Crono file, without their pictures.

    Parameters
    ----------
    filename : Path
        The file.
    elements : (f,) int64
        Which element of `Images/Static` each frame is.
    seconds : (f,) float64
        When, since the detector's start; negative before. Increasing.
    size : tuple of int
        Width and height of all of them, in pixels.
    track : MotorTrack
        Where the head was, by the same clock.
    pixel_size_hint : tuple of float, or None
        The file's `ImagePixelSizeRatio`, taken for motor steps a pixel; inferred, a hint only.
    skipped : mapping of str to int
        How many frames were left out, by reason.
    """

    filename: Path
    elements: npt.NDArray[np.int64] = field(repr=False)
    seconds: FloatArray = field(repr=False)
    size: tuple[int, int]
    track: MotorTrack = field(repr=False)
    pixel_size_hint: tuple[float, float] | None
    skipped: Mapping[str, int]

    def positions(self, delay: float = 0.0) -> tuple[FloatArray, npt.NDArray[np.int8]]:
        """Return motor x and y (f, 2) of the frames, and what is known of each, a `Place` (f,).

        Parameters
        ----------
        delay : float, optional
            Seconds by which the stamps are later than the pictures; a frame's place is that of
            its stamp less the delay.
        """
        return self.track.at(self.seconds - delay)


class FrameReader:
    """Pictures of the frames of an open file; see `open_frames`."""

    def __init__(self, dataset: h5py.Dataset, frames: CameraFrames) -> None:
        self._dataset = dataset
        self.frames = frames

    def image(self, number: int, *, reduce: int = 1) -> npt.NDArray[np.uint8]:
        """Return the picture of a frame.

        Parameters
        ----------
        number : int
            Of the frame in `CameraFrames`, 0 to f - 1.
        reduce : int, optional
            Pixels along each axis that are averaged into one; what is over is cut off.

        Returns
        -------
        (h, w, 3) uint8
            Red, green and blue; row 0 is the top of the picture as it was stored.

        Raises
        ------
        FrameError
            If it cannot be decoded.
        """
        element = _element(self._dataset, int(self.frames.elements[number]))
        header = read_header(element)
        if (header.width, header.height) != self.frames.size:
            raise FrameError("of another size")
        picture = _decoded(without_metadata(element, header), self.frames.size)
        if reduce == 1:
            return picture
        h, w = (side // reduce for side in picture.shape[:2])
        blocks = picture[: h * reduce, : w * reduce].reshape(h, reduce, w, reduce, 3)
        return (blocks.mean(axis=(1, 3)) + 0.5).astype(np.uint8)


@contextmanager
def open_frames(frames: CameraFrames) -> Iterator[FrameReader]:
    """Yield the reader of the frames' pictures, and close the file.

    Raises
    ------
    CronoFileError
        If the file cannot be opened any more.
    """
    with open_hdf5(frames.filename) as file:
        yield FrameReader(_static(file), frames)


def read_camera(
    filename: str | PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> CameraFrames:
    """Read when the camera frames of a Crono file were taken, and the way of the head.

    Every frame is read once, and nothing of it decoded.

    Parameters
    ----------
    filename : str or PathLike
        The Crono HDF5 file.
    progress : callable, optional
        Called with the frames read and their total. What it raises stops the reading.

    Raises
    ------
    CronoFileError
        If the file cannot be read, has no camera frames or none that can be used, or does not
        tell the times of its spectra. The reasons are counted in the message.
    """
    with open_hdf5(filename) as file:
        try:
            track, start = _read_track(file)
            dataset = _static(file)
            headers, skipped = _read_headers(dataset, track, start, progress)
            hint = _read_hint(file)
        except CronoFileError as error:
            raise CronoFileError(f"{printable(filename)}: {error}") from error
    sizes = Counter((header.width, header.height) for _, _, header in headers)
    if not sizes:
        raise CronoFileError(f"{printable(filename)}: {_none_usable(skipped)}")
    size = sizes.most_common(1)[0][0]
    kept = [(seconds, element) for seconds, element, h in headers if (h.width, h.height) == size]
    if len(kept) < len(headers):
        skipped["of another size"] += len(headers) - len(kept)
    kept.sort()
    return CameraFrames(
        filename=Path(filename),
        elements=np.array([element for _, element in kept], dtype=np.int64),
        seconds=np.array([seconds for seconds, _ in kept]),
        size=size,
        track=track,
        pixel_size_hint=hint,
        skipped=dict(skipped),
    )


def _none_usable(skipped: Mapping[str, int]) -> str:
    if not skipped:
        return f"{STATIC} holds no camera frames; the scan was made without the camera."
    reasons = "; ".join(f"{count} x {why}" for why, count in skipped.items())
    return f"none of the camera frames in {STATIC} can be used ({reasons})."


def _read_headers(
    dataset: h5py.Dataset,
    track: MotorTrack,
    start: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[tuple[float, int, FrameHeader]], Counter[str]]:
    """Return time, element and header of the usable frames, and the reasons of all others."""
    headers: list[tuple[float, int, FrameHeader]] = []
    skipped: Counter[str] = Counter()
    n = dataset.shape[0]
    for first in range(0, n, READ_AT_ONCE):
        for number, element in _elements(dataset, first, min(first + READ_AT_ONCE, n)):
            if element is None:
                skipped[UNREADABLE] += 1
                continue
            try:
                if element != b"":  # as element 0 of the real file is
                    header = read_header(element)
                    headers.append((_seconds(header.stamp, start, track), number, header))
            except FrameError as error:
                skipped[str(error)] += 1
        if progress is not None:
            progress(min(first + READ_AT_ONCE, n), n)
    return headers, skipped


def _seconds(stamp: int, start: int, track: MotorTrack) -> float:
    """Return the time of a stamp since the detector's start, if that is near the scan."""
    seconds = (stamp - start) / MICROSECONDS_PER_SECOND
    if max(track.seconds[0] - seconds, seconds - track.seconds[-1]) > MAX_AWAY_SECONDS:
        raise FrameError("a time stamp more than an hour from the scan")
    return seconds


def _elements(dataset: h5py.Dataset, first: int, last: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield number and bytes of elements; None for one that cannot be read."""
    try:
        values = dataset[first:last]
    except HDF5_ERRORS:  # one damaged element spoils all that are read with it
        for number in range(first, last):
            try:
                yield number, _element(dataset, number)
            except FrameError:
                yield number, None
    else:
        for number, value in enumerate(values, first):
            yield number, value.tobytes()


def _element(dataset: h5py.Dataset, number: int) -> bytes:
    try:
        return dataset[number].tobytes()
    except HDF5_ERRORS as error:
        raise FrameError(UNREADABLE) from error


def _decoded(jpeg: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the picture of a JPEG that has said that it is of this size."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as picture:
            if picture.size == size:
                return np.array(picture.convert("RGB"))
    except DECODE_ERRORS as error:
        raise FrameError("a JPEG that cannot be decoded") from error
    raise FrameError("of another size")


# --- the datasets --------------------------------------------------------------------------
def _static(file: h5py.File) -> h5py.Dataset:
    """Return the dataset of frames (f,), unread."""
    dataset = find_dataset(file, STATIC)
    element = h5py.check_vlen_dtype(dataset.dtype)
    if dataset.ndim != 1 or element is None or np.dtype(element).itemsize != 1:
        raise CronoFileError(f"{what_is(dataset)}; expected camera frames, an array of bytes each.")
    if dataset.shape[0] > MAX_ELEMENTS:
        raise CronoFileError(
            f"{what_is(dataset)}; expected {MAX_ELEMENTS} camera frames at most, a week of video."
        )
    return dataset


def _read_track(file: h5py.File) -> tuple[MotorTrack, int]:
    """Return the way of the head, and the detector's clock at its start in microseconds."""
    n = find_spectra(file).shape[0]
    positions = read_positions(file, n)[:, :2].astype(np.float64)
    seconds = read_seconds(file, schema.TIMESTAMPS, n)
    dataset = find_dataset(file, DPP_START)
    if dataset.shape != (n,) or not has_kind(dataset, "iu"):
        raise CronoFileError(f"{what_is(dataset)}; expected microseconds of shape ({n},).")
    starts = read_values(dataset)
    start = int(starts[0])
    # A detector that was started anew goes on from another start: one clock for all.
    later = np.array([int(value) - start for value in np.unique(starts)], dtype=np.float64)
    seconds = seconds + later[np.searchsorted(np.unique(starts), starts)] / MICROSECONDS_PER_SECOND
    if n < 2 or (np.diff(seconds) <= 0).any():
        raise CronoFileError(
            f"{schema.TIMESTAMPS} does not grow from spectrum to spectrum, so camera frames cannot "
            "be placed by time."
        )
    return MotorTrack(seconds, positions), start


def _read_hint(file: h5py.File) -> tuple[float, float] | None:
    """Return what the file says of the pixel size, if that is two numbers that can be one."""
    try:
        dataset = find_dataset(file, PIXEL_SIZE_RATIO)
        if dataset.size != 2 or not has_kind(dataset, "iuf"):
            return None
        x, y = read_values(dataset).ravel().astype(np.float64).tolist()
    except CronoFileError:  # a hint that is missing is none
        return None
    low, high = HINT_LIMITS
    return (x, y) if low <= x <= high and low <= y <= high else None
