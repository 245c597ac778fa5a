"""The camera of a simulated scan: a known picture, and the frames that it makes of it.

The picture is the phantom in the colours of its pigments, with the fine grain of paper over it;
it is known at any place (`Scene`). Frames are taken while the head moves, before the first
spectrum, through all turns, and after the last, as in the real file: 30 a second, 143 x 107
pixels, stamped in the detector's clock, the first 0.21 s before that starts. How the head
crosses from row to row, and what a real camera adds (blur by motion, glare, defocus),
is not known; frames are sharp, with shading towards their corners and a little noise.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot
from numbers import Integral

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from .camera_axes import axes_matrix
from .frame_header import DATE_TIME_ORIGINAL, EXIF_IFD, net_byte_array
from .phantom import make_phantom
from .raster import PERIOD_US, ROW_PITCH, X_START, Y_START
from .simulation_parameters import in_range
from .truth import SimulatedScan

__all__ = ["CameraModel", "Scene", "SimulatedCamera"]

FloatArray = npt.NDArray[np.float64]

FIRST_FRAME_US = -210_012
"""Stamp of the real file's frame (125903170418), less the detector's start (125903380430)."""
AFTER_LAST_US = 700_000
"""Until when frames are taken after the last spectrum; 7 s in the real file."""
PIXEL_STEPS = 11.085714
"""The real file's `ImagePixelSizeRatio`, taken for motor steps a pixel."""

PAPER = np.array([232.0, 217.0, 186.0])
PIGMENTS = {
    "Fe": (1.4, 1.7, 2.1),  # iron-gall ink: brown-black
    "Pb": (0.05, 0.75, 1.5),  # red lead: orange
    "Cu": (1.5, 0.35, 0.9),  # copper green
    "Hg": (0.1, 1.8, 1.9),  # vermilion: red
}
"""Absorption of red, green and blue at abundance 1, chosen by eye."""
TILE = 512
"""Samples a side of the grain, which repeats beyond."""
SCENE_SAMPLES = 1_000_000
"""Places at most at which the phantom is computed; between them it is interpolated."""


@dataclass(frozen=True)
class CameraModel:
    """What decides the camera frames of a simulated scan.

    Parameters
    ----------
    frames_per_second : float
        1 to 120.
    size : tuple of int
        Width and height of a frame in pixels, 16 to 2048.
    pixel_steps : float
        Motor steps a pixel, 0.1 to 1000.
    quarter_turns, mirrored, angle_degrees
        The orientation, as in `maxrf_core.camera_axes.CameraAxes`.
    delay : float
        Seconds by which the stamps are later than the pictures, -2 to 2.
    shift_steps : tuple of float
        Where the middle of a frame looks, less the motor position; up to 100000 steps.
    texture : float
        Contrast of the grain, 0 (none) to 1.
    vignette : float
        By which share the corners are darker than the middle, 0 to 0.9.
    noise : float
        Of the camera, in grey levels of 255; 0 to 50.
    """

    frames_per_second: float = 30.0
    size: tuple[int, int] = (143, 107)
    pixel_steps: float = PIXEL_STEPS
    quarter_turns: int = 0
    mirrored: bool = False
    angle_degrees: float = 0.0
    delay: float = 0.0
    shift_steps: tuple[float, float] = (0.0, 0.0)
    texture: float = 0.15
    vignette: float = 0.2
    noise: float = 2.0

    @property
    def matrix(self) -> FloatArray:
        """Motor steps a pixel, (2, 2)."""
        return axes_matrix(
            self.pixel_steps,
            quarter_turns=self.quarter_turns,
            mirrored=self.mirrored,
            angle_degrees=self.angle_degrees,
        )

    def faults(self) -> list[str]:
        """Return what is wrong with the parameters, one clause each."""
        pairs = {"size": (16, 2048, Integral), "shift_steps": (-1e5, 1e5)}
        rules = {
            "frames_per_second": (1.0, 120.0),
            "pixel_steps": (0.1, 1000.0),
            "quarter_turns": (0, 3, Integral),
            "angle_degrees": (-45.0, 45.0),
            "delay": (-2.0, 2.0),
            "texture": (0.0, 1.0),
            "vignette": (0.0, 0.9),
            "noise": (0.0, 50.0),
        }
        faults = [
            f"camera.{name} is {getattr(self, name)!r}, expected {rule[0]} to {rule[1]}"
            for name, rule in rules.items()
            if not in_range(getattr(self, name), *rule)
        ]
        for name, rule in pairs.items():
            pair = getattr(self, name)
            if not (
                isinstance(pair, tuple) and len(pair) == 2 and all(in_range(v, *rule) for v in pair)
            ):
                faults.append(
                    f"camera.{name} is {pair!r}, expected two numbers, {rule[0]} to {rule[1]}"
                )
        return faults


