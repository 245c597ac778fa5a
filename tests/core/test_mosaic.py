"""The mosaic of camera frames: the camera measured by their overlap, held against the truth.

Scans are simulated, of a picture that is known everywhere. A real file was never at hand.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from scipy import ndimage

from maxrf_core import camera_geometry, cli, mosaic
from maxrf_core.camera import open_frames, read_camera
from maxrf_core.camera_axes import axes_matrix, axes_of
from maxrf_core.camera_geometry import estimate_geometry
from maxrf_core.camera_pairs import frame_shading
from maxrf_core.crono_writer import camera_of
from maxrf_core.errors import CronoFileError, OutputError, ParameterError
from maxrf_core.image_shift import find_shift
from maxrf_core.mosaic import make_mosaic
from maxrf_core.mosaic_file import mosaic_path, read_mosaic, write_mosaic
from maxrf_core.simulation import CameraModel, simulate_crono

SMALL = CameraModel(size=(71, 53), pixel_steps=22.0)
"""A camera with half as many pixels as the real one's in the same field."""

CAMERAS = {
    "as the plots": SMALL,
    "turned, late": replace(SMALL, quarter_turns=1, angle_degrees=2.0, delay=0.08),
    "mirrored, early": replace(SMALL, mirrored=True, quarter_turns=2, delay=-0.3, vignette=0.6),
    "very late": replace(SMALL, quarter_turns=3, mirrored=True, angle_degrees=-3.0, delay=0.7),
    "aside, as the real one": CameraModel(delay=0.02, shift_steps=(2200.0, -1300.0)),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Return a function that simulates a scan: its truth, and its camera."""

    def simulate(model, *, shape=(6, 7), **options):
        path = tmp_path_factory.mktemp("mosaic") / "scan.HDF5"
        truth = simulate_crono(path, shape=shape, n_channels=64, camera=model, **options)
        return path, camera_of(truth, model)

    return simulate


@pytest.fixture(scope="module", params=CAMERAS)
def case(request, make):
    """Return a camera's model, its truth, and the mosaic of its scan, registered with it."""
    model = CAMERAS[request.param]
    path, made = make(model)
    return model, made, make_mosaic(path, shift=model.shift_steps)


def true_colours(made, stitched):
    """Return the colours of the scene at the pixels of a mosaic."""
    h, w = stitched.covered.shape
    x = stitched.left + (np.arange(w) + 0.5) * stitched.step
    y = stitched.bottom + (np.arange(h) + 0.5) * stitched.step
    return made.scene.colours(*np.meshgrid(x, y))


def tile_shifts(truth, stitched, *, size):
    """Return by how many pixels tiles of a mosaic (size x size) are off the truth."""
    grey, true = stitched.picture.mean(axis=2), truth.mean(axis=2)
    found = []
    for row in range(0, grey.shape[0] - size + 1, size):
        for column in range(0, grey.shape[1] - size + 1, size):
            tile = slice(row, row + size), slice(column, column + size)
            if stitched.covered[tile].all():
                shift = find_shift(true[tile], grey[tile])
                found.append((np.nan, np.nan) if shift is None else (shift.x, shift.y))
    return np.array(found)


# --- the camera ------------------------------------------------------------------------------
def test_size_orientation_and_delay_are_those_of_the_camera(case):
    """By the overlap alone: over a whole frame the axes are wrong by less than 0.2 pixels."""
    model, _, stitched = case
    about = stitched.about
    assert about["measured"] == "overlap"
    assert about["quarter_turns"] == model.quarter_turns
    assert about["mirrored"] is model.mirrored
    assert about["angle_degrees"] == pytest.approx(model.angle_degrees, abs=0.1)
    wrong = np.linalg.solve(model.matrix, about["matrix"]) - np.eye(2)
    assert np.abs(wrong @ np.array(model.size)).max() < 0.2
    # the head moves 17 steps in a millisecond, less than a pixel
    assert about["delay"] == pytest.approx(model.delay, abs=3e-4)
    assert about["notes"] == []


def test_errors_are_told_and_not_much_too_small(case):
    """Pairs share frames and wrong positions, so errors are a few times too small, as is said."""
    model, _, stitched = case
    about = stitched.about
    for size, error in zip(about["pixel_steps"], about["pixel_steps_error"], strict=True):
        assert 0 < error < 0.01 * size
        assert abs(size - model.pixel_steps) < 8 * error
    assert 0 < about["angle_error"] < 0.1
    assert abs(about["angle_degrees"] - model.angle_degrees) < 8 * about["angle_error"]
    assert 0 < about["delay_error"] < 1e-3
    assert 0 < about["residual_pixels"] < 0.3


def test_the_mosaic_lies_on_the_truth_to_less_than_a_pixel(case):
    """Everywhere, not on average: each tile is held against the picture that was filmed."""
    _, made, stitched = case
    shifts = tile_shifts(true_colours(made, stitched), stitched, size=42)
    assert len(shifts) >= 12
    assert np.abs(shifts).max() < 0.5


def test_the_mosaic_has_the_colours_of_the_object(case):
    """Shading is taken out, and seams do not show; the lamp's strength is not known."""
    _, made, stitched = case
    truth = true_colours(made, stitched)[stitched.covered]
    seen = stitched.picture[stitched.covered].astype(float)
    assert np.corrcoef(truth.ravel(), seen.ravel())[0, 1] > 0.97
    strength = (truth * seen).sum() / (truth**2).sum()
    assert 0.7 < strength < 1.1


def test_the_mosaic_covers_the_map_in_steps_of_a_camera_pixel(case):
    """So it can be laid under any map of the scan; few of the frames are needed for it."""
    model, made, stitched = case
    left, bottom, right, top = stitched.bounds
    positions = made.truth.positions[:, :2] + np.array(model.shift_steps)
    assert left < positions[:, 0].min() < positions[:, 0].max() < right
    assert bottom < positions[:, 1].min() < positions[:, 1].max() < top
    assert stitched.step == pytest.approx(model.pixel_steps, rel=0.01)
    assert stitched.covered.mean() > 0.8  # a frame that is turned does not fill its corners
    assert (stitched.picture[~stitched.covered] == 0).all()
    assert stitched.about["used"] < 0.3 * made.n_frames
    json.dumps(dict(stitched.about), allow_nan=False)


@pytest.fixture(scope="module")
def one(make):
    """Return a scan's path and camera, and its mosaic: for what holds for any camera."""
    path, made = make(SMALL, shape=(5, 4))
    return path, made, make_mosaic(path)


def test_bands_and_frames_do_not_depend_on_the_memory(one, monkeypatch):
    """A band's edge must not show: the picture is the same in thin bands."""
    path, _, whole = one
    columns = whole.covered.shape[1]
    monkeypatch.setattr(mosaic, "BAND_BYTES", 11 * mosaic.BYTES_A_PIXEL * columns)
    thin = make_mosaic(path)
    np.testing.assert_array_equal(thin.picture, whole.picture)
    np.testing.assert_array_equal(thin.covered, whole.covered)


def test_a_coarse_mosaic_is_averaged(one):
    """A pixel of 44 steps holds the mean of 2 x 2 camera pixels, at the same place."""
    path, made, _ = one
    coarse = make_mosaic(path, step=44.0)
    assert coarse.step == 44.0
    h, w = coarse.covered.shape
    fine = replace(coarse, step=11.0, covered=np.empty((4 * h, 4 * w), bool))
    truth = true_colours(made, fine).reshape(h, 4, w, 4, 3).mean(axis=(1, 3))
    inner = slice(8, -8), slice(8, -8)
    assert coarse.covered[inner].all()
    shift = find_shift(truth[inner].mean(axis=2), coarse.picture[inner].mean(axis=2))
    assert (shift.x, shift.y) == pytest.approx((0, 0), abs=0.1)
    assert shift.correlation > 0.95


def test_a_large_scan_gets_a_coarser_mosaic(one, monkeypatch):
    """The picture has a limit, whatever the scan's size; a finer one is refused."""
    path, _, whole = one
    monkeypatch.setattr(mosaic, "MAX_MOSAIC_PIXELS", whole.covered.size // 5)
    small = make_mosaic(path)
    assert small.covered.size <= whole.covered.size // 4
    assert small.step > 2 * whole.step
    with pytest.raises(ParameterError, match="finer than makes sense"):
        make_mosaic(path, step=22.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0.0}, "step is 0.0"),
        ({"step": float("nan")}, "step is nan"),
        ({"step": 1.0}, r"a pixel of the camera has 2[12]\.\d"),
        ({"shift": (1.0, float("nan"))}, "shift is"),
        ({"shift": (1.0, 2.0, 3.0)}, "shift is"),
    ],
)
def test_options_that_make_no_sense_are_refused(one, options, message):
    """Each with what was expected."""
    with pytest.raises(ParameterError, match=message):
        make_mosaic(one[0], **options)


