"""A check finds every kind of damage, says where it is, and lets what is whole pass."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_stores import entry_span, rewrite_store, unpack

from maxrf_core import CronoFileError, blocks, check_cubes, check_zipstore, convert_crono, pipeline
from maxrf_core.faults import KEPT
from maxrf_core.schema import (
    ALL_SPECTRA,
    BLOCK_MAX,
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    CUBE,
    ENERGIES,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
    SPECTRA_TIMESTAMPS,
)
from maxrf_core.store import StoreReader


@pytest.fixture(scope="module")
def store(made, tmp_path_factory):
    """Return `made` with float cubes, in many chunks: 3 blocks, 10 chunks of spectra, 6 tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SPECTRA_PER_CHUNK", 8)
        patch.setattr(blocks, "SPECTRA_PER_TASK", 16)
        patch.setattr(blocks, "LONGEST_BLOCK", 32)
        patch.setattr(pipeline, "CUBE_TILE", 3)
        output = tmp_path_factory.mktemp("store") / "scan.zipstore"
        return Path(convert_crono(made.path, output=output, progress=False))


@pytest.fixture
def rewritten(store, tmp_path):
    """Return a function that writes the store anew, changed, with right checksums.

    `arrays` changes the values of arrays, `attributes` those of the root in place.
    """

    def rewrite(arrays=None, attributes=lambda _: None, of_arrays=None):
        path = tmp_path / "changed.zipstore"
        return rewrite_store(store, path, arrays or {}, attributes, of_arrays)

    return rewrite


def check(location, **options):
    return check_zipstore(location, progress=False, **options)


def sentences(report):
    """Return the faults of a report in one text, each of which is a sentence."""
    assert not report.is_whole
    assert report.fault_count >= len(report.faults) > 0
    assert not [fault for fault in report.faults if "\n" in fault or "Traceback" in fault]
    return "\n".join(report.faults)


