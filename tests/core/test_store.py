"""The zipstore: written whole or not at all, readable by anybody, and honest about damage."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import struct
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_stores import ATTRIBUTES, VALUES, left_behind, write_store
from zarr.storage import ZipStore

from maxrf_core import MaxrfError, OutputError, ZipstoreError, get_array, open_scan, unfinished
from maxrf_core.entries import ZipEntries
from maxrf_core.layout import COUNTS_CODEC, CUMULATIVE_CODEC, FLOAT_CODEC
from maxrf_core.schema import (
    COUNTS_BY_CHANNEL,
    COUNTS_BY_SPECTRUM,
    COUNTS_CUMULATIVE,
    ENERGIES,
    SCHEMA_NAME,
    SCHEMA_VERSION,
)
from maxrf_core.store import StoreReader
from maxrf_core.writer import ZipstoreWriter


def local_data(path, name):
    """Return where the bytes of an entry begin and end."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    header = path.read_bytes()[info.header_offset :][:30]
    start = info.header_offset + 30 + sum(struct.unpack("<2H", header[26:]))
    return start, start + info.file_size


# --- what is written is what is read ------------------------------------------------------------
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=hnp.arrays(
        st.sampled_from([np.uint16, np.uint32, np.uint64, np.int64, np.float32, np.float64]),
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
    ),
    data=st.data(),
)
def test_arrays_of_any_shape_and_chunks_come_back(tmp_path, values, data):
    """Chunks need not divide the array; what pads the last ones stays inside the file."""
    chunks = tuple(data.draw(st.integers(1, size + 2)) for size in values.shape)
    path = write_store(tmp_path / "any.zipstore", values=values, chunks=chunks)
    with StoreReader(path) as reader:
        found = reader.read_array("group/values")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    store = ZipStore(path, mode="r")
    np.testing.assert_array_equal(zarr.open_group(store, mode="r")["group/values"][...], values)
    store.close()


def test_zarr_reads_every_array_as_we_do(full_zipstore):
    """The file is zarr's format 2, not only ours: another program must see the same numbers."""
    with StoreReader(full_zipstore) as reader:
        store = ZipStore(full_zipstore, mode="r")
        group = zarr.open_group(store, mode="r")
        assert group.metadata.zarr_format == 2
        assert dict(group.attrs) == reader.attributes
        arrays = {n: a for n, a in group.members(max_depth=None) if isinstance(a, zarr.Array)}
        assert len(arrays) >= 18
        for name, array in arrays.items():
            ours = reader.read_array(name)
            assert (ours.shape, ours.dtype) == (array.shape, array.dtype)
            np.testing.assert_array_equal(ours, array[...], err_msg=name)
            assert reader.layout(name).attributes == dict(array.attrs)
        store.close()


def test_every_name_is_in_the_zip_once_and_uncompressed(full_zipstore):
    """Doubled names are read differently by different programs; chunks are compressed already."""
    with zipfile.ZipFile(full_zipstore) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.create_system for info in archive.infolist()} == {3}  # on Windows, too


def test_all_arrays_are_little_endian(full_zipstore):
    """A file must not depend on the machine that wrote it."""
    with zipfile.ZipFile(full_zipstore) as archive:
        for name in archive.namelist():
            if name.endswith(".zarray"):
                assert json.loads(archive.read(name))["dtype"][0] in "<|"


def test_an_array_without_elements_comes_back(tmp_path):
    """A scan without regions of interest has a (0, 2) array of them."""
    path = tmp_path / "empty.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        writer.write_array("rois/energies", np.empty((0, 2)))
        writer.commit()
    with StoreReader(path) as reader:
        assert reader.read_array("rois/energies").shape == (0, 2)
    assert get_array(path, "rois/energies").shape == (0, 2)


