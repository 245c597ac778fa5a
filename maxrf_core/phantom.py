"""Paintings of known composition, for scans of known truth.

A phantom gives, by formula, how much of each component lies at a place of the scan. Places are
``u``, 0 to 1 from left to right, and ``v``, 0 to 1 from the smallest to the largest motor y:
plots show y upwards, so ``v = 1`` is the top of the drawing.

The manuscript is drawn as a scribe would: every stroke is a pen's path, sampled closely, with
a width and a load of ink at each sample; the nearest sample of a place says what lies there.
That is quick (some millions of places in seconds) and smooth at every scale.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from maxrf_core.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from scipy.spatial import cKDTree

    FloatArray = NDArray[np.float64]

__all__ = ["COMPONENTS", "ELEMENTS", "PHANTOMS", "Phantom", "make_phantom"]

ELEMENTS = ("S", "Ar", "K", "Ca", "Mn", "Fe", "Cu", "Zn", "Hg", "Pb")
"""Elements that a phantom may hold, by atomic number."""
COMPONENTS = (*ELEMENTS, "Rayleigh", "Compton", "continuum", "zero")
"""Everything that adds counts: the elements, what the sample scatters of the tube's rhodium
lines and continuum, and the zero peak of the electronics."""

PAGE_ASPECTS = (0.55, 2.4)
"""Widths of the page, in units of its height, between which its layout adapts itself; beyond
them the drawing is stretched."""


class Phantom(ABC):
    """What a simulated scan asks of a painting."""

    @abstractmethod
    def abundances(self, u: ArrayLike, v: ArrayLike) -> dict[str, FloatArray]:
        """Return every component's abundance by name; places and values as in `abundance`."""

    def abundance(self, element: str, u: ArrayLike, v: ArrayLike) -> FloatArray:
        """Return the abundance of one component.

        Parameters
        ----------
        element : str
            One of `COMPONENTS`.
        u, v : array_like of float
            Places, 0 to 1 from left to right and from the smallest to the largest y.

        Returns
        -------
        ndarray of float64
            0 or more, without unit; 1 is the component's full strength.

        Raises
        ------
        ParameterError
            If there is no such component.
        """
        if element not in COMPONENTS:
            raise ParameterError(
                f"The phantoms hold no component {element!r}; choose one of {list(COMPONENTS)}."
            )
        return self.abundances(u, v)[element]


class ConstantPhantom(Phantom):
    """Every component everywhere alike, at abundance 1."""

    def abundances(self, u: ArrayLike, v: ArrayLike) -> dict[str, FloatArray]:
        """Return abundance 1 for every component; see `abundance`."""
        shape = np.broadcast_shapes(np.shape(u), np.shape(v))
        return {name: np.ones(shape) for name in COMPONENTS}


class GradientPhantom(Phantom):
    """Elements that rise linearly across the scan.

    Iron follows ``0.25 + 1.5 u``, copper ``0.25 + 1.5 v``, lead ``0.25 + 0.75 (u + v)``;
    everything else stays at 1, so that every mean over the scan is 1.
    """

    def abundances(self, u: ArrayLike, v: ArrayLike) -> dict[str, FloatArray]:
        """Return the linear abundances; see `abundance`."""
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        abundances = {name: np.ones(u.shape) for name in COMPONENTS}
        abundances["Fe"] = 0.25 + 1.5 * u
        abundances["Cu"] = 0.25 + 1.5 * v
        abundances["Pb"] = 0.25 + 0.75 * (u + v)
        return abundances


# --- Pen strokes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Stroke:
    """A pen's path, sampled closely: (m, 2) places, (m,) half-widths and (m,) loads of ink."""

    places: FloatArray
    half_widths: FloatArray
    loads: FloatArray


