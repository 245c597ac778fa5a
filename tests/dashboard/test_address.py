"""The address is anybody's to write: it is read key by key, and never trusted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboard.address import decode, encode, read_query
from dashboard.combine_colours import TRIPLES
from dashboard.data import SharedScan
from dashboard.explorer import check_picks
from dashboard.layers import LAYERS
from dashboard.region_text import fits
from dashboard.state import (
    COMBINATIONS,
    MAX_ELEMENTS,
    MAX_PROFILE_WIDTH,
    MAX_SIGMA,
    WORKSPACES,
    ViewState,
)
from dashboard.theme import COLOUR_MAPS
from dashboard.zoom import extent_of, rounded
from maxrf_core import METHODS, Grid
from maxrf_core.regions import Polygon, Rectangle, Region, Threshold
from maxrf_core.windows import BACKGROUNDS

OpenChanged = Callable[[str, Callable[[h5py.File], None]], SharedScan]

DEFAULTS: dict[str, Any] = {
    name: value
    for name, value in ViewState().param.values().items()
    if name not in ("name", "notice")
}

GOOD = {
    "sigma": ("3.5", {"sigma": 3.5}),
    "window": ("6.1~6.5", {"window": (6.1, 6.5)}),
    "method": ("linear", {"method": "linear"}),
    "layer": ("standard error", {"layer": "standard error"}),
    "background": ("snip", {"background": "snip"}),
    "rate": ("1", {"per_second": True}),
    "zigzag": ("0", {"correct_lag": False}),
    "follow": ("1", {"follow_resolution": True}),
    "smooth": ("1", {"smooth_map": True}),
    "colours": ("magma", {"colour_map": "magma"}),
    "clip": ("1~98", {"clip": (1.0, 98.0)}),
    "log": ("1", {"log_counts": True}),
    "sum": ("0", {"show_sum": False}),
    "max": ("1", {"show_max": True}),
    "spectrum": ("17", {"spectrum": 17}),
    "cell": ("3~4", {"cell": (3, 4)}),
    "elements": ("Fe~Pb La", {"elements": ("Fe", "Pb La")}),
    "view": ("gallery", {"workspace": "gallery"}),
    "range": ("1.5~9.25", {"energy_range": (1.5, 9.25)}),
    "map": ("140000~150000.5~113000~118000", {"map_range": (140000, 150000.5, 113000, 118000)}),
    "positions": (
        "140000~150000~1.1e5~118000",
        {"positions_range": (140000, 150000, 1.1e5, 118000)},
    ),
    "combine": ("ratio", {"combination": "ratio"}),
    "composite": ("Fe~~window", {"composite": ("Fe", "", "window")}),
    "ranges": ("1~98~0~100~2.5~99", {"composite_clip": (1.0, 98.0, 0.0, 100.0, 2.5, 99.0)}),
    "lights": (list(TRIPLES)[1], {"composite_colours": list(TRIPLES)[1]}),
    "pair": ("Pb La~window", {"pair": ("Pb La", "window")}),
    "logratio": ("1", {"ratio_log": True}),
    "line": (
        "140000~113000.5~150000~118000",
        {"profile": (140000.0, 113000.5, 150000.0, 118000.0)},
    ),
    "across": ("7", {"profile_width": 7}),
    "regions": (
        "Robe%21!r!1000!-20.5!3000!40~x!p!0!0!10!0!5!8.25~high!t!6.1 to 6.5 keV!2.5!",
        {
            "regions": (
                Region("Robe!", Rectangle(1000.0, -20.5, 3000.0, 40.0)),
                Region("x", Polygon(((0.0, 0.0), (10.0, 0.0), (5.0, 8.25)))),
                Region("high", Threshold("6.1 to 6.5 keV", 2.5, None)),
            )
        },
    ),
    "hidden": ("Robe%21~x", {"hidden_regions": ("Robe!", "x")}),
}


KEYS = list(GOOD)
"""The keys of the address that hold the view."""


def ends(shared: SharedScan) -> tuple[float, float]:
    """Return the first and last energy of a scan."""
    return float(shared.scan.energies[0]), float(shared.scan.energies[-1])


SEEN = ("map_range", "positions_range", "energy_range")
"""Parameters of a view that hold what part of a plot is seen."""


@st.composite
def parts(draw: st.DrawFn, shared: SharedScan, name: str) -> tuple[float, ...]:
    """Draw what a visitor can zoom to, as the page keeps it."""
    extent = extent_of(shared.scan, name)
    ends: list[float] = []
    for first, last in zip(extent[::2], extent[1::2], strict=True):
        middle = draw(st.floats(first, last))
        half = draw(st.floats(1e-5, 100)) * (last - first)
        ends += [middle - half, middle + half]
    return rounded(tuple(ends))


def lines_over(grid: Grid) -> st.SearchStrategy[tuple[float, ...]]:
    """Return lines whose ends lie on a map or beside it."""
    left, bottom, right, top = grid.bounds
    x, y = st.floats(left, right), st.floats(bottom, top)
    return st.tuples(x, y, x, y)


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=9)


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Draw a region of any kind, with any name."""
    x = draw(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2, unique=True))
    y = draw(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2, unique=True))
    (left, right), (bottom, top) = sorted(x), sorted(y)
    outline = draw(
        st.sampled_from(
            [
                Rectangle(left, bottom, right, top),
                Polygon(((-1e9 - 1, bottom), (1e9 + 1, left), (right, 2e9))),
                Threshold("2.5 to 3.5 keV, net of snip, sigma 2.5 at 5.9 keV", left, right),
                Threshold("Fe Ka", None, top),
            ]
        )
    )
    return Region(draw(NAMES), outline)


