"""A spectrum explained step by step by patterns of elements, the tube, escape and pile-up.

The tube's scattered lines stand from the start. Then the least explained peak is given to the
element that fits it best, all patterns are fitted anew to the counts above the background, and so
on, until nothing is left that a candidate explains.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from .line_candidates import (
    BACKGROUND_ERROR,
    COMMON,
    LEAST_CONSISTENCY,
    LEAST_SCORE,
    UNCONFIRMED,
    groups_near,
    score_of,
)
from .line_groups import line_groups
from .line_patterns import Kind, Part, Pattern, element_patterns, pile_up_pattern, tube_patterns
from .peaks import FIRST_KEV, SIGNIFICANT, Peak, Spectrum
from .resolution import Resolution
from .smoothing import smooth_spectra

__all__ = ["Explanation"]

FloatArray = npt.NDArray[np.float64]

MODEL_ERRORS: dict[Kind, float] = {
    "element": 0.1, "tube": 0.3, "Compton": 0.3, "escape": 0.5, "sum": 0.5, "zero": 0.5,
}  # fmt: skip
"""Share by which the fitted counts of a part may be wrong: heights within a shell, tails; of the
tube's lines also filters and windows."""
LINE_ERRORS = {"Lb": 0.15, "Lg": 0.5, "Ll": 0.5, "Ln": 0.5, "M": 0.3, "Mg": 0.5}
"""The same for an element's lines that depend on the layer: L-gamma lies above the edge of L3,
and a thick layer of the element absorbs most of it, a thin one nothing."""
LEAST_OWN = 0.15
"""Of the counts at one of its lines, at least, an element that is proposed must have."""
MOSTLY_OWN = 0.5
"""The same for an element that is not `COMMON` and of which no second line is seen: what is left
of others' peaks, if heights within a shell are off, is no gallium."""
SUM_PARENTS, SUM_SHARE = 14, 0.02
"""Pile-up is looked for between the strongest lines, this many. The strongest line's with itself is
at most this share of it: more pulses than that no processor misses."""
RIDGE = 1e-9
MOST_STEPS = 60


