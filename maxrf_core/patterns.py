"""Plain pictures by formula: what a scan of known truth is measured with.

Places are as in `maxrf_core.phantom`: ``u``, 0 to 1 from left to right, and ``v``, 0 to 1
upwards. Lengths are in units of the page's height, so that a line is as wide along x as along y
whatever the page's aspect. Iron, copper, lead and calcium differ; the rest is alike everywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from .components import COMPONENTS
from .strokes import Layer, draw, spiral

__all__ = [
    "ConstantPhantom",
    "GradientPhantom",
    "HotspotsPhantom",
    "PeriodicPhantom",
    "Phantom",
    "StrokesPhantom",
    "WashesPhantom",
]

FloatArray = npt.NDArray[np.float64]


class Phantom(ABC):
    """What a simulated scan asks of a painting."""

    @abstractmethod
    def abundances(self, u: npt.ArrayLike, v: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return how much of every component lies at places.

        Parameters
        ----------
        u, v : array_like of float
            Places, 0 to 1 from left to right and from the smallest to the largest y.

        Returns
        -------
        dict of str to ndarray of float64
            For each name in `maxrf_core.components.COMPONENTS`, in their order, an array of
            the broadcast shape of `u` and `v`: 0 or more, without unit; 1 is the component's
            full strength.
        """


