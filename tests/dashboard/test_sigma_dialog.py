"""The dialog that suggests sigma: whose counts it looks at, what it says, what it sets."""

from __future__ import annotations

import asyncio
import html
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import holoviews as hv
import numpy as np
import panel as pn
import panel_material_ui as pmui
import pytest
from bokeh.plotting import figure
from visitor import labelled, served, show, until

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.state import MAX_SIGMA
from maxrf_core import convert_crono, open_scan
from maxrf_core.thinning import MAX_SPECTRA, SigmaSuggestion, suggest_sigma

DARK = 17
"""A spectrum without counts in the scan `dim`."""


@pytest.fixture(scope="module")
def dim(crono_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedScan]:
    """Yield the 12 x 9 scan with one spectrum that holds nothing."""
    crono = Path(shutil.copy(crono_file, tmp_path_factory.mktemp("dim")))
    with h5py.File(crono, "r+") as file:
        counts = file["XRF/Spectra"][:]
        counts[DARK] = 0
        file["XRF/Spectra"][...] = counts
    with open_scan(convert_crono(crono, cubes=False, progress=False)) as scan:
        yield SharedScan(scan)


@pytest.fixture
def explorer(dim: SharedScan) -> Explorer:
    """Return an explorer whose picked spectrum has counts."""
    made = Explorer(dim)
    made.state.pick_spectrum(40)
    return made


def press(button: pmui.Button) -> None:
    """Click a button as the browser does."""
    button.param.trigger("clicks")


def opened(explorer: Explorer) -> SigmaSuggestion:
    """Open the dialog, and return what it suggests."""
    press(explorer.suggestion.button)
    return explorer.suggestion.suggestion


def text_of(explorer: Explorer) -> str:
    """Return what the dialog says, as the visitor reads it."""
    (sentence,) = explorer.suggestion._answer.select(pmui.Typography)
    return html.unescape(sentence.object)


def waits(explorer: Explorer) -> bool:
    """Tell whether a bar shows that something is computed; then nothing can be taken."""
    bars = explorer.suggestion.dialog.select(pmui.LinearProgress)
    takers = explorer.suggestion.dialog.select(pmui.Button)
    assert bool(bars) is not bool(takers)
    return bool(bars)


def use(explorer: Explorer) -> pmui.Button:
    """Return the button that takes the suggestion."""
    (button,) = labelled(explorer.suggestion.dialog, "Use")
    return button


def choose_whole_scan(explorer: Explorer) -> None:
    """Ask for the sigma of all spectra."""
    (chooser,) = explorer.suggestion.dialog.select(pmui.RadioButtonGroup)
    chooser.value = "the whole scan"


def is_of(found: SigmaSuggestion, counts: Any, **options: Any) -> bool:
    """Return whether a suggestion is the core's for some counts."""
    expected = suggest_sigma(counts, **options)
    return (found.sigma, found.n_counts, found.n_spectra) == (
        expected.sigma,
        expected.n_counts,
        expected.n_spectra,
    ) and np.array_equal(found.deviance, expected.deviance)


# --- whose counts ---------------------------------------------------------------------------


def test_nothing_is_computed_before_the_dialog_is_open(explorer: Explorer) -> None:
    """A tap on the map must not pay for a dialog that nobody looks at."""
    explorer.state.pick_cell(3, 4)
    explorer.state.follow_resolution = True
    assert explorer.suggestion.suggestion is None
    assert not explorer.suggestion.dialog.open


def test_a_picked_spectrum_is_asked_for_its_own_sigma(explorer: Explorer, dim: SharedScan) -> None:
    """And the next one, when it is picked while the dialog is open."""
    found = opened(explorer)
    assert explorer.suggestion.dialog.open
    assert is_of(found, dim.scan.spectrum(40))
    explorer.state.pick_spectrum(100)
    assert is_of(explorer.suggestion.suggestion, dim.scan.spectrum(100))