def flip(path, offset, mask=0x10):
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def bump(values):
    """Return an array with one value changed, in the middle."""
    changed = values.copy()
    changed[tuple(size // 2 for size in values.shape)] += 1
    return changed


# --- what is whole ----------------------------------------------------------------------------


def test_a_whole_store_passes_and_says_what_it_holds(store, made):
    """One line for the log of a night's copying."""
    report = check(store, source=made.path)
    assert report.faults == ()
    assert report.notes == ()
    assert report.summary == (
        f"scan.zipstore is whole: 77 spectra, {report.chunks} chunks, "
        f"{store.stat().st_size / 1e3:,.0f} kB, counts equal to scan.HDF5"
    )
    with zipfile.ZipFile(store) as archive:
        entries = [name.rpartition("/")[2] for name in archive.namelist()]
    assert report.chunks == sum(not entry.startswith(".") for entry in entries)


@pytest.mark.parametrize("fixture", ["lean_zipstore", "full_zipstore"])
def test_stores_with_and_without_cubes_pass(request, fixture):
    """Also with chunks of the usual length."""
    report = check(request.getfixturevalue(fixture))
    assert (report.faults, report.notes, report.source) == ((), (), None)


@pytest.mark.parametrize("orientation", ["motor", "vendor", "image"])
@pytest.mark.parametrize("spacing", ["vendor", "square", 700, (900, 650)])
@pytest.mark.parametrize("method", ["selected", "linear"])
def test_every_conversion_passes(make_scan, tmp_path, orientation, spacing, method):
    """Flipped scans, other grids and orientations: the check knows them all."""
    made = make_scan((4, 7), flip=(True, True), bare=True, channels=17)
    options = {"orientation": orientation, "spacing": spacing, "method": method, "sigma": 1.5}
    path = convert_crono(made.path, output=tmp_path, progress=False, **options)
    report = check(path, source=made.path)
    assert (report.faults, report.notes) == ((), ())


def test_folders_and_urls_pass(store, tmp_path):
    """A store is checked where it lies."""
    folder = unpack(store, tmp_path / "folder")
    assert check(folder).faults == ()
    files = fsspec.filesystem("memory")
    files.put(str(store), "/check/scan.zipstore")
    files.put(str(folder), "/check/folder", recursive=True)
    for name in ("scan.zipstore", "folder"):
        report = check(f"memory://check/{name}")
        assert (report.faults, report.size) == ((), None)
        assert "77 spectra" in report.summary


def test_what_does_not_belong_is_a_note(store, tmp_path):
    """A note of a colleague's in the folder does no harm."""
    folder = unpack(store, tmp_path / "folder")
    (folder / "counts" / "readme.txt").write_text("hello")
    report = check(folder)
    assert report.is_whole
    assert report.notes == ("it holds what no zipstore needs: 'counts/readme.txt'.",)
    (folder / "counts" / "0.0").write_text("hello")
    (note,) = check(folder).notes
    assert note == "it holds what no zipstore needs: 'counts/0.0' and 1 more."


def test_a_copy_of_the_scan_is_noted_as_such(store, made, tmp_path):
    """Another time of modification, but the same counts: worth a note, no more."""
    copy = Path(shutil.copy(made.path, tmp_path / "scan.HDF5"))
    os.utime(copy, (1, 1))
    report = check(store, source=copy)
    assert report.is_whole
    (note,) = report.notes
    assert note.startswith("scan.HDF5: its modification time in ns is 1000000000; the zipstore")


# --- damage -----------------------------------------------------------------------------------


def test_a_flipped_byte_is_found_in_every_entry(store, tmp_path):
    """The checksum of each entry is compared, whatever it holds."""
    with zipfile.ZipFile(store) as archive:
        infos = [info for info in archive.infolist() if info.file_size]
    # one entry of each array, and all descriptions
    keys = {
        info.filename.rpartition("/")[0] + info.filename[-8:-1]: info.filename for info in infos
    }
    path = tmp_path / "damaged.zipstore"
    for key in keys.values():
        shutil.copy(store, path)
        start, stop = entry_span(path, key)
        flip(path, (start + stop) // 2)
        assert f"damaged at entry {key!r}" in sentences(check(path)), key


def test_an_entry_that_is_missing_is_found(store, tmp_path):
    """Every one: description, chunk, or that of a group."""
    folder = unpack(store, tmp_path / "folder")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        kept = file.read_bytes()
        file.unlink()
        key = file.relative_to(folder).as_posix()
        name = key.rpartition("/")[0]
        found = sentences(check(folder))
        assert key in found or f"no array {name}" in found, key
        file.write_bytes(kept)
    assert check(folder).is_whole


def arrays_in_chunks(store):
    with StoreReader(store) as reader:
        return [n for n in reader.array_names() if np.prod(reader.layout(n).chunk_counts) > 1]


def test_two_chunks_that_changed_places_are_found(store, tmp_path):
    """In a folder nothing but their contents tells."""
    folder = unpack(store, tmp_path / "folder")
    names = arrays_in_chunks(store)
    assert {COUNTS_BY_SPECTRUM, COUNTS_BY_CHANNEL, COUNTS_CUMULATIVE, ALL_SPECTRA, CUBE} < {*names}
    for name in names:
        dimensions = len(StoreReader(folder).layout(name).shape)
        last = StoreReader(folder).layout(name).chunk_counts[0] - 1
        first, second = (
            folder / name / ".".join([str(i), *["0"] * (dimensions - 1)]) for i in (0, last)
        )
        contents = first.read_bytes(), second.read_bytes()
        first.write_bytes(contents[1])
        second.write_bytes(contents[0])
        found = sentences(check(folder))
        assert f"{name}: " in found or name == COUNTS_BY_SPECTRUM, name  # then all others differ
        first.write_bytes(contents[0])
        second.write_bytes(contents[1])


def test_one_changed_value_of_any_array_is_found(store, rewritten, made):
    """With right checksums; the scan tells what the store itself cannot."""
    with StoreReader(store) as reader:
        names = reader.array_names()
    for name in names:
        found = sentences(check(rewritten({name: bump}), source=made.path))
        # which spectra a cell takes, the cube tells; how many, the weights
        told_by = {"operator/kriging/indices": CUBE, "operator/kriging/indptr": "operator/kriging"}
        assert told_by.get(name, name) in found, name


@pytest.mark.parametrize("name", [COUNTS_BY_CHANNEL, COUNTS_CUMULATIVE, COUNTS_BY_SPECTRUM, CUBE])
def test_counts_that_disagree_are_told_with_their_place(rewritten, name):
    """Without the scan, and with right checksums: the tables are held against each other."""
    found = sentences(check(rewritten({name: bump})))
    assert {
        COUNTS_BY_CHANNEL: "counts/by_channel: channel 25 of spectrum 38 is ",
        COUNTS_CUMULATIVE: "counts/cumulative: row 2 of spectrum 38 is ",
        COUNTS_BY_SPECTRUM: "counts/by_channel: channel 25 of spectrum 38 is ",
        CUBE: "maxrf_cube: row 3, column 2, channel 25 is ",
    }[name] in found


def test_all_spectra_of_a_wrong_channel_are_one_fault_a_chunk(rewritten):
    """A store that is wrong throughout is told in twenty sentences and a number."""
    report = check(rewritten({COUNTS_BY_CHANNEL: lambda values: values + np.uint16(1)}))
    assert report.fault_count == 12  # 4 groups of channels in 3 blocks
    assert "(512 values there differ)" in report.faults[0]
    report = check(rewritten({COUNTS_BY_SPECTRUM: lambda values: values + np.uint16(1)}))
    assert len(report.faults) == KEPT < report.fault_count
    assert report.summary == (
        f"changed.zipstore has {report.fault_count} faults; the first 20 are shown."
    )


def test_wrong_weights_and_indices_of_the_interpolation_are_found(rewritten):
    """They make every map."""
    kriging = "operator/kriging"
    doubled = rewritten({f"{kriging}/weights": lambda values: values * np.float32(2)})
    assert "those of cell (0, 0) sum to 2; expected 1 (35 of 35 cells are wrong)." in sentences(
        check(doubled)
    )
    nan = rewritten({f"{kriging}/weights": lambda values: values * np.float32(np.nan)})
    assert "sum to nan" in sentences(check(nan))
    far = rewritten({f"{kriging}/indices": lambda values: values + 77})
    assert "expected 0 to 76" in sentences(check(far))
    uncut = rewritten({f"{kriging}/indptr": lambda values: values[::-1].copy()})
    assert "does not cut the" in sentences(check(uncut))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (POSITIONS, np.nan, "spectra/positions: spectrum 0 is at [nan"),
        (SELECTED, 77, "grid/selected_index: row 0, column 0 is 77; expected 0 to 76"),
        (SELECTED, -1, "is -1; expected"),
        (ENERGIES, np.inf, "maxrf_energies: channel 0 has inf keV"),
        (ENERGIES, 5.0, "maxrf_energies: channel 1 does not lie above"),
        (SPECTRA_LIVE_TIMES, 0.0, "spectra/live_times: spectrum 0 has 0.0 s"),
        (SPECTRA_TIMESTAMPS, np.nan, "spectra/timestamps: spectrum 0 has nan s"),
    ],
)
def test_values_that_make_no_sense_are_found(rewritten, name, value, sentence):
    """Without the scan they came from."""

    def change(values):
        changed = values.astype(np.float64 if name == POSITIONS else values.dtype)
        changed[(0,) * values.ndim] = value
        return changed

    assert sentence in sentences(check(rewritten({name: change})))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda a: a["parameters"].update(sigma=8.0), "sigma_channels = 7.0; expected 8.0"),
        (lambda a: a["parameters"].update(method="linear"), "no array operator/linear/indptr"),
        (lambda a: a["parameters"].update(method="cubic"), "description of the scan is damaged"),
        (lambda a: a["parameters"].update(orientation="image"), "orientation = 'motor'; expected"),
        (lambda a: a["parameters"].update(cubes=False), "the conversion was lean"),
        (lambda a: a["parameters"].update(spacing="square"), "names the grid|name the grid"),
        (lambda a: a["grid"].update(x0=1.0), "name the grid"),
        (lambda a: a["vendor_grid"].update(dx=999.0), "name the grid"),
        (
            lambda a: (a["vendor_grid"].update(x0=0.0), a["grid"].update(x0=0.0)),
            "name the vendor's grid",
        ),
        (lambda a: a.pop("metadata"), "damaged"),
        (lambda a: a["source"].pop("size"), "damaged"),
        (lambda a: a.update(schema_version=99), "newer version of this program (schema 99)"),
    ],
)
def test_a_changed_attribute_of_the_root_is_found(rewritten, change, sentence):
    """They say how all the rest is meant."""
    found = sentences(check(rewritten(attributes=change)))
    assert any(part in found for part in sentence.split("|"))


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        (COUNTS_CUMULATIVE, {"channels_per_row": 8}),
        (ENERGIES, {"units": "eV"}),
        (CUBE, {"method": "linear"}),
        (ROI_ENERGIES, {"names": []}),
    ],
)
def test_a_changed_attribute_of_an_array_is_found(rewritten, name, attributes):
    """Other programs go by them."""
    assert f"{name} has the" in sentences(check(rewritten(of_arrays={name: attributes})))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        (POSITIONS, lambda v: v[:-1], "has shape (76, 3); expected (77, any)"),
        (BLOCK_MAX, lambda v: v[:-1], "has shape (2, 50); expected (3, 50)"),
        (COUNTS_BY_CHANNEL, lambda v: v.astype(np.uint32), "has dtype uint32; expected uint16"),
        (ENERGIES, lambda v: v.astype(np.float64), "has dtype float64; expected float32"),
        (COUNTS_CUMULATIVE, lambda v: v[1:], "has shape (4, 77); expected (5, 77)"),
    ],
)
def test_shapes_and_dtypes_that_do_not_fit_are_found(rewritten, name, change, sentence):
    """Each array follows from the number of spectra, channels and cells."""
    report = check(rewritten({name: change}))
    assert f"{name} {sentence}" in sentences(report)


