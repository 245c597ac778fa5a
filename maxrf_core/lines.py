"""Emission lines of the elements, and how an energy-dispersive detector sees them.

Energies, relative intensities, fluorescence yields and jump ratios come from the tables of
Elam, Ravel and Sieber (2002), https://doi.org/10.1016/S0969-806X(01)00227-4, as packed in
xraydb 4.5.8 (database version 9.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from .errors import ParameterError

__all__ = [
    "NOISE_FWHM_KEV",
    "EmissionLine",
    "detector_fwhm_kev",
    "element_template",
    "emission_lines",
    "peak_template",
]

SHELLS_BY_EDGE = ("K", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5")
"""Shells by falling edge energy: the order in which a photon's absorption is shared out."""

TUBE_KEV = 50.0
"""Highest photon energy of a 50 kV tube, the usual setting of MA-XRF scanners."""

SILICON_FANO = 0.115
SILICON_PAIR_EV = 3.65
"""Fano factor and energy a pair in silicon: G. F. Knoll, Radiation Detection and Measurement,
4th ed. (2010), chapter 11."""
NOISE_FWHM_KEV = 0.1
"""Electronic noise of a silicon drift detector at short shaping times; gives 0.154 keV at
manganese's K-alpha, and is the width of the zero peak."""
FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))

TABLES_START_EV = 100.0
"""Below it xraydb's absorption is unreliable (it warns), and no detector in air sees a line."""
AIR_PATH_CM = 1.0
CRYSTAL_CM = 0.045
"""Inferred: about 1 cm of air before, and 0.45 mm of silicon in, a drift detector."""
SILICON_DENSITY = 2.33
"""g/cm3, at room temperature."""


@dataclass(frozen=True, slots=True)
class EmissionLine:
    """One emission line.

    Attributes
    ----------
    element : str
        Chemical symbol, such as ``"Fe"``.
    name : str
        Siegbahn name, such as ``"Ka1"``.
    energy_kev : float
        Photon energy in keV.
    intensity : float
        Share of the element's photons, 0 to 1: the lines of one element sum to 1.
    """

    element: str
    name: str
    energy_kev: float
    intensity: float


@lru_cache(maxsize=512)
def emission_lines(element: str, *, excitation_kev: float = TUBE_KEV) -> tuple[EmissionLine, ...]:
    """Return an element's emission lines by rising energy, with their relative intensities.

    The photoelectric absorption is shared between the shells by their jump ratios, each share
    times the shell's fluorescence yield times the line's share of that shell, times what a
    centimetre of air lets through and the crystal stops. Coster-Kronig transitions, the matrix
    and the tube's spectrum are left out, so the balance within a shell is good to a few per
    cent, between K, L and M shells only roughly.

    Parameters
    ----------
    element : str
        Chemical symbol, hydrogen to californium.
    excitation_kev : float, optional
        Shells with an edge above this energy (keV) are not excited.

    Returns
    -------
    tuple of EmissionLine
        Empty where nothing above 0.1 keV is emitted (hydrogen, helium, lithium).

    Raises
    ------
    ParameterError
        If xraydb knows no such element, or the energy is not a positive number.
    """
    import xraydb

    if not (isfinite(excitation_kev) and excitation_kev > 0):
        raise ParameterError(
            f"excitation_kev is {excitation_kev!r}; a positive number of keV was expected."
        )
    try:
        edges = xraydb.xray_edges(element)
        lines = xraydb.xray_lines(element)
    except (ValueError, AttributeError) as error:
        raise ParameterError(
            f"{element!r} is no element known to xraydb; give a chemical symbol such as 'Fe'."
        ) from error
    emitted: dict[str, float] = {}
    remaining = 1.0
    for shell in SHELLS_BY_EDGE:
        edge = edges.get(shell)
        if edge is None or edge.energy > 1000.0 * excitation_kev:
            continue
        emitted[shell] = remaining * (1.0 - 1.0 / edge.jump_ratio) * edge.fyield
        remaining /= edge.jump_ratio
    raw = sorted(
        (line.energy / 1000.0, name, emitted[line.initial_level] * line.intensity)
        for name, line in lines.items()
        if line.initial_level in emitted and line.energy >= TABLES_START_EV
    )
    if not raw:
        return ()
    weights = np.array([weight for _, _, weight in raw])
    weights *= _detected_fraction(np.array([energy for energy, _, _ in raw]))
    weights /= weights.sum()
    return tuple(
        EmissionLine(element, name, energy, weight)
        for (energy, name, _), weight in zip(raw, weights.tolist(), strict=True)
        if weight > 0.0
    )


