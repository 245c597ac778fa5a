"""The Crono reader: what it reads, what it refuses, and what it says then."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import crono_files as files
import h5py
import numpy as np
import pytest

from maxrf_core.crono import (
    CronoScan,
    Roi,
    open_spectra,
    read_crono,
    read_datasets,
    read_spectra_block,
)
from maxrf_core.errors import CronoFileError
from maxrf_core.hdf5 import decode, plain
from maxrf_core.plain_text import printable


# --- read_datasets ---------------------------------------------------------------------------
def test_datasets_are_numbered_as_cronomaxrf_numbers_them():
    """Old notebooks say datasets[26]; the numbers are those of crono-format.md."""
    with read_datasets(files.REFERENCE) as datasets:
        assert isinstance(datasets, list)
        assert len(datasets) == 32
        assert [datasets[i].name for i in (14, 17, 26, 28)] == [
            "/XRF/EnergyVector",
            "/XRF/MotorsPositions",
            "/XRF/Spectra",
            "/XRF/SpectraSelectedIndex",
        ]
        x, y, _ = datasets[17][...].T
        assert datasets[26][...].shape == (259, 4096)
        assert (x[0], y[0]) == (132252, 111816)


def test_datasets_stay_readable_until_the_list_is_closed(tmp_path):
    """A notebook keeps the list for hours; a with block gives the file back at its end."""
    datasets = read_datasets(files.write_crono(tmp_path / "scan.HDF5"))
    np.testing.assert_array_equal(datasets[26][3:5], files.counts()[3:5])
    with datasets:
        spectra = datasets[26]
        assert spectra
    assert not spectra
    assert not datasets.file


def test_datasets_of_a_faulty_scan_can_be_looked_into(tmp_path):
    """Listing does not validate, or a broken file could not be examined."""
    path = files.BROKEN["no-Spectra"](tmp_path)
    with read_datasets(path) as datasets:
        assert "/XRF/EnergyVector" in [dataset.name for dataset in datasets]


def test_a_name_that_is_not_utf8_does_not_hide_the_other_datasets(tmp_path):
    """A .NET program may write Latin-1 names, at which h5py's own visiting fails."""
    path = files.write_crono(tmp_path / "scan.HDF5")
    with h5py.File(path, "a") as file:
        file.create_dataset("Gerät".encode("latin-1"), data=[1, 2, 3])
    with read_datasets(path) as datasets:
        assert len(datasets) == 33
    assert read_crono(path).n_spectra == files.N


def test_a_damaged_tree_is_one_error(tmp_path):
    """h5py's RuntimeError about symbol tables would tell a user nothing."""
    path = files.BROKEN["damaged-tree"](tmp_path)
    with pytest.raises(CronoFileError, match="the tree of datasets is damaged"):
        read_datasets(path)


# --- read_crono on good files ----------------------------------------------------------------
def test_a_whole_scan_is_read_by_name(tmp_path):
    """Every field against the arrays that were written, with units converted."""
    path = files.write_crono(tmp_path / "scan.HDF5", chunks=(7, 40), compression="gzip")
    scan = read_crono(path)
    written = files.layout()
    assert (scan.filename, scan.n_spectra, scan.n_channels) == (path, 20, 40)
    np.testing.assert_array_equal(scan.energies, written["XRF/EnergyVector"])
    assert scan.energies.dtype == np.float32
    np.testing.assert_array_equal(scan.positions, files.positions())
    assert scan.positions.dtype == np.uint32
    np.testing.assert_array_equal(scan.selected_index, files.selected_index()[:, :, 0])
    assert scan.selected_index.dtype == np.int64
    # microseconds in the file; one division each, so equal to the last bit
    np.testing.assert_array_equal(scan.live_times, (59300 + np.arange(20)) / 1e6)
    np.testing.assert_array_equal(scan.real_times, np.full(20, 0.06))
    np.testing.assert_array_equal(scan.timestamps, (14_880_000 + 60_000 * np.arange(20)) / 1e6)
    assert scan.rois == (
        Roi("CaKa", 3.516, 3.85),
        Roi("FeKa", 6.169, 6.612),
        Roi("CuKa", 7.549, 7.549),
    )
    assert [roi.is_empty for roi in scan.rois] == [False, False, True]
    assert (scan.spectra_chunks, scan.spectra_compression) == ((7, 40), "gzip")
    assert scan.notes == ()