def test_a_chunk_can_be_read_back_while_the_rest_is_written(tmp_path):
    """The operator is fitted to counts that lie in the unfinished file."""
    with ZipstoreWriter(tmp_path / "half.zipstore", ATTRIBUTES) as writer:
        writer.create_array("values", shape=(13, 7), dtype=np.uint16, chunks=(5, 7))
        writer.write_chunk("values", (2, 0), VALUES[10:])
        np.testing.assert_array_equal(writer.read_chunk("values", (2, 0)), VALUES[10:])
        writer.write_chunk("values", (0, 0), VALUES[:5])
        np.testing.assert_array_equal(writer.read_chunk("values", (0, 0)), VALUES[:5])
        np.testing.assert_array_equal(writer.read_chunk("values", (2, 0)), VALUES[10:])


def test_chunks_are_read_only(lean_zipstore):
    """They are shared by all visitors through one cache."""
    with StoreReader(lean_zipstore) as reader:
        chunk = reader.read_chunk(COUNTS_BY_SPECTRUM, (0, 0))
        with pytest.raises(ValueError, match="read-only"):
            chunk[0, 0] = 1


def test_entries_that_another_program_compressed_are_read(lean_zipstore, tmp_path):
    """Repacking with any zip tool leaves a zipstore a zipstore."""
    repacked = tmp_path / "repacked.zipstore"
    with (
        zipfile.ZipFile(lean_zipstore) as old,
        zipfile.ZipFile(repacked, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in reversed(old.namelist()):
            new.writestr(name, old.read(name))
    with open_scan(lean_zipstore) as ours, open_scan(repacked) as theirs:
        np.testing.assert_array_equal(ours.energy_map(1, 9), theirs.energy_map(1, 9))


def test_threads_write_whole_chunks(tmp_path):
    """Several compress at once, one at a time appends: no chunk lands inside another."""
    values = np.arange(200 * 31, dtype=np.uint32).reshape(200, 31)
    path = tmp_path / "threads.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer, ThreadPoolExecutor(8) as pool:
        writer.create_array("values", shape=values.shape, dtype=values.dtype, chunks=(1, 31))
        jobs = [
            pool.submit(writer.write_chunk, "values", (row, 0), values[row : row + 1])
            for row in range(len(values))
        ]
        for job in jobs:
            job.result()
        writer.commit()
    with StoreReader(path) as reader:
        np.testing.assert_array_equal(reader.read_array("values"), values)


def test_threads_read_what_one_reads(full_zipstore):
    """Reads are positioned: no thread moves another's place in the file."""
    names = [COUNTS_BY_SPECTRUM, COUNTS_BY_CHANNEL, COUNTS_CUMULATIVE, ENERGIES] * 12
    with StoreReader(full_zipstore) as reader:
        expected = {name: reader.read_array(name) for name in set(names)}
        with ThreadPoolExecutor(8) as pool:
            for name, found in zip(names, pool.map(reader.read_array, names), strict=True):
                np.testing.assert_array_equal(found, expected[name])


def test_without_positioned_reads_a_lock_does(full_zipstore, monkeypatch):
    """Windows has no pread."""
    monkeypatch.delattr(os, "pread")
    test_threads_read_what_one_reads(full_zipstore)


def test_a_read_may_come_in_pieces(full_zipstore, monkeypatch):
    """Network file systems may give less than they are asked for."""
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, offset: pread(file, min(size, 99), offset))
    test_threads_read_what_one_reads(full_zipstore)


def test_entries_with_long_extra_fields_are_read(full_zipstore, tmp_path):
    """Other programs add times and owners to each entry of a zip."""
    repacked = tmp_path / "repacked.zipstore"
    with zipfile.ZipFile(full_zipstore) as old, zipfile.ZipFile(repacked, "w") as new:
        for name in old.namelist():
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<2H", 0xCAFE, 700) + bytes(700)
            new.writestr(info, old.read(name))
    with StoreReader(full_zipstore) as ours, StoreReader(repacked) as theirs:
        for name in ours.array_names():
            np.testing.assert_array_equal(theirs.read_array(name), ours.read_array(name))


def test_nothing_is_read_from_behind_the_end_of_a_file(lean_zipstore):
    """Some servers refuse it, and a damaged directory may ask for gigabytes."""

    class _Source:
        whole = lean_zipstore.read_bytes()
        size = len(whole)

        def read_range(self, start, stop):
            assert 0 <= start <= stop <= self.size
            return self.whole[start:stop]

        def close(self):
            pass

    entries = ZipEntries(_Source(), "spied")
    for key in entries.keys():  # noqa: SIM118 - no dict
        assert len(entries.read(key)) == entries._infos[key].file_size
        entries._infos[key].file_size += 2**40
        with pytest.raises(ZipstoreError, match=f"spied is damaged at entry '{key}'"):
            entries.read(key)


@pytest.mark.parametrize("codec", [COUNTS_CODEC, CUMULATIVE_CODEC, FLOAT_CODEC, None])
def test_every_codec_is_lossless_and_named_in_the_file(tmp_path, codec, rng):
    """Another program finds out from the file how to read it."""
    values = rng.poisson(2, (9, 40)).astype(np.float32)
    path = tmp_path / "codec.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        writer.write_array("values", values, codec=codec, attributes={"units": "keV"})
        writer.commit()
    np.testing.assert_array_equal(get_array(path, "values"), values)
    with StoreReader(path) as reader:
        np.testing.assert_array_equal(reader.read_array("values"), values)
        assert reader.layout("values").attributes == {"units": "keV"}


# --- whole or not at all ------------------------------------------------------------------------
def test_a_store_appears_when_it_is_whole(tmp_path):
    """Nobody ever opens half a file under the final name."""
    path = tmp_path / "new.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        writer.write_array("values", VALUES)
        assert not path.exists()
        writer.commit()
        assert left_behind(tmp_path) == ["new.zipstore"]


def test_without_commit_the_old_file_stays(tmp_path):
    """Leaving the block is giving up."""
    path = write_store(tmp_path / "old.zipstore")
    before = path.read_bytes()
    with ZipstoreWriter(path, ATTRIBUTES) as writer:
        writer.write_array("values", VALUES)
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["old.zipstore"]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_after_any_error_the_old_file_stays(tmp_path, error):
    """Also after Control-C."""
    path = write_store(tmp_path / "old.zipstore")
    before = path.read_bytes()

    def write():
        with ZipstoreWriter(path, ATTRIBUTES) as writer:
            writer.write_array("values", VALUES)
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["old.zipstore"]


class _FullDisk(io.FileIO):
    """A file on a disk that has room for so many bytes and not one more."""

    def __init__(self, path, mode, opener, room):
        super().__init__(path, mode, opener=opener)
        self._room = room

    def write(self, data):
        if self.tell() + len(data) > self._room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("room", [0, 20, 300, 700, 1200])
def test_on_a_full_disk_the_old_file_stays_and_the_message_says_so(tmp_path, monkeypatch, room):
    """The usual end of a night's conversion; the half-written file must not fill the disk."""
    path = write_store(tmp_path / "old.zipstore")
    before = path.read_bytes()

    def open_on_full_disk(path, mode, *, opener, **_keywords):
        return _FullDisk(path, mode.replace("b", ""), opener, room)

    monkeypatch.setattr(unfinished, "open", open_on_full_disk, raising=False)

    def write():
        with ZipstoreWriter(path, ATTRIBUTES) as writer:
            writer.write_array("values", np.random.default_rng(1).uniform(size=90))
            writer.commit()

    with pytest.raises(OutputError, match=r"no space is left to write .*old.zipstore"):
        write()
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["old.zipstore"]


def test_a_disk_that_takes_a_little_at_a_time_gets_all(tmp_path, monkeypatch):
    """A raw write may write less than it is given, and does so near a quota or a signal."""
    expected = write_store(tmp_path / "at_once.zipstore").read_bytes()

    class _Sip(io.FileIO):
        def write(self, data):
            return super().write(data[:7])

    def open_slow(path, mode, *, opener, **_keywords):
        return _Sip(path, mode.replace("b", ""), opener=opener)

    monkeypatch.setattr(unfinished, "open", open_slow, raising=False)
    assert write_store(tmp_path / "in_sips.zipstore").read_bytes() == expected


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "no permission to write .* Choose a folder of your own"),
        (errno.EROFS, "no permission to write .* Choose a folder of your own"),
        (errno.ENOSPC, "no space is left to write .*cubes=False"),
        (errno.EIO, "cannot write .*: Input/output error"),
    ],
)
def test_a_file_that_cannot_be_made_is_told_in_a_sentence(tmp_path, monkeypatch, number, sentence):
    """Each cause has its own remedy."""

    def refuse(path, *_arguments, **_keywords):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(unfinished, "open", refuse, raising=False)
    with pytest.raises(OutputError, match=sentence):
        ZipstoreWriter(tmp_path / "new.zipstore", ATTRIBUTES)
    assert left_behind(tmp_path) == []


