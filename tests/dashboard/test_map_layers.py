"""What a map can show: each layer is the core's own answer, and is told for what it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from visitor import Visitor, labelled, show

from dashboard import Explorer
from dashboard.data import SharedScan
from dashboard.layers import LAYERS, Asked
from dashboard.scaling import scale_map
from maxrf_core import Scan, convert_crono, open_scan, simulate_crono
from maxrf_core.resolution import fit_resolution

OpenChanged = Callable[[str, Callable[[h5py.File], None]], SharedScan]

IRON, EMPTY = (6.169, 6.612), (28.0, 28.15)
"""A strong line, and a window in which most cells have no count at all."""

CHOICES: dict[str, dict[str, Any]] = {
    "gross": {},
    "linear": {"method": "linear"},
    "side windows": {"background": "sides"},
    "SNIP": {"background": "snip"},
    "per second": {"per_second": True},
    "smoothed": {"sigma": 6.0},
    "lag": {"lag": 0.3},
    "all": {
        "method": "linear",
        "background": "snip",
        "per_second": True,
        "sigma": 4.0,
        "lag": -0.2,
    },
}


def expected_layer(scan: Scan, asked: Asked) -> npt.NDArray[np.float32]:
    """Return a layer from the scan itself."""
    sigma: Any = asked.sigma
    if asked.follow_resolution:
        resolution = fit_resolution(scan.energies, scan.total_spectrum)
        sigma = sigma * resolution.sigma_channels(scan.energies, sigma=1.0)
    place = {"method": asked.method, "lag": asked.lag}
    options = {
        **place,
        "sigma": sigma,
        "per_second": asked.per_second,
        "background": asked.background,
    }
    if asked.layer == "counts":
        return scan.energy_map(*asked.window, **options)
    if asked.layer == "standard error":
        return scan.energy_map_error(*asked.window, **options)
    if asked.layer == "signal-to-noise":
        counts = scan.energy_map(*asked.window, **options)
        error = scan.energy_map_error(*asked.window, **options)
        with np.errstate(invalid="ignore"):
            return np.where(error == 0, np.float32(0), counts / error)
    if asked.layer == "detected":
        background = "sides" if asked.background == "none" else asked.background
        return scan.detection_map(*asked.window, background=background, **place)
    return 100 * scan.dead_time_map(**place)


# --- the maps -------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES.keys())
@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_is_the_cores_map(shared: SharedScan, layer: str, choices: dict[str, Any]) -> None:
    """To the last digit, with each choice that a map can depend on."""
    asked = Asked(IRON, **({"method": "kriging"} | choices), layer=layer)
    found = shared.layer_map(asked)
    assert found.dtype == np.float32
    assert found.shape == (12, 9)
    np.testing.assert_array_equal(found, expected_layer(shared.scan, asked))


@pytest.mark.parametrize("layer", ["counts", "standard error", "signal-to-noise"])
def test_smoothing_may_follow_the_resolution(shared: SharedScan, layer: str) -> None:
    """Another sigma in each channel, and so another map than with the same in all."""
    asked = Asked(IRON, "linear", sigma=9.0, follow_resolution=True, layer=layer)
    found = shared.layer_map(asked)
    np.testing.assert_array_equal(found, expected_layer(shared.scan, asked))
    constant = shared.layer_map(Asked(IRON, "linear", sigma=9.0, layer=layer))
    assert not np.array_equal(found, constant)


def test_signal_to_noise_is_0_where_there_are_no_counts(shared: SharedScan) -> None:
    """Nothing divided by its error of nothing: no signal, not the lack of a datum."""
    options = {"method": "nearest", "lag": 0.0}
    error = shared.scan.energy_map_error(*EMPTY, **options)
    ratio = shared.layer_map(Asked(EMPTY, "nearest", layer="signal-to-noise"))
    assert 0 < (error == 0).sum() < error.size
    assert (ratio[error == 0] == 0).all()
    counts = shared.scan.energy_map(*EMPTY, **options)[error > 0]
    np.testing.assert_array_equal(ratio[error > 0], counts / error[error > 0])
    # One spectrum's n counts have the error sqrt(n).
    np.testing.assert_allclose(ratio[error > 0], np.sqrt(counts), rtol=1e-6)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_cell_without_a_datum_has_none_in_any_layer(holed: SharedScan, layer: str) -> None:
    """Not 0: nobody looked there."""
    empty = np.isnan(holed.scan.energy_map(*IRON, method="linear"))
    found = holed.layer_map(Asked(IRON, "linear", layer=layer))
    assert 0 < empty.sum() < empty.size
    np.testing.assert_array_equal(np.isnan(found), empty)


def test_the_map_of_the_first_look_is_kept_and_no_other(crono_file: Path, tmp_path: Path) -> None:
    """Every visitor begins there; another layer of the same window is not that map."""
    crono = shutil.copy(crono_file, tmp_path)
    with open_scan(convert_crono(crono, cubes=False, progress=False)) as scan:
        shared = SharedScan(scan)
        shared.prepare()
        look = Asked(IRON, scan.method, lag=scan.lag_corrected)
        assert shared.layer_map(look) is shared.layer_map(look)
        np.testing.assert_array_equal(shared.layer_map(look), scan.energy_map(*IRON))
        error = Asked(IRON, scan.method, lag=scan.lag_corrected, layer="standard error")
        np.testing.assert_array_equal(shared.layer_map(error), scan.energy_map_error(*IRON))


# --- what they are called -------------------------------------------------------------------

TITLES = [
    ({}, "6.169–6.612 keV · kriging", "counts"),
    ({"per_second": True}, "6.169–6.612 keV · kriging", "counts/s"),
    ({"background": "sides"}, "6.169–6.612 keV · kriging · net of side windows", "counts"),
    (
        {"background": "snip", "sigma": 4.0},
        "6.169–6.612 keV · kriging · net of SNIP · spectra smoothed by 4",
        "counts",
    ),
    (
        {"sigma": 4.5, "follow_resolution": True},
        "6.169–6.612 keV · kriging · spectra smoothed by 4.5 at 5.9 keV",
        "counts",
    ),
    (
        {"layer": "standard error", "per_second": True},
        "Standard error · 6.169–6.612 keV · kriging",
        "counts/s",
    ),
    (
        {"layer": "signal-to-noise", "per_second": True},
        "Signal-to-noise · 6.169–6.612 keV · kriging",
        "counts / error",
    ),
    (
        {"layer": "detected", "sigma": 4.0},
        "Detected · 6.169–6.612 keV · kriging · net of side windows",
        "0 no, 1 yes",
    ),
    (
        {"layer": "detected", "background": "snip"},
        "Detected · 6.169–6.612 keV · kriging · net of SNIP",
        "0 no, 1 yes",
    ),
    (
        {"layer": "dead time", "background": "snip", "sigma": 4.0, "per_second": True},
        "Dead time · kriging",
        "%",
    ),
]


@pytest.mark.parametrize(("choices", "title", "unit"), TITLES)
def test_a_map_is_titled_by_what_it_depends_on(
    choices: dict[str, Any], title: str, unit: str
) -> None:
    """And by nothing else: dead time knows of no window, a detection of no smoothing."""
    asked = Asked(IRON, "kriging", **choices)
    assert (asked.title, asked.unit) == (title, unit)


def drawn_is(visitor: Visitor, explorer: Explorer, asked: Asked) -> None:
    """Hold the map that is drawn, its title and its colour bar to what is asked."""
    expected = expected_layer(explorer.shared.scan, asked)
    np.testing.assert_array_equal(explorer.energy_map.values, expected)
    scaled = scale_map(expected, explorer.state.clip)
    np.testing.assert_array_equal(visitor.image(), scaled.levels)
    np.testing.assert_array_equal(visitor.source("map", "Image").data["value"][0], expected)
    bar = visitor.colour_bar()
    assert (bar.color_mapper.low, bar.color_mapper.high) == (scaled.low, scaled.high)
    assert bar.title == asked.unit
    assert visitor.title("map") == explorer.energy_map.title == asked.title


def test_title_and_colour_bar_follow_the_layer(shared: SharedScan) -> None:
    """A bar that says counts beside a map of errors would lie."""
    explorer = Explorer(shared)
    visitor = show(explorer.energy_map)
    window = explorer.state.window
    for layer in [*LAYERS, "counts"]:
        explorer.state.layer = layer
        drawn_is(visitor, explorer, Asked(window, "kriging", layer=layer))
    for change in ({"per_second": True}, {"background": "sides"}, {"window": (3.5, 3.9)}):
        explorer.state.param.update(layer="standard error", **change)
    asked = Asked(
        (3.5, 3.9), "kriging", layer="standard error", background="sides", per_second=True
    )
    drawn_is(visitor, explorer, asked)
    drawn_is(show(explorer.energy_map), explorer, asked)  # a plot that is made only now


# --- what is offered ------------------------------------------------------------------------


def without(*names: str) -> Callable[[h5py.File], None]:
    """Return a change that takes datasets out of a file."""

    def change(file: h5py.File) -> None:
        for name in names:
            del file[f"XRF/{name}"]

    return change


def test_a_scan_with_times_offers_all(shared: SharedScan) -> None:
    """All layers, the switch of rates, and what the dead time was."""
    controls = Explorer(shared).controls()
    (layers,) = labelled(controls, "Map of")
    assert layers.options == list(LAYERS)
    assert len(labelled(controls, "Per second")) == 1
    dead = shared.scan.dead_time_fraction
    text = f"Dead time {100 * dead.mean():.1f} % (at most {100 * dead.max():.1f} %)"
    assert any(getattr(item, "object", None) == text for item in controls.select())


@pytest.mark.parametrize(
    ("names", "rates"), [(("LiveTimes",), False), (("RealTimes",), True)], ids=["live", "real"]
)
def test_what_a_scan_has_no_use_for_is_not_offered(
    open_changed: OpenChanged, names: tuple[str, ...], rates: bool
) -> None:
    """Without live times no rates, and without both times no dead time."""
    explorer = Explorer(open_changed("untimed", without(*names)))
    controls = explorer.controls()
    (layers,) = labelled(controls, "Map of")
    assert layers.options == ["counts", "standard error", "signal-to-noise", "detected"]
    assert len(labelled(controls, "Per second")) == int(rates)
    texts = [str(getattr(item, "object", "")) for item in controls.select()]
    assert not any("Dead time" in text for text in texts)
    visitor = show(explorer.energy_map)
    for layer in layers.options:
        layers.value = layer
        drawn_is(visitor, explorer, Asked(explorer.state.window, "kriging", layer=layer))
    assert explorer.state.notice == ""


# --- the pointer ----------------------------------------------------------------------------

POINTED = [
    {},
    {"per_second": True},
    {"background": "sides"},
    {"background": "snip", "per_second": True, "smooth_map": True, "sigma": 5.0},
    {"smooth_map": True, "sigma": 5.0, "follow_resolution": True},
    {"method": "linear"},
    {"layer": "standard error", "background": "sides"},
    {"layer": "dead time"},
]


@pytest.mark.parametrize("choices", POINTED, ids=lambda choices: "-".join(choices) or "gross")
def test_the_pointer_is_told_counts_and_their_error(
    shared: SharedScan, choices: dict[str, Any]
) -> None:
    """As the maps of both have them in that cell, whatever the map shows."""
    explorer = Explorer(shared)
    explorer.state.param.update(**choices)
    visitor, grid, state = show(explorer.energy_map), shared.scan.grid, explorer.state
    asked = Asked(
        state.window,
        state.method,
        state.sigma if state.smooth_map else 0.0,
        state.follow_resolution,
        background=state.background,
        per_second=state.per_second,
    )
    error_asked = Asked(**{**vars(asked), "layer": "standard error"})
    counts, error = expected_layer(shared.scan, asked), expected_layer(shared.scan, error_asked)
    for row, column in ((0, 0), (11, 8), (5, 2)):
        visitor.point("map", grid.x[column] - 0.4 * grid.dx, grid.y[row] + 0.4 * grid.dy)
        told = visitor.answer()
        assert (told["x"], told["y"]) == (grid.x[column], grid.y[row])
        text = told["counts"]
        assert text.endswith("/s") == state.per_second
        first, second = text.removesuffix("/s").split(" ± ")
        assert float(first.replace(",", "")) == pytest.approx(counts[row, column], abs=0.006)
        assert float(second.replace(",", "")) == pytest.approx(error[row, column], abs=0.006)
        value = float(told["shown"].replace(",", ""))
        assert value == pytest.approx(explorer.energy_map.values[row, column], abs=0.006)


def test_what_the_pointer_is_told_follows_the_background(shared: SharedScan) -> None:
    """The pointer rests, the visitor asks for net counts."""
    explorer = Explorer(shared)
    visitor, grid = show(explorer.energy_map), shared.scan.grid
    visitor.point("map", grid.x[4], grid.y[6])
    for background in ("sides", "none", "snip"):
        explorer.state.background = background
        counts, error = shared.scan.cell_counts(6, 4, *IRON, background=background)
        assert visitor.answer()["counts"] == f"{counts:,.2f} ± {error:,.2f}"


# --- zigzag ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def late_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a scan of 24 x 40 cells and 256 channels, exposed 0.4 periods too late."""
    path = tmp_path_factory.mktemp("late") / "late.HDF5"
    simulate_crono(path, shape=(24, 40), n_channels=256, lag=0.4, seed=2)
    return path