def test_metadata_is_plain_text_and_numbers(tmp_path):
    """It goes into JSON: no blobs, no numpy, and the decimal comma as the scanner wrote it."""
    scan = read_crono(files.write_crono(tmp_path / "scan.HDF5"))
    expected = {
        "created": "2021-10-15T14:20:02",
        "software": "CRONO 1.2.4.54",
        "file_structure_version": [1, 6],
        "calibration_points": [[7.0, 8.046], [19.0, 22.163]],
        "image_pixel_size_ratio": [11.085714, 11.085714],
        "calibration": {"CalibrationBins": 40},
        "settings": {"Acceleration": 100.0, "Collimator": "0,5 mm", "Filter": "Al 100 µm"},
        "initial_status": {"DateTime": "2021-10-15T14:20:06", "TubeTemperature": 57.33},
        "final_status": {"DateTime": "2021-10-15T14:27:31", "TubeTemperature": 57.33},
        "stage_range": {"x": [130252, 134252], "y": [111816, 113316], "z": [46018, 46018]},
    }
    assert json.loads(json.dumps(scan.metadata, allow_nan=False)) == expected


def test_the_simulated_reference_scan_is_read():
    """The file that the lab's notebooks are tried on: 12 x 9 cells of 259 spectra."""
    scan = read_crono(files.REFERENCE)
    assert (scan.n_spectra, scan.n_channels, scan.selected_index.shape) == (259, 4096, (12, 9))
    assert [roi.name for roi in scan.rois] == [
        "SiKa",
        "CaKa",
        "FeKa",
        "CuKa",
        "ZnKa",
        "PbLa",
        "PbLb",
    ]
    assert np.median(scan.live_times) == pytest.approx(0.0594, abs=1e-4)  # of 60 ms real time
    assert scan.notes == ()


@files.needs_real_scan
def test_a_real_scan_without_rois_and_with_2048_channels_is_read():
    """It differs from the 4096-channel scan in the two ways that a reader takes for granted."""
    scan = read_crono(files.REAL_SCAN)
    assert (scan.n_spectra, scan.n_channels) == (2500, 2048)
    assert scan.rois == ()
    assert scan.notes == ()
    with open_spectra(files.REAL_SCAN) as spectra:
        totals = read_spectra_block(spectra, 0, 2500).sum(axis=1)
    with read_datasets(files.REAL_SCAN) as datasets:  # the detector's own count of each spectrum
        np.testing.assert_array_equal(totals, datasets[13][...])


def test_the_spectra_are_not_read_with_the_rest(tmp_path):
    """Opening a scan of 22 GB must cost nothing: counts that cannot be read go unnoticed."""
    path = files.BROKEN_COUNTS["damaged-chunk"](tmp_path)
    assert read_crono(path).n_spectra == files.N


def test_a_filter_that_is_not_installed_is_told(tmp_path):
    """Its number is what the user needs to find the plugin."""
    scan = read_crono(files.BROKEN_COUNTS["spectra-filter"](tmp_path))
    assert scan.spectra_compression == f"filter ({files.UNKNOWN_FILTER})"


@pytest.mark.parametrize(
    ("storage", "chunks", "compression"),
    [
        ({}, None, None),
        ({"chunks": (3, 7)}, (3, 7), None),
        ({"chunks": (1, 40), "compression": "lzf", "shuffle": True}, (1, 40), "shuffle+lzf"),
        ({"chunks": (20, 1), "fletcher32": True}, (20, 1), "fletcher32"),
    ],
)
def test_any_chunking_and_compression_gives_the_same_counts(tmp_path, storage, chunks, compression):
    """The layout of Spectra is the writer's business; what it is, is told."""
    path = files.write_crono(tmp_path / "scan.HDF5", **storage)
    scan = read_crono(path)
    assert (scan.spectra_chunks, scan.spectra_compression) == (chunks, compression)
    with open_spectra(path) as spectra:
        np.testing.assert_array_equal(read_spectra_block(spectra, 4, 17), files.counts()[4:17])


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "u4", "i8", "u8", ">u2", ">i4"])
def test_counts_of_any_integer_dtype_become_uint16(tmp_path, dtype):
    """Other versions may store int32; counts that fit are counts."""
    replace = {"XRF/Spectra": files.counts().astype(dtype)}
    path = files.write_crono(tmp_path / "scan.HDF5", replace)
    with open_spectra(path) as spectra:
        block = read_spectra_block(spectra, 13, 99)
    assert block.dtype == np.dtype(np.uint16)
    np.testing.assert_array_equal(block, files.counts()[13:])


