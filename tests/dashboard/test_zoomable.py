"""Zoom and pan: each plot gets the picture of what is seen of it, and of nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
import pytest
from bokeh.models import ColorBar
from visitor import Session, Visitor, served, show, until

from dashboard import Explorer, energymap
from dashboard.data import SharedScan
from dashboard.pixels import Picture, View, block_mean, bounds_of, grid_bins, to_levels
from dashboard.scaling import scale_map
from dashboard.zoomable import Screen


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take each map for one that is too large to be sent whole."""
    monkeypatch.setattr(energymap, "_WHOLE_CELLS", 50)


def part_of(explorer: Explorer) -> dict[str, float]:
    """Return ranges over some cells in the lower right of the grid."""
    grid = explorer.shared.scan.grid
    left, bottom, right, top = grid.bounds
    return {
        "x0": left + 0.45 * (right - left),
        "x1": left + 0.75 * (right - left),
        "y0": bottom + 0.2 * (top - bottom),
        "y1": bottom + 0.4 * (top - bottom),
    }


def from_afar(explorer: Explorer) -> dict[str, float]:
    """Return ranges in which the grid is so small that its cells are averaged."""
    left, bottom, right, top = explorer.shared.scan.grid.bounds
    across, up = 20 * (right - left), 20 * (top - bottom)
    return {"x0": left - across, "x1": right + across, "y0": bottom - up, "y1": top + up}


def is_drawn(
    visitor: Visitor, explorer: Explorer, ranges: dict[str, float], size: tuple[int, int]
) -> bool:
    """Return whether the map's picture has all that ranges show in a frame of some pixels.

    And nothing else at that place: the means of the scan's own map, in the same bins.
    """
    state, grid = explorer.state, explorer.shared.scan.grid
    values = explorer.shared.scan.energy_map(*state.window, method=state.method)
    scaled = scale_map(values, state.clip)
    bounds = tuple(ranges[name] for name in ("x0", "y0", "x1", "y1"))
    rows, columns = grid_bins(grid, bounds, View.over(bounds, *size).pixel)
    wanted = to_levels(block_mean(values, rows, columns), scaled.low, scaled.high)
    left, bottom, right, top = bounds_of(grid, rows, columns)
    levels, edges = visitor.picture("map")
    width, height = grid.dx * columns.cells, grid.dy * rows.cells
    i, j = round((bottom - edges[1]) / height), round((left - edges[0]) / width)
    upper = edges[0] + levels.shape[1] * width, edges[1] + levels.shape[0] * height
    return (
        np.allclose(edges[2:], upper)
        and edges[0] <= left + 1e-6 * width
        and edges[1] <= bottom + 1e-6 * height
        and edges[2] >= right - 1e-6 * width
        and edges[3] >= top - 1e-6 * height
        and np.array_equal(levels[i : i + wanted.shape[0], j : j + wanted.shape[1]], wanted)
    )


Scenario = Callable[[Session, Explorer], Awaitable[None]]


def in_session(shared: SharedScan, scenario: Scenario) -> None:
    """Play a scenario of somebody with an explorer before them."""

    async def play() -> None:
        async with served(lambda: Explorer(shared)) as session:
            await scenario(session, session.shown)
            assert session.shown.state.notice == ""

    asyncio.run(play())


async def zoomed_to(session: Session, explorer: Explorer, ranges: dict[str, float]) -> None:
    """Zoom out, so that cells are averaged, and in again, so that a part of them is sent."""
    await session.do(lambda: session.zoom("map", **from_afar(explorer)))
    await until(lambda: session.image().shape != (12, 9))
    await session.do(lambda: session.zoom("map", **ranges))
    await until(lambda: is_drawn(session, explorer, ranges, (250, 180)))
    assert session.image().size < 12 * 9


# --- the map --------------------------------------------------------------------------------


def test_a_small_map_is_sent_whole_whatever_is_seen(shared: SharedScan) -> None:
    """With the values for the hover; a zoom costs no message."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    before = visitor.image()
    sent: list[object] = []
    visitor.zoom("map", **part_of(explorer))
    visitor.document.on_change(sent.append)
    visitor.lay_out("map", 700, 500)
    assert visitor.image() is before
    assert {event.attr for event in sent} <= {"inner_width", "inner_height"}
    np.testing.assert_array_equal(
        visitor.source("map", "Image").data["value"][0], explorer.energy_map.values
    )


@pytest.mark.usefixtures("large")
def test_a_large_map_is_sent_as_it_is_seen(shared: SharedScan) -> None:
    """Cells as they are where they are larger than pixels, without their values."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    levels, bounds = visitor.picture("map")
    assert levels.shape == (12, 9)
    assert bounds == pytest.approx(shared.scan.grid.bounds)
    assert "value" not in visitor.source("map", "Image").data
    visitor.lay_out("map", 300, 200)
    visitor.zoom("map", **from_afar(explorer))
    assert visitor.image().shape != (12, 9)
    ranges = part_of(explorer)
    visitor.zoom("map", **ranges)
    assert visitor.image().size < 12 * 9
    assert is_drawn(visitor, explorer, ranges, (300, 200))