def test_progress_is_told_and_can_stop_the_work(one):
    """Ctrl-C and the page's cancel come through it."""
    path, *_ = one
    seen = []
    make_mosaic(path, progress=seen.append)
    assert [m.stage for m in seen if m.done == m.total] == ["frames", "camera", "mosaic"]
    assert all(message.label for message in seen)

    def stop(message):
        if message.stage == "mosaic":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_mosaic(path, progress=stop)


# --- what can go wrong -----------------------------------------------------------------------
def geometry_of(path):
    frames = read_camera(path)
    with open_frames(frames) as reader:
        return estimate_geometry(reader, frame_shading(reader))


@pytest.fixture(scope="module")
def blank(make):
    """Return a scan of bare board: nothing to see but the camera's noise."""
    return make(replace(SMALL, texture=0.0, mirrored=True), phantom="constant", shape=(4, 5))[0]


def test_without_texture_the_files_hint_is_taken_and_told(blank):
    """Noise must not be taken for a measurement."""
    geometry = geometry_of(blank)
    assert geometry.source == "hint"
    assert geometry.axes.pixel_steps == pytest.approx((22.0, 22.0))
    assert not geometry.axes.mirrored  # assumed, though not so
    assert np.isnan([*geometry.pixel_steps_error, geometry.angle_error]).all()
    assert "too little texture" in geometry.notes[0]
    assert make_mosaic(blank).about["notes"] == list(geometry.notes)


