"""Which way a camera's pixels run against the motor axes, and how large they are.

A matrix (2, 2) takes pixels (to the right, downwards) to motor steps (x, y). Plots show motor y
upwards, so a camera that sees the object as the plots do has image y against motor y: that is
0 quarter turns, not mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, degrees, hypot, pi, radians, sin

import numpy as np
import numpy.typing as npt

__all__ = ["CameraAxes", "axes_matrix", "axes_of"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CameraAxes:
    """Pixel size and orientation of a camera, read off its matrix.

    Parameters
    ----------
    pixel_steps : tuple of float
        Motor steps of a pixel along image x and image y.
    quarter_turns : int
        0 to 3: how often the picture has to be turned counterclockwise by 90 degrees to lie as
        the plots show the object.
    mirrored : bool
        Whether left and right have to be exchanged before that.
    angle_degrees : float
        What is left to turn counterclockwise, -45 to 45.
    skew_degrees : float
        By how much image x and y are not at right angles; 0 for a good camera and stage.
    """

    pixel_steps: tuple[float, float]
    quarter_turns: int
    mirrored: bool
    angle_degrees: float
    skew_degrees: float


def axes_matrix(
    pixel_steps: float | tuple[float, float],
    *,
    quarter_turns: int = 0,
    mirrored: bool = False,
    angle_degrees: float = 0.0,
) -> FloatArray:
    """Return the matrix (2, 2), motor steps a pixel, of a camera without skew."""
    along_x, along_y = pixel_steps if isinstance(pixel_steps, tuple) else (pixel_steps,) * 2
    angle = quarter_turns * pi / 2 + radians(angle_degrees)
    turn = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
    return turn @ np.diag([-along_x if mirrored else along_x, -along_y])


def axes_of(matrix: npt.ArrayLike) -> CameraAxes:
    """Return pixel size and orientation of a matrix (2, 2) that is not singular."""
    m = np.array(matrix, dtype=np.float64)
    mirrored = bool(np.linalg.det(m) > 0)
    if mirrored:
        m[:, 0] *= -1
    sizes = hypot(*m[:, 0]), hypot(*m[:, 1])
    right, up = complex(*m[:, 0]) / sizes[0], complex(*-m[:, 1]) / sizes[1]
    both = right + up / 1j  # without skew, up is right turned by 90 degrees
    angle = atan2(both.imag, both.real)
    turns = round(angle / (pi / 2))
    skew = up / right / 1j
    return CameraAxes(
        pixel_steps=sizes,
        quarter_turns=turns % 4,
        mirrored=mirrored,
        angle_degrees=degrees(angle - turns * pi / 2),
        skew_degrees=degrees(atan2(skew.imag, skew.real)),
    )
