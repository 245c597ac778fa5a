"""Emission lines of the elements, and how an energy-dispersive detector sees them.

Energies, relative intensities, fluorescence yields and jump ratios come from the tables of
Elam, Ravel and Sieber (2002), https://doi.org/10.1016/S0969-806X(01)00227-4, as packed in
xraydb 4.5.8 (database version 9.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from maxrf_core.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EmissionLine",
    "compton_template",
    "continuum_template",
    "detector_fwhm_kev",
    "element_template",
    "emission_lines",
    "peak_template",
    "rayleigh_template",
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

TUBE_ANODE = "Rh"
RAYLEIGH_L_SHARE = 0.2
"""Read off the M6 Jetstream's spectrum: the anode's L lines hold about a fifth of the peaks."""
ELECTRON_REST_KEV = 510.999
SCATTER_COSINE = -0.35
"""Cosine of the scattering angle (110 degrees), which puts Compton's peak at 19.2 keV."""
COMPTON_FWHM_KEV = 0.62
COMPTON_TAIL = (0.25, 0.45, 1.3)
"""Share, shift down in keV and full width in keV of the peak's foot: the electrons' motion and
the spread of angles. Fitted by eye to the M6 Jetstream's spectrum."""
CONTINUUM_KEV_LOG10 = (
    (0.3, 1.25), (1.7, 1.25), (3.0, 1.45), (4.6, 1.6), (6.0, 1.85), (7.4, 2.15), (8.6, 2.4),
    (10.0, 2.5), (12.0, 2.52), (14.0, 2.4), (16.0, 2.15), (18.0, 1.88), (20.0, 1.5), (22.0, 1.0),
    (24.0, 0.75), (28.0, 0.25), (40.0, -0.3), (50.0, -0.8),
)  # fmt: skip
"""Scattered continuum, energy and log10 of its height: read by eye off a Bruker M6 Jetstream's
spectrum at 50 kV between the peaks (rosettasciio's test file bruker_m6_jetstream_file_example)."""
THRESHOLD_KEV = 0.3
"""Below it that detector counts nothing but the zero peak."""

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


def _detected_fraction(energies_kev: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of photons that pass the air and stop in the crystal."""
    import xraydb

    energies_ev = 1000.0 * energies_kev
    air = xraydb.material_mu("air", energies_ev) * AIR_PATH_CM
    silicon = xraydb.material_mu("Si", energies_ev, density=SILICON_DENSITY) * CRYSTAL_CM
    return np.exp(-air) * -np.expm1(-silicon)


def detector_fwhm_kev(
    energy_kev: ArrayLike, *, noise_kev: float = NOISE_FWHM_KEV
) -> NDArray[np.float64]:
    """Return the full width at half maximum of a line as a silicon detector shows it.

    ``FWHM^2 = noise^2 + 2.355^2 F eps E`` (Knoll 2010, chapter 11).

    Parameters
    ----------
    energy_kev : array_like of float
        Photon energy in keV; below zero it counts as zero.
    noise_kev : float, optional
        Full width of the electronic noise in keV.

    Returns
    -------
    ndarray of float64
        Full width in keV, of the energy's shape.
    """
    energy = np.maximum(np.asarray(energy_kev, dtype=np.float64), 0.0)
    statistical = FWHM_PER_SIGMA**2 * SILICON_FANO * (SILICON_PAIR_EV / 1000.0) * energy
    return np.sqrt(noise_kev**2 + statistical)


def peak_template(
    energies_kev: NDArray[np.floating],
    centres_kev: Sequence[float],
    weights: Sequence[float],
    *,
    fwhm_kev: Sequence[float] | None = None,
) -> NDArray[np.float64]:
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
    from scipy.special import ndtr

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
    element: str, energies_kev: NDArray[np.floating], *, excitation_kev: float = TUBE_KEV
) -> NDArray[np.float64]:
    """Return the share of an element's counts that falls into each channel.

    Parameters
    ----------
    element : str
        Chemical symbol.
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced, rising.
    excitation_kev : float, optional
        See `emission_lines`.

    Returns
    -------
    ndarray of float64, shape (c,)
        Shares that sum to 1.

    Raises
    ------
    ParameterError
        If the element is unknown or has no line on the axis.
    """
    lines = emission_lines(element, excitation_kev=excitation_kev)
    return peak_template(
        energies_kev, [line.energy_kev for line in lines], [line.intensity for line in lines]
    )


def _anode_lines(shell: str) -> tuple[list[float], list[float]]:
    """Return energies and relative intensities of the anode's K or L lines as they are emitted."""
    import xraydb

    chosen = xraydb.xray_lines(TUBE_ANODE, shell).values()
    return [line.energy / 1000.0 for line in chosen], [line.intensity for line in chosen]


def rayleigh_template(energies_kev: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the shape of the anode's lines that the sample scatters without loss.

    Parameters
    ----------
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced, rising.

    Returns
    -------
    ndarray of float64, shape (c,)
        Shares that sum to 1.
    """
    k_lines = peak_template(energies_kev, *_anode_lines("K"))
    l_lines = peak_template(energies_kev, *_anode_lines("L3"))
    return (1.0 - RAYLEIGH_L_SHARE) * k_lines + RAYLEIGH_L_SHARE * l_lines


def compton_template(energies_kev: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the shape of the anode's K lines after Compton scattering, broad and shifted.

    A photon of energy E keeps ``E / (1 + E / 511 keV (1 - cos angle))``.

    Parameters
    ----------
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced, rising.

    Returns
    -------
    ndarray of float64, shape (c,)
        Shares that sum to 1.
    """
    before, weights = _anode_lines("K")
    after = [energy / (1 + energy / ELECTRON_REST_KEV * (1 - SCATTER_COSINE)) for energy in before]
    share, shift, width = COMPTON_TAIL
    core = peak_template(energies_kev, after, weights, fwhm_kev=[COMPTON_FWHM_KEV] * len(after))
    foot = peak_template(
        energies_kev,
        [energy - shift for energy in after],
        weights,
        fwhm_kev=[width] * len(after),
    )
    return (1.0 - share) * core + share * foot


def continuum_template(energies_kev: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the shape of the tube's continuum as the sample scatters it.

    Parameters
    ----------
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced, rising.

    Returns
    -------
    ndarray of float64, shape (c,)
        Shares that sum to 1; nothing below the detector's threshold.
    """
    from scipy.interpolate import PchipInterpolator

    axis = energies_kev.astype(np.float64)
    knots, heights = np.array(CONTINUUM_KEV_LOG10).T
    template = np.where(
        axis >= THRESHOLD_KEV, 10.0 ** PchipInterpolator(knots, heights)(axis.clip(knots[0])), 0.0
    )
    return template / template.sum()