@pytest.fixture(scope="module")
def late(late_file: Path) -> Iterator[SharedScan]:
    """Yield the late scan; its conversion corrects the lag that it finds."""
    with open_scan(convert_crono(late_file, cubes=False, progress=False)) as scan:
        yield SharedScan(scan)


@pytest.fixture(scope="module")
def late_as_it_is(
    late_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedScan]:
    """Yield the late scan, converted without a correction."""
    folder = tmp_path_factory.mktemp("uncorrected")
    converted = convert_crono(late_file, output=folder, lag=0, cubes=False, progress=False)
    with open_scan(converted) as scan:
        yield SharedScan(scan)


def follows(explorer: Explorer, visitor: Visitor, lag: float) -> None:
    """Hold the map and the cell's spectrum to a lag."""
    state, scan = explorer.state, explorer.shared.scan
    values = scan.energy_map(*state.window, method=state.method, lag=lag)
    np.testing.assert_array_equal(explorer.energy_map.values, values)
    scaled = scale_map(values, state.clip)
    np.testing.assert_array_equal(visitor.image(), scaled.levels)
    spectrum = scan.cell_spectrum(*state.cell, method=state.method, lag=lag)
    np.testing.assert_array_equal(explorer.spectrum.counts, spectrum)
    np.testing.assert_array_equal(visitor.source("spectrum", "Line", 3).data["raw"], spectrum)


