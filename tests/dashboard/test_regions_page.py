"""Regions on the page: drawn, named, compared; numbers against dense matrices."""

from __future__ import annotations

import asyncio
import csv
import html
import re
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import panel as pn
import pytest
from bokeh.events import SelectionGeometry
from bokeh.models import BoxSelectTool, GlyphRenderer, PolySelectTool
from visitor import SMOOTH, Session, Visitor, served, show, until

from dashboard import Explorer
from dashboard.asked import asked_by
from dashboard.data import SharedScan
from dashboard.downloads import Download
from dashboard.export_choices import CHOICES, export_options
from dashboard.region_choices import (
    add_polygon,
    add_rectangle,
    add_threshold,
    add_visible,
    colours_of,
    remove_region,
    rename_region,
    toggle_region,
)
from dashboard.region_counts import Interpolated, mask_of, spectrum_of
from dashboard.region_maps import map_named, name_of_map
from dashboard.region_marks import rim_columns
from dashboard.regions_dialog import compared, table_html, write_table
from dashboard.state import MAX_REGIONS, ViewState
from dashboard.theme import ELEMENT_COLOURS
from maxrf_core import Grid, ParameterError
from maxrf_core.export_kinds import export_kind
from maxrf_core.regions import Polygon, Rectangle, Region, Threshold
from maxrf_core.smoothing import smooth_spectra

OpenChanged = Callable[[str, Callable[[h5py.File], None]], SharedScan]

FLOAT32 = 1e-5
"""Of values that went through float32, several times."""


def box_of(shared: SharedScan, rows: slice, columns: slice) -> tuple[float, float, float, float]:
    """Return x0, x1, y0, y1 of a rectangle that holds some cells, half a cell around each."""
    grid = shared.scan.grid
    x, y = grid.x[columns], grid.y[rows]
    return (
        x[0] - 0.4 * grid.dx,
        x[-1] + 0.4 * grid.dx,
        y[0] - 0.4 * grid.dy,
        y[-1] + 0.4 * grid.dy,
    )


def add_cells(explorer: Explorer, rows: slice, columns: slice) -> npt.NDArray[np.bool_]:
    """Add the rectangle of some cells; return which they are."""
    add_rectangle(explorer.shared, explorer.state, *box_of(explorer.shared, rows, columns))
    mask = np.zeros(explorer.shared.scan.grid.shape, dtype=bool)
    mask[rows, columns] = True
    return mask


def plain(shared: SharedScan, mask: npt.NDArray, state: ViewState) -> tuple[Any, Any]:
    """Return mean and variance of a region's spectrum, by dense matrices."""
    scan = shared.scan
    lag = shared.lag_corrected(state.correct_lag)
    matrix = scan.operator(state.method, lag=lag).matrix.toarray().astype(np.float64)
    weights = matrix[mask.ravel()].mean(axis=0)
    counts = scan.spectra(np.arange(scan.n_spectra)).astype(np.float64)
    return weights @ counts, weights**2 @ counts


def region_lines(visitor: Visitor) -> list[GlyphRenderer]:
    """Return the lines of regions on the spectrum plot."""
    return [one for one in visitor.figure("spectrum").renderers if one.name == "region line"]


def legend(visitor: Visitor) -> list[str]:
    """Return what the legend of the spectrum plot says."""
    (found,) = visitor.figure("spectrum").legend
    return [item.label.value for item in found.items]


def outlines(visitor: Visitor, plot: str) -> dict[str, Any]:
    """Return what is drawn of the outlines on a map."""
    (halo, line) = (
        one for one in visitor.figure(plot).renderers if type(one.glyph).__name__ == "MultiLine"
    )
    assert halo.data_source is line.data_source
    return line.data_source.data


def geometry(visitor: Visitor, shape: dict[str, Any], *, final: bool = True) -> None:
    """Send what a selection tool sends when something was drawn on the map."""
    plot = visitor.figure("map")
    values = [["model", {"id": plot.id}], ["geometry", {"type": "map", "entries": []}]]
    values[1][1]["entries"] = [[key, value] for key, value in shape.items()]
    values.append(["final", final])
    data = {
        "type": "event", "name": SelectionGeometry.event_name,
        "values": {"type": "map", "entries": values},
    }  # fmt: skip
    visitor._send({"kind": "MessageSent", "msg_type": "bokeh_event", "msg_data": data})


