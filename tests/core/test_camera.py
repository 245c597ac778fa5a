"""Camera frames: found and placed by their stamps, and nothing in them trusted."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest
from crono_files import BLOB, N, vlen, write_crono
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maxrf_core import camera
from maxrf_core.camera import open_frames, read_camera
from maxrf_core.crono_writer import camera_of
from maxrf_core.errors import CronoFileError, ParameterError
from maxrf_core.frame_header import (
    DATE_TIME_ORIGINAL,
    EXIF_IFD,
    FrameError,
    net_byte_array,
    read_header,
    without_metadata,
)
from maxrf_core.motor_track import MotorTrack, Place
from maxrf_core.simulation import CameraModel, simulate_crono

DPP_START = 125903380430
FIRST, PERIOD = 14_880_000, 60_000  # of the spectra that crono_files writes
DELAY = 0.04


def jpeg(stamp=str(DPP_START + FIRST + 5 * PERIOD), *, size=(24, 17), own=True, level=90, **save):
    """Return a small JPEG with a stamp in its EXIF data, or without any."""
    picture = np.full((size[1], size[0], 3), level, np.uint8)
    picture[:, : size[0] // 3] = (200, 40, 20)
    exif = Image.Exif()
    if stamp is not None:
        (exif.get_ifd(EXIF_IFD) if own else exif)[DATE_TIME_ORIGINAL] = stamp
        save["exif"] = exif
    target = io.BytesIO()
    Image.fromarray(picture).save(target, "JPEG", quality=95, **save)
    return target.getvalue()


def blob(content):
    return np.frombuffer(content, dtype=BLOB)


def scan_with(path, *elements, **others):
    """Write a small scan with these elements after the empty one."""
    static = vlen([blob(b""), *(blob(element) for element in elements)], BLOB)
    return write_crono(path / "scan.HDF5", {"Images/Static": static, **others})


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Return a scan of 4 rows, its camera and its frames, whose stamps are late."""
    model = CameraModel(size=(70, 50), pixel_steps=22.0, delay=DELAY, noise=0.0)
    path = tmp_path_factory.mktemp("camera") / "scan.HDF5"
    truth = simulate_crono(path, shape=(4, 6), n_channels=64, camera=model)
    return truth, camera_of(truth, model), read_camera(path)


# --- the file's own encoding -----------------------------------------------------------------
def test_simulated_frames_are_wrapped_as_the_real_files_are(simulated):
    """27 bytes, a JPEG, one byte, and the clock in the tag of a date: what was read off it."""
    truth, made, frames = simulated
    with h5py.File(truth.filename) as file:
        static = file["Images/Static"]
        assert h5py.check_vlen_dtype(static.dtype) == np.dtype("V1")
        assert static.shape == (made.n_frames + 1,)
        assert static[0].size == 0
        first = static[1].tobytes()
    assert first[27:29] == b"\xff\xd8"
    assert first[-3:-1] == b"\xff\xd9"
    assert int.from_bytes(first[22:26], "little") == len(first) - 28
    with Image.open(io.BytesIO(first[27:])) as picture:
        assert picture.size == (70, 50)
        assert picture.getexif().get_ifd(0x8769)[0x9003] == "125903170418"
    assert frames.seconds[0] == pytest.approx(-0.210012)
    assert frames.size == (70, 50)
    assert frames.skipped == {}


def test_a_scan_without_camera_is_as_it_was(tmp_path):
    """Frames are an option: the files that exist in tests and caches stay equal."""
    path = tmp_path / "scan.HDF5"
    simulate_crono(path, shape=(3, 2), n_channels=64)
    with h5py.File(path) as file:
        assert [element.size for element in file["Images/Static"]] == [0, 0, 0]
    with pytest.raises(CronoFileError, match=r"scan\.HDF5: Images/Static holds no camera frames"):
        read_camera(path)


def test_a_camera_that_cannot_be_is_refused(tmp_path):
    """All faults at once, in the simulator's one sentence."""
    with pytest.raises(ParameterError, match=r"camera\.delay is 9.*camera\.size is \(0, 5\)"):
        simulate_crono(tmp_path / "a.HDF5", shape=(2, 3), camera=CameraModel(delay=9, size=(0, 5)))


# --- placed by time --------------------------------------------------------------------------
def test_frames_lie_where_the_head_was(simulated):
    """To a pixel of the real camera (11 steps), though positions are 1025 steps apart."""
    _, made, frames = simulated
    positions, places = frames.positions(DELAY)
    known = places == Place.KNOWN
    assert known.sum() > 100
    away = np.hypot(*(positions - made.positions)[known].T)
    assert away.max() < 11.1
    assert np.isnan(positions[~known]).all()


def test_a_late_stamp_puts_frames_off_by_the_heads_way(simulated):
    """Without the delay frames are wrong by 17 steps a millisecond: it has to be estimated."""
    _, made, frames = simulated
    positions, places = frames.positions()
    away = np.hypot(*(positions - made.positions)[places == Place.KNOWN].T)
    assert away.max() > 500


