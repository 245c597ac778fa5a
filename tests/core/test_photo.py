"""A photograph on the map: fitted to point pairs, drawn where they say, remembered by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cachetools import LRUCache
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from maxrf_core import photo_file
from maxrf_core.errors import OutputError, ParameterError
from maxrf_core.photo import fit_photo
from maxrf_core.photo_file import photo_size, warp_photo
from maxrf_core.photo_record import (
    PhotoRecord,
    find_photo,
    forget_photo,
    keep_photo,
    kept_photo,
)
from maxrf_core.sidecar import sidecar_path, write_sidecar

# Photo pixels to motor steps: mirrored (y down), turned by some degrees, far from the origin
AFFINE = np.array([[21.0, 1.5, 132252.0], [2.0, -20.0, 153816.0], [0, 0, 1]])
SLANTED = np.array([[21.0, 1.5, 132252.0], [2.0, -20.0, 153816.0], [2e-5, -3e-5, 1]])
CORNERS = np.array([[12, 30], [1790, 55], [1650, 1888], [90, 1720]], float)
PLACES = np.vstack([CORNERS, [[900, 700], [300, 1200], [1400, 400]]])


def through(matrix, points):
    """Return points taken through a projective matrix, by the formula."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return mapped[:, :2] / mapped[:, 2:]


# --- fits ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("kind", "n"), [("affine", 3), ("affine", 7)])
def test_an_affine_is_found_from_exact_points(kind, n):
    """To a hundredth of a step in 40,000, by three pairs or more."""
    fit = fit_photo(PLACES[:n], through(AFFINE, PLACES[:n]), kind=kind)
    np.testing.assert_allclose(fit.to_motor(CORNERS), through(AFFINE, CORNERS), atol=1e-2)
    np.testing.assert_allclose(fit.to_photo(through(AFFINE, CORNERS)), CORNERS, atol=1e-3)
    assert fit.distances.max() < 1e-2
    assert fit.freedom == 2 * n - 6


@pytest.mark.parametrize("n", [4, 7])
def test_a_homography_is_found_from_exact_points(n):
    """A photo taken at a slant: straight lines stay straight, parallels do not."""
    fit = fit_photo(PLACES[:n], through(SLANTED, PLACES[:n]), kind="homography")
    np.testing.assert_allclose(fit.to_motor(PLACES), through(SLANTED, PLACES), atol=1e-2)
    np.testing.assert_allclose(fit.to_photo(through(SLANTED, PLACES)), PLACES, atol=1e-3)
    assert fit.freedom == 2 * n - 8


def test_residuals_are_the_photos_points_less_the_scans():
    """A user has to see which pair is off, and which way."""
    motor = through(AFFINE, PLACES)
    motor[5] += (700, -300)
    fit = fit_photo(PLACES, motor)
    assert np.argmax(fit.distances) == 5
    np.testing.assert_allclose(fit.residuals, fit.to_motor(PLACES) - motor, atol=1e-6)
    assert fit.residuals[5, 0] < 0 < fit.residuals[5, 1]
    np.testing.assert_allclose(fit.residuals.sum(axis=0), 0, atol=1e-4)  # least squares


def test_the_error_of_a_point_is_told_by_the_residuals(rng):
    """Picking errors of 40 steps show as about 40, and as nothing known without freedom."""
    points = rng.uniform(0, 2000, (400, 2))
    noise = rng.normal(0, 40, (400, 2))
    for kind, matrix in (("affine", AFFINE), ("homography", SLANTED)):
        fit = fit_photo(points, through(matrix, points) + noise, kind=kind)
        assert 36 < fit.standard_error < 44  # 5 % of 800 draws is two standard deviations
    exact = fit_photo(CORNERS[:3], through(AFFINE, CORNERS[:3]))
    assert np.isnan(exact.standard_error)


def test_a_homography_is_the_least_squares_one(rng):
    """The linear solution is only a start: no small change of the result fits better."""
    motor = through(SLANTED, PLACES) + rng.normal(0, 150, PLACES.shape)
    fit = fit_photo(PLACES, motor, kind="homography")
    best = (fit.distances**2).sum()
    for row, column in np.ndindex(3, 3):
        for change in (1 - 1e-4, 1 + 1e-4):
            moved = fit.matrix.copy()
            moved[row, column] *= change
            assert ((through(moved, PLACES) - motor) ** 2).sum() >= best