@pytest.mark.usefixtures("large")
def test_a_map_of_more_cells_than_pixels_is_averaged(shared: SharedScan) -> None:
    """A bin a pixel, and the edges of the map where they were."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    left, bottom, right, top = shared.scan.grid.bounds
    across, up = 10 * (right - left), 11 * (top - bottom)
    ranges = {"x0": left - across, "x1": right + across, "y0": bottom - up, "y1": top + up}
    visitor.lay_out("map", 120, 90)
    visitor.zoom("map", **ranges)
    levels, bounds = visitor.picture("map")
    assert levels.shape == (4, 6)  # 90 pixels for 23 heights, 120 for 21 widths
    assert bounds == pytest.approx(shared.scan.grid.bounds)
    assert is_drawn(visitor, explorer, ranges, (120, 90))


@pytest.mark.usefixtures("large")
def test_the_zoom_is_kept_when_the_window_changes(shared: SharedScan) -> None:
    """The new map, the same part of it; its colours are those of the whole map."""

    async def scenario(session: Session, explorer: Explorer) -> None:
        ranges = part_of(explorer)
        plot = session.figure("map")
        await session.do(lambda: session.lay_out("map", 250, 180))
        await zoomed_to(session, explorer, ranges)
        seen = (plot.x_range.start, plot.x_range.end, plot.y_range.start, plot.y_range.end)
        await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
        await until(lambda: "3.500–3.900" in session.title("map"))
        assert is_drawn(session, explorer, ranges, (250, 180))
        assert seen == (plot.x_range.start, plot.x_range.end, plot.y_range.start, plot.y_range.end)
        whole = scale_map(shared.scan.energy_map(3.5, 3.9), explorer.state.clip)
        (bar,) = plot.select({"type": ColorBar})
        assert (bar.color_mapper.low, bar.color_mapper.high) == (whole.low, whole.high)

    in_session(shared, scenario)


@pytest.mark.usefixtures("large")
def test_a_zoom_computes_no_map(shared: SharedScan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server keeps the last values; a part of them is a copy of some cells."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    monkeypatch.setattr(shared.scan, "energy_map", None)
    visitor.lay_out("map", 300, 200)
    for ranges in (from_afar(explorer), part_of(explorer)):
        visitor.zoom("map", **ranges)
    assert visitor.image().size < 12 * 9
    assert explorer.state.notice == ""


@pytest.mark.usefixtures("large")
def test_other_colours_compute_no_map(shared: SharedScan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slider of percentiles scales the values that are there."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    values = explorer.energy_map.values
    monkeypatch.setattr(shared.scan, "energy_map", None)
    explorer.state.clip = (20.0, 70.0)
    (bar,) = visitor.figure("map").select({"type": ColorBar})
    limits = np.percentile(values.astype(float), (20, 70))
    assert (bar.color_mapper.low, bar.color_mapper.high) == pytest.approx(tuple(limits))
    assert explorer.state.notice == ""


@pytest.mark.usefixtures("large")
def test_a_view_that_moves_while_a_map_is_computed_gets_its_part(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture made for where it was is not the last one."""
    gate, began = threading.Event(), threading.Event()
    compute = shared.scan.energy_map

    def slow(*window: float, **options: Any) -> npt.NDArray:
        began.set()
        assert gate.wait(20)
        return compute(*window, **options)

    async def scenario(session: Session, explorer: Explorer) -> None:
        await session.do(lambda: session.lay_out("map", 250, 180))
        await session.do(lambda: session.zoom("map", **from_afar(explorer)))
        await until(lambda: session.image().shape != (12, 9))
        monkeypatch.setattr(shared.scan, "energy_map", slow)
        await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
        await until(began.is_set)
        ranges = part_of(explorer)
        await session.do(lambda: session.zoom("map", **ranges))
        await until(lambda: session.picture("map")[1][0] > shared.scan.grid.bounds[0])
        assert "3.500" not in session.title("map")  # the old map, but its new part, at once
        gate.set()
        await until(lambda: "3.500–3.900" in session.title("map"))
        await until(lambda: is_drawn(session, explorer, ranges, (250, 180)))

    in_session(shared, scenario)


