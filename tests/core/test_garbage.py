"""Files that are damaged, absurd or made to do harm end in one sentence of ours.

Each test is a class of fault that `tests.fuzz` has found, made small.
"""

from __future__ import annotations

import bz2
import json
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import crono_files as files
import h5py
import numpy as np
import pytest
import zarr
from numcodecs import Blosc, get_codec
from small_stores import unpack
from zarr.storage import ZipStore

from maxrf_core import (
    CronoFileError,
    MaxrfError,
    ParameterError,
    ZipstoreError,
    check_zipstore,
    get_array,
    open_scan,
    read_crono,
)
from maxrf_core import probe as probes
from maxrf_core.cli import main
from maxrf_core.decoding import decompress, unpacked_size
from maxrf_core.import_rpl import read_rpl
from maxrf_core.imports import import_scan
from maxrf_core.interchange import format_tree
from maxrf_core.photo_record import kept_photo
from maxrf_core.probe import probe_crono, report_apart
from maxrf_core.sidecar import read_sidecar, sidecar_path

BOMB = 2**26
"""Bytes that a chunk becomes which should become a thousand."""


@pytest.fixture
def folder_store(lean_zipstore, tmp_path) -> Path:
    """Return a store in a folder, to be spoilt."""
    return unpack(lean_zipstore, tmp_path / "scan.zipstore")


def packed(folder: Path, method: int = zipfile.ZIP_STORED) -> Path:
    """Return the zip of a folder."""
    path = folder.with_name("packed.zipstore")
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


def change(path: Path, **values: object) -> None:
    """Change keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def put(folder: Path, name: str, values: np.ndarray) -> None:
    """Write an array in one chunk, described as it is."""
    codec = Blosc()
    change(
        folder / name / ".zarray",
        shape=values.shape,
        chunks=values.shape,
        dtype=values.dtype.str,
        compressor=codec.get_config(),
    )
    index = ".".join("0" * values.ndim)
    (folder / name / index).write_bytes(codec.encode(np.ascontiguousarray(values)))


def used(folder: Path) -> None:
    """Do with a scan what the page does first."""
    with open_scan(folder) as scan:
        scan.energy_map(2.0, 9.0)
        scan.spectrum(0)


# --- chunks -------------------------------------------------------------------------------------
BOMBS = {
    "zlib": lambda: zlib.compress(b" " * BOMB),
    "gzip": lambda: zlib.compress(b" " * BOMB, wbits=31),
    "bz2": lambda: bz2.compress(b" " * BOMB),
    "lzma": lambda: lzma.compress(b" " * BOMB),
    "zstd": lambda: get_codec({"id": "zstd"}).encode(b" " * BOMB),
    "lz4": lambda: get_codec({"id": "lz4"}).encode(b" " * BOMB),
    "blosc": lambda: Blosc().encode(b" " * BOMB),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_chunk_becomes_no_more_than_its_array_declares(name):
    """A megabyte that becomes gigabytes would end the server; it is not unpacked to find out."""
    bomb, codec = BOMBS[name](), get_codec({"id": name})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"not a whole chunk|other than the 1000 bytes"):
            decompress(codec, bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < BOMB // 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOMBS)
def test_whole_chunks_of_every_codec_come_back(name):
    """What bounds the bombs must not cost a good chunk its end."""
    values = np.arange(5000, dtype="<u2").tobytes()
    codec = get_codec({"id": name})
    assert bytes(decompress(codec, codec.encode(values), len(values))) == values


@pytest.mark.parametrize("name", sorted(set(BOMBS) - {"lz4"}))
def test_frames_for_another_library_are_measured_before_it_unpacks_them(name):
    """Zarr unpacks whatever it is given; frames of LZ4 alone do not say what they are."""
    assert unpacked_size(memoryview(BOMBS[name]()), 2**20) > 2**20
    good = get_codec({"id": name}).encode(b"ab" * 1000)
    assert unpacked_size(memoryview(good), 2**20) in (0, 2000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": [10**12, 10**12]},
        {"shape": [7.0, 5]},
        {"shape": [True, 5]},
        {"shape": ["7", 5]},
        {"shape": [-7, 5]},
        {"shape": [1] * 40, "chunks": [1] * 40},
        {"chunks": [2**20, 2**20]},
        {"chunks": [0, 5]},
        {"chunks": [5]},
        {"dtype": "|O"},
        {"dtype": "|S9"},
        {"dtype": "<M8[s]"},
        {"dtype": [["a", "<u2"]]},
        {"dtype": None},
        {"compressor": "zlib"},
        {"compressor": {"id": "zlib", "level": "x", "more": 1}},
        {"compressor": {"id": ["blosc"]}},
        {"compressor": {"id": "pickle"}},
    ],
)
def test_an_absurd_description_is_refused(folder_store, wrong):
    """Before anything is made of its size, and whatever the types of its values are."""
    change(folder_store / "counts/by_spectrum/.zarray", **wrong)
    with pytest.raises(ZipstoreError, match="description of array 'counts/by_spectrum'"):
        used(folder_store)


# --- what stands in the descriptions --------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, '"text"', "[]", '{"schema": 1, "schema_version": [1]}'],
)
def test_root_attributes_of_any_form_are_refused(folder_store, text):
    """Nested a hundred thousand deep is no reason for a RecursionError."""
    (folder_store / ".zattrs").write_text(text)
    with pytest.raises(ZipstoreError, match="is not a zipstore of this program"):
        open_scan(folder_store)


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": []},
        {"parameters": None},
        {"source": {"name": 5}},
        {"grid": {"x0": 0, "y0": 0, "dx": float("nan"), "dy": 1, "height": 7, "width": 5}},
        {"grid": {"x0": 10**400, "y0": 0, "dx": 1, "dy": 1, "height": 7, "width": 5}},
        {"grid": {"x0": 0, "y0": 0, "dx": 1, "dy": 1, "height": 10**9, "width": 10**9}},
        {"grid": {"x0": 0, "y0": 0, "dx": 1, "dy": 0, "height": 7, "width": 5}},
        {"vendor_grid": []},
    ],
)
def test_absurd_attributes_of_a_scan_are_refused(folder_store, wrong):
    """By the scan, by its check and in the catalogue of the page, which all read them."""
    change(folder_store / ".zattrs", **wrong)
    with pytest.raises(ZipstoreError, match="description of the scan is damaged"):
        open_scan(folder_store)
    assert not check_zipstore(folder_store, progress=False).is_whole


def test_what_a_file_says_is_not_repeated_at_length(folder_store):
    """A message is read by a person."""
    parameters = json.loads((folder_store / ".zattrs").read_text())["parameters"]
    change(folder_store / ".zattrs", parameters=parameters | {"method": "x" * 10_000})
    with pytest.raises(MaxrfError) as caught:
        open_scan(folder_store)
    assert len(str(caught.value)) < 500
    assert all(len(fault) < 1000 for fault in check_zipstore(folder_store, progress=False).faults)


def test_calibration_points_that_are_none_are_left_out(folder_store):
    """Earlier versions kept whatever the instrument's file had there; the page takes pairs."""
    attributes = json.loads((folder_store / ".zattrs").read_text())
    metadata = attributes["metadata"] | {"calibration_points": [771, 8.046, 3]}
    change(folder_store / ".zattrs", metadata=metadata)
    with open_scan(folder_store) as scan:
        assert "calibration_points" not in scan.metadata
        assert "software" in scan.metadata


