"""Lines as a scan shows them: the window of a name, marks on its axis, what its peaks propose."""

from __future__ import annotations

import numpy as np
import pytest

from dashboard.data import SharedScan
from dashboard.element_lines import line_name
from dashboard.state import MAX_ELEMENTS, ViewState
from maxrf_core import ParameterError
from maxrf_core.elements import best_line, line_window
from maxrf_core.periodic_table import ELEMENTS

SAID = {
    "Fe": "Fe",
    "iron": "Fe",
    "  FE ": "Fe",
    "Fe K-alpha": "Fe Ka",
    "lead L": "Pb La",
    "Pb Lβ": "Pb Lb",
}


@pytest.mark.parametrize(("text", "name"), SAID.items(), ids=SAID.values())
def test_a_line_has_one_name_whatever_was_typed(text: str, name: str) -> None:
    """The address and the list of elements would hold the same twice."""
    assert line_name(text) == name


def test_a_named_lines_window_is_as_wide_as_the_detector_sees_it(shared: SharedScan) -> None:
    """To a thousandth of a keV, as the fields show it."""
    found = shared.elements.line("Pb La")
    low, high = line_window("Pb", "La", shared.resolution)
    assert found.window == pytest.approx((low, high), abs=5e-4)
    assert found.name == found.group.name == "Pb La"
    assert low < found.group.energy_kev < high


def test_an_element_alone_is_its_best_line_in_this_scan(shared: SharedScan) -> None:
    """Not the one that is strongest in the pure element."""
    scan = shared.scan
    for symbol in ("Fe", "Pb", "Hg", "Ba"):
        found = shared.elements.line(symbol)
        best = best_line(symbol, scan.energies, scan.total_spectrum, shared.resolution)
        assert (found.name, found.group) == (symbol, best)
    assert shared.elements.line("Fe") is shared.elements.line("Fe")  # computed once


@pytest.mark.parametrize("text", ["Xx", "", "Fe Qa", "H", "<script>", "Fe" * 100])
def test_what_names_no_line_is_told(shared: SharedScan, text: str) -> None:
    """It comes from a field or an address."""
    with pytest.raises(ParameterError):
        shared.elements.line(text)


def test_marks_lie_on_the_axis_and_are_the_elements_or_the_lines(shared: SharedScan) -> None:
    """All of an element, one of a line; silver's K lines only where the axis reaches them."""
    low, high = shared.scan.energies[[0, -1]]
    groups = shared.elements.groups("Pb")
    assert {"Pb La", "Pb Lb"} <= {group.name for group in groups}
    assert all(low < group.energy_kev < high for group in groups)
    assert [group.name for group in shared.elements.groups("Pb La")] == ["Pb La"]


def test_no_mark_lies_beyond_the_axis(hostile: SharedScan) -> None:
    """A scan of 256 channels ends long before silver's K lines."""
    end = hostile.scan.energies[-1]
    whole = hostile.elements.groups("Fe")
    assert all(group.energy_kev < end for group in whole)
    assert hostile.elements.groups("Ag Ka") == () or end > 22


def test_proposed_elements_are_those_of_the_scan(shared: SharedScan) -> None:
    """The simulated corner has iron and calcium; nobody simulated technetium."""
    proposed = shared.elements.proposed
    assert {"Fe", "Ca"} <= set(proposed)
    assert not {"Tc", "Pm", "At"} & set(proposed)
    energies = [proposal.peak.energy_kev for proposal in shared.elements.proposals]
    assert energies == sorted(energies)
    assert np.isfinite(energies).all()
    assert shared.elements.proposals is shared.elements.proposals  # computed once


# --- in the state -----------------------------------------------------------------------------


def test_elements_are_added_by_any_name_and_once() -> None:
    """As somebody types them."""
    state = ViewState()
    for text in ("iron", "Pb L-alpha", "Fe", "Cu"):
        state.add_element(text)
    assert state.elements == ("Fe", "Pb La", "Cu")
    state.remove_element("Pb La")
    state.remove_element("Zn")
    assert state.elements == ("Fe", "Cu")
    with pytest.raises(ParameterError):
        state.add_element("unobtainium")
    assert state.elements == ("Fe", "Cu")


def test_the_oldest_gives_way_when_there_is_no_room() -> None:
    """A gallery has room for 24."""
    state = ViewState()
    symbols = [element.symbol for element in ELEMENTS[: MAX_ELEMENTS + 2]]
    for symbol in symbols:
        state.add_element(symbol)
    assert state.elements == tuple(symbols[2:])


WRONG = {
    "a list": ["Fe"],
    "a text": "Fe",
    "twice": ("Fe", "Fe"),
    "long names": ("iron",),
    "none": ("Xx",),
    "too many": tuple(element.symbol for element in ELEMENTS[: MAX_ELEMENTS + 1]),
}


@pytest.mark.parametrize("elements", WRONG.values(), ids=WRONG.keys())
def test_a_state_takes_no_other_elements(elements: object) -> None:
    """Views and address rely on short names, each there once."""
    state = ViewState(elements=("Cu",))
    with pytest.raises(ParameterError):
        state.elements = elements
    assert state.elements == ("Cu",)