def test_before_after_and_turns_are_told_apart(simulated):
    """Only while spectra are taken is a place known; the rest is video of an unknown way."""
    truth, made, frames = simulated
    _, places = frames.positions(DELAY)
    periods = (made.stamps_us - 1e6 * DELAY - FIRST) / PERIOD
    taken = truth.motion.periods(np.arange(truth.n_spectra))
    cuts = np.flatnonzero(np.diff(taken) > 1)
    turning = np.zeros(periods.size, bool)
    for cut in cuts:
        turning |= (periods > taken[cut]) & (periods < taken[cut + 1])
    expected = np.select(
        [periods < 0, periods > taken[-1], turning], [Place.BEFORE, Place.AFTER, Place.TURN]
    )
    assert len(cuts) == 3
    np.testing.assert_array_equal(places, expected)
    assert set(places.tolist()) == set(Place)


def test_track_meets_its_positions_and_never_swings_over():
    """A head at rest stays where it is: splines that overshoot would move it back and forth."""
    seconds = np.array([0, 1, 2, 3, 4, 5, 20, 21, 22.0])
    x = np.array([5, 5, 5, 100, 900, 900, 900, 400, 100.0])
    track = MotorTrack(seconds, np.column_stack([x, np.repeat([7.0, 8.0], [6, 3])]))
    positions, places = track.at(seconds)
    np.testing.assert_allclose(positions[:, 0], x)
    assert (places == Place.KNOWN).all()
    between, _ = track.at(np.linspace(0, 5, 101))
    assert (np.diff(between[:, 0]) >= 0).all()
    assert (between[:, 1] == 7).all()
    _, others = track.at([-0.1, 5.1, 19.9, 22.1])
    assert others.tolist() == [Place.BEFORE, Place.TURN, Place.TURN, Place.AFTER]
    assert track.rows([-1, 3, 6, 20, 99]).tolist() == [0, 0, 0, 1, 1]


def test_a_detector_started_anew_goes_on_with_one_clock(tmp_path):
    """Timestamps begin again with each start; the frames' clock does not."""
    n = np.arange(N)
    starts = np.where(n < 12, DPP_START, DPP_START + 3_000_000).astype(np.uint64)
    stamp = DPP_START + 3_000_000 + FIRST + 15 * PERIOD
    path = scan_with(
        tmp_path, net_byte_array(jpeg(str(stamp))), **{"XRF/DPPStartTimestamp": starts}
    )
    frames = read_camera(path)
    with h5py.File(path) as file:
        expected = file["XRF/MotorsPositions"][15, :2]
    np.testing.assert_allclose(frames.positions()[0], [expected])


# --- pictures --------------------------------------------------------------------------------
def test_a_picture_is_what_the_camera_saw(simulated):
    """Rows, columns and colours, within what JPEG loses (quality 90)."""
    _, made, frames = simulated
    number = 400
    with open_frames(frames) as reader:
        picture, half = reader.image(number), reader.image(number, reduce=3)
    truth = made.picture(*made.positions[number])
    assert picture.shape == (50, 70, 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture - truth).mean() < 4
    assert half.shape == (16, 23, 3)
    blocks = picture[:48, :69].reshape(16, 3, 23, 3, 3).mean(axis=(1, 3))
    assert np.abs(half - blocks).max() <= 0.5