@st.composite
def states(draw: st.DrawFn, shared: SharedScan) -> ViewState:
    """Draw a view that a visitor can reach with the page's own controls."""
    low, high = ends(shared)
    energy = st.floats(low, high) | st.sampled_from([low, high])
    height, width = shared.scan.grid.shape
    cells = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    maps = st.sampled_from(["", "window", "Fe", "Pb La"])
    percents = st.floats(0, 100)
    return ViewState(
        sigma=draw(st.floats(0, MAX_SIGMA)),
        window=tuple(sorted(draw(st.tuples(energy, energy)))),
        method=draw(st.sampled_from(list(METHODS))),
        layer=draw(st.sampled_from(list(LAYERS))),
        background=draw(st.sampled_from(BACKGROUNDS)),
        per_second=draw(st.booleans()),
        correct_lag=draw(st.booleans()),
        follow_resolution=draw(st.booleans()),
        smooth_map=draw(st.booleans()),
        colour_map=draw(st.sampled_from(COLOUR_MAPS)),
        clip=tuple(sorted(draw(st.tuples(*[st.floats(0, 100)] * 2)))),
        log_counts=draw(st.booleans()),
        show_sum=draw(st.booleans()),
        show_max=draw(st.booleans()),
        spectrum=draw(st.integers(0, shared.scan.n_spectra - 1)),
        cell=draw(st.none() | cells),
        elements=tuple(draw(st.lists(st.sampled_from(["Fe", "Ca", "Pb La", "Hg"]), unique=True))),
        workspace=draw(st.sampled_from(WORKSPACES)),
        combination=draw(st.sampled_from(COMBINATIONS)),
        composite=tuple(draw(st.tuples(*[maps] * 3))),
        composite_clip=sum((tuple(sorted(draw(st.tuples(*[percents] * 2)))) for _ in range(3)), ()),
        composite_colours=draw(st.sampled_from(list(TRIPLES))),
        pair=draw(st.tuples(maps, maps)),
        ratio_log=draw(st.booleans()),
        profile=draw(st.none() | lines_over(shared.scan.grid)),
        profile_width=draw(st.integers(1, MAX_PROFILE_WIDTH)),
        regions=tuple(draw(st.lists(regions(), max_size=12, unique_by=lambda one: one.name))),
        **{name: draw(st.none() | parts(shared, name)) for name in SEEN},
    )


@given(data=st.data())
def test_any_view_survives_the_address(shared: SharedScan, data: st.DataObject) -> None:
    """Encoded and decoded it is the same view, to seven digits, without a notice."""
    state = data.draw(states(shared))
    values, notices = decode(read_query(encode(state, "scan")), shared, DEFAULTS)
    assert notices == []
    expected = {name: getattr(state, name) for name in DEFAULTS}
    if state.cell is not None:
        expected["spectrum"] = DEFAULTS["spectrum"]  # the cell is shown, not a spectrum
    for name in ("sigma", "window", "clip"):
        found, wanted = values.pop(name), expected.pop(name)
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-6)
    assert values == expected


