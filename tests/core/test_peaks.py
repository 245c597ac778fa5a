"""Peaks of sum and maximum spectra, and what they are proposed to be."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from maxrf_core.components import COMPONENTS, STRENGTHS, component_templates
from maxrf_core.errors import ParameterError
from maxrf_core.line_groups import line_groups
from maxrf_core.line_patterns import compton_energy, escape_share
from maxrf_core.lines import (
    SILICON_FANO,
    detector_fwhm_kev,
    element_template,
    emission_lines,
    peak_template,
)
from maxrf_core.peaks import find_peaks_in
from maxrf_core.proposals import OVERLAPS, propose, proposed_elements
from maxrf_core.resolution import Resolution, fit_resolution
from maxrf_core.smoothing import smooth_spectra

REAL = Path(__file__).parents[3] / "shared" / "real"
ENERGIES = np.linspace(-0.96, 40.0, 4097)
STEP = ENERGIES[1] - ENERGIES[0]
RESOLUTION = Resolution(100.0, SILICON_FANO, np.inf, np.inf, (), is_fitted=False)
TEMPLATES = dict(zip(COMPONENTS, component_templates(ENERGIES), strict=True))
SCATTER = sum(STRENGTHS[name] * TEMPLATES[name] for name in ("Rayleigh", "Compton", "continuum"))
POOL = (
    "Si", "P", "S", "Cl", "K", "Ca", "Ti", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "As", "Se",
    "Br", "Sr", "Ag", "Cd", "Sn", "Sb", "Ba", "Au", "Hg", "Pb", "Bi",
)  # fmt: skip


def spectrum_of(amounts, *, total=2e7, escape=False, pile_up=0.0, scatter=SCATTER):
    """Return the expectation (c,) of a sum spectrum: elements by amount, argon, the tube's light.

    The lines come from `element_template`, whose balance between shells is not the proposals'.
    """
    clean = scatter + STRENGTHS["Ar"] * element_template("Ar", ENERGIES)
    for element, amount in amounts.items():
        clean = clean + amount * element_template(element, ENERGIES)
    whole = clean.copy()
    if escape:
        shares = np.array([escape_share(float(one)) if one > 1.9 else 0.0 for one in ENERGIES])
        shift = round(1.740 / STEP)
        whole[:-shift] += (clean * shares)[shift:]
    if pile_up:
        pulses = np.where(ENERGIES > 0.9, clean, 0.0)
        first = round(0.96 / STEP)
        pairs = np.convolve(pulses, pulses)[first : first + ENERGIES.size]
        whole += pile_up * pairs / clean.sum()
    whole += 0.1 * whole.sum() * TEMPLATES["zero"]
    return total * whole / whole.sum()


def proposals_of(expectation, seed=1):
    """Return the proposals for a drawn spectrum."""
    counts = np.random.default_rng(seed).poisson(expectation)
    found = find_peaks_in(ENERGIES, counts, None, RESOLUTION)
    return propose(found, ENERGIES, counts, RESOLUTION)


def best_at(proposals, energy):
    """Return the best candidate for the peak at an energy."""
    near = min(proposals, key=lambda one: abs(one.peak.energy_kev - energy))
    assert near.peak.energy_kev == pytest.approx(energy, abs=0.08)
    return near.candidates[0]


def test_free_lines_are_found_where_they_are():
    """A tenth of a width is what tells neighbouring elements apart."""
    counts = np.random.default_rng(3).poisson(spectrum_of({"Ca": 60.0, "Fe": 60.0, "Cu": 60.0}))
    found = find_peaks_in(ENERGIES, counts, None, RESOLUTION)
    for element in ("Ca", "Fe", "Cu"):
        for group in line_groups(element)[-2:]:
            near = min(found, key=lambda peak, at=group.energy_kev: abs(peak.energy_kev - at))
            width = detector_fwhm_kev(group.energy_kev)
            assert abs(near.energy_kev - group.energy_kev) < 0.1 * width
            assert near.significance > 5.0
            assert near.in_sum
            assert not near.in_max
    assert [peak.energy_kev for peak in found] == sorted(peak.energy_kev for peak in found)
    assert abs(found[0].energy_kev) < 0.01  # the zero peak


@pytest.mark.parametrize("total", [1e5, 1e7, 1e9])
def test_a_continuum_alone_shows_no_peaks(total):
    """Neither noise nor the continuum's bends nor the threshold's edge are lines."""
    share = TEMPLATES["continuum"]
    rng = np.random.default_rng(int(total))
    for _ in range(5):
        assert find_peaks_in(ENERGIES, rng.poisson(total * share), None, RESOLUTION) == ()


@pytest.mark.parametrize(("apart", "number"), [(0.4, 1), (1.3, 2), (2.0, 2)])
def test_lines_are_told_apart_from_about_a_width_on(apart, number):
    """The detector's resolution decides what is one peak."""
    width = float(detector_fwhm_kev(8.0))
    lines = peak_template(ENERGIES, [8.0, 8.0 + apart * width], [1.0, 1.0])
    counts = np.random.default_rng(4).poisson(1e6 * lines + 50.0)
    assert len(find_peaks_in(ENERGIES, counts, None, RESOLUTION)) == number


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_what_is_in_few_places_is_found_in_the_maximum(sigma):
    """Two spectra of selenium in 1200 are lost in the sum; a map of it is worth a look."""
    rng = np.random.default_rng(7)
    usual = spectrum_of({"Ca": 60.0, "Fe": 60.0}, total=600.0)
    spectra = rng.poisson(np.broadcast_to(usual, (1200, usual.size))).astype(np.float32)
    spectra[:2] += rng.poisson(150.0 * element_template("Se", ENERGIES), (2, usual.size))
    highest = smooth_spectra(spectra, sigma).max(axis=0)
    total = spectra.sum(axis=0)
    found = find_peaks_in(ENERGIES, total, highest, RESOLUTION)
    rare = [peak for peak in found if peak.in_max and not peak.in_sum]
    assert [round(peak.energy_kev, 1) for peak in rare] == [11.2]
    proposals = propose(found, ENERGIES, total, RESOLUTION, max_spectrum=highest)
    best = next(one for one in proposals if one.peak is rare[0]).candidates[0]
    assert (best.name, best.is_used) == ("Se Ka", False)
    assert "few places" in best.reason
    assert set(proposed_elements(proposals)) == {"Ar", "Ca", "Fe", "Se"}