def test_without_texture_and_hint_there_is_no_mosaic(blank, tmp_path):
    """A size out of thin air would look like a measurement on the map."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(blank.read_bytes())
    with h5py.File(path, "r+") as file:
        file["Images/ImageAdjusting/ImagePixelSizeRatio"][...] = 0
    with pytest.raises(CronoFileError, match="does not hint at the size of a pixel"):
        make_mosaic(path)


def test_the_fit_mends_a_delay_that_was_found_roughly(one, monkeypatch):
    """The search ends at some milliseconds; each is 17 steps of the head, both ways."""
    monkeypatch.setattr(camera_geometry, "find_delay", lambda *_, **__: 0.004)
    assert geometry_of(one[0]).delay == pytest.approx(0.0, abs=3e-4)


def test_a_wrong_hint_is_left_aside(one, tmp_path):
    """What the frames show counts; the file's number was inferred from one file."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(one[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["Images/ImageAdjusting/ImagePixelSizeRatio"][...] = 30.0
    geometry = geometry_of(path)
    assert geometry.axes.pixel_steps == pytest.approx((22.0, 22.0), rel=0.005)
    assert "hints at 30 x 30, which is left aside" in geometry.notes[0]


def test_rows_that_do_not_overlap_leave_one_axis_assumed(make):
    """Pixels of 5 steps: a frame is lower than the rows are apart. Delay and turn still show."""
    model = replace(SMALL, size=(143, 80), pixel_steps=5.0, delay=-0.2, texture=0.3)
    path, _ = make(replace(model, quarter_turns=2, angle_degrees=2.0))
    geometry = geometry_of(path)
    assert geometry.source == "rows"
    assert (geometry.axes.quarter_turns, geometry.axes.mirrored) == (2, False)
    assert geometry.axes.pixel_steps == pytest.approx((5.0, 5.0), rel=0.01)
    assert geometry.axes.angle_degrees == pytest.approx(2.0, abs=0.3)
    assert geometry.delay == pytest.approx(-0.2, abs=2e-3)
    assert "do not overlap" in geometry.notes[0]