# --- the pointer on a large map -------------------------------------------------------------


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("size", [(500, 400), (60, 50)], ids=["cells", "means"])
def test_the_pointer_is_told_the_value_of_its_cell(
    shared: SharedScan, size: tuple[int, int]
) -> None:
    """Of the very cell, to the last digit shown, also where a pixel is the mean of several."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    grid = shared.scan.grid
    errors = shared.scan.energy_map_error(*explorer.state.window)
    left, bottom, right, top = grid.bounds
    visitor.lay_out("map", *size)
    if size == (60, 50):
        visitor.zoom("map", x0=left - 1e6, x1=right + 1e6, y0=bottom - 1e6, y1=top + 1e6)
    for row, column in ((0, 0), (11, 8), (5, 2)):
        x, y = grid.x[column] + 0.49 * grid.dx, grid.y[row] - 0.49 * grid.dy
        visitor.point("map", x, y)
        told = visitor.answer()
        assert (told["x"], told["y"]) == (grid.x[column], grid.y[row])
        value = explorer.energy_map.values[row, column]
        assert float(told["shown"].replace(",", "")) == pytest.approx(value, abs=0.005)
        counts, error = map(float, told["counts"].split(" ± "))
        assert counts == pytest.approx(value, abs=0.006)
        assert error == pytest.approx(errors[row, column], abs=0.006)
        assert ("of the cell" in told["drawn"]) == (size == (500, 400))


@pytest.mark.usefixtures("large")
def test_the_value_under_a_still_pointer_follows_the_window(shared: SharedScan) -> None:
    """The box is dragged by keys or from Python, the pointer rests on the map."""
    explorer = Explorer(shared)
    visitor = show(explorer)
    grid = shared.scan.grid
    visitor.point("map", grid.x[4], grid.y[6])
    first = visitor.answer()["counts"]
    explorer.state.window = (3.516, 3.85)
    told = float(visitor.answer()["counts"].split(" ± ")[0])
    assert told == pytest.approx(explorer.energy_map.values[6, 4], abs=0.005)
    assert visitor.answer()["counts"] != first


@pytest.mark.usefixtures("large")
def test_a_pointer_beside_the_map_asks_nothing(shared: SharedScan) -> None:
    """Outside the frame Bokeh tells no coordinates; outside the grid there is no cell."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    before = visitor.answer()
    for x, y in ((None, None), (-1e9, 0.0), (float("nan"), 5.0)):
        visitor.point("map", x, y)
    assert visitor.answer() == before


@pytest.mark.usefixtures("large")
def test_a_cell_without_a_datum_says_so(holed: SharedScan) -> None:
    """Not nan."""
    explorer = Explorer(holed)
    visitor = show(explorer.energy_map)
    row, column = np.argwhere(np.isnan(explorer.energy_map.values))[0]
    visitor.point("map", holed.scan.grid.x[column], holed.scan.grid.y[row])
    assert visitor.answer()["shown"] == visitor.answer()["counts"] == "no datum"


# --- positions ------------------------------------------------------------------------------


def around(shared: SharedScan, x: float, y: float) -> tuple[dict[str, float], Picture]:
    """Return ranges about a place, and the positions in a frame of 320 x 240 pixels of them."""
    view = View(x - 900, y - 675, x + 900, y + 675, 320, 240)
    ranges = {"x0": view.left, "x1": view.right, "y0": view.bottom, "y1": view.top}
    return ranges, shared.cloud.seen(view)


def is_shown(visitor: Visitor, wanted: Picture) -> bool:
    """Return whether the positions are drawn so."""
    levels, bounds = visitor.picture("positions")
    return np.array_equal(levels, wanted.levels) and np.allclose(bounds, wanted.bounds)


def test_positions_are_drawn_anew_for_a_zoom(shared: SharedScan) -> None:
    """On a server: the picture of the new range replaces the old one, at the new place."""

    async def scenario(session: Session, _explorer: Explorer) -> None:
        await session.do(lambda: session.lay_out("positions", 320, 240))
        x, y = shared.scan.positions[100]
        ranges, wanted = around(shared, x, y)
        assert wanted.levels.any()
        await session.do(lambda: session.zoom("positions", **ranges))
        await until(lambda: is_shown(session, wanted))

    in_session(shared, scenario)