def test_a_maximum_that_is_none_is_refused():
    """One of another scan has another length."""
    total = spectrum_of({"Fe": 10.0})
    with pytest.raises(ParameterError, match=r"maximum spectrum has shape \(9,\)"):
        find_peaks_in(ENERGIES, total, np.ones(9), RESOLUTION)
    with pytest.raises(ParameterError, match="expected finite counts"):
        find_peaks_in(ENERGIES, total, np.full(total.size, np.nan), RESOLUTION)


@pytest.mark.parametrize(
    ("amounts", "absent"),
    [
        ({"Pb": 300.0}, {"As", "S", "Hg", "Se"}),
        ({"As": 100.0}, {"Pb"}),
        ({"Pb": 300.0, "As": 60.0}, {"S", "Hg"}),
        ({"Ti": 100.0}, {"Ba", "V"}),
        ({"Ba": 200.0}, {"Ti", "Ce"}),
        ({"Ti": 100.0, "Ba": 200.0}, {"Ce"}),
        ({"S": 20.0}, {"Pb", "Hg", "Mo"}),
        ({"S": 20.0, "Hg": 200.0}, {"Pb"}),
        ({"Hg": 200.0}, {"S", "Ge"}),
        ({"Cr": 100.0}, {"Mn"}),
        ({"Cr": 100.0, "Mn": 30.0}, {"Fe"}),
        ({"Fe": 200.0}, {"Co", "Mn"}),
        ({"Fe": 200.0, "Co": 60.0}, {"Ni"}),
        ({"Cu": 200.0, "Zn": 100.0}, {"Ni", "Ga", "Au"}),
        ({"Ag": 100.0}, {"Cd"}),
        ({"Cd": 100.0, "Se": 60.0}, {"In", "Ag"}),
        ({"Sn": 200.0, "Pb": 200.0}, {"Ca", "Sb"}),
    ],
)
def test_overlapping_elements_are_told_apart_by_their_other_lines(amounts, absent):
    """A map of arsenic where there is lead alone is the classic error of the trade."""
    found = set(proposed_elements(proposals_of(spectrum_of(amounts))))
    assert set(amounts) <= found
    assert not absent & found


def test_the_overlap_and_what_speaks_against_it_are_named():
    """Who sees the proposal should see the trap, too."""
    proposals = proposals_of(spectrum_of({"Pb": 300.0}))
    lead = next(one for one in proposals if one.candidates and one.candidates[0].name == "Pb La")
    assert "Pb La / As Ka" in lead.overlaps
    assert lead.candidates[0].is_used
    assert lead.candidates[0].score > 0.9
    others = {one.name: one for one in lead.candidates[1:]}
    assert all(not one.is_used and one.score < 0.35 for one in others.values())
    kinds = [one.score for one in lead.candidates]
    assert kinds == sorted(kinds, reverse=True)


