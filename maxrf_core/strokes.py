"""Pen strokes, and what a paint laid down in strokes covers.

A stroke is a pen's path, sampled closely, with a width and a load of ink at each sample; the
nearest sample of a place says what lies there. That is quick (some millions of places in
seconds) and smooth at every scale. Places are (x, y) in units of the page's height, y upwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

__all__ = ["Layer", "Stroke", "dot", "draw", "leaf", "spiral"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A pen's path, sampled closely.

    Attributes
    ----------
    places : ndarray of float64, shape (m, 2)
        Samples along the path.
    half_widths : ndarray of float64, shape (m,)
        Half the stroke's width at each, in the same unit.
    loads : ndarray of float64, shape (m,)
        Ink at each; 1 is a full pen.
    """

    places: FloatArray
    half_widths: FloatArray
    loads: FloatArray


class Layer:
    """All strokes of one paint; what lies at a place is told by the nearest sample.

    Strokes that cross and differ much in width belong in groups of their own, or the thin one
    would cut the broad one; of the groups the heaviest load counts.
    """

    REACH = 1.8
    """Half-widths beyond which a stroke has faded to nothing: 2^-(1.8^6) is 6e-11."""

    def __init__(self, *groups: Sequence[Stroke]) -> None:
        self._groups = [
            (
                cKDTree(np.concatenate([stroke.places for stroke in group])),
                np.concatenate([stroke.half_widths for stroke in group]),
                np.concatenate([stroke.loads for stroke in group]),
            )
            for group in groups
        ]

    def coverage(self, places: FloatArray) -> FloatArray:
        """Return the load at (m, 2) places: half of it at the stroke's edge, 0 far away."""
        covered = np.zeros(len(places))
        for tree, half_widths, loads in self._groups:
            reach = self.REACH * float(half_widths.max())
            distance, index = tree.query(places, distance_upper_bound=reach)
            near = np.flatnonzero(np.isfinite(distance))
            sample = index[near]
            fade = np.exp2(-((distance[near] / half_widths[sample]) ** 6))
            covered[near] = np.maximum(covered[near], loads[sample] * fade)
        return covered


def draw(
    points: npt.ArrayLike,
    half_width: npt.ArrayLike,
    *,
    load: float = 1.0,
    nib: float | None = None,
) -> Stroke:
    """Draw a smooth stroke through points.

    Parameters
    ----------
    points : array_like of float, shape (p, 2)
        What the pen goes through.
    half_width : array_like of float, shape () or (p,)
        Half the stroke's width, of all or of each point.
    load : float, optional
        Ink; 1 is a full pen.
    nib : float, optional
        Angle of a broad pen in radians, along which the stroke thins to 0.45 of its width.
    """
    knots = np.asarray(points, dtype=np.float64)
    lengths = np.hypot(*np.diff(knots, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    widths = np.broadcast_to(np.asarray(half_width, np.float64), along.shape)
    samples = max(8, int(np.ceil(along[-1] / (0.25 * max(widths.min(), 0.003)))))
    t = np.linspace(0.0, along[-1], samples)
    spline = CubicSpline(along, knots, bc_type="natural")
    drawn_widths = np.interp(t, along, widths)
    if nib is not None:
        dx, dy = spline(t, 1).T
        drawn_widths = drawn_widths * (0.45 + 0.55 * np.abs(np.sin(np.arctan2(dy, dx) - nib)))
    return Stroke(spline(t), drawn_widths, np.full(samples, load))


def spiral(
    centre: tuple[float, float],
    radius: float,
    *,
    start: float,
    turns: float,
    half_width: float,
    inner: float = 0.12,
    height: float = 1.0,
) -> Stroke:
    """Draw a tendril from `radius` around `centre` inwards; negative `turns` run clockwise.

    `start` is its first angle in radians, `inner` the share of the radius that is left at its
    end; `height` stretches it upwards.
    """
    count = max(12, int(abs(turns) * 24))
    share = np.linspace(0.0, 1.0, count)
    angle = start + 2.0 * np.pi * turns * share
    distance = radius * (1.0 - (1.0 - inner) * share**0.9)
    points = np.column_stack(
        [centre[0] + distance * np.cos(angle), centre[1] + height * distance * np.sin(angle)]
    )
    return draw(points, half_width * (1.0 - 0.35 * share))


def leaf(root: tuple[float, float], angle: float, length: float) -> Stroke:
    """Draw a pointed leaf of `length` that leaves `root` at `angle` (radians), bending a little."""
    share = np.array([0.0, 0.25, 0.5, 0.8, 1.0])
    bend = angle + 0.5 * share
    points = np.column_stack(
        [root[0] + length * share * np.cos(bend), root[1] + length * share * np.sin(bend)]
    )
    return draw(points, length * np.array([0.06, 0.2, 0.26, 0.14, 0.04]))


def dot(centre: tuple[float, float], radius: float) -> Stroke:
    """Put one round drop."""
    return Stroke(np.array([centre]), np.array([radius]), np.ones(1))