def test_a_pan_within_the_margin_costs_nothing(shared: SharedScan) -> None:
    """The picture has an eighth of the view on each side, and is drawn anew after a sixteenth."""

    async def scenario(session: Session, explorer: Explorer) -> None:
        await session.do(lambda: session.lay_out("positions", 320, 240))
        x, y = shared.scan.positions[100]
        ranges, first = around(shared, x, y)
        await session.do(lambda: session.zoom("positions", **ranges))
        await until(lambda: is_shown(session, first))
        nearly, _ = around(shared, x + 90, y - 30)
        await session.do(lambda: session.zoom("positions", **nearly))
        await until(lambda: not explorer.positions._drawing._running)
        assert is_shown(session, first)
        far, second = around(shared, x - 1000, y)
        await session.do(lambda: session.zoom("positions", **far))
        await until(lambda: is_shown(session, second))

    in_session(shared, scenario)


# --- screens --------------------------------------------------------------------------------


@pytest.mark.usefixtures("large")
def test_each_screen_has_its_own_part(shared: SharedScan) -> None:
    """Two cells of a notebook: a zoom in one leaves the other as it is."""
    explorer = Explorer(shared)
    one, other = show(explorer.energy_map), show(explorer.energy_map)
    before = other.image()
    one.lay_out("map", 300, 200)
    for ranges in (from_afar(explorer), part_of(explorer)):
        one.zoom("map", **ranges)
        assert is_drawn(one, explorer, ranges, (300, 200))
    assert other.image() is before
    explorer.state.window = (3.516, 3.85)
    assert one.image().size < 12 * 9
    assert is_drawn(one, explorer, ranges, (300, 200))
    assert other.image().shape == (12, 9)
    assert other.image() is not before


def test_the_last_eight_screens_are_kept_up_to_date(shared: SharedScan) -> None:
    """A notebook's cell that runs again makes a new plot each time; the old ones cost nothing."""
    explorer = Explorer(shared)
    shown = [show(explorer.energy_map) for _ in range(10)]
    explorer.state.window = (3.516, 3.85)
    values = [visitor.source("map", "Image").data["value"][0] for visitor in shown]
    current = [np.array_equal(value, explorer.energy_map.values) for value in values]
    assert current == [False, False, *[True] * 8]


@pytest.mark.parametrize("change", [{"window": (3.516, 3.85)}, {"layer": "standard error"}])
def test_a_screen_that_is_left_behind_is_not_mistitled(
    shared: SharedScan, change: dict[str, Any]
) -> None:
    """Picture, title and colour bar stay together: iron under calcium's name would lie."""
    explorer = Explorer(shared)
    before, old_title = explorer.energy_map.values, explorer.energy_map.title
    shown = [show(explorer.energy_map) for _ in range(10)]
    explorer.state.param.update(**change)
    assert explorer.energy_map.title != old_title
    for number, visitor in enumerate(shown):
        values, title = (
            (before, old_title)
            if number < 2
            else (explorer.energy_map.values, explorer.energy_map.title)
        )
        np.testing.assert_array_equal(visitor.source("map", "Image").data["value"][0], values)
        scaled = scale_map(values, explorer.state.clip)
        np.testing.assert_array_equal(visitor.image(), scaled.levels)
        assert visitor.title("map") == title
        mapper = visitor.colour_bar().color_mapper
        assert (mapper.low, mapper.high) == (scaled.low, scaled.high)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("ratio", "told", "expected_size"),
    [
        (1.0, (300, 200), (300, 200)),
        (2.0, (300, 200), (600, 400)),
        (3.0, (300, 200), (600, 400)),
        (2.0, (1500, 800), (1500, 800)),
        (0.5, (300, 200), (300, 200)),
        (1.0, (4000, 4000), (2000, 2000)),
    ],
)
def test_a_sharp_screen_gets_more_pixels_within_reason(
    shared: SharedScan, ratio: float, told: tuple[int, int], expected_size: tuple[int, int]
) -> None:
    """A phone has two or three pixels for one of the page's; a wall of screens is cut short."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    (screen,) = explorer.energy_map._screens
    screen.ratio = ratio
    visitor.lay_out("map", *told)
    view = screen.view()
    assert (view.width, view.height) == expected_size


@pytest.mark.usefixtures("large")
def test_the_browser_tells_how_sharp_its_screen_is(shared: SharedScan) -> None:
    """When it says so, the pictures are drawn anew."""

    async def scenario(session: Session, explorer: Explorer) -> None:
        (screen,) = explorer.energy_map._screens
        assert screen.ratio == 1.0
        await session.do(lambda: session.lay_out("map", 300, 250))
        await session.do(lambda: setattr(pn.state.browser_info, "device_pixel_ratio", 2.0))
        assert screen.ratio == 2.0

    in_session(shared, scenario)


@pytest.mark.usefixtures("large")
def test_ranges_that_are_no_numbers_are_passed_over(shared: SharedScan) -> None:
    """The browser may tell anything; the picture stays."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    before = visitor.image()
    plot = visitor.figure("map")
    visitor.change(plot.x_range, start={"type": "number", "value": "nan"})
    assert visitor.image() is before
    assert explorer.energy_map._screens[0].view() is None


