"""Chunks that several machines write as files become the very zipstore that one would write."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_stores import ATTRIBUTES, VALUES, fill, left_behind, write_store

from maxrf_core import OutputError
from maxrf_core.entries import FolderEntries
from maxrf_core.layout import CUMULATIVE_CODEC
from maxrf_core.store import StoreReader
from maxrf_core.writer import ChunkDirectory, ZipstoreWriter

FOLDER = ".scan.zipstore.chunks"


@pytest.fixture
def path(tmp_path):
    """Return where the zipstore shall be, in a folder of its own."""
    return tmp_path / "scan.zipstore"


@pytest.fixture
def expected(tmp_path_factory):
    """Return the bytes of the zipstore that `ZipstoreWriter` makes."""
    return write_store(tmp_path_factory.mktemp("zip") / "scan.zipstore").read_bytes()


def declare(sink):
    """Declare the array that `fill` writes."""
    sink.create_array("group/values", shape=(13, 7), dtype=np.uint16, chunks=(4, 3))


def chunk_at(index):
    """Return one chunk of it."""
    return VALUES[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, (4, 3), strict=True))]


def killed(directory):
    """Leave a directory as a killed program does: its lock ends, and nothing else."""
    directory._lock.close()


def write_chunks(files, indices):
    """Write chunks, as a worker does."""
    for index in indices:
        files.write_chunk("group/values", index, chunk_at(index))


# --- the same file ------------------------------------------------------------------------------
def test_packed_chunks_are_the_zipstore_of_one_writer(path, expected):
    """Nobody can tell from a zipstore on how many machines it was made."""
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        fill(directory)
        assert not path.exists()
        directory.commit()
        assert path.read_bytes() == expected
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_workers_write_in_any_order_and_the_client_notes_the_order(path, expected):
    """Tasks end as they please, and each is told only where to write."""
    indices = list(np.ndindex(4, 3))
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        declare(directory)
        handle = directory.handle()
        assert len(pickle.dumps(handle)) < 2000
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            jobs = [
                pool.submit(write_chunks, handle, indices[start::3]) for start in (2, 0, 1, 0)
            ]  # one task twice, as when a worker was lost
            for job in jobs:
                job.result()
        for index in indices:
            assert directory.has_chunk("group/values", index)
            assert handle.has_chunk("group/values", index)
            np.testing.assert_array_equal(
                directory.read_chunk("group/values", index), chunk_at(index)
            )
            directory.note_chunk("group/values", index)
        directory.commit()
    assert path.read_bytes() == expected
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_the_chunks_are_a_store_while_they_are_written(path):
    """The operator is fitted to them, and a curious user can look."""
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        fill(directory)
        (directory.folder / "group/values/.0.0.token").write_bytes(b"half a chu")
        with StoreReader(directory.folder) as reader:
            np.testing.assert_array_equal(reader.read_array("group/values"), VALUES)
            assert reader.array_names() == ["group/values"]
        entries = set(FolderEntries(directory.folder).keys())
        assert "group/values/3.2" in entries
        assert {key for key in entries if "/.0" in key or "lock" in key} == set()
        assert not directory.has_chunk("unknown", (0, 0))
        with pytest.raises(KeyError):
            directory.read_chunk("group/values", (9, 9))


# --- whole or not at all -----------------------------------------------------------------------
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_nothing_is_left(path, error):
    """A cancelled conversion must not fill the shared disk."""
    write_store(path, values=VALUES + 1)
    before = path.read_bytes()

    def write():
        with ChunkDirectory(path, ATTRIBUTES) as directory:
            fill(directory)
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == before
    assert left_behind(path.parent) == ["scan.zipstore"]


@pytest.mark.parametrize("what", ["not written", "not noted", "emptied", "cut", "zeros"])
def test_a_chunk_that_is_not_whole_ends_the_packing(path, what):
    """A worker that is lost takes what its machine had not yet brought to the disk with it."""
    write_store(path, values=VALUES + 1)
    before = path.read_bytes()

    def write():
        with ChunkDirectory(path, ATTRIBUTES) as directory:
            declare(directory)
            indices = list(np.ndindex(4, 3))
            write_chunks(directory.handle(), indices)
            for index in indices:
                if what != "not noted" or index != (2, 1):
                    directory.note_chunk("group/values", index)
            file = directory.folder / "group/values/2.1"
            data = file.read_bytes()
            if what == "not written":
                file.unlink()
            else:
                left = {"emptied": b"", "cut": data[:-1], "zeros": bytes(len(data))}
                file.write_bytes(left.get(what, data))
            directory.commit()

    with pytest.raises(OutputError, match=r"\(2, 1\) of .* is missing|2\.1 is no whole chunk"):
        write()
    assert path.read_bytes() == before
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_a_full_disk_is_told_and_leaves_nothing(path, monkeypatch):
    """Packing needs the room a second time."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write():
        with ChunkDirectory(path, ATTRIBUTES) as directory:
            fill(directory)
            monkeypatch.setattr("maxrf_core.partial.PartialZip._write", refuse)
            directory.commit()

    with pytest.raises(OutputError, match=r"no space is left to write .*scan.zipstore"):
        write()
    assert left_behind(path.parent) == []