def test_a_cross_in_the_middle_of_all_frames_does_not_hold_them_still(make):
    """What moves with the camera would correlate best at no shift at all."""
    path, _ = make(SMALL, shape=(4, 5))
    with h5py.File(path, "r+") as file:
        static = file["Images/Static"]
        for number in range(1, len(static)):
            element = static[number].tobytes()
            with Image.open(io.BytesIO(element[27:])) as picture:
                exif, levels = picture.getexif(), np.array(picture)
                exif.get_ifd(0x8769)
            levels[25:28] = levels[:, 34:37] = 20
            target = io.BytesIO()
            Image.fromarray(levels).save(target, "JPEG", quality=90, exif=exif)
            content = element[:27] + target.getvalue() + element[-1:]
            static[number] = np.frombuffer(content, dtype="V1")
    geometry = geometry_of(path)
    assert geometry.source == "overlap"
    assert geometry.axes.pixel_steps == pytest.approx((22.0, 22.0), rel=0.01)


def test_frames_broken_behind_their_headers_are_left_out(one, tmp_path):
    """A third of them here; the others overlap, and the mosaic still lies where it should."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(one[0].read_bytes())
    with h5py.File(path, "r+") as file:
        static = file["Images/Static"]
        for number in range(1, len(static), 3):
            content = bytearray(static[number].tobytes())
            place = content.index(b"\xff\xda")
            content[place + 2 : place + 4] = b"\x00\x03"
            static[number] = np.frombuffer(bytes(content), dtype="V1")
    stitched = make_mosaic(path)
    assert stitched.about["measured"] == "overlap"
    shifts = tile_shifts(true_colours(one[1], stitched), stitched, size=60)
    assert np.abs(shifts).max() < 0.5


def test_frames_that_cannot_be_decoded_at_all_make_no_mosaic(one, tmp_path):
    """An empty picture would be shown as if there were one."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(one[0].read_bytes())
    with h5py.File(path, "r+") as file:
        static = file["Images/Static"]
        for number in range(1, len(static)):
            content = bytearray(static[number].tobytes())
            place = content.index(b"\xff\xda")
            content[place + 2 : place + 4] = b"\x00\x03"
            static[number] = np.frombuffer(bytes(content), dtype="V1")
    with pytest.raises(CronoFileError, match="can be decoded"):
        make_mosaic(path)


@pytest.mark.parametrize("hint", [1e-30, 1e30])
def test_an_absurd_hint_does_no_harm(one, tmp_path, hint):
    """It says how far apart frames are compared, and must not keep them from it."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(one[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["Images/ImageAdjusting/ImagePixelSizeRatio"][...] = hint
    assert geometry_of(path).axes.pixel_steps == pytest.approx((22.0, 22.0), rel=0.005)


def test_two_frames_are_laid_by_the_hint(one, tmp_path):
    """Too few to measure anything are still a picture of a part."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(one[0].read_bytes())
    frames = read_camera(path)
    _, places = frames.positions()
    kept = frames.elements[np.flatnonzero(places == 0)[[20, 23]]]
    with h5py.File(path, "r+") as file:
        static = file["Images/Static"]
        for number in set(range(1, len(static))) - set(kept.tolist()):
            static[number] = np.frombuffer(b"", dtype="V1")
    stitched = make_mosaic(path)
    assert (stitched.about["measured"], stitched.about["frames"]) == ("hint", 2)
    assert stitched.covered.any()


def test_video_from_another_time_has_no_place(one, tmp_path):
    """Frames half an hour off are the camera's clock gone wrong, and are not laid anywhere."""
    path = tmp_path / "scan.HDF5"
    path.write_bytes(one[0].read_bytes())
    with h5py.File(path, "r+") as file:
        file["XRF/Timestamps"][...] += np.uint64(1_800_000_000)
    with pytest.raises(CronoFileError, match=r"none of its \d+ camera frames was taken while"):
        make_mosaic(path)


