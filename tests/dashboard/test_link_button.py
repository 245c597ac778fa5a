"""The link to a view, as the browser has it before the button is pressed."""

from __future__ import annotations

import asyncio

from visitor import served, until

from dashboard import Explorer
from dashboard.address import decode, encode, read_query
from dashboard.data import SharedScan
from dashboard.link_button import LinkButton
from dashboard.state import ViewState


def test_a_view_that_has_no_address_has_no_button() -> None:
    """In a notebook: a link would lead to the notebook."""
    button = LinkButton(ViewState())
    assert not button.visible
    assert not button.query
    button.scan_name = "a & b"
    assert button.visible
    assert button.query.startswith("?scan=a+%26+b&")


def test_the_link_follows_each_part_of_the_view() -> None:
    """What is zoomed and marked included; a notice is no part of it."""
    state = ViewState()
    button = LinkButton(state, scan_name="one")
    changed = {
        "sigma": 3.0,
        "window": (3.5, 3.9),
        "elements": ("Fe", "Pb La"),
        "workspace": "gallery",
        "cell": (3, 4),
        "map_range": (0.0, 10.0, 5.0, 25.0),
        "energy_range": (2.0, 12.5),
    }
    for name, value in changed.items():
        before = button.query
        setattr(state, name, value)
        assert button.query != before, name
        assert button.query == encode(state, "one")
    before = button.query
    state.notice = "something was wrong"
    assert button.query == before


def test_the_link_is_written_when_the_view_stands_still(explorer: Explorer) -> None:
    """On a server: a dragged slider does not send a link for each of its values."""
    written: list[str] = []

    async def play() -> None:
        async with served(explorer.views) as session:
            (button,) = session.shown.select(LinkButton)
            await session.do(lambda: setattr(button, "scan_name", "one"))
            button.param.watch(lambda event: written.append(event.new), "query")
            for sigma in (1.0, 2.0, 3.0, 4.5):
                await session.do(lambda s=sigma: setattr(explorer.state, "sigma", s))
            assert written == []
            await until(lambda: written)
            assert [read_query(query)["sigma"] for query in written] == ["4.5"]

    asyncio.run(play())


def test_whoever_opens_the_link_sees_the_view(shared: SharedScan) -> None:
    """Written here, read there."""
    grid = shared.scan.grid
    left, bottom, right, top = grid.bounds
    part = (left, (left + right) / 2, bottom, (bottom + top) / 2)
    state = ViewState(elements=("Fe",), map_range=part, energy_range=(1.5, 9.0), cell=(2, 1))
    button = LinkButton(state, scan_name="one")
    values, notices = decode(read_query(button.query), shared, ViewState().param.values())
    assert notices == []
    for name in ("elements", "map_range", "energy_range", "cell", "window"):
        assert values[name] == getattr(state, name)
