"""Paintings: every component at every place, the right way up; and the strokes they are made of."""

from __future__ import annotations

import numpy as np
import pytest

from maxrf_core.components import COMPONENTS
from maxrf_core.errors import ParameterError
from maxrf_core.phantom import PHANTOMS, make_phantom
from maxrf_core.strokes import Layer, dot, draw


@pytest.mark.parametrize("name", sorted(PHANTOMS))
def test_phantoms_give_every_component_at_every_place(name):
    """A negative or missing abundance would stop the draw of counts half way."""
    painting = make_phantom(name, aspect=1.2)
    abundances = painting.abundances(np.linspace(0, 1, 31), np.linspace(0, 1, 17)[:, None])
    assert tuple(abundances) == COMPONENTS
    for component, values in abundances.items():
        assert values.shape == (17, 31), component
        assert np.isfinite(values).all(), component
        assert (values >= 0).all(), component


def test_manuscript_is_upright():
    """Plots show y upwards: the initial stands at the upper left, the tear is on the right."""
    u, v = np.linspace(0, 1, 181), np.linspace(0, 1, 171)[:, None]
    abundances = make_phantom("manuscript", aspect=0.89).abundances(u, v)
    lead, calcium = abundances["Pb"], abundances["Ca"]

    def centre(values):
        values = values * (values > 0.4)
        return (values * u).sum() / values.sum(), (values * v).sum() / values.sum()

    lead_u, lead_v = centre(lead)
    ink_u, ink_v = centre(abundances["Fe"])
    assert lead_u < 0.45 < ink_u
    assert lead_v > 0.6 > ink_v
    assert calcium[:, 0].mean() > 5 * calcium[:, -1].mean()
    # The stem of the P goes down past its bowl, not up.
    assert lead[(v[:, 0] > 0.4) & (v[:, 0] < 0.5)].max() > 0.9
    assert lead[(v[:, 0] < 0.3)].max() < 0.1


def test_unknown_phantom_and_impossible_page_are_refused():
    """The message lists what there is."""
    with pytest.raises(ParameterError, match="manuscript"):
        make_phantom("fresco")
    with pytest.raises(ParameterError, match="positive"):
        make_phantom("manuscript", aspect=0.0)


def test_stroke_covers_half_at_its_edge_and_nothing_far_away():
    """The width of a stroke is what its maps are measured by."""
    layer = Layer([draw([(0.1, 0.5), (0.5, 0.5), (0.9, 0.5)], 0.02, load=0.8)])
    coverage = layer.coverage(np.array([[0.4, 0.5], [0.4, 0.52], [0.4, 0.46], [0.4, 0.6]]))
    # Samples lie a quarter of the half-width apart: an eighth is the most that one is off by.
    assert coverage == pytest.approx([0.8, 0.4, 0.0, 0.0], abs=0.02)


def test_where_groups_overlap_the_heavier_load_counts():
    """A thin stroke over a broad one must not cut a groove into it."""
    broad = draw([(0.1, 0.5), (0.5, 0.5), (0.9, 0.5)], 0.1)
    place = np.array([[0.5, 0.545]])
    assert Layer([broad, dot((0.5, 0.53), 0.01)]).coverage(place) < 0.1
    assert Layer([broad], [dot((0.5, 0.53), 0.01)]).coverage(place) == pytest.approx(1.0, abs=0.01)


def test_strokes_are_as_wide_along_x_as_along_y():
    """On a wide page, too: else a raster would sample them finer in one direction."""
    shares = [
        (make_phantom("strokes", aspect=aspect).abundances(u, v)["Pb"] > 0.5).mean() * aspect
        for aspect in (1.5, 3.0)
        for u, v in [(np.linspace(0, 1, 300), np.linspace(0, 1, 200)[:, None])]
    ]
    # three waves, 0.05 high, from side to side: their area grows with their length alone
    assert shares[1] / shares[0] == pytest.approx(2.0, rel=0.1)
    assert shares[0] == pytest.approx(3 * 0.05 * 1.5, rel=0.15)


def test_washes_are_broad():
    """A raster of 60 rows samples them well: neighbours never differ by more than a twelfth."""
    v = np.linspace(0, 1, 61)[:, None]
    abundances = make_phantom("washes", aspect=1.3).abundances(np.linspace(0, 1, 79), v)
    for name in ("Ca", "Fe", "Cu", "Pb"):
        assert abundances[name].max() > 0.8
        assert abundances[name].min() < 0.2
        assert np.abs(np.diff(abundances[name], axis=0)).max() < 1 / 12


@pytest.mark.parametrize(("name", "axis", "period"), [("Fe", 0, 0.26), ("Cu", 1, 0.13)])
def test_periodic_patterns_repeat(name, axis, period):
    """The period is what resolution is judged by; it is the same on every page."""
    for aspect in (1.0, 2.9):
        painting = make_phantom("periodic", aspect=aspect)
        place = np.array([[0.31 / aspect, 0.4]])
        moved = place + (np.array([period / aspect, 0]) if axis == 0 else np.array([0, period]))
        here, there, half = (
            painting.abundances(*at.T)[name][0] for at in (place, moved, (place + moved) / 2)
        )
        assert there == pytest.approx(here, rel=1e-9)
        assert half == pytest.approx(1.0 - here, rel=1e-9)


def test_hot_spots_stand_out_of_a_gradient():
    """Small places hold several times what lies around them; the rest rises evenly."""
    u, v = np.linspace(0, 1, 701), np.linspace(0, 1, 301)[:, None]
    iron = make_phantom("hotspots", aspect=2.3).abundances(u, v)["Fe"]
    assert iron.max() > 4.0
    assert (iron > 1.2).mean() < 0.05
    plain = np.median(iron, axis=0)
    # a column through a broad spot has its median raised a little
    np.testing.assert_allclose(plain, (0.25 + 1.5 * u) / 3, atol=0.08)
