"""The components of a simulated spectrum: how strong each is, and what it looks like.

Energies and shapes of the scattered lines follow from the tube's anode; the continuum and the
scatter's widths were read off the spectrum of another scanner, a Bruker M6 Jetstream at 50 kV
(rosettasciio's test file bruker_m6_jetstream_file_example).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from .lines import NOISE_FWHM_KEV, element_template, peak_template

__all__ = ["COMPONENTS", "ELEMENTS", "STRENGTHS", "ZERO_SHARE", "component_templates"]

ELEMENTS = ("S", "Ar", "K", "Ca", "Mn", "Fe", "Cu", "Zn", "Hg", "Pb")
"""Elements that a phantom may hold, by atomic number."""
COMPONENTS = (*ELEMENTS, "Rayleigh", "Compton", "continuum", "zero")
"""Everything that adds counts: the elements, what the sample scatters of the tube's rhodium
lines and continuum, and the zero peak of the electronics."""

STRENGTHS = {
    "S": 12.0, "Ar": 6.0, "K": 28.0, "Ca": 90.0, "Mn": 30.0, "Fe": 210.0, "Cu": 270.0,
    "Zn": 60.0, "Hg": 300.0, "Pb": 300.0, "Rayleigh": 30.0, "Compton": 90.0, "continuum": 200.0,
}  # fmt: skip
"""Counts at abundance 1, relative to each other: about what ink and paint on paper give."""
ZERO_SHARE = 0.1
"""Share of the counts in the zero peak: 48 of 563 in the real file's first spectrum (inferred
from `OutputCountRates` against `Detected`)."""

TUBE_ANODE = "Rh"
RAYLEIGH_L_SHARE = 0.2
"""The anode's L lines hold about a fifth of the M6's peaks."""
ELECTRON_REST_KEV = 510.999
SCATTER_COSINE = -0.35
"""Cosine of the scattering angle (110 degrees), which puts Compton's peak at 19.2 keV."""
COMPTON_FWHM_KEV = 0.62
COMPTON_TAIL = (0.25, 0.45, 1.3)
"""Share, shift down in keV and full width in keV of the peak's foot: the electrons' motion and
the spread of angles. Fitted by eye to the M6's spectrum."""
CONTINUUM_KEV_LOG10 = (
    (0.3, 1.25), (1.7, 1.25), (3.0, 1.45), (4.6, 1.6), (6.0, 1.85), (7.4, 2.15), (8.6, 2.4),
    (10.0, 2.5), (12.0, 2.52), (14.0, 2.4), (16.0, 2.15), (18.0, 1.88), (20.0, 1.5), (22.0, 1.0),
    (24.0, 0.75), (28.0, 0.25), (40.0, -0.3), (50.0, -0.8),
)  # fmt: skip
"""Scattered continuum, energy and log10 of its height: read by eye off the M6's spectrum between
the peaks."""
THRESHOLD_KEV = 0.3
"""Below it that detector counts nothing but the zero peak."""


def component_templates(energies_kev: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the share of each component's counts that falls into each channel.

    Parameters
    ----------
    energies_kev : ndarray of float, shape (c,)
        Energies of the channels' centres, evenly spaced from below 0 to beyond 26 keV.

    Returns
    -------
    ndarray of float64, shape (k, c)
        Shares in the order of `COMPONENTS`; each row sums to 1.
    """
    shapes = {name: element_template(name, energies_kev) for name in ELEMENTS}
    shapes["Rayleigh"] = _rayleigh(energies_kev)
    shapes["Compton"] = _compton(energies_kev)
    shapes["continuum"] = _continuum(energies_kev)
    shapes["zero"] = peak_template(energies_kev, [0.0], [1.0], fwhm_kev=[NOISE_FWHM_KEV])
    return np.stack([shapes[name] for name in COMPONENTS])


def _rayleigh(energies_kev: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the shape (c,) of the anode's lines that the sample scatters without loss."""
    k_lines = peak_template(energies_kev, *_anode_lines("K"))
    l_lines = peak_template(energies_kev, *_anode_lines("L3"))
    return (1.0 - RAYLEIGH_L_SHARE) * k_lines + RAYLEIGH_L_SHARE * l_lines


def _compton(energies_kev: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the shape (c,) of the anode's K lines after Compton scattering, broad and shifted.

    A photon of energy E keeps ``E / (1 + E / 511 keV (1 - cos angle))``.
    """
    before, weights = _anode_lines("K")
    after = [energy / (1 + energy / ELECTRON_REST_KEV * (1 - SCATTER_COSINE)) for energy in before]
    share, shift, width = COMPTON_TAIL
    lower = [energy - shift for energy in after]
    core = peak_template(energies_kev, after, weights, fwhm_kev=[COMPTON_FWHM_KEV] * len(after))
    foot = peak_template(energies_kev, lower, weights, fwhm_kev=[width] * len(after))
    return (1.0 - share) * core + share * foot


def _continuum(energies_kev: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return the shape (c,) of the tube's continuum as the sample scatters it."""
    axis = energies_kev.astype(np.float64)
    knots, heights = np.array(CONTINUUM_KEV_LOG10).T
    curve = 10.0 ** PchipInterpolator(knots, heights)(axis.clip(knots[0]))
    template = np.where(axis >= THRESHOLD_KEV, curve, 0.0)
    return template / template.sum()


def _anode_lines(shell: str) -> tuple[list[float], list[float]]:
    """Return energies and relative intensities of the anode's K or L lines as they are emitted."""
    import xraydb

    chosen = xraydb.xray_lines(TUBE_ANODE, shell).values()
    return [line.energy / 1000.0 for line in chosen], [line.intensity for line in chosen]