def test_a_worker_whose_folder_is_gone_says_so(path):
    """The client gave up, and removed it; the task it left behind must end."""
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        declare(directory)
        handle = directory.handle()
    with pytest.raises(OutputError, match=r"cannot write .*values/0.0: No such file or directory"):
        write_chunks(handle, [(0, 0)])
    assert left_behind(path.parent) == []


def test_a_chunk_that_cannot_be_written_leaves_nothing(path, monkeypatch):
    """A worker's disk may be full; the next one tries again."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with ChunkDirectory(path, ATTRIBUTES) as directory:
        declare(directory)
        before = left_behind(directory.folder / "group/values")
        with monkeypatch.context() as patch:
            patch.setattr("pathlib.Path.replace", refuse)
            with pytest.raises(OutputError, match=r"no space is left to write .*values/0\.0"):
                directory.write_chunk("group/values", (0, 0), chunk_at((0, 0)))
        assert left_behind(directory.folder / "group/values") == before
        assert not directory.has_chunk("group/values", (0, 0))


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_made_is_told(path, monkeypatch, number):
    """As for a zipstore."""

    def refuse(self, *_arguments, **_keywords):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(OutputError, match=r"no (permission|space is left) to write"):
        ChunkDirectory(path, ATTRIBUTES)


def test_a_folder_that_cannot_be_begun_is_removed(path, monkeypatch):
    """The disk may be full from the first byte on."""

    def refuse(self, *_arguments, **_keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    with pytest.raises(OutputError, match="no space is left"):
        ChunkDirectory(path, ATTRIBUTES)
    assert left_behind(path.parent) == []


# --- resume ---------------------------------------------------------------------------------
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=st.lists(st.none() | st.integers(0, 20) | st.just("whole"), min_size=12, max_size=12))
def test_what_a_killed_client_left_is_taken_up(path, expected, left):
    """Chunks that are whole are kept; those that a power cut tore are asked for again."""
    directory = ChunkDirectory(path, ATTRIBUTES)
    assert not directory.resumed
    declare(directory)
    states = dict(zip(np.ndindex(4, 3), left, strict=True))
    for index, state in states.items():
        if state is not None:
            directory.write_chunk("group/values", index, chunk_at(index))
        if state not in (None, "whole"):
            file = directory.folder / "group/values" / ".".join(map(str, index))
            file.write_bytes(file.read_bytes()[:state])
    (directory.folder / "group/values/.0.0.left").write_bytes(b"half a chu")
    killed(directory)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        assert directory.resumed
        declare(directory)
        for index, state in states.items():
            assert directory.has_chunk("group/values", index) == (state == "whole")
            if state == "whole":
                directory.note_chunk("group/values", index)
            else:
                directory.write_chunk("group/values", index, chunk_at(index))
        directory.commit()
    assert path.read_bytes() == expected
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_what_a_kill_while_packing_left_is_packed_again(path, expected):
    """The folder is removed last."""
    directory = ChunkDirectory(path, ATTRIBUTES)
    fill(directory)
    path.with_name(".scan.zipstore.partial").write_bytes(expected[:500] + b"\0" * 70)
    killed(directory)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        fill(directory)
        directory.commit()
    assert path.read_bytes() == expected
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_what_a_killed_writer_of_the_zip_left_does_not_show(path, expected):
    """The first try was on one machine, and stopped at another place in another order."""
    writer = ZipstoreWriter(path, ATTRIBUTES)
    declare(writer)
    for index in reversed(list(np.ndindex(4, 3))):
        writer.write_chunk("group/values", index, chunk_at(index))
    left = writer.temporary.read_bytes()
    with writer:
        pass
    writer.temporary.write_bytes(left)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        fill(directory)
        directory.commit()
    assert path.read_bytes() == expected


def test_chunks_of_other_attributes_go(path):
    """Another scan, other parameters: none of its chunks may stay."""
    directory = ChunkDirectory(path, ATTRIBUTES | {"source": "another"})
    fill(directory)
    killed(directory)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        assert not directory.resumed
        assert not (directory.folder / "group").exists()


def test_chunks_of_another_shape_go(path):
    """With another memory limit blocks are cut otherwise; other arrays are kept."""
    directory = ChunkDirectory(path, ATTRIBUTES)
    directory.write_array("kept", VALUES)
    directory.create_array("group/values", shape=(13, 7), dtype=np.uint16, chunks=(3, 4))
    directory.write_chunk("group/values", (0, 0), VALUES[:3, :4])
    killed(directory)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        assert directory.resumed
        declare(directory)
        assert not directory.has_chunk("group/values", (0, 0))
        directory.create_array("kept", shape=(13, 7), dtype=np.uint16, codec=CUMULATIVE_CODEC)
        assert directory.has_chunk("kept", (0, 0))


# --- locks ---------------------------------------------------------------------------------
def test_a_second_client_gets_a_folder_of_its_own_and_both_succeed(path, expected):
    """Two users start the same conversion; what one removes is not the other's."""
    with ChunkDirectory(path, ATTRIBUTES) as first:
        assert first.folder.name == FOLDER
        declare(first)
        with ChunkDirectory(path, ATTRIBUTES) as second:
            assert second.folder != first.folder
            fill(second)
            second.commit()
        assert path.read_bytes() == expected
        fill(first)
        first.commit()
    assert path.read_bytes() == expected
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_without_locks_every_client_has_a_folder_of_its_own(path, expected, monkeypatch):
    """Some clusters' file systems have none; then nothing is resumed, and nothing mixes."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        assert left_behind(path.parent) == [directory.folder.name] != [FOLDER]
        fill(directory)
        directory.commit()
    assert path.read_bytes() == expected
    assert left_behind(path.parent) == ["scan.zipstore"]


def test_a_folder_that_goes_while_it_is_claimed_is_made_anew(path, monkeypatch):
    """The client before may be just removing it."""
    directory = ChunkDirectory(path, ATTRIBUTES)
    killed(directory)
    fcntl = pytest.importorskip("fcntl")
    lock = fcntl.flock
    gone = []

    def lock_late(file, how):
        if not gone:
            gone.append(shutil.move(directory.folder, path.with_name("leaving")))
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with ChunkDirectory(path, ATTRIBUTES) as directory:
        assert not directory.resumed
        assert directory.folder.name == FOLDER
        assert left_behind(directory.folder) == [".lock", ".zattrs", ".zgroup"]
