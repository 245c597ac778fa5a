"""Maps combined: each number is the core's, and what cannot be shown says what to do."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from bokeh.models import BoxAnnotation
from visitor import Session, _event, labelled, served, show, until

from dashboard.combine import Combine
from dashboard.combine_colours import TRIPLES
from dashboard.combine_maps import composite_names, pair_names
from dashboard.combine_scatter import density
from dashboard.data import SharedScan
from dashboard.explorer import default_state
from dashboard.pixels import View
from dashboard.state import WINDOW, ViewState
from maxrf_core import ParameterError
from maxrf_core.combinations import composite, pearson, ratio
from maxrf_core.profiles import line_cells

OPTIONS: dict[str, dict[str, Any]] = {
    "gross": {},
    "net, linear, per second": {"method": "linear", "background": "sides", "per_second": True},
    "smoothed": {"smooth_map": True, "sigma": 5.0},
}


def in_session(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **options: Any) -> None:
        asyncio.run(test(*arguments, **options))

    return run


def combined(shared: SharedScan, mode: str, **values: Any) -> tuple[Combine, Any, ViewState]:
    """Return the workspace, its mode and the state, in the given view."""
    state = default_state(shared)
    state.param.update(workspace="combine", combination=mode, **values)
    workspace = Combine(shared, state)
    return workspace, workspace.modes[mode], state


def core_map(shared: SharedScan, state: ViewState, name: str, *, error: bool = False) -> Any:
    """Return a map as the core has it."""
    window = state.window if name == WINDOW else shared.elements.line(name).window
    make = shared.scan.energy_map_error if error else shared.scan.energy_map
    return make(
        *window,
        method=state.method,
        sigma=state.sigma if state.smooth_map else 0,
        per_second=state.per_second,
        background=state.background,
        lag=shared.lag_corrected(state.correct_lag),
    )


# --- colours --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_composite_is_of_the_cores_maps(shared: SharedScan, options: dict[str, Any]) -> None:
    """Each colour from percentile to percentile of its own map, with all that the state says."""
    clip = (5.0, 90.0, 0.0, 100.0, 20.0, 99.0)
    names = ("Fe", WINDOW, "Ca")
    _, mode, state = combined(
        shared, "rgb", composite=names, composite_clip=clip, composite_colours="cmy", **options
    )
    maps = [core_map(shared, state, name) for name in names]
    limits = [tuple(np.percentile(each, clip[2 * n : 2 * n + 2])) for n, each in enumerate(maps)]
    expected = composite(maps, limits, TRIPLES["cmy"].colours)
    # Percentiles are float32 here and float64 there: a byte may round to its neighbour.
    assert np.abs(mode.view.rgb.astype(int) - expected).max() <= 1


def test_the_browser_gets_the_composite_as_a_picture(shared: SharedScan) -> None:
    """Red, green, blue and opacity, as ImageRGBA takes them, where they lie in motor steps."""
    _, mode, _ = combined(shared, "rgb", elements=("Fe", "Ca", "Pb"))
    visitor = show(mode)
    glyph = visitor.figure("composite").renderers[0]
    assert type(glyph.glyph).__name__ == "ImageRGBA"
    sent = np.asarray(glyph.data_source.data["image"][0])
    assert (sent[..., None].view(np.uint8) == mode.view.rgb).all()
    left, bottom, right, top = shared.scan.grid.bounds
    data = glyph.data_source.data
    assert (data["x"][0], data["y"][0]) == (left, bottom)
    assert (data["dw"][0], data["dh"][0]) == pytest.approx((right - left, top - bottom))


def test_a_colour_that_is_left_out_changes_no_other(shared: SharedScan) -> None:
    """The third map keeps the third colour and range."""
    _, mode, state = combined(shared, "rgb", composite=("Fe", "", "Ca"))
    assert [(layer.number, layer.map.name) for layer in mode.view.layers] == [
        (0, "Fe Ka"),
        (2, "Ca Ka"),
    ]
    before = mode.view.layers[0].limits
    state.composite_clip = (0.0, 99.5, 50.0, 60.0, 10.0, 80.0)
    assert mode.view.layers[0].limits == before
    assert mode.view.layers[1].limits == pytest.approx(
        tuple(np.percentile(core_map(shared, state, "Ca"), (10.0, 80.0)))
    )


def test_the_legend_names_map_colour_and_limits(shared: SharedScan) -> None:
    """Without it a picture of three colours means nothing."""
    _, mode, _ = combined(shared, "rgb", elements=("Fe", "Pb La"))
    low, high = mode.view.layers[0].limits
    assert f"<b>Fe Kα (orange)</b> {low:,.4g} to {high:,.4g} counts" in mode._legend.object
    assert "Pb Lα (blue)" in mode._legend.object
    assert "cannot tell red from green" not in mode._note.object


def test_red_and_green_come_with_a_warning(shared: SharedScan) -> None:
    """Who chooses them learns who cannot tell them apart."""
    _, mode, state = combined(shared, "rgb", elements=("Fe",))
    state.composite_colours = "rgb"
    assert "cannot tell red from green" in mode._note.object
    assert "Fe Kα (red)" in mode._legend.object


# Simulated vision of red-, green- and blue-blind eyes, on linear RGB: G. M. Machado et al., 2009.
EYES = np.array(
    [
        *np.eye(3),
        *[(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216)],
        (-0.003882, -0.048116, 1.051998),
        *[(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413)],
        (-0.011820, 0.042940, 0.968881),
        *[(1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602)],
        (0.004733, 0.691367, 0.303900),
    ]
).reshape(4, 3, 3)
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def smallest_difference(triple: str) -> float:
    """Return the smallest CIE 1976 difference of two mixtures to any of four kinds of eyes."""
    shares = np.array(list(itertools.product([0, 1], repeat=3)))
    srgb = np.clip(shares @ np.array(TRIPLES[triple].colours), 0, 255) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    found = []
    for eye in EYES:
        xyz = np.clip(linear @ np.transpose(eye), 0, 1) @ XYZ.T / (0.9505, 1.0, 1.089)
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        lab = np.column_stack(
            [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])]
        )
        found += [np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)]
    return min(found)


def test_the_default_colours_are_told_apart_by_all_eyes() -> None:
    """All eight mixtures; three times as well as red, green and blue. The comment says 29 and 8."""
    assert next(iter(TRIPLES)) == ViewState().composite_colours == "safe"
    assert round(smallest_difference("safe")) == 29
    assert round(smallest_difference("rgb")) == 8
    assert smallest_difference("rgb") < smallest_difference("cmy") < smallest_difference("safe")


@pytest.mark.parametrize("name", TRIPLES)
def test_the_colours_add_up_to_white(name: str) -> None:
    """So nothing is cut off, and equal shares are grey."""
    assert np.sum(TRIPLES[name].colours, axis=0).tolist() == [255, 255, 255]


# --- which maps -----------------------------------------------------------------------------


def test_the_first_elements_are_combined_until_others_are_chosen() -> None:
    """Who chose elements sees them; who chose maps keeps them."""
    state = ViewState(elements=("Fe", "Ca"))
    assert composite_names(state) == ("Fe", "Ca", "")
    assert pair_names(state) == ("Fe", "Ca")
    state.pair, state.composite = ("", "Fe"), ("", "Pb La", WINDOW)
    assert composite_names(state) == ("", "Pb La", WINDOW)
    assert pair_names(state) == ("Ca", "Fe")
    assert pair_names(ViewState(elements=("Fe",))) == ("Fe", WINDOW)
    assert pair_names(ViewState()) == ("", "")


@pytest.mark.parametrize(
    "values",
    [
        {"composite": ("Fe", "Ca")},
        {"composite": ("Fe", "Ca", "iron")},
        {"pair": ["Fe", "Ca"]},
        {"composite_clip": (0.0, 50.0, 60.0, 40.0, 0.0, 1.0)},
        {"composite_clip": (0.0, 50.0)},
        {"profile": (0.0, 1.0, float("nan"), 2.0)},
        {"profile": (0.0, 1.0)},
    ],
)
def test_what_is_no_combination_is_refused(values: dict[str, Any]) -> None:
    """A state that a view cannot show would fail later, and elsewhere."""
    with pytest.raises(ParameterError, match="expected"):
        ViewState(**values)


@pytest.mark.parametrize(
    ("typed", "name"),
    [("iron", "Fe"), ("Pb L-alpha", "Pb La"), ("Energy window", WINDOW), ("", "")],
)
def test_a_map_can_be_typed(shared: SharedScan, typed: str, name: str) -> None:
    """Whatever names an element or a line, or the energy window, or nothing."""
    _, mode, state = combined(shared, "rgb", elements=("Ca", "Cu", "K"))
    mode.choosers[1].field.value = typed
    assert state.composite == ("Ca", name, "K")


def test_a_map_that_is_none_is_told_and_the_old_one_stays(shared: SharedScan) -> None:
    """With the field as it was."""
    _, mode, state = combined(shared, "ratio", elements=("Ca", "Cu"))
    mode.pair.choosers[0].field.value = "unobtainium"
    assert "unobtainium" in state.notice
    assert mode.pair.choosers[0].field.value == "Ca"
    assert pair_names(state) == ("Ca", "Cu")


@pytest.mark.parametrize("mode", ["rgb", "ratio", "scatter", "profile"])
@in_session
async def test_without_elements_the_peaks_propose_some(shared: SharedScan, mode: str) -> None:
    """In a thread; one button, and there is something to see."""
    made: list[Combine] = []

    def build() -> Combine:
        made.append(combined(shared, mode)[0])
        return made[0]

    async with served(build) as session:
        shown = made[0].modes[mode]
        await until(lambda: labelled(shown._offer.__panel__(), "Take "))
        assert shown._offer.visible
        (button,) = labelled(shown._offer.__panel__(), "Take ")
        await session.do(lambda: setattr(button, "clicks", 1))
        assert made[0]._state.elements == shared.elements.proposed[:3]
        assert not shown._offer.visible


# --- a ratio --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_ratio_is_of_the_cores_maps(shared: SharedScan, options: dict[str, Any]) -> None:
    """Masked where the core detects nothing, or counts are below three standard errors."""
    _, mode, state = combined(shared, "ratio", pair=("Ca", "Fe"), **options)
    detected = shared.scan.detection_map(
        *shared.elements.line("Fe").window,
        method=state.method,
        background="sides",
        lag=shared.lag_corrected(state.correct_lag),
    )
    expected = ratio(
        core_map(shared, state, "Ca"),
        core_map(shared, state, "Fe"),
        core_map(shared, state, "Fe", error=True),
        detected=detected,
    )
    np.testing.assert_array_equal(mode.view.quotient.values, expected)
    assert (np.isfinite(mode.view.quotient.values) < (detected >= 0)).any()
    masked = int(np.isnan(expected).sum())
    assert mode._said.object.startswith(f"{masked:,} of 108 cells ({masked / 108:.1%}) are masked")


def test_the_ratio_of_a_map_to_itself_is_sure(shared: SharedScan) -> None:
    """The errors of both are the same counts: an error without their covariance would be wrong."""
    _, mode, _ = combined(shared, "ratio", pair=("Fe", "Fe"))
    told = [mode.view._cell_told(row, 4)[-1] for row in range(12)]
    assert "1 ± 0" in told
    assert set(told) <= {"1 ± 0", "masked"}


def test_a_logarithmic_ratio_has_a_logarithmic_bar(shared: SharedScan) -> None:
    """With the same ends as the picture, in the ratio's own numbers."""
    _, mode, state = combined(shared, "ratio", pair=("Ca", "Fe"), clip=(10.0, 90.0))
    show(mode)
    state.ratio_log = True
    values = mode.view.quotient.values
    ends = np.percentile(values[np.isfinite(values) & (values > 0)], (10.0, 90.0))
    bars = mode.view._bars()
    assert (bars["log bar"]["visible"], bars["linear bar"]["visible"]) == (True, False)
    # Between two cells a percentile of logarithms is a geometric mean.
    mapper = bars["log mapper"]
    assert (mapper["low"], mapper["high"]) == pytest.approx(tuple(ends), rel=0.05)