def test_the_largest_uint16_count_is_kept(tmp_path):
    """65535 is a count, 65536 is not: the limit itself must pass."""
    spectra = files.counts().astype("i4")
    spectra[13, 17] = 65535
    with open_spectra(files.write_crono(tmp_path / "s.HDF5", {"XRF/Spectra": spectra})) as dataset:
        assert read_spectra_block(dataset, 10, 15)[3, 17] == 65535


@pytest.mark.parametrize(
    "replace",
    [
        {"XRF/MotorsPositions": files.positions()[:, :2].astype("f8")},
        {"XRF/MotorsPositions": files.positions().astype(">i4")},
        {"XRF/SpectraSelectedIndex": files.selected_index()[:, :, 0].astype("u2")},
        {"XRF/EnergyVector": np.linspace(-1, 47, files.CHANNELS)},
        {"XRF/Maps/ComputedMaps": None, "Images/Static": None},
        {"XRF/Spectra": h5py.SoftLink("/Old/Spectra"), "Old/Spectra": files.counts()},
    ],
    ids=["two-columns", "big-endian", "flat-index", "float64-energies", "no-maps", "soft-link"],
)
def test_harmless_variants_are_read_without_a_note(tmp_path, replace):
    """None of these changes what is measured."""
    scan = read_crono(files.write_crono(tmp_path / "scan.HDF5", replace))
    columns = replace.get("XRF/MotorsPositions", files.positions()).shape[1]
    np.testing.assert_array_equal(scan.positions, files.positions()[:, :columns])
    assert scan.positions.dtype.isnative
    assert scan.selected_index.shape == (files.ROWS, files.COLUMNS)
    assert scan.energies.dtype == np.float32
    assert scan.notes == ()


def test_a_line_scan_is_no_single_place(tmp_path):
    """One moving axis is enough for a map of one row."""
    steps = files.positions()
    steps[:, 1] = steps[0, 1]
    scan = read_crono(files.write_crono(tmp_path / "s.HDF5", {"XRF/MotorsPositions": steps}))
    assert scan.metadata["stage_range"]["y"] == [111816, 111816]


# --- refused files ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", files.BROKEN)
def test_a_broken_file_is_refused_and_named(tmp_path, name):
    """Each fault is one CronoFileError that names the file and says what is wrong."""
    path = files.BROKEN[name](tmp_path)
    with pytest.raises(CronoFileError) as caught:
        read_crono(path)
    message = str(caught.value)
    assert files.MESSAGES[name] in message
    assert message.startswith(str(path))
    if name != "damaged-tree":  # there, all four are gone
        assert "\n" not in message


