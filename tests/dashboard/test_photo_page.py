"""The object in light on the page: a photo picked onto the map, a mosaic, and the map over them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from bokeh.models import ColumnDataSource
from PIL import Image
from visitor import Session, Visitor, labelled, served, show, until

from dashboard import Explorer, light_pictures
from dashboard.address import decode, encode, read_query
from dashboard.data import SharedScan
from dashboard.light import look_beside, picture_path, pictures_beside
from dashboard.light_panel import LightPanel
from dashboard.light_pictures import mosaic_picture, needed, photo_picture, whole_photo
from dashboard.photo_dialog import PhotoDialog
from dashboard.pixels import Picture, View
from dashboard.point_pairs import MOST_PICKED, PointPairs
from dashboard.state import ViewState
from maxrf_core import Grid, ParameterError, open_scan
from maxrf_core.mosaic import Mosaic
from maxrf_core.mosaic_file import mosaic_path, write_mosaic
from maxrf_core.photo import fit_photo
from maxrf_core.photo_record import keep_photo, kept_photo
from maxrf_core.sidecar import sidecar_path, write_sidecar

WIDTH, HEIGHT = 330, 250
ROUNDING = 6
"""Of 255 levels: bilinear between pixels, JPEG left out."""


def colours(x: npt.NDArray, y: npt.NDArray, grid: Grid) -> npt.NDArray[np.uint8]:
    """Return the object's colours (..., 3) at motor positions, by a formula: smooth, all alike."""
    left, bottom, right, top = grid.bounds
    u, v = (x - left) / (right - left), (y - bottom) / (top - bottom)
    levels = np.stack([60 + 120 * u, 60 + 120 * v, 128 + 60 * np.sin(3 * u + 2 * v)], axis=-1)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def true_matrix(grid: Grid) -> npt.NDArray[np.float64]:
    """Return how the photo was taken: turned a little, the scan in its middle."""
    left, bottom, right, top = grid.bounds
    step = 1.2 * max((right - left) / WIDTH, (top - bottom) / HEIGHT)
    c, s = step * np.cos(0.05), step * np.sin(0.05)
    x, y = (left + right) / 2, (bottom + top) / 2
    turn = np.array([[c, s], [s, -c]])
    shift = np.array([x, y]) - turn @ [WIDTH / 2, HEIGHT / 2]
    return np.vstack([np.column_stack([turn, shift]), [0, 0, 1]])