def test_a_cell_is_asked_by_the_spectra_behind_it(explorer: Explorer, dim: SharedScan) -> None:
    """What is interpolated is no Poisson count; the measured spectra are."""
    explorer.state.param.update(method="linear", cell=(3, 4))
    found = opened(explorer)
    behind = np.sort(dim.scan.operator("linear").cell_weights(3, 4)[0])
    assert 1 < len(behind) < 10
    assert is_of(found, dim.scan.spectra(behind))


def test_the_whole_scan_is_asked_by_a_sample(explorer: Explorer, dim: SharedScan) -> None:
    """All 259 spectra would take no better; what is picked then does not matter."""
    opened(explorer)
    choose_whole_scan(explorer)
    found = explorer.suggestion.suggestion
    assert found.n_spectra in (MAX_SPECTRA - 1, MAX_SPECTRA)  # one of them may be the dark one
    chosen = np.unique(np.linspace(0, 258, MAX_SPECTRA).astype(int))
    assert is_of(found, dim.scan.spectra(chosen))


def test_sigma_that_follows_the_resolution_is_asked_for_as_such(
    explorer: Explorer, dim: SharedScan
) -> None:
    """The slider is then sigma at 5.9 keV, and so is what is suggested."""
    opened(explorer)
    explorer.state.follow_resolution = True
    found = explorer.suggestion.suggestion
    assert is_of(found, dim.scan.spectrum(40), shape=dim.sigma_shape)


# --- what it says, and sets -----------------------------------------------------------------


def test_use_sets_the_states_sigma_and_closes(explorer: Explorer) -> None:
    """To a tenth of a channel, as the slider has it and as the button says."""
    found = opened(explorer)
    explorer.state.sigma = 1.0
    assert use(explorer).label == f"Use {found.sigma:.1f}"
    press(use(explorer))
    assert explorer.state.sigma == round(found.sigma, 1)
    assert not explorer.suggestion.dialog.open