def test_a_rename_that_fails_is_told_and_leaves_the_old_file(tmp_path, monkeypatch):
    """The last step can fail, too: another program may hold the file (Windows)."""
    path = write_store(tmp_path / "old.zipstore")
    before = path.read_bytes()

    def refuse(_self, _target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "replace", refuse)

    def write():
        with ZipstoreWriter(path, ATTRIBUTES) as writer:
            writer.write_array("values", VALUES)
            writer.commit()

    with pytest.raises(OutputError, match="no permission to write"):
        write()
    assert path.read_bytes() == before
    assert left_behind(tmp_path) == ["old.zipstore"]


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    """Two visitors may ask for the same conversion: the last one wins, whole."""
    path = tmp_path / "both.zipstore"
    with ZipstoreWriter(path, ATTRIBUTES) as first, ZipstoreWriter(path, ATTRIBUTES) as second:
        first.write_array("values", VALUES)
        second.write_array("values", VALUES + 1)
        first.commit()
        second.write_array("more", VALUES + 2)
        with StoreReader(path) as reader:
            np.testing.assert_array_equal(reader.read_array("values"), VALUES)
        second.commit()
    with StoreReader(path) as reader:
        np.testing.assert_array_equal(reader.read_array("values"), VALUES + 1)
        np.testing.assert_array_equal(reader.read_array("more"), VALUES + 2)
    assert left_behind(tmp_path) == ["both.zipstore"]