def _detected_fraction(energies_kev: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the fraction of photons that pass the air and stop in the crystal."""
    import xraydb

    energies_ev = 1000.0 * energies_kev
    air = xraydb.material_mu("air", energies_ev) * AIR_PATH_CM
    silicon = xraydb.material_mu("Si", energies_ev, density=SILICON_DENSITY) * CRYSTAL_CM
    return np.exp(-air) * -np.expm1(-silicon)


def detector_fwhm_kev(energy_kev: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the full width at half maximum of a line as a silicon detector shows it.

    ``FWHM^2 = noise^2 + 2.355^2 F eps E`` (Knoll 2010, chapter 11).

    Parameters
    ----------
    energy_kev : array_like of float
        Photon energy in keV; below zero it counts as zero.

    Returns
    -------
    ndarray of float64
        Full width in keV, of the energy's shape.
    """
    energy = np.maximum(np.asarray(energy_kev, dtype=np.float64), 0.0)
    statistical = FWHM_PER_SIGMA**2 * SILICON_FANO * (SILICON_PAIR_EV / 1000.0) * energy
    return np.sqrt(NOISE_FWHM_KEV**2 + statistical)


def peak_template(
    energies_kev: npt.NDArray[np.floating],
    centres_kev: Sequence[float],
    weights: Sequence[float],
    *,
    fwhm_kev: Sequence[float] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the share of a set of Gaussian peaks that falls into each channel.

    Each peak is integrated over the channel, so a narrow one loses nothing between two.

    Parameters
    ----------
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced, rising.
    centres_kev, weights : sequence of float
        Where the peaks lie, in keV, and their relative areas.
    fwhm_kev : sequence of float, optional
        Their full widths in keV; by default the detector's, `detector_fwhm_kev`.

    Returns
    -------
    ndarray of float64, shape (c,)
        Shares that sum to 1, over the peaks' parts within the axis.

    Raises
    ------
    ParameterError
        If no peak lies on the axis.
    """
    centres = np.asarray(centres_kev, dtype=np.float64)
    widths = detector_fwhm_kev(centres) if fwhm_kev is None else np.asarray(fwhm_kev)
    axis = energies_kev.astype(np.float64)
    step = (axis[-1] - axis[0]) / (axis.size - 1)
    edges = axis[0] + step * (np.arange(axis.size + 1) - 0.5)
    template = np.zeros(axis.size)
    for centre, weight, width in zip(centres, weights, widths, strict=True):
        template += weight * np.diff(ndtr((edges - centre) * (FWHM_PER_SIGMA / width)))
    total = template.sum()
    if total == 0.0:
        raise ParameterError(
            f"None of the peaks at {centres.tolist()} keV lies on the energy axis, "
            f"{axis[0]:g} to {axis[-1]:g} keV; give peaks within it."
        )
    return template / total


def element_template(
    element: str, energies_kev: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Return the share of an element's counts that falls into each channel.

    Parameters
    ----------
    element : str
        Chemical symbol.
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced, rising.

    Returns
    -------
    ndarray of float64, shape (c,)
        Shares that sum to 1.

    Raises
    ------
    ParameterError
        If the element is unknown or has no line on the axis.
    """
    lines = emission_lines(element)
    return peak_template(
        energies_kev, [line.energy_kev for line in lines], [line.intensity for line in lines]
    )