# --- arrays that do not fit each other ------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("maxrf_energies", np.full(50, np.nan, "<f4")),
        ("maxrf_energies", np.linspace(30, 0, 50, dtype="<f4")),
        ("maxrf_energies", np.linspace(0, 30, 49, dtype="<f4")),
        ("spectra/positions", np.full((77, 3), 1e300)),
        ("spectra/positions", np.ones((77, 1), "<u4")),
        ("spectra/live_times", np.ones(76)),
        ("grid/selected_index", np.full((7, 5), 77)),
        ("grid/selected_index", np.full((7, 5), -1)),
        ("rois/energies", np.full((3, 2), np.inf)),
        ("counts/total_spectrum", np.ones(3, "<u8")),
        ("counts/by_channel", np.ones((50, 70), "<u2")),
        ("counts/cumulative", np.ones((5, 77), "<u4")),
        ("counts/by_spectrum", np.ones((77, 50), "<f4")),
        ("operator/kriging/indptr", np.zeros(35, "<i4")),
        ("operator/kriging/indptr", np.arange(36, dtype="<i4")[::-1]),
        ("operator/kriging/weights", np.ones(3, "<f4")),
    ],
)
def test_an_array_that_does_not_fit_the_scan_is_refused(folder_store, name, values):
    """Compiled loops read and write where these numbers send them."""
    put(folder_store, name, values)
    with pytest.raises(ZipstoreError, match=r"array|operator"):
        used(folder_store)