class ConstantPhantom(Phantom):
    """Every component everywhere alike, at abundance 1."""

    def abundances(self, u: npt.ArrayLike, v: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return abundance 1 for every component."""
        shape = np.broadcast_shapes(np.shape(u), np.shape(v))
        return {name: np.ones(shape) for name in COMPONENTS}


class GradientPhantom(Phantom):
    """Elements that rise linearly across the scan.

    Iron follows ``0.25 + 1.5 u``, copper ``0.25 + 1.5 v``, lead ``0.25 + 0.75 (u + v)``;
    everything else stays at 1, so that every mean over the scan is 1.
    """

    def abundances(self, u: npt.ArrayLike, v: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return the linear abundances."""
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        abundances = {name: np.ones(u.shape) for name in COMPONENTS}
        abundances["Fe"] = 0.25 + 1.5 * u
        abundances["Cu"] = 0.25 + 1.5 * v
        abundances["Pb"] = 0.25 + 0.75 * (u + v)
        return abundances


class _PagePhantom(Phantom):
    """A picture on a page of some aspect.

    Parameters
    ----------
    aspect : float
        Width of the scan in units of its height.
    """

    def __init__(self, aspect: float) -> None:
        self._width = aspect

    @abstractmethod
    def _paint(self, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
        """Return the abundances (m,) of some components at places (m,); others are 1."""

    def abundances(self, u: npt.ArrayLike, v: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return every component's abundance."""
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        painted = self._paint(u.ravel() * self._width, v.ravel())
        blank = np.ones(u.size)
        return {name: painted.get(name, blank).reshape(u.shape) for name in COMPONENTS}


class StrokesPhantom(_PagePhantom):
    """Thin strokes on an even ground.

    Iron in fans of fine straight lines, 0.02 of the height wide, copper in spirals of 0.028,
    lead in waves of 0.05; the calcium of the ground is half hidden under lead.
    """

    def __init__(self, aspect: float) -> None:
        super().__init__(aspect)
        w, turns = aspect, np.linspace(0.0, 1.0, 9)
        fan = [
            draw([(w * f, 0.03), (w * (0.5 * f + 0.25), 0.5), (w * (0.9 - 0.8 * f), 0.97)], 0.010)
            for f in np.linspace(0.04, 0.96, 12)
        ]
        self._iron = Layer(*([stroke] for stroke in fan))
        self._copper = Layer(
            *(
                [spiral((w * f, h), 0.2, start=2.0 + 5 * f, turns=3.0, half_width=0.014)]
                for f, h in ((0.15, 0.3), (0.4, 0.68), (0.63, 0.33), (0.86, 0.7))
            )
        )
        self._lead = Layer(
            *(
                [draw(np.column_stack([w * turns, h + 0.05 * np.sin(9.0 * turns + h)]), 0.025)]
                for h in (0.2, 0.5, 0.8)
            )
        )

    def _paint(self, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
        places = np.column_stack([x, y])
        lead = self._lead.coverage(places)
        return {
            "Fe": 0.03 + self._iron.coverage(places),
            "Cu": 0.02 + self._copper.coverage(places),
            "Pb": 0.02 + lead,
            "Ca": 1.0 - 0.5 * lead,
        }


WAVES = {
    "Fe": ((4.1, 2.9, 0.3), (-2.2, 5.2, 1.1)),
    "Cu": ((3.0, -4.6, 2.0), (5.0, 1.7, 0.4)),
    "Pb": ((1.3, 5.9, 4.0), (3.6, -1.5, 2.7)),
    "Ca": ((5.3, 0.8, 5.1), (0.6, 3.3, 3.3)),
}
"""Two waves of each wash: radians per height along x and y, and the phase."""


class WashesPhantom(_PagePhantom):
    """Broad washes that run into each other: nothing is finer than a third of the height.

    Each is ``0.5 + 0.45 cos(k1 . place + a) cos(k2 . place + b)``.
    """

    def _paint(self, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
        washes = {}
        for name, waves in WAVES.items():
            first, second = (np.cos(kx * x + ky * y + phase) for kx, ky, phase in waves)
            washes[name] = 0.5 + 0.45 * first * second
        return washes


class PeriodicPhantom(_PagePhantom):
    """Fine periodic patterns, as of a weave.

    Iron varies along x with a period of 0.26 of the height, copper along y with 0.13, lead in a
    chequer of both with 0.36 and 0.18, calcium along the diagonal with 0.2.
    """

    def _paint(self, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
        def wave(place: FloatArray, period: float) -> FloatArray:
            return np.sin(2.0 * np.pi * place / period)

        return {
            "Fe": 0.5 + 0.45 * wave(x, 0.26),
            "Cu": 0.5 + 0.45 * wave(y, 0.13),
            "Pb": 0.5 + 0.45 * wave(x, 0.36) * wave(y, 0.18),
            "Ca": 0.5 + 0.45 * wave(0.8 * x + 0.6 * y, 0.2),
        }


SPOTS = {"Fe": (14, 0.1), "Cu": (10, 0.45), "Pb": (10, 0.8)}
"""Hot spots of each element: how many, and where their sequence begins."""
PLASTIC = 1.32471795724474602596
"""Root of x^3 = x + 1: steps of 1 / root and 1 / root^2 fill a square evenly and never line up
(Roberts 2018, *The unreasonable effectiveness of quasirandom sequences*)."""


class HotspotsPhantom(_PagePhantom):
    """A gradient with hot spots: a few small places hold much more than all around.

    Below is `GradientPhantom`, at a third of its strength. Spots are Gaussians of standard
    deviation 0.012 to 0.045 of the height, the finest 4 high, the broadest 1.
    """

    def _paint(self, x: FloatArray, y: FloatArray) -> dict[str, FloatArray]:
        u = x / self._width
        painted = {
            "Fe": (0.25 + 1.5 * u) / 3.0,
            "Cu": (0.25 + 1.5 * y) / 3.0,
            "Pb": (0.25 + 0.75 * (u + y)) / 3.0,
        }
        for name, (count, start) in SPOTS.items():
            for number in range(count):
                across = (start + number / PLASTIC) % 1.0 * self._width
                up = (start + number / PLASTIC**2) % 1.0
                share = number / (count - 1)
                square = (x - across) ** 2 + (y - up) ** 2
                height, sigma = 4.0 - 3.0 * share, 0.012 + 0.033 * share
                painted[name] = painted[name] + height * np.exp(-square / (2.0 * sigma**2))
        return painted
