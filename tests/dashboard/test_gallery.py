"""The gallery: its maps are the core's, the newest state wins, and nobody's messages break it."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from visitor import Session, _event, served, show, until

from dashboard import gallery as gallery_module
from dashboard.data import SharedScan
from dashboard.gallery import Gallery
from dashboard.gallery_maps import GalleryMap, cell_values, kept_map, maps_of
from dashboard.layers import Asked
from dashboard.pixels import block_mean, grid_bins, to_levels
from dashboard.scaling import scale_map
from dashboard.state import ViewState
from dashboard.theme import palette
from maxrf_core import ParameterError

ELEMENTS = ("Fe", "Cu", "Pb La")
NAMES = ["Fe Ka", "Cu Ka", "Pb La"]

LOOKS: dict[str, dict[str, Any]] = {
    "counts": {},
    "linear": {"method": "linear"},
    "net": {"background": "sides"},
    "SNIP": {"background": "snip", "clip": (2.0, 90.0)},
    "per second": {"per_second": True},
    "smoothed": {"smooth_map": True, "sigma": 5.0},
    "following": {"smooth_map": True, "sigma": 5.0, "follow_resolution": True},
    "error": {"layer": "standard error"},
    "detected": {"layer": "detected"},
}


@pytest.fixture
def state() -> ViewState:
    """What a visitor looks at who chose three elements."""
    return ViewState(elements=ELEMENTS, method="kriging", correct_lag=False)


class Heard:
    """A gallery's messages to its browser, and the browser's to it."""

    def __init__(self, gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gallery, self.messages = gallery, []
        monkeypatch.setattr(gallery._grid, "_send_msg", self.messages.append)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of a kind."""
        return [message for message in self.messages if message["kind"] == kind]

    def say(self, kind: Any, **told: Any) -> None:
        """Tell the gallery something."""
        self.gallery._grid._handle_msg({"kind": kind, **told})

    def look(self, *, pixels: float = 40, bounds: Any = None, seen: Any = None) -> None:
        """Tell what the browser shows: the whole scan, with some pixels a cell."""
        grid = self.gallery.scan.grid
        bounds = list(map(float, grid.bounds)) if bounds is None else bounds
        size = {"width": pixels * grid.width, "height": pixels * grid.height}
        self.say("view", bounds=bounds, **size, seen=seen or [])


def expected(shared: SharedScan, state: ViewState, name: str) -> npt.NDArray[np.float32]:
    """Return a map from the scan itself."""
    asked = Asked(
        shared.elements.line(name).window,
        state.method,
        state.sigma if state.smooth_map else 0.0,
        state.smooth_map and state.follow_resolution,
        state.layer,
        state.background,
        state.per_second,
    )
    return shared.layer_map(asked)


# --- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_maps_sent_are_the_maps_computed(
    shared: SharedScan, state: ViewState, look: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cell by cell in 8 bits, with the values of the end colours, for each common control."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)
    state.param.update(**look)
    browser.look()
    sent = {message["name"]: message for message in browser.of("picture")}
    assert list(sent) == NAMES == [each.name for each in gallery.maps]
    for name, message in sent.items():
        values = expected(shared, state, name)
        scaled = scale_map(values, state.clip)
        np.testing.assert_array_equal(message["levels"], scaled.levels)
        assert message["levels"].dtype == np.uint8
        assert (message["low"], message["high"]) == (scaled.low, scaled.high)
        assert message["bounds"] == pytest.approx(shared.scan.grid.bounds)
        np.testing.assert_array_equal(gallery.values()[name], values)
        assert message["unit"] == gallery.maps[0].asked.unit
    assert len({message["levels"].tobytes() for message in sent.values()}) == 3