@given(
    st.lists(st.floats(-0.4, 0.4), min_size=8, max_size=8),
    st.sampled_from([1.0, 1e3, 1e6]),
    st.sampled_from([0.0, 1e5]),
)
def test_any_view_of_a_plane_is_found_again(values, scale, offset):
    """Hartley's normalisation: numbers of any size, from pixels to 100,000s of steps."""
    matrix = np.append(values, 0).reshape(3, 3) + np.eye(3)
    points = np.array([[0, 0], [1, 0.1], [0.9, 1], [0.1, 1.1], [0.4, 0.7]])
    heights = points @ matrix[2, :2] + matrix[2, 2]
    assume(heights.min() > 0.2)
    assume(abs(np.linalg.det(matrix)) > 0.1)
    motor = scale * through(matrix, points) + offset
    fit = fit_photo(points, motor, kind="homography")
    assert fit.distances.max() <= 1e-6 * (scale + offset)
    np.testing.assert_allclose(fit.to_photo(motor), points, atol=1e-4)


LINE = np.array([[0, 0], [100, 50], [200, 100], [300, 150.2], [-50, -25]])


@pytest.mark.parametrize(
    ("photo", "motor", "kind", "message"),
    [
        (CORNERS[:2], CORNERS[:2], "affine", "There are 2 point pairs; an affine takes 3 to"),
        (CORNERS[:3], CORNERS[:3], "homography", "There are 3 point pairs; a homography takes 4"),
        (CORNERS, CORNERS[:3], "affine", "4 points of the photo and 3 of the scan"),
        (LINE, PLACES[:5], "affine", "points of the photo lie on a line"),
        (PLACES[:5], LINE, "affine", "points of the scan lie on a line"),
        (np.ones((3, 2)), CORNERS[:3], "affine", "All points of the photo are at one place"),
        (CORNERS[[0, 1, 2, 1]], CORNERS, "affine", "Points 2 and 4 of the photo are at one place"),
        (CORNERS, CORNERS * [1, np.nan], "affine", r"Point 1 of the scan is \[12.0, nan\]"),
        (CORNERS, CORNERS.ravel(), "affine", r"shape \(8,\), expected \(n, 2\)"),
        (CORNERS, [["a", "b"]] * 4, "affine", "of the scan are no pairs of numbers"),
        (CORNERS, CORNERS, "spline", "kind is 'spline'"),
        (
            np.array([[0, 0], [100, 0], [200, 0], [50, 90.0]]),
            np.array([[0, 0], [100, 0], [200, 0], [50, 90.0]]),
            "homography",
            "no three do",
        ),
        (
            np.array([[0, 0], [100, 0], [200, 0], [50, 90.0]]),
            CORNERS,
            "homography",
            "no three do|beyond the horizon",
        ),
        (CORNERS, CORNERS[[0, 2, 1, 3]], "homography", "beyond the horizon of the others"),
    ],
)
def test_points_that_decide_nothing_are_refused(photo, motor, kind, message):
    """A fit to them would be any fit; the sentence says which points, and what to add."""
    with pytest.raises(ParameterError, match=message):
        fit_photo(photo, motor, kind=kind)


def test_what_lies_beyond_the_horizon_is_nowhere():
    """At a slant the photo ends at the horizon; behind it the formula puts a second picture."""
    tilted = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0.01, 1]])  # horizon at motor y = 100
    fit = fit_photo(PLACES / 50, through(tilted, PLACES / 50), kind="homography")
    assert np.isfinite(fit.to_photo([3.0, 90.0])).all()
    assert np.isnan(fit.to_photo([3.0, 110.0])).all()
    assert np.isnan(fit.to_motor([3.0, -101.0])).all()


# --- drawn -----------------------------------------------------------------------------------
def scene(points):
    """Return smooth colours of motor positions, each channel another."""
    x, y = np.moveaxis(np.asarray(points), -1, 0)
    red = 128 + 100 * np.sin(x / 3000)
    green = 128 + 100 * np.cos(y / 4000)
    return np.stack([red, green, np.clip((x - 130000) / 200, 0, 255)], axis=-1)


