"""The three views: what is drawn is what the scan says, whoever asks and however."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import re
import threading
import weakref
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
import panel_material_ui as pmui
import pytest
from bokeh.models import ColorBar, LogScale
from visitor import MAX, RAW, SMOOTH, SUM, Visitor, labelled, served, show, until

from dashboard import Explorer, ViewState
from dashboard.data import SharedScan
from dashboard.explorer import notice_of
from dashboard.plots import comb, counts_range
from dashboard.positions import MotorPositionsView
from dashboard.scaling import scale_map
from dashboard.theme import palette
from maxrf_core import METHODS, MaxrfError, ParameterError, Scan, ZipstoreError
from maxrf_core.resolution import fit_resolution
from maxrf_core.smoothing import smooth_spectra

PER_SECOND_NET = {"background": "sides", "per_second": True}


def fault_told(explorer: Explorer) -> str:
    """Return the sentence of a failure without the number under which the log has it."""
    told, number = re.fullmatch(r"(.*) \(fault ([0-9a-f]{8})\)", explorer.state.notice).groups()
    assert number
    return told


def expected_map(explorer: Explorer) -> npt.NDArray[np.float32]:
    """Return the map of an explorer's state, from the scan itself."""
    state = explorer.state
    sigma = state.sigma if state.smooth_map else 0
    return explorer.shared.scan.energy_map(*state.window, method=state.method, sigma=sigma)


def expected_spectrum(explorer: Explorer, sigma: float = 0) -> npt.NDArray:
    """Return the spectrum of an explorer's state, from the scan itself."""
    state, scan = explorer.state, explorer.shared.scan
    if state.cell is not None:
        return scan.cell_spectrum(*state.cell, method=state.method, sigma=sigma)
    return scan.spectrum(state.spectrum, sigma=sigma)


def check(visitor: Visitor, explorer: Explorer) -> None:
    """Hold everything that is drawn, and told to Python, to the state."""
    state, scan = explorer.state, explorer.shared.scan
    # The map.
    values = expected_map(explorer)
    scaled = scale_map(values, state.clip)
    np.testing.assert_array_equal(explorer.energy_map.values, values)
    np.testing.assert_array_equal(visitor.image(), scaled.levels)
    np.testing.assert_array_equal(visitor.source("map", "Image").data["value"][0], values)
    (bar,) = visitor.figure("map").select({"type": ColorBar})
    assert (bar.color_mapper.low, bar.color_mapper.high) == (scaled.low, scaled.high)
    assert f"{state.window[0]:.3f}–{state.window[1]:.3f} keV" in visitor.title("map")
    assert state.method in visitor.title("map")
    assert ("smoothed" in visitor.title("map")) == state.smooth_map
    # The spectrum.
    raw, smooth = expected_spectrum(explorer), expected_spectrum(explorer, state.sigma)
    np.testing.assert_array_equal(explorer.spectrum.counts, raw)
    np.testing.assert_allclose(explorer.spectrum.smoothed, smooth, rtol=1e-5, atol=1e-6)
    floor = 1e-4 if state.log_counts else -np.inf
    x, y = comb(scan.energies, raw)
    np.testing.assert_array_equal(visitor.line(RAW)[0], x)
    np.testing.assert_array_equal(visitor.line(RAW)[1], np.maximum(y, np.float32(floor)))
    np.testing.assert_array_equal(visitor.line(SMOOTH)[0], scan.energies)
    np.testing.assert_allclose(
        visitor.line(SMOOTH)[1], np.maximum(smooth, np.float32(floor)), rtol=1e-5, atol=1e-6
    )
    assert sorted((visitor.box().left, visitor.box().right)) == pytest.approx(state.window)
    # The marks.
    if state.cell is not None:
        row, column = state.cell
        place = scan.grid.x[column], scan.grid.y[row]
        assert f"row {row}, column {column}" in visitor.title("spectrum")
    else:
        place = tuple(scan.positions[state.spectrum])
        assert f"Spectrum {state.spectrum:,} · {raw.sum():,}" in visitor.title("spectrum")
    assert visitor.mark("map") == visitor.mark("positions") == place


class Stage:
    """An explorer before a visitor, set back to the first look before each test.

    Drawing all of it takes a second, setting it back a moment.
    """

    def __init__(self, shared: SharedScan) -> None:
        self._shared = shared
        self._build()

    def _build(self) -> None:
        self.explorer = Explorer(self._shared)
        self.layout = self.explorer.__panel__()
        self.visitor = show(self.layout)
        self._first = self.explorer.state.param.values()

    def set_back(self) -> None:
        try:
            for name, value in self._first.items():
                if name != "name":
                    setattr(self.explorer.state, name, value)
            check(self.visitor, self.explorer)
        except Exception:  # noqa: BLE001 - what a failed test left behind is not the next one's
            self._build()


@pytest.fixture(scope="module")
def stage(shared: SharedScan) -> Stage:
    """Return the stage of this module's tests."""
    return Stage(shared)


@pytest.fixture
def explorer(stage: Stage) -> Explorer:
    """Return an explorer at its first look."""
    stage.set_back()
    return stage.explorer


@pytest.fixture
def visitor(stage: Stage, explorer: Explorer) -> Visitor:  # noqa: ARG001 - set back first
    """Return the visitor who sees `explorer`."""
    return stage.visitor


@pytest.fixture
def controls(stage: Stage, explorer: Explorer) -> Controls:  # noqa: ARG001 - set back first
    """Return the controls of `explorer`."""
    return Controls(stage.layout)


class Controls:
    """The controls of an explorer, by their labels.

    Parameters
    ----------
    layout : Viewable
        What shows it.
    """

    def __init__(self, layout: pn.viewable.Viewable) -> None:
        self._layout = layout

    def __getitem__(self, label: str) -> Any:
        (widget,) = self._layout.select(lambda item: getattr(item, "label", None) == label)
        return widget

    @property
    def notice(self) -> pmui.Alert | None:
        """The alert that shows the state's notice, if there is one."""
        alerts = self._layout.select(pmui.Alert)
        assert len(alerts) <= 1
        return alerts[0] if alerts else None

    @property
    def fields(self) -> tuple[float, float]:
        """The energies in the two fields."""
        return self["from (keV)"].value, self["to (keV)"].value


def roi(controls: Controls, name: str) -> str:
    """Return the chooser's entry for a ROI of the file."""
    (label,) = (o for o in controls["ROI of the file"].options if o.startswith(f"{name} ·"))
    return label


def state_of(explorer: Explorer, **values: Any) -> None:
    """Set a state."""
    explorer.state.param.update(**values)


# --- the first look -------------------------------------------------------------------------


def test_the_first_look_is_the_strongest_line_and_its_best_spectrum(
    explorer: Explorer, visitor: Visitor
) -> None:
    """Iron in the ink; without a word of the visitor."""
    assert visitor.figures() == ["map", "positions", "spectrum"]
    assert explorer.state.window == (6.169, 6.612)
    assert explorer.state.spectrum == explorer.shared.brightest_spectrum
    assert explorer.state.notice == ""
    check(visitor, explorer)


@pytest.mark.parametrize("kind", [str, Path, Scan, SharedScan])
def test_an_explorer_is_made_of_a_name_or_of_an_open_scan(shared: SharedScan, kind: type) -> None:
    """Whatever a notebook has at hand."""
    path = shared.scan.filename
    given = {str: str(path), Path: path, Scan: shared.scan, SharedScan: shared}[kind]
    explorer = Explorer(given)
    assert explorer.state.window == (6.169, 6.612)
    np.testing.assert_array_equal(explorer.energy_map.values, expected_map(explorer))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """And no empty plots."""
    with pytest.raises(ZipstoreError, match=r"gone\.zipstore"):
        Explorer(tmp_path / "gone.zipstore")