# --- a scatter plot -------------------------------------------------------------------------


def test_all_cells_are_in_the_scatter_plot(holed: SharedScan) -> None:
    """Those with a datum, each once, in the bin of its two values."""
    _, mode, state = combined(holed, "scatter", pair=("Fe", "Ca"))
    pair = mode.view.pair
    left, bottom, right, top = pair.home
    counts = density(pair.points, View(left, bottom, right, top, 300, 200))
    fe, ca = (core_map(holed, state, name) for name in ("Fe", "Ca"))
    known = np.isfinite(fe) & np.isfinite(ca)
    assert (~known).any()
    rows, columns = counts.shape
    expected, _, _ = np.histogram2d(
        ca[known], fe[known], bins=(rows, columns), range=((bottom, top), (left, right))
    )
    assert counts.sum() == known.sum()
    # A value on an edge may fall on either side of it.
    assert np.abs(counts.astype(int) - expected).sum() <= 2
    assert f"{pearson(fe, ca):.3f} (Pearson" in mode._said.object
    assert f"{known.sum()} cells" in mode._said.object


@pytest.mark.parametrize("tool", ["box", "lasso"])
@in_session
async def test_cells_that_are_drawn_around_are_shown_on_the_map(
    shared: SharedScan, tool: str
) -> None:
    """By their values, wherever they lie; their number and share are said."""
    made: list[Any] = []

    def build() -> Combine:
        made.append(combined(shared, "scatter", pair=("Fe", "Ca")))
        return made[0][0]

    async with served(build) as session:
        _, mode, state = made[0]
        await until(lambda: mode.view.pair is not None)
        fe, ca = (core_map(shared, state, name) for name in ("Fe", "Ca"))
        x1, y1 = float(np.median(fe)) + 0.01, float(np.median(ca)) + 0.01
        if tool == "box":
            geometry = {"type": "rect", "x0": -9.0, "x1": x1, "y0": -9.0, "y1": y1}
        else:
            corners = {"x": [-9.0, x1, x1, -9.0], "y": [-9.0, -9.0, y1, y1]}
            geometry = {"type": "poly", **corners}
        await session.do(lambda: send_selection(session, geometry))
        expected = (fe < x1) & (ca < y1)
        await until(lambda: mode.where.selected is not None)
        np.testing.assert_array_equal(mode.where.selected, expected)
        n = int(expected.sum())
        assert 0 < n < 108
        await until(lambda: f"{n} cells are selected of 108" in mode._said.object)
        await until(lambda: np.array_equal(session.picture("selected")[0] == 255, expected))
        await session.do(lambda: setattr(mode.clear, "clicks", 1))
        await until(lambda: mode.where.selected is None)


