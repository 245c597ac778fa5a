"""What is seen of a plot is in the state, and the plot follows the state."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from visitor import Session, served, show, until

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.state import ViewState
from dashboard.zoom import extent_of, fitted, is_sensible, rounded
from maxrf_core import ParameterError

EXTENT = (1000.0, 9000.0, -300.0, 200.0)


def ranges(session: Any, name: str) -> tuple[float, ...]:
    """Return what a plot shows: x0, x1, y0, y1."""
    plot = session.figure(name)
    return plot.x_range.start, plot.x_range.end, plot.y_range.start, plot.y_range.end


def lay_out(session: Any, name: str, width: int, height: int) -> None:
    """Give a plot a frame, as the browser tells of it after it fitted the plot into it."""
    plot = session.figure(name)
    home = fitted(ranges(session, name), width, height)
    session.change(plot.x_range, start=home[0], end=home[1], reset_start=home[0], reset_end=home[1])
    session.change(plot.y_range, start=home[2], end=home[3], reset_start=home[2], reset_end=home[3])
    session.change(plot, inner_width=width, inner_height=height, tags=[*plot.tags, "fitted"])


def test_all_of_a_range_is_seen_in_any_frame() -> None:
    """At equal aspect, in the middle, and as large as can be."""
    assert fitted((0, 10, 0, 20), 100, 50) == (-15, 25, 0, 20)
    assert fitted((0, 10, 0, 20), 25, 100) == (0, 10, -10, 30)


@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6), y=st.floats(-1e6, 1e6))
def test_rounded_ends_show_the_same(low: float, span: float, y: float) -> None:
    """To less than a pixel, and short enough for an address."""
    seen = (low, low + span, y, y + 2 * span)
    found = rounded(seen)
    for one, two in zip(found, seen, strict=True):
        assert abs(one - two) <= 1e-4 * span
    assert found[0] < found[1]
    assert rounded((123_456.789, 223_456.789)) == (123457, 223457)


@pytest.mark.parametrize(
    "seen",
    [
        (math.nan, 2000, 0, 100),
        (1000, math.inf, 0, 100),
        (2000, 1000, 0, 100),
        (2000, 2000, 0, 100),
        (2000, 2000.001, 0, 100),
        (2000, 1e8, 0, 100),
        (9001, 9500, 0, 100),
        (2000, 3000),
        (),
        (2000, 3000, 0),
    ],
)
def test_what_no_plot_can_show_is_not_sensible(seen: tuple[float, ...]) -> None:
    """Nothing, a point, the universe, or the end of it."""
    assert not is_sensible(seen, EXTENT)
    assert is_sensible((2000, 3000, 0, 100), EXTENT)
    assert is_sensible((-90_000, 90_000, -9_000, 9_000), EXTENT)


@pytest.mark.parametrize(
    "value", [(1, 2), (2, 1, 0, 1), (0, math.nan, 0, 1), (0, math.inf, 0, 1), [0, 1, 0, 1], "0~1"]
)
def test_a_state_takes_no_range_that_makes_no_sense(value: Any) -> None:
    """From Python: the error says what was expected."""
    with pytest.raises(ParameterError, match=r"what is seen is .*; expected"):
        ViewState(map_range=value)
    assert ViewState(energy_range=(1, 2.5)).energy_range == (1, 2.5)


VIEWS = {"map": "map_range", "positions": "positions_range"}


@pytest.mark.parametrize(("name", "parameter"), VIEWS.items())
def test_a_zoom_is_told_to_the_state_and_a_reset_takes_it_back(
    shared: SharedScan, name: str, parameter: str
) -> None:
    """Once the plot stands still; before the browser has fitted it, it tells nothing."""
    left, right, bottom, top = extent_of(shared.scan, parameter)
    x0, x1 = left + 0.25 * (right - left), left + 0.5 * (right - left)
    y0, y1 = bottom + 0.25 * (top - bottom), bottom + 0.5 * (top - bottom)
    explorer = Explorer(shared)
    told: list[Any] = []
    explorer.state.param.watch(lambda event: told.append(event.new), parameter)

    async def scenario(session: Session) -> None:
        await session.do(lambda: session.zoom(name, x0=x0, x1=x1, y0=y0, y1=y1))
        await asyncio.sleep(0.4)
        assert told == []
        await session.do(lambda: explorer.state.param.trigger(parameter))  # back to where it was
        await session.do(lambda: lay_out(session, name, 400, 300))
        home = ranges(session, name)
        seen = fitted((x0, x1, y0, y1), 400, 300)
        await session.do(lambda: session.zoom(name, x0=seen[0], x1=seen[1], y0=seen[2], y1=seen[3]))
        told.clear()
        await until(lambda: told)
        assert told == [rounded(seen)]
        assert ranges(session, name) == pytest.approx(seen)  # the hand is not pulled back
        await session.do(lambda: session.zoom(name, x0=home[0], x1=home[1], y0=home[2], y1=home[3]))
        await until(lambda: len(told) == 2)
        assert told[1] is None

    async def play() -> None:
        async with served(explorer.views) as session:
            await scenario(session)

    asyncio.run(play())


@pytest.mark.parametrize(("name", "parameter"), VIEWS.items())
def test_a_plot_follows_the_state(shared: SharedScan, name: str, parameter: str) -> None:
    """Fitted to its frame; what it then shows is what the state asks for, and changes nothing."""
    left, right, bottom, top = extent_of(shared.scan, parameter)
    asked = (left, left + 0.5 * (right - left), bottom, bottom + 0.5 * (top - bottom))
    explorer = Explorer(shared)

    async def play() -> None:
        async with served(explorer.views) as session:
            await session.do(lambda: lay_out(session, name, 400, 300))
            home = ranges(session, name)
            await session.do(lambda: setattr(explorer.state, parameter, asked))
            assert ranges(session, name) == pytest.approx(fitted(asked, 400, 300))
            await asyncio.sleep(0.4)
            assert getattr(explorer.state, parameter) == asked
            await session.do(lambda: setattr(explorer.state, parameter, None))
            assert ranges(session, name) == pytest.approx(home)

    asyncio.run(play())


@pytest.mark.parametrize(("name", "parameter"), VIEWS.items())
def test_a_plot_begins_with_what_the_state_asks_for(
    shared: SharedScan, name: str, parameter: str
) -> None:
    """The first picture is of that part; the browser fits it to the frame."""
    left, right, bottom, top = extent_of(shared.scan, parameter)
    asked = (left, left + 0.5 * (right - left), bottom, bottom + 0.25 * (top - bottom))
    explorer = Explorer(shared)
    setattr(explorer.state, parameter, asked)
    assert ranges(show(explorer.views()), name) == pytest.approx(asked)


class AskedView:
    """Views of which one shows what was asked for; what its state is told afterwards."""

    def __init__(self, shared: SharedScan, name: str, parameter: str) -> None:
        left, right, bottom, top = extent_of(shared.scan, parameter)
        self.asked = (left, left + 0.5 * (right - left), bottom, bottom + 0.5 * (top - bottom))
        self.explorer, self.name = Explorer(shared), name
        setattr(self.explorer.state, parameter, self.asked)
        self.told: list[Any] = []
        self.explorer.state.param.watch(lambda event: self.told.append(event.new), parameter)

    def hold(self, session: Session, seen: tuple[float, ...]) -> None:
        """Tell what the plot shows, as the browser does."""
        session.zoom(self.name, x0=seen[0], x1=seen[1], y0=seen[2], y1=seen[3])

    def play(self, scenario: Callable[[Session], Awaitable[None]]) -> None:
        """Play what a visitor of the views does."""

        async def visit() -> None:
            async with served(self.explorer.views) as session:
                await scenario(session)

        asyncio.run(visit())


@pytest.mark.parametrize(("name", "parameter"), VIEWS.items())
def test_a_plot_whose_frame_changes_does_not_stand_still(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch, name: str, parameter: str
) -> None:
    """A busy server reads first of a new frame, and long after of what the plot shows in it."""
    monkeypatch.setattr("dashboard.zoom._SETTLED_MS", 800)
    view = AskedView(shared, name, parameter)

    async def scenario(session: Session) -> None:
        plot = session.figure(name)
        first, second = fitted(view.asked, 300, 500), fitted(view.asked, 280, 200)

        def frame(number: int, size: tuple[int, int], seen: tuple[float, ...]) -> None:
            tags = [tag for tag in plot.tags if not isinstance(tag, list) and tag != "fitted"]
            fit = [*tags, "fitted", ["fit", number, *seen]]
            session.change(plot, inner_width=size[0], inner_height=size[1], tags=fit)

        await session.do(lambda: frame(1, (300, 500), first))
        await session.do(lambda: view.hold(session, first))
        await asyncio.sleep(0.5)
        await session.do(lambda: frame(2, (280, 200), second))
        await asyncio.sleep(0.5)
        await session.do(lambda: view.hold(session, second))
        await asyncio.sleep(1.2)
        assert view.told == []

    view.play(scenario)


@pytest.mark.parametrize(("name", "parameter"), VIEWS.items())
def test_a_frame_that_changes_is_nobodys_zoom(
    shared: SharedScan, name: str, parameter: str
) -> None:
    """Its height may be told long after its width; what the hand does afterwards is told."""
    left, right, bottom, top = extent_of(shared.scan, parameter)
    view = AskedView(shared, name, parameter)

    async def scenario(session: Session) -> None:
        plot = session.figure(name)
        shown = fitted(view.asked, 300, 500)

        def fit() -> None:
            session.change(plot, inner_width=300, tags=[*plot.tags, "fitted", ["fit", 1, *shown]])
            view.hold(session, shown)

        await session.do(lambda: session.change(plot, inner_width=700, inner_height=200))
        await session.do(fit)
        await asyncio.sleep(0.4)
        assert view.told == []
        narrow = (left, left + 0.1 * (right - left), bottom, bottom + 0.1 * (top - bottom))
        hand = fitted((left, left + 0.2 * (right - left), bottom, top), 300, 500)
        await session.do(lambda: setattr(view.explorer.state, parameter, narrow))  # as a link does
        await session.do(lambda: view.hold(session, shown))  # what the frame made it show, by hand
        await until(lambda: view.told[-1:] == [rounded(shown)])
        await session.do(lambda: session.change(plot, tags=[*plot.tags[:-1], ["fit", 2, *shown]]))
        for seen in (hand, shown):
            await session.do(lambda s=seen: view.hold(session, s))
            await until(lambda s=seen: view.told[-1:] == [rounded(s)])

    view.play(scenario)