def test_no_permission_is_said_so(tmp_path, monkeypatch):
    """The administrator of a shared folder must see what to change."""
    path = files.write_crono(tmp_path / "scan.HDF5")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read anything: refuse as the system would

        def refuse(*_arguments, **_keywords):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CronoFileError, match="cannot be read: no permission"):
        read_crono(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_an_impossible_name_is_refused(name):
    """The system's own errors about names (OSError, ValueError) are no traceback either."""
    with pytest.raises(CronoFileError, match="cannot be read: "):
        read_crono(name)


def test_no_message_can_command_the_terminal(tmp_path, caplog):
    """Names of files, regions and attributes are others' text, and messages are printed."""
    evil = "\x1b[31m"
    label = files.vlen([files.characters(evil)], files.BYTE)
    replace = {"ROIsNames": label, "ROIsEnergies": np.array([[np.nan, 1.0]])}
    replace = {f"XRF/ROIs/{name}": value for name, value in replace.items()}
    path = files.write_crono(tmp_path / f"{evil}.HDF5", replace)
    with h5py.File(path, "a") as file:
        space, time = h5py.h5s.create_simple((1,)), h5py.h5t.UNIX_D32LE
        h5py.h5a.create(file["Configuration/Settings"].id, evil.encode(), time, space)
    assert len(read_crono(path).notes) == 2
    messages = [record.getMessage() for record in caplog.records]

    def read_block(path: Path) -> None:
        with open_spectra(path) as spectra:
            read_spectra_block(spectra, 0, 20)

    for name, read in (
        ("not-hdf5", read_crono),
        ("no-Spectra", read_crono),
        ("damaged-tree", read_crono),
        ("damaged-tree", read_datasets),
        ("negative-count", read_block),
    ):
        folder = tmp_path / f"{evil}{len(messages)}"
        folder.mkdir()
        path = (files.BROKEN | files.BROKEN_COUNTS)[name](folder)
        with pytest.raises(CronoFileError) as caught:
            read(path)
        messages += str(caught.value).splitlines()
    assert len(messages) == 2 + 4 + 5  # notes, single faults, and four faults under a heading
    assert [message for message in messages if not message.isprintable()] == []


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    """Opening a pipe that nobody writes to would hang for ever."""
    path = tmp_path / "scan.HDF5"
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no such pipes")
    os.mkfifo(path)
    with pytest.raises(CronoFileError, match="is a device or pipe"):
        read_crono(path)


def test_a_file_that_is_being_written_is_refused(tmp_path):
    """HDF5 locks a file while it is written: the message must not call it damaged."""
    fcntl = pytest.importorskip("fcntl")
    path = files.write_crono(tmp_path / "scan.HDF5")
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as HDF5 does in the program that writes
        with pytest.raises(CronoFileError, match="is in use by another program"):
            read_crono(path)
    assert read_crono(path).n_spectra == files.N


def test_all_faults_are_named_at_once(tmp_path):
    """Whoever repairs a file wants the whole list, a line each, not one fault a try."""
    wrong = files.selected_index()
    wrong[1, 2] = 99
    replace = {
        "XRF/EnergyVector": None,
        "XRF/MotorsPositions": files.positions()[1:],
        "XRF/SpectraSelectedIndex": wrong,
    }
    path = files.write_crono(tmp_path / "scan.HDF5", replace)
    with pytest.raises(CronoFileError) as caught:
        read_crono(path)
    heading, *faults = str(caught.value).splitlines()
    assert heading == f"{path} cannot be used, it has 3 faults:"
    assert [fault.split()[1] for fault in faults] == [
        "XRF/EnergyVector",
        "XRF/MotorsPositions",
        "XRF/SpectraSelectedIndex",
    ]


def test_other_datasets_are_checked_even_without_spectra(tmp_path):
    """A missing table of counts must not hide that the energies are wrong too."""
    energies = files.layout()["XRF/EnergyVector"][::-1]
    replace = {"XRF/Spectra": None, "XRF/EnergyVector": energies}
    path = files.write_crono(tmp_path / "scan.HDF5", replace)
    with pytest.raises(CronoFileError, match=r"(?s)XRF/Spectra is missing.*does not increase"):
        read_crono(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("XRF/EnergyVector", np.empty(0, "f4")),
        ("XRF/MotorsPositions", np.empty((0, 3), "u4")),
        ("XRF/MotorsPositions", np.uint32(7)),
        ("XRF/SpectraSelectedIndex", np.uint64(7)),
    ],
)
def test_empty_datasets_are_faults_even_without_spectra(tmp_path, name, value):
    """With no number of spectra to compare with, nothing must still not be enough."""
    replace = {"XRF/Spectra": None, name: value}
    with pytest.raises(CronoFileError, match=rf"(?s)it has 2 faults:.*{name} is "):
        read_crono(files.write_crono(tmp_path / "scan.HDF5", replace))


@pytest.mark.parametrize("name", files.BROKEN_COUNTS)
def test_counts_that_cannot_be_used_are_refused_with_their_place(tmp_path, name):
    """A block of zeros or wrapped counts would look like a measurement."""
    path = files.BROKEN_COUNTS[name](tmp_path)
    with open_spectra(path) as spectra, pytest.raises(CronoFileError) as caught:
        read_spectra_block(spectra, 10, 15)
    assert files.MESSAGES[name] in str(caught.value)
    assert "XRF/Spectra, spectra 10..14" in str(caught.value)