def test_no_more_is_sent_than_the_screen_shows(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells smaller than pixels are averaged; a zoom brings its part of the map."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)
    grid = shared.scan.grid
    left, bottom, right, top = (float(edge) for edge in grid.bounds)
    # View's smallest is 50 pixels: seen from afar, they are few for each cell.
    wide, high = right - left, top - bottom
    far = [left - 10 * wide, bottom - 10 * high, right + 10 * wide, top + 10 * high]
    browser.say("view", bounds=far, width=60, height=50, seen=[])
    afar = browser.of("picture")
    view = gallery._view
    rows, columns = grid_bins(grid, view.with_margin(), view.pixel)
    for message in afar:
        values = expected(shared, state, message["name"])
        scaled = scale_map(values, state.clip)
        means = to_levels(block_mean(values, rows, columns), scaled.low, scaled.high)
        np.testing.assert_array_equal(message["levels"], means)
        assert message["levels"].size < grid.size / 4

    near = [left, bottom, left + 3 * grid.dx, bottom + 2 * grid.dy]
    browser.messages.clear()
    browser.look(bounds=near)
    assert [message["name"] for message in browser.of("picture")] == NAMES
    for message in browser.of("picture"):
        scaled = scale_map(expected(shared, state, message["name"]), state.clip)
        np.testing.assert_array_equal(message["levels"], scaled.levels[:3, :4])
    browser.messages.clear()
    browser.look(bounds=near)
    assert browser.messages == []  # it has them


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_values_of_a_cell_are_the_cores(
    shared: SharedScan, state: ViewState, look: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All windows from one reading, and yet what the scan says of each by itself."""
    state.param.update(**look)
    gallery = Gallery(shared, state)
    found = cell_values(shared, gallery.maps, 7, 2)
    for each in gallery.maps:
        if state.layer == "counts":
            counts, error = shared.cell_counts(each.asked, 7, 2)
            assert found[each.name] == pytest.approx((counts, error), rel=1e-9)
        else:
            assert found[each.name] == (gallery.values()[each.name][7, 2], None)
    browser = Heard(gallery, monkeypatch)
    browser.say("point", row=7, column=2)
    (answer,) = browser.of("told")
    assert (answer["row"], answer["column"]) == (7, 2)
    value, error = found["Cu Ka"]
    told = f"{value:,.2f}" if error is None else f"{value:,.2f} ± {error:,.2f}"
    assert answer["values"]["Cu Ka"] == told


def test_a_cell_without_a_datum_says_so(holed: SharedScan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not 0: nobody looked there. Its level is the transparent one."""
    gallery = Gallery(holed, ViewState(elements=("Fe",), method="linear", correct_lag=False))
    row, column = np.argwhere(np.isnan(gallery.values()["Fe Ka"]))[0]
    browser = Heard(gallery, monkeypatch)
    browser.look()
    assert browser.of("picture")[0]["levels"][row, column] == 0
    browser.say("point", row=int(row), column=int(column))
    assert browser.of("told")[0]["values"] == {"Fe Ka": "no datum"}


# --- which maps -----------------------------------------------------------------------------


def test_without_a_choice_the_peaks_propose(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first look needs no knowledge of the scan; a choice replaces it."""
    state = ViewState(correct_lag=False)
    gallery = Gallery(shared, state)
    proposed = [shared.elements.line(name).group.name for name in shared.elements.proposed]
    assert len(proposed) > 1
    assert [each.name for each in gallery.maps] == proposed
    assert "Proposed by the peaks" in gallery._plan["message"]
    state.elements = ("Pb La",)
    assert [each.name for each in gallery.maps] == ["Pb La"]
    assert gallery._plan["message"] == ""

    monkeypatch.setitem(vars(shared.elements), "proposed", ())
    state.elements = ()
    assert gallery.maps == ()
    assert "Choose elements or lines, such as Fe" in gallery._plan["message"]


def test_each_line_is_shown_once_and_one_that_is_not_there_is_named(shared: SharedScan) -> None:
    """Fe and its K-alpha are the same map; radon's K lines lie above any tube's energies."""
    maps, complaints = maps_of(shared, ("Fe", "Fe Ka", "Rn Ka", "Fe Kb"), Asked((0, 0), "linear"))
    assert [each.name for each in maps] == ["Fe Ka", "Fe Kb"]
    assert [each.label for each in maps] == ["Fe Kα", "Fe Kβ"]
    (complaint,) = complaints
    assert complaint.startswith("Rn shows no line 'Ka'")
    low, high = shared.elements.line("Fe").window
    assert maps[0].window_text == f"{low:.3f}–{high:.3f} keV"


def test_a_layer_without_a_window_is_one_map(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dead time is the same for all elements; opening it leaves the window alone."""
    state.layer = "dead time"
    gallery = Gallery(shared, state)
    (found,) = gallery.maps
    assert (found.name, found.label, found.window_text) == ("Dead time", "Dead time", "")
    np.testing.assert_array_equal(gallery.values()["Dead time"], expected(shared, state, "Fe"))
    window = state.window
    Heard(gallery, monkeypatch).say("open", name="Dead time")
    assert state.window == window


def test_maps_are_kept_for_all_visitors(shared: SharedScan, state: ViewState) -> None:
    """The second visitor's are the first one's, and nobody can write into them."""
    first, second = (Gallery(shared, state).values() for _ in range(2))
    assert all(first[name] is second[name] for name in NAMES)
    assert not any(values.flags.writeable for values in first.values())


def test_kept_maps_are_bounded_and_go_with_their_scan(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than a gallery's maps of a large scan; none of a scan that was closed."""
    monkeypatch.setattr("dashboard.gallery_maps._KEPT_BYTES", 0)
    other = SharedScan(shared.scan)
    for number in range(60):
        kept_map(other, Asked((1.0 + number / 10, 1.2 + number / 10), "linear"))
    kept = gallery_module.kept_map.__globals__["_kept"]
    assert 0 < len(kept[other].maps) <= 24
    assert kept[other].turns == {}
    count = len(kept)
    del other
    gc.collect()
    assert len(kept) == count - 1


def test_a_map_under_way_is_waited_for_and_not_computed_twice(
    shared: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pictures are asked for anew as soon as the browser tells its size."""
    asked, computed, go = Asked((6.0, 6.7), "linear"), [], threading.Event()
    plain = shared.layer_map

    def compute(asked: Asked) -> npt.NDArray[np.float32]:
        computed.append(asked)
        assert go.wait(20)
        return plain(asked)

    monkeypatch.setattr(shared, "layer_map", compute)
    found: list[npt.NDArray[np.float32]] = []
    threads = [
        threading.Thread(target=lambda: found.append(kept_map(shared, asked))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert computed == [asked]
    assert len(found) == 3
    assert found[0] is found[1] is found[2]


# --- gestures -------------------------------------------------------------------------------


def test_a_tap_picks_the_cell_and_the_mark_follows(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the map view: the spectrum follows the state."""
    gallery = Gallery(shared, state)
    Heard(gallery, monkeypatch).say("pick", row=10, column=3)
    assert state.cell == (10, 3)
    grid = shared.scan.grid
    assert gallery._grid.marker == [grid.x[3], grid.y[10]]
    state.pick_spectrum(17)
    assert gallery._grid.marker == [float(v) for v in shared.scan.positions[17][:2]]


def test_opening_a_map_makes_its_window_the_states(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes back to the three views."""
    state.workspace = "gallery"
    browser = Heard(Gallery(shared, state), monkeypatch)
    browser.say("open", name="Pb La")
    assert state.window == shared.elements.line("Pb La").window
    assert state.workspace == "explore"


NONSENSE: list[Any] = [
    {"kind": "view", "bounds": [0, 1, math.nan, 2], "width": 3, "height": 4},
    {"kind": "view", "bounds": [0, 1, 2], "width": 3, "height": 4},
    {"kind": "view", "bounds": "0123", "width": 3, "height": 4},
    {"kind": "view", "bounds": [0, 1, 2, 3], "width": None, "height": 4},
    {"kind": "view", "bounds": [0, 1, 2, 3], "width": 50, "height": math.inf},
    {"kind": "pick", "row": -1, "column": 0},
    {"kind": "pick", "row": 12, "column": 0},
    {"kind": "pick", "row": 0, "column": 9},
    {"kind": "pick", "row": "0", "column": {}},
    {"kind": "pick"},
    {"kind": "point", "row": 1e99, "column": 0},
    {"kind": "open", "name": "<script>"},
    {"kind": "open", "name": ["Fe Ka"]},
    {"kind": ["open"]},
    {},
    "open",
    None,
]


@pytest.mark.parametrize("message", NONSENSE, ids=repr)
def test_a_message_without_a_meaning_changes_nothing(
    shared: SharedScan, state: ViewState, message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes from a browser may be anything."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)
    before = state.param.values()
    gallery._grid._handle_msg(message)
    assert state.param.values() == before
    assert gallery._view is None
    assert browser.messages == []


@pytest.mark.parametrize("seen", [None, "Fe Ka", [1, {}, None], ["<b>"]], ids=repr)
def test_whatever_is_said_to_be_in_view_all_maps_come(
    shared: SharedScan, state: ViewState, seen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list only says which come first."""
    browser = Heard(Gallery(shared, state), monkeypatch)
    browser.look(seen=seen)
    assert sorted(message["name"] for message in browser.of("picture")) == sorted(NAMES)


def test_a_colour_map_is_a_palette_and_no_new_picture(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser colours the levels that it has."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)
    browser.look()
    browser.messages.clear()
    state.colour_map = "magma"
    assert gallery._grid.palette == palette("magma")
    assert browser.messages == []


def test_another_element_beside_leaves_the_others(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not sent again; they are told to be drawn already."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)
    browser.look()
    browser.messages.clear()
    state.elements = ("Ca", *ELEMENTS)
    assert [message["name"] for message in browser.of("picture")] == ["Ca Ka"]
    plan = browser.of("plan")[-1]
    assert [each["is_drawn"] for each in plan["maps"]] == [False, True, True, True]
    assert list(gallery.shown) == ["Ca Ka", *NAMES]


def test_a_browser_that_comes_later_gets_everything(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent before it was there is lost: it asks when it is ready."""
    browser = Heard(Gallery(shared, state), monkeypatch)
    browser.look()
    browser.messages.clear()
    browser.say("ready")
    assert [message["kind"] for message in browser.messages] == ["plan", *(3 * ["picture"])]


# --- what goes wrong ------------------------------------------------------------------------


def test_a_map_that_fails_is_named_and_the_others_are_drawn(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its place and in a notice, until another state succeeds."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)

    def compute(shared: SharedScan, asked: Asked) -> npt.NDArray[np.float32]:
        if asked.window == shared.elements.line("Cu").window:
            raise ParameterError("copper is sold out.")
        if asked.window == shared.elements.line("Pb La").window:
            raise ZeroDivisionError
        return kept_map(shared, asked)

    with monkeypatch.context() as patch:
        patch.setattr(gallery_module, "kept_map", compute)
        browser.look()
        assert [message["name"] for message in browser.of("picture")] == ["Fe Ka"]
        copper, lead = browser.of("failed")
        assert (copper["name"], copper["sentence"]) == ("Cu Ka", "copper is sold out.")
        assert "ZeroDivisionError" in lead["sentence"]
        assert state.notice == lead["sentence"]
        browser.say("point", row=1, column=1)
        assert list(browser.of("told")[0]["values"]) == ["Fe Ka"]
        browser.messages.clear()
        browser.say("ready")
        assert len(browser.of("failed")) == 2
    state.clip = (0.0, 98.0)
    assert state.notice == ""
    assert list(gallery.shown) == NAMES


# --- in a session ---------------------------------------------------------------------------


class Slow:
    """A stand-in for `kept_map` that waits for windows until they are let go."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.started: list[Asked] = []
        self.go = threading.Event()
        patch.setattr(gallery_module, "kept_map", self)

    def __call__(self, shared: SharedScan, asked: Asked) -> npt.NDArray[np.float32]:
        self.started.append(asked)
        assert self.go.wait(20)
        return kept_map(shared, asked)


def tell(session: Session, **message: Any) -> None:
    """Send a message of the component's as BokehJS does."""
    (model,) = (m for m in session.document.models if getattr(m, "class_name", "") == "MapGrid")
    session._send(_event("data_event", model={"id": model.id}, data=message))


def view_of(shared: SharedScan, *seen: str) -> dict[str, Any]:
    """Return the message of a browser that shows the whole scan."""
    bounds = list(map(float, shared.scan.grid.bounds))
    return {"kind": "view", "bounds": bounds, "width": 360, "height": 480, "seen": list(seen)}


def test_maps_in_view_come_first(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who scrolled down does not wait for what is above."""

    async def visit() -> None:
        async with served(lambda: Gallery(shared, state)) as session:
            gallery = session.shown
            await until(lambda: len(gallery.shown) == 3)
            slow = Slow(monkeypatch)
            await session.do(lambda: tell(session, **view_of(shared, "Pb La")))
            await until(lambda: len(slow.started) == 2)
            assert {each.asked for each in gallery.maps if each.name in ("Fe Ka", "Pb La")} == {
                *slow.started
            }
            slow.go.set()
            await until(lambda: all(sent.picture for sent in gallery.shown.values()))

    asyncio.run(visit())


def test_a_newer_state_drops_what_is_under_way(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the old one is sent, and what had not begun is not computed."""

    async def visit() -> None:
        async with served(lambda: Gallery(shared, state)) as session:
            gallery = session.shown
            await until(lambda: len(gallery.shown) == 3)
            slow = Slow(monkeypatch)
            sent: list[dict[str, Any]] = []
            monkeypatch.setattr(gallery._grid, "_send_msg", sent.append)
            await session.do(lambda: tell(session, **view_of(shared)))
            await until(lambda: len(slow.started) == 2)
            await session.do(lambda: state.param.update(method="nearest", elements=("Ca", "Fe")))
            await until(lambda: [each.name for each in gallery.maps] == ["Ca Ka", "Fe Ka"])
            slow.go.set()
            await until(lambda: len(gallery.shown) == 2)
            pictures = [message for message in sent if message["kind"] == "picture"]
            assert {message["turn"] for message in pictures} == {gallery._turn}
            assert sorted(message["name"] for message in pictures) == ["Ca Ka", "Fe Ka"]
            assert [asked.method for asked in slow.started] == 2 * ["kriging"] + 2 * ["nearest"]
            for message in pictures:
                scaled = scale_map(expected(shared, state, message["name"]), state.clip)
                np.testing.assert_array_equal(message["levels"], scaled.levels)

    asyncio.run(visit())


def test_nothing_is_computed_while_it_is_hidden(
    shared: SharedScan, state: ViewState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who explores one window does not pay for 24; back in the gallery, it catches up."""
    gallery = Gallery(shared, state)
    browser = Heard(gallery, monkeypatch)
    browser.look()
    browser.messages.clear()
    layout = gallery.__panel__()
    layout.visible = False
    state.param.update(method="nearest", elements=("Ca",))
    browser.say("view", **{k: v for k, v in view_of(shared).items() if k != "kind"})
    assert browser.messages == []
    layout.visible = True
    assert list(gallery.shown) == ["Ca Ka"]
    assert gallery.maps[0].asked.method == "nearest"


def test_a_visitor_who_leaves_is_forgotten(shared: SharedScan) -> None:
    """Neither the kept maps nor the component hold on to a gallery."""

    async def visit() -> weakref.ref:
        def build() -> Gallery:
            return Gallery(shared, ViewState(elements=ELEMENTS, correct_lag=False))

        async with served(build) as session:
            await session.do(lambda: tell(session, **view_of(shared)))
            await until(lambda: all(sent.picture for sent in session.shown.shown.values()))
            await until(lambda: len(session.shown.shown) == 3)
            await session.do(lambda: tell(session, kind="point", row=2, column=1))
            session.has_received()
            return weakref.ref(session.shown)

    left = [asyncio.run(visit()) for _ in range(2)]
    gc.collect()
    assert [reference() for reference in left] == [None, None]


def test_it_is_shown_outside_a_session(shared: SharedScan, state: ViewState) -> None:
    """In a notebook it is a component like the views, and steered by its state."""
    gallery = Gallery(shared, state)
    visitor = show(gallery)
    (model,) = (m for m in visitor.document.models if getattr(m, "class_name", "") == "MapGrid")
    assert model.data.marker == list(gallery.marked_at())
    state.pick_cell(3, 4)
    assert model.data.marker == [shared.scan.grid.x[4], shared.scan.grid.y[3]]


def test_a_map_has_a_name_for_people() -> None:
    """With Greek letters, as lines are written."""
    assert GalleryMap("Pb Lb", Asked((1.0, 2.0), "linear")).label == "Pb Lβ"


@pytest.fixture(autouse=True)
def _no_maps_kept() -> Iterator[None]:
    """Let each test compute its own maps."""
    yield
    gallery_module.kept_map.__globals__["_kept"].clear()