class _Layer:
    """All strokes of one paint; what lies at a place is told by the nearest sample.

    Strokes that cross and differ much in width belong in groups of their own, or the thin one
    would cut the broad one; of the groups the heaviest load counts.
    """

    REACH = 1.8
    """Half-widths beyond which a stroke has faded to nothing: 2^-(1.8^6) is 6e-11."""

    def __init__(self, *groups: Sequence[_Stroke]) -> None:
        from scipy.spatial import cKDTree

        self._groups: list[tuple[cKDTree, FloatArray, FloatArray]] = [
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


def _pen(
    points: Sequence[tuple[float, float]],
    half_width: float | Sequence[float],
    *,
    load: float | Sequence[float] = 1.0,
    nib: float | None = None,
) -> _Stroke:
    """Draw a smooth stroke through points.

    `half_width` and `load` may be given point by point. With `nib`, the angle of a broad pen in
    radians, the half-width thins to 0.45 along that direction.
    """
    from scipy.interpolate import CubicSpline

    knots = np.asarray(points, dtype=np.float64)
    lengths = np.hypot(*np.diff(knots, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    widths = np.broadcast_to(np.asarray(half_width, np.float64), along.shape)
    loads = np.broadcast_to(np.asarray(load, np.float64), along.shape)
    samples = max(8, int(np.ceil(along[-1] / (0.25 * max(widths.min(), 0.003)))))
    t = np.linspace(0.0, along[-1], samples)
    spline = CubicSpline(along, knots, bc_type="natural")
    drawn_widths = np.interp(t, along, widths)
    if nib is not None:
        dx, dy = spline(t, 1).T
        drawn_widths = drawn_widths * (0.45 + 0.55 * np.abs(np.sin(np.arctan2(dy, dx) - nib)))
    return _Stroke(spline(t), drawn_widths, np.interp(t, along, loads))


def _spiral(
    centre: tuple[float, float],
    radius: float,
    *,
    start: float,
    turns: float,
    half_width: float,
    inner: float = 0.12,
    height: float = 1.0,
) -> _Stroke:
    """Draw a tendril from `radius` around `centre` inwards; negative `turns` run clockwise.

    `inner` is the share of the radius that is left at its end, `height` stretches it upwards.
    """
    count = max(12, int(abs(turns) * 24))
    share = np.linspace(0.0, 1.0, count)
    angle = start + 2.0 * np.pi * turns * share
    distance = radius * (1.0 - (1.0 - inner) * share**0.9)
    points = np.column_stack(
        [centre[0] + distance * np.cos(angle), centre[1] + height * distance * np.sin(angle)]
    )
    return _pen([tuple(point) for point in points], list(half_width * (1.0 - 0.35 * share)))


def _leaf(root: tuple[float, float], angle: float, length: float) -> _Stroke:
    """Draw a pointed leaf of `length` that leaves `root` at `angle`, bending a little."""
    share = np.array([0.0, 0.25, 0.5, 0.8, 1.0])
    bend = angle + 0.5 * share
    points = np.column_stack(
        [
            root[0] + length * share * np.cos(bend),
            root[1] + length * share * np.sin(bend),
        ]
    )
    widths = length * np.array([0.06, 0.2, 0.26, 0.14, 0.04])
    return _pen([tuple(point) for point in points], list(widths))


def _dot(centre: tuple[float, float], radius: float, *, load: float = 1.0) -> _Stroke:
    """Put one round drop."""
    return _Stroke(np.array([centre]), np.array([radius]), np.array([load]))


# --- The scribe ---------------------------------------------------------------------------

GLYPHS: dict[str, tuple[float, tuple[tuple[tuple[float, float], ...], ...]]] = {
    "a": (
        1.05,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.55), (0.25, 0.05), (0.55, 0.12), (0.74, 0.45)),
            ((0.74, 1.0), (0.74, 0.3), (0.84, 0.04), (1.0, 0.14)),
        ),
    ),
    "b": (
        1.0,
        (
            ((0.12, 1.95), (0.12, 1.0), (0.12, 0.1)),
            ((0.12, 0.7), (0.45, 1.0), (0.8, 0.6), (0.62, 0.06), (0.3, 0.0), (0.12, 0.15)),
        ),
    ),
    "c": (0.85, (((0.72, 0.84), (0.45, 1.0), (0.12, 0.55), (0.32, 0.03), (0.74, 0.17)),)),
    "d": (
        1.05,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.55), (0.25, 0.05), (0.55, 0.12), (0.74, 0.45)),
            ((0.74, 1.95), (0.74, 1.0), (0.74, 0.3), (0.84, 0.04), (1.0, 0.14)),
        ),
    ),
    "e": (
        0.88,
        (
            (
                (0.14, 0.5),
                (0.72, 0.66),
                (0.6, 0.95),
                (0.36, 0.98),
                (0.12, 0.55),
                (0.32, 0.03),
                (0.76, 0.18),
            ),
        ),
    ),
    "f": (
        0.7,
        (
            ((0.75, 1.75), (0.45, 1.95), (0.24, 1.6), (0.22, 0.8), (0.2, -0.3)),
            ((0.0, 0.98), (0.3, 0.98), (0.6, 1.02)),
        ),
    ),
    "g": (
        1.0,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.6), (0.3, 0.15), (0.6, 0.25), (0.74, 0.55)),
            ((0.74, 1.0), (0.74, 0.2), (0.66, -0.55), (0.3, -0.72), (0.08, -0.45)),
        ),
    ),
    "h": (
        1.0,
        (
            ((0.12, 1.95), (0.12, 1.0), (0.12, 0.02)),
            ((0.12, 0.7), (0.45, 1.0), (0.7, 0.75), (0.7, 0.22), (0.8, 0.03), (0.95, 0.13)),
        ),
    ),
    "i": (0.5, (((0.15, 1.0), (0.15, 0.28), (0.27, 0.03), (0.44, 0.14)),)),
    "l": (0.5, (((0.15, 1.95), (0.15, 1.0), (0.15, 0.28), (0.27, 0.03), (0.44, 0.14)),)),
    "m": (
        1.5,
        (
            ((0.12, 1.0), (0.12, 0.5), (0.12, 0.02)),
            ((0.12, 0.7), (0.4, 1.0), (0.62, 0.78), (0.62, 0.02)),
            ((0.62, 0.7), (0.9, 1.0), (1.14, 0.78), (1.14, 0.24), (1.25, 0.03), (1.42, 0.14)),
        ),
    ),
    "n": (
        1.02,
        (
            ((0.12, 1.0), (0.12, 0.5), (0.12, 0.02)),
            ((0.12, 0.7), (0.43, 1.0), (0.68, 0.78), (0.68, 0.24), (0.79, 0.03), (0.95, 0.14)),
        ),
    ),
    "o": (
        0.95,
        (((0.45, 1.0), (0.12, 0.6), (0.26, 0.06), (0.62, 0.06), (0.8, 0.55), (0.45, 1.0)),),
    ),
    "p": (
        1.0,
        (
            ((0.14, 1.0), (0.12, 0.2), (0.1, -0.85)),
            ((0.13, 0.75), (0.45, 1.0), (0.8, 0.6), (0.62, 0.06), (0.3, 0.0), (0.12, 0.12)),
        ),
    ),
    "q": (
        1.0,
        (
            ((0.72, 0.85), (0.42, 0.98), (0.12, 0.55), (0.25, 0.05), (0.55, 0.12), (0.74, 0.45)),
            ((0.76, 1.0), (0.75, 0.2), (0.74, -0.85)),
        ),
    ),
    "r": (
        0.72,
        (
            ((0.12, 1.0), (0.12, 0.5), (0.12, 0.02)),
            ((0.12, 0.66), (0.34, 0.98), (0.66, 0.88)),
        ),
    ),
    "s": (
        0.8,
        (((0.66, 0.86), (0.38, 1.0), (0.16, 0.74), (0.58, 0.36), (0.44, 0.02), (0.1, 0.12)),),
    ),
    "t": (
        0.68,
        (
            ((0.22, 1.35), (0.2, 0.8), (0.22, 0.2), (0.38, 0.03), (0.62, 0.16)),
            ((0.0, 0.96), (0.28, 0.98), (0.58, 1.02)),
        ),
    ),
    "u": (
        1.05,
        (
            ((0.12, 1.0), (0.12, 0.3), (0.32, 0.02), (0.58, 0.14), (0.7, 0.45)),
            ((0.7, 1.0), (0.7, 0.28), (0.82, 0.03), (1.0, 0.14)),
        ),
    ),
}
"""A minuscule hand, letter by letter: the advance, then the strokes, each the points that the
pen goes through, in units of the x-height (0 is the baseline, 1 the height of an x)."""

