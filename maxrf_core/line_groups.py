"""The lines of the elements as a silicon detector shows them, and how high each stands.

Energies, widths and yields are those of `maxrf_core.lines`: Elam, Ravel and Sieber (2002) in
xraydb 4.5.8 (database version 9.2). Lines that the detector does not resolve stand together, as
K-alpha or L-beta does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .lines import (
    AIR_PATH_CM,
    SHELLS_BY_EDGE,
    TUBE_KEV,
    EmissionLine,
    detector_fwhm_kev,
    emission_lines,
)
from .periodic_table import element_named

__all__ = ["LOWEST_KEV", "LineGroup", "line_groups"]

FloatArray = npt.NDArray[np.float64]

LOWEST_KEV = 1.0
"""Lines below it do not come through the air and the detector's window; sodium's K-alpha does."""
FAINTEST_SHARE = 1e-4
"""Of an element's photons; fainter groups of lines are left out."""
TUBE_STEPS = 120

GROUPS = {
    "Ka1": "Ka", "Ka2": "Ka", "Ka3": "Ka", "Kb1": "Kb", "Kb2": "Kb", "Kb3": "Kb", "Kb4": "Kb",
    "Kb5": "Kb", "La1": "La", "La2": "La", "Lb1": "Lb", "Lb2,15": "Lb", "Lb3": "Lb", "Lb4": "Lb",
    "Lb5": "Lb", "Lb6": "Lb", "Lg1": "Lg", "Lg2": "Lg", "Lg3": "Lg", "Lg6": "Lg", "Ll": "Ll",
    "Ln": "Ln", "Ma": "M", "Mb": "M", "Mg": "Mg",
}  # fmt: skip
"""Group of each line of xraydb: M-alpha and M-beta lie within one width of each other."""


@dataclass(frozen=True, slots=True)
class LineGroup:
    """Lines of an element that a silicon detector shows as one.

    Attributes
    ----------
    element : str
        Chemical symbol.
    line : str
        ``"Ka"``, ``"Kb"``, ``"La"``, ``"Lb"``, ``"Lg"``, ``"Ll"``, ``"Ln"``, ``"M"`` or ``"Mg"``.
    energy_kev : float
        Mean of the lines' energies in keV, weighted by intensity.
    intensity : float
        Share of the element's detected photons, 0 to 1.
    height : float
        Height of the peak as detected, 1 for the element's highest.
    lines : tuple of EmissionLine
        The lines by rising energy, with shares of the element's detected photons.
    """

    element: str
    line: str
    energy_kev: float
    intensity: float
    height: float
    lines: tuple[EmissionLine, ...]

    @property
    def name(self) -> str:
        """Element and line, such as ``"Fe Ka"``."""
        return f"{self.element} {self.line}"


@lru_cache(maxsize=256)
def line_groups(element: str, *, excitation_kev: float = TUBE_KEV) -> tuple[LineGroup, ...]:
    """Return an element's groups of lines by rising energy, with heights as detected.

    The balance between the shells is that of a thick layer of the pure element under a tube's
    continuum, in primary fluorescence: J. Sherman, Spectrochim. Acta 7 (1955) 283. The
    continuum is that of H. A. Kramers, Phil. Mag. 46 (1923) 836, N(E) ~ E0 / E - 1, after a
    centimetre of air; equal angles in and out. Air and crystal before and in the detector are
    those of `emission_lines`. Heights within a shell are good to some 10 %; between shells they
    may be off by several times where other elements absorb.

    Parameters
    ----------
    element : str
        Chemical symbol or name, sodium to uranium.
    excitation_kev : float, optional
        The tube's voltage in kV: the highest photon energy.

    Returns
    -------
    tuple of LineGroup
        Groups above `LOWEST_KEV` with 1/10000 or more of the photons. Intensities sum to 1 but
        for what is left out. Empty if the tube excites none.

    Raises
    ------
    ParameterError
        If there is no such element, or the energy is not a positive number.
    """
    symbol = element_named(element).symbol
    lines = [
        line
        for line in emission_lines(symbol, excitation_kev=excitation_kev)
        if line.energy_kev >= LOWEST_KEV and line.name in GROUPS
    ]
    if not lines:
        return ()
    weights = _excited(symbol, lines, excitation_kev)
    weights *= [line.intensity for line in lines]
    weights /= weights.sum()
    members: dict[str, list[EmissionLine]] = {}
    for line, weight in zip(lines, weights.tolist(), strict=True):
        again = EmissionLine(symbol, line.name, line.energy_kev, weight)
        members.setdefault(GROUPS[line.name], []).append(again)
    sums = {name: sum(line.intensity for line in group) for name, group in members.items()}
    heights = {name: _height(group) for name, group in members.items()}
    highest = max(heights.values())
    found = [
        LineGroup(
            symbol,
            name,
            sum(line.intensity * line.energy_kev for line in group) / sums[name],
            sums[name],
            heights[name] / highest,
            tuple(group),
        )
        for name, group in members.items()
        if sums[name] >= FAINTEST_SHARE
    ]
    return tuple(sorted(found, key=lambda group: group.energy_kev))


def _height(lines: list[EmissionLine]) -> float:
    """Return the height of a group's peak, each line with the detector's typical width."""
    places = np.array([line.energy_kev for line in lines])
    shares = np.array([line.intensity for line in lines])
    widths = detector_fwhm_kev(places)
    exponents = -4.0 * np.log(2.0) * ((places[:, None] - places) / widths) ** 2
    return float((np.exp(exponents) @ (shares / widths)).max())


def _excited(symbol: str, lines: list[EmissionLine], excitation_kev: float) -> FloatArray:
    """Return, for each line, how many vacancies the tube's spectrum makes in its shell.

    Relative to the shell's share of absorption above all edges, which `emission_lines` has
    counted already, and with the escape of the line from a thick layer.
    """
    import xraydb

    edges = xraydb.xray_edges(symbol)
    levels = xraydb.xray_lines(symbol)
    tube, photons = _tube_continuum(excitation_kev)
    absorbed = xraydb.mu_elam(symbol, 1000.0 * tube, kind="photo")
    places = 1000.0 * np.array([line.energy_kev for line in lines])
    reabsorbed = xraydb.mu_elam(symbol, places, kind="photo")

    shares: dict[str, FloatArray] = {}
    remaining, above_all = np.ones(tube.size), 1.0
    for shell in SHELLS_BY_EDGE:
        edge = edges.get(shell)
        if edge is None or edge.energy > 1000.0 * excitation_kev:
            continue
        is_above = 1000.0 * tube > edge.energy
        shares[shell] = np.where(is_above, remaining, 0.0) / above_all
        remaining = np.where(is_above, remaining / edge.jump_ratio, remaining)
        above_all /= edge.jump_ratio
    return np.array(
        [
            (photons * absorbed * shares[levels[line.name].initial_level] / (absorbed + out)).sum()
            for line, out in zip(lines, reabsorbed, strict=True)
        ]
    )


@lru_cache(maxsize=4)
def _tube_continuum(excitation_kev: float) -> tuple[FloatArray, FloatArray]:
    """Return energies in keV and photons a step of Kramers' continuum behind the air."""
    import xraydb

    tube = np.geomspace(LOWEST_KEV, excitation_kev, TUBE_STEPS, endpoint=False)
    air = np.exp(-xraydb.material_mu("air", 1000.0 * tube) * AIR_PATH_CM)
    return tube, (excitation_kev - tube) * air  # times E: the steps grow with the energy
