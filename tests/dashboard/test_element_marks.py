"""Marks on the spectrum: which lines stand there, how high, and that nothing else moves."""

from __future__ import annotations

import asyncio
import math

import pytest
from bokeh.models import (
    ColumnDataSource,
    LabelSet,
    LinearScale,
    PanTool,
    WheelZoomTool,
    Whisker,
)
from visitor import Visitor, served, show, until

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.element_marks import line_columns, line_label
from dashboard.theme import ELEMENT_COLOURS, text_colour
from maxrf_core.elements import line_groups

PAPERS = ("#ffffff", "#121212")


def marks(visitor: Visitor, name: str) -> ColumnDataSource:
    """Return what is drawn of the lines, or the peaks."""
    (found,) = visitor.figure("spectrum").select({"type": Whisker, "name": name})
    return found.source


def labels(visitor: Visitor) -> list[str]:
    """Return the labels of the lines on the spectrum."""
    return list(marks(visitor, "lines").data["label"])


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, by WCAG 2.2."""

    def luminance(colour: str) -> float:
        total = 0.0
        for place, weight in ((1, 0.2126), (3, 0.7152), (5, 0.0722)):
            level = int(colour[place : place + 2], 16) / 255
            linear = level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4
            total += weight * linear
        return total

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# --- what is drawn --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Fe Ka", "Fe Kα"),
        ("Pb Lg", "Pb Lγ"),
        ("Hg M", "Hg M"),
        ("La La", "La Lα"),  # lanthanum
        ("Mg Ka", "Mg Kα"),  # magnesium is no line
        ("Fe", "Fe"),
        ("Pb La / As Ka", "Pb Lα / As Kα"),
        ("Ca Ka + La La", "Ca Kα + La Lα"),
        ("Rh Ka Compton", "Rh Kα Compton"),
        ("Hg La is too low for it", "Hg Lα is too low for it"),
    ],
)
def test_lines_are_written_with_greek_letters(name: str, expected: str) -> None:
    """As every book does; the names of elements stay as they are."""
    assert line_label(name) == expected


def test_heights_are_those_of_the_elements_lines() -> None:
    """K-beta of iron is as much lower than its K-alpha on the screen as in the detector."""
    groups = [group for group in line_groups("Fe") if group.line[0] == "K"]
    columns = line_columns([groups])
    by_label = dict(zip(columns["label"], columns["top"], strict=True))
    ratio = by_label["Fe Kβ"] / by_label["Fe Kα"]
    expected = {group.line: group.height for group in groups}
    assert ratio == pytest.approx(expected["Kb"] / expected["Ka"])
    assert 0.05 < ratio < 0.25
    assert 0.7 < by_label["Fe Kα"] < 0.9
    assert columns["energy"] == [group.energy_kev for group in groups]


def test_a_line_chosen_alone_is_as_high_as_an_element() -> None:
    """Of Pb L-gamma alone nothing else is there to be measured by."""
    (gamma,) = (group for group in line_groups("Pb") if group.line == "Lg")
    assert gamma.height < 0.5
    alone, all_of_iron = line_columns([[gamma]]), line_columns([line_groups("Fe")])
    assert alone["top"] == [max(all_of_iron["top"])]


def test_on_logarithmic_counts_a_ratio_is_a_distance() -> None:
    """A line of a tenth stands a decade lower, as its peak does."""
    groups = line_groups("Fe")
    tops = line_columns([groups], decades=4.0)["top"]
    by_line = dict(zip((group.line for group in groups), tops, strict=True))
    height = {group.line: group.height for group in groups}["Kb"]
    assert by_line["Ka"] - by_line["Kb"] == pytest.approx(-math.log10(height) / 4.0)
    assert min(tops) > 0


def test_main_lines_are_labelled_before_all_others() -> None:
    """Where there is no room for all, each element has its name before any has its second."""
    columns = line_columns([line_groups(name) for name in ("Fe", "Pb", "Hg")])
    order = sorted(range(len(columns["rank"])), key=lambda i: columns["rank"][i])
    assert {columns["label"][i].split()[0] for i in order[:3]} == {"Fe", "Pb", "Hg"}
    assert sum(columns["shown"]) == 3
    assert all(columns["shown"][i] for i in order[:3])


def test_each_element_has_a_colour_that_stands_out_on_both_papers() -> None:
    """And its label's letters stand out from it: 4.5, as WCAG asks of text."""
    columns = line_columns([line_groups(name) for name in ("Fe", "Pb", "Hg", "Cu", "Zn", "Ca")])
    assert len(set(columns["fill"])) == len(ELEMENT_COLOURS) == 6
    for colour in ELEMENT_COLOURS:
        assert contrast(colour, text_colour(colour)) >= 4.5
        assert all(contrast(colour, paper) > 2 for paper in PAPERS)


# --- on the plot ----------------------------------------------------------------------------


