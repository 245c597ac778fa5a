"""Emission lines against textbook energies, and the shapes of peaks and components."""

from __future__ import annotations

import numpy as np
import pytest

from maxrf_core.components import COMPONENTS, component_templates
from maxrf_core.errors import ParameterError
from maxrf_core.lines import detector_fwhm_kev, emission_lines, peak_template

AXIS = np.linspace(-1.0, 45.0, 4601)


@pytest.mark.parametrize(
    ("element", "energy"),
    [("Ca", 3.69), ("Fe", 6.40), ("Cu", 8.05), ("Hg", 9.99), ("Pb", 10.55)],
)
def test_strongest_line_is_the_textbook_one(element, energy):
    """K-alpha of the light elements, L-alpha of the heavy ones: the windows rely on them."""
    found = emission_lines(element)
    assert sum(line.intensity for line in found) == pytest.approx(1.0)
    assert [line.energy_kev for line in found] == sorted(line.energy_kev for line in found)
    assert max(found, key=lambda line: line.intensity).energy_kev == pytest.approx(energy, abs=0.02)


def test_shells_above_the_tubes_energy_are_not_excited():
    """Lead's K lines at 75 keV cannot come from a 50 kV tube; iron's L lines can from 5 kV."""
    assert max(line.energy_kev for line in emission_lines("Pb")) < 16.0
    assert max(line.energy_kev for line in emission_lines("Pb", excitation_kev=100.0)) > 70.0
    assert max(line.energy_kev for line in emission_lines("Fe", excitation_kev=5.0)) < 1.0
    assert emission_lines("H") == ()


def test_unknown_element_and_impossible_tube_are_refused():
    """The errors of xraydb name neither the argument nor what was expected."""
    with pytest.raises(ParameterError, match="no element"):
        emission_lines("Xx")
    with pytest.raises(ParameterError, match="excitation_kev"):
        emission_lines("Fe", excitation_kev=-1.0)


def test_detector_resolution_is_that_of_a_silicon_drift_detector():
    """About 154 eV at manganese, and the electronic noise alone at zero."""
    assert detector_fwhm_kev(0.0) == pytest.approx(0.1)
    assert detector_fwhm_kev(5.895) == pytest.approx(0.154, abs=0.001)


def test_peak_has_the_detectors_width_and_must_lie_on_the_axis():
    """A peak off the axis would divide nothing by nothing."""
    peak = peak_template(AXIS, [5.9], [1.0])
    wide = AXIS[peak >= peak.max() / 2]
    # Between the outermost channels above half the height and the next, 0.01 keV on either side.
    assert np.ptp(wide) <= 0.154 <= np.ptp(wide) + 0.02
    with pytest.raises(ParameterError, match="energy axis"):
        peak_template(AXIS, [80.0], [1.0])


def test_components_are_shares_with_their_peaks_in_place():
    """A template that does not sum to 1 would make every expectation wrong by its sum."""
    shapes = dict(zip(COMPONENTS, component_templates(AXIS), strict=True))
    for name, shape in shapes.items():
        assert shape.sum() == pytest.approx(1.0), name
        assert (shape >= 0).all(), name
    peaks = {
        "zero": (0.0, 0.01),
        "Fe": (6.4, 0.02),
        "Compton": (19.15, 0.15),
        "Rayleigh": (20.2, 0.1),
    }
    for name, (energy, apart) in peaks.items():
        assert AXIS[shapes[name].argmax()] == pytest.approx(energy, abs=apart), name
    assert shapes["continuum"][AXIS < 0.3].sum() == 0.0