@pytest.mark.parametrize("wrong", [-1, 77, 2**31 - 1])
def test_weights_of_spectra_that_are_not_there_are_refused(folder_store, wrong):
    """They were read from, and written to, beyond the end of an array."""
    with open_scan(folder_store) as scan:
        indices = scan.operator().matrix.indices.copy()
    indices[len(indices) // 2] = wrong
    put(folder_store, "operator/kriging/indices", indices)
    with pytest.raises(ZipstoreError, match="the operator 'kriging' is damaged"):
        used(folder_store)


# --- zips and folders -----------------------------------------------------------------------------
@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_entry_packed_in_an_unusual_way_is_refused(folder_store, method):
    """No zarr zip has these, and damaged ones raise what nobody expects."""
    with pytest.raises(ZipstoreError, match=r"entry '.zattrs' \(packed with method"):
        open_scan(packed(folder_store, method))


def test_an_entry_that_says_it_is_encrypted_is_refused(folder_store):
    """`zipfile` raises a RuntimeError that asks for a password."""
    path = packed(folder_store)
    raw = bytearray(path.read_bytes())
    at = raw.find(b"PK\1\2")
    while at >= 0:
        raw[at + 8] |= 1
        at = raw.find(b"PK\1\2", at + 1)
    path.write_bytes(raw)
    with pytest.raises(ZipstoreError, match="it is encrypted"):
        open_scan(path)


def test_an_entry_that_inflates_to_gigabytes_is_not_unpacked(folder_store):
    """It says itself how large it becomes."""
    with (folder_store / ".zattrs").open("ab") as file:
        file.write(b" " * 2**25)
    with pytest.raises(ZipstoreError, match=r"it would have 3355"):
        open_scan(packed(folder_store, zipfile.ZIP_DEFLATED))


def test_an_entry_that_hides_how_large_it_becomes_is_not_unpacked(folder_store):
    """The directory says five bytes, and `zipfile` would unpack all before it cuts them off."""
    (folder_store / ".zattrs").write_bytes(b" " * BOMB)
    path = packed(folder_store, zipfile.ZIP_DEFLATED)
    raw = path.read_bytes().replace(BOMB.to_bytes(4, "little"), (5).to_bytes(4, "little"))
    path.write_bytes(raw)
    for read in (open_scan, lambda path: get_array(path, "maxrf_energies")):
        tracemalloc.start()
        try:
            with pytest.raises(ZipstoreError):
                read(path)
            assert tracemalloc.get_traced_memory()[1] < BOMB // 4
        finally:
            tracemalloc.stop()


def test_names_of_any_length_are_no_chunks(folder_store):
    """Python refuses to make a number of five thousand digits, with an error of its own."""
    store = packed(folder_store)
    with zipfile.ZipFile(store, "a") as archive:
        archive.writestr("counts/by_spectrum/" + "9" * 5000 + ".0", "x")
    report = check_zipstore(store, progress=False)
    assert "it holds what no zipstore needs" in report.notes[0]


@pytest.mark.parametrize("target", ["/dev/zero", "fifo", "../outside", "/dev/full"])
def test_what_is_no_file_of_the_folder_is_not_read(folder_store, target):
    """A pipe is waited for for ever, a device has no end, and a link may lead to any file."""
    os.mkfifo(folder_store / "fifo")
    key = folder_store / "counts/total_spectrum/0"
    folder_store.with_name("outside").write_bytes(key.read_bytes())
    key.unlink()
    key.symlink_to(
        os.path.relpath(folder_store / target, key.parent) if target[0] != "/" else target
    )
    with pytest.raises(ZipstoreError, match=r"device or pipe|out of the folder"):
        open_scan(folder_store)


def test_a_link_to_itself_is_told(folder_store):
    """Python 3.11 has a RuntimeError for that."""
    key = folder_store / "counts/total_spectrum/0"
    key.unlink()
    key.symlink_to(key.name)
    with pytest.raises(ZipstoreError, match="leads in a circle"):
        open_scan(folder_store)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_files_that_are_no_entries_are_passed_over(folder_store):
    """A zip cannot name them, and another system would take them for a path."""
    (folder_store / "C:\\x").write_bytes(b"x")
    assert check_zipstore(folder_store, progress=False).is_whole


def test_a_link_inside_the_folder_is_followed(folder_store):
    """Who has little room may link equal chunks."""
    key = folder_store / "counts/total_spectrum/0"
    key.rename(folder_store / "kept")
    key.symlink_to(folder_store / "kept")
    used(folder_store)


# --- stores of other programs ---------------------------------------------------------------------
class _Touches:
    """What a pickle may do when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize(
    "codec",
    [
        {"dtype": "<u2", "compressor": {"id": "pickle"}},
        {"dtype": "|O", "compressor": None, "filters": [{"id": "pickle"}]},
    ],
)
def test_a_codec_that_runs_what_it_reads_is_not_used(tmp_path, codec):
    """Zarr takes any codec of numcodecs, and `pickle` calls what the file names."""
    store, ran = tmp_path / "other.zarr", tmp_path / "ran"
    (store / "a").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    meta = {"zarr_format": 2, "shape": [1], "chunks": [1], "order": "C", "fill_value": 0}
    (store / "a/.zarray").write_text(json.dumps(meta | {"filters": None} | codec))
    (store / "a/0").write_bytes(pickle.dumps(_Touches(ran)))
    with pytest.raises(ZipstoreError, match=r"not trusted|No Zarr data type"):
        get_array(store, "a")
    assert not ran.exists()


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xbb"])
def test_a_damaged_store_of_another_program_is_told(tmp_path, text):
    """Whatever zarr raises, of which there is much."""
    store = tmp_path / "other.zarr"
    (store / "a").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    (store / "a/.zarray").write_bytes(text.encode("latin-1"))
    with pytest.raises(ZipstoreError, match="not a whole zarr zip"):
        format_tree(store)


def test_a_chunk_that_is_read_late_is_told_too(tmp_path):
    """A lazy array meets its damage when it is computed."""
    store = tmp_path / "other.zarr"
    zarr.create_group(store, zarr_format=2).create_array("a", data=np.arange(12).reshape(3, 4))
    (store / "a/0.0").write_bytes(b"damaged")
    lazy = get_array(store, "a", compute=False)
    with pytest.raises(ZipstoreError, match="not a whole zarr zip"):
        lazy.compute()


def test_an_array_that_is_not_there_is_not_made_of_its_fill_value(tmp_path):
    """Zarr leaves empty chunks out, so that a few bytes may stand for any number of zeros."""
    store = tmp_path / "other.zarr"
    root = zarr.create_group(store, zarr_format=2)
    root.create_array("a", shape=(10**6, 10**6), chunks=(1000, 1000), dtype="u2")
    with pytest.raises(ZipstoreError, match="of which the file holds"):
        get_array(store, "a")


@pytest.mark.parametrize("shape", [(10**6, 10**6, 40), (20_000, 20_000, 2)])
def test_a_cube_that_is_not_there_is_not_imported(tmp_path, shape):
    """The same of maxrf4u's cubes, before a file of that size is made of it."""
    path = tmp_path / "a.datastack"
    with ZipStore(path, mode="w") as store:
        root = zarr.create_group(store, zarr_format=2)
        root.create_array("maxrf_cube", shape=shape, chunks=(1000, 1000, 2), dtype="u2")
    with pytest.raises(CronoFileError, match="of which the file holds"):
        import_scan(path, calibration=(0.0, 1.0), progress=False)


# --- Crono files ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["XRF/Spectra", "XRF", "XRF/LiveTimes"])
@pytest.mark.parametrize("kind", ["link to a pipe", "link through a soft link"])
def test_a_link_to_another_file_is_not_opened(tmp_path, name, kind):
    """The other file may be any of this machine: here a pipe, which never ends."""
    os.mkfifo(tmp_path / "pipe")
    path = files.write_crono(tmp_path / "scan.HDF5")
    with h5py.File(path, "a") as file:
        del file[name]
        link = h5py.ExternalLink("pipe", name)
        if kind == "link to a pipe":
            file[name] = link
        else:
            file["elsewhere"], file[name] = link, h5py.SoftLink("/elsewhere")
    code = f"from maxrf_core import read_crono; read_crono({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert "keeps its values in another file" in done.stderr


def test_links_in_a_circle_come_to_an_end(tmp_path):
    """HDF5 itself follows sixteen of them."""
    path = files.write_crono(tmp_path / "a.HDF5", {"XRF/Spectra": h5py.SoftLink("/XRF/Spectra")})
    with pytest.raises(CronoFileError, match="XRF/Spectra is missing, its link leads nowhere"):
        read_crono(path)


def test_values_that_are_not_in_the_file_are_not_made_room_for(tmp_path):
    """A few kilobytes may declare any number of zeros."""
    path = files.write_crono(tmp_path / "a.HDF5", {"XRF/MotorsPositions": None})
    with h5py.File(path, "a") as file:
        file.create_dataset("XRF/MotorsPositions", (10**9, 3), "f8", chunks=(1000, 3))
    with pytest.raises(CronoFileError, match=r"declares 24,000,000,000 bytes .* holds 0;"):
        read_crono(path)


def test_a_chunk_of_gigabytes_is_not_unpacked(tmp_path):
    """HDF5 unpacks a chunk whole, for one value of it."""
    path = files.write_crono(tmp_path / "a.HDF5", {"XRF/LiveTimes": None})
    with h5py.File(path, "a") as file:
        file.create_dataset(
            "XRF/LiveTimes", (files.N,), "u8", maxshape=(None,), chunks=(2**27,), compression="gzip"
        )
    scan = read_crono(path)
    assert scan.live_times is None
    assert "LiveTimes has chunks (134217728,) of 1,073,741,824 bytes" in " ".join(scan.notes)


def test_positions_where_no_motor_goes_are_refused(tmp_path):
    """Squares of such distances are infinite, and a search among them has no end."""
    places = files.positions().astype(np.float64)
    places[3, 0] = 1e300
    path = files.write_crono(tmp_path / "a.HDF5", {"XRF/MotorsPositions": places})
    with pytest.raises(CronoFileError, match="at spectrum 3, one of 1 beyond"):
        read_crono(path)


def test_calibration_points_of_another_shape_are_ignored_and_noted(tmp_path):
    """The page takes pairs of channel and energy."""
    path = files.write_crono(tmp_path / "a.HDF5", {"XRF/CalibrationPoints": np.ones((2, 3))})
    scan = read_crono(path)
    assert "calibration_points" not in scan.metadata
    assert "XRF/CalibrationPoints is float64 of shape (2, 3), and is ignored" in scan.notes[0]


# --- what the HDF5 library does not survive -------------------------------------------------------
@pytest.fixture
def crashing(monkeypatch, tmp_path):
    """Let the process that reads first end as if HDF5 had crashed in it."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(probes.sys, "executable", str(program))


@pytest.mark.skipif(sys.platform == "win32", reason="the program that crashes is a shell script")
@pytest.mark.parametrize("command", ["report", "convert"])
def test_a_crash_of_hdf5_ends_the_command_with_a_sentence(crashing, tmp_path, capsys, command):
    """A segmentation fault is no exception: it has to happen to another process."""
    del crashing
    path = files.write_crono(tmp_path / "scan.HDF5")
    assert main([command, str(path)]) == 1
    said = capsys.readouterr().err
    assert "the HDF5 library does not survive: reading it ended with SIGSEGV" in said


def test_an_exception_of_the_other_process_is_no_crash(monkeypatch):
    """It is met again by whoever reads the file next, and a bug of ours is not the file's fault."""
    expected = report_apart(files.REFERENCE)
    monkeypatch.setattr(probes.sys, "executable", shutil.which("false"))
    assert report_apart(files.REFERENCE) == expected
    probe_crono(files.REFERENCE)


def test_reading_that_does_not_end_is_ended(monkeypatch, tmp_path):
    """A damaged heap may lead HDF5 in circles."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(probes.sys, "executable", str(program))
    with pytest.raises(CronoFileError, match=r"does not end within 0\.3 s"):
        probe_crono(tmp_path / "a.HDF5", seconds=0.3)


def test_a_file_that_is_read_apart_gives_the_same_report(tmp_path):
    """And one that is no scan the same error."""
    assert report_apart(files.REFERENCE).splitlines()[0] == "crono-12x9.HDF5"
    with pytest.raises(CronoFileError, match="does not exist; check the folder"):
        report_apart(tmp_path / "none.HDF5")
    probe_crono(files.REFERENCE)
    probe_crono(tmp_path / "none.HDF5")  # whoever reads it next says so


# --- cubes of other programs ----------------------------------------------------------------------
def test_what_stands_in_a_header_is_shown_short_and_printable(tmp_path):
    """A message goes to a terminal, whatever the file holds."""
    path = tmp_path / "a.rpl"
    path.write_text("width " + "9" * 5000 + "\ndata-type \x1b[2J\n")
    with pytest.raises(CronoFileError) as caught:
        read_rpl(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


# --- beside the scan ------------------------------------------------------------------------------
def test_a_kept_photo_of_any_kind_is_told(tmp_path):
    """A list cannot be looked up in a table, and has to be refused before."""
    photo = {"name": "a.png", "size": [3, 2], "kind": ["affine"], "points": []}
    scan = tmp_path / "scan.zipstore"
    sidecar_path(scan).write_text(json.dumps({"version": 1, "photo": photo}))
    with pytest.raises(ParameterError, match="not as expected"):
        kept_photo(scan)


def test_what_a_sidecar_says_is_not_repeated_at_length(tmp_path):
    """Its version may be a text of any length."""
    scan = tmp_path / "scan.zipstore"
    sidecar_path(scan).write_text(json.dumps({"version": "x" * 10_000}))
    with pytest.raises(ParameterError, match="its version is") as caught:
        read_sidecar(scan)
    assert len(str(caught.value)) < 1000
