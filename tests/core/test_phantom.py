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