def take_photo(path, matrix, size, **save):
    """Write the photo (width, height) that a camera with this matrix takes of the scene."""
    width, height = size
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = through(matrix, np.column_stack([columns.ravel(), rows.ravel()]))
    levels = np.rint(scene(places)).astype(np.uint8).reshape(height, width, 3)
    Image.fromarray(levels).save(path, **save)
    return path


EXTENT, SHAPE = (133000.0, 118000.0, 168000.0, 152000.0), (68, 50)


def grid():
    left, bottom, right, top = EXTENT
    x = left + (np.arange(SHAPE[1]) + 0.5) * (right - left) / SHAPE[1]
    y = bottom + (np.arange(SHAPE[0]) + 0.5) * (top - bottom) / SHAPE[0]
    return np.stack(np.meshgrid(x, y), axis=-1)


def check_colours(picture, places, size):
    """Hold a picture against the scene; at the photo's rim half a cell has nothing beside it."""
    within = ((places >= 20) & (places <= np.array(size) - 20)).all(axis=-1)
    assert within.sum() > 1500
    # rounding, the mean over a cell, and JPEG's losses
    assert np.abs(picture - scene(grid()))[within].max() < 4


@pytest.mark.parametrize("name", ["photo.png", "photo.tif", "photo.jpg"])
@pytest.mark.parametrize(("kind", "matrix"), [("affine", AFFINE), ("homography", SLANTED)])
def test_a_photo_is_drawn_where_its_points_are(tmp_path, kind, matrix, name):
    """Each cell of the map gets the colour that the object has there, row 0 the smallest y."""
    options = {"quality": 97, "subsampling": 0} if name.endswith("jpg") else {}
    path = take_photo(tmp_path / name, matrix, (1900, 1950), **options)
    fit = fit_photo(PLACES, through(matrix, PLACES), kind=kind)
    picture, covered = warp_photo(path, fit, extent=EXTENT, shape=SHAPE)
    assert (picture.shape, picture.dtype, covered.shape) == ((*SHAPE, 3), np.uint8, SHAPE)
    expected = fit.to_photo(grid())
    inside = ((expected >= 0) & (expected <= (1900, 1950))).all(axis=-1)
    np.testing.assert_array_equal(covered, inside)
    assert 0.5 < covered.mean() <= 1
    check_colours(picture, expected, (1900, 1950))
    assert (picture[~covered] == 0).all()


def test_drawing_in_blocks_changes_nothing(tmp_path, monkeypatch):
    """Blocks only bound the memory."""
    path = take_photo(tmp_path / "a.png", AFFINE, (1900, 1950))
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    whole = warp_photo(path, fit, extent=EXTENT, shape=SHAPE)
    monkeypatch.setattr(photo_file, "BLOCK_PIXELS", 7 * SHAPE[1])
    parts = warp_photo(path, fit, extent=EXTENT, shape=SHAPE)
    np.testing.assert_array_equal(parts[0], whole[0])
    np.testing.assert_array_equal(parts[1], whole[1])


def test_a_photo_is_decoded_once_until_its_file_changes(tmp_path, monkeypatch):
    """A plot that is panned asks again and again; 24 megapixels of PNG take seconds."""
    decoded = []
    decode = photo_file._decoded

    def remember(path, reduce):
        decoded.append(reduce)
        return decode(path, reduce)

    def draw():
        return warp_photo(path, fit, extent=EXTENT, shape=SHAPE)[0]

    monkeypatch.setattr(photo_file, "_decoded", remember)
    path = take_photo(tmp_path / "a.png", AFFINE, (1900, 1950))
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    first = draw()
    np.testing.assert_array_equal(draw(), first)
    assert len(decoded) == 1
    with Image.open(path) as photo:
        ImageOps.invert(photo).save(path)
    assert not np.array_equal(draw(), first)
    assert len(decoded) == 2


