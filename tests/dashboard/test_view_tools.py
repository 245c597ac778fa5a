"""Undo, redo, and what keys do to the view."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from visitor import Session, served

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.state import ViewState
from dashboard.undo import Undo
from dashboard.view import picked_place
from dashboard.view_tools import ViewTools, move_pick, zoom_map
from dashboard.zoom import extent_of
from maxrf_core.regions import Rectangle, Region

ROBE = Region("robe", Rectangle(0.0, 0.0, 10.0, 5.0))


@pytest.fixture
def state() -> ViewState:
    """A view."""
    return ViewState(window=(6.2, 6.6))


def test_steps_are_taken_back_and_forth(state: ViewState) -> None:
    """Windows, elements and regions, in their order; what is no step of these stays."""
    undo = Undo(state)
    assert (undo.can_undo, undo.can_redo) == (False, False)
    state.window = (3.0, 4.0)
    state.elements = ("Fe",)
    state.param.update(regions=(ROBE,), region="robe")
    state.sigma = 3.0
    seen = [(state.window, state.elements, state.regions)]
    for _ in range(3):
        assert undo.can_undo
        undo.undo()
        seen.append((state.window, state.elements, state.regions))
    assert not undo.can_undo
    assert seen[1:] == [
        ((3.0, 4.0), ("Fe",), ()),
        ((3.0, 4.0), (), ()),
        ((6.2, 6.6), (), ()),
    ]
    assert (state.sigma, state.region) == (3.0, "")
    for expected in seen[-2::-1]:
        undo.redo()
        assert (state.window, state.elements, state.regions) == expected
    assert not undo.can_redo


def test_a_new_step_ends_what_was_taken_back(state: ViewState) -> None:
    """There is one past, not a tree of them."""
    undo = Undo(state)
    state.window = (3.0, 4.0)
    undo.undo()
    assert undo.can_redo
    state.window = (8.0, 9.0)
    assert not undo.can_redo
    undo.redo()
    assert state.window == (8.0, 9.0)
    undo.undo()
    assert state.window == (6.2, 6.6)


def test_nothing_is_done_where_there_is_no_step(state: ViewState) -> None:
    """And the number of steps is bounded."""
    undo = Undo(state)
    undo.undo()
    undo.redo()
    assert state.window == (6.2, 6.6)
    for number in range(1, 151):
        state.window = (float(number), float(number) + 1.0)
    for _ in range(150):
        undo.undo()
    assert state.window == (50.0, 51.0)
    assert not undo.can_undo


def test_a_drag_is_one_step(shared: SharedScan) -> None:
    """Its many values come within a moment; an undo in between takes all of it back."""
    explorer = Explorer(shared)
    before = explorer.state.window

    async def play() -> None:
        async with served(explorer.views) as session:
            await scenario(session)

    async def scenario(session: Session) -> None:
        tools = Undo(explorer.state)
        for end in (7.0, 7.2, 7.4):
            await session.do(lambda e=end: setattr(explorer.state, "window", (6.0, e)))
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.6)
        assert tools.can_undo
        await session.do(tools.undo)
        assert explorer.state.window == before
        assert not tools.can_undo
        await session.do(lambda: setattr(explorer.state, "window", (6.0, 8.0)))
        await session.do(tools.undo)
        assert explorer.state.window == before

    asyncio.run(play())


def test_the_pick_moves_by_cells_and_stays_on_the_grid(shared: SharedScan) -> None:
    """From a spectrum it goes to the cell beside that of its position."""
    state = ViewState(spectrum=7)
    height, width = shared.scan.grid.shape
    row, column = shared.scan.grid.cell_at(*picked_place(shared, state))
    move_pick(shared, state, 1, 2)
    assert state.cell == (row + 1, column + 2)
    move_pick(shared, state, -10 * height, 10 * width)
    assert state.cell == (0, width - 1)


def test_the_map_is_zoomed_around_what_is_picked(shared: SharedScan) -> None:
    """Closer and back to all of it; the pick keeps its place in the frame where it has one."""
    x0, x1, y0, y1 = extent_of(shared.scan, "map_range")
    state = ViewState(cell=(5, 7))
    x, y = picked_place(shared, state)
    zoom_map(shared, state, 2.0)
    seen = state.map_range
    assert (seen[0] + seen[1]) / 2 == pytest.approx(x, abs=1e-3 * (x1 - x0))
    assert (seen[2] + seen[3]) / 2 == pytest.approx(y, abs=1e-3 * (y1 - y0))
    assert seen[1] - seen[0] == pytest.approx((x1 - x0) / 2, rel=1e-3)
    assert seen[3] - seen[2] == pytest.approx((y1 - y0) / 2, rel=1e-3)
    zoom_map(shared, state, 0.5)
    assert state.map_range is None
    for _ in range(60):
        zoom_map(shared, state, 2.0)
    assert state.map_range[1] > state.map_range[0]
    state.map_range = (x1 - 0.2 * (x1 - x0), x1, y1 - 0.2 * (y1 - y0), y1)  # the pick is not in it
    zoom_map(shared, state, 2.0)
    assert sum(state.map_range[:2]) / 2 == pytest.approx(x1 - 0.1 * (x1 - x0), rel=1e-3)


@pytest.fixture
def tools(shared: SharedScan, state: ViewState) -> Iterator[ViewTools]:
    """The tools of a view."""
    return ViewTools(shared, state)


@pytest.mark.parametrize(
    ("message", "parameter", "expected"),
    [
        ({"view": "gallery"}, "workspace", "gallery"),
        ({"move": [1, 0]}, "cell", "other"),
        ({"zoom": 1}, "map_range", "other"),
        ({"view": "/etc/passwd"}, "workspace", "same"),
        ({"view": 3}, "workspace", "same"),
        ({"move": [1]}, "cell", "same"),
        ({"move": [1, "2"]}, "cell", "same"),
        ({"move": [10**9, 0]}, "cell", "same"),
        ({"zoom": 10**9}, "map_range", "same"),
        ({"zoom": float("nan")}, "map_range", "same"),
        (None, "window", "same"),
        ("no such", "window", "same"),
        ([], "window", "same"),
    ],
)
def test_what_the_browser_asks_for(
    tools: ViewTools, state: ViewState, message: Any, parameter: str, expected: str
) -> None:
    """Only what a page of ours sends does anything."""
    before = getattr(state, parameter)
    tools._handle_msg(message)
    now = getattr(state, parameter)
    if expected in ("same", "other"):
        assert (now == before) == (expected == "same")
    else:
        assert now == expected


def test_buttons_tell_whether_there_is_a_step(tools: ViewTools, state: ViewState) -> None:
    """And they are there on a page only: a notebook has keys of its own."""
    assert not tools.visible
    tools.show()
    assert (tools.visible, tools.on_page) == (True, True)
    assert (tools.can_undo, tools.can_redo) == (False, False)
    state.window = (3.0, 4.0)
    assert (tools.can_undo, tools.can_redo) == (True, False)
    tools._handle_msg("undo")
    assert (tools.can_undo, tools.can_redo) == (False, True)
    tools._handle_msg("redo")
    assert state.window == (3.0, 4.0)