# --- damage -----------------------------------------------------------------------------------
def test_a_file_cut_short_anywhere_is_refused(lean_zipstore, tmp_path):
    """A copy that broke off looks like a file; its end tells."""
    whole = lean_zipstore.read_bytes()
    path = tmp_path / "cut.zipstore"
    lengths = {0, 1, 21, 22, *range(97, len(whole), 4001), *range(len(whole) - 30, len(whole))}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        with pytest.raises(ZipstoreError, match=r"cut\.zipstore is not a whole zipstore"):
            open_scan(path)
        with pytest.raises(ZipstoreError, match="is not a whole zarr zip"):
            get_array(path, ENERGIES)


@pytest.mark.parametrize(
    ("name", "version", "sentence"),
    [
        (
            SCHEMA_NAME,
            SCHEMA_VERSION + 1,
            (
                rf"^other\.zipstore .* a newer version .* \(schema {SCHEMA_VERSION + 1}\)"
                rf"; this one reads up to {SCHEMA_VERSION}: pip install --upgrade maxrf-dashboard$"
            ),
        ),
        (SCHEMA_NAME, 0, rf"version 0; this program reads .* 1 to {SCHEMA_VERSION}\. .*maxrf "),
        ("other", 2, r"has schema 'other' version 2; .*maxrf convert"),
    ],
)
def test_another_version_is_refused_with_the_command_to_run(tmp_path, name, version, sentence):
    """The user is told both versions, and what to do."""
    attributes = {"schema": name, "schema_version": version}
    path = write_store(tmp_path / "other.zipstore", attributes=attributes)
    with pytest.raises(ZipstoreError, match=sentence):
        open_scan(path)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"schema": SCHEMA_NAME}, {"schema": SCHEMA_NAME, "schema_version": "new"}],
)
def test_a_zip_that_names_no_schema_is_refused(tmp_path, attributes):
    """Another program's zip; the message says how to make ours."""
    path = write_store(tmp_path / "other.zipstore", attributes=attributes)
    with pytest.raises(ZipstoreError, match=r"name no schema\. .*maxrf convert"):
        open_scan(path)