def test_spectra_beside_a_damaged_chunk_are_read(tmp_path):
    """Only the block with the damage is refused."""
    path = files.BROKEN_COUNTS["damaged-chunk"](tmp_path)
    with open_spectra(path) as spectra:
        np.testing.assert_array_equal(read_spectra_block(spectra, 0, 10), files.counts()[:10])


@pytest.mark.parametrize("name", ["no-Spectra", "spectra-3d", "external-link", "not-hdf5"])
def test_open_spectra_refuses_what_is_no_table_of_counts(tmp_path, name):
    """A worker that opens the file by its path must fail as clearly as the reader."""
    path = files.BROKEN[name](tmp_path)
    with pytest.raises(CronoFileError) as caught, open_spectra(path):
        pytest.fail("the file was opened")
    assert files.MESSAGES[name] in str(caught.value)
    assert str(path) in str(caught.value)


def test_open_spectra_closes_the_file(tmp_path):
    """A handle left open would keep the scanner's program from writing."""
    with open_spectra(files.write_crono(tmp_path / "scan.HDF5")) as spectra:
        assert spectra.shape == (20, 40)
    assert not spectra


# --- optional datasets -----------------------------------------------------------------------
def read_noted(
    path: Path, replace: dict, caplog: pytest.LogCaptureFixture
) -> tuple[CronoScan, str]:
    """Return the scan and what was logged of it, which must be its notes, as warnings."""
    with caplog.at_level(logging.WARNING, logger="maxrf_core"):
        scan = read_crono(files.write_crono(path / "scan.HDF5", replace))
    assert {record.levelname for record in caplog.records} <= {"WARNING"}
    assert [record.args[1] for record in caplog.records] == list(scan.notes)
    return scan, "\n".join(scan.notes)


LIVE_TIMES = files.layout()["XRF/LiveTimes"]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (LIVE_TIMES[1:], "XRF/LiveTimes is uint64 of shape (19,), and is ignored"),
        (LIVE_TIMES[:, None], "of shape (20, 1), and is ignored"),
        (LIVE_TIMES.astype("S5"), "XRF/LiveTimes is |S5 of shape (20,), and is ignored"),
        (LIVE_TIMES * np.uint64(0), "is 0 s at spectrum 0, one of 20 not above zero"),
        (
            np.where(np.arange(20) == 6, -1, LIVE_TIMES.astype("i8")),
            "is -1e-06 s at spectrum 6, one of 1 not above zero, and is ignored as a whole",
        ),
        (np.where(np.arange(20) == 6, np.nan, 1.0), "not finite, and is ignored"),
        ({}, "XRF/LiveTimes is a group, not a dataset"),
    ],
    ids=["short", "2d", "text", "zero", "negative", "nan", "group"],
)
def test_unusable_live_times_are_ignored_with_a_warning(tmp_path, caplog, values, note):
    """Counts divided by a wrong live time would be wrong without a word."""
    scan, notes = read_noted(tmp_path, {"XRF/LiveTimes": values}, caplog)
    assert scan.live_times is None
    assert note in notes
    assert len(scan.notes) == 1
    assert scan.real_times is not None


def test_missing_optional_datasets_are_no_matter(tmp_path, caplog):
    """An older or reduced file has fewer: that is no fault and needs no warning."""
    required = {
        "XRF/Spectra",
        "XRF/EnergyVector",
        "XRF/MotorsPositions",
        "XRF/SpectraSelectedIndex",
    }
    with h5py.File(tmp_path / "scan.HDF5", "w") as file:
        for name in required:
            file[name] = files.layout()[name]
    with caplog.at_level(logging.WARNING):
        scan = read_crono(tmp_path / "scan.HDF5")
    assert (scan.live_times, scan.real_times, scan.timestamps) == (None, None, None)
    assert scan.rois == ()
    assert set(scan.metadata) == {"stage_range"}
    assert (scan.notes, caplog.records) == ((), [])


def test_timestamps_may_be_zero(tmp_path):
    """They are instants of a clock that may start at zero, not durations."""
    replace = {"XRF/Timestamps": np.arange(20, dtype=np.uint64) * 60_000}
    scan = read_crono(files.write_crono(tmp_path / "scan.HDF5", replace))
    assert scan.timestamps[0] == 0.0
    assert scan.timestamps[1] == 0.06


KEV = files.layout()["XRF/ROIs/ROIsEnergies"]