def test_the_table_of_overlaps_holds_lines_that_no_detector_separates():
    """Farther apart than 1.3 widths, a pair would be an empty warning."""
    places = {}
    for name in {name for pair in OVERLAPS for name in pair}:
        symbol, line = name.split()
        places[name] = next(g.energy_kev for g in line_groups(symbol) if g.line == line)
    for one, other in OVERLAPS:
        apart = abs(places[one] - places[other])
        assert apart < 1.3 * detector_fwhm_kev(places[one]), (one, other)


def test_the_tubes_lines_compton_and_zero_peak_are_recognised():
    """Rhodium is in the tube; ruthenium and molybdenum are nowhere."""
    proposals = proposals_of(spectrum_of({"Ca": 60.0}))
    assert best_at(proposals, 20.165).name == "Rh Ka scattered"
    assert best_at(proposals, 2.70).name == "Rh La scattered"
    compton = best_at(proposals, 19.2)
    assert (compton.kind, compton.name) == ("Compton", "Rh Ka Compton")
    assert best_at(proposals, 0.0).kind == "zero"
    assert set(proposed_elements(proposals)) == {"Ar", "Ca"}


def test_without_a_tube_of_rhodium_its_lines_are_an_elements():
    """An anode of another metal makes rhodium in the sample a finding."""
    scatter = STRENGTHS["continuum"] * TEMPLATES["continuum"]
    expectation = spectrum_of({"Rh": 200.0, "Ca": 60.0}, scatter=scatter)
    counts = np.random.default_rng(2).poisson(expectation)
    found = find_peaks_in(ENERGIES, counts, None, RESOLUTION)
    of_tube = proposed_elements(propose(found, ENERGIES, counts, RESOLUTION))
    of_none = proposed_elements(propose(found, ENERGIES, counts, RESOLUTION, anode=None))
    assert set(of_tube) == {"Ar", "Ca"}
    assert set(of_none) == {"Ar", "Ca", "Rh"}
    with pytest.raises(ParameterError, match="'Xy' is no element"):
        propose(found, ENERGIES, counts, RESOLUTION, anode="Xy")


def test_compton_scattering_takes_what_the_formula_says():
    """20.216 keV at a right angle: 20.216 / (1 + 20.216 / 511)."""
    assert compton_energy(20.216, 90.0) == pytest.approx(19.447, abs=0.001)
    assert compton_energy(20.216, 180.0) == pytest.approx(18.734, abs=0.001)
    assert compton_energy(20.216, 0.0) == 20.216


@pytest.mark.parametrize("energy", [2.31, 3.69, 6.40])
def test_the_escape_share_is_the_integral_over_depth_and_direction(energy):
    """The closed formula against what it stands for; 1.4 % for sulfur down to 0.4 % for iron."""
    import xraydb

    deep, own = xraydb.mu_elam("Si", [1000.0 * energy, 1740.0], kind="photo")

    depth, cosine = np.meshgrid(np.linspace(0, 20, 2001)[1:] - 0.005, np.linspace(0, 1, 2001)[1:])
    leaves = 0.5 * np.exp(-depth * (1.0 + own / deep / cosine))
    out = leaves.mean() * 20.0
    escaped = 0.043 * (1.0 - 1.0 / 10.9) * out
    assert escape_share(energy) == pytest.approx(escaped / (1.0 - escaped), rel=0.01)
    assert escape_share(1.5) == 0.0


@pytest.mark.parametrize("top", [18.0, 19.6, 23.0])
def test_an_axis_that_ends_before_the_tubes_lines_makes_no_other_element(top):
    """Compton's peak alone at its end is not ruthenium's, and lines beyond it are not missed."""
    seen = top > ENERGIES
    counts = np.random.default_rng(5).poisson(spectrum_of({"Ca": 60.0, "Fe": 100.0, "Ag": 60.0}))
    found = find_peaks_in(ENERGIES[seen], counts[seen], None, RESOLUTION)
    proposals = propose(found, ENERGIES[seen], counts[seen], RESOLUTION)
    assert set(proposed_elements(proposals)) <= {"Ar", "Ca", "Fe", "Ag"}
    assert best_at(proposals, 6.404).name == "Fe Ka"
    if top > 19.5:
        assert best_at(proposals, 19.15).kind == "Compton"