# --- the scan it was made from ----------------------------------------------------------------


def test_another_scan_of_the_same_size_is_found(store, make_scan):
    """As when two files of one name were mixed up."""
    other = make_scan(mean=2.5)
    found = sentences(check(store, source=other.path))
    assert "counts/by_spectrum: spectrum 0, channel " in found
    assert "; scan.HDF5 has " in found


def test_a_selection_that_runs_the_other_way_is_found(rewritten, made):
    """Only the scan tells which way its own rows ran."""
    path = rewritten(attributes=lambda a: a["vendor_grid"].update(rows_flipped=True))
    found = sentences(check(path, source=made.path))
    assert "grid/selected_index: number (0, 0) is 3; scan.HDF5 has 69" in found


def test_a_scan_of_another_size_is_told_in_one_sentence(store, make_scan):
    """Its counts cannot be compared one by one."""
    report = check(store, source=make_scan((5, 6)).path)
    (fault,) = report.faults
    assert fault == (
        "it holds 77 spectra of 50 channels; scan.HDF5 has 60 of 50: it was made from another scan."
    )


def test_times_that_only_one_of_them_has_are_found(store, make_scan):
    """The instrument's file was stripped, or the store is of an older one."""
    found = sentences(check(store, source=make_scan(bare=True).path))
    assert "scan.zipstore has spectra/live_times, and scan.HDF5 has not." in found