def send_selection(session: Session, geometry: dict[str, Any]) -> None:
    """Send what BokehJS does after a lasso or a box."""
    session._send(
        _event(
            "selectiongeometry",
            model={"id": session.figure("scatter").id},
            geometry={"type": "map", "entries": [list(item) for item in geometry.items()]},
            final=True,
        )
    )


# --- a profile ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_profile_is_the_mean_of_the_cores_map_along_the_line(
    shared: SharedScan, options: dict[str, Any]
) -> None:
    """Of every element in its colour, and of the window; the band at width 1 is the map's."""
    grid = shared.scan.grid
    ends = (float(grid.x[0]), float(grid.y[3]), float(grid.x[-1]), float(grid.y[9]))
    _, mode, state = combined(
        shared, "profile", elements=("Fe", "Ca"), profile=ends, profile_width=1, **options
    )
    cells = line_cells(grid, ends[:2], ends[2:]).cells[:, 0]
    for each, name in zip(mode.view.profiles, ("Fe", "Ca", WINDOW), strict=True):
        values = core_map(shared, state, name).ravel()[cells]
        errors = core_map(shared, state, name, error=True).ravel()[cells]
        # Maps are rounded to float32; a net count near 0 is a small difference of larger ones.
        np.testing.assert_allclose(each.values, values, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(each.errors, errors, rtol=1e-4)
    assert len({each.colour for each in mode.view.profiles}) == 3


def test_a_wider_profile_is_surer(shared: SharedScan) -> None:
    """Five cells across average what one does not."""
    _, mode, state = combined(shared, "profile", elements=("Ca",))
    before = mode.view.profiles[0]
    state.profile_width = 5
    after = mode.view.profiles[0]
    assert len(after.values) == len(before.values) == shared.scan.grid.width
    assert np.median(after.errors) < 0.75 * np.median(before.errors)
    row = shared.scan.grid.height // 2
    expected = core_map(shared, state, "Ca")[row - 2 : row + 3].mean(axis=0)
    np.testing.assert_allclose(after.values, expected, rtol=1e-4)


@in_session
async def test_two_taps_draw_a_line(shared: SharedScan) -> None:
    """The first begins it and says so, the second ends it."""
    made: list[Any] = []

    def build() -> Combine:
        made.append(combined(shared, "profile", elements=("Fe",)))
        return made[0][0]

    async with served(build) as session:
        _, mode, state = made[0]
        grid = shared.scan.grid
        start, end = (float(grid.x[1]), float(grid.y[2])), (float(grid.x[6]), float(grid.y[9]))
        await session.do(lambda: session.tap("line", *start))
        assert state.profile is None
        assert "where the line ends" in mode._said.object
        await session.do(lambda: session.tap("line", *end))
        assert state.profile == pytest.approx((*start, *end), abs=0.1)
        await until(lambda: mode.view.profiles and len(mode.view.profiles[0].values) == 8)
        drawn = session.source("line", "Segment").data
        assert [drawn[key][0] for key in ("x0", "y0", "x1", "y1")] == list(state.profile)


@in_session
async def test_an_end_of_the_line_can_be_dragged(shared: SharedScan) -> None:
    """The other one stays."""
    made: list[Any] = []

    def build() -> Combine:
        made.append(combined(shared, "profile", elements=("Fe",)))
        return made[0][0]

    async with served(build) as session:
        _, mode, state = made[0]
        before = mode.view.ends
        (box,) = session.document.select({"type": BoxAnnotation, "name": "end of the line"})
        x, y = before[2] - 700.0, before[3] + 400.0
        sides = {"left": x - 50.0, "right": x + 50.0, "bottom": y - 50.0, "top": y + 50.0}
        await session.do(lambda: session.change(box, **sides))
        await until(lambda: state.profile is not None)
        await until(lambda: state.profile == pytest.approx((*before[:2], x, y), abs=0.1))


# --- the workspace --------------------------------------------------------------------------


def test_what_nobody_looks_at_is_not_computed(shared: SharedScan) -> None:
    """A hidden mode waits, and catches up when it is shown."""
    _, mode, state = combined(shared, "rgb", elements=("Fe", "Ca", "K"))
    before = mode.view.layers
    state.combination = "ratio"
    state.background = "sides"
    assert mode.view.layers is before
    state.combination = "rgb"
    assert mode.view.layers is not before
    assert mode.view.layers[0].map.asked.background == "sides"
    state.workspace = "explore"
    state.background = "none"
    assert mode.view.layers[0].map.asked.background == "sides"


def test_a_line_off_the_axis_is_a_notice_and_the_page_goes_on(shared: SharedScan) -> None:
    """A window over the whole axis leaves no channels for its background."""
    _, mode, state = combined(shared, "rgb", composite=("Fe", WINDOW, ""), background="sides")
    before, window = mode.view.layers, state.window
    energies = shared.scan.energies
    state.window = float(energies[0]), float(energies[-1]) + 1.0
    assert "window" in state.notice
    assert mode.view.layers is before
    state.window = window
    assert state.notice == ""
    assert mode.view.layers[1].map.asked.window == window