SCRIPT = (
    "ater noster qui es in celis sanctificetur nomen tuum adueniat regnum tuum fiat uoluntas "
    "tua sicut in celo et in terra panem nostrum quotidianum da nobis hodie et dimitte nobis "
    "debita nostra sicut et nos dimittimus debitoribus nostris"
)
"""What follows the initial P."""

X_HEIGHT = 0.06
PEN = 0.0102
LINE_PITCH = 0.127
NIB = np.deg2rad(38.0)
SLANT = 0.14
RUBRIC_LINES = 1


def _write(
    script: str,
    lines: Sequence[tuple[float, float, float]],
    rng: np.random.Generator,
) -> list[list[_Stroke]]:
    """Write words on (left, right, baseline) lines; return each line's strokes.

    The pen is dipped every dozen letters or so and runs paler in between.
    """
    words = iter(script.split() * 8)
    written = []
    dip = 1.0
    word = next(words)
    for left, right, baseline in lines:
        strokes: list[_Stroke] = []
        x = left
        # A word that crosses the right end is written all the same: the page is torn there.
        while x < right:
            for letter in word:
                advance, paths = GLYPHS[letter]
                size = X_HEIGHT * (1.0 + 0.05 * rng.standard_normal())
                shift = 0.003 * rng.standard_normal()
                for path in paths:
                    points = [
                        (x + size * (px + SLANT * py), baseline + shift + size * py)
                        for px, py in path
                    ]
                    strokes.append(
                        _pen(points, PEN, load=dip * (1 + 0.04 * rng.standard_normal()), nib=NIB)
                    )
                x += advance * size * 1.08
                dip -= 0.035
                if dip < 0.6:
                    dip = 1.0
            x += 0.55 * X_HEIGHT
            word = next(words)
        written.append(strokes)
    return written