def test_a_scan_that_cannot_be_read_is_an_error_of_its_own(store, tmp_path):
    """The store may be whole all the same."""
    with pytest.raises(CronoFileError, match="does not exist"):
        check(store, source=tmp_path / "nowhere.HDF5")


# --- what is no store, and how it goes on -----------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Path.exists, "there is no file"),
        (lambda path: path.write_text("x,y"), "is not a whole zipstore"),
        (lambda path: path.mkdir(), "a folder without .zattrs"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "name no schema"),
    ],
)
def test_what_is_no_store_is_one_fault(tmp_path, make, sentence):
    """A report like any other, so that a script needs to look at one thing only."""
    path = tmp_path / "scan.zipstore"
    make(path)
    report = check(path)
    assert sentence in sentences(report)
    assert report.summary == f"{report.name} has 1 fault."


def test_tiles_that_are_not_computed_are_said(store, rewritten, monkeypatch):
    """Nobody shall think that all were; their mean and maximum are held against the cube's."""
    monkeypatch.setattr(check_cubes, "TILES_COMPUTED", 2)
    report = check(store)
    assert report.is_whole
    (note,) = report.notes
    assert note == (
        "2 of the 6 tiles of maxrf_cube were computed anew, evenly spread from (0, 0) to (2, 1); "
        "all were read."
    )
    assert "maxrf_sum_spectrum: channel 25" in sentences(check(rewritten({CUBE: bump})))