def test_a_store_of_the_right_schema_with_nothing_in_it_is_refused(tmp_path):
    """The schema's name alone makes no scan."""
    path = write_store(tmp_path / "hollow.zipstore")
    with pytest.raises(ZipstoreError, match=r"hollow\.zipstore: the description .* is damaged"):
        open_scan(path)


@pytest.mark.parametrize("name", ["nowhere.zipstore", ".", "text.zipstore", "zero.zipstore"])
def test_what_is_no_zip_is_refused(tmp_path, name):
    """Missing, a folder, a text, nothing: never a traceback."""
    (tmp_path / "text.zipstore").write_text("x,y,counts\n" * 50)
    (tmp_path / "zero.zipstore").touch()
    with pytest.raises(ZipstoreError, match=r"there is no file|is not a whole zipstore"):
        open_scan(tmp_path / name)
    with pytest.raises(ZipstoreError, match=r"there is no zarr zip|is not a whole zarr zip"):
        get_array(tmp_path / name, ENERGIES)


def test_a_missing_array_and_a_missing_chunk_are_named(full_zipstore, tmp_path):
    """The message names the entry, and what to do."""
    path = tmp_path / "holes.zipstore"
    holes = {f"{ENERGIES}/.zarray", f"{COUNTS_BY_SPECTRUM}/0.0"}
    with zipfile.ZipFile(full_zipstore) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if name not in holes:
                new.writestr(name, old.read(name))
    with StoreReader(path) as reader:
        with pytest.raises(ZipstoreError, match=r"no entry 'maxrf_energies/.zarray'.*Convert"):
            reader.layout(ENERGIES)
        with pytest.raises(ZipstoreError, match=r"no entry 'counts/by_spectrum/0.0'.*Convert"):
            reader.read_chunk(COUNTS_BY_SPECTRUM, (0, 0))
        with pytest.raises(ZipstoreError, match="no entry"):
            reader.read_chunk(COUNTS_BY_CHANNEL, (999, 0))


@pytest.mark.parametrize("name", [".zattrs", f"{ENERGIES}/.zarray", f"{COUNTS_BY_SPECTRUM}/0.0"])
def test_a_damaged_entry_is_refused(lean_zipstore, tmp_path, name):
    """Root attributes, an array's description, a chunk: all are zipstore errors."""
    path = tmp_path / "damaged.zipstore"
    start, stop = local_data(lean_zipstore, name)
    raw = bytearray(lean_zipstore.read_bytes())
    raw[start : min(stop, start + 24)] = b"\xff" * min(stop - start, 24)
    path.write_bytes(raw)

    def read():
        with open_scan(path) as scan:
            scan.spectrum(0)

    with pytest.raises(ZipstoreError, match=r"damaged\.zipstore"):
        read()


def test_one_wrong_byte_is_told_or_harmless(lean_zipstore, tmp_path, rng):
    """Disks and networks change bytes: never a traceback, and never other numbers."""
    whole = lean_zipstore.read_bytes()
    path = tmp_path / "flipped.zipstore"
    with open_scan(lean_zipstore) as scan:
        everywhere = np.ones(scan.grid.shape, dtype=bool)
        expected = scan.energy_map(1.0, 9.0), scan.mean_spectrum(everywhere)
    # anywhere, and more often where the descriptions and the directory lie
    directory = whole.rindex(b"PK\x05\x06") - 5000
    places = [*rng.integers(0, len(whole), 60), *rng.integers(directory, len(whole), 120)]
    refused = 0
    for place in places:
        raw = bytearray(whole)
        raw[place] ^= int(rng.integers(1, 256))
        path.write_bytes(raw)
        try:
            with open_scan(path) as scan:
                found = scan.energy_map(1.0, 9.0), scan.mean_spectrum(everywhere)
        except MaxrfError:
            refused += 1
        else:
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
    assert refused > 20


