"""A repair makes a store what it was, number for number, or leaves it as it is and says why."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_stores import damage_entry, left_behind, rewrite_store

from maxrf_core import OutputError, ZipstoreError, blocks, check_zipstore, convert_crono, pipeline
from maxrf_core import repair as repair_module
from maxrf_core.layout import chunk_key
from maxrf_core.recovered_counts import in_ranges
from maxrf_core.repair import repair_zipstore
from maxrf_core.schema import (
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    CUBE,
    ENERGIES,
    POSITIONS,
    ROI_ENERGIES,
    SELECTED,
    SPECTRA_LIVE_TIMES,
)
from maxrf_core.store import StoreReader

NOWHERE_ELSE = (ENERGIES, POSITIONS, SELECTED)
LEFT_OUT = ("spectra/live_times", "spectra/real_times", "spectra/timestamps", ROI_ENERGIES)


@pytest.fixture(scope="module", autouse=True)
def _many_chunks():
    """Cut small scans into many chunks: 3 blocks, 10 chunks of spectra, 6 tiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SPECTRA_PER_CHUNK", 8)
        patch.setattr(blocks, "SPECTRA_PER_TASK", 16)
        patch.setattr(blocks, "LONGEST_BLOCK", 32)
        patch.setattr(pipeline, "CUBE_TILE", 3)
        yield


@pytest.fixture(scope="module")
def store(made, _many_chunks, tmp_path_factory):
    """Return `made` with float cubes, in many chunks."""
    output = tmp_path_factory.mktemp("store") / "scan.zipstore"
    return Path(convert_crono(made.path, output=output, progress=False))


@pytest.fixture
def damaged(store, tmp_path):
    """Return a copy of the store, to be damaged."""
    return Path(shutil.copy(store, tmp_path / "scan.zipstore"))


def repair(path):
    return repair_zipstore(path, progress=False)


def keys_of(store):
    with zipfile.ZipFile(store) as archive:
        return archive.namelist()


def chunks_of(store):
    return [key for key in keys_of(store) if not key.rpartition("/")[2].startswith(".")]


def arrays_of(store):
    return sorted({key.rpartition("/")[0] for key in chunks_of(store)})


def test_a_whole_store_comes_out_the_same_byte_for_byte(store, damaged):
    """What is repaired for nothing is not changed."""
    repair(damaged)
    assert damaged.read_bytes() == store.read_bytes()
    assert left_behind(damaged.parent) == ["scan.zipstore"]


def test_every_array_that_others_tell_is_made_anew_byte_for_byte(store, damaged):
    """Its first chunk and its last in turn; nothing else of the file changes."""
    for name in arrays_of(store):
        if name in (*NOWHERE_ELSE, *LEFT_OUT):
            continue
        of_array = [key for key in chunks_of(store) if key.rpartition("/")[0] == name]
        for key in {of_array[0], of_array[-1]}:
            shutil.copy(store, damaged)
            damage_entry(damaged, key)
            assert not check_zipstore(damaged, progress=False).is_whole, key
            report = repair(damaged)
            assert any(name in sentence for sentence in report.repaired), key
            assert report.lost == ()
            assert damaged.read_bytes() == store.read_bytes(), key


def test_every_description_that_others_tell_is_made_anew(store, damaged):
    """Shapes, chunks and attributes follow from the others; the root's do not."""
    for key in keys_of(store):
        name, _, entry = key.rpartition("/")
        if not entry.startswith(".") or key == ".zattrs":
            continue
        shutil.copy(store, damaged)
        damage_entry(damaged, key)
        report = repair(damaged)
        if name == ROI_ENERGIES and entry == ".zattrs":  # the names of the regions
            assert report.lost == (
                "the names in rois/energies are lost: its regions are numbered.",
            )
            continue
        assert damaged.read_bytes() == store.read_bytes(), key
        assert report.lost == ()