def test_frames_are_read_one_by_one(simulated, monkeypatch):
    """13,357 frames are not held in memory, and not decoded to be listed."""
    truth, made, frames = simulated
    monkeypatch.setattr(camera, "_decoded", None)
    seen = []
    again = read_camera(truth.filename, progress=lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(again.elements, np.arange(1, made.n_frames + 1))
    np.testing.assert_array_equal(again.seconds, frames.seconds)
    assert seen[0] == (camera.READ_AT_ONCE, made.n_frames + 1)
    assert seen[-1] == (made.n_frames + 1, made.n_frames + 1)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("before", [0, 27, 200])
def test_a_stamp_is_found_in_either_directory_and_behind_any_header(own, before):
    """One frame is known; a later program may write a little differently."""
    header = read_header(b"\1" * before + jpeg("125903170418", own=own) + b"\x0b")
    assert (header.start, header.width, header.height) == (before, 24, 17)
    assert header.stamp == 125903170418


def patched(content, old, new):
    """Return bytes with one thing replaced, which is there."""
    assert old in content
    return content.replace(old, new, 1)


WHOLE = jpeg()
SIZE = b"\x00\x11\x00\x18"  # height 17, width 24, as a start of frame has them
BAD = {
    "no JPEG": b"\1" * 400,
    "a JPEG that is cut short": WHOLE[:-200],
    "no time stamp in the EXIF data": jpeg(None),
    "a time stamp that is no number of microseconds": jpeg("2021:10:15 14:20:02"),
    "a time stamp more than an hour from the scan": jpeg("17"),
    "more than 4096 pixels a side, or none": patched(WHOLE, SIZE, b"\xff\xff\xff\xff"),
    "of another size": jpeg(size=(30, 40)),
    "EXIF data that cannot be read": patched(WHOLE, b"Exif\0\0MM", b"Exif\0\0ZZ"),
    "larger than 4000000 bytes": WHOLE[:-2] + bytes(4_000_000) + WHOLE[-2:],
    "a JPEG of another kind": patched(WHOLE, b"\xff\xc0", b"\xff\xc9"),  # arithmetic coding
}


@pytest.mark.parametrize("why", BAD)
def test_a_bad_frame_is_left_out_with_its_reason(tmp_path, why):
    """One damaged frame of 13,357 is no reason to lose the others."""
    good = net_byte_array(jpeg())
    frames = read_camera(scan_with(tmp_path, good, net_byte_array(BAD[why]), good))
    assert frames.elements.tolist() == [1, 3]
    assert frames.skipped == {why: 1}


@pytest.mark.parametrize("size", [b"\x00\x11\xff\xff", b"\xff\xff\x00\x18", b"\x00\x00\x00\x18"])
def test_either_side_that_is_too_long_is_refused_unseen(size):
    """A bomb is one by its width or its height alone, and is never handed to the decoder."""
    with pytest.raises(FrameError, match="more than 4096 pixels a side, or none"):
        read_header(net_byte_array(patched(WHOLE, SIZE, size)))


def test_only_bad_frames_are_counted_by_reason(tmp_path):
    """The one sentence that a user gets has to say what is the matter with all of them."""
    path = scan_with(tmp_path, BAD["no JPEG"], jpeg(None), jpeg(None))
    message = r"none of the camera frames.*1 x no JPEG; 2 x no time stamp in the EXIF data"
    with pytest.raises(CronoFileError, match=message):
        read_camera(path)


def test_a_frame_broken_behind_its_header_is_told_when_it_is_decoded(tmp_path):
    """Reading the list decodes nothing; the stitcher leaves such a frame out."""
    broken = bytearray(WHOLE)
    place = WHOLE.index(b"\xff\xda")
    broken[place + 2 : place + 4] = b"\x00\x03"  # a scan header that is too short
    path = scan_with(tmp_path, net_byte_array(bytes(broken)))
    with (
        open_frames(read_camera(path)) as reader,
        pytest.raises(FrameError, match="a JPEG that cannot be decoded"),
    ):
        reader.image(0)


def test_pillow_sees_neither_exif_nor_profiles():
    """What a hostile file puts there never reaches code that parses it."""
    content = net_byte_array(jpeg(icc_profile=b"p" * 300, comment=b"hello"))
    stripped = without_metadata(content, read_header(content))
    assert b"Exif" not in stripped
    assert b"ICC_PROFILE" not in stripped
    with Image.open(io.BytesIO(stripped)) as ours, Image.open(io.BytesIO(content[27:])) as whole:
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(whole))


@given(st.data())
def test_no_bytes_break_the_reader(data):
    """Whatever a frame holds, it is a frame or a FrameError: no crash, no endless loop."""
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        header = read_header(content)
        picture = camera._decoded(without_metadata(content, header), (header.width, header.height))
    except FrameError:
        return
    assert picture.shape == (header.height, header.width, 3)


# --- the clock -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ({"XRF/DPPStartTimestamp": None}, "DPPStartTimestamp is missing"),
        ({"XRF/Timestamps": None}, "Timestamps is missing"),
        ({"XRF/Timestamps": np.full(N, 5, np.uint64)}, "does not grow from spectrum to spectrum"),
        ({"Images/Static": None}, "Images/Static is missing"),
        ({"Images/Static": np.zeros((4, 3), np.uint8)}, "expected camera frames"),
        ({"XRF/DPPStartTimestamp": np.zeros((N, 2), np.uint64)}, "expected microseconds"),
    ],
)
def test_a_file_without_clock_or_frames_is_refused(tmp_path, replace, message):
    """Frames without times cannot be placed; the sentence names the dataset and the file."""
    path = write_crono(tmp_path / "scan.HDF5", replace)
    with pytest.raises(CronoFileError, match=rf"scan\.HDF5: .*{message}"):
        read_camera(path)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (np.array([[11.5, 12.5]], "f4"), (11.5, 12.5)),
        (np.array([[0, 11.0]], "f4"), None),
        (np.array([[np.nan, 11.0]], "f4"), None),
        (np.zeros((3, 2), "f4"), None),
        (None, None),
    ],
)
def test_the_pixel_size_is_a_hint_only_if_it_can_be_one(tmp_path, ratio, expected):
    """It is what is left when the frames tell nothing; a wrong one is worse than none."""
    others = {"Images/ImageAdjusting/ImagePixelSizeRatio": ratio}
    frames = read_camera(scan_with(tmp_path, net_byte_array(jpeg()), **others))
    assert frames.pixel_size_hint == expected
