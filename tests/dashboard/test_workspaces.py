"""Workspaces: made when first looked at, kept, one seen at a time."""

from __future__ import annotations

import panel as pn
import panel_material_ui as pmui

from dashboard.state import ViewState
from dashboard.workspaces import Workspaces

NAMES = ("explore", "gallery")


class Bench:
    """Two workspaces, and a note of when each was made."""

    def __init__(self, state: ViewState) -> None:
        self.made: list[str] = []
        makers = {name: lambda name=name: self._make(name) for name in NAMES}
        self.tool = pmui.Button(label="Tool")
        self.layout = Workspaces(state, makers, [self.tool]).__panel__()

    def _make(self, name: str) -> pn.Column:
        self.made.append(name)
        return pn.Column(name=name)

    @property
    def seen(self) -> list[str]:
        columns = [one for one in self.layout.select(pn.Column) if one.name in NAMES]
        return [one.name for one in columns if one.visible]


def test_a_workspace_is_made_when_it_is_first_looked_at_and_kept() -> None:
    """A gallery costs seconds; who only explores does not pay for it."""
    state = ViewState()
    bench = Bench(state)
    assert (bench.made, bench.seen) == (["explore"], ["explore"])
    state.workspace = "gallery"
    assert (bench.made, bench.seen) == (["explore", "gallery"], ["gallery"])
    state.workspace = "explore"
    assert (bench.made, bench.seen) == (["explore", "gallery"], ["explore"])


def test_a_link_to_a_workspace_makes_that_one_alone() -> None:
    """A collaborator opens the gallery at once."""
    bench = Bench(ViewState(workspace="gallery"))
    assert (bench.made, bench.seen) == (["gallery"], ["gallery"])


def test_the_bar_chooses_and_follows() -> None:
    """Buttons for the visitor; back and forward set the state."""
    state = ViewState()
    bench = Bench(state)
    (chooser,) = bench.layout.select(pmui.RadioButtonGroup)
    assert list(chooser.options) == ["Explore", "Gallery"]
    chooser.value = "gallery"
    assert state.workspace == "gallery"
    assert bench.seen == ["gallery"]
    state.workspace = "explore"
    assert chooser.value == "explore"
    assert bench.tool in bench.layout.select(pmui.Button)