# --- shifts and axes -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("x", "y"), [(0.0, 0.0), (12.3, -7.6), (-60.45, 31.2), (75.5, 0.25), (3.7, 55.5)]
)
def test_a_shift_is_found_to_a_fraction_of_a_pixel(rng, x, y):
    """Also one beyond half the picture, which the correlation alone reads the wrong way round."""
    paper = ndimage.gaussian_filter(rng.normal(size=(260, 320)), 1.5) * 100
    rows, columns = np.mgrid[0:90.0, 0:121.0]
    a, b = (
        ndimage.map_coordinates(paper, [rows + 80 + dy, columns + 95 + dx], order=5)
        for dx, dy in ((0, 0), (-x, -y))
    )
    found = find_shift(a, 0.8 * b + 10 + rng.normal(0, 0.2, b.shape))
    assert (found.x, found.y) == pytest.approx((x, y), abs=0.03)
    assert found.correlation > 0.95


def test_noise_has_no_shift_that_counts(rng):
    """What comes back must be known for what it is, by its correlation."""
    found = [find_shift(*rng.normal(100, 2, (2, 50, 70))) for _ in range(5)]
    assert max((shift.correlation for shift in found if shift), default=0) < 0.5
    assert find_shift(np.full((50, 70), 7.0), np.full((50, 70), 7.0)) is None


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [-44.0, 0.0, 3.5])
def test_axes_are_read_off_the_matrix_that_they_make(turns, mirrored, angle):
    """All eight ways that a picture can lie, and an angle besides."""
    matrix = axes_matrix((11.0, 12.5), quarter_turns=turns, mirrored=mirrored, angle_degrees=angle)
    axes = axes_of(matrix)
    assert axes.pixel_steps == pytest.approx((11.0, 12.5))
    assert (axes.quarter_turns, axes.mirrored) == (turns, mirrored)
    assert (axes.angle_degrees, axes.skew_degrees) == pytest.approx((angle, 0.0), abs=1e-9)


def test_axes_unturned_show_the_object_as_the_plots_do():
    """Right is more x, down is less y; a quarter turn counterclockwise puts right upwards."""
    np.testing.assert_allclose(axes_matrix(2.0), [[2, 0], [0, -2]])
    np.testing.assert_allclose(axes_matrix(2.0, quarter_turns=1), [[0, 2], [2, 0]], atol=1e-12)
    np.testing.assert_allclose(axes_matrix(2.0, mirrored=True), [[-2, 0], [0, -2]])


# --- the file --------------------------------------------------------------------------------
def test_a_mosaic_comes_back_from_its_file(one, tmp_path):
    """Picture, mask and coordinates; and any viewer shows it with the largest y on top."""
    stitched = one[2]
    path = write_mosaic(stitched, tmp_path / "scan.mosaic.png")
    again = read_mosaic(path)
    np.testing.assert_array_equal(again.picture, stitched.picture)
    np.testing.assert_array_equal(again.covered, stitched.covered)
    assert again.bounds == stitched.bounds
    assert again.about == stitched.about
    with Image.open(path) as image:
        shown = np.asarray(image)
    np.testing.assert_array_equal(shown[0, :, :3], stitched.picture[-1])
    np.testing.assert_array_equal(shown[..., 3] > 0, stitched.covered[::-1])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with pytest.raises(OutputError, match="exists already"):
        write_mosaic(stitched, path)
    write_mosaic(stitched, path, overwrite=True)


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ("a/page.zipstore", "a/page.mosaic.png"),
        ("a/page.HDF5", "a/page.mosaic.png"),
        ("a/page.v2.h5", "a/page.v2.mosaic.png"),
        ("a/folder.x", "a/folder.x.mosaic.png"),
    ],
)
def test_scan_and_zipstore_share_one_mosaic(scan, expected):
    """It is made from the one and shown with the other."""
    assert mosaic_path(scan).as_posix() == expected