@pytest.mark.parametrize(
    "picks", [{"spectrum": 259}, {"cell": (12, 0)}, {"cell": (0, 9)}, {"cell": (-1, 0)}]
)
def test_a_state_that_the_scan_cannot_show_is_refused(
    shared: SharedScan, picks: dict[str, Any]
) -> None:
    """A state of another scan: said at once, not by an empty plot."""
    with pytest.raises(ParameterError, match=r"no spectrum 259;|outside the grid;"):
        Explorer(shared, state=ViewState(**picks))


# --- a state that is set --------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "window": {"window": (10.353, 10.819)},
    "empty window": {"window": (7.549, 7.549)},
    "window past the ends": {"window": (-5.0, 99.0)},
    "clip": {"clip": (5.0, 60.0)},
    "sigma": {"sigma": 2.3},
    "no sigma": {"sigma": 0.0},
    "widest sigma": {"sigma": 30.0},
    "smoothed map": {"smooth_map": True, "sigma": 11.0},
    "spectrum": {"spectrum": 258},
    "cell": {"cell": (11, 3)},
    "cell by the nearest": {"cell": (2, 8), "method": "nearest"},
    "log": {"log_counts": True},
    "all": {
        "window": (3.516, 3.85),
        "clip": (0.0, 100.0),
        "sigma": 4.0,
        "smooth_map": True,
        "method": "linear",
        "cell": (5, 6),
        "log_counts": True,
        "colour_map": "magma",
    },
} | {method: {"method": method} for method in METHODS}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_state_set_from_python_is_drawn(
    explorer: Explorer, visitor: Visitor, changes: dict[str, Any]
) -> None:
    """All at once, and back again."""
    before = {name: getattr(explorer.state, name) for name in changes}
    state_of(explorer, **changes)
    check(visitor, explorer)
    state_of(explorer, **before)
    check(visitor, explorer)
    assert explorer.state.notice == ""


def test_a_state_set_before_it_is_shown_is_drawn(shared: SharedScan) -> None:
    """Given to the explorer, or set between two cells of a notebook."""
    explorer = Explorer(shared, state=ViewState(**CHANGES["all"]))
    check(show(explorer), explorer)
    state_of(explorer, window=(8.369, 8.871), cell=None, log_counts=False, smooth_map=False)
    check(show(explorer), explorer)


def test_patches_carry_one_byte_a_cell_and_float32(explorer: Explorer, visitor: Visitor) -> None:
    """A quarter of the traffic, twenty times a second."""
    state_of(explorer, window=(3.516, 3.85), sigma=3.0, spectrum=7)
    assert visitor.image().dtype == np.uint8
    assert visitor.image().shape == (12, 9)
    assert all(visitor.line(number)[1].dtype == np.float32 for number in (RAW, SMOOTH))


def test_sigma_moves_the_smooth_line_only(explorer: Explorer, visitor: Visitor) -> None:
    """The slider's answer is one column of one source: that is why it follows the hand."""
    sent: list[object] = []
    visitor.document.on_change(sent.append)
    explorer.state.sigma = 3.3
    data = [event for event in sent if type(event).__name__ == "ColumnDataChangedEvent"]
    smooth = visitor.source("spectrum", "Line", SMOOTH)
    assert [(event.model, event.cols) for event in data] == [(smooth, ["counts"])]
    assert len(sent) <= 3