@given(data=st.data())
def test_an_address_read_and_written_again_is_the_same_address(
    shared: SharedScan, data: st.DataObject
) -> None:
    """Else going back in the browser would write a new entry, and never come further."""
    query = encode(data.draw(states(shared)), "scan")
    values, _ = decode(read_query(query), shared, DEFAULTS)
    assert encode(ViewState(**values), "scan") == query


def test_a_window_dragged_beyond_the_energies_is_not_lost(shared: SharedScan) -> None:
    """The box on the spectrum can be pulled past both ends of the axis."""
    low, high = ends(shared)
    for window in ((low - 0.7, 3.0), (40.0, high + 0.7), (low - 0.7, high + 0.7)):
        query = read_query(encode(ViewState(window=window), "scan"))
        values, notices = decode(query, shared, DEFAULTS)
        assert notices == []
        seen = np.clip(values["window"], low, high)
        np.testing.assert_allclose(seen, np.clip(window, low, high), atol=1e-5)


def test_numbers_of_numpy_are_numbers(shared: SharedScan) -> None:
    """A state can be set from Python with what a computation gave."""
    low, high = np.array([6.1, 6.5])
    state = ViewState(sigma=np.float64(3.5), window=(low, high), spectrum=int(np.int64(17)))
    values, notices = decode(read_query(encode(state, "scan")), shared, DEFAULTS)
    assert notices == []
    assert (values["sigma"], values["window"]) == (3.5, (6.1, 6.5))


@given(name=st.text())
@example("a scan & its <name>?=#~+%20")
@example("ünï 漢 ٣")
def test_any_name_of_a_scan_survives_the_address(name: str) -> None:
    """Names are file names: they hold whatever the file system allows."""
    query = encode(ViewState(), name)
    assert read_query(query)["scan"] == name
    assert query.isascii()
    assert not set(query) & set(" <>\"'#")