# --- The page -----------------------------------------------------------------------------


class ManuscriptPhantom(Phantom):
    """A fragment of an illuminated manuscript, torn on the right.

    A great initial P of red lead, a vine of copper green that fills its bowl and climbs the
    margin, berries and a first line of vermilion, then lines in iron-gall ink of a written
    hand, on parchment with a water stain. Paint hides part of the calcium under it.

    Parameters
    ----------
    aspect : float
        Width of the scan in units of its height; the lines of writing are as long as it allows.
    """

    SEED = 1402
    """The scribe's hand: the drawing is the same in every scan."""

    def __init__(self, aspect: float) -> None:
        self._width = float(np.clip(aspect, *PAGE_ASPECTS))
        rng = np.random.default_rng(self.SEED)
        self._edge = _Waves(rng, dimensions=1, count=9, lowest=7.0, ratio=1.75, fall=0.62)
        self._texture = _Waves(rng, dimensions=2, count=18, lowest=6.0, ratio=1.14, fall=0.93)
        text = _write(SCRIPT, self._text_lines(), rng)
        rubric, writing = text[:RUBRIC_LINES], text[RUBRIC_LINES:]
        self._ink = _Layer([stroke for line in writing for stroke in line])
        self._lead = _Layer(*_initial())
        vines, leaves = _vines(self._width)
        self._copper = _Layer(vines, leaves, _BOWL_GROUND)
        berries = [_dot(place, radius) for place, radius in _BERRIES]
        self._vermilion = _Layer(berries, [stroke for line in rubric for stroke in line])

    def _text_lines(self) -> list[tuple[float, float, float]]:
        """Return left end, right end and baseline of the lines, from the top."""
        right = self._width - 0.02
        baselines = 0.84 - LINE_PITCH * np.arange(7)
        return [(0.52 if y > 0.4 else 0.335, right, float(y)) for y in baselines]

    def abundances(self, u: ArrayLike, v: ArrayLike) -> dict[str, FloatArray]:
        """Return every component's abundance; see `abundance`."""
        u, v = np.broadcast_arrays(np.asarray(u, np.float64), np.asarray(v, np.float64))
        places = np.column_stack([u.ravel() * self._width, v.ravel()])
        page, stain = self._parchment(places)
        ink = page * self._ink.coverage(places)
        lead = page * self._lead.coverage(places)
        copper = page * self._copper.coverage(places)
        vermilion = page * self._vermilion.coverage(places)
        texture = 1.0 + 0.16 * self._texture(places)
        bare = (1 - 0.72 * lead) * (1 - 0.25 * copper) * (1 - 0.45 * vermilion) * (1 - 0.12 * ink)
        scatter = (0.5 + 0.5 * page) * (1 - 0.45 * lead) * (1 - 0.2 * vermilion)
        values = {
            "S": 0.04 + 0.15 * page + 0.5 * ink + 0.8 * vermilion,
            "Ar": np.ones(page.size),
            "K": 0.03 + page * (0.22 * texture + 0.4 * stain) + 0.5 * ink,
            "Ca": 0.03 + page * texture * (1 - 0.3 * stain) * bare,
            "Mn": 0.03 + 0.5 * ink,
            "Fe": 0.025 + page * (0.03 + 0.07 * stain) + ink,
            "Cu": 0.015 + copper,
            "Zn": 0.02 + 0.6 * ink + 0.08 * copper,
            "Hg": 0.003 + 0.9 * vermilion,
            "Pb": 0.01 + lead,
            "Rayleigh": scatter,
            "Compton": scatter,
            "continuum": scatter,
            "zero": np.ones(page.size),
        }
        return {name: np.maximum(values[name], 0.0).reshape(u.shape) for name in COMPONENTS}

    def _parchment(self, places: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how much parchment (0 to 1) and how much stain (0 to 1) lies at places."""
        x, y = places.T
        right = self._width - 0.045 + 0.016 * self._edge(y[:, None])
        bottom = 0.022 + 0.012 * self._edge(x[:, None] + 3.0)
        # The lower right corner is lost along a ragged slant.
        slant = (self._width - x) * 0.75 + y - 0.21 + 0.022 * self._edge((x - y)[:, None])
        inside = np.minimum(np.minimum(right - x, y - bottom), 0.7 * slant)
        page = 1.0 / (1.0 + np.exp(-np.clip(inside / 0.0045, -60, 60)))
        radius = np.hypot(x - 0.72 * self._width, (y - 0.17) * 1.15)
        radius = radius + 0.02 * self._texture(places)
        tide = np.exp(-(((radius - 0.26) / 0.016) ** 2))
        stain = np.clip(0.35 * (radius < 0.26) * np.minimum(1, (0.26 - radius) / 0.05) + tide, 0, 1)
        return page, stain


class _Waves:
    """A smooth random field: a sum of cosines of rising frequency, about -1 to 1."""

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        dimensions: int,
        count: int,
        lowest: float,
        ratio: float,
        fall: float,
    ) -> None:
        directions = rng.standard_normal((count, dimensions))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        self._waves = directions * (lowest * ratio ** np.arange(count))[:, None]
        self._phases = rng.uniform(0.0, 2.0 * np.pi, count)
        self._heights = fall ** np.arange(count)
        self._heights /= np.sqrt(np.sum(self._heights**2))

    def __call__(self, places: FloatArray) -> FloatArray:
        """Return the field at (m, dimensions) places."""
        total = np.zeros(len(places))
        for wave, phase, height in zip(self._waves, self._phases, self._heights, strict=True):
            total += height * np.cos(places @ wave + phase)
        return total


def _initial() -> list[list[_Stroke]]:
    """Draw the P: a swelling stem, a bowl that is thin where it leaves it, and the serifs."""
    stem = [(0.145, 0.94), (0.15, 0.86), (0.152, 0.68), (0.15, 0.5), (0.142, 0.4)]
    bowl = [
        (0.15, 0.935), (0.24, 0.945), (0.365, 0.9), (0.43, 0.765), (0.4, 0.63),
        (0.305, 0.55), (0.21, 0.545), (0.15, 0.565),
    ]  # fmt: skip
    serifs = [
        _pen([(0.075, 0.938), (0.145, 0.955), (0.22, 0.948)], [0.008, 0.014, 0.008]),
        _pen([(0.072, 0.392), (0.142, 0.38), (0.215, 0.395)], [0.007, 0.014, 0.007]),
    ]
    return [
        [_pen(stem, [0.037, 0.03, 0.026, 0.03, 0.037])],
        [_pen(bowl, [0.010, 0.013, 0.027, 0.041, 0.031, 0.016, 0.011, 0.010])],
        serifs,
    ]


_BOWL_GROUND = (_pen([(0.278, 0.7), (0.283, 0.75), (0.278, 0.8)], 0.095, load=0.28),)
"""The thin wash of verdigris on which the scroll in the bowl lies."""
_VINE = 0.0105
_CURLS = (
    # centre, radius, angle where it leaves the branch, turns
    ((0.07, 0.29), 0.062, 0.5, 1.35),
    ((0.235, 0.21), 0.068, 2.7, -1.35),
    ((0.072, 0.105), 0.062, 0.5, 1.35),
)
_BERRIES = (
    ((0.287, 0.752), 0.025),
    ((0.052, 0.66), 0.014),
    ((0.052, 0.6), 0.014),
    ((0.052, 0.54), 0.014),
    *((centre, 0.019) for centre, *_ in _CURLS),
)


def _vines(width: float) -> tuple[list[_Stroke], list[_Stroke]]:
    """Draw the branches of the bowl, the margin and the top; return branches and leaves."""
    margin = [
        (0.142, 0.38), (0.132, 0.325), (0.15, 0.255), (0.145, 0.18), (0.132, 0.11), (0.15, 0.045),
    ]  # fmt: skip
    end = width - 0.1
    count = max(4, round((end - 0.2) / 0.11))
    xs = np.linspace(0.2, end, count + 1)
    ys = 0.957 + 0.011 * np.where(np.arange(count + 1) % 2, 1.0, -1.0)
    branches = [
        _spiral(
            (0.283, 0.75), 0.097, start=4.1, turns=1.7, half_width=_VINE, inner=0.22, height=1.5
        ),
        _pen(margin, [0.012, 0.012, 0.011, 0.011, 0.010, 0.008]),
        _pen(list(zip(xs, ys, strict=True)), 0.009),
        *(_spiral(c, r, start=a, turns=n, half_width=_VINE) for c, r, a, n in _CURLS),
    ]
    leaves = [
        _leaf((0.345, 0.67), -1.0, 0.05),
        _leaf((0.355, 0.815), 0.35, 0.05),
        _leaf((0.29, 0.885), 2.6, 0.05),
        _leaf((0.21, 0.79), 2.4, 0.045),
        _leaf((0.15, 0.255), -0.4, 0.04),
        _leaf((0.145, 0.18), 2.6, 0.05),
        _leaf((0.135, 0.11), -0.6, 0.055),
        *(
            _leaf(((a + b) / 2, 0.957), -1.2 if number % 2 else 0.7, 0.05)
            for number, (a, b) in enumerate(pairwise(xs[1:]))
        ),
    ]
    return branches, leaves


PHANTOMS: dict[str, Callable[[float], Phantom]] = {
    "manuscript": ManuscriptPhantom,
    "constant": lambda _aspect: ConstantPhantom(),
    "gradient": lambda _aspect: GradientPhantom(),
}
"""Phantoms by name; each is made for an aspect (the scan's width in units of its height)."""


@lru_cache(maxsize=8)
def make_phantom(name: str, *, aspect: float = 1.0) -> Phantom:
    """Return the phantom of that name, laid out for a scan of that aspect.

    Parameters
    ----------
    name : str
        A key of `PHANTOMS`.
    aspect : float, optional
        Width of the scan in units of its height.

    Returns
    -------
    Phantom
        The same object for the same arguments; it is never changed, so threads may share it.

    Raises
    ------
    ParameterError
        If there is no phantom of that name, or the aspect is not positive.
    """
    if name not in PHANTOMS:
        raise ParameterError(f"There is no phantom {name!r}; choose one of {sorted(PHANTOMS)}.")
    if not (np.isfinite(aspect) and aspect > 0):
        raise ParameterError(f"The phantom's aspect is {aspect!r}; a positive number was expected.")
    return PHANTOMS[name](float(aspect))