def test_chosen_elements_stand_on_the_spectrum(explorer: Explorer, shared: SharedScan) -> None:
    """All groups of an element's lines on the axis, one group of a line's; removed ones go."""
    visitor = show(explorer.spectrum)
    assert labels(visitor) == []
    explorer.state.add_element("iron")
    explorer.state.add_element("Pb L-alpha")
    of_iron = [line_label(group.name) for group in shared.elements.groups("Fe")]
    assert "Fe Kα" in of_iron
    assert labels(visitor) == [*of_iron, "Pb Lα"]
    explorer.state.remove_element("Fe")
    assert labels(visitor) == ["Pb Lα"]
    assert marks(visitor, "lines").data["fill"] == [ELEMENT_COLOURS[0]]


def test_marks_have_a_range_of_their_own(explorer: Explorer) -> None:
    """They reach into no count's range, and hover, legend and lines know nothing of them."""
    visitor = show(explorer.spectrum)
    plot = visitor.figure("spectrum")
    before = visitor.limits(), len(plot.renderers), len(plot.legend[0].items)
    explorer.state.add_element("Pb")
    assert (visitor.limits(), len(plot.renderers), len(plot.legend[0].items)) == before
    ends = plot.extra_y_ranges["marks"]
    assert (ends.start, ends.end) == (0, 1)
    for mark in plot.select({"type": (Whisker, LabelSet)}):
        assert mark.y_range_name == "marks"


def test_wheel_and_hand_move_along_the_energies_alone(explorer: Explorer) -> None:
    """A zoom of the counts would take the marks along, out of the frame."""
    tools = show(explorer.spectrum).figure("spectrum").select({"type": (WheelZoomTool, PanTool)})
    assert sorted(type(tool).__name__ for tool in tools) == ["PanTool", "WheelZoomTool"]
    assert {tool.dimensions for tool in tools} == {"width"}


def test_the_plot_is_patched_and_keeps_its_zoom(explorer: Explorer) -> None:
    """Drawn anew it would flash, and forget where the visitor looked."""
    visitor = show(explorer.spectrum)
    plot = visitor.figure("spectrum")
    low, high = visitor.limits()
    visitor.zoom("spectrum", x0=5.0, x1=8.0, y0=low, y1=high)
    source = marks(visitor, "lines")
    explorer.state.add_element("Fe")
    assert visitor.figure("spectrum") is plot
    assert (plot.x_range.start, plot.x_range.end) == (5.0, 8.0)
    assert marks(visitor, "lines") is source
    assert "Fe Kα" in labels(visitor)


def test_logarithmic_counts_draw_the_marks_anew(explorer: Explorer) -> None:
    """On a logarithmic axis too their own range is linear, and heights follow its decades."""
    explorer.state.add_element("Fe")
    visitor = show(explorer.spectrum)
    linear = dict(zip(labels(visitor), marks(visitor, "lines").data["top"], strict=True))
    explorer.state.log_counts = True
    visitor = show(explorer.spectrum)
    tops = dict(zip(labels(visitor), marks(visitor, "lines").data["top"], strict=True))
    low, high = visitor.limits()
    height = linear["Fe Kβ"] / linear["Fe Kα"]
    distance = -math.log10(height) / math.log10(high / low)
    assert tops["Fe Kα"] - tops["Fe Kβ"] == pytest.approx(distance)
    assert isinstance(visitor.figure("spectrum").extra_y_scales["marks"], LinearScale)


def test_another_spectrum_leaves_labels_where_they_are(explorer: Explorer) -> None:
    """The browser has placed them; what is told again would move them for a moment."""
    explorer.state.add_element("Fe")
    visitor = show(explorer.spectrum)
    source = marks(visitor, "lines")
    source.data["lift"] = [17 for _ in source.data["lift"]]
    explorer.state.pick_spectrum(100)
    assert set(source.data["lift"]) == {17}


def test_peaks_are_ticks_at_the_top(explorer: Explorer) -> None:
    """On plots that are there, and on those drawn later; gone when none are to be marked."""
    visitor = show(explorer.spectrum)
    explorer.spectrum.mark_peaks((3.69, 6.4))
    assert list(marks(visitor, "peaks").data["energy"]) == [3.69, 6.4]
    assert set(marks(visitor, "peaks").data["top"]) == {1.0}
    later = show(explorer.spectrum)
    assert list(marks(later, "peaks").data["energy"]) == [3.69, 6.4]
    explorer.spectrum.mark_peaks(())
    assert list(marks(visitor, "peaks").data["energy"]) == []


def test_on_a_server_lines_arrive_without_drawing_anew(shared: SharedScan) -> None:
    """They are looked up beside the event loop; the newest choice is what stands there."""

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            state = session.shown.state
            plot = session.figure("spectrum")
            await session.do(lambda: state.add_element("Cu"))
            await session.do(lambda: state.add_element("Zn"))
            await until(lambda: {"Cu Kα", "Zn Kα"} <= set(labels(session)))
            await session.do(lambda: state.remove_element("Cu"))
            await until(lambda: "Cu Kα" not in labels(session))
            assert session.figure("spectrum") is plot

    asyncio.run(scenario())