def to_motor(grid: Grid, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the motor positions (..., 2) of pixels of the photo."""
    matrix = true_matrix(grid)
    return np.asarray(points, float) @ matrix[:2, :2].T + matrix[:2, 2]


def take_photo(path: Path, grid: Grid) -> Path:
    """Take a photo of the object of the formula."""
    pixels = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)
    places = to_motor(grid, pixels)
    Image.fromarray(colours(places[..., 0], places[..., 1], grid)).save(path)
    return path


PICKED = np.array([[40, 30], [300, 45], [280, 220], [55, 205], [160, 120]], float)


def pairs_of(grid: Grid, count: int = 5) -> npt.NDArray[np.float64]:
    """Return exact point pairs, (count, 4)."""
    return np.hstack([PICKED, to_motor(grid, PICKED)])[:count]


@pytest.fixture
def own(shared: SharedScan, tmp_path: Path) -> Iterator[SharedScan]:
    """Yield a copy of the 12 x 9 scan in a folder of its own."""
    folder = tmp_path / "scans"
    folder.mkdir()
    path = shutil.copy(shared.scan.filename, folder / "own.zipstore")
    with open_scan(path) as scan:
        yield SharedScan(scan)


@pytest.fixture
def scan_path(own: SharedScan) -> Path:
    """Return where the copy lies."""
    return Path(own.scan.filename)


@pytest.fixture
def photo(own: SharedScan, scan_path: Path) -> Path:
    """Return a photo that lies beside the copy; nothing is kept of it yet."""
    return take_photo(scan_path.with_name("Folio 3 ré.png"), own.scan.grid)


def unpacked(picture: Picture) -> tuple[npt.NDArray[np.uint8], npt.NDArray, npt.NDArray]:
    """Return red, green, blue, alpha (h, w, 4) of a picture, and motor x and y of its pixels."""
    h, w = picture.levels.shape
    rgba = picture.levels.copy().view(np.uint8).reshape(h, w, 4)
    left, bottom, right, top = picture.bounds
    x = left + (np.arange(w) + 0.5) * (right - left) / w
    y = bottom + (np.arange(h) + 0.5) * (top - bottom) / h
    return rgba, *np.meshgrid(x, y)


def laid(visitor: Visitor) -> ColumnDataSource:
    """Return the data of the layer under the map."""
    return visitor.source("map", "ImageRGBA")


def is_laid(visitor: Visitor) -> bool:
    """Return whether something lies under the map."""
    return laid(visitor).data["rgba"][0].size > 1


def opacity(visitor: Visitor) -> float:
    """Return how opaque the map's picture is."""
    (glyph,) = (
        one.glyph for one in visitor.figure("map").renderers if type(one.glyph).__name__ == "Image"
    )
    return glyph.global_alpha


# --- what lies beside a scan ------------------------------------------------------------------


def test_pictures_of_the_scans_own_folder_are_offered_and_no_others(
    own: SharedScan, scan_path: Path, photo: Path, tmp_path: Path
) -> None:
    """A link out of the folder would show what the server's owner did not put there."""
    secret = take_photo(tmp_path / "secret.png", own.scan.grid)
    (scan_path.parent / "link.png").symlink_to(secret)
    (scan_path.parent / "within.JPG").symlink_to(photo)
    (scan_path.parent / "loop.png").symlink_to("loop.png")
    for name in ("own.mosaic.png", ".hidden.png", "notes.txt", "b.tiff", "a.JPEG"):
        (scan_path.parent / name).touch()
    (scan_path.parent / "folder.png").mkdir()
    assert pictures_beside(scan_path) == (photo.name, "a.JPEG", "b.tiff", "within.JPG")
    for name in (
        "link.png", "loop.png", "../secret.png", str(secret), "", ".", "..", "own.zipstore",
        "gone.png", "a\0.png", "folder.png", "scans/a.JPEG", "x" * 300 + ".png",
    ):  # fmt: skip
        with pytest.raises(ParameterError, match="no picture"):
            picture_path(scan_path, name)


def test_a_kept_name_that_leads_out_of_the_folder_is_not_shown(
    own: SharedScan, scan_path: Path, tmp_path: Path
) -> None:
    """The file beside a scan comes from elsewhere as often as a link does."""
    secret = take_photo(tmp_path / "secret.png", own.scan.grid)
    inside = scan_path.with_name("inside.png")
    shutil.copy(secret, inside)
    keep_photo(scan_path, inside, pairs_of(own.scan.grid))
    assert look_beside(own).choices == ("photo",)
    inside.unlink()
    inside.symlink_to(secret)
    assert look_beside(own).choices == ()
    assert "does not lie beside the scan" in look_beside(own).told["photo"]


def test_without_pictures_the_page_says_how_to_come_by_them(own: SharedScan) -> None:
    """In the users' words: where to put a photo, and which command makes a mosaic."""
    explorer = Explorer(own)
    visitor = show(pn_column(explorer))
    (hint,) = hints(explorer)
    assert "into the folder of the scan" in hint
    assert "maxrf mosaic" in hint
    assert not labelled(explorer.controls(), "Under the map")
    assert opacity(visitor) == 1.0


def pn_column(explorer: Explorer) -> Any:
    """Return the views of an explorer."""
    return explorer.views()


def hints(explorer: Explorer) -> list[str]:
    """Return what the sidebar says of the object in light."""
    panel = LightPanel(explorer.state, explorer.energy_map.underlay)
    return [panel._hint.object]


# --- pictures ---------------------------------------------------------------------------------


def test_a_photo_lies_where_its_pairs_say(own: SharedScan, photo: Path) -> None:
    """Each pixel has the colour of the formula at its place; beside the photo it is transparent."""
    grid = own.scan.grid
    pairs = pairs_of(grid)
    fit = fit_photo(pairs[:, :2], pairs[:, 2:])
    bounds, pixel = needed(grid.bounds, View.over(grid.bounds, 400, 300), 1 / 8)
    picture = photo_picture(photo, fit, bounds, pixel)
    rgba, x, y = unpacked(picture)
    inverse = np.linalg.inv(true_matrix(grid))
    places = np.stack([x, y], axis=-1) @ inverse[:2, :2].T + inverse[:2, 2]
    inside = ((places > 1) & (places < (WIDTH - 1, HEIGHT - 1))).all(axis=-1)
    outside = ((places < -1) | (places > (WIDTH + 1, HEIGHT + 1))).any(axis=-1)
    assert inside.sum() > 50_000
    assert outside.sum() > 5_000
    truth = colours(x, y, grid).astype(int)
    assert abs(rgba[..., :3].astype(int) - truth)[inside].max() <= ROUNDING
    assert (rgba[inside, 3] == 255).all()
    assert (rgba[outside, 3] == 0).all()


def test_a_mosaic_lies_where_it_says(own: SharedScan, scan_path: Path) -> None:
    """Its edges, its holes and its colours, whose pixels are not those of the plot."""
    grid = own.scan.grid
    left, bottom, right, top = grid.bounds
    step = (right - left) / 217.3
    columns, rows = int(0.7 * (right - left) / step), int(0.6 * (top - bottom) / step)
    x0, y0 = left + 0.1 * (right - left), bottom + 0.2 * (top - bottom)
    x, y = np.meshgrid(x0 + (np.arange(columns) + 0.5) * step, y0 + (np.arange(rows) + 0.5) * step)
    covered = (x - x0) ** 2 + (y - y0) ** 2 > (20 * step) ** 2
    picture = colours(x, y, grid) * covered[..., None].astype(np.uint8)
    path = mosaic_path(scan_path)
    write_mosaic(Mosaic(picture, covered, x0, y0, step, {}), path)
    assert look_beside(own).choices == ("mosaic",)
    bounds, pixel = needed(grid.bounds, View.over(grid.bounds, 400, 300), 1 / 8)
    rgba, x, y = unpacked(mosaic_picture(path, bounds, pixel))
    edge = 2 * max(step, *pixel)
    depth = np.minimum.reduce([x - x0, x0 + columns * step - x, y - y0, y0 + rows * step - y])
    from_hole = np.hypot(x - x0, y - y0) - 20 * step
    inside, outside = (depth > edge) & (from_hole > edge), (depth < -edge) | (from_hole < -edge)
    assert inside.sum() > 20_000
    truth = colours(x, y, grid).astype(int)
    assert abs(rgba[..., :3].astype(int) - truth)[inside].max() <= ROUNDING
    assert (rgba[inside, 3] == 255).all()
    assert (rgba[outside, 3] == 0).all()


@pytest.mark.parametrize("zoom", [1e-3, 0.05, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("size", [(400, 300), (3900, 2600)])
def test_what_is_sent_is_bounded_and_covers_what_is_seen(
    zoom: float, size: tuple[int, int]
) -> None:
    """At any zoom, at most 1.5 million pixels; a short pan finds the picture there already."""
    home = (1e5, 5e4, 1e5 + 7000, 5e4 + 4000)
    x, y = 1e5 + 3000, 5e4 + 1500
    ends = (x - 3500 * zoom, y - 2000 * zoom, x + 3500 * zoom, y + 2000 * zoom)
    view = View.over(ends, *size)
    (left, bottom, right, top), (dx, dy) = needed(home, view, 1 / 8)
    assert dx == dy
    assert (right - left) / dx * (top - bottom) / dy <= 1_500_000 * (1 + 1e-9)
    assert left <= max(ends[0], home[0])
    assert bottom <= max(ends[1], home[1])
    assert right >= min(ends[2], home[2])
    assert top >= min(ends[3], home[3])
    shape = round((top - bottom) / dy), round((right - left) / dx)
    drawn = Picture(np.zeros(shape, np.uint32), (left, bottom, right, top), (dx, dy))
    pan = 0.05 * zoom * np.array([7000, 4000, 7000, 4000])
    moved = View.over(tuple(ends + pan), *size)
    assert drawn.covers(*needed(home, moved, 1 / 16))


def test_beside_all_there_is_nothing_is_drawn() -> None:
    """A link may lead anywhere."""
    assert needed((0, 0, 10, 5), View.over((1e6, 1e6, 2e6, 2e6), 400, 300), 0.1) is None


def test_a_picture_is_drawn_once_for_all_visitors_while_there_is_room(
    own: SharedScan, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo of 100 megapixels takes seconds; what is kept of it is bounded."""
    drawn = []
    real = light_pictures.warp_photo
    monkeypatch.setattr(
        light_pictures, "warp_photo", lambda *a, **k: drawn.append(a) or real(*a, **k)
    )
    pairs = pairs_of(own.scan.grid)
    fit = fit_photo(pairs[:, :2], pairs[:, 2:])
    wanted = needed(own.scan.grid.bounds, View.over(own.scan.grid.bounds, 60, 50), 0.1)
    first = photo_picture(photo, fit, *wanted)
    assert photo_picture(photo, fit, *wanted) is first
    assert len(drawn) == 1
    moved = fit_photo(pairs[:, :2], pairs[:, 2:] + 900.0)
    assert photo_picture(photo, moved, *wanted) is not first
    monkeypatch.setattr(light_pictures, "_KEPT_BYTES", first.levels.nbytes)
    whole_photo(photo)
    assert photo_picture(photo, fit, *wanted) is not first
    assert sum(one.levels.nbytes for one in light_pictures._kept.values()) <= first.levels.nbytes


def test_a_whole_photo_keeps_its_pixel_coordinates(
    own: SharedScan, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs are picked on a photo that was made smaller, and hold for the photo itself."""
    monkeypatch.setattr(light_pictures, "_WHOLE_PIXELS", 9000)
    picture, size = whole_photo(photo)
    assert size == (WIDTH, HEIGHT)
    assert picture.levels.size <= 9000
    assert picture.bounds == (0, 0, WIDTH, HEIGHT)
    rgba, x, y = unpacked(picture)
    places = to_motor(own.scan.grid, np.stack([x, HEIGHT - y], axis=-1))
    truth = colours(places[..., 0], places[..., 1], own.scan.grid).astype(int)
    inner = (slice(1, -1), slice(1, -1))
    assert abs(rgba[..., :3].astype(int) - truth)[inner].max() <= ROUNDING


# --- point pairs ------------------------------------------------------------------------------


def test_points_become_pairs_in_either_order(own: SharedScan) -> None:
    """Somebody may see a place in the map first; a second click corrects the first one."""
    pairs = PointPairs()
    pairs.pick(in_photo=(1.0, 2.0))
    pairs.pick(in_photo=(3.0, 4.0))
    assert pairs.points == []
    pairs.pick(in_map=(5.0, 6.0))
    pairs.pick(in_map=(7.0, 8.0))
    pairs.pick(in_photo=(9.0, 10.0))
    assert pairs.points == [(3.0, 4.0, 5.0, 6.0), (9.0, 10.0, 7.0, 8.0)]
    assert pairs.in_photo is pairs.in_map is None
    assert pairs.lacking == 1
    assert pairs.told(own.scan.grid) == ["–", "–"]


def test_a_point_at_the_origin_is_a_point() -> None:
    """Zero is a place as any other."""
    pairs = PointPairs()
    pairs.pick(in_photo=(0.0, 0.0))
    assert pairs.in_photo == (0.0, 0.0)
    pairs.pick(in_map=(0.0, 0.0))
    assert pairs.points == [(0.0, 0.0, 0.0, 0.0)]


def test_residuals_are_told_in_steps_and_cells(own: SharedScan) -> None:
    """By the formula of least squares; steps and cells are not the same along x and y."""
    grid = own.scan.grid
    pairs, exact = PointPairs(), pairs_of(grid)
    exact[2, 2] += 0.8 * grid.dx
    pairs.start(exact, "affine")
    design = np.column_stack([exact[:, :2], np.ones(5)])
    left = design @ np.linalg.lstsq(design, exact[:, 2:], rcond=None)[0] - exact[:, 2:]
    expected = [
        f"{np.hypot(dx, dy):,.0f} steps · {np.hypot(dx / grid.dx, dy / grid.dy):.2f} cells"
        for dx, dy in left
    ]
    assert pairs.told(grid) == expected
    pairs.choose("homography")
    assert pairs.fit.kind == "homography"
    pairs.remove(pairs.ids[2])
    assert pairs.told(grid) == ["–"] * 4  # as many as it needs: they say nothing
    assert pairs.points == [tuple(point) for point in np.delete(exact, 2, axis=0)]


def test_pairs_that_say_nothing_are_told_and_can_be_mended() -> None:
    """Points on a line leave open what is beside it."""
    pairs = PointPairs()
    pairs.start([(k, 2 * k, 10 * k, 10 * k) for k in (1.0, 2.0, 3.0)], "affine")
    assert pairs.fit is None
    assert "on a line" in pairs.complaint
    pairs.change(pairs.ids[1], 0, 40.0)
    assert "scan lie on a line" in pairs.complaint
    pairs.change(pairs.ids[1], 2, 400.0)
    assert pairs.fit is not None
    assert pairs.complaint == ""


def test_there_are_only_so_many_pairs() -> None:
    """A page of ours adds one at a time; another may not."""
    pairs = PointPairs()
    pairs.start([(k, k * k % 7, k, k) for k in range(MOST_PICKED)], "affine")
    with pytest.raises(ParameterError, match="remove one"):
        pairs.add((1.0, 2.0, 3.0, 4.0))


# --- the address ------------------------------------------------------------------------------


def test_an_address_holds_what_lies_under_the_map_and_how_far_it_is_seen(own: SharedScan) -> None:
    """The link opens the same picture for a colleague; a first look needs no words for it."""
    state = ViewState(underlay="mosaic", map_opacity=0.25)
    query = read_query(encode(state, "own"))
    assert (query["under"], query["opacity"]) == ("mosaic", "0.25")
    values, notices = decode(query, own, {})
    assert (values["underlay"], values["map_opacity"]) == ("mosaic", 0.25)
    assert notices == []
    assert "under" not in encode(ViewState(), "own")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("under", "../secret.png"), ("under", ""), ("under", "Photo"),
        ("opacity", "1.01"), ("opacity", "-0.1"), ("opacity", "nan"), ("opacity", "1e400"),
    ],
)  # fmt: skip
def test_a_hostile_address_falls_back_with_a_notice(own: SharedScan, key: str, text: str) -> None:
    """No name of a file stands in an address, and no number but one from 0 to 1."""
    values, notices = decode({key: text}, own, {"underlay": "none", "map_opacity": 0.6})
    assert (values["underlay"], values["map_opacity"]) == ("none", 0.6)
    (notice,) = notices
    assert notice.startswith(f"{key}=")


# --- under the map ----------------------------------------------------------------------------


def test_a_link_lays_the_photo_under_the_map(own: SharedScan, scan_path: Path, photo: Path) -> None:
    """In a session, when the plot is laid out; the map fades over it and is opaque without it."""

    async def visit() -> None:
        keep_photo(scan_path, photo, pairs_of(own.scan.grid))
        state = ViewState(underlay="photo", map_opacity=0.3)
        explorer = Explorer(own, state=state)
        async with served(explorer.views) as visitor:
            await visitor.do(lambda: visitor.lay_out("map", 500, 400))
            await until(lambda: is_laid(visitor))
            data = laid(visitor).data
            bounds = (
                data["left"][0], data["bottom"][0],
                data["left"][0] + data["width"][0], data["bottom"][0] + data["height"][0],
            )  # fmt: skip
            picture = Picture(np.asarray(data["rgba"][0]), bounds, (1.0, 1.0))
            rgba, x, y = unpacked(picture)
            inner = (abs(x - x.mean()) < 0.2 * np.ptp(x)) & (abs(y - y.mean()) < 0.2 * np.ptp(y))
            truth = colours(x, y, own.scan.grid).astype(int)
            assert abs(rgba[..., :3].astype(int) - truth)[inner].max() <= ROUNDING
            assert opacity(visitor) == 0.3
            renderers = [type(one.glyph).__name__ for one in visitor.figure("map").renderers]
            assert renderers.index("ImageRGBA") < renderers.index("Image")
            await visitor.do(lambda: state.param.update(map_opacity=0.9))
            assert opacity(visitor) == 0.9
            left, bottom, right, top = own.scan.grid.bounds
            ends = {"x1": left + (right - left) / 9, "y1": bottom + (top - bottom) / 9}
            await visitor.do(lambda: visitor.zoom("map", x0=left, y0=bottom, **ends))
            await until(lambda: laid(visitor).data["width"][0] < data["width"][0] / 3)
            await visitor.do(lambda: state.param.update(underlay="none"))
            await until(lambda: not is_laid(visitor))
            assert opacity(visitor) == 1.0

    asyncio.run(visit())


def test_nothing_is_drawn_before_the_browser_has_the_page(
    own: SharedScan, scan_path: Path, photo: Path
) -> None:
    """What changed meanwhile never reached it: a link showed the map without its photo."""
    keep_photo(scan_path, photo, pairs_of(own.scan.grid))
    explorer = Explorer(own, state=ViewState(underlay="photo"))

    async def while_loading(visitor: Session) -> None:
        shown = visitor.figure("map").x_range
        await visitor.do(lambda: shown.update(end=shown.end + 1.0))
        await asyncio.sleep(0.3)
        assert not is_laid(visitor)

    async def visit() -> None:
        async with served(explorer.views, while_loading=while_loading) as visitor:
            await until(lambda: is_laid(visitor))

    asyncio.run(visit())


def test_a_link_to_a_photo_that_is_gone_shows_the_map_and_says_so(own: SharedScan) -> None:
    """A faded map over nothing would look like a weak signal."""
    explorer = Explorer(own, state=ViewState(underlay="photo"))
    visitor = show(explorer.views())
    assert opacity(visitor) == 1.0
    (hint,) = hints(explorer)
    assert "No photo yet" in hint
    (chooser,) = labelled(explorer.controls(), "Under the map")
    assert list(chooser.options.values()) == ["none", "photo"]


def test_a_broken_photo_is_told_and_the_map_goes_on(
    own: SharedScan, scan_path: Path, photo: Path
) -> None:
    """Somebody copies another file over it while the server runs."""
    keep_photo(scan_path, photo, pairs_of(own.scan.grid))
    photo.write_bytes(b"no picture")
    explorer = Explorer(own, state=ViewState(underlay="photo"))
    visitor = show(explorer.views())
    assert not is_laid(visitor)
    assert opacity(visitor) == 1.0
    (hint,) = hints(explorer)
    assert "no picture that can be read" in hint
    take_photo(photo, own.scan.grid)
    explorer.energy_map.underlay.renew()
    assert is_laid(visitor)


# --- the dialog -------------------------------------------------------------------------------


def press(layout: Any, label: str) -> None:
    """Press a button of a dialog."""
    (button,) = labelled(layout, label)
    button.clicks += 1


async def opened(visitor: Session, dialog: PhotoDialog) -> None:
    """Open the dialog and wait until the photo is there."""
    await visitor.do(lambda: dialog._open(None))
    await until(lambda: "pick photo" in visitor.figures())


def test_a_photo_is_picked_onto_the_map_and_kept(
    own: SharedScan, scan_path: Path, photo: Path
) -> None:
    """Taps in both plots, residuals in the table, the record beside the scan, the map at once."""

    async def visit() -> None:
        explorer, grid = Explorer(own), own.scan.grid
        dialog = explorer.photo
        async with served(explorer.views) as visitor:
            await visitor.do(lambda: visitor.lay_out("map", 500, 400))
            await opened(visitor, dialog)
            assert dialog.photo_name == photo.name  # the only one there
            for px, py, mx, my in pairs_of(grid, 4):
                await visitor.do(lambda x=px, y=HEIGHT - py: visitor.tap("pick photo", x, y))
                assert dialog.hint.endswith("click the same place in the map.")
                await visitor.do(lambda x=mx, y=my: visitor.tap("pick map", x, y))
            np.testing.assert_allclose(dialog.pairs.points, pairs_of(grid, 4), atol=1e-6)
            assert [row["off"] for row in dialog.table.rows] != ["–"] * 4
            assert "standard error" in dialog.hint.lower()
            for name in ("pick photo", "pick map"):
                assert visitor.source(name, "Text").data["number"] == ["1", "2", "3", "4"]
            await visitor.do(lambda: press(dialog.dialog, "Keep"))
            await until(lambda: is_laid(visitor))
            assert explorer.state.underlay == "photo"
            assert not dialog.dialog.open
            record = kept_photo(scan_path)
            assert (record.name, record.size, record.kind) == (
                photo.name,
                (WIDTH, HEIGHT),
                "affine",
            )
            np.testing.assert_allclose(record.points, pairs_of(grid, 4), atol=1e-6)
            assert "standard error" in explorer.energy_map.underlay.told
            await visitor.do(lambda: press(dialog.dialog, "Forget"))
            await until(lambda: not is_laid(visitor))
            assert kept_photo(scan_path) is None
            assert photo.is_file()

    asyncio.run(visit())


def test_what_is_kept_is_there_when_the_dialog_is_opened(
    own: SharedScan, scan_path: Path, photo: Path
) -> None:
    """Another visitor, another day; too few pairs are kept as well, and told."""

    async def visit() -> None:
        take_photo(scan_path.with_name("a.png"), own.scan.grid)
        keep_photo(scan_path, photo, pairs_of(own.scan.grid, 3), kind="homography")
        assert "3 of 4 point pairs" in look_beside(own).told["photo"]
        explorer = Explorer(own)
        dialog = explorer.photo
        async with served(explorer.views) as visitor:
            await opened(visitor, dialog)
            assert (dialog.photo_name, dialog.pairs.kind) == (photo.name, "homography")
            assert len(dialog.table.rows) == 3
            assert "1 more pair is needed" in dialog.hint
            await visitor.do(lambda: dialog.table._on_remove(dialog.table.rows[0]["id"]))
            (chooser,) = labelled(dialog.dialog, "Picture")
            await visitor.do(lambda: chooser.param.update(value="a.png"))
            await until(lambda: dialog.photo_name == "a.png")
            assert dialog.table.rows == []
            assert kept_photo(scan_path).name == photo.name

    asyncio.run(visit())


def test_a_photo_that_cannot_be_read_is_told_in_the_dialog(
    own: SharedScan, scan_path: Path, photo: Path
) -> None:
    """With the core's own sentence, and the other pictures stay to be chosen."""

    async def visit() -> None:
        scan_path.with_name("text.png").write_text("no picture")
        explorer = Explorer(own)
        dialog = explorer.photo
        async with served(explorer.views) as visitor:
            await visitor.do(lambda: dialog._open(None))
            await until(lambda: labelled(dialog.dialog, "Picture"))
            assert dialog.photo_name == ""  # two to choose from
            (chooser,) = labelled(dialog.dialog, "Picture")
            await visitor.do(lambda: chooser.param.update(value="text.png"))
            await until(lambda: "no picture that can be read" in dialog._wrong.text)
            (chooser,) = labelled(dialog.dialog, "Picture")
            await visitor.do(lambda: chooser.param.update(value=photo.name))
            await until(lambda: "pick photo" in visitor.figures())
            assert dialog._wrong.text == ""

    asyncio.run(visit())


@pytest.mark.usefixtures("photo")
def test_keeping_what_cannot_be_kept_is_told(own: SharedScan, scan_path: Path) -> None:
    """The file beside the scan is broken: it stays as it is, and the sentence names it."""

    async def visit() -> None:
        explorer = Explorer(own)
        dialog = explorer.photo
        async with served(explorer.views) as visitor:
            await opened(visitor, dialog)
            sidecar_path(scan_path).write_text("[")
            await visitor.do(lambda: press(dialog.dialog, "Keep"))
            await until(lambda: "own.maxrf.json" in dialog._wrong.text)
            assert sidecar_path(scan_path).read_text() == "["
            assert dialog.dialog.open

    asyncio.run(visit())


def test_what_no_page_of_ours_sends_is_passed_over(own: SharedScan) -> None:
    """Numbers that are none, rows that are not there, taps beside the photo."""
    dialog = Explorer(own).photo
    dialog.pairs.start(pairs_of(own.scan.grid, 4), "affine")
    before = dialog.pairs.points
    pair = dialog.pairs.ids[0]
    for message in (
        None, [], {"remove": "1"}, {"remove": 99},
        {"set": 99, "axis": 0, "to": 1.0}, {"set": pair, "axis": 4, "to": 1},
        {"set": pair, "axis": 0, "to": "1"}, {"set": pair, "axis": 0, "to": float("nan")},
        {"add": [1, 2, 3]}, {"add": [1, 2, 3, 1e300]}, {"add": [True] * 4},
        {"add": [1, 2, 3, None]},
    ):  # fmt: skip
        dialog.table._handle_msg(message)
    assert dialog.pairs.points == before
    assert "four numbers" in dialog.table.complaint
    dialog._tap_photo(-1.0, 5.0)
    assert dialog.pairs.in_photo is None
    dialog.table._handle_msg({"add": [1, 2, 3, 4.5]})
    assert dialog.pairs.points == [*before, (1.0, 2.0, 3.0, 4.5)]


@pytest.mark.usefixtures("photo")
def test_a_scan_behind_a_url_keeps_nothing_and_says_so(
    own: SharedScan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no folder beside it."""
    monkeypatch.setattr(own.scan, "filename", None)
    explorer = Explorer(own)
    explorer.photo._open(None)
    texts = [item.object for item in explorer.photo.dialog.select() if hasattr(item, "object")]
    assert any("opened by its URL" in str(text) for text in texts)
    assert not labelled(explorer.photo.dialog, "Keep")
    assert hints(explorer) == ["This scan was opened by its URL: no picture can lie beside it."]


def test_names_of_files_are_text(own: SharedScan, scan_path: Path) -> None:
    """A photo may be called anything."""
    name = "<img src=x onerror=alert(1)>.png"
    path = take_photo(scan_path.with_name(name), own.scan.grid)
    keep_photo(scan_path, path, pairs_of(own.scan.grid))
    explorer = Explorer(own, state=ViewState(underlay="photo"))
    (hint,) = hints(explorer)
    assert "<img" not in hint
    assert "&lt;img" in hint


def test_what_is_kept_in_the_file_may_be_anything(own: SharedScan, scan_path: Path) -> None:
    """The page comes up, and says what to do."""
    for value in ({"name": "../x.png"}, 3, {"name": "a.png", "size": [1, 1], "kind": "x"}):
        write_sidecar(scan_path, photo=value)
        assert json.loads(sidecar_path(scan_path).read_text())["photo"] == value
        assert "Choose the photo anew" in look_beside(own).told["photo"]
        show(Explorer(own, state=ViewState(underlay="photo")).views())