def test_a_late_scan_is_shown_corrected_and_before_and_after(late: SharedScan) -> None:
    """The switch tells what was found; off, map and spectrum are those of the recorded places."""
    lag = late.scan.lag
    assert lag.periods == pytest.approx(0.4, abs=0.1)
    assert late.zigzag == late.scan.lag_corrected == lag.periods
    explorer = Explorer(late)
    visitor = show(explorer.views())
    (switch,) = labelled(explorer.controls(), "Correct zigzag")
    assert switch.label == f"Correct zigzag ({lag.periods:.3f} ± {lag.standard_error:.3f} periods)"
    assert switch.value is True
    explorer.state.pick_cell(7, 12)
    follows(explorer, visitor, lag.periods)
    after = explorer.energy_map.values.copy(), explorer.spectrum.counts.copy()
    switch.value = False
    assert explorer.state.correct_lag is False
    follows(explorer, visitor, 0.0)
    assert not np.array_equal(explorer.energy_map.values, after[0])
    assert not np.array_equal(explorer.spectrum.counts, after[1])
    explorer.state.correct_lag = True
    follows(explorer, visitor, lag.periods)
    assert explorer.state.notice == ""


def test_a_late_scan_that_was_not_corrected_can_be(late_as_it_is: SharedScan) -> None:
    """The first look is the conversion's; what the scan itself shows is one click away."""
    assert late_as_it_is.scan.lag_corrected == 0.0
    explorer = Explorer(late_as_it_is)
    visitor = show(explorer.views())
    (switch,) = labelled(explorer.controls(), "Correct zigzag")
    assert switch.value is False
    explorer.state.pick_cell(7, 12)
    follows(explorer, visitor, 0.0)
    switch.value = True
    follows(explorer, visitor, late_as_it_is.scan.lag.periods)