@pytest.mark.parametrize("name", [*NOWHERE_ELSE, ".zattrs"])
def test_what_stands_nowhere_else_is_told_and_the_file_left_alone(store, damaged, name):
    """No number is made up."""
    damage_entry(damaged, name if name == ".zattrs" else next(
        key for key in chunks_of(store) if key.startswith(f"{name}/")
    ))  # fmt: skip
    before = damaged.read_bytes()
    with pytest.raises(ZipstoreError, match=r"Convert the scan again") as caught:
        repair(damaged)
    assert name in str(caught.value)
    assert damaged.read_bytes() == before
    assert left_behind(damaged.parent) == ["scan.zipstore"]


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_scan_can_do_without_is_left_out_and_told(store, damaged, name):
    """Without the times of its spectra a scan opens all the same; with damaged ones it does not."""
    damage_entry(damaged, f"{name}/{'0.0' if name == ROI_ENERGIES else '0'}")
    report = repair(damaged)
    assert report.lost == (f"{name} is lost, and no other array tells it: it was left out.",)
    assert check_zipstore(damaged, progress=False).is_whole
    with StoreReader(damaged) as repaired, StoreReader(store) as whole:
        assert (name in repaired) == (name == ROI_ENERGIES)
        for other in set(arrays_of(store)) - {name}:
            np.testing.assert_array_equal(repaired.read_array(other), whole.read_array(other))


def test_lost_spectra_are_named_and_taken_from_the_counts_by_channel(store, damaged):
    """The user learns which; their counts are those that were measured."""
    for chunk in (1, 2, 9):
        damage_entry(damaged, chunk_key(COUNTS_BY_SPECTRUM, (chunk, 0)))
    report = repair(damaged)
    assert report.repaired == (
        "the counts of spectra 8 to 23 and 72 to 76 were taken from counts/by_channel.",
        "counts/by_spectrum: 3 of 10 chunks were made anew.",
    )
    assert damaged.read_bytes() == store.read_bytes()


def test_a_whole_table_of_counts_is_made_from_the_other(store, damaged):
    """All of either, with its description and all that is added up from it."""
    for name in (COUNTS_BY_SPECTRUM, COUNTS_BY_CHANNEL):
        shutil.copy(store, damaged)
        for key in keys_of(store):
            if key.startswith((f"{name}/", f"{COUNTS_CUMULATIVE}/", "blocks/", "spectra/total")):
                damage_entry(damaged, key)
        repair(damaged)
        with StoreReader(damaged) as repaired, StoreReader(store) as whole:
            for other in arrays_of(store):
                np.testing.assert_array_equal(repaired.read_array(other), whole.read_array(other))


def test_counts_that_no_table_has_are_named_and_not_made_up(damaged):
    """Spectra 8 to 15 by spectrum, and channels 16 to 31 of spectra 0 to 31 by channel."""
    damage_entry(damaged, chunk_key(COUNTS_BY_SPECTRUM, (1, 0)))
    damage_entry(damaged, chunk_key(COUNTS_BY_CHANNEL, (1, 0)))
    before = damaged.read_bytes()
    with pytest.raises(ZipstoreError, match=r"spectra 8 to 15 in channels 16 to 31 are lost"):
        repair(damaged)
    assert damaged.read_bytes() == before
    assert left_behind(damaged.parent) == ["scan.zipstore"]