@pytest.mark.parametrize(
    ("replace", "found", "note"),
    [
        ({"ROIsEnergies": KEV[:0], "ROIsNames": files.names()}, [], ""),
        ({"ROIsEnergies": KEV[:2]}, ["CaKa", "FeKa"], "3 names for 2 energy windows"),
        ({"ROIsNames": files.names("CaKa")}, ["CaKa"], "1 names for 3 energy windows"),
        ({"ROIsNames": None}, [], "0 names for 3 energy windows"),
        ({"ROIsNames": np.arange(3)}, [], "XRF/ROIs/ROIsNames is int64 of shape (3,), and is"),
        ({"ROIsEnergies": KEV.ravel()}, [], "of shape (6,), and is ignored"),
        ({"ROIsEnergies": None}, [], ""),
        ({"ROIsEnergies": KEV.astype("S5")}, [], "is |S5 of shape (3, 2), and is ignored"),
        ({"ROIsEnergies": np.ones((3000, 2))}, [], "of shape (3000, 2), and is ignored"),
        ({"ROIsNames": np.full(5000, b"x")}, [], "of shape (5000,), and is ignored"),
        ({"ROIsNames": np.full((3, 1, 1), b"x")}, [], "of shape (3, 1, 1), and is ignored"),
        (
            {"ROIsEnergies": np.array([[3.5, 3.8], [np.nan, 6.6], [7.5, 7.5]])},
            ["CaKa", "CuKa"],
            "region of interest 'FeKa' has no finite energies",
        ),
        ({"ROIsNames": np.array([b"CaKa", b"FeKa", b"CuKa"])}, ["CaKa", "FeKa", "CuKa"], ""),
        (
            {"ROIsNames": (np.array(["Ca α", "", "Cu"], object), h5py.string_dtype())},
            ["Ca α", "", "Cu"],
            "",
        ),
    ],
    ids=[
        "none",
        "more-names",
        "more-energies",
        "no-names",
        "numbers-for-names",
        "flat-energies",
        "no-energies",
        "text-energies",
        "too-many-energies",
        "too-many-names",
        "deep-names",
        "nan-energies",
        "fixed-strings",
        "vlen-strings",
    ],
)
def test_regions_are_paired_as_far_as_they_go(tmp_path, caplog, replace, found, note):
    """A fault in the vendor's regions costs regions, never the scan."""
    replace = {f"XRF/ROIs/{name}": value for name, value in replace.items()}
    scan, notes = read_noted(tmp_path, replace, caplog)
    assert [roi.name for roi in scan.rois] == found
    assert note in notes
    assert bool(notes) == bool(note)


@pytest.mark.parametrize(
    ("raw", "name"),
    [("CaKα".encode(), "CaKα"), (b"Ca \xb5m", "Ca µm"), (b"Ca\0\0junk", "Ca"), (b"", "")],
    ids=["utf-8", "latin-1", "zero-padded", "empty"],
)
def test_names_of_single_bytes_are_decoded(tmp_path, raw, name):
    """Names are S1 arrays; what is no UTF-8 was written by a Windows program in Latin-1."""
    label = files.vlen([np.frombuffer(raw, "S1")], files.BYTE)
    replace = {"XRF/ROIs/ROIsNames": label, "XRF/ROIs/ROIsEnergies": KEV[:1]}
    scan = read_crono(files.write_crono(tmp_path / "scan.HDF5", replace))
    assert scan.rois == (Roi(name, 3.516, 3.85),)


def test_a_reversed_region_is_empty():
    """Its window [low, high) holds no energy, as that of an empty one."""
    assert Roi("x", 6.6, 6.1).is_empty
    assert not Roi("x", 6.1, 6.6).is_empty


@pytest.mark.parametrize(
    ("text", "created"),
    [
        ("02/03/2021 04:05:06", "2021-02-03T04:05:06"),
        ("2/3/2021 4:05:06 PM", "2021-02-03T16:05:06"),
        ("15.10.2021 14:20", "15.10.2021 14:20"),
        ("", ""),
    ],
)
def test_a_date_becomes_iso_or_stays_as_it_is(tmp_path, text, created):
    """Month comes before day; a date of another form is shown, not guessed at."""
    replace = {"CreatedDateTime": files.characters(text, 50)}
    scan = read_crono(files.write_crono(tmp_path / "scan.HDF5", replace))
    assert scan.metadata["created"] == created


