"""Choosing elements: by typing, from the table; what a wrong text says; what moves with it."""

from __future__ import annotations

import asyncio

import pytest
from visitor import served, show, until

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.element_lines import ElementLine
from dashboard.element_picker import ElementPicker
from dashboard.periodic_table import PeriodicTable
from dashboard.state import MAX_ELEMENTS, ViewState
from dashboard.theme import ELEMENT_COLOURS
from maxrf_core import ParameterError
from maxrf_core.elements import ELEMENTS


@pytest.fixture
def picker(explorer: Explorer) -> ElementPicker:
    """Return the field and the chips of the explorer's sidebar."""
    (found,) = explorer.controls().select(ElementPicker)
    return found


def send(component: ElementPicker | PeriodicTable, **message: object) -> None:
    """Send what the component's script in the browser sends."""
    component._handle_msg(message)


def table_of(explorer: Explorer) -> PeriodicTable:
    """Open the dialog with the periodic table, and return the table."""
    explorer.periodic_table.button.param.trigger("clicks")
    return explorer.periodic_table.table


# --- typing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Fe", "Fe"),
        (" iron ", "Fe"),
        ("Pb La", "Pb La"),
        ("lead L-alpha", "Pb La"),
        ("cu Kβ", "Cu Kb"),
    ],
)
def test_what_is_typed_becomes_element_and_window(
    explorer: Explorer, picker: ElementPicker, shared: SharedScan, text: str, name: str
) -> None:
    """One Enter: the lines stand on the spectrum, and the map is the element's."""
    send(picker, add=text)
    assert explorer.state.elements == (name,)
    assert explorer.state.window == shared.elements.line(name).window
    assert picker.complaint == ""


@pytest.mark.parametrize("text", ["xyz", "Fe Lq", "", "<img src=x>", "H", "Pb La " * 40])
def test_a_wrong_text_is_a_sentence_under_the_field(
    explorer: Explorer, picker: ElementPicker, text: str
) -> None:
    """Nothing else changes, and the next right one takes the sentence away."""
    window = explorer.state.window
    send(picker, add=text)
    assert picker.complaint.endswith((".", "?"))
    assert picker.complaint[0].isupper() or picker.complaint[0] in "'\""
    assert explorer.state.elements == ()
    assert explorer.state.window == window
    assert explorer.state.notice == ""
    send(picker, add="Fe")
    assert picker.complaint == ""