def test_a_line_beyond_the_axis_speaks_against_nobody():
    """Iron's K-beta above its end, lead's M lines below its start: both elements stay."""
    counts = np.random.default_rng(5).poisson(spectrum_of({"Fe": 100.0, "Pb": 100.0}))
    for seen in (ENERGIES < 6.8, ENERGIES > 3.0):
        axis = ENERGIES[seen]
        found = find_peaks_in(axis, counts[seen], None, RESOLUTION)
        proposals = propose(found, axis, counts[seen], RESOLUTION)
        assert "Fe" in proposed_elements(proposals)
        iron = best_at(proposals, 6.404)
        assert (iron.name, iron.consistency) == ("Fe Ka", 0.7 if axis[-1] < 7.0 else 1.0)
        if axis[0] > 2.5:
            assert "Pb" in proposed_elements(proposals)
            assert best_at(proposals, 10.55).consistency == 1.0


def test_an_element_whose_second_line_misses_is_demoted():
    """One peak where lead and arsenic have their first lines, and nothing at their second."""
    peak = 1e5 * peak_template(ENERGIES, [10.54], [1.0])
    counts = np.random.default_rng(1).poisson(peak + 200.0)
    found = find_peaks_in(ENERGIES, counts, None, RESOLUTION)
    proposals = propose(found, ENERGIES, counts, RESOLUTION)
    assert not {"Pb", "As"} & set(proposed_elements(proposals))
    arsenic = next(one for one in proposals if "Pb La / As Ka" in one.overlaps).candidates[0]
    assert (arsenic.name, arsenic.is_used) == ("As Ka", False)
    assert arsenic.consistency < 0.25
    assert arsenic.reason == "As Kb is too low for it"
    whole = 1e5 * element_template("As", ENERGIES)
    counts = np.random.default_rng(1).poisson(whole + 200.0)
    found = find_peaks_in(ENERGIES, counts, None, RESOLUTION)
    assert proposed_elements(propose(found, ENERGIES, counts, RESOLUTION)) == ("As",)


@pytest.mark.parametrize(
    ("element", "absent"), [("Hg", {"Br", "Al"}), ("Ca", {"Al", "Br"}), ("Ba", {"Al", "Ce", "Hf"})]
)
def test_a_billion_counts_make_no_elements_of_small_faults(element, absent):
    """The step at the threshold, faint pile-up and tails stand out of so little noise."""
    expectation = spectrum_of({element: 200.0}, total=1e9, pile_up=0.003, escape=True)
    assert not absent & set(proposed_elements(proposals_of(expectation)))


def test_escape_peaks_of_strong_lines_are_no_elements():
    """Calcium's lies at 1.95 keV, just where phosphorus is looked for."""
    proposals = proposals_of(spectrum_of({"Ca": 2000.0}, total=5e7, escape=True))
    best = best_at(proposals, 3.690 - 1.740)
    assert (best.kind, best.name, best.element) == ("escape", "Ca Ka escape", "Ca")
    assert not {"P", "Si"} & set(proposed_elements(proposals))


def test_sum_peaks_of_strong_lines_are_no_elements():
    """Two photons of calcium at once lie at 7.38 keV, near nickel; with iron at 10.1, mercury."""
    amounts = {"Ca": 1500.0, "Fe": 1500.0}
    proposals = proposals_of(spectrum_of(amounts, total=5e7, pile_up=0.008))
    assert best_at(proposals, 7.382).name == "Ca Ka + Ca Ka"
    assert best_at(proposals, 10.092).name == "Ca Ka + Fe Ka"
    assert best_at(proposals, 12.80).name == "Fe Ka + Fe Ka"
    assert set(proposed_elements(proposals)) <= {"Ar", "Ca", "Fe"}


def test_nickel_beside_calciums_sum_peak_is_still_proposed():
    """Pile-up must not be an excuse for everything."""
    amounts = {"Ca": 1500.0, "Ni": 60.0}
    assert "Ni" in proposed_elements(proposals_of(spectrum_of(amounts, pile_up=0.003)))


def is_plain(element, amounts, expectation):
    """Tell whether an element stands out of its neighbours at one of its lines."""
    scale = expectation.sum() / (1.1 * (SCATTER.sum() + STRENGTHS["Ar"] + sum(amounts.values())))
    own = amounts[element] * scale * element_template(element, ENERGIES)
    for line in emission_lines(element):
        half = 0.5 * detector_fwhm_kev(line.energy_kev)
        here = np.abs(ENERGIES - line.energy_kev) < half
        counts, all_counts = own[here].sum(), expectation[here].sum()
        if line.energy_kev > 1.2 and counts > max(10 * np.sqrt(all_counts), 0.25 * all_counts):
            return True
    return False