ODD = {
    "empty": "",
    "blank": " ",
    "not a number": "nan",
    "a pair of nothing": "nan~nan",
    "infinite": "inf",
    "infinite pair": "-inf~inf",
    "overflowing": "1e999",
    "huge": "1e300",
    "huge pair": "1e300~1e301",
    "negative": "-7",
    "negative pair": "-7~-6",
    "other digits": "٣",
    "a pair of other digits": "٣~٤",
    "wide digits": "３",
    "superscript": "²",
    "underscores": "1_0",
    "hexadecimal": "0x10",
    "too few": "~",
    "too many": "1~2~3",
    "the wrong way round": "99~1",
    "a second question mark": "1?b=2",
    "a word": "true",
    "a null byte": "1\x00",
    "html": "<script>alert(1)</script>",
    "markdown": "![x](http://example.org/x.png)",
    "a path": "../../etc/passwd",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("key", KEYS)
def test_a_value_without_meaning_falls_back_alone(shared: SharedScan, key: str, text: str) -> None:
    """One bad key costs that key, and one sentence that names it; the others hold."""
    if (key, text) in (("elements", ""), ("pair", "~")):
        pytest.skip("none are a choice, too")
    if key in ("elements", "regions") and not text:
        pytest.skip("none are a choice, too")
    if key == "hidden":
        pytest.skip("names of no region hide nothing")
    query = {name: good for name, (good, _) in GOOD.items()} | {key: text}
    values, notices = decode(query, shared, DEFAULTS)
    expected = dict(DEFAULTS)
    for name, (_, parameters) in GOOD.items():
        if name != key:
            expected |= parameters
    assert values == expected
    (notice,) = notices
    assert notice.startswith(f"{key}=")


@pytest.mark.parametrize("key", KEYS)
def test_a_good_value_is_taken(shared: SharedScan, key: str) -> None:
    """The counterpart: what the page itself writes is understood, key by key."""
    text, parameters = GOOD[key]
    values, notices = decode({key: text}, shared, DEFAULTS)
    assert values == DEFAULTS | parameters
    assert notices == []


@pytest.mark.parametrize("key", KEYS)
def test_a_value_that_is_too_long_is_refused_not_cut(shared: SharedScan, key: str) -> None:
    """The beginning of a long text may make sense; the text does not."""
    long = GOOD[key][0] + "0" * 300 + "x"
    values, notices = decode({key: long}, shared, DEFAULTS)
    assert values == DEFAULTS
    (notice,) = notices
    assert len(notice) < 150


def test_missing_keys_are_no_fault(shared: SharedScan) -> None:
    """A bare address shows the first look, silently; unknown keys belong to others."""
    values, notices = decode({"utm_source": "mail", "theme": "dark"}, shared, DEFAULTS)
    assert values == DEFAULTS
    assert notices == []


def test_limits_are_the_scans(shared: SharedScan) -> None:
    """The last spectrum and the last cell exist, the next ones do not."""
    height, width = shared.scan.grid.shape
    last = {"spectrum": f"{shared.scan.n_spectra - 1}", "cell": f"{height - 1}~{width - 1}"}
    values, notices = decode(last, shared, DEFAULTS)
    assert values["spectrum"] == shared.scan.n_spectra - 1
    assert values["cell"] == (height - 1, width - 1)
    assert notices == []
    beyond = [
        {"spectrum": f"{shared.scan.n_spectra}"},
        {"cell": f"{height}~0"},
        {"cell": f"0~{width}"},
        {"cell": f"{width - 1}~{height - 1}"},  # row and column changed over
    ]
    for query in beyond:
        values, notices = decode(query, shared, DEFAULTS)
        assert values == DEFAULTS
        assert len(notices) == 1


def test_what_a_scan_does_not_know_is_refused(open_changed: OpenChanged) -> None:
    """An address of another scan: without times there are no rates and no dead time."""

    def change(file: h5py.File) -> None:
        del file["XRF/LiveTimes"]

    timeless = open_changed("timeless", change)
    query = {"rate": "1", "layer": "dead time", "background": "sides"}
    values, notices = decode(query, timeless, DEFAULTS)
    assert values == DEFAULTS | {"background": "sides"}
    assert [notice.split("=")[0] for notice in notices] == ["layer", "rate"]
    values, notices = decode({"rate": "0", "layer": "detected"}, timeless, DEFAULTS)
    assert values == DEFAULTS | {"layer": "detected"}
    assert notices == []


@pytest.mark.parametrize(
    "text",
    [
        "a!r!1!2!3",  # no four numbers
        "a!r!3!0!1!5",  # right of left is left
        "a!r!1!2!nan!4",
        "a!r!1!2!1e400!4",
        "a!r!1!2!9e99!4",  # no motor goes there
        "!r!1!2!3!4",  # no name
        "a!r!1!2!3!4~a!r!5!6!7!8",  # two of one name
        "a!p!0!0!1!1",  # two corners
        "a!p!0!0!1!1!2!2",  # on a line
        "a!p!0!0!1!1!2",
        "a!t!6.1 to 6.5 keV!!",  # no limit
        "a!t!6.1 to 6.5 keV!3!2",
        "a!t!6.1 to 6.5 keV, squared!2!",
        "a!t!6.1 to 6.5 keV, sigma 1e9!2!",
        "a!t!Unobtainium!2!",
        "a!t!../../etc/passwd!2!",
        "a!q!1!2!3!4",
        "a%00!r!1!2!3!4".replace("%00", chr(0)),
        "~".join(f"{i}!r!1!2!3!4" for i in range(13)),  # one too many
        "a!p!" + "!".join(["1!2", "3!9"] * 600),  # longer than an address may be
    ],
)
def test_regions_without_meaning_are_ignored(shared: SharedScan, text: str) -> None:
    """All of them: some would be shown as if they were all."""
    values, (notice,) = decode({"regions": text, "sigma": "3"}, shared, DEFAULTS)
    assert (values["regions"], values["sigma"]) == ((), 3.0)
    assert notice.startswith("regions=")


def test_a_polygon_of_too_many_corners_is_left_out_of_the_address(shared: SharedScan) -> None:
    """And the others are there; a link of megabytes would open nowhere."""
    angle = np.linspace(0, 6, 300)
    corners = tuple((float(1000 * np.cos(a)), float(1000 * np.sin(a))) for a in angle)
    small = Region("small", Rectangle(0.0, 1.0, 2.0, 3.0))
    state = ViewState(regions=(Region("lasso", Polygon(corners)), small))
    values, notices = decode(read_query(encode(state, "a")), shared, DEFAULTS)
    assert (values["regions"], notices) == ((small,), [])
    assert (fits(state.regions, "lasso"), fits(state.regions, "small")) == (False, True)


@pytest.mark.parametrize("key", ["layer", "background"])
@pytest.mark.parametrize("text", ["Counts", " counts", "dead%20time", "__class__", "left in", "2"])
def test_only_the_names_of_choices_are_choices(shared: SharedScan, key: str, text: str) -> None:
    """Not their labels, nor what looks like them; the name is a key of a table."""
    values, notices = decode({key: text}, shared, DEFAULTS)
    assert values == DEFAULTS
    assert notices == [f"{key}={text!r} in the address has no meaning here and was ignored."]


def test_the_last_of_a_repeated_key_counts(shared: SharedScan) -> None:
    """As in the request that tornado parses; the others are not looked at."""
    query = read_query("?sigma=1&sigma=rubbish&sigma=2.5")
    assert decode(query, shared, DEFAULTS) == (DEFAULTS | {"sigma": 2.5}, [])
    query = read_query("?sigma=1&sigma=")
    values, notices = decode(query, shared, DEFAULTS)
    assert values == DEFAULTS
    assert len(notices) == 1


NEARLY = st.text(alphabet="0123456789.~-+einfa_ ?&=%٣", max_size=12)


def accepted(shared: SharedScan, query: dict[str, str]) -> None:
    """Decode a query, and let everything that uses the view use it."""
    values, notices = decode(query, shared, DEFAULTS)
    state = ViewState(**values)
    check_picks(shared, state)
    low, high = state.window
    assert math.isfinite(low)
    assert low <= high
    assert shared.scan.energy_map(low, high, method="selected").shape == shared.scan.grid.shape
    assert all(len(notice) < 250 for notice in notices)


@given(search=st.text() | NEARLY)
@example("?" * 300)
@example("&" * 20_000)
@example("=&" * 500)
@example("a=1?b=2&sigma=3")
@example("?sigma=%ff%fe&window=%00~%00")
@example("?sigma=%u0031&cell=%D9%A3~1")
@example("?" + urlencode({"sigma": "9" * 5000}))
def test_no_query_string_raises(shared: SharedScan, search: str) -> None:
    """Whatever stands in the address, a visitor gets a view that can be drawn."""
    accepted(shared, read_query(search))


@given(query=st.dictionaries(st.sampled_from(KEYS), st.text() | NEARLY))
def test_no_value_raises(shared: SharedScan, query: dict[str, str]) -> None:
    """The same with known keys and texts that are nearly numbers."""
    accepted(shared, query)


# --- elements, workspaces, zoom ---------------------------------------------------------------


def test_an_element_that_is_named_twice_is_there_once(shared: SharedScan) -> None:
    """Under two names, too: the state would refuse it, and with it the page."""
    values, notices = decode({"elements": "Fe~iron~Fe~Ca~Fe"}, shared, DEFAULTS)
    assert values["elements"] == ("Fe", "Ca")
    assert notices == []
    assert ViewState(**values).elements == ("Fe", "Ca")


@pytest.mark.parametrize(
    "text",
    ["Xx", "Fe~Xx", "~", "Fe~", "<b>Fe</b>", "Fe" * 100, "~".join(["Fe"] * (MAX_ELEMENTS + 1))],
)
def test_elements_that_are_none_fall_back(shared: SharedScan, text: str) -> None:
    """All of them: half of a gallery is not what was sent."""
    values, notices = decode({"elements": text}, shared, DEFAULTS)
    assert values == DEFAULTS
    assert len(notices) == 1


@pytest.mark.parametrize("key", ["map", "positions"])
@pytest.mark.parametrize(
    "text",
    [
        "140000~150000",
        "140000~150000~113000",
        "150000~140000~113000~118000",
        "140000~140000~113000~118000",
        "140000~150000~113000~1e999",
        "140000~1e15~113000~118000",
        "1e12~1.1e12~113000~118000",
        "140000~150000~113000~118000~1",
    ],
)
def test_a_part_that_no_map_can_show_falls_back(shared: SharedScan, key: str, text: str) -> None:
    """A point, the wrong way round, or far beyond the object."""
    values, notices = decode({key: text}, shared, DEFAULTS)
    assert values == DEFAULTS
    assert len(notices) == 1


def test_what_is_not_zoomed_is_not_in_the_address() -> None:
    """A short address stays short."""
    query = read_query(encode(ViewState(), "scan"))
    assert not {"map", "positions", "range"} & set(query)