def test_an_element_without_a_line_on_the_axis_is_refused(
    explorer: Explorer, shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could neither be marked nor mapped; of two typed quickly the other one still comes."""
    find = shared.elements.line

    def of_a_short_axis(text: str) -> ElementLine:
        if text == "U":
            raise ParameterError("no strong line of U lies on the energy axis, 0 to 10 keV.")
        return find(text)

    monkeypatch.setattr(shared.elements, "line", of_a_short_axis)
    explorer.elements.add("uranium")
    assert explorer.state.elements == ()
    assert explorer.elements.complaint == (
        "No strong line of U lies on the energy axis, 0 to 10 keV."
    )
    explorer.elements.add("Fe")
    assert explorer.state.elements == ("Fe",)
    assert explorer.elements.complaint == ""


def test_an_element_typed_again_shows_its_window_again(
    explorer: Explorer, picker: ElementPicker, shared: SharedScan
) -> None:
    """It is there once, and whoever types it wants to see its map."""
    send(picker, add="Fe")
    explorer.state.window = (1.0, 2.0)
    send(picker, add="iron")
    assert explorer.state.elements == ("Fe",)
    assert explorer.state.window == shared.elements.line("Fe").window


def test_lines_are_suggested_once_their_element_is_typed(picker: ElementPicker) -> None:
    """All lines of all elements would be a second's work, for a list that nobody reads."""
    assert ["Fe", "iron"] in picker.options
    assert picker.line_options == []
    send(picker, lines_of="Pb")
    assert "Pb La" in [value for value, _ in picker.line_options]
    assert any(words.startswith("Pb Lα of lead, 10.5") for _, words in picker.line_options)
    send(picker, lines_of="Fe")
    assert all(value.startswith("Fe ") for value, _ in picker.line_options)


# --- the chips ------------------------------------------------------------------------------


def test_chips_tell_which_elements_are_chosen_and_which_is_mapped(
    explorer: Explorer, picker: ElementPicker
) -> None:
    """In the colours of their lines; the one whose window is the map's stands out."""
    send(picker, add="Fe")
    send(picker, add="Pb La")
    assert [chip["label"] for chip in picker.chips] == ["Fe", "Pb Lα"]
    assert [chip["is_shown"] for chip in picker.chips] == [False, True]
    assert [chip["fill"] for chip in picker.chips] == list(ELEMENT_COLOURS[:2])
    assert picker.chips[0]["tip"].startswith("Map of Fe Kα, 6.")
    explorer.state.window = (6.0, 6.6)
    assert not any(chip["is_shown"] for chip in picker.chips)


def test_a_chip_shows_its_window_and_its_cross_removes_it(
    explorer: Explorer, picker: ElementPicker, shared: SharedScan
) -> None:
    """The window stays when its element goes: the map was not asked to change."""
    for name in ("Fe", "Hg", "Cu"):
        send(picker, add=name)
    send(picker, show="Fe")
    assert explorer.state.window == shared.elements.line("Fe").window
    send(picker, remove="Hg")
    assert explorer.state.elements == ("Fe", "Cu")
    send(picker, remove="Fe")
    assert explorer.state.window == shared.elements.line("Fe").window
    assert [chip["name"] for chip in picker.chips] == ["Cu"]


def test_messages_of_no_page_of_ours_do_nothing(explorer: Explorer, picker: ElementPicker) -> None:
    """The socket is open to anybody who can reach the server."""
    for message in ({"add": 5}, {"remove": "nothing"}, {"show": "Fe"}, {"lines_of": "<b>"}, {}):
        picker._handle_msg(message)
    picker._handle_msg("text")
    assert explorer.state.elements == ()
    assert picker.line_options == []


def test_a_state_with_elements_shows_them_at_once(shared: SharedScan) -> None:
    """So a link opens: chips, lines and the filled places of the table."""
    window = shared.elements.line("Pb").window
    explorer = Explorer(shared, state=ViewState(elements=("Fe", "Pb"), window=window))
    (picker,) = explorer.controls().select(ElementPicker)
    assert [chip["is_shown"] for chip in picker.chips] == [False, True]
    assert set(table_of(explorer).chosen) == {"Fe", "Pb"}


# --- the periodic table ---------------------------------------------------------------------


def test_the_table_is_made_when_it_is_first_opened(explorer: Explorer) -> None:
    """Nobody else pays for it."""
    assert explorer.periodic_table.table is None
    assert not explorer.periodic_table.dialog.objects
    table = table_of(explorer)
    assert explorer.periodic_table.dialog.open
    assert table_of(explorer) is table
    assert explorer.periodic_table.dialog in explorer.views().select(type(explorer.peaks.dialog))


def test_the_table_has_every_element_in_its_place(explorer: Explorer) -> None:
    """Iron in the fourth row and the eighth column; no two in one place."""
    table = table_of(explorer)
    assert ["Fe", "iron", 26, 4, 8] in table.elements
    places = [tuple(element[3:]) for element in table.elements]
    assert len(set(places)) == len(places) == len(ELEMENTS)
    rows, columns = table.shape
    assert all(1 <= row <= rows and 1 <= column <= columns for row, column in places)


def test_a_place_of_the_table_adds_and_removes(explorer: Explorer, shared: SharedScan) -> None:
    """As typing does; a line of an element counts as the element."""
    table = table_of(explorer)
    send(table, toggle="Cu")
    assert explorer.state.elements == ("Cu",)
    assert explorer.state.window == shared.elements.line("Cu").window
    assert table.chosen["Cu"][0] == ELEMENT_COLOURS[0]
    explorer.state.add_element("Pb La")
    assert set(table.chosen) == {"Cu", "Pb"}
    send(table, toggle="Pb")
    assert explorer.state.elements == ("Cu",)
    send(table, toggle="Cu")
    assert table.chosen == {}


def test_the_table_outlines_what_the_peaks_propose(explorer: Explorer, shared: SharedScan) -> None:
    """Who does not know what is in the object sees where to begin."""
    table = table_of(explorer)
    assert table.proposed == list(shared.elements.proposed)
    assert {"Fe", "Ca"} <= set(table.proposed)


def test_a_complaint_of_before_does_not_stand_in_the_dialog(
    explorer: Explorer, picker: ElementPicker
) -> None:
    """What was typed wrongly has nothing to do with the table."""
    send(picker, add="xyz")
    table_of(explorer)
    assert explorer.periodic_table._complaint.text == ""
    send(explorer.periodic_table.table, toggle="Xx")
    assert explorer.periodic_table._complaint.text.startswith("'Xx' is no element")


def test_all_that_are_proposed_find_room_or_are_named(explorer: Explorer) -> None:
    """None of those that were chosen by hand gives way."""
    symbols = tuple(element.symbol for element in ELEMENTS[: MAX_ELEMENTS + 2])
    explorer.state.add_element("Pb La")
    window = explorer.state.window
    explorer.elements.add_all(("Pb", *symbols))
    assert explorer.state.elements == ("Pb La", *symbols[: MAX_ELEMENTS - 1])
    assert explorer.state.window == window
    left_out = ", ".join(symbols[MAX_ELEMENTS - 1 :])
    assert f"{left_out} had to stay out" in explorer.elements.complaint


# --- on a server ----------------------------------------------------------------------------


def test_on_a_server_no_choice_is_lost_and_the_last_window_stands(shared: SharedScan) -> None:
    """Two quick Enters: windows are found beside the event loop, and both elements come."""

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            explorer: Explorer = session.shown
            for text in ("Fe", "Hg", "Cu"):
                await session.do(lambda text=text: explorer.elements.add(text))
            await until(lambda: explorer.state.elements == ("Fe", "Hg", "Cu"))
            assert explorer.state.window == shared.elements.line("Cu").window

    asyncio.run(scenario())


def test_picker_and_table_are_drawn_without_a_browser(explorer: Explorer) -> None:
    """What is sent with the page must be what BokehJS can read."""
    visitor = show(explorer.controls())
    assert visitor.document.to_json()
    assert show(table_of(explorer)).document.to_json()
