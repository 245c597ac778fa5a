"""The dialog of peaks: what its table says, what its buttons and its switch do."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import panel_material_ui as pmui
import pytest
from bokeh.models import Whisker
from visitor import labelled, served, show, until

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.element_lines import ElementLines
from dashboard.peaks_dialog import PeakTable, peak_rows
from maxrf_core.peaks import Peak
from maxrf_core.proposals import Candidate, Proposal


def candidate(name: str, kind: str = "element", score: float = 0.9, **changes: Any) -> Candidate:
    """Return a candidate; the reason is markup, which must stay text."""
    element, _, line = name.partition(" ")
    values = {"reason": "<b>as likely</b>", "is_used": True, "energy_kev": 6.4, "consistency": 1.0}
    return Candidate(
        kind=kind, name=name, element=element, line=line, score=score, **{**values, **changes}
    )


def peak(**changes: Any) -> Peak:
    """Return a peak of the sum."""
    values = {
        "energy_kev": 6.4004,
        "net_counts": 472950.4,
        "significance": 661.6,
        "max_significance": 0.0,
        "in_sum": True,
        "in_max": False,
    }
    return Peak(**{**values, **changes})


def press(button: pmui.Button) -> None:
    """Click a button as the browser does."""
    button.param.trigger("clicks")


def table_of(explorer: Explorer) -> PeakTable:
    """Open the dialog, and return the table."""
    press(explorer.peaks.button)
    (table,) = explorer.peaks.dialog.select(PeakTable)
    return table


def ticks(visitor: Any) -> list[float]:
    """Return the energies of the peaks marked on the spectrum."""
    (found,) = visitor.figure("spectrum").select({"type": Whisker, "name": "peaks"})
    return list(found.source.data["energy"])


# --- the rows -------------------------------------------------------------------------------


def test_a_row_tells_the_peak_and_its_candidates() -> None:
    """Energy, counts and significance as read by a person, lines as written in books."""
    others = (candidate("Mn Kb", is_used=False, score=0.3), candidate("Fe Ka"))
    (row,) = peak_rows([Proposal(peak(), others, ("Fe Ka / Mn Kb", "Pb La / As Ka"))])
    assert (row["energy"], row["counts"], row["significance"]) == ("6.400", "472,950", "662")
    assert [one["name"] for one in row["candidates"]] == ["Mn Kβ", "Fe Kα"]
    assert [one["element"] for one in row["candidates"]] == ["Mn", "Fe"]
    assert [one["score"] for one in row["candidates"]] == ["0.30", "0.90"]
    assert row["overlaps"] == "Fe Kα / Mn Kβ, Pb Lα / As Kα"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("tube", "tube"),
        ("Compton", "Compton scatter of the tube"),
        ("escape", "escape"),
        ("sum", "pile-up"),
        ("zero", "detector"),
    ],
)
def test_what_is_no_element_of_the_object_is_named_and_not_offered(kind: str, told: str) -> None:
    """Rhodium of the tube and the escape of calcium are in no painting."""
    (row,) = peak_rows([Proposal(peak(), (candidate("Rh Ka", kind),), ())])
    (one,) = row["candidates"]
    assert (one["kind"], one["element"]) == (told, "")


def test_a_peak_of_the_maximum_alone_says_so() -> None:
    """Its significance is that of the maximum: in the sum there is none."""
    seldom = peak(in_sum=False, in_max=True, significance=0.3, max_significance=12.2)
    (row,) = peak_rows([Proposal(seldom, (), ())])
    assert row["significance"] == "12 in the maximum: in few places"
    assert row["candidates"] == []


def test_least_likely_candidates_are_left_out() -> None:
    """But never the best one, nor what the fit uses."""
    candidates = (
        candidate("Fe Ka", score=0.04, is_used=False),
        candidate("Mn Kb", score=0.02, is_used=True),
        candidate("Co Ka", score=0.02, is_used=False),
        candidate("Ni Ka", score=0.06, is_used=False),
    )
    (row,) = peak_rows([Proposal(peak(), candidates, ())])
    assert [one["name"] for one in row["candidates"]] == ["Fe Kα", "Mn Kβ", "Ni Kα"]


# --- the dialog -----------------------------------------------------------------------------


def test_peaks_are_not_looked_for_before_the_dialog_is_open(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take seconds on a slow machine, and most visitors come for a map."""
    asked = []
    monkeypatch.setattr(ElementLines, "proposals", property(lambda _: asked.append(1) or ()))
    explorer.state.add_element("Fe")
    show(explorer.controls())
    show(explorer.views())
    assert asked == []
    press(explorer.peaks.button)
    assert asked