@pytest.mark.parametrize("name", [COUNTS_BY_SPECTRUM, COUNTS_BY_CHANNEL, COUNTS_CUMULATIVE])
def test_of_tables_that_differ_the_sums_tell_which_is_right(store, tmp_path, name):
    """With right checksums, as a program would leave them that wrote a wrong number."""

    def bump(values):
        values[values.shape[0] // 2, values.shape[1] // 2] += 1
        return values

    path = rewrite_store(store, tmp_path / "scan.zipstore", {name: bump})
    assert not check_zipstore(path, progress=False).is_whole
    repair(path)
    with StoreReader(path) as repaired, StoreReader(store) as whole:
        for other in arrays_of(store):
            np.testing.assert_array_equal(repaired.read_array(other), whole.read_array(other))


def test_a_difference_that_nothing_settles_is_told(store, tmp_path):
    """Two counts of a spectrum that changed places within a group have the sum they had."""

    def swap(values):
        row = values[38, 17:19].copy()
        assert row[0] != row[1]
        values[38, 17:19] = row[::-1]
        return values

    path = rewrite_store(store, tmp_path / "scan.zipstore", {COUNTS_BY_SPECTRUM: swap})
    before = path.read_bytes()
    with pytest.raises(ZipstoreError, match="spectra 38 in channels 16 to 31 differ between"):
        repair(path)
    assert path.read_bytes() == before


# --- the zip itself ---------------------------------------------------------------------------


def directory_start(path):
    with zipfile.ZipFile(path) as archive:
        return archive.start_dir


def test_a_zip_without_its_directory_is_made_whole(store, damaged):
    """A copy that was cut short in its last bytes, or within the directory, or before."""
    start, data = directory_start(store), store.read_bytes()
    for stop in (start, start + 1, (start + len(data)) // 2, len(data) - 1):
        damaged.write_bytes(data[:stop])
        assert not check_zipstore(damaged, progress=False).is_whole
        report = repair(damaged)
        assert report.repaired[0] == (
            "the zip's directory was made anew from the entries' own headers."
        )
        assert damaged.read_bytes() == data


def test_a_zip_that_lost_its_last_entries_too_is_made_whole(store, damaged):
    """They are the cube and its mean: derived."""
    data = store.read_bytes()
    with zipfile.ZipFile(store) as archive:
        cut = archive.getinfo(f"{CUBE}/1.1.0").header_offset + 99
    damaged.write_bytes(data[:cut])
    repair(damaged)
    assert damaged.read_bytes() == data


def test_damaged_headers_and_directory_entries_are_made_anew(store, damaged):
    """Every byte of a header and of its entry in the directory, of what stands nowhere else."""
    data, key = store.read_bytes(), chunk_key(POSITIONS, (0, 0))
    with zipfile.ZipFile(store) as archive:
        header = archive.getinfo(key).header_offset
        listed = data.index(key.encode(), archive.start_dir) - 46
    for offset in (*range(header, header + 30 + len(key)), *range(listed, listed + 46)):
        changed = bytearray(data)
        changed[offset] ^= 0x11
        damaged.write_bytes(changed)
        repair(damaged)
        assert damaged.read_bytes() == data, offset - header


def test_a_wrong_length_costs_one_entry_where_there_is_no_directory(store, damaged):
    """Of the header alone nobody knows where the next one begins: it is looked for."""
    data = bytearray(store.read_bytes())
    with zipfile.ZipFile(store) as archive:
        header = archive.getinfo(chunk_key(COUNTS_BY_CHANNEL, (2, 1))).header_offset
        stop = archive.start_dir
    for byte in (0x01, 0x70):
        data[header + 19] ^= byte  # of the packed length: beyond the next headers, or the file
        data[header + 23] ^= byte
        damaged.write_bytes(data[:stop])
        repair(damaged)
        assert damaged.read_bytes() == store.read_bytes()


def test_bytes_lost_in_the_middle_cost_no_entry_behind_them(store, damaged):
    """Every entry behind lies elsewhere than the directory says."""
    data = store.read_bytes()
    with zipfile.ZipFile(store) as archive:
        middle = archive.getinfo(chunk_key(COUNTS_CUMULATIVE, (2, 1))).header_offset + 150
    damaged.write_bytes(data[:middle] + data[middle + 40 :])
    repair(damaged)
    assert damaged.read_bytes() == data


@pytest.mark.parametrize("content", [b"", b"x,y\n", b"PK\3\4" * 40])
def test_what_is_no_zipstore_is_told(damaged, content):
    """An empty file, and others that have nothing to save."""
    damaged.write_bytes(content)
    with pytest.raises(ZipstoreError, match=r"cannot read|name no schema"):
        repair(damaged)
    assert damaged.read_bytes() == content


def test_chunks_of_another_length_than_is_written_now_stay(store, damaged, monkeypatch):
    """A store of another version is not cut anew."""
    monkeypatch.setattr(blocks, "SPECTRA_PER_CHUNK", 128)
    monkeypatch.setattr(blocks, "SPECTRA_PER_TASK", 1024)
    monkeypatch.setattr(blocks, "LONGEST_BLOCK", 2**18)
    damage_entry(damaged, chunk_key(COUNTS_BY_SPECTRUM, (1, 0)))
    repair(damaged)
    assert damaged.read_bytes() == store.read_bytes()


# --- of another version -----------------------------------------------------------------------


def test_the_interpolation_of_another_version_is_kept(store, tmp_path):
    """A repair changes no map: this version may make other weights."""
    weights = "operator/kriging/weights"

    def other(attributes):
        attributes["program"] = "maxrf-dashboard 0.0.9"

    def swap(values):
        values[:2] = values[1::-1]
        return values

    path = rewrite_store(store, tmp_path / "scan.zipstore", {weights: swap}, other)
    damage_entry(path, f"{CUBE}/0.0.0")
    repair(path)
    with StoreReader(path) as repaired, StoreReader(store) as whole:
        np.testing.assert_array_equal(
            repaired.read_array(weights), swap(whole.read_array(weights).copy())
        )
    damage_entry(path, "operator/kriging/indptr/0")
    repair(path)
    with StoreReader(path) as repaired, StoreReader(store) as whole:
        np.testing.assert_array_equal(repaired.read_array(weights), whole.read_array(weights))


def test_floats_that_were_rounded_otherwise_are_kept(store, tmp_path):
    """Another machine adds up in another order; a repair changes nothing that is right."""

    def round_otherwise(values):
        return np.nextafter(values, np.float32(np.inf))

    path = rewrite_store(store, tmp_path / "scan.zipstore", {CUBE: round_otherwise})
    damage_entry(path, f"{CUBE}/0.0.0")
    report = repair(path)
    assert report.repaired == ("maxrf_cube: 1 of 6 chunks were made anew.",)
    with StoreReader(path) as repaired, StoreReader(store) as whole:
        found, before = repaired.read_array(CUBE), whole.read_array(CUBE)
    np.testing.assert_array_equal(found[:3, :3], before[:3, :3])
    np.testing.assert_array_equal(found[3:], round_otherwise(before[3:]))


def test_wrong_weights_of_this_version_are_made_anew(store, tmp_path):
    """They follow from the positions, and the cube from them."""
    path = rewrite_store(
        store, tmp_path / "scan.zipstore", {"operator/kriging/weights": lambda w: w * 2}
    )
    repair(path)
    assert check_zipstore(path, progress=False).is_whole
    with StoreReader(path) as repaired, StoreReader(store) as whole:
        np.testing.assert_array_equal(
            repaired.read_array("operator/kriging/weights"),
            whole.read_array("operator/kriging/weights"),
        )


# --- the old file stays -----------------------------------------------------------------------


def test_a_file_that_was_changed_meanwhile_is_left_alone(damaged, monkeypatch):
    """As by a conversion that replaced it."""

    def check_and_change(*arguments, **options):
        damaged.write_bytes(b"another")
        return check_zipstore(*arguments, **options)

    monkeypatch.setattr(repair_module, "check_zipstore", check_and_change)
    damage_entry(damaged, f"{CUBE}/0.0.0")
    with pytest.raises(OutputError, match="was changed during its repair"):
        repair(damaged)
    assert damaged.read_bytes() == b"another"
    assert left_behind(damaged.parent) == ["scan.zipstore"]


def test_what_the_check_refuses_is_not_put_in_place(store, tmp_path):
    """Times below zero are whole, and wrong: the repair does not help, and says so."""
    path = rewrite_store(
        store, tmp_path / "scan.zipstore", {SPECTRA_LIVE_TIMES: lambda times: -times}
    )
    before = path.read_bytes()
    with pytest.raises(ZipstoreError, match=r"as it was: spectra/live_times: spectrum 0"):
        repair(path)
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["scan.zipstore"]


def test_a_repair_that_is_stopped_leaves_nothing(damaged):
    """As by Ctrl-C, at its beginning and at its end."""
    damage_entry(damaged, f"{CUBE}/0.0.0")
    before = damaged.read_bytes()
    for stage in ("spectra", "check"):

        def stop(step, stage=stage):
            if step.stage == stage and step.done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            repair_zipstore(damaged, progress=stop)
        assert damaged.read_bytes() == before
        assert left_behind(damaged.parent) == ["scan.zipstore"]


def test_a_folder_is_not_repaired(tmp_path):
    """Nor is a URL: only a file can be replaced whole."""
    with pytest.raises(ZipstoreError, match="no file on this machine"):
        repair(tmp_path)
    with pytest.raises(ZipstoreError, match="no file on this machine"):
        repair("https://example.org/scan.zipstore")


def test_a_lean_store_is_repaired_without_making_cubes(made, tmp_path, monkeypatch):
    """And one of another orientation, spacing and method comes out as it was."""
    monkeypatch.setattr(blocks, "SPECTRA_PER_TASK", 1024)
    monkeypatch.setattr(blocks, "LONGEST_BLOCK", 2**18)
    options = {"method": "linear", "orientation": "image", "spacing": (900.0, 650.0)}
    path = Path(convert_crono(made.path, output=tmp_path, cubes=False, progress=False, **options))
    before = path.read_bytes()
    damage_entry(path, chunk_key(COUNTS_BY_SPECTRUM, (0, 0)))
    damage_entry(path, "operator/linear/indices/0")
    repair(path)
    assert path.read_bytes() == before


def test_numbers_are_told_in_ranges():
    """Some thousand spectra make no sentence of some thousand numbers."""
    assert in_ranges(np.array([3])) == "3"
    assert in_ranges(np.array([3, 8, 9, 10, 77])) == "3, 8 to 10 and 77"
    assert in_ranges(np.arange(0, 40, 2)) == "0, 2, 4, 6 and 16 more ranges"