def test_the_pointer_is_told_the_cell_of_the_lag_that_is_shown(late: SharedScan) -> None:
    """Other spectra make up the cell before than after."""
    explorer = Explorer(late)
    visitor, grid, window = show(explorer.energy_map), late.scan.grid, explorer.state.window
    visitor.point("map", grid.x[12], grid.y[7])
    told = []
    for correct, lag in ((True, late.zigzag), (False, 0.0)):
        explorer.state.correct_lag = correct
        counts, error = late.scan.cell_counts(7, 12, *window, method="kriging", lag=lag)
        assert visitor.answer()["counts"] == f"{counts:,.2f} ± {error:,.2f}"
        told.append(counts)
    assert told[0] != told[1]


def test_sigma_is_suggested_from_the_spectra_behind_the_cell_shown(late: SharedScan) -> None:
    """Those that the correction puts there, or those recorded there."""
    used = []
    for lag in (late.zigzag, 0.0):
        behind = late.scan.operator("linear", lag=lag).cell_weights(7, 12)[0]
        suggestion = late.suggest_sigma(
            None, (7, 12), method="linear", lag=lag, follow_resolution=False
        )
        used.append(suggestion.n_counts)
        assert suggestion.n_counts == late.scan.spectra(np.sort(behind)).sum()
    assert used[0] != used[1]


def test_a_scan_that_is_not_late_offers_no_switch(shared: SharedScan) -> None:
    """And is shown the same whether its state asks for a correction or not."""
    assert not shared.scan.lag.is_significant
    assert shared.zigzag == 0.0
    explorer = Explorer(shared)
    assert labelled(explorer.controls(), "Correct zigzag") == []
    before = explorer.energy_map.values.copy()
    for correct in (True, False):
        explorer.state.correct_lag = correct
        np.testing.assert_array_equal(explorer.energy_map.values, before)