def test_odd_attributes_leave_the_metadata_serialisable(tmp_path):
    """Attributes are free text and blobs of a .NET program; JSON takes neither NaN nor bytes."""
    path = files.write_crono(tmp_path / "scan.HDF5")
    blobs, dtype = files.vlen([np.frombuffer(b"\0\1\2", files.BLOB)] * 2, files.BLOB)
    with h5py.File(path, "a") as file:
        settings = file["Configuration/Settings"].attrs
        settings["Speed"] = np.array([np.nan, 2.5, np.inf])
        settings.create("Blobs", blobs, dtype=dtype)
        settings["Text"] = "Röhre"
        settings["Nothing"] = h5py.Empty("f4")
        settings["Reference"] = file["XRF"].ref
        settings["Flag"] = np.array([True])
        settings.create("Röhre".encode("latin-1"), "Rh")
    scan = read_crono(path)
    found = scan.metadata["settings"]
    assert scan.notes == ()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["Speed"] == [None, 2.5, None]
    assert (found["Text"], found["Nothing"], found["Flag"]) == ("Röhre", None, True)
    assert found["Röhre"] == "Rh"
    assert found["Reference"] == "<HDF5 object reference>"
    assert {"Blobs", "MapSetup"}.isdisjoint(found)


def test_damaged_attributes_cost_no_more_than_themselves(tmp_path):
    """A scan is worth more than its descriptions: they are noted and left out."""
    path = files.write_crono(tmp_path / "scan.HDF5")
    path.write_bytes(path.read_bytes().replace(b"Acceleration\0", b"Accel\0ration\0"))
    scan = read_crono(path)
    assert [note.split(":")[0] for note in scan.notes] == [
        "Attributes of /Configuration/Settings cannot be listed"
    ]
    assert scan.metadata["initial_status"]["TubeTemperature"] == 57.33


def test_a_fault_is_noted_once(tmp_path):
    """The calibration is asked for twice: for its points, and for its attributes."""
    scan = read_crono(files.write_crono(tmp_path / "scan.HDF5", {"XRF/CalibrationPoints": {}}))
    assert scan.notes == ("XRF/CalibrationPoints is a group, not a dataset.",)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (np.full(10_000, b"1", "S1"), "CreatedDateTime is |S1 of shape (10000,), and is ignored"),
        (files.names("2021"), "CreatedDateTime is object of shape (1,), and is ignored"),
    ],
    ids=["huge", "variable-length"],
)
def test_a_description_of_unknown_size_is_not_read(tmp_path, caplog, value, note):
    """A date of a million characters is a fault, not a date."""
    scan, notes = read_noted(tmp_path, {"CreatedDateTime": value}, caplog)
    assert "created" not in scan.metadata
    assert note in notes


# --- plain values ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[b"0", b",", b"5"]], "S1"), "0,5"),
        (np.array([[b"a", b"b"], [b"c", b""]], "S1"), ["ab", "c"]),
        (np.array([b"Al", b"Cu"]), ["Al", "Cu"]),
        (np.array([], "S1"), ""),
        (np.array([], "f4"), []),
        (np.array([[57.33]]), 57.33),
        (np.float32(8.046), 8.046),
        (np.array([[1, 2]]), [1, 2]),
        (np.frombuffer(b"\1\2\3", "V1"), b"\1\2\3"),
        (h5py.Empty("f4"), None),
        (np.array([1 + 2j]), "(1+2j)"),
    ],
)
def test_values_become_plain_python(values, expected):
    """Outer arrays of length 1 are the scanner's wrapping, and float32 means its decimals."""
    assert plain(values) == expected
    assert type(plain(values)) is type(expected)


def test_text_that_h5py_could_not_decode_is_latin1():
    """Surrogates of h5py would fail later, when the metadata are written as UTF-8."""
    assert decode(b"R\xf6hre".decode("utf-8", "surrogateescape")) == "Röhre"


def test_control_characters_are_escaped():
    """A name may hold commands for the terminal that shows it, or turn text around."""
    assert printable("a\x1b[31mb\nc\u202ed\x9b é") == "a\\x1b[31mb\\nc\\u202ed\\x9b é"