def test_a_suggestion_beyond_the_slider_is_cut_to_it(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nearly empty spectrum may ask for 100 channels; the state would refuse them."""
    found = opened(explorer)
    monkeypatch.setattr(
        explorer.suggestion, "suggestion", SigmaSuggestion(**{**vars(found), "sigma": 77.7})
    )
    press(use(explorer))
    assert explorer.state.sigma == MAX_SIGMA


def test_the_text_tells_widths_and_what_they_rest_on(explorer: Explorer, dim: SharedScan) -> None:
    """Channels, eV, the range that counts cannot tell apart, and the detector's own width."""
    found = opened(explorer)
    ev = found.sigma * dim.scan.kev_per_channel * 1000
    text = text_of(explorer)
    assert f"Best sigma {found.sigma:.1f} channels: {ev:.0f} eV, FWHM {2.3548 * ev:.0f} eV" in text
    assert f"{found.low:.1f} from {found.high:.1f}" in text
    assert f"{found.n_counts:,} counts in 1 spectrum" in text
    width = 1000 * float(dim.resolution.fwhm_kev(5.895))
    assert f"The detector's own FWHM is {width:.0f} eV at 5.9 keV (as fitted" in text


def test_the_plot_is_the_curve_with_its_foot_and_the_detector(
    explorer: Explorer, dim: SharedScan
) -> None:
    """Deviance above its smallest, the suggestion and the detector's sigma as uprights."""
    found = opened(explorer)
    overlay = explorer.suggestion.element(found)
    by_name = {part.label: part for part in overlay}
    curve = by_name["Deviance"]
    np.testing.assert_array_equal(curve.dimension_values("sigma"), found.sigmas)
    excess = curve.dimension_values("low")
    np.testing.assert_allclose(excess, found.deviance - found.deviance.min())
    assert (by_name["Best"].dimension_values("sigma") == found.sigma).all()
    assert (by_name["Detector at 5.9 keV"].dimension_values("sigma") == dim.detector_sigma).all()
    (low, high), (bottom, top) = (overlay.opts.get().kwargs[name] for name in ("xlim", "ylim"))
    assert low < found.sigma < high <= MAX_SIGMA
    assert bottom == 0 < top
    visitor = show(explorer.suggestion)
    plots = list(visitor.document.select({"type": figure}))
    assert len(plots) == 1
    assert plots[0].xaxis[0].axis_label == "Sigma (channels)"


def test_the_plot_holds_the_curve_of_any_counts(explorer: Explorer, dim: SharedScan) -> None:
    """A foot at the end of the grid, few counts, many: limits that Bokeh can draw."""
    for spectra in (dim.scan.spectrum(40), dim.scan.spectrum(200), np.eye(2, 60, 7, dtype=int) * 4):
        found = suggest_sigma(spectra)
        overlay = explorer.suggestion.element(found)
        (low, high), (bottom, top) = (overlay.opts.get().kwargs[k] for k in ("xlim", "ylim"))
        assert np.isfinite([low, high, bottom, top]).all()
        assert low < high
        assert bottom < top
        hv.render(overlay)


def test_too_few_counts_are_a_notice_and_no_dialog(explorer: Explorer) -> None:
    """Nothing that could be used is left standing there."""
    explorer.state.sigma = 3.0
    explorer.state.pick_spectrum(DARK)
    press(explorer.suggestion.button)
    assert not explorer.suggestion.dialog.open
    assert explorer.suggestion.suggestion is None
    assert explorer.state.notice.startswith("No sigma could be suggested: No spectrum holds two")
    assert explorer.state.sigma == 3.0
    explorer.state.notice = ""
    explorer.state.pick_spectrum(40)
    assert opened(explorer).n_spectra == 1
    assert explorer.suggestion.dialog.open
    assert explorer.state.notice == ""


def test_a_dialog_over_a_dark_spectrum_still_tells_of_the_scan(explorer: Explorer) -> None:
    """The choice of whose sigma it is outlives the pick."""
    opened(explorer)
    choose_whole_scan(explorer)
    explorer.state.pick_spectrum(DARK)
    assert explorer.suggestion.dialog.open
    assert explorer.suggestion.suggestion.n_spectra >= MAX_SPECTRA - 1


# --- on a server ----------------------------------------------------------------------------


def test_on_a_server_the_dialog_waits_visibly_and_takes_nothing_old(
    dim: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the next one is computed, the last spectrum's sigma cannot be taken."""
    gate, began = threading.Event(), threading.Event()
    suggest = SharedScan.suggest_sigma

    def slow(shared: SharedScan, *args: Any, **options: Any) -> SigmaSuggestion:
        began.set()
        assert gate.wait(20)
        return suggest(shared, *args, **options)

    async def scenario() -> None:
        async with served(lambda: Explorer(dim)) as session:
            explorer: Explorer = session.shown
            await session.do(lambda: explorer.state.pick_spectrum(40))
            await session.do(lambda: press(explorer.suggestion.button))
            await until(lambda: not waits(explorer))
            first = explorer.suggestion.suggestion
            monkeypatch.setattr(SharedScan, "suggest_sigma", slow)
            await session.do(lambda: explorer.state.pick_spectrum(100))
            await until(began.is_set)
            assert waits(explorer)
            gate.set()
            await until(lambda: not waits(explorer))
            assert explorer.suggestion.suggestion is not first
            assert is_of(explorer.suggestion.suggestion, dim.scan.spectrum(100))

    asyncio.run(scenario())


def test_the_dialog_is_part_of_the_views_and_its_button_of_the_controls(
    explorer: Explorer,
) -> None:
    """A dialog that is nowhere on the page would never open."""
    views = explorer.views()
    assert explorer.suggestion.dialog in views.select(pmui.Dialog)
    assert explorer.suggestion.button in views.select(pmui.Button)
    assert isinstance(explorer.suggestion.__panel__(), pn.Column)