# --- what is drawn --------------------------------------------------------------------------


def test_a_rectangle_has_the_mean_spectrum_of_its_cells_with_its_error(
    explorer: Explorer,
) -> None:
    """Mean, not sum; smoothed as the picked spectrum is; the band is one standard error wide."""
    visitor = show(explorer)
    mask = add_cells(explorer, slice(2, 6), slice(1, 4))
    (line,) = region_lines(visitor)
    mean, variance = plain(explorer.shared, mask, explorer.state)
    data = line.data_source.data
    expected = smooth_spectra(mean, explorer.state.sigma)
    np.testing.assert_allclose(data["counts"], expected, rtol=FLOAT32, atol=1e-6)
    channels = len(mean)
    kernel = smooth_spectra(np.eye(channels)[channels // 2 - 100 : channels // 2 + 100], 7.0)
    inside = slice(channels // 2 - 50, channels // 2 + 50)
    spread = np.array(
        [variance[channels // 2 - 100 : channels // 2 + 100] @ kernel[:, j] ** 2
         for j in range(inside.start, inside.stop)]
    )  # fmt: skip
    half = (np.asarray(data["upper"]) - np.asarray(data["lower"])) / 2
    np.testing.assert_allclose(half[inside], np.sqrt(spread), rtol=1e-4, atol=1e-6)
    assert legend(visitor)[4:] == ["Region 1 · 12 cells"]
    assert line.glyph.line_color == ELEMENT_COLOURS[0]


def test_the_four_lines_that_were_there_stay_the_first(explorer: Explorer) -> None:
    """Tests, and whoever scripts the plot, find them by their place."""
    visitor = show(explorer)
    before = visitor.line(SMOOTH)
    add_cells(explorer, slice(0, 3), slice(0, 5))
    add_cells(explorer, slice(5, 9), slice(2, 4))
    renderers = visitor.figure("spectrum").renderers
    assert [one.name for one in renderers[4:]] == ["region line", "region band"] * 2
    np.testing.assert_array_equal(visitor.line(SMOOTH), before)
    for renderer in renderers:
        assert {"energy", "counts"} <= set(renderer.data_source.data)


def test_lines_follow_sigma_interpolation_and_the_logarithm(explorer: Explorer) -> None:
    """What is compared is smoothed and interpolated as all else on the page."""
    visitor = show(explorer)
    mask = add_cells(explorer, slice(1, 7), slice(2, 8))
    explorer.state.param.update(sigma=3.0, method="nearest")
    mean, _ = plain(explorer.shared, mask, explorer.state)
    expected = smooth_spectra(mean, 3.0)
    found = region_lines(visitor)[0].data_source.data["counts"]
    np.testing.assert_allclose(found, expected, rtol=FLOAT32, atol=1e-6)
    explorer.state.log_counts = True
    lines = [r for r in visitor.figure("spectrum").renderers if r.name == "region line"]
    values = np.asarray(lines[0].data_source.data["lower"])
    assert values.min() == pytest.approx(1e-4)
    assert legend(visitor)[-1] == "Region 1 · 36 cells"


def test_the_axis_of_counts_fits_the_highest_line_that_is_shown(explorer: Explorer) -> None:
    """A region brighter than the picked spectrum is not cut off; hidden, it takes no room."""
    visitor = show(explorer)
    explorer.state.pick_spectrum(int(np.argmin(explorer.shared.scan.window_counts(0.5, 30.0))))
    before = visitor.limits()
    bright = int(np.nanargmax(explorer.shared.scan.energy_map(0.5, 30.0)))
    row, column = divmod(bright, explorer.shared.scan.grid.width)
    add_cells(explorer, slice(row, row + 1), slice(column, column + 1))
    spectrum = explorer.spectrum.regions.lines[0].spectrum
    above = explorer.shared.scan.energies >= 0.5
    assert visitor.limits()[1] == pytest.approx(1.06 * spectrum[above].max(), rel=1e-5)
    assert visitor.limits()[1] > before[1]
    toggle_region(explorer.state, "Region 1")
    assert visitor.limits() == before


def test_a_region_is_hidden_in_the_list_and_in_the_legend_alike(explorer: Explorer) -> None:
    """One truth: line, band, outline and list follow each other."""
    visitor = show(explorer)
    add_cells(explorer, slice(1, 4), slice(2, 8))
    (line,) = region_lines(visitor)
    (band,) = (r for r in visitor.figure("spectrum").renderers if r.name == "region band")
    toggle_region(explorer.state, "Region 1")
    assert (line.visible, band.visible) == (False, False)
    assert outlines(visitor, "map")["name"] == []
    assert explorer.regions.rows[0]["is_hidden"]
    visitor.change(line, visible=True)  # a click in the legend
    assert explorer.state.hidden_regions == ()
    assert outlines(visitor, "map")["name"] == ["Region 1"]
    assert not explorer.regions.rows[0]["is_hidden"]


def test_removed_lines_leave_nothing_behind(explorer: Explorer) -> None:
    """Plot, legend and axis are as before; a line is not left under another's name."""
    visitor = show(explorer)
    before = [one.id for one in visitor.figure("spectrum").renderers]
    add_cells(explorer, slice(1, 4), slice(2, 8))
    second = add_cells(explorer, slice(6, 9), slice(0, 3))
    remove_region(explorer.state, "Region 1")
    assert legend(visitor)[4:] == ["Region 2 · 9 cells"]
    mean, _ = plain(explorer.shared, second, explorer.state)
    found = region_lines(visitor)[0].data_source.data["counts"]
    np.testing.assert_allclose(found, smooth_spectra(mean, 7.0), rtol=FLOAT32, atol=1e-6)
    remove_region(explorer.state, "Region 2")
    assert [one.id for one in visitor.figure("spectrum").renderers] == before
    assert len(legend(visitor)) == 4


@pytest.mark.parametrize("plot", ["map", "positions"])
def test_outlines_stand_on_map_and_positions(explorer: Explorer, plot: str) -> None:
    """Closed, in motor steps, in the line's colour; the selected one is wider."""
    visitor = show(explorer)
    add_cells(explorer, slice(1, 4), slice(2, 8))
    add_polygon(explorer.shared, explorer.state, *corners(explorer.shared))
    found = outlines(visitor, plot)
    assert found["name"] == ["Region 1", "Region 2"]
    assert found["colour"] == list(ELEMENT_COLOURS[:2])
    assert found["width"][1] > found["width"][0]
    box = explorer.state.regions[0].outline
    assert (min(found["xs"][0]), max(found["xs"][0])) == (box.left, box.right)
    assert (min(found["ys"][0]), max(found["ys"][0])) == (box.bottom, box.top)
    assert found["xs"][1][0] == found["xs"][1][-1]


def corners(shared: SharedScan) -> tuple[list[float], list[float]]:
    """Return x and y of a triangle over the lower left of a scan."""
    grid = shared.scan.grid
    left, bottom, _, _ = grid.bounds
    return (
        [left, left + 5.2 * grid.dx, left],
        [bottom, bottom, bottom + 7.3 * grid.dy],
    )


def test_a_triangle_has_the_cells_whose_centres_lie_in_it(explorer: Explorer) -> None:
    """Cell by cell, by the formula of its slanted side."""
    add_polygon(explorer.shared, explorer.state, *corners(explorer.shared))
    grid = explorer.shared.scan.grid
    rows, columns = np.indices(grid.shape) + 0.5
    expected = columns / 5.2 + rows / 7.3 < 1
    how = Interpolated.of(explorer.shared, explorer.state)
    found = mask_of(explorer.shared, explorer.state.regions[0], how)
    np.testing.assert_array_equal(found, expected)
    assert explorer.regions.rows[0]["cells"] == f"{expected.sum()} cells"


def test_a_threshold_has_the_cells_of_the_map_that_is_shown(explorer: Explorer) -> None:
    """And keeps them when another map is shown."""
    visitor = show(explorer)
    explorer.state.param.update(background="sides", smooth_map=True, sigma=2.5)
    values = explorer.energy_map.values
    low = float(np.nanpercentile(values, 70))
    add_threshold(explorer.shared, explorer.state, low, None)
    expected = values >= low
    explorer.state.param.update(window=(3.5, 3.9), background="none", smooth_map=False)
    how = Interpolated.of(explorer.shared, explorer.state)
    found = mask_of(explorer.shared, explorer.state.regions[0], how)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.sum() < expected.size
    picture = visitor.source("map", "ImageRGBA", 1).data  # the first is the photo
    rim = np.asarray(picture["image"][0]) != 0
    assert rim.any()
    assert not rim[~expected].any()


def test_rims_are_the_cells_beside_others_and_of_a_large_map_a_megabyte_at_most() -> None:
    """Row 0 at the bottom; the middle of a region is left to the map."""
    grid = Grid(0.0, 0.0, 2.0, 3.0, 6, 7)
    mask = np.zeros(grid.shape, dtype=bool)
    mask[1:5, 2:6] = True
    found = rim_columns([(mask, "#0072b2")], grid)
    inner = np.zeros_like(mask)
    inner[2:4, 3:5] = True
    picture = np.asarray(found["image"][0])
    np.testing.assert_array_equal(picture != 0, mask & ~inner)
    assert picture[1, 2].tobytes() == bytes([0x00, 0x72, 0xB2, 255])
    assert (found["x"], found["y"], found["dw"], found["dh"]) == ([-1.0], [-1.5], [14.0], [18.0])
    large = Grid(0.0, 0.0, 2.0, 3.0, 1015, 702)
    found = rim_columns([(np.ones(large.shape, dtype=bool), "#0072b2")], large)
    assert found["image"][0].shape == (339, 234)
    assert found["dh"] == [339 * 3 * 3.0]
    assert rim_columns([], large)["image"] == []


# --- drawing --------------------------------------------------------------------------------


def test_what_a_tool_draws_becomes_a_region(explorer: Explorer) -> None:
    """As the browser sends it: a box, then a lasso; each is selected."""
    visitor = show(explorer)
    x0, x1, y0, y1 = box_of(explorer.shared, slice(2, 6), slice(1, 4))
    shape = {"type": "rect", "x0": x1, "x1": x0, "y0": y0, "y1": y1, "sx0": 1}
    geometry(visitor, shape, final=False)
    assert explorer.state.regions == ()
    geometry(visitor, shape)
    x, y = corners(explorer.shared)
    geometry(visitor, {"type": "poly", "x": x, "y": y, "sx": [1], "sy": [1]})
    kinds = [type(one.outline) for one in explorer.state.regions]
    assert kinds == [Rectangle, Polygon]
    assert explorer.state.region == "Region 2"
    assert explorer.regions.rows[0]["cells"] == "12 cells"


@pytest.mark.parametrize(
    "shape",
    [
        {"type": "rect", "x0": "1", "x1": 2, "y0": 3, "y1": 4},
        {"type": "rect", "x0": None, "x1": 2, "y0": 3, "y1": 4},
        {"type": "rect"},
        {"type": "poly", "x": "abc", "y": "def"},
        {"type": "poly", "x": [1.0, None, 2.0], "y": [1.0, 2.0, 3.0]},
        {"type": "poly", "x": [0.0] * 30_000, "y": [0.0] * 30_000},
        {"type": "span", "x": 3},
        {},
    ],
)
def test_what_no_tool_of_ours_sends_is_passed_over(
    explorer: Explorer, shape: dict[str, Any]
) -> None:
    """Messages are anybody's to write."""
    geometry(show(explorer), shape)
    assert explorer.state.regions == ()


def test_an_outline_around_nothing_says_so_and_the_next_one_takes_it_back(
    explorer: Explorer,
) -> None:
    """A drag of a few pixels is a slip, and no region of 0 cells."""
    visitor = show(explorer)
    grid = explorer.shared.scan.grid
    x, y = float(grid.x[2]) + 0.3 * grid.dx, float(grid.y[3]) + 0.3 * grid.dy
    slip = {"type": "rect", "x0": x, "x1": x + 0.1 * grid.dx, "y0": y, "y1": y + 0.1 * grid.dy}
    geometry(visitor, slip)
    assert explorer.state.regions == ()
    assert "No cell has its centre" in explorer.state.notice
    x0, x1, y0, y1 = box_of(explorer.shared, slice(2, 6), slice(1, 4))
    geometry(visitor, {"type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1})
    assert explorer.state.notice == ""


def test_a_polygon_around_no_centre_is_refused(explorer: Explorer) -> None:
    """Beside the grid, or between the centres of cells, as a trembling lasso is."""
    grid = explorer.shared.scan.grid
    x, y = corners(explorer.shared)
    beside = [one - 20 * grid.width * grid.dx for one in x]
    for places in (beside, [x[0], x[0] + 0.4 * grid.dx, x[0]]):
        with pytest.raises(ParameterError, match="No cell has its centre inside"):
            add_polygon(explorer.shared, explorer.state, places, y)
    assert explorer.state.regions == ()


def test_taps_are_corners_while_a_polygon_is_drawn(explorer: Explorer) -> None:
    """They pick no cells meanwhile; a click elsewhere does."""
    visitor = show(explorer)
    grid = explorer.shared.scan.grid
    (tool,) = visitor.figure("map").select({"type": PolySelectTool})
    visitor.change(tool, tags=[True])
    assert explorer.regions.drawing == "polygon"
    visitor.tap("map", float(grid.x[3]), float(grid.y[4]))
    assert explorer.state.cell is None
    visitor.change(tool, tags=[False])
    assert explorer.regions.drawing == ""
    visitor.tap("map", float(grid.x[3]), float(grid.y[4]))
    assert explorer.state.cell == (4, 3)


def test_drawing_tools_leave_plot_and_selection_alone(explorer: Explorer) -> None:
    """They select no glyphs, and the map begins with being moved, not with a polygon."""
    plot = show(explorer).figure("map")
    for tool in plot.select({"type": BoxSelectTool}):
        assert tool.renderers == []
    assert plot.toolbar.active_tap is None


# --- the list -------------------------------------------------------------------------------


def test_the_visible_part_of_the_map_becomes_a_region_by_a_button(explorer: Explorer) -> None:
    """Without a mouse, too; what is seen beyond the grid is cut off."""
    grid = explorer.shared.scan.grid
    left, bottom, right, top = grid.bounds
    explorer.regions._handle_msg("visible")
    assert explorer.state.regions[0].outline == Rectangle(*map(round, (left, bottom, right, top)))
    x0, x1, y0, y1 = box_of(explorer.shared, slice(2, 6), slice(1, 4))
    explorer.state.map_range = (x0, x1, y0, y1)
    explorer.regions._handle_msg("visible")
    assert [row["cells"] for row in explorer.regions.rows] == [f"{grid.size} cells", "12 cells"]
    explorer.state.map_range = (left - 9e6, left - 8e6, y0, y1)
    explorer.regions._handle_msg("visible")
    assert len(explorer.state.regions) == 2
    assert explorer.regions.complaint.startswith("No cell has its centre")


def test_a_region_is_renamed_selected_hidden_and_removed(explorer: Explorer) -> None:
    """By the messages of the list; what hangs on the name goes with it."""
    panel, state = explorer.regions, explorer.state
    add_cells(explorer, slice(1, 4), slice(2, 8))
    add_cells(explorer, slice(4, 8), slice(2, 8))
    panel._handle_msg({"hide": "Region 2"})
    panel._handle_msg({"rename": "Region 2", "as": "  <b>robe</b> "})
    assert [one.name for one in state.regions] == ["Region 1", "<b>robe</b>"]
    assert (state.hidden_regions, state.region) == (("<b>robe</b>",), "<b>robe</b>")
    assert panel.rows[1]["cells"] == "24 cells"
    panel._handle_msg({"rename": "Region 1", "as": "<b>robe</b>"})
    assert "Another region is called" in panel.complaint
    panel._handle_msg({"rename": "Region 1", "as": " "})
    assert "1 to 200 printable letters" in panel.complaint
    panel._handle_msg({"select": "Region 1"})
    assert (state.region, panel.rows[0]["is_selected"]) == ("Region 1", True)
    panel._handle_msg({"select": "nobody"})
    assert state.region == ""
    panel._handle_msg({"remove": "<b>robe</b>"})
    assert ([one.name for one in state.regions], state.hidden_regions) == (["Region 1"], ())
    assert len(panel.rows) == 1


@pytest.mark.parametrize(
    "message",
    [None, 3, "x", {}, {"from": "1", "to": None}, {"from": True, "to": 2}, {"rename": 3, "as": ""},
     {"from": float("nan"), "to": None}, {"hide": "nobody"}, {"remove": ["a"]}],
)  # fmt: skip
def test_messages_that_no_list_of_ours_sends_are_passed_over(
    explorer: Explorer, message: Any
) -> None:
    """The websocket is anybody's."""
    explorer.regions._handle_msg(message)
    assert (explorer.state.regions, explorer.state.hidden_regions) == ((), ())


def test_limits_without_meaning_are_refused_in_a_sentence(explorer: Explorer) -> None:
    """None, or the lower one above the other."""
    for low, high in ((None, None), (3, 2)):
        explorer.regions._handle_msg({"from": low, "to": high})
        assert explorer.regions.complaint.startswith("A threshold needs")
    explorer.regions._handle_msg({"from": 1, "to": 2.5})
    assert explorer.regions.complaint == ""
    assert explorer.state.regions[0].outline.low == 1


def test_there_is_room_for_twelve_and_names_are_not_given_twice(explorer: Explorer) -> None:
    """Colours begin anew after six; then lines are dashed."""
    visitor = show(explorer)
    for _ in range(MAX_REGIONS):
        add_visible(explorer.shared, explorer.state)
    with pytest.raises(ParameterError, match="room for 12 regions"):
        add_visible(explorer.shared, explorer.state)
    dashes = [line.glyph.line_dash for line in region_lines(visitor)]
    assert dashes[:6] == [[]] * 6
    assert all(dashes[6:])
    assert colours_of(explorer.state.regions)[6] == ELEMENT_COLOURS[0]
    remove_region(explorer.state, "Region 3")
    add_visible(explorer.shared, explorer.state)
    assert explorer.state.regions[-1].name == "Region 3"


@pytest.mark.parametrize(
    "regions",
    [
        [],
        ("a",),
        (Region("", Rectangle(0, 0, 1, 1)),),
        (Region("a", Rectangle(0, 0, 0, 1)),),
        (Region("a", Polygon(((0, 0), (1, 1)))),),
        (Region("a", Rectangle(0, 0, 1, 1)), Region("a", Rectangle(0, 0, 2, 1))),
        tuple(Region(str(i), Rectangle(0, 0, 1, 1)) for i in range(MAX_REGIONS + 1)),
    ],
)
def test_a_state_takes_no_regions_without_meaning(regions: Any) -> None:
    """Set from Python in a notebook: at once, and not when they are drawn."""
    with pytest.raises(ParameterError):
        ViewState(regions=regions)


def test_names_are_kept_when_a_region_is_renamed_to_itself(explorer: Explorer) -> None:
    """Enter in an unchanged field is no error."""
    add_cells(explorer, slice(1, 4), slice(2, 8))
    before = explorer.state.regions
    rename_region(explorer.state, "Region 1", "Region 1")
    assert explorer.state.regions == before


# --- maps of thresholds -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layer": "standard error", "background": "snip"},
        {"smooth_map": True, "sigma": 2.25, "follow_resolution": True, "per_second": True},
    ],
)
def test_the_name_of_a_map_says_all_of_it(shared: SharedScan, changes: dict[str, Any]) -> None:
    """A colleague's link shows the same cells."""
    state = ViewState(window=(6.125, 6.5), **changes)
    asked = asked_by(shared, state)
    name = name_of_map(asked)
    assert map_named(shared, name, method=asked.method, lag=asked.lag) == asked


def test_an_element_names_a_map_too(shared: SharedScan) -> None:
    """As in presets written by hand."""
    found = map_named(shared, "iron", method="linear", lag=0.0)
    assert found.window == shared.elements.line("Fe").window


# --- the table ----------------------------------------------------------------------------------


def test_the_table_has_net_counts_a_cell_with_their_errors(explorer: Explorer) -> None:
    """By dense matrices and the window's weights."""
    shared, state = explorer.shared, explorer.state
    state.elements = ("Fe", "Pb La")
    masks = [
        add_cells(explorer, slice(1, 7), slice(2, 8)),
        add_cells(explorer, slice(8, 12), slice(0, 3)),
    ]
    found = compared(shared, state)
    assert [name for name, _ in found.windows] == ["Fe Ka", "Pb La"]
    assert [n for *_, n in found.regions] == [36, 12]
    for mask, row in zip(masks, found.counts, strict=True):
        mean, variance = plain(shared, mask, state)
        for (_, window), counts in zip(found.windows, row, strict=True):
            net = shared.scan.window_weights(*window, background="sides").net
            assert counts.net == pytest.approx(net @ mean, rel=1e-6, abs=1e-9)
            assert counts.error == pytest.approx(np.sqrt(net**2 @ variance), rel=1e-6)


def test_without_elements_the_energy_window_is_compared(explorer: Explorer) -> None:
    """A table of nothing would look broken."""
    add_cells(explorer, slice(1, 7), slice(2, 8))
    found = compared(explorer.shared, explorer.state)
    assert found.windows == (("Energy window", explorer.state.window),)


def test_names_in_the_table_are_text(explorer: Explorer) -> None:
    """They come from links."""
    add_cells(explorer, slice(1, 7), slice(2, 8))
    rename_region(explorer.state, "Region 1", "<img src=x onerror=alert(1)>")
    text = table_html(compared(explorer.shared, explorer.state))
    assert "<img" not in text
    assert html.escape("<img src=x onerror=alert(1)>") in text


def test_the_csv_holds_the_table_and_starts_no_formula(explorer: Explorer, tmp_path: Any) -> None:
    """A line for each region and element; full digits."""
    shared, state = explorer.shared, explorer.state
    state.elements = ("Fe", "Ca")
    add_cells(explorer, slice(1, 7), slice(2, 8))
    rename_region(state, "Region 1", "=1+1")
    found = compared(shared, state)
    write_table(found, Download(tmp_path / "a.csv"))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[:3] == ["region", "cells", "line"]
    assert [row[:3] for row in rows] == [["'=1+1", "36", "Fe Ka"], ["'=1+1", "36", "Ca Ka"]]
    assert [float(row[5]) for row in rows] == [one.net for one in found.counts[0]]


def test_a_region_whose_map_is_gone_costs_its_own_row_alone(explorer: Explorer) -> None:
    """The others are compared, and a sentence says why; nothing fails."""
    visitor = show(explorer)
    add_cells(explorer, slice(1, 7), slice(2, 8))
    wrong = Region("wrong", Threshold("moonlight", 1.0, None))
    explorer.state.regions = (*explorer.state.regions, wrong)
    found = compared(explorer.shared, explorer.state)
    assert [name for name, *_ in found.regions] == ["Region 1"]
    assert "moonlight" in found.complaints[0]
    assert "moonlight" in explorer.state.notice
    assert [row["cells"] for row in explorer.regions.rows] == ["36 cells", "no such map"]
    assert legend(visitor)[4:] == ["Region 1 · 36 cells"]


def test_regions_are_exported_as_spectra(explorer: Explorer) -> None:
    """The masks that the page has, by name."""
    mask = add_cells(explorer, slice(1, 7), slice(2, 8))
    kind = export_kind("a.csv", "spectra")
    options = export_options(CHOICES["regions"], kind, explorer.shared, explorer.state)
    assert list(options["regions"]) == ["Region 1"]
    np.testing.assert_array_equal(options["regions"]["Region 1"], mask)


# --- in a session -------------------------------------------------------------------------------


def in_session(shared: SharedScan, scenario: Callable[[Explorer, Session], Any]) -> None:
    """Let somebody do something on a server."""

    async def run() -> None:
        made: list[Explorer] = []

        def build() -> pn.viewable.Viewable:
            made.append(Explorer(shared))
            return pn.Column(made[0].views(), made[0].controls())

        async with served(build) as session:
            await scenario(made[0], session)

    asyncio.run(run())


def test_on_a_server_lines_and_table_are_computed_beside_the_event_loop(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A quarter of a million cells take seconds, in which nobody else may wait."""
    monkeypatch.setattr("dashboard.downloads._root", lambda: tmp_path)

    async def scenario(explorer: Explorer, session: Session) -> None:
        await session.do(lambda: add_cells(explorer, slice(1, 7), slice(2, 8)))
        assert explorer.spectrum.regions.lines == []
        assert region_lines(session) == []
        await until(lambda: len(region_lines(session)) == 1)
        await until(lambda: explorer.regions.rows[0]["cells"] == "36 cells")
        await session.do(lambda: explorer.compare.button.param.trigger("clicks"))
        await until(lambda: explorer.compare.comparison is not None)
        (text,) = (
            pane.object
            for pane in explorer.compare.dialog.select(pn.pane.HTML)
            if "<table" in pane.object
        )
        assert re.search(r"Region 1</th><td>36</td><td>[\d.,]+ ± [\d.]+</td>", text)
        assert len(list(tmp_path.iterdir())) == 1
        await session.do(lambda: explorer.state.param.update(elements=("Fe",)))
        await until(lambda: explorer.compare.comparison.windows[0][0] == "Fe Ka")
        await until(lambda: len(list(tmp_path.iterdir())) == 1)

    in_session(shared, scenario)
    assert list(tmp_path.iterdir()) == [], "what was made for a visitor leaves with them"


def test_a_view_that_begins_with_regions_draws_them_once_the_page_is_there(
    shared: SharedScan,
) -> None:
    """As a link opens it; before the browser has the page, changes would get lost."""
    x0, x1, y0, y1 = box_of(shared, slice(1, 7), slice(2, 8))
    state = ViewState(
        regions=(Region("Robe", Rectangle(x0, y0, x1, y1)), Region("t", Threshold("Fe", 3, None)))
    )

    async def run() -> None:
        def build() -> pn.viewable.Viewable:
            return Explorer(shared, state=state).views()

        async with served(build) as session:
            await until(lambda: len(region_lines(session)) == 2)
            await until(lambda: len(session.source("map", "ImageRGBA", 1).data["image"]) == 1)
            assert legend(session)[4] == "Robe · 36 cells"
            assert outlines(session, "map")["name"] == ["Robe"]

    asyncio.run(run())


# --- sigma --------------------------------------------------------------------------------------


def test_sigma_is_suggested_for_the_selected_region(explorer: Explorer) -> None:
    """From the spectra behind its cells, as often as they are; offered while one is selected."""
    dialog, shared, state = explorer.suggestion, explorer.shared, explorer.state
    dialog.button.param.trigger("clicks")
    assert dialog._whose.options == ["what is picked", "the whole scan"]
    dialog.dialog.open = False
    mask = add_cells(explorer, slice(1, 7), slice(2, 8))
    dialog.button.param.trigger("clicks")
    assert dialog._whose.options == ["what is picked", "the selected region", "the whole scan"]
    dialog._whose.value = "the selected region"
    weights = shared.scan.operator(state.method, lag=shared.lag_corrected(state.correct_lag))
    inside = np.flatnonzero(weights.spectrum_weights(mask))
    assert dialog.suggestion.n_spectra == len(inside)
    assert dialog.suggestion.n_counts == shared.scan.spectra(inside).sum()
    state.region = ""
    dialog.dialog.open = False
    dialog.button.param.trigger("clicks")
    assert dialog._whose.value == "what is picked"


def test_lines_come_one_after_the_other_where_they_take_long(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million cells each takes seconds: none waits for the others, and each is made once."""
    asked = []

    def slowly(*args: Any, **options: Any) -> Any:
        asked.append(args[1].name)
        return spectrum_of(*args, **options)

    monkeypatch.setattr("dashboard.region_lines._AT_ONCE_S", -1.0)
    visitor = show(explorer)
    monkeypatch.setattr("dashboard.region_lines.spectrum_of", slowly)
    shown = []
    monkeypatch.setattr(
        explorer.spectrum.regions, "_changed", lambda: shown.append(len(legend(visitor)) - 4)
    )
    x0, x1, y0, y1 = box_of(explorer.shared, slice(1, 7), slice(2, 8))
    explorer.state.regions = tuple(
        Region(name, Rectangle(x0, y0, x1 - number, y1)) for number, name in enumerate("abc")
    )
    assert asked == ["a", "b", "c"]
    assert shown == [1, 2, 3]
    assert [one.name for one in explorer.spectrum.regions.lines] == ["a", "b", "c"]