DIRECTORY_FIELDS = {
    "version needed": 6,
    "flags": 8,
    "method": 10,
    "time": 12,
    "checksum": 16,
    "compressed size": 20,
    "size": 24,
    "a large size": 27,
    "length of the name": 28,
    "offset": 42,
    "a large offset": 45,
    "name": 46,
}
"""Bytes of an entry of a zip's directory, counted from its start (APPNOTE.TXT, 4.3.12)."""


@pytest.mark.parametrize(
    "name", [".zattrs", f"{COUNTS_BY_CHANNEL}/0.0", "operator/kriging/indptr/.zattrs"]
)
@pytest.mark.parametrize("field", DIRECTORY_FIELDS)
def test_a_damaged_directory_is_told_or_harmless(lean_zipstore, tmp_path, name, field):
    """One bit of any field: a sentence of ours, or the same map."""
    raw = bytearray(lean_zipstore.read_bytes())
    places = [match.start() - 46 for match in re.finditer(re.escape(name.encode()), raw)]
    (entry,) = (place for place in places if raw[place : place + 4] == b"PK\x01\x02")
    raw[entry + DIRECTORY_FIELDS[field]] ^= 0x40
    path = tmp_path / "directory.zipstore"
    path.write_bytes(raw)
    with open_scan(lean_zipstore) as scan:
        expected = scan.energy_map(1.3, 9.0)
    try:
        with open_scan(path) as scan:
            found = scan.energy_map(1.3, 9.0)
    except ZipstoreError:
        return
    np.testing.assert_array_equal(found, expected)


def test_a_wrong_byte_in_a_chunk_is_noticed(lean_zipstore, tmp_path, rng):
    """Blosc notices some; the zip has a checksum of every chunk. Wrong counts are worst of all."""
    whole = lean_zipstore.read_bytes()
    path = tmp_path / "flipped.zipstore"
    start, stop = local_data(lean_zipstore, f"{COUNTS_BY_SPECTRUM}/0.0")
    for place in rng.integers(start, stop, 25):
        raw = bytearray(whole)
        raw[place] ^= 0x10
        path.write_bytes(raw)
        with StoreReader(path) as reader, pytest.raises(ZipstoreError, match="damaged"):
            reader.read_chunk(COUNTS_BY_SPECTRUM, (0, 0))


def test_a_closed_store_says_that_it_is_closed(lean_zipstore):
    """It is not damaged, and converting again would not help."""
    scan = open_scan(lean_zipstore)
    scan.close()
    with pytest.raises(MaxrfError, match="closed"):
        scan.spectrum(3)
    with pytest.raises(MaxrfError) as caught:
        scan.spectrum(3)
    assert "damaged" not in str(caught.value)


def test_a_file_replaced_while_open_is_read_to_its_end(lean_zipstore, tmp_path):
    """A visitor's open scan outlives a new conversion of the same file."""
    path = tmp_path / "live.zipstore"
    shutil.copy(lean_zipstore, path)
    with open_scan(path) as scan:
        before = scan.energy_map(1, 9)
        write_store(path)
        reread = threading.Thread(target=lambda: results.append(scan.energy_map(1, 9)))
        results: list[np.ndarray] = []
        reread.start()
        reread.join()
        np.testing.assert_array_equal(results[0], before)
        np.testing.assert_array_equal(
            scan.spectrum(70), scan._table._source.read_array(COUNTS_BY_SPECTRUM)[70]
        )