def test_the_map_is_computed_for_sigma_only_if_it_shows_it(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dragging sigma costs no maps, unless they are of smoothed spectra."""
    scan, computed = explorer.shared.scan, []
    compute = scan.energy_map
    monkeypatch.setattr(
        scan, "energy_map", lambda *args, **kw: computed.append(kw["sigma"]) or compute(*args, **kw)
    )
    state_of(explorer, sigma=3.0)
    assert computed == []
    state_of(explorer, smooth_map=True)
    state_of(explorer, sigma=4.0)
    assert computed == [3.0, 4.0]


def test_colours_change_without_a_new_picture(explorer: Explorer, visitor: Visitor) -> None:
    """The image's own mapper and the colour bar's get the same palette."""
    explorer.state.colour_map = "inferno"
    (bar,) = visitor.figure("map").select({"type": ColorBar})
    (image,) = (r for r in visitor.figure("map").renderers if type(r.glyph).__name__ == "Image")
    assert bar.color_mapper.palette == palette("inferno")
    assert image.glyph.color_mapper.palette == palette("inferno")
    assert (image.glyph.color_mapper.low, image.glyph.color_mapper.high) == (1, 255)
    assert bar.color_mapper is not image.glyph.color_mapper


def test_empty_cells_are_transparent(holed: SharedScan) -> None:
    """Level 0 is below the image's mapper, whose low colour is no colour."""
    explorer = Explorer(holed)
    visitor = show(explorer)
    empty = np.isnan(explorer.energy_map.values)
    assert empty.any()
    np.testing.assert_array_equal(visitor.image() == 0, empty)
    (image,) = (r for r in visitor.figure("map").renderers if type(r.glyph).__name__ == "Image")
    assert image.glyph.color_mapper.low_color == "#00000000"


def test_the_picture_lies_on_the_grid(explorer: Explorer, visitor: Visitor) -> None:
    """Row 0 at the smallest y: the corner, the width and the height are the grid's."""
    data = visitor.source("map", "Image").data
    left, bottom, right, top = explorer.shared.scan.grid.bounds
    assert (data["x"][0], data["y"][0]) == (left, bottom)
    assert (data["dw"][0], data["dh"][0]) == pytest.approx((right - left, top - bottom))


# --- lines and axes -------------------------------------------------------------------------


def test_sum_and_max_are_the_scans_and_can_be_hidden(explorer: Explorer, visitor: Visitor) -> None:
    """The mean of all spectra under an honest name, and the highest smoothed value."""
    scan = explorer.shared.scan
    np.testing.assert_allclose(visitor.line(SUM)[1], scan.total_spectrum / 259, rtol=1e-6)
    np.testing.assert_array_equal(visitor.line(MAX)[1], scan.max_smoothed)
    lines = [r for r in visitor.figure("spectrum").renderers if type(r.glyph).__name__ == "Line"]
    assert [line.visible for line in lines] == [True, False, True, True]
    state_of(explorer, show_sum=False, show_max=True)
    assert [line.visible for line in lines] == [False, True, True, True]
    labels = [item.label.value for item in visitor.figure("spectrum").legend[0].items]
    assert labels == ["Sum ÷ 259 spectra", "Max, smoothed", "Raw counts", "Smoothed"]


@pytest.mark.parametrize("log", [False, True])
def test_the_counts_axis_fits_the_lines_that_are_shown(
    explorer: Explorer, visitor: Visitor, log: bool
) -> None:
    """And those only; a reset goes to the same limits."""
    scan = explorer.shared.scan
    state_of(explorer, log_counts=log, spectrum=20)
    mean = scan.total_spectrum / 259
    for shown, lines in (
        ({"show_sum": False, "show_max": False}, []),
        ({"show_sum": True, "show_max": False}, [mean]),
        ({"show_sum": True, "show_max": True}, [mean, scan.max_smoothed]),
    ):
        state_of(explorer, **shown)
        spectra = [scan.spectrum(20), scan.spectrum(20, sigma=explorer.state.sigma)]
        limits = counts_range(scan.energies, [*spectra, *lines], log=log)
        axis = visitor.figure("spectrum").y_range
        assert (axis.start, axis.end) == pytest.approx(limits)
        assert (axis.reset_start, axis.reset_end) == pytest.approx(limits)


def test_a_logarithmic_axis_is_a_new_plot_that_lives_on(
    explorer: Explorer, visitor: Visitor
) -> None:
    """Bokeh cannot change a scale; the new plot is patched as the old one was."""
    old = visitor.figure("spectrum")
    explorer.state.log_counts = True
    new = visitor.figure("spectrum")
    assert new is not old
    assert isinstance(new.y_scale, LogScale)
    assert visitor.line(RAW)[1].min() == np.float32(1e-4)
    state_of(explorer, window=(1.0, 2.0), spectrum=3, sigma=1.5)
    check(visitor, explorer)
    explorer.state.log_counts = False
    assert not isinstance(visitor.figure("spectrum").y_scale, LogScale)
    check(visitor, explorer)


def test_the_energies_cannot_be_scrolled_away(explorer: Explorer, visitor: Visitor) -> None:
    """The axis starts at the counts and is bounded by the channels."""
    axis = visitor.figure("spectrum").x_range
    energies = explorer.shared.scan.energies
    assert (axis.start, axis.end) == explorer.shared.energy_limits
    assert (axis.reset_start, axis.reset_end) == explorer.shared.energy_limits
    assert axis.bounds == (float(energies[0]), float(energies[-1]))


def test_smoothing_is_told_as_a_width_in_ev(explorer: Explorer, visitor: Visitor) -> None:
    """Channels mean nothing to the eye: 10 of 11.953 eV are 120 eV, 281 eV at half maximum."""
    explorer.state.sigma = 10.0
    assert visitor.title("spectrum").endswith("smoothing 120 eV · FWHM 281 eV")
    explorer.state.sigma = 0.0
    assert visitor.title("spectrum").endswith("smoothing off")


def test_a_logarithmic_axis_keeps_the_zoom(explorer: Explorer, visitor: Visitor) -> None:
    """The visitor looks at one line, and wants its foot: not the whole spectrum again."""
    axis = visitor.figure("spectrum").x_range
    visitor.change(axis, start=5.5, end=7.25)
    explorer.state.log_counts = True
    axis = visitor.figure("spectrum").x_range
    assert (axis.start, axis.end) == (5.5, 7.25)
    assert (axis.reset_start, axis.reset_end) == explorer.shared.energy_limits
    visitor.change(axis, start=6.0)
    explorer.state.log_counts = False
    axis = visitor.figure("spectrum").x_range
    assert (axis.start, axis.end) == (6.0, 7.25)
    visitor.change(axis, start=axis.reset_start, end=axis.reset_end)


# --- sigma that follows the resolution ------------------------------------------------------


def test_the_smoothed_line_may_follow_the_resolution(explorer: Explorer, visitor: Visitor) -> None:
    """Wider at high energies, as the detector's lines are; the browser is told the widths."""
    scan = explorer.shared.scan
    shape = fit_resolution(scan.energies, scan.total_spectrum).sigma_channels(
        scan.energies, sigma=1.0
    )
    assert shape[-1] / shape[0] > 2
    source = visitor.source("spectrum", "Line", SMOOTH)
    np.testing.assert_array_equal(source.data["shape"], np.ones(4096, np.float32))
    state_of(explorer, sigma=6.5, follow_resolution=True, spectrum=20)
    counts = scan.spectrum(20)
    expected = smooth_spectra(counts, 6.5 * shape)
    np.testing.assert_array_equal(explorer.spectrum.smoothed, expected)
    np.testing.assert_array_equal(visitor.line(SMOOTH)[1], expected)
    assert not np.array_equal(expected, smooth_spectra(counts, 6.5))
    np.testing.assert_array_equal(source.data["shape"], shape.astype(np.float32))
    np.testing.assert_array_equal(source.data["raw"], counts)
    assert "smoothing at 5.9 keV 78 eV · FWHM 183 eV" in visitor.title("spectrum")
    state_of(explorer, sigma=3.0)
    np.testing.assert_array_equal(visitor.line(SMOOTH)[1], smooth_spectra(counts, 3.0 * shape))
    again = show(explorer.spectrum).source("spectrum", "Line", SMOOTH)
    np.testing.assert_array_equal(again.data["shape"], shape.astype(np.float32))
    state_of(explorer, sigma=0.0)
    np.testing.assert_array_equal(visitor.line(SMOOTH)[1], counts)
    state_of(explorer, sigma=3.0, follow_resolution=False)
    np.testing.assert_array_equal(source.data["shape"], np.ones(4096, np.float32))
    check(visitor, explorer)


def test_a_map_of_spectra_smoothed_so_is_the_cores(explorer: Explorer, visitor: Visitor) -> None:
    """The same sigma behind the map as behind the line; of a raw map it changes nothing."""
    scan = explorer.shared.scan
    raw = visitor.image()
    state_of(explorer, sigma=8.0, follow_resolution=True)
    assert visitor.image() is raw
    state_of(explorer, smooth_map=True)
    sigma = 8.0 * explorer.shared.sigma_shape
    expected = scan.energy_map(*explorer.state.window, sigma=sigma)
    np.testing.assert_array_equal(explorer.energy_map.values, expected)
    assert "smoothed by 8 at 5.9 keV" in visitor.title("map")
    state_of(explorer, follow_resolution=False)
    check(visitor, explorer)


# --- the background under the window --------------------------------------------------------


def expected_sides(explorer: Explorer, background: str) -> list[npt.NDArray]:
    """Return the channels beside the window that the background is taken from, side by side."""
    state, scan = explorer.state, explorer.shared.scan
    weights = scan.window_weights(*state.window, background=background).background
    inside, used = scan.channels_of(*state.window), np.flatnonzero(weights)
    return [side for side in (used[used < inside.start], used[used >= inside.stop]) if len(side)]


def marked(explorer: Explorer, visitor: Visitor) -> list[npt.NDArray]:
    """Return the channels within the marked side windows: each begins at its energy."""
    energies, width = explorer.shared.scan.energies, explorer.shared.scan.kev_per_channel
    return [
        np.flatnonzero((energies > low - width / 2) & (energies < high - width / 2))
        for low, high in visitor.sides()
    ]


def hold_sides(explorer: Explorer, visitor: Visitor, background: str, number: int) -> None:
    """Hold what is marked to the channels that are used."""
    found, expected = marked(explorer, visitor), expected_sides(explorer, background)
    assert len(found) == len(expected) == number
    for channels, wanted in zip(found, expected, strict=True):
        assert (channels[0], channels[-1]) == (wanted[0], wanted[-1])


@pytest.mark.parametrize("background", ["sides", "snip"])
def test_side_windows_are_marked_on_the_spectrum(
    explorer: Explorer, visitor: Visitor, background: str
) -> None:
    """A side window on another element's line takes too much away: the eye must see where it is."""
    assert visitor.sides() == []
    state_of(explorer, background=background)
    hold_sides(explorer, visitor, background, 2)
    (low, first), (last, high) = visitor.sides()
    assert low < first <= 6.18 < 6.6 < last < high  # a channel beside the window's edges
    for window in ((10.353, 10.819), (8.369, 8.871)):
        state_of(explorer, window=window)
        hold_sides(explorer, visitor, background, 2)
    hold_sides(explorer, show(explorer.spectrum), background, 2)
    state_of(explorer, log_counts=True)  # a new plot
    hold_sides(explorer, visitor, background, 2)
    state_of(explorer, background="none")
    assert visitor.sides() == []
    assert explorer.state.notice == ""


@pytest.mark.parametrize("background", ["sides", "snip"])
@pytest.mark.parametrize("window", [(46.9, 60.0), (-5.0, 0.0)], ids=["above", "below"])
def test_a_window_at_an_end_has_one_side(
    explorer: Explorer, visitor: Visitor, background: str, window: tuple[float, float]
) -> None:
    """There is no channel past the last one, and none is marked."""
    state_of(explorer, background=background, window=window)
    hold_sides(explorer, visitor, background, 1)
    values = explorer.shared.scan.energy_map(*window, background=background)
    np.testing.assert_array_equal(explorer.energy_map.values, values)
    state_of(explorer, window=(6.0, 6.5))
    hold_sides(explorer, visitor, background, 2)


def test_a_window_without_channels_has_no_sides(explorer: Explorer, visitor: Visitor) -> None:
    """The file's CuKa is 7.549 to 7.549 keV."""
    state_of(explorer, background="sides")
    state_of(explorer, window=(7.549, 7.549))
    assert visitor.sides() == []
    assert (explorer.energy_map.values == 0).all()
    assert explorer.state.notice == ""


@pytest.mark.parametrize("background", ["sides", "snip"])
def test_a_window_over_all_channels_has_no_background_and_says_so(
    explorer: Explorer, visitor: Visitor, background: str
) -> None:
    """The box can be dragged so far: a notice, nothing raised, and nothing marked that is not."""
    state_of(explorer, background=background)
    kept = explorer.energy_map.values
    state_of(explorer, window=(-5.0, 99.0))
    assert (visitor.box().left, visitor.box().right) == (-5.0, 99.0)
    assert visitor.sides() == []
    assert "no background to take away" in explorer.state.notice
    np.testing.assert_array_equal(explorer.energy_map.values, kept)
    visitor.change(visitor.box(), left=6.2, right=6.6)
    hold_sides(explorer, visitor, background, 2)
    assert explorer.state.notice == ""
    values = explorer.shared.scan.energy_map(6.2, 6.6, background=background)
    np.testing.assert_array_equal(explorer.energy_map.values, values)


def test_a_detection_marks_the_sides_that_it_compares_with(
    explorer: Explorer, visitor: Visitor
) -> None:
    """It is never without a background, also where the counts leave it in."""
    state_of(explorer, layer="detected")
    hold_sides(explorer, visitor, "sides", 2)
    state_of(explorer, background="snip")
    hold_sides(explorer, visitor, "snip", 2)
    state_of(explorer, layer="counts", background="none")
    assert visitor.sides() == []


def test_background_and_layer_are_chosen_by_their_labels(
    explorer: Explorer, visitor: Visitor, controls: Controls
) -> None:
    """A net map is one click away from the gross one."""
    controls["Background under the window"].value = "sides"
    assert explorer.state.background == "sides"
    assert visitor.title("map").endswith("net of side windows")
    values = explorer.shared.scan.energy_map(*explorer.state.window, background="sides")
    np.testing.assert_array_equal(explorer.energy_map.values, values)
    for label, name, first, second in (
        ("Map of", "layer", "detected", "dead time"),
        ("Per second", "per_second", True, False),
        ("Follow resolution", "follow_resolution", True, False),
    ):
        controls[label].value = first
        assert getattr(explorer.state, name) == first
        setattr(explorer.state, name, second)
        assert controls[label].value == second


# --- gestures -------------------------------------------------------------------------------


def test_a_tap_on_the_positions_picks_the_nearest_spectrum(
    explorer: Explorer, visitor: Visitor
) -> None:
    """And shows it everywhere, instead of a cell."""
    explorer.state.cell = (3, 3)
    x, y = explorer.shared.scan.positions[77] + (90, -40)
    visitor.tap("positions", x, y)
    assert explorer.state.cell is None
    assert explorer.state.spectrum == explorer.shared.nearest_spectrum(x, y)
    assert f"<b>{explorer.state.spectrum:,}</b>" in explorer.positions.readout.object
    check(visitor, explorer)


@pytest.mark.parametrize("cell", [(0, 0), (11, 8), (4, 7)])
def test_a_tap_on_the_map_picks_its_cell(
    explorer: Explorer, visitor: Visitor, cell: tuple[int, int]
) -> None:
    """Rows upwards, columns to the right, also near the cell's edge."""
    grid = explorer.shared.scan.grid
    row, column = cell
    visitor.tap("map", grid.x[column] + 0.49 * grid.dx, grid.y[row] - 0.49 * grid.dy)
    assert explorer.state.cell == cell
    check(visitor, explorer)


@pytest.mark.parametrize(
    ("x", "y"), [(None, None), (math.nan, 5.0), (-1e9, 0.0), (150_000.0, 1e12)]
)
def test_a_tap_beside_the_map_picks_nothing(
    explorer: Explorer, visitor: Visitor, x: float | None, y: float | None
) -> None:
    """On the frame, or past the outermost cells."""
    visitor.tap("map", x, y)
    assert explorer.state.cell is None
    assert explorer.state.notice == ""


@pytest.mark.parametrize(("x", "y"), [(None, None), (math.nan, math.nan)])
@pytest.mark.parametrize("gesture", ["tap", "mousemove"])
def test_gestures_beside_the_positions_do_nothing(
    explorer: Explorer, visitor: Visitor, gesture: str, x: float | None, y: float | None
) -> None:
    """Bokeh tells no coordinates outside the frame."""
    before, shown = explorer.state.spectrum, explorer.positions.readout.object
    visitor.gesture("positions", gesture, x, y)
    assert explorer.state.spectrum == before
    assert explorer.positions.readout.object == shown


def test_the_pointer_reads_out_the_nearest_spectrum(explorer: Explorer, visitor: Visitor) -> None:
    """Its number, where it lies, and whether the vendor's map uses it."""
    x, y = explorer.shared.scan.positions[100]
    visitor.gesture("positions", "mousemove", x, y)
    nearest = explorer.shared.nearest_spectrum(x, y)
    readout = explorer.positions.readout.object
    assert f"<b>{nearest}</b>" in readout
    assert f"x {x:,.0f} · y {y:,.0f}" in readout
    assert explorer.state.spectrum != nearest


def test_the_key_counts_both_kinds(explorer: Explorer) -> None:
    """Selected and left out are all there are."""
    used = len(np.unique(explorer.shared.scan.selected_index))
    assert f"{used} in vendor's map" in explorer.positions.key
    assert f"{259 - used} left out" in explorer.positions.key


def test_the_window_is_dragged_edge_by_edge(explorer: Explorer, visitor: Visitor) -> None:
    """The browser sends left, then right; the map is of both."""
    visitor.change(visitor.box(), left=10.4, right=10.8)
    assert explorer.state.window == (10.4, 10.8)
    check(visitor, explorer)
    visitor.change(visitor.box(), right=10.6)
    assert explorer.state.window == (10.4, 10.6)
    check(visitor, explorer)


def test_an_edge_dragged_past_the_other_turns_the_window_round(
    explorer: Explorer, visitor: Visitor
) -> None:
    """The lower energy comes first whichever edge it was."""
    visitor.change(visitor.box(), left=8.0)
    assert explorer.state.window == (6.612, 8.0)
    check(visitor, explorer)


def test_the_window_can_be_dragged_past_the_ends(explorer: Explorer, visitor: Visitor) -> None:
    """No channel lies there: the map is of those that do."""
    visitor.change(visitor.box(), left=-9.0, right=3.0)
    check(visitor, explorer)
    visitor.change(visitor.box(), left=44.0, right=71.0)
    check(visitor, explorer)
    assert explorer.state.notice == ""


def test_an_edge_without_an_energy_is_passed_over(explorer: Explorer, visitor: Visitor) -> None:
    """Bokeh may send null for an edge that is off the plot."""
    before = explorer.state.window
    visitor.change(visitor.box(), left=None)
    assert explorer.state.window == before
    visitor.change(visitor.box(), left=5.0)
    assert explorer.state.window == (5.0, before[1])


def test_a_drag_does_not_move_the_box_under_the_hand(visitor: Visitor) -> None:
    """An edge sent back while it is dragged would make it jump."""
    box, sent = visitor.box(), []
    visitor.document.on_change(sent.append)
    visitor.change(box, left=5.123456789, right=5.987654321)
    theirs = [event for event in sent if getattr(event, "model", None) is box]
    assert [(event.attr, event.new) for event in theirs] == [
        ("left", 5.123456789),
        ("right", 5.987654321),
    ]


# --- controls -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SiKa", "CaKa", "CuKa", "PbLb"])
def test_a_roi_of_the_file_is_chosen_in_one_step(
    explorer: Explorer, controls: Controls, name: str
) -> None:
    """Below and above the present window: one change of it, no notice, fields that follow."""
    (wanted,) = (r for r in explorer.shared.rois if r.name == name)
    windows: list[object] = []
    explorer.state.param.watch(lambda event: windows.append(event.new), "window")
    controls["ROI of the file"].value = roi(controls, name)
    assert windows == [(wanted.low_kev, wanted.high_kev)]
    assert controls.fields == windows[0]
    assert explorer.state.notice == ""


@pytest.mark.parametrize("window", [(0.5, 1.5), (6.3, 7.0), (6.0, 6.4), (20.0, 30.0), (5.0, 9.0)])
def test_the_fields_follow_the_window_without_touching_it(
    explorer: Explorer, controls: Controls, window: tuple[float, float]
) -> None:
    """However it moves; the window between the two fields is nobody's."""
    windows: list[object] = []
    explorer.state.param.watch(lambda event: windows.append(event.new), "window")
    explorer.state.window = window
    assert windows == [window]
    assert controls.fields == window
    assert controls["ROI of the file"].value == "own window"
    assert explorer.state.notice == ""


def test_the_chooser_shows_the_roi_that_the_window_is(
    explorer: Explorer, controls: Controls
) -> None:
    """Set by whatever means."""
    assert controls["ROI of the file"].value == roi(controls, "FeKa")
    explorer.state.window = (3.516, 3.85)
    assert controls["ROI of the file"].value == roi(controls, "CaKa")


def test_a_scan_without_rois_has_a_chooser_that_says_so(without_rois: SharedScan) -> None:
    """It is there, so that nobody looks for it, and cannot be used."""
    explorer = Explorer(without_rois)
    layout = explorer.__panel__()
    visitor, controls = show(layout), Controls(layout)
    chooser = controls["ROI (the file has none)"]
    assert chooser.disabled
    assert chooser.options == ["own window"]
    explorer.state.window = (3.0, 4.0)
    assert chooser.value == "own window"
    check(visitor, explorer)


def test_an_energy_typed_moves_the_window(
    explorer: Explorer, visitor: Visitor, controls: Controls
) -> None:
    """Either edge by itself."""
    controls["from (keV)"].value = 6.3
    assert explorer.state.window == (6.3, 6.612)
    controls["to (keV)"].value = 7.1
    assert explorer.state.window == (6.3, 7.1)
    check(visitor, explorer)


@pytest.mark.parametrize(
    ("field", "value"),
    [("from (keV)", 9.0), ("to (keV)", 1.0), ("from (keV)", None), ("to (keV)", None)],
)
def test_a_window_that_makes_no_sense_is_refused_with_a_notice(
    explorer: Explorer, visitor: Visitor, controls: Controls, field: str, value: float | None
) -> None:
    """The fields go back to what is shown, and the next good one is taken."""
    before = explorer.state.window
    controls[field].value = value
    assert explorer.state.window == before
    assert controls.fields == before
    assert "lower one first" in explorer.state.notice
    check(visitor, explorer)
    controls["to (keV)"].value = 6.9
    assert explorer.state.window == (before[0], 6.9)
    assert explorer.state.notice == ""


@pytest.mark.parametrize(
    "window", [(7.0, 6.0), (math.nan, 6.0), (6.0, math.inf), (-math.inf, 6.0), None, (6.0,), "6~7"]
)
def test_a_bad_window_set_from_python_raises_and_changes_nothing(
    explorer: Explorer, visitor: Visitor, controls: Controls, window: object
) -> None:
    """Else the next change of anything would stumble over it."""
    before = explorer.state.window
    with pytest.raises(ValueError, match="window"):
        explorer.state.window = window
    assert explorer.state.window == before
    assert controls.fields == before
    state_of(explorer, clip=(1.0, 99.0))
    check(visitor, explorer)


def test_controls_are_the_states_parameters(explorer: Explorer, controls: Controls) -> None:
    """Widget to state and back."""
    state = explorer.state
    for label, name, first, second in (
        ("Smoothing sigma (channels)", "sigma", 3.3, 4.4),
        ("Interpolation", "method", "linear", "nearest"),
        ("Map from smoothed spectra", "smooth_map", True, False),
        ("Colour map", "colour_map", "gray", "magma"),
        ("Colour range (percentiles)", "clip", (2.0, 90.0), (0.5, 99.0)),
        ("Log", "log_counts", True, False),
        ("Sum", "show_sum", False, True),
        ("Max", "show_max", True, False),
    ):
        controls[label].value = first
        assert getattr(state, name) == first
        setattr(state, name, second)
        assert controls[label].value == second


# --- a cell without a datum -----------------------------------------------------------------


def test_a_cell_without_a_datum_can_be_picked(holed: SharedScan) -> None:
    """No line, no failure, and a title that says why; the next cell is drawn as ever."""
    explorer = Explorer(holed)
    visitor = show(explorer)
    row, column = np.argwhere(np.isnan(explorer.energy_map.values))[0]
    visitor.tap("map", holed.scan.grid.x[column], holed.scan.grid.y[row])
    assert explorer.state.cell == (row, column)
    assert explorer.state.notice == ""
    assert np.isnan(explorer.spectrum.counts).all()
    for number in (RAW, SMOOTH):
        assert np.isnan(visitor.line(number)[1]).all()
    assert np.isfinite(visitor.limits()).all()
    assert "nan" not in visitor.title("spectrum")
    state_of(explorer, log_counts=True, sigma=2.0, show_sum=False)
    assert np.isfinite(visitor.limits()).all()
    state_of(explorer, log_counts=False, cell=(0, 0))
    check(visitor, explorer)
    assert explorer.state.notice == ""


def test_a_scan_without_counts_can_be_shown(
    open_changed: Callable[[str, Callable[[Any], None]], SharedScan],
) -> None:
    """Black, but all there."""

    def change(file: Any) -> None:
        file["XRF/Spectra"][...] = 0

    explorer = Explorer(open_changed("dark", change))
    visitor = show(explorer)
    check(visitor, explorer)
    state_of(explorer, log_counts=True, show_max=True)
    check(visitor, explorer)
    assert explorer.state.notice == ""


def test_a_measured_scan_of_2048_channels_can_be_shown(measured: SharedScan) -> None:
    """Another detector, another axis, every position selected, no ROIs."""
    explorer = Explorer(measured)
    visitor = show(explorer)
    check(visitor, explorer)
    assert len(visitor.line(RAW)[0]) == 2 * 2048
    state_of(explorer, method="linear", sigma=3.0, smooth_map=True, cell=(49, 0))
    check(visitor, explorer)
    # A regular raster: the interpolated spectrum of a cell is the measured one.
    nearest = measured.nearest_spectrum(measured.scan.grid.x[0], measured.scan.grid.y[49])
    np.testing.assert_allclose(explorer.spectrum.counts, measured.scan.spectrum(nearest), atol=1e-3)
    assert "0 left out" in explorer.positions.key


# --- notices and failures -------------------------------------------------------------------


def test_a_view_that_fails_says_so_and_the_others_go_on(
    explorer: Explorer,
    visitor: Visitor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Something unforeseen: a sentence for the visitor, a traceback for the log."""
    scan = explorer.shared.scan

    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("secret detail")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(scan, "energy_map", fail)
        state_of(explorer, window=(3.0, 4.0), spectrum=9)
    assert "(RuntimeError)" in explorer.state.notice
    assert "secret detail" not in explorer.state.notice
    assert "secret detail" in caplog.text
    np.testing.assert_array_equal(explorer.spectrum.counts, scan.spectrum(9))
    state_of(explorer, window=(3.0, 4.1))
    check(visitor, explorer)


def test_an_error_of_ours_is_shown_as_it_stands(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written for the visitor."""

    def fail(*_args: object, **_options: object) -> None:
        raise MaxrfError("the file was moved; open it again.")

    monkeypatch.setattr(explorer.shared.scan, "spectrum", fail)
    state_of(explorer, spectrum=9)
    assert fault_told(explorer) == "the file was moved; open it again."


def test_a_notice_comes_and_goes_with_the_state(explorer: Explorer, controls: Controls) -> None:
    """An empty one takes no room."""
    assert controls.notice is None
    explorer.state.notice = "something"
    assert controls.notice.object == "something"
    explorer.state.notice = ""
    assert controls.notice is None


def test_a_notice_that_was_closed_is_shown_again_if_it_happens_again(controls: Controls) -> None:
    """The same mistake twice is the same sentence twice."""
    controls["from (keV)"].value = 9.0
    assert controls.notice.object
    controls.notice.closed = True  # the visitor's click
    assert controls.notice is None
    controls["from (keV)"].value = 9.5
    assert controls.notice.object
    assert not controls.notice.closed


@pytest.mark.parametrize("view", ["map", "spectrum"])
def test_a_notice_goes_when_its_view_recovers(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    """It would be believed of the map that is shown now."""
    change = {"map": {"window": (3.0, 4.0)}, "spectrum": {"spectrum": 9}}[view]
    again = {"map": {"window": (3.0, 4.1)}, "spectrum": {"spectrum": 10}}[view]

    def fail(*_args: object, **_options: object) -> None:
        raise MaxrfError("the share was gone for a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(explorer.shared.scan, {"map": "energy_map"}.get(view, view), fail)
        state_of(explorer, **change)
    assert fault_told(explorer) == "the share was gone for a moment."
    state_of(explorer, **again)
    assert explorer.state.notice == ""


def test_a_recovered_view_takes_back_its_own_notice_only(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another part of the page said later still holds."""

    def fail(*_args: object, **_options: object) -> None:
        raise MaxrfError("the share was gone for a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(explorer.shared.scan, "energy_map", fail)
        state_of(explorer, window=(3.0, 4.0))
    explorer.state.notice = "The energy axis disagrees."
    state_of(explorer, window=(3.0, 4.1))
    assert explorer.state.notice == "The energy axis disagrees."


@pytest.mark.parametrize("pick", [{"cell": (12, 2)}, {"spectrum": 259}])
def test_a_pick_that_another_scan_lacks_is_a_notice(
    shared: SharedScan, without_rois: SharedScan, pick: dict[str, Any]
) -> None:
    """Two scans side by side share a state: what is picked on the larger one is not on both."""
    state = ViewState(window=(6.2, 6.6), spectrum=5)
    small, large = Explorer(shared, state=state), Explorer(without_rois, state=state)
    here, there = show(small), show(large)
    mark = here.mark("map")
    state.param.update(**pick)
    assert "outside the grid" in state.notice or "no spectrum 259" in state.notice
    check(there, large)
    assert here.mark("map") == here.mark("positions") == mark
    np.testing.assert_array_equal(small.spectrum.counts, shared.scan.spectrum(5))
    assert here.title("spectrum").startswith("Spectrum 5 ·")
    assert show(small).mark("map") == mark
    state.pick_spectrum(8)
    check(here, small)
    check(there, large)
    assert state.notice == ""


def test_a_view_alone_takes_back_its_notice_of_a_pick(shared: SharedScan) -> None:
    """Without a spectrum beside it, too."""
    state = ViewState(spectrum=5)
    visitor = show(MotorPositionsView(shared, state))
    state.cell = (12, 2)
    assert "outside the grid" in state.notice
    state.cell = (2, 1)
    assert state.notice == ""
    assert visitor.mark("positions") == (shared.scan.grid.x[1], shared.scan.grid.y[2])


def test_a_pick_builds_no_interpolation(
    explorer: Explorer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To mark a cell must not wait for a kriging of 20 s; its spectrum waits in a thread."""
    scan = explorer.shared.scan

    def fail(*_args: object, **_options: object) -> None:
        raise MaxrfError("still being built.")

    monkeypatch.setattr(scan, "operator", fail)
    explorer.state.cell = (3, 4)
    assert visitor.mark("map") == visitor.mark("positions") == (scan.grid.x[4], scan.grid.y[3])


# --- strings from files ---------------------------------------------------------------------


def markup(visitor: Visitor) -> list[str]:
    """Return every text in a document that a component may set as HTML, as it would set it."""
    found = []
    for model in visitor.document.models:
        for holder in (model, getattr(model, "data", None)):
            for name in ("text", "object"):
                value = getattr(holder, name, None)
                if isinstance(value, str):
                    found.append(unescape(value))
    return found


def test_names_from_the_file_are_text(hostile: SharedScan) -> None:
    """Neither HTML nor Markdown: a picture in a name would be fetched from outside."""
    layout = Explorer(hostile).__panel__()
    visitor = show(layout)
    html_texts = [pane.object for pane in layout.select(pn.pane.HTML)]
    assert any("&lt;b&gt;scan *1* ![x](y)" in text for text in html_texts)
    for text in html_texts + markup(visitor):
        assert "<script" not in text
        assert "<img" not in text
        assert "<b>scan" not in text
    options = Controls(layout)["ROI of the file"].options
    assert options[1].startswith("<script>alert(1)</script> · 3.000")  # a label is no HTML


SNEAKY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](http://example.org/x.png)",
    "[click](http://example.org)",
    "http://example.org",
    "www.example.org",
    "# large",
    "1. one",
    "    code",
    "a_b_c *d* __e__ `f` ~~g~~",
    "&lt;b&gt;",
]


@pytest.mark.parametrize("text", SNEAKY)
def test_a_notice_is_text(text: str) -> None:
    """It quotes the address and files; Panel renders an alert as Markdown."""
    state = ViewState()
    notice = notice_of(state)
    state.notice = text
    (alert,) = notice.__panel__()
    sent = alert.get_root().data.object
    shown = paragraph(sent)
    assert shown == text.strip()


def paragraph(sent: str) -> str:
    """Return the text of an alert as the browser shows it, which must be all of one paragraph.

    The component decodes what it is sent once and sets it as HTML.
    """
    parser = Paragraph()
    parser.feed(unescape(sent))
    assert parser.tags <= {"p"}, f"rendered as {unescape(sent)!r}"
    return parser.text.strip()


class Paragraph(HTMLParser):
    """Collects the text and the tags of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


# --- alone, together, twice -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["positions", "map", "spectrum"])
def test_each_view_can_be_shown_alone(shared: SharedScan, name: str) -> None:
    """In a notebook's cell, under its own name."""
    explorer = Explorer(shared)
    view = {
        "positions": explorer.positions,
        "map": explorer.energy_map,
        "spectrum": explorer.spectrum,
    }[name]
    visitor = show(view)
    assert visitor.figures() == [name]
    state_of(explorer, spectrum=11, window=(3.516, 3.85), log_counts=True, colour_map="gray")
    if name == "spectrum":
        assert "Spectrum 11" in visitor.title(name)
        _, y = comb(explorer.shared.scan.energies, explorer.shared.scan.spectrum(11))
        np.testing.assert_array_equal(visitor.line(RAW)[1], np.maximum(y, np.float32(1e-4)))
    else:
        assert visitor.mark(name) == tuple(explorer.shared.scan.positions[11])


def test_a_gesture_in_one_view_alone_reaches_the_other(shared: SharedScan) -> None:
    """Two cells of a notebook are still one explorer."""
    explorer = Explorer(shared)
    positions, spectrum = show(explorer.positions), show(explorer.spectrum)
    positions.tap("positions", *explorer.shared.scan.positions[42])
    wanted = explorer.shared.nearest_spectrum(*explorer.shared.scan.positions[42])
    assert f"Spectrum {wanted}" in spectrum.title("spectrum")


def test_an_explorer_shown_twice_follows_twice(shared: SharedScan) -> None:
    """A window dragged in one is moved in the other."""
    explorer = Explorer(shared)
    first, second = show(explorer), show(explorer)
    first.change(first.box(), left=3.5, right=3.9)
    state_of(explorer, cell=(1, 2), sigma=1.0)
    check(first, explorer)
    check(second, explorer)


def test_two_explorers_share_a_state(shared: SharedScan, without_rois: SharedScan) -> None:
    """The same window and sigma on two scans, side by side."""
    state = ViewState(window=(6.2, 6.6), spectrum=5)
    one, other = Explorer(shared, state=state), Explorer(without_rois, state=state)
    here, there = show(one), show(other)
    state.param.update(window=(3.5, 3.9), sigma=2.0, spectrum=8)
    check(here, one)
    check(there, other)
    assert one.energy_map.values.shape != other.energy_map.values.shape


def test_two_visitors_have_their_own_state(shared: SharedScan) -> None:
    """One scan, two explorers: what one does the other does not see."""
    one, other = Explorer(shared), Explorer(shared)
    here, there = show(one), show(other)
    state_of(one, window=(3.5, 3.9), sigma=2.0, spectrum=8, log_counts=True)
    assert other.state.window == (6.169, 6.612)
    check(here, one)
    check(there, other)


def test_a_layout_built_early_shows_the_present(shared: SharedScan) -> None:
    """A notebook's cell makes it, another one sets the state, a third one shows it."""
    explorer = Explorer(shared)
    layout = explorer.views()
    state_of(explorer, **CHANGES["all"] | {"log_counts": False})
    visitor = show(layout)
    check(visitor, explorer)
    assert visitor.title("map") == explorer.energy_map.title
    assert visitor.title("spectrum") == explorer.spectrum.title
    state_of(explorer, window=(8.369, 8.871), cell=None, smooth_map=False)
    check(visitor, explorer)


def test_a_layout_built_early_shows_the_present_of_all_that_is_new(shared: SharedScan) -> None:
    """Layer, unit, side windows and the shape of sigma, too."""
    explorer = Explorer(shared)
    layout = explorer.views()
    state_of(
        explorer,
        layer="standard error",
        per_second=True,
        background="sides",
        follow_resolution=True,
        colour_map="magma",
        show_max=True,
    )
    visitor = show(layout)
    expected = shared.scan.energy_map_error(*explorer.state.window, **PER_SECOND_NET)
    np.testing.assert_array_equal(visitor.source("map", "Image").data["value"][0], expected)
    assert visitor.colour_bar().title == "counts/s"
    (image,) = (r for r in visitor.figure("map").renderers if type(r.glyph).__name__ == "Image")
    assert image.glyph.color_mapper.palette == palette("magma")
    assert visitor.colour_bar().color_mapper.palette == palette("magma")
    assert visitor.title("map") == explorer.energy_map.title
    assert len(visitor.sides()) == 2
    source = visitor.source("spectrum", "Line", SMOOTH)
    np.testing.assert_array_equal(source.data["shape"], shared.sigma_shape.astype(np.float32))
    np.testing.assert_array_equal(source.data["counts"], explorer.spectrum.smoothed)
    lines = [r for r in visitor.figure("spectrum").renderers if type(r.glyph).__name__ == "Line"]
    assert lines[MAX].visible


def test_the_same_layout_can_be_shown_twice(shared: SharedScan) -> None:
    """Two cells of a notebook that name the same variable."""
    explorer = Explorer(shared)
    layout = explorer.views()
    first = show(layout)
    state_of(explorer, window=(3.5, 3.9), spectrum=8)
    second = show(layout)
    check(first, explorer)
    check(second, explorer)
    second.change(second.box(), left=8.4, right=8.8)
    state_of(explorer, cell=(1, 2), sigma=1.0, background="sides")
    for visitor in (first, second):
        assert visitor.box().left == 8.4
        assert len(visitor.sides()) == 2
        assert visitor.title("map").startswith("8.400–8.800 keV")
        np.testing.assert_array_equal(
            visitor.source("map", "Image").data["value"][0], explorer.energy_map.values
        )
        assert visitor.mark("map") == (shared.scan.grid.x[2], shared.scan.grid.y[1])


# --- on a server ----------------------------------------------------------------------------


def test_gestures_on_a_server_are_answered(shared: SharedScan) -> None:
    """The same through a session: computed in a thread, drawn with the document's lock."""

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            explorer, grid = session.shown, shared.scan.grid
            await session.do(lambda: session.tap("map", grid.x[3], grid.y[7]))
            await until(lambda: "row 7, column 3" in session.title("spectrum"))
            await session.do(lambda: session.change(session.box(), left=3.5, right=3.9))
            await until(lambda: "3.500–3.900" in session.title("map"))
            check(session, explorer)
            await session.do(lambda: state_of(explorer, log_counts=True))
            await until(lambda: isinstance(session.figure("spectrum").y_scale, LogScale))
            await session.do(lambda: session.tap("positions", *shared.scan.positions[9]))
            await until(lambda: session.title("spectrum").startswith("Spectrum"))
            check(session, explorer)
            assert explorer.state.notice == ""

    asyncio.run(scenario())


def test_a_drag_on_a_server_computes_no_map_for_a_window_that_never_was(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left and right arrive one after the other; the map of one old and one new edge is waste."""
    computed: list[tuple[float, float]] = []
    compute = shared.scan.energy_map

    def remember(low: float, high: float, **options: Any) -> npt.NDArray:
        computed.append((low, high))
        return compute(low, high, **options)

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            monkeypatch.setattr(shared.scan, "energy_map", remember)
            await session.do(lambda: session.change(session.box(), left=10.4, right=10.8))
            await until(lambda: "10.400–10.800" in session.title("map"))

    asyncio.run(scenario())
    assert computed == [(10.4, 10.8)]


def test_a_drag_on_a_server_costs_no_more_than_its_windows_and_its_map(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one old and one new edge nobody thinks; and the fields tell where the hand rests.

    With fifty visitors these two were most of what the server did, and all waited for them.
    """
    monkeypatch.setattr("dashboard.explorer._SETTLED_MS", 1000)  # on a busy machine, too

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            explorer, windows, told = session.shown, [], []
            (field,) = labelled(pn.panel(explorer.controls()), "from (keV)")
            field.param.watch(lambda event: told.append(event.new), "value")
            explorer.state.param.watch(lambda event: windows.append(event.new), "window")
            lows = [3.1, 3.2, 3.3, 3.4, 3.5]
            for low in lows:
                await session.do(
                    lambda low=low: session.change(session.box(), left=low, right=low + 0.4)
                )
                await until(lambda low=low: explorer.state.window[0] == low)
            await until(lambda: told)
            assert windows == [(low, pytest.approx(low + 0.4)) for low in lows]
            assert told == lows[-1:]

    asyncio.run(scenario())


def test_a_slider_lets_the_browser_draw_and_the_server_follows_when_it_rests(
    shared: SharedScan,
) -> None:
    """The line is not sent twenty times a second; what is sent in the end is the core's own."""

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            explorer, sent = session.shown, []
            patch, before = explorer.spectrum._patch, session.line(SMOOTH)[1]
            explorer.spectrum._patch = lambda name, **new: sent.append(name) or patch(name, **new)
            for step in range(20):
                await session.do(lambda step=step: state_of(explorer, sigma=3.0 + step / 10))
                await asyncio.sleep(0.005)
            np.testing.assert_array_equal(session.line(SMOOTH)[1], before)
            expected = expected_spectrum(explorer, 4.9)
            await until(lambda: np.allclose(session.line(SMOOTH)[1], expected, atol=1e-6))
            assert sent == ["smooth"]
            assert "smoothing 59 eV" in session.title("spectrum")

    asyncio.run(scenario())


def test_without_a_slider_the_server_draws_each_sigma_at_once(shared: SharedScan) -> None:
    """A spectrum alone on a page has nobody else to do it."""

    async def scenario() -> None:
        explorer = Explorer(shared)
        async with served(lambda: explorer.spectrum) as session:
            await session.do(lambda: state_of(explorer, sigma=2.0))
            expected = expected_spectrum(explorer, 2.0)
            np.testing.assert_allclose(session.line(SMOOTH)[1], expected, atol=1e-6)

    asyncio.run(scenario())


def test_a_visitor_who_left_is_forgotten(shared: SharedScan) -> None:
    """Their views and data are freed; the scan stays for the others."""

    async def scenario() -> weakref.ref:
        async with served(lambda: Explorer(shared)) as session:
            explorer = weakref.ref(session.shown)
            await session.do(lambda: session.tap("positions", *shared.scan.positions[9]))
            await until(lambda: "Spectrum 9" in session.title("spectrum"))
            session.shown = None
        return explorer

    explorer = asyncio.run(scenario())
    show(Explorer(shared).energy_map)  # HoloViews keeps the options of the last plot it looked up
    for _ in range(4):  # what is freed frees more
        gc.collect()
    assert explorer() is None
    assert shared.scan.spectrum(3).sum() > 0


# --- what comes too late --------------------------------------------------------------------


def gated(function: Callable[..., Any]) -> tuple[Callable[..., Any], threading.Event, Any]:
    """Return a function that waits before it goes on, and the events of both."""
    began, gate = threading.Event(), threading.Event()

    def wait(*args: Any, **options: Any) -> Any:
        began.set()
        assert gate.wait(20)
        return function(*args, **options)

    return wait, began, gate


def test_the_spectrums_title_belongs_to_the_counts_shown(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sigma moves while another spectrum is read: the title names the one that is drawn."""

    async def scenario() -> None:
        async with served(lambda: Explorer(shared).spectrum) as session:
            view = session.shown
            await session.do(lambda: view.state.pick_spectrum(9))
            await until(lambda: session.title("spectrum").startswith("Spectrum 9 ·"))
            slow, began, gate = gated(shared.scan.spectrum)
            monkeypatch.setattr(shared.scan, "spectrum", slow)
            await session.do(lambda: view.state.pick_spectrum(20))
            await until(began.is_set)
            await session.do(lambda: setattr(view.state, "sigma", 2.0))
            assert session.title("spectrum").startswith("Spectrum 9 ·")
            assert "smoothing 24 eV" in session.title("spectrum")
            assert view.title == session.title("spectrum")
            gate.set()
            await until(lambda: session.title("spectrum").startswith("Spectrum 20 ·"))
            np.testing.assert_array_equal(view.counts, shared.scan.spectrum(20))

    asyncio.run(scenario())


def test_a_spectrum_that_cannot_be_read_gives_no_title(
    explorer: Explorer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old counts stay, and stay under their own name; also in a plot drawn anew."""
    state_of(explorer, spectrum=9)

    def fail(*_args: object, **_options: object) -> None:
        raise MaxrfError("the share is gone.")

    with monkeypatch.context() as patch:
        patch.setattr(explorer.shared.scan, "spectrum", fail)
        state_of(explorer, spectrum=20)
        state_of(explorer, sigma=2.0)
        assert visitor.title("spectrum").startswith("Spectrum 9 ·")
        state_of(explorer, log_counts=True)
        assert visitor.title("spectrum").startswith("Spectrum 9 ·")
    assert fault_told(explorer) == "the share is gone."
    state_of(explorer, spectrum=21)
    assert visitor.title("spectrum").startswith("Spectrum 21 ·")


@pytest.mark.parametrize("older", [False, True])
def test_the_newest_pick_counts_whichever_is_answered_last(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    """A tap on millions of positions is searched for; a tap on the map meanwhile is newer."""

    async def scenario() -> None:
        async with served(lambda: Explorer(shared)) as session:
            explorer, grid = session.shown, shared.scan.grid
            x, y = shared.scan.positions[200]
            slow, began, gate = gated(shared.nearest_spectrum)
            monkeypatch.setattr(shared, "nearest_spectrum", slow)
            if not older:
                await session.do(lambda: session.tap("map", grid.x[3], grid.y[7]))
            await session.do(lambda: session.tap("positions", x, y))
            await until(began.is_set)
            if older:
                await session.do(lambda: session.tap("map", grid.x[3], grid.y[7]))
            gate.set()
            await until(lambda: not explorer.positions._picking._running)
            if older:
                assert explorer.state.cell == (7, 3)
                assert explorer.state.spectrum == shared.brightest_spectrum
            else:
                assert explorer.state.cell is None
                assert explorer.state.spectrum == slow(x, y)

    asyncio.run(scenario())