def test_of_decoded_photos_no_more_is_kept_than_is_allowed(tmp_path, monkeypatch):
    """The oldest goes first; one that is larger than all that is allowed is drawn all the same."""
    kept = LRUCache(30_000, getsizeof=lambda levels: levels[0].nbytes)
    monkeypatch.setattr(photo_file, "_kept", kept)
    monkeypatch.setattr(photo_file, "KEPT_BYTES", kept.maxsize)
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    for name, size in (("a", (150, 150)), ("b", (140, 160)), ("large", (1900, 1950))):
        path = take_photo(tmp_path / f"{name}.png", AFFINE, size)
        warp_photo(path, fit, extent=EXTENT, shape=(900, 700))
        assert kept.currsize <= kept.maxsize
    assert [Path(key[0]).name for key in kept] == ["b.png"]


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_points_are_those_of_the_upright_photo(tmp_path, turn, name):
    """A telephone stores its photos lying and says so in EXIF; what a user picks is upright."""
    with Image.open(take_photo(tmp_path / "up.png", AFFINE, (1900, 1501))) as upright:
        # what Pillow turns a photo by to be upright is undone by the inverse (PIL/ImageOps.py)
        back = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        exif = Image.Exif()
        exif[0x0112] = turn
        stored = upright.transpose(back[turn]) if turn in back else upright
        stored.save(tmp_path / name, exif=exif, **({"quality": 97} if name == "a.jpg" else {}))
        with Image.open(tmp_path / name) as again:
            assert ImageOps.exif_transpose(again).size == upright.size
    assert photo_size(tmp_path / name) == (1900, 1501)
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    picture, _ = warp_photo(tmp_path / name, fit, extent=EXTENT, shape=SHAPE)
    check_colours(picture, fit.to_photo(grid()), (1900, 1501))


def test_a_fine_photo_is_averaged_not_sampled(tmp_path):
    """One pixel of many would show noise and moiré; a cell has the mean of what it covers."""
    board = np.indices((1500, 1800)).sum(axis=0) % 2 * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "board.png")
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    picture, covered = warp_photo(tmp_path / "board.png", fit, extent=EXTENT, shape=(34, 30))
    assert np.abs(picture[covered].astype(int) - 128).max() <= 2


def test_grey_of_16_bits_keeps_its_range(tmp_path):
    """Scanners write such TIFFs; their lower bits alone would be a mess."""
    ramp = np.tile(np.linspace(0, 65535, 1900).astype(np.uint16), (1800, 1))
    Image.fromarray(ramp).save(tmp_path / "grey.tif")
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    picture, covered = warp_photo(tmp_path / "grey.tif", fit, extent=EXTENT, shape=SHAPE)
    expected = fit.to_photo(grid())[..., 0] / 1900 * 255
    assert np.abs(picture[..., 1] - expected)[covered].max() < 3


def test_a_photo_that_is_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    """A bomb of some kilobytes must not take the server's memory."""
    Image.new("L", (400, 300)).save(tmp_path / "big.png")
    monkeypatch.setattr(photo_file, "MAX_PHOTO_PIXELS", 100_000)
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ParameterError, match=r"big\.png is too large \(it has 400 x 300 pixels\)"):
        photo_size(tmp_path / "big.png")
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_photo_above_pillows_own_limit_is_opened_up_to_ours(tmp_path, monkeypatch):
    """Pillow warns at 89 megapixels, and warnings are no answer to a user."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (400, 300)).save(tmp_path / "big.png")
    assert photo_size(tmp_path / "big.png") == (400, 300)
    assert Image.MAX_IMAGE_PIXELS == 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no photo"),
        (b"GIF89a" + bytes(40), "is no picture that can be read"),
        (b"", "is no picture that can be read"),
        ("cut", "cannot be read"),
    ],
)
def test_what_is_no_photo_is_refused(tmp_path, content, message):
    """One sentence with the file's name, whatever the decoder raises."""
    path = tmp_path / "photo.png"
    if content == "cut":
        take_photo(path, AFFINE, (300, 200))
        path.write_bytes(path.read_bytes()[:2000])
    elif content is not None:
        path.write_bytes(content)
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    with pytest.raises(ParameterError, match=message):
        warp_photo(path, fit, extent=EXTENT, shape=SHAPE)