def test_the_table_lists_the_scans_peaks(explorer: Explorer, shared: SharedScan) -> None:
    """Those of the core, in its order, iron among them."""
    table = table_of(explorer)
    assert explorer.peaks.dialog.open
    assert table.rows == peak_rows(shared.elements.proposals)
    assert any(
        row["candidates"][:1] and row["candidates"][0]["name"] == "Fe Kα" for row in table.rows
    )


def test_a_button_of_the_table_adds_and_removes(explorer: Explorer, shared: SharedScan) -> None:
    """One click, and the element is on the spectrum and in the map."""
    table = table_of(explorer)
    table._handle_msg({"toggle": "Fe"})
    assert explorer.state.elements == ("Fe",)
    assert explorer.state.window == shared.elements.line("Fe").window
    assert table.chosen == ["Fe"]
    explorer.state.add_element("Pb La")
    assert table.chosen == ["Fe", "Pb"]
    table._handle_msg({"toggle": "Fe"})
    assert explorer.state.elements == ("Pb La",)
    table._handle_msg({"toggle": 5})
    assert explorer.state.elements == ("Pb La",)


def test_all_proposed_elements_are_added_with_one_button(
    explorer: Explorer, shared: SharedScan
) -> None:
    """The surest first, as their colours and the gallery then are."""
    table_of(explorer)
    (button,) = labelled(explorer.peaks.dialog, "Add all proposed")
    press(button)
    assert explorer.state.elements == shared.elements.proposed
    press(button)
    assert explorer.state.elements == shared.elements.proposed


def test_peaks_are_marked_while_the_switch_is_on(explorer: Explorer, shared: SharedScan) -> None:
    """Also when the dialog is shut: it hides the spectrum."""
    visitor = show(explorer.spectrum)
    table_of(explorer)
    (switch,) = labelled(explorer.peaks.dialog, "Mark peaks")
    assert ticks(visitor) == []
    switch.value = True
    explorer.peaks.dialog.open = False
    assert ticks(visitor) == [one.peak.energy_kev for one in shared.elements.proposals]
    switch.value = False
    assert ticks(visitor) == []


def test_a_scan_without_peaks_says_so(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty table would look as if it had failed."""
    monkeypatch.setattr(ElementLines, "proposals", property(lambda _: ()))
    monkeypatch.setattr(ElementLines, "proposed", property(lambda _: ()))
    press(explorer.peaks.button)
    (told,) = explorer.peaks._answer.select(pmui.Typography)
    assert "No peak stands out" in told.object


def test_a_failure_is_a_sentence_in_the_dialog(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next opening tries again."""

    def broken(_: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(ElementLines, "proposals", property(broken))
        press(explorer.peaks.button)
    (told,) = explorer.peaks._answer.select(pmui.Typography)
    assert "the server's log has it as fault" in told.object
    assert "disk" not in told.object
    assert table_of(explorer).rows


def test_on_a_server_a_bar_shows_that_peaks_are_looked_for(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread: meanwhile another visitor's click is answered."""
    gate, began = threading.Event(), threading.Event()
    found = shared.elements.proposals

    def slow(_: object) -> tuple[Proposal, ...]:
        began.set()
        assert gate.wait(20)
        return found

    monkeypatch.setattr(ElementLines, "proposals", property(slow))

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            explorer: Explorer = session.shown
            await session.do(lambda: press(explorer.peaks.button))
            await until(began.is_set)
            assert explorer.peaks.dialog.select(pmui.LinearProgress)
            await session.do(lambda: explorer.state.pick_spectrum(100))
            await until(lambda: session.title("spectrum").startswith("Spectrum 100"))
            assert explorer.peaks.dialog.select(pmui.LinearProgress)
            gate.set()
            await until(lambda: explorer.peaks.dialog.select(PeakTable))
            assert not explorer.peaks.dialog.select(pmui.LinearProgress)

    asyncio.run(scenario())