def test_progress_counts_chunks_to_the_end(store):
    """Never back, never beyond, and to the end."""
    steps = []
    check_zipstore(store, progress=steps.append)
    done = [step.done for step in steps]
    assert {(step.stage, step.total) for step in steps} == {("check", steps[0].total)}
    assert done == sorted(done)
    assert done[-1] == steps[0].total


def test_a_report_that_raises_ends_the_check(store):
    """So does Ctrl-C."""

    def stop(step):
        if step.fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_zipstore(store, progress=stop)


# --- any byte ---------------------------------------------------------------------------------


def bytes_without_meaning(path):
    """Return which bytes of a zip no reader of a zipstore goes by: times, versions, permissions.

    In the headers before entries (APPNOTE.TXT, 4.3.7): the version needed, time, date, and the
    extra field, which has a checksum of the name for resuming a conversion. In the directory
    (4.3.12): versions, time, date, the number of a disk, attributes. At the end (4.3.16): the
    numbers of disks and entries, and the length of a comment.
    """
    data = path.read_bytes()
    free = np.zeros(len(data), dtype=bool)

    def mark(start, *spans):
        for first, last in spans:
            free[start + first : start + last] = True

    with zipfile.ZipFile(path) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    for info in infos:
        at = info.header_offset
        name, extra = (int.from_bytes(data[at + i : at + i + 2], "little") for i in (26, 28))
        mark(at, (4, 6), (10, 14), (30 + name, 30 + name + extra))
    at = directory
    while data[at : at + 4] == b"PK\1\2":
        name, extra, comment = (
            int.from_bytes(data[at + i : at + i + 2], "little") for i in (28, 30, 32)
        )
        mark(at, (4, 8), (12, 16), (34, 42))
        at += 46 + name + extra + comment
    assert data[at : at + 4] == b"PK\5\6"
    mark(at, (4, 12), (20, 22))
    return free


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_is_found_or_has_no_meaning(lean_zipstore, tmp_path, data):
    """Whatever a bad disk or cable does: one sentence each, and never a traceback."""
    free = bytes_without_meaning(lean_zipstore)
    path = tmp_path / "damaged.zipstore"
    shutil.copy(lean_zipstore, path)
    offset = data.draw(st.integers(0, len(free) - 1))
    flip(path, offset, data.draw(st.integers(1, 255)))
    report = check(path)
    assert free[offset] or not report.is_whole
    if not report.is_whole:
        sentences(report)