@pytest.mark.parametrize(
    ("extent", "shape", "message"),
    [
        ((5, 0, 5, 9), (3, 4), "The extent is"),
        ((0, 0, np.inf, 9), (3, 4), "The extent is"),
        ((0, 0, 5, 9), (0, 4), "The grid has 0 x 4"),
        ((0, 0, 5, 9), (9000, 9000), "expected 1 to 40000000"),
    ],
)
def test_a_grid_that_is_none_is_refused(tmp_path, extent, shape, message):
    """Before the photo is decoded."""
    fit = fit_photo(PLACES, through(AFFINE, PLACES))
    with pytest.raises(ParameterError, match=message):
        warp_photo(tmp_path / "none.png", fit, extent=extent, shape=shape)


# --- beside the scan -------------------------------------------------------------------------
PAIRS = np.hstack([PLACES, through(AFFINE, PLACES)]).tolist()


@pytest.fixture
def folders(tmp_path):
    """Return a scan, and a photo in another folder."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "photos").mkdir()
    photo = take_photo(tmp_path / "photos" / "page 7.png", AFFINE, (90, 60))
    return tmp_path / "scans" / "page.zipstore", photo


def test_a_photo_is_remembered_by_name_and_never_copied_unasked(folders):
    """Photos are large, and not ours to spread; the fit comes back from the points."""
    scan, photo = folders
    write_sidecar(scan, presets={"a": 1})
    kept = keep_photo(scan, photo, PAIRS, kind="homography")
    assert [path.name for path in scan.parent.iterdir()] == ["page.maxrf.json"]
    record = kept_photo(scan)
    assert record == kept
    assert (record.name, record.size, record.kind) == ("page 7.png", (90, 60), "homography")
    np.testing.assert_allclose(record.fit().to_motor(PLACES), through(AFFINE, PLACES), atol=1e-2)
    assert find_photo(scan, record) is None
    assert json.loads(sidecar_path(scan).read_text())["presets"] == {"a": 1}
    forget_photo(scan)
    assert kept_photo(scan) is None
    assert photo.exists()


def test_a_photo_is_copied_beside_the_scan_when_asked(folders):
    """Then the folder holds all that the page shows; another file of its name is not replaced."""
    scan, photo = folders
    keep_photo(scan, photo, PAIRS[:1], copy=True)
    copied = find_photo(scan, kept_photo(scan))
    assert copied.read_bytes() == photo.read_bytes()
    keep_photo(scan, copied, PAIRS, copy=True)  # it lies there already
    copied.write_bytes(b"another")
    with pytest.raises(OutputError, match="exists already"):
        keep_photo(scan, photo, PAIRS, copy=True)
    assert copied.read_bytes() == b"another"


def test_points_that_are_no_numbers_are_not_kept(folders):
    """What is written has to be readable again."""
    scan, photo = folders
    with pytest.raises(ParameterError, match="four finite numbers a pair"):
        keep_photo(scan, photo, [[1, 2, 3, np.nan]])
    assert kept_photo(scan) is None


GOOD = {"name": "a.png", "size": [4, 3], "kind": "affine", "points": [[1, 2, 3, 4]]}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../etc/passwd"},
        {"name": "/etc/passwd"},
        {"name": "C:\\secret.png"},
        {"name": ".."},
        {"name": ""},
        {"name": "a\x1b[2J.png"},
        {"name": 5},
        {"size": [4]},
        {"size": [4, -3]},
        {"size": [4.5, 3]},
        {"kind": "spline"},
        {"points": [[1, 2, 3]]},
        {"points": [[1, 2, 3, True]]},
        {"points": [[1, 2, 3, 1e300]]},
        {"points": [[0, 0, 0, 0]] * 1001},
        {"points": {"0": 1}},
    ],
)
def test_a_file_beside_the_scan_is_not_trusted(tmp_path, change):
    """Somebody else may have written it; a name in it must not open any file of the server."""
    scan = tmp_path / "scan.zipstore"
    write_sidecar(scan, photo=GOOD)
    assert kept_photo(scan) == PhotoRecord("a.png", (4, 3), "affine", ((1, 2, 3, 4),))
    write_sidecar(scan, photo={**GOOD, **change})
    with pytest.raises(ParameterError, match="Choose the photo anew"):
        kept_photo(scan)