# --- no pile-up -----------------------------------------------------------------------------


def test_the_next_picture_waits_until_the_browser_has_drawn_the_last(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a slow line pictures would pile up for seconds; one is on its way, not twenty."""
    shown: list[Picture] = []
    show_picture = Screen.show

    def remember(screen: Screen, picture: Picture, **columns: Any) -> None:
        shown.append(picture)
        show_picture(screen, picture, **columns)

    async def scenario(session: Session, explorer: Explorer) -> None:
        source = session.source("positions", "Image")
        await session.do(lambda: session.lay_out("positions", 320, 240))
        await until(lambda: not explorer.positions._drawing._running)
        monkeypatch.setattr(Screen, "show", remember)
        monkeypatch.setattr("dashboard.zoomable._is_connected", lambda _document: True)
        x, y = shared.scan.positions[100]
        for step in range(20):
            ranges, last = around(shared, x - 400 * step, y)
            await session.do(lambda ranges=ranges: session.zoom("positions", **ranges))
            await asyncio.sleep(0.01)
        assert len(shown) == 1
        await session.do(lambda: session.change(source, tags=[1]))  # the browser's "drawn"
        await until(lambda: len(shown) == 2)
        await session.do(lambda: session.change(source, tags=[2]))
        await until(lambda: is_shown(session, last))
        assert len(shown) <= 3
        monkeypatch.setattr("dashboard.zoomable._is_connected", lambda _document: False)

    in_session(shared, scenario)


@pytest.mark.usefixtures("large")
def test_a_browser_that_never_answers_is_not_waited_for_long(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one lost message would stop the picture for good."""
    monkeypatch.setattr("dashboard.zoomable._PATIENCE_S", 0.05)

    async def scenario(session: Session, _explorer: Explorer) -> None:
        await session.do(lambda: session.lay_out("map", 250, 180))
        monkeypatch.setattr("dashboard.zoomable._is_connected", lambda _document: True)
        for window in ((3.5, 3.9), (6.2, 6.6), (8.0, 8.3)):
            await session.do(lambda w=window: session.change(session.box(), left=w[0], right=w[1]))
            await until(lambda w=window: f"{w[0]:.3f}–{w[1]:.3f}" in session.title("map"))

    in_session(shared, scenario)


@pytest.mark.usefixtures("large")
def test_a_drag_with_a_slow_computation_ends_at_the_last_window(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty moves, each slower to compute than the next comes: few maps, the last one right."""
    computed: list[tuple[float, float]] = []
    compute = shared.scan.energy_map
    slow = threading.Event()

    def remember(*window: float, **options: Any) -> npt.NDArray:
        computed.append(window)
        slow.wait(0.05)
        return compute(*window, **options)

    async def scenario(session: Session, explorer: Explorer) -> None:
        await session.do(lambda: session.lay_out("map", 250, 180))
        monkeypatch.setattr(shared.scan, "energy_map", remember)
        for step in range(30):
            low = round(5.0 + 0.01 * step, 4)
            await session.do(
                lambda low=low: session.change(session.box(), left=low, right=low + 0.4)
            )
            await asyncio.sleep(0.005)
        await until(lambda: session.title("map").startswith("5.290–5.690"))
        assert computed[-1] == (5.29, 5.69)
        assert len(computed) < 15
        plot = session.figure("map")
        x, y = plot.x_range, plot.y_range
        monkeypatch.setattr(shared.scan, "energy_map", compute)
        seen = {"x0": x.start, "x1": x.end, "y0": y.start, "y1": y.end}
        assert is_drawn(session, explorer, seen, (250, 180))

    in_session(shared, scenario)