@dataclass
class Explanation:
    """The patterns that explain a spectrum so far."""

    spectrum: Spectrum
    resolution: Resolution
    anode: str
    patterns: list[Pattern] = field(default_factory=list)
    amplitudes: FloatArray = field(default_factory=lambda: np.zeros(0))
    weights: FloatArray = field(default_factory=lambda: np.zeros(0))
    elements: set[str] = field(default_factory=set)
    multiplied: tuple[Pattern, ...] = ()
    products: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))

    def __post_init__(self) -> None:
        spectrum = self.spectrum
        sigma = self.resolution.sigma_channels(spectrum.axis)
        smooth = smooth_spectra(spectrum.counts, 0.5 * sigma)
        wide = smooth_spectra(np.maximum(spectrum.net, 0.0), 2.0 * sigma)
        wrong = MODEL_ERRORS["element"] * wide  # also of a peak's flanks, if its width is wrong
        error = np.sqrt(smooth + spectrum.background + wrong**2 + 1.0)
        self.weights = np.where(spectrum.axis > FIRST_KEV, 1.0 / error, 0.0)
        if self.anode:
            self.patterns = list(tube_patterns(self.anode, spectrum, self.resolution))
            self._solve()

    def refit(self) -> None:
        """Fit the amplitudes, then once more with the pile-up of the strongest lines found."""
        self.patterns = [pattern for pattern in self.patterns if pattern.parts[0].kind != "sum"]
        self._solve()
        lines = self._strongest()
        if not lines:
            return
        self.patterns.append(pile_up_pattern(lines, self.spectrum, self.resolution))
        self._solve()
        if self.amplitudes[-1] * lines[0][1] > SUM_SHARE:
            self.patterns.pop()
            self._solve()

    def _solve(self) -> None:
        """Find the amplitudes that leave the smallest weighted squares."""
        if not self.patterns:  # scipy 1.17's nnls ends the process on an empty matrix
            self.amplitudes = np.zeros(0)
            return
        normal = self._products()
        scale = np.sqrt(np.diag(normal))
        scale[scale == 0.0] = 1.0
        # The root of the normal equations is as good as the whole system, and small; what is
        # added to the diagonal keeps it one where patterns are nearly alike.
        root = cholesky(normal / np.outer(scale, scale) + RIDGE * np.eye(scale.size))
        weighted = self.weights**2 * self.spectrum.net
        target = np.array([pattern.shape @ weighted for pattern in self.patterns]) / scale
        amplitudes, _ = nnls(root, solve_triangular(root, target, trans="T"))
        self.amplitudes = amplitudes / scale

    def _products(self) -> FloatArray:
        """Return the weighted products of all patterns with each other, (p, p).

        Those that were there the last time are not computed again.
        """
        known = {pattern: number for number, pattern in enumerate(self.multiplied)}
        places = [known.get(pattern, -1) for pattern in self.patterns]
        products = self.products[np.ix_(places, places)]
        for number, (pattern, place) in enumerate(zip(self.patterns, places, strict=True)):
            if place < 0:
                weighted = self.weights**2 * pattern.shape
                row = [other.shape @ weighted for other in self.patterns]
                products[number] = products[:, number] = row
        self.multiplied, self.products = tuple(self.patterns), products
        return products

    def counts_in(self, channels: slice) -> list[tuple[Part, float]]:
        """Return the fitted counts, above 0, of the parts in some channels."""
        found = []
        for pattern, amplitude in zip(self.patterns, self.amplitudes, strict=True):
            if amplitude > 0.0 and pattern.shape[channels].any():
                inside = amplitude * pattern.shapes[:, channels].sum(axis=1)
                found += [(pattern.parts[n], float(inside[n])) for n in np.flatnonzero(inside)]
        return found

    def model(self) -> FloatArray:
        """Return the fitted counts (c,)."""
        total = np.zeros_like(self.spectrum.net)
        for pattern, amplitude in zip(self.patterns, self.amplitudes, strict=True):
            total += amplitude * pattern.shape
        return total

    def left(self, energy: float) -> tuple[float, float]:
        """Return the counts that are not explained around an energy, and their error."""
        here = self.spectrum.around(energy)
        parts = self.counts_in(here)
        sums = Counter[Part]()
        for part, counts in parts:
            sums[part] += counts
        wrong = sum((_model_error(part) * counts) ** 2 for part, counts in sums.items())
        background = float(self.spectrum.background[here].sum())
        poisson = float(self.spectrum.counts[here].sum()) + background
        error = np.sqrt(poisson + wrong + (BACKGROUND_ERROR * background) ** 2 + 1.0)
        return float(self.spectrum.net[here].sum()) - sum(c for _, c in parts), float(error)

    def explain(self, peaks: list[Peak]) -> None:
        """Add elements until nothing is left that a candidate explains."""
        given_up: set[Peak] = set()
        for _ in range(MOST_STEPS):
            rest = {peak: self.left(peak.energy_kev) for peak in peaks if peak not in given_up}
            open_peaks = [peak for peak in rest if rest[peak][0] > SIGNIFICANT * rest[peak][1]]
            if not open_peaks:
                break
            peak = max(open_peaks, key=lambda one: rest[one][0] / rest[one][1])
            pattern = self._best_for(peak, rest[peak][0])
            if pattern is None:
                given_up.add(peak)
                continue
            self.patterns += pattern
            self.elements |= {one.element for one in pattern if one.element}
            self.refit()
        self._prune()

    def _best_for(self, peak: Peak, counts: float) -> list[Pattern] | None:
        """Return the patterns of the best candidate for what is left of a peak."""
        place = self._place_left(peak)
        left = counts / max(peak.net_counts, counts)
        best, found = LEAST_SCORE, None
        for group in groups_near(place, self.spectrum, self.elements | {self.anode}):
            score, consistency = score_of(group, place, counts, peak, self.spectrum)
            is_usual = group.element in COMMON or consistency > UNCONFIRMED
            if consistency < LEAST_CONSISTENCY or left < (LEAST_OWN if is_usual else MOSTLY_OWN):
                continue
            if score > best:
                best, found = score, group.element
        if found is None:
            return None
        return list(element_patterns(found, self.spectrum, self.resolution))

    def _place_left(self, peak: Peak) -> float:
        """Return where what is left of a peak lies: the peak's top if that is most of it."""
        spectrum = self.spectrum
        here = spectrum.around(peak.energy_kev)
        rest = np.maximum((spectrum.net - self.model())[here], 0.0)
        if rest.sum() > 0.7 * max(spectrum.net[here].sum(), 1.0):
            return peak.energy_kev
        return float(rest @ spectrum.axis[here] / max(rest.sum(), 1e-300))

    def _strongest(self) -> list[tuple[Part, float]]:
        """Return the strongest lines and their counts."""
        found = Counter[Part]()
        for part, counts in self.counts_in(slice(None)):
            if part.kind in ("element", "tube", "Compton"):
                found[part] += counts
        return found.most_common(SUM_PARENTS)

    def _prune(self) -> None:
        """Drop elements that nothing stands for once all others are there."""
        for symbol in sorted(self.elements):
            others = [pattern for pattern in self.patterns if pattern.element != symbol]
            if not self._is_needed(symbol):
                self.patterns = others
                self.elements.discard(symbol)
                self.refit()

    def _is_needed(self, symbol: str) -> bool:
        """Tell whether an element's fitted counts exceed the errors at one of its lines."""
        for group in line_groups(symbol):
            here = self.spectrum.around(group.energy_kev)
            own = sum(
                counts
                for part, counts in self.counts_in(here)
                if part.kind == "element" and part.name == group.name
            )
            _, error = self.left(group.energy_kev)
            own_error = LINE_ERRORS.get(group.line, MODEL_ERRORS["element"]) * own
            others = np.sqrt(max(error**2 - own_error**2, 1.0))
            whole = LEAST_OWN * float(self.spectrum.net[here].sum())
            if own > max(SIGNIFICANT * others, whole):
                return True
        return False


def _model_error(part: Part) -> float:
    """Return the share by which the fitted counts of a part may be wrong."""
    usual = MODEL_ERRORS[part.kind]
    return LINE_ERRORS.get(part.line, usual) if part.kind == "element" else usual