DOCUMENT = {"version": 1, "left": 5.0, "bottom": 6, "step": 2.5, "rows": 3, "columns": 4}


@pytest.mark.parametrize(
    ("change", "mode", "message"),
    [
        ({"version": 2}, "RGBA", "coordinates are not as expected"),
        ({"rows": 4}, "RGBA", "coordinates are not as expected"),
        ({"step": 0}, "RGBA", "coordinates are not as expected"),
        ({"step": True}, "RGBA", "coordinates are not as expected"),
        ({"left": "5"}, "RGBA", "coordinates are not as expected"),
        ({"left": float("nan")}, "RGBA", "coordinates are not as expected"),
        ({"about": [1]}, "RGBA", "coordinates are not as expected"),
        ({}, "RGB", "of mode RGB"),
        ({"about": {"x": "x" * 100_000}}, "RGBA", "does not say where it lies"),
        (None, "RGBA", "does not say where it lies"),
    ],
)
def test_a_picture_that_is_no_mosaic_is_refused(tmp_path, change, mode, message):
    """Anybody may have put a PNG of that name beside the scan."""
    texts = PngImagePlugin.PngInfo()
    if change is not None:
        texts.add_itxt("maxrf-mosaic", json.dumps({**DOCUMENT, "about": {}, **change}))
    path = tmp_path / "scan.mosaic.png"
    Image.new(mode, (4, 3)).save(path, pnginfo=texts)
    with pytest.raises(ParameterError, match=message):
        read_mosaic(path)


def test_a_file_that_is_cut_or_missing_is_refused(one, tmp_path):
    """With what to do about it."""
    path = write_mosaic(one[2], tmp_path / "a.mosaic.png")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ParameterError, match=r"Make it anew with `maxrf mosaic`"):
        read_mosaic(path)
    with pytest.raises(ParameterError, match="There is no mosaic"):
        read_mosaic(tmp_path / "none.png")


# --- the command -----------------------------------------------------------------------------
def test_the_command_writes_beside_the_scan_and_tells_what_it_measured(one, tmp_path, capsys):
    """The path is the answer, for scripts; the rest is for the person who reads along."""
    scan = tmp_path / "page 7.HDF5"
    scan.write_bytes(one[0].read_bytes())
    assert cli.main(["mosaic", str(scan), "--shift", "100", "-50", "--step", "44"]) == 0
    out, err = capsys.readouterr()
    path = tmp_path / "page 7.mosaic.png"
    assert out == f"{path}\n"
    assert re.search(r"a pixel is 2[12]\.?\d* x 2[12]\.?\d* motor steps, turned by", err)
    made = read_mosaic(path)
    assert made.step == 44.0
    assert made.left == pytest.approx(one[2].left + 100)
    assert made.about["shift"] == [100.0, -50.0]
    before = path.read_bytes()
    assert cli.main(["mosaic", str(scan)]) == 1
    assert "exists already. Give --overwrite" in capsys.readouterr().err
    assert path.read_bytes() == before
    (tmp_path / "out").mkdir()
    code = cli.main(["mosaic", str(scan), "--output", str(tmp_path / "out"), "--progress", "json"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert lines[-1] == {"result": str(tmp_path / "out" / "page 7.mosaic.png")}
    assert {line.get("stage") for line in lines} == {"frames", "camera", "mosaic", None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan.zipstore"], "holds no camera frames; give the Crono HDF5 file"),
        (["scan.HDF5", "--output", "a.jpg"], r"a\.jpg is no name of a PNG"),
        (["scan.HDF5"], r"scan\.HDF5 does not exist"),
    ],
)
def test_the_command_refuses_what_cannot_be(tmp_path, monkeypatch, capsys, arguments, message):
    """In one sentence, before any work."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["mosaic", *arguments]) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error


def test_the_simulator_makes_frames_when_asked(tmp_path):
    """So that the command can be tried without an instrument."""
    path = tmp_path / "made.HDF5"
    assert cli.main(["simulate", str(path), "--shape", "2x3", "--gzip", "--camera"]) == 0
    assert read_camera(path).size == (143, 107)