def test_random_mixtures_are_found_with_few_errors():
    """Of 16 mixtures of 3 to 8 elements in 27 hardly an element is missed or made up."""
    rng = np.random.default_rng(11)
    right, wrong, missed = 0, 0, 0
    for trial in range(16):
        chosen = rng.choice(POOL, rng.integers(3, 9), replace=False).tolist()
        amounts = {element: float(10 ** rng.uniform(1.0, 2.7)) for element in chosen}
        expectation = spectrum_of(
            amounts, total=10 ** rng.uniform(6, 8), pile_up=0.002 * (trial % 2)
        )
        found = set(proposed_elements(proposals_of(expectation, seed=trial))) - {"Ar"}
        right += len(found & set(amounts))
        wrong += len(found - set(amounts))
        missed += sum(is_plain(element, amounts, expectation) for element in set(amounts) - found)
    assert right / (right + wrong) > 0.95, (right, wrong, missed)
    assert right / (right + missed) > 0.95, (right, wrong, missed)


def test_spectrum_and_energies_stay_as_they_are():
    """The page shows what it passes on."""
    counts = np.random.default_rng(1).poisson(spectrum_of({"Fe": 60.0}))
    before, axis = counts.copy(), ENERGIES.copy()
    found = find_peaks_in(ENERGIES, counts, counts, RESOLUTION)
    propose(found, ENERGIES, counts, RESOLUTION, max_spectrum=counts)
    np.testing.assert_array_equal(counts, before)
    np.testing.assert_array_equal(ENERGIES, axis)


def test_an_empty_spectrum_has_no_peaks_and_no_proposals():
    """A scan with the shutter closed is a scan."""
    nothing = np.zeros(ENERGIES.size)
    assert find_peaks_in(ENERGIES, nothing, nothing, RESOLUTION) == ()
    assert propose((), ENERGIES, nothing, RESOLUTION, max_spectrum=nothing) == ()


@pytest.mark.parametrize("anode", ["Rh", "W", None])
@pytest.mark.parametrize(
    "limits", [(-1.0, -0.7), (-1.0, 0.5), (0.9, 1.2), (0.0, 12.0), (30.0, 45.0)]
)
@pytest.mark.parametrize("channels", [2, 5, 300])
def test_no_axis_and_no_spectrum_makes_it_fail(anode, limits, channels):
    """Flat, one channel, noise, huge: nothing ends the server (an empty fit of scipy's does)."""
    axis = np.linspace(*limits, channels)
    rng = np.random.default_rng(8)
    spike = np.zeros(channels)
    spike[channels // 2] = 1e9
    for counts in (np.zeros(channels), np.ones(channels), spike, rng.poisson(7.0, channels)):
        found = find_peaks_in(axis, counts, counts, RESOLUTION)
        proposals = propose(found, axis, counts, RESOLUTION, max_spectrum=counts, anode=anode)
        assert len(proposals) == len(found)


def test_a_real_spectrum_of_the_m6_is_read_as_its_maker_would():
    """A calcium phosphate, bone or apatite, with potassium, iron, zinc, strontium and lead."""
    path = REAL / "m6-jetstream-spectrum.csv"
    if not path.exists():
        pytest.skip("the real spectra of ../shared/real are not here")
    energies, counts = np.loadtxt(path, delimiter=",", skiprows=2).T
    resolution = fit_resolution(energies, counts)
    proposals = propose(
        find_peaks_in(energies, counts, None, resolution), energies, counts, resolution
    )
    expected = {"P", "Ar", "K", "Ca", "Ti", "Fe", "Zn", "Sr", "Pb"}
    assert set(proposed_elements(proposals)) - {"S"} == expected
    assert best_at(proposals, 18.73).name == "Rh Ka Compton"
    assert best_at(proposals, 20.165).name == "Rh Ka scattered"
    assert all(one.candidates for one in proposals)


def test_a_real_spectrum_under_electrons_shows_its_sum_peak():
    """Aluminium and silver: their sum at 4.47 keV passes for titanium or barium."""
    path = REAL / "bruker-eds-50x50.HDF5"
    if not path.exists():
        pytest.skip("the real spectra of ../shared/real are not here")
    with h5py.File(path) as file:
        energies, spectra = file["XRF/EnergyVector"][:], file["XRF/Spectra"][:]
    total, highest = spectra.sum(axis=0), spectra.max(axis=0)
    resolution = fit_resolution(energies, total)
    found = find_peaks_in(energies, total, highest, resolution)
    proposals = propose(found, energies, total, resolution, max_spectrum=highest, anode=None)
    assert best_at(proposals, 4.466).name == "Al Ka + Ag La"
    assert {"Al", "Ag", "Cu"} <= set(proposed_elements(proposals))
    assert not {"Ti", "Ba", "Cd"} & set(proposed_elements(proposals))
