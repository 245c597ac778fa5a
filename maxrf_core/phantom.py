"""Paintings of known composition, for scans of known truth.

A phantom gives, by formula, how much of each component lies at a place of the scan. Places are
``u``, 0 to 1 from left to right, and ``v``, 0 to 1 from the smallest to the largest motor y:
plots show y upwards, so ``v = 1`` is the top of the drawing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .components import COMPONENTS
from .errors import ParameterError
from .glyphs import LINE_PITCH, write_lines
from .patterns import (
    ConstantPhantom,
    GradientPhantom,
    HotspotsPhantom,
    PeriodicPhantom,
    Phantom,
    StrokesPhantom,
    WashesPhantom,
)
from .strokes import Layer, Stroke, dot, draw, leaf, spiral

__all__ = ["PHANTOMS", "Phantom", "make_phantom"]

FloatArray = npt.NDArray[np.float64]

PAGE_ASPECTS = (0.55, 2.4)
"""Widths of the page, in units of its height, between which its layout adapts itself; beyond
them the drawing is stretched."""


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
        rubric, *writing = write_lines(self._text_lines(), rng)
        self._ink = Layer([stroke for line in writing for stroke in line])
        self._lead = Layer(*_initial())
        self._copper = Layer(_branches(self._width), _leaves(self._width), [_bowl_wash()])
        self._vermilion = Layer([dot(place, radius) for place, radius in BERRIES], rubric)

    def _text_lines(self) -> list[tuple[float, float, float]]:
        """Return left end, right end and baseline of the lines, from the top."""
        right = self._width - 0.02
        baselines = 0.84 - LINE_PITCH * np.arange(7)
        return [(0.52 if y > 0.4 else 0.335, right, float(y)) for y in baselines]

    def abundances(self, u: npt.ArrayLike, v: npt.ArrayLike) -> dict[str, FloatArray]:
        """Return every component's abundance."""
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


def _initial() -> list[list[Stroke]]:
    """Draw the P: a swelling stem, a bowl that is thin where it leaves it, and the serifs."""
    stem = [(0.145, 0.94), (0.15, 0.86), (0.152, 0.68), (0.15, 0.5), (0.142, 0.4)]
    bowl = [
        (0.15, 0.935), (0.24, 0.945), (0.365, 0.9), (0.43, 0.765), (0.4, 0.63),
        (0.305, 0.55), (0.21, 0.545), (0.15, 0.565),
    ]  # fmt: skip
    serifs = [
        draw([(0.075, 0.938), (0.145, 0.955), (0.22, 0.948)], [0.008, 0.014, 0.008]),
        draw([(0.072, 0.392), (0.142, 0.38), (0.215, 0.395)], [0.007, 0.014, 0.007]),
    ]
    return [
        [draw(stem, [0.037, 0.03, 0.026, 0.03, 0.037])],
        [draw(bowl, [0.010, 0.013, 0.027, 0.041, 0.031, 0.016, 0.011, 0.010])],
        serifs,
    ]


VINE = 0.0105
"""Half the width of the scrolls' branches."""
CURLS = (
    # centre, radius, angle where it leaves the branch, turns
    ((0.07, 0.29), 0.062, 0.5, 1.35),
    ((0.235, 0.21), 0.068, 2.7, -1.35),
    ((0.072, 0.105), 0.062, 0.5, 1.35),
)
BERRIES = (
    ((0.287, 0.752), 0.025),
    ((0.052, 0.66), 0.014),
    ((0.052, 0.6), 0.014),
    ((0.052, 0.54), 0.014),
    *((centre, 0.019) for centre, *_ in CURLS),
)


def _bowl_wash() -> Stroke:
    """Lay the thin wash of verdigris under the scroll in the bowl."""
    return draw([(0.278, 0.7), (0.283, 0.75), (0.278, 0.8)], 0.095, load=0.28)


def _top_branch(width: float) -> FloatArray:
    """Return the x at which the branch along the top of the page turns."""
    end = width - 0.1
    return np.linspace(0.2, end, max(4, round((end - 0.2) / 0.11)) + 1)


def _branches(width: float) -> list[Stroke]:
    """Draw the branches of the bowl, the margin and the top."""
    margin = [
        (0.142, 0.38), (0.132, 0.325), (0.15, 0.255), (0.145, 0.18), (0.132, 0.11), (0.15, 0.045),
    ]  # fmt: skip
    xs = _top_branch(width)
    ys = 0.957 + 0.011 * np.where(np.arange(xs.size) % 2, 1.0, -1.0)
    return [
        spiral((0.283, 0.75), 0.097, start=4.1, turns=1.7, half_width=VINE, inner=0.22, height=1.5),
        draw(margin, [0.012, 0.012, 0.011, 0.011, 0.010, 0.008]),
        draw(np.column_stack([xs, ys]), 0.009),
        *(spiral(c, r, start=a, turns=n, half_width=VINE) for c, r, a, n in CURLS),
    ]


def _leaves(width: float) -> list[Stroke]:
    """Draw the leaves of the bowl, the margin and the top."""
    return [
        leaf((0.345, 0.67), -1.0, 0.05),
        leaf((0.355, 0.815), 0.35, 0.05),
        leaf((0.29, 0.885), 2.6, 0.05),
        leaf((0.21, 0.79), 2.4, 0.045),
        leaf((0.15, 0.255), -0.4, 0.04),
        leaf((0.145, 0.18), 2.6, 0.05),
        leaf((0.135, 0.11), -0.6, 0.055),
        *(
            leaf(((a + b) / 2, 0.957), -1.2 if number % 2 else 0.7, 0.05)
            for number, (a, b) in enumerate(pairwise(_top_branch(width)[1:]))
        ),
    ]


PHANTOMS: dict[str, Callable[[float], Phantom]] = {
    "manuscript": ManuscriptPhantom,
    "constant": lambda _aspect: ConstantPhantom(),
    "gradient": lambda _aspect: GradientPhantom(),
    "strokes": StrokesPhantom,
    "washes": WashesPhantom,
    "periodic": PeriodicPhantom,
    "hotspots": HotspotsPhantom,
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
