"""Maps exported as a figure: what is drawn, where, and what the file says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from bokeh import palettes
from PIL import Image, ImageFont

from maxrf_core import ParameterError, convert_crono, open_scan
from maxrf_core.export_colours import COLOUR_MAPS, colour_table
from maxrf_core.export_kinds import EXPORT_KINDS
from maxrf_core.export_png import _NO_DATUM, _Sheet, _ticks
from maxrf_core.exports import export_scan
from maxrf_core.lettering import INK, Pen

FE = {"Fe K-alpha": (6.1, 6.8)}


@pytest.fixture(scope="module")
def holed(make_scan, tmp_path_factory):
    """Yield a scan of more columns than rows, with cells that have no datum under linear."""
    made = make_scan((4, 20), turn=0, gap=8000)
    path = convert_crono(
        made.path, output=tmp_path_factory.mktemp("holed"), cubes=False, progress=False
    )
    with open_scan(path) as scan:
        yield scan


class Maps:
    """As much of a set of maps as a sheet asks for."""

    def __init__(self, shape, pitch=(1000.0, 500.0), number=1):
        self.layers = [None] * number
        self.scan = self
        self.grid = self
        self.height, self.width = shape
        self.dx, self.dy = pitch


def drawn(scan, path, windows=FE, **options):
    """Return the pixels of the figure of some maps, (h, w, 3), and where the maps lie."""
    export_scan(scan, path, windows=windows, **options)
    number = len(windows) * (2 if options.get("errors") else 1)
    grid = scan.grid
    sheet = _Sheet.of(Maps(grid.shape, (grid.dx, grid.dy), number))
    with Image.open(path) as file:
        pixels = np.asarray(file)
    assert pixels.shape == (sheet.size[1], sheet.size[0], 3)
    return pixels, sheet


def map_pixels(pixels, sheet, number=0):
    """Return the pixels of one map."""
    left, top = sheet.corner(number)
    width, height = sheet.map_size
    return pixels[top : top + height, left : left + width]


def expected_colours(values, colour_map, clip=(0.0, 99.5)):
    """Return the colour of each cell, by the plain rule."""
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = np.percentile(finite, clip)
    share = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    colours = colour_table(colour_map)[np.round(255 * np.nan_to_num(share)).astype(int)]
    return np.where(np.isnan(values)[..., None], _NO_DATUM, colours)


# --- the map ------------------------------------------------------------------------------------
@pytest.mark.parametrize("colour_map", COLOUR_MAPS)
def test_every_cell_has_its_colour_at_its_place(holed, tmp_path, colour_map):
    """The middle of each cell on the sheet: y upwards, nothing blurred, empty cells apart."""
    pixels, sheet = drawn(holed, tmp_path / "a.png", method="linear", colour_map=colour_map)
    picture = map_pixels(pixels, sheet)
    height, width = holed.grid.shape
    rows = ((np.arange(height) + 0.5) * len(picture) / height).astype(int)
    columns = ((np.arange(width) + 0.5) * picture.shape[1] / width).astype(int)
    values = holed.energy_map(6.1, 6.8, method="linear")[::-1]
    assert np.isnan(values).any()
    np.testing.assert_array_equal(
        picture[np.ix_(rows, columns)], expected_colours(values, colour_map)
    )


def test_clip_sets_the_end_colours(holed, tmp_path):
    """Hot cells would otherwise darken the rest."""
    values = holed.energy_map(6.1, 6.8, method="linear")[::-1]
    found = []
    for number, clip in enumerate([(0, 100), (20, 60)]):
        pixels, sheet = drawn(holed, tmp_path / f"{number}.png", method="linear", clip=clip)
        picture = map_pixels(pixels, sheet)
        np.testing.assert_array_equal(
            np.unique(picture.reshape(-1, 3), axis=0),
            np.unique(expected_colours(values, "viridis", clip).reshape(-1, 3), axis=0),
        )
        found.append(picture)
    assert (found[0] != found[1]).any()


def test_cells_have_their_shape_on_the_object():
    """Twice as long as high they stay, to a pixel, whatever the number of cells."""
    for shape in ((4, 20), (300, 7), (2000, 1500)):
        height, width = shape
        size = _Sheet.of(Maps(shape, (1024.9, 500.0))).map_size
        assert size[0] / width / (size[1] / height) == pytest.approx(1024.9 / 500, abs=0.51 / width)
        tall = _Sheet.of(Maps(shape, (250.0, 1000.0))).map_size
        assert tall[0] / width / (tall[1] / height) == pytest.approx(0.25)
        assert min(size[0] / width, size[1] / height, tall[0] / width, tall[1] / height) >= 1


def test_several_maps_lie_side_by_side_without_overlap(scan, tmp_path):
    """Each with its error behind it; a second map must not paint over the first."""
    windows = FE | {"Pb L": (10.2, 11.4), "Ca": (3.4, 4.1)}
    pixels, sheet = drawn(scan, tmp_path / "a.png", windows, errors=True, clip=(0, 100))
    taken = np.zeros(pixels.shape[:2], dtype=int)
    for number in range(6):
        map_pixels(taken, sheet, number)[...] += 1
        window = list(windows.values())[number // 2]
        make = scan.energy_map_error if number % 2 else scan.energy_map
        colours = expected_colours(make(*window)[::-1], "viridis", (0, 100))
        found = map_pixels(pixels, sheet, number)
        np.testing.assert_array_equal(found[0, 0], colours[0, 0])
        np.testing.assert_array_equal(found[-1, -1], colours[-1, -1])
    assert taken.max() == 1
    assert taken.sum() == 6 * sheet.map_size[0] * sheet.map_size[1]


def test_a_map_without_any_datum_is_drawn_empty(holed, tmp_path, monkeypatch):
    """Percentiles of nothing are an error otherwise."""
    empty = np.full(holed.grid.shape, np.nan, dtype=np.float32)
    monkeypatch.setattr(type(holed), "energy_map", lambda *_, **__: empty)
    pixels, sheet = drawn(holed, tmp_path / "a.png")
    assert (map_pixels(pixels, sheet) == _NO_DATUM).all()


def test_a_map_of_one_value_is_drawn(holed, tmp_path, monkeypatch):
    """A division by a range of zero is an error otherwise."""
    flat = np.full(holed.grid.shape, 3, dtype=np.float32)
    monkeypatch.setattr(type(holed), "energy_map", lambda *_, **__: flat)
    pixels, sheet = drawn(holed, tmp_path / "a.png")
    assert (map_pixels(pixels, sheet) == colour_table("viridis")[0]).all()


# --- beside it ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mm_per_step", "length"),
    [(0.0005, 2.0), (None, 5000.0)],  # a third of 26,000 steps or 13 mm, and the next round one
)
def test_scale_bar_has_the_length_that_it_says(make_scan, tmp_path, mm_per_step, length):
    """Measured in pixels: a size read off the figure is one on the object."""
    made = make_scan((6, 20), turn=0)
    with open_scan(convert_crono(made.path, output=tmp_path, cubes=False, progress=False)) as scan:
        pixels, sheet = drawn(scan, tmp_path / "a.png", mm_per_step=mm_per_step)
        whole = scan.grid.dx * scan.grid.width * (mm_per_step or 1)
    assert length <= whole / 3 < 2.5 * length
    left, top = sheet.corner(0)
    y = top + sheet.map_size[1] + round(1.2 * sheet.font)
    row = (pixels[y, left : left + sheet.map_size[0]] == INK).all(axis=1)
    bar = np.argmin(row) if not row.all() else len(row)
    assert bar / sheet.map_size[0] == pytest.approx(length / whole, abs=2 / sheet.map_size[0])


def test_colour_bar_goes_from_low_below_to_high_above_and_points_where_cells_lie_beyond(
    scan, tmp_path
):
    """Upside down it would tell the opposite; without a point a clipped map would look whole."""
    table = colour_table("inferno").astype(int)
    for name, clip in (("whole", (0, 100)), ("clipped", (10, 90))):
        pixels, sheet = drawn(scan, tmp_path / f"{name}.png", colour_map="inferno", clip=clip)
        left, top = sheet.corner(0)
        left += sheet.map_room + sheet.font
        bar = pixels[top : top + sheet.map_size[1], left + 2 : left + sheet.font - 2]
        middle = bar[:, bar.shape[1] // 2].astype(int)
        distances = np.abs(middle[:, None] - table).sum(axis=2)
        inner = slice(2 * sheet.font, -2 * sheet.font)
        levels = distances.argmin(axis=1)[inner]
        assert distances.min(axis=1)[inner].max() == 0
        assert (np.diff(levels) <= 0).all()
        assert levels[0] > levels[-1] + 100
        corners = {tuple(bar[0, 0].tolist()), tuple(bar[-1, 0].tolist())}
        white = {(255, 255, 255)}
        whole = {tuple(table[-1].tolist()), tuple(table[0].tolist())}
        assert corners == (white if name == "clipped" else whole)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 229.0, ["0", "50", "100", "150", "200"]),
        (-0.4, 1.7, ["0.0", "0.5", "1.0", "1.5"]),
        (3.0, 25_000.0, ["5 000", "10 000", "15 000", "20 000", "25 000"]),
        (0.0, 0.06, ["0.00", "0.01", "0.02", "0.03", "0.04", "0.05", "0.06"]),
        (0.0, 9e7, ["0", "2e+07", "4e+07", "6e+07", "8e+07"]),
        (0.0, 6e-9, ["0", "1e-09", "2e-09", "3e-09", "4e-09", "5e-09", "6e-09"]),
    ],
)
def test_ticks_are_few_round_numbers_within_the_range(low, high, expected):
    """A colour bar is read at a glance."""
    found = _ticks(low, high)
    assert [label for _, label in found] == expected
    for value, label in found:
        assert float(label.replace(" ", "")) == pytest.approx(value, abs=1e-12)
        assert low - 1e-9 <= value <= high * (1 + 1e-9)


def test_a_short_colour_bar_has_two_ticks_or_a_few_more():
    """Of a map of a few rows: labels over each other cannot be read, one alone is no scale."""
    assert [label for _, label in _ticks(0.0, 229.0, 2)] == ["0", "200"]
    assert [label for _, label in _ticks(3.0, 9.0, 2)] == ["4", "6", "8"]
    for shape in ((3, 90), (1, 400)):
        sheet = _Sheet.of(Maps(shape))
        assert sheet.bar_height >= 6 * sheet.font
        below = sheet.panel[1] - 4 * sheet.font  # of the corner, up to the next panel's title
        assert max(sheet.bar_height, sheet.map_size[1] + 2 * sheet.font) < below


# --- text ---------------------------------------------------------------------------------------
def test_the_file_says_what_it_shows(holed, tmp_path):
    """A figure that has left its folder still tells window, method and scan."""
    path = tmp_path / "a.png"
    export_scan(holed, path, windows={"Fe K\u03b1": (6.1, 6.8)}, per_second=True, sigma=1.5)
    with Image.open(path) as file:
        texts = file.text
        assert file.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert texts["Title"] == "Fe K\u03b1"
    for word in ("6.1 to 6.8 keV", "counts/s", "sigma 1.5", "kriging", holed.name):
        assert word in texts["Description"]


class Written:
    """An image that notes what is written on it."""

    def __init__(self):
        self.lines = []

    def text(self, _place, text, *, font, fill, anchor):
        """Note a line."""
        assert len(fill) == 3
        assert anchor in ("ls", "lm")
        self.lines.append((text, font.getname()[0]))


def test_title_window_unit_scale_and_method_are_written(holed, scan, tmp_path, monkeypatch):
    """All that a reader of a publication asks for first."""
    written = []
    original = Pen.text

    def note(pen, place, text, size, **options):
        written.append(text)
        return original(pen, place, text, size, **options)

    monkeypatch.setattr(Pen, "text", note)
    drawn(holed, tmp_path / "a.png", method="linear", per_second=True, mm_per_step=0.01)
    assert {"Fe K-alpha", "6.1 to 6.8 keV", "counts/s", "no datum"} <= set(written)
    assert f"{holed.name}: method linear, not smoothed, background none" in written
    assert [text for text in written if text.endswith(" mm")] == ["50 mm"]
    written.clear()
    drawn(scan, tmp_path / "b.png", method="nearest")
    assert "no datum" not in written
    assert [text for text in written if text.endswith("motor steps")] == ["1 000 motor steps"]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Fe K-alpha", "Fe K-alpha"),
        ("Fe K\u03b1", "Fe Kalpha"),
        ("Gr\u00fcnspan \u2013 \u00b5", "Grunspan - u"),
        ("\u4e2d K", "? K"),
    ],
)
def test_names_in_other_letters_are_written_as_near_as_the_font_allows(monkeypatch, name, plain):
    """On a computer without any font of its own; boxes would say nothing at all."""
    original = ImageFont.truetype

    def own_only(font, *arguments, **options):
        if isinstance(font, str):
            raise OSError
        return original(font, *arguments, **options)

    monkeypatch.setattr(ImageFont, "truetype", own_only)
    written = Written()
    Pen(written).text((0, 0), name, 20)
    assert [text for text, _ in written.lines] == [plain]


def test_a_long_name_is_cut_to_its_place():
    """It would run into the next map."""
    written = Written()
    pen = Pen(written)
    length = pen.text((0, 0), "verdigris over lead-tin yellow", 20, width=150)
    assert length <= 150
    ((text, _),) = written.lines
    assert text.startswith("verdigris")
    assert text.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert pen.text((0, 0), "Fe", 20, width=150) == pytest.approx(pen.text((0, 0), "Fe", 20))
    assert written.lines[1][0] == "Fe"


# --- refused ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour_map": "jet"}, "colour_map is 'jet'; expected one of viridis, cividis"),
        ({"clip": (50, 50)}, "expected two percentiles"),
        ({"clip": (-1, 50)}, "expected two percentiles"),
        ({"clip": (0, 100.5)}, "expected two percentiles"),
        ({"clip": 5}, "expected two percentiles"),
        ({"mm_per_step": 0}, "mm_per_step is 0; expected a positive length"),
        ({"orientation": "motor"}, "orientation has no meaning for 'png'"),
    ],
)
def test_option_without_meaning_is_refused(scan, tmp_path, options, message):
    """Nothing is written then."""
    with pytest.raises(ParameterError, match=message):
        export_scan(scan, tmp_path / "a.png", windows=FE, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_of_too_many_pixels_is_refused():
    """It would fill the memory, and no viewer would open it."""
    assert _Sheet.of(Maps((1015, 1002), (1024.8, 500.0), 24)).size[0] > 0
    with pytest.raises(ParameterError, match=r"pixels, more than 89 million\. Export fewer"):
        _Sheet.of(Maps((1015, 1002), (1024.8, 500.0), 48))


# --- colours ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_colours_are_those_of_the_page(name):
    """A figure beside a screenshot shall not look like another measurement."""
    expected = [
        [int(code[i : i + 2], 16) for i in (1, 3, 5)] for code in getattr(palettes, name)(256)
    ]
    assert np.abs(colour_table(name).astype(int) - expected).max() <= 3


def test_png_takes_what_all_maps_take():
    """But for the orientation, as a figure has y upwards."""
    kinds = {kind.name: kind.options for kind in EXPORT_KINDS}
    assert kinds["png"] - kinds["tiff"] == {"colour_map", "clip"}
    assert kinds["tiff"] - kinds["png"] == {"orientation"}