class Scene:
    """The picture that the camera looks at, known at any motor position.

    Parameters
    ----------
    truth : SimulatedScan
        The scan.
    texture : float
        Contrast of the grain.
    grain_steps : float
        Motor steps between two samples of the grain: a pixel of the camera.
    margin : float
        Steps around the map that are to be seen, too.
    """

    def __init__(
        self, truth: SimulatedScan, *, texture: float, grain_steps: float, margin: float
    ) -> None:
        motion = truth.motion
        height = ROW_PITCH * motion.rows
        bottom = Y_START - ROW_PITCH / 2
        phantom = make_phantom(truth.parameters.phantom, aspect=motion.length / height)
        sides = motion.length + 2 * margin, height + 2 * margin
        self._pitch = max(2 * grain_steps, (sides[0] * sides[1] / SCENE_SAMPLES) ** 0.5)
        self._corner = X_START - margin, bottom - margin
        x, y = (
            corner + self._pitch * np.arange(int(side / self._pitch) + 2)
            for corner, side in zip(self._corner, sides, strict=True)
        )
        u = np.clip((x - X_START) / motion.length, 0, 1)
        v = np.clip((y - bottom) / height, 0, 1)
        painted = np.empty((y.size, x.size, 3))
        for row, v_of_row in enumerate(v):
            abundances = phantom.abundances(u, v_of_row)
            absorbed = sum(abundances[name][:, None] * np.array(rgb) for name, rgb in
                           PIGMENTS.items())  # fmt: skip
            painted[row] = PAPER * np.exp(-absorbed)
        self._painted = painted
        rng = np.random.default_rng(np.random.SeedSequence(truth.parameters.seed, spawn_key=(7,)))
        grain = sum(
            ndimage.gaussian_filter(rng.standard_normal((TILE, TILE)), sigma, mode="wrap") * sigma
            for sigma in (1.2, 5.0)
        )
        self._grain = 1.0 + texture * grain / grain.std()
        self._grain_steps = grain_steps

    def colours(self, x: npt.ArrayLike, y: npt.ArrayLike) -> FloatArray:
        """Return red, green and blue (..., 3), 0 to 255, at motor positions."""
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        places = np.stack([(y - self._corner[1]), (x - self._corner[0])]) / self._pitch
        grain = ndimage.map_coordinates(
            self._grain, np.stack([y, x]) / self._grain_steps, order=1, mode="grid-wrap"
        )
        painted = [
            ndimage.map_coordinates(self._painted[..., band], places, order=1, mode="nearest")
            for band in range(3)
        ]
        return np.clip(np.stack(painted, axis=-1) * grain[..., None], 0.0, 255.0)


class SimulatedCamera:
    """The frames of a simulated scan.

    Parameters
    ----------
    truth : SimulatedScan
        The scan.
    model : CameraModel
        The camera.
    first_timestamp_us, dpp_start : int
        Time of the first spectrum after the detector's start, and that start on its clock,
        in microseconds, as the file has them.
    """

    def __init__(
        self, truth: SimulatedScan, model: CameraModel, *, first_timestamp_us: int, dpp_start: int
    ) -> None:
        self.truth = truth
        self.model = model
        self._first_us = first_timestamp_us
        self._dpp_start = dpp_start
        width, height = model.size
        self.scene = Scene(
            truth,
            texture=model.texture,
            grain_steps=model.pixel_steps,
            margin=hypot(width, height) / 2 * model.pixel_steps + max(map(abs, model.shift_steps)),
        )
        last = truth.motion.periods(np.array([truth.n_spectra - 1]))[0]
        lasts_us = first_timestamp_us + PERIOD_US * int(last) + AFTER_LAST_US - FIRST_FRAME_US
        self.n_frames = int(lasts_us * model.frames_per_second / 1e6) + 1
        columns = np.arange(width) + 0.5 - width / 2
        rows = np.arange(height) + 0.5 - height / 2
        self._away = np.einsum("ij,jhw->ihw", model.matrix, np.stack(np.meshgrid(columns, rows)))
        radius = np.hypot(*np.meshgrid(columns / (width / 2), rows / (height / 2)))
        self._shading = 1.0 - model.vignette * radius[..., None] ** 2 / 2

    @property
    def stamps_us(self) -> npt.NDArray[np.int64]:
        """Stamps of the frames (f,), microseconds since the detector's start."""
        times = np.arange(self.n_frames) * (1e6 / self.model.frames_per_second)
        return FIRST_FRAME_US + np.rint(times).astype(np.int64)

    @property
    def positions(self) -> FloatArray:
        """Where the head truly was when each frame was taken, x and y in steps (f, 2)."""
        taken = self.stamps_us - 1e6 * self.model.delay
        return self.truth.motion.at((taken - self._first_us) / PERIOD_US)

    def elements(self) -> Iterator[bytes]:
        """Yield the elements of `Images/Static`: an empty one, then a frame each."""
        yield b""
        rng = np.random.default_rng(
            np.random.SeedSequence(self.truth.parameters.seed, spawn_key=(8,))
        )
        seen: tuple[FloatArray, FloatArray] | None = None
        for stamp, position in zip(self.stamps_us, self.positions, strict=True):
            if seen is None or (seen[0] != position).any():  # a head at rest sees the same
                seen = position, self.picture(*position)
            noisy = seen[1] + self.model.noise * rng.standard_normal(seen[1].shape)
            levels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
            yield net_byte_array(_jpeg(levels, self._dpp_start + int(stamp)))

    def picture(self, x: float, y: float) -> FloatArray:
        """Return what the camera sees from a position, (h, w, 3), without noise."""
        shift = self.model.shift_steps
        places = x + shift[0] + self._away[0], y + shift[1] + self._away[1]
        return self.scene.colours(*places) * self._shading


def _jpeg(levels: npt.NDArray[np.uint8], stamp: int) -> bytes:
    """Return a picture as the camera's JPEG, its stamp where others write a date."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] = str(stamp)
    target = io.BytesIO()
    Image.fromarray(levels).save(target, "JPEG", quality=90, exif=exif)
    return target.getvalue()
